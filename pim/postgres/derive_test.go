package postgres

import (
	"errors"
	"testing"
	"time"

	"github.com/sluicehub/sluice/pim"
)

func (h *house) put(code string, hash byte) {
	h.Helper()
	a := Asset{Code: code, Ref: code, Format: "png", MediaType: "image/png", Width: 10, Height: 10, Hash: []byte{31: hash}}
	if _, _, err := h.PutAsset(h.ctx, a, 0); err != nil {
		h.Fatal(err)
	}
}

// derive works the set off as its consumer does; refs are what each product names.
func (h *house) derive(l Lease, refs map[pim.SKU][]string) (skus []pim.SKU) {
	h.Helper()
	products, err := h.ClaimDerive(h.ctx, l, 100)
	if err != nil {
		h.Fatal(err)
	}
	d := Derivation{Products: products, Refs: make([][]string, len(products))}
	for i, p := range products {
		skus, d.Refs[i] = append(skus, p.SKU), refs[p.SKU]
	}
	if err := h.Derive(h.ctx, l, d); err != nil {
		h.Fatal(err)
	}
	return skus
}

func TestDerive(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	fanner, l := h.lease(Consumer{Kind: Fanout}), h.lease(Consumer{Kind: Derive})
	edit := func(name string) {
		t.Helper()
		h.do(Edit{SKU: "A", Mode: Merge, Family: ptr("thing"), Values: pim.Values{"name": map[string]any{"en-GB": name}}})
		h.fanOut(fanner)
	}
	edit("before anything is derived")
	if n := h.number(`select count(*) from derive`); n != 0 {
		t.Errorf("%d products to derive from where nothing is derived", n)
	}
	h.put("logo", 1) // from here on
	if skus := h.derive(l, map[pim.SKU][]string{"A": {"logo"}}); len(skus) != 1 {
		t.Errorf("looked at %v, want all there are", skus)
	}
	if n := h.number(`select count(*) from asset where unused_at is null`); n != 1 {
		t.Error("the asset that a product names is unused")
	}

	// A change between look and end is looked at again.
	h.exec(`update catalogue set derives = derives | 1`)
	edit("one")
	edit("two")
	products, err := h.ClaimDerive(h.ctx, l, 100)
	if err != nil || len(products) != 1 || !products[0].Urgent {
		t.Fatalf("claimed %+v, %v: want the one, as somebody's edit", products, err)
	}
	edit("three")
	if err := h.Derive(h.ctx, l, Derivation{Products: products, Refs: [][]string{{"logo"}}}); err != nil {
		t.Fatal(err)
	}
	if n := h.number(`select count(*) from derive`); n != 1 {
		t.Error("what changed meanwhile is forgotten")
	}
	h.derive(l, map[pim.SKU][]string{"A": {"logo"}})

	// Another file is a new revision of the media of who shows it, once, and nothing else's.
	rev := h.product("A").MediaRev
	h.put("logo", 2)
	h.derive(l, map[pim.SKU][]string{"A": {"logo"}})
	if got := h.product("A").MediaRev; got != rev+1 || h.number(`select count(*) from derive`) != 0 {
		t.Errorf("media revision %d after %d", got, rev)
	}
	h.put("logo", 2)
	if n := h.number(`select count(*) from derive`); n != 0 {
		t.Error("the same file again has products looked at")
	}
	// Nobody names it any more.
	h.exec(`insert into derive select id from product`)
	h.derive(l, nil)
	if n := h.number(`select count(*) from asset where unused_at is not null`); n != 1 {
		t.Error("the asset counts as used")
	}
	if err := h.DeleteAsset(h.ctx, "logo", 0); err != nil {
		t.Error(err)
	}
}

// A picture that was completed before it was known who shows it wakes those who
// looked too early.
func TestDeriveFindsWhatIsJustComplete(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	fanner, l := h.lease(Consumer{Kind: Fanout}), h.lease(Consumer{Kind: Derive})
	h.put("logo", 1)
	h.do(Edit{SKU: "A", Mode: Merge, Family: ptr("thing")})
	h.exec(`insert into derive select id from product`)
	h.derive(l, map[pim.SKU][]string{"A": {"logo"}})
	if rev := h.product("A").MediaRev; rev != 1 {
		t.Errorf("media revision %d: its listings are not looked at again", rev)
	}
	h.fanOut(fanner)
	h.exec(`insert into derive select id from product on conflict do nothing`)
	h.derive(l, map[pim.SKU][]string{"A": {"logo"}})
	if rev := h.product("A").MediaRev; rev != 1 {
		t.Errorf("media revision %d after another look", rev)
	}
	h.exec(`update asset set updated_at = now() - interval '1 hour'`)
	h.do(Edit{SKU: "B", Mode: Merge, Family: ptr("thing")})
	h.exec(`insert into derive select id from product on conflict do nothing`)
	h.derive(l, map[pim.SKU][]string{"A": {"logo"}, "B": {"logo"}})
	if rev := h.product("B").MediaRev; rev != 0 {
		t.Errorf("media revision %d for what has long been complete", rev)
	}
}

