package jobs_test

import (
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

// What bounds a channel's requests is told, with the time when it no more does.
func TestExplainsFlow(t *testing.T) {
	t.Parallel()
	list := skus(20)
	day := pim.Flow{RequestsPerDay: 20, DayBegins: time.Now().UTC().Add(-time.Hour).Format("15:04")} // not over before the test is
	clock := func(in time.Duration) string { return time.Now().UTC().Add(in).Format("15:04") }
	lane := func(ch *postgres.Channel) *time.Time { return &ch.Held[0].Until }
	for _, c := range []struct {
		reason jobs.Reason
		flow   pim.Flow
		fake   func(*webhooktest.Server)
		until  func(*postgres.Channel) *time.Time // nil: the listing's own
		text   string
	}{
		{
			reason: jobs.ReasonAuth, fake: func(f *webhooktest.Server) { f.Script(webhooktest.Fault{Kind: webhooktest.Unauthorized}) },
			until: func(ch *postgres.Channel) *time.Time { return ch.NextProbeAt }, text: "refuses our credentials",
		},
		{reason: jobs.ReasonBudget, fake: func(f *webhooktest.Server) {
			f.Say(http.Header{"X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset": {"3600"}})
		}, until: func(ch *postgres.Channel) *time.Time { return ch.ThrottledUntil }, text: "that the target grants"},
		{reason: jobs.ReasonQuota, flow: day, until: lane, text: "of the day"},
		{reason: jobs.ReasonRate, flow: pim.Flow{RequestsPerSecond: 0.01, Burst: 1}, text: "rate"},
		{reason: jobs.ReasonWindow, flow: pim.Flow{Windows: []pim.Window{{From: clock(3 * time.Hour), To: clock(4 * time.Hour)}}}, until: lane, text: "windows"},
		{reason: jobs.ReasonDebounce, flow: pim.Flow{DebounceSeconds: 3600}, text: "further changes"},
	} {
		t.Run(string(c.reason), func(t *testing.T) {
			r := newRoad(t)
			fake := r.channel("shop", webhooktest.Options{}, flowing(c.flow))
			if c.fake != nil {
				c.fake(fake)
			}
			r.work()
			r.settled() // the first marking of a channel debounces nothing, and would take the products along
			r.put(list, title("A"))
			var l jobs.LaneExplanation
			r.until(func() bool { // some are sent
				for _, sku := range list {
					if l = r.explain(sku, pim.Content); l.Reason == c.reason && l.Until != nil {
						return true
					}
				}
				return false
			})
			if !strings.Contains(l.Text, c.text) || l.Since == nil {
				t.Errorf("%+v", l)
			}
			want := l.Chain.Listing.DueAt
			if ch := r.of("shop"); c.until != nil {
				want = c.until(ch)
			} else if c.reason == jobs.ReasonRate {
				want = l.Until // of the channel, or of its lane: it moves with each request
			}
			if want == nil || !want.Equal(*l.Until) {
				t.Errorf("until %s, want %v", l.Until, want)
			}
			fake.Up()
			fake.Say(nil)
			r.flow("shop", pim.Flow{})
			r.settled("shop")
			if name(fake, list[19]) != "A" {
				t.Errorf("%q in the end", name(fake, list[19]))
			}
		})
	}
}

// Media wait for their pictures, and say for which.
func TestExplainsPictures(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	g := &gallery{}
	r.withGallery(g)
	gate := make(chan struct{})
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		<-gate
		w.Header().Set("Content-Type", "image/png")
		_, _ = w.Write(picture(3))
	}))
	defer host.Close()
	r.put([]pim.SKU{"A"}, showing(host.URL+"/a.png"))
	defer r.work()()
	explained := func() (l jobs.LaneExplanation) {
		x, err := r.channels.Explain(r.ctx, "gallery", "A")
		if err != nil {
			t.Fatal(err)
		}
		return x.Lanes[len(x.Lanes)-1]
	}
	var l jobs.LaneExplanation
	r.until(func() bool { l = explained(); return l.Reason == jobs.ReasonWaitsForPictures })
	if l.Until == nil || !strings.Contains(l.Text, "a.png") || l.Chain.Attempt != nil {
		t.Errorf("%+v", l)
	}
	close(gate)
	r.until(func() bool { return explained().Reason.Fine() })
	if g.shows("A") == "" {
		t.Error("it is not shown")
	}
}

// A new product waits for its text, and says for which.
func TestExplainsTexts(t *testing.T) {
	t.Parallel()
	r := newTextRoad(t)
	fake := r.provider("fake", 0)
	fake.set(func(f *fakeService) { f.down = errDown })
	r.rule(nil)
	r.item("A", `{"name":{"en-GB":"Red kettle"}}`)
	r.work()
	r.german("shop", false)
	l, _ := r.is("A", pim.Content, jobs.ReasonWaitsForText)
	if l.Until == nil || !strings.Contains(l.Text, "name in de-DE") {
		t.Errorf("%+v", l)
	}
	fake.set(func(f *fakeService) { f.down = nil })
	if err := r.store.ResumeProvider(r.ctx, "fake"); err != nil {
		t.Fatal(err)
	}
	r.is("A", pim.Content, jobs.ReasonAccepted)
}
