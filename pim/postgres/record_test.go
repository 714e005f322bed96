package postgres

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/sluicehub/sluice/pim"
)

// brands gives the house a reference entity, attributes that refer to it, and records.
func (h *house) brands(codes ...string) {
	h.Helper()
	e := pim.ReferenceEntity{Code: "brand", Attributes: []pim.Attribute{
		{Code: "country", Type: pim.TypeText}, {Code: "story", Type: pim.TypeText, Localizable: true}, {Code: "logo", Type: pim.TypeMedia},
	}}
	if _, _, err := h.PutReferenceEntity(h.ctx, e, 0); err != nil {
		h.Fatal(err)
	}
	change := SchemaChange{
		Attributes: []pim.Attribute{{Code: "brand", Type: pim.TypeEntity, Entity: "brand"}, {Code: "makers", Type: pim.TypeEntities, Entity: "brand", Localizable: true}},
		Families:   slices.Clone(testSchema.Families),
	}
	change.Families[0].Attributes = append(slices.Clone(change.Families[0].Attributes), pim.FamilyAttribute{Code: "brand"}, pim.FamilyAttribute{Code: "makers"})
	if _, err := h.ChangeSchema(h.ctx, change); err != nil {
		h.Fatal(err)
	}
	for _, code := range codes {
		h.record(RecordEdit{Code: code, Labels: map[pim.Locale]string{"en-GB": strings.ToUpper(code)}})
	}
}

func (h *house) record(e RecordEdit) RecordResult {
	h.Helper()
	results, err := h.EditRecords(h.ctx, "ann", "brand", []RecordEdit{e})
	if err != nil {
		h.Fatal(err)
	}
	return results[0]
}

func (h *house) names(sku pim.SKU, values pim.Values) EditResult {
	h.Helper()
	family := "thing"
	res, err := h.Edit(h.ctx, "ann", []Edit{{SKU: sku, Mode: Merge, Family: &family, Values: values}})
	if err != nil {
		h.Fatal(err)
	}
	return res[0]
}

// faultsOf are the places and codes of an input's faults, or another error's text.
func faultsOf(err error) string {
	invalid, ok := errors.AsType[*pim.Invalid](err)
	if !ok {
		return fmt.Sprint(err)
	}
	var list []string
	for _, p := range invalid.Problems {
		list = append(list, p.Pointer+" "+p.Code)
	}
	return strings.Join(list, ", ")
}

func TestRecords(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.brands()
	r := h.record(RecordEdit{Code: "acme", Labels: map[pim.Locale]string{"en-GB": "Acme"}, Values: pim.Values{"country": "NL", "story": map[string]any{"en-GB": "Old"}}})
	if r.Err != nil || !r.Created || r.Rev != 1 {
		t.Fatalf("created: %+v", r)
	}
	if r = h.record(RecordEdit{Code: "acme", Mode: Merge, Values: pim.Values{"country": "NL"}}); r.Err != nil || r.Changed || r.Rev != 1 {
		t.Errorf("the same again: %+v", r)
	}
	if r = h.record(RecordEdit{Code: "acme", Mode: Patch, Labels: map[pim.Locale]string{"de-DE": "Akme", "en-GB": ""}, Values: pim.Values{"country": nil}, IfMatch: 1}); r.Err != nil || r.Rev != 2 {
		t.Errorf("patched: %+v", r)
	}
	got, err := h.Record(h.ctx, "brand", "acme")
	if err != nil || string(got.Values) != `{"story": {"en-GB": "Old"}}` || len(got.Labels) != 1 || got.Labels["de-DE"] != "Akme" {
		t.Errorf("stored: %+v %s %v", got, got.Values, err)
	}
	for _, c := range []struct {
		edit RecordEdit
		want string
	}{
		{RecordEdit{Code: "a b"}, "/code record.code"},
		{RecordEdit{Code: "x", Labels: map[pim.Locale]string{"en_GB": "x"}, Values: pim.Values{"country": true, "size": "1"}}, "/labels/en_GB locale.tag, /values/country value.type, /values/size attribute.unknown"},
		{RecordEdit{Code: "acme", IfMatch: 1}, ErrStale.Error()},
		{RecordEdit{Code: "acme", IfNoneMatch: true}, ErrExists.Error()},
		{RecordEdit{Code: "nobody", Mode: Patch}, ErrNotFound.Error()},
		{RecordEdit{Code: "nobody", Mode: Delete}, ErrNotFound.Error()},
	} {
		if r := h.record(c.edit); faultsOf(r.Err) != c.want {
			t.Errorf("%+v: %s, want %s", c.edit, faultsOf(r.Err), c.want)
		}
	}
	// The history goes on over a deletion, and leads back.
	if r = h.record(RecordEdit{Code: "acme", Mode: Delete}); r.Err != nil || r.Rev != 3 {
		t.Errorf("deleted: %+v", r)
	}
	if _, err := h.Record(h.ctx, "brand", "acme"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a deleted record: %v", err)
	}
	if r, err = h.RestoreRecord(h.ctx, "bob", "brand", "acme", 1, 0); err != nil || r.Rev != 4 || !r.Created {
		t.Errorf("restored: %+v %v", r, err)
	}
	if got, err = h.Record(h.ctx, "brand", "acme"); err != nil || got.Labels["en-GB"] != "Acme" || !strings.Contains(string(got.Values), `"NL"`) {
		t.Errorf("restored: %+v %s %v", got, got.Values, err)
	}
	history, next, err := h.RecordHistory(h.ctx, "brand", "acme", Page{Limit: 3})
	if err != nil || len(history) != 3 || next == "" || history[0].Actor != "bob" || history[2].Type != pim.EventRecordUpdated || !strings.Contains(string(history[2].Data), `"country": {"new": null, "old": "NL"}`) {
		t.Errorf("history: %+v %q %v", history, next, err)
	}
	if _, err := h.RestoreRecord(h.ctx, "bob", "brand", "acme", 9, 0); !errors.Is(err, ErrNotFound) {
		t.Errorf("a revision that never was: %v", err)
	}
}

