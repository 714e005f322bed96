package woocommerce

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sluicehub/sluice/pim"
)

// kind is what a field of a document may hold.
type kind int

const (
	text     kind = iota
	flag          // true or false
	whole         // a whole number
	amount        // a decimal text such as "19.90", not below zero
	moment        // a date and time, RFC 3339; without zone it is UTC
	sizes         // {length, width, height}, amounts
	metadata      // [{key, value}]
	paths         // category names, or paths such as "Clothing > Shirts"
	traits        // attribute name → text, number, flag or a list of them
	axes          // attribute name → one text, number or flag
	pictures      // addresses, or {src, alt}
	skus          // a SKU
	statuses      // publish, draft, pending, private
)

// field is one field that a lane's document may have.
type field struct {
	kind  kind
	oneOf []string // of texts
	// reset is sent where the document has no such field, so that what is taken
	// out of a product goes from the shop, too. Nil leaves alone what the shop
	// has: fields that hardly anybody maps.
	reset any
	// product and variation say which of the two have it.
	product, variation bool
}

// fields are what the lanes' documents may have, by WooCommerce's own names
// where the shop has the field (docs: product and product variation properties).
var fields = map[pim.Lane]map[string]field{
	pim.Content: {
		"sku":                {kind: skus},
		"parent":             {kind: skus},
		"name":               {product: true},
		"slug":               {product: true},
		"status":             {kind: statuses, reset: "publish", product: true, variation: true},
		"description":        {reset: "", product: true, variation: true},
		"short_description":  {reset: "", product: true},
		"global_unique_id":   {reset: "", product: true, variation: true},
		"catalog_visibility": {oneOf: []string{"visible", "catalog", "search", "hidden"}, product: true},
		"featured":           {kind: flag, product: true},
		"virtual":            {kind: flag, product: true, variation: true},
		"tax_status":         {oneOf: []string{"taxable", "shipping", "none"}, product: true, variation: true},
		"tax_class":          {reset: "", product: true, variation: true},
		"weight":             {kind: amount, reset: "", product: true, variation: true},
		"dimensions":         {kind: sizes, product: true, variation: true},
		"shipping_class":     {product: true, variation: true},
		"purchase_note":      {product: true},
		"reviews_allowed":    {kind: flag, product: true},
		"sold_individually":  {kind: flag, product: true},
		"menu_order":         {kind: whole, product: true, variation: true},
		"meta_data":          {kind: metadata, product: true, variation: true},
		"categories":         {kind: paths, reset: []any{}, product: true},
		"attributes":         {kind: traits, reset: []attribute{}, product: true},
		"axes":               {kind: axes},
	},
	pim.Offer: {
		"sku":                   {kind: skus},
		"parent":                {kind: skus},
		"regular_price":         {kind: amount, reset: "", product: true, variation: true},
		"sale_price":            {kind: amount, reset: "", product: true, variation: true},
		"date_on_sale_from_gmt": {kind: moment, reset: "", product: true, variation: true},
		"date_on_sale_to_gmt":   {kind: moment, reset: "", product: true, variation: true},
		"stock":                 {kind: whole},
		"stock_status":          {oneOf: []string{"instock", "outofstock", "onbackorder"}, product: true, variation: true},
		"backorders":            {oneOf: []string{"no", "notify", "yes"}, product: true, variation: true},
		"low_stock_amount":      {kind: whole, product: true, variation: true},
	},
	pim.Media: {
		"sku":    {kind: skus},
		"parent": {kind: skus},
		"images": {kind: pictures},
	},
}

