// Package medusatest is a Medusa shop for tests and demos: the part of the admin
// REST API that the connector uses, with the rules and the error bodies that a
// real Medusa 2.21.2 showed. It is stateful, safe for concurrent use, and can be
// told to misbehave. It holds no code and no data of Medusa's.
package medusatest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluicehub/sluice/pim"
)

// Options are a shop's settings. The zero value is usable.
type Options struct {
	Key        string   // secret API key; "" makes one
	Echo       string   // put behind every refusal's message, as a rude plug-in may do
	Currencies []string // of the store; none is eur and usd
	Locations  int      // stock locations; 0 is one, below 0 none
	MaxUpload  int      // bytes of an upload's body that the proxy before Medusa lets through; 0 is 65 MiB
	Files      string   // what the file provider puts before a file's name to make its URL; "" is the shop's own address
	// Now is the clock that names uploaded files; nil is the machine's.
	Now func() time.Time
}

// The ids of what a fresh shop has.
const (
	SalesChannel    = "sc_FAKE0001"
	ShippingProfile = "sp_FAKE0001"
	Location        = "sloc_FAKE0001" // the first; the others count up
)

// Fake is the shop. It is an http.Handler.
type Fake struct {
	opts Options

	mu      sync.Mutex
	state   *state
	script  []Fault
	reject  map[string]string // SKU → message
	count   Counts
	uploads map[string]int
	bad     []string
	changed chan struct{}
	free    chan struct{} // closed to release what hangs
	closed  chan struct{}
}

// Counts are totals since the start.
type Counts struct {
	Calls   int // requests that arrived
	Writes  int // of these, the ones that may change something
	Hanging int // requests that hang at this moment
}

// New makes a shop.
func New(opts Options) *Fake {
	if opts.Key == "" {
		opts.Key = "sk_" + strings.Repeat("f4ke", 16)
	}
	if len(opts.Currencies) == 0 {
		opts.Currencies = []string{"eur", "usd"}
	}
	if opts.Locations == 0 {
		opts.Locations = 1
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Fake{
		opts: opts, state: newState(), reject: map[string]string{}, uploads: map[string]int{},
		changed: make(chan struct{}), free: make(chan struct{}), closed: make(chan struct{}),
	}
}

// Key is the secret API key.
func (f *Fake) Key() string { return f.opts.Key }

// bump wakes Wait. Callers hold mu.
func (f *Fake) bump() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// violate notes a breach of the API's contract. Callers hold mu.
func (f *Fake) violate(format string, args ...any) {
	if len(f.bad) < 1000 {
		f.bad = append(f.bad, fmt.Sprintf(format, args...))
	}
}

// Violations are the requests that no right client sends: to unknown paths, of a
// wrong shape, too large. The first 1,000.
func (f *Fake) Violations() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.bad)
}

// Forgive forgets the violations so far, and says what they were.
func (f *Fake) Forgive() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	bad := f.bad
	f.bad = nil
	return bad
}

// Counts are the totals.
func (f *Fake) Counts() Counts {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count
}

// Wait returns when cond holds of the totals, or with an error when ctx is done
// first. Cond must not call the Fake.
func (f *Fake) Wait(ctx context.Context, cond func(Counts) bool) error {
	for {
		f.mu.Lock()
		fine, changed, count := cond(f.count), f.changed, f.count
		f.mu.Unlock()
		if fine {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the fake shop, which stands at %+v: %w", count, ctx.Err())
		}
	}
}

// Product is what a shop holds of a product.
type Product struct {
	ID, ExternalID, Title, Subtitle, Description, Handle, Status, Thumbnail string

	Options    map[string][]string // title → values
	Categories []string            // handles
	Images     []string            // URLs
	Channels   []string            // ids of sales channels
	Variants   []Variant           // by SKU
	Fields     map[string]any      // weight, metadata and so on, where set
}

