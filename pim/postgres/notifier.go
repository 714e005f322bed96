package postgres

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// Notifier is somebody who is told when a channel needs somebody.
type Notifier struct {
	Code         string
	Kind         string // it stays
	Version      int64  // rises with each change of the settings
	CreatedAt    time.Time
	Config       json.RawMessage
	Secrets      []byte // sealed JSON; nil: none
	Enabled      bool
	AllowPrivate bool              // it may be reached at loopback and private addresses
	Channels     []pim.ChannelCode // empty: all
	Kinds        []pim.AlertKind   // empty: all

	// State; not set by callers.
	NextAt  time.Time // nothing is sent before
	Fails   int       // consecutive
	Error   string    // of the last failure; "": the last message arrived
	SentAt  *time.Time
	Lost    int64 // notices that were given up
	Waiting int64 // notices that are still to be sent
}

const (
	notifierColumns = `
code, kind, version, created_at, config, secrets, enabled, allow_private, channels, kinds, next_at, fails, coalesce(error, ''), sent_at, lost,
(select count(*) from notice where notifier = code)`

	sqlNotifiers      = `select ` + notifierColumns + ` from notifier order by code`
	sqlNotifier       = `select ` + notifierColumns + ` from notifier where code = @code`
	sqlCreateNotifier = `
insert into notifier (code, kind, config, secrets, enabled, allow_private, channels, kinds)
values (@code, @kind, @config, @secrets, @enabled, @allow_private, @channels, @kinds) on conflict do nothing`
	// Other settings, or the same again, are another chance: what waits is sent at once.
	sqlUpdateNotifier = `
update notifier set version = version + ((config, secrets, enabled, allow_private, channels, kinds)
        is distinct from (@config::jsonb, @secrets::bytea, @enabled, @allow_private, @channels::text[], @kinds::text[]))::int, config = @config, secrets = @secrets, enabled = @enabled, allow_private = @allow_private,
    channels = @channels, kinds = @kinds, next_at = now(), fails = 0, error = null
where code = @code and version = @version`
	sqlDeleteNotifier = `delete from notifier where code = @code and (@if_match = 0 or version = @if_match)`
)

func (n *Notifier) args() pgx.NamedArgs {
	channels, kinds := make([]string, len(n.Channels)), make([]string, len(n.Kinds))
	for i, c := range n.Channels {
		channels[i] = string(c)
	}
	for i, k := range n.Kinds {
		kinds[i] = string(k)
	}
	return pgx.NamedArgs{
		"code": n.Code, "kind": n.Kind, "version": n.Version, "config": n.Config, "secrets": n.Secrets, "enabled": n.Enabled, "allow_private": n.AllowPrivate,
		"channels": channels, "kinds": kinds,
	}
}

