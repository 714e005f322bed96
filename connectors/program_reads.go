package connectors

import (
	"slices"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"

	"github.com/sluicehub/sluice/pim"
)

// reading is which attributes expressions look at, and in which locale.
type reading struct {
	all   bool             // some may look at any
	codes map[readKey]bool // attributes, in the channel's own locale ("") or in one that is named
}

type readKey struct {
	code   string
	locale pim.Locale
}

func (r *reading) note(code string, locale pim.Locale) {
	if r.codes == nil {
		r.codes = map[readKey]bool{}
	}
	r.codes[readKey{code, locale}] = true
}

func (r *reading) add(more reading) {
	r.all = r.all || more.all
	for k := range more.codes {
		r.note(k.code, k.locale)
	}
}

// Reads reports whether documents of some lane can show what the attribute code
// says in locale, on a channel of that locale. It may say so of one that they do
// not show, where an expression looks at values as a whole or makes up its names.
func (p *Program) Reads(code string, locale pim.Locale) bool {
	return p.reads.all || p.reads.codes[readKey{code, ""}] || p.reads.codes[readKey{code, locale}]
}

// Fields are the names of those fields of a lane that a change on some lanes can
// change, codes being the attributes that were changed; nil: all there are. As
// Reads it may name one that does not change.
func (p *Program) Fields(lane pim.Lane, changed pim.Lanes, codes []string) []string {
	names := []string{}
	for i := range p.fields[lane] {
		f := &p.fields[lane][i]
		if f.inputs&changed == 0 {
			continue
		}
		texts := changed&^pim.LanesOf(pim.Offer) != 0 && f.inputs&changed&^pim.LanesOf(pim.Offer) != 0
		if f.inputs.Has(pim.Offer) && changed.Has(pim.Offer) || texts && f.reads.touched(codes) {
			names = append(names, f.name)
		}
	}
	return names
}

// touched reports whether a change of these attributes can be seen; what reads
// none reads what is not among values.
func (r *reading) touched(codes []string) bool {
	if codes == nil || r.all || len(r.codes) == 0 {
		return true
	}
	for k := range r.codes {
		if slices.Contains(codes, k.code) {
			return true
		}
	}
	return false
}

// isValues reports whether e is a variable that holds values, or what they name, by
// their codes.
func isValues(e ast.Expr) bool {
	return e.Kind() == ast.IdentKind && (e.AsIdent() == "values" || e.AsIdent() == "raw" || e.AsIdent() == "records")
}

// names notes an attribute selected from values, raw or records.
func (s *surveyed) names(operand ast.Expr, code string) {
	if isValues(operand) {
		s.codes = append(s.codes, code)
		s.picked[operand.ID()] = true
		s.reads.note(code, "")
	}
}

func (s *surveyed) namesArgument(call ast.CallExpr) {
	s.readsArgument(call)
	if len(call.Args()) > 0 && call.Args()[0].Kind() == ast.LiteralKind {
		if code, ok := call.Args()[0].AsLiteral().(types.String); ok {
			s.codes = append(s.codes, string(code))
		}
	}
}

// readsArgument notes what text, value and mapped read.
func (s *surveyed) readsArgument(call ast.CallExpr) {
	var given [2]string
	for i, arg := range call.Args()[:min(len(call.Args()), 2)] {
		literal, ok := types.String(""), false
		if arg.Kind() == ast.LiteralKind {
			literal, ok = arg.AsLiteral().(types.String)
		}
		if !ok && i == 0 {
			s.reads.all = true
			return
		}
		if call.FunctionName() != "mapped" || i == 0 {
			given[i] = string(literal) // a locale that is made up may be the channel's own
		}
	}
	s.reads.note(given[0], pim.Locale(given[1]))
}
