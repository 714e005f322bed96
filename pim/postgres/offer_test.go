package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluicehub/sluice/pim"
)

// set sets prices or stock levels, and gives each row's outcome in a word.
func (h *house) set(rows ...any) []string {
	h.Helper()
	var prices []pim.PriceRow
	var levels []pim.StockRow
	for _, r := range rows {
		switch r := r.(type) {
		case pim.PriceRow:
			prices = append(prices, r)
		case pim.StockRow:
			levels = append(levels, r)
		}
	}
	a, err := h.SetPrices(h.ctx, "erp", prices, Idempotency{})
	if err != nil {
		h.Fatal(err)
	}
	b, err := h.SetStock(h.ctx, "erp", levels, Idempotency{})
	if err != nil {
		h.Fatal(err)
	}
	var out []string
	for _, r := range append(a, b...) {
		s := fmt.Sprintf("%s %s %d", r.SKU, r.Status, r.Revision)
		for _, p := range r.Problems {
			s += " " + p.Code + " " + p.Pointer
		}
		out = append(out, s)
	}
	return out
}

func at(s string) *time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return &t
}

func window(r pim.PriceRow, from, to *time.Time) pim.PriceRow {
	r.ValidFrom, r.ValidTo = from, to
	return r
}

func TestPricesRowByRow(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.do(thing("A", Put, `{}`), thing("B", Put, `{}`), thing("gone", Put, `{}`))
	h.do(Edit{SKU: "gone", Mode: Delete})
	quantity := price("A", "EUR", "17.5")
	quantity.MinQuantity = 10
	drop := pim.PriceRow{SKU: "A", Price: pim.Price{Currency: "EUR"}, Delete: true}
	negative := price("B", "EUR", "-1")
	negative.PriceList = "nope"

	for i, c := range []struct{ rows, want []any }{
		{
			[]any{
				price("A", "EUR", "19.90"), price("A", "EUR", "20"), quantity, price("B", "XXX", "1"), negative, price("nobody", "EUR", "1"),
				price("gone", "EUR", "1"), price("a\x00", "EUR", "1"), price("B", "GBP", "0.123456"),
				window(price("B", "EUR", "1"), at("2026-01-01T00:00:00Z"), nil), window(price("B", "EUR", "2"), at("2026-01-01T01:00:00.0000009+01:00"), nil),
				window(price("B", "EUR", "3"), at("0001-01-01T00:00:00Z"), nil), price("B", "EUR", "4"),
			},
			[]any{
				"A superseded 0", "A changed 1", "A changed 1", "B rejected 0 currency.unknown /currency",
				"B rejected 0 price_list.unknown /price_list price.negative /amount", "nobody rejected 0 sku.unknown /sku", "gone rejected 0 sku.unknown /sku",
				"a rejected 0 sku.unknown /sku", "B changed 1", "B superseded 0", "B changed 1", "B changed 1", "B changed 1",
			},
		},
		{[]any{price("A", "EUR", "20.000")}, []any{"A unchanged 1"}},
		{[]any{price("A", "EUR", "20.000001"), price("B", "GBP", "0.123456")}, []any{"A changed 2", "B unchanged 1"}},
		{[]any{window(price("A", "EUR", "20.000001"), nil, at("2030-01-01T00:00:00Z"))}, []any{"A changed 3"}}, // its end moved
		{[]any{price("A", "EUR", "9999999999999.999999")}, []any{"A changed 4"}},
		{[]any{drop}, []any{"A changed 5"}},
		{[]any{drop}, []any{"A unchanged 5"}},
		{nil, nil},
	} {
		var want []string
		for _, w := range c.want {
			want = append(want, w.(string))
		}
		before := h.traces()
		equal(t, fmt.Sprint(i), h.set(c.rows...), want)
		if changed := strings.Contains(fmt.Sprint(want), " changed "); changed == (h.traces() == before) {
			t.Errorf("%d: %s became %s", i, before, h.traces())
		}
	}
	var got []string
	for _, p := range h.product("B").Prices {
		got = append(got, fmt.Sprintf("%s %s %d %s", p.PriceList, p.Currency, p.MinQuantity, p.Amount))
	}
	equal(t, "the other's", got, []string{"default EUR 1 4", "default EUR 1 3", "default EUR 1 2", "default GBP 1 0.123456"})
	for _, p := range h.product("A").Prices {
		if p.MinQuantity != 10 || p.Amount.String() != "17.5" {
			t.Errorf("%+v", p)
		}
	}
	var data []string
	for _, e := range h.history("A") {
		if e.Type == pim.EventPriceChanged {
			data = append(data, string(e.Data))
		}
	}
	sameJSON(t, "events", []byte("["+strings.Join(data, ",")+"]"), `[
		{"prices":[{"price_list":"default","currency":"EUR","min_quantity":1,"old":"9999999999999.999999"}]},
		{"prices":[{"price_list":"default","currency":"EUR","min_quantity":1,"old":"20.000001","old_valid_to":"2030-01-01T00:00:00+00:00","new":"9999999999999.999999"}]},
		{"prices":[{"price_list":"default","currency":"EUR","min_quantity":1,"valid_to":"2030-01-01T00:00:00+00:00","old":"20.000001","new":"20.000001"}]},
		{"prices":[{"price_list":"default","currency":"EUR","min_quantity":1,"old":"20","new":"20.000001"}]},
		{"prices":[{"price_list":"default","currency":"EUR","min_quantity":1,"new":"20"},{"price_list":"default","currency":"EUR","min_quantity":10,"new":"17.5"}]}]`)
}

