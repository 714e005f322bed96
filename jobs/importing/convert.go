package importing

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// maxShown is how much of a value a finding shows, in characters.
const maxShown = 200

// converter turns records into edits, in the order of the file.
type converter struct {
	*plan
	table *table
	seen  seen
}

// edit makes the edit of a record, or nil with at least one error among the
// findings.
func (c *converter) edit(r *record) (*postgres.Edit, []postgres.ImportFinding) {
	var findings []postgres.ImportFinding
	note := func(s pim.Severity, p problem) {
		findings = append(findings, finding(r.row, s, "", p))
	}
	if r.bad != nil {
		note(pim.SeverityError, *r.bad)
		return nil, findings
	}
	for _, i := range r.stripped {
		note(pim.SeverityWarning, problem{
			column: c.table.names[i], value: show(r.cells[i]), code: "text.control", text: "control characters were taken out of the text",
		})
	}
	if r.nul {
		note(pim.SeverityWarning, problem{code: "text.control", text: "control character U+0000 was taken out of the row's texts"})
	}
	var row map[string]any
	if c.needsRow {
		row = rowOf(r, c.table)
	}
	failed := false
	sku, trimmed, bad := c.sku(r, row)
	if bad == nil {
		if first, twice := c.seen.before(sku, r.row); twice {
			bad = &problem{column: c.skuName, value: sku, code: "sku.duplicate", text: fmt.Sprintf("row %d has this SKU already", first)}
		}
	}
	if bad != nil {
		note(pim.SeverityError, *bad)
		failed = true
	} else if trimmed {
		note(pim.SeverityWarning, problem{column: c.skuName, value: sku, code: "sku.space", text: "spaces around the SKU were taken off"})
	}
	values := make(pim.Values, len(c.targets))
	for i := range c.targets {
		t := &c.targets[i]
		v, bad := t.value(r, row)
		if bad != nil {
			note(pim.SeverityError, *bad)
			failed = true
			continue
		}
		if v == nil {
			continue // an empty cell says nothing: what is stored stays
		}
		if t.locale == "" {
			values[t.attr.Code] = v
			continue
		}
		locales, _ := values[t.attr.Code].(map[string]any)
		if locales == nil {
			locales = map[string]any{}
			values[t.attr.Code] = locales
		}
		locales[t.locale] = v
	}
	for i := range findings {
		findings[i].SKU = clean(sku, 128)
	}
	if failed {
		return nil, findings
	}
	// A family made from the columns takes no product out of the one it has.
	return &postgres.Edit{SKU: pim.SKU(sku), Mode: postgres.Merge, Family: &c.family, KeepFamily: c.made, Values: values}, findings
}

// sku is the record's SKU: text whatever it was, since leading zeros matter.
func (c *converter) sku(r *record, row map[string]any) (sku string, trimmed bool, bad *problem) {
	var v any
	if c.skuExpr != nil {
		var err error
		if v, err = c.skuExpr.value(row); err != nil {
			return "", false, &problem{column: c.skuName, code: "map.failed", text: err.Error()}
		}
	} else if c.skuColumn < len(r.cells) {
		v = r.cells[c.skuColumn]
	}
	switch v := v.(type) {
	case nil:
	case string:
		sku = v
	case json.Number:
		sku = string(v)
	default:
		return "", false, &problem{column: c.skuName, value: show(v), code: "sku.type", text: "a SKU is text or a number"}
	}
	plain := strings.TrimSpace(sku)
	if plain == "" {
		return "", false, &problem{column: c.skuName, value: sku, code: "sku.missing", text: "the row has no SKU"}
	}
	trimmed = plain != sku
	if sku = norm.NFC.String(plain); pim.ValidSKU(sku) != nil {
		return "", trimmed, &problem{column: c.skuName, value: sku, code: "sku", text: pim.ValidSKU(sku).Error()}
	}
	return sku, trimmed, nil
}

// value is what a record has for t, in the shape that its attribute's type
// takes as far as there is a plain way to it. Whether it is valid is
// CheckValues' to say. nil: nothing.
func (t *target) value(r *record, row map[string]any) (any, *problem) {
	var v any
	if t.expr != nil {
		var err error
		if v, err = t.expr.value(row); err != nil {
			return nil, &problem{column: t.name, code: "map.failed", text: err.Error()}
		}
		v, _ = scrub(v) // entities may stand for control characters
	} else if t.column < len(r.cells) {
		v = r.cells[t.column]
	}
	if v == nil || v == "" {
		return nil, nil
	}
	text, isText := v.(string)
	switch t.attr.Type {
	case pim.TypeText, pim.TypeRichText:
		return textOf(v), nil
	case pim.TypeNumber:
		if isText {
			return number(t.attr.Unit, strings.TrimSpace(text)), nil
		}
		if n, ok := v.(json.Number); ok && t.attr.Unit != "" {
			return map[string]any{"amount": n, "unit": t.attr.Unit}, nil
		}
	case pim.TypeBoolean:
		switch strings.ToLower(strings.TrimSpace(textOf(v))) {
		case "true", "1":
			return true, nil
		case "false", "0":
			return false, nil
		}
	case pim.TypeDate, pim.TypeOption:
		if text = strings.TrimSpace(textOf(v)); text == "" {
			return nil, nil
		}
		return text, nil
	case pim.TypeOptions:
		if isText {
			return list(text, ",;|"), nil
		}
	case pim.TypeMedia:
		if isText {
			if l := list(text, "|\n"); len(l) != 1 {
				return l, nil
			}
			return strings.TrimSpace(text), nil
		}
	case pim.TypeReference:
		if n, ok := v.(json.Number); ok {
			return string(n), nil
		}
	}
	return v, nil
}

