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

// Channel is a configured target.
type Channel struct {
	ID        pim.ChannelID
	Version   int64
	Code      pim.ChannelCode
	Connector string
	Locale    pim.Locale
	Currency  pim.Currency
	PriceList string
	// CategoryRoot: mappings see of categories this one and those below it; "": all.
	CategoryRoot string
	Locations    []string
	Renditions   []string        // codes of rendition definitions: pictures are shown in the first; none: originals
	Config       json.RawMessage // without secrets
	Secrets      []byte          // sealed JSON; nil: none
	Mapping      json.RawMessage // connectors.Mapping
	Marks        Marks
	Policy       pim.Policy
	Batch        int
	Concurrency  int
	Timeout      time.Duration
	Settle       time.Duration
	Enabled      bool
	// AllowPrivate: its targets may be on loopback and private addresses.
	AllowPrivate bool
	// Test: it is shown what providers for tests have translated or written.
	Test  bool
	Pulls bool // its target is read as well, see PullState; set, not read back
	Look  bool // of an update: listings are looked at again, those that were refused too; set, not read back
	Anew  bool // of an update: it may be another target, which holds nothing; set, not read back
	// Connects, of an update: it has had no connector so far; set, not read back.
	Connects bool
	// Actor and Note are of a changed mapping; set, not read back.
	Actor, Note string
	CreatedAt   time.Time

	// State of the road; not set by callers.
	Fails          int
	Allowed        int
	NextProbeAt    *time.Time
	ThrottledUntil *time.Time
	Hold           string // why it rests until then: one of the constants; ""
	Held           []Held // lanes that rest
	RequestsToday  int64  // granted of its quota's day, or that day's last
	LastError      string
	Marking        bool // its first or a renewed marking of all products is under way
	Pull           *PullStatus
}

// HasConnector reports whether there is a target behind the channel.
func (c *Channel) HasConnector() bool { return c.Connector != pim.NoConnector }

// Marks says which of a channel's lanes an event of each lane touches, as the
// mapping reads them.
type Marks struct {
	Content, Offer, Media pim.Lanes
	Tree                  pim.Lanes // what the product's categories are called, and where they stand
	Records               pim.Lanes // what the records that it names say
	Associations          pim.Lanes // which of the products that it is associated with are there
}

const channelColumns = `
id, version, code, connector, locale, currency, price_list, coalesce(category_root, ''), locations, renditions, config, secrets, mapping, marks_content, marks_offer, marks_media, marks_tree, marks_records, marks_associations,
batch, concurrency, timeout_ms, settle_ms, enabled, allow_private, test, policy, created_at, fails, allowed, next_probe_at, throttled_until, coalesce(hold, ''), coalesce(last_error, ''),
` + heldLanes + `, coalesce((select f.used from flow f where f.channel_id = channel.id and f.day > now() - interval '1 day'), 0), mark_after is not null, ` + pullStatus

func scanChannel(r pgx.CollectableRow) (*Channel, error) {
	var c Channel
	var timeout, settle int64
	err := r.Scan(&c.ID, &c.Version, &c.Code, &c.Connector, &c.Locale, &c.Currency, &c.PriceList, &c.CategoryRoot, &c.Locations, &c.Renditions, &c.Config, &c.Secrets, &c.Mapping,
		&c.Marks.Content, &c.Marks.Offer, &c.Marks.Media, &c.Marks.Tree, &c.Marks.Records, &c.Marks.Associations, &c.Batch, &c.Concurrency, &timeout, &settle, &c.Enabled, &c.AllowPrivate, &c.Test, &c.Policy, &c.CreatedAt,
		&c.Fails, &c.Allowed, &c.NextProbeAt, &c.ThrottledUntil, &c.Hold, &c.LastError, &c.Held, &c.RequestsToday, &c.Marking, &c.Pull)
	c.Timeout, c.Settle = time.Duration(timeout)*time.Millisecond, time.Duration(settle)*time.Millisecond
	return &c, err
}

