//go:build unix

package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluicehub/sluice/pim"
)

// state is what the editors' books say of a product. Two states are the same
// when they are equal.
type state struct {
	exists, enabled bool
	title, note     string
	cents, stock    int64
}

// product is a product in the books of the one editor that edits it. Editors
// go on only when they know what became of an edit: content goes by If-Match, so
// that a late repeat changes nothing, prices and stock by an Idempotency-Key.
type product struct {
	sku     pim.SKU
	mu      sync.Mutex // held while an edit is under way
	ean     string     // of those that the marketplace sells, which are never taken off
	flips   bool       // its price goes back to what it was; else it only rises
	now     state
	rev     int64
	unsure  time.Time        // until then a late repeat may make it anew, so it is not deleted
	counter int64            // makes titles, prices and stocks that were never there before
	broken  bool             // its books are of no use any more
	apart   map[*target]bool // where it was found not to be as it ought
	least   map[int64]int64  // stock of a restock → the lowest price that it may be seen with
	history []string         // what was asked for and acknowledged, the newest last
}

// remember keeps a line of the product's history.
func (p *product) remember(format string, args ...any) {
	if len(p.history) == 60 {
		p.history = p.history[1:]
	}
	p.history = append(p.history, stamp(time.Now())+" "+fmt.Sprintf(format, args...))
}

// client talks to the API by ways that fail.
type client struct {
	run    *run
	name   string
	rnd    *rand.Rand
	http   *http.Client
	serial int64
}

func newClient(r *run, name string, strand uint64) *client {
	return &client{run: r, name: name, rnd: r.strand(strand), http: &http.Client{
		Timeout: 2 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 2, DisableCompression: true},
	}}
}

// reply is an answer of the API.
type reply struct {
	status int
	etag   int64
	body   []byte
}

// call asks one of the processes that serve the API, whichever.
func (c *client) call(ctx context.Context, method, path string, head map[string]string, body any) (*reply, error) {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	ways := c.run.apis()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+ways[c.rnd.IntN(len(ways))].addr+"/v1"+path, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.run.key)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for k, v := range head {
		req.Header.Set(k, v)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	r := &reply{status: resp.StatusCode}
	if r.body, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20)); err != nil {
		return nil, err
	}
	r.etag, _ = strconv.ParseInt(strings.Trim(resp.Header.Get("ETag"), `"`), 10, 64) // 0: none
	return r, nil
}

// again reports answers after which the same may be asked again.
func again(r *reply, err error) bool {
	return err != nil || r.status >= 500 || r.status == http.StatusRequestTimeout || r.status == http.StatusTooManyRequests
}

