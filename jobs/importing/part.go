package importing

import (
	"context"
	"fmt"
	"slices"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// part is one transaction's rows, on their way from the reader to the store.
type part struct {
	last     int64 // rows that are done with it, of the whole file
	edits    []postgres.Edit
	offers   postgres.ImportOffers
	rows     []int64 // that report the edits
	entries  []entry
	at       map[pim.SKU]int // place of its edit
	findings []postgres.ImportFinding
	bytes    int
	end      error // nil: more follows; io.EOF or a *fault
	ready    *postgres.ImportEdits
	refused  []postgres.EditResult // not nil: all edits are, and none is stored

	overtaken *overtakenError // nothing of it is stored, for the plan has to be made anew
}

// entry is a row of the file in a part.
type entry struct {
	row     int64
	edits   []int // that it tells of
	refused bool
}

func newPart() *part { return &part{at: map[pim.SKU]int{}} }

// read reads the file and hands its rows on in parts, in passes over the file:
// variants that name their parents come in a second one.
func (w *writer) read(ctx context.Context, parts chan<- *part) error {
	s := scribe{w: w, parts: parts, part: newPart(), seen: newSeen()}
	passes := 1
	if w.plan.surveyed.linked() {
		passes = 2
	}
	var end error
	for s.pass = 0; s.pass < passes; s.pass++ {
		var err error
		if end, err = s.file(ctx, passes > 1); err != nil {
			return err
		}
	}
	s.part.end = end
	return hand(ctx, parts, s.part)
}

// scribe fills parts with what the file has.
type scribe struct {
	w     *writer
	parts chan<- *part
	part  *part
	seen  seen
	pass  int
	done  int64 // rows whose outcome is settled, those of earlier runs included
}

// file is one pass; end is what ended the file.
func (s *scribe) file(ctx context.Context, linked bool) (end, err error) {
	in, err := open(s.w.im.store.ImportFile(ctx, s.w.run.ID), s.w.plan.opts.form())
	if err != nil {
		return nil, err
	}
	defer in.close()
	if c, is := in.(*catalogueReader); is {
		c.use(s.w.plan.filling)
	}
	g := grouper{reading: newReading(s.w.plan.opts, in.columns()), in: in}
	conv := &converter{plan: s.w.plan, table: in.columns(), seen: s.seen}
	for n := 0; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		group, err := g.next()
		if over(err) {
			return err, nil
		}
		if err != nil {
			return nil, err
		}
		if err := s.group(ctx, conv, group, linked); err != nil {
			return nil, err
		}
	}
}

// group takes a group into the part, or passes over it, and hands full parts on.
func (s *scribe) group(ctx context.Context, conv *converter, g *group, linked bool) error {
	products, taken := s.convert(conv, g, linked)
	if !taken {
		return nil
	}
	// Rows of one product are not parted: which of them says its price must not
	// depend on where a part ends.
	merges := func(m made) bool { return m.edit != nil && s.merge(m) }
	if (len(s.part.entries) >= s.w.im.chunkRows || s.part.bytes >= chunkBytes) && !slices.ContainsFunc(products, merges) {
		if err := s.hand(ctx); err != nil {
			return err
		}
	}
	for _, m := range products {
		if m.edit == nil || s.merge(m) {
			continue
		}
		if _, there := s.part.at[m.edit.SKU]; there {
			if err := s.hand(ctx); err != nil {
				return err
			}
		}
	}
	s.take(g, products, conv)
	return nil
}

// convert makes a group's products; taken is false of one that is done
// already, or has its turn in another pass.
func (s *scribe) convert(conv *converter, g *group, linked bool) (products []made, taken bool) {
	items := conv.surveyed.split(g)
	ids := make([]identity, len(items))
	for i := range items {
		if items[i].records[0].bad == nil {
			ids[i] = conv.identify(&items[i])
		}
	}
	if linked {
		// Variants are noted in their place in the file, and come later.
		of := 0
		if g.records[0].bad == nil && items[0].level == variant {
			of = 1
		}
		if of > s.pass && g.records[0].bad == nil {
			conv.pass(&items[0], ids[0])
		}
		if of != s.pass {
			return nil, false
		}
	}
	s.done += int64(len(g.records))
	if s.done <= s.w.run.RowsDone {
		for i := range items {
			if items[i].records[0].bad == nil && s.pass == 0 {
				conv.pass(&items[i], ids[i])
			}
		}
		return nil, false
	}
	for i := range items {
		if items[i].records[0].bad == nil {
			products = append(products, conv.item(&items[i], ids[i], linked && s.pass > 0))
		}
	}
	return products, true
}

// hand gives the part to the next in the line, unless nothing is in it.
func (s *scribe) hand(ctx context.Context) error {
	if len(s.part.entries) == 0 {
		return nil
	}
	c := s.part
	s.part = newPart()
	return hand(ctx, s.parts, c)
}

