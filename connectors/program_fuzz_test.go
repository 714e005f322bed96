package connectors

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/sluicehub/sluice/pim"
)

var fuzzExpressions = append([]string{
	`sku`, `values`, `values.name`, `raw.claim.market['en-GB']`, `firstOf([values.missing, sku])`, `mapValue(values.color, {'blue': 1}, 2)`,
	`text('name', 'de-DE')`, `value('claim', locale, 'market')`, `stripTags(values.description)`, `truncate(values.name, 4)`, `slug(values.name)`,
	`unit(values.weight, 'g')`, `number(round(mul(price.amount, '1.19'), 2))`, `add(values.ratio, values.huge)`, `prices.map(p, p.amount)`,
	`values.tags.filter(t, t != 'new').join(', ')`, `{'b': values.ratio, 'a': [values.huge]}`, `categories.exists(c, c == 'gifts') ? dyn(stock) : null`,
	`'%s %.3f %d'.format([values, values.ratio, 3])`, `timestamp('2026-01-01T00:00:00Z').getHours('Europe/Berlin')`, `duration('1h') + duration('1m')`,
	`values.name.matches('(a|b)*c')`, `dyn(type(values.name))`, `b'\xff'`, `1 / 0`, `0.0 / 0.0`, `{1: 1, '1': 2}`, `9223372036854775807 + 1`, `int(1e300)`,
	`'`, `((((`, `sku.`, `a.b.c`, `-9223372036854775808`, `0xg`, `"""`, `r'\'`, `/* */`, `// x`, "`a`", `has(values)`, `x.map(`, `@view`, `values.map(k, values[k])`,
	`google.protobuf.Any{}`, `'\u0000\ud800'`, `'a'.indexOf('', -1)`, `'a'.replace('', 'b', -9)`, `round('1', -1)`, `truncate('x', -9223372036854775807)`, `unit({}, '')`,
}, hostile...)

// patience is what may pass on a machine that does much else; what nothing
// bounds takes longer.
const patience = 2 * time.Minute

// FuzzCompile: no text makes Compile panic or run long, and what it lets pass
// renders in bounded time, to valid JSON or to an error with issues.
func FuzzCompile(f *testing.F) {
	for _, e := range fuzzExpressions {
		f.Add("x", e)
	}
	f.Add("", "sku")
	f.Add("a/b\x00", "values")
	s, schema := sample(f), sampleSchema()
	f.Fuzz(func(t *testing.T, name, expression string) {
		began := time.Now()
		fields := map[string]string{name: expression}
		p, err := Compile(Mapping{Content: fields, Offer: fields, Media: fields})
		if err == nil {
			for _, lane := range pim.AllLanes {
				valid(t, outcome(t, p, lane, s, schema))
			}
		} else if problems(err) == "" {
			t.Fatalf("a refusal without problems: %v", err)
		}
		if d := time.Since(began); d > patience {
			t.Fatalf("took %s", d)
		}
	})
}

// valid fails when a rendering's outcome is neither issues nor a JSON object.
func valid(t *testing.T, outcome string) {
	t.Helper()
	var fields map[string]json.RawMessage
	if outcome != "" && outcome[0] == '{' {
		if err := json.Unmarshal([]byte(outcome), &fields); err != nil || len(fields) == 0 {
			t.Fatalf("no JSON object: %v: %.200s", err, outcome)
		}
	}
}

// FuzzRender: whatever a product holds, rendering it twice, with and without
// the roads around the interpreter, gives the same bytes or the same issues.
func FuzzRender(f *testing.F) {
	for _, e := range fuzzExpressions[:len(fuzzExpressions)-len(hostile)] { // Compile refuses the rest
		f.Add(e, `{"name": {"en-GB": "x"}, "weight": {"amount": 1.50, "unit": "kg"}, "tags": ["a"]}`)
	}
	for _, v := range []string{`{"name": null}`, `{"name": []}`, `{"name": {"en-GB": {"en-GB": 1e999}}}`, `{"weight": {"amount": "1", "unit": 3}}`, `{"weight": [[[[1]]]]}`, `{"tags": 5, "ratio": "x"}`} {
		f.Add(`[values.name, firstOf([values.weight, values.tags]), unit(values.weight, 'g')]`, v)
		f.Add(`values`, v)
	}
	schema := sampleSchema()
	f.Fuzz(func(t *testing.T, expression, values string) {
		s := sample(t)
		decoded, err := decodeValues(values)
		if err != nil {
			return
		}
		s.Values = decoded
		p, err := Compile(Mapping{Content: map[string]string{"x": expression, "y": "values.name", "z": "media"}})
		if err != nil {
			return
		}
		first := outcome(t, p, pim.Content, s, schema)
		valid(t, first)
		if again := outcome(t, p, pim.Content, s, schema); again != first {
			t.Fatalf("not the same twice:\n%.500s\n%.500s", first, again)
		}
		if slow := outcome(t, slowly(p), pim.Content, s, schema); slow != first {
			t.Fatalf("not the same without an interpreter:\n%.500s\n%.500s", first, slow)
		}
	})
}
