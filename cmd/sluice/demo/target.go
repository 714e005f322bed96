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
	"github.com/sluicehub/sluice/connectors/bol/boltest"
	"github.com/sluicehub/sluice/connectors/tryton/trytontest"
	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/connectors/woocommerce/woocommercetest"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// fake is a running target.
type fake interface {
	AdminURL() string
	Up() // what hangs in it goes on
	Close() error
}

// target is one channel and the fake that it sends to.
type target struct {
	spec  jobs.ChannelSpec // without its config
	title string
	// start starts the fake with credentials of a former start, which it makes
	// where there are none, and gives the channel's config for it.
	start func(t *target, file string, was *targetState) (fake, settings, error)

	server fake
	config settings
	fresh  bool // its credentials were made by this start
	lost   bool // it came up without what it held
}

// settings are a channel's config.
type settings map[string]any

// priceList is the hub's list of ordinary prices.
const priceList = "default"

// The names of the connectors.
const (
	wooCommerce = "woocommerce"
	webhook     = "webhook"
	bol         = "bol"
	tryton      = "tryton"
)

var yes = true

// The demo's channels. That the connectors and mappings differ is the point: one
// product, a document of its own for each target.
func targets() []*target {
	return []*target{
		{title: "web shop, English", start: startShop, spec: jobs.ChannelSpec{Code: "shop-en", Connector: wooCommerce, Locale: "en-GB", Currency: "EUR", Mapping: shopMapping(), Renditions: []string{shopPicture, thumbnail}}},
		{title: "web shop, German", start: startShop, spec: jobs.ChannelSpec{Code: "shop-de", Connector: wooCommerce, Locale: "de-DE", Currency: "EUR", Mapping: shopMapping(), Renditions: []string{shopPicture, thumbnail}}},
		{title: "marketplace", start: startMarket, spec: jobs.ChannelSpec{Code: "market-one", Connector: webhook, Locale: "en-GB", Currency: "GBP", Mapping: marketMapping(), Renditions: []string{marketPicture, thumbnail}}},
		{title: "marketplace that answers later and throttles", start: startBol, spec: jobs.ChannelSpec{Code: "market-two", Connector: bol, Locale: "nl-NL", Currency: "EUR", Mapping: bolMapping()}},
		{title: "test shop in French, which a pseudo-translator makes", start: startMarket, spec: jobs.ChannelSpec{Code: "test-fr", Connector: webhook, Locale: french, Currency: "EUR", Mapping: testMapping(), Test: &yes, Renditions: []string{marketPicture}}},
		{title: "ERP", start: startERP, spec: jobs.ChannelSpec{Code: "erp", Connector: tryton, Locale: "en-GB", Currency: "EUR", Mapping: erpMapping()}},
	}
}

const (
	// settle is how long a lost request to a fake may still take effect: they are
	// on this machine, and answer within milliseconds.
	settle = 2 * time.Second
	// answerMay is how long a fake's answer to a whole batch may take on a busy machine.
	answerMay = 30 * time.Second
)

// bolLimits let a catalogue through, and let it be seen that bol throttles: after
// a burst the channel waits for the window's end.
var bolLimits = map[string]boltest.Limit{
	boltest.PostContent: {Calls: 450, Per: 3 * time.Second},
	boltest.GetReport:   {Calls: 450, Per: 3 * time.Second},
	boltest.CreateOffer: {Calls: 150, Per: time.Second},
	boltest.UpdateOffer: {Calls: 150, Per: time.Second},
	boltest.ListOffers:  {Calls: 200, Per: time.Second},
	boltest.Reasons:     {Calls: 150, Per: time.Second},
}

func startShop(_ *target, file string, was *targetState) (fake, settings, error) {
	if was.Secret == "" {
		was.Key, was.Secret = woocommercetest.NewKey()
	}
	s, err := woocommercetest.NewServer(was.Addr, woocommercetest.Options{Key: was.Key, Secret: was.Secret, Ledger: file})
	if err != nil {
		return nil, nil, err
	}
	return s, settings{"url": s.URL(), "consumer_key": was.Key, "consumer_secret": was.Secret}, nil
}

func startMarket(t *target, file string, was *targetState) (fake, settings, error) {
	if was.Secret == "" {
		was.Secret = webhooktest.NewSecret()
	}
	s, err := webhooktest.NewServer(was.Addr, webhooktest.Options{Name: t.title, Secret: was.Secret, Journal: file, Answer: connectors.Live})
	if err != nil {
		return nil, nil, err
	}
	return s, settings{"url": s.URL(), "secret": was.Secret}, nil
}

