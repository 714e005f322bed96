//go:build real

package medusa_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/medusa"
	"github.com/sluicehub/sluice/pim"
)

// TestReal pushes a catalogue to a running Medusa and reads it back as a
// customer's browser does. It needs MEDUSA_URL, MEDUSA_KEY (a secret API key) and
// MEDUSA_PUBLISHABLE_KEY (of the shop's sales channel), a region each with eur
// and usd, and one stock location that the sales channel sells from. It leaves
// nothing behind but two categories.
func TestReal(t *testing.T) {
	shop := &realShop{T: t, url: os.Getenv("MEDUSA_URL"), key: os.Getenv("MEDUSA_KEY"), publishable: os.Getenv("MEDUSA_PUBLISHABLE_KEY")}
	if shop.url == "" || shop.key == "" || shop.publishable == "" {
		t.Fatal("MEDUSA_URL, MEDUSA_KEY and MEDUSA_PUBLISHABLE_KEY are needed")
	}
	const batch = 50
	to := connect(t, medusa.Config{URL: shop.url, APIKey: shop.key}, batch)
	c := newCatalogue(t)
	run := fmt.Sprintf("R%x", time.Now().UnixNano()/1e6)

	var subjects []*connectors.Subject
	want := map[string]string{} // SKU → what the Store API shall say
	var simple, parents, variants []string
	for i := range 40 {
		sku := fmt.Sprintf("%s-S%d", run, i)
		simple = append(simple, sku)
		subjects = append(subjects, c.subject(sku, "Kettle "+sku, in("kitchen", "gifts"), value("description", "<p>Boils</p>"),
			costs(fmt.Sprintf("EUR %d.90", 10+i), fmt.Sprintf("USD %d.49", 12+i)), stocked(int64(i)), pictured("https://img.example/"+sku+".jpg")))
		want[sku] = fmt.Sprintf("Kettle %s|Default option value|eur %d.9|usd %d.49|%d|https://img.example/%s.jpg", sku, 10+i, 12+i, i, sku)
	}
	for i := range 20 {
		parent := fmt.Sprintf("%s-P%d", run, i)
		parents = append(parents, parent)
		subjects = append(subjects, c.subject(parent, "Shirt "+parent, in("kitchen"), pictured("https://img.example/"+parent+".jpg")))
		for _, color := range []string{"red", "blue"} {
			for n, size := range []string{"S", "M"} {
				sku := parent + "-" + color + size
				variants = append(variants, sku)
				subjects = append(subjects, c.subject(sku, "Shirt "+parent, of(parent, color, size),
					costs("EUR 20.05", "USD 25"), stocked(int64(n+1)), pictured("https://img.example/"+parent+".jpg")))
				want[sku] = fmt.Sprintf("Shirt %s|%s,%s|eur 20.05|usd 25|%d|https://img.example/%s.jpg", parent, color, size, n+1, parent)
			}
		}
	}
	skus := slices.Concat(simple, parents)
	t.Cleanup(func() {
		var items []connectors.Item
		for _, sku := range slices.Concat(variants, skus) {
			items = append(items, withdrawal(sku))
		}
		began := time.Now()
		c.send(to, batch, items...)
		t.Logf("withdraw %d SKUs: %s", len(items), time.Since(began).Round(time.Millisecond))
		if left := shop.read(skus); len(left) != 0 {
			t.Errorf("withdrawn, the shop shows %d SKUs still", len(left))
		}
	})
	for _, lane := range allLanes {
		began := time.Now()
		c.push(to, batch, []pim.Lane{lane}, subjects...)
		t.Logf("%s lane of %d SKUs: %s", lane, len(subjects), time.Since(began).Round(time.Millisecond))
	}
	if diff := cmp.Diff(want, shop.read(skus)); diff != "" {
		t.Fatalf("the Store API (-want +got):\n%s", diff)
	}
	for _, lane := range allLanes {
		began := time.Now()
		c.push(to, batch, []pim.Lane{lane}, subjects...)
		t.Logf("%s lane of %d SKUs again: %s", lane, len(subjects), time.Since(began).Round(time.Millisecond))
	}
	if diff := cmp.Diff(want, shop.read(skus)); diff != "" {
		t.Fatalf("the Store API after the second push (-want +got):\n%s", diff)
	}

	// A new colour comes, a price and a stock change, the USD price goes, a
	// picture of one variant alone comes.
	parent := parents[0]
	fresh := parent + "-greenXL"
	changed := c.subject(fresh, "Shirt "+parent, of(parent, "green", "XL"), costs("EUR 7"), stocked(0), pictured("https://img.example/"+parent+".jpg", "https://img.example/green.jpg"))
	c.push(to, batch, allLanes, changed)
	variants = append(variants, fresh)
	want[fresh] = "Shirt " + parent + "|green,XL|eur 7|usd -|0|https://img.example/" + parent + ".jpg https://img.example/green.jpg"
	cheaper := c.subject(simple[3], "Kettle renamed", costs("EUR 1.01"), stocked(99))
	c.push(to, batch, allLanes, cheaper)
	want[simple[3]] = "Kettle renamed|Default option value|eur 1.01|usd -|99|"
	if diff := cmp.Diff(want, shop.read(skus)); diff != "" {
		t.Fatalf("the Store API after changes (-want +got):\n%s", diff)
	}

	// A simple product gets its first variant, and loses it again.
	grown := simple[5]
	child := grown + "-child"
	c.push(to, batch, allLanes, c.subject(child, "Kettle", of(grown, "red", "S"), costs("EUR 5", "USD 6"), stocked(4)))
	delete(want, grown)
	// The product's pictures are for all of its variants.
	want[child] = "Kettle " + grown + "|red,S|eur 5|usd 6|4|https://img.example/" + grown + ".jpg"
	if diff := cmp.Diff(want, shop.read(skus)); diff != "" {
		t.Fatalf("the Store API after the first variant came (-want +got):\n%s", diff)
	}
	c.send(to, batch, withdrawal(child))
	delete(want, child)
	i := slices.IndexFunc(subjects, func(s *connectors.Subject) bool { return string(s.SKU) == grown })
	c.push(to, batch, allLanes, subjects[i])
	want[grown] = fmt.Sprintf("Kettle %s|Default option value|eur 15.9|usd 17.49|5|https://img.example/%s.jpg", grown, grown)
	if diff := cmp.Diff(want, shop.read(skus)); diff != "" {
		t.Fatalf("the Store API after the last variant went (-want +got):\n%s", diff)
	}

	// Stock that nobody keeps any more, and again.
	free := simple[7]
	c.push(to, batch, []pim.Lane{pim.Offer}, c.subject(free, "Kettle "+free, costs("EUR 2", "USD 3")))
	want[free] = fmt.Sprintf("Kettle %s|Default option value|eur 2|usd 3|unmanaged|https://img.example/%s.jpg", free, free)
	if diff := cmp.Diff(want, shop.read(skus)); diff != "" {
		t.Fatalf("the Store API without stock (-want +got):\n%s", diff)
	}
	c.push(to, batch, []pim.Lane{pim.Offer}, c.subject(free, "Kettle "+free, costs("EUR 2", "USD 3"), stocked(8)))
	want[free] = fmt.Sprintf("Kettle %s|Default option value|eur 2|usd 3|8|https://img.example/%s.jpg", free, free)
	if diff := cmp.Diff(want, shop.read(skus)); diff != "" {
		t.Fatalf("the Store API with stock again (-want +got):\n%s", diff)
	}

	// One bad item among good ones: only it is refused.
	items := []connectors.Item{}
	for n, sku := range simple[10:20] {
		s := c.subject(sku, fmt.Sprintf("Kettle %s v2", sku), value("gtin", run+"-gtin-"+fmt.Sprint(n%9))) // the tenth has the first's
		items = append(items, c.item(pim.Content, s))
	}
	results, err := to.Push(t.Context(), items)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for _, r := range results {
		if r.Err == nil {
			continue
		}
		refused++
		e := connectors.AsError(r.Err)
		if e.Verdict != connectors.Validation || len(e.Issues) != 1 || e.Issues[0].Code != "medusa.code_taken" || e.Issues[0].Attribute != "ean" {
			t.Errorf("the bad item: %+v", e)
		}
	}
	if refused != 1 {
		t.Errorf("%d items refused, want 1", refused)
	}
}

