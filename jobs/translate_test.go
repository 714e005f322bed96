package jobs_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// A changed title is translated again, it alone and once, and what a person
// wrote survives as outdated, with the proposal beside it.
func TestChangedSourceIsTranslatedOnce(t *testing.T) {
	t.Parallel()
	r := newTextRoad(t)
	fake := r.provider("fake", 0)
	r.rule(nil)
	r.work()
	r.item("A", `{"name":{"en-GB":"Red kettle"},"blurb":{"en-GB":"<p>Boils <b>water</b>.</p>","de-DE":"<p>Kocht Wasser.</p>"}}`)
	r.quiet()
	if got := r.target("A", "name"); got != "de Red kettle" {
		t.Errorf("the name is %q", got)
	}
	if x := r.text("A", "blurb"); x.State != postgres.TextReviewed || *x.Target != "<p>Kocht Wasser.</p>" || x.Proposal != nil {
		t.Errorf("a person's text: %+v", x)
	}
	if x := r.text("A", "name"); x.State != postgres.TextMachine || x.Provenance == nil || x.Provenance.Providers[0] != "fake" || x.Provenance.Rev != 2 || x.Provenance.Characters != 10 {
		t.Errorf("a machine's text: %+v %+v", x, x.Provenance)
	}
	if rev := r.rev("A"); rev != 2 {
		t.Errorf("it has revision %d, want 2: the edit and the translation", rev)
	}
	r.item("A", `{"name":{"en-GB":"Blue kettle"}}`)
	r.quiet()
	if got := r.target("A", "name"); got != "de Blue kettle" {
		t.Errorf("the name is %q", got)
	}
	if _, sent := fake.counts(); !slices.Equal(sent, []string{"Red kettle", "Blue kettle"}) {
		t.Errorf("sent was %q", sent)
	}
	r.item("A", `{"blurb":{"en-GB":"<p>Boils <b>milk</b>.</p>"}}`)
	r.quiet()
	x := r.text("A", "blurb")
	if x.State != postgres.TextOutdated || *x.Target != "<p>Kocht Wasser.</p>" || x.Proposal == nil || *x.Proposal != "<p>de Boils <b>milk</b>.</p>" {
		t.Errorf("a person's text of another source: %+v", x)
	}
	if _, sent := fake.counts(); len(sent) != 3 {
		t.Errorf("sent was %q", sent)
	}
	r.item("A", `{"name":{"en-GB":null}}`)
	r.quiet()
	if x := r.text("A", "name"); x.State != postgres.TextOutdated || x.Target == nil {
		t.Errorf("a text without its source: %+v", x)
	}
	if n := r.count(`select count(*) from event where type = 'product.updated' and actor = 'translation:fake'`); n != 2 {
		t.Errorf("%d revisions by the translator, want 2", n)
	}
}

// The same sentence is sent, and paid for, once.
func TestSameSentenceIsSentOnce(t *testing.T) {
	t.Parallel()
	r := newTextRoad(t)
	fake := r.provider("fake", 0)
	all := skus(1000)
	r.items(all, func(sku pim.SKU) string {
		return `{"name":{"en-GB":"` + string(sku) + `"},"blurb":{"en-GB":"<p>Made in Ghent. Weighs ` + string(sku[4:]) + ` g.</p>"}}`
	})
	r.rule(func(rule *postgres.TextRule) { rule.Attributes = []string{"blurb"} })
	r.work()
	r.quiet()
	if _, sent := fake.counts(); len(sent) != 2 {
		t.Errorf("sent was %d texts: %.200q", len(sent), sent)
	}
	if got := r.target("SKU-0777", "blurb"); got != "<p>de Made in Ghent. de Weighs 0777 g.</p>" {
		t.Errorf("%q", got)
	}
	if n := r.count(`select count(*) from product where rev = 2 and values->'blurb'->>'de-DE' like '%de Made in Ghent.%'`); n != 1000 {
		t.Errorf("%d of 1000 products are translated in one revision", n)
	}
	r.item("B", `{"blurb":{"en-GB":"<p>Set of 12 bowls.</p>"}}`)
	r.quiet()
	r.item("C", `{"blurb":{"en-GB":"<p>Set of 18 bowls.</p>"}}`)
	r.quiet()
	if got := r.target("C", "blurb"); got != "<p>de Set of 18 bowls.</p>" {
		t.Errorf("%q", got)
	}
	if _, sent := fake.counts(); len(sent) != 3 {
		t.Errorf("another number was sent, too: %q", sent)
	}
}

