package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluicehub/sluice/pim"
)

// stand has two channels with products whose listings are in every state.
func stand(t *testing.T) *house {
	h := newHouse(t)
	h.channel("aa")
	h.channel("bb")
	for i := range 8 {
		h.do(thing(pim.SKU(fmt.Sprintf("P%d", i)), Put, `{}`))
	}
	h.fanOut(h.lease(Consumer{Kind: Fanout}))
	of := func(sku, set string) {
		h.exec(`update listing l set `+set+` from product p where p.id = l.product_id and p.sku = $1 and l.lane = 1
			and l.channel_id = (select id from channel where code = 'aa')`, sku)
	}
	of("P0", `dirty = true, due_at = 'infinity'`)
	of("P1", `dirty = true, token = 't', attempts = 2, due_at = now() + interval '1 hour'`)
	of("P2", `dirty = false, status = 'accepted', acked_rev = 1, acked_at = now(), receipt_at = now(), receipt_rev = 1, verdict = 'accepted'`)
	of("P3", `dirty = false, status = 'live', acked_rev = 1`)
	of("P4", `dirty = false, status = 'accepted', error = 'no title', issues = '[{"code":"t","severity":"error","text":"no title"}]', verdict = 'validation', receipt_at = now(), attempts = 1`)
	of("P5", `dirty = false, status = 'withdrawn'`)
	of("P6", `dirty = false, status = 'none'`)
	of("P7", `dirty = false, status = null`)
	return h
}

func TestListingStates(t *testing.T) {
	t.Parallel()
	h := stand(t)
	want := []pim.ListingState{
		pim.StateWaiting, pim.StatePending, pim.StateAccepted, pim.StateLive, pim.StateRejected, pim.StateWithdrawn, pim.StateNone, pim.StateNone,
	}
	list, next, err := h.Listings(h.ctx, ListingFilter{Channel: "aa", Lane: pim.Content}, Page{})
	if err != nil || next != "" {
		t.Fatal(err, next)
	}
	var got []pim.ListingState
	for i, l := range list {
		got = append(got, l.State)
		if l.SKU != pim.SKU(fmt.Sprintf("P%d", i)) || l.Channel != "aa" || l.Lane != pim.Content || l.Wanted != 1 || l.Issues == nil ||
			(l.DirtySince != nil) != (l.State == pim.StateWaiting || l.State == pim.StatePending) {
			t.Errorf("%d: %+v", i, l)
		}
	}
	equal(t, "states", got, want)
	if l := list[0]; l.DueAt != nil || l.Error == "" {
		t.Errorf("waits for content: %+v", l)
	}
	if l := list[1]; l.DueAt == nil || l.Attempts != 2 {
		t.Errorf("pending: %+v", l)
	}
	if l := list[2]; l.Acked != 1 || l.AckedAt == nil || l.Receipt == nil || l.Receipt.Verdict != "accepted" || l.Receipt.Revision != 1 {
		t.Errorf("accepted: %+v", l)
	}
	if l := list[4]; l.Error != "no title" || len(l.Issues) != 1 || l.Issues[0].Severity != pim.SeverityError || l.Receipt == nil {
		t.Errorf("rejected: %+v", l)
	}

	for f, n := range map[ListingFilter]int{
		{}:                                  16,
		{Channel: "bb"}:                     8,
		{Channel: "nope"}:                   0,
		{SKU: "P4"}:                         2,
		{SKU: "p4"}:                         0,
		{Lane: pim.Offer}:                   0,
		{State: pim.StateNone}:              2,
		{State: pim.StateWaiting}:           9,
		{State: pim.StateRejected}:          1,
		{Issues: true}:                      1,
		{Channel: "bb", Issues: true}:       0,
		{Channel: "aa", State: "nonsense"}:  0,
		{SKU: "P0", State: pim.StateLive}:   0,
		{SKU: "P3", State: pim.StateLive}:   1,
		{Lane: pim.Content, Channel: "aa"}:  8,
		{Lane: pim.Content, SKU: "P1"}:      2,
		{Channel: "aa", SKU: "P1", Lane: 1}: 1,
	} {
		list, _, err := h.Listings(h.ctx, f, Page{})
		if err != nil || len(list) != n {
			t.Errorf("%+v: %d listings, %v, want %d", f, len(list), err, n)
		}
		var paged []pim.Listing
		for page := (Page{Limit: 3}); ; {
			part, next, err := h.Listings(h.ctx, f, page)
			if err != nil || len(part) > 3 {
				t.Fatal(err, len(part))
			}
			paged = append(paged, part...)
			if page.After = next; next == "" {
				break
			}
		}
		if !slices.EqualFunc(list, paged, func(a, b pim.Listing) bool { return a.Channel == b.Channel && a.SKU == b.SKU && a.Lane == b.Lane }) {
			t.Errorf("%+v: pages give %v", f, paged)
		}
	}
	for _, bad := range []string{"x", "1", "1.2", "1.2.3.4", "1.-2.3", "a.b.c", "1.3.70000"} {
		if _, _, err := h.Listings(h.ctx, ListingFilter{}, Page{After: bad}); problemsOf(err)[0] != "cursor /cursor" {
			t.Errorf("cursor %q: %v", bad, err)
		}
	}
}

