package service_test

import (
	"context"
	"errors"
	"testing"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/translation"
	"github.com/sluicehub/sluice/connectors/translation/service"
)

func TestFromHTML(t *testing.T) {
	for answer, want := range map[string]string{
		"": "", "a": "a", "R&D & 5 < 6 > 4": "R&amp;D &amp; 5 &lt; 6 &gt; 4", "caf&eacute;&nbsp;&#39;x&#39;": "café\u00a0'x'",
		`<html><head></head><body>a <X ID='1' class="y"/></body></html>`: `a <x id="1"/>`,
		`<x id=1></x><g id="2">b</g >`:                                   `<x id="1"></x><g id="2">b</g>`,
		"<b>a</b><!-- c --><i":                                           "<b>a</b><!-- c --><i",
		`<x id='"/>`:                                                     `<x id='"/>`,
	} {
		if got := service.FromHTML(answer); got != want {
			t.Errorf("%s: %s, want %s", answer, got, want)
		}
	}
}

// FuzzFromHTML: a fragment is read as itself.
func FuzzFromHTML(f *testing.F) {
	f.Add(`a &amp; <g id="2">b<x id="1"/></g>`)
	f.Add("<x id='1'>")
	f.Fuzz(func(t *testing.T, s string) {
		got := service.FromHTML(s)
		pieces, err := translation.Pieces(s)
		if err != nil || translation.Fragment(pieces) != s {
			return
		}
		for _, p := range pieces {
			for _, r := range p.Text {
				if r < ' ' || r > '~' { // HTML has its own way with control characters
					return
				}
			}
		}
		if got != s {
			t.Errorf("%q became %q", s, got)
		}
	})
}

func TestJudge(t *testing.T) {
	table := append([]service.Rule{
		{From: 400, To: 400, Code: "a", Verdict: connectors.Conflict},
		{From: 400, To: 400, Says: "text limit", Verdict: connectors.Permanent, Is: translation.ErrTooLarge},
	}, service.Statuses...)
	for _, c := range []struct {
		status        int
		code, message string
		want          connectors.Verdict
	}{
		{400, "a", "", connectors.Conflict},
		{400, "b", "Over the TEXT limit", connectors.Permanent},
		{400, "b", "", connectors.Validation},
		{401, "a", "", connectors.Auth},
		{404, "", "", connectors.Unavailable},
		{413, "", "", connectors.Permanent},
		{418, "", "", connectors.Permanent},
		{429, "", "", connectors.Throttled},
		{599, "", "", connectors.Unavailable},
		{302, "", "", connectors.Unavailable},
	} {
		if got := service.Judge(table, c.status, c.code, c.message); got.Verdict != c.want {
			t.Errorf("%+v: %s", c, got.Verdict)
		}
	}
	if got := service.Judge(nil, 200, "", ""); got.Verdict != connectors.Permanent {
		t.Error(got)
	}
}

func TestMemory(t *testing.T) {
	var (
		m     service.Memory[int]
		asked int
		fails = errors.New("no")
	)
	ask := func(context.Context) (int, error) {
		if asked++; asked == 1 {
			return 0, fails
		}
		return asked, nil
	}
	if _, err := m.Get(t.Context(), ask); !errors.Is(err, fails) {
		t.Error(err)
	}
	for range 3 {
		if got, err := m.Get(t.Context(), ask); got != 2 || err != nil {
			t.Error(got, err)
		}
	}
	m.Forget()
	if got, _ := m.Get(t.Context(), ask); got != 3 {
		t.Error(got)
	}
}
