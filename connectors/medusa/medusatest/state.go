package medusatest

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// state is what a shop holds.
type state struct {
	seq        int
	products   map[string]*product
	variants   map[string]*variant
	options    map[string]*option
	items      map[string]*item
	categories map[string]*category
	unique     map[string]string   // "sku A-1" → id; see tx.claim
	external   map[string][]string // external_id → ids, oldest first
	files      map[string]file     // by key
}

type product struct {
	id, externalID, title, subtitle, description, handle, status, thumbnail string

	options, categories, channels []string // ids
	images                        []image
	fields                        map[string]any
}

type variant struct {
	id, product, sku, title, ean, upc, barcode, thumbnail string

	options []string // ids of option values
	prices  []price
	managed bool
	items   []string // ids of inventory items
	fields  map[string]any
}

type price struct {
	id, currency, amount, from string // from is min_quantity, "" where there is none
}

type option struct {
	id, title string
	exclusive bool
	values    []*value
}

type value struct{ id, text string }

type image struct {
	id, url  string
	variants []string // ids
}

type item struct {
	id, sku string
	levels  map[string]float64 // location → stocked
}

type category struct{ id, handle, name string }

func newState() *state {
	return &state{
		products: map[string]*product{}, variants: map[string]*variant{}, options: map[string]*option{}, items: map[string]*item{},
		categories: map[string]*category{}, unique: map[string]string{}, external: map[string][]string{},
		files: map[string]file{},
	}
}

// id makes an id that sorts by age, as Medusa's do.
func (s *state) id(prefix string) string {
	s.seq++
	return fmt.Sprintf("%s_FAKE%012d", prefix, s.seq)
}

// ordered are the products, oldest first.
func (s *state) ordered() []*product {
	var all []*product
	for _, id := range slices.Sorted(maps.Keys(s.products)) {
		all = append(all, s.products[id])
	}
	return all
}

func (s *state) bySKU(sku string) *variant {
	return s.variants[s.unique[ofSKU+sku]]
}

// of are a product's variants, oldest first.
func (s *state) of(product string) []*variant {
	var all []*variant
	for _, v := range s.variants {
		if v.product == product {
			all = append(all, v)
		}
	}
	slices.SortFunc(all, func(a, b *variant) int { return strings.Compare(a.id, b.id) })
	return all
}

func (s *state) view(p *product) Product {
	v := Product{
		ID: p.id, ExternalID: p.externalID, Title: p.title, Subtitle: p.subtitle, Description: p.description, Handle: p.handle,
		Status: p.status, Thumbnail: p.thumbnail, Channels: p.channels, Options: map[string][]string{}, Fields: p.fields,
	}
	for _, id := range p.options {
		for _, val := range s.options[id].values {
			v.Options[s.options[id].title] = append(v.Options[s.options[id].title], val.text)
		}
	}
	for _, id := range p.categories {
		v.Categories = append(v.Categories, s.categories[id].handle)
	}
	slices.Sort(v.Categories)
	for _, i := range p.images {
		v.Images = append(v.Images, i.url)
	}
	for _, it := range s.of(p.id) {
		v.Variants = append(v.Variants, s.viewVariant(it))
	}
	slices.SortFunc(v.Variants, func(a, b Variant) int { return strings.Compare(a.SKU, b.SKU) })
	return v
}

func (s *state) viewVariant(v *variant) Variant {
	out := Variant{
		ID: v.id, SKU: v.sku, Title: v.title, EAN: v.ean, UPC: v.upc, Barcode: v.barcode, Thumbnail: v.thumbnail,
		Options: map[string]string{}, Managed: v.managed,
	}
	out.Backorders, _ = v.fields["allow_backorder"].(bool)
	if p := s.products[v.product]; p != nil {
		for _, id := range p.options {
			for _, val := range s.options[id].values {
				if slices.Contains(v.options, val.id) {
					out.Options[s.options[id].title] = val.text
				}
			}
		}
		for _, i := range p.images {
			if slices.Contains(i.variants, v.id) {
				out.Images = append(out.Images, i.url)
			}
		}
	}
	for _, p := range v.prices {
		text := p.currency + " " + p.amount
		if p.from != "" {
			text += " from " + p.from
		}
		out.Prices = append(out.Prices, text)
	}
	slices.Sort(out.Prices)
	for _, id := range v.items {
		out.Stock = maps.Clone(s.items[id].levels)
	}
	return out
}

// tx is one request's changes: all of them, or undone.
type tx struct {
	*state
	undo []func()
}

// rollback undoes what the tx did.
func (t *tx) rollback() {
	for _, u := range slices.Backward(t.undo) {
		u()
	}
}

// put stores an entry of a map; delete ends it.
func put[V any](t *tx, m map[string]V, key string, v V) {
	old, had := m[key]
	t.undo = append(t.undo, func() {
		if had {
			m[key] = old
		} else {
			delete(m, key)
		}
	})
	m[key] = v
}

