package jobs_test

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
)

// A channel that is added while people write ends equal to the source: nothing
// is missed, nothing is sent twice for one change, and no revision falls.
func TestChannelAddedWhileWritesGoOn(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	old := r.channel("old", webhooktest.Options{}, nil)
	r.work()
	all := skus(300)
	r.put(all, title("before"))
	const writers, each, added = 4, 60, 20 // the channel is added after so many edits of the first writer
	last := make([]map[pim.SKU]string, writers)
	begun, made := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	for w := range writers {
		last[w] = map[pim.SKU]string{}
		wg.Go(func() {
			for i := range each {
				if w == 0 && i == added {
					close(begun)
				}
				if w == 0 && i == 2*added {
					<-made // some are written before it is there, some while, and some after
				}
				sku := all[(w+writers*(i*7%40))%len(all)] // nobody else's
				last[w][sku] = fmt.Sprintf("writer %d edit %d", w, i)
				r.put([]pim.SKU{sku}, title("%s", last[w][sku]))
			}
		})
	}
	<-begun
	fresh := r.channel("new", webhooktest.Options{Versioned: true}, nil)
	close(made)
	wg.Wait()
	r.settled("old", "new")
	want := map[pim.SKU]string{}
	for _, sku := range all {
		want[sku] = "before"
	}
	for _, m := range last {
		for sku, name := range m {
			want[sku] = name
		}
	}
	for sku, text := range want {
		for code, fake := range map[string]*webhooktest.Server{"old": old, "new": fresh} {
			if got := name(fake, sku); got != text {
				t.Errorf("%s: %s is %q, want %q", code, sku, got, text)
			}
			history := fake.History(sku, pim.Content)
			for i := 1; i < len(history); i++ {
				if bytes.Equal(history[i-1].Document, history[i].Document) {
					t.Errorf("%s: %s was sent twice as it stood", code, sku)
				}
			}
		}
	}
	if n := len(fresh.Listings(pim.Content)); n != len(want) {
		t.Errorf("%d products arrived, want %d", n, len(want))
	}
	if falls := append(fresh.Falls(), old.Falls()...); len(falls) > 0 {
		t.Errorf("revisions fell: %v", falls)
	}
}

// What is edited goes ahead of all that a new channel has still to get.
func TestBackfillDelaysNoEdit(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	r.work()
	r.put(skus(200), title("before"))
	r.fannedOut()
	paused := false
	fake := r.channel("new", webhooktest.Options{}, func(s *jobs.ChannelSpec) {
		s.Batch, s.Concurrency, s.Enabled = 5, 1, &paused
	})
	r.until(func() bool { // all of it is marked, and waits
		list, err := r.store.Channels(r.ctx)
		if err != nil {
			t.Fatal(err)
		}
		stats, err := r.store.RoadStats(r.ctx)
		if err != nil {
			t.Fatal(err)
		}
		return !list[0].Marking && stats.Outbox == 0
	})
	edited := skus(200)[197:]
	r.put(edited, title("edited"))
	r.fannedOut()
	if err := r.store.ResumeChannel(r.ctx, "new"); err != nil {
		t.Fatal(err)
	}
	r.runner.WakeChannel(1)
	r.settled("new")
	for _, sku := range edited {
		h := fake.History(sku, pim.Content)
		if len(h) != 1 || h[0].Seq > 5 {
			t.Errorf("%s: %d pushes, the first as number %d", sku, len(h), h[0].Seq)
		}
	}
	if n := len(fake.Listings(pim.Content)); n != 200 {
		t.Errorf("%d arrived", n)
	}
}
