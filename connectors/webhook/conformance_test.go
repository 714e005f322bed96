package webhook_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/connectortest"
	"github.com/sluicehub/sluice/connectors/webhook"
	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/pim"
)

const (
	authorization = "Bearer gate-5e1f0c"
	query         = "token=query-77aa21"
)

// start gives a rude fake and a connector to it; change may alter the config.
func start(t testing.TB, opts webhooktest.Options, change func(*webhook.Config)) (*webhooktest.Server, connectors.Connector) {
	t.Helper()
	fake := webhooktest.Start(t, opts)
	config := webhook.Config{
		URL: fake.URL() + "?" + query, StatusURL: fake.StatusURL() + "?" + query, ReadURL: fake.HeldURL() + "?" + query,
		Secret: fake.Secret(), Authorization: authorization,
	}
	if change != nil {
		change(&config)
	}
	return fake, connect(t, config, 5)
}

func connect(t testing.TB, config webhook.Config, batch int) connectors.Connector {
	t.Helper()
	raw, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	c, err := webhook.Kind.New(raw, connectors.Env{AllowPrivate: true, Version: "test", Limits: limits(batch), Wire: connectortest.Listen(t, nil, config.Secret, config.Authorization, query)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func limits(batch int) connectors.Limits {
	l := webhook.Kind.Limits
	l.Batch = batch
	return l
}

func TestConformance(t *testing.T) {
	kind := *webhook.Kind
	kind.Limits = limits(5)
	connectortest.Run(t, connectortest.Harness{Kind: &kind, New: func(t *testing.T) connectortest.Target {
		secret := webhooktest.NewSecret()
		secrets := []string{secret, strings.TrimPrefix(secret, "whsec_"), authorization, strings.TrimPrefix(authorization, "Bearer "), query}
		fake, c := start(t, webhooktest.Options{
			Secret: secret, Batch: 5,
			Echo: "your request was POST /items?" + query + ", webhook-secret: " + secret + ", authorization: " + authorization,
		}, nil)
		var rejected []pim.SKU
		down := func(k webhooktest.FaultKind) func() { return func() { fake.Down(k) } }
		script := func(k webhooktest.FaultKind) func() {
			return func() { fake.Script(webhooktest.Fault{Kind: k}, webhooktest.Fault{Kind: k, Reads: true}) }
		}
		return connectortest.Target{
			Connector: c,
			Secrets:   secrets,
			Held: func(sku pim.SKU, lane pim.Lane) string {
				l, _ := fake.Listing(sku, lane)
				return string(l.Document)
			},
			Records: func() int { return len(fake.Listings(pim.Content)) },
			Calls: func() int {
				c := fake.Counts()
				return int(c.Calls + c.Polls + c.Reads)
			},
			WaitHanging: func(ctx context.Context) error {
				return fake.Wait(ctx, func(s webhooktest.State) bool { return s.Counts().Hanging > 0 })
			},
			Shows:      func(sku pim.SKU) bool { return !fake.Hidden(sku) },
			Sells:      func(sku pim.SKU) bool { return !fake.SoldOut(sku) },
			Violations: fake.Forgive,
			Heal: func() {
				fake.Up()
				for _, sku := range rejected {
					fake.Accept(sku)
				}
				if err := fake.Refuse(false); err != nil {
					t.Fatal(err)
				}
			},
			Refuse: func() {
				if err := fake.Refuse(true); err != nil {
					t.Fatal(err)
				}
			},
			Lose: script(webhooktest.Lose), Garble: script(webhooktest.Garbage), Endless: script(webhooktest.Endless),
			Fail: down(webhooktest.Fail), Hang: down(webhooktest.Hang), Unauthorize: down(webhooktest.Unauthorized),
			Throttle: func(after time.Duration) {
				fault := webhooktest.Fault{Kind: webhooktest.Throttle, After: after}
				reads := fault
				reads.Reads = true
				fake.Script(fault, reads)
			},
			Reject: func(sku pim.SKU) {
				rejected = append(rejected, sku)
				fake.Reject(sku)
			},
			Alter: func(sku pim.SKU, lane pim.Lane) {
				fake.Alter(sku, lane, json.RawMessage(`{"sku":"other","version":99}`))
			},
			Vanish:    fake.Drop,
			Versioned: func() { fake.SetVersioned(true) },
			Async:     func() { fake.SetAsync(&webhooktest.Async{Polls: 1 << 30}) },
			Process:   func() { fake.Process() },
		}
	}})
}
