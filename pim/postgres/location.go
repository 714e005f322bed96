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

// Location is a stored location.
type Location struct {
	pim.Location
	Rev       int64 // the ETag
	UpdatedAt time.Time
}

const (
	sqlLocations = `select code, rev, updated_at, definition from location order by code`
	sqlLocation  = `select code, rev, updated_at, definition from location where code = @code`

	sqlPutLocation = `
insert into location as l (code, definition) values (@code, @definition)
on conflict (code) do update set definition = excluded.definition, rev = l.rev + 1, updated_at = now()
where l.definition is distinct from excluded.definition`
	sqlDropLocation  = `delete from location where code = @code and (@if_match = 0 or rev = @if_match)`
	sqlLocationInUse = `
select @code = 'default' or exists (select from stock where location = @code)
    or exists (select from channel where deleted_at is null and @code = any(locations))`
)

func scanLocation(row pgx.CollectableRow) (l Location, err error) {
	var (
		code       string
		definition []byte
	)
	if err := row.Scan(&code, &l.Rev, &l.UpdatedAt, &definition); err != nil {
		return l, err
	}
	err = json.Unmarshal(definition, &l.Location)
	l.Code = code
	return l, err
}

// Locations lists all locations, by their codes.
func (s *Store) Locations(ctx context.Context) ([]Location, error) {
	rows, err := s.pool.Query(ctx, sqlLocations)
	if err != nil {
		return nil, fmt.Errorf("list locations: %w", err)
	}
	return pgx.CollectRows(rows, scanLocation)
}

// Location reads one location; ErrNotFound.
func (s *Store) Location(ctx context.Context, code string) (Location, error) {
	l, err := location(ctx, s.pool, code)
	if err != nil {
		return l, fmt.Errorf("location %s: %w", code, err)
	}
	return l, nil
}

func location(ctx context.Context, q querier, code string) (Location, error) {
	return one(ctx, q, sqlLocation, pgx.NamedArgs{"code": storable(code)}, scanLocation)
}

// sqlRestockLocation queues, for each channel, the products of which it shows
// something else once the location is as the definition says.
const sqlRestockLocation = `
insert into outbox (product_id, lanes, priority, channel_id)
select product_id, 2, case when was > 0 and shown = 0 then 2 else 0 end, channel_id from (
    select s.product_id, c.id as channel_id,
           stock_shown(sum(f.was)::bigint, c.policy -> 'stock') as was, stock_shown(sum(f.free)::bigint, c.policy -> 'stock') as shown,
           bool_or(s.location = @code and (s.on_hand, s.reserved) <> (0, 0)) as filled
    from channel c
    join stock s on c.locations = '{}' or s.location = any(c.locations)
    join product p on p.id = s.product_id and p.deleted_at is null
    left join location place on place.code = s.location
    cross join lateral (
        select stock_free(s.on_hand, s.reserved, s.safety, place.definition) as was,
               stock_free(s.on_hand, s.reserved, s.safety, case when s.location = @code then @definition::jsonb else place.definition end) as free
    ) f
    where c.deleted_at is null and c.marks_offer <> 0 and (c.locations = '{}' or @code = any(c.locations))
      and s.product_id in (select product_id from stock where location = @code)
    group by c.id, s.product_id
) x
where was <> shown or @flips::boolean and filled -- what is on hand counts no more, or again
order by product_id, channel_id`

// PutLocation checks (*pim.Invalid) and stores a location; its levels stay. Where
// a channel shows another stock of a product by it, exactly that is sent, first
// what is sold out by it. The same again changes nothing. ifMatch, when not 0, is
// the revision that it must have (ErrStale).
func (s *Store) PutLocation(ctx context.Context, l pim.Location, ifMatch int64) (now Location, created bool, err error) {
	err = s.relocate(ctx, func(tx pgx.Tx, schema *pim.Schema) (*pim.Schema, error) {
		old, err := location(ctx, tx, l.Code)
		if created, err = meets(err, old.Rev, ifMatch); err != nil {
			return nil, err
		}
		if problems := schema.CheckLocation(&l); len(problems) > 0 {
			return nil, &pim.Invalid{Problems: problems}
		}
		definition := withoutCode(l)
		flips := old.On() != l.On()
		if !created && (flips || old.SafetyStock != l.SafetyStock) {
			args := pgx.NamedArgs{"code": l.Code, "definition": definition, "flips": flips}
			if _, err := tx.Exec(ctx, sqlRestockLocation, args); err != nil {
				return nil, err
			}
		}
		tag, err := tx.Exec(ctx, sqlPutLocation, pgx.NamedArgs{"code": l.Code, "definition": definition})
		if err != nil {
			return nil, err
		}
		if now, err = location(ctx, tx, l.Code); err != nil || tag.RowsAffected() == 0 {
			return nil, err
		}
		next := schema.Copy()
		next.Locations, next.Places = putInto(schema.Locations, l.Code, true), putInto(schema.Places, l.Code, now.Location)
		if string(definition) == "{}" {
			next.Places = takenFrom(schema.Places, l.Code)
		}
		return next, nil
	})
	if err != nil {
		return now, false, fmt.Errorf("store location %s: %w", l.Code, err)
	}
	return now, created, nil
}

