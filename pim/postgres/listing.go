package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// stateOf is a listing's pim.ListingState.
const stateOf = `
case when l.dirty and l.token is not null then 'pending'
     when l.dirty then 'waiting'
     when l.error is not null then 'rejected'
     when l.status in ('accepted', 'live') and l.verified_at >= l.acked_at then 'verified'
     else coalesce(l.status, 'none') end`

// The tests of stateOf, state by state, told of columns: what PostgreSQL knows of their
// contents, and of how they go together (see migrations/00035_listings_and_lives.sql), says
// how far it would have to read to fill a page. Of what stateOf makes it knows nothing.
const (
	settled     = `not l.dirty and l.error is null`
	isWaiting   = `l.dirty and l.token is null`
	isPending   = `l.dirty and l.token is not null and l.lane in (1, 2, 4) and ` + turn + ` = 3` // by the index of what is due
	isAccepted  = settled + ` and l.status = 'accepted' and (l.verified_at >= l.acked_at) is not true`
	isLive      = settled + ` and l.status = 'live' and (l.verified_at >= l.acked_at) is not true`
	isVerified  = settled + ` and l.status in ('accepted', 'live') and l.verified_at >= l.acked_at`
	isRejected  = `not l.dirty and l.error is not null` // mostly rare: it has an index
	isWithdrawn = settled + ` and l.status = 'withdrawn'`
	isSoldOut   = settled + ` and l.status = 'sold_out'`
	isNone      = settled + ` and (l.status is null or l.status = 'none')`
)

var stateTests = map[pim.ListingState]string{
	pim.StateWaiting: isWaiting, pim.StatePending: isPending, pim.StateAccepted: isAccepted, pim.StateLive: isLive, pim.StateVerified: isVerified,
	pim.StateRejected: isRejected, pim.StateWithdrawn: isWithdrawn, pim.StateSoldOut: isSoldOut, pim.StateNone: isNone,
}

// ListingFilter narrows Listings; zero fields do not.
type ListingFilter struct {
	Channel pim.ChannelCode
	SKU     pim.SKU
	Lane    pim.Lane
	State   pim.ListingState
	Issues  bool // only those with issues
}

// wantedRevision is what the drain sends next, or sent last: the sum of the
// revisions of all that the lane's mapping reads, which the channel's marks tell,
// each with the floor, and never below what was sent.
const wantedRevision = `
greatest(case when l.lane = 1 or c.marks_content & l.lane <> 0
              then cat.revision_floor + p.rev + case when p.deleted_at is null then coalesce(parent.rev, 0) + coalesce(root.rev, 0) else 0 end else 0 end
       + case when l.lane = 2 or c.marks_offer & l.lane <> 0 then cat.revision_floor + coalesce(o.rev, 0) else 0 end
       + case when l.lane = 4 then cat.revision_floor + p.media_rev + coalesce(parent.media_rev, 0) + coalesce(root.media_rev, 0) else 0 end,
         l.acked_rev, l.receipt_rev, l.sent_rev, 1)`

// due_at may lie before dirty_at: it is kept when something is wanted again. It is
// planned for its values: the tests of other states than the one that is asked for are
// none. The catalogue's row is looked up by its
// key: a reading of it whole costs so much, as connections are set (see Open), that
// beside it PostgreSQL tells no other costs apart, and may read all products.
const sqlListings = `
select l.channel_id, c.code, l.lane, l.product_id, p.sku, ` + stateOf + `, ` + wantedRevision + `,
       coalesce(l.acked_rev, 0), l.acked_at, case when l.dirty then l.dirty_at end,
       case when l.dirty and l.due_at < 'infinity' then greatest(l.due_at, l.dirty_at) end,
       l.attempts, coalesce(l.error, case when l.dirty and l.due_at = 'infinity' then 'waits until the target holds the content' end, ''),
       l.issues, l.verdict, coalesce(l.receipt_rev, 0), l.receipt_at, case when l.verified_at >= l.acked_at then l.verified_at end, coalesce(l.status, '')
from listing l join channel c on c.id = l.channel_id and c.deleted_at is null join product p on p.id = l.product_id join catalogue cat on cat.one
left join product parent on parent.id = p.parent_id left join product root on root.id = parent.parent_id left join product_offer o on o.product_id = p.id
where (l.product_id, l.channel_id, l.lane) > (@after_product, @after_channel, @after_lane)
  and (@channel::bigint = 0 or l.channel_id = @channel) and (@sku = '' or p.sku = @sku) and (@lane::smallint = 0 or l.lane = @lane)
  and (@state <> 'waiting' or ` + isWaiting + `) and (@state <> 'pending' or ` + isPending + `) and (@state <> 'accepted' or ` + isAccepted + `)
  and (@state <> 'live' or ` + isLive + `) and (@state <> 'verified' or ` + isVerified + `) and (@state <> 'rejected' or ` + isRejected + `)
  and (@state <> 'withdrawn' or ` + isWithdrawn + `) and (@state <> 'sold_out' or ` + isSoldOut + `) and (@state <> 'none' or ` + isNone + `)
  and (not @issues or l.issues is not null)
order by l.product_id, l.channel_id, l.lane limit @limit`

const sqlChannelNumber = `select id from channel where code = @code and deleted_at is null`

