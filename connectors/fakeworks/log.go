package fakeworks

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Entry is one record that a fake was asked to change.
type Entry struct {
	Seq     int64     `json:"seq"` // from 1
	At      time.Time `json:"at"`
	SKU     string    `json:"sku"`
	Did     string    `json:"did"`     // what was asked for, in the vendor's word
	Outcome string    `json:"outcome"` // Applied or Refused
	Title   string    `json:"title,omitempty"`
	Price   string    `json:"price,omitempty"`
	Stock   *int64    `json:"stock,omitempty"`
	Why     string    `json:"why,omitempty"` // of a refusal
}

// The outcomes.
const (
	Applied = "applied"
	Refused = "refused"
)

// logged is how many entries a Log remembers.
const logged = 4096

// Log remembers the newest 4,096 entries. The zero value is ready, and safe for
// concurrent use.
type Log struct {
	mu   sync.Mutex
	seq  int64
	ring []Entry // entry Seq at (Seq-1) % logged
}

// Add notes an entry, and gives it its number and time.
func (l *Log) Add(e Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seq++
	e.Seq, e.At = l.seq, time.Now().UTC()
	if len(l.ring) < logged {
		l.ring = append(l.ring, e)
		return
	}
	l.ring[(e.Seq-1)%logged] = e
}

// Newest are the newest n entries of a SKU, or of all when sku is "", oldest first.
func (l *Log) Newest(sku string, n int) []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	found := []Entry{}
	for seq := l.seq; seq > l.seq-int64(len(l.ring)) && len(found) < n; seq-- {
		if e := &l.ring[(seq-1)%logged]; sku == "" || e.SKU == sku {
			found = append(found, *e)
		}
	}
	slices.Reverse(found)
	return found
}

// ServeHTTP answers {"entries": […]} for ?sku=S&n=N: the newest N (50) entries,
// oldest first.
func (l *Log) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.FormValue("n"))
	if err != nil || n < 1 {
		n = 50
	}
	WriteJSON(w, http.StatusOK, map[string]any{"entries": l.Newest(r.FormValue("sku"), n)})
}

// Item is how every fake shows people what it holds of a SKU. What a vendor does
// not know is left out.
type Item struct {
	SKU      string   `json:"sku"`
	Title    string   `json:"title"`
	Price    string   `json:"price,omitempty"`
	Stock    *int64   `json:"stock,omitempty"` // absent: nobody counts it
	Parent   string   `json:"parent,omitempty"`
	GTIN     string   `json:"gtin,omitempty"`
	Status   string   `json:"status,omitempty"`
	Pictures []string `json:"pictures,omitempty"`
}

// WriteJSON answers v over several lines, for people.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // the reader may have left
}

// NoItem answers that there is no such SKU.
func NoItem(w http.ResponseWriter) {
	WriteJSON(w, http.StatusNotFound, map[string]string{"error": "there is no such product"})
}
