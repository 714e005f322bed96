package trytontest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/sluicehub/sluice/connectors/fakeworks"
	"github.com/sluicehub/sluice/pim"
)

// Server is a Fake that listens, and posts to HubURL.
type Server struct {
	*Fake
	*fakeworks.Port
	done sync.WaitGroup
}

// NewServer starts a fake on addr; "" is a free port of 127.0.0.1.
func NewServer(addr string, opts Options) (*Server, error) {
	s := &Server{Fake: New(opts)}
	handler := http.Handler(s.Fake)
	if opts.Wrap != nil {
		handler = opts.Wrap(s.Fake)
	}
	err := s.open(opts.Ledger)
	if err != nil {
		return nil, err
	}
	if s.Port, err = fakeworks.Listen("the fake Tryton", addr, handler, 0); err != nil {
		return nil, errors.Join(err, s.ledger.Close())
	}
	if opts.HubURL != "" {
		s.done.Go(s.tell)
	}
	return s, nil
}

// TB is what Start needs of a test.
type TB interface {
	Helper()
	Cleanup(func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Start starts a fake for a test. At the test's end it is closed, and the test
// fails when Tryton's rules were broken.
func Start(t TB, opts Options) *Server {
	t.Helper()
	s, err := NewServer("", opts)
	if err != nil {
		t.Fatalf("starting the fake Tryton: %v", err)
	}
	t.Cleanup(func() {
		_ = s.Close()
		for _, v := range s.Violations() {
			t.Errorf("Tryton's rules were broken: %s", v)
		}
	})
	return s
}

// AdminURL is where the paths of AdminPath begin.
func (s *Server) AdminURL() string { return s.URL() + AdminPath }

// Close ends the server and what hangs in it.
func (s *Server) Close() error {
	return s.Shut(func() {
		close(s.closed)
		s.done.Wait()
	}, s.closeLedger)
}

// tell posts changed list prices to the hub, once each: what does not arrive is
// found when the hub next asks.
func (s *Server) tell() {
	client := &http.Client{Timeout: 5 * time.Second}
	for {
		select {
		case <-s.closed:
			return
		case body := <-s.hubPosts:
			req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, s.opts.HubURL, bytes.NewReader(body))
			if err != nil {
				continue
			}
			req.Header.Set("Content-Type", "application/json")
			if resp, err := client.Do(req); err == nil {
				_ = resp.Body.Close() // the answer says nothing
			}
		}
	}
}

// AdminPath begins the paths by which people move the fake.
const AdminPath = "/_fake/"

// Summary is the fake's state for people.
type Summary struct {
	Products   int       `json:"products"` // active ones
	Down       FaultKind `json:"down,omitempty"`
	Counts     Counts    `json:"counts"`
	Violations []string  `json:"violations"`
}

// Summary looks at everything once.
func (f *Fake) Summary() Summary {
	s := Summary{Products: f.Active(), Counts: f.Counts(), Violations: append([]string{}, f.Violations()...)}
	f.mu.Lock()
	defer f.mu.Unlock()
	s.Down = f.down
	return s
}

// adminHandler answers, below AdminPath:
//
//	POST down?how=fail|reset|hang|unauthorized, POST up
//	POST expire                          all sessions end
//	POST price/{sku}?amount=A            somebody changes a list price
//	POST receive/{sku}?quantity=N        goods come into the storage zone
//	POST ship/{sku}?quantity=N           goods leave it
//	POST count/{sku}?quantity=N&location=CODE   goods are counted in one warehouse, or in all
//	GET  state, GET items/{sku}          the Summary; the Item
//	GET  log?sku=S&n=N                   the newest N (50) products that were pushed, oldest first
func (f *Fake) adminHandler() http.Handler {
	mux := http.NewServeMux()
	do := func(path string, fn func(r *http.Request) error) {
		mux.HandleFunc("POST "+AdminPath+path, func(w http.ResponseWriter, r *http.Request) {
			if err := fn(r); err != nil {
				writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
				return
			}
			writeJSON(w, http.StatusOK, f.Summary())
		})
	}
	move := func(from, to Zone) func(r *http.Request) error {
		return func(r *http.Request) error {
			var n float64
			if _, err := fmt.Sscan(r.FormValue("quantity"), &n); err != nil || n <= 0 || n > 1e9 {
				return errors.New("quantity is a number above 0")
			}
			_, err := f.Move(pim.SKU(r.PathValue("sku")), from, to, n, "done")
			return err
		}
	}
	do("down", func(r *http.Request) error {
		switch how := FaultKind(r.FormValue("how")); how {
		case Reset, Hang, Unauthorized:
			f.Down(how)
		default:
			f.Down(Fail)
		}
		return nil
	})
	do("up", func(*http.Request) error { f.Up(); return nil })
	do("expire", func(*http.Request) error { f.ExpireSessions(); return nil })
	do("price/{sku...}", func(r *http.Request) error {
		return f.SetListPrice(pim.SKU(r.PathValue("sku")), r.FormValue("amount"))
	})
	do("count/{sku...}", func(r *http.Request) error {
		n, err := strconv.ParseInt(r.FormValue("quantity"), 10, 32)
		if err != nil || n < 0 {
			return errors.New("quantity is a whole number, 0 or more")
		}
		return f.Count(pim.SKU(r.PathValue("sku")), r.FormValue("location"), n)
	})
	do("receive/{sku...}", move(Supplier, Storage))
	do("ship/{sku...}", move(Storage, Customer))
	mux.HandleFunc("GET "+AdminPath+"state", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, f.Summary()) })
	mux.HandleFunc("GET "+AdminPath+"items/{sku...}", func(w http.ResponseWriter, r *http.Request) {
		item, ok := f.Item(pim.SKU(r.PathValue("sku")))
		if !ok {
			fakeworks.NoItem(w)
			return
		}
		writeJSON(w, http.StatusOK, item)
	})
	mux.Handle("GET "+AdminPath+"log", &f.log)
	return mux
}

