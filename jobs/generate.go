package jobs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/govalues/decimal"
	"golang.org/x/sync/errgroup"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/translation"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
	"github.com/sluicehub/sluice/pim/text"
)

// generator has services write texts of what products say of themselves.
type generator struct {
	r *Runner
	t *Texts
}

func (*generator) takes() (all, lot int) { return 60, 60 }

// page is what is written in one call: the texts of one product, locale and rule.
type page struct {
	items  []*textItem
	writes []*postgres.TextWrite
	faults map[*textItem][]postgres.TextFault
	why    map[*textItem]string
}

func (w *generator) do(ctx context.Context, l postgres.Lease, tasks []postgres.Task) error {
	round, err := w.t.load(ctx, tasks)
	if err != nil {
		return err
	}
	if len(round.over) > 0 {
		if err := w.r.store.EndTasks(ctx, l, round.over, nil); err != nil {
			return err
		}
	}
	for _, lot := range round.sortedLots() {
		if err := w.lot(ctx, l, round.book, lot, round.lots[lot]); err != nil {
			return err
		}
	}
	return nil
}

func (w *generator) lot(ctx context.Context, l postgres.Lease, book *ruleBook, lot string, items []*textItem) error {
	var writes []*postgres.TextWrite
	pages := map[string]*page{}
	var order []*page
	for _, it := range items {
		if it.cover.rule.Action != postgres.TextGenerate || it.cover.lot(it.was.Locale) != lot {
			writes = append(writes, &postgres.TextWrite{Text: it.was, Actor: "texts", End: &postgres.TaskEnd{Task: it.task}})
			continue
		}
		key := strconv.FormatInt(int64(it.product.ID), 10) + "/" + string(it.was.Locale) + "/" + string(it.was.Channel) + "/" + it.cover.rule.Code
		if pages[key] == nil {
			pages[key] = &page{faults: map[*textItem][]postgres.TextFault{}, why: map[*textItem]string{}}
			order = append(order, pages[key])
		}
		pages[key].items = append(pages[key].items, it)
	}
	var rests rest
	if len(order) > 0 {
		var err error
		if rests, err = w.write(ctx, book, order); err != nil {
			return err
		}
	}
	waits := false
	for _, p := range order {
		writes = append(writes, p.writes...)
		for _, it := range p.items { // that are not written
			if rests.wait > 0 {
				waits = true
				continue
			}
			why := cmp.Or(p.why[it], "no provider wrote a usable text")
			writes = append(writes, it.fail(why, p.faults[it], postgres.TaskEnd{Failed: true}))
			w.t.failed.Add(it.was.ID, time.Now())
		}
	}
	if err := w.t.end(ctx, w.r, l, items, writes); err != nil {
		return err
	}
	if waits {
		return w.r.store.LotFailed(ctx, l, lot, rests.cause, rests.wait, true, lotFails)
	}
	return nil
}

// write asks one provider after the other for what is not written yet. All pages
// of a lot may ask the same ones.
func (w *generator) write(ctx context.Context, book *ruleBook, pages []*page) (rest, error) {
	var rests rest
	asked := 0
	for _, p := range book.candidates(pages[0].items[0].cover.rule) {
		if !slices.ContainsFunc(pages, func(p *page) bool { return len(p.items) > 0 }) {
			break
		}
		kind, err := w.t.registry.Kind(p.Kind)
		if err != nil || !slices.Contains(kind.Powers(), translation.CanWrite) {
			continue
		}
		asked++
		if p.Wait > 0 {
			rests.add(p.Wait, p.Code+": "+p.Error)
			continue
		}
		if p.Quota > 0 && p.Used >= p.Quota {
			rests.add(quotaWait, fmt.Sprintf("%s: its quota of %d characters a month is used up", p.Code, p.Quota))
			continue
		}
		purse := book.purse(p)
		if purse.empty() {
			rests.add(quotaWait, budgetUsedUp(p))
			continue
		}
		s, err := w.t.service(p)
		if err != nil {
			rests.add(noProviderWait, err.Error())
			continue
		}
		var down atomic.Pointer[connectors.Error] // it is not there
		g, gctx := errgroup.WithContext(ctx)
		g.SetLimit(max(1, s.limits.Concurrency))
		for _, page := range pages {
			if len(page.items) > 0 {
				g.Go(func() error { return w.page(gctx, book, s, p, page, purse, &down) })
			}
		}
		if err := g.Wait(); err != nil {
			return rests, err
		}
		if away := down.Load(); away != nil {
			wait, cause, err := w.t.down(ctx, s, p, away)
			if err != nil {
				return rests, err
			}
			rests.add(wait, cause)
		}
		if p.Quota > 0 && p.Used >= p.Quota && slices.ContainsFunc(pages, func(p *page) bool { return len(p.items) > 0 }) {
			rests.add(quotaWait, fmt.Sprintf("%s: its quota of %d characters a month is used up", p.Code, p.Quota))
		}
		if purse.empty() && slices.ContainsFunc(pages, func(p *page) bool { return len(p.items) > 0 }) {
			rests.add(quotaWait, budgetUsedUp(p))
		}
	}
	if asked == 0 {
		rests.add(noProviderWait, "there is no provider that writes texts")
	}
	return rests, nil
}

