package postgres

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/sluicehub/sluice/pim"
)

// value is values.ATTRIBUTE[.CHANNEL][.LOCALE]: what readers see, a variant's own
// value over those of the models above it. A scope that is not named may be any.
func (c *compiler) value(f *pim.Filter) error {
	a := c.schema.Attributes[f.Path[1]]
	if a == nil {
		return fault(f.At, "attribute.unknown", "attribute %s is not known", clipped(f.Path[1]))
	}
	channel, locale, err := c.scopes(f, a)
	if err != nil {
		return err
	}
	if f.Op == pim.FilterEmpty {
		c.write("not ")
	}
	c.write("exists (select from ")
	c.source(a, channel, locale)
	c.write(" where ")
	if f.Op == pim.FilterEmpty {
		c.write(`t.v not in ('null', '""', '[]', '{}')`)
	} else if err := c.content(f, a); err != nil {
		return err
	}
	c.write(")")
	return nil
}

// scopes reads what of an attribute's scopes the field names.
func (c *compiler) scopes(f *pim.Filter, a *pim.Attribute) (channel, locale string, err error) {
	rest := f.Path[2:]
	if a.Scopable && len(rest) > 0 && c.schema.Channels[pim.ChannelCode(rest[0])] {
		channel, rest = rest[0], rest[1:]
	}
	if a.Localizable && len(rest) > 0 && c.schema.Locales[pim.Locale(rest[0])] {
		locale, rest = rest[0], rest[1:]
	}
	if len(rest) == 0 {
		return channel, locale, nil
	}
	has := "no scopes"
	switch {
	case a.Scopable && a.Localizable:
		has = "a value per channel and locale: values." + a.Code + ".CHANNEL.LOCALE"
	case a.Scopable:
		has = "a value per channel: values." + a.Code + ".CHANNEL"
	case a.Localizable:
		has = "a value per locale: values." + a.Code + ".LOCALE"
	}
	return "", "", fault(f.At, "filter.scope", "%s is no scope of attribute %s, which has %s", clipped(rest[0]), a.Code, has)
}

// asObject is an object's text in SQL, also where a value has another shape.
func asObject(expr string) string {
	return "case jsonb_typeof(" + expr + ") when 'object' then " + expr + " else '{}' end"
}

// source writes the rows t (v) of an attribute's values: one for each scope.
func (c *compiler) source(a *pim.Attribute, channel, locale string) {
	path := []string{a.Code}
	if channel != "" {
		path = append(path, channel)
	}
	anyChannel, anyLocale := a.Scopable && channel == "", a.Localizable && locale == ""
	if locale != "" && !anyChannel {
		path = append(path, locale)
	}
	at := c.arg(path) + "::text[]"
	all := at
	if anyChannel && a.Localizable {
		c.write("jsonb_object_keys((", merged(at), ")) ch cross join lateral ")
		all = "(" + at + " || ch)"
	}
	switch {
	case anyLocale, anyChannel && !a.Localizable:
		c.write("jsonb_each((", merged(all), ")) t (k, v)")
	case anyChannel:
		l := c.arg(locale) + "::text"
		c.write("(select coalesce((p.values #> ", all, ") -> ", l, ", (parent.values #> ", all, ") -> ", l, ", (root.values #> ", all, ") -> ", l, ") as v) t")
	default:
		c.write("(select coalesce(p.values #> ", all, ", parent.values #> ", all, ", root.values #> ", all, ") as v) t")
	}
}

// merged is the object at a path of what is inherited and own, member by member.
func merged(at string) string {
	return "(" + asObject("root.values #> "+at) + ") || (" + asObject("parent.values #> "+at) + ") || (" + asObject("p.values #> "+at) + ")"
}

// content is a test of the one value t.v.
func (c *compiler) content(f *pim.Filter, a *pim.Attribute) error {
	const plain = "(t.v #>> '{}')"
	switch a.Type {
	case pim.TypeNumber:
		if a.Unit != "" {
			return c.amount(f, a)
		}
		return c.number(f)
	case pim.TypeBoolean:
		return c.boolean(f, "case jsonb_typeof(t.v) when 'boolean' then t.v::boolean end")
	case pim.TypeDate:
		return c.date(f)
	case pim.TypeOption, pim.TypeOptions, pim.TypeMedia, pim.TypeReference, pim.TypeEntity, pim.TypeEntities:
		return c.elements(f, a)
	case pim.TypeTable:
		if f.Op != pim.FilterContains {
			return c.wrong(f, "it takes contains, is empty")
		}
		return c.text(f, plain)
	default:
		return c.text(f, plain)
	}
}

