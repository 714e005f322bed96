package feed_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/feed"
	"github.com/sluicehub/sluice/pim"
)

func TestOnlyWhatChangedIsBuilt(t *testing.T) {
	b := start(t)
	first := b.tickets(upsert("A", 1, "one"), upsert("B", 1, "two"))
	b.says("live live", b.polled(first...))
	m := b.shows(map[string]string{"A": "one", "B": "two"})

	// Not before its time, and the answer says when.
	second := b.tickets(upsert("A", 2, "uno"), withdraw("B", 2), withdraw("UNKNOWN", 1))
	results, err := b.Poll(t.Context(), second)
	if err != nil || results[0].Status != connectors.Pending || results[0].After < 30*time.Second || results[0].After > 2*time.Minute {
		t.Fatalf("before its time: %+v, %v", results, err)
	}
	b.shows(map[string]string{"A": "one", "B": "two"})
	b.says("live accepted accepted", b.polled(second...))
	next := b.shows(map[string]string{"A": "uno"})
	if next.Revision != m.Revision+1 {
		t.Errorf("revision %d after %d", next.Revision, m.Revision)
	}
	b.says("live live", b.polled(first...)) // asked again

	// The same once more is no new feed.
	before, err := os.Stat(filepath.Join(b.folder, "feed.xml"))
	if err != nil {
		t.Fatal(err)
	}
	b.says("live accepted conflict", b.polled(b.tickets(upsert("A", 3, "uno"), withdraw("B", 3), upsert("UNKNOWN", 0, "late"))...))
	b.says("conflict", b.polled("nobody-knows.0"))
	after, err := os.Stat(filepath.Join(b.folder, "feed.xml"))
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("the feed was written again: %v", err)
	}
	if m := b.shows(map[string]string{"A": "uno"}); m.Revision != next.Revision {
		t.Errorf("revision %d", m.Revision)
	}

	// What somebody has changed is put right with the next push.
	if err := os.WriteFile(filepath.Join(b.folder, "feed.xml"), []byte("<rss/>"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.says("live", b.polled(b.tickets(upsert("A", 3, "uno"))...))
	b.shows(map[string]string{"A": "uno"})
}

func TestWhatIsMergedGoes(t *testing.T) {
	b := start(t)
	for i := range int64(5) {
		b.polled(b.tickets(upsert("A", i+1, fmt.Sprint(i)))...)
	}
	b.clock.pass(3 * time.Hour)
	b.polled(b.tickets(upsert("A", 9, "last"))...)
	names, err := os.ReadDir(filepath.Join(b.folder, "sluice-feed"))
	if err != nil {
		t.Fatal(err)
	}
	segments := 0
	for _, n := range names {
		if strings.HasPrefix(n.Name(), "seg-") {
			segments++
		}
	}
	if m := b.shows(map[string]string{"A": "last"}); segments != 1 || len(m.State.Segments) != 1 {
		t.Errorf("%d segments are left, the manifest names %d", segments, len(m.State.Segments))
	}
}

// TestConverges holds builds, with little memory and killed at random, against
// what simply applies everything in order.
func TestConverges(t *testing.T) {
	skus := []pim.SKU{"A", "B", "Bä", "a b", "Z&<"}
	rapid.Check(t, func(rt *rapid.T) {
		dir := t.TempDir()
		clock := newClock()
		b := inFolder(t, dir, clock, nil)
		feed.SetMemory(b.Connector, 900)
		type state struct {
			rev   int64
			title string // "": withdrawn
		}
		model := map[pim.SKU]state{}
		all := []string{}
		want := []string{}
		for step := range rapid.IntRange(1, 12).Draw(rt, "steps") {
			switch rapid.IntRange(0, 3).Draw(rt, "what") {
			case 0: // a build, which may die
				limit := rapid.IntRange(0, 12).Draw(rt, "dies at")
				dying := inFolder(t, dir, clock, nil)
				n := 0
				feed.Interrupt(dying.Connector, func(string, string, bool) error {
					if n++; n > limit {
						return errors.New("killed")
					}
					return nil
				})
				clock.pass(time.Minute)
				_, _ = dying.Poll(t.Context(), []string{"x.0"})
			default:
				var items []connectors.Item
				for _, sku := range rapid.SliceOfNDistinct(rapid.SampledFrom(skus), 1, 4, rapid.ID).Draw(rt, "skus") {
					rev := rapid.Int64Range(1, 6).Draw(rt, "rev")
					title := fmt.Sprintf("t%d", step)
					item := upsert(sku, rev, title)
					if rapid.Bool().Draw(rt, "withdraw") {
						item, title = withdraw(sku, rev), ""
					}
					items = append(items, item)
					says := "live"
					if title == "" {
						says = "accepted"
					}
					if held, ok := model[sku]; ok && rev < held.rev {
						says = "conflict"
					} else {
						model[sku] = state{rev, title}
					}
					want = append(want, says)
				}
				all = append(all, b.tickets(items...)...)
			}
		}
		if len(all) == 0 {
			return
		}
		results := b.polled(all...)
		if got := statuses(results); !slices.Equal(got, want) {
			rt.Fatalf("the answers are %v, want %v", got, want)
		}
		shown := map[string]string{}
		for sku, s := range model {
			if s.title != "" {
				shown[string(sku)] = s.title
			}
		}
		if got, _ := b.published(); !maps.Equal(got, shown) {
			rt.Fatalf("the feed shows %v, want %v", got, shown)
		}
		var items []connectors.Item
		for _, sku := range skus {
			if title := model[sku].title; title != "" {
				items = append(items, upsert(sku, model[sku].rev, title))
			} else {
				items = append(items, withdraw(sku, model[sku].rev))
			}
		}
		held, err := b.Read(t.Context(), items)
		if err != nil {
			rt.Fatal(err)
		}
		for i := range held {
			if !held[i].Exact || !held[i].Matches(items[i]) || held[i].Revision != model[items[i].SKU].rev {
				rt.Fatalf("%s reads as %+v (%s), want revision %d", items[i].SKU, held[i], held[i].Document, model[items[i].SKU].rev)
			}
		}
	})
}
