package jobs

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/pim"
)

func TestHarmlessCell(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"": "", "a=1": "a=1", "=1+1": "'=1+1", "-5": "-5", "+1.5": "+1.5", "@x": "'@x", "-x": "'-x"} {
		got := HarmlessCell(in)
		if got != want {
			t.Errorf("HarmlessCell(%q) = %q", in, got)
		}
		if !sameCell(got, in) || !sameCell(strings.ReplaceAll(got, "\n", "\r\n"), in) || sameCell(got+"x", in) {
			t.Errorf("%q is not told from others", got)
		}
		if bareCell(got) != in || bareCell("'a"+in) != "'a"+in {
			t.Errorf("%q comes back as %q", in, bareCell(got))
		}
	}
}

// A sheet is read whatever its delimiter, and the order of its columns.
func TestSheet(t *testing.T) {
	t.Parallel()
	for _, file := range []string{
		"id,text\n1,\"a\nb\"\n\n2,c\n", "\uFEFFText;x;ID\n\"a\nb\";;1\nc;;2\n", " ID \ttext\n1\t\"a\r\nb\"\r\n2\tc",
		"\uFEFF\"id\",\"text\"\r\n\"1\",\"a\r\nb\"\r\n\"2\",\"c\"\r\n",
	} {
		s, err := openSheet(strings.NewReader(file), 2, "id", "text")
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range [][2]string{{"1", "a\nb"}, {"2", "c"}} {
			if err := s.next(); err != nil || s.cell("id") != want[0] || s.cell("text") != want[1] || s.row != i+1 || s.cell("none") != "" {
				t.Errorf("%q: row %d (%d) is %q, %q: %v", file, s.row, i+1, s.cell("id"), s.cell("text"), err)
			}
		}
		if err := s.next(); !errors.Is(err, io.EOF) {
			t.Errorf("%q: ends with %v", file, err)
		}
	}
	for file, code := range map[string]string{
		"": "csv", "id\n1\n": "csv.column", "id,text,id\n": "csv.column", "\"id,text\n": "csv", "id,text\n1,\"a\n": "csv", "id,text\n1,\n2,\n3,\n": "csv.long",
	} {
		s, err := openSheet(strings.NewReader(file), 2, "id", "text")
		for err == nil {
			err = s.next()
		}
		if invalid, ok := errors.AsType[*pim.Invalid](err); !ok || invalid.Problems[0].Code != code {
			t.Errorf("%q: %v, want %s", file, err, code)
		}
	}
}

// Nothing of outside makes the reader of a sheet fail but with an answer.
func FuzzSheet(f *testing.F) {
	f.Add("id,rev,text,action,source\n1,2,a,,b\n")
	f.Add("from;to;kind;term\nen;de;keep;x\n")
	f.Fuzz(func(t *testing.T, file string) {
		s, err := openSheet(strings.NewReader(file), 100)
		for err == nil {
			if err = s.next(); err == nil {
				if d, err := readDecision(s); err == nil && d.Action != "" && (d.ID < 1 || d.Rev < 1) {
					t.Errorf("%q: decides %+v", file, d)
				}
				_, _ = readEntry(s)
			}
		}
		if _, ok := errors.AsType[*pim.Invalid](err); !ok && !errors.Is(err, io.EOF) {
			t.Errorf("%q: %v", file, err)
		}
	})
}
