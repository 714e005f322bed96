package jobs_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// enable enables or disables a product.
func (r *road) enable(sku pim.SKU, enabled bool) {
	r.Helper()
	res, err := r.store.Edit(r.ctx, "test", []postgres.Edit{{SKU: sku, Mode: postgres.Patch, Enabled: &enabled}})
	if err != nil || res[0].Err != nil {
		r.Fatal(res, err)
	}
}

// withdraws changes how a channel withdraws.
func (r *road) withdraws(code pim.ChannelCode, w pim.Withdrawal) {
	r.Helper()
	r.update(code, func(s *jobs.ChannelSpec) { s.Policy.Withdrawal, s.SettleSeconds = w, 1 })
	r.settled(code)
}

// shut is a window of the lanes, of all if none is named, that is hours away.
func shut(lanes ...string) pim.Window {
	now := time.Now().UTC()
	return pim.Window{Lanes: lanes, From: now.Add(3 * time.Hour).Format("15:04"), To: now.Add(4 * time.Hour).Format("15:04")}
}

// sent are the actions that a target received of a SKU, in order.
func sent(fake *webhooktest.Server, sku pim.SKU) (list []string) {
	var entries []webhooktest.Entry
	for _, lane := range pim.AllLanes {
		entries = append(entries, fake.History(sku, lane)...)
	}
	slices.SortFunc(entries, func(a, b webhooktest.Entry) int { return cmp.Compare(a.Seq, b.Seq) })
	for _, e := range entries {
		list = append(list, fmt.Sprintf("%s %s", e.Lane, e.Action))
	}
	return list
}

// onSale is a road with a channel that withdraws by w, and a product on it that is
// sold, with a picture.
func onSale(t *testing.T, w pim.Withdrawal) (*road, *webhooktest.Server) {
	t.Helper()
	r := newRoad(t)
	fake := webhooktest.Start(t, webhooktest.Options{})
	r.fakes["shop"] = fake
	r.channelAt("shop", fake, func(s *jobs.ChannelSpec) {
		s.Policy.Withdrawal = w
		s.Config, _ = json.Marshal(map[string]any{"url": fake.URL(), "read_url": fake.HeldURL(), "secret": fake.Secret()})
	})
	r.work()
	r.put([]pim.SKU{"A"}, pim.Values{"name": map[string]any{"en-GB": "A"}, "picture": []any{"a.jpg"}})
	r.offer("A", "9.99", 5)
	r.settled("shop")
	return r, fake
}

