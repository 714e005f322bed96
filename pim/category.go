package pim

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds of category trees.
const (
	MaxCategories    = 100_000
	maxCategoryDepth = 20 // levels, the root's included
	maxPosition      = 1_000_000_000
)

// Category is a place in one of the house's trees. Products name the categories
// that they are in by their codes.
type Category struct {
	Code      string            `json:"code"`
	Parent    string            `json:"parent,omitempty"` // "": it is a root
	Position  int               `json:"position"`         // among its siblings: by position, then by code
	Labels    map[Locale]string `json:"labels,omitempty"`
	Path      []string          `json:"path"` // codes from the root to the category itself
	Rev       int64             `json:"rev"`  // of what people say of it: a move of a category above leaves it
	UpdatedAt time.Time         `json:"updated_at"`
}

// sameDefinition reports whether what people say of the category is the same.
func (c *Category) sameDefinition(o *Category) bool {
	return c.Parent == o.Parent && c.Position == o.Position && maps.Equal(c.Labels, o.Labels)
}

// Tree is the house's categories, of all roots. It is immutable; nil is a house
// without categories.
type Tree struct {
	Version  int64 // rises with each change of any category
	byCode   map[string]*Category
	children map[string][]*Category // by the parent's code, "" of the roots, in their order
}

// NewTree makes a tree of categories whose paths are right.
func NewTree(version int64, list []*Category) *Tree {
	t := &Tree{Version: version, byCode: make(map[string]*Category, len(list)), children: map[string][]*Category{}}
	for _, c := range list {
		t.byCode[c.Code] = c
		t.children[c.Parent] = append(t.children[c.Parent], c)
	}
	for _, siblings := range t.children {
		slices.SortFunc(siblings, func(a, b *Category) int {
			return cmp.Or(cmp.Compare(a.Position, b.Position), strings.Compare(a.Code, b.Code))
		})
	}
	return t
}

// Len is how many categories there are.
func (t *Tree) Len() int {
	if t == nil {
		return 0
	}
	return len(t.byCode)
}

// Category is the category of a code; nil where there is none.
func (t *Tree) Category(code string) *Category {
	if t == nil {
		return nil
	}
	return t.byCode[code]
}

// Children are the categories directly below a code in their order; of "" the
// roots. Nobody changes the list.
func (t *Tree) Children(code string) []*Category {
	if t == nil {
		return nil
	}
	return t.children[code]
}

// Codes are all codes, in their order.
func (t *Tree) Codes() []string {
	if t == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(t.byCode))
}

// Label is what a category is called in the first of the locales that has a
// label; its code where none has.
func (t *Tree) Label(code string, locales ...Locale) string {
	if c := t.Category(code); c != nil {
		for _, l := range locales {
			if label := c.Labels[l]; label != "" {
				return label
			}
		}
	}
	return code
}

// Below are the codes that lead from root down to a category, the root's left out;
// false where the category does not stand below root and is not root itself. Below ""
// stands everything, and what is in no tree stands there alone.
func (t *Tree) Below(root, code string) (path []string, ok bool) {
	path = []string{code}
	if c := t.Category(code); c != nil {
		path = c.Path
	}
	if root == "" {
		return path, true
	}
	at := slices.Index(path, root)
	return path[at+1:], at >= 0
}

// CheckCategories gives a warning, category.unknown, for each code of a product's
// categories that is in no tree, with its pointer below pointer. A house without
// any category takes codes as they come, and nobody is warned.
func (s *Schema) CheckCategories(codes []string, pointer string) (warnings []Problem) {
	if s.Tree.Len() == 0 {
		return nil
	}
	for i, code := range codes {
		if s.Tree.Category(code) == nil {
			warnings = append(warnings, Problem{Pointer: pointer + "/" + strconv.Itoa(i), Code: "category.unknown", Detail: fmt.Sprintf("there is no category %s", quote(code))})
		}
	}
	return warnings
}

// CategoryEdit makes a category as it says, or makes it be so.
type CategoryEdit struct {
	Code     string
	Parent   string            // "": a root
	Position *int              // nil: it stays where it is; a new one, or one that moves below another, goes last
	Labels   map[Locale]string // all of them
	Merge    bool              // labels that are not named stay
}

// TreeChange is what edits make of a tree.
type TreeChange struct {
	Tree    *Tree
	Created int
	Written []*Category // of new or changed definition, or path
	Changed int         // of those, the ones that are new or of changed definition
	// Shown are the categories whose products may look another way: their path,
	// or a label on it, is another.
	Shown []string
	// Moved are those of them whose path is another.
	Moved []string
}

