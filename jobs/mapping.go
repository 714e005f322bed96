package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// maxNote bounds the note of a mapping's version, in bytes.
const maxNote = 500

func clipNote(s string) string {
	if len(s) <= maxNote {
		return s
	}
	for n := maxNote; ; n-- {
		if s[n]&0xc0 != 0x80 { // a character begins here
			return s[:n]
		}
	}
}

// changeRaces is how often a change of a channel is tried when others change it
// meanwhile.
const changeRaces = 5

// DefaultMapping is the mapping of a channel of this kind that says none itself.
func DefaultMapping(kind *connectors.Kind) connectors.Mapping {
	if kind.Mapping.Lanes() == 0 {
		return connectors.DefaultMapping()
	}
	return kind.Mapping
}

// SetMapping changes nothing of a channel but its mapping; the change is kept
// as a version, by actor and with a note. The error is as Update's.
func (c *Channels) SetMapping(ctx context.Context, code pim.ChannelCode, m connectors.Mapping, actor, note string) (*postgres.Channel, error) {
	return c.changeMapping(ctx, code, actor, note, func(*postgres.Channel) (connectors.Mapping, error) { return m, nil })
}

// RollBack makes an earlier version of a channel's mapping its newest again.
// It is checked as any change, so the error may be a *pim.Invalid: attributes
// may have gone since. ErrNotFound of a version that there is not, or no more.
func (c *Channels) RollBack(ctx context.Context, code pim.ChannelCode, version int64, actor string) (*postgres.Channel, error) {
	note := fmt.Sprintf("rollback to version %d", version)
	return c.changeMapping(ctx, code, actor, note, func(ch *postgres.Channel) (m connectors.Mapping, err error) {
		v, err := c.store.Mapping(ctx, ch.ID, version)
		if err != nil {
			return m, err
		}
		if err := json.Unmarshal(v.Mapping, &m); err != nil {
			return m, fmt.Errorf("decode mapping %d of channel %s: %w", version, code, err)
		}
		return m, nil
	})
}

func (c *Channels) changeMapping(ctx context.Context, code pim.ChannelCode, actor, note string,
	of func(*postgres.Channel) (connectors.Mapping, error),
) (*postgres.Channel, error) {
	for race := 0; ; race++ {
		ch, err := c.store.Channel(ctx, code)
		if err != nil {
			return nil, err
		}
		spec, err := SpecOf(ch)
		if err != nil {
			return nil, err
		}
		m, err := of(ch)
		if err != nil {
			return nil, err
		}
		spec.Mapping, spec.MappingNote, spec.Actor = &m, note, actor
		now, err := c.Update(ctx, code, spec, ch.Version)
		if !errors.Is(err, postgres.ErrStale) || race == changeRaces {
			return now, err
		}
	}
}

// trial makes a channel ready to look through: as it is, or with another
// mapping, which is checked as if it were saved. Nothing is sent through it. The
// error may be postgres.ErrNoConnector: there is nobody to make documents for.
func (c *Channels) trial(ctx context.Context, code pim.ChannelCode, m *connectors.Mapping) (saved, tried *Target, err error) {
	ch, err := c.store.Channel(ctx, code)
	if err != nil {
		return nil, nil, err
	}
	if err := needsConnector(ch); err != nil {
		return nil, nil, err
	}
	schema, err := c.store.RefreshSchema(ctx)
	if err != nil {
		return nil, nil, err
	}
	if saved, err = c.Target(ctx, ch.ID, ch.Version); err != nil {
		return nil, nil, err
	}
	if m == nil {
		return saved, saved, nil
	}
	program, problems := compile(saved.Kind, *m)
	if problems = append(problems, underMapping(m.Against(schema))...); len(problems) > 0 {
		return nil, nil, &pim.Invalid{Problems: problems}
	}
	return saved, &Target{Channel: saved.Channel, Kind: saved.Kind, Connector: saved.Connector, Program: program}, nil
}
