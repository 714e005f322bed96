package connectors

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
)

// Locks let one goroutine at a time have a key, such as a product's SKU, where a
// connector reads, changes and writes back what several pushes share. They hold
// within the process only. The zero value is ready; only keys in use take room.
type Locks[K cmp.Ordered] struct {
	mu   sync.Mutex
	held map[K]*keyLock
}

type keyLock struct {
	users int           // who holds it or waits for it
	free  chan struct{} // holds one token while nobody has it
}

// Lock takes all of keys, in their order so that no two callers wait for each
// other, or none when ctx ends first: the error is then an *Error, and certain.
func (l *Locks[K]) Lock(ctx context.Context, keys ...K) (unlock func(), err error) {
	keys = slices.Clone(keys)
	slices.Sort(keys)
	keys = slices.Compact(keys)
	mine := make([]*keyLock, len(keys))
	l.mu.Lock()
	if l.held == nil {
		l.held = map[K]*keyLock{}
	}
	for i, k := range keys {
		if l.held[k] == nil {
			l.held[k] = &keyLock{free: make(chan struct{}, 1)}
			l.held[k].free <- struct{}{}
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
				mine[i].free <- struct{}{}
			}
			if mine[i].users--; mine[i].users == 0 {
				delete(l.held, k)
			}
		}
	}
	for ; taken < len(mine); taken++ {
		select {
		case <-mine[taken].free:
		case <-ctx.Done():
			unlock()
			return nil, &Error{Verdict: Unavailable, Err: errors.Join(errors.New("waiting for another push of the same product"), context.Cause(ctx))}
		}
	}
	return unlock, nil
}
