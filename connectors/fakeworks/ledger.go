// Package fakeworks is what the vendors' fakes share when they stand for longer
// than a test: where they listen, a file that keeps their records over a restart, and
// a log of what they took, for people to look at. It knows no vendor.
package fakeworks

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Ledger keeps records, each a table's name, a key and a value with a form in
// JSON, in a file: one line for each call that changed some, written before the
// call is answered. It survives a kill of the process, not of the machine. The
// nil Ledger keeps nothing. It is not safe for concurrent use: a fake's own lock
// guards it.
type Ledger struct {
	path    string
	file    *os.File
	fresh   bool
	all     func(put func(table, key string, value any))
	written int                 // records in the file
	held    map[string]struct{} // the records that are not gone
	page    []entry             // of the call at hand
	err     error
}

// entry is one record of a line; without a value it is gone.
type entry struct {
	Table string          `json:"t"`
	Key   string          `json:"k"`
	Value json.RawMessage `json:"v,omitempty"`
}

// maxLine bounds a line that is read back, in bytes.
const maxLine = 256 << 20

// slack is how many outdated records a file may have before it is written anew;
// beyond it, it may have as many again as there are.
const slack = 10_000

// Open reads the file at path, gives each record's lines in their order to load,
// a nil value being a record that was removed, and goes on writing to it. all
// gives every record that the fake holds, for the file to be shortened. A line
// that the last process died in counts for nothing. "" is no file: the Ledger is
// nil, and so is the error.
func Open(path string, load func(table, key string, value json.RawMessage) error, all func(put func(table, key string, value any))) (*Ledger, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // a Ledger that keeps nothing
	}
	l := &Ledger{path: path, all: all}
	file, err := os.Open(path)
	if err == nil {
		lines := bufio.NewScanner(file)
		lines.Buffer(nil, maxLine)
		for lines.Scan() && err == nil {
			var page []entry
			if json.Unmarshal(lines.Bytes(), &page) != nil {
				break
			}
			for _, e := range page {
				if err = load(e.Table, e.Key, e.Value); err != nil {
					break
				}
			}
		}
		err = errors.Join(err, lines.Err(), file.Close())
	} else if errors.Is(err, fs.ErrNotExist) {
		l.fresh, err = true, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the fake's ledger %s: %w", path, err)
	}
	return l, l.rewrite()
}

// Fresh reports that there was no file: whatever the fake held before is lost.
func (l *Ledger) Fresh() bool { return l != nil && l.fresh }

// Put notes a record for the line of the call at hand; nil removes it.
func (l *Ledger) Put(table, key string, value any) {
	if l == nil || l.err != nil {
		return
	}
	e := entry{Table: table, Key: key}
	if value != nil {
		if e.Value, l.err = json.Marshal(value); l.err != nil {
			return
		}
	}
	l.page = append(l.page, e)
}

// Flush writes the line of the call at hand, and a file anew that is mostly
// history. After its first error the ledger has ended: a fake says so, for one
// that forgets silently would lie to whoever restarts it.
func (l *Ledger) Flush() error {
	if l == nil || l.err == nil && len(l.page) == 0 {
		return nil
	}
	if l.err == nil {
		var line []byte
		if line, l.err = json.Marshal(l.page); l.err == nil {
			_, l.err = l.file.Write(append(line, '\n'))
		}
		l.count(l.page)
		l.page = l.page[:0]
	}
	if l.err == nil && l.written > slack+2*len(l.held) {
		l.err = l.rewrite()
	}
	if l.err != nil {
		return fmt.Errorf("the fake's ledger %s has ended: %w", l.path, l.err)
	}
	return nil
}

func (l *Ledger) count(page []entry) {
	l.written += len(page)
	for _, e := range page {
		name := e.Table + " " + e.Key
		if delete(l.held, name); e.Value != nil {
			l.held[name] = struct{}{}
		}
	}
}

// rewrite writes a file of what is held now, and puts it in the place of the old.
func (l *Ledger) rewrite() error {
	if l.file != nil {
		if err := l.file.Close(); err != nil {
			return err
		}
		l.file = nil
	}
	file, err := os.OpenFile(l.path+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	l.written, l.held = 0, map[string]struct{}{}
	w := bufio.NewWriter(file)
	var failed error
	l.all(func(table, key string, value any) {
		raw, err := json.Marshal(value)
		if err != nil {
			failed = errors.Join(failed, err)
			return
		}
		page := []entry{{table, key, raw}}
		line, err := json.Marshal(page)
		if err != nil {
			failed = errors.Join(failed, err)
			return
		}
		l.count(page)
		_, _ = w.Write(append(line, '\n')) // Flush tells its error
	})
	if err := errors.Join(failed, w.Flush()); err != nil {
		return errors.Join(err, file.Close())
	}
	if err := os.Rename(file.Name(), l.path); err != nil {
		return errors.Join(err, file.Close())
	}
	l.file = file
	return nil
}

// Close ends the writing.
func (l *Ledger) Close() error {
	if l == nil || l.file == nil {
		return nil
	}
	err := errors.Join(l.Flush(), l.file.Close())
	l.file, l.err = nil, errors.Join(l.err, os.ErrClosed)
	return err
}
