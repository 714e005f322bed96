//go:build unix

package main

import (
	"encoding/json"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/api"
	"github.com/sluicehub/sluice/pim/postgres"
	"github.com/sluicehub/sluice/pim/postgres/dbtest"
	"github.com/sluicehub/sluice/pim/seal"
)

// Files are stored, listed and shown, what is made of them is defined, and tasks
// are seen and commanded; each command leaves nothing to the sweeper.
func TestAssetCommands(t *testing.T) {
	t.Parallel()
	dsn, dir := dbtest.New(t), t.TempDir()
	keys := filepath.Join(dir, "keyset.json")
	if _, err := seal.Create(keys); err != nil {
		t.Fatal(err)
	}
	db := connect(t, dsn)
	env := []string{"DATABASE_URL=" + dsn, "SLUICE_KEYSET=" + keys}
	run := func(want int, args ...string) string {
		t.Helper()
		stdout, stderr, status := output(t, env, args...)
		if status != want {
			t.Fatalf("%v: status %d, %s%s", args, status, stdout, stderr)
		}
		return stdout + stderr
	}
	says := func(said string, words ...string) {
		t.Helper()
		for _, w := range words {
			if !strings.Contains(said, w) {
				t.Errorf("%q does not say %q", said, w)
			}
		}
	}
	picture, text := filepath.Join(dir, "front.png"), filepath.Join(dir, "notes.png")
	f, err := os.Create(picture)
	if err != nil {
		t.Fatal(err)
	}
	if err := png.Encode(f, image.NewNRGBA(image.Rect(0, 0, 30, 20))); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(text, []byte("no image"), 0o600); err != nil {
		t.Fatal(err)
	}

	says(run(0, "asset", "add", picture, "--code", "front", "--focal", "0.5,0.25"), "created as front")
	expect(t, db, `select count(*) from river_job where kind = 'render'`, 4)
	says(run(0, "asset", "add", picture, "--code", "front"), "unchanged as front")
	says(run(1, "asset", "add", text, "--code", "front"), "another file", "--replace")
	says(run(0, "asset", "add", text, "https://files.example/a.jpg"), "created as sha-", "nothing can be made of it", "to be fetched as url-")
	says(run(1, "asset", "add", filepath.Join(dir, "none.png")), "none.png")
	says(run(1, "asset", "add", "https://u:p@files.example/a.jpg"), "url.secret")
	says(run(1, "asset", "add", picture, text, "--code", "x"), "--code")
	says(run(1, "asset", "add", picture, "--code", "a b"), "a b")

	says(run(0, "asset", "list"), "front", "30x20", "failed", "waiting")
	says(run(0, "asset", "list", "--state", "stored", "--limit", "1"), "front")
	var shown api.Asset
	if err := json.Unmarshal([]byte(run(0, "asset", "show", "front")), &shown); err != nil || shown.URL != "" || shown.Focal == nil || shown.Focal.Y != 0.25 {
		t.Errorf("shown %+v, %v", shown, err)
	}
	if err := json.Unmarshal([]byte(run(0, "asset", "show", "front", "--public-url", "https://pim.example/x/")), &shown); err != nil ||
		!strings.HasPrefix(shown.URL, "https://pim.example/x/media/"+shown.Hash+"/front.png?") {
		t.Errorf("shown %+v, %v", shown, err)
	}
	says(run(1, "asset", "show", "none"), "there is no asset none")

	says(run(0, "rendition", "put", "main", "--preset", "bol", "--set", "width=800", "--set", "height=800", "--set", "require.min_width=100", "--set", "background=#eeeeee"), "no channel")
	says(run(0, "rendition", "list"), "main", "800x800", "pad")
	says(run(1, "rendition", "put", "main", "--set", "fit=round"), "/fit")
	says(run(1, "rendition", "put", "main"), "--preset")
	// Another engine's definitions are not made anew by a command.
	if _, err := db.Exec(t.Context(), `update rendition_definition set spec = 'another'`); err != nil {
		t.Fatal(err)
	}
	says(run(1, "rendition", "put", "main", "--set", "width=5"), "SLUICE_IMAGE_ENGINE")
	says(run(0, "rendition", "delete", "main"), "deleted")
	says(run(1, "rendition", "delete", "main"), "there is no rendition main")

	var tasks []postgres.TaskItem
	if err := json.Unmarshal([]byte(run(0, "task", "list", "--json")), &tasks); err != nil || len(tasks) != 1 || tasks[0].Lot != "files.example" {
		t.Fatalf("tasks %+v, %v", tasks, err)
	}
	says(run(0, "task", "list", "--kind", "fetch"), "files.example", "due", "url-")
	says(run(0, "task", "summary"), "KIND", "fetch", "LOT", "files.example")
	says(run(0, "task", "cancel", "fetch", "--lot", "files.example"), "1 fetch tasks are cancelled")
	says(run(0, "task", "retry", "fetch"), "0 fetch tasks are tried again")
	if _, err := db.Exec(t.Context(), `delete from river_job`); err != nil {
		t.Fatal(err)
	}
	says(run(0, "task", "retry", "fetch", "--id", "1"), "1 fetch tasks are tried again")
	expect(t, db, `select count(*) from river_job where kind = 'fetch'`, 1)
	run(2, "task", "retry", "nonsense")
}

// A channel's renditions come from its file, and are shown.
func TestChannelRenditions(t *testing.T) {
	t.Parallel()
	dsn, dir := dbtest.New(t), t.TempDir()
	keys := filepath.Join(dir, "keyset.json")
	if _, err := seal.Create(keys); err != nil {
		t.Fatal(err)
	}
	env := []string{"DATABASE_URL=" + dsn, "SLUICE_KEYSET=" + keys}
	file := filepath.Join(dir, "channel.json")
	if err := os.WriteFile(file, []byte(`{"code":"x","connector":"webhook","locale":"en-GB","currency":"EUR","renditions":["main"],
		"config":{"url":"https://x.example","secret":"whsec_`+strings.Repeat("QUJD", 10)+`"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, stderr, status := output(t, env, "channel", "create", "--file", file); status != 1 || !strings.Contains(stderr, "/renditions/0") {
		t.Fatalf("status %d, %s", status, stderr)
	}
	if _, stderr, status := output(t, env, "rendition", "put", "main", "--preset", "shopify"); status != 0 {
		t.Fatalf("status %d, %s", status, stderr)
	}
	if _, stderr, status := output(t, env, "channel", "create", "--file", file); status != 0 {
		t.Fatalf("status %d, %s", status, stderr)
	}
	var shown channelView
	stdout, stderr, status := output(t, env, "channel", "show", "x")
	if err := json.Unmarshal([]byte(stdout), &shown); err != nil || status != 0 || len(shown.Settings.Renditions) != 1 {
		t.Errorf("shown %s %s: %v", stdout, stderr, err)
	}
	if said, _, status := output(t, env, "rendition", "delete", "main"); status != 1 {
		t.Errorf("deleted while it is shown: %s", said)
	}
}
