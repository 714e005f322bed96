// Package seal keeps channel secrets unreadable at rest. It holds the keyset
// file and the two operations on secrets, and nothing else: where ciphertexts
// are stored, and which fields are secret, is decided elsewhere.
//
// Secrets are sealed with AES-256-GCM through Tink, which stamps each
// ciphertext with the identifier of its key, so that keys can be rotated
// without touching what was sealed before. Every ciphertext is bound to a
// context, such as "channel/shop-en", by authenticated associated data: copied
// onto another row, it does not open.
//
// # Where the boundary lies
//
// The keyset file is cleartext JSON with mode 0600. What it protects against is
// a reader of the database: a dump, a backup, a replica, an injected query.
// Against a reader of the process's own files it protects as well as the file's
// owner does. Encrypting the file with a second key would only move the
// question to where that key lies, unless it lies in a key management service;
// such a service can wrap the same Tink keyset without changing one ciphertext.
// Back the file up apart from the database: without it the sealed secrets are
// gone, and with both in one place nothing is protected.
//
// The environment variable SLUICE_KEYSET holds the path of the file, never key
// material, because environments leak into crash reports and process listings.
// It is read in cmd; this package takes the path.
//
// No error of this package holds key material, plaintext or ciphertext.
package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

var (
	// ErrMode says that others than the owner may read or write the keyset file.
	ErrMode = errors.New("keyset file is open to others than its owner")
	// ErrFormat says that the file is not a Tink JSON keyset of AEAD keys.
	ErrFormat = errors.New("not a Tink JSON keyset for authenticated encryption")
	// ErrSealed says that a ciphertext does not open: it was changed, belongs to
	// another context, or was sealed with a key that the keyset does not hold.
	// Which of these it is cannot be told, by design of the cipher.
	ErrSealed = errors.New("ciphertext was changed, belongs to another context, or its key is missing")
	// ErrContext says that a context is empty, which would bind a secret to nothing.
	ErrContext = errors.New("context is empty")
)

// Keyset seals and opens secrets with the keys of one file. It is safe for
// concurrent use. When a ciphertext names a key that it does not know, it reads
// its file once more, so that running processes follow a rotation made by
// another one.
type Keyset struct {
	path string
	// rereading makes one goroutine read the file where many meet a new key at once.
	rereading sync.Mutex
	keys      atomic.Pointer[keys]
}

// keys is one state of the file.
type keys struct {
	handle *keyset.Handle
	aead   tink.AEAD
	file   fs.FileInfo
}

// Open reads the keyset file at path. Its errors wrap [fs.ErrNotExist], [ErrMode]
// or [ErrFormat], or are those of the file system.
func Open(path string) (*Keyset, error) {
	k, err := read(path)
	if err != nil {
		return nil, err
	}
	return newKeyset(path, k), nil
}

// Create generates a keyset with one key and writes it to path with mode 0600.
// The file appears whole or not at all. An existing file is never overwritten:
// the error wraps [fs.ErrExist]. The folder must exist.
func Create(path string) (*Keyset, error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("generate a key for keyset %s: %w", path, err)
	}
	content, err := encode(handle)
	if err != nil {
		return nil, fmt.Errorf("encode keyset %s: %w", path, err)
	}
	if err := writeNew(path, content); err != nil {
		return nil, fmt.Errorf("create keyset %s: %w", path, err)
	}
	return Open(path)
}

