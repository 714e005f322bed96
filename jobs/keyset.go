package jobs

import (
	"context"
	"errors"
	"fmt"
)

// ErrKeyset says that the keyset of this process is not the one that the
// database's secrets are sealed with.
var ErrKeyset = errors.New("the keyset file is not the one that this database's secrets are sealed with: put that file in its place, or name it with SLUICE_KEYSET")

// keysetContext binds what tells the keyset.
const keysetContext = "catalogue/keyset"

// CheckKeyset asks whether this process's keyset opens what the house sealed
// with its own: ErrKeyset where it does not. A keyset with more keys, after a
// rotation, opens it too. bound is false while no process has sealed anything.
func (c *Channels) CheckKeyset(ctx context.Context) (bound bool, err error) {
	check, err := c.store.KeysetCheck(ctx)
	if err != nil || check == nil {
		return false, err
	}
	if _, err := c.keys.Open(check, keysetContext); err != nil {
		return true, fmt.Errorf("%v: %w", c.keys, ErrKeyset)
	}
	return true, nil
}

// BindKeyset is CheckKeyset for a process that goes on to use its keyset: the
// first one binds the database to it. It would be too late to notice another
// keyset when there are secrets of both.
func (c *Channels) BindKeyset(ctx context.Context) error {
	bound, err := c.CheckKeyset(ctx)
	if err != nil || bound {
		return err
	}
	channels, err := c.store.Channels(ctx)
	if err != nil {
		return err
	}
	for _, ch := range channels {
		if _, err := c.unseal(ch); err != nil {
			return fmt.Errorf("%v: %w", c.keys, ErrKeyset)
		}
	}
	mine, err := c.keys.Seal([]byte("sluice"), keysetContext)
	if err != nil {
		return err
	}
	if err := c.store.SetKeysetCheck(ctx, mine); err != nil {
		return err
	}
	_, err = c.CheckKeyset(ctx) // another process may have been first
	return err
}
