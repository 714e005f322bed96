package jobs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/media"
	"github.com/sluicehub/sluice/pim/postgres"
)

// Sent is a file that somebody sends, with what is said of it.
type Sent struct {
	Code     string // "": of its content, the same for the same file
	Filename string
	Named    bool                  // Filename is what it shall be called, not only what it was called where it came from
	Focal    *media.Point          // nil: as it was
	Labels   map[pim.Locale]string // nil: as they were
	Replace  bool                  // another file under the code gives way
	// Check is asked before anything is written over old, nil for nothing; its
	// error ends it.
	Check func(old *postgres.Asset) error
}

// keepRaces is how often Keep looks again when somebody else changed the asset.
const keepRaces = 10

// Keep stores a file that was sent. What is not said of it is as it was; the
// same file again changes nothing. postgres.ErrExists: there is another file
// under the code, which Replace would replace.
func (m *Media) Keep(ctx context.Context, s Sent, file io.ReadSeeker) (asset postgres.Asset, created, changed bool, err error) {
	hash, err := sumOf(file)
	if err != nil {
		return asset, false, false, err
	}
	if s.Code == "" {
		s.Code = "sha-" + hex.EncodeToString(hash)[:24]
	}
	for race := 0; ; race++ {
		var old *postgres.Asset
		there, err := m.store.Asset(ctx, s.Code)
		switch {
		case err == nil:
			old = &there
		case !errors.Is(err, postgres.ErrNotFound):
			return asset, false, false, err
		}
		if s.Check != nil {
			if err := s.Check(old); err != nil {
				return asset, false, false, err
			}
		}
		same := old != nil && string(old.Hash) == string(hash)
		if old != nil && !same && !s.Replace {
			return asset, false, false, fmt.Errorf("asset %s: %w", s.Code, postgres.ErrExists)
		}
		asset, created, changed, err = m.keep(ctx, s, file, old, same)
		if errors.Is(err, postgres.ErrStale) && race < keepRaces {
			continue
		}
		return asset, created, changed, err
	}
}

func (m *Media) keep(ctx context.Context, s Sent, file io.ReadSeeker, old *postgres.Asset, same bool) (asset postgres.Asset, created, changed bool, err error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return asset, false, false, err
	}
	a := NewAsset{Code: s.Code, Filename: s.Filename, Focal: s.Focal, Labels: s.Labels}
	if old == nil {
		return m.Put(ctx, a, file)
	}
	a.IfMatch = old.Rev
	if same && !s.Named && old.Filename != "" {
		a.Filename = old.Filename // the same file is not another one for what somebody's disk calls it
	}
	if same && old.Source != "" && s.Focal == nil && s.Labels == nil && a.Filename == old.Filename {
		// It was fetched, and goes on being so. The bytes may be what was lost.
		_, err := m.blobs.Put(ctx, file, MaxAsset)
		if err == nil {
			err = m.store.FileIsBack(ctx, old.Hash)
		}
		return *old, false, false, err
	}
	if a.Focal == nil {
		a.Focal = FocalPoint(old.Focal)
	}
	if a.Labels == nil {
		a.Labels = old.Labels
	}
	return m.Put(ctx, a, file)
}

// sumOf hashes a file, which is MaxAsset long at most.
func sumOf(file io.ReadSeeker) ([]byte, error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(file, MaxAsset+1))
	if err == nil && n > MaxAsset {
		err = ErrTooLarge
	}
	return h.Sum(nil), err
}
