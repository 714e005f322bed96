//go:build unix

package chaos

import (
	"slices"
	"testing"
	"time"

	"github.com/sluicehub/sluice/pim"
)

const second = int64(time.Second)

// sent is a request for one listing that began at a second and took a tenth of one.
func sent(at float64, it item) *request {
	began := int64(at*float64(second)) + 1
	return &request{link: &link{}, began: began, finished: began + second/10, status: 200, items: []item{it}}
}

func content(revision int64, document uint64) item {
	return item{sku: "A", lane: pim.Content, revision: revision, document: document, taken: true}
}

func priced(revision int64, price, stock int64) item {
	return item{sku: "A", lane: pim.Offer, revision: revision, document: uint64(price*1000 + stock), price: price, stock: stock, taken: true}
}

// unheard is a request whose answer may have been lost: its connection was closed behind it.
func unheard(q *request) *request {
	q.last = true
	q.link.ended.Store(q.finished)
	return q
}

func invariants(bad []found) (names []string) {
	for _, b := range bad {
		names = append(names, b.invariant)
	}
	return names
}

func TestCheckMonotony(t *testing.T) {
	t.Parallel()
	rising := []*request{sent(1, content(1, 1)), sent(2, content(2, 2)), sent(3, content(2, 2))}
	if f, bad := checkMonotony("c", byListing(rising), nil, time.Second); f != (falls{}) || bad != nil {
		t.Errorf("%+v, %v", f, bad)
	}
	falling := []*request{sent(3, content(1, 1)), sent(2, content(2, 2))} // told in another order than begun
	if f, bad := checkMonotony("c", byListing(falling), nil, time.Second); f.started != 1 || f.zombies != 0 || len(bad) != 1 {
		t.Errorf("%+v, %v", f, bad)
	}
	stopped := spans{{from: second, to: 3*second - second/2}}
	if f, bad := checkMonotony("c", byListing(falling), stopped, time.Second); f.zombies != 1 || bad != nil {
		t.Errorf("%+v, %v", f, bad)
	}
	slow := sent(1, content(1, 1))
	slow.finished = 9 * second
	if f, bad := checkMonotony("c", byListing([]*request{slow, sent(2, content(2, 2))}), nil, time.Second); f != (falls{late: 1}) || bad != nil {
		t.Errorf("%+v, %v", f, bad)
	}
}

func TestCheckPrices(t *testing.T) {
	t.Parallel()
	least := map[pim.SKU]map[int64]int64{"A": {7: 1200}}
	fine := []*request{sent(1, priced(1, 1000, 0)), sent(2, priced(2, 1200, 7)), sent(3, priced(3, 1000, 6))}
	if bad := checkPrices("c", byListing(fine), least); bad != nil {
		t.Error(bad)
	}
	if bad := checkPrices("c", byListing([]*request{sent(1, priced(2, 1199, 7))}), least); !slices.Equal(invariants(bad), []string{"price before stock"}) {
		t.Error(bad)
	}
}

func TestCheckFirst(t *testing.T) {
	t.Parallel()
	first := map[pim.SKU]bool{"A": true}
	other := item{sku: "B", lane: pim.Offer, stock: 1, taken: true}
	for name, c := range map[string]struct {
		list []*request
		want int
	}{
		"first":            {[]*request{sent(1, priced(1, 1, 0)), sent(2, other), sent(3, other)}, 0},
		"told later":       {[]*request{sent(2, other), sent(1, priced(1, 1, 0))}, 0},
		"last":             {[]*request{sent(1, other), sent(2, other), sent(3, priced(1, 1, 0))}, 2},
		"confirmed later":  {[]*request{sent(1, priced(1, 1, 0)), sent(2, other), sent(3, priced(1, 1, 0))}, 0},
		"behind a content": {[]*request{sent(1, content(1, 1)), sent(2, priced(1, 1, 0))}, 0},
	} {
		if got := checkFirst(c.list, first); got != c.want {
			t.Errorf("%s: %d requests ahead, want %d", name, got, c.want)
		}
	}
}

