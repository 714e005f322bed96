package tryton

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
)

// record is a product.product as Tryton holds it.
type record struct {
	ID          int64
	Code        pim.SKU
	Active      bool
	Description *string
	Template    struct {
		ID       int64
		Name     string
		Active   bool
		Products []int64 // the active ones
	} `json:"template."`
	Identifiers []identifier `json:"identifiers."`
}

// identifier is a product.identifier.
type identifier struct {
	ID   int64
	Type *string
	Code string
}

// recordFields are what a look-up reads; a name with a point reads through the
// relation, into a member whose name ends in one.
var recordFields = []string{
	"code", "active", "description", "template.name", "template.active", "template.products", "identifiers.type", "identifiers.code",
}

// The calls that change something, in the order in which a push makes them:
// parents before variants, and all creations before what may refer to them.
const (
	createTemplate = "model.product.template.create"
	createProduct  = "model.product.product.create"
	writeTemplate  = "model.product.template.write"
	writeProduct   = "model.product.product.write"
)

var pushOrder = []string{createTemplate, createProduct, writeTemplate, writeProduct}

// op is what one item demands of Tryton: one record of one call.
type op struct {
	at     int // the item's place in the push
	method string
	id     int64 // of the record to write
	values map[string]any
}

// push is one Push at work.
type push struct {
	*Connector
	items   []connectors.Item
	results []connectors.Result
	docs    []*document
	words   words
	found   map[pim.SKU]*record
	wrote   bool // something was applied
	allowed bool // the user's rights have been looked at
}

// Push makes Tryton's products equal to the items; see connectors.Connector.
// Each call to Tryton is one transaction: what it refuses is halved until the
// item at fault stands alone. An error that ends the push after something was
// written is uncertain, so that no item's state is believed.
func (c *Connector) Push(ctx context.Context, items []connectors.Item) ([]connectors.Result, error) {
	if len(items) == 0 {
		return nil, nil
	}
	if len(items) > c.limits.Batch {
		return nil, &connectors.Error{Verdict: connectors.Permanent, Err: fmt.Errorf("%d items in one call, the limit is %d", len(items), c.limits.Batch)}
	}
	p := &push{Connector: c, items: items, results: make([]connectors.Result, len(items)), docs: make([]*document, len(items))}
	if err := p.run(ctx); err != nil {
		e := *connectors.AsError(err)
		e.Uncertain = e.Uncertain || p.wrote
		return nil, &e
	}
	return p.results, nil
}

// run does the items language by language; a channel has one, so there is mostly
// one round. Withdrawals have no document, and go with the first.
func (p *push) run(ctx context.Context) error {
	h, err := p.house.get(ctx, p.askHouse)
	if err != nil {
		return err
	}
	rounds := map[string][]int{}
	var withdrawn []int
	for i := range p.items {
		language, ok := p.read(h, i)
		switch {
		case p.results[i].Err != nil:
		case ok:
			rounds[language] = append(rounds[language], i)
		default:
			withdrawn = append(withdrawn, i)
		}
	}
	var languages []string
	for l := range rounds {
		languages = append(languages, l)
	}
	slices.Sort(languages)
	if len(languages) == 0 {
		languages = []string{""}
	}
	for n, l := range languages {
		p.words = h.words
		if l != "" {
			p.words = h.words.with("language", l)
		}
		at := rounds[l]
		if n == 0 {
			at = append(at, withdrawn...)
		}
		if err := p.round(ctx, h, at); err != nil {
			return err
		}
	}
	return nil
}

// read reads an item's document and says its language; false is a withdrawal. An
// item that cannot be sent has its result already.
func (p *push) read(h *house, i int) (string, bool) {
	it := &p.items[i]
	p.results[i].Status = connectors.Accepted
	switch {
	case it.Lane != pim.Content:
		p.refuse(i, &connectors.Error{Verdict: connectors.Permanent, Err: fmt.Errorf("the %s lane does not go to Tryton, which owns price and stock", it.Lane)})
		return "", false
	case it.Action.Withdraws():
		return "", false
	}
	d, refused := readDocument(it.Document)
	if refused != nil {
		p.refuse(i, refused)
		return "", false
	}
	p.docs[i] = d
	if d.Language == "" {
		return "", true
	}
	language := h.language(d.Language)
	if language == "" {
		p.refuse(i, invalid(pim.Issue{
			Code: "language.unknown", Severity: pim.SeverityError, Attribute: "language",
			Text: fmt.Sprintf("Tryton translates into no language for %q; make it translatable in Tryton's languages", d.Language),
		}))
		return "", false
	}
	return language, true
}

// refuse gives an item its error.
func (p *push) refuse(i int, err error) { p.results[i] = connectors.Result{Err: err} }

