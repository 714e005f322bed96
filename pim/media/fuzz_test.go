package media

import (
	"errors"
	"image"
	"image/color"
	"strings"
	"testing"
)

// losslessWebP is a WebP of one colour, by RFC 9649, 3: no transforms, no cache,
// and prefix codes of one symbol each, so that pixels take no bits at all.
func losslessWebP(w, h int, c color.NRGBA) []byte {
	var bits []byte
	n := 0
	put := func(v, count int) {
		for i := range count {
			if n%8 == 0 {
				bits = append(bits, 0)
			}
			bits[n/8] |= byte(v>>i&1) << (n % 8)
			n++
		}
	}
	put(0x2f, 8)
	put(w-1, 14)
	put(h-1, 14)
	put(1, 1) // alpha is used
	put(0, 3+1+1+1)
	for _, symbol := range []uint8{c.G, c.R, c.B, c.A, 0} {
		put(1, 1) // a simple code
		put(0, 1) // of one symbol
		put(1, 1) // of eight bits
		put(int(symbol), 8)
	}
	return appendChunk(nil, "RIFF", appendChunk([]byte("WEBP"), "VP8L", bits))
}

// animatedWebP has one frame.
func animatedWebP(w, h int, c color.NRGBA) []byte {
	size := []byte{byte(w - 1), byte((w - 1) >> 8), 0, byte(h - 1), byte((h - 1) >> 8), 0}
	form := appendChunk([]byte("WEBP"), "VP8X", append([]byte{0x12, 0, 0, 0}, size...))
	form = appendChunk(form, "ANIM", make([]byte, 6))
	frame := append(append(make([]byte, 6), size...), 0, 0, 0, 0)
	frame = append(frame, losslessWebP(w, h, c)[12:]...)
	form = appendChunk(form, "ANMF", frame)
	return appendChunk(nil, "RIFF", appendChunk(form, "EXIF", exif(6)))
}

func TestWebP(t *testing.T) {
	red := color.NRGBA{200, 10, 10, 255}
	for name, file := range map[string][]byte{"still": losslessWebP(30, 20, red), "animated": animatedWebP(20, 30, red)} {
		info, err := Inspect(t.Context(), file, Limits{})
		if err != nil || info.Width != 30 || info.Height != 20 || info.Animated != (name == "animated") {
			t.Errorf("%s: %+v %v", name, info, err)
		}
		r := one(t, Go{}, file, Definition{Width: 15, Format: PNG}, nil)
		if c := color.NRGBAModel.Convert(decoded(t, r).At(7, 5)); c != red || r.Height != 10 {
			t.Errorf("%s: %v, %d × %d", name, c, r.Width, r.Height)
		}
	}
}

// FuzzRender: any bytes end in renditions or a fault, within limits, without a
// panic of our own or of a decoder.
func FuzzRender(f *testing.F) {
	small := corners(24, 16)
	gray := image.NewGray(image.Rect(0, 0, 9, 9))
	paletted := image.NewPaletted(small.Rect, color.Palette{color.White, color.Transparent, color.Black})
	for _, seed := range [][]byte{
		toJPEG(f, small, 60), toJPEG(f, gray, 60), withEXIF(toJPEG(f, small, 60), exif(7)),
		toJPEG(f, image.NewYCbCr(image.Rect(0, 0, 17, 17), image.YCbCrSubsampleRatio420), 50),
		toPNG(f, small), toPNG(f, gray), toPNG(f, paletted), toPNG(f, image.NewNRGBA64(image.Rect(0, 0, 5, 5))),
		withChunk(toPNG(f, small), "eXIf", exif(5)), withChunk(toPNG(f, small), "acTL", []byte{0, 0, 0, 2, 0, 0, 0, 0}),
		toGIF(f, 8, 8, 2), losslessWebP(9, 7, color.NRGBA{1, 2, 3, 4}), animatedWebP(9, 7, color.NRGBA{1, 2, 3, 4}),
		[]byte("%PDF-"), []byte("II*\x00"), nil,
	} {
		f.Add(seed)
	}
	e := Go{Limits: Limits{Pixels: 1 << 18, Memory: 16 << 20, Bytes: 1 << 20}}
	ds := []Definition{
		{Width: 40, Height: 30},
		{Width: 13, Height: 13, Fit: Crop, Format: PNG},
		{Width: 9, Height: 20, Fit: Pad},
		{Width: 20, Upscale: true, MaxBytes: 900, Require: Requirement{WhiteBorder: 0.5}},
		{Width: 2, Height: 2, Fit: Cover},
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		info, inspectErr := e.Inspect(t.Context(), file)
		rs, err := e.Render(t.Context(), file, ds, &Point{0.3, 0.9})
		var bad *Fault
		switch {
		case errors.As(err, &bad):
			if strings.Contains(bad.Text, "breaks its decoder") {
				t.Fatal("a panic")
			}
			return
		case err != nil:
			t.Fatalf("%v is no fault", err)
		case inspectErr != nil:
			t.Fatalf("renditions are made of what inspection refuses: %v", inspectErr)
		}
		for i, r := range rs {
			if r.Bytes == nil {
				continue
			}
			decoded(t, r)
			clean(t, r)
			if d := ds[i]; d.Width > 0 && r.Width > d.Width || d.Height > 0 && r.Height > d.Height {
				t.Errorf("%d × %d of %v by %+v", r.Width, r.Height, info, d)
			}
		}
	})
}

// FuzzEXIF: any block has an orientation, and what has one keeps it in the other
// byte order.
func FuzzEXIF(f *testing.F) {
	for o := range 10 {
		f.Add(exif(o))
	}
	f.Add([]byte("Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01"))
	f.Fuzz(func(t *testing.T, block []byte) {
		if o := exifOrientation(block); o < 1 || o > 8 {
			t.Errorf("orientation %d", o)
		}
	})
}

// FuzzProfile: any bytes are a profile that can be applied, or not.
func FuzzProfile(f *testing.F) {
	f.Add(testProfile(2.2, 0.5))
	f.Fuzz(func(t *testing.T, icc []byte) {
		p := readProfile(icc)
		if len([]rune(p.name)) > 64 {
			t.Errorf("the name is %q", p.name)
		}
		p.convert(1, 128, 255)
	})
}
