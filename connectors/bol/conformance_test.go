package bol_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/http"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/bol"
	"github.com/sluicehub/sluice/connectors/bol/boltest"
	"github.com/sluicehub/sluice/connectors/connectortest"
	"github.com/sluicehub/sluice/pim"
)

const (
	clientID     = "11111111-aaaa"
	clientSecret = "hush-5e1f0c77"
	tokenPart    = "tokenpart77aa21"
)

// wrapper goes around each fake: a contract test records with it.
type wrapper func(http.Handler) http.Handler

// start gives a rude fake and a connector to it.
func start(t testing.TB, wrap wrapper, opts boltest.Options, change func(*bol.Config)) (*boltest.Server, connectors.Connector) {
	t.Helper()
	opts.ClientID, opts.ClientSecret, opts.TokenPart, opts.Rude, opts.Wrap = clientID, clientSecret, tokenPart, true, wrap
	fake := boltest.Start(t, opts)
	config := bol.Config{ClientID: clientID, ClientSecret: clientSecret, APIURL: fake.URL(), LoginURL: fake.LoginURL()}
	if change != nil {
		change(&config)
	}
	return fake, connect(t, config, 5)
}

func connect(t testing.TB, config bol.Config, batch int) connectors.Connector {
	t.Helper()
	raw, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	limits := bol.Kind.Limits
	limits.Batch = batch
	c, err := bol.Kind.New(raw, connectors.Env{AllowPrivate: true, Version: "test", Limits: limits, Wire: connectortest.Listen(t, nil, secrets()...)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// secrets are all that no text may hold.
func secrets() []string {
	return []string{clientSecret, base64.StdEncoding.EncodeToString([]byte(clientID + ":" + clientSecret)), tokenPart}
}

// eanOf gives each SKU an EAN of its own, in the range for internal use.
func eanOf(sku pim.SKU) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(sku))
	digits := fmt.Sprintf("20%010d", h.Sum64()%10_000_000_000)
	sum := 0
	for i, d := range digits {
		sum += int(d-'0') * (1 + 2*(i%2))
	}
	return fmt.Sprintf("%s%d", digits, (10-sum%10)%10)
}

// document is one that bol takes.
func document(lane pim.Lane, sku pim.SKU, version int) json.RawMessage {
	if lane == pim.Offer {
		return fmt.Appendf(nil, `{"currency":"EUR","ean":%q,"price":"19.%02d","stock":%d}`, eanOf(sku), version, version)
	}
	return fmt.Appendf(nil, `{"Description":"of %s","Name":"Kettle %d","ean":%q}`, sku, version, eanOf(sku))
}

func harness(wrap wrapper) connectortest.Harness {
	kind := *bol.Kind
	kind.Limits.Batch = 5
	return connectortest.Harness{Kind: &kind, Document: document, Stays: pim.LanesOf(pim.Content), New: func(t *testing.T) connectortest.Target {
		fake, c := start(t, wrap, boltest.Options{}, nil)
		later := false
		script := func(k boltest.FaultKind) func() {
			return func() { fake.Script(boltest.Fault{Kind: k}) }
		}
		refuse := func(refuse bool) {
			if err := fake.Refuse(refuse); err != nil {
				t.Fatal(err)
			}
		}
		return connectortest.Target{
			Connector: c,
			Secrets:   secrets(),
			Held: func(sku pim.SKU, lane pim.Lane) string {
				if lane == pim.Offer {
					return fake.HeldOffer(string(sku))
				}
				return fake.HeldContent(eanOf(sku))
			},
			Records: fake.Products,
			Calls:   func() int { return fake.Counts().Calls },
			WaitHanging: func(ctx context.Context) error {
				return fake.Wait(ctx, func(c boltest.Counts) bool { return c.Hanging > 0 })
			},
			Shows: func(sku pim.SKU) bool {
				o, ok := fake.Offer(string(sku))
				return ok && !o.OnHold
			},
			Sells: func(sku pim.SKU) bool {
				o, ok := fake.Offer(string(sku))
				return ok && !o.OnHold && o.Stock > 0
			},
			Vanish: func(sku pim.SKU) {
				for id, o := range fake.Offers() {
					if o.Reference == string(sku) {
						fake.RemoveOffer(id)
					}
				}
			},
			Alter:      func(sku pim.SKU, _ pim.Lane) { fake.Alter(string(sku), 7) },
			Violations: fake.Forgive,
			Heal: func() {
				fake.Up()
				fake.Accept()
				refuse(false)
			},
			Refuse: func() { refuse(true) },
			Lose:   script(boltest.Lose), Fail: script(boltest.Fail), Garble: script(boltest.Garbage), Endless: script(boltest.Endless), Hang: script(boltest.Hang),
			Unauthorize: func() { fake.Deny(true) },
			Throttle: func(after time.Duration) {
				fake.Script(boltest.Fault{Kind: boltest.Throttle, After: after})
			},
			Reject: func(sku pim.SKU) {
				if later {
					fake.RejectLater(eanOf(sku), "this product may not be sold")
					return
				}
				fake.Reject(eanOf(sku))
			},
			Async: func() {
				later = true
				fake.Hold(true)
			},
			Process: fake.Process,
		}
	}}
}

func TestConformance(t *testing.T) { connectortest.Run(t, harness(nil)) }