// Products name records that there are, and these stay as long as a product does.
func TestRecordsInUse(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.brands("acme", "umbra")
	if r := h.names("P", pim.Values{"brand": "acme", "makers": map[string]any{"en-GB": []any{"acme", "none"}, "de-DE": []any{"umbra", "umbra"}}}); faultsOf(r.Err) != "/values/makers/de-DE/1 record.duplicate" {
		t.Errorf("%s", faultsOf(r.Err))
	}
	if r := h.names("P", pim.Values{"brand": "acme", "makers": map[string]any{"en-GB": []any{"umbra", "none"}}}); faultsOf(r.Err) != "/values/makers/en-GB/1 record.unknown" {
		t.Errorf("%s", faultsOf(r.Err))
	}
	if r := h.names("P", pim.Values{"brand": "acme", "makers": map[string]any{"en-GB": []any{"umbra"}}}); r.Err != nil {
		t.Fatal(r.Err)
	}
	for _, code := range []string{"acme", "umbra"} {
		if r := h.record(RecordEdit{Code: code, Mode: Delete}); !errors.Is(r.Err, ErrInUse) {
			t.Errorf("%s is deleted though a product names it: %+v", code, r)
		}
	}
	if r := h.names("P", pim.Values{"makers": nil}); r.Err != nil {
		t.Fatal(r.Err)
	}
	if r := h.record(RecordEdit{Code: "umbra", Mode: Delete}); r.Err != nil {
		t.Errorf("nobody names it any more: %+v", r)
	}
	if err := h.DeleteReferenceEntity(h.ctx, "brand", 0); !errors.Is(err, ErrInUse) {
		t.Errorf("an entity in use: %v", err)
	}
	// A deleted product keeps no record, and comes back without one that is gone.
	if _, err := h.Edit(h.ctx, "ann", []Edit{{SKU: "P", Mode: Delete}}); err != nil {
		t.Fatal(err)
	}
	if r := h.record(RecordEdit{Code: "acme", Mode: Delete}); r.Err != nil {
		t.Fatal(r.Err)
	}
	res, err := h.RestoreProduct(h.ctx, "ann", "P", 0, 0)
	if err != nil || len(res.Warnings) != 1 || res.Warnings[0].Code != "restore.left_out" {
		t.Errorf("restored: %+v %v", res, err)
	}
}

