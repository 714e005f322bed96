package boltest

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
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
	Counts     Counts   `json:"counts"`
	Violations []string `json:"violations"`
}

// Summary looks at everything once.
func (f *Fake) Summary() Summary {
	counts, violations := f.Counts(), f.Violations()
	f.mu.Lock()
	defer f.mu.Unlock()
	s := Summary{Offers: len(f.offers), Products: len(f.products), Faults: len(f.script), Counts: counts, Violations: append([]string{}, violations...)}
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
	return mux
}

func (f *Fake) tell(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // the reader may have left
}
