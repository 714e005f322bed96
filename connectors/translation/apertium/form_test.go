package apertium

import (
	"testing"

	"github.com/sluicehub/sluice/connectors/translation"
)

// What a real server answered (spa|cat, APY 0.12 of Debian 12), and what is made of it.
func TestIncoming(t *testing.T) {
	for _, c := range []struct{ sent, answered, want string }{
		{`la casa de <g id="1">el</g> perro`, `la casa del <g id="1">gos.</g> `, `la casa del <g id="1">gos</g> `},
		{`la casa de <g id="1">el</g> perro.`, `la casa del <g id="1">gos..</g> `, `la casa del <g id="1">gos.</g> `},
		{`Compra de <g id="1">el</g> perro grande`, `Compra del <g id="1">gos</g>  gran`, `Compra del <g id="1">gos</g> gran`},
		{`<g id="1">Dar</g> <g id="2">me</g> <g id="3">lo</g>`, `<g id="1">Donar</g> <g id="2">m'ho.</g> <g id="3"></g>`, `<g id="1">Donar</g> <g id="2">m'ho</g> <g id="3"/>`},
		{`Jarra de <g id="1">acero</g> fino`, `Gerra d'acer <g id="1"></g> fi`, `Gerra <g id="1">d'acer</g> fi`},
		{`voy a <g id="1">ir</g>`, `aniré <g id="1"></g>`, `<g id="1">aniré</g>`},
		{`voy a <g id="1">ir</g><x id="2"/>`, `aniré <g id="1"></g><x id="2"/>`, `<g id="1">aniré</g> <x id="2"/>`},
		{`No es posible.<x id="1"/>Sí lo es.`, `No és possible.<x id="1"/>Sí que ho és.`, `No és possible.<x id="1"/>Sí que ho és.`},
		{`Tom &amp; "a" <x id="1"></x>`, `Tom &amp; "a" <x id="1"></x>`, `Tom &amp; "a" <x id="1"/>`},
		{`a  b...`, `a  b...`, `a  b...`},
		{`una cosa`, `una #cosa @cosa # 1`, `una cosa cosa # 1`},
		{`una #cosa`, `una #cosa`, `una #cosa`},
		{`una cosa`, `una <b>cosa</b>`, `una <b>cosa</b>`},
		{`una cosa`, `una caf&eacute;&nbsp;`, "una café\u00a0"},
	} {
		if got := incoming(c.sent, c.answered); got != c.want {
			t.Errorf("%s: %s, want %s", c.sent, got, c.want)
		}
	}
}

func TestOutgoing(t *testing.T) {
	got, err := outgoing("a &quot;*b&#42; <x id='1'></x>\x00\x1f\n&lt;é")
	if want := `a "` + star + `b` + star + ` <x id="1"/>` + "\n&lt;é"; err != nil || got != want {
		t.Errorf("%q %v, want %q", got, err, want)
	}
}

func FuzzIncoming(f *testing.F) {
	f.Add(`a <g id="1">b</g>`, `a <g id="1">b.</g> `)
	f.Add("a", "<")
	f.Fuzz(func(t *testing.T, sent, answer string) {
		got := incoming(sent, answer)
		if pieces, err := translation.Pieces(got); err == nil && translation.Characters(got) > 0 && len(pieces) == 0 {
			t.Errorf("%q", got)
		}
	})
}
