// Package trytontest is a stateful fake of a Tryton 6.0 server with the modules
// product, stock, sale and price lists: its JSON-RPC, sessions that expire, its
// classes of values, its rules for products, and its prices and stock, in code of
// its own. What it answers has the shapes that a real Tryton 6.0.29 was seen to
// answer. Tests and the demo use it; it imports nothing of testing, and lives on
// loopback only: its admin paths ask for no key.
package trytontest

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/govalues/decimal"

	"github.com/sluicehub/sluice/connectors/fakeworks"
	"github.com/sluicehub/sluice/pim"
)

// Options say what kind of Tryton a Fake is. The zero value is usable.
type Options struct {
	Database  string        // "" is "demo"
	User      string        // "" is "sluice"
	Password  string        // "" makes one
	Languages []string      // that can be translated into, beside en; nil is de and fr
	Session   time.Duration // how long a session lives; 0 is a day
	NoCompany bool          // the user has no company
	NoAccess  bool          // the user may read and not write
	NoSale    bool          // the modules sale and sale_price_list are not activated
	HubURL    string        // where each change of a list price is posted, as Tryton's own module would
	// Warehouses are the codes of more warehouses than the first, WH.
	Warehouses []string
	Ledger     string // file that a Server keeps its records in over a restart; "" keeps nothing
	Echo       string // repeated in every refusal: a rude server that shows what it was sent
	// Wrap, when not nil, is put around a Server's fake, to listen to what is said.
	Wrap func(http.Handler) http.Handler
}

// The ids of what a fresh fake holds.
const (
	companyID   = 1
	userID      = 7
	warehouseID = 5
	inputID     = 1
	outputID    = 2
	storageID   = 3
	supplierID  = 6
	customerID  = 8
	// warehousesFrom is the id of the first of Options.Warehouses; its storage zone follows it.
	warehousesFrom = 100
)

// rec is one record: field → value. Values are string, bool, int64, float64,
// decimal.Decimal, time.Time, translated, or nil. A record is never changed in
// place: a transaction that fails puts the old ones back.
type rec map[string]any

// translated is a text by language; "" holds the source, which English is.
type translated map[string]string

type table map[int64]rec

// Fake is the server: an http.Handler. Use New or NewServer.
type Fake struct {
	opts     Options
	admin    http.Handler
	closed   chan struct{}
	hubPosts chan []byte
	log      fakeworks.Log

	mu       sync.Mutex
	data     map[string]table
	found    map[place][]int64
	tx       *tx // the one under way
	openings map[pim.SKU]*Opening
	ledger   *fakeworks.Ledger
	ids      map[string]int64
	sessions map[string]time.Time // key → end
	granted  []string             // keys of all sessions that there were
	count    Counts
	bad      []string
	reject   map[pim.SKU]bool
	waiters  chan struct{} // closed and replaced at each change
	now      func() time.Time

	faults   []*Fault
	down     FaultKind
	released chan struct{}
}

// Counts are totals since the start.
type Counts struct {
	Calls   int64 `json:"calls"`   // requests, logins included
	Logins  int64 `json:"logins"`  // granted
	Refused int64 `json:"refused"` // logins
	Expired int64 `json:"expired"` // calls with a session that had ended
	Reads   int64 `json:"reads"`
	Writes  int64 `json:"writes"`  // calls that changed something
	Records int64 `json:"records"` // written by them
	Hanging int64 `json:"hanging"` // calls held open at this moment
}

// New makes a fake without a listener.
func New(opts Options) *Fake {
	if opts.Database == "" {
		opts.Database = "demo"
	}
	if opts.User == "" {
		opts.User = "sluice"
	}
	if opts.Password == "" {
		opts.Password = key()
	}
	if opts.Languages == nil {
		opts.Languages = []string{"de", "fr"}
	}
	if opts.Session == 0 {
		opts.Session = 24 * time.Hour
	}
	f := &Fake{
		opts: opts, closed: make(chan struct{}), hubPosts: make(chan []byte, 1000),
		data: map[string]table{}, found: map[place][]int64{}, openings: map[pim.SKU]*Opening{}, ids: map[string]int64{}, sessions: map[string]time.Time{}, reject: map[pim.SKU]bool{},
		waiters: make(chan struct{}), released: make(chan struct{}), now: time.Now,
	}
	f.admin = f.adminHandler()
	f.seed()
	return f
}

