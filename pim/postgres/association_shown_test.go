package postgres

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// Who is associated with a product that comes or goes is on the road, where a mapping
// shows that, and nobody else.
func TestAssociatedProductsComeAndGo(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.linkTypes()
	c := h.channel("shop")
	h.exec(`update channel set marks_associations = 1 where id = $1`, c.ID)
	for _, sku := range []pim.SKU{"A", "B", "C", "D"} {
		h.names(sku, pim.Values{"colour": "red"})
	}
	h.link(Patch, "A", map[string]string{"UP": "B NEW"})
	h.link(Patch, "B", map[string]string{"PAIR": "C"})
	road := func(what string, want ...string) {
		t.Helper()
		rows, err := h.pool.Query(h.ctx, `select distinct p.sku from outbox o join product p on p.id = o.product_id where o.lanes = 32 order by 1`)
		if err != nil {
			t.Fatal(err)
		}
		got, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v are on the road, not %v (%v)", what, got, want, err)
		}
		h.exec(`delete from outbox`)
	}
	road("associations themselves")
	off, on := false, true
	edit := func(e Edit) {
		t.Helper()
		family := "thing"
		e.Family = &family
		if res, err := h.Edit(h.ctx, "ann", []Edit{e}); err != nil || res[0].Err != nil {
			t.Fatal(err, res[0].Err)
		}
	}
	edit(Edit{SKU: "B", Mode: Patch, Enabled: &off})
	road("disabled", "A", "C")
	if shown, err := h.ShownAssociations(h.ctx, c.ID, []string{"A", "C"}); err != nil || len(shown) != 0 {
		t.Errorf("a disabled product is shown: %v %v", shown, err)
	}
	edit(Edit{SKU: "B", Mode: Patch, Enabled: &on})
	road("enabled", "A", "C")
	edit(Edit{SKU: "B", Mode: Patch, Values: pim.Values{"colour": "blue"}})
	road("another edit")
	edit(Edit{SKU: "B", Mode: Delete})
	road("deleted", "A", "C")
	if got := h.links("C"); got != `{"PAIR":["B"]}` {
		t.Errorf("who is associated with a deleted product: %s", got)
	}
	edit(Edit{SKU: "B", Mode: Put})
	road("back", "A", "C")
	if b, c := h.links("B"), h.links("C"); b != `{"PAIR":["C"]}` || c != `{"PAIR":["B"]}` {
		t.Errorf("back: %s, %s", b, c)
	}
	edit(Edit{SKU: "NEW", Mode: Put})
	road("new", "A")
	edit(Edit{SKU: "D", Mode: Delete})
	road("one that nobody is associated with")
}

// A variant is sold as long as its parent is: who is associated with it is shown no other,
// and is on the road when its parent comes or goes.
func TestAssociatedVariantsGoWithTheirParents(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.linkTypes()
	h.do(parent("CUP"))
	h.do(variant("CUP-RED", "CUP", `{"colour":"red"}`))
	c := h.channel("shop")
	h.exec(`update channel set marks_associations = 1 where id = $1`, c.ID)
	h.names("A", pim.Values{"colour": "red"})
	h.link(Patch, "A", map[string]string{"UP": "CUP-RED"})
	for _, on := range []bool{false, true} {
		h.exec(`delete from outbox`)
		if res, err := h.Edit(h.ctx, "ann", []Edit{{SKU: "CUP", Mode: Patch, Enabled: &on}}); err != nil || res[0].Err != nil {
			t.Fatal(err, res[0].Err)
		}
		shown, err := h.ShownAssociations(h.ctx, c.ID, []string{"A"})
		if err != nil || (len(shown["A"]["UP"]) == 1) != on {
			t.Errorf("its parent enabled %v: %v, %v", on, shown, err)
		}
		if got := h.onTheRoad(touchAssociated); !slices.Equal(got, []string{"A"}) {
			t.Errorf("its parent enabled %v: %v are on the road", on, got)
		}
	}
}

