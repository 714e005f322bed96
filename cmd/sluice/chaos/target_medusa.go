//go:build unix

package chaos

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/medusa/medusatest"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
)

// openStore opens a Medusa store, where one listing takes several requests.
func openStore(ctx context.Context, channels *jobs.Channels, p *pace) (*target, error) {
	f, err := medusatest.NewServer("", medusatest.Options{}, nil)
	if err != nil {
		return nil, err
	}
	t := &target{marks: true, status: string(pim.StateLive), up: f.Up, violations: f.Violations, close: f.Close}
	if t.way, err = newProxy(host(f.URL())); err != nil {
		return t, errors.Join(err, f.Close())
	}
	t.waiting = func() int { return f.Counts().Hanging }
	t.sent = func() int64 { return int64(f.Counts().Writes) }
	t.held = func(p *product) string { return heldStore(f, p.sku) }
	t.history = func(sku pim.SKU) []string {
		return []string{"content " + f.Held(sku, pim.Content), "offer " + f.Held(sku, pim.Offer)}
	}
	t.fault = func(s step, sku pim.SKU, after time.Duration) { faultStore(f, s, sku, after) }
	t.spec = jobs.ChannelSpec{Code: "store", Connector: "medusa", Mapping: &connectors.Mapping{
		Content: map[string]string{"title": "values.name", "subtitle": "'" + markOf(0) + "'"},
		Offer:   map[string]string{"prices": "[{'amount': price.amount, 'currency': price.currency}]", "stock": "stock.available"},
	}, Batch: 10, Concurrency: 2}
	config := map[string]any{"url": f.URL(), "api_key": f.Key()}
	return t, t.publish(ctx, channels, p, f.URL(), config, "url")
}

// heldStore is what a store sells of a product and its default variant.
func heldStore(f *medusatest.Server, sku pim.SKU) string {
	top, is := f.Product(sku)
	sold, also := f.Variant(sku)
	if !is && !also {
		return nothing
	}
	price := int64(-1)
	if len(sold.Prices) == 1 {
		price = cents(strings.TrimPrefix(sold.Prices[0], "eur "))
	}
	stock := int64(-1)
	if at, ok := sold.Stock[medusatest.Location]; ok && len(sold.Stock) == 1 {
		stock = int64(at)
	}
	if held := shown(top.Title, top.Subtitle, price, stock); is && also {
		return held
	}
	return fmt.Sprintf("product %t, variant %t, %v %v", is, also, sold.Prices, sold.Stock)
}

func faultStore(f *medusatest.Server, s step, sku pim.SKU, after time.Duration) {
	b := medusatest.Fault{After: after, Times: s.few}
	switch s.how {
	case targetDown:
		b.Kind = medusatest.Gateway
	case targetThrottle:
		b.Kind = medusatest.Throttle
	case targetLose, targetDeny:
		b.Kind = medusatest.Lose
	case targetHang, targetSlow: // it applies nothing late
		b.Kind = medusatest.Hang
	case targetReset:
		b.Kind, b.Reads = medusatest.Fail, true
	case targetGarbage:
		b.Kind = medusatest.Garbage
	case targetPage:
		b.Kind = medusatest.Moved
	case targetEndless:
		b.Kind = medusatest.Endless
	case targetUnknown:
		b.Kind = medusatest.Unauthorized
	case targetReject:
		f.Reject(sku, "")
		time.AfterFunc(after, f.Accept)
		return
	}
	f.Script(b)
}
