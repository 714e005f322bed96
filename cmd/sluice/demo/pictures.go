//go:build unix

package demo

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math"

	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim/media"
)

// The renditions that the demo's channels show.
const (
	shopPicture   = "shop"
	marketPicture = "market"
	thumbnail     = "thumb"
)

// manual is the asset that stands for every manual.
const manual = "manual"

var renditions = map[string]media.Definition{
	shopPicture:   {Width: 800, Height: 800},
	marketPicture: {Width: 1000, Height: 1000, Fit: media.Pad},
	thumbnail:     {Width: 150, Height: 150, Fit: media.Crop, Quality: 80},
}

func pictureCode(family, colour string) string { return family + "-" + colour }

// hang stores the demo's pictures, and what is to be made of them. Again, it
// changes nothing.
func (d *demo) hang(ctx context.Context) error {
	for code, definition := range renditions {
		if _, err := d.node.Store.RenditionDefinition(ctx, code); err == nil {
			continue // it may have been changed since
		}
		if _, err := d.node.Media.PutDefinition(ctx, code, definition); err != nil {
			return fmt.Errorf("define rendition %s: %w", code, err)
		}
	}
	put := func(code, file string, labels tongue, content []byte) error {
		if _, err := d.node.Store.Asset(ctx, code); err == nil {
			return nil
		}
		a := jobs.NewAsset{Code: code, Filename: file, Labels: labels.labels()}
		if _, _, _, err := d.node.Media.Put(ctx, a, bytes.NewReader(content)); err != nil {
			return fmt.Errorf("store picture %s: %w", code, err)
		}
		return nil
	}
	for i, r := range ranges {
		for _, c := range colours {
			code := pictureCode(r.family, c.code)
			var labels tongue
			for l := range labels {
				labels[l] = r.label[l] + ", " + c.name[l]
			}
			content, err := draw(i, paints[c.code])
			if err != nil {
				return err
			}
			if err := put(code, code+".jpg", labels, content); err != nil {
				return err
			}
		}
	}
	return put(manual, "manual.pdf", tongue{"Manual", "Anleitung", "Handleiding"}, []byte(leaflet))
}

// leaflet is a PDF of one empty page.
const leaflet = "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n" +
	"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"

var paints = map[string]color.NRGBA{
	"white": {240, 240, 236, 255}, "black": {40, 40, 44, 255}, "grey": {140, 144, 148, 255}, "navy": {32, 52, 104, 255},
	"green": {58, 120, 74, 255}, "red": {178, 42, 48, 255}, "sand": {214, 190, 148, 255}, "copper": {176, 104, 62, 255},
}

// draw makes a picture of one family's thing in a colour: a shape in a soft
// light. Coordinates run from -1 to 1, y downwards.
func draw(family int, paint color.NRGBA) ([]byte, error) {
	const w, h = 1600, 1200
	inside := shapes[family%len(shapes)]
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for py := range h {
		for px := range w {
			x, y := (float64(px)/w*2-1)*w/h, float64(py)/h*2-1
			light := 0.82 + 0.18*math.Cos(x*0.9-0.5)*math.Cos(y*0.8+0.4)
			c := color.NRGBA{250, 250, 250, 255}
			if y > 0.72 {
				c = color.NRGBA{226, 228, 230, 255}
			}
			if inside(x, y) {
				c = paint
				light *= 0.9 + 0.1*math.Sin(x*60+y*7)*math.Sin(y*45)
			}
			m.SetNRGBA(px, py, color.NRGBA{shade(c.R, light), shade(c.G, light), shade(c.B, light), 255})
		}
	}
	var b bytes.Buffer
	err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 88})
	return b.Bytes(), err
}

func shade(c uint8, light float64) uint8 { return uint8(min(255, float64(c)*light)) }

func box(x, y, left, top, right, bottom float64) bool {
	return x >= left && x <= right && y >= top && y <= bottom
}

// shapes are a table, a pot, a lamp and a shirt, in the order of ranges.
var shapes = []func(x, y float64) bool{
	func(x, y float64) bool {
		return box(x, y, -1, -0.12, 1, 0.02) || box(x, y, -0.9, 0.02, -0.8, 0.75) || box(x, y, 0.8, 0.02, 0.9, 0.75)
	},
	func(x, y float64) bool {
		return box(x, y, -0.6, -0.2, 0.6, 0.7) || x*x/0.4+(y+0.2)*(y+0.2)/0.02 < 1 || box(x, y, -0.85, 0.02, 0.85, 0.12)
	},
	func(x, y float64) bool {
		return y < -0.1 && y > -0.7 && math.Abs(x) < 0.2+(y+0.7)*0.5 || box(x, y, -0.04, -0.1, 0.04, 0.7) || box(x, y, -0.35, 0.66, 0.35, 0.74)
	},
	func(x, y float64) bool {
		return box(x, y, -0.42, -0.6, 0.42, 0.7) && x*x+(y+0.66)*(y+0.66) > 0.03 || y > -0.6 && y < -0.05 && math.Abs(x) < 0.95+y*0.4 && math.Abs(x) >= 0.42
	},
}