// Whoever comes to name a record and whoever deletes it: one of them gives way.
func TestRecordIsHeldWhileItIsNamed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.brands("acme")
	h.names("P", pim.Values{"colour": "red"})
	tx, err := h.pool.Begin(h.ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(h.ctx) }()
	b := h.newBatch("ann", interactive, []Edit{{SKU: "P", Mode: Patch, Values: pim.Values{"brand": "acme"}}})
	if err := b.run(h.ctx, tx); err != nil || b.results[0].Err != nil {
		t.Fatal(err, b.results[0].Err)
	}
	deleted := make(chan RecordResult, 1)
	go func() {
		results, err := h.EditRecords(h.ctx, "bob", "brand", []RecordEdit{{Code: "acme", Mode: Delete}})
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
		t.Errorf("a record that a product had come to name is deleted: %+v", r)
	}
}

// waitsForLock returns once somebody waits for a row's lock; it is wrong should
// the other side be through before.
func (h *house) waitsForLock(done <-chan RecordResult) {
	h.Helper()
	for {
		var waiting bool
		if err := h.pool.QueryRow(h.ctx, `select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')`).Scan(&waiting); err != nil {
			h.Fatal(err)
		}
		if waiting {
			return
		}
		select {
		case r := <-done:
			h.Fatalf("the deletion did not wait: %+v", r)
		default:
		}
	}
}

// A changed record puts exactly the products that name it on the road: whatever
// they name it by, and however many steps that takes.
func TestRecordChangesTouchTheirProducts(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	codes := []string{"a", "b", "c"}
	h.brands(codes...)
	c := h.channel("shop")
	h.exec(`update channel set marks_records = 1 where id = $1`, c.ID)
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		h.exec(`delete from record_change`)
		h.exec(`update product set deleted_at = now() where deleted_at is null`)
		want := map[string]bool{}
		changed := rapid.SliceOfNDistinct(rapid.SampledFrom(codes), 1, 2, rapid.ID).Draw(rt, "changed")
		for i := range rapid.IntRange(0, 8).Draw(rt, "products") {
			sku := pim.SKU(fmt.Sprintf("P%d-%d", round, i))
			values := pim.Values{}
			if one := rapid.SampledFrom(append(codes, "")).Draw(rt, "brand"); one != "" {
				values["brand"] = one
				want[string(sku)] = want[string(sku)] || slices.Contains(changed, one)
			}
			if many := rapid.SliceOfDistinct(rapid.SampledFrom(codes), rapid.ID).Draw(rt, "makers"); len(many) > 0 {
				list := make([]any, len(many))
				for j, code := range many {
					list[j] = code
					want[string(sku)] = want[string(sku)] || slices.Contains(changed, code)
				}
				values["makers"] = map[string]any{"de-DE": list}
			}
			if r := h.names(sku, values); r.Err != nil {
				rt.Fatal(r.Err)
			}
		}
		h.exec(`delete from outbox`)
		var edits []RecordEdit
		for _, code := range changed {
			edits = append(edits, RecordEdit{Code: code, Mode: Patch, Values: pim.Values{"country": fmt.Sprint(round)}})
		}
		if err := h.editRecordsOnly(edits); err != nil {
			rt.Fatal(err)
		}
		limit := rapid.IntRange(1, 4).Draw(rt, "limit")
		if _, err := h.spreadRecords(h.ctx); err != nil {
			rt.Fatal(err)
		}
		for {
			taken, _, err := h.openRecords(h.ctx, limit)
			if err != nil {
				rt.Fatal(err)
			}
			if taken == 0 {
				break
			}
		}
		rows, err := h.pool.Query(h.ctx, `select p.sku from outbox o join product p on p.id = o.product_id where o.lanes = 16 order by 1`)
		if err != nil {
			rt.Fatal(err)
		}
		got, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			rt.Fatal(err)
		}
		var list []string
		for sku, is := range want {
			if is {
				list = append(list, sku)
			}
		}
		slices.Sort(list)
		if !slices.Equal(got, list) {
			rt.Fatalf("changed %v: %v are on the road, not %v", changed, got, list)
		}
	})
}

// editRecordsOnly edits records, and leaves what follows to others.
func (h *house) editRecordsOnly(edits []RecordEdit) error {
	h.Helper()
	return inTx(h.ctx, h.pool, func(tx pgx.Tx) error {
		w, err := h.recordWriter(h.ctx, tx, h.Schema().RecordSchema("brand"), "brand", edits)
		if err != nil {
			return err
		}
		for i := range edits {
			if w.work(i, &edits[i]); w.results[i].Err != nil {
				return w.results[i].Err
			}
		}
		return w.write(h.ctx, tx, "ann")
	})
}

