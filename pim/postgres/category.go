package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// touchTree is a bit of an outbox row's lanes beside those of pim.Lane: what the
// product's categories are called, or where they stand, is another.
const touchTree = 8

// inCategory: product p is in the category, or in one below it. A code that is
// in no tree is its own only.
const inCategory = `(@category = '' or p.categories && (array(select k.code from category k where k.path @> array[@category::text]) || @category::text))`

// CategoryCounts says what became of edits of categories.
type CategoryCounts struct {
	Created, Changed, Unchanged int
}

const (
	sqlPutCategories = `
insert into category as c (code, parent, position, labels, path)
select code, nullif(parent, ''), position, labels, array(select jsonb_array_elements_text(path))
from unnest(@codes::text[], @parents::text[], @positions::int[], @labels::jsonb[], @paths::jsonb[]) i (code, parent, position, labels, path)
on conflict (code) do update set parent = excluded.parent, position = excluded.position, labels = excluded.labels, path = excluded.path,
    rev = c.rev + ((c.parent, c.position, c.labels) is distinct from (excluded.parent, excluded.position, excluded.labels))::int,
    updated_at = case when (c.parent, c.position, c.labels) is distinct from (excluded.parent, excluded.position, excluded.labels) then now() else c.updated_at end
returning code, rev, updated_at`
	sqlBumpTree   = `update catalogue set tree = tree + 1, version = version + 1 returning tree, version`
	sqlTreeChange = `insert into tree_change (lanes, codes) values (@lanes, @codes)`
)

// PutCategory makes a category equal to e, and tells whether it is new. ifMatch,
// when not 0, is the revision that it must have (ErrStale). The error is
// *pim.Invalid with pointers into e's JSON for what pim.Tree.With refuses. What is
// the same changes nothing. Every listing whose mapping shows the category, or one
// below it, is looked at again.
func (s *Store) PutCategory(ctx context.Context, e pim.CategoryEdit, ifMatch int64) (_ *pim.Category, created bool, err error) {
	now, c, err := s.changeTree(ctx, []pim.CategoryEdit{e}, func(t *pim.Tree) error {
		if old := t.Category(e.Code); ifMatch != 0 && (old == nil || old.Rev != ifMatch) {
			return ErrStale
		}
		return nil
	})
	if err != nil {
		return nil, false, fmt.Errorf("put category %s: %w", e.Code, err)
	}
	return now.Category(e.Code), c.Created == 1, nil
}

// PutCategories makes categories as the edits say, all or nothing: see
// pim.Tree.With for the pointers of what is refused.
func (s *Store) PutCategories(ctx context.Context, edits []pim.CategoryEdit) (CategoryCounts, error) {
	_, c, err := s.changeTree(ctx, edits, func(*pim.Tree) error { return nil })
	if err != nil {
		return CategoryCounts{}, fmt.Errorf("put %d categories: %w", len(edits), err)
	}
	return CategoryCounts{Created: c.Created, Changed: c.Changed - c.Created, Unchanged: len(edits) - c.Changed}, nil
}

// changeTree makes edits of the tree that check takes, and gives the tree as it is then.
func (s *Store) changeTree(ctx context.Context, edits []pim.CategoryEdit, check func(*pim.Tree) error) (now *pim.Tree, out *pim.TreeChange, err error) {
	var next *pim.Schema
	err = inTx(ctx, s.pool, func(tx pgx.Tx) error {
		schema, err := s.lockSchema(ctx, tx)
		if err != nil {
			return err
		}
		now = schema.Tree
		if err := check(now); err != nil {
			return err
		}
		if out, err = now.With(edits); err != nil || len(out.Written) == 0 {
			return err
		}
		next, now = schema.Copy(), out.Tree
		next.Tree = now
		b := &pgx.Batch{}
		b.Queue(sqlPutCategories, categoryArgs(out.Written)).Query(categoryStamps(now))
		if len(out.Shown) > 0 {
			b.Queue(sqlTreeChange, pgx.NamedArgs{"lanes": int16(touchTree), "codes": out.Shown})
		}
		queueBump(b, next)
		return tx.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return nil, nil, err
	}
	if next != nil {
		s.keepSchema(next)
	}
	_, _ = s.OpenTreeChanges(ctx) // else the sweeper does it
	return now, out, nil
}

// categoryStamps gives categories of a tree that nobody knows yet the revisions and times
// that they were stored with.
func categoryStamps(t *pim.Tree) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		var (
			code string
			rev  int64
			at   time.Time
		)
		_, err := pgx.ForEachRow(rows, []any{&code, &rev, &at}, func() error {
			c := t.Category(code)
			c.Rev, c.UpdatedAt = rev, at.UTC()
			return nil
		})
		return err
	}
}