func (c *Channel) args() pgx.NamedArgs {
	if c.Locations == nil {
		c.Locations = []string{}
	}
	if c.Renditions == nil {
		c.Renditions = []string{}
	}
	return pgx.NamedArgs{
		"id": c.ID, "version": c.Version, "code": c.Code, "connector": c.Connector, "locale": c.Locale, "currency": c.Currency,
		"price_list": c.PriceList, "category_root": c.CategoryRoot, "locations": c.Locations, "renditions": c.Renditions, "config": c.Config, "secrets": c.Secrets, "mapping": c.Mapping,
		"marks_content": int16(c.Marks.Content), "marks_offer": int16(c.Marks.Offer), "marks_media": int16(c.Marks.Media), "marks_tree": int16(c.Marks.Tree), "marks_records": int16(c.Marks.Records), "marks_associations": int16(c.Marks.Associations),
		"batch": c.Batch, "concurrency": c.Concurrency, "timeout": c.Timeout.Milliseconds(), "settle": c.Settle.Milliseconds(), "enabled": c.Enabled, "allow_private": c.AllowPrivate, "test": c.Test, "policy": mustJSON(c.Policy), "anew": c.Anew, "look": c.Look,
	}
}

// channelRoot is the constraint that a channel's category root is there.
const channelRoot = "channel_category_root_fkey"

const (
	sqlCreateChannel = `
insert into channel (code, connector, locale, currency, price_list, category_root, locations, renditions, config, secrets, mapping, marks_content, marks_offer, marks_media, marks_tree, marks_records, marks_associations,
                     batch, concurrency, timeout_ms, settle_ms, enabled, allow_private, test, policy, mark_after, version)
values (@code, @connector, @locale, @currency, @price_list, nullif(@category_root, ''), @locations, @renditions, @config, @secrets, @mapping, @marks_content, @marks_offer, @marks_media, @marks_tree, @marks_records, @marks_associations,
        @batch, @concurrency, @timeout, @settle, @enabled, @allow_private, @test, @policy, 0,
        (select coalesce(max(version), 0) + 1 from channel where code = @code)) -- those that had the code before it are deleted, and their rows stay
returning id`
	sqlCreateDrains = `
with made as (insert into reconcile (channel_id) values (@channel) on conflict (channel_id) do nothing)
insert into consumer (kind, channel_id, lane) select 'drain', @channel, unnest(array[1, 2, 4]::smallint[])
union all select 'reconcile', @channel, 0`
	// sqlUnmarkChannel is for a channel without a connector: no listing is marked for
	// it, so the catalogue need not be gone through.
	sqlUnmarkChannel = `update channel set mark_after = null where id = @channel`
	sqlCreateFlow    = `insert into flow (channel_id) values (@channel)`
)

// CreateChannel creates a channel and has the whole catalogue published to it, if
// it has a connector.
// ErrExists when the code is taken.
func (s *Store) CreateChannel(ctx context.Context, c Channel) (*Channel, error) {
	var next *pim.Schema
	err := s.untangledTx(ctx, func(tx pgx.Tx) error {
		schema, err := s.lockSchema(ctx, tx)
		if err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, sqlCreateChannel, c.args()).Scan(&c.ID); err != nil {
			if violates(err, "channel_code") {
				return ErrExists
			}
			return err
		}
		if err := sellsIn(ctx, tx, &c); err != nil {
			return err
		}
		if err := works(ctx, tx, &c, true); err != nil {
			return err
		}
		if err := keepMapping(ctx, tx, &c); err != nil {
			return err
		}
		if err := usesRenditions(ctx, tx, &c, false); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, sqlCreateFlow, pgx.NamedArgs{"channel": c.ID}); err != nil {
			return err
		}
		if c.Pulls {
			if _, err := tx.Exec(ctx, sqlCreatePull, named{"channel": c.ID}); err != nil {
				return err
			}
		}
		next = schema.Copy()
		next.Channels = putInto(schema.Channels, c.Code, true)
		if err := s.followConditions(ctx, tx, schema, next); err != nil { // they may name it as a scope
			return err
		}
		return bumpSchema(ctx, tx, next)
	})
	if err = c.withoutRoot(err); err != nil {
		return nil, fmt.Errorf("create channel %s: %w", c.Code, err)
	}
	s.keepSchema(next)
	s.nudged()
	_ = s.spreadNow(ctx) // else the consumer derive does it
	return s.Channel(ctx, c.Code)
}

