package media

import (
	"bytes"
	"compress/zlib"
	"errors"
	"image/png"
	"io"
)

const pngMagic = "\x89PNG\r\n\x1a\n"

func isUnsupportedPNG(err error) bool {
	var unsupported png.UnsupportedError
	return errors.As(err, &unsupported)
}

// png reads the chunks of a PNG (W3C PNG, third edition, 5 and 11).
func (i *Info) png(original []byte) error {
	config, err := png.DecodeConfig(bytes.NewReader(original))
	if err != nil {
		return err
	}
	i.Width, i.Height = config.Width, config.Height
	chunks := walkPNG(original)
	i.Orientation, i.Animated = exifOrientation(chunks.exif), chunks.animated
	i.setProfile(chunks.icc)
	const gray, rgb, palette, grayAlpha, rgba = 0, 2, 3, 4, 6
	i.HasAlpha = chunks.transparent || chunks.colour == grayAlpha || chunks.colour == rgba
	perPixel := int64(4)
	i.planes = chunks.colour == gray && !chunks.transparent && chunks.depth <= 8
	if (chunks.colour == gray && !chunks.transparent) || chunks.colour == palette {
		perPixel = 1
	}
	if chunks.depth == 16 {
		perPixel *= 2
	}
	i.memory = perPixel * int64(config.Width) * int64(config.Height)
	if chunks.interlaced {
		i.memory += i.memory / 2 // the largest pass is half of the image
	}
	return nil
}

// pngChunks is what walkPNG found.
type pngChunks struct {
	exif, icc             []byte
	depth, colour         byte
	interlaced            bool
	transparent, animated bool
	ended                 bool // the chunk that ends the file is there
}

// walkPNG goes over all chunks, since EXIF may follow the image. It ends where
// they do not fit.
func walkPNG(original []byte) (c pngChunks) {
	b := original[min(len(pngMagic), len(original)):]
	image := false
	for len(b) >= 12 {
		size := int64(be32(b))
		if size > int64(len(b)-12) {
			return c
		}
		body := b[8 : 8+size]
		switch string(b[4:8]) {
		case "IHDR":
			if len(body) >= 13 {
				c.depth, c.colour, c.interlaced = body[8], body[9], body[12] != 0
			}
		case "tRNS":
			c.transparent = true
		case "acTL":
			c.animated = c.animated || !image && len(body) >= 4 && be32(body) > 1
		case "IDAT":
			image = true
		case "eXIf":
			c.exif = body
		case "iCCP":
			c.icc = inflateProfile(body)
		case "IEND":
			c.ended = true
			return c
		}
		b = b[12+size:]
	}
	return c
}

// inflateProfile reads an iCCP chunk: a name, a zero, the method, zlib data.
func inflateProfile(body []byte) []byte {
	const most = 4 << 20
	_, data, ok := bytes.Cut(body, []byte{0})
	if !ok || len(data) < 2 || data[0] != 0 {
		return nil
	}
	z, err := zlib.NewReader(bytes.NewReader(data[1:]))
	if err != nil {
		return nil
	}
	icc, err := io.ReadAll(io.LimitReader(z, most))
	if err != nil {
		return nil
	}
	return icc
}
