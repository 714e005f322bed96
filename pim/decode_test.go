package pim

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// codes gives an error's problems as "code pointer".
func codes(t testing.TB, err error) []string {
	t.Helper()
	var inv *Invalid
	if err == nil {
		return nil
	}
	if !errors.As(err, &inv) {
		t.Fatalf("error %v is no *Invalid", err)
	}
	return problemCodes(inv.Problems)
}

func problemCodes(ps []Problem) []string {
	var out []string
	for _, p := range ps {
		out = append(out, strings.TrimSpace(p.Code+" "+p.Pointer))
	}
	return out
}

func TestDecodeValuesRefuses(t *testing.T) {
	for in, want := range map[string]string{
		``:                              "json.syntax",
		`   `:                           "json.syntax",
		`[]`:                            "json.not_object",
		`null`:                          "json.not_object",
		`{"a":1,}`:                      "json.syntax",
		`{"\u0000":1}`:                  "json.nul",
		`{"a":{"x\`:                     "json.syntax /a",
		`{,}`:                           "json.syntax",
		`{"a" 1}`:                       "json.syntax /a",
		`{"a":[1,]}`:                    "json.syntax /a/1",
		`{"a":[1 2]}`:                   "json.syntax /a/0",
		`{"a":tru}`:                     "json.syntax /a",
		`{"a":01}`:                      "json.syntax /a",
		`{"a":-}`:                       "json.syntax /a",
		`{"a":1.}`:                      "json.syntax /a",
		`{"a":1e}`:                      "json.syntax /a",
		`{"a":+1}`:                      "json.syntax /a",
		`{"a":NaN}`:                     "json.syntax /a",
		`{"a":"x`:                       "json.syntax /a",
		`{"a":"x\`:                      "json.syntax /a",
		`{"a":"\x"}`:                    "json.syntax /a",
		`{"a":"\u12g4"}`:                "json.syntax /a",
		"{\"a\":\"\n\"}":                "json.syntax /a",
		"{\"a\":\"\\n\n\"}":             "json.syntax /a",
		"\xEF\xBB\xBF{}":                "json.syntax",
		`{} {}`:                         "json.trailing",
		`{}x`:                           "json.trailing",
		`{"a":1,"b":{"c":1,"c":2}}`:     "json.duplicate_key /b/c",
		`{"a":1,"\u0061":2,"a":3}`:      "json.duplicate_key /a",
		"{\"a\":\"\xff\"}":              "json.utf8 /a",
		"{\"a\":\"\\n\xff\"}":           "json.utf8 /a",
		`{"a/b~c":["","\u0000"]}`:       "json.nul /a~1b~0c/1",
		`{"a":"\ud83d"}`:                "json.surrogate /a",
		`{"a":"\ude00\ud83d"}`:          "json.surrogate /a,json.surrogate /a",
		`{"a":"\ud83d\u0041"}`:          "json.surrogate /a",
		`{"a":1e400000}`:                "json.number /a",
		`{"a":-1e-400000}`:              "json.number /a",
		`{"a":0e99999999999999999999}`:  "json.number /a",
		`{"a":1e-99999999999999999999}`: "json.number /a",
		`{"a":1` + strings.Repeat("0", 400) + `}`:     "json.number /a",
		`{"a":0.` + strings.Repeat("0", 400) + `1}`:   "json.number /a",
		strings.Repeat(`{"a":`, 33):                   "json.depth " + strings.Repeat("/a", 32),
		strings.Repeat(`[`, 1_000_000):                "json.depth " + strings.Repeat("/0", 32),
		`{"a":"\u0000","b":"\ud800","c":1e999,"d":[}`: "json.nul /a,json.surrogate /b,json.number /c,json.syntax /d/0",
	} {
		v, err := DecodeValues([]byte(in))
		if got := strings.Join(codes(t, err), ","); got != want {
			t.Errorf("DecodeValues(%.60q) = %v, %q; want %q", in, v, got, want)
		}
	}
	if _, err := DecodeValues(bytes.Repeat([]byte(" "), MaxValuesBytes+1)); codes(t, err)[0] != "json.too_large" {
		t.Errorf("a too large text: %v", err)
	}
	many := `{"a":[` + strings.Repeat(`"\u0000",`, 500) + `}`
	if _, err := DecodeValues([]byte(many)); len(codes(t, err)) != maxProblems || codes(t, err)[maxProblems-1] != "json.syntax /a/500" {
		t.Errorf("500 problems and a syntax error: %v", codes(t, err))
	}
}

func TestDecodeValuesKeepsWhatItReads(t *testing.T) {
	in := ` {"s":"aé\"\\\/\b\f\n\r\tA\ud83d\ude00","n":1.50,"e":-7.8740157480315e-05,"big":123456789012345678901234567890,
		"l":[true,false,null,{},[]],"":{"x":[{"y":"z"}]},"float":1.7976931348623157e308} `
	want := Values{
		"s": "aé\"\\/\b\f\n\r\tA😀", "n": json.Number("1.50"), "e": json.Number("-7.8740157480315e-05"),
		"big": json.Number("123456789012345678901234567890"), "l": []any{true, false, nil, map[string]any{}, []any{}},
		"": map[string]any{"x": []any{map[string]any{"y": "z"}}}, "float": json.Number("1.7976931348623157e308"),
	}
	for name, text := range map[string]string{"small": in, "large": in + strings.Repeat(" ", shareBytes)} {
		raw := []byte(text)
		got, err := DecodeValues(raw)
		clear(raw) // what was read must not lean on the caller's buffer
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: DecodeValues = %#v, %v", name, got, err)
		}
	}
	if v, err := DecodeJSON([]byte(strings.Repeat("[", 32)+strings.Repeat("]", 32)), 0); err != nil || v == nil {
		t.Errorf("32 levels: %v", err)
	}
	if _, err := DecodeJSON([]byte("[[]]"), 1); err == nil {
		t.Error("two levels were taken where one is allowed")
	}
}

func TestDecodeStored(t *testing.T) {
	if v, err := DecodeStored(nil); err != nil || v == nil || len(v) != 0 {
		t.Errorf("nothing stored: %v, %v", v, err)
	}
	if v, err := DecodeStored([]byte(`{"a":1}`)); err != nil || v["a"] != json.Number("1") {
		t.Errorf("stored: %v, %v", v, err)
	}
	for _, in := range []string{`[]`, `{`} {
		if _, err := DecodeStored([]byte(in)); err == nil {
			t.Errorf("%s was taken", in)
		}
	}
}

func TestUnder(t *testing.T) {
	err := Under("/items/3", invalid("/a~1b", "x", "y"))
	if got := codes(t, err); got[0] != "x /items/3/a~1b" {
		t.Errorf("Under = %v", got)
	}
	if other := errors.New("other"); Under("/x", other) != other || Under("/x", nil) != nil { //nolint:errorlint // the same error, not one around it
		t.Error("Under changed what is no *Invalid")
	}
	if got := JoinPointer("/v", "a/b", "c~d", "\xff"); got != "/v/a~1b/c~0d/\uFFFD" {
		t.Errorf("JoinPointer = %s", got)
	}
}

// encoding/json is the oracle: what we read it reads alike, and what we call a
// syntax error it does not read.
func FuzzDecodeValues(f *testing.F) {
	for _, s := range []string{
		`{"a":{"b":[1,2.5e3,"x\ud83d\ude00",null,true]}}`, `{"a":1,"a":2}`, `{"a":"\u0000"}`, `[1e400000]`, `{"a":-0.0E+1}`, "{\"\xff\":1}",
		`"x" y`, `[[[[[]]]]]`, `{"a":`, `{"a":"\ud800"}`, benchValues,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := DecodeJSON(raw, MaxDepth)
		if _, verr := DecodeValues(raw); err != nil && verr == nil {
			t.Fatalf("DecodeValues takes what DecodeJSON refuses: %v", err)
		}
		if err != nil {
			for _, c := range codes(t, err) {
				if (strings.HasPrefix(c, "json.syntax") || strings.HasPrefix(c, "json.trailing")) && json.Valid(raw) {
					t.Fatalf("%s, but the JSON is valid", c)
				}
			}
			return
		}
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.UseNumber()
		var want any
		if err := dec.Decode(&want); err != nil || !json.Valid(raw) {
			t.Fatalf("encoding/json refuses what we read: %v", err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("read %#v, encoding/json reads %#v", got, want)
		}
	})
}

func BenchmarkDecodeValues(b *testing.B) {
	raw := []byte(benchValues)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeValues(raw); err != nil {
			b.Fatal(err)
		}
	}
}
