package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// PlannedText is a text as it shall stand, worked out from the row that is
// named by its ID and Rev; ID 0 makes one. Ask has a machine work on it, in the
// given lot. Gone: no rule covers it any more.
type PlannedText struct {
	Text
	Ask    bool
	Urgent bool // somebody edited its source just now
	Lot    string
	Gone   bool
	Touch  bool // test channels were shown a text that goes
}

const (
	// sqlPlanTexts leaves alone what somebody was faster with: its product is
	// looked at again.
	sqlPlanTexts = `
with e as (
    select * from unnest(@id::bigint[], @rev::bigint[], @product::bigint[], @attribute::text[], @locale::text[], @channel::text[], @from::text[], @rule::text[], @action::text[],
        @state::text[], @source_hash::text[], @target_hash::text[], @machine::boolean[], @asked::text[], @test::boolean[], @test_value::text[], @proposal::text[], @proposed::text[],
        @error::text[], @ask::boolean[], @urgent::boolean[], @lot::text[])
        e (id, rev, product_id, attribute, locale, channel, from_locale, rule, action, state, source_hash, target_hash, machine, asked, test, test_value, proposal, proposed,
           error, ask, urgent, lot)
),
locked as (select t.id from product_text t join e on (e.id, e.rev) = (t.id, t.rev) order by t.id for update of t),
changed as (
    update product_text t set rev = t.rev + 1, updated_at = now(), from_locale = e.from_locale, rule = e.rule, action = e.action, state = e.state,
        source_hash = e.source_hash, target_hash = e.target_hash, machine = e.machine, asked = e.asked, test = e.test, test_value = e.test_value,
        proposal = e.proposal, proposed = e.proposed, error = nullif(e.error, ''),
        suggestions = case when e.proposal is null then null else t.suggestions end, faults = case when e.proposal is null and e.error = '' then null else t.faults end,
        provenance = case when e.machine or e.proposal is not null or e.test_value is not null then t.provenance end
    from e join locked l on l.id = e.id where t.id = e.id
    returning t.id, e.action, e.lot, e.ask, e.urgent
),
made as (
    insert into product_text (product_id, attribute, locale, channel, from_locale, rule, action, state, source_hash, target_hash, machine, asked)
    select product_id, attribute, locale, channel, from_locale, rule, action, state, source_hash, target_hash, machine, asked
    from e where id = 0 order by product_id, attribute, locale, channel on conflict do nothing
    returning id, product_id, attribute, locale, channel
),
wanted as (
    select id, action, lot, urgent from changed where ask
    union all
    select m.id, e.action, e.lot, e.urgent from made m join e using (product_id, attribute, locale, channel) where e.id = 0 and e.ask
),
lots as (insert into lot (kind, lot) select distinct action, lot from wanted order by 1, 2 on conflict do nothing)
insert into task as t (kind, subject, lot, due_at)
select action, id, lot, case when urgent then now() - interval '1 hour' else now() end from wanted order by 1, 2
on conflict (kind, subject) do update set want = t.want + 1, state = 'waiting', attempts = 0, error = null, lot = excluded.lot,
    due_at = least(t.due_at, excluded.due_at)`

	sqlDropTexts = `
with e as (select * from unnest(@id::bigint[], @rev::bigint[]) e (id, rev)),
locked as (select t.id, t.action from product_text t join e on (e.id, e.rev) = (t.id, t.rev) order by t.id for update of t),
free as (` + letGo + `(select id from locked)),
gone as (delete from product_text t using locked l where t.id = l.id)
delete from task k using locked l where (k.kind, k.subject) = (l.action, l.id)`

	// sqlTouchTexts gives products a new revision whose texts on test channels
	// are others now.
	sqlTouchTexts = `
with locked as (select id from product where id = any(@product::bigint[]) and deleted_at is null order by id for no key update),
up as (update product p set rev = p.rev + 1, updated_at = now() from locked l where p.id = l.id returning p.id, p.rev),
ev as (insert into event (product_id, rev, lanes, type, actor, data) select id, rev, 1, 'product.texts', @actor, '{}' from up order by id)
insert into outbox (product_id, lanes) select id, 1 from up order by id`
)

