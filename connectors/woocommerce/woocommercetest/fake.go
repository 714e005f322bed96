// Package woocommercetest is a WooCommerce shop for tests and demos: the REST
// API v3 as far as the connector uses it, with the shop's rules in our own code.
// It holds keys and signatures, uniqueness of SKUs, batches that are taken row by
// row, what WordPress does to texts, categories, attributes and pictures, and
// notes as violations what a real shop would take silently and wrongly.
package woocommercetest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluicehub/sluice/connectors/fakeworks"
	"github.com/sluicehub/sluice/pim"
)

// Options are a shop's settings. The zero value is usable.
type Options struct {
	Key, Secret string // "" is a new pair
	ReadOnly    bool   // the key may only read
	Batch       int    // rows in one batch; 0 is 100
	Ledger      string // file that a Server keeps the shop in over a restart; "" keeps nothing
	// Echo is repeated in the text of every refusal, as a rude server does.
	Echo func(r *http.Request, body []byte) string
	// Wrap, when set, stands before the fake in a Server.
	Wrap func(http.Handler) http.Handler
}

// API is where the shop serves its API.
const API = "/wp-json/wc/v3/"

const maxBody = 64 << 20

// Fake is one shop. It is an http.Handler and safe for concurrent use.
type Fake struct {
	opts  Options
	admin http.Handler
	log   fakeworks.Log

	mu         sync.Mutex
	lastID     int64
	products   map[int64]*Product
	bySKU      map[string]int64 // lower case, as the database compares
	byGTIN     map[string]int64
	categories map[int64]*Category
	library    map[int64]*Image
	taxClasses map[string]bool
	ledger     *fakeworks.Ledger

	script   []Fault
	released chan struct{}
	reject   map[string]bool
	broken   map[string]bool
	nonces   [2]map[string]bool
	turned   time.Time
	count    Counts
	bad      []string
	changed  chan struct{}
}

// Counts are totals since the start.
type Counts struct {
	Calls      int // requests, whatever became of them
	Reads      int // GETs that were answered
	Batches    int // batches that were applied
	Rows       int // rows in them
	Loaded     int // pictures that the shop loaded
	Hanging    int // calls that hang now
	Products   int // products and variations held now
	Categories int
}

// New makes a shop.
func New(opts Options) *Fake {
	if opts.Key == "" {
		opts.Key, opts.Secret = NewKey()
	}
	if opts.Batch == 0 {
		opts.Batch = 100
	}
	f := &Fake{
		opts: opts, lastID: 100, products: map[int64]*Product{}, bySKU: map[string]int64{}, byGTIN: map[string]int64{},
		categories: map[int64]*Category{15: {ID: 15, Name: "Uncategorized", Slug: "uncategorized"}}, library: map[int64]*Image{},
		taxClasses: map[string]bool{"": true, "reduced-rate": true, "zero-rate": true},
		released:   make(chan struct{}), reject: map[string]bool{}, broken: map[string]bool{}, changed: make(chan struct{}),
		nonces: [2]map[string]bool{{}, {}}, turned: time.Now(),
	}
	f.admin = f.adminHandler()
	return f
}

// NewKey makes a key and its secret as WooCommerce's page does.
func NewKey() (key, secret string) {
	return "ck_" + strings.ToLower(rand.Text() + rand.Text())[:40], "cs_" + strings.ToLower(rand.Text() + rand.Text())[:40]
}

// Key and Secret are what a channel's config needs.
func (f *Fake) Key() string { return f.opts.Key }

// Secret belongs to Key.
func (f *Fake) Secret() string { return f.opts.Secret }

// SetReadOnly changes what the key may do.
func (f *Fake) SetReadOnly(readOnly bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opts.ReadOnly = readOnly
}

// Reject makes every row with this SKU fail, as a validating plugin does; Accept ends it.
func (f *Fake) Reject(sku pim.SKU) { f.mark(f.reject, string(sku), true) }

// Accept ends Reject.
func (f *Fake) Accept(sku pim.SKU) { f.mark(f.reject, string(sku), false) }

// BreakImage makes loading a picture from an address fail.
func (f *Fake) BreakImage(src string) { f.mark(f.broken, src, true) }

// Unload is somebody's deleting the picture from an address out of the library:
// nothing shows it any more.
func (f *Fake) Unload(src string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, img := range f.library {
		if img.Origin == src {
			delete(f.library, id)
			f.ledger.Put(tableLibrary, keyOf(id), nil)
		}
	}
	for id, p := range f.products {
		next := p.clone()
		next.Images = slices.DeleteFunc(slices.Clone(p.Images), func(img Image) bool { return img.Origin == src })
		f.products[id] = next
		f.touch(id)
	}
}

