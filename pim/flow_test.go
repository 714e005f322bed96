package pim_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluicehub/sluice/pim"
)

func TestWindows(t *testing.T) {
	t.Parallel()
	night := pim.Flow{TimeZone: "Europe/Amsterdam", Windows: []pim.Window{
		{Days: []string{"mon", "tue"}, From: "22:00", To: "06:00"},
		{From: "12:00", To: "12:30", Lanes: []string{"offer"}},
	}}
	texts := pim.Flow{Windows: []pim.Window{{From: "01:00", To: "02:00", Lanes: []string{"content"}}}}
	zone, err := time.LoadLocation("Europe/Amsterdam")
	if err != nil {
		t.Fatal(err)
	}
	at := func(day, hour, minute int) time.Time { return time.Date(2026, 11, day, hour, minute, 0, 0, zone) } // the 23rd is a Monday
	for name, c := range map[string]struct {
		flow  pim.Flow
		lane  pim.Lane
		now   time.Time
		open  bool
		until time.Time
	}{
		"no window":                   {pim.Flow{}, pim.Content, at(23, 9, 0), true, time.Time{}},
		"before":                      {night, pim.Content, at(23, 21, 59), false, at(23, 22, 0)},
		"its first moment":            {night, pim.Content, at(23, 22, 0), true, at(24, 6, 0)},
		"over midnight":               {night, pim.Content, at(24, 5, 59), true, at(24, 6, 0)},
		"its end":                     {night, pim.Content, at(24, 6, 0), false, at(24, 22, 0)},
		"the night after the last":    {night, pim.Content, at(25, 22, 0), false, at(30, 22, 0)},
		"a lane's own":                {night, pim.Offer, at(25, 12, 10), true, at(25, 12, 30)},
		"not the other's":             {night, pim.Content, at(25, 12, 10), false, at(30, 22, 0)},
		"a lane that no window names": {texts, pim.Offer, at(23, 9, 0), true, time.Time{}},
	} {
		open, until := c.flow.Open(c.lane, c.now)
		if open != c.open || !until.Equal(c.until) {
			t.Errorf("%s: open %t until %v, want %t until %v", name, open, until, c.open, c.until)
		}
	}
}

func TestOpenWithin(t *testing.T) {
	t.Parallel()
	at := func(day, hour, minute int) time.Time { return time.Date(2026, 11, day, hour, minute, 0, 0, time.UTC) }
	joined := pim.Flow{Windows: []pim.Window{{From: "22:00", To: "02:00"}, {From: "02:00", To: "06:00"}, {From: "09:00", To: "09:05", Lanes: []string{"offer"}}}}
	for name, c := range map[string]struct {
		flow     pim.Flow
		lane     pim.Lane
		from, to time.Time
		want     time.Duration
	}{
		"no window":                   {pim.Flow{}, pim.Content, at(23, 9, 0), at(24, 9, 0), 24 * time.Hour},
		"a lane that no window names": {pim.Flow{Windows: joined.Windows[2:]}, pim.Content, at(23, 9, 0), at(23, 10, 0), time.Hour},
		"closed":                      {joined, pim.Content, at(23, 9, 0), at(23, 10, 0), 0},
		"just opened":                 {joined, pim.Content, at(23, 9, 0), at(23, 22, 1), time.Minute},
		"windows that join":           {joined, pim.Content, at(22, 9, 0), at(23, 9, 0), 8 * time.Hour},
		"short windows":               {joined, pim.Offer, at(20, 8, 0), at(23, 9, 2), 3*8*time.Hour + 3*5*time.Minute + 2*time.Minute},
		"a month counts":              {pim.Flow{}, pim.Content, at(1, 0, 0).AddDate(-1, 0, 0), at(1, 0, 0), 31 * 24 * time.Hour},
		"backwards":                   {pim.Flow{}, pim.Content, at(2, 0, 0), at(1, 0, 0), 0},
	} {
		if got := c.flow.OpenWithin(c.lane, c.from, c.to); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestWindowsAgree: what Open says of the time until which it holds comes true,
// summer time or not.
func TestWindowsAgree(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		clock := rapid.StringMatching(`([01][0-9]|2[0-3]):[0-5][0-9]`)
		f := pim.Flow{TimeZone: rapid.SampledFrom([]string{"", "Europe/Amsterdam", "America/New_York", "Australia/Lord_Howe"}).Draw(t, "zone")}
		for range rapid.IntRange(1, 3).Draw(t, "windows") {
			f.Windows = append(f.Windows, pim.Window{
				From: clock.Draw(t, "from"), To: clock.Draw(t, "to"),
				Days: rapid.SliceOfDistinct(rapid.SampledFrom([]string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}), rapid.ID[string]).Draw(t, "days"),
			})
		}
		now := time.Unix(rapid.Int64Range(1.7e9, 1.9e9).Draw(t, "now"), 0)
		open, until := f.Open(pim.Content, now)
		if !until.After(now) {
			t.Fatalf("open %t until %v, which is not after %v", open, until, now)
		}
		between := now.Add(time.Duration(rapid.Int64Range(0, int64(until.Sub(now)-1)).Draw(t, "between")))
		if still, _ := f.Open(pim.Content, between); still != open {
			t.Fatalf("open %t at %v and %t at %v, before %v", open, now, still, between, until)
		}
		if !open {
			if then, _ := f.Open(pim.Content, until); !then {
				t.Fatalf("closed until %v, and closed then", until)
			}
		}
		begins, ends := f.Day(now)
		if now.Before(begins) || !now.Before(ends) {
			t.Fatalf("the day of %v is from %v to %v", now, begins, ends)
		}
	})
}

func TestQuotaKeepsTheRest(t *testing.T) {
	t.Parallel()
	f := pim.Flow{RequestsPerDay: 1000}
	day := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	if c, o, s := f.Quota(pim.Content, false, day), f.Quota(pim.Offer, false, day), f.Quota(pim.Offer, true, day); c != 750 || o != 950 || s != 1000 {
		t.Errorf("quotas %d, %d, %d", c, o, s)
	}
	if c, o := f.PollQuota(pim.Content, day), f.PollQuota(pim.Offer, day); c != 875 || o != 975 {
		t.Errorf("for what is pending: %d, %d", c, o)
	}
	late := f.QuotaRises(pim.Content, day) // what prices did not need by then
	if c := f.Quota(pim.Content, false, late); !late.Equal(day.Add(8*time.Hour)) || c != 950 {
		t.Errorf("from %v on it is %d", late, c)
	}
	for _, at := range []time.Time{f.QuotaRises(pim.Offer, day), f.QuotaRises(pim.Content, late)} {
		if !at.Equal(day.Add(12 * time.Hour)) {
			t.Errorf("the next day begins at %v", at)
		}
	}
}
