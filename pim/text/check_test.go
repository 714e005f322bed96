package text

import (
	"strings"
	"testing"

	"github.com/sluicehub/sluice/pim"
)

func codes(faults []Fault) string {
	var list []string
	for _, f := range faults {
		code := f.Code
		if f.Severity == pim.SeverityWarning {
			code += "?"
		}
		list = append(list, code)
	}
	return strings.Join(list, " ")
}

func segmentOf(t *testing.T, source string, html bool) Segment {
	t.Helper()
	d, err := Cut(source, html, NewProtect([]string{"Bosch"}))
	if err != nil || len(d.Segments) != 1 {
		t.Fatalf("Cut(%q) has %d segments, %v", source, len(d.Segments), err)
	}
	return d.Segments[0]
}

func TestCheck(t *testing.T) {
	const de = "Der <b>neue</b> Akku von Bosch hält 5 h und hat 3 Fächer für 1.500 Teile & mehr"
	rules := Rules{
		From: "de-DE", To: "en-GB", Forbidden: []string{"cheap", "batterypack"},
		Fixed: []FixedTerm{{From: "Akku", To: "battery"}, {From: "Fach", To: "Tray", Prefix: true}, {From: "Fächer", To: "compartment", Prefix: true}},
	}
	s := segmentOf(t, de, true)
	if s.Source != `Der <g id="1">neue</g> Akku von <x id="2"/> hält <x id="3"/> und hat 3 Fächer für 1.500 Teile &amp; mehr` {
		t.Fatal(s.Source)
	}
	for _, c := range []struct{ in, want string }{
		{`The <g id="1">new</g> battery by <x id="2"/> lasts <x id="3"/> and has 3 compartments for 1,500 parts &amp; more`, ""},
		{`By <x id=2>: the <G ID='1' >new</G> battery lasts <x id="3"></x>, with 3 compartments for 1500 parts & more`, ""},
		{``, "text.empty"},
		{" \u200b", "text.empty"},
		{"a\xff", "text.utf8"},
		{`The <g id="1">new</g> battery by <x id="2"/> lasts and has 3 compartments for 1500 parts`, "tag.missing"},
		{`The <g id="1">new</g> battery by <x id="2"/><x id="2"/> lasts <x id="3"/>`, "tag.twice"},
		{`The <g id="1">new</g> battery by <x id="2"/> lasts <x id="3"/><x id="4"/>`, "tag.unknown"},
		{`The <x id="1"/> battery by <x id="2"/> lasts <x id="3"/>`, "tag.unknown"},
		{`The <g id="1">new battery by <x id="2"/> lasts <x id="3"/>`, "tag.nesting"},
		{`The new</g> <g id="1">battery by <x id="2"/> lasts <x id="3"/>`, "tag.nesting"},
		{`The <b>new</b> battery`, "tag.broken"},
		{`The <g id="1"></g> new battery by <x id="2"/> lasts <x id="3"/> and has 3 compartments for 1500 parts`, "tag.empty"},
		{`The <g id="1">new</g> battery by <x id="2"/> lasts7<x id="3"/>and has 3 compartments for 500 parts`, "tag.glued number.missing number.added"},
		{`The <g id="1">new</g> battery <x id="2"/><x id="3"/> has 3 compartments for 1500 parts and more`, "tag.glued tag.glued"},
		{`The <g id="1">new</g> battery by <x id="2"/> lasts <x id="3"/> and has compartments for 1500 parts`, "number.missing"},
		{`The <g id="1">new</g> battery by <x id="2"/> lasts <x id="3"/> and has 3 compartments for 1500 parts in 2 bags`, "number.added"},
		{`The <g id="1">new</g> battery by <x id="2"/> lasts <x id="3"/> and has 3 compartments for 1500 parts &amp;amp; more`, "text.escape"},
		{`The <g id="1">new</g> battery by <x id="2"/> lasts <x id="3"/> and has 3 compartments for 1500 parts &lt;b&gt;`, "text.markup"},
		{`The <g id="1">new</g> battery by <x id="2"/> lasts <x id="3"/> and has 3 compartments for 1500 parts {more}`, "text.markup"},
		{`The <g id="1">new</g> battery by <x id="2"/> lasts <x id="3"/> and has 3 compartments for 1500 *Teile`, "text.markup"},
		{`The <g id="1">new</g> battery by <x id="2"/> lasts <x id="3"/> and has 3 compartments for 1500 p` + "\x01", "text.control"},
		{`The <g id="1">new</g> battery by <x id="2"/> lasts <x id="3"/> and has 3 compartments for 1500 p` + "\uFFFD", "text.utf8"},
		{`<g id="1">o</g> battery <x id="2"/> <x id="3"/> 3 1500`, "text.length term.missing"},
		{`The <g id="1">new</g> battery by <x id="2"/> lasts <x id="3"/> and has 3 compartments for 1500 parts` + strings.Repeat(" and so on", 20), "text.length"},
		{s.Source, "text.unchanged? term.missing term.missing"},
		{`The <g id="1">new</g> accumulator by <x id="2"/> lasts <x id="3"/> and has 3 cheap compartments for 1500 parts`, "term.forbidden term.missing"},
	} {
		if got := codes(s.Check(c.in, rules)); got != c.want {
			t.Errorf("Check(%q) = %q, want %q", c.in, got, c.want)
		}
	}
	if got := codes(s.Check(s.Source, Rules{From: "de-DE", To: "de_AT"})); got != "" {
		t.Errorf("a text in its own language is refused: %s", got)
	}
	if got := codes(segmentOf(t, "Kurz und gut", false).Check("Short\nand good", Rules{})); got != "text.linebreak" {
		t.Errorf("a line break: %q", got)
	}
}

