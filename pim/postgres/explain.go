package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// Explained is all that says why a product stands on a channel as it does, of
// one snapshot.
type Explained struct {
	Now     time.Time // the database's clock
	Channel *Channel
	Hold    string // why the channel rests until its times; "" where nobody says
	// MarkAfter, not nil: the listings of products above it are still to be marked.
	// With Anew nothing is sent until all are.
	MarkAfter *int64
	Anew      bool
	Mapping   MappingVersion // without the mapping itself
	Workers   bool           // some process works jobs
	Parents   bool           // variants wait for their parents; the caller's to set
	// Product is nil where there is none of that SKU.
	Product *ExplainedProduct
	Stock   []pim.Stock // its levels
	Lanes   []ExplainedLane
}

// ExplainedProduct is what keeps a product off all channels.
type ExplainedProduct struct {
	ID             pim.ProductID
	Deleted        *time.Time
	Enabled        bool
	Parent         pim.SKU // of a variant: its root model
	ParentDeleted  bool    // or what stands between
	ParentDisabled bool
	SubModel       bool // it stands between
	// Closed is the product's window on the channel, or its parent's, where it is not
	// published there now; nil: it is.
	Closed    *pim.Publication
	CreatedAt time.Time
}

// ExplainedLane is one lane of a product on a channel.
type ExplainedLane struct {
	Lane   pim.Lane
	Mapped bool // the mapping has something of the lane
	Has    bool // see Surveyed

	// Outbox is since when a change waits that fan-out has not come to, and Poisoned
	// why it could not digest one.
	Outbox   *time.Time
	Poisoned *string

	// The lane's drain.
	Holder    string // who works for it; "": nobody
	WaitUntil *time.Time
	WaitFor   string

	Listed  bool // there is a listing, which all that follows is of
	Want    int64
	Dirty   bool
	DirtyAt time.Time
	Due     *time.Time // nil: not by itself
	Forever bool       // until the content is there
	Urgent  bool       // sold out
	Ahead   int        // listings that go before it, or with it, at most MaxAhead; of one that is due
	Wanted  int64      // revision
	Acked   int64
	AckedAt *time.Time
	Settle  *time.Time
	Token   bool
	SentAt  *time.Time
	SentRev int64

	Receipt    *time.Time
	ReceiptRev int64
	Attempts   int
	Status     string
	Verdict    string
	Error      string
	Issues     []pim.Issue

	PriceHeld *time.Time // since when another price is held, by the guard of the channel's price list

	ContentBorn   bool   // the target holds the content
	ContentStatus string // of the content's listing
	ParentAwaited bool   // of the content: the parent's is to be on the target, and is not
	ContentHash   []byte // that the content's listing has acknowledged

	Event     *pim.Event // the last that touched the lane, of the product or a model above it
	Exchanges []Exchange // the last that were kept of it, the last first
}

// MaxAhead bounds ExplainedLane.Ahead.
const MaxAhead = 10_000

// touchesLane: what happened on lanes of product_id touches the lane.
const touchesLane = `
((x.lanes & 1 <> 0 and c.marks_content & k.lane <> 0) or (x.lanes & 2 <> 0 and x.product_id = p.id and c.marks_offer & k.lane <> 0)
 or (x.lanes & 4 <> 0 and c.marks_media & k.lane <> 0) or (x.lanes & 8 <> 0 and c.marks_tree & k.lane <> 0)
 or (x.lanes & 16 <> 0 and c.marks_records & k.lane <> 0) or (x.lanes & 32 <> 0 and c.marks_associations & k.lane <> 0)
 or (x.lanes & 64 <> 0 and (c.marks_content | c.marks_offer | c.marks_media) & k.lane <> 0
     and exists (select from publication w where w.product_id in ` + selfAndAbove + ` and w.channel_id = c.id)))`

