package postgres

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluicehub/sluice/pim"
)

// conditioned is a house of a root model R, its sub-model S with the variants V and
// W, and products X and Y, each with a price, and the list dealer.
func conditioned(t *testing.T) *house {
	t.Helper()
	h := newHouse(t)
	f := deepFamily()
	f.Attributes = append(f.Attributes, pim.FamilyAttribute{Code: "weight"}, pim.FamilyAttribute{Code: "hue"})
	h.ok(h.ChangeSchema(h.ctx, SchemaChange{Attributes: []pim.Attribute{
		{Code: "weight", Type: pim.TypeNumber, Unit: "kg"},
		{Code: "hue", Type: pim.TypeOption, Options: []pim.Option{{Code: "red"}, {Code: "blue"}}},
	}, Families: []pim.Family{f}}))
	c := h.channel("shop")
	h.exec(`update channel set price_list = 'dealer' where id = $1`, c.ID)
	h.do(model("R", "two", `{"weight":{"amount":3,"unit":"kg"}}`))
	h.do(below("S", "R", `{"colour":"red"}`), below("X", "", `{"weight":{"amount":500,"unit":"g"},"hue":"blue"}`), below("Y", "", `{"hue":"red"}`))
	h.do(below("V", "S", `{"count":1}`), below("W", "S", `{"count":2}`))
	for _, sku := range []pim.SKU{"R", "S", "V", "W", "X", "Y"} {
		h.set(price(sku, "EUR", "10"))
	}
	h.list(pim.PriceList{Code: "dealer"})
	return h
}

// condition makes the rule c of the list dealer.
func (h *house) condition(text string) {
	h.Helper()
	h.rule(`{"code":"c","price_list":"dealer","percent":-10,"condition":` + string(mustJSON(text)) + `}`)
}

// derived are the products that have a price of rules.
func (h *house) derived() (skus string) {
	h.Helper()
	h.one(`select coalesce(string_agg(sku, ' ' order by sku), '') from product where id in (select product_id from price where rules is not null)`, &skus)
	return skus
}

// A rule is for the products that its condition finds, and follows their values,
// those of the models above them, and their categories. What it does not move
// stays as it is, and no listing is sent for it.
func TestPriceRulesOfConditions(t *testing.T) {
	t.Parallel()
	h := conditioned(t)
	h.condition(`values.weight > 2 kg and values.hue != blue or category = sale`)
	if n := h.deriveAll(); n != 4 || h.derived() != "R S V W" {
		t.Errorf("%d products changed, those of %s", n, h.derived())
	}
	h.wantPrices("V", "dealer EUR 9.00 c", "default EUR 10")
	if _, err := h.PutCategories(h.ctx, []pim.CategoryEdit{{Code: "sale"}, {Code: "autumn", Parent: "sale"}, {Code: "late"}}); err != nil {
		t.Fatal(err)
	}
	h.deriveAll()
	in := func(sku pim.SKU, categories ...string) Edit {
		return Edit{SKU: sku, Mode: Patch, Categories: &categories}
	}
	for _, step := range []struct {
		what    string
		do      func()
		moved   string
		derived string
	}{
		{"another value", func() { h.do(below("X", "", `{"name":{"en-GB":"x"}}`)) }, "", "R S V W"},
		{"a value", func() { h.do(below("Y", "", `{"weight":{"amount":5,"unit":"lb"}}`)) }, "Y", "R S V W Y"},
		{"the root's value", func() { h.do(below("R", "", `{"weight":{"amount":1,"unit":"kg"}}`)) }, "R S V W", "Y"},
		{"the root's again", func() { h.do(below("R", "", `{"weight":{"amount":4,"unit":"kg"}}`)) }, "R S V W", "R S V W Y"},
		{"a category", func() { h.do(in("X", "autumn")) }, "X", "R S V W X Y"},
		{"the category's place", func() {
			if _, err := h.PutCategories(h.ctx, []pim.CategoryEdit{{Code: "autumn", Parent: "late"}}); err != nil {
				t.Fatal(err)
			}
		}, "X", "R S V W Y"},
		{"a variant that goes", func() { h.do(Edit{SKU: "W", Mode: Delete}) }, "", "R S V W Y"},
	} {
		h.fanOut(h.fan())
		h.exec(`update listing set dirty = false`)
		step.do()
		h.deriveAll()
		if got := h.derived(); got != step.derived {
			t.Errorf("%s: prices of %s are derived, want %s", step.what, got, step.derived)
		}
		h.fanOut(h.fan())
		var moved string
		h.one(`select coalesce(string_agg(sku, ' ' order by sku), '') from listing l join product p on p.id = l.product_id where l.lane = 2 and l.dirty and p.deleted_at is null`, &moved)
		if moved != step.moved {
			t.Errorf("%s: offers of %q are sent, want %q", step.what, moved, step.moved)
		}
	}
	// One is made anew with what it inherits.
	h.do(below("W", "S", `{"count":2}`))
	h.deriveAll()
	h.condition(`values.loose = x`)
	if h.deriveAll(); h.derived() != "" {
		t.Error(h.derived())
	}
	h.do(below("S", "", `{"loose":"x"}`))
	if n := h.deriveAll(); n != 3 || h.derived() != "S V W" {
		t.Errorf("the sub-model's value: %d products changed, those of %s", n, h.derived())
	}
	// Of two rules that ask the same, and a third, each is for its own.
	h.rule(`{"code":"b","price_list":"dealer","percent":-20,"condition":"values.loose = x","families":["other"]}`)
	h.rule(`{"code":"a","price_list":"dealer","percent":-30,"condition":"sku in (V, X)"}`)
	h.deriveAll()
	h.wantPrices("V", "dealer EUR 7.00 a", "default EUR 10")
	h.wantPrices("W", "dealer EUR 9.00 c", "default EUR 10")
	h.wantPrices("X", "dealer EUR 7.00 a", "default EUR 10")
	// A base price takes them along in its own transaction.
	h.set(price("V", "EUR", "20"))
	h.wantPrices("V", "dealer EUR 14.00 a", "default EUR 20")
}

