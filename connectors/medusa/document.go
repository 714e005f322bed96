package medusa

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/govalues/decimal"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
)

// text is a JSON text, or what else can be written as one.
type text string

// UnmarshalJSON takes texts, numbers and booleans.
func (t *text) UnmarshalJSON(b []byte) error {
	switch b[0] {
	case '"':
		return json.Unmarshal(b, (*string)(t))
	case '{', '[', 'n':
		return errors.New("must be a text")
	}
	*t = text(b)
	return nil
}

// amount is a decimal number as JSON writes it, made of a number or a decimal
// text; "" is an empty text.
type amount string

// UnmarshalJSON takes numbers and decimal texts.
func (a *amount) UnmarshalJSON(b []byte) error {
	s := string(b)
	if b[0] == '"' {
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		if s = strings.TrimSpace(s); s == "" {
			*a = ""
			return nil
		}
	}
	d, err := decimal.Parse(s)
	if err != nil {
		return errors.New("must be a number, or a decimal text such as \"19.90\"")
	}
	*a = amount(d.String())
	return nil
}

func (a amount) number() json.Number { return json.Number(a) }

// content is a document of the content lane. A pointer that is nil was left out.
type content struct {
	Parent       text           `json:"parent"`
	Title        text           `json:"title"`
	VariantTitle text           `json:"variant_title"`
	Subtitle     text           `json:"subtitle"`
	Description  text           `json:"description"`
	Handle       text           `json:"handle"`
	Status       text           `json:"status"`
	Categories   *[]text        `json:"categories"`
	Options      map[string]any `json:"options"`
	EAN          text           `json:"ean"`
	UPC          text           `json:"upc"`
	Barcode      text           `json:"barcode"`

	// What follows is changed only where the document has it, and cleared by "".
	Weight        *amount        `json:"weight"`
	Length        *amount        `json:"length"`
	Height        *amount        `json:"height"`
	Width         *amount        `json:"width"`
	HSCode        *text          `json:"hs_code"`
	MIDCode       *text          `json:"mid_code"`
	OriginCountry *text          `json:"origin_country"`
	Material      *text          `json:"material"`
	Discountable  *bool          `json:"discountable"`
	Metadata      map[string]any `json:"metadata"`
}

// offer is a document of the offer lane. What it leaves out is not changed.
type offer struct {
	Parent          text     `json:"parent"`
	Prices          *[]price `json:"prices"`
	Stock           *amount  `json:"stock"`
	ManageInventory *bool    `json:"manage_inventory"`
	AllowBackorder  *bool    `json:"allow_backorder"`
}

// price is one of offer.Prices.
type price struct {
	Currency    text   `json:"currency"`
	Amount      amount `json:"amount"`
	MinQuantity amount `json:"min_quantity"`
}

// pictures is a document of the media lane.
type pictures struct {
	Parent    text   `json:"parent"`
	Images    []text `json:"images"`
	Thumbnail text   `json:"thumbnail"`
}

// read fills a document, field by field, and gives the problems of all fields.
func read(raw json.RawMessage, document any) []pim.Issue {
	var given map[string]json.RawMessage
	if err := json.Unmarshal(raw, &given); err != nil {
		return []pim.Issue{problem("medusa.document", "", "the document is no JSON object")}
	}
	v := reflect.ValueOf(document).Elem()
	fields := map[string]reflect.Value{}
	for i := range v.NumField() {
		fields[v.Type().Field(i).Tag.Get("json")] = v.Field(i)
	}
	var issues []pim.Issue
	for _, name := range slices.Sorted(maps.Keys(given)) {
		field, ok := fields[name]
		if !ok {
			issues = append(issues, problem("medusa.field", name, fmt.Sprintf("There is no field %q here; there are: %s.", name, strings.Join(slices.Sorted(maps.Keys(fields)), ", "))))
			continue
		}
		d := json.NewDecoder(bytes.NewReader(given[name]))
		d.UseNumber()
		err := d.Decode(field.Addr().Interface())
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			issues = append(issues, problem("medusa.field", name, "It cannot be a "+wrong.Value+"."))
		} else if err != nil {
			issues = append(issues, problem("medusa.field", name, "It "+err.Error()+"."))
		}
	}
	return issues
}

// readContent decodes and checks a document of the content lane.
func readContent(raw json.RawMessage) (*content, []pim.Issue) {
	d := &content{}
	issues := read(raw, d)
	if d.Parent == "" && strings.TrimSpace(string(d.Title)) == "" && len(issues) == 0 {
		issues = append(issues, problem("medusa.title", "title", "Medusa needs a title."))
	}
	if d.Handle != "" && !isHandle(string(d.Handle)) {
		issues = append(issues, problem("medusa.handle", "handle", "A handle is made of small letters, digits and single hyphens."))
	}
	if d.Status != "" && !slices.Contains([]text{"published", "draft", "proposed", "rejected"}, d.Status) {
		issues = append(issues, problem("medusa.status", "status", "A status is one of published, draft, proposed, rejected."))
	}
	for _, title := range slices.Sorted(maps.Keys(d.Options)) {
		value, err := optionValue(d.Options[title])
		if err == nil && (value == "" || strings.TrimSpace(title) == "") {
			err = errors.New("is empty")
		}
		if err != nil {
			issues = append(issues, problem("medusa.options", "options", fmt.Sprintf("The option %q %v.", title, err)))
			continue
		}
		d.Options[title] = value
	}
	return d, issues
}

