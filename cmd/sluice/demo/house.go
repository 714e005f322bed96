//go:build unix

package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// The files of the data folder, beside the folder postgres, which is localpg's.
const (
	announcementFile = "demo.json"
	stateFile        = "state.json"
	keysetFile       = "keyset.json"
	lockFile         = "lock"
)

// house is the demo's data folder, held by this process.
type house struct {
	dir   string // absolute
	lock  *os.File
	state state
}

// state is what a later start must know. It holds secrets: mode 0600.
type state struct {
	Listen    string                 `json:"listen,omitempty"` // the API's address of the last time
	DSN       string                 `json:"dsn,omitempty"`    // of the private server: people leave it in DATABASE_URL
	AdminKey  string                 `json:"admin_key,omitempty"`
	ViewerKey string                 `json:"viewer_key,omitempty"`
	Targets   map[string]targetState `json:"targets,omitempty"` // by channel
	Catalogue int                    `json:"catalogue"`         // products that are in the database with price and stock
}

type targetState struct {
	Connector string `json:"connector,omitempty"`
	Addr      string `json:"addr"`
	Key       string `json:"key,omitempty"` // where a secret has a name: a key, a client's or a user's
	Secret    string `json:"secret"`
}

// openHouse makes and locks the folder, and reads what a former start left.
func openHouse(ctx context.Context, dir string) (*house, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find the data folder: %w", err)
	}
	h := &house{dir: dir}
	if err := h.make(); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	if h.lock, err = os.OpenFile(h.path(lockFile), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, fmt.Errorf("lock the data folder: %w", err)
	}
	if err := h.take(ctx); err != nil {
		h.close()
		return nil, err
	}
	// A demo.json that is there speaks of a process that has ended.
	if err := os.Remove(h.path(announcementFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		h.close()
		return nil, fmt.Errorf("remove the last %s: %w", announcementFile, err)
	}
	text, err := os.ReadFile(h.path(stateFile))
	if err == nil {
		err = json.Unmarshal(text, &h.state)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		h.close()
		return nil, fmt.Errorf("read %s: %w", h.path(stateFile), err)
	}
	if h.state.Targets == nil {
		h.state.Targets = map[string]targetState{}
	}
	return h, nil
}

// make makes the folder. As root it can be entered by all, for PostgreSQL runs
// as somebody else and has its folder inside; every file has mode 0600.
func (h *house) make() error {
	mode := fs.FileMode(0o700)
	if os.Geteuid() == 0 {
		mode = 0o711
	}
	entries, err := os.ReadDir(h.dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(h.dir, mode); err != nil {
			return err
		}
		return os.Chmod(h.dir, mode) // whatever the umask took away
	}
	if err == nil && len(entries) == 0 {
		return os.Chmod(h.dir, mode)
	}
	return err
}

// lockMay is how long a demo that was there before may take to end: a killed
// one is gone in a moment, one that was interrupted finishes what it has begun.
const lockMay = stopMay

func (h *house) take(ctx context.Context) error {
	for end := time.Now().Add(lockMay); ; {
		err := syscall.Flock(int(h.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return fmt.Errorf("lock the data folder %s: %w", h.dir, err)
		}
		if time.Now().After(end) {
			return fmt.Errorf("the data folder %s is in use by another demo: stop that one, or name another folder with --data-dir", h.dir)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (h *house) path(name string) string { return filepath.Join(h.dir, name) }

// close gives the folder free; the kernel does it for a killed process.
func (h *house) close() {
	if h.lock != nil {
		h.lock.Close()
	}
}

func (h *house) save() error {
	text, err := json.MarshalIndent(h.state, "", "  ")
	if err != nil {
		return err
	}
	return h.write(stateFile, append(text, '\n'))
}

// write writes a file of mode 0600, whole or not at all.
func (h *house) write(name string, content []byte) error {
	f, err := os.CreateTemp(h.dir, "."+name+"-*") // 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", h.path(name), err)
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), h.path(name))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", h.path(name), err), ignoreMissing(os.Remove(f.Name())))
	}
	return nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
