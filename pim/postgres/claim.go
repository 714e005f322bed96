package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/sluicehub/sluice/pim"
)

// Claimed is one due listing with all that its projection needs, of one
// snapshot.
type Claimed struct {
	Product    pim.ProductID
	SKU        pim.SKU
	Want       int64
	DirtySince time.Time
	AckedHash  []byte     // nil: nothing was acknowledged yet
	SettleAt   *time.Time // not nil: an earlier request's outcome is uncertain
	// Unsure: a holder vanished since the listing is dirty and nothing was
	// heard of it after; it may have sent anything.
	Unsure   bool
	Born     int64 // > 0: the target holds the product's content
	Unsent   bool  // of the other lanes: the content came to nothing to be sent, or was withdrawn and is not coming
	SoldOut  bool  // the content left the channel by the policy zero_stock
	Attempts int
	Failed   bool   // the last attempt left an error that a skip clears
	Priority int16  // PriorityBulk and above
	Verdict  string // of the last that was heard of it
	Token    string
	SentRev  int64
	SentWant int64
	SentHash []byte
	SentAt   *time.Time // when the ticket was drawn; nil without one

	Gone                    bool    // deleted or disabled, or a sub-model: to be withdrawn
	Rev, OfferRev, MediaRev int64   // revisions to send, parents' and floor included
	Parent                  pim.SKU // of a variant: its root model
	SubModel                pim.SKU // that stands between the two
	Variant                 string  // the root model's family variant
	ParentID                pim.ProductID
	ParentAwaited           bool // of the content lane: the parent's content is to be there, and is not
	Family                  string
	Enabled                 bool
	Categories              []string
	Values                  json.RawMessage // nil unless asked for
	Inherited               Inherited
	Prices, Stock           json.RawMessage // arrays of pim.Price, pim.Stock; nil: none, or not asked for
	Status                  string          // what the target last took it as
	RevFloor                int64           // revisions sent so far: a mapping that reads less does not go below them
	ValuesKey               [3]int64        // equal keys mean equal values
}

// Claim is what a drain may work on now.
type Claim struct {
	Now     time.Time // the database's clock at the snapshot
	Unsure  time.Time // when the last holder vanished
	Schema  int64     // version of the schema that the values were written by, or a later one; see SchemaOf
	Texts   bool      // there are rules for texts, or were
	Channel ChannelState
	Items   []Claimed
	Aside   bool // bulk was left to a later claim
}

// ChannelState is what the nodes have to agree upon about a channel.
type ChannelState struct {
	Version        int64
	Enabled        bool
	Fails          int
	Allowed        int
	NextProbeAt    *time.Time
	ThrottledUntil *time.Time
	Share          float64    // of the channel's rate
	LaneWaits      *time.Time // until then only what is sold out is sent in this lane; may be past
	Noted          bool       // it says what is wrong with it; see ChannelNote
}

// Whose turn a listing is, and an outbox row, the highest first. A listing keeps
// it until it is acknowledged, whatever becomes of it until then.
const (
	PriorityBulk    = 0 // imports, new channels, resyncs
	PriorityEdit    = 1 // somebody's edit
	PrioritySoldOut = 2 // there is none left to sell
)

// turn is the queue of a channel's lane that listing l stands in: its priority,
// or that of the tickets, which are asked for and not sent. It is written as in
// the index listing_due.
const turn = `case when l.token is null then l.priority else 3::smallint end`

// hasTurn: a lane of consumer k may work on the queue q.turn. What is sold out
// waits for no window and no quota of ours, and what is pending for its own.
const hasTurn = `
case q.turn when 2 then true when 3 then coalesce(k.polls_until, '-infinity') <= now() else coalesce(k.wait_until, '-infinity') <= now() end`

// laneDue: the lane of consumer k has a listing that it may work on now. It asks
// for the first of each queue by the index's order: of an exists PostgreSQL
// expects to meet one soon, and reads all listings when there is none.
const laneDue = `
coalesce((
    select min(l.due_at) <= now() from (values (0::smallint), (1), (2), (3)) q (turn) cross join lateral (
        select l.due_at from listing l where l.channel_id = k.channel_id and l.lane = k.lane and l.dirty and ` + turn + ` = q.turn order by l.due_at limit 1
    ) l where ` + hasTurn + `), false)`

