package postgres

import (
	"errors"
	"testing"
	"time"

	"github.com/sluicehub/sluice/pim"
)

// only is a list of sku, of none for "".
func only(sku pim.SKU) []pim.SKU {
	if sku == "" {
		return nil
	}
	return []pim.SKU{sku}
}

// Each part of a choice narrows it, and parts narrow each other.
func TestChoiceOfListings(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.channel("aa")
	h.channel("bb")
	h.do(thing("A", Put, `{}`), thing("B", Put, `{}`), thing("C", Put, `{}`))
	h.fanOut(h.lease(Consumer{Kind: Fanout}))
	h.exec(`insert into family (code, definition) select 'other', definition from family where code = 'thing' on conflict do nothing`)
	h.exec(`update product set family = 'other', updated_at = now() + interval '2 days' where sku = 'B'`)
	h.exec(`update product set categories = '{shoes,hats}' where sku in ('B', 'C')`)
	reset := func() {
		h.exec(`update listing set dirty = false, status = 'accepted', acked_hash = 'x', error = null, issues = null, born = 7`)
		h.exec(`update listing set error = 'no', issues = '[{"code": "ean.bad", "severity": "error", "text": "x"}]' where product_id = (select id from product where sku = 'C')`)
		h.exec(`update listing set status = 'live' where product_id = (select id from product where sku = 'A')`)
	}
	h.exec(`insert into drift (channel_id, product_id, lane, kind) select c.id, p.id, 1, 'changed' from channel c, product p where c.code = 'aa' and p.sku in ('B', 'C') or c.code = 'bb'`)
	soon := time.Now().Add(24 * time.Hour)
	where := func(text string) *pim.Filter {
		f, err := pim.ParseFilter(text)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	h.weighed()
	for name, c := range map[string]struct {
		choice ListingChoice
		want   int64
	}{
		"all":                 {ListingChoice{}, 3},
		"SKUs":                {ListingChoice{SKUs: []pim.SKU{"A", "C", "none"}}, 2},
		"family":              {ListingChoice{Family: "other"}, 1},
		"category":            {ListingChoice{Category: "hats"}, 2},
		"category and family": {ListingChoice{Category: "hats", Family: "thing"}, 1},
		"state":               {ListingChoice{State: pim.StateLive}, 1},
		"parked":              {ListingChoice{State: pim.StateRejected}, 1},
		"parked of SKUs":      {ListingChoice{State: pim.StateRejected, SKUs: []pim.SKU{"A"}}, 0},
		"issue":               {ListingChoice{Issue: "ean.bad"}, 1},
		"another issue":       {ListingChoice{Issue: "ean"}, 0},
		"lane":                {ListingChoice{Lane: pim.Content}, 3},
		"another lane":        {ListingChoice{Lane: pim.Media}, 0},
		"updated":             {ListingChoice{Updated: soon}, 1},
		"drifted":             {ListingChoice{Drifted: true}, 2},
		"drifted of a family": {ListingChoice{Drifted: true, Family: "thing"}, 1},
		"drifted of SKUs":     {ListingChoice{Drifted: true, SKUs: []pim.SKU{"A", "B"}}, 1},
		"filter":              {ListingChoice{Where: where(`family = thing and completeness.aa = 100 and completeness.aa.de-DE = 100 and listing.aa.issue = ean.bad`)}, 1},
		"filter of SKUs":      {ListingChoice{Where: where(`sku in (B, C) and parent is empty`), SKUs: []pim.SKU{"A", "C"}}, 1},
		"filter of parked":    {ListingChoice{Where: where(`not listing.bb.state = live or sku = none`), State: pim.StateRejected}, 1},
		"filter of drifted":   {ListingChoice{Where: where(`category = hats`), Drifted: true}, 2},
	} {
		reset()
		c.choice.Channel = "aa"
		n, err := h.ResyncListings(h.ctx, c.choice, false)
		if err != nil || n != c.want {
			t.Errorf("%s: %d resynced (%v), want %d", name, n, err, c.want)
		}
		if dirty := h.number(`select count(*) from listing where dirty and due_at <= now() and acked_hash = 'x'`); dirty != n {
			t.Errorf("%s: %d marked", name, dirty)
		}
		if other := h.number(`select count(*) from listing l join channel c on c.id = l.channel_id where c.code = 'bb' and dirty`); other != 0 {
			t.Errorf("%s: another channel's were marked", name)
		}
		reset()
		want := int64(0) // C is what is parked
		if c.want > 0 && name != "family" && name != "state" && name != "updated" && name != "parked of SKUs" && name != "drifted of SKUs" {
			want = 1
		}
		c.choice.State = ""
		if name == "state" {
			want = 1
		}
		if n, err := h.RetryListings(h.ctx, c.choice); err != nil || n != want {
			t.Errorf("%s: %d retried (%v), want %d", name, n, err, want)
		}
	}
	var wrong *pim.FilterError
	if _, err := h.ResyncListings(h.ctx, ListingChoice{Channel: "aa", Where: where(`values.none = 1`)}, false); !errors.As(err, &wrong) {
		t.Error(err)
	}
	for what, do := range map[string]func(ListingChoice) (int64, error){
		"resync": func(c ListingChoice) (int64, error) { return h.ResyncListings(h.ctx, c, true) },
		"retry":  func(c ListingChoice) (int64, error) { return h.RetryListings(h.ctx, c) },
	} {
		if _, err := do(ListingChoice{Channel: "nope"}); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s of no channel: %v", what, err)
		}
	}
}

