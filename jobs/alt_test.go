package jobs_test

import (
	"bytes"
	"encoding/json"
	"regexp"
	"testing"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// uploaded is where a gallery keeps a file, in whatever order they came.
var uploaded = regexp.MustCompile(`,"src":"https://cdn.example/[12]"`)

// A picture is shown with what people say of it in the channel's language; one
// of which they say nothing with the product's text that was made for that, for
// which the product waits.
func TestAlternativeTexts(t *testing.T) {
	t.Parallel()
	r, g := newTextRoad(t), &gallery{}
	r.withGalleries(map[string]*gallery{"": g}, 10)
	if _, err := r.store.ChangeSchema(r.ctx, postgres.SchemaChange{Families: []pim.Family{{
		Code: "item", Attributes: []pim.FamilyAttribute{{Code: "name"}, {Code: "pitch"}, {Code: "picture"}},
	}}}); err != nil {
		t.Fatal(err)
	}
	r.asset("front", picture(1))
	if _, _, _, err := r.media.Put(r.ctx, jobs.NewAsset{Code: "side", Filename: "side.png", Labels: map[pim.Locale]string{"de-DE": "Von der Seite"}}, bytes.NewReader(picture(2))); err != nil {
		t.Fatal(err)
	}
	r.provider("fake", 0)
	r.rule(func(rule *postgres.TextRule) {
		rule.Action, rule.Attributes, rule.Review, rule.Template = postgres.TextGenerate, []string{"pitch"}, postgres.ReviewAuto, "as a picture shows it"
	})
	if _, err := r.channels.Create(r.ctx, jobs.ChannelSpec{
		Code: "shop", Connector: "gallery", Locale: "de-DE", Currency: "EUR", Config: json.RawMessage(`{}`),
		Mapping: &connectors.Mapping{
			Content: map[string]string{"sku": "sku"},
			Media:   map[string]string{"images": "pictures.map(p, {'src': p.src, 'alt': firstOf([p.alt, values.pitch, ''])})"},
		},
	}); err != nil {
		t.Fatal(err)
	}
	r.work()
	r.item("A", `{"name":{"en-GB":"Red kettle"},"picture":["front","side"]}`)
	r.rested("shop")
	want := `{"images":[{"alt":"A fine thing, as a picture shows it"},{"alt":"Von der Seite"}]}`
	if got := uploaded.ReplaceAllString(g.shows("A"), ""); got != want {
		t.Errorf("it shows %s", got)
	}
	if _, pushes := g.counts("A"); pushes != 1 {
		t.Errorf("its pictures were sent %d times", pushes)
	}
	a, err := r.store.Asset(r.ctx, "front")
	if err != nil {
		t.Fatal(err)
	}
	a.Labels = map[pim.Locale]string{"de-DE": "Von vorn", "en-GB": "From the front"}
	if _, changed, err := r.store.PutAsset(r.ctx, a, a.Rev); err != nil || !changed {
		t.Fatal(changed, err)
	}
	r.rested("shop")
	want = `{"images":[{"alt":"Von vorn"},{"alt":"Von der Seite"}]}`
	if got := uploaded.ReplaceAllString(g.shows("A"), ""); got != want {
		t.Errorf("relabelled, it shows %s", got)
	}
	if uploads, pushes := g.counts("A"); pushes != 2 || uploads != 2 {
		t.Errorf("%d uploads, %d pushes", uploads, pushes)
	}
}
