package jobs_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// publish sets a window; bounds are in time from now, 0 is none.
func (r *road) publish(sku pim.SKU, channel pim.ChannelCode, from, to time.Duration) {
	r.Helper()
	now, err := r.store.Now(r.ctx)
	if err != nil {
		r.Fatal(err)
	}
	row := pim.PublicationRow{SKU: sku, Publication: pim.Publication{Channel: channel}, Delete: from == 0 && to == 0}
	if from != 0 {
		at := now.Add(from)
		row.From = &at
	}
	if to != 0 {
		at := now.Add(to)
		row.To = &at
	}
	res, err := r.store.SetPublications(r.ctx, "test", []pim.PublicationRow{row}, postgres.Idempotency{})
	if err != nil || res[0].Status != postgres.RowChanged {
		r.Fatal(res, err)
	}
}

// What is not published leaves as what is disabled, from this channel alone, and
// comes back whole.
func TestPublicationByPolicy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		policy pim.Withdrawal
		sends  string
		reason jobs.Reason
		back   []string
	}{
		{"", "content withdraw", jobs.ReasonNotPublished, []string{"content upsert", "media upsert", "offer upsert"}},
		{pim.WithdrawDisable, "content disable", jobs.ReasonNotPublished, []string{"content upsert", "media upsert", "offer upsert"}},
		{pim.WithdrawZeroStock, "offer sell_out", jobs.ReasonSoldOut, []string{"content upsert", "offer upsert"}},
	} {
		t.Run("policy "+string(c.policy), func(t *testing.T) {
			t.Parallel()
			r, fake := onSale(t, c.policy)
			other := r.channel("other", webhooktest.Options{}, nil)
			r.settled("other")
			before, elsewhere := len(sent(fake, "A")), len(sent(other, "A"))
			r.publish("A", "shop", time.Hour, 0)
			r.settled("shop")
			if got := sent(fake, "A")[before:]; len(got) != 1 || got[0] != c.sends {
				t.Errorf("told %v, want %s", got, c.sends)
			}
			x := r.explain("A", pim.Content)
			if x.Reason != c.reason || c.reason == jobs.ReasonNotPublished && (x.Until == nil || !strings.Contains(x.Text, "not published here until")) {
				t.Errorf("%+v", x)
			}
			r.offer("A", "8.88", 9) // nobody's business there
			r.settled("shop")
			r.offer("A", "9.99", 5)
			r.settled("shop")
			if got := sent(fake, "A")[before:]; len(got) != 1 {
				t.Errorf("told %v", got)
			}
			r.publish("A", "shop", 0, 0)
			r.settled("shop")
			back := sent(fake, "A")[before+1:]
			slices.Sort(back)
			if !slices.Equal(back, c.back) {
				t.Errorf("back by %v, want %v", back, c.back)
			}
			if r.settled("other"); slices.ContainsFunc(sent(other, "A")[elsewhere:], func(s string) bool { return s != "offer upsert" }) {
				t.Errorf("the other channel was told %v", sent(other, "A")[elsewhere:])
			}
			if x := r.explain("A", pim.Content); !x.Reason.Fine() || x.Reason == c.reason {
				t.Errorf("%+v", x)
			}
		})
	}
}

// Windows open and close by themselves.
func TestPublicationWindow(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	r.sweep = 200 * time.Millisecond
	fake := r.channel("shop", webhooktest.Options{}, nil)
	r.work()
	r.put([]pim.SKU{"A"}, title("A"))
	r.settled("shop")
	shows := func(want bool) {
		t.Helper()
		r.wait(fake, func(s webhooktest.State) bool {
			_, is := s.Listing("A", pim.Content)
			return is == want
		})
	}
	shows(true)
	r.publish("A", "shop", time.Hour, 0)
	shows(false)
	// Opened by the sweep; or, where all of this takes longer than that, by the change itself.
	r.publish("A", "shop", 1500*time.Millisecond, 0)
	shows(true)
	r.publish("A", "shop", 0, 1500*time.Millisecond)
	shows(false)
}

// A variant is published when its parent is, and it.
func TestPublicationOfParents(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.channel("shop", webhooktest.Options{}, nil)
	r.work()
	family, axes, parent := "thing", "by-colour", pim.SKU("P")
	for _, edits := range [][]postgres.Edit{
		{{SKU: parent, Mode: postgres.Put, Family: &family, FamilyVariant: &axes, Values: title("parent")}},
		{{SKU: "P-red", Mode: postgres.Put, Family: &family, Parent: &parent, Values: pim.Values{"colour": "red"}}},
	} {
		if res, err := r.store.Edit(r.ctx, "test", edits); err != nil || res[0].Err != nil {
			t.Fatal(res, err)
		}
	}
	r.settled("shop")
	is := func(when string, want bool) {
		t.Helper()
		r.settled("shop")
		if _, got := fake.Listing("P-red", pim.Content); got != want {
			t.Errorf("%s, the variant is there: %v", when, got)
		}
	}
	is("at first", true)
	r.publish("P", "shop", time.Hour, 0)
	is("with a closed parent", false)
	r.publish("P-red", "shop", -time.Hour, time.Hour)
	is("open, with a closed parent", false)
	r.publish("P", "shop", 0, 0)
	is("open", true)
	r.publish("P-red", "shop", 0, -time.Minute)
	is("closed", false)
	if _, there := fake.Listing("P", pim.Content); !there {
		t.Error("the parent left with its variant")
	}
}
