package jobs

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// How a text stands, and what it needs, is decided by hashes alone: of its
// source, of the text itself, and of what a machine last wrote there. Nothing
// of this remembers who edited what, so that imports, the API and other systems
// need not know of it.

// covering is a rule that covers a text, with what it covers it with.
type covering struct {
	rule   *postgres.TextRule
	attr   *pim.Attribute
	source string // the text to translate; of what is written: the facts as JSON
	tests  bool   // only providers for tests would be asked
	own    bool   // a machine made the source of this very text
}

// hash is the source's; "" where there is none.
func (c *covering) hash() string {
	if c == nil || c.source == "" {
		return ""
	}
	return hashText(string(c.rule.From), c.source)
}

// lot is that of the text's task: texts whose fate is the same service's.
func (c *covering) lot(to pim.Locale) string {
	lot := ""
	if c.rule.Action == postgres.TextTranslate {
		lot = string(c.rule.From) + ">" + string(to)
	}
	if len(c.rule.Providers) > 0 {
		lot += "@" + strings.Join(c.rule.Providers, "+")
	}
	return lot
}

func hashText(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(strconv.Itoa(len(p)) + ":" + p))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// targetHash is a text's own; "" where there is none.
func targetHash(s string) string {
	if strings.TrimSpace(s) == "" {
		return ""
	}
	return hashText(s)
}

// judged is how a text stands.
type judged struct {
	postgres.Text
	gone  bool // there is nothing to keep about it
	needs bool // a machine's work would change it
	ask   bool // and it was not asked for yet
}

// judge decides how a text stands that was known as was (ID 0: not at all), by
// what covers it and what the product says there now.
func judge(was postgres.Text, c *covering, target string) judged {
	j := judged{Text: was}
	if c == nil {
		j.gone = true
		return j
	}
	t := &j.Text
	t.Rule, t.Action, t.From = c.rule.Code, c.rule.Action, c.rule.From
	source, now := c.hash(), targetHash(target)
	asked := hashText(source, c.rule.Code, strconv.FormatInt(c.rule.Rev, 10))
	vanished := now == "" && was.TargetHash != ""
	if now != "" || !c.tests {
		vanished = vanished || now == "" && was.TestValue != nil // a real service can do better
		t.TestValue = nil
	}
	if was.Test && !c.tests && t.Proposal != nil { // which nobody could accept
		t.Proposal, vanished = nil, true
	}
	persons := now != "" && !(was.Machine && now == was.TargetHash)
	seen := was.ID != 0 && now == was.TargetHash
	t.Machine = now != "" && !persons
	t.TargetHash = now
	switch {
	case source == "":
		if j.gone = now == "" && t.TestValue == nil; !j.gone {
			t.State = postgres.TextOutdated
			if was.ID == 0 {
				j.gone = true // a text without a source is nothing of ours
			}
		}
		t.Proposal = nil
		return j
	case c.own && now != "":
		// Rules that go both ways: only a person's words go on to the other language.
		if t.State = postgres.TextMachine; persons {
			t.State, t.Error = postgres.TextReviewed, ""
		}
		t.SourceHash, t.Proposal = source, nil
		return j
	case persons && !seen, persons && c.rule.Action == postgres.TextGenerate:
		t.State, t.SourceHash, t.Proposal, t.Error = postgres.TextReviewed, source, nil, ""
		return j
	case persons && was.SourceHash == source:
		t.State, t.Proposal = postgres.TextReviewed, nil
		return j
	case (t.Machine || t.TestValue != nil) && was.SourceHash == source:
		if t.State = postgres.TextMachine; t.Proposed != source {
			t.Proposal = nil // the source was another one meanwhile
		}
		return j
	case now == "" && t.TestValue == nil:
		t.State, t.SourceHash = postgres.TextMissing, ""
	default:
		t.State = postgres.TextOutdated
	}
	j.needs = true
	if t.Proposal != nil && t.Proposed != source {
		t.Proposal = nil // it is of another source
	}
	if t.Proposal == nil && (was.Asked != asked || vanished) {
		j.ask, t.Asked, t.Error = true, asked, ""
	}
	return j
}

