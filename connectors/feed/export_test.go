package feed

import (
	"context"
	"os"
	"time"

	"github.com/sluicehub/sluice/connectors"
)

// SetClock has a connector go by another clock.
func SetClock(c connectors.Connector, now func() time.Time) { c.(*Connector).now = now }

// Interrupt is asked before and after each change of a connector's target; its
// error ends the call, before or after the change was made.
func Interrupt(c connectors.Connector, do func(what, name string, after bool) error) {
	f := c.(*Connector)
	f.store = &interrupted{store: f.store, do: do}
}

// SetMemory bounds what a build has in memory, in bytes.
func SetMemory(c connectors.Connector, bytes int) { c.(*Connector).memory = bytes }

// Careless has a connector's target write over whatever there is.
func Careless(c connectors.Connector) {
	f := c.(*Connector)
	f.store = &careless{f.store}
}

type careless struct{ store }

func (s *careless) put(ctx context.Context, name string, content *os.File, _ condition) (string, error) {
	return s.store.put(ctx, name, content, condition{})
}

type interrupted struct {
	store
	do func(what, name string, after bool) error
}

func (s *interrupted) put(ctx context.Context, name string, content *os.File, cond condition) (string, error) {
	if err := s.do("put", name, false); err != nil {
		return "", err
	}
	tag, err := s.store.put(ctx, name, content, cond)
	if err == nil {
		err = s.do("put", name, true)
	}
	return tag, err
}

func (s *interrupted) remove(ctx context.Context, name string) error {
	if err := s.do("remove", name, false); err != nil {
		return err
	}
	err := s.store.remove(ctx, name)
	if err == nil {
		err = s.do("remove", name, true)
	}
	return err
}
