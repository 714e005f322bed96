package supplier

import (
	"errors"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/sluicehub/sluice/jobs/importing/markup"
	"github.com/sluicehub/sluice/pim"
)

// The transactions of a BMEcat.
const (
	newCatalog     = "T_NEW_CATALOG"
	updateProducts = "T_UPDATE_PRODUCTS"
	updatePrices   = "T_UPDATE_PRICES"
)

// bmecat reads BMEcat 1.2 (ARTICLE) and 2005 (PRODUCT). What it does not know,
// as extensions of users, it passes over, and names each once.
type bmecat struct {
	r       *markup.Reader
	header  Header
	version string
	queue   []Event
	told    map[string]bool
	err     error
}

func newBMEcat(r *markup.Reader) *bmecat {
	return &bmecat{r: r, header: Header{Format: "BMEcat"}, told: map[string]bool{}}
}

func (b *bmecat) Header() *Header { return &b.header }

// bmecatTrees are the elements that are read as a whole.
var bmecatTrees = regexp.MustCompile(`^/BMECAT/(?:HEADER|T_[A-Z_]+/(?:ARTICLE|PRODUCT|ARTICLE_TO_CATALOGGROUP_MAP|PRODUCT_TO_CATALOGGROUP_MAP|` +
	`(?:CATALOG_GROUP_SYSTEM/CATALOG_STRUCTURE)|(?:CLASSIFICATION_SYSTEM/CLASSIFICATION_GROUPS/CLASSIFICATION_GROUP)))$`)

func (b *bmecat) Next() (Event, error) {
	for {
		if len(b.queue) > 0 {
			e := b.queue[0]
			b.queue = b.queue[1:]
			return e, nil
		}
		if b.err != nil {
			return Event{}, b.err
		}
		n, err := b.r.Next(bmecatTrees.MatchString, b.enter)
		if err != nil {
			if b.err = err; errors.Is(err, io.EOF) && b.header.Kind == "" {
				b.err = &markup.Fault{Line: 1, Path: "/" + RootBMEcat, Code: "bmecat.transaction", Text: "the file has no T_NEW_CATALOG, T_UPDATE_PRODUCTS or T_UPDATE_PRICES"}
			}
			continue
		}
		switch n.Name {
		case "HEADER":
			b.readHeader(n)
		case "ARTICLE", "PRODUCT":
			if b.header.Kind == updatePrices || b.header.Kind == updateProducts || b.header.Kind == newCatalog {
				return Event{Item: b.item(n)}, nil
			}
		case "CATALOG_STRUCTURE":
			if c := b.category(n, n.Of("GROUP_ID"), n.Of("PARENT_ID"), n.All("GROUP_NAME")); c != nil {
				c.Order, _ = strconv.Atoi(n.Of("GROUP_ORDER"))
				if n.Attr["type"] == "root" || c.Parent == "0" {
					c.Parent = ""
				}
				return Event{Category: c}, nil
			}
		case "CLASSIFICATION_GROUP":
			// a classification says what kinds of products there are; a catalogue's own tree is CATALOG_GROUP_SYSTEM
			b.tell("bmecat.classification", n, "groups of a classification system are not taken as categories; products' features say which group they are of")
		default:
			sku, group := n.Of("ART_ID"), n.Of("CATALOG_GROUP_ID")
			if sku == "" {
				sku = n.Of("PROD_ID")
			}
			if sku == "" || group == "" {
				b.queue = append(b.queue, Event{Note: &Problem{Path: n.Path(), Line: n.Line, Code: "bmecat.map", Text: "the mapping names no product or no group: it is not taken"}})
				continue
			}
			return Event{Mapping: &Mapping{SKU: sku, Category: group}}, nil
		}
	}
}

// tell notes something that is true of many elements once.
func (b *bmecat) tell(code string, n *markup.Node, text string) {
	if key := code + " " + n.Name; !b.told[key] && len(b.told) < 200 {
		b.told[key] = true
		b.queue = append(b.queue, Event{Note: &Problem{Path: n.Path(), Line: n.Line, Code: code, Text: text}})
	}
}