// What prices do not follow is refused, and what there is not, with the place.
func TestConditionsAreChecked(t *testing.T) {
	t.Parallel()
	h := conditioned(t)
	for text, want := range map[string]string{
		`sku =`:                               "filter.syntax 5",
		strings.Repeat("x", 5000):             "filter.too_long 4096",
		`nope = 1`:                            "price_rule.condition 0",
		`sku = A and completeness.shop < 100`: "price_rule.condition 12",
		`sku = A or not listing.shop.state = live`: "price_rule.condition 15",
		`issue is empty`:                               "price_rule.condition 0",
		`updated_at > 2026-01-01`:                      "price_rule.condition 0",
		`values.name.en-GB = x and values.name = x`:    "price_rule.condition 26",
		`values.tag is empty`:                          "price_rule.condition 0",
		`values.nope = x`:                              "attribute.unknown 0",
		`values.tag.nowhere = x`:                       "filter.scope 0",
		`values.hue = pink`:                            "option.unknown 13",
		`values.weight > 1 m`:                          "filter.value 16",
		`values`:                                       "filter.syntax 6",
		`values = x`:                                   "filter.field 0",
		`enabled > true`:                               "filter.operator 0",
		`values.name.en-GB = x and values.tag.shop=y`:  "",
		`created_at > 2026-01-01 and enabled = true`:   "",
		`family = deep and family_variant is empty`:    "",
		`parent = R or root = R or category in (a, b)`: "",
	} {
		_, _, err := h.PutPriceRule(h.ctx, pim.PriceRule{Code: "c", PriceList: "dealer", Percent: "-1", Condition: text}, 0)
		if want == "" {
			if err != nil {
				t.Errorf("%s: %v", text, err)
			}
			continue
		}
		e, ok := errors.AsType[*pim.FilterError](err)
		if !ok || fmt.Sprint(e.Code, " ", e.At) != want {
			t.Errorf("%s: %v (%+v), want %s", text, err, e, want)
		}
	}
}

