package feed_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/connectortest"
	"github.com/sluicehub/sluice/connectors/feed"
	"github.com/sluicehub/sluice/pim"
)

const (
	accessKey = "AKFEED"
	secretKey = "hush-5e1f0c77/not+real"
	bucket    = "feeds"
)

// clock goes only when it is told to.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Now()} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(time.Microsecond)
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// prompt polls at once for what is pending, so that the suite sees a target that
// answers at once.
type prompt struct {
	*feed.Connector
	clock *clock
	later func() bool
	turn  *sync.Mutex // of the two connectors that build here
}

func (p *prompt) Push(ctx context.Context, items []connectors.Item) ([]connectors.Result, error) {
	results, err := p.Connector.Push(ctx, items)
	if err != nil || p.later() {
		return results, err
	}
	var tokens []string
	for i := range results {
		if results[i].Status == connectors.Pending {
			tokens = append(tokens, results[i].Token)
		}
	}
	p.turn.Lock()
	defer p.turn.Unlock()
	p.clock.pass(time.Minute)
	polled, err := p.Poll(ctx, tokens)
	if err != nil {
		return nil, err
	}
	for i := range results {
		if results[i].Status == connectors.Pending {
			results[i], polled = polled[0], polled[1:]
		}
	}
	return results, nil
}

func config(url, format string) feed.Config {
	every := 60
	return feed.Config{
		Endpoint: url, Bucket: bucket, Prefix: "shop/de", PathStyle: true, AccessKey: accessKey, SecretKey: secretKey,
		Format: format, Title: "Shop", ShopURL: "https://shop.example", BuildEvery: &every,
	}
}

func connect(t testing.TB, config feed.Config, clock *clock) *feed.Connector {
	t.Helper()
	return connectOf(t, "", config, clock)
}

// connectOf makes the connector of a channel.
func connectOf(t testing.TB, channel pim.ChannelCode, config feed.Config, clock *clock) *feed.Connector {
	t.Helper()
	raw, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	limits := feed.Kind.Limits
	limits.Batch = 5
	c, err := feed.Kind.New(raw, connectors.Env{Channel: channel, AllowPrivate: true, Version: "test", Limits: limits, Wire: connectortest.Listen(t, nil, secretKey)})
	if err != nil {
		t.Fatal(err)
	}
	feed.SetClock(c, clock.now)
	return c.(*feed.Connector)
}

// document is one that the feed takes.
func document(_ pim.Lane, sku pim.SKU, version int) json.RawMessage {
	return fmt.Appendf(nil, `{"additional_image_link":["https://img.example/%d/a.jpg","https://img.example/b.jpg"],"availability":"in_stock","description":"of <%s> & more","image_link":"https://img.example/%d.jpg","link":"https://shop.example/p?a=1&b=2","price":"19.%02d EUR","shipping":[{"country":"DE","price":"4.90 EUR"}],"title":"Kettle \"%d\""}`,
		version, sku, version, version, version)
}

// mutated is one that no feed can show.
func mutated(doc json.RawMessage) json.RawMessage {
	return json.RawMessage(strings.Replace(string(doc), `"title":`, `"No Name":`, 1))
}

