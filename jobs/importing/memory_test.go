package importing

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// rowsFile is a CSV of any number of rows that is made while it is read:
// every tenth row is a variant, before its parent.
type rowsFile struct {
	rows, pad int
	at        int
	rest      []byte
}

func (f *rowsFile) Read(p []byte) (int, error) {
	for len(f.rest) == 0 {
		switch {
		case f.at == 0:
			f.rest = []byte("sku,parent,name,color,price-EUR,stock,description\n")
		case f.at > f.rows:
			return 0, io.EOF
		case f.at%10 == 1:
			f.rest = fmt.Appendf(nil, "SKU-%09d-v,SKU-%09d,Table %d,red,%d.90,%d,%s\n", f.at, f.at+1, f.at, f.at%900, f.at%50, strings.Repeat("oak ", f.pad/4))
		default:
			f.rest = fmt.Appendf(nil, "SKU-%09d,,Table %d,,%d.90,%d,%s\n", f.at, f.at, f.at%900, f.at%50, strings.Repeat("oak ", f.pad/4))
		}
		f.at++
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

// What an import holds grows by some dozens of bytes a row, which are the
// hashes of the SKUs and of the parents: however long the file is.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 200,000 rows")
	}
	const rows = 200_000
	held := func(n int) uint64 {
		o := &Options{}
		s, err := look(t.Context(), &rowsFile{rows: n, pad: 400}, o, nil)
		if err != nil || s.rows != int64(n) {
			t.Fatalf("%d rows: %v", n, err)
		}
		schema := openSchema()
		p, err := makePlan(schema, s, *o, nil, "x.csv")
		if err != nil {
			t.Fatal(err)
		}
		w := &writer{plan: p, run: &postgres.ImportRun{}}
		sc := scribe{w: w, part: newPart(), seen: newSeen()}
		var most uint64
		for sc.pass = 0; sc.pass < 2; sc.pass++ {
			in, err := open(&rowsFile{rows: n, pad: 400}, o.form())
			if err != nil {
				t.Fatal(err)
			}
			g := grouper{reading: newReading(o, in.columns()), in: in}
			conv := &converter{plan: p, table: in.columns(), seen: sc.seen}
			for i := 0; ; i++ {
				group, err := g.next()
				if err != nil {
					break
				}
				if products, taken := sc.convert(conv, group, true); taken {
					sc.take(group, products, conv)
				}
				if len(sc.part.entries) >= chunkRows {
					sc.part = newPart()
				}
				if i%(n/4) == n/8 {
					var m runtime.MemStats
					runtime.GC()
					runtime.ReadMemStats(&m)
					most = max(most, m.HeapInuse)
				}
			}
		}
		runtime.KeepAlive(p)
		runtime.KeepAlive(sc)
		if sc.done != int64(n) {
			t.Fatalf("%d of %d rows", sc.done, n)
		}
		return most
	}
	few, many := held(rows/10), held(rows)
	const perRow = 150 // a map's entry of 24 bytes, with room to grow, and a tenth of another
	if grown := int64(many) - int64(few); grown > rows*perRow {
		t.Errorf("%d rows hold %d bytes more than %d rows do, %d for each", rows, grown, rows/10, grown/(rows*9/10))
	}
}

// openSchema is a house's that has nothing but what every house begins with.
func openSchema() *pim.Schema {
	return &pim.Schema{
		Attributes: map[string]*pim.Attribute{}, Families: map[string]*pim.Family{}, Channels: map[pim.ChannelCode]bool{},
		Locales: map[pim.Locale]bool{"en-GB": true, "de-DE": true}, Currencies: map[pim.Currency]bool{"EUR": true, "GBP": true},
		PriceLists: map[string]bool{"default": true}, Locations: map[string]bool{"default": true},
	}
}
