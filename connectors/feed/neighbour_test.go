package feed_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/connectortest"
	"github.com/sluicehub/sluice/connectors/feed"
	"github.com/sluicehub/sluice/pim"
)

// What lies in a bucket beside a feed's own files stays, also where its name begins
// as theirs do: another feed, say, or somebody's copy.
func TestNeighboursStay(t *testing.T) {
	backend := s3mem.New()
	if err := backend.CreateBucket(bucket); err != nil {
		t.Fatal(err)
	}
	server := connectortest.Serve(t, gofakes3.New(backend, gofakes3.WithTimeSkewLimit(0)).Server())
	clock := newClock()
	in := func(prefix string) *bench {
		c := config(server.URL(), "xml")
		c.Prefix = prefix
		return &bench{t: t, clock: clock, Connector: connect(t, c, clock)}
	}
	upload(t, backend, "shop/sluice-feed-copy/base-1", "mine")
	near, own := in("shop/sluice-feed-at"), in("shop")
	near.says("live", near.polled(near.tickets(upsert("A", 1, "one"))...))
	for _, sku := range []pim.SKU{"X", "Y"} {
		clock.pass(3 * time.Hour)
		own.says("live", own.polled(own.tickets(upsert(sku, 1, "other"))...))
	}
	near.says("live", near.polled(near.tickets(upsert("B", 1, "two"))...))
	held, err := near.Read(t.Context(), []connectors.Item{upsert("A", 1, "one"), upsert("B", 1, "two")})
	if err != nil || !held[0].Exact || !held[1].Exact {
		t.Errorf("the neighbour: %+v, %v", held, err)
	}
	if _, err := backend.HeadObject(bucket, "shop/sluice-feed-copy/base-1"); err != nil {
		t.Errorf("a copy: %v", err)
	}
}

// A folder or prefix is one channel's: of another nothing comes into its feed, and it is
// told so, by its first push already. One from before that was noted belongs to whoever
// comes first.
func TestAPlaceIsOneChannels(t *testing.T) {
	t.Parallel()
	clock, old := newClock(), start(t)
	old.says("live", old.polled(old.tickets(upsert("OLD", 1, "old"))...))
	for name, folder := range map[string]string{"a new place": t.TempDir(), "an old one": old.folder} {
		of := func(channel pim.ChannelCode) *bench {
			config := feed.Config{Folder: folder}
			return &bench{t: t, folder: folder, clock: clock, Connector: connectOf(t, channel, config, clock)}
		}
		first, second := of("first"), of("second")
		tokens := first.tickets(upsert("A", 1, "one"))
		for what, do := range map[string]func() error{
			"push":  func() error { _, err := second.Push(t.Context(), []connectors.Item{upsert("A", 2, "two")}); return err },
			"poll":  func() error { _, err := second.Poll(t.Context(), tokens); return err },
			"read":  func() error { _, err := second.Read(t.Context(), []connectors.Item{upsert("A", 1, "one")}); return err },
			"probe": func() error { return second.Probe(t.Context()) },
		} {
			if err := do(); err == nil || !strings.Contains(err.Error(), "where channel first keeps its feed") || connectors.AsError(err).Verdict != connectors.Unavailable || !connectors.Certain(err) {
				t.Errorf("%s: %s by another channel: %v", name, what, err)
			}
		}
		clock.pass(time.Hour)
		first.says("live", first.polled(tokens...))
		again := of("first") // after a restart
		clock.pass(time.Hour)
		again.says("live", again.polled(again.tickets(upsert("A", 2, "uno"))...))
		if feed := again.read("feed.xml"); !strings.Contains(feed, "uno") || strings.Contains(feed, "two") || strings.Contains(feed, "old") != (folder == old.folder) {
			t.Errorf("%s:\n%s", name, feed)
		}
		if err := again.Probe(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What a process that was killed left half-written goes with a later build.
func TestLeftoversGo(t *testing.T) {
	b := start(t)
	b.polled(b.tickets(upsert("A", 1, "one"))...)
	left := filepath.Join(b.folder, ".sluice-tmp-OF-A-FEED")
	other := filepath.Join(b.folder, "index.html")
	for _, name := range []string{left, other} {
		if err := os.WriteFile(name, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b.polled(b.tickets(upsert("A", 2, "uno"))...)
	if _, err := os.Stat(left); err != nil {
		t.Errorf("what may be under way: %v", err)
	}
	b.clock.pass(3 * time.Hour)
	b.polled(b.tickets(upsert("A", 3, "uno"))...)
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("what nobody writes any more: %v", err)
	}
	if _, err := os.Stat(other); err != nil {
		t.Errorf("somebody else's: %v", err)
	}
}

// Temporary files have no name while they are used, so that no crash leaves any.
func TestTemporaryFilesHaveNoName(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	b := start(t)
	feed.SetMemory(b.Connector, 1) // runs on disk, too
	looks := 0
	feed.Interrupt(b.Connector, func(string, string, bool) error {
		looks++
		if names, err := os.ReadDir(temp); err != nil || len(names) > 0 {
			t.Errorf("in the folder for temporary files: %v, %v", names, err)
		}
		return nil
	})
	b.says("live live", b.polled(b.tickets(upsert("A", 1, "one"), upsert("B", 1, "two"))...))
	if looks < 8 {
		t.Errorf("only %d looks", looks)
	}
}

// A comma parts the values of an attribute that may have several, so one within a
// value is quoted also where there is but one
// (https://support.google.com/merchants/answer/14998273).
func TestCommasOfOneValue(t *testing.T) {
	b := inFolder(t, t.TempDir(), newClock(), func(c *feed.Config) { c.Format = "tsv" })
	doc := `{"color":"red, blue","product_highlight":["warm, soft"],"product_type":"Home, Garden > Kettles","shipping":[{"country":"DE","price":"4.90 EUR","service":"slow, safe"}],"title":"A, B"}`
	b.polled(b.tickets(connectors.Item{SKU: "A", Lane: pim.Content, Revision: 1, Action: connectors.Upsert, Document: json.RawMessage(doc)})...)
	want := "id\tcolor\tproduct_highlight\tproduct_type\tshipping\ttitle\n" +
		"A\tred, blue\t\"warm, soft\"\t\"Home, Garden > Kettles\"\t\"DE::slow, safe:4.90 EUR\"\tA, B\n"
	if got := b.read("feed.tsv"); got != want {
		t.Errorf("%s\nwant\n%s", strings.ReplaceAll(got, "\t", "|"), strings.ReplaceAll(want, "\t", "|"))
	}
}

// What stands in the place of the feed may be anything: no more of it than a row is
// taken into memory.
func TestNoFeedAtAll(t *testing.T) {
	for _, format := range []string{"xml", "tsv"} {
		b := inFolder(t, t.TempDir(), newClock(), func(c *feed.Config) { c.Format = format })
		item := upsert("A", 1, "one")
		b.polled(b.tickets(item)...)
		f, err := os.Create(filepath.Join(b.folder, "feed."+format))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for _, part := range []string{"id\ttitle\n<rss><channel><item><g:id>A</g:id><g:title>", strings.Repeat("x", 18<<20)} {
			if _, err := f.WriteString(part); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := b.Read(t.Context(), []connectors.Item{item}); err == nil || connectors.AsError(err).Verdict != connectors.Unavailable || !strings.Contains(err.Error(), "reading feed."+format) ||
			!strings.Contains(err.Error(), "damaged") && !strings.Contains(err.Error(), "too long") {
			t.Errorf("%s: %v", format, err)
		}
	}
}
