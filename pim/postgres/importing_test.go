package postgres

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

func (h *house) upload(content []byte) (int64, Lease) {
	h.Helper()
	id, err := h.CreateImport(h.ctx, "file\x00.csv", "importer", []byte(`{}`), bytes.NewReader(content))
	if err != nil {
		h.Fatal(err)
	}
	return id, h.lease(Consumer{Kind: Import, Channel: pim.ChannelID(id)})
}

func tallied(done int64) func([]EditResult) ImportProgress {
	return func(rs []EditResult) ImportProgress {
		p := ImportProgress{RowsDone: done}
		for _, r := range rs {
			switch {
			case r.Err != nil:
				p.Rejected++
				p.Findings = append(p.Findings, ImportFinding{Row: done, Severity: pim.SeverityError, SKU: string(r.SKU), Code: "x", Value: "a\x00b\xff", Problem: r.Err.Error()})
			case r.Created:
				p.Created++
			case r.Changed:
				p.Changed++
			default:
				p.Unchanged++
			}
		}
		return p
	}
}

func TestImportFileComesBackWhole(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, size := range []int{0, 1, importChunkSize - 1, importChunkSize, importChunkSize + 1, 3*importChunkSize + 7} {
		content := make([]byte, size)
		_, _ = rand.NewChaCha8([32]byte{byte(size)}).Read(content)
		id, _ := h.upload(content)
		got, err := io.ReadAll(h.ImportFile(h.ctx, id))
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes: %d came back, %v", size, len(got), err)
		}
		if run, err := h.ImportRun(h.ctx, id); err != nil || run.Bytes != int64(size) || run.State != "running" || run.Filename != "file.csv" {
			t.Errorf("%+v, %v", run, err)
		}
	}
	// A broken upload leaves nothing.
	before := h.number(`select count(*) from import`) + h.number(`select count(*) from import_chunk`) + h.number(`select count(*) from consumer`)
	broken := io.MultiReader(bytes.NewReader(make([]byte, importChunkSize+5)), iotest.ErrReader(errors.New("gone")))
	if _, err := h.CreateImport(h.ctx, "f", "importer", []byte(`{}`), broken); err == nil {
		t.Error("a broken upload was taken")
	}
	if after := h.number(`select count(*) from import`) + h.number(`select count(*) from import_chunk`) + h.number(`select count(*) from consumer`); after != before {
		t.Errorf("%d rows became %d", before, after)
	}
}

// importChunk prepares edits and writes them.
func (h *house) importChunk(l Lease, edits []Edit, tally func([]EditResult) ImportProgress) error {
	ready, err := h.PrepareImport(h.ctx, "importer", edits, ImportOffers{})
	if err != nil {
		return err
	}
	return h.ImportChunk(h.ctx, l, ready, tally)
}

