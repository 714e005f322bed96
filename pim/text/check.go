package text

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sluicehub/sluice/pim"
)

// Fault is what is wrong with a translation or a generated text. One of
// severity error is not to be stored as good; a warning is for a person to see.
type Fault struct {
	Code     string       `json:"code"`
	Severity pim.Severity `json:"severity" enum:"error,warning"`
	Text     string       `json:"text"`
}

// The codes of faults.
const (
	CodeTagBroken     = "tag.broken"     // markup that is none of ours
	CodeTagMissing    = "tag.missing"    // a placeholder is gone
	CodeTagTwice      = "tag.twice"      // a placeholder came back more than once
	CodeTagUnknown    = "tag.unknown"    // a placeholder was invented
	CodeTagNesting    = "tag.nesting"    // an element is not closed, or closed without being open
	CodeTagEmpty      = "tag.empty"      // an element has lost its words
	CodeTagGlued      = "tag.glued"      // a protected span now touches a word or number
	CodeEmpty         = "text.empty"     // nothing was returned
	CodeUTF8          = "text.utf8"      // not UTF-8, or a replacement character that the source has not
	CodeControl       = "text.control"   // a control character
	CodeLineBreak     = "text.linebreak" // a line break that the source has not
	CodeLength        = "text.length"    // much shorter or longer than a translation can be
	CodeUnchanged     = "text.unchanged" // the source came back (a warning)
	CodeEscape        = "text.escape"    // an escape that was escaped again: "&amp;amp;"
	CodeMarkupLeft    = "text.markup"    // tags, placeholders or a translator's own marks as text
	CodeNumberMissing = "number.missing" // a number is gone
	CodeNumberAdded   = "number.added"   // a number was invented
	CodeTermForbidden = "term.forbidden" // a forbidden term
	CodeTermMissing   = "term.missing"   // a fixed term was translated otherwise
)

// Rules are what a translation is checked against, beside its source. The zero
// Rules check what needs no languages and no glossary.
type Rules struct {
	// From and To are the languages, as BCP 47 tags. Where their primary
	// languages differ, a long text that comes back unchanged is a warning.
	From, To string
	// Forbidden terms must not be in the translation's own words (protected spans
	// are the source's): any case, whole words. ForbiddenAsWritten: in that case only.
	Forbidden, ForbiddenAsWritten []string
	// Fixed terms must be in the translation where their source term is in the source.
	Fixed []FixedTerm
}

// FixedTerm is a glossary's rule: From is always translated as To. Any case, whole words.
type FixedTerm struct {
	From, To string
	// Prefix accepts words that only begin with a term, for languages that inflect at the end.
	Prefix bool
}

// Check finds what is wrong with a translation of the segment, after Tidy best.
// No fault of severity error means that it can be assembled and that nothing
// that was to be kept is lost. A fault of the placeholders is the only one
// reported, since without them the rest cannot be told.
//
// Numbers are compared by value and whatever the languages: "1.5" may become
// "1,5", "1,000" "1 000"; a number that became a word counts as gone.
//
// The bounds of length are of characters, where one of Han counts three, of
// Kana, Hangul and Thai two, without spaces and placeholders: up to 9 characters
// of source may become 1 to 60; 10 to 29 a fifth to five times as many; 30 to
// 99 a third to 3 times; from 100 on 0.45 to 2.5 times.
func (s Segment) Check(translated string, rules Rules) []Fault {
	if !utf8.ValidString(translated) {
		return []Fault{*fault(CodeUTF8, "the translation is not valid UTF-8")}
	}
	if strings.TrimFunc(translated, isSpace) == "" {
		return []Fault{*fault(CodeEmpty, "the translation is empty")}
	}
	after, bad := s.parse(translated)
	if bad != nil {
		return []Fault{*bad}
	}
	before, bad := s.parse(s.Source)
	if bad != nil { // not a segment of Cut
		return []Fault{*bad}
	}
	faults := s.checkWords(before, after)
	faults = append(faults, s.checkPlaces(before, after)...)
	faults = append(faults, checkNumbers(words(before), words(after))...)
	if f := checkSigns(words(before), words(after)); f != nil {
		faults = append(faults, *f)
	}
	if f := checkLength(words(before), words(after)); f != nil {
		faults = append(faults, *f)
	}
	if rules.From != "" && primary(rules.From) != primary(rules.To) && unchanged(words(before), words(after)) {
		faults = append(faults, Fault{CodeUnchanged, pim.SeverityWarning, "the translation is the source itself"})
	}
	return append(faults, rules.checkTerms(s.visible(before), s.visible(after), s.own(after))...)
}

