package postgres

import (
	"encoding/json"
	"errors"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluicehub/sluice/pim"
)

// deepFamily has variants of two levels.
func deepFamily() pim.Family {
	f := testSchema.Families[0]
	f.Code = "deep"
	f.Attributes = append(slices.Clone(f.Attributes), pim.FamilyAttribute{Code: "loose"})
	f.Variants = []pim.FamilyVariant{
		{Code: "two", Levels: []pim.VariantLevel{{Axes: []string{"colour"}, Attributes: []string{"loose"}}, {Axes: []string{"count"}, Attributes: []string{"gtin"}}}},
		{Code: "single", Levels: []pim.VariantLevel{{Axes: []string{"colour"}, Attributes: []string{"gtin"}}}},
		{Code: "plain", Axes: []string{"colour"}},
	}
	return f
}

func (h *house) deep() {
	h.Helper()
	h.ok(h.ChangeSchema(h.ctx, SchemaChange{Families: []pim.Family{deepFamily()}}))
}

// below is a product of the family deep; "": it has no parent.
func below(sku, parent pim.SKU, values string) Edit {
	e := thing(sku, Merge, values)
	e.Family = ptr("deep")
	if parent != "" {
		e.Parent = &parent
	}
	return e
}

func model(sku pim.SKU, by, values string) Edit {
	e := below(sku, "", values)
	e.FamilyVariant = &by
	return e
}

