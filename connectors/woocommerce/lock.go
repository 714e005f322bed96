package woocommerce

import (
	"context"
	"slices"
	"sync"

	"github.com/sluicehub/sluice/pim"
)

// locks let one goroutine at a time have a SKU. The zero value needs init.
type locks struct {
	mu   sync.Mutex
	held map[pim.SKU]*lock
}

type lock struct {
	users int
	token chan struct{} // holds one while the lock is free
}

func (l *locks) init() { l.held = map[pim.SKU]*lock{} }

// lock takes all keys, in their order so that no two wait for each other, or
// none when ctx ends first.
func (l *locks) lock(ctx context.Context, keys []pim.SKU) (unlock func(), err error) {
	keys = slices.Clone(keys)
	slices.Sort(keys)
	keys = slices.Compact(keys)
	mine := make([]*lock, len(keys))
	l.mu.Lock()
	for i, k := range keys {
		if l.held[k] == nil {
			l.held[k] = &lock{token: make(chan struct{}, 1)}
			l.held[k].token <- struct{}{}
		}
		l.held[k].users++
		mine[i] = l.held[k]
	}
	l.mu.Unlock()
	taken := 0
	unlock = func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for i, k := range keys {
			if i < taken {
				mine[i].token <- struct{}{}
			}
			if mine[i].users--; mine[i].users == 0 {
				delete(l.held, k)
			}
		}
	}
	for ; taken < len(mine); taken++ {
		select {
		case <-mine[taken].token:
		case <-ctx.Done():
			unlock()
			return nil, context.Cause(ctx)
		}
	}
	return unlock, nil
}
