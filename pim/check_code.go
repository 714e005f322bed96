package pim

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/currency"
	"golang.org/x/text/language"
	"golang.org/x/text/unicode/norm"
)

const (
	maxSKU  = 128
	maxCode = 100
)

// ValidSKU checks a SKU: 1 to 128 characters in NFC, printable or a plain
// space, no space at either end, and not "." or "..", which no URL path can
// carry. The error's text is fit for a Problem's detail.
func ValidSKU(s string) error {
	if code, detail := skuFault(s); code != "" {
		return errors.New(detail)
	}
	return nil
}

func skuFault(s string) (code, detail string) {
	ascii := true
	for i := range len(s) {
		if c := s[i]; c >= utf8.RuneSelf {
			ascii = false
		} else if c < ' ' || c == 0x7F {
			return "sku.character", "a SKU has printable characters only"
		}
	}
	switch {
	case s == "":
		return "sku.empty", "a SKU has at least one character"
	case len(s) > maxSKU && utf8.RuneCountInString(s) > maxSKU:
		return "sku.too_long", fmt.Sprintf("a SKU has at most %d characters", maxSKU)
	case s[0] == ' ' || s[len(s)-1] == ' ':
		return "sku.space", "a SKU has no space at either end"
	case s == "." || s == "..":
		return "sku.dots", fmt.Sprintf("%q is no SKU: no URL path can carry it", s)
	case ascii:
		return "", ""
	case !utf8.ValidString(s):
		return "sku.utf8", "the SKU is not valid UTF-8"
	case strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "sku.character", "a SKU has printable characters only"
	case !norm.NFC.IsNormalString(s):
		return "sku.normal", "a SKU is written in Unicode's composed form (NFC)"
	}
	return "", ""
}

// ValidCode checks the code of an attribute, family, family variant, option,
// price list, location, category or asset: 1 to 100 ASCII letters, digits, '_'
// and '-', the first a letter or digit; upper and lower case differ. A code of
// kind "channel" has lower-case letters only. kind is what the error, whose text
// is fit for a Problem's detail, calls it.
func ValidCode(kind, s string) error {
	ok := len(s) <= maxCode && isCode(s, "")
	letters := "letters"
	if kind == "channel" {
		ok, letters = ok && strings.ToLower(s) == s, "lower-case letters"
	}
	if ok {
		return nil
	}
	return fmt.Errorf("%s is no %s code: 1 to %d %s, digits, '_' and '-' are expected, the first a letter or digit", quote(s), kind, maxCode, letters)
}

// isCode reports ASCII letters and digits, after the first also '_', '-' and extra.
func isCode(s, extra string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9':
		case i > 0 && (c == '_' || c == '-' || strings.IndexByte(extra, c) >= 0):
		default:
			return false
		}
	}
	return s != ""
}

// ValidLocale checks a BCP 47 tag of registered subtags in its usual spelling:
// "en-GB", neither "en_gb" nor "EN-gb", since locales are keys. The error's text is
// fit for a Problem's detail.
func ValidLocale(l Locale) error {
	tag, err := language.Raw.Parse(string(l))
	if err != nil || len(l) > 35 || tag == language.Und {
		return fmt.Errorf("%s is no BCP 47 tag such as en-GB", quote(string(l)))
	}
	if usual := tag.String(); usual != string(l) {
		return fmt.Errorf("locale %s is written %q", quote(string(l)), usual)
	}
	return nil
}

// ValidCurrency checks an ISO 4217 code, in upper case. The error's text is fit
// for a Problem's detail.
func ValidCurrency(c Currency) error {
	if unit, err := currency.ParseISO(string(c)); err != nil || unit.String() != string(c) {
		return fmt.Errorf("%s is no ISO 4217 code such as EUR", quote(string(c)))
	}
	return nil
}
