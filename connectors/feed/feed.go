// Package feed is the connector to a product feed file by Google's product data
// specification (https://support.google.com/merchants/answer/7052112), as RSS 2.0
// or as tab-separated text, in a folder or in storage that speaks S3. The file is
// the target: who fetches it, and what becomes of it there, is not known here.
// docs/connectors/feed.md describes it for people, and decision 024 its form.
//
// # What lies where
//
//	feed.xml                     what readers fetch, replaced as a whole
//	manifest.json                what the feed is made of; swapped last
//	sluice-feed/seg-<time>-…     one push each, never changed
//	sluice-feed/base-<build>-…   every product's last document, sorted by SKU
//	sluice-feed/index-<build>-…  where in base and feed a SKU is
//
// # How a push becomes a feed
//
// Push writes its items as one segment and answers pending. Poll, when the time
// between two builds is over, merges the segments that the manifest does not
// name into a new base and a new feed, and swaps the manifest. An item counts if
// its revision is not lower than what the base holds of its SKU; of two with the
// same revision that of the later segment. So merging twice is merging once, in
// any order, and a build that dies leaves nothing behind but files that nobody
// names: the next begins anew from the manifest.
//
// One build runs at a time, since the content lane has one lease and this process
// one lock. A holder that has lost its lease without knowing cannot undo the work
// of its successor: feed and manifest are only written over what the build began
// with. Where a storage does not keep that condition, its segments do: they stay
// for an hour after they were merged, and a manifest that does not name one has it
// merged again.
package feed

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/httpx"
	"github.com/sluicehub/sluice/pim"
)

// Kind is the feed. It has one lane: a row of the file is one document of texts,
// price, stock and pictures, and is published as a whole. A build may take
// minutes, which Limits.Timeout leaves room for.
var Kind = &connectors.Kind{
	Name:        "feed",
	Title:       "Product feed (Google Merchant, XML or TSV)",
	Lanes:       []pim.Lane{pim.Content},
	Config:      &Config{},
	Makes:       []connectors.Connector{(*Connector)(nil)},
	Limits:      connectors.Limits{Batch: 500, Concurrency: 4, Timeout: 8 * time.Minute, Settle: 2 * time.Minute},
	MaxBatch:    2000,
	Versions:    true,
	Withdrawals: []pim.Withdrawal{pim.WithdrawDelete},
	Doubts:      doubts,
	Mapping: connectors.Mapping{Content: map[string]string{
		"title":                   "firstOf([values.name, sku]).truncate(150)",
		"description":             "firstOf([stripTags(values.description), values.name, sku]).truncate(5000)",
		"link":                    "firstOf([values.link, values.url])",
		"image_link":              "firstOf(media)",
		"additional_image_link":   "media.filter(m, m != firstOf(media))",
		"availability":            "firstOf([stock.available, 0]) > 0 ? 'in_stock' : 'out_of_stock'",
		"price":                   "price.amount + ' ' + price.currency",
		"brand":                   "firstOf([values.brand, values.manufacturer])",
		"gtin":                    "firstOf([values.gtin, values.ean])",
		"mpn":                     "firstOf([values.mpn])",
		"condition":               "'new'",
		"google_product_category": "firstOf(targetCategories)",
		"product_type":            "firstOf(categoryPaths.map(c, c.path.join(' > ')))",
		"item_group_id":           "firstOf([parent])",
		"color":                   "firstOf([values.color, values.colour])",
		"size":                    "firstOf([values.size])",
	}},
	New: func(config json.RawMessage, env connectors.Env) (connectors.Connector, error) {
		s, err := parse(config)
		if err != nil {
			return nil, err
		}
		c := &Connector{settings: s, owner: string(env.Channel), memory: runBytes, now: time.Now}
		if s.Folder != "" {
			c.store = &folder{path: s.Folder, allowed: env.AllowPrivate}
			return c, nil
		}
		c.store = &bucket{settings: s, client: httpx.New(httpx.Options{
			Timeout:      env.Limits.Timeout,
			MaxBody:      maxAnswer,
			Version:      env.Version,
			AllowPrivate: env.AllowPrivate,
			Wire:         env.Wire,
			Secrets:      []string{s.SecretKey},
		})}
		return c, nil
	},
}

// Connector keeps one feed. Make it with Kind.New.
type Connector struct {
	*settings
	store  store
	owner  string // the channel's code; "": nobody's, and so whoever comes first
	memory int    // how much of what is new is in memory at once, in bytes
	now    func() time.Time

	mu    sync.Mutex
	built time.Time // of the manifest that was read last
	mine  bool      // that one says that the feed is this channel's
	index *index    // that was read last
}

// The powers of the connector.
var (
	_ connectors.Poller      = (*Connector)(nil)
	_ connectors.Reader      = (*Connector)(nil)
	_ connectors.Preflighter = (*Connector)(nil)
)

// Probe asks the target for its first name, and whose feed lies there.
func (c *Connector) Probe(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return &connectors.Error{Verdict: connectors.Unavailable, Err: err}
	}
	err := c.store.check(ctx)
	if err == nil {
		_, err = c.manifest(ctx)
	}
	return harmless(err)
}
