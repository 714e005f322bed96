package importing

import (
	"hash/maphash"
	"slices"
	"strings"

	"github.com/sluicehub/sluice/pim"
)

const (
	maxPairs   = 200    // attributes that a file names in its cells
	maxMasked  = 64     // of them that variants who name their parents may differ in
	maxByID    = 200000 // products that variants may name by their number
	idPrefix   = "id:"
	maxAxisSet = 100 // family variants that a family may have
)

// links is what the whole file says about products and their variants, in
// some 30 bytes for each product that has any.
type links struct {
	hash
	pairs map[string]*stat // by name
	order []string         // of the pairs
	facet map[string]bool
	// parents are the products that variants name, by the hash of the name: a
	// bit for each pair that all of their variants have.
	parents map[[2]uint64]uint64
	sets    [][]string        // the different axes of the file's products
	ids     map[string]string // number → SKU
	idsFull bool
}

func newLinks() *links {
	return &links{hash: newHash(), pairs: map[string]*stat{}, facet: map[string]bool{}, parents: map[[2]uint64]uint64{}, ids: map[string]string{}}
}

// hash makes 128 bits of a text: that two of a million texts have the same has
// a chance of one in 10^26.
type hash [2]maphash.Seed

func newHash() hash { return hash{maphash.MakeSeed(), maphash.MakeSeed()} }

func (h hash) of(s string) [2]uint64 {
	return [2]uint64{maphash.String(h[0], s), maphash.String(h[1], s)}
}

// link takes note of a group.
func (l *links) link(r *reading, g *group, parent *expression) error {
	for _, it := range r.split(g) {
		rec := it.records[0]
		if rec.bad != nil {
			continue
		}
		if err := l.takePairs(rec, it.pairs); err != nil {
			return err
		}
		if err := l.variantsOf(r, rec); err != nil {
			return err
		}
		switch {
		case it.level == product && len(it.axes) > 0:
			l.addSet(it.axes)
		case r.linked():
			l.parentOf(r, &it, parent)
		}
	}
	return nil
}

// takePairs takes note of the attributes that a record names in its cells.
func (l *links) takePairs(rec *record, pairs []pair) error {
	for _, p := range pairs {
		st := l.pairs[p.name]
		if st == nil {
			if len(l.order) == maxPairs {
				return faultf("row %d: the rows name more than %d attributes, this one %q; import the file with the layout %s to take columns as they are",
					rec.row, maxPairs, clip(p.name, 100), plainName)
			}
			st = &stat{}
			l.pairs[p.name] = st
			l.order = append(l.order, p.name)
		}
		st.take(rec.row, p.value, false, false)
		l.facet[p.name] = p.facet
	}
	return nil
}

// parentOf takes note of a row that names its parent, or may be one.
func (l *links) parentOf(r *reading, it *item, parent *expression) {
	rec := it.records[0]
	ref := plainSKU(r.parentRef(rec, parent))
	if ref == "" {
		if id := r.text(rec, r.id); id != "" && len(it.pairs) > 0 {
			if l.idsFull = l.idsFull || len(l.ids) == maxByID; !l.idsFull {
				l.ids[id] = plainSKU(r.text(rec, r.sku))
			}
		}
		return
	}
	if r.variants >= 0 && len(it.pairs) == 0 {
		return // what it differs in, its product's row may say
	}
	mask := l.maskOf(it.pairs)
	key := l.of(ref)
	if had, known := l.parents[key]; known {
		mask &= had
	}
	l.parents[key] = mask
}

// parentRef is what a record calls its parent; "": it has none.
func (r *reading) parentRef(rec *record, parent *expression) string {
	if parent != nil && rec.bad == nil {
		v, err := parent.value(rowOf(rec, r.columns))
		if err != nil || v == nil {
			return "" // told where the row is taken
		}
		return strings.TrimSpace(textOf(v))
	}
	return r.text(rec, r.parent)
}

func (l *links) addSet(axes []string) {
	if len(axes) > 0 && !slices.ContainsFunc(l.sets, func(s []string) bool { return slices.Equal(s, axes) }) && len(l.sets) <= maxAxisSet {
		l.sets = append(l.sets, slices.Clone(axes))
	}
}

// complete works out the axes of parents that variants have named.
func (l *links) complete() {
	masks := map[uint64]bool{}
	for _, m := range l.parents {
		masks[m] = true
	}
	all := make([]uint64, 0, len(masks))
	for m := range masks {
		all = append(all, m)
	}
	slices.Sort(all)
	for _, m := range all {
		l.addSet(l.axesOf(m))
	}
}

