// Package akeneo reads the folder that an Akeneo PIM exports, as it stands, and
// turns it into what the store takes: a change of the schema, and products in
// Sluice's own import layout. What lives here: Akeneo's files, their columns and
// what they mean. What does not: storing anything, and files' contents, which
// whoever runs the import keeps.
//
// The files and their columns are those of Akeneo's own CSV exports
// (https://docs.akeneo.com, "Import and export your data"): separated by
// semicolons, in UTF-8, a column being attribute[-locale][-channel].
//
// Memory grows with the attributes, options, families and product models, not
// with the products.
package akeneo

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// Finding is something in the folder that people should know of. Of one that is
// true of many rows the first is named, with how many there are.
type Finding struct {
	File     string
	Line     int // of the file; 0: the file as a whole
	SKU      string
	Column   string
	Value    string
	Code     string
	Text     string
	Severity pim.Severity
}

// Counts says what a folder holds, and what became of it.
type Counts struct {
	Families         int `json:"families"`
	FamilyVariants   int `json:"family_variants"`
	Attributes       int `json:"attributes"`
	Options          int `json:"options"`
	Categories       int `json:"categories"`
	Channels         int `json:"channels"`
	Locales          int `json:"locales"`
	Currencies       int `json:"currencies"`
	AssociationTypes int `json:"association_types"`
	ProductModels    int `json:"product_models"`
	Folded           int `json:"folded_models"` // models below a model that the store has no place for: their values are their variants'
	Products         int `json:"products"`
	Media            int `json:"media"` // paths that products name
	MediaMissing     int `json:"media_missing"`

	Created Created `json:"created"`
}

// Created counts what the store lacked, and was made; of a dry run, what would be.
type Created struct {
	AttributeGroups  int `json:"attribute_groups"`
	Attributes       int `json:"attributes"`
	Families         int `json:"families"`
	Categories       int `json:"categories"`
	AssociationTypes int `json:"association_types"`
	Locales          int `json:"locales"`
	Currencies       int `json:"currencies"`
	Channels         int `json:"channels"`
}

// Folder is an Akeneo export that was looked through once.
type Folder struct {
	Counts   Counts
	Findings []Finding

	fsys       fs.FS
	attributes map[string]*attribute
	order      []string // of the attributes
	families   map[string]*family
	famOrder   []string
	variants   map[string]*variant
	channels   []channel
	assoc      map[string]bool // association types
	identifier string          // code of the attribute that is the SKU
	linkTypes  []pim.AssociationType
	groups     []pim.AttributeGroup
	categories []pim.CategoryEdit
	catLines   map[string]int // code → line
	locales    map[string]pim.Locale
	currencies []pim.Currency
	models     map[string]*model // by code in small letters
	modelOrder []string
	used       map[string]map[string]bool  // family → attributes that its products fill
	filled     map[string]map[string]*seen // scopable attribute → channels with a value
	orphans    int                         // products without a family
	assets     map[string]string           // path → asset code
	missing    map[string]bool             // paths of no file
	folded     []Finding                   // of models that are
	made       []Channel                   // that the store lacks
	scopes     map[pim.ChannelCode]bool    // channels that there are then
	settled    []Finding                   // of channels, and of values for others
	noted      map[string]*Finding         // that stand for many
	times      map[string]int
}

// OtherFamily is the family of products that have none in Akeneo.
const OtherFamily = "akeneo_other"

// Fault is an error of the folder: it cannot be worked with. Its text says where.
type Fault struct{ text string }

// Error says what is wrong, and in which file.
func (f *Fault) Error() string { return f.text }

func faultf(format string, args ...any) error { return &Fault{fmt.Sprintf(format, args...)} }

// maxModels bounds the product models that are kept in memory.
const maxModels = 1_000_000

