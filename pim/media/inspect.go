package media

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/gif"
	"image/jpeg"
	"io"
	"math"

	"golang.org/x/image/webp"
)

// Info is what a file's header says.
type Info struct {
	Format      Format `json:"format" doc:"What the file is, by its first bytes"`
	MediaType   string `json:"media_type"`
	Document    bool   `json:"document,omitempty" doc:"No image: there are no renditions of it"`
	Width       int    `json:"width,omitempty" doc:"Pixels, as the image is looked at: its orientation is applied"`
	Height      int    `json:"height,omitempty"`
	Orientation int    `json:"orientation,omitempty" doc:"EXIF orientation, 1 to 8; 1 is upright"`
	HasAlpha    bool   `json:"has_alpha,omitempty" doc:"Pixels may be transparent"`
	Animated    bool   `json:"animated,omitempty" doc:"There are several frames; renditions show the first"`
	CMYK        bool   `json:"cmyk,omitempty"`
	Profile     string `json:"profile,omitempty" doc:"Name of the embedded colour profile"`

	memory  int64    // what decoding takes at its peak
	planes  bool     // the decoder's planes are used as they are; else they are copied as NRGBA
	profile *profile // the embedded colour profile, when it is one that this package can apply
}

// stored gives the size as the decoder sees it.
func (i Info) stored() (w, h int) {
	if turns[i.Orientation].transpose {
		return i.Height, i.Width
	}
	return i.Width, i.Height
}

// Inspect reads what an original is, and how large. Nothing is decoded; headers
// are walked within the bytes at hand. The error is a *Fault for what the
// built-in engine makes no renditions of, with an Info of what was recognised;
// a document is no fault.
func Inspect(ctx context.Context, original []byte, l Limits) (Info, error) {
	l = l.orDefaults()
	if err := ctx.Err(); err != nil {
		return Info{}, err
	}
	info, err := recognise(original, l)
	if err != nil || info.Document {
		return info, err
	}
	switch info.Format {
	case JPEG, PNG, GIF, WebP:
	default:
		return info, fault(FaultUnsupported, "%s images are not read by this engine", info.Format)
	}
	err = guard(func() error { return info.header(original) })
	if err != nil {
		return info, err
	}
	if turns[info.Orientation].transpose {
		info.Width, info.Height = info.Height, info.Width
	}
	return info, info.bound(l)
}

// recognise is what the first bytes and the size of the file tell.
func recognise(original []byte, l Limits) (Info, error) {
	f := Sniff(original)
	info := Info{Format: f, MediaType: f.MediaType(), Document: f != "" && !f.Image(), Orientation: 1}
	switch {
	case f == "":
		return info, fault(FaultFormat, "the file is no image that is known, nor another kind of file that is")
	case !info.Document && int64(len(original)) > l.Bytes:
		return info, fault(FaultTooLarge, "the file has %d bytes, more than %d", len(original), l.Bytes)
	}
	return info, nil
}

// bound holds an image's measures against the limits.
func (i Info) bound(l Limits) error {
	switch {
	case i.Width < 1 || i.Height < 1:
		return fault(FaultBroken, "the image is %d × %d pixels", i.Width, i.Height)
	case max(i.Width, i.Height) > l.Side:
		return fault(FaultPixels, "the image is %d × %d pixels, a side may have %d", i.Width, i.Height, l.Side)
	case int64(i.Width)*int64(i.Height) > l.Pixels:
		return fault(FaultPixels, "the image has %d × %d pixels, more than %d", i.Width, i.Height, l.Pixels)
	case i.memory > l.Memory:
		return fault(FaultMemory, "decoding the image takes about %d MiB, more than %d", i.memory>>20, l.Memory>>20)
	}
	return nil
}

// enough gives the density, from need to most, that what is decoded shall be
// copied at, so that the copy fits into the limit, too.
func (i Info) enough(l Limits, need, most float64) (float64, error) {
	if i.planes {
		return most, nil
	}
	const copied = 4 // bytes a pixel
	pixels := float64(i.Width) * float64(i.Height)
	room := math.Sqrt(float64(l.Memory-i.memory) / (copied * pixels))
	if room < need {
		return 0, fault(FaultMemory, "decoding the image and a copy of what is needed of it takes about %d MiB, more than %d",
			(i.memory+int64(copied*pixels*need*need))>>20, l.Memory>>20)
	}
	return min(most, room), nil
}

// header fills in what the format's header says.
func (i *Info) header(original []byte) error {
	switch i.Format {
	case JPEG:
		return i.jpeg(original)
	case PNG:
		return i.png(original)
	case GIF:
		return i.gif(original)
	default:
		return i.webp(original)
	}
}

// guard runs what reads outside bytes: a panic of a decoder becomes a fault, and
// its errors do, too.
func guard(do func() error) error {
	return guardOwn(func() error { return asFault(do()) })
}

// guardOwn is guard for work whose errors need not be an image's fault.
func guardOwn(do func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fault(FaultBroken, "the image breaks its decoder")
		}
	}()
	return do()
}

