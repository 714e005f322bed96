package woocommerce_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/connectortest"
	"github.com/sluicehub/sluice/connectors/woocommerce"
	"github.com/sluicehub/sluice/connectors/woocommerce/woocommercetest"
	"github.com/sluicehub/sluice/pim"
)

// rude repeats all that it was sent.
func rude(r *http.Request, body []byte) string {
	return fmt.Sprintf("you sent %s %s with authorization %s and signature %s: %.500s", r.Method, r.URL.RequestURI(), r.Header.Get("Authorization"), r.URL.Query().Get("oauth_signature"), body)
}

// recorders have heard all that the tests of this package said to fakes.
var (
	recordersMu sync.Mutex
	recorders   []*connectortest.Recorder
)

// start gives a fake shop and a connector to it; change may alter the config.
func start(t testing.TB, opts woocommercetest.Options, change func(*woocommerce.Config)) (*woocommercetest.Server, connectors.Connector) {
	t.Helper()
	recorder, wrap := &connectortest.Recorder{}, opts.Wrap
	opts.Wrap = func(h http.Handler) http.Handler {
		if recorder.Handler = h; wrap != nil {
			recorder.Handler = wrap(h)
		}
		return recorder
	}
	recordersMu.Lock()
	recorders = append(recorders, recorder)
	recordersMu.Unlock()
	shop := woocommercetest.Start(t, opts)
	return shop, connect(t, shop, opts.Batch, change)
}

func connect(t testing.TB, shop *woocommercetest.Server, batch int, change func(*woocommerce.Config)) connectors.Connector {
	t.Helper()
	config := woocommerce.Config{URL: shop.URL(), ConsumerKey: shop.Key(), ConsumerSecret: shop.Secret()}
	if change != nil {
		change(&config)
	}
	raw, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	c, err := woocommerce.Kind.New(raw, connectors.Env{AllowPrivate: true, Version: "test", Limits: limits(batch), Wire: connectortest.Listen(t, nil, config.ConsumerKey, config.ConsumerSecret)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func limits(batch int) connectors.Limits {
	l := woocommerce.Kind.Limits
	if batch > 0 {
		l.Batch = batch
	}
	return l
}

func TestConformance(t *testing.T) {
	kind := *woocommerce.Kind
	kind.Limits = limits(5)
	connectortest.Run(t, connectortest.Harness{Kind: &kind, New: target, Document: document})
}

// document is one of a simple product.
func document(lane pim.Lane, sku pim.SKU, version int) json.RawMessage {
	switch lane {
	case pim.Offer:
		return fmt.Appendf(nil, `{"regular_price":"%d.90","stock":%d}`, version, version)
	case pim.Media:
		return fmt.Appendf(nil, `{"images":["https://pictures.example/%s/%d.jpg","https://pictures.example/back.jpg"]}`, sku, version)
	}
	categories := "" // which cost calls of their own, so not in each
	if version == 2 {
		categories = `,"categories":["Things > Second"]`
	}
	return fmt.Appendf(nil, `{"sku":%q,"name":"Product %d","attributes":{"Version":"%d"}%s}`, sku, version, version, categories)
}

func batches(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/batch") }

func target(t *testing.T) connectortest.Target {
	key, secret := woocommercetest.NewKey()
	shop, c := start(t, woocommercetest.Options{Key: key, Secret: secret, Batch: 5, Echo: rude}, nil)
	var rejected []pim.SKU
	reads := false
	met := func(f woocommercetest.Fault) woocommercetest.Fault {
		if f.Reads = reads; !reads {
			f.Only = batches
		}
		return f
	}
	script := func(k woocommercetest.FaultKind) func() {
		return func() { shop.Script(met(woocommercetest.Fault{Kind: k})) }
	}
	return connectortest.Target{
		Connector:  c,
		Secrets:    []string{key, secret, base64.StdEncoding.EncodeToString([]byte(key + ":" + secret))},
		Held:       shop.HeldLane,
		Records:    func() int { return shop.Counts().Products },
		Calls:      func() int { return shop.Counts().Calls },
		Violations: shop.Forgive,
		WaitHanging: func(ctx context.Context) error {
			return shop.Wait(ctx, func(c woocommercetest.Counts) bool { return c.Hanging > 0 })
		},
		Heal: func() {
			shop.Up()
			for _, sku := range rejected {
				shop.Accept(sku)
			}
			if err := shop.Refuse(false); err != nil {
				t.Fatal(err)
			}
		},
		Refuse: func() {
			if err := shop.Refuse(true); err != nil {
				t.Fatal(err)
			}
		},
		// The faults meet the batches; reads that fail leave no doubt, and have a
		// test of their own.
		Lose: script(woocommercetest.Lose), Garble: script(woocommercetest.Garbage), Endless: script(woocommercetest.Endless),
		Fail: script(woocommercetest.Fail), Hang: script(woocommercetest.Hang), Unauthorize: script(woocommercetest.Unauthorized),
		Throttle: func(after time.Duration) {
			shop.Script(met(woocommercetest.Fault{Kind: woocommercetest.Throttle, After: after}))
		},
		Reject: func(sku pim.SKU) {
			rejected = append(rejected, sku)
			shop.Reject(sku)
		},
		Drop: shop.Delete,
		Shows: func(sku pim.SKU) bool {
			p, ok := shop.Held(sku)
			return ok && p.Status == "publish"
		},
		Sells: func(sku pim.SKU) bool {
			p, ok := shop.Held(sku)
			return ok && (!p.ManageStock || p.StockQuantity == nil || *p.StockQuantity > 0 || p.Backorders != "no")
		},
		MeetReads: func() { reads = true },
		Alter: func(sku pim.SKU, lane pim.Lane) {
			shop.Edit(sku, func(p *woocommercetest.Product) {
				switch lane {
				case pim.Offer:
					p.RegularPrice = "0.99"
				case pim.Media:
					p.Images = p.Images[:1]
				default:
					p.Name = "Changed in the shop"
				}
			})
		},
	}
}
