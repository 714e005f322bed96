//go:build unix

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"github.com/sluicehub/sluice/api"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

type priceListCmd struct {
	List   priceListListCmd   `cmd:"" help:"List the price lists."`
	Put    priceListPutCmd    `cmd:"" help:"Create or replace a price list."`
	Delete priceListDeleteCmd `cmd:"" help:"Delete a price list without prices that nothing names."`
}

type priceListListCmd struct {
	JSON bool `name:"json" help:"Print a JSON array."`
}

// Run lists the price lists.
func (l priceListListCmd) Run(ctx context.Context, c console) error {
	return list(ctx, c, l.JSON, []string{"LIST", "BASE", "CURRENCIES", "CUSTOMERS"}, func(ctx context.Context, store *postgres.Store) ([]api.PriceListView, error) {
		lists, err := store.PriceLists(ctx)
		views := make([]api.PriceListView, len(lists))
		for i, l := range lists {
			views[i] = api.ViewPriceList(l)
		}
		return views, err
	}, func(l api.PriceListView) []string {
		return []string{l.Code, dash(l.BaseList()), cmp.Or(words(l.Currencies), "all"), dash(l.CustomerGroup)}
	})
}

type priceListPutCmd struct {
	Code       string         `arg:"" help:"The list's code."`
	File       string         `placeholder:"FILE" type:"path" help:"JSON file with the list, as PUT /v1/price-lists/CODE takes it; - is standard input."`
	Base       string         `help:"Price list that rules derive its prices from; by default the list default."`
	Currencies []pim.Currency `name:"currency" help:"Its prices are in these only."`
	Group      string         `name:"customer-group" help:"Who buys by it."`
}

// Run makes or replaces the list.
func (p priceListPutCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	whole, err := objectFile(p.File, c)
	if err != nil {
		return err
	}
	for name, value := range map[string]string{"base": p.Base, "customer_group": p.Group} {
		if value != "" {
			whole[name] = value
		}
	}
	if len(p.Currencies) > 0 {
		whole["currencies"] = p.Currencies
	}
	body, err := json.Marshal(whole)
	if err != nil {
		return err
	}
	list, err := api.ReadPriceList(body, p.Code)
	if err != nil {
		return err
	}
	return changing(ctx, log, func(store *postgres.Store) error {
		if _, _, err := store.PutPriceList(ctx, list, 0); err != nil {
			return err
		}
		_, err := fmt.Fprintf(c.out, "Price list %s is set.\n", p.Code)
		return err
	}, postgres.Consumer{Kind: postgres.Derive})
}

type priceListDeleteCmd struct {
	Code string `arg:"" help:"The list's code."`
}

// Run deletes the list.
func (d priceListDeleteCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	return changing(ctx, log, func(store *postgres.Store) error {
		return deleted(c, store.DeletePriceList(ctx, d.Code, 0), "price list", d.Code, "")
	})
}

type priceRuleCmd struct {
	List   priceRuleListCmd   `cmd:"" help:"List the rules that derive prices."`
	Put    priceRulePutCmd    `cmd:"" help:"Create or replace a price rule."`
	Delete priceRuleDeleteCmd `cmd:"" help:"Delete a price rule, and the prices that it made."`
}

type priceRuleListCmd struct {
	JSON bool `name:"json" help:"Print a JSON array."`
}

// Run lists the rules.
func (l priceRuleListCmd) Run(ctx context.Context, c console) error {
	header := []string{"RULE", "LIST", "PRIORITY", "DOES", "FOR", "FROM", "TO", "ENABLED"}
	return list(ctx, c, l.JSON, header, func(ctx context.Context, store *postgres.Store) ([]api.PriceRuleView, error) {
		rules, err := store.PriceRules(ctx)
		views := make([]api.PriceRuleView, len(rules))
		for i, r := range rules {
			views[i] = api.ViewPriceRule(r)
		}
		return views, err
	}, func(r api.PriceRuleView) []string {
		from, to := "-", "-"
		if r.ValidFrom != nil {
			from = r.ValidFrom.Format("2006-01-02 15:04")
		}
		if r.ValidTo != nil {
			to = r.ValidTo.Format("2006-01-02 15:04")
		}
		return []string{r.Code, r.PriceList, strconv.Itoa(r.Priority), action(r.PriceRule), scope(r.PriceRule), from, to, strconv.FormatBool(r.On())}
	})
}

