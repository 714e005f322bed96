package jobs

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"time"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// Forecast is what a channel has before it, and until when that is done.
type Forecast struct {
	Channel pim.ChannelCode `json:"channel"`
	At      time.Time       `json:"at"`
	Backlog int64           `json:"backlog" doc:"Listings of all lanes that are to be sent or asked for"`
	ETA     *time.Time      `json:"eta" doc:"When all lanes are done with what waits now; null: nobody can say, see reason"`
	Reason  string          `json:"reason,omitempty" enum:"no_connector,paused,down,auth,publishing,window,quota,no_rate" doc:"Why there is no eta: no_connector, nothing is ever sent; no_rate, nothing was finished within the last hours"`
	Lanes   []LaneForecast  `json:"lanes"`
}

// LaneForecast is one lane of a Forecast.
type LaneForecast struct {
	Lane    pim.Lane   `json:"lane"`
	Due     int64      `json:"due" doc:"Could be sent now, as far as the listing itself is concerned"`
	Later   int64      `json:"later" doc:"Wait for their time: after a failure, or until the target is asked what became of them"`
	Pending int64      `json:"pending" doc:"Of all these, those that the target has taken and not answered"`
	Content int64      `json:"waiting_for_content" doc:"Not among the backlog: they wait until the target holds their content"`
	Rate    float64    `json:"rate" doc:"Listings finished in a second, those that needed no call among them; 0: unknown"`
	From    *time.Time `json:"rate_from,omitempty" doc:"The rate was measured from here"`
	To      *time.Time `json:"rate_to,omitempty" doc:"to here, at most ten minutes"`
	ETA     *time.Time `json:"eta"`
	Reason  string     `json:"reason,omitempty" enum:"paused,down,auth,publishing,window,quota,no_rate"`
	Assumes []string   `json:"assumes,omitempty" doc:"What the eta takes for granted"`
}

// Reasons why a forecast has no ETA, beside the channel's holds.
const (
	noETAPaused     = "paused"
	noETAPublishing = "publishing"
	noETARate       = "no_rate"
)

const (
	// rateOver is how long the rate is measured.
	rateOver = 10 * time.Minute
	// rateGap without anything finished parts two spells of work.
	rateGap = 2 * time.Minute
	// forecastEvents bounds how far is looked ahead: years, of a window or a quota a day.
	forecastEvents = 10_000
)

// Forecast says what a channel has before it. It reads every waiting listing of
// the channel.
func (c *Channels) Forecast(ctx context.Context, code pim.ChannelCode) (*Forecast, error) {
	ch, err := c.store.Channel(ctx, code)
	if err != nil {
		return nil, err
	}
	if !ch.HasConnector() {
		now, err := c.store.Now(ctx)
		return &Forecast{Channel: ch.Code, At: now, Reason: string(ReasonNoConnector), Lanes: []LaneForecast{}}, err
	}
	b, err := c.store.Backlog(ctx, ch.ID)
	if err != nil {
		return nil, err
	}
	return forecast(ch, b), nil
}

// ETA says when a listing of the channel's lane is done that has ahead others of
// its lane before it, and waits for nothing of its own; nil: nobody can say, for
// the reason of a Forecast. It reads no listing.
func (c *Channels) ETA(ctx context.Context, ch *postgres.Channel, lane pim.Lane, ahead int64) (eta *time.Time, reason string, err error) {
	b, err := c.store.Paced(ctx, ch.ID)
	if err != nil {
		return nil, "", err
	}
	marked := *ch
	marked.Marking = false // what that adds to the lane comes behind what is queued
	ch = &marked
	for i := range b.Lanes {
		if l := &b.Lanes[i]; l.Lane == lane {
			l.Due = ahead + 1
		}
	}
	for _, l := range forecast(ch, b).Lanes {
		if l.Lane == lane {
			return l.ETA, l.Reason, nil
		}
	}
	return nil, noETARate, nil
}

