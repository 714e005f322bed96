package api

import (
	"testing"

	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// TestExplain asks why products stand on a channel as they do.
func TestExplain(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	k.want(k.channel("one", "http://127.0.0.1:1"), 201, nil)
	k.make("P/1")
	ask := func(sku string, on jobs.OnTarget, reason jobs.Reason, lanes int) (x jobs.Explanation) {
		t.Helper()
		k.want(k.do(Viewer, "GET", "/v1/listings/one/"+sku+"/explain", nil), 200, &x)
		if x.Channel != "one" || x.OnTarget != on || x.Reason != reason || len(x.Lanes) != lanes || x.Text == "" || x.At.IsZero() {
			t.Errorf("%s: %+v", sku, x)
		}
		return x
	}
	ask("nothing", jobs.OnTargetNo, jobs.ReasonUnknownProduct, 0)
	x := ask("P%2F1", jobs.OnTargetNo, jobs.ReasonFanout, 3)
	if e := x.Lanes[0].Chain.Edit; e == nil || e.Actor != "editor key" || e.Type != pim.EventProductCreated || e.SKU != "P/1" || x.Since == nil {
		t.Errorf("%+v", x)
	}
	if _, err := k.store.FanOut(t.Context(), k.lease(postgres.Consumer{Kind: postgres.Fanout}), 100); err != nil {
		t.Fatal(err)
	}
	k.want(k.do(ChannelManager, "POST", "/v1/channels/one/pause", nil), 200, nil)
	x = ask("P%2F1", jobs.OnTargetNo, jobs.ReasonPaused, 3)
	if l := x.Lanes[0]; l.Chain.Listing == nil || !l.Chain.Listing.Dirty || l.State != pim.StateWaiting {
		t.Errorf("%+v", l)
	}
	k.want(k.do(Viewer, "GET", "/v1/listings/none/P%2F1/explain", nil), 404, nil)
	k.refused(k.do(Viewer, "GET", "/v1/listings/one/%20/explain", nil), 422, "path.sku", "sku")
}
