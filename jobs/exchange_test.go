package jobs_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// exchanges are those that were kept of a channel, the last first.
func (r *road) exchanges(code pim.ChannelCode, f postgres.ExchangeFilter) []postgres.Exchange {
	r.Helper()
	r.channels.Flush(r.ctx)
	ch, err := r.store.Channel(r.ctx, code)
	if err != nil {
		r.Fatal(err)
	}
	var all []postgres.Exchange
	for page := (postgres.Page{Limit: 3}); ; {
		list, next, err := r.store.Exchanges(r.ctx, ch.ID, f, page)
		if err != nil {
			r.Fatal(err)
		}
		all = append(all, list...)
		if page.After = next; next == "" {
			return all
		}
	}
}

// What a target is asked and answers can be read afterwards, by what it was
// about and how it went, without the channel's secret.
func TestExchangesAreKept(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.channel("shop", webhooktest.Options{}, func(s *jobs.ChannelSpec) { s.Batch = 2; s.Concurrency = 1 })
	all := skus(5)
	fake.Reject(all[2])
	fake.SetAsync(&webhooktest.Async{Polls: 1})
	r.work()
	began := time.Now().Add(-time.Minute)
	r.put(all, title("a well-known text"))
	r.settled("shop")
	if err := r.channels.Test(r.ctx, "shop"); err != nil {
		t.Fatal(err)
	}
	kept := r.exchanges("shop", postgres.ExchangeFilter{})
	kinds, pushed := map[string]int{}, 0
	for i, x := range kept {
		if kinds[x.Kind]++; x.Kind == "push" {
			pushed += len(x.SKUs)
		}
		if x.ID == 0 || x.Attempt == 0 || x.Status != 200 && x.Status != 202 && x.Status != 204 && x.Status != 207 || x.Method == "" || x.Error != "" || x.At.Before(began) || x.Request != "" || i > 0 && x.ID >= kept[i-1].ID {
			t.Errorf("%+v", x)
		}
		if refused := slices.Contains(x.SKUs, all[2]) && x.Kind == "poll"; x.Failed != refused {
			t.Errorf("failed is %v of %v", x.Failed, x)
		}
		if wants := x.Kind != "probe"; (len(x.SKUs) > 0) != wants || (x.Lane == "content") != wants {
			t.Errorf("%s of %q in lane %q", x.Kind, x.SKUs, x.Lane)
		}
	}
	// Two at most go with a push, and one where what is pending is asked for beside it.
	if kinds["push"] < 3 || pushed != len(all) || kinds["poll"] < 3 || kinds["probe"] != 1 {
		t.Errorf("kept %v, with %d products pushed", kinds, pushed)
	}
	now := time.Now().Add(time.Minute)
	for want, f := range map[string]postgres.ExchangeFilter{
		"push of one":  {SKU: all[0], Kind: "push"},
		"push of lane": {SKU: all[0], Kind: "push", Lane: pim.Content, Since: &began, Until: &now, Status: fmt.Sprint(kept[len(kept)-1].Status/100) + "xx"},
	} {
		if list := r.exchanges("shop", f); len(list) != 1 || !slices.Contains(list[0].SKUs, all[0]) || !slices.Equal(r.exchanges("shop", postgres.ExchangeFilter{Attempt: list[0].Attempt})[0].SKUs, list[0].SKUs) {
			t.Errorf("%s: %+v", want, list)
		}
	}
	for what, f := range map[string]postgres.ExchangeFilter{
		"of another lane": {Lane: pim.Offer}, "of another product": {SKU: "none"}, "without an answer": {Status: "none"}, "of a class": {Status: "5xx"},
		"of before": {Until: &began}, "of later": {Since: &now},
	} {
		if list := r.exchanges("shop", f); len(list) != 0 {
			t.Errorf("%s: %+v", what, list)
		}
	}
	failed := r.exchanges("shop", postgres.ExchangeFilter{Failed: true})
	if len(failed) == 0 || !slices.Contains(failed[0].SKUs, all[2]) {
		t.Fatalf("failed: %+v", failed)
	}
	ch, err := r.store.Channel(r.ctx, "shop")
	if err != nil {
		t.Fatal(err)
	}
	whole, err := r.store.Exchange(r.ctx, ch.ID, kept[len(kept)-1].ID)
	if err != nil || !strings.Contains(whole.Request, "a well-known text") || whole.Answer == "" || whole.Header["Content-Type"] == nil || whole.Sent != int64(len(whole.Request)) {
		t.Errorf("%+v: %v", whole, err)
	}
	for _, x := range kept {
		whole, err := r.store.Exchange(r.ctx, ch.ID, x.ID)
		if text := fmt.Sprintf("%+v", whole); err != nil || strings.Contains(text, fake.Secret()) {
			t.Errorf("%s (%v)", text, err)
		}
	}
	if _, err := r.store.Exchange(r.ctx, ch.ID+1, kept[0].ID); err == nil {
		t.Error("another channel's exchange can be read")
	}
}

