package importing

import (
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/sluicehub/sluice/pim"
)

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
	text, isText := v.(string)
	if v == nil || v == "" {
		return nil, nil
	}
	switch t.attr.Type {
	case pim.TypeText, pim.TypeRichText:
		return textOf(v), nil
	case pim.TypeNumber:
		if isText {
			text = strings.TrimSpace(text)
			if t.comma && t.attr.Unit == "" && commaCents.MatchString(text) && !ambiguous.MatchString(text) {
				text = strings.Replace(text, ",", ".", 1)
			}
			return number(t.attr.Unit, text), nil
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
	case pim.TypeDate, pim.TypeOption, pim.TypeEntity:
		if text = strings.TrimSpace(textOf(v)); text == "" {
			return nil, nil
		}
		return text, nil
	case pim.TypeOptions, pim.TypeEntities:
		if isText {
			return list(text, ",;|"), nil
		}
	case pim.TypeMedia:
		if isText {
			if l := linksOf(text, firstOf(t.list, "|")+"\n"); len(l) != 1 {
				return l, nil
			}
			return strings.TrimSpace(text), nil
		}
	case pim.TypeTable:
		if isText {
			return rowsOf(text), nil
		}
	case pim.TypeReference:
		if n, ok := v.(json.Number); ok {
			return string(n), nil
		}
	}
	return v, nil
}

// number reads "12.5", and of an attribute with a unit also "12.5 kg", "12.5kg"
// and "12,5 kg"; without a unit it is the attribute's own. A comma before three
// digits may stand for thousands, and is left to be refused. What is no number stays text, for
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
	if m := measured.FindStringSubmatch(text); m != nil {
		if amount, own = m[1], m[2]; commaCents.MatchString(amount) && !ambiguous.MatchString(amount) && !strings.Contains(amount, ".") {
			amount = strings.Replace(amount, ",", ".", 1)
		}
	}
	if own = strings.TrimSpace(own); own != "" {
		unit = own
	}
	return map[string]any{"amount": amount, "unit": unit}
}

// measured is an amount with what follows it.
var measured = regexp.MustCompile(`^(-?\d[\d.,]*)\s*(\pL.*|[%°"'].*)?$`)

// linksOf takes a cell with links apart, also at commas before a link: a comma
// may well stand within one.
func linksOf(text, separators string) []any {
	commas := strings.Contains(separators, ",")
	separators = strings.ReplaceAll(separators, ",", "")
	text = beforeLink.ReplaceAllString(text, "\n$1")
	l := list(text, separators)
	if !commas || strings.Contains(text, "://") {
		return l
	}
	return list(text, separators+",")
}

var beforeLink = regexp.MustCompile(`,\s*(https?://)`)

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

// joined puts a second value of a media attribute behind the first; of others
// the last one counts.
func joined(t pim.AttributeType, had, v any) any {
	if had == nil || t != pim.TypeMedia {
		return v
	}
	list := listOf(had)
	for _, e := range listOf(v) {
		if !slices.Contains(list, e) {
			list = append(list, e)
		}
	}
	if len(list) == 1 {
		return list[0]
	}
	return list
}

func listOf(v any) []any {
	if l, ok := v.([]any); ok {
		return slices.Clone(l)
	}
	return []any{v}
}

// based puts the file names among media behind an address.
func based(v any, base string) any {
	switch v := v.(type) {
	case string:
		if v != "" && !strings.Contains(v, "://") {
			return base + strings.ReplaceAll(url.PathEscape(strings.TrimPrefix(v, "/")), "%2F", "/")
		}
	case []any:
		for i := range v {
			v[i] = based(v[i], base)
		}
	}
	return v
}
