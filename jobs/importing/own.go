package importing

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// Our own layout: what Sluice exports. It leaves nothing out that an import can
// say, and whoever imports an export again changes nothing. docs/import.md tells
// people the grammar; package exporting writes it with the names below.

// OwnName is the layout's name in Options.Layout.
const OwnName = "sluice"

// OwnColumns begin the header of a table in our own layout, and the objects of
// its JSON Lines, in this order: they are what it is known by.
var OwnColumns = []string{"sku", "parent", "family", "family_variant", "enabled", "categories"}

// Further columns that are no attribute's.
const (
	ownPrices  = "prices"       // JSON: all prices, of a table those for which there is no column
	ownStock   = "stock"        // JSON: stock levels
	ownLinks   = "associations" // JSON: by association type SKUs, or {sku, quantity}
	ownWindows = "publication"  // JSON: windows of publication

	ownAttribute = "attribute:" // before an attribute that is called as one of ours
	ownPrice     = "price:"
	ownOnHand    = "stock:"
	ownReserved  = "reserved:"
	ownSafety    = "safety_stock:"
	ownFrom      = "publish_from:"
	ownTo        = "publish_to:"
)

// ReservedName reports a column's name that means something else than the
// attribute of this code.
func reservedName(code string) bool {
	return code == ownPrices || code == ownStock || code == ownLinks || code == ownWindows || slices.Contains(OwnColumns, code)
}

// AttributeColumn is the column of an attribute; of a scopable one channel says
// for which, of a localizable one locale.
func AttributeColumn(code string, channel pim.ChannelCode, locale pim.Locale) string {
	name := code
	if reservedName(code) {
		name = ownAttribute + code
	}
	if channel != "" {
		name += ":" + string(channel)
	}
	if locale != "" {
		name += ":" + string(locale)
	}
	return name
}

// PriceColumn is the column of prices for one piece without a window.
func PriceColumn(list string, c pim.Currency) string { return ownPrice + list + ":" + string(c) }

// StockColumn is the column of what is on hand at a location.
func StockColumn(location string) string { return ownOnHand + location }

// ReservedColumn is the column of what is reserved at a location.
func ReservedColumn(location string) string { return ownReserved + location }

// SafetyColumn is the column of what is never sold of a product at a location.
func SafetyColumn(location string) string { return ownSafety + location }

// PricesColumn and those after it hold lists, as JSON.
const (
	PricesColumn       = ownPrices
	StockLevelsColumn  = ownStock
	AssociationsColumn = ownLinks
	PublicationColumn  = ownWindows
)

var (
	formula   = regexp.MustCompile(`^'*[=+\-@\t\r\n＝＋－＠]`) // the wide ones where spreadsheets take them for the others
	plainCell = regexp.MustCompile(`^-?\d+(\.\d+)?([eE][+-]?\d+)?$`)
)

// HarmlessCell keeps a spreadsheet from taking a CSV's cell for a formula
// (https://owasp.org/www-community/attacks/CSV_Injection), by an apostrophe
// before it. Numbers stay. bareCell gives exactly the cell back.
func HarmlessCell(cell string) string {
	if formula.MatchString(cell) && !plainCell.MatchString(cell) {
		return "'" + cell
	}
	return cell
}

func bareCell(cell string) string {
	if strings.HasPrefix(cell, "'") && formula.MatchString(cell) {
		return cell[1:]
	}
	return cell
}

var own = layout{
	name:  OwnName,
	knows: func(has func(...string) bool) bool { return has(OwnColumns...) },
	role: func(column string) role {
		switch column {
		case "sku":
			return role{kind: asSKU}
		case "parent":
			return role{kind: asParent}
		case "enabled":
			return role{kind: asEnabled}
		}
		return role{}
	},
}

// knowOwn gives the columns of JSON Lines in our layout to the table before the
// first line is read: line begins with them.
func (t *table) knowOwn(head []byte) {
	d := json.NewDecoder(strings.NewReader(string(head)))
	if tok, err := d.Token(); err != nil || tok != json.Delim('{') {
		return
	}
	for i, want := range OwnColumns {
		if tok, err := d.Token(); err != nil || tok != want {
			return
		}
		if i == len(OwnColumns)-1 {
			break // its list may reach beyond the head
		}
		var v any
		if d.Decode(&v) != nil {
			return
		}
	}
	for _, name := range OwnColumns {
		_, _ = t.add(name) // six are never too many
	}
}

