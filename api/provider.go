package api

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/translation"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

const tagTexts = "texts"

// Provider is a translation or text service as the API shows it: secrets never come back.
type Provider struct {
	Code         string                  `json:"code"`
	Kind         string                  `json:"kind"`
	Config       object                  `json:"config" doc:"Shaped by the kind, without its secrets"`
	Secrets      []string                `json:"secrets" doc:"Names of the secrets that are set"`
	Limits       postgres.ProviderLimits `json:"limits" doc:"Where they are lower than the kind's"`
	Enabled      bool                    `json:"enabled" doc:"false: it is not asked"`
	AllowPrivate bool                    `json:"allow_private" doc:"Its service may be on loopback and private addresses: set by a process that allows them"`
	Test         bool                    `json:"test" doc:"What it makes is for tests: it is shown to channels marked as a test alone, and asked only where there is no other provider"`
	Priority     int                     `json:"priority" doc:"The lowest is asked first"`
	Quota        int64                   `json:"quota" doc:"Characters in a calendar month (UTC); 0: no bound"`
	Budget       string                  `json:"budget" doc:"What it may cost in a calendar month (UTC) by the prices in its settings, as decimal text; 0: no bound"`
	Currency     pim.Currency            `json:"budget_currency,omitempty"`
	Version      int64                   `json:"version" doc:"Of the settings: what the ETag names"`
	Status       ProviderStatus          `json:"status"`
	CreatedAt    time.Time               `json:"created_at"`
	UpdatedAt    time.Time               `json:"updated_at"`
}

// ProviderStatus is how a provider fares.
type ProviderStatus struct {
	State     string     `json:"state" enum:"ok,off,resting,used-up" doc:"resting: its service was not there, or asked to wait; used-up: the month's quota or budget is"`
	Fails     int        `json:"fails" doc:"Failures of the service in a row"`
	WaitUntil *time.Time `json:"wait_until,omitempty" doc:"Nothing is asked before"`
	LastError string     `json:"last_error,omitempty"`
}

// ProviderUsage is what a provider was used for.
type ProviderUsage struct {
	Month        string                  `json:"month" example:"2026-11" doc:"The calendar month (UTC) of used"`
	Used         int64                   `json:"used" doc:"Characters in this month"`
	Quota        int64                   `json:"quota" doc:"0: no bound"`
	Spent        string                  `json:"spent" doc:"Cost in this month, in the budget's currency"`
	Budget       string                  `json:"budget" doc:"0: no bound"`
	Currency     pim.Currency            `json:"budget_currency,omitempty"`
	Months       []ProviderMonth         `json:"months" doc:"The last 13 months with use, the newest first"`
	Calls        int64                   `json:"calls" doc:"That were answered; since ever, as what follows"`
	Segments     int64                   `json:"segments"`
	Refused      int64                   `json:"refused" doc:"Segments whose translation was broken, so that it was not taken"`
	Characters   int64                   `json:"characters"`
	Tokens       int64                   `json:"tokens"`
	Costs        map[pim.Currency]string `json:"costs" doc:"Amounts as decimal text, by the prices in the settings: our sum, not the service's bill"`
	Service      *ServiceUsage           `json:"service,omitempty" doc:"What the service says itself, of those that do"`
	ServiceError string                  `json:"service_error,omitempty" doc:"Why the service does not say it now"`
}

// ProviderMonth is what a provider was used for in a month.
type ProviderMonth struct {
	Month        string                  `json:"month" example:"2026-11" doc:"Calendar month (UTC)"`
	Calls        int64                   `json:"calls" doc:"That were answered"`
	Segments     int64                   `json:"segments"`
	Refused      int64                   `json:"refused"`
	Characters   int64                   `json:"characters"`
	InputTokens  int64                   `json:"input_tokens" doc:"Of requests, where the service counts them"`
	OutputTokens int64                   `json:"output_tokens" doc:"Of answers"`
	Costs        map[pim.Currency]string `json:"costs"`
}

