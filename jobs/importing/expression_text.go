package importing

import (
	"errors"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"
)

const (
	maxText   = 4 << 20 // bytes that a text function may make
	maxSearch = 1 << 30 // length of a text times that of what is looked for in it
)

var errTooLarge = errors.New("the result of a text function would be too large")

// bounded takes the place of those functions of CEL's strings extension whose
// work can be the product of their arguments' lengths: CEL counts a call's
// cost after it, which is too late for them.
func bounded(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	n, ok := i.(interpreter.InterpretableCall)
	if !ok {
		return i, nil
	}
	var f func(...ref.Val) ref.Val
	switch n.Function() {
	case "replace":
		f = replaceText
	case "join":
		f = joinTexts
	case "indexOf":
		f = func(args ...ref.Val) ref.Val { return find(args, false) }
	case "lastIndexOf":
		f = func(args ...ref.Val) ref.Val { return find(args, true) }
	default:
		return i, nil
	}
	return interpreter.NewCall(n.ID(), n.Function(), n.OverloadID(), n.Args(), f), nil
}

func replaceText(args ...ref.Val) ref.Val {
	var text [3]string
	for i := range text {
		s, ok := args[i].(types.String)
		if !ok {
			return types.NoSuchOverloadErr()
		}
		text[i] = string(s)
	}
	times := -1
	if len(args) == 4 {
		n, ok := args[3].(types.Int)
		if !ok {
			return types.NoSuchOverloadErr()
		}
		times = int(max(-1, min(n, maxText)))
	}
	count := strings.Count(text[0], text[1])
	if times >= 0 {
		count = min(count, times)
	}
	if len(text[0])+count*max(0, len(text[2])-len(text[1])) > maxText {
		return types.WrapErr(errTooLarge)
	}
	return types.String(strings.Replace(text[0], text[1], text[2], times))
}

func joinTexts(args ...ref.Val) ref.Val {
	list, ok := args[0].(traits.Lister)
	if !ok {
		return types.NoSuchOverloadErr()
	}
	between := types.String("")
	if len(args) == 2 {
		if between, ok = args[1].(types.String); !ok {
			return types.NoSuchOverloadErr()
		}
	}
	var b strings.Builder
	for it, i := list.Iterator(), 0; it.HasNext() == types.True; i++ {
		s, ok := it.Next().(types.String)
		if !ok {
			return types.NewErr("join takes a list of texts")
		}
		if i > 0 {
			b.WriteString(string(between))
		}
		b.WriteString(string(s))
		if b.Len() > maxText {
			return types.WrapErr(errTooLarge)
		}
	}
	return types.String(b.String())
}

// find is indexOf, or lastIndexOf, which begin at character args[2] if given;
// -1 is nowhere.
func find(args []ref.Val, last bool) ref.Val {
	s, ok := args[0].(types.String)
	sub, isText := args[1].(types.String)
	if !ok || !isText {
		return types.NoSuchOverloadErr()
	}
	if len(s)*len(sub) > maxSearch {
		return types.WrapErr(errTooLarge)
	}
	text, begin := string(s), 0
	if last {
		begin = len(text)
	}
	if len(args) == 3 {
		offset, ok := args[2].(types.Int)
		if !ok {
			return types.NoSuchOverloadErr()
		}
		if offset < 0 || offset > types.Int(utf8.RuneCountInString(text)) {
			return types.NewErr("index out of range: %d", offset)
		}
		begin = 0
		for range int(offset) {
			_, size := utf8.DecodeRuneInString(text[begin:])
			begin += size
		}
	}
	var i int
	if last {
		i = strings.LastIndex(text[:min(len(text), begin+len(sub))], string(sub))
	} else if i = strings.Index(text[begin:], string(sub)); i >= 0 {
		i += begin
	}
	if i < 0 {
		return types.Int(-1)
	}
	return types.Int(utf8.RuneCountInString(text[:i]))
}
