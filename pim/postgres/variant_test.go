package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluicehub/sluice/pim"
)

func TestVariants(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.do(parent("P"), thing("single", Put, `{}`))
	h.do(variant("red", "P", `{"colour":"red"}`))
	other := variant("x", "P", `{"colour":"x"}`)
	other.Family = ptr("other")
	for i, c := range []struct {
		edit Edit
		want string
	}{
		{variant("x", "P", `{"colour":"red"}`), "axis.taken /values"},
		{variant("x", "P", `{}`), "axis.missing /values/colour"},
		{variant("x", "P", `{"count":"many"}`), "value.type /values/count, axis.missing /values/colour"},
		{variant("x", "P", `{"colour":5}`), "value.type /values/colour"},
		{variant("x", "nobody", `{}`), "parent.unknown /parent"},
		{variant("x", "single", `{"colour":"x"}`), "parent.axes /parent"},
		{variant("x", "red", `{"colour":"x"}`), "parent.variant /parent"},
		{variant("x", "x", `{"colour":"x"}`), "parent.unknown /parent"},
		{other, "family.parent /family"},
		{variant("red", "single", `{"colour":"red"}`), "parent.fixed /parent"},
		{variant("red", "", `{"colour":"red"}`), "parent.fixed /parent"},
		{Edit{SKU: "red", Mode: Patch, Family: ptr("other")}, "family.parent /family"},
		{thing("red", Patch, `{"colour":null}`), "axis.missing /values/colour"},
		{Edit{SKU: "P", Mode: Patch, Family: ptr("other")}, "family_variant.unknown /family_variant, family.variants /family"},
		{Edit{SKU: "P", Mode: Patch, FamilyVariant: ptr("by-count")}, "family_variant.variants /family_variant"},
		{Edit{SKU: "P", Mode: Patch, FamilyVariant: ptr("")}, "family_variant.variants /family_variant"},
		{Edit{SKU: "P", Mode: Delete}, "product P has variants: is still in use"},
		{Edit{SKU: "P", Mode: Put, Family: ptr("thing")}, "<nil>"}, // leaves what is fixed, as a variant's parent
		{thing("red", Put, `{"colour":"green"}`), "<nil>"},
		{variant("x", "P", `{"colour":"red"}`), "<nil>"},
		{thing("red", Patch, `{"colour":"red"}`), "axis.taken /values"},
	} {
		if got := strings.Join(problemsOf(h.edit(c.edit).Err), ", "); got != c.want {
			t.Errorf("%d: %s, want %s", i, got, c.want)
		}
	}
	if p := h.product("P"); p.FamilyVariant != "by-colour" {
		t.Errorf("the parent's family variant became %q", p.FamilyVariant)
	}
	if p := h.product("red"); p.Parent != "P" || p.Inherited.Parent == nil {
		t.Errorf("%+v", p)
	}

	// One batch knows its own edits.
	results, err := h.Edit(h.ctx, "tester", []Edit{
		parent("Q"), variant("q", "Q", `{"colour":"a"}`), // not there yet: parents come first
		variant("a", "P", `{"colour":"a"}`), variant("b", "P", `{"colour":"a"}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"<nil>", "parent.unknown /parent", "<nil>", "axis.taken /values"} {
		if got := strings.Join(problemsOf(results[i].Err), ", "); got != want {
			t.Errorf("batch, %d: %s, want %s", i, got, want)
		}
	}
	results, err = h.Edit(h.ctx, "tester", []Edit{{SKU: "Q", Mode: Delete}, variant("q", "Q", `{"colour":"a"}`)})
	if err != nil || results[0].Err != nil {
		t.Fatal(err, results)
	}
	equal(t, "a variant of what goes in the same batch", problemsOf(results[1].Err), []string{"parent.unknown /parent"})
	h.do(parent("Q"))
	results, err = h.Edit(h.ctx, "tester", []Edit{variant("q", "Q", `{"colour":"a"}`), {SKU: "Q", Mode: Delete}})
	if err != nil || results[0].Err != nil || !errors.Is(results[1].Err, ErrInUse) {
		t.Fatal(err, results)
	}
}

// Variants with the same axes, made at once: one is there, the others are told
// whose the axes are.
func TestConcurrentVariantsKeepTheirAxes(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.do(parent("P"))
	for round := range 5 {
		var wg sync.WaitGroup
		results := make([]EditResult, 8)
		for i := range results {
			wg.Go(func() {
				results[i] = h.edit(variant(pim.SKU(fmt.Sprintf("v-%d-%d", round, i)), "P", fmt.Sprintf(`{"colour":"c%d"}`, round)))
			})
		}
		wg.Wait()
		made := 0
		for _, r := range results {
			if r.Err == nil {
				made++
			} else if got := problemsOf(r.Err)[0]; got != "axis.taken /values" {
				t.Errorf("%s: %v", r.SKU, r.Err)
			}
		}
		if made != 1 {
			t.Errorf("round %d: %d variants with the same axes", round, made)
		}
	}
}

// A parent that goes, or changes what its variants differ in, while a variant
// comes: one of both is refused, whichever way they meet.
func TestConcurrentParentAndVariant(t *testing.T) {
	t.Parallel()
	for name, e := range map[string]Edit{
		"deleted": {SKU: "P", Mode: Delete},
		"changed": {SKU: "P", Mode: Patch, FamilyVariant: ptr("by-count")},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			both := 0
			for range 30 {
				h.do(parent("P"))
				var of, as EditResult
				var wg sync.WaitGroup
				wg.Go(func() { of = h.edit(e) })
				wg.Go(func() { as = h.edit(variant("v", "P", `{"colour":"red"}`)) })
				wg.Wait()
				if of.Err == nil && as.Err == nil {
					t.Fatal("both succeeded")
				}
				if of.Err != nil && as.Err != nil {
					both++ // legal, but must not be the rule
				}
				for _, sku := range []pim.SKU{"v", "P"} {
					if r := h.edit(Edit{SKU: sku, Mode: Delete}); r.Err != nil && !errors.Is(r.Err, ErrNotFound) {
						t.Fatal(r.Err)
					}
				}
			}
			if both > 15 {
				t.Errorf("both were refused in %d of 30 rounds", both)
			}
		})
	}
}

// The same, held open at the worst moment: the variant is written and not yet
// committed when its parent is to be deleted.
func TestParentWaitsForAVariantInFlight(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.do(parent("P"))
	tx := h.begin()
	if err := h.within(tx, variant("v", "P", `{"colour":"red"}`)); err != nil {
		t.Fatal(err)
	}
	done := make(chan EditResult)
	go func() { done <- h.edit(Edit{SKU: "P", Mode: Delete}) }()
	h.blocked(1)
	if err := tx.Commit(h.ctx); err != nil {
		t.Fatal(err)
	}
	if r := <-done; !errors.Is(r.Err, ErrInUse) {
		t.Errorf("the parent of a new variant was deleted: %+v", r)
	}
}

// Prices and stock wait for no editor: an edit's lock is not in their way, who
// look at no product's row but to read it.
func TestOffersWaitForNoEditor(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.do(thing("A", Put, `{}`))
	tx := h.begin()
	if err := h.within(tx, thing("A", Patch, `{"count":1}`)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(h.ctx, 10*time.Second) // only a failure takes that long
	defer cancel()
	rows, err := h.SetStock(ctx, "erp", []pim.StockRow{stock("A", 1)}, Idempotency{})
	if err != nil || rows[0].Status != RowChanged {
		t.Errorf("stock beside an open edit: %v, %v", rows, err)
	}
}

// A variant's revisions as targets see them never fall: not when it is deleted
// under a parent with many revisions, nor when it comes back elsewhere.
func TestVariantRevisionsNeverFall(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.channel("shop")
	h.do(parent("P"), parent("R"), thing("other", Put, `{}`))
	h.do(variant("v", "P", `{"colour":"red","picture":"https://x/v.jpg"}`))
	fan, content := h.lease(Consumer{Kind: Fanout}), h.lease(Consumer{Kind: Drain, Channel: c.ID, Lane: pim.Content})
	last := [2]int64{}
	look := func(what string) {
		t.Helper()
		h.fanOut(fan)
		claim, err := h.Claim(h.ctx, content, ClaimOptions{Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range claim.Items {
			if item.SKU != "v" {
				continue
			}
			now := [2]int64{item.Rev, item.MediaRev}
			if now[0] <= last[0] || now[1] < last[1] {
				t.Errorf("%s: revisions went from %v to %v", what, last, now)
			}
			last = now
			if (item.Parent == "") != (item.Variant == "") || item.Parent != "" && item.Variant != "by-colour" {
				t.Errorf("%s: a variant of %q by %q", what, item.Parent, item.Variant)
			}
			return
		}
		t.Errorf("%s: the variant's content is not to be sent", what)
	}
	look("created")
	for i := range 5 {
		h.do(thing("P", Patch, fmt.Sprintf(`{"count":%d,"picture":"https://x/%d.jpg"}`, i, i)))
		look("the parent changed")
	}
	h.do(Edit{SKU: "v", Mode: Delete})
	look("deleted")
	h.do(variant("v", "R", `{"colour":"red"}`))
	look("revived under another parent")
	h.do(thing("R", Patch, `{"picture":"https://x/r.jpg"}`))
	look("that parent changed")
	h.do(Edit{SKU: "v", Mode: Delete})
	look("deleted again")
	h.do(thing("v", Put, `{}`))
	look("revived without a parent")
	h.do(Edit{SKU: "v", Mode: Delete})
	look("deleted once more")
	h.do(variant("v", "P", `{"colour":"red"}`))
	look("back under the first")
	h.do(Edit{SKU: "v", Mode: Delete})
	h.do(variant("v", "P", `{"colour":"red"}`))
	look("deleted and revived under the same parent")
}
