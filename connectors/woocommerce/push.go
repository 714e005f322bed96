package woocommerce

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
)

// task is one item on its way.
type task struct {
	sku      pim.SKU
	action   connectors.Action
	withdraw bool      // the action withdraws
	doc      *document // nil when withdrawn
	result   *connectors.Result
	have     *object // what the shop holds, nil for nothing
	cached   bool    // have is only remembered
	done     bool
	again    bool    // what we took for the shop's state was wrong: once more, from a look-up
	knew     int64   // the id that was remembered of it, 0 for none
	anew     bool    // of content: the shop did not hold it, or holds another object than we knew
	carry    *object // what stood in its place, with all fields
	cleared  bool    // that was removed: the shop does not hold what it held
	taken    int     // how often the shop said that another object has its SKU
	stale    bool    // the shop has no picture by an id that was remembered
}

// open reads the item's document.
func (t *task) open(item connectors.Item) error {
	if bad := storable(item.SKU); bad != nil && !t.action.Tombstone() {
		return refuse(*bad)
	}
	switch {
	case t.withdraw:
		return nil
	case t.action == connectors.SellOut:
		t.doc = &document{} // what else there is to its offer stays
		return nil
	}
	raw, err := connectors.DecodeDocument(item.Document)
	if err != nil {
		return &connectors.Error{Verdict: connectors.Permanent, Err: fmt.Errorf("reading the document of %s: %w", item.SKU, err)}
	}
	doc, issues := read(item.Lane, raw)
	switch {
	case len(issues) > 0:
		return refuse(issues...)
	case doc.sku != "" && doc.sku != item.SKU:
		return refuse(pim.Issue{Code: "woocommerce.sku", Severity: pim.SeverityError, Attribute: "sku", Text: "The document's sku is another one than the product's, by which it is found in the shop."})
	case doc.parent == item.SKU:
		return refuse(pim.Issue{Code: "woocommerce.parent", Severity: pim.SeverityError, Attribute: "parent", Text: "A product cannot be its own parent."})
	}
	t.doc = doc
	return nil
}

// missing is the error of an offer or of pictures whose product is not there. It
// is tried again: the content may be putting another object in its place just now.
func missing() error {
	const text = "The shop does not hold this product any more. The next edit of its texts, or a full resync of the channel, makes it anew."
	return &connectors.Error{
		Verdict: connectors.Conflict, After: parentAfter, Err: errors.New("the shop does not hold this product any more"),
		Issues: []pim.Issue{{Code: "woocommerce.missing", Severity: pim.SeverityError, Text: text}},
	}
}

// refuse is the error of an item that need not be sent to be refused.
func refuse(issues ...pim.Issue) error {
	return &connectors.Error{Verdict: connectors.Validation, Issues: issues, Err: errors.New(issues[0].Text)}
}

// fail notes an item's error. Where what stood in its place was removed already,
// the shop holds nothing of the item: the hub must not believe that it holds what
// it held, and has to bring price, stock and pictures again.
func (t *task) fail(err error) {
	if t.cleared && connectors.Certain(err) {
		e := *connectors.AsError(err)
		e.Uncertain = true
		err = &e
	}
	t.done, t.result.Err = true, err
}

// took notes that the shop has it.
func (t *task) took(row *answer) {
	t.done, t.result.Err, t.result.Status = true, nil, connectors.Accepted
	if row != nil && row.Status == "publish" && !t.withdraw {
		t.result.Status = connectors.Live
	}
	t.result.Anew = t.anew
}

// push is one call of Push.
type push struct {
	*Connector
	ctx   context.Context
	lane  pim.Lane
	tasks []*task
	told  bool              // the shop answered a write: from now on failures are the items' own
	stop  *connectors.Error // what keeps us from further calls
	kin   map[pim.SKU]*parent
}

// run brings all tasks to an end, or gives the error of the call as a whole.
func (p *push) run() error {
	todo := p.tasks
	for attempt := range 3 {
		// One SKU twice in one call goes one after the other.
		var now, later []*task
		seen := map[pim.SKU]bool{}
		for _, t := range todo {
			if seen[t.sku] {
				later = append(later, t)
				continue
			}
			seen[t.sku] = true
			now = append(now, t)
		}
		if err := p.round(now, attempt > 0); err != nil {
			return err
		}
		if todo = later; p.stop != nil {
			break
		}
		for _, t := range now {
			if t.again && !t.done {
				t.again, t.have, t.result.Issues = false, nil, nil
				if !t.cleared {
					t.carry = nil
				}
				todo = append(todo, t)
			}
		}
		if len(todo) == 0 {
			break
		}
	}
	for _, t := range p.tasks {
		if t.done {
			continue
		}
		if p.stop != nil {
			e := *p.stop
			e.Uncertain = false // nothing of this one was sent
			if e.Verdict == connectors.Validation || e.Verdict == connectors.Permanent {
				// What was refused was another's, such as a category.
				e.Verdict, e.After, e.Issues = connectors.Conflict, parentAfter, nil
			}
			t.fail(&e)
			continue
		}
		t.fail(&connectors.Error{Verdict: connectors.Conflict, After: parentAfter, Err: errors.New("the shop's answer and its list of products disagree; it is tried again")})
	}
	return nil
}

