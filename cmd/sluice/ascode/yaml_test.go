package ascode

import (
	"encoding/json"
	"reflect"
	"testing"
)

// FuzzParse reads anything without harm, and what is written of what was read is
// read as the same.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"resource: attribute\ncode: a\ntype: text\nlabels: {en-GB: 'yes', de-DE: \"1.0\"}\nmax_length: 1.50\n",
		"resource: locale\ncodes: [de-DE, en-GB]\n---\n# nothing\n---\nresource: locale\ncode: nl-NL\n",
		"resource: channel\ncode: c\nconfig: {secret: {from_env: X}, url: {from_file: y}, list: [1, [2, {a: ~}], true]}\n",
		"resource: family\ncode: \"1\"\nlabels: &l {en-GB: |\n  two\n  lines\n}\nattributes: *l\n",
		"resource: family\ncode: f\nwhen: 2026-11-21\nnot: .inf\n", "a: &a [*a]", "resource: \xff", "? [a]\n: b\n", "!!binary aGk=", "resource: attribute\ncode: 0o7\nx: 1_000\n",
		"resource: attribute\ncode: a\ntext: \"\\u2028 \\t # : - ? \"\nempty: ''\nnull: 'null'\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		documents, _ := parse("file", raw)
		for _, d := range documents {
			if d.Kind == nil || d.Code == "" {
				t.Fatalf("%q gives %+v", raw, d)
			}
			b, err := write(d.Kind, d.Code, d.Fields)
			if err != nil {
				t.Fatalf("%q: %v", raw, err)
			}
			again, faults := parse("file", b)
			if len(faults) > 0 || len(again) != 1 {
				t.Fatalf("%q is written as %q: %v", raw, b, faults)
			}
			if got := again[0]; got.Code != d.Code || got.Kind != d.Kind || !reflect.DeepEqual(plain(got.Fields), plain(d.Fields)) {
				t.Fatalf("%q is written as %q, and read as %+v", raw, b, got)
			}
		}
	})
}

// plain tells secrets by their names: a dump names variables alone.
func plain(v any) any {
	switch v := v.(type) {
	case *Secret:
		return v.Env
	case map[string]any:
		out := map[string]any{}
		for name, at := range v {
			out[name] = plain(at)
		}
		return out
	case []any:
		out := []any{}
		for _, at := range v {
			out = append(out, plain(at))
		}
		return out
	}
	return v
}

func TestDiffer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		before, after string
		fields        []string
	}{
		{`{"a":1}`, `{"a":1.0,"b":false,"c":{"d":""},"e":[]}`, nil},
		{`{"a":{"b":1,"c":2}}`, `{"a":{"b":1,"c":3}}`, []string{"a.c"}},
		{`{"a":{"b":1}}`, `{}`, []string{"a.b"}},
		{`{"a":[{"b":1,"c":false}]}`, `{"a":[{"b":1}]}`, nil},
		{`{"a":[1,2]}`, `{"a":[2,1]}`, []string{"a"}},
		{`{"a":"1"}`, `{"a":1}`, []string{"a"}},
		{`{"a":1e400}`, `{"a":1e401}`, []string{"a"}},
		{`{"a":{"b":1}}`, `{"a":2}`, []string{"a"}},
		{`{"config":{"b":false}}`, `{"config":{"c":0,"d":"","e":{}}}`, []string{"config.b", "config.c", "config.d"}},
	} {
		list := compare(object(t, c.before), object(t, c.after), []string{"config"})
		var fields []string
		for _, d := range list {
			fields = append(fields, d.Field)
		}
		if !reflect.DeepEqual(fields, c.fields) {
			t.Errorf("%s and %s differ in %v", c.before, c.after, fields)
		}
	}
}

func object(t *testing.T, text string) map[string]any {
	t.Helper()
	node, faults := parse("file", []byte("resource: attribute\ncode: a\nx: "+text))
	if len(faults) > 0 || !json.Valid([]byte(text)) {
		t.Fatal(text, faults)
	}
	return node[0].Fields["x"].(map[string]any)
}