// Open looks a folder through: what it defines is kept, products are only
// surveyed. Its error is a *Fault, or fsys'.
func Open(fsys fs.FS) (*Folder, error) {
	f := &Folder{
		fsys: fsys, attributes: map[string]*attribute{}, families: map[string]*family{}, variants: map[string]*variant{}, assoc: map[string]bool{}, catLines: map[string]int{},
		locales: map[string]pim.Locale{}, models: map[string]*model{}, used: map[string]map[string]bool{}, filled: map[string]map[string]*seen{},
		assets: map[string]string{}, missing: map[string]bool{}, noted: map[string]*Finding{}, times: map[string]int{},
	}
	for _, step := range []struct {
		file   string
		needed bool
		read   func(*line) error
	}{
		{"channels.csv", false, f.channel},
		{"attribute_groups.csv", false, f.group},
		{"attributes.csv", true, f.attribute},
		{"attribute_options.csv", false, f.option},
		{"families.csv", true, f.family},
		{"family_variants.csv", false, f.variant},
		{"categories.csv", false, f.category},
		{"association_types.csv", false, f.associationType},
		{"product_models.csv", false, f.model},
		{"products.csv", true, f.survey},
	} {
		if err := f.each(step.file, step.needed, step.read); err != nil {
			return nil, err
		}
	}
	f.mendModels()
	f.settle(&pim.Schema{})
	f.Counts.Attributes, f.Counts.Families, f.Counts.FamilyVariants = len(f.order), len(f.families), len(f.variants)
	f.Counts.Locales, f.Counts.Currencies, f.Counts.Channels = len(f.locales), len(f.currencies), len(f.channels)
	f.Counts.ProductModels = len(f.models)
	return f, nil
}

// line is a record of a file.
type line struct {
	file  string
	at    int
	names []string
	index map[string]int
	cells []string
	cols  []column // of products and models, once they were worked out
}

// get is a cell without spaces around it; "" where there is no such column.
func (l *line) get(name string) string {
	if i, ok := l.index[name]; ok {
		return strings.TrimSpace(l.cells[i])
	}
	return ""
}

func (l *line) list(name string) []string {
	return slices.DeleteFunc(strings.Split(l.get(name), ","), func(s string) bool { return s == "" })
}

// labels are the label columns' texts by the store's locales.
func (l *line) labels() map[pim.Locale]string {
	var out map[pim.Locale]string
	for i, name := range l.names {
		code, is := strings.CutPrefix(name, "label-")
		if !is || strings.TrimSpace(l.cells[i]) == "" {
			continue
		}
		if locale, ok := localeOf(code); ok {
			if out == nil {
				out = map[pim.Locale]string{}
			}
			out[locale] = strings.TrimSpace(l.cells[i])
		}
	}
	return out
}

// each reads a file of the folder, record by record.
func (f *Folder) each(name string, needed bool, do func(*line) error) error {
	file, err := f.fsys.Open(name)
	if errors.Is(err, fs.ErrNotExist) && !needed {
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return faultf("the folder has no %s: it is no Akeneo export", name)
	}
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // it was only read
	in := &bounded{r: file, left: maxRecord}
	r := csv.NewReader(in)
	r.Comma, r.FieldsPerRecord, r.ReuseRecord = ';', -1, true
	header, err := r.Read()
	if in.over {
		return faultf("%s, line 1: the header is larger than %d bytes", name, maxRecord)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return faultf("%s cannot be read: %v", name, err)
	}
	if !utf8.ValidString(strings.Join(header, "")) {
		return faultf("%s, line 1: the header is not in UTF-8; export it in UTF-8", name)
	}
	l := &line{file: name, names: slices.Clone(header), index: map[string]int{}}
	for i, n := range l.names {
		n = strings.TrimPrefix(n, "\ufeff")
		if _, twice := l.index[n]; twice {
			return faultf("%s has two columns %q", name, n)
		}
		l.names[i], l.index[n] = n, i
	}
	if name == "products.csv" && f.identifier != "" {
		at, has := l.index[f.identifier]
		if !has {
			return faultf("%s has no column %q, which is the products' identifier", name, f.identifier)
		}
		l.index["sku"] = at
	}
	for {
		in.left = maxRecord
		l.cells, err = r.Read()
		if in.over {
			return faultf("%s, behind line %d: a record is larger than %d bytes, as one is whose quote is never closed", name, l.at, maxRecord)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return faultf("%s cannot be read: %v", name, err)
		}
		l.at, _ = r.FieldPos(0)
		if len(l.cells) != len(l.names) {
			return faultf("%s, line %d: the record has %d fields, the header has %d", name, l.at, len(l.cells), len(l.names))
		}
		for i, c := range l.cells {
			if !utf8.ValidString(c) {
				return faultf("%s, line %d: column %s is not in UTF-8; export it in UTF-8", name, l.at, l.names[i])
			}
		}
		if err := do(l); err != nil {
			return err
		}
	}
}

