package connectors

import (
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"

	"github.com/sluicehub/sluice/pim"
)

// surveyed is what a look at a checked expression tells before it is planned.
type surveyed struct {
	// exact holds the nodes whose value reaches the document without any
	// operator or function looking at it, so that its numbers must keep their
	// text: the whole expression, and from there the branches of a ?:, the
	// elements of list and map literals, what dyn is given, and what firstOf and
	// mapValue choose from.
	// The same holds for what goes into the functions that calculate with amounts.
	// A name selected from a variable is noted by its variable's node, because
	// that is the id under which CEL plans it.
	exact   map[int64]bool
	loops   bool      // has a comprehension
	forks   bool      // has a branch that one evaluation may not reach
	message bool      // builds a protobuf message
	inputs  pim.Lanes // see Program.Inputs
	codes   []string  // attributes that it names
	mapped  []string  // those of them that mapped names
	unnamed bool      // calls mapped without naming one
	lane    pim.Lane
	reads   reading        // see Program.Reads
	tree    bool           // see Program.Tree
	filed   bool           // names the product's categories
	records bool           // see Program.Records
	linked  bool           // see Program.Associations
	picked  map[int64]bool // variables of values of which one is selected
}

func survey(tree *ast.AST, lane pim.Lane) *surveyed {
	s := &surveyed{exact: map[int64]bool{}, lane: lane, picked: map[int64]bool{}}
	s.walk(tree.Expr(), true)
	slices.Sort(s.codes)
	s.codes = slices.Compact(s.codes)
	return s
}

// options plan an expression as surveyed. Only loops can make a value that is
// larger than the expression and the product, so only they pay for its measure,
// and may make lists of so many elements.
// With all, no branch is spared: see Compile.
func (s *surveyed) options(elements int, all bool) []cel.ProgramOption {
	o := []cel.ProgramOption{
		cel.EvalOptions(cel.OptOptimize),
		cel.CostLimit(maxCost),
		cel.CustomDecoratorV2(func(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
			return s.decorate(i, all), nil
		}),
	}
	if all {
		o = append(o, cel.EvalOptions(cel.OptExhaustiveEval))
	}
	if s.loops {
		// The depth has no limit of its own: lists that are added up nest as deep as they are long.
		sizes := types.NewSizeCalculator(types.SizeCalculatorMaxDepth(elements), types.SizeCalculatorMaxTraversal(elements))
		o = append(o, cel.MemoryTracking(types.MemoryTrackerSizeCalculator(sizes), types.MemoryTrackerSampleInterval(64)),
			cel.MemoryLimit(maxMemory), cel.InterruptCheckFrequency(interruptEvery))
	}
	return o
}

func (s *surveyed) walk(e ast.Expr, exact bool) {
	switch e.Kind() {
	case ast.IdentKind:
		if exact {
			s.exact[e.ID()] = true
		}
		s.inputs |= s.inputOf(e.AsIdent())
		s.tree = s.tree || e.AsIdent() == "categoryPaths"
		s.filed = s.filed || e.AsIdent() == "categories" || e.AsIdent() == "targetCategories"
		s.records = s.records || e.AsIdent() == "records"
		s.linked = s.linked || e.AsIdent() == "associations"
		s.reads.all = s.reads.all || isValues(e) && !s.picked[e.ID()]
	case ast.SelectKind:
		operand := e.AsSelect().Operand()
		s.names(operand, e.AsSelect().FieldName())
		s.walk(operand, exact && isPlace(operand) && !e.AsSelect().IsTestOnly())
	case ast.ListKind:
		s.exact[e.ID()] = exact
		for _, el := range e.AsList().Elements() {
			s.walk(el, exact)
		}
	case ast.MapKind:
		for _, entry := range e.AsMap().Entries() {
			s.walk(entry.AsMapEntry().Key(), false)
			s.walk(entry.AsMapEntry().Value(), exact)
		}
	case ast.StructKind:
		s.message = true
	case ast.ComprehensionKind:
		s.loops = true
		c := e.AsComprehension()
		for _, part := range []ast.Expr{c.IterRange(), c.AccuInit(), c.LoopCondition(), c.LoopStep(), c.Result()} {
			forks := s.forks
			s.walk(part, false)
			if part == c.LoopCondition() || part == c.LoopStep() && !hasFork(c.LoopStep()) {
				s.forks = forks // a macro's own
			}
		}
	case ast.CallKind:
		s.walkCall(e, exact)
	}
}

