package importing

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/text/language"

	"github.com/sluicehub/sluice/pim"
)

// languages gives each language of the catalogue its locale: the one that was
// said, the house's of the same tag, its first of the same language, or a new one.
func (c *cataloguer) languages() {
	first := ""
	if len(c.header.Languages) > 0 {
		first = c.header.Languages[0]
	}
	for _, lang := range slices.Sorted(maps.Keys(c.langs)) {
		if lang == "" && first != "" {
			continue
		}
		if l := c.locale(lang, first); l != "" {
			c.filling.locales[lang] = l
		}
	}
	if first != "" {
		if c.filling.locales[first] == "" {
			if l := c.locale(first, first); l != "" {
				c.filling.locales[first] = l
			}
		}
		c.filling.locales[""] = c.filling.locales[first]
	}
	c.filling.first = c.filling.locales[""]
	if c.filling.locales["en"] == "" { // that the labels of fields are in
		for _, l := range slices.Sorted(maps.Keys(c.schema.Locales)) {
			if strings.HasPrefix(string(l)+"-", "en-") {
				c.filling.locales["en"] = l
				break
			}
		}
	}
}

func (c *cataloguer) locale(lang, first string) pim.Locale {
	house := slices.Sorted(maps.Keys(c.schema.Locales))
	switch {
	case c.opts.Locale != "" && (lang == first || lang == ""):
		return c.opts.Locale
	case lang == "" && len(house) > 0: // the catalogue says no language
		return house[0]
	case lang == "":
		lang = "en"
	}
	if want := pim.Locale(lang); c.schema.Locales[want] {
		return want
	}
	base := func(tag string) string {
		t, err := language.Parse(tag)
		if err != nil {
			return tag
		}
		b, _ := t.Base()
		return b.String()
	}
	for _, t := range c.header.Territories {
		if want := pim.Locale(lang + "-" + t); c.schema.Locales[want] {
			return want
		}
	}
	for _, l := range house {
		if base(string(l)) == base(lang) {
			return l
		}
	}
	if pim.ValidLocale(pim.Locale(lang)) != nil {
		return ""
	}
	if !slices.Contains(c.change.Locales, pim.Locale(lang)) {
		c.change.Locales = append(c.change.Locales, pim.Locale(lang))
	}
	return pim.Locale(lang)
}

// tree gives the categories that the store's tree lacks, or labels that its own
// lack, and the tree with them. Codes begin with the supplier's name: numbers of
// groups are each supplier's own.
func (c *cataloguer) tree() ([]pim.CategoryEdit, *pim.Tree) {
	owner := codeOf(strings.ToLower(c.header.Supplier))
	if owner == "" {
		owner = strings.TrimSuffix(c.prefix, "_")
	}
	code := func(id string) string {
		if code := clip(owner, 60) + "_" + id; pim.ValidCode("category", code) == nil {
			return code
		}
		return codeOf(clip(owner, 60)+"_"+strings.ToLower(clip(id, 20))) + "_" + fingerprint(id) // others may come to the same
	}
	for i := range c.categories {
		c.filling.codes[i] = code(c.categories[i].ID)
	}
	order := make([]int, len(c.categories))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return c.categories[a].Order - c.categories[b].Order })
	var edits []pim.CategoryEdit
	done := map[string]bool{}
	for _, i := range order {
		n := &c.categories[i]
		e := pim.CategoryEdit{Code: c.filling.codes[i], Labels: c.labels(n.Names), Merge: true}
		if done[e.Code] {
			continue
		}
		done[e.Code] = true
		if have := c.schema.Tree.Category(e.Code); have != nil {
			lacks := false
			for l := range e.Labels {
				if have.Labels[l] != "" {
					delete(e.Labels, l)
				} else {
					lacks = true
				}
			}
			if e.Parent = have.Parent; lacks {
				edits = append(edits, e)
			}
			continue
		}
		if sku, only := c.named[i]; only {
			c.findings = append(c.findings, problem{value: n.ID, code: "category.unknown", text: "neither the catalogue nor the house has this group: products are not put into it, such as " + sku})
			c.filling.codes[i] = ""
			continue
		}
		if n.Parent != "" {
			if _, known := c.catAt[n.Parent]; known {
				e.Parent = code(n.Parent)
			} else {
				c.findings = append(c.findings, problem{value: n.Parent, code: "category.parent", text: fmt.Sprintf("line %d: the catalogue has no group of this ID: group %s is a root", n.Line, n.ID)})
			}
		}
		edits = append(edits, e)
	}
	if len(edits) == 0 {
		return nil, nil
	}
	change, err := c.schema.Tree.With(edits)
	if inv, ok := errors.AsType[*pim.Invalid](err); ok {
		c.findings = append(c.findings, problem{code: "category.tree", text: "the groups make no tree, and no category is taken of them: " + inv.Error()})
		c.filling.codes = nil
		return nil, nil
	}
	return edits, change.Tree
}
