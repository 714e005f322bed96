package jobs_test

import (
	"context"
	"testing"

	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// german creates a channel that shows German texts.
func (r *textRoad) german(code pim.ChannelCode, test bool) *webhooktest.Server {
	r.Helper()
	return r.channel(code, webhooktest.Options{}, func(s *jobs.ChannelSpec) { s.Locale, s.Test = "de-DE", &test })
}

// held waits until a product's content waits for a text, and gives the issue.
func (r *textRoad) held(sku pim.SKU, saying string) {
	r.Helper()
	r.until(func() bool {
		return r.count(`
			select count(*) from listing l join product p on p.id = l.product_id cross join jsonb_array_elements(l.issues) i
			where p.sku = $1 and l.lane = 1 and l.dirty and i->>'code' = 'mapping.text.pending' and i->>'attribute' = 'name' and i->>'text' like '%' || $2 || '%'`,
			sku, saying) == 1
	})
}

func (r *textRoad) named(fake *webhooktest.Server, sku pim.SKU, want string, times int) {
	r.Helper()
	if n := len(fake.History(sku, pim.Content)); n != times || name(fake, sku) != want {
		r.Errorf("%s was sent %d times, and is %q; want %d times and %q", sku, n, name(fake, sku), times, want)
	}
}

// A new product is sent once, with the translated text, and a channel that does
// not show it does not wait.
func TestNewProductWaitsForItsText(t *testing.T) {
	t.Parallel()
	r := newTextRoad(t)
	r.provider("fake", 0)
	r.rule(nil)
	de, en := r.german("shop-de", false), r.channel("shop-en", webhooktest.Options{}, nil)
	r.texts.AfterAnswer(func(context.Context) { // what was answered is not stored before it was waited for
		r.held("A", "")
		r.settled("shop-en")
	})
	r.work()
	r.item("A", `{"name":{"en-GB":"Red kettle"}}`)
	r.quiet()
	r.settled("shop-de", "shop-en")
	r.named(de, "A", "de Red kettle", 1)
	r.named(en, "A", "Red kettle", 1)
	if n := r.count(`select count(*) from listing where issues is not null`); n != 0 {
		t.Errorf("%d listings still say that they wait", n)
	}
}

// While the service is away the listing waits and says why, a preview says so,
// and after the rule's time the product goes out as it is. What is live is not
// kept back.
func TestProductGoesOutAfterItsTime(t *testing.T) {
	t.Parallel()
	r := newTextRoad(t)
	fake := r.provider("fake", 0)
	fake.set(func(f *fakeService) { f.down = errDown })
	r.rule(nil)
	r.item("A", `{"name":{"en-GB":"Red kettle"}}`)
	r.work()
	r.until(func() bool {
		return r.count(`select count(*) from lot where kind = 'translate' and wait_until is not null`) == 1
	})
	de := r.german("shop", false)
	r.held("A", "is still to be translated")
	p, err := r.channels.Preview(r.ctx, "shop", "A", nil)
	if err != nil || p.Lanes[0].Outlook != jobs.OutlookWaits || len(p.Lanes[0].Issues) != 1 || p.Lanes[0].Document == nil {
		t.Errorf("its preview: %+v %v", p, err)
	}
	if d, err := r.channels.DryRun(r.ctx, "shop", jobs.DryRun{}); err != nil || d.Lanes[pim.Content][jobs.OutlookWaits] != 1 {
		t.Errorf("its dry run: %+v %v", d, err)
	}
	r.named(de, "A", "", 0)
	if _, err := r.store.Pool().Exec(r.ctx, `
		with t as (update task set created_at = created_at - interval '4 hours')
		update listing set dirty_at = dirty_at - interval '4 hours', due_at = now()`); err != nil {
		t.Fatal(err)
	}
	r.settled("shop")
	r.named(de, "A", "", 1)
	r.item("A", `{"brand":"Acme"}`)
	r.settled("shop")
	r.named(de, "A", "", 2)
	fake.set(func(f *fakeService) { f.down = nil })
	if err := r.store.ResumeProvider(r.ctx, "fake"); err != nil {
		t.Fatal(err)
	}
	r.quiet()
	r.settled("shop")
	r.named(de, "A", "de Red kettle", 3)
}

// Whoever cancels a task, or deletes the rule, lets the product go; so does a
// text that no service can make.
func TestNothingComesOfAText(t *testing.T) {
	t.Parallel()
	r := newTextRoad(t)
	fake := r.provider("fake", 0)
	fake.set(func(f *fakeService) { f.down = errDown })
	r.rule(nil)
	de := r.german("shop", false)
	r.work()
	r.item("A", `{"name":{"en-GB":"Red kettle"}}`)
	r.held("A", "is still to be translated")
	if n, err := r.store.CancelTasks(r.ctx, postgres.TaskChoice{Kind: "translate"}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	r.settled("shop")
	r.named(de, "A", "", 1)

	r.item("B", `{"name":{"en-GB":"Blue pot"}}`)
	r.held("B", "is still to be translated")
	if err := r.store.DeleteTextRule(r.ctx, "german", 0); err != nil {
		t.Fatal(err)
	}
	r.settled("shop")
	r.named(de, "B", "", 1)

	fake.set(func(f *fakeService) { f.down, f.breaks = nil, true })
	if err := r.store.ResumeProvider(r.ctx, "fake"); err != nil {
		t.Fatal(err)
	}
	r.rule(nil)
	r.quiet()
	r.item("C", `{"name":{"en-GB":"Kettle 1.5 l"}}`)
	r.quiet()
	r.settled("shop")
	r.named(de, "C", "", 1)
	if x := r.text("C", "name"); x.Task != "failed" {
		t.Errorf("%+v", x)
	}
}

// A variant waits for a text of its parent's.
func TestVariantWaitsForItsParentsText(t *testing.T) {
	t.Parallel()
	r := newTextRoad(t)
	fake := r.provider("fake", 0)
	fake.set(func(f *fakeService) { f.down = errDown })
	r.rule(func(rule *postgres.TextRule) { rule.Families = []string{"thing"} })
	de := r.german("shop", false)
	r.work()
	family, variant, parent := "thing", "by-colour", pim.SKU("P")
	for _, e := range []postgres.Edit{
		{SKU: "P", Mode: postgres.Merge, Family: &family, FamilyVariant: &variant, Values: pim.Values{"name": map[string]any{"en-GB": "Red kettle"}}},
		{SKU: "V", Mode: postgres.Merge, Family: &family, Parent: &parent, Values: pim.Values{"colour": "red"}},
	} {
		if res, err := r.store.Edit(r.ctx, "erp", []postgres.Edit{e}); err != nil || res[0].Err != nil {
			t.Fatal(res, err)
		}
	}
	r.held("P", "is still to be translated")
	r.held("V", "is still to be translated")
	fake.set(func(f *fakeService) { f.down = nil })
	if err := r.store.ResumeProvider(r.ctx, "fake"); err != nil {
		t.Fatal(err)
	}
	r.quiet()
	r.settled("shop")
	r.named(de, "P", "de Red kettle", 1)
	r.named(de, "V", "de Red kettle", 1)
}

// A text that waits for a person keeps nothing back, unless its rule says so.
func TestProposalKeepsBackByItsRule(t *testing.T) {
	t.Parallel()
	r := newTextRoad(t)
	r.provider("fake", 0)
	r.rule(func(rule *postgres.TextRule) { rule.Review = postgres.ReviewProposal })
	de := r.german("shop", false)
	r.work()
	r.item("A", `{"name":{"en-GB":"Red kettle"}}`)
	r.quiet()
	r.settled("shop")
	r.named(de, "A", "", 1)
	hour := 60
	r.rule(func(rule *postgres.TextRule) { rule.Review, rule.HoldMinutes = postgres.ReviewProposal, &hour })
	r.item("B", `{"name":{"en-GB":"Blue pot"}}`)
	r.item("C", `{"name":{"en-GB":"Green cup"}}`)
	r.held("B", "waits for a person")
	r.held("C", "waits for a person")
	b, c := r.text("B", "name"), r.text("C", "name")
	if _, err := r.texts.Review(r.ctx, "anna", []jobs.TextDecision{
		{ID: b.ID, Action: jobs.AcceptText}, {ID: c.ID, Action: jobs.RejectText},
	}); err != nil {
		t.Fatal(err)
	}
	r.settled("shop")
	r.named(de, "B", "de Blue pot", 1)
	r.named(de, "C", "", 1)
}

// What providers for tests make keeps back channels that are tests alone.
func TestTestRuleHoldsTestChannels(t *testing.T) {
	t.Parallel()
	r := newTextRoad(t)
	if _, err := r.texts.CreateProvider(r.ctx, jobs.ProviderSpec{Code: "pseudo", Kind: "pseudo"}); err != nil {
		t.Fatal(err)
	}
	r.rule(nil)
	shop, lab := r.german("shop", false), r.german("lab", true)
	if _, err := r.store.Pool().Exec(r.ctx, `insert into lot (kind, lot, wait_until) values ('translate', 'en-GB>de-DE', now() + interval '1 hour')`); err != nil {
		t.Fatal(err)
	}
	r.work()
	r.item("A", `{"name":{"en-GB":"Red kettle"}}`)
	r.held("A", "is still to be translated")
	r.settled("shop")
	r.named(shop, "A", "", 1)
	r.named(lab, "A", "", 0)
	if err := r.store.ResumeProvider(r.ctx, "pseudo"); err != nil {
		t.Fatal(err)
	}
	r.quiet()
	r.settled("shop", "lab")
	r.named(shop, "A", "", 1)
	if n := len(lab.History("A", pim.Content)); n != 1 || name(lab, "A") == "" {
		t.Errorf("the test channel got it %d times, as %q", n, name(lab, "A"))
	}
}
