package jobs_test

import (
	"context"
	"flag"
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// machine drives random edits, faults, worker deaths and job deletions against
// a model: whatever happened, after quiet the target holds exactly what the
// model says, computed here without the store's or the mapping's code.
type machine struct {
	*road
	fake  *webhooktest.Server
	stop  func()
	model map[pim.SKU]*wanted

	flowing pim.Flow       // the channel's
	gone    pim.Withdrawal // the channel's
	buffer  int64          // the channel's
	safety  int64          // the location's

	conflicts int
}

// wanted is the model's product.
type wanted struct {
	exists, offered, disabled bool
	title                     string
	stock                     int64
}

// shown reports whether a target is to show it.
func (w *wanted) shown() bool { return w.exists && !w.disabled }

func (m *machine) sku(t *rapid.T) pim.SKU {
	return rapid.SampledFrom(skus(4)).Draw(t, "sku")
}

func (m *machine) edit(t *rapid.T) {
	sku, title := m.sku(t), rapid.SampledFrom([]string{"A", "B", "C"}).Draw(t, "title")
	m.set(sku, title)
}

func (m *machine) set(sku pim.SKU, text string) {
	m.put([]pim.SKU{sku}, title("%s", text))
	w := m.model[sku]
	w.exists, w.title = true, text
}

func (m *machine) remove(t *rapid.T) {
	sku := m.sku(t)
	if !m.model[sku].exists {
		return
	}
	res, err := m.store.Edit(m.ctx, "machine", []postgres.Edit{{SKU: sku, Mode: postgres.Delete}})
	if err != nil || res[0].Err != nil {
		m.Fatal(res, err)
	}
	m.model[sku].exists, m.model[sku].disabled = false, false
}

func (m *machine) sell(t *rapid.T) {
	sku, n := m.sku(t), rapid.Int64Range(0, 2).Draw(t, "stock")
	if w := m.model[sku]; w.exists {
		m.offer(sku, "", n)
		w.offered, w.stock = true, n
	}
}

func (m *machine) fault(t *rapid.T) {
	kind := rapid.SampledFrom([]webhooktest.FaultKind{
		webhooktest.Lose, webhooktest.Fail, webhooktest.Reset, webhooktest.Garbage, webhooktest.Slow, webhooktest.Throttle,
		webhooktest.Unauthorized, webhooktest.Hang,
	}).Draw(t, "fault")
	m.fake.Script(webhooktest.Fault{
		Kind: kind, Times: rapid.IntRange(1, 2).Draw(t, "times"), Apply: rapid.Bool().Draw(t, "apply"), After: 20 * time.Millisecond,
	})
}

// late has a request arrive after a newer one, within the settle time.
func (m *machine) late(t *rapid.T) {
	m.quiet()
	sku := m.sku(t)
	if m.model[sku].disabled {
		return // nothing is sent of it
	}
	m.fake.Script(webhooktest.Fault{Kind: webhooktest.Late, Times: 1})
	began := time.Now()
	m.set(sku, "late")
	m.wait(m.fake, func(s webhooktest.State) bool { return s.Waiting() > 0 })
	m.set(sku, rapid.SampledFrom([]string{"A", "B", "C"}).Draw(t, "title"))
	m.fake.ApplyLate()
	if time.Since(began) >= time.Second { // later than its channel settles: nothing is promised
		m.set(sku, "repaired")
	}
}

// die ends the workers without a release, as kill -9 does, and begins anew.
func (m *machine) die(*rapid.T) {
	m.crash()
	m.stop = m.work()
}

func (r *road) crash() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = r.runner.Stop(ctx)
}

func (m *machine) loseJobs(*rapid.T) {
	if _, err := m.store.Pool().Exec(m.ctx, `delete from river_job`); err != nil {
		m.Fatal(err)
	}
}

// quiet lets all be well: nothing is held up, refused or parked any more.
func (m *machine) quiet() {
	m.fake.Up()
	for sku := range m.model {
		m.fake.Accept(sku)
	}
	if m.flowing.RequestsPerSecond+m.flowing.DebounceSeconds+float64(m.flowing.RequestsPerDay+len(m.flowing.Windows)) > 0 {
		m.flowing = pim.Flow{}
		m.settings()
	}
	m.resume()
	for m.settles(); ; m.settles() {
		if n, err := m.store.RetryListings(m.ctx, postgres.ListingChoice{Channel: "shop"}); err != nil {
			m.Fatal(err)
		} else if n == 0 {
			return
		}
	}
}

