package media

import (
	"bytes"
	"slices"
)

// Format is what a file is, by its first bytes.
type Format string

// The formats that are told apart.
const (
	JPEG Format = "jpeg"
	PNG  Format = "png"
	GIF  Format = "gif"
	WebP Format = "webp"
	AVIF Format = "avif"
	HEIC Format = "heic"
	TIFF Format = "tiff"
	BMP  Format = "bmp"
	ICO  Format = "ico"
	PSD  Format = "psd"
	JP2  Format = "jp2"
	JXL  Format = "jxl"
	PNM  Format = "pnm"
	SVG  Format = "svg"
	PDF  Format = "pdf"
	ZIP  Format = "zip" // office documents, too
	MP4  Format = "mp4" // and what is built like it
	WebM Format = "webm"
	GLB  Format = "glb"
)

var formats = map[Format]struct {
	mediaType string
	image     bool
}{
	JPEG: {"image/jpeg", true}, PNG: {"image/png", true}, GIF: {"image/gif", true}, WebP: {"image/webp", true},
	AVIF: {"image/avif", true}, HEIC: {"image/heic", true}, TIFF: {"image/tiff", true}, BMP: {"image/bmp", true},
	ICO: {"image/vnd.microsoft.icon", true}, PSD: {"image/vnd.adobe.photoshop", true}, JP2: {"image/jp2", true},
	JXL: {"image/jxl", true}, PNM: {"image/x-portable-anymap", true}, SVG: {"image/svg+xml", true},
	PDF: {"application/pdf", false}, ZIP: {"application/zip", false}, MP4: {"video/mp4", false},
	WebM: {"video/webm", false}, GLB: {"model/gltf-binary", false},
}

// MediaType is the format's name in HTTP (IANA media types);
// "application/octet-stream" for what is not known.
func (f Format) MediaType() string {
	if d, ok := formats[f]; ok {
		return d.mediaType
	}
	return "application/octet-stream"
}

// Image reports whether the format is one of images, readable or not. What is
// known and no image is a document: an asset that has no renditions.
func (f Format) Image() bool { return formats[f].image }

// SniffLen is how many of a file's first bytes Sniff looks at.
const SniffLen = 512

var magics = []struct {
	format Format
	magic  string
}{
	{JPEG, "\xff\xd8\xff"},
	{PNG, "\x89PNG\r\n\x1a\n"},
	{GIF, "GIF87a"},
	{GIF, "GIF89a"},
	{TIFF, "II*\x00"},
	{TIFF, "MM\x00*"},
	{BMP, "BM"},
	{ICO, "\x00\x00\x01\x00"},
	{PSD, "8BPS"},
	{JP2, "\x00\x00\x00\x0cjP  \r\n\x87\n"},
	{JP2, "\xff\x4f\xff\x51"},
	{JXL, "\xff\x0a"},
	{JXL, "\x00\x00\x00\x0cJXL \r\n\x87\n"},
	{PDF, "%PDF-"},
	{ZIP, "PK\x03\x04"},
	{WebM, "\x1a\x45\xdf\xa3"},
	{GLB, "glTF"},
}

// Sniff tells a file's format by its first bytes (SniffLen are enough), never by
// its name or by what a sender says of it; "" when it is not known.
func Sniff(head []byte) Format {
	for _, m := range magics {
		if len(head) >= len(m.magic) && string(head[:len(m.magic)]) == m.magic {
			return m.format
		}
	}
	switch {
	case len(head) >= 12 && string(head[:4]) == "RIFF" && string(head[8:12]) == "WEBP":
		return WebP
	case len(head) >= 12 && string(head[4:8]) == "ftyp":
		return sniffBoxes(head)
	case len(head) >= 3 && head[0] == 'P' && '1' <= head[1] && head[1] <= '6' && slices.Contains([]byte(" \t\r\n"), head[2]):
		return PNM
	case sniffSVG(head):
		return SVG
	}
	return ""
}

// sniffBoxes reads the brands of an ISO base media file (ISO/IEC 14496-12, 4.3).
func sniffBoxes(head []byte) Format {
	size := int(be32(head))
	for at := 8; at+4 <= min(size, len(head)); at += 4 {
		if at == 12 { // the minor version
			continue
		}
		switch string(head[at : at+4]) {
		case "avif", "avis":
			return AVIF
		case "heic", "heix", "hevc", "hevx", "heim", "heis":
			return HEIC
		}
	}
	if string(head[8:12]) == "mif1" {
		return HEIC
	}
	return MP4
}

// sniffSVG looks for the root element after what XML allows before it.
func sniffSVG(head []byte) bool {
	head = bytes.TrimPrefix(head[:min(len(head), SniffLen)], []byte("\xef\xbb\xbf"))
	head = bytes.TrimLeft(head, " \t\r\n")
	if bytes.HasPrefix(head, []byte("<svg")) {
		return true
	}
	xml := bytes.HasPrefix(head, []byte("<?xml")) || bytes.HasPrefix(head, []byte("<!--")) || bytes.HasPrefix(head, []byte("<!DOCTYPE svg"))
	return xml && bytes.Contains(head, []byte("<svg"))
}
