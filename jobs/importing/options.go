package importing

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/sluicehub/sluice/pim"
)

// Bounds of Options.
const (
	maxMapped     = 200  // fields of Map
	maxExpression = 4096 // bytes of one expression
	maxName       = 1000 // bytes of a column's name
)

// Keys of Options.Map that make no attribute. Beside them there are
// "price:EUR", "sale:EUR" and "stock:LOCATION"; all others are codes of
// attributes.
const (
	MapSKU    = "sku"
	MapParent = "parent" // SKU of a variant's parent
)

// Options say how a file becomes products. Their JSON is what an import's row
// keeps; the zero value finds everything out.
type Options struct {
	SKUColumn    string            `json:"sku_column,omitempty" doc:"Column with the SKU; without it one that is called so, else one that is called GTIN, EAN or barcode"`
	Map          map[string]string `json:"map,omitempty" doc:"sku, parent, price:EUR, sale:EUR, stock:LOCATION, or an attribute's code → CEL expression over row, e.g. regexFind(row.image, '/([0-9]+)_')"`
	Family       string            `json:"family,omitempty" doc:"Family of the products; without it one is made from the file's name and columns"`
	DryRun       bool              `json:"dry_run,omitempty" doc:"Check and report, store no product"`
	Locale       pim.Locale        `json:"locale,omitempty" doc:"Locale of columns for localizable attributes that name none themselves"`
	LocaleColumn string            `json:"locale_column,omitempty" doc:"Column with the locale of each row's texts; rows of the same SKU that follow each other are one product"`
	ParentColumn string            `json:"parent_column,omitempty" doc:"Column with the SKU of a variant's parent; without it one that is called Parent or Parent SKU"`
	Axes         []string          `json:"axes,omitempty" doc:"Columns in which the variants of a parent differ; without it those called colour, size and the like"`
	Currency     pim.Currency      `json:"currency,omitempty" doc:"Currency of prices whose column names none; without it such a column is an attribute"`
	PriceList    string            `json:"price_list,omitempty" doc:"Price list that prices go to; without it default"`
	Location     string            `json:"location,omitempty" doc:"Location of stock whose column names none; without it default"`
	AssetBase    string            `json:"asset_base,omitempty" doc:"Address that file names of pictures are put behind, e.g. https://img.example/"`
	Layout       string            `json:"layout,omitempty" enum:"plain,sluice,woocommerce,shopify,vendure,medusa,bmecat,icecat" doc:"Whose columns they are; without it known by the header. plain takes columns as they are."`
	Format       string            `json:"format,omitempty" enum:"csv,tsv,json,jsonl,xlsx,xml" doc:"What the file is; without it found out"`
	Delimiter    string            `json:"delimiter,omitempty" doc:"Of CSV: comma, semicolon, tab, pipe or another character; without it found out"`
	Quote        string            `json:"quote,omitempty" enum:"double,none" doc:"none: a quote in CSV is a character as others are"`
	Encoding     string            `json:"encoding,omitempty" doc:"Of texts, e.g. utf-8, utf-16le, windows-1252, iso-8859-7; without it found out among the first three"`
	Sheet        string            `json:"sheet,omitempty" doc:"Of a workbook: name, or number from 1; without it the first"`
	Profile      string            `json:"profile,omitempty" doc:"Saved options that these were put over"`
}

// form is how the file is written, as far as the options say.
func (o *Options) form() form {
	d, _ := parseDelimiter(o.Delimiter)
	e, _ := parseEncoding(o.Encoding)
	return form{format: o.Format, delimiter: d, noQuotes: o.Quote == "none", encoding: e, sheet: o.Sheet, layout: o.Layout, skus: o.SKUColumn != "" || o.Map[MapSKU] != ""}
}

