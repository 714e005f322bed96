package feed

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/sluicehub/sluice/connectors"
)

// building has one build of a place at a time run in this process, whichever
// connectors are made for it.
var building connectors.Locks[string]

// errForeign keeps a feed that we know nothing of from being written over by one
// that has next to nothing in it.
func errForeign(what, file string) error {
	return trouble("%s: products that were published before would be lost. Bring it back; or remove %s and %s, and push all products anew with a resync", what, file, manifestName)
}

// build merges what is new and publishes what it comes to; see the package. It
// reports false where somebody else has just built, and it is not time again.
func (c *Connector) build(ctx context.Context) (*manifest, bool, error) {
	unlock, err := building.Lock(ctx, c.place())
	if err != nil {
		return nil, false, err
	}
	defer unlock()
	was, there, err := c.begin(ctx)
	if err != nil {
		return nil, false, err
	}
	now := c.now().UTC()
	if c.waitFrom(was.State.At) > soonest {
		return was, false, nil
	}
	b := &build{Connector: c, ctx: ctx, was: was, there: there}
	b.m = *was
	b.m.State.At = now
	defer b.close()
	if err := b.run(); err != nil {
		return nil, false, err
	}
	if err := c.swap(ctx, &b.m, was.tag); err != nil {
		return nil, false, err
	}
	b.sweep()
	return &b.m, true, nil
}

// build is one run.
type build struct {
	*Connector
	ctx   context.Context
	was   *manifest
	there object // the feed as it lies there
	m     manifest

	fresh []done   // segments that are merged now
	old   []string // what nobody needs any more
	sort  sorter
	temps []*os.File
}

func (b *build) close() {
	b.sort.close()
	for _, f := range b.temps {
		letGo(f)
	}
}

func (b *build) temp() (*os.File, error) {
	f, err := temporary("")
	if err != nil {
		return nil, trouble("making room for the feed: %w", err)
	}
	b.temps = append(b.temps, f)
	return f, nil
}

// run does all but the swap.
func (b *build) run() error {
	if err := b.look(); err != nil {
		return err
	}
	intact := b.there.tag != "" && b.there.tag == b.was.State.FeedTag
	layout := b.layout()
	if len(b.fresh) == 0 && intact && layout == b.was.State.Layout {
		return nil
	}
	if err := b.collect(); err != nil {
		return err
	}
	base, columns, changed, err := b.merge()
	if err != nil {
		return err
	}
	if !changed && intact && layout == b.was.State.Layout {
		return nil
	}
	b.m.State.Build++
	return b.publish(base, columns, intact)
}

