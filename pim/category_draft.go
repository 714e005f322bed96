package pim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// draft is a tree with edits laid over it, before its paths are known to be right.
// It looks at no more of the tree than the edits have to do with: a batch edits
// thousands of categories one after the other.
type draft struct {
	old    *Tree
	edited map[string]*Category // by code, without their paths
	// moved are those that may stand somewhere else; shown may look another way.
	// Moved ones are among them.
	moved, shown map[string]bool
	// below are the edited ones under the parents that they are new at, by code.
	below map[string][]string
	paths map[string][]string // of moved ones, as far as they are worked out
}

// category is the category of a code as the edits leave it, its path aside; nil:
// there is none.
func (d *draft) category(code string) *Category {
	if c := d.edited[code]; c != nil {
		return c
	}
	return d.old.Category(code)
}

// look finds what the edits have to do with.
func (d *draft) look() {
	d.moved, d.shown, d.below = map[string]bool{}, map[string]bool{}, map[string][]string{}
	for code, c := range d.edited {
		if old := d.old.Category(code); old == nil || old.Parent != c.Parent {
			d.below[c.Parent] = append(d.below[c.Parent], code)
		}
	}
	for code, c := range d.edited {
		switch old := d.old.Category(code); {
		case old == nil || old.Parent != c.Parent:
			d.mark(code, d.moved)
			d.mark(code, d.shown)
		case !maps.Equal(old.Labels, c.Labels):
			d.mark(code, d.shown)
		}
	}
}

// mark puts a category into a set, and all that stand below it.
func (d *draft) mark(code string, set map[string]bool) {
	todo := []string{code}
	for len(todo) > 0 {
		at := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if set[at] {
			continue // also where they would stand below themselves
		}
		set[at] = true
		for _, c := range d.old.Children(at) {
			if d.category(c.Code).Parent == at {
				todo = append(todo, c.Code)
			}
		}
		todo = append(todo, d.below[at]...)
	}
}

// pathFault is what is wrong with a path, of which codes are a part.
type pathFault struct {
	codes        []string
	kind, detail string
}

// place is the pointer of an edit that made it, the last of them.
func (f *pathFault) place(at map[string]string) string {
	for _, code := range slices.Backward(f.codes) {
		if at[code] != "" {
			return at[code]
		}
	}
	return ""
}

// path is a category's path where it is known; nil: it is not yet.
func (d *draft) path(code string) []string {
	if d.moved[code] {
		return d.paths[code]
	}
	if c := d.old.Category(code); c != nil {
		return c.Path
	}
	return nil
}

// place works a category's path out, and those of all above it.
func (d *draft) place(code string) *pathFault {
	up := []string{}
	for at := code; at != "" && d.path(at) == nil; at = d.category(at).Parent {
		if i := slices.Index(up, at); i >= 0 {
			ring := append(slices.Clone(up[i:]), at)
			// By their codes, so that it is told of the same one wherever the look began.
			return &pathFault{slices.Sorted(slices.Values(ring)), "category.cycle", fmt.Sprintf("the category would stand below itself: %s", strings.Join(ring, " < "))}
		}
		up = append(up, at)
	}
	for _, at := range slices.Backward(up) {
		above := d.path(d.category(at).Parent)
		if len(above) == maxCategoryDepth {
			return &pathFault{append(slices.Clone(above), at), "category.depth", fmt.Sprintf("a tree has at most %d levels", maxCategoryDepth)}
		}
		d.paths[at] = append(slices.Clip(slices.Clone(above)), at)
	}
	return nil
}

// change is what the edits make of the tree, all of whose paths are right.
func (d *draft) change() *TreeChange {
	out := &TreeChange{}
	touched := maps.Clone(d.moved)
	for code := range d.edited {
		touched[code] = true
	}
	for _, code := range slices.Sorted(maps.Keys(touched)) {
		c, old := d.category(code), d.old.Category(code)
		if old != nil && old.sameDefinition(c) && slices.Equal(old.Path, d.path(code)) {
			continue
		}
		now := *c
		now.Path = d.path(code)
		out.Written = append(out.Written, &now)
		if old == nil {
			out.Created++
		}
		if old == nil || !old.sameDefinition(c) {
			out.Changed++
		}
	}
	for _, code := range slices.Sorted(maps.Keys(d.shown)) {
		out.Shown = append(out.Shown, code)
		if d.moved[code] {
			out.Moved = append(out.Moved, code)
		}
	}
	out.Tree = d.old.replaced(out.Written)
	return out
}
