package postgres

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluicehub/sluice/pim"
)

// makeUnique makes attributes of the test's schema unique.
func (h *house) makeUnique(codes ...string) error {
	h.Helper()
	var c SchemaChange
	for _, code := range codes {
		a := *h.Schema().Attributes[code]
		a.Unique = true
		c.Attributes = append(c.Attributes, a)
	}
	_, err := h.ChangeSchema(h.ctx, c)
	return err
}

// refusal is the first problem of an error, as "code pointer detail".
func refusal(err error) string {
	inv, ok := errors.AsType[*pim.Invalid](err)
	if !ok {
		return fmt.Sprint(err)
	}
	p := inv.Problems[0]
	return p.Code + " " + p.Pointer + " " + p.Detail
}

func (h *house) wantTaken(e Edit, pointer string, holder pim.SKU) {
	h.Helper()
	got := refusal(h.edit(e).Err)
	if want := "value.not_unique " + pointer; !strings.HasPrefix(got, want+" ") || !strings.Contains(got, `"`+string(holder)+`"`) {
		h.Errorf("%s: %s, want %s of %s", e.SKU, got, want, holder)
	}
}

func TestUniqueValuesOfProducts(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	if err := h.makeUnique("colour", "count", "name", "tag"); err != nil {
		t.Fatal(err)
	}
	h.do(thing("A", Put, `{"colour":"red","count":1.50,"name":{"en-GB":"same","de-DE":"gleich"}}`))
	h.wantTaken(thing("B", Put, `{"colour":"red"}`), "/values/colour", "A")
	h.wantTaken(thing("B", Put, `{"count":15e-1}`), "/values/count", "A")
	h.wantTaken(thing("B", Merge, `{"name":{"de-DE":"gleich"}}`), "/values/name/de-DE", "A")
	h.do(thing("B", Put, `{"colour":"blue","count":1.51,"name":{"de-DE":"same"}}`)) // each locale for itself
	h.do(thing("A", Patch, `{"colour":"red"}`), thing("C", Put, `{"colour":"  "}`), thing("D", Put, `{"colour":"  "}`))
	h.wantTaken(thing("B", Patch, `{"colour":"red"}`), "/values/colour", "A")
	h.do(thing("A", Patch, `{"colour":"green"}`))
	h.do(thing("B", Patch, `{"colour":"red"}`)) // what A gave up
	h.wantTaken(thing("A", Patch, `{"colour":"red"}`), "/values/colour", "B")

	// Within a batch the first has it, and what one gives up another can take.
	rs, err := h.Edit(h.ctx, "x", []Edit{
		thing("E", Put, `{"colour":"gold"}`), thing("F", Put, `{"colour":"gold"}`), thing("B", Patch, `{"colour":"pink"}`), thing("G", Put, `{"colour":"red"}`),
	})
	if err != nil || rs[0].Err != nil || rs[2].Err != nil || rs[3].Err != nil || !strings.HasPrefix(refusal(rs[1].Err), "value.not_unique /values/colour") {
		t.Errorf("%+v, %v", rs, err)
	}
	// Only living products count, and one that comes back has to ask.
	h.do(Edit{SKU: "G", Mode: Delete})
	h.do(thing("H", Put, `{"colour":"red"}`))
	h.wantTaken(thing("G", Put, `{"colour":"red"}`), "/values/colour", "H")
	h.do(thing("G", Put, `{}`))
	h.consistent()

	// No longer unique, then again: refused while two have the same.
	a := *h.Schema().Attributes["colour"]
	a.Unique = false
	if _, err := h.ChangeSchema(h.ctx, SchemaChange{Attributes: []pim.Attribute{a}}); err != nil {
		t.Fatal(err)
	}
	h.do(thing("G", Patch, `{"colour":"red"}`))
	if got := refusal(h.makeUnique("colour")); got != `attribute.not_unique /attributes/0/unique products "G" and "H" have the same value; 1 values stand more than once` {
		t.Error(got)
	}
	h.do(thing("G", Patch, `{"colour":null}`))
	if err := h.makeUnique("colour"); err != nil {
		t.Fatal(err)
	}
	h.wantTaken(thing("G", Patch, `{"colour":"pink"}`), "/values/colour", "B")
	h.consistent()
}

// consistent checks that what is kept of unique values is what living products
// have, by Go's rules: SQL's must be the same.
func (h *house) consistent() {
	h.Helper()
	rows, err := h.pool.Query(h.ctx, `select sku, values from product where deleted_at is null`)
	if err != nil {
		h.Fatal(err)
	}
	defer rows.Close()
	var want, have []string
	for rows.Next() {
		var sku, raw string
		if err := rows.Scan(&sku, &raw); err != nil {
			h.Fatal(err)
		}
		v, err := pim.DecodeStored([]byte(raw))
		if err != nil {
			h.Fatal(err)
		}
		for _, u := range h.Schema().UniqueValues(v) {
			want = append(want, fmt.Sprintf("%s %s %s %s %x", sku, u.Attribute, u.Channel, u.Locale, u.Key))
		}
	}
	if err := rows.Err(); err != nil {
		h.Fatal(err)
	}
	var all []byte
	h.one(`select coalesce(string_agg(concat_ws(' ', p.sku, attribute, channel, locale, encode(key, 'hex')), E'\n'), '')::bytea from unique_value join product p on p.id = product_id`, &all)
	if len(all) > 0 {
		have = strings.Split(string(all), "\n")
	}
	slices.Sort(want)
	slices.Sort(have)
	if !slices.Equal(want, have) {
		h.Errorf("kept of unique values:\n%s\nproducts have:\n%s", strings.Join(have, "\n"), strings.Join(want, "\n"))
	}
}