// A chunk's products and its progress are one: all there or nothing, and never
// twice.
func TestImportChunk(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	id, l := h.upload([]byte("x"))
	edits := []Edit{thing("A", Merge, `{"count":1}`), thing("B", Merge, `{"nope":1}`), thing("C", Merge, `{"count":1}`)}
	if err := h.importChunk(l, edits, tallied(3)); err != nil {
		t.Fatal(err)
	}
	if n := h.number(`select count(*) from outbox where priority = 0`); n != 2 {
		t.Errorf("%d outbox rows are of the bulk", n)
	}
	before := h.traces()
	if err := h.importChunk(l, edits[:1], tallied(4)); err != nil || h.traces() != before {
		t.Errorf("the same again: %v, %s became %s", err, before, h.traces())
	}
	if err := h.importChunk(l, nil, tallied(5)); err != nil {
		t.Error(err)
	}
	run, err := h.ImportRun(h.ctx, id)
	if err != nil || run.RowsDone != 5 || run.Created != 2 || run.Rejected != 1 || run.Unchanged != 1 || run.Changed != 0 {
		t.Errorf("%+v, %v", run, err)
	}

	// The process dies between the edits and the progress: neither is there.
	died := errors.New("died")
	func() {
		defer func() { _ = recover() }()
		_ = h.importChunk(l, []Edit{thing("D", Merge, `{}`)}, func([]EditResult) ImportProgress { panic(died) })
	}()
	if _, err := h.Product(h.ctx, "D"); !errors.Is(err, ErrNotFound) || h.traces() != before {
		t.Errorf("half a chunk is there: %v", err)
	}

	// Another takes over: the old holder writes nothing any more.
	h.exec(`update consumer set lease_until = now() - interval '1 minute' where kind = 'import'`)
	if _, err := h.Expire(h.ctx); err != nil {
		t.Fatal(err)
	}
	heir := h.lease(l.Consumer)
	for what, err := range map[string]error{
		"chunk": h.importChunk(l, []Edit{thing("D", Merge, `{}`)}, tallied(6)), "finish": h.FinishImport(h.ctx, l, ""),
	} {
		if !errors.Is(err, ErrFenced) {
			t.Errorf("%s of who lost the lease: %v", what, err)
		}
	}
	if h.traces() != before {
		t.Error("who lost the lease wrote")
	}
	if err := h.FinishImport(h.ctx, heir, ""); err != nil {
		t.Fatal(err)
	}
	if err := h.importChunk(heir, []Edit{thing("D", Merge, `{}`)}, tallied(6)); !errors.Is(err, ErrFenced) {
		t.Errorf("a chunk behind the end: %v", err)
	}
	run, err = h.ImportRun(h.ctx, id)
	if err != nil || run.State != "finished" || run.FinishedAt == nil || run.Error != "" || h.number(`select count(*) from import_chunk`) != 0 {
		t.Errorf("%+v, %v", run, err)
	}
	list, _, err := h.ImportReport(h.ctx, id, Page{})
	if err != nil || len(list) != 1 || list[0].SKU != "B" || list[0].Row != 3 || list[0].Value != "ab\uFFFD" {
		t.Errorf("%+v, %v", list, err)
	}
}

// What was worked out ahead of its turn is worked out again where the store
// has moved on meanwhile, also what was refused.
func TestImportPreparedTooEarly(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.do(thing("moves", Put, `{"count":1}`), thing("goes", Put, `{}`), thing("stays", Put, `{"count":1}`))
	_, l := h.upload([]byte("x"))
	ready, err := h.PrepareImport(h.ctx, "importer", []Edit{
		thing("moves", Merge, `{"colour":"red"}`), thing("comes", Merge, `{"colour":"red"}`), thing("goes", Merge, `{"count":7}`),
		thing("stays", Merge, `{"count":1}`), thing("late", Merge, `{"weight":1}`), thing("never", Merge, `{"nothing":1}`), thing("stays", Merge, `{"count":5}`),
	}, ImportOffers{})
	if err != nil {
		t.Fatal(err)
	}
	h.do(thing("moves", Patch, `{"count":2}`), thing("comes", Put, `{"count":2}`), thing("goes", Delete, `{}`))
	grown := testSchema.Families[0]
	grown.Attributes = append(slices.Clone(grown.Attributes), pim.FamilyAttribute{Code: "weight"})
	if _, err := h.ChangeSchema(h.ctx, SchemaChange{Attributes: []pim.Attribute{{Code: "weight", Type: pim.TypeNumber}}, Families: []pim.Family{grown}}); err != nil {
		t.Fatal(err)
	}
	var results []EditResult
	if err := h.ImportChunk(h.ctx, l, ready, func(r []EditResult) ImportProgress { results = r; return ImportProgress{RowsDone: 7} }); err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, r := range results {
		said = append(said, fmt.Sprint(r.SKU, " ", r.Created, r.Changed, r.Err == nil))
	}
	equal(t, "results", said, []string{
		"moves false true true", "comes false true true", "goes true true true", "stays false false true", "late true true true",
		"never false false false", "stays false false false",
	})
	for sku, want := range map[pim.SKU]string{
		"moves": `{"count": 2, "colour": "red"}`, "comes": `{"count": 2, "colour": "red"}`, "goes": `{"count": 7}`, "stays": `{"count": 1}`, "late": `{"weight": 1}`,
	} {
		if p := h.product(sku); string(p.Values) != want {
			t.Errorf("%s has %s, want %s", sku, p.Values, want)
		}
	}
}