func (s *surveyed) walkCall(e ast.Expr, exact bool) {
	call := e.AsCall()
	s.exact[e.ID()] = exact
	through := func(int) bool { return false }
	switch call.FunctionName() {
	case "add", "sub", "mul", "round", "number", "unit":
		// They read a number's text, so nothing is lost on the way in.
		exact, through = true, func(int) bool { return true }
	case operators.LogicalAnd, operators.LogicalOr:
		s.forks = true
	case operators.Conditional, "mapValue":
		s.forks = true
		through = func(i int) bool { return i > 0 }
	case "firstOf", "dyn":
		s.forks = s.forks || call.FunctionName() == "firstOf"
		through = func(int) bool { return true }
	case operators.Index:
		if operand, name, ok := constantIndex(e); ok {
			s.names(operand, name)
		}
		through = func(i int) bool { return i == 0 && isPlace(call.Args()[0]) }
	case "value":
		s.inputs |= pim.LanesOf(pim.Content, pim.Media)
		s.namesArgument(call)
	case "text":
		s.inputs |= pim.LanesOf(pim.Content)
		s.namesArgument(call)
	case "mapped":
		s.inputs |= pim.LanesOf(pim.Content)
		s.forks = s.forks || len(call.Args()) > 1
		s.namesArgument(call)
		code, ok := mappedCode(call)
		s.mapped, s.unnamed = append(s.mapped, code), s.unnamed || !ok
		through = func(i int) bool { return i > 0 }
	}
	if call.IsMemberFunction() {
		s.walk(call.Target(), false)
	}
	for i, arg := range call.Args() {
		s.walk(arg, exact && through(i))
	}
}

// inputOf is the lane whose changes can change a variable.
func (s *surveyed) inputOf(name string) pim.Lanes {
	switch name {
	case "price", "prices", "stock":
		return pim.LanesOf(pim.Offer)
	case "media", "pictures", "renditions":
		return pim.LanesOf(pim.Media)
	case "values", "raw":
		if s.lane == pim.Content {
			return pim.LanesOf(pim.Content)
		}
		return pim.LanesOf(pim.Content, pim.Media)
	case "sku", "parent", "family", "enabled", "categories", "targetCategories", "categoryPaths", "axes", "records", "associations":
		return pim.LanesOf(pim.Content)
	}
	return 0
}

// hasFork reports whether a loop's step forks beyond the operator that filter,
// exists and all are made of.
func hasFork(step ast.Expr) bool {
	inner := surveyed{exact: map[int64]bool{}, picked: map[int64]bool{}}
	if step.Kind() != ast.CallKind {
		return true
	}
	for _, arg := range step.AsCall().Args() {
		inner.walk(arg, false)
	}
	return inner.forks
}

// isPlace reports whether e is a variable, or something selected from one.
func isPlace(e ast.Expr) bool {
	switch e.Kind() {
	case ast.IdentKind:
		return true
	case ast.SelectKind:
		return !e.AsSelect().IsTestOnly() && isPlace(e.AsSelect().Operand())
	case ast.CallKind:
		call := e.AsCall()
		return call.FunctionName() == operators.Index && isPlace(call.Args()[0])
	}
	return false
}

// constantIndex takes x['name'] apart.
func constantIndex(e ast.Expr) (operand ast.Expr, name string, ok bool) {
	call := e.AsCall()
	if call.FunctionName() != operators.Index || call.Args()[1].Kind() != ast.LiteralKind {
		return nil, "", false
	}
	literal, ok := call.Args()[1].AsLiteral().(types.String)
	return call.Args()[0], string(literal), ok
}