// round pushes the items of one language.
func (p *push) round(ctx context.Context, h *house, at []int) error {
	if len(at) == 0 {
		return nil
	}
	var skus []pim.SKU
	for _, i := range at {
		skus = append(skus, p.items[i].SKU)
		if d := p.docs[i]; d != nil && d.Parent != "" {
			skus = append(skus, d.Parent)
		}
	}
	var err error
	if p.found, err = p.lookUp(ctx, skus); err != nil {
		return err
	}
	var variants []int
	ops := map[string][]*op{}
	plan := func(i int) error {
		o, err := p.plan(ctx, h, i)
		if o != nil {
			ops[o.method] = append(ops[o.method], o)
		}
		return err
	}
	for _, i := range at {
		p.results[i].Anew = p.docs[i] != nil && p.found[p.items[i].SKU] == nil
		if d := p.docs[i]; d != nil && d.Parent != "" && p.results[i].Anew {
			variants = append(variants, i) // they need their parent's template
			continue
		}
		if err := plan(i); err != nil {
			return err
		}
	}
	for _, method := range pushOrder {
		if method == createProduct {
			for _, i := range variants {
				if err := plan(i); err != nil {
					return err
				}
			}
		}
		if err := p.apply(ctx, method, ops[method]); err != nil {
			return err
		}
	}
	return nil
}

// lookUp finds the products of SKUs, inactive ones included. Tryton lets inactive
// ones share a code: an active one counts before those, then the older.
func (p *push) lookUp(ctx context.Context, skus []pim.SKU) (map[pim.SKU]*record, error) {
	slices.Sort(skus)
	skus = slices.Compact(skus)
	var records []*record
	domain := []any{[]any{"code", "in", skus}, []any{"active", "in", []bool{true, false}}}
	order := [][]string{{"active", "DESC"}, {"id", "ASC"}}
	if _, err := p.server.read(ctx, "model.product.product.search_read", &records, domain, 0, 20*len(skus), order, recordFields, p.words); err != nil {
		return nil, err
	}
	found := make(map[pim.SKU]*record, len(records))
	for _, r := range records {
		if r != nil && found[r.Code] == nil {
			found[r.Code] = r
		}
	}
	return found, nil
}

// plan says what an item demands, nil where nothing is to be done.
func (p *push) plan(ctx context.Context, h *house, i int) (*op, error) {
	it, d := &p.items[i], p.docs[i]
	r := p.found[it.SKU]
	switch {
	case d == nil:
		return p.withdraw(i, r), nil
	case r != nil:
		return p.update(i, r), nil
	case d.Parent != "":
		return p.variant(i), nil
	}
	symbol := d.Unit
	if symbol == "" {
		symbol = p.Unit
	}
	unit, err := p.unit(ctx, symbol)
	if err != nil {
		return nil, err
	}
	if unit == 0 {
		p.refuse(i, invalid(pim.Issue{
			Code: "unit.unknown", Severity: pim.SeverityError, Attribute: "unit",
			Text: fmt.Sprintf("Tryton has no unit of measure with the symbol %q", symbol),
		}))
		return nil, nil
	}
	values := map[string]any{"name": d.Name, "type": d.Type, "default_uom": unit, "products": create(d.product(it.SKU))}
	if h.sale {
		values["salable"], values["sale_uom"] = true, unit
	}
	return &op{at: i, method: createTemplate, values: values}, nil
}

// product are the values of a new product.product.
func (d *document) product(sku pim.SKU) map[string]any {
	values := map[string]any{"suffix_code": sku}
	if d.Description != nil && *d.Description != "" {
		values["description"] = *d.Description
	}
	if d.GTIN != "" {
		values["identifiers"] = create(map[string]any{"type": "ean", "code": d.GTIN})
	}
	if d.Active != nil && !*d.Active {
		values["active"] = false
	}
	return values
}

// create and change are the forms in which a record's values carry those of
// records below it.
func create(values map[string]any) any { return []any{[]any{"create", []any{values}}} }

func change(id int64, values map[string]any) any {
	return []any{[]any{"write", []int64{id}, values}}
}

// variant is the op that makes a variant of its parent's template. A parent that
// is not there comes with a later push, or never.
func (p *push) variant(i int) *op {
	it, d := &p.items[i], p.docs[i]
	parent := p.found[d.Parent]
	if parent == nil || it.SKU == d.Parent {
		p.refuse(i, &connectors.Error{Verdict: connectors.Conflict, After: again, Err: fmt.Errorf("the parent %s is not in Tryton yet", d.Parent)})
		return nil
	}
	values := d.product(it.SKU)
	if parent.Template.Active {
		values["template"] = parent.Template.ID
		return &op{at: i, method: createProduct, values: values}
	}
	// An active product cannot stand in an inactive template.
	return &op{at: i, method: writeTemplate, id: parent.Template.ID, values: map[string]any{"active": true, "products": create(values)}}
}

