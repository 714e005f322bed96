package bol

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/httpx"
	"github.com/sluicehub/sluice/pim"
)

// heldOffer is an offer as bol lists it.
type heldOffer struct {
	ID        string    `json:"offerId"`
	EAN       string    `json:"ean"`
	Reference string    `json:"reference"`
	Condition condition `json:"condition"`
	Countries []country `json:"countryAvailabilities"`
}

type offerPage[T any] struct {
	Offers []T `json:"offers"`
	Page   struct {
		Next string `json:"nextCursor"`
	} `json:"page"`
}

const (
	pageSize = 100
	maxPages = 20 // of one look-up; nobody has 2,000 offers of 50 products
	perQuery = 50 // EANs or ids in one address, which keeps it below 3 KB
)

func offersPath(more ...string) []string { return append([]string{"retailer", "offers"}, more...) }

// list reads all offers that a query finds.
func (c *Connector) list(ctx context.Context, query url.Values) ([]heldOffer, error) {
	return pages[heldOffer](ctx, c, query)
}

// pages is list with as much of each offer as T has.
func pages[T any](ctx context.Context, c *Connector, query url.Values) ([]T, error) {
	query.Set("page-size", fmt.Sprint(pageSize))
	var all []T
	for range maxPages {
		resp, err := c.do(ctx, request{op: opOffers, path: offersPath(), query: query})
		if err != nil {
			return nil, err
		}
		var page offerPage[T]
		if err := read(opOffers, resp, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Offers...)
		if page.Page.Next == "" || page.Page.Next == query.Get("cursor") {
			return all, nil
		}
		query.Set("cursor", page.Page.Next)
	}
	return nil, &connectors.Error{Verdict: connectors.Unavailable, Err: fmt.Errorf("looking offers up: more than %d pages", maxPages)}
}

// lookUpMany finds the offers of all items whose offer is not known, by EAN. A
// failure is each of those items'.
func (p *push) lookUpMany(ctx context.Context, todo []int) {
	var eans []string
	for _, i := range todo {
		o := p.offers[i]
		if o == nil || p.remembered(p.items[i].SKU, o) != "" || slices.Contains(eans, o.EAN) {
			continue
		}
		eans = append(eans, o.EAN)
	}
	if len(eans) < 2 || p.stopped(ctx) != nil {
		return
	}
	found := map[string][]heldOffer{}
	for chunk := range slices.Chunk(eans, perQuery) {
		offers, err := p.list(ctx, url.Values{"eans": chunk})
		if err != nil {
			p.lookUpErr = err
			return
		}
		for _, o := range offers {
			key := strings.TrimLeft(o.EAN, "0")
			found[key] = append(found[key], o)
		}
	}
	p.found, p.looked = found, true
}

// remembered is the id of the offer that a SKU is known to have, "" when none
// is known that has the document's EAN and condition.
func (c *Connector) remembered(sku pim.SKU, o *wireOffer) string {
	if k, ok := c.known.Get(sku); ok && sameEAN(k.ean, o.EAN) && k.condition.same(*o.Condition) {
		return k.id
	}
	return ""
}

// errTaken says that another SKU has the offer of this EAN and condition.
func errTaken(reference string) error {
	text := fmt.Sprintf("your offer of this EAN and condition has the reference %q at bol; a product can be offered once", reference)
	return &connectors.Error{Verdict: connectors.Validation, Err: errors.New(text), Issues: []pim.Issue{{
		Code: "bol.ean_taken", Severity: pim.SeverityError, Attribute: "ean", Text: text,
	}}}
}