// words is a fragment's text, with U+FFFC in the places of protected spans and
// of tags, so that nothing grows together around them.
func words(tokens []token) string {
	var b strings.Builder
	for _, t := range tokens {
		if t.kind == tokenText {
			b.WriteString(t.text)
		} else {
			b.WriteRune('\uFFFC')
		}
	}
	return b.String()
}

var (
	tagLike     = regexp.MustCompile(`</?[A-Za-z][A-Za-z0-9]{0,15}[\s/>]|<!--|<!\[CDATA\[`)
	escapeLike  = regexp.MustCompile(`&(?:amp|lt|gt|quot|apos|nbsp|#[0-9]{1,6}|#[xX][0-9A-Fa-f]{1,6});`)
	fenceLike   = regexp.MustCompile("```|\\*\\*|\\{\\{|\\}\\}|\\[\\[|\\]\\]|\\$\\{")
	unknownLike = regexp.MustCompile(`(?:^|[\s\x{FFFC}(])[*@#]\pL`) // Apertium's marks of words it does not know
)

// checkWords looks for what a text must not hold, or no more of than its source.
func (s *Segment) checkWords(before, after []token) (faults []Fault) {
	was, is := words(before), words(after)
	more := func(re *regexp.Regexp) bool {
		return len(re.FindAllStringIndex(is, -1)) > len(re.FindAllStringIndex(was, -1))
	}
	// Between tags, so that no word counts as empty which only a tag follows.
	if strings.TrimFunc(strings.ReplaceAll(is, "\uFFFC", ""), isSpace) == "" {
		faults = append(faults, *fault(CodeEmpty, "the translation has no words"))
	}
	if i := strings.IndexFunc(is, notXML); i >= 0 {
		c, _ := utf8.DecodeRuneInString(is[i:])
		faults = append(faults, *fault(CodeControl, "the translation has control character U+%04X", c))
	}
	if strings.Count(is, "\uFFFD") > strings.Count(was, "\uFFFD") {
		faults = append(faults, *fault(CodeUTF8, "the translation has replacement characters (U+FFFD) where text was lost"))
	}
	if !s.html && strings.ContainsFunc(is, isBreak) && !strings.ContainsFunc(was, isBreak) {
		faults = append(faults, *fault(CodeLineBreak, "the translation has a line break that the source has not"))
	}
	if more(escapeLike) {
		faults = append(faults, *fault(CodeEscape, "the translation shows an escape as text: %s", escapeLike.FindString(is)))
	}
	for _, re := range [...]*regexp.Regexp{tagLike, fenceLike, unknownLike} {
		if more(re) {
			faults = append(faults, *fault(CodeMarkupLeft, "the translation shows markup as text: %s", quote(strings.Trim(re.FindString(is), " \uFFFC("))))
			break
		}
	}
	made, had := placeholdersOf(is), placeholdersOf(was)
	for p := range made {
		if made[p] > had[p] {
			faults = append(faults, *fault(CodeMarkupLeft, "the translation has a placeholder that the source has not: %s", quote(p)))
			break
		}
	}
	return faults
}

// placeholdersOf counts what would be protected as a placeholder.
func placeholdersOf(text string) map[string]int {
	found := map[string]int{}
	if strings.ContainsAny(text, "{%$[#") {
		for _, s := range (Protect{}).scan(text, 0, len(text)) {
			if s.kind == Placeholder {
				found[text[s.start:s.end]]++
			}
		}
	}
	return found
}

// sides says of each placeholder what stands around it and within it.
type sides struct {
	glueBefore, glueAfter   bool // it touches a letter or digit of a script with spaces
	spaceBefore, spaceAfter bool
	filled                  bool // an element has words or spans in it
}