// merge reports that the product stands in the part already, and that this is
// another row of its texts.
func (s *scribe) merge(m made) bool {
	at, there := s.part.at[m.edit.SKU]
	return there && s.w.plan.surveyed.locale >= 0 && s.part.edits[at].Parent == nil && m.edit.Parent == nil
}

// take puts a group into the part.
func (s *scribe) take(g *group, products []made, conv *converter) {
	c := s.part
	first := len(c.entries)
	for _, r := range g.records {
		findings, good := conv.rowFindings(r)
		c.findings = append(c.findings, findings...)
		c.entries = append(c.entries, entry{row: r.row, refused: !good})
		c.bytes += size(r, findings)
	}
	entryOf := func(row int64) *entry {
		i := slices.IndexFunc(c.entries[first:], func(e entry) bool { return e.row == row })
		return &c.entries[first+max(i, 0)]
	}
	for _, m := range products {
		c.findings = append(c.findings, m.findings...)
		c.bytes += 200 * len(m.findings)
		e := entryOf(m.row)
		if m.edit == nil {
			e.refused = true
			continue
		}
		if s.merge(m) {
			at := c.at[m.edit.SKU]
			c.join(at, &m)
			e.edits = append(e.edits, at)
			continue
		}
		e.edits = append(e.edits, len(c.edits))
		c.at[m.edit.SKU] = len(c.edits)
		c.edits = append(c.edits, *m.edit)
		c.rows = append(c.rows, m.row)
		c.offers.Prices = append(c.offers.Prices, m.offers.Prices...)
		c.offers.Stock = append(c.offers.Stock, m.offers.Stock...)
		c.offers.Windows = append(c.offers.Windows, m.offers.Windows...)
	}
	// Rows that only add to a product, as more pictures do, are part of it.
	head := c.entries[first]
	for i := range c.entries[first:] {
		if e := &c.entries[first+i]; len(e.edits) == 0 && !e.refused {
			e.edits = append(e.edits, head.edits...)
			if len(head.edits) == 0 {
				e.refused = true
				c.findings = append(c.findings, finding(e.row, pim.SeverityError, "", productRefused(head.row)))
			}
		}
	}
	c.last = s.done
}

func productRefused(row int64) problem {
	return problem{code: "product.rejected", text: fmt.Sprintf("the product that the row belongs to was rejected, see row %d", row)}
}

// join puts another row of a product's texts to the edit at a place. What does
// not go by locale, as prices, the first row that has it says.
func (c *part) join(at int, m *made) {
	e := &c.edits[at]
	mergeValues(e.Values, m.edit.Values)
	if e.Categories == nil {
		e.Categories = m.edit.Categories
	}
	if e.Enabled == nil {
		e.Enabled = m.edit.Enabled
	}
	if !slices.ContainsFunc(c.offers.Prices, func(p pim.PriceRow) bool { return p.SKU == e.SKU }) {
		c.offers.Prices = append(c.offers.Prices, m.offers.Prices...)
	}
	if !slices.ContainsFunc(c.offers.Stock, func(s pim.StockRow) bool { return s.SKU == e.SKU }) {
		c.offers.Stock = append(c.offers.Stock, m.offers.Stock...)
	}
	if !slices.ContainsFunc(c.offers.Windows, func(w pim.PublicationRow) bool { return w.SKU == e.SKU }) {
		c.offers.Windows = append(c.offers.Windows, m.offers.Windows...)
	}
}

// mergeValues puts another row's values to a product's: of a localizable
// attribute the locales come together, of others the last counts.
func mergeValues(into, more pim.Values) {
	for code, v := range more {
		have, isMap := into[code].(map[string]any)
		next, both := v.(map[string]any)
		if !isMap || !both {
			into[code] = v
			continue
		}
		for k, v := range next {
			have[k] = v
		}
	}
}

// tally counts what became of the part's rows, and reports it.
func (c *part) tally(p *plan, results []postgres.EditResult) postgres.ImportProgress {
	done := postgres.ImportProgress{RowsDone: c.last, Findings: slices.Clone(c.findings)}
	for i := range results {
		if res := &results[i]; res.Err != nil || len(res.Warnings) > 0 {
			done.Findings = append(done.Findings, p.outcome(c.rows[i], &c.edits[i], res)...)
		}
	}
	for _, e := range c.entries {
		var failed, created, changed bool
		for _, i := range e.edits {
			res := &results[i]
			failed = failed || res.Err != nil
			created = created || res.Created
			changed = changed || res.Changed
			if res.Err != nil && c.rows[i] != e.row {
				done.Findings = append(done.Findings, finding(e.row, pim.SeverityError, string(res.SKU), productRefused(c.rows[i])))
			}
		}
		switch {
		case e.refused || failed:
			done.Rejected++
		case created:
			done.Created++
		case changed:
			done.Changed++
		default:
			done.Unchanged++
		}
	}
	sortByRow(done.Findings)
	for i := range done.Findings {
		if done.Findings[i].Severity == pim.SeverityWarning {
			done.Warnings++
		}
	}
	return done
}