// Listings reads one page of listings by product, channel and lane, and the
// cursor of the next.
func (s *Store) Listings(ctx context.Context, f ListingFilter, page Page) (list []pim.Listing, next string, err error) {
	at := [3]int64{}
	if page.After != "" {
		parts := strings.Split(page.After, ".")
		for i := range at {
			if len(parts) != len(at) {
				_, err = cursor("-")
				return nil, "", err
			}
			if at[i], err = cursor(parts[i]); err != nil {
				return nil, "", err
			}
		}
		if at[2] > math.MaxInt16 {
			_, err = cursor("-")
			return nil, "", err
		}
	}
	if _, known := stateTests[f.State]; f.State != "" && !known {
		return nil, "", nil
	}
	var channel int64
	if f.Channel != "" { // its number, as that is what PostgreSQL has statistics of
		switch err := s.pool.QueryRow(ctx, sqlChannelNumber, pgx.NamedArgs{"code": f.Channel}).Scan(&channel); {
		case errors.Is(err, pgx.ErrNoRows):
			return nil, "", nil
		case err != nil:
			return nil, "", fmt.Errorf("list listings: %w", err)
		}
	}
	rows, err := s.pool.Query(ctx, sqlListings, pgx.QueryExecModeDescribeExec, pgx.NamedArgs{ // planned for its values: see Products
		"after_product": at[0], "after_channel": at[1], "after_lane": int16(at[2]), "channel": channel, "sku": f.SKU,
		"lane": int16(f.Lane), "state": f.State, "issues": f.Issues, "limit": page.limit() + 1,
	})
	if err != nil {
		return nil, "", fmt.Errorf("list listings: %w", err)
	}
	var keys [][3]int64
	list, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (l pim.Listing, err error) {
		var (
			key     [3]int64
			issues  []byte
			verdict *string
			rev     int64
			at      *time.Time
		)
		err = r.Scan(&key[0], &l.Channel, &key[1], &key[2], &l.SKU, &l.State, &l.Wanted, &l.Acked, &l.AckedAt, &l.DirtySince, &l.DueAt,
			&l.Attempts, &l.Error, &issues, &verdict, &rev, &at, &l.VerifiedAt, &l.Status)
		if err != nil {
			return l, err
		}
		l.Lane = pim.Lane(key[1])
		keys = append(keys, key)
		l.Issues = []pim.Issue{}
		if issues != nil {
			if err := json.Unmarshal(issues, &l.Issues); err != nil {
				return l, err
			}
		}
		if verdict != nil && at != nil {
			l.Receipt = &pim.Receipt{Verdict: *verdict, Revision: rev, At: *at, Text: l.Error}
		}
		return l, nil
	})
	if err != nil {
		return nil, "", fmt.Errorf("list listings: %w", err)
	}
	if len(list) > page.limit() {
		list = list[:page.limit()]
		k := keys[len(list)-1]
		next = fmt.Sprintf("%d.%d.%d", k[2], k[0], k[1])
	}
	return list, next, nil
}

// LaneStats is where one lane of a channel stands.
type LaneStats struct {
	Channel pim.ChannelCode
	Lane    pim.Lane
	States  map[pim.ListingState]int64
	Oldest  time.Duration // age of the oldest dirty listing; 0: all is acknowledged
	// Due is for how long the oldest listing that could be sent now could have
	// been. 0: there is none, or the channel or the lane rests (paused, throttled,
	// waiting for its next probe, a window or a quota, or being marked by a full resync).
	Due time.Duration
}

const sqlLaneStats = `
select c.code, l.lane, ` + stateOf + ` as state, count(*),
       coalesce(extract(epoch from now() - min(l.dirty_at) filter (where l.dirty)), 0)::float8,
       coalesce(extract(epoch from now() - min(greatest(l.due_at, l.dirty_at)) filter (where l.dirty and l.due_at <= now() and c.enabled and c.mark_anew = 0
           and coalesce(c.throttled_until, '-infinity') <= now() and coalesce(c.next_probe_at, '-infinity') <= now()
           and ` + hasTurn + `)), 0)::float8
from listing l cross join lateral (select ` + turn + ` as turn) q join channel c on c.id = l.channel_id and c.deleted_at is null
left join consumer k on k.kind = 'drain' and k.channel_id = l.channel_id and k.lane = l.lane
where @channel = '' or c.code = @channel
group by 1, 2, 3 order by 1, 2, 3`

// LaneStats counts listings by state, and measures how stale they are; of one
// channel, or of all for "". It reads every listing: ask it every few seconds
// at most.
func (s *Store) LaneStats(ctx context.Context, channel pim.ChannelCode) ([]LaneStats, error) {
	rows, err := s.pool.Query(ctx, sqlLaneStats, pgx.NamedArgs{"channel": channel})
	if err != nil {
		return nil, fmt.Errorf("count listings: %w", err)
	}
	var (
		out   []LaneStats
		code  pim.ChannelCode
		lane  int16
		state pim.ListingState
		n     int64
		age   float64
		due   float64
	)
	_, err = pgx.ForEachRow(rows, []any{&code, &lane, &state, &n, &age, &due}, func() error {
		if k := len(out); k == 0 || out[k-1].Channel != code || out[k-1].Lane != pim.Lane(lane) {
			out = append(out, LaneStats{Channel: code, Lane: pim.Lane(lane), States: map[pim.ListingState]int64{}})
		}
		l := &out[len(out)-1]
		l.States[state] = n
		l.Oldest = max(l.Oldest, time.Duration(age*float64(time.Second)))
		l.Due = max(l.Due, time.Duration(due*float64(time.Second)))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("count listings: %w", err)
	}
	return out, nil
}
