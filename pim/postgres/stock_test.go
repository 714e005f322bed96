package postgres

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluicehub/sluice/pim"
)

func came(sku pim.SKU, n int64) pim.StockRow {
	return pim.StockRow{SKU: sku, Stock: pim.Stock{Location: "default", OnHand: n}, Delta: true}
}

// stamped gives a row the time of so many seconds, and a message's id.
func stamped(r pim.StockRow, sec int64, message string) pim.StockRow {
	r.AsOf, r.Message = new(time.Unix(1_700_000_000+sec, 0).UTC()), message
	return r
}

func sequenced(r pim.StockRow, n int64) pim.StockRow { r.Sequence = &n; return r }

func (h *house) levels(sku pim.SKU) (s string) {
	h.Helper()
	for _, l := range h.product(sku).Stock {
		s += fmt.Sprintf("%s %d/%d ", l.Location, l.OnHand, l.Reserved)
		if l.SafetyStock != nil {
			s += fmt.Sprintf("safe %d ", *l.SafetyStock)
		}
	}
	return strings.TrimSpace(s)
}

func TestDeltasAndLateMessages(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.do(thing("A", Put, `{}`))
	reserve := func(n int64) pim.StockRow { r := came("A", 0); r.Reserved = n; return r }
	safe := func(n int64) pim.StockRow { r := came("A", 0); r.SafetyStock = &n; return r }
	resets := came("A", 0)
	resets.Resets = true
	for i, c := range []struct {
		rows        []any
		want, level string
	}{
		{[]any{came("A", -2)}, "A changed 1", "default -2/0"}, // more was sold than counted
		{[]any{came("A", 3), came("A", 4)}, "A changed 2, A changed 3", "default 5/0"},
		{[]any{came("A", 1), stock("A", 8), came("A", -1)}, "A superseded 0, A changed 4, A changed 5", "default 7/0"},
		{[]any{reserve(2), reserve(-3)}, "A changed 6, A rejected 6 stock.range /reserved_delta", "default 7/2"},
		{[]any{came("A", 1_000_000_000_000)}, "A rejected 6 stock.range /delta", "default 7/2"},
		{[]any{safe(4)}, "A changed 7", "default 7/2 safe 4"},
		{[]any{stock("A", 9)}, "A changed 8", "default 9/0 safe 4"}, // a tick leaves it
		{[]any{resets, resets}, "A changed 9, A unchanged 9", "default 9/0"},
		// Counts with a stamp, late and again.
		{[]any{stamped(stock("A", 20), 50, "")}, "A changed 10", "default 20/0"},
		{[]any{stamped(stock("A", 19), 40, ""), stamped(came("A", -5), 50, ""), stamped(came("A", -5), 45, "")}, "A stale 10, A stale 10, A stale 10", "default 20/0"},
		{[]any{stamped(stock("A", 20), 60, "")}, "A unchanged 10", "default 20/0"}, // but the stamp has moved
		{[]any{stamped(stock("A", 1), 55, "")}, "A stale 10", "default 20/0"},
		{[]any{stamped(came("A", -3), 80, ""), stamped(stock("A", 30), 70, "")}, "A changed 11, A changed 12", "default 27/0"}, // the count is of before the delta
		{[]any{stamped(came("A", -1), 75, "m1"), stamped(came("A", -1), 75, "m1"), came("A", -1)}, "A changed 13, A unchanged 13, A changed 14", "default 25/0"},
		{[]any{stamped(stock("A", 30), 90, "m1"), stamped(came("A", 0), 0, "")}, "A unchanged 14, A stale 14", "default 25/0"}, // the id was told before
		{[]any{stock("A", 6)}, "A changed 15", "default 6/0"},                                                                  // somebody's own count
		{[]any{stamped(stock("A", 3), 65, "")}, "A stale 15", "default 6/0"},                                                   // which makes nothing newer
		{[]any{sequenced(stock("A", 11), 7), sequenced(stock("A", 10), 6), sequenced(came("A", 1), 7)}, "A changed 16, A stale 16, A stale 16", "default 11/0"},
		{[]any{sequenced(stock("A", 12), 7)}, "A changed 17", "default 12/0"},
		{[]any{sequenced(stamped(stock("A", 13), 100, ""), 1), sequenced(stamped(stock("A", 14), 100, ""), 0)}, "A changed 18, A stale 18", "default 13/0"},
	} {
		if got := strings.Join(h.set(c.rows...), ", "); got != c.want {
			t.Errorf("%d: %s, want %s", i, got, c.want)
		}
		if got := h.levels("A"); got != c.level {
			t.Errorf("%d: %s, want %s", i, got, c.level)
		}
	}
	r, err := h.SetStock(h.ctx, "erp", []pim.StockRow{stamped(stock("A", 1), 3, ""), came("A", -1)}, Idempotency{})
	if err != nil {
		t.Fatal(err)
	}
	stamp := pim.Stamp{AsOf: new(time.Unix(1_700_000_100, 0).UTC()), Sequence: new(int64(1))}
	if want := (&StockLevel{13, 0, stamp}); !reflect.DeepEqual(r[0].Level, want) {
		t.Errorf("stale: %+v, want %+v", r[0].Level, want)
	}
	if want := (&StockLevel{12, 0, stamp}); !reflect.DeepEqual(r[1].Level, want) {
		t.Errorf("after a delta: %+v, want %+v", r[1].Level, want)
	}
	var event struct {
		Stock []struct{ Delta, Old, New json.RawMessage }
	}
	if err := json.Unmarshal(h.history("A")[0].Data, &event); err != nil || len(event.Stock) != 1 {
		t.Fatal(err, event)
	}
	sameJSON(t, "event", event.Stock[0].Delta, `{"on_hand":-1,"reserved":0}`)
	sameJSON(t, "event", event.Stock[0].Old, `{"on_hand":13,"reserved":0}`)
	sameJSON(t, "event", event.Stock[0].New, `{"on_hand":12,"reserved":0}`)
	h.exec(`update stock_message set at = now() - interval '8 days'`)
	if err := h.Tidy(h.ctx); err != nil {
		t.Fatal(err)
	}
	if n := h.number(`select count(*) from stock_message`); n != 0 {
		t.Errorf("%d messages are remembered for more than a week", n)
	}
}