// DeleteLocation removes a location where nothing was ever kept and that no
// channel or import profile names; ErrInUse, ErrNotFound. The location default stays.
func (s *Store) DeleteLocation(ctx context.Context, code string, ifMatch int64) error {
	err := s.relocate(ctx, func(tx pgx.Tx, schema *pim.Schema) (*pim.Schema, error) {
		args := pgx.NamedArgs{"code": storable(code), "if_match": ifMatch}
		tag, err := tx.Exec(ctx, sqlDropLocation, args)
		if err != nil {
			return nil, err
		}
		if tag.RowsAffected() == 0 {
			return nil, unmatched(ifMatch)
		}
		var used bool
		if err := tx.QueryRow(ctx, sqlLocationInUse, args).Scan(&used); err != nil {
			return nil, err
		}
		if used {
			return nil, ErrInUse
		}
		if err := unused(ctx, tx, sqlLocationProfiles, args); err != nil {
			return nil, err
		}
		next := schema.Copy()
		next.Locations, next.Places = takenFrom(schema.Locations, code), takenFrom(schema.Places, code)
		return next, nil
	})
	if err != nil {
		return fmt.Errorf("delete location %s: %w", code, err)
	}
	return nil
}

// relocate changes a location, alone: whoever changes levels is waited for, and
// waits. change gives the next schema; nil where nothing is different.
func (s *Store) relocate(ctx context.Context, change func(pgx.Tx, *pim.Schema) (*pim.Schema, error)) error {
	var next *pim.Schema
	err := untangled(func() error {
		return inTx(ctx, s.pool, func(tx pgx.Tx) error {
			schema, err := s.lockSchema(ctx, tx)
			if err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, sqlStockAlone); err != nil {
				return err
			}
			if next, err = change(tx, schema); err != nil || next == nil {
				return err
			}
			return bumpSchema(ctx, tx, next)
		})
	})
	if err != nil {
		return err
	}
	if next != nil {
		s.keepSchema(next)
	}
	s.nudged()
	return nil
}

const (
	sqlStockRule = `
select locations, coalesce(policy -> 'stock', '{}') from channel where id = @id and version = @version and deleted_at is null`

	// sqlRestockChannel queues the products of which a channel shows something else
	// by its new locations and stock rule than by its old ones.
	sqlRestockChannel = `
insert into outbox (product_id, lanes, priority, channel_id)
select product_id, 2, case when was > 0 and shown = 0 then 2 else 0 end, @id::bigint from (
    select s.product_id,
           stock_shown(coalesce(sum(f.free) filter (where f.was), 0)::bigint, @old_rule::jsonb) as was,
           stock_shown(coalesce(sum(f.free) filter (where f.counts), 0)::bigint, @rule::jsonb) as shown,
           coalesce(sum(s.on_hand) filter (where f.was and f.open), 0) as was_on_hand, coalesce(sum(s.on_hand) filter (where f.counts and f.open), 0) as on_hand,
           coalesce(sum(s.reserved) filter (where f.was and f.open), 0) as was_reserved, coalesce(sum(s.reserved) filter (where f.counts and f.open), 0) as reserved
    from stock s
    join product p on p.id = s.product_id and p.deleted_at is null
    left join location place on place.code = s.location
    cross join lateral (
        select stock_free(s.on_hand, s.reserved, s.safety, place.definition) as free, place.definition ->> 'enabled' is distinct from 'false' as open,
               @old_locations::text[] = '{}' or s.location = any(@old_locations) as was, @locations::text[] = '{}' or s.location = any(@locations) as counts
    ) f
    group by s.product_id
) x
where (was, was_on_hand, was_reserved) <> (shown, on_hand, reserved) and @marks_offer::smallint <> 0
order by product_id`
)

// restocks gives what an update of a channel does, in its transaction, behind the
// channel's own row, for what it shows of stock by its locations and stock rule.
func (s *Store) restocks(ctx context.Context, c *Channel) (func(pgx.Tx) error, error) {
	var (
		locations []string
		rule      pim.StockRule
	)
	err := s.pool.QueryRow(ctx, sqlStockRule, pgx.NamedArgs{"id": c.ID, "version": c.Version}).Scan(&locations, &rule)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, ErrStale
	}
	if err != nil {
		return nil, err
	}
	if rule == c.Policy.Stock && slices.Equal(locations, c.Locations) {
		return func(pgx.Tx) error { return nil }, nil
	}
	args := c.args()
	args["old_locations"], args["old_rule"], args["rule"] = locations, mustJSON(rule), mustJSON(c.Policy.Stock)
	return func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, sqlStockAlone); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, sqlRestockChannel, args)
		return err
	}, nil
}
