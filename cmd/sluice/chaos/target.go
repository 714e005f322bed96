//go:build unix

package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/bol/boltest"
	"github.com/sluicehub/sluice/connectors/fakeworks"
	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/connectors/woocommerce/woocommercetest"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// The faults of a target.
const (
	targetDown     = "503"
	targetThrottle = "429 with Retry-After"
	targetLose     = "applied, answer lost"
	targetDeny     = "applied, answered 500"
	targetSlow     = "slow, applied late"
	targetHang     = "hangs"
	targetReset    = "connection reset"
	targetGarbage  = "applied, answer truncated"
	targetPage     = "applied, answer of the wrong type"
	targetEndless  = "applied, answer without end"
	targetReject   = "refuses a product"
	targetUnknown  = "credentials refused"
)

var targetFaults = []string{
	targetDown, targetThrottle, targetLose, targetDeny, targetSlow, targetHang, targetReset, targetGarbage, targetPage, targetEndless,
	targetReject, targetUnknown,
}

// target is a channel and the fake that it sends to.
type target struct {
	spec  jobs.ChannelSpec
	id    pim.ChannelID
	way   *proxy
	marks bool // its documents say by which mapping they were made
	dead  bool // it answers nothing as long as the disorder lasts

	settings sync.Mutex // held while its mapping is being changed
	mark     int        // which mapping it has

	records *records // of a webhook target; nil of others
	faulty  sync.Mutex
	later   bool   // it answers pending, and works later
	status  string // what its listings may be at best: nothing is more than the target said

	fault      func(s step, sku pim.SKU, after time.Duration)
	up         func()
	held       func(p *product) string // what it holds, in the words of wanted
	waiting    func() int              // items taken and not applied yet
	sent       func() int64            // requests so far that could change something
	violations func() []string
	history    func(sku pim.SKU) []string
	close      func() error
}

// nothing is what a target holds of what is not to be there.
const nothing = "nothing"

// shown is how what is held and what is wanted are compared.
func shown(title, mark string, price, stock int64) string {
	return fmt.Sprintf("title %q, mark %q, price %s, stock %d", title, mark, decimal(price), stock)
}

// wanted is what the target ought to hold of a product, by the editors' and the
// manager's books and by nothing that Sluice says. Callers hold the locks of both.
func (t *target) wanted(p *product) string {
	if !p.now.exists || !p.now.enabled || t.spec.Connector == "bol" && p.ean == "" {
		return nothing
	}
	mark := ""
	if t.marks {
		mark = markOf(t.mark)
	}
	return shown(p.now.title, mark, p.now.cents, p.now.stock)
}

// limits of the channels, which fit the lateness that the proxies and the fakes
// bring about: a request may arrive later than its sender has given it up, but
// never later than its channel's settle time after that.
func (t *target) limits(p *pace) {
	t.spec.TimeoutSeconds, t.spec.SettleSeconds = p.timeout.Seconds(), p.settle.Seconds()
	t.spec.Locale, t.spec.Currency = locale, "EUR"
}

// publish makes the target's proxy and channel.
func (t *target) publish(ctx context.Context, channels *jobs.Channels, p *pace, backend string, config map[string]any, at ...string) (err error) {
	t.limits(p)
	for _, name := range at {
		s, _ := config[name].(string)
		config[name] = strings.Replace(s, backend, "http://"+t.way.addr, 1)
	}
	if t.spec.Config, err = json.Marshal(config); err != nil {
		return err
	}
	ch, err := channels.Create(ctx, t.spec)
	if err != nil {
		return fmt.Errorf("create channel %s: %w", t.spec.Code, err)
	}
	t.id = ch.ID
	return nil
}

func host(url string) string { return strings.TrimPrefix(url, "http://") }

// markOf is a mapping's mark.
func markOf(n int) string { return fmt.Sprintf("m%d", n) }

