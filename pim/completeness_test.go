package pim

import (
	"slices"
	"testing"
)

func TestCompleteness(t *testing.T) {
	t.Parallel()
	s := testSchema() // requires name per locale, slogan per channel and locale, images
	for _, c := range []struct {
		values  string
		filled  int
		missing []string
		share   float64
	}{
		{`{}`, 0, []string{"name", "slogan", "images"}, 0},
		{`{"name":{"de-DE":"x"},"slogan":{"erp":{"en-GB":"x"}},"images":[]}`, 0, []string{"name", "slogan", "images"}, 0},
		{`{"name":{"en-GB":" \n"},"slogan":{"shop":{"en-GB":"x"}},"images":"a"}`, 2, []string{"name"}, 0.66},
		{`{"name":{"en-GB":"x"},"slogan":{"shop":{"en-GB":"x"}},"images":["a"],"title":"y"}`, 3, nil, 1},
	} {
		got := s.Completeness("all", "", 0, mustValues(t, c.values), "shop", "en-GB")
		if got.Filled != c.filled || got.Required != 3 || !slices.Equal(got.Missing, c.missing) || got.Share() != c.share || got.Complete() != (c.share == 1) {
			t.Errorf("%s: %+v, %v", c.values, got, got.Share())
		}
	}
	if got := s.Completeness("none", "", 0, nil, "shop", "en-GB"); got.Required != 0 || got.Share() != 1 {
		t.Error("an unknown family requires something")
	}
}

// What is required on one channel is not on another; the axes of a parent's family
// variant are its variants' to have.
func TestCompletenessByChannelAndLevel(t *testing.T) {
	t.Parallel()
	s := &Schema{
		Attributes: map[string]*Attribute{"name": {Code: "name", Type: TypeText}, "ean": {Code: "ean", Type: TypeText}, "colour": {Code: "colour", Type: TypeText}},
		Families: map[string]*Family{"shirt": {
			Code: "shirt", Variants: []FamilyVariant{{Code: "by-colour", Axes: []string{"colour"}}},
			Attributes: []FamilyAttribute{{Code: "name", Required: true}, {Code: "ean", RequiredFor: []ChannelCode{"market"}}, {Code: "colour", Required: true}},
		}},
	}
	for _, c := range []struct {
		channel ChannelCode
		by      string
		missing []string
	}{
		{"shop", "", []string{"colour"}},
		{"market", "", []string{"ean", "colour"}},
		{"", "", []string{"colour"}},
		{"market", "by-colour", []string{"ean"}},
	} {
		if got := s.Completeness("shirt", c.by, 0, Values{"name": "x"}, c.channel, "en-GB"); !slices.Equal(got.Missing, c.missing) {
			t.Errorf("%s %s: %+v", c.channel, c.by, got)
		}
	}
}