func (f *Fake) mark(m map[string]bool, key string, on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m[key] = on
}

// Held is what the shop holds of a SKU.
func (f *Fake) Held(sku pim.SKU) (Product, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.find(string(sku))
	if p == nil || p.SKU != string(sku) {
		return Product{}, false
	}
	return *p.clone(), true
}

// HeldLane is what the shop holds of a SKU in a lane, as JSON without ids and
// times; "" is nothing.
func (f *Fake) HeldLane(sku pim.SKU, lane pim.Lane) string {
	p, ok := f.Held(sku)
	if !ok {
		return ""
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var held any
	switch lane {
	case pim.Offer:
		if !p.offered {
			return ""
		}
		held = map[string]any{
			"regular_price": p.RegularPrice, "sale_price": p.SalePrice, "from": p.SaleFromGMT, "to": p.SaleToGMT,
			"manage_stock": p.ManageStock, "stock": p.StockQuantity, "status": p.StockStatus, "backorders": p.Backorders,
		}
	case pim.Media:
		if !p.shown {
			return ""
		}
		origins := []string{}
		for _, img := range p.Images {
			origins = append(origins, img.Origin+" "+img.Alt)
		}
		held = origins
	default:
		options := map[string]any{}
		for _, a := range p.Attributes {
			options[a.Name] = []any{a.Variation, a.Options}
		}
		for _, c := range p.choices {
			options[c.Name] = c.Option
		}
		var categories []string
		for _, c := range p.Categories {
			categories = append(categories, f.pathOf(c.ID))
		}
		slices.Sort(categories)
		parent := ""
		if p.ParentID > 0 && f.products[p.ParentID] != nil {
			parent = f.products[p.ParentID].SKU
		}
		held = map[string]any{
			"name": p.Name, "type": p.Type, "status": p.Status, "description": p.Description, "short_description": p.ShortDescription,
			"gtin": p.GlobalUniqueID, "tax_class": p.TaxClass, "weight": p.Weight, "categories": categories, "attributes": options, "parent": parent,
		}
	}
	b, _ := json.Marshal(held) // plain data always has a JSON form
	return string(b)
}

func (f *Fake) pathOf(id int64) string {
	c := f.categories[id]
	if c == nil {
		return "?"
	}
	if c.Parent == 0 {
		return c.Name
	}
	return f.pathOf(c.Parent) + " > " + c.Name
}

// Add puts a product into the shop, as somebody in its pages does, and gives its
// id; "" as its type is simple.
func (f *Fake) Add(p Product) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	p.ID = f.next()
	for field, value := range map[*string]string{
		&p.Type: "simple", &p.Backorders: "no", &p.Status: "publish", &p.CatalogVisibility: "visible", &p.TaxStatus: "taxable", &p.StockStatus: "instock",
	} {
		if *field == "" {
			*field = value
		}
	}
	p.settle()
	f.products[p.ID] = &p
	f.index(&p)
	f.touch(p.ID)
	f.bump()
	return p.ID
}

// AddCategory puts a category into the shop, its name as WordPress stores it,
// and gives its id.
func (f *Fake) AddCategory(name string, parent int64) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := &Category{ID: f.next(), Name: name, Slug: slug(name), Parent: parent}
	f.categories[c.ID] = c
	f.ledger.Put(tableCategories, keyOf(c.ID), c)
	f.bump()
	return c.ID
}

// Delete takes a product out of the shop, as somebody in its pages does.
func (f *Fake) Delete(sku pim.SKU) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.find(string(sku)); p != nil {
		f.remove(p)
		f.bump()
	}
}

// Edit changes a product, as somebody in the shop's pages does.
func (f *Fake) Edit(sku pim.SKU, change func(*Product)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.find(string(sku)); p != nil {
		delete(f.bySKU, strings.ToLower(p.SKU))
		next := p.clone()
		change(next)
		f.products[p.ID] = next
		f.bySKU[strings.ToLower(next.SKU)] = p.ID
		f.touch(p.ID)
		f.bump()
	}
}

// Categories are the shop's categories as paths, sorted.
func (f *Fake) Categories() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []string
	for id := range f.categories {
		all = append(all, f.pathOf(id))
	}
	slices.Sort(all)
	return all
}

// Counts are the totals.
func (f *Fake) Counts() Counts {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts()
}

func (f *Fake) counts() Counts {
	c := f.count
	c.Products, c.Categories = len(f.products), len(f.categories)
	return c
}