func harness(format string) connectortest.Harness {
	kind := *feed.Kind
	kind.Limits.Batch = 5
	var mu sync.Mutex
	rejected := map[pim.SKU]bool{}
	return connectortest.Harness{Kind: &kind, Prompt: true, Document: func(lane pim.Lane, sku pim.SKU, version int) json.RawMessage {
		mu.Lock()
		defer mu.Unlock()
		if rejected[sku] {
			return mutated(document(lane, sku, version))
		}
		return document(lane, sku, version)
	}, New: func(t *testing.T) connectortest.Target {
		clear(rejected)
		backend := s3mem.New()
		if err := backend.CreateBucket(bucket); err != nil {
			t.Fatal(err)
		}
		storage := gofakes3.New(backend, gofakes3.WithTimeSkewLimit(0)).Server()
		faulty := connectortest.Serve(t, guarded(storage))
		clean := connectortest.Serve(t, storage)
		clock := newClock()
		later := false
		var building sync.Mutex
		c := &prompt{Connector: connect(t, config(faulty.URL(), format), clock), clock: clock, later: func() bool { return later }, turn: &building}
		keeper := connect(t, config(clean.URL(), format), clock)
		build := func() {
			t.Helper()
			building.Lock()
			defer building.Unlock()
			clock.pass(time.Minute)
			if _, err := keeper.Poll(t.Context(), []string{"none.0"}); err != nil {
				t.Error(err)
			}
		}
		file := "shop/de/feed." + format
		get := func() string {
			resp, err := http.Get(clean.URL() + "/" + bucket + "/" + file)
			if err != nil {
				t.Error(err)
				return ""
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != http.StatusOK {
				return ""
			}
			return string(body)
		}
		rows := func() map[string]string { return rowsOf(get(), format) }
		return connectortest.Target{
			Connector: c,
			Secrets:   []string{secretKey},
			Held: func(sku pim.SKU, _ pim.Lane) string {
				if !later {
					build()
				}
				return rows()[string(sku)]
			},
			Records: func() int {
				if !later {
					build()
				}
				return len(rows())
			},
			Calls:       faulty.Calls,
			WaitHanging: faulty.WaitHanging,
			Violations:  func() []string { return nil },
			Heal: func() {
				clear(rejected)
				faulty.Heal()
			},
			Refuse: faulty.Refuse, Lose: faulty.Lose, Fail: faulty.Fail, Garble: faulty.Garble, Endless: faulty.Endless, Hang: faulty.Hang,
			Unauthorize: faulty.Unauthorize, Throttle: faulty.Throttle,
			Reject: func(sku pim.SKU) {
				mu.Lock()
				defer mu.Unlock()
				rejected[sku] = true
			},
			Versioned: func() {},
			Async: func() {
				build()
				later = true
			},
			Process: build,
			Alter: func(sku pim.SKU, _ pim.Lane) {
				row := rows()[string(sku)]
				changed := strings.Replace(get(), row, strings.Replace(row, "Kettle", "Pot", 1), 1)
				upload(t, backend, file, changed)
			},
			Vanish: func(sku pim.SKU) {
				if _, err := keeper.Push(t.Context(), []connectors.Item{{SKU: sku, Lane: pim.Content, Revision: 1 << 40, Action: connectors.Withdraw}}); err != nil {
					t.Error(err)
				}
				build()
			},
		}
	}}
}

// guarded refuses what is not signed with our key's name: gofakes3 asks for none.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Authorization"), "Credential="+accessKey+"/") {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func upload(t *testing.T, backend gofakes3.Backend, file, content string) {
	t.Helper()
	if _, err := backend.PutObject(bucket, file, map[string]string{}, bytes.NewReader([]byte(content)), int64(len(content)), nil); err != nil {
		t.Fatal(err)
	}
}

// rowsOf cuts a feed into its rows by their ids, by nothing but its text.
func rowsOf(content, format string) map[string]string {
	rows := map[string]string{}
	if format == "tsv" {
		for _, line := range strings.Split(content, "\n")[min(1, strings.Count(content, "\n")):] {
			if id, _, ok := strings.Cut(line, "\t"); ok {
				rows[id] = line
			}
		}
		return rows
	}
	for _, item := range strings.Split(content, "<item>")[1:] {
		item, _, _ = strings.Cut(item, "</item>")
		_, id, _ := strings.Cut(item, "<g:id>")
		id, _, _ = strings.Cut(id, "</g:id>")
		rows[id] = item
	}
	return rows
}

func TestConformanceXML(t *testing.T) { connectortest.Run(t, harness("xml")) }

func TestConformanceTSV(t *testing.T) { connectortest.Run(t, harness("tsv")) }