// Variant is what a shop holds of a variant.
type Variant struct {
	ID, SKU, Title, EAN, UPC, Barcode, Thumbnail string

	Options    map[string]string
	Prices     []string // "eur 12.5", "eur 9.99 from 10"; sorted
	Managed    bool
	Backorders bool               // it is sold beyond its stock
	Stock      map[string]float64 // location → stocked; nil where no inventory item is tied
	Images     []string           // URLs tied to it
}

// Product finds a product by its external_id.
func (f *Fake) Product(sku pim.SKU) (Product, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.state.ordered() {
		if p.externalID == string(sku) {
			return f.state.view(p), true
		}
	}
	return Product{}, false
}

// Variant finds a variant by its SKU.
func (f *Fake) Variant(sku pim.SKU) (Variant, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := f.state.bySKU(string(sku))
	if v == nil {
		return Variant{}, false
	}
	return f.state.viewVariant(v), true
}

// Len is how many SKUs the shop sells or shows: products and variants, a default
// variant and its product being one.
func (f *Fake) Len() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	skus := map[string]bool{}
	for _, p := range f.state.products {
		skus[cmp.Or(p.externalID, p.id)] = true
	}
	for _, v := range f.state.variants {
		skus[cmp.Or(v.sku, v.id)] = true
	}
	return len(skus)
}

// Held is what the shop holds of a SKU in a lane, as JSON without ids; "" is
// nothing.
func (f *Fake) Held(sku pim.SKU, lane pim.Lane) string {
	product, top := f.Product(sku)
	variant, sold := f.Variant(sku)
	var held any
	switch {
	case !top && !sold:
		return ""
	case lane == pim.Offer:
		if !sold {
			return ""
		}
		held = []any{variant.Prices, variant.Managed, variant.Stock}
	case lane == pim.Media && top:
		held = []any{product.Images, product.Thumbnail}
	case lane == pim.Media:
		held = []any{variant.Images, variant.Thumbnail}
	case top:
		held = []any{
			product.Title, product.Subtitle, product.Description, product.Status, product.Categories,
			product.Fields, variant.EAN, variant.UPC, variant.Barcode,
		}
	default:
		held = []any{variant.Title, variant.Options, variant.EAN, variant.UPC, variant.Barcode}
	}
	b, err := json.Marshal(held)
	if err != nil {
		return err.Error() // what came in as JSON goes out as JSON
	}
	return string(b)
}

// Reject makes the shop refuse every creation and update of a SKU with this
// message, as a plug-in's own validation does; "" is one of Medusa's.
func (f *Fake) Reject(sku pim.SKU, message string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reject[string(sku)] = cmp.Or(message, "Product title is required")
}

// Accept ends Reject for all SKUs.
func (f *Fake) Accept() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.reject)
}

// Merchant lets a person at the shop's admin make a product of one variant, which
// Sluice does not know of. It gives the product's id,
// "" where title or SKU are taken.
func (f *Fake) Merchant(title, sku string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := &tx{state: f.state}
	p, err := t.createProduct(map[string]any{
		"title": title, "status": "published",
		"options":  []any{map[string]any{"title": "Default option", "values": []any{"Default option value"}}},
		"variants": []any{map[string]any{"title": "Default variant", "sku": sku, "prices": []any{}, "manage_inventory": false, "options": map[string]any{"Default option": "Default option value"}}},
	})
	if err != nil {
		t.rollback()
		return ""
	}
	return p.id
}

// Forget lets a person at the shop's admin delete whatever a SKU names.
func (f *Fake) Forget(sku pim.SKU) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := &tx{state: f.state}
	for _, p := range f.state.ordered() {
		if p.externalID == string(sku) {
			t.deleteProduct(p.id)
		}
	}
	if v := f.state.bySKU(string(sku)); v != nil {
		t.deleteVariant(v.id)
	}
}

var _ http.Handler = (*Fake)(nil)
