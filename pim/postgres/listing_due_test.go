package postgres

import (
	"testing"

	"github.com/sluicehub/sluice/pim"
)

// Nothing shows a listing as due before it became dirty.
func TestListingDue(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.channel("aa")
	h.do(thing("P", Put, `{}`))
	h.fanOut(h.lease(Consumer{Kind: Fanout}))
	for set, there := range map[string]bool{
		`due_at = now() - interval '1 hour'`: true, `due_at = now() + interval '1 hour'`: true,
		`due_at = 'infinity'`: false, `dirty = false, due_at = now()`: false,
	} {
		h.exec(`update listing set dirty = true, dirty_at = now() - interval '1 minute'`)
		h.exec(`update listing set ` + set)
		list, _, err := h.Listings(h.ctx, ListingFilter{Lane: pim.Content}, Page{})
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		l := list[0]
		if (l.DueAt != nil) != there || l.DueAt != nil && l.DueAt.Before(*l.DirtySince) {
			t.Errorf("%s: due at %v, dirty since %v", set, l.DueAt, l.DirtySince)
		}
	}
}

// While people edit, a claim that has somebody's edit leaves bulk to a later one, and
// says so; where there is nothing but bulk, it is claimed.
func TestClaimLeavesBulkAside(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.channel("aa")
	for _, sku := range []pim.SKU{"BULK-1", "BULK-2", "EDIT", "SOLD"} {
		h.do(thing(sku, Put, `{}`))
	}
	h.fanOut(h.lease(Consumer{Kind: Fanout}))
	drain := h.lease(Consumer{Kind: Drain, Channel: c.ID, Lane: pim.Content})
	claims := func(aside bool) (names string, left bool) {
		t.Helper()
		claim, err := h.Claim(h.ctx, drain, ClaimOptions{Limit: 3, Aside: aside})
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range claim.Items {
			names += string(i.SKU) + " "
		}
		return names, claim.Aside
	}
	h.exec(`update listing l set priority = case p.sku when 'EDIT' then 1 when 'SOLD' then 2 else 0 end, due_at = now() - (5 - p.id) * interval '1 second'
	        from product p where p.id = l.product_id`)
	if got, left := claims(true); got != "SOLD EDIT " || !left {
		t.Errorf("claimed with edits: %s(bulk left: %t)", got, left)
	}
	if got, left := claims(false); got != "SOLD EDIT BULK-1 " || left {
		t.Errorf("claimed without regard: %s(bulk left: %t)", got, left)
	}
	h.exec(`update listing set due_at = now() + interval '1 hour' where priority > 0`)
	if got, left := claims(true); got != "BULK-1 BULK-2 " || left {
		t.Errorf("claimed where there is but bulk: %s(bulk left: %t)", got, left)
	}
}
