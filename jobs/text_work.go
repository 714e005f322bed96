package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/riverqueue/river"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// Texts that machines make, translated or written: what both have in common.
//
// What a service answered is kept before anything else happens (translate_ask.go):
// a process that dies after it finds it in the memory and pays nothing. The text
// itself, its product's edit and the task's end are one transaction, which counts
// only if the product and the text are as they were when it was worked out; else
// the task stays, and is worked out anew of what is there then.

// register adds the consumers of tasks of texts.
func (t *Texts) register(r *Runner, workers *river.Workers, add func(kind string, workers int, register func() error) error) error {
	translate, generate := &tasker{r, &translator{r, t}}, &tasker{r, &generator{r, t}}
	return errors.Join(
		add(postgres.Translate, 1, func() error {
			return river.AddWorkerSafely(workers, river.WorkFunc(func(ctx context.Context, job *river.Job[translateArgs]) error {
				return consume(ctx, r, job, postgres.Consumer{Kind: postgres.Translate}, job.Args.Gen, translate)
			}))
		}),
		add(postgres.Generate, 1, func() error {
			return river.AddWorkerSafely(workers, river.WorkFunc(func(ctx context.Context, job *river.Job[generateArgs]) error {
				return consume(ctx, r, job, postgres.Consumer{Kind: postgres.Generate}, job.Args.Gen, generate)
			}))
		}),
	)
}

// textItem is one task of a text on its way.
type textItem struct {
	task    postgres.Task
	product *postgres.TextProduct
	values  pim.Values
	was     postgres.Text
	now     postgres.Text // as judged
	cover   *covering
	html    bool
}

// textRound is what is claimed, by lots.
type textRound struct {
	book *ruleBook
	lots map[string][]*textItem
	over []postgres.TaskEnd // of tasks that nobody needs any more
}

// load reads what tasks are about, as it is now.
func (t *Texts) load(ctx context.Context, tasks []postgres.Task) (*textRound, error) {
	products, err := t.store.TextProductsOf(ctx, subjectsOf(tasks))
	if err != nil {
		return nil, err
	}
	round := &textRound{lots: map[string][]*textItem{}}
	if round.book, err = t.book(ctx); err != nil {
		return nil, err
	}
	byID := map[int64]*textItem{}
	for i := range products {
		p := &products[i]
		values, err := pim.DecodeStored(p.Values)
		if err != nil || p.Deleted {
			continue
		}
		for _, x := range p.Texts {
			x.SKU, x.Family = p.SKU, p.Family
			byID[x.ID] = &textItem{product: p, values: values, was: x}
		}
	}
	for _, task := range tasks {
		it := byID[task.Subject]
		if it == nil {
			round.over = append(round.over, postgres.TaskEnd{Task: task})
			continue
		}
		it.task = task
		it.cover = round.book.covers(it.product.Family, it.values, it.product.Texts, it.was.Slot)
		j := judge(it.was, it.cover, textAt(it.values, it.was.Slot))
		if j.gone || !j.needs {
			round.over = append(round.over, postgres.TaskEnd{Task: task})
			continue
		}
		it.now, it.html = j.Text, it.cover.attr.Type == pim.TypeRichText
		round.lots[task.Lot] = append(round.lots[task.Lot], it)
	}
	return round, nil
}

// made is what a machine made of a text.
type made struct {
	text        string
	test        bool
	provenance  postgres.Provenance
	suggestions []postgres.Suggestion
	faults      []postgres.TextFault
}

// proposes reports that what a machine makes of the text waits for a person:
// by the rule, or because the text that is there is a person's.
func (it *textItem) proposes() bool {
	return it.cover.rule.Review == postgres.ReviewProposal || it.now.TargetHash != "" && !it.now.Machine
}

