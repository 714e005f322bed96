package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// Outcome is what a drain learnt of one claimed listing. Its fields are final
// values, worked out in jobs/outcome.go: the statement only guards against
// what changed meanwhile.
type Outcome struct {
	Product pim.ProductID
	Want    int64 // the want that this outcome is of
	// Again keeps the listing dirty, due After from now. Where it is wanted
	// again meanwhile it is due at once even so, unless Hold: the wait is the
	// target's own, for a ticket or by a throttle of this item.
	Again, Hold bool
	After       time.Duration // Forever: until content is there
	SettleAt    *time.Time
	Ack         bool // acknowledged: Rev and Hash count
	Rev         int64
	Hash        []byte
	Status      string // "": stays
	Born        int64
	Attempts    int
	Heard       bool // the target answered, or failed to: a receipt
	Verdict     string
	Error       *string
	// Issues are the target's and the mapping's. Those of one that was not heard,
	// or is heard of by its ticket, are told apart by their codes: what one of
	// the two did not look at this time stays.
	Issues   []pim.Issue
	Token    *string
	SentRev  int64
	SentWant int64
	SentHash []byte
	// Wakes: the content began a new life on the target; what waits for it,
	// or died with the old one, is due.
	Wakes bool
	// Parent, not 0, is the root model whose content a variant's content waits for: it
	// is due when that is there.
	Parent pim.ProductID
}

// TicketLost is the code of the issue that says so of a ticket. It stays while
// the next ticket is out, until the target has given an answer.
const TicketLost = "ticket.lost"

// Forever as Outcome.After: no time comes by itself.
const Forever = time.Duration(1<<63 - 1)

const fenceOfDrain = `
fence as (
    select from consumer where kind = 'drain' and channel_id = @channel and lane = @lane and epoch = @epoch and not released for key share
)`

// sqlLockListings comes first, in the receipt's transaction: it locks what the
// statements after it write, in everybody's order. The fence stands in each
// of them, so that a holder who lost its lease locks and writes nothing.
//
// Who puts an offer to wait for its content locks that content, too. A content's
// receipt marks the offers that it sees, and an offer's receipt looks whether
// the content was born: were both open at once, neither would see the other's
// work, and the offer would wait for ever. So one of them comes first. The same
// goes for the content of variants and their parents'.
const sqlLockListings = `
with ` + fenceOfDrain + `
select from listing l
where exists (select from fence) and l.channel_id = @channel
  and l.product_id = any(@product::bigint[] || @parents::bigint[] || array(select id from product v where @lane = 1 and ` + belowReborn + `))
  and (l.lane = @lane or l.lane = 1 and @waiting or l.lane in (2, 4) and l.product_id = any(@reborn::bigint[]))
order by l.product_id, l.channel_id, l.lane for update`

// belowReborn: v is a variant, or stands below a sub-model, of a reborn product.
const belowReborn = `
v.parent_id = any(@reborn::bigint[] || array(select m.id from product m where m.parent_id = any(@reborn::bigint[]) and m.family_variant is not null))`

// soldOut: somebody keeps the stock of listing l's product, and its channel shows
// none of it; or it, or a model above it, is gone, or is
// not published there.
const soldOut = `
(coalesce((select stock_shown(` + freeAt + `, sells.policy -> 'stock') = 0
    from channel sells join stock s on s.product_id = l.product_id left join location place on place.code = s.location
    where sells.id = l.channel_id group by sells.id), false)
 or exists (select from product p left join product parent on parent.id = p.parent_id left join product root on root.id = parent.parent_id
     where p.id = l.product_id and (p.deleted_at is not null or not p.enabled or not parent.enabled or not root.enabled or ` + notPublished + `l.channel_id))))`

// freeAt is what is free of the levels s, at the places place, where the channel
// sells counts them; see pim.Schema.Sells.
const freeAt = `
coalesce(sum(stock_free(s.on_hand, s.reserved, s.safety, place.definition)) filter (where sells.locations = '{}' or s.location = any(sells.locations)), 0)::bigint`

// issuesKept are a listing's issues that an outcome says nothing about. A
// ticket's answer comes without a rendering, whose issues are the mapping's; a
// skip comes without an answer.
const issuesKept = `
select jsonb_agg(i) from jsonb_array_elements(l.issues) i
where case when r.heard then l.token is not null else l.error is null end and starts_with(i ->> 'code', 'mapping.') = r.heard`

