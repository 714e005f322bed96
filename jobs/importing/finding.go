package importing

import (
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// maxShown is how much of a value a finding shows, in characters.
const maxShown = 200

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
				if m, ok := v.(map[string]any); ok && t.channel != "" {
					v = m[t.channel]
				}
				if m, ok := v.(map[string]any); ok && t.locale != "" {
					v = m[t.locale]
				}
				f.value = show(v)
				if m, ok := v.(map[string]any); ok && t.attr.Unit != "" { // as a cell has it
					if f.value = show(m["amount"]); m["unit"] != t.attr.Unit {
						f.value += " " + show(m["unit"])
					}
				}
			} else if pr.Pointer == "/sku" {
				f.column, f.value = p.skuName, string(e.SKU)
			} else if pr.Pointer == "/parent" && e.Parent != nil && p.surveyed.parent >= 0 {
				f.column, f.value = p.surveyed.table.names[p.surveyed.parent], string(*e.Parent)
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
	} else if errors.Is(res.Err, postgres.ErrNotFound) {
		out = append(out, finding(row, pim.SeverityError, string(e.SKU), problem{
			column: p.skuName, value: string(e.SKU), code: "product.unknown", text: "there is no such product, and the row makes none",
		}))
	} else {
		add(pim.SeverityError, []pim.Problem{{Code: "product", Detail: res.Err.Error()}})
	}
	return out
}

// sortByRow brings a chunk's findings into the order of the file.
func sortByRow(fs []postgres.ImportFinding) {
	slices.SortStableFunc(fs, func(a, b postgres.ImportFinding) int { return int(a.Row - b.Row) })
}