// action says in a word what a rule does.
func action(r pim.PriceRule) string {
	switch {
	case r.Percent != "":
		return string(r.Percent) + "%"
	case r.Amount != "":
		return string(r.Amount) + " " + string(r.Currency)
	}
	return "=" + string(r.Price) + " " + string(r.Currency)
}

// scope says of how much a rule's products are told.
func scope(r pim.PriceRule) string {
	var parts []string
	for _, f := range []struct {
		what string
		n    int
	}{{"families", len(r.Families)}, {"categories", len(r.Categories)}, {"subtrees", len(r.Subtrees)}, {"attributes", len(r.Attributes)}, {"SKUs", len(r.SKUs)}} {
		if f.n > 0 {
			parts = append(parts, fmt.Sprintf("%s:%d", f.what, f.n))
		}
	}
	if r.Condition != "" {
		parts = append(parts, r.Condition)
	}
	return cmp.Or(strings.Join(parts, " "), "all")
}

type priceRulePutCmd struct {
	Code      string       `arg:"" help:"The rule's code."`
	File      string       `placeholder:"FILE" type:"path" help:"JSON file with the rule, as PUT /v1/price-rules/CODE takes it; - is standard input."`
	List      string       `name:"price-list" help:"List whose prices it makes."`
	Percent   string       `help:"So much more, or with a minus less, in percent."`
	Priority  *int         `help:"The lowest goes first."`
	Ending    string       `help:"What amounts end in, such as .99."`
	Currency  pim.Currency `help:"Only of prices in this currency."`
	Family    []string     `help:"Only of these families."`
	Category  []string     `help:"Only of these categories."`
	Subtree   []string     `help:"Only of these categories and those below them."`
	SKU       []string     `name:"sku" help:"Only of these products."`
	Condition string       `help:"Only of products that this filter finds, in the language of product list --filter."`
}

// Run makes or replaces the rule.
func (p priceRulePutCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	whole, err := objectFile(p.File, c)
	if err != nil {
		return err
	}
	for name, value := range map[string]string{"price_list": p.List, "percent": p.Percent, "currency": string(p.Currency), "condition": p.Condition} {
		if value != "" {
			whole[name] = value
		}
	}
	if p.Priority != nil {
		whole["priority"] = *p.Priority
	}
	if p.Ending != "" {
		whole["rounding"] = map[string]any{"ending": p.Ending}
	}
	for name, list := range map[string][]string{"families": p.Family, "categories": p.Category, "subtrees": p.Subtree, "skus": p.SKU} {
		if len(list) > 0 {
			whole[name] = list
		}
	}
	body, err := json.Marshal(whole)
	if err != nil {
		return err
	}
	rule, err := api.ReadPriceRule(body, p.Code)
	if err != nil {
		return err
	}
	return changing(ctx, log, func(store *postgres.Store) error {
		if _, _, err := store.PutPriceRule(ctx, rule, 0); err != nil {
			return err
		}
		_, err := fmt.Fprintf(c.out, "Price rule %s is set; running workers derive its prices.\n", p.Code)
		return err
	}, postgres.Consumer{Kind: postgres.Derive})
}

type priceRuleDeleteCmd struct {
	Code string `arg:"" help:"The rule's code."`
}

// Run deletes the rule.
func (d priceRuleDeleteCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	return changing(ctx, log, func(store *postgres.Store) error {
		err := store.DeletePriceRule(ctx, d.Code, 0)
		if errors.Is(err, postgres.ErrNotFound) {
			return fmt.Errorf("there is no price rule %s", d.Code)
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.out, "Price rule %s is deleted; running workers take its prices back.\n", d.Code)
		return err
	}, postgres.Consumer{Kind: postgres.Derive})
}
