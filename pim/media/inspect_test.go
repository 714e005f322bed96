package media

import (
	"fmt"
	"image"
	"image/color"
	"testing"
)

func TestSniff(t *testing.T) {
	for head, want := range map[string]Format{
		"\xff\xd8\xff\xe0":                 JPEG,
		"\x89PNG\r\n\x1a\n":                PNG,
		"GIF89a":                           GIF,
		"RIFF\x00\x00\x00\x00WEBPVP8 ":     WebP,
		"RIFF\x00\x00\x00\x00WAVE":         "",
		"\x00\x00\x00\x18ftypavif":         AVIF,
		"\x00\x00\x00\x18ftypheic":         HEIC,
		"\x00\x00\x00\x18ftypmp42":         MP4,
		"II*\x00":                          TIFF,
		"BM":                               BMP,
		"%PDF-1.7":                         PDF,
		"PK\x03\x04":                       ZIP,
		"<svg xmlns":                       SVG,
		"<?xml version='1.0'?>\n<svg/>":    SVG,
		"<?xml version='1.0'?>\n<catalog>": "",
		"P6 1 1 255":                       PNM,
		"PAY":                              "",
		"":                                 "",
		"\xff\xd8":                         "",
	} {
		if got := Sniff([]byte(head)); got != want {
			t.Errorf("%q is %q, not %q", head, got, want)
		}
	}
	if PDF.Image() || !HEIC.Image() || Format("").Image() {
		t.Error("documents and images are mixed up")
	}
}

func TestInspect(t *testing.T) {
	small := corners(40, 20)
	gray := image.NewGray(image.Rect(0, 0, 5, 7))
	seeThrough := image.NewNRGBA(image.Rect(0, 0, 3, 3))
	for name, c := range map[string]struct {
		file []byte
		want Info
	}{
		"jpeg":         {toJPEG(t, small, 80), Info{Format: JPEG, Width: 40, Height: 20, Orientation: 1}},
		"turned jpeg":  {withEXIF(toJPEG(t, small, 80), exif(6)), Info{Format: JPEG, Width: 20, Height: 40, Orientation: 6}},
		"gray":         {toJPEG(t, gray, 80), Info{Format: JPEG, Width: 5, Height: 7, Orientation: 1}},
		"png":          {toPNG(t, small), Info{Format: PNG, Width: 40, Height: 20, Orientation: 1}},
		"turned png":   {withChunk(toPNG(t, small), "eXIf", exif(8)), Info{Format: PNG, Width: 20, Height: 40, Orientation: 8}},
		"alpha":        {toPNG(t, seeThrough), Info{Format: PNG, Width: 3, Height: 3, Orientation: 1, HasAlpha: true}},
		"gif":          {toGIF(t, 4, 2, 1), Info{Format: GIF, Width: 4, Height: 2, Orientation: 1, HasAlpha: true}},
		"animated gif": {toGIF(t, 4, 2, 3), Info{Format: GIF, Width: 4, Height: 2, Orientation: 1, HasAlpha: true, Animated: true}},
		"pdf":          {[]byte("%PDF-1.4 ..."), Info{Format: PDF, Document: true, Orientation: 1}},
	} {
		got, err := Inspect(t.Context(), c.file, Limits{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		c.want.MediaType = c.want.Format.MediaType()
		got.memory, got.planes, got.profile = 0, false, nil
		if got != c.want {
			t.Errorf("%s: %+v, not %+v", name, got, c.want)
		}
	}
}

func TestFaults(t *testing.T) {
	photo := toJPEG(t, corners(64, 64), 80)
	shot := toPNG(t, corners(64, 64))
	huge := append([]byte{}, shot...)
	copy(huge[16:], []byte{0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff}) // and the header's checksum is wrong
	wide := toJPEG(t, image.NewGray(image.Rect(0, 0, 20000, 1)), 50)
	for name, c := range map[string]struct {
		file   []byte
		limits Limits
		want   string
	}{
		"nothing":            {nil, Limits{}, FaultFormat},
		"text":               {[]byte("hello"), Limits{}, FaultFormat},
		"tiff":               {[]byte("II*\x00\x08\x00\x00\x00"), Limits{}, FaultUnsupported},
		"a document":         {[]byte("%PDF-1.4"), Limits{}, FaultDocument},
		"half a jpeg":        {photo[:len(photo)/2], Limits{}, FaultTruncated},
		"half a png":         {shot[:len(shot)/2], Limits{}, FaultTruncated},
		"a header":           {photo[:20], Limits{}, FaultTruncated},
		"a lying header":     {huge, Limits{}, FaultBroken},
		"too many bytes":     {photo, Limits{Bytes: 100}, FaultTooLarge},
		"too many pixels":    {photo, Limits{Pixels: 4095}, FaultPixels},
		"too wide":           {wide, Limits{Side: 19999}, FaultPixels},
		"too much to decode": {photo, Limits{Memory: 6000}, FaultMemory},
		"no time":            {toJPEG(t, corners(2000, 2000), 80), Limits{Time: 1}, FaultTime},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Go{Limits: c.limits}.Render(t.Context(), c.file, []Definition{{Width: 10}}, nil)
			wantFault(t, err, c.want)
		})
	}
}

