package pim

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestSearchDocuments(t *testing.T) {
	t.Parallel()
	s := &Schema{
		Locales: map[Locale]bool{"en-GB": true, "de-DE": true},
		Attributes: map[string]*Attribute{
			"name":  {Code: "name", Type: TypeText, Localizable: true},
			"brand": {Code: "brand", Type: TypeText},
			"text":  {Code: "text", Type: TypeRichText, Localizable: true, Scopable: true},
			"gtin":  {Code: "gtin", Type: TypeText, Check: CheckGTIN},
			"wood":  {Code: "wood", Type: TypeOptions, Options: []Option{{Code: "oak", Labels: map[Locale]string{"de-DE": "Eiche"}}}},
			"count": {Code: "count", Type: TypeNumber},
		},
	}
	v, err := DecodeValues([]byte(`{"name":{"en-GB":"Lamp-1","xx-XX":"gone"},"brand":"O'Neill","text":{"shop":{"en-GB":"<p>A&amp;B<br>light</p>"}},
		"gtin":"0012345678905","wood":["oak","none"],"count":7,"stale":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	docs, codes := s.SearchDocuments("Sku/1", v)
	if !slices.Equal(codes, []string{"0012345678905", "12345678905", "sku/1"}) {
		t.Errorf("codes %q", codes)
	}
	var got []string
	for _, d := range docs {
		got = append(got, fmt.Sprintf("%s: %s | %s", d.Locale, strings.Join(strings.Fields(d.Names), " "), strings.Join(strings.Fields(d.Texts), " ")))
	}
	want := []string{": O Neill 0012345678905 oak | ", "de-DE: Eiche O Neill 0012345678905 oak | ", "en-GB: Lamp 1 O Neill 0012345678905 oak | A B light"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	together := []SearchWord{{"lamp", true}, {"1", false}, {"o", true}, {"neill", false}, {"2", false}, {"3", false}, {"4", false}, {"5", false}}
	if words := SearchWords("Lamp-1, LAMP 'o’neill' 1 2 3 4 5 6 7 8 9"); !slices.Equal(words, together) {
		t.Errorf("%v", words)
	}
	long := strings.Repeat("a", maxSearchWord) // a word that is cut is the beginning of one
	if words := SearchWords(long + "b-1"); !slices.Equal(words, []SearchWord{{long, false}, {"1", false}}) {
		t.Errorf("%v", words)
	}
}

func TestOneSlip(t *testing.T) {
	t.Parallel()
	for pair, want := range map[string]bool{
		"lmap lamp": true, "lapm lamp": true, "lam lamp": true, "laamp lamp": true, "lump lamp": true, "lamp lamp": false, "lmpa lamp": false, "pmal lamp": false, "aa aaa": true, "ab ba": true, "abc cba": false, "größe grösse": false, "grösse grüsse": true,
	} {
		a, b, _ := strings.Cut(pair, " ")
		if OneSlip([]rune(a), []rune(b)) != want || OneSlip([]rune(b), []rune(a)) != want {
			t.Errorf("%s: %v", pair, !want)
		}
	}
}
