package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/sluicehub/sluice/pim/postgres"
)

const (
	keyPrefix = "slk_"
	keyBytes  = 32 // of randomness: too many to guess, so a fast hash will do
)

// NewKey makes an API key: the secret for its holder, shown once, and the hash
// that Store.CreateKey keeps.
func NewKey() (secret string, hash []byte) {
	b := make([]byte, keyBytes)
	_, _ = rand.Read(b) // never fails
	secret = keyPrefix + base64.RawURLEncoding.EncodeToString(b)
	return secret, HashKey(secret)
}

// HashKey is what the store knows of a secret: its SHA-256.
func HashKey(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// admit lets a request through to its operation when its key may.
func (s *server) admit(ctx huma.Context, next func(huma.Context)) {
	o := ctx.Operation()
	c := callOf(ctx.Context())
	c.op = o.OperationID
	if p := s.refusal(ctx, o, c); p != nil {
		_, w := humago.Unwrap(ctx)
		p.write(w)
		return
	}
	if o.Metadata[metaSlow] != nil {
		// The server's own limits would end the answer, and also the request:
		// net/http takes a read deadline that passes for a client that left.
		_, w := humago.Unwrap(ctx)
		rc := http.NewResponseController(w)
		_ = rc.SetReadDeadline(time.Time{}) // a test's recorder knows none
		_ = rc.SetWriteDeadline(time.Now().Add(uploadMost + time.Minute))
	}
	next(ctx)
}

func (s *server) refusal(ctx huma.Context, o *huma.Operation, c *call) *Problem {
	if o.Security != nil && len(o.Security) == 0 {
		return nil
	}
	if s.Actor != "" {
		c.key = postgres.APIKey{Name: s.Actor, Role: string(Admin)}
		return consumes(o, ctx.Header("Content-Type"))
	}
	secret, ok := bearer(ctx.Header("Authorization"))
	if !ok {
		return problem(http.StatusUnauthorized, "unauthorized", "an API key is needed: Authorization: Bearer slk_…").
			with("WWW-Authenticate", `Bearer realm="sluice"`)
	}
	key, err := s.keys.find(ctx.Context(), secret)
	if errors.Is(err, postgres.ErrNotFound) {
		return problem(http.StatusUnauthorized, "unauthorized", "the API key is not known, or was revoked").
			with("WWW-Authenticate", `Bearer realm="sluice", error="invalid_token"`)
	}
	if err != nil {
		return s.problem(ctx.Context(), err)
	}
	c.key = key
	if !may(key.Role, o.OperationID) {
		return problem(http.StatusForbidden, "forbidden", "a key of role "+key.Role+" may not do this")
	}
	return consumes(o, ctx.Header("Content-Type"))
}

// bearer takes the secret out of an Authorization header, if it looks like one
// of ours: what does not is never looked up.
func bearer(header string) (string, bool) {
	scheme, secret, _ := strings.Cut(header, " ")
	secret = strings.TrimSpace(secret)
	if !strings.EqualFold(scheme, "Bearer") || !strings.HasPrefix(secret, keyPrefix) {
		return "", false
	}
	b, err := base64.RawURLEncoding.DecodeString(secret[len(keyPrefix):])
	return secret, err == nil && len(b) == keyBytes
}

const (
	keyFresh   = 5 * time.Second // how long a revoked key may still pass elsewhere
	noKeyFresh = time.Second     // how long a new key may still be refused elsewhere
	maxKeys    = 10_000          // remembered
	maxLookups = 4               // at once: guesses must not take the editors' connections
)

// keyring remembers keys for a few seconds, so that a request costs no query.
type keyring struct {
	store *postgres.Store
	gate  chan struct{}
	mu    sync.RWMutex
	seen  map[[sha256.Size]byte]seenKey
}

type seenKey struct {
	key   postgres.APIKey // ID 0: there is none
	until time.Time
}

func newKeyring(s *postgres.Store) *keyring {
	return &keyring{store: s, gate: make(chan struct{}, maxLookups), seen: map[[sha256.Size]byte]seenKey{}}
}

// find gives the key of a secret; postgres.ErrNotFound.
func (k *keyring) find(ctx context.Context, secret string) (postgres.APIKey, error) {
	hash := sha256.Sum256([]byte(secret))
	if e, ok := k.recall(hash); ok {
		return e.result()
	}
	select {
	case k.gate <- struct{}{}:
		defer func() { <-k.gate }()
	case <-ctx.Done():
		return postgres.APIKey{}, ctx.Err()
	}
	if e, ok := k.recall(hash); ok { // another request asked meanwhile
		return e.result()
	}
	e := seenKey{until: time.Now().Add(keyFresh)}
	key, err := k.store.KeyByHash(ctx, hash[:])
	switch {
	case errors.Is(err, postgres.ErrNotFound):
		e.until = time.Now().Add(noKeyFresh)
	case err != nil:
		return postgres.APIKey{}, err
	default:
		e.key = key
	}
	k.remember(hash, e)
	return e.result()
}

func (e seenKey) result() (postgres.APIKey, error) {
	if e.key.ID == 0 {
		return postgres.APIKey{}, postgres.ErrNotFound
	}
	return e.key, nil
}

func (k *keyring) recall(hash [sha256.Size]byte) (seenKey, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	e, ok := k.seen[hash]
	return e, ok && time.Now().Before(e.until)
}

func (k *keyring) remember(hash [sha256.Size]byte, e seenKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.seen) >= maxKeys {
		clear(k.seen)
	}
	k.seen[hash] = e
}

// forget makes this process ask again for every key.
func (k *keyring) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.seen)
}
