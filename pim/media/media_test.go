package media

import (
	"bytes"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/sluicehub/sluice/pim"
)

// shared is a folder of the shared test data, or skips the test: the data is not
// the project's. Where it must be there, SLUICE_REQUIRE_SHARED=1 says so.
func shared(t testing.TB, folder string) string {
	t.Helper()
	dir := os.Getenv("SLUICE_SHARED")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared")
	}
	dir = filepath.Join(dir, "data", folder)
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("SLUICE_REQUIRE_SHARED") == "1" {
			t.Fatalf("the shared test data is required: %v", err)
		}
		t.Skipf("the shared test data is not there (SLUICE_SHARED): %v", err)
	}
	return dir
}

// corners is an image whose quarters are red, green, blue and yellow, from the
// top left, clockwise blue last.
func corners(w, h int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := color.NRGBA{220, 20, 20, 255}
			switch {
			case x >= w/2 && y < h/2:
				c = color.NRGBA{20, 200, 20, 255}
			case x < w/2 && y >= h/2:
				c = color.NRGBA{20, 20, 220, 255}
			case x >= w/2:
				c = color.NRGBA{230, 220, 20, 255}
			}
			img.SetNRGBA(x, y, c)
		}
	}
	return img
}

// quarters names the colours in the middle of an image's quarters: top left, top
// right, bottom left, bottom right.
func quarters(t testing.TB, img image.Image) string {
	t.Helper()
	b := img.Bounds()
	name := ""
	for _, at := range []image.Point{{1, 1}, {3, 1}, {1, 3}, {3, 3}} {
		r, g, bl, _ := img.At(b.Min.X+b.Dx()*at.X/4, b.Min.Y+b.Dy()*at.Y/4).RGBA()
		high := func(v uint32) bool { return v > 0x8000 }
		switch [3]bool{high(r), high(g), high(bl)} {
		case [3]bool{true, false, false}:
			name += "r"
		case [3]bool{false, true, false}:
			name += "g"
		case [3]bool{false, false, true}:
			name += "b"
		case [3]bool{true, true, false}:
			name += "y"
		default:
			name += "?"
		}
	}
	return name
}

func toJPEG(t testing.TB, img image.Image, quality int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: quality}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func toPNG(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func toGIF(t testing.TB, w, h, frames int) []byte {
	t.Helper()
	g := &gif.GIF{Config: image.Config{Width: w, Height: h, ColorModel: color.Palette{color.White, color.Black}}}
	for range frames {
		g.Image = append(g.Image, image.NewPaletted(image.Rect(0, 0, w, h), color.Palette{color.White, color.Black}))
		g.Delay = append(g.Delay, 1)
	}
	var b bytes.Buffer
	if err := gif.EncodeAll(&b, g); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// exif is an EXIF block with an orientation, and a GPS pointer as cameras write.
func exif(orientation int) []byte {
	return []byte{
		'I', 'I', '*', 0, 8, 0, 0, 0, 2, 0,
		0x12, 1, 3, 0, 1, 0, 0, 0, byte(orientation), 0, 0, 0,
		0x25, 0x88, 4, 0, 1, 0, 0, 0, 38, 0, 0, 0,
		0, 0, 0, 0, 0, 0,
	}
}

// withEXIF puts an EXIF segment behind a JPEG's first marker.
func withEXIF(file []byte, block []byte) []byte {
	body := append([]byte("Exif\x00\x00"), block...)
	n := len(body) + 2
	out := append([]byte{}, file[:2]...)
	out = append(out, 0xff, 0xe1, byte(n>>8), byte(n))
	return append(append(out, body...), file[2:]...)
}

// withChunk puts a chunk behind a PNG's header.
func withChunk(file []byte, id string, body []byte) []byte {
	const header = 8 + 25
	n := len(body)
	out := append([]byte{}, file[:header]...)
	out = append(out, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	sum := crc32.ChecksumIEEE(append([]byte(id), body...))
	out = append(append(out, id...), body...)
	out = append(out, byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum))
	return append(out, file[header:]...)
}

func decoded(t testing.TB, r Result) image.Image {
	t.Helper()
	var img image.Image
	var err error
	switch r.Format {
	case JPEG:
		img, err = jpeg.Decode(bytes.NewReader(r.Bytes))
	case PNG:
		img, err = png.Decode(bytes.NewReader(r.Bytes))
	default:
		t.Fatalf("a rendition in %q", r.Format)
	}
	if err != nil {
		t.Fatalf("the rendition cannot be read: %v", err)
	}
	if img.Bounds().Dx() != r.Width || img.Bounds().Dy() != r.Height {
		t.Errorf("the rendition is %v, its result says %d × %d", img.Bounds(), r.Width, r.Height)
	}
	return img
}

// one renders one definition.
func one(t testing.TB, e Engine, original []byte, d Definition, focal *Point) Result {
	t.Helper()
	if err := d.Check(); err != nil {
		t.Fatal(err)
	}
	rs, err := e.Render(t.Context(), original, []Definition{d}, focal)
	if err != nil {
		t.Fatal(err)
	}
	if len(rs) != 1 {
		t.Fatalf("%d results of one definition", len(rs))
	}
	return rs[0]
}

// clean fails when a file holds metadata: any APPn segment or comment of a JPEG
// but Adobe's or JFIF's own, any chunk of a PNG beyond the image.
func clean(t testing.TB, r Result) {
	t.Helper()
	switch r.Format {
	case JPEG:
		for at := 2; at+4 < len(r.Bytes) && r.Bytes[at+1] != 0xda; at += 2 + int(be16(r.Bytes[at+2:])) {
			if m := r.Bytes[at+1]; m >= 0xe0 && m <= 0xef || m == 0xfe {
				t.Errorf("the rendition has a segment %#x", m)
			}
		}
	case PNG:
		for b := r.Bytes[8:]; len(b) >= 12; b = b[12+be32(b):] {
			switch id := string(b[4:8]); id {
			case "IHDR", "IDAT", "IEND", "PLTE", "tRNS":
			default:
				t.Errorf("the rendition has a chunk %s", id)
			}
		}
	}
}

func codes(issues []pim.Issue) (s []string) {
	for _, i := range issues {
		s = append(s, string(i.Severity[0])+":"+i.Code)
	}
	return s
}

func wantFault(t testing.TB, err error, code string) {
	t.Helper()
	var f *Fault
	if !errors.As(err, &f) {
		t.Fatalf("%v is no fault", err)
	}
	if f.Code != code || f.Text == "" {
		t.Errorf("the fault is %v, not %s", f, code)
	}
}
