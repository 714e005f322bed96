package postgres

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/sluicehub/sluice/pim"
)

// weighed follows the log and the families to their end. The log's end is where
// no transaction is open any more: other tests share the server, so it asks until
// it has seen the last event.
func (h *house) weighed() {
	h.Helper()
	var end string
	h.one(`select coalesce(max(xid)::text, '0') from (select xid from event order by xid desc limit 1) e`, &end)
	for most := 0; ; most = 2 {
		did, err := h.IndexCompleteness(h.ctx, most)
		if err != nil {
			h.Fatal(err)
		}
		var there bool
		h.one(fmt.Sprintf(`select coalesce(xid >= '%s'::xid8, false) and not exists (select from completeness_walk where after is not null) from completeness_state`, end), &there)
		if there && !did.More {
			return
		}
	}
}

// weighing is a house in which a name is required everywhere and a count on shop.
func weighing(t *testing.T) *house {
	t.Helper()
	h := newHouse(t)
	h.channel("shop")
	h.channel("fr")
	h.ok(h.ChangeSchema(h.ctx, SchemaChange{Families: []pim.Family{{Code: "weighed", Attributes: []pim.FamilyAttribute{
		{Code: "name", Required: true}, {Code: "count", RequiredFor: []pim.ChannelCode{"shop"}}, {Code: "tag"}, {Code: "picture"},
	}}}}))
	return h
}

func weighed(sku pim.SKU, v string) Edit {
	return Edit{SKU: sku, Mode: Put, Family: ptr("weighed"), Values: values(v)}
}

// Products are found by how complete they are, in the channel's locale by what is
// kept and in another by what they have now, and what is kept follows edits,
// deletions, families and channels.
func TestFilterByCompleteness(t *testing.T) {
	t.Parallel()
	h := weighing(t)
	var own pim.Locale
	h.one(`select locale from channel where code = 'shop'`, &own)
	other := pim.Locale("de-DE")
	if own == other {
		t.Fatal("the channel's locale is the other one")
	}
	h.do(weighed("FULL", fmt.Sprintf(`{"name":{"%s":"Lamp"},"count":1}`, own)),
		weighed("HALF", fmt.Sprintf(`{"name":{"%s":"Lamp"}}`, own)),
		weighed("NONE", fmt.Sprintf(`{"name":{"%s":"Lampe"}}`, other)))
	h.weighed()
	all := "FULL HALF NONE"
	for text, want := range map[string]string{
		`completeness.shop < 100`:                                       "HALF NONE",
		`completeness.shop = 100`:                                       "FULL",
		`completeness.shop != 100`:                                      "HALF NONE",
		`completeness.shop in (0, 50)`:                                  "HALF NONE",
		`completeness.shop = 50.5`:                                      "",
		`completeness.shop > 0 and completeness.shop < 50.5`:            "HALF",
		`completeness.shop <= 49.9`:                                     "NONE",
		`completeness.shop >= 0.1`:                                      "FULL HALF",
		`completeness.shop > 1e9 or completeness.shop < -1e9`:           "",
		`completeness.fr < 100`:                                         "NONE", // no count is required there
		fmt.Sprintf(`completeness.shop.%s < 100`, own):                  "HALF NONE",
		fmt.Sprintf(`completeness.shop.%s < 50`, other):                 "HALF",
		fmt.Sprintf(`completeness.shop.%s = 50`, other):                 "FULL NONE",
		fmt.Sprintf(`not completeness.shop.%s >= 0`, other):             "",
		fmt.Sprintf(`completeness.fr.%s = 100 and sku = "NONE"`, other): "NONE",
		`completeness.shop < 100 and sku != HALF or sku = FULL`:         "FULL NONE",
		`completeness.shop >= 0`:                                        all,
	} {
		if got, err := h.find(text); err != nil || got != want {
			t.Errorf("%s: %q, not %q: %v", text, got, want, err)
		}
	}
	for text, code := range map[string]string{
		`completeness < 100`:                 "filter.field",
		`completeness.shop.en-GB.x < 100`:    "filter.field",
		`completeness.nope < 100`:            "channel.unknown",
		`completeness.shop.xx-YY < 100`:      "locale.unknown",
		`completeness.shop is empty`:         "filter.operator",
		`completeness.shop contains 1`:       "filter.operator",
		`completeness.shop < full`:           "filter.value",
		`completeness.shop < 100 kg`:         "filter.value",
		`completeness.shop in (100, "full")`: "filter.value",
	} {
		_, err := h.find(text)
		if e, ok := errors.AsType[*pim.FilterError](err); !ok || e.Code != code {
			t.Errorf("%s: %v, not %s", text, err, code)
		}
	}
	found := func(text, want string) {
		t.Helper()
		h.weighed()
		if got, err := h.find(text); err != nil || got != want {
			t.Errorf("%s: %q, not %q: %v", text, got, want, err)
		}
	}
	// An edit, and a deletion.
	h.do(Edit{SKU: "HALF", Mode: Patch, Values: values(`{"count":3}`)}, Edit{SKU: "NONE", Mode: Delete})
	found(`completeness.shop < 100`, "")
	var rows int
	if h.one(`select count(*) from completeness`, &rows); rows != 4 {
		t.Errorf("%d rows are kept of two products on two channels", rows)
	}
	// The family asks for more: media are values, too.
	h.ok(h.ChangeSchema(h.ctx, SchemaChange{Families: []pim.Family{{Code: "weighed", Attributes: []pim.FamilyAttribute{
		{Code: "name", Required: true}, {Code: "count"}, {Code: "tag"}, {Code: "picture", RequiredFor: []pim.ChannelCode{"fr"}},
	}}}}))
	found(`completeness.fr < 100`, "FULL HALF")
	h.do(Edit{SKU: "FULL", Mode: Patch, Values: values(`{"picture":["https://x.example/a.png"]}`)})
	found(`completeness.fr < 100`, "HALF")
	// The channel gets another locale, and another goes.
	h.exec(`update channel set locale = 'de-DE' where code = 'shop'`)
	found(`completeness.shop < 100`, "FULL HALF")
	if err := h.DeleteChannel(h.ctx, "fr", 0); err != nil {
		t.Fatal(err)
	}
	h.weighed()
	if h.one(`select count(*) from completeness`, &rows); rows != 2 {
		t.Errorf("%d rows are kept of two products on one channel", rows)
	}
	// What is followed to its end writes nothing more.
	if did, err := h.IndexCompleteness(h.ctx, 0); err != nil || did.More {
		t.Error(did, err)
	}
}

