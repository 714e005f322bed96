package postgres

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluicehub/sluice/pim"
)

// makers has brands name makers, and makers and brands each other.
func (h *house) makers() {
	h.Helper()
	h.brands()
	for _, e := range []pim.ReferenceEntity{
		{Code: "maker", Attributes: []pim.Attribute{{Code: "parent", Type: pim.TypeEntity, Entity: "maker"}, {Code: "brand", Type: pim.TypeEntity, Entity: "brand"}}},
		{Code: "brand", Attributes: []pim.Attribute{{Code: "country", Type: pim.TypeText}, {Code: "maker", Type: pim.TypeEntity, Entity: "maker"}, {Code: "kin", Type: pim.TypeEntities, Entity: "brand", Localizable: true}}},
	} {
		if _, _, err := h.PutReferenceEntity(h.ctx, e, 0); err != nil {
			h.Fatal(err)
		}
	}
}

func (h *house) recordsOf(entity string, edits ...RecordEdit) (told string) {
	h.Helper()
	results, err := h.EditRecords(h.ctx, "ann", entity, edits)
	if err != nil {
		h.Fatal(err)
	}
	var list []string
	for _, r := range results {
		list = append(list, fmt.Sprintf("%s %d %s", r.Code, r.Rev, strings.TrimPrefix(faultsOf(r.Err), "<nil>")))
	}
	return strings.Join(list, "; ")
}

// Records name records that there are, and these stay as long as one does.
func TestRecordsOfRecords(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.makers()
	in := ErrInUse.Error()
	for _, c := range []struct {
		entity string
		edits  []RecordEdit
		want   string
	}{
		{"brand", []RecordEdit{{Code: "acme", Values: pim.Values{"maker": "ajax"}}}, "acme 0 /values/maker record.unknown"},
		{"maker", []RecordEdit{{Code: "ajax"}, {Code: "self", Values: pim.Values{"parent": "self"}}}, "ajax 1 ; self 1 "},
		{"brand", []RecordEdit{{Code: "acme", Values: pim.Values{"maker": "ajax"}}}, "acme 1 "},
		// A row names what one before it makes, and none that one before it takes away.
		{"brand", []RecordEdit{{Code: "b", Values: pim.Values{"kin": map[string]any{"en-GB": []any{"c", "acme"}}}}, {Code: "c"}, {Code: "d", Values: pim.Values{"kin": map[string]any{"de-DE": []any{"acme", "c"}}}}}, "b 0 /values/kin/en-GB/0 record.unknown; c 1 ; d 1 "},
		{"brand", []RecordEdit{{Code: "c", Mode: Delete}}, "c 0 record c of brand: " + in},
		{"brand", []RecordEdit{{Code: "d", Mode: Patch, Values: pim.Values{"kin": nil}}}, "d 2 "},
		{"brand", []RecordEdit{{Code: "c", Mode: Delete}, {Code: "d", Mode: Patch, Values: pim.Values{"kin": map[string]any{"de-DE": []any{"c"}}}}}, "c 2 ; d 0 /values/kin/de-DE/0 record.unknown"},
		{"brand", []RecordEdit{{Code: "e"}, {Code: "d", Mode: Patch, Values: pim.Values{"kin": map[string]any{"de-DE": []any{"e"}}}}, {Code: "e", Mode: Delete}}, "e 1 ; d 3 ; e 0 /code record.twice"},
		{"brand", []RecordEdit{{Code: "f", Values: pim.Values{"kin": map[string]any{"de-DE": []any{"d"}}}}, {Code: "d", Mode: Delete}}, "f 1 ; d 0 record d of brand: " + in},
		{"maker", []RecordEdit{{Code: "ajax", Mode: Delete}, {Code: "self", Mode: Delete}}, "ajax 0 record ajax of maker: " + in + "; self 2 "},
		// An edit of something else, and the same again.
		{"brand", []RecordEdit{{Code: "acme", Mode: Patch, Values: pim.Values{"country": "NL"}}}, "acme 2 "},
		{"brand", []RecordEdit{{Code: "acme", Mode: Put, Values: pim.Values{"country": "NL", "maker": "ajax"}}}, "acme 2 "},
	} {
		if got := h.recordsOf(c.entity, c.edits...); got != c.want {
			t.Errorf("%s %+v:\n%s, want\n%s", c.entity, c.edits, got, c.want)
		}
	}
	if err := h.DeleteReferenceEntity(h.ctx, "maker", 0); !errors.Is(err, ErrInUse) {
		t.Error("an entity that another refers to:", err)
	}
	e := pim.ReferenceEntity{Code: "alone", Attributes: []pim.Attribute{{Code: "parent", Type: pim.TypeEntity, Entity: "alone"}}}
	if _, _, err := h.PutReferenceEntity(h.ctx, e, 0); err != nil {
		t.Error("an entity that refers to itself:", err)
	}
	e.Attributes[0].Entity = "brand"
	if _, _, err := h.PutReferenceEntity(h.ctx, e, 0); faultsOf(err) != "/attributes/0 entity.shape" {
		t.Error("an attribute that refers to others:", err)
	}
	if err := h.DeleteReferenceEntity(h.ctx, "alone", 0); err != nil {
		t.Error("one that nothing else refers to:", err)
	}
	// What a revision named and is gone is left out, and told.
	h.recordsOf("brand", RecordEdit{Code: "acme", Mode: Patch, Values: pim.Values{"maker": nil}})
	h.recordsOf("maker", RecordEdit{Code: "ajax", Mode: Delete})
	r, err := h.RestoreRecord(h.ctx, "bob", "brand", "acme", 2, 0)
	if err != nil || len(r.Warnings) != 1 || r.Warnings[0].Code != "restore.left_out" || !strings.Contains(r.Warnings[0].Detail, "values.maker") {
		t.Errorf("restored: %+v %v", r, err)
	}
}