// differs reports whether there is anything to store.
func (j *judged) differs(was postgres.Text) bool {
	n := j.Text
	return was.ID == 0 || j.ask || n.Rule != was.Rule || n.Action != was.Action || n.From != was.From || n.State != was.State || n.SourceHash != was.SourceHash ||
		n.TargetHash != was.TargetHash || n.Machine != was.Machine || (n.TestValue == nil) != (was.TestValue == nil) ||
		(n.Proposal == nil) != (was.Proposal == nil) || n.Error != was.Error
}

// ruleBook is all rules, with what they are read by.
type ruleBook struct {
	rules     []postgres.TextRule
	schema    *pim.Schema
	providers []*postgres.Provider
	written   map[string]bool // attributes that rules have written
	tests     map[string]bool // rules by which only providers for tests would be asked
	purses    map[string]*purse
}

func newRuleBook(rules []postgres.TextRule, schema *pim.Schema, providers []*postgres.Provider) *ruleBook {
	b := &ruleBook{rules: rules, schema: schema, providers: providers, written: map[string]bool{}, tests: map[string]bool{}, purses: map[string]*purse{}}
	for i := range rules {
		r := &rules[i]
		if r.Action == postgres.TextGenerate {
			for _, a := range r.Attributes {
				b.written[a] = true
			}
		}
		list := b.candidates(r)
		b.tests[r.Code] = len(list) > 0 && list[0].Test
	}
	return b
}

// candidates are the providers that a rule would ask, in order. Those for tests
// are asked only where there is no other: an outage must not fill real texts'
// places with theirs.
func (b *ruleBook) candidates(r *postgres.TextRule) (list []*postgres.Provider) {
	var tests []*postgres.Provider
	add := func(p *postgres.Provider) {
		switch {
		case !p.Enabled:
		case p.Test:
			tests = append(tests, p)
		default:
			list = append(list, p)
		}
	}
	if len(r.Providers) == 0 {
		for _, p := range b.providers {
			add(p)
		}
	}
	for _, code := range r.Providers {
		for _, p := range b.providers {
			if p.Code == code {
				add(p)
			}
		}
	}
	if len(list) == 0 {
		return tests
	}
	return list
}

// covers gives what covers a slot of a product, of which known are the texts
// that are known; nil for nothing.
func (b *ruleBook) covers(family string, values pim.Values, known []postgres.Text, slot postgres.Slot) *covering {
	f, a := b.schema.Families[family], b.schema.Attributes[slot.Attribute]
	if f == nil || a == nil || !isText(a) || a.Scopable != (slot.Channel != "") ||
		!slices.ContainsFunc(f.Attributes, func(m pim.FamilyAttribute) bool { return m.Code == slot.Attribute }) {
		return nil
	}
	for i := range b.rules {
		r := &b.rules[i]
		if len(r.Families) > 0 && !slices.Contains(r.Families, family) || len(r.Attributes) > 0 && !slices.Contains(r.Attributes, slot.Attribute) ||
			!slices.Contains(r.To, slot.Locale) || a.Scopable && r.Channel != "" && r.Channel != slot.Channel {
			continue
		}
		if r.Action == postgres.TextTranslate && r.From == slot.Locale {
			continue
		}
		c := &covering{rule: r, attr: a, tests: b.tests[r.Code]}
		if r.Action == postgres.TextTranslate {
			if c.source = textAt(values, postgres.Slot{Attribute: slot.Attribute, Locale: r.From, Channel: slot.Channel}); strings.TrimSpace(c.source) == "" {
				c.source = ""
			}
			c.own = madeOf(values, known, postgres.Slot{Attribute: slot.Attribute, Locale: r.From, Channel: slot.Channel}, slot.Locale)
		} else {
			c.source = b.facts(r, f, values, slot)
		}
		return c
	}
	return nil
}

