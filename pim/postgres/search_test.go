package postgres

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/pim"
)

// indexed follows the log to its end. Its end is where no transaction is open
// any more: other tests share the server, so it asks until it has seen p.
func (h *house) indexed() {
	h.Helper()
	var end string
	h.one(`select coalesce(max(xid)::text, '0') from (select xid from event order by xid desc limit 1) e`, &end)
	for most := 0; ; most = 2 {
		did, err := h.IndexSearch(h.ctx, most)
		if err != nil {
			h.Fatal(err)
		}
		var there bool
		if err := h.pool.QueryRow(h.ctx, `select xid >= $1::text::xid8 and walk_after is null from search_state`, end).Scan(&there); err != nil {
			h.Fatal(err)
		}
		if there && !did.More {
			return
		}
	}
}

func (h *house) search(text string, l pim.Locale, f ProductFilter) string {
	h.Helper()
	var skus []string
	for page := (Page{Limit: 2}); ; {
		hits, next, err := h.Search(h.ctx, Search{text, l}, f, page)
		if err != nil {
			h.Fatalf("search %q: %v", text, err)
		}
		for _, hit := range hits {
			skus = append(skus, string(hit.SKU))
		}
		if page.After = next; next == "" {
			return strings.Join(skus, " ")
		}
	}
}

