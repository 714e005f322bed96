package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

const tagKeys = "keys"

// Key is an API key without its secret.
type Key struct {
	ID        int64      `json:"id"`
	Name      string     `json:"name" doc:"Whose doing events say a change is"`
	Role      Role       `json:"role" enum:"viewer,editor,channel-manager,integration,admin"`
	CreatedAt time.Time  `json:"created_at"`
	RevokedAt *time.Time `json:"revoked_at,omitempty"`
}

// NewKeyAnswer is a new key with its secret, which is shown this once.
type NewKeyAnswer struct {
	Key
	Secret string `json:"secret" doc:"slk_…; nobody can ask for it again"`
}

// KeySpec is what a new key is made of.
type KeySpec struct {
	Name string `json:"name" minLength:"1" maxLength:"100"`
	Role Role   `json:"role" enum:"viewer,editor,channel-manager,integration,admin"`
}

// KeyPath is a key's number in an address.
type KeyPath struct {
	ID int64 `path:"id" minimum:"1"`
}

func (s *server) registerKeys() {
	handle(s, op("list-keys", http.MethodGet, "/v1/keys", tagKeys, "List all API keys, revoked ones too"), s.listKeys)
	handle(s, op("create-key", http.MethodPost, "/v1/keys", tagKeys, "Create an API key",
		status(http.StatusCreated), takesJSON[KeySpec](s)), s.createKey)
	handle(s, op("revoke-key", http.MethodDelete, "/v1/keys/{id}", tagKeys, "Revoke an API key; it ends everywhere within five seconds"), s.revokeKey)
}

func viewKey(k postgres.APIKey) Key {
	return Key{ID: k.ID, Name: k.Name, Role: Role(k.Role), CreatedAt: k.CreatedAt, RevokedAt: k.RevokedAt}
}

func (s *server) listKeys(ctx context.Context, _ *struct{}) (*answer[page[Key]], error) {
	list, err := s.Store.Keys(ctx)
	if err != nil {
		return nil, err
	}
	items := make([]Key, len(list))
	for i, k := range list {
		items[i] = viewKey(k)
	}
	return pageOf(items, ""), nil
}

func (s *server) createKey(ctx context.Context, in *RawInput) (*answer[NewKeyAnswer], error) {
	spec, err := decode[KeySpec](in.RawBody, nil)
	if err != nil {
		return nil, err
	}
	if err := ValidKey(spec.Name, string(spec.Role)); err != nil {
		return nil, err
	}
	secret, hash := NewKey()
	k, err := s.Store.CreateKey(ctx, spec.Name, string(spec.Role), hash)
	if err != nil {
		return nil, err
	}
	s.keys.forget()
	return &answer[NewKeyAnswer]{NewKeyAnswer{Key: viewKey(k), Secret: secret}}, nil
}

func (s *server) revokeKey(ctx context.Context, in *KeyPath) (*struct{}, error) {
	_, err := s.Store.RevokeKey(ctx, in.ID)
	s.keys.forget()
	return nil, err
}

// maxKeyName is in characters.
const maxKeyName = 100

// ValidKey checks the name and role of a new key; the error is a *pim.Invalid
// with pointers /name and /role.
func ValidKey(name, role string) error {
	var invalid pim.Invalid
	add := func(pointer, code, detail string) {
		invalid.Problems = append(invalid.Problems, pim.Problem{Pointer: pointer, Code: code, Detail: detail})
	}
	if n := utf8.RuneCountInString(name); n == 0 || n > maxKeyName || strings.TrimSpace(name) != name || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		add("/name", "key.name", fmt.Sprintf("a key's name has 1 to %d printable characters, no space at either end", maxKeyName))
	}
	if _, err := ParseRole(role); err != nil {
		add("/role", "key.role", err.Error())
	}
	if len(invalid.Problems) > 0 {
		return &invalid
	}
	return nil
}