func startBol(_ *target, file string, was *targetState) (fake, settings, error) {
	s, err := boltest.NewServer(was.Addr, boltest.Options{ClientID: was.Key, ClientSecret: was.Secret, Polls: 1, Limits: bolLimits, Ledger: file})
	if err != nil {
		return nil, nil, err
	}
	was.Key, was.Secret = s.ClientID(), s.ClientSecret()
	return s, settings{
		"client_id": was.Key, "client_secret": was.Secret, "economic_operator_id": "demo", "countries": []string{"NL", "BE"}, "api_url": s.URL(), "login_url": s.LoginURL(),
	}, nil
}

// startERP starts the ERP. Prices and stock are its own; of stock it tells what
// it ever had, since what people import comes to it as goods without any.
func startERP(_ *target, file string, was *targetState) (fake, settings, error) {
	s, err := trytontest.NewServer(was.Addr, trytontest.Options{
		Password: was.Secret, Languages: []string{"de", "nl"}, Warehouses: []string{north, south}, Ledger: file,
	})
	if err != nil {
		return nil, nil, err
	}
	was.Key, was.Secret = s.User(), s.Password()
	return s, settings{
		"url": s.URL(), "database": s.Database(), "user": was.Key, "password": was.Secret,
		"price_list": priceList, "locations": map[string]string{north: north, south: south}, "only_moved": true,
	}, nil
}

// startTargets starts the fakes where the channels expect them.
func (d *demo) startTargets() error {
	for _, t := range targets() {
		code := string(t.spec.Code)
		was, known := d.house.state.Targets[code]
		if was.Connector != t.spec.Connector { // an older demo's, with other credentials
			was, known = targetState{Addr: was.Addr, Connector: t.spec.Connector}, false
		}
		t.fresh = !known
		file := d.house.path("target-" + code + ".jsonl")
		server, config, err := t.start(t, file, &was)
		if err != nil && was.Addr != "" { // somebody else has the port now
			was.Addr = ""
			server, config, err = t.start(t, file, &was)
		}
		if err != nil {
			return fmt.Errorf("start the fake of %s: %w", code, err)
		}
		t.server, t.config = server, config
		if f, ok := server.(interface{ Fresh() bool }); ok {
			t.lost = f.Fresh()
		}
		d.targets = append(d.targets, t)
		u, err := url.Parse(server.AdminURL())
		if err != nil {
			return err
		}
		was.Addr = u.Host
		d.house.state.Targets[code] = was
	}
	return d.house.save()
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
	if spec.Config, err = json.Marshal(t.config); err != nil {
		return err
	}
	spec.TimeoutSeconds, spec.SettleSeconds = answerMay.Seconds(), settle.Seconds()
	_, err = d.node.Channels.Create(ctx, spec)
	return err
}

func (d *demo) adoptChannel(ctx context.Context, t *target, ch *postgres.Channel) error {
	if ch.Connector != t.spec.Connector {
		return fmt.Errorf("the database has a channel of this name with connector %s, the demo's has %s: it is an older demo's, or nobody's demo. Name another folder with --data-dir (and another database, where DATABASE_URL is set), or delete %s",
			ch.Connector, t.spec.Connector, d.house.dir)
	}
	if _, err := d.node.Channels.Target(ctx, ch.ID, 0); err != nil {
		// Somebody else's, then, and not ours to mend.
		return fmt.Errorf("the database has a channel of this name that the demo did not make: give the demo a database of its own: %w", err)
	}
	same, err := t.sameAddress(ch.Config)
	if err != nil {
		return err
	}
	if t.fresh || !same {
		spec, err := jobs.SpecOf(ch)
		if err != nil {
			return err
		}
		if spec.Config, err = json.Marshal(t.config); err != nil {
			return err
		}
		if _, err := d.node.Channels.Update(ctx, ch.Code, spec, 0); err != nil {
			return err
		}
	}
	if !t.lost {
		return nil
	}
	d.say("The fake of %s lost what it held (its file is gone): everything is sent again.", ch.Code)
	return d.node.Store.ResyncChannel(ctx, ch.Code, true)
}

// addresses are the fields of the configs that say where a fake is.
var addresses = []string{"url", "api_url", "login_url"}

// sameAddress compares where a channel sends with where the fake is.
func (t *target) sameAddress(config json.RawMessage) (bool, error) {
	var have settings
	if err := json.Unmarshal(config, &have); err != nil {
		return false, fmt.Errorf("decode its config: %w", err)
	}
	for _, name := range addresses {
		if have[name] != t.config[name] {
			return false, nil
		}
	}
	return true, nil
}

// codes are the demo's channels.
func (d *demo) codes() map[pim.ChannelCode]bool {
	m := map[pim.ChannelCode]bool{}
	for _, t := range d.targets {
		m[t.spec.Code] = true
	}
	return m
}
