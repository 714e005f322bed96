package pim

import (
	"encoding/json"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// What is appended decodes to what it was made of, whatever texts hold.
func TestAppendJSON(t *testing.T) {
	text := rapid.OneOf(rapid.StringOf(rapid.Rune().Filter(func(r rune) bool { return r != 0 })), rapid.SampledFrom([]string{"", "\u2028\u2029", "\"\\/\b\f\n\r\t\x01\x7f", "<&>", "ß漢😀"}))
	leaf := rapid.OneOf(rapid.Map(text, func(s string) any { return s }), rapid.Map(rapid.Bool(), func(b bool) any { return b }),
		rapid.Just[any](nil), rapid.Map(rapid.Int64(), func(n int64) any { return json.Number(strconv.FormatInt(n, 10)) }))
	value := rapid.OneOf(leaf,
		rapid.Map(rapid.SliceOfN(leaf, 0, 4), func(l []any) any { return l }),
		rapid.Map(rapid.MapOfN(text, leaf, 0, 4), func(m map[string]any) any { return m }))
	rapid.Check(t, func(t *rapid.T) {
		want := value.Draw(t, "value")
		raw := AppendJSON([]byte("x"), want)[1:]
		got, err := DecodeJSON(raw, 0)
		if err != nil || !EqualJSON(want, got) {
			t.Fatalf("%#v became %s, and that %#v (%v)", want, raw, got, err)
		}
	})
}