// keepable are the fields that Config.Keep may name.
func keepable() (names []string) {
	for _, lane := range fields {
		for name, f := range lane {
			if f.reset != nil && name != "status" {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// document is a lane's document as it was understood.
type document struct {
	sku, parent pim.SKU
	fields      map[string]any // ready to be sent, of products and variations both
	categories  []path
	attributes  []attribute
	axes        []axis
	images      []image
	stock       json.Number // "" is unknown
}

// axis is a variant's value of one attribute that tells it from its siblings.
type axis struct{ name, option string }

// image is a picture of a document.
type image struct{ src, alt string }

const (
	maxText    = 1 << 20 // bytes
	maxNames   = 100     // attributes, categories
	maxImages  = 100
	maxOptions = 500
)

// read understands a document, as DecodeDocument gives it. Its issues are all
// problems at once; each keeps the document from being sent.
func read(lane pim.Lane, raw map[string]any) (*document, []pim.Issue) {
	r := fieldReader{doc: &document{fields: map[string]any{}}}
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		f, ok := fields[lane][name]
		switch {
		case !ok:
			r.issue(name, "field_unknown", "The %s document of a WooCommerce channel has no field %q; there are: %s.", lane, name, strings.Join(slices.Sorted(maps.Keys(fields[lane])), ", "))
		case raw[name] != nil:
			r.field(name, f, raw[name])
		}
	}
	d := r.doc
	if lane == pim.Content {
		name, isText := d.fields["name"].(string)
		switch {
		case d.parent == "" && (raw["name"] == nil || isText && strings.TrimSpace(name) == ""):
			r.issue("name", "name_missing", "A product needs a name.")
		case d.parent != "" && len(d.axes) == 0 && raw["axes"] == nil:
			r.issue("axes", "axes_missing", "A variant needs the field axes: in what it differs from its siblings.")
		}
	}
	if _, sale := d.fields["sale_price"]; sale && lane == pim.Offer && d.fields["regular_price"] == nil {
		r.issue("sale_price", "sale_price", "A sale price needs a regular price beside it.")
	}
	return d, r.issues
}

// storable says what is wrong with a SKU: WordPress cleans texts
// (sanitize_text_field) before it stores and before it looks up, and a SKU that
// comes out changed would never be found again.
func storable(sku pim.SKU) *pim.Issue {
	s := string(sku)
	why := ""
	switch {
	case s == "0":
		why = "to PHP it is no text at all"
	case utf8.RuneCountInString(s) > 100:
		why = "WooCommerce looks up 100 characters"
	case strings.Contains(s, "<"), octet.MatchString(s), strings.Join(strings.Fields(s), " ") != s:
		why = "WordPress takes out tags, percent-encoded bytes and repeated spaces"
	default:
		return nil
	}
	return &pim.Issue{Code: "woocommerce.sku", Severity: pim.SeverityError, Attribute: "sku", Text: fmt.Sprintf("The shop cannot hold the SKU %q as it is: %s.", s, why)}
}

var (
	octet   = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)
	decimal = regexp.MustCompile(`^[0-9]{1,20}(\.[0-9]{1,20})?$`)
	integer = regexp.MustCompile(`^-?[0-9]{1,15}$`)
)

// fieldReader gathers what is wrong on the way.
type fieldReader struct {
	doc    *document
	issues []pim.Issue
}

func (r *fieldReader) issue(name, code, format string, args ...any) {
	r.issues = append(r.issues, pim.Issue{Code: "woocommerce." + code, Severity: pim.SeverityError, Attribute: name, Text: fmt.Sprintf(format, args...)})
}

func (r *fieldReader) wrong(name, want string) {
	r.issue(name, "field_type", "The field %s must be %s.", name, want)
}

// field reads one field.
func (r *fieldReader) field(name string, f field, v any) {
	switch f.kind {
	case text:
		if s, ok := r.text(name, v); ok {
			if f.oneOf != nil && !slices.Contains(f.oneOf, s) {
				r.wrong(name, "one of "+strings.Join(f.oneOf, ", "))
				return
			}
			r.doc.fields[name] = s
		}
	case statuses:
		s, _ := v.(string)
		if !slices.Contains([]string{"publish", "draft", "pending", "private"}, s) {
			r.wrong(name, "one of publish, draft, pending, private")
			return
		}
		r.doc.fields[name] = s
	case skus:
		s, ok := v.(string)
		if !ok {
			r.wrong(name, "a SKU")
		} else if name == "parent" {
			r.doc.parent = pim.SKU(s)
		} else {
			r.doc.sku = pim.SKU(s)
		}
	case flag:
		b, ok := v.(bool)
		if !ok {
			r.wrong(name, "true or false")
			return
		}
		r.doc.fields[name] = b
	case whole:
		n := json.Number(scalar(v))
		if !integer.MatchString(string(n)) {
			r.wrong(name, "a whole number")
		} else if name == "stock" {
			r.doc.stock = n
		} else {
			r.doc.fields[name] = n
		}
	case amount:
		if s, ok := r.amount(name, v); ok {
			r.doc.fields[name] = s
		}
	case moment:
		r.moment(name, v)
	case sizes:
		r.sizes(name, v)
	case metadata:
		r.metadata(name, v)
	case paths:
		r.categories(name, v)
	case traits:
		r.attributes(name, v)
	case axes:
		r.axes(name, v)
	case pictures:
		r.images(name, v)
	}
}

func (r *fieldReader) text(name string, v any) (string, bool) {
	s := scalar(v)
	_, isText := v.(string)
	switch {
	case s == "" && !isText:
		r.wrong(name, "a text")
		return "", false
	case len(s) > maxText:
		r.issue(name, "too_long", "The field %s has more than %d bytes.", name, maxText)
		return "", false
	}
	return s, true
}

// scalar is a text, a number's digits or a flag's word; "" for all else.
func scalar(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return string(v)
	case bool:
		if v {
			return "true"
		}
		return "false"
	}
	return ""
}

func (r *fieldReader) amount(name string, v any) (string, bool) {
	s := scalar(v)
	if !decimal.MatchString(s) {
		r.wrong(name, `an amount such as "19.90"`)
		return "", false
	}
	return s, true
}

// moment sends times in UTC and without zone, as the shop's own fields …_gmt are.
func (r *fieldReader) moment(name string, v any) {
	const local = "2006-01-02T15:04:05"
	s := scalar(v)
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		at, err = time.Parse(local, s)
	}
	if err != nil {
		at, err = time.Parse(time.DateOnly, s)
	}
	if err != nil {
		r.wrong(name, `a time such as "2026-11-27T00:00:00Z"`)
		return
	}
	r.doc.fields[name] = at.UTC().Format(local)
}

