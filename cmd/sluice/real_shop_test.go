//go:build real && unix

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// medusaShop is a real Medusa, read as a customer's browser and as its owner do.
type medusaShop struct {
	t                     *testing.T
	url, key, publishable string
	regions               map[string]string // currency → region
}

// needEnv gives settings that the test cannot do without, and that a page tells of.
func needEnv(t *testing.T, page string, names ...string) map[string]string {
	t.Helper()
	var missing []string
	values := map[string]string{}
	for _, name := range names {
		if values[name] = os.Getenv(name); values[name] == "" {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		t.Fatalf("%s not set: %s says what this test needs", strings.Join(missing, ", "), page)
	}
	return values
}

func openShop(t *testing.T, env map[string]string) *medusaShop {
	t.Helper()
	s := &medusaShop{t: t, url: strings.TrimRight(env["MEDUSA_URL"], "/"), key: env["MEDUSA_KEY"], publishable: env["MEDUSA_PUBLISHABLE_KEY"], regions: map[string]string{}}
	var answer struct {
		Regions []struct {
			ID       string `json:"id"`
			Currency string `json:"currency_code"`
		} `json:"regions"`
	}
	s.ask("GET", "/store/regions", nil, nil, &answer)
	for _, r := range answer.Regions {
		s.regions[r.Currency] = r.ID
	}
	if s.regions["eur"] == "" || s.regions["usd"] == "" {
		t.Fatalf("the shop needs a region for eur and for usd; it has %v", s.regions)
	}
	return s
}

func (s *medusaShop) ask(method, path string, q url.Values, body, into any) {
	s.t.Helper()
	var send io.Reader
	if body != nil {
		send = strings.NewReader(text(s.t, body))
	}
	req, err := http.NewRequest(method, s.url+path+"?"+q.Encode(), send)
	if err != nil {
		s.t.Fatal(err)
	}
	if req.Header.Set("Content-Type", "application/json"); strings.HasPrefix(path, "/store/") {
		req.Header.Set("X-Publishable-Api-Key", s.publishable)
	} else {
		req.SetBasicAuth(s.key, "")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil || resp.StatusCode != http.StatusOK {
		s.t.Fatalf("%s %s: %d %v %.300s", method, path, resp.StatusCode, err, said)
	}
	if err := json.Unmarshal(said, into); err != nil {
		s.t.Fatal(err)
	}
}

// pagesOf reads every page of the products that q asks for.
func pagesOf[T any](s *medusaShop, path string, q url.Values) (products []T) {
	s.t.Helper()
	for {
		var answer struct {
			Products []T `json:"products"`
			Count    int `json:"count"`
		}
		q.Set("limit", "50")
		q.Set("order", "id")
		q.Set("offset", fmt.Sprint(len(products)))
		s.ask("GET", path, q, nil, &answer)
		if products = append(products, answer.Products...); len(answer.Products) == 0 || len(products) >= answer.Count {
			return products
		}
	}
}

type storeProduct struct {
	External    string `json:"external_id"`
	Title       string `json:"title"`
	Description string `json:"description"`
	Handle      string `json:"handle"`
	Categories  []struct {
		Handle string `json:"handle"`
	} `json:"categories"`
	Variants []struct {
		SKU     string `json:"sku"`
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
	} `json:"variants"`
}

// shows reads the whole shop by the Store API, in both regions.
func (s *medusaShop) shows() map[string]forSale {
	s.t.Helper()
	out := map[string]forSale{}
	for currency, region := range s.regions {
		q := url.Values{"region_id": {region}, "fields": {"id,title,description,handle,external_id,*categories,variants.sku,+variants.inventory_quantity," +
			"*variants.calculated_price,*variants.options,*variants.options.option,*variants.images"}}
		for _, p := range pagesOf[storeProduct](s, "/store/products", q) {
			var categories []string
			for _, c := range p.Categories {
				categories = append(categories, c.Handle)
			}
			slices.Sort(categories)
			for _, v := range p.Variants {
				options := map[string]string{}
				for _, o := range v.Options {
					options[o.Option.Title] = o.Value
				}
				var pictures []string
				for _, i := range v.Images {
					pictures = append(pictures, i.URL)
				}
				slices.Sort(pictures)
				sold := out[v.SKU]
				if currency == "eur" {
					sold.EUR = v.Price.Amount.String()
				} else {
					sold.USD = v.Price.Amount.String()
				}
				sold.Product, sold.Title, sold.Text, sold.Handle, sold.Stock = p.External, p.Title, p.Description, p.Handle, v.Stock
				sold.Categories, sold.Options, sold.Pictures = strings.Join(categories, " "), inOrder(options), strings.Join(pictures, " ")
				out[v.SKU] = sold
			}
		}
	}
	return out
}

// priceOf reads what one SKU of a product costs, by the Store API.
func (s *medusaShop) priceOf(product, sku, currency string) string {
	s.t.Helper()
	q := url.Values{"external_id": {product}, "region_id": {s.regions[currency]}, "fields": {"id,variants.sku,*variants.calculated_price"}}
	for _, p := range pagesOf[storeProduct](s, "/store/products", q) {
		for _, v := range p.Variants {
			if v.SKU == sku {
				return v.Price.Amount.String()
			}
		}
	}
	return ""
}

// content is all that the shop holds of its products, by the Admin API, without
// ids and times: one line of JSON for each product.
func (s *medusaShop) content() (products []string) {
	s.t.Helper()
	q := url.Values{"fields": {"*options,*options.values,*images,*categories,*sales_channels,*variants,*variants.prices,*variants.options,*variants.images," +
		"*variants.inventory_items,*variants.inventory_items.inventory,*variants.inventory_items.inventory.location_levels"}}
	for _, p := range pagesOf[map[string]any](s, "/admin/products", q) {
		line, err := json.Marshal(nameless(p))
		if err != nil {
			s.t.Fatal(err)
		}
		products = append(products, string(line))
	}
	slices.Sort(products)
	return products
}

// nameless takes out what differs in two shops that were filled the same way,
// and puts lists in an order of their own.
func nameless(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key := range maps.Clone(v) {
			if key == "id" || strings.HasSuffix(key, "_id") && key != "external_id" || strings.HasSuffix(key, "_at") {
				delete(v, key)
				continue
			}
			v[key] = nameless(v[key])
		}
	case []any:
		for i := range v {
			v[i] = nameless(v[i])
		}
		slices.SortFunc(v, func(a, b any) int {
			x, _ := json.Marshal(a) // came from JSON
			y, _ := json.Marshal(b)
			return bytes.Compare(x, y)
		})
	}
	return v
}

// clear removes the sample from the shop. A shop with other products is not
// for this test, which looks at all that is there.
func (s *medusaShop) clear(products []string) {
	s.t.Helper()
	type held struct {
		ID       string `json:"id"`
		External string `json:"external_id"`
		Title    string `json:"title"`
	}
	var ids []string
	for _, p := range pagesOf[held](s, "/admin/products", url.Values{"fields": {"id,external_id,title"}}) {
		if !slices.Contains(products, p.External) {
			s.t.Fatalf("the shop has products of its own, as %q: this test needs an empty one", p.Title)
		}
		ids = append(ids, p.ID)
	}
	if len(ids) > 0 {
		s.ask("POST", "/admin/products/batch", nil, map[string]any{"delete": ids}, &struct{}{})
	}
}

// gone waits until the shop refuses calls: a server that was told to stop
// answers what it has begun.
func (s *medusaShop) gone(t *testing.T) {
	t.Helper()
	for began := time.Now(); time.Since(began) < patience; <-time.After(10 * time.Millisecond) {
		resp, err := http.Get(s.url + "/health")
		if err != nil {
			return
		}
		resp.Body.Close()
	}
	t.Fatal("the command that stops Medusa does not stop it")
}

// command runs a line that starts or stops a real system.
func command(line string) (took time.Duration, err error) {
	began := time.Now()
	if out, err := exec.Command("bash", "-c", line).CombinedOutput(); err != nil {
		return 0, fmt.Errorf("%s: %w: %s", line, err, out)
	}
	return time.Since(began).Round(10 * time.Millisecond), nil
}
