package media

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"image/color"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/sluicehub/sluice/pim"
)

// Fit says how a picture comes to a definition's width and height.
type Fit string

// The fits. None of them distorts.
const (
	// Contain scales the picture so that it lies within width and height. Either
	// may be 0, which leaves that side free; with both 0 the size stays as it is.
	Contain Fit = "contain"
	// Cover scales the picture so that it covers width and height, and cuts off
	// what is beyond them, the same on both sides.
	Cover Fit = "cover"
	// Pad is Contain on a canvas of width × height, filled with the background.
	Pad Fit = "pad"
	// Crop is Cover around the original's focal point.
	Crop Fit = "crop"
)

// Bounds of definitions.
const (
	MaxSide     = 10_000     // pixels of a rendition's width and height
	MaxCanvas   = 25_000_000 // pixels of a rendition
	MaxQuality  = 100
	minQuality  = 40 // a byte budget lowers quality no further; below, blocks are seen
	defaultJPEG = 85
)

// Definition says what a rendition shall be. Its zero fields mean the defaults:
// contain, white, JPEG of quality 85.
type Definition struct {
	Width      int    `json:"width,omitempty" minimum:"0" maximum:"10000" doc:"Pixels; 0: follows from height"`
	Height     int    `json:"height,omitempty" minimum:"0" maximum:"10000" doc:"Pixels; 0: follows from width"`
	Fit        Fit    `json:"fit,omitempty" enum:"contain,cover,pad,crop" default:"contain"`
	Upscale    bool   `json:"upscale,omitempty" doc:"Whether a picture that is too small is made larger. If not, contain keeps its size, pad puts it on the canvas as it is, cover and crop keep the shape and give fewer pixels"`
	Background string `json:"background,omitempty" pattern:"^#[0-9a-fA-F]{6}$" default:"#ffffff" doc:"Colour of pad's canvas, and of what was transparent in a JPEG"`
	Format     Format `json:"format,omitempty" enum:"jpeg,png,webp,avif" default:"jpeg" doc:"webp and avif need the vips engine"`
	Quality    int    `json:"quality,omitempty" minimum:"1" maximum:"100" default:"85" doc:"Of JPEG, WebP and AVIF"`
	MaxBytes   int    `json:"max_bytes,omitempty" minimum:"0" doc:"Byte budget; quality is lowered to keep it, down to 40, then the size"`

	Require Requirement `json:"require,omitzero" doc:"What the target asks of the rendition; what it lacks is an issue"`
}

// Requirement is what a target puts on an image. Zero fields ask nothing.
type Requirement struct {
	MinWidth    int     `json:"min_width,omitempty"`
	MinHeight   int     `json:"min_height,omitempty"`
	MinLongSide int     `json:"min_long_side,omitempty" doc:"Of the picture without what pad put around it"`
	MaxWidth    int     `json:"max_width,omitempty"`
	MaxHeight   int     `json:"max_height,omitempty"`
	MaxPixels   int     `json:"max_pixels,omitempty" doc:"Width × height"`
	MinAspect   float64 `json:"min_aspect,omitempty" doc:"Width ÷ height"`
	MaxAspect   float64 `json:"max_aspect,omitempty"`
	WhiteBorder float64 `json:"white_border,omitempty" maximum:"1" doc:"Share of the outermost pixels that must be white (each channel at least 250)"`
	NoAlpha     bool    `json:"no_alpha,omitempty" doc:"No pixel may be transparent"`
	MinBytes    int     `json:"min_bytes,omitempty"`
	MaxBytes    int     `json:"max_bytes,omitempty"`
}

// ParseDefinition reads a definition from JSON and checks it; the error is an
// *pim.Invalid with a pointer per problem.
func ParseDefinition(raw []byte) (Definition, error) {
	const depth = 4
	v, err := pim.DecodeJSON(raw, depth)
	if err != nil {
		return Definition{}, err
	}
	r := reader{}
	m, ok := v.(map[string]any)
	if !ok {
		r.problem("", "definition.shape", "a rendition definition is an object")
		return Definition{}, r.err()
	}
	var d Definition
	r.object("", m, map[string]any{
		"width": &d.Width, "height": &d.Height, "fit": (*string)(&d.Fit), "upscale": &d.Upscale, "background": &d.Background,
		"format": (*string)(&d.Format), "quality": &d.Quality, "max_bytes": &d.MaxBytes, "require": &d.Require,
	})
	if err := r.err(); err != nil {
		return Definition{}, err
	}
	return d, d.Check()
}

// reader gathers the problems of one JSON definition.
type reader struct{ problems []pim.Problem }

func (r *reader) problem(pointer, code, detail string) {
	r.problems = append(r.problems, pim.Problem{Pointer: pointer, Code: code, Detail: detail})
}

func (r *reader) err() error {
	if len(r.problems) == 0 {
		return nil
	}
	slices.SortFunc(r.problems, func(a, b pim.Problem) int { return strings.Compare(a.Pointer, b.Pointer) })
	return &pim.Invalid{Problems: r.problems}
}

