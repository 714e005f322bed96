package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"pgregory.net/rapid"

	"github.com/sluicehub/sluice/pim"
)

// asRead is what a process knows of the schema against all of it, read anew: "" where
// that is the same.
func (h *house) asRead(known *pim.Schema) string {
	h.Helper()
	read, err := (&Store{}).readSchema(h.ctx, h.pool)
	if err != nil {
		h.Fatal(err)
	}
	trees := func(s *pim.Schema) (list [][]*pim.Category) {
		for _, code := range append(s.Tree.Codes(), "") {
			list = append(list, s.Tree.Children(code), []*pim.Category{s.Tree.Category(code)})
		}
		return list
	}
	same := cmp.Options{cmpopts.IgnoreUnexported(pim.Schema{}, pim.Tree{}), cmpopts.EquateEmpty(), cmp.Comparer(time.Time.Equal)}
	return cmp.Diff(read, known, same) + cmp.Diff(trees(read), trees(known), same)
}

// schemaStep is one change that somebody may make; refused ones change nothing.
type schemaStep func(*Store, *rapid.T) error

func schemaSteps(h *house) map[string]schemaStep {
	ctx := h.ctx
	code, flag := rapid.SampledFrom([]string{"a", "b", "c"}), rapid.Bool()
	draw := func(t *rapid.T, what string) string { return code.Draw(t, what) }
	labels := func(t *rapid.T) map[pim.Locale]string {
		if !flag.Draw(t, "labelled") {
			return nil
		}
		return map[pim.Locale]string{"en-GB": draw(t, "label")}
	}
	change := func(c SchemaChange) func(*Store) error {
		return func(s *Store) error { _, err := s.ChangeSchema(ctx, c); return err }
	}
	return map[string]schemaStep{
		"attribute": func(s *Store, t *rapid.T) error {
			a := pim.Attribute{Code: draw(t, "code"), Type: rapid.SampledFrom([]pim.AttributeType{pim.TypeText, pim.TypeNumber, pim.TypeEntity}).Draw(t, "type"), Labels: labels(t), Localizable: flag.Draw(t, "localizable")}
			switch a.Type {
			case pim.TypeNumber:
				a.Min = rapid.SampledFrom([]pim.Number{"", "1e2", "1.50"}).Draw(t, "min")
			case pim.TypeEntity:
				a.Entity, a.Localizable = draw(t, "entity"), false
			default:
				a.Group = rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "group")
			}
			return change(SchemaChange{Attributes: []pim.Attribute{a}})(s)
		},
		"group": func(s *Store, t *rapid.T) error {
			return change(SchemaChange{Groups: []pim.AttributeGroup{{Code: draw(t, "code"), Labels: labels(t)}}})(s)
		},
		"family": func(s *Store, t *rapid.T) error {
			return change(SchemaChange{Families: []pim.Family{{Code: draw(t, "code"), Labels: labels(t), Attributes: []pim.FamilyAttribute{{Code: draw(t, "attribute"), Required: flag.Draw(t, "required")}}}}})(s)
		},
		"several": func(s *Store, t *rapid.T) error {
			c := draw(t, "code")
			return change(SchemaChange{
				Attributes: []pim.Attribute{{Code: c, Type: pim.TypeText}}, Families: []pim.Family{{Code: c, Attributes: []pim.FamilyAttribute{{Code: c}}}},
				Locales: []pim.Locale{"fr-FR", "fr-FR"}, Currencies: []pim.Currency{"SEK"}, PriceLists: []string{c}, Locations: []string{c}, Groups: []pim.AttributeGroup{{Code: c}},
			})(s)
		},
		"locale": func(s *Store, t *rapid.T) error {
			l := rapid.SampledFrom([]pim.Locale{"fr-FR", "it-IT", "nl-NL", "en-GB"})
			at := l.Draw(t, "locale")
			return change(SchemaChange{Locales: []pim.Locale{at}, Fallbacks: map[pim.Locale]pim.Locale{at: rapid.OneOf(rapid.Just(pim.Locale("")), l).Draw(t, "fallback")}})(s)
		},
		"category": func(s *Store, t *rapid.T) error {
			_, _, err := s.PutCategory(ctx, pim.CategoryEdit{Code: draw(t, "code"), Parent: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "parent"), Labels: labels(t)}, 0)
			return err
		},
		"price list": func(s *Store, t *rapid.T) error {
			l := pim.PriceList{Code: draw(t, "code"), Labels: labels(t), Base: rapid.SampledFrom([]string{"", "a"}).Draw(t, "base")}
			if flag.Draw(t, "in euro") {
				l.Currencies = []pim.Currency{"EUR"}
			}
			if flag.Draw(t, "guarded") {
				l.Guard = &pim.PriceGuard{MaxFactor: 2}
			}
			_, _, err := s.PutPriceList(ctx, l, 0)
			return err
		},
		"price rule": func(s *Store, t *rapid.T) error {
			_, _, err := s.PutPriceRule(ctx, pim.PriceRule{Code: draw(t, "code"), PriceList: draw(t, "list"), Percent: "5"}, 0)
			return err
		},
		"location": func(s *Store, t *rapid.T) error {
			_, _, err := s.PutLocation(ctx, pim.Location{Code: draw(t, "code"), Labels: labels(t), SafetyStock: int64(rapid.IntRange(0, 1).Draw(t, "safety"))}, 0)
			return err
		},
		"association": func(s *Store, t *rapid.T) error {
			_, _, err := s.PutAssociationType(ctx, pim.AssociationType{Code: draw(t, "code"), Labels: labels(t), TwoWay: flag.Draw(t, "two-way")}, 0)
			return err
		},
		"entity": func(s *Store, t *rapid.T) error {
			e := pim.ReferenceEntity{Code: draw(t, "code"), Labels: labels(t)}
			if flag.Draw(t, "with an attribute") {
				e.Attributes = []pim.Attribute{{Code: "x", Type: pim.TypeNumber, Rules: pim.Rules{Max: "1e3"}}}
			}
			_, _, err := s.PutReferenceEntity(ctx, e, 0)
			return err
		},
		"channel": func(s *Store, t *rapid.T) error {
			at := pim.ChannelCode(draw(t, "code"))
			if c, err := s.Channel(ctx, at); err == nil {
				_, err = s.UpdateChannel(ctx, *c)
				return err
			}
			_, err := s.CreateChannel(ctx, Channel{
				Code: at, Connector: "webhook", Locale: "en-GB", Currency: "EUR", PriceList: "default", Config: []byte(`{}`), Mapping: []byte(`{}`),
				Batch: 1, Concurrency: 1, Timeout: time.Second, Settle: time.Second,
			})
			return err
		},
		"deletion": func(s *Store, t *rapid.T) error {
			c := draw(t, "code")
			do := rapid.SampledFrom([]string{"attribute", "group", "family", "category", "locale", "currency", "price list", "price rule", "location", "association", "entity", "channel"}).Draw(t, "of")
			switch do {
			case "attribute":
				return s.DeleteAttribute(ctx, c, 0)
			case "group":
				return s.DeleteGroup(ctx, c, 0)
			case "family":
				return s.DeleteFamily(ctx, c, 0)
			case "category":
				return s.DeleteCategory(ctx, c, 0)
			case "locale":
				return s.DeleteLocale(ctx, rapid.SampledFrom([]pim.Locale{"fr-FR", "it-IT", "nl-NL"}).Draw(t, "locale"), 0)
			case "currency":
				return s.DeleteCurrency(ctx, "SEK")
			case "price list":
				return s.DeletePriceList(ctx, c, 0)
			case "price rule":
				return s.DeletePriceRule(ctx, c, 0)
			case "location":
				return s.DeleteLocation(ctx, c, 0)
			case "association":
				return s.DeleteAssociationType(ctx, c, 0)
			case "entity":
				return s.DeleteReferenceEntity(ctx, c, 0)
			}
			return s.DeleteChannel(ctx, pim.ChannelCode(c), 0)
		},
	}
}

