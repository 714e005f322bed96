package postgres

import (
	"context"
	"fmt"
	"testing"

	"github.com/sluicehub/sluice/pim"
)

// What somebody says of an asset, puts in its place or deletes while its URL is
// fetched is newer than what the fetch brings.
func TestFetchesKeepWhatIsNewer(t *testing.T) {
	t.Parallel()
	const url = "https://pictures.example/a.png"
	h := newHouse(t)
	l := h.lease(Consumer{Kind: Fetch})
	begun := func() (Fetched, TaskEnd) {
		t.Helper()
		if _, err := h.AddURLAsset(h.ctx, "", url); err != nil {
			t.Fatal(err)
		}
		tasks, err := h.ClaimTasks(h.ctx, l, 10, 10)
		if err != nil || len(tasks) != 1 {
			t.Fatalf("claimed %+v, %v", tasks, err)
		}
		list, err := h.AssetsByID(h.ctx, []int64{tasks[0].Subject})
		if err != nil || len(list) != 1 {
			t.Fatalf("read %+v, %v", list, err)
		}
		got := list[0]
		got.Hash, got.Format, got.MediaType, got.Width, got.Height = []byte{31: 1}, "png", "image/png", 10, 10
		return Fetched{got}, TaskEnd{Task: tasks[0]}
	}
	ended := func(f Fetched, e TaskEnd) {
		t.Helper()
		if err := h.EndFetches(h.ctx, l, []Fetched{f}, []TaskEnd{e}); err != nil {
			t.Fatal(err)
		}
		if n := h.number(`select count(*) from task`); n != 0 {
			t.Errorf("%d tasks left", n)
		}
	}
	read := func() Asset {
		t.Helper()
		a, err := h.Asset(h.ctx, AssetCode(url))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}

	f, end := begun()
	a := read()
	a.Labels, a.Focal = map[pim.Locale]string{"en-GB": "A chair"}, "0.100,0.200"
	if _, _, err := h.PutAsset(h.ctx, a, a.Rev); err != nil {
		t.Fatal(err)
	}
	ended(f, end)
	if a = read(); a.Labels["en-GB"] != "A chair" || a.Focal != "0.100,0.200" || a.Hash == nil {
		t.Errorf("said while it was fetched: %+v", a)
	}

	f, end = begun()
	a.Source, a.Hash = "", []byte{31: 2}
	if _, _, err := h.PutAsset(h.ctx, a, 0); err != nil {
		t.Fatal(err)
	}
	ended(f, end)
	if a = read(); a.Source != "" || a.Hash[31] != 2 {
		t.Errorf("the file that was put in its place is gone: %+v", a)
	}

	if err := h.DeleteAsset(h.ctx, a.Code, 0); err != nil {
		t.Fatal(err)
	}
	f, end = begun()
	if err := h.DeleteAsset(h.ctx, a.Code, 0); err != nil {
		t.Fatal(err)
	}
	ended(f, end)
	if n := h.number(`select count(*) from asset`); n != 0 {
		t.Error("a deleted asset is there again")
	}
}

// shown gives the house a product A that shows the asset "logo", a channel that
// shows definitions a and b, and the two render tasks, by their definitions.
func (h *house) shown(l Lease) map[string]Task {
	h.Helper()
	h.do(Edit{SKU: "A", Mode: Merge, Family: ptr("thing")})
	h.channel("shop")
	h.exec(`update channel set renditions = '{a,b}'`)
	for i, code := range []string{"a", "b"} {
		h.define(code, byte(i+1))
	}
	h.put("logo", 4)
	h.exec(`insert into product_asset select id, 'logo' from product`)
	h.exec(`delete from derive`)
	out := map[string]Task{}
	tasks, err := h.ClaimTasks(h.ctx, l, 10, 10)
	if err != nil || len(tasks) != 2 {
		h.Fatalf("claimed %+v, %v, want both renditions", tasks, err)
	}
	for _, t := range tasks {
		list, err := h.Renditions(h.ctx, []int64{t.Subject}, nil)
		if err != nil || len(list) != 1 {
			h.Fatalf("read %+v, %v", list, err)
		}
		out[list[0].Definition] = t
	}
	return out
}

func (h *house) define(code string, spec byte) {
	h.Helper()
	d := RenditionDefinition{Code: code, Definition: []byte(`{}`), Spec: []byte{31: spec}}
	if _, err := h.PutRenditionDefinition(h.ctx, d, 0); err != nil {
		h.Fatal(err)
	}
}

