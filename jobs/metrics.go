package jobs

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river/rivertype"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// metrics are the road's. Labels never carry a SKU.
type metrics struct {
	deliveries *prometheus.CounterVec
	calls      *prometheus.HistogramVec
	projection *prometheus.HistogramVec
	acks       *prometheus.HistogramVec
	marked     prometheus.Counter
	poisoned   prometheus.Counter
	takeovers  *prometheus.CounterVec
	pulls      *prometheus.CounterVec
	pulled     *prometheus.CounterVec
	tasks      *prometheus.CounterVec
	renders    prometheus.Histogram
	uploads    *prometheus.CounterVec
	messages   *prometheus.CounterVec
	characters *prometheus.CounterVec
	services   *prometheus.CounterVec
	tokens     *prometheus.CounterVec
	costs      *prometheus.CounterVec
	segments   *prometheus.CounterVec
	compared   *prometheus.CounterVec
	repaired   *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer, store *postgres.Store) *metrics {
	if reg == nil {
		reg = prometheus.NewRegistry()
	}
	lane := []string{"channel", "lane"}
	m := &metrics{
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_deliveries_total",
			Help: "Listings by what became of them: live, accepted, pending, skipped (nothing differs), looked_up (a doubt was settled by reading), or a verdict.",
		}, append(lane, "verdict")),
		calls: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "sluice_push_duration_seconds", Help: "Time of one call to a target.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 16),
		}, append(lane, "call")),
		projection: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "sluice_projection_duration_seconds", Help: "Time of rendering one listing, mean of a claim.",
			Buckets: prometheus.ExponentialBuckets(0.000005, 2, 16),
		}, lane),
		acks: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "sluice_edit_to_acknowledged_seconds", Help: "From the first unsent change of a listing to its acknowledgement.",
			Buckets: prometheus.ExponentialBuckets(0.002, 2, 22),
		}, lane),
		marked:    prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_listings_marked_total", Help: "Listings that fan-out marked."}),
		poisoned:  prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_outbox_poisoned_total", Help: "Outbox rows set aside."}),
		takeovers: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_takeovers_total", Help: "Leases whose holder vanished."}, []string{"consumer"}),
		pulls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_pulls_total", Help: "Looks at what changed at a target, by outcome: ok or failed.",
		}, []string{"channel", "outcome"}),
		pulled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_pulled_rows_total", Help: "Prices and stock levels read from a target: changed, and other (known already, or refused).",
		}, []string{"channel", "outcome"}),
	}
	m.tasks = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_tasks_total", Help: "Tasks (fetch, render, translate, generate) by how an attempt ended: done or failed.",
	}, []string{"kind", "outcome"})
	m.renders = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "sluice_render_duration_seconds", Help: "Time of making one rendition, mean of what one decoding made.",
		Buckets: prometheus.ExponentialBuckets(0.005, 2, 14),
	})
	m.uploads = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_uploads_total", Help: "Files given to targets that keep files of their own, by outcome: ok or failed.",
	}, []string{"channel", "outcome"})
	m.messages = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_notifications_total", Help: "Messages of alerts by how an attempt to send one ended: ok or failed.",
	}, []string{"outcome"})
	for _, outcome := range []string{"ok", "failed"} {
		m.messages.WithLabelValues(outcome)
	}
	reg.MustRegister(m.messages)
	m.characters = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_translation_characters_total", Help: "Characters that a provider counted.",
	}, []string{"provider"})
	m.services = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_translation_calls_total", Help: "Calls that a provider answered.",
	}, []string{"provider"})
	m.tokens = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_translation_tokens_total", Help: "Tokens that a provider counted, by direction: in (requests) and out (answers).",
	}, []string{"provider", "direction"})
	m.costs = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_translation_cost_total", Help: "What a provider cost by the prices in its settings.",
	}, []string{"provider", "currency"})
	m.segments = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_translation_segments_total", Help: "Segments of texts by where their translation is from: memory, adapted (with other numbers), provider, or refused (it was broken).",
	}, []string{"outcome"})
	m.compared = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_reconcile_listings_total", Help: "Listings that were read back, by what was found: same, drifted, left_out (something of them was under way) or unread (the target would not tell).",
	}, append(lane, "outcome"))
	m.repaired = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_reconcile_repairs_total", Help: "Listings that were put on the road again, for the target did not hold what it had acknowledged.",
	}, []string{"channel"})
	reg.MustRegister(m.compared, m.repaired)
	for _, outcome := range []string{"memory", "adapted", "provider", "refused"} {
		m.translated(outcome, 0)
	}
	reg.MustRegister(m.characters, m.services, m.tokens, m.costs, m.segments)
	reg.MustRegister(m.deliveries, m.calls, m.projection, m.acks, m.marked, m.poisoned, m.takeovers, m.pulls, m.pulled, m.tasks, m.renders, m.uploads)
	for _, kind := range []string{postgres.Fetch, postgres.Render, postgres.Translate, postgres.Generate} {
		m.task(kind, "")
	}
	for _, kind := range kinds {
		m.takeovers.WithLabelValues(kind) // a counter that starts at 1 has not risen
	}
	if store != nil {
		reg.MustRegister(&stateCollector{store: store, metrics: m})
	}
	return m
}

