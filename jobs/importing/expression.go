package importing

import (
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"math"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/ext"
	"cel.dev/cel-go/interpreter"

	"github.com/sluicehub/sluice/pim"
)

const (
	// maxCost bounds one evaluation in CEL's steps; text functions take one per
	// character, so that no row can hold the import up.
	maxCost = 3_000_000
	// maxMemory bounds what loops build, in elements or tens of bytes.
	maxMemory = 1_000_000
	// maxPattern bounds a regular expression's compiled program.
	maxPattern = 500
)

// expression is one compiled field of Options.Map. It is immutable and safe
// for concurrent use.
type expression struct {
	// path is set when the expression only names a place in the row, such as
	// row.price: its value is then taken as it stands, with all its digits.
	path []string
	eval cel.Program
}

// rowEnv is the one environment of all expressions.
var rowEnv = sync.OnceValues(func() (*cel.Env, error) {
	str := cel.StringType
	steps := cost.EvalCost(cost.Sum(cost.Const(1), cost.Length(cost.Arg(0))))
	env, err := cel.NewEnv(
		cel.CustomTypeAdapter(adapter{}),
		cel.ParserRecursionLimit(64),
		cel.ParserErrorRecoveryLimit(4),
		cel.ParserExpressionSizeLimit(maxExpression),
		cel.ExpressionNodeLimit(20_000),
		cel.RegexProgramSizeLimit(maxPattern),
		ext.Strings(ext.StringsVersion(5), ext.StringsMaxPrecision(20)),
		cel.Variable("row", cel.MapType(str, cel.DynType)),
		cel.Function("decodeEntities", cel.Overload("decode_entities", []*cel.Type{str}, str, cel.UnaryBinding(decodeEntities))),
		cel.Function("regexFind", cel.Overload("regex_find", []*cel.Type{str, str}, str, cel.BinaryBinding(regexFind))),
		cel.CostModel(cost.Overload("decode_entities", steps), cost.Overload("regex_find", steps)),
	)
	if err != nil {
		return nil, fmt.Errorf("set up the language of import maps: %w", err)
	}
	return env, nil
})

func compileExpression(pointer, text string) (*expression, []pim.Problem) {
	var ps []pim.Problem
	add := func(code, detail string) {
		ps = append(ps, pim.Problem{Pointer: pointer, Code: code, Detail: clip(detail, 500)})
	}
	env, err := rowEnv()
	switch {
	case err != nil:
		add("map.syntax", err.Error())
		return nil, ps
	case len(text) > maxExpression:
		add("map.size", fmt.Sprintf("the expression has %d bytes; %d are allowed", len(text), maxExpression))
		return nil, ps
	case !utf8.ValidString(text):
		add("map.syntax", "the expression is not valid UTF-8")
		return nil, ps
	}
	tree, issues := env.Compile(text)
	if issues.Err() != nil {
		for i, e := range issues.Errors() {
			if i == 5 {
				break
			}
			code := "map.syntax"
			if strings.HasPrefix(e.Message, "undeclared reference") {
				code = "map.unknown"
			} else if strings.HasPrefix(e.Message, "found no matching overload") {
				code = "map.type"
			}
			message := strings.ReplaceAll(e.Message, " (in container '')", "")
			add(code, fmt.Sprintf("line %d, column %d: %s", e.Location.Line(), e.Location.Column()+1, message))
		}
		return nil, ps
	}
	if path, ok := directPath(tree.NativeRep().Expr()); ok && len(path) > 0 {
		return &expression{path: path}, nil
	}
	program, err := env.Program(tree, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(maxCost),
		cel.CustomDecoratorV2(bounded),
		cel.MemoryTracking(types.MemoryTrackerSampleInterval(64)), cel.MemoryLimit(maxMemory))
	if err != nil {
		add("map.syntax", err.Error())
		return nil, ps
	}
	return &expression{eval: program}, nil
}

// directPath recognises row.a.b and row["a"]["b"].
func directPath(e ast.Expr) ([]string, bool) {
	switch e.Kind() {
	case ast.IdentKind:
		return nil, e.AsIdent() == "row"
	case ast.SelectKind:
		if s := e.AsSelect(); !s.IsTestOnly() {
			path, ok := directPath(s.Operand())
			return append(path, s.FieldName()), ok
		}
	case ast.CallKind:
		c := e.AsCall()
		if c.FunctionName() != operators.Index || len(c.Args()) != 2 || c.Args()[1].Kind() != ast.LiteralKind {
			break
		}
		name, ok := c.Args()[1].AsLiteral().(types.String)
		if !ok {
			break
		}
		path, ok := directPath(c.Args()[0])
		return append(path, string(name)), ok
	}
	return nil, false
}