// Whoever has a record name another and whoever deletes that: one of them gives way.
func TestRecordIsHeldByRecords(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.makers()
	h.recordsOf("maker", RecordEdit{Code: "ajax"})
	tx, err := h.pool.Begin(h.ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(h.ctx) }()
	of := h.Schema().RecordSchema("brand")
	edits := []RecordEdit{{Code: "acme", Values: pim.Values{"maker": "ajax"}}}
	w, err := h.recordWriter(h.ctx, tx, of, "brand", edits)
	if err != nil {
		t.Fatal(err)
	}
	w.work(0, &edits[0])
	if err := w.write(h.ctx, tx, "ann"); err != nil || w.results[0].Err != nil {
		t.Fatal(err, w.results[0].Err)
	}
	deleted := make(chan RecordResult, 1)
	go func() {
		results, err := h.EditRecords(h.ctx, "bob", "maker", []RecordEdit{{Code: "ajax", Mode: Delete}})
		if err != nil {
			results = []RecordResult{{Err: err}}
		}
		deleted <- results[0]
	}()
	h.waitsForLock(deleted)
	if err := tx.Commit(h.ctx); err != nil {
		t.Fatal(err)
	}
	if r := <-deleted; !errors.Is(r.Err, ErrInUse) {
		t.Errorf("a record that another had come to name is deleted: %+v", r)
	}
}