// ownColumn is what a column of our layout means beyond the roles.
type ownColumn struct {
	column int
	name   string
	kind   string // one of OwnColumns, ownPrices, ownStock, ownLinks, ownPrice, ownOnHand, ownReserved, ownSafety, ownFrom, ownTo, or "" of an attribute

	attr     *pim.Attribute
	channel  string
	locale   string
	whole    bool // of JSON: the attribute's value with its channels and locales
	list     string
	currency pim.Currency
	location string
}

// ownPlan plans a file in our layout: the schema stays as it is.
func ownPlan(schema *pim.Schema, s *survey, o *Options, fields map[string]*expression) (*plan, error) {
	if len(fields) > 0 || o.SKUColumn != "" || o.ParentColumn != "" || o.LocaleColumn != "" {
		return nil, faultf("the file is in Sluice's own layout, whose columns say what they are: leave map and columns out, or say that it is plain (layout)")
	}
	p := &plan{
		family: o.Family, skuColumn: s.sku, skuName: "sku", before: schema, schema: schema, surveyed: s, opts: o,
		places: map[string]int{}, findings: slices.Clone(s.table.findings),
	}
	if s.sku < 0 {
		return nil, faultf("there is no column %q, which a file in Sluice's own layout has", "sku")
	}
	if s.guessed && !s.table.csv {
		p.findings = append(p.findings, problem{code: "file.layout", text: "the lines are Sluice's own export, and taken as such (layout)"})
	}
	for i, name := range s.table.names {
		col, ok := ownMeaning(schema, name, !s.table.csv)
		if !ok {
			p.findings = append(p.findings, problem{column: name, code: "column.unknown", text: "no attribute, price list or location of the store is called so: the column is not taken"})
			continue
		}
		col.column = i
		if p.own = append(p.own, col); col.attr == nil {
			continue
		}
		place := col.attr.Code
		for _, scope := range []string{col.channel, col.locale} {
			if scope != "" {
				place += "/" + scope
			}
		}
		p.places[place] = len(p.targets)
		p.targets = append(p.targets, target{column: i, name: name, attr: col.attr, locale: col.locale, channel: col.channel})
	}
	return p, nil
}

// ownMeaning reads a column's name; ok is false of one that means nothing here.
func ownMeaning(schema *pim.Schema, name string, isJSON bool) (c ownColumn, ok bool) {
	c.name = name
	if reservedName(name) {
		c.kind = name
		return c, true
	}
	if rest, is := strings.CutPrefix(name, ownAttribute); is {
		name = rest
	} else if rest, is := strings.CutPrefix(name, ownPrice); is {
		list, currency, _ := strings.Cut(rest, ":")
		c.kind, c.list, c.currency = ownPrice, list, pim.Currency(currency)
		return c, schema.PriceLists[list] && schema.Currencies[c.currency]
	} else if rest, is := strings.CutPrefix(name, ownOnHand); is {
		c.kind, c.location = ownOnHand, rest
		return c, schema.Locations[rest]
	} else if rest, is := strings.CutPrefix(name, ownReserved); is {
		c.kind, c.location = ownReserved, rest
		return c, schema.Locations[rest]
	} else if rest, is := strings.CutPrefix(name, ownSafety); is && schema.Locations[rest] { // else an attribute may be called so
		c.kind, c.location = ownSafety, rest
		return c, true
	} else if kind, channel, is := windowColumn(name); is && schema.Channels[pim.ChannelCode(channel)] { // as well
		c.kind, c.channel = kind, channel
		return c, true
	}
	code, rest, scoped := strings.Cut(name, ":")
	if c.attr = schema.Attributes[code]; c.attr == nil {
		return c, false
	}
	if !scoped {
		c.whole = isJSON
		return c, isJSON || !c.attr.Scopable && !c.attr.Localizable
	}
	switch a := c.attr; {
	case a.Scopable && a.Localizable:
		c.channel, c.locale, ok = strings.Cut(rest, ":")
		return c, ok
	case a.Scopable:
		c.channel = rest
	case a.Localizable:
		c.locale = rest
	default:
		return c, false
	}
	return c, true
}

