package media

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"runtime"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluicehub/sluice/pim/media/yardstick"
)

func TestFits(t *testing.T) {
	original := toPNG(t, corners(400, 200))
	for _, c := range []struct {
		d    Definition
		w, h int
	}{
		{Definition{}, 400, 200},
		{Definition{Width: 100}, 100, 50},
		{Definition{Height: 100}, 200, 100},
		{Definition{Width: 100, Height: 100}, 100, 50},
		{Definition{Width: 1000}, 400, 200},
		{Definition{Width: 1000, Upscale: true}, 1000, 500},
		{Definition{Width: 100, Height: 100, Fit: Cover}, 100, 100},
		{Definition{Width: 300, Height: 300, Fit: Cover}, 200, 200},
		{Definition{Width: 300, Height: 300, Fit: Cover, Upscale: true}, 300, 300},
		{Definition{Width: 100, Height: 300, Fit: Crop}, 67, 200},
		{Definition{Width: 100, Height: 100, Fit: Pad}, 100, 100},
		{Definition{Width: 900, Height: 700, Fit: Pad}, 900, 700},
	} {
		for _, f := range []Format{JPEG, PNG} {
			c.d.Format = f
			r := one(t, Go{}, original, c.d, nil)
			decoded(t, r)
			if r.Width != c.w || r.Height != c.h || len(r.Issues) > 0 {
				t.Errorf("%+v gives %d × %d %v, not %d × %d", c.d, r.Width, r.Height, r.Issues, c.w, c.h)
			}
		}
	}
}

// TestPlans: whatever is asked of whatever original, the part that is taken lies
// in it and keeps its proportions, and the result keeps to what was asked.
func TestPlans(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		side := rapid.OneOf(rapid.IntRange(1, 40), rapid.IntRange(1, 12000))
		w, h := side.Draw(t, "w"), side.Draw(t, "h")
		d := Definition{
			Width: rapid.IntRange(1, 5000).Draw(t, "width"), Height: rapid.IntRange(1, 5000).Draw(t, "height"),
			Fit: rapid.SampledFrom([]Fit{Contain, Cover, Pad, Crop}).Draw(t, "fit"), Upscale: rapid.Bool().Draw(t, "upscale"),
		}
		focal := &Point{rapid.Float64Range(-1, 2).Draw(t, "x"), rapid.Float64Range(-1, 2).Draw(t, "y")}
		shrink := rapid.SampledFrom([]float64{1, 0.85, 1.0 / 32}).Draw(t, "shrink")
		p := newPlan(d, w, h, focal, shrink)
		if whole := (rect{0, 0, float64(w), float64(h)}); !whole.contains(p.from) || p.from.w() <= 0 || p.from.h() <= 0 {
			t.Fatalf("takes %+v of %d × %d", p.from, w, h)
		}
		if p.w < 1 || p.h < 1 || p.w > p.canvasW || p.h > p.canvasH || p.canvasW > max(d.Width, 1) || p.canvasH > max(d.Height, 1) {
			t.Fatalf("%+v is beyond %d × %d", p, d.Width, d.Height)
		}
		if !d.Upscale && (float64(p.w) > p.from.w()+0.51 || float64(p.h) > p.from.h()+0.51) {
			t.Fatalf("%+v is larger than it was", p)
		}
		if shrink == 1 && (d.Fit == Pad || d.Upscale && d.Fit != Contain) && (p.canvasW != d.Width || p.canvasH != d.Height) {
			t.Fatalf("the canvas is %d × %d", p.canvasW, p.canvasH)
		}
		// Rounding a side to whole pixels moves the shape by half of one at most.
		dx, dy := float64(p.w)/p.from.w(), float64(p.h)/p.from.h()
		if short := float64(min(p.w, p.h)); short > 1 && math.Abs(dx/dy-1) > 1.5/short {
			t.Fatalf("%+v is distorted: %v across, %v down", p, dx, dy)
		}
	})
}

func TestFocalPoint(t *testing.T) {
	original := toJPEG(t, corners(600, 300), 95)
	d := Definition{Width: 50, Height: 50, Fit: Crop}
	for _, c := range []struct {
		focal *Point
		want  string
	}{
		{nil, "rgby"}, {&Point{0.5, 0.5}, "rgby"}, {&Point{0, 0.5}, "rrbb"}, {&Point{1, 0}, "ggyy"},
	} {
		if got := quarters(t, decoded(t, one(t, Go{}, original, d, c.focal))); got != c.want {
			t.Errorf("around %v: %s, not %s", c.focal, got, c.want)
		}
	}
	d.Fit = Cover
	if got := quarters(t, decoded(t, one(t, Go{}, original, d, &Point{0, 0}))); got != "rgby" {
		t.Errorf("cover looks at the focal point: %s", got)
	}
}