// write is how a text stands with what a machine made of it.
func (it *textItem) write(schema *pim.Schema, m made) *postgres.TextWrite {
	source := it.cover.hash()
	end := postgres.TaskEnd{Task: it.task}
	w := &postgres.TextWrite{Text: it.now, Actor: "translation:" + strings.Join(m.provenance.Providers, "+"), ProductRev: it.product.Rev, End: &end}
	if it.was.Action == postgres.TextGenerate {
		w.Actor = "text:" + strings.Join(m.provenance.Providers, "+")
	}
	m.provenance.SourceHash, m.provenance.At = source, time.Now().UTC().Truncate(time.Second)
	w.Provenance, w.Suggestions, w.Faults, w.Error, w.Test = &m.provenance, nil, m.faults, "", m.test
	clean, err := cleanText(schema, it.product.Family, it.was.Slot, m.text)
	if err == nil && clean == "" {
		err = errors.New("nothing is left of it when it is stored")
	}
	if n := utf8.RuneCountInString(clean); err == nil && it.cover.rule.MaxLength > 0 && n > it.cover.rule.MaxLength {
		err = fmt.Errorf("it has %d characters, and the rule allows %d", n, it.cover.rule.MaxLength)
	}
	if err != nil { // not good enough to be stored, but perhaps for a person to mend
		clean, w.Error = m.text, "the text does not fit: "+problemText(err)
		end.Error, end.Failed = w.Error, true
	}
	if err != nil || it.proposes() {
		w.Proposal, w.Proposed, w.Suggestions = &clean, source, m.suggestions
		return w
	}
	w.State, w.SourceHash, w.Machine, w.Proposal, w.Proposed = postgres.TextMachine, source, true, nil, ""
	if m.test {
		// Never among the product's values: see docs/decisions/012.
		w.Machine, w.TestValue = false, &clean
		w.Touch = it.was.TestValue == nil || *it.was.TestValue != clean
		if it.now.Machine { // a real service's text of an older source stays
			w.Machine, w.TestValue, w.Touch, w.State, w.SourceHash = true, nil, false, it.now.State, it.now.SourceHash
			w.Proposal, w.Proposed = &clean, source
		}
		return w
	}
	w.TestValue, w.Touch, w.TargetHash = nil, it.was.TestValue != nil, targetHash(clean)
	w.Value = &clean
	return w
}

// fail is how a text stands of which nothing came.
func (it *textItem) fail(why string, faults []postgres.TextFault, end postgres.TaskEnd) *postgres.TextWrite {
	end.Task, end.Error = it.task, why
	w := &postgres.TextWrite{Text: it.now, Actor: "texts", End: &end}
	w.Error, w.Faults = why, faults
	return w
}

func problemText(err error) string {
	if invalid, ok := errors.AsType[*pim.Invalid](err); ok && len(invalid.Problems) > 0 {
		return invalid.Problems[0].Detail
	}
	return err.Error()
}

// end stores what came of a lot's texts. What somebody was faster with stays.
func (t *Texts) end(ctx context.Context, r *Runner, l postgres.Lease, items []*textItem, writes []*postgres.TextWrite) error {
	if len(writes) == 0 {
		return nil
	}
	if err := t.store.EndTexts(ctx, l, writes); err != nil {
		return err
	}
	for range 3 {
		still, err := t.still(ctx, items, writes)
		if err != nil {
			return err
		}
		if len(still) == 0 {
			break
		}
		if err := t.store.EndTexts(ctx, l, still); err != nil {
			return err
		}
	}
	var again []*postgres.TextWrite
	for _, w := range writes {
		switch {
		case errors.Is(w.Err, postgres.ErrStale):
		case w.Err != nil: // the product refuses it: something else is wrong with it
			t.log.WarnContext(ctx, "store a text", "sku", w.SKU, "text", w.ID, "err", w.Err)
			end := postgres.TaskEnd{Task: w.End.Task, Error: "the product refuses the text: " + problemText(w.Err), Failed: true}
			at := slices.IndexFunc(items, func(it *textItem) bool { return it.was.ID == w.ID })
			if at < 0 {
				continue
			}
			// The text stays what it was: a machine's of an older source, or missing.
			f := &postgres.TextWrite{Text: items[at].now, Actor: "texts", End: &end}
			f.Proposal, f.Proposed, f.Provenance, f.Error = w.Value, w.Provenance.SourceHash, w.Provenance, end.Error
			again = append(again, f)
			r.metrics.task(l.Kind, "failed")
		case w.End.Error != "":
			t.log.InfoContext(ctx, "text", "kind", l.Kind, "sku", w.SKU, "id", w.ID, "err", w.End.Error)
			r.metrics.task(l.Kind, "failed")
		default:
			r.metrics.task(l.Kind, "done")
		}
	}
	if len(again) > 0 {
		return t.store.EndTexts(ctx, l, again)
	}
	return nil
}

