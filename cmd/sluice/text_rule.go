//go:build unix

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/sluicehub/sluice/api"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
	"github.com/sluicehub/sluice/pim/seal"
)

type textRuleCmd struct {
	List   textRuleListCmd   `cmd:"" help:"List what machines translate and write."`
	Put    textRulePutCmd    `cmd:"" help:"Say what machines translate or write."`
	Delete textRuleDeleteCmd `cmd:"" help:"Delete a rule; the texts stay."`
}

type textRuleListCmd struct {
	JSON bool `name:"json" help:"Print a JSON array."`
}

// Run lists the rules.
func (l textRuleListCmd) Run(ctx context.Context, c console) error {
	header := []string{"RULE", "ACTION", "FAMILIES", "ATTRIBUTES", "FROM", "TO", "PROVIDERS", "REVIEW"}
	return list(ctx, c, l.JSON, header, textRuleViews, func(r api.TextRuleView) []string {
		all := func(list []string) string { return cmp.Or(strings.Join(list, " "), "all") }
		return []string{r.Code, string(r.Action), all(r.Families), all(r.Attributes), dash(string(r.From)), strings.ReplaceAll(words(r.To), ",", ""), all(r.Providers), r.Review}
	})
}

func textRuleViews(ctx context.Context, store *postgres.Store) ([]api.TextRuleView, error) {
	rules, err := store.TextRules(ctx)
	views := make([]api.TextRuleView, len(rules))
	for i, r := range rules {
		views[i] = api.ViewTextRule(r)
	}
	return views, err
}

type textRulePutCmd struct {
	keyset
	Code      string       `arg:"" help:"The rule's code. Of several rules that cover one text the first by their codes counts."`
	File      string       `placeholder:"FILE" type:"path" help:"JSON file with the rule, as PUT /v1/text-rules/CODE takes it; - is standard input."`
	Action    string       `enum:",translate,generate" default:"" help:"translate or generate."`
	From      pim.Locale   `help:"Locale of the source."`
	To        []pim.Locale `help:"Locales of the texts."`
	Family    []string     `help:"Only of these families; by default all."`
	Attribute []string     `help:"Only these attributes; by default all localizable texts."`
	Provider  []string     `help:"The providers that may be asked, in this order; by default all, by their priority."`
	Review    string       `enum:",auto,proposal" default:"" help:"auto: the text is the product's at once; proposal: it waits for a person."`
	Hold      *int         `name:"hold-minutes" placeholder:"MINUTES" help:"How long a new product is kept from a channel for its text; 0: not at all. By default 240, and 0 for proposals."`
}

// Run makes or replaces the rule.
func (p textRulePutCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	whole, err := objectFile(p.File, c)
	if err != nil {
		return err
	}
	for name, value := range map[string]string{"action": p.Action, "from": string(p.From), "review": p.Review} {
		if value != "" {
			whole[name] = value
		}
	}
	if p.Hold != nil {
		whole["hold_minutes"] = *p.Hold
	}
	if len(p.To) > 0 {
		whole["to"] = p.To
	}
	for name, list := range map[string][]string{"families": p.Family, "attributes": p.Attribute, "providers": p.Provider} {
		if len(list) > 0 {
			whole[name] = list
		}
	}
	body, err := json.Marshal(whole)
	if err != nil {
		return err
	}
	rule, err := api.ReadTextRule(body, p.Code)
	if err != nil {
		return err
	}
	var keys *seal.Keyset
	if p.Keyset != "" { // without it nobody can be asked for pairs
		if keys, err = p.open(); err != nil {
			return err
		}
	}
	return onTexts(ctx, log, keys, false, func(store *postgres.Store, t *jobs.Texts) error {
		now, _, err := t.PutRule(ctx, rule, 0)
		if err != nil {
			return err
		}
		wakeAll(ctx, log, store, textConsumers()...)
		if _, err := fmt.Fprintf(c.out, "Rule %s is set; running workers look at the products that it covers.\n", p.Code); err != nil || keys == nil {
			return err
		}
		warnings, err := t.RuleWarnings(ctx, now)
		for _, w := range warnings {
			fmt.Fprintf(c.out, "Warning: %s\n", w.Detail)
		}
		return err
	})
}

type textRuleDeleteCmd struct {
	Code string `arg:"" help:"The rule's code."`
}

// Run deletes the rule.
func (d textRuleDeleteCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	store, err := openStore(ctx, few)
	if err != nil {
		return err
	}
	defer store.Close()
	err = store.DeleteTextRule(ctx, d.Code, 0)
	if errors.Is(err, postgres.ErrNotFound) {
		return fmt.Errorf("there is no rule %s", d.Code)
	}
	if err != nil {
		return err
	}
	wakeAll(ctx, log, store, textConsumers()...)
	_, err = fmt.Fprintf(c.out, "Rule %s is deleted; its texts stay.\n", d.Code)
	return err
}
