package translation_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/translation"
	"github.com/sluicehub/sluice/pim"
)

func TestPieces(t *testing.T) {
	got, err := translation.Pieces(`a &amp; <g id="2">b<x id='1'/></g><x id="33"></x>`)
	want := []translation.Piece{
		{Text: "a & "},
		{Mark: translation.Open, Name: "g", ID: "2"},
		{Text: "b"},
		{Mark: translation.Empty, Name: "x", ID: "1"},
		{Mark: translation.Close, Name: "g", ID: "2"},
		{Mark: translation.Empty, Name: "x", ID: "33"},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	for _, bad := range []string{
		"<", "a < b", "a & b", "&nbsp;", "&eacute;", "<b>x</b>", "</g>", `<g id="1">`, `<g id="1"></x>`, `<g id="1"><x id="2"></g></x>`,
		`<x/>`, `<x id="a"/>`, `<x id=1/>`, `<x id="1" class="y"/>`, `<xx id="1"/>`, `<x id="12345678"/>`, `<!-- -->`, "&#;x", "&",
	} {
		if p, err := translation.Pieces(bad); err == nil && translation.Fragment(p) != bad {
			t.Errorf("%s is read as %v", bad, p)
		}
	}
}

// FuzzPieces: what is read is written the same way, whatever it was.
func FuzzPieces(f *testing.F) {
	for _, seed := range []string{`a &amp; <g id="2">b<x id='1'/></g>`, "&#38;#38;", "</g>", `<g id="1"></g>`, "&#xD800;", "a<b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := translation.Pieces(s)
		if err != nil {
			return
		}
		written := translation.Fragment(p)
		again, err := translation.Pieces(written)
		if err != nil {
			t.Fatalf("%q was written as %q: %v", s, written, err)
		}
		if translation.Fragment(again) != written {
			t.Fatalf("%q was written as %q and read as %v", s, written, again)
		}
	})
}

func TestEscape(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		p, err := translation.Pieces(translation.Escape(text))
		if err != nil || text != "" && (len(p) != 1 || p[0].Text != text) {
			t.Fatalf("%q: %v %v", text, p, err)
		}
	})
}

func TestTranslatable(t *testing.T) {
	for s, want := range map[string]bool{"": false, `12 <x id="1"/> – &amp;`: false, "ü": true, `<g id="1">漢</g>`: true} {
		if translation.Translatable(s) != want {
			t.Errorf("%q: %v", s, !want)
		}
	}
}

// Batches are the texts in order, each batch within the limits, and none could
// have taken the next one's first text.
func TestBatches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		texts := rapid.SliceOf(rapid.StringMatching("[aü]{0,12}")).Draw(t, "texts")
		l := translation.Limits{Texts: rapid.IntRange(0, 4).Draw(t, "n"), Bytes: rapid.IntRange(0, 15).Draw(t, "bytes"), Characters: rapid.IntRange(0, 10).Draw(t, "characters")}
		within := func(texts []string) bool {
			all := strings.Join(texts, "")
			return len(texts) <= max(1, l.Texts) && (l.Bytes == 0 || len(all) <= l.Bytes) && (l.Characters == 0 || len([]rune(all)) <= l.Characters)
		}
		var all []string
		batches := translation.Batches(texts, l)
		for i, b := range batches {
			if b.First != len(all) || b.TooLarge == within(b.Texts) || b.TooLarge && len(b.Texts) != 1 {
				t.Fatalf("%+v of %q, %+v", b, texts, l)
			}
			if i > 0 && within(append(batches[i-1].Texts, b.Texts[0])) {
				t.Fatalf("%+v had room", batches[i-1])
			}
			all = append(all, b.Texts...)
		}
		if diff := cmp.Diff(texts, all); len(texts) > 0 && diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestCheck(t *testing.T) {
	l := translation.Limits{Texts: 2, Bytes: 6, Characters: 5}
	for _, c := range []struct {
		texts   []string
		verdict connectors.Verdict
	}{
		{[]string{"abc", "de"}, ""},
		{nil, ""},
		{[]string{"a", "b", "c"}, connectors.Permanent},
		{[]string{"äää", "ä"}, connectors.Permanent},
		{[]string{"abc", "def"}, connectors.Permanent},
		{[]string{"a<b"}, connectors.Validation},
		{[]string{"\xff"}, connectors.Validation},
	} {
		err := translation.Request{Texts: c.texts}.Check(l)
		if c.verdict == "" {
			if err != nil {
				t.Errorf("%q: %v", c.texts, err)
			}
			continue
		}
		if e, ok := errors.AsType[*connectors.Error](err); !ok || e.Verdict != c.verdict || errors.Is(err, translation.ErrTooLarge) != (c.verdict == connectors.Permanent) {
			t.Errorf("%q: %v", c.texts, err)
		}
	}
}

func TestPrice(t *testing.T) {
	read := func(amount string, currency pim.Currency) (translation.Price, error) {
		var check connectors.ConfigCheck
		p := translation.ReadPrice(&check, "price", amount, currency)
		return p, check.Err()
	}
	for _, c := range []struct {
		amount   string
		currency pim.Currency
		units    int
		want     string
	}{{"20.00", "EUR", 1234, "0.02468"}, {"0.15", "USD", 3, "0.00000045"}, {"999999999", "EUR", 2_000_000, "1999999998"}, {"5", "EUR", 0, "0"}} {
		p, err := read(c.amount, c.currency)
		if cost := p.Of(c.units); err != nil || cost == nil || cost.Amount.String() != c.want || cost.Currency != c.currency {
			t.Errorf("%+v: %v %v", c, cost, err)
		}
	}
	if p, err := read("", ""); err != nil || p.Of(5) != nil {
		t.Error("no price has a cost")
	}
	for amount, currency := range map[string]pim.Currency{"a": "EUR", "-1": "EUR", "1": "", "2": "euro", "1234567890": "EUR"} {
		if _, err := read(amount, currency); err == nil {
			t.Errorf("%s %s is a price", amount, currency)
		}
	}
	a, _ := read("1", "EUR")
	b, _ := read("1", "USD")
	if sum, err := a.Of(1).Plus(a.Of(2)); err != nil || sum.Amount.String() != "0.000003" {
		t.Error(sum, err)
	}
	if _, err := a.Of(1).Plus(b.Of(1)); err == nil {
		t.Error("EUR and USD were added")
	}
}

func TestLowered(t *testing.T) {
	got := translation.Limits{Texts: 50, Bytes: 100, Concurrency: 4, Timeout: 1}.Lowered(translation.Limits{Texts: 60, Bytes: 50, Characters: 5, Timeout: 2})
	if got != (translation.Limits{Texts: 50, Bytes: 50, Characters: 5, Concurrency: 4, Timeout: 2}) {
		t.Errorf("%+v", got)
	}
}

func TestRegistry(t *testing.T) {
	r := translation.NewRegistry(&translation.Kind{Name: "b"}, &translation.Kind{Name: "a"})
	if _, err := r.Kind("c"); err == nil || !strings.Contains(err.Error(), "a, b") {
		t.Error(err)
	}
	if k, err := r.Kind("b"); err != nil || k.Name != "b" || r.Kinds()[0].Name != "a" {
		t.Error(k, err)
	}
}
