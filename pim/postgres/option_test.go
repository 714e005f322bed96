package postgres

import (
	"testing"

	"github.com/sluicehub/sluice/pim"
)

// An option that a product shows stays, wherever its value has it; others go.
func TestOptionsInUseStay(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.channel("shop")
	options := func(codes ...string) (list []pim.Option) {
		for _, c := range codes {
			list = append(list, pim.Option{Code: c})
		}
		return list
	}
	all := options("red", "blue", "green")
	kinds := []pim.Attribute{
		{Code: "one", Type: pim.TypeOption, Options: all},
		{Code: "many", Type: pim.TypeOptions, Options: all},
		{Code: "by-locale", Type: pim.TypeOption, Options: all, Localizable: true},
		{Code: "by-both", Type: pim.TypeOptions, Options: all, Localizable: true, Scopable: true},
		{Code: "rows", Type: pim.TypeTable, Scopable: true, Columns: []pim.Column{{Code: "note", Type: pim.TypeText}, {Code: "hue", Type: pim.TypeOption, Options: all}}},
	}
	f := pim.Family{Code: "hued"}
	for _, a := range kinds {
		f.Attributes = append(f.Attributes, pim.FamilyAttribute{Code: a.Code})
	}
	h.ok(h.ChangeSchema(h.ctx, SchemaChange{Attributes: kinds, Families: []pim.Family{f}}))
	held := map[string]string{
		"one": `"red"`, "many": `["blue","red"]`, "by-locale": `{"en-GB":"red"}`, "by-both": `{"shop":{"de-DE":["red"]}}`, "rows": `{"shop":[{"note":"x"},{"hue":"red"}]}`,
	}
	change := func(a pim.Attribute, codes ...string) error {
		a = *h.Schema().Attributes[a.Code]
		if a.Type == pim.TypeTable {
			a.Columns = []pim.Column{a.Columns[0], a.Columns[1]}
			a.Columns[1].Options = options(codes...)
		} else {
			a.Options = options(codes...)
		}
		_, err := h.ChangeSchema(h.ctx, SchemaChange{Attributes: []pim.Attribute{a}})
		return err
	}
	for _, a := range kinds {
		h.do(Edit{SKU: "P", Mode: Put, Family: ptr("hued"), Values: values(`{"` + a.Code + `":` + held[a.Code] + `}`)})
		want := "/attributes/0/options option.used"
		if a.Type == pim.TypeTable {
			want = "/attributes/0/columns/1/options option.used"
		}
		if err := change(a, "blue", "green"); faultsOf(err) != want {
			t.Errorf("%s without red: %v", a.Code, err)
		}
		if a.Type != pim.TypeTable {
			if err := change(a); faultsOf(err) != want {
				t.Errorf("%s without options: %v", a.Code, err)
			}
		}
		if err := change(a, "blue", "red", "pink"); err != nil {
			t.Errorf("%s with others: %v", a.Code, err)
		}
		h.do(Edit{SKU: "P", Mode: Delete})
		if err := change(a, "blue"); err != nil {
			t.Errorf("%s, of which a deleted product had red: %v", a.Code, err)
		}
	}
	// What stands at an attribute that the family has lost, nobody sees.
	h.do(Edit{SKU: "P", Mode: Put, Family: ptr("hued"), Values: values(`{"one":"blue"}`)})
	a := *h.Schema().Attributes["one"]
	a.Options = nil
	f.Attributes = f.Attributes[1:]
	if _, err := h.ChangeSchema(h.ctx, SchemaChange{Attributes: []pim.Attribute{a}, Families: []pim.Family{f}}); err != nil {
		t.Error(err)
	}
}

// So do options that records have.
func TestOptionsOfRecordsInUseStay(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	e := pim.ReferenceEntity{Code: "brand", Attributes: []pim.Attribute{{Code: "tier", Type: pim.TypeOption, Options: []pim.Option{{Code: "a"}, {Code: "b"}}}}}
	put := func(options ...pim.Option) error {
		e.Attributes = []pim.Attribute{{Code: "tier", Type: pim.TypeOption, Options: options}}
		_, _, err := h.PutReferenceEntity(h.ctx, e, 0)
		return err
	}
	if err := put(pim.Option{Code: "a"}, pim.Option{Code: "b"}); err != nil {
		t.Fatal(err)
	}
	h.record(RecordEdit{Code: "acme", Values: pim.Values{"tier": "a"}})
	if err := put(pim.Option{Code: "b"}); faultsOf(err) != "/attributes/0/options option.used" {
		t.Error(err)
	}
	if err := put(pim.Option{Code: "a"}); err != nil {
		t.Error(err)
	}
}
