package postgres

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// channelPlace is what a filter by completeness or listings needs to know of a channel.
type channelPlace struct {
	id     int64
	locale pim.Locale
}

const sqlChannelPlaces = `select code, id, locale from channel where deleted_at is null`

// channelPlaces reads all channels' places if a filter asks for completeness or
// listings, or its order does.
func channelPlaces(ctx context.Context, q querier, f *ProductFilter) (map[pim.ChannelCode]channelPlace, error) {
	if (f.Where == nil || !mentions(f.Where, "completeness") && !mentions(f.Where, "listing")) && f.weighs() == "" {
		return nil, nil
	}
	rows, err := q.Query(ctx, sqlChannelPlaces)
	if err != nil {
		return nil, fmt.Errorf("read the channels of a filter: %w", err)
	}
	out := map[pim.ChannelCode]channelPlace{}
	var (
		code pim.ChannelCode
		at   channelPlace
	)
	if _, err := pgx.ForEachRow(rows, []any{&code, &at.id, &at.locale}, func() error {
		out[code] = at
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read the channels of a filter: %w", err)
	}
	return out, nil
}

// byCompleteness begins a sort key of the share that is kept of a channel.
const byCompleteness = "completeness."

// weighs is the channel by whose completeness f sorts; "" by none.
func (f *ProductFilter) weighs() pim.ChannelCode {
	for _, k := range f.Sort {
		if channel, is := strings.CutPrefix(k.By, byCompleteness); is {
			return pim.ChannelCode(channel)
		}
	}
	return ""
}

// weigh joins the shares that f sorts by. Products that have none, as those that
// were just made, are left out.
func (f *ProductFilter) weigh(args pgx.NamedArgs) error {
	channel := f.weighs()
	if f.weighed = ""; channel == "" {
		return nil
	}
	at, known := f.channels[channel]
	if !known {
		return fault(0, "sort", "channel %s is not known", clipped(string(channel)))
	}
	f.weighed = " join completeness weighed on weighed.product_id = p.id and weighed.channel_id = @weighed::bigint"
	args["weighed"] = at.id
	return nil
}

// share is the column for scanWeighed.
func (f *ProductFilter) share() string {
	if f.weighed == "" {
		return ", 0::smallint"
	}
	return ", weighed.share"
}

// scanWeighed is scanProduct with the share behind it.
func scanWeighed(row pgx.CollectableRow) (*FullProduct, error) {
	var share int16
	p, err := scanProductAnd(row, &share)
	if err == nil {
		p.share = share
	}
	return p, err
}

func mentions(f *pim.Filter, field string) bool {
	return len(f.Path) > 0 && f.Path[0] == field || slices.ContainsFunc(f.Sub, func(s *pim.Filter) bool { return mentions(s, field) })
}

// shareNow works out a product's share on the channel and in the locale of c, as
// lacking does for many.
const shareNow = `(
    select case when count(*) = 0 then 100 else count(*) filter (where ` + filled + `) * 100 / count(*) end
    from family f cross join jsonb_array_elements(f.definition -> 'attributes') fa join attribute a on a.code = fa ->> 'code'
    cross join c cross join lateral (select ` + placeOfValue + ` as path) at
    cross join lateral (select coalesce(p.values #> at.path, parent.values #> at.path, root.values #> at.path) as v) v
    where f.code = p.family and ` + requires + ` and not exists (
        select from jsonb_array_elements(case jsonb_typeof(f.definition -> 'variants') when 'array' then f.definition -> 'variants' else '[]' end) fv
        cross join jsonb_array_elements(coalesce(fv -> 'levels', jsonb_build_array(fv))) with ordinality l (level, at)
        where fv ->> 'code' = p.family_variant and l.at > (p.parent_id is not null)::int and (l.level -> 'axes' ? a.code or coalesce(l.level -> 'attributes' ? a.code, false))))`

// completeness is completeness.CHANNEL[.LOCALE], in percent: in the channel's own
// locale what IndexCompleteness keeps, by its index; in another one it is worked
// out of each product that is looked at.
func (c *compiler) completeness(f *pim.Filter) error {
	if len(f.Path) < 2 || len(f.Path) > 3 {
		return fault(f.At, "filter.field", "completeness is asked for as completeness.CHANNEL, or completeness.CHANNEL.LOCALE")
	}
	channel := pim.ChannelCode(f.Path[1])
	at, known := c.channels[channel]
	if !known {
		return fault(f.At, "channel.unknown", "channel %s is not known", clipped(f.Path[1]))
	}
	locale := at.locale
	if len(f.Path) == 3 {
		if locale = pim.Locale(f.Path[2]); !c.schema.Locales[locale] {
			return fault(f.At, "locale.unknown", "locale %s is not known", clipped(f.Path[2]))
		}
	}
	compare, err := c.percent(f)
	if err != nil {
		return err
	}
	if locale == at.locale {
		c.write("exists (select from completeness k where k.product_id = p.id and k.channel_id = ", c.arg(at.id), "::bigint and k.share", compare, ")")
		return nil
	}
	c.write("(with c as (select ", c.arg(string(channel)), "::text as code, ", c.arg(string(locale)), "::text as locale) select ", shareNow, compare, ")")
	return nil
}

// percent is f's comparison with whole percents: a share is cut to them.
func (c *compiler) percent(f *pim.Filter) (string, error) {
	list := make([]int16, len(f.Args))
	op := ordered[f.Op]
	if op == "" && f.Op != pim.FilterEqual {
		return "", c.wrong(f, "it takes =, in, <, <=, >, >= with percents from 0 to 100")
	}
	for i, a := range f.Args {
		n, err := strconv.ParseFloat(a.Text, 64)
		if a.Kind != pim.FilterNumber || a.Unit != "" || err != nil {
			return "", fault(a.At, "filter.value", "a number of percents is expected, from 0 to 100")
		}
		n = min(max(n, -1), 101)
		switch whole := math.Trunc(n); {
		case n == whole:
		case f.Op == pim.FilterEqual:
			n = -1 // no share is
		case f.Op == pim.FilterLess || f.Op == pim.FilterAtLeast:
			n = math.Ceil(n)
		default:
			n = math.Floor(n)
		}
		list[i] = int16(n)
	}
	if op == "" {
		return " = any(" + c.arg(list) + "::smallint[])", nil
	}
	return op + c.arg(list[0]) + "::smallint", nil
}