// update is the op that makes a record equal to its item. The name is the
// template's and so the parent's; a variant leaves it alone.
func (p *push) update(i int, r *record) *op {
	d := p.docs[i]
	product, template := map[string]any{}, map[string]any{}
	if d.Description != nil && *d.Description != text(r.Description) {
		product["description"] = *d.Description
	}
	if active := d.Active == nil || *d.Active; active != r.Active {
		product["active"] = active
	}
	if d.GTIN != "" {
		if set := gtin(r.Identifiers, d.GTIN); set != nil {
			product["identifiers"] = set
		}
	}
	if d.Parent == "" && d.Name != r.Template.Name {
		template["name"] = d.Name
	}
	if !r.Template.Active && product["active"] == true {
		template["active"] = true
	}
	if parent := p.found[d.Parent]; d.Parent != "" && parent != nil && parent.Template.ID != r.Template.ID {
		p.results[i].Issues = []pim.Issue{{
			Code: "template.other", Severity: pim.SeverityWarning, Attribute: "parent",
			Text: fmt.Sprintf("in Tryton this is a variant of %q, another product than %s; it is kept there", r.Template.Name, d.Parent),
		}}
	}
	switch {
	case len(template) == 0 && len(product) == 0:
		return nil
	case len(template) == 0:
		return &op{at: i, method: writeProduct, id: r.ID, values: product}
	case len(product) > 0:
		template["products"] = change(r.ID, product)
	}
	return &op{at: i, method: writeTemplate, id: r.Template.ID, values: template}
}

// gtin is what changes a product's identifiers so that the GTIN is among them.
func gtin(have []identifier, want string) any {
	for _, id := range have {
		if text(id.Type) == "ean" && id.Code == want {
			return nil
		}
	}
	for _, id := range have {
		if text(id.Type) == "ean" {
			return change(id.ID, map[string]any{"code": want})
		}
	}
	return create(map[string]any{"type": "ean", "code": want})
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// withdraw is the op that deactivates a product, and its template with the last
// of its products: an ERP deletes nothing that has been bought or sold.
func (p *push) withdraw(i int, r *record) *op {
	if r == nil || !r.Active || p.Withdraw == "keep" && p.items[i].Action == connectors.Withdraw {
		return nil
	}
	off := map[string]any{"active": false}
	if slices.ContainsFunc(r.Template.Products, func(id int64) bool { return id != r.ID }) {
		return &op{at: i, method: writeProduct, id: r.ID, values: off}
	}
	return &op{at: i, method: writeTemplate, id: r.Template.ID, values: map[string]any{"active": false, "products": change(r.ID, off)}}
}

// apply makes one call of all ops, and halves them where Tryton refuses it for
// what is in it. Its error ends the push.
func (p *push) apply(ctx context.Context, method string, ops []*op) error {
	if len(ops) == 0 {
		return nil
	}
	err := p.send(ctx, method, ops)
	if err == nil {
		p.wrote = true
		return nil
	}
	switch e := connectors.AsError(err); {
	case e.Uncertain, e.Verdict == connectors.Throttled, e.Verdict == connectors.Unavailable, e.Verdict == connectors.Auth:
		return err
	case len(ops) == 1:
		return p.alone(ctx, ops[0], e)
	}
	half := len(ops) / 2
	if err := p.apply(ctx, method, ops[:half]); err != nil {
		return err
	}
	return p.apply(ctx, method, ops[half:])
}

// send makes the call. The templates that it creates can have variants at once.
func (p *push) send(ctx context.Context, method string, ops []*op) error {
	if method == writeTemplate || method == writeProduct {
		var params []any
		for _, o := range ops {
			params = append(params, []int64{o.id}, o.values)
		}
		return p.server.write(ctx, method, nil, append(params, p.words)...)
	}
	var (
		records []any
		ids     []int64
	)
	for _, o := range ops {
		records = append(records, o.values)
	}
	if err := p.server.write(ctx, method, &ids, records, p.words); err != nil {
		return err
	}
	if len(ids) != len(ops) {
		return unreadable(fmt.Sprintf("%s: %d records were made of %d", method, len(ids), len(ops)))
	}
	if method == createTemplate {
		for n, o := range ops {
			r := &record{Code: p.items[o.at].SKU}
			r.Template.ID, r.Template.Active = ids[n], true
			p.found[r.Code] = r
		}
	}
	return nil
}

// alone settles one op that was refused: for the user's rights, because somebody
// else made or removed the record meanwhile, or for what is in it.
func (p *push) alone(ctx context.Context, o *op, e *connectors.Error) error {
	sku := p.items[o.at].SKU
	if e.Verdict == connectors.Validation {
		if !p.allowed {
			if err := p.mayWrite(ctx); err != nil {
				return err
			}
			p.allowed = true
		}
		now, err := p.lookUp(ctx, []pim.SKU{sku})
		if err != nil {
			return err
		}
		if before := p.found[sku]; (now[sku] == nil) != (before == nil) || before != nil && before.ID != 0 && now[sku].ID != before.ID {
			e = &connectors.Error{Verdict: connectors.Conflict, After: again, Err: errors.New("the product was made or removed in Tryton meanwhile")}
		}
	}
	if e.Verdict == connectors.Permanent {
		// An exception that the table does not know may be about the item, or the end
		// of Tryton's database in words of another language.
		if _, err := p.lookUp(ctx, []pim.SKU{sku}); err != nil {
			broken := *connectors.AsError(err)
			broken.Uncertain = true
			return &broken
		}
	}
	if e.Verdict == connectors.Permanent || e.Verdict == connectors.Validation {
		// A unit or a language may have gone: what is remembered of them is asked anew.
		p.house.drop()
		p.units.drop()
	}
	p.refuse(o.at, e)
	return nil
}
