package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// What follows from a product beside its listings: the assets it names, the
// texts it lacks. Fan-out puts changed products into the set derive, one row
// each; its consumer looks at the product as it is then.

// Derived is a product whose assets and texts are to be looked at.
type Derived struct {
	ID      pim.ProductID
	SKU     pim.SKU
	Family  string
	Parent  bool            // it is a variant: its texts are looked at over its parent's
	Values  json.RawMessage // its own
	Rev     int64
	Deleted bool
	Urgent  bool // somebody edited it, it is no backfill
	Touch   bool // an asset that it shows is another one now
	want    int64
}

// Urgent is what an edit of somebody's left: see sqlFanout's due times.
const sqlClaimDerive = `
select p.id, p.sku, p.family, p.parent_id is not null, p.values, p.rev, p.deleted_at is not null, d.due_at < now() - interval '30 minutes', d.touch, d.want
from consumer k cross join lateral (select * from derive where due_at <= now() order by due_at limit @limit) d join product p on p.id = d.product_id
where k.kind = @kind and k.channel_id = 0 and k.lane = 0 and k.epoch = @epoch and not k.released`

// ClaimDerive reads up to limit products for the holder of l.
func (s *Store) ClaimDerive(ctx context.Context, l Lease, limit int) ([]Derived, error) {
	args := l.args()
	args["limit"] = limit
	rows, err := s.work.Query(ctx, sqlClaimDerive, args)
	if err != nil {
		return nil, fmt.Errorf("claim products to derive from: %w", err)
	}
	out, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (d Derived, err error) {
		return d, r.Scan(&d.ID, &d.SKU, &d.Family, &d.Parent, &d.Values, &d.Rev, &d.Deleted, &d.Urgent, &d.Touch, &d.want)
	})
	if err != nil {
		return nil, fmt.Errorf("claim products to derive from: %w", err)
	}
	return out, nil
}

const (
	// sqlDeriveRefs makes what products name equal to refs, and notes since when
	// an asset is named by none. It gives the products that name anew what became
	// complete a moment ago: who made it did not know of them, and a listing that
	// looked before may wait for it. What has been complete for longer than such a
	// listing waits by itself (jobs.pendingMost) is seen without that.
	sqlDeriveRefs = `
with now_ as (select * from unnest(@product::bigint[], @ref::text[]) n (product_id, ref)),
dropped as (
    delete from product_asset u where u.product_id = any(@products::bigint[])
      and not exists (select from now_ n where n.product_id = u.product_id and n.ref = u.ref) returning u.product_id, u.ref
),
added as (
    insert into product_asset (product_id, ref) select product_id, ref from now_ order by 2, 1 on conflict do nothing returning product_id, ref
),
named as (
    select ref, bool_or(added) as added from (select ref, true as added from added union all select ref, false from dropped) n group by 1
),
affected as ( -- one may be named by its code and by its URL
    select x.id, bool_or(n.added) as added
    from named n cross join lateral (select id from asset where ref = n.ref union select id from asset where code = n.ref) x group by 1
),
noted as (
update asset a set unused_at = case when n.added or exists (
        select from product_asset u where u.ref in (a.ref, a.code) and (u.product_id, u.ref) not in (select product_id, ref from dropped)) then null
    else now() end
from affected n where a.id = n.id and (a.unused_at is null) = (not n.added)
)
select distinct n.product_id from added n
cross join lateral (select * from asset a where a.ref = n.ref union select * from asset a where a.code = n.ref) a
where a.updated_at > now() - interval '15 minutes' or exists (select from rendition r where r.original = a.hash and r.made_at > now() - interval '15 minutes')`

	// sqlDeriveFetches promises assets for URLs that some channel wants renditions of.
	sqlDeriveFetches = `
with wanted as (
    select * from unnest(@ref::text[], @code::text[], @lot::text[]) w (ref, code, lot)
    where exists (select from channel where deleted_at is null and renditions <> '{}')
),
made as (
    insert into asset (code, ref, source) select distinct code, ref, ref from wanted order by 1 on conflict do nothing returning id, ref
),
lots as (insert into lot (kind, lot) select distinct 'fetch', w.lot from wanted w join made m using (ref) order by 2 on conflict do nothing)
insert into task (kind, subject, lot, due_at)
select 'fetch', m.id, min(w.lot), case when @urgent then now() - interval '1 hour' else now() end from made m join wanted w using (ref) group by 2 order by 2
on conflict do nothing`

	// sqlDeriveTouch gives the media of products a new revision.
	sqlDeriveTouch = `
with locked as (select id from product where id = any(@product::bigint[]) and deleted_at is null order by id for no key update),
up as (update product p set media_rev = p.media_rev + 1, updated_at = now() from locked l where p.id = l.id returning p.id, p.rev),
ev as (insert into event (product_id, rev, lanes, type, actor, data) select id, rev, 4, 'product.media', 'renditions', '{}' from up order by id)
insert into outbox (product_id, lanes) select id, 4 from up order by id`

	sqlDeriveDone = `
with d as (
    select e.product_id, e.want from unnest(@product::bigint[], @want::bigint[]) e (product_id, want) order by 1
),
locked as (select v.product_id from derive v join d using (product_id, want) order by 1 for update of v)
delete from derive v using locked l where v.product_id = l.product_id`

	sqlDeriveUntouch = `update derive set touch = false where product_id = any(@product::bigint[]) and touch`
)

