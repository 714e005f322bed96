package postgres

import (
	"reflect"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/pim"
)

// There are pieces left, and the channel shows none: that is sold out there, and
// goes first; where another channel sells on, it is a change like others.
func TestSoldOutByBuffer(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.do(thing("A", Put, `{}`), thing("B", Put, `{}`))
	h.channel("all")
	c := h.channel("some")
	c.Policy.Stock.Buffer = 3
	h.stocked("A", 9)
	h.stocked("B", 9)
	if _, err := h.UpdateChannel(h.ctx, *c); err != nil {
		t.Fatal(err)
	}
	fan := h.lease(Consumer{Kind: Fanout})
	queue := func(what, want string) {
		t.Helper()
		h.fanOut(fan)
		var got string
		h.one(`select coalesce(string_agg(c.code || ' ' || p.sku || ' ' || l.priority, ', ' order by c.code, p.sku), '') from listing l
			join channel c on c.id = l.channel_id join product p on p.id = l.product_id where l.lane = 2 and l.dirty`, &got)
		if got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
		h.exec(`update listing set dirty = false`)
	}
	h.fanOut(fan)
	h.exec(`update listing set dirty = false`)
	h.set(stock("A", 4), stock("B", 4))
	queue("less", "all A 1, all B 1, some A 1, some B 1")
	h.set(stock("A", 3), stock("B", 5))
	queue("the buffer is reached", "all A 1, all B 1, some A 2, some B 1")
	if _, _, err := h.PutLocation(h.ctx, pim.Location{Code: "default", SafetyStock: 2}, 0); err != nil {
		t.Fatal(err)
	}
	queue("a safety stock", "all A 0, all B 0, some B 2")
	h.set(func() pim.StockRow { r := came("A", 0); r.SafetyStock = new(int64(3)); return r }())
	queue("a safety stock of its own", "all A 2, some A 2")
	c, err := h.Channel(h.ctx, "all")
	if err != nil {
		t.Fatal(err)
	}
	c.Policy.Stock.Cap = 1
	if c, err = h.UpdateChannel(h.ctx, *c); err != nil {
		t.Fatal(err)
	}
	queue("a cap", "all B 0")
	if c, err = h.UpdateChannel(h.ctx, *c); err != nil {
		t.Fatal(err)
	}
	queue("the same again", "")
	if _, _, err := h.PutLocation(h.ctx, pim.Location{Code: "shop"}, 0); err != nil {
		t.Fatal(err)
	}
	c.Locations = []string{"shop"}
	if _, err = h.UpdateChannel(h.ctx, *c); err != nil {
		t.Fatal(err)
	}
	queue("another location", "all A 0, all B 2")
}

// A change of a buffer and a change of a level never pass each other: who comes
// second sees the first, and that both together sell a product out.
func TestBufferWaitsForLevels(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.do(thing("A", Put, `{}`))
	c := h.channel("shop")
	h.stocked("A", 9)
	h.exec(`delete from outbox`)
	tx := h.begin()
	b, err := h.stockBatch(h.ctx, "erp", []pim.StockRow{stock("A", 4)})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.run(h.ctx, tx); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		c.Policy.Stock.Buffer = 5
		_, err := h.UpdateChannel(h.ctx, *c)
		done <- err
	}()
	h.blocked(1)
	if err := tx.Commit(h.ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := h.number(`select count(*) from outbox where priority = 2`); n != 1 {
		t.Errorf("%d rows say that it is sold out", n)
	}
}

func TestLocations(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.do(thing("A", Put, `{}`))
	attic := pim.Location{Code: "attic", Labels: map[pim.Locale]string{"en-GB": "Attic"}, SafetyStock: 2}
	first, created, err := h.PutLocation(h.ctx, attic, 0)
	if err != nil || !created || first.Rev != 1 || !reflect.DeepEqual(first.Location, attic) {
		t.Fatal(first, created, err)
	}
	if again, created, err := h.PutLocation(h.ctx, attic, 1); err != nil || created || again.Rev != 1 {
		t.Error(again, created, err)
	}
	attic.SafetyStock = 3
	if now, _, err := h.PutLocation(h.ctx, attic, 1); err != nil || now.Rev != 2 || h.Schema().Places["attic"].SafetyStock != 3 {
		t.Error(now, err)
	}
	if _, _, err := h.PutLocation(h.ctx, attic, 1); err == nil {
		t.Error("a stale revision is taken")
	}
	c := h.channel("web")
	c.Locations = []string{"attic"}
	if c, err = h.UpdateChannel(h.ctx, *c); err != nil {
		t.Fatal(err)
	}
	wrong := map[string]string{"attic": "in use", "default": "in use", "none": "not found"}
	look := func() {
		t.Helper()
		for code, want := range wrong {
			if err := h.DeleteLocation(h.ctx, code, 0); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("delete %s: %v, want %s", code, err, want)
			}
		}
	}
	look()
	c.Locations = nil
	if _, err = h.UpdateChannel(h.ctx, *c); err != nil {
		t.Fatal(err)
	}
	other := stock("A", 0)
	other.Location = "attic"
	h.set(other)
	look()
	h.exec(`delete from stock`)
	if err := h.DeleteLocation(h.ctx, "attic", 0); err != nil {
		t.Fatal(err)
	}
	if got := h.set(other); got[0] != "A rejected 0 location.unknown /location" {
		t.Error(got)
	}
}