const (
	sqlExplainChannel = `
select clock_timestamp(), c.mark_after, -- of after the snapshot, which may see what was written after this transaction began
       c.mark_anew <> 0, coalesce(c.hold, ''), coalesce(m.version, 0), coalesce(m.at, c.created_at), coalesce(m.actor, ''), coalesce(m.note, ''),
       exists (select from river_leader where expires_at > now())
from channel c
left join lateral (select version, at, actor, note from channel_mapping m where m.channel_id = c.id order by version desc limit 1) m on true
where c.id = @channel`
	sqlExplainProduct = `
select p.id, p.deleted_at, p.enabled, coalesce(root.sku, parent.sku, ''), coalesce(parent.deleted_at is not null or root.deleted_at is not null, false),
       coalesce(not parent.enabled, false) or coalesce(not root.enabled, false), ` + subModel + `, p.created_at,
       closed.product_id is not null, nullif(closed.publish_from, '-infinity'), nullif(closed.publish_to, 'infinity'),
       ` + stockNow + `
from product p left join product parent on parent.id = p.parent_id left join product root on root.id = parent.parent_id
left join lateral (
    select w.* from publication w where w.product_id in (p.id, p.parent_id, root.id) and w.channel_id = @channel and (now() < w.publish_from or w.publish_to <= now())
    order by w.publish_from desc limit 1 -- the one that opens last, where more than one are closed
) closed on true
where p.sku = @sku`
	sqlExplainLanes = `
select k.lane, (c.marks_content | c.marks_offer | c.marks_media) & k.lane <> 0,
       case k.lane when 2 then o.product_id is not null when 4 then p.media_rev + coalesce(parent.media_rev, 0) + coalesce(root.media_rev, 0) > 0 else true end,
       (select min(x.at) from outbox x where x.product_id in (p.id, p.parent_id, root.id) and coalesce(x.channel_id, c.id) = c.id and ` + touchesLane + `),
       (select min(x.error) from outbox_poison x where x.product_id in (p.id, p.parent_id, root.id) and ` + touchesLane + `),
       k.holder, k.wait_until, coalesce(k.wait_for, ''),
       l.channel_id is not null, coalesce(l.want, 0), coalesce(l.dirty, false), coalesce(l.dirty_at, now()),
       case when isfinite(l.due_at) then l.due_at end, coalesce(l.due_at = 'infinity', false), coalesce(l.dirty and l.priority = 2, false),
       (select count(*) from (select from (values (2::smallint), (1), (0)) q (turn) cross join lateral (
            select from listing x where l.dirty and l.due_at <= now() and x.channel_id = c.id and x.lane = k.lane and x.dirty
              and case when x.token is null then x.priority else 3::smallint end = q.turn and x.due_at <= case when q.turn > l.priority then now() else l.due_at end
              and x.product_id <> l.product_id limit @ahead) x
        where q.turn >= l.priority limit @ahead) x),
       case when l.channel_id is null then 0 else ` + wantedRevision + ` end, coalesce(l.acked_rev, 0), l.acked_at, l.settle_at,
       l.token is not null, l.sent_at, coalesce(l.sent_rev, 0), l.receipt_at, coalesce(l.receipt_rev, 0), coalesce(l.attempts, 0), coalesce(l.status, ''),
       coalesce(l.verdict, ''), coalesce(l.error, ''), l.issues, coalesce(content.born > 0, false), coalesce(content.status, ''), content.acked_hash,
       k.lane = 1 and l.born <= 0 and exists (select from listing c where c.product_id = coalesce(root.id, parent.id) and c.channel_id = k.channel_id and c.lane = 1 and ` + awaited + `),
       case when k.lane = 2 then (select min(h.at) from price_hold h where h.product_id = p.id and h.price_list = c.price_list and h.rejected_at is null and h.moves_at <= now()) end
from channel c
join consumer k on k.kind = 'drain' and k.channel_id = c.id
cross join catalogue cat
join product p on p.id = @product
left join product parent on parent.id = p.parent_id left join product root on root.id = parent.parent_id
left join product_offer o on o.product_id = p.id
left join listing l on l.product_id = p.id and l.channel_id = c.id and l.lane = k.lane
left join listing content on content.product_id = p.id and content.channel_id = c.id and content.lane = 1
where c.id = @channel order by k.lane`
	sqlExplainEvents = `
select k.lane, x.id, x.at, x.type, x.sku, x.rev, x.lanes, x.actor, x.data
from channel c join consumer k on k.kind = 'drain' and k.channel_id = c.id join product p on p.id = @product
cross join lateral (
    select x.*, of.sku from (select p.id, p.sku union all select parent.id, parent.sku from product parent where parent.id = p.parent_id
        union all select root.id, root.sku from product parent join product root on root.id = parent.parent_id where parent.id = p.parent_id) of
    cross join lateral (select * from event x where x.product_id = of.id and ` + touchesLane + ` order by x.id desc limit 1) x
    order by x.id desc limit 1
) x
where c.id = @channel`
)