// A service that is down is probed ever more seldom; tasks wait unharmed, and
// go on when it is back.
func TestServiceDown(t *testing.T) {
	t.Parallel()
	r := newTextRoad(t)
	fake := r.provider("fake", 0)
	fake.set(func(f *fakeService) { f.down = errDown })
	r.items(skus(50), func(sku pim.SKU) string {
		return `{"name":{"en-GB":"Thing ` + strings.ToLower(string(sku[4:])) + ` of many"}}`
	})
	began := time.Now()
	r.rule(nil)
	r.work()
	var least time.Duration
	for n := 1; n <= 3; n++ {
		r.until(func() bool {
			p, err := r.store.Provider(r.ctx, "fake")
			if err != nil {
				t.Fatal(err)
			}
			return p.Fails >= n
		})
		if n > 1 {
			least += 250 * time.Millisecond << (n - 2)
		}
	}
	calls, _ := fake.counts()
	p, err := r.store.Provider(r.ctx, "fake")
	if err != nil || calls > p.Fails+2 || time.Since(began) < least { // the first failure may be of two calls at once, and one be under way
		t.Errorf("%d calls for %d failures after %v (%v)", calls, p.Fails, time.Since(began), err)
	}
	if n := r.count(`select count(*) from task where kind = 'translate' and state = 'waiting' and attempts = 0`); n != 50 {
		t.Errorf("%d of 50 tasks wait unharmed", n)
	}
	if n := r.count(`select count(*) from lot where kind = 'translate' and lot = 'en-GB>de-DE' and fails > 0 and wait_until is not null and error like 'fake: %'`); n != 1 {
		t.Error("the pair does not wait with its reason: whoever works it off turns in circles")
	}
	fake.set(func(f *fakeService) { f.down = nil })
	r.quiet()
	if n := r.count(`select count(*) from product where values->'name' ? 'de-DE' and rev = 2`); n != 50 {
		t.Errorf("%d of 50 are translated", n)
	}
}

// A process that dies between an answer and the edit has the work done once
// more, but does not pay again, and there is one revision.
func TestKilledAfterAnswerPaysOnce(t *testing.T) {
	t.Parallel()
	r := newTextRoad(t)
	r.lease, r.sweep = time.Second, 100*time.Millisecond
	fake := r.provider("fake", 0)
	r.rule(nil)
	died := make(chan struct{})
	r.texts.AfterAnswer(func(ctx context.Context) {
		go func() {
			defer close(died)
			r.crash()
		}()
		<-ctx.Done()
	})
	r.work()
	r.items(skus(3), func(sku pim.SKU) string { return `{"name":{"en-GB":"Red kettle"}}` })
	select {
	case <-died:
	case <-r.ctx.Done():
		t.Fatal("nothing was asked")
	}
	if n := r.count(`select count(*) from product where values->'name' ? 'de-DE'`); n != 0 {
		t.Fatalf("%d products were edited before the death", n)
	}
	r.makeTexts()
	r.work()
	r.quiet()
	if _, sent := fake.counts(); len(sent) != 1 {
		t.Errorf("sent was %q", sent)
	}
	if n := r.count(`select count(*) from product where values->'name'->>'de-DE' = 'de Red kettle' and rev = 2`); n != 3 {
		t.Errorf("%d of 3 products have one revision by the translator", n)
	}
}

