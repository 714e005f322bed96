package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// Readiness is whether a product is fit for a channel: it has what its family
// requires there, and neither the mapping nor the connector's own check, nor the
// target when it was last asked, has an error against it.
type Readiness struct {
	Channel pim.ChannelCode `json:"channel,omitempty" doc:"None in particular where the house has none"`
	Locale  pim.Locale      `json:"locale"`
	Share   float64         `json:"share" doc:"Filled of required, from 0 to 1, cut to two digits; 1 where nothing is required"`
	pim.Completeness
	Ready  *bool       `json:"ready,omitempty" doc:"Complete, and without an issue that is an error. Told in the channel's own locale alone: others are not sent there"`
	Issues []pim.Issue `json:"issues,omitempty" doc:"What the mapping, the connector's check and the target have against it, told as ready is"`
}

// Readiness tells how complete a product is, and what its channels would have
// against it, before anything is sent. channels and locales narrow it; without
// locales each channel has its own. A variant has its parent's values under its
// own. A channel that cannot be opened has that as its issue, and one that is
// deleted meanwhile is left out. It changes nothing. ErrNotFound: there is no such
// product, or no such channel.
func (c *Channels) Readiness(ctx context.Context, sku pim.SKU, channels []pim.ChannelCode, locales []pim.Locale) ([]Readiness, error) {
	p, err := c.store.Product(ctx, sku)
	if err != nil {
		return nil, err
	}
	all, err := c.store.Channels(ctx)
	if err != nil {
		return nil, err
	}
	for _, code := range channels {
		if !slices.ContainsFunc(all, func(ch *postgres.Channel) bool { return ch.Code == code }) {
			return nil, fmt.Errorf("channel %s: %w", code, postgres.ErrNotFound)
		}
	}
	schema, err := c.store.RefreshSchema(ctx)
	if err != nil {
		return nil, err
	}
	own, err := pim.DecodeStored(p.Values)
	if err != nil {
		return nil, fmt.Errorf("values of %s: %w", sku, err)
	}
	values, err := p.Inherited.Below(own)
	if err != nil {
		return nil, fmt.Errorf("values of the parents of %s: %w", sku, err)
	}
	closed, err := c.store.ClosedOn(ctx, sku)
	if err != nil {
		return nil, err
	}
	in := func(channel pim.ChannelCode, locale pim.Locale) Readiness {
		r := Readiness{Channel: channel, Locale: locale, Completeness: schema.Completeness(p.Family, p.FamilyVariant, p.Level(), values, channel, locale)}
		r.Share = r.Completeness.Share()
		return r
	}
	list := []Readiness{}
	for _, ch := range all {
		if len(channels) > 0 && !slices.Contains(channels, ch.Code) {
			continue
		}
		asked := locales
		if len(asked) == 0 {
			asked = []pim.Locale{ch.Locale}
		}
		var on []Readiness
		for _, locale := range asked {
			r := in(ch.Code, locale)
			if locale == ch.Locale {
				err := c.preflight(ctx, ch, sku, &r)
				if errors.Is(err, postgres.ErrNotFound) {
					if _, gone := c.store.Channel(ctx, ch.Code); errors.Is(gone, postgres.ErrNotFound) {
						on = nil // deleted meanwhile
						break
					}
				}
				if err != nil {
					return nil, err
				}
				r.Issues = append(r.Issues, schema.InvalidValues(p.Family, values, ch.Code, ch.Locale)...)
				if w, is := closed[ch.Code]; is {
					r.Issues = append(r.Issues, notPublished(w))
				}
			}
			on = append(on, r)
		}
		list = append(list, on...)
	}
	if len(all) == 0 {
		for _, locale := range locales {
			list = append(list, in("", locale))
		}
	}
	return list, nil
}

// preflight asks what the channel has against the product as it is. Without a
// connector it has nothing: what the family requires is all that there is.
func (c *Channels) preflight(ctx context.Context, ch *postgres.Channel, sku pim.SKU, r *Readiness) error {
	if !ch.HasConnector() {
		ready := r.Complete()
		r.Ready = &ready
		return nil
	}
	seen, err := c.Preview(ctx, r.Channel, sku, nil)
	if closed, ok := errors.AsType[*ClosedError](err); ok {
		// The others' answers are not to be had for it.
		ready := false
		r.Ready, r.Issues = &ready, []pim.Issue{{Code: "channel.closed", Severity: pim.SeverityError, Text: "the channel cannot be opened: " + closed.Err.Error()}}
		return nil
	}
	if err != nil {
		return err
	}
	ready := r.Complete()
	for _, lane := range seen.Lanes {
		if lane.Outlook == OutlookRefused {
			ready = false
			if len(lane.Issues) == 0 { // else they say it
				r.Issues = append(r.Issues, pim.Issue{Code: "lane.refused", Severity: pim.SeverityError, Text: lane.Lane.String() + ": " + lane.Reason})
			}
		}
		for _, i := range lane.Issues {
			ready = ready && i.Severity != pim.SeverityError
			r.Issues = append(r.Issues, i)
		}
	}
	r.Ready = &ready
	return nil
}

// notPublished is what a window says that is not open: it keeps a product from a
// channel, and says nothing against it.
func notPublished(w pim.Publication) pim.Issue {
	text := "the product is not published here"
	switch now := time.Now(); {
	case w.From != nil && now.Before(*w.From):
		text += " before " + w.From.Format(time.RFC3339)
	case w.To != nil:
		text += " since " + w.To.Format(time.RFC3339)
	}
	return pim.Issue{Code: "publication.closed", Severity: pim.SeverityWarning, Text: text}
}
