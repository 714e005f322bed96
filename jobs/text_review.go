package jobs

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
	"github.com/sluicehub/sluice/pim/text"
)

// The decisions of a review.
const (
	AcceptText = "accept" // the proposal is the text; without one, the text is right as it stands
	EditText   = "edit"   // Text is the text
	RejectText = "reject" // the proposal goes; the next is made when the source changes
)

// TextDecision is what a person decided of one text.
type TextDecision struct {
	ID     int64  `json:"id"`
	Rev    int64  `json:"rev,omitempty" doc:"The text's revision that was seen; left out: any"`
	Action string `json:"action" enum:"accept,edit,reject"`
	Text   string `json:"text,omitempty" doc:"For edit"`
	// Source is the source that was seen; nil: any.
	Source *string `json:"source,omitempty" doc:"The source that was seen: the decision is refused when it is another one now"`
}

// TextDecided is what became of a TextDecision. Err is postgres.ErrNotFound,
// postgres.ErrStale, *pim.Invalid, or nil.
type TextDecided struct {
	ID       int64
	State    postgres.TextState
	Revision int64 // the product's content revision; 0: the product stayed as it was
	Err      error
}

// MaxDecisions is how many texts one call of Review decides.
const MaxDecisions = 1000

// Review stores what a person decided of texts, each for itself: a text is an
// edit of its product by that person, and its state becomes reviewed. What was
// accepted goes to the translation memory. The error is of the database, or
// *pim.Invalid of more than MaxDecisions.
func (t *Texts) Review(ctx context.Context, actor string, decisions []TextDecision) ([]TextDecided, error) {
	if len(decisions) > MaxDecisions {
		return nil, &pim.Invalid{Problems: []pim.Problem{{Pointer: "", Code: "list.long", Detail: fmt.Sprintf("decides at most %d texts at a time", MaxDecisions)}}}
	}
	ids := make([]int64, len(decisions))
	for i, d := range decisions {
		ids[i] = d.ID
	}
	list, err := t.store.TextsByID(ctx, ids)
	if err != nil {
		return nil, err
	}
	schema, err := t.store.RefreshSchema(ctx)
	if err != nil {
		return nil, err
	}
	byID := make(map[int64]*postgres.Text, len(list))
	for i := range list {
		byID[list[i].ID] = &list[i]
	}
	out, decided := make([]TextDecided, len(decisions)), map[int64]bool{}
	var (
		writes []*postgres.TextWrite
		of     []int
	)
	for i, d := range decisions {
		out[i].ID = d.ID
		x := byID[d.ID]
		switch {
		case x == nil:
			out[i].Err = postgres.ErrNotFound
		case d.Source != nil && x.Action == postgres.TextTranslate && !sameCell(*d.Source, orEmpty(x.Source)):
			out[i].Err = invalidText("/source", "source.changed", "the source is another one now")
		case d.Rev != 0 && d.Rev != x.Rev, decided[d.ID]: // a second decision has not seen the first
			out[i].Err = postgres.ErrStale
		case (d.Rev != 0 || d.Action == AcceptText && x.Proposal != nil) && targetHash(orEmpty(x.Target)) != x.TargetHash:
			out[i].Err = postgres.ErrStale // somebody wrote the text, and nothing has looked at it yet
		default:
			w, err := decide(schema, *x, d, actor)
			if err != nil {
				out[i].Err = err
				continue
			}
			decided[d.ID] = true
			writes, of = append(writes, w), append(of, i)
		}
	}
	if err := t.store.ReviewTexts(ctx, writes); err != nil {
		return nil, err
	}
	var good []*postgres.TextWrite
	for n, w := range writes {
		out[of[n]].State, out[of[n]].Revision, out[of[n]].Err = w.State, w.Now, w.Err
		if w.Err == nil && decisions[of[n]].Action != RejectText {
			good = append(good, w)
		}
	}
	if err := t.learn(ctx, schema, good); err != nil {
		t.log.WarnContext(ctx, "remember what was accepted", "err", err) // the review itself is stored
	}
	return out, nil
}

func invalidText(pointer, code, detail string) error {
	return &pim.Invalid{Problems: []pim.Problem{{Pointer: pointer, Code: code, Detail: detail}}}
}

// decide works a decision out.
func decide(schema *pim.Schema, x postgres.Text, d TextDecision, actor string) (*postgres.TextWrite, error) {
	w := &postgres.TextWrite{Text: x, Actor: actor, Still: true, Over: x.Target}
	value := ""
	switch d.Action {
	case RejectText:
		if x.Proposal == nil {
			return nil, invalidText("/action", "text.none", "there is no proposal to reject")
		}
		w.Proposal, w.Suggestions, w.Faults = nil, nil, nil
		return w, nil
	case AcceptText:
		switch {
		case x.Test && (x.Proposal != nil || x.TestValue != nil):
			return nil, invalidText("/action", "text.test", "a provider for tests made it, so it cannot be accepted; edit it")
		case x.Proposal != nil:
			value, w.SourceHash = *x.Proposal, x.Proposed
		case x.Target == nil || targetHash(*x.Target) == "":
			return nil, invalidText("/action", "text.none", "there is nothing to accept")
		default:
			value, w.SourceHash = *x.Target, sourceHashOf(x)
		}
	case EditText:
		if value = d.Text; targetHash(value) == "" {
			return nil, invalidText("/text", "text.empty", "say the text")
		}
		w.SourceHash = sourceHashOf(x)
	default:
		return nil, invalidText("/action", "action", "is one of accept, edit, reject")
	}
	clean, err := cleanText(schema, x.Family, x.Slot, value)
	if err != nil {
		return nil, err
	}
	if x.Target == nil || *x.Target != clean {
		w.Value = &clean
	}
	w.State, w.TargetHash, w.Machine, w.Test, w.TestValue, w.Touch = postgres.TextReviewed, targetHash(clean), false, false, nil, x.TestValue != nil
	w.Proposal, w.Suggestions, w.Faults, w.Error, w.Target = nil, nil, nil, "", &clean
	if w.Provenance != nil {
		w.Provenance.By = actor
	}
	return w, nil
}

