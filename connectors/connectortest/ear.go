package connectortest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sluicehub/sluice/connectors"
)

// Ear hears what the hub would write down of a connector's requests. A harness
// gives it to the connector as its Env.Wire.
type Ear struct {
	mu    sync.Mutex
	heard []string
}

// Listen gives an ear. At the end of the test nothing that it heard may hold one
// of the secrets, nor one that granted then says the target gave away: sessions'
// keys, say; nil: it gave none.
func Listen(t testing.TB, granted func() []string, secrets ...string) *Ear {
	t.Helper()
	e := &Ear{}
	t.Cleanup(func() {
		if granted != nil {
			secrets = append(secrets, granted()...)
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		for _, text := range e.heard {
			for _, secret := range secrets {
				if secret != "" && strings.Contains(text, secret) {
					t.Errorf("a secret would be written down: %s", text)
				}
			}
		}
	})
	return e
}

// Pass implements connectors.Wire.
func (e *Ear) Pass(context.Context) error { return nil }

// Heard implements connectors.Wire.
func (e *Ear) Heard(ctx context.Context, x *connectors.Exchange) {
	if n, ok := ctx.Value(heardKey{}).(*atomic.Int64); ok {
		n.Add(1)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	request, answer := x.Bodies()
	e.heard = append(e.heard, fmt.Sprintf("%+v %s %s", *x, request, answer))
}

// heardKey is the context's key of the count of requests that were heard: the
// suite holds against it that a call's requests are made under its context, by
// which the hub tells them apart.
type heardKey struct{}
