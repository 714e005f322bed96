package media

import (
	"bytes"
	"math"
	"strings"
	"unicode/utf16"
)

// profile is an embedded ICC profile (ICC.1:2022), as far as this package reads
// one: those of RGB screens and cameras, three primaries with a curve each.
type profile struct {
	name   string
	isSRGB bool // within what nobody sees
	cmyk   bool
	usable bool           // matrix and curves are there
	curves [3][256]uint16 // linear light of a sample, 0..65535
	matrix [3][3]float64  // linear RGB of the profile → linear sRGB
}

// sRGB's primaries in the profile connection space (D50), from ICC.1 by way of
// IEC 61966-2-1: the inverse of the matrix of the usual sRGB profile.
var xyzToSRGB = [3][3]float64{
	{3.1338561, -1.6168667, -0.4906146},
	{-0.9787684, 1.9161415, 0.0334540},
	{0.0719453, -0.2289914, 1.4052427},
}

// readProfile understands what it can; what it cannot leaves usable false.
func readProfile(icc []byte) *profile {
	p := &profile{name: "unnamed"}
	if len(icc) < 132 {
		p.name = "broken"
		return p
	}
	tags := profileTags(icc)
	if name := profileText(tags["desc"]); name != "" {
		p.name = name
	}
	space := string(icc[16:20])
	p.cmyk = space == "CMYK"
	if space == "GRAY" { // its curve is as good as sRGB's for what photographs of goods are
		p.isSRGB = true
	}
	if space != "RGB " || string(icc[20:24]) != "XYZ " {
		return p
	}
	var toXYZ [3][3]float64
	for c, tag := range []string{"r", "g", "b"} {
		xyz, curve := tags[tag+"XYZ"], tags[tag+"TRC"]
		if len(xyz) < 20 || !readCurve(curve, &p.curves[c]) {
			return p
		}
		for row := range 3 {
			toXYZ[row][c] = s15(xyz[8+4*row:])
		}
	}
	for r := range 3 {
		for c := range 3 {
			for k := range 3 {
				p.matrix[r][c] += float64(xyzToSRGB[r][k] * toXYZ[k][c])
			}
		}
	}
	p.usable = true
	p.isSRGB = p.nearSRGB()
	return p
}

// nearSRGB tries colours all over the cube.
func (p *profile) nearSRGB() bool {
	for _, r := range []uint8{0, 64, 128, 192, 255} {
		for _, g := range []uint8{0, 64, 128, 192, 255} {
			for _, b := range []uint8{0, 64, 128, 192, 255} {
				x, y, z := p.convert(r, g, b)
				const unseen = 3 // of 255
				if max(apart(x, r), apart(y, g), apart(z, b)) > unseen {
					return false
				}
			}
		}
	}
	return true
}

func apart(a, b uint8) int { return max(int(a)-int(b), int(b)-int(a)) }

// convert gives a colour in sRGB; what sRGB cannot show is clipped.
func (p *profile) convert(r, g, b uint8) (x, y, z uint8) {
	lr, lg, lb := float64(p.curves[0][r]), float64(p.curves[1][g]), float64(p.curves[2][b])
	var out [3]uint8
	for i, m := range p.matrix {
		v := float64(m[0]*lr) + float64(m[1]*lg) + float64(m[2]*lb)
		out[i] = srgbGamma[int(min(max(v, 0), 65535))>>4]
	}
	return out[0], out[1], out[2]
}

// apply converts pixels in place; alpha stays.
func (p *profile) apply(pix []uint8) {
	for i := 0; i+4 <= len(pix); i += 4 {
		pix[i], pix[i+1], pix[i+2] = p.convert(pix[i], pix[i+1], pix[i+2])
	}
}

// srgbGamma is sRGB's transfer function (IEC 61966-2-1) of 12-bit linear light.
var srgbGamma = func() (t [4096]uint8) {
	for i := range t {
		v := (float64(i) + 0.5) / 4096
		if v <= 0.0031308 {
			v *= 12.92
		} else {
			v = float64(1.055*math.Pow(v, 1/2.4)) - 0.055
		}
		t[i] = uint8(min(max(math.Round(v*255), 0), 255))
	}
	t[0], t[4095] = 0, 255
	return t
}()