// round is one pass: look up, then products, then variations.
func (p *push) round(tasks []*task, fresh bool) error {
	if err := p.find(tasks, fresh); err != nil {
		return p.halt(err)
	}
	var products []*row
	variations := map[int64][]*row{}
	place := func(t *task, r *row) {
		if t.have.isVariation() {
			variations[t.have.ParentID] = append(variations[t.have.ParentID], r)
		} else {
			products = append(products, r)
		}
	}
	var shown []*task
	left := map[int64][]*row{} // variations that go, before their parents do
	for _, t := range tasks {
		switch {
		case t.done:
		case t.action.Tombstone() && t.have == nil:
			t.took(nil)
		case t.withdraw && t.have.isVariation():
			left[t.have.ParentID] = append(left[t.have.ParentID], p.withdrawal(t))
		case t.withdraw:
			place(t, p.withdrawal(t))
		case t.action == connectors.SellOut:
			place(t, &row{task: t, id: t.have.ID, body: map[string]any{"manage_stock": true, "stock_quantity": 0, "backorders": "no"}})
		case p.lane == pim.Content: // below: needs its parent, or its variants
		case t.have == nil:
			t.fail(missing())
		case p.lane == pim.Offer:
			place(t, &row{task: t, id: t.have.ID, body: p.offer(t)})
		default:
			shown = append(shown, t)
		}
	}
	if err := p.writeAll(nil, left); err != nil {
		return p.halt(err)
	}
	switch {
	case p.lane == pim.Content:
		return p.halt(p.content(tasks, products, variations))
	case len(shown) > 0:
		return p.halt(p.pictures(shown, products, variations))
	}
	return p.halt(p.writeAll(products, variations))
}

// halt keeps an error for the call as a whole as long as nothing was written.
func (p *push) halt(err error) error {
	if err == nil || !p.told {
		return err
	}
	if p.stop == nil {
		p.stop = connectors.AsError(err)
	}
	return nil
}

// find fills in what the shop holds of each task.
func (p *push) find(tasks []*task, fresh bool) error {
	p.kin = nil
	var ask []pim.SKU
	for _, t := range tasks {
		k, ok := p.known.Get(t.sku)
		if t.knew == 0 {
			t.knew = k.id
		}
		switch {
		case fresh, !ok, t.withdraw, p.lane == pim.Media, time.Since(k.at) > staleAfter, p.lane == pim.Content && (k.variable || !k.bare || t.doc.parent != "" || len(t.doc.attributes) > 0):
			ask = append(ask, t.sku)
		default:
			t.have, t.cached = k.object(t.sku), true
		}
	}
	if len(ask) == 0 {
		return nil
	}
	fields := "id,sku,type,parent_id"
	switch p.lane {
	case pim.Content:
		fields += ",attributes"
	case pim.Media:
		fields += ",images"
	}
	if p.lane == pim.Content {
		ask = append(ask, parentsOf(tasks)...)
		slices.Sort(ask)
		ask = slices.Compact(ask)
	}
	found, err := p.lookUp(p.ctx, ask, fields)
	if err != nil {
		return err
	}
	for _, t := range tasks {
		if o := found[t.sku]; o != nil || !t.cached {
			t.have, t.cached = o, false
		}
	}
	p.parents(tasks, found)
	return nil
}

// leftAs is what becomes of what is withdrawn: deletes, drafts or hides.
func (s *settings) leftAs(a connectors.Action) string {
	switch {
	case a == connectors.Delete:
		return deletes
	case a == connectors.Disable && s.onWithdraw == deletes:
		return drafts
	}
	return s.onWithdraw
}

// withdrawal is the row that takes an object away.
func (p *push) withdrawal(t *task) *row {
	status := p.leftAs(t.action)
	if status == deletes {
		return &row{task: t, id: t.have.ID, remove: true}
	}
	if t.have.isVariation() {
		status = hides // WooCommerce's pages show variations as enabled or not: publish or private
	}
	return &row{task: t, id: t.have.ID, body: map[string]any{"status": status}}
}

// fieldsOf are a document's fields for a product or a variation, with the reset
// of those that it does not have.
func (p *push) fieldsOf(d *document, variation, creating bool) map[string]any {
	body := make(map[string]any, len(d.fields)+8)
	for name, f := range fields[p.lane] {
		if f.product && !variation || f.variation && variation {
			if v, ok := d.fields[name]; ok {
				body[name] = v
			} else if f.reset != nil && !creating && !p.keep[name] {
				body[name] = f.reset
			}
		}
	}
	if status, ok := body["status"].(string); ok && variation && status != "publish" {
		body["status"] = hides
	}
	return body
}

// offer is the body of price and stock.
func (p *push) offer(t *task) map[string]any {
	body := p.fieldsOf(t.doc, t.have.isVariation(), false)
	if t.have.isVariable() {
		// The shop shows its variations' prices; its own it empties by itself.
		if t.doc.fields["regular_price"] != nil {
			t.result.Issues = append(t.result.Issues, pim.Issue{
				Code: "woocommerce.parent_price", Severity: pim.SeverityWarning, Attribute: "regular_price",
				Text: "A product with variants has no price of its own in WooCommerce; its variants' count.",
			})
		}
		for _, name := range []string{"regular_price", "sale_price", "date_on_sale_from_gmt", "date_on_sale_to_gmt"} {
			delete(body, name)
		}
	}
	if t.doc.stock != "" {
		body["manage_stock"], body["stock_quantity"] = true, t.doc.stock
		return body
	}
	body["manage_stock"] = false
	if body["stock_status"] == nil && !t.have.isVariable() {
		body["stock_status"] = "instock" // nobody counts it: it can be bought
	}
	return body
}
