package jobs_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
)

// A feed has all of a product in one document: texts, price, stock and pictures
// bring it on the road, its tickets end when it is published, and what leaves the
// channel leaves the file. What is there reads back as what was sent.
func TestFeedOnTheRoad(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	folder := t.TempDir()
	config, err := json.Marshal(map[string]any{"folder": folder, "link_template": "https://shop.example/p/{sku}", "build_every_seconds": 0})
	if err != nil {
		t.Fatal(err)
	}
	spec := jobs.ChannelSpec{Code: "shop", Connector: "feed", Locale: "en-GB", Currency: "EUR", Config: config, SettleSeconds: 1}
	if _, err := r.channels.Create(r.ctx, spec); err != nil {
		t.Fatal(err)
	}
	r.work()
	picture := func(name string) pim.Values {
		return pim.Values{"name": map[string]any{"en-GB": name}, "picture": []any{"https://img.example/" + name + ".jpg"}}
	}
	r.put([]pim.SKU{"A"}, picture("red"))
	r.put([]pim.SKU{"B"}, picture("blue"))
	r.offer("A", "9.99", 5)
	r.offer("B", "19.99", 0)
	has := func(when string, want ...string) {
		t.Helper()
		r.settled("shop")
		content, err := os.ReadFile(filepath.Join(folder, "feed.xml"))
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(content), "<item>"); n != strings.Count(strings.Join(want, ""), "<g:id>") {
			t.Errorf("%s: %d products", when, n)
		}
		for _, w := range want {
			if !strings.Contains(string(content), w) {
				t.Errorf("%s: no %s in\n%s", when, w, content)
			}
		}
	}
	has("at first", "<g:id>A</g:id>", "<g:id>B</g:id>", "9.99 EUR", "in_stock", "out_of_stock", "https://img.example/red.jpg", "https://shop.example/p/A")
	if l := r.listing("shop", "A", pim.Content); l.State != pim.StateLive {
		t.Errorf("%+v", l)
	}
	r.offer("A", "8.88", 0)
	has("after a price", "<g:id>A</g:id>", "<g:id>B</g:id>", "8.88 EUR")
	if run := r.reconciled("shop", true); run.Drifted != 0 || run.Same != 2 {
		t.Errorf("read back: %+v", run)
	}
	r.enable("B", false)
	has("after B left", "<g:id>A</g:id>")
	r.enable("B", true)
	has("after B came back", "<g:id>A</g:id>", "<g:id>B</g:id>", "19.99 EUR")
	r.publish("A", "shop", 0, -1)
	has("after A closed", "<g:id>B</g:id>")
}
