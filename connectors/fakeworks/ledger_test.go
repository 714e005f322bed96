package fakeworks_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/sluicehub/sluice/connectors/fakeworks"
)

// fake holds texts by key.
type fake map[string]string

func (f fake) open(t *testing.T, path string) *fakeworks.Ledger {
	t.Helper()
	l, err := fakeworks.Open(path, func(table, key string, value json.RawMessage) error {
		if table != "text" {
			return fmt.Errorf("table %q", table)
		}
		if value == nil {
			delete(f, key)
			return nil
		}
		var s string
		err := json.Unmarshal(value, &s)
		f[key] = s
		return err
	}, func(put func(table, key string, value any)) {
		for k, v := range f {
			put("text", k, v)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (f fake) put(l *fakeworks.Ledger, key, value string) {
	if f[key] = value; value == "" {
		delete(f, key)
		l.Put("text", key, nil)
		return
	}
	l.Put("text", key, value)
}

func flush(t *testing.T, l *fakeworks.Ledger) {
	t.Helper()
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
}

func TestLedger(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	was := fake{}
	l := was.open(t, path)
	if !l.Fresh() {
		t.Error("there was no file, and the ledger is not fresh")
	}
	was.put(l, "a", "one")
	was.put(l, "b", "two\nlines")
	flush(t, l)
	was.put(l, "a", "three")
	was.put(l, "b", "")
	flush(t, l)
	for range 40_000 { // so much history that the file is written anew
		was.put(l, "c", "again")
		flush(t, l)
	}
	if st, err := os.Stat(path); err != nil || st.Size() > 1_000_000 || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st, err)
	}
	// The process dies in the middle of a call's line: none of the call was answered.
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(`[{"t":"text","k":"d","v":"lost"},{"t":"te`); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		is := fake{}
		l := is.open(t, path)
		if !maps.Equal(is, was) || l.Fresh() {
			t.Errorf("after a restart %v, before %v", is, was)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// What cannot be read, or written, is told.
func TestLedgerFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	if err := os.WriteFile(path, []byte(`[{"t":"other","k":"a","v":1}]`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := fakeworks.Open(path, func(string, string, json.RawMessage) error { return os.ErrInvalid }, nil); err == nil {
		t.Error("a record that the fake refuses was read")
	}
	l := fake{}.open(t, filepath.Join(t.TempDir(), "other"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l.Put("text", "a", "b")
	if err := l.Flush(); err == nil {
		t.Error("a closed ledger was written")
	}
}

// The nil Ledger keeps nothing, and says nothing.
func TestNoLedger(t *testing.T) {
	l := fake{}.open(t, "")
	l.Put("text", "a", "b")
	flush(t, l)
	if l.Fresh() || l.Close() != nil {
		t.Error("no ledger does something")
	}
}

func TestLog(t *testing.T) {
	var l fakeworks.Log
	for i := range 5000 {
		l.Add(fakeworks.Entry{SKU: fmt.Sprint(i % 2), Did: "create", Outcome: fakeworks.Applied})
	}
	got := l.Newest("1", 3)
	if len(got) != 3 || got[0].Seq != 4996 || got[2].Seq != 5000 || got[1].SKU != "1" {
		t.Errorf("%+v", got)
	}
	if n := len(l.Newest("", 1e6)); n != 4096 {
		t.Errorf("%d entries are remembered", n)
	}
}
