package jobs_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/govalues/decimal"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/translation"
	"github.com/sluicehub/sluice/connectors/translation/pseudo"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
	"github.com/sluicehub/sluice/pim/seal"
)

// fakeService is a translation and text service in the test's own process: it
// puts the language before each text. It can be down, and break what it gives.
type fakeService struct {
	mu     sync.Mutex
	calls  int
	sent   []string
	down   error
	breaks bool // it loses what it is given
	lies   bool // what it writes has a number of its own
	pairs  []string
	word   string // what it translates everything by; "": as said above
	chokes string // it has no usable answer to a call with such a text
	most   int    // how many texts it takes, 0 for any number
	told   string // the last instruction to write
	model  string // as it calls itself
	costs  string // EUR a call
	during func() // what happens while it writes, once
}

// bill says what a call used up, where calls cost something.
func (f *fakeService) bill(a *translation.Answer) *translation.Answer {
	if f.costs != "" {
		a.InputTokens, a.OutputTokens, a.Tokens = 10, 20, 30
		a.Cost = &translation.Cost{Amount: decimal.MustParse(f.costs), Currency: "EUR"}
	}
	return a
}

func (f *fakeService) set(change func(*fakeService)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *fakeService) counts() (calls int, sent []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls, append([]string{}, f.sent...)
}

func (f *fakeService) Translate(_ context.Context, r translation.Request) (*translation.Answer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	if f.down != nil {
		return nil, f.down
	}
	if len(f.pairs) > 0 && !strings.Contains(strings.Join(f.pairs, " "), string(r.To)) {
		return nil, translation.Unsupported(r.From, r.To, "not here")
	}
	f.sent = append(f.sent, r.Texts...)
	if f.chokes != "" && strings.Contains(strings.Join(r.Texts, " "), f.chokes) {
		return nil, translation.Unusable("it is not what was asked for")
	}
	if f.most > 0 && len(f.sent) > f.most {
		return nil, translation.Unsupported(r.From, r.To, "it has had enough")
	}
	a := &translation.Answer{Model: cmp.Or(f.model, "fake-1"), Characters: r.Characters()}
	for _, text := range r.Texts {
		switch {
		case f.breaks:
			a.Texts = append(a.Texts, "verloren")
		case f.word != "":
			a.Texts = append(a.Texts, f.word)
		default:
			for _, t := range r.Terms {
				text = strings.ReplaceAll(text, t.From, t.To)
			}
			a.Texts = append(a.Texts, string(r.To)[:2]+" "+text)
		}
	}
	return f.bill(a), nil
}

func (f *fakeService) Write(_ context.Context, p translation.Prompt) (*translation.Answer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	if f.down != nil {
		return nil, f.down
	}
	f.told = p.Instruction
	if f.during != nil {
		f.during()
		f.during = nil
	}
	a := &translation.Answer{Model: cmp.Or(f.model, "fake-1"), Characters: len(p.Facts)}
	for _, w := range p.Wanted {
		f.sent = append(f.sent, w.Name)
		text := cmp.Or(f.word, "A fine thing, "+p.Instruction)
		if f.lies {
			text = "It lasts 99 years"
		}
		a.Texts = append(a.Texts, text)
	}
	return f.bill(a), nil
}

func (f *fakeService) Probe(context.Context) error { return f.down }

// textRoad is a road with services that translate and write.
type textRoad struct {
	*road
	services map[string]*fakeService // by the name in their config
	keys     *seal.Keyset
}

type fakeConfig struct {
	Name string `json:"name"`
	Key  string `json:"key,omitempty" secret:"true"`

	Price    string       `json:"price_per_million,omitempty"`
	Currency pim.Currency `json:"currency,omitempty"`
}

func newTextRoad(t testing.TB) *textRoad {
	t.Helper()
	r := &textRoad{road: newRoad(t), services: map[string]*fakeService{}}
	if _, err := r.store.ChangeSchema(r.ctx, postgres.SchemaChange{
		Attributes: []pim.Attribute{
			{Code: "name", Type: pim.TypeText, Localizable: true, MaxLength: 200},
			{Code: "blurb", Type: pim.TypeRichText, Localizable: true},
			{Code: "claim", Type: pim.TypeText, Localizable: true, Scopable: true},
			{Code: "pitch", Type: pim.TypeText, Localizable: true},
			{Code: "brand", Type: pim.TypeText},
			{Code: "years", Type: pim.TypeNumber},
		},
		Families: []pim.Family{{Code: "item", Attributes: []pim.FamilyAttribute{
			{Code: "name"}, {Code: "blurb"}, {Code: "claim"}, {Code: "pitch"}, {Code: "brand"}, {Code: "years"},
		}}},
	}); err != nil {
		t.Fatal(err)
	}
	var err error
	if r.keys, err = seal.OpenOrCreate(r.keyset); err != nil {
		t.Fatal(err)
	}
	r.makeTexts()
	return r
}