// LaneHeld reports whether only what is sold out may be sent in the lane at now.
func (c ChannelState) LaneHeld(now time.Time) bool {
	return c.LaneWaits != nil && c.LaneWaits.After(now)
}

// BreakerFails is how many consecutive failures open a channel's breaker.
const BreakerFails = 3

// Blocked reports whether nothing may be sent at now.
func (c ChannelState) Blocked(now time.Time) bool {
	return !c.Enabled || c.ThrottledUntil != nil && c.ThrottledUntil.After(now) || c.NextProbeAt != nil && c.NextProbeAt.After(now)
}

// sqlClaim is hop three's reading half: epoch, channel state and products in
// one snapshot, and no write. The revision of a variant is its own plus its
// parents', which cannot fall while it has them; a deletion takes theirs
// in (see sqlEdit). Texts are read for the lanes whose mapping needs
// them, prices and stock likewise.
const sqlClaim = `
select now(), k.unsure_at, cat.version, cat.derives & 1 <> 0, ch.version, ch.enabled, ch.fails, ch.allowed, ch.next_probe_at, ch.throttled_until,
       coalesce((select share from flow where channel_id = ch.id), 1), k.wait_until, ch.last_error is not null,
       l.product_id, p.sku, l.want, l.dirty_at, l.acked_hash, l.settle_at,
       l.dirty_at <= k.unsure_at and coalesce(l.receipt_at, '-infinity') <= k.unsure_at,
       case when k.lane = 1 then l.born when not @waits then 1 else coalesce(content.born, 0) end, ` + unsentContent + `, coalesce(case when k.lane = 1 then l.status else content.status end = 'sold_out', false),
       l.attempts, l.error is not null, coalesce(l.priority, 0), coalesce(l.verdict, ''), coalesce(l.token, ''), coalesce(l.sent_rev, 0), coalesce(l.sent_want, 0), l.sent_hash, l.sent_at,
       ` + claimedProduct + `
       case when @texts then p.values end, case when @texts then parent.values end, case when @texts then root.values end,
       case when @offers then ` + pricesValid + ` end, case when @offers then ` + stockNow + ` end,
       p.rev, coalesce(l.status, ''), greatest(coalesce(l.acked_rev, 0), coalesce(l.receipt_rev, 0), coalesce(l.sent_rev, 0)),
       coalesce(root.id, parent.id, 0), coalesce(above.awaited, false), coalesce(l.aside, false)
from consumer k
join channel ch on ch.id = k.channel_id -- a deleted one is disabled
cross join (select revision_floor, version, derives from catalogue offset 0) cat
left join lateral ( -- what is sold out, edits, what is pending, bulk; but some of what is pending always
    select * from (
        select l.*, q.at, q.turn, @aside and bool_or(q.turn in (1, 2)) over () and bool_or(q.turn = 0) over () as aside
        from (values (0, 2::smallint), (2, 1), (3, 3), (4, 0)) q (at, turn)
        cross join lateral (
            select l.*, row_number() over () as place from (
                select * from listing l
                where l.channel_id = k.channel_id and l.lane = k.lane and l.dirty and ` + turn + ` = q.turn and l.due_at <= now() and l.product_id <> all(@inflight::bigint[])
                order by l.due_at limit @limit
            ) l
        ) l
        where ` + hasTurn + `
    ) l
    where not (l.aside and l.turn = 0)
    order by case when l.turn = 3 and l.place <= greatest(@limit / 4, 1) then 1 else l.at end, l.place limit @limit
) l on ch.enabled and ch.mark_anew = 0 and coalesce(ch.throttled_until, '-infinity') <= now() and coalesce(ch.next_probe_at, '-infinity') <= now()
left join product p on p.id = l.product_id
left join product parent on parent.id = p.parent_id left join product root on root.id = parent.parent_id
left join product_offer o on @offers and o.product_id = p.id
left join lateral ( -- of its own, so that all of its key is used, whatever the statistics say
    select c.born, c.status, c.dirty from listing c where @waits and c.product_id = l.product_id and c.channel_id = k.channel_id and c.lane = 1 offset 0
) content on true
left join lateral (
    select ` + awaited + ` as awaited from listing c
    where @parents and k.lane = 1 and l.born <= 0 and c.product_id = coalesce(root.id, parent.id) and c.channel_id = k.channel_id and c.lane = 1 offset 0
) above on true
where k.kind = 'drain' and k.channel_id = @channel and k.lane = @lane and k.epoch = @epoch and not k.released`

