package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// touchRecords is a bit of an outbox row's lanes, as touchTree: a record that the
// product shows says something else.
const touchRecords = 16

const (
	// recordsNow is how many products a record's edit puts on the road before it
	// answers; those beyond are the sweeper's, recordsLater in each statement.
	recordsNow   = 5_000
	recordsLater = 50_000
	// recordSteps is how many changes it looks at: its own, and those of records that
	// name its.
	recordSteps = 2
)

// sqlSpreadChange makes changes of the records that name those of the first change, as
// many in each as one call edits: products show them, too, by one step. It stands
// behind the change's commit, as what queues products does, for the same reason: a
// record that comes to name a changed one later is changed itself, later.
const sqlSpreadChange = `
with taken as (
    select id, refs, at from record_change where not spread order by id limit 1 for update skip locked
),
naming as (
    select t.at, r.ref, (row_number() over (order by r.ref) - 1) / @part::int as part from taken t join record r on r.records && t.refs
    where r.records <> '{}' and r.ref <> all(t.refs)
),
more as (
    insert into record_change (at, refs, spread) select at, array_agg(ref order by ref), true from naming group by at, part order by part
),
done as (
    update record_change c set spread = true from taken t where c.id = t.id
)
select count(*) from taken`

// sqlRecordChanges queues the next products that name records of the first change,
// where there is a channel whose mapping shows records. The last step of a change,
// which finds fewer than it could take, ends it.
const sqlRecordChanges = `
with taken as (
    select id, refs, after, at from record_change where spread order by id limit 1 for update skip locked
),
found as (
    select p.id, t.at from taken t join product p on p.records && t.refs
    where p.records <> '{}' and p.id > t.after and p.deleted_at is null
      and exists (select from channel c where c.deleted_at is null and c.marks_records <> 0)
    order by p.id limit @limit
),
queued as (
    insert into outbox (product_id, lanes, priority, at) select id, @lanes::smallint, 0, at from found order by id
),
moved as (
    update record_change c set after = (select max(id) from found) from taken t where c.id = t.id and (select count(*) from found) >= @limit
),
ended as (
    delete from record_change c using taken t where c.id = t.id and (select count(*) from found) < @limit
)
select (select count(*) from taken), (select count(*) from found)`

// OpenRecordChanges queues the products that show records which were changed, and
// says how many they are. As with OpenTreeChanges, its statements stand behind the
// change's commit: what was edited before is seen then, and what is edited after
// shows the record as it is, for who renders reads it after the claim.
func (s *Store) OpenRecordChanges(ctx context.Context) (n int, err error) {
	for {
		spread, err := s.spreadRecords(ctx)
		if err != nil {
			return n, err
		}
		taken, queued, err := s.openRecords(ctx, recordsLater)
		if n += queued; err != nil || taken+spread == 0 {
			return n, err
		}
	}
}

func (s *Store) spreadRecords(ctx context.Context) (taken int, err error) {
	if err := s.pool.QueryRow(ctx, sqlSpreadChange, pgx.NamedArgs{"part": MaxRecordEdits}).Scan(&taken); err != nil {
		return 0, fmt.Errorf("look for records that name changed ones: %w", err)
	}
	return taken, nil
}

// openRecordChanges does a first, bounded part of it for whoever changed records;
// the sweeper does the rest, and all of it should this fail.
func (s *Store) openRecordChanges(ctx context.Context) {
	if _, err := s.spreadRecords(ctx); err != nil {
		return
	}
	for range recordSteps {
		if taken, queued, err := s.openRecords(ctx, recordsNow); err != nil || taken == 0 || queued == recordsNow {
			return
		}
	}
}

func (s *Store) openRecords(ctx context.Context, limit int) (taken, queued int, err error) {
	if err := s.pool.QueryRow(ctx, sqlRecordChanges, pgx.NamedArgs{"limit": limit, "lanes": int16(touchRecords)}).Scan(&taken, &queued); err != nil {
		return 0, 0, fmt.Errorf("look at changes of records: %w", err)
	}
	if queued > 0 {
		s.nudged()
	}
	return taken, queued, nil
}