// page makes one call, unless the service is down.
func (w *generator) page(ctx context.Context, book *ruleBook, s *service, p *postgres.Provider, page *page, purse *purse, down *atomic.Pointer[connectors.Error]) error {
	if down.Load() != nil || purse.empty() || p.Quota > 0 && atomic.LoadInt64(&p.Used) >= p.Quota {
		return nil
	}
	var wanted, left []*textItem
	for _, it := range page.items {
		again, _ := w.t.failed.Peek(it.was.ID)
		if faults, is := w.t.lately(it.written(p.Code), again); is {
			page.blame(it, faults)
			left = append(left, it)
			continue
		}
		wanted = append(wanted, it)
	}
	if len(wanted) == 0 {
		return nil
	}
	first := wanted[0]
	rule := first.cover.rule
	prompt := translation.Prompt{Locale: first.was.Locale, Facts: first.cover.source, Instruction: fill(rule.Template, first)}
	for _, it := range wanted {
		prompt.Wanted = append(prompt.Wanted, translation.Wanted{Name: it.was.Attribute, Most: most(it)})
	}
	if err := s.turn(ctx); err != nil {
		return err
	}
	called, cancel := context.WithTimeout(ctx, max(s.limits.Timeout, time.Second))
	answer, err := s.api.(translation.Writer).Write(called, prompt) // its kind has the power
	cancel()
	if err == nil && len(answer.Texts) != len(prompt.Wanted) {
		err = translation.Unusable("%d texts for %d", len(answer.Texts), len(prompt.Wanted))
	}
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		e := connectors.AsError(err)
		if !errors.Is(err, translation.ErrAnswer) && (e.Verdict == connectors.Throttled || e.Verdict == connectors.Unavailable || e.Verdict == connectors.Auth) {
			down.Store(e)
			return nil
		}
		if errors.Is(err, translation.ErrAnswer) {
			use := postgres.ProviderUse{Code: p.Code, Calls: 1, Segments: int64(len(wanted)), Refused: int64(len(wanted))}
			w.r.metrics.used(use)
			if err := w.r.store.Remember(ctx, nil, use); err != nil {
				return err
			}
		}
		for _, it := range wanted {
			w.refuse(page, p.Code, it, []postgres.TextFault{faultOf("provider.refused", errorText(e))})
		}
		return nil
	}
	use := useOf(p, answer, len(answer.Texts))
	purse.pay(answer.Cost)
	atomic.AddInt64(&p.Used, use.Characters) // for the other pages, and lots of the same round
	w.r.metrics.used(use)
	facts := factsOf(book, first)
	told := false
	for i, it := range wanted {
		said := strings.TrimSpace(answer.Texts[i])
		faults := facts.Check(said, false)
		if wrong := broken(faults); wrong != "" || said == "" {
			var why []postgres.TextFault
			for _, f := range faults {
				why = append(why, postgres.TextFault(f))
			}
			if said == "" {
				why = []postgres.TextFault{faultOf(text.CodeEmpty, "the text is empty")}
			}
			w.refuse(page, p.Code, it, why)
			use.Refused++
			left = append(left, it)
			continue
		}
		m := made{text: said, test: p.Test, provenance: postgres.Provenance{Providers: []string{p.Code}, Model: answer.Model}}
		if it.html {
			m.text = paragraphs(said)
		}
		if !told { // of the whole call
			told = true
			m.provenance.Characters, m.provenance.Tokens, m.provenance.Amount, m.provenance.Currency = use.Characters, use.Tokens, use.Amount, use.Currency
		}
		page.writes = append(page.writes, it.write(book.schema, m))
	}
	page.items = left
	kept, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepTimeout)
	defer cancel()
	return w.r.store.Remember(kept, nil, use)
}

