package media

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"math"

	"github.com/disintegration/imaging"
	"golang.org/x/image/webp"
)

// stopping ends a decoder with the context: decoders read as they go.
type stopping struct {
	ctx context.Context
	r   io.Reader
}

func (s stopping) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}

// decode makes a picture of an original that Inspect let pass. most is the density
// beyond which nobody needs it: what becomes NRGBA is averaged down to that while
// it is copied.
func decode(ctx context.Context, original []byte, info Info, most float64) (*picture, error) {
	var p *picture
	err := guard(func() error {
		img, err := decodeImage(ctx, original, info)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
		w, h := info.stored()
		if info.Format != GIF && (img.Bounds().Dx() != w || img.Bounds().Dy() != h) {
			return fault(FaultBroken, "the image is not as large as its header says")
		}
		p, err = toPicture(ctx, img, w, h, turns[info.Orientation], most)
		return err
	})
	return p, err
}

func decodeImage(ctx context.Context, original []byte, info Info) (image.Image, error) {
	from := func(b []byte) io.Reader { return stopping{ctx, bytes.NewReader(b)} }
	switch info.Format {
	case JPEG:
		return jpeg.Decode(from(original))
	case PNG:
		img, err := png.Decode(from(original))
		if err != nil && ctx.Err() == nil && !walkPNG(original).ended {
			err = io.ErrUnexpectedEOF // which the decoder takes for too few pixels
		}
		return img, err
	case GIF:
		return gif.Decode(from(original))
	default:
		chunks, err := walkWebP(original)
		if err != nil {
			return nil, err
		}
		img, err := webp.Decode(from(chunks.still))
		switch img := img.(type) {
		case *image.YCbCr:
			fullRange(img)
		case *image.NYCbCrA:
			fullRange(&img.YCbCr)
		}
		return img, err
	}
}

// fullRange stretches what VP8 stores from 16 to 235, or 240, (RFC 6386, 9.2) to
// what the rest of the world calls YCbCr here; the decoder leaves that to its
// caller.
func fullRange(img *image.YCbCr) {
	var luma, chroma [256]uint8
	for i := range 256 {
		clip := func(v float64) uint8 { return uint8(min(max(math.Round(v), 0), 255)) }
		luma[i] = clip(float64(i-16) * 255 / 219)
		chroma[i] = clip(float64(i-128)*255/224 + 128)
	}
	for i, v := range img.Y {
		img.Y[i] = luma[v]
	}
	for i, v := range img.Cb {
		img.Cb[i] = chroma[v]
	}
	for i, v := range img.Cr {
		img.Cr[i] = chroma[v]
	}
}

// toPicture takes planes as they are, and copies all else.
func toPicture(ctx context.Context, img image.Image, w, h int, t turn, most float64) (*picture, error) {
	b := img.Bounds()
	switch img := img.(type) {
	case *image.Gray:
		y := plane{img.Pix[img.PixOffset(b.Min.X, b.Min.Y):], img.Stride, w, h}
		return &picture{w: w, h: h, y: y, turned: t}, nil
	case *image.YCbCr:
		if sx, sy, ok := ratios(img.SubsampleRatio); ok {
			cw, ch := (w+sx-1)/sx, (h+sy-1)/sy
			at := img.COffset(b.Min.X, b.Min.Y)
			return &picture{
				w: w, h: h, chromaX: float64(sx), chromaY: float64(sy), turned: t,
				y:  plane{img.Y[img.YOffset(b.Min.X, b.Min.Y):], img.YStride, w, h},
				cb: plane{img.Cb[at:], img.CStride, cw, ch},
				cr: plane{img.Cr[at:], img.CStride, cw, ch},
			}, nil
		}
	}
	rgba, err := copyNRGBA(ctx, img, w, h, most)
	if err != nil {
		return nil, err
	}
	rgba = turnNRGBA(rgba, t)
	return &picture{w: rgba.Rect.Dx(), h: rgba.Rect.Dy(), rgba: rgba}, nil
}

