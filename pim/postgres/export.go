package postgres

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// ValuePlace is a place in products' values: an attribute, of a scopable one
// also the channel, of a localizable one also the locale.
type ValuePlace struct {
	Attribute string
	Channel   pim.ChannelCode
	Locale    pim.Locale
}

// PricePlace is where a plain price lies: one for a single piece, without a window.
type PricePlace struct {
	List     string
	Currency pim.Currency
}

// ProductPlaces are the places that some product of an export fills, so that a
// table has no empty columns. Each list is in the order of its members.
type ProductPlaces struct {
	Values   []ValuePlace
	Prices   []PricePlace
	Others   bool     // some price is for more pieces, or has a window
	Stock    []string // locations
	Reserved []string // locations at which something is reserved
	Safety   []string // locations at which a product has a safety stock of its own
	Windows  []WindowPlace
}

// WindowPlace is a channel for which some product has a window of publication.
type WindowPlace struct {
	Channel  pim.ChannelCode
	From, To bool // some window has it
}

// Snapshot is products as they stand at one moment, whoever edits them
// meanwhile. It is good within the call that lends it, and used by one goroutine.
type Snapshot struct {
	tx     pgx.Tx
	schema *pim.Schema
	filter ProductFilter
	where  string // filter's conditions, and their arguments
	args   pgx.NamedArgs
}

const snapshotPage = 200

// InSnapshot lends the products that f leaves to do. Everything that is read
// through it is of one moment. An open snapshot keeps dead rows alive in the
// database, so do should not dawdle: one that asks for nothing for 30 seconds
// loses it. The error is do's, or the database's.
func (s *Store) InSnapshot(ctx context.Context, f ProductFilter, do func(*Snapshot) error) error {
	opts := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	return pgx.BeginTxFunc(ctx, s.pool, opts, func(tx pgx.Tx) error {
		schema, err := s.loadSchema(ctx, tx)
		if err != nil {
			return err
		}
		lent := &Snapshot{tx: tx, schema: schema, filter: f, args: pgx.NamedArgs{}}
		lent.filter.Sort = nil // it reads on by the order of creation
		if lent.filter.channels, err = channelPlaces(ctx, tx, &lent.filter); err != nil {
			return err
		}
		if lent.where, err = lent.filter.conditions(schema, lent.args); err != nil {
			return err
		}
		return do(lent)
	})
}

// Schema is what the snapshot's values were checked against.
func (s *Snapshot) Schema() *pim.Schema { return s.schema }

// Products gives the products to each in the order of their creation, until
// that returns an error, which it returns as it is. It holds one page of them.
func (s *Snapshot) Products(ctx context.Context, each func(*FullProduct) error) error {
	args := maps.Clone(s.args)
	args["limit"] = snapshotPage
	for page := (Page{}); ; {
		sql, err := s.filter.query(s.where, page, args)
		if err != nil {
			return err
		}
		rows, err := s.tx.Query(ctx, sql, pgx.QueryExecModeDescribeExec, args) // see Products of the Store
		if err != nil {
			return fmt.Errorf("read products for export: %w", err)
		}
		list, err := pgx.CollectRows(rows, scanWeighed)
		if err != nil {
			return fmt.Errorf("read products for export: %w", err)
		}
		if err := s.windows(ctx, list); err != nil {
			return err
		}
		for _, p := range list {
			if err := each(p); err != nil {
				return err
			}
		}
		if len(list) < snapshotPage {
			return nil
		}
		page.After = placeOf(s.filter.sorting(), list[len(list)-1])
	}
}

const sqlWindowsOf = `
select w.product_id, c.code, nullif(w.publish_from, '-infinity'), nullif(w.publish_to, 'infinity')
from publication w join channel c on c.id = w.channel_id and c.deleted_at is null
where w.product_id = any(@ids::bigint[]) and (isfinite(w.publish_from) or isfinite(w.publish_to)) order by w.product_id, c.code collate "C"`