func drop[V any](t *tx, m map[string]V, key string) {
	if old, had := m[key]; had {
		t.undo = append(t.undo, func() { m[key] = old })
		delete(m, key)
	}
}

// keep remembers a thing as it is, before it is changed. Its slices and maps are
// replaced, never changed in place.
func keep[V any](t *tx, v *V) *V {
	old := *v
	t.undo = append(t.undo, func() { *v = old })
	return v
}

// claim takes a value that may be there only once. What it is called is how
// Medusa complains: "Product with handle: ".
func (t *tx) claim(what, value, id string) error {
	if value == "" {
		return nil
	}
	if owner, taken := t.unique[what+value]; taken && owner != id {
		return invalid("%s%s, already exists.", what, value)
	}
	put(t, t.unique, what+value, id)
	return nil
}

// rename gives a unique value back and takes another.
func (t *tx) rename(what string, field *string, to, id string) error {
	if *field == to {
		return nil
	}
	if err := t.claim(what, to, id); err != nil {
		return err
	}
	drop(t, t.unique, what+*field)
	*field = to
	return nil
}

const (
	ofHandle   = "Product with handle: "
	ofSKU      = "Product variant with sku: "
	ofEAN      = "Product variant with ean: "
	ofUPC      = "Product variant with upc: "
	ofBarcode  = "Product variant with barcode: "
	ofItem     = "Inventory item with sku: "
	ofCategory = "Product category with handle: "
	ofOption   = "Product option with title: "
)

var handles = regexp.MustCompile(`^[a-z0-9]+(?:-[a-z0-9]+)*$`)

// handleOf is the handle of a product that is created without one.
func handleOf(title string) string {
	return strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(title), "-"), "-")
}

func (t *tx) deleteProduct(id string) {
	p := t.products[id]
	if p == nil {
		return // Medusa does not mind
	}
	for _, v := range t.of(id) {
		t.deleteVariant(v.id)
	}
	for _, o := range p.options {
		t.release(o)
	}
	drop(t, t.unique, ofHandle+p.handle)
	t.setExternal(p, "")
	drop(t, t.products, id)
}

// release deletes an option that was a product's own.
func (t *tx) release(id string) {
	if o := t.options[id]; o != nil && o.exclusive {
		drop(t, t.options, id)
	}
}

func (t *tx) deleteVariant(id string) {
	v := t.variants[id]
	if v == nil {
		return // Medusa does not mind
	}
	for _, i := range v.items {
		// The item of a variant whose stock is not managed stays, and its SKU with it.
		if it := t.items[i]; v.managed && it != nil {
			drop(t, t.unique, ofItem+it.sku)
			drop(t, t.items, i)
		}
	}
	for what, code := range map[string]string{ofSKU: v.sku, ofEAN: v.ean, ofUPC: v.upc, ofBarcode: v.barcode} {
		drop(t, t.unique, what+code)
	}
	if p := t.products[v.product]; p != nil {
		keep(t, p)
		p.images = slices.Clone(p.images)
		for i := range p.images {
			p.images[i].variants = slices.DeleteFunc(slices.Clone(p.images[i].variants), func(o string) bool { return o == id })
		}
	}
	drop(t, t.variants, id)
}

// setExternal changes an external_id; many products may have the same.
func (t *tx) setExternal(p *product, to string) {
	if p.externalID == to {
		return
	}
	if ids := t.external[p.externalID]; p.externalID != "" {
		put(t, t.external, p.externalID, slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return id == p.id }))
	}
	keep(t, p).externalID = to
	if to != "" {
		put(t, t.external, to, append(slices.Clone(t.external[to]), p.id))
	}
}

// valuesFor resolves a variant's options as Medusa does.
func (t *tx) valuesFor(p *product, title string, options map[string]any) ([]string, error) {
	if len(options) == 0 {
		return nil, nil
	}
	have := 0
	if p != nil {
		have = len(p.options)
	}
	if have != len(options) {
		return nil, invalid("Product has %d option values but there were %d provided option values for the variant: %s.", have, len(options), title)
	}
	var ids []string
	for _, name := range slices.Sorted(maps.Keys(options)) {
		text, found := fmt.Sprint(options[name]), ""
		for _, id := range p.options {
			for _, val := range t.options[id].values {
				if t.options[id].title == name && val.text == text {
					found = val.id
				}
			}
		}
		if found == "" {
			return nil, invalid("Option value %s does not exist for option %s", text, name)
		}
		ids = append(ids, found)
	}
	return ids, nil
}

// taken says which of a product's variants has the same options.
func taken(others []*variant, ids []string, except string) *variant {
	for _, o := range others {
		if o.id == except || len(ids) == 0 {
			continue
		}
		same := true
		for _, id := range ids {
			same = same && slices.Contains(o.options, id)
		}
		if same {
			return o
		}
	}
	return nil
}