// maxRecord bounds what is held in memory of a file, in bytes.
const maxRecord = 16 << 20

// bounded ends a file whose record does not.
type bounded struct {
	r    io.Reader
	left int
	over bool
}

// Read reads on, as far as a record may go.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		b.over = true
		return 0, io.ErrUnexpectedEOF
	}
	n, err := b.r.Read(p)
	b.left -= n
	return n, err
}

// maxFindings bounds the findings that are kept one by one, in memory and for
// those who read them; Report says how many more there were.
const maxFindings = 10_000

// note adds a finding.
func (f *Folder) note(x Finding) {
	if len(f.Findings) >= maxFindings {
		f.noteOnce("beyond", Finding{File: x.File, Line: x.Line, Code: "akeneo.more", Text: fmt.Sprintf("beyond the first %d findings there are more, which are not told one by one", maxFindings)})
		return
	}
	if x.Severity == "" {
		x.Severity = pim.SeverityWarning
	}
	f.Findings = append(f.Findings, x)
}

// noteOnce adds a finding that stands for all of its kind; Finish says how many.
func (f *Folder) noteOnce(kind string, x Finding) {
	if f.times[kind]++; f.noted[kind] == nil {
		if x.Severity == "" {
			x.Severity = pim.SeverityWarning
		}
		f.noted[kind] = &x
	}
}