// PlanTexts stores in tx how texts shall stand, and makes the tasks. Each row
// counts only if nobody changed it meanwhile.
func (s *Store) PlanTexts(ctx context.Context, tx pgx.Tx, texts []PlannedText) error {
	var (
		touch, gone, goneRev []int64
		put                  []PlannedText
	)
	for _, t := range texts {
		if t.Gone {
			gone, goneRev = append(gone, t.ID), append(goneRev, t.Rev)
			if t.TestValue != nil {
				touch = append(touch, int64(t.Product))
			}
			continue
		}
		if t.Touch {
			touch = append(touch, int64(t.Product))
		}
		put = append(put, t)
	}
	if len(touch) > 0 {
		if _, err := tx.Exec(ctx, sqlTouchTexts, pgx.NamedArgs{"product": touch, "actor": "texts"}); err != nil {
			return err
		}
	}
	if len(gone) > 0 {
		if _, err := tx.Exec(ctx, sqlDropTexts, pgx.NamedArgs{"id": gone, "rev": goneRev}); err != nil {
			return err
		}
	}
	if len(put) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, sqlPlanTexts, planArgs(put))
	return err
}

func planArgs(put []PlannedText) pgx.NamedArgs {
	n := len(put)
	id, rev, product := make([]int64, n), make([]int64, n), make([]int64, n)
	attribute, locale, channel, from := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	rule, action, state, source, target := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	asked, proposed, failure, lot := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	machine, test, ask, urgent := make([]bool, n), make([]bool, n), make([]bool, n), make([]bool, n)
	testValue, proposal := make([]*string, n), make([]*string, n)
	for i, t := range put {
		id[i], rev[i], product[i] = t.ID, t.Rev, int64(t.Product)
		attribute[i], locale[i], channel[i], from[i] = t.Attribute, string(t.Locale), string(t.Channel), string(t.From)
		rule[i], action[i], state[i], source[i], target[i] = t.Rule, string(t.Action), string(t.State), t.SourceHash, t.TargetHash
		asked[i], proposed[i], failure[i], lot[i] = t.Asked, t.Proposed, storable(t.Error), t.Lot
		machine[i], test[i], ask[i], urgent[i], testValue[i], proposal[i] = t.Machine, t.Test, t.Ask, t.Urgent, t.TestValue, t.Proposal
	}
	return pgx.NamedArgs{
		"id": id, "rev": rev, "product": product, "attribute": attribute, "locale": locale, "channel": channel, "from": from, "rule": rule, "action": action,
		"state": state, "source_hash": source, "target_hash": target, "machine": machine, "asked": asked, "test": test, "test_value": testValue,
		"proposal": proposal, "proposed": proposed, "error": failure, "ask": ask, "urgent": urgent, "lot": lot,
	}
}

const sqlAnyTexts = `select exists (select from text_rule) or exists (select from product_text)`

// AnyTexts reports whether there are rules for texts, or texts that a rule once
// covered.
func (s *Store) AnyTexts(ctx context.Context) (is bool, err error) {
	if err := s.work.QueryRow(ctx, sqlAnyTexts).Scan(&is); err != nil {
		return false, fmt.Errorf("ask for texts: %w", err)
	}
	return is, nil
}

// TestText is what a provider for tests made of a text that a product has not.
type TestText struct {
	SKU pim.SKU
	Slot
	Value string
}

const sqlTestTextsOf = `
select p.sku, t.attribute, t.locale, t.channel, t.test_value
from product p join product_text t on t.product_id = p.id and t.test_value is not null
where p.sku = any(@skus::text[]) order by t.id`

// TestTexts reads what test channels are shown of products in place of texts
// that they have not.
func (s *Store) TestTexts(ctx context.Context, skus []string) ([]TestText, error) {
	rows, err := s.work.Query(ctx, sqlTestTextsOf, pgx.NamedArgs{"skus": skus})
	if err != nil {
		return nil, fmt.Errorf("read texts for test channels: %w", err)
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (t TestText, err error) {
		return t, r.Scan(&t.SKU, &t.Attribute, &t.Locale, &t.Channel, &t.Value)
	})
}