func TestBackground(t *testing.T) {
	img := image.NewNRGBA(image.Rect(0, 0, 40, 20)) // transparent
	for _, d := range []Definition{
		{Background: "#3070B0"},
		{Width: 60, Height: 60, Fit: Pad, Background: "#3070b0", Format: PNG},
		{Width: 60, Height: 60, Fit: Pad, Background: "#3070b0"},
	} {
		out := decoded(t, one(t, Go{}, toPNG(t, img), d, nil))
		for _, at := range []image.Point{{0, 0}, {20, 10}, {39, 19}} {
			c := color.NRGBAModel.Convert(out.At(at.X, at.Y)).(color.NRGBA)
			if apart(c.R, 0x30) > 2 || apart(c.G, 0x70) > 2 || apart(c.B, 0xb0) > 2 || c.A != 255 {
				t.Errorf("%+v: %v at %v", d, c, at)
			}
		}
	}
	kept := decoded(t, one(t, Go{}, toPNG(t, img), Definition{Format: PNG, Width: 20}, nil))
	if _, _, _, a := kept.At(5, 5).RGBA(); a != 0 {
		t.Error("a PNG lost its transparency")
	}
}

// TestKinds: every kind of pixels that the decoders make is shown as it is.
func TestKinds(t *testing.T) {
	w, h := 64, 48
	all := corners(w, h)
	deep, paletted := image.NewNRGBA64(all.Rect), image.NewPaletted(all.Rect, nil)
	opaque := image.NewRGBA64(all.Rect)
	for _, at := range []image.Point{{0, 0}, {w - 1, 0}, {0, h - 1}, {w - 1, h - 1}} {
		paletted.Palette = append(paletted.Palette, all.At(at.X, at.Y))
	}
	for y := range h {
		for x := range w {
			deep.Set(x, y, all.At(x, y))
			opaque.Set(x, y, all.At(x, y))
			paletted.Set(x, y, all.At(x, y))
		}
	}
	deep.SetNRGBA64(w/2, h/2, color.NRGBA64{A: 65534})
	for name, img := range map[string]image.Image{"8 bits": all, "16 bits with alpha": deep, "16 bits": opaque, "palette": paletted} {
		for _, width := range []int{8, 20, 40, 64} {
			r := one(t, Go{}, toPNG(t, img), Definition{Width: width}, nil)
			if got := quarters(t, decoded(t, r)); got != "rgby" {
				t.Errorf("%s at %d: %s", name, width, got)
			}
		}
	}
	for name, img := range map[string]image.Image{"gray": image.NewGray(all.Rect), "deep gray": image.NewGray16(all.Rect)} {
		r := one(t, Go{}, toPNG(t, img), Definition{Width: 20}, nil)
		if v, _, _, _ := decoded(t, r).At(10, 7).RGBA(); v != 0 {
			t.Errorf("%s: black is %d", name, v)
		}
	}
}

func TestByteBudget(t *testing.T) {
	photo, err := yardstick.Photo(400, 300)
	if err != nil {
		t.Fatal(err)
	}
	free := one(t, Go{}, photo, Definition{Quality: 95}, nil)
	for _, f := range []Format{JPEG, PNG} {
		for _, part := range []int{1, 2, 3, 8, 30} {
			d := Definition{Quality: 95, MaxBytes: len(free.Bytes) / part, Format: f}
			r := one(t, Go{}, photo, d, nil)
			if r.Bytes == nil || len(r.Bytes) > d.MaxBytes {
				t.Errorf("%d bytes of %s where %d are allowed", len(r.Bytes), f, d.MaxBytes)
			}
			decoded(t, r)
			smaller := slices.Contains(codes(r.Issues), "w:"+IssueBudget)
			if smaller != (r.Width < 400) {
				t.Errorf("%d pixels wide, %v", r.Width, codes(r.Issues))
			}
			if f == JPEG && r.Quality < minQuality {
				t.Errorf("quality %d", r.Quality)
			}
			if f == JPEG && part == 2 {
				d.Quality, d.MaxBytes = r.Quality+1, 0
				if better := one(t, Go{}, photo, d, nil); len(better.Bytes) <= len(free.Bytes)/part {
					t.Errorf("quality %d would have fitted, %d was taken", d.Quality, r.Quality)
				}
			}
		}
	}
	r := one(t, Go{}, photo, Definition{MaxBytes: 50}, nil)
	if r.Bytes != nil || !slices.Equal(codes(r.Issues), []string{"e:" + IssueBudget}) {
		t.Errorf("50 bytes give %d bytes and %v", len(r.Bytes), r.Issues)
	}
}

