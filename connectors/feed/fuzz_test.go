package feed

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluicehub/sluice/pim"
)

// FuzzDocument writes any document as a row, and reads it as it was written, with
// another before and after it.
func FuzzDocument(f *testing.F) {
	f.Add("A", []byte(`{"title":"x","shipping":[{"country":"DE"}],"a":["b","c,\"d"]}`))
	f.Add("A\tB\n", []byte(`{"title":"]]><item>\u0000\r\n\t","x":{"y":""}}`))
	f.Add("ä", []byte(`{"adult":true,"multipack":1e400,"n":null}`))
	f.Fuzz(func(t *testing.T, sku string, document []byte) {
		doc := map[string]any{}
		d := json.NewDecoder(bytes.NewReader(document))
		d.UseNumber()
		if d.Decode(&doc) != nil || cleaned(sku) == "" {
			return
		}
		s := &settings{}
		cells, _ := s.row(pim.SKU(sku), doc)
		roundTrip(t, cells)
	})
}

type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

func roundTrip(t failer, cells []cell) {
	t.Helper()
	var columns []string
	for _, c := range cells {
		columns = append(columns, c.name)
	}
	slices.SortFunc(columns, byColumn)
	for _, format := range []string{formatXML, formatTSV} {
		f := (&settings{Config: Config{Format: format}}).format(slices.Compact(columns))
		var b bytes.Buffer
		other := []cell{{"id", []value{{text: "OTHER"}}}}
		b.Write(f.head())
		from := b.Len()
		b.Write(f.row(other))
		b.Write(f.row(cells))
		b.Write(f.row(other))
		to := b.Len()
		b.Write(f.foot())
		for _, part := range []bool{false, true} {
			text := b.String()
			if part {
				text = text[from:to]
			}
			var got []fields
			err := f.scan(strings.NewReader(text), part, func(_ string, row fields) error {
				got = append(got, row)
				return nil
			})
			want := f.shown(cells)
			for name, list := range want { // an empty cell of a table is none
				if len(list) == 1 && list[0] == "" {
					delete(want, name)
				}
			}
			if err != nil || len(got) != 3 || !maps.EqualFunc(got[1], want, slices.Equal) {
				t.Fatalf("%s, part %v: %v\n%q\n%q\n%s", format, part, err, got, want, text)
			}
		}
	}
}

// FuzzManifest reads what may lie in the place of a manifest.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"state":{"base":"sluice-feed/base-1","segments":[{"name":"sluice-feed/seg-1","said":"3l1c"}]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseManifest(b)
		if err != nil {
			return
		}
		for _, d := range m.State.Segments {
			text, err := d.Said.MarshalText()
			var again said
			if err != nil || again.UnmarshalText(text) != nil || !slices.Equal(again, d.Said) {
				t.Fatalf("%s: %v", text, err)
			}
		}
	})
}

// FuzzEntry reads what may lie in a segment.
func FuzzEntry(f *testing.F) {
	f.Add([]byte(`{"s":"A","r":1,"d":{"title":"x"}}`))
	f.Add([]byte(`{"s":"A","r":1,"t":17}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := parseEntry(line)
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := writeEntry(&b, e); err != nil {
			t.Fatal(err)
		}
		again, err := parseEntry(bytes.TrimSpace(b.Bytes()))
		if err != nil || again.SKU != e.SKU || again.Rev != e.Rev || again.Gone != e.Gone || bytes.Count(b.Bytes(), []byte("\n")) != 1 {
			t.Fatalf("%s became %s: %v", line, b.String(), err)
		}
	})
}

// FuzzScan reads what may lie in the place of a feed.
func FuzzScan(f *testing.F) {
	f.Add(`<rss><channel><item><g:id xmlns:g="x">A</g:id></item></channel></rss>`)
	f.Add("id\ttitle\nA\tx\n")
	f.Fuzz(func(_ *testing.T, text string) {
		for _, format := range []string{formatXML, formatTSV} {
			for _, part := range []bool{false, true} {
				s := &settings{Config: Config{Format: format}}
				_ = s.format([]string{"id"}).scan(strings.NewReader(text), part, func(string, fields) error { return nil })
			}
		}
	})
}

// TestRoundTrip is FuzzDocument of documents with many attributes.
func TestRoundTrip(t *testing.T) {
	text := rapid.StringN(0, 20, -1)
	rapid.Check(t, func(t *rapid.T) {
		doc := map[string]any{}
		for name := range attributes {
			switch rapid.IntRange(0, 9).Draw(t, name) {
			case 0:
				doc[name] = text.Draw(t, name)
			case 1:
				doc[name] = []any{text.Draw(t, name), text.Draw(t, name), true}
			case 2:
				group := map[string]any{}
				for _, p := range attributes[name].parts {
					group[p] = text.Draw(t, p)
				}
				doc[name] = group
			}
		}
		s := &settings{}
		cells, _ := s.row("SKU 1", doc)
		roundTrip(t, cells)
	})
}
