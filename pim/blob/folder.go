package blob

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"
)

const (
	tempDir    = "tmp"
	tempPrefix = "put-"
	// batch bounds how many names of a folder are in memory.
	batch = 256
)

// Folder is a [Store] in a local folder, which all processes of an installation
// may share. Content lies in ab/cd/abcd…, readable for the owner only; what is
// being written lies in tmp. No path leaves the folder and no symbolic link
// inside it is followed.
type Folder struct {
	root  *os.Root
	grace time.Duration
	locks *stripes
	// settled holds the shards whose own names this process has made durable.
	settled sync.Map
	// through stands between Put and its temporary file in a test of full disks.
	through func(io.Writer) io.Writer
}

// OpenFolder opens the store in the folder at path and makes it where it is
// missing. grace 0 means [DefaultGrace]. Temporary files of crashed processes
// are removed.
func OpenFolder(path string, grace time.Duration) (*Folder, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("open blob folder: %w", full(err))
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("open blob folder: %w", err)
	}
	f := &Folder{root: root, grace: grace, locks: newStripes()}
	if f.grace <= 0 {
		f.grace = DefaultGrace
	}
	if err := f.prepare(); err != nil {
		root.Close()
		return nil, fmt.Errorf("open blob folder %s: %w", path, full(err))
	}
	return f, nil
}

func (f *Folder) prepare() error {
	if err := f.root.Mkdir(tempDir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := f.isDir(tempDir); err != nil {
		return err
	}
	return f.clean(context.Background())
}

// Grace is the age below which Expire removes nothing.
func (f *Folder) Grace() time.Duration { return f.grace }

// Close gives the folder back.
func (f *Folder) Close() error { return f.root.Close() }

// Put stores content; see [Store].
func (f *Folder) Put(ctx context.Context, r io.Reader, limit int64) (Stored, error) {
	s, err := f.put(ctx, r, limit)
	if err != nil {
		return Stored{}, fmt.Errorf("put blob into %s: %w", f.root.Name(), err)
	}
	return s, nil
}

func (f *Folder) put(ctx context.Context, r io.Reader, limit int64) (_ Stored, err error) {
	temp := tempDir + "/" + tempPrefix + rand.Text()
	file, err := f.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return Stored{}, full(err)
	}
	published := false
	defer func() {
		file.Close() // a second time after a success, which does nothing
		if !published {
			// What cannot be removed now is removed when it has come of age.
			_ = f.root.Remove(temp)
		}
	}()
	w := io.Writer(file)
	if f.through != nil {
		w = f.through(w)
	}
	h, size, err := spool(ctx, w, r, limit)
	if err != nil {
		return Stored{}, err
	}
	unlock, err := f.locks.lock(ctx, h)
	if err != nil {
		return Stored{}, err
	}
	defer unlock()
	s := Stored{Hash: h, Size: size}
	info, err := f.lookup(h)
	switch {
	case errors.Is(err, ErrNotFound):
		s.New = true
	case err != nil:
		return Stored{}, err
	case info.Size() == size && time.Since(info.ModTime()) < f.grace/2:
		// Whoever wrote it may not have come to making its name durable.
		return s, full(f.settle(h))
	}
	if err := file.Sync(); err != nil {
		return Stored{}, full(err)
	}
	if err := file.Close(); err != nil {
		return Stored{}, full(err)
	}
	key := h.key()
	if err := f.root.MkdirAll(key[:5], 0o700); err != nil {
		return Stored{}, full(err)
	}
	if err := f.root.Rename(temp, key); err != nil {
		return Stored{}, full(err)
	}
	published = true
	return s, full(f.settle(h))
}

// settle makes the name under which content lies survive a crash.
func (f *Folder) settle(h Hash) error {
	shard := h.key()[:5]
	if err := f.syncDir(shard); err != nil {
		return err
	}
	if _, ok := f.settled.Load(shard); ok {
		return nil
	}
	for _, dir := range []string{shard[:2], "."} {
		if err := f.syncDir(dir); err != nil {
			return err
		}
	}
	f.settled.Store(shard, nil)
	return nil
}

func (f *Folder) syncDir(name string) error {
	if runtime.GOOS == "windows" { // which cannot sync a folder
		return nil
	}
	dir, err := f.root.Open(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// isDir refuses symbolic links, which os.Root would follow inside the root: two
// names for one folder would let one be emptied through the other.
func (f *Folder) isDir(name string) error {
	info, err := f.root.Lstat(name)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is no folder but %s; links are not followed", name, info.Mode().Type())
	}
	return err
}

// lookup finds content without following any link; ErrNotFound if it is not there.
func (f *Folder) lookup(h Hash) (fs.FileInfo, error) {
	key := h.key()
	for _, dir := range []string{key[:2], key[:5]} {
		if err := f.isDir(dir); err != nil {
			return nil, missing(err)
		}
	}
	info, err := f.root.Lstat(key)
	if err != nil {
		return nil, missing(err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file but %s; links are not followed", key, info.Mode().Type())
	}
	return info, nil
}

func missing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNotFound
	}
	return err
}

