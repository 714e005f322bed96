package postgres

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// Provider is a translation or text service with its settings. The state of
// its breaker and its counters are in its row, so that all processes agree.
type Provider struct {
	Code         string
	Kind         string // of translation.Registry; it stays
	Version      int64  // rises with each change of the settings
	Config       json.RawMessage
	Secrets      []byte // sealed JSON; nil: none
	Limits       ProviderLimits
	Enabled      bool
	AllowPrivate bool  // its service may be on loopback and private addresses
	Test         bool  // its results go to no channel that is not a test
	Priority     int   // the lowest is asked first
	Quota        int64 // characters in a calendar month (UTC); 0 is no bound
	// Budget is what it may cost in a calendar month (UTC) in BudgetCurrency, by the
	// prices in its settings, as decimal text; "0" is no bound.
	Budget         string
	BudgetCurrency pim.Currency
	CreatedAt      time.Time
	UpdatedAt      time.Time

	// Counted; not set by callers.
	Used       int64  // characters in this month
	Spent      string // in this month, in BudgetCurrency; decimal text
	Calls      int64  // since ever, as what follows
	Segments   int64
	Refused    int64 // segments whose translation was broken
	Characters int64
	Tokens     int64
	Costs      map[pim.Currency]string // amounts as decimal text

	// State; not set by callers.
	WaitUntil *time.Time    // nothing is asked before
	Wait      time.Duration // until WaitUntil, by the database's clock; 0: it may be asked
	Fails     int           // consecutive
	Error     string        // of the last failure; "": the last call succeeded
}

// ProviderLimits are what a provider's settings lower of its kind's limits; 0 is
// the kind's.
type ProviderLimits struct {
	Texts          int     `json:"texts,omitempty" minimum:"0" doc:"Texts in one call; 0 or left out: the kind's, as for all limits"`
	Characters     int     `json:"characters,omitempty" minimum:"0" doc:"Code points in one call"`
	Bytes          int     `json:"bytes,omitempty" minimum:"0" doc:"Bytes in one call"`
	Concurrency    int     `json:"concurrency,omitempty" minimum:"0" doc:"Calls in flight"`
	PerMinute      int     `json:"per_minute,omitempty" minimum:"0" doc:"Calls begun in a minute"`
	TimeoutSeconds float64 `json:"timeout_seconds,omitempty" minimum:"0"`
}

const providerColumns = `
code, kind, version, config, secrets, limits, enabled, allow_private, test, priority, quota, created_at, updated_at,
case when month = ` + thisMonth + ` then used else 0 end, budget::text, budget_currency, ` + spentNow + `, calls, segments, refused, characters, tokens, costs,
wait_until, greatest(0, extract(epoch from coalesce(wait_until, now()) - now()) * 1000)::float8, fails, coalesce(error, '')`

func scanProvider(r pgx.CollectableRow) (*Provider, error) {
	var (
		p    Provider
		wait float64
	)
	err := r.Scan(&p.Code, &p.Kind, &p.Version, &p.Config, &p.Secrets, &p.Limits, &p.Enabled, &p.AllowPrivate, &p.Test, &p.Priority, &p.Quota, &p.CreatedAt, &p.UpdatedAt,
		&p.Used, &p.Budget, &p.BudgetCurrency, &p.Spent, &p.Calls, &p.Segments, &p.Refused, &p.Characters, &p.Tokens, &p.Costs, &p.WaitUntil, &wait, &p.Fails, &p.Error)
	p.Wait = time.Duration(wait * float64(time.Millisecond))
	return &p, err
}

const (
	sqlProviders = `select ` + providerColumns + ` from provider order by priority, code`
	sqlProvider  = `select ` + providerColumns + ` from provider where code = @code`
)

// Providers lists all providers, in the order in which they are asked.
func (s *Store) Providers(ctx context.Context) ([]*Provider, error) {
	rows, err := s.work.Query(ctx, sqlProviders)
	if err != nil {
		return nil, fmt.Errorf("list providers: %w", err)
	}
	return pgx.CollectRows(rows, scanProvider)
}

// Provider reads one provider; ErrNotFound.
func (s *Store) Provider(ctx context.Context, code string) (*Provider, error) {
	p, err := one(ctx, s.pool, sqlProvider, pgx.NamedArgs{"code": storable(code)}, scanProvider)
	if err != nil {
		return nil, fmt.Errorf("provider %s: %w", code, err)
	}
	return p, nil
}

const providerDiffers = `((config, secrets, limits, enabled, allow_private, priority, quota, budget, budget_currency)
        is distinct from (@config::jsonb, @secrets::bytea, @limits::jsonb, @enabled, @allow_private, @priority, @quota, @budget::text::numeric, @budget_currency))`

const (
	sqlCreateProvider = `
insert into provider (code, kind, config, secrets, limits, enabled, allow_private, test, priority, quota, budget, budget_currency)
values (@code, @kind, @config, @secrets, @limits, @enabled, @allow_private, @test, @priority, @quota, @budget::text::numeric, @budget_currency) on conflict do nothing`

	// Another setting, or the same again, is another chance: what waited for the service waits no longer.
	sqlUpdateProvider = `
update provider set version = version + ` + providerDiffers + `::int, updated_at = case when ` + providerDiffers + ` then now() else updated_at end, config = @config, secrets = @secrets, limits = @limits, enabled = @enabled,
    allow_private = @allow_private, priority = @priority, quota = @quota,
    budget = @budget::text::numeric, budget_currency = @budget_currency, wait_until = null, fails = 0, error = null
where code = @code and version = @version`
	sqlDeleteProvider = `delete from provider where code = @code and (@if_match = 0 or version = @if_match)`
	sqlRuleNames      = `select exists (select from text_rule where definition->'providers' ? @code)`

	sqlWakeLots     = `update lot set wait_until = null, fails = 0 where kind in ('translate', 'generate') and wait_until is not null`
	sqlTestTexts    = `update catalogue set test_texts = true, version = version + 1 where not test_texts`
	sqlHasTests     = `select test_texts from catalogue`
	sqlRestProvider = `update provider set wait_until = null, fails = 0, error = null where code = @code`
)