// asFault sorts the errors of decoders. Those of a context pass.
func asFault(err error) error {
	var known *Fault
	var jpegUnsupported jpeg.UnsupportedError
	switch {
	case err == nil || errors.As(err, &known) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, jpeg.FormatError("short Huffman data")):
		return fault(FaultTruncated, "the file ends within the image")
	case errors.As(err, &jpegUnsupported) || isUnsupportedPNG(err):
		return fault(FaultUnsupported, "the image uses what its decoder does not know: %v", err)
	}
	return fault(FaultBroken, "the image is broken: %v", err)
}

// jpeg reads a JPEG's frame header with the decoder's own eyes, and the segments
// before it with ours (ITU-T T.81, B.1.1 and B.2).
func (i *Info) jpeg(original []byte) error {
	config, err := jpeg.DecodeConfig(bytes.NewReader(original))
	if err != nil {
		return err
	}
	i.Width, i.Height = config.Width, config.Height
	segments := walkJPEG(original)
	i.Orientation = exifOrientation(segments.exif)
	i.CMYK = segments.components == 4
	i.setProfile(segments.icc)
	const scansOfAnEditor, most = 10, 200
	if segments.scans > most {
		return fault(FaultBroken, "the image comes in %d scans; %d are usual", segments.scans, scansOfAnEditor)
	}
	pixels := int64(config.Width) * int64(config.Height)
	if segments.width != config.Width || segments.height != config.Height {
		segments.components, segments.chroma, segments.progressive = 4, 1, true // the walk went another way: reckon with the worst
	}
	samples := 1.0
	if segments.components > 1 {
		samples += 2 * segments.chroma
	}
	if segments.components == 4 {
		samples++
	}
	perPixel := samples
	if segments.progressive {
		perPixel += 4 * samples // an int32 per coefficient
	}
	if segments.components == 4 || segments.rgb {
		perPixel += 4 // the decoder makes another image of the planes
	}
	i.memory = int64(perPixel * float64(pixels))
	i.planes = segments.components < 4 && !segments.rgb
	return nil
}

// jpegSegments is what walkJPEG found.
type jpegSegments struct {
	exif, icc     []byte
	width, height int
	components    int
	chroma        float64 // samples of one chroma plane per pixel
	progressive   bool
	rgb           bool // Adobe's marker says that the planes are no YCbCr
	scans         int
}

// walkJPEG goes from segment to segment as the decoder does, up to the first
// scan. It finds nothing in what it does not understand.
func walkJPEG(b []byte) (s jpegSegments) {
	const maxICC = 4 << 20
	at := 2
	for at+4 <= len(b) {
		if b[at] != 0xff || b[at+1] == 0 {
			at++
			continue
		}
		marker := b[at+1]
		switch {
		case marker == 0xff:
			at++
			continue
		case marker >= 0xd0 && marker <= 0xd7:
			at += 2
			continue
		case marker == 0xd9:
			return s
		}
		size := int(be16(b[at+2:]))
		if size < 2 || at+2+size > len(b) {
			return s
		}
		body := b[at+4 : at+2+size]
		switch {
		case marker == 0xda:
			// Only markers and stuffed zeros follow 0xff within a scan.
			s.scans = bytes.Count(b[at:], []byte{0xff, 0xda})
			return s
		case (marker >= 0xc0 && marker <= 0xc2) && len(body) >= 6 && s.components == 0:
			s.height, s.width = int(be16(body[1:])), int(be16(body[3:]))
			s.components, s.progressive = int(body[5]), marker == 0xc2
			s.chroma = 1
			if len(body) >= 12 {
				y, c := body[7], body[10]
				ly, lc := int(y>>4)*int(y&15), int(c>>4)*int(c&15)
				if lc >= 1 && lc <= ly {
					s.chroma = float64(lc) / float64(ly)
				}
			}
		case marker == 0xe1 && s.exif == nil && bytes.HasPrefix(body, []byte("Exif\x00\x00")):
			s.exif = body
		case marker == 0xe2 && len(body) > 14 && bytes.HasPrefix(body, []byte("ICC_PROFILE\x00")) && len(s.icc) < maxICC:
			s.icc = append(s.icc, body[14:]...)
		case marker == 0xee && len(body) >= 12 && bytes.HasPrefix(body, []byte("Adobe")):
			s.rgb = body[11] == 0
		}
		at += 2 + size
	}
	return s
}

// gif reads the logical screen (GIF89a, 18), and whether more than one frame
// follows.
func (i *Info) gif(original []byte) error {
	config, err := gif.DecodeConfig(bytes.NewReader(original))
	if err != nil {
		return err
	}
	i.Width, i.Height, i.HasAlpha = config.Width, config.Height, true
	frames := 0
	walkGIF(original, func() { frames++ })
	i.Animated = frames > 1
	i.memory = int64(config.Width) * int64(config.Height)
	return nil
}