// key is a random session key or password.
func key() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the process instead
	return hex.EncodeToString(b)
}

// seed writes what a fresh Tryton with a company has.
func (f *Fake) seed() {
	put := func(model string, id int64, r rec) {
		r["id"], r["create_date"] = id, f.stamp()
		f.set(model, id, r)
	}
	put("currency.currency", 1, rec{"code": "EUR", "digits": int64(2)})
	put("company.company", companyID, rec{"currency": int64(1), "rec_name": "Demo Company"})
	put("ir.lang", 1, rec{"code": "en", "translatable": true})
	for i, code := range f.opts.Languages {
		put("ir.lang", int64(i+2), rec{"code": code, "translatable": true})
	}
	put("ir.lang", 99, rec{"code": "nl", "translatable": false})
	put("product.uom", 1, rec{"symbol": "u", "digits": int64(0)})
	put("product.uom", 2, rec{"symbol": "kg", "digits": int64(2)})
	put("stock.location", warehouseID, rec{"code": "WH", "name": "Warehouse", "type": "warehouse", "parent": nil})
	put("stock.location", inputID, rec{"code": "IN", "name": "Input Zone", "type": "storage", "parent": int64(warehouseID)})
	put("stock.location", outputID, rec{"code": "OUT", "name": "Output Zone", "type": "storage", "parent": int64(warehouseID)})
	put("stock.location", storageID, rec{"code": "STO", "name": "Storage Zone", "type": "storage", "parent": int64(warehouseID)})
	put("stock.location", supplierID, rec{"code": "SUP", "name": "Supplier", "type": "supplier", "parent": nil})
	put("stock.location", customerID, rec{"code": "CUS", "name": "Customer", "type": "customer", "parent": nil})
	for i, code := range f.opts.Warehouses {
		id := warehousesFrom + 2*int64(i)
		put("stock.location", id, rec{"code": code, "name": code, "type": "warehouse", "parent": nil})
		put("stock.location", id+1, rec{"code": "STO " + code, "name": "Storage Zone " + code, "type": "storage", "parent": id})
	}
}

// Database is the name of the fake's one database.
func (f *Fake) Database() string { return f.opts.Database }

// User is the login.
func (f *Fake) User() string { return f.opts.User }

// Password is the user's.
func (f *Fake) Password() string { return f.opts.Password }

func (f *Fake) table(model string) table {
	if f.data[model] == nil {
		f.data[model] = table{}
	}
	return f.data[model]
}

// stamp is a database time: microseconds, and never the same twice.
func (f *Fake) stamp() time.Time { return f.now().UTC().Truncate(time.Microsecond) }

// Product is what the fake holds of a product.
type Product struct {
	SKU         pim.SKU  `json:"sku"`
	Name        string   `json:"name"` // the source's, English
	Names       any      `json:"names,omitempty"`
	Description string   `json:"description"`
	GTINs       []string `json:"gtins,omitempty"`
	Active      bool     `json:"active"`
	Template    int64    `json:"template"`
	ListPrice   string   `json:"list_price,omitempty"`
}

// Product finds a product by its code, an active one first.
func (f *Fake) Product(sku pim.SKU) (Product, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.bySKU(sku)
	if r == nil {
		return Product{}, false
	}
	t := f.table("product.template")[r["template"].(int64)]
	p := Product{
		SKU: sku, Template: r["template"].(int64), Active: r["active"] == true && t["active"] == true,
		Name: text(t["name"], "en"), Description: text(r["description"], "en"), Names: t["name"],
	}
	for _, id := range f.with("product.identifier", "product", r["id"]) {
		p.GTINs = append(p.GTINs, f.table("product.identifier")[id]["code"].(string))
	}
	if d, ok := f.listPrice(t); ok {
		p.ListPrice = d.String()
	}
	return p, true
}

