package tryton

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
)

const (
	// pageSize is how many products, or stock moves, one page holds.
	pageSize = 200
	// lookAgain is how often changes are looked for while everything is read.
	lookAgain = 5 * time.Second
	// wideEvery is how often a pass goes back by the overlap.
	wideEvery = time.Minute
	// margin is how far a narrow pass goes back: the Date of an answer is in whole
	// seconds, and the database's clock may be another machine's.
	margin = 5 * time.Second
	// maxSteps bounds the quantity steps of a price list: each is a request per page.
	maxSteps = 20
)

// Pull reads a page of prices and stock; see connectors.Puller.
//
// A pass reads what was written or created since an instant. PostgreSQL stamps a
// row with the beginning of its transaction, so a change becomes visible later
// than it is dated. Most passes are narrow, for the speed: they go back to the
// beginning of the pass before. A wide one each minute goes back to the wide one
// before, less the overlap, and so finds every change whose transaction was
// shorter than the overlap. What lasted longer is found when everything is read,
// which the first pass and one pass in full_hours do; meanwhile, changes are read
// between its pages. All these times are the server's own, from the Date of its
// answers; our clock only paces.
//
// Within a pass records come in the order of their ids, behind the last one: a
// record that changes meanwhile belongs to the next pass.
func (c *Source) Pull(ctx context.Context, cursor string) (*connectors.Pulled, error) {
	h, err := c.house.get(ctx, c.askHouse)
	if err != nil {
		return nil, err
	}
	o, err := c.sources.get(ctx, c.askOrigins)
	if err != nil {
		return nil, err
	}
	p := &pull{Source: c, house: h, origins: o, place: readPlace(cursor)}
	if err := p.step(ctx); err != nil {
		return nil, err
	}
	next, err := json.Marshal(p.place)
	if err != nil {
		return nil, &connectors.Error{Verdict: connectors.Permanent, Err: fmt.Errorf("writing the cursor: %w", err)}
	}
	p.pulled.Cursor = string(next)
	p.pulled.More = p.place.Phase != "" || p.place.Full != nil
	return &p.pulled, nil
}

// The phases of a pass; "" is between two.
const (
	phaseProducts = "products"
	phaseMoves    = "moves"
)

// place is where reading stands: the cursor.
type place struct {
	Since  time.Time       `json:"since"`           // the next wide pass goes back to here
	Fresh  time.Time       `json:"fresh,omitzero"`  // when the last pass began
	Phase  string          `json:"phase,omitempty"` // of the pass at work
	From   time.Time       `json:"from,omitzero"`   // what the pass at work goes back to
	Wide   bool            `json:"wide,omitempty"`  // the pass at work is a wide one
	Began  time.Time       `json:"began,omitzero"`  // when the pass at work began
	After  int64           `json:"after,omitempty"` // the last id of the phase
	Full   *walk           `json:"full,omitempty"`  // everything is being read
	FullAt time.Time       `json:"full_at,omitzero"`
	Lists  map[string]list `json:"lists,omitempty"` // by code
	Of     string          `json:"of,omitempty"`    // the sources that were read so far

	Passed time.Time `json:"passed,omitzero"`  // our clock after the last pass
	WideAt time.Time `json:"wide_at,omitzero"` // our clock after the last wide pass
}

// walk is the reading of everything.
type walk struct {
	After int64 `json:"after"`
	// Gone are quantity steps that price lists no longer have, by code: their
	// prices are removed on the way.
	Gone map[string][]int `json:"gone,omitempty"`
}

// list is what is known of a price list.
type list struct {
	Mark  string `json:"mark"`  // changes with the list and its lines
	Steps []int  `json:"steps"` // the quantities from which a price holds, 1 among them
}

// readPlace reads a cursor. What is none of ours is the beginning of time: that
// leaves nothing out.
func readPlace(cursor string) place {
	var at place
	if json.Unmarshal([]byte(cursor), &at) != nil {
		return place{}
	}
	return at
}

// pull is one Pull at work.
type pull struct {
	*Source
	house   *house
	origins *origins
	place   place
	pulled  connectors.Pulled
}

// step reads one page of changes and, when there are no more, one of everything
// where that is being read.
func (p *pull) step(ctx context.Context) error {
	at := &p.place
	if at.Phase == "" && (at.Full == nil || time.Since(at.Passed).Abs() >= lookAgain) {
		if err := p.begin(ctx); err != nil {
			return err
		}
	}
	for _, phase := range []struct {
		name string
		page func(context.Context) (bool, error)
	}{{phaseProducts, p.products}, {phaseMoves, p.moves}} {
		if at.Phase != phase.name {
			continue
		}
		done, err := phase.page(ctx)
		if err != nil || !done {
			return err
		}
		p.advance()
	}
	if at.Full != nil {
		return p.all(ctx)
	}
	return nil
}