func TestRequirements(t *testing.T) {
	photo := toPNG(t, corners(300, 200))
	cut := corners(300, 200)
	cut.SetNRGBA(0, 0, color.NRGBA{})
	for name, c := range map[string]struct {
		file []byte
		d    Definition
		want []string
	}{
		"all well":            {photo, Definition{Require: Requirement{MinWidth: 300, MinHeight: 200, MaxWidth: 300, MaxPixels: 60000, MinAspect: 1.5, MaxAspect: 1.5, NoAlpha: true, MinBytes: 10}}, nil},
		"narrow":              {photo, Definition{Require: Requirement{MinWidth: 301}}, []string{"e:" + IssueTooSmall}},
		"a border is no size": {photo, Definition{Width: 500, Height: 500, Fit: Pad, Require: Requirement{MinWidth: 500, MinLongSide: 301}}, []string{"e:" + IssueTooSmall}},
		"wide":                {photo, Definition{Require: Requirement{MaxWidth: 299}}, []string{"e:" + IssueTooLarge}},
		"many pixels":         {photo, Definition{Require: Requirement{MaxPixels: 59999}}, []string{"e:" + IssueTooLarge}},
		"long":                {photo, Definition{Require: Requirement{MaxAspect: 1}}, []string{"e:" + IssueShape}},
		"tall":                {photo, Definition{Require: Requirement{MinAspect: 2}}, []string{"e:" + IssueShape}},
		"colourful":           {photo, Definition{Require: Requirement{WhiteBorder: 0.5}}, []string{"e:" + IssueBackground}},
		"white around":        {photo, Definition{Width: 320, Height: 320, Fit: Pad, Require: Requirement{WhiteBorder: 1}}, nil},
		"white above":         {photo, Definition{Width: 300, Height: 320, Fit: Pad, Require: Requirement{WhiteBorder: 1}}, []string{"e:" + IssueBackground}},
		"black around":        {photo, Definition{Width: 320, Height: 320, Fit: Pad, Background: "#000000", Require: Requirement{WhiteBorder: 0.1}}, []string{"e:" + IssueBackground}},
		"alpha":               {toPNG(t, cut), Definition{Format: PNG, Require: Requirement{NoAlpha: true}}, []string{"e:" + IssueAlpha}},
		"no alpha in a jpeg":  {toPNG(t, cut), Definition{Require: Requirement{NoAlpha: true}}, nil},
		"few bytes":           {photo, Definition{Require: Requirement{MinBytes: 1 << 20}}, []string{"e:" + IssueBytes}},
		"many bytes":          {photo, Definition{Require: Requirement{MaxBytes: 10}}, []string{"e:" + IssueBytes}},
		"webp":                {photo, Definition{Format: WebP}, []string{"e:" + IssueFormat}},
		"animated":            {toGIF(t, 9, 9, 2), Definition{}, []string{"w:" + IssueFrame}},
	} {
		if got := codes(one(t, Go{}, c.file, c.d, nil).Issues); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, not %v", name, got, c.want)
		}
	}
}

// TestPresets: a good photograph meets each of them, a bad one none.
func TestPresets(t *testing.T) {
	good := image.NewNRGBA(image.Rect(0, 0, 1800, 1400))
	for i := range good.Pix {
		good.Pix[i] = 255
	}
	for y := 100; y < 1300; y++ {
		for x := 100; x < 1700; x++ {
			good.SetNRGBA(x, y, color.NRGBA{uint8(x*y>>4 ^ x), uint8(y), uint8(x), 255})
		}
	}
	fine, poor := toJPEG(t, good, 95), toJPEG(t, corners(90, 90), 80)
	for _, name := range Presets() {
		d, ok := Preset(name)
		if !ok || d.Check() != nil {
			t.Fatalf("preset %s: %v", name, d.Check())
		}
		if r := one(t, Go{}, fine, d, nil); len(r.Issues) > 0 {
			t.Errorf("%s refuses a good photograph: %v", name, r.Issues)
		}
		if r := one(t, Go{}, poor, d, nil); len(r.Issues) == 0 && name != "shopify" {
			t.Errorf("%s takes 90 pixels", name)
		}
	}
	if _, ok := Preset("ebay"); ok {
		t.Error("there is a preset for ebay")
	}
}

