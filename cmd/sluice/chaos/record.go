//go:build unix

package chaos

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/pim"
)

// request is one call of a webhook target, as our own handler before the fake
// saw it: what the invariants are checked against is not the fake's word alone.
type request struct {
	link     *link
	last     bool  // no later request came over its link
	began    int64 // when its first piece came to the proxy, Unix nanoseconds, as all times here
	finished int64 // when the fake was through with it
	status   int   // 0: the connection was closed without an answer
	garbled  bool  // the answer could not be read
	items    []item
}

// item is what a request asked for one listing.
type item struct {
	sku      pim.SKU
	lane     pim.Lane
	revision int64
	withdraw bool
	document uint64 // a hash
	price    int64  // of an offer, in cents
	stock    int64
	taken    bool // the answer says that it was
}

// listingKey names a listing of one channel.
type listingKey struct {
	sku  pim.SKU
	lane pim.Lane
}

// records are the requests that a webhook target received.
type records struct {
	inner http.Handler
	link  func(addr string) *link

	mu   sync.Mutex
	list []*request
	by   map[*link]*request // the newest of each link
}

func newRecords(inner http.Handler, find func(string) *link) *records {
	return &records{inner: inner, link: find, by: map[*link]*request{}}
}

// maxBody bounds a request of a channel, whose batches are small here.
const maxBody = 16 << 20

// ServeHTTP implements http.Handler.
func (r *records) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	if q.URL.Path != webhooktest.ItemsPath {
		r.inner.ServeHTTP(w, q)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, q.Body, maxBody))
	if err != nil {
		panic(http.ErrAbortHandler) // the sender went away in the middle
	}
	q.Body = io.NopCloser(bytes.NewReader(body))
	req := &request{link: r.link(q.RemoteAddr), began: time.Now().UnixNano(), items: itemsOf(body)}
	if req.link != nil {
		req.began = req.link.began.Load()
	}
	t := &tee{ResponseWriter: w}
	defer func() {
		req.finished = time.Now().UnixNano()
		fault := recover()
		if req.status = t.status; fault != nil {
			req.status = 0
		}
		req.hear(t.body.Bytes())
		r.add(req)
		if fault != nil {
			panic(fault)
		}
	}()
	r.inner.ServeHTTP(t, q)
}

func (r *records) add(req *request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	req.last = true
	if req.link != nil {
		if before := r.by[req.link]; before != nil {
			before.last = false
		}
		r.by[req.link] = req
	}
	r.list = append(r.list, req)
}

// all are the requests so far.
func (r *records) all() []*request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.list[:len(r.list):len(r.list)]
}

// sent is how many requests came that asked for something.
func (r *records) sent() (n int64) {
	for _, req := range r.all() {
		if len(req.items) > 0 {
			n++
		}
	}
	return n
}

// offer is the document of the offer lane, as the channels' mapping makes it.
type offer struct {
	Price json.Number `json:"price"`
	Stock int64       `json:"stock"`
}

func itemsOf(body []byte) []item {
	var call struct {
		Items []webhooktest.Item `json:"items"`
	}
	if json.Unmarshal(body, &call) != nil {
		return nil // the fake notes it as a violation
	}
	list := make([]item, len(call.Items))
	for i, it := range call.Items {
		h := fnv.New64a()
		_, _ = h.Write(append([]byte(it.Action), it.Document...)) // never fails
		list[i] = item{sku: it.SKU, lane: it.Lane, revision: it.Revision, withdraw: it.Document == nil, document: h.Sum64()}
		if it.Lane == pim.Offer {
			var o offer
			if json.Unmarshal(it.Document, &o) == nil {
				list[i].price, list[i].stock = cents(o.Price.String()), o.Stock
			}
		}
	}
	return list
}

// hear reads what the answer says of each item.
func (q *request) hear(answer []byte) {
	if q.status < 200 || q.status > 299 {
		return
	}
	var said struct {
		Items []struct {
			SKU    pim.SKU `json:"sku"`
			Status string  `json:"status"`
		} `json:"items"`
	}
	if json.Unmarshal(answer, &said) != nil {
		q.garbled = true
		return
	}
	taken := map[pim.SKU]bool{}
	for _, s := range said.Items {
		taken[s.SKU] = s.Status != "error"
	}
	for i := range q.items {
		q.items[i].taken = taken[q.items[i].sku]
	}
}

// reused is how long a connection stays open that nobody uses: Sluice closes it
// after 30 s. One that is closed sooner may have been given up.
const reused = 25 * time.Second

// heard reports whether the sender certainly has an answer of use: it used the
// connection again, or kept it as one that is whole.
func (q *request) heard(now int64) bool {
	if q.status < 200 || q.status > 299 || q.garbled || q.link == nil {
		return false
	}
	if !q.last {
		return true
	}
	end := q.link.ended.Load()
	if end == 0 {
		end = now
	}
	return time.Duration(end-q.finished) > reused
}

// tee keeps what is answered, as far as it is no endless body.
type tee struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

// WriteHeader implements http.ResponseWriter.
func (t *tee) WriteHeader(status int) {
	t.status = status
	t.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (t *tee) Write(b []byte) (int, error) {
	if t.status == 0 {
		t.status = http.StatusOK
	}
	if t.body.Len() < 1<<20 {
		t.body.Write(b)
	}
	return t.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (t *tee) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// cents reads a decimal number with at most two decimals; -1 is none.
func cents(s string) int64 {
	var euros, rest int64
	if n, err := fmt.Sscanf(s+"00", "%d.%2d", &euros, &rest); err == nil && n == 2 {
		return euros*100 + rest
	}
	if n, err := fmt.Sscanf(s, "%d", &euros); err == nil && n == 1 {
		return euros * 100
	}
	return -1
}

// decimal writes cents as prices are written.
func decimal(c int64) string { return fmt.Sprintf("%d.%02d", c/100, c%100) }
