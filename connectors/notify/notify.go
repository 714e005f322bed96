// Package notify tells people and their systems what is wrong with channels: by
// a signed webhook, or by e-mail. It knows no SQL and no road; what is told, to
// whom and when is decided in package jobs.
package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluicehub/sluice/pim"
)

// Change is one change of an alert's state.
type Change string

// What can become of an alert.
const (
	Raised  Change = "raised"
	Cleared Change = "cleared"
)

// Notice is one change that is told.
type Notice struct {
	Change Change    `json:"change"`
	At     time.Time `json:"at"`
	Alert  pim.Alert `json:"alert"`
}

// Message is what goes out at once: one notice, or a digest of many.
type Message struct {
	ID      string    `json:"id"` // the same at each attempt: who sees it again has it already
	At      time.Time `json:"at"`
	Test    bool      `json:"test,omitempty"` // nothing is wrong: somebody tries the settings
	Notices []Notice  `json:"notices"`
}

// Subject is the message in a line.
func (m *Message) Subject() string {
	switch {
	case m.Test:
		return "Sluice: a test of these notifications"
	case len(m.Notices) == 1:
		return "Sluice: " + m.Notices[0].Alert.Title
	}
	n := map[Change]int{}
	for _, x := range m.Notices {
		n[x.Change]++
	}
	var parts []string
	if n[Raised] > 0 {
		parts = append(parts, fmt.Sprintf("%d new", n[Raised]))
	}
	if n[Cleared] > 0 {
		parts = append(parts, fmt.Sprintf("%d over", n[Cleared]))
	}
	return "Sluice: alerts, " + strings.Join(parts, ", ")
}

// Text is the message for people: what, since when, why, and what to do.
func (m *Message) Text() string {
	if m.Test {
		return "Somebody tries whether messages of Sluice arrive here. They do; nothing is wrong.\n"
	}
	var b strings.Builder
	for i, n := range m.Notices {
		if i > 0 {
			b.WriteString("\n")
		}
		a := n.Alert
		fmt.Fprintf(&b, "%s.\n", a.Title)
		if n.Change == Cleared {
			fmt.Fprintf(&b, "It was so since %s, and is over.\n", a.Since.UTC().Format("2006-01-02 15:04 MST"))
			continue
		}
		fmt.Fprintf(&b, "Since: %s\n", a.Since.UTC().Format("2006-01-02 15:04 MST"))
		if a.Detail != "" {
			fmt.Fprintf(&b, "Why: %s\n", a.Detail)
		}
		fmt.Fprintf(&b, "What to do: %s\n", a.Advice)
	}
	return b.String()
}

// Sender sends messages. It is safe for concurrent use.
type Sender interface {
	// Send delivers m within ctx, or gives an error, without secrets, that says why
	// not. After an error the message may have arrived all the same.
	Send(ctx context.Context, m *Message) error
}

// Env is what the process and the notifier's settings lend to a sender.
type Env struct {
	AllowPrivate bool // it may be reached at loopback and private addresses
	Version      string
	Mail         Mail // what e-mail notifiers use that name no server of their own
}

// Kind is a way to tell.
type Kind struct {
	Name   string // immutable, lower case: "email"
	Title  string // for people
	Config any    // as a connectors.Kind's
	// New makes a sender from a config of Config's shape, secrets included. A bad
	// config is a *pim.Invalid with all its problems.
	New func(config json.RawMessage, env Env) (Sender, error)
}

// Kinds are all there are, by name.
var Kinds = []*Kind{emailKind, webhookKind}

// KindOf finds a kind by name; the error lists the names there are.
func KindOf(name string) (*Kind, error) {
	if i := slices.IndexFunc(Kinds, func(k *Kind) bool { return k.Name == name }); i >= 0 {
		return Kinds[i], nil
	}
	return nil, fmt.Errorf("%q is no kind of notifier (there are: email, webhook)", name)
}