// begin starts a pass.
func (p *pull) begin(ctx context.Context) error {
	at := &p.place
	if err := p.steps(ctx); err != nil {
		return err
	}
	if at.Of != p.origins.mark {
		at.Of = p.origins.mark
		if at.Full == nil {
			at.Full = &walk{}
		}
		at.Full.After = 0
	}
	if at.Since.IsZero() {
		return nil
	}
	at.Phase, at.After, at.Began = phaseProducts, 0, time.Time{}
	at.From = at.Fresh.Add(-margin)
	if at.Wide = at.Fresh.IsZero() || time.Since(at.WideAt).Abs() >= wideEvery; at.Wide {
		at.From = at.Since
	}
	return nil
}

// advance goes to the next phase, and from the last one ends the pass.
func (p *pull) advance() {
	at := &p.place
	if at.After = 0; at.Phase == phaseProducts && len(p.origins.places) > 0 {
		at.Phase = phaseMoves
		return
	}
	at.Phase, at.Fresh, at.Passed = "", at.Began, time.Now().UTC()
	if at.Wide {
		at.Since, at.WideAt = at.Began.Add(-p.overlap), at.Passed
	}
	if at.Full == nil && at.Began.Sub(at.FullAt).Abs() >= p.full {
		at.Full = &walk{}
	}
	at.Began = time.Time{}
}

// dated checks that an answer told the server's time.
func dated(now time.Time) error {
	if now.IsZero() {
		return &connectors.Error{Verdict: connectors.Permanent, Err: errors.New("the answers carry no Date, without which changes cannot be followed; a proxy in front of Tryton takes it away")}
	}
	return nil
}

// variant is what a page tells of a product.product.
type variant struct {
	ID        int64
	Code      *pim.SKU
	Active    bool
	Type      string
	ListPrice *number `json:"list_price"`
	Unit      int64   `json:"default_uom"`
	Salable   bool
}

func (p *pull) variantFields() []string {
	fields := []string{"code", "active", "type", "list_price", "default_uom"}
	if p.house.sale {
		fields = append(fields, "salable")
	}
	return fields
}

// activeOrNot is what makes a search find inactive records, too.
var activeOrNot = []any{"active", "in", []bool{true, false}}

// variants reads a page of products.
func (p *pull) variants(ctx context.Context, after int64, domain ...any) ([]*variant, time.Time, error) {
	var page []*variant
	domain = append(domain, []any{"id", ">", after}, activeOrNot)
	now, err := p.server.read(ctx, "model.product.product.search_read", &page, domain, 0, pageSize, byID, p.variantFields(), p.house.words)
	if err == nil && slices.Contains(page, nil) {
		return nil, now, ofRead(unreadable("model.product.product.search_read: a record is null"))
	}
	return page, now, err
}

var byID = [][]string{{"id", "ASC"}}

// since is the domain of what was written or created since the last pass, through
// relations or not. write_date is null until the first write.
func (p *pull) since(prefixes ...string) []any {
	from := instant{p.place.From}
	domain := []any{"OR"}
	for _, prefix := range prefixes {
		domain = append(domain, []any{prefix + "write_date", ">=", from}, []any{prefix + "create_date", ">=", from})
	}
	return domain
}

// products reads a page of products that changed. A list price is its template's:
// it moves the template's write_date, and no variant's; written by a program, it
// may move only that of the record that holds it.
func (p *pull) products(ctx context.Context) (bool, error) {
	page, now, err := p.variants(ctx, p.place.After, p.since("", "template.", "template.list_prices."))
	if err != nil {
		return false, err
	}
	if err := dated(now); err != nil {
		return false, err
	}
	if p.place.Began.IsZero() {
		p.place.Began = now.UTC()
	}
	if err := p.tell(ctx, page); err != nil {
		return false, err
	}
	if len(page) > 0 {
		p.place.After = page[len(page)-1].ID
	}
	return len(page) < pageSize, nil
}

// all reads a page of all products.
func (p *pull) all(ctx context.Context) error {
	at := &p.place
	page, now, err := p.variants(ctx, at.Full.After)
	if err != nil {
		return err
	}
	if err := dated(now); err != nil {
		return err
	}
	if at.Full.After == 0 {
		at.FullAt = now.UTC()
	}
	if at.Since.IsZero() {
		at.Since, at.Fresh = now.UTC().Add(-p.overlap), now.UTC()
		at.Passed = time.Now().UTC()
		at.WideAt = at.Passed
	}
	if err := p.tell(ctx, page); err != nil {
		return err
	}
	if len(page) < pageSize {
		at.Full = nil
		return nil
	}
	at.Full.After = page[len(page)-1].ID
	return nil
}