// Where a condition asks for something else by another schema, the prices are
// derived anew, and where it does not, none is looked at.
func TestConditionsFollowTheSchema(t *testing.T) {
	t.Parallel()
	h := conditioned(t)
	hue := func(codes ...string) SchemaChange {
		a := pim.Attribute{Code: "hue", Type: pim.TypeOption}
		for _, c := range codes {
			a.Options = append(a.Options, pim.Option{Code: c})
		}
		return SchemaChange{Attributes: []pim.Attribute{a}}
	}
	h.condition(`values.hue in (red, blue)`)
	h.deriveAll()
	// The others are for no product: they are not to be derived with the first.
	h.rule(`{"code":"t","price_list":"dealer","percent":-50,"condition":"values.tag.shop = sale","skus":["R"]}`)
	h.rule(`{"code":"o","price_list":"dealer","percent":-50,"condition":"sku = nobody","skus":["S"]}`)
	h.do(below("R", "", `{"tag":{"shop":"sale"}}`))
	h.deriveAll()
	other := h.open()
	if _, err := other.SetPrices(h.ctx, "erp", []pim.PriceRow{price("X", "EUR", "10")}, Idempotency{}); err != nil {
		t.Fatal(err) // by the schema that it knows
	}
	without := deepFamily()
	without.Attributes = slices.DeleteFunc(without.Attributes, func(a pim.FamilyAttribute) bool { return a.Code == "hue" })
	for _, step := range []struct {
		what    string
		do      func() error
		queued  int64
		derived string
	}{
		{"as it was", func() error { return nil }, 0, "R X Y"},
		{"another option", func() error { _, err := h.ChangeSchema(h.ctx, hue("red", "blue", "green")); return err }, 0, "R X Y"},
		{"no family has it", func() error {
			_, err := h.ChangeSchema(h.ctx, SchemaChange{Families: []pim.Family{without}})
			return err
		}, 0, "R X Y"},
		{"an option goes", func() error { _, err := h.ChangeSchema(h.ctx, hue("red")); return err }, 6, "R"},
		{"it is back", func() error { _, err := h.ChangeSchema(h.ctx, hue("red", "blue")); return err }, 6, "R X Y"},
		{"an attribute goes", func() error { return h.DeleteAttribute(h.ctx, "hue", 0) }, 6, "R"},
		{"and is another one", func() error {
			_, err := h.ChangeSchema(h.ctx, SchemaChange{Attributes: []pim.Attribute{{Code: "hue", Type: pim.TypeText}}})
			return err
		}, 6, "R X Y"},
		{"a channel comes", func() error { h.channel("fr"); return nil }, 0, "R X Y"},
		{"a channel goes", func() error { return h.DeleteChannel(h.ctx, "shop", 0) }, 1, "X Y"},
		{"a channel is back", func() error { h.channel("shop"); return nil }, 1, "R X Y"},
	} {
		if err := step.do(); err != nil {
			t.Fatal(step.what, err)
		}
		if n := h.number(`select count(*) from derive`); n != step.queued {
			t.Errorf("%s: %d products are looked at, want %d", step.what, n, step.queued)
		}
		// A process that did not hear of it makes the same of a base price as the others.
		before := other.Schema().Version
		if _, err := other.SetPrices(h.ctx, "erp", []pim.PriceRow{price("X", "EUR", fmt.Sprint(11+before))}, Idempotency{}); err != nil {
			t.Fatal(step.what, err)
		}
		if got := h.number(`select count(*) from price p join product on id = product_id where sku = 'X' and rules is not null`); (got == 1) != strings.Contains(step.derived, "X") {
			t.Errorf("%s: X has %d prices of rules at once", step.what, got)
		}
		h.deriveAll()
		if got := h.derived(); got != step.derived {
			t.Errorf("%s: prices of %s are derived, want %s", step.what, got, step.derived)
		}
	}
}

// A condition follows an attribute that it names by letters which mean others: the
// sign of the kelvin is a K.
func TestConditionsNameByOtherLetters(t *testing.T) {
	t.Parallel()
	h := conditioned(t)
	h.ok(h.ChangeSchema(h.ctx, SchemaChange{Attributes: []pim.Attribute{{Code: "Kind", Type: pim.TypeText}, {Code: "kin", Type: pim.TypeText}}}))
	h.condition("values.\"\u212Aind\" = x")
	h.deriveAll()
	for code, want := range map[string]bool{"kin": false, "Kind": true} {
		if err := h.DeleteAttribute(h.ctx, code, 0); err != nil {
			t.Fatal(err)
		}
		if n := h.number(`select count(*) from derive`); (n > 0) != want {
			t.Errorf("without %s %d products are looked at", code, n)
		}
		h.deriveAll()
	}
}

