package jobs_test

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
	"github.com/sluicehub/sluice/pim/postgres/dbtest"
)

func (r *road) wait(fake *webhooktest.Server, cond func(webhooktest.State) bool) {
	r.Helper()
	if err := fake.Wait(r.ctx, cond); err != nil {
		r.Fatal(err)
	}
}

// holds waits until the fake shows the title.
func (r *road) holds(fake *webhooktest.Server, sku pim.SKU, want string) {
	r.Helper()
	r.wait(fake, func(s webhooktest.State) bool {
		l, ok := s.Listing(sku, pim.Content)
		return ok && titleOf(l.Document) == want
	})
}

func titleOf(doc json.RawMessage) string {
	var d struct {
		Values struct {
			Name string `json:"name"`
		} `json:"values"`
	}
	_ = json.Unmarshal(doc, &d)
	return d.Values.Name
}

// serial makes a channel send one item a call, one call at a time.
func serial(s *jobs.ChannelSpec) { s.Batch, s.Concurrency = 1, 1 }

func TestEditDuringPush(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.channel("shop", webhooktest.Options{}, nil)
	r.work()
	fake.Script(webhooktest.Fault{Kind: webhooktest.Hang, Times: 1})
	r.put(skus(1), title("A"))
	r.wait(fake, func(s webhooktest.State) bool { return s.Counts().Hanging == 1 })
	r.put(skus(1), title("B"))
	r.fannedOut() // B is marked while A is on its way
	fake.Release()
	r.holds(fake, "SKU-0001", "B")
	r.settled("shop")
	if got := name(fake, "SKU-0001"); got != "B" {
		t.Errorf("%q", got)
	}
}

// An edit that comes between a holder's last look and its release is found by
// the look after the release: no sweeper helps here.
func TestEditAfterLastLook(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	r.sweep = time.Hour
	fake := r.channel("shop", webhooktest.Options{}, nil)
	var once sync.Once
	edited := make(chan struct{})
	r.beforeFinish = func(c postgres.Consumer) {
		if c.Kind == postgres.Fanout && name(fake, "SKU-0001") == "A" {
			once.Do(func() {
				r.store.SetNudge(func() {}) // and its wake is lost
				r.put(skus(1), title("B"))
				close(edited)
			})
		}
	}
	r.work()
	r.put(skus(1), title("A"))
	<-edited
	r.holds(fake, "SKU-0001", "B")
}

// The heart of the in-doubt rule: A is acknowledged, B is applied but its
// answer is lost, and an edit goes back to A, whose hash is the acknowledged
// one. The target must end with A.
func TestAnswerLostThenEditBack(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.channel("shop", webhooktest.Options{}, nil)
	r.work()
	sku := skus(1)
	r.put(sku, title("A"))
	r.settled("shop")
	fake.Script(webhooktest.Fault{Kind: webhooktest.Lose, Times: 1})
	r.put(sku, title("B"))
	r.holds(fake, sku[0], "B")
	r.put(sku, title("A"))
	r.settled("shop")
	if got := name(fake, sku[0]); got != "A" {
		t.Errorf("the target kept %q", got)
	}
}

// The request itself comes late: after the newer one was applied. The
// confirming push, when the settle time is over, repairs it.
func TestLateRequestIsRepaired(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	const settle = 3 * time.Second
	fake := r.channel("shop", webhooktest.Options{}, func(s *jobs.ChannelSpec) { s.SettleSeconds = settle.Seconds() })
	r.work()
	sku := skus(1)
	r.put(sku, title("A"))
	r.settled("shop")
	for i := 0; ; i++ {
		b, c := fmt.Sprintf("B%d", i), fmt.Sprintf("C%d", i)
		fake.Script(webhooktest.Fault{Kind: webhooktest.Late, Times: 1})
		began := time.Now()
		r.put(sku, title("%s", b))
		r.wait(fake, func(s webhooktest.State) bool { return s.Waiting() == 1 })
		r.put(sku, title("%s", c))
		r.holds(fake, sku[0], c)
		if n := fake.ApplyLate(); n != 1 {
			t.Fatal(n, "late")
		}
		if time.Since(began) >= settle {
			continue // on a machine this slow, it came later than anything is promised for
		}
		r.settled("shop")
		if got := name(fake, sku[0]); got != c {
			t.Errorf("the target kept %q", got)
		}
		return
	}
}

func TestJobsDeleted(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	r.lease, r.sweep = 2*time.Second, 300*time.Millisecond
	fake := r.channel("shop", webhooktest.Options{}, nil)
	r.work()
	all := skus(40)
	for i := range 10 {
		r.put(all, title("v%d", i))
		if _, err := r.store.Pool().Exec(r.ctx, `delete from river_job`); err != nil {
			t.Fatal(err)
		}
	}
	r.settled("shop")
	for _, sku := range all {
		if got := name(fake, sku); got != "v9" {
			t.Errorf("%s is %q", sku, got)
		}
	}
}