// works makes who works for a channel that has a connector, of one that is new or
// had none so far. For one without nobody does, and it has no listings: both cost,
// and nothing would ever come of them.
func works(ctx context.Context, tx pgx.Tx, c *Channel, fresh bool) (err error) {
	args := pgx.NamedArgs{"channel": c.ID}
	switch {
	case !c.HasConnector():
		_, err = tx.Exec(ctx, sqlUnmarkChannel, args)
	case fresh:
		_, err = tx.Exec(ctx, sqlCreateDrains, args)
	}
	return err
}

// withoutRoot is err, a *pim.Invalid where the category root is not there: it was
// deleted since who made the channel looked.
func (c *Channel) withoutRoot(err error) error {
	if violates(err, channelRoot) {
		return &pim.Invalid{Problems: []pim.Problem{{Pointer: "/category_root", Code: "category.unknown", Detail: fmt.Sprintf("there is no category %q", c.CategoryRoot)}}}
	}
	return err
}

const sqlChannel = `select ` + channelColumns + ` from channel where code = @code and deleted_at is null`

// Channel reads one channel by its code; ErrNotFound.
func (s *Store) Channel(ctx context.Context, code pim.ChannelCode) (*Channel, error) {
	return oneChannel(ctx, s, sqlChannel, pgx.NamedArgs{"code": code}, string(code))
}

const sqlChannelByID = `select ` + channelColumns + ` from channel where id = @id and deleted_at is null`

// ChannelByID reads one channel by its row; ErrNotFound.
func (s *Store) ChannelByID(ctx context.Context, id pim.ChannelID) (*Channel, error) {
	return oneChannel(ctx, s, sqlChannelByID, pgx.NamedArgs{"id": id}, fmt.Sprint(id))
}

func oneChannel(ctx context.Context, s *Store, sql string, args pgx.NamedArgs, name string) (*Channel, error) {
	c, err := one(ctx, s.pool, sql, args, scanChannel)
	if err != nil {
		return nil, fmt.Errorf("channel %s: %w", name, err)
	}
	return c, nil
}

const sqlChannels = `select ` + channelColumns + ` from channel where deleted_at is null order by code`

// Channels reads all channels, by code.
func (s *Store) Channels(ctx context.Context) ([]*Channel, error) {
	rows, err := s.pool.Query(ctx, sqlChannels)
	if err != nil {
		return nil, fmt.Errorf("list channels: %w", err)
	}
	return pgx.CollectRows(rows, scanChannel)
}

// sqlUpdateChannel is another chance for a channel that rests also where it changes
// nothing, but then no other version. What its mapping marks is told by the mapping.
const sqlUpdateChannel = `
update channel set version = version + ((locale, currency, price_list, category_root, locations, renditions, config, secrets, mapping, batch, concurrency, timeout_ms, settle_ms, enabled, allow_private, test, policy)
        is distinct from (@locale, @currency, @price_list, nullif(@category_root, ''), @locations::text[], @renditions::text[], @config::jsonb, @secrets::bytea, @mapping::jsonb, @batch, @concurrency, @timeout, @settle, @enabled, @allow_private, @test, @policy::jsonb))::int,
    connector = @connector, locale = @locale, currency = @currency, price_list = @price_list, category_root = nullif(@category_root, ''), locations = @locations, renditions = @renditions, config = @config,
    secrets = @secrets, mapping = @mapping, marks_content = @marks_content, marks_offer = @marks_offer, marks_media = @marks_media, marks_tree = @marks_tree, marks_records = @marks_records, marks_associations = @marks_associations,
    batch = @batch, concurrency = @concurrency, timeout_ms = @timeout, settle_ms = @settle, enabled = @enabled, allow_private = @allow_private, test = @test, policy = @policy,
    allowed = least(allowed, @concurrency), mark_after = case when @anew::boolean or @look::boolean or (locale, currency, price_list, category_root, renditions, config, mapping, test, policy #> '{flow,debounce_seconds}', policy -> 'withdrawal')
        is distinct from (@locale, @currency, @price_list, nullif(@category_root, ''), @renditions::text[], @config::jsonb, @mapping::jsonb, @test, @policy::jsonb #> '{flow,debounce_seconds}', @policy::jsonb -> 'withdrawal') then 0 else mark_after end,
    mark_anew = greatest(mark_anew, @anew::boolean::int), fails = 0, next_probe_at = null, throttled_until = null, hold = null, last_error = null
where id = @id and version = @version and deleted_at is null`

