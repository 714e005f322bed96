package translation

import (
	"slices"
	"strings"

	"golang.org/x/text/language"

	"github.com/sluicehub/sluice/pim"
)

// Codes are the BCP 47 tags under which a service may know a locale, the most
// exact first, by CLDR's parents and likely subtags: en-AU is en-AU, en-001,
// en-GB, en; pt is pt, pt-BR; zh-TW is zh-TW, zh-Hant. The bare language is among
// them only when it is usually written in the same script, because Simplified
// Chinese is no stand-in for Traditional; a locale to translate from is less
// exact, and there it always is. None for what is no language.
func Codes(l pim.Locale, from bool) []string {
	tag, err := language.Raw.Parse(string(l))
	base, sure := tag.Base()
	if err != nil || sure == language.No || tag.IsRoot() {
		return nil
	}
	codes := []string{tag.String()}
	add := func(code string) {
		if !slices.Contains(codes, code) {
			codes = append(codes, code)
		}
	}
	for _, variant := range tag.Variants() { // ca-ES-valencia is known as ca-valencia
		add(base.String() + "-" + variant.String())
	}
	for parent := tag.Parent(); !parent.IsRoot(); parent = parent.Parent() {
		add(parent.String())
		if parent.String() == "en-001" {
			add("en-GB")
		}
	}
	script, _ := tag.Script()
	usual, _ := language.Make(base.String()).Script()
	_, _, region := tag.Raw()
	if tag.String() == base.String() || region.String() != "ZZ" {
		add(base.String() + "-" + script.String())
	}
	if tag.String() == base.String() {
		likely, _ := tag.Region()
		add(base.String() + "-" + likely.String())
	}
	if from || script == usual {
		add(base.String())
	}
	switch base.String() { // one language, two habits
	case "no":
		add("nb")
	case "nb":
		add("no")
	}
	return codes
}

// Pick is the first of Codes(l, from) that is among a service's codes, as the
// service writes it; "" when none is. Case and "_" for "-" do not matter.
func Pick(l pim.Locale, from bool, has []string) string {
	for _, code := range Codes(l, from) {
		for _, h := range has {
			if strings.EqualFold(code, strings.ReplaceAll(h, "_", "-")) {
				return h
			}
		}
	}
	return ""
}

// Offers reports whether a service with these pairs, as a Pairer gives them, can
// be asked to translate between two locales.
func Offers(pairs map[string][]string, from, to pim.Locale) bool {
	for has, into := range pairs {
		if Pick(from, true, []string{has}) != "" && Pick(to, false, into) != "" {
			return true
		}
	}
	return false
}