func TestLaneStats(t *testing.T) {
	t.Parallel()
	h := stand(t)
	h.exec(`update listing set dirty_at = now() - interval '90 seconds', due_at = least(due_at, now() - interval '90 seconds') where dirty and channel_id = (select id from channel where code = 'bb')`)
	all, err := h.LaneStats(h.ctx, "")
	if err != nil || len(all) != 2 {
		t.Fatal(all, err)
	}
	var got []string
	for _, s := range pim.ListingStates {
		got = append(got, fmt.Sprint(s, all[0].States[s]))
	}
	if want := "[waiting1 pending1 accepted1 live1 verified0 rejected1 withdrawn1 sold_out0 none2]"; fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
	if all[1].Channel != "bb" || all[1].Lane != pim.Content || all[1].States[pim.StateWaiting] != 8 || all[1].Oldest < 90*time.Second || all[1].Oldest > 3*time.Minute {
		t.Errorf("%+v", all[1])
	}
	if all[1].Due < 90*time.Second || all[1].Due > 3*time.Minute || all[0].Due != 0 { // of aa, one waits for its content and one for its poll
		t.Errorf("due for %s and %s", all[1].Due, all[0].Due)
	}
	h.exec(`update channel set throttled_until = now() + interval '1 hour' where code = 'bb'`)
	if one, err := h.LaneStats(h.ctx, "bb"); err != nil || len(one) != 1 || one[0].Due != 0 || one[0].Oldest < 90*time.Second {
		t.Errorf("throttled: %+v, %v", one, err)
	}
	h.exec(`update listing set dirty = false`)
	if one, err := h.LaneStats(h.ctx, "aa"); err != nil || len(one) != 1 || one[0].Oldest != 0 {
		t.Errorf("%+v, %v", one, err)
	}
}

func TestRetryListings(t *testing.T) {
	t.Parallel()
	h := stand(t)
	h.exec(`update listing l set dirty = false, error = 'x' from product p where p.id = l.product_id and p.sku in ('P2', 'P3')
		and l.channel_id = (select id from channel where code = 'bb')`)
	for _, c := range []struct {
		channel pim.ChannelCode
		sku     pim.SKU
		n       int64
	}{{"aa", "P3", 0}, {"bb", "P3", 1}, {"aa", "", 1}, {"aa", "", 0}, {"bb", "", 1}} {
		if n, err := h.RetryListings(h.ctx, ListingChoice{Channel: c.channel, SKUs: only(c.sku)}); err != nil || n != c.n {
			t.Errorf("%+v: %d, %v", c, n, err)
		}
	}
	if n := h.number(`select count(*) from listing where dirty and error is not null and want = 3 and due_at <= now() and dirty_at > now() - interval '1 minute'`); n != 3 {
		t.Errorf("%d listings un-parked, want 3", n)
	}
	for _, s := range []pim.ListingState{pim.StateRejected} {
		if list, _, err := h.Listings(h.ctx, ListingFilter{State: s}, Page{}); err != nil || len(list) != 0 {
			t.Errorf("%v, %v", list, err)
		}
	}
}

