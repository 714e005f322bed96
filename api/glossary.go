package api

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// GlossaryEntrySpec is a word with a translation of its own.
type GlossaryEntrySpec struct {
	From        pim.Locale            `json:"from,omitempty" doc:"Locale, or language for all of its locales; left out: any"`
	To          pim.Locale            `json:"to,omitempty" doc:"As from"`
	Kind        postgres.GlossaryKind `json:"kind" enum:"fixed,keep,forbidden" doc:"fixed: term is always translated by translation; keep: it stays as it is; forbidden: it must not occur in translations"`
	Term        string                `json:"term" doc:"256 bytes at most, as translation; of forbidden a word of the target language"`
	Translation string                `json:"translation,omitempty" doc:"Of fixed"`
	MatchCase   bool                  `json:"match_case,omitempty" doc:"term counts only as it is written"`
}

// GlossaryEntry is an entry of the glossary.
type GlossaryEntry struct {
	ID int64 `json:"id"`
	GlossaryEntrySpec
	UpdatedAt time.Time `json:"updated_at"`
}

// GlossaryParams say which entries are meant.
type GlossaryParams struct {
	From string `query:"from" maxLength:"35" doc:"As the entry has it"`
	To   string `query:"to" maxLength:"35" doc:"As the entry has it"`
	Kind string `query:"kind" enum:"fixed,keep,forbidden"`
	Q    string `query:"q" maxLength:"256" doc:"Part of the term or of its translation, in any case"`
}

func (p GlossaryParams) filter() postgres.GlossaryFilter {
	return postgres.GlossaryFilter{From: pim.Locale(p.From), To: pim.Locale(p.To), Kind: postgres.GlossaryKind(p.Kind), Query: p.Q}
}

type listGlossary struct {
	Paging
	Sorting
	GlossaryParams
}

type entryPath struct {
	ID int64 `path:"id" minimum:"1"`
}

func (s *server) registerGlossary() {
	handle(s, op("list-glossary", http.MethodGet, "/v1/glossary", tagTexts, "List the glossary by the entries' numbers"), s.listGlossary)
	handle(s, op("put-glossary-entry", http.MethodPost, "/v1/glossary", tagTexts, "Make or replace the glossary's entry of these locales, kind and term",
		says("It counts for what is translated from now on. Segments in which the term occurs are no longer taken from the memory as a machine left them; texts stay."),
		takesJSON[GlossaryEntrySpec](s)), s.putGlossaryEntry)
	handle(s, op("delete-glossary-entry", http.MethodDelete, "/v1/glossary/{id}", tagTexts, "Delete an entry of the glossary"),
		func(ctx context.Context, in *entryPath) (*struct{}, error) {
			return nil, s.Store.DeleteGlossaryEntry(ctx, in.ID)
		})
	handle(s, answersCSV(op("export-glossary", http.MethodGet, "/v1/glossary.csv", tagTexts, "Get the glossary as CSV", takesLong)),
		func(ctx context.Context, in *GlossaryParams) (*huma.StreamResponse, error) {
			t, err := s.texts()
			if err != nil {
				return nil, err
			}
			return s.streamCSV(ctx, "glossary.csv", func(w *fileStream) error {
				_, err := t.ExportGlossary(ctx, w, in.filter())
				return err
			}), nil
		})
	s.takesCSV(op("import-glossary", http.MethodPost, "/v1/glossary.csv", tagTexts, "Make or replace the glossary's entries of a CSV file, each row for itself",
		says("Columns from, to, kind, term, translation, match_case, in any order; only term is needed. At most 20,000 rows."), takesLong),
		func(ctx context.Context, t *jobs.Texts, file io.Reader) (FileAnswer, error) {
			rows, err := t.ImportGlossary(ctx, file)
			if err != nil {
				return FileAnswer{}, err
			}
			a := FileAnswer{Rows: len(rows), Refused: []RefusedRow{}}
			for _, r := range rows {
				a.add(r, 0)
			}
			return a, nil
		})
}

// ViewGlossaryEntry is an entry as the API shows it.
func ViewGlossaryEntry(g postgres.GlossaryEntry) GlossaryEntry {
	return GlossaryEntry{
		ID: g.ID, UpdatedAt: g.UpdatedAt,
		GlossaryEntrySpec: GlossaryEntrySpec{From: g.From, To: g.To, Kind: g.Kind, Term: g.Term, Translation: g.Translation, MatchCase: g.MatchCase},
	}
}

func (s *server) listGlossary(ctx context.Context, in *listGlossary) (*answer[page[GlossaryEntry]], error) {
	list, next, err := s.Store.Glossary(ctx, in.filter(), in.page())
	if err != nil {
		return nil, inCursor(err)
	}
	items := make([]GlossaryEntry, len(list))
	for i, g := range list {
		items[i] = ViewGlossaryEntry(g)
	}
	return pageOf(items, next), nil
}

func (s *server) putGlossaryEntry(ctx context.Context, in *RawInput) (*answer[GlossaryEntry], error) {
	spec, err := decode[GlossaryEntrySpec](in.RawBody, nil)
	if err != nil {
		return nil, err
	}
	g, err := s.Store.PutGlossaryEntry(ctx, postgres.GlossaryEntry{
		From: spec.From, To: spec.To, Kind: spec.Kind, Term: spec.Term, Translation: spec.Translation, MatchCase: spec.MatchCase,
	})
	if err != nil {
		return nil, err
	}
	return &answer[GlossaryEntry]{ViewGlossaryEntry(g)}, nil
}
