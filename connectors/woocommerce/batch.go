package woocommerce

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
)

// row is one object in a batch.
type row struct {
	task   *task   // nil: the row is for a parent of variants
	parent *parent // of such a row
	id     int64   // 0 makes a new object
	remove bool
	clears bool // the removal makes room for the task's own row
	body   map[string]any
	sent   []byte // body, or the id to remove, as JSON
}

// answer is what the shop says of a row.
type answer struct {
	ID     int64  `json:"id"`
	SKU    string `json:"sku"`
	Type   string `json:"type"`
	Status string `json:"status"`
	// Attributes tell whether it has any. Plugins write some that are no list.
	Attributes json.RawMessage `json:"attributes"`
	Error      *refusal        `json:"error"`
	Images     json.RawMessage `json:"images"`
	Image      json.RawMessage `json:"image"` // a variation's
}

// deletion is the answer to a deleted row: the object as it was in the end.
type deletion struct {
	answer
	was json.RawMessage
}

// UnmarshalJSON keeps the whole object besides.
func (d *deletion) UnmarshalJSON(b []byte) error {
	d.was = slices.Clone(b)
	return json.Unmarshal(b, &d.answer)
}

// answers are what comes back of a call of several rows, in their order.
type answers struct {
	Create []answer   `json:"create"`
	Update []answer   `json:"update"`
	Delete []deletion `json:"delete"`
}

// writeAll writes products, then the variations of each parent.
func (p *push) writeAll(products []*row, variations map[int64][]*row) error {
	if err := p.write("products/batch", 0, products); err != nil {
		return err
	}
	for _, parent := range slices.Sorted(maps.Keys(variations)) {
		if err := p.write(fmt.Sprintf("products/%d/variations/batch", parent), parent, variations[parent]); err != nil {
			return err
		}
	}
	return nil
}

// maxSent bounds the rows of one call, in bytes: web servers refuse large bodies
// (nginx by default above 1 MB), and PHP drops them without a word.
const maxSent = 900 << 10

