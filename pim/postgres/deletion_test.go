package postgres

import (
	"errors"
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
