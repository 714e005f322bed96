package feed_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
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

// What is wrong with a folder is told before anything is sent there.
func TestFolderDoubts(t *testing.T) {
	dir := t.TempDir()
	file, closed := filepath.Join(dir, "file"), filepath.Join(dir, "closed")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Mkdir(closed, 0o500)); err != nil {
		t.Fatal(err)
	}
	type doubted struct {
		config  string
		private bool
		want    string
	}
	cases := []doubted{
		{fmt.Sprintf(`{"folder":%q}`, dir), true, ""},
		{fmt.Sprintf(`{"folder":%q}`, dir), false, "--allow-private-targets"},
		{fmt.Sprintf(`{"folder":%q}`, file), true, "but a file"},
		{fmt.Sprintf(`{"folder":%q}`, filepath.Join(dir, "none")), true, "is not there"},
		{`{"bucket":"b","access_key":"k"}`, true, ""},
	}
	if os.Geteuid() != 0 { // who may write anywhere
		cases = append(cases, doubted{fmt.Sprintf(`{"folder":%q}`, closed), true, "cannot be written"})
		if err := inFolder(t, closed, newClock(), nil).Probe(t.Context()); err == nil || !connectors.Certain(err) {
			t.Errorf("probe of a folder that cannot be written: %v", err)
		}
	}
	for _, c := range cases {
		got := feed.Kind.Doubts(json.RawMessage(c.config), c.private)
		if (c.want == "") != (len(got) == 0) || !strings.Contains(strings.Join(got, " "), c.want) {
			t.Errorf("%s, private %t: %q, want %q", c.config, c.private, got, c.want)
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
