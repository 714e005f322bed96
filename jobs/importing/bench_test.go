package importing

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// BenchmarkImport imports rows of about 1.5 KB, database included, and gives
// rows/s and the most memory that the process held.
func BenchmarkImport(b *testing.B) {
	const rows = 20_000
	var file strings.Builder
	file.WriteString("sku,name,brand,description,ean,price,weight,colour,active,image,bullet1,bullet2,bullet3\n")
	text := strings.Repeat("Solid oak, oiled; made to last – and to be mended. ", 16)
	for i := range rows {
		fmt.Fprintf(&file, "B-%06d,Table %d,Möbel & Co,\"%s\",4006381333931,%d.90,%d.5,oak,true,https://img.example/%d/large.jpg,\"%s\",\"%s\",\"%s\"\n",
			i, i, text, i%900, i%40, i, text[:120], text[:120], text[:120])
	}
	b.Logf("%d bytes a row", file.Len()/rows)
	for b.Loop() {
		b.StopTimer()
		store := openStore(b)
		id := begin(b, store, "tables.csv", Options{}, strings.NewReader(file.String()))
		l := take(b, store, id)
		im := importer(store)
		var most uint64
		im.step = func(string) {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapInuse)
		}
		b.StartTimer()
		if err := im.Run(b.Context(), l); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if run, _ := outcome(b, store, id); run.Created != rows {
			b.Fatalf("%+v", run)
		}
		b.StartTimer()
		b.ReportMetric(float64(most)/(1<<20), "MB")
	}
	b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