// ownItem fills an edit with what a record in our layout says, and gives its
// prices and stock. family is that of the options, which counts more.
func (c *converter) ownItem(rec *record, e *postgres.Edit, refuse func(*record, problem)) (offers postgres.ImportOffers) {
	stock := map[string]*pim.StockRow{}
	levelAt := func(location string, counts bool) *pim.Stock {
		if stock[location] == nil {
			stock[location] = &pim.StockRow{SKU: e.SKU, Stock: pim.Stock{Location: location}, Delta: true}
		}
		stock[location].Delta = stock[location].Delta && !counts // a safety stock alone leaves what is there
		return &stock[location].Stock
	}
	windows := ownPublication{}
	text := func(i int) string { return c.surveyed.text(rec, i) }
	e.Family, e.KeepFamily = nil, false
	if c.family != "" {
		e.Family = &c.family
	}
	for i := range c.own {
		col := &c.own[i]
		if col.column >= len(rec.cells) || rec.cells[col.column] == nil {
			continue
		}
		v := rec.cells[col.column]
		origin := origin{column: col.column, name: col.name}
		var bad *problem
		switch col.kind {
		case "sku", "parent", "enabled":
		case "family":
			if family := text(col.column); e.Family == nil && family != "" {
				e.Family = &family
			}
		case "family_variant":
			if variant := text(col.column); variant != "" {
				e.FamilyVariant = &variant
			}
		case "categories":
			e.Categories, bad = ownCategories(col.name, v)
		case ownLinks:
			e.Associations, bad = ownAssociations(col.name, v)
		case ownWindows:
			bad = windows.list(col.name, v)
		case ownFrom, ownTo:
			bad = windows.bound(col, v)
		case ownPrice:
			amount, problem := parseMoney(origin, v, col.currency)
			if bad = problem; bad == nil {
				offers.Prices = append(offers.Prices, pim.PriceRow{SKU: e.SKU, Price: pim.Price{PriceList: col.list, Currency: col.currency, MinQuantity: 1, Amount: amount}})
			}
		case ownPrices:
			var prices []pim.Price
			if prices, bad = ownPriceList(col.name, v); bad == nil {
				for _, p := range prices {
					offers.Prices = append(offers.Prices, pim.PriceRow{SKU: e.SKU, Price: p})
				}
			}
		case ownStock:
			var levels []pim.Stock
			if bad = ownJSON(col.name, v, &levels); bad == nil {
				for _, l := range levels {
					*levelAt(l.Location, true) = l
				}
			}
		case ownOnHand:
			levelAt(col.location, true).OnHand, bad = pieces(origin, v)
		case ownReserved:
			levelAt(col.location, true).Reserved, bad = pieces(origin, v)
		case ownSafety:
			var n int64
			if n, bad = pieces(origin, v); bad == nil {
				levelAt(col.location, false).SafetyStock = &n
			}
		default:
			col.set(e.Values, v)
		}
		if bad != nil {
			refuse(rec, *bad)
		}
	}
	c.ownOffers(rec, stock, &offers, refuse)
	offers.Windows = windows.rows(e.SKU, func(r pim.PublicationRow) {
		for _, pr := range pim.CheckPublication(r, c.schema.Channels) {
			refuse(rec, problem{column: PublishFromColumn(r.Channel), code: pr.Code, text: pr.Detail})
		}
	})
	return offers
}

