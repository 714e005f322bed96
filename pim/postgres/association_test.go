package postgres

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/sluicehub/sluice/pim"
)

// linkTypes gives the house association types: of one way, two-way, and quantified.
func (h *house) linkTypes() {
	h.Helper()
	for _, t := range []pim.AssociationType{{Code: "UP"}, {Code: "PAIR", TwoWay: true}, {Code: "PACK", Quantified: true}} {
		if _, _, err := h.PutAssociationType(h.ctx, t, 0); err != nil {
			h.Fatal(err)
		}
	}
}

// link edits a product's associations: of each type the SKUs, "2*A" being two of A.
func (h *house) link(mode EditMode, sku pim.SKU, a map[string]string) EditResult {
	h.Helper()
	family := "thing"
	links := linksOf(a)
	res, err := h.Edit(h.ctx, "ann", []Edit{{SKU: sku, Mode: mode, Family: &family, Associations: &links}})
	if err != nil {
		h.Fatal(err)
	}
	return res[0]
}

func linksOf(a map[string]string) pim.Associations {
	links := pim.Associations{}
	for t, text := range a {
		links[t] = []pim.Association{}
		for _, name := range strings.Fields(text) {
			var x pim.Association
			count, of, counted := strings.Cut(name, "*")
			if x.SKU = pim.SKU(name); counted {
				x.SKU, x.Quantity = pim.SKU(of), int(count[0]-'0')
			}
			links[t] = append(links[t], x)
		}
	}
	return links
}

// links are a product's associations as text.
func (h *house) links(sku pim.SKU) string {
	h.Helper()
	p, err := h.Product(h.ctx, sku)
	if err != nil {
		h.Fatal(err)
	}
	return linksText(p.Associations)
}

func linksText(a pim.Associations) string { return string(mustJSON(a)) }

func TestAssociations(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.linkTypes()
	for _, sku := range []pim.SKU{"A", "B", "C"} {
		h.names(sku, pim.Values{"colour": "red"})
	}
	if r := h.link(Patch, "A", map[string]string{"UP": "B C", "PACK": "2*C", "PAIR": "C"}); r.Err != nil || r.Rev != 2 || len(r.Warnings) != 0 {
		t.Fatalf("%+v", r)
	}
	if got := h.links("A"); got != `{"PACK":[{"sku":"C","quantity":2}],"PAIR":["C"],"UP":["B","C"]}` {
		t.Errorf("A: %s", got)
	}
	if b, c := h.links("B"), h.links("C"); b != "null" || c != `{"PAIR":["A"]}` {
		t.Errorf("the other sides: %s, %s", b, c)
	}
	if rev, err := h.ProductRevision(h.ctx, "C"); err != nil || rev != 2 {
		t.Errorf("the other side's revision: %d %v", rev, err)
	}
	if r := h.link(Patch, "A", map[string]string{"UP": "B C"}); r.Err != nil || r.Changed || r.Rev != 2 {
		t.Errorf("the same again: %+v", r)
	}
	if r := h.link(Patch, "A", map[string]string{"UP": "C B NONE"}); r.Err != nil || !r.Changed || len(r.Warnings) != 1 || r.Warnings[0].Code != "association.unknown" || r.Warnings[0].Pointer != "/associations/UP/2" {
		t.Errorf("another order, and one that is not there: %+v", r)
	}
	// What is taken from one side is gone from both.
	if r := h.link(Patch, "C", map[string]string{"PAIR": ""}); r.Err != nil || !r.Changed {
		t.Errorf("%+v", r)
	}
	if got := h.links("A"); got != `{"PACK":[{"sku":"C","quantity":2}],"UP":["C","B","NONE"]}` {
		t.Errorf("A: %s", got)
	}
	if r := h.link(Put, "A", map[string]string{"UP": "B"}); r.Err != nil || h.links("A") != `{"UP":["B"]}` {
		t.Errorf("%+v %s", r, h.links("A"))
	}
	if r := h.names("A", pim.Values{"colour": "blue"}); r.Err != nil || h.links("A") != `{"UP":["B"]}` {
		t.Errorf("an edit that names none changes them: %+v %s", r, h.links("A"))
	}
	r := h.link(Patch, "A", map[string]string{"NONE": "B", "UP": "A B B", "PACK": "B", "PAIR": "2*B"})
	want := "association_type.unknown /associations/NONE, association.quantity /associations/PACK/0, association.quantity /associations/PAIR/0, " +
		"association.self /associations/UP/0, association.twice /associations/UP/2"
	if got := strings.Join(problemsOf(r.Err), ", "); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if err := h.DeleteAssociationType(h.ctx, "UP", 0); !errors.Is(err, ErrInUse) {
		t.Errorf("a type in use: %v", err)
	}
	if _, _, err := h.PutAssociationType(h.ctx, pim.AssociationType{Code: "UP", TwoWay: true}, 0); problemsOf(err)[0] != "association_type.fixed " {
		t.Errorf("another kind of type: %v", err)
	}
	if err := h.DeleteAssociationType(h.ctx, "PACK", 0); err != nil {
		t.Error(err)
	}
}

