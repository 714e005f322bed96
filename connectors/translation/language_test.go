package translation_test

import (
	"slices"
	"testing"

	"github.com/sluicehub/sluice/connectors/translation"
	"github.com/sluicehub/sluice/pim"
)

func TestPick(t *testing.T) {
	deepl := []string{"DE", "EN-GB", "EN-US", "ES", "ES-419", "NB", "PT-BR", "PT-PT", "ZH-HANS", "ZH-HANT"}
	plain := []string{"de", "en", "es", "no", "pt", "zh", "sr"}
	for l, want := range map[pim.Locale][3]string{ // into, of many; into, of few; from, of few
		"de-AT": {"DE", "de", "de"}, "en": {"EN-US", "en", "en"}, "en-GB": {"EN-GB", "en", "en"}, "en-AU": {"EN-GB", "en", "en"}, "en-US": {"EN-US", "en", "en"},
		"es": {"ES", "es", "es"}, "es-ES": {"ES", "es", "es"}, "es-MX": {"ES-419", "es", "es"},
		"pt": {"PT-BR", "pt", "pt"}, "pt-AO": {"PT-PT", "pt", "pt"}, "pt-BR": {"PT-BR", "pt", "pt"},
		"zh": {"ZH-HANS", "zh", "zh"}, "zh-CN": {"ZH-HANS", "zh", "zh"}, "zh-TW": {"ZH-HANT", "", "zh"}, "zh-Hant-HK": {"ZH-HANT", "", "zh"},
		"nb": {"NB", "no", "no"}, "no": {"NB", "no", "no"}, "sr-Latn": {"", "", "sr"}, "sr": {"", "sr", "sr"},
		"": {}, "und": {}, "x-klingon": {}, "not a tag": {}, "haw": {},
	} {
		got := [3]string{translation.Pick(l, false, deepl), translation.Pick(l, false, plain), translation.Pick(l, true, plain)}
		if got != want {
			t.Errorf("%s: %v, want %v (%v)", l, got, want, translation.Codes(l, false))
		}
	}
	if got := translation.Codes("en-AU", false); !slices.Equal(got, []string{"en-AU", "en-001", "en-GB", "en", "en-Latn"}) {
		t.Error(got)
	}
}

func TestOffers(t *testing.T) {
	pairs := map[string][]string{"en": {"de", "pt-BR", "zh"}, "ca_valencia": {"es"}}
	for _, c := range []struct {
		from, to pim.Locale
		want     bool
	}{
		{"en-GB", "de-AT", true},
		{"en-GB", "pt", true},
		{"en-GB", "pt-PT", false},
		{"en-GB", "zh-TW", false},
		{"en-GB", "nl-NL", false},
		{"de-DE", "en-GB", false},
		{"ca-ES-valencia", "es-ES", true},
		{"", "", false},
	} {
		if got := translation.Offers(pairs, c.from, c.to); got != c.want {
			t.Errorf("%s to %s: %v", c.from, c.to, got)
		}
	}
}
