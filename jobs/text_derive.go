package jobs

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// Plan implements Deriver: which texts the products lack, or have of a source
// that is another one now.
func (t *Texts) Plan(ctx context.Context, products []postgres.Derived) (func(context.Context, pgx.Tx) error, error) {
	if is, err := t.store.AnyTexts(ctx); err != nil || !is {
		return nil, err
	}
	book, err := t.book(ctx)
	if err != nil {
		return nil, err
	}
	ids, urgent := make([]pim.ProductID, len(products)), make(map[pim.ProductID]bool, len(products))
	for i, p := range products {
		ids[i], urgent[p.ID] = p.ID, p.Urgent
	}
	// Read again, with what is known of the texts, in one snapshot: what a machine
	// wrote meanwhile would look like a person's.
	list, err := t.store.TextProducts(ctx, ids)
	if err != nil {
		return nil, err
	}
	var planned []postgres.PlannedText
	for i := range list {
		more, err := book.plan(&list[i], urgent[list[i].ID])
		if err != nil {
			t.log.ErrorContext(ctx, "look at texts", "sku", list[i].SKU, "err", err)
			continue
		}
		planned = append(planned, more...)
	}
	if len(planned) == 0 {
		return nil, nil
	}
	return func(ctx context.Context, tx pgx.Tx) error { return t.store.PlanTexts(ctx, tx, planned) }, nil
}

// Wakes implements Deriver.
func (t *Texts) Wakes() []postgres.Consumer {
	return []postgres.Consumer{{Kind: postgres.Translate}, {Kind: postgres.Generate}}
}

// plan gives what is to be stored of a product's texts.
func (b *ruleBook) plan(p *postgres.TextProduct, urgent bool) (out []postgres.PlannedText, err error) {
	var values pim.Values
	if !p.Deleted {
		if values, err = pim.DecodeStored(p.Values); err != nil {
			return nil, fmt.Errorf("decode values: %w", err)
		}
	}
	for slot, was := range b.slots(p.Family, values, p.Texts) {
		was.Product = p.ID
		var c *covering
		if !p.Deleted {
			c = b.covers(p.Family, values, p.Texts, slot)
		}
		j := judge(was, c, textAt(values, slot))
		switch {
		case j.gone && was.ID != 0:
			out = append(out, postgres.PlannedText{Text: was, Gone: true})
		case !j.gone && j.differs(was):
			out = append(out, postgres.PlannedText{Text: j.Text, Ask: j.ask, Urgent: urgent, Lot: c.lot(slot.Locale), Touch: was.TestValue != nil && j.TestValue == nil})
		}
	}
	return out, nil
}

// book reads the rules as they are.
func (t *Texts) book(ctx context.Context) (*ruleBook, error) {
	rules, err := t.store.TextRules(ctx)
	if err != nil {
		return nil, err
	}
	return t.bookOf(ctx, rules)
}

// bookOf is a book of these rules, with the providers and the schema as they are.
func (t *Texts) bookOf(ctx context.Context, rules []postgres.TextRule) (*ruleBook, error) {
	providers, err := t.store.Providers(ctx)
	if err != nil {
		return nil, err
	}
	schema, err := t.store.RefreshSchema(ctx)
	if err != nil {
		return nil, err
	}
	return newRuleBook(rules, schema, providers), nil
}