// monthsShown is how many months of a provider's use are shown.
const monthsShown = 13

// ProviderPairs are the languages that a provider's service has.
type ProviderPairs struct {
	Known     bool           `json:"known" doc:"false: services of this kind do not tell, and may be asked for any"`
	Languages []LanguagePair `json:"languages" doc:"By from"`
}

// LanguagePair is a language and those it can be translated into.
type LanguagePair struct {
	From string   `json:"from" example:"en"`
	To   []string `json:"to" doc:"BCP 47, as exact as the service is: de stands for de-AT, too"`
}

// ServiceUsage is what a service says of its current period, in characters.
type ServiceUsage struct {
	Used  int64      `json:"used"`
	Limit int64      `json:"limit" doc:"0: no bound"`
	Until *time.Time `json:"until,omitempty" doc:"The period's end"`
}

// ProviderKind is a kind of provider.
type ProviderKind struct {
	Name         string              `json:"name"`
	Title        string              `json:"title"`
	Test         bool                `json:"test" doc:"What it makes is for tests"`
	Powers       []translation.Power `json:"powers" enum:"pairs,usage,write" doc:"Beyond translating: its service tells which pairs it has, what was used, and it writes texts"`
	Limits       ProviderKindLimits  `json:"limits" doc:"A provider may set lower ones"`
	ConfigSchema object              `json:"config_schema" doc:"JSON Schema of a provider's config; secrets are writeOnly"`
}

// ProviderKindLimits bound the calls of a provider; 0 is no bound.
type ProviderKindLimits struct {
	Texts          int     `json:"texts" doc:"Texts in one call"`
	Characters     int     `json:"characters" doc:"Code points in one call"`
	Bytes          int     `json:"bytes" doc:"Bytes in one call"`
	Concurrency    int     `json:"concurrency" doc:"Calls in flight"`
	PerMinute      int     `json:"per_minute" doc:"Calls begun in a minute"`
	TimeoutSeconds float64 `json:"timeout_seconds"`
}

type providerAnswer struct {
	Status   int
	ETag     string `header:"ETag" doc:"The version of the settings"`
	Location string `header:"Location"`
	Body     Provider
}

type putCode struct {
	CodePath
	Preconditions
	RawInput
}

func (s *server) registerProviders() {
	handle(s, op("list-provider-kinds", http.MethodGet, "/v1/provider-kinds", tagTexts, "List the kinds of translation and text services that providers can use"), s.listProviderKinds)
	handle(s, op("list-providers", http.MethodGet, "/v1/providers", tagTexts, "List all providers, in the order in which they are asked"), s.listProviders)
	handle(s, op("get-provider", http.MethodGet, "/v1/providers/{code}", tagTexts, "Get a provider"), s.getProvider)
	handle(s, op("create-provider", http.MethodPost, "/v1/providers", tagTexts, "Create a provider; what waits for one is tried at once",
		status(http.StatusCreated), takesJSON[jobs.ProviderSpec](s)), s.createProvider)
	handle(s, op("put-provider", http.MethodPut, "/v1/providers/{code}", tagTexts, "Change a provider's settings",
		says("What the body leaves out stays, secrets too; config, where it is there, is replaced as a whole but for its secrets. Afterwards the service is asked at once."),
		keeps(), takesJSON[jobs.ProviderSpec](s, "code", "kind")), s.putProvider)
	deletes(s, op("delete-provider", http.MethodDelete, "/v1/providers/{code}", tagTexts, "Delete a provider that no rule names; what it translated stays"),
		s.Store.DeleteProvider)
	handle(s, op("test-provider", http.MethodPost, "/v1/providers/{code}/test", tagTexts, "Ask a provider's service whether it answers",
		says("Free of charge. A service that does not answer, or refuses the key, is a 502 that says why."), takesLong), s.testProvider)
	handle(s, op("resume-provider", http.MethodPost, "/v1/providers/{code}/resume", tagTexts, "Ask a provider that rests again, at once"), s.resumeProvider)
	handle(s, op("get-provider-pairs", http.MethodGet, "/v1/providers/{code}/pairs", tagTexts, "Get the pairs of languages that a provider's service has",
		says("As the service says, which is remembered for an hour. One that does not answer is a 502 that says why."), takesLong), s.providerPairs)
	handle(s, op("get-provider-usage", http.MethodGet, "/v1/providers/{code}/usage", tagTexts, "Get what a provider was used for, by our count and by its service's", takesLong), s.providerUsage)
}

