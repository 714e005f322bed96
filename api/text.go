package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// Text is a place of a product's values that a rule covers, and how it stands.
type Text struct {
	ID          int64                 `json:"id"`
	Revision    int64                 `json:"revision" doc:"Of what is known of the text; a review can name it"`
	SKU         pim.SKU               `json:"sku"`
	Family      string                `json:"family,omitempty"`
	Attribute   string                `json:"attribute"`
	Locale      pim.Locale            `json:"locale"`
	Channel     pim.ChannelCode       `json:"channel,omitempty" doc:"Of scopable attributes"`
	From        pim.Locale            `json:"from,omitempty" doc:"Locale of the source; left out: written, not translated"`
	Rule        string                `json:"rule"`
	Action      postgres.TextAction   `json:"action" enum:"translate,generate"`
	State       postgres.TextState    `json:"state" enum:"missing,machine,reviewed,outdated"`
	Source      *string               `json:"source,omitempty" doc:"As the product has it now"`
	Target      *string               `json:"target,omitempty" doc:"As the product has it now"`
	Proposal    *string               `json:"proposal,omitempty" doc:"Waits for a person"`
	Suggestions []postgres.Suggestion `json:"suggestions,omitempty" doc:"What the translation memory has for similar segments"`
	Faults      []postgres.TextFault  `json:"faults,omitempty" doc:"What is wrong with the proposal, or was with what was refused"`
	Provenance  *postgres.Provenance  `json:"provenance,omitempty" doc:"Where the machine's text is from: the target, or the proposal"`
	Test        bool                  `json:"test,omitempty" doc:"A provider for tests made it"`
	TestValue   *string               `json:"test_value,omitempty" doc:"What channels marked as a test are shown in place of the missing text"`
	Task        string                `json:"task,omitempty" enum:"waiting,failed,cancelled" doc:"State of the machine's work; left out: there is none"`
	Error       string                `json:"error,omitempty" doc:"Why the last attempt came to nothing"`
	UpdatedAt   time.Time             `json:"updated_at"`
}

// TextParams say which texts are meant.
type TextParams struct {
	State     string `query:"state" enum:"missing,machine,reviewed,outdated"`
	Locale    string `query:"locale" maxLength:"35"`
	Attribute string `query:"attribute" maxLength:"100"`
	Family    string `query:"family" maxLength:"100"`
	Channel   string `query:"channel" maxLength:"100"`
	SKU       string `query:"sku" maxLength:"128"`
	Rule      string `query:"rule" maxLength:"100"`
	Action    string `query:"action" enum:"translate,generate"`
	Waits     bool   `query:"waiting_for_review" doc:"Only those with a proposal"`
	Failed    bool   `query:"failed" doc:"Only those whose last attempt came to nothing"`
}

func (p TextParams) filter() postgres.TextFilter {
	return postgres.TextFilter{
		State: postgres.TextState(p.State), Locale: pim.Locale(p.Locale), Attribute: p.Attribute, Family: p.Family, Channel: pim.ChannelCode(p.Channel),
		SKU: pim.SKU(p.SKU), Rule: p.Rule, Action: postgres.TextAction(p.Action), Waits: p.Waits, Failed: p.Failed,
	}
}

type listTexts struct {
	Paging
	TextParams
}

// TextCounts counts all texts.
type TextCounts struct {
	Counts []TextCount `json:"counts" doc:"By rule, locale and state"`
}

// TextCount counts a rule's texts in one locale and state.
type TextCount struct {
	Rule      string             `json:"rule"`
	Locale    pim.Locale         `json:"locale"`
	State     postgres.TextState `json:"state" enum:"missing,machine,reviewed,outdated"`
	Texts     int64              `json:"texts"`
	Proposals int64              `json:"proposals" doc:"That wait for a person"`
	Failed    int64              `json:"failed" doc:"Whose last attempt came to nothing"`
	Waiting   int64              `json:"waiting" doc:"For a machine"`
}

// TextReview is what a person decided of texts.
type TextReview struct {
	Items []TextReviewItem `json:"items" minItems:"1" maxItems:"1000"`
}