// A full resync of some listings sends them whatever was acknowledged, also what
// was under way when it was asked for; what was withdrawn stays withdrawn.
func TestFullResyncOfSome(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ch := h.channel("aa")
	h.do(thing("A", Put, `{}`), thing("B", Put, `{}`), thing("C", Put, `{}`))
	h.fanOut(h.lease(Consumer{Kind: Fanout}))
	h.exec(`update listing set dirty = false, status = 'withdrawn', acked_hash = 'gone', born = -7 where product_id = (select id from product where sku = 'C')`)
	drain := h.lease(Consumer{Kind: Drain, Channel: ch.ID, Lane: pim.Content})
	claim, err := h.Claim(h.ctx, drain, ClaimOptions{Limit: 10})
	if err != nil || len(claim.Items) != 2 {
		t.Fatal(len(claim.Items), err)
	}
	if n, err := h.ResyncListings(h.ctx, ListingChoice{Channel: "aa", Lane: pim.Content}, true); err != nil || n != 3 {
		t.Fatal(n, err)
	}
	outcomes := make([]Outcome, 2)
	for i, item := range claim.Items {
		outcomes[i] = Outcome{Product: item.Product, Want: item.Want, Ack: true, Heard: true, Rev: item.Rev, Hash: []byte("h"), Status: "accepted", Born: 3}
	}
	token := "t"
	outcomes[1].Ack, outcomes[1].Again, outcomes[1].Hash, outcomes[1].Token, outcomes[1].SentHash, outcomes[1].SentWant = false, true, nil, &token, []byte("h"), outcomes[1].Want
	if _, _, err := h.Receive(h.ctx, drain, outcomes); err != nil {
		t.Fatal(err)
	}
	if n := h.number(`select count(*) from listing where dirty and acked_hash = '' and sent_hash is null`); n != 2 {
		t.Errorf("%d of 2 listings are still to be sent: what was under way counts as the answer to the resync", n)
	}
	if n := h.number(`select count(*) from listing where acked_hash = 'gone' and born = -7`); n != 1 {
		t.Error("what was withdrawn would be withdrawn again")
	}
	claim, err = h.Claim(h.ctx, drain, ClaimOptions{Limit: 10})
	if err != nil || len(claim.Items) != 3 {
		t.Fatal(len(claim.Items), err)
	}
	done := Outcome{Product: claim.Items[0].Product, Want: claim.Items[0].Want, Ack: true, Heard: true, Rev: 1, Hash: []byte("h"), Born: 4}
	if _, _, err := h.Receive(h.ctx, drain, []Outcome{done}); err != nil {
		t.Fatal(err)
	}
	if n := h.number(`select count(*) from listing where not dirty and acked_hash = 'h'`); n != 1 {
		t.Error("what was sent since does not count")
	}
}
