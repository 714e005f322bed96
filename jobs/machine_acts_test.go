package jobs_test

import (
	"encoding/json"
	"fmt"
	"time"

	"pgregory.net/rapid"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// What operators, and people at the target, do to the machine.

// settings gives the channel its flow and its withdrawal, as they stand in m.
func (m *machine) settings() {
	config, _ := json.Marshal(map[string]any{"url": m.fake.URL(), "status_url": m.fake.StatusURL(), "read_url": m.fake.HeldURL(), "secret": m.fake.Secret()})
	spec := jobs.ChannelSpec{
		Locale: "en-GB", Currency: "EUR", Config: config, SettleSeconds: 1, TimeoutSeconds: 30,
		Policy: pim.Policy{Flow: m.flowing, Withdrawal: m.gone, Stock: pim.StockRule{Buffer: m.buffer}, Reconcile: pim.Reconcile{Mode: pim.ReconcileOff}},
	}
	if _, err := m.channels.Update(m.ctx, "shop", spec, 0); err != nil {
		m.Fatal(err)
	}
	m.runner.WakeChannel(m.of("shop").ID)
}

// bound gives the channel a flow: a window that is not open, a quota that is soon
// spent, few requests, a wait for further changes, or nothing of the kind.
func (m *machine) bound(t *rapid.T) {
	now := time.Now().UTC() // hours away from the bounds, so that no clock comes to them
	m.flowing = rapid.SampledFrom([]pim.Flow{
		{},
		{Windows: []pim.Window{shut()}},
		{Windows: []pim.Window{shut("content")}},
		{RequestsPerDay: 2, DayBegins: now.Add(-3 * time.Hour).Format("15:04")},
		{RequestsPerSecond: 20, Burst: 1},
		{DebounceSeconds: 0.2},
	}).Draw(t, "flow")
	m.settings()
}

// withdrawal changes what becomes of what leaves the channel.
func (m *machine) withdrawal(t *rapid.T) {
	m.gone = rapid.SampledFrom(append([]pim.Withdrawal{""}, pim.Withdrawals...)).Draw(t, "withdrawal")
	m.settings()
}

// holdBack changes how many pieces are never sold: on the channel, or at the location.
func (m *machine) holdBack(t *rapid.T) {
	n := rapid.Int64Range(0, 1).Draw(t, "pieces")
	if rapid.Bool().Draw(t, "the channel") {
		m.buffer = n
		m.settings()
		return
	}
	m.safety = n
	if _, _, err := m.store.PutLocation(m.ctx, pim.Location{Code: "default", SafetyStock: n}, 0); err != nil {
		m.Fatal(err)
	}
}

// move brings or takes a piece, in place of counting them.
func (m *machine) move(t *rapid.T) {
	sku, n := m.sku(t), rapid.SampledFrom([]int64{-1, 1}).Draw(t, "pieces")
	w := m.model[sku]
	if !w.exists || !w.offered {
		return
	}
	row := pim.StockRow{SKU: sku, Stock: pim.Stock{Location: "default", OnHand: n}, Delta: true}
	if res, err := m.store.SetStock(m.ctx, "machine", []pim.StockRow{row}, postgres.Idempotency{}); err != nil || res[0].Level == nil {
		m.Fatal(res, err)
	}
	w.stock += n
}

// disable takes a product off its channels, or brings it back.
func (m *machine) disable(t *rapid.T) {
	sku := m.sku(t)
	if w := m.model[sku]; w.exists {
		w.disabled = !w.disabled
		m.enable(sku, !w.disabled)
	}
}

func (m *machine) pause(t *rapid.T) {
	do := m.store.ResumeChannel
	if rapid.Bool().Draw(t, "pause") {
		do = m.store.PauseChannel
	}
	if err := do(m.ctx, "shop"); err != nil {
		m.Fatal(err)
	}
	m.runner.WakeChannel(m.of("shop").ID)
}

// refuse lets the target refuse a product, by itself or with the whole call that it
// comes in.
func (m *machine) refuse(t *rapid.T) {
	sku := m.sku(t)
	if rapid.Bool().Draw(t, "alone") {
		m.fake.Reject(sku)
		return
	}
	m.fake.Script(webhooktest.Fault{Kind: webhooktest.Fail, Status: 400, Only: func(items []webhooktest.Item) bool {
		for _, i := range items {
			if i.SKU == sku {
				return true
			}
		}
		return false
	}})
}

// again resends, or tries again, some or all.
func (m *machine) again(t *rapid.T) {
	choice := postgres.ListingChoice{Channel: "shop"}
	if rapid.Bool().Draw(t, "one") {
		choice.SKUs = []pim.SKU{m.sku(t)}
	}
	var err error
	switch rapid.IntRange(0, 3).Draw(t, "again") {
	case 0:
		err = m.store.ResyncChannel(m.ctx, "shop", rapid.Bool().Draw(t, "full"))
	case 1:
		choice.Lane = pim.Offer
		_, err = m.store.ResyncListings(m.ctx, choice, true)
	case 2:
		_, err = m.store.ResyncListings(m.ctx, choice, false)
	default:
		_, err = m.store.RetryListings(m.ctx, choice)
	}
	if err != nil {
		m.Fatal(err)
	}
}

// drift changes or drops what the target holds behind our back; a comparison finds
// and repairs it, and calls the rest verified.
func (m *machine) drift(t *rapid.T) {
	m.check(t)
	sku := m.sku(t)
	if !m.model[sku].shown() {
		return
	}
	if rapid.Bool().Draw(t, "drop") {
		m.fake.Drop(sku)
	} else {
		m.fake.Alter(sku, pim.Content, json.RawMessage(`{"sku":"somebody's"}`))
	}
	if run := m.reconciled("shop", true); run.Drifted == 0 {
		t.Fatalf("nothing is found of what somebody did to %s: %+v", sku, run)
	}
	m.nothingElse(t, sku)
	m.check(t)
	m.reconciled("shop", false)
	m.nothingElse(t, "")
	if l := m.listing("shop", sku, pim.Content); l.State != pim.StateVerified {
		t.Errorf("%s was repaired and read back, and is %s", sku, l.State)
	}
}

// nothingElse checks that nothing is told to differ but what somebody did to sku.
func (m *machine) nothingElse(t *rapid.T, sku pim.SKU) {
	for _, d := range m.drifts("shop") {
		if d.SKU == sku {
			continue
		}
		t.Errorf("nobody did anything to it, or it was repaired: %+v", d)
		m.tell(t, d.SKU)
	}
}

// conflict lets a target that keeps versions hold a higher one of somebody else's.
func (m *machine) conflict(t *rapid.T) {
	m.check(t)
	sku := m.sku(t)
	if !m.model[sku].shown() {
		return
	}
	m.fake.SetVersioned(true)
	l, _ := m.fake.Listing(sku, pim.Content)
	m.byAnother(m.fake, connectors.Item{
		SKU: sku, Lane: pim.Content, Revision: l.Revision + 10, Action: connectors.Upsert, Document: json.RawMessage(`{"sku":"somebody's"}`),
	})
	m.conflicts++
	m.set(sku, fmt.Sprint("ours ", m.conflicts)) // else nothing would be sent, and so nothing refused
	m.check(t)
	m.fake.SetVersioned(false)
}

// restore tells Sluice that its data were restored: every revision is above what the
// target may have been sent since.
func (m *machine) restore(t *rapid.T) {
	m.check(t)
	m.stop()
	floor, err := m.store.Restored(m.ctx)
	if err != nil {
		m.Fatal(err)
	}
	m.stop = m.work()
	m.check(t)
	for sku, w := range m.model {
		if l, ok := m.fake.Listing(sku, pim.Content); ok && w.shown() && l.Revision <= floor {
			t.Errorf("%s is held at revision %d, the floor is %d", sku, l.Revision, floor)
		}
	}
}
