package feed

import (
	"context"
	"errors"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/sluicehub/sluice/connectors"
)

var (
	// errMissing says that nothing has the name.
	errMissing = errors.New("no such file")
	// errChanged says that what should be written over, or read on, is not what it was.
	errChanged = errors.New("somebody else has changed it meanwhile")
)

// object is what a store knows of a name without reading it. tag differs where
// the content does; size is in bytes.
type object struct {
	name string
	tag  string
	size int64
	at   time.Time // of its writing
}

// condition is what put writes over. The zero condition is anything.
type condition struct {
	set bool
	tag string // "": nothing may have the name
}

// over is the condition that a name still has the tag; "": that it is free.
func over(tag string) condition { return condition{set: true, tag: tag} }

// store is a folder or a bucket. A name is written as a whole or not at all, and
// read as one writer left it. Errors are errMissing, errChanged or an
// *connectors.Error.
type store interface {
	// put writes a file under a name. A store may be unable to keep the condition.
	put(ctx context.Context, name string, content *os.File, cond condition) (tag string, err error)
	stat(ctx context.Context, name string) (object, error)
	// window reads n bytes at offset; less at the end. tag "" is any.
	window(ctx context.Context, name, tag string, offset, n int64) ([]byte, object, error)
	// list calls fn with what begins with the prefix, in any order; a folder's with
	// what was left half-written, too.
	list(ctx context.Context, prefix string, fn func(object) error) error
	// remove removes a name; one that is not there has been.
	remove(ctx context.Context, name string) error
	// check asks whether the target is there and takes our credentials.
	check(ctx context.Context) error
}

// windowSize is how much of a file is read at once.
const windowSize = 4 << 20

// reading reads a name of a store from its beginning, window by window.
type reading struct {
	ctx    context.Context
	store  store
	object object
	offset int64
	left   []byte
}

// open begins to read a name.
func open(ctx context.Context, s store, name string) (*reading, error) {
	first, o, err := s.window(ctx, name, "", 0, windowSize)
	if err != nil {
		return nil, err
	}
	return &reading{ctx: ctx, store: s, object: o, offset: int64(len(first)), left: first}, nil
}

// Read implements io.Reader.
func (r *reading) Read(b []byte) (int, error) {
	if len(r.left) == 0 {
		if r.offset >= r.object.size {
			return 0, io.EOF
		}
		next, _, err := r.store.window(r.ctx, r.object.name, r.object.tag, r.offset, windowSize)
		if err != nil {
			return 0, err
		}
		if len(next) == 0 {
			return 0, io.ErrUnexpectedEOF
		}
		r.left, r.offset = next, r.offset+int64(len(next))
	}
	n := copy(b, r.left)
	r.left = r.left[n:]
	return n, nil
}

// readAll reads a name of at most limit bytes.
func readAll(ctx context.Context, s store, name string, limit int64) ([]byte, object, error) {
	r, err := open(ctx, s, name)
	if err != nil {
		return nil, object{}, err
	}
	if r.object.size > limit {
		return nil, object{}, trouble("%s has %d bytes, which is more than it can have", name, r.object.size)
	}
	b, err := io.ReadAll(io.LimitReader(r, limit))
	return b, r.object, err
}

// harmless is err as that of a call that changes nothing, or nothing that counts:
// what a build leaves behind when it ends nobody reads.
func harmless(err error) error {
	if err == nil {
		return nil
	}
	e := connectors.AsError(err)
	if errors.Is(err, errMissing) || errors.Is(err, errChanged) {
		return &connectors.Error{Verdict: connectors.Unavailable, After: 2 * time.Second, Err: err}
	}
	if !e.Uncertain && errors.Is(err, e) {
		return err
	}
	c := *e
	c.Uncertain = false
	return &c
}

// temporary makes a file for use in this process alone, in dir or, of "", in the
// system's folder. Where the system lets it, the file loses its name at once: what a
// process that is killed has written is gone with it.
func temporary(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "sluice-feed-*")
	if err == nil && runtime.GOOS != "windows" {
		_ = os.Remove(f.Name()) // else letGo does
	}
	return f, err
}

// letGo closes and removes a temporary file.
func letGo(f *os.File) {
	if f != nil {
		_ = f.Close()
		_ = os.Remove(f.Name())
	}
}
