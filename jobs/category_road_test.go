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

// trails is a mapping that shows the paths of categories.
func trails(s *jobs.ChannelSpec) {
	s.Mapping = &connectors.Mapping{Content: map[string]string{"sku": "sku", "trail": "firstOf(categoryPaths.map(c, c.path.join(' > ')))"}}
}

// trail is what a fake holds of a product's path.
func trail(fake *webhooktest.Server, sku pim.SKU) string {
	l, _ := fake.Listing(sku, pim.Content)
	var doc struct {
		Trail string `json:"trail"`
	}
	_ = json.Unmarshal(l.Document, &doc)
	return doc.Trail
}

// categorise puts a product into categories.
func (r *road) categorise(sku pim.SKU, categories ...string) {
	r.Helper()
	family := "thing"
	res, err := r.store.Edit(r.ctx, "test", []postgres.Edit{{SKU: sku, Mode: postgres.Merge, Family: &family, Categories: &categories}})
	if err != nil || res[0].Err != nil {
		r.Fatal(err, res[0].Err)
	}
}

func (r *road) category(code, parent, label string) {
	r.Helper()
	e := pim.CategoryEdit{Code: code, Parent: parent, Labels: map[pim.Locale]string{"en-GB": label}}
	if _, _, err := r.store.PutCategory(r.ctx, e, 0); err != nil {
		r.Fatal(err)
	}
}

// A renamed or moved category is pushed to the channels that show it, for the
// products in it and below it, and to nobody else.
func TestCategoryReachesChannel(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	shows := r.channel("shows", webhooktest.Options{}, trails)
	plain := r.channel("plain", webhooktest.Options{}, nil)
	r.work()
	r.category("sales", "", "Sales")
	r.category("shoes", "sales", "Shoes")
	r.category("gifts", "", "Gifts")
	r.categorise("S", "shoes")
	r.categorise("G", "gifts")
	r.settled("shows", "plain")
	if got := trail(shows, "S"); got != "Sales > Shoes" {
		t.Errorf("at first: %q", got)
	}
	before, others := len(plain.History("S", pim.Content)), len(shows.History("G", pim.Content))
	r.category("sales", "", "Shop")
	r.settled("shows", "plain")
	if got := trail(shows, "S"); got != "Shop > Shoes" {
		t.Errorf("renamed: %q", got)
	}
	r.category("shoes", "gifts", "Shoes")
	r.settled("shows", "plain")
	if got := trail(shows, "S"); got != "Gifts > Shoes" {
		t.Errorf("moved: %q", got)
	}
	if n := len(plain.History("S", pim.Content)); n != before {
		t.Errorf("a channel that shows no labels was sent %d more", n-before)
	}
	if n := len(shows.History("G", pim.Content)); n != others {
		t.Errorf("a product of another category was sent %d more", n-others)
	}
}
