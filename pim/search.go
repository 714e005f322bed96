package pim

import (
	"html"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of search documents and of queries, in bytes.
const (
	maxSearchNames = 4 << 10
	maxSearchTexts = 32 << 10
	shortText      = 255 // characters: a text attribute's value up to here is a name
	maxSearchWords = 8   // of a query
	maxSearchWord  = 40  // characters; a longer word is cut
)

// SearchDocument is what a product is found by in one locale; "" is all
// that is the same in every locale, which the others hold as well.
type SearchDocument struct {
	Locale Locale
	Names  string // short texts and labels of options
	Texts  string // long ones, without markup
}

// SearchDocuments makes a product's documents of its values, which for a variant
// are MergeVariant's: one for "" and one for each locale that it has texts in.
// codes are what it is looked up by: its SKU and GTINs, in SearchCodes' form.
func (s *Schema) SearchDocuments(sku SKU, values Values) (docs []SearchDocument, codes []string) {
	codes = SearchCodes(string(sku))
	w := searchWriter{names: map[Locale]*strings.Builder{}, texts: map[Locale]*strings.Builder{}}
	for _, code := range slices.Sorted(maps.Keys(values)) {
		a := s.Attributes[code]
		if a == nil {
			continue
		}
		eachValue(values[code], a.Scopable, a.Localizable, func(l Locale, v any) {
			if a.Check == CheckGTIN {
				if text, ok := v.(string); ok {
					codes = append(codes, SearchCodes(text)...)
				}
			}
			w.value(a, l, v)
		})
	}
	slices.Sort(codes)
	locales := []Locale{""}
	for l := range w.seen {
		if l != "" && s.Locales[l] {
			locales = append(locales, l)
		}
	}
	slices.Sort(locales)
	for _, l := range locales {
		d := SearchDocument{Locale: l, Names: w.text(w.names, l, maxSearchNames), Texts: w.text(w.texts, l, maxSearchTexts)}
		docs = append(docs, d)
	}
	return docs, slices.Compact(codes)
}

// eachValue visits the values of an attribute, each with its locale.
func eachValue(v any, scopable, localizable bool, visit func(Locale, any)) {
	m, ok := object(v)
	switch {
	case scopable && ok:
		for _, k := range slices.Sorted(maps.Keys(m)) {
			eachValue(m[k], false, localizable, visit)
		}
	case localizable && ok:
		for _, k := range slices.Sorted(maps.Keys(m)) {
			visit(Locale(k), m[k])
		}
	case !scopable && !localizable:
		visit("", v)
	}
}

type searchWriter struct {
	names, texts map[Locale]*strings.Builder
	seen         map[Locale]bool
}

func (w *searchWriter) value(a *Attribute, l Locale, v any) {
	switch a.Type {
	case TypeText, TypeRichText:
		text, ok := v.(string)
		switch {
		case !ok:
		case a.Type == TypeRichText:
			w.add(w.texts, l, withoutTags(text))
		case utf8.RuneCountInString(text) > shortText:
			w.add(w.texts, l, text)
		default:
			w.add(w.names, l, text)
		}
	case TypeOption:
		w.option(a, l, v)
	case TypeTable:
		rows, _ := v.([]any)
		for _, row := range rows {
			cells, _ := row.(map[string]any)
			for i := range a.Columns {
				w.value(a.Columns[i].attribute(), l, cells[a.Columns[i].Code])
			}
		}
	case TypeOptions:
		list, _ := v.([]any)
		for _, v := range list {
			w.option(a, l, v)
		}
	}
}

// option adds an option's labels, each to its locale.
func (w *searchWriter) option(a *Attribute, l Locale, v any) {
	i := slices.IndexFunc(a.Options, func(o Option) bool { return o.Code == v })
	if i < 0 {
		return
	}
	w.add(w.names, l, a.Options[i].Code)
	for locale, label := range a.Options[i].Labels {
		if l == "" || l == locale {
			w.add(w.names, locale, label)
		}
	}
}

func (w *searchWriter) add(to map[Locale]*strings.Builder, l Locale, text string) {
	if w.seen == nil {
		w.seen = map[Locale]bool{}
	}
	w.seen[l] = true
	if to[l] == nil {
		to[l] = &strings.Builder{}
	}
	to[l].WriteString(text)
	to[l].WriteByte('\n')
}

// text is what a locale has, and behind it what all have, cut.
func (w *searchWriter) text(of map[Locale]*strings.Builder, l Locale, most int) string {
	var text string
	if b := of[l]; b != nil {
		text = b.String()
	}
	if b := of[""]; b != nil && l != "" {
		text += b.String()
	}
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "")
	}
	return SearchText(text)
}

