package pim

import (
	"crypto/sha256"
	"encoding/json"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// UniqueValue is a value that no other living product may have, by its attribute
// and scope; Key is the SHA-256 of what it says, so that it fits an index.
type UniqueValue struct {
	Attribute string
	Channel   ChannelCode
	Locale    Locale
	Key       [sha256.Size]byte
}

// UniqueValues lists, by attribute, what v has of the attributes that are
// unique. Equal numbers are one value, however they are written; blank text is
// none, and what is not in its attribute's shape is left out.
func (s *Schema) UniqueValues(v Values) (list []UniqueValue) {
	for _, a := range s.lookup().unique {
		stored, ok := v[a.Code]
		if !ok {
			continue
		}
		at := UniqueValue{Attribute: a.Code}
		underScopes(stored, a.Scopable, func(channel string, below any) {
			at.Channel = ChannelCode(channel)
			underScopes(below, a.Localizable, func(locale string, value any) {
				if key, ok := uniqueKey(value); ok {
					list = append(list, UniqueValue{a.Code, at.Channel, Locale(locale), key})
				}
			})
		})
	}
	return list
}

// underScopes gives do what stands under each scope of v, or v itself where it has none.
func underScopes(v any, scoped bool, do func(scope string, v any)) {
	if !scoped {
		do("", v)
		return
	}
	m, _ := v.(map[string]any)
	for scope, below := range m {
		do(scope, below)
	}
}

// uniqueKey is worked out by SQL, too: see sqlFillUnique of pim/postgres.
func uniqueKey(v any) (key [sha256.Size]byte, ok bool) {
	switch v := v.(type) {
	case string:
		if !isBlank(v) {
			return sha256.Sum256([]byte(norm.NFC.String(v))), true
		}
	case json.Number:
		if isNumber(string(v)) {
			return sha256.Sum256([]byte(plainNumber(string(v)))), true
		}
	}
	return key, false
}

// plainNumber writes a JSON number of at most maxDigits without exponent and
// without zeros that say nothing: -0.5, 1000.
func plainNumber(s string) string {
	neg, whole, part, exp := split(s)
	digits, point := whole+part, len(whole)+exp
	if strings.Trim(digits, "0") == "" {
		return "0"
	}
	if point < 0 {
		digits, point = strings.Repeat("0", -point)+digits, 0
	}
	if point > len(digits) {
		digits += strings.Repeat("0", point-len(digits))
	}
	out := strings.TrimLeft(digits[:point], "0")
	if out == "" {
		out = "0"
	}
	if rest := strings.TrimRight(digits[point:], "0"); rest != "" {
		out += "." + rest
	}
	if neg {
		out = "-" + out
	}
	return out
}
