package connectortest

import (
	"slices"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
)

// follows reports whether the kind can follow a policy.
func (r *run) follows(w pim.Withdrawal) bool {
	if !slices.Contains(r.h.Kind.Withdrawals, w) {
		r.Logf("the kind does not withdraw by %s", w)
		return false
	}
	return true
}

// stocked pushes all lanes of A and B, and gives what is held of A.
func (r *run) stocked() map[pim.Lane]string {
	held := map[pim.Lane]string{}
	for _, l := range r.lanes() {
		r.ok(r.upsert(l, "A", 1), r.upsert(l, "B", 1))
	}
	for _, l := range r.lanes() {
		held[l] = r.Held("A", l)
	}
	return held
}

// kept checks that the target holds as many products as before, A's content
// among them.
func (r *run) kept(records int) {
	r.Helper()
	if r.Records() != records || r.Held("A", pim.Content) == "" {
		r.Errorf("%d products are held, %d before; of A %q", r.Records(), records, r.Held("A", pim.Content))
	}
}

// reads checks what a Reader says of a tombstone.
func (r *run) reads(when string, item connectors.Item, done bool) {
	r.Helper()
	c, ok := r.Connector.(connectors.Reader)
	if !ok || !c.Readable().Has(item.Lane) {
		return
	}
	if h := r.readOK(c, item)[0]; (h.Presence == connectors.Absent) != done || h.Exact != done {
		r.Errorf("%s %s reads as %s (exact %v)", item.Action, when, h.Presence, h.Exact)
	}
}

func deletion(r *run) {
	if !r.follows(pim.WithdrawDelete) {
		return
	}
	r.ok(r.leave("UNKNOWN", 1, connectors.Delete))
	before := r.stocked()
	tombstone := r.leave("A", 2, connectors.Delete)
	if !r.h.Stays.Has(pim.Content) {
		r.reads("before", tombstone, false)
	}
	r.ok(tombstone)
	r.ok(tombstone)
	r.reads("after", tombstone, true)
	for _, l := range r.lanes() {
		r.withdrawn("A", l, before[l])
		if r.Held("B", l) == "" {
			r.Errorf("lane %s: the neighbour is gone", l)
		}
	}
}

func disabling(r *run) {
	if !r.follows(pim.WithdrawDisable) {
		return
	}
	tombstone := r.leave("A", 2, connectors.Disable)
	r.ok(tombstone)
	if r.Records() != 0 {
		r.Errorf("what was not there was made: %d products", r.Records())
	}
	r.stocked()
	records := r.Records()
	if !r.Shows("A") {
		r.Fatal("what was pushed is not shown")
	}
	r.reads("before", tombstone, false)
	r.ok(r.leave("A", 2, connectors.Disable), r.upsert(pim.Content, "B", 2))
	r.ok(tombstone)
	if r.Shows("A") || !r.Shows("B") {
		r.Errorf("disabled, A is shown: %v, its neighbour: %v", r.Shows("A"), r.Shows("B"))
	}
	if !r.h.Unheld {
		r.kept(records)
	}
	r.reads("after", tombstone, true)
	for _, l := range r.lanes() { // as the hub does it: the life at the target has ended
		r.ok(r.upsert(l, "A", 3))
	}
	if !r.Shows("A") || r.Records() != records {
		r.Errorf("back again, A is shown: %v, of %d products, %d before", r.Shows("A"), r.Records(), records)
	}
	r.reads("back again", tombstone, false)
}

func sellingOut(r *run) {
	if !r.follows(pim.WithdrawZeroStock) {
		return
	}
	tombstone := r.leave("A", 2, connectors.SellOut)
	r.ok(tombstone)
	if r.Records() != 0 || r.Held("A", pim.Offer) != "" {
		r.Errorf("what was not there was made: %d products, the offer %q", r.Records(), r.Held("A", pim.Offer))
	}
	before := r.stocked()
	records := r.Records()
	if !r.Sells("A") {
		r.Fatal("what was pushed cannot be bought")
	}
	r.reads("before", tombstone, false)
	r.ok(r.leave("A", 2, connectors.SellOut), r.upsert(pim.Offer, "B", 2))
	r.ok(tombstone)
	if r.Sells("A") || !r.Sells("B") {
		r.Errorf("sold out, A can be bought: %v, its neighbour: %v", r.Sells("A"), r.Sells("B"))
	}
	r.kept(records)
	for l, held := range before {
		if l != pim.Offer && r.Held("A", l) != held {
			r.Errorf("lane %s: sold out, %q became %q", l, held, r.Held("A", l))
		}
	}
	r.reads("after", tombstone, true)
	r.ok(r.upsert(pim.Offer, "A", 3))
	if !r.Sells("A") {
		r.Error("back again, it cannot be bought")
	}
	r.reads("back again", tombstone, false)
}

func withdrawal(r *run) {
	r.ok(r.withdraw("UNKNOWN", 1))
	for _, l := range r.lanes() {
		r.ok(r.upsert(l, "A", 1), r.upsert(l, "B", 1))
	}
	before := map[pim.Lane]string{}
	for _, l := range r.lanes() {
		before[l] = r.Held("A", l)
	}
	r.ok(r.upsert(pim.Content, "B", 2), r.withdraw("A", 2), r.upsert(pim.Content, "C", 1))
	for _, l := range r.lanes() {
		r.withdrawn("A", l, before[l])
		if r.Held("B", l) == "" {
			r.Errorf("lane %s: the neighbour is gone", l)
		}
	}
	if r.Held("C", pim.Content) == "" {
		r.Error("the third item of the call did not arrive")
	}
	r.ok(r.upsert(pim.Content, "A", 3))
	if r.Held("A", pim.Content) == "" {
		r.Error("it cannot come back after a withdrawal")
	}
}
