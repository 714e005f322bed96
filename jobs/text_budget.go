package jobs

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/govalues/decimal"

	"github.com/sluicehub/sluice/connectors/translation"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// purse is what a provider may still cost in this month, as far as the work at
// hand knows. A call is begun while there is anything left, since nobody knows
// what it will cost: what is in flight then can cost more than is left.
type purse struct {
	currency pim.Currency // "": no bound

	mu   sync.Mutex
	left decimal.Decimal
}

// purse is the provider's, one for all lots of a round.
func (b *ruleBook) purse(p *postgres.Provider) *purse {
	if b.purses[p.Code] == nil {
		b.purses[p.Code] = purseOf(p)
	}
	return b.purses[p.Code]
}

func purseOf(p *postgres.Provider) *purse {
	budget, err1 := decimal.Parse(p.Budget)
	spent, err2 := decimal.Parse(p.Spent)
	if err1 != nil || budget.IsZero() {
		return &purse{}
	}
	left, err3 := budget.Sub(spent)
	if err2 != nil || err3 != nil {
		left = decimal.Decimal{} // more than can be counted was spent
	}
	return &purse{currency: p.BudgetCurrency, left: left}
}

func (u *purse) empty() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.currency != "" && u.left.Sign() <= 0
}

func (u *purse) pay(c *translation.Cost) {
	if c == nil || u.currency == "" || c.Currency != u.currency {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if left, err := u.left.Sub(c.Amount); err == nil {
		u.left = left
	}
}

// budget sets what a provider may cost, now as its settings say (nil: as it was),
// and tells what is wrong with that.
func budget(p *postgres.Provider, said *string) []pim.Problem {
	refuse := func(code, detail string) []pim.Problem {
		return []pim.Problem{{Pointer: "/budget", Code: code, Detail: detail}}
	}
	if said != nil {
		d, err := decimal.Parse(*said)
		if err != nil || d.IsNeg() || d.Prec()-d.Scale() > 9 || d.Scale() > 9 {
			return refuse("budget", "is not an amount such as 50.00")
		}
		p.Budget = d.String()
	}
	if d, err := decimal.Parse(p.Budget); err != nil || d.IsZero() {
		p.Budget, p.BudgetCurrency = "0", ""
		return nil
	}
	var prices map[string]any
	if json.Unmarshal(p.Config, &prices) != nil {
		return nil // that is told already
	}
	priced := false
	for name, v := range prices {
		s, _ := v.(string)
		priced = priced || strings.HasSuffix(name, "price_per_million") && s != ""
	}
	currency, _ := prices["currency"].(string)
	if !priced || currency == "" {
		return refuse("budget.price", "needs a price in config: without one nobody knows what it costs")
	}
	p.BudgetCurrency = pim.Currency(currency)
	return nil
}

// BudgetUsedUp reports whether a provider's budget for this month is.
func BudgetUsedUp(p *postgres.Provider) bool { return purseOf(p).empty() }

func budgetUsedUp(p *postgres.Provider) string {
	return fmt.Sprintf("%s: its budget of %s %s a month is used up", p.Code, p.Budget, p.BudgetCurrency)
}

// useOf is what a call used up that gave an answer to so many texts.
func useOf(p *postgres.Provider, a *translation.Answer, texts int) postgres.ProviderUse {
	use := postgres.ProviderUse{
		Code: p.Code, Calls: 1, Segments: int64(texts), Characters: int64(a.Characters), Tokens: int64(a.Tokens),
		InputTokens: int64(a.InputTokens), OutputTokens: int64(a.OutputTokens),
	}
	if a.Cost != nil {
		use.Amount, use.Currency = a.Cost.Amount.String(), a.Cost.Currency
	}
	return use
}
