package postgres

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/sluicehub/sluice/pim"
)

// Whatever is done to a product, each of its revisions is read as it was when it
// was the newest.
func TestEveryRevisionCanBeRead(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	random := rand.New(rand.NewPCG(7, 11))
	some := func(list ...string) string { return list[random.IntN(len(list))] }
	was := map[int64]pim.State{}
	gone := map[int64]bool{}
	for range 60 {
		e := thing("P", Merge, fmt.Sprintf(`{"name":{%s:%s},"colour":%s,"count":%s}`,
			some(`"en-GB"`, `"de-DE"`), some(`"a"`, `"b"`, `null`), some(`"red"`, `"blue"`, `null`), some(`1`, `1.0`, `2.50`, `null`)))
		switch random.IntN(6) {
		case 0:
			e = Edit{SKU: "P", Mode: Delete}
		case 1:
			e.Mode = Put
		case 2:
			e.Enabled = ptr(random.IntN(2) == 0)
		case 3:
			e.Categories = ptr([]string{"c", some("d", "e")}[:random.IntN(3)])
		case 4:
			e.Family, e.Values = ptr(some("thing", "other")), values(`{"colour":"x"}`)
			e.Mode = Put
		}
		if e.Mode == Put { // what is null in a patch is not there in a whole
			e.Values = pim.PatchValues(nil, e.Values)
		}
		r := h.edit(e)
		if errors.Is(r.Err, ErrNotFound) {
			continue // it is deleted already
		}
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		if e.Mode == Delete {
			gone[r.Rev] = true
			continue
		}
		p := h.product("P")
		stored, err := pim.DecodeStored(p.Values)
		if err != nil {
			t.Fatal(err)
		}
		was[p.Rev] = pim.State{Family: p.Family, FamilyVariant: p.FamilyVariant, Enabled: p.Enabled, Categories: p.Categories, Values: stored}
	}
	if len(was) < 20 || len(gone) < 2 {
		t.Fatalf("only %d revisions and %d deletions", len(was), len(gone))
	}
	for rev, want := range was {
		r, err := h.Revision(h.ctx, "P", rev)
		if err != nil {
			t.Fatal(err)
		}
		if changes := h.Schema().FieldChanges(want, r.State); len(changes) != 0 || r.Deleted || r.Actor != "tester" {
			t.Errorf("revision %d: %+v", rev, changes)
		}
	}
	for rev := range gone {
		if r, err := h.Revision(h.ctx, "P", rev); err != nil || !r.Deleted {
			t.Errorf("deletion %d: %+v %v", rev, r, err)
		}
	}
}

// Old months of the log go whole, and only where that was asked for; what a
// product is now is not touched by it.
func TestHistoryGoesByMonths(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.do(thing("P", Put, `{"colour":"red"}`))
	h.exec(`create table event_2020_01 partition of event for values from ('2020-01-01Z') to ('2020-02-01Z')`)
	h.exec(`insert into event (at, product_id, rev, lanes, type, actor, data) select '2020-01-15Z', id, 1, 1, 'product.created', 'x', '{}' from product`)
	h.exec(`delete from event where at > '2020-02-01Z'`)
	h.exec(`update product set rev = 2`)
	events := func() (n int) {
		if err := h.Tidy(h.ctx); err != nil {
			t.Fatal(err)
		}
		h.one(`select count(*) from event`, &n)
		return n
	}
	if n := events(); n != 1 {
		t.Errorf("%d events are kept for ever", n)
	}
	if _, err := h.Revision(h.ctx, "P", 1); err != nil {
		t.Error(err)
	}
	if err := h.SetHistoryMonths(h.ctx, 1200); err != nil {
		t.Fatal(err)
	}
	if n := events(); n != 1 {
		t.Errorf("%d events are kept for a hundred years", n)
	}
	if err := h.SetHistoryMonths(h.ctx, 1); err != nil {
		t.Fatal(err)
	}
	// What is found by it has to have read it.
	h.exec(`update search_state set xid = '0', id = 0`)
	if n := events(); n != 1 {
		t.Errorf("%d events are kept for the search", n)
	}
	h.indexed()
	h.exec(`update completeness_state set xid = '0', id = 0`)
	if n := events(); n != 1 {
		t.Errorf("%d events are kept for completeness", n)
	}
	h.weighed()
	h.do(thing("P", Patch, `{"colour":"blue"}`))
	if n := events(); n != 1 { // the new one
		t.Errorf("%d events are kept for a month", n)
	}
	if _, err := h.Revision(h.ctx, "P", 1); !errors.Is(err, ErrNotFound) {
		t.Errorf("what is dropped can be read: %v", err)
	}
	if r, err := h.Revision(h.ctx, "P", 3); err != nil || r.State.Values["colour"] != "blue" {
		t.Errorf("%+v %v", r, err)
	}
	if err := h.SetHistoryMonths(h.ctx, -1); problemsOf(err)[0] != "months /months" {
		t.Error(err)
	}
	if months, err := h.HistoryMonths(h.ctx); err != nil || months != 1 {
		t.Error(months, err)
	}
}

// A deletion tells the parent, too: what a product was in an earlier life is known,
// whatever it has become since.
func TestRevisionsOfAnEarlierLifeHaveTheirParent(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.deep()
	h.do(model("R", "two", `{}`))
	h.do(below("red", "R", `{"colour":"red"}`), below("blue", "R", `{"colour":"blue"}`), below("green", "R", `{"colour":"green"}`))
	made := h.do(below("v", "red", `{"count":1}`))[0].Rev
	move := thing("v", Patch, `{}`)
	move.Parent = ptr(pim.SKU("blue"))
	moved := h.do(move)[0].Rev
	gone := h.do(Edit{SKU: "v", Mode: Delete})[0].Rev
	again := h.do(thing("v", Put, `{}`))[0].Rev // on its own
	h.do(Edit{SKU: "v", Mode: Delete})
	now := h.do(below("v", "green", `{"count":1}`))[0].Rev
	for rev, want := range map[int64]pim.SKU{made: "red", moved: "blue", again: "", now: "green"} {
		r, err := h.Revision(h.ctx, "v", rev)
		if err != nil {
			t.Fatal(err)
		}
		if r.Parent != want {
			t.Errorf("revision %d has the parent %q, want %q", rev, r.Parent, want)
		}
	}
	var old *string
	h.one(`select data #>> '{parent,old}' from event where type = 'product.deleted' and rev = `+fmt.Sprint(gone), &old)
	if old == nil || *old != "blue" {
		t.Errorf("the deletion's event has the parent %v", old)
	}
}