// What a process makes of the schema that it knows, with each change of its own and
// beside those of another process, is the schema that somebody reads who knows nothing.
func TestSchemaIsAsRead(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	steps := schemaSteps(h)
	other := h.open()
	made := map[string]int{}
	run := func(t *rapid.T) {
		for range 12 {
			name := rapid.SampledFrom(slices.Sorted(maps.Keys(steps))).Draw(t, "step")
			s := h.Store
			if rapid.IntRange(0, 3).Draw(t, "who") == 0 {
				s = other
			}
			before, known := drawnSchema(s.Schema()), s.Schema()
			err := steps[name](s, t)
			if err == nil {
				made[name]++
			}
			if IsDatabase(err) {
				t.Fatalf("%s: %v", name, err)
			}
			if diff := cmp.Diff(before, drawnSchema(known)); diff != "" {
				t.Fatalf("%s changed a schema that somebody may be reading: %s", name, diff)
			}
			if s != h.Store {
				continue // h finds out by itself
			}
			if _, err := s.RefreshSchema(h.ctx); err != nil {
				t.Fatal(err)
			}
			if diff := h.asRead(s.Schema()); diff != "" {
				t.Fatalf("after %s (%v): %s", name, err, diff)
			}
		}
	}
	rapid.Check(t, run)
	for name := range steps {
		if made[name] == 0 {
			t.Errorf("%s was never made", name)
		}
	}
}