func (b *bmecat) enter(n *markup.Node) {
	switch {
	case n.Name == RootBMEcat:
		b.version = n.Attr["version"]
		b.header.Format = strings.TrimSpace("BMEcat " + b.version)
	case strings.Count(n.Path(), "/") == 2 && strings.HasPrefix(n.Name, "T_"):
		switch b.header.Kind = n.Name; n.Name {
		case newCatalog:
			b.tell("bmecat.new_catalog", n, "the catalogue takes the place of the one before it; products that it does not have any more stay as they are here")
		case updateProducts, updatePrices:
		default:
			b.tell("bmecat.transaction", n, "there is no such transaction: what is in it is not taken")
		}
	case strings.Count(n.Path(), "/") == 3:
		switch n.Name {
		case "CATALOG_GROUP_SYSTEM", "CLASSIFICATION_SYSTEM", "FEATURE_SYSTEM", "FORMULAS", "IPP_DEFINITIONS":
		default:
			b.tell("bmecat.element", n, "the element is not known here: it is passed over")
		}
	}
}

func (b *bmecat) readHeader(n *markup.Node) {
	c := n.Kid("CATALOG")
	for _, l := range c.All("LANGUAGE") {
		if lang := Lang(l.Text); lang == "" {
			b.tell("locale", l, "language "+l.Text+" is not known: its texts are taken as the catalogue's first")
		} else if l.Attr["default"] == "true" {
			b.header.Languages = slices.Insert(b.header.Languages, 0, lang)
		} else if !slices.Contains(b.header.Languages, lang) {
			b.header.Languages = append(b.header.Languages, lang)
		}
	}
	for _, t := range c.All("TERRITORY") {
		b.header.Territories = append(b.header.Territories, strings.ToUpper(t.Text))
	}
	b.header.Currency = pim.Currency(strings.ToUpper(c.Of("CURRENCY")))
	b.header.MediaRoot = c.Of("MIME_ROOT")
	if b.header.Supplier = n.Of("SUPPLIER", "SUPPLIER_NAME"); b.header.Supplier == "" {
		b.header.Supplier = n.Of("SUPPLIER", "SUPPLIER_ID")
	}
	if n.Kid("USER_DEFINED_EXTENSIONS") != nil {
		b.tell("bmecat.udx", n.Kid("USER_DEFINED_EXTENSIONS"), "extensions of users (UDX) are not taken")
	}
}

// lang is an element's own language.
func lang(n *markup.Node) string { return Lang(n.Attr["lang"]) }

func names(list []*markup.Node) map[string]string {
	var out map[string]string
	for _, n := range list {
		if n.Text == "" {
			continue
		}
		if out == nil {
			out = map[string]string{}
		}
		text, _ := plain(n.Text)
		if _, twice := out[lang(n)]; !twice {
			out[lang(n)] = text
		}
	}
	return out
}

func (b *bmecat) category(n *markup.Node, id, parent string, labels []*markup.Node) *Category {
	if id == "" {
		b.queue = append(b.queue, Event{Note: &Problem{Path: n.Path(), Line: n.Line, Code: "category.code", Text: "the group has no ID: it is not taken"}})
		return nil
	}
	return &Category{ID: id, Parent: parent, Names: names(labels), Line: n.Line}
}

// part is a child of an article by its name without ARTICLE_ or PRODUCT_.
func part(n *markup.Node, name string) []*markup.Node {
	return n.All("ARTICLE_"+name, "PRODUCT_"+name)
}

