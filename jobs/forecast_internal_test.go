package jobs

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// On a virtual clock: once a queue has been worked off at one rate for two
// minutes, the forecast of its end is right within a tenth of the time that is
// left, and ten seconds, whatever the rate, the windows, and when is asked.
func TestForecastOfASteadyQueue(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Float64Range(0.5, 5000).Draw(t, "rate")
		left := rate * float64(rapid.IntRange(300, 20000).Draw(t, "seconds of work"))
		start := time.Unix(1_700_000_000, 0).UTC().Add(time.Duration(rapid.IntRange(0, 86400).Draw(t, "begins")) * time.Second)
		ask := time.Duration(rapid.IntRange(120, 290).Draw(t, "asked after")) * time.Second
		ch := &postgres.Channel{Code: "shop", Enabled: true}
		if rapid.Bool().Draw(t, "windows") {
			// It was open while the rate was measured, and has hours of its own later.
			opens := start.Truncate(time.Minute)
			ch.Policy.Flow.Windows = []pim.Window{{From: opens.Format("15:04"), To: opens.Add(time.Duration(rapid.IntRange(10, 600).Draw(t, "open for")) * time.Minute).Format("15:04")}}
		}
		// The queue, second by second; what is finished is written down every five.
		var (
			minutes []postgres.PaceMinute
			unsaid  float64
			asked   *LaneForecast
			now     = start
		)
		for i := 0; left > 0; i++ {
			if open, until := ch.Policy.Flow.Open(pim.Offer, now); !open {
				now = until
				continue
			}
			now = now.Add(time.Second)
			left -= rate
			unsaid += rate
			if i%5 == 4 && asked == nil {
				ends := now.Truncate(time.Minute).Add(time.Minute)
				if n := len(minutes); n == 0 || !minutes[n-1].Ended.Equal(ends) {
					minutes = append(minutes, postgres.PaceMinute{Began: now, Ended: ends})
				}
				whole := int64(unsaid)
				minutes[len(minutes)-1].Done += whole
				unsaid -= float64(whole)
			}
			if asked == nil && now.Sub(start) >= ask {
				f := forecast(ch, &postgres.Backlog{Now: now, Lanes: []postgres.LaneBacklog{{Lane: pim.Offer, Due: int64(left), Minutes: minutes}}})
				if f.ETA == nil {
					t.Fatalf("no forecast: %+v", f)
				}
				start, asked = now, &f.Lanes[0]
			}
		}
		off := asked.ETA.Sub(now).Abs()
		work := now.Sub(start)
		if w := ch.Policy.Flow.Windows; len(w) > 0 {
			// An error that falls into the night moves the end to the next morning.
			if open, until := ch.Policy.Flow.Open(pim.Offer, now.Add(-work/10-10*time.Second)); !open || until.Before(now.Add(work/10+10*time.Second)) {
				return
			}
		}
		if off > work/10+10*time.Second {
			t.Fatalf("asked at a rate of %g (measured %g): %s off, with %s to go", rate, asked.Rate, off, work)
		}
	})
}

// A channel that cannot go on has no time of its own to be done, and says why.
func TestForecastSaysWhyNot(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0).UTC()
	later := now.Add(time.Hour)
	steady := []postgres.PaceMinute{{Began: now.Add(-time.Minute), Ended: now, Done: 60}}
	for name, c := range map[string]struct {
		ch   postgres.Channel
		lane postgres.LaneBacklog
		want string
		eta  time.Duration
	}{
		"nothing to do":  {postgres.Channel{Fails: 9}, postgres.LaneBacklog{}, "", 0},
		"steady":         {postgres.Channel{Enabled: true}, postgres.LaneBacklog{Due: 50, Later: 10, Minutes: steady}, "", time.Minute},
		"paused":         {postgres.Channel{}, postgres.LaneBacklog{Due: 1, Minutes: steady}, "paused", 0},
		"down":           {postgres.Channel{Enabled: true, Fails: 3}, postgres.LaneBacklog{Due: 1, Minutes: steady}, "down", 0},
		"refused":        {postgres.Channel{Enabled: true, Fails: 3, Hold: "auth"}, postgres.LaneBacklog{Due: 1, Minutes: steady}, "auth", 0},
		"publishing":     {postgres.Channel{Enabled: true, Marking: true}, postgres.LaneBacklog{Due: 1, Minutes: steady}, "publishing", 0},
		"never worked":   {postgres.Channel{Enabled: true}, postgres.LaneBacklog{Due: 1}, "no_rate", 0},
		"throttled":      {postgres.Channel{Enabled: true, ThrottledUntil: &later}, postgres.LaneBacklog{Due: 60, Minutes: steady}, "", time.Hour + time.Minute},
		"the lane waits": {postgres.Channel{Enabled: true}, postgres.LaneBacklog{Due: 60, Minutes: steady, Wait: time.Hour, WaitFor: "quota"}, "", time.Hour + time.Minute},
		"a day and a bit": {
			postgres.Channel{Enabled: true, Policy: pim.Policy{Flow: pim.Flow{Windows: []pim.Window{{From: "00:00", To: "00:01"}}}}},
			postgres.LaneBacklog{Lane: pim.Offer, Due: 90, Minutes: steady},
			"", now.Truncate(24 * time.Hour).Add(48*time.Hour + 30*time.Second).Sub(now),
		},
	} {
		f := forecast(&c.ch, &postgres.Backlog{Now: now, Lanes: []postgres.LaneBacklog{c.lane}})
		if f.Reason != c.want || (f.ETA == nil) != (c.want != "") {
			t.Errorf("%s: %+v", name, f)
		} else if f.ETA != nil && f.ETA.Sub(now).Round(time.Second) != c.eta.Round(time.Second) {
			t.Errorf("%s: in %s, want %s", name, f.ETA.Sub(now), c.eta)
		}
	}
}