func TestSearch(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.do(parent("PARENT"))
	h.do(thing("PARENT", Patch, `{"name":{"en-GB":"Garden chairs","de-DE":"Gartenstühle"}}`),
		thing("L-1", Put, `{"name":{"en-GB":"Desk lamp, lamps for desks","de-DE":"Schreibtischlampe"},"gtin":"0012345678905"}`),
		thing("L-10", Put, `{"name":{"en-GB":"Table lamp"},"colour":"Vermilion","tag":{}}`),
		thing("X", Put, `{"name":{"en-GB":"The lamp"},"count":7}`))
	h.do(variant("VAR", "PARENT", `{"colour":"teal"}`))
	h.indexed()
	for query, want := range map[string]string{
		"l-1":               "L-1 L-10", // the SKU itself, then those that begin so
		"L-10":              "L-10",
		"0012345678905":     "L-1",
		"12345678905":       "L-1",
		"00012345678905":    "L-1",
		"00123":             "L-1",
		"desk lamps":        "L-1",
		"lamp":              "L-1 L-10 X",
		"lam":               "L-1 L-10 X", // the beginning of a word
		"the lamp":          "L-1 L-10 X", // a word that says nothing
		"vermillion lamp":   "L-10",       // a typing error
		"dsek lmap":         "L-1",        // short words, too
		"chair":             "PARENT VAR", // what it inherits
		"teal chair":        "VAR",
		"desk-lam":          "L-1", // words that are written together are whole ones, but for the last
		"des-lamp":          "",
		"schreibtischlampe": "", // is German
		"nothing":           "",
		"%":                 "",
		"'":                 "",
		"lamp & | ! ( :* '": "L-1 L-10 X",
	} {
		got := h.search(query, "en-GB", ProductFilter{})
		if query == "lamp" || query == "lam" || query == "the lamp" || strings.HasPrefix(query, "lamp &") {
			if !strings.HasPrefix(got, "L-1 ") || len(got) != len(want) { // L-1 has the word more often; the others as often
				t.Errorf("%s: %q, want %q", query, got, want)
			}
			continue
		}
		if got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	for query, want := range map[string]string{"Schreibtischlampen": "L-1", "gartenstuhl": "PARENT VAR", "lamp": "", "teal": "VAR"} {
		if got := h.search(query, "de-DE", ProductFilter{}); got != want {
			t.Errorf("in German, %s: %q, want %q", query, got, want)
		}
	}
	if got := h.search("lamp", "en-GB", ProductFilter{Sort: []SortKey{{By: "sku", Down: true}}}); got != "X L-10 L-1" {
		t.Errorf("sorted: %q", got)
	}
	where, err := pim.ParseFilter("values.colour starts with verm")
	if err != nil {
		t.Fatal(err)
	}
	if got := h.search("lamp", "en-GB", ProductFilter{Where: where}); got != "L-10" {
		t.Errorf("filtered: %q", got)
	}
	for _, bad := range []string{"x", "7", "WyJtYXRjaCIsIjEiLCJ4IiwiMSJd"} {
		if _, _, err := h.Search(h.ctx, Search{"lamp", "en-GB"}, ProductFilter{}, Page{After: bad}); problemsOf(err)[0] != "cursor /cursor" {
			t.Errorf("cursor %q: %v", bad, err)
		}
	}

	// What changes is found by what it is now: of variants, too.
	h.do(thing("PARENT", Patch, `{"name":{"en-GB":"Bench"}}`), thing("X", Patch, `{"name":{"en-GB":"Torch"}}`), Edit{SKU: "L-10", Mode: Delete})
	h.indexed()
	for query, want := range map[string]string{"chair": "", "bench": "PARENT VAR", "lamp": "L-1", "torch": "X", "L-10": ""} {
		if got := h.search(query, "en-GB", ProductFilter{}); got != want {
			t.Errorf("later, %s: %q, want %q", query, got, want)
		}
	}
	if did, err := h.IndexSearch(h.ctx, 0); err != nil || did.More {
		t.Error("there is always more", err)
	}
	// And by what attributes mean now.
	h.ok(h.ChangeSchema(h.ctx, SchemaChange{
		Attributes: []pim.Attribute{{Code: "picture", Type: pim.TypeMedia}, {
			Code: "material", Type: pim.TypeOption,
			Options: []pim.Option{{Code: "oak", Labels: map[pim.Locale]string{"en-GB": "Oak wood", "de-DE": "Eiche"}}},
		}},
		Families: []pim.Family{{Code: "wooden", Attributes: []pim.FamilyAttribute{{Code: "material"}}}},
	}))
	h.do(Edit{SKU: "W", Mode: Put, Family: ptr("wooden"), Values: values(`{"material":"oak"}`)})
	h.indexed()
	if got := h.search("wood", "en-GB", ProductFilter{}) + h.search("eiche", "de-DE", ProductFilter{}) + h.search("eiche", "en-GB", ProductFilter{}); got != "WW" {
		t.Errorf("labels: %q", got)
	}
}

// Two processes follow the log at once: one does, the other goes away.
func TestSearchIsFollowedByOne(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	tx, err := h.pool.Begin(h.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(h.ctx, `select from search_state for update`); err != nil {
		t.Fatal(err)
	}
	if did, err := h.IndexSearch(h.ctx, 0); did.More || err != nil {
		t.Error(did, err)
	}
	if err := tx.Rollback(h.ctx); err != nil {
		t.Fatal(err)
	}
}

func TestFacets(t *testing.T) {
	t.Parallel()
	h := finding(t)
	h.indexed()
	f, err := h.Facets(h.ctx, nil, ProductFilter{}, []string{"family", "category", "values.hue", "values.tags"})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(*f); got != "{4 false [{family [{find 4}]} {category [{lamps 1} {sale 1}]} {values.hue [{blue 1} {red 1}]} {values.tags [{blue 1} {red 1}]}]}" {
		t.Error(got)
	}
	if f, err = h.Facets(h.ctx, &Search{"lamp", "en-GB"}, ProductFilter{}, []string{"family"}); err != nil || fmt.Sprint(*f) != "{2 false [{family [{find 2}]}]}" {
		t.Error(f, err)
	}
	for _, bad := range []string{"sku", "values.name", "values.nope", "values.hue.shop", "x y"} {
		if _, err := h.Facets(h.ctx, nil, ProductFilter{}, []string{bad}); !isFilterError(err) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func isFilterError(err error) bool {
	_, ok := errors.AsType[*pim.FilterError](err)
	return ok
}