func (m *machine) resume() {
	if err := m.store.ResumeChannel(m.ctx, "shop"); err != nil {
		m.Fatal(err)
	}
	m.runner.WakeChannel(m.of("shop").ID)
}

// settles waits until nothing is left to do. A call that was under way when all
// became well may yet be told that its credentials are refused, which stops the
// channel for long.
func (m *machine) settles() {
	defer m.saysUndone()
	m.until(func() bool {
		if m.of("shop").Hold == postgres.HoldAuth {
			m.resume()
		}
		return m.busy("shop") == 0
	})
}

// left reports whether the target shows and sells nothing of a product that left the
// channel, however that was withdrawn at the time.
func (m *machine) left(sku pim.SKU) bool {
	_, content := m.fake.Listing(sku, pim.Content)
	_, offer := m.fake.Listing(sku, pim.Offer)
	return !content && !offer || m.fake.Hidden(sku) || m.fake.SoldOut(sku) || m.gone == pim.WithdrawZeroStock && !offer
}

// tell says what the target was sent of a product, and how that is believed to stand.
func (m *machine) tell(t *rapid.T, sku pim.SKU) {
	for _, e := range m.fake.Log(sku, 20) {
		t.Logf("%s %s %s revision %d %s: %s, late %t, lost %t, %s", e.At.Format("05.000"), e.Lane, e.Action, e.Revision, e.Document, e.Outcome, e.Late, e.Lost, e.Fault)
	}
	for _, lane := range pim.AllLanes {
		l := m.listing("shop", sku, lane)
		t.Logf("%s: %s, revision %d, acknowledged %v", lane, l.State, l.Acked, l.AckedAt)
	}
}

// check compares the target with the model.
func (m *machine) check(t *rapid.T) {
	m.quiet()
	for sku, w := range m.model {
		content, offer := "", ""
		if !w.shown() {
			if !m.left(sku) {
				t.Errorf("%s has left the channel by %q, and is still there", sku, m.gone)
				m.tell(t, sku)
			}
			continue
		}
		if m.fake.Hidden(sku) || m.fake.SoldOut(sku) {
			t.Errorf("%s is hidden (%t) or sold out for ever (%t)", sku, m.fake.Hidden(sku), m.fake.SoldOut(sku))
			m.tell(t, sku)
		}
		if w.exists {
			content = fmt.Sprintf(`{"categories":[],"family":"thing","sku":"%s","values":{"name":"%s"}}`, sku, w.title)
			if w.offered {
				offer = fmt.Sprintf(`{"stock":%d}`, max(0, w.stock-m.safety-m.buffer))
			}
		}
		for lane, want := range map[pim.Lane]string{pim.Content: content, pim.Offer: offer} {
			l, _ := m.fake.Listing(sku, lane)
			if got := string(l.Document); got != want && (got != "{}" || want != "" || !w.exists) {
				// An empty document is as good as none: in doubt it is sent, to be sure.
				t.Errorf("%s %s: the target holds %s, wanted is %s", sku, lane, l.Document, want)
				m.tell(t, sku)
			}
		}
	}
}

func TestMachine(t *testing.T) {
	t.Parallel()
	left := 5 // checks: rapid's own number is for cheaper ones, and for all tests of the binary
	if flagGiven("rapid.checks") {
		left = math.MaxInt
	}
	r := newRoad(t)
	r.lease, r.sweep = time.Second, 100*time.Millisecond
	fake := r.channel("shop", webhooktest.Options{}, nil)
	m := &machine{road: r, fake: fake, stop: r.work(), model: map[pim.SKU]*wanted{}}
	m.settings()
	for _, sku := range skus(4) {
		m.model[sku] = &wanted{}
	}
	rapid.Check(t, func(t *rapid.T) {
		if left--; left < 0 {
			return
		}
		defer func() {
			if t.Failed() { // it is repeated, and made smaller
				left = math.MaxInt
			}
		}()
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute) // each check has its own, however many there are
		defer cancel()
		m.ctx = ctx
		t.Repeat(map[string]func(*rapid.T){
			"edit": m.edit, "edit again": m.edit, "remove": m.remove, "sell": m.sell, "fault": m.fault, "fault again": m.fault,
			"late": m.late, "die": m.die, "lose jobs": m.loseJobs,
			"bound": m.bound, "withdrawal": m.withdrawal, "disable": m.disable, "pause": m.pause, "refuse": m.refuse, "again": m.again,
			"move": m.move, "hold back": m.holdBack, "drift": m.drift, "conflict": m.conflict, "restore": m.restore,
		})
		m.check(t)
	})
}

func flagGiven(name string) (given bool) {
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == name })
	return given
}