// decorate replaces the nodes that behave differently from CEL's own.
func (s *surveyed) decorate(i interpreter.InterpretableV2, all bool) interpreter.InterpretableV2 {
	exact := s.exact[i.ID()]
	switch n := i.(type) {
	case *exactPlace, *orderedLiteral:
		return i
	case interpreter.InterpretableAttribute:
		if exact {
			return &exactPlace{n}
		}
	case interpreter.InterpretableConstructor:
		if n.Type() == types.MapType {
			return planMap(n)
		}
	case interpreter.InterpretableCall:
		switch n.Function() {
		case "text", "value":
			return &valueNode{InterpretableV2: n, args: n.Args(), exact: exact, text: n.Function() == "text"}
		case "firstOf":
			return planFirstOf(n, all)
		case "mapValue":
			return &mapValueNode{InterpretableV2: n, args: n.Args(), all: all}
		case "mapped":
			return &mappedNode{InterpretableV2: n, args: n.Args(), all: all}
		case "number":
			return &numberNode{InterpretableV2: n, arg: n.Args()[0], exact: exact}
		case "replace", "join", "indexOf", "lastIndexOf":
			return interpreter.NewCall(n.ID(), n.Function(), n.OverloadID(), n.Args(), boundedText[n.Function()])
		}
	}
	return i
}

// exactPlace gives a number with its text.
type exactPlace struct {
	interpreter.InterpretableAttribute
}

// Exec implements interpreter.InterpretableV2.
func (n *exactPlace) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	v, err := n.Attr().Resolve(frame)
	var out ref.Val
	if err != nil {
		out = types.LabelErrNode(n.ID(), types.WrapErr(err))
	} else {
		out = exactly(v)
	}
	if c := frame.CostTracker(); c != nil {
		c.EvalAttribute(n.ID(), false, out)
	}
	return out
}

// Eval implements interpreter.Interpretable.
func (n *exactPlace) Eval(vars interpreter.Activation) ref.Val {
	return interpreter.EvalActivation(vars, n.Exec)
}

// planMap makes a map literal keep the order of its keys when walked, and a
// constant one be built once.
func planMap(n interpreter.InterpretableConstructor) interpreter.InterpretableV2 {
	constant := func(i interpreter.InterpretableV2) bool {
		_, ok := i.(interpreter.InterpretableConst)
		return ok
	}
	node := &orderedLiteral{n}
	if !slices.ContainsFunc(n.InitVals(), func(i interpreter.InterpretableV2) bool { return !constant(i) }) {
		if v := node.Eval(interpreter.EmptyActivation()); !types.IsError(v) {
			return interpreter.NewConstValue(n.ID(), v)
		}
	}
	return node
}

// orderedLiteral is a map literal that is walked in the order of its keys.
type orderedLiteral struct {
	interpreter.InterpretableConstructor
}

// Exec implements interpreter.InterpretableV2.
func (n *orderedLiteral) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	v := n.InterpretableConstructor.Exec(frame)
	if m, ok := v.(traits.Mapper); ok {
		return &orderedMap{Mapper: m}
	}
	return v
}

// Eval implements interpreter.Interpretable.
func (n *orderedLiteral) Eval(vars interpreter.Activation) ref.Val {
	return interpreter.EvalActivation(vars, n.Exec)
}

// valueNode is text(code, locale) and value(code, locale[, channel]).
type valueNode struct {
	interpreter.InterpretableV2
	args        []interpreter.InterpretableV2
	exact, text bool
}

// Exec implements interpreter.InterpretableV2.
func (n *valueNode) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	var given [3]string
	for i, arg := range n.args {
		v := arg.Exec(frame)
		s, ok := v.(types.String)
		if !ok {
			return types.MaybeNoSuchOverloadErr(v)
		}
		given[i] = string(s)
	}
	charge(frame, n.ID())
	v, err := viewOf(frame)
	if err != nil {
		return types.WrapErr(err)
	}
	if len(n.args) < 3 {
		given[2] = string(v.scope.Channel)
	}
	found, ok := v.lookUp(given[0], given[2], given[1])
	switch {
	case !ok || n.text && v.isMedia(given[0]):
		return absent(given[0])
	case n.text:
		if s, ok := found.(string); ok {
			return types.String(s)
		}
		return types.NewErr("%s is no text", given[0])
	case n.exact:
		return exactly(found)
	}
	return adapter{}.NativeToValue(found)
}

// Eval implements interpreter.Interpretable.
func (n *valueNode) Eval(vars interpreter.Activation) ref.Val {
	return interpreter.EvalActivation(vars, n.Exec)
}

