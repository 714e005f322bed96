package media

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"math"
	"slices"

	"github.com/sluicehub/sluice/pim"
)

// goVersion is the built-in engine's Version. It rises with every change that
// makes other bytes of the same original: a test holds the bytes of one.
const goVersion = "go-1"

// Result is one rendition.
type Result struct {
	Bytes   []byte      `json:"-"` // nil when none could be made within the definition's byte budget
	Format  Format      `json:"format"`
	Width   int         `json:"width"`
	Height  int         `json:"height"`
	Quality int         `json:"quality,omitempty"` // what the byte budget left of it; 0 of a PNG
	Issues  []pim.Issue `json:"issues,omitempty"`  // errors: the target would refuse it; Attribute is left to the caller
}

// The codes of issues.
const (
	IssueTooSmall   = "rendition.too_small"
	IssueTooLarge   = "rendition.too_large"
	IssueShape      = "rendition.shape"
	IssueBackground = "rendition.background"
	IssueAlpha      = "rendition.alpha"
	IssueBytes      = "rendition.bytes"  // more or fewer than the target takes
	IssueBudget     = "rendition.budget" // no size and quality keeps the byte budget; a warning: a smaller size does
	IssueColour     = "rendition.colour" // a warning: colours may differ from what the original means
	IssueFrame      = "rendition.frame"  // a warning: only the first frame is shown
	IssueFormat     = "rendition.format" // the engine does not write the format
)

// Go is the built-in engine: JPEG, PNG, GIF and WebP in (of an animation the
// first frame), JPEG and PNG out. Its zero value has DefaultLimits.
type Go struct{ Limits Limits }

var _ Engine = Go{}

// Version is the same on every machine.
func (Go) Version() string { return goVersion }

// Writes is true of JPEG and PNG.
func (Go) Writes(f Format) bool { return f == JPEG || f == PNG }

// Inspect is the function of the package, with the engine's limits.
func (g Go) Inspect(ctx context.Context, original []byte) (Info, error) {
	return Inspect(ctx, original, g.Limits)
}

// Render decodes once and makes the largest rendition first; each smaller one is
// made of the smallest that has at least twice its pixels on each side.
func (g Go) Render(ctx context.Context, original []byte, definitions []Definition, focal *Point) ([]Result, error) {
	l := g.Limits.orDefaults()
	info, err := Inspect(ctx, original, l)
	if err != nil {
		return nil, err
	}
	if info.Document {
		return nil, fault(FaultDocument, "%s is no image", info.MediaType)
	}
	var results []Result
	err = within(ctx, l.Time, func(ctx context.Context) error {
		r := renderer{ctx: ctx, info: info, focal: focal, writes: g.Writes, encode: encodeGo, notes: info.notes()}
		return guardOwn(func() error {
			results, err = r.all(definitions, func(need, most float64) (*picture, error) {
				most, err := info.enough(l, need, most)
				if err != nil {
					return nil, err
				}
				return decode(ctx, original, info, most)
			})
			return err
		})
	})
	return results, err
}

// encoder writes a picture that is ready; an error is the context's or one of the
// encoder's program.
type encoder func(ctx context.Context, p *picture, f Format, quality int) ([]byte, error)

// renderer makes the renditions of one original.
type renderer struct {
	ctx    context.Context
	info   Info
	focal  *Point
	writes func(Format) bool
	encode encoder
	base   *picture
	scaled []scaled
	notes  []pim.Issue // about the original, for every rendition
}

// scaled is a picture that was made, and of what part of the upright original.
type scaled struct {
	*picture
	from    rect
	density float64
	fine    bool
}

// all makes every rendition. decode gives the picture to start from, of a density
// that is at least need; beyond most nobody needs it: twice the largest rendition
// is enough for a filter to work on.
func (r *renderer) all(definitions []Definition, decode func(need, most float64) (*picture, error)) ([]Result, error) {
	results := make([]Result, len(definitions))
	plans := make([]plan, len(definitions))
	var order []int
	most := 0.0
	for i, d := range definitions {
		d = d.normal()
		if !r.writes(d.Format) {
			results[i] = Result{Format: d.Format, Issues: []pim.Issue{{
				Code: IssueFormat, Severity: pim.SeverityError, Text: fmt.Sprintf("%s is not written by this engine", d.Format),
			}}}
			continue
		}
		plans[i] = newPlan(d, r.info.Width, r.info.Height, r.focal, 1)
		most = max(most, plans[i].density())
		order = append(order, i)
	}
	if len(order) == 0 {
		return results, nil
	}
	var err error
	if r.base, err = decode(min(most, 1), min(2*most, 1)); err != nil {
		return nil, err
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(plans[b].density(), plans[a].density()) })
	for _, i := range order {
		if results[i], err = r.one(definitions[i].normal(), plans[i]); err != nil {
			return nil, err
		}
	}
	return results, nil
}

