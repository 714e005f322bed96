//go:build unix

package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/sluicehub/sluice/pim/postgres/dbtest"
	"github.com/sluicehub/sluice/pim/seal"
)

func TestNoDatabase(t *testing.T) {
	for _, args := range [][]string{
		{"serve"}, {"migrate"}, {"channel", "list"}, {"key", "list"}, {"import", "/dev/null"}, {"doctor"}, {"asset", "list"}, {"rendition", "list"}, {"task", "summary"},
	} {
		for name, dsn := range map[string]string{
			"unset": "", "garbled": "postgres://sluice:hunter2@[::/x", "unreachable": "postgres://sluice:hunter2@127.0.0.1:1/sluice",
		} {
			stdout, stderr, status := output(t, []string{"DATABASE_URL=" + dsn, "SLUICE_KEYSET=" + filepath.Join(t.TempDir(), "k")}, append(args, reportFlag(t, args)...)...)
			said := stdout + stderr
			if status != 1 || !strings.Contains(said, "DATABASE_URL") {
				t.Errorf("%v, %s: status %d, said %q", args, name, status, said)
			}
			if strings.Contains(said, "hunter2") {
				t.Errorf("%v, %s: the password is told: %q", args, name, said)
			}
		}
	}
}

// reportFlag keeps reports out of the package's folder.
func reportFlag(t *testing.T, args []string) []string {
	if args[0] != "import" {
		return nil
	}
	return []string{"--report", filepath.Join(t.TempDir(), "report.csv")}
}

func TestUsage(t *testing.T) {
	for want, args := range map[int][]string{0: {"--help"}, 2: {"nonsense"}} {
		if _, _, status := output(t, nil, args...); status != want {
			t.Errorf("%v: status %d, want %d", args, status, want)
		}
	}
	if stdout, _, status := output(t, nil, "version"); status != 0 || !strings.HasPrefix(stdout, "sluice ") {
		t.Errorf("version: %d, %q", status, stdout)
	}
}

func TestServeWantsTheKeyset(t *testing.T) {
	t.Parallel()
	dsn := "DATABASE_URL=" + dbtest.New(t)
	if _, stderr, status := output(t, []string{dsn}, "serve", "--listen", "127.0.0.1:0"); status != 1 || !strings.Contains(stderr, "SLUICE_KEYSET") {
		t.Errorf("without: status %d, %q", status, stderr)
	}
	keys := "SLUICE_KEYSET=" + filepath.Join(t.TempDir(), "keyset.json")
	p := start(t, []string{dsn, keys}, "serve", "--listen", "127.0.0.1:0") // nothing is sealed yet: it makes one
	p.hear("msg=serving")
	p.signal(15)
	if status := p.exit(); status != 0 {
		t.Errorf("status %d", status)
	}
	if _, stderr, status := output(t, []string{dsn, keys}, "key", "create", "x", "--role", "admin"); status != 0 {
		t.Errorf("status %d: %s", status, stderr)
	}
	db := connect(t, strings.TrimPrefix(dsn, "DATABASE_URL="))
	if _, err := db.Exec(t.Context(), `insert into channel (code, connector, locale, currency, batch, concurrency, timeout_ms, settle_ms, marks_content, marks_offer,
		marks_media, config, secrets, mapping) values ('x', 'webhook', 'en-GB', 'EUR', 1, 1, 1, 1, 1, 2, 4, '{}', 'sealed', '{}')`); err != nil {
		t.Fatal(err)
	}
	missing := "SLUICE_KEYSET=" + filepath.Join(t.TempDir(), "keyset.json")
	if _, stderr, status := output(t, []string{dsn, missing}, "serve", "--listen", "127.0.0.1:0"); status != 1 || !strings.Contains(stderr, "there is no keyset file") {
		t.Errorf("with a keyset that is not there: status %d, %q", status, stderr)
	}
	if said, _, status := output(t, []string{dsn, keys}, "doctor"); status != 1 || !strings.Contains(said, "wrong  channel x: it cannot be opened") ||
		!strings.Contains(said, "no worker is running") {
		t.Errorf("doctor: status %d, says %s", status, said)
	}
}

