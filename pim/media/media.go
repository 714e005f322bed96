// Package media is the image engine: it recognises what an asset's bytes are,
// and makes renditions of them by definitions. Bytes in, bytes out: nothing here
// knows SQL, HTTP or where anything is stored.
//
// Originals come from outside and may be hostile. So an image is recognised by
// its first bytes, its size is read and bounded before anything is decoded
// (Limits), decoders are called by name and never through image.Decode's
// registry, in the caller's goroutine and under recover. The imaging module works
// in goroutines of its own, where a panic would end the process: it sees nothing
// but NRGBA copies that this package made.
//
// An original that gives no rendition is told by a *Fault; what a target would
// refuse in a rendition is told by issues in its Result.
package media

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Limits bound what is read of an original, before it is decoded.
type Limits struct {
	Bytes  int64         // of the file
	Pixels int64         // width × height, of the whole canvas of an animation
	Side   int           // width and height each, in pixels
	Memory int64         // bytes that decoding, and a copy where one is made, is reckoned to take, without the file itself
	Time   time.Duration // for all renditions of one original
}

// DefaultLimits are those of an engine that was given none. 100 megapixels take
// 150 MB as a baseline JPEG with 4:2:0 and 400 MB as a PNG; what would take more
// than Memory (a progressive JPEG of that size takes 750 MB, since its decoder
// keeps every coefficient) is refused although its pixels are few enough.
func DefaultLimits() Limits {
	return Limits{Bytes: 64 << 20, Pixels: 100_000_000, Side: 65_000, Memory: 512 << 20, Time: time.Minute}
}

func (l Limits) orDefaults() Limits {
	d := DefaultLimits()
	if l.Bytes <= 0 {
		l.Bytes = d.Bytes
	}
	if l.Pixels <= 0 {
		l.Pixels = d.Pixels
	}
	if l.Side <= 0 {
		l.Side = d.Side
	}
	if l.Memory <= 0 {
		l.Memory = d.Memory
	}
	if l.Time <= 0 {
		l.Time = d.Time
	}
	return l
}

// The codes of faults.
const (
	FaultFormat      = "image.format"      // the bytes are nothing that is known
	FaultDocument    = "image.document"    // a known file that is no image, such as a PDF
	FaultUnsupported = "image.unsupported" // an image that this engine does not read
	FaultBroken      = "image.broken"      // the image breaks its format's rules
	FaultTruncated   = "image.truncated"   // the file ends within the image
	FaultTooLarge    = "image.too_large"   // more bytes than Limits.Bytes
	FaultPixels      = "image.pixels"      // more pixels than Limits.Pixels, or a side beyond Limits.Side
	FaultMemory      = "image.memory"      // decoding would take more than Limits.Memory
	FaultTime        = "image.time"        // Limits.Time ran out
)

// Fault says why an original gives no renditions. The same bytes give the same
// fault again, FaultTime apart.
type Fault struct {
	Code string `json:"code"` // one of the constants
	Text string `json:"text"` // a sentence for people, without anything of the file's content
}

// Error is code and text.
func (f *Fault) Error() string { return f.Code + ": " + f.Text }

func fault(code, format string, args ...any) *Fault {
	return &Fault{Code: code, Text: fmt.Sprintf(format, args...)}
}

// Engine makes renditions. An engine is safe for concurrent use; each call takes
// memory as Limits say, so callers bound how many run at once.
type Engine interface {
	// Version names the engine and everything that its output's bytes depend on. It
	// is part of a rendition's key (Key): another version makes renditions anew.
	Version() string
	// Writes reports whether the engine makes renditions in a format.
	Writes(f Format) bool
	// Inspect is what the engine can tell of an original without decoding it. The
	// error is a *Fault when the engine would make no renditions of it; the Info
	// then still says what could be read. Documents are no fault here.
	Inspect(ctx context.Context, original []byte) (Info, error)
	// Render makes one result per definition, in their order, of one decoding. The
	// definitions must have passed Check. Focal is where crop looks; nil is the
	// middle. The error is a *Fault about the original, or the context's; it
	// concerns all definitions.
	Render(ctx context.Context, original []byte, definitions []Definition, focal *Point) ([]Result, error)
}

// Point is a place in an upright image: 0,0 is its top left corner, 1,1 its
// bottom right one.
type Point struct {
	X float64 `json:"x" minimum:"0" maximum:"1"`
	Y float64 `json:"y" minimum:"0" maximum:"1"`
}

// within runs do under the engine's time limit, and tells its end from the
// caller's own.
func within(ctx context.Context, limit time.Duration, do func(context.Context) error) error {
	inner, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := do(inner)
	if err != nil && ctx.Err() == nil && errors.Is(inner.Err(), context.DeadlineExceeded) {
		return fault(FaultTime, "the image took longer than %v", limit)
	}
	return err
}
