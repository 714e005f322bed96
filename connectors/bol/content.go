package bol

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sluicehub/sluice/pim"
)

// wireContent is one language's content of one product
// (CreateProductContentSingleRequest).
type wireContent struct {
	Language   string      `json:"language"`
	Attributes []attribute `json:"attributes"`
	Assets     []asset     `json:"assets,omitempty"`

	own    string   // the document's own language
	fields []string // the document's field of each attribute, in order
}

type attribute struct {
	ID     string  `json:"id"`
	Values []value `json:"values"`
}

// value always writes its unit, for the contract says that it is needed; ""
// where there is none.
type value struct {
	Value string `json:"value"`
	Unit  string `json:"unitId"`
}

type asset struct {
	URL    string   `json:"url"`
	Labels []string `json:"labels"`
}

// Bounds of the contract.
const (
	maxAttributes = 150
	maxAssets     = 30
	maxValues     = 300
	maxValue      = 10_000 // characters
	maxID         = 100
	maxLabels     = 2
)

// contentFields are a content document's own; each other field is an attribute
// of bol's data model, "Name" or, in another language than the document's,
// "Name@fr".
var contentFields = []string{"ean", "language", "images", "sku", "parent"}

// contents reads a document of the content lane: one content per language, the
// document's own language first.
func (s *settings) contents(doc map[string]any) ([]*wireContent, []pim.Issue) {
	f := &faults{}
	number := ean(f, doc)
	own := s.language
	if v, ok := doc["language"]; ok {
		own, _ = v.(string)
		if !slices.Contains(languages, own) {
			f.bad("language", "bol.language", "is one of %s", strings.Join(languages, ", "))
		}
	}
	by := map[string]*wireContent{own: {Language: own, own: own}}
	for _, field := range sorted(doc) {
		if slices.Contains(contentFields, field) {
			continue
		}
		id, language := field, own
		if at := strings.LastIndexByte(field, '@'); at >= 0 {
			id, language = field[:at], field[at+1:]
		}
		switch {
		case id != field && !slices.Contains(languages, language):
			f.bad(field, "bol.language", "the language after @ is one of %s", strings.Join(languages, ", "))
			continue
		case id == "" || utf8.RuneCountInString(id) > maxID:
			f.bad(field, "bol.attribute", "an attribute's name has 1 to %d characters", maxID)
			continue
		case strings.EqualFold(id, "EAN"):
			f.bad(field, "bol.attribute", "the EAN is written by the field ean")
			continue
		}
		values := valuesOf(f, field, doc[field])
		if len(values) == 0 {
			continue // empty: bol has no word for "none"
		}
		c := by[language]
		if c == nil {
			c = &wireContent{Language: language, own: own}
			by[language] = c
		}
		if slices.ContainsFunc(c.Attributes, func(a attribute) bool { return a.ID == id }) {
			f.bad(field, "bol.attribute", "%s is there twice in %s", id, language)
			continue
		}
		c.Attributes, c.fields = append(c.Attributes, attribute{id, values}), append(c.fields, field)
	}
	by[own].Assets = assets(f, doc["images"])

	var all []*wireContent
	for _, language := range sorted(by) {
		c := by[language]
		if len(c.Attributes) == 0 && len(c.Assets) == 0 {
			continue
		}
		// Every upload names its product.
		c.Attributes = slices.Insert(c.Attributes, 0, attribute{"EAN", []value{{Value: number}}})
		c.fields = slices.Insert(c.fields, 0, "ean")
		if n := len(c.Attributes); n > maxAttributes {
			f.bad("", "bol.attributes", "%s: there are %d attributes; bol takes %d", language, n, maxAttributes)
		}
		all = append(all, c)
	}
	if len(all) == 0 && !f.fatal() {
		f.bad("", "bol.content_empty", "there is no attribute besides the EAN")
	}
	slices.SortStableFunc(all, func(a, b *wireContent) int {
		return cmp.Compare(btoi(b.Language == own), btoi(a.Language == own))
	})
	return all, f.issues
}

