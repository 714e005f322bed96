package supplier

import (
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/sluicehub/sluice/jobs/importing/markup"
)

// icecat reads Icecat's product files (one product in one language each, joined
// by the IDs of features) and its index files.
type icecat struct {
	r      *markup.Reader
	header Header
	queue  []Event
	seen   bool
	err    error
}

func newIcecat(r *markup.Reader) *icecat {
	return &icecat{r: r, header: Header{Format: Icecat, Supplier: "icecat"}}
}

func (c *icecat) Header() *Header { return &c.header }

var icecatTrees = regexp.MustCompile(`^/ICECAT-interface/(?:Product|(?:files\.index|Response/ProductsList)/(?:file|Product))$`)

// langIDs are Icecat's numbers of languages, in their order from 1
// (https://iceclog.com/manual-for-icecat-xml-open-icecat, "language list").
var langIDs = strings.Fields("en nl fr de it es da ru en-US pt-BR pt zh sv pl cs hu fi el no tr bg ka ro sr uk ja ca es-AR hr ar vi ko mk sl en-SG en-ZA zh-TW he lt lv en-IN de-CH id sk fa es-MX et de-BE fr-BE nl-BE th ru-UA de-AT fr-CH")

// langOf is the language of an element; "": it says none that is known.
func langOf(n *markup.Node) string {
	if n == nil {
		return ""
	}
	id := 0
	for _, d := range n.Attr["langid"] {
		if d < '0' || d > '9' || id > 1000 {
			return ""
		}
		id = id*10 + int(d-'0')
	}
	if id < 1 || id > len(langIDs) {
		return ""
	}
	return langIDs[id-1]
}

func (c *icecat) Next() (Event, error) {
	for {
		if len(c.queue) > 0 {
			e := c.queue[0]
			c.queue = c.queue[1:]
			return e, nil
		}
		if c.err != nil {
			return Event{}, c.err
		}
		n, err := c.r.Next(icecatTrees.MatchString, nil)
		if err != nil {
			if c.err = err; errors.Is(err, io.EOF) && !c.seen {
				c.err = &markup.Fault{Line: 1, Path: "/" + RootIcecat, Code: "icecat.empty", Text: "the file has neither a product nor an index of files"}
			}
			continue
		}
		c.seen = true
		if n.Name == "file" {
			return Event{Item: c.entry(n)}, nil
		}
		it := c.product(n)
		c.queue = append(c.queue, Event{Item: it})
		for _, id := range it.Categories {
			c.queue = slices.Insert(c.queue, 0, Event{Category: &Category{ID: id, Names: it.FamilyName, Line: n.Line}})
		}
	}
}

// product reads a product file.
func (c *icecat) product(n *markup.Node) *Item {
	it := &Item{Path: n.Path(), Line: n.Line, Size: n.Size, SKU: n.Attr["Prod_id"]}
	if code := n.Attr["Code"]; code != "1" {
		it.refuse(n, "icecat.code", code, "Icecat answers with code %s instead of the product: %s", code, n.Attr["ErrorMessage"])
		return it
	}
	if it.SKU == "" {
		it.refuse(n, "sku.missing", "", "the product has no Prod_id")
		return it
	}
	category := n.Kid("Category")
	file := fileLang(n)
	if file != "" && !slices.Contains(c.header.Languages, file) {
		c.header.Languages = append(c.header.Languages, file)
	}
	it.text(n, "name", file, n.Attr["Title"])
	it.text(n, "manufacturer_type", file, n.Attr["Name"])
	it.text(n, "manufacturer_sku", "", it.SKU)
	it.text(n, "icecat_id", "", n.Attr["ID"])
	it.text(n, "release_date", "", n.Attr["ReleaseDate"])
	if s := n.Kid("Supplier"); s != nil {
		it.text(s, "brand", "", s.Attr["Name"])
	}
	c.gtins(it, n.All("EANCode"), "EAN")
	c.descriptions(it, n, file)
	if id := attr(category, "ID"); id != "" {
		it.Family, it.Categories = id, []string{id}
		it.FamilyName = valueNames(category, file)
	}
	for _, f := range n.All("ProductFeature") {
		c.feature(it, f, file)
	}
	c.pictures(it, n)
	for _, related := range n.All("ProductRelated") {
		it.refers(n, "related", Reference{SKU: attr(related.Kid("Product"), "Prod_id")})
	}
	return it
}

