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
