package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/minio/minio-go/v7"
)

// What one request fetches, in bytes: little after a seek, for often only a part
// is wanted, and four times more each time that reading goes on.
const (
	minWindow = 1 << 20
	maxWindow = 64 << 20
)

// ranged reads an object in windows, each a request of its own that is made when
// somebody reads. A window whose connection breaks is asked for again from where
// it broke.
type ranged struct {
	ctx   context.Context // a reader's methods take none; Open says that its context lasts as long
	store *S3
	hash  Hash
	size  int64

	pos    int64
	body   io.ReadCloser // nil between windows
	left   int64         // bytes of the window that are still to come
	window int64         // length of the window that was last begun
	broken int           // windows in a row that broke without a byte
	closed bool
}

// Read reads what comes next.
func (r *ranged) Read(p []byte) (int, error) {
	if r.closed {
		return 0, fs.ErrClosed
	}
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if r.pos >= r.size {
			return 0, io.EOF
		}
		n, err := r.some(p)
		r.pos += int64(n)
		r.left -= int64(n)
		if n > 0 {
			r.broken = 0
		}
		if err != nil || r.left == 0 {
			r.drop()
		}
		if n > 0 {
			return n, nil // what is wrong shows again with the next window
		}
		if err == nil {
			continue
		}
		r.broken++
		if r.ctx.Err() != nil || errors.Is(err, ErrNotFound) || errors.Is(err, ErrDenied) || r.broken >= s3Tries {
			return 0, fmt.Errorf("read blob %s in %s at byte %d: %w", r.hash, r.store.where, r.pos, r.store.mapped(err))
		}
	}
}

func (r *ranged) some(p []byte) (int, error) {
	if r.body == nil {
		if err := r.begin(); err != nil {
			return 0, err
		}
	}
	n, err := r.body.Read(p[:min(int64(len(p)), r.left)])
	if errors.Is(err, io.EOF) {
		err = nil
		if int64(n) < r.left {
			err = io.ErrUnexpectedEOF
		}
	}
	return n, err
}

// begin asks for the next window.
func (r *ranged) begin() error {
	r.window = min(max(4*r.window, minWindow), maxWindow)
	length := min(r.window, r.size-r.pos)
	var o minio.GetObjectOptions
	if err := o.SetRange(r.pos, r.pos+length-1); err != nil {
		return err
	}
	body, info, header, err := r.store.client.GetObject(r.ctx, r.store.bucket, r.store.key(r.hash), o)
	if err != nil {
		return r.store.mapped(err)
	}
	// Whoever knows no ranges answers with everything.
	whole := header.Get("Content-Range") == "" && r.pos == 0 && length == r.size && info.Size == r.size
	if !whole && header.Get("Content-Range") != fmt.Sprintf("bytes %d-%d/%d", r.pos, r.pos+length-1, r.size) {
		body.Close()
		return errRange
	}
	r.body, r.left = body, length
	return nil
}

// drop ends the window.
func (r *ranged) drop() {
	if r.body != nil {
		r.body.Close()
		r.body = nil
	}
}

// Seek sets where the next Read reads. It sends nothing.
func (r *ranged) Seek(offset int64, whence int) (int64, error) {
	if r.closed {
		return 0, fs.ErrClosed
	}
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += r.pos
	case io.SeekEnd:
		offset += r.size
	default:
		return 0, fmt.Errorf("seek: whence %d is unknown", whence)
	}
	if offset < 0 {
		return 0, errors.New("seek: before the beginning")
	}
	if offset != r.pos {
		r.drop()
		r.pos, r.window = offset, 0
	}
	return offset, nil
}

// Close ends reading; the rest of a window is not fetched.
func (r *ranged) Close() error {
	r.drop()
	r.closed = true
	return nil
}
