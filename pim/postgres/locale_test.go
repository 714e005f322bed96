package postgres

import (
	"slices"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/pim"
)

// A changed fallback has the listings of the channels looked at again that show
// something else by it, and of no others.
func TestFallbackOnTheRoad(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	set := func(l, to pim.Locale) error {
		_, err := h.ChangeSchema(h.ctx, SchemaChange{Locales: []pim.Locale{l}, Fallbacks: map[pim.Locale]pim.Locale{l: to}})
		return err
	}
	for _, l := range []pim.Locale{"de-AT", "de-CH", "fr-FR"} {
		if err := set(l, ""); err != nil {
			t.Fatal(err)
		}
	}
	h.do(thing("A", Put, `{"name":{"de-DE":"a"}}`))
	l := h.lease(Consumer{Kind: Fanout})
	for code, in := range map[pim.ChannelCode]struct {
		locale  pim.Locale
		mapping string
	}{"german": {"de-DE", "{}"}, "austrian": {"de-AT", "{}"}, "swiss": {"de-CH", "{}"}, "french": {"fr-FR", "{}"}, "both": {"fr-FR", `{"content":{"x":"text('name', 'de-AT')"}}`}} {
		c := h.channel(code)
		h.exec(`update channel set locale = $2, mapping = $3 where id = $1`, c.ID, in.locale, []byte(in.mapping))
	}
	marked := func() string {
		h.fanOut(l)
		rows, err := h.pool.Query(h.ctx, `select distinct c.code from listing l join channel c on c.id = l.channel_id where l.dirty order by 1`)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		var codes []string
		for rows.Next() {
			var code string
			if err := rows.Scan(&code); err != nil {
				t.Fatal(err)
			}
			codes = append(codes, code)
		}
		h.exec(`update listing set dirty = false`)
		return strings.Join(codes, " ")
	}
	if got := marked(); got != "austrian both french german swiss" {
		t.Fatalf("new channels: %s", got)
	}
	for _, c := range []struct {
		locale, to pim.Locale
		want       string
	}{
		{"de-AT", "de-DE", "austrian both"},
		{"de-AT", "de-DE", ""},
		{"de-CH", "de-AT", "both swiss"},
		{"de-AT", "en-GB", "austrian both swiss"},
		{"de-AT", "", "austrian both swiss"},
	} {
		if err := set(c.locale, c.to); err != nil {
			t.Fatal(err)
		}
		if got := marked(); got != c.want {
			t.Errorf("%s → %s: %s, want %s", c.locale, c.to, got, c.want)
		}
	}
	if err := set("de-AT", "de-CH"); !strings.HasPrefix(refusal(err), "locale.cycle /fallbacks/de-AT") {
		t.Error(refusal(err))
	}
	if chain := h.Schema().Chain("de-CH"); !slices.Equal(chain, []pim.Locale{"de-CH", "de-AT"}) {
		t.Error(chain)
	}
	// The text of a fallback is the channel's business, too.
	h.do(thing("A", Patch, `{"name":{"de-DE":"b"}}`))
	if got := marked(); !strings.Contains(got, "austrian") {
		t.Errorf("a changed text is looked at on %s", got)
	}
}