// sourceHashOf is the hash of a text's source as it is now.
func sourceHashOf(x postgres.Text) string {
	if x.Source == nil || x.Action != postgres.TextTranslate {
		return x.SourceHash
	}
	return hashText(string(x.From), *x.Source)
}

// cleanText is a text as the product would store it, or *pim.Invalid.
func cleanText(schema *pim.Schema, family string, slot postgres.Slot, value string) (string, error) {
	clean, _, err := schema.CheckValues(family, slot.Values(value), "/text")
	if err != nil {
		return "", err
	}
	return textAt(clean, slot), nil
}

// learn keeps what people wrote, segment by segment, where source and text have
// the same segments.
func (t *Texts) learn(ctx context.Context, schema *pim.Schema, writes []*postgres.TextWrite) error {
	book, err := t.book(ctx)
	if err != nil {
		return err
	}
	ids := make([]pim.ProductID, len(writes))
	for i, w := range writes {
		ids[i] = w.Product
	}
	products, err := t.store.TextProducts(ctx, ids)
	if err != nil {
		return err
	}
	valuesOf := make(map[pim.ProductID]pim.Values, len(products))
	for _, p := range products {
		if values, err := pim.DecodeStored(p.Values); err == nil {
			valuesOf[p.ID] = values
		}
	}
	glossaries := map[[2]pim.Locale]*glossary{}
	var entries []postgres.MemoryEntry
	for _, w := range writes {
		a := schema.Attributes[w.Attribute]
		if w.Action != postgres.TextTranslate || w.Source == nil || w.Target == nil || a == nil || w.SourceHash != sourceHashOf(w.Text) {
			continue
		}
		pair := [2]pim.Locale{w.From, w.Locale}
		if glossaries[pair] == nil {
			if glossaries[pair], err = t.glossary(ctx, w.From, w.Locale); err != nil {
				return err
			}
		}
		protect := glossaries[pair].keep.With(append(book.names(w.Rule, valuesOf[w.Product]), skuTerm(w.SKU)...)...)
		html := a.Type == pim.TypeRichText
		source, err1 := text.Cut(*w.Source, html, protect)
		target, err2 := text.Cut(*w.Target, html, protect)
		if err1 != nil || err2 != nil || len(source.Segments) != len(target.Segments) {
			continue
		}
		for i, s := range source.Segments {
			fragment, ok := renumber(s, target.Segments[i])
			if !ok || broken(s.Check(fragment, text.Rules{})) != "" {
				continue
			}
			entries = append(entries, postgres.MemoryEntry{
				Hash: s.Key[:], From: w.From, To: w.Locale, Source: s.Source, Target: fragment, Origin: postgres.MemoryPerson,
			})
		}
	}
	if len(entries) == 0 {
		return nil
	}
	return t.store.Remember(ctx, onceEach(entries))
}

// onceEach drops all but the last of entries for the same segment.
func onceEach(entries []postgres.MemoryEntry) (out []postgres.MemoryEntry) {
	at := map[string]int{}
	for _, e := range entries {
		key := string(e.Hash) + "\x00" + string(e.From) + "\x00" + string(e.To)
		if n, known := at[key]; known {
			out[n] = e
			continue
		}
		at[key] = len(out)
		out = append(out, e)
	}
	return out
}

var placeholderID = regexp.MustCompile(`<([xg]) id="(\d+)"`)

// renumber gives target's fragment with the numbers that source's placeholders
// have for the same spans.
func renumber(source, target text.Segment) (string, bool) {
	if len(source.Spans) != len(target.Spans) {
		return "", false
	}
	number, taken := make([]int, len(target.Spans)), make([]bool, len(source.Spans))
	for i, span := range target.Spans {
		for j, other := range source.Spans {
			if !taken[j] && other.Kind == span.Kind && other.Open == span.Open {
				number[i], taken[j] = j+1, true
				break
			}
		}
		if number[i] == 0 {
			return "", false
		}
	}
	return placeholderID.ReplaceAllStringFunc(target.Source, func(tag string) string {
		m := placeholderID.FindStringSubmatch(tag)
		n, err := strconv.Atoi(m[2])
		if err != nil || n < 1 || n > len(number) {
			return tag
		}
		return `<` + m[1] + ` id="` + strconv.Itoa(number[n-1]) + `"`
	}), true
}

// broken says what makes a translation unfit; "" for nothing.
func broken(faults []text.Fault) string {
	var list []string
	for _, f := range faults {
		if f.Severity == pim.SeverityError {
			list = append(list, f.Text)
		}
	}
	return strings.Join(list, "; ")
}