// forecast is pure.
func forecast(ch *postgres.Channel, b *postgres.Backlog) *Forecast {
	f := &Forecast{Channel: ch.Code, At: b.Now, Lanes: []LaneForecast{}}
	s := &simulation{at: b.Now, flow: ch.Policy.Flow, used: float64(b.Used)}
	if s.day, _ = s.flow.Day(b.Now); b.Day.Before(s.day) {
		s.used = 0
	}
	for i := range b.Lanes {
		l, work := laneAhead(ch, b, &b.Lanes[i])
		f.Lanes = append(f.Lanes, l)
		s.lanes = append(s.lanes, work)
	}
	s.run()
	eta := b.Now
	for i := range f.Lanes {
		l, work := &f.Lanes[i], s.lanes[i]
		switch {
		case l.Reason != "":
		case work.done:
			l.ETA = &work.at
		default:
			l.Reason = cmp.Or(work.waits, postgres.HoldWindow)
		}
		if l.Reason != "" {
			l.Assumes = nil
		}
		f.Backlog += l.Due + l.Later
		if l.ETA == nil && f.Reason == "" {
			f.Reason = l.Reason
		} else if l.ETA != nil && l.ETA.After(eta) {
			eta = *l.ETA
		}
	}
	if f.Reason == "" {
		f.ETA = &eta
	}
	return f
}

// laneAhead is the lane's forecast without its end, and the work of it.
func laneAhead(ch *postgres.Channel, all *postgres.Backlog, b *postgres.LaneBacklog) (LaneForecast, *laneWork) {
	now := all.Now
	l := LaneForecast{Lane: b.Lane, Due: b.Due, Later: b.Later, Pending: b.Tickets, Content: b.Waiting}
	rate, cost, from, to := paceOf(now, b.Minutes)
	if rate > 0 {
		l.Rate, l.From, l.To = rate, &from, &to
	}
	work := &laneWork{lane: b.Lane, left: float64(b.Due + b.Later), rate: rate, from: now, at: now}
	if work.left == 0 {
		work.done = true
		return l, work
	}
	switch {
	case !ch.Enabled:
		l.Reason = noETAPaused
	case ch.Fails >= postgres.BreakerFails && ch.Hold == postgres.HoldAuth:
		l.Reason = postgres.HoldAuth
	case ch.Fails >= postgres.BreakerFails:
		l.Reason = postgres.HoldDown
	case ch.Marking:
		l.Reason = noETAPublishing
	case rate <= 0:
		l.Reason = noETARate
	}
	if l.Reason != "" {
		work.done = true // of no account to the others
		return l, work
	}
	l.Assumes = append(l.Assumes, fmt.Sprintf("it goes on at %s a second, as measured; new changes go ahead of what is sent in bulk, and add to it", short(rate)))
	if ch.ThrottledUntil != nil && ch.ThrottledUntil.After(now) {
		work.from = *ch.ThrottledUntil
		l.Assumes = append(l.Assumes, "it rests until "+work.from.UTC().Format(time.RFC3339)+", as its target or its quota asks, and not again")
	}
	if until := now.Add(b.Wait); until.After(work.from) {
		work.from = until
		l.Assumes = append(l.Assumes, fmt.Sprintf("the lane waits until %s (%s)", until.UTC().Format(time.RFC3339), b.WaitFor))
	}
	if b.Tickets > 0 {
		l.Assumes = append(l.Assumes, "what the target has taken is answered as fast as before")
	}
	if n := ch.Policy.Flow.RequestsPerDay; n > 0 {
		work.cost = cost
		l.Assumes = append(l.Assumes, fmt.Sprintf("each takes %s requests, as measured, of the %d a day that its lane may have at %d at most", short(cost), n, ch.Policy.Flow.Quota(b.Lane, false, now)))
	}
	if _, until := ch.Policy.Flow.Open(b.Lane, now); !until.IsZero() {
		l.Assumes = append(l.Assumes, "it is sent within the channel's windows alone")
	}
	return l, work
}