func TestCheckEmpty(t *testing.T) {
	t.Parallel()
	withdrawn := func(revision int64) item {
		return item{sku: "A", lane: pim.Content, revision: revision, withdraw: true, taken: true}
	}
	refused := content(1, 1)
	refused.taken = false
	for name, c := range map[string]struct {
		list     []*request
		vanished []float64
		lost     []loss
		want     repeats
		bad      int
	}{
		"each is new":                  {list: []*request{sent(1, content(1, 1)), sent(2, content(2, 2)), sent(3, content(3, 1))}},
		"a repeat":                     {list: []*request{sent(1, content(1, 1)), sent(2, content(2, 1))}, bad: 1},
		"after a refusal":              {list: []*request{sent(1, refused), sent(2, content(2, 1))}},
		"after a lost answer":          {list: []*request{unheard(sent(1, content(1, 1))), sent(2, content(1, 1)), sent(20, content(1, 1))}, want: repeats{answer: 2}},
		"after it was confirmed":       {list: []*request{unheard(sent(1, content(1, 1))), sent(20, content(1, 1)), sent(21, content(1, 1))}, want: repeats{answer: 1}, bad: 1},
		"after a takeover":             {list: []*request{sent(1, content(1, 1)), sent(6, content(1, 1)), sent(20, content(1, 1))}, vanished: []float64{5}, want: repeats{takeover: 2}},
		"after a takeover and its end": {list: []*request{sent(1, content(1, 1)), sent(20, content(1, 1)), sent(21, content(1, 1))}, vanished: []float64{5}, want: repeats{takeover: 1}, bad: 1},
		"claimed before a doubt's end": {list: []*request{sent(1, content(1, 1)), sent(10.001, content(1, 1)), sent(10.02, content(1, 1))}, vanished: []float64{5}, want: repeats{takeover: 2}},
		"after a request that never came": {
			list: []*request{sent(1, content(1, 1)), sent(5, content(3, 1)), sent(20, content(3, 1)), sent(21, content(3, 1))}, lost: []loss{{from: 2 * second, to: 4 * second}},
			want: repeats{answer: 2}, bad: 1,
		},
		"before a takeover":             {list: []*request{sent(1, content(1, 1)), sent(2, content(1, 1))}, vanished: []float64{5}, bad: 1},
		"an offer of a new life":        {list: []*request{sent(1, content(1, 1)), sent(2, priced(1, 1, 1)), sent(3, withdrawn(2)), sent(4, content(3, 1)), sent(5, priced(1, 1, 1))}},
		"an offer of the same life":     {list: []*request{sent(1, content(1, 1)), sent(2, priced(1, 1, 1)), sent(4, content(3, 2)), sent(5, priced(1, 1, 1))}, bad: 1},
		"an offer of content in doubt":  {list: []*request{sent(1, content(1, 1)), sent(2, priced(1, 1, 1)), unheard(sent(4, content(3, 2))), sent(5, priced(1, 1, 1))}},
		"withdrawn again and again":     {list: []*request{sent(1, content(1, 1)), sent(2, withdrawn(2)), sent(3, withdrawn(3))}, bad: 1},
		"an answer of 500 that applied": {list: []*request{{link: &link{}, began: second, finished: second, status: 500, items: []item{content(1, 1)}}, sent(2, content(1, 1))}, want: repeats{answer: 1}},
	} {
		d := doubts{now: 100 * second, settle: 5 * time.Second, vanished: map[pim.Lane][]time.Time{}, lost: c.lost}
		for _, at := range c.vanished {
			d.vanished[pim.Content] = append(d.vanished[pim.Content], time.Unix(0, int64(at*float64(second))))
		}
		n, bad := checkEmpty("c", byListing(c.list), d)
		if n != c.want || len(bad) != c.bad {
			t.Errorf("%s: %+v, want %+v; %v", name, n, c.want, bad)
		}
	}
}

// A schedule is its seed's, and has every kind of disturbance.
func TestPlanned(t *testing.T) {
	t.Parallel()
	r := &run{Command: &Command{Seed: 5}, pace: quickPace(10 * time.Second)}
	plan := planned(r.strand(0), r.pace)
	if !slices.Equal(plan, planned(r.strand(0), r.pace)) {
		t.Error("a seed has two schedules")
	}
	r.Seed++
	if slices.Equal(plan, planned(r.strand(0), r.pace)) {
		t.Error("two seeds have one schedule")
	}
	long := planned(r.strand(0), fullPace(time.Hour))
	for _, w := range weights {
		if !slices.ContainsFunc(long, func(s step) bool { return s.kind == w.kind && s.span >= 0 }) {
			t.Errorf("an hour has no %s", w.kind)
		}
	}
}

func TestCents(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{"12": 1200, "12.5": 1250, "12.05": 1205, "12.50": 1250, "0.99": 99, "": -1, "x": -1} {
		if got := cents(text); got != want {
			t.Errorf("%q is %d, want %d", text, got, want)
		}
	}
	if decimal(1205) != "12.05" {
		t.Error(decimal(1205))
	}
}
