package feed_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
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

// bench is a folder with a connector to it.
type bench struct {
	t      testing.TB
	folder string
	clock  *clock
	*feed.Connector
}

func inFolder(t testing.TB, folder string, clock *clock, change func(*feed.Config)) *bench {
	t.Helper()
	every := 60
	config := feed.Config{Folder: folder, Title: "Shop", ShopURL: "https://shop.example", BuildEvery: &every}
	if change != nil {
		change(&config)
	}
	return &bench{t: t, folder: folder, clock: clock, Connector: connect(t, config, clock)}
}

func start(t testing.TB) *bench {
	t.Helper()
	return inFolder(t, t.TempDir(), newClock(), nil)
}

func upsert(sku pim.SKU, rev int64, title string) connectors.Item {
	doc := strings.Replace(string(document(pim.Content, sku, 1)), `Kettle \"1\"`, title, 1)
	return connectors.Item{SKU: sku, Lane: pim.Content, Revision: rev, Action: connectors.Upsert, Document: json.RawMessage(doc)}
}

func withdraw(sku pim.SKU, rev int64) connectors.Item {
	return connectors.Item{SKU: sku, Lane: pim.Content, Revision: rev, Action: connectors.Withdraw}
}

// tickets pushes, and gives the tokens.
func (b *bench) tickets(items ...connectors.Item) []string {
	b.t.Helper()
	results, err := b.Push(b.t.Context(), items)
	if err != nil {
		b.t.Fatal(err)
	}
	tokens := make([]string, len(results))
	for i := range results {
		if results[i].Err != nil || results[i].Status != connectors.Pending {
			b.t.Fatalf("item %d: %+v", i, results[i])
		}
		tokens[i] = results[i].Token
	}
	return tokens
}

// polled asks when the time of a build has come.
func (b *bench) polled(tokens ...string) []connectors.Result {
	b.t.Helper()
	b.clock.pass(time.Minute)
	results, err := b.Poll(b.t.Context(), tokens)
	if err != nil {
		b.t.Fatal(err)
	}
	return results
}

