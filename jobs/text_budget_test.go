package jobs_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// dear makes a provider whose calls cost 0.60 EUR, and that may cost so much a month.
func (r *textRoad) dear(code, budget string) *fakeService {
	r.Helper()
	s := &fakeService{costs: "0.60"}
	r.services[code] = s
	if _, err := r.texts.CreateProvider(r.ctx, jobs.ProviderSpec{
		Code: code, Kind: "fake", Config: json.RawMessage(`{"name":"` + code + `","price_per_million":"20","currency":"EUR"}`), Budget: &budget,
	}); err != nil {
		r.Fatal(err)
	}
	return s
}

// A provider whose budget for the month is used up is not asked: the next one is,
// or the texts wait, until the month or the budget is another one.
func TestBudget(t *testing.T) {
	t.Parallel()
	for _, action := range []postgres.TextAction{postgres.TextTranslate, postgres.TextGenerate} {
		t.Run(string(action), func(t *testing.T) {
			t.Parallel()
			r := newTextRoad(t)
			dear := r.dear("dear", "1.00")
			cheap := r.provider("cheap", 1)
			r.rule(func(rule *postgres.TextRule) {
				rule.Attributes = []string{"name"}
				if rule.Action = action; action == postgres.TextGenerate {
					rule.Attributes, rule.Template, rule.Review = []string{"pitch"}, "for all", postgres.ReviewAuto
				}
			})
			r.work()
			add := func(sku pim.SKU, name string) { r.item(sku, `{"name":{"en-GB":"`+name+`"}}`) }
			for sku, name := range map[pim.SKU]string{"A": "Red kettle", "B": "Blue pot", "C": "Green cup"} {
				add(sku, name)
				r.quiet()
			}
			calls := func(dearest, cheapest int) {
				t.Helper()
				a, _ := dear.counts()
				b, _ := cheap.counts()
				if a != dearest || b != cheapest {
					t.Errorf("%d and %d calls, want %d and %d", a, b, dearest, cheapest)
				}
			}
			calls(2, 1)
			// Each text says what it is from and what it cost, with the revision that it is.
			if n := r.count(`select count(*) from product_text t join product p on p.id = t.product_id where provenance->'providers' = '["dear"]' and provenance->>'model' = 'fake-1' and
				provenance->>'source_hash' = t.source_hash and (provenance->>'amount')::numeric > 0 and provenance->>'currency' = 'EUR' and (provenance->>'rev')::bigint = p.rev`); n != 2 {
				t.Errorf("%d of 2 texts have their provenance", n)
			}
			months, err := r.store.ProviderMonths(r.ctx, "dear", 10)
			want := []postgres.ProviderMonth{{Calls: 2, Segments: 2, InputTokens: 20, OutputTokens: 40, Costs: map[pim.Currency]string{"EUR": "1.20"}}}
			if diff := cmp.Diff(want, months, cmpopts.IgnoreFields(postgres.ProviderMonth{}, "Month", "Characters")); diff != "" || err != nil {
				t.Error(diff, err)
			}
			p, err := r.store.Provider(r.ctx, "dear")
			if err != nil || p.Spent != "1.20" || p.Budget != "1.00" || p.BudgetCurrency != "EUR" || !jobs.BudgetUsedUp(p) {
				t.Errorf("%+v %v", p, err)
			}

			off, more := false, "2.00"
			if _, err := r.texts.UpdateProvider(r.ctx, "cheap", jobs.ProviderSpec{Enabled: &off}, 0); err != nil {
				t.Fatal(err)
			}
			waits := func() {
				t.Helper()
				r.until(func() bool {
					return r.count(`select count(*) from lot where kind = $1 and wait_until > now() and error like '%budget of % EUR a month is used up'`, action) == 1
				})
			}
			add("D", "White bowl")
			waits()
			if _, err := r.texts.UpdateProvider(r.ctx, "dear", jobs.ProviderSpec{Budget: &more}, 0); err != nil {
				t.Fatal(err)
			}
			r.quiet()
			calls(3, 1)
			add("E", "Black lid")
			r.quiet()
			calls(4, 1)
			add("F", "Brown jug")
			waits()
			if _, err := r.store.Pool().Exec(r.ctx, `update provider_month set month = month - interval '1 month'`); err != nil { // as if the next one had begun
				t.Fatal(err)
			}
			if err := r.store.ResumeProvider(r.ctx, "dear"); err != nil {
				t.Fatal(err)
			}
			r.quiet()
			calls(5, 1)
		})
	}
}

func TestBudgetNeedsAPrice(t *testing.T) {
	t.Parallel()
	r := newTextRoad(t)
	r.provider("fake", 0)
	for budget, want := range map[string]string{"10": "budget.price", "-1": "budget", "much": "budget", "0": "", "0.00": ""} {
		_, err := r.texts.UpdateProvider(r.ctx, "fake", jobs.ProviderSpec{Budget: &budget}, 0)
		invalid, _ := errors.AsType[*pim.Invalid](err)
		if (want == "") != (err == nil) || want != "" && (invalid == nil || invalid.Problems[0].Code != want || invalid.Problems[0].Pointer != "/budget") {
			t.Errorf("a budget of %s: %v", budget, err)
		}
	}
}
