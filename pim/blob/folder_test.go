package blob

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// within is a path below the folder, outside of its root's protection.
func within(f *Folder, parts ...string) string {
	return filepath.Join(append([]string{f.root.Name()}, parts...)...)
}

func TestFolderModes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no such bits")
	}
	f := folder(t)
	h := put(t, f, "private").Hash
	err := filepath.WalkDir(f.root.Name(), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	text := h.String()
	if _, err := os.Stat(within(f, text[:2], text[2:4], text)); err != nil {
		t.Error(err)
	}
}

// TestFolderLinks has somebody put links where content would be.
func TestFolderLinks(t *testing.T) {
	f := folder(t)
	outside := t.TempDir()
	secret := Hash(sha256.Sum256([]byte("secret")))
	for _, target := range []string{outside, within(f, "zz")} { // outside of the root and inside
		text := secret.String()
		if err := os.MkdirAll(filepath.Join(target, text[2:4]), 0o700); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(target, text[2:4], text)
		if err := os.WriteFile(file, []byte("secret"), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, link := range []string{within(f, text[:2]), within(f, text[:2], text[2:4]), within(f, text[:2], text[2:4], text)} {
			if err := os.MkdirAll(filepath.Dir(link), 0o700); err != nil {
				t.Fatal(err)
			}
			to := map[int]string{2: target, 3: filepath.Join(target, text[2:4]), 4: file}
			depth := len(strings.Split(strings.TrimPrefix(link, f.root.Name()), string(filepath.Separator)))
			if rel, err := filepath.Rel(filepath.Dir(link), to[depth]); err != nil {
				t.Fatal(err)
			} else if err := os.Symlink(rel, link); err != nil {
				t.Fatal(err)
			}
			if o, err := f.Open(t.Context(), secret); err == nil {
				o.Close()
				t.Errorf("%s was followed", link)
			}
			if _, err := f.Put(t.Context(), strings.NewReader("secret"), 100); err == nil {
				t.Errorf("%s was written through", link)
			}
			if err := f.Delete(t.Context(), secret); err == nil {
				t.Errorf("%s was deleted through", link)
			}
			if got := walk(t, f); len(got) > 0 {
				t.Errorf("%s was walked: %v", link, got)
			}
			if _, err := os.Stat(file); err != nil {
				t.Error(err)
			}
			if err := os.RemoveAll(within(f, text[:2])); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.RemoveAll(within(f, tempDir)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, within(f, tempDir)); err != nil {
		t.Fatal(err)
	}
	if again, err := OpenFolder(f.root.Name(), 0); err == nil {
		again.Close()
		t.Error("a link in the place of tmp was followed")
	}
}

// TestFolderCrash looks at what a process leaves that was killed in a Put.
func TestFolderCrash(t *testing.T) {
	f := folder(t)
	old, young, foreign := tempPrefix+"OLD", tempPrefix+"YOUNG", "somebody-elses"
	for _, name := range []string{old, young, foreign} {
		if err := os.WriteFile(within(f, tempDir, name), []byte("half of it"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	past := time.Now().Add(-tempAge - time.Hour)
	for _, name := range []string{old, foreign} {
		if err := os.Chtimes(within(f, tempDir, name), past, past); err != nil {
			t.Fatal(err)
		}
	}
	if got := walk(t, f); len(got) > 0 {
		t.Errorf("half of a blob is seen: %v", got)
	}
	left := func(want ...string) {
		t.Helper()
		names, err := os.ReadDir(within(f, tempDir))
		if err != nil || len(names) != len(want) {
			t.Fatalf("left: %v, %v, want %v", names, err, want)
		}
		for i, name := range names {
			if name.Name() != want[i] {
				t.Errorf("left: %v, want %v", names, want)
			}
		}
	}
	left(young, foreign)
	// The next start cleans as well.
	if err := os.Chtimes(within(f, tempDir, young), past, past); err != nil {
		t.Fatal(err)
	}
	again, err := OpenFolder(f.root.Name(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	left(foreign)
}

// TestFolderDamage has content change behind the store's back.
func TestFolderDamage(t *testing.T) {
	f := folder(t)
	h := put(t, f, "whole").Hash
	for _, damage := range []string{"whOle", "who", ""} {
		if err := os.WriteFile(within(f, h.key()), []byte(damage), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Verify(t.Context(), f, h); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%q: verify: %v", damage, err)
		}
	}
	// What has another length is not taken for the content, however young.
	if s := put(t, f, "whole"); s.New || Verify(t.Context(), f, h) != nil {
		t.Errorf("put over something cut off: %+v, %v", s, Verify(t.Context(), f, h))
	}
}

func TestFolderFull(t *testing.T) {
	f := folder(t)
	space := 10
	f.through = func(w io.Writer) io.Writer {
		return writerFunc(func(p []byte) (int, error) {
			n := min(len(p), space)
			if n, err := w.Write(p[:n]); err != nil {
				return n, err
			}
			if space -= n; n < len(p) {
				return n, &fs.PathError{Op: "write", Path: "blob", Err: syscall.ENOSPC}
			}
			return n, nil
		})
	}
	_, err := f.Put(t.Context(), strings.NewReader(strings.Repeat("x", 11)), 100)
	if !errors.Is(err, ErrFull) || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), f.root.Name()) {
		t.Errorf("full disk: %v", err)
	}
	if names, err := os.ReadDir(within(f, tempDir)); err != nil || len(names) > 0 || len(walk(t, f)) > 0 {
		t.Errorf("left by a full disk: %v, %v", names, err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// TestFolderModel compares a folder with a map over many random histories.
func TestFolderModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "blob-model-") //nolint:usetesting // rapid runs many in one test
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		f, err := OpenFolder(dir, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { f.Close() }()
		ctx := context.Background()
		model, old := map[Hash][]byte{}, map[Hash]bool{}
		contents := rapid.SliceOfN(rapid.Byte(), 0, 3)
		// known is a content's hash, there or not.
		known := func(t *rapid.T) Hash { return sha256.Sum256(contents.Draw(t, "content")) }
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				content, limit := contents.Draw(t, "content"), rapid.Int64Range(0, 3).Draw(t, "limit")
				s, err := f.Put(ctx, bytes.NewReader(content), limit)
				if int64(len(content)) > limit {
					if !errors.Is(err, ErrTooLarge) {
						t.Fatalf("beyond the limit: %v", err)
					}
					return
				}
				h := Hash(sha256.Sum256(content))
				_, there := model[h]
				if err != nil || s != (Stored{Hash: h, Size: int64(len(content)), New: !there}) {
					t.Fatalf("put %x: %+v, %v", content, s, err)
				}
				model[h], old[h] = content, false
			},
			"age": func(t *rapid.T) {
				h := known(t)
				if _, there := model[h]; !there {
					return
				}
				at := time.Now().Add(-DefaultGrace - time.Hour)
				if err := f.root.Chtimes(h.key(), at, at); err != nil {
					t.Fatal(err)
				}
				old[h] = true
			},
			"delete": func(t *rapid.T) {
				h := known(t)
				if err := f.Delete(ctx, h); err != nil {
					t.Fatal(err)
				}
				delete(model, h)
			},
			"expire": func(t *rapid.T) {
				h := known(t)
				_, there := model[h]
				removed, err := f.Expire(ctx, h)
				if err != nil || removed != (there && old[h]) {
					t.Fatalf("expire: %v, %v; there %v, old %v", removed, err, there, old[h])
				}
				if removed {
					delete(model, h)
				}
			},
			"open": func(t *rapid.T) {
				h := known(t)
				want, there := model[h]
				o, err := f.Open(ctx, h)
				if !there {
					if !errors.Is(err, ErrNotFound) {
						t.Fatalf("open of what is not there: %v", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				defer o.Close()
				if got, err := io.ReadAll(o); err != nil || !bytes.Equal(got, want) {
					t.Fatalf("read %x, %v, want %x", got, err, want)
				}
			},
			"restart": func(t *rapid.T) {
				f.Close()
				if f, err = OpenFolder(dir, 0); err != nil {
					t.Fatal(err)
				}
			},
			"": func(t *rapid.T) {
				got := map[Hash]int64{}
				if err := f.Walk(ctx, func(i Info) error { got[i.Hash] = i.Size; return nil }); err != nil {
					t.Fatal(err)
				}
				want := map[Hash]int64{}
				for h, content := range model {
					want[h] = int64(len(content))
				}
				if !maps.Equal(got, want) {
					t.Fatalf("walk: %v, want %v", got, want)
				}
			},
		})
	})
}
