//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/sluicehub/sluice/api"
	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/all"
	"github.com/sluicehub/sluice/connectors/notify"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

type notifyCmd struct {
	Alerts notifyAlertsCmd `cmd:"" help:"List what is wrong with channels now."`
	List   notifyListCmd   `cmd:"" help:"List who is told."`
	Put    notifyPutCmd    `cmd:"" help:"Have somebody told, or change the settings."`
	Test   notifyTestCmd   `cmd:"" help:"Send a message that says that it is a test."`
	Delete notifyDeleteCmd `cmd:"" help:"Tell somebody no more."`
}

// mailServer is what e-mail notifiers use that name no server of their own. It
// is no flag: others on the machine can read a command's flags.
type mailServer struct {
	MailFrom string `env:"SLUICE_MAIL_FROM" placeholder:"ADDRESS" help:"Who writes e-mails of alerts. SLUICE_SMTP_URL names their server: smtp://user:password@host:587 (STARTTLS) or smtps://…:465."`
}

func (m mailServer) mail() (notify.Mail, error) {
	server, err := notify.ParseMail(os.Getenv("SLUICE_SMTP_URL"), m.MailFrom)
	if err != nil {
		return server, fmt.Errorf("SLUICE_SMTP_URL %w", err)
	}
	return server, nil
}

// onNotifiers lends what keeps notifiers to do.
func onNotifiers(ctx context.Context, k keyset, m mailServer, private bool, do func(*postgres.Store, *jobs.Notifiers) error) error {
	keys, err := k.open()
	if err != nil {
		return err
	}
	server, err := m.mail()
	if err != nil {
		return err
	}
	store, err := openStore(ctx, few)
	if err != nil {
		return err
	}
	defer store.Close()
	if err := jobs.NewChannels(store, all.Registry(), keys, connectors.Env{Version: versionText()}).BindKeyset(ctx); err != nil {
		return err
	}
	return do(store, jobs.NewNotifiers(store, keys, notify.Env{AllowPrivate: private, Version: versionText(), Mail: server}))
}

type notifyAlertsCmd struct {
	JSON    bool            `name:"json" help:"Print a JSON array."`
	Channel pim.ChannelCode `help:"Only of this channel."`
	Cleared bool            `help:"Also those that are over."`
}

// Run lists the alerts.
func (l notifyAlertsCmd) Run(ctx context.Context, c console) error {
	header := []string{"CHANNEL", "ALERT", "SINCE", "OVER", "WHY", "WHAT TO DO"}
	read := func(ctx context.Context, store *postgres.Store) ([]pim.Alert, error) {
		alerts, _, err := store.Alerts(ctx, l.Channel, l.Cleared, postgres.Page{Limit: 1000})
		return alerts, err
	}
	return list(ctx, c, l.JSON, header, read, func(a pim.Alert) []string {
		over := "-"
		if a.ClearedAt != nil {
			over = a.ClearedAt.Local().Format(time.DateTime)
		}
		return []string{string(a.Channel), string(a.Kind), a.Since.Local().Format(time.DateTime), over, dash(oneLine(a.Detail)), a.Advice}
	})
}

// notifierView is a notifier as it is printed.
type notifierView struct {
	Code      string            `json:"code"`
	Kind      string            `json:"kind"`
	Enabled   bool              `json:"enabled"`
	Channels  []pim.ChannelCode `json:"channels"`
	Kinds     []pim.AlertKind   `json:"kinds"`
	Waiting   int64             `json:"waiting"`
	SentAt    *time.Time        `json:"sent_at,omitempty"`
	LastError string            `json:"last_error,omitempty"`
}

type notifyListCmd struct {
	JSON bool `name:"json" help:"Print a JSON array."`
}

// Run lists the notifiers.
func (l notifyListCmd) Run(ctx context.Context, c console) error {
	header := []string{"NOTIFIER", "KIND", "ON", "CHANNELS", "ALERTS", "WAITING", "LAST SENT", "PROBLEM"}
	return list(ctx, c, l.JSON, header, notifierViews, func(v notifierView) []string {
		sent, on := "-", "yes"
		if v.SentAt != nil {
			sent = v.SentAt.Local().Format(time.DateTime)
		}
		if !v.Enabled {
			on = "no"
		}
		return []string{v.Code, v.Kind, on, everything(v.Channels), everything(v.Kinds), strconv.FormatInt(v.Waiting, 10), sent, dash(oneLine(v.LastError))}
	})
}

