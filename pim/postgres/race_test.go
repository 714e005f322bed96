package postgres

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/pim"
)

// crossed runs do, which locks the first and then the second product's offer,
// against a transaction that locks them the other way round, and gives do's error.
func (h *house) crossed(first, second pim.SKU, do func() error) error {
	h.Helper()
	const lock = `select from product_offer where product_id = (select id from product where sku = $1) for no key update`
	tx := h.begin()
	if _, err := tx.Exec(h.ctx, lock, second); err != nil {
		h.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- do() }()
	h.blocked(1)
	// Who has waited longest looks first, and is the victim: that is do.
	if _, err := tx.Exec(h.ctx, lock, first); err != nil {
		h.Logf("do had looked before there was a deadlock: %v", err)
	}
	if err := tx.Rollback(h.ctx); err != nil {
		h.Fatal(err)
	}
	return <-done
}

// An import's chunk and a page of an ERP lock prices first and then stock, each
// in its order: who meets them crosswise tries again, and tells nobody.
func TestOffersOutliveADeadlock(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.channel("erp")
	c.Pulls = true
	if _, err := h.UpdateChannel(h.ctx, *c); err != nil {
		t.Fatal(err)
	}
	h.do(thing("A", Put, `{}`), thing("B", Put, `{}`))
	h.stocked("A", 1)
	h.stocked("B", 1)
	level := int64(1)
	rows := func() []pim.StockRow { level++; return []pim.StockRow{stock("A", level), stock("B", level)} }
	h.exec(`insert into api_key (name, role, hash) values ('k', 'admin', 'x')`)
	key := h.number(`select id from api_key`)
	pull := h.lease(Consumer{Kind: Pull, Channel: c.ID})
	for what, do := range map[string]func() error{
		"stock": func() error { _, err := h.SetStock(h.ctx, "erp", rows(), Idempotency{}); return err },
		"stock with a key": func() error {
			_, err := h.SetStock(h.ctx, "erp", rows(), Idempotency{KeyID: key, Key: "k", Request: []byte("r")})
			return err
		},
		"a page": func() error {
			n, err := h.Pulled(h.ctx, pull, "erp", "1", 0, nil, rows())
			if err == nil && n != 2 {
				t.Errorf("%d rows are news, want 2", n)
			}
			return err
		},
	} {
		if err := h.crossed("A", "B", do); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		var n int
		h.one(`select count(*) from stock where on_hand = `+strconv.FormatInt(level, 10), &n)
		if n != 2 {
			t.Errorf("%s: %d of 2 levels are stored", what, n)
		}
	}
}

// A chunk of an import that another writer overtakes is written again later: a
// row that comes too late is no row that the database refuses.
func TestChunkThatLosesARace(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	variant, parent := "by-colour", pim.SKU("P")
	h.do(Edit{SKU: "P", Mode: Put, Family: ptr("thing"), FamilyVariant: &variant, Values: pim.Values{}})
	red := func(sku pim.SKU) Edit {
		e := thing(sku, Merge, `{"colour":"red"}`)
		e.Parent = &parent
		return e
	}
	id, err := h.CreateImport(h.ctx, "f", "a", json.RawMessage(`{}`), strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	l := h.lease(Consumer{Kind: Import, Channel: pim.ChannelID(id)})
	tx := h.begin()
	if err := h.within(tx, red("OTHER")); err != nil {
		t.Fatal(err)
	}
	chunk, err := h.PrepareImport(h.ctx, "a", []Edit{red("MINE")}, ImportOffers{})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		done <- h.ImportChunk(h.ctx, l, chunk, func([]EditResult) ImportProgress { return ImportProgress{} })
	}()
	h.blocked(1)
	if err := tx.Commit(h.ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err == nil || IsPoison(err) || errors.Is(err, ErrFenced) {
		t.Errorf("%v: want an error after which the import goes on", err)
	}
}

// Who changes rules, or the schema that conditions read, has products derived in more
// than one order: the victim of a deadlock by that tries again, and tells nobody.
func TestRulesOutliveADeadlock(t *testing.T) {
	t.Parallel()
	h := conditioned(t)
	h.rule(`{"code":"o","price_list":"dealer","percent":-1,"skus":["R"],"condition":"values.hue in (red, blue) or values.tag.shop = x"}`)
	h.rule(`{"code":"p","price_list":"dealer","percent":-1,"skus":["S"],"condition":"values.hue in (blue, red) or values.tag.shop = x"}`)
	hue := func(codes ...string) func() error {
		a := pim.Attribute{Code: "hue", Type: pim.TypeOption}
		for _, c := range codes {
			a.Options = append(a.Options, pim.Option{Code: c})
		}
		return func() error {
			_, err := h.ChangeSchema(h.ctx, SchemaChange{Attributes: []pim.Attribute{a}})
			return err
		}
	}
	rule := func(skus ...pim.SKU) func() error {
		return func() error {
			_, _, err := h.PutPriceRule(h.ctx, pim.PriceRule{Code: "c", PriceList: "dealer", Percent: "-1", SKUs: skus}, 0)
			return err
		}
	}
	must := func(do func() error) func() {
		return func() {
			if err := do(); err != nil {
				t.Fatal(err)
			}
		}
	}
	h.exec(`insert into derive (product_id) select id from product on conflict do nothing`)
	of := func(sku pim.SKU) string {
		return fmt.Sprintf(`select from derive where product_id = (select id from product where sku = '%s') for update`, sku)
	}
	h.tangle(must(rule("R")), of("R"), of("X"), rule("X"))                          // first those of the new rule, then those of the old
	h.ok(h.ChangeSchema(h.ctx, SchemaChange{Families: []pim.Family{deepFamily()}})) // an option that products show stays
	h.tangle(must(hue("red", "blue")), of("S"), of("R"), hue("red"))
	must(hue("red", "blue"))()
	h.rule(`{"code":"o","price_list":"dealer","percent":-1,"skus":["R"],"condition":"values.tag.shop = x"}`)
	h.rule(`{"code":"p","price_list":"dealer","percent":-1,"skus":["S"],"condition":"values.tag.shop = x"}`)
	shop, err := h.Channel(h.ctx, "shop")
	if err != nil {
		t.Fatal(err)
	}
	create := func() error { _, err := h.CreateChannel(h.ctx, *shop); return err }
	gone := func() error { return h.DeleteChannel(h.ctx, "shop", 0) }
	h.tangle(func() {
		if _, err := h.Channel(h.ctx, "shop"); errors.Is(err, ErrNotFound) {
			must(create)()
		}
	}, of("S"), of("R"), gone)
	h.tangle(func() {
		if _, err := h.Channel(h.ctx, "shop"); err == nil {
			must(gone)()
		}
	}, of("S"), of("R"), create)
}
