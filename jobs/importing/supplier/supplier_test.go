package supplier

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/sluicehub/sluice/jobs/importing/markup"
)

func TestLang(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]string{"deu": "de", "ger": "de", "GER": "de", "eng": "en", "fre": "fr", "de_DE": "de-DE", "nl": "nl", "": "", "x": "", "??": "", "und": ""} {
		if got := Lang(code); got != want {
			t.Errorf("%q is %q, want %q", code, got, want)
		}
	}
}

func TestRoot(t *testing.T) {
	t.Parallel()
	for head, want := range map[string]string{
		`<?xml version="1.0"?><!DOCTYPE BMECAT [<!ENTITY % a "b">]><BMECAT version="1.2"><HEAD`: RootBMEcat,
		`<b:BMECAT xmlns:b="x"><T_`:                    RootBMEcat,
		`<!-- a comment --><ICECAT-interface><Product`: RootIcecat,
		`<products><product`:                           "products",
		`name,price`:                                   "",
		`<!DOCTYPE BMECAT [<!ENTITY a "b">]><BMECAT version="1.2">`: "",
	} {
		if got := Root([]byte(head)); got != want {
			t.Errorf("%s: %q, want %q", head, got, want)
		}
	}
}

func TestMoment(t *testing.T) {
	t.Parallel()
	for in, want := range map[[3]string]string{
		{"2026-03-01", "", ""}:                "2026-03-01T00:00:00Z",
		{"2026-03-01", "10:00:00", "+01:00"}:  "2026-03-01T09:00:00Z",
		{"2026-03-01", "10:00:00", "Z"}:       "2026-03-01T10:00:00Z",
		{"2026-03-01T10:00:00+01:00", "", ""}: "2026-03-01T09:00:00Z",
		{"2026-13-01", "", ""}:                "",
		{"01.03.2026", "", ""}:                "",
		{"", "", ""}:                          "",
	} {
		got, ok := moment(in[0], in[1], in[2], false)
		if text := got.Format(time.RFC3339); ok != (want != "") || ok && text != want {
			t.Errorf("%v is %s %v, want %s", in, text, ok, want)
		}
	}
	if got, _ := moment("2026-12-31", "", "", true); got.Format(time.DateOnly) != "2027-01-01" {
		t.Errorf("a day ends on %s", got)
	}
}

// An index of Icecat is a product for each of its files.
func TestIndex(t *testing.T) {
	t.Parallel()
	r, _ := New(RootIcecat, strings.NewReader(`<ICECAT-interface><files.index Generated="2026"><file path="a.xml" Product_ID="7" Prod_ID="P-7" Catid="151" Model_Name="Seven" HighPic="https://x.example/7.jpg">
<EAN_UPCS><EAN_UPC Value="4006381333931"/><EAN_UPC Value="4006381333948"/></EAN_UPCS></file><file path="b.xml" Product_ID="8"/></files.index></ICECAT-interface>`))
	first, err := r.Next()
	if it := first.Item; err != nil || it == nil || it.SKU != "P-7" || it.Categories[0] != "151" || len(it.Texts) != 5 || len(it.Media) != 1 {
		t.Fatalf("%+v %v", first.Item, err)
	}
	second, err := r.Next()
	if it := second.Item; err != nil || it.Bad == nil || it.Bad.Code != "sku.missing" || it.Bad.Path != "/ICECAT-interface/files.index/file[2]" {
		t.Errorf("%+v %v", second.Item, err)
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("%v", err)
	}
}

// A product may have as many pictures as its size allows, each of which counts once and
// in its order.
func TestManyPictures(t *testing.T) {
	t.Parallel()
	const many, again = 60_000, 3_000
	var text strings.Builder
	text.WriteString(`<BMECAT version="1.2"><HEADER/><T_NEW_CATALOG><ARTICLE><SUPPLIER_AID>1</SUPPLIER_AID><MIME_INFO>`)
	for i := range many + again {
		fmt.Fprintf(&text, "<MIME><MIME_TYPE>image/png</MIME_TYPE><MIME_SOURCE>%d</MIME_SOURCE></MIME>", i%many)
	}
	text.WriteString(`<MIME><MIME_SOURCE>0</MIME_SOURCE></MIME></MIME_INFO></ARTICLE></T_NEW_CATALOG></BMECAT>`)
	r, _ := New(RootBMEcat, strings.NewReader(text.String()))
	e, err := r.Next()
	if err != nil || e.Item == nil || len(e.Item.Media) != many+1 {
		t.Fatalf("%v, %+v", err, e)
	}
	for i, m := range e.Item.Media {
		if want := (Text{Field: "images", Value: fmt.Sprint(i)}); m != want && (i < many || m != Text{Field: "documents", Value: "0"}) {
			t.Fatalf("picture %d is %+v", i, m)
		}
	}
}

// Whatever a catalogue holds, reading it ends, and each item can be told of.
func FuzzCatalogue(f *testing.F) {
	f.Add(`<BMECAT version="1.2"><HEADER><CATALOG><LANGUAGE>deu</LANGUAGE></CATALOG></HEADER><T_NEW_CATALOG><ARTICLE><SUPPLIER_AID>1</SUPPLIER_AID><ARTICLE_FEATURES><FEATURE><FNAME>a</FNAME><FVALUE>1</FVALUE><FUNIT>MMT</FUNIT></FEATURE></ARTICLE_FEATURES></ARTICLE></T_NEW_CATALOG></BMECAT>`)
	f.Add(`<BMECAT version="2005"><T_UPDATE_PRICES><PRODUCT><SUPPLIER_PID>1</SUPPLIER_PID><PRODUCT_ORDER_DETAILS><PRICE_QUANTITY>3</PRICE_QUANTITY></PRODUCT_ORDER_DETAILS><PRODUCT_PRICE_DETAILS><DATETIME type="valid_start_date"><DATE>2020-01-01</DATE></DATETIME><PRODUCT_PRICE price_type="nrp"><PRICE_AMOUNT>1.00</PRICE_AMOUNT><PRICE_CURRENCY>EUR</PRICE_CURRENCY><LOWER_BOUND>1e9</LOWER_BOUND></PRODUCT_PRICE></PRODUCT_PRICE_DETAILS></PRODUCT></T_UPDATE_PRICES></BMECAT>`)
	f.Add(`<ICECAT-interface><Product Code="1" Prod_id="x" Title="t"><Category ID="1"><Name langid="1" Value="n"/></Category><ProductFeature Value="5" Presentation_Value="5 cm"><Feature ID="7"><Measure><Signs><Sign>cm</Sign></Signs></Measure><Name langid="4" Value="L"/></Feature></ProductFeature></Product></ICECAT-interface>`)
	f.Fuzz(func(t *testing.T, text string) {
		for _, root := range []string{RootBMEcat, RootIcecat} {
			r, _ := New(root, strings.NewReader(text))
			for n := 0; ; n++ {
				e, err := r.Next()
				if err != nil {
					if _, ok := errors.AsType[*markup.Fault](err); !ok && !errors.Is(err, io.EOF) {
						t.Fatalf("%v", err)
					}
					break
				}
				if it := e.Item; it != nil && (it.Line < 1 || it.Path == "" || it.SKU == "" && it.Bad == nil) {
					t.Fatalf("%+v", it)
				}
				if n > len(text) {
					t.Fatal("reading does not end")
				}
			}
		}
	})
}