// item reads an article.
func (b *bmecat) item(n *markup.Node) *Item {
	it := &Item{Path: n.Path(), Line: n.Line, Size: n.Size}
	if it.SKU = n.Of("SUPPLIER_AID"); it.SKU == "" {
		it.SKU = n.Of("SUPPLIER_PID")
	}
	if it.SKU == "" {
		it.refuse(n, "sku.missing", "", "the product has no SUPPLIER_AID or SUPPLIER_PID")
		return it
	}
	switch {
	case b.header.Kind == updatePrices:
		it.Mode = Prices
	case n.Attr["mode"] == "delete":
		it.Mode = Withdraw
		return it
	case b.header.Kind == updateProducts && n.Attr["mode"] == "new":
		it.Mode = Enable
	}
	for _, k := range n.Kids {
		switch strings.TrimPrefix(strings.TrimPrefix(k.Name, "ARTICLE_"), "PRODUCT_") {
		case "DETAILS":
			b.details(it, k)
		case "FEATURES":
			b.features(it, k)
		case "ORDER_DETAILS":
			for element, field := range map[string]string{
				"ORDER_UNIT": "order_unit", "CONTENT_UNIT": "content_unit", "NO_CU_PER_OU": "content_quantity",
				"PRICE_QUANTITY": "price_quantity", "QUANTITY_MIN": "quantity_min", "QUANTITY_INTERVAL": "quantity_interval",
			} {
				if e := k.Kid(element); e != nil {
					it.text(e, field, "", e.Text)
				}
			}
		case "PRICE_DETAILS":
			b.prices(it, k, n)
		case "MIME_INFO":
			b.media(it, k)
		case "REFERENCE":
			to := k.Of("ART_ID_TO")
			if to == "" {
				to = k.Of("PROD_ID_TO")
			}
			quantity, _ := strconv.Atoi(k.Attr["quantity"])
			it.refers(n, strings.ToLower(k.Attr["type"]), Reference{to, min(max(quantity, 0), pim.MaxQuantity)})
		case "LOGISTIC_DETAILS":
			for field, e := range map[string]*markup.Node{
				"customs_number": k.Kid("CUSTOMS_TARIFF_NUMBER", "CUSTOMS_NUMBER"), "country_of_origin": k.Kid("COUNTRY_OF_ORIGIN"), "weight": k.Kid("PRODUCT_DIMENSIONS", "WEIGHT"),
			} {
				if e != nil {
					it.text(e, field, "", e.Text)
				}
			}
		case "SUPPLIER_AID", "SUPPLIER_PID", "SUPPLIER_IDREF", "CONFIG_DETAILS":
		case "USER_DEFINED_EXTENSIONS":
			for _, udx := range k.Kids {
				b.tell("bmecat.udx", udx, "extensions of users (UDX) are not taken: "+udx.Name)
			}
		default:
			b.unknown(it, n, k)
		}
	}
	slices.SortStableFunc(it.Texts, func(x, y Text) int { return strings.Compare(x.Field, y.Field) }) // maps were gone through
	return it
}

// unknown notes an element that stands where none of its name may be.
func (b *bmecat) unknown(it *Item, in, k *markup.Node) {
	if key := "bmecat.element " + in.Name + "/" + k.Name; !b.told[key] && len(b.told) < 200 {
		b.told[key] = true
		it.note(k, "bmecat.element", "", "element %s is not known in %s: it is passed over, here and elsewhere", k.Name, in.Name)
	}
}

func (b *bmecat) details(it *Item, n *markup.Node) {
	for _, k := range n.Kids {
		switch k.Name {
		case "DESCRIPTION_SHORT":
			it.text(k, "name", lang(k), k.Text)
		case "DESCRIPTION_LONG":
			it.text(k, "description", lang(k), k.Text)
		case "EAN":
			it.text(k, "barcode", "", k.Text)
		case "INTERNATIONAL_PID":
			if kind := strings.ToLower(k.Attr["type"]); kind == "" || kind == "gtin" || kind == "ean" || kind == "upc" {
				it.text(k, "barcode", "", k.Text)
			}
		case "SUPPLIER_ALT_AID", "SUPPLIER_ALT_PID":
			it.text(k, "supplier_alt_sku", "", k.Text)
		case "MANUFACTURER_AID", "MANUFACTURER_PID":
			it.text(k, "manufacturer_sku", "", k.Text)
		case "MANUFACTURER_NAME":
			it.text(k, "brand", "", k.Text)
		case "MANUFACTURER_TYPE_DESCR":
			it.text(k, "manufacturer_type", lang(k), k.Text)
		case "DELIVERY_TIME":
			it.text(k, "delivery_days", "", k.Text)
		case "KEYWORD":
			it.text(k, "tags", lang(k), k.Text)
		case "REMARKS":
			it.text(k, "remarks", lang(k), k.Text)
		case "ARTICLE_STATUS", "PRODUCT_STATUS":
			it.text(k, "status", "", k.Attr["type"])
		case "BUYER_AID", "BUYER_PID", "ERP_GROUP_BUYER", "ERP_GROUP_SUPPLIER", "SPECIAL_TREATMENT_CLASS", "SEGMENT", "ARTICLE_ORDER", "PRODUCT_ORDER",
			"INTERNATIONAL_RESTRICTIONS", "ACCOUNTING_INFO", "AGREEMENT_REF", "PRODUCT_TYPE", "MANUFACTURER_IDREF":
		default:
			b.unknown(it, n, k)
		}
	}
}

