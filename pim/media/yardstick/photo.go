// Package yardstick makes the images and does the work that package media is
// measured against: a synthetic photograph, the naive way of making renditions,
// and the plain cascade. It is for tests and `sluice bench`, nothing else.
package yardstick

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"math"
	"math/rand/v2"

	"github.com/disintegration/imaging"
)

// Sizes are the longer sides of the five renditions that are measured, in pixels.
var Sizes = []int{1600, 800, 400, 200, 100}

// Quality is that of the renditions.
const Quality = 85

// Photo is a JPEG (4:2:0, quality 90, baseline) of w × h pixels with what
// photographs have: soft gradients, hard edges at all angles, fine lines and the
// noise of a sensor. The same size gives the same bytes.
func Photo(w, h int) ([]byte, error) {
	img := image.NewYCbCr(image.Rect(0, 0, w, h), image.YCbCrSubsampleRatio420)
	noise := rand.NewPCG(1, 2)
	soft := make([]float64, w)    // a gradient
	across := make([]float64, w)  // squared distance from the middle of a disc
	stripes := make([]float64, w) // finer to the right, down to some pixels
	for x := range w {
		fx := float64(x) / float64(w)
		soft[x], stripes[x] = 100*fx, 35*math.Sin(fx*fx*900)
		d := math.Mod(8*fx, 1) - 0.5
		across[x] = d * d
	}
	for y := range h {
		fy := float64(y) / float64(h)
		down := math.Mod(6*fy, 1) - 0.5
		down *= down
		row := img.Y[y*img.YStride : y*img.YStride+w]
		var bits uint64
		for x := range row {
			v := 90 + soft[x]*(1-fy)
			if d := across[x] + down; d < 0.09 { // edges at all angles
				v += 60 - 400*d
			}
			if fy > 0.75 {
				v += stripes[x]
			}
			if x%16 == 0 {
				bits = noise.Uint64()
			}
			row[x] = uint8(min(max(v+float64(bits&15)-7.5, 0), 255))
			bits >>= 4
		}
	}
	cw, ch := (w+1)/2, (h+1)/2
	cool := make([]float64, cw)
	for x := range cool {
		cool[x] = 50 * math.Sin(float64(x)/float64(cw)*6)
	}
	for y := range ch {
		blue := img.Cb[y*img.CStride : y*img.CStride+cw]
		red := img.Cr[y*img.CStride : y*img.CStride+cw]
		warm := 50 * math.Cos(float64(y)/float64(h)*9)
		for x := range blue {
			bits := noise.Uint64()
			blue[x] = uint8(128 + cool[x] + float64(bits&3))
			red[x] = uint8(128 + warm + float64(bits>>2&3))
		}
	}
	var out bytes.Buffer
	if err := jpeg.Encode(&out, img, &jpeg.Options{Quality: 90}); err != nil {
		return nil, fmt.Errorf("encode a photo of %d × %d: %w", w, h, err)
	}
	return out.Bytes(), nil
}

// Naive makes each rendition of the whole original by imaging's Lanczos filter.
func Naive(original []byte) ([][]byte, error) {
	img, err := jpeg.Decode(bytes.NewReader(original))
	if err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	all := make([][]byte, len(Sizes))
	for i, size := range Sizes {
		if all[i], err = encode(imaging.Fit(img, size, size, imaging.Lanczos)); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Cascade makes the largest rendition of the original, and each other one of the
// one before it.
func Cascade(original []byte) ([][]byte, error) {
	img, err := jpeg.Decode(bytes.NewReader(original))
	if err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	all := make([][]byte, len(Sizes))
	for i, size := range Sizes {
		next := imaging.Fit(img, size, size, imaging.Lanczos)
		if all[i], err = encode(next); err != nil {
			return nil, err
		}
		img = next
	}
	return all, nil
}

// encode goes the encoder's quick way, which an image without alpha may.
func encode(img *image.NRGBA) ([]byte, error) {
	var out bytes.Buffer
	opaque := &image.RGBA{Pix: img.Pix, Stride: img.Stride, Rect: img.Rect}
	if err := jpeg.Encode(&out, opaque, &jpeg.Options{Quality: Quality}); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return out.Bytes(), nil
}