func turnNRGBA(img *image.NRGBA, t turn) *image.NRGBA {
	if t.flipX {
		img = imaging.FlipH(img)
	}
	if t.flipY {
		img = imaging.FlipV(img)
	}
	if t.transpose {
		img = imaging.Transpose(img)
	}
	return img
}

func ratios(r image.YCbCrSubsampleRatio) (x, y int, ok bool) {
	switch r {
	case image.YCbCrSubsampleRatio444:
		return 1, 1, true
	case image.YCbCrSubsampleRatio422:
		return 2, 1, true
	case image.YCbCrSubsampleRatio420:
		return 2, 2, true
	case image.YCbCrSubsampleRatio440:
		return 1, 2, true
	case image.YCbCrSubsampleRatio411:
		return 4, 1, true
	case image.YCbCrSubsampleRatio410:
		return 4, 2, true
	}
	return 0, 0, false
}

// copyNRGBA copies an image of any kind onto a canvas of w × h, row by row. A
// density of most below 1 averages areas on the way, with their alpha as weight.
func copyNRGBA(ctx context.Context, img image.Image, w, h int, most float64) (*image.NRGBA, error) {
	row := rowReader(img)
	b := img.Bounds().Intersect(image.Rect(0, 0, w, h))
	line := make([]uint8, 4*w)
	read := func(y int) {
		if b.Dx() < w || y < b.Min.Y || y >= b.Max.Y {
			clear(line)
		}
		if y >= b.Min.Y && y < b.Max.Y {
			row(y, b.Min.X, line[4*b.Min.X:4*b.Max.X])
		}
	}
	if most >= 1 {
		out := image.NewNRGBA(image.Rect(0, 0, w, h))
		for y := range h {
			if y%64 == 0 && ctx.Err() != nil {
				return nil, ctx.Err()
			}
			read(y)
			copy(out.Pix[y*out.Stride:], line)
		}
		return out, nil
	}
	return averaged(ctx, read, line, w, h, most)
}

// averaged is copyNRGBA to a smaller canvas: each pixel of it is the mean of the
// area that it stands for.
func averaged(ctx context.Context, read func(y int), line []uint8, w, h int, density float64) (*image.NRGBA, error) {
	ow, oh := pixels(float64(w)*density), pixels(float64(h)*density)
	out := image.NewNRGBA(image.Rect(0, 0, ow, oh))
	across, down := shares(w, ow), shares(h, oh)
	sums := make([]uint64, 4*(ow+1))  // of the row of areas at hand
	below := make([]uint64, 4*(ow+1)) // of the one after it
	flush := func(y int) {
		pix := out.Pix[y*out.Stride : y*out.Stride+4*ow]
		area := uint64(w) * uint64(h) << (2 * shareBits) / (uint64(ow) * uint64(oh))
		for x := range ow {
			s, d := sums[4*x:4*x+4], pix[4*x:4*x+4]
			if s[3] == 0 {
				continue
			}
			for c := range 3 {
				d[c] = uint8(min((s[c]+s[3]/2)/s[3], 255))
			}
			d[3] = uint8(min((s[3]+area/2)/area, 255))
		}
	}
	at := 0
	for y := range h {
		if y%64 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		read(y)
		if down[y].at > at {
			flush(at)
			sums, below = below, sums
			clear(below)
			at = down[y].at
		}
		here, next := uint64(down[y].here), uint64(down[y].next)
		for x, s := range across {
			p := line[4*x : 4*x+4]
			if p[3] == 0 {
				continue
			}
			put := func(to []uint64, weight uint64) {
				if weight == 0 {
					return
				}
				a := uint64(p[3]) * weight
				to[0] += uint64(p[0]) * a
				to[1] += uint64(p[1]) * a
				to[2] += uint64(p[2]) * a
				to[3] += a
			}
			put(sums[4*s.at:4*s.at+4], here*uint64(s.here))
			put(sums[4*s.at+4:4*s.at+8], here*uint64(s.next))
			if next > 0 {
				put(below[4*s.at:4*s.at+4], next*uint64(s.here))
				put(below[4*s.at+4:4*s.at+8], next*uint64(s.next))
			}
		}
	}
	flush(at)
	return out, nil
}

