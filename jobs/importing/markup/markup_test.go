package markup

import (
	"errors"
	"io"
	"strings"
	"testing"
)

// all reads a file for its rows, and gives their texts and how it ended.
func all(text string) (rows []string, err error) {
	r := New(strings.NewReader(text))
	for {
		n, err := r.Next(func(path string) bool { return path == "/list/row" }, nil)
		if err != nil {
			return rows, err
		}
		rows = append(rows, n.Path()+" "+n.Text+n.Of("name"))
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	rows, err := all("<?xml version=\"1.0\"?>\n<!DOCTYPE list SYSTEM \"list.dtd\" [<!ELEMENT row (#PCDATA)><!ENTITY % more \"(x)\">]>\n" +
		"<list xmlns=\"urn:x\"><skip><row>no</row></skip><row>a &amp; &#66;</row><row><name><![CDATA[<c>]]></name></row></list>\n<!-- end -->")
	if !errors.Is(err, io.EOF) || strings.Join(rows, "|") != "/list/row a & B|/list/row[2] <c>" {
		t.Errorf("%q %v", rows, err)
	}
}

func TestRefuse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`<list><row>a</row>`:                       "xml.syntax",
		`<list><row>a</list>`:                      "xml.syntax",
		`<list></list><list/>`:                     "xml.syntax",
		`<list></list>x`:                           "xml.syntax",
		`<list><row>&x;</row></list>`:              "xml.entity",
		`<list><row>&nbsp;</row></list>`:           "xml.entity",
		`<!DOCTYPE list [<!ENTITY a "b">]><list/>`: "xml.entity",
		`<!DOCTYPE list [<!ENTITY a SYSTEM "file:///etc/passwd">]><list/>`: "xml.entity",
		`<list><!DOCTYPE list><row/></list>`:                               "xml.syntax",
		strings.Repeat("<a>", MaxDepth+1):                                  "xml.depth",
		`<list><row>` + strings.Repeat("x", maxToken+1) + `</row></list>`:  "xml.size",
		`<list><row>` + strings.Repeat("<a/>", maxNodes) + `</row></list>`: "xml.size",
		`<list><row ` + strings.Repeat("x", maxToken+1) + `="1"/></list>`:  "xml.size",
		"<list><row>\x01</row></list>":                                     "xml.syntax",
		"":                                                                 "xml.syntax",
	} {
		_, err := all(text)
		if f, ok := errors.AsType[*Fault](err); !ok || f.Code != want || f.Line < 1 {
			t.Errorf("%.60s: %v, want %s", text, err, want)
		}
	}
}

// What comes before a fault is given.
func TestBeforeFault(t *testing.T) {
	t.Parallel()
	rows, err := all("<list>\n<row>a</row>\n<row>b</row>\n<row>c</rox></list>")
	if f, ok := errors.AsType[*Fault](err); len(rows) != 2 || !ok || f.Line != 4 || f.Path != "/list/row[3]" {
		t.Errorf("%q %v", rows, err)
	}
}

func TestEncoding(t *testing.T) {
	t.Parallel()
	for head, want := range map[string]string{
		`<?xml version="1.0" encoding="ISO-8859-1"?>`:     "ISO-8859-1",
		"\n<?xml version='1.0' encoding = 'utf-8' ?><a/>": "utf-8",
		`<?xml version="1.0"?><a encoding="x"/>`:          "",
		`<a/>`:                                            "",
	} {
		if got := Encoding([]byte(head)); got != want {
			t.Errorf("%s: %q", head, got)
		}
	}
}

func FuzzNext(f *testing.F) {
	for _, seed := range []string{"<list><row>a</row></list>", "<!DOCTYPE a [<!ENTITY % b 'c'>]><a/>", "<a b='c'><![CDATA[x]]>&lt;</a>", "<?xml version='1.0' encoding='x'?><a:b xmlns:a='c'/>"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r := New(strings.NewReader(text))
		for range 10_000 {
			n, err := r.Next(func(path string) bool { return strings.HasSuffix(path, "/row") }, func(*Node) {})
			if err == nil {
				if n == nil || n.Line < 1 || n.Path() == "" {
					t.Fatalf("%+v", n)
				}
				continue
			}
			if f, ok := errors.AsType[*Fault](err); !errors.Is(err, io.EOF) && (!ok || f.Line < 1) {
				t.Fatalf("%v", err)
			}
			if _, again := r.Next(func(string) bool { return true }, nil); again == nil {
				t.Fatal("reading goes on behind the end")
			}
			return
		}
	})
}