// UpdateChannel replaces a channel's settings, read at c.Version (ErrStale
// otherwise). Where they change what is shown, or with c.Look, it renders every
// listing anew, and only what differs is sent, or was refused. With
// c.Anew it is a full resync as well, in the same transaction: else a crash in
// between would leave what the old target acknowledged as the new one's. With
// c.Connects the whole catalogue is published to it, as to a new channel.
func (s *Store) UpdateChannel(ctx context.Context, c Channel) (*Channel, error) {
	pull := sqlDropPull
	if c.Pulls {
		pull = sqlCreatePull
	}
	restock, err := s.restocks(ctx, &c)
	if err != nil {
		return nil, fmt.Errorf("update channel %s: %w", c.Code, err)
	}
	first := sqlUnholdLanes
	if c.Anew {
		first = sqlFenceChannel
	}
	err = s.changeChannel(ctx, first, sqlUpdateChannel, c.args(), ErrStale, func(tx pgx.Tx, _ *pim.Schema) error {
		if err := sellsIn(ctx, tx, &c); err != nil {
			return err
		}
		if err := works(ctx, tx, &c, c.Connects); err != nil {
			return err
		}
		if err := restock(tx); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, pull, named{"channel": c.ID}); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, sqlReconcileSoon, named{"channel": c.ID, "anew": c.Anew}); err != nil {
			return err
		}
		if err := usesRenditions(ctx, tx, &c, c.Anew); err != nil {
			return err
		}
		if c.Anew {
			if _, err := tx.Exec(ctx, sqlForgetPulled, named{"code": c.Code}); err != nil {
				return err
			}
		}
		return keepMapping(ctx, tx, &c)
	})
	if err = c.withoutRoot(err); err != nil {
		return nil, fmt.Errorf("update channel %s: %w", c.Code, err)
	}
	_ = s.spreadNow(ctx) // else the consumer derive does it
	return s.Channel(ctx, c.Code)
}

const (
	sqlPauseChannel  = `update channel set enabled = false where code = @code and deleted_at is null`
	sqlResumeChannel = `
update channel set enabled = true, fails = 0, next_probe_at = null, throttled_until = null, hold = null, last_error = null
where code = @code and deleted_at is null`
	sqlDeleteChannel = `update channel set deleted_at = now(), enabled = false, secrets = null, category_root = null, mark_after = null where code = @code and deleted_at is null and (@if_match = 0 or version = @if_match)`
	sqlResyncChannel = `update channel set mark_after = 0 where code = @code and deleted_at is null`
	sqlAnewChannel   = `update channel set mark_after = 0, mark_anew = greatest(mark_anew, 1) where code = @code and deleted_at is null`
)

// connected reads a channel that something is to be done with its target of:
// ErrNotFound, or ErrNoConnector. It may be given one at any time, and never loses it.
func (s *Store) connected(ctx context.Context, code pim.ChannelCode) error {
	ch, err := s.Channel(ctx, code)
	if err == nil && !ch.HasConnector() {
		err = fmt.Errorf("channel %s: %w", code, ErrNoConnector)
	}
	return err
}

// PauseChannel stops sending to a channel; its listings are marked as ever. The
// error is ErrNoConnector where nothing is sent anyway, as that of all commands.
func (s *Store) PauseChannel(ctx context.Context, code pim.ChannelCode) error {
	return s.namedChannel(ctx, "pause", sqlPauseChannel, code)
}

