package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/govalues/decimal"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/sluicehub/sluice/pim"
)

// rule makes or replaces a price rule from JSON.
func (h *house) rule(definition string) PriceRule {
	h.Helper()
	var r pim.PriceRule
	if err := json.Unmarshal([]byte(definition), &r); err != nil {
		h.Fatal(err)
	}
	now, _, err := h.PutPriceRule(h.ctx, r, 0)
	if err != nil {
		h.Fatalf("%s: %v", definition, err)
	}
	return now
}

func (h *house) list(l pim.PriceList) {
	h.Helper()
	if _, _, err := h.PutPriceList(h.ctx, l, 0); err != nil {
		h.Fatal(err)
	}
}

// deriveAll does the work of the consumer of derive to its end, and says of how
// many products prices changed.
func (h *house) deriveAll() (changed int64) {
	h.Helper()
	h.fanOut(h.fan())
	l := h.lease(Consumer{Kind: Derive})
	defer h.exec(`update consumer set released = true, holder = '' where kind = 'derive'`)
	for {
		n, again, err := h.WalkPrices(h.ctx, l, 2)
		if err != nil {
			h.Fatal(err)
		}
		changed += n
		products, err := h.ClaimDerive(h.ctx, l, 200)
		if err != nil {
			h.Fatal(err)
		}
		if len(products) == 0 && !again {
			return changed
		}
		err = h.Derive(h.ctx, l, Derivation{Products: products, Refs: make([][]string, len(products)), Also: func(ctx context.Context, tx pgx.Tx) error {
			n, err := h.DerivePrices(ctx, tx, products)
			changed += n
			return err
		}})
		if err != nil {
			h.Fatal(err)
		}
	}
}

// fan is fan-out's lease, given back at once: a step needs no more.
func (h *house) fan() Lease {
	h.Helper()
	h.exec(`update consumer set released = true where kind = 'fanout'`)
	return h.lease(Consumer{Kind: Fanout})
}