// share says to which result a sample belongs, and how much of it to the next.
type share struct {
	at         int
	here, next uint16 // of 1<<shareBits
}

const shareBits = 8

// shares spreads n samples over fewer results.
func shares(n, results int) []share {
	all := make([]share, n)
	for i := range all {
		// In units of a sample × results the borders are whole numbers.
		from, to := i*results, (i+1)*results
		at := from / n
		border := (at + 1) * n
		s := share{at: at, here: 1 << shareBits}
		if to > border && at+1 < results {
			s.next = uint16(((to-border)<<shareBits + results/2) / results)
			s.here -= s.next
		}
		all[i] = s
	}
	return all
}

// rowReader gives a function that reads a stretch of a row as NRGBA. It knows the
// kinds that the decoders make; another goes through its At.
func rowReader(img image.Image) func(y, x0 int, dst []uint8) {
	switch img := img.(type) {
	case *image.NRGBA:
		return func(y, x0 int, dst []uint8) { copy(dst, img.Pix[img.PixOffset(x0, y):]) }
	case *image.RGBA: // of decoders: opaque
		if img.Opaque() {
			return func(y, x0 int, dst []uint8) { copy(dst, img.Pix[img.PixOffset(x0, y):]) }
		}
	case *image.Paletted:
		var table [256][4]uint8
		for i, c := range img.Palette {
			if i < len(table) {
				n := color.NRGBAModel.Convert(c).(color.NRGBA)
				table[i] = [4]uint8{n.R, n.G, n.B, n.A}
			}
		}
		return func(y, x0 int, dst []uint8) {
			src := img.Pix[img.PixOffset(x0, y):]
			for x := range len(dst) / 4 {
				*(*[4]uint8)(dst[4*x:]) = table[src[x]]
			}
		}
	case *image.CMYK:
		return func(y, x0 int, dst []uint8) {
			src := img.Pix[img.PixOffset(x0, y):]
			for x := range len(dst) / 4 {
				s := src[4*x : 4*x+4]
				dst[4*x], dst[4*x+1], dst[4*x+2] = color.CMYKToRGB(s[0], s[1], s[2], s[3])
				dst[4*x+3] = 255
			}
		}
	case *image.Gray16: // the upper byte of each sample is enough for what is written
		return func(y, x0 int, dst []uint8) {
			src := img.Pix[img.PixOffset(x0, y):]
			for x := range len(dst) / 4 {
				v := src[2*x]
				dst[4*x], dst[4*x+1], dst[4*x+2], dst[4*x+3] = v, v, v, 255
			}
		}
	case *image.NRGBA64:
		return func(y, x0 int, dst []uint8) { upperBytes(dst, img.Pix[img.PixOffset(x0, y):]) }
	case *image.RGBA64: // of decoders: opaque
		if img.Opaque() {
			return func(y, x0 int, dst []uint8) { upperBytes(dst, img.Pix[img.PixOffset(x0, y):]) }
		}
	case *image.NYCbCrA:
		return func(y, x0 int, dst []uint8) {
			for x := range len(dst) / 4 {
				yi, ci := img.YOffset(x0+x, y), img.COffset(x0+x, y)
				dst[4*x], dst[4*x+1], dst[4*x+2] = color.YCbCrToRGB(img.Y[yi], img.Cb[ci], img.Cr[ci])
				dst[4*x+3] = img.A[img.AOffset(x0+x, y)]
			}
		}
	}
	return func(y, x0 int, dst []uint8) {
		for x := range len(dst) / 4 {
			c := color.NRGBAModel.Convert(img.At(x0+x, y)).(color.NRGBA)
			dst[4*x], dst[4*x+1], dst[4*x+2], dst[4*x+3] = c.R, c.G, c.B, c.A
		}
	}
}

func upperBytes(dst, src []uint8) {
	for i := range dst {
		dst[i] = src[2*i]
	}
}
