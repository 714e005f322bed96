package medusa

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// handles are what Medusa calls URL safe.
var handles = regexp.MustCompile(`^[a-z0-9]+(?:-[a-z0-9]+)*$`)

func isHandle(s string) bool { return handles.MatchString(s) }

// slug makes a handle of a text: "Größe: 10 %" is "grosse-10". "" where nothing
// of it can be in a handle.
func slug(s string) string {
	var b strings.Builder
	gap := false
	for _, r := range norm.NFKD.String(strings.ReplaceAll(strings.ToLower(s), "ß", "ss")) {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			if gap && b.Len() > 0 {
				b.WriteByte('-')
			}
			gap = false
			b.WriteRune(r)
		case unicode.Is(unicode.M, r): // the accent of a letter
		default:
			gap = true
		}
	}
	return b.String()
}

// tag is a short name of a text that is good in a handle.
func tag(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:4])
}

// handleOf makes a new product's handle: its title and its SKU, for titles are
// not unique and Medusa's handles are. It is never changed later, since it is
// the product's address in the shop.
func handleOf(title, sku string) string {
	name := slug(title)
	if len(name) > 80 {
		name = strings.TrimRight(name[:80], "-")
	}
	code := slug(sku)
	if code == "" {
		code = tag(sku)
	}
	if name == code || name == "" {
		return code
	}
	return name + "-" + code
}

// categoryHandle is the handle that a category's code is found by.
func categoryHandle(code string) string {
	if handle := slug(code); handle != "" {
		return handle
	}
	return tag(code)
}