// TestRealUpload uploads files to a running Medusa, by the setting of its file
// provider, and shows one on a product. It needs what TestReal needs; the provider
// may be the local one with an address that is not the shop's. It takes away what
// it brought.
func TestRealUpload(t *testing.T) {
	shop := &realShop{T: t, url: os.Getenv("MEDUSA_URL"), key: os.Getenv("MEDUSA_KEY"), publishable: os.Getenv("MEDUSA_PUBLISHABLE_KEY")}
	if shop.url == "" || shop.key == "" || shop.publishable == "" {
		t.Fatal("MEDUSA_URL, MEDUSA_KEY and MEDUSA_PUBLISHABLE_KEY are needed")
	}
	to := connect(t, medusa.Config{URL: shop.url, APIKey: shop.key}, 5)
	give := uploader(t, to)
	upload := func(name string, content []byte) string {
		remote, err := give.Upload(ctx(t), connectors.File{Name: name, MediaType: "image/png", Content: content})
		if err != nil {
			t.Fatalf("upload of %s, %d bytes: %v", name, len(content), err)
		}
		t.Cleanup(func() { shop.remove(remote) })
		if got := shop.file(remote); !bytes.Equal(got, content) {
			t.Fatalf("%s has %d bytes at the shop, %d were uploaded, or others", remote, len(got), len(content))
		}
		return remote
	}
	noise := rand.NewChaCha8([32]byte{})
	for _, size := range []int{0, 1, 150 << 10, 2 << 20, 64 << 20} {
		content := make([]byte, size)
		_, _ = noise.Read(content) // it never fails
		began := time.Now()
		upload(fmt.Sprintf("size-%d.png", size), content)
		t.Logf("upload of %d bytes, fetched back: %s", size, time.Since(began).Round(time.Millisecond))
	}
	began := time.Now()
	const many = 50
	var remotes []string
	for i := range many {
		content := make([]byte, 150<<10)
		_, _ = noise.Read(content)
		content[0] = byte(i)
		remotes = append(remotes, upload("front.png", content))
	}
	t.Logf("%d uploads of 150 KiB one after the other, each fetched back: %s", many, time.Since(began).Round(time.Millisecond))
	sku := fmt.Sprintf("R%x", time.Now().UnixNano()/1e6)
	t.Cleanup(func() {
		if _, err := to.Push(context.WithoutCancel(t.Context()), []connectors.Item{withdrawal(sku)}); err != nil {
			t.Error(err)
		}
	})
	fine(t, to, upsert(pim.Content, sku, `{"title":"Kettle"}`))
	fine(t, to, upsert(pim.Media, sku, `{"images":["`+remotes[0]+`"]}`))
	if got := shop.read([]string{sku})[sku]; !strings.HasSuffix(got, "|"+remotes[0]) {
		t.Errorf("the Store API shows %s, want %s", got, remotes[0])
	}
}

