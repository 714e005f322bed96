package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/sluicehub/sluice/pim"
)

func TestEditTable(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for i, c := range []struct {
		edit     Edit
		err      error
		problems string
		created  bool
		changed  bool
		rev      int64
		values   string // afterwards; "" is not looked at
	}{
		{edit: thing("A", Patch, `{"colour":"red"}`), err: ErrNotFound},
		{edit: Edit{SKU: "A", Mode: Delete}, err: ErrNotFound},
		{edit: Edit{SKU: "A", Mode: Put, Family: ptr("thing"), IfMatch: 1}, err: ErrStale},
		{edit: Edit{SKU: "A", Mode: Put}, problems: "family.missing /family"},
		{edit: thing("A", Put, `{"name":{"en-GB":"a"},"colour":null}`), created: true, changed: true, rev: 1, values: `{"name":{"en-GB":"a"}}`},
		{edit: thing("A", Put, `{"name":{"en-GB":"a"}}`), rev: 1},
		{edit: Edit{SKU: "A", Mode: Put, IfNoneMatch: true, Family: ptr("thing")}, err: ErrExists},
		{edit: thing("A", Patch, `{"name":{"de-DE":"b"}}`), changed: true, rev: 2, values: `{"name":{"de-DE":"b","en-GB":"a"}}`},
		{edit: thing("A", Patch, `{"name":{"en-GB":null},"count":1.0}`), changed: true, rev: 3, values: `{"name":{"de-DE":"b"},"count":1.0}`},
		{edit: thing("A", Patch, `{"count":1.00}`), rev: 3}, // the same number
		{edit: Edit{SKU: "A", Mode: Patch, IfMatch: 2, Enabled: ptr(false)}, err: ErrStale},
		{edit: Edit{SKU: "A", Mode: Patch, IfMatch: 3, Enabled: ptr(false)}, changed: true, rev: 4},
		{edit: Edit{SKU: "A", Mode: Patch}, rev: 4},
		{edit: Edit{SKU: "A", Mode: Patch, Categories: &[]string{"x", "y"}}, changed: true, rev: 5},
		{edit: Edit{SKU: "A", Mode: Patch, Categories: &[]string{"x", "y"}}, rev: 5},
		{edit: Edit{SKU: "A", Mode: Patch, Categories: &[]string{"x", "x", "!"}}, problems: "category.twice /categories/1, category /categories/2"},
		{edit: thing("A", Merge, `{"picture":"https://x/1.jpg"}`), changed: true, rev: 6},
		{edit: Edit{SKU: "A", Mode: Put, Values: values(`{}`)}, changed: true, rev: 7, values: `{}`}, // the family stays, the rest goes
		{edit: Edit{SKU: "A", Mode: Patch, Family: ptr("other")}, changed: true, rev: 8},
		{edit: Edit{SKU: "A", Mode: Patch, Family: ptr("nope")}, problems: "family.unknown /family"},
		{edit: Edit{SKU: "A", Mode: Delete, IfMatch: 7}, err: ErrStale},
		{edit: Edit{SKU: "A", Mode: Delete, IfMatch: 8}, changed: true, rev: 9},
		{edit: Edit{SKU: "A", Mode: Delete}, err: ErrNotFound},
		{edit: thing("A", Patch, `{}`), err: ErrNotFound},
		{edit: Edit{SKU: "A", Mode: Put, IfMatch: 9, Family: ptr("thing")}, err: ErrStale},
		{edit: thing("A", Merge, `{"colour":"red"}`), created: true, changed: true, rev: 10, values: `{"colour":"red"}`}, // revived, with nothing of its old life
	} {
		before := h.traces()
		r := h.edit(c.edit)
		switch {
		case c.problems != "":
			if got := strings.Join(problemsOf(r.Err), ", "); got != c.problems {
				t.Errorf("%d: %s, want %s", i, got, c.problems)
			}
		case !errors.Is(r.Err, c.err):
			t.Errorf("%d: %v, want %v", i, r.Err, c.err)
		}
		if r.Created != c.created || r.Changed != c.changed || r.Rev != c.rev || (r.Rev > 0) != (r.ID > 0) {
			t.Errorf("%d: %+v, want %+v", i, r, c)
		}
		if after := h.traces(); (before != after) != c.changed {
			t.Errorf("%d: changed %v, but %s became %s", i, c.changed, before, after)
		}
		if c.values != "" {
			p := h.product("A")
			sameJSON(t, fmt.Sprint(i), p.Values, c.values)
			if p.Rev != c.rev {
				t.Errorf("%d: stored at revision %d, want %d", i, p.Rev, c.rev)
			}
		}
	}
	var types []string
	for _, e := range h.history("A") {
		types = append(types, e.Type)
	}
	if got := strings.Join(types[:2], " "); len(types) != 10 || got != "product.created product.deleted" {
		t.Errorf("history: %v", types)
	}
	if n := h.number(`select count(*) from outbox where lanes = 7`); n != 2 {
		t.Errorf("%d outbox rows touch every lane, want the revival's and that of the Put that enabled it again", n)
	}
	if n := h.number(`select media_rev from product`); n != 2 {
		t.Errorf("media revision %d, want 2: a picture came and went", n)
	}
}

