package jobs_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
	"github.com/sluicehub/sluice/pim/postgres/dbtest"
	"github.com/sluicehub/sluice/pim/postgres/localpg"
)

// A database that is restored from a real backup goes on where its targets are:
// one that refuses what is older than it holds is set back to the restored
// state, and never sees a revision fall.
func TestRestoreFromBackup(t *testing.T) {
	t.Parallel()
	programs, err := localpg.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tool := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), filepath.Join(programs[0].Dir, name), args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	r := newRoad(t)
	fake := r.channel("shop", webhooktest.Options{Versioned: true}, nil)
	stop := r.work()
	all := skus(30)
	r.put(all, title("first"))
	r.put(all, title("kept"))
	r.offer(all[0], "1", 5)
	r.put([]pim.SKU{"CHILD-OF-TIME"}, title("kept"))
	r.settled("shop")
	stop()

	backup := filepath.Join(t.TempDir(), "backup")
	tool("pg_dump", "--format=custom", "--file="+backup, r.dsn)

	stop = r.work()
	for range 5 {
		r.put(all, title("lost %d", 1))
		r.put(all, title("lost %d", 2))
		r.offer(all[0], "2", 9)
		r.offer(all[0], "3", 3)
	}
	if res, err := r.store.Edit(r.ctx, "test", []postgres.Edit{{SKU: "CHILD-OF-TIME", Mode: postgres.Delete}}); err != nil || res[0].Err != nil {
		t.Fatal(res, err)
	}
	r.settled("shop")
	stop()
	r.store.Close()
	before, _ := fake.Listing(all[0], pim.Content)

	r.dsn = dbtest.New(t)
	tool("psql", "--dbname="+r.dsn, "--quiet", "--command=drop schema public cascade") // an empty database, as one restores into
	tool("psql", "--dbname="+r.dsn, "--quiet", "--command=create schema public")
	tool("pg_restore", "--no-owner", "--dbname="+r.dsn, backup)
	r.open()
	floor, err := r.store.Restored(r.ctx)
	if err != nil {
		t.Fatal(err)
	}
	r.work()
	r.settled("shop")
	for _, sku := range append(all, "CHILD-OF-TIME") {
		if got := name(fake, sku); got != "kept" {
			t.Errorf("the target holds %q of %s", got, sku)
		}
		for _, e := range fake.History(sku, pim.Content) {
			if e.Outcome == webhooktest.Conflict {
				t.Errorf("%s: revision %d was refused as older", sku, e.Revision)
			}
		}
	}
	if l, _ := fake.Listing(all[0], pim.Offer); l.Revision <= floor || !strings.Contains(string(l.Document), "5") || strings.Contains(string(l.Document), "3") {
		t.Errorf("offer %s at revision %d", l.Document, l.Revision)
	}
	if now, _ := fake.Listing(all[0], pim.Content); now.Revision <= floor || now.Revision <= before.Revision {
		t.Errorf("revision %d, after %d, with the floor at %d", now.Revision, before.Revision, floor)
	}
	if falls := fake.Falls(); len(falls) > 0 {
		t.Errorf("the target saw revisions fall: %v", falls)
	}
}
