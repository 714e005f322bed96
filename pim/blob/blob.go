// Package blob stores the bytes of assets and renditions under the SHA-256 of
// their content, in a folder ([Folder]) or in a bucket that speaks S3 ([S3]).
// It knows no database, no images and no HTTP handlers.
//
// # What a store promises
//
// Content becomes visible whole or not at all, and what Put has returned for
// survives a crash. Identical content is stored once, whoever puts it and how
// often. Nothing is ever changed in place: content under a hash can be cached
// for as long as anybody likes.
//
// # Collecting what nobody refers to
//
// A collector walks the store, asks whoever keeps the references about what is
// older than [Store.Grace], and calls [Store.Expire] for what nobody refers to.
// Meanwhile somebody may put the very same content again and be about to commit
// a reference to it. Three things keep that safe:
//
//  1. When Put returns, the content's age is below half the grace time: content
//     that is there and older is written again, which makes it young. Whoever
//     commits the reference within half the grace time after Put is in time.
//  2. Expire looks at the age once more before it removes, and never removes
//     anything younger than the grace time. In one process, Put and Expire of
//     the same content also wait for each other.
//  3. Between processes a moment remains: an Expire that has looked, a Put that
//     renews and returns, and then the removal; over S3 a removal that was given
//     up may even arrive late. No store of this kind can close it, for S3 has no
//     "delete if older". Several processes close it where the references live.
//     The collector commits a mark on the hash, looks for references after that
//     commit, calls Expire, and takes the mark away when Expire has returned
//     without an error and a settle time (a minute) has passed. Whoever commits a
//     reference reads the mark in the same transaction, under a lock on the hash
//     that the setting of the mark takes too; while the mark is there, he puts
//     the content again later and does not commit. So either the collector sees
//     the reference, or the writer sees the mark.
package blob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"syscall"
	"time"
)

// Errors that callers act upon. Others are reasons to try again later.
var (
	// ErrNotFound says that nothing is stored under the hash.
	ErrNotFound = errors.New("no such blob")
	// ErrTooLarge says that the content is longer than Put's limit.
	ErrTooLarge = errors.New("content is too large")
	// ErrFull says that there is no space left, or that a quota is used up.
	ErrFull = errors.New("no space left")
	// ErrCorrupt says that what is stored is not what its hash names.
	ErrCorrupt = errors.New("blob is damaged")
	// ErrDenied says that the storage does not accept our credentials or that
	// they lack a right. Only an operator can help.
	ErrDenied = errors.New("storage refuses access")
)

// DefaultGrace is the grace time of a store that was given none.
const DefaultGrace = 24 * time.Hour

// tempAge is when a temporary file is nobody's any more. Its modification time
// rises as long as somebody writes to it.
const tempAge = 24 * time.Hour

// Store keeps content by its hash. All methods may be used at the same time,
// also by several processes on the same folder or bucket. Errors hold no
// credentials and no query strings, and [errors.Is] finds a context's error.
type Store interface {
	// Put stores what r holds, up to limit bytes, and returns its hash and size.
	// ErrTooLarge beyond limit, ErrFull where there is no space; whatever the
	// error, nothing is left behind under any hash. It reads r to its end or one
	// byte beyond limit.
	Put(ctx context.Context, r io.Reader, limit int64) (Stored, error)
	// Open returns the content for reading; the caller closes it. ErrNotFound if
	// it is not there. Reading a part of it fetches about that part only. ctx
	// must last as long as the object is read.
	Open(ctx context.Context, h Hash) (*Object, error)
	// Delete removes content, young or old; what is not there is no error.
	Delete(ctx context.Context, h Hash) error
	// Expire removes content that is older than the grace time and says whether
	// it did. What is younger or not there is no error.
	Expire(ctx context.Context, h Hash) (bool, error)
	// Walk calls fn for everything that is stored, in no particular order, until
	// fn returns an error, which it returns as it is. It holds a bounded number
	// of entries in memory. What is put or removed meanwhile may be seen or not;
	// fn may remove what it is called for. It also removes temporary files that
	// crashes have left.
	Walk(ctx context.Context, fn func(Info) error) error
	// Check writes, reads and removes something small that is no blob, and so
	// says whether the store can be used. It costs a few requests: probes that
	// come every second should remember its answer for a while.
	Check(ctx context.Context) error
	// Grace is the age below which Expire removes nothing.
	Grace() time.Duration
	// Close gives back what the store holds open. Objects are closed before.
	Close() error
}

// Hash is the SHA-256 of some content. Its text form is 64 lower-case
// hexadecimal digits; pgx stores and reads it as bytea.
type Hash [sha256.Size]byte

