package jobs_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// A variant that moves below a sub-model which is not on a channel leaves it, in all
// lanes, and comes back whole when it moves again: also where only its offer tells
// that none is left.
func TestVariantMovesOutAndBack(t *testing.T) {
	t.Parallel()
	for _, away := range []string{"disabled", "not published"} {
		for _, policy := range []pim.Withdrawal{"", pim.WithdrawDisable, pim.WithdrawZeroStock} {
			t.Run(fmt.Sprintf("%s, policy %s", away, policy), func(t *testing.T) {
				t.Parallel()
				r, fake := withTwoLevels(t, policy)
				if away == "disabled" {
					r.enable("blue", false)
				} else {
					r.publish("blue", "shop", time.Hour, 0)
				}
				r.settled("shop")
				move := func(to pim.SKU) []string {
					before := len(sent(fake, "V"))
					r.edit(postgres.Edit{SKU: "V", Mode: postgres.Patch, Parent: &to})
					r.settled("shop")
					told := sent(fake, "V")[before:]
					slices.Sort(told)
					return told
				}
				leaves, back := "[content withdraw]", "[content upsert media upsert offer upsert]"
				switch policy {
				case pim.WithdrawDisable:
					leaves = "[content disable]"
				case pim.WithdrawZeroStock:
					leaves, back = "[offer sell_out]", "[content upsert offer upsert]"
				}
				if told := fmt.Sprint(move("blue")); told != leaves {
					t.Errorf("told %s when it left, want %s", told, leaves)
				}
				if told := fmt.Sprint(move("red")); told != back {
					t.Errorf("told %s when it came back, want %s", told, back)
				}
				if l, ok := fake.Listing("V", pim.Offer); !ok || string(l.Document) != `{"currency":"EUR","price":"9.99","stock":5}` {
					t.Errorf("it came back as %s", l.Document)
				}
			})
		}
	}
}

// What leaves the channel by a move is sold out there before all that waits, as what
// is disabled is.
func TestVariantMovedAwayIsSoldOut(t *testing.T) {
	t.Parallel()
	for how, leave := range map[string]func(*road){
		"disabled":      func(r *road) { r.enable("blue", false) },
		"not published": func(r *road) { r.publish("blue", "shop", time.Hour, 0) },
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			r, fake := withTwoLevels(t, pim.WithdrawZeroStock)
			leave(r)
			r.settled("shop")
			r.update("shop", func(s *jobs.ChannelSpec) {
				s.Policy.Withdrawal, s.Policy.Flow.Windows, s.Policy.Flow.DebounceSeconds = pim.WithdrawZeroStock, []pim.Window{shut()}, 60
			})
			r.edit(postgres.Edit{SKU: "V", Mode: postgres.Patch, Parent: new(pim.SKU("blue"))})
			r.wait(fake, func(s webhooktest.State) bool { return s.SoldOut("V") })
		})
	}
}

// A new variant shows the pictures that it has from the models above it.
func TestNewVariantShowsInheritedPictures(t *testing.T) {
	t.Parallel()
	r, fake := withTwoLevels(t, "")
	shirt := "shirt"
	add := func(sku, parent pim.SKU, values pim.Values) {
		t.Helper()
		r.edit(postgres.Edit{SKU: sku, Mode: postgres.Merge, Family: &shirt, Parent: &parent, Values: values})
		r.settled("shop")
	}
	shows := func(sku pim.SKU, want string) {
		t.Helper()
		if l, _ := fake.Listing(sku, pim.Media); !strings.Contains(string(l.Document), want) {
			t.Errorf("%s shows %s, not %s", sku, l.Document, want)
		}
	}
	r.edit(postgres.Edit{SKU: "red", Mode: postgres.Patch, Values: pim.Values{"picture": []any{"red.jpg"}}})
	r.settled("shop")
	add("W", "red", pim.Values{"size": "l"})
	shows("W", "red.jpg")
	r.edit(postgres.Edit{SKU: "R", Mode: postgres.Patch, Values: pim.Values{"picture": []any{"shirt.jpg"}}})
	r.settled("shop")
	add("X", "blue", pim.Values{"size": "l"})
	shows("X", "shirt.jpg")
	r.edit(postgres.Edit{SKU: "S", Mode: postgres.Merge, Family: new("thing"), FamilyVariant: new("by-colour"), Values: pim.Values{"picture": []any{"one.jpg"}}})
	r.settled("shop")
	r.edit(postgres.Edit{SKU: "S-1", Mode: postgres.Merge, Family: new("thing"), Parent: new(pim.SKU("S")), Values: pim.Values{"colour": "red"}})
	r.settled("shop")
	shows("S-1", "one.jpg")
}

// withTwoLevels is a road with a channel that withdraws by policy, and on it V, which
// is sold and has a picture, below the sub-model red of R, which has another, blue.
func withTwoLevels(t *testing.T, policy pim.Withdrawal) (*road, *webhooktest.Server) {
	t.Helper()
	r := newRoad(t)
	family := pim.Family{Code: "shirt", Attributes: []pim.FamilyAttribute{{Code: "name"}, {Code: "colour"}, {Code: "size"}, {Code: "picture"}}, Variants: []pim.FamilyVariant{
		{Code: "two", Levels: []pim.VariantLevel{{Axes: []string{"colour"}}, {Axes: []string{"size"}}}},
	}}
	if _, err := r.store.ChangeSchema(r.ctx, postgres.SchemaChange{Attributes: []pim.Attribute{{Code: "size", Type: pim.TypeText}}, Families: []pim.Family{family}}); err != nil {
		t.Fatal(err)
	}
	fake := r.channel("shop", webhooktest.Options{}, func(s *jobs.ChannelSpec) { s.Policy.Withdrawal = policy })
	r.work()
	for _, e := range []struct {
		sku, parent pim.SKU
		values      pim.Values
	}{
		{"R", "", title("Shirt")},
		{"red", "R", pim.Values{"colour": "red"}},
		{"blue", "R", pim.Values{"colour": "blue"}},
		{"V", "red", pim.Values{"size": "m", "picture": []any{"a.jpg"}}},
	} {
		edit := postgres.Edit{SKU: e.sku, Mode: postgres.Merge, Family: &family.Code, Values: e.values}
		if e.parent != "" {
			edit.Parent = &e.parent
		} else {
			edit.FamilyVariant = &family.Variants[0].Code
		}
		r.edit(edit)
	}
	r.offer("V", "9.99", 5)
	r.settled("shop")
	return r, fake
}