// With works out what edits make of the tree, all or nothing. Parents may stand
// behind their children. The error is *Invalid with pointers such as "/3/parent":
// category.code, category.twice, category.parent (there is none of that code),
// category.cycle, category.depth, category.position, category.many, and those of labels.
func (t *Tree) With(edits []CategoryEdit) (*TreeChange, error) {
	next := make(map[string]*Category, t.Len()+len(edits))
	if t != nil {
		maps.Copy(next, t.byCode)
	}
	var ps problems
	at := make(map[string]string, len(edits)) // code → the edit's pointer
	last := t.lastPositions()
	for i := range edits {
		e := &edits[i]
		pointer := "/" + strconv.Itoa(i)
		if at[e.Code] != "" {
			ps.add(pointer+"/code", "category.twice", fmt.Sprintf("category %s is defined twice", quote(e.Code)))
			continue
		}
		at[e.Code] = pointer
		next[e.Code] = e.on(&ps, pointer, t.Category(e.Code), last)
	}
	if len(next) > MaxCategories {
		ps.add("", "category.many", fmt.Sprintf("there are at most %d categories", MaxCategories))
	}
	paths := make(map[string][]string, len(next))
	for i := range edits {
		if code := edits[i].Code; next[code].Parent != "" && next[next[code].Parent] == nil {
			ps.add("/"+strconv.Itoa(i)+"/parent", "category.parent", fmt.Sprintf("there is no category %s", quote(next[code].Parent)))
		}
	}
	if len(ps) == 0 {
		for _, code := range slices.Sorted(maps.Keys(next)) {
			if fault := pathOf(next, code, paths); fault != nil {
				ps.add(fault.place(at)+"/parent", fault.kind, fault.detail)
				break // others below it have the same one
			}
		}
	}
	if len(ps) > 0 {
		return nil, &Invalid{Problems: ps}
	}
	return t.changed(next, paths), nil
}

// on is the category that the edit makes of old, or of none.
func (e *CategoryEdit) on(ps *problems, pointer string, old *Category, last map[string]int) *Category {
	ps.note(pointer+"/code", "category.code", ValidCode("category", e.Code))
	var labels problems
	labels.labels(pointer+"/labels", e.Labels)
	*ps = append(*ps, labels...)
	c := &Category{Code: e.Code, Parent: e.Parent, Labels: map[Locale]string{}}
	if old != nil {
		c.Position, c.Rev, c.UpdatedAt = old.Position, old.Rev, old.UpdatedAt
		if e.Merge {
			maps.Copy(c.Labels, old.Labels)
		}
	}
	maps.Copy(c.Labels, e.Labels)
	switch {
	case e.Position != nil && (*e.Position < 0 || *e.Position > maxPosition):
		ps.add(pointer+"/position", "category.position", fmt.Sprintf("a position is from 0 to %d", maxPosition))
	case e.Position != nil:
		c.Position = *e.Position
	case old == nil || old.Parent != e.Parent:
		c.Position = 0
		if n, some := last[e.Parent]; some {
			c.Position = min(n+1, maxPosition)
		}
	}
	last[e.Parent] = max(last[e.Parent], c.Position)
	return c
}

// lastPositions are the highest positions below each parent that has children.
func (t *Tree) lastPositions() map[string]int {
	last := map[string]int{}
	if t != nil {
		for parent, children := range t.children {
			last[parent] = children[len(children)-1].Position
		}
	}
	return last
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

// pathOf works a category's path out, and those of all above it.
func pathOf(all map[string]*Category, code string, paths map[string][]string) *pathFault {
	up := []string{}
	for at := code; at != ""; at = all[at].Parent {
		if paths[at] != nil {
			break
		}
		if i := slices.Index(up, at); i >= 0 {
			ring := append(slices.Clone(up[i:]), at)
			// By their codes, so that it is told of the same one wherever the look began.
			return &pathFault{slices.Sorted(slices.Values(ring)), "category.cycle", fmt.Sprintf("the category would stand below itself: %s", strings.Join(ring, " < "))}
		}
		up = append(up, at)
	}
	for _, at := range slices.Backward(up) {
		above := paths[all[at].Parent]
		if len(above) == maxCategoryDepth {
			return &pathFault{append(slices.Clone(above), at), "category.depth", fmt.Sprintf("a tree has at most %d levels", maxCategoryDepth)}
		}
		paths[at] = append(slices.Clip(slices.Clone(above)), at)
	}
	return nil
}

// changed compares the categories that there would be with those that there are.
func (t *Tree) changed(next map[string]*Category, paths map[string][]string) *TreeChange {
	out := &TreeChange{}
	relabelled := map[string]bool{}
	list := make([]*Category, 0, len(next))
	for _, code := range slices.Sorted(maps.Keys(next)) {
		c, old := next[code], t.Category(code)
		if old != nil && old.sameDefinition(c) && slices.Equal(old.Path, paths[code]) {
			list = append(list, old)
			continue
		}
		now := *c
		now.Path = paths[code]
		out.Written = append(out.Written, &now)
		list = append(list, &now)
		if old == nil {
			out.Created++
		}
		if old == nil || !old.sameDefinition(c) {
			out.Changed++
		}
		relabelled[code] = old == nil || !maps.Equal(old.Labels, c.Labels)
	}
	version := int64(0)
	if t != nil {
		version = t.Version
	}
	out.Tree = NewTree(version+1, list)
	for _, c := range list {
		old := t.Category(c.Code)
		moved := old == nil || !slices.Equal(old.Path, c.Path)
		if moved {
			out.Moved = append(out.Moved, c.Code)
		}
		if moved || slices.ContainsFunc(c.Path, func(code string) bool { return relabelled[code] }) {
			out.Shown = append(out.Shown, c.Code)
		}
	}
	return out
}