// TextReviewItem is what a person decided of one text.
type TextReviewItem struct {
	ID        int64           `json:"id,omitempty" minimum:"1" doc:"Of the text; or sku, attribute, locale and, of scopable attributes, channel"`
	SKU       pim.SKU         `json:"sku,omitempty"`
	Attribute string          `json:"attribute,omitempty"`
	Locale    pim.Locale      `json:"locale,omitempty"`
	Channel   pim.ChannelCode `json:"channel,omitempty"`
	Revision  int64           `json:"revision,omitempty" minimum:"1" doc:"The text's revision that was seen: refused when it is another one now"`
	Source    *string         `json:"source,omitempty" doc:"The source that was seen: refused when it is another one now"`
	Action    string          `json:"action" enum:"accept,edit,reject" doc:"accept: the proposal is the text, or else the text is right as it stands; reject: the proposal goes"`
	Text      string          `json:"text,omitempty" doc:"For edit"`
}

// TextReviewAnswer says what became of each item.
type TextReviewAnswer struct {
	Stored  int                `json:"stored"`
	Refused int                `json:"refused"`
	Results []TextReviewResult `json:"results" doc:"One per item, in their order; pointers begin with /items and the item's number"`
}

// TextReviewResult is what became of one item.
type TextReviewResult struct {
	ID       int64              `json:"id,omitempty"`
	Status   string             `json:"status" enum:"stored,refused"`
	State    postgres.TextState `json:"state,omitempty" enum:"missing,machine,reviewed,outdated"`
	Revision int64              `json:"product_revision,omitempty" doc:"The product's content revision; left out: the product stayed as it was"`
	Problems []pim.Problem      `json:"problems,omitempty"`
}

func (s *server) registerTexts() {
	handle(s, op("list-texts", http.MethodGet, "/v1/texts", tagTexts, "List the texts that rules cover, by number, with source, text and what waits for review"), s.listTexts)
	handle(s, op("summarise-texts", http.MethodGet, "/v1/texts/summary", tagTexts, "Count texts by rule, locale and state"), s.summariseTexts)
	handle(s, op("review-texts", http.MethodPost, "/v1/texts/review", tagTexts, "Accept, edit or reject up to 1,000 texts, each for itself",
		says("A text is an edit of its product in the name of the key, and its state becomes reviewed: no machine writes over it. What was accepted goes to the translation memory."),
		takes(maxBatch, map[string]*huma.Schema{typeJSON: schemaOf[TextReview](s)})), s.reviewTexts)
	handle(s, answersCSV(op("export-texts", http.MethodGet, "/v1/texts.csv", tagTexts, "Get texts as CSV, for agencies",
		says("Fill in text, or a decision in action, and send the file back."), takesLong)),
		func(ctx context.Context, in *TextParams) (*huma.StreamResponse, error) {
			t, err := s.texts()
			if err != nil {
				return nil, err
			}
			return s.streamCSV(ctx, "texts.csv", func(w *fileStream) error {
				_, err := t.ExportTexts(ctx, w, in.filter())
				return err
			}), nil
		})
	s.takesCSV(op("import-texts", http.MethodPost, "/v1/texts.csv", tagTexts, "Take an exported CSV file back: what stands in text and action, each row for itself",
		says("A row with something in text is an edit, one with a decision in action takes that, others say nothing. A row whose text or source has changed since the export is refused. "+
			"At most 100,000 rows."), takesLong),
		func(ctx context.Context, t *jobs.Texts, file io.Reader) (FileAnswer, error) {
			rows, err := t.ImportTexts(ctx, file, callOf(ctx).key.Name)
			if err != nil {
				return FileAnswer{}, err
			}
			a := FileAnswer{Rows: len(rows), Refused: []RefusedRow{}}
			for _, r := range rows {
				a.add(r.RowResult, r.ID)
			}
			return a, nil
		})
}

// ViewText is a text as the API shows it.
func ViewText(t *postgres.Text) Text {
	return Text{
		ID: t.ID, Revision: t.Rev, SKU: t.SKU, Family: t.Family, Attribute: t.Attribute, Locale: t.Locale, Channel: t.Channel, From: t.From, Rule: t.Rule,
		Action: t.Action, State: t.State, Source: t.Source, Target: t.Target, Proposal: t.Proposal, Suggestions: t.Suggestions, Faults: t.Faults,
		Provenance: t.Provenance, Test: t.Test, TestValue: t.TestValue, Task: t.Task, Error: t.Error, UpdatedAt: t.UpdatedAt,
	}
}

func (s *server) listTexts(ctx context.Context, in *listTexts) (*answer[page[Text]], error) {
	list, next, err := s.Store.Texts(ctx, in.filter(), in.page())
	if err != nil {
		return nil, inCursor(err)
	}
	items := make([]Text, len(list))
	for i := range list {
		items[i] = ViewText(&list[i])
	}
	return pageOf(items, next), nil
}