func TestLevels(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.deep()
	h.do(model("R", "two", `{"name":{"en-GB":"Shirt"}}`), model("S", "single", `{}`), model("P", "plain", `{}`), model("R2", "two", `{}`))
	h.do(below("red", "R", `{"colour":"red","loose":"x"}`), below("blue", "R", `{"colour":"blue"}`), below("far", "R2", `{"colour":"far"}`))
	h.do(below("red-1", "red", `{"count":1}`), below("s1", "S", `{"colour":"a"}`))
	as := func(e Edit, by string) Edit { e.FamilyVariant = &by; return e }
	moved := func(sku, to pim.SKU, values string) Edit { e := thing(sku, Patch, values); e.Parent = &to; return e }
	for i, c := range []struct {
		edit Edit
		want string
	}{
		{thing("R", Patch, `{"colour":"x"}`), "axis.level /values/colour"},
		{thing("R", Patch, `{"loose":"x","gtin":"4006381333931"}`), "value.level /values/gtin, value.level /values/loose"},
		{thing("red", Patch, `{"gtin":"4006381333931","count":3}`), "axis.level /values/count, value.level /values/gtin"},
		{thing("red-1", Patch, `{"colour":"blue"}`), "axis.level /values/colour"},
		{thing("red-1", Patch, `{"colour":"red"}`), "<nil>"}, // its sub-model's, where it stays
		{thing("red-1", Patch, `{"loose":"own","gtin":"4006381333931","name":{"en-GB":"Mine"}}`), "<nil>"},
		{below("x", "red", `{"count":1.0}`), "axis.taken /values"},
		{below("x", "red", `{}`), "axis.missing /values/count"},
		{below("x", "R", `{"count":1}`), "axis.level /values/count, axis.missing /values/colour"},
		{below("x", "R", `{"colour":"blue"}`), "axis.taken /values"},
		{below("x", "red-1", `{"count":2}`), "parent.variant /parent"},
		{below("x", "s1", `{"count":2}`), "parent.variant /parent"},
		{as(below("x", "R", `{"colour":"x"}`), "single"), "family_variant.parent /family_variant"},
		{as(below("x", "red", `{"count":2}`), "plain"), "family_variant.parent /family_variant"},
		{as(below("white", "R", `{"colour":"white"}`), "two"), "<nil>"},
		{as(thing("red", Patch, `{}`), "plain"), "family_variant.parent /family_variant"},
		{as(thing("R", Patch, `{}`), "plain"), "family_variant.variants /family_variant"},
		{Edit{SKU: "R", Mode: Delete}, "product R has variants: is still in use"},
		{Edit{SKU: "red", Mode: Delete}, "product red has variants: is still in use"},
		{moved("red-1", "R", `{}`), "parent.fixed /parent"},
		{moved("red-1", "far", `{}`), "parent.fixed /parent"},
		{moved("red-1", "nobody", `{}`), "parent.unknown /parent"},
		{moved("red", "R2", `{}`), "parent.fixed /parent"},
		{moved("s1", "R", `{}`), "parent.fixed /parent"},
		{moved("red-1", "blue", `{}`), "<nil>"},
		{below("x", "red", `{"count":1}`), "<nil>"},
		{moved("x", "blue", `{}`), "axis.taken /values"},
		{moved("x", "blue", `{"count":2}`), "<nil>"},
		{thing("P", Patch, `{"colour":"any","gtin":"4006381333931"}`), "<nil>"}, // without levels, values may stand anywhere
		{thing("S", Patch, `{"gtin":"4006381333931"}`), "value.level /values/gtin"},
		{as(thing("P", Patch, `{}`), "single"), "axis.level /values/colour, value.level /values/gtin"},
		{Edit{SKU: "far", Mode: Delete}, "<nil>"},
	} {
		if got := strings.Join(problemsOf(h.edit(c.edit).Err), ", "); got != c.want {
			t.Errorf("%d, %s: %s, want %s", i, c.edit.SKU, got, c.want)
		}
	}
	if p := h.product("red"); p.FamilyVariant != "two" || p.Parent != "R" || p.Root != "" || p.Level() != 1 {
		t.Errorf("sub-model: %+v", p)
	}
	p := h.product("red-1")
	if p.FamilyVariant != "" || p.Parent != "blue" || p.Root != "R" || strings.Contains(string(p.Values), "red") {
		t.Errorf("variant: %+v, %s", p, p.Values)
	}
	if got := string(h.history("x")[0].Data); got != `{"parent": {"new": "blue", "old": "red"}, "values": {"count": {"new": 2, "old": 1}}}` {
		t.Errorf("the move in the history: %s", got)
	}

	// A level that comes later keeps nobody from editing what stood there before.
	f := deepFamily()
	f.Variants[0].Levels[0].Attributes = []string{"loose", "name"}
	h.ok(h.ChangeSchema(h.ctx, SchemaChange{Families: []pim.Family{f}}))
	h.do(Edit{SKU: "R", Mode: Patch, Categories: &[]string{"c"}})
	equal(t, "what is said anew", problemsOf(h.edit(thing("R", Patch, `{"name":{"en-GB":"Other"}}`)).Err), []string{"value.level /values/name"})
	h.do(thing("R", Patch, `{"name":null}`))
	f.Variants[0].Levels[0].Axes = []string{"colour", "tag"}
	if _, err := h.ChangeSchema(h.ctx, SchemaChange{Families: []pim.Family{f}}); !strings.Contains(strings.Join(problemsOf(err), " "), "family_variant.fixed /families/0/variants/0/levels") {
		t.Errorf("axes of a family variant that is there: %v", err)
	}
}

// A sub-model that goes while a variant comes: one of both is refused.
func TestConcurrentSubModelAndVariant(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.deep()
	h.do(model("R", "two", `{}`))
	for range 15 {
		h.do(below("sub", "R", `{"colour":"red"}`))
		var gone, made EditResult
		var wg sync.WaitGroup
		wg.Go(func() { gone = h.edit(Edit{SKU: "sub", Mode: Delete}) })
		wg.Go(func() { made = h.edit(below("v", "sub", `{"count":1}`)) })
		wg.Wait()
		if gone.Err == nil && made.Err == nil {
			t.Fatal("both succeeded")
		}
		for _, sku := range []pim.SKU{"v", "sub"} {
			if r := h.edit(Edit{SKU: sku, Mode: Delete}); r.Err != nil && !errors.Is(r.Err, ErrNotFound) {
				t.Fatal(r.Err)
			}
		}
	}
}