// drawnSchema is what changes could alter of a schema in its place.
func drawnSchema(s *pim.Schema) map[string]string {
	out := map[string]string{"version": fmt.Sprint(s.Version)}
	for what, m := range map[string]any{
		"attributes": s.Attributes, "families": s.Families, "groups": s.Groups, "entities": s.Entities, "associations": s.Associations, "locales": s.Locales, "fallbacks": s.Fallbacks, "currencies": s.Currencies,
		"lists": s.PriceLists, "list currencies": s.ListCurrencies, "locations": s.Locations, "places": s.Places, "channels": s.Channels, "revisions": s.Revisions,
	} {
		out[what] = string(mustJSON(m))
	}
	for _, code := range append(s.Tree.Codes(), "") {
		out["tree "+code] = string(mustJSON(s.Tree.Children(code)))
	}
	return out
}

// Who changes the schema starts from what others have made of it meanwhile, also where
// this process has heard nothing of that.
func TestSchemaChangesBesideOthers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	other := h.open()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	put := func(s *Store, e pim.CategoryEdit) (*pim.Category, error) {
		c, _, err := s.PutCategory(h.ctx, e, 0)
		return c, err
	}
	_, err := put(other, pim.CategoryEdit{Code: "sales"})
	must(err)
	c, err := put(h.Store, pim.CategoryEdit{Code: "shoes", Parent: "sales"})
	must(err)
	equal(t, "path", c.Path, []string{"sales", "shoes"})
	must(other.DeleteCategory(h.ctx, "shoes", c.Rev))
	if _, err := put(h.Store, pim.CategoryEdit{Code: "boots", Parent: "shoes"}); !slices.Equal(problemsOf(err), []string{"category.parent /0/parent"}) {
		t.Errorf("below what is gone: %v", err)
	}
	h.ok(other.ChangeSchema(h.ctx, SchemaChange{Attributes: []pim.Attribute{{Code: "new", Type: pim.TypeText}}}))
	family := SchemaChange{Families: []pim.Family{{Code: "f", Attributes: []pim.FamilyAttribute{{Code: "new"}}}}}
	h.ok(h.ChangeSchema(h.ctx, family))
	if err := other.DeleteAttribute(h.ctx, "new", 0); !errors.Is(err, ErrInUse) {
		t.Errorf("an attribute that a family has by now: %v", err)
	}
	must(h.DeleteFamily(h.ctx, "f", 0))
	must(other.DeleteAttribute(h.ctx, "new", 0))
	if _, err := h.ChangeSchema(h.ctx, family); !slices.Equal(problemsOf(err), []string{"attribute.unknown /families/0/attributes/0/code"}) {
		t.Errorf("with an attribute that is gone: %v", err)
	}
	for what, s := range map[string]*Store{"one": h.Store, "the other": other} {
		if _, err := s.RefreshSchema(h.ctx); err != nil {
			t.Fatal(err)
		}
		if diff := h.asRead(s.Schema()); diff != "" {
			t.Errorf("%s knows %s", what, diff)
		}
	}
}