// features reads an ARTICLE_FEATURES, of 2005+onto with its blocks.
func (b *bmecat) features(it *Item, n *markup.Node) {
	group := n.Of("REFERENCE_FEATURE_GROUP_ID")
	if group == "" {
		group = n.Of("REFERENCE_FEATURE_GROUP_NAME")
	}
	if list := n.All("FEATURE", "FEATURE_GROUP"); it.Family == "" && group != "" && len(list) > 0 {
		it.Family = strings.TrimSpace(n.Of("REFERENCE_FEATURE_SYSTEM_NAME") + " " + group)
		it.FamilyName = map[string]string{"": it.Family}
	}
	for _, f := range n.All("FEATURE") {
		b.feature(it, f)
	}
	for _, g := range n.All("FEATURE_GROUP") {
		for _, f := range g.All("FEATURE") {
			b.feature(it, f)
		}
	}
}

func (b *bmecat) feature(it *Item, n *markup.Node) {
	f := Feature{Names: names(n.All("FNAME")), Unit: n.Of("FUNIT")}
	f.Unit, _ = plain(f.Unit)
	if t := n.Kid("FTEMPLATE"); t != nil {
		f.Key, f.ID = t.Of("FT_ID"), true
		f.Names = names(t.All("FT_NAME"))
		if u := t.Of("FT_UNIT"); f.Unit == "" {
			f.Unit, _ = plain(u)
		}
	}
	if ref := n.Of("FT_IDREF"); f.Key == "" && ref != "" {
		f.Key, f.ID = ref, true
	}
	if f.Key == "" {
		f.ID = false
		if list := n.All("FNAME"); len(list) > 0 {
			f.Key, _ = plain(list[0].Text)
		}
	}
	if strings.Trim(f.Key, "- ") == "" {
		return // without a name nobody knows what it is of
	}
	values := n.All("FVALUE")
	if len(values) == 0 {
		values = n.All("FVALUE_DETAILS") // what a value of a classification means in words
	}
	for _, v := range values {
		text, twice := plain(v.Text)
		if twice {
			it.note(v, "text.entity", v.Text, "the text has character references of HTML in it, escaped twice: they are decoded")
		}
		if text != "" {
			f.Values = append(f.Values, Text{Lang: lang(v), Value: text})
		}
	}
	for _, v := range n.All("VARIANTS") {
		for _, variant := range v.All("VARIANT") {
			if text := variant.Of("FVALUE"); text != "" {
				f.Values = append(f.Values, Text{Value: text})
			}
		}
		it.note(v, "bmecat.variants", f.Key, "variants by a supplement of the number are no products of their own here: their values are the feature's")
	}
	if len(f.Values) > 0 {
		it.Features = append(it.Features, f)
	}
}

func (b *bmecat) media(it *Item, n *markup.Node) {
	list := n.All("MIME")
	slices.SortStableFunc(list, func(x, y *markup.Node) int { return order(x) - order(y) })
	for _, m := range list {
		source, kind := m.Of("MIME_SOURCE"), strings.ToLower(m.Of("MIME_TYPE"))
		if source == "" {
			continue
		}
		field := "documents"
		if strings.HasPrefix(kind, "image/") || kind == "jpg" {
			field = "images"
		}
		it.shows(field, source)
	}
}

// order is where a picture stands among the others: by its number, and the main
// one first of those that have none.
func order(m *markup.Node) int {
	if n, err := strconv.Atoi(m.Of("MIME_ORDER")); err == nil && n >= 0 && n < 1_000_000 {
		return n
	}
	if m.Of("MIME_PURPOSE") == "normal" {
		return 1_000_000
	}
	return 1_000_001
}
