package postgres

import (
	"fmt"
	"testing"
	"time"

	"github.com/sluicehub/sluice/pim"
)

// What a definition means for a large catalogue is queued in pieces: some at
// once, the others by the consumer that is due for it, wherever the last one
// stopped; in the end all that is missing is queued once.
func TestSpreadGoesOn(t *testing.T) {
	t.Parallel()
	const assets = spreadAssets*spreadAtOnce + 2*spreadAssets + 17
	h := newHouse(t)
	h.define("a", 1)
	h.channel("shop")
	h.exec(`update channel set renditions = '{a}'`)
	h.exec(fmt.Sprintf(`insert into asset (code, ref, format, width, height, hash)
		select 'p' || g, 'p' || g, 'png', 10, 10, decode(lpad(to_hex(g), 64, '0'), 'hex') from generate_series(1, %d) g`, assets))
	queued := func(want int) {
		t.Helper()
		if n := h.number(`select count(*) from task where kind = 'render'`); n != int64(want) {
			t.Errorf("%d renditions are queued, want %d", n, want)
		}
		if n := h.number(`select count(*) from rendition`); n != int64(want) {
			t.Errorf("%d renditions, want %d", n, want)
		}
	}
	due := func(want bool) {
		t.Helper()
		d, err := h.IsDue(h.ctx, Consumer{Kind: Derive})
		if err != nil || (d != nil) != want {
			t.Errorf("due %v, %v, want %t", d, err, want)
		}
	}
	h.define("a", 2)
	queued(spreadAssets * spreadAtOnce)
	due(true)
	if again, err := h.Spread(h.ctx); err != nil || !again {
		t.Fatal(again, err)
	}
	queued(spreadAssets * (spreadAtOnce + 1))
	other := h.open() // a process that was killed is followed by another
	for again := true; again; {
		var err error
		if again, err = other.Spread(h.ctx); err != nil {
			t.Fatal(err)
		}
	}
	queued(assets)
	due(false)

	// Changed again in the middle, it begins anew, and what is queued stays so.
	h.define("a", 3)
	h.define("a", 2)
	for again := true; again; {
		var err error
		if again, err = h.Spread(h.ctx); err != nil {
			t.Fatal(err)
		}
	}
	if n := h.number(`select count(*) from rendition where spec = '\x` + fmt.Sprintf("%064x", 2) + `'`); n != assets {
		t.Errorf("%d renditions by the definition as it is, want %d", n, assets)
	}
}

// A definition that is as it was once before shows what was made then, of each
// asset, also where another's is still to be made.
func TestMadeBeforeIsShown(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	render, derive := h.lease(Consumer{Kind: Render, Lane: 0}), h.lease(Consumer{Kind: Derive})
	h.channel("shop")
	h.exec(`update channel set renditions = '{a}'`)
	h.define("a", 1)
	refs := map[pim.SKU][]string{"A": {"old"}, "B": {"new"}}
	for sku := range refs {
		h.do(Edit{SKU: sku, Mode: Merge, Family: ptr("thing")})
	}
	made := func(codes ...string) {
		t.Helper()
		tasks, err := h.ClaimTasks(h.ctx, render, 10, 10)
		if err != nil || len(tasks) != len(codes) {
			t.Fatalf("claimed %d tasks, %v, want %d", len(tasks), err, len(codes))
		}
		for _, task := range tasks {
			list, err := h.Renditions(h.ctx, []int64{task.Subject}, nil)
			if err != nil || len(list) != 1 {
				t.Fatal(list, err)
			}
			list[0].Hash, list[0].MediaType = []byte{0: list[0].Original[31], 31: list[0].Spec[31]}, "image/png"
			if err := h.EndRenders(h.ctx, render, list, nil, []TaskEnd{{Task: task}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	quiet := func() {
		t.Helper()
		for len(h.derive(derive, refs)) > 0 {
			h.exec(`update derive set due_at = now()`)
		}
	}
	h.put("old", 4)
	made("old")
	quiet()
	h.define("a", 2)
	h.put("new", 8)
	made("old", "new")
	quiet()
	revs := [2]int64{h.product("A").MediaRev, h.product("B").MediaRev}
	h.define("a", 1) // of "new" there is nothing by it yet
	quiet()
	if got := h.product("A").MediaRev; got != revs[0]+1 {
		t.Errorf("the media of who shows what was made are at revision %d after %d", got, revs[0])
	}
	if got := h.product("B").MediaRev; got != revs[1] {
		t.Errorf("the media of who waits are at revision %d after %d", got, revs[1])
	}
	made("new")
	quiet()
	if got := h.product("B").MediaRev; got != revs[1]+1 {
		t.Errorf("the media of who waited are at revision %d after %d", got, revs[1])
	}
}

// What is forgotten is looked for in pieces.
func TestForgetInPieces(t *testing.T) {
	t.Parallel()
	const renditions = 2*forgetLooks + 3
	h := newHouse(t)
	h.define("a", 1)
	h.put("kept", 4)
	h.exec(fmt.Sprintf(`insert into rendition (original, spec, made_at, hash)
		select decode(lpad(to_hex(g), 64, '0'), 'hex'), '\x%064x', now() - interval '2 hours', decode(lpad(to_hex(g), 64, 'f'), 'hex') from generate_series(1, %d) g`, 1, renditions))
	if _, n, err := h.ForgetMedia(h.ctx, time.Hour); err != nil || n != renditions-1 {
		t.Errorf("%d renditions are forgotten, %v, want %d", n, err, renditions-1)
	}
	if n := h.number(`select count(*) from rendition where original = (select hash from asset)`); n != 1 {
		t.Error("what an asset has is gone")
	}
}