func (p *Provider) args() pgx.NamedArgs {
	if p.Config == nil {
		p.Config = json.RawMessage(`{}`)
	}
	return pgx.NamedArgs{
		"code": p.Code, "kind": p.Kind, "version": p.Version, "config": p.Config, "secrets": p.Secrets, "limits": mustJSON(p.Limits), "enabled": p.Enabled,
		"allow_private": p.AllowPrivate, "test": p.Test, "priority": p.Priority, "quota": p.Quota,
		"budget": cmp.Or(p.Budget, "0"), "budget_currency": p.BudgetCurrency,
	}
}

// CreateProvider stores a provider that the caller has checked; ErrExists. What
// waited for any provider is tried again.
func (s *Store) CreateProvider(ctx context.Context, p Provider) (*Provider, error) {
	err := inTx(ctx, s.pool, func(tx pgx.Tx) error {
		if p.Test { // before its first result
			if _, err := tx.Exec(ctx, sqlTestTexts); err != nil {
				return err
			}
		}
		tag, err := tx.Exec(ctx, sqlCreateProvider, p.args())
		if err == nil && tag.RowsAffected() == 0 {
			err = ErrExists
		}
		if err != nil {
			return err
		}
		return reconsider(ctx, tx, p)
	})
	if err != nil {
		return nil, fmt.Errorf("create provider %s: %w", p.Code, err)
	}
	return s.Provider(ctx, p.Code)
}

// UpdateProvider replaces the settings of the provider that was read at
// p.Version; ErrStale when it is another one now. Its breaker is closed.
func (s *Store) UpdateProvider(ctx context.Context, p Provider) (*Provider, error) {
	err := inTx(ctx, s.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, sqlUpdateProvider, p.args())
		if err == nil && tag.RowsAffected() == 0 {
			err = ErrStale
		}
		if err != nil {
			return err
		}
		return reconsider(ctx, tx, p)
	})
	if err != nil {
		return nil, fmt.Errorf("update provider %s: %w", p.Code, err)
	}
	return s.Provider(ctx, p.Code)
}

// reconsider has tried again what waits, now that a provider is another one. What
// those for tests made a real one may make anew.
func reconsider(ctx context.Context, tx pgx.Tx, p Provider) error {
	if _, err := tx.Exec(ctx, sqlWakeLots); err != nil || p.Test || !p.Enabled {
		return err
	}
	_, err := tx.Exec(ctx, sqlBackfillTests)
	return err
}

// DeleteProvider forgets a provider; ErrInUse while a rule names it. What it
// translated stays.
func (s *Store) DeleteProvider(ctx context.Context, code string, ifMatch int64) error {
	err := inTx(ctx, s.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, sqlDeleteProvider, pgx.NamedArgs{"code": code, "if_match": ifMatch})
		if err == nil && tag.RowsAffected() == 0 {
			err = unmatched(ifMatch)
		}
		if err != nil {
			return err
		}
		var used bool
		if err := tx.QueryRow(ctx, sqlRuleNames, pgx.NamedArgs{"code": code}).Scan(&used); err != nil {
			return err
		}
		if used {
			return ErrInUse
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("delete provider %s: %w", code, err)
	}
	return nil
}

// ResumeProvider closes a provider's breaker, and has what waits tried again.
func (s *Store) ResumeProvider(ctx context.Context, code string) error {
	err := inTx(ctx, s.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, sqlRestProvider, pgx.NamedArgs{"code": code})
		if err == nil && tag.RowsAffected() == 0 {
			err = ErrNotFound
		}
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, sqlWakeLots)
		return err
	})
	if err != nil {
		return fmt.Errorf("resume provider %s: %w", code, err)
	}
	return nil
}

const sqlProviderFailed = `
update provider set fails = fails + 1, error = @error,
    wait_until = case when @now or fails + 1 >= @most then now() + @after::interval else wait_until end
where code = @code`

// ProviderFailed notes that a provider was not there, and lets it rest that long
// after most failures in a row, or now.
func (s *Store) ProviderFailed(ctx context.Context, code, cause string, after time.Duration, now bool, most int) error {
	args := pgx.NamedArgs{"code": code, "error": storable(cause), "after": after, "now": now, "most": most}
	if _, err := s.work.Exec(ctx, sqlProviderFailed, args); err != nil {
		return fmt.Errorf("note a failure of provider %s: %w", code, err)
	}
	return nil
}

// HasTestProviders reports whether there ever was a provider for tests here: if
// not, no text in the store is of one.
func (s *Store) HasTestProviders(ctx context.Context) (has bool, err error) {
	if err := s.work.QueryRow(ctx, sqlHasTests).Scan(&has); err != nil {
		return false, fmt.Errorf("ask for providers for tests: %w", err)
	}
	return has, nil
}