// openTargets starts the fakes and makes their channels.
func openTargets(ctx context.Context, channels *jobs.Channels, p *pace) (list []*target, err error) {
	for _, open := range []func(context.Context, *jobs.Channels, *pace) (*target, error){
		plain("plain", webhooktest.Options{}, ""), plain("versioned", webhooktest.Options{Versioned: true, Answer: connectors.Live}, pim.WithdrawDisable),
		plain("later", webhooktest.Options{Async: &webhooktest.Async{Delay: 300 * time.Millisecond}}, pim.WithdrawZeroStock), openShop, openBol, openStore,
		plain("dead", webhooktest.Options{}, pim.WithdrawDelete),
	} {
		t, err := open(ctx, channels, p)
		if t != nil {
			list = append(list, t)
		}
		if err != nil {
			return list, err
		}
	}
	return list, nil
}

// plain opens a webhook target; gone is its channel's policy for what leaves it.
func plain(code pim.ChannelCode, o webhooktest.Options, gone pim.Withdrawal) func(context.Context, *jobs.Channels, *pace) (*target, error) {
	return func(ctx context.Context, channels *jobs.Channels, p *pace) (*target, error) {
		o.History = 1 << 16
		f, err := webhooktest.New(o)
		if err != nil {
			return nil, err
		}
		t := &target{marks: true, dead: code == "dead", later: o.Async != nil, status: string(pim.StateAccepted)}
		if o.Answer == connectors.Live {
			t.status = string(pim.StateLive)
		}
		t.records = newRecords(f, func(addr string) *link { return t.way.linkOf(addr) })
		port, err := fakeworks.Listen("the fake target", "", t.records, 0)
		if err != nil {
			return nil, err
		}
		t.close = func() error { return port.Shut(f.Up, nil) }
		if t.way, err = newProxy(host(port.URL())); err != nil {
			return t, err
		}
		t.up, t.violations, t.sent = f.Up, f.Violations, t.records.sent
		t.waiting = func() (n int) {
			_ = f.Wait(context.Background(), func(s webhooktest.State) bool { n = s.Waiting(); return true }) // true at once
			return n
		}
		t.held = func(p *product) string { return heldWebhook(f, p.sku, gone) }
		t.history = func(sku pim.SKU) (lines []string) {
			for _, e := range f.Log(sku, 40) {
				lines = append(lines, fmt.Sprintf("%s %s %s revision %d %s: %s late=%t lost=%t fault=%s", stamp(e.At), e.Lane, e.Action, e.Revision, e.Document, e.Outcome, e.Late, e.Lost, e.Fault))
			}
			return lines
		}
		t.fault = func(s step, sku pim.SKU, after time.Duration) { faultWebhook(f, s, sku, after) }
		t.spec = jobs.ChannelSpec{Code: code, Connector: "webhook", Mapping: &connectors.Mapping{
			Content: map[string]string{"sku": "sku", "title": "values.name", "mark": "'" + markOf(0) + "'"},
			Offer:   map[string]string{"price": "number(price.amount)", "currency": "price.currency", "stock": "stock.available"},
		}, Batch: 10, Concurrency: 2, Policy: pim.Policy{Withdrawal: gone}}
		if code == "plain" {
			t.spec.Concurrency = 1 // so that its requests come in the order of their claims
		}
		config := map[string]any{"url": port.URL() + webhooktest.ItemsPath, "secret": f.Secret()}
		if t.later {
			config["status_url"] = port.URL() + webhooktest.StatusPath
		}
		return t, t.publish(ctx, channels, p, port.URL(), config, "url", "status_url")
	}
}

// heldWebhook is what a fake shows in both lanes. What has left it by the policy gone is nothing.
func heldWebhook(f *webhooktest.Fake, sku pim.SKU, gone pim.Withdrawal) string {
	content, is := f.Listing(sku, pim.Content)
	offered, also := f.Listing(sku, pim.Offer)
	switch hidden, soldOut := f.Hidden(sku), f.SoldOut(sku); {
	case !is && !also, hidden && gone == pim.WithdrawDisable, gone == pim.WithdrawZeroStock && (soldOut || !also):
		return nothing // what never had a price and stock sells as little
	case hidden || soldOut:
		return fmt.Sprintf("hidden %t, sold out for ever %t", hidden, soldOut)
	}
	var c struct{ Title, Mark string }
	var o offer
	if err := errors.Join(json.Unmarshal(content.Document, &c), json.Unmarshal(offered.Document, &o)); err != nil {
		return fmt.Sprintf("content %s, offer %s", content.Document, offered.Document)
	}
	return shown(c.Title, c.Mark, cents(o.Price.String()), o.Stock)
}

