//go:build unix

package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// target is one channel and the fake that it sends to.
type target struct {
	spec    jobs.ChannelSpec // without its config
	title   string
	options webhooktest.Options
	// Calls per second that the fake takes; 0: any number.
	rate   float64
	fresh  bool // its secret was made by this start
	server *webhooktest.Server
}

// The demo's channels. That the mappings differ is the point: one product, a
// document of its own for each target. The ERP has the default mapping.
func targets() []*target {
	shop := &connectors.Mapping{
		Content: map[string]string{
			"sku": "sku", "parent": "firstOf([parent])",
			"title":      "firstOf([values.name, text('name', 'en-GB'), sku])",
			"categories": "categories", "attributes": "values",
			"slug": "slug(firstOf([values.name, text('name', 'en-GB'), sku]) + ' ' + sku)",
		},
		Offer: map[string]string{"price": "price.amount", "currency": "price.currency", "stock": "stock.available"},
		Media: map[string]string{"images": "firstOf([media])"},
	}
	market := &connectors.Mapping{
		Content: map[string]string{
			"sku": "sku", "parent": "firstOf([parent])", "ean": "values.gtin",
			"title":    "truncate(firstOf([values.name, text('name', 'en-GB'), sku]), 80)",
			"text":     "stripTags(values.description)",
			"category": "family",
		},
		Offer: map[string]string{"price": "number(price.amount)", "currency": "price.currency", "stock": "stock.available"},
		Media: map[string]string{"pictures": "firstOf([media])"},
	}
	return []*target{
		{title: "web shop, English", spec: jobs.ChannelSpec{Code: "shop-en", Locale: "en-GB", Currency: "EUR", Mapping: shop}, options: webhooktest.Options{Answer: connectors.Live}},
		{title: "web shop, German", spec: jobs.ChannelSpec{Code: "shop-de", Locale: "de-DE", Currency: "EUR", Mapping: shop}, options: webhooktest.Options{Answer: connectors.Live}},
		{title: "marketplace", spec: jobs.ChannelSpec{Code: "market-one", Locale: "en-GB", Currency: "GBP", Mapping: market}, options: webhooktest.Options{Answer: connectors.Live}},
		{
			title: "marketplace that answers later and throttles", spec: jobs.ChannelSpec{Code: "market-two", Locale: "nl-NL", Currency: "EUR", Mapping: market},
			options: webhooktest.Options{Async: &webhooktest.Async{Delay: 300 * time.Millisecond}}, rate: 20,
		},
		{title: "ERP", spec: jobs.ChannelSpec{Code: "erp", Locale: "en-GB", Currency: "EUR"}},
	}
}

// settle is how long a lost request to a fake may still take effect: they are
// on this machine, and answer within milliseconds.
const settle = 2 * time.Second

// startTargets starts the fakes where the channels expect them.
func (d *demo) startTargets() error {
	for _, t := range targets() {
		code := string(t.spec.Code)
		was := d.house.state.Targets[code]
		if was.Secret == "" {
			was.Secret, t.fresh = webhooktest.NewSecret(), true
		}
		t.options.Name, t.options.Secret, t.options.Journal = t.title, was.Secret, d.house.path("target-"+code+".jsonl")
		server, err := webhooktest.NewServer(was.Addr, t.options)
		if err != nil && was.Addr != "" { // somebody else has the port now
			server, err = webhooktest.NewServer("", t.options)
		}
		if err != nil {
			return err
		}
		t.server = server
		d.targets = append(d.targets, t)
		if t.rate > 0 {
			server.Throttle(t.rate, int(t.rate/2))
		}
		u, err := url.Parse(server.Base())
		if err != nil {
			return err
		}
		d.house.state.Targets[code] = targetState{Addr: u.Host, Secret: was.Secret}
	}
	return d.house.save()
}

// webhookConfig is the config of a channel to t.
type webhookConfig struct {
	URL       string `json:"url"`
	Secret    string `json:"secret,omitempty"`
	StatusURL string `json:"status_url,omitempty"`
}

func (t *target) config() webhookConfig {
	c := webhookConfig{URL: t.server.URL(), Secret: t.server.Secret()}
	if t.options.Async != nil {
		c.StatusURL = t.server.StatusURL()
	}
	return c
}

// ensureChannels creates the channels that are missing. One that is there is
// the user's: only its address and secret are brought up to date, when the fake
// has others than the last time.
func (d *demo) ensureChannels(ctx context.Context) error {
	for _, t := range d.targets {
		ch, err := d.node.Store.Channel(ctx, t.spec.Code)
		if errors.Is(err, postgres.ErrNotFound) {
			err = d.createChannel(ctx, t)
			if errors.Is(err, postgres.ErrExists) {
				err = nil
			}
		} else if err == nil {
			err = d.adoptChannel(ctx, t, ch)
		}
		if err != nil {
			return fmt.Errorf("channel %s: %w", t.spec.Code, err)
		}
	}
	return nil
}

func (d *demo) createChannel(ctx context.Context, t *target) error {
	spec := t.spec
	var err error
	if spec.Config, err = json.Marshal(t.config()); err != nil {
		return err
	}
	spec.Connector, spec.TimeoutSeconds, spec.SettleSeconds = "webhook", 10, settle.Seconds()
	_, err = d.node.Channels.Create(ctx, spec)
	return err
}

func (d *demo) adoptChannel(ctx context.Context, t *target, ch *postgres.Channel) error {
	if ch.Connector != "webhook" {
		return fmt.Errorf("the database has a channel of this name with connector %s; name another database for the demo", ch.Connector)
	}
	want := t.config()
	var have webhookConfig
	if err := json.Unmarshal(ch.Config, &have); err != nil {
		return fmt.Errorf("decode its config: %w", err)
	}
	if _, err := d.node.Channels.Target(ctx, ch.ID, 0); err != nil {
		// Somebody else's, then, and not ours to mend.
		return fmt.Errorf("the database has a channel of this name that the demo did not make: give the demo a database of its own: %w", err)
	}
	if !t.fresh && have.URL == want.URL && have.StatusURL == want.StatusURL {
		return nil
	}
	spec, err := specOf(ch)
	if err != nil {
		return err
	}
	if spec.Config, err = json.Marshal(want); err != nil {
		return err
	}
	_, err = d.node.Channels.Update(ctx, ch.Code, spec, 0)
	return err
}

// specOf is a channel's settings as people say them, without the config.
func specOf(ch *postgres.Channel) (jobs.ChannelSpec, error) {
	spec := jobs.ChannelSpec{
		Code: ch.Code, Connector: ch.Connector, Locale: ch.Locale, Currency: ch.Currency, PriceList: ch.PriceList, Locations: ch.Locations,
		Batch: ch.Batch, Concurrency: ch.Concurrency, TimeoutSeconds: ch.Timeout.Seconds(), SettleSeconds: ch.Settle.Seconds(), Enabled: &ch.Enabled,
		Mapping: &connectors.Mapping{},
	}
	if err := json.Unmarshal(ch.Mapping, spec.Mapping); err != nil {
		return spec, fmt.Errorf("decode its mapping: %w", err)
	}
	return spec, nil
}

// codes are the demo's channels.
func (d *demo) codes() map[pim.ChannelCode]bool {
	m := map[pim.ChannelCode]bool{}
	for _, t := range d.targets {
		m[t.spec.Code] = true
	}
	return m
}
