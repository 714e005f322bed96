package akeneo_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicehub/sluice/jobs/importing/akeneo"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// told are findings of channels, with their places.
func told(f *akeneo.Folder, codes ...string) (list []string) {
	for _, x := range f.Report() {
		if slices.Contains(codes, x.Code) {
			list = append(list, fmt.Sprintf("%s:%d %s %s %s", x.File, x.Line, strings.TrimSpace(x.SKU+" "+x.Column), x.Code, x.Value))
		}
	}
	return list
}

// The channels of a folder are made in the first of their locales and currencies, below
// their tree. What cannot be made, and what is there already, is not.
func TestChannels(t *testing.T) {
	t.Parallel()
	fsys := small()
	fsys["channels.csv"].Data = []byte("code;label-en_US;locales;currencies;tree\n" +
		"print;Print;de_DE,en_US,fr_FR;USD,EUR;master\nhere;Here;en_US;EUR;master\nPrint Shop;;en_US;EUR;master\nmute;;;EUR;master\npoor;;en_US;;master\nprint;;en_US;EUR;master\nwild;;en_US;EUR;nowhere\n")
	f := open(t, fsys)
	have := &pim.Schema{Channels: map[pim.ChannelCode]bool{"here": true}}
	for range 2 { // looking again tells nothing twice
		f.Change(have)
	}
	want := []akeneo.Channel{
		{Code: "print", Locale: "de-DE", Currency: "USD", CategoryRoot: "master"},
		{Code: "wild", Locale: "en-US", Currency: "EUR"},
	}
	if diff := cmp.Diff(want, f.Channels()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if c := f.Counts; c.Created.Channels != 2 || c.Channels != 6 || c.Created.Locales != 3 || c.Created.Categories != 3 || c.Created.Families != 2 {
		t.Errorf("%+v", c)
	}
	got := told(f, "channel.twice", "channel.code", "channel.locale", "channel.currency", "channel.tree", "akeneo.channel")
	places := []string{
		"channels.csv:7 code channel.twice print", "channels.csv:2 code akeneo.channel print", "channels.csv:4 code channel.code Print Shop",
		"channels.csv:5 locales channel.locale mute", "channels.csv:6 currencies channel.currency poor", "channels.csv:8 tree channel.tree nowhere", "channels.csv:8 code akeneo.channel wild",
	}
	if diff := cmp.Diff(places, got); diff != "" {
		t.Errorf("told (-want +got)\n%s", diff)
	}
	for _, x := range f.Report() {
		if x.Code == "akeneo.channel" && x.Value == "print" && !strings.Contains(x.Text, "For en-US, fr-FR, EUR make further channels, whose mappings read its values by value(code, locale, 'print'): sluice channel create CODE --connector none --locale en-US --currency USD") {
			t.Errorf("print: %s", x.Text)
		}
	}
}

// Values of a channel that is neither in the folder nor in the house are told where
// they stand first, and not taken; their rows are.
func TestValuesForNoChannel(t *testing.T) {
	t.Parallel()
	fsys := small()
	fsys["products.csv"].Data = []byte("sku;enabled;family;name-en_US;text-en_US-print;text-en_US-poster;text-de_DE-here\n" +
		"A;1;shirts;A;printed;;daheim\nB;1;shirts;B;;posted;\nC;1;shirts;C;;posted, too;\n")
	store := house(t)
	importInto(t, store, small())
	if _, err := store.CreateChannel(t.Context(), postgres.Channel{
		Code: "here", Connector: "webhook", Locale: "en-US", Currency: "EUR", PriceList: "default", Config: []byte(`{}`), Mapping: []byte(`{}`), Batch: 1, Concurrency: 1,
	}); err != nil {
		t.Fatal(err)
	}
	f, run, found := importInto(t, store, fsys)
	if run.Rejected != 0 || run.Created != 3 {
		t.Errorf("%+v\n%+v", run, found)
	}
	if diff := cmp.Diff([]string{"products.csv:3 B text-en_US-poster channel.unknown poster"}, told(f, "channel.unknown")); diff != "" {
		t.Errorf("told (-want +got)\n%s", diff)
	}
	for sku, want := range map[pim.SKU]string{
		"A": `{"name": {"en-US": "A"}, "text": {"here": {"de-DE": "daheim"}, "print": {"en-US": "printed"}}}`, "B": `{"name": {"en-US": "B"}}`,
	} {
		if p, err := store.Product(t.Context(), sku); err != nil || string(p.Values) != want {
			t.Errorf("%s: %s %v", sku, p.Values, err)
		}
	}
}

// Where an earlier release has split a scopable attribute by its channels, it stays so,
// also for a channel that comes new; where the house has one of its own, its values go
// there.
func TestSplitAttributesStay(t *testing.T) {
	t.Parallel()
	text := pim.Attribute{Code: "text", Type: pim.TypeRichText, Localizable: true, Scopable: true}
	split := pim.Attribute{Code: "text_print", Type: pim.TypeRichText, Localizable: true}
	plain := pim.Attribute{Code: "text", Type: pim.TypeText}
	for name, c := range map[string]struct {
		have []pim.Attribute
		want string
	}{
		"new":        {nil, `"text":{"print":{"en-US":"one"},"shop":{"en-US":"two"}}`},
		"scopable":   {[]pim.Attribute{text, split}, `"text":{"print":{"en-US":"one"},"shop":{"en-US":"two"}}`},
		"split":      {[]pim.Attribute{split}, `"text_print":{"en-US":"one"},"text_shop":{"en-US":"two"}`},
		"of another": {[]pim.Attribute{plain}, `"text_print":{"en-US":"one"},"text_shop":{"en-US":"two"}`},
	} {
		fsys := small()
		fsys["product_models.csv"].Data = []byte("code;family_variant;parent;color;name-en_US;text-en_US-print;text-en_US-shop\n" +
			"Shirt;by_color_size;;;Shirt;one;two\nred;by_color_size;Shirt;red;;one;\n")
		fsys["products.csv"].Data = []byte("sku;enabled;family;parent;size;text-en_US-print;text-en_US-shop\nred-s;1;shirts;red;s;one;three\n")
		have := &pim.Schema{Attributes: map[string]*pim.Attribute{}}
		for _, a := range c.have {
			have.Attributes[a.Code] = &a
		}
		f := open(t, fsys)
		change, _ := f.Change(have)
		at := slices.IndexFunc(change.Families, func(f pim.Family) bool { return f.Code == "shirts" })
		required := map[string][]pim.ChannelCode{}
		for _, a := range change.Families[at].Attributes {
			required[a.Code] = a.RequiredFor
		}
		isSplit := strings.Contains(c.want, "text_print")
		if isSplit && !slices.Equal(required["text_print"], []pim.ChannelCode{"print"}) || !isSplit && !slices.Equal(required["text"], []pim.ChannelCode{"print"}) || isSplit == (required["text"] != nil) {
			t.Errorf("%s: required %v", name, required)
		}
		var b bytes.Buffer
		if err := f.Write(&b); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(b.String()), "\n")
		if len(lines) != 3 || !strings.Contains(lines[0], c.want) {
			t.Errorf("%s:\n%s", name, b.String())
		}
		// What is inherited is not repeated, scope by scope; the text is its root's.
		if strings.Contains(lines[1], "one") || strings.Contains(lines[2], "one") || !strings.Contains(lines[2], "three") {
			t.Errorf("%s: what is inherited:\n%s", name, b.String())
		}
	}
}
