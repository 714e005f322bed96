package postgres

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/sluicehub/sluice/pim"
)

// holds are what is held, one in a line.
func (h *house) holds(f HoldFilter) (out []string) {
	h.Helper()
	list, _, err := h.PriceHolds(h.ctx, f, Page{Limit: 200})
	if err != nil {
		h.Fatal(err)
	}
	for _, x := range list {
		s := fmt.Sprint(x.SKU, " ", x.PriceList, " ", x.Reason, " by ", x.Actor)
		for _, p := range x.Prices {
			amount := p.Amount
			if p.Delete {
				amount = "gone"
			}
			s += fmt.Sprint(" ", strings.Join(append([]string{amount}, p.Rules...), " "))
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}

func (h *house) wantHolds(want ...string) {
	h.Helper()
	equal(h, "what is held", h.holds(HoldFilter{}), want)
}

func (h *house) approve(f HoldFilter) {
	h.Helper()
	if _, err := h.ApproveHolds(h.ctx, "anna", f); err != nil {
		h.Fatal(err)
	}
}

// words are outcomes without their revisions and problems.
func words(results []string) string {
	out := make([]string, len(results))
	for i, r := range results {
		out[i] = strings.Fields(r)[1]
	}
	return strings.Join(out, " ")
}

// guard makes the guarded list default, and products with the price 100.
func (h *house) guard(g pim.PriceGuard, skus ...pim.SKU) {
	h.Helper()
	var rows []any
	for _, sku := range skus {
		h.do(thing(sku, Put, `{}`))
		rows = append(rows, price(sku, "EUR", "100"))
	}
	h.set(rows...)
	h.list(pim.PriceList{Code: "default", Guard: &g})
	h.exec(`delete from outbox`)
}

func TestPriceTooFarIsHeld(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.guard(pim.PriceGuard{MaxFactor: 2}, "A", "B", "C")
	rev := h.product("A").OfferRev
	if got := h.set(price("A", "EUR", "10"), price("B", "EUR", "60")); got[0] != "A held 1 price.held /amount" || words(got) != "held changed" {
		t.Error(got)
	}
	h.wantHolds("A default factor by erp 10")
	h.wantPrices("A", "default EUR 100")
	if h.number(`select count(*) from outbox`) != 1 || h.product("A").OfferRev != rev {
		t.Error("what is held is on the road")
	}
	if e := h.history("A")[0]; e.Type != "price.held" || e.Actor != "erp" {
		t.Errorf("%+v", e)
	}
	// A restock goes out, with the old price.
	h.set(stock("A", 5))
	if h.number(`select count(*) from outbox`) != 2 {
		t.Error("a stock level waits for a price that is held")
	}
	h.wantPrices("A", "default EUR 100")
	// The same again is the same; within the time steps add up; what is harmless takes the place of what is held.
	held := h.number(`select id from price_hold`)
	if got := h.set(price("A", "EUR", "10.0"), price("B", "EUR", "40")); words(got) != "held held" {
		t.Error(got)
	}
	if got := h.number(`select min(id) from price_hold`); got != held {
		t.Errorf("hold %d is %d", held, got)
	}
	if got := h.set(price("A", "EUR", "90"), price("B", "EUR", "60.00")); words(got) != "changed unchanged" {
		t.Error(got)
	}
	h.wantHolds()
	h.wantPrices("A", "default EUR 90")

	// To nothing, and from a price that was taken away before, is too far, too.
	if got := h.set(price("A", "EUR", "0"), pim.PriceRow{SKU: "C", Price: pim.Price{PriceList: "default", Currency: "EUR"}, Delete: true}); words(got) != "held changed" {
		t.Error(got)
	}
	if got := h.set(price("C", "EUR", "1000")); words(got) != "held" {
		t.Error(got)
	}
	h.wantHolds("A default factor by erp 0", "C default factor by erp 1000")
	h.approve(HoldFilter{SKU: "C"})
	h.wantPrices("C", "default EUR 1000")
	if n, err := h.RejectHolds(h.ctx, "anna", HoldFilter{PriceList: "default"}); err != nil || n != 1 {
		t.Errorf("%d rejected: %v", n, err)
	}
	h.wantHolds()
	h.wantPrices("A", "default EUR 90")
	var types []string
	for _, e := range slices.Concat(h.history("C")[:3], h.history("A")[:1]) {
		types = append(types, e.Type+" "+e.Actor)
	}
	equal(h, "the history", types, []string{"price.changed anna", "price.approved anna", "price.held erp", "price.rejected anna"})
}

// The first price from a quantity on is held against what that many cost before.
func TestFirstQuantityPriceTooFarIsHeld(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.guard(pim.PriceGuard{MaxFactor: 2, MaxShare: 0.5, Least: 1}, "A", "B", "C")
	from := func(sku pim.SKU, quantity int, amount string) pim.PriceRow {
		r := price(sku, "EUR", amount)
		r.MinQuantity = quantity
		return r
	}
	pounds := from("B", 10, "1")
	pounds.Currency = "GBP" // of which there is no price at all
	if got := h.set(from("A", 10, "1"), from("B", 10, "90"), from("C", 10, "80"), pounds); words(got) != "held changed changed changed" {
		t.Error(got)
	}
	h.wantHolds("A default factor by erp 1")
	// The nearest smaller quantity counts, not one piece.
	if got := h.set(from("B", 100, "40"), from("C", 100, "60"), from("A", 5, "60")); words(got) != "held changed changed" {
		t.Error(got)
	}
	if got := h.set(from("A", 10, "40")); words(got) != "changed" {
		t.Error(got)
	}
	h.wantHolds("B default factor by erp 40")
	h.approve(HoldFilter{SKU: "B"})
	h.wantPrices("B", "default EUR 100", "default EUR 10 90", "default EUR 100 40", "default GBP 10 1")
}

func TestTooManyPricesAreHeld(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	skus := []pim.SKU{"A", "B", "C", "D", "E", "F", "G", "H", "I", "J"}
	h.guard(pim.PriceGuard{MaxShare: 0.3, Least: 2}, skus...)
	// Three of ten may move within the hour, whatever batches they come in; the same ones again are no others.
	if got := h.set(price("A", "EUR", "99"), price("B", "EUR", "99")); words(got) != "changed changed" {
		t.Error(got)
	}
	if got := h.set(price("B", "EUR", "98"), price("C", "EUR", "99")); words(got) != "changed changed" {
		t.Error(got)
	}
	if got := h.set(price("D", "EUR", "99"), price("A", "EUR", "98"), price("E", "EUR", "100")); words(got) != "held held unchanged" {
		t.Error(got)
	}
	h.wantHolds("A default share by erp 98", "D default share by erp 99")
	// What is held counts: when the hour is over, not the next third gets out.
	h.exec(`update price_move set at = at - interval '2 hours'`)
	if got := h.set(price("E", "EUR", "99"), price("F", "EUR", "99"), price("D", "EUR", "99.00")); words(got) != "held held held" {
		t.Error(got)
	}
	// One that is told again as it is takes the place of what is held.
	if got := h.set(price("A", "EUR", "99"), price("E", "EUR", "100"), price("F", "EUR", "100")); words(got) != "unchanged unchanged unchanged" {
		t.Error(got)
	}
	h.wantHolds("D default share by erp 99")
	h.exec(`delete from outbox`)
	h.approve(HoldFilter{})
	h.wantPrices("D", "default EUR 99")
	if n := h.number(`select count(*) from outbox`); n != 1 {
		t.Errorf("%d on the road", n)
	}
	// Somebody has looked at it all, and the count begins anew. A first price is no move.
	h.do(thing("new", Put, `{}`))
	if got := h.set(price("F", "EUR", "99"), price("G", "EUR", "99"), price("H", "EUR", "99"), price("new", "EUR", "5")); words(got) != "changed changed changed changed" {
		t.Error(got)
	}
	if n := h.number(`select prices from price_guard`); n != 11 {
		t.Errorf("the list has %d prices", n)
	}

	// Two that are harmless each wait for each other.
	h.exec(`delete from price_move`)
	b, err := h.priceBatch(h.ctx, "erp", []pim.PriceRow{price("A", "EUR", "50"), price("B", "EUR", "50")})
	if err != nil {
		t.Fatal(err)
	}
	tx := h.begin()
	if err := b.run(h.ctx, tx); err != nil {
		t.Fatal(err)
	}
	done := make(chan string, 1)
	go func() {
		r, err := h.SetPrices(h.ctx, "erp", []pim.PriceRow{price("C", "EUR", "50"), price("D", "EUR", "50")}, Idempotency{})
		if err != nil {
			done <- err.Error()
			return
		}
		done <- string(r[0].Status)
	}()
	h.blocked(1)
	if err := tx.Commit(h.ctx); err != nil {
		t.Fatal(err)
	}
	if got := <-done; got != "held" {
		t.Error(got)
	}
}

// TestHeldBeforeItOpens: windows are judged when they are set, by what moves when
// they open.
func TestHeldBeforeItOpens(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.guard(pim.PriceGuard{MaxShare: 0.5, MaxFactor: 2, Least: 1}, "A", "B", "C", "D")
	open, shut := at("2090-11-27T00:00:00Z"), at("2090-12-01T00:00:00Z")
	sale := func(sku pim.SKU, amount string) pim.PriceRow { return window(price(sku, "EUR", amount), open, shut) }
	if got := h.set(sale("A", "10"), sale("B", "80")); words(got) != "held changed" {
		t.Error(got)
	}
	h.wantHolds("A default factor by erp 10")
	if got := h.set(sale("B", "70")); words(got) != "changed" { // which moves then anyhow
		t.Error(got)
	}
	if got := h.set(sale("C", "80")); words(got) != "held" { // three of four at that moment
		t.Error(got)
	}
	if got := h.set(window(price("C", "EUR", "80"), at("2090-12-27T00:00:00Z"), nil)); words(got) != "changed" {
		t.Error(got)
	}
	// What moves then is not what moves now, and the other way round.
	if got := h.set(price("B", "EUR", "90"), price("D", "EUR", "90")); words(got) != "changed changed" {
		t.Error(got)
	}
	h.approve(HoldFilter{})
	h.wantHolds()
	// A step that somebody has approved is not asked about again.
	h.exec(`delete from price_move where at < now() + interval '1 year'`)
	if got := h.set(price("A", "EUR", "101")); words(got) != "changed" {
		t.Error(got)
	}
	if got := h.set(price("B", "EUR", "170")); words(got) != "held" { // from 170 to 80
		t.Error(got)
	}
}

func TestDerivedPricesAreHeld(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.guard(pim.PriceGuard{MaxFactor: 3}, "A", "B")
	h.list(pim.PriceList{Code: "dealer", Guard: &pim.PriceGuard{MaxFactor: 2}})
	h.list(pim.PriceList{Code: "gold", Base: "dealer"})
	h.list(pim.PriceList{Code: "other"})
	h.rule(`{"code":"d","price_list":"dealer","percent":-10}`)
	h.rule(`{"code":"g","price_list":"gold","percent":-10}`)
	h.deriveAll()
	h.wantPrices("A", "dealer EUR 90.00 d", "default EUR 100", "gold EUR 81.00 g")

	// A rule that is another one now: what is made of what is held stays, too.
	h.rule(`{"code":"d","price_list":"dealer","percent":-90}`)
	h.deriveAll()
	h.wantPrices("A", "dealer EUR 90.00 d", "default EUR 100", "gold EUR 81.00 g")
	h.wantHolds("A dealer factor by price-rules 10.00 d", "B dealer factor by price-rules 10.00 d")
	id := h.number(`select min(id) from price_hold`)
	h.approve(HoldFilter{IDs: []int64{id}})
	h.wantPrices("A", "dealer EUR 10.00 d", "default EUR 100", "gold EUR 9.00 g")

	// What was rejected does not come again until rules make something else.
	if _, err := h.RejectHolds(h.ctx, "anna", HoldFilter{}); err != nil {
		t.Fatal(err)
	}
	h.exec(`insert into derive (product_id) select id from product`)
	h.deriveAll()
	h.wantHolds()
	h.wantPrices("B", "dealer EUR 90.00 d", "default EUR 100", "gold EUR 81.00 g")
	equal(h, "what was rejected", h.holds(HoldFilter{Rejected: true}), []string{"B dealer factor by price-rules 10.00 d"})
	h.rule(`{"code":"other","price_list":"other","percent":1}`)
	if got := h.set(price("B", "EUR", "150")); words(got) != "changed" || !strings.HasSuffix(got[0], fmt.Sprint(" ", h.number(`select price_rev from product_offer join product on id = product_id where sku = 'B'`))) {
		t.Error("the revision is not that after all is written:", got)
	}
	h.wantHolds("B dealer factor by price-rules 15.00 d")
	h.wantPrices("B", "dealer EUR 90.00 d", "default EUR 150", "gold EUR 81.00 g", "other EUR 151.50 other")

	// A base price that is held moves nothing of what is made of it; one that is set by hand takes the rules' place.
	if got := h.set(price("A", "EUR", "1000"), listed("dealer", price("B", "EUR", "95"))); words(got) != "held changed" {
		t.Error(got)
	}
	h.wantPrices("A", "dealer EUR 10.00 d", "default EUR 100", "gold EUR 9.00 g", "other EUR 101.00 other")
	h.wantPrices("B", "dealer EUR 95", "default EUR 150", "gold EUR 85.50 g", "other EUR 151.50 other")
	h.wantHolds("A default factor by erp 1000")
	// Approved, it has what follows from it held by its own guard.
	h.approve(HoldFilter{})
	h.wantPrices("A", "dealer EUR 10.00 d", "default EUR 1000", "gold EUR 9.00 g", "other EUR 1010.00 other")
	h.wantHolds("A dealer factor by price-rules 100.00 d")
	// When the guard is taken away, what is held is still to be decided on.
	h.list(pim.PriceList{Code: "dealer"})
	h.wantHolds("A dealer factor by price-rules 100.00 d")
	h.approve(HoldFilter{PriceList: "dealer"})
	h.wantPrices("A", "dealer EUR 100.00 d", "default EUR 1000", "gold EUR 90.00 g", "other EUR 1010.00 other")
	if n := h.number(`select count(*) from price_guard`); n != 1 {
		t.Errorf("%d guards", n)
	}
	// A hand-set price that goes is judged by what rules put in its place.
	h.list(pim.PriceList{Code: "dealer", Guard: &pim.PriceGuard{MaxFactor: 2}})
	h.set(listed("dealer", price("A", "EUR", "60")))
	row := listed("dealer", price("A", "EUR", "0"))
	if row.Delete = true; words(h.set(row)) != "changed" {
		t.Error("from 60 to 100 is held")
	}
}

// TestGuardOfAnotherProcess: one that does not know of a guard yet is held to it.
func TestGuardOfAnotherProcess(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	old := h.open()
	h.guard(pim.PriceGuard{MaxFactor: 2}, "A")
	if old.Schema().PriceGuards {
		t.Fatal("it knows already")
	}
	for _, idem := range []Idempotency{{}, {KeyID: 1, Key: "k", Request: []byte("r")}, {KeyID: 1, Key: "k", Request: []byte("r")}} {
		if idem.Key != "" {
			h.exec(`insert into api_key (id, name, role, hash) overriding system value values (1, 'k', 'admin', 'k') on conflict do nothing`)
		}
		got, err := old.SetPrices(h.ctx, "erp", []pim.PriceRow{price("A", "EUR", "10")}, idem)
		if err != nil || got[0].Status != RowHeld {
			t.Errorf("%v %v", got, err)
		}
	}
	h.wantHolds("A default factor by erp 10")
}

// TestApprovedAsNeverHeld: whatever is set and held, in whatever order, nothing
// of it is in force or on the road; when all is approved, prices are those that
// a list without a guard has.
func TestApprovedAsNeverHeld(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	skus := []pim.SKU{"A", "B", "C", "D"}
	for _, sku := range skus {
		h.do(thing(sku, Put, `{}`))
	}
	h.list(pim.PriceList{Code: "free"})
	h.list(pim.PriceList{Code: "made-of-free", Base: "free"})
	guard := &pim.PriceGuard{MaxShare: 0.5, MaxFactor: 2, Least: 1}
	h.list(pim.PriceList{Code: "default", Guard: guard})
	h.list(pim.PriceList{Code: "made", Guard: guard})
	rows := func(list string) []string {
		r, err := h.pool.Query(h.ctx, `select concat_ws(' ', product_id, currency, min_quantity, valid_from, valid_to, amount, array_length(rules, 1))
			from price where price_list = $1 and valid_to > now() order by 1`, list)
		if err != nil {
			t.Fatal(err)
		}
		out, err := pgx.CollectRows(r, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	rapid.Check(t, func(t *rapid.T) {
		h.exec(`delete from price_hold; delete from price_move; delete from price; delete from price_rule; delete from derive; update price_guard set prices = 0`)
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			if rapid.IntRange(0, 5).Draw(t, "rule") == 0 {
				percent := pim.Number(fmt.Sprint(rapid.IntRange(-80, 80).Draw(t, "percent")))
				for _, list := range []string{"made", "made-of-free"} {
					if _, _, err := h.PutPriceRule(h.ctx, pim.PriceRule{Code: list, PriceList: list, Percent: percent}, 0); err != nil {
						t.Fatal(err)
					}
				}
				h.deriveAll()
				continue
			}
			var guarded, free []pim.PriceRow
			derived := rapid.IntRange(0, 3).Draw(t, "to the derived") == 0
			for range rapid.IntRange(1, 3).Draw(t, "rows") {
				row := price(rapid.SampledFrom(skus).Draw(t, "sku"), "EUR", fmt.Sprint(rapid.IntRange(0, 40).Draw(t, "amount")*10))
				if rapid.IntRange(0, 2).Draw(t, "window") == 0 {
					row.ValidFrom = at(rapid.SampledFrom([]string{"2089-01-01T00:00:00Z", "2091-01-01T00:00:00Z"}).Draw(t, "from"))
					row.ValidTo = at(rapid.SampledFrom([]string{"2091-06-01T00:00:00Z", "2092-01-01T00:00:00Z"}).Draw(t, "to"))
				}
				row.Delete = rapid.IntRange(0, 4).Draw(t, "delete") == 0
				x, y := "default", "free"
				if derived {
					x, y = "made", "made-of-free"
				}
				guarded, free = append(guarded, listed(x, row)), append(free, listed(y, row))
			}
			if _, err := h.SetPrices(h.ctx, "erp", free, Idempotency{}); err != nil {
				t.Fatal(err)
			}
			h.exec(`delete from outbox`)
			before := append(rows("default"), rows("made")...)
			results, err := h.SetPrices(h.ctx, "erp", guarded, Idempotency{})
			if err != nil {
				t.Fatal(err)
			}
			moved := slices.ContainsFunc(results, func(r RowResult) bool { return r.Status == RowChanged })
			if after := append(rows("default"), rows("made")...); !moved && (!slices.Equal(before, after) || h.number(`select count(*) from outbox`) != 0) {
				t.Fatalf("%+v moved\n%s\nto\n%s", results, strings.Join(before, "\n"), strings.Join(after, "\n"))
			}
			if rapid.IntRange(0, 3).Draw(t, "approve") == 0 {
				h.approve(HoldFilter{PriceList: rapid.SampledFrom([]string{"", "default", "made"}).Draw(t, "of")})
			}
		}
		for tries := 0; len(h.holds(HoldFilter{})) > 0; tries++ {
			if h.approve(HoldFilter{}); tries == 5 {
				t.Fatal(h.holds(HoldFilter{}))
			}
		}
		for _, pair := range [][2]string{{"default", "free"}, {"made", "made-of-free"}} {
			if x, y := rows(pair[0]), rows(pair[1]); !slices.Equal(x, y) {
				t.Fatalf("%s has\n%s\nand %s\n%s", pair[0], strings.Join(x, "\n"), pair[1], strings.Join(y, "\n"))
			}
		}
		if n := h.number(`select prices - (select count(*) from (select distinct product_id, currency, min_quantity from price where price_list = 'default') p)
			from price_guard where price_list = 'default'`); n != 0 {
			t.Fatalf("%d prices too many are counted", n)
		}
	})
}

// Who approves a hold approves what they have seen of it: what takes its place is
// another one.
func TestAnotherPriceIsAnotherHold(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.guard(pim.PriceGuard{MaxFactor: 2}, "A")
	h.set(price("A", "EUR", "40"))
	seen, _, err := h.PriceHolds(h.ctx, HoldFilter{}, Page{})
	if err != nil || len(seen) != 1 {
		t.Fatal(seen, err)
	}
	h.set(price("A", "EUR", "40.00")) // the same
	h.set(price("A", "EUR", "0.01"))
	old := HoldFilter{IDs: []int64{seen[0].ID}}
	for _, do := range []func() (int, error){
		func() (int, error) { return h.ApproveHolds(h.ctx, "anna", old) },
		func() (int, error) { return h.RejectHolds(h.ctx, "anna", old) },
	} {
		if n, err := do(); n != 0 || err != nil {
			t.Errorf("%d holds decided on, %v", n, err)
		}
	}
	h.wantPrices("A", "default EUR 100")
	h.wantHolds("A default factor by erp 0.01")
}

// Holds whose guards are gone are approved together, though what is made of one
// list moves the other.
func TestApproveWhatFormerGuardsHold(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.do(thing("A", Put, `{}`))
	h.set(price("A", "EUR", "100"))
	h.list(pim.PriceList{Code: "dealer"})
	h.rule(`{"code":"r","price_list":"dealer","percent":"-10"}`)
	h.deriveAll()
	for _, code := range []string{"default", "dealer"} {
		h.list(pim.PriceList{Code: code, Guard: &pim.PriceGuard{MaxFactor: 2}})
	}
	h.rule(`{"code":"r","price_list":"dealer","percent":"-90"}`)
	h.deriveAll()
	h.set(price("A", "EUR", "300"))
	h.wantHolds("A dealer factor by price-rules 10.00 r", "A default factor by erp 300")
	h.list(pim.PriceList{Code: "default"})
	h.list(pim.PriceList{Code: "dealer"})
	h.approve(HoldFilter{})
	h.wantHolds()
	h.wantPrices("A", "dealer EUR 30.00 r", "default EUR 300")
	if n := h.number(`select count(*) from price_guard`); n != 0 {
		t.Errorf("%d guards are left", n)
	}
}

// What is held of a product that was deleted can be decided on by nobody, so it is
// not waited for; it is back with the product.
func TestHoldsOfDeletedProducts(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.guard(pim.PriceGuard{MaxFactor: 2}, "A")
	h.set(price("A", "EUR", "4"))
	held := func(want int64) {
		t.Helper()
		counts, err := h.PriceHoldCounts(h.ctx)
		if err != nil || len(counts) != 1 || counts[0].Factor != want || (counts[0].Oldest > 0) != (want > 0) {
			t.Errorf("%+v, %v, not %d", counts, err, want)
		}
	}
	held(1)
	h.do(Edit{SKU: "A", Mode: Delete})
	held(0)
	h.do(thing("A", Put, `{}`))
	held(1)
}
