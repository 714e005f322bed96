package postgres

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluicehub/sluice/pim"
)

// toldAt gives a price the time of so many seconds, and below 0 none.
func toldAt(r pim.PriceRow, sec int64) pim.PriceRow {
	if sec >= 0 {
		r.AsOf = new(time.Unix(1_700_000_000+sec, 0).UTC())
	}
	return r
}

func sequencedPrice(r pim.PriceRow, n int64) pim.PriceRow { r.Sequence = &n; return r }

func dropped(sku pim.SKU) pim.PriceRow {
	return pim.PriceRow{SKU: sku, Price: pim.Price{Currency: "EUR"}, Delete: true}
}

// What comes late changes nothing, whatever became of what was newer.
func TestLatePrices(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.do(thing("A", Put, `{}`), thing("B", Put, `{}`))
	eur := func(amount string, sec int64) pim.PriceRow { return toldAt(price("A", "EUR", amount), sec) }
	for i, c := range []struct {
		rows []any
		want string
		left string
	}{
		{[]any{eur("10", 100)}, "changed", "default EUR 10"},
		{[]any{eur("9", 99)}, "stale", "default EUR 10"},
		{[]any{eur("11", 100)}, "changed", "default EUR 11"},                                                    // a clock that is coarse
		{[]any{eur("12", -1)}, "changed", "default EUR 12"},                                                     // by hand
		{[]any{eur("9", 99)}, "stale", "default EUR 12"},                                                        // the stamp stays
		{[]any{eur("13", 103), eur("14", 102)}, "changed stale", "default EUR 13"},                              // within one batch
		{[]any{eur("15", 104), eur("16", -1), eur("17", 103)}, "superseded changed stale", "default EUR 16"},    // what counts keeps the stamp
		{[]any{eur("17", 103)}, "stale", "default EUR 16"},                                                      //
		{[]any{toldAt(dropped("A"), 90)}, "stale", "default EUR 16"},                                            //
		{[]any{toldAt(dropped("A"), 110)}, "changed", ""},                                                       //
		{[]any{eur("18", 109)}, "stale", ""},                                                                    // what is gone does not come back
		{[]any{sequencedPrice(eur("19", 110), 7)}, "changed", "default EUR 19"},                                 //
		{[]any{sequencedPrice(eur("20", 110), 6)}, "stale", "default EUR 19"},                                   //
		{[]any{sequencedPrice(eur("21", -1), 8)}, "changed", "default EUR 21"},                                  // by its number alone
		{[]any{sequencedPrice(eur("22", 120), 1)}, "changed", "default EUR 22"},                                 // a later time begins anew
		{[]any{eur("23", 119), toldAt(price("B", "EUR", "1"), 1)}, "stale changed", "default EUR 22"},           // each price for itself
		{[]any{window(eur("5", 1), at("2090-01-01T00:00:00Z"), nil)}, "changed", "default EUR 22 2090-01-01 5"}, // a window is another one
		{[]any{toldAt(price("X", "EUR", "1"), 1)}, "rejected", "default EUR 22 2090-01-01 5"},
	} {
		if got := words(h.set(c.rows...)); got != c.want {
			t.Errorf("%d: %s, not %s", i, got, c.want)
		}
		var left []string
		for _, p := range h.product("A").Prices {
			s := p.Amount.String()
			if p.ValidFrom != nil {
				s = p.ValidFrom.Format(time.DateOnly) + " " + s
			} else {
				s = "default EUR " + s
			}
			left = append(left, s)
		}
		if got := strings.Join(left, " "); got != c.left {
			t.Errorf("%d: left %q, not %q", i, got, c.left)
		}
	}
	res, err := h.SetPrices(h.ctx, "erp", []pim.PriceRow{toldAt(price("A", "EUR", "1"), 3)}, Idempotency{})
	if err != nil {
		t.Fatal(err)
	}
	want := &PriceNow{Amount: "22", Stamp: pim.Stamp{AsOf: new(time.Unix(1_700_000_120, 0).UTC()), Sequence: new(int64(1))}}
	if got := res[0]; !reflect.DeepEqual(got.Price, want) || got.Revision != h.product("A").PriceRev {
		t.Errorf("%+v %+v, not %+v", got, got.Price, want)
	}
	// Also where what is newer came in the same batch.
	res, err = h.SetPrices(h.ctx, "erp", []pim.PriceRow{
		toldAt(price("A", "EUR", "30"), 130), toldAt(price("A", "EUR", "29"), 129), toldAt(price("A", "EUR", "31"), 131), toldAt(price("A", "EUR", "28"), 128),
		toldAt(price("nobody", "EUR", "2"), 2), toldAt(price("nobody", "EUR", "1"), 1),
	}, Idempotency{})
	if err != nil {
		t.Fatal(err)
	}
	var statuses []string
	for _, r := range res {
		statuses = append(statuses, string(r.Status))
	}
	if got := strings.Join(statuses, " "); got != "superseded stale changed stale rejected rejected" {
		t.Error(got)
	}
	want = &PriceNow{Amount: "31", Stamp: pim.Stamp{AsOf: new(time.Unix(1_700_000_131, 0).UTC())}}
	for _, got := range []RowResult{res[1], res[3]} {
		if !reflect.DeepEqual(got.Price, want) || got.Revision != h.product("A").PriceRev {
			t.Errorf("%+v %+v, not %+v", got, got.Price, want)
		}
	}
	var event struct {
		Prices []struct {
			AsOf     time.Time `json:"as_of"`
			Sequence int64
		}
	}
	for _, e := range h.history("A") {
		if strings.Contains(string(e.Data), `"22`) {
			if err := json.Unmarshal(e.Data, &event); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(event.Prices) != 1 || event.Prices[0].AsOf.Unix() != 1_700_000_120 || event.Prices[0].Sequence != 1 {
		t.Errorf("the history has %+v", event)
	}
	ahead := price("A", "EUR", "1")
	ahead.AsOf = new(time.Now().Add(30 * time.Hour))
	if got := h.set(ahead); got[0] != "A rejected 0 price.ahead /as_of" {
		t.Error(got)
	}
}

// A price that is held is newer than what comes late, and nothing older takes its
// place; neither when it was rejected.
func TestLateBehindHeld(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.guard(pim.PriceGuard{MaxFactor: 2}, "A")
	told := func(amount string, sec int64, want, held string) {
		t.Helper()
		if got := words(h.set(toldAt(price("A", "EUR", amount), sec))); got != want {
			t.Errorf("%s: %s, not %s", amount, got, want)
		}
		if got := strings.Join(h.holds(HoldFilter{}), ", "); got != held {
			t.Errorf("%s: held %q, not %q", amount, got, held)
		}
	}
	told("10", 50, "held", "A default factor by erp 10")
	told("101", 40, "stale", "A default factor by erp 10")
	told("9", 60, "held", "A default factor by erp 9")
	if _, err := h.RejectHolds(h.ctx, "anna", HoldFilter{}); err != nil {
		t.Fatal(err)
	}
	told("101", 55, "stale", "")
	told("102", 61, "changed", "")
}

// Whatever the order and the batches in which messages come, and however often,
// the newest counts, also for a product's first prices told by two at once.
func TestShuffledPricesEndAlike(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	quantity := 0
	rapid.Check(t, func(rt *rapid.T) {
		quantity++
		sku := pim.SKU(fmt.Sprintf("P-%d", quantity))
		h.do(thing(sku, Put, `{}`))
		type message struct {
			sec  int64
			gone bool
		}
		all := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) message {
			return message{rapid.Int64Range(0, 40).Draw(t, "at"), rapid.IntRange(0, 3).Draw(t, "gone") == 0}
		}), 1, 8, func(m message) int64 { return m.sec }).Draw(rt, "messages")
		newest := slices.MaxFunc(all, func(a, b message) int { return int(a.sec - b.sec) })
		told := rapid.Permutation(append(slices.Clone(all), all[:len(all)/2]...)).Draw(rt, "told")
		rows := make([]pim.PriceRow, len(told))
		for i, m := range told {
			r := price(sku, "EUR", fmt.Sprint(m.sec+1))
			if m.gone {
				r = dropped(sku)
			}
			rows[i] = toldAt(r, m.sec)
		}
		var wg sync.WaitGroup
		errs := make([]error, 2)
		half := rapid.IntRange(0, len(rows)).Draw(rt, "half")
		for i, part := range [][]pim.PriceRow{rows[:half], rows[half:]} {
			size := rapid.IntRange(1, 3).Draw(rt, "size")
			wg.Go(func() {
				for batch := range slices.Chunk(part, size) {
					if _, err := h.SetPrices(h.ctx, "erp", batch, Idempotency{}); err != nil {
						errs[i] = err
					}
				}
			})
		}
		wg.Wait()
		if errs[0] != nil || errs[1] != nil {
			rt.Fatal(errs)
		}
		want := fmt.Sprintf("default EUR %d", newest.sec+1)
		if newest.gone {
			want = ""
		}
		if got := strings.Join(h.prices(sku), " "); got != want {
			rt.Fatalf("%q, not %q", got, want)
		}
	})
}