// Whatever the policy, what leaves the channel is told to the target once, stands
// there as the policy says, is told of so, and comes back whole.
func TestWithdrawalByPolicy(t *testing.T) {
	t.Parallel()
	const offer, sold = `{"currency":"EUR","price":"9.99","stock":5}`, `{"currency":"EUR","price":"9.99","stock":0}`
	for _, c := range []struct {
		policy                pim.Withdrawal
		sends                 string
		content, offers       pim.ListingState
		kept, hidden, soldOut bool
		reason                jobs.Reason
		onTarget              jobs.OnTarget
		text                  string
		back                  []string
	}{
		{"", "content withdraw", pim.StateWithdrawn, pim.StateNone, false, false, false, jobs.ReasonDisabled, jobs.OnTargetNo, "does not hold it", []string{"content upsert", "media upsert", "offer upsert"}},
		{pim.WithdrawDelete, "content withdraw", pim.StateWithdrawn, pim.StateNone, false, false, false, jobs.ReasonDisabled, jobs.OnTargetNo, "does not hold it", []string{"content upsert", "media upsert", "offer upsert"}},
		{pim.WithdrawDisable, "content disable", pim.StateWithdrawn, pim.StateNone, true, true, false, jobs.ReasonDisabled, jobs.OnTargetNo, "shows it to nobody", []string{"content upsert", "media upsert", "offer upsert"}},
		{pim.WithdrawZeroStock, "offer sell_out", pim.StateSoldOut, pim.StateSoldOut, true, false, true, jobs.ReasonSoldOut, jobs.OnTargetAccepted, "told that none is left", []string{"content upsert", "offer upsert"}},
	} {
		t.Run("policy "+string(c.policy), func(t *testing.T) {
			t.Parallel()
			r, fake := onSale(t, c.policy)
			before := len(sent(fake, "A"))
			r.enable("A", false)
			r.settled("shop")
			if got := sent(fake, "A")[before:]; len(got) != 1 || got[0] != c.sends {
				t.Errorf("told %v, want %s", got, c.sends)
			}
			l, kept := fake.Listing("A", pim.Offer)
			if kept != c.kept || fake.Hidden("A") != c.hidden || fake.SoldOut("A") != c.soldOut {
				t.Errorf("kept %v, hidden %v, sold out %v", kept, fake.Hidden("A"), fake.SoldOut("A"))
			}
			if c.soldOut && string(l.Document) != sold {
				t.Errorf("the offer is %s", l.Document)
			}
			content, offers := r.listing("shop", "A", pim.Content), r.listing("shop", "A", pim.Offer)
			if content.State != c.content || offers.State != c.offers {
				t.Errorf("content %s, offer %s", content.State, offers.State)
			}
			if x := r.explain("A", pim.Content); x.Reason != c.reason || x.OnTarget != c.onTarget {
				t.Errorf("%+v", x)
			} else if all := x.Text + r.explain("A", pim.Offer).Text; !strings.Contains(all, c.text) {
				t.Errorf("explained by %q", all)
			}
			// Read back, it is as it should be; nothing is sent for looking again.
			if run := r.reconciled("shop", true); run.Drifted != 0 || run.Same == 0 {
				t.Errorf("read back: %+v", run)
			}
			if err := r.store.ResyncChannel(r.ctx, "shop", false); err != nil {
				t.Fatal(err)
			}
			r.settled("shop")
			r.offer("A", "8.88", 9) // nobody's business any more
			r.settled("shop")
			if got := sent(fake, "A")[before:]; len(got) != 1 {
				t.Errorf("told %v", got)
			}
			r.offer("A", "9.99", 5)
			r.settled("shop")
			r.enable("A", true)
			r.settled("shop")
			back := sent(fake, "A")[before+1:]
			slices.Sort(back)
			if !slices.Equal(back, c.back) {
				t.Errorf("back by %v, want %v", back, c.back)
			}
			if l, _ := fake.Listing("A", pim.Offer); string(l.Document) != offer || fake.Hidden("A") || fake.SoldOut("A") {
				t.Errorf("back as %s, hidden %v, sold out %v", l.Document, fake.Hidden("A"), fake.SoldOut("A"))
			}
			if x := r.explain("A", pim.Offer); x.Reason != jobs.ReasonAccepted {
				t.Errorf("back: %+v", x)
			}
			if bad := fake.Violations(); len(bad) > 0 {
				t.Error(bad)
			}
		})
	}
}

// What is not shown has nothing to be sold out.
func TestWithdrawalToZeroStock(t *testing.T) {
	t.Parallel()
	for _, from := range []pim.Withdrawal{"", pim.WithdrawDelete, pim.WithdrawDisable} {
		r, fake := onSale(t, from)
		r.enable("A", false)
		r.settled("shop")
		before := len(sent(fake, "A"))
		r.withdraws("shop", pim.WithdrawZeroStock)
		if got := sent(fake, "A")[before:]; len(got) > 0 {
			t.Errorf("what had left by %q is told %v", from, got)
		}
		if l := r.listing("shop", "A", pim.Offer); l.State == pim.StateSoldOut {
			t.Errorf("what had left by %q is called %s", from, l.State)
		}
	}
}

