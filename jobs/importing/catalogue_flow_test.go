package importing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicehub/sluice/pim/postgres"
)

// catalogueFile writes a BMEcat of n articles, one after the other.
type catalogueFile struct {
	n, at int
	rest  []byte
}

func (f *catalogueFile) Read(p []byte) (int, error) {
	for len(f.rest) == 0 {
		switch i := f.at; {
		case i == 0:
			f.rest = []byte(`<BMECAT version="1.2"><HEADER><CATALOG><LANGUAGE>deu</LANGUAGE><CURRENCY>EUR</CURRENCY></CATALOG></HEADER><T_NEW_CATALOG><CATALOG_GROUP_SYSTEM>` +
				`<CATALOG_STRUCTURE type="root"><GROUP_ID>1</GROUP_ID><GROUP_NAME>Alles</GROUP_NAME><PARENT_ID>0</PARENT_ID></CATALOG_STRUCTURE></CATALOG_GROUP_SYSTEM>`)
		case i <= f.n:
			amount := fmt.Sprintf("%d.50", i)
			if i%10 == 3 {
				amount = "1,50"
			}
			f.rest = fmt.Appendf(nil, "\n<ARTICLE><SUPPLIER_AID>A%09d</SUPPLIER_AID><ARTICLE_DETAILS><DESCRIPTION_SHORT>Teil %d</DESCRIPTION_SHORT><DESCRIPTION_LONG>%s</DESCRIPTION_LONG></ARTICLE_DETAILS>"+
				"<ARTICLE_FEATURES><FEATURE><FNAME>Breite</FNAME><FVALUE>%d</FVALUE><FUNIT>mm</FUNIT></FEATURE></ARTICLE_FEATURES>"+
				`<ARTICLE_PRICE_DETAILS><ARTICLE_PRICE price_type="net_list"><PRICE_AMOUNT>%s</PRICE_AMOUNT></ARTICLE_PRICE></ARTICLE_PRICE_DETAILS></ARTICLE>`, i, i, strings.Repeat("gut ", 100), i%50, amount)
		case i <= 2*f.n:
			f.rest = fmt.Appendf(nil, "<ARTICLE_TO_CATALOGGROUP_MAP><ART_ID>A%09d</ART_ID><CATALOG_GROUP_ID>1</CATALOG_GROUP_ID></ARTICLE_TO_CATALOGGROUP_MAP>", i-f.n)
		case i == 2*f.n+1:
			f.rest = []byte("</T_NEW_CATALOG></BMECAT>")
		default:
			return 0, io.EOF
		}
		f.at++
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

// A catalogue that is killed between any two commits ends as one that is not.
func TestCatalogueRestart(t *testing.T) {
	t.Parallel()
	type end struct {
		Created, Unchanged, Rejected, Warnings int64
		Products, Events, Prices, Categories   int64
		Report                                 []postgres.ImportFinding
	}
	run := func(cuts ...int) (e end, steps int) {
		store := openStore(t)
		id := begin(t, store, "parts.xml", Options{}, &catalogueFile{n: 25})
		for over := false; !over; {
			ctx, kill := context.WithCancel(t.Context())
			im := importer(store) // a process that was killed remembers nothing
			im.chunkRows = 4
			im.step = func(string) {
				steps++
				for _, c := range cuts {
					if c == steps {
						kill()
					}
				}
			}
			l := take(t, store, id)
			err := im.Run(ctx, l)
			if over = err == nil; !over && !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			kill()
			release(t, store, l)
		}
		r, found := outcome(t, store, id)
		return end{
			r.Created, r.Unchanged, r.Rejected, r.Warnings, count(t, store, `select count(*) from product where categories = '{bmecat_1}'`),
			count(t, store, `select count(*) from event`), count(t, store, `select count(*) from price`), int64(store.Schema().Tree.Len()), found,
		}, steps
	}
	whole, steps := run()
	if whole.Created != 22 || whole.Rejected != 3 || whole.Products != 22 || whole.Prices != 22 || whole.Categories != 1 {
		t.Fatalf("%+v", whole)
	}
	for cut := 1; cut <= steps; cut++ {
		if got, _ := run(cut, cut+3); !cmp.Equal(whole, got) {
			t.Errorf("killed at step %d: %s", cut, cmp.Diff(whole, got))
		}
	}
}

// What is held of a catalogue grows by some dozens of bytes a product.
func TestCatalogueMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 40,000 products")
	}
	const products = 40_000
	held := func(n int) uint64 {
		o := &Options{}
		s, err := look(t.Context(), &catalogueFile{n: n}, o, nil)
		if err != nil || s.rows != int64(n) {
			t.Fatalf("%v", err)
		}
		p, err := makePlan(openSchema(), s, *o, nil, "x.xml")
		if err != nil {
			t.Fatal(err)
		}
		in, err := open(&catalogueFile{n: n}, o.form())
		if err != nil {
			t.Fatal(err)
		}
		in.(*catalogueReader).use(p.filling)
		var most uint64
		r := &record{}
		for i := 0; ; i++ {
			if err := in.next(r); err != nil {
				if !errors.Is(err, io.EOF) || i != n {
					t.Fatalf("%d products: %v", i, err)
				}
				break
			}
			if r.bad == nil && len(r.cells) != len(p.surveyed.table.names) {
				t.Fatalf("%v", r.cells)
			}
			if i%(n/4) == n/8 {
				var m runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapInuse)
			}
		}
		runtime.KeepAlive(p)
		return most
	}
	few, many := held(products/10), held(products)
	const perProduct = 150 // 24 bytes of its place, which grow by the half, and a hash
	if grown := int64(many) - int64(few); grown > products*perProduct {
		t.Errorf("%d products hold %d bytes more than %d do", products, grown, products/10)
	}
}
