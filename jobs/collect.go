package jobs

import (
	"context"
	"time"

	"github.com/sluicehub/sluice/pim/blob"
)

const (
	// collectEvery is how often files are looked through, by one process for all.
	collectEvery = 24 * time.Hour
	// UnusedAssets is how long an asset stays that no product names.
	UnusedAssets = 30 * 24 * time.Hour
	// collectFiles is how many files are asked for at a time.
	collectFiles = 1000
)

// collect throws away, once a day, what nobody refers to.
func (r *Runner) collect(ctx context.Context) {
	mine, err := r.store.TakeCollection(ctx, collectEvery)
	if err == nil && mine {
		err = r.media.Collect(ctx, UnusedAssets)
	}
	if err != nil && ctx.Err() == nil {
		r.log.WarnContext(ctx, "collect files", "err", err)
	}
}

// Collect forgets assets that no product has named for grace and renditions
// that nothing asks for, and removes the files that nothing refers to and that
// are older than the storage's own grace: a file is put before the row that
// refers to it is committed. See package blob for what is promised beside a Put
// of the same content.
func (m *Media) Collect(ctx context.Context, grace time.Duration) error {
	if _, _, err := m.store.ForgetMedia(ctx, grace); err != nil {
		return err
	}
	var old [][]byte
	flush := func() error {
		gone, err := m.store.Unreferenced(ctx, old)
		old = old[:0]
		if err != nil {
			return err
		}
		for _, h := range gone {
			if _, err := m.blobs.Expire(ctx, blob.Hash(h)); err != nil {
				return err
			}
		}
		return nil
	}
	err := m.blobs.Walk(ctx, func(i blob.Info) error {
		if time.Since(i.ModTime) < m.blobs.Grace() {
			return nil
		}
		if old = append(old, i.Hash[:]); len(old) < collectFiles {
			return nil
		}
		return flush()
	})
	if err == nil && len(old) > 0 {
		err = flush()
	}
	return err
}