// ownOffers checks a record's prices and stock levels, and puts the latter in.
func (c *converter) ownOffers(rec *record, stock map[string]*pim.StockRow, offers *postgres.ImportOffers, refuse func(*record, problem)) {
	type key struct {
		list     string
		currency pim.Currency
		quantity int
		from     time.Time
	}
	seen := map[key]bool{}
	for _, p := range offers.Prices {
		k := key{list: p.PriceList, currency: p.Currency, quantity: max(1, p.MinQuantity)}
		if p.ValidFrom != nil {
			k.from = p.ValidFrom.UTC()
		}
		if seen[k] {
			refuse(rec, problem{column: ownPrices, code: "price.duplicate", text: "a price of this list, currency, quantity and beginning stands in the row twice"})
		}
		seen[k] = true
		for _, pr := range c.schema.CheckPrice(p.Price, false) {
			refuse(rec, problem{column: PriceColumn(p.PriceList, p.Currency), value: p.Amount.String(), code: pr.Code, text: pr.Detail})
		}
	}
	locations := make([]string, 0, len(stock))
	for l := range stock {
		locations = append(locations, l)
	}
	slices.Sort(locations)
	for _, l := range locations {
		for _, pr := range c.schema.CheckStock(stock[l].Stock) {
			refuse(rec, problem{column: StockColumn(l), code: pr.Code, text: pr.Detail})
		}
		offers.Stock = append(offers.Stock, *stock[l])
	}
}

// set puts a cell into a product's values.
func (c *ownColumn) set(values pim.Values, v any) {
	if c.whole {
		if _, isText := v.(string); !isText || c.attr.Scopable || c.attr.Localizable || c.attr.Type == pim.TypeText || c.attr.Type == pim.TypeRichText {
			values[c.attr.Code] = v
			return
		}
	}
	if v = ownValue(c.attr, v); v == nil {
		return
	}
	var path []string
	for _, scope := range []string{c.channel, c.locale} {
		if scope != "" {
			path = append(path, scope)
		}
	}
	into := map[string]any(values)
	at := c.attr.Code
	for _, scope := range path {
		next, _ := into[at].(map[string]any)
		if next == nil {
			next = map[string]any{}
			into[at] = next
		}
		into, at = next, scope
	}
	into[at] = v
}

// ownValue reads a cell by its attribute's type. What it cannot read stays text,
// for CheckValues to refuse in its words.
func ownValue(a *pim.Attribute, v any) any {
	text, isText := v.(string)
	if !isText {
		return v
	}
	switch a.Type {
	case pim.TypeText, pim.TypeRichText:
		return text
	case pim.TypeNumber:
		text = strings.TrimSpace(text)
		if i := strings.LastIndexByte(text, ' '); a.Unit != "" && i > 0 && isNumber(text[:i]) {
			return map[string]any{"amount": json.Number(text[:i]), "unit": text[i+1:]}
		}
		return number(a.Unit, text)
	case pim.TypeBoolean:
		switch strings.ToLower(strings.TrimSpace(text)) {
		case "true", "1":
			return true
		case "false", "0":
			return false
		}
	case pim.TypeOptions, pim.TypeEntities, pim.TypeMedia, pim.TypeReference:
		if strings.HasPrefix(text, "[") || strings.HasPrefix(text, `"`) {
			if parsed, err := pim.DecodeJSON([]byte(text), pim.MaxDepth); err == nil {
				return parsed
			}
		}
		if a.Type == pim.TypeOptions || a.Type == pim.TypeEntities {
			return list(text, ",;|\n")
		}
		if strings.Contains(text, "\n") {
			return list(text, "\n")
		}
		return strings.TrimSpace(text)
	case pim.TypeTable:
		return rowsOf(text)
	default:
		return strings.TrimSpace(text)
	}
	return v
}

// rowsOf reads a table's rows, which a cell has as JSON. What is none stays
// text, for CheckValues to refuse in its words.
func rowsOf(text string) any {
	if parsed, err := pim.DecodeJSON([]byte(text), pim.MaxDepth); err == nil {
		return parsed
	}
	return text
}

// ownCategories reads codes with commas between them, or a list of JSON.
func ownCategories(column string, v any) (*[]string, *problem) {
	codes := []string{}
	if text, isText := v.(string); isText {
		for _, code := range list(text, ",") {
			codes = append(codes, code.(string))
		}
		return &codes, nil
	}
	bad := ownJSON(column, v, &codes)
	return &codes, bad
}