// everything is a list for people, of which none means all.
func everything[T ~string](list []T) string {
	words := make([]string, len(list))
	for i, w := range list {
		words[i] = string(w)
	}
	if len(words) == 0 {
		return "all"
	}
	return strings.Join(words, " ")
}

func notifierViews(ctx context.Context, store *postgres.Store) ([]notifierView, error) {
	list, err := store.Notifiers(ctx)
	if err != nil {
		return nil, err
	}
	views := make([]notifierView, len(list))
	for i, n := range list {
		views[i] = notifierView{Code: n.Code, Kind: n.Kind, Enabled: n.Enabled, Channels: n.Channels, Kinds: n.Kinds, Waiting: n.Waiting, SentAt: n.SentAt, LastError: n.Error}
	}
	return views, nil
}

type notifyPutCmd struct {
	keyset
	mailServer
	Code    string   `arg:"" help:"The notifier's code."`
	File    string   `placeholder:"FILE" type:"path" help:"JSON file with settings, as POST /v1/notifiers takes them; - is standard input."`
	Kind    string   `help:"Of a new one: email or webhook."`
	Set     []string `sep:"none" placeholder:"KEY=VALUE" help:"A setting of the kind; can be repeated, and all are said together. KEY:=JSON is for what is no text, and KEY=@FILE takes the value from a file, which keeps secrets off the command line."`
	Channel []string `sep:"none" help:"Tell of this channel alone; can be repeated."`
	Alert   []string `sep:"none" help:"Tell of this kind of alert alone: down, auth, stale, rejecting or paused; can be repeated."`
	Enabled *bool    `negatable:"" help:"Whether it is told."`

	AllowPrivateTargets bool `env:"SLUICE_ALLOW_PRIVATE_TARGETS" help:"Let it be at a loopback or private address."`
}

// Run creates or changes the notifier.
func (p notifyPutCmd) Run(ctx context.Context, c console) error {
	whole, err := objectFile(p.File, c)
	if err != nil {
		return err
	}
	if p.Kind != "" {
		whole["kind"] = p.Kind
	}
	if p.Enabled != nil {
		whole["enabled"] = *p.Enabled
	}
	for name, list := range map[string][]string{"channels": p.Channel, "kinds": p.Alert} {
		if len(list) > 0 {
			whole[name] = list
		}
	}
	body, err := mergeSet(whole, p.Set, c)
	if err != nil {
		return err
	}
	return onNotifiers(ctx, p.keyset, p.mailServer, p.AllowPrivateTargets, func(store *postgres.Store, n *jobs.Notifiers) error {
		old, err := store.Notifier(ctx, p.Code)
		if err != nil && !errors.Is(err, postgres.ErrNotFound) {
			return err
		}
		did, kind := "created", ""
		if old != nil {
			did, kind = "changed", old.Kind
		}
		spec, err := api.ReadNotifier(body, p.Code, kind)
		if err != nil {
			return err
		}
		if old == nil {
			_, err = n.Create(ctx, spec)
		} else {
			_, err = n.Update(ctx, p.Code, spec, old.Version)
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.out, "Notifier %s is %s.\n", p.Code, did)
		return err
	})
}

type notifyTestCmd struct {
	keyset
	mailServer
	Code string `arg:"" help:"The notifier's code."`
}

// Run sends a test.
func (t notifyTestCmd) Run(ctx context.Context, c console) error {
	return onNotifiers(ctx, t.keyset, t.mailServer, false, func(_ *postgres.Store, n *jobs.Notifiers) error {
		if err := n.Test(ctx, t.Code); err != nil {
			return fmt.Errorf("notifier %s: %w", t.Code, err)
		}
		_, err := fmt.Fprintf(c.out, "Notifier %s took a test message.\n", t.Code)
		return err
	})
}

type notifyDeleteCmd struct {
	Code string `arg:"" help:"The notifier's code."`
}

// Run deletes the notifier.
func (d notifyDeleteCmd) Run(ctx context.Context, c console) error {
	store, err := openStore(ctx, few)
	if err != nil {
		return err
	}
	defer store.Close()
	if err := store.DeleteNotifier(ctx, d.Code, 0); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.out, "Notifier %s is deleted.\n", d.Code)
	return err
}