// write sends rows in calls of at most the batch limit. Its error is for the
// whole push: nothing was written yet.
func (p *push) write(path string, parent int64, rows []*row) error {
	rows = slices.DeleteFunc(slices.Clone(rows), func(r *row) bool { return !r.encode() })
	for len(rows) > 0 {
		n, size := 0, 0
		for n < len(rows) && n < p.limits.Batch && (n == 0 || size+len(rows[n].sent) <= maxSent) {
			size += len(rows[n].sent) + 1
			n++
		}
		if p.over() {
			return nil
		}
		if err := p.send(path, parent, rows[:n]); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// encode writes the row's JSON, once; false when it has none.
func (r *row) encode() bool {
	switch {
	case r.sent != nil:
		return true
	case r.remove:
		r.sent = strconv.AppendInt(nil, r.id, 10)
		return true
	case r.id != 0:
		r.body["id"] = r.id
	}
	var err error
	if r.sent, err = json.Marshal(r.body); err == nil {
		return true
	}
	e := &connectors.Error{Verdict: connectors.Permanent, Err: fmt.Errorf("writing a row: %w", err)}
	if r.task == nil {
		r.parent.err = e
	} else {
		r.task.fail(e)
	}
	return false
}

// bodyOf joins rows to the body of a call.
func bodyOf(by [3][]*row) []byte {
	size := 64
	for _, rows := range by {
		for _, r := range rows {
			size += len(r.sent) + 1
		}
	}
	b := append(make([]byte, 0, size), '{')
	for i, name := range []string{`"create":[`, `"update":[`, `"delete":[`} {
		if len(by[i]) == 0 {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(b, name...)
		for j, r := range by[i] {
			if j > 0 {
				b = append(b, ',')
			}
			b = append(b, r.sent...)
		}
		b = append(b, ']')
	}
	return append(b, '}')
}

// over reports whether no further call shall begin: the shop is in trouble, or
// there is no time for a whole call, and one that is cut off leaves everything
// in doubt.
func (p *push) over() bool {
	deadline, ok := p.ctx.Deadline()
	if ok && p.told && p.stop == nil && time.Until(deadline) < p.limits.Timeout/10 {
		p.stop = &connectors.Error{Verdict: connectors.Throttled, After: time.Second, Err: errors.New("the call's time is over; the rest goes with the next one")}
	}
	return p.stop != nil
}

// send makes one call.
func (p *push) send(path string, parent int64, rows []*row) error {
	var by [3][]*row // created, updated, deleted
	for _, r := range rows {
		switch {
		case r.remove:
			by[2] = append(by[2], r)
		case r.id != 0:
			by[1] = append(by[1], r)
		default:
			by[0] = append(by[0], r)
		}
	}
	var said answers
	if _, err := p.call(p.ctx, http.MethodPost, path, nil, bodyOf(by), &said); err != nil {
		return p.refusedWhole(path, parent, rows, connectors.AsError(err))
	}
	if len(said.Create) != len(by[0]) || len(said.Update) != len(by[1]) || len(said.Delete) != len(by[2]) {
		e := &connectors.Error{Verdict: connectors.Unavailable, Uncertain: true, Err: fmt.Errorf("POST %s: the answer does not name every row", path)}
		return p.refusedWhole(path, parent, rows, e)
	}
	p.told = true
	for i, list := range [][]answer{said.Create, said.Update} {
		for j := range list {
			p.hear(by[i][j], parent, &list[j])
		}
	}
	for j := range said.Delete {
		p.hearDeletion(by[2][j], parent, &said.Delete[j])
	}
	return nil
}

// refusedWhole is what the failure of a call means for its rows.
func (p *push) refusedWhole(path string, parent int64, rows []*row, e *connectors.Error) error {
	if e.Verdict == connectors.Conflict {
		for _, r := range rows { // an id in the path or in the rows is not what it was
			p.forget(r)
		}
	}
	if !p.told {
		return e
	}
	if (e.Verdict == connectors.Validation || e.Verdict == connectors.Permanent) && len(rows) > 1 {
		for _, half := range [][]*row{rows[:len(rows)/2], rows[len(rows)/2:]} {
			if err := p.write(path, parent, half); err != nil {
				return err
			}
		}
		return nil
	}
	for _, r := range rows {
		if r.task == nil {
			r.parent.err = e
		} else {
			r.task.fail(e)
		}
	}
	switch e.Verdict {
	case connectors.Throttled, connectors.Unavailable, connectors.Auth:
		p.stop = e
	}
	return nil
}

func (p *push) forget(r *row) {
	if r.task != nil {
		p.known.Remove(r.task.sku)
	} else {
		p.known.Remove(r.parent.sku)
	}
}

// hearDeletion reads the shop's answer to a deleted row. What made room is carried
// over as it was in the end: an offer may have come since it was looked up.
func (p *push) hearDeletion(r *row, parent int64, d *deletion) {
	p.hear(r, parent, &d.answer)
	if !r.clears || r.task.done {
		return
	}
	r.task.cleared = true
	var was struct {
		Images []picture `json:"images"`
		Image  *picture  `json:"image"` // a variation's
		carried
	}
	if d.Error != nil || d.SKU != string(r.task.sku) || r.task.carry == nil || json.Unmarshal(d.was, &was) != nil {
		return
	}
	r.task.carry.carried = was.carried
	switch {
	case len(was.Images) > 0:
		r.task.carry.Images = was.Images
	case was.Image != nil && was.Image.ID > 0:
		r.task.carry.Images = []picture{*was.Image}
	}
}

// hear reads the shop's answer to one row.
func (p *push) hear(r *row, parent int64, a *answer) {
	if a.Error != nil {
		p.hearRefusal(r, a.Error)
		return
	}
	if a.ID <= 0 || r.id != 0 && a.ID != r.id {
		e := &connectors.Error{Verdict: connectors.Unavailable, Uncertain: true, Err: errors.New("the shop's answer is about another object than the request")}
		p.forget(r)
		if r.task == nil {
			r.parent.err = e
		} else {
			r.task.fail(e)
		}
		return
	}
	if p.lane == pim.Media {
		p.library.learn(a.pictures()...)
	}
	t := r.task
	switch {
	case t == nil:
		p.known.Add(r.parent.sku, known{id: a.ID, variable: true, at: time.Now()})
		return
	case r.clears:
		p.known.Remove(t.sku)
		return
	case r.remove:
		p.known.Remove(t.sku)
	case a.SKU != "" && a.SKU != string(t.sku) && r.id == 0:
		// To make it once more would make one more.
		t.fail(refuse(pim.Issue{
			Code: "woocommerce.sku", Severity: pim.SeverityError, Attribute: "sku",
			Text: p.text(fmt.Sprintf("The shop, or a plugin of it, stored the SKU as %q, and would not find it again. Remove the product %d there.", a.SKU, a.ID)),
		}))
		return
	case a.SKU != "" && a.SKU != string(t.sku) && !t.withdraw:
		// The id has another SKU by now. The next look-up tells which has ours.
		p.known.Remove(t.sku)
		t.again = true
		return
	default:
		k := known{id: a.ID, parent: parent, variable: parent == 0 && (&object{Type: a.Type}).isVariable(), bare: string(a.Attributes) == "[]", at: time.Now()}
		p.known.Add(t.sku, k)
		if par := p.kin[t.sku]; par != nil {
			par.id = a.ID
		}
	}
	t.took(a)
}

func (p *push) hearRefusal(r *row, said *refusal) {
	e, rule := p.rowError(said)
	p.forget(r)
	t := r.task
	switch {
	case r.remove && rule.special == gone:
		if !r.clears {
			t.took(nil)
		}
	case t == nil:
		r.parent.err = e
	case rule.special == gone:
		t.again = true
	case rule.special == unpictured && t.doc != nil:
		p.library.forget(t.doc.images)
		if t.stale {
			t.fail(e)
			return
		}
		t.stale, t.again = true, true
	case rule.special == duplicate && t.taken == 0:
		t.taken++
		t.again = true
	default:
		t.fail(e)
	}
}