// Both sides' edits are in their histories, and can be taken back.
func TestAssociationsHaveAHistory(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.linkTypes()
	for _, sku := range []pim.SKU{"A", "B", "C"} {
		h.names(sku, pim.Values{"colour": "red"})
	}
	h.link(Patch, "A", map[string]string{"PAIR": "B"})   // A 2, B 2
	h.link(Patch, "B", map[string]string{"PAIR": "A C"}) // B 3, C 2
	h.link(Patch, "A", map[string]string{"PAIR": ""})    // A 3, B 4
	for rev, want := range map[int64]string{1: "null", 2: `{"PAIR":["A"]}`, 3: `{"PAIR":["A","C"]}`, 4: `{"PAIR":["C"]}`} {
		r, err := h.Revision(h.ctx, "B", rev)
		if err != nil {
			t.Fatal(err)
		}
		if got := linksText(r.State.Associations); got != want && !(want == "null" && got == "{}") {
			t.Errorf("revision %d: %s, want %s", rev, got, want)
		}
	}
	changes, err := h.Changes(h.ctx, "B", 2, 4)
	if err != nil || len(changes) != 1 || changes[0].Field != "associations.PAIR" {
		t.Errorf("%+v %v", changes, err)
	}
	if _, err := h.RestoreProduct(h.ctx, "bob", "B", 3, 0); err != nil {
		t.Fatal(err)
	}
	if a, b := h.links("A"), h.links("B"); a != `{"PAIR":["B"]}` || b != `{"PAIR":["A","C"]}` {
		t.Errorf("restored: %s, %s", a, b)
	}
	if got := h.number(`select count(*) from event where type = 'product.updated' and actor = 'bob'`); got != 2 {
		t.Errorf("%d events of the restoration", got)
	}
}