// Commands on a channel leave no work to the sweeper: there is a job for each of
// its consumers when they end.
func TestChannelCommandsWake(t *testing.T) {
	t.Parallel()
	dsn := dbtest.New(t)
	keys := filepath.Join(t.TempDir(), "keyset.json")
	if _, err := seal.Create(keys); err != nil {
		t.Fatal(err)
	}
	env := []string{"DATABASE_URL=" + dsn, "SLUICE_KEYSET=" + keys}
	db := connect(t, dsn)
	for _, args := range [][]string{
		{"create", "x", "--connector", "webhook", "--locale", "en-GB", "--currency", "EUR", "--set", "url=https://x.example", "--set", "secret=whsec_" + strings.Repeat("QUJD", 10)},
		{"pause", "x"},
		{"resume", "x"},
		{"resync", "x"},
		{"retry", "x"},
	} {
		if _, err := db.Exec(t.Context(), `delete from river_job`); err != nil {
			t.Fatal(err)
		}
		if _, stderr, status := output(t, env, append([]string{"channel"}, args...)...); status != 0 {
			t.Fatalf("%v: status %d, %s", args, status, stderr)
		}
		expect(t, db, `select count(*) from river_job where kind in ('fanout', 'drain')`, 4)
	}
	if said, _, status := output(t, env, "channel", "list"); status != 0 || !strings.HasPrefix(said, "CHANNEL  CONNECTOR") || !strings.Contains(said, "\nx        webhook    en-GB") {
		t.Errorf("channel list: status %d\n%s", status, said)
	}
	if said, _, status := output(t, env, "key", "list", "--json"); status != 0 || said != "[]\n" {
		t.Errorf("key list: status %d, %s", status, said)
	}
	if _, _, status := output(t, env, "channel", "delete", "x"); status != 0 {
		t.Errorf("delete: status %d", status)
	}
}

// A keyset is bound to the database by the first process that has it, secrets
// or none: another one is refused, and one that was rotated is not.
func TestServeRefusesAnotherKeyset(t *testing.T) {
	t.Parallel()
	dsn := "DATABASE_URL=" + dbtest.New(t)
	serve := func(keys string) {
		t.Helper()
		p := start(t, []string{dsn, "SLUICE_KEYSET=" + keys}, "serve", "--listen", "127.0.0.1:0")
		p.hear("msg=serving")
		p.signal(15)
		if status := p.exit(); status != 0 {
			t.Errorf("status %d", status)
		}
	}
	ours, theirs := filepath.Join(t.TempDir(), "keyset.json"), filepath.Join(t.TempDir(), "keyset.json")
	if said, _, _ := output(t, []string{dsn, "SLUICE_KEYSET=" + ours}, "doctor"); strings.Contains(said, "keyset") {
		t.Errorf("doctor of a house without a keyset says %s", said)
	}
	serve(ours)
	if _, err := seal.Create(theirs); err != nil {
		t.Fatal(err)
	}
	wrong := []string{dsn, "SLUICE_KEYSET=" + theirs}
	for _, args := range [][]string{
		{"serve", "--listen", "127.0.0.1:0"},
		{"channel", "create", "x", "--connector", "webhook", "--locale", "en-GB", "--currency", "EUR", "--set", "url=https://x.example", "--set", "secret=whsec_" + strings.Repeat("QUJD", 10)},
	} {
		p := start(t, wrong, args...)
		if status := p.exit(); status != 1 || !strings.Contains(p.text(), theirs) || !strings.Contains(p.text(), "is not the one") {
			t.Errorf("%s with another keyset: status %d, %q", args[0], status, p.text())
		}
	}
	if said, _, _ := output(t, wrong, "doctor"); !strings.Contains(said, "wrong  keyset: keyset "+theirs) {
		t.Errorf("doctor with another keyset says %s", said)
	}
	if _, err := seal.Rotate(ours); err != nil {
		t.Fatal(err)
	}
	serve(ours)
	if said, _, _ := output(t, []string{dsn, "SLUICE_KEYSET=" + ours}, "doctor"); !strings.Contains(said, "well   keyset:") {
		t.Errorf("doctor after a rotation says %s", said)
	}
}

// needs skips a test for lack of a program that people may do without, and fails
// it where CI is set, as .ci/run does: there, no check may fall away unseen.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err == nil {
			continue
		}
		if os.Getenv("CI") != "" {
			t.Fatalf("there is no %s", p)
		}
		t.Skipf("there is no %s", p)
	}
}

