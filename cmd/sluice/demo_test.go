//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim/postgres/dbtest"
)

// announced is demo.json.
type announced struct {
	URL       string `json:"url"`
	Key       string `json:"key"`
	ViewerKey string `json:"viewer_key"`
	DSN       string `json:"dsn"`
	PID       int    `json:"pid"`
	Keyset    string `json:"keyset"`
}

const (
	demoProducts = 60
	sellable     = demoProducts - 3 - 21 // neither parents nor variants: their list price would be the whole template's
)

// A demo's life: stopped and killed while it publishes, started again, used,
// shared, stopped.
func TestDemo(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(dbtest.Dir(t), "demo")
	begin := func(env ...string) (*process, announced) {
		p := start(t, env, "demo", "--data-dir", dir, "--products", fmt.Sprint(demoProducts), "--listen", "127.0.0.1:0")
		p.hear(`API key +slk_`)
		return p, readAnnouncement(t, dir)
	}

	p, first := begin()
	if first.PID != p.cmd.Process.Pid {
		t.Errorf("pid is %d, want %d", first.PID, p.cmd.Process.Pid)
	}
	p.signal(syscall.SIGINT) // the throttled, late channel cannot be done yet
	if status := p.exit(); status != 0 {
		t.Fatalf("status %d after Ctrl-C in mid-publish", status)
	}

	p, second := begin()
	if second.Key != first.Key || second.ViewerKey != first.ViewerKey {
		t.Error("a second start has other keys")
	}
	p.signal(syscall.SIGKILL)
	if status := p.exit(); status != -1 {
		t.Fatalf("status %d after kill -9", status)
	}

	p, a := begin()
	p.hear(`Three things to try`)
	lines := strings.Split(strings.TrimSpace(p.hear(`(?s)1\. Edit a title.*Ctrl-C stops`)[0]), "\n")
	db := connect(t, a.DSN)
	expect(t, db, "select count(*) from product where deleted_at is null", demoProducts)
	expect(t, db, "select count(*) from listing where dirty", 0)
	expect(t, db, "select count(*) from listing where error is not null", 0)
	expect(t, db, "select count(distinct channel_id) from listing", 6)
	expect(t, db, fmt.Sprintf("select count(*) from listing where lane = 1 and status in ('live', 'accepted') having count(*) = 6 * %d", demoProducts), 6*demoProducts)
	expect(t, db, "select count(*) from product where sku = 'DEMO-0001' and parent_id is null", 1)
	expect(t, db, "select count(*) from product where parent_id is not null", 21)
	if n := targetsHolding(t, p, demoProducts); n != 6 {
		t.Errorf("%d fake targets hold the whole catalogue, want 6", n)
	}
	// Of each picture each rendition was made; what a pseudo-translator made is among no product's values.
	expect(t, db, "select count(*) from rendition where hash is not null and error is null", 3*32)
	expect(t, db, "select count(*) from task", 0)
	expect(t, db, "select least(count(*), 1) from product_text where test_value is not null", 1)
	expect(t, db, "select count(*) from product where values->'name' ? 'fr-FR'", 0)
	// The ERP owns price and stock: it has what the catalogue has, and reading it changes nothing.
	waitFor(t, a, fmt.Sprintf("select exists (select from pull where rows >= 3 * %d)", sellable))
	expect(t, db, "select changed + rejected from pull", 0)
	expect(t, db, "select count(*) from stock where on_hand = 0", 0)
	expect(t, db, "select count(*) from event where actor like 'channel:%'", 0)
	if status := call(t, "GET", a.URL+"/v1/products/DEMO-0001", a.ViewerKey, ""); status != 200 {
		t.Errorf("the viewer's key may not read: %d", status)
	}
	const rename = `{"values":{"name":{"en-GB":"Renamed"}}}`
	if status := call(t, "PATCH", a.URL+"/v1/products/DEMO-0001", a.ViewerKey, rename); status != 403 {
		t.Errorf("the viewer's key may edit: %d", status)
	}

	t.Run("suggestions", func(t *testing.T) { trySuggestions(t, lines) })
	t.Run("serve", func(t *testing.T) { shareWork(t, a) })
	t.Run("tools", func(t *testing.T) { useTools(t, a) })

	if status := call(t, "PATCH", a.URL+"/v1/products/DEMO-0001", a.Key, rename); status != 200 {
		t.Errorf("the admin's key may not edit: %d", status)
	}
	p.signal(syscall.SIGINT)
	if status := p.exit(); status != 0 {
		t.Fatalf("status %d after Ctrl-C", status)
	}

	// Left in the environment, the demo's own address is no other server's.
	p, a = begin("DATABASE_URL=" + a.DSN)
	p.hear(`Three things to try`)
	db = connect(t, a.DSN)
	expect(t, db, "select count(*) from product where sku like 'DEMO-%'", demoProducts)
	expect(t, db, "select count(*) from product where sku = 'DEMO-0001' and values->'name'->>'en-GB' = 'Renamed'", 1)
	expect(t, db, "select count(*) from channel", 6)
	expect(t, db, "select count(*) from api_key", 2)
	p.signal(syscall.SIGTERM)
	if status := p.exit(); status != 0 {
		t.Fatalf("status %d after SIGTERM", status)
	}
}