// Wait returns when cond holds, or with an error that says where the shop
// stands when ctx is done first. Cond is asked at each change.
func (f *Fake) Wait(ctx context.Context, cond func(Counts) bool) error {
	for {
		f.mu.Lock()
		c, changed := f.counts(), f.changed
		f.mu.Unlock()
		if cond(c) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the fake shop, which stands at %+v: %w", c, ctx.Err())
		}
	}
}

// bump ends a change: it writes the ledger and wakes Wait. Callers hold mu.
func (f *Fake) bump() {
	f.keep()
	close(f.changed)
	f.changed = make(chan struct{})
}

// Violations are breaches of the shop's rules, the first 1,000.
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

func (f *Fake) violated(format string, args ...any) {
	if len(f.bad) < 1000 {
		f.bad = append(f.bad, fmt.Sprintf(format, args...))
	}
}

// ServeHTTP answers one call.
func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, AdminPath) {
		f.admin.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	f.mu.Lock()
	f.count.Calls++
	var fault *Fault
	if err == nil {
		fault = f.meet(r)
	}
	released := f.released
	if fault != nil && fault.Kind == Hang {
		f.count.Hanging++
	}
	f.bump()
	f.mu.Unlock()
	if err != nil {
		return // the client went away, or sends without end
	}
	after := time.Second
	if fault != nil && fault.After > 0 {
		after = fault.After
	}
	kind := FaultKind("")
	if fault != nil {
		kind = fault.Kind
	}
	echo := ""
	if f.opts.Echo != nil {
		echo = " " + f.opts.Echo(r, body)
	}
	switch kind {
	case Fail:
		status := fault.Status
		if status == 0 {
			status = http.StatusInternalServerError
		}
		f.write(w, &reply{status: status, body: refuse(status, "internal_server_error", "<p>There has been a critical error on this website.</p>"+echo)}, "")
		return
	case Throttle:
		f.write(w, &reply{
			status: http.StatusTooManyRequests, header: map[string]string{"Retry-After": strconv.Itoa(int(after / time.Second))},
			body: refuse(429, "too_many_requests", "Too many requests."+echo),
		}, "")
		return
	case Unauthorized:
		f.write(w, refused(refuse(401, "woocommerce_rest_authentication_error", "Consumer key is invalid."+echo)), "")
		return
	case Maintenance:
		w.Header().Set("Retry-After", strconv.Itoa(int(after/time.Second)))
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "<!DOCTYPE html><title>Maintenance</title>Briefly unavailable for scheduled maintenance. Check back in a minute."+echo)
		return
	case Reset:
		panic(http.ErrAbortHandler)
	case Hang:
		left := false
		select {
		case <-released:
		case <-r.Context().Done():
			left = true
		}
		f.mu.Lock()
		f.count.Hanging--
		f.bump()
		f.mu.Unlock()
		if left {
			panic(http.ErrAbortHandler)
		}
	case Slow:
		<-time.After(after)
	}
	a := f.answer(r, body, echo)
	switch kind {
	case Lose:
		panic(http.ErrAbortHandler)
	case Page:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, "<!DOCTYPE html><title>Checking your browser</title>"+echo)
		return
	}
	f.write(w, a, kind)
}

// write writes an answer, or as much of it as the fault lets.
func (f *Fake) write(w http.ResponseWriter, a *reply, kind FaultKind) {
	b, err := json.Marshal(a.body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	for name, value := range a.header {
		w.Header().Set(name, value)
	}
	switch kind {
	case Garbage:
		w.Header().Set("Content-Length", strconv.Itoa(len(b)))
		w.WriteHeader(a.status)
		_, _ = w.Write(b[:len(b)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case Endless:
		w.WriteHeader(a.status)
		filler := []byte(strings.Repeat(" ", 64<<10))
		for {
			if _, err := w.Write(filler); err != nil {
				return
			}
		}
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(b)
}

// answer applies a call and says what comes of it.
func (f *Fake) answer(r *http.Request, body []byte, echo string) *reply {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.bump()
	if len(r.URL.RequestURI()) > 8000 {
		f.violated("an address of %d bytes", len(r.URL.RequestURI()))
		return &reply{status: http.StatusRequestURITooLong, body: "too long"}
	}
	path, ok := strings.CutPrefix(r.URL.Path, API)
	if !ok {
		return &reply{status: http.StatusNotFound, body: "<html>Page not found" + echo}
	}
	if bad := f.authenticate(r, path); bad != nil {
		bad.Message += echo
		return refused(bad)
	}
	a := f.route(r, path, body)
	if bad, ok := a.body.(*refusal); ok {
		bad.Message += echo
	} else if all, ok := a.body.(*results); ok && echo != "" {
		all.echo(echo)
	}
	return a
}