// TestOrderAndCascade: results come in the order of the definitions, whatever was
// made of what.
func TestOrderAndCascade(t *testing.T) {
	photo, err := yardstick.Photo(900, 600)
	if err != nil {
		t.Fatal(err)
	}
	ds := []Definition{{Width: 50}, {Width: 800}, {Width: 400, Format: PNG}, {Width: 100, Height: 100, Fit: Crop}, {Width: 200, Height: 200, Fit: Pad}}
	rs, err := Go{}.Render(t.Context(), photo, ds, &Point{0.2, 0.2})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"50 × 33 jpeg", "800 × 533 jpeg", "400 × 267 png", "100 × 100 jpeg", "200 × 200 jpeg"} {
		if got := fmt.Sprintf("%d × %d %s", rs[i].Width, rs[i].Height, rs[i].Format); got != want {
			t.Errorf("result %d is %s, not %s", i, got, want)
		}
		alone := one(t, Go{}, photo, ds[i], &Point{0.2, 0.2})
		if db := psnr(t, decoded(t, rs[i]), decoded(t, alone)); db < 33 {
			t.Errorf("result %d differs from the one that was made alone: %.1f dB", i, db)
		}
	}
	if rs, err = (Go{}).Render(t.Context(), photo, nil, nil); err != nil || len(rs) != 0 {
		t.Errorf("no definitions: %v %v", rs, err)
	}
}

// psnr is the likeness of two images' luma in decibels; above about 40 nobody
// sees a difference.
func psnr(t testing.TB, a, b image.Image) float64 {
	t.Helper()
	if a.Bounds() != b.Bounds() {
		t.Fatalf("%v is compared with %v", a.Bounds(), b.Bounds())
	}
	sum, n := 0.0, 0
	for y := range a.Bounds().Dy() {
		for x := range a.Bounds().Dx() {
			luma := func(img image.Image) float64 {
				if p, ok := img.(*image.YCbCr); ok {
					return float64(p.Y[p.YOffset(x, y)])
				}
				return float64(color.GrayModel.Convert(img.At(x, y)).(color.Gray).Y)
			}
			d := luma(a) - luma(b)
			sum, n = sum+d*d, n+1
		}
	}
	if sum == 0 {
		return math.Inf(1)
	}
	return 10 * math.Log10(255*255*float64(n)/sum)
}

// TestNoVisibleLoss holds the five renditions against those that imaging's
// Lanczos filter makes of the whole original, after the same encoder: at least 40
// dB of luma, where 8-bit images count as the same to the eye, and nearly the
// same likeness in the colours.
func TestNoVisibleLoss(t *testing.T) {
	const w, h = 3200, 2400 // whose renditions' sides are whole both ways
	photo, err := yardstick.Photo(w, h)
	if err != nil {
		t.Fatal(err)
	}
	naive, err := yardstick.Naive(photo)
	if err != nil {
		t.Fatal(err)
	}
	var ds []Definition
	for _, s := range yardstick.Sizes {
		ds = append(ds, Definition{Width: s, Height: s, Quality: yardstick.Quality})
	}
	ours, err := Go{}.Render(t.Context(), photo, ds, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range ours {
		a := decoded(t, r)
		b, err := jpeg.Decode(bytes.NewReader(naive[i]))
		if err != nil {
			t.Fatal(err)
		}
		db := psnr(t, a, b)
		if db < 40 {
			t.Errorf("%d pixels: %.1f dB", r.Width, db)
		}
		sum := 0.0
		p, q := a.(*image.YCbCr), b.(*image.YCbCr)
		for j := range p.Cb {
			cb, cr := float64(p.Cb[j])-float64(q.Cb[j]), float64(p.Cr[j])-float64(q.Cr[j])
			sum += cb*cb + cr*cr
		}
		mean := math.Sqrt(sum / float64(2*len(p.Cb)))
		if mean > 2 {
			t.Errorf("%d pixels: chroma is %.2f steps apart", r.Width, mean)
		}
		t.Logf("%d pixels: luma %.1f dB, chroma %.2f steps", r.Width, db, mean)
	}
}

// TestSameBytes: the bytes of a rendition belong to the engine's version. When
// this fails after a change or with another Go, and the change is meant, goVersion
// has to rise, so that renditions are made anew.
func TestSameBytes(t *testing.T) {
	if runtime.GOARCH != "amd64" { // imaging's sums, and the photograph's, are rounded in another way elsewhere
		t.Skip("the bytes are those of amd64")
	}
	photo, err := yardstick.Photo(640, 480)
	if err != nil {
		t.Fatal(err)
	}
	ds := []Definition{{Width: 300}, {Width: 150, Height: 150, Fit: Crop, Format: PNG}, {Width: 99, Height: 99, Fit: Pad}}
	sum := sha256.New()
	for _, original := range [][]byte{photo, toPNG(t, corners(333, 222))} {
		for range 2 {
			rs, err := Go{}.Render(t.Context(), original, ds, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range rs {
				sum.Write(r.Bytes)
			}
		}
	}
	const want = "ac11d630f0faaa6b7ecab869663bc39a61d4f8400bf37e611fe48f64b166bbbf"
	if got := hex.EncodeToString(sum.Sum(nil)); got != want {
		t.Errorf("engine %s makes %s", goVersion, got)
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Go{}.Render(ctx, toJPEG(t, corners(10, 10), 80), []Definition{{}}, nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled render gives %v", err)
	}
}
