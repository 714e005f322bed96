package connectors

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicehub/sluice/pim"
)

func TestRenderErrors(t *testing.T) {
	for expression, want := range map[string]string{
		`1 / (values.pieces - 3)`:            "mapping.error: division by zero",
		`double(values.endless)`:             "mapping.error: the result is not a finite number",
		`0.0 / 0.0`:                          "mapping.error: the result is not a finite number",
		`[1.0 / 0.0]`:                        "mapping.error: the result is not a finite number",
		`values.tags[7]`:                     "mapping.error: index out of bounds",
		`values.tags.color`:                  "mapping.error: unsupported index type",
		`values.name + 1`:                    "mapping.error: no such overload",
		`stripTags(values.pieces)`:           "mapping.error: no such overload",
		`text('pieces', locale)`:             "mapping.error: pieces is no text",
		`unit(values.weight, 'm')`:           "mapping.error: convert kg to m",
		`unit('1 kg', 'g')`:                  "mapping.error: a measurement has",
		`add('1', 'two')`:                    "mapping.error: an amount is a number",
		`mul('9999999999', '9999999999999')`: "mapping.error: ",
		`round('1', 30)`:                     "mapping.error: round takes",
		`{1: 'a', '1': 'b'}`:                 "mapping.error: a map has the key",
		`dyn({1.5: 'a'})`:                    "mapping.error: ",
		`dyn(type(sku))`:                     "mapping.error: a type is nothing that JSON can hold",
	} {
		got, err := render(t, pim.Content, expression, sample(t))
		var failed *Error
		if !errors.As(err, &failed) || failed.Verdict != Validation || len(failed.Issues) != 1 {
			t.Errorf("%s: got %s, %v; want one issue", expression, got, err)
			continue
		}
		i := failed.Issues[0]
		if text := i.Code + ": " + i.Text; !strings.HasPrefix(text, want) || i.Attribute != "x" || i.Severity != pim.SeverityError {
			t.Errorf("%s: got %s of %s, want %s", expression, text, i.Attribute, want)
		}
	}
}

// A bad field does not hide another one, and the good ones do not go out alone.
func TestRenderReportsEveryField(t *testing.T) {
	p, err := Compile(Mapping{Content: map[string]string{"a": "1 / (values.pieces - 3)", "b": "sku", "c": "values.tags[9]"}})
	if err != nil {
		t.Fatal(err)
	}
	document, err := p.Render(t.Context(), pim.Content, sample(t), sampleSchema(), sampleScope())
	if failed := AsError(err); document != nil || len(failed.Issues) != 2 || failed.Issues[0].Attribute != "a" || failed.Issues[1].Attribute != "c" {
		t.Errorf("got %s, %v", document, err)
	}
}

func TestCompileProblems(t *testing.T) {
	long := strings.Repeat("x", MaxFieldName+1)
	many := map[string]string{}
	for i := range MaxFields + 1 {
		many[fmt.Sprint(i)] = "sku"
	}
	for name, c := range map[string]struct {
		fields map[string]string
		want   string // pointer code, sorted
	}{
		"good":        {map[string]string{"a": "sku"}, ""},
		"syntax":      {map[string]string{"a": "sku +", "b": "", "c": "'\xff'"}, "/content/a mapping.syntax,/content/b mapping.syntax,/content/c mapping.syntax"},
		"unknown":     {map[string]string{"a": "nonsense", "b": "explode(sku)", "c": "sku.explode()"}, "/content/a mapping.unknown,/content/b mapping.unknown,/content/c mapping.unknown"},
		"type":        {map[string]string{"a": "sku + 1", "b": "size(3)", "c": "type(sku)", "d": "[string]", "e": "google.protobuf.Struct{}"}, "/content/a mapping.type,/content/b mapping.type,/content/c mapping.type,/content/d mapping.type,/content/e mapping.type"},
		"fields":      {map[string]string{"": "sku", long: "sku", "a\n": "sku", "a/b~": "nonsense"}, "/content/ mapping.field,/content/a\n mapping.field,/content/a~1b~0 mapping.unknown,/content/" + long + " mapping.field"},
		"size":        {map[string]string{"a": "'" + strings.Repeat("x", MaxExpression) + "'"}, "/content/a mapping.size"},
		"many fields": {many, "/content mapping.size"},
		"mixed":       {map[string]string{"a": "sku", "b": "1 +", "c": "nonsense"}, "/content/b mapping.syntax,/content/c mapping.unknown"},
	} {
		_, err := Compile(Mapping{Content: c.fields})
		if got := problems(err); got != c.want {
			t.Errorf("%s: got %s, want %s (%v)", name, got, c.want, err)
		}
	}
	whole := map[string]string{}
	for i := range 100 {
		whole[fmt.Sprint(i)] = "'" + strings.Repeat("x", MaxExpression-2) + "'"
	}
	if _, err := Compile(Mapping{Content: whole}); problems(err) != " mapping.size" {
		t.Errorf("a mapping that is too large: %v", err)
	}
}

