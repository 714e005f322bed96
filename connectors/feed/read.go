package feed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
)

// blockSize is how many entries of the base one block of the index is.
const blockSize = 32

// maxIndex bounds an index, in bytes: some 60 for 32 products.
const maxIndex = 256 << 20

// index says where products are in base and feed, which have them in one order.
type index struct {
	Columns []string `json:"columns,omitempty"`
	Blocks  []block  `json:"blocks"`
	Base    int64    `json:"base"` // where the last block ends
	Feed    int64    `json:"feed"`

	name string
}

// block begins with a SKU, at offsets into base and feed.
type block struct {
	SKU  pim.SKU `json:"s"`
	Base int64   `json:"b"`
	Feed int64   `json:"f"`
}

// find is the block that has the SKU if any has; -1: none can.
func (x *index) find(sku pim.SKU) int {
	return sort.Search(len(x.Blocks), func(i int) bool { return x.Blocks[i].SKU > sku }) - 1
}

// ends are where block i ends.
func (x *index) ends(i int) (base, feed int64) {
	if i+1 < len(x.Blocks) {
		return x.Blocks[i+1].Base, x.Blocks[i+1].Feed
	}
	return x.Base, x.Feed
}

// indexOf reads the manifest's index.
func (c *Connector) indexOf(ctx context.Context, m *manifest) (*index, error) {
	c.mu.Lock()
	x := c.index
	c.mu.Unlock()
	if x != nil && x.name == m.State.Index {
		return x, nil
	}
	b, _, err := readAll(ctx, c.store, m.State.Index, maxIndex)
	if err != nil {
		return nil, err
	}
	x = &index{name: m.State.Index}
	if err := json.Unmarshal(b, x); err != nil {
		return nil, trouble("reading %s: %w", m.State.Index, errBroken)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.index = x
	return x, nil
}

// Readable implements connectors.Reader.
func (c *Connector) Readable() pim.Lanes { return pim.LanesOf(pim.Content) }

// Read looks the items up in the feed as it lies there; see connectors.Reader. Of
// one that somebody has changed all is read, of another only where the items are.
func (c *Connector) Read(ctx context.Context, items []connectors.Item) ([]connectors.Held, error) {
	if len(items) == 0 {
		return nil, nil
	}
	if ctx.Err() != nil {
		return nil, trouble("nothing was read: %w", context.Cause(ctx))
	}
	held, err := c.read(ctx, items)
	if errors.Is(err, errMissing) || errors.Is(err, errChanged) { // a build came to its end meanwhile
		held, err = c.read(ctx, items)
	}
	if err != nil {
		return nil, harmless(err)
	}
	return held, nil
}

// found is what was found of one SKU.
type found struct {
	row fields // nil: the feed has none
	rev int64
}

func (c *Connector) read(ctx context.Context, items []connectors.Item) ([]connectors.Held, error) {
	m, err := c.manifest(ctx)
	if err != nil {
		return nil, err
	}
	// What is not merged yet, of a push whose answer was lost, say, may change anything.
	waiting := false
	err = c.store.list(ctx, segmentName, func(o object) error {
		waiting = waiting || strings.HasPrefix(o.name, segmentName) && m.find(o.name) == nil
		return nil
	})
	if err != nil {
		return nil, err
	}
	there := map[string]*found{}
	for i := range items {
		there[cleaned(string(items[i].SKU))] = &found{}
	}
	x := &index{}
	if m.State.Base != "" {
		if x, err = c.indexOf(ctx, m); err != nil {
			return nil, err
		}
		if err := c.lookUp(ctx, m, x, items, there); err != nil {
			return nil, err
		}
	}
	held := make([]connectors.Held, len(items))
	for i := range items {
		held[i] = c.held(&items[i], there[cleaned(string(items[i].SKU))], c.format(x.Columns))
		held[i].Exact = held[i].Exact && !waiting
	}
	return held, nil
}

// lookUp fills there.
func (c *Connector) lookUp(ctx context.Context, m *manifest, x *index, items []connectors.Item, there map[string]*found) error {
	feed, err := c.store.stat(ctx, m.Feed)
	gone := errors.Is(err, errMissing)
	if err != nil && !gone {
		return err
	}
	intact := !gone && feed.tag == m.State.FeedTag
	take := func(id string, row fields) error {
		if f := there[id]; f != nil {
			f.row = row
		}
		return nil
	}
	f := c.format(x.Columns)
	var blocks []int
	for i := range items {
		if at := x.find(items[i].SKU); at >= 0 {
			blocks = append(blocks, at)
		}
	}
	slices.Sort(blocks)
	for _, at := range slices.Compact(blocks) {
		from := x.Blocks[at]
		baseEnd, feedEnd := x.ends(at)
		lines, err := c.part(ctx, m.State.Base, "", from.Base, baseEnd)
		if err != nil {
			return err
		}
		for line := range bytes.Lines(lines) {
			e, err := parseEntry(line)
			if err != nil {
				return trouble("reading %s: %w", m.State.Base, err)
			}
			if f := there[cleaned(string(e.SKU))]; f != nil {
				f.rev = e.Rev
			}
		}
		if !intact {
			continue
		}
		rows, err := c.part(ctx, m.Feed, m.State.FeedTag, from.Feed, feedEnd)
		if err != nil {
			return err
		}
		if err := f.scan(bytes.NewReader(rows), true, take); err != nil {
			return trouble("reading %s: %w", m.Feed, err)
		}
	}
	if intact || gone {
		return nil
	}
	r, err := open(ctx, c.store, m.Feed)
	if err != nil {
		return err
	}
	if err := f.scan(r, false, take); err != nil {
		return asTrouble("reading "+m.Feed, err)
	}
	return nil
}

// part reads a part of a file. One block has 32 lines of at most maxLine.
func (c *Connector) part(ctx context.Context, name, tag string, from, to int64) ([]byte, error) {
	if to < from || to-from > blockSize*maxLine {
		return nil, trouble("reading %s: the index is damaged", name)
	}
	var b []byte
	for from < to {
		next, _, err := c.store.window(ctx, name, tag, from, min(to-from, windowSize))
		if err != nil {
			return nil, err
		}
		if len(next) == 0 {
			return nil, trouble("reading %s: %w", name, io.ErrUnexpectedEOF)
		}
		b, from = append(b, next...), from+int64(len(next))
	}
	return b, nil
}

// held compares an item with what was found.
func (c *Connector) held(it *connectors.Item, f *found, as format) (h connectors.Held) {
	h.Presence, h.Revision = connectors.Absent, f.rev
	if f.row != nil {
		h.Presence = connectors.Shown
	}
	if it.Action.Tombstone() {
		h.Exact = f.row == nil
		return h
	}
	if f.row == nil {
		return h
	}
	doc, err := connectors.DecodeDocument(it.Document)
	if err != nil {
		h.Err = &connectors.Error{Verdict: connectors.Permanent, Err: fmt.Errorf("reading %s back: %w", it.SKU, err)}
		return h
	}
	cells, _ := c.row(it.SKU, doc)
	want := as.shown(cells)
	values := make(map[string]any, len(doc))
	for name := range doc {
		switch list := f.row[name]; len(list) {
		case 0:
			values[name] = nil
		case 1:
			values[name] = list[0]
		default:
			values[name] = list
		}
	}
	same := func(name string, _, _ any) (alike, exact bool) {
		ok := slices.Equal(want[name], f.row[name])
		return ok, ok
	}
	for name := range doc { // what is empty is left out of the feed
		if len(want[name]) == 0 && len(f.row[name]) == 0 {
			values[name] = connectors.Unsent{}
		}
	}
	h.Document, h.Exact, h.Err = connectors.HeldDocument(it.Document, values, same)
	for name := range f.row { // nothing stands there that a push would take away
		h.Exact = h.Exact && slices.Equal(want[name], f.row[name])
	}
	return h
}