// tell adds the rows of a page of products.
func (p *pull) tell(ctx context.Context, page []*variant) error {
	if err := p.prices(ctx, page); err != nil {
		return err
	}
	return p.stock(ctx, page)
}

// moves reads a page of stock moves that changed, and the stock of their products.
func (p *pull) moves(ctx context.Context) (bool, error) {
	var page []struct{ ID, Product int64 }
	domain := []any{p.since(""), []any{"id", ">", p.place.After}}
	if _, err := p.server.read(ctx, "model.stock.move.search_read", &page, domain, 0, pageSize, byID, []string{"product"}, p.house.words); err != nil {
		return false, err
	}
	if len(page) == 0 {
		return true, nil
	}
	var ids []int64
	for _, m := range page {
		ids = append(ids, m.Product)
	}
	slices.Sort(ids)
	moved, _, err := p.variants(ctx, 0, []any{"id", "in", slices.Compact(ids)})
	if err != nil {
		return false, err
	}
	if err := p.stock(ctx, moved); err != nil {
		return false, err
	}
	p.place.After = page[len(page)-1].ID
	return len(page) < pageSize, nil
}

// steps reads the price lists. Where one has changed, every price of it may have:
// everything is read.
func (p *pull) steps(ctx context.Context) error {
	if len(p.origins.lists) == 0 {
		return nil
	}
	at := &p.place
	now := make(map[string]list, len(p.origins.lists))
	for _, o := range p.origins.lists {
		l, err := p.list(ctx, o)
		if err != nil {
			return err
		}
		now[o.code] = l
		before, known := at.Lists[o.code]
		if known && before.Mark == l.Mark {
			continue
		}
		gone := map[string][]int{}
		if at.Full != nil && at.Full.Gone != nil {
			gone = at.Full.Gone
		}
		for _, step := range append(before.Steps, gone[o.code]...) {
			if !slices.Contains(l.Steps, step) && !slices.Contains(gone[o.code], step) {
				gone[o.code] = append(gone[o.code], step)
			}
		}
		gone[o.code] = slices.DeleteFunc(gone[o.code], func(step int) bool { return slices.Contains(l.Steps, step) })
		at.Full = &walk{Gone: gone}
	}
	at.Lists = now
	return nil
}

// list reads one price list: a mark that changes with it, and its quantity steps.
func (p *pull) list(ctx context.Context, o origin) (list, error) {
	type stamps struct {
		Write  any `json:"write_date"`
		Create any `json:"create_date"`
	}
	var found []struct {
		stamps
		Lines []struct {
			ID       int64
			Quantity *float64
			stamps
		} `json:"lines."`
	}
	fields := []string{"write_date", "create_date", "lines.quantity", "lines.write_date", "lines.create_date"}
	if _, err := p.server.read(ctx, "model.product.price_list.read", &found, []int64{o.id}, fields, p.house.words); err != nil {
		p.sources.drop() // it may have gone
		return list{}, err
	}
	if len(found) != 1 {
		return list{}, unreadable("model.product.price_list.read: not one price list")
	}
	lines := found[0].Lines
	slices.SortFunc(lines, func(a, b struct {
		ID       int64
		Quantity *float64
		stamps
	},
	) int {
		return int(a.ID - b.ID)
	})
	l := list{Steps: []int{1}}
	for _, line := range lines {
		if line.Quantity == nil || *line.Quantity <= 1 || *line.Quantity > math.MaxInt32 {
			continue
		}
		if step := int(math.Ceil(*line.Quantity)); !slices.Contains(l.Steps, step) {
			l.Steps = append(l.Steps, step)
		}
	}
	slices.Sort(l.Steps)
	if len(l.Steps) > maxSteps {
		return list{}, &connectors.Error{Verdict: connectors.Auth, Err: fmt.Errorf("the price list in Tryton for %q has %d quantity steps, %d can be read", o.code, len(l.Steps), maxSteps)}
	}
	raw, err := json.Marshal(found)
	if err != nil {
		return list{}, &connectors.Error{Verdict: connectors.Permanent, Err: fmt.Errorf("marking price list %q: %w", o.code, err)}
	}
	sum := sha256.Sum256(raw)
	l.Mark = hex.EncodeToString(sum[:16])
	return l, nil
}