// kinds are the consumers' kinds, and their queues' names.
var kinds = []string{
	postgres.Fanout, postgres.Drain, postgres.Pull, postgres.Reconcile, postgres.Import, postgres.Derive, postgres.Fetch, postgres.Render, postgres.Translate, postgres.Generate,
}

// verdicts are what sluice_deliveries_total counts for every lane from its
// first sight on, so that the first refusal is a rise.
var verdicts = []string{
	string(pim.StateLive), string(pim.StateAccepted), string(pim.StatePending), "skipped", "looked_up",
	string(connectors.Throttled), string(connectors.Unavailable), string(connectors.Auth),
	string(connectors.Validation), string(connectors.Conflict), string(connectors.Permanent),
}

func (m *metrics) met(c pim.ChannelCode, l pim.Lane) {
	for _, v := range verdicts {
		m.deliveries.WithLabelValues(string(c), l.String(), v)
	}
}

func (m *metrics) called(c pim.ChannelCode, l pim.Lane, what string, d time.Duration) {
	m.calls.WithLabelValues(string(c), l.String(), what).Observe(d.Seconds())
}

func (m *metrics) projected(c pim.ChannelCode, l pim.Lane, n int, d time.Duration) {
	if n > 0 {
		m.projection.WithLabelValues(string(c), l.String()).Observe(d.Seconds() / float64(n))
	}
}

// task counts an attempt; "" only makes the counters be there.
func (m *metrics) task(kind, outcome string) {
	for _, o := range []string{"done", "failed"} {
		c := m.tasks.WithLabelValues(kind, o)
		if o == outcome {
			c.Inc()
		}
	}
}

func (m *metrics) translated(outcome string, n int) {
	m.segments.WithLabelValues(outcome).Add(float64(n))
}

// used counts what a call to a provider used up.
func (m *metrics) used(u postgres.ProviderUse) {
	m.services.WithLabelValues(u.Code).Add(float64(u.Calls))
	m.characters.WithLabelValues(u.Code).Add(float64(u.Characters))
	if u.InputTokens+u.OutputTokens > 0 {
		m.tokens.WithLabelValues(u.Code, "in").Add(float64(u.InputTokens))
		m.tokens.WithLabelValues(u.Code, "out").Add(float64(u.OutputTokens))
	}
	if amount, err := strconv.ParseFloat(u.Amount, 64); err == nil {
		m.costs.WithLabelValues(u.Code, string(u.Currency)).Add(amount)
	}
}

func (m *metrics) rendered(n int, d time.Duration) {
	for range n {
		m.renders.Observe(d.Seconds() / float64(n))
	}
}

