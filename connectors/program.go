package connectors

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"

	"github.com/sluicehub/sluice/pim"
)

// Bounds of a mapping, and of rendering one document with it.
const (
	MaxExpression = 4 << 10   // bytes of one expression
	MaxMapping    = 256 << 10 // bytes of all expressions together
	MaxFields     = 500       // fields of one lane
	MaxFieldName  = 128       // characters of a field's name
	MaxDocument   = 4 << 20   // bytes of one document

	// maxCost is what the expressions of one document may cost together, in CEL's
	// units: one unit is about one step, or ten characters looked at.
	maxCost = 1_000_000
	// maxMemory bounds a value that loops build, in elements or tens of bytes, and
	// maxElements its elements alone, since to measure it they have to be walked.
	maxMemory   = 1_000_000
	maxElements = 20_000
	// maxElementsTrial is for evaluating all branches, where CEL's lists grow slowly.
	maxElementsTrial = 5_000
	// maxRender bounds the time of one document, for what costs more than CEL's
	// model believes. It is looked at in loops and between fields.
	maxRender = time.Second
	// maxTrial bounds the time that Compile spends on trying expressions. The bounds of their cost are met long before it, but
	// on a machine that hardly gets on, where it must not call a good mapping bad.
	maxTrial = 20 * time.Second
	// interruptEvery is how many turns of loops go by between looks at the time.
	interruptEvery = 100
	// problemsPerField keeps one garbled expression from drowning the others.
	problemsPerField = 5
)

// DefaultMapping is what a channel gets that brings no mapping and whose kind
// has none: the product as it stands in the channel's locale, its price and
// available stock, and its media. A product without price and stock has an
// empty offer document; one without media has an empty media document.
func DefaultMapping() Mapping {
	return Mapping{
		Content: map[string]string{
			"sku":        "sku",
			"parent":     "firstOf([parent])",
			"family":     "family",
			"categories": "categories",
			"values":     "values",
		},
		Offer: map[string]string{
			"price":    "price.amount",
			"currency": "price.currency",
			"stock":    "stock.available",
		},
		Media: map[string]string{
			"media": "firstOf([media])",
		},
	}
}

// Program is a compiled Mapping. It is immutable, so many goroutines may render
// with it at once.
type Program struct {
	lanes  pim.Lanes
	tables Mapping // whose tables the expressions look into
	fields map[pim.Lane][]field
	loops  pim.Lanes // lanes with an expression that loops
	inputs map[pim.Lane]pim.Lanes
	tree   pim.Lanes // see Tree
	filed  pim.Lanes // lanes with an expression that shows the product's categories
	record pim.Lanes // see Records
	linked pim.Lanes // see Associations
	reads  reading
}

// field is one field of a document, in the documents' order of names.
type field struct {
	name string
	key  []byte // `"name":`, ready to be written

	// A field that only names a place in the product needs no interpreter:
	// root is the variable, path what is selected from it.
	direct bool
	root   string
	path   []string

	eval  cel.Program
	trial cel.Program // all branches at once, where there are any; nil after Compile
	codes []string    // attributes that the expression names; nil after Compile

	inputs pim.Lanes
	reads  reading
}

