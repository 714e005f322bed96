package feed

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sluicehub/sluice/pim"
)

// attribute is what Google's product data specification says of one attribute
// (https://support.google.com/merchants/answer/7052112).
type attribute struct {
	max      int // characters of one value; 0: no bound is known
	many     int // values; 0 is one
	required bool
	link     bool
	price    bool
	words    []string // the values there are
	parts    []string // the attributes of a group, in the order of their short form in TSV
}

var (
	yesNo    = []string{"yes", "no"}
	shipping = []string{"country", "region", "service", "price"}
)

// attributes are those of the specification that the connector checks. Others
// are written as they are.
var attributes = map[string]attribute{
	"id":                        {max: 50, required: true},
	"title":                     {max: 150, required: true},
	"description":               {max: 5000, required: true},
	"link":                      {max: 2000, required: true, link: true},
	"mobile_link":               {max: 2000, link: true},
	"canonical_link":            {max: 2000, link: true},
	"ads_redirect":              {max: 2000, link: true},
	"image_link":                {max: 2000, required: true, link: true},
	"additional_image_link":     {max: 2000, many: 10, link: true},
	"lifestyle_image_link":      {max: 2000, link: true},
	"virtual_model_link":        {max: 2000, link: true},
	"availability":              {required: true, words: []string{"in_stock", "out_of_stock", "preorder", "backorder"}},
	"availability_date":         {max: 25},
	"expiration_date":           {max: 25},
	"price":                     {required: true, price: true},
	"sale_price":                {price: true},
	"cost_of_goods_sold":        {price: true},
	"auto_pricing_min_price":    {price: true},
	"maximum_retail_price":      {price: true},
	"sale_price_effective_date": {max: 51},
	"unit_pricing_measure":      {},
	"unit_pricing_base_measure": {},
	"installment":               {parts: []string{"months", "amount", "downpayment", "credit_type"}},
	"subscription_cost":         {parts: []string{"period", "period_length", "amount"}},
	"google_product_category":   {max: 750},
	"product_type":              {max: 750, many: 10},
	"brand":                     {max: 70},
	"gtin":                      {max: 50, many: 10},
	"mpn":                       {max: 70},
	"identifier_exists":         {words: yesNo},
	"condition":                 {words: []string{"new", "refurbished", "used"}},
	"adult":                     {words: yesNo},
	"multipack":                 {max: 9},
	"is_bundle":                 {words: yesNo},
	"certification":             {many: 10, parts: []string{"certification_authority", "certification_name", "certification_code", "certification_value"}},
	"age_group":                 {words: []string{"newborn", "infant", "toddler", "kids", "adult"}},
	"color":                     {max: 100},
	"gender":                    {words: []string{"male", "female", "unisex"}},
	"material":                  {max: 200},
	"pattern":                   {max: 100},
	"size":                      {max: 100},
	"size_type":                 {many: 2, words: []string{"regular", "petite", "maternity", "big", "tall", "plus"}},
	"size_system":               {words: []string{"US", "UK", "EU", "DE", "FR", "JP", "CN", "IT", "BR", "MEX", "AU"}},
	"item_group_id":             {max: 50},
	"product_length":            {},
	"product_width":             {},
	"product_height":            {},
	"product_weight":            {},
	"product_detail":            {many: 1000, parts: []string{"section_name", "attribute_name", "attribute_value"}},
	"product_highlight":         {max: 150, many: 100},
	"custom_label_0":            {max: 100},
	"custom_label_1":            {max: 100},
	"custom_label_2":            {max: 100},
	"custom_label_3":            {max: 100},
	"custom_label_4":            {max: 100},
	"promotion_id":              {max: 50, many: 10},
	"excluded_destination":      {many: 20},
	"included_destination":      {many: 20},
	"shopping_ads_excluded_country": {
		max: 2, many: 100,
	},
	"pause":                   {words: []string{"ads", "all"}},
	"shipping":                {many: 100, parts: shipping},
	"shipping_label":          {max: 100},
	"shipping_weight":         {},
	"shipping_length":         {},
	"shipping_width":          {},
	"shipping_height":         {},
	"ships_from_country":      {max: 2},
	"min_handling_time":       {max: 3},
	"max_handling_time":       {max: 3},
	"transit_time_label":      {max: 100},
	"return_policy_label":     {max: 100},
	"tax":                     {many: 100, parts: []string{"country", "region", "rate", "tax_ship"}},
	"tax_category":            {max: 100},
	"energy_efficiency_class": {words: energy},
	"min_energy_efficiency_class": {
		words: energy,
	},
	"max_energy_efficiency_class": {
		words: energy,
	},
	"external_seller_id": {max: 50},
}