// TestMemoryReckoning: a progressive image costs its decoder many times what a
// baseline one does, and is refused by what it costs.
func TestMemoryReckoning(t *testing.T) {
	file := toJPEG(t, image.NewYCbCr(image.Rect(0, 0, 800, 800), image.YCbCrSubsampleRatio420), 80)
	plain, err := Inspect(t.Context(), file, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	progressive := append([]byte{}, file...)
	for at := 2; ; at += 2 + int(be16(file[at+2:])) {
		if file[at+1] == 0xc0 {
			progressive[at+1] = 0xc2
			break
		}
	}
	costly, err := Inspect(t.Context(), progressive, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if plain.memory < 800*800*3/2 || costly.memory < 5*plain.memory {
		t.Errorf("baseline is reckoned at %d bytes, progressive at %d", plain.memory, costly.memory)
	}
	_, err = Inspect(t.Context(), progressive, Limits{Memory: plain.memory})
	wantFault(t, err, FaultMemory)
}

// TestCopyFits: the copy that is made of what is no planes counts, too. It gets
// smaller where that harms nothing, else there is a fault.
func TestCopyFits(t *testing.T) {
	file := toPNG(t, corners(1000, 1000)) // 4 MB to decode
	e := Go{Limits: Limits{Memory: 5_000_000}}
	if r := one(t, e, file, Definition{Width: 450}, nil); r.Width != 450 || quarters(t, decoded(t, r)) != "rgby" {
		t.Errorf("a copy of a quarter gives %d pixels", r.Width)
	}
	_, err := e.Render(t.Context(), file, []Definition{{Width: 800}}, nil)
	wantFault(t, err, FaultMemory)
	_, err = e.Render(t.Context(), file, []Definition{{Width: 300, Height: 300, Fit: Crop}, {}}, nil)
	wantFault(t, err, FaultMemory)
}

func TestManyScans(t *testing.T) {
	file := toJPEG(t, image.NewGray(image.Rect(0, 0, 8, 8)), 80)
	for range 300 {
		file = append(file, 0xff, 0xda, 0, 2)
	}
	_, err := Inspect(t.Context(), file, Limits{})
	wantFault(t, err, FaultBroken)
}

func TestOrientation(t *testing.T) {
	big := func(b []byte) []byte { // the same block in the other byte order
		return []byte{'M', 'M', 0, '*', 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, b[18], 0, 0}
	}
	for want := 1; want <= 8; want++ {
		for i, block := range [][]byte{exif(want), big(exif(want)), append([]byte("Exif\x00\x00"), exif(want)...)} {
			if got := exifOrientation(block); got != want {
				t.Errorf("block %d of %d is %d", i, want, got)
			}
		}
	}
	for name, block := range map[string][]byte{
		"nothing": nil, "zero": exif(0), "nine": exif(9), "cut": exif(6)[:15],
		"an offset beyond": {'I', 'I', '*', 0, 255, 255, 255, 255, 1, 0},
		"an offset within": {'I', 'I', '*', 0, 4, 0, 0, 0, 1, 0},
	} {
		if got := exifOrientation(block); got != 1 {
			t.Errorf("%s: %d", name, got)
		}
	}
}

// TestUpright: whatever the orientation says was done to a picture, its
// renditions show it upright, in every format that carries one.
func TestUpright(t *testing.T) {
	// What is stored when an upright picture of quarters rgby has an orientation.
	stored := []string{1: "rgby", 2: "gryb", 3: "ybgr", 4: "byrg", 5: "rbgy", 6: "gyrb", 7: "ygbr", 8: "bryg"}
	colours := map[byte]color.NRGBA{'r': {220, 20, 20, 255}, 'g': {20, 200, 20, 255}, 'b': {20, 20, 220, 255}, 'y': {230, 220, 20, 255}}
	for o := 1; o <= 8; o++ {
		w, h := 61, 41
		if turns[o].transpose {
			w, h = h, w
		}
		img := image.NewNRGBA(image.Rect(0, 0, w, h))
		for y := range h {
			for x := range w {
				img.SetNRGBA(x, y, colours[stored[o][2*(2*y/h)+2*x/w]])
			}
		}
		jpg, shot := withEXIF(toJPEG(t, img, 95), exif(o)), withChunk(toPNG(t, img), "eXIf", exif(o))
		for name, file := range map[string][]byte{"jpeg": jpg, "png": shot} {
			for _, d := range []Definition{{}, {Width: 30}, {Width: 31, Height: 31, Fit: Pad}, {Width: 20, Height: 20, Fit: Cover, Format: PNG}} {
				t.Run(fmt.Sprint(name, o, d.Fit, d.Width), func(t *testing.T) {
					r := one(t, Go{}, file, d, nil)
					clean(t, r)
					if got := quarters(t, decoded(t, r)); got != "rgby" {
						t.Errorf("the quarters are %s", got)
					}
					if d.Width == 30 && (r.Width != 30 || r.Height != 20) {
						t.Errorf("it is %d × %d", r.Width, r.Height)
					}
				})
			}
		}
	}
}
