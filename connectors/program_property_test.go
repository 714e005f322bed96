package connectors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/ext"
	"pgregory.net/rapid"

	"github.com/sluicehub/sluice/pim"
)

// drawNumber draws the text of a JSON number, often with more digits than a double has.
func drawNumber() *rapid.Generator[json.Number] {
	return rapid.Map(rapid.StringMatching(`-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?`), func(s string) json.Number { return json.Number(s) })
}

// drawValue draws a JSON value at most depth deep.
func drawValue(depth int) *rapid.Generator[any] {
	kinds := []*rapid.Generator[any]{
		drawNumber().AsAny(), rapid.String().AsAny(), rapid.Bool().AsAny(), rapid.Just[any](json.Number("1.10")),
	}
	if depth > 0 {
		kinds = append(kinds,
			rapid.SliceOfN(rapid.Deferred(func() *rapid.Generator[any] { return drawValue(depth - 1) }), 0, 4).AsAny(),
			rapid.MapOfN(rapid.String(), rapid.Deferred(func() *rapid.Generator[any] { return drawValue(depth - 1) }), 0, 4).AsAny())
	}
	return rapid.OneOf(kinds...)
}

// canonical is the promise of Render, written by encoding/json alone.
func canonical(t testing.TB, v any) string {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func mustCompile(t testing.TB, m Mapping) *Program {
	t.Helper()
	p, err := Compile(m)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Whatever is stored comes out as it is stored, by every road that does not
// look at it, and each time the same.
func TestPassThroughIsExact(t *testing.T) {
	p := mustCompile(t, Mapping{Content: map[string]string{
		"all": "values", "direct": "values.a", "index": "values['a']", "list": "[values.a]", "map": "{'v': values.a}", "raw": "raw.a",
		"chosen": "enabled ? values.a : values.b", "other": "!enabled ? 1.5 : values.a", "first": "firstOf([values.none, [values.a]])",
		"mapped": "mapValue('k', {'k': values.a})", "value": "value('a', locale)", "whole": "{'v': values}", "nested": "enabled ? dyn([{'k': [values.a]}]) : values.b",
	}})
	schema := &pim.Schema{Attributes: map[string]*pim.Attribute{
		"a": {Code: "a", Type: pim.TypeText}, "b": {Code: "b", Type: pim.TypeText}, "ü": {Code: "ü", Type: pim.TypeText, Localizable: true},
	}}
	rapid.Check(t, func(r *rapid.T) {
		a := drawValue(3).Draw(r, "a")
		u := drawValue(1).Draw(r, "ü")
		s := &Subject{SKU: "s", Enabled: true, Values: pim.Values{"a": a, "b": "b", "ü": map[string]any{"en-GB": u, "de-DE": "x"}, "unknown": "x"}}
		all := map[string]any{"a": a, "b": "b", "ü": u}
		want := canonical(t, map[string]any{
			"all": all, "direct": a, "index": a, "list": []any{a}, "map": map[string]any{"v": a}, "raw": a, "chosen": a, "other": a, "first": []any{a},
			"mapped": a, "value": a, "whole": map[string]any{"v": all}, "nested": []any{map[string]any{"k": []any{a}}},
		})
		for range 3 {
			got, err := p.Render(t.Context(), pim.Content, s, schema, sampleScope())
			if err != nil || string(got) != want {
				r.Fatalf("%v\n got %s\nwant %s", err, got, want)
			}
		}
	})
}

// slowly renders without the roads that avoid the interpreter.
func slowly(p *Program) *Program {
	slow := *p
	slow.fields = map[pim.Lane][]field{}
	for lane, fields := range p.fields {
		slow.fields[lane] = slices.Clone(fields)
		for i := range slow.fields[lane] {
			slow.fields[lane][i].direct = false
		}
	}
	return &slow
}

// outcome is all that a rendering says.
func outcome(t testing.TB, p *Program, lane pim.Lane, s *Subject, schema *pim.Schema) string {
	t.Helper()
	document, err := p.Render(t.Context(), lane, s, schema, sampleScope())
	var failed *Error
	if err != nil && !errors.As(err, &failed) {
		t.Fatalf("render: %v", err)
	}
	if failed != nil {
		return fmt.Sprint(failed.Issues)
	}
	return string(document)
}

// A path without an interpreter gives what the interpreter gives.
func TestDirectPathsEqualInterpreter(t *testing.T) {
	roots := []string{"values", "raw", "price", "prices", "stock", "media", "categories", "sku", "enabled", "parent"}
	names := []string{"a", "amount", "available", "en-GB", "picture", "forgotten", "min_quantity"}
	schema := &pim.Schema{Attributes: map[string]*pim.Attribute{
		"a": {Code: "a", Type: pim.TypeText}, "amount": {Code: "amount", Type: pim.TypeNumber, Localizable: true}, "picture": {Code: "picture", Type: pim.TypeMedia},
	}}
	compiled := map[string]*Program{}
	rapid.Check(t, func(r *rapid.T) {
		expression := rapid.SampledFrom(roots).Draw(r, "root")
		for _, name := range rapid.SliceOfN(rapid.SampledFrom(names), 0, 3).Draw(r, "path") {
			expression += fmt.Sprintf("['%s']", name)
		}
		lane := rapid.SampledFrom(pim.AllLanes).Draw(r, "lane")
		key := lane.String() + expression
		p := compiled[key]
		if p == nil {
			var err error
			if p, err = Compile(oneField(lane, expression)); err != nil {
				return // a list indexed by a name
			}
			compiled[key] = p
		}
		s := sample(t)
		if rapid.Bool().Draw(r, "bare") {
			s.Prices, s.Stock, s.Categories = nil, nil, nil
		}
		deep := rapid.OneOf(drawValue(2), rapid.Just[any](map[string]any{"a": map[string]any{"amount": json.Number("1.0")}, "en-GB": []any{"x"}}), rapid.Just[any](nil))
		s.Values = pim.Values{"a": deep.Draw(r, "a"), "amount": deep.Draw(r, "amount"), "picture": deep.Draw(r, "picture"), "forgotten": "x"}
		if fast, slow := outcome(t, p, lane, s, schema), outcome(t, slowly(p), lane, s, schema); fast != slow {
			r.Fatalf("%s on %s\ndirect      %s\ninterpreted %s", expression, lane, fast, slow)
		}
	})
}

// The functions that stand in for CEL's strings extension give the same results.
func TestBoundedTextEqualsExtension(t *testing.T) {
	env, err := cel.NewEnv(ext.Strings(ext.StringsVersion(5)), cel.Variable("s", cel.StringType), cel.Variable("t", cel.StringType),
		cel.Variable("u", cel.StringType), cel.Variable("n", cel.IntType), cel.Variable("l", cel.ListType(cel.StringType)))
	if err != nil {
		t.Fatal(err)
	}
	theirs := map[string]cel.Program{}
	expressions := []string{
		"s.replace(t, u)", "s.replace(t, u, n)", "l.join()", "l.join(t)", "s.indexOf(t)", "s.indexOf(t, n)", "s.lastIndexOf(t)", "s.lastIndexOf(t, n)",
	}
	for _, e := range expressions {
		checked, issues := env.Compile(e)
		if issues.Err() != nil {
			t.Fatal(issues.Err())
		}
		if theirs[e], err = env.Program(checked); err != nil {
			t.Fatal(err)
		}
	}
	short := rapid.StringOfN(rapid.SampledFrom([]rune("abä𝄞")), 0, 6, -1)
	rapid.Check(t, func(r *rapid.T) {
		e := rapid.SampledFrom(expressions).Draw(r, "expression")
		vars := map[string]any{
			"s": short.Draw(r, "s"), "t": rapid.StringOfN(rapid.SampledFrom([]rune("abä𝄞")), 0, 2, -1).Draw(r, "t"), "u": short.Draw(r, "u"),
			"n": int64(rapid.IntRange(-2, 8).Draw(r, "n")), "l": rapid.SliceOfN(short, 0, 4).Draw(r, "l"),
		}
		want, _, wantErr := theirs[e].Eval(vars)
		name, arguments, _ := strings.Cut(strings.TrimSuffix(e[2:], ")"), "(")
		args := []ref.Val{adapter{}.NativeToValue(vars[e[:1]])}
		for a := range strings.SplitSeq(arguments, ", ") {
			if a != "" {
				args = append(args, adapter{}.NativeToValue(vars[a]))
			}
		}
		got := boundedText[name](args...)
		if gotErr, failed := got.(error); failed != (wantErr != nil) || wantErr == nil && got.Equal(want) != types.True {
			r.Fatalf("%s of %v: got %v %v, want %v %v", e, vars, got, gotErr, want, wantErr)
		}
	})
}

func TestWriterEqualsEncodingJSON(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(r, "text")
		if got, want := string(pim.AppendJSONString(nil, s)), canonical(t, s); got != want {
			r.Fatalf("text: got %s, want %s", got, want)
		}
		if got, want := isNumber(s), json.Valid([]byte(s)) && strings.Trim(s, "-+.eE0123456789") == "" && s != ""; got != want {
			r.Fatalf("%q: is a number: %v, want %v", s, got, want)
		}
		if f := rapid.Float64().Draw(r, "number"); !math.IsInf(f, 0) && !math.IsNaN(f) {
			w := writer{}
			if _, err := w.double(f); err != nil || string(w.out) != canonical(t, f) {
				r.Fatalf("%v: got %s, %v", f, w.out, err)
			}
		}
		if n := string(drawNumber().Draw(r, "number")); !isNumber(n) {
			r.Fatalf("%s is a number", n)
		}
	})
}

func TestTextFunctions(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		s := rapid.String().Draw(r, "s")
		n := rapid.Int64Range(-1, 20).Draw(r, "n")
		if short := truncate(s, n); int64(utf8.RuneCountInString(short)) > max(n, 0) || !strings.HasPrefix(s, short) {
			r.Fatalf("truncate(%q, %d) = %q", s, n, short)
		}
		if once := slug(s); slug(once) != once || strings.ContainsAny(once, " /?#&") || strings.Trim(once, "-") != once {
			r.Fatalf("slug(%q) = %q, %q", s, once, slug(once))
		}
		if text := stripTags(s); strings.TrimSpace(text) != text {
			r.Fatalf("stripTags(%q) = %q", s, text)
		}
	})
	for from, want := range map[string]string{
		"<script>evil()</script>a": "a", "a<style>b</style>": "a", "a<!-- b -->c": "ac", "1 < 2": "1 < 2", "un<b>brok</b>en": "unbroken", "<ul><li>a<li>b</ul>": "a b", "&lt;b&gt;": "<b>",
	} {
		if got := stripTags(from); got != want {
			t.Errorf("stripTags(%q) = %q, want %q", from, got, want)
		}
	}
}
