package connectors

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/sluicehub/sluice/pim"
)

// maxDepth bounds how deep a document nests.
const maxDepth = 64

// writer writes values as canonical JSON: keys in the order of their bytes, no
// white space, strings as encoding/json writes them with HTML left alone.
type writer struct {
	out  []byte
	keys []string // scratch, used as a stack
}

// value appends a value of CEL or of a product. It reports true, so that a
// caller can pass its result on; an error leaves rubbish behind.
func (w *writer) value(v any, depth int) (bool, error) {
	if len(w.out) > MaxDocument {
		return false, fmt.Errorf("%w: a document has at most %d bytes", errTooLarge, MaxDocument)
	}
	if depth > maxDepth {
		return false, fmt.Errorf("%w: a document nests at most %d deep", errTooLarge, maxDepth)
	}
	switch v := v.(type) {
	case string:
		w.out = pim.AppendJSONString(w.out, v)
	case json.Number:
		return w.number(string(v))
	case map[string]any:
		return w.object(v, depth)
	case []any:
		return w.array(v, depth)
	case []string:
		w.out = append(w.out, '[')
		for i, s := range v {
			w.comma(i)
			w.out = pim.AppendJSONString(w.out, s)
		}
		w.out = append(w.out, ']')
	case nil:
		w.out = append(w.out, "null"...)
	case bool:
		w.out = strconv.AppendBool(w.out, v)
	case int64:
		w.out = strconv.AppendInt(w.out, v, 10)
	case ref.Val:
		return w.val(v, depth)
	default:
		return false, fmt.Errorf("a %T is nothing that JSON can hold", v)
	}
	return true, nil
}

// val appends what an expression gave.
func (w *writer) val(v ref.Val, depth int) (bool, error) {
	switch v := v.(type) {
	case types.String:
		w.out = pim.AppendJSONString(w.out, string(v))
	case types.Bool:
		w.out = strconv.AppendBool(w.out, bool(v))
	case types.Int:
		w.out = strconv.AppendInt(w.out, int64(v), 10)
	case types.Uint:
		w.out = strconv.AppendUint(w.out, uint64(v), 10)
	case types.Double:
		return w.double(float64(v))
	case exactNumber:
		return w.number(string(v))
	case types.Null:
		w.out = append(w.out, "null"...)
	case types.Bytes:
		w.out = pim.AppendJSONString(w.out, base64.StdEncoding.EncodeToString(v))
	case types.Timestamp:
		w.out = pim.AppendJSONString(w.out, v.UTC().Format(time.RFC3339Nano))
	case types.Duration:
		w.out = pim.AppendJSONString(w.out, strconv.FormatFloat(v.Seconds(), 'f', -1, 64)+"s")
	case *nativeList:
		return w.array(v.native, depth)
	case *orderedMap:
		if v.native != nil {
			return w.object(v.native, depth)
		}
		return w.mapper(v, depth)
	case traits.Mapper:
		return w.mapper(v, depth)
	case traits.Lister:
		w.out = append(w.out, '[')
		i := 0
		for it := v.Iterator(); it.HasNext() == types.True; i++ {
			w.comma(i)
			if ok, err := w.value(it.Next(), depth+1); err != nil {
				return ok, err
			}
		}
		w.out = append(w.out, ']')
	case *types.Err:
		return false, v
	default:
		return false, fmt.Errorf("a %s is nothing that JSON can hold", v.Type().TypeName())
	}
	return true, nil
}

func (w *writer) comma(i int) {
	if i > 0 {
		w.out = append(w.out, ',')
	}
}

func (w *writer) array(l []any, depth int) (bool, error) {
	w.out = append(w.out, '[')
	for i, el := range l {
		w.comma(i)
		if ok, err := w.value(el, depth+1); err != nil {
			return ok, err
		}
	}
	w.out = append(w.out, ']')
	return true, nil
}

func (w *writer) object(m map[string]any, depth int) (bool, error) {
	from := len(w.keys)
	for k := range m {
		w.keys = append(w.keys, k)
	}
	keys := w.keys[from:]
	slices.Sort(keys)
	w.out = append(w.out, '{')
	for i, k := range keys {
		w.comma(i)
		w.out = append(pim.AppendJSONString(w.out, k), ':')
		if ok, err := w.value(m[k], depth+1); err != nil {
			return ok, err
		}
	}
	w.out = append(w.out, '}')
	w.keys = w.keys[:from]
	return true, nil
}

// mapper appends a map that an expression made. Its keys may be of any type that
// CEL allows; in JSON they are text, and no two may be the same.
func (w *writer) mapper(m traits.Mapper, depth int) (bool, error) {
	type entry struct {
		key   string
		value ref.Val
	}
	var entries []entry
	for it := m.Iterator(); it.HasNext() == types.True; {
		k := it.Next()
		switch k.(type) {
		case types.String, types.Int, types.Uint, types.Bool:
			text, _ := k.ConvertToType(types.StringType).(types.String)
			entries = append(entries, entry{string(text), m.Get(k)})
		default:
			return false, fmt.Errorf("a map's key is a %s; it must be text", k.Type().TypeName())
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.key, b.key) })
	w.out = append(w.out, '{')
	for i, e := range entries {
		if i > 0 && e.key == entries[i-1].key {
			return false, fmt.Errorf("a map has the key %q twice", clip(e.key, 40))
		}
		w.comma(i)
		w.out = append(pim.AppendJSONString(w.out, e.key), ':')
		if ok, err := w.value(e.value, depth+1); err != nil {
			return ok, err
		}
	}
	w.out = append(w.out, '}')
	return true, nil
}

var errNoNumber = errors.New("the result is not a finite number")

// double writes a number as ECMAScript and encoding/json do.
func (w *writer) double(f float64) (bool, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return false, errNoNumber
	}
	b, err := json.Marshal(f)
	if err != nil {
		return false, errNoNumber
	}
	w.out = append(w.out, b...)
	return true, nil
}

// number writes a number as it was stored.
func (w *writer) number(s string) (bool, error) {
	if !isNumber(s) {
		return false, fmt.Errorf("%q is no number", clip(s, 40))
	}
	w.out = append(w.out, s...)
	return true, nil
}

// isNumber checks the grammar of RFC 8259, section 6.
func isNumber(s string) bool {
	s = strings.TrimPrefix(s, "-")
	digits := func() bool {
		n := 0
		for n < len(s) && '0' <= s[n] && s[n] <= '9' {
			n++
		}
		s = s[n:]
		return n > 0
	}
	if strings.HasPrefix(s, "0") {
		s = s[1:]
	} else if !digits() {
		return false
	}
	if strings.HasPrefix(s, ".") {
		s = s[1:]
		if !digits() {
			return false
		}
	}
	if s != "" && (s[0] == 'e' || s[0] == 'E') {
		s = s[1:]
		if s != "" && (s[0] == '+' || s[0] == '-') {
			s = s[1:]
		}
		if !digits() {
			return false
		}
	}
	return s == ""
}