// number reads "12.5", and of an attribute with a unit also "12.5 kg"; without
// a unit it is the attribute's own. What is no number stays text, for
// CheckValues to refuse with the value in its words.
func number(unit, text string) any {
	if text == "" {
		return nil
	}
	if unit == "" {
		if isNumber(text) {
			return json.Number(text)
		}
		return text
	}
	amount, own, _ := strings.Cut(text, " ")
	if own = strings.TrimSpace(own); own != "" {
		unit = own
	}
	return map[string]any{"amount": amount, "unit": unit}
}

// list takes a cell with several values apart.
func list(text, separators string) []any {
	var l []any
	for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return strings.ContainsRune(separators, r) }) {
		if part = strings.TrimSpace(part); part != "" {
			l = append(l, part)
		}
	}
	return l
}

// textOf writes a value as text: objects and arrays as compact JSON, so that
// nothing of them is lost.
func textOf(v any) string {
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
	return compact(v)
}

// show is a value in a report.
func show(v any) string {
	if v == nil {
		return ""
	}
	return textOf(v)
}

// finding makes a line of the report of a problem. Its texts are outside input:
// they are made fit for the database and cut short.
func finding(row int64, s pim.Severity, sku string, p problem) postgres.ImportFinding {
	return postgres.ImportFinding{
		Row: row, Severity: s, SKU: clean(sku, 128), Column: clean(p.column, maxShown), Value: clean(p.value, maxShown), Code: p.code, Problem: clean(p.text, 1000),
	}
}

// clean makes text valid UTF-8 without control characters, of n characters at most.
func clean(s string, n int) string {
	if len(s) > 4*n {
		s = s[:4*n]
	}
	s, _ = pim.StripControls(strings.ToValidUTF8(s, "\uFFFD"))
	if len(s) <= n || utf8.RuneCountInString(s) <= n {
		return s
	}
	at := 0
	for range n - 1 {
		_, size := utf8.DecodeRuneInString(s[at:])
		at += size
	}
	return s[:at] + "…"
}

// placeOf finds the target that a pointer of CheckValues ("/values/name/de-DE")
// is about; nil: none.
func (p *plan) placeOf(pointer string) *target {
	rest, ok := strings.CutPrefix(pointer, "/values/")
	if !ok {
		return nil
	}
	for {
		if i, ok := p.places[rest]; ok {
			return &p.targets[i]
		}
		i := strings.LastIndexByte(rest, '/')
		if i < 0 {
			return nil
		}
		rest = rest[:i]
	}
}

// outcome turns what the store said of an edit into findings.
func (p *plan) outcome(row int64, e *postgres.Edit, res *postgres.EditResult) []postgres.ImportFinding {
	var out []postgres.ImportFinding
	add := func(s pim.Severity, ps []pim.Problem) {
		for _, pr := range ps {
			f := problem{code: pr.Code, text: pr.Detail}
			if t := p.placeOf(pr.Pointer); t != nil {
				f.column = t.name
				v := e.Values[t.attr.Code]
				if m, ok := v.(map[string]any); ok && t.locale != "" {
					v = m[t.locale]
				}
				f.value = show(v)
			} else if pr.Pointer == "/sku" {
				f.column, f.value = p.skuName, string(e.SKU)
			} else {
				f.text = pr.Pointer + ": " + f.text
			}
			out = append(out, finding(row, s, string(e.SKU), f))
		}
	}
	add(pim.SeverityWarning, res.Warnings)
	if res.Err == nil {
		return out
	}
	if inv, ok := errors.AsType[*pim.Invalid](res.Err); ok {
		add(pim.SeverityError, inv.Problems)
	} else {
		add(pim.SeverityError, []pim.Problem{{Code: "product", Detail: res.Err.Error()}})
	}
	return out
}

// seen remembers the SKUs of a file by 128-bit hashes, with their rows: some
// 40 MB for a million of them. After a restart the rows that are passed over
// fill it again. That two of a million SKUs have the same hash has a chance
// of one in 10^26.
type seen struct {
	seeds [2]maphash.Seed
	rows  map[[2]uint64]int64
}

func newSeen() seen {
	return seen{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, rows: map[[2]uint64]int64{}}
}

// before gives the row that had the SKU first, and notes row when there is none.
func (s *seen) before(sku string, row int64) (first int64, twice bool) {
	key := [2]uint64{maphash.String(s.seeds[0], sku), maphash.String(s.seeds[1], sku)}
	if first, twice = s.rows[key]; !twice {
		s.rows[key] = row
	}
	return first, twice
}

// size is about how many bytes an edit takes in memory and on the wire.
func size(r *record, findings []postgres.ImportFinding) int { return r.size + 200*len(findings) + 500 }

// sortByRow brings a chunk's findings into the order of the file.
func sortByRow(fs []postgres.ImportFinding) {
	slices.SortStableFunc(fs, func(a, b postgres.ImportFinding) int { return int(a.Row - b.Row) })
}

// pass takes note of a record that is done already: of its SKU alone.
func (c *converter) pass(r *record) {
	if r.bad != nil {
		return
	}
	var row map[string]any
	if c.skuExpr != nil {
		row = rowOf(r, c.table)
	}
	if sku, _, bad := c.sku(r, row); bad == nil {
		c.seen.before(sku, r.row)
	}
}