// ParseHash reads the text form.
func ParseHash(s string) (Hash, error) {
	var h Hash
	err := h.UnmarshalText([]byte(s))
	return h, err
}

// String returns the text form.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText returns the text form.
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText reads the text form and nothing else: upper case is refused, so
// that a hash has one name only.
func (h *Hash) UnmarshalText(text []byte) error {
	var got Hash
	if len(text) != hex.EncodedLen(len(got)) {
		return fmt.Errorf("hash has %d characters, want %d", len(text), hex.EncodedLen(len(got)))
	}
	for _, c := range text {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return errors.New("hash is not written in lower-case hexadecimal digits")
		}
	}
	if _, err := hex.Decode(got[:], text); err != nil {
		return fmt.Errorf("hash: %w", err)
	}
	*h = got
	return nil
}

// BytesValue is how pgx writes a hash.
func (h Hash) BytesValue() ([]byte, error) { return h[:], nil }

// ScanBytes is how pgx reads a hash. SQL's NULL is refused: scan into a *Hash's
// address where it may be null.
func (h *Hash) ScanBytes(b []byte) error {
	if len(b) != len(h) {
		return fmt.Errorf("hash has %d bytes, want %d", len(b), len(h))
	}
	copy(h[:], b)
	return nil
}

// key is where content lies below a folder or prefix: two levels of 256, so that
// a million blobs are 16 to a folder.
func (h Hash) key() string {
	s := h.String()
	return s[:2] + "/" + s[2:4] + "/" + s
}

// keyHash is the reverse of key; false for anything else.
func keyHash(key string) (Hash, bool) {
	if len(key) < 6 {
		return Hash{}, false
	}
	h, err := ParseHash(key[6:])
	return h, err == nil && h.key() == key
}

// Info describes stored content: its size in bytes, and when it was written or
// last renewed, by the storage's clock.
type Info struct {
	Hash    Hash
	Size    int64
	ModTime time.Time
}

// Stored is what Put says of the content it was given, Size in bytes.
type Stored struct {
	Hash Hash
	Size int64
	// New is false where the content was there before. Two that put the same
	// content at the same time may both be told true.
	New bool
}

// Object is content that is open for reading. It is not safe for use by several
// goroutines at once. Of a [Folder] its ReadSeekCloser is an *os.File, which a
// server can send without copying it.
type Object struct {
	io.ReadSeekCloser
	Info
}

// Verify reads the whole content and compares it with its hash. ErrCorrupt if
// it is different, ErrNotFound if it is not there.
func Verify(ctx context.Context, s Store, h Hash) error {
	o, err := s.Open(ctx, h)
	if err != nil {
		return err
	}
	defer o.Close()
	got, size, err := spool(ctx, io.Discard, o, math.MaxInt64)
	if err != nil {
		return fmt.Errorf("verify blob %s: %w", h, err)
	}
	if got != h || size != o.Size {
		return fmt.Errorf("verify blob %s: %w: its %d bytes have the hash %s", h, ErrCorrupt, size, got)
	}
	return nil
}

// spool copies r to w and returns hash and size of what it copied.
func spool(ctx context.Context, w io.Writer, r io.Reader, limit int64) (Hash, int64, error) {
	sum := sha256.New()
	buf := make([]byte, 128<<10)
	var size int64
	for {
		if ctx.Err() != nil {
			return Hash{}, size, ctx.Err()
		}
		n, err := r.Read(buf)
		if n > 0 {
			if int64(n) > limit-size {
				return Hash{}, size, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, limit)
			}
			size += int64(n)
			sum.Write(buf[:n])
			if _, err := w.Write(buf[:n]); err != nil {
				return Hash{}, size, full(err)
			}
		}
		if errors.Is(err, io.EOF) {
			return Hash(sum.Sum(nil)), size, nil
		}
		if err != nil {
			return Hash{}, size, fmt.Errorf("read content: %w", err)
		}
	}
}

// full marks the errors of a disk that has no space for us.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

// stripes let those who change the same content wait for each other, each stripe
// a semaphore of one. Others share a stripe by chance and wait needlessly.
type stripes [256]chan struct{}

func newStripes() *stripes {
	s := &stripes{}
	for i := range s {
		s[i] = make(chan struct{}, 1)
	}
	return s
}

func (s *stripes) lock(ctx context.Context, h Hash) (unlock func(), err error) {
	stripe := s[h[0]]
	select {
	case stripe <- struct{}{}:
		return func() { <-stripe }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
