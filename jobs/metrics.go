package jobs

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

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
}

func newMetrics(reg prometheus.Registerer, store *postgres.Store) *metrics {
	if reg == nil {
		reg = prometheus.NewRegistry()
	}
	lane := []string{"channel", "lane"}
	m := &metrics{
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_deliveries_total",
			Help: "Listings by what became of them: live, accepted, pending, skipped (nothing differs), or a verdict.",
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
	}
	reg.MustRegister(m.deliveries, m.calls, m.projection, m.acks, m.marked, m.poisoned, m.takeovers)
	if store != nil {
		reg.MustRegister(&stateCollector{store: store})
	}
	return m
}

func (m *metrics) called(c pim.ChannelCode, l pim.Lane, what string, d time.Duration) {
	m.calls.WithLabelValues(string(c), l.String(), what).Observe(d.Seconds())
}

func (m *metrics) projected(c pim.ChannelCode, l pim.Lane, n int, d time.Duration) {
	if n > 0 {
		m.projection.WithLabelValues(string(c), l.String()).Observe(d.Seconds() / float64(n))
	}
}

func (m *metrics) acknowledged(c pim.ChannelCode, l pim.Lane, d time.Duration) {
	m.acks.WithLabelValues(string(c), l.String()).Observe(max(0, d.Seconds()))
}

// stateCollector reads the state tables when it is scraped, at most every
// stateEvery: counting listings reads all of them.
type stateCollector struct {
	store *postgres.Store

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
	descThrottled = prometheus.NewDesc("sluice_channel_throttled", "1 while the target throttles the channel.", []string{"channel"}, nil)
	descAllowed   = prometheus.NewDesc("sluice_channel_concurrency", "Calls that the channel may have in flight now.", []string{"channel"}, nil)
	descOutbox    = prometheus.NewDesc("sluice_outbox_rows", "Changes that fan-out has still to look at.", nil, nil)
	descJobs      = prometheus.NewDesc("sluice_river_jobs", "River jobs by queue and state.", []string{"queue", "state"}, nil)
	descOldest    = prometheus.NewDesc("sluice_river_oldest_job_seconds", "Age of the oldest job that waits to be worked.", []string{"queue"}, nil)
	descPool      = prometheus.NewDesc("sluice_pool_connections", "Database connections by pool and state.", []string{"pool", "state"}, nil)
	descPoolWait  = prometheus.NewDesc("sluice_pool_wait_seconds_total", "Time spent waiting for a database connection.", []string{"pool"}, nil)
)

// Describe implements prometheus.Collector.
func (c *stateCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descFreshness, descListings, descBreaker, descPaused, descThrottled, descAllowed, descOutbox, descJobs, descOldest, descPool, descPoolWait,
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

func (c *stateCollector) read(ctx context.Context) (out []prometheus.Metric) {
	lanes, err := c.store.LaneStats(ctx, "")
	if err != nil {
		return nil
	}
	for _, l := range lanes {
		out = append(out, gauge(descFreshness, l.Oldest.Seconds(), string(l.Channel), l.Lane.String()))
		for _, s := range pim.ListingStates {
			out = append(out, gauge(descListings, float64(l.States[s]), string(l.Channel), l.Lane.String(), string(s)))
		}
	}
	channels, err := c.store.Channels(ctx)
	if err != nil {
		return out
	}
	now := time.Now()
	for _, ch := range channels {
		code := string(ch.Code)
		out = append(out, gauge(descBreaker, truth(ch.Fails >= postgres.BreakerFails), code),
			gauge(descPaused, truth(!ch.Enabled), code), gauge(descAllowed, float64(ch.Allowed), code),
			gauge(descThrottled, truth(ch.ThrottledUntil != nil && ch.ThrottledUntil.After(now)), code))
	}
	road, err := c.store.RoadStats(ctx)
	if err != nil {
		return out
	}
	out = append(out, gauge(descOutbox, float64(road.Outbox)))
	for _, q := range road.Queues {
		out = append(out, gauge(descJobs, float64(q.Jobs), q.Queue, q.State))
		if q.State == "available" {
			out = append(out, gauge(descOldest, q.Oldest.Seconds(), q.Queue))
		}
	}
	return out
}

func gauge(d *prometheus.Desc, v float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
