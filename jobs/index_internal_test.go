package jobs

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicehub/sluice/pim/postgres"
)

// TestIndexRestsBesideAnImport: beside an import of its process each step that follows
// the log has its rest, without one none, nor beside one that takes long.
func TestIndexRestsBesideAnImport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &Runner{courtesy: newCourtesy(), log: slog.New(slog.DiscardHandler), stop: make(chan struct{})}
		r.importing.Store(1)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var rests []time.Duration
		var ended time.Time
		r.index(ctx, "test", func(context.Context, int) (postgres.Indexed, error) {
			if !ended.IsZero() {
				rests = append(rests, time.Since(ended))
			}
			switch len(rests) {
			case 0:
				<-time.After(10 * time.Millisecond)
			case 1:
				<-time.After(time.Minute)
			case 2:
				<-time.After(indexPatience)
			case 3:
				r.importing.Store(0)
			case 4:
				r.importing.Store(1)
				<-time.After(10 * time.Millisecond)
			default:
				cancel()
			}
			ended = time.Now()
			return postgres.Indexed{More: true, Followed: 1}, nil
		})
		want := []time.Duration{resting * 10 * time.Millisecond, indexRest, 0, 0, resting * 10 * time.Millisecond}
		if !slices.Equal(rests, want) {
			t.Errorf("rests are %v, not %v", rests, want)
		}
	})
}
