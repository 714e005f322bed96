package api

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluicehub/sluice/pim"
)

// decode reads a body strictly into a T: what pim.DecodeJSON refuses, unknown
// members, missing ones (those without omitempty or omitzero) and wrong types are all
// faults with their place. at is where the body's members hang in the result's
// pointers, "" for the body itself. given are members that the address has
// told; the body may repeat but not change them.
func decode[T any](body []byte, given map[string]string) (T, error) {
	var out T
	v, err := pim.DecodeJSON(body, 0)
	if err != nil {
		return out, err
	}
	return bind[T](v, given)
}

// bind is decode for what pim.DecodeJSON gave.
func bind[T any](v any, given map[string]string) (T, error) {
	var out T
	var b binder
	if m, ok := v.(map[string]any); ok {
		for name, want := range given {
			if have, told := m[name]; told && have != want {
				b.fault("/"+name, "field.address", fmt.Sprintf("the address says %q", want))
			}
			m[name] = want
		}
	}
	b.value("", v, reflect.ValueOf(&out).Elem())
	if len(b.problems) > 0 {
		slices.SortStableFunc(b.problems, func(x, y pim.Problem) int { return strings.Compare(x.Pointer, y.Pointer) })
		return out, &pim.Invalid{Problems: b.problems}
	}
	return out, nil
}

// maxFaults is how many faults one answer tells.
const maxFaults = 100

type binder struct{ problems []pim.Problem }

func (b *binder) fault(at, code, detail string) {
	if len(b.problems) < maxFaults {
		b.problems = append(b.problems, pim.Problem{Pointer: at, Code: code, Detail: detail})
	}
}

func (b *binder) wrong(at, want string, v any) {
	b.fault(at, "field.type", want+" is expected, not "+kindOf(v))
}

var (
	typeTime   = reflect.TypeFor[time.Time]()
	typeRaw    = reflect.TypeFor[json.RawMessage]()
	typeDigits = reflect.TypeFor[pim.Number]()
)

// value puts v, which stands at at, into dst.
func (b *binder) value(at string, v any, dst reflect.Value) {
	if dst.Kind() == reflect.Pointer {
		if v == nil {
			return
		}
		dst.Set(reflect.New(dst.Type().Elem()))
		b.value(at, v, dst.Elem())
		return
	}
	switch dst.Type() {
	case typeRaw:
		raw, err := json.Marshal(v)
		if err != nil {
			b.fault(at, "field.type", "this cannot be kept as JSON")
		}
		dst.SetBytes(raw)
		return
	case typeTime:
		text, _ := v.(string)
		t, err := time.Parse(time.RFC3339, text)
		if err != nil {
			b.fault(at, "field.time", "a time by RFC 3339 is expected, such as 2026-11-27T09:00:00Z")
		}
		dst.Set(reflect.ValueOf(t))
		return
	case typeDigits:
		if n, ok := v.(json.Number); ok {
			v = string(n)
		}
	}
	if u, ok := dst.Addr().Interface().(encoding.TextUnmarshaler); ok {
		text, isText := v.(string)
		if !isText {
			b.wrong(at, "a string", v)
		} else if err := u.UnmarshalText([]byte(text)); err != nil {
			b.fault(at, "field.value", err.Error())
		}
		return
	}
	switch dst.Kind() {
	case reflect.Struct:
		b.object(at, v, dst)
	case reflect.Map:
		b.dictionary(at, v, dst)
	case reflect.Slice:
		b.array(at, v, dst)
	default:
		b.scalar(at, v, dst)
	}
}

func (b *binder) scalar(at string, v any, dst reflect.Value) {
	switch dst.Kind() {
	case reflect.String:
		if text, ok := v.(string); ok {
			dst.SetString(text)
			return
		}
		b.wrong(at, "a string", v)
	case reflect.Bool:
		if is, ok := v.(bool); ok {
			dst.SetBool(is)
			return
		}
		b.wrong(at, "true or false", v)
	case reflect.Float64:
		n, _ := v.(json.Number)
		if f, err := strconv.ParseFloat(string(n), 64); err == nil {
			dst.SetFloat(f)
			return
		}
		b.wrong(at, "a number", v)
	case reflect.Int, reflect.Int16, reflect.Int32, reflect.Int64:
		n, _ := v.(json.Number)
		if i, err := strconv.ParseInt(string(n), 10, dst.Type().Bits()); err == nil {
			dst.SetInt(i)
			return
		}
		b.wrong(at, "a whole number", v)
	default:
		b.fault(at, "field.type", "this cannot be given here")
	}
}

func (b *binder) object(at string, v any, dst reflect.Value) {
	m, ok := v.(map[string]any)
	if !ok {
		b.wrong(at, "an object", v)
		return
	}
	t := dst.Type()
	known := make(map[string]bool, t.NumField())
	for _, field := range reflect.VisibleFields(t) { // those of embedded structs, too
		name, rest, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		known[name] = true
		member, there := m[name]
		must := !strings.Contains(rest, "omitempty") && !strings.Contains(rest, "omitzero")
		switch {
		case there && (member != nil || must):
			b.value(pim.JoinPointer(at, name), member, dst.FieldByIndex(field.Index))
			b.atLeast(pim.JoinPointer(at, name), member, field.Tag.Get("minimum"))
		case must:
			b.fault(pim.JoinPointer(at, name), "field.missing", fmt.Sprintf("%q is missing", name))
		}
	}
	for name := range m {
		if !known[name] {
			b.fault(pim.JoinPointer(at, name), "field.unknown", fmt.Sprintf("there is no field %q here", name))
		}
	}
}

// atLeast holds a number that was written down to its field's tag "minimum":
// a 0 must not pass for a field that was left out.
func (b *binder) atLeast(at string, v any, minimum string) {
	least, err := strconv.ParseFloat(minimum, 64)
	n, ok := v.(json.Number)
	if err != nil || !ok {
		return
	}
	if f, err := n.Float64(); err == nil && f < least {
		b.fault(at, "limit", "is at least "+minimum)
	}
}

func (b *binder) dictionary(at string, v any, dst reflect.Value) {
	m, ok := v.(map[string]any)
	if !ok {
		b.wrong(at, "an object", v)
		return
	}
	t := dst.Type()
	dst.Set(reflect.MakeMapWithSize(t, len(m)))
	for name, member := range m {
		e := reflect.New(t.Elem()).Elem()
		b.value(pim.JoinPointer(at, name), member, e)
		dst.SetMapIndex(reflect.ValueOf(name).Convert(t.Key()), e)
	}
}

func (b *binder) array(at string, v any, dst reflect.Value) {
	list, ok := v.([]any)
	if !ok {
		b.wrong(at, "an array", v)
		return
	}
	dst.Set(reflect.MakeSlice(dst.Type(), len(list), len(list)))
	for i, member := range list {
		b.value(at+"/"+strconv.Itoa(i), member, dst.Index(i))
	}
}

// kindOf names what v was in JSON.
func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return "a string"
	case json.Number:
		return "the number " + clip(string(v))
	case bool:
		return "a boolean"
	case []any:
		return "an array"
	case map[string]any:
		return "an object"
	}
	return fmt.Sprintf("%T", v)
}

// clip keeps a client's text short where it is said back.
func clip(s string) string {
	const most = 40
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
