package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// selfAndAbove are product p and the models above it.
const selfAndAbove = `(p.id, p.parent_id, (select m.parent_id from product m where m.id = p.parent_id))`

// windowClosed: window w is not open now.
const windowClosed = `(now() < w.publish_from or w.publish_to <= now())`

// notPublished: product p, or a model above it, is not published now on a channel,
// whose id follows.
const notPublished = `exists (select from publication w where w.product_id in ` + selfAndAbove + ` and ` + windowClosed + ` and w.channel_id = `

// sqlFirstWindows and sqlLockWindows come before sqlPublications, in its transaction,
// for the same reason as sqlLockOffers before sqlPrices: a product's first window on a
// channel begins as a row without bounds, so that there is one to lock.
const (
	sqlFirstWindows = `
insert into publication (product_id, channel_id) select product_id, channel_id from ` + namedWindows + `
where isfinite(i.publish_from::timestamptz) or isfinite(i.publish_to::timestamptz) order by 1, 2 on conflict do nothing`
	sqlLockWindows = `
select from publication where (product_id, channel_id) in (select product_id, channel_id from ` + namedWindows + `) order by product_id, channel_id for no key update`

	namedWindows = `(
    select p.id as product_id, c.id as channel_id, i.publish_from, i.publish_to
    from unnest(@sku::text[], @channel::text[], @from::text[], @to::text[]) as i (sku, channel, publish_from, publish_to)
    join product p on p.sku = i.sku and p.deleted_at is null join channel c on c.code = i.channel and c.deleted_at is null
) i`
)

// sqlPublications is sqlPrices for windows of publication. What is taken back keeps
// its row, without bounds, for fan-out to find the channel.
const sqlPublications = `
with input as (
    select i.at, i.publish_from::timestamptz, i.publish_to::timestamptz, i.channel, c.id as channel_id, p.id as product_id, p.rev
    from unnest(@at::int[], @sku::text[], @channel::text[], @from::text[], @to::text[]) as i (at, sku, channel, publish_from, publish_to)
    join product p on p.sku = i.sku and p.deleted_at is null
    join channel c on c.code = i.channel and c.deleted_at is null
),
fresh as (
    select i.*, w.publish_from as old_from, w.publish_to as old_to
    from input i left join publication w using (product_id, channel_id)
    where (coalesce(w.publish_from, '-infinity'), coalesce(w.publish_to, 'infinity')) <> (i.publish_from, i.publish_to)
),
put as (
    insert into publication (product_id, channel_id, publish_from, publish_to)
    select product_id, channel_id, publish_from, publish_to from fresh order by 1, 2
    on conflict (product_id, channel_id) do update set publish_from = excluded.publish_from, publish_to = excluded.publish_to
),
told as materialized (
    select product_id, rev, jsonb_build_object('publication', jsonb_agg(jsonb_strip_nulls(jsonb_build_object('channel', channel,
        'old_from', nullif(old_from, '-infinity'), 'old_to', nullif(old_to, 'infinity'),
        'from', nullif(publish_from, '-infinity'), 'to', nullif(publish_to, 'infinity'))) order by at)) as data
    from fresh group by product_id, rev
),
logged as (
    insert into event (product_id, rev, lanes, type, actor, data)
    select product_id, rev, 64, 'publication.changed', @actor, data from told
),
come as (insert into association_change (product_id) select product_id from told where ` + associationsShown + ` order by 1),
queued as (insert into outbox (product_id, lanes, priority) select product_id, 64, @priority::smallint from told order by 1)
select i.at, i.rev, f.at is not null, i.product_id, false, '' from input i left join fresh f using (at)`

const sqlChannelCodes = `select code from channel where deleted_at is null and code = any(@codes::text[])`

// SetPublications sets up to 1,000 windows, as SetPrices does prices: from when
// and until when products are published on channels.
func (s *Store) SetPublications(ctx context.Context, actor string, rows []pim.PublicationRow, idem Idempotency) ([]RowResult, error) {
	b, err := s.publicationBatch(ctx, actor, rows)
	if err == nil {
		err = s.batch(ctx, b, idem)
	}
	if err != nil {
		return nil, fmt.Errorf("set %d windows of publication: %w", len(rows), err)
	}
	if len(s.Schema().Associations) > 0 {
		_, _, _ = s.openAssociations(ctx, associatesNow) // else the sweeper does it
	}
	return b.results, nil
}

