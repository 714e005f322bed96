package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// ProviderMonth is what a provider was used for in a calendar month (UTC).
type ProviderMonth struct {
	Month        time.Time // its first day
	Calls        int64     // that were answered
	Segments     int64
	Refused      int64 // segments whose translation was broken
	Characters   int64
	InputTokens  int64
	OutputTokens int64
	Costs        map[pim.Currency]string // amounts as decimal text
}

const (
	// thisMonth is the month that counts now.
	thisMonth = `date_trunc('month', now() at time zone 'utc')::date`

	// spentNow is what a provider cost in this month, in its budget's currency.
	spentNow = `coalesce((select m.costs->>budget_currency from provider_month m where m.provider = code and m.month = ` + thisMonth + `), '0')`

	sqlProviderMonths = `
select month::timestamp, calls, segments, refused, characters, input_tokens, output_tokens, costs from provider_month
where provider = @code order by month desc limit @limit`

	// sqlUsed also closes the breaker: the provider answered.
	sqlUsed = `
with p as (
    update provider set calls = calls + @calls, segments = segments + @segments, refused = refused + @refused, characters = characters + @characters,
        tokens = tokens + @tokens, fails = 0, error = null, wait_until = null,
        used = @characters + case when month = ` + thisMonth + ` then used else 0 end, month = ` + thisMonth + `,
        costs = case when @amount::text = '' then costs else ` + addedCosts + ` end
    where code = @code returning code
)
insert into provider_month as m (provider, month, calls, segments, refused, characters, input_tokens, output_tokens, costs)
select code, ` + thisMonth + `, @calls, @segments, @refused, @characters, @input, @output,
       case when @amount::text = '' then '{}' else jsonb_build_object(@currency::text, @amount::text) end from p
on conflict (provider, month) do update set calls = m.calls + excluded.calls, segments = m.segments + excluded.segments, refused = m.refused + excluded.refused,
    characters = m.characters + excluded.characters, input_tokens = m.input_tokens + excluded.input_tokens, output_tokens = m.output_tokens + excluded.output_tokens,
    costs = case when @amount::text = '' then m.costs else ` + addedMonthCosts + ` end`

	addedCosts      = `costs || jsonb_build_object(@currency::text, (coalesce((costs->>@currency::text)::numeric, 0) + (nullif(@amount::text, ''))::numeric)::text)`
	addedMonthCosts = `m.costs || jsonb_build_object(@currency::text, (coalesce((m.costs->>@currency::text)::numeric, 0) + (nullif(@amount::text, ''))::numeric)::text)`
)

// ProviderMonths reads what a provider was used for, the newest of up to limit
// months first; months without use are not among them.
func (s *Store) ProviderMonths(ctx context.Context, code string, limit int) ([]ProviderMonth, error) {
	rows, err := s.pool.Query(ctx, sqlProviderMonths, pgx.NamedArgs{"code": storable(code), "limit": limit})
	if err != nil {
		return nil, fmt.Errorf("read what provider %s was used for: %w", code, err)
	}
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (m ProviderMonth, err error) {
		return m, r.Scan(&m.Month, &m.Calls, &m.Segments, &m.Refused, &m.Characters, &m.InputTokens, &m.OutputTokens, &m.Costs)
	})
	if err != nil {
		return nil, fmt.Errorf("read what provider %s was used for: %w", code, err)
	}
	return list, nil
}

// ProviderUse is what a call to a provider used up.
type ProviderUse struct {
	Code         string
	Calls        int64
	Segments     int64
	Refused      int64
	Characters   int64
	Tokens       int64 // as the service sums them; it may count more than the next two
	InputTokens  int64
	OutputTokens int64
	Amount       string // decimal text; "": no price is known
	Currency     pim.Currency
}

func used(ctx context.Context, tx pgx.Tx, u ProviderUse) error {
	_, err := tx.Exec(ctx, sqlUsed, pgx.NamedArgs{
		"code": u.Code, "calls": u.Calls, "segments": u.Segments, "refused": u.Refused, "characters": u.Characters, "tokens": u.Tokens,
		"input": u.InputTokens, "output": u.OutputTokens, "amount": u.Amount, "currency": u.Currency,
	})
	return err
}