// planFirstOf evaluates the elements of a list literal one after the other, so
// that an absent one does not make the whole absent.
func planFirstOf(n interpreter.InterpretableCall, all bool) interpreter.InterpretableV2 {
	arg := n.Args()[0]
	if list, ok := arg.(interpreter.InterpretableConstructor); ok && list.Type() == types.ListType {
		return &firstOfNode{InterpretableV2: n, candidates: list.InitVals(), all: all}
	}
	return &firstOfNode{InterpretableV2: n, list: arg}
}

// firstOfNode is firstOf([a, b, …]).
type firstOfNode struct {
	interpreter.InterpretableV2
	candidates []interpreter.InterpretableV2
	list       interpreter.InterpretableV2 // when it is no literal
	all        bool                        // look at all candidates, to see what they cost
}

// Exec implements interpreter.InterpretableV2.
func (n *firstOfNode) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	charge(frame, n.ID())
	for i, c := range n.candidates {
		v := c.Exec(frame)
		if n.all && i < len(n.candidates)-1 {
			continue
		}
		if err, ok := v.(*types.Err); ok && isAbsent(err) {
			continue
		}
		if !isEmpty(v) {
			return v
		}
	}
	if n.list == nil {
		return absent("none of firstOf")
	}
	v := n.list.Exec(frame)
	list, ok := v.(traits.Lister)
	if !ok {
		return types.MaybeNoSuchOverloadErr(v)
	}
	for it := list.Iterator(); it.HasNext() == types.True; {
		if v := it.Next(); !isEmpty(v) {
			return v
		}
		charge(frame, n.ID())
	}
	return absent("none of firstOf")
}

// Eval implements interpreter.Interpretable.
func (n *firstOfNode) Eval(vars interpreter.Activation) ref.Val {
	return interpreter.EvalActivation(vars, n.Exec)
}

// isEmpty reports null, an empty text, an empty list and an empty map.
func isEmpty(v ref.Val) bool {
	switch v := v.(type) {
	case types.Null:
		return true
	case traits.Sizer:
		return v.Size() == types.IntZero
	}
	return false
}

// mapValueNode is mapValue(v, table[, otherwise]).
type mapValueNode struct {
	interpreter.InterpretableV2
	args []interpreter.InterpretableV2
	all  bool // look at the table and at what is otherwise, to see what they cost
}

// Exec implements interpreter.InterpretableV2.
func (n *mapValueNode) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	charge(frame, n.ID())
	key := n.args[0].Exec(frame)
	if n.all {
		for _, arg := range n.args[1:] {
			arg.Exec(frame)
		}
	}
	missing := key == types.NullValue
	if err, ok := key.(*types.Err); ok {
		if missing = isAbsent(err); !missing {
			return err
		}
	}
	if !missing {
		given := n.args[1].Exec(frame)
		table, ok := given.(traits.Mapper)
		if !ok {
			return types.MaybeNoSuchOverloadErr(given)
		}
		if found, ok := table.Find(key); ok || types.IsError(found) {
			return found
		}
	}
	if len(n.args) == 3 {
		return n.args[2].Exec(frame)
	}
	return absent("not in the table")
}

// Eval implements interpreter.Interpretable.
func (n *mapValueNode) Eval(vars interpreter.Activation) ref.Val {
	return interpreter.EvalActivation(vars, n.Exec)
}

// numberNode is number(amount).
type numberNode struct {
	interpreter.InterpretableV2
	arg   interpreter.InterpretableV2
	exact bool
}

// Exec implements interpreter.InterpretableV2.
func (n *numberNode) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	charge(frame, n.ID())
	v := n.arg.Exec(frame)
	if types.IsError(v) {
		return v
	}
	d, err := decimalOf(v)
	if err != nil {
		return types.WrapErr(err)
	}
	if n.exact {
		return exactNumber(d.String())
	}
	return looseNumber(d.String())
}

// Eval implements interpreter.Interpretable.
func (n *numberNode) Eval(vars interpreter.Activation) ref.Val {
	return interpreter.EvalActivation(vars, n.Exec)
}

// charge counts one step of a node of ours.
func charge(frame *interpreter.ExecutionFrame, id int64) {
	if c := frame.CostTracker(); c != nil {
		c.Qualify(id)
	}
}
