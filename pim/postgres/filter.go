package postgres

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// compiler makes SQL of a pim.Filter, over the product p, its parent, that one's,
// root, and listings. What it writes is made of its own constant texts alone; whatever
// came from outside is an argument. Each test is true or false, never null: what
// has no value fits no test but "is empty".
type compiler struct {
	schema   *pim.Schema
	channels map[pim.ChannelCode]channelPlace // of a filter by completeness or listings
	args     pgx.NamedArgs
	some     bool // "issue is empty" stands below a not: what has some is asked for
	b        strings.Builder
}

// compileFilter gives f as a condition, and puts its arguments, f_1 and so on,
// into args. The error is a *pim.FilterError.
func compileFilter(f *pim.Filter, schema *pim.Schema, channels map[pim.ChannelCode]channelPlace, args pgx.NamedArgs) (string, error) {
	c := compiler{schema: schema, channels: channels, args: args}
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
		if s := f.Sub[0]; s.Op == pim.FilterEmpty && (s.Path[0] == "issue" || s.Path[0] == "listing" && s.Path[len(s.Path)-1] == "issue") {
			c.some = true
			defer func() { c.some = false }()
			return c.node(s)
		}
		c.write("not ")
		return c.node(f.Sub[0])
	}
	switch f.Path[0] { // never null, and bare they may be joins
	case "completeness":
		return c.completeness(f)
	case "listing", "issue":
		return c.test(f)
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
	case "root":
		return c.root(f)
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
		return fault(f.At, "filter.field", "there is no field %s: sku, parent, root, family, family_variant, category, enabled, created_at, updated_at, issue, "+
			"values.ATTRIBUTE, completeness.CHANNEL, listing.CHANNEL.state and listing.CHANNEL.issue can be asked for", clipped(name))
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

// root is a test of the root model's SKU. Whole ones are looked up: what stands below
// them is read by its index, and nothing else.
func (c *compiler) root(f *pim.Filter) error {
	if f.Op != pim.FilterEqual {
		return c.text(f, "coalesce(root.sku, parent.sku)")
	}
	list, err := c.texts(f)
	if err != nil {
		return err
	}
	c.write("p.parent_id = any(array(with r as (select id from product where parent_id is null and sku = any(", c.arg(list),
		"::text[])) select id from r union all select m.id from product m join r on m.parent_id = r.id))")
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
	if at, known := c.channels[channel]; known { // of a number PostgreSQL has statistics
		of = " and l.channel_id = " + c.arg(at.id) + "::bigint"
	}
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
		c.write("exists ", begin, of, " and (")
		for i, s := range list {
			test, known := stateTests[pim.ListingState(s)]
			if !known {
				return fault(f.Args[i].At, "filter.value", "%s is no state of a listing: %s are", clipped(s), states())
			}
			if i > 0 {
				c.write(" or ")
			}
			c.write("(", test, ")")
		}
		c.write("))")
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

// issue asks for the codes of listings' issues; of which listings, of says. Those who
// have some are read in the order of products from the index of what has issues, so
// that a page ends where it is full, and no product without is looked at: hence the
// distinct, which leaves PostgreSQL no other way that it could take for a cheaper one,
// as it knows nothing of codes.
func (c *compiler) issue(f *pim.Filter, of string) error {
	list, err := c.texts(f)
	if err != nil {
		return err
	}
	const (
		begin = "(select distinct on (l.product_id) l.product_id from listing l where l.issues is not null"
		end   = " order by l.product_id)"
		some  = " and jsonb_typeof(l.issues) = 'array' and l.issues <> '[]'"
	)
	switch f.Op {
	case pim.FilterEqual:
		tests := make([]string, len(list))
		for i, code := range list {
			tests[i] = string(mustJSON([]map[string]string{{"code": code}}))
		}
		c.write("p.id in ", begin, of, " and l.issues @> any(", c.arg(tests), "::jsonb[])", end)
	case pim.FilterStartsWith:
		c.write("p.id in ", begin, of, " and exists (select from jsonb_array_elements(case jsonb_typeof(l.issues) when 'array' then l.issues else '[]' end) i where starts_with(i ->> 'code', ",
			c.arg(list[0]), "::text))", end)
	case pim.FilterEmpty:
		if c.some {
			c.write("p.id in ", begin, of, some, end)
			return nil
		}
		c.write("not exists (select from listing l where l.product_id = p.id and l.issues is not null", of, some, ")")
	default:
		return c.wrong(f, "it takes =, in, starts with, is empty")
	}
	return nil
}