// explainedExchanges is how many exchanges of a lane an explanation has.
const explainedExchanges = 10

// Explain reads why a product stands on a channel as it does. Its error is
// ErrNotFound of the channel; a product that is not there is told as such.
func (s *Store) Explain(ctx context.Context, code pim.ChannelCode, sku pim.SKU) (*Explained, error) {
	out := &Explained{}
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, sqlChannel, pgx.NamedArgs{"code": code})
		if err == nil {
			out.Channel, err = pgx.CollectExactlyOneRow(rows, scanChannel)
		}
		if errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("channel %s: %w", code, ErrNotFound)
		}
		if err != nil {
			return err
		}
		m := &out.Mapping
		err = tx.QueryRow(ctx, sqlExplainChannel, pgx.NamedArgs{"channel": out.Channel.ID}).Scan(
			&out.Now, &out.MarkAfter, &out.Anew, &out.Hold, &m.Version, &m.At, &m.Actor, &m.Note, &out.Workers)
		if err != nil {
			return err
		}
		p := &ExplainedProduct{}
		var (
			closed   bool
			from, to *time.Time
		)
		err = tx.QueryRow(ctx, sqlExplainProduct, pgx.NamedArgs{"sku": sku, "channel": out.Channel.ID}).Scan(
			&p.ID, &p.Deleted, &p.Enabled, &p.Parent, &p.ParentDeleted, &p.ParentDisabled, &p.SubModel, &p.CreatedAt, &closed, &from, &to, &out.Stock)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		if closed {
			p.Closed = &pim.Publication{Channel: code, From: from, To: to}
		}
		out.Product = p
		return out.lanes(ctx, tx, sku)
	})
	if errors.Is(err, ErrNotFound) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("explain %s on channel %s: %w", sku, code, err)
	}
	return out, nil
}

func (e *Explained) lanes(ctx context.Context, tx pgx.Tx, sku pim.SKU) error {
	args := pgx.NamedArgs{"channel": e.Channel.ID, "product": int64(e.Product.ID), "ahead": MaxAhead}
	rows, err := tx.Query(ctx, sqlExplainLanes, args)
	if err != nil {
		return err
	}
	e.Lanes, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (l ExplainedLane, err error) {
		var issues []byte
		var parentAwaited *bool
		err = r.Scan(&l.Lane, &l.Mapped, &l.Has, &l.Outbox, &l.Poisoned, &l.Holder, &l.WaitUntil, &l.WaitFor,
			&l.Listed, &l.Want, &l.Dirty, &l.DirtyAt, &l.Due, &l.Forever, &l.Urgent, &l.Ahead, &l.Wanted, &l.Acked, &l.AckedAt, &l.Settle,
			&l.Token, &l.SentAt, &l.SentRev, &l.Receipt, &l.ReceiptRev, &l.Attempts, &l.Status, &l.Verdict, &l.Error, &issues, &l.ContentBorn, &l.ContentStatus, &l.ContentHash, &parentAwaited, &l.PriceHeld)
		l.ParentAwaited = parentAwaited != nil && *parentAwaited
		if err == nil && issues != nil {
			err = json.Unmarshal(issues, &l.Issues)
		}
		return l, err
	})
	if err != nil {
		return err
	}
	if rows, err = tx.Query(ctx, sqlExplainEvents, args); err != nil {
		return err
	}
	var (
		lane  int16
		lanes pim.Lanes
		x     pim.Event
	)
	_, err = pgx.ForEachRow(rows, []any{&lane, &x.ID, &x.At, &x.Type, &x.SKU, &x.Revision, &lanes, &x.Actor, (*[]byte)(&x.Data)}, func() error {
		for i := range e.Lanes {
			if e.Lanes[i].Lane == pim.Lane(lane) {
				event := x
				event.Data, event.Lanes = append([]byte(nil), x.Data...), lanes.List()
				e.Lanes[i].Event = &event
			}
		}
		return nil
	})
	for i := range e.Lanes {
		if err == nil && e.Lanes[i].Listed {
			e.Lanes[i].Exchanges, err = exchanges(ctx, tx, e.Channel.ID, ExchangeFilter{SKU: sku, Lane: e.Lanes[i].Lane}, 0, explainedExchanges)
		}
	}
	return err
}