// still are the writes that came too late for their products, which have changed
// since, but in nothing that the texts are made of: what was paid for is good.
func (t *Texts) still(ctx context.Context, items []*textItem, writes []*postgres.TextWrite) (list []*postgres.TextWrite, err error) {
	late := map[int64]*postgres.TextWrite{}
	var tasks []postgres.Task
	for _, w := range writes {
		if errors.Is(w.Err, postgres.ErrStale) && w.Value != nil && w.Provenance != nil {
			late[w.ID], tasks = w, append(tasks, w.End.Task)
		}
	}
	if len(tasks) == 0 {
		return nil, nil
	}
	round, err := t.load(ctx, tasks)
	if err != nil {
		return nil, err
	}
	now := map[int64]*textItem{}
	for _, lot := range round.lots {
		for _, it := range lot {
			now[it.was.ID] = it
		}
	}
	for _, was := range items {
		w, is := late[was.was.ID], now[was.was.ID]
		if w == nil || is == nil || is.was.Rev != w.Rev || is.product.Rev == w.ProductRev || is.cover.hash() != w.Provenance.SourceHash ||
			is.cover.rule.Code != was.cover.rule.Code || is.cover.rule.Rev != was.cover.rule.Rev || is.cover.tests != was.cover.tests || is.now.TargetHash != was.now.TargetHash {
			continue
		}
		w.ProductRev = is.product.Rev
		list = append(list, w)
	}
	return list, nil
}

// rest is why a lot waits: the services that it could still ask are not there.
type rest struct {
	wait  time.Duration // the shortest; 0: none rests
	cause string
}

func (r *rest) add(wait time.Duration, cause string) {
	if wait = max(wait, time.Second); r.wait == 0 || wait < r.wait {
		r.wait, r.cause = wait, cause
	}
}

const (
	noProviderWait = time.Hour // making or changing a provider ends it
	quotaWait      = time.Hour
	authWait       = 5 * time.Minute
)

// down notes that a service was not there, and for how long to leave it alone.
func (t *Texts) down(ctx context.Context, s *service, p *postgres.Provider, err error) (time.Duration, string, error) {
	e := connectors.AsError(err)
	wait := max(e.After, probeWait(p.Fails))
	if e.Verdict == connectors.Auth {
		wait = max(wait, authWait)
	}
	cause := p.Code + ": " + errorText(e)
	t.log.WarnContext(ctx, "text service", "provider", p.Code, "wait", wait, "err", errorText(e))
	// Other lots of the same round have the provider as it was read.
	p.Wait, p.Error, p.Fails = wait, errorText(e), p.Fails+1
	return wait, cause, t.store.ProviderFailed(ctx, s.Code, errorText(e), wait, true, lotFails)
}

// sortedLots are the lots of a round, in order.
func (r *textRound) sortedLots() []string {
	lots := make([]string, 0, len(r.lots))
	for lot := range r.lots {
		lots = append(lots, lot)
	}
	slices.Sort(lots)
	return lots
}