func (r *fieldReader) sizes(name string, v any) {
	m, ok := v.(map[string]any)
	if !ok {
		r.wrong(name, "an object with length, width and height")
		return
	}
	out := map[string]string{"length": "", "width": "", "height": ""}
	for key, side := range m {
		if _, ok := out[key]; !ok {
			r.wrong(name, "an object with length, width and height")
			return
		}
		if side == nil {
			continue
		}
		if s, ok := r.amount(name, side); ok {
			out[key] = s
		}
	}
	r.doc.fields[name] = out
}

func (r *fieldReader) metadata(name string, v any) {
	list, ok := v.([]any)
	for _, el := range list {
		m, isMap := el.(map[string]any)
		key, isText := m["key"].(string)
		if ok = ok && isMap && isText && key != ""; !ok {
			break
		}
	}
	if !ok || len(list) > maxNames {
		r.wrong(name, "a list of at most 100 {key, value}")
		return
	}
	r.doc.fields[name] = list
}

func (r *fieldReader) categories(name string, v any) {
	list, ok := v.([]any)
	if !ok || len(list) > maxNames {
		r.wrong(name, `a list of at most 100 names or paths such as "Clothing > Shirts"`)
		return
	}
	for _, el := range list {
		p, ok := parsePath(scalar(el))
		if !ok {
			r.wrong(name, `a list of names, or of paths such as "Clothing > Shirts"`)
			return
		}
		r.doc.categories = append(r.doc.categories, p)
	}
}

func (r *fieldReader) attributes(name string, v any) {
	m, ok := v.(map[string]any)
	if !ok || len(m) > maxNames {
		r.wrong(name, "an object of at most 100 attribute names, each with a text or a list of texts")
		return
	}
	for _, n := range slices.Sorted(maps.Keys(m)) {
		list, isList := m[n].([]any)
		if !isList {
			list = []any{m[n]}
		}
		a := attribute{Name: tidy(n), Visible: true, Options: []string{}}
		for _, el := range list {
			if s, ok := r.option(name, n, el); ok && len(a.Options) < maxOptions {
				a.Options = append(a.Options, s)
			}
		}
		if len(a.Options) > 0 {
			r.doc.attributes = append(r.doc.attributes, a)
		}
	}
}

func (r *fieldReader) axes(name string, v any) {
	m, ok := v.(map[string]any)
	if !ok || len(m) > 10 {
		r.wrong(name, "an object of at most 10 attribute names, each with a text")
		return
	}
	for _, n := range slices.Sorted(maps.Keys(m)) {
		if s, ok := r.option(name, n, m[n]); ok {
			r.doc.axes = append(r.doc.axes, axis{name: tidy(n), option: s})
		}
	}
	if len(m) == 0 {
		r.issue(name, "axes_missing", "A variant needs the field axes: in what it differs from its siblings.")
	}
}

// option is one value of an attribute. An amount with its unit is written "1.5 kg".
func (r *fieldReader) option(name, of string, v any) (string, bool) {
	s := tidy(scalar(v))
	if m, ok := v.(map[string]any); ok {
		s = strings.TrimSpace(scalar(m["amount"]) + " " + scalar(m["unit"]))
	}
	switch {
	case s == "" || tidy(of) == "":
		r.issue(name, "option", "The attribute %q needs a name and a text, number or flag.", of)
	case strings.Contains(s, "|"):
		// WooCommerce stores the options of an attribute as one text, parted by it.
		r.issue(name, "option", "The attribute %q has an option with the character |, by which WooCommerce parts options.", of)
	default:
		return s, true
	}
	return "", false
}

// tidy is a text as WordPress stores names: no tags' beginnings, single spaces.
func tidy(s string) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(s, "<", "‹")), " ")
}

func (r *fieldReader) images(name string, v any) {
	list, ok := v.([]any)
	if !ok || len(list) > maxImages {
		r.wrong(name, "a list of at most 100 addresses")
		return
	}
	for _, el := range list {
		img := image{src: scalar(el)}
		if m, ok := el.(map[string]any); ok {
			img = image{src: scalar(m["src"]), alt: scalar(m["alt"])}
		}
		if !strings.HasPrefix(img.src, "https://") && !strings.HasPrefix(img.src, "http://") {
			// An asset's code: the shop downloads from the web only.
			r.issue(name, "image", "The picture %q has no http address that the shop could load it from.", clip(img.src, 200))
			continue
		}
		if !slices.ContainsFunc(r.doc.images, func(o image) bool { return o.src == img.src }) {
			r.doc.images = append(r.doc.images, img)
		}
	}
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
