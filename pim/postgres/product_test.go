package postgres

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluicehub/sluice/pim"
)

func TestProducts(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.do(parent("P"), thing("A%b", Put, `{"name":{"en-GB":"Grüne Lampe"}}`), thing("A_b", Put, `{"colour":"50%"}`), thing("gone", Put, `{}`))
	off := thing("off", Put, `{}`)
	off.Enabled, off.Categories = ptr(false), &[]string{"lamps", "sale"}
	h.do(variant("v1", "P", `{"colour":"red"}`), variant("v2", "P", `{"colour":"back\\slash"}`), off, Edit{SKU: "o", Mode: Put, Family: ptr("other")})
	h.do(Edit{SKU: "gone", Mode: Delete})
	h.exec(`update product set updated_at = '2020-01-01' where sku = 'P'`)
	for _, c := range []struct {
		filter ProductFilter
		want   string
	}{
		{ProductFilter{}, "A%b A_b P o off v1 v2"},
		{ProductFilter{Family: "other"}, "o"},
		{ProductFilter{Family: "nope"}, ""},
		{ProductFilter{Parent: "P"}, "v1 v2"},
		{ProductFilter{Category: "sale"}, "off"},
		{ProductFilter{Enabled: ptr(true)}, "A%b A_b P o v1 v2"},
		{ProductFilter{Enabled: ptr(false)}, "off"},
		{ProductFilter{SKUPrefix: "A%"}, "A%b"},
		{ProductFilter{SKUPrefix: "a"}, ""},
		{ProductFilter{Search: "LAMPE"}, "A%b"},
		{ProductFilter{Search: "a_b"}, "A_b"},
		{ProductFilter{Search: "0%"}, "A_b"},
		{ProductFilter{Search: "V"}, "v1 v2"},
		{ProductFilter{UpdatedSince: at("2021-01-01T00:00:00Z")}, "A%b A_b o off v1 v2"},
		{ProductFilter{Parent: "P", Search: "red"}, "v1"},
	} {
		var got []string
		for page := (Page{Limit: 2}); ; {
			list, next, err := h.Products(h.ctx, c.filter, page)
			if err != nil || len(list) > 2 {
				t.Fatal(err, len(list))
			}
			for _, p := range list {
				got = append(got, string(p.SKU))
			}
			if page.After = next; next == "" {
				break
			}
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%+v: %s, want %s", c.filter, s, c.want)
		}
	}
	for _, bad := range []string{"x", "-1", "1.5", "99999999999999999999"} {
		if _, _, err := h.Products(h.ctx, ProductFilter{}, Page{After: bad}); problemsOf(err)[0] != "cursor /cursor" {
			t.Errorf("cursor %q: %v", bad, err)
		}
	}
	for limit, want := range map[int]int{0: 100, -5: 100, 7: 7, 5000: 1000} {
		if got := (Page{Limit: limit}).limit(); got != want {
			t.Errorf("a limit of %d is %d", limit, got)
		}
	}
	if live, all, err := h.CountProducts(h.ctx); err != nil || live != 7 || all != 8 {
		t.Error(live, all, err)
	}
	if rev, err := h.ProductRevision(h.ctx, "P"); err != nil || rev != 1 {
		t.Error(rev, err)
	}
	for _, sku := range []pim.SKU{"gone", "nobody", "p"} {
		if _, err := h.ProductRevision(h.ctx, sku); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		if _, err := h.Product(h.ctx, sku); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
	}
}

