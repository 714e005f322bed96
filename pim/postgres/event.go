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
where p.sku = @sku and (@id = 0 or e.id < @id)
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