// Another policy is told to the target of what was withdrawn by the old one, as far
// as it can make a difference there.
func TestWithdrawalChanges(t *testing.T) {
	t.Parallel()
	r, fake := onSale(t, pim.WithdrawZeroStock)
	r.enable("A", false)
	r.settled("shop")
	before := len(sent(fake, "A"))
	for _, c := range []struct {
		to   pim.Withdrawal
		told string
	}{
		{pim.WithdrawDisable, "[content disable]"},
		{pim.WithdrawZeroStock, "[]"}, // what is hidden is sold to nobody
		{pim.WithdrawDelete, "[content withdraw]"},
		{pim.WithdrawDisable, "[]"}, // nothing is there to be hidden
		{pim.WithdrawZeroStock, "[]"},
		{"", "[]"},
	} {
		r.withdraws("shop", c.to)
		got := sent(fake, "A")[before:]
		if fmt.Sprint(got) != c.told {
			t.Errorf("by %q from now on: %v, want %s", c.to, got, c.told)
		}
		before += len(got)
	}
	r.enable("A", true)
	r.settled("shop")
	if l, ok := fake.Listing("A", pim.Offer); !ok || string(l.Document) != `{"currency":"EUR","price":"9.99","stock":5}` {
		t.Errorf("back as %s", l.Document)
	}
}

// What is sold out on leaving goes before all that waits, and waits neither for
// windows nor for its content.
func TestSoldOutOnLeaving(t *testing.T) {
	t.Parallel()
	r, fake := onSale(t, pim.WithdrawZeroStock)
	r.update("shop", func(s *jobs.ChannelSpec) {
		s.Policy.Withdrawal, s.Policy.Flow.Windows, s.Policy.Flow.DebounceSeconds = pim.WithdrawZeroStock, []pim.Window{shut()}, 60
	})
	before := len(sent(fake, "A"))
	if res, err := r.store.Edit(r.ctx, "test", []postgres.Edit{{SKU: "A", Mode: postgres.Delete}}); err != nil || res[0].Err != nil {
		t.Fatal(res, err)
	}
	r.wait(fake, func(s webhooktest.State) bool { return s.SoldOut("A") })
	if got := sent(fake, "A")[before:]; len(got) != 1 || got[0] != "offer sell_out" {
		t.Errorf("told %v", got)
	}
}

// What the target kept of a hidden product, and is not wanted any more when that
// comes back, is emptied: no old price is shown again.
func TestBackWithoutWhatWasHidden(t *testing.T) {
	t.Parallel()
	filtered := &connectors.Mapping{
		Content: map[string]string{"name": "values.name == 'hide' ? dyn(null) : dyn(values.name)"},
		Offer:   map[string]string{"price": "price.amount", "stock": "stock.available"},
		Media:   map[string]string{"picture": "values.picture"},
	}
	for how, c := range map[string]struct {
		policy      pim.Withdrawal
		leave, back func(*road)
		meanwhile   func(*road)
		moves       bool // to another address of the target, for all we know with nothing there
	}{
		"disabled":         {policy: pim.WithdrawDisable},
		"left":             {},
		"filtered out":     {policy: pim.WithdrawDisable, leave: func(r *road) { r.put([]pim.SKU{"A"}, title("hide")) }, back: func(r *road) { r.put([]pim.SKU{"A"}, title("A")) }},
		"and all is anew":  {policy: pim.WithdrawDisable, moves: true},
		"and all is again": {policy: pim.WithdrawDisable, meanwhile: func(r *road) { r.anew("shop") }},
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			r, fake := onSale(t, c.policy)
			spec := func(s *jobs.ChannelSpec) { s.Mapping, s.Policy.Withdrawal = filtered, c.policy }
			r.update("shop", spec)
			r.settled("shop")
			if c.leave == nil {
				c.leave, c.back = func(r *road) { r.enable("A", false) }, func(r *road) { r.enable("A", true) }
			}
			c.leave(r)
			r.settled("shop")
			if c.meanwhile != nil {
				c.meanwhile(r)
			}
			if c.moves {
				r.update("shop", func(s *jobs.ChannelSpec) {
					spec(s)
					s.Config, _ = json.Marshal(map[string]any{"url": fake.URL() + "?moved=1", "secret": fake.Secret()})
				})
			}
			r.settled("shop")
			if _, err := r.store.SetPrices(r.ctx, "test", []pim.PriceRow{{SKU: "A", Price: price("9.99"), Delete: true}}, postgres.Idempotency{}); err != nil {
				t.Fatal(err)
			}
			r.put([]pim.SKU{"A"}, pim.Values{"picture": nil})
			r.exec(`delete from stock`)
			r.settled("shop")
			c.back(r)
			r.settled("shop")
			for _, lane := range []pim.Lane{pim.Offer, pim.Media} {
				if l, ok := fake.Listing("A", lane); ok && string(l.Document) != "{}" {
					t.Errorf("back with the %s %s: %v", lane, l.Document, sent(fake, "A"))
				}
			}
			if fake.Hidden("A") {
				t.Error("it is hidden")
			}
		})
	}
}