// OpenOrCreate opens the keyset at path, or creates it where there is none.
// Processes that start at the same time all end with the same keys: the first
// file to appear wins, and the others read it.
func OpenOrCreate(path string) (*Keyset, error) {
	k, err := Open(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	k, err = Create(path)
	if errors.Is(err, fs.ErrExist) {
		return Open(path)
	}
	return k, err
}

// Rotate adds a new key to the file at path and makes it the one that seals.
// The older keys stay, so what they sealed still opens. The file is replaced in
// one step. While one rotation is under way a second is refused with an error
// that wraps [fs.ErrExist], because the later of two writers would drop the
// other's key and all that was sealed with it.
func Rotate(path string) (*Keyset, error) {
	if err := rotate(path); err != nil {
		return nil, fmt.Errorf("rotate keyset %s: %w", path, err)
	}
	return Open(path)
}

func rotate(path string) error {
	next, err := lockNext(path)
	if err != nil {
		return err
	}
	defer next.abandon()
	// Read only under the lock: a rotation that ended a moment ago counts.
	k, err := read(path)
	if err != nil {
		return err
	}
	manager := keyset.NewManagerFromHandle(k.handle)
	id, err := manager.Add(aead.AES256GCMKeyTemplate())
	if err != nil {
		return fmt.Errorf("generate a key: %w", err)
	}
	if err := manager.SetPrimary(id); err != nil {
		return fmt.Errorf("make the new key primary: %w", err)
	}
	handle, err := manager.Handle()
	if err != nil {
		return fmt.Errorf("assemble the keys: %w", err)
	}
	content, err := encode(handle)
	if err != nil {
		return err
	}
	return next.replace(content)
}

// Seal encrypts plaintext, which may be empty, for one context, which may not.
// Sealing the same plaintext twice gives different ciphertexts. A ciphertext is
// 33 bytes longer than its plaintext: key identifier, nonce and tag.
func (k *Keyset) Seal(plaintext []byte, context string) ([]byte, error) {
	if context == "" {
		return nil, fmt.Errorf("seal a secret: %w", ErrContext)
	}
	sealed, err := k.keys.Load().aead.Encrypt(plaintext, []byte(context))
	if err != nil {
		return nil, fmt.Errorf("seal a secret for %s: %w", context, err)
	}
	return sealed, nil
}

// Open decrypts what [Keyset.Seal] made for the same context. The error wraps
// [ErrSealed] where that is not so.
func (k *Keyset) Open(ciphertext []byte, context string) ([]byte, error) {
	if context == "" {
		return nil, fmt.Errorf("open a secret: %w", ErrContext)
	}
	current := k.keys.Load()
	plaintext, err := current.aead.Decrypt(ciphertext, []byte(context))
	if err == nil {
		return plaintext, nil
	}
	if next := k.reread(current); next != current {
		if plaintext, err = next.aead.Decrypt(ciphertext, []byte(context)); err == nil {
			return plaintext, nil
		}
	}
	return nil, fmt.Errorf("open the secret of %s: %w", context, ErrSealed)
}

// String names the file and nothing in it.
func (k *Keyset) String() string { return "keyset " + k.path }

// reread returns the file's keys if they differ from current and include them,
// otherwise current. A file that has lost keys, or that cannot be read, is not
// followed: what is in memory still opens what was sealed.
func (k *Keyset) reread(current *keys) *keys {
	k.rereading.Lock()
	defer k.rereading.Unlock()
	if latest := k.keys.Load(); latest != current {
		return latest
	}
	info, err := os.Stat(k.path)
	if err != nil || sameFile(info, current.file) {
		return current
	}
	next, err := read(k.path)
	if err != nil || !includes(next.handle, current.handle) {
		return current
	}
	k.keys.Store(next)
	return next
}

// sameFile compares what a replaced file cannot keep. It spares a read of the
// file for every ciphertext that does not open.
func sameFile(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// includes reports whether every key of old is in next, by value and not only
// by identifier.
func includes(next, old *keyset.Handle) bool {
	for i := range old.Len() {
		o, err := old.Entry(i)
		if err != nil {
			return false
		}
		found := false
		for j := range next.Len() {
			if n, err := next.Entry(j); err == nil && n.KeyID() == o.KeyID() && n.Key().Equal(o.Key()) {
				found = true
				break
			}
		}
		if !found {
			return false
		}
	}
	return true
}

func newKeyset(path string, k *keys) *Keyset {
	ks := &Keyset{path: path}
	ks.keys.Store(k)
	return ks
}

func encode(handle *keyset.Handle) ([]byte, error) {
	var b bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&b)); err != nil {
		return nil, err
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

// decode drops the decoder's own errors, which may quote the input, hence keys.
func decode(content []byte) (*keyset.Handle, tink.AEAD, error) {
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(content)))
	if err != nil {
		return nil, nil, ErrFormat
	}
	primitive, err := aead.New(handle)
	if err != nil {
		return nil, nil, ErrFormat
	}
	return handle, primitive, nil
}
