//go:build unix

package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim/postgres/dbtest"
)

// TestMain is also the target process: the bench starts its own program anew.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == sinkArgs[0] { // or a worker process
		c := parse(os.Args[2:]...)
		if err := c.Run(context.Background(), slog.New(slog.DiscardHandler)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// parse reads flags as the program does.
func parse(args ...string) *Command {
	c := &Command{}
	p, err := kong.New(c)
	if err == nil {
		_, err = p.Parse(args)
	}
	if err != nil {
		panic(err)
	}
	return c
}

// TestRun runs every measure with tiny numbers: it holds the plumbing, not the
// figures.
func TestRun(t *testing.T) {
	server := dbtest.Server(t)
	c := parse("--json", "--products=120", "--seconds=0.3", "--connections=3", "--images=1", "--waiting=300", "--idle=5", "--minutes=0.02", "--few=100", "--many=300", "--family=120")
	c.dsn, c.log = server.DSN(), slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	var out, progress bytes.Buffer
	if err := c.run(t.Context(), &out, &progress); err != nil {
		t.Fatalf("%v\n%s", err, progress.String())
	}
	var r Report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	aims := 0
	for _, m := range r.Measures {
		if m.Value <= 0 {
			t.Errorf("%s is %v", m.Name, m.Value)
		}
		if m.Yardstick != "" && m.Beside <= 0 {
			t.Errorf("%s: its yardstick is %v", m.Name, m.Beside)
		}
		if m.OK != nil {
			aims++
		}
	}
	if aims != 37 {
		t.Errorf("%d aims are judged, not 37", aims)
	}
	var text bytes.Buffer
	if err := r.writeTables(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"synchronous_commit", "edits over HTTP", "bare River", "1 MP, five renditions"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the table does not say %q:\n%s", want, text.String())
		}
	}
	conn, err := pgx.Connect(t.Context(), server.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var left int
	if err := conn.QueryRow(t.Context(), `select count(*) from pg_database where datname like 'sluice_bench%'`).Scan(&left); err != nil {
		t.Fatal(err)
	}
	if left != 0 {
		t.Errorf("%d databases are left behind", left)
	}
}

func TestLimits(t *testing.T) {
	for _, args := range [][]string{{"--products=99"}, {"--connections=0"}, {"--seconds=0"}, {"--connections=65"}, {"--images=51"}} {
		if err := parse(args...).run(t.Context(), &bytes.Buffer{}, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "must be from") {
			t.Errorf("%v: %v", args, err)
		}
	}
}

func TestMatch(t *testing.T) {
	ms := func(n int64) int64 { return n * int64(time.Millisecond) }
	edits := []sent{{0, 2, ms(0)}, {0, 3, ms(10)}, {1, 2, ms(20)}, {2, 5, ms(30)}}
	list := []arrival{
		{0, 0, 3, ms(15)},                    // takes both edits of product 0 at once
		{0, 1, 1, ms(21)}, {0, 1, 2, ms(27)}, // an older revision first
		{0, 2, 4, ms(40)}, // only an older one
		{1, 0, 9, ms(1)},  // of a channel that is not asked about
	}
	all, missing := match(edits, list, 1, 1)
	if want := []time.Duration{5 * time.Millisecond, 7 * time.Millisecond}; fmt.Sprint(all) != fmt.Sprint(want) || missing != 1 {
		t.Errorf("%v, %d missing; want %v, 1", all, missing, want)
	}
}

func TestQuantile(t *testing.T) {
	var all []time.Duration
	for i := range 200 {
		all = append(all, time.Duration(200-i))
	}
	if got := summarise(all); got != (latencies{200, 100, 190, 198}) {
		t.Error(got)
	}
	if got := summarise(nil); got != (latencies{}) {
		t.Error(got)
	}
}

func TestAims(t *testing.T) {
	r := &Report{}
	r.beside("a", 4, "", "y", 10, atLeast(0.4), "")
	r.beside("b", 3.9, "", "y", 10, atLeast(0.4), "")
	r.beside("c", 40, "", "y", 10, atMost(4), "")
	r.beside("d", 41, "", "y", 10, atMost(4), "")
	for i, want := range []bool{true, false, true, false} {
		if got := *r.Measures[i].OK; got != want {
			t.Errorf("%s: %v", r.Measures[i].Name, got)
		}
	}
}