// upsert makes bol's offer of a SKU equal to o: it is patched where it is, and
// made only where a look-up found none, so that an answer that was lost makes
// no second one.
func (p *push) upsert(ctx context.Context, sku pim.SKU, o *wireOffer) error {
	unlock, err := p.locks.Lock(ctx, sku)
	if err != nil {
		return err
	}
	defer unlock()
	if at, ok := p.gone.Get(sku); ok && p.began.Sub(at) < p.limits.Timeout {
		// Its document may be older than the withdrawal: pushes wait for each other.
		return &connectors.Error{Verdict: connectors.Conflict, After: 5 * time.Second, Err: errors.New("it was withdrawn a moment ago, and its content has not come again")}
	}
	id := p.remembered(sku, o)
	if id != "" {
		if gone, err := p.patch(ctx, sku, id, o); !gone {
			return err
		}
	}
	// What many look-ups found at once is as good, unless it led to the offer
	// that has just proved to be gone.
	offers := p.found[strings.TrimLeft(o.EAN, "0")]
	if id == "" && p.lookUpErr != nil {
		return p.lookUpErr
	}
	if id != "" || !p.looked {
		var err error
		if offers, err = p.list(ctx, url.Values{"eans": {o.EAN}}); err != nil {
			return err
		}
	}
	id, own, err := choose(sku, o, offers)
	if err != nil {
		return err
	}
	if own {
		if gone, err := p.patch(ctx, sku, id, o); !gone {
			return err
		}
		id = ""
	}
	// Another EAN or condition is another offer: what the SKU had goes, lest both
	// are sold.
	removed, err := p.remove(ctx, sku, func(h heldOffer) bool { return !sameEAN(h.EAN, o.EAN) || !h.Condition.same(*o.Condition) })
	if err != nil {
		return err
	}
	if id != "" {
		if gone, err := p.patch(ctx, sku, id, o); !gone {
			return doubted(err, removed)
		}
	}
	return doubted(p.make(ctx, sku, o), removed)
}

// doubted adds to an error that a part of what was to be done had been done.
func doubted(err error, done bool) error {
	if err == nil || !done {
		return err
	}
	e := *connectors.AsError(err)
	e.Uncertain = true
	return &e
}

// make creates the offer. Where bol has it after all, made since the look-up or
// by a request that was on its way, that one is patched.
func (p *push) make(ctx context.Context, sku pim.SKU, o *wireOffer) error {
	resp, err := p.create(ctx, sku, o)
	if err == nil || !duplicate(resp) {
		return err
	}
	offers, err := p.list(ctx, url.Values{"eans": {o.EAN}})
	if err != nil {
		return err
	}
	id, _, err := choose(sku, o, offers)
	if err != nil {
		return err
	}
	if id != "" {
		if gone, err := p.patch(ctx, sku, id, o); !gone {
			return err
		}
	}
	return &connectors.Error{Verdict: connectors.Conflict, After: 5 * time.Second, Err: errors.New("bol says that this offer exists, and does not list it yet")}
}

// choose picks the SKU's offer out of those of an EAN: its own by reference, or
// one without a reference, such as people make in bol's console.
func choose(sku pim.SKU, o *wireOffer, offers []heldOffer) (id string, own bool, err error) {
	for _, h := range offers {
		if !sameEAN(h.EAN, o.EAN) || !h.Condition.same(*o.Condition) {
			continue
		}
		switch h.Reference {
		case string(sku):
			return h.ID, true, nil
		case "":
			id = h.ID
		default:
			err = errTaken(h.Reference)
		}
	}
	if id != "" {
		err = nil
	}
	return id, false, err
}

// patch changes an offer; gone says that there is none of this id.
func (p *push) patch(ctx context.Context, sku pim.SKU, id string, o *wireOffer) (gone bool, err error) {
	changes := *o
	changes.EAN, changes.Condition = "", nil
	resp, err := p.do(ctx, request{op: opPatch, path: offersPath(id), body: changes, field: offerField})
	if resp != nil && resp.Status == http.StatusNotFound {
		p.known.Remove(sku)
		return true, err
	}
	if err == nil {
		p.known.Add(sku, known{id, o.EAN, *o.Condition})
	}
	return false, err
}

func (p *push) create(ctx context.Context, sku pim.SKU, o *wireOffer) (resp *httpx.Response, err error) {
	resp, err = p.do(ctx, request{op: opCreate, path: offersPath(), body: o, field: offerField})
	if err != nil {
		return resp, err
	}
	var made heldOffer
	if err := read(opCreate, resp, &made); err != nil {
		return resp, err
	}
	if made.ID != "" {
		p.known.Add(sku, known{made.ID, o.EAN, *o.Condition})
	}
	return resp, nil
}

// withdraw deletes what is offered under a SKU. bol keeps product content.
func (p *push) withdraw(ctx context.Context, sku pim.SKU) error {
	unlock, err := p.locks.Lock(ctx, sku)
	if err != nil {
		return err
	}
	defer unlock()
	p.gone.Add(sku, time.Now())
	_, err = p.remove(ctx, sku, func(heldOffer) bool { return true })
	return err
}