// object puts the members of m where fields say.
func (r *reader) object(pointer string, m map[string]any, fields map[string]any) {
	for key, v := range m {
		at := pim.JoinPointer(pointer, key)
		want := ""
		switch to := fields[key].(type) {
		case *int:
			want = "a whole number"
			if n, ok := v.(json.Number); ok {
				if i, err := strconv.ParseInt(n.String(), 10, 32); err == nil {
					*to, want = int(i), ""
				}
			}
		case *float64:
			want = "a number"
			if n, ok := v.(json.Number); ok {
				if f, err := n.Float64(); err == nil {
					*to, want = f, ""
				}
			}
		case *string:
			want = "a string"
			if s, ok := v.(string); ok {
				*to, want = s, ""
			}
		case *bool:
			want = "true or false"
			if b, ok := v.(bool); ok {
				*to, want = b, ""
			}
		case *Requirement:
			want = "an object"
			if o, ok := v.(map[string]any); ok {
				r.object(at, o, to.fields())
				want = ""
			}
		default:
			r.problem(at, "definition.unknown", "a rendition definition has no such member")
		}
		if want != "" {
			r.problem(at, "definition.type", want+" is expected")
		}
	}
}

func (q *Requirement) fields() map[string]any {
	return map[string]any{
		"min_width": &q.MinWidth, "min_height": &q.MinHeight, "min_long_side": &q.MinLongSide, "max_width": &q.MaxWidth,
		"max_height": &q.MaxHeight, "max_pixels": &q.MaxPixels, "min_aspect": &q.MinAspect, "max_aspect": &q.MaxAspect,
		"white_border": &q.WhiteBorder, "no_alpha": &q.NoAlpha, "min_bytes": &q.MinBytes, "max_bytes": &q.MaxBytes,
	}
}

// Check tells everything that is wrong with a definition, as an *pim.Invalid with
// JSON pointers into it.
func (d Definition) Check() error {
	var r reader
	sides := []struct {
		name string
		v    int
	}{{"width", d.Width}, {"height", d.Height}}
	filled := d.Fit == Cover || d.Fit == Pad || d.Fit == Crop
	for _, s := range sides {
		switch {
		case s.v < 0 || s.v > MaxSide:
			r.problem("/"+s.name, "definition.range", fmt.Sprintf("%s is from 0 to %d pixels", s.name, MaxSide))
		case s.v == 0 && filled:
			r.problem("/"+s.name, "definition.missing", fmt.Sprintf("%s needs width and height", d.Fit))
		}
	}
	if len(r.problems) == 0 && d.Width*d.Height > MaxCanvas {
		r.problem("/width", "definition.range", fmt.Sprintf("width × height is at most %d pixels", MaxCanvas))
	}
	if d.Fit != "" && d.Fit != Contain && !filled {
		r.problem("/fit", "definition.value", "fit is contain, cover, pad or crop")
	}
	if _, ok := parseColour(d.Background); !ok {
		r.problem("/background", "definition.value", "background is a colour such as #ffffff")
	}
	switch d.Format {
	case "", JPEG, PNG, WebP, AVIF:
	default:
		r.problem("/format", "definition.value", "format is jpeg, png, webp or avif")
	}
	if d.Quality < 0 || d.Quality > MaxQuality {
		r.problem("/quality", "definition.range", "quality is from 1 to 100")
	}
	if d.MaxBytes < 0 {
		r.problem("/max_bytes", "definition.range", "max_bytes is not negative")
	}
	d.Require.check(&r)
	return r.err()
}

func (q Requirement) check(r *reader) {
	for name, field := range q.fields() {
		at := "/require/" + name
		switch v := field.(type) {
		case *int:
			if *v < 0 {
				r.problem(at, "definition.range", name+" is not negative")
			}
		case *float64:
			if *v < 0 || math.IsNaN(*v) || math.IsInf(*v, 0) {
				r.problem(at, "definition.range", name+" is a number that is not negative")
			}
		}
	}
	if q.WhiteBorder > 1 {
		r.problem("/require/white_border", "definition.range", "white_border is a share, from 0 to 1")
	}
	above := func(name string, least, most float64) {
		if most > 0 && least > most {
			r.problem("/require/min_"+name, "definition.range", fmt.Sprintf("min_%s is more than max_%s", name, name))
		}
	}
	above("width", float64(q.MinWidth), float64(q.MaxWidth))
	above("height", float64(q.MinHeight), float64(q.MaxHeight))
	above("aspect", q.MinAspect, q.MaxAspect)
	above("bytes", float64(q.MinBytes), float64(q.MaxBytes))
}

// normal is the definition with its defaults written out.
func (d Definition) normal() Definition {
	if d.Fit == "" {
		d.Fit = Contain
	}
	if d.Background == "" {
		d.Background = "#ffffff"
	}
	d.Background = strings.ToLower(d.Background)
	if d.Format == "" {
		d.Format = JPEG
	}
	if d.Quality == 0 {
		d.Quality = defaultJPEG
	}
	if d.Format == PNG {
		d.Quality = 0
	}
	return d
}

// parseColour reads #rrggbb; "" is white.
func parseColour(s string) (color.NRGBA, bool) {
	if s == "" {
		return color.NRGBA{255, 255, 255, 255}, true
	}
	if len(s) != 7 || s[0] != '#' {
		return color.NRGBA{}, false
	}
	v, err := hex.DecodeString(s[1:])
	if err != nil {
		return color.NRGBA{}, false
	}
	return color.NRGBA{v[0], v[1], v[2], 255}, true
}

// Key names a rendition by all that its result depends on: the original (its
// SHA-256 in hexadecimal, or another name that is unique), the definition with
// its defaults, the focal point where it counts, and the engine's version. Equal
// keys have equal results, so what has been made under a key is never made again.
// It is 64 hexadecimal digits.
func Key(original string, d Definition, focal *Point, engineVersion string) string {
	d = d.normal()
	if d.Fit != Crop {
		focal = nil
	}
	text, err := json.Marshal([]any{original, d, focal, engineVersion})
	if err != nil { // a number that is none, which Check refuses
		text = fmt.Appendf(nil, "%q %+v %v %q", original, d, focal, engineVersion)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
