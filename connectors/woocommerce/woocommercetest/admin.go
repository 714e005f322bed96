package woocommercetest

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/sluicehub/sluice/connectors/fakeworks"
	"github.com/sluicehub/sluice/pim"
)

// AdminPath begins the paths by which people look at the shop and move it. They
// ask for no key: the fake lives on loopback only.
const AdminPath = "/_fake/"

// Summary is the shop's state for people.
type Summary struct {
	Products   int      `json:"products"` // and variations
	Categories int      `json:"categories"`
	Pictures   int      `json:"pictures"` // loaded into the library
	Down       bool     `json:"down"`     // faults are set
	Calls      int      `json:"calls"`
	Batches    int      `json:"batches"`
	Rows       int      `json:"rows"`
	Violations []string `json:"violations"`
}

// Summary looks at everything once.
func (f *Fake) Summary() Summary {
	violations := append([]string{}, f.Violations()...)
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.counts()
	return Summary{
		Products: c.Products, Categories: c.Categories, Pictures: len(f.library), Down: len(f.script) > 0,
		Calls: c.Calls, Batches: c.Batches, Rows: c.Rows, Violations: violations,
	}
}

// Item is what the shop holds of a SKU, for people.
func (f *Fake) Item(sku pim.SKU) (fakeworks.Item, bool) {
	p, ok := f.Held(sku)
	if !ok {
		return fakeworks.Item{}, false
	}
	item := fakeworks.Item{SKU: p.SKU, Title: p.Name, Price: p.Price, Stock: p.StockQuantity, GTIN: p.GlobalUniqueID, Status: p.Status}
	for _, img := range p.Images {
		item.Pictures = append(item.Pictures, img.Origin)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if parent := f.products[p.ParentID]; parent != nil {
		item.Parent = parent.SKU
	}
	return item, true
}

// adminHandler answers, below AdminPath:
//
//	POST down?how=fail|reset|hang|maintenance   500 (the default), no answer, silence, or WordPress's page during an update
//	POST up                                     all faults end, what hangs goes on
//	POST reject/{sku}, accept/{sku}             refuse the rows of a SKU; take them again
//	GET  state                                  the Summary
//	GET  items/{sku}                            the Item
//	GET  log?sku=S&n=N                          the newest N (50) rows, oldest first
func (f *Fake) adminHandler() http.Handler {
	mux := http.NewServeMux()
	do := func(path string, fn func(r *http.Request)) {
		mux.HandleFunc("POST "+AdminPath+path, func(w http.ResponseWriter, r *http.Request) {
			fn(r)
			fakeworks.WriteJSON(w, http.StatusOK, f.Summary())
		})
	}
	do("down", func(r *http.Request) {
		switch how := FaultKind(r.FormValue("how")); how {
		case Reset, Hang, Maintenance:
			f.Down(how)
		default:
			f.Down(Fail)
		}
	})
	do("up", func(*http.Request) { f.Up() })
	do("reject/{sku...}", func(r *http.Request) { f.Reject(pim.SKU(r.PathValue("sku"))) })
	do("accept/{sku...}", func(r *http.Request) { f.Accept(pim.SKU(r.PathValue("sku"))) })
	mux.HandleFunc("GET "+AdminPath+"state", func(w http.ResponseWriter, _ *http.Request) {
		fakeworks.WriteJSON(w, http.StatusOK, f.Summary())
	})
	mux.HandleFunc("GET "+AdminPath+"items/{sku...}", func(w http.ResponseWriter, r *http.Request) {
		item, ok := f.Item(pim.SKU(r.PathValue("sku")))
		if !ok {
			fakeworks.NoItem(w)
			return
		}
		fakeworks.WriteJSON(w, http.StatusOK, item)
	})
	mux.Handle("GET "+AdminPath+"log", &f.log)
	return mux
}

// note logs what became of a row. Callers hold mu.
func (f *Fake) note(did string, row map[string]json.RawMessage, p *Product, bad *refusal) {
	e := fakeworks.Entry{Did: did, Outcome: fakeworks.Applied}
	field := func(name string) (s string) {
		_ = json.Unmarshal(row[name], &s) // of another type: a violation, noted elsewhere
		return s
	}
	if e.SKU = field("sku"); p != nil {
		e.SKU = p.SKU
	}
	e.Title, e.Price = field("name"), field("regular_price")
	if n, err := strconv.ParseInt(string(row["stock_quantity"]), 10, 64); err == nil {
		e.Stock = &n
	}
	if bad != nil {
		e.Outcome, e.Why = fakeworks.Refused, bad.Message
	}
	f.log.Add(e)
}