// remove deletes those offers of a SKU that which picks, and says whether there
// were any.
func (p *push) remove(ctx context.Context, sku pim.SKU, which func(heldOffer) bool) (removed bool, err error) {
	offers, err := p.offered(ctx, sku)
	if err != nil {
		return false, err
	}
	for _, h := range offers {
		if !which(h) {
			continue
		}
		if err := p.drop(ctx, h.ID); err != nil {
			return removed, doubted(err, removed)
		}
		removed = true
		if k, ok := p.known.Peek(sku); ok && k.id == h.ID {
			p.known.Remove(sku)
		}
	}
	return removed, nil
}

// drop deletes an offer; that it is gone already is as good.
func (p *push) drop(ctx context.Context, id string) error {
	resp, err := p.do(ctx, request{op: opDelete, path: offersPath(id)})
	if resp != nil && resp.Status == http.StatusNotFound {
		return nil
	}
	return err
}

const (
	// maxReasons bounds how many offers of one Push are asked why they are not
	// for sale: it is one call each.
	maxReasons = 10
)

// lookBack asks, with one call for all offers just pushed, which are for sale,
// and for some of the others why not. bol checks offers against its policies
// after it took them, so the news may come with a later push. That this fails
// changes nothing of what was done.
func (p *push) lookBack(ctx context.Context) {
	at := map[string]int{}
	var ids []string
	for i := range p.items {
		if p.offers[i] == nil || p.results[i].Err != nil {
			continue
		}
		if k, ok := p.known.Peek(p.items[i].SKU); ok {
			at[k.id] = i
			ids = append(ids, k.id)
		}
	}
	var idle []string
	for chunk := range slices.Chunk(ids, perQuery) {
		if p.stopped(ctx) != nil || p.budget.left(opOffers) > 0 {
			return
		}
		offers, err := p.list(ctx, url.Values{"offer-ids": chunk})
		if err != nil {
			return
		}
		for _, h := range offers {
			i, ok := at[h.ID]
			switch {
			case !ok:
			case slices.ContainsFunc(h.Countries, func(c country) bool { return c.ForSale }):
				p.results[i].Status = connectors.Live
			default:
				idle = append(idle, h.ID)
			}
		}
	}
	idle = idle[:min(len(idle), maxReasons)]
	var mu sync.Mutex
	p.each(ctx, len(idle), func(n int) error {
		issues, err := p.reasons(ctx, idle[n])
		mu.Lock()
		defer mu.Unlock()
		r := &p.results[at[idle[n]]]
		r.Issues = append(r.Issues, issues...)
		return err
	}, func(int, *connectors.Error) {})
}

// reasonFields say which field of the document a category of reasons is about.
var reasonFields = map[string]string{"PRICE": "price", "STOCK": "stock", "ON_HOLD": "on_hold"}

// reasons are why an offer is not for sale, as warnings: bol holds the offer.
func (c *Connector) reasons(ctx context.Context, id string) ([]pim.Issue, error) {
	resp, err := c.do(ctx, request{op: opReasons, path: offersPath(id, "not-for-sale-reasons")})
	if err != nil {
		return nil, err
	}
	var answer struct {
		Countries []struct {
			Code    string `json:"countryCode"`
			Reasons []struct {
				Category    string `json:"category"`
				Code        string `json:"code"`
				Description string `json:"description"`
				Missing     []struct {
					Name string `json:"name"`
				} `json:"missingAttributes"`
			} `json:"reasons"`
		} `json:"countries"`
	}
	if err := read(opReasons, resp, &answer); err != nil {
		return nil, err
	}
	var issues []pim.Issue
	for _, in := range answer.Countries {
		for _, r := range in.Reasons {
			text := fmt.Sprintf("%s: %s", in.Code, r.Description)
			var missing []string
			for _, m := range r.Missing[:min(len(r.Missing), maxIssues)] {
				missing = append(missing, m.Name)
			}
			if len(missing) > 0 {
				text += " (" + strings.Join(missing, ", ") + ")"
			}
			code := c.text(r.Code)
			if code == "" {
				code = "bol.not_for_sale"
			}
			if len(issues) < maxIssues {
				issues = append(issues, pim.Issue{Code: code, Severity: pim.SeverityWarning, Attribute: reasonFields[r.Category], Text: c.text(text)})
			}
		}
	}
	return issues, nil
}