// Two processes that change the schema at once lose nothing of each other, and know
// the same in the end.
func TestSchemaChangesAtOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const each = 20
	stores := []*Store{h.Store, h.open()}
	var wg sync.WaitGroup
	for i, s := range stores {
		wg.Go(func() {
			for n := range each {
				code := fmt.Sprintf("c%d-%d", i, n)
				if _, err := s.ChangeSchema(h.ctx, SchemaChange{Attributes: []pim.Attribute{{Code: code, Type: pim.TypeText}}}); err != nil {
					t.Error(err)
				}
				if _, _, err := s.PutCategory(h.ctx, pim.CategoryEdit{Code: code}, 0); err != nil {
					t.Error(err)
				}
				if n%2 == 1 {
					if err := s.DeleteAttribute(h.ctx, code, 1); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	for i, s := range stores {
		now, err := s.RefreshSchema(h.ctx)
		if err != nil {
			t.Fatal(err)
		}
		if diff := h.asRead(now); diff != "" {
			t.Errorf("%d knows %s", i, diff)
		}
		if got, want := len(now.Attributes), len(testSchema.Attributes)+len(stores)*each/2; got != want || now.Tree.Len() != len(stores)*each {
			t.Errorf("%d attributes, %d wanted, and %d categories", got, want, now.Tree.Len())
		}
	}
}

// readings counts how often all of the schema is read.
type readings struct {
	mu         sync.Mutex
	whole, all int
}

// TraceQueryStart counts a statement.
func (r *readings) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all++; d.SQL == sqlSchema {
		r.whole++
	}
	return ctx
}

// TraceQueryEnd has nothing to count.
func (r *readings) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (r *readings) take() (whole, all int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	whole, all = r.whole, r.all
	r.whole, r.all = 0, 0
	return whole, all
}

// A change of the schema costs what it changes: it does not read all that there is
// beside it, and once more only where another process has made a change.
func TestSchemaIsReadOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var r readings
	s, err := Open(h.ctx, h.dsn, Options{Configure: func(c *pgxpool.Config) { c.ConnConfig.Tracer = &r }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	attribute := func(i int) error {
		_, err := s.ChangeSchema(h.ctx, SchemaChange{Attributes: []pim.Attribute{{Code: fmt.Sprint("n", i), Type: pim.TypeText}}})
		return err
	}
	category := func(i int) error {
		_, _, err := s.PutCategory(h.ctx, pim.CategoryEdit{Code: fmt.Sprint("n", i)}, 0)
		return err
	}
	changes := map[string]func(i int) error{
		"attribute": attribute, "category": category,
		"attribute's end": func(i int) error { return errors.Join(attribute(i), s.DeleteAttribute(h.ctx, fmt.Sprint("n", i), 0)) },
		"category's end":  func(i int) error { return errors.Join(category(i), s.DeleteCategory(h.ctx, fmt.Sprint("n", i), 0)) },
		"family": func(i int) error {
			_, err := s.ChangeSchema(h.ctx, SchemaChange{Families: []pim.Family{{Code: fmt.Sprint("n", i), Attributes: []pim.FamilyAttribute{{Code: "name"}}}}})
			return err
		},
		"location": func(i int) error {
			_, _, err := s.PutLocation(h.ctx, pim.Location{Code: fmt.Sprint("n", i)}, 0)
			return err
		},
		"price list": func(i int) error {
			_, _, err := s.PutPriceList(h.ctx, pim.PriceList{Code: fmt.Sprint("n", i)}, 0)
			return err
		},
		"association type": func(i int) error {
			_, _, err := s.PutAssociationType(h.ctx, pim.AssociationType{Code: fmt.Sprint("n", i)}, 0)
			return err
		},
		"reference entity": func(i int) error {
			_, _, err := s.PutReferenceEntity(h.ctx, pim.ReferenceEntity{Code: fmt.Sprint("n", i)}, 0)
			return err
		},
		"glance": func(int) error { _, err := s.RefreshSchema(h.ctx); return err },
	}
	r.take()
	for what, do := range changes {
		var statements []int
		for i := range 6 {
			if err := do(i); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			whole, all := r.take()
			if whole != 0 {
				t.Errorf("%s %d reads all of the schema %d times", what, i, whole)
			}
			statements = append(statements, all)
		}
		if statements[0] == 0 || slices.Max(statements) != slices.Min(statements) {
			t.Errorf("%s: statements %v", what, statements)
		}
		if _, err := h.ChangeSchema(h.ctx, SchemaChange{}); err != nil { // as somebody else
			t.Fatal(err)
		}
		if err := do(6); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if whole, _ := r.take(); whole != 1 {
			t.Errorf("%s reads the schema %d times that somebody else has changed", what, whole)
		}
	}
}