// texts is what keeps providers and texts; the error is of a process without.
func (s *server) texts() (*jobs.Texts, error) {
	if s.Texts == nil {
		return nil, problem(http.StatusServiceUnavailable, "no-texts", "this process has no texts: it was started without providers")
	}
	return s.Texts, nil
}

// wakeTexts wakes what works on when a provider or a rule is another one.
func (s *server) wakeTexts() {
	s.Wake(postgres.Consumer{Kind: postgres.Derive})
	s.Wake(ConsumersOf(postgres.Translate)...)
	s.Wake(ConsumersOf(postgres.Generate)...)
}

func (s *server) listProviderKinds(context.Context, *struct{}) (*answer[page[ProviderKind]], error) {
	t, err := s.texts()
	if err != nil {
		return nil, err
	}
	var items []ProviderKind
	for _, k := range t.Registry().Kinds() {
		schema, err := schemaOfConfig(k.Name, k.Config)
		if err != nil {
			return nil, err
		}
		items = append(items, ProviderKind{
			Name: k.Name, Title: k.Title, Test: k.Test, Powers: k.Powers(), ConfigSchema: schema,
			Limits: ProviderKindLimits{
				Texts: k.Limits.Texts, Characters: k.Limits.Characters, Bytes: k.Limits.Bytes, Concurrency: k.Limits.Concurrency, PerMinute: k.Limits.PerMinute,
				TimeoutSeconds: k.Limits.Timeout.Seconds(),
			},
		})
	}
	return pageOf(items, ""), nil
}

// ViewProvider is a provider as the API shows it.
func ViewProvider(t *jobs.Texts, p *postgres.Provider) Provider {
	config, secrets := t.PublicProvider(p)
	return Provider{
		Code: p.Code, Kind: p.Kind, Config: object(config), Secrets: secrets, Limits: p.Limits, Enabled: p.Enabled, AllowPrivate: p.AllowPrivate, Test: p.Test,
		Priority: p.Priority, Quota: p.Quota, Budget: p.Budget, Currency: p.BudgetCurrency, Version: p.Version, CreatedAt: p.CreatedAt, UpdatedAt: p.UpdatedAt,
		Status: StatusOfProvider(p),
	}
}

// StatusOfProvider is how a provider fares.
func StatusOfProvider(p *postgres.Provider) ProviderStatus {
	v := ProviderStatus{State: "ok", Fails: p.Fails, LastError: p.Error}
	if p.Wait > 0 {
		v.WaitUntil = p.WaitUntil
	}
	switch {
	case !p.Enabled:
		v.State = "off"
	case p.Wait > 0:
		v.State = "resting"
	case p.Quota > 0 && p.Used >= p.Quota, jobs.BudgetUsedUp(p):
		v.State = "used-up"
	}
	return v
}

func answerProvider(t *jobs.Texts, p *postgres.Provider) *providerAnswer {
	return &providerAnswer{Status: http.StatusOK, ETag: etag(p.Version), Body: ViewProvider(t, p)}
}