func (r *textRoad) makeTexts() {
	kind := &translation.Kind{
		Name: "fake", Title: "Fake", Limits: translation.Limits{Texts: 10, Concurrency: 2, Timeout: time.Minute}, Config: &fakeConfig{},
		Makes: []translation.Provider{(*fakeService)(nil)},
		New: func(config json.RawMessage, _ translation.Env) (translation.Provider, error) {
			var c fakeConfig
			if err := json.Unmarshal(config, &c); err != nil || r.services[c.Name] == nil {
				return nil, &pim.Invalid{Problems: []pim.Problem{{Pointer: "/name", Code: "name", Detail: "is not known"}}}
			}
			return r.services[c.Name], nil
		},
	}
	r.texts = jobs.NewTexts(jobs.TextsConfig{Store: r.store, Registry: translation.NewRegistry(kind, pseudo.Kind), Keys: r.keys, Log: r.log, AllowPrivate: true, Version: "test"})
}

// provider makes a provider with a service of its own.
func (r *textRoad) provider(code string, priority int) *fakeService {
	r.Helper()
	s := &fakeService{}
	r.services[code] = s
	if _, err := r.texts.CreateProvider(r.ctx, jobs.ProviderSpec{
		Code: code, Kind: "fake", Config: json.RawMessage(`{"name":"` + code + `","key":"s3cret"}`), Priority: &priority,
	}); err != nil {
		r.Fatal(err)
	}
	return s
}

func (r *textRoad) rule(change func(*postgres.TextRule)) {
	r.Helper()
	rule := postgres.TextRule{Code: "german", Action: postgres.TextTranslate, From: "en-GB", To: []pim.Locale{"de-DE"}, Families: []string{"item"}}
	if change != nil {
		change(&rule)
	}
	if _, _, err := r.texts.PutRule(r.ctx, rule, 0); err != nil {
		r.Fatal(err)
	}
}

// locales makes further locales known.
func (r *textRoad) locales(list []pim.Locale) {
	r.Helper()
	if _, err := r.store.ChangeSchema(r.ctx, postgres.SchemaChange{Locales: list}); err != nil {
		r.Fatal(err)
	}
}

// item creates or changes a product of the family that has texts.
func (r *textRoad) item(sku pim.SKU, values string) {
	r.Helper()
	r.items([]pim.SKU{sku}, func(pim.SKU) string { return values })
}

func (r *textRoad) items(list []pim.SKU, values func(pim.SKU) string) {
	r.Helper()
	family := "item"
	var edits []postgres.Edit
	for _, sku := range list {
		v, err := pim.DecodeValues([]byte(values(sku)))
		if err != nil {
			r.Fatal(err)
		}
		edits = append(edits, postgres.Edit{SKU: sku, Mode: postgres.Merge, Family: &family, Values: v})
	}
	res, err := r.store.Edit(r.ctx, "erp", edits)
	if err != nil {
		r.Fatal(err)
	}
	for _, x := range res {
		if x.Err != nil {
			r.Fatal(x.SKU, x.Err)
		}
	}
}

// quiet waits until nothing is to be looked at or worked on.
func (r *textRoad) quiet() {
	r.Helper()
	r.until(func() bool {
		var n int
		if err := r.store.Pool().QueryRow(r.ctx, `
			select (select count(*) from outbox) + (select count(*) from derive) + (select count(*) from task where state = 'waiting')`).Scan(&n); err != nil {
			r.Fatal(err)
		}
		return n == 0
	})
}

func (r *textRoad) count(sql string, args ...any) (n int) {
	r.Helper()
	if err := r.store.Pool().QueryRow(r.ctx, sql, args...).Scan(&n); err != nil {
		r.Fatal(err)
	}
	return n
}

// text is what is known of a product's text in German.
func (r *textRoad) text(sku pim.SKU, attribute string) postgres.Text {
	r.Helper()
	list, _, err := r.store.Texts(r.ctx, postgres.TextFilter{SKU: sku, Attribute: attribute, Locale: "de-DE"}, postgres.Page{})
	if err != nil {
		r.Fatal(err)
	}
	if len(list) != 1 {
		r.Fatalf("%s of %s has %d texts", attribute, sku, len(list))
	}
	return list[0]
}

func (r *textRoad) target(sku pim.SKU, attribute string) string {
	r.Helper()
	if t := r.text(sku, attribute).Target; t != nil {
		return *t
	}
	return ""
}

func (r *textRoad) rev(sku pim.SKU) (rev int) {
	return r.count(`select rev from product where sku = $1`, sku)
}

var errDown = &connectors.Error{Verdict: connectors.Unavailable, Err: errors.New("connection refused")}
