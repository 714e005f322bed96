package postgres

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// compiler makes SQL of a pim.Filter, over the product p, its parent, and their
// listings. What it writes is made of its own constant texts alone; whatever
// came from outside is an argument. Each test is true or false, never null: what
// has no value fits no test but "is empty".
type compiler struct {
	schema *pim.Schema
	args   pgx.NamedArgs
	b      strings.Builder
}

// compileFilter gives f as a condition, and puts its arguments, f_1 and so on,
// into args. The error is a *pim.FilterError.
func compileFilter(f *pim.Filter, schema *pim.Schema, args pgx.NamedArgs) (string, error) {
	c := compiler{schema: schema, args: args}
	if err := c.node(f); err != nil {
		return "", err
	}
	return c.b.String(), nil
}

// arg keeps a value and gives its name.
func (c *compiler) arg(v any) string {
	name := "f_" + strconv.Itoa(len(c.args)+1)
	c.args[name] = v
	return "@" + name
}

func (c *compiler) write(parts ...string) {
	for _, p := range parts {
		c.b.WriteString(p)
	}
}

func (c *compiler) node(f *pim.Filter) error {
	switch f.Op {
	case pim.FilterAnd, pim.FilterOr:
		c.write("(")
		for i, s := range f.Sub {
			if i > 0 {
				c.write(" ", string(f.Op), " ")
			}
			if err := c.node(s); err != nil {
				return err
			}
		}
		c.write(")")
		return nil
	case pim.FilterNot:
		c.write("not ")
		return c.node(f.Sub[0])
	}
	c.write("coalesce(")
	err := c.test(f)
	c.write(", false)")
	return err
}

func fault(at int, code, format string, args ...any) error {
	return &pim.FilterError{At: at, Code: code, Detail: fmt.Sprintf(format, args...)}
}

func (c *compiler) test(f *pim.Filter) error {
	if len(f.Path) > 1 {
		switch f.Path[0] {
		case "values":
			return c.value(f)
		case "listing":
			return c.listing(f)
		}
	}
	switch name := strings.Join(f.Path, "."); name {
	case "sku":
		return c.text(f, "p.sku")
	case "parent":
		return c.text(f, "parent.sku")
	case "family":
		return c.text(f, "p.family")
	case "family_variant":
		return c.text(f, "p.family_variant")
	case "category":
		return c.category(f)
	case "enabled":
		return c.boolean(f, "p.enabled")
	case "created_at", "updated_at":
		return c.time(f, "p."+name)
	case "issue":
		return c.issue(f, "")
	default:
		return fault(f.At, "filter.field", "there is no field %s: sku, parent, family, family_variant, category, enabled, created_at, updated_at, issue, "+
			"values.ATTRIBUTE, listing.CHANNEL.state and listing.CHANNEL.issue can be asked for", clipped(name))
	}
}

func clipped(s string) string {
	if len(s) > 100 {
		s = strings.ToValidUTF8(s[:100], "") + "…"
	}
	return strconv.Quote(s)
}

// wrong refuses f's operator for what has the given ones.
func (c *compiler) wrong(f *pim.Filter, takes string) error {
	return fault(f.At, "filter.operator", "%s cannot be asked %q: %s", clipped(strings.Join(f.Path, ".")), string(f.Op), takes)
}

// texts are f's values as text: numbers and booleans as they were written.
func (c *compiler) texts(f *pim.Filter) ([]string, error) {
	list := make([]string, len(f.Args))
	for i, a := range f.Args {
		if a.Unit != "" {
			return nil, fault(a.At, "filter.value", "a text is expected, no number with a unit")
		}
		list[i] = a.Text
	}
	return list, nil
}

// text is a test of a column of text.
func (c *compiler) text(f *pim.Filter, column string) error {
	list, err := c.texts(f)
	if err != nil {
		return err
	}
	switch f.Op {
	case pim.FilterEqual:
		c.write(column, " = any(", c.arg(list), "::text[])")
	case pim.FilterContains:
		c.write(column, " ilike ", c.arg("%"+likeEscaper.Replace(list[0])+"%"), "::text")
	case pim.FilterStartsWith:
		c.write(column, " ilike ", c.arg(likeEscaper.Replace(list[0])+"%"), "::text")
	case pim.FilterEmpty:
		c.write("coalesce(", column, ", '') = ''")
	default:
		return c.wrong(f, "it takes =, in, contains, starts with, is empty")
	}
	return nil
}

// category asks for categories with all below them, as inCategory does for one.
func (c *compiler) category(f *pim.Filter) error {
	list, err := c.texts(f)
	if err != nil {
		return err
	}
	switch f.Op {
	case pim.FilterEqual:
		codes := c.arg(list) + "::text[]"
		c.write("p.categories && (array(select k.code from category k where k.path && ", codes, ") || ", codes, ")")
	case pim.FilterEmpty:
		c.write("p.categories = '{}'")
	default:
		return c.wrong(f, "it takes =, in, is empty")
	}
	return nil
}

func (c *compiler) boolean(f *pim.Filter, column string) error {
	if f.Op != pim.FilterEqual {
		return c.wrong(f, "it takes = true and = false")
	}
	list := make([]bool, len(f.Args))
	for i, a := range f.Args {
		if a.Kind != pim.FilterBool {
			return fault(a.At, "filter.value", "true or false is expected")
		}
		list[i] = a.Text == "true"
	}
	c.write(column, " = any(", c.arg(list), "::boolean[])")
	return nil
}

