package feed_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/govalues/decimal"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/connectortest"
	"github.com/sluicehub/sluice/connectors/feed"
	"github.com/sluicehub/sluice/pim"
)

var update = flag.Bool("update", false, "write the golden files")

func TestDefaultMapping(t *testing.T) {
	program, err := connectors.Compile(feed.Kind.Mapping)
	if err != nil {
		t.Fatal(err)
	}
	schema := &pim.Schema{Attributes: map[string]*pim.Attribute{
		"name": {Code: "name", Type: pim.TypeText, Localizable: true}, "ean": {Code: "ean", Type: pim.TypeText},
		"description": {Code: "description", Type: pim.TypeRichText, Localizable: true}, "images": {Code: "images", Type: pim.TypeMedia},
	}}
	b := inFolder(t, t.TempDir(), newClock(), func(c *feed.Config) { c.Link = "https://shop.example/p/{sku}" })
	for _, s := range []struct {
		subject *connectors.Subject
		want    string
		issues  []string
	}{
		{
			&connectors.Subject{
				SKU: "V 1", Parent: "M", Values: pim.Values{
					"name": map[string]any{"de-DE": "Kessel"}, "ean": "4006381333931", "description": map[string]any{"de-DE": "<p>heiß &amp; rot</p>"},
				},
				Prices: []pim.Price{{PriceList: "default", Currency: "EUR", MinQuantity: 1, Amount: decimal.MustParse("19.90")}},
				Stock:  []pim.Stock{{Location: "main", OnHand: 3}},
			},
			`{"additional_image_link":[],"availability":"in_stock","condition":"new","description":"heiß & rot","gtin":"4006381333931","item_group_id":"M","price":"19.90 EUR","title":"Kessel"}`,
			[]string{"brand feed.brand", "image_link feed.required", "item_group_id feed.variant"},
		},
		{
			&connectors.Subject{SKU: "BARE"},
			`{"additional_image_link":[],"availability":"out_of_stock","condition":"new","description":"BARE","title":"BARE"}`,
			[]string{"brand feed.brand", "gtin feed.identifier", "image_link feed.required", "price feed.required"},
		},
	} {
		got, err := program.Render(t.Context(), pim.Content, s.subject, schema, connectors.Scope{Channel: "feed", Locale: "de-DE", Currency: "EUR", PriceList: "default"})
		if err != nil || cmp.Diff(s.want, string(got)) != "" {
			t.Fatalf("%s: %v\n%s", s.subject.SKU, err, cmp.Diff(s.want, string(got)))
		}
		if issues := preflight(t, b.Connector, string(got)); !slices.Equal(issues, s.issues) {
			t.Errorf("%s: %q, want %q", s.subject.SKU, issues, s.issues)
		}
	}
	// What changes a price or the stock changes this document.
	if in := program.Inputs(pim.Content); in != pim.LanesOf(pim.Content, pim.Offer, pim.Media) {
		t.Errorf("the documents are made of %v", in)
	}
}

// preflight are the attributes and codes of what is found.
func preflight(t *testing.T, c *feed.Connector, doc string) []string {
	t.Helper()
	decoded, err := connectors.DecodeDocument(json.RawMessage(doc))
	if err != nil {
		t.Fatal(err)
	}
	list := []string{}
	for _, i := range c.Preflight(pim.Content, decoded) {
		if i.Text == "" || i.Severity == "" {
			t.Errorf("issue %+v", i)
		}
		list = append(list, i.Attribute+" "+i.Code)
	}
	slices.Sort(list)
	return list
}