// notes tells what renditions of the built-in engine lose of an original.
func (i Info) notes() (notes []pim.Issue) {
	warn := func(code, text string) {
		notes = append(notes, pim.Issue{Code: code, Severity: pim.SeverityWarning, Text: text})
	}
	if i.Animated {
		warn(IssueFrame, "the original is animated; the rendition shows its first frame")
	}
	switch {
	case i.CMYK:
		warn(IssueColour, "the original is CMYK and was converted without its colour profile; the vips engine applies it")
	case i.profile != nil && !i.profile.usable:
		warn(IssueColour, fmt.Sprintf("the original's colour profile %q cannot be applied; the vips engine can", i.Profile))
	}
	return notes
}

// one makes one rendition.
func (r *renderer) one(d Definition, p plan) (Result, error) {
	out := Result{Format: d.Format, Issues: slices.Clone(r.notes)}
	ready, err := r.picture(d, p)
	if err != nil {
		return Result{}, err
	}
	out.Bytes, out.Quality, err = r.within(ready, d)
	if err != nil {
		return Result{}, err
	}
	for shrink := 1.0; out.Bytes == nil; {
		const step, least = 0.85, 1.0 / 32
		if shrink *= step; shrink < least {
			out.Width, out.Height = ready.w, ready.h
			out.Issues = append(out.Issues, pim.Issue{
				Code: IssueBudget, Severity: pim.SeverityError,
				Text: fmt.Sprintf("no size and quality keeps it within %d bytes", d.MaxBytes),
			})
			return out, nil
		}
		p = newPlan(d, r.info.Width, r.info.Height, r.focal, shrink)
		if ready, err = r.picture(d, p); err != nil {
			return Result{}, err
		}
		if out.Bytes, out.Quality, err = r.within(ready, d); err != nil {
			return Result{}, err
		}
		if out.Bytes != nil {
			out.Issues = append(out.Issues, pim.Issue{
				Code: IssueBudget, Severity: pim.SeverityWarning,
				Text: fmt.Sprintf("%d bytes allow only %d × %d pixels", d.MaxBytes, ready.w, ready.h),
			})
		}
	}
	out.Width, out.Height = ready.w, ready.h
	out.Issues = append(out.Issues, d.Require.issues(ready, p, len(out.Bytes))...)
	return out, nil
}

// picture scales, converts and pads: what comes out is encoded as it is.
func (r *renderer) picture(d Definition, p plan) (*picture, error) {
	fine := d.Format != JPEG
	s, err := r.scale(p, fine)
	if err != nil {
		return nil, err
	}
	ready := s
	if icc := r.info.profile; icc != nil && icc.usable {
		rgba := ready.nrgba()
		if ready.rgba != nil { // others are made of it
			rgba = imagingClone(rgba)
		}
		icc.apply(rgba.Pix)
		ready = &picture{w: ready.w, h: ready.h, rgba: rgba}
	}
	background, _ := parseColour(d.Background)
	if p.canvasW != p.w || p.canvasH != p.h {
		ready = ready.padded(p.canvasW, p.canvasH, background)
	}
	if d.Format == JPEG || d.Fit == Pad {
		ready = ready.flattened(background)
	}
	return ready, nil
}

// scale makes the plan's picture of the smallest source that is good enough.
func (r *renderer) scale(p plan, fine bool) (*picture, error) {
	const enough = 1.98 // twice, but for what rounding takes
	density := p.density()
	var best *scaled
	for i := range r.scaled {
		s := &r.scaled[i]
		if s.from.contains(p.from) && s.density >= enough*density && (s.fine || !fine) && (best == nil || s.density < best.density) {
			best = s
		}
	}
	src, from := r.base, p.from
	w, h := r.base.upright()
	sx, sy := float64(w)/float64(r.info.Width), float64(h)/float64(r.info.Height)
	if best != nil {
		src = best.picture
		from = rect{from.x0 - best.from.x0, from.y0 - best.from.y0, from.x1 - best.from.x0, from.y1 - best.from.y0}
		sx, sy = float64(src.w)/best.from.w(), float64(src.h)/best.from.h()
	}
	from = rect{from.x0 * sx, from.y0 * sy, from.x1 * sx, from.y1 * sy}
	out, err := src.scale(r.ctx, from, p.w, p.h, fine)
	if err != nil {
		return nil, err
	}
	r.scaled = append(r.scaled, scaled{out, p.from, density, fine || out.rgba != nil})
	return out, nil
}

// within encodes a picture in the best quality that keeps the byte budget; nil
// bytes when none does.
func (r *renderer) within(p *picture, d Definition) ([]byte, int, error) {
	b, err := r.encode(r.ctx, p, d.Format, d.Quality)
	if err != nil || d.MaxBytes == 0 || len(b) <= d.MaxBytes {
		return b, d.Quality, err
	}
	if d.Format == PNG {
		return nil, 0, nil
	}
	var best []byte
	quality := 0
	for lo, hi := min(minQuality, d.Quality), d.Quality-1; lo <= hi; {
		q := (lo + hi) / 2
		if best == nil && hi == d.Quality-1 {
			q = lo // whether there is any at all
		}
		if b, err = r.encode(r.ctx, p, d.Format, q); err != nil {
			return nil, 0, err
		}
		if len(b) <= d.MaxBytes {
			best, quality, lo = b, q, q+1
		} else {
			if best == nil {
				break
			}
			hi = q - 1
		}
	}
	return best, quality, nil
}