// A definition that is changed and changed back while a renderer works has its
// renditions made, though the renderer saw that nobody wants them.
func TestWhatIsWantedAgainIsMade(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	l := h.lease(Consumer{Kind: Render, Lane: 0})
	tasks := h.shown(l)
	h.define("a", 9)
	h.define("a", 1)
	h.define("b", 8) // and b is not wanted any more
	unwanted := []int64{tasks["a"].Subject, tasks["b"].Subject}
	if err := h.EndRenders(h.ctx, l, nil, unwanted, []TaskEnd{{Task: tasks["a"]}, {Task: tasks["b"]}}); err != nil {
		t.Fatal(err)
	}
	for code, want := range map[string]int64{"a": 1, "b": 0} {
		n := h.number(fmt.Sprintf(`select count(*) from rendition r join task t on t.subject = r.id where t.state = 'waiting' and r.id = %d`, tasks[code].Subject))
		if n != want {
			t.Errorf("%s: %d renditions with a task, want %d", code, n, want)
		}
	}
}

// A rendition that was cancelled holds up those alone who show it.
func TestCancelledRenditionsHoldNobodyUp(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	l := h.lease(Consumer{Kind: Render, Lane: 0})
	tasks := h.shown(l)
	if _, err := h.CancelTasks(h.ctx, TaskChoice{Kind: Render, IDs: []int64{tasks["b"].ID}}); err != nil {
		t.Fatal(err)
	}
	made := Rendition{ID: tasks["a"].Subject, Original: []byte{31: 4}, Hash: []byte{31: 7}, MediaType: "image/png"}
	if err := h.EndRenders(h.ctx, l, []Rendition{made}, nil, []TaskEnd{{Task: tasks["a"]}}); err != nil {
		t.Fatal(err)
	}
	if n := h.number(`select count(*) from derive where touch`); n != 1 {
		t.Error("nobody is told of the rendition that is made")
	}
}

// An asset that a product names by its code and another by its URL is used as
// long as one of them does, in whatever order they are looked at.
func TestUsedByCodeOrURL(t *testing.T) {
	t.Parallel()
	const url = "https://pictures.example/a.png"
	h := newHouse(t)
	l := h.lease(Consumer{Kind: Derive})
	code, err := h.AddURLAsset(h.ctx, "", url)
	if err != nil {
		t.Fatal(err)
	}
	skus := []pim.SKU{"A", "B"}
	for _, sku := range skus {
		h.do(Edit{SKU: sku, Mode: Merge, Family: ptr("thing")})
	}
	names := func(a, b string) {
		t.Helper()
		d := Derivation{Refs: [][]string{nil, nil}}
		for i, ref := range []string{a, b} {
			d.Products = append(d.Products, Derived{ID: pim.ProductID(h.number(`select id from product where sku = '` + string(skus[i]) + `'`))})
			if ref != "" {
				d.Refs[i] = []string{ref}
			}
		}
		if err := h.Derive(h.ctx, l, d); err != nil {
			t.Fatal(err)
		}
		want := int64(1)
		if a+b == "" {
			want = 0
		}
		if used := h.number(`select count(*) from asset where unused_at is null`); used != want {
			t.Errorf("named by %q and %q: %d assets in use, want %d", a, b, used, want)
		}
	}
	for _, to := range [][2]string{{code, ""}, {"", url}, {code, ""}, {url, code}, {code, url}, {url, ""}, {"", code}, {"", ""}, {url, code}, {"", ""}} {
		names(to[0], to[1])
	}
}

// tangle has do run into a deadlock with a transaction that first locks by begin
// and, once do waits for that, asks for what do holds. Which of the two the
// database ends is its own choice: it begins anew, by reset, until it was do.
func (h *house) tangle(reset func(), begin, end string, do func() error) {
	h.Helper()
	for reset(); !h.tangled(begin, end, do); {
		reset()
	}
}