func TestPreflight(t *testing.T) {
	b := start(t)
	good := map[string]any{
		"title": "Kettle", "description": "hot", "link": "https://shop.example/p", "image_link": "https://img.example/a.jpg",
		"availability": "in_stock", "price": "19.90 EUR", "brand": "Acme", "gtin": "4006381333931",
	}
	for _, c := range []struct{ set, want string }{
		{`{}`, ""},
		{`{"title":null}`, "title feed.required"},
		{`{"title":"` + strings.Repeat("ä", 151) + `"}`, "title feed.too_long"},
		{`{"title":"` + strings.Repeat("ä", 150) + `"}`, ""},
		{`{"description":"` + strings.Repeat("x", 5001) + `"}`, "description feed.too_long"},
		{`{"link":"/p/1"}`, "link feed.link"},
		{`{"link":"ftp://shop.example/p"}`, "link feed.link"},
		{`{"image_link":""}`, "image_link feed.required"},
		{`{"additional_image_link":["https://a.example/1","https://a.example/2","nowhere"]}`, "additional_image_link feed.link"},
		{`{"additional_image_link":` + many(11) + `}`, "additional_image_link feed.too_many"},
		{`{"additional_image_link":` + many(10) + `}`, ""},
		{`{"title":["one","two"]}`, "title feed.too_many"},
		{`{"availability":"sold"}`, "availability feed.word"},
		{`{"availability":"preorder"}`, "availability_date feed.required"},
		{`{"availability":"preorder","availability_date":"2026-12-24T13:00+0100"}`, ""},
		{`{"availability":"preorder","availability_date":"soon"}`, "availability_date feed.time"},
		{`{"price":"19,90 EUR"}`, "price feed.price"},
		{`{"price":"19.90"}`, "price feed.price"},
		{`{"price":"-1.00 EUR"}`, "price feed.price"},
		{`{"price":"0.00 EUR"}`, "price feed.price"},
		{`{"sale_price":"20.00 EUR"}`, "sale_price feed.price"},
		{`{"sale_price":"9.90 USD"}`, "sale_price feed.currency"},
		{`{"sale_price":"9.90 EUR","sale_price_effective_date":"2026-01-01T00:00:00Z/2026-02-01T00:00:00Z"}`, ""},
		{`{"sale_price":"9.90 EUR","sale_price_effective_date":"2026-01-01"}`, "sale_price_effective_date feed.time"},
		{`{"gtin":"4006381333932"}`, "gtin feed.gtin"},
		{`{"gtin":null}`, "gtin feed.identifier"},
		{`{"gtin":null,"mpn":"K-1"}`, ""},
		{`{"gtin":null,"identifier_exists":false}`, ""},
		{`{"identifier_exists":false}`, "identifier_exists feed.identifier"},
		{`{"brand":null}`, "brand feed.brand"},
		{`{"condition":"broken"}`, "condition feed.word"},
		{`{"item_group_id":"M"}`, "item_group_id feed.variant"},
		{`{"item_group_id":"M","color":"red"}`, ""},
		{`{"id":"other"}`, "id feed.id"},
		{`{"Farbe":"rot"}`, "Farbe feed.name"},
		{`{"shipping":[{"country":"DE","price":"4.90 EUR"},{"country":"AT","price":"free"}]}`, "shipping feed.price"},
		{`{"color":{"red":1}}`, "color feed.value"},
		{`{"custom_thing":"x"}`, ""},
		{`{"title":{"de":["x"]}}`, "title feed.required,title feed.value"},
	} {
		var set map[string]any
		if err := json.Unmarshal([]byte(c.set), &set); err != nil {
			t.Fatal(err)
		}
		doc := map[string]any{}
		for name, v := range good {
			doc[name] = v
		}
		for name, v := range set {
			doc[name] = v
		}
		raw, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(preflight(t, b.Connector, string(raw)), ","); got != c.want {
			t.Errorf("%s: %s, want %s", c.set, got, c.want)
		}
	}
	supplemental := inFolder(t, t.TempDir(), newClock(), func(c *feed.Config) { c.Supplemental = true })
	if got := preflight(t, supplemental.Connector, `{"custom_label_0":"summer"}`); len(got) > 0 {
		t.Errorf("supplemental: %q", got)
	}
}

func many(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(`"https://img.example/%d.jpg"`, i)
	}
	return "[" + strings.Join(list, ",") + "]"
}

func TestSKUIsTheID(t *testing.T) {
	b := start(t)
	results, err := b.Push(t.Context(), []connectors.Item{upsert(pim.SKU(strings.Repeat("x", 51)), 1, "long"), upsert(pim.SKU(strings.Repeat("ä", 50)), 1, "just")})
	if err != nil || results[1].Status != connectors.Pending {
		t.Fatalf("%+v, %v", results, err)
	}
	if e := connectors.AsError(results[0].Err); e.Verdict != connectors.Validation || len(e.Issues) != 1 || e.Issues[0].Attribute != "id" {
		t.Errorf("%+v", e)
	}
}

func TestConfig(t *testing.T) {
	for _, c := range []struct{ config, want string }{
		{`{"folder":"/srv/feed"}`, ""},
		{`{"folder":"feed"}`, "/folder config.folder"},
		{`{}`, "/bucket field.missing,/access_key field.missing,/secret_key field.missing"},
		{`{"folder":"/srv/feed","bucket":"b"}`, "/bucket config.target"},
		{`{"folder":"/srv/feed","secret_key":"x"}`, "/secret_key config.target"},
		{`{"bucket":"feeds","access_key":"a","secret_key":"s"}`, ""},
		{`{"bucket":"feeds","access_key":"a","secret_key":"s","endpoint":"https://s3.example:9000/"}`, ""},
		{`{"bucket":"feeds","access_key":"a","secret_key":"s","endpoint":"https://s3.example/path"}`, "/endpoint config.url"},
		{`{"bucket":"feeds","access_key":"a","secret_key":"s","region":"eu/1"}`, "/region config.region"},
		{`{"bucket":"feeds","access_key":"a","secret_key":"s","prefix":"a/../b"}`, "/prefix config.prefix"},
		{`{"bucket":"F!","access_key":"a","secret_key":"s"}`, "/bucket config.bucket"},
		{`{"folder":"/srv/feed","format":"csv"}`, "/format config.format"},
		{`{"folder":"/srv/feed","file":"../x"}`, "/file config.file"},
		{`{"folder":"/srv/feed","file":"manifest.json"}`, "/file config.file"},
		{`{"folder":"/srv/feed","link_template":"https://shop.example/"}`, "/link_template config.link"},
		{`{"folder":"/srv/feed","build_every_seconds":-1}`, "/build_every_seconds config.range"},
		{`{"folder":"/srv/feed","colour":"red"}`, "/colour field.unknown"},
	} {
		_, err := feed.Kind.New(json.RawMessage(c.config), connectors.Env{Limits: feed.Kind.Limits})
		var got []string
		if invalid := (*pim.Invalid)(nil); errors.As(err, &invalid) {
			for _, p := range invalid.Problems {
				got = append(got, p.Pointer+" "+p.Code)
			}
		} else if err != nil {
			t.Fatal(err)
		}
		if strings.Join(got, ",") != c.want {
			t.Errorf("%s: %q, want %s", c.config, got, c.want)
		}
	}
}