// rest waits between attempts.
func (c *client) rest(ctx context.Context, attempt int) {
	timer := time.NewTimer(time.Duration(20+c.rnd.IntN(80)) * time.Millisecond << min(attempt, 4))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// errOpen: the run ended before anybody knew what became of an edit.
var errOpen = errors.New("its outcome is not known")

// look reads a product; nil is one that is not there.
func (c *client) look(ctx context.Context, p *product) (*state, int64, error) {
	for attempt := 0; ; attempt++ {
		r, err := c.call(ctx, http.MethodGet, "/products/"+string(p.sku), nil, nil)
		switch {
		case ctx.Err() != nil:
			return nil, 0, errOpen
		case again(r, err):
			c.rest(ctx, attempt)
		case r.status == http.StatusNotFound:
			return nil, 0, nil
		case r.status != http.StatusOK:
			return nil, 0, fmt.Errorf("reading %s was answered %d: %.200s", p.sku, r.status, r.body)
		default:
			s, err := stateOf(r.body)
			return s, r.etag, err
		}
	}
}

// stateOf reads a product as the API shows it.
func stateOf(body []byte) (*state, error) {
	var v struct {
		Enabled bool
		Values  struct{ Name, Note string }
		Prices  []struct{ Amount string }
		Stock   []struct {
			OnHand int64 `json:"on_hand"`
		}
	}
	if err := json.Unmarshal(body, &v); err != nil {
		return nil, fmt.Errorf("read a product: %w", err)
	}
	s := &state{exists: true, enabled: v.Enabled, title: v.Values.Name, note: v.Values.Note}
	if len(v.Prices) > 0 {
		s.cents = cents(v.Prices[0].Amount)
	}
	if len(v.Stock) > 0 {
		s.stock = v.Stock[0].OnHand
	}
	return s, nil
}

// same compares contents; prices and stock are not shown of what is deleted.
func same(books state, shown *state) bool {
	if shown == nil || !books.exists {
		return shown == nil && !books.exists
	}
	return books == *shown
}

// content changes a product's texts or status to next, and returns when it is
// known that it did.
func (c *client) content(ctx context.Context, p *product, next state) error {
	method, body := http.MethodPatch, any(map[string]any{"enabled": next.enabled, "values": map[string]any{"name": next.title, "note": next.note}})
	switch {
	case !next.exists:
		method, body = http.MethodDelete, nil
	case !p.now.exists:
		values := map[string]any{"name": next.title, "note": next.note}
		if p.ean != "" {
			values["gtin"] = p.ean
		}
		method, body = http.MethodPut, map[string]any{"family": family, "enabled": next.enabled, "values": values}
	}
	began := time.Now()
	for attempt := 0; ; attempt++ {
		head := map[string]string{"If-Match": `"` + strconv.FormatInt(p.rev, 10) + `"`}
		if method == http.MethodPut {
			head = map[string]string{"If-None-Match": "*"}
		}
		r, err := c.call(ctx, method, "/products/"+string(p.sku), head, body)
		switch {
		case ctx.Err() != nil:
			return errOpen
		case again(r, err):
			if method == http.MethodPut {
				p.unsure = time.Now().Add(c.run.pace.latest)
			}
			c.rest(ctx, attempt)
			continue
		case r.status < 300:
			c.acknowledged(p, next, r.etag, began, "acknowledged")
			return nil
		case r.status != http.StatusPreconditionFailed && r.status != http.StatusNotFound && r.status != http.StatusConflict:
			return fmt.Errorf("%s of %s was answered %d: %.200s", method, p.sku, r.status, r.body)
		}
		found, rev, err := c.look(ctx, p)
		switch {
		case err != nil:
			return err
		case same(next, found):
			c.acknowledged(p, next, rev, began, "seen, its answer was lost")
			return nil
		case same(p.now, found) && attempt < 1000:
			p.rev = rev
		default:
			return fmt.Errorf("%s stands as nobody made it: the books say %+v, %s asked for %+v, the API shows %+v", p.sku, p.now, method, next, found)
		}
	}
}

func (c *client) acknowledged(p *product, next state, rev int64, began time.Time, how string) {
	p.remember("%+v %s at revision %d, asked since %s", next, how, rev, stamp(began))
	p.now = next
	if rev > 0 {
		p.rev = rev
	}
	c.run.count("edits acknowledged", 1)
}

// offer sets a price or a stock level, and returns when it is known that it did.
func (c *client) offer(ctx context.Context, p *product, path string, row map[string]any, next state) error {
	c.serial++
	head := map[string]string{"Idempotency-Key": c.name + "-" + strconv.FormatInt(c.serial, 10)}
	row["sku"] = p.sku
	began := time.Now()
	for attempt := 0; ; attempt++ {
		r, err := c.call(ctx, http.MethodPost, path, head, []any{row})
		switch {
		case ctx.Err() != nil:
			return errOpen
		case again(r, err) || r.status == http.StatusConflict:
			c.rest(ctx, attempt)
			continue
		case r.status != http.StatusOK:
			return fmt.Errorf("%s of %s was answered %d: %.200s", path, p.sku, r.status, r.body)
		}
		var a struct{ Changed, Unchanged, Rejected int }
		if err := json.Unmarshal(r.body, &a); err != nil || a.Changed+a.Unchanged != 1 {
			return fmt.Errorf("%s of %s was answered %.200s", path, p.sku, r.body)
		}
		c.acknowledged(p, next, 0, began, "acknowledged")
		return nil
	}
}

func (c *client) price(ctx context.Context, p *product, amount int64) error {
	next := p.now
	next.cents = amount
	return c.offer(ctx, p, "/prices:batch", map[string]any{"currency": "EUR", "amount": decimal(amount)}, next)
}

func (c *client) stock(ctx context.Context, p *product, n int64) error {
	next := p.now
	next.stock = n
	return c.offer(ctx, p, "/stock:batch", map[string]any{"on_hand": n}, next)
}

// The bounds of what the marketplace takes: stock of 1 to 999, of which each
// restock has one of its own as long as there are.
const (
	mostStock  = 900
	firstPrice = 1000
)

// restock sells a product out, changes its price and fills the shelf again:
// nobody may ever see the new stock at the old price.
func (c *client) restock(ctx context.Context, p *product) error {
	if err := c.stock(ctx, p, 0); err != nil {
		return err
	}
	p.counter++
	if err := c.price(ctx, p, c.priceOf(p)); err != nil {
		return err
	}
	n := p.counter%mostStock + 1
	if p.counter < mostStock && !p.flips {
		p.least[n] = p.now.cents
	}
	return c.stock(ctx, p, n)
}

// priceOf is the next price: a higher one, or, of what flips, the other of two.
func (c *client) priceOf(p *product) int64 {
	if p.flips {
		return 3*firstPrice - p.now.cents
	}
	return p.now.cents + 1
}

// begin makes a product with price and stock.
func (c *client) begin(ctx context.Context, p *product) error {
	if err := c.content(ctx, p, state{exists: true, enabled: true, title: "A", cents: p.now.cents, stock: p.now.stock}); err != nil {
		return err
	}
	if err := c.price(ctx, p, firstPrice); err != nil {
		return err
	}
	return c.stock(ctx, p, 1)
}

// edit does one thing to a product.
func (c *client) edit(ctx context.Context, p *product) error {
	next := p.now
	kind := c.rnd.IntN(100)
	switch {
	case !p.now.exists: // it comes back, with the prices and stock of its former life
		next.exists, next.enabled, next.title, next.note = true, true, "back", ""
	case kind < 25: // there and back: what a lost answer, or a late request, can be mistaken over
		next.title = string(rune('A' + c.rnd.IntN(3)))
		if next == p.now {
			return nil
		}
		was := p.now
		if err := c.content(ctx, p, next); err != nil {
			return err
		}
		pause(ctx, time.Duration(c.rnd.Int64N(int64(time.Second))))
		next = was
	case kind < 40:
		next.title = string(rune('A' + c.rnd.IntN(3)))
	case kind < 50:
		p.counter++
		next.title = fmt.Sprintf("%s %d", p.sku, p.counter)
	case kind < 55: // nobody is told
		p.counter++
		next.note = strconv.FormatInt(p.counter, 10)
	case kind < 70:
		return c.restock(ctx, p)
	case kind < 78:
		return c.price(ctx, p, c.priceOf(p))
	case kind < 82 && p.flips: // its price there and back
		if err := c.price(ctx, p, c.priceOf(p)); err != nil {
			return err
		}
		pause(ctx, time.Duration(c.rnd.Int64N(int64(time.Second))))
		return c.price(ctx, p, c.priceOf(p))
	case kind < 88 && p.flips: // sold out and filled again, as it was
		n := p.now.stock
		if err := c.stock(ctx, p, 0); err != nil {
			return err
		}
		return c.stock(ctx, p, max(n, 1))
	case p.ean != "": // the marketplace's stay
		return nil
	case kind < 94:
		next.enabled = !next.enabled
	case time.Now().After(p.unsure):
		next.exists = false
		next.note = ""
	}
	if next == p.now {
		return nil
	}
	return c.content(ctx, p, next)
}

// work edits its products until stop, and then leaves nothing unknown.
func (c *client) work(ctx context.Context, stop <-chan struct{}, products []*product) {
	for {
		p := products[c.rnd.IntN(len(products))]
		if !p.broken {
			p.mu.Lock()
			err := c.edit(ctx, p)
			p.mu.Unlock()
			if err != nil && !errors.Is(err, errOpen) {
				p.broken = true
				c.run.violated("durability", p, "%v", err)
			} else if err != nil {
				p.broken = true
				c.run.violated("durability", p, "at the end nobody knows what became of an edit: the API did not answer")
			}
		}
		timer := time.NewTimer(time.Duration(c.rnd.Int64N(int64(2 * c.run.pace.edits))))
		select {
		case <-stop:
			timer.Stop()
			return
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// readJSON reads an answer of a fake's own paths.
func readJSON(url string, into any) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(io.LimitReader(resp.Body, 1<<22)).Decode(into)
}

// eanOf is a GTIN-13 of the range for internal use (GS1 General Specifications,
// prefix 200, section 7.9).
func eanOf(n int) string {
	s := fmt.Sprintf("200%09d", n)
	sum := 0
	for i, c := range s {
		sum += int(c-'0') * (1 + 2*(i%2))
	}
	return fmt.Sprintf("%s%d", s, (10-sum%10)%10)
}