// Compile checks a mapping and makes it ready to render. All problems come at
// once as *pim.Invalid, with a pointer to the field ("/content/title") and one
// of these codes:
//
//   - mapping.field: the field's name is empty, longer than MaxFieldName
//     characters, or holds control characters;
//   - mapping.size: an expression longer than MaxExpression, more than
//     MaxFields fields in a lane, or more than MaxMapping bytes in all;
//   - mapping.syntax: the expression is no CEL;
//   - mapping.unknown: it names a variable or function that there is not;
//   - mapping.type: an operator or function is applied to what it does not take,
//     or the result is nothing that JSON can hold;
//   - mapping.cost: it would cost too much;
//   - mapping.unmapped, mapping.value, mapping.word, category: a setting or an
//     entry of the tables is none.
//
// The last is found out in two ways, since nothing can be known of data that
// comes later. CEL's estimator tells what an expression costs at the very
// least. And each expression is evaluated, all its branches, on invented
// products of generous size (long texts, lists of hundreds), under the very
// limits that hold when documents are rendered, and under a time limit for the
// whole mapping. Loops within loops over long lists and strings that double
// again and again fail there. What passes and still meets a product on which
// it runs too long is stopped by the same limits in Render.
func Compile(m Mapping) (*Program, error) {
	env, err := mappingEnv()
	if err != nil {
		return nil, err
	}
	c := compiler{env: env, values: m.Values}
	if total := m.size(); total > MaxMapping {
		c.problem("", "mapping.size", "the mapping has %d bytes; %d are allowed", total, MaxMapping)
		return nil, c.invalid()
	}
	c.tables(m)
	tables := Mapping{Categories: m.Categories, Values: m.Values, Unmapped: m.Unmapped}
	p := &Program{lanes: m.Lanes(), tables: tables, fields: map[pim.Lane][]field{}, inputs: map[pim.Lane]pim.Lanes{}}
	for _, lane := range p.lanes.List() {
		fields := m.Fields(lane)
		pointer := "/" + lane.String()
		if len(fields) > MaxFields {
			c.problem(pointer, "mapping.size", "the lane has %d fields; %d are allowed", len(fields), MaxFields)
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			if f, ok := c.field(pointer+"/"+escapePointer(name), lane, name, fields[name]); ok {
				p.fields[lane] = append(p.fields[lane], f)
				p.inputs[lane] |= c.found.inputs
				p.reads.add(c.found.reads)
				if c.found.tree {
					p.tree |= pim.Lanes(lane)
				}
				if c.found.filed {
					p.filed |= pim.Lanes(lane)
				}
				if c.found.records {
					p.record |= pim.Lanes(lane)
				}
				if c.found.linked {
					p.linked |= pim.Lanes(lane)
				}
				if c.found.loops {
					p.loops |= pim.Lanes(lane)
				}
			}
		}
	}
	if len(c.problems) == 0 {
		c.try(p)
	}
	if len(c.problems) > 0 {
		return nil, c.invalid()
	}
	for _, fields := range p.fields {
		for i := range fields {
			fields[i].trial, fields[i].codes = nil, nil
		}
	}
	return p, nil
}

// Lanes are the lanes that the program renders documents for.
func (p *Program) Lanes() pim.Lanes { return p.lanes }

// Inputs are the lanes of a product whose changes can change the document of
// lane: a content mapping that mentions price has to be rendered again when a
// price changes. It always has lane itself.
func (p *Program) Inputs(lane pim.Lane) pim.Lanes { return p.inputs[lane] | pim.Lanes(lane) }

// Tree are the lanes whose documents show what the product's categories are
// called, or where they stand; rooted, on a channel with a CategoryRoot, also those
// that show no more than in which the product is.
func (p *Program) Tree(rooted bool) pim.Lanes {
	if rooted {
		return p.tree | p.filed
	}
	return p.tree
}

// Records are the lanes whose documents show what the records say that the product
// names.
func (p *Program) Records() pim.Lanes { return p.record }

// Associations are the lanes whose documents show which products the product is
// associated with.
func (p *Program) Associations() pim.Lanes { return p.linked }

// size is the bytes of all names and expressions.
func (m Mapping) size() (n int) {
	for _, l := range pim.AllLanes {
		for name, expression := range m.Fields(l) {
			n += len(name) + len(expression)
		}
	}
	return n
}

// compiler gathers the problems of one mapping.
type compiler struct {
	env      *cel.Env
	values   map[string]ValueMapping
	problems []pim.Problem
	found    *surveyed // of the field compiled last
}

func (c *compiler) problem(pointer, code, format string, args ...any) {
	detail := clip(fmt.Sprintf(format, args...), 500)
	c.problems = append(c.problems, pim.Problem{Pointer: pointer, Code: code, Detail: detail})
}

func (c *compiler) invalid() error { return &pim.Invalid{Problems: c.problems} }