// around looks at the neighbours of all placeholders; those of an element's
// start and end are its outer ones.
func (s *Segment) around(tokens []token) []sides {
	out := make([]sides, len(s.Spans)+1)
	var open []int
	for i, t := range tokens {
		filled := t.kind == tokenAlone || t.kind == tokenText && strings.TrimFunc(t.text, isSpace) != ""
		if filled && len(open) > 0 {
			out[open[len(open)-1]].filled = true
		}
		if t.kind == tokenText {
			continue
		}
		o := &out[t.id]
		if t.kind != tokenClose && i > 0 && tokens[i-1].kind == tokenText {
			c, _ := utf8.DecodeLastRuneInString(tokens[i-1].text)
			o.glueBefore, o.spaceBefore = glues(c), isSpace(c)
		}
		if t.kind != tokenOpen && i+1 < len(tokens) && tokens[i+1].kind == tokenText {
			c, _ := utf8.DecodeRuneInString(tokens[i+1].text)
			o.glueAfter, o.spaceAfter = glues(c), isSpace(c)
		}
		if t.kind == tokenAlone {
			o.glueBefore = o.glueBefore || i > 0 && s.wordy(tokens[i-1])
			o.glueAfter = o.glueAfter || i+1 < len(tokens) && s.wordy(tokens[i+1])
		}
		switch t.kind {
		case tokenOpen:
			open = append(open, t.id)
		case tokenClose:
			open = open[:len(open)-1]
			if len(open) > 0 && o.filled {
				out[open[len(open)-1]].filled = true
			}
		case tokenAlone, tokenText:
		}
	}
	return out
}

// wordy reports a protected span that is as good as a word, not a tag or a sign.
func (s *Segment) wordy(t token) bool {
	if t.kind != tokenAlone {
		return false
	}
	switch s.Spans[t.id-1].Kind {
	case Tag, Symbol, Control, Element:
		return false
	case Placeholder, Amount, Code, Address, Term:
	}
	return true
}

// glues reports characters that grow together with a span: digits, and letters
// of the scripts in which no particle is hung on to a foreign word without a sign.
func glues(c rune) bool {
	return unicode.IsDigit(c) || unicode.In(c, unicode.Latin, unicode.Cyrillic, unicode.Greek)
}

func (s *Segment) checkPlaces(before, after []token) (faults []Fault) {
	was, is := s.around(before), s.around(after)
	for id := 1; id <= len(s.Spans); id++ {
		if s.Spans[id-1].Kind == Element {
			if was[id].filled && !is[id].filled {
				faults = append(faults, *fault(CodeTagEmpty, "in the translation, element %d (%s) is empty", id, quote(s.Spans[id-1].Open)))
			}
			continue
		}
		// It may stand elsewhere now; what it touched then is no measure if it touched anything.
		if s.wordy(token{kind: tokenAlone, id: id}) && !was[id].glueBefore && !was[id].glueAfter && (is[id].glueBefore || is[id].glueAfter) {
			faults = append(faults, *fault(CodeTagGlued, "in the translation, placeholder %d (%s) touches a word or number", id, quote(s.Spans[id-1].Open)))
		}
	}
	return faults
}

