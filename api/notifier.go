package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/notify"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

const tagAlerts = "alerts"

// Notifier is somebody who is told of alerts, as the API shows it: secrets never come back.
type Notifier struct {
	Code         string            `json:"code"`
	Kind         string            `json:"kind" enum:"email,webhook"`
	Config       object            `json:"config" doc:"Shaped by the kind, without its secrets"`
	Secrets      []string          `json:"secrets" doc:"Names of the secrets that are set"`
	Enabled      bool              `json:"enabled" doc:"false: it is told nothing"`
	Channels     []pim.ChannelCode `json:"channels" doc:"Of which it is told; empty: of all"`
	Kinds        []pim.AlertKind   `json:"kinds" enum:"down,auth,stale,rejecting,paused" doc:"Of which alerts it is told; empty: of all"`
	AllowPrivate bool              `json:"allow_private" doc:"It may be reached at loopback and private addresses: set by a process that allows them"`
	Version      int64             `json:"version" doc:"Of the settings: what the ETag names"`
	Status       NotifierStatus    `json:"status"`
	CreatedAt    time.Time         `json:"created_at"`
}

// NotifierStatus is how a notifier fares.
type NotifierStatus struct {
	Waiting   int64      `json:"waiting" doc:"Changes of alerts that it is still to be told"`
	Fails     int        `json:"fails" doc:"Failures in a row"`
	NextAt    *time.Time `json:"next_at,omitempty" doc:"When it is tried next, after a failure"`
	LastError string     `json:"last_error,omitempty"`
	SentAt    *time.Time `json:"sent_at,omitempty" doc:"When a message arrived last"`
	Lost      int64      `json:"lost" doc:"Changes that were given up after three days"`
}

// NotifierKind is a way to tell.
type NotifierKind struct {
	Name         string `json:"name"`
	Title        string `json:"title"`
	ConfigSchema object `json:"config_schema" doc:"JSON Schema of a notifier's config; secrets are writeOnly"`
}

type notifierAnswer struct {
	Status   int
	ETag     string `header:"ETag" doc:"The version of the settings"`
	Location string `header:"Location"`
	Body     Notifier
}

type listAlerts struct {
	Paging
	Sorting
	Channel string `query:"channel" maxLength:"100"`
	Cleared bool   `query:"cleared" doc:"true: also those that are over, for 30 days"`
}

func (s *server) registerAlerts() {
	handle(s, op("list-alerts", http.MethodGet, "/v1/alerts", tagAlerts, "List what is wrong with channels, newest first",
		says("Each has been so for long enough to tell: what flaps is one alert. What counts as wrong is the channel's policy, in `alerts`.")), s.listAlerts)
	handle(s, op("list-notifier-kinds", http.MethodGet, "/v1/notifier-kinds", tagAlerts, "List the ways to be told of alerts"), s.listNotifierKinds)
	handle(s, op("list-notifiers", http.MethodGet, "/v1/notifiers", tagAlerts, "List who is told of alerts"), s.listNotifiers)
	handle(s, op("get-notifier", http.MethodGet, "/v1/notifiers/{code}", tagAlerts, "Get a notifier"), s.getNotifier)
	handle(s, op("create-notifier", http.MethodPost, "/v1/notifiers", tagAlerts, "Have somebody told of alerts from now on",
		status(http.StatusCreated), takesJSON[jobs.NotifierSpec](s)), s.createNotifier)
	handle(s, op("put-notifier", http.MethodPut, "/v1/notifiers/{code}", tagAlerts, "Change a notifier's settings",
		says("What the body leaves out stays, secrets too; config, where it is there, is replaced as a whole but for its secrets. What waits is sent at once."),
		keeps(), takesJSON[jobs.NotifierSpec](s, "code", "kind")), s.putNotifier)
	deletes(s, op("delete-notifier", http.MethodDelete, "/v1/notifiers/{code}", tagAlerts, "Delete a notifier"),
		s.Store.DeleteNotifier)
	handle(s, op("test-notifier", http.MethodPost, "/v1/notifiers/{code}/test", tagAlerts, "Send a message that says that it is a test",
		says("A message that does not arrive is a 502 that says why."), takesLong), s.testNotifier)
}

func (s *server) notifiers() (*jobs.Notifiers, error) {
	if s.Notifiers == nil {
		return nil, problem(http.StatusServiceUnavailable, "no-notifiers", "this process has no notifiers")
	}
	return s.Notifiers, nil
}

func (s *server) listAlerts(ctx context.Context, in *listAlerts) (*answer[page[pim.Alert]], error) {
	list, next, err := s.Store.Alerts(ctx, pim.ChannelCode(in.Channel), in.Cleared, in.page())
	if err != nil {
		return nil, inCursor(err)
	}
	return pageOf(none(list), next), nil
}