// On a virtual clock: a forecast knows what a day's quota lets through, whoever
// of the lanes uses it up, whatever a listing costs, and when the day begins.
func TestForecastOfAQuota(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		start := time.Unix(1_700_000_000, 0).UTC().Add(time.Duration(rapid.IntRange(0, 86400).Draw(t, "begins")) * time.Second)
		ch := &postgres.Channel{Code: "shop", Enabled: true}
		flow := &ch.Policy.Flow
		flow.RequestsPerDay = rapid.IntRange(100, 5000).Draw(t, "quota")
		flow.DayBegins = []string{"00:00", "06:30", "23:00"}[rapid.IntRange(0, 2).Draw(t, "day")]
		if rapid.Bool().Draw(t, "windows") {
			flow.Windows = []pim.Window{{From: "20:00", To: "03:00", Lanes: []string{"content"}}}
		}
		b := &postgres.Backlog{Now: start, Used: int64(rapid.IntRange(0, flow.RequestsPerDay).Draw(t, "used"))}
		b.Day, _ = flow.Day(start)
		lanes := []pim.Lane{pim.Offer, pim.Content}
		requests := map[pim.Lane]int{pim.Offer: rapid.IntRange(1, 3).Draw(t, "requests an offer"), pim.Content: rapid.IntRange(1, 3).Draw(t, "requests a text")}
		left := map[pim.Lane]int{}
		for _, lane := range lanes {
			left[lane] = rapid.IntRange(0, 5*flow.RequestsPerDay).Draw(t, "left")
			b.Lanes = append(b.Lanes, postgres.LaneBacklog{Lane: lane, Due: int64(left[lane]), Minutes: []postgres.PaceMinute{
				{Began: start.Add(-time.Minute), Ended: start, Done: 60, Requests: int64(60 * requests[lane])}, // one a second
			}})
		}
		f := forecast(ch, b)
		// The queues, second by second while one of them gets on.
		ends := map[pim.Lane]time.Time{pim.Offer: start, pim.Content: start}
		day, used := b.Day, int(b.Used)
		for now := start; left[pim.Offer]+left[pim.Content] > 0; {
			if at, _ := flow.Day(now); at.After(day) {
				day, used = at, 0
			}
			next := now.Add(48 * time.Hour)
			for _, lane := range lanes {
				open, until := flow.Open(lane, now)
				switch {
				case left[lane] == 0:
				case !open:
					next = earliest(next, until)
				case used >= flow.Quota(lane, false, now):
					next = earliest(next, flow.QuotaRises(lane, now))
				default:
					used += requests[lane]
					left[lane]--
					next = now.Add(time.Second)
					ends[lane] = next
				}
			}
			now = next
		}
		for i, lane := range lanes {
			got := f.Lanes[i].ETA
			if got == nil {
				t.Fatalf("%s: no forecast: %+v", lane, f.Lanes[i])
			}
			// Whole listings do not fill a quota as a stream does: what is over at a day's end goes on the next day,
			// and each lane may go above its part by a listing a day, which of a small quota is a share of its own.
			over := 1.0/20 + float64(requests[pim.Offer]+requests[pim.Content])/float64(flow.RequestsPerDay)
			if off := got.Sub(ends[lane]).Abs(); off > 24*time.Hour+time.Minute && off.Seconds() > over*ends[lane].Sub(start).Seconds() {
				t.Fatalf("%s: %s off, with %s to go", lane, off, ends[lane].Sub(start))
			}
		}
	})
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// Ten thousand listings at a thousand requests a day take ten days, and a half:
// the last twentieth of each day is kept for what is sold out.
func TestForecastOfTenDays(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	ch := &postgres.Channel{Code: "shop", Enabled: true}
	ch.Policy.Flow.RequestsPerDay = 1000
	steady := []postgres.PaceMinute{{Began: now.Add(-time.Minute), Ended: now, Done: 600, Requests: 600}}
	for lane, hours := range map[pim.Lane]float64{pim.Offer: 0, pim.Content: 20} { // texts get the last of it four hours before the day ends
		f := forecast(ch, &postgres.Backlog{Now: now, Day: now, Lanes: []postgres.LaneBacklog{{Lane: lane, Due: 10_000, Minutes: steady}}})
		want := now.AddDate(0, 0, 10)
		if f.ETA == nil || f.ETA.Before(want) || f.ETA.After(want.Add(lasting(hours*3600+3600))) {
			t.Errorf("%s: %v, want %v and at most %v hours", lane, f.ETA, want, hours+1)
		}
	}
	// So does one listing with as many before it.
	f := forecast(ch, &postgres.Backlog{Now: now, Day: now, Used: 1000, Lanes: []postgres.LaneBacklog{{Lane: pim.Offer, Due: 1, Minutes: steady}}})
	if f.ETA == nil || f.ETA.Before(now.AddDate(0, 0, 1)) {
		t.Errorf("with nothing left of today's quota: %v", f.ETA)
	}
}
