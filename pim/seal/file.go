package seal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// maxFile bounds the keyset file, in bytes. One key takes about 300, so this
// holds more rotations than anybody makes, and a wrong path to something huge
// does not fill the memory.
const maxFile = 1 << 20

// checkMode refuses what others than the owner may read or write. Windows keeps
// no such bits; there the folder's access list is the boundary.
func checkMode(path string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s: %w", path, ErrFormat)
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 && runtime.GOOS != "windows" {
		return fmt.Errorf("%s has mode %04o: %w; run chmod 600 on it, and replace its keys if somebody may have read them",
			path, perm, ErrMode)
	}
	return nil
}

func read(path string) (*keys, error) {
	// Asked before opening, because opening a named pipe would wait for a writer.
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read keyset: %w", err)
	}
	if err := checkMode(path, info); err != nil {
		return nil, fmt.Errorf("read keyset: %w", err)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read keyset: %w", err)
	}
	defer f.Close()
	// Asked again of what was opened: the name may have been given to another
	// file in between.
	if info, err = f.Stat(); err != nil {
		return nil, fmt.Errorf("read keyset: %w", err)
	}
	if err := checkMode(path, info); err != nil {
		return nil, fmt.Errorf("read keyset: %w", err)
	}
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read keyset: %w", err)
	}
	if len(content) > maxFile {
		return nil, fmt.Errorf("read keyset: %s is larger than %d bytes: %w", path, maxFile, ErrFormat)
	}
	handle, primitive, err := decode(content)
	if err != nil {
		return nil, fmt.Errorf("read keyset %s: %w", path, err)
	}
	return &keys{handle: handle, aead: primitive, file: info}, nil
}

// writeNew makes path appear with its whole content, or fails with fs.ErrExist.
// A hard link, unlike a rename, never replaces what is there, and unlike an
// exclusive create it shows no half-written file to a process that starts now.
func writeNew(path string, content []byte) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".keyset-*") // CreateTemp gives mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if rm := os.Remove(f.Name()); err == nil {
			err = rm
		}
	}()
	if err := writeClose(f, content); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// nextFile is the coming state of a keyset file, under a fixed name beside it
// that also serves as the lock among rotations.
type nextFile struct {
	f    *os.File
	path string
	done bool
}

func lockNext(path string) (*nextFile, error) {
	name := path + ".next"
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("another rotation is under way; if none is, one was interrupted and %s may be removed: %w", name, fs.ErrExist)
	}
	if err != nil {
		return nil, err
	}
	return &nextFile{f: f, path: path}, nil
}

func (n *nextFile) replace(content []byte) error {
	if err := writeClose(n.f, content); err != nil {
		return err
	}
	if err := os.Rename(n.f.Name(), n.path); err != nil {
		return err
	}
	n.done = true
	return syncDir(filepath.Dir(n.path))
}

// abandon releases the lock where replace did not.
func (n *nextFile) abandon() {
	if !n.done {
		n.f.Close()
		_ = os.Remove(n.f.Name())
	}
}

func writeClose(f *os.File, content []byte) error {
	_, err := f.Write(content)
	if err == nil {
		// A key must not be used before it would survive a power cut.
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	return err
}

// syncDir makes a new name survive a power cut. Windows cannot sync a folder
// and needs no asking.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
