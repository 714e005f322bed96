package jobs_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// paired is a mapping that shows what goes with a product.
func paired(s *jobs.ChannelSpec) {
	s.Mapping = &connectors.Mapping{Content: map[string]string{"sku": "sku", "pairs": "firstOf([associations.PAIR])"}}
}

func pairsOf(fake *webhooktest.Server, sku pim.SKU) string {
	l, _ := fake.Listing(sku, pim.Content)
	var doc struct {
		Pairs []string `json:"pairs"`
	}
	_ = json.Unmarshal(l.Document, &doc)
	return strings.Join(doc.Pairs, " ")
}

// Both sides of an association reach the channels that show it, and so does that a
// product is not there any more.
func TestAssociationsReachChannel(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	shows := r.channel("shows", webhooktest.Options{}, paired)
	plain := r.channel("plain", webhooktest.Options{}, nil)
	r.work()
	if _, _, err := r.store.PutAssociationType(r.ctx, pim.AssociationType{Code: "PAIR", TwoWay: true}, 0); err != nil {
		t.Fatal(err)
	}
	edit := func(e postgres.Edit) {
		t.Helper()
		family := "thing"
		e.Family = &family
		if res, err := r.store.Edit(r.ctx, "test", []postgres.Edit{e}); err != nil || res[0].Err != nil {
			t.Fatal(err, res[0].Err)
		}
	}
	edit(postgres.Edit{SKU: "A", Mode: postgres.Put})
	edit(postgres.Edit{SKU: "B", Mode: postgres.Put})
	links := pim.Associations{"PAIR": {{SKU: "B"}}}
	edit(postgres.Edit{SKU: "A", Mode: postgres.Patch, Associations: &links})
	r.settled("shows", "plain")
	if a, b := pairsOf(shows, "A"), pairsOf(shows, "B"); a != "B" || b != "A" {
		t.Fatalf("associated: %q, %q", a, b)
	}
	before := len(plain.History("A", pim.Content))
	edit(postgres.Edit{SKU: "B", Mode: postgres.Delete})
	r.settled("shows", "plain")
	if a := pairsOf(shows, "A"); a != "" {
		t.Errorf("a deleted product is shown: %q", a)
	}
	edit(postgres.Edit{SKU: "B", Mode: postgres.Put})
	r.settled("shows", "plain")
	if a, b := pairsOf(shows, "A"), pairsOf(shows, "B"); a != "B" || b != "A" {
		t.Errorf("back: %q, %q", a, b)
	}
	r.publish("B", "shows", time.Hour, 0)
	r.settled("shows", "plain")
	if a := pairsOf(shows, "A"); a != "" {
		t.Errorf("a product that is not published is shown: %q", a)
	}
	r.publish("B", "shows", 0, 0)
	r.settled("shows", "plain")
	if a, b := pairsOf(shows, "A"), pairsOf(shows, "B"); a != "B" || b != "A" {
		t.Errorf("published again: %q, %q", a, b)
	}
	if n := len(plain.History("A", pim.Content)); n != before {
		t.Errorf("a channel that shows no associations was sent %d more", n-before)
	}
}
