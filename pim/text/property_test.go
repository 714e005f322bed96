package text

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/sluicehub/sluice/pim"
)

var houseBrands = NewProtect([]string{"Bosch", "Gore-Tex", "Sony WH", "3M", "é", "&", "<b>", ".NET", "Bosch Professional", "戈尔"})

// sanitised gives HTML as the store holds it; false where the store refuses it.
func sanitised(markup string) (string, bool) {
	s := &pim.Schema{
		Attributes: map[string]*pim.Attribute{"text": {Code: "text", Type: pim.TypeRichText}},
		Families:   map[string]*pim.Family{"all": {Code: "all", Attributes: []pim.FamilyAttribute{{Code: "text"}}}},
	}
	clean, _, err := s.CheckValues("all", pim.Values{"text": markup}, "")
	if err != nil {
		return "", false
	}
	out, _ := clean["text"].(string)
	return out, true
}

type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// checkCut holds what must be true of each text: translations that are their
// sources give the text back, byte for byte, and are without fault; so does
// writing them anew, token by token, but for the space that HTML does not count
// and, unless the text is canonical, for the spelling of escapes. It returns how
// many segments there are.
func checkCut(t failer, source string, html, canonical bool) int {
	t.Helper()
	d, err := Cut(source, html, houseBrands)
	if err != nil {
		if utf8.ValidString(source) && utf8.RuneCountInString(source) <= MaxLength {
			t.Fatalf("Cut(%q): %v", source, err)
		}
		return 0
	}
	same := make([]string, len(d.Segments))
	var anew strings.Builder
	at := 0
	for i, s := range d.Segments {
		same[i] = s.Source
		if faults := s.Check(s.Source, Rules{}); len(faults) > 0 {
			t.Fatalf("%q: segment %q has %v", source, s.Source, faults)
		}
		tokens, bad := s.parse(s.HTML())
		if bad != nil {
			t.Fatalf("%q: segment for HTML %q: %v", source, s.HTML(), bad)
		}
		if tidy := s.Tidy(s.HTML()); tidy != s.Source {
			t.Fatalf("%q: segment %q is tidied to %q", source, s.Source, tidy)
		}
		p := d.places[i]
		if p.start < at || p.end <= p.start || p.end > len(source) {
			t.Fatalf("%q: segment %d is at %v, the one before ends at %d", source, i, p, at)
		}
		anew.WriteString(source[at:p.start])
		s.write(&anew, tokens)
		at = p.end
		if visible := s.visible(tokens); !strings.ContainsFunc(visible, unicode.IsLetter) {
			t.Fatalf("%q: segment %q has nothing to translate", source, s.Source)
		}
	}
	anew.WriteString(source[at:])
	got, err := d.Assemble(same)
	if err != nil || got != source {
		t.Fatalf("Assemble of %q itself: %q, %v", source, got, err)
	}
	// A carriage return is one space to a reader of HTML, however it is spelt.
	space := func(s string) string { return foldSpace(strings.ReplaceAll(s, "&#13;", "\r")) }
	switch {
	case !html && anew.String() != source:
		t.Fatalf("%q written anew: %q", source, anew.String())
	case html && canonical && space(anew.String()) != space(source):
		t.Fatalf("HTML %q written anew: %q", source, anew.String())
	case html && foldSpace(Visible(anew.String(), true)) != foldSpace(Visible(source, true)):
		t.Fatalf("HTML %q written anew: %q", source, anew.String())
	}
	return len(d.Segments)
}

var textPieces = rapid.OneOf(
	rapid.SampledFrom([]string{
		"Der Akku", " ", " ", ". ", "! ", "? ", "。", "Bosch", "bosch", "GORE-TEX®", "5 cm", "1,5 l", "3/4\"", "6' 2\"", "\"", "'", "10 x 20", "z. B. ", "ca. ", "Neu", "kg", "®",
		"{name}", "{{ a }}", "%s", "%1$d", "${x}", "[[y]]", "{n, plural, other {#}}", "{", "}", "%", "$", "€ 5", "-", "–", "WH-1000XM4", "4006381333931", "1", "1.500,5", "1 000", "½",
		"https://a.example/b?c=d&e=f", "a@b.example", "😀", "👍🏽", "🇩🇪", "1\uFE0F\u20E3", "\n", "\r\n", "\t", "\u2028", "\x01", "\u00A0", "\u200B", "\uFFFE", "&amp;", "&", "<", ">", "<b>", "</x>", "<x id=\"1\"/>",
		"防水面料", "重500克", "مقاوم للماء", "؟ ", "Éclairage", "à 3 W", "été", "cafe\u0301", "• ", "1) ",
	}),
	rapid.StringN(0, 4, -1))

