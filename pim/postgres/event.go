package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// sqlEvents reads the log in an order that is final: by transaction, and only
// up to the oldest one that may still be running, since a sequence's order is
// not the order of commits.
const sqlEvents = `
select e.xid::text, e.id, e.at, e.type, p.sku, e.rev, e.lanes, e.actor, e.data
from event e join product p on p.id = e.product_id
where (e.xid, e.id) > (@xid::text::xid8, @id) and e.xid < pg_snapshot_xmin(pg_current_snapshot())
order by e.xid, e.id limit @limit`

const sqlHistory = `
select e.xid::text, e.id, e.at, e.type, p.sku, e.rev, e.lanes, e.actor, e.data
from event e join product p on p.id = e.product_id
where p.sku = @sku and (@id::bigint = 0 or e.id < @id)
order by e.id desc limit @limit`

// Events reads one page of the event log, oldest first, and the cursor behind
// its last event; a reader that comes back with it misses nothing. The cursor
// stays when there is nothing new.
func (s *Store) Events(ctx context.Context, page Page) (list []pim.Event, next string, err error) {
	xid, id, err := eventCursor(page.After)
	if err != nil {
		return nil, "", err
	}
	list, last, err := s.events(ctx, sqlEvents, pgx.NamedArgs{"xid": xid, "id": id, "limit": page.limit()})
	if last == "" {
		last = page.After
	}
	return list, last, err
}

// History reads one page of a product's events, newest first, and the cursor
// of the next.
func (s *Store) History(ctx context.Context, sku pim.SKU, page Page) (list []pim.Event, next string, err error) {
	id, err := cursor(page.After)
	if err != nil {
		return nil, "", err
	}
	list, _, err = s.events(ctx, sqlHistory, pgx.NamedArgs{"sku": sku, "id": id, "limit": page.limit()})
	if len(list) == page.limit() {
		next = strconv.FormatInt(list[len(list)-1].ID, 10)
	}
	return list, next, err
}

func (s *Store) events(ctx context.Context, sql string, args pgx.NamedArgs) (list []pim.Event, last string, err error) {
	rows, err := s.pool.Query(ctx, sql, args)
	if err != nil {
		return nil, "", fmt.Errorf("read events: %w", err)
	}
	list, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (e pim.Event, err error) {
		var xid string
		var lanes pim.Lanes
		err = r.Scan(&xid, &e.ID, &e.At, &e.Type, &e.SKU, &e.Revision, &lanes, &e.Actor, &e.Data)
		e.Lanes = lanes.List()
		last = xid + "." + strconv.FormatInt(e.ID, 10)
		return e, err
	})
	if err != nil {
		return nil, "", fmt.Errorf("read events: %w", err)
	}
	return list, last, nil
}

func eventCursor(s string) (xid string, id int64, err error) {
	if s == "" {
		return "0", 0, nil
	}
	xid, rest, ok := strings.Cut(s, ".")
	if _, e := strconv.ParseUint(xid, 10, 64); !ok || e != nil {
		_, err = cursor("-")
		return "", 0, err
	}
	id, err = cursor(rest)
	return xid, id, err
}

// What follows the log reads it in steps: of events that it looks at the products of,
// followEvents at the most, and of those of other lanes, by which an ERP's prices and
// stock levels fill it, far more.
const (
	followEvents = 1000
	passEvents   = 20_000
)

// sqlFollow reads on in the log, in an order that is final: see sqlEvents. It gives the
// place up to which it has read, and the products of which one of the lanes changed.
const sqlFollow = `
with e as materialized (
    select e.xid, e.id, e.product_id, e.lanes from event e
    where (e.xid, e.id) > (@xid::text::xid8, @id) and e.xid < pg_snapshot_xmin(pg_current_snapshot()) order by e.xid, e.id limit @pass
),
of as materialized (select e.xid, e.id, e.product_id from e where e.lanes & @lanes::smallint <> 0 order by e.xid, e.id limit @limit),
last as (
    (select xid, id from of where (select count(*) from of) = @limit order by xid desc, id desc limit 1)
    union all
    (select xid, id from e where (select count(*) from of) < @limit order by xid desc, id desc limit 1)
)
select (select xid::text from last), (select id from last), coalesce((select array_agg(distinct product_id) from of), '{}')`

func following(xid string, id int64, lanes pim.Lanes) pgx.NamedArgs {
	return pgx.NamedArgs{"xid": xid, "id": id, "lanes": int16(lanes), "limit": followEvents, "pass": passEvents}
}