// Of two edits that take the same value at the same time one waits for the
// other, and is told of it.
func TestUniqueRace(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	if err := h.makeUnique("colour"); err != nil {
		t.Fatal(err)
	}
	h.do(thing("C", Put, `{}`))
	for _, commits := range []bool{true, false} {
		colour := fmt.Sprintf(`{"colour":"red %v"}`, commits)
		tx := h.begin()
		if err := h.within(tx, thing("A", Merge, colour)); err != nil {
			t.Fatal(err)
		}
		done := make(chan EditResult, 1)
		go func() {
			rs, err := h.Edit(h.ctx, "x", []Edit{thing("C", Patch, colour)})
			if err != nil {
				rs = []EditResult{{Err: err}}
			}
			done <- rs[0]
		}()
		h.blocked(1)
		var err error
		if commits {
			err = tx.Commit(h.ctx)
		} else {
			err = tx.Rollback(h.ctx)
		}
		if err != nil {
			t.Fatal(err)
		}
		switch r := <-done; {
		case commits && refusal(r.Err) != `value.not_unique /values/colour product "A" has the same: the attribute is unique`:
			t.Errorf("the later one: %+v", r)
		case !commits && (r.Err != nil || !r.Changed):
			t.Errorf("the only one: %+v", r)
		}
	}
	h.consistent()
	if n := h.number(`select count(*) from event where type = 'product.updated'`); n != 1 {
		t.Errorf("%d edits left an event", n)
	}
}

// A chunk that was worked out ahead of its turn sees what the chunk before took,
// and a schema that changes meanwhile lets no value through.
func TestUniqueAhead(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	if err := h.makeUnique("colour"); err != nil {
		t.Fatal(err)
	}
	_, l := h.upload([]byte("x"))
	first, err := h.PrepareImport(h.ctx, "a", []Edit{thing("A", Merge, `{"colour":"red"}`)}, ImportOffers{})
	if err != nil {
		t.Fatal(err)
	}
	second, err := h.PrepareImport(h.ctx, "a", []Edit{thing("B", Merge, `{"colour":"red"}`), thing("C", Merge, `{"colour":"blue"}`)}, ImportOffers{})
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, c := range []*ImportEdits{first, second} {
		if err := h.ImportChunk(h.ctx, l, c, func(rs []EditResult) ImportProgress {
			for _, r := range rs {
				told = append(told, fmt.Sprintf("%s %v", r.SKU, r.Err == nil))
			}
			return ImportProgress{}
		}); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(told, ", "); got != "A true, B false, C true" {
		t.Error(got)
	}
	h.consistent()
	// An edit under way that knows nothing of an attribute's new rule is waited for.
	tx := h.begin()
	if err := h.within(tx, thing("C", Patch, `{"count":7}`)); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- h.makeUnique("count") }()
	h.blocked(1)
	if err := tx.Commit(h.ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	h.consistent()
	h.wantTaken(thing("A", Patch, `{"count":7.0}`), "/values/count", "C")
}

// Whatever is edited, in batches: no two living products have the same.
func TestUniqueModel(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	if err := h.makeUnique("colour", "count", "name"); err != nil {
		t.Fatal(err)
	}
	round := 0
	rapid.Check(t, func(t *rapid.T) {
		round++
		for range rapid.IntRange(1, 5).Draw(t, "batches") {
			var edits []Edit
			for _, sku := range []string{"A", "B", "C"} {
				mode := rapid.SampledFrom([]EditMode{Put, Merge, Patch, Delete}).Draw(t, "mode")
				if !rapid.Bool().Draw(t, "edit "+sku) {
					continue
				}
				values := ""
				for _, v := range []string{`"colour":"%d"`, `"count":%d`, `"name":{"en-GB":"%d"}`} {
					if rapid.Bool().Draw(t, v) {
						values += "," + fmt.Sprintf(v, round)
					}
				}
				edits = append(edits, thing(pim.SKU(fmt.Sprintf("%s-%d", sku, round)), mode, "{"+strings.TrimPrefix(values, ",")+"}"))
			}
			if _, err := h.Edit(h.ctx, "x", edits); err != nil {
				t.Fatal(err)
			}
		}
		if n := h.number(`select count(*) from product p join product q on p.id < q.id and p.deleted_at is null and q.deleted_at is null
			where p.values -> 'colour' = q.values -> 'colour' or p.values -> 'count' = q.values -> 'count' or p.values #> '{name,en-GB}' = q.values #> '{name,en-GB}'`); n != 0 {
			t.Fatalf("%d pairs of products have the same", n)
		}
		h.consistent()
	})
}

// An edit of something else leaves what is against a newer rule alone.
func TestTightenedRule(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.do(thing("A", Put, `{"colour":"vermilion","count":1}`))
	a := *h.Schema().Attributes["colour"]
	a.MaxLength = 4
	if _, err := h.ChangeSchema(h.ctx, SchemaChange{Attributes: []pim.Attribute{a}}); err != nil {
		t.Fatal(err)
	}
	r := h.edit(thing("A", Patch, `{"count":2}`))
	if r.Err != nil || !r.Changed || len(r.Warnings) != 1 || r.Warnings[0].Code != "text.too_long" || r.Warnings[0].Pointer != "/values/colour" {
		t.Errorf("%+v", r)
	}
	if r := h.edit(thing("A", Put, `{"colour":"vermilion","count":2}`)); r.Err != nil || r.Changed {
		t.Errorf("the same again: %+v", r)
	}
	if got := refusal(h.edit(thing("A", Patch, `{"colour":"crimson"}`)).Err); !strings.HasPrefix(got, "text.too_long /values/colour") {
		t.Error(got)
	}
	h.do(thing("A", Patch, `{"colour":"red"}`))
}
