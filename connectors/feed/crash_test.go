package feed_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/feed"
)

// TestCrash ends builds at each change of the target, before and after it.
func TestCrash(t *testing.T) {
	dead := errors.New("killed")
	for at := 0; ; at++ {
		b := start(t)
		b.polled(b.tickets(upsert("A", 1, "one"), upsert("B", 1, "two"))...)
		b.clock.pass(2 * time.Hour)
		tokens := b.tickets(upsert("A", 2, "uno"), upsert("C", 1, "three"), withdraw("B", 2))
		dying := inFolder(t, b.folder, b.clock, nil)
		n := 0
		feed.Interrupt(dying.Connector, func(string, string, bool) error {
			if n++; n > at {
				return dead
			}
			return nil
		})
		b.clock.pass(time.Minute)
		_, err := dying.Poll(t.Context(), tokens)
		b.titles(b.read("feed.xml")) // whole at each moment
		if err != nil && !errors.Is(err, dead) {
			t.Fatal(err)
		}
		b.says("live live accepted", b.polled(tokens...))
		b.shows(map[string]string{"A": "uno", "C": "three"})
		if n <= at {
			if at < 8 {
				t.Fatalf("a build changes the target %d times only", at)
			}
			return
		}
	}
}

// TestCrashAtTheFirst is TestCrash of the very first build.
func TestCrashAtTheFirst(t *testing.T) {
	dead := errors.New("killed")
	for at := 0; ; at++ {
		b := start(t)
		tokens := b.tickets(upsert("A", 1, "one"))
		dying := inFolder(t, b.folder, b.clock, nil)
		n := 0
		feed.Interrupt(dying.Connector, func(string, string, bool) error {
			if n++; n > at {
				return dead
			}
			return nil
		})
		_, err := dying.Poll(t.Context(), tokens)
		if err != nil && !errors.Is(err, dead) {
			t.Fatal(err)
		}
		b.says("live", b.polled(tokens...))
		b.shows(map[string]string{"A": "one"})
		if n <= at {
			return
		}
	}
}

// TestZombie has a holder go on that has lost its lease while it built: its
// successor builds in between.
func TestZombie(t *testing.T) {
	for _, careless := range []bool{false, true} {
		for _, moment := range []string{"sluice-feed/base", "feed.xml", "manifest.json"} {
			t.Run(fmt.Sprint(moment, " careless ", careless), func(t *testing.T) {
				b := start(t)
				b.polled(b.tickets(upsert("A", 1, "one"))...)
				first := b.tickets(upsert("A", 2, "uno"))
				alias := filepath.Join(t.TempDir(), "alias") // another process's: it does not know of our lock
				if err := os.Symlink(b.folder, alias); err != nil {
					t.Fatal(err)
				}
				zombie := inFolder(t, alias, b.clock, nil)
				if careless {
					feed.Careless(zombie.Connector)
				}
				woken := false
				feed.Interrupt(zombie.Connector, func(_, name string, after bool) error {
					if !after && !woken && strings.HasPrefix(name, moment) {
						woken = true
						second := b.tickets(upsert("A", 3, "eins"), upsert("B", 1, "two"))
						b.says("live live live", b.polled(append(second, first...)...))
						b.shows(map[string]string{"A": "eins", "B": "two"})
					}
					return nil
				})
				zombie.says("live", zombie.polled(first...))
				if !woken {
					t.Fatal("the build did not come to that moment")
				}
				if !careless {
					b.shows(map[string]string{"A": "eins", "B": "two"})
				}
				// Whatever the storage let it write, the next build has everything again.
				b.says("live", b.polled(b.tickets(upsert("C", 1, "three"))...))
				b.shows(map[string]string{"A": "eins", "B": "two", "C": "three"})
			})
		}
	}
}

func TestWhatWasPublishedIsNotLost(t *testing.T) {
	for _, c := range []struct{ name, lost, says string }{
		{"manifest", "manifest.json", "without its manifest.json"},
		{"base", "sluice-feed/base-*", "is gone"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := start(t)
			b.polled(b.tickets(upsert("A", 1, "one"))...)
			paths, err := filepath.Glob(filepath.Join(b.folder, c.lost))
			if err != nil || len(paths) != 1 {
				t.Fatalf("%q, %v", paths, err)
			}
			if err := os.Remove(paths[0]); err != nil {
				t.Fatal(err)
			}
			before := b.read("feed.xml")
			tokens := b.tickets(upsert("B", 1, "two"))
			b.clock.pass(time.Minute)
			_, err = b.Poll(t.Context(), tokens)
			if err == nil || !strings.Contains(err.Error(), c.says) || connectors.AsError(err).Verdict != connectors.Unavailable || !connectors.Certain(err) {
				t.Errorf("polled: %v", err)
			}
			if b.read("feed.xml") != before {
				t.Error("the feed was written over")
			}
			// As the error says.
			for _, name := range []string{"manifest.json", "feed.xml"} {
				if err := os.Remove(filepath.Join(b.folder, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
					t.Fatal(err)
				}
			}
			b.polled(tokens...)
			if titles, _ := b.published(); titles["B"] != "two" {
				t.Errorf("begun anew: %v", titles)
			}
		})
	}
}
