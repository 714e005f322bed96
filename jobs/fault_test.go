package jobs_test

import (
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// Whatever goes wrong with calls for a while, the channel comes to hold what is
// wanted, nothing is parked for it, and the channel is well again.
func TestFaultsPass(t *testing.T) {
	t.Parallel()
	for what, fault := range map[string]webhooktest.Fault{
		"broken":             {Kind: webhooktest.Fail, Times: 4},
		"broken and applied": {Kind: webhooktest.Fail, Times: 2, Apply: true},
		"unavailable":        {Kind: webhooktest.Fail, Times: 4, Status: http.StatusServiceUnavailable},
		"too early":          {Kind: webhooktest.Fail, Times: 2, Status: http.StatusTooEarly},
		"reset":              {Kind: webhooktest.Reset, Times: 4},
		"answers lost":       {Kind: webhooktest.Lose, Times: 2},
		"late":               {Kind: webhooktest.Late, Times: 2, Calls: 2},
		"slow":               {Kind: webhooktest.Slow, Times: 2, After: 50 * time.Millisecond},
		"truncated":          {Kind: webhooktest.Garbage, Times: 2},
		"another's page":     {Kind: webhooktest.Page, Times: 2},
		"throttled":          {Kind: webhooktest.Throttle, Times: 2, After: time.Second},
		"a session's end":    {Kind: webhooktest.Unauthorized, Times: 1},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := newRoad(t)
			fake := r.channel("shop", webhooktest.Options{}, nil)
			r.work()
			all := skus(4)
			r.put(all, title("A"))
			r.settled("shop")
			fake.Script(fault)
			for _, sku := range all {
				r.put([]pim.SKU{sku}, title("B"))
			}
			if fault.Kind == webhooktest.Late {
				r.until(func() bool { return fake.Counts().Calls >= 3 })
				fake.ApplyLate()
			}
			r.fannedOut()
			r.settled("shop")
			for _, sku := range all {
				if got, state := name(fake, sku), r.listing("shop", sku, pim.Content); got != "B" || state.State != pim.StateAccepted || state.Error != "" {
					t.Errorf("%s is %q, %s: %s", sku, got, state.State, state.Error)
				}
			}
			r.until(func() bool { // a step that had nothing to send may have told last
				ch := r.of("shop")
				why, _ := ch.Rests(time.Now())
				return why == "" && ch.Fails == 0
			})
		})
	}
}

// A target that has moved away takes nothing: the channel says so, and goes on
// when it is there again.
func TestMovedTargetIsDown(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.channel("shop", webhooktest.Options{}, nil)
	fake.Script(webhooktest.Fault{Kind: webhooktest.Fail, Status: http.StatusFound})
	r.work()
	r.put(skus(1), title("A"))
	r.until(func() bool {
		ch := r.of("shop")
		return ch.Hold == postgres.HoldDown && ch.Fails >= postgres.BreakerFails && strings.Contains(ch.LastError, "302")
	})
	fake.Script()
	r.settled("shop")
	if got := name(fake, skus(1)[0]); got != "A" {
		t.Errorf("%q", got)
	}
}

// Who cannot be reached in the way that he should has been sent nothing: nothing
// is in doubt or parked, people read why, and all goes on at the right address.
func TestUnreachableIsDown(t *testing.T) {
	t.Parallel()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	deaf, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = deaf.Close() })
	go func() { // it hangs up in the handshake
		for {
			conn, err := deaf.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	for what, c := range map[string]struct{ url, said string }{
		"a certificate of nobody's":    {secure.URL, "x509"},
		"no TLS":                       {strings.Replace(plain.URL, "http:", "https:", 1), "TLS handshake"},
		"a handshake that is cut off":  {"https://" + deaf.Addr().String(), ""},
		"a name that nobody looked up": {"https://shop.invalid", ""}, // in words of the resolver's
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := newRoad(t)
			fake := webhooktest.Start(t, webhooktest.Options{})
			r.fakes["shop"] = fake
			r.channelAt("shop", fake, func(s *jobs.ChannelSpec) {
				s.Config, _ = json.Marshal(map[string]any{"url": c.url, "secret": fake.Secret()})
			})
			r.work()
			r.put(skus(2), title("A"))
			r.until(func() bool {
				ch := r.of("shop")
				return ch.Hold == postgres.HoldDown && ch.Fails >= postgres.BreakerFails && ch.LastError != "" && strings.Contains(ch.LastError, c.said)
			})
			for _, sku := range skus(2) {
				if x, err := r.channels.Explain(r.ctx, "shop", sku); err != nil || x.OnTarget != jobs.OnTargetNo || x.Reason != jobs.ReasonBreakerOpen {
					t.Errorf("%s: %+v, %v", sku, x, err)
				}
			}
			r.flow("shop", pim.Flow{}, fake.Secret())
			r.settled("shop")
			if got := r.listing("shop", skus(1)[0], pim.Content); got.State != pim.StateAccepted || name(fake, skus(1)[0]) != "A" {
				t.Errorf("%+v", got)
			}
		})
	}
}

// An answer without end is read to its bound, and the one product that it was
// of is parked for people, in doubt; it is sent again when they say so.
func TestOversizedIsParked(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.channel("shop", webhooktest.Options{}, nil)
	fake.Script(webhooktest.Fault{Kind: webhooktest.Endless})
	r.work()
	r.put(skus(1), title("A"))
	r.until(func() bool { return r.listing("shop", skus(1)[0], pim.Content).State == pim.StateRejected })
	fake.Script()
	if n, err := r.store.RetryListings(r.ctx, postgres.ListingChoice{Channel: "shop"}); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	r.settled("shop")
	if got := r.listing("shop", skus(1)[0], pim.Content); got.State != pim.StateAccepted || name(fake, skus(1)[0]) != "A" {
		t.Errorf("%+v", got)
	}
}

// What kept a process from opening a channel is said of it until something was sent
// again, and not for ever.
func TestNoteEndsWithTheNextSuccess(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	r.channel("shop", webhooktest.Options{}, serial) // it makes as many calls as it may: nothing else is to be written down
	r.work()
	r.put(skus(1), title("A"))
	r.settled("shop")
	if err := r.store.ChannelNote(r.ctx, r.of("shop").ID, "its secrets cannot be opened"); err != nil {
		t.Fatal(err)
	}
	r.put(skus(1), title("B"))
	r.until(func() bool { return r.of("shop").LastError == "" })
}
