package boltest

import (
	"cmp"
	"net/http"
	"strconv"
	"time"

	"github.com/sluicehub/sluice/connectors/fakeworks"
	"github.com/sluicehub/sluice/pim"
)

// AdminPath is where people steer a running fake.
const AdminPath = "/_fake/"

// Summary is the target's state for people.
type Summary struct {
	Offers     int      `json:"offers"`
	ForSale    int      `json:"for_sale"`
	Products   int      `json:"products"` // EANs with content
	Waiting    int      `json:"waiting"`  // processes that are not through
	Faults     int      `json:"faults"`
	Throttled  int      `json:"throttled"` // calls refused for their rate
	Counts     Counts   `json:"counts"`
	Violations []string `json:"violations"`
}

// Summary looks at everything once.
func (f *Fake) Summary() Summary {
	counts, violations := f.Counts(), f.Violations()
	f.mu.Lock()
	defer f.mu.Unlock()
	s := Summary{Throttled: counts.Throttled, Offers: len(f.offers), Products: len(f.products), Faults: len(f.script), Counts: counts, Violations: append([]string{}, violations...)}
	for _, o := range f.offers {
		if len(f.why(o)) == 0 {
			s.ForSale++
		}
	}
	for _, p := range f.processes {
		if p.status == "PENDING" {
			s.Waiting++
		}
	}
	return s
}

// admin answers, below AdminPath and without a token:
//
//	POST down?how=fail|reset|hang   500 (the default), no answer, or silence for every call
//	POST up                         all faults end, what hangs goes on
//	POST throttle?seconds=T         429 for every call, until up
//	POST process                    do the work that waits
//	GET  state                      the Summary
//	GET  offers/{reference}         the offer of a reference
//	GET  items/{reference}          the Item
//	GET  log?sku=S&n=N              the newest N (50) changes, oldest first
func (f *Fake) admin() http.Handler {
	mux := http.NewServeMux()
	do := func(path string, fn func(r *http.Request)) {
		mux.HandleFunc("POST "+AdminPath+path, func(w http.ResponseWriter, r *http.Request) {
			fn(r)
			f.tell(w, http.StatusOK, f.Summary())
		})
	}
	do("down", func(r *http.Request) {
		switch how := FaultKind(r.FormValue("how")); how {
		case Reset, Hang:
			f.Script(Fault{Kind: how}, Fault{Kind: how, Op: Login})
		default:
			f.Script(Fault{Kind: Fail}, Fault{Kind: Fail, Op: Login})
		}
	})
	do("up", func(*http.Request) { f.Up() })
	do("throttle", func(r *http.Request) {
		seconds, err := strconv.Atoi(r.FormValue("seconds"))
		if err != nil || seconds < 1 || seconds > 3600 {
			seconds = 5
		}
		f.Script(Fault{Kind: Throttle, After: time.Duration(seconds) * time.Second})
	})
	do("process", func(*http.Request) { f.Process() })
	mux.HandleFunc("GET "+AdminPath+"state", func(w http.ResponseWriter, _ *http.Request) { f.tell(w, http.StatusOK, f.Summary()) })
	mux.HandleFunc("GET "+AdminPath+"offers/{reference...}", func(w http.ResponseWriter, r *http.Request) {
		o, found := f.Offer(r.PathValue("reference"))
		if !found {
			f.tell(w, http.StatusNotFound, map[string]string{"error": "there is no such offer"})
			return
		}
		f.tell(w, http.StatusOK, o)
	})
	mux.HandleFunc("GET "+AdminPath+"items/{sku...}", func(w http.ResponseWriter, r *http.Request) {
		item, ok := f.Item(pim.SKU(r.PathValue("sku")))
		if !ok {
			fakeworks.NoItem(w)
			return
		}
		f.tell(w, http.StatusOK, item)
	})
	mux.Handle("GET "+AdminPath+"log", &f.log)
	return mux
}

// Item is the offer of a SKU with the Dutch name of its product, for people.
func (f *Fake) Item(sku pim.SKU) (fakeworks.Item, bool) {
	o, found := f.Offer(string(sku))
	if !found {
		return fakeworks.Item{}, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	stock := int64(o.Stock)
	item := fakeworks.Item{SKU: string(sku), Title: o.UnknownTitle, GTIN: o.EAN, Stock: &stock, Status: "for sale"}
	if len(o.Prices) > 0 {
		item.Price = o.Prices[0].UnitPrice.String()
	}
	if reasons := f.why(&o); len(reasons) > 0 {
		item.Status = reasons[0].Description
	}
	if p := f.products[key(o.EAN)]; p != nil {
		if name := p.Attributes["nl"]["Name"]; len(name) > 0 {
			item.Title = name[0].Value
		}
		for _, a := range p.Assets {
			item.Pictures = append(item.Pictures, a.URL)
		}
	}
	return item, true
}

// noteOffer logs a change of an offer. Callers hold mu.
func (f *Fake) noteOffer(did string, o *Offer, req *offerRequest) {
	e := fakeworks.Entry{SKU: o.Reference, Did: did + " offer", Outcome: fakeworks.Applied}
	if req != nil && req.UnknownTitle != nil {
		e.Title = *req.UnknownTitle
	}
	if req != nil && req.Pricing != nil && len(req.Pricing.Bundles) > 0 {
		e.Price = req.Pricing.Bundles[0].UnitPrice.String()
	}
	if req != nil && req.Stock != nil && req.Stock.Amount != nil {
		n := int64(*req.Stock.Amount)
		e.Stock = &n
	}
	f.log.Add(e)
}

// noteContent logs an upload of content, by the reference of the EAN's offer or,
// where there is none, by the EAN itself. Callers hold mu.
func (f *Fake) noteContent(req contentRequest, ean string) {
	e := fakeworks.Entry{Did: "upload content " + req.Language, Outcome: fakeworks.Applied}
	for _, o := range f.offers {
		if key(o.EAN) == key(ean) {
			e.SKU = o.Reference
		}
	}
	e.SKU = cmp.Or(e.SKU, ean)
	for _, a := range req.Attributes {
		if a.ID == "Name" && len(a.Values) > 0 {
			e.Title = a.Values[0].Value
		}
	}
	f.log.Add(e)
}

func (f *Fake) tell(w http.ResponseWriter, status int, v any) {
	fakeworks.WriteJSON(w, status, v)
}
