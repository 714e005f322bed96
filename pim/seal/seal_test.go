package seal_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluicehub/sluice/pim/seal"
)

func create(t *testing.T) (*seal.Keyset, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keyset.json")
	k, err := seal.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	return k, path
}

func mustSeal(t *testing.T, k *seal.Keyset, plaintext, context string) []byte {
	t.Helper()
	sealed, err := k.Seal([]byte(plaintext), context)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func wantOpen(t *testing.T, k *seal.Keyset, sealed []byte, context, want string) {
	t.Helper()
	got, err := k.Open(sealed, context)
	if err != nil || string(got) != want {
		t.Fatalf("open = %q, %v; want %q", got, err, want)
	}
}

func TestRoundTrip(t *testing.T) {
	k, path := create(t)
	again, err := seal.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		plaintext := rapid.SliceOf(rapid.Byte()).Draw(t, "plaintext")
		context := rapid.StringN(1, 40, -1).Draw(t, "context")
		sealed, err := k.Seal(plaintext, context)
		if err != nil {
			t.Fatal(err)
		}
		got, err := again.Open(sealed, context)
		if err != nil || !bytes.Equal(got, plaintext) {
			t.Fatalf("open = %q, %v; want %q", got, err, plaintext)
		}
		if len(sealed) != len(plaintext)+33 {
			t.Fatalf("ciphertext of %d bytes is %d long", len(plaintext), len(sealed))
		}
	})
	if bytes.Equal(mustSeal(t, k, "same", "c"), mustSeal(t, k, "same", "c")) {
		t.Error("sealing twice gave the same ciphertext")
	}
}

func TestDoesNotOpen(t *testing.T) {
	k, _ := create(t)
	const context, secret = "channel/shop-en", "whsec_plaintext"
	sealed := mustSeal(t, k, secret, context)
	other, _ := create(t)

	refused := func(name string, k *seal.Keyset, ciphertext []byte, context string, want error) {
		t.Helper()
		got, err := k.Open(ciphertext, context)
		if got != nil || !errors.Is(err, want) {
			t.Errorf("%s: open = %q, %v; want %v", name, got, err, want)
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: error holds the plaintext", name)
		}
	}
	refused("another context", k, sealed, "channel/shop-de", seal.ErrSealed)
	refused("no context", k, sealed, "", seal.ErrContext)
	refused("another keyset", other, sealed, context, seal.ErrSealed)
	refused("empty", k, nil, context, seal.ErrSealed)
	refused("cut", k, sealed[:len(sealed)-1], context, seal.ErrSealed)
	for i := range sealed {
		tampered := bytes.Clone(sealed)
		tampered[i] ^= 1
		refused(fmt.Sprintf("bit flipped in byte %d", i), k, tampered, context, seal.ErrSealed)
	}
	if _, err := k.Seal([]byte(secret), ""); !errors.Is(err, seal.ErrContext) {
		t.Errorf("seal without context: %v", err)
	}
}

func TestRotate(t *testing.T) {
	running, path := create(t)
	old := mustSeal(t, running, "old", "c")

	rotated, err := seal.Rotate(path)
	if err != nil {
		t.Fatal(err)
	}
	wantOpen(t, rotated, old, "c", "old")
	fresh := mustSeal(t, rotated, "new", "c")
	if bytes.Equal(old[:5], fresh[:5]) {
		t.Error("the new ciphertext names the old key")
	}
	// The process that was already running follows, then seals with the new key.
	wantOpen(t, running, fresh, "c", "new")
	wantOpen(t, running, old, "c", "old")
	if again := mustSeal(t, running, "new", "c"); !bytes.Equal(again[:5], fresh[:5]) {
		t.Error("the running process still seals with the old key")
	}
	assertMode(t, path, 0o600)
	assertOnlyFile(t, path)
}

func TestRotationsDoNotLoseKeys(t *testing.T) {
	_, path := create(t)
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		sealed [][]byte
	)
	for range 16 {
		wg.Go(func() {
			k, err := seal.Rotate(path)
			if errors.Is(err, fs.ErrExist) {
				return // refused because another is under way
			}
			if err != nil {
				t.Error(err)
				return
			}
			c, err := k.Seal([]byte("x"), "c")
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			sealed = append(sealed, c)
		})
	}
	wg.Wait()
	if len(sealed) == 0 {
		t.Fatal("no rotation went through")
	}
	k, err := seal.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range sealed {
		wantOpen(t, k, c, "c", "x")
	}
}

func TestRotateRefusals(t *testing.T) {
	_, path := create(t)
	before := content(t, path)
	if err := os.WriteFile(path+".next", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.Rotate(path); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), path+".next") {
		t.Errorf("rotate beside another rotation: %v", err)
	}
	if !bytes.Equal(content(t, path), before) {
		t.Error("the refused rotation changed the file")
	}
	missing := filepath.Join(t.TempDir(), "none.json")
	if _, err := seal.Rotate(missing); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("rotate a missing file: %v", err)
	}
	if _, err := os.Stat(missing + ".next"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the lock stayed behind: %v", err)
	}
}