// A variant that moves below a sub-model which is not sold is shown no longer; a
// sub-model never is.
func TestAssociatedVariantsMove(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.deep()
	h.linkTypes()
	shop := h.channel("shop")
	h.exec(`update channel set marks_associations = 1 where id = $1`, shop.ID)
	h.do(model("R", "two", `{}`))
	h.do(below("red", "R", `{"colour":"red"}`), below("blue", "R", `{"colour":"blue"}`), Edit{SKU: "A", Mode: Put, Family: ptr("deep")})
	h.do(below("v", "red", `{"count":1}`), Edit{SKU: "blue", Mode: Patch, Enabled: ptr(false)})
	h.link(Patch, "A", map[string]string{"UP": "R red v"})
	for _, c := range []struct {
		to   pim.SKU
		want string
	}{{"blue", "R"}, {"red", "R v"}} {
		h.exec(`delete from outbox`)
		move := thing("v", Patch, `{}`)
		move.Parent = &c.to
		h.do(move)
		shown, err := h.ShownAssociations(h.ctx, shop.ID, []string{"A"})
		var got []string
		for _, a := range shown["A"]["UP"] {
			got = append(got, string(a.SKU))
		}
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("below %s: %v are shown, want %s; %v", c.to, got, c.want, err)
		}
		if got := h.onTheRoad(touchAssociated); !slices.Equal(got, []string{"A"}) {
			t.Errorf("below %s: %v are on the road", c.to, got)
		}
	}
}

// What is not published on a channel is shown as nobody's associate there, nor is a
// variant of it, and who is associated with it is on the road when that changes.
func TestAssociatesOfWhatIsNotPublished(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.linkTypes()
	h.do(parent("CUP"))
	h.do(variant("CUP-RED", "CUP", `{"colour":"red"}`))
	shop, other := h.channel("shop"), h.channel("other")
	h.exec(`update channel set marks_associations = 1 where id = $1`, shop.ID)
	h.names("A", pim.Values{"colour": "red"})
	h.names("B", pim.Values{"colour": "red"})
	h.link(Patch, "A", map[string]string{"UP": "CUP-RED"})
	shown := func(what string, road []string, on bool) {
		t.Helper()
		for _, c := range []*Channel{shop, other} {
			got, err := h.ShownAssociations(h.ctx, c.ID, []string{"A", "B"})
			if want := on || c == other; err != nil || (len(got["A"]["UP"]) == 1) != want || len(got["B"]) != 0 {
				t.Errorf("%s: %s shows %v, %v", what, c.Code, got, err)
			}
		}
		if got := h.onTheRoad(touchAssociated); !slices.Equal(got, road) {
			t.Errorf("%s: %v are on the road, not %v", what, got, road)
		}
		h.exec(`delete from outbox`)
	}
	later, past := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	window := func(sku pim.SKU, from *time.Time) {
		t.Helper()
		row := pim.PublicationRow{SKU: sku, Publication: pim.Publication{Channel: "shop", From: from}, Delete: from == nil}
		if res, err := h.SetPublications(h.ctx, "test", []pim.PublicationRow{row}, Idempotency{}); err != nil || res[0].Status != RowChanged {
			t.Fatal(res, err)
		}
	}
	window("B", &later)
	shown("a window of one that nobody is associated with", nil, true)
	window("CUP", &later)
	shown("its model is not published yet", []string{"A"}, false)
	window("CUP", &past)
	shown("published", []string{"A"}, true)
	window("CUP-RED", &later)
	shown("not published yet itself", []string{"A"}, false)
	h.exec(`update publication set publish_from = now() - interval '1 minute' where publish_from > now()`)
	h.exec(`update catalogue set published_until = now() - interval '30 minutes'`)
	if n, err := h.OpenPublications(h.ctx); err != nil || n != 2 {
		t.Fatal(n, err)
	}
	if n, err := h.OpenAssociationChanges(h.ctx); err != nil || n != 1 {
		t.Errorf("%d are on the road, %v", n, err)
	}
	shown("a window has opened", []string{"A"}, true)
}

// onTheRoad are the SKUs of the outbox rows that say nothing but lanes.
func (h *house) onTheRoad(lanes int) []string {
	h.Helper()
	rows, err := h.pool.Query(h.ctx, `select p.sku from outbox o join product p on p.id = o.product_id where o.lanes = $1 order by 1`, lanes)
	if err != nil {
		h.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		h.Fatal(err)
	}
	return got
}
