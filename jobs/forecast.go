package jobs

import (
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
	Reason  string          `json:"reason,omitempty" enum:"paused,down,auth,publishing,window,no_rate" doc:"Why there is no eta: no_rate, nothing was finished within the last hours"`
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
	Reason  string     `json:"reason,omitempty" enum:"paused,down,auth,publishing,window,no_rate"`
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
	// forecastWindows bounds how many windows are looked ahead.
	forecastWindows = 1000
)

// Forecast says what a channel has before it. It reads every waiting listing of
// the channel.
func (c *Channels) Forecast(ctx context.Context, code pim.ChannelCode) (*Forecast, error) {
	ch, err := c.store.Channel(ctx, code)
	if err != nil {
		return nil, err
	}
	now, lanes, err := c.store.Backlog(ctx, ch.ID)
	if err != nil {
		return nil, err
	}
	return forecast(now, ch, lanes), nil
}

// forecast is pure.
func forecast(now time.Time, ch *postgres.Channel, lanes []postgres.LaneBacklog) *Forecast {
	f := &Forecast{Channel: ch.Code, At: now, Lanes: []LaneForecast{}}
	eta := now
	for i := range lanes {
		l := forecastLane(now, ch, &lanes[i])
		f.Lanes = append(f.Lanes, l)
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

func forecastLane(now time.Time, ch *postgres.Channel, b *postgres.LaneBacklog) LaneForecast {
	l := LaneForecast{Lane: b.Lane, Due: b.Due, Later: b.Later, Pending: b.Tickets, Content: b.Waiting}
	rate, from, to := paceOf(now, b.Minutes)
	if rate > 0 {
		l.Rate, l.From, l.To = rate, &from, &to
	}
	left := float64(b.Due + b.Later)
	if left == 0 {
		l.ETA = &now
		return l
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
		return l
	}
	l.Assumes = append(l.Assumes, fmt.Sprintf("it goes on at %s a second, as measured; new changes go ahead of what is sent in bulk, and add to it", short(rate)))
	at := now
	if ch.ThrottledUntil != nil && ch.ThrottledUntil.After(at) {
		at = *ch.ThrottledUntil
		l.Assumes = append(l.Assumes, "it rests until "+at.UTC().Format(time.RFC3339)+", as its target or its quota asks, and not again")
	}
	if until := now.Add(b.Wait); until.After(at) {
		at = until
		l.Assumes = append(l.Assumes, fmt.Sprintf("the lane waits until %s (%s)", at.UTC().Format(time.RFC3339), b.WaitFor))
	}
	if b.Tickets > 0 {
		l.Assumes = append(l.Assumes, "what the target has taken is answered as fast as before")
	}
	if ch.Policy.Flow.RequestsPerDay > 0 {
		l.Assumes = append(l.Assumes, "the day's quota lasts")
	}
	windows := false
	for range forecastWindows {
		open, until := ch.Policy.Flow.Open(b.Lane, at)
		windows = windows || !until.IsZero()
		need := left / rate
		switch {
		case !open && until.IsZero():
			l.Reason, l.Assumes = postgres.HoldWindow, nil
			return l
		case !open:
			at = until
			continue
		case until.IsZero() || need <= until.Sub(at).Seconds():
			eta := at.Add(time.Duration(min(need, 1e9) * float64(time.Second)))
			l.ETA = &eta
			if windows {
				l.Assumes = append(l.Assumes, "it is sent within the channel's windows alone")
			}
			return l
		}
		left -= rate * until.Sub(at).Seconds()
		at = until
	}
	l.Reason, l.Assumes = postgres.HoldWindow, nil
	return l
}

// paceOf is how many listings were finished in a second within the last spell of
// work, and at most within its last ten minutes. What is counted is written down
// every few seconds: a shorter spell is less exact.
func paceOf(now time.Time, minutes []postgres.PaceMinute) (rate float64, from, to time.Time) {
	n := len(minutes)
	if n == 0 {
		return 0, from, to
	}
	if to = minutes[n-1].Ended; now.Sub(to) < rateGap {
		to = now
	}
	var done int64
	for i := n - 1; i >= 0; i-- {
		m := &minutes[i]
		if i < n-1 && (to.Sub(m.Began) > rateOver || from.Sub(m.Ended) > rateGap) {
			break
		}
		done += m.Done
		from = m.Began
	}
	span := to.Sub(from)
	if span < time.Second {
		span = time.Second
	}
	return float64(done) / span.Seconds(), from, to
}

// short is a rate for people.
func short(rate float64) string {
	digits := max(0, 2-int(math.Floor(math.Log10(rate))))
	return fmt.Sprintf("%.*f", min(digits, 6), rate)
}