func (m *metrics) acknowledged(c pim.ChannelCode, l pim.Lane, d time.Duration) {
	m.acks.WithLabelValues(string(c), l.String()).Observe(max(0, d.Seconds()))
}

// stateCollector reads the state tables when it is scraped, at most every
// stateEvery: counting listings reads all of them.
type stateCollector struct {
	store   *postgres.Store
	metrics *metrics

	mu    sync.Mutex
	at    time.Time
	state []prometheus.Metric
}

const (
	stateEvery   = 10 * time.Second
	stateTimeout = 5 * time.Second
)

var (
	descFreshness = prometheus.NewDesc("sluice_freshness_seconds", "Age of the oldest listing with something still to send.", []string{"channel", "lane"}, nil)
	descListings  = prometheus.NewDesc("sluice_listings", "Listings by state.", []string{"channel", "lane", "state"}, nil)
	descBreaker   = prometheus.NewDesc("sluice_breaker_open", "1 while the channel's breaker is open.", []string{"channel"}, nil)
	descPaused    = prometheus.NewDesc("sluice_channel_paused", "1 while the channel is paused.", []string{"channel"}, nil)
	descRests     = prometheus.NewDesc("sluice_channel_rests", "1 while the channel, or a lane of it, sends nothing for this reason.", []string{"channel", "lane", "reason"}, nil)
	descToday     = prometheus.NewDesc("sluice_channel_requests_today", "Requests granted of the day's quota.", []string{"channel"}, nil)
	descThrottled = prometheus.NewDesc("sluice_channel_throttled", "1 while the target throttles the channel.", []string{"channel"}, nil)
	descAllowed   = prometheus.NewDesc("sluice_channel_concurrency", "Calls that the channel may have in flight now.", []string{"channel"}, nil)
	descDue       = prometheus.NewDesc("sluice_lane_due_seconds", "For how long the oldest listing that could be sent now could have been; 0 while the channel rests.", []string{"channel", "lane"}, nil)
	descReadable  = prometheus.NewDesc("sluice_state_readable", "1 when the state tables could be read at the last attempt; without it the figures from them are missing.", nil, nil)
	descExpired   = prometheus.NewDesc("sluice_leases_expired", "Leases that ran out and that no sweeper has noticed.", nil, nil)
	descOutboxAge = prometheus.NewDesc("sluice_outbox_oldest_seconds", "Age of the oldest change that fan-out has still to look at.", nil, nil)
	descPoison    = prometheus.NewDesc("sluice_outbox_poison_rows", "Changes that fan-out could not digest and that are set aside.", nil, nil)
	descOutbox    = prometheus.NewDesc("sluice_outbox_rows", "Changes that fan-out has still to look at.", nil, nil)
	descJobs      = prometheus.NewDesc("sluice_river_jobs", "River jobs by queue and state.", []string{"queue", "state"}, nil)
	descOldest    = prometheus.NewDesc("sluice_river_oldest_job_seconds", "Age of the oldest job that waits to be worked.", []string{"queue"}, nil)
	descTasks     = prometheus.NewDesc("sluice_tasks", "Tasks by state; those that are due are among the waiting ones, too.", []string{"kind", "state"}, nil)
	descTaskAge   = prometheus.NewDesc("sluice_task_oldest_due_seconds", "For how long the oldest task that could be worked off now could have been.", []string{"kind"}, nil)
	descLots      = prometheus.NewDesc("sluice_lots_waiting", "Lots of tasks that wait as a whole, with work for them, since what they need is not there.", []string{"kind"}, nil)
	descDerive    = prometheus.NewDesc("sluice_derive_rows", "Changed products whose assets and texts are still to be looked at, and products that a changed price rule has still to go over.", nil, nil)
	descBounds    = prometheus.NewDesc("sluice_provider_used_ratio", "How much of what a provider may be used for in this month was: of its quota of characters, of its budget.", []string{"provider", "bound"}, nil)
	descAlerts    = prometheus.NewDesc("sluice_alerts", "Alerts that were told and are not over.", []string{"kind"}, nil)
	descHolds     = prometheus.NewDesc("sluice_price_holds", "Prices that the guard of their list holds until somebody decides on them.", []string{"price_list", "reason"}, nil)
	descHoldAge   = prometheus.NewDesc("sluice_price_hold_oldest_seconds", "For how long the oldest price that is held has been; 0: none is.", []string{"price_list"}, nil)
	descDrifts    = prometheus.NewDesc("sluice_drift_listings", "Listings whose target was found to hold something else than it had acknowledged.", []string{"channel"}, nil)
	descPassed    = prometheus.NewDesc("sluice_reconcile_last_pass_timestamp_seconds", "When the last reading back of all products of the channel ended; 0: never.", []string{"channel"}, nil)
	descPool      = prometheus.NewDesc("sluice_pool_connections", "Database connections by pool and state.", []string{"pool", "state"}, nil)
	descPoolWait  = prometheus.NewDesc("sluice_pool_wait_seconds_total", "Time spent waiting for a database connection.", []string{"pool"}, nil)
)

