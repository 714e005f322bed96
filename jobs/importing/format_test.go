package importing

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
)

// readAll gives each record as compact JSON, "!code" for one with a fault, and
// what ended the file.
func readAll(r io.Reader) (rows []string, end error) {
	in, err := open(r, form{})
	if err != nil {
		return nil, err
	}
	var rec record
	for {
		if err := in.next(&rec); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return rows, err
		}
		if rec.row != int64(len(rows)+1) {
			return rows, fmt.Errorf("row %d comes after %d rows", rec.row, len(rows))
		}
		if rec.bad != nil {
			rows = append(rows, "!"+rec.bad.code)
			continue
		}
		m := map[string]any{}
		for i, v := range rec.cells {
			if v != nil {
				m[in.columns().names[i]] = v
			}
		}
		text := compact(m)
		if len(rec.stripped) > 0 || rec.nul {
			text += " stripped"
		}
		rows = append(rows, text)
	}
}

func packed(t testing.TB, s string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, s)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestFormats(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxRecord)
	tests := []struct {
		name, in string
		rows     []string
		fails    string // part of the fault that ends the file
	}{
		{name: "plain", in: "a,b\n1,2\n", rows: []string{`{"a":"1","b":"2"}`}},
		{name: "no last line end", in: "a,b\n1,2", rows: []string{`{"a":"1","b":"2"}`}},
		{name: "BOM and CRLF", in: "\ufeffa,b\r\n1,2\r\n\r\n3,\"4\"\r\n", rows: []string{`{"a":"1","b":"2"}`, `{"a":"3","b":"4"}`}},
		{name: "quotes", in: "\"a\",b\n\"x,\"\"y\"\"\nz\",\"\"\n", rows: []string{`{"a":"x,\"y\"\nz"}`}},
		{name: "ragged", in: "a,b\n1\n1,2,3\n4,5\n", rows: []string{"!row.columns", "!row.columns", `{"a":"4","b":"5"}`}},
		{name: "quote inside", in: "a,b\n1,x\"y\n3,4\n", rows: []string{"!row.quote", `{"a":"3","b":"4"}`}},
		{name: "text behind quote", in: "a,b\n1,\"x\"y\n3,4\n", rows: []string{"!row.quote", `{"a":"3","b":"4"}`}},
		{name: "never closed", in: "a,b\n1,\"x\n3,4\n5,6\n", rows: []string{"!row.quote", `{"a":"3","b":"4"}`, `{"a":"5","b":"6"}`}},
		{name: "never closed and long", in: "a,b\n1,\"x\n3," + long + "\n5,6\n", rows: []string{"!row.quote", "!row.too_large", `{"a":"5","b":"6"}`}},
		{name: "long row", in: "a,b\n1," + long + long + long + "\n5,6\n", rows: []string{"!row.too_large", `{"a":"5","b":"6"}`}},
		{name: "long quoted row", in: "a,b\n1,\"" + long[:maxRecord/2] + "\n" + long[:maxRecord/2] + "\"\n5,6\n", rows: []string{"!row.too_large", `{"a":"5","b":"6"}`}},
		{name: "not UTF-8", in: "a,b\n1,\xe9t\xe9\n3,ü\n", rows: []string{"!text.utf8", `{"a":"3","b":"ü"}`}},
		{name: "Windows-1252", in: "a,b\n1,\xe9t\xe9\x80\n3,4\n", rows: []string{`{"a":"1","b":"été€"}`, `{"a":"3","b":"4"}`}},
		{name: "tabs", in: "a\tb\n1\tx, \"y\"\n", rows: []string{"!row.quote"}},
		{name: "semicolons", in: "a;b\n1,5;\"x;y\"\n", rows: []string{`{"a":"1,5","b":"x;y"}`}},
		{name: "pipes", in: "a|b|c\n1,5|2|\n1|2,3|4\n", rows: []string{`{"a":"1,5","b":"2"}`, `{"a":"1","b":"2,3","c":"4"}`}},
		{name: "padded", in: "a  , b\n1  , \"x, y\"  \n2, z\n", rows: []string{`{"a":"1  ","b":"x, y"}`, `{"a":"2","b":" z"}`}},
		{name: "controls", in: "a,b\n1,x\x00y\n", rows: []string{`{"a":"1","b":"xy"} stripped`}},
		{name: "same names", in: "a,a,,a_2\n1,2,3,4\n", rows: []string{`{"a":"1","a_2":"2","a_2_2":"4","column_3":"3"}`}},
		{name: "header only", in: "a,b\n"},
		{name: "bracket in the header", in: "[a],b\n1,2\n", rows: []string{`{"[a]":"1","b":"2"}`}},
		{name: "header with a stray quote", in: "a,b\"c\n1,2\n", fails: "header cannot be read: line 1"},
		{name: "wide header", in: strings.Repeat("a,", maxColumns) + "a\n", fails: "1001 columns"},
		{name: "wide row", in: "a,b\n" + strings.Repeat(`"",`, maxColumns+5) + "\n1,2\n", rows: []string{"!row.columns", `{"a":"1","b":"2"}`}},
		{name: "empty", in: "", fails: "empty"},
		{name: "blank", in: "\ufeff\n \n", fails: "empty"},
		{name: "UTF-16", in: "\xff\xfea\x00,\x00b\x00\n\x001\x00,\x00\xe9\x00\n\x00", rows: []string{`{"a":"1","b":"é"}`}},
		{name: "UTF-16 big-endian, unmarked", in: "\x00a\x00,\x00b\x00\n\x001\x00,\x00\xe9\x00\n", rows: []string{`{"a":"1","b":"é"}`}},
		{name: "no workbook", in: "PK\x03\x04....", fails: "workbook cannot be unpacked"},
		{name: "old workbook", in: string(oleMagic) + "....", fails: "old Excel"},

		{name: "lines", in: "{\"a\":1}\n\n{\"b\":\"x\"}\r\n{\"a\":7.8740157480315e-05}", rows: []string{`{"a":1}`, `{"b":"x"}`, `{"a":7.8740157480315e-05}`}},
		{
			name: "faulty lines", in: "{\"a\":1}\n{\"a\":\n[1]\n{\"a\":1,\"a\":2}\n{\"a\":\"\\ud800\"}\n{\"a\":\"\xff\"}\n{\"a\":2}\n",
			rows: []string{`{"a":1}`, "!json.syntax", "!row.shape", "!json.duplicate_key", "!json.surrogate", "!json.utf8", `{"a":2}`},
		},
		{name: "faulty first line", in: "{\"a\": \"x\n{\"a\":2}\n", rows: []string{"!json.syntax", `{"a":2}`}},
		{name: "escaped NUL", in: `{"a":"x\u0000y","b":"\\u0000"}`, rows: []string{`{"a":"xy","b":"\\u0000"} stripped`}},
		{name: "long line", in: "{\"a\":\"" + long + "\"}\n{\"a\":2}\n", rows: []string{"!row.too_large", `{"a":2}`}},
		{name: "objects over lines", in: "{\n \"a\": 1\n}\n{\n \"a\": 2\n}\n", rows: []string{`{"a":1}`, `{"a":2}`}},

		{name: "array", in: " [ {\"a\":1} ,\n{\"a\":{\"b\":[\"]\",\"\\\"}\"]}}]\n", rows: []string{`{"a":1}`, `{"a":{"b":["]","\"}"]}}`}},
		{name: "empty array", in: "[]"},
		{
			name: "faulty elements", in: `[{"a":1,},{"a":01},2,null,"x",[{"a":3}],{"a":4}]`,
			rows: []string{"!json.syntax", "!json.syntax", "!row.shape", "!row.shape", "!row.shape", "!row.shape", `{"a":4}`},
		},
		{name: "deep", in: `[{"a":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `},{"a":1}]`, rows: []string{"!json.depth", `{"a":1}`}},
		{name: "long element", in: `[{"a":"` + long + `"},{"a":1}]`, rows: []string{"!row.too_large", `{"a":1}`}},
		{name: "cut off", in: `[{"a":1},{"a":`, rows: []string{`{"a":1}`}, fails: "within row 2, behind byte 14"},
		{name: "not closed", in: `[{"a":1}`, rows: []string{`{"a":1}`}, fails: "behind row 1, before its array"},
		{name: "no comma", in: `[{"a":1} {"a":2}]`, rows: []string{`{"a":1}`}, fails: "byte 10: a comma"},
		{name: "comma at the end", in: `[{"a":1},]`, rows: []string{`{"a":1}`}, fails: "byte 10: a row is expected"},
		{name: "something behind", in: `[{"a":1}] x`, rows: []string{`{"a":1}`}, fails: "byte 11: something follows"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for how, r := range map[string]io.Reader{
				"as it is":     strings.NewReader(tt.in),
				"packed":       strings.NewReader(packed(t, tt.in)),
				"byte by byte": iotest.OneByteReader(strings.NewReader(tt.in)),
				"with its end": iotest.DataErrReader(strings.NewReader(tt.in)),
			} {
				rows, end := readAll(r)
				if len(rows)+len(tt.rows) > 0 && !reflect.DeepEqual(rows, tt.rows) {
					t.Errorf("%s: rows\n%.200q, not\n%.200q", how, rows, tt.rows)
				}
				switch {
				case tt.fails == "" && end != nil, tt.fails != "" && !(errors.As(end, new(*fault)) && strings.Contains(end.Error(), tt.fails)):
					t.Errorf("%s: ends with %v, not %q", how, end, tt.fails)
				}
			}
		})
	}
}

func TestDamagedGzip(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("sku,n\n")
	for i := range 50_000 {
		fmt.Fprintf(&b, "s%d,%d\n", i, i*7919)
	}
	whole := packed(t, b.String())
	flipped := []byte(whole)
	flipped[len(flipped)/2] ^= 0xff
	for name, in := range map[string]string{"cut off": whole[:len(whole)/2], "flipped": string(flipped), "no content": whole[:12]} {
		rows, end := readAll(strings.NewReader(in))
		f, ok := errors.AsType[*fault](end)
		if !ok || f.damaged != (name == "flipped") {
			t.Errorf("%s: ends with %v", name, end)
		}
		if f.damaged {
			if _, err := look(t.Context(), strings.NewReader(in), &Options{}, nil); err == nil || err.Error() != f.text {
				t.Errorf("%s: a first look ends with %v", name, err)
			}
			continue
		}
		for i, r := range rows {
			var m map[string]string
			if json.Unmarshal([]byte(r), &m) != nil || m["n"] != fmt.Sprint(i*7919) {
				t.Fatalf("%s: row %d of a damaged file was taken as %s", name, i+1, r)
			}
		}
	}
}

// A source that fails is no fault of the file: the job is to come back.
func TestFailingSource(t *testing.T) {
	t.Parallel()
	lost := errors.New("connection lost")
	for _, in := range []string{"", "a,b\n1,2\n3", `[{"a":1},`, "{\"a\":1}\n", packed(t, "a,b\n1,2\n")[:15]} {
		_, end := readAll(io.MultiReader(strings.NewReader(in), iotest.ErrReader(lost)))
		if !errors.Is(end, lost) || errors.As(end, new(*fault)) {
			t.Errorf("%q ends with %v", in, end)
		}
	}
}

func FuzzReadCSV(f *testing.F) {
	for _, s := range []string{
		"a,b\n1,2\n", "\ufeffa,b\r\n\"1\"\"\r\n\",2\r\n", "a\n\"\n\n\"x\n", "a,b\n\"x\"y,1\n,\n", "a\r\n\r\n\r", "\"a\"\r", "a,\"\n\",\"\n1,2", "0,0\n\"\ufeff000\r\r\n\",",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		rows, end := readAll(bytes.NewReader(in))
		if len(rows) > len(in) {
			t.Fatalf("%d rows of %d bytes", len(rows), len(in))
		}
		slow, slowEnd := readAll(iotest.OneByteReader(bytes.NewReader(in)))
		if !reflect.DeepEqual(rows, slow) || fmt.Sprint(end) != fmt.Sprint(slowEnd) {
			t.Fatalf("byte by byte gives\n%q %v, at once\n%q %v", slow, slowEnd, rows, end)
		}
		// What encoding/csv reads without complaint, we read too.
		theirs := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(in, []byte("\ufeff"))))
		all, err := theirs.ReadAll()
		r, openErr := open(bytes.NewReader(in), form{})
		if c, ok := r.(*csvReader); ok && err == nil && openErr == nil && len(all) > 0 {
			var rec record
			for i := 1; i < len(all); i++ {
				if err := c.next(&rec); err != nil {
					t.Fatalf("row %d of %d: %v", i, len(all)-1, err)
				}
				if rec.bad != nil && rec.bad.code != "text.utf8" {
					t.Fatalf("row %d: %+v", i, rec.bad)
				}
				for k, cell := range all[i] {
					// They write CRLF within a field as LF, we leave it.
					if rec.bad == nil && strings.ReplaceAll(c.fields[k], "\r\n", "\n") != cell {
						t.Fatalf("row %d field %d: %q, not %q", i, k, c.fields[k], cell)
					}
				}
			}
			if err := c.next(&rec); !errors.Is(err, io.EOF) {
				t.Fatalf("there are more rows than %d", len(all)-1)
			}
		}
	})
}

func FuzzReadJSON(f *testing.F) {
	for _, s := range []string{
		`[{"a":1},{"b":[1,{"c":"]"}]}]`, "{\"a\":1}\n{\"b\":2}", "{\n\"a\":\"x\\\"\"}\n{}", `[1,,2]`, `[]]`, `[{"a":"\u0000\\u0000"}]`, "[}]", `["`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) == 0 || in[0] != '[' && in[0] != '{' {
			in = append([]byte("["), in...)
		}
		rows, end := readAll(bytes.NewReader(in))
		if len(rows) > len(in) {
			t.Fatalf("%d rows of %d bytes", len(rows), len(in))
		}
		slow, slowEnd := readAll(iotest.OneByteReader(bytes.NewReader(in)))
		if !reflect.DeepEqual(rows, slow) || fmt.Sprint(end) != fmt.Sprint(slowEnd) {
			t.Fatalf("byte by byte gives\n%q %v, at once\n%q %v", slow, slowEnd, rows, end)
		}
		var all []json.RawMessage
		if in[0] == '[' && json.Unmarshal(in, &all) == nil && isArray(in) && (end != nil || len(rows) != len(all)) {
			t.Fatalf("%d of %d elements, then %v", len(rows), len(all), end)
		}
	})
}