// profileTags gives the tags' data, of the first 64.
func profileTags(icc []byte) map[string][]byte {
	tags := map[string][]byte{}
	n := min(int(be32(icc[128:])), 64)
	for at := 132; n > 0 && at+12 <= len(icc); n, at = n-1, at+12 {
		from, size := int64(be32(icc[at+4:])), int64(be32(icc[at+8:]))
		if from+size <= int64(len(icc)) && size >= 8 {
			tags[string(icc[at:at+4])] = icc[from : from+size]
		}
	}
	return tags
}

// profileText reads a description: ICC version 2's or a multilingual one.
func profileText(b []byte) string {
	const most = 64
	var text string
	switch {
	case len(b) >= 12 && string(b[:4]) == "desc":
		body := b[12:]
		text = string(body[:min(int64(be32(b[8:])), int64(len(body)))])
	case len(b) >= 28 && string(b[:4]) == "mluc" && be32(b[8:]) >= 1:
		size, from := int64(be32(b[20:])), int64(be32(b[24:]))
		if from+size > int64(len(b)) {
			return ""
		}
		var units []uint16
		for u := b[from : from+size]; len(u) >= 2 && len(units) < most; u = u[2:] {
			units = append(units, be16(u))
		}
		text = string(utf16.Decode(units))
	}
	text = string(bytes.TrimRight([]byte(text), "\x00 "))
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	if r := []rune(text); len(r) > most {
		text = string(r[:most])
	}
	return text
}

func s15(b []byte) float64 { return float64(int32(be32(b))) / 65536 }

// readCurve reads a curve or parametric curve into a table of linear light.
func readCurve(b []byte, t *[256]uint16) bool {
	if len(b) < 12 {
		return false
	}
	var f func(v float64) float64
	switch string(b[:4]) {
	case "curv":
		n := int64(be32(b[8:]))
		points := b[12:]
		switch {
		case n == 0:
			f = func(v float64) float64 { return v }
		case n == 1 && len(points) >= 2:
			gamma := float64(be16(points)) / 256
			f = func(v float64) float64 { return math.Pow(v, gamma) }
		case n >= 2 && 2*n <= int64(len(points)):
			f = func(v float64) float64 {
				at := float64(v * float64(n-1))
				i := min(int64(at), n-2)
				lo, hi := float64(be16(points[2*i:])), float64(be16(points[2*i+2:]))
				return (lo + float64((hi-lo)*(at-float64(i)))) / 65535
			}
		default:
			return false
		}
	case "para":
		counts := []int{1, 3, 4, 5, 7}
		kind := int(be16(b[8:]))
		if kind >= len(counts) || len(b) < 12+4*counts[kind] {
			return false
		}
		var k [7]float64 // g a b c d e f
		for i := range counts[kind] {
			k[i] = s15(b[12+4*i:])
		}
		f = parametric(kind, k)
	default:
		return false
	}
	for i := range t {
		v := f(float64(i) / 255)
		if math.IsNaN(v) {
			return false
		}
		t[i] = uint16(math.Round(min(max(v, 0), 1) * 65535))
	}
	return true
}

// parametric is a function of ICC.1:2022, table 68.
func parametric(kind int, k [7]float64) func(float64) float64 {
	g, a, b, c, d, e, f := k[0], k[1], k[2], k[3], k[4], k[5], k[6]
	power := func(v float64) float64 { return math.Pow(max(float64(a*v)+b, 0), g) }
	return func(v float64) float64 {
		switch kind {
		case 0:
			return math.Pow(v, g)
		case 1, 2:
			if a != 0 && v < -b/a {
				return map[bool]float64{true: c, false: 0}[kind == 2]
			}
			if kind == 1 {
				return power(v)
			}
			return power(v) + c
		case 3:
			if v < d {
				return float64(c * v)
			}
			return power(v)
		default:
			if v < d {
				return float64(c*v) + f
			}
			return power(v) + e
		}
	}
}
