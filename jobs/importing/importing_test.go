package importing

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
	"github.com/sluicehub/sluice/pim/postgres/dbtest"
)

func openStore(t testing.TB) *postgres.Store {
	t.Helper()
	store, err := postgres.Open(t.Context(), dbtest.New(t), postgres.Options{EditConns: 4, WorkConns: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	return store
}

func importer(store *postgres.Store) *Importer { return New(store, slog.New(slog.DiscardHandler), nil) }

func begin(t testing.TB, store *postgres.Store, filename string, o Options, content io.Reader) int64 {
	t.Helper()
	raw, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	id, err := store.CreateImport(t.Context(), filename, "test", raw, content)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func take(t testing.TB, store *postgres.Store, id int64) postgres.Lease {
	t.Helper()
	l, err := store.Take(t.Context(), postgres.Consumer{Kind: postgres.Import, Channel: pim.ChannelID(id)}, 0, "test", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func release(t testing.TB, store *postgres.Store, l postgres.Lease) {
	t.Helper()
	err := pgx.BeginFunc(context.Background(), store.Pool(), func(tx pgx.Tx) error {
		return store.Release(context.Background(), tx, l)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// runImport imports content from begin to end and gives the import and its report.
func runImport(t testing.TB, im *Importer, filename string, o Options, content string) (postgres.ImportRun, []postgres.ImportFinding) {
	t.Helper()
	id := begin(t, im.store, filename, o, strings.NewReader(content))
	l := take(t, im.store, id)
	if err := im.Run(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	release(t, im.store, l)
	return outcome(t, im.store, id)
}

func outcome(t testing.TB, store *postgres.Store, id int64) (postgres.ImportRun, []postgres.ImportFinding) {
	t.Helper()
	run, err := store.ImportRun(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	var all []postgres.ImportFinding
	for page := (postgres.Page{Limit: 1000}); ; {
		list, next, err := store.ImportReport(t.Context(), id, page)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, list...)
		if page.After = next; next == "" {
			return run, all
		}
	}
}

// shared opens a file of the shared test data, or skips the test: the data is
// not the project's. Where it must be there, SLUICE_REQUIRE_SHARED=1 says so.
func shared(t testing.TB, path ...string) []byte {
	t.Helper()
	dir := os.Getenv("SLUICE_SHARED")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared")
	}
	name := filepath.Join(append([]string{dir, "data"}, path...)...)
	content, err := os.ReadFile(name)
	switch {
	case err == nil:
		return content
	case os.Getenv("SLUICE_REQUIRE_SHARED") == "1":
		t.Fatalf("the shared test data is required: %v", err)
	}
	t.Skipf("the shared test data is not there (SLUICE_SHARED): %v", err)
	return nil
}

func count(t testing.TB, store *postgres.Store, sql string) (n int64) {
	t.Helper()
	if err := store.Pool().QueryRow(t.Context(), sql).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func codes(fs []postgres.ImportFinding) map[string]int {
	m := map[string]int{}
	for _, f := range fs {
		m[string(f.Severity)+" "+f.Code]++
	}
	return m
}

func stored(t testing.TB, store *postgres.Store, sku string) pim.Values {
	t.Helper()
	p, err := store.Product(t.Context(), pim.SKU(sku))
	if err != nil {
		t.Fatal(err)
	}
	v, err := pim.DecodeStored(p.Values)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
