package postgres

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/pim"
)

// usedBy are the kinds of what keeps a definition, or what else became of its deletion.
func usedBy(err error) string {
	used, is := errors.AsType[*InUse](err)
	switch {
	case err == nil:
		return ""
	case !is:
		return err.Error()
	}
	var by []string
	for _, p := range used.By {
		by = append(by, strings.TrimPrefix(p.Code, "used.")+": "+p.Detail)
	}
	return strings.Join(by, "\n")
}

// A locale and an edit of a product never pass each other: who comes second sees
// the first.
func TestLocaleWaitsForEdits(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	behind := h.open() // its schema stays as it is now
	h.do(thing("A", Put, `{}`))
	tx := h.begin()
	if err := h.within(tx, thing("A", Patch, `{"name":{"de-DE":"Tasse"}}`)); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- h.DeleteLocale(h.ctx, "de-DE", 0) }()
	h.blocked(1)
	if err := tx.Commit(h.ctx); err != nil {
		t.Fatal(err)
	}
	if got := usedBy(<-done); got != "product: product A has values in it" {
		t.Errorf("an edit was under way: %s", got)
	}
	h.do(thing("A", Patch, `{"name":null}`))

	tx = h.begin() // the deletion has looked, and waits for this
	if _, err := tx.Exec(h.ctx, `select from locale where code = 'de-DE' for update`); err != nil {
		t.Fatal(err)
	}
	go func() { done <- h.DeleteLocale(h.ctx, "de-DE", 0) }()
	h.blocked(1)
	edited := make(chan EditResult, 1)
	go func() { edited <- h.edit(thing("A", Patch, `{"name":{"de-DE":"Tasse"}}`)) }()
	h.blocked(2)
	if err := tx.Rollback(h.ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if r := <-edited; faultsOf(r.Err) != "/values/name/de-DE locale.unknown" {
		t.Errorf("an edit that came behind: %v", r.Err)
	}
	if r := behind.editOne(h.ctx, thing("A", Patch, `{"name":{"de-DE":"Tasse"}}`)); faultsOf(r.Err) != "/values/name/de-DE locale.unknown" {
		t.Errorf("an edit of a process that does not know yet: %v", r.Err)
	}
	if n := h.number(`select count(*) from product where values::text like '%de-DE%'`); n != 0 {
		t.Errorf("%d products have values in it", n)
	}
	if err := h.DeleteLocale(h.ctx, "de-DE", 0); !errors.Is(err, ErrNotFound) {
		t.Errorf("again: %v", err)
	}
}

// What shows a locale, or is to be made in it, keeps it; what nobody sees does not.
func TestLocaleInUse(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.ok(h.ChangeSchema(h.ctx, SchemaChange{
		Locales:    []pim.Locale{"fr-FR", "nl-NL"},
		Fallbacks:  map[pim.Locale]pim.Locale{"nl-NL": "fr-FR"},
		Attributes: []pim.Attribute{{Code: "claim", Type: pim.TypeText, Localizable: true, Scopable: true}},
		Families:   []pim.Family{{Code: "both", Attributes: []pim.FamilyAttribute{{Code: "claim"}, {Code: "colour"}}}},
	}))
	if _, _, err := h.PutReferenceEntity(h.ctx, pim.ReferenceEntity{Code: "brand", Attributes: []pim.Attribute{{Code: "story", Type: pim.TypeText, Localizable: true}}}, 0); err != nil {
		t.Fatal(err)
	}
	c := h.channel("shop")
	c.Locale, c.Mapping = "fr-FR", []byte(`{"content":{"a":"value('name', \"fr-FR\")"}}`)
	c, err := h.UpdateChannel(h.ctx, *c)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.PutTextRule(h.ctx, TextRule{Code: "french", Action: TextTranslate, From: "en-GB", To: []pim.Locale{"fr-FR"}}, 0); err != nil {
		t.Fatal(err)
	}
	e := thing("B", Put, `{"claim":{"shop":{"fr-FR":"Beau"}}}`)
	e.Family = ptr("both")
	h.do(thing("A", Put, `{"name":{"fr-FR":"Tasse"}}`), e, thing("GONE", Put, `{"name":{"fr-FR":"Tasse"}}`), Edit{SKU: "FREE", Mode: Put, Family: ptr("both"), Values: values(`{"colour":"fr-FR"}`)})
	h.do(Edit{SKU: "GONE", Mode: Delete})
	if r := h.record(RecordEdit{Code: "acme", Mode: Put, Values: values(`{"story":{"fr-FR":"Il"}}`)}); r.Err != nil {
		t.Fatal(r.Err)
	}
	want := func(lines ...string) {
		t.Helper()
		got := usedBy(h.DeleteLocale(h.ctx, "fr-FR", 0))
		equal(t, "what keeps it", strings.Split(got, "\n"), lines)
	}
	want("channel: channel shop is in it", "channel: the mapping of channel shop names it", "locale: locale nl-NL falls back to it",
		"text-rule: text rule french translates or writes texts in it, or from it", "product: product B has values in it", "product: product A has values in it",
		"record: record acme of brand has values in it")
	c.Locale, c.Mapping = "en-GB", []byte(`{"content":{"a":"mapped(values.colour)"},"tables":{"fr-FR":{}}}`)
	if _, err := h.UpdateChannel(h.ctx, *c); err != nil {
		t.Fatal(err)
	}
	if err := h.DeleteTextRule(h.ctx, "french", 0); err != nil {
		t.Fatal(err)
	}
	h.ok(h.ChangeSchema(h.ctx, SchemaChange{Fallbacks: map[pim.Locale]pim.Locale{"nl-NL": ""}}))
	h.do(thing("A", Patch, `{"name":null}`))
	if r := h.record(RecordEdit{Code: "acme", Mode: Put}); r.Err != nil {
		t.Fatal(r.Err)
	}
	want("product: product B has values in it")
	if err := h.DeleteChannel(h.ctx, "shop", 0); err != nil { // nobody sees its values any more
		t.Fatal(err)
	}
	if err := h.DeleteLocale(h.ctx, "fr-FR", 7); !errors.Is(err, ErrStale) {
		t.Errorf("at another revision: %v", err)
	}
	want("")
	if _, _, err := h.PutTextRule(h.ctx, TextRule{Code: "late", Action: TextTranslate, From: "fr-FR", To: []pim.Locale{"en-GB", "fr-FR"}}, 0); faultsOf(err) != "/from locale.unknown, /to/1 locale.unknown" {
		t.Errorf("a rule that was checked before: %v", err)
	}
	// What was deleted comes back when the locale does.
	if _, err := h.RestoreProduct(h.ctx, "anna", "GONE", 0, 0); faultsOf(err) != "/values/name/fr-FR locale.unknown" {
		t.Errorf("restored into nothing: %v", err)
	}
	h.ok(h.ChangeSchema(h.ctx, SchemaChange{Locales: []pim.Locale{"fr-FR"}}))
	if _, err := h.RestoreProduct(h.ctx, "anna", "GONE", 0, 0); err != nil {
		t.Error(err)
	}
}

