package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// MappingVersion is a channel's mapping as it was from At on, until the next.
type MappingVersion struct {
	Version int64 // from 1 on, of the channel's mapping alone
	Mapping json.RawMessage
	At      time.Time
	Actor   string
	Note    string
}

// keptMappings is how many versions of a channel's mapping are kept.
const keptMappings = 200

const (
	// sqlKeepMapping keeps the channel's mapping as its newest version, unless it is that already.
	sqlKeepMapping = `
insert into channel_mapping (channel_id, version, mapping, actor, note)
select c.id, coalesce(m.version, 0) + 1, c.mapping, @actor, @note
from channel c left join lateral (
    select version, mapping from channel_mapping m where m.channel_id = c.id order by version desc limit 1
) m on true
where c.id = @channel and m.mapping is distinct from c.mapping`
	sqlForgetMappings = `
delete from channel_mapping where channel_id = @channel
  and version <= (select max(version) from channel_mapping where channel_id = @channel) - @kept::bigint`
)

// keepMapping keeps c's mapping, which its row has by now, as a version.
func keepMapping(ctx context.Context, tx pgx.Tx, c *Channel) error {
	args := pgx.NamedArgs{"channel": c.ID, "actor": storable(c.Actor), "note": storable(c.Note), "kept": keptMappings}
	for _, sql := range []string{sqlKeepMapping, sqlForgetMappings} {
		if _, err := tx.Exec(ctx, sql, args); err != nil {
			return err
		}
	}
	return nil
}

const sqlMappings = `
select version, mapping, at, actor, note from channel_mapping
where channel_id = @channel and (@before::bigint = 0 or version < @before) order by version desc limit @limit`

// Mappings reads one page of the versions of a channel's mapping, newest
// first, and the cursor of the next.
func (s *Store) Mappings(ctx context.Context, channel pim.ChannelID, page Page) (list []MappingVersion, next string, err error) {
	before, err := cursor(page.After)
	if err != nil {
		return nil, "", err
	}
	list, err = s.mappings(ctx, sqlMappings, pgx.NamedArgs{"channel": channel, "before": before, "limit": page.limit() + 1})
	if len(list) > page.limit() {
		list = list[:page.limit()]
		next = fmt.Sprint(list[len(list)-1].Version)
	}
	return list, next, err
}

func (s *Store) mappings(ctx context.Context, sql string, args pgx.NamedArgs) ([]MappingVersion, error) {
	rows, err := s.pool.Query(ctx, sql, args)
	if err != nil {
		return nil, fmt.Errorf("read the mappings of channel %v: %w", args["channel"], err)
	}
	list, err := pgx.CollectRows(rows, scanMapping)
	if err != nil {
		return nil, fmt.Errorf("read the mappings of channel %v: %w", args["channel"], err)
	}
	return list, nil
}

func scanMapping(r pgx.CollectableRow) (m MappingVersion, err error) {
	err = r.Scan(&m.Version, (*[]byte)(&m.Mapping), &m.At, &m.Actor, &m.Note)
	return m, err
}

const sqlMapping = `select version, mapping, at, actor, note from channel_mapping where channel_id = @channel and version = @version`

// Mapping reads one version of a channel's mapping; ErrNotFound.
func (s *Store) Mapping(ctx context.Context, channel pim.ChannelID, version int64) (*MappingVersion, error) {
	m, err := one(ctx, s.pool, sqlMapping, pgx.NamedArgs{"channel": channel, "version": version}, scanMapping)
	if err != nil {
		return nil, fmt.Errorf("read mapping %d of channel %d: %w", version, channel, err)
	}
	return &m, nil
}

const sqlMappingsAt = `
select version, mapping, at, actor, note from channel_mapping where channel_id = @channel and at <= @at order by version desc limit 2`

// MappingsAt reads the mapping that was in force at a time and the one before:
// what was acknowledged right after a change had been rendered before it.
func (s *Store) MappingsAt(ctx context.Context, channel pim.ChannelID, at time.Time) ([]MappingVersion, error) {
	return s.mappings(ctx, sqlMappingsAt, pgx.NamedArgs{"channel": channel, "at": at})
}
