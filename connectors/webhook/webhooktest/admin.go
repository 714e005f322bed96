package webhooktest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/sluicehub/sluice/pim"
)

// Summary is the target's state for people.
type Summary struct {
	Name       string           `json:"name,omitempty"`
	Products   int              `json:"products"` // SKUs with content
	Listings   map[pim.Lane]int `json:"listings"`
	Waiting    int              `json:"waiting"` // items taken and not applied yet
	Down       FaultKind        `json:"down,omitempty"`
	Counts     Counts           `json:"counts"`
	Violations []string         `json:"violations"`
	Falls      []string         `json:"falls"`
}

// Summary looks at everything once.
func (f *Fake) Summary() Summary {
	violations, falls := f.Violations(), f.Falls()
	f.mu.Lock()
	defer f.mu.Unlock()
	s := State{f}
	sum := Summary{
		Name: f.opts.Name, Products: s.Len(pim.Content), Listings: map[pim.Lane]int{},
		Waiting: s.Waiting(), Down: f.down, Counts: f.count,
		Violations: append([]string{}, violations...), Falls: append([]string{}, falls...),
	}
	for _, l := range pim.AllLanes {
		sum.Listings[l] = s.Len(l)
	}
	return sum
}

// adminHandler answers, below AdminPath and without a signature:
//
//	POST down?how=fail|reset|hang   503 (the default), no answer, or silence for every call
//	POST up                         all faults end, what hangs goes on
//	POST fault?kind=K&times=N&status=S&seconds=T&calls=C   no known kind: no fault any more
//	POST throttle?per_second=R&burst=B
//	POST async?seconds=T&polls=N    no parameter: answer at once again
//	POST late, POST process         apply what is held as late; do the waiting work
//	POST reject/{sku}, accept/{sku} refuse a SKU's upserts; take them again
//	POST alter/{sku}?lane=L         change what is held behind the sender's back: the body is the document
//	POST drop/{sku}                 delete a SKU behind the sender's back
//	GET  state                      the Summary
//	GET  items/{sku}                what is held of a SKU, per lane
//	GET  log?sku=S&n=N              the newest N (50) entries received, oldest first
func (f *Fake) adminHandler() http.Handler {
	mux := http.NewServeMux()
	do := func(path string, fn func(r *http.Request)) {
		mux.HandleFunc("POST "+AdminPath+path, func(w http.ResponseWriter, r *http.Request) {
			fn(r)
			writeJSON(w, http.StatusOK, f.Summary())
		})
	}
	do("down", func(r *http.Request) {
		switch how := FaultKind(r.FormValue("how")); how {
		case Reset, Hang:
			f.Down(how)
		default:
			f.Down(Fail)
		}
	})
	do("up", func(*http.Request) { f.Up() })
	do("fault", func(r *http.Request) {
		if !slices.Contains(faultKinds, FaultKind(r.FormValue("kind"))) {
			f.Script()
			return
		}
		f.Script(Fault{
			Kind: FaultKind(r.FormValue("kind")), Times: int(number(r, "times")), Status: int(number(r, "status")),
			After: seconds(r), Calls: int(number(r, "calls")),
		})
	})
	do("throttle", func(r *http.Request) { f.Throttle(number(r, "per_second"), int(number(r, "burst"))) })
	do("async", func(r *http.Request) {
		if seconds(r) == 0 && number(r, "polls") == 0 {
			f.SetAsync(nil)
			return
		}
		f.SetAsync(&Async{Polls: int(number(r, "polls")), Delay: seconds(r)})
	})
	do("late", func(*http.Request) { f.ApplyLate() })
	do("process", func(*http.Request) { f.Process() })
	do("reject/{sku...}", func(r *http.Request) { f.Reject(pim.SKU(r.PathValue("sku"))) })
	do("alter/{sku...}", func(r *http.Request) {
		lane, err := pim.ParseLane(r.FormValue("lane"))
		document, readErr := readAll(http.MaxBytesReader(nil, r.Body, 1<<20), -1, 1<<20)
		if err == nil && readErr == nil && json.Valid(document) && document[0] == '{' {
			f.Alter(pim.SKU(r.PathValue("sku")), lane, document)
		}
	})
	do("drop/{sku...}", func(r *http.Request) { f.Drop(pim.SKU(r.PathValue("sku"))) })
	do("accept/{sku...}", func(r *http.Request) { f.Accept(pim.SKU(r.PathValue("sku"))) })

	mux.HandleFunc("GET "+AdminPath+"state", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, f.Summary())
	})
	mux.HandleFunc("GET "+AdminPath+"items/{sku...}", func(w http.ResponseWriter, r *http.Request) {
		sku := pim.SKU(r.PathValue("sku"))
		held := map[pim.Lane]Listing{}
		for _, l := range pim.AllLanes {
			if listing, ok := f.Listing(sku, l); ok {
				held[l] = listing
			}
		}
		status := http.StatusOK
		if len(held) == 0 {
			status = http.StatusNotFound
		}
		writeJSON(w, status, map[string]any{"sku": sku, "lanes": held})
	})
	mux.HandleFunc("GET "+AdminPath+"log", func(w http.ResponseWriter, r *http.Request) {
		n := int(number(r, "n"))
		if n <= 0 {
			n = 50
		}
		writeJSON(w, http.StatusOK, map[string]any{"entries": append([]Entry{}, f.Log(pim.SKU(r.FormValue("sku")), n)...)})
	})
	return mux
}

// number reads a parameter; what is absent or no number is 0.
func number(r *http.Request, name string) float64 {
	n, err := strconv.ParseFloat(r.FormValue(name), 64)
	if err != nil || n < 0 || n > 1e9 {
		return 0
	}
	return n
}

func seconds(r *http.Request) time.Duration {
	return time.Duration(number(r, "seconds") * float64(time.Second))
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // the reader may have left
}
