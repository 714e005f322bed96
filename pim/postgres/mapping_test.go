package postgres

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sluicehub/sluice/pim"
)

// TestMappingsAreKept: a version for each change, none without one, the newest
// 200, and which of them was in force when.
func TestMappingsAreKept(t *testing.T) {
	t.Parallel()
	s := newHouse(t)
	ch := s.channel("shop")
	other := s.channel("other")
	change := func(i int) {
		t.Helper()
		ch.Mapping, ch.Actor, ch.Note = json.RawMessage(fmt.Sprintf(`{"content":{"sku":"'%d'"}}`, i)), "me", fmt.Sprint("note ", i)
		var err error
		if ch, err = s.UpdateChannel(t.Context(), *ch); err != nil {
			t.Fatal(err)
		}
	}
	change(2)
	change(2)
	at, err := s.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	change(3)
	list, err := s.MappingsAt(t.Context(), ch.ID, at)
	if err != nil || len(list) != 2 || list[0].Version != 2 || list[0].Note != "note 2" || list[1].Version != 1 {
		t.Fatal(list, err)
	}
	if list, err = s.MappingsAt(t.Context(), ch.ID, at.Add(-24*time.Hour)); err != nil || len(list) != 0 {
		t.Error(list, err)
	}
	for i := 4; i <= keptMappings+3; i++ {
		change(i)
	}
	seen, page := 0, Page{Limit: 150}
	for {
		list, next, err := s.Mappings(t.Context(), ch.ID, page)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range list {
			if v.Version != int64(keptMappings+3-seen) {
				t.Errorf("version %d at %d", v.Version, seen)
			}
			seen++
		}
		if page.After = next; next == "" {
			break
		}
	}
	if seen != keptMappings {
		t.Errorf("%d versions are kept", seen)
	}
	if _, err := s.Mapping(t.Context(), ch.ID, 3); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if v, err := s.Mapping(t.Context(), other.ID, 1); err != nil || v.Version != 1 {
		t.Error(v, err)
	}
}

// TestSurvey: what is surveyed is what would be claimed, page by page.
func TestSurvey(t *testing.T) {
	t.Parallel()
	s := newHouse(t)
	ch := s.channel("shop")
	family := testSchema.Families[0].Code
	for i := range 5 {
		s.do(Edit{SKU: pim.SKU(fmt.Sprint("S-", i)), Mode: Merge, Family: &family})
	}
	seen, page := []pim.SKU{}, Page{Limit: 2}
	for turn := 0; turn < 10; turn++ {
		survey, err := s.Survey(t.Context(), ch.ID, ProductFilter{SKUPrefix: "S-"}, page)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range survey.Items {
			if v.Lane != pim.AllLanes[i%3] || v.Listed || !v.Dirty || (v.Values != nil) != (v.Lane == pim.Content) || v.Want != 1 || v.Gone {
				t.Errorf("%+v", v)
			}
			if v.Lane == pim.Content {
				seen = append(seen, v.SKU)
			}
		}
		if page.After = survey.Next; page.After == "" {
			break
		}
	}
	if fmt.Sprint(seen) != "[S-0 S-1 S-2 S-3 S-4]" {
		t.Error(seen)
	}
	if _, err := s.SurveyOne(t.Context(), ch.ID, "S-9"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}