// Whoever takes and brings pieces at once, none gets lost: also of a level that is
// not there yet, and beside batches that were sent twice.
func TestConcurrentDeltasLoseNone(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	k, err := h.CreateKey(h.ctx, "erp", "integration", []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		a, b := pim.SKU(fmt.Sprintf("A-%d", run)), pim.SKU(fmt.Sprintf("B-%d", run))
		h.do(thing(a, Put, `{}`), thing(b, Put, `{}`))
		if rapid.Bool().Draw(t, "priced before") {
			h.set(price(a, "EUR", "1"))
		}
		writers := rapid.SliceOfN(rapid.SliceOfN(rapid.Int64Range(-3, 3), 1, 4), 2, 5).Draw(t, "writers")
		var want int64
		var wg sync.WaitGroup
		for w, deltas := range writers {
			for _, n := range deltas {
				want += n
			}
			wg.Go(func() {
				for i, n := range deltas {
					rows := []pim.StockRow{came(a, n), came(b, n)}
					if w%2 == 1 {
						slices.Reverse(rows)
					}
					idem := Idempotency{KeyID: k.ID, Key: fmt.Sprintf("%d %d %d", run, w, i), Request: []byte("r")}
					for range 2 { // the answer got lost: the same again
						if r, err := h.SetStock(h.ctx, "erp", slices.Clone(rows), idem); err != nil || r[0].Status == RowRejected {
							t.Errorf("%+v, %v", r, err)
						}
					}
				}
			})
		}
		wg.Wait()
		for _, sku := range []pim.SKU{a, b} {
			p := h.product(sku)
			if len(p.Stock) == 0 && want == 0 {
				continue
			}
			if len(p.Stock) != 1 || p.Stock[0].OnHand != want {
				t.Fatalf("%s: %+v, want %d", sku, p.Stock, want)
			}
			// The history is a chain without a gap.
			now := want
			for _, e := range h.history(sku) {
				var data struct {
					Stock []struct{ Old, New pim.Stock }
				}
				if err := json.Unmarshal(e.Data, &data); err != nil {
					t.Fatal(err)
				}
				if e.Type == pim.EventStockChanged {
					if data.Stock[0].New.OnHand != now {
						t.Fatalf("%s: an event made %d, and %d came after it", sku, data.Stock[0].New.OnHand, now)
					}
					now = data.Stock[0].Old.OnHand
				}
			}
			if now != 0 {
				t.Fatalf("%s: its history begins with %d", sku, now)
			}
		}
	})
}