// One chunk of an import brings a whole tree, in any order of its rows.
func TestImportOfATree(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.deep()
	edits := []Edit{below("v", "sub", `{"count":1}`), below("sub", "R", `{"colour":"red"}`), below("w", "sub", `{"count":2}`), model("R", "two", `{}`)}
	results, err := h.TryImport(h.ctx, h.Schema(), edits, ImportOffers{})
	for _, r := range results {
		if err != nil || r.Err != nil || !r.Created {
			t.Errorf("dry: %+v, %v", r, err)
		}
	}
	_, l := h.upload([]byte("x"))
	err = h.importChunk(l, edits, func(results []EditResult) ImportProgress {
		for _, r := range results {
			if r.Err != nil || !r.Created {
				t.Errorf("%+v", r)
			}
		}
		return ImportProgress{RowsDone: 4}
	})
	if err != nil || h.product("v").Root != "R" {
		t.Fatal(err, h.product("v").Root)
	}
}

// A target's revisions of a variant do not fall when it moves to a sub-model that
// was edited less.
func TestMovedRevisionsNeverFall(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.deep()
	c := h.channel("shop")
	fan, content := h.lease(Consumer{Kind: Fanout}), h.lease(Consumer{Kind: Drain, Channel: c.ID, Lane: pim.Content})
	h.do(model("R", "two", `{}`))
	h.do(below("old", "R", `{"colour":"old"}`), below("new", "R", `{"colour":"new"}`))
	h.do(below("v", "old", `{"count":1}`))
	for _, picture := range []string{"1", "2", "3"} {
		h.do(thing("old", Patch, `{"picture":"https://x/`+picture+`.jpg"}`))
	}
	look := func() (rev, media int64) {
		t.Helper()
		h.fanOut(fan)
		claim, err := h.Claim(h.ctx, content, ClaimOptions{Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range claim.Items {
			if item.SKU == "v" {
				return item.Rev, item.MediaRev
			}
		}
		t.Fatal("the variant's content is not to be sent")
		return 0, 0
	}
	rev, media := look()
	move := thing("v", Patch, `{}`)
	move.Parent = ptr(pim.SKU("new"))
	h.do(move)
	if nowRev, nowMedia := look(); nowRev <= rev || nowMedia <= media {
		t.Errorf("revisions went from %d and %d to %d and %d", rev, media, nowRev, nowMedia)
	}
}

// grown is a product of the trees below, as plain Go keeps it.
type grown struct {
	sku, parent pim.SKU
	level       int // 0: a root model, 1: a sub-model, 2: a variant
	lives       bool
	enabled     bool
	own         map[string]any
	rev, media  int64 // that a target saw last
}

type forest map[pim.SKU]*grown

// above are the models above g, the nearest first.
func (f forest) above(g *grown) (list []*grown) {
	for g = f[g.parent]; g != nil; g = f[g.parent] {
		list = append(list, g)
	}
	return list
}

// effective is what readers see of g.
func (f forest) effective(g *grown) map[string]any {
	out := clone(g.own)
	for _, up := range f.above(g) {
		for code, v := range up.own {
			theirs, scoped := v.(map[string]any)
			mine, both := out[code].(map[string]any)
			switch {
			case out[code] == nil:
				out[code] = v
			case scoped && both:
				all := clone(theirs)
				maps.Copy(all, mine)
				out[code] = all
			}
		}
	}
	return out
}

// Random trees and edits. Readers see what a naive model says; an edit has
// exactly those listings looked at again that it can show in; the revisions that a
// target sees only rise.
func TestTreesProperty(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.deep()
	c := h.channel("shop")
	fan, content := h.lease(Consumer{Kind: Fanout}), h.lease(Consumer{Kind: Drain, Channel: c.ID, Lane: pim.Content})
	skus := []pim.SKU{"R", "Q", "R-a", "R-b", "Q-a", "v1", "v2", "v3", "v4"}
	h.fanOut(fan) // the channel is new
	left := 12    // checks: rapid's own number is for cheaper ones
	rapid.Check(t, func(rt *rapid.T) {
		if left--; left < 0 {
			return
		}
		defer func() {
			if rt.Failed() { // it is repeated, and made smaller
				left = math.MaxInt
			}
		}()
		h.exec(`truncate product, outbox, listing, event cascade`)
		f := forest{}
		for range rapid.IntRange(5, 25).Draw(rt, "edits") {
			f.step(h, rt, rapid.SampledFrom(skus).Draw(rt, "sku"), fan, content)
		}
	})
}

// step makes one edit, and looks what came of it.
func (f forest) step(h *house, rt *rapid.T, sku pim.SKU, fan, content Lease) {
	g := f[sku]
	if g == nil {
		g = &grown{sku: sku, own: map[string]any{}}
		f[sku] = g
	}
	patch := map[string]any{}
	word := rapid.SampledFrom([]any{"a", "b", nil})
	for level, codes := range [][]string{{"name", "tag"}, {"loose"}, {"gtin"}} {
		if level > f.level(sku) || rapid.IntRange(0, 2).Draw(rt, "level") > 0 {
			continue
		}
		code := rapid.SampledFrom(codes).Draw(rt, "attribute")
		switch v := word.Draw(rt, "value"); code {
		case "name":
			patch[code] = map[string]any{rapid.SampledFrom([]string{"en-GB", "de-DE"}).Draw(rt, "locale"): v}
		case "tag":
			patch[code] = map[string]any{"shop": v}
		default:
			patch[code] = v
		}
	}
	e := Edit{SKU: sku, Mode: Merge, Values: patch, Family: ptr("deep")}
	before := f.state(g)
	switch do := rapid.SampledFrom([]string{"edit", "edit", "disable", "delete", "move"}).Draw(rt, "do"); {
	case !g.lives:
		g.level, g.parent, g.enabled = f.level(sku), "", true
		switch g.level {
		case 0:
			e.FamilyVariant = ptr("two")
		case 1:
			g.parent, patch["colour"] = sku[:1], string(sku)
		case 2:
			g.parent, patch["count"] = rapid.SampledFrom([]pim.SKU{"R-a", "R-b", "Q-a"}).Draw(rt, "below"), json.Number(sku[1:])
		}
		if p := f[g.parent]; g.parent != "" && (p == nil || !p.lives) {
			g.parent = ""
			return // there is none to stand below
		}
		if g.parent != "" {
			e.Parent = &g.parent
		}
		g.lives, g.own = true, merge(map[string]any{}, patch)
	case do == "delete":
		e = Edit{SKU: sku, Mode: Delete}
		if slices.ContainsFunc(slices.Collect(maps.Values(f)), func(o *grown) bool { return o.lives && o.parent == sku }) {
			if r := h.edit(e); !errors.Is(r.Err, ErrInUse) {
				rt.Fatalf("delete %s: %v", sku, r.Err)
			}
			return
		}
		g.lives = false
	case do == "disable":
		g.enabled = !g.enabled
		e.Enabled, e.Values = &g.enabled, nil
	case do == "move" && g.level == 2:
		to := rapid.SampledFrom([]pim.SKU{"R-a", "R-b"}).Draw(rt, "to")
		if p := f[to]; p == nil || !p.lives || f[g.parent].parent != p.parent {
			return
		}
		g.parent, e.Parent = to, &to
		g.own = merge(g.own, patch)
	default:
		g.own = merge(g.own, patch)
	}
	changed := !reflect.DeepEqual(before, f.state(g))
	h.exec(`update listing set dirty = false`)
	if r := h.edit(e); r.Err != nil || r.Changed != changed {
		rt.Fatalf("mode %d of %s with %s: changed %t, want %t: %v", e.Mode, sku, mustJSON(e.Values), r.Changed, changed, r.Err)
	}
	h.fanOut(fan)
	f.compare(h, rt, g, changed, content)
	f.find(h, rt)
}

// level is at which level the test has a SKU.
func (f forest) level(sku pim.SKU) int {
	switch {
	case len(sku) == 1:
		return 0
	case len(sku) == 3:
		return 1
	}
	return 2
}

// state is what of g an edit can change.
func (f forest) state(g *grown) []any { return []any{g.lives, g.enabled, g.parent, clone(g.own)} }

// compare looks at what is claimed after an edit of g.
func (f forest) compare(h *house, rt *rapid.T, g *grown, changed bool, content Lease) {
	claim, err := h.Claim(h.ctx, content, ClaimOptions{Limit: 100, Texts: true})
	if err != nil {
		rt.Fatal(err)
	}
	want := map[pim.SKU]bool{}
	for _, o := range f {
		if changed && (o == g || o.lives && slices.Contains(f.above(o), g)) {
			want[o.sku] = true
		}
	}
	got := map[pim.SKU]bool{}
	for i := range claim.Items {
		item := &claim.Items[i]
		o := f[item.SKU]
		got[item.SKU] = true
		if item.Rev <= o.rev || item.MediaRev < o.media {
			rt.Fatalf("%s: revisions went from %d and %d to %d and %d", item.SKU, o.rev, o.media, item.Rev, item.MediaRev)
		}
		o.rev, o.media = item.Rev, item.MediaRev
		if !o.lives {
			continue
		}
		gone, above := !o.enabled || o.level == 1, f.above(o)
		for _, up := range above {
			gone = gone || !up.enabled
		}
		own, err := pim.DecodeStored(item.Values)
		if err != nil {
			rt.Fatal(err)
		}
		all, err := item.Inherited.Below(own)
		if err != nil || string(mustJSON(all)) != string(mustJSON(f.effective(o))) || item.Gone != gone {
			rt.Fatalf("%s: gone %t, values %s; want %t, %s: %v", item.SKU, item.Gone, mustJSON(all), gone, mustJSON(f.effective(o)), err)
		}
		group, between := pim.SKU(""), pim.SKU("")
		if len(above) > 0 {
			group = above[len(above)-1].sku
		}
		if len(above) > 1 {
			between = above[0].sku
		}
		if item.Parent != group || item.SubModel != between || (item.Variant != "") != (group != "") {
			rt.Fatalf("%s: of %q below %q by %q", item.SKU, item.Parent, item.SubModel, item.Variant)
		}
	}
	if !maps.Equal(got, want) {
		rt.Fatalf("an edit of %s has %v looked at, want %v", g.sku, got, want)
	}
}

// find compares what filters find with what there is.
func (f forest) find(h *house, rt *rapid.T) {
	for _, c := range []struct {
		text string
		fits func(*grown) bool
	}{
		{`values.loose = "a"`, func(g *grown) bool { return f.effective(g)["loose"] == "a" }},
		{`values.name = "a"`, func(g *grown) bool {
			name, _ := f.effective(g)["name"].(map[string]any)
			return name["en-GB"] == "a" || name["de-DE"] == "a"
		}},
		{`values.name.de-DE = "b"`, func(g *grown) bool { name, _ := f.effective(g)["name"].(map[string]any); return name["de-DE"] == "b" }},
		{`root = "R"`, func(g *grown) bool { above := f.above(g); return len(above) > 0 && above[len(above)-1].sku == "R" }},
	} {
		want := []string{}
		for _, g := range f {
			if g.lives && c.fits(g) {
				want = append(want, string(g.sku))
			}
		}
		slices.Sort(want)
		got, err := h.find(c.text)
		list := strings.Fields(got)
		slices.Sort(list)
		if err != nil || !slices.Equal(list, want) {
			rt.Fatalf("%s finds %v, want %v: %v", c.text, list, want, err)
		}
	}
}