// A parent's edit changes what its variants have, and a change of one family has
// no other's products looked at.
func TestCompletenessFollowsParents(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.channel("shop")
	f := pim.Family{Code: "pair", Attributes: []pim.FamilyAttribute{{Code: "name"}, {Code: "count", Required: true}, {Code: "colour", Required: true}}, Variants: []pim.FamilyVariant{{Code: "by", Axes: []string{"colour"}}}}
	h.ok(h.ChangeSchema(h.ctx, SchemaChange{Families: []pim.Family{f}}))
	p := Edit{SKU: "P", Mode: Put, Family: ptr("pair"), FamilyVariant: ptr("by"), Values: pim.Values{}}
	v := Edit{SKU: "V", Mode: Put, Family: ptr("pair"), Parent: ptr(pim.SKU("P")), Values: values(`{"colour":"teal"}`)}
	h.do(p)
	h.do(v, thing("X", Put, `{}`))
	h.weighed()
	found := func(text, want string) {
		t.Helper()
		if got, err := h.find(text); err != nil || got != want {
			t.Errorf("%s: %q, not %q: %v", text, got, want, err)
		}
	}
	found(`completeness.shop < 100`, "P V")
	h.do(Edit{SKU: "P", Mode: Patch, Values: values(`{"count":1}`)})
	h.weighed()
	found(`completeness.shop < 100`, "")
	h.exec(`delete from completeness where product_id = (select id from product where sku = 'X')`)
	f.Attributes[0].Required = true
	h.ok(h.ChangeSchema(h.ctx, SchemaChange{Families: []pim.Family{f}}))
	h.weighed()
	found(`completeness.shop < 100`, "P V")
	found(`completeness.shop = 100`, "") // X's family is as it was
}

// A house without channels is told what a family's products lack in its locales.
func TestFamilyCompletenessWithoutChannels(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.ok(h.ChangeSchema(h.ctx, SchemaChange{Families: []pim.Family{{Code: "weighed", Attributes: []pim.FamilyAttribute{{Code: "name", Required: true}, {Code: "count", RequiredFor: []pim.ChannelCode{"shop"}}}}}}))
	h.do(weighed("A", `{"name":{"de-DE":"Lampe"}}`))
	list, err := h.FamilyCompleteness(h.ctx, "weighed", nil, []pim.Locale{"de-DE", "en-GB"})
	if err != nil || len(list) != 2 || list[0].Channel != "" || list[0].Complete != 1 || list[1].Complete != 0 || list[1].Missing[0].Attribute != "name" {
		t.Errorf("%+v, %v", list, err)
	}
	if list, err = h.FamilyCompleteness(h.ctx, "weighed", nil, nil); err != nil || len(list) != len(h.Schema().Locales) {
		t.Errorf("%+v, %v", list, err)
	}
	h.channel("shop")
	if list, err = h.FamilyCompleteness(h.ctx, "weighed", nil, []pim.Locale{"de-DE"}); err != nil || len(list) != 1 || list[0].Channel != "shop" || list[0].Locale != "de-DE" || list[0].Missing[0].Attribute != "count" {
		t.Errorf("%+v, %v", list, err)
	}
}