// sqlReceipt is hop four. Dirty stays what is uncertain, unsettled, or wanted
// again since the claim.
const sqlReceipt = `
with ` + fenceOfDrain + `,
r as (
    select r.*, l.at from unnest(@product::bigint[], @want::bigint[], @again::boolean[], @hold::boolean[], @after::bigint[], @settle::timestamptz[],
        @ack::boolean[], @rev::bigint[], @hash::bytea[], @status::text[], @born::bigint[], @attempts::int[], @heard::boolean[],
        @verdict::text[], @error::text[], @issues::jsonb[], @token::text[], @sent_rev::bigint[], @sent_want::bigint[], @sent_hash::bytea[])
    as r (product_id, want, again, hold, after_ms, settle_at, ack, rev, hash, status, born, attempts, heard,
          verdict, error, issues, token, sent_rev, sent_want, sent_hash)
    cross join lateral ( -- by all of its key, whatever the statistics say of a new channel; locked before, so that it stays in its place
        select ctid as at from listing l where l.product_id = r.product_id and l.channel_id = @channel and l.lane = @lane offset 0
    ) l
),
updated as (
    update listing l set
        dirty = r.again or l.want <> r.want,
        due_at = case when l.want <> r.want and not r.hold then case
                          when l.token is null then least(l.due_at, now())
                          else now() end -- it waited for the ticket's end
                      when not r.again then l.due_at
                      when r.after_ms is null then case when exists ( -- the content came meanwhile
                          select from listing c where c.product_id = l.product_id and c.channel_id = l.channel_id and c.lane = 1 and c.born > 0)
                          then least(l.due_at, now()) else 'infinity' end
                      else now() + r.after_ms * interval '1 ms' end,
        settle_at = r.settle_at,
        acked_rev = case when r.ack then r.rev else l.acked_rev end,
        -- a skip does not write the hash back that a full resync forgot meanwhile
        -- nor does an answer to what was under way when some were
        acked_hash = case when r.ack and (r.heard or r.hash is null) and not (l.want <> r.want and l.acked_hash is not distinct from '') then r.hash else l.acked_hash end,
        acked_at = case when r.ack and r.heard then now() else l.acked_at end,
        status = coalesce(r.status, l.status), born = r.born, attempts = r.attempts,
        receipt_at = case when r.heard then now() else l.receipt_at end,
        receipt_rev = case when r.heard then r.rev else l.receipt_rev end,
        verdict = case when r.heard then r.verdict else l.verdict end,
        error = r.error,
        issues = case when r.heard and r.token is not null and r.issues is null and l.issues @> '[{"code": "` + TicketLost + `"}]' then l.issues
                      when l.issues is null then r.issues
                      else nullif(coalesce((` + issuesKept + `), '[]') || coalesce(r.issues, '[]'), '[]') end,
        token = r.token, sent_rev = r.sent_rev, sent_want = r.sent_want,
        sent_hash = case when l.want = r.want or l.acked_hash is distinct from '' then r.sent_hash end,
        sent_at = case when r.token is not null then coalesce(l.sent_at, now()) end -- a listing has one ticket after the other
    from r, fence
    where l.ctid = r.at
    returning l.dirty and l.due_at <= now() as due
)
select count(*), count(*) filter (where due), exists (select from fence) from updated`

// sqlReborn marks the offers and media of contents that began a new life. They
// keep a place they have, else they have their content's; what is sold out goes
// first, since with its content the target may have forgotten that.
const sqlReborn = `
with ` + fenceOfDrain + `,
updated as (
    update listing l set want = l.want + 1, dirty = true, dirty_at = case when l.dirty then l.dirty_at else now() end,
        due_at = case when l.dirty and (l.due_at <= now() or l.token is not null) then l.due_at else now() end,
        priority = case when l.lane = 2 and ` + soldOut + ` then 2
                        else greatest(case when l.dirty then l.priority end, ( -- by all of its key, whatever the statistics say
                            select c.priority from listing c where c.product_id = l.product_id and c.channel_id = l.channel_id and c.lane = 1)) end
    from fence where l.product_id = any(@reborn::bigint[]) and l.channel_id = @channel and l.lane in (2, 4)
    returning l.lane
)
select distinct lane from updated`

// sqlOrphans wakes the contents of variants that wait for a parent's: of parents
// that began a new life, and those whose parent did meanwhile.
const sqlOrphans = `
with ` + fenceOfDrain + `,
waiting as (
    select v.id from product v where ` + belowReborn + `
    union
    select o.id from unnest(@orphans::bigint[]) o (id) cross join lateral (
        select id, parent_id from product where id = (select v.parent_id from product v where v.id = o.id) offset 0
    ) parent where exists (
        select from listing c where c.product_id = coalesce(parent.parent_id, parent.id) and c.channel_id = @channel and c.lane = 1 and not ` + awaited + `)
),
updated as (
    update listing l set due_at = now() from fence, ( -- by its key, and not among all that are due later
        select x.ctid as place from waiting w cross join lateral (select ctid, * from listing x where x.product_id = w.id and x.channel_id = @channel and x.lane = 1 offset 0) x
        where x.dirty and x.born <= 0 and x.due_at > now() and x.token is null and x.error is null
    ) x where l.ctid = x.place
    returning 1
)
select count(*) from updated`

