package postgres

import (
	"errors"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/pim"
)

// deletions are those of whatever is held under a code with a revision.
func (h *house) deletions() map[string]func(code string, ifMatch int64) error {
	return map[string]func(code string, ifMatch int64) error{
		"asset":            func(c string, rev int64) error { return h.DeleteAsset(h.ctx, c, rev) },
		"association type": func(c string, rev int64) error { return h.DeleteAssociationType(h.ctx, c, rev) },
		"attribute":        func(c string, rev int64) error { return h.DeleteAttribute(h.ctx, c, rev) },
		"attribute group":  func(c string, rev int64) error { return h.DeleteGroup(h.ctx, c, rev) },
		"category":         func(c string, rev int64) error { return h.DeleteCategory(h.ctx, c, rev) },
		"channel":          func(c string, rev int64) error { return h.DeleteChannel(h.ctx, pim.ChannelCode(c), rev) },
		"family":           func(c string, rev int64) error { return h.DeleteFamily(h.ctx, c, rev) },
		"import profile":   func(c string, rev int64) error { return h.DeleteImportProfile(h.ctx, c, rev) },
		"locale":           func(c string, rev int64) error { return h.DeleteLocale(h.ctx, pim.Locale(c), rev) },
		"location":         func(c string, rev int64) error { return h.DeleteLocation(h.ctx, c, rev) },
		"notifier":         func(c string, rev int64) error { return h.DeleteNotifier(h.ctx, c, rev) },
		"price list":       func(c string, rev int64) error { return h.DeletePriceList(h.ctx, c, rev) },
		"price rule":       func(c string, rev int64) error { return h.DeletePriceRule(h.ctx, c, rev) },
		"provider":         func(c string, rev int64) error { return h.DeleteProvider(h.ctx, c, rev) },
		"reference entity": func(c string, rev int64) error { return h.DeleteReferenceEntity(h.ctx, c, rev) },
		"rendition":        func(c string, rev int64) error { return h.DeleteRenditionDefinition(h.ctx, c, rev) },
		"text rule":        func(c string, rev int64) error { return h.DeleteTextRule(h.ctx, c, rev) },
	}
}

