//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/all"
	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/blob"
	"github.com/sluicehub/sluice/pim/media"
	"github.com/sluicehub/sluice/pim/postgres"
	"github.com/sluicehub/sluice/pim/postgres/dbtest"
	"github.com/sluicehub/sluice/pim/seal"
)

const (
	killedAssets = 250
	killedSizes  = 4 // renditions of each
)

// photo is a PNG that differs by shade.
func photo(t *testing.T, shade int) []byte {
	t.Helper()
	m := image.NewNRGBA(image.Rect(0, 0, 16, 12))
	for i := range 16 * 12 {
		m.SetNRGBA(i%16, i/16, color.NRGBA{uint8(shade * 37), uint8(shade * 37 >> 8 * 16), uint8(i), 255})
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Workers are killed by SIGKILL in the middle of a thousand renditions, each
// time between the putting of files and the commit of what they are. In the end
// each rendition was made, is in the store once, and is shown; no file is left
// over.
func TestKilledWhileRendering(t *testing.T) {
	t.Parallel()
	ctx, dsn, dir := t.Context(), dbtest.New(t), t.TempDir()
	keyset, folder := filepath.Join(dir, "keyset.json"), filepath.Join(dir, "blobs")
	keys, err := seal.Create(keyset)
	if err != nil {
		t.Fatal(err)
	}
	env := []string{"DATABASE_URL=" + dsn, "SLUICE_KEYSET=" + keyset, "SLUICE_BLOBS=file://" + folder}
	if _, stderr, status := output(t, env, "migrate"); status != 0 {
		t.Fatal(stderr)
	}
	store, err := postgres.Open(ctx, dsn, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	blobs, err := blob.OpenFolder(folder, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	defer blobs.Close()
	pictures, err := jobs.NewMedia(ctx, store, keys, jobs.MediaConfig{Blobs: blobs, Public: "https://pim.example"})
	if err != nil {
		t.Fatal(err)
	}
	fake := webhooktest.Start(t, webhooktest.Options{})
	fillKilled(t, store, pictures, keys, fake)

	db := connect(t, dsn)
	const total = killedAssets * killedSizes
	expect(t, db, `select count(*) from task where kind = 'render' and state = 'waiting'`, total)
	// A row that the test has locked holds its maker up after it has put the
	// files: there it is killed, with its part of the others done. How fast the
	// machine is does not matter.
	for shard, at := range []int{10, 40} { // of about 62 originals in each of four shards
		lock, err := store.Pool().Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = lock.Rollback(context.WithoutCancel(ctx)) }() // long over, if all went well: else the store's end would wait for it
		if _, err := lock.Exec(ctx, `select from rendition r where original = (
			select original from rendition where get_byte(original, 0) & 3 = $1 group by 1 order by min(id) offset $2 limit 1) for update`, shard, at); err != nil {
			t.Fatal(err)
		}
		worker := start(t, env, "serve", "--roles", "worker", "--no-migrate")
		waitFor(t, announced{DSN: dsn}, `count(*) > 0 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query like '%update rendition%'`)
		worker.signal(syscall.SIGKILL)
		worker.exit()
		if err := lock.Rollback(ctx); err != nil {
			t.Fatal(err)
		}
		// What was killed may still be with the database, which finds out.
		waitFor(t, announced{DSN: dsn}, `count(*) = 0 from pg_stat_activity where datname = current_database() and query like '%update rendition%' and state <> 'idle'
			and pid <> pg_backend_pid()`)
		var made int
		if err := db.QueryRow(ctx, `select count(*) from rendition where hash is not null`).Scan(&made); err != nil {
			t.Fatal(err)
		}
		files := countFiles(t, folder)
		t.Logf("killed with %d of %d renditions in the store, %d files", made, total, files)
		if made >= total || made < at*killedSizes {
			t.Errorf("%d of %d renditions made: that is not the middle", made, total)
		}
		if files <= killedAssets+made {
			t.Errorf("%d files for %d renditions: it was killed before it had put those of the next", files, made)
		}
	}
	worker := start(t, env, "serve", "--roles", "worker", "--no-migrate")
	waitFor(t, announced{DSN: dsn}, `(select count(*) from derive) + (select count(*) from task) + (select count(*) from outbox) = 0`)
	waitFor(t, announced{DSN: dsn}, `(select count(*) from listing where not dirty) = 2 * (select count(*) from product) and (select count(*) from derive) + (select count(*) from outbox) = 0`)
	worker.signal(syscall.SIGTERM)
	if status := worker.exit(); status != 0 {
		t.Errorf("status %d after SIGTERM", status)
	}

	expect(t, db, `select count(*) from rendition where hash is not null and error is null`, total)
	expect(t, db, `select count(*) from (select distinct original, spec, focal from rendition) r`, total)
	expect(t, db, `select count(distinct hash) from rendition`, total)
	expect(t, db, `select sum(done)::int from lot where kind = 'render'`, total) // each ended once
	expect(t, db, `select sum(failed)::int from lot`, 0)
	for i := range killedAssets {
		var hash string
		if err := db.QueryRow(ctx, `select encode(r.hash, 'hex') from rendition r join rendition_definition d using (spec) join asset a on a.hash = r.original
			where d.code = 'size-0' and a.code = $1`, fmt.Sprint("photo-", i)).Scan(&hash); err != nil {
			t.Fatal(err)
		}
		sku := pim.SKU(fmt.Sprint("P-", i))
		if l, _ := fake.Listing(sku, pim.Media); !strings.Contains(string(l.Document), "/media/"+hash+"/") {
			t.Errorf("%s shows %s, not its rendition", sku, l.Document)
		}
	}

	// Two days later: what dead workers left behind is nobody's.
	orphan, err := blobs.Put(ctx, strings.NewReader("put by a process that died before it said what for"), 1000)
	if err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-48 * time.Hour)
	if err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			err = os.Chtimes(path, old, old)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := pictures.Collect(ctx, jobs.UnusedAssets); err != nil {
		t.Fatal(err)
	}
	if n := countFiles(t, folder); n != killedAssets+total {
		t.Errorf("%d files after the collection, want %d originals and %d renditions", n, killedAssets, total)
	}
	if _, err := blobs.Open(ctx, orphan.Hash); err == nil {
		t.Error("a file that nobody refers to was not collected")
	}
	rows, err := store.Pool().Query(ctx, `select hash from asset union all select hash from rendition`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var h []byte
		if err := rows.Scan(&h); err != nil {
			t.Fatal(err)
		}
		o, err := blobs.Open(ctx, blob.Hash(h))
		if err != nil {
			t.Error(err)
			continue
		}
		o.Close()
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

// fillKilled stores products with a photograph each, of which a channel shows
// several renditions.
func fillKilled(t *testing.T, store *postgres.Store, pictures *jobs.Media, keys *seal.Keyset, fake *webhooktest.Server) {
	t.Helper()
	ctx := t.Context()
	if _, err := store.ChangeSchema(ctx, postgres.SchemaChange{
		Locales: []pim.Locale{"en-GB"}, Currencies: []pim.Currency{"EUR"},
		Attributes: []pim.Attribute{{Code: "picture", Type: pim.TypeMedia}},
		Families:   []pim.Family{{Code: "thing", Attributes: []pim.FamilyAttribute{{Code: "picture"}}}},
	}); err != nil {
		t.Fatal(err)
	}
	var renditions []string
	for i := range killedSizes {
		code := fmt.Sprint("size-", i)
		if _, err := pictures.PutDefinition(ctx, code, media.Definition{Width: 8 - i, Height: 8 - i, Format: media.PNG}); err != nil {
			t.Fatal(err)
		}
		renditions = append(renditions, code)
	}
	family := "thing"
	edits := make([]postgres.Edit, killedAssets)
	for i := range edits {
		code := fmt.Sprint("photo-", i)
		if _, _, _, err := pictures.Put(ctx, jobs.NewAsset{Code: code, Filename: code + ".png"}, bytes.NewReader(photo(t, i))); err != nil {
			t.Fatal(err)
		}
		edits[i] = postgres.Edit{SKU: pim.SKU(fmt.Sprint("P-", i)), Mode: postgres.Merge, Family: &family, Values: pim.Values{"picture": code}}
	}
	results, err := store.Edit(ctx, "test", edits)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Err != nil {
			t.Fatal(r.SKU, r.Err)
		}
	}
	channels := jobs.NewChannels(store, all.Registry(), keys, connectors.Env{AllowPrivate: true})
	channels.Shows(pictures)
	config, err := json.Marshal(map[string]any{"url": fake.URL(), "secret": fake.Secret()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := channels.Create(ctx, jobs.ChannelSpec{
		Code: "shop", Connector: "webhook", Locale: "en-GB", Currency: "EUR", Config: config, SettleSeconds: 1, Renditions: renditions,
		Mapping: &connectors.Mapping{Content: map[string]string{"sku": "sku"}, Media: map[string]string{"media": "media"}},
	}); err != nil {
		t.Fatal(err)
	}
}

// countFiles counts the files of a blob folder, temporary ones too.
func countFiles(t *testing.T, folder string) (n int) {
	t.Helper()
	err := filepath.WalkDir(folder, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