func faultWebhook(f *webhooktest.Fake, s step, sku pim.SKU, after time.Duration) {
	var b webhooktest.Fault
	switch s.how {
	case targetDown:
		b = webhooktest.Fault{Kind: webhooktest.Fail, Status: 503}
	case targetThrottle:
		b = webhooktest.Fault{Kind: webhooktest.Throttle, After: after}
	case targetLose:
		b = webhooktest.Fault{Kind: webhooktest.Lose}
	case targetDeny:
		b = webhooktest.Fault{Kind: webhooktest.Fail, Apply: true}
	case targetSlow:
		b = webhooktest.Fault{Kind: webhooktest.Slow, After: after}
	case targetHang:
		b = webhooktest.Fault{Kind: webhooktest.Hang}
	case targetReset:
		b = webhooktest.Fault{Kind: webhooktest.Reset}
	case targetGarbage, targetPage: // a page without items counts as taken by this contract
		b = webhooktest.Fault{Kind: webhooktest.Garbage}
	case targetEndless:
		b = webhooktest.Fault{Kind: webhooktest.Endless}
	case targetUnknown:
		b = webhooktest.Fault{Kind: webhooktest.Unauthorized}
	case targetReject:
		f.Reject(sku)
		time.AfterFunc(after, func() { f.Accept(sku) })
		return
	}
	b.Times = s.few
	also := b
	also.Polls = true
	f.Script(b, also)
}

// openShop opens a WooCommerce shop.
func openShop(ctx context.Context, channels *jobs.Channels, p *pace) (*target, error) {
	f, err := woocommercetest.NewServer("", woocommercetest.Options{})
	if err != nil {
		return nil, err
	}
	t := &target{marks: true, status: string(pim.StateLive), up: f.Up, violations: f.Violations, close: f.Close}
	if t.way, err = newProxy(host(f.URL())); err != nil {
		return t, err
	}
	t.waiting = func() int { return f.Counts().Hanging }
	t.sent = func() int64 { return int64(f.Counts().Batches) }
	t.held = func(p *product) string {
		h, ok := f.Held(p.sku)
		if !ok {
			return nothing
		}
		stock := int64(-1)
		if h.StockQuantity != nil {
			stock = *h.StockQuantity
		}
		return shown(h.Name, h.ShortDescription, cents(h.RegularPrice), stock)
	}
	t.history = logged(f.AdminURL())
	t.fault = func(s step, sku pim.SKU, after time.Duration) { faultShop(f, s, sku, after) }
	t.spec = jobs.ChannelSpec{Code: "shop", Connector: "woocommerce", Mapping: &connectors.Mapping{
		Content: map[string]string{"name": "values.name", "short_description": "'" + markOf(0) + "'"},
		Offer:   map[string]string{"regular_price": "price.amount", "stock": "stock.available"},
	}, Batch: 20, Concurrency: 2}
	config := map[string]any{"url": f.URL(), "consumer_key": f.Key(), "consumer_secret": f.Secret()}
	return t, t.publish(ctx, channels, p, f.URL(), config, "url")
}

func faultShop(f *woocommercetest.Server, s step, sku pim.SKU, after time.Duration) {
	b := woocommercetest.Fault{After: after, Times: s.few}
	switch s.how {
	case targetDown:
		b.Kind, b.Reads = woocommercetest.Maintenance, true
	case targetThrottle:
		b.Kind, b.Reads = woocommercetest.Throttle, true
	case targetLose, targetDeny:
		b.Kind = woocommercetest.Lose
	case targetSlow:
		b.Kind = woocommercetest.Slow
	case targetHang:
		b.Kind = woocommercetest.Hang
	case targetReset:
		b.Kind = woocommercetest.Reset
	case targetGarbage:
		b.Kind = woocommercetest.Garbage
	case targetPage:
		b.Kind, b.Reads = woocommercetest.Page, true
	case targetEndless:
		b.Kind = woocommercetest.Endless
	case targetUnknown:
		b.Kind = woocommercetest.Unauthorized
	case targetReject:
		f.Reject(sku)
		time.AfterFunc(after, func() { f.Accept(sku) })
		return
	}
	f.Script(b)
}