func TestReferenceEntities(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.brands("acme")
	bad := pim.ReferenceEntity{Code: "brand", Attributes: []pim.Attribute{
		{Code: "country", Type: pim.TypeNumber},
		{Code: "story", Type: pim.TypeText, Localizable: true, Scopable: true, Group: "none"},
		{Code: "friend", Type: pim.TypeReference},
		{Code: "friend", Type: pim.TypeText},
	}}
	_, _, err := h.PutReferenceEntity(h.ctx, bad, 0)
	want := "/attributes/0 entity.shape, /attributes/1/group attribute_group.unknown, /attributes/1/scopable entity.scopable, /attributes/1/group entity.group, " +
		"/attributes/2/type entity.type, /attributes/3/code attribute.duplicate"
	if got := faultsOf(err); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	_, err = h.ChangeSchema(h.ctx, SchemaChange{Attributes: []pim.Attribute{
		{Code: "x", Type: pim.TypeEntity}, {Code: "y", Type: pim.TypeText, Entity: "brand"}, {Code: "brand", Type: pim.TypeEntities, Entity: "brand"},
	}})
	if got := faultsOf(err); got != "/attributes/0/entity entity.unknown, /attributes/1/entity attribute.entity, /attributes/2 attribute.shape" {
		t.Errorf("attributes: %s", got)
	}
	e, err := h.ReferenceEntity(h.ctx, "brand")
	if err != nil || e.Records != 1 || e.Rev != 1 {
		t.Fatalf("%+v %v", e, err)
	}
	e.Attributes = e.Attributes[1:]
	if now, created, err := h.PutReferenceEntity(h.ctx, e.ReferenceEntity, 1); err != nil || created || now.Rev != 2 {
		t.Errorf("%+v %v", now, err)
	}
	if _, _, err := h.PutReferenceEntity(h.ctx, e.ReferenceEntity, 1); !errors.Is(err, ErrStale) {
		t.Errorf("an old revision: %v", err)
	}
}

// A rule that is tightened keeps nobody from editing something else of a record.
func TestTightenedRuleOfRecords(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.brands()
	h.record(RecordEdit{Code: "acme", Values: pim.Values{"country": "Netherlands"}})
	e, err := h.ReferenceEntity(h.ctx, "brand")
	if err != nil {
		t.Fatal(err)
	}
	e.Attributes[0].MaxLength = 2
	if _, _, err := h.PutReferenceEntity(h.ctx, e.ReferenceEntity, 0); err != nil {
		t.Fatal(err)
	}
	r := h.record(RecordEdit{Code: "acme", Mode: Patch, Labels: map[pim.Locale]string{"en-GB": "Acme"}})
	if r.Err != nil || !r.Changed || len(r.Warnings) != 1 || r.Warnings[0].Code != "text.too_long" {
		t.Errorf("another field: %+v", r)
	}
	r = h.record(RecordEdit{Code: "acme", Mode: Put, Labels: map[pim.Locale]string{"en-GB": "Acme"}, Values: pim.Values{"country": "Netherlands"}})
	if r.Err != nil || r.Changed {
		t.Errorf("the same again: %+v", r)
	}
	if r = h.record(RecordEdit{Code: "acme", Mode: Patch, Values: pim.Values{"country": "Belgium"}}); faultsOf(r.Err) != "/values/country text.too_long" {
		t.Errorf("the field itself: %+v", r)
	}
}

// A change of an entity is looked at by as many records at once as one call edits.
func TestEntityChangeGoesInParts(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.brands()
	h.exec(`insert into record (ref, entity, code, rev) select 'brand/' || n, 'brand', n, 1 from generate_series(1, $1::int) n`, 2*MaxRecordEdits+1)
	h.exec(`insert into record_change (refs) values ('{}')`) // which the change's own look takes
	e, err := h.ReferenceEntity(h.ctx, "brand")
	if err != nil {
		t.Fatal(err)
	}
	e.Attributes = e.Attributes[:1]
	if _, _, err := h.PutReferenceEntity(h.ctx, e.ReferenceEntity, 0); err != nil {
		t.Fatal(err)
	}
	var sizes []int
	var all int
	if err := h.pool.QueryRow(h.ctx, `select array_agg(cardinality(refs) order by id), (select count(distinct ref) from record_change, unnest(refs) ref) from record_change`).Scan(&sizes, &all); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(sizes, []int{MaxRecordEdits, MaxRecordEdits, 1}) || all != 2*MaxRecordEdits+1 {
		t.Errorf("%v, of %d records", sizes, all)
	}
}