// A price rule whose condition asks for a value in a locale keeps it: without the
// locale it would be for no product, and its prices would go.
func TestLocaleInCondition(t *testing.T) {
	t.Parallel()
	h := conditioned(t)
	h.condition(`values.name.de-DE is empty and not sku = nl-NL`)
	h.deriveAll()
	had := h.derived()
	if got := usedBy(h.DeleteLocale(h.ctx, "de-DE", 0)); got != "price-rule: the condition of price rule c asks for a value in it" {
		t.Errorf("what keeps it: %q", got)
	}
	if err := h.DeleteLocale(h.ctx, "nl-NL", 0); err != nil {
		t.Errorf("a locale that a condition asks for no value in: %v", err)
	}
	if h.deriveAll(); h.derived() != had || had == "" {
		t.Errorf("there are prices of %q, and were of %q", h.derived(), had)
	}
}

// A price list and a currency wait for who sets prices; who comes behind sets none
// in what is gone, also where its process does not know yet.
func TestPricesInWhatIsGone(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.do(thing("A", Put, `{}`), thing("GONE", Put, `{}`))
	h.list(pim.PriceList{Code: "sale"})
	behind := h.open()
	tx := h.begin()
	b, err := h.priceBatch(h.ctx, "erp", []pim.PriceRow{listed("sale", price("A", "GBP", "5"))})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.run(h.ctx, tx); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 2)
	go func() { done <- h.DeletePriceList(h.ctx, "sale", 0) }()
	go func() { done <- h.DeleteCurrency(h.ctx, "GBP") }()
	h.blocked(2)
	if err := tx.Commit(h.ctx); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got := usedBy(<-done); got != "product: product A has prices in it" {
			t.Errorf("prices were under way: %s", got)
		}
	}
	h.set(pim.PriceRow{SKU: "A", Price: pim.Price{PriceList: "sale", Currency: "GBP"}, Delete: true}, listed("sale", price("GONE", "GBP", "5")), listed("sale", price("GONE", "EUR", "5")))
	h.do(Edit{SKU: "GONE", Mode: Delete})
	for _, err := range []error{h.DeleteCurrency(h.ctx, "GBP"), h.DeletePriceList(h.ctx, "sale", 0)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	results, err := behind.SetPrices(h.ctx, "erp", []pim.PriceRow{listed("sale", price("A", "EUR", "5")), price("A", "GBP", "5"), price("A", "EUR", "5")}, Idempotency{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range results {
		s := string(r.Status)
		for _, p := range r.Problems {
			s += " " + p.Code + " " + p.Pointer
		}
		got = append(got, s)
	}
	equal(t, "prices of a process that does not know yet", got, []string{"rejected price_list.unknown /price_list", "rejected currency.unknown /currency", "changed"})
	h.wantPrices("A", "default EUR 5")
	if n := h.number(`select count(*) from price`); n != 1 {
		t.Errorf("%d prices are left", n)
	}
	for _, err := range []error{h.DeleteCurrency(h.ctx, "GBP"), h.DeletePriceList(h.ctx, "sale", 0)} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("again: %v", err)
		}
	}
}