// Over puts o's own options over base's, as those of a profile: what o does not
// say, base does. Of maps the fields are put together one by one.
func (o Options) Over(base Options) Options {
	out := base
	into := func(field *string, own string) {
		if own != "" {
			*field = own
		}
	}
	into(&out.SKUColumn, o.SKUColumn)
	into(&out.Family, o.Family)
	into((*string)(&out.Locale), string(o.Locale))
	into(&out.LocaleColumn, o.LocaleColumn)
	into(&out.ParentColumn, o.ParentColumn)
	into((*string)(&out.Currency), string(o.Currency))
	into(&out.PriceList, o.PriceList)
	into(&out.Location, o.Location)
	into(&out.AssetBase, o.AssetBase)
	into(&out.Layout, o.Layout)
	into(&out.Format, o.Format)
	into(&out.Delimiter, o.Delimiter)
	into(&out.Quote, o.Quote)
	into(&out.Encoding, o.Encoding)
	into(&out.Sheet, o.Sheet)
	into(&out.Profile, o.Profile)
	if len(o.Axes) > 0 {
		out.Axes = o.Axes
	}
	out.DryRun = o.DryRun || base.DryRun
	if len(o.Map) > 0 {
		out.Map = maps.Clone(base.Map)
		if out.Map == nil {
			out.Map = map[string]string{}
		}
		maps.Copy(out.Map, o.Map)
	}
	// A SKU that is told one way takes the other way out of the profile.
	switch {
	case o.SKUColumn != "":
		delete(out.Map, MapSKU)
	case o.Map[MapSKU] != "":
		out.SKUColumn = ""
	}
	return out
}

