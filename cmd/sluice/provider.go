//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluicehub/sluice/api"
	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/all"
	translationall "github.com/sluicehub/sluice/connectors/translation/all"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
	"github.com/sluicehub/sluice/pim/seal"
)

type providerCmd struct {
	List   providerListCmd   `cmd:"" help:"List translation and text services and where they stand."`
	Put    providerPutCmd    `cmd:"" help:"Create a provider, or change its settings."`
	Delete providerDeleteCmd `cmd:"" help:"Delete a provider that no rule names; what it translated stays."`
	Usage  providerUsageCmd  `cmd:"" help:"Show what a provider was used for and what it cost, month by month."`
	Pairs  providerPairsCmd  `cmd:"" help:"List the pairs of languages that a provider's service has."`
	Test   providerTestCmd   `cmd:"" help:"Ask a provider's service whether it is there and takes our key."`
}

// onTexts lends what keeps texts to do. keys may be nil for what needs no secret.
func onTexts(ctx context.Context, log *slog.Logger, keys *seal.Keyset, private bool, do func(*postgres.Store, *jobs.Texts) error) error {
	store, err := openStore(ctx, few)
	if err != nil {
		return err
	}
	defer store.Close()
	if keys != nil {
		if err := jobs.NewChannels(store, all.Registry(), keys, connectors.Env{Version: versionText()}).BindKeyset(ctx); err != nil {
			return err
		}
	}
	return do(store, jobs.NewTexts(jobs.TextsConfig{
		Store: store, Registry: translationall.Registry(), Keys: keys, Log: log, AllowPrivate: private, Version: versionText(),
	}))
}

// textConsumers work on when a provider or a rule is another one.
func textConsumers() []postgres.Consumer {
	return append(append([]postgres.Consumer{{Kind: postgres.Derive}}, api.ConsumersOf(postgres.Translate)...), api.ConsumersOf(postgres.Generate)...)
}

type providerListCmd struct {
	JSON bool `name:"json" help:"Print a JSON array."`
}

// providerView is a provider as it is printed.
type providerView struct {
	Code      string     `json:"code"`
	Kind      string     `json:"kind"`
	State     string     `json:"state"` // ok, off, resting, used-up
	Priority  int        `json:"priority"`
	Test      bool       `json:"test"`
	Used      int64      `json:"used"`   // characters in this month
	Quota     int64      `json:"quota"`  // 0: no bound
	Spent     string     `json:"spent"`  // in this month, in the budget's currency
	Budget    string     `json:"budget"` // 0: no bound
	Currency  string     `json:"budget_currency,omitempty"`
	WaitUntil *time.Time `json:"wait_until,omitempty"`
	LastError string     `json:"last_error,omitempty"`
}

// Run lists the providers.
func (l providerListCmd) Run(ctx context.Context, c console) error {
	header := []string{"PROVIDER", "KIND", "STATE", "PRIORITY", "USED", "QUOTA", "SPENT", "BUDGET", "WAITS UNTIL", "PROBLEM"}
	return list(ctx, c, l.JSON, header, providerViews, func(v providerView) []string {
		quota, until, spent, budget := "-", "-", "-", "-"
		if v.Currency != "" {
			spent, budget = v.Spent, v.Budget+" "+v.Currency
		}
		if v.Quota > 0 {
			quota = strconv.FormatInt(v.Quota, 10)
		}
		if v.WaitUntil != nil {
			until = v.WaitUntil.Local().Format(time.DateTime)
		}
		return []string{v.Code, v.Kind, v.State, strconv.Itoa(v.Priority), strconv.FormatInt(v.Used, 10), quota, spent, budget, until, dash(oneLine(v.LastError))}
	})
}

func providerViews(ctx context.Context, store *postgres.Store) ([]providerView, error) {
	providers, err := store.Providers(ctx)
	if err != nil {
		return nil, err
	}
	views := make([]providerView, len(providers))
	for i, p := range providers {
		s := api.StatusOfProvider(p)
		views[i] = providerView{
			Code: p.Code, Kind: p.Kind, State: s.State, Priority: p.Priority, Test: p.Test, Used: p.Used, Quota: p.Quota, WaitUntil: s.WaitUntil, LastError: p.Error,
			Spent: p.Spent, Budget: p.Budget, Currency: string(p.BudgetCurrency),
		}
	}
	return views, nil
}

