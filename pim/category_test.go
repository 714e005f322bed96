package pim

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

func planted(t *testing.T, edits ...CategoryEdit) *Tree {
	t.Helper()
	c, err := (*Tree)(nil).With(edits)
	if err != nil {
		t.Fatal(err)
	}
	return c.Tree
}

func TestTree(t *testing.T) {
	t.Parallel()
	first := 0
	tree := planted(t,
		CategoryEdit{Code: "boots", Parent: "shoes", Labels: map[Locale]string{"en-GB": "Boots"}}, // before what it stands below
		CategoryEdit{Code: "shoes", Parent: "sales"},
		CategoryEdit{Code: "sales", Labels: map[Locale]string{"en-GB": "Sales", "de-DE": "Verkauf"}},
		CategoryEdit{Code: "hats", Parent: "sales"},
		CategoryEdit{Code: "gifts"},
	)
	if got := tree.Category("boots").Path; !slices.Equal(got, []string{"sales", "shoes", "boots"}) {
		t.Errorf("path %v", got)
	}
	if tree.Label("sales", "fr-FR", "de-DE") != "Verkauf" || tree.Label("shoes", "en-GB") != "shoes" || tree.Label("none") != "none" {
		t.Error("labels")
	}
	for name, c := range map[string]struct {
		edit                    CategoryEdit
		written, shown, changed int
	}{
		"the same":               {CategoryEdit{Code: "gifts"}, 0, 0, 0},
		"a label":                {CategoryEdit{Code: "sales", Labels: map[Locale]string{"en-GB": "Shop", "de-DE": "Verkauf"}}, 1, 4, 1},
		"a label more":           {CategoryEdit{Code: "sales", Labels: map[Locale]string{"en-GB": "Shop"}, Merge: true}, 1, 4, 1},
		"no label more":          {CategoryEdit{Code: "sales", Merge: true}, 0, 0, 0},
		"a position":             {CategoryEdit{Code: "hats", Parent: "sales", Position: &first}, 1, 0, 1},
		"a move of two":          {CategoryEdit{Code: "shoes", Parent: "gifts"}, 2, 2, 1},
		"a new one shows itself": {CategoryEdit{Code: "new", Parent: "hats"}, 1, 1, 1},
	} {
		got, err := tree.With([]CategoryEdit{c.edit})
		if err != nil || len(got.Written) != c.written || len(got.Shown) != c.shown || got.Changed != c.changed {
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
	for at, want := range map[[2]string]string{
		{"", "boots"}: "[sales shoes boots] true", {"", "none"}: "[none] true", {"sales", "boots"}: "[shoes boots] true", {"shoes", "shoes"}: "[] true",
		{"shoes", "hats"}: "false", {"gifts", "boots"}: "false", {"gifts", "none"}: "false",
	} {
		path, below := tree.Below(at[0], at[1])
		if got := fmt.Sprint(path, below); got != want && (below || want != "false") {
			t.Errorf("%s below %q: %s", at[1], at[0], got)
		}
	}
	var order []string
	for _, c := range tree.Children("sales") {
		order = append(order, c.Code)
	}
	if !slices.Equal(order, []string{"shoes", "hats"}) || tree.Category("hats").Position != 1 {
		t.Errorf("children %v", order)
	}
}

func TestTreeRefuses(t *testing.T) {
	t.Parallel()
	tree := planted(t, CategoryEdit{Code: "a"}, CategoryEdit{Code: "b", Parent: "a"}, CategoryEdit{Code: "c", Parent: "b"})
	below := -1
	deep := make([]CategoryEdit, maxCategoryDepth+1)
	for i := range deep {
		deep[i].Code = "d" + strconv.Itoa(i)
		if i > 0 {
			deep[i].Parent = deep[i-1].Code
		}
	}
	for name, c := range map[string]struct {
		edits       []CategoryEdit
		place, code string
	}{
		"itself":      {[]CategoryEdit{{Code: "x", Parent: "x"}}, "/0/parent", "category.cycle"},
		"below it":    {[]CategoryEdit{{Code: "new"}, {Code: "a", Parent: "c"}}, "/1/parent", "category.cycle"},
		"two":         {[]CategoryEdit{{Code: "x", Parent: "y"}, {Code: "y", Parent: "x"}}, "/1/parent", "category.cycle"},
		"no parent":   {[]CategoryEdit{{Code: "x", Parent: "none"}}, "/0/parent", "category.parent"},
		"twice":       {[]CategoryEdit{{Code: "x"}, {Code: "x"}}, "/1/code", "category.twice"},
		"code":        {[]CategoryEdit{{Code: "x y"}}, "/0/code", "category.code"},
		"position":    {[]CategoryEdit{{Code: "x", Position: &below}}, "/0/position", "category.position"},
		"locale":      {[]CategoryEdit{{Code: "x", Labels: map[Locale]string{"en_gb": "X"}}}, "/0/labels/en_gb", "locale.tag"},
		"empty label": {[]CategoryEdit{{Code: "x", Labels: map[Locale]string{"en-GB": ""}}}, "/0/labels/en-GB", "label.empty"},
		"depth":       {deep, "/20/parent", "category.depth"},
	} {
		_, err := tree.With(c.edits)
		invalid, ok := errors.AsType[*Invalid](err)
		if !ok || invalid.Problems[0].Pointer != c.place || invalid.Problems[0].Code != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever is done to a tree, each path leads from a root to its category, one
// parent after the other, the change tells exactly what moved and what looks another
// way, the tree before stays as it was, and the same once more changes nothing. What
// is refused has a parent that is not there, or stands below itself.
func TestTreeProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		code := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"})
		var tree *Tree
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			edits := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) CategoryEdit {
				e := CategoryEdit{Code: code.Draw(t, "code"), Parent: rapid.OneOf(rapid.Just(""), code).Draw(t, "parent"), Merge: rapid.Bool().Draw(t, "merge")}
				if l := rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "label"); l != "" {
					e.Labels = map[Locale]string{"en-GB": l}
				}
				return e
			}), 1, 4).Draw(t, "edits")
			before := drawn(tree)
			c, err := tree.With(edits)
			if drawn(tree) != before {
				t.Fatalf("the tree before is another: %s, and was %s", drawn(tree), before)
			}
			if stands(tree, edits) != (err == nil) {
				t.Fatalf("%s with %+v: %v", before, edits, err)
			}
			if err != nil {
				continue
			}
			if whole := NewTree(c.Tree.Version, slices.Collect(maps.Values(c.Tree.byCode))); drawn(whole) != drawn(c.Tree) || len(whole.children) != len(c.Tree.children) {
				t.Fatalf("%s, made at once %s", drawn(c.Tree), drawn(whole))
			}
			for _, at := range c.Tree.Codes() {
				if (seen(tree, at) != seen(c.Tree, at)) != slices.Contains(c.Shown, at) {
					t.Fatalf("%s looks like %s, and did like %s: told are %v", at, seen(c.Tree, at), seen(tree, at), c.Shown)
				}
				old := tree.Category(at)
				if moved := old == nil || !slices.Equal(old.Path, c.Tree.Category(at).Path); moved != slices.Contains(c.Moved, at) {
					t.Fatalf("%s moved: %t, told are %v", at, moved, c.Moved)
				}
			}
			for _, at := range c.Tree.Codes() {
				now := c.Tree.Category(at)
				for i, step := range now.Path {
					above := ""
					if i > 0 {
						above = now.Path[i-1]
					}
					if c.Tree.Category(step).Parent != above {
						t.Fatalf("%s stands at %v", at, now.Path)
					}
				}
				if now.Path[len(now.Path)-1] != at {
					t.Fatalf("%s stands at %v", at, now.Path)
				}
			}
			again, err := c.Tree.With(edits)
			if err != nil || len(again.Written)+len(again.Shown) != 0 {
				t.Fatalf("again: %+v %v", again, err)
			}
			tree = c.Tree
			if leaf := code.Draw(t, "leaf"); tree.Category(leaf) != nil && len(tree.Children(leaf)) == 0 {
				tree = tree.Without(leaf)
				if whole := NewTree(tree.Version, slices.Collect(maps.Values(tree.byCode))); drawn(whole) != drawn(tree) || tree.Category(leaf) != nil || drawn(c.Tree) == drawn(tree) {
					t.Fatalf("without %s: %s", leaf, drawn(tree))
				}
			}
		}
	})
}