func (s *server) listProviders(ctx context.Context, _ *struct{}) (*answer[page[Provider]], error) {
	t, err := s.texts()
	if err != nil {
		return nil, err
	}
	list, err := s.Store.Providers(ctx)
	if err != nil {
		return nil, err
	}
	items := make([]Provider, len(list))
	for i, p := range list {
		items[i] = ViewProvider(t, p)
	}
	return pageOf(items, ""), nil
}

func (s *server) getProvider(ctx context.Context, in *CodePath) (*providerAnswer, error) {
	t, err := s.texts()
	if err != nil {
		return nil, err
	}
	p, err := s.Store.Provider(ctx, in.Code)
	if err != nil {
		return nil, err
	}
	return answerProvider(t, p), nil
}

func (s *server) createProvider(ctx context.Context, in *RawInput) (*providerAnswer, error) {
	t, err := s.texts()
	if err != nil {
		return nil, err
	}
	spec, err := ReadProvider(in.RawBody, "", "")
	if err != nil {
		return nil, err
	}
	p, err := t.CreateProvider(ctx, spec)
	if err != nil {
		return nil, err
	}
	s.wakeTexts()
	a := answerProvider(t, p)
	a.Status, a.Location = http.StatusCreated, "/v1/providers/"+url.PathEscape(p.Code)
	return a, nil
}

// ReadProvider reads a provider's settings from JSON. code and kind are told
// elsewhere, or "": the body has to name them then. The error is a *pim.Invalid.
func ReadProvider(body []byte, code, kind string) (jobs.ProviderSpec, error) {
	v, err := pim.DecodeJSON(body, 0)
	if err != nil {
		return jobs.ProviderSpec{}, err
	}
	given := map[string]string{}
	if code != "" {
		given["code"] = code
	}
	if m, ok := v.(map[string]any); ok && m["kind"] == nil && kind != "" {
		m["kind"] = kind
	}
	return bind[jobs.ProviderSpec](v, given)
}

func (s *server) putProvider(ctx context.Context, in *putCode) (*providerAnswer, error) {
	t, err := s.texts()
	if err != nil {
		return nil, err
	}
	want, p := parseIfMatch(in.IfMatch)
	if p != nil {
		return nil, p
	}
	for race := 0; ; race++ {
		old, err := s.Store.Provider(ctx, in.Code)
		if err != nil {
			return nil, err
		}
		if want.given && !want.any && !slices.Contains(want.revisions, old.Version) {
			return nil, stale(old.Version)
		}
		spec, err := ReadProvider(in.RawBody, in.Code, old.Kind)
		if err != nil {
			return nil, err
		}
		now, err := t.UpdateProvider(ctx, in.Code, spec, old.Version)
		if errors.Is(err, postgres.ErrStale) && race < maxRaces {
			continue
		}
		if err != nil {
			return nil, err
		}
		s.wakeTexts()
		return answerProvider(t, now), nil
	}
}

func (s *server) testProvider(ctx context.Context, in *CodePath) (*answer[Tested], error) {
	t, err := s.texts()
	if err != nil {
		return nil, err
	}
	err = t.TestProvider(ctx, in.Code)
	if e, ok := errors.AsType[*connectors.Error](err); ok {
		return nil, fromService(e)
	}
	if err != nil {
		return nil, err
	}
	return &answer[Tested]{Tested{OK: true}}, nil
}

// fromService says what a provider's service answered; providers keep secrets
// out of their errors.
func fromService(e *connectors.Error) *Problem {
	fault := Fault{Code: "service." + string(e.Verdict), Detail: e.Error()}
	if e.Verdict == connectors.Throttled {
		p := problem(http.StatusServiceUnavailable, "service", "the provider's service asks to wait", fault)
		if e.After > 0 {
			p.with("Retry-After", strconv.Itoa(int(e.After.Seconds())+1))
		}
		return p
	}
	return problem(http.StatusBadGateway, "service", "the provider's service does not take the call", fault)
}