// Report gives all findings, once the products were written.
func (f *Folder) Report() []Finding {
	out := slices.Concat(f.Findings, f.folded, f.settled)
	kinds := make([]string, 0, len(f.noted))
	for kind := range f.noted {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	for _, kind := range kinds {
		x := *f.noted[kind]
		if n := f.times[kind]; n > 1 {
			x.Text += fmt.Sprintf(" (so %d times, this being the first)", n)
		}
		out = append(out, x)
	}
	return out
}

// localeOf makes the store's locale of Akeneo's: de_DE is de-DE.
func localeOf(code string) (pim.Locale, bool) {
	l := pim.Locale(strings.ReplaceAll(code, "_", "-"))
	return l, pim.ValidLocale(l) == nil
}

func (f *Folder) currency(l *line, c pim.Currency) bool {
	if slices.Contains(f.currencies, c) {
		return true
	}
	if err := pim.ValidCurrency(c); err != nil {
		f.noteOnce("currency "+string(c), Finding{File: l.file, Line: l.at, Value: string(c), Code: "currency", Text: err.Error() + ": its prices are not taken"})
		return false
	}
	f.currencies = append(f.currencies, c)
	return true
}

// Change is what the store's schema lacks: what is there stays as it is, but
// for options, family attributes and family variants that are added. ok is
// false where nothing is lacking.
func (f *Folder) Change(have *pim.Schema) (change postgres.SchemaChange, ok bool) {
	f.settle(have)
	for _, code := range f.order {
		for _, want := range f.attributes[code].wanted(f) {
			if own := have.Attributes[want.Code]; own == nil {
				change.Attributes = append(change.Attributes, want)
			} else if more := withOptions(*own, want.Options); len(more.Options) > len(own.Options) {
				change.Attributes = append(change.Attributes, more)
			}
		}
	}
	slices.SortStableFunc(change.Attributes, func(a, b pim.Attribute) int { return strings.Compare(a.Code, b.Code) })
	for _, fam := range f.wantedFamilies() {
		if own := have.Families[fam.Code]; own != nil {
			more, grown := grownFamily(*own, fam)
			if !grown {
				continue
			}
			fam = more
		}
		change.Families = append(change.Families, fam)
	}
	for _, l := range f.locales {
		if !have.Locales[l] && !slices.Contains(change.Locales, l) {
			change.Locales = append(change.Locales, l)
		}
	}
	slices.Sort(change.Locales)
	for _, c := range f.currencies {
		if !have.Currencies[c] {
			change.Currencies = append(change.Currencies, c)
		}
	}
	change.Groups = f.lackedGroups(have, change.Attributes)
	f.Counts.Created = Created{
		AttributeGroups: len(change.Groups), Locales: len(change.Locales), Currencies: len(change.Currencies), Channels: len(f.made), AssociationTypes: len(f.AssociationTypes(have)),
	}
	for i := range change.Attributes {
		if have.Attributes[change.Attributes[i].Code] == nil {
			f.Counts.Created.Attributes++
		}
	}
	for i := range change.Families {
		if have.Families[change.Families[i].Code] == nil {
			f.Counts.Created.Families++
		}
	}
	for i := range f.categories {
		if have.Tree.Category(f.categories[i].Code) == nil {
			f.Counts.Created.Categories++
		}
	}
	return change, len(change.Groups)+len(change.Attributes)+len(change.Families)+len(change.Locales)+len(change.Currencies) > 0
}

func (f *Folder) associationType(l *line) error {
	f.Counts.AssociationTypes++
	t := pim.AssociationType{Code: l.get("code"), Labels: l.labels(), TwoWay: l.get("is_two_way") == "1", Quantified: l.get("is_quantified") == "1"}
	if !isCode("association type", t.Code) || f.assoc[t.Code] {
		f.note(Finding{File: l.file, Line: l.at, Column: "code", Value: t.Code, Code: "association_type.code", Text: "the association type cannot be called so, or is there twice: it is not taken"})
		return nil
	}
	f.assoc[t.Code] = true
	f.linkTypes = append(f.linkTypes, t)
	return nil
}

// AssociationTypes are the association types that the store lacks; those that are
// there stay as they are.
func (f *Folder) AssociationTypes(have *pim.Schema) (types []pim.AssociationType) {
	for _, t := range f.linkTypes {
		if have.Associations[t.Code] == nil {
			types = append(types, t)
		}
	}
	return types
}

func (f *Folder) category(l *line) error {
	f.Counts.Categories++
	code := l.get("code")
	if !isCode("category", code) || f.catLines[code] > 0 {
		f.note(Finding{File: l.file, Line: l.at, Column: "code", Value: code, Code: "category.code", Text: "the category cannot be called so, or is there twice: it is not taken"})
		return nil
	}
	if len(f.categories) == pim.MaxCategories {
		return faultf("%s has more than %d categories", l.file, pim.MaxCategories)
	}
	f.catLines[code] = l.at
	f.categories = append(f.categories, pim.CategoryEdit{Code: code, Parent: l.get("parent"), Labels: l.labels()})
	return nil
}

// Categories are the categories that the store's trees lack; those that are
// there stay where and as they are. One whose parent is nowhere becomes a root.
func (f *Folder) Categories(have *pim.Tree) (edits []pim.CategoryEdit) {
	for _, c := range f.categories {
		if have.Category(c.Code) != nil {
			continue
		}
		if c.Parent != "" && f.catLines[c.Parent] == 0 && have.Category(c.Parent) == nil {
			f.note(Finding{File: "categories.csv", Line: f.catLines[c.Code], Column: "parent", Value: c.Parent, Code: "category.parent", Text: "there is no category of that code: " + c.Code + " is a root"})
			c.Parent = ""
		}
		edits = append(edits, c)
	}
	return edits
}

func withOptions(a pim.Attribute, more []pim.Option) pim.Attribute {
	a.Options = slices.Clone(a.Options)
	for _, o := range more {
		if !slices.ContainsFunc(a.Options, func(h pim.Option) bool { return h.Code == o.Code }) {
			a.Options = append(a.Options, o)
		}
	}
	return a
}

func grownFamily(own, want pim.Family) (pim.Family, bool) {
	own.Attributes, own.Variants = slices.Clone(own.Attributes), slices.Clone(own.Variants)
	n := len(own.Attributes) + len(own.Variants)
	for _, a := range want.Attributes {
		if !slices.ContainsFunc(own.Attributes, func(h pim.FamilyAttribute) bool { return h.Code == a.Code }) {
			own.Attributes = append(own.Attributes, a)
		}
	}
	for _, v := range want.Variants {
		if !slices.ContainsFunc(own.Variants, func(h pim.FamilyVariant) bool { return h.Code == v.Code }) {
			own.Variants = append(own.Variants, v)
		}
	}
	return own, len(own.Attributes)+len(own.Variants) > n
}
