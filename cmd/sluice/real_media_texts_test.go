//go:build real && unix

package main

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// texts are the texts of the store, by SKU, attribute and locale.
func (h *mediaHub) texts(t *testing.T) map[string]string {
	t.Helper()
	rows, err := h.db.Query(t.Context(), `select p.sku || ' ' || a.key || ' ' || l.key, l.value
		from product p, jsonb_each(p.values) a, jsonb_each_text(a.value) l where a.key in ('name', 'description') and p.deleted_at is null`)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	var key, value string
	if _, err := pgx.ForEachRow(rows, []any{&key, &value}, func() error { all[key] = value; return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

func slot(sku, attribute string, l pim.Locale) string { return sku + " " + attribute + " " + string(l) }

var (
	digits  = regexp.MustCompile(`[0-9]+`)
	tags    = regexp.MustCompile(`</?[a-z]+[^>]*>|&[a-z]+;`)
	guarded = regexp.MustCompile(`KETTLE-17|\{name\}|%s|1\.7 l|90 s|1\.25 kg`)
)

func (h *mediaHub) checkTexts(t *testing.T) {
	texts := h.texts(t)
	products := h.products()
	if want := 2 * 3 * len(products); len(texts) != want {
		t.Errorf("%d texts, want %d", len(texts), want)
	}
	var alike []string
	for sku := range products {
		title, description := markedTitle, markedText
		if th := h.sample[sku]; th != nil {
			title, description = th.title, th.text
		}
		for attribute, source := range map[string]string{"name": title, "description": description} {
			if got := texts[slot(sku, attribute, english)]; got != source {
				t.Errorf("%s of %s is %q, want %q", attribute, sku, got, source)
			}
			before := source
			for _, locale := range []pim.Locale{spanish, catalan} {
				got := texts[slot(sku, attribute, locale)]
				if got == "" {
					t.Errorf("%s: no %s in %s", sku, attribute, locale)
				}
				if got == before && attribute == "description" {
					t.Errorf("%s: the description in %s is as it was: %q", sku, locale, got)
				} else if got == before {
					alike = append(alike, string(locale)+" "+got)
				}
				for what, of := range map[string]*regexp.Regexp{"numbers": digits, "tags": tags, "what is protected": guarded} {
					was, is := of.FindAllString(source, -1), of.FindAllString(got, -1)
					if what != "tags" { // words move
						slices.Sort(was)
						slices.Sort(is)
					}
					if !slices.Equal(was, is) {
						t.Errorf("%s: %s in %s has other %s:\n%s\n%s", sku, attribute, locale, what, source, got)
					}
				}
				before = got
			}
		}
		for locale, fake := range h.fakes {
			p, _ := fake.Held(pim.SKU(sku))
			if name, description := texts[slot(sku, "name", locale)], texts[slot(sku, "description", locale)]; p.Name != name || p.Description != description || p.Status != "publish" {
				t.Errorf("%s: the shop in %s has, as %s,\n%q\n%q, want\n%q\n%q", sku, locale, p.Status, p.Name, p.Description, name, description)
			}
		}
	}
	slices.Sort(alike)
	t.Logf("%d titles are as they were: %s", len(alike), strings.Join(alike, ", "))
	if len(alike) > len(products)/2 { // of two locales
		t.Error("that is too many")
	}
	expect(t, h.db, "select count(*) from product_text where state = 'machine' and error is null and proposal is null and not test", len(products)*4)
	expect(t, h.db, "select count(*) from product_text", len(products)*4)
	var usage struct{ Calls, Segments, Refused, Characters int64 }
	h.ask(t, "/v1/providers/apertium/usage", &usage)
	t.Logf("%d texts made of %d segments, %d characters, in %d calls; %d segments refused", 4*len(products), usage.Segments, usage.Characters, usage.Calls, usage.Refused)
	for _, sku := range []string{marked, edited, "laptop"} {
		for _, attribute := range []string{"name", "description"} {
			for _, locale := range []pim.Locale{english, spanish, catalan} {
				t.Logf("%s: %s", slot(sku, attribute, locale), texts[slot(sku, attribute, locale)])
			}
		}
	}
}

// changed compares what changed with the places where something should have.
func (h *mediaHub) changed(t *testing.T, before map[string]string, want ...string) map[string]string {
	t.Helper()
	after := h.texts(t)
	var differs []string
	for _, key := range slices.Sorted(maps.Keys(after)) {
		if before[key] != after[key] {
			differs = append(differs, key)
		}
	}
	slices.Sort(want)
	if len(before) != len(after) || !slices.Equal(differs, want) {
		t.Errorf("texts that changed: %q, want %q", differs, want)
	}
	return after
}

func (h *mediaHub) set(t *testing.T, attribute string, l pim.Locale, value string) {
	t.Helper()
	h.call(t, request{"PATCH", "/v1/products/" + edited, text(t, map[string]any{"values": map[string]any{attribute: map[pim.Locale]string{l: value}}})})
}

// changeSentence adds a sentence to an English description: that field alone is
// translated again, and of it that sentence alone.
func (h *mediaHub) changeSentence(t *testing.T) {
	texts, was := h.texts(t), h.work(t)
	began := time.Now()
	h.set(t, "description", english, texts[slot(edited, "description", english)]+" "+editedSentence)
	took := h.rest(t, began)
	texts = h.changed(t, texts, slot(edited, "description", english), slot(edited, "description", spanish), slot(edited, "description", catalan))
	is := h.work(t)
	diff := map[string]int64{}
	for name, n := range is {
		if n != was[name] && name != "calls" && name != "characters" {
			diff[name] = n - was[name]
		}
	}
	want := map[string]int64{"events": 3, "tasks done": 2, "segments": 2, "rows " + string(english): 1, "rows " + string(spanish): 1, "rows " + string(catalan): 1}
	if d := cmp.Diff(want, diff); d != "" {
		t.Errorf("work (-want +got):\n%s", d)
	}
	for locale, fake := range h.fakes {
		if p, _ := fake.Held(edited); p.Description != texts[slot(edited, "description", locale)] {
			t.Errorf("the shop in %s has %q", locale, p.Description)
		}
	}
	t.Logf("a sentence more: in all shops %s later, %d characters translated", took, is["characters"]-was["characters"])
}

// keepPersons writes a Spanish title by hand, changes the English one, and takes
// over what is proposed then.
func (h *mediaHub) keepPersons(t *testing.T) {
	type known struct{ State, Target, Proposal string }
	look := func(l pim.Locale, want known) known {
		t.Helper()
		var page struct{ Items []known }
		h.ask(t, "/v1/texts?sku="+edited+"&attribute=name&locale="+string(l), &page)
		if len(page.Items) != 1 {
			t.Fatalf("texts in %s: %+v", l, page.Items)
		}
		got := page.Items[0]
		if got.State != want.State || want.Target != "" && got.Target != want.Target || (got.Proposal != "") != (want.Proposal != "") {
			t.Errorf("the title in %s is %+v, want %+v", l, got, want)
		}
		return got
	}
	inShop := func(l pim.Locale, want string) {
		t.Helper()
		if p, _ := h.fakes[l].Held(edited); p.Name != want {
			t.Errorf("the shop in %s has the title %q, want %q", l, p.Name, want)
		}
	}
	texts := h.texts(t)
	h.set(t, "name", spanish, personsTitle)
	h.rest(t, time.Now())
	texts = h.changed(t, texts, slot(edited, "name", spanish), slot(edited, "name", catalan))
	look(spanish, known{State: "reviewed", Target: personsTitle})
	inShop(spanish, personsTitle)
	mine := look(catalan, known{State: "machine"})
	inShop(catalan, mine.Target)

	h.set(t, "name", english, "The big house")
	h.rest(t, time.Now())
	texts = h.changed(t, texts, slot(edited, "name", english))
	proposed := look(spanish, known{State: "outdated", Target: personsTitle, Proposal: "some"})
	inShop(english, "The big house")
	inShop(spanish, personsTitle)
	look(catalan, mine)
	inShop(catalan, mine.Target)

	h.call(t, request{"POST", "/v1/texts/review", text(t, map[string]any{
		"items": []map[string]any{{"sku": edited, "attribute": "name", "locale": spanish, "action": "accept"}},
	})})
	h.rest(t, time.Now())
	h.changed(t, texts, slot(edited, "name", spanish), slot(edited, "name", catalan))
	look(spanish, known{State: "reviewed", Target: proposed.Proposal})
	inShop(spanish, proposed.Proposal)
	t.Logf("%q by a person was outdated by %q, with the proposal %q; in Catalan %q, then %q", personsTitle, "The big house", proposed.Proposal,
		mine.Target, look(catalan, known{State: "machine"}).Target)
}