var energy = []string{"A+++", "A++", "A+", "A", "B", "C", "D", "E", "F", "G"}

// pair is one attribute of a group.
type pair struct{ name, text string }

// value is a text, or a group.
type value struct {
	text  string
	parts []pair
}

// cell is an attribute of a row with its values.
type cell struct {
	name   string
	values []value
}

// byColumn is the order of attributes in a row: the id, then by name.
func byColumn(a, b string) int {
	if (a == "id") != (b == "id") {
		if a == "id" {
			return -1
		}
		return 1
	}
	return strings.Compare(a, b)
}

// row is a document as the feed has it. Issues are why it cannot have it.
func (s *settings) row(sku pim.SKU, doc map[string]any) ([]cell, []pim.Issue) {
	cells := make([]cell, 0, len(doc)+2)
	cells = append(cells, cell{"id", []value{{text: cleaned(string(sku))}}})
	var issues []pim.Issue
	for _, name := range slices.Sorted(maps.Keys(doc)) {
		if name == "id" {
			issues = append(issues, fault(name, "feed.id", "The id is the SKU; a mapping cannot set it."))
			continue
		}
		if !isName(name) {
			issues = append(issues, fault(name, "feed.name", "An attribute's name is of small letters, digits and _."))
			continue
		}
		values, err := valuesOf(name, doc[name])
		if err != "" {
			issues = append(issues, fault(name, "feed.value", err))
		} else if len(values) > 0 {
			cells = append(cells, cell{name, values})
		}
	}
	if s.Link != "" && !slices.ContainsFunc(cells, func(c cell) bool { return c.name == "link" }) {
		link := strings.ReplaceAll(s.Link, "{sku}", url.PathEscape(string(sku)))
		cells = append(cells, cell{"link", []value{{text: link}}})
		slices.SortFunc(cells, func(a, b cell) int { return byColumn(a.name, b.name) })
	}
	return cells, issues
}

func fault(name, code, text string) pim.Issue {
	return pim.Issue{Code: code, Severity: pim.SeverityError, Attribute: name, Text: text}
}

func isName(s string) bool {
	for i, r := range s {
		if (r < 'a' || r > 'z') && r != '_' && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != "" && len(s) <= 100
}

// valuesOf are the values of a field; why says what is wrong with it.
func valuesOf(name string, v any) (values []value, why string) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	for _, v := range list {
		if group, ok := v.(map[string]any); ok {
			parts := partsOf(attributes[name].parts, group)
			if parts == nil && len(group) > 0 {
				return nil, "A group holds texts, numbers and yes or no, by names of small letters, digits and _."
			}
			if len(parts) > 0 {
				values = append(values, value{parts: parts})
			}
			continue
		}
		text, ok := scalar(v)
		if !ok {
			return nil, "A value is a text, a number, yes or no, a group of such, or a list."
		}
		if text != "" {
			values = append(values, value{text: text})
		}
	}
	return values, ""
}

// scalar is a plain value as a text; "" of null.
func scalar(v any) (string, bool) {
	switch v := v.(type) {
	case nil:
		return "", true
	case string:
		return cleaned(v), true
	case json.Number:
		return v.String(), true
	case bool:
		if v {
			return "yes", true
		}
		return "no", true
	}
	return "", false
}

// partsOf are a group's attributes in order; nil: it has what none can have.
func partsOf(order []string, group map[string]any) []pair {
	parts := []pair{}
	names := slices.SortedFunc(maps.Keys(group), func(a, b string) int {
		return cmp.Or(cmp.Compare(place(order, a), place(order, b)), cmp.Compare(a, b))
	})
	for _, name := range names {
		text, ok := scalar(group[name])
		if !ok || !isName(name) {
			return nil
		}
		if text != "" {
			parts = append(parts, pair{name, text})
		}
	}
	return parts
}

func place(order []string, name string) int {
	if i := slices.Index(order, name); i >= 0 {
		return i
	}
	return len(order)
}

// cleaned takes out of a text what no feed can hold, and the spaces around it.
func cleaned(s string) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	s = strings.ReplaceAll(s, "\r\n", "\n")
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\r':
			return '\n'
		case r < ' ' && r != '\n' && r != '\t', r == 0x7f, r == 0xFFFE, r == 0xFFFF:
			return -1
		}
		return r
	}, s)
	return strings.TrimSpace(s)
}

// shown is a value as one text, by which what was read is compared.
func (v value) shown() string {
	if v.parts == nil {
		return v.text
	}
	var b strings.Builder
	for i, p := range v.parts {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s: %s", p.name, p.text)
	}
	return b.String()
}
