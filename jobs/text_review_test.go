package jobs_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// What a provider for tests made is shown to the channel that is marked as a
// test, for as long as it is, and to no other.
func TestTestTextsStayOnTestChannels(t *testing.T) {
	t.Parallel()
	r := newTextRoad(t)
	if _, err := r.texts.CreateProvider(r.ctx, jobs.ProviderSpec{Code: "pseudo", Kind: "pseudo"}); err != nil {
		t.Fatal(err)
	}
	yes := true
	german := func(s *jobs.ChannelSpec) { s.Locale = "de-DE" }
	shop := r.channel("shop", webhooktest.Options{}, german)
	lab := r.channel("lab", webhooktest.Options{}, func(s *jobs.ChannelSpec) { german(s); s.Test = &yes })
	r.rule(func(rule *postgres.TextRule) { rule.Attributes = []string{"name"} })
	r.work()
	r.item("A", `{"name":{"en-GB":"Red kettle"},"brand":"Acme"}`)
	r.quiet()
	r.settled("shop", "lab")
	if got := name(lab, "A"); !strings.HasPrefix(got, "[Ŕéð") {
		t.Errorf("the test channel has %q", got)
	}
	if got := name(shop, "A"); got != "" {
		t.Errorf("the shop has %q", got)
	}
	for _, at := range []string{`select count(*) from product where values::text like '%[Ŕéð%'`, `select count(*) from event where data::text like '%[Ŕéð%'`} {
		if n := r.count(at); n != 0 {
			t.Errorf("%d rows of %s", n, at)
		}
	}
	preview, err := r.channels.Preview(r.ctx, "shop", "A", nil)
	if err != nil || !slices.ContainsFunc(preview.Lanes[0].Issues, func(i pim.Issue) bool { return i.Code == "mapping.text.test" }) {
		t.Errorf("the shop is not told what is left out: %+v %v", preview, err)
	}
	x := r.text("A", "name")
	if x.State != postgres.TextMachine || !x.Test || x.Target != nil || x.TestValue == nil {
		t.Errorf("%+v", x)
	}
	done, err := r.texts.Review(r.ctx, "eva", []jobs.TextDecision{{ID: x.ID, Action: jobs.AcceptText}})
	if _, invalid := errors.AsType[*pim.Invalid](done[0].Err); err != nil || !invalid {
		t.Errorf("a test text was accepted: %+v %v", done, err)
	}
	no := false
	config, _ := json.Marshal(map[string]any{"url": lab.URL(), "status_url": lab.StatusURL(), "secret": lab.Secret()})
	if _, err := r.channels.Update(r.ctx, "lab", jobs.ChannelSpec{Locale: "de-DE", Currency: "EUR", Config: config, SettleSeconds: 1, Test: &no}, 0); err != nil {
		t.Fatal(err)
	}
	r.settled("lab")
	if got := name(lab, "A"); got != "" {
		t.Errorf("what was a test channel still has %q", got)
	}
	// A real service takes its place, as if nothing were there.
	fake := r.provider("fake", 0)
	r.item("A", `{"brand":"Bravo"}`)
	r.quiet()
	r.settled("shop", "lab")
	if got := name(shop, "A"); got != "de Red kettle" {
		t.Errorf("the shop has %q", got)
	}
	if _, sent := fake.counts(); len(sent) != 1 {
		t.Errorf("the memory of tests was asked: %q", sent)
	}
}

// A translation is pushed to the channels that show its locale, and to no other.
func TestOtherLocalesAreNotPushed(t *testing.T) {
	t.Parallel()
	r := newTextRoad(t)
	r.provider("fake", 0)
	shop := r.channel("shop", webhooktest.Options{}, nil)
	r.rule(nil)
	r.work()
	r.item("A", `{"name":{"en-GB":"Red kettle"}}`)
	r.quiet()
	r.settled("shop")
	if got := r.target("A", "name"); got == "" {
		t.Error("it is not translated")
	}
	if n := len(shop.History("A", pim.Content)); n != 1 {
		t.Errorf("an English channel was sent it %d times", n)
	}
}