// A variant whose axes another writer takes in mid-chunk fails the chunk, not
// the import: the next try tells it as that row's problem.
func TestImportChunkLosesARace(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.do(parent("P"))
	_, l := h.upload([]byte("x"))
	tx := h.begin()
	if err := h.within(tx, variant("v", "P", `{"colour":"red"}`)); err != nil {
		t.Fatal(err)
	}
	chunk := func() error {
		return h.importChunk(l, []Edit{variant("w", "P", `{"colour":"red"}`), thing("good", Merge, `{}`)}, tallied(2))
	}
	done := make(chan error)
	go func() { done <- chunk() }()
	h.blocked(1)
	if err := tx.Commit(h.ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		if err := chunk(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.Product(h.ctx, "w"); !errors.Is(err, ErrNotFound) {
		t.Errorf("two variants with the same axes: %v", err)
	}
	if h.product("good").Rev != 1 || h.number(`select rejected + created from import`) != 2 {
		t.Error("the chunk's other row or its tally is missing")
	}
}

func TestImportRunsAndReportPages(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	id, l := h.upload([]byte("x"))
	var want []string
	for chunk := range 3 {
		p := ImportProgress{RowsDone: int64(chunk + 1)}
		for row := range 3 {
			for n := range row + 1 {
				f := ImportFinding{Row: int64(chunk*3 + row + 1), Severity: pim.SeverityWarning, Code: fmt.Sprint(n), Problem: "p"}
				p.Findings, want = append(p.Findings, f), append(want, fmt.Sprint(f.Row, f.Code))
			}
		}
		if err := h.importChunk(l, nil, func([]EditResult) ImportProgress { return p }); err != nil {
			t.Fatal(err)
		}
	}
	for limit := 1; limit < 7; limit++ {
		var got []string
		for page := (Page{Limit: limit}); ; {
			list, next, err := h.ImportReport(h.ctx, id, page)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range list {
				got = append(got, fmt.Sprint(f.Row, f.Code))
			}
			if page.After = next; next == "" {
				break
			}
		}
		equal(t, fmt.Sprint("report in pages of ", limit), got, want)
	}
	for _, bad := range []string{"x", "1.x", "-1.1", "1.1y"} {
		if _, _, err := h.ImportReport(h.ctx, id, Page{After: bad}); err == nil {
			t.Errorf("cursor %q was taken", bad)
		}
	}
	h.upload(nil)
	last, _ := h.upload(nil)
	var got []int64
	for page := (Page{Limit: 1}); ; {
		list, next, err := h.ImportRuns(h.ctx, page)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range list {
			got = append(got, r.ID)
		}
		if page.After = next; next == "" {
			break
		}
	}
	equal(t, "imports, the newest first", got, []int64{last, last - 1, id})
	if _, err := h.ImportRun(h.ctx, 99); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	failed, held := h.upload(nil)
	if err := h.FinishImport(h.ctx, held, "no columns"); err != nil {
		t.Fatal(err)
	}
	if run, err := h.ImportRun(h.ctx, failed); err != nil || run.State != "failed" || run.Error != "no columns" {
		t.Errorf("%+v, %v", run, err)
	}
	// Its consumer goes when it has let go.
	if err := pgx.BeginFunc(h.ctx, h.pool, func(tx pgx.Tx) error { return h.Release(h.ctx, tx, held) }); err != nil {
		t.Fatal(err)
	}
	if err := h.Tidy(h.ctx); err != nil {
		t.Fatal(err)
	}
	if n := h.number(`select count(*) from consumer where kind = 'import'`); n != 3 {
		t.Errorf("%d consumers of imports, want the three that go on", n)
	}
}