// Tidy gives a translation as Check and Assemble like it, repairing what
// translators do to fragments without harm to the words: the placeholders'
// spelling, escapes (&#39; for an apostrophe), space at the ends, space that is
// gone between a placeholder and a word. What cannot be read it gives back as it is.
func (s Segment) Tidy(translated string) string {
	after, bad := s.parse(translated)
	before, bad2 := s.parse(s.Source)
	if bad != nil || bad2 != nil {
		return translated
	}
	if n := len(after); n > 0 { // space at the ends, escaped or not, is the skeleton's
		if after[0].kind == tokenText {
			after[0].text = strings.TrimLeftFunc(after[0].text, isSpace)
		}
		if after[n-1].kind == tokenText {
			after[n-1].text = strings.TrimRightFunc(after[n-1].text, isSpace)
		}
	}
	was, is := s.around(before), s.around(after)
	var b strings.Builder
	// Within an element, only a word that goes on outside of it lacks a space.
	word := func(i int, last bool) bool {
		if after[i].kind != tokenText {
			return false
		}
		c, _ := utf8.DecodeRuneInString(after[i].text)
		if last {
			c, _ = utf8.DecodeLastRuneInString(after[i].text)
		}
		return glues(c)
	}
	for i, t := range after {
		if t.kind == tokenText {
			escapeFragment(&b, t.text)
			continue
		}
		w, o := was[t.id], is[t.id]
		spaced := strings.HasSuffix(b.String(), " ")
		// A span that stood apart stands apart also where it has moved to.
		if !spaced && o.glueBefore && (t.kind == tokenAlone && (w.spaceBefore || s.loose(w, t)) || t.kind == tokenOpen && w.spaceBefore && word(i+1, false)) {
			b.WriteByte(' ')
		}
		placeholder(&b, t.kind, t.id)
		if o.glueAfter && (t.kind == tokenAlone && (w.spaceAfter || s.loose(w, t)) || t.kind == tokenClose && w.spaceAfter && word(i-1, true)) {
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// loose reports a span that stood apart from all words.
func (s *Segment) loose(was sides, t token) bool {
	return s.wordy(t) && !was.glueBefore && !was.glueAfter
}

// weigh counts a text's characters so that scripts can be compared.
func weigh(text string) (n int) {
	for _, c := range text {
		switch {
		case c == '\uFFFC' || isSpace(c) || unicode.IsMark(c):
		case c < 0x0E00:
			n++
		case unicode.In(c, unicode.Han):
			n += 3
		case freeScript(c):
			n += 2
		default:
			n++
		}
	}
	return n
}

func checkLength(before, after string) *Fault {
	was, is := float64(weigh(before)), float64(weigh(after))
	least, most := 0.45*was, 2.5*was
	switch {
	case was < 10:
		least, most = 1, 60
	case was < 30:
		least, most = was/5, 5*was
	case was < 100:
		least, most = was/3, 3*was
	}
	if is < least || is > most {
		return fault(CodeLength, "the translation has %.0f characters, the source %.0f (%.0f to %.0f are plausible)", is, was, least, most)
	}
	return nil
}

// primary is a tag's primary language.
func primary(tag string) string {
	tag, _, _ = strings.Cut(strings.ReplaceAll(tag, "_", "-"), "-")
	return strings.ToLower(tag)
}

// unchanged reports a text that came back as it was and that is no mere name.
func unchanged(before, after string) bool {
	return len(strings.Fields(before)) >= 4 && weigh(before) >= 16 &&
		strings.EqualFold(strings.Join(strings.Fields(before), " "), strings.Join(strings.Fields(after), " "))
}

// own is what a reader sees of the translator's own words, with U+FFFC in the
// places of protected ones.
func (s *Segment) own(tokens []token) string {
	var b strings.Builder
	for _, t := range tokens {
		switch {
		case t.kind == tokenText:
			b.WriteString(t.text)
		case s.wordy(t):
			b.WriteRune('\uFFFC')
		}
	}
	return b.String()
}

func (r Rules) checkTerms(before, after, own string) (faults []Fault) {
	for _, term := range r.ForbiddenAsWritten {
		if len(Occurrences(own, term, false)) > 0 {
			faults = append(faults, *fault(CodeTermForbidden, "the translation has the forbidden term %s", quote(term)))
		}
	}
	before, after, own = strings.ToLower(before), strings.ToLower(after), strings.ToLower(own)
	for _, term := range r.Forbidden {
		if hasTerm(own, term, false) {
			faults = append(faults, *fault(CodeTermForbidden, "the translation has the forbidden term %s", quote(term)))
		}
	}
	for _, t := range r.Fixed {
		if hasTerm(before, t.From, t.Prefix) && !hasTerm(after, t.To, t.Prefix) {
			faults = append(faults, *fault(CodeTermMissing, "the translation has not %s for %s", quote(t.To), quote(t.From)))
		}
	}
	return slices.Clip(faults)
}

// hasTerm reports a term in text, which is in small letters, as whole words or
// at the beginning of some.
func hasTerm(text, term string, prefix bool) bool {
	return len(Occurrences(text, strings.ToLower(term), prefix)) > 0
}

// Occurrences gives where term, as it is written, stands in text, as half-open
// ranges of bytes: whole words, or with prefix what words only begin with. They
// do not overlap. Space at the term's ends does not count.
func Occurrences(text, term string, prefix bool) (list [][2]int) {
	if term = strings.TrimFunc(term, isSpace); term == "" {
		return nil
	}
	for at := 0; ; {
		i := strings.Index(text[at:], term)
		if i < 0 {
			return list
		}
		if i += at; wordBegins(text, i) && (prefix || wordEnds(text, i+len(term))) {
			at = i + len(term)
			list = append(list, [2]int{i, at})
			continue
		}
		_, size := utf8.DecodeRuneInString(text[i:])
		at = i + size
	}
}