type providerPutCmd struct {
	keyset
	Code     string   `arg:"" help:"The provider's code."`
	File     string   `placeholder:"FILE" type:"path" help:"JSON file with settings, as POST /v1/providers takes them; - is standard input."`
	Kind     string   `help:"Of a new provider: apertium, deepl, libretranslate, openai or pseudo."`
	Set      []string `sep:"none" placeholder:"KEY=VALUE" help:"A setting of the kind; can be repeated, and all are said together. KEY:=JSON is for what is no text, and KEY=@FILE takes the value from a file, which keeps secrets off the command line."`
	Priority *int     `help:"The lowest is asked first."`
	Quota    *int64   `help:"Characters in a calendar month; 0 is no bound."`
	Budget   string   `placeholder:"AMOUNT" help:"What it may cost in a calendar month, by the prices in its settings; 0 is no bound."`
	Enabled  *bool    `negatable:"" help:"Whether it is asked."`

	AllowPrivateTargets bool `env:"SLUICE_ALLOW_PRIVATE_TARGETS" help:"Let its service be on a loopback or private address."`
}

// Help is the command's longer text.
func (providerPutCmd) Help() string {
	return `What is left out stays as it is, secrets too. With --set or a config in --file the config is replaced as a whole but for its secrets.`
}

// Run creates or changes the provider.
func (p providerPutCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	body, err := p.body(c)
	if err != nil {
		return err
	}
	keys, err := p.open()
	if err != nil {
		return err
	}
	return onTexts(ctx, log, keys, p.AllowPrivateTargets, func(store *postgres.Store, t *jobs.Texts) error {
		old, err := store.Provider(ctx, p.Code)
		if err != nil && !errors.Is(err, postgres.ErrNotFound) {
			return err
		}
		did, kind := "created", ""
		if old != nil {
			did, kind = "changed", old.Kind
		}
		spec, err := api.ReadProvider(body, p.Code, kind)
		if err != nil {
			return err
		}
		if old == nil {
			_, err = t.CreateProvider(ctx, spec)
		} else {
			_, err = t.UpdateProvider(ctx, p.Code, spec, old.Version)
		}
		if err != nil {
			return err
		}
		wakeAll(ctx, log, store, textConsumers()...)
		_, err = fmt.Fprintf(c.out, "Provider %s is %s.\n", p.Code, did)
		return err
	})
}

// body puts the file's settings and the flags together; flags win.
func (p providerPutCmd) body(c console) ([]byte, error) {
	whole, err := objectFile(p.File, c)
	if err != nil {
		return nil, err
	}
	if p.Kind != "" {
		whole["kind"] = p.Kind
	}
	if p.Priority != nil {
		whole["priority"] = *p.Priority
	}
	if p.Quota != nil {
		whole["quota"] = *p.Quota
	}
	if p.Budget != "" {
		whole["budget"] = p.Budget
	}
	if p.Enabled != nil {
		whole["enabled"] = *p.Enabled
	}
	return mergeSet(whole, p.Set, c)
}

// mergeSet puts settings given as KEY=VALUE into the config of whole.
func mergeSet(whole map[string]any, set []string, c console) ([]byte, error) {
	config, ok := whole["config"].(map[string]any)
	if !ok {
		config = map[string]any{}
	}
	for _, s := range set {
		name, value, is := strings.Cut(s, "=")
		if !is || name == "" {
			return nil, fmt.Errorf("--set %s: KEY=VALUE is expected", name)
		}
		if file, is := strings.CutPrefix(value, "@"); is {
			text, err := readBounded(file, c.in)
			if err != nil {
				return nil, err
			}
			value = strings.TrimRight(string(text), "\r\n")
		}
		config[name], whole["config"] = value, config
		if bare, is := strings.CutSuffix(name, ":"); is {
			v, err := pim.DecodeJSON([]byte(value), 0)
			if err != nil {
				return nil, fmt.Errorf("--set %s: the value is no JSON", name)
			}
			delete(config, name)
			config[bare] = v
		}
	}
	return json.Marshal(whole)
}

