package medusa_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/connectortest"
	"github.com/sluicehub/sluice/connectors/medusa"
	"github.com/sluicehub/sluice/connectors/medusa/medusatest"
	"github.com/sluicehub/sluice/pim"
)

const key = "sk_5e1f0c77aa21d9"

// recorders have heard all that the tests of this package said to fakes.
var (
	recordersMu sync.Mutex
	recorders   []*connectortest.Recorder
)

// start gives a rude shop, and a connector to it; change may alter the config.
func start(t testing.TB, opts medusatest.Options, change func(*medusa.Config)) (*medusatest.Server, connectors.Connector) {
	t.Helper()
	fake, c, _ := record(t, opts, change)
	return fake, c
}

// record is start with the recorder between the two.
func record(t testing.TB, opts medusatest.Options, change func(*medusa.Config)) (*medusatest.Server, connectors.Connector, *connectortest.Recorder) {
	t.Helper()
	opts.Key = key
	var recorder *connectortest.Recorder
	fake, err := medusatest.NewServer("", opts, func(h http.Handler) http.Handler {
		recorder = &connectortest.Recorder{Handler: h}
		return recorder
	})
	if err != nil {
		t.Fatal(err)
	}
	recordersMu.Lock()
	recorders = append(recorders, recorder)
	recordersMu.Unlock()
	t.Cleanup(func() {
		if err := fake.Close(); err != nil {
			t.Error(err)
		}
		for _, v := range fake.Violations() {
			t.Errorf("the shop's contract was violated: %s", v)
		}
	})
	config := medusa.Config{URL: fake.URL(), APIKey: key}
	if change != nil {
		change(&config)
	}
	return fake, connect(t, config, 5), recorder
}

func connect(t testing.TB, config medusa.Config, batch int) connectors.Connector {
	t.Helper()
	raw, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	c, err := medusa.Kind.New(raw, connectors.Env{AllowPrivate: true, Version: "test", Limits: limits(batch), Wire: connectortest.Listen(t, nil, config.APIKey)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func limits(batch int) connectors.Limits {
	l := medusa.Kind.Limits
	l.Batch = batch
	return l
}

// document is what the suite sends of a SKU.
func document(lane pim.Lane, sku pim.SKU, version int) json.RawMessage {
	switch lane {
	case pim.Offer:
		return json.RawMessage(fmt.Sprintf(`{"prices":[{"amount":"%d.90","currency":"EUR","min_quantity":1},{"amount":"%d.5","currency":"USD"}],"stock":%d,"manage_inventory":true}`, version, version, version))
	case pim.Media:
		return json.RawMessage(fmt.Sprintf(`{"images":["https://img.example/%s/%d.jpg","https://img.example/all.jpg"]}`, sku, version))
	}
	return json.RawMessage(fmt.Sprintf(`{"title":"Kettle %s, %d","description":"Version %d","categories":["kitchen"]}`, sku, version, version))
}

// writes picks the batches, uploads and the connector's probe: a fault that met look-ups
// as well would never let a write be in doubt.
func writes(r *http.Request, _ []byte) bool {
	return strings.HasSuffix(r.URL.Path, "/batch") || r.URL.Path == "/admin/uploads" || r.URL.Query().Get("limit") == "1" && r.URL.Path == "/admin/products"
}

func TestConformance(t *testing.T) {
	kind := *medusa.Kind
	kind.Limits = limits(5)
	connectortest.Run(t, connectortest.Harness{Kind: &kind, Document: document, New: func(t *testing.T) connectortest.Target {
		basic := base64.StdEncoding.EncodeToString([]byte(key + ":"))
		fake, c := start(t, medusatest.Options{Echo: " your request was authorization: Basic " + basic + ", key " + key}, nil)
		reads := false
		script := func(k medusatest.FaultKind) func() {
			return func() {
				fault := medusatest.Fault{Kind: k, Only: writes}
				if reads {
					fault = medusatest.Fault{Kind: k, Reads: true}
				}
				fake.Script(fault)
			}
		}
		refuse := func(on bool) {
			if err := fake.Refuse(on); err != nil {
				t.Fatal(err)
			}
		}
		return connectortest.Target{
			Connector: c,
			Secrets:   []string{key, basic},
			Held:      fake.Held,
			Records:   fake.Len,
			Calls:     func() int { return fake.Counts().Calls },
			WaitHanging: func(ctx context.Context) error {
				return fake.Wait(ctx, func(c medusatest.Counts) bool { return c.Hanging > 0 })
			},
			Violations: fake.Forgive,
			Heal: func() {
				fake.Up()
				fake.Accept()
				refuse(false)
			},
			Refuse: func() { refuse(true) },
			Lose:   script(medusatest.Lose), Garble: script(medusatest.Garbage), Endless: script(medusatest.Endless),
			Fail: script(medusatest.Fail), Hang: script(medusatest.Hang),
			Unauthorize: func() { fake.Script(medusatest.Fault{Kind: medusatest.Unauthorized}) },
			Throttle: func(after time.Duration) {
				fake.Script(medusatest.Fault{Kind: medusatest.Throttle, After: after})
			},
			Reject:    func(sku pim.SKU) { fake.Reject(sku, "") },
			Drop:      fake.Forget,
			Alter:     fake.Alter,
			MeetReads: func() { reads = true },
			Uploaded:  fake.File,
			Shows: func(sku pim.SKU) bool {
				p, ok := fake.Product(sku)
				return ok && p.Status == "published"
			},
			Sells: func(sku pim.SKU) bool {
				v, ok := fake.Variant(sku)
				return ok && (!v.Managed || v.Backorders || slices.ContainsFunc(slices.Collect(maps.Values(v.Stock)), func(n float64) bool { return n > 0 }))
			},
		}
	}})
}
