package pim

import (
	"strings"
	"testing"
)

func TestFilterMatch(t *testing.T) {
	t.Parallel()
	object, err := DecodeJSON([]byte(`{"code":"Hue","type":"option","position":10,"ratio":1.50,"huge":1e399,"localizable":false,"at":"2026-11-21T10:00:00+02:00",
		"labels":{"en-GB":"Colour","de-DE":""},"options":[{"code":"red","labels":{"en-GB":"Red"}},{"code":"blue"}],"hollow":[],"none":null,"tags":["a","b"],"amount":"61.50","sku":"007"}`), 0)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{
		`code = Hue`: true, `code = hue`: false, `code contains UE`: true, `code starts with h`: true, `code starts with ue`: false,
		`type in (text, option)`: true, `type not in (text, option)`: false, `type != text`: true,
		`position = 10`: true, `position = 10.0`: true, `position < 9`: false, `position > 9`: true, `position >= 10 and position <= 10`: true,
		`ratio = 1.5`: true, `ratio = "1.5"`: false, `position > "9"`: false, `huge > 1`: true, `position < 1e999999999`: false,
		`amount > 61`: true, `amount < 61.5`: false, `amount = 61.5`: true, `amount = "61.5"`: false, `amount >= "61"`: true, `sku = 007`: true, `sku = 7`: false, `sku > 6`: false,
		`localizable = false`: true, `localizable = true`: false,
		`at >= 2026-11-21`: true, `at < 2026-11-21T08:00:01Z`: true, `at = "2026-11-21T08:00:00Z"`: false,
		`labels.en-GB = Colour`: true, `labels.de-DE is empty`: true, `labels is not empty`: true, `labels contains olo`: true,
		`options.code = blue`: true, `options.code in (green, red)`: true, `options.labels.en-GB = Red`: true, `options = blue`: true,
		`hollow is empty`: true, `none is empty`: true, `nowhere is empty`: true, `nowhere = x`: false, `nowhere != x`: true, `not nowhere > 1`: true,
		`tags = b`: true, `tags = "a,b"`: false, `code = x or tags = a`: true, `not (code = Hue and tags = a)`: false, `code.deeper = Hue`: false,
	} {
		f, err := ParseFilter(text)
		if err != nil {
			t.Fatal(text, err)
		}
		if got := f.Match(object.(map[string]any)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	f, _ := ParseFilter(`a = 1 and not (b.c is empty or d in (x, y))`)
	var seen []string
	_ = f.EachTest(func(f *Filter) error { seen = append(seen, strings.Join(f.Path, ".")); return nil })
	if got := strings.Join(seen, " "); got != "a b.c d" {
		t.Error(got)
	}
}
