package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

const (
	// sqlReconcileSoon is for changed settings: they hold at once, and another
	// target has no drift yet.
	sqlReconcileSoon = `
with gone as (delete from drift where channel_id = @channel and @anew)
update reconcile set wakes = wakes + 1, due_at = least(due_at, now()), fails = 0, error = null,
    sample_after = case when @anew then 0 else sample_after end, round_at = case when @anew then null else round_at end,
    looked_at = case when @anew then null else looked_at end, passed_at = case when @anew then null else passed_at end
where channel_id = @channel`
	sqlDropReconciles = `
with gone as (delete from drift d where exists (select from channel c where c.id = d.channel_id and c.deleted_at is not null))
delete from reconcile r where exists (select from channel c where c.id = r.channel_id and c.deleted_at is not null)`
)

// Reconciling is how far a channel's target has been read back.
type Reconciling struct {
	Now         time.Time
	In          time.Duration // until it is due; 0 or less: now
	Waiting     bool          // listings of the channel are due to be sent, and may be
	Unlooked    time.Duration // since an answer was compared, or a run was asked for; 0: never
	Channel     ChannelState
	Marking     bool // what was acknowledged is being forgotten
	Fails       int
	SampleAfter int64
	Wakes       int64
	RunAfter    *int64 // nil: no run is under way
	Repair      bool   // of the run
	SKUs        []pim.SKU
}

const sqlReconciling = `
select now(), r.due_at - now(), coalesce((
           select bool_or(` + laneDue + `) from consumer k where k.kind = 'drain' and k.channel_id = c.id), false),
       coalesce(now() - greatest(r.looked_at, r.asked_at), '0'),
       c.version, c.enabled, c.fails, c.allowed, c.next_probe_at, c.throttled_until, c.mark_anew > 0,
       r.fails, r.sample_after, r.wakes, r.run_after, r.repair, r.skus
from reconcile r join channel c on c.id = r.channel_id and c.deleted_at is null where r.channel_id = @channel`

// Reconciling reads how far a channel's target has been read back; ErrNotFound
// where the channel is gone.
func (s *Store) Reconciling(ctx context.Context, id pim.ChannelID) (*Reconciling, error) {
	r := &Reconciling{}
	c := &r.Channel
	err := s.work.QueryRow(ctx, sqlReconciling, named{"channel": id}).Scan(&r.Now, &r.In, &r.Waiting, &r.Unlooked, &c.Version, &c.Enabled, &c.Fails, &c.Allowed,
		&c.NextProbeAt, &c.ThrottledUntil, &r.Marking, &r.Fails, &r.SampleAfter, &r.Wakes, &r.RunAfter, &r.Repair, &r.SKUs)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read how far channel %d was read back: %w", id, err)
	}
	return r, nil
}

const (
	// By the primary key's order: whoever was read longest ago is next, and no
	// index by the time of the last reading has to be kept.
	sqlReconcileNext = `
select distinct l.product_id from listing l
where l.channel_id = @channel and l.product_id > @after and l.acked_at is not null
order by l.product_id limit @limit`
	sqlReconcileThese = `
select distinct l.product_id from product p join listing l on l.product_id = p.id and l.channel_id = @channel and l.acked_at is not null
where p.sku = any(@skus::text[]) and p.id > @after
order by l.product_id limit @limit`
	// What was sent since it was found to differ.
	sqlReconcileAgain = `
select distinct d.product_id from drift d join listing l using (channel_id, product_id, lane)
where d.channel_id = @channel and not l.dirty and l.acked_at > d.looked_at and l.acked_at < now() - @settle::interval
order by d.product_id limit @limit`
	sqlSurveyThese = surveyed + `select * from product where id = any(@ids::bigint[])` + surveyedOf
)

// ReconcileNext gives up to limit products of the channel behind after that
// something was acknowledged of; of skus alone, unless these are nil.
func (s *Store) ReconcileNext(ctx context.Context, id pim.ChannelID, skus []pim.SKU, after int64, limit int) ([]int64, error) {
	sql := sqlReconcileNext
	if skus != nil {
		sql = sqlReconcileThese
	}
	return s.productIDs(ctx, sql, named{"channel": id, "after": after, "limit": limit, "skus": skus})
}

// ReconcileAgain gives up to limit products whose drift is older than what was
// acknowledged since, and that are settled.
func (s *Store) ReconcileAgain(ctx context.Context, id pim.ChannelID, settle time.Duration, limit int) ([]int64, error) {
	return s.productIDs(ctx, sqlReconcileAgain, named{"channel": id, "settle": settle, "limit": limit})
}