// Item is what the fake holds of a SKU, for people: its stock is that of all
// warehouses, and absent where nothing ever moved.
func (f *Fake) Item(sku pim.SKU) (fakeworks.Item, bool) {
	p, ok := f.Product(sku)
	if !ok {
		return fakeworks.Item{}, false
	}
	item := fakeworks.Item{SKU: string(sku), Title: p.Name, Price: p.ListPrice, Status: "active"}
	if !p.Active {
		item.Status = "inactive"
	}
	if len(p.GTINs) > 0 {
		item.GTIN = p.GTINs[0]
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.bySKU(sku)
	if len(f.with("stock.move", "product", r["id"])) > 0 {
		var sum int64
		for _, code := range append([]string{""}, f.opts.Warehouses...) {
			onHand, _, _ := f.stocked(r, f.warehouse(code))
			sum += onHand
		}
		item.Stock = &sum
	}
	return item, true
}

// tell logs what a push did. Callers hold mu.
func (f *Fake) tell(model, method string, call request, products []int64) {
	named := writes(call.Params, "name")
	for _, id := range products {
		r := f.table("product.product")[id]
		e := fakeworks.Entry{Did: method + " " + model, Outcome: fakeworks.Applied}
		e.SKU, _ = r["code"].(string)
		if named {
			e.Title = text(f.table("product.template")[r["template"].(int64)]["name"], "en")
		}
		f.log.Add(e)
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) { fakeworks.WriteJSON(w, status, v) }

// writes reports whether a field is among what a call writes.
func writes(v any, field string) bool {
	switch v := v.(type) {
	case []any:
		return slices.ContainsFunc(v, func(below any) bool { return writes(below, field) })
	case map[string]any:
		for name, below := range v {
			if name == field || writes(below, field) {
				return true
			}
		}
	}
	return false
}
