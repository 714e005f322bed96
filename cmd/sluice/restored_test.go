//go:build unix

package main

import (
	"strings"
	"testing"

	"github.com/sluicehub/sluice/pim/postgres/dbtest"
)

// TestRestoredAsks does nothing without a word from somebody.
func TestRestoredAsks(t *testing.T) {
	dsn := dbtest.New(t)
	t.Setenv("DATABASE_URL", dsn)
	db := connect(t, dsn)
	floor := func() (n int64) {
		t.Helper()
		if err := db.QueryRow(t.Context(), `select revision_floor from catalogue`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := floor()
	for name, c := range map[string]struct {
		said   string
		args   []string
		status int
	}{
		"nothing":  {"", nil, 1},
		"no":       {"no\n", nil, 1},
		"the word": {"restored\n", nil, 0},
		"a flag":   {"", []string{"--yes"}, 0},
	} {
		var out, complaints strings.Builder
		status := run(t.Context(), append([]string{"restored"}, c.args...), console{in: strings.NewReader(c.said), out: &out, err: &complaints})
		now := floor()
		if status != c.status || (now > before) != (c.status == 0) || !strings.Contains(out.String(), "forgotten") {
			t.Errorf("%s: status %d, floor from %d to %d, said %q %q", name, status, before, now, out.String(), complaints.String())
		}
		before = now
	}
}