// axesOf are the names of a mask's pairs.
func (l *links) axesOf(mask uint64) []string {
	var axes []string
	for i, name := range l.order[:min(len(l.order), maxMasked)] {
		if mask&(1<<i) != 0 && len(axes) < maxAxes {
			axes = append(axes, name)
		}
	}
	return axes
}

// parentAxes are the axes of a product that the file's variants name, by its
// SKU or number; known is false for a product that none does.
func (l *links) parentAxes(sku, id string) (axes []string, known bool) {
	mask, known := l.parents[l.of(sku)]
	if id != "" {
		if m, ok := l.parents[l.of(idPrefix+id)]; ok {
			if known {
				m &= mask
			}
			mask, known = m, true
		}
	}
	return l.axesOf(mask), known
}

// parentSKU resolves what a variant calls its parent.
func (l *links) parentSKU(ref string) (sku pim.SKU, ok bool) {
	if id, byID := strings.CutPrefix(ref, idPrefix); byID {
		if s := l.ids[strings.TrimSpace(id)]; s != "" {
			return pim.SKU(s), true
		}
		return pim.SKU(plainSKU(ref)), false
	}
	return pim.SKU(plainSKU(ref)), true
}

// seen remembers the SKUs of a file by 128-bit hashes, with their rows: some
// 40 MB for a million of them. After a restart the rows that are passed over
// fill it again. That two of a million SKUs have the same hash has a chance
// of one in 10^26.
type seen struct {
	hash
	rows map[[2]uint64]int64
}

func newSeen() seen { return seen{newHash(), map[[2]uint64]int64{}} }

// has reports a SKU that was noted.
func (s *seen) has(sku string) bool { return s.rows[s.of(sku)] > 0 }

// before gives the row that had the SKU first, and notes row when there is none.
func (s *seen) before(sku string, row int64) (first int64, twice bool) {
	key := s.of(sku)
	if first, twice = s.rows[key]; !twice {
		s.rows[key] = row
	}
	return first, twice
}

// maskOf has a bit for each name of pairs that variants can differ in.
func (l *links) maskOf(pairs []pair) (mask uint64) {
	for _, p := range pairs {
		if i := slices.Index(l.order, p.name); i >= 0 && i < maxMasked && !p.facet {
			mask |= 1 << i
		}
	}
	return mask
}

// listedVariant is one that its product's row lists.
type listedVariant struct {
	sku   string
	pairs []pair
}

// variantList reads what a product's row says of its variants, as Bagisto and
// Magento write it: "sku=A,color=Red,size=M|sku=B,color=Red,size=L".
func (r *reading) variantList(rec *record) (out []listedVariant) {
	for _, text := range parts(r.text(rec, r.variants), "|") {
		var v listedVariant
		for _, p := range parts(text, ",") {
			switch name, value, _ := strings.Cut(p, "="); {
			case strings.EqualFold(name, "sku"):
				v.sku = plainSKU(value)
			case name != "" && value != "" && len(name) <= maxName && len(v.pairs) < maxAxes:
				v.pairs = append(v.pairs, pair{name: strings.TrimSpace(name), value: strings.TrimSpace(value)})
			}
		}
		if v.sku != "" && len(v.pairs) > 0 && len(out) < groupRows {
			out = append(out, v)
		}
	}
	return out
}

// learn keeps what a product's row says of its variants.
func (r *reading) learn(rec *record) {
	if r.variants < 0 || rec.bad != nil {
		return
	}
	for _, v := range r.variantList(rec) {
		if len(r.listed) < maxByID {
			r.listed[v.sku] = v.pairs
		}
	}
}

// variantsOf takes note of the variants that a product's row lists.
func (l *links) variantsOf(r *reading, rec *record) error {
	if r.variants < 0 {
		return nil
	}
	key := l.of(r.plainSKU(rec))
	for _, v := range r.variantList(rec) {
		if err := l.takePairs(rec, v.pairs); err != nil {
			return err
		}
		mask := l.maskOf(v.pairs)
		if had, known := l.parents[key]; known {
			mask &= had
		}
		l.parents[key] = mask
	}
	return nil
}

// plainSKU is a record's SKU by the column that is called so.
func (r *reading) plainSKU(rec *record) string {
	at := r.sku
	if at < 0 {
		at = slices.IndexFunc(r.columns.names, isSKUName)
	}
	return plainSKU(r.text(rec, at))
}
