package pim

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func mustJSON(t testing.TB, s string) any {
	t.Helper()
	v, err := DecodeJSON([]byte(s), 0)
	if err != nil {
		t.Fatalf("decode %s: %v", s, err)
	}
	return v
}

func mustValues(t testing.TB, s string) Values {
	t.Helper()
	return mustJSON(t, s).(map[string]any)
}

func text(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The cases of RFC 7386, appendix A.
func TestMergePatch(t *testing.T) {
	for _, c := range [][3]string{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`["a","b"]`, `["c","d"]`, `["c","d"]`},
		{`{"a":"b"}`, `["c"]`, `["c"]`},
		{`{"a":"foo"}`, `null`, `null`},
		{`{"a":"foo"}`, `"bar"`, `"bar"`},
		{`{"e":null}`, `{"a":1}`, `{"a":1,"e":null}`},
		{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
		{`{"a":[null]}`, `{"b":[null,{"c":null}]}`, `{"a":[null],"b":[null,{"c":null}]}`},
		{`"x"`, `{}`, `{}`},
	} {
		if got := text(t, MergePatch(mustJSON(t, c[0]), mustJSON(t, c[1]))); got != c[2] {
			t.Errorf("MergePatch(%s, %s) = %s, want %s", c[0], c[1], got, c[2])
		}
	}
	got := PatchValues(nil, Values{"name": map[string]any{"en-GB": "x", "de-DE": nil}})
	if want := (Values{"name": map[string]any{"en-GB": "x"}}); !reflect.DeepEqual(got, want) {
		t.Errorf("PatchValues = %v", got)
	}
}

// referenceMerge is RFC 7386, section 2, word by word, on copies of its own.
func referenceMerge(target, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	out := map[string]any{}
	if t, ok := target.(map[string]any); ok {
		for k, v := range t {
			out[k] = v
		}
	}
	for k, v := range p {
		if v == nil {
			delete(out, k)
		} else {
			out[k] = referenceMerge(out[k], v)
		}
	}
	return out
}

func checkMergeLaws(t interface{ Fatalf(string, ...any) }, target, patch any) {
	write := func(v any) string { b, _ := json.Marshal(v); return string(b) }
	before, beforePatch := write(target), write(patch)
	got := MergePatch(target, patch)
	switch {
	case write(target) != before || write(patch) != beforePatch:
		t.Fatalf("MergePatch changed its arguments: %s, %s", before, beforePatch)
	case write(got) != write(referenceMerge(target, patch)):
		t.Fatalf("MergePatch(%s, %s) = %s, the RFC says %s", before, beforePatch, write(got), write(referenceMerge(target, patch)))
	case write(MergePatch(got, patch)) != write(got):
		t.Fatalf("MergePatch(%s, %s) twice is not once", before, beforePatch)
	}
}

func jsonGen() *rapid.Generator[any] {
	leaf := rapid.OneOf(rapid.Just[any](nil), rapid.Just[any](true), rapid.Just[any]("x"), rapid.Just[any](json.Number("1")))
	key := rapid.SampledFrom([]string{"a", "b", "c"})
	gen := leaf
	for range 3 {
		inner := gen
		gen = rapid.OneOf(leaf,
			rapid.Map(rapid.MapOfN(key, inner, 0, 3), func(m map[string]any) any { return m }),
			rapid.Map(rapid.MapOfN(key, inner, 0, 3), func(m map[string]any) any { return m }),
			rapid.Map(rapid.SliceOfN(inner, 0, 2), func(l []any) any { return l }))
	}
	return gen
}

func TestMergePatchLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		checkMergeLaws(t, jsonGen().Draw(t, "target"), jsonGen().Draw(t, "patch"))
	})
}

func FuzzMergePatch(f *testing.F) {
	f.Add([]byte(`{"a":{"b":"c"},"d":[1]}`), []byte(`{"a":{"b":null,"x":{"y":null}},"d":null}`))
	f.Add([]byte(`[1]`), []byte(`{"a":1}`))
	f.Add([]byte(`{"e":null}`), []byte(`{}`))
	f.Fuzz(func(t *testing.T, target, patch []byte) {
		v, err := DecodeJSON(target, MaxDepth)
		if err != nil {
			return
		}
		p, err := DecodeJSON(patch, MaxDepth)
		if err != nil {
			return
		}
		checkMergeLaws(t, v, p)
	})
}

func TestMergeVariant(t *testing.T) {
	parent := `{"brand":"Ur","colour":"red","name":{"de-DE":"Tasse","en-GB":"Mug"},"tag":{"shop":{"de-DE":"a","en-GB":"b"}},"weight":{"amount":1,"unit":"kg"}}`
	own := `{"colour":"blue","name":{"de-DE":"Blaue Tasse"},"tag":{"erp":{"en-GB":"d"},"shop":{"en-GB":"c"}},"weight":{"amount":2,"unit":"g"}}`
	want := `{"brand":"Ur","colour":"blue","name":{"de-DE":"Blaue Tasse","en-GB":"Mug"},"tag":{"erp":{"en-GB":"d"},"shop":{"de-DE":"a","en-GB":"c"}},"weight":{"amount":2,"unit":"g"}}`
	p, o := mustValues(t, parent), mustValues(t, own)
	if got := text(t, MergeVariant(p, o)); got != want {
		t.Errorf("MergeVariant = %s\nwant %s", got, want)
	}
	if text(t, p) != parent || text(t, o) != own {
		t.Error("MergeVariant changed its arguments")
	}
	if text(t, MergeVariant(p, nil)) != parent || text(t, MergeVariant(nil, o)) != own {
		t.Error("nothing over something, or something over nothing, is not that")
	}
}