// SearchText is a text with nothing but its words, as SearchWords takes queries
// apart: PostgreSQL would see a negative number in "lamp-1".
func SearchText(text string) string {
	return strings.Map(func(r rune) rune {
		if betweenWords(r) {
			return ' '
		}
		return r
	}, text)
}

func betweenWords(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
}

// withoutTags is the text of stored markup, which is well-formed.
func withoutTags(s string) string {
	var b strings.Builder
	for s != "" {
		text, rest, tag := strings.Cut(s, "<")
		b.WriteString(text)
		if !tag {
			break
		}
		b.WriteByte(' ')
		_, s, _ = strings.Cut(rest, ">")
	}
	return html.UnescapeString(b.String())
}

// SearchCodes are the forms in which a SKU or GTIN is looked up: in lower case,
// and one of a GTIN's lengths also without leading zeros, since UPC, EAN and
// GTIN-14 of an item differ in no more.
func SearchCodes(text string) []string {
	code := strings.ToLower(strings.TrimSpace(text))
	if code == "" {
		return nil
	}
	codes := []string{code}
	switch len(code) {
	case 8, 12, 13, 14:
		if short := strings.TrimLeft(code, "0"); short != "" && short != code && digitRun(code) == len(code) {
			codes = append(codes, short)
		}
	}
	return codes
}

// SearchWord is a word of a query, in lower case.
type SearchWord struct {
	Text string
	// Whole: it is written together with the next one, as in a SKU, so it is not
	// the beginning of another.
	Whole bool
}

// SearchWords are the words of a query: at most 8 different ones.
func SearchWords(query string) (words []SearchWord) {
	for _, together := range strings.Fields(strings.ToLower(query)) {
		parts := strings.FieldsFunc(together, betweenWords)
		for i, w := range parts {
			whole := i < len(parts)-1
			if r := []rune(w); len(r) > maxSearchWord {
				w, whole = string(r[:maxSearchWord]), false
			}
			if !slices.ContainsFunc(words, func(s SearchWord) bool { return s.Text == w }) {
				words = append(words, SearchWord{w, whole})
			}
			if len(words) == maxSearchWords {
				return words
			}
		}
	}
	return words
}

// searchLanguages are PostgreSQL's text search configurations by language.
var searchLanguages = map[string]string{
	"ar": "arabic", "hy": "armenian", "eu": "basque", "ca": "catalan", "da": "danish", "nl": "dutch", "en": "english", "fi": "finnish", "fr": "french",
	"de": "german", "el": "greek", "hi": "hindi", "hu": "hungarian", "id": "indonesian", "ga": "irish", "it": "italian", "lt": "lithuanian", "ne": "nepali",
	"no": "norwegian", "nb": "norwegian", "nn": "norwegian", "pt": "portuguese", "ro": "romanian", "ru": "russian", "sr": "serbian", "es": "spanish",
	"sv": "swedish", "ta": "tamil", "tr": "turkish", "yi": "yiddish",
}

// SearchLanguage is the text search configuration of a locale's language;
// "simple", which knows no stems, where there is none.
func SearchLanguage(l Locale) string {
	language, _, _ := strings.Cut(string(l), "-")
	if c := searchLanguages[language]; c != "" {
		return c
	}
	return "simple"
}

// OneSlip reports whether a and b differ in one letter that is missing, too many or
// another one, or in two neighbours that changed places.
func OneSlip(a, b []rune) bool {
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	return len(a)+len(b) == 1 || len(a) == 1 && len(b) == 1 || len(a) == 2 && len(b) == 2 && a[0] == b[1] && a[1] == b[0]
}