// goldenItems have what formats can stumble over.
func goldenItems() []connectors.Item {
	doc := func(sku pim.SKU, text string) connectors.Item {
		return connectors.Item{SKU: sku, Lane: pim.Content, Revision: 1, Action: connectors.Upsert, Document: json.RawMessage(text)}
	}
	return []connectors.Item{
		doc("KETTLE-1", `{"additional_image_link":["https://img.example/a,b.jpg","https://img.example/c.jpg"],"adult":false,"availability":"in_stock","brand":"Çaydanlık & Co","condition":"new","description":"First line\r\nsecond\tline \u0007<b>","gtin":"4006381333931","image_link":"https://img.example/1.jpg?a=1&b=2","multipack":3,"price":"19.90 EUR","shipping":[{"country":"DE","price":"4.90 EUR","service":"Post: slow"},{"country":"AT","price":"9.90 EUR"}],"title":"Kettle \"Red\""}`),
		doc("ÄPFEL 1/2", `{"availability":"out_of_stock","description":"","mpn":null,"price":"1.00 EUR","title":"Äpfel"}`),
		doc("Zero", `{"availability":"in_stock","link":"https://shop.example/own","price":"2.00 EUR","product_highlight":["hot","very \"hot\", really"],"title":"]]>"}`),
	}
}

func TestGolden(t *testing.T) {
	for _, format := range []string{"xml", "tsv"} {
		b := inFolder(t, t.TempDir(), newClock(), func(c *feed.Config) {
			c.Format, c.Title, c.Link = format, "Shop & more", "https://shop.example/p/{sku}"
		})
		items := goldenItems()
		b.says("live live live", b.polled(b.tickets(items...)...))
		got, golden := b.read("feed."+format), filepath.Join("testdata", "feed."+format)
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), got); d != "" {
			t.Errorf("%s: %s", format, d)
		}
		held, err := b.Read(t.Context(), items)
		if err != nil {
			t.Fatal(err)
		}
		for i := range held {
			if !held[i].Exact || !held[i].Matches(items[i]) {
				t.Errorf("%s: %s reads as %+v, %s", format, items[i].SKU, held[i], held[i].Document)
			}
		}
	}
}

// TestManySegments has a bucket list more than one page.
func TestManySegments(t *testing.T) {
	backend := s3mem.New()
	if err := backend.CreateBucket(bucket); err != nil {
		t.Fatal(err)
	}
	target := connectortest.Serve(t, gofakes3.New(backend, gofakes3.WithTimeSkewLimit(0)).Server())
	c := connect(t, config(target.URL(), "tsv"), newClock())
	for i := range 1003 {
		upload(t, backend, fmt.Sprintf("shop/de/sluice-feed/seg-%016x-x", i), fmt.Sprintf(`{"s":"S%04d","r":1,"d":{"title":"x"}}`+"\n", i))
	}
	results, err := c.Poll(t.Context(), []string{"0000000000000000-x.0", "00000000000003ea-x.0", "00000000000003eb-x.0"})
	if err != nil {
		t.Fatal(err)
	}
	if got := statuses(results); !slices.Equal(got, []string{"live", "live", "conflict"}) {
		t.Errorf("%v", got)
	}
}

// TestDamage: what is not ours, or not whole, is said and not built from.
func TestDamage(t *testing.T) {
	for _, c := range []struct{ name, content string }{
		{"manifest.json", `{"feed":`},
		{"manifest.json", `{"state":{"base":"../../etc/passwd"}}`},
		{"manifest.json", `{"state":{"segments":[{"name":"x","said":"99999999l"}]}}`},
		{"sluice-feed/seg-0000000000000001-x", "{}\n"},
		{"sluice-feed/seg-0000000000000001-x", `{"s":"A","r":1,"d":[]}` + "\n"},
	} {
		b := start(t)
		b.polled(b.tickets(upsert("A", 1, "one"))...)
		before := b.read("feed.xml")
		if err := os.WriteFile(filepath.Join(b.folder, c.name), []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		tokens := b.tickets(upsert("A", 2, "two"))
		b.clock.pass(time.Hour)
		_, err := b.Poll(t.Context(), tokens)
		if err == nil || connectors.AsError(err).Verdict != connectors.Unavailable || b.read("feed.xml") != before {
			t.Errorf("%s %s: %v", c.name, c.content, err)
		}
	}
}
