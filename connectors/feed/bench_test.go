package feed_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
