// Package supplier reads the catalogues that suppliers and content providers
// send as XML: BMEcat 1.2 and 2005 (https://www.bmecat.org) and Icecat's product
// and index files (https://iceclog.com/manual-for-icecat-xml-open-icecat). It
// says what they hold, in one form for all of them. What lives here: their
// elements and what they mean. What does not: what becomes of it in the store,
// which is package importing's.
//
// Memory does not grow with the file.
package supplier

import (
	"fmt"
	"html"
	"io"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/text/language"

	"github.com/sluicehub/sluice/jobs/importing/markup"
	"github.com/sluicehub/sluice/pim"
)

// Mode is what an item is to do.
type Mode int

// The modes.
const (
	Change   Mode = iota // create the product, or change what is said
	Enable               // as Change, and the product is sold again
	Withdraw             // the product is not sold any more
	Prices               // change prices of a product that is there
)

// Text is one text of an item.
type Text struct {
	Field string // code of a Field; of a feature's value what it is in every language, "" where that is Value
	Lang  string // BCP 47, such as "de"; "": the catalogue's own, or none
	Value string
}

// Feature is what an item says of one of its features.
type Feature struct {
	Key    string            // that is the same in every language, where the format has one
	ID     bool              // Key is an identifier, no name
	Names  map[string]string // by language
	Values []Text            // without Field
	Unit   string            // as the file has it
}

// Price is one price of an item.
type Price struct {
	List        string // the format's price type, in small letters
	Territories []string
	pim.Price
	Line int
}

// Reference is another product that an item names.
type Reference struct {
	SKU      string
	Quantity int // how many of it; 0: the file does not say
}

// Problem is something about an item that people should know of.
type Problem struct {
	Path, Value, Code, Text string
	Line                    int
}

// Item is a product, or what a catalogue says of one.
type Item struct {
	SKU        string
	Mode       Mode
	Path       string
	Line, Size int
	Family     string            // what kind of product it is, as the format calls it; "": it does not say
	FamilyName map[string]string // by language
	Texts      []Text
	Features   []Feature
	Prices     []Price
	Media      []Text                 // Field images or documents, Value a link or file name
	References map[string][]Reference // by kind, at most pim.MaxAssociations of each
	Categories []string               // IDs of categories that the item itself names
	Bad        *Problem               // it cannot be taken
	Notes      []Problem

	shown map[Text]bool // those of Media
}

// Category is a node of a catalogue's tree.
type Category struct {
	ID, Parent string // Parent "": a root
	Names      map[string]string
	Order      int // 0: it does not say
	Line       int
}

// Mapping puts a product into a category.
type Mapping struct{ SKU, Category string }

// Header is what a catalogue says of itself, before its items.
type Header struct {
	Format      string // "BMEcat 1.2", "Icecat"
	Kind        string // of a BMEcat: T_NEW_CATALOG and the like
	Supplier    string
	Languages   []string
	Territories []string
	Currency    pim.Currency
	MediaRoot   string
}

// Event is the next thing in a file: exactly one of its fields is set.
type Event struct {
	Item     *Item
	Category *Category
	Mapping  *Mapping
	Note     *Problem // of the file as a whole
}

// Reader reads a catalogue. Next gives io.EOF at the end, a *markup.Fault where
// the file cannot be read on, or the source's own error. Header is known once
// the first item was read, or the end.
type Reader interface {
	Next() (Event, error)
	Header() *Header
}

// Field is a text that items of a format have, and the attribute it becomes.
type Field struct {
	Code        string
	Type        pim.AttributeType
	Localizable bool
	Check       string
	Unit        string
	Label       string // in English
	in          int
}

