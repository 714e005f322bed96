package media

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"math"
	"testing"
)

// testProfile is an RGB profile with sRGB's primaries, but for green, of which
// only a share is there, and a plain gamma.
func testProfile(gamma, green float64) []byte {
	var icc []byte
	icc = append(icc, bytes.Repeat([]byte{0}, 12)...)
	icc = append(icc, "mntrRGB XYZ "...)
	icc = append(icc, bytes.Repeat([]byte{0}, 104)...)
	type tag struct {
		name string
		data []byte
	}
	xyz := func(v ...float64) []byte {
		b := append([]byte("XYZ "), 0, 0, 0, 0)
		for _, f := range v {
			b = binary.BigEndian.AppendUint32(b, uint32(int32(math.Round(f*65536))))
		}
		return b
	}
	g := uint16(gamma * 256)
	curve := []byte{'c', 'u', 'r', 'v', 0, 0, 0, 0, 0, 0, 0, 1, byte(g >> 8), byte(g)}
	tags := []tag{
		{"rXYZ", xyz(0.4360747, 0.2225045, 0.0139322)},
		{"gXYZ", xyz(0.3850649*green, 0.7168786*green, 0.0971045*green)},
		{"bXYZ", xyz(0.1430804, 0.0606169, 0.7141733)},
		{"rTRC", curve},
		{"gTRC", curve},
		{"bTRC", curve},
		{"desc", append([]byte{'d', 'e', 's', 'c', 0, 0, 0, 0, 0, 0, 0, 5}, "Test\x00"...)},
	}
	icc = binary.BigEndian.AppendUint32(icc, uint32(len(tags)))
	at := uint32(len(icc) + 12*len(tags))
	var data []byte
	for _, t := range tags {
		icc = append(icc, t.name...)
		icc = binary.BigEndian.AppendUint32(icc, at+uint32(len(data)))
		icc = binary.BigEndian.AppendUint32(icc, uint32(len(t.data)))
		data = append(data, t.data...)
	}
	return append(icc, data...)
}

// withProfile puts a profile behind a JPEG's first marker.
func withProfile(file, icc []byte) []byte {
	n := len(icc) + 16
	out := append([]byte{}, file[:2]...)
	out = append(out, 0xff, 0xe2, byte(n>>8), byte(n))
	out = append(append(out, "ICC_PROFILE\x00\x01\x01"...), icc...)
	return append(out, file[2:]...)
}

func TestProfiles(t *testing.T) {
	like := readProfile(testProfile(2.2, 1))
	if like.name != "Test" || !like.usable {
		t.Errorf("%q is usable: %v", like.name, like.usable)
	}
	half := readProfile(testProfile(2.2, 0.5))
	if half.isSRGB || !half.usable {
		t.Error("half the green counts as sRGB")
	}
	r, g, b := half.convert(0, 255, 0)
	if r > 2 || apart(g, 188) > 2 || b > 2 { // half the light of green
		t.Errorf("half the green is %d %d %d", r, g, b)
	}
	if w := [3]uint8(func() []uint8 { r, g, b := like.convert(255, 255, 255); return []uint8{r, g, b} }()); w != [3]uint8{255, 255, 255} {
		t.Errorf("white is %v", w)
	}
	// It reaches the renditions, of planes and of NRGBA, and each only once.
	img := image.NewNRGBA(image.Rect(0, 0, 64, 64))
	for i := range 64 * 64 {
		img.SetNRGBA(i%64, i/64, color.NRGBA{0, 255, 0, 255})
	}
	file := withProfile(toJPEG(t, img, 95), testProfile(2.2, 0.5))
	info, err := Inspect(t.Context(), file, Limits{})
	if err != nil || info.Profile != "Test" {
		t.Fatalf("%+v %v", info, err)
	}
	rs, err := Go{}.Render(t.Context(), file, []Definition{{Width: 32}, {Width: 16}, {Width: 8, Format: PNG}, {Width: 64, Format: PNG}, {Width: 20, Format: PNG}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rs {
		clean(t, r)
		c := color.NRGBAModel.Convert(decoded(t, r).At(4, 4)).(color.NRGBA)
		if len(r.Issues) > 0 || apart(c.G, 188) > 4 || c.R > 12 || c.B > 12 {
			t.Errorf("at %d: %v %v", r.Width, c, r.Issues)
		}
	}
	// What cannot be applied is told.
	broken := withProfile(toJPEG(t, img, 95), testProfile(2.2, 0.5)[:200])
	if got := codes(one(t, Go{}, broken, Definition{}, nil).Issues); len(got) != 1 || got[0] != "w:"+IssueColour {
		t.Errorf("a broken profile gives %v", got)
	}
}