// stands reports whether each category has a parent that is there, and none stands
// below itself, once edits are made; and that none is named twice.
func stands(t *Tree, edits []CategoryEdit) bool {
	above, named := map[string]string{}, map[string]bool{}
	for _, code := range t.Codes() {
		above[code] = t.Category(code).Parent
	}
	for _, e := range edits {
		if named[e.Code] {
			return false
		}
		named[e.Code], above[e.Code] = true, e.Parent
	}
	for code := range above {
		for steps := 0; code != ""; steps++ {
			up, there := above[code]
			if !there || steps > len(above) {
				return false
			}
			code = up
		}
	}
	return true
}

// drawn is a tree with the order of siblings.
func drawn(t *Tree) string {
	var below func(code string) string
	below = func(code string) (s string) {
		for _, c := range t.Children(code) {
			s += fmt.Sprintf("%s:%d%v%v(%s)", c.Code, c.Position, c.Labels, c.Path, below(c.Code))
		}
		return s
	}
	return fmt.Sprint(t.Len(), below(""))
}

// seen is all that a mapping can see of a category.
func seen(t *Tree, code string) (s string) {
	if c := t.Category(code); c != nil {
		for _, at := range c.Path {
			s += at + "=" + t.Label(at, "en-GB") + ";"
		}
	}
	return s
}
