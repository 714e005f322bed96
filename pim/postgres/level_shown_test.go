package postgres

import (
	"testing"
	"time"

	"github.com/sluicehub/sluice/pim"
)

// tree is a root model with a sub-model, its variant, and a product of its own.
func (h *house) tree(root, sub, variant string) {
	h.Helper()
	h.do(model("R", "two", root))
	h.do(below("S", "R", sub), below("X", "", `{}`))
	h.do(below("V", "S", variant))
}

// What models and variants lack is the same kept and worked out: what is of a level
// below counts for no model, and what stands two levels above counts for a variant.
func TestCompletenessOfLevels(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.channel("shop")
	f := deepFamily()
	for i := range f.Attributes {
		switch f.Attributes[i].Code {
		case "colour", "count", "gtin", "loose", "tag":
			f.Attributes[i].Required = true
		}
	}
	h.ok(h.ChangeSchema(h.ctx, SchemaChange{Families: []pim.Family{f}}))
	h.tree(`{}`, `{"colour":"red"}`, `{"count":1,"gtin":"4006381333931"}`)
	shares := func(want map[pim.SKU]string) {
		t.Helper()
		h.weighed()
		for sku, share := range want {
			// tag is of a channel alone: in every locale the same is lacking.
			for _, field := range []string{"completeness.shop", "completeness.shop.de-DE", "completeness.shop.en-GB"} {
				if got, err := h.find(field + " = " + share + ` and sku = "` + string(sku) + `"`); err != nil || got != string(sku) {
					t.Errorf("%s of %s is not %s: %q, %v", field, sku, share, got, err)
				}
			}
		}
		got, err := h.FamilyCompleteness(h.ctx, "deep", nil, nil)
		whole := 0
		for _, share := range want {
			if share == "100" {
				whole++
			}
		}
		if err != nil || len(got) != 1 || got[0].Products != len(want) || got[0].Complete != whole {
			t.Errorf("the family: %+v, %v", got, err)
		}
	}
	// Of the root tag alone; of the sub-model also colour and loose; of the variant all.
	shares(map[pim.SKU]string{"R": "0", "S": "33", "V": "60", "X": "0"})
	h.do(thing("R", Patch, `{"tag":{"shop":"t"}}`))
	shares(map[pim.SKU]string{"R": "100", "S": "66", "V": "80", "X": "0"})
	h.do(thing("S", Patch, `{"loose":"x"}`))
	shares(map[pim.SKU]string{"R": "100", "S": "100", "V": "100", "X": "0"})
}

// A root model's window is its variants', two levels down, and a sub-model's is,
// too; neither is anybody else's.
func TestPublicationOfLevels(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.deep()
	c := h.channel("shop")
	h.channel("other")
	h.tree(`{}`, `{"colour":"red"}`, `{"count":1}`)
	fan := h.lease(Consumer{Kind: Fanout})
	shop := h.lease(Consumer{Kind: Drain, Channel: c.ID, Lane: pim.Content})
	h.fanOut(fan)
	closes := time.Now().Add(-time.Hour)
	from := closes.Add(-time.Hour)
	for _, sku := range []pim.SKU{"R", "S"} {
		for _, open := range []bool{false, true} {
			h.exec(`update listing set dirty = false`)
			row := pim.PublicationRow{SKU: sku, Publication: pim.Publication{Channel: "shop", From: &from, To: &closes}}
			if open {
				row.From, row.To, row.Delete = nil, nil, true
			}
			if res, err := h.SetPublications(h.ctx, "test", []pim.PublicationRow{row}, Idempotency{}); err != nil || res[0].Status != RowChanged {
				t.Fatal(res, err)
			}
			h.fanOut(fan)
			if n := h.number(`select count(*) from listing l join product p on p.id = l.product_id join channel c on c.id = l.channel_id
				where l.dirty and (p.sku = 'X' or c.code = 'other')`); n != 0 {
				t.Errorf("the window of %s marks %d listings that it is not of", sku, n)
			}
			claim, err := h.Claim(h.ctx, shop, ClaimOptions{Limit: 10})
			if err != nil {
				t.Fatal(err)
			}
			seen := false
			for _, item := range claim.Items {
				if item.SKU == "V" {
					seen = true
					if item.Gone == open {
						t.Errorf("with the window of %s, open: %t, the variant is gone: %t", sku, open, item.Gone)
					}
				}
			}
			if !seen {
				t.Errorf("the window of %s, open: %t, does not have the variant looked at", sku, open)
			}
			e, err := h.Explain(h.ctx, "shop", "V")
			if err != nil || (e.Product.Closed == nil) != open || e.Product.Parent != "R" {
				t.Errorf("explained with the window of %s, open: %t: %+v, %v", sku, open, e.Product, err)
			}
		}
	}
	if e, err := h.Explain(h.ctx, "shop", "S"); err != nil || !e.Product.SubModel {
		t.Errorf("a sub-model explained: %+v, %v", e.Product, err)
	}
}