func (s *server) summariseTexts(ctx context.Context, _ *struct{}) (*answer[TextCounts], error) {
	list, err := s.Store.TextCounts(ctx)
	if err != nil {
		return nil, err
	}
	v := TextCounts{Counts: make([]TextCount, len(list))}
	for i, c := range list {
		v.Counts[i] = TextCount(c)
	}
	return &answer[TextCounts]{v}, nil
}

func (s *server) reviewTexts(ctx context.Context, in *RawInput) (*answer[TextReviewAnswer], error) {
	t, err := s.texts()
	if err != nil {
		return nil, err
	}
	review, err := decode[TextReview](in.RawBody, nil)
	if err != nil {
		return nil, err
	}
	if n := len(review.Items); n == 0 || n > jobs.MaxDecisions {
		return nil, &pim.Invalid{Problems: []pim.Problem{{Pointer: "/items", Code: "limit", Detail: fmt.Sprintf("is a list of 1 to %d decisions", jobs.MaxDecisions)}}}
	}
	a, err := s.decide(ctx, t, review.Items)
	if err != nil {
		return nil, err
	}
	return &answer[TextReviewAnswer]{a}, nil
}

// decide finds the texts that are named by their place, and stores all
// decisions, each for itself.
func (s *server) decide(ctx context.Context, t *jobs.Texts, items []TextReviewItem) (a TextReviewAnswer, err error) {
	a.Results = make([]TextReviewResult, len(items))
	var places []postgres.TextPlace
	for i := range items {
		if items[i].ID == 0 {
			places = append(places, items[i].place())
		}
	}
	found := []int64{}
	if len(places) > 0 {
		if found, err = s.Store.FindTexts(ctx, places); err != nil {
			return a, err
		}
	}
	var (
		decisions []jobs.TextDecision
		of        []int
	)
	for i, item := range items {
		r := &a.Results[i]
		if r.ID = item.ID; r.ID == 0 {
			r.ID, found = found[0], found[1:]
		}
		if r.Problems = item.named(i); len(r.Problems) == 0 {
			of = append(of, i)
			decisions = append(decisions, jobs.TextDecision{ID: r.ID, Rev: item.Revision, Action: item.Action, Text: item.Text, Source: item.Source})
		}
	}
	done, err := t.Review(ctx, callOf(ctx).key.Name, decisions)
	if err != nil {
		return a, err
	}
	for n, d := range done {
		r := &a.Results[of[n]]
		r.State, r.Revision, r.Problems = d.State, d.Revision, reviewProblems(of[n], d.Err)
	}
	for i := range a.Results {
		r := &a.Results[i]
		if r.Status = "stored"; len(r.Problems) > 0 {
			r.Status, r.State, r.Revision = "refused", "", 0
			a.Refused++
			continue
		}
		a.Stored++
	}
	return a, nil
}

func (x *TextReviewItem) place() postgres.TextPlace {
	return postgres.TextPlace{SKU: x.SKU, Slot: postgres.Slot{Attribute: x.Attribute, Locale: x.Locale, Channel: x.Channel}}
}

// named says whether an item names one text.
func (x *TextReviewItem) named(i int) []pim.Problem {
	at := fmt.Sprintf("/items/%d", i)
	switch placed := x.SKU != "" && x.Attribute != "" && x.Locale != ""; {
	case x.ID != 0 && x.place() != (postgres.TextPlace{}):
		return []pim.Problem{{Pointer: at + "/id", Code: "text.twice", Detail: "say id, or sku, attribute and locale, not both"}}
	case x.ID == 0 && !placed:
		return []pim.Problem{{Pointer: at, Code: "text.unnamed", Detail: "say id, or sku, attribute and locale"}}
	}
	return nil
}

// reviewProblems says why a decision was refused.
func reviewProblems(i int, err error) []pim.Problem {
	at := fmt.Sprintf("/items/%d", i)
	if invalid, ok := errors.AsType[*pim.Invalid](err); ok {
		out := make([]pim.Problem, len(invalid.Problems))
		for n, p := range invalid.Problems {
			p.Pointer = at + p.Pointer
			out[n] = p
		}
		return out
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, postgres.ErrNotFound):
		return []pim.Problem{{Pointer: at, Code: "text.unknown", Detail: "no rule covers such a text"}}
	case errors.Is(err, postgres.ErrStale):
		return []pim.Problem{{Pointer: at, Code: "text.stale", Detail: "the text has changed since, or is decided by another item"}}
	}
	return []pim.Problem{{Pointer: at, Code: "failed", Detail: "it could not be stored"}}
}