// fileLang is the language that a product file is in: that of most of its texts.
func fileLang(n *markup.Node) string {
	times := map[string]int{}
	for _, f := range n.All("ProductFeature") {
		for _, name := range f.Kid("Feature").All("Name") {
			times[langOf(name)]++
		}
	}
	for _, d := range append(n.All("ProductDescription"), n.Kid("Category").All("Name")...) {
		times[langOf(d)]++
	}
	best := ""
	for l, k := range times {
		if l != "" && (best == "" || k > times[best] || k == times[best] && l < best) {
			best = l
		}
	}
	return best
}

func valueNames(n *markup.Node, file string) map[string]string {
	out := map[string]string{}
	for _, name := range n.All("Name") {
		l := langOf(name)
		if l == "" {
			l = file
		}
		if text, _ := plain(name.Attr["Value"]); text != "" && out[l] == "" {
			out[l] = text
		}
	}
	return out
}

func (c *icecat) gtins(it *Item, list []*markup.Node, attr string) {
	var others []string
	for i, e := range list {
		switch code := e.Attr[attr]; {
		case i == 0:
			it.text(e, "barcode", "", code)
		case code != "" && len(others) < 50:
			others = append(others, code)
		}
	}
	if len(others) > 0 {
		it.text(list[0], "other_barcodes", "", strings.Join(others, ", "))
	}
}

func (c *icecat) descriptions(it *Item, n *markup.Node, file string) {
	own := func(d *markup.Node) string {
		if l := langOf(d); l != "" {
			return l
		}
		return file
	}
	lines := strings.NewReplacer(`\n`, "<br>", "\n", "<br>") // their texts have a backslash and an n for a line end
	short := map[string]bool{}
	if s := n.Kid("SummaryDescription"); s != nil {
		for _, d := range s.All("ShortSummaryDescription") {
			if !short[own(d)] {
				it.text(d, "short_description", own(d), lines.Replace(d.Text))
				short[own(d)] = d.Text != ""
			}
		}
	}
	for _, d := range n.All("ProductDescription") {
		it.text(d, "description", own(d), lines.Replace(d.Attr["LongDesc"]))
		if text := d.Attr["ShortDesc"]; !short[own(d)] {
			it.text(d, "short_description", own(d), lines.Replace(text))
			short[own(d)] = text != ""
		}
		for _, pdf := range []string{"PDFURL", "ManualPDFURL"} {
			it.shows("documents", d.Attr[pdf])
		}
	}
}

// feature reads a feature. Its value is the one that is the same in every
// language where it is a number or yes or no, else the text for people.
func (c *icecat) feature(it *Item, n *markup.Node, file string) {
	def := n.Kid("Feature")
	id := attr(def, "ID")
	if id == "" {
		return
	}
	f := Feature{Key: id, ID: true, Names: valueNames(def, file)}
	sign := def.Kid("Measure").Kid("Signs").Kid("Sign")
	if sign != nil {
		f.Unit = sign.Text
	}
	raw, _ := plain(n.Attr["Value"])
	shown, _ := plain(n.Attr["Presentation_Value"])
	if shown == "" {
		shown = raw
	}
	if raw == "" {
		raw = shown
	}
	if raw == "" {
		return
	}
	f.Values = []Text{{Field: raw, Lang: file, Value: shown}}
	it.Features = append(it.Features, f)
}

func (c *icecat) pictures(it *Item, n *markup.Node) {
	it.shows("images", n.Attr["HighPic"])
	if g := n.Kid("ProductGallery"); g != nil {
		for _, p := range g.All("ProductPicture") {
			it.shows("images", p.Attr["Pic"])
		}
	}
	if m := n.Kid("ProductMultimediaObject"); m != nil {
		for _, o := range m.All("MultimediaObject") {
			it.shows("documents", o.Attr["URL"])
		}
	}
}

// entry reads a line of an index: what there is, without its features.
func (c *icecat) entry(n *markup.Node) *Item {
	it := &Item{Path: n.Path(), Line: n.Line, Size: n.Size, SKU: n.Attr["Prod_ID"]}
	if it.SKU == "" {
		it.refuse(n, "sku.missing", "", "the entry has no Prod_ID")
		return it
	}
	it.text(n, "name", "", n.Attr["Model_Name"])
	it.text(n, "manufacturer_sku", "", it.SKU)
	it.text(n, "icecat_id", "", n.Attr["Product_ID"])
	if codes := n.Kid("EAN_UPCS"); codes != nil {
		c.gtins(it, codes.All("EAN_UPC"), "Value")
	}
	it.shows("images", n.Attr["HighPic"])
	if id := n.Attr["Catid"]; id != "" {
		it.Family, it.Categories = id, []string{id}
	}
	return it
}

func attr(n *markup.Node, name string) string {
	if n == nil {
		return ""
	}
	return n.Attr[name]
}