// Notifiers lists them by code.
func (s *Store) Notifiers(ctx context.Context) ([]*Notifier, error) {
	rows, err := s.pool.Query(ctx, sqlNotifiers)
	if err != nil {
		return nil, fmt.Errorf("list notifiers: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToAddrOfStructByPos[Notifier])
}

// Notifier reads one; ErrNotFound.
func (s *Store) Notifier(ctx context.Context, code string) (*Notifier, error) {
	n, err := one(ctx, s.pool, sqlNotifier, pgx.NamedArgs{"code": storable(code)}, pgx.RowToAddrOfStructByPos[Notifier])
	if err != nil {
		return nil, fmt.Errorf("notifier %s: %w", code, err)
	}
	return n, nil
}

// CreateNotifier stores a notifier that the caller has checked; ErrExists. It is
// told of what happens from now on.
func (s *Store) CreateNotifier(ctx context.Context, n Notifier) (*Notifier, error) {
	return s.writeNotifier(ctx, "create", sqlCreateNotifier, n, ErrExists)
}

// UpdateNotifier replaces the settings that were read at n.Version; ErrStale when
// they are others now.
func (s *Store) UpdateNotifier(ctx context.Context, n Notifier) (*Notifier, error) {
	return s.writeNotifier(ctx, "update", sqlUpdateNotifier, n, ErrStale)
}

func (s *Store) writeNotifier(ctx context.Context, what, sql string, n Notifier, none error) (*Notifier, error) {
	tag, err := s.pool.Exec(ctx, sql, n.args())
	if err == nil && tag.RowsAffected() == 0 {
		err = none
	}
	if err != nil {
		return nil, fmt.Errorf("%s notifier %s: %w", what, n.Code, err)
	}
	return s.Notifier(ctx, n.Code)
}

// DeleteNotifier forgets a notifier, and what it was still to be told; ErrNotFound.
func (s *Store) DeleteNotifier(ctx context.Context, code string, ifMatch int64) error {
	tag, err := s.pool.Exec(ctx, sqlDeleteNotifier, pgx.NamedArgs{"code": storable(code), "if_match": ifMatch})
	if err == nil && tag.RowsAffected() == 0 {
		err = unmatched(ifMatch)
	}
	if err != nil {
		return fmt.Errorf("delete notifier %s: %w", code, err)
	}
	return nil
}

// Errand is a message that a process has to send.
type Errand struct {
	*Notifier        // NextAt is until when the process has it
	Message   string // its name: the same at each attempt
	At        time.Time
	Notices   [][]byte
}

// What is told at once waits a moment, so that what happens together is told
// together, and is one message until it has arrived: its notices are marked, so
// that a repetition is the same.
const (
	sqlTakeNotifier = `
update notifier set next_at = now() + @lease::interval
where code = (
    select n.code from notifier n
    where n.enabled and n.next_at <= now()
      and exists (select from notice x where x.notifier = n.code and (x.message is not null or x.at <= now() - @gather::interval))
    order by n.next_at limit 1 for update skip locked)
returning ` + notifierColumns
	sqlGather = `
with one as (
    select coalesce((select message from notice where notifier = @code and message is not null order by id limit 1), @message) as message
),
picked as (
    select id from notice n, one
    where n.notifier = @code and n.message is not distinct from (case when one.message <> @message then one.message end) order by id limit @limit
)
update notice n set message = one.message from picked p, one where n.id = p.id returning n.message, n.id, n.at, n.body`
)

// TakeErrand gives a process a message to send, which nobody else sends within
// lease; nil when there is none. message names it if it is a new one.
func (s *Store) TakeErrand(ctx context.Context, message string, gather, lease time.Duration, limit int) (*Errand, error) {
	var e *Errand
	err := inTx(ctx, s.pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, sqlTakeNotifier, pgx.NamedArgs{"lease": lease, "gather": gather})
		if err != nil {
			return err
		}
		n, err := pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByPos[Notifier])
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		if rows, err = tx.Query(ctx, sqlGather, pgx.NamedArgs{"code": n.Code, "message": message, "limit": limit}); err != nil {
			return err
		}
		type row struct {
			id   int64
			body []byte
		}
		var (
			r    row
			list []row
			at   time.Time
		)
		e = &Errand{Notifier: n}
		_, err = pgx.ForEachRow(rows, []any{&e.Message, &r.id, &at, &r.body}, func() error {
			list = append(list, row{r.id, append([]byte(nil), r.body...)})
			if e.At.Before(at) {
				e.At = at
			}
			return nil
		})
		if err != nil {
			return err
		}
		slices.SortFunc(list, func(a, b row) int { return cmp.Compare(a.id, b.id) })
		for _, r := range list {
			e.Notices = append(e.Notices, r.body)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("take a message to send: %w", err)
	}
	return e, nil
}

const (
	sqlArrived = `
with gone as (delete from notice where notifier = @code and message = @message)
update notifier set next_at = case when next_at = @taken then now() else next_at end, fails = 0, error = null, sent_at = now() where code = @code`
	sqlNotArrived = `
with lost as (
    delete from notice where notifier = @code and at < now() - @keep::interval returning 1
)
update notifier set next_at = now() + @wait::interval, fails = fails + 1, error = @error, lost = lost + (select count(*) from lost)
where code = @code and next_at = @taken`
)

// Arrived notes that e arrived: it is sent no more.
func (s *Store) Arrived(ctx context.Context, e *Errand) error {
	if _, err := s.pool.Exec(ctx, sqlArrived, pgx.NamedArgs{"code": e.Code, "message": e.Message, "taken": e.NextAt}); err != nil {
		return fmt.Errorf("note that %s was told: %w", e.Code, err)
	}
	return nil
}

// NotArrived notes that e did not arrive, as far as is known: it is tried again
// after wait, and what is older than keep is given up.
func (s *Store) NotArrived(ctx context.Context, e *Errand, cause string, wait, keep time.Duration) error {
	_, err := s.pool.Exec(ctx, sqlNotArrived, pgx.NamedArgs{"code": e.Code, "taken": e.NextAt, "error": storable(cause), "wait": wait, "keep": keep})
	if err != nil {
		return fmt.Errorf("note that %s was not told: %w", e.Code, err)
	}
	return nil
}
