package postgres

import (
	"fmt"
	"testing"

	"github.com/sluicehub/sluice/pim"
)

// What somebody says of an asset, puts in its place or deletes while its URL is
// fetched is newer than what the fetch brings.
func TestFetchesKeepWhatIsNewer(t *testing.T) {
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

	if err := h.DeleteAsset(h.ctx, a.Code); err != nil {
		t.Fatal(err)
	}
	f, end = begun()
	if err := h.DeleteAsset(h.ctx, a.Code); err != nil {
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
	if _, err := h.PutRenditionDefinition(h.ctx, d); err != nil {
		h.Fatal(err)
	}
}

// A definition that is changed and changed back while a renderer works has its
// renditions made, though the renderer saw that nobody wants them.
func TestWhatIsWantedAgainIsMade(t *testing.T) {
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