func TestPlainTextsComeBack(t *testing.T) {
	segments := 0
	rapid.Check(t, func(t *rapid.T) {
		segments += checkCut(t, strings.Join(rapid.SliceOfN(textPieces, 4, 24).Draw(t, "text"), ""), false, true)
	})
	if segments < 30 {
		t.Errorf("only %d segments: the property was hardly tried", segments)
	}
}

var markupPieces = rapid.OneOf(textPieces, rapid.SampledFrom([]string{
	"<p>", "</p>", "<b>", "</b>", "<i>", "</i>", "<a href=\"http://a.example/?a=1&amp;b=2\">", "</a>", "<br>", "<br/>", "<ul><li>", "</li><li>", "</li></ul>", "<span>", "</span>", "<strong></strong>",
	"<pre>", "</pre>", "<code>", "</code>", "<img src=\"x.png\" alt=\"Bild\">", "<!-- x -->", "<h2>", "</h2>", "<table><tr><td>", "</td></tr></table>", "&nbsp;", "&eacute;", "&lt;b&gt;", "&quot;", "&#39;", "&copy2", "&amp;amp;", "&bne;",
	"<script>", "</script>", "<textarea>", "</textarea>", "<span translate=\"no\">", "<div class=\"notranslate\">", "</div>", "<a", "<!DOCTYPE x>", "<custom-tag>", "<svg>", "</svg>", "<b/>", "&#13;", "&fjlig;",
}))

func TestMarkupComesBack(t *testing.T) {
	segments, clean := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		markup := strings.Join(rapid.SliceOfN(markupPieces, 4, 24).Draw(t, "markup"), "")
		segments += checkCut(t, markup, true, false)
		if s, ok := sanitised(markup); ok {
			clean += checkCut(t, s, true, true)
		}
	})
	if segments < 30 || clean < 30 {
		t.Errorf("only %d and %d segments: the property was hardly tried", segments, clean)
	}
}

// A translator who changes the words but not the placeholders changes nothing
// of a text's structure, and cannot, whatever it writes.
func TestTranslationsLeaveTheStructure(t *testing.T) {
	tags := func(s string) string {
		var b strings.Builder
		for _, n := range nodes(s) {
			if n.name != "" {
				b.WriteString(s[n.start:n.end])
			}
		}
		return b.String()
	}
	tried := 0
	rapid.Check(t, func(t *rapid.T) {
		markup, ok := sanitised(strings.Join(rapid.SliceOfN(markupPieces, 4, 24).Draw(t, "markup"), ""))
		if !ok {
			return
		}
		d, err := Cut(markup, true, houseBrands)
		if err != nil {
			t.Fatalf("%v", err)
		}
		answers := make([]string, len(d.Segments))
		for i, s := range d.Segments {
			answers[i] = rapid.SampledFrom([]string{"&lt;script&gt;", "Wörter ", "&amp;#60;b&amp;#62;", "< 5 & ", "]]&gt;"}).Draw(t, "words") + s.Source
		}
		got, err := d.Assemble(answers)
		if err != nil {
			t.Fatalf("Assemble of %q: %v", answers, err)
		}
		tried += len(answers)
		if tags(got) != tags(markup) {
			t.Fatalf("%q became %q", markup, got)
		}
	})
	if tried < 30 {
		t.Errorf("only %d segments: the property was hardly tried", tried)
	}
}

func FuzzCut(f *testing.F) {
	f.Add("<p>Der <b>Akku</b> hält ca. 5 h. Neu &amp; gut!</p>", true)
	f.Add("Breite 5 cm. {name}\n%s", false)
	f.Add("<a href=x>y</a><!--z--><pre>a\nb</pre>&copy2&#13;", true)
	f.Add("<A aaa=0>0</A><!--0--><p\x00>0 B</pre>&copy0&#01A", true)
	f.Add("&bne;GORE-TEX®Der Akku", true)
	f.Fuzz(func(t *testing.T, source string, html bool) {
		checkCut(t, source, html, false)
		if html {
			if s, ok := sanitised(source); ok {
				checkCut(t, s, true, true)
			}
		}
	})
}