// Fields are those of all formats, the Icecat ones being of Icecat only.
var Fields = []Field{
	{Code: "name", Type: pim.TypeText, Localizable: true, Label: "Name", in: both},
	{Code: "description", Type: pim.TypeRichText, Localizable: true, Label: "Description", in: both},
	{Code: "short_description", Type: pim.TypeRichText, Localizable: true, Label: "Short description", in: inIcecat},
	{Code: "brand", Type: pim.TypeText, Label: "Brand", in: both},
	{Code: "barcode", Type: pim.TypeText, Check: pim.CheckGTIN, Label: "Barcode", in: both},
	{Code: "other_barcodes", Type: pim.TypeText, Label: "Other barcodes", in: inIcecat},
	{Code: "tags", Type: pim.TypeText, Localizable: true, Label: "Tags", in: inBMEcat},
	{Code: "manufacturer_sku", Type: pim.TypeText, Label: "Manufacturer's number", in: both},
	{Code: "manufacturer_type", Type: pim.TypeText, Localizable: true, Label: "Manufacturer's type", in: both},
	{Code: "supplier_alt_sku", Type: pim.TypeText, Label: "Supplier's other number", in: inBMEcat},
	{Code: "remarks", Type: pim.TypeText, Localizable: true, Label: "Remarks", in: inBMEcat},
	{Code: "delivery_days", Type: pim.TypeNumber, Label: "Days to delivery", in: inBMEcat},
	{Code: "order_unit", Type: pim.TypeText, Label: "Order unit (UN/ECE Rec 20)", in: inBMEcat},
	{Code: "content_unit", Type: pim.TypeText, Label: "Content unit (UN/ECE Rec 20)", in: inBMEcat},
	{Code: "content_quantity", Type: pim.TypeNumber, Label: "Content units in an order unit", in: inBMEcat},
	{Code: "price_quantity", Type: pim.TypeNumber, Label: "Order units that the supplier's prices are of", in: inBMEcat},
	{Code: "quantity_min", Type: pim.TypeNumber, Label: "Least order quantity", in: inBMEcat},
	{Code: "quantity_interval", Type: pim.TypeNumber, Label: "Order quantity in steps of", in: inBMEcat},
	{Code: "tax_rate", Type: pim.TypeNumber, Label: "Tax rate (0.19 is 19 %)", in: inBMEcat},
	{Code: "customs_number", Type: pim.TypeText, Label: "Customs tariff number", in: inBMEcat},
	{Code: "country_of_origin", Type: pim.TypeText, Label: "Country of origin", in: inBMEcat},
	{Code: "weight", Type: pim.TypeNumber, Unit: "kg", Label: "Weight", in: inBMEcat},
	{Code: "status", Type: pim.TypeText, Label: "Status", in: inBMEcat},
	{Code: "release_date", Type: pim.TypeDate, Label: "Release date", in: inIcecat},
	{Code: "icecat_id", Type: pim.TypeText, Label: "Icecat ID", in: inIcecat},
	{Code: "images", Type: pim.TypeMedia, Label: "Images", in: both},
	{Code: "documents", Type: pim.TypeMedia, Label: "Documents", in: both},
}

const (
	inBMEcat = 1 << iota
	inIcecat
	both = inBMEcat | inIcecat
)

// FieldsOf are the fields that items of a format may have.
func FieldsOf(format string) []Field {
	mask := inBMEcat
	if format == Icecat {
		mask = inIcecat
	}
	return slices.DeleteFunc(slices.Clone(Fields), func(f Field) bool { return f.in&mask == 0 })
}

// Icecat is the Header.Format of Icecat's files.
const Icecat = "Icecat"

// Roots are the root elements of the formats.
const (
	RootBMEcat = "BMECAT"
	RootIcecat = "ICECAT-interface"
)

// New makes the reader of a file whose root element was found to be root.
func New(root string, r io.Reader) (Reader, bool) {
	switch root {
	case RootBMEcat:
		return newBMEcat(markup.New(r)), true
	case RootIcecat:
		return newIcecat(markup.New(r)), true
	}
	return nil, false
}

var rootTag = regexp.MustCompile(`<([A-Za-z_][A-Za-z0-9._:-]*)`)