// Doctor tells what is due and not sent from what has to wait, and does not
// bury that under imports of long ago.
func TestDoctorOnListingsAndImports(t *testing.T) {
	t.Parallel()
	dsn := dbtest.New(t)
	keys := filepath.Join(t.TempDir(), "keyset.json")
	if _, err := seal.Create(keys); err != nil {
		t.Fatal(err)
	}
	env := []string{"DATABASE_URL=" + dsn, "SLUICE_KEYSET=" + keys}
	if _, stderr, status := output(t, env, "channel", "create", "x", "--connector", "webhook", "--locale", "en-GB", "--currency", "EUR",
		"--set", "url=https://x.example", "--set", "secret=whsec_"+strings.Repeat("QUJD", 10)); status != 0 {
		t.Fatal(stderr)
	}
	db := connect(t, dsn)
	exec := func(sql string) {
		t.Helper()
		if _, err := db.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec(`insert into listing (channel_id, product_id, lane) select id, p, 1 from channel, generate_series(1, 3) p`)
	exec(`insert into import (state, filename, actor, options, error, created_at, finished_at)
		select 'failed', 'f' || n || '.csv', 'x', '{}', 'no such column', now() - n * interval '5 days', now() - n * interval '5 days' from generate_series(1, 4) n`)
	exec(`update channel set mark_after = null`)
	for _, c := range []struct {
		set, channel string
		want, not    []string
	}{
		{`dirty_at = now()`, `fails = 0`, []string{"well   channel x:"}, []string{"wrong  channel x"}},
		{`dirty_at = now() - interval '1 hour', due_at = now() - interval '1 hour'`, `fails = 0`, []string{"wrong  channel x: listings are due and not sent: 3 of them"}, nil},
		{`dirty_at = now(), due_at = now() - interval '1 hour'`, `fails = 0`, nil, []string{"wrong  channel x"}}, // due since before it changed, not old
		{`dirty_at = now() - interval '1 hour', due_at = 'infinity'`, `fails = 0`, []string{"note   channel x: its oldest unsent change is"}, []string{"wrong  channel x"}},
		{`dirty_at = now() - interval '1 hour', due_at = now()`, `fails = 3`, []string{"wrong  channel x: its breaker is open"}, []string{"due and not sent"}},
		{`dirty_at = now() - interval '1 hour', due_at = now()`, `fails = 0, enabled = false`, []string{"note   channel x: it is paused"}, []string{"wrong  channel x"}},
	} {
		exec(`update listing set ` + c.set)
		exec(`update channel set ` + c.channel)
		said, _, _ := output(t, env, "doctor")
		for _, want := range append(c.want, "import 1 (f1.csv) failed", "3 more have failed") {
			if !strings.Contains(said, want) {
				t.Errorf("%s: says nothing of %q:\n%s", c.set, want, said)
			}
		}
		for _, not := range append(c.not, "f2.csv") {
			if strings.Contains(said, not) {
				t.Errorf("%s: says %q:\n%s", c.set, not, said)
			}
		}
	}
}

// The bash script, run by bash, offers what can stand at the cursor.
func TestBashCompletion(t *testing.T) {
	needs(t, "bash")
	script, _, status := output(t, nil, "completion", "bash")
	if status != 0 {
		t.Fatal(status)
	}
	for line, want := range map[string]string{
		"sluice ch":                      "channel",
		"sluice channel re":              "resume resync retry",
		"sluice --log-format json ke":    "key",
		"sluice serve --allow":           "--allow-private-targets",
		"sluice serve --no":              "--no-migrate",
		"sluice key create x --role ":    "viewer editor channel-manager integration admin",
		"sluice channel create --set ch": "",
		"sluice completion z":            "zsh",
		"sluice demo --exit":             "--exit-after-publish",
	} {
		cmd := exec.CommandContext(t.Context(), "bash", "-c", script+`
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_sluice
echo "${COMPREPLY[*]}"`, "bash")
		cmd.Args = append(cmd.Args, strings.Split(line, " ")...)
		out, err := cmd.CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%q: offers %q (%v), want %q", line, got, err, want)
		}
	}
}

// Every shell's script has every command and flag there is.
func TestCompletionIsWhole(t *testing.T) {
	parser, err := kong.New(&cli{}, kong.Name("sluice"))
	if err != nil {
		t.Fatal(err)
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		var out, complaints bytes.Buffer
		if status := run(context.Background(), []string{"completion", shell}, console{strings.NewReader(""), &out, &complaints}); status != 0 {
			t.Fatalf("%s: %d, %s", shell, status, complaints.String())
		}
		for _, p := range placesOf(parser.Model.Node) {
			for _, c := range p.commands {
				if !strings.Contains(out.String(), c.name) {
					t.Errorf("%s knows no command %s", shell, c.name)
				}
			}
			for _, f := range p.flags {
				if !strings.Contains(out.String(), strings.TrimPrefix(f.name, "--")) {
					t.Errorf("%s knows no flag %s", shell, f.name)
				}
			}
		}
	}
}
