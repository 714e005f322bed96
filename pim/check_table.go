package pim

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// maxColumns is how many columns a table may have.
const maxColumns = 50

// Column is a column of a table attribute. Its cells are as the values of an
// attribute of the same type, without scopes.
type Column struct {
	Code      string            `json:"code"`
	Type      AttributeType     `json:"type" enum:"text,number,boolean,option,date"`
	Labels    map[Locale]string `json:"labels,omitempty"`
	Required  bool              `json:"required,omitempty" doc:"Each row has a cell in it"`
	Options   []Option          `json:"options,omitempty" doc:"For option"`
	Unit      string            `json:"unit,omitempty" doc:"For number: the standard unit, as of an attribute"`
	MaxLength int               `json:"max_length,omitempty" doc:"In characters, for text; 0 is the default of 65535"`
	Rules
}

// columnTypes are the types that a column may have.
var columnTypes = []AttributeType{TypeText, TypeNumber, TypeBoolean, TypeOption, TypeDate}

// attribute is what a column's cells are checked as.
func (c *Column) attribute() *Attribute {
	return &Attribute{Code: c.Code, Type: c.Type, Labels: c.Labels, Options: c.Options, Unit: c.Unit, MaxLength: c.MaxLength, Rules: c.Rules}
}

// columns checks a table's columns.
func (ps *problems) columns(s *Schema, a *Attribute) {
	if a.Type != TypeTable {
		if len(a.Columns) > 0 {
			ps.add("/columns", "attribute.columns", "only a table has columns")
		}
		return
	}
	if len(a.Columns) < 1 || len(a.Columns) > maxColumns {
		ps.add("/columns", "attribute.columns", fmt.Sprintf("a table has 1 to %d columns", maxColumns))
	}
	seen := map[string]bool{}
	for i := range a.Columns {
		c, at := &a.Columns[i], "/columns/"+strconv.Itoa(i)
		if seen[c.Code] {
			ps.add(at+"/code", "column.duplicate", fmt.Sprintf("column %s stands more than once", quote(c.Code)))
		}
		seen[c.Code] = true
		if !slices.Contains(columnTypes, c.Type) {
			ps.add(at+"/type", "column.type", "a column is a text, number, boolean, option or date")
			continue
		}
		if c.Unique {
			ps.add(at+"/unique", "attribute.unique", "a column's cells are not unique")
		}
		for _, p := range s.CheckAttribute(c.attribute(), at) {
			ps.add(p.Pointer, p.Code, p.Detail)
		}
	}
}

// SameColumns reports whether the columns that both tables have hold the same
// kind of cells: else what is stored would mean something else.
func SameColumns(old, now *Attribute) bool {
	for i := range now.Columns {
		n := &now.Columns[i]
		j := slices.IndexFunc(old.Columns, func(o Column) bool { return o.Code == n.Code })
		if j >= 0 && (old.Columns[j].Type != n.Type || old.Columns[j].Unit != n.Unit) {
			return false
		}
	}
	return true
}

// table checks the rows of a table. What is clean has no empty cells.
func (c *checker) table(a *attributeIndex, rows []any) (clean any, changed bool) {
	if len(rows) > maxElements {
		c.problem("value.too_many", fmt.Sprintf("the table has %d rows, more than %d", len(rows), maxElements))
		return nil, true
	}
	before, depth := len(c.problems), len(c.path)
	c.path = append(c.path, "")
	out := make([]any, len(rows))
	for i, v := range rows {
		c.path = append(c.path[:depth], strconv.Itoa(i))
		row, ok := v.(map[string]any)
		if !ok {
			c.problem("value.type", "a row is an object of column → value, not "+jsonKind(v))
			continue
		}
		var differs bool
		out[i], differs = c.row(a, row)
		changed = changed || differs
		if len(c.problems) >= maxProblems {
			break
		}
	}
	c.path = c.path[:depth]
	if len(c.problems) > before {
		return nil, true
	}
	return out, changed
}

func (c *checker) row(a *attributeIndex, row map[string]any) (clean map[string]any, changed bool) {
	clean = make(map[string]any, len(row))
	at, before := len(c.path), len(c.problems)
	c.path = append(c.path, "")
	for _, code := range slices.Sorted(maps.Keys(row)) {
		cell := row[code]
		if cell == nil {
			changed = true
			continue
		}
		c.path[at] = code
		col := a.columns[code]
		if col == nil {
			c.problem("column.unknown", fmt.Sprintf("the table has no column %s", quote(code)))
			continue
		}
		v, differs := c.ruled(col, cell, nil)
		if changed = changed || differs; v != nil {
			clean[code] = v
		}
	}
	for i := range a.Columns {
		if col := &a.Columns[i]; col.Required && !isFilled(row[col.Code]) {
			c.path[at] = col.Code
			c.problem("column.required", fmt.Sprintf("a row has something in column %s", col.Code))
		}
	}
	c.path = c.path[:at]
	if len(clean) == 0 && (len(row) == 0 || len(c.problems) == before) { // cells of null are none
		c.problem("row.empty", "a row has at least one cell")
	}
	return clean, changed
}