// storable takes out of the target's words what no text in PostgreSQL can hold.
func (o *Outcome) storable() {
	o.Status, o.Verdict = storable(o.Status), storable(o.Verdict)
	for _, s := range []**string{&o.Error, &o.Token} {
		if *s != nil {
			clean := storable(**s)
			*s = &clean
		}
	}
	o.Issues = slices.Clone(o.Issues)
	for i := range o.Issues {
		issue := &o.Issues[i]
		issue.Code, issue.Attribute, issue.Text = storable(issue.Code), storable(issue.Attribute), storable(issue.Text)
	}
}

// Receive writes the outcomes of claimed listings under l. It gives the lanes
// of the channel that content's new lives woke, and how many of the outcomes'
// listings are due again at once. ErrFenced: l was lost, and nothing was written.
func (s *Store) Receive(ctx context.Context, l Lease, outcomes []Outcome) (woken []pim.Lane, due int, err error) {
	if len(outcomes) == 0 {
		return nil, 0, nil
	}
	n := len(outcomes)
	var (
		product, want, rev, born, sentRev, sentWant = make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n), make([]*int64, n), make([]*int64, n)
		again, hold, ack, heard                     = make([]bool, n), make([]bool, n), make([]bool, n), make([]bool, n)
		after                                       = make([]*int64, n)
		settle                                      = make([]*time.Time, n)
		hash, sentHash                              = make([][]byte, n), make([][]byte, n)
		status, failure, token                      = make([]*string, n), make([]*string, n), make([]*string, n)
		verdict                                     = make([]string, n)
		attempts                                    = make([]int32, n)
		issues                                      = make([][]byte, n)
		reborn, parents, orphans                    = []int64{}, []int64{}, []int64{}
		waiting                                     bool
	)
	for i, o := range outcomes {
		o.storable()
		product[i], want[i], again[i], hold[i] = int64(o.Product), o.Want, o.Again, o.Hold
		if o.After != Forever {
			ms := (o.After + time.Millisecond - 1).Milliseconds() // not sooner: a doubt would not have settled
			after[i] = &ms
		} else {
			waiting = waiting || o.Again
		}
		settle[i], ack[i], rev[i], hash[i], status[i] = o.SettleAt, o.Ack, o.Rev, o.Hash, optional(o.Status)
		born[i], attempts[i], heard[i], verdict[i], failure[i] = o.Born, int32(o.Attempts), o.Heard, o.Verdict, o.Error
		if len(o.Issues) > 0 {
			issues[i] = mustJSON(o.Issues)
		}
		if token[i] = o.Token; o.Token != nil {
			sentRev[i], sentWant[i], sentHash[i] = &o.SentRev, &o.SentWant, o.SentHash
		}
		if o.Wakes {
			reborn = append(reborn, product[i])
		}
		if o.Parent != 0 {
			parents, orphans = append(parents, int64(o.Parent)), append(orphans, product[i])
		}
	}
	args := l.args()
	for k, v := range map[string]any{
		"product": product, "want": want, "again": again, "hold": hold, "after": after, "settle": settle, "ack": ack, "rev": rev,
		"hash": hash, "status": status, "born": born, "attempts": attempts, "heard": heard, "verdict": verdict, "error": failure,
		"issues": issues, "token": token, "sent_rev": sentRev, "sent_want": sentWant, "sent_hash": sentHash, "reborn": reborn, "waiting": waiting, "parents": parents, "orphans": orphans,
	} {
		args[k] = v
	}
	b := &pgx.Batch{} // in one implicit transaction and one round trip
	b.Queue(sqlLockListings, args)
	b.Queue(sqlReceipt, args).QueryRow(func(r pgx.Row) error {
		var count int
		var fence bool
		if err := r.Scan(&count, &due, &fence); err != nil {
			return err
		}
		if !fence {
			return ErrFenced
		}
		return nil
	})
	if len(reborn) > 0 {
		b.Queue(sqlReborn, args).Query(func(rows pgx.Rows) error {
			lanes, err := pgx.CollectRows(rows, pgx.RowTo[int16])
			for _, l := range lanes {
				woken = append(woken, pim.Lane(l))
			}
			return err
		})
	}
	if l.Lane == pim.Content && len(reborn)+len(orphans) > 0 {
		b.Queue(sqlOrphans, args).QueryRow(func(r pgx.Row) error {
			var n int
			err := r.Scan(&n)
			due += n
			return err
		})
	}
	// Durably: a receipt that a crash took back would leave what was sent unknown.
	if err := s.pool.SendBatch(ctx, b).Close(); err != nil {
		return nil, 0, fmt.Errorf("write %d receipts of %v: %w", n, l.Consumer, err)
	}
	return woken, due, nil
}
