package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// TextWrite is a text as it shall stand, with what the product's values shall
// say (Value), worked out from the row that is named by ID and Rev and, when
// ProductRev is not 0, from that revision of the product. All of it is stored,
// or none.
type TextWrite struct {
	Text
	Actor      string
	Value      *string // nil: the product's values stay as they are
	ProductRev int64
	Touch      bool // what test channels are shown changes
	// Still: it counts only while the product's values say Over there (nil: nothing),
	// whatever the row knows of it.
	Still bool
	Over  *string
	End   *TaskEnd // how its task ended; nil: it stays as it is

	// What became of it. ErrStale: somebody was faster, nothing was stored.
	// *pim.Invalid: the value cannot be stored; the text is not changed either.
	Err error
	Now int64 // the product's content revision then; 0: it was not edited
}

const (
	sqlHoldTexts = `
select t.id from product_text t join product p on p.id = t.product_id
join unnest(@id::bigint[], @rev::bigint[], @still::boolean[], @over::text[]) e (id, rev, still, over) on (e.id, e.rev) = (t.id, t.rev)
where not e.still or p.values #>> ` + textPath + ` is not distinct from e.over order by t.id for update of t`

	sqlHoldProducts = `select from product where id = any(@product::bigint[]) order by id for no key update`

	sqlWriteTexts = `
update product_text t set rev = t.rev + 1, updated_at = now(), state = e.state, source_hash = e.source_hash, target_hash = e.target_hash, machine = e.machine,
    asked = e.asked, test = e.test, test_value = e.test_value, proposal = e.proposal, proposed = e.proposed, suggestions = e.suggestions, faults = e.faults,
    provenance = coalesce(e.provenance, case when e.machine or e.proposal is not null then t.provenance end), error = nullif(e.error, '')
from (select * from unnest(@id::bigint[], @state::text[], @source_hash::text[], @target_hash::text[], @machine::boolean[], @asked::text[], @test::boolean[],
          @test_value::text[], @proposal::text[], @proposed::text[], @suggestions::jsonb[], @faults::jsonb[], @provenance::jsonb[], @error::text[])
          e (id, state, source_hash, target_hash, machine, asked, test, test_value, proposal, proposed, suggestions, faults, provenance, error) order by id) e
where t.id = e.id`
)

// EndTexts stores what machines made of texts and how their tasks ended, in one
// transaction under l. What became of each is in its Err and Now; ErrFenced: l
// was lost, and nothing was stored.
func (s *Store) EndTexts(ctx context.Context, l Lease, writes []*TextWrite) error {
	err := s.writeTexts(ctx, bulk, writes, func(tx pgx.Tx) error { return underLease(ctx, tx, l) })
	if err != nil {
		return fmt.Errorf("end %d texts of %v: %w", len(writes), l.Consumer, err)
	}
	return nil
}

// ReviewTexts stores what people decided of texts, in one transaction. What
// became of each is in its Err and Now.
func (s *Store) ReviewTexts(ctx context.Context, writes []*TextWrite) error {
	if err := s.writeTexts(ctx, interactive, writes, func(pgx.Tx) error { return nil }); err != nil {
		return fmt.Errorf("review %d texts: %w", len(writes), err)
	}
	return nil
}

func (s *Store) writeTexts(ctx context.Context, p priority, writes []*TextWrite, first func(pgx.Tx) error) error {
	if len(writes) == 0 {
		return nil
	}
	err := untangled(func() error {
		return inTx(ctx, s.pool, func(tx pgx.Tx) error {
			if err := first(tx); err != nil {
				return err
			}
			held, err := holdTexts(ctx, tx, writes)
			if err != nil {
				return err
			}
			if err := s.editTexts(ctx, tx, p, held); err != nil {
				return err
			}
			var (
				ends  []TaskEnd
				good  []*TextWrite
				touch []int64
				free  = []int64{}
			)
			for _, w := range held {
				if w.Err != nil {
					continue
				}
				good = append(good, w)
				if w.End != nil {
					ends = append(ends, *w.End)
				}
				if w.Touch {
					touch = append(touch, int64(w.Product))
				}
				if w.Value == nil && !w.Touch {
					free = append(free, w.ID)
				}
			}
			if len(touch) > 0 {
				if _, err := tx.Exec(ctx, sqlTouchTexts, pgx.NamedArgs{"product": touch, "actor": good[0].Actor}); err != nil {
					return err
				}
			}
			if err := putTexts(ctx, tx, good); err != nil {
				return err
			}
			if len(free) > 0 {
				if _, err := tx.Exec(ctx, sqlLetGo, pgx.NamedArgs{"id": free}); err != nil {
					return err
				}
			}
			return endTasks(ctx, tx, ends)
		})
	})
	if err == nil {
		s.nudged()
	}
	return err
}

// holdTexts locks products and then texts, everybody's order, and gives the
// writes whose text is as it was.
func holdTexts(ctx context.Context, tx pgx.Tx, writes []*TextWrite) ([]*TextWrite, error) {
	id, rev, products := make([]int64, len(writes)), make([]int64, len(writes)), make([]int64, len(writes))
	still, over := make([]bool, len(writes)), make([]*string, len(writes))
	for i, w := range writes {
		w.Err, w.Now = nil, 0
		still[i], over[i] = w.Still, w.Over
		id[i], rev[i], products[i] = w.ID, w.Rev, int64(w.Product)
	}
	if _, err := tx.Exec(ctx, sqlHoldProducts, pgx.NamedArgs{"product": products}); err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, sqlHoldTexts, pgx.NamedArgs{"id": id, "rev": rev, "still": still, "over": over})
	if err != nil {
		return nil, err
	}
	there, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, err
	}
	held := make([]*TextWrite, 0, len(there))
	for _, w := range writes {
		if slices.Contains(there, w.ID) {
			held = append(held, w)
		} else {
			w.Err = ErrStale
		}
	}
	return held, nil
}

