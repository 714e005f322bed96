package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// Surveyed is one lane of one product as a claim would see it, and where its
// listing stands. Values, prices and stock come with the product's first lane
// only: they are the same in all.
type Surveyed struct {
	Claimed
	Lane    pim.Lane
	Listed  bool // there is a listing; else fan-out has not come to it yet
	Has     bool // of an offer or media listing: the product has prices, stock or media, or had; fan-out lists none without
	Dirty   bool
	Acked   int64 // revision; 0: nothing was acknowledged
	AckedAt *time.Time
	Error   string // of the last attempt; not dirty with an error is parked
	Issues  []pim.Issue
}

// Survey is what would be claimed of some products, whatever is due.
type Survey struct {
	Now    time.Time              // the database's clock at the snapshot
	Schema int64                  // see Claim
	Texts  bool                   // see Claim
	Gone   map[pim.Lane]time.Time // when each lane's last holder vanished
	Items  []Surveyed             // by product, then lane
	Next   string                 // cursor of the next page; "" after the last
}

// A survey is sqlClaim for readers: of one snapshot, but of any products and
// all lanes, whoever holds them. surveyNext takes a ProductFilter's conditions.
const (
	surveyNext = surveyed + `
    select p.* from product p left join product parent on parent.id = p.parent_id left join product root on root.id = parent.parent_id
    where p.id > @after and p.deleted_at is `
	// Of one product by its SKU alone, with a plan of its own: deleted ones, too.
	sqlSurveyOne = surveyed + `select * from product where sku = @sku` + surveyedOf
)

const (
	surveyed = `
select now(), cat.version, cat.derives & 1 <> 0, k.lane, k.unsure_at, l.channel_id is not null,
       case k.lane when 2 then o.product_id is not null when 4 then p.media_rev + coalesce(parent.media_rev, 0) + coalesce(root.media_rev, 0) > 0 else true end, coalesce(l.dirty, true),
       coalesce(l.acked_rev, 0), l.acked_at, coalesce(l.error, ''), l.issues,
       p.id, p.sku, coalesce(l.want, 1), coalesce(l.dirty_at, now()), l.acked_hash, l.settle_at,
       coalesce(l.dirty and l.dirty_at <= k.unsure_at and coalesce(l.receipt_at, '-infinity') <= k.unsure_at, false),
       coalesce(case when k.lane = 1 then l.born else content.born end, 0), ` + unsentContent + `, coalesce(case when k.lane = 1 then l.status else content.status end = 'sold_out', false),
       coalesce(l.attempts, 0), coalesce(l.token, ''),
       ` + claimedProduct + `
       case when k.lane = 1 then p.values end, case when k.lane = 1 then parent.values end, case when k.lane = 1 then root.values end,
       case when k.lane = 1 then ` + pricesValid + ` end, case when k.lane = 1 then ` + stockNow + ` end,
       p.rev, coalesce(l.status, ''), greatest(coalesce(l.acked_rev, 0), coalesce(l.receipt_rev, 0), coalesce(l.sent_rev, 0)),
       coalesce(k.lane = 1 and (select ` + awaited + ` from listing c where c.product_id = coalesce(root.id, parent.id) and c.channel_id = ch.id and c.lane = 1), false)
from channel ch
join consumer k on k.kind = 'drain' and k.channel_id = ch.id
cross join (select revision_floor, version, derives from catalogue where one offset 0) cat -- by its key: see sqlListings
cross join (
`
	surveyedOf = `
) p
left join product parent on parent.id = p.parent_id left join product root on root.id = parent.parent_id
left join product_offer o on o.product_id = p.id
left join listing l on l.product_id = p.id and l.channel_id = ch.id and l.lane = k.lane
left join listing content on content.product_id = p.id and content.channel_id = ch.id and content.lane = 1 and k.lane <> 1
where ch.id = @channel
order by p.id, k.lane`
)

// Survey reads one page of the products that f lets through as channel's
// drains would claim them. It locks nothing and changes nothing.
func (s *Store) Survey(ctx context.Context, channel pim.ChannelID, f ProductFilter, page Page) (*Survey, error) {
	after, err := cursor(page.After)
	if err != nil {
		return nil, err
	}
	args := pgx.NamedArgs{"channel": channel, "after": after, "limit": page.limit()}
	where, err := s.conditions(ctx, &f, args)
	if err != nil {
		return nil, err
	}
	out, err := s.survey(ctx, surveyNext+where+"\norder by p.id limit @limit"+surveyedOf, args)
	if err != nil {
		return nil, err
	}
	if n := len(out.Items); n > 0 && out.products() == page.limit() {
		out.Next = strconv.FormatInt(int64(out.Items[n-1].Product), 10)
	}
	return out, nil
}

// SurveyOne is Survey of one product, also of a deleted one; ErrNotFound.
func (s *Store) SurveyOne(ctx context.Context, channel pim.ChannelID, sku pim.SKU) (*Survey, error) {
	out, err := s.survey(ctx, sqlSurveyOne, pgx.NamedArgs{"channel": channel, "sku": sku})
	if err == nil && len(out.Items) == 0 {
		err = fmt.Errorf("product %s: %w", sku, ErrNotFound)
	}
	return out, err
}