// ParseOptions reads Options strictly, and checks them as Check does. Empty
// raw is the zero value. The error is a *pim.Invalid.
func ParseOptions(raw json.RawMessage) (Options, error) {
	var o Options
	if len(bytes.TrimSpace(raw)) == 0 {
		return o, nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		return o, invalid("", "options", strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := d.Token(); err != io.EOF {
		return o, invalid("", "options", "something follows the options")
	}
	return o, o.Check()
}

// Check compiles the expressions and looks at everything else that needs no
// file. The error is a *pim.Invalid with pointers into the options' JSON
// ("/map/sku").
func (o Options) Check() error {
	_, err := o.compile()
	return err
}

// compile gives the mapped fields in the order of their names.
func (o Options) compile() (map[string]*expression, error) {
	var ps []pim.Problem
	add := func(pointer, code, detail string) {
		ps = append(ps, pim.Problem{Pointer: pointer, Code: code, Detail: detail})
	}
	if o.Family != "" {
		if err := pim.ValidCode("family", o.Family); err != nil {
			add("/family", "family.code", err.Error())
		}
	}
	if o.Locale != "" {
		if err := pim.ValidLocale(o.Locale); err != nil {
			add("/locale", "locale.tag", err.Error())
		}
	}
	o.checkFile(add)
	if o.ParentColumn != "" && o.Map[MapParent] != "" {
		add("/parent_column", "options", "the parent comes from a column or from the map, not from both")
	}
	if o.SKUColumn != "" && o.Map[MapSKU] != "" {
		add("/sku_column", "options", "the SKU comes from a column or from the map, not from both")
	}
	if len(o.SKUColumn) > maxName {
		add("/sku_column", "options", fmt.Sprintf("the name of a column has at most %d bytes", maxName))
	}
	if len(o.Map) > maxMapped {
		add("/map", "map.size", fmt.Sprintf("at most %d fields can be mapped", maxMapped))
		return nil, &pim.Invalid{Problems: ps}
	}
	fields := make(map[string]*expression, len(o.Map))
	for _, name := range slices.Sorted(maps.Keys(o.Map)) {
		at := pim.JoinPointer("/map", name)
		if isOffer(name) {
			if _, err := parseOffer(name); err != nil {
				add(at, "options", err.Error())
			}
		} else if err := pim.ValidCode("attribute", name); err != nil {
			add(at, "attribute.code", err.Error())
		}
		e, problems := compileExpression(at, o.Map[name])
		ps = append(ps, problems...)
		fields[name] = e
	}
	if len(ps) > 0 {
		return nil, &pim.Invalid{Problems: ps}
	}
	return fields, nil
}

// checkFile checks what says how the file is written and what its columns are.
func (o Options) checkFile(add func(pointer, code, detail string)) {
	oneOf := func(pointer, value string, names ...string) {
		if value != "" && !slices.Contains(names, value) {
			add(pointer, "options", fmt.Sprintf("%q is not one of %s", clip(value, 40), strings.Join(names, ", ")))
		}
	}
	oneOf("/layout", o.Layout, layoutNames()...)
	oneOf("/format", o.Format, "csv", "tsv", "json", "jsonl", "xlsx", "xml")
	oneOf("/quote", o.Quote, "double", "none")
	if _, err := parseDelimiter(o.Delimiter); err != nil {
		add("/delimiter", "options", err.Error())
	}
	if _, err := parseEncoding(o.Encoding); err != nil {
		add("/encoding", "options", err.Error())
	}
	if o.Currency != "" {
		if err := pim.ValidCurrency(o.Currency); err != nil {
			add("/currency", "currency", err.Error())
		}
	}
	if o.PriceList != "" {
		if err := pim.ValidCode("price list", o.PriceList); err != nil {
			add("/price_list", "code", err.Error())
		}
	}
	if o.Location != "" {
		if err := pim.ValidCode("location", o.Location); err != nil {
			add("/location", "code", err.Error())
		}
	}
	if o.Profile != "" {
		if err := pim.ValidCode("profile", o.Profile); err != nil {
			add("/profile", "code", err.Error())
		}
	}
	if o.AssetBase != "" && (!isLink(o.AssetBase) || !strings.HasSuffix(o.AssetBase, "/")) {
		add("/asset_base", "options", "the address of pictures is an http(s) URL that ends with /")
	}
	if len(o.Axes) > maxAxes {
		add("/axes", "axis.count", fmt.Sprintf("variants differ in at most %d columns", maxAxes))
	}
	for pointer, name := range map[string]string{"/locale_column": o.LocaleColumn, "/parent_column": o.ParentColumn, "/sheet": o.Sheet} {
		if len(name) > maxName {
			add(pointer, "options", fmt.Sprintf("a name has at most %d bytes", maxName))
		}
	}
}

// against checks what the options name of the store.
func (o Options) against(s *pim.Schema) (ps []pim.Problem) {
	add := func(pointer, code, format string, args ...any) {
		ps = append(ps, pim.Problem{Pointer: pointer, Code: code, Detail: clip(fmt.Sprintf(format, args...), 1000)})
	}
	if o.Family != "" && s.Families[o.Family] == nil {
		add("/family", "family.unknown", "there is no family %q; there are: %s", o.Family, some(slices.Sorted(maps.Keys(s.Families))))
	}
	if o.Locale != "" && !s.Locales[o.Locale] {
		add("/locale", "locale.unknown", "locale %s is not one of the store's: %s", o.Locale, some(slices.Sorted(maps.Keys(s.Locales))))
	}
	currency := func(pointer, where string, c pim.Currency) {
		if !s.Currencies[c] {
			add(pointer, "currency.unknown", "%scurrency %s is not one of the store's: %s", where, c, some(slices.Sorted(maps.Keys(s.Currencies))))
		}
	}
	location := func(pointer, where, l string) {
		if !s.Locations[l] {
			add(pointer, "location.unknown", "%sthere is no location %q; there are: %s", where, l, some(slices.Sorted(maps.Keys(s.Locations))))
		}
	}
	if o.Currency != "" {
		currency("/currency", "", o.Currency)
	}
	if o.PriceList != "" && !s.PriceLists[o.PriceList] {
		add("/price_list", "price_list.unknown", "there is no price list %q; there are: %s", o.PriceList, some(slices.Sorted(maps.Keys(s.PriceLists))))
	}
	if o.Location != "" {
		location("/location", "", o.Location)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Map)) {
		if !isOffer(name) {
			continue
		}
		at := pim.JoinPointer("/map", name)
		switch r, err := parseOffer(name); {
		case err != nil: // told by Check
		case r.kind == asStock:
			location(at, "map "+name+": ", r.location)
		default:
			currency(at, "map "+name+": ", r.currency)
		}
	}
	return ps
}

func invalid(pointer, code, detail string) error {
	return &pim.Invalid{Problems: []pim.Problem{{Pointer: pointer, Code: code, Detail: detail}}}
}