func problems(err error) string {
	var invalid *pim.Invalid
	if !errors.As(err, &invalid) {
		return ""
	}
	found := map[string]bool{}
	for _, p := range invalid.Problems {
		found[p.Pointer+" "+p.Code] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(found)), ",")
}

// hostile expressions must be refused, or stopped, in little time and memory.
var hostile = []string{
	`[1,2,3,4,5,6,7,8,9,0]` + nest(8, `[1,2,3,4,5,6,7,8,9,0]`),
	`sku == 'other' ? [1,2,3,4,5,6,7,8,9,0]` + nest(8, `[1,2,3,4,5,6,7,8,9,0]`) + ` : dyn(false)`,
	`firstOf([sku, string(size(categories` + nest(6, `categories`) + `))])`,
	`mapValue(sku, {'a': size(categories` + nest(6, `categories`) + `)}, 1)`, `mapValue('a', {'a': 1}, size(categories` + nest(6, `categories`) + `))`,
	`sku == 'a' && size(categories` + nest(6, `categories`) + `) > 1`, `sku == 'a' ? size(categories` + nest(6, `categories`) + `) : 1`,
	`[1].map(i, sku == 'a' ? size(categories` + nest(6, `categories`) + `) : 1)`,
	`categories` + nest(6, `categories`),
	`['x']` + strings.Repeat(`.map(s, s + s)`, 60),
	`[[1]]` + strings.Repeat(`.map(l, [l, l, l, l])`, 60),
	`[[1]]` + strings.Repeat(`.map(l, [l, l, l, l])`, 40) + ` == [[1]]` + strings.Repeat(`.map(l, [l, l, l, l])`, 40),
	`[[1]]` + strings.Repeat(`.map(l, {'a': l, 'b': l})`, 60),
	`[values.t.replace('', values.t)].map(s, s.replace('', s))`,
	`values.t.split('').map(s, values.t).join(values.t)`,
	`values.t` + strings.Repeat(`.replace('', 'xxxxxxxxxx')`, 10),
	`values.t.split('').map(s, values.t.split('').map(r, r + s))`,
	`values.t.split('').exists(c, values.t.matches('(l|o|r|e|m| ){1,60}$'))`,
	`'%s'.format([values.t])` + strings.Repeat(`.split('').map(s, s + s).join('')`, 12),
}

func nest(depth int, list string) string {
	return strings.Repeat(`.map(x, `+list, depth) + strings.Repeat(`)`, depth)
}

func TestHostileExpressionsAreRefused(t *testing.T) {
	for _, expression := range hostile {
		began := time.Now()
		_, err := Compile(oneField(pim.Content, expression))
		if got := problems(err); got != "/content/x mapping.cost" {
			t.Errorf("%.80s: got %s %v", expression, got, err)
		}
		if d := time.Since(began); d > patience { // not by how fast this machine is today
			t.Errorf("%.80s: took %s", expression, d)
		}
	}
	for _, expression := range []string{
		strings.Repeat("(", 2000) + "1" + strings.Repeat(")", 2000), strings.Repeat("[", 4000), strings.Repeat("-(", 1000) + "1",
		strings.Repeat("!(", 1000) + "true", "sku" + strings.Repeat(".a", 2000), strings.Repeat("true?1:", 580) + "1", strings.Repeat("{1:", 1300),
	} {
		if _, err := Compile(oneField(pim.Content, expression)); err == nil {
			t.Errorf("%.40s…: no error", expression)
		}
	}
	long := "''" + strings.Repeat(" + sku", 100)
	if got, err := render(t, pim.Content, long, sample(t)); err != nil || len(got) != 100*3+len(`{"x":""}`) {
		t.Errorf("a long sum: %.40s, %v", got, err)
	}
}

// A product larger than the invented one is stopped when it is rendered.
func TestRenderStopsAtItsLimits(t *testing.T) {
	s := sample(t)
	for range 3000 {
		s.Categories = append(s.Categories, "c")
	}
	for _, expression := range []string{`categories.map(a, categories.filter(b, a < b)).size()`, `categories.exists(a, categories.exists(b, a == 'z'))`} {
		_, err := render(t, pim.Content, expression, s)
		if failed := AsError(err); failed.Verdict != Validation || len(failed.Issues) != 1 || failed.Issues[0].Code != "mapping.cost" {
			t.Errorf("%s: %v", expression, err)
		}
	}
	s.Values["name"] = map[string]any{"en-GB": strings.Repeat("a", MaxDocument)}
	if _, err := render(t, pim.Content, "[values.name, 1]", s); AsError(err).Issues[0].Code != "mapping.cost" {
		t.Errorf("a document that is too large: %v", err)
	}
}

func TestRenderObeysItsContext(t *testing.T) {
	p, err := Compile(oneField(pim.Content, `categories.map(c, c + c)`))
	if err != nil {
		t.Fatal(err)
	}
	reason := errors.New("the drain ends")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(reason)
	_, err = p.Render(ctx, pim.Content, sample(t), sampleSchema(), sampleScope())
	var failed *Error
	if !errors.Is(err, reason) || errors.As(err, &failed) {
		t.Errorf("got %v", err)
	}
}