// Whatever a translator answers, no call panics, what Check takes Assemble
// takes, and what Tidy makes is taken again.
func FuzzTranslation(f *testing.F) {
	f.Add("<p>Der <b>Akku</b> hält 5 h und 3 Jahre.</p>", `The <g id="1">battery</g> lasts <x id="2"/> and 3 years.`, true)
	f.Add("Der {name} hat %s", `<X id=1> has <x id='2' />`, false)
	f.Add("Der {name} hat %s", "1\xd0\x94\xd0", false)
	f.Add("A", "&#10;b&#32", false)
	f.Add("Der {name} hat 1", "1\xff5", false)
	f.Fuzz(func(t *testing.T, source, answer string, html bool) {
		d, err := Cut(source, html, houseBrands)
		if err != nil || len(d.Segments) == 0 {
			return
		}
		answers := make([]string, len(d.Segments))
		for i, s := range d.Segments {
			answers[i] = s.Source
		}
		s := d.Segments[0]
		faults := s.Check(answer, Rules{From: "de", To: "en-GB", Forbidden: []string{"x"}, Fixed: []FixedTerm{{From: "a", To: "b", Prefix: true}}})
		answers[0] = answer
		if _, err := d.Assemble(answers); err != nil && len(faults) == 0 {
			t.Fatalf("%q: %q has no fault and %v", source, answer, err)
		}
		if tidy := s.Tidy(answer); s.Tidy(tidy) != tidy && utf8.ValidString(answer) {
			t.Fatalf("%q is tidied to %q and that to %q", answer, tidy, s.Tidy(tidy))
		}
		if out, ok := (Remembered{Source: s.Source, Target: answer, From: "de", To: "en"}).Adapt(source); ok && out == "" && answer != "" {
			t.Fatalf("%q adapted to nothing", answer)
		}
		(Facts{Texts: []string{source}, Known: houseBrands, Locale: "de", Brands: []string{"Bosch"}}).Check(answer, html)
	})
}

// Long texts that are nothing but the beginnings of something come back whole,
// and with them what has to be looked for far away.
func TestHostileTextsComeBack(t *testing.T) {
	for _, piece := range []string{
		"<b>", "</i><b>", "<b></b>", "<code>", "<b>A. ", "{", "{a,select,", "{{", "1 ", "111 ", "1-", "1x", "1", "\"1\" ", "a@", "http://", "www.)))", "a-", "&", "&amp", "&#", ". ", ".(", "®", "a®", "😀\u200D", "\u0301", "(((",
		"<", "<a ", "<!--", "5 cm ", "Bosch ", "[[", "$", "* ", "戈", "<pre>\n", "</b>", "<span translate=no>", "1.", "1,000,", "٣",
	} {
		source := strings.Repeat(piece, 8000/utf8.RuneCountInString(piece))
		html := strings.ContainsAny(piece, "<&")
		checkCut(t, source, html, false)
		if faults := (Facts{Texts: []string{source}, Known: houseBrands}).Check(source, html); len(faults) > maxFaults {
			t.Errorf("%q: %d faults", piece, len(faults))
		}
	}
}

// shared opens a file of the shared test data, or skips the test: the data is
// not the project's. Where it must be there, SLUICE_REQUIRE_SHARED=1 says so.
func shared(t *testing.T, path ...string) []byte {
	t.Helper()
	dir := os.Getenv("SLUICE_SHARED")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared")
	}
	content, err := os.ReadFile(filepath.Join(append([]string{dir, "data"}, path...)...))
	switch {
	case err == nil:
		return content
	case os.Getenv("SLUICE_REQUIRE_SHARED") == "1":
		t.Fatalf("the shared test data is required: %v", err)
	}
	t.Skipf("the shared test data is not there (SLUICE_SHARED): %v", err)
	return nil
}

func TestNaughtyStrings(t *testing.T) {
	var list []string
	if err := json.Unmarshal(shared(t, "naughty-strings", "blns.json"), &list); err != nil {
		t.Fatal(err)
	}
	segments := 0
	for _, s := range list {
		for _, around := range []string{s, "Der Akku " + s + " ist neu. " + s, "<p>" + s + "</p>"} {
			segments += checkCut(t, around, false, true)
			segments += checkCut(t, around, true, false)
			if clean, ok := sanitised(around); ok {
				segments += checkCut(t, clean, true, true)
			}
		}
	}
	if len(list) < 400 || segments < len(list) {
		t.Errorf("%d strings made %d segments", len(list), segments)
	}
}