// tangled reports whether do was the one to be ended.
func (h *house) tangled(begin, end string, do func() error) bool {
	h.Helper()
	other, err := h.Pool().Begin(h.ctx)
	if err != nil {
		h.Fatal(err)
	}
	defer func() { _ = other.Rollback(context.Background()) }() // in an aborted one nothing else is possible
	if _, err := other.Exec(h.ctx, begin); err != nil {
		h.Fatal(err)
	}
	pid := other.Conn().PgConn().PID()
	done := make(chan error, 1)
	go func() { done <- do() }()
	for h.number(fmt.Sprintf(`select count(*) from pg_stat_activity where %d = any(pg_blocking_pids(pid))`, pid)) == 0 {
		select {
		case err := <-done:
			h.Fatalf("it did not wait for the other, and gave %v", err)
		default:
		}
	}
	_, ended := other.Exec(h.ctx, end) // returns when one of the two was ended
	if ended != nil && !deadlocked(ended) {
		h.Fatal(ended)
	}
	if err := other.Rollback(h.ctx); err != nil {
		h.Fatal(err)
	}
	if err := <-done; err != nil {
		h.Fatalf("the victim of a deadlock: %v", err)
	}
	return ended == nil
}

// Who stores an asset, ends a rendition or derives, and meets another at the same
// rows in the other order, is asked to wait, and does it once more; nothing of it
// is done twice.
func TestMediaUntangles(t *testing.T) {
	t.Parallel()
	const url = "https://pictures.example/a.png"
	h := newHouse(t)
	render := h.lease(Consumer{Kind: Render, Lane: 0})
	tasks := h.shown(render)
	const lockDerive, lockAsset, lockRendition = `select from derive for update`, `select from asset where code = 'logo' for update`, `select from rendition for update`
	untouched := func() {
		t.Helper()
		h.exec(`insert into derive (product_id) select id from product on conflict (product_id) do update set touch = false`)
	}
	told := func(of string) {
		t.Helper()
		if n := h.number(`select count(*) from derive where touch`); n != 1 {
			t.Errorf("%d products are told of %s", n, of)
		}
	}

	original := `update asset set error = null, hash = decode('` + fmt.Sprintf("%064x", 4) + `', 'hex')`
	h.tangle(func() {
		untouched()
		h.exec(original)
	}, lockDerive, lockAsset, func() error {
		a := Asset{Code: "logo", Ref: "logo", Hash: []byte{31: 8}, Error: "no picture any more"} // settled at once: its products are touched
		_, _, err := h.PutAsset(h.ctx, a, 0)
		return err
	})
	told("their picture")

	h.exec(original)
	h.exec(`delete from task where id = ` + fmt.Sprint(tasks["b"].ID))
	h.tangle(func() {
		untouched()
		h.exec(`update lot set done = 0`)
	}, lockDerive, lockRendition, func() error {
		made := Rendition{ID: tasks["a"].Subject, Original: []byte{31: 4}, Hash: []byte{31: 7}, MediaType: "image/png"}
		return h.EndRenders(h.ctx, render, []Rendition{made}, nil, []TaskEnd{{Task: tasks["a"]}})
	})
	if n := h.number(`select done from lot where kind = 'render' and lot = '0'`); n > 1 {
		t.Errorf("a rendition ended %d times", n)
	}
	told("their rendition")

	derive := h.lease(Consumer{Kind: Derive})
	var before int64
	// It marks the product first and promises the asset then; who stores that one begins at the other end.
	h.tangle(func() {
		h.exec(`delete from asset where ref = '` + url + `'`)
		h.exec(`delete from task`)
		h.exec(`insert into derive (product_id, touch) select id, true from product on conflict (product_id) do update set touch = true`)
		before = h.number(`select media_rev from product`)
	}, `insert into asset (code, ref) values ('`+AssetCode(url)+`', '`+url+`')`, lockDerive, func() error {
		products, err := h.ClaimDerive(h.ctx, derive, 10)
		if err != nil || len(products) != 1 {
			return fmt.Errorf("claimed %+v, %w", products, err)
		}
		return h.Derive(h.ctx, derive, Derivation{Products: products, Refs: [][]string{{"logo", url}}})
	})
	if n := h.number(`select media_rev from product`) - before; n != 1 {
		t.Errorf("the media have %d new revisions, want 1", n)
	}
	if n := h.number(`select (select count(*) from derive) + (select count(*) from asset where ref = '` + url + `') * 10 + (select count(*) from task where kind = 'fetch') * 100`); n != 110 {
		t.Errorf("tasks to fetch the URL, assets of it and products left in derive: %03d, want 110", n)
	}
}