// ResumeChannel sends again, at once: breaker, throttle and what else it rested
// for are reset.
func (s *Store) ResumeChannel(ctx context.Context, code pim.ChannelCode) error {
	if err := s.connected(ctx, code); err != nil {
		return err
	}
	if err := s.changeChannel(ctx, sqlUnholdLanes, sqlResumeChannel, pgx.NamedArgs{"code": code}, ErrNotFound); err != nil {
		return fmt.Errorf("resume channel %s: %w", code, err)
	}
	return nil
}

// DeleteChannel forgets a channel and its listings; the target keeps what it has.
func (s *Store) DeleteChannel(ctx context.Context, code pim.ChannelCode, ifMatch int64) error {
	args := pgx.NamedArgs{"code": code, "if_match": ifMatch}
	err := s.changeChannel(ctx, "", sqlDeleteChannel, args, unmatched(ifMatch), func(tx pgx.Tx, next *pim.Schema) error {
		before := next.Copy()
		next.Channels = takenFrom(next.Channels, code)
		return s.followConditions(ctx, tx, before, next)
	})
	if err != nil {
		return fmt.Errorf("delete channel %s: %w", code, err)
	}
	return nil
}

// ResyncChannel renders all listings of a channel anew and sends what differs
// from what was acknowledged; with full it sends everything, and reads
// everything, for a target that lost or changed its data, or is another one.
//
// What was acknowledged is forgotten as the listings are marked, in bounded
// steps, for fan-out waits for whoever locks listings. Until the last step the
// channel sends nothing, and who worked for it is shut out: what they had under
// way would bring it back.
func (s *Store) ResyncChannel(ctx context.Context, code pim.ChannelCode, full bool) error {
	if !full {
		return s.namedChannel(ctx, "resync", sqlResyncChannel, code)
	}
	if err := s.connected(ctx, code); err != nil {
		return err
	}
	args := pgx.NamedArgs{"code": code}
	err := s.changeChannel(ctx, sqlFenceChannel, sqlAnewChannel, args, ErrNotFound, func(tx pgx.Tx, _ *pim.Schema) error {
		if _, err := tx.Exec(ctx, sqlForgetPulled, args); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, sqlForgetUploaded, args)
		return err
	})
	if err != nil {
		return fmt.Errorf("resync channel %s: %w", code, err)
	}
	return nil
}

const sqlFenceChannel = `
with held as (
    select k.kind, k.lane from consumer k join channel c on c.id = k.channel_id and c.code = @code and c.deleted_at is null
    where k.kind in ('drain', 'pull', 'reconcile') order by k.kind, k.lane for update of k
)
update consumer k set epoch = epoch + 1, gen = gen + 1, released = true, unsure_at = now(), holder = '', wait_until = null, wait_for = null, polls_until = null
from held where k.kind = held.kind and k.lane = held.lane and k.channel_id = (select id from channel where code = @code and deleted_at is null)`

func (s *Store) namedChannel(ctx context.Context, what, sql string, code pim.ChannelCode) error {
	if err := s.connected(ctx, code); err != nil {
		return err
	}
	if err := s.changeChannel(ctx, "", sql, pgx.NamedArgs{"code": code}, ErrNotFound); err != nil {
		return fmt.Errorf("%s channel %s: %w", what, code, err)
	}
	return nil
}

// changeChannel does first, where it is not empty, then sql, whose error is none
// when it finds no channel, and then the rest, which may change the next schema.
// Consumers are locked before the channel: everybody's order.
func (s *Store) changeChannel(ctx context.Context, first, sql string, args pgx.NamedArgs, none error, then ...func(pgx.Tx, *pim.Schema) error) error {
	var next *pim.Schema
	err := s.untangledTx(ctx, func(tx pgx.Tx) error {
		schema, err := s.lockSchema(ctx, tx)
		if err != nil {
			return err
		}
		next = schema.Copy()
		if first != "" {
			if _, err := tx.Exec(ctx, first, args); err != nil {
				return err
			}
		}
		tag, err := tx.Exec(ctx, sql, args)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return none
		}
		for _, do := range then {
			if err := do(tx, next); err != nil {
				return err
			}
		}
		return bumpSchema(ctx, tx, next)
	})
	if err != nil {
		return err
	}
	s.keepSchema(next)
	s.nudged()
	return nil
}

