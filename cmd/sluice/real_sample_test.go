//go:build real && unix

package main

import (
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// thing is a SKU of Vendure's sample as its file means it. A thing with
// variants is not sold itself.
type thing struct {
	parent      string // SKU of the product that it is a variant of
	variants    int
	title, text string // of products, not of variants
	handle      string
	categories  []string
	picture     string // file name
	options     map[string]string
	prices      map[string]string // by currency
	stock       int
	disabled    bool
}

// sample are the things by SKU.
type sample map[string]*thing

// readSample reads the file by itself, apart from the import that it is to
// prove: https://docs.vendure.io/guides/developer-guide/importing-data/ tells
// its rules. Where a SKU comes twice, the first counts.
func readSample(t *testing.T, file string) sample {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	rows := records(string(text))
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	s := sample{}
	var product string
	var axes []string
	for _, row := range rows[1:] {
		if len(row) != len(column) {
			t.Fatalf("%s: %q has %d cells, want %d", file, row, len(row), len(column))
		}
		cell := func(name string) string { return row[column[name]] }
		sku := cell("sku")
		values := parts(cell("optionValues"))
		if name := cell("name"); name != "" {
			p := &thing{title: name, text: cell("description"), handle: cell("slug"), picture: cell("assets")}
			for _, facet := range parts(cell("facets")) {
				if group, value, _ := strings.Cut(facet, ":"); group == "category" {
					p.categories = append(p.categories, handle(value))
				}
			}
			slices.Sort(p.categories)
			if product, axes = cell("slug"), parts(cell("optionGroups")); len(values) == 0 {
				product = sku
			}
			s[product] = p
		}
		sold := s[product]
		if len(values) > 0 {
			if _, twice := s[sku]; twice {
				continue
			}
			sold.variants++
			sold = &thing{parent: product, options: map[string]string{}}
			for i, axis := range axes {
				sold.options[strings.ReplaceAll(handle(axis), "-", "_")] = values[i]
			}
			s[sku] = sold
		}
		eur, err := strconv.ParseFloat(cell("price"), 64)
		if err != nil {
			t.Fatal(err)
		}
		if sold.stock, err = strconv.Atoi(cell("stockOnHand")); err != nil {
			t.Fatal(err)
		}
		sold.prices = map[string]string{"EUR": cell("price"), "USD": fmt.Sprintf("%.2f", eur*1.1)}
	}
	return s
}

// records takes CSV apart in which quoted cells have spaces behind them.
func records(text string) (rows [][]string) {
	var row []string
	var cell strings.Builder
	quoted := false
	for _, r := range strings.ReplaceAll(text, `""`, "\x00") {
		switch {
		case r == '"':
			quoted = !quoted
		case r == 0:
			cell.WriteByte('"')
		case !quoted && (r == ',' || r == '\n'):
			row = append(row, strings.TrimSpace(cell.String()))
			cell.Reset()
			if r == '\n' {
				rows, row = append(rows, row), nil
			}
		default:
			cell.WriteRune(r)
		}
	}
	return rows
}

func parts(cell string) (values []string) {
	if cell != "" {
		values = strings.Split(cell, "|")
	}
	return values
}

// handle is a plain English text in an address.
func handle(s string) string {
	words := strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	return strings.Join(words, "-")
}

func (s sample) clone() sample {
	c := sample{}
	for sku, th := range s {
		copied := *th
		copied.options, copied.prices, copied.categories = maps.Clone(th.options), maps.Clone(th.prices), slices.Clone(th.categories)
		c[sku] = &copied
	}
	return c
}

// products are the SKUs without parent, and all others.
func (s sample) products() (products, variants []string) {
	for sku, th := range s {
		if th.parent == "" {
			products = append(products, sku)
		} else {
			variants = append(variants, sku)
		}
	}
	slices.Sort(products)
	slices.Sort(variants)
	return products, variants
}

// forSale is what a shop shows of a SKU that can be bought.
type forSale struct {
	Product, Title, Text, Handle, Categories, Options, EUR, USD, Pictures string
	Stock                                                                 int
}

// projection is what the shop shall show, by SKU.
func (s sample) projection(pictures string) map[string]forSale {
	out := map[string]forSale{}
	for sku, th := range s {
		p, of := th, sku
		if th.parent != "" {
			p, of = s[th.parent], th.parent
		}
		if th.variants > 0 || th.disabled || p.disabled {
			continue
		}
		options := "Default option=Default option value"
		if th.parent != "" {
			options = inOrder(th.options)
		}
		out[sku] = forSale{
			Product: of, Title: p.title, Text: p.text, Handle: p.handle, Categories: strings.Join(p.categories, " "), Options: options,
			EUR: plain(th.prices["EUR"]), USD: plain(th.prices["USD"]), Stock: th.stock, Pictures: pictures + p.picture,
		}
	}
	return out
}

func inOrder(options map[string]string) string {
	var values []string
	for _, axis := range slices.Sorted(maps.Keys(options)) {
		values = append(values, axis+"="+options[axis])
	}
	return strings.Join(values, " ")
}

// plain is an amount without needless digits.
func plain(amount string) string {
	f, err := strconv.ParseFloat(amount, 64)
	if err != nil {
		return amount
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

// request is a call of the API.
type request struct{ method, path, body string }

// edit changes n things, as many people would, and gives the calls that do the
// same to the hub. The same seed gives the same edits.
func (s sample) edit(n int, next func(int) int) (calls []request) {
	products, variants := s.products()
	pictures, categories := map[string]bool{}, map[string]bool{}
	var sold, free []string // free: what may leave the shop without changing what others look like
	for sku, th := range s {
		if th.variants == 0 {
			sold = append(sold, sku)
		}
		if th.parent == "" && th.variants == 0 || th.parent != "" && s[th.parent].variants > 1 && sku != lastOf(variants, s, th.parent) {
			free = append(free, sku)
		}
		if th.parent == "" {
			pictures[th.picture] = true
			categories[th.categories[0]] = true
		}
	}
	slices.Sort(sold)
	slices.Sort(free)
	pick := func(of []string) string { return of[next(len(of))] }
	patch := func(sku, body string, args ...any) {
		calls = append(calls, request{"PATCH", "/v1/products/" + url.PathEscape(sku), fmt.Sprintf(body, args...)})
	}
	for i := range n {
		switch i % 16 {
		case 0, 8:
			sku := pick(products)
			s[sku].title = fmt.Sprintf("%s, edit %d", strings.Split(s[sku].title, ",")[0], i)
			patch(sku, `{"values":{"name":%q}}`, s[sku].title)
		case 1, 4, 9, 12, 14:
			sku, currency := pick(sold), []string{"EUR", "USD"}[next(2)]
			s[sku].prices[currency] = fmt.Sprintf("%d.%02d", 1+next(900), next(100))
			calls = append(calls, s.price(sku, currency))
		case 2, 5, 10, 13:
			sku := pick(sold)
			s[sku].stock = next(200)
			calls = append(calls, s.level(sku))
		case 3, 11:
			sku := pick(products)
			s[sku].picture = pick(slices.Sorted(maps.Keys(pictures)))
			patch(sku, `{"values":{"images":%q}}`, picturesAt+s[sku].picture)
		case 6:
			sku := pick(free)
			s[sku].disabled = !s[sku].disabled
			patch(sku, `{"enabled":%t}`, !s[sku].disabled)
		case 7, 15:
			sku := pick(products)
			s[sku].text = fmt.Sprintf("Text %d", i)
			patch(sku, `{"values":{"description":%q}}`, s[sku].text)
		}
	}
	return calls
}

// picturesAt stands in calls for the pictures' address.
const picturesAt = "{pictures}"

func lastOf(variants []string, s sample, parent string) (last string) {
	for _, sku := range variants {
		if s[sku].parent == parent {
			last = sku
		}
	}
	return last
}

func (s sample) price(sku, currency string) request {
	return request{"POST", "/v1/prices:batch", fmt.Sprintf(`[{"sku":%q,"currency":%q,"amount":%q}]`, sku, currency, s[sku].prices[currency])}
}

func (s sample) level(sku string) request {
	return request{"POST", "/v1/stock:batch", fmt.Sprintf(`[{"sku":%q,"on_hand":%d}]`, sku, s[sku].stock)}
}

// restore are the calls that make everything as it is here.
func (s sample) restore() (calls []request) {
	for _, sku := range slices.Sorted(maps.Keys(s)) {
		th := s[sku]
		body := fmt.Sprintf(`{"enabled":%t}`, !th.disabled)
		if th.parent == "" {
			body = fmt.Sprintf(`{"enabled":%t,"values":{"name":%q,"description":%q,"images":%q}}`, !th.disabled, th.title, th.text, picturesAt+th.picture)
		}
		calls = append(calls, request{"PATCH", "/v1/products/" + url.PathEscape(sku), body})
		if th.variants == 0 {
			calls = append(calls, s.price(sku, "EUR"), s.price(sku, "USD"), s.level(sku))
		}
	}
	return calls
}

// sharedData is a file of the folder of data and specifications that come from elsewhere.
func sharedData(t *testing.T, path ...string) string {
	t.Helper()
	dir := os.Getenv("SLUICE_SHARED")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared")
	}
	file, err := filepath.Abs(filepath.Join(append([]string{dir, "data"}, path...)...))
	if err == nil {
		_, err = os.Stat(file)
	}
	if err != nil {
		t.Fatalf("the samples are needed, in SLUICE_SHARED: %v", err)
	}
	return file
}