func (s *server) resumeProvider(ctx context.Context, in *CodePath) (*providerAnswer, error) {
	if _, err := s.texts(); err != nil {
		return nil, err
	}
	if err := s.Store.ResumeProvider(ctx, in.Code); err != nil {
		return nil, err
	}
	s.wakeTexts()
	return s.getProvider(ctx, in)
}

func (s *server) providerUsage(ctx context.Context, in *CodePath) (*answer[ProviderUsage], error) {
	t, err := s.texts()
	if err != nil {
		return nil, err
	}
	v, err := UsageOf(ctx, t, s.Store, in.Code)
	if err != nil {
		return nil, err
	}
	return &answer[ProviderUsage]{v}, nil
}

// UsageOf reads what a provider was used for, and asks its service where that
// tells.
func UsageOf(ctx context.Context, t *jobs.Texts, store *postgres.Store, code string) (ProviderUsage, error) {
	p, err := store.Provider(ctx, code)
	if err != nil {
		return ProviderUsage{}, err
	}
	now, err := store.Now(ctx)
	if err != nil {
		return ProviderUsage{}, err
	}
	v := ProviderUsage{
		Month: now.UTC().Format("2006-01"), Used: p.Used, Quota: p.Quota, Calls: p.Calls, Segments: p.Segments, Refused: p.Refused,
		Characters: p.Characters, Tokens: p.Tokens, Costs: p.Costs, Spent: p.Spent, Budget: p.Budget, Currency: p.BudgetCurrency,
	}
	if v.Months, err = MonthsOf(ctx, store, code); err != nil {
		return v, err
	}
	if v.Costs == nil {
		v.Costs = map[pim.Currency]string{}
	}
	u, err := t.ProviderUsage(ctx, code)
	e, said := errors.AsType[*connectors.Error](err)
	switch {
	case errors.Is(err, jobs.ErrNoPower):
	case said:
		v.ServiceError = e.Error()
	case err != nil:
		return v, err
	default:
		v.Service = &ServiceUsage{Used: u.Used, Limit: u.Limit}
		if !u.Until.IsZero() {
			v.Service.Until = &u.Until
		}
	}
	return v, nil
}

// MonthsOf reads what a provider was used for in the last months with use, the
// newest first.
func MonthsOf(ctx context.Context, store *postgres.Store, code string) ([]ProviderMonth, error) {
	list, err := store.ProviderMonths(ctx, code, monthsShown)
	if err != nil {
		return nil, err
	}
	months := make([]ProviderMonth, len(list))
	for i, m := range list {
		months[i] = ProviderMonth{
			Month: m.Month.Format("2006-01"), Calls: m.Calls, Segments: m.Segments, Refused: m.Refused, Characters: m.Characters,
			InputTokens: m.InputTokens, OutputTokens: m.OutputTokens, Costs: m.Costs,
		}
	}
	return months, nil
}

func (s *server) providerPairs(ctx context.Context, in *CodePath) (*answer[ProviderPairs], error) {
	t, err := s.texts()
	if err != nil {
		return nil, err
	}
	v, err := PairsOf(ctx, t, in.Code)
	if e, ok := errors.AsType[*connectors.Error](err); ok {
		return nil, fromService(e)
	}
	if err != nil {
		return nil, err
	}
	return &answer[ProviderPairs]{v}, nil
}

// PairsOf asks a provider's service which pairs of languages it has.
func PairsOf(ctx context.Context, t *jobs.Texts, code string) (ProviderPairs, error) {
	v := ProviderPairs{Languages: []LanguagePair{}}
	pairs, err := t.ProviderPairs(ctx, code)
	if errors.Is(err, jobs.ErrNoPower) {
		return v, nil
	}
	if err != nil {
		return v, err
	}
	v.Known = true
	for _, from := range slices.Sorted(maps.Keys(pairs)) {
		v.Languages = append(v.Languages, LanguagePair{From: from, To: slices.Sorted(slices.Values(pairs[from]))})
	}
	return v, nil
}