// A file that was replaced by an unrelated keyset is not followed: the process
// goes on with the keys that open what it has sealed.
func TestForeignFileIsNotFollowed(t *testing.T) {
	running, path := create(t)
	mine := mustSeal(t, running, "mine", "c")
	foreign, foreignPath := create(t)
	theirs := mustSeal(t, foreign, "theirs", "c")
	if err := os.Rename(foreignPath, path); err != nil {
		t.Fatal(err)
	}
	if _, err := running.Open(theirs, "c"); !errors.Is(err, seal.ErrSealed) {
		t.Errorf("open a foreign ciphertext: %v", err)
	}
	wantOpen(t, running, mine, "c", "mine")
	wantOpen(t, running, mustSeal(t, running, "more", "c"), "c", "more")
}

func TestCreateNeverOverwrites(t *testing.T) {
	_, path := create(t)
	assertMode(t, path, 0o600)
	assertOnlyFile(t, path)
	before := content(t, path)
	if _, err := seal.Create(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("create over a file: %v", err)
	}
	if !bytes.Equal(content(t, path), before) {
		t.Error("the file was overwritten")
	}
	assertOnlyFile(t, path)
}

func TestOpenRefusals(t *testing.T) {
	_, path := create(t)
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o644, 0o620, 0o602, 0o666} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := seal.Open(path)
		if !errors.Is(err, seal.ErrMode) || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %o: %v", mode, err)
		}
		if _, err := seal.OpenOrCreate(path); !errors.Is(err, seal.ErrMode) {
			t.Errorf("open or create, mode %o: %v", mode, err)
		}
	}
	for _, mode := range []fs.FileMode{0o600, 0o400} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := seal.Open(path); err != nil {
			t.Errorf("mode %o: %v", mode, err)
		}
	}

	dir := t.TempDir()
	if _, err := seal.Open(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.Open(dir); !errors.Is(err, seal.ErrFormat) {
		t.Errorf("folder: %v", err)
	}
}

func TestGarbageFile(t *testing.T) {
	k, good := create(t)
	whole := content(t, good)
	const leak = "c2VjcmV0LWtleS1tYXRlcmlhbA"
	for name, garbage := range map[string][]byte{
		"empty":       {},
		"not JSON":    []byte(leak),
		"no keys":     []byte(`{"primaryKeyId":1,"key":[]}`),
		"wrong types": []byte(`{"primaryKeyId":"` + leak + `"}`),
		"bad key":     []byte(`{"primaryKeyId":1,"key":[{"keyData":{"typeUrl":"type.googleapis.com/google.crypto.tink.AesGcmKey","value":"` + leak + `","keyMaterialType":"SYMMETRIC"},"status":"ENABLED","keyId":1,"outputPrefixType":"TINK"}]}`),
		"cut":         whole[:len(whole)/2],
		"huge":        append(bytes.Repeat([]byte(" "), 1<<20), whole...),
	} {
		path := filepath.Join(t.TempDir(), "keyset.json")
		if err := os.WriteFile(path, garbage, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := seal.OpenOrCreate(path)
		if !errors.Is(err, seal.ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), leak) {
			t.Errorf("%s: error quotes the file: %v", name, err)
		}
		if !bytes.Equal(content(t, path), garbage) {
			t.Errorf("%s: the file was changed", name)
		}
	}
	if s := fmt.Sprintf("%v %+v %s", k, k, k); !strings.HasPrefix(s, "keyset ") || strings.Contains(s, "aead") {
		t.Errorf("printed keyset: %s", s)
	}
}

func TestOpenOrCreateTogether(t *testing.T) {
	for range 20 {
		path := filepath.Join(t.TempDir(), "keyset.json")
		keysets := make([]*seal.Keyset, 16)
		start := make(chan struct{})
		var wg sync.WaitGroup
		for i := range keysets {
			wg.Go(func() {
				<-start
				k, err := seal.OpenOrCreate(path)
				if err != nil {
					t.Error(err)
				}
				keysets[i] = k
			})
		}
		close(start)
		wg.Wait()
		if t.Failed() {
			return
		}
		again, err := seal.OpenOrCreate(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range keysets {
			wantOpen(t, again, mustSeal(t, k, "x", "c"), "c", "x")
		}
		assertMode(t, path, 0o600)
		assertOnlyFile(t, path)
	}
}

func content(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func assertMode(t *testing.T, path string, want fs.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != want {
		t.Errorf("mode of %s = %v, %v; want %o", path, info.Mode(), err, want)
	}
}

// assertOnlyFile finds temporary files that stayed behind, which hold keys.
func assertOnlyFile(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("folder holds %v, %v; want the keyset alone", entries, err)
	}
}