// file reads what the shop serves of an uploaded file, at the shop's own address.
func (s *realShop) file(remote string) []byte {
	s.Helper()
	req, err := http.NewRequestWithContext(s.Context(), http.MethodGet, s.url+"/static/"+path.Base(remote), nil)
	if err != nil {
		s.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(io.LimitReader(resp.Body, 65<<20))
	if err != nil || resp.StatusCode != http.StatusOK {
		s.Fatalf("GET %s: %d %v", req.URL, resp.StatusCode, err)
	}
	return content
}

func (s *realShop) remove(remote string) {
	s.Helper()
	req, err := http.NewRequestWithContext(context.WithoutCancel(s.Context()), http.MethodDelete, s.url+"/admin/uploads/"+path.Base(remote), nil)
	if err != nil {
		s.Fatal(err)
	}
	req.SetBasicAuth(s.key, "")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Error(err)
		return
	}
	if resp.Body.Close(); resp.StatusCode != http.StatusOK {
		s.Errorf("DELETE %s: %d", req.URL, resp.StatusCode)
	}
}

// realShop reads what a customer sees.
type realShop struct {
	*testing.T
	url, key, publishable string
}

func (s *realShop) get(path string, q url.Values, into any) {
	s.Helper()
	req, err := http.NewRequestWithContext(context.WithoutCancel(s.Context()), http.MethodGet, s.url+path+"?"+q.Encode(), nil)
	if err != nil {
		s.Fatal(err)
	}
	req.Header.Set("x-publishable-api-key", s.publishable)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil || resp.StatusCode != http.StatusOK {
		s.Fatalf("GET %s: %d %v %.300s", path, resp.StatusCode, err, body)
	}
	if err := json.Unmarshal(body, into); err != nil {
		s.Fatal(err)
	}
}