// ordered are the operators of what has an order.
var ordered = map[pim.FilterOp]string{
	pim.FilterLess: " < ", pim.FilterAtMost: " <= ", pim.FilterGreater: " > ", pim.FilterAtLeast: " >= ",
}

func (c *compiler) time(f *pim.Filter, column string) error {
	op := ordered[f.Op]
	if op == "" {
		return c.wrong(f, "it takes <, <=, >, >=")
	}
	t, err := filterTime(f.Args[0].Text)
	if err != nil {
		return fault(f.Args[0].At, "filter.value", "a date or a time by RFC 3339 is expected, such as 2026-11-27 or 2026-11-27T09:00:00Z")
	}
	c.write(column, op, c.arg(t), "::timestamptz")
	return nil
}

// filterTime reads a time, or a day's beginning in UTC.
func filterTime(s string) (time.Time, error) {
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t, nil
	}
	return time.Parse(time.RFC3339, s)
}

// listing is listing.CHANNEL[.LANE].state or .issue.
func (c *compiler) listing(f *pim.Filter) error {
	if len(f.Path) < 3 || len(f.Path) > 4 {
		return fault(f.At, "filter.field", "a listing is asked for as listing.CHANNEL.state, listing.CHANNEL.LANE.state, and with issue in place of state")
	}
	channel := pim.ChannelCode(f.Path[1])
	if !c.schema.Channels[channel] {
		return fault(f.At, "channel.unknown", "channel %s is not known", clipped(f.Path[1]))
	}
	of := " and l.channel_id = (select id from channel where code = " + c.arg(string(channel)) + "::text and deleted_at is null)"
	if len(f.Path) == 4 {
		lane, err := pim.ParseLane(f.Path[2])
		if err != nil {
			return fault(f.At, "filter.field", "%v", err)
		}
		of += " and l.lane = " + c.arg(int16(lane)) + "::smallint"
	}
	switch what := f.Path[len(f.Path)-1]; what {
	case "state":
		return c.state(f, of)
	case "issue":
		return c.issue(f, of)
	default:
		return fault(f.At, "filter.field", "a listing has state and issue, not %s", clipped(what))
	}
}

func (c *compiler) state(f *pim.Filter, of string) error {
	const begin = "(select from listing l where l.product_id = p.id"
	switch f.Op {
	case pim.FilterEqual:
		list, err := c.texts(f)
		if err != nil {
			return err
		}
		for i, s := range list {
			if !slices.Contains(pim.ListingStates, pim.ListingState(s)) {
				return fault(f.Args[i].At, "filter.value", "%s is no state of a listing: %s are", clipped(s), states())
			}
		}
		c.write("exists ", begin, of, " and "+stateOf+" = any(", c.arg(list), "::text[]))")
	case pim.FilterEmpty:
		c.write("not exists ", begin, of, ")")
	default:
		return c.wrong(f, "it takes =, in, is empty")
	}
	return nil
}

func states() string {
	names := make([]string, len(pim.ListingStates))
	for i, s := range pim.ListingStates {
		names[i] = string(s)
	}
	return strings.Join(names, ", ")
}

// issue asks for the codes of listings' issues; of which listings, of says.
func (c *compiler) issue(f *pim.Filter, of string) error {
	list, err := c.texts(f)
	if err != nil {
		return err
	}
	const begin = "(select from listing l cross join lateral jsonb_array_elements(l.issues) i where l.product_id = p.id and jsonb_typeof(l.issues) = 'array'"
	switch f.Op {
	case pim.FilterEqual:
		c.write("exists ", begin, of, " and i ->> 'code' = any(", c.arg(list), "::text[]))")
	case pim.FilterStartsWith:
		c.write("exists ", begin, of, " and starts_with(i ->> 'code', ", c.arg(list[0]), "::text))")
	case pim.FilterEmpty:
		c.write("not exists ", begin, of, ")")
	default:
		return c.wrong(f, "it takes =, in, starts with, is empty")
	}
	return nil
}

// value is values.ATTRIBUTE[.CHANNEL][.LOCALE]: what readers see, a variant's own
// value over its parent's. A scope that is not named may be any.
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
	mine, parents := "p.values #> "+at, "parent.values #> "+at
	merged := asObject(parents) + " || " + asObject(mine)
	switch {
	case anyChannel && a.Localizable:
		c.write("jsonb_object_keys((", merged, ")) ch cross join lateral ")
		mine, parents = "p.values #> ("+at+" || ch)", "parent.values #> ("+at+" || ch)"
		if anyLocale {
			c.write("jsonb_each((", asObject(parents), ") || (", asObject(mine), ")) t (k, v)")
		} else {
			l := c.arg(locale) + "::text"
			c.write("(select coalesce((", mine, ") -> ", l, ", (", parents, ") -> ", l, ") as v) t")
		}
	case anyChannel || anyLocale:
		c.write("jsonb_each((", asObject(parents), ") || (", asObject(mine), ")) t (k, v)")
	default:
		c.write("(select coalesce(", mine, ", ", parents, ") as v) t")
	}
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
	case pim.TypeOption, pim.TypeOptions, pim.TypeMedia, pim.TypeReference:
		return c.elements(f, a)
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
