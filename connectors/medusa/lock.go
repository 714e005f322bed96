package medusa

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/sluicehub/sluice/connectors"
)

// locks are mutexes by name, of which only those in use exist.
type locks struct {
	mu   sync.Mutex
	held map[string]*lock
}

type lock struct {
	free  chan struct{} // holds one token
	users int           // who holds it or waits for it
}

// take waits for all of names and returns what gives them back. In the order of
// their names, so that two takers never wait for each other.
func (l *locks) take(ctx context.Context, names []string) (release func(), err error) {
	slices.Sort(names)
	names = slices.Compact(names)
	var taken []string
	release = func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, name := range taken {
			l.held[name].free <- struct{}{}
			l.leave(name)
		}
		taken = nil
	}
	for _, name := range names {
		l.mu.Lock()
		if l.held == nil {
			l.held = map[string]*lock{}
		}
		it := l.held[name]
		if it == nil {
			it = &lock{free: make(chan struct{}, 1)}
			it.free <- struct{}{}
			l.held[name] = it
		}
		it.users++
		l.mu.Unlock()
		select {
		case <-it.free:
			taken = append(taken, name)
		case <-ctx.Done():
			l.mu.Lock()
			l.leave(name)
			l.mu.Unlock()
			release()
			return nil, &connectors.Error{Verdict: connectors.Unavailable, Err: errors.Join(errors.New("waiting for another push of the same product"), context.Cause(ctx))}
		}
	}
	return release, nil
}

// leave forgets a lock that nobody uses. Callers hold mu.
func (l *locks) leave(name string) {
	if l.held[name].users--; l.held[name].users == 0 {
		delete(l.held, name)
	}
}