// openBol opens the marketplace that works content later.
func openBol(ctx context.Context, channels *jobs.Channels, p *pace) (*target, error) {
	f, err := boltest.NewServer("", boltest.Options{Polls: 1})
	if err != nil {
		return nil, err
	}
	t := &target{status: string(pim.StateLive), up: f.Up, violations: f.Violations, close: f.Close}
	if t.way, err = newProxy(host(f.URL())); err != nil {
		return t, err
	}
	t.waiting = func() int { return f.Counts().Hanging }
	t.sent = func() int64 {
		by := f.Counts().By
		return int64(by[boltest.CreateOffer] + by[boltest.UpdateOffer] + by[boltest.DeleteOffer] + by[boltest.PostContent])
	}
	t.held = func(p *product) string {
		i, ok := f.Item(p.sku)
		if !ok {
			return nothing
		}
		stock := int64(-1)
		if i.Stock != nil {
			stock = *i.Stock
		}
		return shown(i.Title, "", cents(i.Price), stock)
	}
	t.history = logged(f.AdminURL())
	t.fault = func(s step, _ pim.SKU, after time.Duration) { faultBol(f, s, after) }
	sold := func(expression string) string { return "has(values.gtin) ? dyn(" + expression + ") : null" }
	t.spec = jobs.ChannelSpec{Code: "market", Connector: "bol", Mapping: &connectors.Mapping{
		Content: map[string]string{"ean": sold("values.gtin"), "language": sold("'nl'"), "Name": sold("values.name")},
		Offer: map[string]string{
			"ean": sold("values.gtin"), "price": sold("price.amount"), "currency": sold("price.currency"), "stock": sold("stock.available"),
		},
	}, Batch: 20, Concurrency: 2}
	config := map[string]any{
		"client_id": f.ClientID(), "client_secret": f.ClientSecret(), "economic_operator_id": "chaos", "countries": []string{"NL"},
		"api_url": f.URL(), "login_url": f.LoginURL(),
	}
	return t, t.publish(ctx, channels, p, f.URL(), config, "api_url", "login_url")
}

func faultBol(f *boltest.Server, s step, after time.Duration) {
	b := boltest.Fault{After: after, Times: s.few}
	switch s.how {
	case targetDown:
		b.Kind, b.Status = boltest.Fail, 503
	case targetThrottle:
		b.Kind = boltest.Throttle
	case targetLose, targetDeny:
		b.Kind = boltest.Lose
	case targetSlow:
		b.Kind = boltest.Slow
	case targetHang:
		b.Kind = boltest.Hang
	case targetReset:
		b.Kind = boltest.Reset
	case targetGarbage, targetPage:
		b.Kind = boltest.Garbage
	case targetEndless:
		b.Kind = boltest.Endless
	case targetUnknown, targetReject:
		f.Deny(true)
		return
	}
	f.Script(b)
}

// logged reads the newest entries that a fake keeps of a product.
func logged(admin string) func(pim.SKU) []string {
	return func(sku pim.SKU) (lines []string) {
		var log struct{ Entries []fakeworks.Entry }
		if err := readJSON(admin+"log?n=40&sku="+string(sku), &log); err != nil {
			return []string{err.Error()}
		}
		for _, e := range log.Entries {
			stock := "-"
			if e.Stock != nil {
				stock = fmt.Sprint(*e.Stock)
			}
			lines = append(lines, fmt.Sprintf("%s %s title %q price %s stock %s: %s %s", stamp(e.At), e.Did, e.Title, e.Price, stock, e.Outcome, e.Why))
		}
		return lines
	}
}

// defined is what the products are checked against.
func defined() postgres.SchemaChange {
	return postgres.SchemaChange{
		Attributes: []pim.Attribute{{Code: "name", Type: pim.TypeText}, {Code: "note", Type: pim.TypeText}, {Code: "gtin", Type: pim.TypeText, Check: pim.CheckGTIN}},
		Families:   []pim.Family{{Code: family, Attributes: []pim.FamilyAttribute{{Code: "name"}, {Code: "note"}, {Code: "gtin"}}}},
	}
}

const (
	family = "thing"
	locale = pim.Locale("en-GB")
)

// stamp is a time in the report: the local clock to the millisecond.
func stamp(at time.Time) string { return at.Local().Format("15:04:05.000") }
