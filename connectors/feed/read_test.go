package feed_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/feed"
	"github.com/sluicehub/sluice/pim"
)

// TestReadWaits: a push whose answer was lost may still change what is there.
func TestReadWaits(t *testing.T) {
	b := start(t)
	item := upsert("A", 1, "one")
	b.polled(b.tickets(item)...)
	exact := func() bool {
		t.Helper()
		held, err := b.Read(t.Context(), []connectors.Item{item})
		if err != nil || !held[0].Matches(item) {
			t.Fatalf("%+v, %v", held, err)
		}
		return held[0].Exact
	}
	if !exact() {
		t.Error("what is there is not held exactly")
	}
	b.tickets(upsert("A", 1, "another"))
	if exact() {
		t.Error("what is about to change is held exactly")
	}
}

// TestManyBlocks reads products by the index, in the middle of many.
func TestManyBlocks(t *testing.T) {
	for _, format := range []string{"xml", "tsv"} {
		b := inFolder(t, t.TempDir(), newClock(), func(c *feed.Config) { c.Format = format })
		var items []connectors.Item
		for i := range 200 {
			items = append(items, upsert(pim.SKU(fmt.Sprintf("S%03d", i)), int64(i+1), fmt.Sprint("title ", i)))
		}
		items[100] = withdraw("S100", 101)
		b.polled(b.tickets(items...)...)
		held, err := b.Read(t.Context(), append(slices.Clone(items), upsert("S0005", 1, "none"), upsert("", 1, "none"), upsert("T", 1, "none")))
		if err != nil {
			t.Fatal(err)
		}
		for i := range items {
			if !held[i].Exact || held[i].Revision != int64(i+1) {
				t.Errorf("%s: item %d reads as %+v", format, i, held[i])
			}
		}
		for _, h := range held[len(items):] {
			if h.Presence != connectors.Absent {
				t.Errorf("%s: what is not there reads as %+v", format, h)
			}
		}
	}
}

func TestFolderIsPrivate(t *testing.T) {
	raw := fmt.Sprintf(`{"folder":%q}`, t.TempDir())
	c, err := feed.Kind.New(json.RawMessage(raw), connectors.Env{Limits: feed.Kind.Limits})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Probe(t.Context()); err == nil || !strings.Contains(err.Error(), "--allow-private-targets") {
		t.Errorf("probe: %v", err)
	}
	if _, err := c.Push(t.Context(), []connectors.Item{upsert("A", 1, "one")}); err == nil || !connectors.Certain(err) {
		t.Errorf("push: %v", err)
	}
	gone := inFolder(t, filepath.Join(t.TempDir(), "none"), newClock(), nil)
	if err := gone.Probe(t.Context()); err == nil || connectors.AsError(err).Verdict != connectors.Unavailable {
		t.Errorf("probe of no folder: %v", err)
	}
}