// On a database of the user's, in a folder of its own, ending by itself.
func TestDemoExitsAfterPublish(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(dbtest.Dir(t), "demo")
	dsn := dbtest.New(t)
	args := []string{"demo", "--data-dir", dir, "--listen", "127.0.0.1:0", "--exit-after-publish", "--products"}
	stdout, stderr, status := output(t, []string{"DATABASE_URL=" + dsn}, append(args, "7")...)
	if status != 0 || !strings.Contains(stdout, "Everything is on all 6 channels") {
		t.Fatalf("status %d\n%s%s", status, stdout, stderr)
	}
	db := connect(t, dsn)
	expect(t, db, "select count(*) from product", 7)
	expect(t, db, "select count(*) from listing where dirty", 0)
	if _, err := os.Stat(filepath.Join(dir, "postgres")); err == nil {
		t.Error("there is a private server although DATABASE_URL is set")
	}
	// A larger catalogue goes on where the smaller one ended.
	if _, stderr, status = output(t, []string{"DATABASE_URL=" + dsn}, append(args, "21")...); status != 0 {
		t.Fatalf("status %d: %s", status, stderr)
	}
	expect(t, db, "select count(*) from product", 21)
	expect(t, db, "select count(*) from event where type = 'product.created'", 21)
	// A fake whose file is gone is sent everything again.
	if err := os.Remove(filepath.Join(dir, "target-shop-en.jsonl")); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, status = output(t, []string{"DATABASE_URL=" + dsn}, append(args, "21")...)
	if status != 0 || !strings.Contains(stdout, "The fake of shop-en lost what it held") {
		t.Fatalf("status %d\n%s%s", status, stdout, stderr)
	}
	kept, err := os.ReadFile(filepath.Join(dir, "target-shop-en.jsonl"))
	if n := strings.Count(string(kept), `"sku":"DEMO-0021"`); err != nil || n == 0 {
		t.Errorf("DEMO-0021 is not in the shop again: %v", err)
	}
	// Paused, it cannot be published, and says so at once.
	output(t, []string{"DATABASE_URL=" + dsn}, "channel", "pause", "erp")
	_, stderr, status = output(t, []string{"DATABASE_URL=" + dsn}, append(args, "22")...)
	if status != 1 || !strings.Contains(stderr, "erp") {
		t.Errorf("status %d with a paused channel: %s", status, stderr)
	}
	// The channels of an older demo sent to other fakes.
	if _, err := db.Exec(t.Context(), "update channel set connector = 'webhook' where code = 'shop-en'"); err != nil {
		t.Fatal(err)
	}
	_, stderr, status = output(t, []string{"DATABASE_URL=" + dsn}, append(args, "22")...)
	if status != 1 || !strings.Contains(stderr, "an older demo's") || !strings.Contains(stderr, dir) {
		t.Errorf("status %d on an older demo's database: %s", status, stderr)
	}
}

