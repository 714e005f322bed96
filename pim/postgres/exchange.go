package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// Exchange is a request that a channel's target was made, and its answer. A
// list leaves Header, Request and Answer out.
type Exchange struct {
	ID       int64               `json:"id"`
	At       time.Time           `json:"at" doc:"When the request began"`
	TookMS   float64             `json:"took_ms"`
	Attempt  int64               `json:"attempt" doc:"The connector's call that it belonged to: the exchanges of one have the same"`
	Kind     string              `json:"kind" enum:"push,poll,probe,upload,pull,read,other" doc:"What the connector was called for; other: what is not of one call, such as opening a session"`
	Lane     string              `json:"lane,omitempty" doc:"absent: of none"`
	SKUs     []pim.SKU           `json:"skus" doc:"Which products it was about, at most 1000; where a connector does not tell, all of the call"`
	Method   string              `json:"method"`
	URL      string              `json:"url" doc:"Without query and user"`
	Status   int                 `json:"status" doc:"0: there was no answer"`
	Failed   bool                `json:"failed" doc:"It failed, or the target refused some of what it was about"`
	Error    string              `json:"error,omitempty" doc:"Why there was no whole answer"`
	Sent     int64               `json:"sent_bytes" doc:"Of the whole body"`
	Received int64               `json:"received_bytes" doc:"Of the whole body"`
	Header   map[string][]string `json:"header,omitempty" doc:"Of the answer: those that explain it"`
	Request  string              `json:"request,omitempty" doc:"The body, without secrets and cut; absent where it is no text"`
	Answer   string              `json:"answer,omitempty" doc:"The body, without secrets and cut"`

	// To be kept: which channel's, its lane, and how long ago it began.
	Channel pim.ChannelID `json:"-"`
	Of      pim.Lane      `json:"-"`
	Ago     time.Duration `json:"-"`
}

// MaxExchangeSKUs bounds Exchange.SKUs.
const MaxExchangeSKUs = 1000

// between stands between the SKUs of one exchange, where rows travel as arrays:
// no SKU has a control character.
const between = "\x1f"

const sqlKeepExchanges = `
insert into exchange (at, channel_id, attempt, took_us, sent, received, status, lane, failed, kind, method, url, error, header, request, answer, skus)
select now() - x.ago_us * interval '1 microsecond', x.channel_id, x.attempt, x.took_us, x.sent, x.received, x.status, x.lane, x.failed, x.kind, x.method, x.url,
       nullif(x.error, ''), x.header, nullif(x.request, ''), nullif(x.answer, ''), string_to_array(x.skus, chr(31))
from unnest(@ago::bigint[], @channel::bigint[], @attempt::bigint[], @took::bigint[], @sent::bigint[], @received::bigint[], @status::int[], @lane::smallint[],
            @failed::boolean[], @kind::text[], @method::text[], @url::text[], @error::text[], @header::jsonb[], @request::text[], @answer::text[], @skus::text[])
  as x (ago_us, channel_id, attempt, took_us, sent, received, status, lane, failed, kind, method, url, error, header, request, answer, skus)`

// KeepExchanges writes exchanges down, at most some thousands; not durably.
func (s *Store) KeepExchanges(ctx context.Context, list []Exchange) error {
	n := len(list)
	ago, channel, attempt, took := make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n)
	sent, received, status, lane, failed := make([]int64, n), make([]int64, n), make([]int32, n), make([]int16, n), make([]bool, n)
	kind, method, url, failure, header := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([][]byte, n)
	request, answer, skus := make([]string, n), make([]string, n), make([]string, n)
	for i, x := range list {
		ago[i], channel[i], attempt[i], took[i] = x.Ago.Microseconds(), int64(x.Channel), x.Attempt, int64(x.TookMS*1000)
		sent[i], received[i], status[i], lane[i], failed[i] = x.Sent, x.Received, int32(x.Status), int16(x.Of), x.Failed
		kind[i], method[i], url[i], failure[i] = x.Kind, storable(x.Method), storable(x.URL), storable(x.Error)
		request[i], answer[i] = storable(x.Request), storable(x.Answer)
		if len(x.Header) > 0 {
			h := make(map[string][]string, len(x.Header))
			for name, values := range x.Header {
				values = slices.Clone(values)
				for k := range values {
					values[k] = storable(values[k])
				}
				h[storable(name)] = values
			}
			header[i] = mustJSON(h)
		}
		names := make([]string, min(len(x.SKUs), MaxExchangeSKUs))
		for k := range names {
			names[k] = string(x.SKUs[k])
		}
		skus[i] = strings.Join(names, between)
	}
	_, err := s.work.Exec(ctx, sqlKeepExchanges, pgx.NamedArgs{
		"ago": ago, "channel": channel, "attempt": attempt, "took": took, "sent": sent, "received": received, "status": status, "lane": lane,
		"failed": failed, "kind": kind, "method": method, "url": url, "error": failure, "header": header, "request": request, "answer": answer, "skus": skus,
	})
	if err != nil {
		return fmt.Errorf("keep %d exchanges: %w", n, err)
	}
	return nil
}