// Who deletes what stood at a revision is told that it stands at no such revision any
// more, also where somebody else was faster in deleting it, and before who uses it.
func TestDeletionsTellWhatIsStale(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for what, do := range h.deletions() {
		if err := do("gone", 7); !errors.Is(err, ErrStale) {
			t.Errorf("%s at a revision: %v", what, err)
		}
		if err := do("gone", 0); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	h.do(thing("P", Put, `{}`))
	if _, err := h.PutCategories(h.ctx, []pim.CategoryEdit{{Code: "home"}, {Code: "lamps", Parent: "home"}}); err != nil {
		t.Fatal(err)
	}
	for what, code := range map[string]string{"attribute": "name", "family": "thing", "category": "home", "location": "default", "price list": "default"} {
		do := h.deletions()[what]
		if err := do(code, 0); !errors.Is(err, ErrInUse) {
			t.Errorf("%s: %v", what, err)
		}
		if err := do(code, 99); !errors.Is(err, ErrStale) {
			t.Errorf("%s that is in use, at a revision that it has not: %v", what, err)
		}
	}
}

// What is made again under the code of what was deleted is another thing: no revision
// of the one before is ever its own.
func TestRevisionsGoOnAfterDeletion(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	if _, _, err := h.PutPriceList(h.ctx, pim.PriceList{Code: "trade", Base: "default"}, 0); err != nil {
		t.Fatal(err)
	}
	schema := func(c SchemaChange) error {
		_, err := h.ChangeSchema(h.ctx, c)
		return err
	}
	makes := map[string]func(code, label string) error{
		"association type": func(c, label string) error {
			_, _, err := h.PutAssociationType(h.ctx, pim.AssociationType{Code: c, Labels: map[pim.Locale]string{"en-GB": label}}, 0)
			return err
		},
		"attribute": func(c, label string) error {
			return schema(SchemaChange{Attributes: []pim.Attribute{{Code: c, Type: pim.TypeText, Labels: map[pim.Locale]string{"en-GB": label}}}})
		},
		"attribute group": func(c, label string) error {
			return schema(SchemaChange{Groups: []pim.AttributeGroup{{Code: c, Labels: map[pim.Locale]string{"en-GB": label}}}})
		},
		"category": func(c, label string) error {
			_, err := h.PutCategories(h.ctx, []pim.CategoryEdit{{Code: c, Labels: map[pim.Locale]string{"en-GB": label}}})
			return err
		},
		"channel": func(c, label string) error {
			ch, err := h.Channel(h.ctx, pim.ChannelCode(c))
			if errors.Is(err, ErrNotFound) {
				h.channel(pim.ChannelCode(c))
				return nil
			}
			if err != nil {
				return err
			}
			ch.Test, ch.Batch = false, ch.Batch+1
			_, err = h.UpdateChannel(h.ctx, *ch)
			return err
		},
		"family": func(c, label string) error {
			return schema(SchemaChange{Families: []pim.Family{{Code: c, Labels: map[pim.Locale]string{"en-GB": label}}}})
		},
		"import profile": func(c, label string) error {
			_, err := h.PutImportProfile(h.ctx, c, mustJSON(map[string]string{"family": label}), 0)
			return err
		},
		"locale": func(c, label string) error {
			return schema(SchemaChange{Locales: []pim.Locale{pim.Locale(c)}, Fallbacks: map[pim.Locale]pim.Locale{pim.Locale(c): map[string]pim.Locale{"a": "en-GB", "b": "de-DE"}[label]}})
		},
		"location": func(c, label string) error {
			_, _, err := h.PutLocation(h.ctx, pim.Location{Code: c, Labels: map[pim.Locale]string{"en-GB": label}}, 0)
			return err
		},
		"notifier": func(c, label string) error {
			n, err := h.Notifier(h.ctx, c)
			if err != nil {
				_, err = h.CreateNotifier(h.ctx, Notifier{Code: c, Kind: "webhook", Config: mustJSON(map[string]string{"url": label})})
				return err
			}
			n.Config = mustJSON(map[string]string{"url": label})
			_, err = h.UpdateNotifier(h.ctx, *n)
			return err
		},
		"price list": func(c, label string) error {
			_, _, err := h.PutPriceList(h.ctx, pim.PriceList{Code: c, Labels: map[pim.Locale]string{"en-GB": label}}, 0)
			return err
		},
		"price rule": func(c, label string) error {
			_, _, err := h.PutPriceRule(h.ctx, pim.PriceRule{Code: c, PriceList: "trade", Percent: pim.Number(map[string]string{"a": "-1", "b": "-2"}[label])}, 0)
			return err
		},
		"provider": func(c, label string) error {
			p, err := h.Provider(h.ctx, c)
			if err != nil {
				_, err = h.CreateProvider(h.ctx, Provider{Code: c, Kind: "deepl"})
				return err
			}
			p.Priority++
			_, err = h.UpdateProvider(h.ctx, *p)
			return err
		},
		"reference entity": func(c, label string) error {
			_, _, err := h.PutReferenceEntity(h.ctx, pim.ReferenceEntity{Code: c, Labels: map[pim.Locale]string{"en-GB": label}}, 0)
			return err
		},
		"rendition": func(c, label string) error {
			_, err := h.PutRenditionDefinition(h.ctx, RenditionDefinition{Code: c, Definition: mustJSON(map[string]string{"x": label}), Spec: []byte(label)}, 0)
			return err
		},
		"text rule": func(c, label string) error {
			_, _, err := h.PutTextRule(h.ctx, TextRule{Code: c, Action: "translate", From: "en-GB", To: []pim.Locale{map[string]pim.Locale{"a": "de-DE", "b": "nl-NL"}[label]}}, 0)
			return err
		},
	}
	for what, remove := range h.deletions() {
		put := makes[what]
		if put == nil {
			if what != "asset" { // it is a file, not a definition
				t.Errorf("%s is not made here", what)
			}
			continue
		}
		code := "x"
		if what == "locale" {
			code = "fr-CA"
		}
		table, column := what, "rev"
		switch what {
		case "channel", "notifier", "provider":
			column = "version"
		case "rendition":
			table = "rendition definition"
		}
		rev := func() int64 {
			t.Helper()
			where := ""
			if what == "channel" {
				where = " and deleted_at is null"
			}
			return h.number(`select ` + column + ` from ` + strings.ReplaceAll(table, " ", "_") + ` where code = '` + code + `'` + where)
		}
		last := int64(0)
		for life := range 3 {
			for _, label := range []string{"a", "b"} {
				if err := put(code, label); err != nil {
					t.Fatal(what, err)
				}
				if now := rev(); now <= last {
					t.Errorf("%s %s in life %d is at revision %d, and was at %d before", what, label, life, now, last)
				} else {
					last = now
				}
			}
			if err := remove(code, rev()); err != nil {
				t.Fatal(what, err)
			}
		}
	}
}

// Who makes a definition while its predecessor is being deleted sees what that leaves.
func TestRevisionGoesOnWhileItIsDeleted(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	if _, err := h.CreateNotifier(h.ctx, Notifier{Code: "x", Kind: "webhook", Config: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	tx := h.begin()
	if _, err := tx.Exec(h.ctx, `delete from notifier where code = 'x'`); err != nil {
		t.Fatal(err)
	}
	type made struct {
		*Notifier
		err error
	}
	done := make(chan made, 1)
	go func() {
		n, err := h.CreateNotifier(h.ctx, Notifier{Code: "x", Kind: "webhook", Config: []byte("{}")})
		done <- made{n, err}
	}()
	h.blocked(1)
	if err := tx.Commit(h.ctx); err != nil {
		t.Fatal(err)
	}
	if m := <-done; m.err != nil || m.Version != 2 {
		t.Errorf("%+v", m)
	}
}

// What the options of an import profile name stays: an import by it would be refused.
func TestImportProfilesKeepWhatTheyName(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.ok(h.ChangeSchema(h.ctx, SchemaChange{
		Locales: []pim.Locale{"it-IT"}, Currencies: []pim.Currency{"CHF", "SEK", "NOK"}, PriceLists: []string{"trade"}, Locations: []string{"north", "south"},
		Families: []pim.Family{{Code: "hats"}},
	}))
	options := `{"locale":"it-IT","currency":"CHF","price_list":"trade","location":"north","family":"hats","map":{"price:SEK":"row.a","sale:NOK":"row.b","stock:south":"row.c","name":"row.d"}}`
	if _, err := h.PutImportProfile(h.ctx, "acme", []byte(options), 0); err != nil {
		t.Fatal(err)
	}
	remove := h.deletions()
	remove["currency"] = func(code string, _ int64) error { return h.DeleteCurrency(h.ctx, pim.Currency(code)) }
	named := [][2]string{{"locale", "it-IT"}, {"currency", "CHF"}, {"currency", "SEK"}, {"currency", "NOK"}, {"price list", "trade"}, {"location", "north"}, {"location", "south"}, {"family", "hats"}}
	for _, n := range named {
		if got := usedBy(remove[n[0]](n[1], 0)); got != "import-profile: import profile acme names it" {
			t.Errorf("%s %s: %s", n[0], n[1], got)
		}
	}
	if err := h.DeleteImportProfile(h.ctx, "acme", 0); err != nil {
		t.Fatal(err)
	}
	for _, n := range named {
		if err := remove[n[0]](n[1], 0); err != nil {
			t.Errorf("%s %s: %v", n[0], n[1], err)
		}
	}
}
