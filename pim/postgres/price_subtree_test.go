package postgres

import (
	"fmt"
	"testing"

	"github.com/sluicehub/sluice/pim"
)

// TestPriceRulesOfSubtrees: a rule for a category and those below it follows the
// tree, and touches nothing else.
func TestPriceRulesOfSubtrees(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	move := func(code, parent string) {
		t.Helper()
		if _, err := h.PutCategories(h.ctx, []pim.CategoryEdit{{Code: code, Parent: parent}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range [][2]string{{"tools", ""}, {"drills", "tools"}, {"hammer-drills", "drills"}, {"garden", ""}} {
		move(c[0], c[1])
	}
	for sku, category := range map[pim.SKU]string{"A": "hammer-drills", "B": "tools", "C": "garden", "D": "nowhere"} {
		e := thing(sku, Put, `{}`)
		e.Categories = &[]string{category}
		h.do(e)
		h.set(price(sku, "EUR", "10"))
	}
	h.list(pim.PriceList{Code: "dealer"})
	h.rule(`{"code":"t","price_list":"dealer","percent":-10,"subtrees":["tools"]}`)
	if n := h.number(`select count(*) from derive`); n != 2 {
		t.Errorf("%d products are looked at for the rule", n)
	}
	want := func(derived string) {
		t.Helper()
		for _, sku := range []pim.SKU{"A", "B", "C", "D"} {
			lines := []string{"default EUR 10"}
			for _, x := range derived {
				if string(sku) == string(x) {
					lines = []string{"dealer EUR 9.00 t", "default EUR 10"}
				}
			}
			h.wantPrices(sku, lines...)
		}
	}
	h.deriveAll()
	want("AB")
	for _, step := range []struct {
		code, parent, derived string
		changed               int64
	}{
		{"drills", "garden", "B", 1},
		{"garden", "drills", "B", 0}, // a circle is refused
		{"garden", "tools", "ABC", 2},
		{"nowhere", "garden", "ABCD", 1},
	} {
		_, err := h.PutCategories(h.ctx, []pim.CategoryEdit{{Code: step.code, Parent: step.parent}})
		if (err != nil) != (step.code == "garden" && step.parent == "drills") {
			t.Fatal(fmt.Errorf("%s below %s: %w", step.code, step.parent, err))
		}
		if n := h.deriveAll(); n != step.changed {
			t.Errorf("%s below %s changed %d products", step.code, step.parent, n)
		}
		want(step.derived)
	}
}
