package postgres

import (
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluicehub/sluice/pim"
)

// TestPublicationWindows is TestPriceWindows of publication.
func TestPublicationWindows(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.channel("shop")
	skus := []pim.SKU{"opens", "closes", "later", "always", "past"}
	rows := make([]pim.PublicationRow, len(skus))
	from := time.Now().Add(-24 * time.Hour)
	for i, sku := range skus {
		h.do(thing(sku, Put, `{}`))
		rows[i] = pim.PublicationRow{SKU: sku, Publication: pim.Publication{Channel: "shop", From: &from}}
	}
	if res, err := h.SetPublications(h.ctx, "test", rows, Idempotency{}); err != nil || res[4].Status != RowChanged {
		t.Fatal(res, err)
	}
	h.exec(`update publication set publish_from = case p.sku when 'opens' then now() - interval '1 minute' when 'later' then now() + interval '1 hour'
			when 'past' then now() - interval '3 hours' else publish_from end,
		publish_to = case p.sku when 'closes' then now() - interval '1 minute' when 'past' then now() - interval '2 hours' else publish_to end
		from product p where p.id = publication.product_id`)
	h.exec(`update catalogue set published_until = now() - interval '1 hour'; delete from outbox`)
	var wg sync.WaitGroup
	counts := make([]int, 4)
	for i := range counts {
		wg.Go(func() {
			var err error
			if counts[i], err = h.OpenPublications(h.ctx); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	sum := 0
	for _, n := range counts {
		sum += n
	}
	var queued string
	h.one(`select string_agg(p.sku, ' ' order by p.sku) from outbox o join product p on p.id = o.product_id where o.lanes = 64`, &queued)
	if sum != 2 || queued != "closes opens" {
		t.Errorf("%v: queued %q", counts, queued)
	}
	if n, err := h.OpenPublications(h.ctx); err != nil || n != 0 {
		t.Errorf("a second look: %d, %v", n, err)
	}
}

// A window marks the listings of its channel and of no other; what was and what
// is stand in the history, and the revision stays.
func TestPublicationMarks(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.channel("shop")
	h.channel("other")
	h.do(thing("A", Put, `{}`), thing("B", Put, `{}`))
	fan := h.lease(Consumer{Kind: Fanout})
	drain := func() {
		t.Helper()
		if _, err := h.FanOut(h.ctx, fan, 100); err != nil {
			t.Fatal(err)
		}
	}
	drain()
	h.exec(`update listing set dirty = false`)
	from, to := time.Now().Add(time.Hour).Truncate(time.Second), time.Now().Add(2*time.Hour).Truncate(time.Second)
	set := func(want RowStatus, row pim.PublicationRow) {
		t.Helper()
		row.SKU, row.Channel = "A", "shop"
		res, err := h.SetPublications(h.ctx, "planner", []pim.PublicationRow{row}, Idempotency{})
		if err != nil || res[0].Status != want {
			t.Fatalf("%+v, %v, want %s", res, err, want)
		}
	}
	marked := func(want string) {
		t.Helper()
		drain()
		var got string
		h.one(`select coalesce(string_agg(p.sku || ' ' || c.code || ' ' || l.lane, ', ' order by 1), '') from listing l join product p on p.id = l.product_id
			join channel c on c.id = l.channel_id where l.dirty`, &got)
		if got != want {
			t.Errorf("marked are %q, want %q", got, want)
		}
		h.exec(`update listing set dirty = false`)
	}
	rev := h.number(`select rev from product where sku = 'A'`)
	set(RowChanged, pim.PublicationRow{Publication: pim.Publication{From: &from}})
	marked("A shop 1")
	set(RowUnchanged, pim.PublicationRow{Publication: pim.Publication{From: &from}})
	marked("")
	set(RowChanged, pim.PublicationRow{Publication: pim.Publication{From: &from, To: &to}})
	marked("A shop 1")
	list, err := h.Publications(h.ctx, "A")
	if err != nil || len(list) != 1 || !list[0].From.Equal(from) || !list[0].To.Equal(to) || list[0].Channel != "shop" {
		t.Errorf("%+v, %v", list, err)
	}
	set(RowChanged, pim.PublicationRow{Delete: true})
	marked("A shop 1")
	set(RowUnchanged, pim.PublicationRow{Delete: true})
	if list, err := h.Publications(h.ctx, "A"); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	if _, err := h.Publications(h.ctx, "none"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if now := h.number(`select rev from product where sku = 'A'`); now != rev {
		t.Errorf("the revision went from %d to %d", rev, now)
	}
	var raw []byte
	h.one(`select data from event where type = 'publication.changed' and actor = 'planner' order by id desc limit 1`, &raw)
	var told struct {
		Publication []map[string]string `json:"publication"`
	}
	if err := json.Unmarshal(raw, &told); err != nil || len(told.Publication) != 1 || told.Publication[0]["channel"] != "shop" ||
		told.Publication[0]["old_from"] == "" || told.Publication[0]["old_to"] == "" || told.Publication[0]["from"] != "" {
		t.Errorf("%s, %v", raw, err)
	}
	if n := h.number(`select count(*) from event where type = 'publication.changed'`); n != 3 {
		t.Errorf("%d events", n)
	}
}

// Of those who set one window at once the second tells what the first has set as what
// was before, also where there was none.
func TestPublicationBefore(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.channel("shop")
	h.do(thing("A", Put, `{}`))
	hold := h.begin() // both work it out before either writes
	if _, err := hold.Exec(h.ctx, `insert into publication (product_id, channel_id) select p.id, c.id from product p, channel c`); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 2)
	for i := range cap(done) {
		go func() {
			from := time.Now().Add(time.Duration(i+1) * time.Hour)
			_, err := h.SetPublications(h.ctx, "planner", []pim.PublicationRow{{SKU: "A", Publication: pim.Publication{Channel: "shop", From: &from}}}, Idempotency{})
			done <- err
		}()
		h.blocked(int64(i + 1))
	}
	if err := hold.Rollback(h.ctx); err != nil {
		t.Fatal(err)
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	var before, chained int
	h.one(`select count(*) filter (where w ? 'old_from'), count(*) filter (where w ->> 'old_from' = (select o.data #>> '{publication,0,from}' from event o where o.type = e.type and o.id <> e.id))
		from event e cross join jsonb_array_elements(e.data -> 'publication') w where e.type = 'publication.changed'`, &before, &chained)
	if before != 1 || chained != 1 {
		t.Errorf("%d of two changes have something before them, %d what the other has set", before, chained)
	}
}

// Bad rows are rejected, each for itself.
func TestPublicationRows(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.channel("shop")
	h.do(thing("A", Put, `{}`))
	now := time.Now()
	before := now.Add(-time.Hour)
	row := func(sku pim.SKU, channel pim.ChannelCode, from, to *time.Time, gone bool) pim.PublicationRow {
		return pim.PublicationRow{SKU: sku, Publication: pim.Publication{Channel: channel, From: from, To: to}, Delete: gone}
	}
	res, err := h.SetPublications(h.ctx, "test", []pim.PublicationRow{
		row("none", "shop", &now, nil, false), row("A", "no\x00ne", &now, nil, false), row("A", "shop", &now, &before, false),
		row("A", "shop", nil, nil, false), row("A", "shop", &now, nil, true), row("A", "shop", &before, nil, false), row("A", "shop", &before, &now, false),
	}, Idempotency{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range res {
		word := string(r.Status)
		for _, p := range r.Problems {
			word += " " + p.Pointer + " " + p.Code
		}
		got = append(got, word)
	}
	want := "rejected /sku sku.unknown|rejected /channel channel.unknown|rejected /to publication.window|rejected /from field.missing|" +
		"rejected /delete publication.window|superseded|changed"
	if strings.Join(got, "|") != want {
		t.Errorf("%q", got)
	}
}

// Bounds that the store cannot have are the row's own fault, and no other's.
func TestPublicationBounds(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.channel("shop")
	h.do(thing("A", Put, `{}`), thing("B", Put, `{}`))
	zero, now := time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), time.Now().Truncate(time.Microsecond)
	soon := now.Add(100)
	row := func(sku pim.SKU, from, to *time.Time) pim.PublicationRow {
		return pim.PublicationRow{SKU: sku, Publication: pim.Publication{Channel: "shop", From: from, To: to}}
	}
	for i, c := range []struct {
		bad  pim.PublicationRow
		want string
	}{
		{row("A", &zero, nil), "value.date /from"},
		{row("A", nil, &zero), "value.date /to"},
		{row("A", &now, &soon), "publication.window /to"}, // within one microsecond
	} {
		to := now.Add(time.Duration(i+1) * time.Hour)
		res, err := h.SetPublications(h.ctx, "planner", []pim.PublicationRow{c.bad, row("B", nil, &to)}, Idempotency{})
		if err != nil {
			t.Errorf("%s: %v", c.want, err)
			continue
		}
		if p := res[0].Problems; len(p) != 1 || p[0].Code+" "+p[0].Pointer != c.want || res[1].Status != RowChanged {
			t.Errorf("%+v, not %s", res, c.want)
		}
	}
}
