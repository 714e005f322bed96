package postgres

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluicehub/sluice/pim"
)

// finding is a small catalogue with a value of each shape.
func finding(t *testing.T) *house {
	t.Helper()
	h := newHouse(t)
	c := h.channel("shop")
	h.channel("fr")
	codes := []string{"name", "both", "weight", "count", "day", "hue", "tags", "eco", "like", "picture", "tag"}
	f := pim.Family{Code: "find", Variants: []pim.FamilyVariant{{Code: "by-colour", Axes: []string{"colour_text"}}}}
	for _, code := range append(codes, "colour_text") {
		f.Attributes = append(f.Attributes, pim.FamilyAttribute{Code: code})
	}
	options := []pim.Option{{Code: "red"}, {Code: "blue"}, {Code: "green"}}
	h.ok(h.ChangeSchema(h.ctx, SchemaChange{Attributes: []pim.Attribute{
		{Code: "both", Type: pim.TypeText, Localizable: true, Scopable: true},
		{Code: "weight", Type: pim.TypeNumber, Unit: "kg"},
		{Code: "day", Type: pim.TypeDate},
		{Code: "hue", Type: pim.TypeOption, Options: options},
		{Code: "tags", Type: pim.TypeOptions, Options: options},
		{Code: "eco", Type: pim.TypeBoolean},
		{Code: "like", Type: pim.TypeReference},
		{Code: "colour_text", Type: pim.TypeText},
	}, Families: []pim.Family{f}}))
	product := func(sku pim.SKU, v string) Edit {
		return Edit{SKU: sku, Mode: Put, Family: ptr("find"), Values: values(v)}
	}
	p := product("P", `{"name":{"en-GB":"Parent lamp","de-DE":"Lampe"},"weight":{"amount":2,"unit":"kg"},"both":{"shop":{"en-GB":"one","de-DE":"eins"}},"eco":true}`)
	p.FamilyVariant = ptr("by-colour")
	v := product("V", `{"colour_text":"red","name":{"en-GB":"Own lamp"},"both":{"shop":{"en-GB":"two"},"fr":{"en-GB":"trois"}}}`)
	v.Parent = ptr(pim.SKU("P"))
	a := product("A", `{"name":{"en-GB":"100%_Wool"},"weight":{"amount":1500,"unit":"g"},"count":7,"day":"2026-11-27","hue":"red","tags":["red","blue"],"eco":false,"like":["P","A"],"tag":{"shop":"x"}}`)
	a.Categories = ptr([]string{"lamps", "sale"})
	b := product("B", `{"count":7.50,"day":"2026-01-02","hue":"blue","like":"V","picture":["a.png","https://x.example/b.png"]}`)
	b.Enabled = ptr(false)
	h.do(p)
	h.do(v, a, b)
	h.exec(`insert into category (code, parent, position, labels, path) values ('home', null, 1, '{}', '{home}'), ('lamps', 'home', 1, '{}', '{home,lamps}')`)
	h.exec(`update product set updated_at = '2020-01-01' where sku = 'B'`)
	h.exec(`insert into listing (channel_id, product_id, lane, dirty, error, issues) select $1, id, 1, false, 'no', '[{"code":"title.missing"}]' from product where sku = 'A'`, c.ID)
	h.exec(`insert into listing (channel_id, product_id, lane, dirty, status) select $1, id, 1, false, 'live' from product where sku = 'B'`, c.ID)
	return h
}

