package postgres

import (
	"strings"
	"testing"

	"github.com/sluicehub/sluice/pim"
)

// A table is one value: edited whole, kept in history whole, found and counted;
// its columns keep their types while a family has it.
func TestTableValues(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	table := pim.Attribute{Code: "spec", Type: pim.TypeTable, Columns: []pim.Column{
		{Code: "part", Type: pim.TypeText, Required: true}, {Code: "size", Type: pim.TypeNumber, Unit: "cm"},
	}}
	f := pim.Family{Code: "tabled", Attributes: []pim.FamilyAttribute{{Code: "spec", Required: true}}}
	if _, err := h.ChangeSchema(h.ctx, SchemaChange{Attributes: []pim.Attribute{table}, Families: []pim.Family{f}}); err != nil {
		t.Fatal(err)
	}
	put := func(sku pim.SKU, mode EditMode, v string) EditResult {
		e := thing(sku, mode, v)
		if e.Family != nil {
			e.Family = ptr("tabled")
		}
		return h.edit(e)
	}
	if r := put("A", Put, `{"spec":[{"part":"lid","size":{"amount":1.50,"unit":"cm"}}]}`); r.Err != nil {
		t.Fatal(r.Err)
	}
	put("B", Put, `{"spec":[]}`)
	if r := put("A", Patch, `{"spec":[{"part":"lid","size":{"amount":"1.5","unit":"CMT"}}]}`); r.Err != nil || r.Changed {
		t.Errorf("the same again: %+v", r)
	}
	if r := put("A", Patch, `{"spec":[{"size":{"amount":1,"unit":"kg"}}]}`); !strings.HasPrefix(refusal(r.Err), "unit.family /values/spec/0/size/unit") {
		t.Error(refusal(r.Err))
	}
	if r := put("A", Patch, `{"spec":[{"part":"base"}]}`); r.Err != nil || !r.Changed {
		t.Errorf("%+v", r)
	}
	var last string
	h.one(`select data::text from event where type = 'product.updated' order by id desc limit 1`, &last)
	if !strings.Contains(last, `"lid"`) || !strings.Contains(last, `"base"`) {
		t.Errorf("history: %s", last)
	}
	for filter, want := range map[string]string{`values.spec is empty`: "B", `values.spec contains base`: "A"} {
		if got, err := h.find(filter); err != nil || got != want {
			t.Errorf("%s: %s, %v", filter, got, err)
		}
	}
	if _, err := h.find(`values.spec = base`); err == nil {
		t.Error("a table equals a word")
	}
	h.channel("shop")
	if list, err := h.FamilyCompleteness(h.ctx, "tabled", nil, nil); err != nil || list[0].Products != 2 || list[0].Complete != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	table.Columns = []pim.Column{{Code: "size", Type: pim.TypeText}}
	if _, err := h.ChangeSchema(h.ctx, SchemaChange{Attributes: []pim.Attribute{table}}); !strings.HasPrefix(refusal(err), "attribute.shape /attributes/0") {
		t.Error(refusal(err))
	}
	table.Columns = []pim.Column{{Code: "size", Type: pim.TypeNumber, Unit: "cm"}}
	if _, err := h.ChangeSchema(h.ctx, SchemaChange{Attributes: []pim.Attribute{table}}); err != nil {
		t.Fatal(err)
	}
	if r := put("A", Put, `{"spec":[{"part":"base"}]}`); r.Err != nil || r.Changed || len(r.Warnings) != 1 || r.Warnings[0].Pointer != "/values/spec/0/part" {
		t.Errorf("a stored row of a column that went: %+v", r)
	}
}