// An export takes any filter, also one by completeness, in the channel's locale and
// in another.
func TestExportByCompleteness(t *testing.T) {
	t.Parallel()
	h := weighing(t)
	var own pim.Locale
	h.one(`select locale from channel where code = 'shop'`, &own)
	h.do(weighed("FULL", fmt.Sprintf(`{"name":{"%s":"Lamp"},"count":1}`, own)), weighed("NONE", `{}`))
	h.weighed()
	for _, text := range []string{`completeness.shop < 100`, `not completeness.shop.de-DE > 0 and sku = NONE`} {
		where, err := pim.ParseFilter(text)
		if err != nil {
			t.Fatal(err)
		}
		var got []pim.SKU
		err = h.InSnapshot(h.ctx, ProductFilter{Where: where}, func(s *Snapshot) error {
			if _, err := s.Places(h.ctx); err != nil {
				return err
			}
			return s.Products(h.ctx, func(p *FullProduct) error { got = append(got, p.SKU); return nil })
		})
		if err != nil || len(got) != 1 || got[0] != "NONE" {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

// Lists go by completeness, up and down, alone and before other keys, page by page.
func TestSortByCompleteness(t *testing.T) {
	t.Parallel()
	h := weighing(t)
	var own pim.Locale
	h.one(`select locale from channel where code = 'shop'`, &own)
	name := fmt.Sprintf(`"name":{"%s":"Lamp"}`, own)
	h.do(weighed("B", `{`+name+`,"count":1}`), weighed("C", `{}`), weighed("A", `{`+name+`}`), weighed("D", `{"count":2}`))
	h.weighed()
	for sort, want := range map[string]string{
		"completeness.shop":           "CADB",
		"-completeness.shop":          "BDAC",
		"completeness.shop,sku":       "CADB",
		"-completeness.shop,sku":      "BADC",
		"-completeness.fr,-sku":       "BADC",
		"family,-completeness.shop":   "BDAC",
		"completeness.fr,-updated_at": "DCAB",
	} {
		keys, err := ParseSort(sort)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for page := (Page{Limit: 1}); ; {
			list, next, err := h.Products(h.ctx, ProductFilter{Sort: keys, Where: mustFilter(t, `completeness.shop >= 0`)}, page)
			if err != nil || len(list) != 1 {
				t.Fatal(sort, list, err)
			}
			if got += string(list[0].SKU); next == "" {
				break
			}
			page.After = next
		}
		if sort != "completeness.fr,-updated_at" && got != want || len(got) != 4 {
			t.Errorf("%s: %s, not %s", sort, got, want)
		}
	}
	for _, bad := range []string{"completeness", "completeness.", "completeness.a b", "completeness.shop,completeness.fr"} {
		if keys, err := ParseSort(bad); err == nil {
			t.Errorf("%s: %v", bad, keys)
		}
	}
	keys, _ := ParseSort("completeness.nope")
	_, _, err := h.Products(h.ctx, ProductFilter{Sort: keys}, Page{})
	if e, ok := errors.AsType[*pim.FilterError](err); !ok || e.Code != "sort" {
		t.Error(err)
	}
}

func mustFilter(t *testing.T, text string) *pim.Filter {
	t.Helper()
	f, err := pim.ParseFilter(text)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A walk goes in as small pieces as it is asked for, and says what it did, so that it
// can rest.
func TestWalksGoInPieces(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, sku := range []pim.SKU{"A", "B", "C", "D", "E"} {
		h.do(thing(sku, Put, `{}`))
	}
	h.indexed()
	h.weighed()
	h.channel("aa")
	h.exec(`update search_state set walk_after = 0`)
	for what, step := range map[string]func(context.Context, int) (Indexed, error){"completeness": h.IndexCompleteness, "search": h.IndexSearch} {
		walked := 0
		for more := true; more; {
			did, err := step(h.ctx, 2)
			if err != nil {
				t.Fatal(what, err)
			}
			if did.Walked > 2 || did.Followed > 0 {
				t.Errorf("%s: %+v in one step", what, did)
			}
			walked, more = walked+did.Walked, did.More
		}
		if walked != 5 {
			t.Errorf("%s: a walk looked at %d of 5 products", what, walked)
		}
	}
}
