package tryton

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
)

// document is a product as the channel's mapping writes it. A pointer that is nil
// leaves Tryton's own value alone.
type document struct {
	Name        string  `json:"name"`
	Language    string  `json:"language"`
	Description *string `json:"description"`
	GTIN        string  `json:"gtin"`
	Parent      pim.SKU `json:"parent"`
	Active      *bool   `json:"active"`
	Type        string  `json:"type"`
	Unit        string  `json:"unit"`
}

// documentFields are those that a document may have; others are told of and not sent.
var documentFields = []string{"active", "description", "gtin", "language", "name", "parent", "type", "unit"}

var productTypes = []string{"goods", "assets", "service"}

// readDocument reads an item's document; its error is Validation. Tryton keeps
// names on one line, and no text with a NUL.
func readDocument(raw json.RawMessage) (*document, *connectors.Error) {
	d := &document{}
	if err := json.Unmarshal(raw, d); err != nil {
		text := "the document has another form than this channel's"
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			text = fmt.Sprintf("%s cannot be a %s", wrong.Field, wrong.Value)
		}
		return nil, invalid(pim.Issue{Code: "document", Severity: pim.SeverityError, Text: text})
	}
	d.Name = oneLine(d.Name)
	if d.Description != nil {
		*d.Description = strings.ReplaceAll(*d.Description, "\x00", "")
	}
	d.GTIN, d.Unit = strings.TrimSpace(d.GTIN), strings.TrimSpace(d.Unit)
	if d.Type == "" {
		d.Type = "goods"
	}
	if issues := d.check(); len(issues) > 0 {
		return nil, invalid(issues...)
	}
	return d, nil
}

// check holds a document against what Tryton demands before it looks at a record.
func (d *document) check() []pim.Issue {
	var issues []pim.Issue
	add := func(code, attribute, text string) {
		issues = append(issues, pim.Issue{Code: code, Severity: pim.SeverityError, Attribute: attribute, Text: text})
	}
	if d.Name == "" && d.Parent == "" {
		add("name.missing", "name", "Tryton needs a name")
	}
	if !slices.Contains(productTypes, d.Type) {
		add("type.unknown", "type", fmt.Sprintf("type %q is not one of %s", d.Type, strings.Join(productTypes, ", ")))
	}
	if d.GTIN != "" && !isGTIN(d.GTIN) {
		add("gtin.check_digit", "gtin", fmt.Sprintf("%q is no GTIN: 8, 12, 13 or 14 digits, the last of which is right", d.GTIN))
	}
	return issues
}

// isGTIN checks length and check digit as python-stdnum's ean does, which Tryton
// asks (GS1 General Specifications, section 7.9).
func isGTIN(s string) bool {
	switch len(s) {
	case 8, 12, 13, 14:
	default:
		return false
	}
	sum := 0
	for i := range len(s) {
		c := s[len(s)-1-i]
		if c < '0' || c > '9' {
			return false
		}
		sum += int(c-'0') * (1 + 2*(i%2))
	}
	return sum%10 == 0
}

// oneLine makes runs of white space one space, and drops control characters.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && !unicode.IsSpace(r) {
			return -1
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

// Preflight checks a document before it is sent; see connectors.Preflighter.
func (c *Connector) Preflight(lane pim.Lane, doc map[string]any) []pim.Issue {
	if lane != pim.Content {
		return nil
	}
	var issues []pim.Issue
	for field := range doc {
		if !slices.Contains(documentFields, field) {
			issues = append(issues, pim.Issue{
				Code: "field.unknown", Severity: pim.SeverityWarning, Attribute: field,
				Text: fmt.Sprintf("field %q is not sent; there are: %s", field, strings.Join(documentFields, ", ")),
			})
		}
	}
	slices.SortFunc(issues, func(a, b pim.Issue) int { return strings.Compare(a.Attribute, b.Attribute) })
	raw, err := json.Marshal(doc)
	if err != nil {
		return append(issues, pim.Issue{Code: "document", Severity: pim.SeverityError, Text: "the document is no JSON"})
	}
	if _, refused := readDocument(raw); refused != nil {
		issues = append(issues, refused.Issues...)
	}
	return issues
}

// invalid is a Validation error of these issues.
func invalid(issues ...pim.Issue) *connectors.Error {
	return &connectors.Error{Verdict: connectors.Validation, Issues: issues, Err: errors.New(issues[0].Text)}
}
