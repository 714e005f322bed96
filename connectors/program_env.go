package connectors

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/ext"
)

// mappingVariables are what expressions may name. docs/mapping.md describes
// each; view computes them.
var mappingVariables = []struct {
	name string
	of   *cel.Type
}{
	{"sku", cel.StringType},
	{"parent", cel.StringType},
	{"family", cel.StringType},
	{"axes", cel.MapType(cel.StringType, cel.DynType)},
	{"enabled", cel.BoolType},
	{"categories", cel.ListType(cel.StringType)},
	{"targetCategories", cel.ListType(cel.StringType)},
	{"categoryPaths", cel.ListType(cel.MapType(cel.StringType, cel.DynType))},
	{"values", cel.MapType(cel.StringType, cel.DynType)},
	{"raw", cel.MapType(cel.StringType, cel.DynType)},
	{"associations", cel.MapType(cel.StringType, cel.ListType(cel.DynType))},
	{"records", cel.MapType(cel.StringType, cel.DynType)},
	{"locale", cel.StringType},
	{"currency", cel.StringType},
	{"channel", cel.StringType},
	{"price", cel.DynType},
	{"prices", cel.ListType(cel.MapType(cel.StringType, cel.DynType))},
	{"stock", cel.DynType},
	{"media", cel.ListType(cel.StringType)},
	{"pictures", cel.ListType(cel.MapType(cel.StringType, cel.StringType))},
	{"renditions", cel.MapType(cel.StringType, cel.ListType(cel.StringType))},
}

func isVariable(name string) bool {
	for _, v := range mappingVariables {
		if v.name == name {
			return true
		}
	}
	return false
}

// mappingEnv is the one environment of all programs; it is immutable.
//
// The parser's limits keep hostile text off the stack: at most 128 levels deep,
// 20,000 nodes after macros are expanded. Regular expressions are bounded by the
// size of their program, because CEL's cost model only sees their text.
var mappingEnv = sync.OnceValues(func() (*cel.Env, error) {
	options := []cel.EnvOption{
		cel.CustomTypeAdapter(adapter{}),
		cel.EagerlyValidateDeclarations(true),
		cel.ParserRecursionLimit(128),
		cel.ParserErrorRecoveryLimit(4),
		cel.ParserExpressionSizeLimit(MaxExpression),
		cel.ExpressionNodeLimit(20_000),
		cel.RegexProgramSizeLimit(200),
		ext.Strings(ext.StringsVersion(5), ext.StringsMaxPrecision(20)),
	}
	for _, v := range mappingVariables {
		options = append(options, cel.Variable(v.name, v.of))
	}
	env, err := cel.NewEnv(append(options, mappingFunctions()...)...)
	if err != nil {
		return nil, fmt.Errorf("set up the mapping language: %w", err)
	}
	return env, nil
})

// noHints estimates without knowing anything of the data.
type noHints struct{}

func (noHints) EstimateSize(cost.AstNode) *cost.SizeEstimate { return nil }

func (noHints) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}

// adapter turns a product's values into CEL's. It differs from CEL's own in two
// things: a json.Number becomes an int or a double, and maps are walked in the
// order of their keys, so that the same product gives the same document.
type adapter struct{}

// NativeToValue implements types.Adapter.
func (a adapter) NativeToValue(v any) ref.Val {
	switch v := v.(type) {
	case nil:
		return types.NullValue
	case string:
		return types.String(v)
	case ref.Val:
		return v
	case bool:
		return types.Bool(v)
	case int64:
		return types.Int(v)
	case json.Number:
		return looseNumber(string(v))
	case map[string]any:
		return &orderedMap{Mapper: types.NewStringInterfaceMap(a, v), native: v}
	case []any:
		return &nativeList{Lister: types.NewDynamicList(a, v), native: v}
	}
	return types.DefaultTypeAdapter.NativeToValue(v)
}

// looseNumber reads a JSON number for calculating: an int when it is written as
// one and fits, else a double, which may lose digits.
func looseNumber(s string) ref.Val {
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return types.Int(i)
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return types.NewErr("%q is no number", clip(s, 40))
	}
	return types.Double(f)
}

// exactNumber is a JSON number on its way through an expression that does not
// look at it (see survey): it keeps its text, and meets no operator.
type exactNumber string

// ConvertToNative implements ref.Val.
func (n exactNumber) ConvertToNative(typeDesc reflect.Type) (any, error) {
	return looseNumber(string(n)).ConvertToNative(typeDesc)
}

// ConvertToType implements ref.Val.
func (n exactNumber) ConvertToType(t ref.Type) ref.Val {
	return looseNumber(string(n)).ConvertToType(t)
}

// Equal implements ref.Val.
func (n exactNumber) Equal(other ref.Val) ref.Val {
	if o, ok := other.(exactNumber); ok {
		other = looseNumber(string(o))
	}
	return looseNumber(string(n)).Equal(other)
}

// Type implements ref.Val.
func (n exactNumber) Type() ref.Type { return looseNumber(string(n)).Type() }

// Value implements ref.Val.
func (n exactNumber) Value() any { return string(n) }

// nativeList remembers the list it was made of, whose numbers have all their digits.
type nativeList struct {
	traits.Lister
	native []any
}

// orderedMap is a map that is walked in the order of its keys. native, when
// there is one, is what it was made of.
type orderedMap struct {
	traits.Mapper
	native map[string]any
}

// Iterator implements traits.Iterable.
func (m *orderedMap) Iterator() traits.Iterator {
	keys := make([]ref.Val, 0, 16)
	for it := m.Mapper.Iterator(); it.HasNext() == types.True; {
		keys = append(keys, it.Next())
	}
	slices.SortFunc(keys, compareKeys)
	return types.NewRefValList(adapter{}, keys).Iterator()
}

// AggregateSize implements types.AggregateSizeVisitor: the order does not matter to it.
func (m *orderedMap) AggregateSize(s types.AggregateSizer) uint32 {
	if v, ok := m.Mapper.(types.AggregateSizeVisitor); ok {
		return v.AggregateSize(s)
	}
	return s.AggregateSize(m.Mapper)
}

// compareKeys orders keys by their type, then by their value.
func compareKeys(a, b ref.Val) int {
	if s, ok := a.(types.String); ok {
		if t, ok := b.(types.String); ok {
			return strings.Compare(string(s), string(t))
		}
	}
	if c := strings.Compare(a.Type().TypeName(), b.Type().TypeName()); c != 0 {
		return c
	}
	if c, ok := a.(traits.Comparer); ok {
		if order, ok := c.Compare(b).(types.Int); ok {
			return int(order)
		}
	}
	return 0
}

// errTooLarge is the error of a function whose result, or whose work, would be
// out of proportion. It is reported as mapping.cost.
var errTooLarge = errors.New("the result would be too large")

// absent is the value of what is not there: CEL's own error for a missing key,
// so that one rule covers both. Render leaves the field out.
func absent(what string) ref.Val { return types.NewErr("no such key: %s", what) }

// isAbsent tells a missing key from other errors. CEL exports no type for that
// error, only its text, which our tests pin.
func isAbsent(err error) bool { return strings.HasPrefix(err.Error(), "no such key") }

// exactly is NativeToValue for a place where no operator looks.
func exactly(v any) ref.Val {
	if n, ok := v.(json.Number); ok {
		return exactNumber(n)
	}
	return adapter{}.NativeToValue(v)
}
