//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicehub/sluice/connectors/medusa/medusatest"
	"github.com/sluicehub/sluice/pim/postgres/dbtest"
)

// The same files again, by import, by upload under other names, and by their
// URLs, store, make, upload and send nothing.
func TestSameFilesAgainMakeNothing(t *testing.T) {
	t.Parallel()
	const products = 20
	dsn, dir := dbtest.New(t), t.TempDir()
	db := connect(t, dsn)
	var mu sync.Mutex
	sent := 0 // files that the host gave away
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var shade int
		if _, err := fmt.Sscanf(r.URL.Path, "/%d.png", &shade); err != nil {
			http.NotFound(w, r)
			return
		}
		tag := fmt.Sprintf(`"%d"`, shade)
		w.Header().Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		mu.Lock()
		sent++
		mu.Unlock()
		w.Header().Set("Content-Type", "image/png")
		_, _ = w.Write(photo(t, shade))
	}))
	t.Cleanup(host.Close)
	shop, err := medusatest.NewServer("", medusatest.Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = shop.Close() })

	folder := filepath.Join(dir, "blobs")
	env := []string{"DATABASE_URL=" + dsn, "SLUICE_KEYSET=" + filepath.Join(dir, "keyset.json"), "SLUICE_BLOBS=file://" + folder}
	url := "http://" + start(t, env, "serve", "--listen", "127.0.0.1:0", "--allow-private-targets").hear(`msg=serving .*listen=(\S+)`)[1]
	run := func(args ...string) string {
		t.Helper()
		stdout, stderr, status := output(t, env, args...)
		if status != 0 {
			t.Fatalf("%v: status %d, %s%s", args, status, stdout, stderr)
		}
		return stdout
	}
	key := strings.TrimSpace(run("key", "create", "test", "--role", "admin"))
	ask := func(method, path, body string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+key)
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if said, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20)); err != nil || resp.StatusCode/100 != 2 {
			t.Fatalf("%s %s: %d %s, %v", method, path, resp.StatusCode, said, err)
		}
	}
	ask("PUT", "/v1/locales/en-GB", "")
	ask("PUT", "/v1/currencies/EUR", "")
	ask("PUT", "/v1/attributes/pictures", `{"type":"media"}`)
	ask("PUT", "/v1/attributes/name", `{"type":"text"}`)
	ask("PUT", "/v1/families/cups", `{"attributes":[{"code":"name"},{"code":"pictures"}]}`)
	for code, side := range map[string]int{"page": 12, "list": 6} {
		ask("PUT", "/v1/renditions/"+code, fmt.Sprintf(`{"width":%d,"height":%[1]d,"fit":"pad"}`, side))
	}
	spec, err := json.Marshal(map[string]any{
		"code": "shop", "connector": "medusa", "locale": "en-GB", "currency": "EUR", "renditions": []string{"page", "list"},
		"config": map[string]any{"url": shop.URL(), "api_key": shop.Key()},
		"mapping": map[string]any{
			"content": map[string]string{"title": "values.name"}, "media": map[string]string{"images": "renditions['page'] + renditions['list']"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ask("POST", "/v1/channels", string(spec))

	var rows bytes.Buffer
	rows.WriteString("sku,name,pictures\n")
	for i := range products { // each two show one photograph, and all show their own file in the house
		fmt.Fprintf(&rows, "CUP-%d,Cup %[1]d,%s/%d.png|own-%d\n", i, host.URL, i/2, i)
	}
	file := filepath.Join(dir, "cups.csv")
	if err := os.WriteFile(file, rows.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	var own []string
	for i := range products {
		own = append(own, filepath.Join(dir, fmt.Sprintf("own-%d.png", i)))
		if err := os.WriteFile(own[i], photo(t, 1000+i), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bring := func() outcome {
		t.Helper()
		for i, name := range own {
			run("asset", "add", name, "--code", fmt.Sprint("own-", i))
		}
		var o outcome
		said := run("import", file, "--locale", "en-GB", "--family", "cups", "--json", "--report", filepath.Join(dir, "report.csv"))
		if err := json.Unmarshal([]byte(said), &o); err != nil {
			t.Fatal(err)
		}
		waitFor(t, announced{DSN: dsn}, `(select count(*) from outbox) + (select count(*) from derive) + (select count(*) from task where state = 'waiting')
			+ (select count(*) from listing where dirty) = 0 and (select count(*) from listing) = 2 * (select count(*) from product)`)
		return o
	}
	if o := bring(); o.Created != products || o.Rejected != 0 {
		t.Fatalf("the first import: %+v", o)
	}
	done := func() map[string]any {
		t.Helper()
		out := map[string]any{"files": countFiles(t, folder), "uploads": shop.Uploads(), "writes": shop.Counts().Writes}
		mu.Lock()
		out["sent"] = sent
		mu.Unlock()
		for name, sql := range map[string]string{
			"assets": "count(*) from asset", "hashes": "count(distinct hash) from asset", "renditions": "count(*) from rendition",
			"made": "count(distinct hash) from rendition", "tasks done": "sum(done) from lot where kind = 'render'", "tasks failed": "sum(failed) from lot",
			"tasks left": "count(*) from task", "uploads noted": "count(*) from upload", "events": "count(*) from event", "listings": "sum(want) from listing",
		} {
			var n int64
			if err := db.QueryRow(t.Context(), "select coalesce(x, 0)::bigint from (select "+strings.Replace(sql, " from", " as x from", 1)+") q").Scan(&n); err != nil {
				t.Fatal(name, err)
			}
			out[name] = n
		}
		return out
	}
	first := done()
	const originals = products + products/2
	for name, want := range map[string]int64{"assets": originals, "hashes": originals, "renditions": 2 * originals, "made": 2 * originals, "tasks done": 2 * originals, "tasks failed": 0, "tasks left": 0, "uploads noted": 2 * originals} {
		if first[name] != want {
			t.Errorf("%s: %v, want %d", name, first[name], want)
		}
	}
	if first["files"] != 3*originals || first["sent"] != products/2 {
		t.Errorf("%v files, %v of them from the host", first["files"], first["sent"])
	}
	for hash, n := range shop.Uploads() {
		if n != 1 {
			t.Errorf("%s was uploaded %d times", hash, n)
		}
	}
	if o := bring(); o.Created+o.Changed+o.Rejected != 0 || o.Unchanged != products {
		t.Errorf("the same import again: %+v", o)
	}
	for i := range products / 2 { // asked for once more, which a host that knows ETags answers without a file
		run("asset", "add", fmt.Sprintf("%s/%d.png", host.URL, i))
	}
	waitFor(t, announced{DSN: dsn}, `(select count(*) from task) = 0 and (select count(*) from listing where dirty) = 0`)
	if diff := cmp.Diff(first, done()); diff != "" {
		t.Errorf("work was done again (-first +second):\n%s", diff)
	}
	// Under other names the same files are other assets, and make nothing else.
	for _, name := range own {
		run("asset", "add", name)
	}
	waitFor(t, announced{DSN: dsn}, `(select count(*) from task) + (select count(*) from derive) = 0 and (select count(*) from listing where dirty) = 0`)
	second := done()
	if second["assets"] != int64(originals+products) {
		t.Errorf("%v assets", second["assets"])
	}
	second["assets"] = first["assets"]
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("other names made more (-first +second):\n%s", diff)
	}
}
