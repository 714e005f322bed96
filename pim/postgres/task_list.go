package postgres

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// TaskState is where a task stands.
type TaskState string

// The states. Due is a part of waiting: what could be worked off now.
const (
	TaskWaiting   TaskState = "waiting"
	TaskDue       TaskState = "due"
	TaskFailed    TaskState = "failed"
	TaskCancelled TaskState = "cancelled"
)

// TaskKinds are the kinds of tasks, in the order in which people read them.
var TaskKinds = []string{Fetch, Render, Translate, Generate}

// TaskItem is a task as people see it, with what it is about: an asset to
// fetch, a rendition to make of the original of an asset, a text of a product.
type TaskItem struct {
	ID        int64      `json:"id"`
	Kind      string     `json:"kind" enum:"fetch,render,translate,generate"`
	Lot       string     `json:"lot" doc:"What it shares its fate with: the host of a fetch, the pair of languages of a translation"`
	State     TaskState  `json:"state" enum:"waiting,due,failed,cancelled"`
	Asset     string     `json:"asset,omitempty" doc:"Code of the asset that it is about"`
	Rendition string     `json:"rendition,omitempty" doc:"Of render: the definition that asks for it"`
	SKU       pim.SKU    `json:"sku,omitempty" doc:"Of translate and generate: the product, the attribute and the locale of the text"`
	Attribute string     `json:"attribute,omitempty"`
	Locale    pim.Locale `json:"locale,omitempty"`
	Subject   int64      `json:"subject" doc:"Number of the row that it is about, for the log"`
	Attempts  int        `json:"attempts" doc:"Failed, in a row"`
	Reason    string     `json:"reason,omitempty" doc:"Why the last attempt failed"`
	DueAt     time.Time  `json:"due_at" doc:"When it is tried next, while it waits; what somebody edited is due an hour before its time, to come first"`
	HeldUntil *time.Time `json:"held_until,omitempty" doc:"Its lot waits until then"`
	CreatedAt time.Time  `json:"created_at"`
}

// TaskFilter narrows a list of tasks; the zero value narrows nothing.
type TaskFilter struct {
	Kind  string
	Lot   string
	State TaskState
}

// sqlTasks looks at what a task is about only for the page's rows.
const sqlTasks = `
with page as (
    select t.*, case when o.wait_until > now() then o.wait_until end as held
    from task t left join lot o on o.kind = t.kind and o.lot = t.lot
    where t.id > @after and (@kind = '' or t.kind = @kind) and (@lot = '' or t.lot = @lot)
      and (@state = '' or t.state = case @state when 'due' then 'waiting' else @state end)
      and (@state <> 'due' or t.due_at <= now() and coalesce(o.wait_until, '-infinity') <= now())
    order by t.id limit @limit
)
select t.id, t.kind, t.lot, case when t.state = 'waiting' and t.due_at <= now() and t.held is null then 'due' else t.state end,
       coalesce(f.code, r.asset, ''), coalesce(r.definition, ''), coalesce(p.sku, ''), coalesce(x.attribute, ''), coalesce(x.locale, ''), t.subject, t.attempts, coalesce(t.error, ''), t.due_at, t.held, t.created_at
from page t
left join asset f on t.kind = 'fetch' and f.id = t.subject
left join lateral (
    select (select code from asset a where a.hash = x.original order by id limit 1) as asset,
           (select code from rendition_definition d where d.spec = x.spec order by code limit 1) as definition
    from rendition x where t.kind = 'render' and x.id = t.subject
) r on true
left join product_text x on t.kind in ('translate', 'generate') and x.id = t.subject
left join product p on p.id = x.product_id
order by t.id`

// Tasks lists tasks, oldest first. What is done is not there any more.
func (s *Store) Tasks(ctx context.Context, f TaskFilter, page Page) (list []TaskItem, next string, err error) {
	after, err := cursor(page.After)
	if err != nil {
		return nil, "", err
	}
	rows, err := s.pool.Query(ctx, sqlTasks, pgx.NamedArgs{
		"after": after, "limit": page.limit(), "kind": storable(f.Kind), "lot": storable(f.Lot), "state": string(f.State),
	})
	if err != nil {
		return nil, "", fmt.Errorf("list tasks: %w", err)
	}
	list, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (t TaskItem, err error) {
		return t, r.Scan(&t.ID, &t.Kind, &t.Lot, &t.State, &t.Asset, &t.Rendition, &t.SKU, &t.Attribute, &t.Locale, &t.Subject, &t.Attempts, &t.Reason, &t.DueAt, &t.HeldUntil, &t.CreatedAt)
	})
	if err != nil {
		return nil, "", fmt.Errorf("list tasks: %w", err)
	}
	if len(list) == page.limit() {
		next = strconv.FormatInt(list[len(list)-1].ID, 10)
	}
	return list, next, nil
}

