package postgres

import (
	"fmt"
	"testing"

	"github.com/sluicehub/sluice/pim"
)

// Who follows the log stops where it has as many events of its lanes as it looks at in
// a step, and passes all others at once.
func TestFollowPassesOtherLanes(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.do(thing("A", Put, `{}`))
	var ids []int64
	for i, lanes := range []int{2, 1, 2, 5, 2, 1, 2} {
		var id int64
		h.one(fmt.Sprintf(`insert into event (xid, product_id, rev, lanes, type, actor, data) values ('%d', %d, 1, %d, 'x', 'x', '{}') returning id`, 3+i/2, i, lanes), &id)
		ids = append(ids, id)
	}
	h.exec(`delete from event where type <> 'x'`)
	xid, id := "0", int64(0)
	for _, want := range []struct {
		upto     int
		products []int64
	}{{3, []int64{1, 3}}, {6, []int64{5}}} {
		args := following(xid, id, pim.LanesOf(pim.Content))
		args["limit"] = 2
		var products []int64
		if err := h.pool.QueryRow(h.ctx, sqlFollow, args).Scan(&xid, &id, &products); err != nil {
			t.Fatal(err)
		}
		if id != ids[want.upto] || fmt.Sprint(products) != fmt.Sprint(want.products) {
			t.Errorf("products %v up to %d, want %v up to %d", products, id, want.products, ids[want.upto])
		}
	}
	args := following(xid, id, pim.LanesOf(pim.Content))
	var none *string
	var products []int64
	var last *int64
	if err := h.pool.QueryRow(h.ctx, sqlFollow, args).Scan(&none, &last, &products); err != nil || none != nil || last != nil || len(products) != 0 {
		t.Errorf("behind the end: %v, %v, %v: %v", none, last, products, err)
	}
	args["xid"], args["id"], args["pass"] = "0", int64(0), 1
	if err := h.pool.QueryRow(h.ctx, sqlFollow, args).Scan(&none, &last, &products); err != nil || *last != ids[0] || len(products) != 0 {
		t.Errorf("one event: %v, %v: %v", last, products, err)
	}
}
