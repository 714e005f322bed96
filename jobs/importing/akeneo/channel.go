package akeneo

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluicehub/sluice/pim"
)

// channel is a line of channels.csv.
type channel struct {
	code       string
	at         int // line
	locales    []pim.Locale
	currencies []pim.Currency
	tree       string
}

// Channel is a channel of the folder that the store lacks. It is made without a
// connector: an export says nothing of a target.
type Channel struct {
	Code         pim.ChannelCode
	Locale       pim.Locale
	Currency     pim.Currency
	CategoryRoot string // "": none
}

// channel reads a line of channels.csv.
func (f *Folder) channel(l *line) error {
	c := channel{code: l.get("code"), at: l.at, tree: l.get("tree")}
	for _, code := range l.list("locales") {
		if locale, ok := localeOf(code); ok {
			f.locales[code] = locale
			c.locales = append(c.locales, locale)
		} else {
			f.note(Finding{File: l.file, Line: l.at, Column: "locales", Value: code, Code: "locale", Text: "the locale is no BCP 47 tag: its texts are not taken"})
		}
	}
	for _, code := range l.list("currencies") {
		if f.currency(l, pim.Currency(code)) {
			c.currencies = append(c.currencies, pim.Currency(code))
		}
	}
	if slices.ContainsFunc(f.channels, func(o channel) bool { return o.code == c.code }) {
		f.note(Finding{File: l.file, Line: l.at, Column: "code", Value: c.code, Code: "channel.twice", Text: "another channel is called so: this one is not taken"})
		return nil
	}
	f.channels = append(f.channels, c)
	return nil
}

// Channels are the channels that the store lacked when Change looked. They are to
// be made behind what Change and Categories give, and before products are written.
func (f *Folder) Channels() []Channel { return slices.Clone(f.made) }

// planChannels says which channels the store lacks, and which there are then.
func (f *Folder) planChannels(have *pim.Schema) {
	f.made, f.scopes = nil, maps.Clone(have.Channels)
	if f.scopes == nil {
		f.scopes = map[pim.ChannelCode]bool{}
	}
	for i := range f.channels {
		c := &f.channels[i]
		code := pim.ChannelCode(c.code)
		told := func(column, value, code, text string) {
			f.settled = append(f.settled, Finding{File: "channels.csv", Line: c.at, Column: column, Value: value, Code: code, Text: text, Severity: pim.SeverityWarning})
		}
		switch err := pim.ValidCode("channel", c.code); {
		case have.Channels[code]:
			continue // it stays as it is
		case err != nil:
			told("code", c.code, "channel.code", err.Error()+": it is not made, and its values are not taken")
			continue
		case len(c.locales) == 0:
			told("locales", c.code, "channel.locale", "the channel has no locale that there is here: it is not made, and its values are not taken")
			continue
		case len(c.currencies) == 0:
			told("currencies", c.code, "channel.currency", "the channel has no currency that there is here: it is not made, and its values are not taken")
			continue
		}
		made := Channel{Code: code, Locale: c.locales[0], Currency: c.currencies[0]}
		if c.tree != "" && (have.Tree.Category(c.tree) != nil || f.catLines[c.tree] > 0) {
			made.CategoryRoot = c.tree
		} else if c.tree != "" {
			told("tree", c.tree, "channel.tree", "there is no category of that code: the channel shows all categories")
		}
		f.made, f.scopes[code] = append(f.made, made), true
		told("code", c.code, "akeneo.channel", "the channel is made without a connector: what it requires, its values and its completeness are there, and nothing is sent until it is given one (sluice channel connect "+c.code+")"+c.others())
	}
}

// others says how to have what a channel here does not show of one in Akeneo, which
// has any number of locales and currencies.
func (c *channel) others() string {
	if len(c.locales) < 2 && len(c.currencies) < 2 {
		return ""
	}
	text := fmt.Sprintf(". It shows one locale and one currency, %s and %s; its completeness is told in all locales", c.locales[0], c.currencies[0])
	locale, currency := c.locales[0], c.currencies[0]
	var more []string
	if len(c.locales) > 1 {
		locale = c.locales[1]
		for _, l := range c.locales[1:] {
			more = append(more, string(l))
		}
	}
	if len(c.currencies) > 1 {
		if len(c.locales) < 2 {
			currency = c.currencies[1]
		}
		for _, o := range c.currencies[1:] {
			more = append(more, string(o))
		}
	}
	return text + fmt.Sprintf(". For %s make further channels, whose mappings read its values by value(code, locale, '%s'): sluice channel create CODE --connector none --locale %s --currency %s",
		strings.Join(more, ", "), c.code, locale, currency)
}

// named are the codes of the folder's channels beside others: a channel of which nothing
// is filled today may have been filled once.
func (f *Folder) named(others []string) []string {
	codes := slices.Clone(others)
	for _, c := range f.channels {
		codes = append(codes, c.code)
	}
	return codes
}

// planScopes says, of each scopable attribute, whether the store has it as one, or
// split by channels. So it was in earlier releases, and so it stays where they have
// made it: values are not moved. What is of a channel that there is not is told, where
// it stands first.
func (f *Folder) planScopes(have *pim.Schema) {
	for _, code := range f.order {
		a := f.attributes[code]
		if !a.scopable {
			continue
		}
		filled := slices.Sorted(maps.Keys(f.filled[code]))
		if own := have.Attributes[code]; own != nil {
			a.split = !own.Scopable
		} else {
			a.split = slices.ContainsFunc(f.named(filled), func(channel string) bool { return have.Attributes[scopedCode(code, channel)] != nil })
		}
		for _, channel := range filled {
			if a.split || f.scopes[pim.ChannelCode(channel)] {
				continue
			}
			first := f.filled[code][channel]
			x := first.Finding
			x.Code, x.Severity, x.Text = "channel.unknown", pim.SeverityWarning, "there is no channel "+channel+": the value is not taken"
			if first.times > 1 {
				x.Text += fmt.Sprintf(" (so %d times, this being the first)", first.times)
			}
			f.settled = append(f.settled, x)
		}
	}
}

// seen is where the values of an attribute on a channel begin, and how many there are.
type seen struct {
	Finding
	times int
}

// scoped are values as the store has them: those of a channel that there is not are
// none, and those of an attribute that is split by channels are several attributes'.
func (f *Folder) scoped(values map[string]any) map[string]any {
	out := make(map[string]any, len(values))
	for _, code := range slices.Sorted(maps.Keys(values)) {
		a := f.attributes[code]
		if !a.scopable {
			out[code] = values[code]
			continue
		}
		kept := map[string]any{}
		of, _ := values[code].(map[string]any)
		for channel, v := range of {
			switch {
			case a.split:
				out[scopedCode(code, channel)] = v
			case f.scopes[pim.ChannelCode(channel)]:
				kept[channel] = v
			}
		}
		if len(kept) > 0 {
			out[code] = kept
		}
	}
	return out
}