func TestWakesLost(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	r.sweep = 300 * time.Millisecond
	fake := r.channel("shop", webhooktest.Options{}, nil)
	r.work()
	r.store.SetNudge(func() {})
	const kill = `select count(pg_terminate_backend(pid)) from pg_stat_activity where query ilike 'listen %' and datname = current_database()`
	for i := range 5 {
		r.put(skus(3), title("v%d", i))
		if _, err := r.store.Pool().Exec(r.ctx, kill); err != nil {
			t.Fatal(err)
		}
		r.holds(fake, "SKU-0003", fmt.Sprintf("v%d", i))
	}
}

func TestDatabaseRestart(t *testing.T) {
	t.Parallel()
	server := dbtest.Durable(t)
	r := roadAt(t, server.DSN())
	r.lease, r.sweep = 2*time.Second, 300*time.Millisecond
	fake := r.channel("shop", webhooktest.Options{}, serial)
	r.work()
	all := skus(30)
	fake.Script(webhooktest.Fault{Kind: webhooktest.Slow, After: 50 * time.Millisecond})
	r.put(all, title("A"))
	r.wait(fake, func(s webhooktest.State) bool { return s.Counts().Calls > 5 })
	r.put(all, title("B"))
	if err := server.Restart(r.ctx); err != nil {
		t.Fatal(err)
	}
	fake.Up()
	r.until(func() bool { return r.store.Ping(r.ctx) == nil })
	r.put(all[:1], title("C"))
	r.settled("shop")
	for _, sku := range all[1:] {
		if got := name(fake, sku); got != "B" {
			t.Errorf("%s is %q", sku, got)
		}
	}
	if got := name(fake, all[0]); got != "C" {
		t.Errorf("%q", got)
	}
}

func TestWorkerKilled(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.channel("shop", webhooktest.Options{}, nil)
	fake.Script(webhooktest.Fault{Kind: webhooktest.Lose, Times: 1}, webhooktest.Fault{Kind: webhooktest.Hang})
	all := skus(300)
	r.put(all, title("A"))
	victim := r.process()
	r.wait(fake, func(s webhooktest.State) bool { return s.Counts().Hanging > 0 })
	kill(t, victim, syscall.SIGKILL)
	r.put(all[:10], title("B"))
	fake.Up()
	r.process()
	r.settled("shop")
	for i, sku := range all {
		want := "A"
		if i < 10 {
			want = "B"
		}
		if got := name(fake, sku); got != want {
			t.Errorf("%s is %q", sku, got)
		}
	}
}

func kill(t testing.TB, cmd *exec.Cmd, sig syscall.Signal) {
	t.Helper()
	if err := cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// A worker is stopped past its lease with calls to come; another takes over
// and sends newer revisions. When the first goes on, it must send nothing that
// is older, and none of its receipts may count.
func TestWorkerStoppedPastItsLease(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	r.lease, r.sweep = 2*time.Second, 300*time.Millisecond
	// It keeps versions: what hung may still be applied long after the settle time.
	fake := r.channel("shop", webhooktest.Options{Versioned: true}, serial)
	all := skus(4)
	r.put(all, title("A"))
	fake.Script(webhooktest.Fault{Kind: webhooktest.Hang, Times: 1})
	zombie := r.process()
	r.wait(fake, func(s webhooktest.State) bool { return s.Counts().Hanging == 1 })
	kill(t, zombie, syscall.SIGSTOP)
	r.put(all, title("B"))
	r.work()
	for _, sku := range all[1:] {
		r.holds(fake, sku, "B")
	}
	r.until(func() bool { return name(fake, all[0]) == "B" })
	kill(t, zombie, syscall.SIGCONT)
	fake.Release()
	kill(t, zombie, syscall.SIGINT) // it ends what it has begun
	_ = zombie.Wait()
	r.settled("shop")
	for _, sku := range all {
		if got := name(fake, sku); got != "B" {
			t.Errorf("%s is %q", sku, got)
		}
	}
	if falls := fake.Falls(); len(falls) > 0 {
		t.Errorf("revisions went down: %v", falls)
	}
	list, _, err := r.store.Listings(r.ctx, postgres.ListingFilter{Channel: "shop"}, postgres.Page{})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range list {
		if l.Acked != l.Wanted {
			t.Errorf("%s: acknowledged %d, wanted %d", l.SKU, l.Acked, l.Wanted)
		}
	}
}