// Active counts the products that are active, with their templates.
func (f *Fake) Active() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, r := range f.table("product.product") {
		if t := f.table("product.template")[r["template"].(int64)]; r["active"] == true && t["active"] == true {
			n++
		}
	}
	return n
}

// bySKU finds a product's record, nil for none. Callers hold mu.
func (f *Fake) bySKU(sku pim.SKU) rec {
	var found rec
	for _, id := range f.with("product.product", "code", string(sku)) {
		r := f.table("product.product")[id]
		if found == nil || found["active"] != true && r["active"] == true {
			found = r
		}
	}
	return found
}

// Add makes a template of one product, as somebody in the ERP does: a template
// code as prefix, and the rest of the SKU as suffix. The list price may be "".
func (f *Fake) Add(prefix, suffix, name, listPrice string) error {
	values := rec{
		"name": name, "code": prefix, "type": "goods", "default_uom": float64(1),
		"products": []any{[]any{"create", []any{map[string]any{"suffix_code": suffix}}}},
	}
	if !f.opts.NoSale {
		values["salable"], values["sale_uom"] = true, float64(1)
	}
	if listPrice != "" {
		d, err := decimal.Parse(listPrice)
		if err != nil {
			return fmt.Errorf("adding %s%s: %w", prefix, suffix, err)
		}
		values["list_price"] = d
	}
	var made []int64
	err := f.change(func(tx *tx) error {
		_, err := tx.create("product.template", values)
		made = tx.products()
		return err
	})
	if err == nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.arrive(made)
		f.bump()
	}
	return err
}

// SetListPrice changes a list price; "" empties it. It moves the template's
// write_date, and posts to HubURL after the change.
func (f *Fake) SetListPrice(sku pim.SKU, amount string) error {
	var value any
	if amount != "" {
		d, err := decimal.Parse(amount)
		if err != nil {
			return fmt.Errorf("setting the list price of %s: %w", sku, err)
		}
		value = d
	}
	return f.change(func(tx *tx) error {
		r := f.bySKU(sku)
		if r == nil {
			return fmt.Errorf("setting a list price: there is no product %s", sku)
		}
		return tx.write("product.template", r["template"].(int64), map[string]any{"list_price": value})
	})
}

// SetActive activates or deactivates a product, as somebody in the ERP does.
func (f *Fake) SetActive(sku pim.SKU, active bool) error {
	return f.change(func(tx *tx) error {
		r := f.bySKU(sku)
		if r == nil {
			return fmt.Errorf("activating: there is no product %s", sku)
		}
		return tx.write("product.product", r["id"].(int64), map[string]any{"active": active})
	})
}