// Whatever is edited, in batches and from either side, a two-way association is seen
// from both, and each side's revision rises with it.
func TestTwoWayAssociationsAreSeenFromBoth(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.linkTypes()
	skus := []pim.SKU{"A", "B", "C", "D"}
	rapid.Check(t, func(rt *rapid.T) {
		h.exec(`delete from association`)
		model := map[pim.SKU]map[pim.SKU]bool{}
		for _, sku := range skus {
			model[sku] = map[pim.SKU]bool{}
			h.names(sku, pim.Values{"colour": fmt.Sprint(rapid.IntRange(0, 3).Draw(rt, "colour"))})
		}
		for range rapid.IntRange(1, 5).Draw(rt, "rounds") {
			revs := h.revisions()
			var edits []Edit
			first := map[pim.SKU]map[pim.SKU]bool{}
			for sku, of := range model {
				first[sku] = map[pim.SKU]bool{}
				for other := range of {
					first[sku][other] = true
				}
			}
			for _, sku := range rapid.SliceOfNDistinct(rapid.SampledFrom(skus), 1, 3, rapid.ID).Draw(rt, "edited") {
				others := rapid.SliceOfDistinct(rapid.SampledFrom(skus), rapid.ID).Draw(rt, "others")
				others = slices.DeleteFunc(others, func(o pim.SKU) bool { return o == sku })
				list := make([]pim.Association, len(others))
				for i, o := range others {
					list[i].SKU = o
				}
				family := "thing"
				links := pim.Associations{"PAIR": list}
				edits = append(edits, Edit{SKU: sku, Mode: Merge, Family: &family, Associations: &links})
				for _, o := range skus {
					delete(model[o], sku)
				}
				model[sku] = map[pim.SKU]bool{}
				for _, o := range others {
					model[sku][o], model[o][sku] = true, true
				}
			}
			results, err := h.Edit(h.ctx, "ann", edits)
			if err != nil {
				rt.Fatal(err)
			}
			for i, r := range results {
				if r.Err != nil {
					rt.Fatal(r.Err)
				}
				if p, err := h.Product(h.ctx, r.SKU); err != nil || i == len(results)-1 && !slices.Equal(p.Associations["PAIR"], (*edits[i].Associations)["PAIR"]) && len(p.Associations["PAIR"])+len((*edits[i].Associations)["PAIR"]) > 0 {
					rt.Fatalf("%s has %v, not %v", r.SKU, p.Associations, *edits[i].Associations)
				}
			}
			now := h.revisions()
			for _, sku := range skus {
				p, err := h.Product(h.ctx, sku)
				if err != nil {
					rt.Fatal(err)
				}
				got := map[pim.SKU]bool{}
				for _, a := range p.Associations["PAIR"] {
					got[a.SKU] = true
				}
				if fmt.Sprint(got) != fmt.Sprint(model[sku]) {
					rt.Fatalf("%s has %v, not %v", sku, got, model[sku])
				}
				if fmt.Sprint(first[sku]) != fmt.Sprint(model[sku]) && now[sku] == revs[sku] {
					rt.Fatalf("%s has others, and its revision %d still", sku, now[sku])
				}
				if r, err := h.Revision(h.ctx, sku, revs[sku]); err != nil {
					rt.Fatal(err)
				} else {
					was := map[pim.SKU]bool{}
					for _, a := range r.State.Associations["PAIR"] {
						was[a.SKU] = true
					}
					if fmt.Sprint(was) != fmt.Sprint(first[sku]) {
						rt.Fatalf("revision %d of %s had %v, not %v", revs[sku], sku, was, first[sku])
					}
				}
			}
		}
	})
}

func (h *house) revisions() map[pim.SKU]int64 {
	h.Helper()
	rows, err := h.pool.Query(h.ctx, `select sku, rev from product`)
	if err != nil {
		h.Fatal(err)
	}
	out := map[pim.SKU]int64{}
	var (
		sku pim.SKU
		rev int64
	)
	if _, err := pgx.ForEachRow(rows, []any{&sku, &rev}, func() error { out[sku] = rev; return nil }); err != nil {
		h.Fatal(err)
	}
	return out
}

// However many are associated with products that come and go, each of them is put on the
// road once, in steps that are bounded.
func TestAssociatesGoInSteps(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.linkTypes()
	c := h.channel("shop")
	h.exec(`update channel set marks_associations = 1 where id = $1`, c.ID)
	for _, sku := range []pim.SKU{"H", "I", "J"} {
		h.names(sku, pim.Values{"colour": "red"})
	}
	var want []string
	for i := range 7 {
		sku := fmt.Sprint("P", i)
		h.names(pim.SKU(sku), pim.Values{"colour": "red"})
		h.link(Patch, pim.SKU(sku), map[string]string{"UP": []string{"H", "H I", "I J"}[i%3], "PAIR": []string{"", "J"}[i%2]})
		want = append(want, sku)
	}
	for limit := 1; limit < 12; limit++ {
		h.exec(`delete from association_change`)
		h.exec(`insert into association_change (product_id) select id from product where sku in ('H', 'I', 'J') order by sku`)
		h.exec(`delete from outbox`)
		for step := 0; ; step++ {
			taken, queued, err := h.openAssociations(h.ctx, limit)
			if err != nil {
				t.Fatal(err)
			}
			if taken == 0 {
				break
			}
			if queued > limit || step > 40 {
				t.Fatalf("step %d puts %d on the road, the limit is %d", step, queued, limit)
			}
		}
		if got := slices.Compact(h.onTheRoad(touchAssociated)); !slices.Equal(got, want) {
			t.Errorf("by %d: %v are on the road, not %v", limit, got, want)
		}
	}
}

