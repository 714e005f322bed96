package connectors

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/sluicehub/sluice/pim"
)

// The lock lets nobody in twice, waits no longer than the context, and leaves
// nothing behind.
func TestLocks(t *testing.T) {
	var l Locks[pim.SKU]
	unlock, err := l.Lock(t.Context(), "b", "a", "b")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan error, 1)
	go func() {
		_, err := l.Lock(ctx, "c", "b")
		got <- err
	}()
	other, err := l.Lock(t.Context(), "d")
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-got; err == nil || AsError(err).Verdict != Unavailable || !Certain(err) || !errors.Is(err, context.Canceled) {
		t.Errorf("two have one lock, or: %v", err)
	}
	unlock()
	other()
	// Whatever the order in which they ask, nobody waits for ever, and what one
	// has nobody else changes.
	shared := map[pim.SKU]int{}
	var wg sync.WaitGroup
	for range 20 {
		for _, keys := range [][]pim.SKU{{"a", "b"}, {"b", "a"}, {"c", "a", "b"}} {
			wg.Go(func() {
				unlock, err := l.Lock(t.Context(), keys...)
				if err != nil {
					t.Error(err)
					return
				}
				defer unlock()
				was := shared["a"]
				shared["a"] = was + 1
			})
		}
	}
	wg.Wait()
	if shared["a"] != 60 || len(l.held) != 0 {
		t.Errorf("%d turns, %d locks are left", shared["a"], len(l.held))
	}
}