// In whatever order, in whatever batches and however often messages with stamps
// and ids come, the level is in the end what they make of it in their own order.
func TestShuffledMessagesEndAlike(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		sku := pim.SKU(fmt.Sprintf("S-%d", run))
		h.do(thing(sku, Put, `{}`))
		var messages []pim.StockRow
		var onHand, reserved int64
		bySequence := rapid.Bool().Draw(t, "by sequence")
		n := rapid.IntRange(1, 8).Draw(t, "messages")
		for i := range n {
			r := came(sku, rapid.Int64Range(-5, 20).Draw(t, "on hand"))
			r.Reserved = rapid.Int64Range(0, 3).Draw(t, "reserved")
			if r.Delta = i > 0 && rapid.Bool().Draw(t, "delta"); r.Delta {
				onHand, reserved = onHand+r.OnHand, reserved+r.Reserved
			} else {
				onHand, reserved = r.OnHand, r.Reserved
			}
			if bySequence {
				r = sequenced(r, int64(i))
				r.Message = fmt.Sprint("m", i)
			} else {
				r = stamped(r, int64(i), fmt.Sprint("m", i))
			}
			messages = append(messages, r)
		}
		for range rapid.IntRange(0, 3).Draw(t, "repeats") {
			messages = append(messages, messages[rapid.IntRange(0, n-1).Draw(t, "repeat")])
		}
		order := rapid.Permutation(messages).Draw(t, "order")
		for len(order) > 0 {
			some := rapid.IntRange(1, len(order)).Draw(t, "batch")
			r, err := h.SetStock(h.ctx, "erp", slices.Clone(order[:some]), Idempotency{})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range r {
				if r.Status == RowRejected || r.Status == RowSuperseded {
					t.Fatalf("%+v", r)
				}
			}
			order = order[some:]
		}
		if got, want := h.levels(sku), fmt.Sprintf("default %d/%d", onHand, reserved); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	})
}