// valuesOf reads a text, number or boolean, {value|amount, unit}, or a list of these.
func valuesOf(f *faults, field string, v any) (out []value) {
	list, isList := v.([]any)
	if !isList {
		list = []any{v}
	}
	if len(list) > maxValues {
		f.bad(field, "bol.values", "there are %d values; bol takes %d", len(list), maxValues)
		return nil
	}
	for _, el := range list {
		one, ok := value{}, true
		if m, isMap := el.(map[string]any); isMap {
			el = first(m, "value", "amount")
			one.Unit, _ = first(m, "unit", "unitId").(string)
		}
		switch el := el.(type) {
		case string:
			one.Value = el
		case json.Number:
			one.Value = el.String()
		case bool:
			one.Value = strconv.FormatBool(el)
		case nil:
		default:
			ok = false
		}
		switch {
		case !ok:
			f.bad(field, "bol.value", "is a text, a number, {value, unit}, or a list of these")
			return nil
		case utf8.RuneCountInString(one.Value) > maxValue:
			f.bad(field, "bol.too_long", "has more than %d characters", maxValue)
			return nil
		case one.Value != "":
			out = append(out, one)
		}
	}
	return out
}

// assets reads addresses, or {url, labels}. The first picture is the front.
func assets(f *faults, v any) (out []asset) {
	list, isList := v.([]any)
	if v != nil && !isList {
		f.bad("images", "bol.images", "is a list of addresses, or of {url, labels}")
	}
	for _, el := range list {
		a := asset{}
		switch el := el.(type) {
		case string:
			a.URL = el
		case map[string]any:
			a.URL, _ = el["url"].(string)
			labels, _ := el["labels"].([]any)
			for _, l := range labels {
				label, _ := l.(string)
				a.Labels = append(a.Labels, label)
			}
		}
		if len(a.Labels) == 0 {
			a.Labels = []string{"DETAIL"}
			if len(out) == 0 {
				a.Labels = []string{"FRONT"}
			}
		}
		u, err := url.Parse(a.URL)
		switch {
		case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
			// The texts need not wait for a picture that bol cannot fetch.
			f.warn("images", "bol.image_address", "a picture has no address that bol could fetch it from; it was left out")
		case len(a.Labels) > maxLabels || slices.Contains(a.Labels, ""):
			f.bad("images", "bol.images", "a picture has one or two labels")
		default:
			out = append(out, a)
		}
	}
	if len(out) > maxAssets {
		f.bad("images", "bol.images", "there are %d pictures; bol takes %d", len(out), maxAssets)
	}
	return out
}

var attributePath = regexp.MustCompile(`attributes\[(\d+)\]`)

// field finds the document's field that a violation of this content is about.
func (c *wireContent) field(violation string) string {
	if m := attributePath.FindStringSubmatch(violation); m != nil {
		if i, err := strconv.Atoi(m[1]); err == nil && i < len(c.fields) {
			return c.fields[i]
		}
	}
	switch {
	case strings.HasPrefix(violation, "assets"):
		return "images"
	case strings.EqualFold(violation, "ean"):
		return "ean"
	}
	return violation
}

// offerFieldsAtBol are how violations begin, and the documents' fields for them.
var offerFieldsAtBol = [][2]string{
	{"pricing.bundlePrices[0]", "price"},
	{"pricing.bundlePrices[", "bundles"},
	{"pricing", "price"},
	{"stock", "stock"},
	{"ean", "ean"},
	{"condition", "condition"},
	{"fulfilment", "fulfilment"},
	{"countryAvailabilities", "countries"},
	{"economicOperator", "economic_operator_id"},
	{"onHold", "on_hold"},
	{"unknownProductTitle", "title"},
	{"reference", "sku"},
}

// offerField finds the document's field that a violation of an offer is about.
func offerField(violation string) string {
	for _, p := range offerFieldsAtBol {
		if strings.HasPrefix(violation, p[0]) {
			return p[1]
		}
	}
	return violation
}

func sorted[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// mainField names the document's field of an attribute in a language.
func mainField(id, language, own string) string {
	switch {
	case strings.EqualFold(id, "EAN"):
		return "ean"
	case language != own:
		return fmt.Sprintf("%s@%s", id, language)
	}
	return id
}
