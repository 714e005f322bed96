package postgres

import (
	"errors"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/pim"
)

// An edit by which a product leaves its parents locks those before it, as their ids
// are: who waits for one of them keeps nobody from what is behind.
func TestLeavingLocksParentsInOrder(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.deep()
	h.linkTypes()
	links := linksOf(map[string]string{"UP": "R"})
	for name, c := range map[string]struct {
		edit Edit
		held pim.SKU
	}{
		"deletion of a sub-model": {Edit{SKU: "blue", Mode: Delete}, "R"},
		"move":                    {Edit{SKU: "v", Mode: Patch, Parent: ptr(pim.SKU("blue")), Associations: &links}, "red"},
	} {
		h.do(model("R", "two", `{}`))
		h.do(below("red", "R", `{"colour":"red"}`), below("blue", "R", `{"colour":"blue"}`))
		h.do(below("v", "red", `{"count":1}`))
		other := h.begin()
		if _, err := other.Exec(h.ctx, `select from product where sku = $1 for no key update`, c.held); err != nil {
			t.Fatal(err)
		}
		done := make(chan EditResult, 1)
		go func() { done <- h.edit(c.edit) }()
		h.blocked(1)
		if _, err := other.Exec(h.ctx, `select from product where sku = $1 for no key update nowait`, c.edit.SKU); err != nil {
			t.Errorf("%s: it waits for %s with %s locked: %v", name, c.held, c.edit.SKU, err)
		}
		if err := other.Rollback(h.ctx); err != nil {
			t.Fatal(err)
		}
		if r := <-done; r.Err != nil {
			t.Errorf("%s: %v", name, r.Err)
		}
	}
}

// In one call a sub-model does not go from above a variant that moves below it.
func TestMoveBesideDeletion(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.deep()
	h.do(model("R", "two", `{}`))
	h.do(below("red", "R", `{"colour":"red"}`), below("blue", "R", `{"colour":"blue"}`))
	h.do(below("v", "red", `{"count":1}`))
	move := thing("v", Patch, `{}`)
	move.Parent = ptr(pim.SKU("blue"))
	results, err := h.Edit(h.ctx, "ann", []Edit{move, {SKU: "blue", Mode: Delete}})
	if err != nil || results[0].Err != nil || !errors.Is(results[1].Err, ErrInUse) {
		t.Fatalf("%+v, %v", results, err)
	}
	if p := h.product("v"); p.Parent != "blue" {
		t.Errorf("it stands below %q", p.Parent)
	}
}

// What another family has of lower levels is held against all values of a product
// that comes into it, also where both call their family variants alike.
func TestLevelsOfAnotherFamily(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.deep()
	f := deepFamily()
	f.Code, f.Variants = "flat", []pim.FamilyVariant{{Code: "two", Axes: []string{"colour"}}}
	h.ok(h.ChangeSchema(h.ctx, SchemaChange{Families: []pim.Family{f}}))
	e := model("R", "two", `{"name":{"en-GB":"Shirt"},"loose":"x"}`)
	e.Family = ptr("flat")
	h.do(e)
	equal(t, "what is of a level below", problemsOf(h.edit(Edit{SKU: "R", Mode: Patch, Family: ptr("deep")}).Err), []string{"value.level /values/loose"})
	h.do(Edit{SKU: "R", Mode: Patch, Family: ptr("deep"), Values: pim.Values{"loose": nil}})
}

// What comes below a model that an earlier chunk of a dry run would have made is not
// refused for that: not what comes back, nor what moves there.
func TestDryRunBelowWhatIsAhead(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.deep()
	h.do(model("R", "two", `{}`))
	h.do(below("red", "R", `{"colour":"red"}`), below("blue", "R", `{"colour":"blue"}`))
	h.do(below("v", "red", `{"count":1}`), below("gone", "blue", `{"count":1}`))
	h.do(Edit{SKU: "gone", Mode: Delete})
	h.do(Edit{SKU: "blue", Mode: Delete})
	for _, c := range []struct {
		edit    Edit
		created bool
		fault   string
	}{
		{below("gone", "blue", `{"count":1}`), true, "<nil>"},
		{below("v", "new", `{"count":2}`), false, "<nil>"},
		{below("v", "new", `{"colour":"green","count":null}`), false, "<nil>"}, // which may be the new one's
		{below("v", "new", `{"count":"many"}`), false, "parent.unknown /parent, value.type /values/count"},
		{below("red", "new", `{}`), false, "parent.fixed /parent"},
	} {
		c.edit.ParentAhead = true
		results, err := h.TryImport(h.ctx, h.Schema(), []Edit{c.edit}, ImportOffers{})
		if err != nil {
			t.Fatal(err)
		}
		r := results[0]
		if got := strings.Join(problemsOf(r.Err), ", "); got != c.fault || r.Created != c.created || r.Changed != (c.fault == "<nil>") {
			t.Errorf("%s: %+v, want %s", c.edit.SKU, r, c.fault)
		}
	}
}