// editTexts edits the products, each once: all of its texts are one revision.
func (s *Store) editTexts(ctx context.Context, tx pgx.Tx, p priority, writes []*TextWrite) error {
	bySKU := map[pim.SKU][]*TextWrite{}
	var order []pim.SKU
	for _, w := range writes {
		if w.Value == nil {
			continue
		}
		if bySKU[w.SKU] == nil {
			order = append(order, w.SKU)
		}
		bySKU[w.SKU] = append(bySKU[w.SKU], w)
	}
	byActor := map[string][]Edit{}
	var actors []string
	for _, sku := range order {
		e := Edit{SKU: sku, Mode: Patch, Values: pim.Values{}}
		var by []string
		for _, w := range bySKU[sku] {
			e.IfMatch = max(e.IfMatch, w.ProductRev)
			e.Values = pim.PatchValues(e.Values, w.at(*w.Value))
			if !slices.Contains(by, w.Actor) {
				by = append(by, w.Actor)
			}
		}
		slices.Sort(by)
		actor := strings.Join(by, ",")
		if byActor[actor] == nil {
			actors = append(actors, actor)
		}
		byActor[actor] = append(byActor[actor], e)
	}
	for _, actor := range actors {
		b := s.newBatch(actor, p, byActor[actor])
		if err := b.run(ctx, tx); err != nil {
			return err
		}
		for _, r := range b.results {
			for _, w := range bySKU[r.SKU] {
				w.Now = r.Rev
				if w.Err = r.Err; errors.Is(r.Err, ErrNotFound) {
					w.Err = ErrStale
				}
				if w.Err == nil && w.Provenance != nil {
					w.Provenance.Rev = r.Rev
				}
			}
		}
	}
	return nil
}

// at is value as a product's values, in the slot.
func (s Slot) at(value any) pim.Values {
	v := any(map[string]any{string(s.Locale): value})
	if s.Channel != "" {
		v = map[string]any{string(s.Channel): v}
	}
	return pim.Values{s.Attribute: v}
}

// Values are a product's values that have nothing but value, in this slot.
func (s Slot) Values(value string) pim.Values { return s.at(value) }

func putTexts(ctx context.Context, tx pgx.Tx, writes []*TextWrite) error {
	n := len(writes)
	if n == 0 {
		return nil
	}
	id := make([]int64, n)
	state, source, target, asked, proposed, failure := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	machine, test := make([]bool, n), make([]bool, n)
	testValue, proposal := make([]*string, n), make([]*string, n)
	suggestions, faults, provenance := make([][]byte, n), make([][]byte, n), make([][]byte, n)
	for i, w := range writes {
		id[i], state[i], source[i], target[i], asked[i], proposed[i], failure[i] = w.ID, string(w.State), w.SourceHash, w.TargetHash, w.Asked, w.Proposed, storable(w.Error)
		machine[i], test[i], testValue[i] = w.Machine, w.Test, w.TestValue
		if w.Proposal != nil { // what a product would refuse, too, is shown to people
			clean := storable(*w.Proposal)
			proposal[i] = &clean
		}
		if len(w.Suggestions) > 0 {
			suggestions[i] = storableJSON(w.Suggestions)
		}
		if len(w.Faults) > 0 {
			faults[i] = storableJSON(w.Faults)
		}
		if w.Provenance != nil {
			provenance[i] = storableJSON(w.Provenance)
		}
	}
	_, err := tx.Exec(ctx, sqlWriteTexts, pgx.NamedArgs{
		"id": id, "state": state, "source_hash": source, "target_hash": target, "machine": machine, "asked": asked, "test": test, "test_value": testValue,
		"proposal": proposal, "proposed": proposed, "suggestions": suggestions, "faults": faults, "provenance": provenance, "error": failure,
	})
	return err
}

// storableJSON is v without null characters, which jsonb does not take: services'
// own words are in it.
func storableJSON(v any) []byte {
	return bytes.ReplaceAll(mustJSON(v), []byte(`\u0000`), []byte(`\ufffd`))
}

const sqlAskTexts = `
with t as (
    select t.id, t.action, case when t.action = 'generate' then '' else t.from_locale || '>' || t.locale end || coalesce((
               select '@' || string_agg(p.code, '+' order by p.at) from text_rule r, jsonb_array_elements_text(r.definition->'providers') with ordinality p (code, at)
               where r.code = t.rule), '') as lot
    from product_text t where t.id = any(@id::bigint[])
),
lots as (insert into lot (kind, lot) select distinct action, lot from t order by 1, 2 on conflict do nothing),
again as (update product_text p set error = null, rev = rev + 1, updated_at = now() from (select id from t order by id) t where p.id = t.id)
insert into task as k (kind, subject, lot, due_at) select action, id, lot, now() - interval '1 hour' from t order by 1, 2
on conflict (kind, subject) do update set want = k.want + 1, state = 'waiting', attempts = 0, error = null, lot = excluded.lot,
    due_at = least(k.due_at, excluded.due_at)`

// AskTexts has machines work on texts once more, before what waits: those of a
// failed or cancelled task, or whose proposal was no good. A text that needs
// nothing stays as it is.
func (s *Store) AskTexts(ctx context.Context, ids []int64) (int, error) {
	tag, err := s.pool.Exec(ctx, sqlAskTexts, pgx.NamedArgs{"id": ids})
	if err != nil {
		return 0, fmt.Errorf("ask for %d texts again: %w", len(ids), err)
	}
	return int(tag.RowsAffected()), nil
}