// endless yields head, then n times row, then tail.
type endless struct {
	head, row, tail string
	n               int
	rest            string
}

func (e *endless) Read(p []byte) (int, error) {
	for e.rest == "" {
		switch {
		case e.head != "":
			e.rest, e.head = e.head, ""
		case e.n > 0:
			e.rest, e.n = e.row, e.n-1
		case e.tail != "":
			e.rest, e.tail = e.tail, ""
		default:
			return 0, io.EOF
		}
	}
	n := copy(p, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

// A file is never held in memory, however long it is and however broken.
func TestFlatMemory(t *testing.T) {
	long := strings.Repeat("x", 1000)
	for name, in := range map[string]*endless{
		"csv":           {head: "sku,a\n", row: "1,\"" + long + "\"\n", n: 40_000},
		"one line":      {head: "sku,a\n1,", row: long, n: 40_000},
		"never closed":  {head: "sku,a\n1,\"", row: long + "\n", n: 40_000},
		"lines":         {head: "{\"sku\":1}\n", row: "{\"sku\":\"" + long + "\"}\n", n: 40_000},
		"one json line": {head: `{"sku":"`, row: long, n: 40_000, tail: "\"}\n"},
		"array":         {head: "[1", row: ",{\"sku\":\"" + long + "\"}", n: 40_000, tail: "]"},
		"one element":   {head: "[{\"a\":\"", row: long, n: 40_000, tail: "\"}]"},
		"brackets":      {head: "[", row: strings.Repeat("[", 1000), n: 40_000},
	} {
		r, err := open(in, form{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var (
			rec  record
			most uint64
		)
		for rows := 0; err == nil; rows++ {
			if err = r.next(&rec); rows%20_000 == 0 || err != nil {
				var m runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapAlloc)
			}
		}
		if most > 24<<20 {
			t.Errorf("%s: %d MB were held", name, most>>20)
		}
		runtime.KeepAlive(r)
	}
}