// windows reads the products' windows of publication.
func (s *Snapshot) windows(ctx context.Context, list []*FullProduct) error {
	ids, byID := make([]int64, len(list)), make(map[int64]*FullProduct, len(list))
	for i, p := range list {
		ids[i], byID[int64(p.ID)] = int64(p.ID), p
	}
	rows, err := s.tx.Query(ctx, sqlWindowsOf, pgx.NamedArgs{"ids": ids})
	if err == nil {
		var (
			id       int64
			channel  pim.ChannelCode
			from, to *time.Time
		)
		_, err = pgx.ForEachRow(rows, []any{&id, &channel, &from, &to}, func() error {
			byID[id].Publication = append(byID[id].Publication, pim.Publication{Channel: channel, From: inUTC(from), To: inUTC(to)})
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("read windows of publication for export: %w", err)
	}
	return nil
}

func inUTC(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	utc := t.UTC()
	return &utc
}

// chosen are the snapshot's products, for a statement that begins with them.
func (s *Snapshot) chosen() string {
	return `
with chosen as (
    select p.id, p.values from product p left join product parent on parent.id = p.parent_id left join product root on root.id = parent.parent_id where p.deleted_at is ` + s.where + `
)`
}

// These stand behind chosen.
const (
	// An attribute in @scoped has a level of channels, one in @local one of locales.
	valuePlaces = `
select distinct v.key, coalesce(s.key, ''), coalesce(l.key, '')
from chosen c cross join lateral jsonb_each(c.values) v
left join lateral jsonb_each(case when v.key = any(@scoped::text[]) and jsonb_typeof(v.value) = 'object' then v.value end) s on true
left join lateral jsonb_object_keys(case when v.key = any(@local::text[]) and jsonb_typeof(coalesce(s.value, v.value)) = 'object'
    then coalesce(s.value, v.value) end) l (key) on true
order by 1, 2, 3`
	pricePlaces = `
select distinct price_list, currency, min_quantity = 1 and valid_from = '-infinity' and valid_to = 'infinity'
from price where rules is null and product_id in (select id from chosen) order by 1, 2`
	stockPlaces = `
select location, bool_or(reserved <> 0), bool_or(safety is not null) from stock where product_id in (select id from chosen) group by location order by location`
	windowPlaces = `
select c.code, bool_or(isfinite(w.publish_from)), bool_or(isfinite(w.publish_to)) from publication w join channel c on c.id = w.channel_id and c.deleted_at is null
where w.product_id in (select id from chosen) and (isfinite(w.publish_from) or isfinite(w.publish_to)) group by c.code order by c.code collate "C"`
)

// Places finds what the snapshot's products fill.
func (s *Snapshot) Places(ctx context.Context) (ProductPlaces, error) {
	var out ProductPlaces
	args := maps.Clone(s.args)
	scoped, local := []string{}, []string{}
	for code, a := range s.schema.Attributes {
		if a.Scopable {
			scoped = append(scoped, code)
		}
		if a.Localizable {
			local = append(local, code)
		}
	}
	args["scoped"], args["local"] = scoped, local
	rows, err := s.tx.Query(ctx, s.chosen()+valuePlaces, pgx.QueryExecModeDescribeExec, args)
	if err == nil {
		out.Values, err = pgx.CollectRows(rows, pgx.RowToStructByPos[ValuePlace])
	}
	if err != nil {
		return out, fmt.Errorf("find what products fill: %w", err)
	}
	var price PricePlace
	var plain bool
	if rows, err = s.tx.Query(ctx, s.chosen()+pricePlaces, pgx.QueryExecModeDescribeExec, args); err == nil {
		_, err = pgx.ForEachRow(rows, []any{&price.List, &price.Currency, &plain}, func() error {
			if plain {
				out.Prices = append(out.Prices, price)
			}
			out.Others = out.Others || !plain
			return nil
		})
	}
	if err != nil {
		return out, fmt.Errorf("find what prices there are: %w", err)
	}
	var location string
	var reserved, safety bool
	if rows, err = s.tx.Query(ctx, s.chosen()+stockPlaces, pgx.QueryExecModeDescribeExec, args); err == nil {
		_, err = pgx.ForEachRow(rows, []any{&location, &reserved, &safety}, func() error {
			if out.Stock = append(out.Stock, location); reserved {
				out.Reserved = append(out.Reserved, location)
			}
			if safety {
				out.Safety = append(out.Safety, location)
			}
			return nil
		})
	}
	if err != nil {
		return out, fmt.Errorf("find where stock is: %w", err)
	}
	if rows, err = s.tx.Query(ctx, s.chosen()+windowPlaces, pgx.QueryExecModeDescribeExec, args); err == nil {
		out.Windows, err = pgx.CollectRows(rows, pgx.RowToStructByPos[WindowPlace])
	}
	if err != nil {
		return out, fmt.Errorf("find where windows of publication are: %w", err)
	}
	return out, nil
}

// PlainPrice reports a price for one piece without a window.
func PlainPrice(p *pim.Price) bool {
	return p.MinQuantity <= 1 && p.ValidFrom == nil && p.ValidTo == nil
}
