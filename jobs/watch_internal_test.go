package jobs

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// Whatever a channel does, who is told hears "raised" and "cleared" in turn, no
// sooner than it was bad, and then well, for long enough; what is bad all the
// time is raised in time, and what is well all the time is over in time.
func TestAlertsAreDamped(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		raise := time.Duration(rapid.IntRange(1, 100).Draw(t, "raise")) * time.Second
		calm := time.Duration(rapid.IntRange(1, 100).Draw(t, "clear")) * time.Second
		now := time.Unix(1e9, 0)
		c := postgres.Watched{Channel: 1, Code: "shop", Enabled: true, Policy: pim.Policy{Alerts: pim.Alerts{RaiseSeconds: raise.Seconds(), ClearSeconds: calm.Seconds()}}}
		var (
			open                 []postgres.AlertState
			told                 bool
			badFrom, wellFrom    = now, now // since when it is, without a break
			firstBad, everRaised time.Time  // of the spell
			id                   int64
		)
		for range rapid.IntRange(1, 60).Draw(t, "looks") {
			bad := rapid.Bool().Draw(t, "bad")
			now = now.Add(time.Duration(rapid.IntRange(1, 40).Draw(t, "wait")) * time.Second)
			if c.Fails = 0; bad {
				if c.Fails = postgres.BreakerFails; badFrom.IsZero() {
					badFrom = now
				}
				wellFrom = time.Time{}
			} else {
				if wellFrom.IsZero() {
					wellFrom = now
				}
				badFrom = time.Time{}
			}
			if len(open) == 0 && bad {
				firstBad, badFrom = now, now
			}
			changes, err := consider(now, []postgres.Watched{c}, open)
			if err != nil {
				t.Fatal(err)
			}
			if len(changes) > 1 {
				t.Fatalf("%d changes of one alert", len(changes))
			}
			for _, x := range changes {
				switch {
				case x.Drop, x.ClearedAt != nil:
					open = nil
				case x.ID == 0:
					id++
					x.ID = id
					open = []postgres.AlertState{x.AlertState}
				default:
					open = []postgres.AlertState{x.AlertState}
				}
				if x.Notice == nil {
					continue
				}
				told = !told
				if told && (x.RaisedAt == nil || now.Sub(firstBad) < raise || !bad) {
					t.Fatalf("raised after %s of %s", now.Sub(firstBad), raise)
				}
				if !told && (x.ClearedAt == nil || bad || now.Sub(wellFrom) < calm) {
					t.Fatalf("cleared after %s of %s", now.Sub(wellFrom), calm)
				}
				if told {
					everRaised = now
				}
			}
			if bad && !badFrom.IsZero() && now.Sub(badFrom) >= raise && !told {
				t.Fatalf("bad for %s, and nobody was told", now.Sub(badFrom))
			}
			if !bad && now.Sub(wellFrom) >= calm && told {
				t.Fatalf("well for %s, and nobody was told (since %s)", now.Sub(wellFrom), everRaised)
			}
		}
	})
}

func TestWhatIsWrong(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 9, 10, 0, 0, time.UTC)
	since := func(clock string) pim.Policy {
		return pim.Policy{Flow: pim.Flow{Windows: []pim.Window{{From: clock, To: "10:00"}}}}
	}
	for name, c := range map[string]struct {
		w    postgres.Watched
		want pim.AlertKind
	}{
		"well":           {postgres.Watched{Enabled: true, Fails: 2, Rejected: 100}, ""},
		"down":           {postgres.Watched{Enabled: true, Fails: 3, LastError: "no"}, pim.AlertDown},
		"auth":           {postgres.Watched{Enabled: true, Fails: 3, Hold: "auth"}, pim.AlertAuth},
		"stale":          {postgres.Watched{Enabled: true, Due: [3]time.Duration{0, time.Hour, 0}}, pim.AlertStale},
		"not yet stale":  {postgres.Watched{Enabled: true, Due: [3]time.Duration{0, time.Minute, 0}}, ""},
		"window open":    {postgres.Watched{Enabled: true, Due: [3]time.Duration{0, 9 * time.Hour, 0}, Policy: since("09:09")}, ""},
		"open for long":  {postgres.Watched{Enabled: true, Due: [3]time.Duration{0, 9 * time.Hour, 0}, Policy: since("05:00")}, pim.AlertStale},
		"short windows":  {postgres.Watched{Enabled: true, Due: [3]time.Duration{0, 72 * time.Hour, 0}, Policy: pim.Policy{Flow: pim.Flow{Windows: []pim.Window{{From: "09:00", To: "09:15"}}}}}, pim.AlertStale},
		"window closed":  {postgres.Watched{Enabled: true, Due: [3]time.Duration{0, 9 * time.Hour, 0}, Policy: since("09:30")}, ""},
		"being marked":   {postgres.Watched{Enabled: true, Marking: true, Due: [3]time.Duration{0, time.Hour, 0}}, ""},
		"rejecting":      {postgres.Watched{Enabled: true, Rejected: 101}, pim.AlertRejecting},
		"a small share":  {postgres.Watched{Enabled: true, Rejected: 500, Products: 1e6, Policy: pim.Policy{Alerts: pim.Alerts{RejectedShare: 0.01}}}, ""},
		"a large share":  {postgres.Watched{Enabled: true, Rejected: 50, Products: 100, Policy: pim.Policy{Alerts: pim.Alerts{RejectedShare: 0.01}}}, pim.AlertRejecting},
		"paused":         {postgres.Watched{Fails: 9, Due: [3]time.Duration{time.Hour}}, pim.AlertPaused},
		"paused, parked": {postgres.Watched{Deleted: true, Rejected: 1000}, ""},
	} {
		wrong := wrongWith(&c.w, now)
		if _, ok := wrong[c.want]; c.want != "" && !ok || len(wrong) > 1 || c.want == "" && len(wrong) > 0 {
			t.Errorf("%s: %v, want %q", name, wrong, c.want)
		}
	}
}

func TestSilencedAlertEnds(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	raised := now.Add(-time.Hour)
	open := []postgres.AlertState{{ID: 1, Channel: 1, Kind: pim.AlertDown, Since: raised, RaisedAt: &raised}}
	for name, c := range map[string]postgres.Watched{
		"off":     {Channel: 1, Code: "a", Enabled: true, Fails: 9, Policy: pim.Policy{Alerts: pim.Alerts{Off: []string{"down"}}}},
		"deleted": {Channel: 1, Code: "a", Deleted: true, Fails: 9},
	} {
		changes, err := consider(now, []postgres.Watched{c}, open)
		if err != nil || len(changes) != 1 || changes[0].ClearedAt == nil || changes[0].Notice == nil {
			t.Errorf("%s: %+v %v", name, changes, err)
		}
	}
}