// A rule asks for what a variant has from its root model, and follows it; a
// category is each product's own.
func TestRulesOfLevels(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	f := deepFamily()
	f.Attributes = append(f.Attributes, pim.FamilyAttribute{Code: "extra"})
	h.ok(h.ChangeSchema(h.ctx, SchemaChange{Attributes: []pim.Attribute{{Code: "extra", Type: pim.TypeText}}, Families: []pim.Family{f}}))
	h.list(pim.PriceList{Code: "sale"})
	h.rule(`{"code":"b","price_list":"sale","percent":-50,"categories":["c"],"priority":0}`)
	h.rule(`{"code":"a","price_list":"sale","percent":-10,"attributes":{"colour":["red"]},"priority":2}`)
	h.rule(`{"code":"c","price_list":"sale","percent":-20,"attributes":{"extra":["x"]},"priority":1}`)
	h.tree(`{}`, `{"colour":"red"}`, `{"count":1}`)
	h.do(Edit{SKU: "R", Mode: Patch, Categories: &[]string{"c"}}, Edit{SKU: "S", Mode: Patch, Categories: &[]string{"c"}})
	h.set(price("V", "EUR", "100"))
	h.deriveAll()
	h.wantPrices("V", "default EUR 100", "sale EUR 90.00 a")
	h.do(thing("R", Patch, `{"extra":"x"}`))
	if n := h.deriveAll(); n != 1 {
		t.Errorf("prices of %d products changed", n)
	}
	h.wantPrices("V", "default EUR 100", "sale EUR 80.00 c")
}

// A move is told among what changed, and who moves a variant that somebody else has
// moved meanwhile is told so.
func TestMoveIsAChange(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.deep()
	h.tree(`{}`, `{"colour":"red"}`, `{"count":1}`)
	h.do(below("S2", "R", `{"colour":"blue"}`))
	move := func(to pim.SKU) Edit { return Edit{SKU: "V", Mode: Patch, Parent: &to, Values: pim.Values{}} }
	before := h.product("V").Rev
	e := move("S2")
	e.Values = values(`{"count":2}`)
	h.do(e)
	after := h.product("V").Rev
	changes, err := h.Changes(h.ctx, "V", before, after)
	if err != nil || len(changes) != 2 || changes[0] != (pim.FieldChange{Field: "parent", Old: pim.SKU("S"), New: pim.SKU("S2")}) || changes[1].Field != "values.count" {
		t.Errorf("%+v, %v", changes, err)
	}
	again, other := move("S"), Edit{SKU: "V", Mode: Patch, Enabled: ptr(false)}
	if h.Untouched(changes, &again) || !h.Untouched(changes, &other) {
		t.Error("a move is not among what was touched, or more is")
	}
	for rev, want := range map[int64]pim.SKU{before: "S", after: "S2"} {
		if r, err := h.Revision(h.ctx, "V", rev); err != nil || r.Parent != want {
			t.Errorf("revision %d stood below %s, not %s: %v", rev, r.Parent, want, err)
		}
	}
}
