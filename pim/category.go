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
		inOrder(siblings)
	}
	return t
}

// replaced is the tree with categories put in the place of those of their codes.
func (t *Tree) replaced(list []*Category) *Tree {
	out := t.copied()
	gone, come := map[string]map[string]bool{}, map[string][]*Category{} // by the parent's code
	for _, c := range list {
		if old := t.Category(c.Code); old != nil {
			if gone[old.Parent] == nil {
				gone[old.Parent] = map[string]bool{}
			}
			gone[old.Parent][c.Code] = true
		}
		come[c.Parent] = append(come[c.Parent], c)
		out.byCode[c.Code] = c
	}
	for parent, codes := range gone {
		out.children[parent] = without(out.children[parent], codes)
	}
	for parent, more := range come {
		out.children[parent] = inOrder(slices.Concat(out.children[parent], more))
	}
	for parent := range gone {
		if len(out.children[parent]) == 0 {
			delete(out.children, parent)
		}
	}
	return out
}

// Without is the tree without a category below which none stands.
func (t *Tree) Without(code string) *Tree {
	out := t.copied()
	c := t.Category(code)
	if c == nil {
		return out
	}
	parent := c.Parent
	delete(out.byCode, code)
	if out.children[parent] = without(t.children[parent], map[string]bool{code: true}); len(out.children[parent]) == 0 {
		delete(out.children, parent)
	}
	return out
}

// copied is a copy of the tree's maps, at the next version.
func (t *Tree) copied() *Tree {
	if t == nil {
		return &Tree{Version: 1, byCode: map[string]*Category{}, children: map[string][]*Category{}}
	}
	return &Tree{Version: t.Version + 1, byCode: maps.Clone(t.byCode), children: maps.Clone(t.children)}
}

// without is a copy of siblings without those of some codes.
func without(siblings []*Category, codes map[string]bool) []*Category {
	out := make([]*Category, 0, len(siblings))
	for _, c := range siblings {
		if !codes[c.Code] {
			out = append(out, c)
		}
	}
	return out
}

// inOrder sorts siblings.
func inOrder(siblings []*Category) []*Category {
	slices.SortFunc(siblings, func(a, b *Category) int {
		return cmp.Or(cmp.Compare(a.Position, b.Position), strings.Compare(a.Code, b.Code))
	})
	return siblings
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

// With works out what edits make of the tree, all or nothing, by looking at what they
// name and at what stands below that. Parents may stand behind their children. The
// error is *Invalid with pointers such as "/3/parent": category.code, category.twice,
// category.parent (there is none of that code), category.cycle, category.depth,
// category.position, category.many, and those of labels.
func (t *Tree) With(edits []CategoryEdit) (*TreeChange, error) {
	d := draft{old: t, edited: make(map[string]*Category, len(edits)), paths: map[string][]string{}}
	var ps problems
	at := make(map[string]string, len(edits)) // code → the edit's pointer
	last := lastPositions{tree: t, of: map[string]int{}}
	fresh := 0
	for i := range edits {
		e := &edits[i]
		pointer := "/" + strconv.Itoa(i)
		if at[e.Code] != "" {
			ps.add(pointer+"/code", "category.twice", fmt.Sprintf("category %s is defined twice", quote(e.Code)))
			continue
		}
		at[e.Code] = pointer
		old := t.Category(e.Code)
		if old == nil {
			fresh++
		}
		d.edited[e.Code] = e.on(&ps, pointer, old, &last)
	}
	if t.Len()+fresh > MaxCategories {
		ps.add("", "category.many", fmt.Sprintf("there are at most %d categories", MaxCategories))
	}
	for i := range edits {
		if parent := d.edited[edits[i].Code].Parent; parent != "" && d.category(parent) == nil {
			ps.add("/"+strconv.Itoa(i)+"/parent", "category.parent", fmt.Sprintf("there is no category %s", quote(parent)))
		}
	}
	if len(ps) > 0 {
		return nil, &Invalid{Problems: ps}
	}
	d.look()
	for _, code := range slices.Sorted(maps.Keys(d.moved)) {
		if fault := d.place(code); fault != nil {
			ps.add(fault.place(at)+"/parent", fault.kind, fault.detail)
			return nil, &Invalid{Problems: ps} // others below it have the same one
		}
	}
	return d.change(), nil
}

// on is the category that the edit makes of old, or of none.
func (e *CategoryEdit) on(ps *problems, pointer string, old *Category, last *lastPositions) *Category {
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
		if n, some := last.below(e.Parent); some {
			c.Position = min(n+1, maxPosition)
		}
	}
	n, _ := last.below(e.Parent)
	last.of[e.Parent] = max(n, c.Position)
	return c
}

// lastPositions are the highest positions below parents, as edits raise them.
type lastPositions struct {
	tree *Tree
	of   map[string]int // by the parent's code; what is not there is as the tree has it
}

// below is the highest position below a parent; false where nothing stands there.
func (l *lastPositions) below(parent string) (position int, some bool) {
	if n, known := l.of[parent]; known {
		return n, true
	}
	children := l.tree.Children(parent)
	if len(children) == 0 {
		return 0, false
	}
	return children[len(children)-1].Position, true
}