// queueBump makes next, whose tree is another, the schema: see bumpSchema.
func queueBump(b *pgx.Batch, next *pim.Schema) {
	b.Queue(sqlBumpTree).QueryRow(func(row pgx.Row) error { return row.Scan(&next.Tree.Version, &next.Version) })
}

func categoryArgs(list []*pim.Category) pgx.NamedArgs {
	n := len(list)
	codes, parents, positions := make([]string, n), make([]string, n), make([]int32, n)
	labels, paths := make([]json.RawMessage, n), make([]json.RawMessage, n)
	for i, c := range list {
		codes[i], parents[i], positions[i] = c.Code, c.Parent, int32(c.Position)
		labels[i], paths[i] = mustJSON(c.Labels), texts(c.Path)
	}
	return pgx.NamedArgs{"codes": codes, "parents": parents, "positions": positions, "labels": labels, "paths": paths}
}

// sqlTreeChanges queues the products of one change of the tree, where there is a
// channel whose mapping shows them, or price rules, which may be for a subtree, and
// says whether there are more changes behind it.
const sqlTreeChanges = `
with taken as (
    delete from tree_change where id = (select id from tree_change order by id limit 1 for update skip locked) returning id, lanes, codes, at
),
queued as (
    insert into outbox (product_id, lanes, priority, at)
    select p.id, t.lanes, 0, t.at from taken t join product p on p.categories && t.codes
    where p.deleted_at is null and (exists (select from channel c where c.deleted_at is null and c.marks_tree <> 0) or (select derives & 8 <> 0 from catalogue))
    order by 1 returning 1
)
select exists (select from taken t join tree_change c on c.id > t.id), (select count(*) from queued)`

// OpenTreeChanges queues the products that changes of the tree touch, and says how
// many they are. It is a statement of its own behind the change's commit: what was
// edited before is seen then, and what is edited after is shown by the new tree,
// since claims read the catalogue's version.
func (s *Store) OpenTreeChanges(ctx context.Context) (n int, err error) {
	for {
		var (
			more   bool
			queued int
		)
		if err := s.pool.QueryRow(ctx, sqlTreeChanges).Scan(&more, &queued); err != nil {
			return n, fmt.Errorf("look at changes of the category tree: %w", err)
		}
		if queued > 0 {
			s.nudged()
		}
		if n += queued; !more {
			return n, nil
		}
	}
}

const (
	sqlCategoryInUse = `
select exists (select from category where parent = @code)
    or coalesce((select true from product where categories @> array[@code::text] and deleted_at is null limit 1), false)`
	sqlCategoryRev  = `select rev from category where code = @code`
	sqlDropCategory = `delete from category where code = @code`
)

// DeleteCategory removes a category. ErrInUse while it has categories below it,
// or products, or a channel has it as its root; ErrStale where ifMatch is not 0 and not its revision; ErrNotFound.
func (s *Store) DeleteCategory(ctx context.Context, code string, ifMatch int64) error {
	var next *pim.Schema
	err := inTx(ctx, s.pool, func(tx pgx.Tx) error {
		schema, err := s.lockSchema(ctx, tx)
		if err != nil {
			return err
		}
		var (
			used bool
			rev  int64
		)
		args := pgx.NamedArgs{"code": storable(code)}
		err = tx.QueryRow(ctx, sqlCategoryRev, args).Scan(&rev) // which the catalogue's lock keeps
		if errors.Is(err, pgx.ErrNoRows) {
			err = ErrNotFound
		}
		if err := leaves(err, rev, ifMatch); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, sqlCategoryInUse, args).Scan(&used); err != nil {
			return err
		}
		if used {
			return ErrInUse
		}
		if _, err := tx.Exec(ctx, sqlDropCategory, args); violates(err, channelRoot) {
			return ErrInUse
		} else if err != nil {
			return err
		}
		b := &pgx.Batch{}
		b.Queue(sqlTreeChange, pgx.NamedArgs{"lanes": int16(touchTree), "codes": []string{code}}) // an edit under way may name it
		next = schema.Copy()
		next.Tree = schema.Tree.Without(code)
		queueBump(b, next)
		return tx.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return fmt.Errorf("delete category %s: %w", code, err)
	}
	s.keepSchema(next)
	_, _ = s.OpenTreeChanges(ctx) // else the sweeper does it
	return nil
}

// Categories lists categories by their codes: those below root and itself, or
// directly below parent; "" says nothing.
func (s *Store) Categories(ctx context.Context, root, parent string, page Page) (list []*pim.Category, next string, err error) {
	schema, err := s.RefreshSchema(ctx)
	if err != nil {
		return nil, "", err
	}
	for _, code := range schema.Tree.Codes() {
		c := schema.Tree.Category(code)
		if code <= page.After || root != "" && !slices.Contains(c.Path, root) || parent != "" && c.Parent != parent {
			continue
		}
		if len(list) == page.limit() {
			return list, list[len(list)-1].Code, nil
		}
		list = append(list, c)
	}
	return list, "", nil
}
