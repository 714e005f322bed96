package translation

import (
	"fmt"

	"github.com/govalues/decimal"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
)

// Price is what a million units (characters or tokens) cost. The zero Price is
// none.
type Price struct {
	perMillion decimal.Decimal
	currency   pim.Currency
}

// ReadPrice checks a price from a provider's settings: the amount as decimal
// text such as "20.00" in the field named field, its currency in "currency". An
// empty amount is no price.
func ReadPrice(check *connectors.ConfigCheck, field, amount string, currency pim.Currency) Price {
	if amount == "" {
		return Price{}
	}
	d, err := decimal.Parse(amount)
	if err != nil || d.IsNeg() || d.Prec()-d.Scale() > 9 {
		check.Add(field, "config.price", "is not a price such as 20.00")
		return Price{}
	}
	if currency == "" {
		check.Add("currency", "field.missing", "is needed with a price")
		return Price{}
	}
	if err := pim.ValidCurrency(currency); err != nil {
		check.Add("currency", "config.currency", err.Error())
		return Price{}
	}
	return Price{perMillion: d, currency: currency}
}

// Of is what units cost, exactly; nil without a price.
func (p Price) Of(units int) *Cost {
	if p.currency == "" {
		return nil
	}
	// The amount has at most nine digits before the point, so only a count beyond
	// anything a call can have would not fit.
	n, err := decimal.New(int64(max(0, units)), 6)
	if err != nil {
		return nil
	}
	amount, err := p.perMillion.Mul(n)
	if err != nil {
		return nil
	}
	return &Cost{Amount: amount.Trim(0), Currency: p.currency}
}

// Plus adds the cost of something else of the same account; nil is none.
func (c *Cost) Plus(other *Cost) (*Cost, error) {
	switch {
	case c == nil:
		return other, nil
	case other == nil:
		return c, nil
	case c.Currency != other.Currency:
		return nil, fmt.Errorf("add %s to %s: the currencies differ", other.Currency, c.Currency)
	}
	sum, err := c.Amount.Add(other.Amount)
	if err != nil {
		return nil, fmt.Errorf("add costs: %w", err)
	}
	return &Cost{Amount: sum, Currency: c.Currency}, nil
}