// Open opens content; see [Store].
func (f *Folder) Open(ctx context.Context, h Hash) (*Object, error) {
	o, err := f.open(ctx, h)
	if err != nil {
		return nil, fmt.Errorf("open blob %s: %w", h, err)
	}
	return o, nil
}

func (f *Folder) open(ctx context.Context, h Hash) (*Object, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if _, err := f.lookup(h); err != nil {
		return nil, err
	}
	file, err := f.root.Open(h.key())
	if err != nil {
		return nil, missing(err)
	}
	// Asked of what was opened, for a Put may have renewed it in between.
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, err
	}
	return &Object{ReadSeekCloser: file, Info: Info{Hash: h, Size: info.Size(), ModTime: info.ModTime()}}, nil
}

// Delete removes content; see [Store].
func (f *Folder) Delete(ctx context.Context, h Hash) error {
	if _, err := f.remove(ctx, h, 0); err != nil {
		return fmt.Errorf("delete blob %s: %w", h, err)
	}
	return nil
}

// Expire removes old content; see [Store].
func (f *Folder) Expire(ctx context.Context, h Hash) (bool, error) {
	removed, err := f.remove(ctx, h, f.grace)
	if err != nil {
		return false, fmt.Errorf("expire blob %s: %w", h, err)
	}
	return removed, nil
}

// remove removes what is at least age old; with age 0 everything.
func (f *Folder) remove(ctx context.Context, h Hash, age time.Duration) (bool, error) {
	unlock, err := f.locks.lock(ctx, h)
	if err != nil {
		return false, err
	}
	defer unlock()
	info, err := f.lookup(h)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if age > 0 && time.Since(info.ModTime()) < age {
		return false, nil
	}
	if err := f.root.Remove(h.key()); err != nil {
		if errors.Is(err, fs.ErrNotExist) { // another process was faster
			return false, nil
		}
		return false, err
	}
	return true, f.syncDir(h.key()[:5])
}

// Walk visits all content; see [Store].
func (f *Folder) Walk(ctx context.Context, fn func(Info) error) error {
	if err := f.clean(ctx); err != nil {
		return fmt.Errorf("walk blobs in %s: %w", f.root.Name(), err)
	}
	return f.each(ctx, ".", func(name string) error {
		if len(name) != 2 {
			return nil
		}
		return f.each(ctx, name, func(second string) error {
			if len(second) != 2 {
				return nil
			}
			shard := name + "/" + second
			return f.each(ctx, shard, func(leaf string) error {
				h, ok := keyHash(shard + "/" + leaf)
				if !ok {
					return nil
				}
				info, err := f.root.Lstat(h.key())
				if errors.Is(err, fs.ErrNotExist) {
					return nil
				}
				if err != nil {
					return fmt.Errorf("walk blobs in %s: %w", f.root.Name(), err)
				}
				if !info.Mode().IsRegular() {
					return nil
				}
				return fn(Info{Hash: h, Size: info.Size(), ModTime: info.ModTime()})
			})
		})
	})
}

// each calls fn with the names in a folder. What is no folder, or none any more,
// has none.
func (f *Folder) each(ctx context.Context, dir string, fn func(name string) error) error {
	failed := func(err error) error { return fmt.Errorf("walk blobs in %s: %w", f.root.Name(), err) }
	info, err := f.root.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return nil
	}
	if err != nil {
		return failed(err)
	}
	d, err := f.root.Open(dir)
	if err != nil {
		return failed(err)
	}
	defer d.Close()
	for {
		names, err := d.Readdirnames(batch)
		for _, name := range names {
			if ctx.Err() != nil {
				return failed(ctx.Err())
			}
			if err := fn(name); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return failed(err)
		}
	}
}

// clean removes the temporary files that nobody writes to any more.
func (f *Folder) clean(ctx context.Context) error {
	return f.each(ctx, tempDir, func(name string) error {
		if !strings.HasPrefix(name, tempPrefix) {
			return nil
		}
		name = tempDir + "/" + name
		info, err := f.root.Lstat(name)
		if err == nil && time.Since(info.ModTime()) > tempAge {
			err = f.root.Remove(name)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

// Check says whether the folder can be written; see [Store].
func (f *Folder) Check(ctx context.Context) error {
	if err := f.check(ctx); err != nil {
		return fmt.Errorf("check blob folder %s: %w", f.root.Name(), full(err))
	}
	return nil
}

func (f *Folder) check(ctx context.Context) (err error) {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	temp := tempDir + "/" + tempPrefix + rand.Text()
	file, err := f.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.root.Remove(temp)) }()
	// A disk without space may still give names to empty files.
	_, err = file.WriteString("check")
	return errors.Join(err, file.Sync(), file.Close())
}
