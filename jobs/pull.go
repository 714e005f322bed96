package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim/postgres"
)

// pullEvery is the wait between two looks at a target that owns prices or
// stock and does not call us.
const pullEvery = 5 * time.Second

// puller reads what changed at a channel's target into the store, page by page
// from a cursor that is stored with each page's rows: what was read is stored
// once, or read again.
type puller struct{ r *Runner }

// step implements worker: one page.
func (p *puller) step(ctx context.Context, l postgres.Lease) (next, error) {
	store := p.r.store
	state, err := store.Pull(ctx, l.Channel)
	if errors.Is(err, postgres.ErrNotFound) {
		return next{idle: true}, nil
	}
	if err != nil {
		return next{}, err
	}
	if state.In > 0 {
		return next{in: state.In, idle: true}, nil
	}
	ch, err := store.ChannelByID(ctx, l.Channel)
	if err != nil {
		return next{idle: errors.Is(err, postgres.ErrNotFound)}, ignoreNotFound(err)
	}
	if !ch.Enabled {
		return next{idle: true}, nil
	}
	t, err := p.r.channels.Target(ctx, ch.ID, ch.Version)
	if postgres.IsDatabase(err) {
		return next{}, err
	}
	var pulled *connectors.Pulled
	if err == nil {
		pulled, err = p.page(ctx, t, state.Cursor)
	}
	if ctx.Err() != nil {
		return next{}, context.Cause(ctx)
	}
	if err != nil { // the target's, of whatever kind: it ends no lease
		e := connectors.AsError(err)
		wait := max(e.After, probeWait(state.Fails))
		if e.Verdict == connectors.Auth && state.Fails >= postgres.BreakerFails {
			wait = max(wait, credentialsWait/2) // changed settings have it look at once
		}
		p.r.log.WarnContext(ctx, "pull", "channel", ch.Code, "err", errorText(e))
		p.r.metrics.pulls.WithLabelValues(string(ch.Code), "failed").Inc()
		return next{in: wait, idle: true}, store.PullFailed(ctx, l, state.Due, errorText(e), wait)
	}
	after := pullEvery
	if pulled.More {
		after = 0
	}
	rows := len(pulled.Prices) + len(pulled.Stock)
	changed, err := store.Pulled(ctx, l, "channel:"+string(ch.Code), pulled.Cursor, after, pulled.Prices, pulled.Stock)
	if err != nil {
		if !errors.Is(err, postgres.ErrFenced) && ctx.Err() == nil {
			// Were the rows the trouble, the same page would be read for ever.
			_ = store.PullFailed(ctx, l, state.Due, "what was read cannot be stored; the log has the cause", probeMost)
		}
		return next{}, err
	}
	p.r.metrics.pulls.WithLabelValues(string(ch.Code), "ok").Inc()
	p.r.metrics.pulled.WithLabelValues(string(ch.Code), "changed").Add(float64(changed))
	p.r.metrics.pulled.WithLabelValues(string(ch.Code), "other").Add(float64(int64(rows) - changed))
	return next{again: pulled.More, in: after, idle: !pulled.More}, nil
}

func ignoreNotFound(err error) error {
	if errors.Is(err, postgres.ErrNotFound) {
		return nil
	}
	return err
}

// page reads one page under the channel's time limit.
func (p *puller) page(ctx context.Context, t *Target, cursor string) (*connectors.Pulled, error) {
	from, ok := t.Connector.(connectors.Puller)
	if !ok {
		return nil, &connectors.Error{Verdict: connectors.Permanent, Err: errors.New("the connector has nothing to read with these settings")}
	}
	e := newErrand(errandPull, 0)
	cctx, cancel := withPatience(e.on(ctx), t.Timeout)
	defer cancel()
	e.patience = cctx
	var pulled *connectors.Pulled
	_, err := shielded(cctx, func(ctx context.Context) ([]connectors.Result, error) {
		var err error
		pulled, err = from.Pull(ctx, cursor)
		return nil, err
	})
	e.over(nil, err)
	switch {
	case err != nil:
	case pulled == nil:
		err = errors.New("the connector read nothing and said nothing")
	case pulled.More && pulled.Cursor == cursor:
		err = errors.New("the connector says that there is more, behind the page that it has just read") // for ever
	}
	return pulled, err
}