// simulation works lanes off on a clock of its own, as the channel's flow lets
// them: each at its rate, within its windows, and all of them with one quota.
type simulation struct {
	at    time.Time
	flow  pim.Flow
	day   time.Time // of the quota
	used  float64
	lanes []*laneWork
}

// laneWork is what a lane of a simulation has to do.
type laneWork struct {
	lane  pim.Lane
	left  float64 // listings
	rate  float64 // of them, a second
	cost  float64 // requests for one; 0 where there is no quota
	from  time.Time
	waits string // why it could not go on, when it was last looked at
	done  bool
	at    time.Time // when it was
}

// run goes from one event to the next: a lane is done, or may begin; a window
// opens or closes; a quota is used up, rises, or begins anew.
func (s *simulation) run() {
	for range forecastEvents {
		if day, _ := s.flow.Day(s.at); day.After(s.day) {
			s.day, s.used = day, 0
		}
		var (
			next  time.Time
			spend float64 // requests a second
			goes  []*laneWork
			left  = 0
		)
		event := func(at time.Time) {
			if !at.IsZero() && (next.IsZero() || at.Before(next)) {
				next = at
			}
		}
		for _, l := range s.lanes {
			if l.done {
				continue
			}
			left++
			open, until := s.flow.Open(l.lane, s.at)
			switch {
			case l.from.After(s.at):
				l.waits = ""
				event(l.from)
			case !open:
				l.waits = postgres.HoldWindow
				event(until)
			case l.cost > 0 && s.used >= float64(s.flow.Quota(l.lane, false, s.at)):
				l.waits = postgres.HoldQuota
				event(s.flow.QuotaRises(l.lane, s.at))
			default:
				l.waits = ""
				goes, spend = append(goes, l), spend+l.rate*l.cost
				event(until)
				event(s.at.Add(lasting(l.left / l.rate)))
			}
		}
		if left == 0 {
			return
		}
		if spend > 0 {
			_, ends := s.flow.Day(s.at)
			event(ends)
			for _, l := range goes {
				if l.cost > 0 {
					event(s.at.Add(lasting((float64(s.flow.Quota(l.lane, false, s.at)) - s.used) / spend)))
				}
			}
		}
		if next.IsZero() {
			return
		}
		took := next.Sub(s.at).Seconds()
		s.at, s.used = next, s.used+spend*took
		for _, l := range goes {
			if l.left -= l.rate * took; l.left*1e3 < l.rate { // within a millisecond
				l.done, l.at = true, s.at
			}
		}
	}
}

// lasting is at least a millisecond, so that a simulation gets on.
func lasting(s float64) time.Duration {
	return max(time.Duration(min(s, 1e9)*float64(time.Second)), time.Millisecond)
}

// paceOf is how many listings were finished in a second within the last spell of
// work, and at most within its last ten minutes, and how many requests each took.
// What is counted is written down every few seconds: a shorter spell is less exact.
func paceOf(now time.Time, minutes []postgres.PaceMinute) (rate, cost float64, from, to time.Time) {
	n := len(minutes)
	if n == 0 {
		return 0, 0, from, to
	}
	if to = minutes[n-1].Ended; now.Sub(to) < rateGap {
		to = now
	}
	var done, requests int64
	for i := n - 1; i >= 0; i-- {
		m := &minutes[i]
		if i < n-1 && (to.Sub(m.Began) > rateOver || from.Sub(m.Ended) > rateGap) {
			break
		}
		done, requests = done+m.Done, requests+m.Requests
		from = m.Began
	}
	span := to.Sub(from)
	if span < time.Second {
		span = time.Second
	}
	return float64(done) / span.Seconds(), float64(requests) / max(1, float64(done)), from, to
}

// short is a rate for people.
func short(rate float64) string {
	if rate <= 0 {
		return "0"
	}
	digits := max(0, 2-int(math.Floor(math.Log10(rate))))
	return fmt.Sprintf("%.*f", min(digits, 6), rate)
}