// value evaluates e over a row, which is decoded JSON. The result is decoded
// JSON too; nil means that there is nothing, as when a key is missing.
func (e *expression) value(row map[string]any) (any, error) {
	if e.path != nil {
		var v any = row
		for _, k := range e.path {
			m, ok := v.(map[string]any)
			if !ok {
				return nil, nil
			}
			v = m[k]
		}
		return v, nil
	}
	out, _, err := e.eval.Eval(map[string]any{"row": row})
	switch {
	case err == nil:
		return plain(out, 0)
	case strings.HasPrefix(err.Error(), "no such key"): // CEL exports no type for it
		return nil, nil
	case errors.As(err, new(interpreter.EvalCancelledError)):
		return nil, errors.New("the expression would take too long on this row")
	}
	return nil, errors.New(clip(err.Error(), 300))
}

// plain turns a result into decoded JSON.
func plain(v ref.Val, depth int) (any, error) {
	if depth > pim.MaxDepth {
		return nil, errors.New("the result is nested too deep")
	}
	switch v := v.(type) {
	case types.String:
		return string(v), nil
	case types.Bool:
		return bool(v), nil
	case types.Null:
		return nil, nil
	case types.Int:
		return json.Number(strconv.FormatInt(int64(v), 10)), nil
	case types.Uint:
		return json.Number(strconv.FormatUint(uint64(v), 10)), nil
	case types.Double:
		if f := float64(v); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return json.Number(strconv.FormatFloat(f, 'g', -1, 64)), nil
		}
		return nil, fmt.Errorf("%v is no number that can be stored", float64(v))
	case traits.Mapper:
		out := map[string]any{}
		for it := v.Iterator(); it.HasNext() == types.True; {
			key := it.Next()
			name, ok := key.(types.String)
			if !ok {
				return nil, fmt.Errorf("the result has a key of type %s; only text can be one", key.Type().TypeName())
			}
			member, err := plain(v.Get(key), depth+1)
			if err != nil {
				return nil, err
			}
			out[string(name)] = member
		}
		return out, nil
	case traits.Lister:
		out := []any{}
		for it := v.Iterator(); it.HasNext() == types.True; {
			member, err := plain(it.Next(), depth+1)
			if err != nil {
				return nil, err
			}
			out = append(out, member)
		}
		return out, nil
	}
	return nil, fmt.Errorf("the result is a %s, which cannot be stored", v.Type().TypeName())
}

// adapter turns a row's values into CEL's: a JSON number becomes an int or a
// double, which may lose digits; see expression.path for those that must not.
type adapter struct{}

// NativeToValue implements types.Adapter.
func (a adapter) NativeToValue(v any) ref.Val {
	switch v := v.(type) {
	case string:
		return types.String(v)
	case json.Number:
		if i, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return types.Int(i)
		}
		f, err := strconv.ParseFloat(string(v), 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return types.NewErr("%q is no number", clip(string(v), 40))
		}
		return types.Double(f)
	case map[string]any:
		return types.NewStringInterfaceMap(a, v)
	case []any:
		return types.NewDynamicList(a, v)
	}
	return types.DefaultTypeAdapter.NativeToValue(v)
}

func decodeEntities(v ref.Val) ref.Val {
	s, ok := v.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(v)
	}
	return types.String(html.UnescapeString(string(s)))
}

// patterns keeps compiled regular expressions; those of rows' own making are
// not worth keeping, so it stops at a hundred.
var patterns = struct {
	sync.RWMutex
	of map[string]*regexp.Regexp
}{of: map[string]*regexp.Regexp{}}

func pattern(text string) (*regexp.Regexp, error) {
	patterns.RLock()
	re := patterns.of[text]
	patterns.RUnlock()
	if re != nil {
		return re, nil
	}
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return nil, err
	}
	if len(program.Inst) > maxPattern {
		return nil, fmt.Errorf("the regular expression is too large: %d steps, %d are allowed", len(program.Inst), maxPattern)
	}
	if re, err = regexp.Compile(text); err != nil {
		return nil, err
	}
	patterns.Lock()
	defer patterns.Unlock()
	if len(patterns.of) < 100 {
		patterns.of[text] = re
	}
	return re, nil
}

// regexFind gives the first group of the first match, the match itself when
// the expression has no group, and no such key when nothing matches.
func regexFind(s, re ref.Val) ref.Val {
	text, ok := s.(types.String)
	expr, isText := re.(types.String)
	if !ok || !isText {
		return types.MaybeNoSuchOverloadErr(s)
	}
	compiled, err := pattern(string(expr))
	if err != nil {
		return types.NewErr("%s", clip(err.Error(), 300))
	}
	m := compiled.FindStringSubmatch(string(text))
	switch {
	case m == nil:
		return types.NewErr("no such key: nothing matches %s", clip(string(expr), 100))
	case len(m) > 1:
		return types.String(m[1])
	}
	return types.String(m[0])
}

// clip cuts a text to n bytes at most, at the border of a character.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
