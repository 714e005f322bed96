package postgres

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluicehub/sluice/pim"
)

// Rules and lists are refused by those that they touch exactly where a book of all of
// them could not be made.
func TestRulesAreMadeOfOthers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	told := func(err error) string {
		if err == nil {
			return ""
		}
		return strings.Join(problemsOf(err), " ")
	}
	codes := []string{"default", "a", "b", "c"}
	rapid.Check(t, func(t *rapid.T) {
		if _, err := h.Pool().Exec(h.ctx, `delete from price_rule`); err != nil {
			t.Fatal(err)
		}
		lists, rules := map[string]pim.PriceList{}, map[string]pim.PriceRule{}
		for _, code := range codes {
			lists[code] = pim.PriceList{Code: code}
			if _, _, err := h.PutPriceList(h.ctx, lists[code], 0); err != nil {
				t.Fatal(err)
			}
		}
		code := rapid.SampledFrom(codes)
		possible := func() string {
			_, err := pim.NewPriceBook(slices.Collect(maps.Values(lists)), slices.Collect(maps.Values(rules)))
			return told(err)
		}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			var got string
			if rapid.IntRange(0, 2).Draw(t, "what") > 0 {
				on := rapid.IntRange(0, 3).Draw(t, "enabled") > 0
				r := pim.PriceRule{Code: rapid.SampledFrom([]string{"q", "r", "s", "t"}).Draw(t, "rule"), PriceList: code.Draw(t, "list"), Percent: "1", Enabled: &on}
				if rapid.Bool().Draw(t, "margin") {
					r.Margin = &pim.PriceMargin{PriceList: code.Draw(t, "cost"), Percent: "1"}
				}
				was, had := rules[r.Code]
				_, _, err := h.PutPriceRule(h.ctx, r, 0)
				got, rules[r.Code] = told(err), r
				if want := possible(); (got == "") != (want == "") || strings.HasPrefix(want, "price_list.base") != strings.HasPrefix(got, "price_list.base") {
					t.Fatalf("%+v: %q, and of all rules %q", r, got, want)
				}
				if got != "" {
					if rules[r.Code] = was; !had {
						delete(rules, r.Code)
					}
				}
				continue
			}
			l := pim.PriceList{Code: code.Draw(t, "list"), Base: code.Draw(t, "base")}
			was := lists[l.Code]
			_, _, err := h.PutPriceList(h.ctx, l, 0)
			got, lists[l.Code] = told(err), l
			if want := possible(); l.Base != l.Code && (got == "") != (want == "") {
				t.Fatalf("%+v: %q, and of all rules %q", l, got, want)
			}
			if got != "" {
				lists[l.Code] = was
			}
		}
	})
}