// look finds the segments that are not merged yet, and what can go.
func (b *build) look() error {
	b.m.State.Segments = nil
	now := b.m.State.At
	err := b.store.list(b.ctx, stateDir+"/", func(o object) error {
		merged := b.was.find(o.name)
		switch {
		case !ours(o.name): // whatever a store lists beside: what is old is removed
		case merged != nil && now.Sub(merged.At) > keepMerged:
			b.old = append(b.old, o.name)
		case merged != nil:
			b.m.State.Segments = append(b.m.State.Segments, *merged)
		case strings.HasPrefix(o.name, segmentName):
			b.fresh = append(b.fresh, done{Name: o.name, At: now})
		case o.name != b.was.State.Base && o.name != b.was.State.Index && now.Sub(o.at) > keepMerged:
			b.old = append(b.old, o.name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(b.fresh, func(x, y done) int { return strings.Compare(x.Name, y.Name) })
	return nil
}

// ours reports the names that a build may remove.
func ours(name string) bool {
	return strings.HasPrefix(name, stateDir+"/") || strings.HasPrefix(name, tempPrefix)
}

// collect reads the new segments into order.
func (b *build) collect() error {
	b.sort.limit = b.memory
	for i := range b.fresh {
		d := &b.fresh[i]
		r, err := open(b.ctx, b.store, d.Name)
		if err != nil {
			return err
		}
		seq := strings.TrimPrefix(d.Name, segmentName)
		l := readLines(r)
		for {
			e, err := l.next()
			if errors.Is(err, io.EOF) {
				break
			}
			if errors.Is(err, errBroken) || errors.Is(err, bufio.ErrTooLong) {
				return trouble("%s: %w; nothing is built until it is removed, and its products are pushed anew", d.Name, err)
			}
			if err != nil {
				return err
			}
			if len(d.Said) == maxItems {
				return trouble("%s: it has more items than a push; nothing is built until it is removed", d.Name)
			}
			e.Seq, e.Segment, e.Item = seq, i, len(d.Said)
			d.Said = append(d.Said, isUnsaid)
			if err := b.sort.add(e); err != nil {
				return trouble("building the feed: %w", err)
			}
		}
	}
	return nil
}

// oldBase reads the base of the manifest; nothing where there is none yet.
func (b *build) oldBase() (source, error) {
	if b.was.State.Base == "" {
		return &kept{}, nil
	}
	r, err := open(b.ctx, b.store, b.was.State.Base)
	if errors.Is(err, errMissing) {
		return nil, errForeign("the base that "+manifestName+" names is gone", b.File)
	}
	if err != nil {
		return nil, err
	}
	l := readLines(r)
	if head, err := l.line(); err != nil || string(head)+"\n" != baseHead {
		if err == nil || errors.Is(err, io.EOF) {
			err = errBroken
		}
		return nil, trouble("reading %s: %w", b.was.State.Base, err)
	}
	return l, nil
}

// merge writes the new base. changed reports whether it differs from the one
// before; columns are those of all rows.
func (b *build) merge() (base *os.File, columns []string, changed bool, err error) {
	base, err = b.temp()
	if err != nil {
		return nil, nil, false, err
	}
	from, err := b.oldBase()
	if err != nil {
		return nil, nil, false, err
	}
	news, err := b.sort.sorted()
	if err != nil {
		return nil, nil, false, trouble("building the feed: %w", err)
	}
	w := bufio.NewWriterSize(base, 256<<10)
	if _, err := w.WriteString(baseHead); err != nil {
		return nil, nil, false, trouble("building the feed: %w", err)
	}
	seen := map[string]bool{}
	changed, err = b.join(from, news, func(e *entry) error {
		if e.Gone == 0 && b.Format == formatTSV {
			doc, err := e.object()
			if err != nil {
				return err
			}
			cells, _ := b.row(e.SKU, doc)
			for _, c := range cells {
				seen[c.name] = true
			}
		}
		return writeEntry(w, e)
	})
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		return nil, nil, false, asTrouble("building the feed", err)
	}
	for name := range seen {
		columns = append(columns, name)
	}
	slices.SortFunc(columns, byColumn)
	b.m.State.Segments = append(b.m.State.Segments, b.fresh...)
	return base, columns, changed, nil
}

// asTrouble is err as one of the contract's.
func asTrouble(what string, err error) error {
	if errors.Is(err, errMissing) || errors.Is(err, errChanged) {
		return err
	}
	if e := (*connectors.Error)(nil); errors.As(err, &e) {
		return err
	}
	return trouble("%s: %w", what, err)
}

// join gives out every product's last entry, in order, and notes what became of
// the new ones. It reports whether anything is not as it was.
func (b *build) join(from, news source, out func(*entry) error) (changed bool, err error) {
	held, err := orEnd(from.next())
	if err != nil {
		return false, err
	}
	add, err := orEnd(news.next())
	if err != nil {
		return false, err
	}
	var last string
	for held != nil || add != nil {
		var at *entry // what the SKU comes to
		if held != nil && (add == nil || held.SKU <= add.SKU) {
			if string(held.SKU) <= last && last != "" {
				return false, fmt.Errorf("the base is not in order: %w", errBroken)
			}
			at = held
			if held, err = orEnd(from.next()); err != nil {
				return false, err
			}
		}
		for add != nil && (at == nil || add.SKU == at.SKU) {
			before := at
			at = b.apply(at, add)
			changed = changed || at != before
			if add, err = orEnd(news.next()); err != nil {
				return false, err
			}
		}
		last = string(at.SKU)
		if at.Gone != 0 && b.m.State.At.Unix()-at.Gone > int64(keepGone.Seconds()) {
			changed = true
			continue
		}
		at.Segment, at.Item = 0, 0
		if err := out(at); err != nil {
			return false, err
		}
	}
	return changed, nil
}

func orEnd(e *entry, err error) (*entry, error) {
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	return e, err
}

// apply is what a SKU comes to when something new is said of it.
func (b *build) apply(held, add *entry) *entry {
	told := &b.fresh[add.Segment].Said[add.Item]
	*told = isTaken
	switch {
	case held != nil && add.Rev < held.Rev:
		*told = isLower
		return held
	case held != nil && add.Rev == held.Rev && add.Seq < held.Seq:
		return held
	case add.Gone == 0:
		*told = isLive
	}
	if held != nil && add.Rev == held.Rev && add.Seq == held.Seq { // merged before, by a build that did not come to its end
		return held
	}
	return add
}

// publish writes base, index and, where it differs, feed.
func (b *build) publish(base *os.File, columns []string, intact bool) error {
	feed, err := b.temp()
	if err != nil {
		return err
	}
	written, err := b.write(base, feed, columns)
	if err != nil {
		return asTrouble("writing the feed", err)
	}
	st := &b.m.State
	name := func(kind string) string {
		return fmt.Sprintf("%s/%s-%08d-%s", stateDir, kind, st.Build, rand.Text()[:12])
	}
	indexFile, err := b.temp()
	if err != nil {
		return err
	}
	if err := json.NewEncoder(indexFile).Encode(written.index); err != nil {
		return trouble("writing the index: %w", err)
	}
	st.Base, st.Index, st.Layout = name("base"), name("index"), b.layout()
	if _, err := b.store.put(b.ctx, st.Base, base, over("")); err != nil {
		return err
	}
	if _, err := b.store.put(b.ctx, st.Index, indexFile, over("")); err != nil {
		return err
	}
	if intact && written.sum == b.was.SHA256 {
		return nil
	}
	if st.FeedTag, err = b.store.put(b.ctx, b.File, feed, over(b.there.tag)); err != nil {
		return err
	}
	b.m.Feed, b.m.Format, b.m.Count, b.m.Bytes, b.m.SHA256 = b.File, b.Format, written.count, written.bytes, written.sum
	b.m.BuiltAt = st.At
	if written.sum != b.was.SHA256 {
		b.m.Revision++
	}
	return nil
}

// layout stands for the settings that the feed shows beside its products.
func (b *build) layout() string {
	sum := sha256.Sum256([]byte(strings.Join([]string{"1", b.Format, b.File, b.Title, b.ShopURL, b.Link}, "\x00")))
	return hex.EncodeToString(sum[:8])
}

// sweep removes what nobody needs any more. What it cannot remove now the next
// build will.
func (b *build) sweep() {
	for _, name := range b.old {
		if b.store.remove(b.ctx, name) != nil {
			return
		}
	}
}

// writtenFeed is what write has written.
type writtenFeed struct {
	count int
	bytes int64
	sum   string
	index *index
}

// write makes the feed of a base.
func (b *build) write(base, to *os.File, columns []string) (*writtenFeed, error) {
	if _, err := base.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	sum := sha256.New()
	buffered := bufio.NewWriterSize(io.MultiWriter(to, sum), 256<<10)
	out := &counted{w: buffered}
	f := b.format(columns)
	done := &writtenFeed{index: &index{Columns: columns}}
	l := readLines(base)
	if _, err := l.line(); err != nil {
		return nil, err
	}
	at := int64(len(baseHead)) // in the base
	if _, err := out.Write(f.head()); err != nil {
		return nil, err
	}
	for n := 0; ; n++ {
		if n%256 == 0 && b.ctx.Err() != nil {
			return nil, context.Cause(b.ctx)
		}
		line, err := l.line()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		e, err := parseEntry(line)
		if err != nil {
			return nil, err
		}
		if n%blockSize == 0 {
			done.index.Blocks = append(done.index.Blocks, block{SKU: e.SKU, Base: at, Feed: out.n})
		}
		at += int64(len(line)) + 1
		if e.Gone != 0 {
			continue
		}
		doc, err := e.object()
		if err != nil {
			return nil, err
		}
		cells, _ := b.row(e.SKU, doc)
		if _, err := out.Write(f.row(cells)); err != nil {
			return nil, err
		}
		done.count++
	}
	done.index.Base, done.index.Feed = at, out.n
	if _, err := out.Write(f.foot()); err != nil {
		return nil, err
	}
	if err := buffered.Flush(); err != nil {
		return nil, err
	}
	done.bytes, done.sum = out.n, hex.EncodeToString(sum.Sum(nil))
	return done, nil
}

// counted counts what is written.
type counted struct {
	w io.Writer
	n int64
}

// Write implements io.Writer.
func (c *counted) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}
