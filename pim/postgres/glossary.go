package postgres

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// GlossaryKind says what a glossary's entry asks for.
type GlossaryKind string

// The kinds of glossary entries.
const (
	GlossaryFixed     GlossaryKind = "fixed"     // Term is always translated by Translation
	GlossaryKeep      GlossaryKind = "keep"      // Term stays as it is
	GlossaryForbidden GlossaryKind = "forbidden" // Term, a word of the target language, must not occur in translations
)

// GlossaryEntry is a word with a translation of its own.
type GlossaryEntry struct {
	ID          int64
	Version     int64      // rises with every change of any entry
	From, To    pim.Locale // a locale, or a language for all of its locales; "": any
	Term        string
	Translation string
	Kind        GlossaryKind
	MatchCase   bool // Term counts only as it is written
	UpdatedAt   time.Time
}

const glossaryColumns = `id, version, from_locale, to_locale, term, translation, kind, match_case, updated_at`

func scanGlossary(r pgx.CollectableRow) (g GlossaryEntry, err error) {
	return g, r.Scan(&g.ID, &g.Version, &g.From, &g.To, &g.Term, &g.Translation, &g.Kind, &g.MatchCase, &g.UpdatedAt)
}

const (
	sqlGlossary = `
select ` + glossaryColumns + ` from glossary
where id > @after and (@from = '' or from_locale = @from) and (@to = '' or to_locale = @to) and (@kind = '' or kind = @kind)
  and (@query = '' or strpos(lower(term), lower(@query)) > 0 or strpos(lower(translation), lower(@query)) > 0)
order by id limit @limit`

	// sqlGlossaryOf reads what may count for a pair of locales: of their languages, too.
	sqlGlossaryOf = `
select ` + glossaryColumns + ` from glossary
where from_locale in ('', @from, split_part(@from, '-', 1)) and to_locale in ('', @to, split_part(@to, '-', 1))
order by length(term) desc, id limit @limit`
)

// MaxGlossary is how many entries count for a pair of locales.
const MaxGlossary = 20_000

// GlossaryFilter says which entries are meant; zero fields: any.
type GlossaryFilter struct {
	From, To pim.Locale // as the entry has them
	Kind     GlossaryKind
	Query    string // part of the term or of its translation, in any case
}

// Glossary lists entries by their ids.
func (s *Store) Glossary(ctx context.Context, f GlossaryFilter, page Page) (list []GlossaryEntry, next string, err error) {
	after, err := afterID(page.After)
	if err != nil {
		return nil, "", err
	}
	rows, err := s.pool.Query(ctx, sqlGlossary, pgx.NamedArgs{
		"from": storable(string(f.From)), "to": storable(string(f.To)), "kind": storable(string(f.Kind)), "query": storable(f.Query), "after": after, "limit": page.limit(),
	})
	if err != nil {
		return nil, "", fmt.Errorf("list the glossary: %w", err)
	}
	list, err = pgx.CollectRows(rows, scanGlossary)
	if err == nil && len(list) == page.limit() {
		next = strconv.FormatInt(list[len(list)-1].ID, 10)
	}
	return list, next, err
}

// afterID reads the cursor of a list by ids; a foreign one is *pim.Invalid.
func afterID(cursor string) (int64, error) {
	if cursor == "" {
		return 0, nil
	}
	id, err := strconv.ParseInt(cursor, 10, 64)
	if err != nil || id < 0 {
		return 0, &pim.Invalid{Problems: []pim.Problem{{Pointer: "/cursor", Code: "cursor", Detail: "is not a cursor of this list"}}}
	}
	return id, nil
}

// GlossaryOf reads the entries that count between two locales, the longest first.
func (s *Store) GlossaryOf(ctx context.Context, from, to pim.Locale) ([]GlossaryEntry, error) {
	rows, err := s.work.Query(ctx, sqlGlossaryOf, pgx.NamedArgs{"from": string(from), "to": string(to), "limit": MaxGlossary})
	if err != nil {
		return nil, fmt.Errorf("read the glossary of %s to %s: %w", from, to, err)
	}
	return pgx.CollectRows(rows, scanGlossary)
}

const (
	sqlPutGlossary = `
insert into glossary as g (from_locale, to_locale, term, translation, kind, match_case) values (@from, @to, @term, @translation, @kind, @match_case)
on conflict (from_locale, to_locale, kind, term) do update set translation = excluded.translation, match_case = excluded.match_case,
    version = case when (g.translation, g.match_case) = (excluded.translation, excluded.match_case) then g.version else nextval('glossary_version') end,
    updated_at = case when (g.translation, g.match_case) = (excluded.translation, excluded.match_case) then g.updated_at else now() end
returning ` + glossaryColumns
	sqlDeleteGlossary = `delete from glossary where id = @id`
)

// PutGlossaryEntry makes or replaces the entry of its locales, kind and term.
// The error is *pim.Invalid of an entry that says nothing. What was translated
// before stays; segments in which the term occurs are no longer taken from the
// memory as they are.
func (s *Store) PutGlossaryEntry(ctx context.Context, g GlossaryEntry) (GlossaryEntry, error) {
	if err := g.check(); err != nil {
		return g, err
	}
	rows, err := s.pool.Query(ctx, sqlPutGlossary, pgx.NamedArgs{
		"from": g.From, "to": g.To, "term": g.Term, "translation": g.Translation, "kind": g.Kind, "match_case": g.MatchCase,
	})
	if err != nil {
		return g, fmt.Errorf("store glossary entry %q: %w", g.Term, err)
	}
	g, err = pgx.CollectExactlyOneRow(rows, scanGlossary)
	return g, err
}

// MaxTerm is how long a glossary's term may be, in bytes.
const MaxTerm = 256

func (g GlossaryEntry) check() error {
	var problems []pim.Problem
	add := func(pointer, code, detail string) {
		problems = append(problems, pim.Problem{Pointer: pointer, Code: code, Detail: detail})
	}
	locale := func(at string, l pim.Locale) {
		if l != "" {
			if err := pim.ValidLocale(l); err != nil {
				add(at, "locale", err.Error())
			}
		}
	}
	locale("/from", g.From)
	locale("/to", g.To)
	text := func(at, s string, needed bool) {
		switch {
		case needed && s == "":
			add(at, "term.missing", "is needed for an entry of this kind")
		case !needed && s != "":
			add(at, "term.extra", "has no meaning for an entry of this kind")
		case len(s) > MaxTerm || storable(s) != s:
			add(at, "term", fmt.Sprintf("is a text of at most %d bytes", MaxTerm))
		}
	}
	text("/term", g.Term, true)
	switch g.Kind {
	case GlossaryFixed, GlossaryKeep, GlossaryForbidden:
		text("/translation", g.Translation, g.Kind == GlossaryFixed)
	default:
		add("/kind", "kind", "is one of fixed, keep, forbidden")
	}
	if len(problems) > 0 {
		return &pim.Invalid{Problems: problems}
	}
	return nil
}

// DeleteGlossaryEntry removes an entry; ErrNotFound.
func (s *Store) DeleteGlossaryEntry(ctx context.Context, id int64) error {
	tag, err := s.pool.Exec(ctx, sqlDeleteGlossary, pgx.NamedArgs{"id": id})
	if err == nil && tag.RowsAffected() == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("delete glossary entry %d: %w", id, err)
	}
	return nil
}
