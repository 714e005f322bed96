package importing

import (
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/sluicehub/sluice/pim"
)

// Words in a column's name that tell what it holds.
var (
	gtinWords = []string{"gtin", "ean", "barcode", "upc"}
	// idWords end the name of what is written in digits but counts nothing.
	idWords    = []string{"id", "sku", "code", "number", "no", "nr", "gtin", "ean", "barcode", "upc", "isbn", "mpn", "asin", "zip", "postcode", "plz", "phone", "hs"}
	mediaWords = []string{"image", "images", "img", "picture", "pictures", "photo", "photos", "thumbnail", "media"}
	skuNames   = []string{"sku", "productsku", "itemsku", "variantsku"}
)

// wordsOf splits a name at everything but letters and digits, where digits
// begin or end, and before capitals: "EAN13 code", "productImage", "barcode_id".
func wordsOf(name string) []string {
	var words []string
	var word []rune
	end := func() {
		if len(word) > 0 {
			words = append(words, strings.ToLower(string(word)))
			word = word[:0]
		}
	}
	for _, r := range name {
		switch {
		case unicode.IsDigit(r), !unicode.IsLetter(r):
			end()
			continue
		case unicode.IsUpper(r) && len(word) > 0 && unicode.IsLower(word[len(word)-1]):
			end()
		}
		word = append(word, r)
	}
	end()
	return words
}

func hasWord(name string, words []string) bool {
	return slices.ContainsFunc(wordsOf(name), func(w string) bool { return slices.Contains(words, w) })
}

func isIDName(name string) bool {
	words := wordsOf(name)
	return len(words) > 0 && slices.Contains(idWords, words[len(words)-1]) || hasWord(name, gtinWords)
}

// isSKUName reports a name that says SKU and nothing else.
func isSKUName(name string) bool { return slices.Contains(skuNames, strings.Join(wordsOf(name), "")) }

// letters that are no base letter with an accent.
var letters = strings.NewReplacer("ß", "ss", "æ", "ae", "œ", "oe", "ø", "o", "đ", "d", "ł", "l")

// codeOf makes an attribute's or family's code of a name: the name itself when
// it is one, else lower case without accents, "_" for everything that no code
// may hold; "" when nothing is left.
func codeOf(name string) string {
	if pim.ValidCode("attribute", name) == nil {
		return name
	}
	var b strings.Builder
	gap := false
	for _, r := range norm.NFKD.String(letters.Replace(strings.ToLower(name))) {
		switch {
		case 'a' <= r && r <= 'z' || '0' <= r && r <= '9':
			if gap && b.Len() > 0 {
				b.WriteByte('_')
			}
			gap = false
			b.WriteRune(r)
		case unicode.Is(unicode.Mn, r): // an accent, taken off its letter
		default:
			gap = true
		}
	}
	code := b.String()
	return strings.TrimRight(code[:min(len(code), 80)], "_") // some room for what makes it unique
}

// familyOf makes a family's code of a file's name: "products.csv.gz" is
// "products".
func familyOf(filename string) string {
	name := filepath.Base(strings.ReplaceAll(filename, `\`, "/"))
	for _, ext := range []string{".gz", ".csv", ".tsv", ".tab", ".txt", ".json", ".jsonl", ".ndjson", ".xlsx", ".xlsm", ".xml"} {
		if cut := len(name) - len(ext); cut > 0 && strings.EqualFold(name[cut:], ext) {
			name = name[:cut]
		}
	}
	if code := codeOf(name); code != "" {
		return code
	}
	return "import"
}
