package connectors

import (
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

// isValues reports whether e is a variable that holds values by their codes.
func isValues(e ast.Expr) bool {
	return e.Kind() == ast.IdentKind && (e.AsIdent() == "values" || e.AsIdent() == "raw")
}

// names notes an attribute selected from values or raw.
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