// Whatever is edited, moved and asked for: the products with a rule's price are
// those that its condition finds.
func TestConditionsFindTheSame(t *testing.T) {
	t.Parallel()
	h := conditioned(t)
	h.do(below("S2", "R", `{"colour":"blue"}`))
	h.set(price("S2", "EUR", "10"))
	if _, err := h.PutCategories(h.ctx, []pim.CategoryEdit{{Code: "a"}, {Code: "b"}, {Code: "c", Parent: "a"}}); err != nil {
		t.Fatal(err)
	}
	tests := []string{
		`values.weight > 2 kg`, `values.weight <= 800 g`, `values.hue = red`, `values.hue in (red, blue)`, `values.name.en-GB contains a`, `values.name.de-DE is empty`,
		`values.tag.shop != a`, `values.loose starts with b`, `values.count >= 2`, `category = a`, `category in (b, c)`, `category is empty`, `enabled = true`,
		`parent = S`, `root = R`, `parent is empty`, `sku in (V, X)`, `family_variant is not empty`, `created_at > 2020-01-01`,
	}
	levels := map[pim.SKU][]string{
		"R": {"weight", "hue", "name", "tag"}, "S": {"loose"}, "S2": {"loose"}, "X": {"weight", "hue", "name", "tag", "loose"}, "Y": {"weight", "hue", "name", "tag"},
	}
	given := map[string][]string{
		"weight": {`{"amount":3,"unit":"kg"}`, `{"amount":700,"unit":"g"}`, `null`}, "hue": {`"red"`, `"blue"`, `null`}, "name": {`{"en-GB":"a"}`, `{"de-DE":"b"}`, `{"en-GB":null,"de-DE":null}`},
		"tag": {`{"shop":"a"}`, `{"shop":"b"}`, `{"shop":null}`}, "loose": {`"a"`, `"b"`, `null`},
	}
	found := 0
	left := 25 // checks: rapid's own number is for cheaper ones
	rapid.Check(t, func(r *rapid.T) {
		if left--; left < 0 {
			return
		}
		defer func() {
			if r.Failed() { // it is repeated, and made smaller
				left = math.MaxInt
			}
		}()
		text := rapid.SampledFrom(tests).Draw(r, "test")
		for range rapid.IntRange(0, 2).Draw(r, "more") {
			text = "(" + text + ") " + rapid.SampledFrom([]string{"and", "or", "and not"}).Draw(r, "join") + " " + rapid.SampledFrom(tests).Draw(r, "test")
		}
		h.condition(text)
		h.deriveAll()
		for i := range rapid.IntRange(1, 8).Draw(r, "edits") {
			switch rapid.IntRange(0, 5).Draw(r, "what") {
			case 0:
				v := thing(rapid.SampledFrom([]pim.SKU{"V", "W"}).Draw(r, "variant"), Patch, `{}`)
				v.Parent = ptr(rapid.SampledFrom([]pim.SKU{"S", "S2"}).Draw(r, "below"))
				h.do(v)
			case 1:
				sku := rapid.SampledFrom([]pim.SKU{"R", "S", "V", "X"}).Draw(r, "sku")
				h.do(Edit{SKU: sku, Mode: Patch, Categories: ptr(rapid.SampledFrom([][]string{{}, {"b"}, {"c"}, {"d", "b"}}).Draw(r, "categories"))})
			case 2:
				code, to := rapid.SampledFrom([]string{"b", "c"}).Draw(r, "category"), rapid.SampledFrom([]string{"", "a"}).Draw(r, "below")
				if _, err := h.PutCategories(h.ctx, []pim.CategoryEdit{{Code: code, Parent: to}}); err != nil {
					r.Fatal(err)
				}
			case 3:
				h.do(Edit{SKU: rapid.SampledFrom([]pim.SKU{"V", "Y"}).Draw(r, "sku"), Mode: Patch, Enabled: ptr(i%2 == 0)})
			default:
				sku := rapid.SampledFrom([]pim.SKU{"R", "S", "S2", "X", "Y"}).Draw(r, "sku")
				code := rapid.SampledFrom(levels[sku]).Draw(r, "attribute")
				h.do(thing(sku, Patch, string(mustJSON(map[string]json.RawMessage{code: json.RawMessage(rapid.SampledFrom(given[code]).Draw(r, "value"))}))))
			}
			if rapid.Bool().Draw(r, "later") {
				continue
			}
			h.deriveAll()
		}
		h.deriveAll()
		want, err := h.find(text)
		if err != nil {
			r.Fatal(err)
		}
		if got := h.derived(); got != want {
			r.Fatalf("%s finds %s, and derives prices of %s", text, want, got)
		}
		if want != "" {
			found++
		}
	})
	if found == 0 {
		t.Error("no condition found a product")
	}
}