func TestEditSaysEveryProblem(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	before := h.traces()
	e := Edit{
		SKU: " bad", Mode: Put, Family: ptr("thing"), FamilyVariant: ptr("nope"), Parent: ptr(pim.SKU("nobody")), Categories: &[]string{"!"},
		Values: values(`{"name":{"fr-FR":"x","en-GB":5},"count":"many","unknown":1,"loose":"x","tag":{"nowhere":"x"}}`),
	}
	want := []string{
		"sku /sku", "category /categories/0", "family_variant.unknown /family_variant", "parent.unknown /parent", "value.type /values/count",
		"attribute.not_in_family /values/loose", "value.type /values/name/en-GB", "locale.unknown /values/name/fr-FR", "channel.unknown /values/tag/nowhere",
		"attribute.unknown /values/unknown",
	}
	equal(t, "problems", problemsOf(h.edit(e).Err), want)

	// What PostgreSQL would not even take as text is refused like anything
	// else, and keeps nobody else's edit from succeeding.
	results, err := h.Edit(h.ctx, "tester", []Edit{thing("a\x00b", Put, `{}`), thing("\xff", Merge, `{}`), thing("good", Put, `{}`), {SKU: "\x00", Mode: Delete}})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"sku /sku", "sku /sku", "<nil>", "not found"} {
		if got := strings.Join(problemsOf(results[i].Err), ","); got != want {
			t.Errorf("edit %d: %s, want %s", i, got, want)
		}
	}

	results, err = h.Edit(h.ctx, "tester", []Edit{thing("twin", Put, `{"count":1}`), thing("good", Patch, `{"count":1}`), thing("twin", Patch, `{"count":2}`)})
	if err != nil || results[0].Err != nil || results[1].Err != nil {
		t.Fatal(err, results)
	}
	equal(t, "the second edit of a SKU", problemsOf(results[2].Err), []string{"sku.twice /sku"})
	sameJSON(t, "the first counts", h.product("twin").Values, `{"count":1}`)
	if h.traces() == before {
		t.Error("nothing was written at all")
	}
	if results, err := h.Edit(h.ctx, "tester", nil); err != nil || len(results) != 0 {
		t.Errorf("no edits: %v, %v", results, err)
	}
}

func TestEditWarns(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	e := thing("A", Put, `{"gtin":"4006381333932"}`)
	e.Known = []pim.Problem{{Pointer: "/x", Code: "known"}}
	for _, changed := range []bool{true, false} {
		r := h.edit(e)
		if r.Err != nil || r.Changed != changed || len(r.Warnings) != 2 || r.Warnings[1].Pointer != "/values/gtin" {
			t.Errorf("%+v", r)
		}
	}
}