func TestStockRowByRow(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.do(thing("A", Put, `{}`), thing("B", Put, `{}`))
	h.exec(`delete from outbox`)
	in := func(location string, sku pim.SKU, onHand, reserved int64) pim.StockRow {
		return pim.StockRow{SKU: sku, Stock: pim.Stock{Location: location, OnHand: onHand, Reserved: reserved}}
	}
	for i, c := range []struct {
		rows   []any
		want   string
		urgent int64 // outbox rows of what sold out
	}{
		{[]any{stock("A", 0), stock("B", -3)}, "A changed 1, B changed 1", 0}, // there was none to sell before
		{[]any{stock("A", 5), in("shop", "A", 2, 0), in("moon", "A", 2, 0), stock("nobody", 1)}, "A changed 2, A changed 2, A rejected 0 location.unknown /location, nobody rejected 0 sku.unknown /sku", 0},
		{[]any{stock("A", 3), stock("A", 4)}, "A superseded 0, A changed 3", 0},
		{[]any{stock("A", 4)}, "A unchanged 3", 0},
		{[]any{in("default", "A", 4, 4)}, "A changed 4", 1}, // all reserved is sold out, there
		{[]any{in("default", "A", 4, 5)}, "A changed 5", 0}, // and was already
		{[]any{stock("A", 9), in("shop", "A", 0, 0), stock("B", 1)}, "A changed 6, A changed 6, B changed 2", 1},
		{[]any{in("shop", "A", 0, -1), in("shop", "B", 1<<50, 0)}, "A rejected 0 stock.range /reserved, B rejected 0 stock.range /on_hand", 0},
	} {
		if got := strings.Join(h.set(c.rows...), ", "); got != c.want {
			t.Errorf("%d: %s, want %s", i, got, c.want)
		}
		if n := h.number(`select count(*) from outbox where priority = 2 and lanes = 2`); n != c.urgent {
			t.Errorf("%d: %d urgent rows, want %d", i, n, c.urgent)
		}
		h.exec(`delete from outbox`)
	}
	sameJSON(t, "event", h.history("A")[0].Data, `{"stock":[{"location":"default","old":{"on_hand":4,"reserved":5},"new":{"on_hand":9,"reserved":0}},
		{"location":"shop","old":{"on_hand":2,"reserved":0},"new":{"on_hand":0,"reserved":0}}]}`)
	if got := h.product("A").Stock; !reflect.DeepEqual(got, []pim.Stock{{Location: "default", OnHand: 9}, {Location: "shop"}}) {
		t.Errorf("%+v", got)
	}
}

// Content, prices and stock have revisions of their own.
func TestRevisionsAreApart(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.do(thing("A", Put, `{}`))
	revisions := func() [5]int64 {
		p := h.product("A")
		return [5]int64{p.Rev, p.MediaRev, p.OfferRev, p.PriceRev, p.StockRev}
	}
	for i, c := range []struct {
		do   func()
		want [5]int64
	}{
		{func() {}, [5]int64{1, 0, 0, 0, 0}},
		{func() { h.set(price("A", "EUR", "1")) }, [5]int64{1, 0, 1, 1, 0}},
		{func() { h.set(stock("A", 1)) }, [5]int64{1, 0, 2, 1, 1}},
		{func() { h.set(stock("A", 2)) }, [5]int64{1, 0, 3, 1, 2}},
		{func() { h.do(thing("A", Patch, `{"count":1}`)) }, [5]int64{2, 0, 3, 1, 2}},
		{func() { h.do(thing("A", Patch, `{"picture":"https://x/1.jpg"}`)) }, [5]int64{3, 1, 3, 1, 2}},
		{func() { h.do(Edit{SKU: "A", Mode: Delete}, thing("B", Put, `{}`)); h.do(thing("A", Put, `{}`)) }, [5]int64{5, 1, 3, 1, 2}},
	} {
		c.do()
		if got := revisions(); got != c.want {
			t.Errorf("%d: %v, want %v", i, got, c.want)
		}
	}
	// The ETag of before the tick still counts.
	h.set(stock("A", 3), price("A", "EUR", "2"))
	e := thing("A", Patch, `{"count":7}`)
	e.IfMatch = 5
	h.do(e)
}