// ExchangeFilter narrows Exchanges; zero fields do not.
type ExchangeFilter struct {
	SKU     pim.SKU
	Lane    pim.Lane
	Kind    string
	Attempt int64
	Status  string // a class, "2xx" to "5xx", or "none" for those without an answer
	Failed  bool   // only those that failed
	Since   *time.Time
	Until   *time.Time // not included
}

const (
	exchangeColumns = `x.id, x.at, x.took_us, x.attempt, x.kind, x.lane, x.skus, x.method, x.url, x.status, x.failed, coalesce(x.error, ''), x.sent, x.received`
	exchangeWhere   = `
  and (@cursor::bigint = 0 or x.id < @cursor) and (@lane::smallint = 0 or x.lane = @lane) and (@kind = '' or x.kind = @kind)
  and (@attempt::bigint = 0 or x.attempt = @attempt)
  and (@status::int < 0 or x.status / 100 = @status) and (not @failed or x.failed)
  and (@since::timestamptz is null or x.at >= @since) and (@until::timestamptz is null or x.at < @until)`
	sqlExchanges = `
select ` + exchangeColumns + `, null, '', '' from exchange x
where x.channel_id = @channel` + exchangeWhere + `
order by x.id desc limit @limit`
	// Of one product, by the index of its own: a rare one would else be looked
	// for through all that there is.
	sqlExchangesOf = `
with x as materialized (
    select * from exchange x where x.skus @> array[@sku::text] and x.channel_id = @channel` + exchangeWhere + `
)
select ` + exchangeColumns + `, null, '', '' from x order by x.id desc limit @limit`
	sqlExchange = `
select ` + exchangeColumns + `, x.header, coalesce(x.request, ''), coalesce(x.answer, '') from exchange x
where x.channel_id = @channel and x.id = @id`
)

// Exchanges reads one page of a channel's exchanges, those kept last first, and
// the cursor of the next.
func (s *Store) Exchanges(ctx context.Context, channel pim.ChannelID, f ExchangeFilter, page Page) (list []Exchange, next string, err error) {
	at, err := cursor(page.After)
	if err != nil {
		return nil, "", err
	}
	list, err = exchanges(ctx, s.pool, channel, f, at, page.limit()+1)
	if err != nil {
		return nil, "", err
	}
	if len(list) > page.limit() {
		list = list[:page.limit()]
		next = strconv.FormatInt(list[len(list)-1].ID, 10)
	}
	return list, next, nil
}

