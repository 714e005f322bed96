package jobs

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// ErrRefused says that a hook's call was not its target's.
var ErrRefused = errors.New("the call is not the target's")

// Hook takes a call of the target of channel code. Its connector checks the
// query, header and body; then the target is due to be read, and so are the
// outcomes of its pending tickets: whoever wakes the channel's consumers
// hastens it. The error wraps ErrRefused and the cause, which is for the log,
// or postgres.ErrNotFound where there is no such channel, or its connector
// takes no calls.
func (c *Channels) Hook(ctx context.Context, code pim.ChannelCode, query string, header http.Header, body []byte) (pim.ChannelID, error) {
	ch, err := c.store.Channel(ctx, code)
	if err != nil {
		return 0, err
	}
	t, err := c.Target(ctx, ch.ID, ch.Version)
	if err != nil {
		return 0, err
	}
	hooker, ok := t.Connector.(connectors.Hooker)
	if !ok {
		return 0, fmt.Errorf("connector %s takes no calls: %w", ch.Connector, postgres.ErrNotFound)
	}
	header = header.Clone()
	header.Del(connectors.HookQuery)
	if query != "" {
		header.Set(connectors.HookQuery, query)
	}
	if err := hooker.Hook(header, body); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return ch.ID, c.store.Hooked(ctx, ch.ID)
}
