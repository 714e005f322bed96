//go:build unix

package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/sluicehub/sluice/pim"
)

const (
	// lookEvery is how often the progress is read, at least; counting a large
	// catalogue takes longer, and then it is read less often.
	lookEvery = 250 * time.Millisecond
	// patience is how long nothing may move before the demo gives up waiting.
	// It is longer than any back-off on the road.
	patience = 2 * time.Minute
)

// standing is where the demo's channels stand.
type standing struct {
	total, done int64 // listings, of all lanes; done: nothing is to be sent
	rejected    int64
	unmarked    bool // fan-out has still to look at something
	poisoned    int64
	troubles    []string // what is wrong with channels, in words
	paused      []string
}

func (s *standing) published() bool { return !s.unmarked && s.total > 0 && s.done == s.total }

// look reads the standing. The outbox comes first: what has left it is marked
// by then, so nothing is overlooked in between.
func (d *demo) look(ctx context.Context) (*standing, error) {
	store := d.node.Store
	road, err := store.RoadStats(ctx)
	if err != nil {
		return nil, err
	}
	channels, err := store.Channels(ctx)
	if err != nil {
		return nil, err
	}
	lanes, err := store.LaneStats(ctx, "")
	if err != nil {
		return nil, err
	}
	behind, err := store.Behind(ctx)
	if err != nil {
		return nil, err
	}
	s := &standing{unmarked: road.Outbox > 0 || behind > 0, poisoned: road.Poisoned}
	ours := d.codes()
	for _, ch := range channels {
		if !ours[ch.Code] {
			continue
		}
		s.unmarked = s.unmarked || ch.Marking
		if !ch.Enabled {
			s.paused = append(s.paused, string(ch.Code))
		}
		if ch.LastError != "" {
			s.troubles = append(s.troubles, fmt.Sprintf("%s: %s", ch.Code, ch.LastError))
		}
	}
	for _, l := range lanes {
		if !ours[l.Channel] {
			continue
		}
		for state, n := range l.States {
			s.total += n
			if state != pim.StateWaiting && state != pim.StatePending {
				s.done += n
			}
		}
		s.rejected += l.States[pim.StateRejected]
	}
	return s, nil
}

// publish waits until everything is on all channels, and shows how far it is.
// The error says why it does not get there.
func (d *demo) publish(ctx context.Context) error {
	show := newProgress(d.Out, d.Terminal)
	defer show.end()
	var (
		done  int64 = -1
		moved       = time.Now()
	)
	for {
		began := time.Now()
		s, err := d.look(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil: // a database that restarts comes back
			if time.Since(moved) > patience {
				return err
			}
		case s.published():
			show.at(s)
			show.end()
			return d.verdict(s)
		case len(s.paused) > 0 && d.ExitAfterPublish:
			return fmt.Errorf("channels are paused: %s; resume them with `sluice channel resume`", strings.Join(s.paused, ", "))
		default:
			show.at(s)
			if s.done != done {
				done, moved = s.done, time.Now()
			}
			if len(s.paused) == 0 && time.Since(moved) > patience {
				return stuck(s)
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-d.node.Failed():
			return err
		case err := <-d.clerk:
			return err
		case <-d.pgDone():
			return d.pg.Err()
		case <-time.After(max(lookEvery, 5*time.Since(began))):
		}
	}
}

// verdict is what a finished publication comes to.
func (d *demo) verdict(s *standing) error {
	if s.rejected == 0 && s.poisoned == 0 {
		return nil
	}
	text := fmt.Sprintf("%d listings were refused by their targets, %d changes could not be digested: `sluice doctor` says more", s.rejected, s.poisoned)
	if d.ExitAfterPublish {
		return errors.New(text)
	}
	d.say("%s", text)
	return nil
}

func stuck(s *standing) error {
	text := fmt.Sprintf("nothing has moved for %s: %d of %d listings are acknowledged", patience, s.done, s.total)
	if len(s.troubles) > 0 {
		text += "; " + strings.Join(s.troubles, "; ")
	}
	return errors.New(text)
}

// progress shows how far the publication is: a bar on a terminal, a line now
// and then elsewhere.
type progress struct {
	out     io.Writer
	bar     *progressbar.ProgressBar // nil: lines
	said    time.Time
	percent int64
}

func newProgress(out io.Writer, terminal bool) *progress {
	p := &progress{out: out, percent: -1}
	if terminal {
		p.bar = progressbar.NewOptions64(1, progressbar.OptionSetWriter(out), progressbar.OptionSetDescription("Publishing"),
			progressbar.OptionShowCount(), progressbar.OptionSetItsString("listings"), progressbar.OptionShowIts(),
			progressbar.OptionFullWidth(), progressbar.OptionSetPredictTime(true))
	}
	return p
}

func (p *progress) at(s *standing) {
	if s.total == 0 {
		return
	}
	if p.bar != nil {
		most := s.total
		if !s.published() { // a full bar would count as finished, and fan-out may bring more
			most = max(most, s.done+1)
		}
		p.bar.ChangeMax64(most)
		_ = p.bar.Set64(s.done) // a terminal that cannot be written to shows nothing
		return
	}
	percent := 100 * s.done / s.total
	full := s.published()
	if full || percent/10 != p.percent/10 || time.Since(p.said) > 5*time.Second {
		p.percent, p.said = percent, time.Now()
		fmt.Fprintf(p.out, "Publishing: %d of %d listings acknowledged (%d %%).\n", s.done, s.total, percent)
	}
}

// end leaves the bar's line, once.
func (p *progress) end() {
	if p.bar != nil {
		_ = p.bar.Exit()
		fmt.Fprintln(p.out)
		p.bar = nil
	}
}
