package importing

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// delimiters are those that are looked for, the likeliest first.
var delimiters = []byte{',', ';', '\t', '|'}

// delimiterNames are what people may call a delimiter; any other character of
// ASCII that is neither letter, digit nor quote is called by itself.
var delimiterNames = map[string]byte{
	"comma": ',', "semicolon": ';', "tab": '\t', `\t`: '\t', "pipe": '|', "space": ' ', "colon": ':', "hash": '#',
}

// parseDelimiter reads Options.Delimiter; 0: it is to be found out.
func parseDelimiter(s string) (byte, error) {
	if s == "" {
		return 0, nil
	}
	if d, ok := delimiterNames[strings.ToLower(s)]; ok {
		return d, nil
	}
	if c := s[0]; len(s) == 1 && (c == '\t' || c > ' ' && c < 0x7f) && !isWordByte(c) && c != '"' {
		return c, nil
	}
	return 0, errors.New("a delimiter is comma, semicolon, tab, pipe, or one other character such as #")
}

func isWordByte(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// delimiterName is what a report calls a delimiter.
func delimiterName(d byte) string {
	for _, name := range []string{"comma", "semicolon", "tab", "pipe"} {
		if delimiterNames[name] == d {
			return name
		}
	}
	return string(rune(d))
}

// parseEncoding reads Options.Encoding, by the names of the WHATWG's encoding
// standard and a few that people use; nil: it is to be found out.
func parseEncoding(s string) (encoding.Encoding, error) {
	switch name := strings.ToLower(strings.TrimSpace(s)); name {
	case "":
		return nil, nil
	case "utf-8", "utf8", "utf-8-sig":
		return encoding.Nop, nil
	case "latin-1", "iso8859-1", "cp-1252", "ansi":
		return charmap.Windows1252, nil // which is ISO 8859-1, with printable characters where that has none
	case "utf-16", "utf16":
		return unicode.UTF16(unicode.LittleEndian, unicode.UseBOM), nil
	case "utf-16le":
		return unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM), nil
	case "utf-16be":
		return unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM), nil
	default:
		e, err := htmlindex.Get(name)
		if err != nil || e == encoding.Replacement {
			return nil, fmt.Errorf("the encoding %q is not known; it is called such as utf-8, utf-16le, windows-1252 or iso-8859-7", clip(s, 40))
		}
		return e, nil
	}
}

// guessEncoding tells a text's encoding by its beginning: "" is UTF-8. Without
// a byte order mark, UTF-16 shows by the zero bytes of its ASCII characters,
// and Windows-1252 by bytes that are no UTF-8 where nothing else is UTF-8
// beyond ASCII: one broken character makes no other encoding.
func guessEncoding(head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		return ""
	case bytes.HasPrefix(head, []byte("\xff\xfe")):
		return "utf-16le"
	case bytes.HasPrefix(head, []byte("\xfe\xff")):
		return "utf-16be"
	}
	var zeros [2]int
	for i, c := range head[:min(len(head), 4096)] {
		if c == 0 {
			zeros[i%2]++
		}
	}
	if n := min(len(head), 4096) / 2; n >= 2 && zeros[0]+zeros[1] > n/2 {
		switch {
		case zeros[1] > 8*zeros[0]:
			return "utf-16le"
		case zeros[0] > 8*zeros[1]:
			return "utf-16be"
		}
	}
	valid, broken := 0, 0
	for i := 0; i < len(head); {
		if head[i] < utf8.RuneSelf {
			i++
			continue
		}
		r, size := utf8.DecodeRune(head[i:])
		switch {
		case r != utf8.RuneError || size > 1:
			valid++
		case !utf8.FullRune(head[i:]) && len(head) >= bufferSize:
			// Cut off by the end of what is looked at: it says nothing.
		case bytes.IndexByte([]byte("\x81\x8d\x8f\x90\x9d"), head[i]) >= 0:
			return "" // nothing in Windows-1252 either
		default:
			broken++
		}
		i += size
	}
	if broken > 0 && valid == 0 {
		return "windows-1252"
	}
	return ""
}

// decoded gives r's text in UTF-8, from the encoding that was asked for or the
// one that head shows; name is the one that was guessed, "" for UTF-8.
func decoded(r io.Reader, head []byte, asked encoding.Encoding) (text io.Reader, name string) {
	e := asked
	if e == nil {
		if name = guessEncoding(head); name == "" {
			return r, ""
		}
		e, _ = parseEncoding(name)
	}
	if e == encoding.Nop {
		return r, ""
	}
	return transform.NewReader(r, e.NewDecoder()), name
}

// guessDelimiter tells a CSV's delimiter by its first lines: the one that gives
// the header at least two fields, and most lines as many as the header.
func guessDelimiter(head []byte, whole bool) byte {
	if !whole {
		if i := bytes.LastIndexByte(head, '\n'); i > 0 {
			head = head[:i]
		}
	}
	best, bestSame, bestFields := delimiters[0], -1.0, 0
	for _, d := range delimiters {
		header, same, lines := 0, 0, 0
		for rest := head; len(rest) > 0 && lines < 100; {
			var n int
			n, rest = countFields(rest, d)
			switch {
			case n == 0: // an empty line
				continue
			case header == 0:
				header = n
			default:
				lines++
				if n == header {
					same++
				}
			}
		}
		if header < 2 {
			continue
		}
		part := 0.0
		if lines > 0 {
			part = float64(same) / float64(lines)
		}
		if part > bestSame || part == bestSame && header > bestFields {
			best, bestSame, bestFields = d, part, header
		}
	}
	return best
}

// countFields counts the fields of the record at the start of text, 0 of an
// empty line, and gives what follows it. A quote that is never closed counts as
// a character.
func countFields(text []byte, d byte) (n int, rest []byte) {
	const most = 64 << 10 // of one record
	quoted, began := false, true
	for i := 0; i < len(text) && i < most; i++ {
		c := text[i]
		switch {
		case quoted:
			quoted = c != '"'
		case c == '"' && began:
			quoted = true
		case c == d:
			n++
			began = true
			continue
		case c == '\n':
			if len(bytes.TrimSpace(text[:i])) == 0 {
				return 0, text[i+1:]
			}
			return n + 1, text[i+1:]
		}
		began = began && c == ' '
	}
	if quoted { // not closed: take the line as it stands
		line, rest, _ := bytes.Cut(text, []byte{'\n'})
		return bytes.Count(line, []byte{d}) + 1, rest
	}
	if len(text) > most {
		return n + 1, nil
	}
	return n + 1, nil
}
