package connectors

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"github.com/govalues/decimal"

	"github.com/sluicehub/sluice/pim"
)

// mappingFunctions declares what expressions may call beside CEL's standard
// library and its strings extension. docs/mapping.md describes each.
func mappingFunctions() []cel.EnvOption {
	dyn, str, num := cel.DynType, cel.StringType, cel.IntType
	table := cel.MapType(dyn, dyn)
	options := []cel.EnvOption{
		// These six need the product, or choose between their arguments: nodes of
		// ours take their place when an expression is planned (see decorate).
		cel.Function("text", cel.Overload("text_locale", []*cel.Type{str, str}, str, planned)),
		cel.Function("value",
			cel.Overload("value_locale", []*cel.Type{str, str}, dyn, planned),
			cel.Overload("value_channel", []*cel.Type{str, str, str}, dyn, planned)),
		cel.Function("firstOf", cel.Overload("first_of", []*cel.Type{cel.ListType(dyn)}, dyn, planned)),
		cel.Function("mapValue",
			cel.Overload("map_value", []*cel.Type{dyn, table}, dyn, planned),
			cel.Overload("map_value_otherwise", []*cel.Type{dyn, table, dyn}, dyn, planned)),
		cel.Function("mapped",
			cel.Overload("mapped_code", []*cel.Type{str}, dyn, planned),
			cel.Overload("mapped_otherwise", []*cel.Type{str, dyn}, dyn, planned)),
		cel.Function("number", cel.Overload("number_dyn", []*cel.Type{dyn}, cel.DoubleType, planned)),

		cel.Function("unit", cel.Overload("unit_to", []*cel.Type{dyn, str}, str, cel.BinaryBinding(unit))),
		cel.Function("unitCode", cel.Overload("unit_code", []*cel.Type{dyn}, str, cel.UnaryBinding(unitCode))),
		cel.Function("round", cel.Overload("round_digits", []*cel.Type{dyn, num}, str, cel.BinaryBinding(round))),
	}
	for name, op := range map[string]func(a, b decimal.Decimal) (decimal.Decimal, error){
		"add": decimal.Decimal.Add, "sub": decimal.Decimal.Sub, "mul": decimal.Decimal.Mul,
	} {
		options = append(options, cel.Function(name, cel.Overload(name+"_dyn", []*cel.Type{dyn, dyn}, str, cel.BinaryBinding(arithmetic(op)))))
	}
	for name, f := range map[string]func(string) string{
		"stripTags": stripTags, "slug": slug, "lower": lower, "upper": upper,
	} {
		binding := cel.UnaryBinding(func(v ref.Val) ref.Val {
			s, ok := v.(types.String)
			if !ok {
				return types.MaybeNoSuchOverloadErr(v)
			}
			return types.String(f(string(s)))
		})
		options = append(options, textFunction(name, []*cel.Type{str}, binding)...)
	}
	return append(options, textFunction("truncate", []*cel.Type{str, num}, cel.BinaryBinding(func(v, n ref.Val) ref.Val {
		s, isText := v.(types.String)
		limit, isInt := n.(types.Int)
		if !isText || !isInt {
			return types.MaybeNoSuchOverloadErr(v)
		}
		return types.String(truncate(string(s), int64(limit)))
	}))...)
}

// planned stands where decorate puts a node: it is never called.
var planned = cel.FunctionBinding(func(...ref.Val) ref.Val { return types.NewErr("the function was not planned") })

// textFunction declares f(s, …) and s.f(…), which cost a step for each character.
func textFunction(name string, args []*cel.Type, binding cel.OverloadOpt) []cel.EnvOption {
	global, member := name+"_global", name+"_member"
	steps := func(of cost.QuantityExpr) cost.OverloadModelOption {
		return cost.EvalCost(cost.Sum(cost.Const(1), cost.Length(of)))
	}
	return []cel.EnvOption{
		cel.Function(name,
			cel.Overload(global, args, cel.StringType, binding),
			cel.MemberOverload(member, args, cel.StringType, binding)),
		cel.CostModel(cost.Overload(global, steps(cost.Arg(0))), cost.MemberOverload(member, steps(cost.Target()))),
	}
}