const sqlFailed = `
update channel set fails = case when @auth then greatest(fails + 1, 3) else fails + 1 end, last_error = @error,
    hold = case when @auth then 'auth' else 'down' end, allowed = greatest(1, allowed / 2),
    next_probe_at = now() + @wait::interval
where id = @id and version = @version returning fails`

// ChannelFailed counts a failure of the whole target, by the settings of that version
// of the channel; nothing is sent for wait. With auth, the target refused our
// credentials: that opens the breaker at once. Where the settings were changed
// meanwhile, it says nothing of the target that they name, and counts for none: 0.
func (s *Store) ChannelFailed(ctx context.Context, id pim.ChannelID, version int64, cause string, auth bool, wait time.Duration) (fails int, err error) {
	err = s.work.QueryRow(ctx, sqlFailed, pgx.NamedArgs{"id": id, "version": version, "error": storable(cause), "auth": auth, "wait": wait}).Scan(&fails)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("note a failure of channel %d: %w", id, err)
	}
	return fails, nil
}

const sqlNote = `update channel set last_error = @error where id = @id and last_error is distinct from @error`

// ChannelNote says in a channel what is wrong with it, and changes nothing else.
func (s *Store) ChannelNote(ctx context.Context, id pim.ChannelID, text string) error {
	if _, err := s.work.Exec(ctx, sqlNote, pgx.NamedArgs{"id": id, "error": storable(text)}); err != nil {
		return fmt.Errorf("note an error of channel %d: %w", id, err)
	}
	return nil
}

const sqlThrottled = `
with slower as (` + sqlSlower + `)
update channel set throttled_until = greatest(throttled_until, now() + @wait::interval), last_error = @error, hold = 'throttled',
    allowed = greatest(1, allowed / 2)
where id = @id and version = @version`

// ChannelThrottled keeps the channel from sending for wait, because the target
// said that it was too much: concurrency and rate are halved. Where the settings
// are not of that version any more, only the rate is.
func (s *Store) ChannelThrottled(ctx context.Context, id pim.ChannelID, version int64, cause string, wait time.Duration) error {
	if _, err := s.work.Exec(ctx, sqlThrottled, pgx.NamedArgs{"id": id, "version": version, "error": storable(cause), "wait": wait}); err != nil {
		return fmt.Errorf("note a throttle of channel %d: %w", id, err)
	}
	return nil
}

const sqlWell = `
with faster as (` + sqlFaster + `)
update channel set fails = 0, next_probe_at = null, last_error = null,
    hold = case when throttled_until > now() then hold end,
    throttled_until = case when throttled_until > now() then throttled_until end,
    allowed = case when fails > 0 then 1 else least(concurrency, allowed + 1) end
where id = @id`

// ChannelWell notes a success: the breaker closes, and concurrency grows by
// one, from one after a failure; the rate grows by a tenth of the full one.
func (s *Store) ChannelWell(ctx context.Context, id pim.ChannelID) error {
	if _, err := s.work.Exec(ctx, sqlWell, pgx.NamedArgs{"id": id}); err != nil {
		return fmt.Errorf("note the success of channel %d: %w", id, err)
	}
	return nil
}

const sqlProbe = `
update channel set next_probe_at = now() + @wait::interval
where id = @id and fails >= 3 and coalesce(next_probe_at, '-infinity') <= now()`

// TakeProbe reserves the one probe of a broken channel for the caller, whose
// call takes up to wait; false: another lane probes.
func (s *Store) TakeProbe(ctx context.Context, id pim.ChannelID, wait time.Duration) (bool, error) {
	tag, err := s.work.Exec(ctx, sqlProbe, pgx.NamedArgs{"id": id, "wait": wait})
	if err != nil {
		return false, fmt.Errorf("reserve the probe of channel %d: %w", id, err)
	}
	return tag.RowsAffected() == 1, nil
}