// field compiles one expression; false when it has problems.
func (c *compiler) field(pointer string, lane pim.Lane, name, expression string) (field, bool) {
	before := len(c.problems)
	if reason := badFieldName(name); reason != "" {
		c.problem(pointer, "mapping.field", "%s", reason)
	}
	if len(expression) > MaxExpression {
		c.problem(pointer, "mapping.size", "the expression has %d bytes; %d are allowed", len(expression), MaxExpression)
		return field{}, false
	}
	env := c.env
	if !utf8.ValidString(expression) {
		c.problem(pointer, "mapping.syntax", "the expression is not valid UTF-8")
		return field{}, false
	}
	parsed, issues := env.Parse(expression)
	if issues.Err() != nil {
		c.report(pointer, issues.Errors(), "mapping.syntax")
		return field{}, false
	}
	checked, issues := env.Check(parsed)
	if issues.Err() != nil {
		c.report(pointer, issues.Errors(), "mapping.type")
		return field{}, false
	}
	if what := notJSON(checked.OutputType()); what != "" {
		c.problem(pointer, "mapping.type", "the expression gives %s, which JSON cannot hold", what)
	}
	found := survey(checked.NativeRep(), lane)
	if found.message {
		c.problem(pointer, "mapping.type", "messages such as Name{field: value} are not for mappings; write a map: {'field': value}")
	}
	for _, code := range found.mapped {
		if _, ok := c.values[code]; !ok {
			c.problem(pointer, "mapping.unknown", "the mapping's values have no entry for attribute %q, which mapped names", clip(code, 100))
		}
	}
	if found.unnamed {
		c.problem(pointer, "mapping.type", "mapped takes an attribute's code as it stands, as in mapped('color')")
	}
	if estimate, err := env.EstimateCost(checked, noHints{}); err == nil && estimate.Min > maxCost {
		c.problem(pointer, "mapping.cost", "the expression costs at least %d steps; %d are allowed", estimate.Min, maxCost)
	}
	if len(c.problems) > before {
		return field{}, false
	}
	f := field{name: name, key: append(pim.AppendJSONString(nil, name), ':'), codes: found.codes, inputs: found.inputs, reads: found.reads}
	f.root, f.path, f.direct = directPath(checked.NativeRep().Expr())
	for _, plan := range []struct {
		into    *cel.Program
		options []cel.ProgramOption
	}{
		{&f.eval, found.options(maxElements, false)},
		{&f.trial, found.options(maxElementsTrial, true)},
	} {
		if plan.into == &f.trial && !found.forks {
			break
		}
		program, err := env.Program(checked, plan.options...)
		if err != nil {
			c.problem(pointer, "mapping.syntax", "%v", err)
			return field{}, false
		}
		*plan.into = program
	}
	c.found = found
	return f, true
}

// report turns CEL's errors into problems, code being that of the stage.
func (c *compiler) report(pointer string, errs []*common.Error, code string) {
	for i, e := range errs {
		if i == problemsPerField {
			c.problem(pointer, code, "and %d more", len(errs)-i)
			return
		}
		code := code
		switch {
		case strings.HasPrefix(e.Message, "undeclared reference to"):
			code = "mapping.unknown"
		case strings.Contains(e.Message, "exceeds limit"), strings.Contains(e.Message, "limit exceeded"):
			code = "mapping.cost"
		}
		message := strings.ReplaceAll(e.Message, " (in container '')", "")
		c.problem(pointer, code, "line %d, column %d: %s", e.Location.Line(), e.Location.Column()+1, message)
	}
}

// badFieldName says what is wrong with a field's name, or "".
func badFieldName(name string) string {
	switch {
	case name == "":
		return "a field needs a name"
	case !utf8.ValidString(name):
		return "the field's name is not valid UTF-8"
	case utf8.RuneCountInString(name) > MaxFieldName:
		return fmt.Sprintf("the field's name is longer than %d characters", MaxFieldName)
	case strings.ContainsFunc(name, unicode.IsControl):
		return "the field's name holds control characters"
	}
	return ""
}

// notJSON names a type that no JSON value stands for, or gives "".
func notJSON(t *types.Type) string {
	switch t.Kind() {
	case types.TypeKind, types.ErrorKind, types.OpaqueKind, types.StructKind, types.AnyKind:
		return "a " + t.String()
	case types.ListKind, types.MapKind:
		for _, p := range t.Parameters() {
			if what := notJSON(p); what != "" {
				return what
			}
		}
	}
	return ""
}

// directPath recognises an expression that only names a place: a variable, and
// constant names selected from it.
func directPath(e ast.Expr) (root string, path []string, ok bool) {
	switch e.Kind() {
	case ast.IdentKind:
		return e.AsIdent(), nil, isVariable(e.AsIdent())
	case ast.SelectKind:
		if s := e.AsSelect(); !s.IsTestOnly() {
			root, path, ok = directPath(s.Operand())
			return root, append(path, s.FieldName()), ok
		}
	case ast.CallKind:
		if operand, name, indexed := constantIndex(e); indexed {
			root, path, ok = directPath(operand)
			return root, append(path, name), ok
		}
	}
	return "", nil, false
}

// escapePointer writes a name as one step of a JSON pointer (RFC 6901).
func escapePointer(s string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(s)
}

// clip shortens a text for people to at most n bytes, at a character's border.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