// TaskCounts count the tasks of one kind.
type TaskCounts struct {
	Kind        string  `json:"kind" enum:"fetch,render,translate,generate"`
	Waiting     int64   `json:"waiting" doc:"Still to be worked off, those that are due included"`
	Due         int64   `json:"due" doc:"Could be worked off now"`
	Failed      int64   `json:"failed" doc:"Given up: they wait for a retry"`
	Cancelled   int64   `json:"cancelled"`
	Done        int64   `json:"done" doc:"Since ever"`
	FailedSoFar int64   `json:"failed_so_far" doc:"Given up, since ever"`
	LotsWaiting int64   `json:"lots_waiting" doc:"Lots that wait as a whole, with work for them"`
	OldestDue   float64 `json:"oldest_due_seconds" doc:"For how long the oldest that is due could have been worked off; 0: none is due"`
}

// LotCounts count the tasks that share a fate.
type LotCounts struct {
	Kind        string     `json:"kind" enum:"fetch,render,translate,generate"`
	Lot         string     `json:"lot"`
	Waiting     int64      `json:"waiting"`
	Due         int64      `json:"due"`
	Failed      int64      `json:"failed"`
	Cancelled   int64      `json:"cancelled"`
	Done        int64      `json:"done" doc:"Since ever"`
	FailedSoFar int64      `json:"failed_so_far" doc:"Given up, since ever"`
	Fails       int        `json:"fails" doc:"Failures of what the lot needs, in a row"`
	WaitUntil   *time.Time `json:"wait_until,omitempty" doc:"The whole lot waits until then"`
	Error       string     `json:"error,omitempty" doc:"Why it waits, or failed last"`
}

// MaxLots is how many lots a summary tells at most.
const MaxLots = 1000

// What is counted by lot is small; the tasks themselves are read once, and never
// sorted. An urgent task is due since an hour before it was made (see
// sqlWantRenditions), so none has waited for longer than since its making.
const (
	sqlByLot = `
select kind, lot, count(*) filter (where state = 'waiting') as waiting, count(*) filter (where state = 'waiting' and due_at <= now()) as ripe,
       count(*) filter (where state = 'failed') as failed, count(*) filter (where state = 'cancelled') as cancelled,
       min(greatest(due_at, created_at)) filter (where state = 'waiting' and due_at <= now()) as oldest
from task group by 1, 2`

	sqlTaskCounts = `
with by_lot as (` + sqlByLot + `),
counts as (
    select c.kind, sum(c.waiting)::bigint as waiting, coalesce(sum(c.ripe) filter (where h.open), 0)::bigint as due, sum(c.failed)::bigint as failed,
           sum(c.cancelled)::bigint as cancelled, count(*) filter (where c.waiting > 0 and not h.open) as held,
           extract(epoch from now() - min(greatest(c.oldest, o.wait_until)) filter (where c.ripe > 0 and h.open)) as oldest
    from by_lot c left join lot o on o.kind = c.kind and o.lot = c.lot, lateral (select coalesce(o.wait_until, '-infinity') <= now() as open) h group by 1
),
ever as (select kind, sum(done)::bigint as done, sum(failed)::bigint as failed from lot group by 1)
select k.kind, coalesce(c.waiting, 0), coalesce(c.due, 0), coalesce(c.failed, 0), coalesce(c.cancelled, 0), coalesce(e.done, 0), coalesce(e.failed, 0),
       coalesce(c.held, 0), greatest(0, coalesce(c.oldest, 0))::float8
from unnest(@kinds::text[]) with ordinality k (kind, n) left join counts c using (kind) left join ever e using (kind) order by k.n`

	sqlLots = `
select o.kind, o.lot, coalesce(c.waiting, 0), case when o.wait_until > now() then 0 else coalesce(c.ripe, 0) end, coalesce(c.failed, 0), coalesce(c.cancelled, 0),
       o.done, o.failed, o.fails, case when o.wait_until > now() then o.wait_until end, coalesce(o.error, '')
from lot o left join (` + sqlByLot + `) c on c.kind = o.kind and c.lot = o.lot
where c.kind is not null or o.done > 0 or o.failed > 0 or o.fails > 0
order by coalesce(c.waiting, 0) + coalesce(c.failed, 0) desc, o.kind, o.lot limit @limit`
)

// TaskCounts counts the tasks of each kind, also of those that have none.
func (s *Store) TaskCounts(ctx context.Context) ([]TaskCounts, error) {
	rows, err := s.pool.Query(ctx, sqlTaskCounts, pgx.NamedArgs{"kinds": TaskKinds})
	if err != nil {
		return nil, fmt.Errorf("count tasks: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (c TaskCounts, err error) {
		return c, r.Scan(&c.Kind, &c.Waiting, &c.Due, &c.Failed, &c.Cancelled, &c.Done, &c.FailedSoFar, &c.LotsWaiting, &c.OldestDue)
	})
	if err != nil {
		return nil, fmt.Errorf("count tasks: %w", err)
	}
	return list, nil
}

