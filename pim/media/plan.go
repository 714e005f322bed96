package media

import "math"

// rect is a part of an image, in pixels that need not be whole.
type rect struct{ x0, y0, x1, y1 float64 }

func (r rect) w() float64 { return r.x1 - r.x0 }
func (r rect) h() float64 { return r.y1 - r.y0 }

// contains reports whether o lies in r, but for what rounding does.
func (r rect) contains(o rect) bool {
	const e = 1e-6
	return r.x0 <= o.x0+e && r.y0 <= o.y0+e && r.x1 >= o.x1-e && r.y1 >= o.y1-e
}

// plan is how a definition meets one original: a part of the upright original is
// scaled to w × h pixels, and may come onto a canvas.
type plan struct {
	from             rect // of the upright original
	w, h             int  // of the picture
	canvasW, canvasH int  // of the rendition; those of the picture without pad
}

// density is how many pixels a pixel of the original becomes, along the side that
// keeps fewer.
func (p plan) density() float64 {
	return min(float64(p.w)/p.from.w(), float64(p.h)/p.from.h())
}

// newPlan fits an upright original of w × h pixels into a definition; shrink, at
// most 1, makes all of it smaller, for a byte budget.
func newPlan(d Definition, w, h int, focal *Point, shrink float64) plan {
	fw, fh := float64(w), float64(h)
	whole := rect{0, 0, fw, fh}
	target := func(n int) float64 { return max(float64(n)*shrink, 1) }
	switch d.Fit {
	case Cover, Crop:
		tw, th := target(d.Width), target(d.Height)
		scale := max(tw/fw, th/fh)
		if scale > 1 && !d.Upscale {
			tw, th, scale = tw/scale, th/scale, 1 // the same shape in fewer pixels
		}
		at := Point{0.5, 0.5}
		if d.Fit == Crop && focal != nil {
			at = *focal
		}
		p := plan{w: pixels(tw), h: pixels(th)}
		p.canvasW, p.canvasH = p.w, p.h
		cw, ch := min(tw/scale, fw), min(th/scale, fh)
		x, y := around(at.X, cw, fw), around(at.Y, ch, fh)
		if scale == 1 {
			// Whole pixels stay as they are.
			x, y, cw, ch = math.Round(x), math.Round(y), float64(min(p.w, w)), float64(min(p.h, h))
			x, y = min(x, fw-cw), min(y, fh-ch)
		}
		p.from = rect{x, y, x + cw, y + ch}
		return p
	default:
		scale := math.Inf(1)
		if d.Width > 0 {
			scale = target(d.Width) / fw
		}
		if d.Height > 0 {
			scale = min(scale, target(d.Height)/fh)
		}
		if math.IsInf(scale, 1) || (scale > shrink && !d.Upscale) {
			scale = min(scale, shrink)
		}
		p := plan{from: whole, w: pixels(fw * scale), h: pixels(fh * scale)}
		// A line of pixels made larger could become a sheet beyond all bounds.
		for p.w*p.h > MaxCanvas || max(p.w, p.h) > MaxSide {
			scale *= min(0.99, MaxSide/float64(max(p.w, p.h)), math.Sqrt(MaxCanvas/float64(p.w*p.h)))
			p.w, p.h = pixels(fw*scale), pixels(fh*scale)
		}
		p.canvasW, p.canvasH = p.w, p.h
		if d.Fit == Pad {
			p.canvasW, p.canvasH = pixels(target(d.Width)), pixels(target(d.Height))
			p.w, p.h = min(p.w, p.canvasW), min(p.h, p.canvasH)
		}
		return p
	}
}

// pixels rounds to a whole number of them, at least one.
func pixels(v float64) int { return max(int(math.Round(v)), 1) }

// around is where a stretch of size within whole begins so that at (0..1) is as
// near to its middle as may be.
func around(at, size, whole float64) float64 {
	if math.IsNaN(at) {
		at = 0.5
	}
	return min(max(at*whole-size/2, 0), whole-size)
}
