package tryton_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/connectortest"
	"github.com/sluicehub/sluice/connectors/tryton"
	"github.com/sluicehub/sluice/connectors/tryton/trytontest"
	"github.com/sluicehub/sluice/pim"
)

const (
	password   = "correct-horse-5e1f0c"
	hookSecret = "hook-77aa21-battery-staple"
)

// configOf is a config for a fake that reads everything.
func configOf(fake *trytontest.Server) tryton.Config {
	return tryton.Config{URL: fake.URL(), Database: fake.Database(), User: fake.User(), Password: fake.Password()}
}

// recorders have heard all that the tests of this package said to fakes.
var (
	recordersMu sync.Mutex
	recorders   []*connectortest.Recorder
)

// start gives a fake and a connector to it; change may alter the config.
func start(t testing.TB, opts trytontest.Options, change func(*tryton.Config)) (*trytontest.Server, connectors.Connector) {
	t.Helper()
	if opts.Password == "" {
		opts.Password = password
	}
	opts.Wrap = func(h http.Handler) http.Handler {
		recorder := &connectortest.Recorder{Handler: h}
		recordersMu.Lock()
		defer recordersMu.Unlock()
		recorders = append(recorders, recorder)
		return recorder
	}
	fake := trytontest.Start(t, opts)
	config := configOf(fake)
	if change != nil {
		change(&config)
	}
	return fake, connectTo(t, fake.Granted, config, 5)
}

func connect(t testing.TB, config tryton.Config, batch int) connectors.Connector {
	t.Helper()
	return connectTo(t, nil, config, batch)
}

// connectTo is connect to a server that says which sessions it granted.
func connectTo(t testing.TB, granted func() []string, config tryton.Config, batch int) connectors.Connector {
	t.Helper()
	raw, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	c, err := tryton.Kind.New(raw, connectors.Env{AllowPrivate: true, Version: "test", Limits: limits(batch), Wire: connectortest.Listen(t, granted, config.Password, config.HookSecret)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func limits(batch int) connectors.Limits {
	l := tryton.Kind.Limits
	l.Batch = batch
	return l
}

func TestConformance(t *testing.T) {
	kind := *tryton.Kind
	kind.Limits = limits(5)
	connectortest.Run(t, connectortest.Harness{
		Kind: &kind, Unheld: true,
		Document: func(_ pim.Lane, sku pim.SKU, version int) json.RawMessage {
			return json.RawMessage(fmt.Sprintf(`{"language":"de-DE","name":"%s, version %d","description":"text %d"}`, sku, version, version))
		},
		New: func(t *testing.T) connectortest.Target {
			fake, c := start(t, trytontest.Options{
				Echo: "your user was sluice, password " + password + ", secret " + hookSecret,
			}, func(c *tryton.Config) { c.PriceList, c.HookSecret = "default", hookSecret })
			var rejected []pim.SKU
			reads := false
			// A push looks up before it writes. What a lost, failed or hanging look-up
			// leaves is certain; the suite asks about writes.
			onWrites := func(k trytontest.FaultKind) func() {
				return func() { fake.Script(trytontest.Fault{Kind: k, Writes: !reads}) }
			}
			refuse := func(refuse bool) {
				if err := fake.Refuse(refuse); err != nil {
					t.Fatal(err)
				}
			}
			return connectortest.Target{
				Connector: c,
				Secrets:   []string{password, hookSecret},
				Held: func(sku pim.SKU, _ pim.Lane) string {
					p, ok := fake.Product(sku)
					if !ok || !p.Active {
						return ""
					}
					return fmt.Sprintf("%v / %s", p.Names, p.Description)
				},
				Records: fake.Active,
				Calls:   func() int { return int(fake.Counts().Calls) },
				WaitHanging: func(ctx context.Context) error {
					return fake.Wait(ctx, func() bool { return fake.Counts().Hanging > 0 })
				},
				Shows: func(sku pim.SKU) bool {
					p, ok := fake.Product(sku)
					return ok && p.Active
				},
				Vanish: func(sku pim.SKU) { // nobody deletes in an ERP
					if err := fake.SetActive(sku, false); err != nil {
						t.Error(err)
					}
				},
				Alter: func(sku pim.SKU, _ pim.Lane) {
					if err := fake.Rename(sku, "of theirs"); err != nil {
						t.Error(err)
					}
				},
				MeetReads:  func() { reads = true },
				Violations: fake.Violations,
				Heal: func() {
					fake.Up()
					for _, sku := range rejected {
						fake.Reject(sku, false)
					}
					refuse(false)
				},
				Refuse: func() { refuse(true) },
				Lose:   onWrites(trytontest.Lose), Fail: onWrites(trytontest.Fail), Garble: onWrites(trytontest.Garbage),
				Endless: onWrites(trytontest.Endless), Hang: onWrites(trytontest.Hang),
				Unauthorize: func() { fake.Down(trytontest.Unauthorized) },
				Throttle: func(after time.Duration) {
					fake.Script(trytontest.Fault{Kind: trytontest.Throttle, After: after})
				},
				Reject: func(sku pim.SKU) {
					rejected = append(rejected, sku)
					fake.Reject(sku, true)
				},
			}
		},
	})
}