// Describe implements prometheus.Collector.
func (c *stateCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descReadable, descFreshness, descDue, descExpired, descOutboxAge, descPoison, descListings, descBreaker, descPaused, descThrottled, descRests, descToday, descAllowed, descOutbox, descJobs, descOldest,
		descTasks, descTaskAge, descLots, descDerive, descBounds, descAlerts, descHolds, descHoldAge, descDrifts, descPassed, descPool, descPoolWait,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. Without a database it gives the
// pool's figures alone.
func (c *stateCollector) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.at) > stateEvery {
		ctx, cancel := context.WithTimeout(context.Background(), stateTimeout)
		defer cancel()
		c.state, c.at = c.read(ctx), time.Now()
	}
	for _, m := range c.state {
		ch <- m
	}
	for name, s := range c.store.PoolStats() {
		ch <- gauge(descPool, float64(s.AcquiredConns()), name, "busy")
		ch <- gauge(descPool, float64(s.IdleConns()), name, "idle")
		ch <- gauge(descPool, float64(s.MaxConns()), name, "max")
		ch <- prometheus.MustNewConstMetric(descPoolWait, prometheus.CounterValue, s.AcquireDuration().Seconds(), name)
	}
}

// read gives what it could read, and says whether that is all.
func (c *stateCollector) read(ctx context.Context) []prometheus.Metric {
	out, err := c.readAll(ctx)
	return append(out, gauge(descReadable, truth(err == nil)))
}

func (c *stateCollector) readAll(ctx context.Context) (out []prometheus.Metric, err error) {
	lanes, err := c.store.LaneStats(ctx, "")
	if err != nil {
		return nil, err
	}
	for _, l := range lanes {
		c.metrics.met(l.Channel, l.Lane)
		code, lane := string(l.Channel), l.Lane.String()
		out = append(out, gauge(descFreshness, l.Oldest.Seconds(), code, lane), gauge(descDue, l.Due.Seconds(), code, lane))
		for _, s := range pim.ListingStates {
			out = append(out, gauge(descListings, float64(l.States[s]), code, lane, string(s)))
		}
	}
	channels, err := c.store.Channels(ctx)
	if err != nil {
		return out, err
	}
	now := time.Now()
	for _, ch := range channels {
		if !ch.HasConnector() {
			continue // nothing works for it
		}
		code := string(ch.Code)
		out = append(out, gauge(descBreaker, truth(ch.Fails >= postgres.BreakerFails), code),
			gauge(descPaused, truth(!ch.Enabled), code), gauge(descAllowed, float64(ch.Allowed), code),
			gauge(descThrottled, truth(ch.ThrottledUntil != nil && ch.ThrottledUntil.After(now)), code))
		out = append(out, gauge(descToday, float64(ch.RequestsToday), code))
		why, _ := ch.Rests(now)
		for _, reason := range []string{
			postgres.HoldDown, postgres.HoldAuth, postgres.HoldThrottled, postgres.HoldBudget, postgres.HoldQuota, postgres.HoldRate,
		} {
			out = append(out, gauge(descRests, truth(why == reason), code, "", reason))
		}
		for _, h := range ch.Held {
			out = append(out, gauge(descRests, 1, code, h.Lane.String(), h.For))
		}
	}
	road, err := c.store.RoadStats(ctx)
	if err != nil {
		return out, err
	}
	out = append(append(out, gauge(descOutbox, float64(road.Outbox)), gauge(descOutboxAge, road.OutboxAge.Seconds()),
		gauge(descPoison, float64(road.Poisoned)), gauge(descExpired, float64(road.Expired))), queueMetrics(road.Queues)...)
	return c.besides(ctx, out)
}

