package jobs_test

import (
	"encoding/json"
	"testing"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// Of two levels of variants a target is shown the variants, of their root model, with
// what they have from both models above them; a sub-model it never hears of.
func TestTwoLevelsReachChannel(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	family := pim.Family{Code: "shirt", Attributes: []pim.FamilyAttribute{{Code: "name"}, {Code: "colour"}, {Code: "size"}}, Variants: []pim.FamilyVariant{
		{Code: "two", Levels: []pim.VariantLevel{{Axes: []string{"colour"}}, {Axes: []string{"size"}}}},
	}}
	if _, err := r.store.ChangeSchema(r.ctx, postgres.SchemaChange{Attributes: []pim.Attribute{{Code: "size", Type: pim.TypeText}}, Families: []pim.Family{family}}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.store.PutAssociationType(r.ctx, pim.AssociationType{Code: "PAIR"}, 0); err != nil {
		t.Fatal(err)
	}
	fake := r.channel("shop", webhooktest.Options{}, func(s *jobs.ChannelSpec) {
		s.Mapping = &connectors.Mapping{Content: map[string]string{"name": "values.name", "parent": "firstOf([parent])", "axes": "firstOf([axes])", "pairs": "firstOf([associations.PAIR])"}}
	})
	r.work()
	edit := func(sku, parent pim.SKU, values pim.Values, pairs ...pim.SKU) {
		t.Helper()
		e := postgres.Edit{SKU: sku, Mode: postgres.Merge, Family: &family.Code, Values: values}
		if parent != "" {
			e.Parent = &parent
		} else if sku == "R" {
			e.FamilyVariant = &family.Variants[0].Code
		}
		if len(pairs) > 0 {
			links := pim.Associations{}
			for _, p := range pairs {
				links["PAIR"] = append(links["PAIR"], pim.Association{SKU: p})
			}
			e.Associations = &links
		}
		if res, err := r.store.Edit(r.ctx, "test", []postgres.Edit{e}); err != nil || res[0].Err != nil {
			t.Fatal(err, res[0].Err)
		}
	}
	for _, sku := range []pim.SKU{"A", "B", "C"} {
		edit(sku, "", title("%s", sku))
	}
	edit("R", "", title("Shirt"), "A", "B")
	edit("S", "R", pim.Values{"colour": "red"}, "C", "A")
	edit("V", "S", pim.Values{"size": "m"}, "B")
	edit("W", "S", pim.Values{"size": "l", "name": map[string]any{"en-GB": "Long shirt"}})
	r.settled("shop")
	shows := func(sku pim.SKU, want string) {
		t.Helper()
		l, _ := fake.Listing(sku, pim.Content)
		var doc any
		_ = json.Unmarshal(l.Document, &doc)
		if got, _ := json.Marshal(doc); string(got) != want {
			t.Errorf("%s: %s, not %s", sku, got, want)
		}
	}
	shows("R", `{"name":"Shirt","pairs":["A","B"]}`)
	shows("V", `{"axes":{"colour":"red","size":"m"},"name":"Shirt","pairs":["B","C","A"],"parent":"R"}`)
	shows("W", `{"axes":{"colour":"red","size":"l"},"name":"Long shirt","pairs":["C","A","B"],"parent":"R"}`)

	// What shows is sent, and what does not is not.
	before := len(fake.History("W", pim.Content))
	edit("R", "", title("Blouse"))
	r.settled("shop")
	shows("V", `{"axes":{"colour":"red","size":"m"},"name":"Blouse","pairs":["B","C","A"],"parent":"R"}`)
	if n := len(fake.History("W", pim.Content)); n != before {
		t.Errorf("%d requests for a variant that has its own name", n-before)
	}
	edit("S", "", pim.Values{"colour": "blue"})
	r.settled("shop")
	shows("W", `{"axes":{"colour":"blue","size":"l"},"name":"Long shirt","pairs":["C","A","B"],"parent":"R"}`)
	if n := len(fake.History("S", pim.Content)); n != 0 {
		t.Errorf("%d requests for a sub-model", n)
	}
	if l := r.explain("S", pim.Content); l.Reason != jobs.ReasonSubModel {
		t.Errorf("a sub-model: %+v", l.Because)
	}
}