// read gives, per SKU of the products of these external ids, title, options,
// price in eur and usd, stock and pictures.
func (s *realShop) read(external []string) map[string]string {
	s.Helper()
	var regions struct {
		Regions []struct {
			ID       string `json:"id"`
			Currency string `json:"currency_code"`
		} `json:"regions"`
	}
	s.get("/store/regions", nil, &regions)
	type variant struct {
		SKU     string `json:"sku"`
		Managed bool   `json:"manage_inventory"`
		Stock   int    `json:"inventory_quantity"`
		Options []struct {
			Value  string `json:"value"`
			Option struct {
				Title string `json:"title"`
			} `json:"option"`
		} `json:"options"`
		Price struct {
			Amount json.Number `json:"calculated_amount"`
		} `json:"calculated_price"`
		Images []struct {
			URL string `json:"url"`
		} `json:"images"`
	}
	type product struct {
		Title    string    `json:"title"`
		Variants []variant `json:"variants"`
	}
	out, prices := map[string]string{}, map[string]map[string]string{}
	for _, region := range regions.Regions {
		for part := range slices.Chunk(external, 40) {
			q := url.Values{"external_id[]": part, "region_id": {region.ID}, "limit": {"100"}}
			q.Set("fields", "id,title,variants.sku,variants.manage_inventory,+variants.inventory_quantity,*variants.calculated_price,*variants.options,*variants.options.option,*variants.images")
			var answer struct {
				Products []product `json:"products"`
			}
			s.get("/store/products", q, &answer)
			for _, p := range answer.Products {
				for _, v := range p.Variants {
					if prices[v.SKU] == nil {
						prices[v.SKU] = map[string]string{}
					}
					prices[v.SKU][region.Currency] = v.Price.Amount.String()
					options := map[string]string{}
					for _, o := range v.Options {
						options[o.Option.Title] = o.Value
					}
					var values, images []string
					for _, title := range slices.Sorted(maps.Keys(options)) {
						values = append(values, options[title])
					}
					for _, i := range v.Images {
						images = append(images, i.URL)
					}
					slices.Sort(images)
					stock := fmt.Sprint(v.Stock)
					if !v.Managed {
						stock = "unmanaged"
					}
					out[v.SKU] = p.Title + "|" + strings.Join(values, ",") + "|%s|" + stock + "|" + strings.Join(images, " ")
				}
			}
		}
	}
	for sku, text := range out {
		price := func(currency string) string {
			if p := prices[sku][currency]; p != "" {
				return currency + " " + p
			}
			return currency + " -"
		}
		out[sku] = strings.Replace(text, "%s", price("eur")+"|"+price("usd"), 1)
	}
	return out
}
