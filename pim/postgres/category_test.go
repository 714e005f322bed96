package postgres

import (
	"errors"
	"slices"
	"testing"

	"github.com/sluicehub/sluice/pim"
)

// in is an edit of a thing in categories.
func in(sku pim.SKU, categories ...string) Edit {
	e := thing(sku, Put, `{}`)
	e.Categories = &categories
	return e
}

// plant makes categories of codes, each below the one before it.
func (h *house) plant(codes ...string) {
	h.Helper()
	above := ""
	for _, code := range codes {
		if _, _, err := h.PutCategory(h.ctx, pim.CategoryEdit{Code: code, Parent: above}, 0); err != nil {
			h.Fatal(err)
		}
		above = code
	}
}

func (h *house) listed(category string) (skus []pim.SKU) {
	h.Helper()
	list, _, err := h.Products(h.ctx, ProductFilter{Category: category}, Page{})
	if err != nil {
		h.Fatal(err)
	}
	for _, p := range list {
		skus = append(skus, p.SKU)
	}
	return skus
}

// A category's products are those of the categories below it, too, in lists and
// in commands; what is in use stays.
func TestCategories(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.channel("shop")
	if r := h.do(in("FREE", "anything"))[0]; len(r.Warnings) > 0 {
		t.Errorf("a house without a tree warns: %v", r.Warnings)
	}
	h.plant("sales", "shoes", "boots")
	h.plant("gifts")
	r := h.do(in("B", "boots", "gifts"), in("S", "shoes"), in("N", "nowhere"))
	if len(r[0].Warnings)+len(r[1].Warnings) != 0 || len(r[2].Warnings) != 1 || r[2].Warnings[0].Code != "category.unknown" || r[2].Warnings[0].Pointer != "/categories/0" {
		t.Errorf("warnings: %+v", r)
	}
	h.fanOut(h.lease(Consumer{Kind: Fanout}))
	for category, want := range map[string][]pim.SKU{"sales": {"B", "S"}, "boots": {"B"}, "gifts": {"B"}, "nowhere": {"N"}, "none": nil, "anything": {"FREE"}} {
		equal(t, category, h.listed(category), want)
		n, err := h.ResyncListings(h.ctx, ListingChoice{Channel: c.Code, Category: category, Lane: pim.Content}, false)
		if err != nil || int(n) != len(want) {
			t.Errorf("resync of %s: %d, %v", category, n, err)
		}
		survey, err := h.Survey(h.ctx, c.ID, ProductFilter{Category: category}, Page{})
		if err != nil || survey.products() != len(want) {
			t.Errorf("survey of %s: %v", category, err)
		}
	}
	boots := h.Schema().Tree.Category("boots")
	if _, _, err := h.PutCategory(h.ctx, pim.CategoryEdit{Code: "boots", Parent: "gifts"}, boots.Rev+1); !errors.Is(err, ErrStale) {
		t.Errorf("at another revision: %v", err)
	}
	if now, fresh, err := h.PutCategory(h.ctx, pim.CategoryEdit{Code: "boots", Parent: "gifts"}, boots.Rev); err != nil || fresh || now.Rev != boots.Rev+1 || !slices.Equal(now.Path, []string{"gifts", "boots"}) {
		t.Errorf("moved: %+v %v", now, err)
	}
	equal(t, "sales after the move", h.listed("sales"), []pim.SKU{"S"})
	for code, want := range map[string]error{"sales": ErrInUse, "boots": ErrInUse, "none": ErrNotFound} {
		if err := h.DeleteCategory(h.ctx, code, 0); !errors.Is(err, want) {
			t.Errorf("delete %s: %v", code, err)
		}
	}
	h.do(Edit{SKU: "B", Mode: Delete})
	if err := h.DeleteCategory(h.ctx, "boots", 99); !errors.Is(err, ErrStale) {
		t.Errorf("delete at another revision: %v", err)
	}
	if err := h.DeleteCategory(h.ctx, "boots", 0); err != nil || h.Schema().Tree.Category("boots") != nil {
		t.Errorf("delete: %v", err)
	}
	if other := h.open(); other.Schema().Tree.Len() != 3 {
		t.Errorf("another process knows %d", other.Schema().Tree.Len())
	}
}

