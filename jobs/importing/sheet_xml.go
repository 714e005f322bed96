package importing

import (
	"archive/zip"
	"bufio"
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
)

// maxElement bounds what stands between two rows' beginnings, or two shared
// texts': a row of a sheet goes into memory whole.
const maxElement = 4 << 20

// scanXML counts the elements of a name, and gives the number that the last of
// them has (its attribute r), or its count. It looks at bytes only: whether it
// is good XML is for the one who reads it. An error is that an element is too
// long, or that the part cannot be unpacked to its end.
func scanXML(r io.Reader, name string) (count, last int, err error) {
	in := bufio.NewReaderSize(r, 64<<10)
	var tag []byte
	since := 0
	for {
		// Up to the next tag, and then its first bytes.
		skipped, err := skipTo(in, '<')
		since += skipped
		if since > maxElement {
			return 0, 0, fmt.Errorf("behind element %d there are more than %d bytes before the next one", count, maxElement)
		}
		if errors.Is(err, io.EOF) {
			return count, last, nil
		}
		if err != nil {
			return 0, 0, fmt.Errorf("it cannot be unpacked: %w", err)
		}
		tag, _ = in.Peek(256)
		if bytes.HasPrefix(tag, []byte("!")) || bytes.HasPrefix(tag, []byte("?")) {
			n, err := skipMarkup(in, tag)
			if since += n; since > maxElement {
				return 0, 0, fmt.Errorf("behind element %d there are more than %d bytes before the next one", count, maxElement)
			}
			if err != nil && !errors.Is(err, io.EOF) {
				return 0, 0, fmt.Errorf("it cannot be unpacked: %w", err)
			}
			continue
		}
		if end := bytes.IndexAny(tag, " \t\r\n/>"); end > 0 {
			local := tag[:end]
			if i := bytes.IndexByte(local, ':'); i >= 0 {
				local = local[i+1:]
			}
			if string(local) == name {
				count++
				since = 0
				if last = numberOf(tag[end:]); last == 0 {
					last = count
				}
			}
		}
	}
}

// numberOf is the attribute r of a tag that begins before its attributes.
func numberOf(tag []byte) int {
	if end := bytes.IndexByte(tag, '>'); end >= 0 {
		tag = tag[:end]
	}
	_, rest, ok := bytes.Cut(tag, []byte(` r="`))
	if !ok {
		return 0
	}
	digits, _, _ := bytes.Cut(rest, []byte{'"'})
	n, err := strconv.Atoi(string(digits))
	if err != nil {
		return 0
	}
	return n
}

// skipTo reads to behind the next c, at most a little more than an element may have.
func skipTo(in *bufio.Reader, c byte) (n int, err error) {
	for n <= maxElement {
		part, err := in.ReadSlice(c)
		n += len(part)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return n, err
		}
	}
	return n, nil
}

// skipMarkup reads over a comment, a CDATA section, a processing instruction.
func skipMarkup(in *bufio.Reader, tag []byte) (n int, err error) {
	end := ">"
	switch {
	case bytes.HasPrefix(tag, []byte("!--")):
		end = "-->"
	case bytes.HasPrefix(tag, []byte("![CDATA[")):
		end = "]]>"
	case tag[0] == '?':
		end = "?>"
	}
	var tail []byte
	for n <= maxElement {
		part, err := in.ReadSlice('>')
		n += len(part)
		tail = append(tail, part[max(0, len(part)-3):]...)
		tail = tail[max(0, len(tail)-3):]
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil || bytes.HasSuffix(tail, []byte(end)) {
			return n, err
		}
	}
	return n, nil
}

// sheetPath finds the part of a workbook that a sheet's rows are in.
func sheetPath(z *zip.Reader, name string, at int) (string, error) {
	var book struct {
		Sheets []struct {
			Name   string `xml:"name,attr"`
			ID     string `xml:"http://schemas.openxmlformats.org/officeDocument/2006/relationships id,attr"`
			Strict string `xml:"http://purl.oclc.org/ooxml/officeDocument/relationships id,attr"`
		} `xml:"sheets>sheet"`
	}
	var rels struct {
		Relationships []struct {
			ID     string `xml:"Id,attr"`
			Target string `xml:"Target,attr"`
		} `xml:"Relationship"`
	}
	if err := decodePart(z, "xl/workbook.xml", &book); err != nil {
		return "", err
	}
	if err := decodePart(z, "xl/_rels/workbook.xml.rels", &rels); err != nil {
		return "", err
	}
	for _, s := range book.Sheets {
		if s.Name != name {
			continue
		}
		for _, r := range rels.Relationships {
			if r.ID != "" && (r.ID == s.ID || r.ID == s.Strict) {
				if strings.HasPrefix(r.Target, "/") {
					return strings.TrimPrefix(r.Target, "/"), nil
				}
				return path.Join("xl", r.Target), nil
			}
		}
	}
	return "", faultf("sheet %d, %q, has no content in the workbook", at+1, name)
}

func decodePart(z *zip.Reader, name string, into any) error {
	for _, f := range z.File {
		if !strings.EqualFold(strings.ReplaceAll(f.Name, `\`, "/"), name) {
			continue
		}
		r, err := f.Open()
		if err != nil {
			return faultf("the workbook is damaged: %v", err)
		}
		defer r.Close()
		if err := xml.NewDecoder(io.LimitReader(r, maxBookXML)).Decode(into); err != nil {
			return faultf("part %s of the workbook is damaged: %v", name, err)
		}
		return nil
	}
	return faultf("the workbook has no part %s", name)
}