// encodeGo is the standard library's encoders. They write no metadata.
func encodeGo(ctx context.Context, p *picture, f Format, quality int) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	var err error
	switch f {
	case JPEG:
		err = jpeg.Encode(&out, p.forJPEG(), &jpeg.Options{Quality: quality})
	case PNG:
		err = png.Encode(&out, p.forPNG())
	default:
		err = fault(FaultUnsupported, "%s is not written by this engine", f)
	}
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", f, err)
	}
	return out.Bytes(), nil
}

// forJPEG gives the kinds that the encoder is quick with. The picture is opaque.
func (p *picture) forJPEG() image.Image {
	bounds := image.Rect(0, 0, p.w, p.h)
	switch {
	case p.rgba != nil:
		return &image.RGBA{Pix: p.rgba.Pix, Stride: p.rgba.Stride, Rect: p.rgba.Rect}
	case p.gray():
		return &image.Gray{Pix: p.y.pix, Stride: p.y.stride, Rect: bounds}
	}
	ratio := image.YCbCrSubsampleRatio420
	if p.chromaX == 1 {
		ratio = image.YCbCrSubsampleRatio444
	}
	return &image.YCbCr{
		Y: p.y.pix, YStride: p.y.stride, Cb: p.cb.pix, Cr: p.cr.pix, CStride: p.cb.stride,
		SubsampleRatio: ratio, Rect: bounds,
	}
}

func (p *picture) forPNG() image.Image {
	if p.gray() {
		return &image.Gray{Pix: p.y.pix, Stride: p.y.stride, Rect: image.Rect(0, 0, p.w, p.h)}
	}
	return p.nrgba()
}

func imagingClone(img *image.NRGBA) *image.NRGBA {
	return &image.NRGBA{Pix: slices.Clone(img.Pix), Stride: img.Stride, Rect: img.Rect}
}

// issues is what a target would refuse.
func (q Requirement) issues(p *picture, made plan, bytes int) (all []pim.Issue) {
	refuse := func(code, format string, args ...any) {
		all = append(all, pim.Issue{Code: code, Severity: pim.SeverityError, Text: fmt.Sprintf(format, args...)})
	}
	if p.w < q.MinWidth || p.h < q.MinHeight {
		refuse(IssueTooSmall, "the image is %d × %d pixels, at least %d × %d are required", p.w, p.h, q.MinWidth, q.MinHeight)
	}
	if long := max(made.w, made.h); long < q.MinLongSide {
		refuse(IssueTooSmall, "the picture's longer side has %d pixels, at least %d are required", long, q.MinLongSide)
	}
	if q.MaxWidth > 0 && p.w > q.MaxWidth || q.MaxHeight > 0 && p.h > q.MaxHeight {
		refuse(IssueTooLarge, "the image is %d × %d pixels, at most %s × %s are allowed", p.w, p.h, orAny(q.MaxWidth), orAny(q.MaxHeight))
	}
	if q.MaxPixels > 0 && p.w*p.h > q.MaxPixels {
		refuse(IssueTooLarge, "the image has %d pixels, at most %d are allowed", p.w*p.h, q.MaxPixels)
	}
	aspect := float64(p.w) / float64(p.h)
	if off := func(bound float64) bool { return math.Abs(aspect-bound) > bound/float64(min(p.w, p.h)) }; q.MinAspect > 0 && aspect < q.MinAspect && off(q.MinAspect) ||
		q.MaxAspect > 0 && aspect > q.MaxAspect && off(q.MaxAspect) {
		refuse(IssueShape, "width ÷ height is %.3f, it must be from %g to %s", aspect, q.MinAspect, orAny(q.MaxAspect))
	}
	if q.WhiteBorder > 0 {
		if share := p.whiteBorder(); share < q.WhiteBorder {
			refuse(IssueBackground, "%.0f %% of the border are white, %.0f %% are required", math.Floor(100*share), 100*q.WhiteBorder)
		}
	}
	if q.NoAlpha && !p.opaque() {
		refuse(IssueAlpha, "the image has transparent pixels, which are not allowed")
	}
	if bytes < q.MinBytes {
		refuse(IssueBytes, "the file has %d bytes, at least %d are required", bytes, q.MinBytes)
	}
	if q.MaxBytes > 0 && bytes > q.MaxBytes {
		refuse(IssueBytes, "the file has %d bytes, at most %d are allowed", bytes, q.MaxBytes)
	}
	return all
}

// orAny writes a bound that may be missing.
func orAny[T int | float64](v T) string {
	if v == 0 {
		return "any"
	}
	return fmt.Sprint(v)
}
