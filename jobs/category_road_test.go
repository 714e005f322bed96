package jobs_test

import (
	"encoding/json"
	"strings"
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

// A channel with a category root is sent what lies below it alone: a category that
// moves there, or away, is pushed for the products in it, and another root for those
// of which it shows another thing.
func TestCategoryRootReachesChannel(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	r.category("master", "", "Master")
	r.category("shoes", "master", "Shoes")
	r.category("web", "", "Web shop")
	r.category("news", "web", "News")
	r.categorise("BOTH", "shoes", "news")
	r.categorise("MASTER", "shoes")
	r.categorise("WEB", "news")
	plain := r.channel("plain", webhooktest.Options{}, nil)
	web := r.channel("web", webhooktest.Options{}, func(s *jobs.ChannelSpec) { s.CategoryRoot = "web" }) // by the mapping that everybody has
	r.work()
	shown := func(name string, want map[pim.SKU]string) {
		t.Helper()
		r.settled("web", "plain")
		for sku, codes := range want {
			l, _ := web.Listing(sku, pim.Content)
			var doc struct{ Categories []string }
			_ = json.Unmarshal(l.Document, &doc)
			if got := strings.Join(doc.Categories, " "); got != codes {
				t.Errorf("%s: %s is in %q, want %q", name, sku, got, codes)
			}
		}
	}
	sent := func(name string, want map[pim.SKU]int, do func()) {
		t.Helper()
		before, others := map[pim.SKU]int{}, 0
		for sku := range want {
			before[sku] = len(web.History(sku, pim.Content))
			others += len(plain.History(sku, pim.Content))
		}
		do()
		for sku, more := range want {
			if n := len(web.History(sku, pim.Content)) - before[sku]; n != more {
				t.Errorf("%s: %s was sent %d times, want %d", name, sku, n, more)
			}
			others -= len(plain.History(sku, pim.Content))
		}
		if others != 0 {
			t.Errorf("%s: a channel without a root was sent %d more", name, -others)
		}
	}
	shown("at first", map[pim.SKU]string{"BOTH": "news", "MASTER": "", "WEB": "news"})
	sent("a move below the root", map[pim.SKU]int{"BOTH": 1, "MASTER": 1, "WEB": 0}, func() {
		r.category("shoes", "web", "Shoes")
		shown("moved below the root", map[pim.SKU]string{"BOTH": "shoes news", "MASTER": "shoes", "WEB": "news"})
	})
	sent("a move away", map[pim.SKU]int{"BOTH": 1, "MASTER": 0, "WEB": 1}, func() {
		r.category("news", "", "News")
		shown("moved away", map[pim.SKU]string{"BOTH": "shoes", "MASTER": "shoes", "WEB": ""})
	})
	sent("another root", map[pim.SKU]int{"BOTH": 1, "MASTER": 1, "WEB": 1}, func() {
		r.update("web", func(s *jobs.ChannelSpec) { s.CategoryRoot = "news" })
		shown("another root", map[pim.SKU]string{"BOTH": "news", "MASTER": "", "WEB": "news"})
	})
	// It stays through a change of the mapping, and readiness tells who has no place there.
	mapping := connectors.DefaultMapping()
	mapping.Content["trail"] = "categoryPaths.map(c, c.label)"
	if ch, err := r.channels.SetMapping(r.ctx, "web", mapping, "test", ""); err != nil || ch.CategoryRoot != "news" {
		t.Errorf("another mapping: %+v, %v", ch, err)
	}
	for sku, want := range map[pim.SKU]int{"MASTER": 1, "WEB": 0} {
		ready, err := r.channels.Readiness(r.ctx, sku, []pim.ChannelCode{"web"}, nil)
		if err != nil || len(ready) != 1 || len(ready[0].Issues) != want || !*ready[0].Ready {
			t.Errorf("readiness of %s: %+v, %v", sku, ready, err)
		} else if want > 0 && ready[0].Issues[0].Code != connectors.CodeOutsideRoot {
			t.Errorf("readiness of %s: %+v", sku, ready[0].Issues)
		}
	}
}