func TestDiff(t *testing.T) {
	s := testSchema()
	for _, c := range []struct {
		old, new, want string
		lanes          Lanes
	}{
		{`{"title":"a"}`, `{"title":"a"}`, `null`, 0},
		{`{}`, `{"title":null}`, `null`, 0},
		{`{"count":1.0,"weight":{"amount":10,"unit":"kg"}}`, `{"count":1.00,"weight":{"amount":1e1,"unit":"kg"}}`, `null`, 0},
		{`{"count":1}`, `{"count":"1"}`, `{"count":{"old":1,"new":"1"}}`, LanesOf(Content)},
		{`{"name":{"en-GB":"a"}}`, `{"name":{"en-GB":"a","de-DE":"b"}}`, `{"name":{"old":{"en-GB":"a"},"new":{"de-DE":"b","en-GB":"a"}}}`, LanesOf(Content)},
		{`{"name":{"en-GB":"a"}}`, `{"name":{"de-DE":"a"}}`, `{"name":{"old":{"en-GB":"a"},"new":{"de-DE":"a"}}}`, LanesOf(Content)},
		{`{"images":["a","b"]}`, `{"images":["b","a"]}`, `{"images":{"old":["a","b"],"new":["b","a"]}}`, LanesOf(Media)},
		{`{"images":["a"],"title":"x"}`, `{"gone":true}`, `{"gone":{"old":null,"new":true},"images":{"old":["a"],"new":null},"title":{"old":"x","new":null}}`, LanesOf(Content, Media)},
	} {
		changed, lanes := Diff(mustValues(t, c.old), mustValues(t, c.new), s)
		if got := text(t, changed); got != c.want || lanes != c.lanes {
			t.Errorf("Diff(%s, %s) = %s, %v; want %s, %v", c.old, c.new, got, lanes.List(), c.want, c.lanes.List())
		}
	}
}

func TestNumberKey(t *testing.T) {
	for _, same := range [][]string{
		{"1", "1.0", "1.00", "10e-1", "0.1e1", "1E+0", "0.01e2"},
		{"0", "-0", "0.0", "0e5", "-0.00e-3"},
		{"-1200", "-1.2e3", "-12e2", "-1200.000"},
		{"1e400000", "10e399999"},
		{"1e99999999999999999999"},
		{"2e99999999999999999999"},
	} {
		for _, s := range same {
			if numberKey(s) != numberKey(same[0]) {
				t.Errorf("%s is %s, %s is %s", s, numberKey(s), same[0], numberKey(same[0]))
			}
		}
		if same[0] != "1" && numberKey(same[0]) == numberKey("1") {
			t.Errorf("%s equals 1", same[0])
		}
	}
}

func TestAxisKey(t *testing.T) {
	fv := FamilyVariant{Code: "v", Axes: []string{"colour", "count", "fragile", "weight"}}
	key := func(s string) string {
		t.Helper()
		k, faults := AxisKey(fv.Axes, mustValues(t, s), "/values")
		if len(faults) > 0 {
			t.Fatalf("AxisKey(%s): %v", s, faults)
		}
		return k
	}
	a := key(`{"colour":"red","count":1.50,"fragile":true,"weight":{"amount":1,"unit":"kg"},"title":"x"}`)
	if b := key(`{"weight":{"amount":1000.0,"unit":"g"},"fragile":true,"count":15e-1,"colour":"red","title":"y"}`); a != b {
		t.Errorf("the same axes have keys %s and %s", a, b)
	}
	long := key(`{"colour":"` + strings.Repeat("x", 5000) + `","count":1,"fragile":false,"weight":{"amount":1,"unit":"kg"}}`)
	if len(long) > maxAxisKey {
		t.Errorf("a key of %d bytes", len(long))
	}
	_, faults := AxisKey(fv.Axes, mustValues(t, `{"colour":" ","count":[1],"weight":{"amount":1e50,"unit":"kg"}}`), "/values")
	if got := strings.Join(problemCodes(faults), ","); got != "axis.missing /values/colour,axis.type /values/count,axis.missing /values/fragile,axis.type /values/weight" {
		t.Errorf("faults %s", got)
	}
}

// Two variants share a key exactly when their axes are worth the same.
func TestAxisKeyIsInjective(t *testing.T) {
	fv := FamilyVariant{Axes: []string{"a", "b"}}
	axis := rapid.OneOf(
		rapid.Map(rapid.StringOfN(rapid.RuneFrom([]rune(`"\,1en x`)), 1, 4, -1).Filter(func(s string) bool { return !isBlank(s) }), func(s string) any { return s }),
		rapid.Map(rapid.SampledFrom([]string{"1", "1.0", "10e-1", "2", "-1", "0", "-0", "1e3"}), func(s string) any { return json.Number(s) }),
		rapid.Map(rapid.Bool(), func(b bool) any { return b }))
	rapid.Check(t, func(t *rapid.T) {
		v := Values{"a": axis.Draw(t, "a1"), "b": axis.Draw(t, "b1")}
		w := Values{"a": axis.Draw(t, "a2"), "b": axis.Draw(t, "b2")}
		k, f1 := AxisKey(fv.Axes, v, "")
		l, f2 := AxisKey(fv.Axes, w, "")
		if len(f1)+len(f2) > 0 {
			t.Fatalf("faults %v %v", f1, f2)
		}
		changed, _ := Diff(v, w, testSchema())
		if (k == l) != (len(changed) == 0) {
			t.Fatalf("%v has key %s, %v has %s", v, k, w, l)
		}
	})
}
