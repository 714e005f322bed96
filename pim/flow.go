package pim

import (
	"slices"
	"time"
)

// zone is the time zone of the flow's times of day.
func (f Flow) zone() *time.Location {
	if z, err := time.LoadLocation(f.TimeZone); err == nil {
		return z
	}
	return time.UTC
}

// Open reports whether the lane may be sent at now. until is when that changes
// next: of an open lane the end of a window, of a closed one the next
// beginning; zero where it never does.
func (f Flow) Open(lane Lane, now time.Time) (open bool, until time.Time) {
	local := now.In(f.zone())
	named := false
	var begins, ends time.Time
	for _, w := range f.Windows {
		if len(w.Lanes) > 0 && !slices.Contains(w.Lanes, lane.String()) {
			continue
		}
		named = true
		for day := -1; day <= 8; day++ { // a window of yesterday may last; one of this weekday may be over
			from, to, ok := w.on(local, day)
			switch {
			case !ok:
			case !now.Before(from) && now.Before(to):
				if ends.Before(to) {
					ends = to
				}
			case from.After(now) && (begins.IsZero() || from.Before(begins)):
				begins = from
			}
		}
	}
	switch {
	case !named:
		return true, time.Time{}
	case !ends.IsZero():
		return true, ends
	}
	return false, begins
}

// OpenWithin is how long the lane could be sent between two times, of which the
// last month counts at most.
func (f Flow) OpenWithin(lane Lane, from, to time.Time) (total time.Duration) {
	if month := to.AddDate(0, -1, 0); from.Before(month) {
		from = month
	}
	for from.Before(to) {
		open, until := f.Open(lane, from)
		if until.IsZero() || until.After(to) {
			until = to
		}
		if open {
			total += until.Sub(from)
		}
		from = until
	}
	return total
}

// on is the window of the day that many days from local's; false: it has none.
func (w Window) on(local time.Time, days int) (from, to time.Time, ok bool) {
	y, m, d := local.Date()
	at := func(more int, clockText string) time.Time {
		c, _ := clock(clockText)
		return time.Date(y, m, d+days+more, int(c.Hours()), int(c.Minutes())%60, 0, 0, local.Location())
	}
	from, to = at(0, w.From), at(0, w.To)
	if !to.After(from) {
		to = at(1, w.To)
	}
	day := time.Date(y, m, d+days, 12, 0, 0, 0, local.Location()).Weekday()
	return from, to, to.After(from) && (len(w.Days) == 0 || slices.Contains(w.Days, weekdays[day]))
}

// Day is the quota's day that now is in.
func (f Flow) Day(now time.Time) (begins, ends time.Time) {
	begin := f.DayBegins
	if begin == "" {
		begin = "00:00"
	}
	all := Window{From: begin, To: begin}
	local := now.In(f.zone())
	for days := -1; days <= 1; days++ {
		if from, to, _ := all.on(local, days); !now.Before(from) && now.Before(to) {
			return from, to
		}
	}
	return now, now.Add(24 * time.Hour) // not reached: the days join
}

// QuotaFree is how long before the end of the day texts and pictures may have
// what was kept for prices and stock.
const QuotaFree = 4 * time.Hour

// Quota is how many requests of the day's may be granted to a lane at now. The
// rest is kept for what matters more: prices and stock before texts and pictures,
// as long as the day is still long, and what is sold out before everything. 0:
// there is no quota.
func (f Flow) Quota(lane Lane, soldOut bool, now time.Time) int {
	n := f.RequestsPerDay
	switch _, ends := f.Day(now); {
	case soldOut:
		return n
	case lane == Offer, ends.Sub(now) <= QuotaFree:
		return n - n/20
	}
	return n - n/4
}

// PollQuota is how many of the day's requests may be granted to asking what
// became of what the target has taken: it goes on for a while after the lane
// sends no more, with half of what the lane leaves to others. 0: there is no quota.
func (f Flow) PollQuota(lane Lane, now time.Time) int {
	return f.RequestsPerDay - (f.RequestsPerDay-f.Quota(lane, false, now))/2
}

// QuotaRises is when the lane may next have more of the quota than at now.
func (f Flow) QuotaRises(lane Lane, now time.Time) time.Time {
	_, ends := f.Day(now)
	if free := ends.Add(-QuotaFree); lane != Offer && now.Before(free) {
		return free
	}
	return ends
}
