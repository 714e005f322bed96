package feed

import (
	"bufio"
	"cmp"
	"container/heap"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/sluicehub/sluice/pim"
)

// entry is one line of a segment, a run or a base: the last that was said of a
// product.
type entry struct {
	SKU  pim.SKU         `json:"s"`
	Rev  int64           `json:"r"`
	Seq  string          `json:"q,omitempty"` // of the segment that it came with
	Gone int64           `json:"t,omitempty"` // of a tombstone: when it came, in Unix seconds
	Doc  json.RawMessage `json:"d,omitempty"`
	// Where it came from, in runs.
	Segment int `json:"g,omitempty"`
	Item    int `json:"i,omitempty"`
}

// before is the order of runs: by SKU, then as the segments came.
func (e *entry) before(o *entry) int {
	return cmp.Or(cmp.Compare(e.SKU, o.SKU), cmp.Compare(e.Seq, o.Seq), cmp.Compare(e.Item, o.Item))
}

const (
	// maxLine bounds a line, in bytes.
	maxLine = 16 << 20
	// baseHead is a base's first line: it says what follows, and no base is empty.
	baseHead = `{"sluice_feed_base":1}` + "\n"
)

// source gives entries in order; io.EOF after the last.
type source interface{ next() (*entry, error) }

// lines reads entries from lines of JSON, and counts their bytes.
type lines struct{ s *bufio.Scanner }

func readLines(r io.Reader) *lines {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 64<<10), maxLine)
	return &lines{s: s}
}

// line gives the next line; io.EOF after the last.
func (l *lines) line() ([]byte, error) {
	if !l.s.Scan() {
		return nil, cmp.Or(l.s.Err(), io.EOF)
	}
	return l.s.Bytes(), nil
}

func (l *lines) next() (*entry, error) {
	b, err := l.line()
	if err != nil {
		return nil, err
	}
	return parseEntry(b)
}

// errBroken says that what our own files hold is not what we wrote.
var errBroken = errors.New("it is damaged")

func parseEntry(b []byte) (*entry, error) {
	e := &entry{}
	if err := json.Unmarshal(b, e); err != nil || e.SKU == "" || (e.Gone == 0) == (len(e.Doc) == 0) || len(e.Doc) > 0 && e.Doc[0] != '{' {
		return nil, fmt.Errorf("reading an entry: %w", errBroken)
	}
	return e, nil
}

// writeEntry writes a line.
func writeEntry(w io.Writer, e *entry) error {
	j := json.NewEncoder(w)
	j.SetEscapeHTML(false)
	return j.Encode(e)
}

// kept are entries in memory.
type kept []*entry

func (k *kept) next() (*entry, error) {
	if len(*k) == 0 {
		return nil, io.EOF
	}
	e := (*k)[0]
	*k = (*k)[1:]
	return e, nil
}

// runBytes is how much of what is new is in memory at once.
const runBytes = 32 << 20

// sorter brings any number of entries into order, within runBytes of memory and
// files in dir.
type sorter struct {
	dir   string
	limit int
	held  kept
	bytes int
	runs  []*os.File
}

func (s *sorter) add(e *entry) error {
	s.held = append(s.held, e)
	if s.bytes += len(e.Doc) + 200; s.bytes < s.limit {
		return nil
	}
	f, err := temporary(s.dir)
	if err != nil {
		return fmt.Errorf("writing a run: %w", err)
	}
	s.runs = append(s.runs, f)
	slices.SortFunc(s.held, (*entry).before)
	w := bufio.NewWriterSize(f, 256<<10)
	for _, e := range s.held {
		if err := writeEntry(w, e); err != nil {
			return fmt.Errorf("writing a run: %w", err)
		}
	}
	s.held, s.bytes = s.held[:0], 0
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing a run: %w", err)
	}
	return nil
}

// sorted gives everything that was added, in order.
func (s *sorter) sorted() (source, error) {
	slices.SortFunc(s.held, (*entry).before)
	all := []source{&s.held}
	for _, f := range s.runs {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return nil, fmt.Errorf("reading a run: %w", err)
		}
		all = append(all, readLines(f))
	}
	return merged(all)
}

// close lets the files go.
func (s *sorter) close() {
	for _, f := range s.runs {
		letGo(f)
	}
}

// merging gives the entries of several sources in order.
type merging []head

type head struct {
	*entry
	from source
}

func (m merging) Len() int           { return len(m) }
func (m merging) Less(i, j int) bool { return m[i].before(m[j].entry) < 0 }
func (m merging) Swap(i, j int)      { m[i], m[j] = m[j], m[i] }

// Push implements heap.Interface.
func (m *merging) Push(x any) { *m = append(*m, x.(head)) }

// Pop implements heap.Interface.
func (m *merging) Pop() any {
	last := (*m)[len(*m)-1]
	*m = (*m)[:len(*m)-1]
	return last
}

func merged(sources []source) (source, error) {
	m := &merging{}
	for _, s := range sources {
		e, err := s.next()
		if errors.Is(err, io.EOF) {
			continue
		}
		if err != nil {
			return nil, err
		}
		*m = append(*m, head{e, s})
	}
	heap.Init(m)
	return m, nil
}

func (m *merging) next() (*entry, error) {
	if len(*m) == 0 {
		return nil, io.EOF
	}
	first := (*m)[0]
	switch e, err := first.from.next(); {
	case errors.Is(err, io.EOF):
		heap.Pop(m)
	case err != nil:
		return nil, err
	default:
		(*m)[0].entry = e
		heap.Fix(m, 0)
	}
	return first.entry, nil
}