func (s *server) listNotifierKinds(context.Context, *struct{}) (*answer[page[NotifierKind]], error) {
	var items []NotifierKind
	for _, k := range notify.Kinds {
		schema, err := schemaOfConfig(k.Name, k.Config)
		if err != nil {
			return nil, err
		}
		items = append(items, NotifierKind{Name: k.Name, Title: k.Title, ConfigSchema: schema})
	}
	return pageOf(items, ""), nil
}

func viewNotifier(n *jobs.Notifiers, x *postgres.Notifier) Notifier {
	config, secrets := n.Public(x)
	v := Notifier{
		Code: x.Code, Kind: x.Kind, Config: object(config), Secrets: secrets, Enabled: x.Enabled, Channels: none(x.Channels), Kinds: none(x.Kinds),
		AllowPrivate: x.AllowPrivate, Version: x.Version, CreatedAt: x.CreatedAt,
		Status: NotifierStatus{Waiting: x.Waiting, Fails: x.Fails, LastError: x.Error, SentAt: x.SentAt, Lost: x.Lost},
	}
	if x.Fails > 0 && x.Waiting > 0 {
		v.Status.NextAt = &x.NextAt
	}
	return v
}

func answerNotifier(n *jobs.Notifiers, x *postgres.Notifier) *notifierAnswer {
	return &notifierAnswer{Status: http.StatusOK, ETag: etag(x.Version), Body: viewNotifier(n, x)}
}

func (s *server) listNotifiers(ctx context.Context, _ *struct{}) (*answer[page[Notifier]], error) {
	n, err := s.notifiers()
	if err != nil {
		return nil, err
	}
	list, err := s.Store.Notifiers(ctx)
	if err != nil {
		return nil, err
	}
	items := make([]Notifier, len(list))
	for i, x := range list {
		items[i] = viewNotifier(n, x)
	}
	return pageOf(items, ""), nil
}

func (s *server) getNotifier(ctx context.Context, in *CodePath) (*notifierAnswer, error) {
	n, err := s.notifiers()
	if err != nil {
		return nil, err
	}
	x, err := s.Store.Notifier(ctx, in.Code)
	if err != nil {
		return nil, err
	}
	return answerNotifier(n, x), nil
}

// ReadNotifier reads a notifier's settings from JSON. code and kind are told
// elsewhere, or "": the body has to name them then. The error is a *pim.Invalid.
func ReadNotifier(body []byte, code, kind string) (jobs.NotifierSpec, error) {
	v, err := pim.DecodeJSON(body, 0)
	if err != nil {
		return jobs.NotifierSpec{}, err
	}
	given := map[string]string{}
	if code != "" {
		given["code"] = code
	}
	if m, ok := v.(map[string]any); ok && m["kind"] == nil && kind != "" {
		m["kind"] = kind
	}
	return bind[jobs.NotifierSpec](v, given)
}

func (s *server) createNotifier(ctx context.Context, in *RawInput) (*notifierAnswer, error) {
	n, err := s.notifiers()
	if err != nil {
		return nil, err
	}
	spec, err := ReadNotifier(in.RawBody, "", "")
	if err != nil {
		return nil, err
	}
	x, err := n.Create(ctx, spec)
	if err != nil {
		return nil, err
	}
	a := answerNotifier(n, x)
	a.Status, a.Location = http.StatusCreated, "/v1/notifiers/"+url.PathEscape(x.Code)
	return a, nil
}

func (s *server) putNotifier(ctx context.Context, in *putCode) (*notifierAnswer, error) {
	n, err := s.notifiers()
	if err != nil {
		return nil, err
	}
	want, p := parseIfMatch(in.IfMatch)
	if p != nil {
		return nil, p
	}
	for race := 0; ; race++ {
		old, err := s.Store.Notifier(ctx, in.Code)
		if err != nil {
			return nil, err
		}
		if want.given && !want.any && !slices.Contains(want.revisions, old.Version) {
			return nil, stale(old.Version)
		}
		spec, err := ReadNotifier(in.RawBody, in.Code, old.Kind)
		if err != nil {
			return nil, err
		}
		now, err := n.Update(ctx, in.Code, spec, old.Version)
		if errors.Is(err, postgres.ErrStale) && race < maxRaces {
			continue
		}
		if err != nil {
			return nil, err
		}
		return answerNotifier(n, now), nil
	}
}

func (s *server) testNotifier(ctx context.Context, in *CodePath) (*answer[Tested], error) {
	n, err := s.notifiers()
	if err != nil {
		return nil, err
	}
	err = n.Test(ctx, in.Code)
	if e, ok := errors.AsType[*connectors.Error](err); ok {
		return nil, problem(http.StatusBadGateway, "notifier", "the message did not arrive", Fault{Code: "notifier." + string(e.Verdict), Detail: e.Error()})
	}
	if err != nil {
		return nil, err
	}
	return &answer[Tested]{Tested{OK: true}}, nil
}