// walkGIF calls found for each of the first two image descriptors.
func walkGIF(b []byte, found func()) {
	at := 13
	if len(b) < at {
		return
	}
	skipTable := func(flags byte) {
		if flags&0x80 != 0 {
			at += 3 << (flags&7 + 1)
		}
	}
	skipBlocks := func() {
		for at < len(b) && b[at] != 0 {
			at += 1 + int(b[at])
		}
		at++
	}
	skipTable(b[10])
	for n := 0; at < len(b) && n < 2; {
		switch b[at] {
		case 0x21:
			at += 2
			skipBlocks()
		case 0x2c:
			if at+10 > len(b) {
				return
			}
			n++
			found()
			flags := b[at+9]
			at += 10
			skipTable(flags)
			at++
			skipBlocks()
		default:
			return
		}
	}
}

// errWebP is the fault of a WebP whose chunks cannot be followed.
var errWebP = fault(FaultBroken, "the image is broken: its chunks do not fit into one another")

// webp reads the chunks of a WebP (RFC 9649, 2.7).
func (i *Info) webp(original []byte) error {
	c, err := walkWebP(original)
	if err != nil {
		return err
	}
	i.Orientation, i.Animated = exifOrientation(c.exif), c.animated
	i.setProfile(c.icc)
	config, err := webp.DecodeConfig(bytes.NewReader(c.still))
	if err != nil {
		return err
	}
	i.Width, i.Height, i.HasAlpha = config.Width, config.Height, c.alpha
	pixels := int64(config.Width) * int64(config.Height)
	i.planes = !c.lossless && !c.alpha
	i.memory = pixels * 3 // planes, and the decoder's padding
	if c.lossless {
		i.memory = pixels * 12 // NRGBA, and a transform's output beside it
	} else if c.alpha {
		i.memory = pixels * 10
	}
	return nil
}

// webpChunks is what walkWebP found.
type webpChunks struct {
	exif, icc []byte
	still     []byte // a WebP of the image, or of the first frame
	alpha     bool
	animated  bool
	lossless  bool
}

// walkWebP follows the chunks. The decoder knows no animations: of one, the first
// frame becomes a file of its own.
func walkWebP(b []byte) (c webpChunks, err error) {
	c.still = b
	var frame []byte
	for id, body := range riffChunks(b[min(12, len(b)):]) {
		switch id {
		case "VP8X":
			if len(body) >= 10 {
				c.alpha, c.animated = body[0]&0x10 != 0, body[0]&0x02 != 0
			}
		case "VP8L":
			c.lossless = true
			if len(body) >= 5 && le32(body[1:])&(1<<28) != 0 {
				c.alpha = true
			}
		case "ICCP":
			c.icc = body
		case "EXIF":
			c.exif = body
		case "ANMF":
			if frame == nil && len(body) > 16 {
				frame = body
			}
		}
	}
	if !c.animated {
		return c, nil
	}
	if frame == nil {
		return c, errWebP
	}
	// A frame's header: where it is on the canvas, its size less one, how long it
	// is shown; then chunks as in a file of a single image.
	w, h := le24(frame[6:]), le24(frame[9:])
	c.alpha = false
	var chunks []byte
	for id, body := range riffChunks(frame[16:]) {
		switch id {
		case "ALPH":
			c.alpha = true
		case "VP8L":
			c.lossless = true
			c.alpha = c.alpha || len(body) >= 5 && le32(body[1:])&(1<<28) != 0
		case "VP8 ":
		default:
			continue
		}
		chunks = appendChunk(chunks, id, body)
	}
	var flags byte
	if c.alpha && !c.lossless {
		flags = 0x10
	}
	header := []byte{flags, 0, 0, 0, byte(w), byte(w >> 8), byte(w >> 16), byte(h), byte(h >> 8), byte(h >> 16)}
	form := appendChunk([]byte("WEBP"), "VP8X", header)
	c.still = appendChunk(nil, "RIFF", append(form, chunks...))
	return c, nil
}

// riffChunks goes over the chunks in b; it ends where they do not fit.
func riffChunks(b []byte) func(yield func(id string, body []byte) bool) {
	return func(yield func(string, []byte) bool) {
		for len(b) >= 8 {
			size := int64(le32(b[4:]))
			if size > int64(len(b)-8) {
				return
			}
			if !yield(string(b[:4]), b[8:8+size]) {
				return
			}
			b = b[min(8+size+size&1, int64(len(b))):]
		}
	}
}

func appendChunk(to []byte, id string, body []byte) []byte {
	n := uint32(len(body))
	to = append(append(to, id...), byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
	to = append(to, body...)
	if n&1 != 0 {
		to = append(to, 0)
	}
	return to
}

// setProfile notes an embedded colour profile.
func (i *Info) setProfile(icc []byte) {
	if len(icc) == 0 {
		return
	}
	p := readProfile(icc)
	i.Profile = p.name
	if !p.isSRGB {
		i.profile = p
	}
}

// String is for logs: what, how large.
func (i Info) String() string { return fmt.Sprintf("%s %d × %d", i.Format, i.Width, i.Height) }
