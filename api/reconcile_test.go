package api

import (
	"context"
	"testing"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// A channel whose target cannot be read says so; one that can has one whole
// reading at a time, tells how far it is, and can be told to stop.
func TestReconcile(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	k.want(k.channel("mute", "https://mute.example"), 201, nil)
	var st pim.ReconcileStatus
	k.want(k.do(Viewer, "GET", "/v1/channels/mute/reconcile", nil), 200, &st)
	if st.Mode != pim.ReconcileOff || len(st.Reads) != 0 || st.Run != nil {
		t.Errorf("%+v", st)
	}
	k.want(k.do(ChannelManager, "POST", "/v1/channels/mute/reconcile", nil), 422, nil)
	k.want(k.do(ChannelManager, "POST", "/v1/channels", map[string]any{
		"code": "shop", "connector": "webhook", "locale": "en-GB", "currency": "EUR", "policy": map[string]any{"reconcile": map[string]any{"mode": "repair", "ignore": []string{"offer.stock"}}},
		"config": map[string]any{"url": "https://shop.example", "read_url": "https://shop.example/held", "secret": testSecret},
	}), 201, nil)
	k.want(k.do(Viewer, "POST", "/v1/channels/shop/reconcile", nil), 403, nil)
	k.want(k.do(ChannelManager, "POST", "/v1/channels/shop/reconcile?sku=A&sku=B&repair=true", nil), 202, &st)
	if st.Mode != pim.ReconcileRepair || len(st.Reads) != 3 || st.Run == nil || st.Run.State != "running" || len(st.Run.SKUs) != 2 || !st.Run.Repair || st.Run.Actor == "" {
		t.Errorf("%+v, %+v", st, st.Run)
	}
	k.want(k.do(ChannelManager, "POST", "/v1/channels/shop/reconcile", nil), 409, nil)
	k.want(k.do(ChannelManager, "DELETE", "/v1/channels/shop/reconcile", nil), 200, &st)
	if st.Run.State != "cancelled" || st.Run.EndedAt == nil {
		t.Errorf("%+v", st.Run)
	}
	var drift struct{ Items []pim.Drift }
	k.want(k.do(Viewer, "GET", "/v1/channels/shop/drift", nil), 200, &drift)
	if len(drift.Items) != 0 {
		t.Errorf("%+v", drift)
	}
	k.want(k.do(Viewer, "GET", "/v1/channels/shop/drift?cursor=nonsense", nil), 422, nil)
	k.want(k.do(Viewer, "GET", "/v1/channels/none/drift", nil), 404, nil)
	k.want(k.do(ChannelManager, "PATCH", "/v1/channels/shop", `{"policy":{"reconcile":{"mode":"sometimes"}}}`), 422, nil)
	if _, err := k.store.ReconcileNext(context.Background(), 1, nil, 0, 10); err != nil {
		t.Error(err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	woken := false
	for _, c := range k.woken {
		woken = woken || c.Kind == postgres.Reconcile
	}
	if !woken {
		t.Error("nobody was woken")
	}
}