func TestEventsSayWhatChanged(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.do(thing("A", Put, `{"colour":"red","name":{"en-GB":"a"}}`))
	e := thing("A", Patch, `{"colour":"blue","name":{"de-DE":"b"},"picture":"https://x/1.jpg"}`)
	e.Enabled, e.Categories, e.FamilyVariant = ptr(false), &[]string{"c"}, ptr("by-count")
	h.do(e)
	h.do(Edit{SKU: "A", Mode: Delete})
	list := h.history("A")
	if len(list) != 3 {
		t.Fatal(list)
	}
	sameJSON(t, "created", list[2].Data, `{"family":"thing","enabled":true}`)
	sameJSON(t, "updated", list[1].Data, `{"enabled":{"old":true,"new":false},"categories":{"old":[],"new":["c"]},"family_variant":{"old":"","new":"by-count"},
		"values":{"colour":{"old":"red","new":"blue"},"name":{"old":{"en-GB":"a"},"new":{"en-GB":"a","de-DE":"b"}},"picture":{"old":null,"new":"https://x/1.jpg"}}}`)
	sameJSON(t, "deleted", list[0].Data, `{"enabled":{"old":false,"new":null},"family":{"old":"thing","new":null},"categories":{"old":["c"],"new":null},
		"family_variant":{"old":"by-count","new":""},"values":{"colour":{"old":"blue","new":null},"name":{"old":{"en-GB":"a","de-DE":"b"},"new":null},
		"picture":{"old":"https://x/1.jpg","new":null}}}`)
	for i, want := range []string{"[content]", "[content media]", "[content]"} {
		if e := list[i]; fmt.Sprint(e.Lanes) != want || e.Revision != int64(3-i) || e.Actor != "tester" || e.SKU != "A" || e.At.IsZero() {
			t.Errorf("event %d: %+v, want lanes %s", i, e, want)
		}
	}
}

// Eight editors count up one number, each from what it saw: none is lost.
func TestConcurrentEditsLoseNone(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.do(thing("A", Put, `{"count":0}`))
	const editors, each = 8, 12
	var wg sync.WaitGroup
	for range editors {
		wg.Go(func() {
			for done := 0; done < each && h.ctx.Err() == nil; {
				p, err := h.Product(h.ctx, "A")
				if err != nil {
					t.Error(err)
					return
				}
				var v struct{ Count int }
				if err := json.Unmarshal(p.Values, &v); err != nil {
					t.Error(err)
					return
				}
				e := thing("A", Patch, fmt.Sprintf(`{"count":%d}`, v.Count+1))
				e.IfMatch = p.Rev
				results, err := h.Edit(h.ctx, "tester", []Edit{e})
				switch {
				case err != nil, results[0].Err != nil && !errors.Is(results[0].Err, ErrStale):
					t.Error(err, results)
					return
				case results[0].Err == nil:
					done++
				}
			}
		})
	}
	wg.Wait()
	p := h.product("A")
	sameJSON(t, "the count", p.Values, fmt.Sprintf(`{"count":%d}`, editors*each))
	if n := h.number(`select count(distinct rev) from event`); p.Rev != editors*each+1 || n != p.Rev {
		t.Errorf("revision %d with %d events, want %d", p.Rev, n, editors*each+1)
	}
}

// Without If-Match nobody is told to come back, however many edit one product.
func TestConcurrentPatchesAllSucceed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.do(thing("A", Put, `{}`))
	const editors, each = 32, 5
	wide, err := Open(h.ctx, h.dsn, Options{EditConns: editors, WorkConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(wide.Close)
	var wg sync.WaitGroup
	for i := range editors {
		wg.Go(func() {
			for n := range each {
				results, err := wide.Edit(h.ctx, "tester", []Edit{thing("A", Patch, fmt.Sprintf(`{"count":%d}`, i*100+n+1))})
				if err != nil || results[0].Err != nil || !results[0].Changed {
					t.Errorf("%+v, %v", results, err)
				}
			}
		})
	}
	wg.Wait()
	if p := h.product("A"); p.Rev != editors*each+1 {
		t.Errorf("revision %d, want %d", p.Rev, editors*each+1)
	}
}

// Nor is an edit that is slower than all others, here a loop within the
// database: at last it locks the product before it reads it.
func TestASlowEditGetsThrough(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.do(thing("A", Put, `{}`))
	ctx, stop := context.WithCancel(h.ctx)
	started, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for first := true; ctx.Err() == nil; first = false {
			_, err := h.pool.Exec(ctx, `do $$ begin for i in 1..200 loop update product set rev = rev + 1; commit; end loop; end $$`)
			if err != nil && ctx.Err() == nil {
				t.Error(err)
			}
			if first {
				close(started)
			}
		}
	}()
	<-started
	for n := range 5 {
		if r := h.edit(thing("A", Patch, fmt.Sprintf(`{"count":%d}`, n+1))); r.Err != nil || !r.Changed {
			t.Errorf("%+v", r)
		}
	}
	stop()
	<-ended
}

