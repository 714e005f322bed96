package postgres

import (
	"context"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

const (
	sqlPutFallbacks = `
update locale l set fallback = nullif(i.fallback, ''), rev = l.rev + 1 from unnest(@codes::text[], @fallbacks::text[]) i (code, fallback)
where l.code = i.code returning l.code, l.rev`

	// sqlMarkLocales has the channels look at their listings again that show a
	// locale: their own, or one that their mapping may name. What comes out the
	// same is not sent. One without a connector (pim.NoConnector) has none.
	sqlMarkLocales = `
update channel set mark_after = 0
where deleted_at is null and connector <> 'none' and (locale = any(@locales::text[]) or mapping::text ~ '(text|value) *\(')`
)

// withFallbacks are a schema's fallbacks after a change; "" takes one away.
func withFallbacks(have, change map[pim.Locale]pim.Locale) map[pim.Locale]pim.Locale {
	if len(change) == 0 {
		return have
	}
	next := make(map[pim.Locale]pim.Locale, len(have)+len(change))
	maps.Copy(next, have)
	for l, to := range change {
		if next[l] = to; to == "" {
			delete(next, l)
		}
	}
	return next
}

// putFallbacks stores fallbacks that were checked, which next has, and has the
// channels look at their listings again that show something else by them.
func putFallbacks(ctx context.Context, tx pgx.Tx, current, next *pim.Schema, change map[pim.Locale]pim.Locale) error {
	var codes, fallbacks, touched []string
	for _, l := range slices.Sorted(maps.Keys(change)) {
		if current.Fallbacks[l] == change[l] {
			continue
		}
		codes, fallbacks = append(codes, string(l)), append(fallbacks, string(change[l]))
		for _, from := range slices.Concat(current.FallingBackTo(l), next.FallingBackTo(l)) {
			touched = append(touched, string(from))
		}
	}
	if len(codes) == 0 {
		return nil
	}
	b := &pgx.Batch{}
	b.Queue(sqlPutFallbacks, pgx.NamedArgs{"codes": codes, "fallbacks": fallbacks}).Query(localeRevisions(next.Revisions))
	b.Queue(sqlMarkLocales, pgx.NamedArgs{"locales": touched})
	return tx.SendBatch(ctx, b).Close()
}