// Who lost the lease writes nothing, neither what came of a task nor its end.
func TestTasksAreFenced(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.do(Edit{SKU: "A", Mode: Merge, Family: ptr("thing")})
	if _, err := h.AddURLAsset(h.ctx, "", "https://pictures.example/a.png"); err != nil {
		t.Fatal(err)
	}
	l := h.lease(Consumer{Kind: Fetch})
	tasks, err := h.ClaimTasks(h.ctx, l, 10, 10)
	if err != nil || len(tasks) != 1 || tasks[0].Lot != "pictures.example" {
		t.Fatalf("claimed %+v, %v", tasks, err)
	}
	got := Fetched{Asset{ID: tasks[0].Subject, Code: AssetCode("https://pictures.example/a.png"), Ref: "https://pictures.example/a.png", Hash: []byte{31: 1}, Width: 1}}
	h.exec(`update consumer set epoch = epoch + 1 where kind = 'fetch'`)
	if err := h.EndFetches(h.ctx, l, []Fetched{got}, []TaskEnd{{Task: tasks[0]}}); !errors.Is(err, ErrFenced) {
		t.Errorf("a lost lease: %v", err)
	}
	if n := h.number(`select count(*) from task where state = 'waiting'`) + h.number(`select count(*) from asset where hash is null`); n != 2 {
		t.Error("it wrote something")
	}
	h.exec(`update consumer set epoch = epoch - 1 where kind = 'fetch'`)
	// Asked for again meanwhile: it is done once more.
	if _, err := h.AddURLAsset(h.ctx, "", "https://pictures.example/a.png"); err != nil {
		t.Fatal(err)
	}
	if err := h.EndFetches(h.ctx, l, []Fetched{got}, []TaskEnd{{Task: tasks[0]}}); err != nil {
		t.Fatal(err)
	}
	if n := h.number(`select count(*) from task where state = 'waiting' and due_at <= now()`); n != 1 {
		t.Error("the second wish is lost")
	}
}

// What one lot's tasks lack holds nobody else up, and burns none of its own.
func TestLotsWaitAlone(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, u := range []string{"https://down.example/1", "https://down.example/2", "https://up.example/1"} {
		if _, err := h.AddURLAsset(h.ctx, "", u); err != nil {
			t.Fatal(err)
		}
	}
	l := h.lease(Consumer{Kind: Fetch})
	if err := h.LotFailed(h.ctx, l, "down.example", "away", time.Hour, true, 3); err != nil {
		t.Fatal(err)
	}
	tasks, err := h.ClaimTasks(h.ctx, l, 10, 10)
	if err != nil || len(tasks) != 1 || tasks[0].Lot != "up.example" {
		t.Errorf("claimed %+v, %v: want the other host's alone", tasks, err)
	}
	h.exec(`delete from task where lot = 'up.example'`)
	h.exec(`update consumer set released = true where kind = 'fetch'`)
	if due, err := h.IsDue(h.ctx, Consumer{Kind: Fetch}); err != nil || due != nil {
		t.Errorf("due %+v, %v while all that is left waits", due, err)
	}
	if in, ok, err := h.NextTask(h.ctx, l); err != nil || !ok || in < 50*time.Minute {
		t.Errorf("next in %v, %t, %v", in, ok, err)
	}
	if n := h.number(`select sum(attempts) from task`); n != 0 {
		t.Errorf("%d attempts burnt", n)
	}
	h.exec(`update consumer set released = false where kind = 'fetch'`)
	for range 9 { // failures of different tasks, each its first
		if err := h.LotFailed(h.ctx, l, "down.example", "away", time.Second, false, 3); err != nil {
			t.Fatal(err)
		}
	}
	if in, _, err := h.NextTask(h.ctx, l); err != nil || in < 4*time.Minute || in > 16*time.Minute {
		t.Errorf("next in %v, %v after ten failures", in, err)
	}
	h.exec(`update lot set wait_until = now() - interval '1 second'`)
	if tasks, err := h.ClaimTasks(h.ctx, l, 10, 10); err != nil || len(tasks) != 1 {
		t.Errorf("claimed %d, %v: after a failure one is tried", len(tasks), err)
	}
}