// Derivation is what follows from claimed products.
type Derivation struct {
	Products []Derived
	Refs     [][]string // of each product, the assets that it names
	// Also does what follows beside assets, in the same transaction.
	Also func(context.Context, pgx.Tx) error
}

// Derive stores what follows from products under l, and takes them out of the
// set unless they changed meanwhile.
func (s *Store) Derive(ctx context.Context, l Lease, d Derivation) error {
	var (
		all, want, touch, product []int64
		refs, urls, codes, lots   []string
		urgent                    bool
	)
	var touched []int64
	known := map[string]bool{}
	for i, p := range d.Products {
		all, want = append(all, int64(p.ID)), append(want, p.want)
		urgent = urgent || p.Urgent
		if p.Touch {
			touch = append(touch, int64(p.ID))
		}
		for _, ref := range d.Refs[i] {
			product, refs = append(product, int64(p.ID)), append(refs, ref)
			if IsURL(ref) && !known[ref] {
				known[ref] = true
				urls, codes, lots = append(urls, ref), append(codes, AssetCode(ref)), append(lots, HostOf(ref))
			}
		}
	}
	err := untangled(func() error {
		return inTx(ctx, s.pool, func(tx pgx.Tx) error {
			if err := underLease(ctx, tx, l); err != nil {
				return err
			}
			rows, err := tx.Query(ctx, sqlDeriveRefs, pgx.NamedArgs{"products": all, "product": product, "ref": refs})
			if err != nil {
				return err
			}
			late, err := pgx.CollectRows(rows, pgx.RowTo[int64])
			if err != nil {
				return err
			}
			if touched = slices.Concat(touch, late); len(touched) > 0 {
				if _, err := tx.Exec(ctx, sqlDeriveTouch, pgx.NamedArgs{"product": touched}); err != nil {
					return err
				}
				if _, err := tx.Exec(ctx, sqlDeriveUntouch, pgx.NamedArgs{"product": touch}); err != nil {
					return err
				}
			}
			if len(urls) > 0 {
				if _, err := tx.Exec(ctx, sqlDeriveFetches, pgx.NamedArgs{"ref": urls, "code": codes, "lot": lots, "urgent": urgent}); err != nil {
					return err
				}
			}
			if d.Also != nil {
				if err := d.Also(ctx, tx); err != nil {
					return err
				}
			}
			_, err = tx.Exec(ctx, sqlDeriveDone, pgx.NamedArgs{"product": all, "want": want})
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("derive from %d products: %w", len(d.Products), err)
	}
	if len(touched) > 0 {
		s.nudged()
	}
	return nil
}

// HostOf is the lot of fetches from a URL: its host and port.
func HostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "unknown"
	}
	return strings.ToLower(u.Host)
}

const (
	sqlDerives  = `update catalogue set derives = derives | @lane where derives & @lane = 0`
	sqlBackfill = `
insert into derive as d (product_id) select id from product where deleted_at is null and (@families = '{}'::text[] or family = any(@families)) order by id
on conflict (product_id) do update set want = d.want + 1`
)

// sqlBackfillTests looks again at the products that have a text of a provider for tests.
const sqlBackfillTests = `
insert into derive as d (product_id) select distinct product_id from product_text where test_value is not null or test and proposal is not null order by product_id
on conflict (product_id) do update set want = d.want + 1`

// derives makes fan-out look at what follows from changes of lane, if it does
// not yet: then at all products once.
func derives(ctx context.Context, tx pgx.Tx, lane pim.Lane) error {
	tag, err := tx.Exec(ctx, sqlDerives, pgx.NamedArgs{"lane": int16(lane)})
	if err != nil || tag.RowsAffected() == 0 {
		return err
	}
	return backfill(ctx, tx, nil)
}

// backfill looks at all products of families again; none: of all. They queue
// behind what somebody edits.
func backfill(ctx context.Context, tx pgx.Tx, families []string) error {
	if families == nil {
		families = []string{}
	}
	_, err := tx.Exec(ctx, sqlBackfill, pgx.NamedArgs{"families": families})
	return err
}
