package media

import (
	"context"
	"image"
	"image/color"
	"math"

	"github.com/disintegration/imaging"
)

// picture is an image between decoding and encoding: planes of luma and, at
// their own size, chroma (opaque, as JPEG and lossy WebP store it; BT.601 with
// full range), or NRGBA. Planes cost a third of what NRGBA does, and a JPEG takes
// them as they are.
type picture struct {
	w, h   int
	y      plane
	cb, cr plane // empty: gray
	// Pixels per chroma sample.
	chromaX, chromaY float64

	rgba *image.NRGBA // instead of planes

	turned turn // how it has to be turned to be upright; only for planes as decoded
}

func (p *picture) gray() bool { return p.rgba == nil && p.cb.pix == nil }

// upright gives the size once it is turned.
func (p *picture) upright() (w, h int) {
	if p.turned.transpose {
		return p.h, p.w
	}
	return p.w, p.h
}

// scale makes w × h upright pixels of a part of the upright picture. fine keeps
// chroma at every pixel, else it has half of each side, as in a JPEG to come.
func (p *picture) scale(ctx context.Context, from rect, w, h int, fine bool) (*picture, error) {
	if p.rgba != nil {
		return p.scaleRGBA(ctx, from, w, h)
	}
	if p.turned.transpose {
		from = rect{from.y0, from.x0, from.y1, from.x1}
		w, h = h, w
	}
	fw, fh := float64(p.w), float64(p.h)
	if p.turned.flipX {
		from.x0, from.x1 = fw-from.x0, fw-from.x1
	}
	if p.turned.flipY {
		from.y0, from.y1 = fh-from.y0, fh-from.y1
	}
	every := 2.0
	if fine {
		every = 1
	}
	out := &picture{w: w, h: h, chromaX: every, chromaY: every}
	var err error
	if out.y, err = scalePlane(ctx, p.y, from, w, h, 1, 1, 1); err != nil {
		return nil, err
	}
	if !p.gray() {
		if out.cb, err = scalePlane(ctx, p.cb, from, w, h, p.chromaX, p.chromaY, every); err != nil {
			return nil, err
		}
		if out.cr, err = scalePlane(ctx, p.cr, from, w, h, p.chromaX, p.chromaY, every); err != nil {
			return nil, err
		}
	}
	if p.turned.transpose {
		out.w, out.h = h, w
		out.y = out.y.transposed()
		if !p.gray() {
			out.cb, out.cr = out.cb.transposed(), out.cr.transposed()
		}
	}
	return out, nil
}

// scalePlane scales one plane, whose samples cover sx × sy pixels, for a picture
// of w × h pixels with a sample for every pixel or every second one. What is four
// or more times too large is averaged first, to at least twice the size: that
// costs an addition a sample where the filter costs six multiplications, and the
// filter removes what averaging lets through.
func scalePlane(ctx context.Context, src plane, from rect, w, h int, sx, sy, every float64) (plane, error) {
	n := func(v int) int { return int(math.Ceil(float64(v) / every)) }
	across := axis{from.x0 / sx, from.x1 / sx, float64(w) / every, n(w), src.w}
	down := axis{from.y0 / sy, from.y1 / sy, float64(h) / every, n(h), src.h}
	ratio := min(math.Abs(across.to-across.from)/across.extent, math.Abs(down.to-down.from)/down.extent)
	if k := int(ratio / 2); k >= 2 {
		var err error
		if src, err = boxShrink(ctx, src, k); err != nil {
			return plane{}, err
		}
		f := float64(k)
		across = axis{across.from / f, across.to / f, across.extent, across.n, src.w}
		down = axis{down.from / f, down.to / f, down.extent, down.n, src.h}
	}
	return resample(ctx, src, across, down)
}

// scaleRGBA is scale with the imaging module, whose Lanczos filter works on a
// part cut out at whole pixels. It is told apart from what it could break: p.rgba
// is ours.
func (p *picture) scaleRGBA(ctx context.Context, from rect, w, h int) (*picture, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	x0, y0 := min(int(math.Round(from.x0)), p.w-1), min(int(math.Round(from.y0)), p.h-1)
	x1, y1 := max(min(int(math.Round(from.x1)), p.w), x0+1), max(min(int(math.Round(from.y1)), p.h), y0+1)
	cut := p.rgba
	if x0 > 0 || y0 > 0 || x1 < p.w || y1 < p.h {
		cut = imaging.Crop(cut, image.Rect(x0, y0, x1, y1))
	}
	if cut.Rect.Dx() != w || cut.Rect.Dy() != h {
		cut = imaging.Resize(cut, w, h, imaging.Lanczos)
	}
	return &picture{w: w, h: h, rgba: cut}, nil
}

// nrgba gives the picture's pixels, in a copy if they are planes.
func (p *picture) nrgba() *image.NRGBA {
	if p.rgba != nil {
		return p.rgba
	}
	out := image.NewNRGBA(image.Rect(0, 0, p.w, p.h))
	for y := range p.h {
		row := out.Pix[y*out.Stride : y*out.Stride+4*p.w]
		luma := p.y.row(y)
		if p.gray() {
			for x, v := range luma {
				row[4*x], row[4*x+1], row[4*x+2], row[4*x+3] = v, v, v, 255
			}
			continue
		}
		at := min(int(float64(y)/p.chromaY), p.cb.h-1)
		cb, cr := p.cb.row(at), p.cr.row(at)
		for x, v := range luma {
			c := min(int(float64(x)/p.chromaX), len(cb)-1)
			row[4*x], row[4*x+1], row[4*x+2] = color.YCbCrToRGB(v, cb[c], cr[c])
			row[4*x+3] = 255
		}
	}
	return out
}

// opaque reports whether no pixel is transparent.
func (p *picture) opaque() bool { return p.rgba == nil || p.rgba.Opaque() }

// padded puts the picture on the middle of a canvas.
func (p *picture) padded(w, h int, background color.NRGBA) *picture {
	canvas := imaging.New(w, h, background)
	at := image.Pt((w-p.w)/2, (h-p.h)/2)
	return &picture{w: w, h: h, rgba: imaging.Overlay(canvas, p.nrgba(), at, 1)}
}

// flattened puts the picture on a background.
func (p *picture) flattened(background color.NRGBA) *picture {
	if p.opaque() {
		return p
	}
	return p.padded(p.w, p.h, background)
}

// whiteBorder is the share of the outermost pixels whose channels are all at
// least 250. A transparent pixel is not white.
func (p *picture) whiteBorder() float64 {
	const white = 250
	all, found := 0, 0
	look := func(x, y int) {
		all++
		if r, g, b, a := p.at(x, y); min(r, g, b) >= white && a == 255 {
			found++
		}
	}
	for x := range p.w {
		look(x, 0)
		if p.h > 1 {
			look(x, p.h-1)
		}
	}
	for y := 1; y < p.h-1; y++ {
		look(0, y)
		if p.w > 1 {
			look(p.w-1, y)
		}
	}
	return float64(found) / float64(all)
}

func (p *picture) at(x, y int) (r, g, b, a uint8) {
	if p.rgba != nil {
		c := p.rgba.Pix[y*p.rgba.Stride+4*x:]
		return c[0], c[1], c[2], c[3]
	}
	v := p.y.row(y)[x]
	if p.gray() {
		return v, v, v, 255
	}
	cx, cy := min(int(float64(x)/p.chromaX), p.cb.w-1), min(int(float64(y)/p.chromaY), p.cb.h-1)
	r, g, b = color.YCbCrToRGB(v, p.cb.row(cy)[cx], p.cr.row(cy)[cx])
	return r, g, b, 255
}