// What a category is called, and where it stands, puts the listings on the road
// whose mapping shows it, and no others.
func TestTreeOnTheRoad(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	shows := h.channel("shows")
	h.channel("blind")
	h.exec(`update channel set marks_tree = 1 where id = $1`, shows.ID)
	h.plant("sales", "shoes", "boots")
	h.plant("gifts")
	h.do(in("B", "boots"), in("S", "shoes"), in("G", "gifts"), in("0"))
	l := h.lease(Consumer{Kind: Fanout})
	h.fanOut(l)
	first := 0
	for _, c := range []struct {
		name string
		edit pim.CategoryEdit
		want []string
	}{
		{"a label", pim.CategoryEdit{Code: "boots", Parent: "shoes", Labels: map[pim.Locale]string{"en-GB": "Boots"}}, []string{"B"}},
		{"the same label", pim.CategoryEdit{Code: "boots", Parent: "shoes", Labels: map[pim.Locale]string{"en-GB": "Boots"}}, nil},
		{"a label above", pim.CategoryEdit{Code: "sales", Labels: map[pim.Locale]string{"en-GB": "Sales"}}, []string{"B", "S"}},
		{"a position", pim.CategoryEdit{Code: "gifts", Position: &first}, nil},
		{"a move", pim.CategoryEdit{Code: "shoes", Parent: "gifts"}, []string{"B", "S"}},
		{"a new one", pim.CategoryEdit{Code: "new", Parent: "gifts"}, nil},
	} {
		h.exec(`update listing set dirty = false`)
		if _, _, err := h.PutCategory(h.ctx, c.edit, 0); err != nil {
			t.Fatal(err)
		}
		h.fanOut(l)
		var dirty []string
		h.one(`select coalesce(array_agg(p.sku order by p.sku), '{}') from listing l join product p on p.id = l.product_id join channel c on c.id = l.channel_id where l.dirty and c.code = 'shows'`, &dirty)
		equal(t, c.name, dirty, c.want)
		if n := h.number(`select count(*) from listing l join channel c on c.id = l.channel_id where l.dirty and (c.code = 'blind' or l.lane <> 1)`); n != 0 {
			t.Errorf("%s: %d others are marked", c.name, n)
		}
	}
	if n := h.number(`select count(*) from tree_change`); n != 0 {
		t.Errorf("%d changes are left", n)
	}
}

// An edit that did not know of a change, and was stored while it was made, is
// found by whoever looks at the change afterwards.
func TestTreeChangeFindsLateEdits(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.channel("shows")
	h.exec(`update channel set marks_tree = 1 where id = $1`, c.ID)
	h.plant("boots")
	l := h.lease(Consumer{Kind: Fanout})
	tx := h.begin() // the change, as far as its commit
	if _, err := tx.Exec(h.ctx, `insert into tree_change (lanes, codes) values (8, '{boots}')`); err != nil {
		t.Fatal(err)
	}
	h.do(in("B", "boots"))
	h.fanOut(l)
	h.exec(`update listing set dirty = false`)
	if n, err := h.OpenTreeChanges(h.ctx); err != nil || n != 0 {
		t.Errorf("before the commit: %d, %v", n, err)
	}
	if err := tx.Commit(h.ctx); err != nil {
		t.Fatal(err)
	}
	if n, err := h.OpenTreeChanges(h.ctx); err != nil || n != 1 {
		t.Errorf("after it: %d, %v", n, err)
	}
	h.fanOut(l)
	if n := h.number(`select count(*) from listing where dirty`); n != 1 {
		t.Errorf("%d listings are marked", n)
	}
}

// A channel's category root is there, as long as the channel is: neither is a channel
// made with one that is gone, nor is it deleted below a channel. Another one has all
// listings looked at again.
func TestCategoryRoot(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.plant("sales", "shoes")
	h.plant("gifts")
	shop := h.channel("shop")
	unknown := func(err error) {
		t.Helper()
		invalid, ok := errors.AsType[*pim.Invalid](err)
		if !ok || len(invalid.Problems) != 1 || invalid.Problems[0].Pointer != "/category_root" || invalid.Problems[0].Code != "category.unknown" {
			t.Errorf("a root that is not there: %v", err)
		}
	}
	other := *shop
	other.Code, other.CategoryRoot = "other", "hats"
	_, err := h.CreateChannel(h.ctx, other)
	unknown(err)
	gone := *shop
	gone.CategoryRoot = "hats"
	_, err = h.UpdateChannel(h.ctx, gone)
	unknown(err)

	l := h.lease(Consumer{Kind: Fanout})
	mark := func() int {
		t.Helper()
		n := 0
		for {
			m, err := h.MarkChannel(h.ctx, l, 100)
			if err != nil {
				t.Fatal(err)
			}
			for _, listings := range m.Listings {
				n += listings
			}
			if m.Taken == 0 {
				return n
			}
		}
	}
	h.do(in("S", "shoes"))
	h.fanOut(l)
	mark()
	for _, root := range []string{"gifts", "shoes", ""} {
		shop.CategoryRoot = root
		if shop, err = h.UpdateChannel(h.ctx, *shop); err != nil || shop.CategoryRoot != root {
			t.Fatalf("%+v, %v", shop, err)
		}
		if n := mark(); n != 1 {
			t.Errorf("another root, %q: %d listings are marked", root, n)
		}
		if shop, err = h.UpdateChannel(h.ctx, *shop); err != nil || mark() != 0 {
			t.Errorf("the same root, %q: listings are marked (%v)", root, err)
		}
	}
	shop.CategoryRoot = "gifts"
	if _, err = h.UpdateChannel(h.ctx, *shop); err != nil {
		t.Fatal(err)
	}
	if err := h.DeleteCategory(h.ctx, "gifts", 0); !errors.Is(err, ErrInUse) {
		t.Errorf("the root of a channel: %v", err)
	}
	if err := h.DeleteChannel(h.ctx, "shop", 0); err != nil {
		t.Fatal(err)
	}
	if err := h.DeleteCategory(h.ctx, "gifts", 0); err != nil {
		t.Errorf("the root of a deleted channel: %v", err)
	}
}