// claimedProduct is what a projection and its revision need of product p with
// its parents, beside what is large. To a target a variant's parent is its root
// model: of the sub-models between it learns nothing but what they give to their
// variants, so that they are gone as what is disabled is.
const claimedProduct = `
p.deleted_at is not null or not p.enabled or coalesce(parent.deleted_at is not null or not parent.enabled, false)
    or coalesce(root.deleted_at is not null or not root.enabled, false) or ` + subModel + ` or ` + notPublished + `ch.id),
cat.revision_floor + p.rev + case when p.deleted_at is null then coalesce(parent.rev, 0) + coalesce(root.rev, 0) else 0 end,
cat.revision_floor + coalesce(o.rev, 0), cat.revision_floor + p.media_rev + coalesce(parent.media_rev, 0) + coalesce(root.media_rev, 0),
coalesce(root.sku, parent.sku, ''), case when root.id is null then '' else parent.sku end, coalesce(parent.family_variant, ''), p.family, p.enabled, p.categories,`

// subModel: p is a model below a root model.
const subModel = `(p.parent_id is not null and p.family_variant is not null)`

// awaited: content c is to be on the target, and is not yet.
const awaited = `(c.born <= 0 and (c.dirty or c.error is not null))`

// unsentContent: there is no content for the other lanes to wait for.
const unsentContent = `coalesce(content.status = 'none' or content.status = 'withdrawn' and not content.dirty, false)`

// pricesValid are the prices of the channel's list that are valid now.
// json, not jsonb, here and in stockNow: it is text already, and only read.
const pricesValid = `
(select json_agg(json_build_object('price_list', price_list, 'currency', currency, 'min_quantity', min_quantity, 'amount', amount::text,
    'valid_from', nullif(valid_from, '-infinity'), 'valid_to', nullif(valid_to, 'infinity')) order by currency, min_quantity, valid_from)
 from price where product_id = p.id and price_list = ch.price_list and valid_from <= now() and now() < valid_to)`

// stockNow are the product's stock levels.
const stockNow = `
(select json_agg(json_build_object('location', location, 'on_hand', on_hand, 'reserved', reserved, 'safety_stock', safety) order by location)
 from stock where product_id = p.id)`

// ClaimOptions say what a drain can take.
type ClaimOptions struct {
	Limit    int
	Inflight []int64 // products that are being worked on
	Texts    bool    // the lane's mapping reads values
	Offers   bool    // the lane's mapping, or its revision, reads prices or stock
	Waits    bool    // the lane waits for content on this channel
	Parents  bool    // variants wait for their parents there
	Aside    bool    // bulk is not claimed with what goes before it
}

