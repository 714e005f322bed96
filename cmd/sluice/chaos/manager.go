//go:build unix

package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// manager changes channels through the API, as a person does: it goes on only
// when it knows what became of a change.
type manager struct{ *client }

// channel is what the manager reads of a channel.
type channel struct {
	Enabled bool
	Mapping struct{ Content map[string]string }
}

// field is where a target's documents hold the mapping's mark.
func (t *target) field() string {
	switch t.spec.Connector {
	case "woocommerce":
		return "short_description"
	case "medusa":
		return "subtitle"
	}
	return "mark"
}

// remap gives a target another mapping.
func (m *manager) remap(ctx context.Context, t *target) error {
	t.settings.Lock()
	defer t.settings.Unlock()
	next := t.mark + 1
	expression := "'" + markOf(next) + "'"
	body := map[string]any{"mapping": map[string]any{"content": map[string]string{t.field(): expression}}}
	version := int64(0)
	for attempt := 0; ; attempt++ {
		if version > 0 {
			r, err := m.call(ctx, http.MethodPatch, "/channels/"+string(t.spec.Code), map[string]string{"If-Match": `"` + strconv.FormatInt(version, 10) + `"`}, body)
			switch {
			case ctx.Err() != nil:
				return errOpen
			case again(r, err), err == nil && r.status == http.StatusPreconditionFailed:
			case r.status != http.StatusOK:
				return fmt.Errorf("another mapping of %s was answered %d: %.200s", t.spec.Code, r.status, r.body)
			default:
				t.mark = next
				return nil
			}
			m.rest(ctx, attempt)
		}
		r, err := m.call(ctx, http.MethodGet, "/channels/"+string(t.spec.Code), nil, nil)
		if ctx.Err() != nil {
			return errOpen
		}
		if again(r, err) {
			m.rest(ctx, attempt)
			continue
		}
		var c channel
		if err := json.Unmarshal(r.body, &c); err != nil || r.status != http.StatusOK {
			return fmt.Errorf("reading %s was answered %d: %.200s", t.spec.Code, r.status, r.body)
		}
		if c.Mapping.Content[t.field()] == expression { // the answer was lost
			t.mark = next
			return nil
		}
		version = r.etag
	}
}

// command sends a command that may be repeated until it is acknowledged.
func (m *manager) command(ctx context.Context, t *target, what string) error {
	for attempt := 0; ; attempt++ {
		r, err := m.call(ctx, http.MethodPost, "/channels/"+string(t.spec.Code)+"/"+what, nil, nil)
		switch {
		case ctx.Err() != nil:
			return errOpen
		case again(r, err):
			m.rest(ctx, attempt)
		case r.status >= 300:
			return fmt.Errorf("%s of %s was answered %d: %.200s", what, t.spec.Code, r.status, r.body)
		default:
			return nil
		}
	}
}

// each sends a command to all channels.
func (m *manager) each(ctx context.Context, what string) error {
	for _, t := range m.run.targets {
		if err := m.command(ctx, t, what); err != nil {
			return err
		}
	}
	return nil
}

// work changes channels until stop.
func (m *manager) work(ctx context.Context, stop <-chan struct{}) {
	for {
		t := m.run.targets[m.rnd.IntN(len(m.run.targets))]
		var err error
		did := ""
		switch kind := m.rnd.IntN(10); {
		case kind < 3 && t.marks:
			did, err = "mappings changed", m.remap(ctx, t)
		case kind < 6:
			did = "channels paused and resumed"
			if err = m.command(ctx, t, "pause"); err == nil {
				wait := time.NewTimer(time.Duration(m.rnd.Int64N(int64(2 * m.run.pace.brief))))
				select {
				case <-wait.C:
				case <-stop:
				}
				wait.Stop()
				err = m.command(ctx, t, "resume")
			}
		case kind < 8:
			did, err = "channels compared", m.command(ctx, t, "resync")
		default:
			did, err = "rejected listings tried again", m.command(ctx, t, "retry")
		}
		if err != nil {
			m.run.violated("durability", nil, "channel %s: %v", t.spec.Code, err)
			return
		}
		m.run.count(did, 1)
		wait := time.NewTimer(time.Duration(m.rnd.Int64N(int64(20 * m.run.pace.edits))))
		select {
		case <-stop:
			wait.Stop()
			return
		case <-ctx.Done():
			wait.Stop()
			return
		case <-wait.C:
		}
	}
}