// Root is the name of the root element of a file that begins with head, without
// its prefix; "" of what is no XML, or whose beginning is longer than head.
func Root(head []byte) string {
	r := markup.New(strings.NewReader(string(head)))
	name := ""
	_, _ = r.Next(func(string) bool { return name != "" }, func(n *markup.Node) { // the head may end anywhere
		if name == "" {
			name = n.Name
		}
	})
	if name != "" {
		return name
	}
	if m := rootTag.FindSubmatch(head); m != nil && !strings.Contains(string(head), "<!DOCTYPE") {
		_, local, prefixed := strings.Cut(string(m[1]), ":")
		if !prefixed {
			local = string(m[1])
		}
		return local
	}
	return ""
}

// bibliographic are the ISO 639-2/B codes, which have others in 639-2/T.
var bibliographic = map[string]string{
	"ger": "de", "fre": "fr", "dut": "nl", "cze": "cs", "gre": "el", "chi": "zh", "rum": "ro", "slo": "sk", "alb": "sq",
	"arm": "hy", "baq": "eu", "bur": "my", "geo": "ka", "ice": "is", "mac": "mk", "mao": "mi", "may": "ms", "per": "fa", "tib": "bo", "wel": "cy",
}

// Lang is the BCP 47 tag of a language as catalogues write it: "deu", "ger",
// "DEU", "de_DE"; "" of none.
func Lang(code string) string {
	code = strings.ReplaceAll(strings.TrimSpace(code), "_", "-")
	if short := bibliographic[strings.ToLower(code)]; short != "" {
		return short
	}
	if len(code) < 2 || len(code) > 35 {
		return ""
	}
	tag, err := language.Parse(code)
	if err != nil || tag == language.Und {
		return ""
	}
	return tag.String()
}

var reference = regexp.MustCompile(`&(?:[A-Za-z][A-Za-z0-9]{1,30}|#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6});`)

// plain decodes the character references of HTML that a plain text of XML has
// no use for: exporters that escape twice leave them.
func plain(text string) (string, bool) {
	if !reference.MatchString(text) {
		return text, false
	}
	out := html.UnescapeString(text)
	return out, out != text
}

// note adds what people should know of an item, once for each kind and path.
func (it *Item) note(n *markup.Node, code, value, format string, args ...any) {
	p := Problem{Path: n.Path(), Line: n.Line, Code: code, Value: value, Text: fmt.Sprintf(format, args...)}
	if len(it.Notes) < 100 && !slices.ContainsFunc(it.Notes, func(q Problem) bool { return q.Code == p.Code && q.Path == p.Path && q.Text == p.Text }) {
		it.Notes = append(it.Notes, p)
	}
}

// shows notes a link or file name, once.
func (it *Item) shows(field, link string) {
	t := Text{Field: field, Value: link}
	if link == "" || it.shown[t] {
		return
	}
	if it.shown == nil {
		it.shown = map[Text]bool{}
	}
	it.shown[t] = true
	it.Media = append(it.Media, t)
}

// refers notes another product, once for each kind.
func (it *Item) refers(n *markup.Node, kind string, to Reference) {
	list := it.References[kind]
	switch {
	case to.SKU == "" || kind == "" || slices.ContainsFunc(list, func(r Reference) bool { return r.SKU == to.SKU }):
	case len(list) == pim.MaxAssociations:
		it.note(n, "reference.many", kind, "a product has at most %d references of a type: those beyond are left out", pim.MaxAssociations)
	default:
		if it.References == nil {
			it.References = map[string][]Reference{}
		}
		it.References[kind] = append(list, to)
	}
}

// refuse says why an item cannot be taken; the first reason counts.
func (it *Item) refuse(n *markup.Node, code, value, format string, args ...any) {
	if it.Bad != nil {
		return
	}
	it.Bad = &Problem{Path: n.Path(), Line: n.Line, Code: code, Value: value, Text: fmt.Sprintf(format, args...)}
}

// text adds a text, unless it says nothing.
func (it *Item) text(n *markup.Node, field, lang, value string) {
	if value == "" {
		return
	}
	if clean, twice := plain(value); twice && field != "description" && field != "short_description" {
		it.note(n, "text.entity", value, "the text has character references of HTML in it, escaped twice: they are decoded")
		value = clean
	}
	it.Texts = append(it.Texts, Text{Field: field, Lang: lang, Value: value})
}
