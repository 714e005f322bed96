//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/sluicehub/sluice/api"
	"github.com/sluicehub/sluice/pim/postgres"
)

type keyCmd struct {
	Create keyCreateCmd `cmd:"" help:"Create an API key and print its secret, which cannot be read again."`
	List   keyListCmd   `cmd:"" help:"List API keys."`
	Revoke keyRevokeCmd `cmd:"" help:"End an API key."`
}

type keyCreateCmd struct {
	Name string `arg:"" help:"Who or what uses it; events name it as their actor."`
	Role string `required:"" enum:"viewer,editor,channel-manager,integration,admin" help:"What it may do: viewer, editor, channel-manager, integration or admin."`
	JSON bool   `name:"json" help:"Print a JSON object."`
}

// keyView is a key as it is printed.
type keyView struct {
	ID        int64      `json:"id"`
	Name      string     `json:"name"`
	Role      string     `json:"role"`
	CreatedAt time.Time  `json:"created_at"`
	RevokedAt *time.Time `json:"revoked_at,omitempty"`
	Key       string     `json:"key,omitempty"`
}

// Run creates the key.
func (k keyCreateCmd) Run(ctx context.Context, c console) error {
	role, err := api.ParseRole(k.Role)
	if err != nil {
		return err
	}
	store, err := openStore(ctx, few)
	if err != nil {
		return err
	}
	defer store.Close()
	secret, hash := api.NewKey()
	made, err := store.CreateKey(ctx, k.Name, string(role), hash)
	if err != nil {
		return err
	}
	if k.JSON {
		return printJSON(c.out, keyView{ID: made.ID, Name: made.Name, Role: made.Role, CreatedAt: made.CreatedAt, Key: secret})
	}
	_, err = fmt.Fprintln(c.out, secret)
	return err
}

type keyListCmd struct {
	JSON bool `name:"json" help:"Print a JSON array."`
}

// Run lists the keys.
func (k keyListCmd) Run(ctx context.Context, c console) error {
	return list(ctx, c, k.JSON, []string{"ID", "NAME", "ROLE", "CREATED", "REVOKED"}, keyViews, func(v keyView) []string {
		revoked := "-"
		if v.RevokedAt != nil {
			revoked = v.RevokedAt.Format(time.DateTime)
		}
		return []string{strconv.FormatInt(v.ID, 10), v.Name, v.Role, v.CreatedAt.Format(time.DateTime), revoked}
	})
}

func keyViews(ctx context.Context, store *postgres.Store) ([]keyView, error) {
	keys, err := store.Keys(ctx)
	if err != nil {
		return nil, err
	}
	views := make([]keyView, len(keys))
	for i, a := range keys {
		views[i] = keyView{ID: a.ID, Name: a.Name, Role: a.Role, CreatedAt: a.CreatedAt, RevokedAt: a.RevokedAt}
	}
	return views, nil
}

type keyRevokeCmd struct {
	ID int64 `arg:"" help:"The key's number, as the list shows it."`
}

// Run revokes the key.
func (k keyRevokeCmd) Run(ctx context.Context, c console) error {
	store, err := openStore(ctx, few)
	if err != nil {
		return err
	}
	defer store.Close()
	gone, err := store.RevokeKey(ctx, k.ID)
	if errors.Is(err, postgres.ErrNotFound) {
		return fmt.Errorf("there is no key %d", k.ID)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.out, "Key %d (%s) is revoked; running servers notice within seconds.\n", gone.ID, gone.Name)
	return err
}