func exchanges(ctx context.Context, q querier, channel pim.ChannelID, f ExchangeFilter, before int64, limit int) ([]Exchange, error) {
	args := pgx.NamedArgs{
		"channel": channel, "cursor": before, "sku": string(f.SKU), "lane": int16(f.Lane), "kind": f.Kind, "attempt": f.Attempt,
		"status": -1, "failed": f.Failed, "since": f.Since, "until": f.Until, "limit": limit,
	}
	switch {
	case f.Status == "none":
		args["status"] = 0
	case f.Status != "":
		args["status"] = int(f.Status[0] - '0')
	}
	sql := sqlExchanges
	if f.SKU != "" {
		sql = sqlExchangesOf
	}
	rows, err := q.Query(ctx, sql, args)
	if err != nil {
		return nil, fmt.Errorf("list exchanges: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanExchange)
	if err != nil {
		return nil, fmt.Errorf("list exchanges: %w", err)
	}
	return list, nil
}

// Exchange reads one exchange whole; ErrNotFound.
func (s *Store) Exchange(ctx context.Context, channel pim.ChannelID, id int64) (Exchange, error) {
	rows, err := s.pool.Query(ctx, sqlExchange, pgx.NamedArgs{"channel": channel, "id": id})
	var x Exchange
	if err == nil {
		x, err = pgx.CollectExactlyOneRow(rows, scanExchange)
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return x, fmt.Errorf("exchange %d: %w", id, ErrNotFound)
	}
	if err != nil {
		return x, fmt.Errorf("read exchange %d: %w", id, err)
	}
	return x, nil
}

func scanExchange(r pgx.CollectableRow) (x Exchange, err error) {
	var (
		took   int64
		header []byte
	)
	err = r.Scan(&x.ID, &x.At, &took, &x.Attempt, &x.Kind, &x.Of, &x.SKUs, &x.Method, &x.URL, &x.Status, &x.Failed, &x.Error, &x.Sent, &x.Received,
		&header, &x.Request, &x.Answer)
	if x.TookMS = float64(took) / 1000; x.Of != 0 {
		x.Lane = x.Of.String()
	}
	if err == nil && header != nil {
		err = json.Unmarshal(header, &x.Header)
	}
	return x, err
}

const (
	exchangeDays = `coalesce((c.policy -> 'exchanges' ->> 'days')::int, @days)`
	exchangeMost = `coalesce((select max(` + exchangeDays + `) from channel c where c.deleted_at is null), @days)`
	// sqlShortExchanges finds the channels that keep theirs for less than the
	// others, or are gone, with where what they keep begins: the others' go with
	// their partitions, and so have those of who is gone for longer.
	sqlShortExchanges = `
select c.id, case when c.deleted_at is null then now() - ` + exchangeDays + ` * interval '1 day' else now() + interval '1 day' end
from channel c, (select ` + exchangeMost + ` as days) most
where c.deleted_at > now() - (most.days + 2) * interval '1 day' or c.deleted_at is null and ` + exchangeDays + ` < most.days
order by c.id`
	// sqlOldExchanges looks at the first of a channel's that are left, in the
	// order in which they were written, which is about that of their age.
	sqlOldExchanges = `
select coalesce(max(id), 0), count(*) filter (where at < @before)
from (select id, at from exchange where channel_id = @channel and id > @after order by id limit @limit) x`
	sqlDropExchanges = `
delete from exchange where channel_id = @channel and id > @after and id <= @upto and at < @before`
	sqlExchangePartitions = `select exchange_partitions(2, ` + exchangeMost + ` * interval '1 day')`
)

// dropExchanges is how many exchanges one statement drops.
const dropExchanges = 2000

// tidyExchanges makes the partitions of the next days, and drops what has been
// kept for long enough. It reads little more than it drops.
func (s *Store) tidyExchanges(ctx context.Context) error {
	args := pgx.NamedArgs{"days": pim.ExchangeDays}
	if err := s.partitions(ctx, sqlExchangePartitions, args); err != nil {
		return fmt.Errorf("make partitions of exchanges: %w", err)
	}
	rows, err := s.work.Query(ctx, sqlShortExchanges, args)
	if err != nil {
		return fmt.Errorf("find old exchanges: %w", err)
	}
	type short struct {
		Channel pim.ChannelID
		Before  time.Time
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[short])
	if err != nil {
		return fmt.Errorf("find old exchanges: %w", err)
	}
	for _, c := range list {
		if err := s.dropOldExchanges(ctx, c.Channel, c.Before); err != nil {
			return fmt.Errorf("drop old exchanges of channel %d: %w", c.Channel, err)
		}
	}
	return nil
}

// dropOldExchanges drops those of a channel that began before, in pieces, until
// one has others in it.
func (s *Store) dropOldExchanges(ctx context.Context, channel pim.ChannelID, before time.Time) error {
	for after := int64(0); ; {
		var upto, old int64
		args := pgx.NamedArgs{"channel": channel, "before": before, "after": after, "limit": dropExchanges}
		if err := s.work.QueryRow(ctx, sqlOldExchanges, args).Scan(&upto, &old); err != nil || old == 0 {
			return err
		}
		args = pgx.NamedArgs{"channel": channel, "before": before, "after": after, "upto": upto}
		if _, err := s.work.Exec(ctx, sqlDropExchanges, args); err != nil || old < dropExchanges {
			return err
		}
		after = upto
	}
}