func (s *Store) productIDs(ctx context.Context, sql string, args named) ([]int64, error) {
	rows, err := s.work.Query(ctx, sql, args)
	if err != nil {
		return nil, fmt.Errorf("look for products to read back: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("look for products to read back: %w", err)
	}
	return ids, nil
}

// SurveyThese is Survey of the products with these rows, deleted ones, too.
func (s *Store) SurveyThese(ctx context.Context, channel pim.ChannelID, ids []int64) (*Survey, error) {
	return s.survey(ctx, sqlSurveyThese, pgx.NamedArgs{"channel": channel, "ids": ids})
}

// Comparison is what was found of one listing. It counts only where the listing
// is as it was when it was looked at: clean, with the same Want and AckedAt.
type Comparison struct {
	Product pim.ProductID
	Lane    pim.Lane
	Want    int64
	AckedAt time.Time
	Kind    pim.DriftKind // "": the target holds what it acknowledged
	Moot    bool          // it was not looked at, for nothing can differ any more: a drift of it is over
	Fields  []pim.DriftField
	Issues  []pim.Issue // of the drift
	Repair  bool        // put it on the road again
}

// Comparisons are what one page of a reading found.
type Comparisons struct {
	List            []Comparison
	Products        int           // that were looked at
	LeftOut, Unread int           // listings
	After           time.Duration // when the next page is due
	Again           bool          // they were products to be read again, of neither the run nor the sample
	IDs             []int64       // of Again: the products
	Began           time.Time     // Reconciling.Now: what was acknowledged later has not been looked at
	Run             bool          // they were of the run, else of the sample
	Cursor          int64         // the last product of the page
	Over            bool          // it was the last page
	Wakes           int64         // Reconciling.Wakes: who was woken since is due at once
}

// Compared says what became of comparisons.
type Compared struct{ Same, Drifted, Repaired int64 }

// repairsMost is how often a drift is repaired within repairAgain: a target that
// never holds what it is sent must not be sent it for ever.
const (
	repairsMost = 2
	repairAgain = 24 * time.Hour
)

const (
	sqlReconcileFence = `
select from consumer where kind = 'reconcile' and channel_id = @channel and lane = 0 and epoch = @epoch and not released for key share`
	sqlLockCompared = `
select from listing l where l.channel_id = @channel and l.product_id = any(@product::bigint[])
order by l.product_id, l.channel_id, l.lane for update`
	// sqlCompared guards against what changed since the listings were looked at: a
	// target read between an edit and its receipt holds the newer document. A
	// repair forgets what was acknowledged, so that the road renders the product as
	// it is then and sends it; nothing here writes to a target. What is absent ends
	// its life there, and begins another one with the next acknowledgement, after
	// which offers and media come again (see the born rule in jobs/outcome.go).
	sqlCompared = `
with r as (
    select * from unnest(@product::bigint[], @lane::smallint[], @want::bigint[], @acked_at::timestamptz[], @kind::text[], @moot::boolean[], @fields::jsonb[], @issues::jsonb[], @repair::boolean[])
    as r (product_id, lane, want, acked_at, kind, moot, fields, issues, repair)
),
held as (
    select l.ctid as at, r.*, r.repair and (d.repairs is null or d.repairs < @most or d.repaired_at < now() - @again::interval) as repairs
    from r join listing l on l.product_id = r.product_id and l.channel_id = @channel and l.lane = r.lane
        and not l.dirty and l.want = r.want and l.acked_at = r.acked_at
    left join drift d on d.channel_id = @channel and d.product_id = r.product_id and d.lane = r.lane
    where not r.moot or d.product_id is not null
),
updated as (
    update listing l set
        verified_at = case when h.moot then l.verified_at when h.kind is null then now() end,
        issues = case when h.issues is null and (l.issues is null or not l.issues @? '$[*] ? (@.code starts with "drift.")') then l.issues
                      else nullif(coalesce((select jsonb_agg(i) from jsonb_array_elements(l.issues) i where not starts_with(i ->> 'code', 'drift.')), '[]')
                                  || coalesce(h.issues, '[]'), '[]') end,
        want = l.want + h.repairs::int, dirty = h.repairs, dirty_at = case when h.repairs then now() else l.dirty_at end,
        due_at = case when h.repairs then now() else l.due_at end,
        priority = case when not h.repairs then l.priority when l.lane = 2 and ` + soldOut + ` then 2 else 0 end,
        acked_hash = case when h.repairs then null else l.acked_hash end,
        born = case when h.repairs and h.kind = 'absent' and l.lane = 1 then -abs(l.born) else l.born end
    from held h where l.ctid = h.at
),
found as (
    insert into drift (channel_id, product_id, lane, kind, fields, repaired_at, repairs)
    select @channel, product_id, lane, kind, fields, case when repairs then now() end, repairs::int from held where kind is not null
    on conflict (channel_id, product_id, lane) do update set looked_at = now(), kind = excluded.kind, fields = excluded.fields,
        repaired_at = coalesce(excluded.repaired_at, drift.repaired_at), repairs = drift.repairs + excluded.repairs
),
gone as (
    delete from drift d using held h where h.kind is null and (d.channel_id, d.product_id, d.lane) = (@channel, h.product_id, h.lane)
)
select count(*) filter (where kind is null and not moot), count(*) filter (where kind is not null), count(*) filter (where repairs) from held`
	// sqlReread keeps what was left out or could not be read from being the next
	// page, too: it comes again with its next acknowledgement, or with the sample.
	sqlReread = `
update drift set looked_at = @began where channel_id = @channel and product_id = any(@ids::bigint[]) and looked_at < @began`
	sqlReconciled = `
update reconcile set due_at = case when wakes = @wakes then now() + @after::interval else now() end, looked_at = case when @answered then now() else looked_at end, fails = 0, error = null,
    sample_after = case when @again or @run then sample_after when @over then 0 else @cursor end,
    round_at = case when @again or @run then round_at when @over then null else coalesce(round_at, now()) end,
    passed_at = case when @over and not @again and (skus is null or not @run) then now() else passed_at end,
    run_after = case when run_after is null or not @run then run_after when @over then null else @cursor end,
    ended_at = case when run_after is not null and @run and @over then now() else ended_at end,
    seen = seen + case when @run and run_after is not null then @products else 0 end,
    same = same + case when @run and run_after is not null then @same else 0 end,
    drifted = drifted + case when @run and run_after is not null then @drifted else 0 end,
    repaired = repaired + case when @run and run_after is not null then @repaired else 0 end,
    left_out = left_out + case when @run and run_after is not null then @left_out else 0 end,
    unread = unread + case when @run and run_after is not null then @unread else 0 end
where channel_id = @channel`
)

// Reconciled stores one page of comparisons under l, and where to go on.
// ErrFenced: l was lost, and nothing was written.
func (s *Store) Reconciled(ctx context.Context, l Lease, c Comparisons) (out Compared, err error) {
	n, asked := len(c.List), false
	var (
		product, want  = make([]int64, n), make([]int64, n)
		lane           = make([]int16, n)
		acked          = make([]time.Time, n)
		kind           = make([]*string, n)
		fields, issues = make([][]byte, n), make([][]byte, n)
		repair, moot   = make([]bool, n), make([]bool, n)
	)
	for i, v := range c.List {
		product[i], want[i], lane[i], acked[i], repair[i], moot[i] = int64(v.Product), v.Want, int16(v.Lane), v.AckedAt, v.Repair && v.Kind != "", v.Moot
		asked = asked || !v.Moot
		kind[i], fields[i] = optional(string(v.Kind)), []byte("[]")
		if v.Fields != nil {
			fields[i] = []byte(storable(string(mustJSON(v.Fields))))
		}
		if v.Issues != nil {
			o := Outcome{Issues: v.Issues}
			o.storable()
			issues[i] = mustJSON(o.Issues)
		}
	}
	args := l.args()
	for k, v := range map[string]any{
		"product": product, "want": want, "lane": lane, "acked_at": acked, "kind": kind, "moot": moot, "fields": fields, "issues": issues, "repair": repair,
		"most": repairsMost, "again": repairAgain,
	} {
		args[k] = v
	}
	err = untangled(func() error {
		return inTx(ctx, s.work, func(tx pgx.Tx) error {
			tag, err := tx.Exec(ctx, sqlReconcileFence, l.args())
			if err != nil {
				return err
			}
			if tag.RowsAffected() == 0 {
				return ErrFenced
			}
			if n > 0 {
				if _, err := tx.Exec(ctx, sqlLockCompared, args); err != nil {
					return err
				}
				if err := tx.QueryRow(ctx, sqlCompared, args).Scan(&out.Same, &out.Drifted, &out.Repaired); err != nil {
					return err
				}
			}
			if c.Again {
				if _, err := tx.Exec(ctx, sqlReread, named{"channel": l.Channel, "ids": c.IDs, "began": c.Began}); err != nil {
					return err
				}
			}
			_, err = tx.Exec(ctx, sqlReconciled, named{
				"channel": l.Channel, "after": c.After, "wakes": c.Wakes, "again": c.Again, "run": c.Run, "cursor": c.Cursor, "over": c.Over, "products": c.Products,
				"same": out.Same, "drifted": out.Drifted, "repaired": out.Repaired, "answered": asked, "unread": c.Unread,
				"left_out": int64(c.LeftOut+n) - out.Same - out.Drifted,
			})
			return err
		})
	})
	if err != nil {
		return Compared{}, fmt.Errorf("store what was read back for %v: %w", l.Consumer, err)
	}
	return out, nil
}

const sqlReconcileRests = `
update reconcile set due_at = case when wakes = @wakes then now() + @after::interval else now() end,
    fails = case when wakes <> @wakes or @error = '' then fails else fails + 1 end, error = case when wakes = @wakes then coalesce(nullif(@error, ''), error) else error end
where channel_id = @channel and exists (
    select from consumer where kind = 'reconcile' and channel_id = @channel and lane = 0 and epoch = @epoch and not released for key share)`

// ReconcileRests says when to look again; failure, where it is not empty, is why the
// target could not be read. Neither counts where somebody woke it since wakes was
// read, by changed settings or to have it looked at: it is due then.
func (s *Store) ReconcileRests(ctx context.Context, l Lease, wakes int64, after time.Duration, failure string) error {
	args := l.args()
	args["after"], args["error"], args["wakes"] = after, storable(failure), wakes
	if _, err := s.work.Exec(ctx, sqlReconcileRests, args); err != nil {
		return fmt.Errorf("put off the reading back for %v: %w", l.Consumer, err)
	}
	return nil
}

const (
	sqlStartReconcile = `
update reconcile r set run = run + 1, run_after = 0, wakes = wakes + 1, due_at = least(due_at, now()), asked_at = now(), ended_at = null, cancelled = false, repair = @repair, actor = @actor, skus = @skus,
    seen = 0, same = 0, drifted = 0, repaired = 0, left_out = 0, unread = 0, total = (
        select count(distinct l.product_id) from listing l left join product p on @skus::text[] is not null and p.id = l.product_id
        where l.channel_id = r.channel_id and l.acked_at is not null and (@skus::text[] is null or p.sku = any(@skus)))
from channel c where c.id = r.channel_id and c.code = @code and c.deleted_at is null and r.run_after is null`
	sqlCancelReconcile = `
update reconcile r set run_after = null, ended_at = now(), cancelled = true
from channel c where c.id = r.channel_id and c.code = @code and c.deleted_at is null and r.run_after is not null`
	sqlReconcileStatus = `
select r.looked_at, r.passed_at, r.fails, coalesce(r.error, ''), (select count(*) from drift d where d.channel_id = c.id),
       r.run, r.run_after is not null, r.cancelled, r.skus, r.repair, r.actor, r.asked_at, r.ended_at, r.total, r.seen, r.same, r.drifted, r.repaired, r.left_out, r.unread
from channel c join reconcile r on r.channel_id = c.id where c.code = @code and c.deleted_at is null`
)

// StartReconcile asks for a reading of all products of a channel, or of skus
// where these are not nil. ErrExists: one is under way.
func (s *Store) StartReconcile(ctx context.Context, code pim.ChannelCode, skus []pim.SKU, repair bool, actor string) error {
	tag, err := s.pool.Exec(ctx, sqlStartReconcile, pgx.NamedArgs{"code": code, "skus": skus, "repair": repair, "actor": actor})
	if err == nil && tag.RowsAffected() == 0 {
		if err = s.connected(ctx, code); err == nil {
			err = ErrExists
		}
	}
	if err != nil {
		return fmt.Errorf("reconcile channel %s: %w", code, err)
	}
	return nil
}

// CancelReconcile ends the reading that is under way; it reports whether there
// was one.
func (s *Store) CancelReconcile(ctx context.Context, code pim.ChannelCode) (bool, error) {
	tag, err := s.pool.Exec(ctx, sqlCancelReconcile, pgx.NamedArgs{"code": code})
	if err != nil {
		return false, fmt.Errorf("cancel the reconciling of channel %s: %w", code, err)
	}
	return tag.RowsAffected() > 0, nil
}

// ReconcileStatus reads how the reading of a channel's target fares, without what
// its settings say; ErrNotFound.
func (s *Store) ReconcileStatus(ctx context.Context, code pim.ChannelCode) (*pim.ReconcileStatus, error) {
	var (
		st        pim.ReconcileStatus
		run       pim.ReconcileRun
		running   bool
		cancelled bool
		asked     *time.Time
	)
	err := s.pool.QueryRow(ctx, sqlReconcileStatus, pgx.NamedArgs{"code": code}).Scan(&st.LookedAt, &st.PassedAt, &st.Fails, &st.Error, &st.Drifts,
		&run.Number, &running, &cancelled, &run.SKUs, &run.Repair, &run.Actor, &asked, &run.EndedAt, &run.Products, &run.Seen, &run.Same, &run.Drifted, &run.Repaired, &run.LeftOut, &run.Unread)
	if errors.Is(err, pgx.ErrNoRows) { // of a channel without a connector nothing was ever read
		if err = s.connected(ctx, code); errors.Is(err, ErrNoConnector) {
			return &st, nil
		}
		return nil, fmt.Errorf("channel %s: %w", code, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read how the reconciling of %s fares: %w", code, err)
	}
	if asked != nil {
		run.AskedAt = *asked
		switch {
		case running:
			run.State = "running"
			if run.Products > 0 {
				run.Remaining = max(0, 1-float64(run.Seen)/float64(run.Products))
			}
		case cancelled:
			run.State = "cancelled"
		default:
			run.State = "finished"
		}
		st.Run = &run
	}
	return &st, nil
}

const sqlDrifts = `
select d.product_id, d.lane, p.sku, d.kind, d.fields, d.found_at, d.looked_at, d.repaired_at, d.repairs
from drift d join channel c on c.id = d.channel_id and c.code = @code and c.deleted_at is null join product p on p.id = d.product_id
where (d.product_id, d.lane) > (@product, @after_lane) and (@sku = '' or p.sku = @sku) and (@lane::smallint = 0 or d.lane = @lane)
order by d.product_id, d.lane limit @limit`

// Drifts reads one page of a channel's drift, of one product or lane where these
// are given, and the cursor of the next.
func (s *Store) Drifts(ctx context.Context, code pim.ChannelCode, sku pim.SKU, lane pim.Lane, page Page) (list []pim.Drift, next string, err error) {
	key, err := cursor(page.After) // product × 8 + lane
	if err != nil {
		return nil, "", err
	}
	rows, err := s.pool.Query(ctx, sqlDrifts, pgx.NamedArgs{
		"code": code, "sku": sku, "lane": int16(lane), "product": key / 8, "after_lane": int16(key % 8), "limit": page.limit() + 1,
	})
	if err != nil {
		return nil, "", fmt.Errorf("list the drift of %s: %w", code, err)
	}
	var keys []int64
	list, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (d pim.Drift, err error) {
		var (
			product int64
			lane    int16
			fields  []byte
		)
		if err := r.Scan(&product, &lane, &d.SKU, &d.Kind, &fields, &d.FoundAt, &d.LookedAt, &d.RepairedAt, &d.Repairs); err != nil {
			return d, err
		}
		d.Lane = pim.Lane(lane)
		keys = append(keys, product*8+int64(lane))
		d.Fields = []pim.DriftField{}
		return d, json.Unmarshal(fields, &d.Fields)
	})
	if err != nil {
		return nil, "", fmt.Errorf("list the drift of %s: %w", code, err)
	}
	if len(list) > page.limit() {
		list = list[:page.limit()]
		next = strconv.FormatInt(keys[len(list)-1], 10)
	}
	return list, next, nil
}

// ReconcileStats is how the reading of one channel's target fares, for metrics.
type ReconcileStats struct {
	Channel pim.ChannelCode
	Drifts  int64
	Passed  *time.Time
}

const sqlReconcileStats = `
select c.code, (select count(*) from drift d where d.channel_id = c.id), r.passed_at
from channel c join reconcile r on r.channel_id = c.id where c.deleted_at is null order by c.code`

// ReconcileStats reads how the reading of all channels' targets fares.
func (s *Store) ReconcileStats(ctx context.Context) ([]ReconcileStats, error) {
	rows, err := s.pool.Query(ctx, sqlReconcileStats)
	if err != nil {
		return nil, fmt.Errorf("count drift: %w", err)
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (st ReconcileStats, err error) {
		return st, r.Scan(&st.Channel, &st.Drifts, &st.Passed)
	})
}
