package connectors

import (
	"fmt"
	"slices"
	"strconv"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"

	"github.com/sluicehub/sluice/pim"
)

// CodeUnmapped is the code of the issue of a category or value that has no
// entry in the mapping's tables.
const CodeUnmapped = "mapping.unmapped"

// maxNoted bounds the issues of one document that tables give.
const maxNoted = 100

// mappedCode is the attribute that a call of mapped names, which has to be
// written down, so that a mapping can be checked when it is saved.
func mappedCode(call ast.CallExpr) (code string, ok bool) {
	if len(call.Args()) == 0 || call.Args()[0].Kind() != ast.LiteralKind {
		return "", false
	}
	s, ok := call.Args()[0].AsLiteral().(types.String)
	return string(s), ok
}

// mappedNode is mapped(code[, otherwise]).
type mappedNode struct {
	interpreter.InterpretableV2
	args []interpreter.InterpretableV2
	all  bool // look at what is otherwise, too, to see what it costs
}

// Exec implements interpreter.InterpretableV2.
func (n *mappedNode) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	charge(frame, n.ID())
	name, ok := n.args[0].Exec(frame).(types.String)
	if !ok {
		return types.NewErr("mapped takes an attribute's code")
	}
	v, err := viewOf(frame)
	if err != nil {
		return types.WrapErr(err)
	}
	var otherwise func() ref.Val
	if len(n.args) == 2 {
		otherwise = func() ref.Val { return n.args[1].Exec(frame) }
		if n.all {
			otherwise()
		}
	}
	code := string(name)
	found, ok := v.value(code)
	if !ok {
		if otherwise != nil {
			return otherwise()
		}
		return absent(code)
	}
	table := v.mapping.Values[code]
	if table.Unit != "" {
		return unit(adapter{}.NativeToValue(found), types.String(table.Unit))
	}
	list, many := found.([]any)
	if !many {
		if word, ok := v.word(code, table, found, otherwise); ok {
			return word
		}
		return absent(code)
	}
	words := make([]ref.Val, 0, len(list))
	for _, el := range list {
		charge(frame, n.ID())
		word, ok := v.word(code, table, el, otherwise)
		if ok && types.IsError(word) {
			return word
		}
		if !ok || slices.ContainsFunc(words, func(w ref.Val) bool { return w.Equal(word) == types.True }) {
			continue
		}
		words = append(words, word)
	}
	return types.NewRefValList(adapter{}, words)
}

// Eval implements interpreter.Interpretable.
func (n *mappedNode) Eval(vars interpreter.Activation) ref.Val {
	return interpreter.EvalActivation(vars, n.Exec)
}

// word is how the target says one value; false when it is to be left out.
func (v *view) word(code string, table ValueMapping, value any, otherwise func() ref.Val) (ref.Val, bool) {
	key := ""
	switch value := value.(type) {
	case string:
		key = value
	case bool:
		key = strconv.FormatBool(value)
	default:
		return types.NewErr("the value of %s is none that has a word", code), true
	}
	if word, ok := table.Options[key]; ok {
		return types.String(word), true
	}
	switch {
	case otherwise != nil:
		return otherwise(), true
	case v.mapping.Unmapped == UnmappedPass:
		return adapter{}.NativeToValue(value), true
	}
	v.note(fmt.Sprintf("%q of attribute %s has no entry in the mapping's values", clip(key, 100), code))
	return nil, false
}

// allTargetCategories is the variable targetCategories: the target's categories
// of those that the channel sees, in the product's order, each once.
func (v *view) allTargetCategories() []string {
	targets := make([]string, 0, len(v.allCategories()))
	for _, code := range v.allCategories() {
		mapped, ok := v.mapping.Categories[code]
		switch {
		case ok:
		case v.mapping.Unmapped == UnmappedPass:
			mapped = []string{code}
		default:
			v.note(fmt.Sprintf("category %q has no entry in the mapping's categories", clip(code, 100)))
		}
		for _, t := range mapped {
			if !slices.Contains(targets, t) {
				targets = append(targets, t)
			}
		}
	}
	return targets
}

// note tells of something without an entry, once for each field.
func (v *view) note(text string) {
	if len(v.noted) < maxNoted && !slices.Contains(v.noted, text) {
		v.noted = append(v.noted, text)
	}
}

// unmapped makes issues of what a field's expression noted.
func (r *rendering) unmapped(f *field) {
	if len(r.noted) == 0 {
		return
	}
	into, severity := &r.warnings, pim.SeverityWarning
	if r.mapping.Unmapped == UnmappedError {
		into, severity = &r.issues, pim.SeverityError
	}
	for _, text := range r.noted {
		if len(*into) < maxNoted {
			*into = append(*into, pim.Issue{Code: CodeUnmapped, Severity: severity, Attribute: f.name, Text: text})
		}
	}
	r.noted = r.noted[:0]
}