// Rename changes a product's name in all languages, as somebody in the ERP does.
func (f *Fake) Rename(sku pim.SKU, name string) error {
	for _, language := range []string{"en", "de"} {
		err := f.changeIn(language, func(tx *tx) error {
			r := f.bySKU(sku)
			if r == nil {
				return fmt.Errorf("renaming: there is no product %s", sku)
			}
			return tx.write("product.template", r["template"].(int64), map[string]any{"name": name})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// SetSalable makes a product's template salable or not, as somebody in the ERP
// does. It moves the template's write_date only.
func (f *Fake) SetSalable(sku pim.SKU, salable bool) error {
	return f.change(func(tx *tx) error {
		r := f.bySKU(sku)
		if r == nil {
			return fmt.Errorf("making salable: there is no product %s", sku)
		}
		return tx.write("product.template", r["template"].(int64), map[string]any{"salable": salable})
	})
}

// change is a transaction from inside.
func (f *Fake) change(work func(*tx) error) error { return f.changeIn("en", work) }

// changeIn is change for texts of a language.
func (f *Fake) changeIn(language string, work func(*tx) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	tx := f.begin(words{"company": float64(companyID), "language": language})
	if err := work(tx); err != nil {
		tx.rollback()
		return err
	}
	return tx.commit()
}

// Zone is a place in the fake's one warehouse, or outside it.
type Zone int64

// The zones. Supplier and Customer are where goods come from and go.
const (
	Input    Zone = inputID
	Output   Zone = outputID
	Storage  Zone = storageID
	Supplier Zone = supplierID
	Customer Zone = customerID
)

// Move makes a stock move. State is draft, assigned (reserved to leave) or done.
// It gives the move's id.
func (f *Fake) Move(sku pim.SKU, from, to Zone, quantity float64, state string) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.bySKU(sku)
	if r == nil {
		return 0, fmt.Errorf("moving stock: there is no product %s", sku)
	}
	id := f.move(r, int64(from), int64(to), quantity, state)
	f.bump()
	return id, nil
}

// Done sets a move's state to done.
func (f *Fake) Done(move int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r := maps.Clone(f.table("stock.move")[move]); r != nil {
		r["state"], r["write_date"] = "done", f.stamp()
		f.put("stock.move", move, r)
	}
	f.bump()
}

// Line is a price list's line: from Quantity on (0: always), the list price times
// Factor. A Broken line's formula cannot be computed.
type Line struct {
	Quantity float64
	Factor   string
	Broken   bool
}

// SetPriceList makes or replaces a price list; the first line that fits counts.
func (f *Fake) SetPriceList(name string, lines ...Line) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var id int64
	for n, r := range f.table("product.price_list") {
		if r["name"] == name {
			id = n
		}
	}
	if id == 0 {
		f.ids["product.price_list"]++
		id = f.ids["product.price_list"]
		f.put("product.price_list", id, rec{"id": id, "name": name, "company": int64(companyID), "create_date": f.stamp(), "write_date": nil})
	}
	list := maps.Clone(f.table("product.price_list")[id])
	list["write_date"] = f.stamp()
	f.put("product.price_list", id, list)
	for _, n := range f.with("product.price_list.line", "price_list", id) {
		f.put("product.price_list.line", n, nil)
	}
	for _, l := range lines {
		f.ids["product.price_list.line"]++
		n := f.ids["product.price_list.line"]
		r := rec{"id": n, "price_list": id, "factor": l.Factor, "broken": l.Broken, "quantity": nil, "create_date": f.stamp(), "write_date": nil}
		if l.Quantity > 0 {
			r["quantity"] = l.Quantity
		}
		f.put("product.price_list.line", n, r)
	}
	f.bump()
}

// Granted are the keys of all sessions that there were.
func (f *Fake) Granted() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.granted)
}

// ExpireSessions ends all sessions, as time or a new password does.
func (f *Fake) ExpireSessions() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sessions = map[string]time.Time{}
}

// SetClock replaces the clock that stamps records and answers.
func (f *Fake) SetClock(now func() time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = now
}

// Reject makes the fake refuse every write of a product of this SKU, or take it again.
func (f *Fake) Reject(sku pim.SKU, reject bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reject[sku] = reject
}

// Counts are the totals so far.
func (f *Fake) Counts() Counts {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count
}

// Violations are breaches of Tryton's rules by the caller, the first 100.
func (f *Fake) Violations() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.bad)
}

// violate notes a breach. Callers hold mu.
func (f *Fake) violate(format string, args ...any) {
	if len(f.bad) < 100 {
		f.bad = append(f.bad, fmt.Sprintf(format, args...))
	}
}

// bump ends a change: it writes the ledger and wakes those who wait. Callers hold mu.
func (f *Fake) bump() {
	f.flush()
	close(f.waiters)
	f.waiters = make(chan struct{})
}