// prices are a product's, one in a line, in the order list, currency, quantity, from.
func (h *house) prices(sku pim.SKU) (out []string) {
	h.Helper()
	rows, err := h.pool.Query(h.ctx, `select concat_ws(' ', price_list, currency, nullif(min_quantity, 1), nullif(valid_from, '-infinity') at time zone 'utc',
		'to ' || (nullif(valid_to, 'infinity') at time zone 'utc'), amount, array_to_string(rules, '+')) from price p join product on id = product_id
		where sku = $1 order by price_list, currency, min_quantity, valid_from`, sku)
	if err == nil {
		out, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil {
		h.Fatal(err)
	}
	return out
}

func (h *house) wantPrices(sku pim.SKU, want ...string) {
	h.Helper()
	equal(h, "prices of "+string(sku), h.prices(sku), want)
}

func listed(list string, r pim.PriceRow) pim.PriceRow { r.PriceList = list; return r }

func TestPricesDerived(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.do(thing("A", Put, `{"colour":"red"}`), thing("B", Put, `{"colour":"blue"}`), thing("C", Put, `{}`))
	h.list(pim.PriceList{Code: "dealer"})
	h.list(pim.PriceList{Code: "gold", Base: "dealer"})
	h.set(price("A", "EUR", "19.99"), price("B", "EUR", "10"), price("C", "EUR", "0.01"))
	h.rule(`{"code":"dealers","price_list":"dealer","percent":-15}`)
	h.rule(`{"code":"golden","price_list":"gold","percent":"-10","rounding":{"ending":".99","mode":"down"}}`)
	if n := h.deriveAll(); n != 3 {
		t.Errorf("prices of %d products changed", n)
	}
	// 19.99 - 15 % is 16.9915; 16.99 - 10 % is 15.291.
	h.wantPrices("A", "dealer EUR 16.99 dealers", "default EUR 19.99", "gold EUR 14.99 golden")
	h.wantPrices("B", "dealer EUR 8.50 dealers", "default EUR 10", "gold EUR 6.99 golden")
	// Of a cent something is left: 0.0085 is 0.01, and the lowest that ends in .99 is one.
	h.wantPrices("C", "dealer EUR 0.01 dealers", "default EUR 0.01", "gold EUR 0.99 golden")
	if h.deriveAll() != 0 {
		t.Error("the same again changes something")
	}

	// A base price takes what is derived from it along in its own transaction, and nothing else.
	before, others := h.traces(), h.product("B").OfferRev
	h.exec(`delete from outbox`)
	if got := h.set(price("A", "EUR", "30")); got[0][:9] != "A changed" {
		t.Error(got)
	}
	h.wantPrices("A", "dealer EUR 25.50 dealers", "default EUR 30", "gold EUR 21.99 golden")
	if h.number(`select count(distinct product_id) from outbox`) != 1 || h.product("B").OfferRev != others || h.number(`select count(*) from derive`) != 0 {
		t.Errorf("%s became %s", before, h.traces())
	}
	e := h.history("A")[0]
	sameJSON(t, "the event", e.Data, `{"prices":[{"price_list":"dealer","currency":"EUR","min_quantity":1,"old":"16.99","new":"25.50","rules":["dealers"]},
		{"price_list":"gold","currency":"EUR","min_quantity":1,"old":"14.99","new":"21.99","rules":["golden"]}]}`)
	if e.Actor != "price-rules" {
		t.Error(e.Actor)
	}
	// One that moves nothing beyond its own list leaves the rest alone.
	rev := h.product("A").OfferRev
	h.set(price("A", "EUR", "30.001")) // 25.50085
	if got := h.product("A").OfferRev; got != rev+1 {
		t.Errorf("from revision %d to %d", rev, got)
	}

	// What is set by hand wins, and what is derived from it follows.
	hand := listed("dealer", price("A", "EUR", "20"))
	if got := h.set(hand); got[0][:9] != "A changed" {
		t.Error(got)
	}
	h.wantPrices("A", "dealer EUR 20", "default EUR 30.001", "gold EUR 17.99 golden")
	h.set(price("A", "EUR", "40"))
	h.wantPrices("A", "dealer EUR 20", "default EUR 40", "gold EUR 17.99 golden")
	drop := hand
	drop.Delete = true
	h.set(drop)
	h.wantPrices("A", "dealer EUR 34.00 dealers", "default EUR 40", "gold EUR 29.99 golden")
	if got := h.set(drop); !strings.HasPrefix(got[0], "A rejected") || !strings.HasSuffix(got[0], " price.derived /delete") {
		t.Error("a derived price is deleted by hand:", got)
	}
	h.wantPrices("A", "dealer EUR 34.00 dealers", "default EUR 40", "gold EUR 29.99 golden")

	// Without its base a derived price goes, and without its rule, too.
	gone := price("A", "EUR", "0")
	gone.Delete = true
	h.set(gone)
	h.wantPrices("A")
	if err := h.DeletePriceRule(h.ctx, "golden", 0); err != nil {
		t.Fatal(err)
	}
	if n := h.deriveAll(); n != 2 {
		t.Errorf("prices of %d products changed", n)
	}
	h.wantPrices("B", "dealer EUR 8.50 dealers", "default EUR 10")
	if err := h.DeletePriceRule(h.ctx, "golden", 0); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

// TestPriceRuleScope: what a rule looks at of a product counts as the product is,
// after each edit, and of a variant what it has from its parent.
// What is taken away by hand where a rule makes it too is the rule's again, at once.
func TestRulesComeBehindADeletion(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.do(thing("A", Put, `{}`))
	h.list(pim.PriceList{Code: "dealer"})
	h.rule(`{"code":"dealers","price_list":"dealer","percent":-10}`)
	h.set(price("A", "EUR", "10"), listed("dealer", price("A", "EUR", "5")))
	h.wantPrices("A", "dealer EUR 5", "default EUR 10")
	h.deriveAll() // of the first offer
	h.set(listed("dealer", pim.PriceRow{SKU: "A", Price: pim.Price{Currency: "EUR"}, Delete: true}))
	h.wantPrices("A", "dealer EUR 9.00 dealers", "default EUR 10")
	h.set(price("A", "EUR", "20"), listed("dealer", price("A", "EUR", "5")))
	h.set(price("A", "EUR", "30"), listed("dealer", pim.PriceRow{SKU: "A", Price: pim.Price{Currency: "EUR"}, Delete: true}))
	h.wantPrices("A", "dealer EUR 27.00 dealers", "default EUR 30")
}

func TestPriceRuleScope(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.list(pim.PriceList{Code: "dealer"})
	in := func(e Edit, categories ...string) Edit { e.Categories = &categories; return e }
	p := parent("P")
	p.Values = values(`{"gtin":"x"}`)
	h.do(in(thing("A", Put, `{"colour":"red"}`), "tools"), thing("B", Put, `{"colour":"blue"}`), p)
	h.do(variant("V", "P", `{"colour":"red"}`))
	h.set(price("A", "EUR", "10"), price("B", "EUR", "10"), price("V", "EUR", "10"))
	h.rule(`{"code":"reds","price_list":"dealer","percent":-10,"attributes":{"colour":["red","green"]},"priority":2}`)
	h.rule(`{"code":"tools","price_list":"dealer","percent":-20,"categories":["tools"],"priority":1}`)
	h.rule(`{"code":"mine","price_list":"dealer","price":"1","currency":"EUR","skus":["B"],"families":["thing"],"priority":1}`)
	h.rule(`{"code":"x","price_list":"dealer","percent":-30,"attributes":{"gtin":["y"]},"priority":0}`)
	h.deriveAll()
	h.wantPrices("A", "dealer EUR 8.00 tools", "default EUR 10")
	h.wantPrices("B", "dealer EUR 1.00 mine", "default EUR 10")
	h.wantPrices("V", "dealer EUR 9.00 reds", "default EUR 10")

	h.do(in(thing("A", Patch, `{}`)), thing("P", Patch, `{"gtin":"y"}`))
	if n := h.deriveAll(); n != 2 {
		t.Errorf("prices of %d products changed", n)
	}
	h.wantPrices("A", "dealer EUR 9.00 reds", "default EUR 10")
	h.wantPrices("V", "dealer EUR 7.00 x", "default EUR 10")
	h.do(thing("A", Patch, `{"colour":"grey"}`))
	h.deriveAll()
	h.wantPrices("A", "default EUR 10")
	h.do(thing("A", Patch, `{"count":7}`)) // nothing that a rule looks at
	if n := h.deriveAll(); n != 0 {
		t.Errorf("prices of %d products changed", n)
	}

	// A rule that is another one now is also for those that it is for no more.
	h.rule(`{"code":"mine","price_list":"dealer","price":"2","currency":"EUR","skus":["A"],"priority":1}`)
	h.deriveAll()
	h.wantPrices("A", "dealer EUR 2.00 mine", "default EUR 10")
	h.wantPrices("B", "default EUR 10")
	h.rule(`{"code":"mine","price_list":"dealer","price":"2","currency":"EUR","skus":["A"],"priority":1,"enabled":false}`)
	h.deriveAll()
	h.wantPrices("A", "default EUR 10")
}

// TestPriceWindowsDerived: windows of rules and of prices are windows of what is
// derived, so that they open and close by themselves.
func TestPriceWindowsDerived(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.list(pim.PriceList{Code: "dealer"})
	h.do(thing("A", Put, `{}`))
	h.set(price("A", "EUR", "100"), window(price("A", "EUR", "80"), at("2090-11-27T00:00:00Z"), at("2090-12-01T00:00:00Z")),
		window(price("A", "EUR", "50"), at("2001-01-01T00:00:00Z"), at("2002-01-01T00:00:00Z")))
	h.rule(`{"code":"all","price_list":"dealer","percent":-10,"stackable":true,"priority":1}`)
	h.rule(`{"code":"late","price_list":"dealer","amount":-5,"currency":"EUR","stackable":true,"priority":2,"valid_from":"2090-11-29T00:00:00Z","valid_to":"2090-12-03T00:00:00Z"}`)
	h.rule(`{"code":"alone","price_list":"dealer","percent":-50,"priority":3}`)
	h.deriveAll()
	base := []string{"default EUR 100", "default EUR 2001-01-01 00:00:00 to 2002-01-01 00:00:00 50", "default EUR 2090-11-27 00:00:00 to 2090-12-01 00:00:00 80"}
	h.wantPrices("A", append([]string{
		"dealer EUR 2002-01-01 00:00:00 to 2090-11-27 00:00:00 90.00 all", // nothing of what is long over
		"dealer EUR 2090-11-27 00:00:00 to 2090-11-29 00:00:00 72.00 all",
		"dealer EUR 2090-11-29 00:00:00 to 2090-12-01 00:00:00 67.00 all+late",
		"dealer EUR 2090-12-01 00:00:00 to 2090-12-03 00:00:00 85.00 all+late",
		"dealer EUR 2090-12-03 00:00:00 90.00 all",
	}, base...)...)

	// What is set by hand takes its window out of what is derived.
	h.set(listed("dealer", window(price("A", "EUR", "1"), at("2090-11-28T00:00:00Z"), at("2090-12-02T00:00:00Z"))))
	h.wantPrices("A", append([]string{
		"dealer EUR 2002-01-01 00:00:00 to 2090-11-27 00:00:00 90.00 all",
		"dealer EUR 2090-11-27 00:00:00 to 2090-11-28 00:00:00 72.00 all",
		"dealer EUR 2090-11-28 00:00:00 to 2090-12-02 00:00:00 1",
		"dealer EUR 2090-12-02 00:00:00 to 2090-12-03 00:00:00 85.00 all+late",
		"dealer EUR 2090-12-03 00:00:00 90.00 all",
	}, base...)...)

	// As the time comes, the product's offers are looked at without any edit.
	h.exec(`update price set valid_from = now() - interval '1 second' where valid_from = '2090-11-27' and price_list = 'dealer'; delete from outbox;
		update catalogue set priced_until = now() - interval '1 minute'`)
	if n, err := h.OpenPriceWindows(h.ctx); err != nil || n != 1 {
		t.Errorf("%d windows opened: %v", n, err)
	}
}

func TestPriceRulesRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.list(pim.PriceList{Code: "dealer", Currencies: []pim.Currency{"EUR"}})
	h.list(pim.PriceList{Code: "gold", Base: "dealer"})
	for rule, want := range map[string]string{
		`{"code":"?","price_list":"none"}`:                                                                                     "code /code, price_list.unknown /price_list, price_rule.action ",
		`{"code":"r","price_list":"default","percent":1}`:                                                                      "price_list.base /price_list",
		`{"code":"r","price_list":"dealer","percent":1,"price":1}`:                                                             "price_rule.action , field.missing /currency",
		`{"code":"r","price_list":"dealer","percent":-100}`:                                                                    "price_rule.percent /percent",
		`{"code":"r","price_list":"dealer","percent":1.1234567}`:                                                               "price.decimals /percent",
		`{"code":"r","price_list":"dealer","amount":1}`:                                                                        "field.missing /currency",
		`{"code":"r","price_list":"dealer","price":0,"currency":"XXX"}`:                                                        "currency.unknown /currency, price_rule.price /price",
		`{"code":"r","price_list":"dealer","percent":1,"families":["f"],"skus":[""]}`:                                          "family.unknown /families/0, sku /skus/0",
		`{"code":"r","price_list":"dealer","percent":1,"attributes":{"name":["x"]}}`:                                           "price_rule.attribute /attributes/name",
		`{"code":"r","price_list":"dealer","percent":1,"attributes":{"count":["x"]}}`:                                          "price_rule.attribute /attributes/count",
		`{"code":"r","price_list":"dealer","percent":1,"rounding":{"ending":"9,9","digits":2}}`:                                "price_rule.ending /rounding/ending, price_rule.ending /rounding/digits",
		`{"code":"r","price_list":"dealer","percent":1,"rounding":{"ending":"9","mode":"half_even"}}`:                          "price_rule.mode /rounding/mode",
		`{"code":"r","price_list":"dealer","percent":1,"margin":{"price_list":"x","percent":100}}`:                             "price_list.unknown /margin/price_list, price_rule.margin /margin/percent",
		`{"code":"r","price_list":"dealer","percent":1,"margin":{"price_list":"dealer","percent":1}}`:                          "price_list.cycle /price_list",
		`{"code":"r","price_list":"dealer","percent":1,"valid_from":"2026-01-01T00:00:00Z","valid_to":"2026-01-01T00:00:00Z"}`: "price.window /valid_to",
	} {
		var r pim.PriceRule
		if err := json.Unmarshal([]byte(rule), &r); err != nil {
			t.Fatal(err)
		}
		_, _, err := h.PutPriceRule(h.ctx, r, 0)
		if got := strings.Join(problemsOf(err), ", "); got != want {
			t.Errorf("%s: %s, want %s", rule, got, want)
		}
	}
	if n := h.number(`select count(*) from price_rule`) + h.number(`select derives & 8 from catalogue`); n != 0 {
		t.Errorf("%d traces of rules that were refused", n)
	}
	h.rule(`{"code":"a","price_list":"dealer","percent":1}`)
	r := h.rule(`{"code":"b","price_list":"gold","percent":1}`)
	if _, _, err := h.PutPriceList(h.ctx, pim.PriceList{Code: "dealer", Base: "gold"}, 0); strings.Join(problemsOf(err), "") != "price_list.cycle /base" {
		t.Error("lists made of each other:", err)
	}
	if _, _, err := h.PutPriceRule(h.ctx, r.PriceRule, r.Rev+1); !errors.Is(err, ErrStale) {
		t.Error(err)
	}
	h.exec(`delete from derive`)
	if again, created, err := h.PutPriceRule(h.ctx, r.PriceRule, r.Rev); err != nil || created || again.Rev != r.Rev || h.number(`select count(*) from derive`) != 0 {
		t.Errorf("the same again: %+v, %v, %v", again, created, err)
	}
	h.do(thing("A", Put, `{}`))
	if got := h.set(listed("dealer", price("A", "GBP", "1"))); got[0] != "A rejected 0 price_list.currency /currency" {
		t.Error(got)
	}
}

// TestPricesDerivedLate: a process that does not know of rules yet, and a first
// price beside an edit, leave the deriving to the consumer, and lose nothing.
func TestPricesDerivedLate(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.list(pim.PriceList{Code: "dealer"})
	h.do(thing("A", Put, `{"colour":"red"}`), thing("B", Put, `{}`), thing("C", Put, `{}`))
	h.set(price("B", "EUR", "10"))
	old := h.open()
	h.rule(`{"code":"reds","price_list":"dealer","percent":-10,"attributes":{"colour":["red"]}}`)
	h.deriveAll()
	if old.Schema().PriceRules {
		t.Fatal("it knows already")
	}
	if _, err := old.SetPrices(h.ctx, "erp", []pim.PriceRow{price("A", "EUR", "10")}, Idempotency{}); err != nil {
		t.Fatal(err)
	}
	h.wantPrices("A", "default EUR 10")
	h.deriveAll()
	h.wantPrices("A", "dealer EUR 9.00 reds", "default EUR 10")

	// A first price is under way, of a product that becomes one of the rule's
	// meanwhile. Whoever derives by the edit has no row to wait for, so the price
	// leaves word that somebody is to look again.
	b, err := h.priceBatch(h.ctx, "erp", []pim.PriceRow{price("C", "EUR", "20")})
	if err != nil {
		t.Fatal(err)
	}
	tx := h.begin()
	if err := b.run(h.ctx, tx); err != nil {
		t.Fatal(err)
	}
	h.do(thing("C", Patch, `{"colour":"red"}`))
	h.exec(`delete from outbox`) // its fan-out came, and the deriving after it, before the price was there
	if err := tx.Commit(h.ctx); err != nil {
		t.Fatal(err)
	}
	h.wantPrices("C", "default EUR 20")
	h.deriveAll()
	h.wantPrices("C", "dealer EUR 18.00 reds", "default EUR 20")

	// Who changes a rule waits for prices that are being set, and finds them.
	if b, err = h.priceBatch(h.ctx, "erp", []pim.PriceRow{price("C", "EUR", "30")}); err != nil {
		t.Fatal(err)
	}
	tx = h.begin()
	if err := b.run(h.ctx, tx); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, _, err := h.PutPriceRule(h.ctx, pim.PriceRule{Code: "reds", PriceList: "dealer", Percent: "-50"}, 0)
		done <- err
	}()
	h.blocked(1)
	if err := tx.Commit(h.ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	h.deriveAll()
	h.wantPrices("C", "dealer EUR 15.00 reds", "default EUR 30")
}

// TestPricesAgreeWithSQL: what rules make is what PostgreSQL's numeric makes of
// it, to the last digit.
func TestPricesAgreeWithSQL(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	rapid.Check(t, func(t *rapid.T) {
		amount := decimal.MustNew(rapid.Int64Range(1, 9_999_999_999_999).Draw(t, "amount"), rapid.IntRange(0, 6).Draw(t, "scale"))
		percent := decimal.MustNew(rapid.Int64Range(-99_999, 200_000).Draw(t, "percent"), rapid.IntRange(3, 4).Draw(t, "percent scale"))
		digits := rapid.IntRange(0, 4).Draw(t, "digits")
		ending := rapid.SampledFrom([]string{"", ".99", ".95", ".00", "9.99", "5"}).Draw(t, "ending")
		mode := rapid.SampledFrom([]string{"", "up", "down"}).Draw(t, "mode")
		rule := pim.PriceRule{Code: "r", PriceList: "dealer", Percent: pim.Number(percent.String()), Rounding: &pim.PriceRounding{Mode: mode}}
		step, from := fmt.Sprintf("10::numeric ^ -%d", digits), "0"
		if rule.Rounding.Digits = &digits; ending != "" {
			whole, _, _ := strings.Cut(ending, ".")
			rule.Rounding.Digits, rule.Rounding.Ending = nil, ending
			step, from = fmt.Sprintf("10::numeric ^ %d", len(whole)), "0"+ending
		}
		book, err := pim.NewPriceBook(nil, []pim.PriceRule{rule})
		if err != nil {
			t.Fatal(err)
		}
		got := book.Derive(&pim.PricedProduct{Prices: []pim.Price{{PriceList: "default", Currency: "EUR", MinQuantity: 1, Amount: amount}}}, time.Now())
		if len(got) != 1 {
			t.Fatalf("%v", got)
		}
		round := map[string]string{"": "round", "up": "ceil", "down": "floor"}[mode]
		var same bool
		var want string
		sql := fmt.Sprintf(`with x as (select $1::numeric * (100 + $2::numeric) * 0.01 as x, %s as s, %s::numeric as f),
			y as (select f + s * %s((x - f) / s) as y, s from x), z as (select case when y <= 0 then y + s else y end as z from y)
			select z = $3::numeric, z::text from z`, step, from, round)
		if mode == "" { // PostgreSQL rounds half away from zero: below the first ending that is down
			sql = strings.Replace(sql, "round((x - f) / s)", "floor((x - f) / s + 0.5)", 1)
		}
		if err := h.pool.QueryRow(h.ctx, sql, amount.String(), percent.String(), got[0].Amount.String()).Scan(&same, &want); err != nil {
			t.Fatal(err)
		}
		if !same {
			t.Fatalf("%s %s %% to %s %d %s is %s, by PostgreSQL %s", amount, percent, ending, digits, mode, got[0].Amount, want)
		}
	})
}

// TestPricesDerivedAnew: whatever is set, in whatever order, the derived prices
// are those that would be derived of all at once.
func TestPricesDerivedAnew(t *testing.T) {
	t.Parallel()
	for name, few := range map[string]int{"queued": fewDerived, "walked": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			h.fewDerived = few
			h.derivesAnew(t)
		})
	}
}

