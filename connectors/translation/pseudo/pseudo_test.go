package pseudo_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/sluicehub/sluice/connectors/translation"
	"github.com/sluicehub/sluice/connectors/translation/pseudo"
)

func provider(t *testing.T) translation.Provider {
	t.Helper()
	p, err := pseudo.Kind.New(json.RawMessage(`{}`), translation.Env{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTranslate(t *testing.T) {
	r := translation.Request{From: "en", To: "de", Terms: []translation.Term{{From: "steel", To: "Stahl"}}, Texts: []string{
		`Market`, `Of <g id="1">steel</g>, <x id="2"/> &amp; steelworks`, ``, `12 × <x id="1"/>`,
	}}
	want := []string{`[Ḿåŕķéţ ~]`, `[Öƒ <g id="1">Stahl</g>, <x id="2"/> &amp; šţééļŵöŕķš ~~~~~]`, ``, `12 × <x id="1"/>`}
	a, err := provider(t).Translate(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		if a.Texts[i] != want[i] {
			t.Errorf("%s: %s, want %s", r.Texts[i], a.Texts[i], want[i])
		}
	}
	if a.Characters != 34 || a.Cost != nil {
		t.Errorf("%+v", a)
	}
}

// Every tag comes back in its place, and the text is longer.
func TestTranslateKeepsTags(t *testing.T) {
	p := provider(t)
	rapid.Check(t, func(t *rapid.T) {
		text := translation.Escape(rapid.String().Draw(t, "before")) + `<x id="1"/>` + translation.Escape(rapid.String().Draw(t, "after"))
		if !utf8.ValidString(text) {
			return
		}
		a, err := p.Translate(context.Background(), translation.Request{Texts: []string{text}})
		if err != nil {
			t.Fatal(err)
		}
		if strings.Count(a.Texts[0], `<x id="1"/>`) != 1 || len(a.Texts[0]) < len(text) {
			t.Fatalf("%q became %q", text, a.Texts[0])
		}
	})
}

func TestWrite(t *testing.T) {
	w, ok := provider(t).(translation.Writer)
	if !ok {
		t.Fatal("no Writer")
	}
	a, err := w.Write(t.Context(), translation.Prompt{Facts: `{"name":"Kettle","volume":"1.5 l","a":1}`, Wanted: []translation.Wanted{{Name: "title", Most: 10}, {Name: "text"}}})
	if err != nil || len(a.Texts) != 2 || a.Texts[0] != "[1, Kettl]" || a.Texts[1] != "[Kettle, 1.5 l]" {
		t.Errorf("%+v %v", a, err)
	}
}

func TestRefusals(t *testing.T) {
	p := provider(t)
	if _, err := p.Translate(t.Context(), translation.Request{Texts: make([]string, 101)}); !errors.Is(err, translation.ErrTooLarge) {
		t.Error(err)
	}
	if _, err := p.Translate(t.Context(), translation.Request{Texts: []string{"a < b"}}); err == nil {
		t.Error("what is no fragment is taken")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Probe(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
