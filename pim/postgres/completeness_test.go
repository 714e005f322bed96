package postgres

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluicehub/sluice/pim"
)

// What a family's products lack is counted as it is told of each of them.
func TestFamilyCompletenessProperty(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.channel("one")
	h.channel("two")
	var locales [2]pim.Locale
	h.one(`select locale from channel where code = 'one'`, &locales[0])
	h.one(`select locale from channel where code = 'two'`, &locales[1])
	leaf := rapid.SampledFrom([]any{nil, "", " \n\u00a0", "x", []any{}, []any{"a"}, json.Number("0"), false, map[string]any{"amount": json.Number("1"), "unit": "kg"}})
	left := 30 // checks: rapid's own number is for cheaper ones
	rapid.Check(t, func(rt *rapid.T) {
		if left--; left < 0 {
			return
		}
		defer func() {
			if rt.Failed() { // it is repeated, and made smaller
				left = math.MaxInt
			}
		}()
		f := pim.Family{Code: "f", Variants: []pim.FamilyVariant{
			{Code: "by", Axes: []string{"a0"}}, {Code: "deep", Levels: []pim.VariantLevel{{Axes: []string{"a0"}, Attributes: []string{"a1"}}, {Axes: []string{"a2"}}}},
		}}
		s := &pim.Schema{Attributes: map[string]*pim.Attribute{}, Families: map[string]*pim.Family{"f": &f}}
		h.exec(`truncate product, family, attribute, completeness, completeness_walk cascade`)
		for i := range 4 {
			a := &pim.Attribute{Code: fmt.Sprint("a", i), Type: pim.TypeText}
			if i != 0 && i != 2 {
				a.Localizable, a.Scopable = rapid.Bool().Draw(rt, "localizable"), rapid.Bool().Draw(rt, "scopable")
			}
			s.Attributes[a.Code] = a
			fa := pim.FamilyAttribute{Code: a.Code, Required: rapid.Bool().Draw(rt, "required")}
			if rapid.Bool().Draw(rt, "for") {
				fa.RequiredFor = []pim.ChannelCode{rapid.SampledFrom([]pim.ChannelCode{"one", "two", "gone"}).Draw(rt, "channel")}
			}
			f.Attributes = append(f.Attributes, fa)
			h.exec(`insert into attribute values ($1, $2)`, a.Code, mustJSON(a))
		}
		h.exec(`insert into family values ('f', $1)`, mustJSON(f))
		h.exec(`update catalogue set version = version + 1`)
		values := func() pim.Values {
			out := pim.Values{}
			for code, a := range s.Attributes {
				var v any
				at := func() any { return leaf.Draw(rt, "value") }
				perLocale := func() any {
					if !a.Localizable {
						return at()
					}
					m := map[string]any{}
					for _, l := range []string{string(locales[0]), "xx-XX"} {
						if v := at(); v != nil {
							m[l] = v
						}
					}
					return m
				}
				if v = perLocale(); a.Scopable {
					v = map[string]any{"one": v}
				}
				if v != nil {
					out[code] = v
				}
			}
			return out
		}
		want := map[pim.ChannelCode]*ChannelCompleteness{"one": {}, "two": {}}
		missing := map[pim.ChannelCode]map[string]int{"one": {}, "two": {}}
		var rows []string
		tell := func(by string, level int, v pim.Values) {
			for i, channel := range []pim.ChannelCode{"one", "two"} {
				c := s.Completeness("f", by, level, v, channel, locales[i])
				rows = append(rows, fmt.Sprintf("%s %d %d %d", channel, c.Required, len(c.Missing), int(math.Round(100*c.Share()))))
				w := want[channel]
				if w.Products++; c.Complete() {
					w.Complete++
				}
				if w.Share++; c.Required > 0 {
					w.Share -= float64(c.Required-c.Filled) / float64(c.Required)
				}
				for _, code := range c.Missing {
					missing[channel][code]++
				}
			}
		}
		var root, sub int64
		var theirs, between pim.Values
		add := func(sku, by string, parent int64, own pim.Values) (id int64) {
			h.one(fmt.Sprintf(`insert into product (sku, family, family_variant, parent_id, values) values ('%s', 'f', nullif('%s', ''), nullif(%d, 0), '%s') returning id`,
				sku, by, parent, mustJSON(own)), &id)
			return id
		}
		for i := range rapid.IntRange(0, 6).Draw(rt, "products") {
			own, sku := values(), fmt.Sprint("p", i)
			switch by := rapid.SampledFrom([]string{"plain", "root", "sub", "variant", "below"}).Draw(rt, "level"); {
			case by == "root":
				by = rapid.SampledFrom([]string{"by", "deep"}).Draw(rt, "family variant")
				root, theirs = add(sku, by, 0, own), own
				tell(by, 0, own)
			case by == "variant" && root != 0:
				add(sku, "", root, own)
				tell("", 0, pim.MergeVariant(theirs, own))
			case by == "sub" && root != 0:
				sub, between = add(sku, "deep", root, own), pim.MergeVariant(theirs, own)
				tell("deep", 1, between)
			case by == "below" && sub != 0:
				add(sku, "", sub, own)
				tell("", 0, pim.MergeVariant(between, own))
			default:
				add(sku, "", 0, own)
				tell("", 0, own)
			}
		}
		got, err := h.FamilyCompleteness(h.ctx, "f", nil, nil)
		if err != nil || len(got) != 2 {
			rt.Fatal(got, err)
		}
		for _, c := range got {
			w := want[c.Channel]
			mean := 1.0
			if w.Products > 0 {
				mean = w.Share / float64(w.Products)
			}
			counts := map[string]int{}
			for _, m := range c.Missing {
				counts[m.Attribute] = m.Products
			}
			if c.Products != w.Products || c.Complete != w.Complete || math.Abs(c.Share-mean) > 1e-9 || fmt.Sprint(counts) != fmt.Sprint(missing[c.Channel]) ||
				!slices.IsSortedFunc(c.Missing, func(a, b MissingOfFamily) int { return b.Products - a.Products }) {
				rt.Fatalf("%+v, wanted %+v, mean %v, missing %v", c, w, mean, missing[c.Channel])
			}
		}
		h.weighed()
		var kept []string
		h.one(`select coalesce(array_agg(concat_ws(' ', c.code, k.required, k.missing, k.share) order by k.product_id, c.code), '{}') from completeness k join channel c on c.id = k.channel_id`, &kept)
		if !slices.Equal(kept, rows) {
			rt.Fatalf("kept %q, wanted %q", kept, rows)
		}
		if only, err := h.FamilyCompleteness(h.ctx, "f", []pim.ChannelCode{"two"}, nil); err != nil || len(only) != 1 || only[0].Channel != "two" {
			rt.Fatal(only, err)
		}
	})
	if _, err := h.FamilyCompleteness(h.ctx, "none", nil, nil); err == nil {
		t.Error("a family that is not there lacks nothing")
	}
}
