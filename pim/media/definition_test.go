package media

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/pim"
)

func TestParseDefinition(t *testing.T) {
	full := `{"width": 800, "height": 600, "fit": "pad", "upscale": true, "background": "#FF00aa", "format": "png", "quality": 70, "max_bytes": 100000,
		"require": {"min_width": 1, "min_height": 2, "min_long_side": 3, "max_width": 4, "max_height": 5, "max_pixels": 6, "min_aspect": 0.5,
		"max_aspect": 2, "white_border": 0.9, "no_alpha": true, "min_bytes": 7, "max_bytes": 8}}`
	want := Definition{
		Width: 800, Height: 600, Fit: Pad, Upscale: true, Background: "#FF00aa", Format: PNG, Quality: 70, MaxBytes: 100000,
		Require: Requirement{1, 2, 3, 4, 5, 6, 0.5, 2, 0.9, true, 7, 8},
	}
	got, err := ParseDefinition([]byte(full))
	if err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	// What is written is what is read.
	raw, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if got, err = ParseDefinition(raw); err != nil || got != want {
		t.Errorf("%s is read as %+v, %v", raw, got, err)
	}
	if raw, err = json.Marshal(Definition{}); err != nil || string(raw) != "{}" {
		t.Errorf("the zero definition is %s, %v", raw, err)
	}
	if got, err = ParseDefinition([]byte("{}")); err != nil || got != (Definition{}) {
		t.Errorf("{} is %+v, %v", got, err)
	}
}

func TestBadDefinitions(t *testing.T) {
	for text, want := range map[string]string{
		`[]`:                                 "",
		`{`:                                  "",
		`{"width": 1, "width": 2}`:           "/width",
		`{"widht": 1}`:                       "/widht",
		`{"width": "1"}`:                     "/width",
		`{"width": 1.5}`:                     "/width",
		`{"width": -1}`:                      "/width",
		`{"width": 10001}`:                   "/width",
		`{"width": 99999999999999}`:          "/width",
		`{"width": 9000, "height": 9000}`:    "/width",
		`{"fit": "stretch"}`:                 "/fit",
		`{"fit": "cover", "width": 5}`:       "/height",
		`{"fit": "pad"}`:                     "/height /width",
		`{"upscale": 1}`:                     "/upscale",
		`{"background": "white"}`:            "/background",
		`{"background": "#12345g"}`:          "/background",
		`{"format": "gif"}`:                  "/format",
		`{"quality": 101}`:                   "/quality",
		`{"quality": null}`:                  "/quality",
		`{"max_bytes": -5}`:                  "/max_bytes",
		`{"require": []}`:                    "/require",
		`{"require": {"min": 1}}`:            "/require/min",
		`{"require": {"white_border": 1.1}}`: "/require/white_border",
		`{"require": {"max_width": -1}}`:     "/require/max_width",
		`{"require": {"min_width": 2, "max_width": 1}, "width": true}`:  "/width",
		`{"require": {"min_width": 2, "max_width": 1}, "quality": 200}`: "/quality /require/min_width",
		`{"require": {"min_aspect": 2, "max_aspect": 1}}`:               "/require/min_aspect",
	} {
		_, err := ParseDefinition([]byte(text))
		var inv *pim.Invalid
		if !errors.As(err, &inv) {
			t.Errorf("%s: %v", text, err)
			continue
		}
		var at []string
		for _, p := range inv.Problems {
			at = append(at, p.Pointer)
			if p.Code == "" || p.Detail == "" {
				t.Errorf("%s: %+v", text, p)
			}
		}
		slices.Sort(at)
		if got := strings.Join(at, " "); got != want {
			t.Errorf("%s: problems at %q, not %q", text, got, want)
		}
	}
}

func TestKey(t *testing.T) {
	base := Key("ab", Definition{Width: 5}, nil, "go-1")
	if len(base) != 64 {
		t.Errorf("the key is %q", base)
	}
	for name, same := range map[string]string{
		"defaults":                 Key("ab", Definition{Width: 5, Fit: Contain, Format: JPEG, Quality: 85, Background: "#FFFFFF"}, nil, "go-1"),
		"a point nobody looks at":  Key("ab", Definition{Width: 5}, &Point{0.1, 0.1}, "go-1"),
		"the very same, once more": Key("ab", Definition{Width: 5}, nil, "go-1"),
	} {
		if same != base {
			t.Errorf("%s change the key", name)
		}
	}
	seen := map[string]string{base: "base"}
	crop := Definition{Width: 5, Height: 5, Fit: Crop}
	for name, other := range map[string]string{
		"original": Key("ac", Definition{Width: 5}, nil, "go-1"), "definition": Key("ab", Definition{Width: 6}, nil, "go-1"),
		"requirement": Key("ab", Definition{Width: 5, Require: Requirement{MinWidth: 1}}, nil, "go-1"),
		"engine":      Key("ab", Definition{Width: 5}, nil, "go-2"),
		"crop":        Key("ab", crop, nil, "go-1"), "focal point": Key("ab", crop, &Point{0.1, 0.1}, "go-1"),
	} {
		if seen[other] != "" {
			t.Errorf("%s and %s have the same key", name, seen[other])
		}
		seen[other] = name
	}
}