func (c *compiler) date(f *pim.Filter) error {
	list, err := c.texts(f)
	if err != nil {
		return err
	}
	for i, s := range list {
		if _, err := time.Parse(time.DateOnly, s); err != nil {
			return fault(f.Args[i].At, "filter.value", "a date is expected, such as 2026-11-27")
		}
	}
	const plain = `(t.v #>> '{}') collate "C"`
	if op := ordered[f.Op]; op != "" {
		c.write(plain, op, c.arg(list[0]), "::text")
		return nil
	}
	if f.Op != pim.FilterEqual {
		return c.wrong(f, "it takes =, in, <, <=, >, >=, is empty")
	}
	c.write(plain, " = any(", c.arg(list), "::text[])")
	return nil
}

// elements is a test of what is one text, or an array of texts.
func (c *compiler) elements(f *pim.Filter, a *pim.Attribute) error {
	list, err := c.texts(f)
	if err != nil {
		return err
	}
	const each = "exists (select from jsonb_array_elements_text(case jsonb_typeof(t.v) when 'array' then t.v else jsonb_build_array(t.v) end) e where e ilike "
	switch f.Op {
	case pim.FilterEqual:
		if a.Type == pim.TypeOption || a.Type == pim.TypeOptions {
			for i, s := range list {
				if !slices.ContainsFunc(a.Options, func(o pim.Option) bool { return o.Code == s }) {
					return fault(f.Args[i].At, "option.unknown", "attribute %s has no option %s", a.Code, clipped(s))
				}
			}
		}
		c.write("t.v ?| ", c.arg(list), "::text[]")
	case pim.FilterContains:
		c.write(each, c.arg("%"+likeEscaper.Replace(list[0])+"%"), "::text)")
	case pim.FilterStartsWith:
		c.write(each, c.arg(likeEscaper.Replace(list[0])+"%"), "::text)")
	default:
		return c.wrong(f, "it takes =, in, contains, starts with, is empty")
	}
	return nil
}

// numbers are f's values as the texts of numbers.
func (c *compiler) numbers(f *pim.Filter) ([]string, error) {
	list := make([]string, len(f.Args))
	for i, a := range f.Args {
		if a.Kind != pim.FilterNumber {
			return nil, fault(a.At, "filter.value", "a number is expected")
		}
		list[i] = a.Text
	}
	return list, nil
}

func (c *compiler) number(f *pim.Filter) error {
	list, err := c.numbers(f)
	if err != nil {
		return err
	}
	for _, a := range f.Args {
		if a.Unit != "" {
			return fault(a.At, "filter.value", "the attribute has no unit: a number alone is expected")
		}
	}
	const n = "case jsonb_typeof(t.v) when 'number' then t.v::numeric end"
	if op := ordered[f.Op]; op != "" {
		c.write(n, op, c.arg(list[0]), "::text::numeric")
		return nil
	}
	if f.Op != pim.FilterEqual {
		return c.wrong(f, "it takes =, in, <, <=, >, >=, is empty")
	}
	c.write(n, " = any(", c.arg(list), "::text[]::numeric[])")
	return nil
}

// amount compares amounts in whatever unit they are stored: the value that is
// asked for is worked out in each unit of the family, exactly to 19 digits.
func (c *compiler) amount(f *pim.Filter, a *pim.Attribute) error {
	if _, err := c.numbers(f); err != nil {
		return err
	}
	op := ordered[f.Op]
	if f.Op == pim.FilterEqual {
		op = " = "
	}
	if op == "" {
		return c.wrong(f, "it takes =, in, <, <=, >, >=, is empty")
	}
	c.write("(")
	for i, v := range f.Args {
		limits, err := limitsOf(v, a)
		if err != nil {
			return err
		}
		if i > 0 {
			c.write(" or ")
		}
		c.write("case jsonb_typeof(t.v -> 'amount') when 'number' then (t.v -> 'amount')::numeric end", op,
			"(", c.arg(limits), "::jsonb ->> (t.v ->> 'unit'))::numeric")
	}
	c.write(")")
	return nil
}

// limitsOf gives a value in each unit that an amount of a may be stored in.
func limitsOf(v pim.FilterValue, a *pim.Attribute) (map[string]string, error) {
	unit := v.Unit
	if unit == "" {
		unit = a.Unit
	}
	family, ok := pim.UnitFamily(unit)
	if want, _ := pim.UnitFamily(a.Unit); !ok || family != want {
		return nil, fault(v.At, "filter.value", "%s is no unit of attribute %s, which is a %s", clipped(unit), a.Code, want)
	}
	amount, err := pim.ParseAmount(json.Number(v.Text))
	if err != nil {
		return nil, fault(v.At, "filter.value", "the number is beyond 19 digits")
	}
	limits := map[string]string{}
	for _, u := range pim.UnitsOf(family) {
		if d, err := pim.ConvertUnit(amount, unit, u); err == nil {
			limits[u] = d.String()
		}
	}
	return limits, nil
}
