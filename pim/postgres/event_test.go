package postgres

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres/dbtest"
)

// read reads the log from a cursor to its end in pages, as "SKU revision".
func (h *house) read(after string, limit int) (list []string, next string) {
	h.Helper()
	for {
		part, at, err := h.Events(h.ctx, Page{After: after, Limit: limit})
		if err != nil {
			h.Fatal(err)
		}
		if len(part) == 0 {
			if at != after {
				h.Errorf("nothing new moved the cursor from %s to %s", after, at)
			}
			return list, after
		}
		for _, e := range part {
			list = append(list, fmt.Sprint(e.SKU, " ", e.Revision))
		}
		after = at
	}
}

// A reader that comes back with its cursor misses nothing, though a sequence's
// order is not the order of commits: here a transaction that began first, and
// has the lower numbers, commits last.
func TestEventsMissNothing(t *testing.T) {
	t.Parallel()
	h := houseAt(t, dbtest.Server(t).DSN()) // its own server: any other transaction would hold the log back
	h.do(thing("A", Put, `{}`), thing("B", Put, `{}`), thing("C", Put, `{}`))
	seen, cursor := h.read("", 2)
	equal(t, "at first", seen, []string{"A 1", "B 1", "C 1"})

	slow := h.begin()
	if err := h.within(slow, thing("A", Patch, `{"count":1}`)); err != nil {
		t.Fatal(err)
	}
	h.do(thing("B", Patch, `{"count":1}`))
	if part, _ := h.read(cursor, 10); len(part) != 0 {
		t.Errorf("read %v while an earlier transaction may still add to it", part)
	}
	if err := slow.Commit(h.ctx); err != nil {
		t.Fatal(err)
	}
	h.do(thing("C", Patch, `{"count":1}`))
	seen, cursor = h.read(cursor, 1)
	equal(t, "after both", seen, []string{"A 2", "B 2", "C 2"})

	// The other way: the one that began later in the log commits first, and the
	// first is rolled back.
	slow = h.begin()
	if err := h.within(slow, thing("A", Patch, `{"count":2}`)); err != nil {
		t.Fatal(err)
	}
	h.do(thing("B", Patch, `{"count":2}`), thing("C", Patch, `{"count":2}`))
	if err := slow.Rollback(h.ctx); err != nil {
		t.Fatal(err)
	}
	seen, cursor = h.read(cursor, 100)
	equal(t, "after one was rolled back", seen, []string{"B 3", "C 3"})

	// Many events of one transaction over several pages.
	var edits []Edit
	var want []string
	for i := range 25 {
		sku := fmt.Sprintf("N%02d", i)
		edits, want = append(edits, thing(pim.SKU(sku), Put, `{}`)), append(want, sku+" 1")
	}
	h.do(edits...)
	seen, cursor = h.read(cursor, 10)
	equal(t, "one transaction in pages", seen, want)

	for _, bad := range []string{"x", "1", "1.x", "x.1", "-1.1", "1.-1", "1.1.1", "99999999999999999999999.1", ".", "1."} {
		if _, _, err := h.Events(h.ctx, Page{After: bad}); err == nil || !strings.HasPrefix(problemsOf(err)[0], "cursor ") {
			if bad != "1." { // an empty number is the start of its transaction
				t.Errorf("cursor %q: %v", bad, err)
			}
		}
	}
	_ = cursor
}

func TestHistoryPages(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.do(thing("A", Put, `{}`), thing("B", Put, `{}`))
	for i := range 6 {
		h.do(thing("A", Patch, fmt.Sprintf(`{"count":%d}`, i)), thing("B", Patch, fmt.Sprintf(`{"count":%d}`, i)))
	}
	var revs []int64
	page := Page{Limit: 3}
	for {
		list, next, err := h.History(h.ctx, "A", page)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			revs = append(revs, e.Revision)
		}
		if page.After = next; next == "" {
			break
		}
	}
	equal(t, "revisions, the newest first", revs, []int64{7, 6, 5, 4, 3, 2, 1})
	if list, next, err := h.History(h.ctx, "nobody", Page{}); err != nil || len(list) != 0 || next != "" {
		t.Error(list, next, err)
	}
	if _, _, err := h.History(h.ctx, "A", Page{After: "x"}); problemsOf(err)[0] != "cursor /cursor" {
		t.Error(err)
	}
}

// Events go to the partition of their month; what no partition was made for is
// kept all the same, and keeps none of the others from being made.
func TestEventPartitions(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.do(thing("A", Put, `{}`))
	month := func(n int) time.Time {
		now := time.Now().UTC()
		return time.Date(now.Year(), now.Month()+time.Month(n), 1, 0, 0, 0, 0, time.UTC)
	}
	for _, at := range []time.Time{month(0), month(1).Add(-time.Microsecond), month(1), month(2), month(4), month(-1)} {
		h.exec(`insert into event (at, product_id, rev, lanes, type, actor, data) values ($1, 1, 1, 1, 'x', 'x', '{}')`, at)
	}
	h.exec(`select event_partitions(6)`)
	h.exec(`select event_partitions(6)`)
	rows, err := h.pool.Query(h.ctx, `select tableoid::regclass::text from event order by at`)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		got = append(got, s)
	}
	name := func(n int) string { return "event_" + month(n).Format("2006_01") }
	want := []string{"event_default", name(0), name(0), name(0), name(1), name(2), "event_default"} // with the edit's own
	equal(t, "partitions of the events", got, want)
	var parts []string
	h.one(`select array_agg(inhrelid::regclass::text order by 1) from pg_inherits where inhparent = 'event'::regclass`, &parts)
	wanted := []string{name(0), name(1), name(2), name(3), name(5), name(6), "event_default"} // of the fourth, rows are in the default
	slices.Sort(wanted)
	slices.Sort(parts)
	equal(t, "partitions", parts, wanted)
}