func (h *house) ok(_ *pim.Schema, err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

func (h *house) find(text string) (string, error) {
	h.Helper()
	where, err := pim.ParseFilter(text)
	if err != nil {
		h.Fatalf("%s: %v", text, err)
	}
	list, _, err := h.Products(h.ctx, ProductFilter{Where: where}, Page{})
	skus := make([]string, len(list))
	for i, p := range list {
		skus[i] = string(p.SKU)
	}
	slices.Sort(skus)
	return strings.Join(skus, " "), err
}

func TestFilters(t *testing.T) {
	t.Parallel()
	h := finding(t)
	for text, want := range map[string]string{
		`sku = A`:                          "A",
		`sku in (A, "B", nobody)`:          "A B",
		`sku starts with p`:                "P",
		`sku contains "%"`:                 "",
		`family = find and enabled = true`: "P V A",
		`family != find`:                   "",
		`enabled != true`:                  "B",
		`parent = P`:                       "V",
		`parent is empty and sku != B`:     "P A",
		`parent != P`:                      "P A B",
		`parent is not empty`:              "V",
		`family_variant = by-colour`:       "P",
		`category = sale`:                  "A",
		`category in (nope, lamps)`:        "A",
		`category = home`:                  "A", // above lamps
		`category != home`:                 "P V B",
		`category is empty`:                "P V B",
		`updated_at < 2021-01-01`:          "B",
		`updated_at >= "2021-01-01T00:00:00+01:00" and created_at > 2021-01-01`: "P V A",
		`values.name.en-GB = "Own lamp"`:                                        "V",
		`values.name.en-GB contains LAMP`:                                       "P V",
		`values.name.de-DE = Lampe`:                                             "P V", // V inherits it
		`values.name = Lampe`:                                                   "P V",
		`values.name != Lampe`:                                                  "A B",
		`values.name = "Parent lamp"`:                                           "P", // V has its own
		`values.name contains "0%_w"`:                                           "A",
		`values.name starts with "1_0"`:                                         "",
		`values.name is empty`:                                                  "B",
		`values.name.de-DE is empty`:                                            "A B",
		`values.name.de-DE is not empty`:                                        "P V",
		`values.both.shop.en-GB = two`:                                          "V",
		`values.both.shop = eins`:                                               "P V",
		`values.both.de-DE = eins`:                                              "P V",
		`values.both.en-GB = one`:                                               "P",
		`values.both = trois`:                                                   "V",
		`values.both.fr is empty`:                                               "P A B",
		`values.both is not empty`:                                              "P V",
		`values.tag.shop = x`:                                                   "A",
		`values.tag = x`:                                                        "A",
		`values.weight > 1.6`:                                                   "P V",
		`values.weight = 1.5 kg`:                                                "A",
		`values.weight <= 1500 g`:                                               "A",
		`values.weight in (1.50, 2000 "g")`:                                     "P V A",
		`values.weight >= 1 lb and values.weight is not empty`:                  "P V A",
		`values.count = 7.5`:                                                    "B",
		`values.count in (7.0, 8)`:                                              "A",
		`values.count > 7`:                                                      "B",
		`values.count >= 7 and values.count < 7.5e0`:                            "A",
		`not values.count > 7`:                                                  "P V A",
		`values.day = 2026-11-27`:                                               "A",
		`values.day < 2026-02-01`:                                               "B",
		`values.hue in (red, blue)`:                                             "A B",
		`values.hue = red`:                                                      "A",
		`values.hue contains ree`:                                               "",
		`values.tags = blue`:                                                    "A",
		`values.tags != blue`:                                                   "P V B",
		`values.eco = true`:                                                     "P V",
		`values.eco = false`:                                                    "A",
		`values.eco is empty`:                                                   "B",
		`values.like = P`:                                                       "A",
		`values.like = V`:                                                       "B",
		`values.picture contains x.example`:                                     "B",
		`values.picture starts with a.p`:                                        "B",
		`listing.shop.state = rejected`:                                         "A",
		`listing.shop.content.state in (live, rejected)`:                        "A B",
		`listing.shop.offer.state = live`:                                       "",
		`listing.shop.state != live`:                                            "P V A",
		`listing.shop.state is empty`:                                           "P V",
		`listing.shop.issue = title.missing`:                                    "A",
		`listing.shop.issue is not empty`:                                       "A",
		`listing.fr.issue is not empty`:                                         "",
		`issue starts with title.`:                                              "A",
		`issue is empty`:                                                        "P V B",
		`sku = A or sku = B and enabled = true`:                                 "A",
		`(sku = A or sku = B) and not enabled = true`:                           "B",
	} {
		if got, err := h.find(text); err != nil || got != strings.Join(slices.Sorted(strings.FieldsSeq(want)), " ") {
			t.Errorf("%s: %q %v, want %q", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		`nope = 1`:                         "filter.field 0",
		`sku = A and values.nope = 1`:      "attribute.unknown 12",
		`values.name.nope = 1`:             "filter.scope 0",
		`values.count.shop = 1`:            "filter.scope 0",
		`values.name > a`:                  "filter.operator 0",
		`values.count = x`:                 "filter.value 15",
		`values.count = 1 kg`:              "filter.value 15",
		`values.weight = 1 m`:              "filter.value 16",
		`values.hue in (red, pink)`:        "option.unknown 20",
		`values.day > tomorrow`:            "filter.value 13",
		`values.eco = yes`:                 "filter.value 13",
		`values.eco contains true`:         "filter.operator 0",
		`enabled = 1`:                      "filter.value 10",
		`updated_at > 1`:                   "filter.value 13",
		`updated_at = 2026-01-01`:          "filter.operator 0",
		`category contains x`:              "filter.operator 0",
		`listing.none.state = live`:        "channel.unknown 0",
		`listing.shop = live`:              "filter.field 0",
		`listing.shop.state = lively`:      "filter.value 21",
		`listing.shop.middle.state = live`: "filter.field 0",
		`listing.shop.colour = live`:       "filter.field 0",
		`listing.shop.state contains x`:    "filter.operator 0",
		`issue > x`:                        "filter.operator 0",
		`sku = 1 kg`:                       "filter.value 6",
	} {
		_, err := h.find(text)
		e, ok := errors.AsType[*pim.FilterError](err)
		if !ok || fmt.Sprint(e.Code, " ", e.At) != want {
			t.Errorf("%s: %v (%+v), want %s", text, err, e, want)
		}
	}
}

// Another process makes an attribute: a filter knows it at once.
func TestFiltersSeeNewAttributes(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.ok(h.open().ChangeSchema(h.ctx, SchemaChange{Attributes: []pim.Attribute{{Code: "fresh", Type: pim.TypeText}}}))
	if _, err := h.find(`family = thing and values.fresh = x`); err != nil {
		t.Error(err)
	}
}

// Whatever is asked, and whatever is stored, the database can answer it, and
// each product fits a filter or its opposite, never both and never neither.
func TestFiltersSplitTheCatalogue(t *testing.T) {
	t.Parallel()
	h := finding(t)
	// Values of shapes that the schema does not have any more.
	h.exec(`insert into product (sku, family, values) select 'odd-' || n, 'find', v from unnest($1::jsonb[]) with ordinality x (v, n)`, []string{
		`{"name":"x","both":["y"],"weight":3,"count":"7","day":7,"hue":{"a":"red"},"tags":"red","eco":"true","like":{"x":1},"tag":null}`,
		`{"name":{"en-GB":7,"de-DE":["x"]},"both":{"shop":"x","fr":{"en-GB":{"a":1}}},"weight":{"amount":"2","unit":"kg"},"count":{"amount":1}}`,
		`{"weight":{"amount":2,"unit":"furlong"},"both":{"shop":{}},"tags":[],"like":[1,null,"P"],"eco":null,"picture":7}`,
	})
	all, err := h.find(`sku is not empty`)
	if err != nil {
		t.Fatal(err)
	}
	fields := []string{
		"sku", "family", "parent", "family_variant", "category", "enabled", "created_at", "updated_at", "issue", "listing.shop.state", "listing.shop.content.state", "listing.fr.issue",
		"values.name", "values.name.en-GB", "values.both", "values.both.shop", "values.both.de-DE", "values.both.shop.en-GB", "values.tag", "values.tag.shop",
		"values.weight", "values.count", "values.day", "values.hue", "values.tags", "values.eco", "values.like", "values.picture",
	}
	given := []string{`A`, `"100%"`, `7`, `2 kg`, `1500 g`, `true`, `2026-01-02`, `red`, `live`, `title.missing`, `"\\ ' @f_1 $1 ?"`, `-1e300`, `1e-300`}
	ops := []string{"= %s", "!= %s", "< %s", "<= %s", "> %s", ">= %s", "in (%s)", "not in (%s)", "contains %s", "starts with %s", "is empty", "is not empty"}
	test := rapid.Custom(func(r *rapid.T) string {
		op := rapid.SampledFrom(ops).Draw(r, "op")
		if strings.Contains(op, "%s") {
			op = fmt.Sprintf(op, rapid.SampledFrom(given).Draw(r, "value"))
		}
		return rapid.SampledFrom(fields).Draw(r, "field") + " " + op
	})
	right := 0
	rapid.Check(t, func(r *rapid.T) {
		text := test.Draw(r, "test")
		for range rapid.IntRange(0, 2).Draw(r, "more") {
			text = "(" + text + ") " + rapid.SampledFrom([]string{"and", "or"}).Draw(r, "join") + " " + test.Draw(r, "test")
		}
		fits, err := h.find(text)
		if _, wrong := errors.AsType[*pim.FilterError](err); wrong {
			return
		}
		rest, err2 := h.find("not (" + text + ")")
		if err != nil || err2 != nil {
			r.Fatalf("%s: %v %v", text, err, err2)
		}
		right++
		got := slices.Concat(strings.Fields(fits), strings.Fields(rest))
		want := strings.Fields(all)
		if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
			r.Fatalf("%s: %q, and its opposite %q, are not all of %q", text, fits, rest, all)
		}
	})
	if right == 0 {
		t.Error("no filter could be asked")
	}
}

func TestSort(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, sku := range []pim.SKU{"d", "b", "c", "a", "e"} {
		e := thing(sku, Put, `{}`)
		if sku == "c" || sku == "e" {
			e.Family = ptr("other")
		}
		h.do(e)
	}
	h.exec(`update product set updated_at = '2020-01-01 00:00:00.123456' where sku in ('a', 'd')`)
	h.exec(`update product set updated_at = '2020-01-01 00:00:00.123457' where sku in ('b', 'c', 'e')`)
	for text, want := range map[string]string{
		"": "d b c a e", "created_at": "d b c a e", "-created_at": "e a c b d", "sku": "a b c d e", "-sku": "e d c b a",
		"family": "c e d b a", "-family": "a b d e c", "family,sku": "c e a b d", "-family,sku": "a b d c e",
		"updated_at": "d a b c e", "-updated_at": "e c b a d", "-updated_at,sku": "b c e a d", "family,-updated_at,-sku": "e c b d a",
	} {
		keys, err := ParseSort(text)
		if err != nil {
			t.Fatal(err)
		}
		for limit := 1; limit <= 3; limit++ {
			var got []string
			for page := (Page{Limit: limit}); ; {
				list, next, err := h.Products(h.ctx, ProductFilter{Sort: keys, NoOffers: true}, page)
				if err != nil {
					t.Fatal(text, err)
				}
				for _, p := range list {
					got = append(got, string(p.SKU))
				}
				if page.After = next; next == "" {
					break
				}
			}
			if s := strings.Join(got, " "); s != want {
				t.Errorf("%s by %d: %s, want %s", text, limit, s, want)
			}
		}
	}
	_, next, err := h.Products(h.ctx, ProductFilter{Sort: []SortKey{{By: "sku"}}}, Page{Limit: 1})
	if err != nil || next == "" {
		t.Fatal(next, err)
	}
	for _, f := range []ProductFilter{{}, {Sort: []SortKey{{By: "sku", Down: true}}}, {Sort: []SortKey{{By: "family"}}}} {
		if _, _, err := h.Products(h.ctx, f, Page{After: next}); problemsOf(err)[0] != "cursor /cursor" {
			t.Errorf("the cursor of another order: %v", err)
		}
	}
	for _, bad := range []string{"name", "sku,sku", "sku,", "--sku", "SKU"} {
		if _, err := ParseSort(bad); err == nil {
			t.Errorf("sort %q is taken", bad)
		}
	}
}

// A page that is asked for by its cursor goes on where the last one ended, also
// when products came and went in between.
func TestSortIsStable(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for i := range 6 {
		h.do(thing(pim.SKU(fmt.Sprintf("p%d", i)), Put, `{}`))
	}
	f := ProductFilter{Sort: []SortKey{{By: "sku"}}}
	first, next, err := h.Products(h.ctx, f, Page{Limit: 3})
	if err != nil {
		t.Fatal(err)
	}
	h.do(thing("p0a", Put, `{}`), thing("p2a", Put, `{}`), Edit{SKU: "p2", Mode: Delete})
	rest, _, err := h.Products(h.ctx, f, Page{After: next})
	if err != nil || len(first) != 3 || len(rest) != 4 || rest[0].SKU != "p2a" {
		t.Error(len(first), len(rest), err)
	}
}