func (h *house) derivesAnew(t *testing.T) {
	h.list(pim.PriceList{Code: "dealer"})
	h.list(pim.PriceList{Code: "cost"})
	h.list(pim.PriceList{Code: "gold", Base: "dealer"})
	skus := []pim.SKU{"A", "B", "C"}
	for _, sku := range skus {
		h.do(thing(sku, Put, `{}`))
	}
	rapid.Check(t, func(t *rapid.T) {
		for range rapid.IntRange(1, 6).Draw(t, "steps") {
			sku := rapid.SampledFrom(skus).Draw(t, "sku")
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				h.do(thing(sku, Patch, fmt.Sprintf(`{"colour":%q}`, rapid.SampledFrom([]string{"red", "blue"}).Draw(t, "colour"))))
			case 1:
				r := pim.PriceRule{
					Code: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "rule"), PriceList: rapid.SampledFrom([]string{"dealer", "gold"}).Draw(t, "target"),
					Percent: pim.Number(fmt.Sprint(rapid.IntRange(-60, 60).Draw(t, "percent"))), Stackable: rapid.Bool().Draw(t, "stackable"), Priority: rapid.IntRange(0, 2).Draw(t, "priority"),
				}
				if rapid.Bool().Draw(t, "reds") {
					r.Attributes = map[string][]string{"colour": {"red"}}
				}
				if rapid.Bool().Draw(t, "margin") {
					r.Margin = &pim.PriceMargin{PriceList: "cost", Percent: "20"}
				}
				if rapid.Bool().Draw(t, "window") {
					r.ValidFrom = at("2090-01-01T00:00:00Z")
				}
				if _, _, err := h.PutPriceRule(h.ctx, r, 0); err != nil {
					t.Fatal(err)
				}
			default:
				row := listed(rapid.SampledFrom([]string{"default", "cost", "dealer"}).Draw(t, "list"), price(sku, "EUR", fmt.Sprint(rapid.IntRange(1, 99).Draw(t, "amount"))))
				if rapid.Bool().Draw(t, "break") {
					row.MinQuantity = 10
				}
				if rapid.Bool().Draw(t, "window") {
					row.ValidFrom = at(rapid.SampledFrom([]string{"2089-01-01T00:00:00Z", "2091-01-01T00:00:00Z"}).Draw(t, "from"))
				}
				row.Delete = rapid.IntRange(0, 3).Draw(t, "delete") == 0
				if _, err := h.SetPrices(h.ctx, "erp", []pim.PriceRow{row}, Idempotency{}); err != nil {
					t.Fatal(err)
				}
			}
		}
		h.deriveAll()
		var was [][]string
		for _, sku := range skus {
			was = append(was, h.prices(sku))
		}
		h.exec(`delete from price where rules is not null; insert into derive (product_id) select id from product`)
		h.deriveAll()
		for i, sku := range skus {
			if now := h.prices(sku); !slices.Equal(now, was[i]) {
				t.Fatalf("%s has\n%s, and anew\n%s", sku, strings.Join(was[i], "\n"), strings.Join(now, "\n"))
			}
		}
	})
}