func (s *Survey) products() (n int) {
	for i := range s.Items {
		if i == 0 || s.Items[i].Product != s.Items[i-1].Product {
			n++
		}
	}
	return n
}

func (s *Store) survey(ctx context.Context, sql string, args pgx.NamedArgs) (*Survey, error) {
	rows, err := s.pool.Query(ctx, sql, pgx.QueryExecModeDescribeExec, args) // planned for its values: see Products
	if err != nil {
		return nil, fmt.Errorf("survey products: %w", err)
	}
	out := &Survey{Gone: map[pim.Lane]time.Time{}}
	out.Items, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (v Surveyed, err error) {
		var (
			lane   int16
			unsure time.Time
			own    int64
			issues []byte
			c      = &v.Claimed
		)
		err = r.Scan(&out.Now, &out.Schema, &out.Texts, &lane, &unsure, &v.Listed, &v.Has, &v.Dirty, &v.Acked, &v.AckedAt, &v.Error, &issues,
			&c.Product, &c.SKU, &c.Want, &c.DirtySince, &c.AckedHash, &c.SettleAt, &c.Unsure, &c.Born, &c.Unsent, &c.SoldOut, &c.Attempts, &c.Token,
			&c.Gone, &c.Rev, &c.OfferRev, &c.MediaRev, &c.Parent, &c.SubModel, &c.Variant, &c.Family, &c.Enabled, &c.Categories,
			(*[]byte)(&c.Values), (*[]byte)(&c.Inherited.Parent), (*[]byte)(&c.Inherited.Root), (*[]byte)(&c.Prices), (*[]byte)(&c.Stock), &own, &c.Status, &c.RevFloor, &c.ParentAwaited)
		if err != nil {
			return v, err
		}
		v.Lane = pim.Lane(lane)
		out.Gone[v.Lane] = unsure
		c.ValuesKey = [3]int64{int64(c.Product), own, c.Rev}
		c.Failed = v.Error != ""
		if issues != nil {
			err = json.Unmarshal(issues, &v.Issues)
		}
		return v, err
	})
	if err != nil {
		return nil, fmt.Errorf("survey products: %w", err)
	}
	return out, nil
}

// Past is a product as it stands now, deleted or not, and what a walk back
// through its history needs.
type Past struct {
	FullProduct
	Group         pim.SKU // of a variant: its root model
	ParentVariant string  // that one's family variant
	Events        []PastEvent
	More          bool // there are older events
}

// PastEvent is one event of a product, Above 0, of its parent, 1, or of that
// one's, 2.
type PastEvent struct {
	Above int
	Type  string
	Data  json.RawMessage
}

const (
	sqlPast = `
select ` + productColumns + `, ` + pricesOf + `, ` + stockOf + `
from product p left join product parent on parent.id = p.parent_id left join product root on root.id = parent.parent_id left join product_offer o on o.product_id = p.id
where p.id = @id`
	sqlParentsOf = `
select coalesce(p.parent_id, 0), coalesce(root.id, 0), coalesce(root.sku, parent.sku, ''), coalesce(parent.family_variant, '') from product p left join product parent on parent.id = p.parent_id left join product root on root.id = parent.parent_id where p.id = @id`
	sqlPastEvents = `
select case e.product_id when @id then 0 when @parent then 1 else 2 end, e.type, e.data
from (values (@id::bigint), (@parent::bigint), (@root::bigint)) of (id)
cross join lateral (
    select * from event e where e.product_id = of.id and (e.lanes & @lanes::smallint <> 0 or e.type in ('product.created', 'product.deleted'))
    order by e.id desc limit @limit
) e
order by e.id desc limit @limit`
)

// Past reads a product and its newest events, up to limit, of the lanes and of
// its lives; newest first.
func (s *Store) Past(ctx context.Context, id pim.ProductID, lanes pim.Lanes, limit int) (*Past, error) {
	out := &Past{}
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		args := pgx.NamedArgs{"id": id, "lanes": int16(lanes), "limit": limit + 1}
		rows, err := tx.Query(ctx, sqlPast, args)
		if err != nil {
			return err
		}
		p, err := pgx.CollectExactlyOneRow(rows, scanProduct)
		if err != nil {
			return err
		}
		out.FullProduct = *p
		var parent, root int64
		if err := tx.QueryRow(ctx, sqlParentsOf, args).Scan(&parent, &root, &out.Group, &out.ParentVariant); err != nil {
			return err
		}
		args["parent"], args["root"] = parent, root
		if rows, err = tx.Query(ctx, sqlPastEvents, args); err != nil {
			return err
		}
		out.Events, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (e PastEvent, err error) {
			err = r.Scan(&e.Above, &e.Type, (*[]byte)(&e.Data))
			return e, err
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the past of product %d: %w", id, err)
	}
	if out.More = len(out.Events) > limit; out.More {
		out.Events = out.Events[:limit]
	}
	return out, nil
}