// All that locks many listings takes them in one order: whatever meets, nobody
// is killed as a deadlock's victim.
func TestListingWritersDoNotDeadlock(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.channel("aa")
	h.channel("bb")
	var edits []Edit
	for i := range 300 {
		edits = append(edits, thing(pim.SKU(fmt.Sprintf("P%03d", i)), Put, `{}`))
	}
	h.do(edits...)
	h.exec(`update consumer set released = true`)
	fan, drain := h.lease(Consumer{Kind: Fanout}), h.lease(Consumer{Kind: Drain, Channel: c.ID, Lane: pim.Content})
	h.fanOut(fan)
	// Physical order against key order, so that a plain scan locks the other way round.
	h.exec(`create table aside as select * from listing; truncate listing`)
	h.exec(`insert into listing select * from aside order by channel_id desc, lane desc, product_id desc`)
	h.exec(`update listing set acked_hash = 'x', error = 'x', dirty = false`)
	var wg sync.WaitGroup
	loop := func(what string, do func() error) {
		wg.Go(func() {
			for range 12 {
				// A full resync shuts the drain's holder out.
				if err := do(); err != nil && !errors.Is(err, ErrFenced) {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
	loop("fan-out", func() error {
		for i := range edits {
			edits[i] = thing(edits[i].SKU, Patch, fmt.Sprintf(`{"count":%d}`, time.Now().UnixNano()))
		}
		if _, err := h.Edit(h.ctx, "tester", edits); err != nil {
			return err
		}
		_, err := h.FanOut(h.ctx, fan, 1000)
		return err
	})
	loop("receipts", func() error {
		claim, err := h.Claim(h.ctx, drain, ClaimOptions{Limit: 300})
		if err != nil {
			return err
		}
		var outcomes []Outcome
		for _, item := range claim.Items {
			outcomes = append(outcomes, Outcome{Product: item.Product, Want: item.Want, Ack: true, Heard: true, Rev: item.Rev, Hash: []byte("y"), Error: ptr("x")})
		}
		_, _, err = h.Receive(h.ctx, drain, outcomes)
		return err
	})
	loop("retry", func() error { _, err := h.RetryListings(h.ctx, ListingChoice{Channel: "aa"}); return err })
	loop("resync of some", func() error {
		_, err := h.ResyncListings(h.ctx, ListingChoice{Channel: "aa", Family: "thing"}, true)
		return err
	})
	loop("full resync", func() error { return h.ResyncChannel(h.ctx, "aa", true) })
	loop("marking", func() error { _, err := h.MarkChannel(h.ctx, fan, 100); return err })
	loop("restored", func() error { _, err := h.Restored(h.ctx); return err })
	wg.Wait()
}

// A full resync forgets what was acknowledged in steps, as it marks: what
// locks all of a channel's listings would have the others wait. Until the last
// step nothing is sent, as some is not forgotten yet.
func TestFullResyncGoesInSteps(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.channel("aa")
	h.do(thing("A", Put, `{}`), thing("B", Put, `{}`), thing("C", Put, `{}`), thing("D", Put, `{}`))
	fan := h.lease(Consumer{Kind: Fanout})
	h.fanOut(fan)
	h.exec(`update listing set dirty = false, acked_hash = 'x', born = 7`)
	h.exec(`update listing set dirty = true where product_id = 1`)
	h.exec(`update listing set acked_hash = null where product_id = 2`) // in doubt when it was acknowledged
	h.exec(`update listing set status = 'withdrawn', born = -7 where product_id = 4`)
	tx := h.begin()
	if _, err := tx.Exec(h.ctx, `lock table listing in access exclusive mode`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(h.ctx, 30*time.Second)
	defer cancel()
	if err := h.ResyncChannel(ctx, "aa", true); err != nil {
		t.Fatalf("it waits for the table of listings: %v", err)
	}
	if err := tx.Rollback(h.ctx); err != nil {
		t.Fatal(err)
	}
	drain := h.lease(Consumer{Kind: Drain, Channel: c.ID, Lane: pim.Content})
	for step, want := range []int{0, 0, 0, 4} {
		claim, err := h.Claim(h.ctx, drain, ClaimOptions{Limit: 10})
		if err != nil || len(claim.Items) != want {
			t.Fatalf("step %d: %d listings are claimed, want %d (%v)", step, len(claim.Items), want, err)
		}
		due, err := h.IsDue(h.ctx, Consumer{Kind: Fanout})
		if step == 3 {
			break
		}
		if due != nil || err != nil { // it is held
			t.Fatal(due, err)
		}
		if _, err := h.MarkChannel(h.ctx, fan, 2); err != nil {
			t.Fatal(err)
		}
	}
	if got := h.number(`select count(*) from listing where lane = 1 and acked_hash is null and born = -7 and product_id < 4`); got != 3 {
		t.Errorf("%d of 3 contents were forgotten, and are no more taken to be there", got)
	}
	if got := h.number(`select count(*) from listing where lane = 1 and acked_hash is not null and product_id = 4`); got != 1 {
		t.Error("what was withdrawn would be withdrawn again")
	}
}

// A restore raises every revision above what was ever sent, has everything
// marked, and nothing skipped.
func TestRestored(t *testing.T) {
	t.Parallel()
	h := stand(t)
	h.exec(`update listing set acked_hash = 'x'`)
	h.exec(`insert into event (at, product_id, rev, lanes, type, actor, data) values (now() - interval '1 hour', 1, 1, 1, 'x', 'x', '{}')`)
	h.exec(`delete from event where at > now() - interval '30 minutes'`) // the last hour was lost
	h.exec(`update consumer set released = true`)
	fan, drain := h.lease(Consumer{Kind: Fanout}), h.lease(Consumer{Kind: Drain, Channel: pim.ChannelID(h.number(`select id from channel where code = 'aa'`)), Lane: pim.Content})
	floor, err := h.Restored(h.ctx)
	if _, err := h.Claim(h.ctx, drain, ClaimOptions{Limit: 1}); !errors.Is(err, ErrFenced) {
		t.Errorf("who has old revisions in hand goes on: %v", err)
	}
	if err != nil || floor < 3*3600*1000 {
		t.Errorf("floor %d, %v: an hour can hold more changes", floor, err)
	}
	h.fanOut(fan)
	if n := h.number(`select count(*) from listing where acked_hash is not null or not dirty`) + h.number(`select count(*) from channel where mark_anew <> 0`); n != 0 {
		t.Error("something is remembered as acknowledged, or not marked")
	}
	list, _, err := h.Listings(h.ctx, ListingFilter{SKU: "P0", Channel: "aa"}, Page{})
	if err != nil || list[0].Wanted != floor+1 {
		t.Errorf("%+v, %v", list, err)
	}
	if second, err := h.Restored(h.ctx); err != nil || second <= floor {
		t.Errorf("a second restore: %d, %v", second, err)
	}
}

func TestTidy(t *testing.T) {
	t.Parallel()
	h := stand(t)
	c, err := h.Channel(h.ctx, "bb")
	if err != nil {
		t.Fatal(err)
	}
	held := h.lease(Consumer{Kind: Drain, Channel: c.ID, Lane: pim.Offer})
	if err := h.DeleteChannel(h.ctx, "bb", 0); err != nil {
		t.Fatal(err)
	}
	h.exec(`update channel set deleted_at = now() - interval '1 hour' where code = 'bb'`)
	h.exec(`drop table event_` + time.Now().UTC().AddDate(0, 0, 1-time.Now().UTC().Day()).AddDate(0, 1, 0).Format("2006_01"))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := h.Tidy(h.ctx); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	var left, kinds string
	h.one(`select string_agg(distinct c.code, ' ') from listing l join channel c on c.id = l.channel_id`, &left)
	h.one(`select string_agg(kind || channel_id, ' ' order by kind, channel_id, lane) from consumer where kind in ('drain', 'fanout')`, &kinds)
	if left != "aa" || kinds != fmt.Sprintf("drain1 drain1 drain1 drain%d fanout0", held.Channel) {
		t.Errorf("listings of %s, consumers %s", left, kinds)
	}
	if n := h.number(`select count(*) from pg_inherits where inhparent = 'event'::regclass`); n != 4 {
		t.Errorf("%d partitions, want the default and three months", n)
	}
}

// A deleted channel's listings are dropped once: after that, tidying does not
// even look at the table, which may be large.
func TestTidyDropsListingsOnce(t *testing.T) {
	t.Parallel()
	h := stand(t)
	if err := h.DeleteChannel(h.ctx, "bb", 0); err != nil {
		t.Fatal(err)
	}
	of := func() int64 {
		return h.number(`select count(*) from listing where channel_id = (select id from channel where code = 'bb')`)
	}
	if err := h.Tidy(h.ctx); err != nil || of() == 0 {
		t.Error("dropped while a statement that saw the channel may still mark some", err)
	}
	h.exec(`update channel set deleted_at = now() - interval '1 hour' where code = 'bb'`)
	if err := h.Tidy(h.ctx); err != nil || of() != 0 {
		t.Error("not dropped", err)
	}
	tx := h.begin()
	if _, err := tx.Exec(h.ctx, `lock table listing in access exclusive mode`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(h.ctx, 30*time.Second)
	defer cancel()
	if err := h.Tidy(ctx); err != nil {
		t.Errorf("with nothing to drop, tidying waits for the table of listings: %v", err)
	}
}

// A new partition waits for nobody who reads the log, since all edits would
// wait behind it.
func TestTidyLeavesAReadLogAlone(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.exec(`drop table event_` + time.Now().UTC().AddDate(0, 0, 1-time.Now().UTC().Day()).AddDate(0, 2, 0).Format("2006_01"))
	tx := h.begin()
	if _, err := tx.Exec(h.ctx, `select count(*) from event`); err != nil {
		t.Fatal(err)
	}
	if err := h.Tidy(h.ctx); err != nil {
		t.Errorf("beside a reader: %v", err)
	}
	if n := h.number(`select count(*) from pg_inherits where inhparent = 'event'::regclass`); n != 3 {
		t.Errorf("%d partitions beside a reader: it did not lock?", n)
	}
	if err := tx.Rollback(h.ctx); err != nil {
		t.Fatal(err)
	}
	if err := h.Tidy(h.ctx); err != nil {
		t.Error(err)
	}
	if n := h.number(`select count(*) from pg_inherits where inhparent = 'event'::regclass`); n != 4 {
		t.Errorf("%d partitions", n)
	}
}

func TestChannels(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.channel("shop")
	if _, err := h.CreateChannel(h.ctx, Channel{Code: "shop", Config: []byte(`{}`), Mapping: []byte(`{}`)}); err == nil || !strings.Contains(err.Error(), ErrExists.Error()) {
		t.Errorf("a second of the same code: %v", err)
	}
	if !c.Marking || c.Fails != 0 || c.Version != 1 || !h.Schema().Channels["shop"] {
		t.Errorf("%+v", c)
	}
	c.Batch = 77
	u, err := h.UpdateChannel(h.ctx, *c)
	if err != nil || u.Batch != 77 || u.Version != 2 {
		t.Errorf("%+v, %v", u, err)
	}
	if _, err := h.UpdateChannel(h.ctx, *c); err == nil || !strings.Contains(err.Error(), ErrStale.Error()) {
		t.Errorf("an old version: %v", err)
	}
	if fails, err := h.ChannelFailed(h.ctx, c.ID, u.Version, "down", false, time.Minute); err != nil || fails != 1 {
		t.Error(fails, err)
	}
	if took, err := h.TakeProbe(h.ctx, c.ID, time.Minute); err != nil || took {
		t.Errorf("a probe of a channel that is not broken: %v, %v", took, err)
	}
	for range 2 {
		if _, err := h.ChannelFailed(h.ctx, c.ID, u.Version, "down", false, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	if took, err := h.TakeProbe(h.ctx, c.ID, time.Minute); err != nil || took {
		t.Errorf("a probe before its time: %v, %v", took, err)
	}
	h.exec(`update channel set next_probe_at = now()`)
	var wg sync.WaitGroup
	var probes [4]bool
	for i := range probes {
		wg.Go(func() { probes[i], _ = h.TakeProbe(h.ctx, c.ID, time.Minute) })
	}
	wg.Wait()
	if n := len(slices.DeleteFunc(probes[:], func(b bool) bool { return !b })); n != 1 {
		t.Errorf("%d probes at once", n)
	}
	if err := h.ChannelThrottled(h.ctx, c.ID, u.Version, "slow down", time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := h.PauseChannel(h.ctx, "shop"); err != nil {
		t.Fatal(err)
	}
	if got, _ := h.Channel(h.ctx, "shop"); got.Enabled || got.Fails != 3 || got.ThrottledUntil == nil || got.NextProbeAt == nil || got.LastError != "slow down" {
		t.Errorf("%+v", got)
	}
	if err := h.ResumeChannel(h.ctx, "shop"); err != nil {
		t.Fatal(err)
	}
	if got, _ := h.ChannelByID(h.ctx, c.ID); !got.Enabled || got.Fails != 0 || got.ThrottledUntil != nil || got.NextProbeAt != nil || got.LastError != "" || got.Allowed != 1 {
		t.Errorf("%+v", got)
	}
	for want := 2; want < 5; want++ {
		if err := h.ChannelWell(h.ctx, c.ID); err != nil {
			t.Fatal(err)
		}
		if got, _ := h.Channel(h.ctx, "shop"); got.Allowed != min(want, got.Concurrency) {
			t.Errorf("allowed %d after %d successes", got.Allowed, want-1)
		}
	}
	if err := h.DeleteChannel(h.ctx, "shop", 0); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"delete": h.DeleteChannel(h.ctx, "shop", 0), "pause": h.PauseChannel(h.ctx, "shop"), "resync": h.ResyncChannel(h.ctx, "shop", true),
		"read": func() error { _, err := h.Channel(h.ctx, "shop"); return err }(),
	} {
		if err == nil || !strings.Contains(err.Error(), ErrNotFound.Error()) {
			t.Errorf("%s of what is gone: %v", what, err)
		}
	}
	if again := h.channel("shop"); again.ID == c.ID {
		t.Error("a code that is free again gives the old row")
	}
	if list, err := h.Channels(h.ctx); err != nil || len(list) != 1 || list[0].Code != "shop" {
		t.Error(list, err)
	}
}