// madeOf reports whether the text in a slot is a machine's translation of the one
// in a locale, at first or at second hand.
func madeOf(values pim.Values, known []postgres.Text, slot postgres.Slot, locale pim.Locale) bool {
	for range known {
		i := slices.IndexFunc(known, func(t postgres.Text) bool { return t.Slot == slot })
		if i < 0 || !known[i].Machine || known[i].Action != postgres.TextTranslate || known[i].TargetHash != targetHash(textAt(values, slot)) {
			return false
		}
		if slot.Locale = known[i].From; slot.Locale == locale {
			return true
		}
	}
	return false
}

func isText(a *pim.Attribute) bool {
	return a.Localizable && (a.Type == pim.TypeText || a.Type == pim.TypeRichText)
}

// textAt is the text in a slot; "" for none.
func textAt(values pim.Values, slot postgres.Slot) string {
	v := values[slot.Attribute]
	if slot.Channel != "" {
		m, _ := v.(map[string]any)
		v = m[string(slot.Channel)]
	}
	m, _ := v.(map[string]any)
	s, _ := m[string(slot.Locale)].(string)
	return s
}

// slots are the places of a product's values that some rule may cover: those
// that are known already, and those that rules find.
func (b *ruleBook) slots(family string, values pim.Values, known []postgres.Text) map[postgres.Slot]postgres.Text {
	out := make(map[postgres.Slot]postgres.Text, len(known))
	for _, t := range known {
		out[t.Slot] = t
	}
	add := func(s postgres.Slot) {
		if _, is := out[s]; !is {
			out[s] = postgres.Text{Slot: s}
		}
	}
	f := b.schema.Families[family]
	if f == nil {
		return out
	}
	for i := range b.rules {
		r := &b.rules[i]
		if len(r.Families) > 0 && !slices.Contains(r.Families, family) {
			continue
		}
		for _, m := range f.Attributes {
			a := b.schema.Attributes[m.Code]
			if a == nil || !isText(a) || len(r.Attributes) > 0 && !slices.Contains(r.Attributes, a.Code) {
				continue
			}
			channels := []string{""}
			if a.Scopable {
				channels = []string{string(r.Channel)}
				if r.Channel == "" {
					channels = channels[:0]
					scopes, _ := values[a.Code].(map[string]any)
					for channel := range scopes {
						channels = append(channels, channel)
					}
				}
			}
			for _, channel := range channels {
				for _, to := range r.To {
					add(postgres.Slot{Attribute: a.Code, Locale: to, Channel: pim.ChannelCode(channel)})
				}
			}
		}
	}
	return out
}

// facts are what may be told of a product, as JSON with sorted names; "" where
// there is nothing. What rules write is no fact: texts would be made of texts.
func (b *ruleBook) facts(r *postgres.TextRule, f *pim.Family, values pim.Values, slot postgres.Slot) string {
	out := map[string]any{}
	for _, m := range f.Attributes {
		a := b.schema.Attributes[m.Code]
		if a == nil || a.Type == pim.TypeMedia || a.Type == pim.TypeReference || a.Type == pim.TypeTable || b.written[a.Code] || len(r.Facts) > 0 && !slices.Contains(r.Facts, a.Code) {
			continue
		}
		v := values[a.Code]
		if a.Scopable {
			scopes, _ := v.(map[string]any)
			v = scopes[string(slot.Channel)]
		}
		if a.Localizable {
			locales, _ := v.(map[string]any)
			if v = locales[string(r.From)]; v == nil {
				v = locales[string(slot.Locale)]
			}
		}
		if v != nil && v != "" {
			out[a.Code] = v
		}
	}
	if len(out) == 0 {
		return ""
	}
	raw, err := json.Marshal(out) // of decoded JSON
	if err != nil {
		return ""
	}
	return string(raw)
}
