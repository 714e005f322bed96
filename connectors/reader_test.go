package connectors_test

import (
	"encoding/json"
	"testing"

	"github.com/sluicehub/sluice/connectors"
)

func TestHeldDocument(t *testing.T) {
	document := json.RawMessage(`{"a":"x > y","b":1.50,"c":null,"d":[1]}`)
	same := func(_ string, sent, held any) (alike, exact bool) {
		n, ok := sent.(json.Number)
		m, also := held.(json.Number)
		return ok && also && connectors.SameAmount(string(n), string(m)) || sent == held, sent == held
	}
	for _, c := range []struct {
		held    map[string]any
		matches bool
		exact   bool
	}{
		{map[string]any{"a": "x > y", "b": json.Number("1.5"), "c": nil, "d": nil}, false, false},
		{map[string]any{"a": "x > y", "b": json.Number("1.5"), "c": nil}, true, false}, // d cannot be told
		{map[string]any{"a": "x > y", "b": json.Number("1.51"), "c": nil}, false, false},
		{map[string]any{"a": "x > y", "c": "there"}, false, false},
		{map[string]any{"a": nil}, false, false},
		{map[string]any{"e": "of others"}, true, false},
	} {
		out, exact, err := connectors.HeldDocument(document, c.held, same)
		if err != nil {
			t.Fatal(err)
		}
		h := connectors.Held{Presence: connectors.Shown, Document: out}
		if got := h.Matches(connectors.Item{Action: connectors.Upsert, Document: document}); got != c.matches || exact != c.exact {
			t.Errorf("%v: matches %v, exact %v: %s", c.held, got, exact, out)
		}
	}
	// What is only the same in the target's eyes is told as the item's own, but is not exact.
	whole := json.RawMessage(`{"a":"x > y","b":1.50}`)
	for b, want := range map[json.Number]bool{"1.50": true, "1.5": false} {
		if out, exact, err := connectors.HeldDocument(whole, map[string]any{"a": "x > y", "b": b}, same); err != nil || exact != want || string(out) != string(whole) {
			t.Errorf("%s: %s, exact %v, %v", b, out, exact, err)
		}
	}
}

func TestMatchesPresence(t *testing.T) {
	up, down := connectors.Item{Action: connectors.Upsert, Document: json.RawMessage(`{}`)}, connectors.Item{Action: connectors.Withdraw}
	there, gone := connectors.Held{Presence: connectors.Hidden, Document: json.RawMessage(`{}`)}, connectors.Held{Presence: connectors.Absent}
	if !there.Matches(up) || there.Matches(down) || gone.Matches(up) || !gone.Matches(down) {
		t.Error("presence and action do not go together")
	}
}

func TestSame(t *testing.T) {
	for _, c := range []struct {
		same func(a, b string) bool
		a, b string
		want bool
	}{
		{connectors.SameText, "Tea & milk", "Tea &amp; milk", true},
		{connectors.SameText, "<p>Tea</p><p>milk</p>", "<p>Tea</p>\n<p>milk</p>\n", true},
		{connectors.SameText, "<b>Tea</b>", "Tea", true},
		{connectors.SameText, "Tea", "Coffee", false},
		{connectors.SameAmount, "19.90", "19.9", true},
		{connectors.SameAmount, "19.90", "19.91", false},
		{connectors.SameAmount, "", "", true},
		{connectors.SameAmount, "", "0", false},
		{connectors.SameAmount, "x", "1", false},
	} {
		if got := c.same(c.a, c.b); got != c.want {
			t.Errorf("%q and %q: %v", c.a, c.b, got)
		}
	}
}