func TestCheckInOtherScripts(t *testing.T) {
	for _, c := range []struct{ source, translated string }{
		{"The backpack is waterproof and has 3 pockets for trips of 5 kg and more", `这款背包防水，有3个口袋，可装<x id="1"/>以上`},
		{"这款背包防水耐用，共有3个口袋，重量为5 kg，适合旅行", `This backpack is waterproof and durable, it has 3 pockets, weighs <x id="1"/> and is good for trips`},
		{"The bag has 3 pockets and holds 5 kg of goods", `للحقيبة ٣ جيوب وتتسع لـ<x id="1"/> من البضائع`},
		{"It weighs 5 kg and is good", `무게는 <x id="1"/>이고 좋습니다`},
	} {
		if got := codes(segmentOf(t, c.source, false).Check(c.translated, Rules{From: "en", To: "xx"})); got != "" {
			t.Errorf("Check(%q) = %q", c.translated, got)
		}
	}
}

func TestMinusSigns(t *testing.T) {
	for _, c := range []struct {
		before, after string
		fine          bool
	}{
		{"At -5 degrees", "Bei -5 Grad", true},
		{"At -5 degrees", "Bei −5 Grad", true},
		{"At -5 degrees", "Bei minus 5 Grad", true},
		{"At -5 degrees", "零下5度", true},
		{"At -5 degrees", "Bei 5 Grad", false},
		{"-5 to (-3) degrees", "-5 bis 3 Grad", false},
		{"5 -10 pieces", "5 bis 10 Stück", true},
		{"3-5 pieces, Model A-5", "3 bis 5 Stück, Modell A5", true},
		{"- 5 pieces", "5 Stück", true},
		{"from 5% -10%", "von 5 bis 10 %", true},
	} {
		if got := checkSigns(c.before, c.after) == nil; got != c.fine {
			t.Errorf("%q, %q: %v", c.before, c.after, got)
		}
	}
}

func TestNumbersAreTheSame(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"1.5 and 3", "3 und 1,5", true},
		{"1,000", "1 000", true},
		{"1,000", "1\u202f000", true},
		{"1,234.5", "1.234,5", true},
		{"1234567", "1.234.567", true},
		{"1.2.3", "1.2.3", true},
		{"½", "0,5", true},
		{"3", "٣", true},
		{"5", "5.0", true},
		{"1.5", "15", false},
		{"1.5", "1,6", false},
		{"2", "2 2", false},
		{"2 3", "2", false},
		{"12", "1 2", false},
		{"3.5", "3. 5", false},
		{"3.500", "3 und 500", false},
		{"3D", "en 3D", true},
	} {
		if got := len(checkNumbers(c.a, c.b)) == 0; got != c.same {
			t.Errorf("checkNumbers(%q, %q): same is %v", c.a, c.b, got)
		}
		if got := len(checkNumbers(c.b, c.a)) == 0; got != c.same {
			t.Errorf("checkNumbers(%q, %q): same is %v", c.b, c.a, got)
		}
	}
}

func TestTidy(t *testing.T) {
	s := segmentOf(t, "Der <b>neue</b> Akku von Bosch & Sohn's hält 5 h lang", true)
	for in, want := range map[string]string{
		` The<g id="1">new</g>battery from<x id='2'></x>&amp; son&#39;s lasts<X ID=3>long `: `The <g id="1">new</g> battery from <x id="2"/>&amp; son's lasts <x id="3"/> long`,
		`<x id="2"/>'s <g id="1">new</g> battery, <x id="3"/>.`:                             `<x id="2"/>'s <g id="1">new</g> battery, <x id="3"/>.`,
		`broken <x id="7"/>`: `broken <x id="7"/>`,
		`<x id="2"/><x id="3"/>, <g id="1">new</g> battery`: `<x id="2"/> <x id="3"/>, <g id="1">new</g> battery`,
	} {
		if got := s.Tidy(in); got != want {
			t.Errorf("Tidy(%q) =\n %q, want\n %q", in, got, want)
		}
	}
}

func TestLimit(t *testing.T) {
	for _, c := range []struct {
		limit Limit
		text  string
		want  bool
	}{
		{Limit{}, "anything", true},
		{Limit{Characters: 3}, "äöü", true},
		{Limit{Characters: 2}, "äöü", false},
		{Limit{Bytes: 5}, "äöü", false},
		{Limit{Bytes: 6}, "äöü", true},
		{Limit{Units: 2}, "😀", true},
		{Limit{Units: 1}, "😀", false},
		{Limit{Characters: 1, Units: 1}, "😀", false},
	} {
		if got := c.limit.Fits(c.text); got != c.want {
			t.Errorf("%+v.Fits(%q) = %v", c.limit, c.text, got)
		}
	}
}
