//go:build real

package apertium_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/connectors/translation"
	"github.com/sluicehub/sluice/connectors/translation/apertium"
	"github.com/sluicehub/sluice/connectors/translation/translationtest"
	"github.com/sluicehub/sluice/pim"
)

// TestReal translates Spanish into Catalan by a running Apertium server with the
// pair spa-cat. It needs APERTIUM_URL.
func TestReal(t *testing.T) {
	address := os.Getenv("APERTIUM_URL")
	if address == "" {
		t.Fatal("APERTIUM_URL is needed")
	}
	p := connect(t, apertium.Config{URL: address}, translation.Env{AllowPrivate: true})
	if err := p.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := translation.Request{From: "es-ES", To: "ca-ES"}
	want := []string{}
	for _, c := range [][2]string{
		{`La grapadora <x id="1"/> pesa <x id="2"/> y es <g id="3">muy roja</g>.`, `La grapadora <x id="1"/> pesa <x id="2"/> i és <g id="3">molt vermella</g>.`},
		{`La casa <g id="1">roja</g> y el <g id="2">coche <g id="3">azul</g></g> son grandes.`, `La casa <g id="1">vermella</g> i el <g id="2">cotxe <g id="3">blau</g></g> són grans.`},
		{`la casa de <g id="1">el</g> perro`, `la casa del <g id="1">gos</g>`},
		{`La casa de <g id="1">el</g> perro.`, `La casa del <g id="1">gos.</g>`},
		{`Ref. <x id="1"/>, peso neto: <x id="2"/> (aprox.)`, `Ref. <x id="1"/>, pes net: <x id="2"/> (aprox.)`},
		{`No es posible.<x id="1"/>Sí lo es.`, `No és possible.<x id="1"/>Sí que ho és.`},
		{` Tom &amp; el perro &lt;b&gt; 5 &gt; 3 «ñ» "a"` + "\n", ` Tom &amp; el gos &lt;b&gt; 5 &gt; 3 «ñ» "a"` + "\n"},
		{`El perro* y la *casa*`, `El gos* i la *casa*`},
		{`a_b ^c$ [d] {e} \f /g @h #j`, `a_b ^c$ [d] {e} \f /g @h #j`},
		{`€ 5 ½ ™ ® 😀 perro – 30 × 20 cm`, `€ 5 ½ ™ ® 😀 gos – 30 × 20 cm`},
		{`<x id="1"/> 12`, `<x id="1"/> 12`},
		{``, ``},
	} {
		r.Texts, want = append(r.Texts, c[0]), append(want, c[1])
	}
	a, err := p.Translate(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range a.Texts {
		if text != want[i] {
			t.Errorf("%q became %q, want %q", r.Texts[i], text, want[i])
		}
	}
	if a.Model != "apertium spa-cat" {
		t.Error(a.Model)
	}

	// The largest text that is sent comes back whole.
	r.Texts = []string{strings.Repeat("La casa roja es muy grande. ", 580) + `<x id="1"/>`}
	if a, err = p.Translate(t.Context(), r); err != nil || strings.Count(a.Texts[0], "vermella") != 580 || !strings.HasSuffix(a.Texts[0], `<x id="1"/>`) {
		t.Errorf("%d bytes became %d, %v", len(r.Texts[0]), len(a.Texts[0]), err)
	}
}

// TestRealTags puts a tag at each place of sentences of product texts: each comes
// back, and the words are those of the sentence without the tag but where a tag
// parts words that are translated together.
func TestRealTags(t *testing.T) {
	address := os.Getenv("APERTIUM_URL")
	if address == "" {
		t.Fatal("APERTIUM_URL is needed")
	}
	p := connect(t, apertium.Config{URL: address}, translation.Env{AllowPrivate: true})
	sentences := []string{
		"Camiseta de algodón orgánico para hombre, disponible en cinco colores.",
		"Jarra de acero inoxidable con filtro reutilizable y depósito de agua extraíble",
		"No lavar en la lavadora: se recomienda limpiarla a mano con agua fría del grifo",
		"Incluye cargador, cable y dos años de garantía (excepto la batería)",
		"Puedes usarlo en el jardín, en la playa o dármelo a mí para el coche",
	}
	tags, odd := 0, 0
	for _, s := range sentences {
		plain, err := p.Translate(t.Context(), translation.Request{From: "es", To: "ca", Texts: []string{s}})
		if err != nil {
			t.Fatal(err)
		}
		words := strings.Fields(s)
		for at := range words {
			for _, form := range []string{`<x id="1"/> %`, `<g id="1">%</g>`} {
				with := slices.Clone(words)
				with[at] = strings.ReplaceAll(form, "%", words[at])
				sent := strings.Join(with, " ")
				a, err := p.Translate(t.Context(), translation.Request{From: pim.Locale("es"), To: "ca", Texts: []string{sent}})
				if err != nil {
					t.Fatal(err)
				}
				tags++
				if !slices.Equal(translationtest.Tags(a.Texts[0]), translationtest.Tags(sent)) {
					t.Errorf("%q became %q", sent, a.Texts[0])
				}
				if got := strings.Join(strings.Fields(without(t, a.Texts[0])), " "); got != plain.Texts[0] {
					odd++
					t.Logf("%q became %q, and without tags %q", sent, a.Texts[0], plain.Texts[0])
				}
			}
		}
	}
	t.Logf("%d of %d sentences with a tag read otherwise than those without", odd, tags)
}

func without(t *testing.T, fragment string) string {
	t.Helper()
	pieces, err := translation.Pieces(fragment)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, p := range pieces {
		b.WriteString(p.Text)
	}
	return b.String()
}
