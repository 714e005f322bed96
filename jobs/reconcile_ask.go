package jobs

import (
	"context"

	"github.com/sluicehub/sluice/pim"
)

// Reconcile asks for the reading back of all of a channel's products, or of skus
// alone where there are any, and gives how it begins. With repair, what differs is
// put on the road again, whatever the channel's policy says. The error is
// postgres.ErrExists while one is under way, ErrNotFound of the channel, a
// *pim.Invalid where its connector cannot read with its settings.
func (c *Channels) Reconcile(ctx context.Context, code pim.ChannelCode, skus []pim.SKU, repair bool, actor string) (*pim.ReconcileStatus, error) {
	ch, err := c.store.Channel(ctx, code)
	if err != nil {
		return nil, err
	}
	if err := needsConnector(ch); err != nil {
		return nil, err
	}
	t, err := c.target(ch)
	if err != nil {
		return nil, err
	}
	if _, lanes := t.reads(); lanes == 0 {
		return nil, &pim.Invalid{Problems: []pim.Problem{{
			Code: "reconcile.unreadable", Detail: "the connector of this channel cannot ask its target what it holds, with the settings that it has",
		}}}
	}
	if len(skus) == 0 {
		skus = nil
	}
	if err := c.store.StartReconcile(ctx, code, skus, repair, actor); err != nil {
		return nil, err
	}
	return c.ReconcileStatus(ctx, code)
}

// ReconcileStatus is how the reading of a channel's target fares; ErrNotFound.
func (c *Channels) ReconcileStatus(ctx context.Context, code pim.ChannelCode) (*pim.ReconcileStatus, error) {
	ch, err := c.store.Channel(ctx, code)
	if err != nil {
		return nil, err
	}
	st, err := c.store.ReconcileStatus(ctx, code)
	if err != nil {
		return nil, err
	}
	st.Mode, st.Reads = pim.ReconcileOff, []pim.Lane{}
	t, err := c.target(ch)
	if err != nil {
		return st, nil //nolint:nilerr // the channel says so itself
	}
	_, lanes := t.reads()
	st.Mode, st.Reads = t.mode(), append(st.Reads, lanes.List()...)
	return st, nil
}
