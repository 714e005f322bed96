package media

import (
	"context"
	"math"
)

// plane is one channel of an image, eight bits a sample, rows of w samples.
type plane struct {
	pix          []uint8
	stride, w, h int
}

func newPlane(w, h int) plane { return plane{make([]uint8, w*h), w, w, h} }

func (p plane) row(y int) []uint8 { return p.pix[y*p.stride : y*p.stride+p.w] }

// Fixed point: weights have 14 bits after the point; between the two passes a
// sample keeps 6, which lets overshoot live until the end. The sums of both
// passes stay within an int32.
const (
	weightBits = 14
	keptBits   = 6
)

// taps are the samples that one result is made of: those from at on.
type taps struct {
	at      int
	weights []int32 // they sum up to 1<<weightBits
}

// lanczos is the windowed sinc of three lobes (Duchon 1979).
func lanczos(x float64) float64 {
	x = math.Abs(x)
	switch {
	case x < 1e-9:
		return 1
	case x >= 3:
		return 0
	}
	px := float64(math.Pi * x)
	return float64(math.Sin(px)*math.Sin(float64(px/3))) * 3 / float64(px*px)
}

// axis is one direction of a scaling: n results, of which the first begins at
// from and the one at extent (in results, perhaps not whole) would end at to, in
// samples; to before from turns the direction around.
type axis struct {
	from, to float64
	extent   float64
	n        int
	samples  int
}

// table makes the taps of each result. Products are rounded one by one, so that
// every processor gives the same weights.
func (a axis) table() []taps {
	step := (a.to - a.from) / a.extent
	stretch := max(math.Abs(step), 1)
	radius := 3 * stretch
	all := make([]taps, a.n)
	var exact []float64
	for j := range all {
		centre := a.from + float64((float64(j)+0.5)*step) - 0.5
		lo, hi := int(math.Ceil(centre-radius)), int(math.Floor(centre+radius))
		lo, hi = min(max(lo, 0), a.samples-1), max(min(hi, a.samples-1), 0)
		hi = max(hi, lo)
		exact = exact[:0]
		sum := 0.0
		for i := lo; i <= hi; i++ {
			w := lanczos((float64(i) - centre) / stretch)
			exact = append(exact, w)
			sum += w
		}
		if math.Abs(sum) < 1e-6 { // beyond an edge: the edge itself
			lo, exact, sum = min(max(int(math.Round(centre)), 0), a.samples-1), append(exact[:0], 1), 1
		}
		all[j] = quantised(lo, exact, sum)
	}
	return all
}

func quantised(at int, exact []float64, sum float64) taps {
	weights := make([]int32, len(exact))
	left, largest := int32(1<<weightBits), 0
	for i, w := range exact {
		weights[i] = int32(math.Round(float64(w / sum * (1 << weightBits))))
		left -= weights[i]
		if weights[i] > weights[largest] {
			largest = i
		}
	}
	weights[largest] += left
	for len(weights) > 1 && weights[0] == 0 {
		at, weights = at+1, weights[1:]
	}
	for len(weights) > 1 && weights[len(weights)-1] == 0 {
		weights = weights[:len(weights)-1]
	}
	return taps{at, weights}
}

// resample scales a plane along both axes. Rows are scaled across as they are
// needed and kept in a ring, so that memory is that of the result and a few rows.
func resample(ctx context.Context, src plane, across, down axis) (plane, error) {
	dst := newPlane(across.n, down.n)
	cols, rows := across.table(), down.table()
	ring := 0
	for _, t := range rows {
		ring = max(ring, len(t.weights))
	}
	kept := make([][]int16, ring)
	for i := range kept {
		kept[i] = make([]int16, dst.w)
	}
	have := make([]int, ring) // row+1 that a place of the ring holds
	acc := make([]int32, dst.w)
	for k := range rows {
		if k%16 == 0 && ctx.Err() != nil {
			return plane{}, ctx.Err()
		}
		y := k
		if down.to < down.from {
			y = len(rows) - 1 - k // upwards through the source
		}
		t := rows[y]
		for i := range t.weights {
			if r := t.at + i; have[r%ring] != r+1 {
				scaleRow(kept[r%ring], src.row(r), cols)
				have[r%ring] = r + 1
			}
		}
		addRows(acc, kept, t)
		storeRow(dst.row(y), acc)
	}
	return dst, nil
}

// scaleRow scales one row across.
func scaleRow(dst []int16, src []uint8, cols []taps) {
	const shift = weightBits - keptBits
	for x := range dst {
		t := &cols[x]
		w := t.weights
		s := src[t.at:]
		s = s[:len(w)]
		var a, b int32 = 1 << (shift - 1), 0
		for len(w) >= 4 && len(s) >= 4 {
			a += int32(s[0])*w[0] + int32(s[1])*w[1]
			b += int32(s[2])*w[2] + int32(s[3])*w[3]
			s, w = s[4:], w[4:]
		}
		s = s[:len(w)]
		for i, v := range w {
			a += int32(s[i]) * v
		}
		dst[x] = int16((a + b) >> shift)
	}
}

// addRows makes the weighted sum of rows.
func addRows(acc []int32, kept [][]int16, t taps) {
	ring := len(kept)
	const half = 1 << (weightBits + keptBits - 1)
	for x := range acc {
		acc[x] = half
	}
	i := 0
	for ; i+4 <= len(t.weights); i += 4 {
		n := len(acc)
		a, b := kept[(t.at+i)%ring][:n], kept[(t.at+i+1)%ring][:n]
		c, d := kept[(t.at+i+2)%ring][:n], kept[(t.at+i+3)%ring][:n]
		p, q, r, s := t.weights[i], t.weights[i+1], t.weights[i+2], t.weights[i+3]
		for x := range acc {
			acc[x] += int32(a[x])*p + int32(b[x])*q + int32(c[x])*r + int32(d[x])*s
		}
	}
	for ; i < len(t.weights); i++ {
		a, p := kept[(t.at+i)%ring][:len(acc)], t.weights[i]
		for x := range acc {
			acc[x] += int32(a[x]) * p
		}
	}
}

// storeRow rounds sums to samples.
func storeRow(dst []uint8, acc []int32) {
	acc = acc[:len(dst)]
	for x := range dst {
		v := acc[x] >> (weightBits + keptBits)
		if uint32(v) > 255 {
			v = ^(v >> 31) & 255
		}
		dst[x] = uint8(v)
	}
}

// boxShrink averages squares of k × k samples; the last ones may be smaller.
func boxShrink(ctx context.Context, src plane, k int) (plane, error) {
	dst := newPlane((src.w+k-1)/k, (src.h+k-1)/k)
	sums := make([]uint32, dst.w)
	for y := range dst.h {
		if y%16 == 0 && ctx.Err() != nil {
			return plane{}, ctx.Err()
		}
		clear(sums)
		rows := min(k, src.h-y*k)
		for i := range rows {
			row := src.row(y*k + i)
			for x := range sums {
				n := min(k, len(row))
				var s uint32
				for _, v := range row[:n] {
					s += uint32(v)
				}
				sums[x] += s
				row = row[n:]
			}
		}
		out := dst.row(y)
		for x := range out {
			n := uint32(rows * min(k, src.w-x*k))
			out[x] = uint8((sums[x] + n/2) / n)
		}
	}
	return dst, nil
}

// transposed changes rows and columns of a plane.
func (p plane) transposed() plane {
	t := newPlane(p.h, p.w)
	for y := range p.h {
		for x, v := range p.row(y) {
			t.pix[x*t.stride+y] = v
		}
	}
	return t
}
