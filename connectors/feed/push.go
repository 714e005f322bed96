package feed

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
)

// Push writes the items as one segment; see the package. What the feed cannot
// show is refused at once.
func (c *Connector) Push(ctx context.Context, items []connectors.Item) ([]connectors.Result, error) {
	if len(items) == 0 {
		return nil, nil
	}
	if len(items) > maxItems {
		return nil, &connectors.Error{Verdict: connectors.Permanent, Err: fmt.Errorf("%d items in one call, the limit is %d", len(items), maxItems)}
	}
	if err := c.ours(ctx); err != nil {
		return nil, harmless(err)
	}
	// The name is that of the beginning: what is late is taken for what it is.
	name := fmt.Sprintf("%s%016x-%s", segmentName, c.now().UnixNano(), rand.Text()[:12])
	results := make([]connectors.Result, len(items))
	f, err := temporary("")
	if err != nil {
		return nil, trouble("writing a segment: %w", err)
	}
	defer letGo(f)
	w := bufio.NewWriter(f)
	written := 0
	for i := range items {
		e, err := c.entry(&items[i])
		if err != nil {
			results[i].Err = err
			continue
		}
		if err := writeEntry(w, e); err != nil {
			return nil, trouble("writing a segment: %w", err)
		}
		results[i] = connectors.Result{
			Status: connectors.Pending, Token: strings.TrimPrefix(name, segmentName) + "." + strconv.Itoa(written), After: c.wait(),
		}
		written++
	}
	if written == 0 {
		return results, nil
	}
	if err := w.Flush(); err != nil {
		return nil, trouble("writing a segment: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, small)
	defer cancel()
	if _, err := c.store.put(ctx, name, f, condition{}); err != nil {
		if errors.Is(err, errMissing) || errors.Is(err, errChanged) {
			return nil, trouble("writing a segment: %w", err)
		}
		return nil, err
	}
	return results, nil
}

// ours makes sure that the place is this channel's, so that no other's segments come
// among its own.
func (c *Connector) ours(ctx context.Context) error {
	c.mu.Lock()
	mine := c.mine
	c.mu.Unlock()
	if mine || c.owner == "" {
		return nil
	}
	unlock, err := building.Lock(ctx, c.place())
	if err != nil {
		return err
	}
	defer unlock()
	_, _, err = c.begin(ctx)
	return err
}

// entry is an item as a segment has it.
func (c *Connector) entry(it *connectors.Item) (*entry, error) {
	e := &entry{SKU: it.SKU, Rev: it.Revision}
	switch {
	case it.Lane != pim.Content:
		return nil, &connectors.Error{Verdict: connectors.Permanent, Err: fmt.Errorf("the feed has no lane %s", it.Lane)}
	case it.Action.Withdraws():
		e.Gone = max(1, c.now().Unix())
		return e, nil
	case it.Action != connectors.Upsert:
		return nil, &connectors.Error{Verdict: connectors.Permanent, Err: fmt.Errorf("the feed knows no %s", it.Action)}
	}
	if err := tooLong(it.SKU); err != nil {
		return nil, err
	}
	var issues []pim.Issue
	doc, err := connectors.DecodeDocument(it.Document)
	if err != nil || doc == nil {
		issues = []pim.Issue{{Code: "feed.document", Severity: pim.SeverityError, Text: "The document is no JSON object."}}
	} else if _, wrong := c.row(it.SKU, doc); len(wrong) > 0 {
		issues = wrong
	}
	if len(issues) > 0 {
		return nil, &connectors.Error{Verdict: connectors.Validation, Issues: issues, Err: errors.New(issues[0].Text)}
	}
	e.Doc = it.Document
	return e, nil
}

// soonest is the wait for a build that may begin at once.
const soonest = 2 * time.Second

// wait is how long it is until the next build may begin, as far as is known.
func (c *Connector) wait() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waitFrom(c.built)
}

func (c *Connector) waitFrom(built time.Time) time.Duration {
	if built.IsZero() {
		return soonest
	}
	// A clock that was wrong must not hold builds back for longer than the time between two.
	return min(max(built.Add(c.every).Sub(c.now()), soonest), c.every+soonest)
}

// Poll builds the feed where it is time, and tells what became of the items.
func (c *Connector) Poll(ctx context.Context, tokens []string) ([]connectors.Result, error) {
	if len(tokens) == 0 {
		return nil, nil
	}
	if ctx.Err() != nil {
		return nil, trouble("nothing was asked: %w", context.Cause(ctx))
	}
	m, err := c.manifest(ctx)
	if err != nil {
		return nil, harmless(err)
	}
	if m.covers(tokens) || m.tag != "" && c.waitFrom(m.State.At) > soonest {
		return c.outcomes(m, tokens, false), nil
	}
	m, built, err := c.build(ctx)
	if errors.Is(err, errChanged) { // another holder builds: it has these segments, or the next build will
		if m, err = c.manifest(ctx); err == nil {
			return c.outcomes(m, tokens, false), nil
		}
	}
	if err != nil {
		return nil, harmless(err)
	}
	return c.outcomes(m, tokens, built), nil
}

// ticket reads a token: the segment's name, and the item's place in it.
func ticket(token string) (name string, item int, ok bool) {
	name, at, ok := strings.Cut(token, ".")
	item, err := strconv.Atoi(at)
	return segmentName + name, item, ok && err == nil && item >= 0
}

// covers reports whether the manifest says what became of all tokens.
func (m *manifest) covers(tokens []string) bool {
	for _, t := range tokens {
		if name, _, ok := ticket(t); ok && m.find(name) == nil {
			return false
		}
	}
	return true
}

// outcomes answers tokens. After a build, a segment that the manifest does not
// name is not there.
func (c *Connector) outcomes(m *manifest, tokens []string, built bool) []connectors.Result {
	results := make([]connectors.Result, len(tokens))
	merged := make(map[string]said, len(m.State.Segments))
	for _, d := range m.State.Segments {
		merged[d.Name] = d.Said
	}
	for i, t := range tokens {
		name, item, ok := ticket(t)
		said, is := merged[name]
		switch {
		case ok && !is && !built:
			results[i] = connectors.Result{Status: connectors.Pending, Token: t, After: c.waitFrom(m.State.At)}
		case !ok || !is || item >= len(said):
			results[i].Err = &connectors.Error{Verdict: connectors.Conflict, Err: errors.New("what was pushed is not there any more")}
		case said[item] == isLower:
			results[i].Err = &connectors.Error{Verdict: connectors.Conflict, Err: errors.New("the feed holds a higher revision")}
		case said[item] == isLive:
			results[i].Status = connectors.Live
		default:
			results[i].Status = connectors.Accepted
		}
	}
	return results
}

// object makes a document of what an entry holds.
func (e *entry) object() (map[string]any, error) {
	doc, err := connectors.DecodeDocument(e.Doc)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", e.SKU, errBroken)
	}
	return doc, nil
}