// What a service breaks goes to the next, is never stored as good, and is a
// failure with its reason where there is no next one.
func TestBrokenAnswersGoElsewhere(t *testing.T) {
	t.Parallel()
	r := newTextRoad(t)
	bad, good := r.provider("bad", 0), r.provider("good", 1)
	bad.set(func(f *fakeService) { f.breaks = true })
	r.rule(func(rule *postgres.TextRule) { rule.Providers = []string{"bad", "good"} })
	r.work()
	r.item("A", `{"name":{"en-GB":"Kettle 1.5 l"}}`)
	r.quiet()
	if got := r.target("A", "name"); got != "de Kettle 1.5 l" {
		t.Errorf("%q", got)
	}
	good.set(func(f *fakeService) { f.breaks = true })
	r.item("B", `{"name":{"en-GB":"Teapot 0.7 l"}}`)
	r.quiet()
	x := r.text("B", "name")
	if x.State != postgres.TextMissing || x.Target != nil || x.Error == "" || len(x.Faults) != 2 || x.Task != "failed" {
		t.Errorf("broken everywhere: %+v", x)
	}
	if n := r.count(`select count(*) from translation_memory`); n != 1 {
		t.Errorf("%d segments are remembered, want the good one", n)
	}
	good.set(func(f *fakeService) { f.breaks = false })
	if n, err := r.texts.Retry(r.ctx, postgres.TextFilter{}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	r.quiet()
	if got := r.target("B", "name"); got != "de Teapot 0.7 l" {
		t.Errorf("tried again: %q", got)
	}
	if p, err := r.store.Provider(r.ctx, "bad"); err != nil || p.Refused != 3 || p.Segments != 3 {
		t.Errorf("%+v %v", p, err)
	}
}

// A pair that the first service has not goes to the second; where nobody has
// it, the text is a failure.
func TestPairsAreRouted(t *testing.T) {
	t.Parallel()
	r := newTextRoad(t)
	one, two := r.provider("one", 0), r.provider("two", 1)
	one.set(func(f *fakeService) { f.pairs = []string{"nl-NL"} })
	two.set(func(f *fakeService) { f.pairs = []string{"de-DE"} })
	r.rule(func(rule *postgres.TextRule) { rule.To = []pim.Locale{"de-DE", "nl-NL", "en-US"} })
	r.work()
	r.item("A", `{"name":{"en-GB":"Red kettle"}}`)
	r.quiet()
	got := map[pim.Locale]string{}
	list, _, err := r.store.Texts(r.ctx, postgres.TextFilter{SKU: "A"}, postgres.Page{})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range list {
		got[x.Locale] = fmt.Sprint(x.State, " ", x.Provenance != nil && x.Error == "", " ", x.Task)
	}
	if len(got) != 3 || got["de-DE"] != "machine true " || got["nl-NL"] != "machine true " || got["en-US"] != "missing false failed" {
		t.Error(got)
	}
}

// A term of the glossary counts for the sentences that have it, and for no other.
func TestGlossaryRenewsWhatHasTheTerm(t *testing.T) {
	t.Parallel()
	r := newTextRoad(t)
	fake := r.provider("fake", 0)
	r.rule(nil)
	r.work()
	r.item("A", `{"name":{"en-GB":"Red kettle"}}`)
	r.item("B", `{"name":{"en-GB":"Blue cup"}}`)
	r.quiet()
	if _, err := r.store.PutGlossaryEntry(r.ctx, postgres.GlossaryEntry{From: "en", To: "de-DE", Term: "kettle", Translation: "Kessel", Kind: postgres.GlossaryFixed}); err != nil {
		t.Fatal(err)
	}
	r.item("C", `{"name":{"en-GB":"Red kettle"}}`)
	r.item("D", `{"name":{"en-GB":"Blue cup"}}`)
	r.quiet()
	if got := r.target("C", "name"); got != "de Red Kessel" {
		t.Errorf("%q", got)
	}
	if got := r.target("D", "name"); got != "de Blue cup" {
		t.Errorf("%q", got)
	}
	if _, sent := fake.counts(); len(sent) != 3 {
		t.Errorf("sent was %q", sent)
	}
}

// Whoever edits a product while its text is being translated is not overwritten,
// and a source that changes meanwhile is translated as it is then.
func TestEditorIsFasterThanTheTranslator(t *testing.T) {
	t.Parallel()
	r := newTextRoad(t)
	fake := r.provider("fake", 0)
	r.rule(func(rule *postgres.TextRule) { rule.Attributes = []string{"name"} })
	edits := []string{`{"name":{"de-DE":"Roter Kessel"}}`, `{"name":{"en-GB":"Blue pot"}}`}
	r.texts.AfterAnswer(func(context.Context) {
		if len(edits) > 0 {
			r.item("A", edits[0])
			edits = edits[1:]
		}
	})
	r.work()
	r.item("A", `{"name":{"en-GB":"Red kettle"}}`)
	r.quiet()
	if x := r.text("A", "name"); x.State != postgres.TextReviewed || r.target("A", "name") != "Roter Kessel" {
		t.Errorf("a person's text: %+v %q", x, r.target("A", "name"))
	}
	r.item("A", `{"name":{"en-GB":"Green cup","de-DE":null}}`)
	r.quiet()
	if got := r.target("A", "name"); got != "de Blue pot" {
		t.Errorf("%q", got)
	}
	if n := r.count(`select count(*) from event where data::text like '%de Red%' or data::text like '%de Green%'`); n != 0 {
		t.Errorf("%d revisions with a translation of what was not there any more", n)
	}
	if _, sent := fake.counts(); !slices.Equal(sent, []string{"Red kettle", "Green cup", "Blue pot"}) {
		t.Errorf("sent was %q", sent)
	}
}