// What the database and what Go say of a channel's stock is the same, and so
// is who is told when the settings that it follows from change.
func TestStockIsReckonedAlike(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	places := []string{"default", "shop", "depot"}
	skus := []pim.SKU{"A", "B", "C"}
	for _, p := range places[1:] {
		if _, _, err := h.PutLocation(h.ctx, pim.Location{Code: p}, 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, sku := range skus {
		h.do(thing(sku, Put, `{}`))
	}
	for _, code := range []pim.ChannelCode{"one", "two"} {
		h.channel(code)
	}
	var ids [3]pim.ProductID
	for i, sku := range skus {
		ids[i] = h.product(sku).ID
	}
	few := rapid.Int64Range(-2, 12)
	rapid.Check(t, func(t *rapid.T) {
		h.exec(`delete from stock`)
		var rows []any
		for _, sku := range skus {
			for _, place := range rapid.SliceOfDistinct(rapid.SampledFrom(places), rapid.ID).Draw(t, "places") {
				r := pim.StockRow{SKU: sku, Stock: pim.Stock{Location: place, OnHand: few.Draw(t, "on hand"), Reserved: max(0, few.Draw(t, "reserved"))}}
				if rapid.Bool().Draw(t, "own safety") {
					r.SafetyStock = new(max(0, few.Draw(t, "safety")))
				}
				rows = append(rows, r)
			}
		}
		h.set(rows...)
		type shows struct {
			sale pim.Sale
			kept bool
		}
		look := func(compare bool) map[string]shows {
			schema, err := h.RefreshSchema(h.ctx)
			if err != nil {
				t.Fatal(err)
			}
			channels, err := h.Channels(h.ctx)
			if err != nil {
				t.Fatal(err)
			}
			out := map[string]shows{}
			for _, c := range channels {
				for i, sku := range skus {
					sale, kept := schema.Sells(h.product(sku).Stock, c.Locations, c.Policy.Stock)
					out[fmt.Sprint(c.ID, " ", ids[i])] = shows{sale, kept}
					var free, shown *int64
					var gone bool
					if err := h.pool.QueryRow(h.ctx, `select (select `+freeAt+` from channel sells join stock s on s.product_id = l.product_id
							left join location place on place.code = s.location where sells.id = l.channel_id group by sells.id),
						(select stock_shown(`+freeAt+`, sells.policy -> 'stock') from channel sells join stock s on s.product_id = l.product_id
							left join location place on place.code = s.location where sells.id = l.channel_id group by sells.id),
						`+soldOut+` from (select $1::bigint as channel_id, $2::bigint as product_id) l`, c.ID, ids[i]).Scan(&free, &shown, &gone); err != nil {
						t.Fatal(err)
					}
					if compare && (kept != (free != nil) || kept && (*free != sale.Free || *shown != sale.Shown) || gone != (kept && sale.Shown == 0)) {
						t.Fatalf("%s on %s: Go says %+v %v, the database %v %v %v", sku, c.Code, sale, kept, free, shown, gone)
					}
				}
			}
			return out
		}
		before := look(true)
		h.exec(`delete from outbox; update channel set mark_after = null`)
		if rapid.Bool().Draw(t, "a channel") {
			c, err := h.Channel(h.ctx, rapid.SampledFrom([]pim.ChannelCode{"one", "two"}).Draw(t, "channel"))
			if err != nil {
				t.Fatal(err)
			}
			c.Locations = rapid.SliceOfDistinct(rapid.SampledFrom(places), rapid.ID).Draw(t, "locations")
			c.Policy.Stock = pim.StockRule{
				Buffer: max(0, few.Draw(t, "buffer")), BufferPercent: rapid.SampledFrom([]int64{0, 1, 10, 50, 99, 100}).Draw(t, "percent"), Cap: max(0, few.Draw(t, "cap")),
			}
			if _, err := h.UpdateChannel(h.ctx, *c); err != nil {
				t.Fatal(err)
			}
		} else {
			l := pim.Location{Code: rapid.SampledFrom(places).Draw(t, "location"), SafetyStock: max(0, few.Draw(t, "safety"))}
			if rapid.Bool().Draw(t, "shut") {
				l.Enabled = new(false)
			}
			if _, _, err := h.PutLocation(h.ctx, l, 0); err != nil {
				t.Fatal(err)
			}
		}
		after := look(true)
		want := map[string]int16{}
		for k, now := range after {
			was := before[k]
			if now.sale.Shown != was.sale.Shown || now.sale.OnHand != was.sale.OnHand || now.sale.Reserved != was.sale.Reserved {
				want[k] = 0
				if now.sale.Shown == 0 && was.sale.Shown > 0 {
					want[k] = 2
				}
			}
		}
		got := map[string]int16{}
		r, err := h.pool.Query(h.ctx, `select channel_id || ' ' || product_id, priority from outbox where lanes = 2`)
		if err != nil {
			t.Fatal(err)
		}
		for r.Next() {
			var k string
			var p int16
			if err := r.Scan(&k, &p); err != nil {
				t.Fatal(err)
			}
			got[k] = p
		}
		if r.Err() != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("queued %v, want %v (%v)", got, want, r.Err())
		}
		if n := h.number(`select count(*) from channel where mark_after is not null`); n > 0 {
			t.Fatal("all of a channel is marked for its stock")
		}
	})
}

// Many rows of many levels, in any order: each level sees its own rows in their order.
func TestRoundsOfABatch(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var edits []Edit
	want := map[pim.SKU]int64{}
	var rows []pim.StockRow
	for i := range 40 {
		sku := pim.SKU(fmt.Sprintf("R-%02d", i))
		edits = append(edits, thing(sku, Put, `{}`))
		for n := range int64(1 + i%5) {
			rows, want[sku] = append(rows, came(sku, n)), want[sku]+n
		}
	}
	h.do(edits...)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	if _, err := h.SetStock(h.ctx, "erp", rows, Idempotency{}); err != nil {
		t.Fatal(err)
	}
	for sku, n := range want {
		p := h.product(sku)
		if n > 0 && (len(p.Stock) != 1 || p.Stock[0].OnHand != n) {
			t.Errorf("%s: %+v, want %d", sku, p.Stock, n)
		}
	}
}

// A later time begins its sequence anew: the number of another day says nothing.
func TestLaterTimeBeginsItsSequence(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.do(thing("A", Put, `{}`))
	for i, c := range []struct {
		row  pim.StockRow
		want string
	}{
		{sequenced(stamped(stock("A", 1), 100, ""), 50), "changed"},
		{stamped(stock("A", 2), 200, ""), "changed"},
		{sequenced(stamped(stock("A", 3), 200, ""), 5), "changed"},
		{sequenced(stamped(stock("A", 4), 200, ""), 4), "stale"},
	} {
		if got := words(h.set(c.row)); got != c.want {
			t.Errorf("%d: %s, not %s", i, got, c.want)
		}
	}
}
