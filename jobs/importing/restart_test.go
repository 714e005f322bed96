package importing

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sluicehub/sluice/pim/postgres"
)

// odd is a file with something of everything that a report can tell, all SKUs
// beginning with prefix. "a" and "A" are not the same product.
func odd(prefix string) string {
	var b strings.Builder
	b.WriteString("sku,name,weight,ean,notes,notes\n")
	for i := range 60 {
		switch i {
		case 7:
			fmt.Fprintf(&b, "%s3,again,1,,,\n", prefix)
		case 11:
			fmt.Fprintf(&b, "%s11,\"not closed,1,,,\n", prefix)
		case 20:
			fmt.Fprintf(&b, "%s20,short\n", prefix)
		case 33:
			fmt.Fprintf(&b, "%s33,bad \xff byte,1,,,\n", prefix)
		case 41:
			fmt.Fprintf(&b, "%s41,bell\a,1,12345678,,\n", prefix)
		case 59:
			fmt.Fprintf(&b, "%s3,again at the end,1,,,\n", prefix)
		default:
			fmt.Fprintf(&b, "%s%d,pröduct %d,%d.50,4006381333931,\"a, \"\"b\"\"\r\nc\",x\n", prefix, i, i, i)
		}
	}
	return b.String()
}

// A run that is killed between any two commits, any number of times, ends as
// one that is not.
func TestRestart(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	n := 0
	type end struct {
		Run     postgres.ImportRun
		Report  []postgres.ImportFinding
		Values  map[string]string
		Events  int64
		Family  int
		Deaths  int
		Version int64
	}
	// finish imports the file, dying at the steps whose number is in cuts.
	finish := func(t testing.TB, cuts map[int]bool, dry bool) end {
		t.Helper()
		n++
		prefix := fmt.Sprintf("p%05d-", n)
		family := fmt.Sprintf("family%d", n)
		id := begin(t, store, family+".csv", Options{DryRun: dry}, strings.NewReader(odd(prefix)))
		events := count(t, store, `select count(*) from event`)
		version := store.Schema().Version
		var e end
		for step, over := 0, false; !over; {
			ctx, kill := context.WithCancel(t.Context())
			im := importer(store) // a process that was killed remembers nothing
			im.chunkRows = 4
			im.step = func(string) {
				if step++; cuts[step] {
					e.Deaths++
					kill()
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
		e.Run, e.Report = outcome(t, store, id)
		for i := range e.Report {
			e.Report[i].SKU = strings.TrimPrefix(e.Report[i].SKU, prefix)
			e.Report[i].Value = strings.ReplaceAll(e.Report[i].Value, prefix, "")
		}
		e.Values = map[string]string{}
		for page := (postgres.Page{Limit: 1000}); ; {
			list, next, err := store.Products(t.Context(), postgres.ProductFilter{SKUPrefix: prefix}, page)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range list {
				sku := strings.TrimPrefix(string(p.SKU), prefix)
				e.Values[sku] = fmt.Sprintf("%d %s", p.Rev, strings.ReplaceAll(string(p.Values), prefix, ""))
			}
			if page.After = next; next == "" {
				break
			}
		}
		e.Events = count(t, store, `select count(*) from event`) - events
		if f := store.Schema().Families[family]; f != nil {
			e.Family = len(f.Attributes)
		}
		e.Version = store.Schema().Version - version
		e.Run.ID, e.Run.Filename = 0, ""
		e.Run.CreatedAt, e.Run.FinishedAt = time.Time{}, nil
		return e
	}
	finish(t, nil, false) // makes the attributes that all families share
	for _, dry := range []bool{false, true} {
		whole := finish(t, nil, dry)
		if whole.Run.Created != 55 || whole.Run.Rejected != 5 || len(whole.Report) == 0 || dry != (len(whole.Values) == 0) {
			t.Fatalf("%+v", whole)
		}
		t.Run(fmt.Sprint("dry=", dry), rapid.MakeCheck(func(rt *rapid.T) {
			cuts := map[int]bool{}
			for _, c := range rapid.SliceOfN(rapid.IntRange(1, 18), 1, 6).Draw(rt, "cuts") {
				cuts[c] = true
			}
			got := finish(t, cuts, dry)
			if got.Deaths == 0 {
				rt.Fatalf("no cut of %v came to anything", cuts)
			}
			got.Deaths, whole.Deaths = 0, 0
			if !reflect.DeepEqual(got, whole) {
				rt.Errorf("cuts %v make another end (-whole +cut):\n%s", cuts, cmp.Diff(whole, got))
			}
		}))
	}
}

// A holder that has lost its lease writes nothing more.
func TestFenced(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	id := begin(t, store, "x.csv", Options{}, strings.NewReader(odd("p")))
	l := take(t, store, id)
	im := importer(store)
	im.chunkRows = 4
	chunks := 0
	im.step = func(where string) {
		if where != "chunk" {
			return
		}
		if chunks++; chunks == 3 {
			release(t, store, l)
			take(t, store, id)
		}
	}
	if err := im.Run(t.Context(), l); !errors.Is(err, postgres.ErrFenced) {
		t.Fatalf("a lost lease gives %v", err)
	}
	run, _ := outcome(t, store, id)
	if run.State != "running" || run.RowsDone != 12 {
		t.Errorf("%+v", run)
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	total := int64(400)
	over := time.Now()
	began := over.Add(-10 * time.Second)
	rate, eta := Progress(postgres.ImportRun{RowsDone: 100, RowsTotal: &total}, began)
	if rate < 9 || rate > 10 || eta < 30*time.Second || eta > 33*time.Second {
		t.Errorf("100 of 400 rows in 10 s: %.1f rows/s, %v left", rate, eta)
	}
	if rate, eta = Progress(postgres.ImportRun{RowsDone: 400, RowsTotal: &total, FinishedAt: &over}, began); rate != 40 || eta != 0 {
		t.Errorf("400 rows in 10 s, finished: %.1f rows/s, %v left", rate, eta)
	}
	if rate, eta = Progress(postgres.ImportRun{}, began); rate != 0 || eta != 0 {
		t.Errorf("nothing yet: %.1f rows/s, %v left", rate, eta)
	}
}
