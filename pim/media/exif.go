package media

import (
	"bytes"
	"encoding/binary"
)

// maxEntries is how many entries of an EXIF directory are looked at; cameras
// write a few dozen.
const maxEntries = 512

// exifOrientation reads tag 0x0112 of the first directory of an EXIF block
// (CIPA DC-008, 4.6): 1 to 8, and 1 for everything that is missing, broken or out
// of range, as viewers do. Nothing else of EXIF is read, and nothing of it is
// written anywhere.
func exifOrientation(block []byte) int {
	block = bytes.TrimPrefix(block, []byte("Exif\x00\x00"))
	if len(block) < 8 {
		return 1
	}
	var order binary.ByteOrder = binary.LittleEndian
	switch string(block[:4]) {
	case "II*\x00":
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return 1
	}
	at := int64(order.Uint32(block[4:]))
	if at < 8 || at+2 > int64(len(block)) {
		return 1
	}
	n := int(order.Uint16(block[at:]))
	entries := block[at+2:]
	for range min(n, maxEntries) {
		if len(entries) < 12 {
			break
		}
		const short, orientation = 3, 0x0112
		if order.Uint16(entries) == orientation {
			v := int(order.Uint16(entries[8:]))
			if order.Uint16(entries[2:]) == short && order.Uint32(entries[4:]) == 1 && v >= 1 && v <= 8 {
				return v
			}
			break
		}
		entries = entries[12:]
	}
	return 1
}

// turn is what an orientation asks for: first flips of the stored image, then
// rows and columns change places.
type turn struct{ flipX, flipY, transpose bool }

// turns by EXIF orientation.
var turns = [9]turn{
	1: {},
	2: {flipX: true},
	3: {flipX: true, flipY: true},
	4: {flipY: true},
	5: {transpose: true},
	6: {flipY: true, transpose: true},
	7: {flipX: true, flipY: true, transpose: true},
	8: {flipX: true, transpose: true},
}