func TestChangeSchema(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.do(parent("P"))
	thingFamily := testSchema.Families[0]
	noVariants := thingFamily
	noVariants.Variants = thingFamily.Variants[1:]
	version := h.Schema().Version
	for i, c := range []struct {
		change SchemaChange
		want   string
	}{
		{SchemaChange{Attributes: []pim.Attribute{{Code: "colour", Type: pim.TypeNumber}}}, "attribute.shape /attributes/0"},
		{SchemaChange{Attributes: []pim.Attribute{{Code: "colour", Type: pim.TypeText, Localizable: true}}}, "attribute.shape /attributes/0"},
		{SchemaChange{Attributes: []pim.Attribute{{Code: "n", Type: pim.TypeText}, {Code: "n", Type: pim.TypeNumber}}}, "code.twice /attributes/1/code"},
		{SchemaChange{Families: []pim.Family{{Code: "f"}, {Code: "f"}}}, "code.twice /families/1/code"},
		{SchemaChange{Attributes: []pim.Attribute{{Code: "f", Type: pim.TypeText}}, Families: []pim.Family{{Code: "f", Attributes: []pim.FamilyAttribute{{Code: "nope"}}}}}, "attribute.unknown /families/0/attributes/0/code"},
		{SchemaChange{Families: []pim.Family{noVariants}}, "family_variant.used /families/0/variants"},
		{
			SchemaChange{Locales: []pim.Locale{"xx_!!"}, Currencies: []pim.Currency{"euro"}, PriceLists: []string{"a b"}, Locations: []string{""}},
			"locale /locales/0, currency /currencies/0, code /price_lists/0, code /locations/0",
		},
	} {
		_, err := h.ChangeSchema(h.ctx, c.change)
		if got := strings.Join(problemsOf(err), ", "); got != c.want {
			t.Errorf("%d: %s, want %s", i, got, c.want)
		}
	}
	if s, err := h.RefreshSchema(h.ctx); err != nil || s.Version != version || s.Attributes["n"] != nil || s.Families["f"] != nil {
		t.Errorf("a refused change left something: version %d, was %d, %v", s.Version, version, err)
	}
	s, err := h.ChangeSchema(h.ctx, SchemaChange{
		Attributes: []pim.Attribute{{Code: "loose", Type: pim.TypeNumber}, {Code: "colour", Type: pim.TypeText, MaxLength: 9}},
		Locales:    []pim.Locale{"nl-NL", "nl-NL", "en-GB"}, PriceLists: []string{"b2b"},
	})
	if err != nil || s.Version != version+1 || s.Attributes["loose"].Type != pim.TypeNumber || s.Attributes["colour"].MaxLength != 9 || !s.Locales["nl-NL"] || !s.PriceLists["b2b"] {
		t.Errorf("%+v, %v", s, err)
	}
	h.do(Edit{SKU: "P", Mode: Delete})
	if _, err := h.ChangeSchema(h.ctx, SchemaChange{Families: []pim.Family{noVariants}}); err != nil {
		t.Errorf("a family variant that only a tombstone has: %v", err)
	}

	for what, err := range map[string]error{
		"family with a tombstone": h.DeleteFamily(h.ctx, "thing", 0), "attribute of a family": h.DeleteAttribute(h.ctx, "colour", 0),
	} {
		if !errors.Is(err, ErrInUse) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, err := range []error{h.DeleteFamily(h.ctx, "other", 0), h.DeleteAttribute(h.ctx, "loose", 0)} {
		if err != nil {
			t.Error(err)
		}
	}
	for _, err := range []error{h.DeleteFamily(h.ctx, "other", 0), h.DeleteAttribute(h.ctx, "loose", 0)} {
		if !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
	}
	if s := h.Schema(); s.Families["other"] != nil || s.Attributes["loose"] != nil {
		t.Error("what was deleted is still known")
	}
}

// More changes at once than there are connections: none may need a second one
// while it holds the lock that the others wait for.
func TestManySchemaChangesAtOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	small, err := Open(h.ctx, h.dsn, Options{EditConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(small.Close)
	version := h.Schema().Version
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if _, err := small.ChangeSchema(h.ctx, SchemaChange{Attributes: []pim.Attribute{{Code: fmt.Sprint("n", i), Type: pim.TypeText}}}); err != nil {
				t.Error(err)
			}
			if err := small.DeleteAttribute(h.ctx, fmt.Sprint("n", i), 0); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if s, err := h.RefreshSchema(h.ctx); err != nil || s.Version != version+16 {
		t.Errorf("version %d, want %d, %v", s.Version, version+16, err)
	}
}

// A family that goes while a product of it comes: one of both is refused.
func TestConcurrentFamilyAndProduct(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for i := range 15 {
		code := fmt.Sprint("f", i)
		if _, err := h.ChangeSchema(h.ctx, SchemaChange{Families: []pim.Family{{Code: code}}}); err != nil {
			t.Fatal(err)
		}
		var dropped error
		var r EditResult
		var wg sync.WaitGroup
		wg.Go(func() { dropped = h.DeleteFamily(h.ctx, code, 0) })
		wg.Go(func() { r = h.edit(Edit{SKU: pim.SKU(code), Mode: Put, Family: &code}) })
		wg.Wait()
		switch {
		case dropped == nil && r.Err == nil:
			t.Error("both succeeded")
		case dropped != nil && !errors.Is(dropped, ErrInUse):
			t.Error(dropped)
		case r.Err != nil && !slices.Equal(problemsOf(r.Err), []string{"family.unknown /family"}):
			t.Error(r.Err)
		}
	}
}

// The same, held open at the worst moment: the product is written when its
// family's deletion is not yet committed.
func TestProductWaitsForItsFamilysEnd(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	tx := h.begin()
	for _, sql := range []string{sqlLockCatalogue, `delete from family where code = 'other'`, sqlBumpCatalogue} {
		if _, err := tx.Exec(h.ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan EditResult)
	go func() { done <- h.edit(Edit{SKU: "A", Mode: Put, Family: ptr("other")}) }()
	h.blocked(1)
	if err := tx.Commit(h.ctx); err != nil {
		t.Fatal(err)
	}
	equal(t, "problems", problemsOf((<-done).Err), []string{"family.unknown /family"})
}

func TestNowIsTheDatabases(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	if now, err := h.Now(h.ctx); err != nil || time.Since(now).Abs() > time.Minute {
		t.Error(now, err)
	}
	if err := h.Ping(h.ctx); err != nil {
		t.Error(err)
	}
}