// A channel's policy says what is kept, and how much of it.
func TestExchangesByPolicy(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fakes := map[pim.Keep]*webhooktest.Server{}
	keeps := []pim.Keep{pim.KeepAll, pim.KeepSome, pim.KeepFailed, pim.KeepNone}
	for _, keep := range keeps {
		fakes[keep] = r.channel(pim.ChannelCode(keep), webhooktest.Options{}, func(s *jobs.ChannelSpec) {
			s.Batch = 1
			s.Policy.Exchanges = pim.Exchanges{Keep: keep, BodyBytes: 100}
		})
		fakes[keep].Reject("SKU-0100")
	}
	r.work()
	r.put(skus(100), title("%s", strings.Repeat("ä", 200)))
	for _, keep := range keeps {
		r.settled(pim.ChannelCode(keep))
		list := r.exchanges(pim.ChannelCode(keep), postgres.ExchangeFilter{})
		refused := r.exchanges(pim.ChannelCode(keep), postgres.ExchangeFilter{SKU: "SKU-0100", Failed: true})
		switch {
		case keep == pim.KeepNone && len(list) == 0:
			continue
		case keep == pim.KeepAll && len(list) != 100, keep == pim.KeepFailed && len(list) != 1,
			keep == pim.KeepSome && len(list) < 50, keep == pim.KeepNone, len(refused) != 1:
			t.Errorf("%s: %d are kept, %d of them refused", keep, len(list), len(refused))
			continue
		}
		ch, err := r.store.Channel(r.ctx, pim.ChannelCode(keep))
		if err != nil {
			t.Fatal(err)
		}
		x, err := r.store.Exchange(r.ctx, ch.ID, refused[0].ID)
		if err != nil || len(x.Request) > 100 || len(x.Request) < 90 || !strings.HasSuffix(x.Request, "…") || x.Sent < 400 {
			t.Errorf("%+v: %v", x, err)
		}
	}
}

// Where exchanges cannot be written as fast as they come, they are lost and
// counted: nobody waits for them.
func TestExchangesNeverHoldUp(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.channel("shop", webhooktest.Options{}, func(s *jobs.ChannelSpec) {
		s.Batch = 1
		s.Policy.Exchanges = pim.Exchanges{Keep: pim.KeepAll, BodyBytes: 32768}
	})
	r.channels.ExchangeRoom(20_000)
	r.work()
	tx, err := r.store.Pool().Begin(r.ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	if _, err := tx.Exec(r.ctx, `set local idle_in_transaction_session_timeout = 0; lock table exchange in exclusive mode`); err != nil {
		t.Fatal(err)
	}
	all := skus(30)
	r.put(all, title("%s", strings.Repeat("x", 4000)))
	r.settled("shop") // though nothing can be written
	if got := name(fake, all[29]); len(got) != 4000 {
		t.Fatalf("%d", len(got))
	}
	if r.exchangesBy("lost") == 0 {
		t.Error("everything was kept: the memory has no bound, or the test proves nothing")
	}
	if err := tx.Rollback(r.ctx); err != nil {
		t.Fatal(err)
	}
	r.channels.Flush(r.ctx)
	kept, lost := r.exchangesBy("kept"), r.exchangesBy("lost")
	if kept+lost != 30 {
		t.Errorf("%v are kept, %v lost", kept, lost)
	}
	r.put(all[:1], title("another"))
	r.settled("shop")
	r.channels.Flush(r.ctx)
	if now := r.exchangesBy("kept"); now != kept+1 {
		t.Errorf("%v are kept, %v before", now, kept)
	}
}

// exchangesBy reads sluice_exchanges_total.
func (r *road) exchangesBy(outcome string) (n float64) {
	r.Helper()
	families, err := r.metrics.Gather()
	if err != nil {
		r.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "sluice_exchanges_total" {
			for _, m := range f.Metric {
				if m.Label[0].GetValue() == outcome {
					n += m.GetCounter().GetValue()
				}
			}
		}
	}
	return n
}

// Tidying makes the partitions of the coming days, drops those whose days are
// over, and what a channel keeps for less long than others, or was a deleted one's.
func TestExchangesAge(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	var ids []pim.ChannelID
	for code, days := range map[pim.ChannelCode]int{"short": 1, "long": 5, "gone": 0} {
		r.channel(code, webhooktest.Options{}, func(s *jobs.ChannelSpec) { s.Policy.Exchanges.Days = days })
	}
	for _, code := range []pim.ChannelCode{"short", "long", "gone"} {
		ch, err := r.store.Channel(r.ctx, code)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, ch.ID)
	}
	day := 24 * time.Hour
	for d := range 9 {
		if _, err := r.store.Pool().Exec(r.ctx, `select exchange_partitions(0, interval '30 days')`); err != nil {
			t.Fatal(err)
		}
		at := time.Now().UTC().Add(-time.Duration(d) * day)
		name := at.Format("exchange_2006_01_02")
		from := time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, time.UTC)
		if _, err := r.store.Pool().Exec(r.ctx, fmt.Sprintf(`create table if not exists %s partition of exchange for values from ('%s') to ('%s')`, name, from.Format(time.RFC3339), from.Add(day).Format(time.RFC3339))); err != nil {
			t.Fatal(err)
		}
		var list []postgres.Exchange
		for _, id := range ids {
			list = append(list, postgres.Exchange{Channel: id, Ago: time.Duration(d) * day, Kind: "push", Method: "POST", URL: "u", SKUs: []pim.SKU{"A"}})
		}
		if err := r.store.KeepExchanges(r.ctx, list); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.store.DeleteChannel(r.ctx, "gone", 0); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := r.store.Tidy(r.ctx); err != nil {
			t.Fatal(err)
		}
	}
	for i, most := range []int{1, 6, 0} { // of a day's partition all must be over
		list, _, err := r.store.Exchanges(r.ctx, ids[i], postgres.ExchangeFilter{SKU: "A"}, postgres.Page{})
		if err != nil || len(list) > most || len(list) < most-1 {
			t.Errorf("channel %d has %d exchanges (%v)", i, len(list), err)
		}
	}
	var parts int
	if err := r.store.Pool().QueryRow(r.ctx, `select count(*) from pg_inherits where inhparent = 'exchange'::regclass`).Scan(&parts); err != nil || parts > 1+3+6 || parts < 1+3+5 {
		t.Errorf("%d partitions (%v)", parts, err)
	}
}