// besides adds what waits beside the road.
func (c *stateCollector) besides(ctx context.Context, out []prometheus.Metric) ([]prometheus.Metric, error) {
	tasks, err := c.store.TaskCounts(ctx)
	if err != nil {
		return out, err
	}
	for _, t := range tasks {
		out = append(out, gauge(descTasks, float64(t.Waiting), t.Kind, string(postgres.TaskWaiting)), gauge(descTasks, float64(t.Due), t.Kind, string(postgres.TaskDue)),
			gauge(descTasks, float64(t.Failed), t.Kind, string(postgres.TaskFailed)), gauge(descTaskAge, t.OldestDue, t.Kind), gauge(descLots, float64(t.LotsWaiting), t.Kind))
	}
	rows, err := c.store.DeriveRows(ctx)
	if err != nil {
		return out, err
	}
	out = append(out, gauge(descDerive, float64(rows)))
	providers, err := c.store.Providers(ctx)
	if err != nil {
		return out, err
	}
	for _, p := range providers {
		if p.Quota > 0 {
			out = append(out, gauge(descBounds, float64(p.Used)/float64(p.Quota), p.Code, "quota"))
		}
		budget, err1 := strconv.ParseFloat(p.Budget, 64)
		spent, err2 := strconv.ParseFloat(p.Spent, 64)
		if err1 == nil && err2 == nil && budget > 0 {
			out = append(out, gauge(descBounds, spent/budget, p.Code, "budget"))
		}
	}
	alerts, err := c.store.AlertCounts(ctx)
	if err != nil {
		return out, err
	}
	for _, kind := range pim.AlertKinds {
		out = append(out, gauge(descAlerts, float64(alerts[kind]), string(kind)))
	}
	holds, err := c.store.PriceHoldCounts(ctx)
	if err != nil {
		return out, err
	}
	for _, h := range holds {
		out = append(out, gauge(descHolds, float64(h.Share), h.PriceList, string(pim.HoldShare)), gauge(descHolds, float64(h.Factor), h.PriceList, string(pim.HoldFactor)),
			gauge(descHoldAge, h.Oldest, h.PriceList))
	}
	return c.compared(ctx, out)
}

// queueMetrics gives the queues' figures; those of our own kinds are there
// when they are 0, too, for a series that is missing looks like a scrape that
// went wrong.
func queueMetrics(queues []postgres.QueueStats) (out []prometheus.Metric) {
	type key struct{ queue, state string }
	jobs, oldest := map[key]int64{}, map[string]time.Duration{}
	for _, kind := range kinds {
		jobs[key{kind, stateAvailable}], jobs[key{kind, stateRunning}], oldest[kind] = 0, 0, 0
	}
	for _, q := range queues {
		jobs[key{q.Queue, q.State}] = q.Jobs
		if q.State == stateAvailable {
			oldest[q.Queue] = q.Oldest
		}
	}
	for k, n := range jobs {
		out = append(out, gauge(descJobs, float64(n), k.queue, k.state))
	}
	for queue, age := range oldest {
		out = append(out, gauge(descOldest, age.Seconds(), queue))
	}
	return out
}

const (
	stateAvailable = string(rivertype.JobStateAvailable)
	stateRunning   = string(rivertype.JobStateRunning)
)

func gauge(d *prometheus.Desc, v float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
