package webhooktest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
)

// journal keeps the target's state over a restart of its process: one line of
// JSON per applied item, written before the call is answered. It survives a
// kill of the process, not of the machine.
type journal struct {
	path  string
	file  *os.File
	lines int
	buf   []byte // lines of the call at hand
}

// maxLine bounds a line that is read back, in bytes.
const maxLine = 64 << 20

// openJournal replays and then shortens the file.
func (f *Fake) openJournal(path string) error {
	file, err := os.Open(path)
	if err == nil {
		lines := bufio.NewScanner(file)
		lines.Buffer(nil, maxLine)
		now := time.Now()
		for lines.Scan() {
			var it Item
			if json.Unmarshal(lines.Bytes(), &it) != nil {
				break // the line that the last process died in
			}
			f.put(it, now)
			f.shelf(it.SKU).listed = true // withdrawn counts as having been there
		}
		err = errors.Join(lines.Err(), file.Close())
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading the fake target's journal %s: %w", path, err)
	}
	f.journal = &journal{path: path}
	return f.shorten()
}

// shorten writes a new journal of what is held, and of what was withdrawn.
// Callers hold mu.
func (f *Fake) shorten() error {
	j := f.journal
	if err := j.rewrite(f.shelves); err != nil {
		return fmt.Errorf("writing the fake target's journal %s: %w", j.path, err)
	}
	return nil
}

func (j *journal) rewrite(shelves map[pim.SKU]*shelf) error {
	if j.file != nil {
		if err := j.file.Close(); err != nil {
			return err
		}
		j.file = nil
	}
	fresh, err := os.OpenFile(j.path+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(fresh)
	j.lines = 0
	for sku, s := range shelves {
		for i, lane := range pim.AllLanes {
			slot := &s.lanes[i]
			it := Item{SKU: sku, Lane: lane, Revision: slot.applied, Action: connectors.Upsert, Document: slot.Document}
			switch {
			case slot.present:
			case lane == pim.Content && slot.applied > 0:
				it.Action, it.Document = connectors.Withdraw, nil
			default:
				continue
			}
			j.add(it)
			switch {
			case lane == pim.Content && slot.present && s.hidden:
				it.Action, it.Document = connectors.Disable, nil
				j.add(it)
			case lane == pim.Offer && slot.present && s.empty:
				it.Action = connectors.SellOut
				j.add(it)
			}
		}
		if _, err := w.Write(j.buf); err != nil {
			return errors.Join(err, fresh.Close())
		}
		j.buf = j.buf[:0]
	}
	if err := errors.Join(w.Flush(), os.Rename(fresh.Name(), j.path)); err != nil {
		return errors.Join(err, fresh.Close())
	}
	j.file = fresh
	return nil
}

// add appends an item's line to the call's.
func (j *journal) add(it Item) {
	j.buf = append(j.buf, `{"sku":`...)
	j.buf = pim.AppendJSONString(j.buf, string(it.SKU))
	j.buf = fmt.Appendf(j.buf, `,"lane":%q,"revision":%d,"action":%q`, it.Lane.String(), it.Revision, string(it.Action))
	if it.Document != nil {
		// A document may be written over several lines.
		compact, err := json.Marshal(it.Document)
		if err != nil {
			compact = []byte("{}")
		}
		j.buf = append(append(j.buf, `,"document":`...), compact...)
	}
	j.buf = append(j.buf, "}\n"...)
	j.lines++
}

// flush writes the call's lines, and shortens a file that is mostly history. It
// ends the journal on the first error, and says so among the violations: a fake
// that forgets silently would lie to whoever restarts it. Callers hold mu.
func (f *Fake) flush() {
	j := f.journal
	if j == nil || len(j.buf) == 0 {
		return
	}
	_, err := j.file.Write(j.buf)
	j.buf = j.buf[:0]
	if err == nil && j.lines > 10_000+4*3*len(f.shelves) {
		err = f.shorten()
	}
	if err != nil {
		f.violate("the fake's own journal ends: %v", err)
		f.journal = nil
	}
}

// closeJournal ends the writing; what is still going on is not kept.
func (f *Fake) closeJournal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.journal == nil {
		return
	}
	if f.flush(); f.journal == nil {
		return
	}
	_ = f.journal.file.Close() // every line was written already
	f.journal = nil
}

// put brings an item to the state, whatever else is held. Callers hold mu.
func (f *Fake) put(it Item, now time.Time) {
	s := f.shelf(it.SKU)
	slot := &s.lanes[laneIndex(it.Lane)]
	slot.applied, slot.top = it.Revision, max(slot.top, it.Revision)
	switch it.Action {
	case connectors.Withdraw:
		for i := range s.lanes {
			if s.lanes[i].present {
				f.held[i]--
			}
			s.lanes[i].present, s.lanes[i].Document = false, nil
		}
		s.hidden, s.empty = false, false
	case connectors.Disable:
		s.hidden = true
	default:
		if it.Lane == pim.Content {
			s.hidden = false
		}
		if it.Lane == pim.Offer {
			s.empty = it.Action == connectors.SellOut
		}
		if !slot.present {
			f.held[laneIndex(it.Lane)]++
		}
		s.listed = s.listed || it.Lane == pim.Content
		slot.present = true
		slot.Listing = Listing{Document: it.Document, Revision: it.Revision, At: now, Pushes: slot.Pushes + 1}
	}
	if f.journal != nil {
		f.journal.add(it)
	}
}