func (s *Store) publicationBatch(ctx context.Context, actor string, rows []pim.PublicationRow) (*offerBatch, error) {
	codes := make([]string, len(rows))
	for i, r := range rows {
		codes[i] = storable(string(r.Channel))
	}
	found, err := s.pool.Query(ctx, sqlChannelCodes, pgx.NamedArgs{"codes": codes})
	if err != nil {
		return nil, err
	}
	there, err := pgx.CollectRows(found, pgx.RowTo[pim.ChannelCode])
	if err != nil {
		return nil, err
	}
	channels := make(map[pim.ChannelCode]bool, len(there))
	for _, code := range there {
		channels[code] = true
	}
	type key struct {
		sku     pim.SKU
		channel pim.ChannelCode
	}
	results, good, err := judge(ctx, s, rows,
		func(r pim.PublicationRow) key { return key{r.SKU, r.Channel} },
		func(r pim.PublicationRow) pim.SKU { return r.SKU },
		func(_ *pim.Schema, r pim.PublicationRow) []pim.Problem { return pim.CheckPublication(r, channels) })
	if err != nil {
		return nil, err
	}
	n := len(good)
	sku, channel, from, to := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	for i, at := range good {
		r := rows[at]
		sku[i], channel[i], from[i], to[i] = string(r.SKU), string(r.Channel), timeOr(r.From, "-infinity"), timeOr(r.To, "infinity")
	}
	return &offerBatch{sql: sqlPublications, locks: []string{sqlFirstWindows, sqlLockWindows}, args: named{
		"at": good, "sku": sku, "channel": channel, "from": from, "to": to, "actor": actor, "priority": int16(interactive),
	}, good: good, results: results}, nil
}

const sqlProductPublications = `
select p.id, c.code, nullif(w.publish_from, '-infinity'), nullif(w.publish_to, 'infinity')
from product p left join publication w on w.product_id = p.id and (isfinite(w.publish_from) or isfinite(w.publish_to))
left join channel c on c.id = w.channel_id and c.deleted_at is null
where p.sku = @sku and p.deleted_at is null order by c.code collate "C"`

// Publications are a product's own windows, by channel. ErrNotFound: there is no
// such product.
func (s *Store) Publications(ctx context.Context, sku pim.SKU) ([]pim.Publication, error) {
	rows, err := s.pool.Query(ctx, sqlProductPublications, pgx.NamedArgs{"sku": storable(string(sku))})
	if err != nil {
		return nil, fmt.Errorf("read the publication of %s: %w", sku, err)
	}
	out, found := []pim.Publication{}, false
	var (
		id       int64
		code     *pim.ChannelCode
		from, to *time.Time
	)
	_, err = pgx.ForEachRow(rows, []any{&id, &code, &from, &to}, func() error {
		found = true
		if code != nil {
			out = append(out, pim.Publication{Channel: *code, From: from, To: to})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the publication of %s: %w", sku, err)
	}
	if !found {
		return nil, fmt.Errorf("product %s: %w", sku, ErrNotFound)
	}
	return out, nil
}

const sqlClosedOn = `
with recursive line as (
    select id, parent_id from product where sku = @sku and deleted_at is null union all select p.id, p.parent_id from product p join line on p.id = line.parent_id
)
select distinct on (c.code) c.code, nullif(w.publish_from, '-infinity'), nullif(w.publish_to, 'infinity')
from line join publication w on w.product_id = line.id join channel c on c.id = w.channel_id and c.deleted_at is null
where ` + windowClosed + `
order by c.code, w.publish_from desc -- the one that opens last, where several are closed`

// ClosedOn are the windows by which a product is not published now, by channel:
// its own, or those of what it is a variant of.
func (s *Store) ClosedOn(ctx context.Context, sku pim.SKU) (map[pim.ChannelCode]pim.Publication, error) {
	rows, err := s.pool.Query(ctx, sqlClosedOn, pgx.NamedArgs{"sku": storable(string(sku))})
	out := map[pim.ChannelCode]pim.Publication{}
	if err == nil {
		var w pim.Publication
		_, err = pgx.ForEachRow(rows, []any{&w.Channel, &w.From, &w.To}, func() error {
			out[w.Channel] = pim.Publication{Channel: w.Channel, From: inUTC(w.From), To: inUTC(w.To)}
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("read where %s is not published: %w", sku, err)
	}
	return out, nil
}

// sqlPublicationWindows is sqlPriceWindows for publication.
const sqlPublicationWindows = `
with c as (select published_until from catalogue for update),
moved as (update catalogue set published_until = greatest(published_until, now())),
due as ( -- the bounds at infinity are the indexes' own
    select w.product_id from publication w, c where w.publish_from > '-infinity' and w.publish_from > c.published_until and w.publish_from <= now()
    union
    select w.product_id from publication w, c where w.publish_to < 'infinity' and w.publish_to > c.published_until and w.publish_to <= now()
),
come as (insert into association_change (product_id) select product_id from due where ` + associationsShown + ` order by 1),
queued as (insert into outbox (product_id, lanes) select product_id, 64 from due order by 1)
select count(*) from due`

// OpenPublications queues the products whose publication somewhere began or ended
// since it was last called, and says how many these are. Those that are associated
// with them OpenAssociationChanges queues.
func (s *Store) OpenPublications(ctx context.Context) (n int, err error) {
	if err := s.pool.QueryRow(ctx, sqlPublicationWindows).Scan(&n); err != nil {
		return 0, fmt.Errorf("look at windows of publication: %w", err)
	}
	if n > 0 {
		s.nudged()
	}
	return n, nil
}