// What people decide is an edit of theirs, goes to the memory, and is never
// overwritten.
func TestReview(t *testing.T) {
	t.Parallel()
	r := newTextRoad(t)
	fake := r.provider("fake", 0)
	r.rule(func(rule *postgres.TextRule) { rule.Review = postgres.ReviewProposal })
	r.work()
	list := []pim.SKU{"A", "B", "C"}
	r.items(list, func(sku pim.SKU) string {
		return `{"name":{"en-GB":"Kettle ` + strings.ToLower(string(sku)) + ` here"}}`
	})
	r.quiet()
	var ids []int64
	for _, sku := range list {
		x := r.text(sku, "name")
		if x.Proposal == nil || x.State != postgres.TextMissing || x.Target != nil {
			t.Fatalf("%+v", x)
		}
		ids = append(ids, x.ID)
	}
	done, err := r.texts.Review(r.ctx, "eva", []jobs.TextDecision{
		{ID: ids[0], Action: jobs.AcceptText},
		{ID: ids[1], Action: jobs.EditText, Text: "Kessel b ist da"},
		{ID: ids[2], Action: jobs.RejectText},
		{ID: ids[2], Rev: 9999, Action: jobs.RejectText},
		{ID: 1 << 40, Action: jobs.AcceptText},
	})
	if err != nil || done[0].Err != nil || done[1].Err != nil || done[2].Err != nil || !errors.Is(done[4].Err, postgres.ErrNotFound) || done[3].Err == nil {
		t.Fatalf("%+v %v", done, err)
	}
	r.quiet()
	for i, want := range []struct {
		state  postgres.TextState
		target string
	}{{postgres.TextReviewed, "de Kettle a here"}, {postgres.TextReviewed, "Kessel b ist da"}, {postgres.TextMissing, ""}} {
		if x := r.text(list[i], "name"); x.State != want.state || r.target(list[i], "name") != want.target || x.Proposal != nil {
			t.Errorf("%s: %+v", list[i], x)
		}
	}
	if n := r.count(`select count(*) from event where actor = 'eva' and type = 'product.updated'`); n != 2 {
		t.Errorf("%d edits by the reviewer", n)
	}
	r.item("D", `{"name":{"en-GB":"Kettle b here"}}`) // as a person translated it
	r.quiet()
	if x := r.text("D", "name"); x.Proposal == nil || *x.Proposal != "Kessel b ist da" || x.Provenance.Providers[0] != postgres.MemoryPerson {
		t.Errorf("%+v %+v", x, x.Provenance)
	}
	r.item("E", `{"name":{"en-GB":"Kettle b here now"}}`)
	r.quiet()
	if x := r.text("E", "name"); len(x.Suggestions) == 0 || x.Suggestions[0].Target != "Kessel b ist da" || x.Suggestions[0].Similarity < 0.7 {
		t.Errorf("suggestions: %+v", x.Suggestions)
	}
	r.item("A", `{"name":{"en-GB":"Pot a here"}}`)
	r.quiet()
	if x := r.text("A", "name"); x.State != postgres.TextOutdated || r.target("A", "name") != "de Kettle a here" || x.Proposal == nil {
		t.Errorf("an accepted text of another source: %+v", x)
	}
	r.item("A", `{"name":{"de-DE":"Topf a ist da"}}`) // a person, by other ways
	r.quiet()
	if x := r.text("A", "name"); x.State != postgres.TextReviewed || x.Proposal != nil {
		t.Errorf("a person's own text: %+v", x)
	}
	if _, sent := fake.counts(); len(sent) != 5 {
		t.Errorf("sent was %q", sent)
	}
}