func (b *bench) read(name string) string {
	b.t.Helper()
	content, err := os.ReadFile(filepath.Join(b.folder, name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		b.t.Fatal(err)
	}
	return string(content)
}

// manifest is what its readers count on.
type manifest struct {
	Feed     string `json:"feed"`
	Count    int    `json:"count"`
	Bytes    int    `json:"bytes"`
	SHA256   string `json:"sha256"`
	Revision int    `json:"revision"`
	State    struct {
		Base     string `json:"base"`
		Segments []struct {
			Name string `json:"name"`
		} `json:"segments"`
	} `json:"state"`
}

// published is the feed with its manifest, which must agree.
func (b *bench) published() (titles map[string]string, m manifest) {
	b.t.Helper()
	content := b.read("feed.xml")
	if err := json.Unmarshal([]byte(b.read("manifest.json")), &m); err != nil {
		b.t.Fatal(err)
	}
	titles = b.titles(content)
	sum := sha256.Sum256([]byte(content))
	if m.SHA256 != hex.EncodeToString(sum[:]) || m.Bytes != len(content) || m.Count != len(titles) || m.Feed != "feed.xml" {
		b.t.Fatalf("the manifest %+v is not of the feed: %d bytes, %d products", m, len(content), len(titles))
	}
	return titles, m
}

// titles reads a feed, which must be whole.
func (b *bench) titles(content string) map[string]string {
	b.t.Helper()
	var doc struct {
		Items []struct {
			ID    string `xml:"id"`
			Title string `xml:"title"`
		} `xml:"channel>item"`
	}
	if err := xml.Unmarshal([]byte(content), &doc); err != nil {
		b.t.Fatalf("the feed is not whole: %v", err)
	}
	titles := map[string]string{}
	for i, item := range doc.Items {
		if titles[item.ID] = item.Title; i > 0 && doc.Items[i-1].ID >= item.ID {
			b.t.Fatalf("the feed is not in order: %s after %s", item.ID, doc.Items[i-1].ID)
		}
	}
	return titles
}

func (b *bench) shows(want map[string]string) manifest {
	b.t.Helper()
	got, m := b.published()
	if !maps.Equal(got, want) {
		b.t.Fatalf("the feed shows %v, want %v", got, want)
	}
	return m
}

func statuses(results []connectors.Result) (list []string) {
	for i := range results {
		if results[i].Err != nil {
			list = append(list, string(connectors.AsError(results[i].Err).Verdict))
		} else {
			list = append(list, string(results[i].Status))
		}
	}
	return list
}

func (b *bench) says(want string, results []connectors.Result) {
	b.t.Helper()
	if got := strings.Join(statuses(results), " "); got != want {
		b.t.Fatalf("the answers are %s, want %s", got, want)
	}
}

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

// TestCrash ends builds at each change of the target, before and after it.
func TestCrash(t *testing.T) {
	dead := errors.New("killed")
	for at := 0; ; at++ {
		b := start(t)
		b.polled(b.tickets(upsert("A", 1, "one"), upsert("B", 1, "two"))...)
		b.clock.pass(2 * time.Hour)
		tokens := b.tickets(upsert("A", 2, "uno"), upsert("C", 1, "three"), withdraw("B", 2))
		dying := inFolder(t, b.folder, b.clock, nil)
		n := 0
		feed.Interrupt(dying.Connector, func(string, string, bool) error {
			if n++; n > at {
				return dead
			}
			return nil
		})
		b.clock.pass(time.Minute)
		_, err := dying.Poll(t.Context(), tokens)
		b.titles(b.read("feed.xml")) // whole at each moment
		if err != nil && !errors.Is(err, dead) {
			t.Fatal(err)
		}
		b.says("live live accepted", b.polled(tokens...))
		b.shows(map[string]string{"A": "uno", "C": "three"})
		if n <= at {
			if at < 8 {
				t.Fatalf("a build changes the target %d times only", at)
			}
			return
		}
	}
}

// TestCrashAtTheFirst is TestCrash of the very first build.
func TestCrashAtTheFirst(t *testing.T) {
	dead := errors.New("killed")
	for at := 0; ; at++ {
		b := start(t)
		tokens := b.tickets(upsert("A", 1, "one"))
		dying := inFolder(t, b.folder, b.clock, nil)
		n := 0
		feed.Interrupt(dying.Connector, func(string, string, bool) error {
			if n++; n > at {
				return dead
			}
			return nil
		})
		_, err := dying.Poll(t.Context(), tokens)
		if err != nil && !errors.Is(err, dead) {
			t.Fatal(err)
		}
		b.says("live", b.polled(tokens...))
		b.shows(map[string]string{"A": "one"})
		if n <= at {
			return
		}
	}
}

// TestZombie has a holder go on that has lost its lease while it built: its
// successor builds in between.
func TestZombie(t *testing.T) {
	for _, careless := range []bool{false, true} {
		for _, moment := range []string{"sluice-feed/base", "feed.xml", "manifest.json"} {
			t.Run(fmt.Sprint(moment, " careless ", careless), func(t *testing.T) {
				b := start(t)
				b.polled(b.tickets(upsert("A", 1, "one"))...)
				first := b.tickets(upsert("A", 2, "uno"))
				alias := filepath.Join(t.TempDir(), "alias") // another process's: it does not know of our lock
				if err := os.Symlink(b.folder, alias); err != nil {
					t.Fatal(err)
				}
				zombie := inFolder(t, alias, b.clock, nil)
				if careless {
					feed.Careless(zombie.Connector)
				}
				woken := false
				feed.Interrupt(zombie.Connector, func(_, name string, after bool) error {
					if !after && !woken && strings.HasPrefix(name, moment) {
						woken = true
						second := b.tickets(upsert("A", 3, "eins"), upsert("B", 1, "two"))
						b.says("live live live", b.polled(append(second, first...)...))
						b.shows(map[string]string{"A": "eins", "B": "two"})
					}
					return nil
				})
				zombie.says("live", zombie.polled(first...))
				if !woken {
					t.Fatal("the build did not come to that moment")
				}
				if !careless {
					b.shows(map[string]string{"A": "eins", "B": "two"})
				}
				// Whatever the storage let it write, the next build has everything again.
				b.says("live", b.polled(b.tickets(upsert("C", 1, "three"))...))
				b.shows(map[string]string{"A": "eins", "B": "two", "C": "three"})
			})
		}
	}
}

func TestWhatWasPublishedIsNotLost(t *testing.T) {
	for _, c := range []struct{ name, lost, says string }{
		{"manifest", "manifest.json", "without its manifest.json"},
		{"base", "sluice-feed/base-*", "is gone"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := start(t)
			b.polled(b.tickets(upsert("A", 1, "one"))...)
			paths, err := filepath.Glob(filepath.Join(b.folder, c.lost))
			if err != nil || len(paths) != 1 {
				t.Fatalf("%q, %v", paths, err)
			}
			if err := os.Remove(paths[0]); err != nil {
				t.Fatal(err)
			}
			before := b.read("feed.xml")
			tokens := b.tickets(upsert("B", 1, "two"))
			b.clock.pass(time.Minute)
			_, err = b.Poll(t.Context(), tokens)
			if err == nil || !strings.Contains(err.Error(), c.says) || connectors.AsError(err).Verdict != connectors.Unavailable || !connectors.Certain(err) {
				t.Errorf("polled: %v", err)
			}
			if b.read("feed.xml") != before {
				t.Error("the feed was written over")
			}
			// As the error says.
			for _, name := range []string{"manifest.json", "feed.xml"} {
				if err := os.Remove(filepath.Join(b.folder, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
					t.Fatal(err)
				}
			}
			b.polled(tokens...)
			if titles, _ := b.published(); titles["B"] != "two" {
				t.Errorf("begun anew: %v", titles)
			}
		})
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
