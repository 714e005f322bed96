//go:build unix

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/all"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
)

type explainCmd struct {
	Channel pim.ChannelCode `arg:"" help:"The channel's code."`
	SKU     pim.SKU         `arg:"" name:"sku" help:"The product's SKU."`
	JSON    bool            `name:"json" help:"Print a JSON object."`
}

// Help is the command's longer text.
func (explainCmd) Help() string {
	return `Tells, lane by lane, the last change, the mapping that makes the channel's document of it, what is wanted and what was acknowledged, the last attempt with the numbers of its exchanges (see sluice exchanges), and what the target answered; or the exact reason for which it waits, since when, and until when.`
}

// Run explains where a product stands.
func (e explainCmd) Run(ctx context.Context, c console) error {
	store, err := openStore(ctx, few)
	if err != nil {
		return err
	}
	defer store.Close()
	x, err := jobs.NewChannels(store, all.Registry(), nil, connectors.Env{Version: versionText()}).Explain(ctx, e.Channel, e.SKU)
	if err != nil {
		return err
	}
	if e.JSON {
		return printJSON(c.out, x)
	}
	_, err = fmt.Fprint(c.out, explained(x))
	return err
}

// onTargets say what a target holds.
var onTargets = map[jobs.OnTarget]string{
	jobs.OnTargetLive: "is live on", jobs.OnTargetAccepted: "was accepted by", jobs.OnTargetNo: "is not on", jobs.OnTargetUncertain: "may be on",
}

// explained writes an explanation for people.
func explained(x *jobs.Explanation) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s: %s\n", x.SKU, onTargets[x.OnTarget], x.Channel, reasonOf(x.At, x.Because))
	for _, l := range x.Lanes {
		fmt.Fprintf(&b, "\n%s: %s (%s)\n", l.Lane, l.State, l.Reason)
		line := func(link, format string, args ...any) {
			fmt.Fprintf(&b, "  %-8s %s\n", link, fmt.Sprintf(format, args...))
		}
		line("why", "%s", reasonOf(x.At, l.Because))
		if l.ETA != nil {
			line("", "it is done by %s at the pace of the last minutes: in %s", local(*l.ETA), l.ETA.Sub(x.At).Round(time.Second))
		}
		if k := l.Stock; k != nil {
			line("stock", "%d on hand, %d reserved, %d free, %d held back: it shows %d", k.OnHand, k.Reserved, k.Free, k.HeldBack, k.Shown)
		}
		if k := l.Chain.Edit; k != nil {
			what := ""
			if len(k.Attributes) > 0 {
				what = ": " + shortList(k.Attributes)
			}
			line("edit", "%s of %s by %s, %s, event %d%s", k.Type, k.SKU, k.Actor, local(k.At), k.Event, what)
		}
		if k := l.Chain.Rule; k != nil {
			line("rule", "mapping %d since %s; fields that read it: %s", k.Version, local(k.Since), dash(shortList(k.Fields)))
		}
		if k := l.Chain.Listing; k != nil {
			acked := "nothing acknowledged yet"
			if k.AcknowledgedAt != nil {
				acked = fmt.Sprintf("revision %d acknowledged %s", k.Acknowledged, local(*k.AcknowledgedAt))
			}
			line("listing", "revision %d wanted, %s", k.Wanted, acked)
		}
		if k := l.Chain.Attempt; k != nil {
			ids := make([]string, len(k.Exchanges))
			for i, e := range k.Exchanges {
				ids[i] = fmt.Sprint(e.ID)
			}
			line("attempt", "revision %d, %s; exchanges: %s", k.Revision, local(k.At), dash(shortList(ids)))
		}
		if k := l.Chain.Answer; k != nil {
			line("answer", "%s of revision %d, %s%s", k.Verdict, k.Revision, local(k.At), dashed(oneLine(k.Error)))
			for _, i := range k.Issues {
				line("", "%s", oneLine(fmt.Sprintf("%s %s %s: %s", i.Severity, i.Code, i.Attribute, i.Text)))
			}
		}
	}
	return b.String()
}

func reasonOf(now time.Time, b jobs.Because) string {
	text := oneLine(b.Text)
	if b.Since != nil {
		text += fmt.Sprintf(" (since %s", local(*b.Since))
		if b.Until != nil {
			text += fmt.Sprintf(", until %s: in %s", local(*b.Until), b.Until.Sub(now).Round(time.Second))
		}
		text += ")"
	}
	return text
}

func local(t time.Time) string { return t.Local().Format(time.DateTime) }

func dashed(s string) string {
	if s == "" {
		return ""
	}
	return ": " + s
}

// shortList is a list for a line.
func shortList(list []string) string {
	const most = 8
	if len(list) <= most {
		return strings.Join(list, ", ")
	}
	return strings.Join(slices.Clone(list[:most]), ", ") + fmt.Sprintf(" and %d more", len(list)-most)
}