// A guard does not count a price that is refused, since it is in what is gone.
func TestGuardsOfWhatIsGone(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.do(thing("A", Put, `{}`))
	h.list(pim.PriceList{Code: "sale", Guard: &pim.PriceGuard{MaxShare: 1}})
	h.set(listed("sale", price("A", "EUR", "5")))
	behind := h.open()
	if err := h.DeleteCurrency(h.ctx, "GBP"); err != nil {
		t.Fatal(err)
	}
	results, err := behind.SetPrices(h.ctx, "erp", []pim.PriceRow{listed("sale", price("A", "GBP", "5"))}, Idempotency{})
	if err != nil {
		t.Fatal(err)
	}
	if r := results[0]; r.Status != RowRejected || r.Problems[0].Code != "currency.unknown" {
		t.Errorf("%+v", r)
	}
	if n := h.number(`select prices from price_guard`); n != 1 {
		t.Errorf("the guard counts %d prices", n)
	}
}

// What sells in a price list or currency, or makes prices of it, keeps it.
func TestPriceListInUse(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.do(thing("A", Put, `{}`))
	for _, l := range []pim.PriceList{
		{Code: "cost", Guard: &pim.PriceGuard{MaxFactor: 2}}, {Code: "sale", Base: "cost", Currencies: []pim.Currency{"GBP"}},
	} {
		h.list(l)
	}
	rule := `{"code":"cheap","price_list":"sale","percent":"-10","currency":"GBP","margin":{"price_list":"cost","percent":"5"}}`
	h.rule(rule)
	h.set(listed("cost", price("A", "GBP", "5")))
	h.deriveAll()
	c := h.channel("shop")
	c.PriceList, c.Currency = "sale", "GBP"
	c, err := h.UpdateChannel(h.ctx, *c)
	if err != nil {
		t.Fatal(err)
	}
	want := func(what string, err error, lines ...string) {
		t.Helper()
		equal(t, what, strings.Split(usedBy(err), "\n"), lines)
	}
	want("sale", h.DeletePriceList(h.ctx, "sale", 0), "channel: channel shop sells by it", "price-rule: price rule cheap makes its prices", "product: product A has prices in it")
	want("cost", h.DeletePriceList(h.ctx, "cost", 0), "price-list: price list sale is made of it", "price-rule: price rule cheap has the costs of its margin from it", "product: product A has prices in it")
	want("GBP", h.DeleteCurrency(h.ctx, "GBP"), "channel: channel shop sells in it", "price-list: price list sale has prices in it", "price-rule: price rule cheap is for prices in it", "product: product A has prices in it")
	want("default", h.DeletePriceList(h.ctx, "default", 0), "house: a house keeps the price list that it began with")

	gone := *c
	if err := h.DeletePriceRule(h.ctx, "cheap", 0); err != nil {
		t.Fatal(err)
	}
	h.deriveAll()
	c.PriceList, c.Currency = "default", "EUR"
	if c, err = h.UpdateChannel(h.ctx, *c); err != nil {
		t.Fatal(err)
	}
	if err := h.DeletePriceList(h.ctx, "sale", 7); !errors.Is(err, ErrStale) {
		t.Errorf("at another revision: %v", err)
	}
	h.set(listed("cost", price("A", "GBP", "1"))) // held by the guard
	h.exec(`delete from price`)
	if err := h.DeletePriceList(h.ctx, "sale", 0); err != nil {
		t.Fatal(err)
	}
	want("held", h.DeletePriceList(h.ctx, "cost", 0), "product: a price of product A in it waits for approval")
	want("held", h.DeleteCurrency(h.ctx, "GBP"), "product: a price of product A in it waits for approval")
	h.do(Edit{SKU: "A", Mode: Delete})
	if err := h.DeleteCurrency(h.ctx, "GBP"); err != nil {
		t.Fatal(err)
	}
	if err := h.DeletePriceList(h.ctx, "cost", 0); err != nil {
		t.Fatal(err)
	}
	if n := h.number(`select (select count(*) from price_hold) + (select count(*) from price_guard) + (select count(*) from price_move)`); n != 0 {
		t.Errorf("%d rows of the guard are left", n)
	}
	// Who checked a channel before does not store what names what is gone.
	gone.Version, gone.Locale = c.Version, "xx-XX"
	if _, err := h.UpdateChannel(h.ctx, gone); faultsOf(err) != "/locale locale.unknown, /currency currency.unknown, /price_list price_list.unknown" {
		t.Errorf("a channel: %v", err)
	}
	gone.Code = "other"
	if _, err := h.CreateChannel(h.ctx, gone); faultsOf(err) != "/locale locale.unknown, /currency currency.unknown, /price_list price_list.unknown" {
		t.Errorf("another channel: %v", err)
	}
}

// editOne is house.edit of a store.
func (s *Store) editOne(ctx context.Context, e Edit) EditResult {
	results, err := s.Edit(ctx, "tester", []Edit{e})
	if err != nil {
		return EditResult{SKU: e.SKU, Err: err}
	}
	return results[0]
}