// objectFile reads a JSON object from a file; an empty one without.
func objectFile(path string, c console) (map[string]any, error) {
	if path == "" {
		return map[string]any{}, nil
	}
	text, err := readBounded(path, c.in)
	if err != nil {
		return nil, err
	}
	v, err := pim.DecodeJSON(text, 0)
	if err != nil {
		return nil, err
	}
	whole, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("the file holds no JSON object")
	}
	return whole, nil
}

type providerDeleteCmd struct {
	Code string `arg:"" help:"The provider's code."`
}

// Run deletes the provider.
func (d providerDeleteCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	return changing(ctx, log, func(store *postgres.Store) error {
		return deleted(c, store.DeleteProvider(ctx, d.Code, 0), "provider", d.Code, "rules name provider "+d.Code+": take it from them first")
	})
}

type providerTestCmd struct {
	keyset
	Code string `arg:"" help:"The provider's code."`
}

// Run probes the service.
func (p providerTestCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	keys, err := p.open()
	if err != nil {
		return err
	}
	return onTexts(ctx, log, keys, false, func(_ *postgres.Store, t *jobs.Texts) error {
		if err := t.TestProvider(ctx, p.Code); err != nil {
			return fmt.Errorf("provider %s: %w", p.Code, err)
		}
		_, err := fmt.Fprintf(c.out, "The service of provider %s is there and takes our key.\n", p.Code)
		return err
	})
}

type providerUsageCmd struct {
	Code string `arg:"" help:"The provider's code."`
	JSON bool   `name:"json" help:"Print a JSON array."`
}

// Run lists the months in which a provider was used, the newest first.
func (p providerUsageCmd) Run(ctx context.Context, c console) error {
	header := []string{"MONTH", "CALLS", "SEGMENTS", "REFUSED", "CHARACTERS", "TOKENS IN", "TOKENS OUT", "COST"}
	months := func(ctx context.Context, store *postgres.Store) ([]api.ProviderMonth, error) {
		if _, err := store.Provider(ctx, p.Code); errors.Is(err, postgres.ErrNotFound) {
			return nil, fmt.Errorf("there is no provider %s", p.Code)
		} else if err != nil {
			return nil, err
		}
		return api.MonthsOf(ctx, store, p.Code)
	}
	return list(ctx, c, p.JSON, header, months, func(m api.ProviderMonth) []string {
		var costs []string
		for _, currency := range slices.Sorted(maps.Keys(m.Costs)) {
			costs = append(costs, m.Costs[currency]+" "+string(currency))
		}
		n := func(n int64) string { return strconv.FormatInt(n, 10) }
		return []string{m.Month, n(m.Calls), n(m.Segments), n(m.Refused), n(m.Characters), n(m.InputTokens), n(m.OutputTokens), dash(strings.Join(costs, ", "))}
	})
}

type providerPairsCmd struct {
	keyset
	Code string `arg:"" help:"The provider's code."`
	JSON bool   `name:"json" help:"Print a JSON object."`
}

// Run asks the service for its pairs.
func (p providerPairsCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	keys, err := p.open()
	if err != nil {
		return err
	}
	return onTexts(ctx, log, keys, false, func(_ *postgres.Store, t *jobs.Texts) error {
		v, err := api.PairsOf(ctx, t, p.Code)
		if err != nil {
			return fmt.Errorf("provider %s: %w", p.Code, err)
		}
		if p.JSON {
			return printJSON(c.out, v)
		}
		if !v.Known {
			_, err := fmt.Fprintf(c.out, "The service of provider %s does not tell which pairs it has; it may be asked for any.\n", p.Code)
			return err
		}
		rows := make([][]string, len(v.Languages))
		for i, l := range v.Languages {
			rows[i] = []string{l.From, strings.Join(l.To, " ")}
		}
		return table(c.out, []string{"FROM", "TO"}, rows)
	})
}