// anew has everything sent whatever the target is believed to hold.
func (r *road) anew(code pim.ChannelCode) {
	r.Helper()
	if err := r.store.ResyncChannel(r.ctx, code, true); err != nil {
		r.Fatal(err)
	}
	r.runner.WakeChannel(r.of(code).ID)
}

// What the mapping makes nothing of any more leaves the channel as what is
// deleted does.
func TestWithdrawalOfWhatIsFilteredOut(t *testing.T) {
	t.Parallel()
	for policy, told := range map[pim.Withdrawal]string{
		"": "[content withdraw]", pim.WithdrawDisable: "[content disable]", pim.WithdrawZeroStock: "[offer sell_out]",
	} {
		t.Run("policy "+string(policy), func(t *testing.T) {
			t.Parallel()
			r := newRoad(t)
			fake := r.channel("shop", webhooktest.Options{}, func(s *jobs.ChannelSpec) {
				s.Policy.Withdrawal = policy
				s.Mapping = &connectors.Mapping{
					Content: map[string]string{"name": "values.name == 'hide' ? dyn(null) : dyn(values.name)"},
					Offer:   map[string]string{"price": "price.amount", "stock": "stock.available"},
				}
			})
			r.work()
			r.put([]pim.SKU{"A"}, title("A"))
			r.offer("A", "5", 7)
			r.settled("shop")
			before := len(sent(fake, "A"))
			r.put([]pim.SKU{"A"}, title("hide"))
			r.settled("shop")
			if got := fmt.Sprint(sent(fake, "A")[before:]); got != told {
				t.Errorf("told %s, want %s", got, told)
			}
			want := jobs.ReasonWithdrawn
			if policy == pim.WithdrawZeroStock {
				want = jobs.ReasonSoldOut
			}
			if x := r.explain("A", pim.Content); x.Reason != want || !strings.Contains(x.Text, "no field any more") {
				t.Errorf("%+v", x)
			}
			r.offer("A", "6", 8)
			r.settled("shop")
			if got := fmt.Sprint(sent(fake, "A")[before:]); got != told {
				t.Errorf("an offer of what has left: %s", got)
			}
			r.put([]pim.SKU{"A"}, title("A"))
			r.settled("shop")
			if l, _ := fake.Listing("A", pim.Offer); string(l.Document) != `{"price":"6","stock":8}` || fake.SoldOut("A") || fake.Hidden("A") {
				t.Errorf("back as %s", l.Document)
			}
		})
	}
}

// A policy is refused that the connector cannot follow, or the mapping cannot tell.
func TestWithdrawalIsChecked(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	config, _ := json.Marshal(map[string]any{"url": "https://erp.example", "database": "d", "user": "u", "password": "p"})
	for _, c := range []struct {
		connector string
		config    json.RawMessage
		policy    pim.Withdrawal
		mapping   *connectors.Mapping
		code      string
	}{
		{"tryton", config, pim.WithdrawDelete, nil, "withdrawal.connector"},
		{"tryton", config, pim.WithdrawZeroStock, nil, "withdrawal.connector"},
		{"webhook", nil, "sell", nil, "withdrawal.unknown"},
		{"webhook", nil, pim.WithdrawZeroStock, &connectors.Mapping{Content: map[string]string{"sku": "sku"}, Offer: map[string]string{"price": "price.amount"}}, "withdrawal.stock"},
	} {
		spec := jobs.ChannelSpec{Code: "shop", Connector: c.connector, Locale: "en-GB", Currency: "EUR", Config: c.config, Mapping: c.mapping}
		if c.config == nil {
			spec.Config, _ = json.Marshal(map[string]any{"url": "https://shop.example", "secret": webhooktest.NewSecret()})
		}
		spec.Policy.Withdrawal = c.policy
		_, err := r.channels.Create(r.ctx, spec)
		invalid, _ := errors.AsType[*pim.Invalid](err)
		if invalid == nil || !slices.ContainsFunc(invalid.Problems, func(p pim.Problem) bool { return p.Pointer == "/policy/withdrawal" && p.Code == c.code }) {
			t.Errorf("%s by %s: %v", c.connector, c.policy, err)
		}
	}
}

