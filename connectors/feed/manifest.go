package feed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	manifestName = "manifest.json"
	stateDir     = "sluice-feed"
	segmentName  = stateDir + "/seg-"
	// maxManifest bounds a manifest, in bytes: some 100 for each push of the last hour.
	maxManifest = 64 << 20
	// keepMerged is for how long a segment stays after it was merged, and a base
	// after its successor came: longer than any holder that does not know that it
	// has lost its lease goes on.
	keepMerged = time.Hour
	// keepGone is for how long a tombstone fences requests that are late.
	keepGone = 7 * 24 * time.Hour
)

// manifest tells readers of the feed what it is, and the connector where it is
// with it. Swapping it is the moment at which a build counts.
type manifest struct {
	Feed     string    `json:"feed"`
	Format   string    `json:"format"`
	Count    int       `json:"count"` // products in the feed
	Bytes    int64     `json:"bytes"`
	SHA256   string    `json:"sha256"`
	Revision int64     `json:"revision"` // +1 with each feed that differs from the one before
	BuiltAt  time.Time `json:"built_at"` // of that feed
	State    state     `json:"state"`

	tag string // the manifest's own; "": there is none
}

// state is the connector's own part.
type state struct {
	Owner    string    `json:"owner,omitempty"` // the channel whose feed it is; "": it was made before that was noted
	Build    int64     `json:"build"`           // +1 with each merge
	At       time.Time `json:"at"`
	Base     string    `json:"base,omitempty"` // "": there is none yet
	Index    string    `json:"index,omitempty"`
	FeedTag  string    `json:"feed_tag,omitempty"`
	Layout   string    `json:"layout,omitempty"` // of the settings that the feed shows
	Segments []done    `json:"segments,omitempty"`
}

// done is a segment that was merged.
type done struct {
	Name string    `json:"name"`
	At   time.Time `json:"at"`
	Said said      `json:"said"`
}

// outcome is what became of one item.
type outcome byte

// The outcomes.
const (
	isLive   outcome = 'l' // the feed shows it
	isTaken  outcome = 't' // a tombstone, or what something newer came after
	isLower  outcome = 'c' // a higher revision was there before
	isUnsaid outcome = '?'
)

// said are a segment's outcomes in order, written as runs: 500l1c.
type said []outcome

// MarshalText implements encoding.TextMarshaler.
func (s said) MarshalText() ([]byte, error) {
	var b []byte
	for i := 0; i < len(s); {
		j := i
		for j < len(s) && s[j] == s[i] {
			j++
		}
		b = append(strconv.AppendInt(b, int64(j-i), 10), byte(s[i]))
		i = j
	}
	return b, nil
}

// maxItems bounds the items of a segment.
const maxItems = 1 << 16

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *said) UnmarshalText(text []byte) error {
	*s = (*s)[:0]
	for len(text) > 0 {
		i := bytes.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
		if i < 1 {
			return fmt.Errorf("outcomes: %w", errBroken)
		}
		n, err := strconv.Atoi(string(text[:i]))
		if err != nil || n < 1 || n > maxItems-len(*s) || !strings.ContainsRune("ltc?", rune(text[i])) {
			return fmt.Errorf("outcomes: %w", errBroken)
		}
		for range n {
			*s = append(*s, outcome(text[i]))
		}
		text = text[i+1:]
	}
	return nil
}

// manifest reads the manifest; one without a tag where there is none. Another
// channel's is an error.
func (c *Connector) manifest(ctx context.Context) (*manifest, error) {
	b, o, err := readAll(ctx, c.store, manifestName, maxManifest)
	if errors.Is(err, errMissing) {
		return &manifest{}, nil
	}
	if err != nil {
		return nil, err
	}
	m, err := parseManifest(b)
	if err != nil {
		return nil, trouble("%s: %w", manifestName, err)
	}
	m.tag = o.tag
	if owner := m.State.Owner; c.owner != "" && owner != "" && owner != c.owner {
		return nil, trouble("this is where channel %s keeps its feed: give this channel a folder or prefix of its own; or, if that one is no more, remove %s, %s and %s",
			owner, c.File, manifestName, stateDir)
	}
	c.noted(m)
	return m, nil
}

// noted keeps what a manifest says that stands there now.
func (c *Connector) noted(m *manifest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.built, c.mine = m.State.At, m.State.Owner == c.owner
}

// begin reads the manifest, and makes one that says whose feed it is where none does.
// there is the feed as it lies there. Its caller has the place's lock.
func (c *Connector) begin(ctx context.Context) (m *manifest, there object, err error) {
	if m, err = c.manifest(ctx); err != nil {
		return nil, there, err
	}
	if there, err = c.store.stat(ctx, c.File); err != nil && !errors.Is(err, errMissing) {
		return nil, there, err
	}
	if m.tag == "" && there.tag != "" {
		return nil, there, errForeign(fmt.Sprintf("there is a %s without its %s", c.File, manifestName), c.File)
	}
	if m.tag == "" || m.State.Owner == "" && c.owner != "" {
		m.State.Owner = c.owner
		if err := c.swap(ctx, m, m.tag); err != nil {
			return nil, there, err
		}
	}
	return m, there, nil
}

func parseManifest(b []byte) (*manifest, error) {
	m := &manifest{}
	if err := json.Unmarshal(b, m); err != nil {
		return nil, errors.New("it is no manifest of a feed")
	}
	for _, name := range []string{m.State.Base, m.State.Index} {
		if name != "" && !strings.HasPrefix(name, stateDir+"/") || strings.Contains(name, "..") {
			return nil, errors.New("it names files that no build of ours writes")
		}
	}
	return m, nil
}

// find is the segment of that name; nil: it was not merged, or long ago.
func (m *manifest) find(name string) *done {
	for i := range m.State.Segments {
		if m.State.Segments[i].Name == name {
			return &m.State.Segments[i]
		}
	}
	return nil
}

// swap writes m over the manifest that it was made from.
func (c *Connector) swap(ctx context.Context, m *manifest, was string) error {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return trouble("writing %s: %w", manifestName, err)
	}
	f, err := temporary("")
	if err != nil {
		return trouble("writing %s: %w", manifestName, err)
	}
	defer letGo(f)
	if _, err := f.Write(append(b, '\n')); err != nil {
		return trouble("writing %s: %w", manifestName, err)
	}
	m.tag, err = c.store.put(ctx, manifestName, f, over(was))
	if err != nil {
		return err
	}
	c.noted(m)
	return nil
}
