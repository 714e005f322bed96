package media

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/color"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// vips is the engine, or skips the test: libvips-tools may be missing, but not
// where CI=1 says that everything is installed.
func vips(t testing.TB) *Vips {
	t.Helper()
	v, err := installedVips()
	switch {
	case err == nil:
		mine := *v
		mine.temp = t.TempDir()
		return &mine
	case errors.Is(err, exec.ErrNotFound) && os.Getenv("CI") != "1":
		t.Skipf("libvips-tools is not installed: %v", err)
	}
	t.Fatal(err)
	return nil
}

var installedVips = sync.OnceValues(func() (*Vips, error) { return NewVips(context.Background(), Limits{}, "") })

func TestVipsFormats(t *testing.T) {
	t.Parallel()
	v := vips(t)
	if !strings.HasPrefix(v.Version(), vipsVersion+" vips-8.") || !strings.HasSuffix(v.Version(), goVersion) {
		t.Errorf("the version is %q", v.Version())
	}
	if !v.Writes(WebP) || !v.Writes(AVIF) || v.Writes(GIF) {
		t.Error("it does not write WebP and AVIF")
	}
	original := withEXIF(toJPEG(t, turnNRGBA(corners(301, 200), turns[8]), 95), exif(6))
	for _, f := range []Format{JPEG, PNG, WebP, AVIF} {
		for _, d := range []Definition{{Width: 100}, {Width: 60, Height: 60, Fit: Pad}, {Width: 64, Height: 64, Fit: Crop}, {}} {
			d.Format = f
			r := one(t, v, original, d, nil)
			if f := Sniff(r.Bytes); f != d.Format {
				t.Fatalf("%s is %q", d.Format, f)
			}
			if f == WebP || f == AVIF { // what we do not read ourselves, vips does
				back := one(t, v, r.Bytes, Definition{Format: PNG}, nil)
				if back.Width != r.Width || back.Height != r.Height {
					t.Errorf("%s is %d × %d, not %d × %d", f, back.Width, back.Height, r.Width, r.Height)
				}
				if bytes.Contains(r.Bytes, []byte("Exif")) || bytes.Contains(r.Bytes, []byte("ICCP")) {
					t.Errorf("%s holds metadata", f)
				}
				r = back
			}
			clean(t, r)
			if got := quarters(t, decoded(t, r)); got != "rgby" {
				t.Errorf("%+v: %s", d, got)
			}
		}
	}
}

func TestVipsAlpha(t *testing.T) {
	v := vips(t)
	original := toPNG(t, image.NewNRGBA(image.Rect(0, 0, 80, 80)))
	for _, f := range []Format{WebP, AVIF, PNG} {
		r := one(t, v, original, Definition{Width: 40, Format: f, Require: Requirement{NoAlpha: true}}, nil)
		if !slices.Equal(codes(r.Issues), []string{"e:" + IssueAlpha}) {
			t.Errorf("%s: %v", f, r.Issues)
		}
		back := decoded(t, one(t, v, r.Bytes, Definition{Format: PNG}, nil))
		if _, _, _, a := back.At(20, 20).RGBA(); a != 0 {
			t.Errorf("%s lost its transparency", f)
		}
	}
}

func TestVipsBudget(t *testing.T) {
	v := vips(t)
	noisy := corners(300, 300)
	for i := range noisy.Pix {
		noisy.Pix[i] ^= uint8(i*i>>7) & 0x1f
	}
	for i := 3; i < len(noisy.Pix); i += 4 {
		noisy.Pix[i] = 255
	}
	r := one(t, v, toPNG(t, noisy), Definition{Format: WebP, Quality: 95, MaxBytes: 6000}, nil)
	if r.Bytes == nil || len(r.Bytes) > 6000 || r.Quality >= 95 {
		t.Errorf("%d bytes in quality %d: %v", len(r.Bytes), r.Quality, r.Issues)
	}
}

func TestVipsFaults(t *testing.T) {
	photo := toJPEG(t, corners(900, 900), 90)
	for name, c := range map[string]struct {
		file   []byte
		limits Limits
		memory int64
		want   string
	}{
		"text":            {[]byte("hello"), Limits{}, 0, FaultFormat},
		"a document":      {[]byte("%PDF-1.4"), Limits{}, 0, FaultDocument},
		"svg":             {[]byte("<svg xmlns='http://www.w3.org/2000/svg'/>"), Limits{}, 0, FaultUnsupported},
		"bmp":             {[]byte("BM............"), Limits{}, 0, FaultUnsupported},
		"half a jpeg":     {photo[:len(photo)/2], Limits{}, 0, FaultTruncated},
		"half a tiff":     {[]byte("II*\x00\x08\x00\x00\x00\x01\x00"), Limits{}, 0, FaultUnsupported},
		"too many pixels": {photo, Limits{Pixels: 1000}, 0, FaultPixels},
		"no time":         {photo, Limits{Time: 1}, 0, FaultTime},
		"no memory":       {photo, Limits{}, 32 << 20, FaultMemory},
	} {
		t.Run(name, func(t *testing.T) {
			v := vips(t)
			v.limits = c.limits.orDefaults()
			if c.memory > 0 {
				v.memory = c.memory
			}
			_, err := v.Render(t.Context(), c.file, []Definition{{Width: 10}}, nil)
			wantFault(t, err, c.want)
			if left, err := os.ReadDir(v.temp); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v %v", left, err)
			}
		})
	}
}

// TestVipsEveryFile: as TestEveryFile, and what the built-in engine renders in
// full colour looks the same.
func TestVipsEveryFile(t *testing.T) {
	t.Parallel()
	v := vips(t)
	for _, folder := range []string{"images-bad", "images-formats"} {
		everyFile(t, v, shared(t, folder))
	}
	orientations(t, v, shared(t, "exif-orientation"))
}

func TestVipsColours(t *testing.T) {
	v := vips(t)
	dir := shared(t, "images-formats")
	for name, want := range map[string]float64{
		"sharp/Channel_digital_image_CMYK_color.jpg": 0, // only vips knows its profile
		"sharp/320x240.jpg":                          30,
		"sharp/4.webp":                               28,
		"pillow/transparent.png":                     28,
		"pillow/hopper_orientation_6.webp":           28,
		"sharp/animated-loop-3.webp":                 28,
		"pillow/xmp_tags_orientation.png":            28,
	} {
		file, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		d := Definition{Width: 60, Height: 60, Quality: 95}
		a, b := one(t, v, file, d, nil), one(t, Go{}, file, d, nil)
		if db := psnr(t, decoded(t, a), decoded(t, b)); db < want {
			t.Errorf("%s: the engines are %.1f dB apart", name, db)
		}
		colour := "w:" + IssueColour
		if slices.Contains(codes(a.Issues), colour) || (want == 0) != slices.Contains(codes(b.Issues), colour) {
			t.Errorf("%s: %v and %v", name, a.Issues, b.Issues)
		}
	}
}

// TestVipsKeepsColours: what has no profile stays as it is.
func TestVipsKeepsColours(t *testing.T) {
	v := vips(t)
	want := color.NRGBA{253, 204, 110, 255}
	img := image.NewNRGBA(image.Rect(0, 0, 32, 32))
	for at := range 32 * 32 {
		img.SetNRGBA(at%32, at/32, want)
	}
	out := decoded(t, one(t, v, toPNG(t, img), Definition{Width: 8, Format: PNG}, nil))
	if c := color.NRGBAModel.Convert(out.At(4, 4)); c != want {
		t.Errorf("%v became %v", want, c)
	}
}