// Claim reads due listings for the holder of l; no items when there are none
// or the channel is paused, throttled or broken. ErrFenced when l is lost.
func (s *Store) Claim(ctx context.Context, l Lease, o ClaimOptions) (*Claim, error) {
	args := l.args()
	if o.Inflight == nil {
		o.Inflight = []int64{}
	}
	args["limit"], args["inflight"], args["texts"], args["offers"], args["waits"], args["parents"], args["aside"] = o.Limit, o.Inflight, o.Texts, o.Offers, o.Waits, o.Parents, o.Aside
	rows, err := s.work.Query(ctx, sqlClaim, args)
	if err != nil {
		return nil, fmt.Errorf("claim for %v: %w", l.Consumer, err)
	}
	defer rows.Close()
	out := &Claim{}
	found := false
	for rows.Next() {
		found = true
		var (
			c                                                            Claimed
			id, want                                                     *int64
			sku                                                          *pim.SKU
			dirtySince                                                   *time.Time
			unsure, unsent, soldOut, failed, gone, enabled               *bool
			born, sentRev, sentWant, rev, offerRev, mediaRev, own, floor *int64
			status                                                       *string
			attempts                                                     *int
			priority                                                     int16
			verdict, token, variant, family                              *string
			parentSKU, between                                           *pim.SKU
			parentID                                                     int64
			awaits                                                       bool
			ch                                                           = &out.Channel
		)
		err := rows.Scan(&out.Now, &out.Unsure, &out.Schema, &out.Texts, &ch.Version, &ch.Enabled, &ch.Fails, &ch.Allowed, &ch.NextProbeAt, &ch.ThrottledUntil, &ch.Share, &ch.LaneWaits, &ch.Noted,
			&id, &sku, &want, &dirtySince, &c.AckedHash, &c.SettleAt, &unsure, &born, &unsent, &soldOut,
			&attempts, &failed, &priority, &verdict, &token, &sentRev, &sentWant, &c.SentHash, &c.SentAt,
			&gone, &rev, &offerRev, &mediaRev, &parentSKU, &between, &variant, &family, &enabled, &c.Categories,
			// As bytes: into a json.RawMessage, pgx would parse them once more.
			(*[]byte)(&c.Values), (*[]byte)(&c.Inherited.Parent), (*[]byte)(&c.Inherited.Root), (*[]byte)(&c.Prices), (*[]byte)(&c.Stock), &own, &status, &floor, &parentID, &awaits, &out.Aside)
		if err != nil {
			return nil, fmt.Errorf("claim for %v: %w", l.Consumer, err)
		}
		if id == nil || sku == nil {
			continue
		}
		c.Product, c.SKU, c.Want, c.DirtySince = pim.ProductID(*id), *sku, *want, *dirtySince
		c.Unsure, c.Unsent, c.SoldOut, c.Born, c.Attempts, c.Failed, c.Token, c.Priority, c.Verdict = *unsure, *unsent, *soldOut, *born, *attempts, *failed, *token, priority, *verdict
		c.SentRev, c.SentWant, c.Status, c.RevFloor = *sentRev, *sentWant, *status, *floor
		c.Gone, c.Rev, c.OfferRev, c.MediaRev = *gone, *rev, *offerRev, *mediaRev
		c.Parent, c.SubModel, c.Variant, c.Family, c.Enabled = *parentSKU, *between, *variant, *family, *enabled
		c.ParentID, c.ParentAwaited = pim.ProductID(parentID), awaits
		c.ValuesKey = [3]int64{*id, *own, *rev} // rev: own, parents' and floor
		out.Items = append(out.Items, c)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("claim for %v: %w", l.Consumer, err)
	}
	if !found {
		return nil, ErrFenced
	}
	return out, nil
}

const sqlPressing = `
select exists (select from consumer k cross join (values (1::smallint), (2)) q (turn) cross join lateral (
    select from listing l
    where l.channel_id = k.channel_id and l.lane = k.lane and l.dirty and ` + turn + ` = q.turn and l.due_at <= now() and l.product_id <> all(@inflight::bigint[])
    order by l.due_at limit 1
) l where k.kind = 'drain' and k.channel_id = @channel and k.lane = @lane and ` + hasTurn + `)`

// Pressing reports whether a listing of the lane is due that goes before bulk and
// may be worked on, and is not among those that are.
func (s *Store) Pressing(ctx context.Context, l Lease, inflight []int64) (waits bool, err error) {
	args := l.args()
	args["inflight"] = inflight
	if inflight == nil {
		args["inflight"] = []int64{}
	}
	if err := s.work.QueryRow(ctx, sqlPressing, args).Scan(&waits); err != nil {
		return false, fmt.Errorf("look what goes first for %v: %w", l.Consumer, err)
	}
	return waits, nil
}

const sqlNextDue = `
select min(l.due_at) - now() from consumer k cross join (values (0::smallint), (1), (2), (3)) q (turn) cross join lateral (
    select l.due_at from listing l
    where l.channel_id = k.channel_id and l.lane = k.lane and l.dirty and ` + turn + ` = q.turn and l.due_at > now() and l.due_at < 'infinity' order by l.due_at limit 1
) l where k.kind = 'drain' and k.channel_id = @channel and k.lane = @lane and ` + hasTurn + ``

// NextDue says in what time the next listing of the lane falls due by itself,
// of those that it may work on now; false: none does.
func (s *Store) NextDue(ctx context.Context, l Lease) (time.Duration, bool, error) {
	var d *time.Duration
	if err := s.work.QueryRow(ctx, sqlNextDue, l.args()).Scan(&d); err != nil {
		return 0, false, fmt.Errorf("look ahead for %v: %w", l.Consumer, err)
	}
	if d == nil {
		return 0, false, nil
	}
	return *d, true, nil
}
