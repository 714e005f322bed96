package feed

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"strconv"
	"strings"

	"github.com/sluicehub/sluice/connectors"
)

// folder keeps a feed in a local folder, which must be there. Nothing outside of
// it is reached, by no link either.
type folder struct {
	path    string
	allowed bool
}

// tempPrefix begins the names of what is being written.
const tempPrefix = ".sluice-tmp-"

// trouble is an error of the target, which may be over by itself.
func trouble(format string, args ...any) *connectors.Error {
	return &connectors.Error{Verdict: connectors.Unavailable, Err: fmt.Errorf(format, args...)}
}

// root opens the folder.
func (f *folder) root(ctx context.Context) (*os.Root, error) {
	if ctx.Err() != nil {
		return nil, trouble("nothing was done: %w", context.Cause(ctx))
	}
	if !f.allowed {
		return nil, trouble("folders are private targets, and the channel was not made with --allow-private-targets")
	}
	root, err := os.OpenRoot(f.path)
	if err != nil {
		return nil, trouble("opening the folder: %w", err)
	}
	return root, nil
}

func failed(what, name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s %s: %w", what, name, errMissing)
	}
	return trouble("%s %s: %w", what, name, err)
}

func described(name string, info fs.FileInfo) object {
	return object{
		name: name, size: info.Size(), at: info.ModTime(),
		tag: strconv.FormatInt(info.Size(), 36) + "-" + strconv.FormatInt(info.ModTime().UnixNano(), 36),
	}
}

func (f *folder) put(ctx context.Context, name string, content *os.File, cond condition) (string, error) {
	root, err := f.root(ctx)
	if err != nil {
		return "", err
	}
	defer root.Close()
	mode := fs.FileMode(0o600)
	if path.Dir(name) == "." { // readers' own
		mode = 0o644
	} else if err := root.Mkdir(path.Dir(name), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", failed("making the folder of", name, err)
	}
	temp := path.Join(path.Dir(name), tempPrefix+rand.Text())
	out, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return "", failed("writing", name, err)
	}
	defer func() {
		_ = out.Close()
		_ = root.Remove(temp) // gone, where it has become the file
	}()
	size, err := content.Seek(0, io.SeekEnd)
	if err != nil {
		return "", failed("writing", name, err)
	}
	if err := copyAll(ctx, out, io.NewSectionReader(content, 0, size)); err != nil {
		return "", failed("writing", name, err)
	}
	if err := errors.Join(out.Sync(), out.Close()); err != nil {
		return "", failed("writing", name, err)
	}
	if cond.set {
		was, err := root.Stat(name)
		if err == nil && described(name, was).tag != cond.tag || err != nil && cond.tag != "" {
			return "", fmt.Errorf("writing %s: %w", name, errChanged)
		}
	}
	if ctx.Err() != nil {
		return "", failed("writing", name, context.Cause(ctx))
	}
	if err := root.Rename(temp, name); err != nil {
		return "", failed("writing", name, err)
	}
	info, err := root.Stat(name)
	if err == nil {
		err = syncDir(root, path.Dir(name))
	}
	if err != nil {
		e := trouble("writing %s: %w", name, err)
		e.Uncertain = true
		return "", e
	}
	return described(name, info).tag, nil
}

// copyAll copies until ctx is done.
func copyAll(ctx context.Context, to io.Writer, from io.Reader) error {
	buf := make([]byte, 256<<10)
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := from.Read(buf)
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// syncDir makes a name survive a crash.
func syncDir(root *os.Root, name string) error {
	if runtime.GOOS == "windows" { // which cannot sync a folder
		return nil
	}
	dir, err := root.Open(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

func (f *folder) stat(ctx context.Context, name string) (object, error) {
	root, err := f.root(ctx)
	if err != nil {
		return object{}, err
	}
	defer root.Close()
	info, err := root.Stat(name)
	if err != nil {
		return object{}, failed("looking at", name, err)
	}
	return described(name, info), nil
}

func (f *folder) window(ctx context.Context, name, tag string, offset, n int64) ([]byte, object, error) {
	root, err := f.root(ctx)
	if err != nil {
		return nil, object{}, err
	}
	defer root.Close()
	in, err := root.Open(name)
	if err != nil {
		return nil, object{}, failed("reading", name, err)
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return nil, object{}, failed("reading", name, err)
	}
	o := described(name, info)
	if tag != "" && tag != o.tag {
		return nil, object{}, fmt.Errorf("reading %s: %w", name, errChanged)
	}
	b := make([]byte, max(0, min(n, o.size-offset)))
	if _, err := in.ReadAt(b, offset); err != nil && !errors.Is(err, io.EOF) {
		return nil, object{}, failed("reading", name, err)
	}
	return b, o, nil
}

func (f *folder) list(ctx context.Context, prefix string, fn func(object) error) error {
	root, err := f.root(ctx)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, at := range []string{path.Dir(prefix), "."} { // feed and manifest are written in the folder itself
		if err := listDir(root, at, prefix, fn); err != nil {
			return err
		}
	}
	return nil
}

func listDir(root *os.Root, at, prefix string, fn func(object) error) error {
	dir, err := root.Open(at)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return failed("listing", prefix, err)
	}
	defer dir.Close()
	for {
		infos, err := dir.Readdir(1000)
		for _, info := range infos {
			name := path.Join(at, info.Name())
			if !info.Mode().IsRegular() || !strings.HasPrefix(name, prefix) && !strings.HasPrefix(info.Name(), tempPrefix) {
				continue
			}
			if err := fn(described(name, info)); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return failed("listing", prefix, err)
		}
	}
}

func (f *folder) remove(ctx context.Context, name string) error {
	root, err := f.root(ctx)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return failed("removing", name, err)
	}
	return nil
}

func (f *folder) check(ctx context.Context) error {
	root, err := f.root(ctx)
	if err != nil {
		return err
	}
	if !writable(f.path) {
		_ = root.Close()
		return trouble("writing to the folder: %w", fs.ErrPermission)
	}
	return root.Close()
}