// decimalOf reads an amount: text such as "19.90", or a number.
func decimalOf(v any) (decimal.Decimal, error) {
	text := ""
	switch v := v.(type) {
	case types.String:
		text = string(v)
	case exactNumber:
		text = string(v)
	case types.Int:
		text = strconv.FormatInt(int64(v), 10)
	case types.Uint:
		text = strconv.FormatUint(uint64(v), 10)
	case types.Double:
		if f := float64(v); math.IsNaN(f) || math.Abs(f) >= 1e19 {
			return decimal.Decimal{}, errNoAmount
		}
		text = strconv.FormatFloat(float64(v), 'f', -1, 64)
	default:
		return decimal.Decimal{}, errNoAmount
	}
	const longest = 400 // of a double written out
	if len(text) > longest {
		return decimal.Decimal{}, errNoAmount
	}
	d, err := decimal.Parse(text)
	if err != nil {
		return decimal.Decimal{}, fmt.Errorf("%w: %q", errNoAmount, clip(text, 40))
	}
	return d, nil
}

var errNoAmount = errors.New("an amount is a number, or text such as '19.90', of at most 19 digits before the point")

func arithmetic(op func(a, b decimal.Decimal) (decimal.Decimal, error)) func(a, b ref.Val) ref.Val {
	return func(a, b ref.Val) ref.Val {
		x, err := decimalOf(a)
		if err != nil {
			return types.WrapErr(err)
		}
		y, err := decimalOf(b)
		if err != nil {
			return types.WrapErr(err)
		}
		d, err := op(x, y)
		if err != nil {
			return types.WrapErr(err)
		}
		return types.String(d.String())
	}
}

// round rounds as merchants do, half away from zero, and writes all digits asked for.
func round(amount, digits ref.Val) ref.Val {
	d, err := decimalOf(amount)
	if err != nil {
		return types.WrapErr(err)
	}
	n, ok := digits.(types.Int)
	if !ok || n < 0 || n >= decimal.MaxScale {
		return types.NewErr("round takes 0 to %d digits", decimal.MaxScale-1)
	}
	scale := int(n)
	whole := d.Trunc(scale)
	rest, err := d.Sub(whole)
	if err != nil {
		return types.WrapErr(err)
	}
	if half, err := decimal.New(5, scale+1); err != nil {
		return types.WrapErr(err)
	} else if rest.Abs().Cmp(half) >= 0 {
		one, err := decimal.New(int64(d.Sign()), scale)
		if err != nil {
			return types.WrapErr(err)
		}
		if whole, err = whole.Add(one); err != nil {
			return types.WrapErr(err)
		}
	}
	return types.String(whole.Pad(scale).String())
}

// unit converts {amount, unit} within its measurement family.
func unit(measurement, to ref.Val) ref.Val {
	m, ok := measurement.(traits.Mapper)
	if !ok {
		return types.NewErr("a measurement has an amount and a unit, as in {'amount': '1.5', 'unit': 'kg'}")
	}
	amount, found := m.Find(types.String("amount"))
	if !found {
		return absent("amount")
	}
	if o, ok := m.(*orderedMap); ok && o.native != nil {
		amount = exactly(o.native["amount"])
	}
	from, found := m.Find(types.String("unit"))
	if !found {
		return absent("unit")
	}
	d, err := decimalOf(amount)
	if err != nil {
		return types.WrapErr(err)
	}
	source, _ := from.(types.String)
	target, _ := to.(types.String)
	if d, err = pim.ConvertUnit(d, string(source), string(target)); err != nil {
		return types.WrapErr(err)
	}
	return types.String(d.Trim(0).String())
}

// unitCode gives the UN/ECE code of a unit, or of a measurement's.
func unitCode(of ref.Val) ref.Val {
	if m, ok := of.(traits.Mapper); ok {
		found := false
		if of, found = m.Find(types.String("unit")); !found {
			return absent("unit")
		}
	}
	unit, ok := of.(types.String)
	if !ok {
		return types.NewErr("unitCode takes a unit such as 'kg', or an amount with its unit")
	}
	code, ok := pim.UnitCode(string(unit))
	if !ok {
		return absent("the code of unit " + clip(string(unit), 40))
	}
	return types.String(code)
}