// What an event says was there before is what was there: also when many change
// one price at once, its events make one chain.
func TestConcurrentPricesKeepTheirHistory(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.do(thing("A", Put, `{}`), thing("B", Put, `{}`))
	h.set(price("A", "EUR", "1000"), price("B", "EUR", "1000"))
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			for n := range 10 {
				rows := []pim.PriceRow{price("A", "EUR", fmt.Sprint(i*10+n)), price("B", "EUR", fmt.Sprint(i*10+n))}
				if i%2 == 1 {
					rows[0], rows[1] = rows[1], rows[0]
				}
				if _, err := h.SetPrices(h.ctx, "erp", rows, Idempotency{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, sku := range []pim.SKU{"A", "B"} {
		p := h.product(sku)
		want := p.Prices[0].Amount.Trim(0).String()
		for _, e := range h.history(sku) {
			var data struct {
				Prices []struct{ Old, New string }
			}
			if err := json.Unmarshal(e.Data, &data); err != nil {
				t.Fatal(err)
			}
			if e.Type == pim.EventPriceChanged {
				if data.Prices[0].New != want {
					t.Fatalf("%s: revision %d set %s, but what came after it replaced %s", sku, e.Revision, data.Prices[0].New, want)
				}
				want = data.Prices[0].Old
			}
		}
		if p.PriceRev != 61 {
			t.Errorf("%s: price revision %d, want 61", sku, p.PriceRev)
		}
	}
}

func TestIdempotency(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.do(thing("A", Put, `{}`))
	k, err := h.CreateKey(h.ctx, "erp", "integration", []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := h.CreateKey(h.ctx, "erp2", "integration", []byte("y"))
	if err != nil {
		t.Fatal(err)
	}
	idem := Idempotency{KeyID: k.ID, Key: "k", Request: []byte("body")}
	rows := func() []pim.StockRow { return []pim.StockRow{stock("A", 5), stock("later", 1), stock("A", 6)} }
	first, err := h.SetStock(h.ctx, "erp", rows(), idem)
	if err != nil {
		t.Fatal(err)
	}
	// The world moves on; the answer does not.
	h.do(thing("later", Put, `{}`))
	h.set(stock("A", 1), stock("later", 3))
	before := h.traces()
	again, err := h.SetStock(h.ctx, "erp", rows(), idem)
	if err != nil || !reflect.DeepEqual(first, again) || h.traces() != before {
		t.Errorf("%v, %v became %+v, want %+v", err, before, again, first)
	}
	if _, err := h.SetStock(h.ctx, "erp", rows(), Idempotency{KeyID: k.ID, Key: "k", Request: []byte("another")}); !errors.Is(err, ErrKeyReused) {
		t.Errorf("another body: %v", err)
	}
	if r, err := h.SetStock(h.ctx, "erp", []pim.StockRow{stock("A", 77)}, Idempotency{KeyID: other.ID, Key: "k", Request: []byte("another")}); err != nil || r[0].Status != RowChanged {
		t.Errorf("another client's key of the same name: %v, %v", r, err)
	}
	// A batch of nothing good has its answer too.
	idem.Key = "bad"
	bad, err := h.SetStock(h.ctx, "erp", []pim.StockRow{stock("new", 1)}, idem)
	if err != nil || bad[0].Status != RowRejected {
		t.Fatal(bad, err)
	}
	h.do(thing("new", Put, `{}`))
	if again, err := h.SetStock(h.ctx, "erp", []pim.StockRow{stock("new", 1)}, idem); err != nil || !reflect.DeepEqual(bad, again) {
		t.Errorf("%v, %v, want %v", again, err, bad)
	}
	// A first answer without problems does not show the problems of a second look.
	idem.Key = "clean"
	clean, err := h.SetStock(h.ctx, "erp", []pim.StockRow{stock("A", 4)}, idem)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := h.SetStock(h.ctx, "erp", []pim.StockRow{{SKU: "A", Stock: pim.Stock{Location: "moon"}}}, idem); err != nil || !reflect.DeepEqual(clean, again) {
		t.Errorf("%v, %v, want %v", again, err, clean)
	}
	// Forgotten after a day.
	h.exec(`update idempotency set created_at = now() - interval '25 hours'`)
	if err := h.Tidy(h.ctx); err != nil {
		t.Fatal(err)
	}
	if n := h.number(`select count(*) from idempotency`); n != 0 {
		t.Errorf("%d keys remembered for more than a day", n)
	}
}

// Twins in flight: the second waits for the first, and answers with it, or
// works itself when the first came to nothing.
func TestIdempotentTwinsInFlight(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.do(thing("A", Put, `{}`))
	k, err := h.CreateKey(h.ctx, "erp", "integration", []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	for _, commits := range []bool{true, false} {
		idem := Idempotency{KeyID: k.ID, Key: fmt.Sprint(commits), Request: []byte("body")}
		tx := h.begin()
		_, err := tx.Exec(h.ctx, `insert into idempotency (key_id, key, request, response) values ($1, $2, 'body', '[{"sku":"A","status":"changed","revision":42}]')`, k.ID, idem.Key)
		if err != nil {
			t.Fatal(err)
		}
		type answer struct {
			rows []RowResult
			err  error
		}
		done := make(chan answer)
		go func() {
			rows, err := h.SetStock(h.ctx, "erp", []pim.StockRow{stock("A", 1)}, idem)
			done <- answer{rows, err}
		}()
		h.blocked(1)
		want := int64(42)
		if commits {
			err = tx.Commit(h.ctx)
		} else {
			want, err = 1, tx.Rollback(h.ctx)
		}
		if err != nil {
			t.Fatal(err)
		}
		if a := <-done; a.err != nil || len(a.rows) != 1 || a.rows[0].Revision != want {
			t.Errorf("first commits %v: %+v, want revision %d", commits, a, want)
		}
	}
	// And for real: eight at once change once.
	idem := Idempotency{KeyID: k.ID, Key: "eight", Request: []byte("body")}
	var wg sync.WaitGroup
	answers := make([][]RowResult, 8)
	for i := range answers {
		wg.Go(func() {
			var err error
			if answers[i], err = h.SetStock(context.WithoutCancel(h.ctx), "erp", []pim.StockRow{stock("A", 2)}, idem); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, a := range answers {
		if !reflect.DeepEqual(a, answers[0]) || a[0].Status != RowChanged {
			t.Errorf("%+v, want %+v", a, answers[0])
		}
	}
}

func TestPriceWindows(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.do(thing("opens", Put, `{}`), thing("closes", Put, `{}`), thing("later", Put, `{}`), thing("always", Put, `{}`), thing("past", Put, `{}`))
	h.set(price("opens", "EUR", "1"), price("closes", "EUR", "1"), price("later", "EUR", "1"), price("always", "EUR", "1"), price("past", "EUR", "1"))
	h.exec(`update price set valid_from = case p.sku when 'opens' then now() - interval '1 minute' when 'later' then now() + interval '1 hour'
			when 'past' then now() - interval '3 hours' else valid_from end,
		valid_to = case p.sku when 'closes' then now() - interval '1 minute' when 'past' then now() - interval '2 hours' else valid_to end from product p where p.id = price.product_id`)
	h.exec(`update catalogue set priced_until = now() - interval '1 hour'; delete from outbox`)
	nudged := false
	h.SetNudge(func() { nudged = true })
	// Several sweepers look at once, each window is queued once.
	var wg sync.WaitGroup
	counts := make([]int, 4)
	for i := range counts {
		wg.Go(func() {
			var err error
			if counts[i], err = h.OpenPriceWindows(h.ctx); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	sum := 0
	for _, n := range counts {
		sum += n
	}
	var skus string
	h.one(`select string_agg(p.sku, ' ' order by p.sku) from outbox o join product p on p.id = o.product_id where o.lanes = 2`, &skus)
	if sum != 2 || skus != "closes opens" || !nudged {
		t.Errorf("%v: queued %q, nudged %v", counts, skus, nudged)
	}
	if n, err := h.OpenPriceWindows(h.ctx); err != nil || n != 0 {
		t.Errorf("a second look: %d, %v", n, err)
	}
	// The mark never goes back, whichever transaction began first.
	h.exec(`update catalogue set priced_until = now() + interval '1 minute'`)
	if _, err := h.OpenPriceWindows(h.ctx); err != nil {
		t.Fatal(err)
	}
	if n := h.number(`select count(*) from catalogue where priced_until > now()`); n != 1 {
		t.Error("the mark went back")
	}
}