// Lots counts the tasks of each lot that has or had any: MaxLots of them, those
// with most to do first.
func (s *Store) Lots(ctx context.Context) ([]LotCounts, error) {
	rows, err := s.pool.Query(ctx, sqlLots, pgx.NamedArgs{"limit": MaxLots})
	if err != nil {
		return nil, fmt.Errorf("count tasks by lot: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (c LotCounts, err error) {
		return c, r.Scan(&c.Kind, &c.Lot, &c.Waiting, &c.Due, &c.Failed, &c.Cancelled, &c.Done, &c.FailedSoFar, &c.Fails, &c.WaitUntil, &c.Error)
	})
	if err != nil {
		return nil, fmt.Errorf("count tasks by lot: %w", err)
	}
	return list, nil
}

// Of a walk's products it is known how many come, not which of them the rule is for; of
// many walks they are counted once.
const sqlDeriveRows = `
select (select count(*) from derive) + (select count(*) from product_offer where product_id > (select min(after_id) from price_walk))`

// DeriveRows counts the products whose assets, texts and derived prices are still to
// be looked at.
func (s *Store) DeriveRows(ctx context.Context) (n int64, err error) {
	if err := s.pool.QueryRow(ctx, sqlDeriveRows).Scan(&n); err != nil {
		return 0, fmt.Errorf("count products to derive from: %w", err)
	}
	return n, nil
}

// TaskChoice says which tasks a command is for: of a kind, of one lot when that
// is named, and of these numbers when there are any.
type TaskChoice struct {
	Kind string
	Lot  string
	IDs  []int64
}

// The commands lock in the order of (kind, subject), as the ends of tasks do, and
// go through a kind in parts: each a statement that is over soon.
const (
	sqlRetryLots = `
update lot set wait_until = null, fails = 0, error = null
where kind = @kind and (@lot = '' or lot = @lot) and (fails > 0 or wait_until is not null)
  and (@ids = '{}'::bigint[] or lot in (select t.lot from task t where t.id = any(@ids::bigint[]) and t.kind = @kind))`

	// sqlRetryTasks brings back what was given up, also what was cancelled if it is
	// named, and what waits for its next attempt.
	sqlRetryTasks = `
with part as (
    select id, subject, state, attempts from task t
    where kind = @kind and subject > @after and (@lot = '' or lot = @lot) and (@ids = '{}'::bigint[] or id = any(@ids::bigint[]))
      and (state = 'failed' or state = 'cancelled' and @ids <> '{}'::bigint[] or state = 'waiting' and attempts > 0)
    order by kind, subject limit @limit for update
),
up as (
    update task t set state = 'waiting', attempts = 0, error = null, due_at = now() - interval '1 hour' from part p where t.id = p.id
)
select count(*), coalesce(max(subject), 0) from part`

	sqlCancelTasks = `
with part as (
    select id, subject from task t
    where kind = @kind and subject > @after and (@lot = '' or lot = @lot) and (@ids = '{}'::bigint[] or id = any(@ids::bigint[]))
      and state <> 'cancelled'
    order by kind, subject limit @limit for update
),
up as (
    update task t set state = 'cancelled' from part p where t.id = p.id
),
free as (` + letGo + `(select subject from part where @kind in ('translate', 'generate')))
select count(*), coalesce(max(subject), 0) from part`
)

// commandPart is how many tasks one statement of a command changes.
const commandPart = 5000

// RetryTasks has tasks tried again at once: those that were given up, those
// that wait after a failure, and, where numbers are given, those that were
// cancelled. A lot that waits does so no longer. It says how many they are.
func (s *Store) RetryTasks(ctx context.Context, c TaskChoice) (int64, error) {
	if _, err := s.pool.Exec(ctx, sqlRetryLots, c.args()); err != nil {
		return 0, fmt.Errorf("retry %s tasks: %w", c.Kind, err)
	}
	n, err := s.commandTasks(ctx, sqlRetryTasks, c)
	if err != nil {
		return n, fmt.Errorf("retry %s tasks: %w", c.Kind, err)
	}
	return n, nil
}

// CancelTasks takes tasks out of the queue, those that were given up included.
// What is being worked on at the moment may still be finished. A cancelled task
// stays until it is retried by its number, or asked for again. It says how many
// they are.
func (s *Store) CancelTasks(ctx context.Context, c TaskChoice) (int64, error) {
	n, err := s.commandTasks(ctx, sqlCancelTasks, c)
	if n > 0 {
		s.nudged()
	}
	if err != nil {
		return n, fmt.Errorf("cancel %s tasks: %w", c.Kind, err)
	}
	return n, nil
}

func (c TaskChoice) args() pgx.NamedArgs {
	ids := c.IDs
	if ids == nil {
		ids = []int64{}
	}
	return pgx.NamedArgs{"kind": storable(c.Kind), "lot": storable(c.Lot), "ids": ids}
}

func (s *Store) commandTasks(ctx context.Context, sql string, c TaskChoice) (total int64, err error) {
	args := c.args()
	args["limit"] = commandPart
	for after := int64(0); ; {
		args["after"] = after
		var n int64
		err := untangled(func() error { return s.pool.QueryRow(ctx, sql, args).Scan(&n, &after) })
		if err != nil {
			return total, err
		}
		if total += n; n < commandPart {
			return total, nil
		}
	}
}