// options are a variant's, checked by readContent.
func (d *content) options() map[string]string {
	options := make(map[string]string, len(d.Options))
	for title, value := range d.Options {
		options[title], _ = value.(string)
	}
	return options
}

// optionValue writes what an attribute can hold as one text. Medusa trims the
// values of options, so two that differ in space only are one.
func optionValue(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return strings.TrimSpace(v), nil
	case json.Number:
		return v.String(), nil
	case bool:
		return strconv.FormatBool(v), nil
	case map[string]any: // a measurement
		a, err := optionValue(v["amount"])
		if u, ok := v["unit"].(string); ok && err == nil && len(v) == 2 {
			return strings.TrimSpace(a + " " + u), nil
		}
	}
	return "", errors.New("has no text as its value")
}

// readOffer decodes and checks a document of the offer lane.
func readOffer(raw json.RawMessage) (*offer, []pim.Issue) {
	d := &offer{}
	issues := read(raw, d)
	if d.Prices != nil {
		for i := range *d.Prices {
			p := &(*d.Prices)[i]
			p.Currency = text(strings.ToLower(string(p.Currency)))
			switch {
			case len(p.Currency) != 3:
				issues = append(issues, problem("medusa.price", "prices", "A price needs a currency of three letters."))
			case p.Amount == "" || p.Amount[0] == '-':
				issues = append(issues, problem("medusa.price", "prices", fmt.Sprintf("A price in %s needs an amount of 0 or more.", p.Currency)))
			}
		}
	}
	if d.Stock != nil {
		if _, err := d.pieces(); err != nil {
			issues = append(issues, problem("medusa.stock", "stock", "Stock is a whole number."))
		}
	}
	return d, issues
}

// pieces is the stock as Medusa takes it: whole, and never below 0.
func (d *offer) pieces() (int64, error) {
	n, err := decimal.Parse(string(*d.Stock))
	if err != nil {
		return 0, fmt.Errorf("read the stock: %w", err)
	}
	whole, fraction, ok := n.Int64(0)
	if !ok || fraction != 0 || !n.IsInt() {
		return 0, errors.New("the stock is no whole number")
	}
	return max(whole, 0), nil
}

// list are the prices as Medusa takes them: per currency and quantity the first,
// which is the one that wins, and no quantity where one piece is enough.
func (d *offer) list() []map[string]any {
	list := []map[string]any{}
	seen := map[string]bool{}
	for _, p := range *d.Prices {
		element := map[string]any{"currency_code": string(p.Currency), "amount": p.Amount.number()}
		quantity, err := decimal.Parse(string(p.MinQuantity))
		if tier := err == nil && quantity.Cmp(decimal.One) > 0; tier {
			element["min_quantity"] = json.Number(quantity.Trim(0).String())
		}
		key := fmt.Sprint(p.Currency, " ", element["min_quantity"])
		if !seen[key] {
			seen[key] = true
			list = append(list, element)
		}
	}
	return list
}

// readPictures decodes and checks a document of the media lane. Pictures that a
// browser cannot load are left out, and told.
func readPictures(raw json.RawMessage) (d *pictures, issues, warnings []pim.Issue) {
	d = &pictures{}
	issues = read(raw, d)
	kept := make([]text, 0, len(d.Images))
	for _, image := range d.Images {
		switch {
		case !loadable(string(image)):
			warnings = append(warnings, pim.Issue{Code: "medusa.image", Severity: pim.SeverityWarning, Attribute: "images", Text: "An image is no http or https address, and was left out."})
		case !slices.Contains(kept, image):
			kept = append(kept, image)
		}
	}
	d.Images = kept
	return d, issues, warnings
}

// loadable reports whether a text can be a picture's address.
func loadable(address string) bool {
	u, err := url.Parse(address)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// Preflight checks a document before it is sent; see connectors.Preflighter.
func (c *Connector) Preflight(lane pim.Lane, document map[string]any) []pim.Issue {
	raw, err := json.Marshal(document)
	if err != nil {
		return []pim.Issue{problem("medusa.document", "", "the document cannot be written as JSON")}
	}
	return check(lane, raw)
}

func check(lane pim.Lane, raw json.RawMessage) (issues []pim.Issue) {
	switch lane {
	case pim.Content:
		_, issues = readContent(raw)
	case pim.Offer:
		_, issues = readOffer(raw)
	case pim.Media:
		_, issues, _ = readPictures(raw)
	}
	return issues
}

var _ connectors.Preflighter = (*Connector)(nil)