func readAnnouncement(t *testing.T, dir string) (a announced) {
	t.Helper()
	path := filepath.Join(dir, "demo.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &a); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{path, a.Keyset, filepath.Join(dir, "state.json")} {
		if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", file, st, err)
		}
	}
	if strings.HasSuffix(a.URL, "/v1") || !strings.HasPrefix(a.URL, "http://127.0.0.1:") || !filepath.IsAbs(a.Keyset) {
		t.Errorf("demo.json has %+v", a)
	}
	return a
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func expect(t *testing.T, db *pgx.Conn, sql string, want int) {
	t.Helper()
	var n int
	if err := db.QueryRow(t.Context(), sql).Scan(&n); err != nil || n != want {
		t.Errorf("%s: %d, %v; want %d", sql, n, err, want)
	}
}

// call makes a request and gives the status.
func call(t *testing.T, method, url, key, body string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	if method == "PATCH" {
		req.Header.Set("Content-Type", "application/merge-patch+json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// fakeURLs are the addresses of the fakes that a demo printed.
func fakeURLs(p *process) (urls []string) {
	for line := range strings.Lines(p.text()) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "target" {
			urls = append(urls, f[1])
		}
	}
	return urls
}

func targetsHolding(t *testing.T, p *process, products int) (n int) {
	t.Helper()
	for _, url := range fakeURLs(p) {
		resp, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		var state struct {
			Products   int      `json:"products"`
			Violations []string `json:"violations"`
		}
		err = json.NewDecoder(resp.Body).Decode(&state)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if len(state.Violations) > 0 {
			t.Errorf("%s: the contract was violated: %q", url, state.Violations)
		}
		if state.Products == products {
			n++
		}
	}
	return n
}

// trySuggestions pastes what the demo printed.
func trySuggestions(t *testing.T, lines []string) {
	needs(t, "bash", "curl", "awk")
	wants := []string{`"title": "Hello at `, "1 of 50 edits arrived", "shop-en: stock 0\nshop-de: stock 0\nmarket-one: stock 0\nmarket-two: stock 0\nerp: stock 0\n"}
	for i, want := range wants {
		line := ""
		for at, l := range lines {
			if strings.HasPrefix(l, fmt.Sprintf("%d. ", i+1)) {
				line = lines[at+2]
			}
		}
		var said bytes.Buffer
		cmd := exec.CommandContext(t.Context(), "bash", "-c", line)
		cmd.Stdout, cmd.Stderr = &said, &said
		if err := cmd.Run(); err != nil || !strings.Contains(said.String(), want) {
			t.Errorf("suggestion %d: %v, said %q, want %q", i+1, err, said.String(), want)
		}
	}
}

// shareWork runs a second process beside the demo.
func shareWork(t *testing.T, a announced) {
	env := []string{"DATABASE_URL=" + a.DSN, "SLUICE_KEYSET=" + a.Keyset}
	second := start(t, env, "serve", "--listen", "127.0.0.1:0")
	url := "http://" + second.hear(`msg=serving .*listen=(\S+)`)[1]
	if status := call(t, "GET", url+"/readyz", "", ""); status != 200 {
		t.Errorf("not ready: %d", status)
	}
	if status := call(t, "PATCH", url+"/v1/products/DEMO-0004", a.Key, `{"values":{"name":{"en-GB":"Through the second"}}}`); status != 200 {
		t.Fatalf("status %d", status)
	}
	waitFor(t, a, "select exists (select from listing l join product p on p.id = l.product_id where p.sku = 'DEMO-0004') and not exists (select from outbox)"+
		" and not exists (select from listing l join product p on p.id = l.product_id where p.sku = 'DEMO-0004' and l.dirty)")
	second.signal(syscall.SIGTERM)
	if status := second.exit(); status != 0 {
		t.Errorf("status %d after SIGTERM", status)
	}
}

// waitFor waits for the database to answer true; it asks in the database's own
// time, and gives up when nothing can still be under way.
func waitFor(t *testing.T, a announced, sql string) {
	t.Helper()
	db := connect(t, a.DSN)
	for end := time.Now().Add(patience); time.Now().Before(end); {
		var done bool
		if err := db.QueryRow(t.Context(), "select "+strings.TrimPrefix(sql, "select ")).Scan(&done); err != nil {
			t.Fatal(err)
		}
		if done {
			return
		}
		if _, err := db.Exec(t.Context(), "select pg_sleep(0.05)"); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatalf("never true: %s", sql)
}

// useTools runs the other commands on the demo's database.
func useTools(t *testing.T, a announced) {
	env := []string{"DATABASE_URL=" + a.DSN, "SLUICE_KEYSET=" + a.Keyset}
	run := func(want int, args ...string) string {
		t.Helper()
		stdout, stderr, status := output(t, env, args...)
		if status != want {
			t.Fatalf("sluice %s: status %d, want %d\n%s%s", strings.Join(args, " "), status, want, stdout, stderr)
		}
		return stdout
	}
	run(0, "migrate")
	run(0, "migrate", "--check")
	if said := run(0, "doctor"); !strings.Contains(said, "well   queues") || !strings.Contains(said, "well   channel shop-en") {
		t.Errorf("doctor says:\n%s", said)
	}
	run(0, "channel", "pause", "market-one")
	if said := run(0, "doctor"); !strings.Contains(said, "note   channel market-one: it is paused") {
		t.Errorf("doctor does not see the pause:\n%s", said)
	}
	run(0, "channel", "resume", "market-one")
	run(0, "channel", "test", "market-one") // the permission to dial loopback is the channel's
	run(0, "channel", "resync", "market-one")

	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("whsec_"+strings.Repeat("QUJD", 10)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(1, "channel", "create", "nowhere", "--connector", "webhook", "--locale", "xx-XX", "--currency", "EUR")
	run(0, "channel", "create", "nowhere", "--connector", "webhook", "--locale", "en-GB", "--currency", "EUR",
		"--set", "url=http://127.0.0.1:1/items", "--set", "secret=@"+secret)
	if shown := run(0, "channel", "show", "nowhere"); strings.Contains(shown, "whsec_") || !strings.Contains(shown, "http://127.0.0.1:1/items") {
		t.Errorf("channel show: %s", shown)
	}
	if _, said, _ := output(t, env, "channel", "test", "nowhere"); !strings.Contains(said, "private") {
		t.Errorf("a channel without the permission: %s", said)
	}
	waitFor(t, a, "select exists (select from channel where code = 'nowhere' and fails >= 3)")
	if said := run(1, "doctor"); !strings.Contains(said, "wrong  channel nowhere: its breaker is open") {
		t.Errorf("doctor does not see the breaker:\n%s", said)
	}
	run(0, "channel", "delete", "nowhere")
	run(1, "channel", "show", "nowhere")

	key := strings.TrimSpace(run(0, "key", "create", "crawler", "--role", "viewer"))
	if status := call(t, "GET", a.URL+"/v1/products", key, ""); status != 200 {
		t.Errorf("a new key may not read: %d", status)
	}
	run(2, "key", "create", "crawler", "--role", "emperor")

	importSmall(t, a, env)

	db := connect(t, a.DSN)
	for _, sql := range []string{ // as before, for the starts to come
		"delete from api_key where name = 'crawler'",
		"delete from listing where channel_id in (select id from channel where deleted_at is not null)",
		"delete from channel where deleted_at is not null",
	} {
		if _, err := db.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
}
