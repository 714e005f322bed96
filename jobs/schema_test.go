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

// Another process, an import say, adds attributes and writes products with
// them: the workers here render all of it, though the schema that they know is
// older.
func TestValuesOfAnotherProcess(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.channel("shop", webhooktest.Options{}, func(s *jobs.ChannelSpec) {
		s.Mapping = &connectors.Mapping{
			Content: map[string]string{"title": "firstOf([values.heading, sku])"},
			Media:   map[string]string{"media": "firstOf([media])"},
		}
	})
	r.work()
	other, err := postgres.Open(r.ctx, r.dsn, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	known := r.store.Schema().Version
	if _, err := other.ChangeSchema(r.ctx, postgres.SchemaChange{
		Attributes: []pim.Attribute{{Code: "heading", Type: pim.TypeText}, {Code: "photo", Type: pim.TypeMedia}},
		Families:   []pim.Family{{Code: "sample", Attributes: []pim.FamilyAttribute{{Code: "heading"}, {Code: "photo"}}}},
	}); err != nil {
		t.Fatal(err)
	}
	if r.store.Schema().Version != known {
		t.Fatal("this process knows the change already: the test shows nothing")
	}
	family := "sample"
	res, err := other.Edit(r.ctx, "import", []postgres.Edit{{
		SKU: "S-1", Mode: postgres.Merge, Family: &family,
		Values: pim.Values{"heading": "Lamp", "photo": "https://x.example/lamp.jpg"},
	}})
	if err != nil || res[0].Err != nil {
		t.Fatal(err, res)
	}
	r.runner.Wake(postgres.Consumer{Kind: postgres.Fanout})
	r.settled("shop")
	for lane, want := range map[pim.Lane]string{pim.Content: `{"title":"Lamp"}`, pim.Media: `{"media":["https://x.example/lamp.jpg"]}`} {
		if l, ok := fake.Listing("S-1", lane); !ok || !sameDocument(l.Document, json.RawMessage(want)) {
			t.Errorf("%s: the shop holds %s, want %s", lane, l.Document, want)
		}
	}
}
