package libretranslate

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/sluicehub/sluice/connectors/translation"
)

func TestForm(t *testing.T) {
	for _, c := range []struct{ sent, outgoing, answered, incoming string }{
		{
			`The <g id="1">red</g> kettle <x id="2"/>, <x id="3"/>.`, `The <g id="1">red</g> kettle <x id="2"></x>, <x id="3"></x>.`,
			`Der<g id="1">rote</g>Kessel<x id="2"></x><x id="3"></x>. .`, `Der <g id="1">rote</g> Kessel <x id="2"/>, <x id="3"/>.`,
		},
		{
			"a &amp; b &lt;i&gt;\nc", `a &amp; b <x id="9000001"></x>i&gt;<x id="9000002"></x>c`,
			`A & B<x id="9000001"></x>I><x id="9000002"></x>C`, "A &amp; B &lt;I&gt;\nC",
		},
		// The tags are in another order: nothing can be said of the white space.
		{`a <x id="1"/> b <x id="2"/>`, `a <x id="1"></x> b <x id="2"></x>`, `<x id="2"></x>b <x id="1"></x> a`, `<x id="2"/>b <x id="1"/> a`},
		{`a`, `a`, `a <b>`, `a <b>`},
		{`a`, `a`, `&quot;a&quot; &amp; b`, `"a" &amp; b`},
	} {
		got, err := outgoing(c.sent)
		if err != nil || got != c.outgoing {
			t.Errorf("%s: %s %v, want %s", c.sent, got, err, c.outgoing)
		}
		if got := incoming(c.sent, c.answered); got != c.incoming {
			t.Errorf("%s: %s, want %s", c.answered, got, c.incoming)
		}
	}
}

// What comes back as it was sent is the text.
func TestFormRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[a-z <>&\n"'é]{1,20}`).Draw(t, "text")
		sent := translation.Escape(text) + `<x id="1"/>` + translation.Escape(text)
		out, err := outgoing(sent)
		if err != nil {
			t.Fatal(err)
		}
		if got := incoming(sent, out); got != sent {
			t.Fatalf("%q was sent as %q and read as %q", sent, out, got)
		}
	})
}

func FuzzIncoming(f *testing.F) {
	f.Add(`a <g id="1">b</g>`, `A<g id="1">B</g>`)
	f.Add("a\n&lt;", "<x id='9000002'>")
	f.Fuzz(func(t *testing.T, sent, answer string) {
		got := incoming(sent, answer)
		if _, err := translation.Pieces(sent); err != nil {
			return
		}
		if pieces, err := translation.Pieces(got); err == nil {
			for _, p := range pieces {
				if shields[p.ID] != "" && p.Mark == translation.Empty {
					t.Errorf("%q, %q: %q", sent, answer, got)
				}
			}
		}
	})
}