func TestConcurrentCreationsMakeOne(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var wg sync.WaitGroup
	results := make([]EditResult, 8)
	for i := range results {
		wg.Go(func() {
			e := thing("A", Put, fmt.Sprintf(`{"count":%d}`, i))
			e.IfNoneMatch = true
			results[i] = h.edit(e)
		})
	}
	wg.Wait()
	created := 0
	for _, r := range results {
		if r.Created {
			created++
		} else if !errors.Is(r.Err, ErrExists) {
			t.Errorf("%+v", r)
		}
	}
	if created != 1 || h.number(`select count(*) from event`) != 1 {
		t.Errorf("%d created", created)
	}
}

// An edit worked out by a schema that is no longer the newest is worked out
// anew: nothing is written, and nothing refused, by an old one.
func TestEditUsesTheNewestSchema(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	old := h.open()
	change := SchemaChange{
		Attributes: []pim.Attribute{{Code: "fresh", Type: pim.TypeText}},
		Families:   []pim.Family{{Code: "new", Attributes: []pim.FamilyAttribute{{Code: "fresh"}}}},
		Currencies: []pim.Currency{"USD"}, Locations: []string{"annex"},
	}
	if _, err := h.ChangeSchema(h.ctx, change); err != nil {
		t.Fatal(err)
	}
	e := Edit{SKU: "A", Mode: Put, Family: ptr("new"), Values: values(`{"fresh":"x"}`)}
	if results, err := old.Edit(h.ctx, "tester", []Edit{{SKU: "B", Mode: Put}, e}); err != nil || results[1].Err != nil || !results[1].Created || results[0].Err == nil {
		t.Fatalf("%v, %v", results, err)
	}
	old.schema.Store(&pim.Schema{Version: 1, PriceLists: map[string]bool{"default": true}})
	if rows, err := old.SetPrices(h.ctx, "erp", []pim.PriceRow{price("A", "USD", "1")}, Idempotency{}); err != nil || rows[0].Status != RowChanged {
		t.Errorf("%v, %v", rows, err)
	}
	old.schema.Store(&pim.Schema{Version: 1, PriceLists: map[string]bool{"default": true}})
	if rows, err := old.SetStock(h.ctx, "erp", []pim.StockRow{{SKU: "A", Stock: pim.Stock{Location: "annex"}}}, Idempotency{}); err != nil || rows[0].Status != RowChanged {
		t.Errorf("%v, %v", rows, err)
	}

	// The other way: what it needs is gone.
	stale := h.open()
	h.do(Edit{SKU: "A", Mode: Delete})
	if _, err := h.ChangeSchema(h.ctx, SchemaChange{Families: []pim.Family{{Code: "new"}}}); err != nil {
		t.Fatal(err)
	}
	results, err := stale.Edit(h.ctx, "tester", []Edit{e})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "an attribute that the family lost", problemsOf(results[0].Err), []string{"attribute.not_in_family /values/fresh"})
}

// A value that the schema lost its place for does not keep a product from
// being edited; it goes with the next change, and the event says so.
func TestEditMendsWhatTheSchemaLost(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.channel("shop")
	h.channel("gone")
	h.do(thing("A", Put, `{"tag":{"shop":"s","gone":"g"},"count":1,"colour":"red"}`))
	if err := h.DeleteChannel(h.ctx, "gone", 0); err != nil {
		t.Fatal(err)
	}
	family := testSchema.Families[0]
	family.Attributes = family.Attributes[:len(family.Attributes)-1]
	family.Attributes = append(family.Attributes[:2:2], family.Attributes[3:]...) // without count
	family.Variants = family.Variants[:1]
	if _, err := h.ChangeSchema(h.ctx, SchemaChange{Families: []pim.Family{family}}); err != nil {
		t.Fatal(err)
	}
	before := h.traces()
	if r := h.edit(thing("A", Patch, `{"colour":"red"}`)); r.Err != nil || r.Changed || h.traces() != before {
		t.Errorf("an edit that changes nothing: %+v", r)
	}
	equal(t, "named by the edit", problemsOf(h.edit(thing("A", Patch, `{"count":2}`)).Err), []string{"attribute.not_in_family /values/count"})
	h.do(thing("A", Patch, `{"colour":"blue"}`))
	sameJSON(t, "values", h.product("A").Values, `{"tag":{"shop":"s"},"colour":"blue"}`)
	sameJSON(t, "event", h.history("A")[0].Data, `{"values":{"colour":{"old":"red","new":"blue"},"count":{"old":1,"new":null},
		"tag":{"old":{"shop":"s","gone":"g"},"new":{"shop":"s"}}}}`)
}