// refuse notes that a service wrote nothing usable for it, so that it is not
// asked, and paid, again while another one is waited for.
func (w *generator) refuse(p *page, provider string, it *textItem, faults []postgres.TextFault) {
	for i := range faults {
		faults[i].Text = provider + ": " + faults[i].Text
	}
	w.t.refused.Add(it.written(provider), refusedAt{time.Now(), faults})
	p.blame(it, faults)
}

func (p *page) blame(it *textItem, faults []postgres.TextFault) {
	have := p.faults[it]
	p.faults[it] = append(have, faults[:min(len(faults), maxTextFaults-len(have))]...)
	for _, f := range faults {
		if f.Severity == pim.SeverityError {
			p.why[it] = f.Text
			break
		}
	}
}

// most is how long a text may be.
func most(it *textItem) int {
	n := cmp.Or(it.cover.attr.MaxLength, text.MaxLength)
	if rule := it.cover.rule.MaxLength; rule > 0 {
		n = min(n, rule)
	}
	return n
}

// fill puts what a template names into it. A product's name comes from outside:
// it is one line between quotation marks, and cannot pass for an instruction.
func fill(template string, it *textItem) string {
	return strings.NewReplacer(
		"{attribute}", it.was.Attribute, "{locale}", string(it.was.Locale), "{family}", it.product.Family, "{channel}", string(it.was.Channel),
		"{name}", quotation(textAt(it.values, postgres.Slot{Attribute: "name", Locale: it.cover.rule.From})), "{max}", strconv.Itoa(most(it)),
	).Replace(template)
}

func quotation(s string) string {
	const most = 200 // characters
	runes := []rune(strings.Join(strings.Fields(strings.ReplaceAll(s, `"`, "'")), " "))
	return `"` + string(runes[:min(len(runes), most)]) + `"`
}

// paragraphs makes HTML of a plain text.
func paragraphs(s string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(strings.ReplaceAll(s, "\r\n", "\n"), "\n\n") {
		if part = strings.TrimSpace(part); part != "" {
			b.WriteString("<p>" + strings.ReplaceAll(translation.Escape(part), "\n", "<br>") + "</p>")
		}
	}
	return b.String()
}

// factsOf is what a product says of itself, for the check of what was written.
func factsOf(book *ruleBook, it *textItem) text.Facts {
	f := text.Facts{Texts: []string{string(it.product.SKU)}, FactsLocale: string(it.cover.rule.From), Locale: string(it.was.Locale)}
	var known map[string]any
	decoder := json.NewDecoder(strings.NewReader(it.cover.source))
	decoder.UseNumber()
	if decoder.Decode(&known) != nil {
		return f // nothing is a fact: each number is refused
	}
	for code, v := range known {
		a := book.schema.Attributes[code]
		var walk func(v any)
		walk = func(v any) {
			switch v := v.(type) {
			case string:
				f.Texts = append(f.Texts, v)
				for _, o := range a.Options {
					if o.Code == v {
						for _, label := range o.Labels {
							f.Texts = append(f.Texts, label)
						}
					}
				}
			case json.Number:
				if d, err := decimal.Parse(v.String()); err == nil {
					f.Amounts = append(f.Amounts, text.Quantity{Value: d, Unit: a.Unit})
				}
			case []any:
				for _, el := range v {
					walk(el)
				}
			case map[string]any: // an amount with its unit
				unit, _ := v["unit"].(string)
				if d, err := decimal.Parse(fmt.Sprint(v["amount"])); err == nil {
					f.Amounts = append(f.Amounts, text.Quantity{Value: d, Unit: unit})
				}
			}
		}
		if a != nil {
			walk(v)
		}
	}
	f.Brands = book.names(it.cover.rule.Code, it.values)
	var brands []string
	if b := book.schema.Attributes["brand"]; b != nil {
		for _, o := range b.Options {
			for _, label := range o.Labels {
				brands = append(brands, label)
			}
		}
	}
	f.Known = text.NewProtect(brands)
	return f
}