// A two-way type gives nobody more associations than a product may have, whoever makes
// them, also before the product is there.
func TestTwoWayAssociationsAreBounded(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.linkTypes()
	h.names("HUB", pim.Values{"colour": "red"})
	family := "thing"
	links := linksOf(map[string]string{"PAIR": "HUB LATER"})
	edits := make([]Edit, pim.MaxAssociations)
	for i := range edits {
		edits[i] = Edit{SKU: pim.SKU(fmt.Sprint("S", i)), Mode: Put, Family: &family, Associations: &links}
	}
	// The last two are one too many, one in the same batch and one after it.
	edits[0].Associations = nil
	results, err := h.Edit(h.ctx, "ann", append(edits[1:len(edits):len(edits)], Edit{SKU: "ZA", Mode: Put, Family: &family, Associations: &links}))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Err != nil {
			t.Fatal(r.SKU, r.Err)
		}
	}
	const many = "/associations/PAIR/0 association.many, /associations/PAIR/1 association.many"
	if got := faultsOf(h.link(Put, "ZB", map[string]string{"PAIR": "HUB LATER"}).Err); got != many {
		t.Errorf("one too many: %s", got)
	}
	h.names("LATER", pim.Values{"colour": "red"})
	if got := faultsOf(h.link(Put, "ZB", map[string]string{"PAIR": "HUB LATER"}).Err); got != many {
		t.Errorf("once it is there: %s", got)
	}
	if r := h.link(Put, "S1", map[string]string{"PAIR": "LATER HUB", "UP": "HUB"}); r.Err != nil {
		t.Errorf("who is among them already: %v", r.Err)
	}
	h.link(Patch, "S1", map[string]string{"PAIR": ""})
	res, err := h.Edit(h.ctx, "ann", []Edit{
		{SKU: "ZB", Mode: Put, Family: &family, Associations: &links}, {SKU: "ZC", Mode: Put, Family: &family, Associations: &links},
	})
	if err != nil || res[0].Err != nil || faultsOf(res[1].Err) != many {
		t.Errorf("the place of one that left: %v %v %v", err, res[0].Err, res[1].Err)
	}
	if got, err := h.Product(h.ctx, "HUB"); err != nil || len(got.Associations["PAIR"]) != pim.MaxAssociations {
		t.Errorf("%d, %v", len(got.Associations["PAIR"]), err)
	}
}

// Who tries an import is told what it would make of associations.
func TestAssociationsAreTried(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.linkTypes()
	for _, sku := range []pim.SKU{"A", "B"} {
		h.names(sku, pim.Values{"colour": "red"})
	}
	h.link(Patch, "A", map[string]string{"PAIR": "B"})
	family := "thing"
	try := func(sku pim.SKU, a map[string]string) EditResult {
		links := linksOf(a)
		res, err := h.TryImport(h.ctx, h.Schema(), []Edit{{SKU: sku, Mode: Merge, Family: &family, Associations: &links}}, ImportOffers{})
		if err != nil {
			t.Fatal(err)
		}
		return res[0]
	}
	if r := try("B", map[string]string{"PAIR": "A"}); r.Err != nil || r.Changed {
		t.Errorf("what is so already: %+v", r)
	}
	if r := try("B", map[string]string{"UP": "A NOBODY"}); r.Err != nil || !r.Changed || len(r.Warnings) != 1 || r.Warnings[0].Code != "association.unknown" {
		t.Errorf("another one: %+v", r)
	}
	if got := h.links("B"); got != `{"PAIR":["A"]}` {
		t.Errorf("tried, and stored: %s", got)
	}
}