// A changed record puts the products that name it on the road, and those that name a
// record which names it: by one step, in a ring, too.
func TestRecordChangesTouchByOneStep(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.makers()
	codes := []string{"a", "b", "c", "d"}
	for _, code := range codes {
		h.recordsOf("brand", RecordEdit{Code: code})
	}
	c := h.channel("shop")
	h.exec(`update channel set marks_records = 1 where id = $1`, c.ID)
	skus := map[string]string{} // by the brand that it names
	for _, code := range codes {
		skus[code] = "P-" + code
		if r := h.names(pim.SKU("P-"+code), pim.Values{"brand": code}); r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		naming := map[string][]string{}
		for _, code := range codes {
			naming[code] = rapid.SliceOfDistinct(rapid.SampledFrom(codes), rapid.ID).Draw(rt, code)
			list := make([]any, len(naming[code]))
			for i, other := range naming[code] {
				list[i] = other
			}
			values := pim.Values{"kin": nil}
			if len(list) > 0 {
				values["kin"] = map[string]any{"en-GB": list}
			}
			if _, err := h.EditRecords(h.ctx, "ann", "brand", []RecordEdit{{Code: code, Mode: Patch, Values: values}}); err != nil {
				rt.Fatal(err)
			}
		}
		if _, err := h.OpenRecordChanges(h.ctx); err != nil {
			rt.Fatal(err)
		}
		h.exec(`delete from outbox`)
		n++
		changed := rapid.SampledFrom(codes).Draw(rt, "changed")
		if _, err := h.EditRecords(h.ctx, "ann", "brand", []RecordEdit{{Code: changed, Mode: Patch, Values: pim.Values{"country": fmt.Sprint(n)}}}); err != nil {
			rt.Fatal(err)
		}
		if left := h.number(`select count(*) from record_change`); left != 0 {
			rt.Errorf("%d steps are left to the sweeper", left)
		}
		want := map[string]bool{skus[changed]: true}
		for code, others := range naming {
			if slices.Contains(others, changed) {
				want[skus[code]] = true
			}
		}
		rows, err := h.pool.Query(h.ctx, `select distinct p.sku from outbox o join product p on p.id = o.product_id order by 1`)
		if err != nil {
			rt.Fatal(err)
		}
		var got []string
		for rows.Next() {
			var sku string
			if err := rows.Scan(&sku); err != nil {
				rt.Fatal(err)
			}
			got = append(got, sku)
		}
		if all := slices.Sorted(maps.Keys(want)); rows.Err() != nil || !slices.Equal(got, all) {
			rt.Fatalf("%s changed, %v: %v, want %v (%v)", changed, naming, got, all, rows.Err())
		}
	})
}

// A reference goes with its attribute: nothing that nobody sees keeps the record, nor comes
// back as the name of another. What other attributes name is kept as before.
func TestReferencesGoWithTheirAttribute(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.makers()
	h.recordsOf("maker", RecordEdit{Code: "ajax"})
	h.recordsOf("brand", RecordEdit{Code: "c"})
	h.recordsOf("brand", RecordEdit{Code: "acme", Values: pim.Values{"maker": "ajax", "country": "NL", "kin": map[string]any{"en-GB": []any{"c"}}}})
	brand := pim.ReferenceEntity{Code: "brand", Attributes: []pim.Attribute{{Code: "country", Type: pim.TypeText}, {Code: "kin", Type: pim.TypeEntities, Entity: "brand", Localizable: true}}}
	put := func(e pim.ReferenceEntity) {
		t.Helper()
		if _, _, err := h.PutReferenceEntity(h.ctx, e, 0); err != nil {
			t.Fatal(err)
		}
	}
	put(brand)
	if got := h.recordsOf("maker", RecordEdit{Code: "ajax", Mode: Delete}); got != "ajax 2 " {
		t.Errorf("what nobody shows any more: %s", got)
	}
	if got := h.recordsOf("brand", RecordEdit{Code: "c", Mode: Delete}); !strings.Contains(got, ErrInUse.Error()) {
		t.Errorf("what acme names still: %s", got)
	}
	brand.Attributes = append(brand.Attributes, pim.Attribute{Code: "maker", Type: pim.TypeEntity, Entity: "maker"})
	put(brand)
	if got := h.recordsOf("brand", RecordEdit{Code: "acme", Mode: Patch, Values: pim.Values{"country": "BE"}}); got != "acme 2 " {
		t.Errorf("an edit once the attribute is back: %s", got)
	}
}