// Texts go out as CSV and come back filled in; a row that is not as it was
// exported any more is refused.
func TestTextsAsCSV(t *testing.T) {
	t.Parallel()
	r := newTextRoad(t)
	r.provider("fake", 0)
	r.rule(func(rule *postgres.TextRule) { rule.Review = postgres.ReviewProposal })
	r.work()
	r.items([]pim.SKU{"A", "B"}, func(pim.SKU) string { return `{"name":{"en-GB":"Kettle, \"red\"\nand round"}}` })
	r.quiet()
	var out bytes.Buffer
	if n, err := r.texts.ExportTexts(r.ctx, &out, postgres.TextFilter{Waits: true}); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	rows, err := csv.NewReader(&out).ReadAll()
	if err != nil || len(rows) != 3 || rows[1][2] != "A" || rows[1][8] != "Kettle, \"red\"\nand round" {
		t.Fatal(rows, err)
	}
	rows[1][11], rows[2][11] = "'- Kessel, rot", "Kessel, rund"
	if _, err := r.texts.Review(r.ctx, "eva", []jobs.TextDecision{{ID: r.text("B", "name").ID, Action: jobs.RejectText}}); err != nil {
		t.Fatal(err)
	}
	rows = append(rows, []string{"x", "1", "", "", "", "", "", "", "", "", "", "no"})
	var in bytes.Buffer
	w := csv.NewWriter(&in)
	if err := w.WriteAll(rows); err != nil {
		t.Fatal(err)
	}
	got, err := r.texts.ImportTexts(r.ctx, &in, "agency")
	if err != nil || len(got) != 3 || got[0].Err != nil || !errors.Is(got[1].Err, postgres.ErrStale) || got[2].Err == nil || got[1].Line != 5 {
		t.Errorf("%+v %v", got, err)
	}
	if got := r.target("A", "name"); got != "- Kessel, rot" {
		t.Errorf("%q", got)
	}
	for _, bad := range []string{"", "sku,text\nA,b\n", "id,rev,text\n\"1,2,3\n"} {
		_, err := r.texts.ImportTexts(r.ctx, strings.NewReader(bad), "agency")
		if _, invalid := errors.AsType[*pim.Invalid](err); !invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// Written texts state facts, wait for a person, and are made only by rules.
func TestGeneratedTexts(t *testing.T) {
	t.Parallel()
	r := newTextRoad(t)
	fake := r.provider("fake", 0)
	r.work()
	r.item("A", `{"name":{"en-GB":"Red kettle"},"brand":"Acme","years":3}`)
	r.quiet()
	if calls, _ := fake.counts(); calls != 0 {
		t.Errorf("%d calls without a rule", calls)
	}
	r.rule(func(rule *postgres.TextRule) {
		*rule = postgres.TextRule{
			Code: "pitch", Action: postgres.TextGenerate, Attributes: []string{"pitch"}, From: "en-GB", To: []pim.Locale{"de-DE"},
			Template: "for {family} in {locale}", MaxLength: 60,
		}
	})
	r.quiet()
	x := r.text("A", "pitch")
	if x.State != postgres.TextMissing || x.Proposal == nil || *x.Proposal != "A fine thing, for item in de-DE" || x.Provenance.Model != "fake-1" {
		t.Fatalf("%+v", x)
	}
	if _, err := r.texts.Review(r.ctx, "eva", []jobs.TextDecision{{ID: x.ID, Action: jobs.AcceptText}}); err != nil {
		t.Fatal(err)
	}
	r.quiet()
	if x := r.text("A", "pitch"); x.State != postgres.TextReviewed || r.target("A", "pitch") == "" {
		t.Errorf("%+v", x)
	}
	fake.set(func(f *fakeService) { f.lies = true })
	r.item("B", `{"name":{"en-GB":"Blue kettle"},"years":5}`)
	r.quiet()
	if x := r.text("B", "pitch"); x.Proposal != nil || x.Error == "" || len(x.Faults) == 0 || x.Faults[0].Code != "fact.number" || x.Task != "failed" {
		t.Errorf("a text with a number of its own: %+v", x)
	}
	fake.set(func(f *fakeService) { f.lies = false })
	r.rule(func(rule *postgres.TextRule) {
		*rule = postgres.TextRule{
			Code: "pitch", Action: postgres.TextGenerate, Attributes: []string{"pitch"}, From: "en-GB", To: []pim.Locale{"de-DE"},
			Template: "for {family} in {locale}, at great length indeed, if that is allowed", MaxLength: 40, Review: postgres.ReviewAuto,
		}
	})
	r.quiet()
	r.item("C", `{"name":{"en-GB":"Green kettle"}}`)
	r.quiet()
	if x := r.text("C", "pitch"); x.Proposal == nil || x.Target != nil || !strings.Contains(x.Error, "40") {
		t.Errorf("a text that is too long: %+v", x)
	}
}

// A family that gets a text which a rule is for has it made for the products
// that are there, though nobody edits them.
func TestFamilyGetsATextOfARule(t *testing.T) {
	t.Parallel()
	r := newTextRoad(t)
	r.provider("fake", 0)
	r.work()
	r.item("A", `{"name":{"en-GB":"Red kettle"}}`)
	slogan := pim.Attribute{Code: "slogan", Type: pim.TypeText, Localizable: true}
	if _, err := r.store.ChangeSchema(r.ctx, postgres.SchemaChange{Attributes: []pim.Attribute{slogan}}); err != nil {
		t.Fatal(err)
	}
	r.rule(func(rule *postgres.TextRule) {
		*rule = postgres.TextRule{
			Code: "slogan", Action: postgres.TextGenerate, Attributes: []string{"slogan"}, From: "en-GB", To: []pim.Locale{"de-DE"},
			Template: "for {family} in {locale}",
		}
	})
	r.quiet()
	family := *r.store.Schema().Families["item"]
	family.Attributes = append(slices.Clone(family.Attributes), pim.FamilyAttribute{Code: "slogan"})
	if _, err := r.store.ChangeSchema(r.ctx, postgres.SchemaChange{Families: []pim.Family{family}}); err != nil {
		t.Fatal(err)
	}
	r.until(func() bool {
		return r.count(`select count(*) from product_text where attribute = 'slogan' and proposal is not null`) == 1
	})
}

// What somebody edits is translated before what only waits to be caught up with.
func TestLiveEditsGoFirst(t *testing.T) {
	t.Parallel()
	r := newTextRoad(t)
	fake := r.provider("fake", 0)
	fake.set(func(f *fakeService) { f.down = errDown })
	r.items(skus(20), func(sku pim.SKU) string {
		return `{"name":{"en-GB":"Thing ` + strings.ToLower(string(sku[4:])) + ` of many"}}`
	})
	r.work()
	r.until(func() bool { return r.count(`select count(*) from outbox`) == 0 })
	r.rule(nil)
	r.until(func() bool { return r.count(`select count(*) from task where kind = 'translate'`) == 20 })
	r.item("LIVE", `{"name":{"en-GB":"A live edit of mine"}}`)
	r.until(func() bool { return r.count(`select count(*) from task where kind = 'translate'`) == 21 })
	if n := r.count(`select count(*) from task k join product_text t on t.id = k.subject join product p on p.id = t.product_id
		where p.sku = 'LIVE' and k.due_at < (select min(due_at) from task o where o.id <> k.id)`); n != 1 {
		t.Error("the live edit is not before the others")
	}
}

func TestRulesAndProvidersAreChecked(t *testing.T) {
	t.Parallel()
	r := newTextRoad(t)
	r.provider("fake", 0)
	_, _, err := r.texts.PutRule(r.ctx, postgres.TextRule{
		Code: "a b", Action: "guess", Families: []string{"none"}, Attributes: []string{"brand", "nothing"}, From: "xx", To: []pim.Locale{"de-DE", "de-DE", "qq"},
		Providers: []string{"nobody"}, Review: "maybe", MaxLength: -1, Channel: "nowhere",
	}, 0)
	invalid, _ := errors.AsType[*pim.Invalid](err)
	if invalid == nil || len(invalid.Problems) != 12 {
		t.Errorf("%v %+v", err, invalid)
	}
	r.rule(nil)
	rule, err := r.store.TextRule(r.ctx, "german")
	if err != nil || rule.Rev != 1 || rule.Review != postgres.ReviewAuto {
		t.Errorf("%+v %v", rule, err)
	}
	r.rule(nil)
	if same, _ := r.store.TextRule(r.ctx, "german"); same.Rev != 1 {
		t.Error("the same rule again is a change")
	}
	if _, _, err := r.texts.PutRule(r.ctx, rule, 7); !errors.Is(err, postgres.ErrStale) {
		t.Error(err)
	}
	if err := r.store.DeleteProvider(r.ctx, "fake", 0); err != nil {
		t.Error("no rule names it:", err)
	}
	r.provider("fake", 0)
	r.rule(func(rule *postgres.TextRule) { rule.Providers = []string{"fake"} })
	if err := r.store.DeleteProvider(r.ctx, "fake", 0); !errors.Is(err, postgres.ErrInUse) {
		t.Error(err)
	}
	p, err := r.store.Provider(r.ctx, "fake")
	if err != nil || strings.Contains(string(p.Config), "s3cret") || bytes.Contains(p.Secrets, []byte("s3cret")) {
		t.Errorf("%s %v", p.Config, err)
	}
	if config, secrets := r.texts.PublicProvider(p); strings.Contains(string(config), "s3cret") || !slices.Equal(secrets, []string{"key"}) {
		t.Errorf("%s %q", config, secrets)
	}
	for _, spec := range []jobs.ProviderSpec{
		{Code: "person", Kind: "fake"}, {Code: "x", Kind: "what"}, {Code: "x", Kind: "fake", Config: json.RawMessage(`[]`)}, {Code: "x", Kind: "fake", Config: json.RawMessage(`{"name":"unknown"}`)},
	} {
		_, err := r.texts.CreateProvider(r.ctx, spec)
		if _, invalid := errors.AsType[*pim.Invalid](err); !invalid {
			t.Errorf("%+v: %v", spec, err)
		}
	}
	if _, err := r.texts.CreateProvider(r.ctx, jobs.ProviderSpec{Code: "fake", Kind: "fake", Config: json.RawMessage(`{"name":"fake"}`)}); !errors.Is(err, postgres.ErrExists) {
		t.Error(err)
	}
	quota := int64(5)
	if p, err = r.texts.UpdateProvider(r.ctx, "fake", jobs.ProviderSpec{Quota: &quota}, p.Version); err != nil || p.Quota != 5 || p.Secrets == nil {
		t.Errorf("%+v %v", p, err)
	}
	if err := r.texts.TestProvider(r.ctx, "fake"); err != nil {
		t.Error(err)
	}
	// Beyond its quota a service is not asked, and the texts wait.
	r.work()
	r.item("A", `{"name":{"en-GB":"Red kettle"}}`)
	r.until(func() bool {
		return r.count(`select count(*) from lot where kind = 'translate' and wait_until > now() and error like '%quota%'`) == 1
	})
	if calls, _ := r.services["fake"].counts(); calls != 0 {
		t.Errorf("%d calls beyond the quota", calls)
	}
	quota = 0
	if _, err = r.texts.UpdateProvider(r.ctx, "fake", jobs.ProviderSpec{Quota: &quota}, 0); err != nil {
		t.Fatal(err)
	}
	r.quiet()
	p, err = r.store.Provider(r.ctx, "fake")
	if err != nil || p.Used != 10 || p.Characters != 10 || p.Calls != 1 || r.target("A", "name") != "de Red kettle" {
		t.Errorf("%+v %v", p, err)
	}
	if err := r.store.DeleteTextRule(r.ctx, "german", 0); err != nil {
		t.Fatal(err)
	}
	r.quiet()
	r.until(func() bool { return r.count(`select count(*) from product_text`) == 0 })
	if n := r.count(`select count(*) from product where values->'name'->>'de-DE' = 'de Red kettle'`); n != 1 {
		t.Error("a text went with its rule: " + strconv.Itoa(n))
	}
}