// A parent that comes back before its variants' contents had their turn takes
// back what was told of the variants' offers meanwhile.
func TestVariantsComeBackWithTheirParent(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.channel("shop", webhooktest.Options{}, func(s *jobs.ChannelSpec) { s.Policy.Withdrawal = pim.WithdrawZeroStock })
	r.work()
	family, by, parent := "thing", "by-colour", pim.SKU("P")
	for _, e := range []postgres.Edit{
		{SKU: "P", Mode: postgres.Merge, Family: &family, FamilyVariant: &by, Values: title("P")},
		{SKU: "V", Mode: postgres.Merge, Family: &family, Parent: &parent, Values: pim.Values{"colour": "red"}},
	} {
		if res, err := r.store.Edit(r.ctx, "test", []postgres.Edit{e}); err != nil || res[0].Err != nil {
			t.Fatal(res, err)
		}
	}
	r.offer("V", "5", 7)
	r.settled("shop")
	r.update("shop", func(s *jobs.ChannelSpec) {
		s.Policy.Withdrawal, s.Policy.Flow.Windows = pim.WithdrawZeroStock, []pim.Window{shut("content")}
	})
	r.enable("P", false)
	r.wait(fake, func(s webhooktest.State) bool { return s.SoldOut("V") })
	r.enable("P", true)
	r.withdraws("shop", pim.WithdrawZeroStock) // and no windows any more
	if l, _ := fake.Listing("V", pim.Offer); fake.SoldOut("V") || !strings.Contains(string(l.Document), `"stock":7`) {
		t.Errorf("back as %s", l.Document)
	}
}

// What was hidden with its stock under another policy, came back, and left again
// before its offer had its turn, is shown there with that stock: it is sold out.
func TestSoldOutWhereOffersWereForgotten(t *testing.T) {
	t.Parallel()
	r, fake := onSale(t, pim.WithdrawDisable)
	r.enable("A", false)
	r.settled("shop")
	r.update("shop", func(s *jobs.ChannelSpec) {
		s.Policy.Withdrawal, s.Policy.Flow.Windows = pim.WithdrawZeroStock, []pim.Window{shut("offer")}
	})
	r.enable("A", true)
	r.wait(fake, func(s webhooktest.State) bool { return !s.Hidden("A") })
	r.enable("A", false)
	r.until(func() bool { return r.listing("shop", "A", pim.Content).State == pim.StateSoldOut })
	r.withdraws("shop", pim.WithdrawZeroStock) // and no windows any more
	if l, _ := fake.Listing("A", pim.Offer); !fake.SoldOut("A") {
		t.Errorf("it is sold as %s", l.Document)
	}
}

// An offer that has its turn before the content that brings its product back stays
// sold out until then, and is woken by it.
func TestBackOnSaleBehindItsContent(t *testing.T) {
	t.Parallel()
	r, fake := onSale(t, pim.WithdrawZeroStock)
	r.enable("A", false)
	r.settled("shop")
	r.update("shop", func(s *jobs.ChannelSpec) {
		s.Policy.Withdrawal, s.Policy.Flow.Windows = pim.WithdrawZeroStock, []pim.Window{shut("content")}
	})
	r.enable("A", true)
	r.fannedOut()
	r.until(func() bool { return r.listing("shop", "A", pim.Offer).State == pim.StateSoldOut }) // and not waiting
	if !fake.SoldOut("A") {
		t.Error("it is sold before its content is back")
	}
	r.withdraws("shop", pim.WithdrawZeroStock) // and no windows any more
	if l, _ := fake.Listing("A", pim.Offer); fake.SoldOut("A") {
		t.Errorf("its content is back, and its offer is %s", l.Document)
	}
}
