//go:build unix

package chaos

import (
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/sluicehub/sluice/pim"
)

// The invariants that the targets' own records show. These functions are pure,
// so that each can be shown a breach.

// found is a breach of an invariant.
type found struct {
	invariant string
	sku       pim.SKU
	at        int64 // when it was seen, Unix nanoseconds
	text      string
}

// spans are times at which processes were stopped.
type spans []struct{ from, to int64 }

// near reports whether one of them ended between two times, or holds one of them.
func (s spans) near(from, to int64) bool {
	return slices.ContainsFunc(s, func(x struct{ from, to int64 }) bool { return x.from <= to && x.to >= from })
}

// falls are what is said of revisions.
type falls struct {
	started int // requests begun with a lower revision than one begun before
	zombies int // of these, by a process that was stopped just then
	late    int // requests that came to their end after one that was begun later
}

// byListing orders a target's items by when their requests were begun.
type asked struct {
	*item
	*request
}

func byListing(list []*request) map[listingKey][]asked {
	all := map[listingKey][]asked{}
	for _, q := range list {
		for i := range q.items {
			k := listingKey{q.items[i].sku, q.items[i].lane}
			all[k] = append(all[k], asked{&q.items[i], q})
		}
	}
	for _, l := range all {
		sort.SliceStable(l, func(i, j int) bool { return l[i].began < l[j].began })
	}
	return all
}

// checkMonotony: no request is begun with a lower revision than an earlier one of
// its listing, but by a process that was stopped between its last look at its
// lease and the first byte.
func checkMonotony(channel pim.ChannelCode, all map[listingKey][]asked, stopped spans, timeout time.Duration) (f falls, bad []found) {
	for k, list := range all {
		top, done := int64(0), int64(0)
		for _, a := range list {
			if a.finished < done {
				f.late++
			}
			done = max(done, a.finished)
			if a.revision < top {
				f.started++
				if stopped.near(a.began-int64(timeout), a.began) {
					f.zombies++
				} else {
					bad = append(bad, found{"monotony", k.sku, a.began, fmt.Sprintf("channel %s, lane %s: revision %d was begun at %s, after %d",
						channel, k.lane, a.revision, stampNano(a.began), top)})
				}
			}
			top = max(top, a.revision)
		}
	}
	return f, bad
}

// checkPrices: a stock that came with a new price is never seen at an older one.
func checkPrices(channel pim.ChannelCode, all map[listingKey][]asked, least map[pim.SKU]map[int64]int64) (bad []found) {
	for k, list := range all {
		if k.lane != pim.Offer {
			continue
		}
		for _, a := range list {
			if price, ok := least[k.sku][a.stock]; ok && a.price < price {
				bad = append(bad, found{"price before stock", k.sku, a.began, fmt.Sprintf("channel %s: at %s stock %d was offered at %s, and was there only when the price was %s",
					channel, stampNano(a.began), a.stock, decimal(a.price), decimal(price))})
			}
		}
	}
	return bad
}

// repeats are requests that said what the target had taken already.
type repeats struct {
	answer   int // in doubt, for an earlier answer may not have been heard
	takeover int // in doubt, for a holder had vanished
}

// doubts are what a channel's listings may be in doubt by.
type doubts struct {
	now      int64
	settle   time.Duration
	vanished map[pim.Lane][]time.Time // when holders of its lanes vanished
	lost     []loss                   // requests that never came to the target, as far as their senders know they did
}

// doubt follows one listing.
type doubt struct {
	doubts
	vanished []time.Time // still to come
	unheard  int64       // in doubt until then, for an answer may not have been heard; 0: not
	orphaned int64       // for a holder vanished
}

// slack is for what lies between the times that are seen here and those that Sluice
// goes by: it claims a listing some time before its request begins, and counts the
// settle time of an answer from when it gave that up.
const slack = int64(5 * time.Second)

func (d doubts) of(lane pim.Lane) *doubt { return &doubt{doubts: d, vanished: d.vanished[lane]} }

// before says what the listing is in doubt by when a request for it begins. Of
// two reasons the answer counts.
func (d *doubt) before(a asked) (answer, takeover bool) {
	for len(d.lost) > 0 && d.lost[0].from <= a.began { // nobody knows what it asked for
		d.unheard, d.lost = max(d.unheard, d.lost[0].to+int64(d.settle)+slack), d.lost[1:]
	}
	for len(d.vanished) > 0 && d.vanished[0].UnixNano() <= a.began {
		d.orphaned, d.vanished = d.vanished[0].UnixNano()+int64(d.settle)+slack, d.vanished[1:]
	}
	return d.unheard > 0, d.unheard == 0 && d.orphaned > 0
}

// after notes what the request did: one that was begun after the settle time, and
// was answered, ends a doubt.
func (d *doubt) after(a asked) {
	switch {
	case !a.heard(d.now):
		d.unheard = max(d.unheard, a.finished+int64(d.settle)+slack)
	case a.taken && a.began >= d.unheard:
		d.unheard = 0
	}
	if a.taken && a.heard(d.now) && a.began >= d.orphaned {
		d.orphaned = 0
	}
}

// checkEmpty: no request says again what was taken, unless its listing is in
// doubt, or its content began a new life on the target, which prices and stock
// follow: one that was withdrawn, or was in doubt itself.
func checkEmpty(channel pim.ChannelCode, all map[listingKey][]asked, d doubts) (n repeats, bad []found) {
	lives := map[pim.SKU][]int64{}
	for k, list := range all {
		if k.lane == pim.Content {
			lives[k.sku] = livesOf(list, d.of(k.lane))
		}
	}
	for k, list := range all {
		var (
			last  *asked // what was taken last
			doubt = d.of(k.lane)
			born  = lives[k.sku]
			may   = 0 // repeats that a new life allows
		)
		for i := range list {
			a := &list[i]
			answer, takeover := doubt.before(*a)
			for k.lane != pim.Content && len(born) > 0 && born[0] <= a.began {
				born = born[1:]
				may++
			}
			switch {
			case last == nil:
				may = 0 // it is sent for the first time
			case a.document == last.document && a.withdraw == last.withdraw:
				switch {
				case answer:
					n.answer++
				case takeover:
					n.takeover++
				case may > 0:
					may--
				default:
					bad = append(bad, found{"no empty work", k.sku, a.began, fmt.Sprintf("channel %s, lane %s: at %s revision %d says what was taken already, at %s as revision %d",
						channel, k.lane, stampNano(a.began), a.revision, stampNano(last.began), last.revision)})
				}
			}
			if a.taken || a.status == 0 {
				last = a
			}
			doubt.after(*a)
		}
	}
	return n, bad
}

// livesOf are the times of requests by which a content may have begun a new life.
func livesOf(list []asked, d *doubt) (times []int64) {
	gone := true
	for _, a := range list {
		answer, takeover := d.before(a)
		if gone || a.withdraw || answer || takeover || !a.taken || !a.heard(d.now) {
			times = append(times, a.began)
		}
		gone = a.withdraw
		d.after(a)
	}
	return times
}

func stampNano(at int64) string { return stamp(time.Unix(0, at)) }

// percentile of sorted times; 0 of none.
func percentile(list []time.Duration, p float64) time.Duration {
	if len(list) == 0 {
		return 0
	}
	return list[min(int(p*float64(len(list))), len(list)-1)]
}
