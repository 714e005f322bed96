package blob

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is a store under test.
type fixture struct {
	Store
	// lag makes what is put from now on look as old as that.
	lag func(time.Duration)
	// temp is where Put keeps what it has not finished.
	temp string
}

// lagging is a folder that can make its content look older.
type lagging struct {
	*Folder
	age time.Duration
}

func (l *lagging) Put(ctx context.Context, r io.Reader, limit int64) (Stored, error) {
	s, err := l.Folder.Put(ctx, r, limit)
	if err == nil && l.age > 0 {
		at := time.Now().Add(-l.age)
		err = l.root.Chtimes(s.Hash.key(), at, at)
	}
	return s, err
}

// clock is gofakes3's.
type clock struct {
	mu  sync.Mutex
	lag time.Duration
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(-c.lag).UTC()
}

func (c *clock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

func (c *clock) set(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lag = d
}

func folder(t *testing.T) *Folder {
	t.Helper()
	f, err := OpenFolder(filepath.Join(t.TempDir(), "data", "blobs"), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func fakeS3(t *testing.T) (*S3, *clock) {
	t.Helper()
	c := &clock{}
	backend := s3mem.New(s3mem.WithTimeSource(c))
	if err := backend.CreateBucket(testBucket); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gofakes3.New(backend, gofakes3.WithTimeSource(c), gofakes3.WithTimeSkewLimit(0)).Server())
	t.Cleanup(server.Close)
	return openS3(t, S3Options{Endpoint: server.URL, Bucket: testBucket, AccessKey: testAccess, SecretKey: testSecret}, nil), c
}

var fixtures = map[string]func(*testing.T) *fixture{
	"folder": func(t *testing.T) *fixture {
		l := &lagging{Folder: folder(t)}
		return &fixture{Store: l, lag: func(d time.Duration) { l.age = d }, temp: filepath.Join(l.root.Name(), tempDir)}
	},
	"gofakes3": func(t *testing.T) *fixture {
		s, c := fakeS3(t)
		s.page = 2
		return &fixture{Store: s, lag: c.set, temp: s.spool}
	},
	"signed": func(t *testing.T) *fixture {
		server := newSignedServer(t)
		t.Cleanup(func() {
			if len(server.refused) > 0 {
				t.Errorf("requests with a wrong signature: %q", server.refused)
			}
		})
		s := server.open(t, nil)
		s.page = 2
		return &fixture{Store: s, lag: server.setLag, temp: s.spool}
	},
}

// empty says that nothing is left of unfinished Puts.
func (f *fixture) empty(t *testing.T) {
	t.Helper()
	if names, err := os.ReadDir(f.temp); err != nil || len(names) > 0 {
		t.Errorf("left in the temporary folder: %v, %v", names, err)
	}
}

func put(t *testing.T, s Store, content string) Stored {
	t.Helper()
	got, err := s.Put(t.Context(), strings.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	if want := Hash(sha256.Sum256([]byte(content))); got.Hash != want || got.Size != int64(len(content)) {
		t.Fatalf("stored %v %d, want %v %d", got.Hash, got.Size, want, len(content))
	}
	return got
}

func read(t *testing.T, s Store, h Hash) string {
	t.Helper()
	o, err := s.Open(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	b, err := io.ReadAll(o)
	if err != nil || int64(len(b)) != o.Size || o.Hash != h {
		t.Fatalf("read %d bytes of %d, %v", len(b), o.Size, err)
	}
	return string(b)
}

func walk(t *testing.T, s Store) map[Hash]int64 {
	t.Helper()
	got := map[Hash]int64{}
	err := s.Walk(t.Context(), func(i Info) error {
		if _, twice := got[i.Hash]; twice || i.ModTime.IsZero() {
			t.Errorf("walk: %+v, twice %v", i, twice)
		}
		got[i.Hash] = i.Size
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestStore(t *testing.T) {
	for name, start := range fixtures {
		t.Run(name, func(t *testing.T) {
			t.Run("life", func(t *testing.T) { testLife(t, start(t)) })
			t.Run("refusals", func(t *testing.T) { testRefusals(t, start(t)) })
			t.Run("ranges", func(t *testing.T) { testRanges(t, start(t)) })
			t.Run("age", func(t *testing.T) { testAge(t, start(t)) })
			t.Run("together", func(t *testing.T) { testTogether(t, start(t)) })
			t.Run("contract", func(t *testing.T) { testReader(t, start(t)) })
		})
	}
}

func testLife(t *testing.T, f *fixture) {
	if err := f.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	contents := []string{"", "a", "b", strings.Repeat("long ", 100_000)}
	want := map[Hash]int64{}
	for _, content := range contents {
		first, again := put(t, f, content), put(t, f, content)
		if !first.New || again.New {
			t.Errorf("new: %v, then %v", first.New, again.New)
		}
		want[first.Hash] = first.Size
		if got := read(t, f, first.Hash); got != content {
			t.Errorf("read %d bytes, want %d", len(got), len(content))
		}
		if err := Verify(t.Context(), f, first.Hash); err != nil {
			t.Error(err)
		}
	}
	if got := walk(t, f); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("walk: %v, want %v", got, want)
	}
	stop := errors.New("enough")
	calls := 0
	if err := f.Walk(t.Context(), func(Info) error { calls++; return stop }); err != stop || calls != 1 { //nolint:errorlint // as it is
		t.Errorf("walk stopped by %v after %d", err, calls)
	}
	// A walk's fn may remove what it is called for.
	err := f.Walk(t.Context(), func(i Info) error {
		delete(want, i.Hash)
		return f.Delete(t.Context(), i.Hash)
	})
	if err != nil || len(want) > 0 || len(walk(t, f)) > 0 {
		t.Errorf("after deleting all: %v, not seen %v, left %v", err, want, walk(t, f))
	}
	h := Hash(sha256.Sum256([]byte("a")))
	if err := f.Delete(t.Context(), h); err != nil {
		t.Error(err)
	}
	if _, err := f.Open(t.Context(), h); !errors.Is(err, ErrNotFound) {
		t.Errorf("open of what was deleted: %v", err)
	}
	if err := Verify(t.Context(), f, h); !errors.Is(err, ErrNotFound) {
		t.Errorf("verify of what was deleted: %v", err)
	}
	if s := put(t, f, "a"); !s.New {
		t.Error("what was deleted is not new")
	}
	f.empty(t)
}

func testRefusals(t *testing.T, f *fixture) {
	if _, err := f.Put(t.Context(), strings.NewReader("123456"), 5); !errors.Is(err, ErrTooLarge) {
		t.Errorf("beyond the limit: %v", err)
	}
	broken := errors.New("the line went dead")
	if _, err := f.Put(t.Context(), io.MultiReader(strings.NewReader("12"), iotest.ErrReader(broken)), 5); !errors.Is(err, broken) {
		t.Errorf("broken reader: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	h := put(t, f, "kept").Hash
	cancel()
	if _, err := f.Put(ctx, strings.NewReader("x"), 5); !errors.Is(err, context.Canceled) {
		t.Errorf("put cancelled: %v", err)
	}
	if _, err := f.Open(ctx, h); !errors.Is(err, context.Canceled) {
		t.Errorf("open cancelled: %v", err)
	}
	if err := f.Walk(ctx, func(Info) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("walk cancelled: %v", err)
	}
	if err := f.Check(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("check cancelled: %v", err)
	}
	// Cancelled while content comes.
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	if _, err := f.Put(ctx, readerFunc(func(p []byte) (int, error) { cancel(); return copy(p, "more"), nil }), 1<<40); !errors.Is(err, context.Canceled) {
		t.Errorf("put cancelled on the way: %v", err)
	}
	if got := walk(t, f); len(got) != 1 {
		t.Errorf("left by refused puts: %v", got)
	}
	f.empty(t)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func testRanges(t *testing.T, f *fixture) {
	content := make([]byte, 3*minWindow+17)
	if _, err := rand.NewChaCha8([32]byte{1}).Read(content); err != nil {
		t.Fatal(err)
	}
	h := put(t, f, string(content)).Hash
	o, err := f.Open(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	for _, c := range []struct {
		offset, whence, at, length int
	}{
		{0, io.SeekStart, 0, 10},
		{5, io.SeekCurrent, 15, 10},
		{-7, io.SeekEnd, len(content) - 7, 7},
		{minWindow - 3, io.SeekStart, minWindow - 3, minWindow + 6},
		{0, io.SeekStart, 0, len(content)},
	} {
		at, err := o.Seek(int64(c.offset), c.whence)
		if err != nil || at != int64(c.at) {
			t.Fatalf("seek %+v: %d, %v", c, at, err)
		}
		got := make([]byte, c.length)
		if _, err := io.ReadFull(o, got); err != nil || !bytes.Equal(got, content[c.at:c.at+c.length]) {
			t.Errorf("read %+v: other bytes, %v", c, err)
		}
	}
	if n, err := o.Read(make([]byte, 1)); n != 0 || err != io.EOF { //nolint:errorlint // as io.Reader has it
		t.Errorf("at the end: %d, %v", n, err)
	}
	if _, err := o.Seek(-1, io.SeekStart); err == nil {
		t.Error("seek before the beginning")
	}
	if err := o.Close(); err != nil {
		t.Error(err)
	}
	if _, err := o.Read(make([]byte, 1)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("read after close: %v", err)
	}
}

// testReader has the standard library judge how an object reads.
func testReader(t *testing.T, f *fixture) {
	content := []byte(strings.Repeat("0123456789abcdef", 8<<10))
	o, err := f.Open(t.Context(), put(t, f, string(content)).Hash)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if err := iotest.TestReader(struct{ io.ReadSeeker }{o}, content); err != nil {
		t.Error(err)
	}
}

func testAge(t *testing.T, f *fixture) {
	// An hour from the borders, so that no machine is too slow.
	grace := f.Grace()
	if grace != DefaultGrace {
		t.Fatalf("grace = %v", grace)
	}
	h := put(t, f, "young").Hash
	f.lag(grace - time.Hour)
	middle := put(t, f, "middle").Hash
	f.lag(grace + time.Hour)
	old := put(t, f, "old").Hash
	renewed := put(t, f, "renewed").Hash
	f.lag(0)
	// Young enough not to be collected now, too old for a reference to be safe.
	before := modTime(t, f, middle)
	if s := put(t, f, "middle"); s.New || !modTime(t, f, middle).After(before.Add(grace/2)) {
		t.Errorf("renewed content: new %v, %v, then %v", s.New, before, modTime(t, f, middle))
	}
	if s := put(t, f, "renewed"); s.New || s.Hash != renewed {
		t.Errorf("renewed content: %+v", s)
	}
	before = modTime(t, f, h)
	if put(t, f, "young"); !modTime(t, f, h).Equal(before) {
		t.Error("young content was written again")
	}
	for _, c := range []struct {
		hash Hash
		want bool
	}{{h, false}, {middle, false}, {renewed, false}, {old, true}, {old, false}} {
		if got, err := f.Expire(t.Context(), c.hash); err != nil || got != c.want {
			t.Errorf("expire %v: %v, %v, want %v", c.hash, got, err, c.want)
		}
	}
	if got := walk(t, f); len(got) != 3 {
		t.Errorf("left: %v", got)
	}
}

func modTime(t *testing.T, s Store, h Hash) time.Time {
	t.Helper()
	o, err := s.Open(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	return o.ModTime
}

// testTogether has many put, read and expire the same few contents at once.
func testTogether(t *testing.T, f *fixture) {
	contents := []string{"one", "two", "three"}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var fresh []Hash
	for range 8 {
		wg.Go(func() {
			for _, content := range contents {
				s, err := f.Put(t.Context(), iotest.OneByteReader(strings.NewReader(content)), 10)
				if err != nil {
					t.Error(err)
					return
				}
				if s.New {
					mu.Lock()
					fresh = append(fresh, s.Hash)
					mu.Unlock()
				}
				if removed, err := f.Expire(t.Context(), s.Hash); removed || err != nil {
					t.Errorf("expire of what was just put: %v, %v", removed, err)
				}
				if err := Verify(t.Context(), f, s.Hash); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	slices.SortFunc(fresh, func(a, b Hash) int { return bytes.Compare(a[:], b[:]) })
	if distinct := slices.Compact(slices.Clone(fresh)); len(fresh) != len(contents) || len(distinct) != len(contents) {
		t.Errorf("new: %v", fresh)
	}
	if got := walk(t, f); len(got) != len(contents) {
		t.Errorf("walk: %v", got)
	}
	f.empty(t)
}
