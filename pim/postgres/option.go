package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// Options that values have stay. Who edits the value at the same moment may still
// give it one that goes: then it is kept as what a tightened rule leaves is, see
// docs/decisions/028. Products and records are not locked for that.
const (
	sqlOptionProducts = `
select p.sku, o.v #>> '{}' from product p cross join lateral (` + optionOf + `p.values, w.path::jsonpath, @gone) v limit 1) o
where p.family = any(@families::text[]) and p.deleted_at is null limit 5`
	sqlOptionRecords = `
select r.code, o.v #>> '{}' from record r cross join lateral (` + optionOf + `r.values, w.path::jsonpath, @gone) v limit 1) o
where r.entity = @entity limit 5`
	optionOf = `select v from unnest(@paths::text[]) w (path) cross join lateral jsonb_path_query(`
)

// lostOptions are options that an attribute, or a column of its table, has no more.
type lostOptions struct {
	at     string // place in the attribute
	column string // "": the attribute itself
	codes  []string
}

func lost(old, now *pim.Attribute) (list []lostOptions) {
	note := func(at, column string, old, now []pim.Option) {
		gone := lostOptions{at: at, column: column}
		has := make(map[string]bool, len(now))
		for _, o := range now {
			has[o.Code] = true
		}
		for _, o := range old {
			if !has[o.Code] {
				gone.codes = append(gone.codes, o.Code)
			}
		}
		if len(gone.codes) > 0 {
			list = append(list, gone)
		}
	}
	note("/options", "", old.Options, now.Options)
	for i, c := range now.Columns {
		if k := slices.IndexFunc(old.Columns, func(o pim.Column) bool { return o.Code == c.Code }); k >= 0 {
			note(fmt.Sprintf("/columns/%d/options", i), c.Code, old.Columns[k].Options, c.Options)
		}
	}
	return list
}

// paths are the JSON paths to those of an attribute's values, in each locale and
// each channel that there is, that have one of the options.
func (l *lostOptions) paths(a *pim.Attribute, channels map[pim.ChannelCode]bool) (paths []string) {
	member := func(name string) string {
		quoted, _ := json.Marshal(name) // a text always can be written
		return "." + string(quoted)
	}
	scopes := []string{""}
	if a.Scopable {
		scopes = nil
		for _, c := range slices.Sorted(maps.Keys(channels)) {
			scopes = append(scopes, member(string(c)))
		}
	}
	for _, scope := range scopes {
		path := "$" + member(a.Code) + scope
		if a.Localizable {
			path += ".*"
		}
		if l.column != "" {
			path += "[*]" + member(l.column)
		}
		paths = append(paths, path+"[*] ? (@ == $gone[*])") // one text counts as an array of one
	}
	return paths
}

// optionsInUse refuses to take options away from attributes that products have.
func optionsInUse(ctx context.Context, q querier, current *pim.Schema, c SchemaChange) error {
	families := maps.Clone(current.Families)
	for i := range c.Families {
		families[c.Families[i].Code] = &c.Families[i]
	}
	var problems []pim.Problem
	for i := range c.Attributes {
		a := &c.Attributes[i]
		old := current.Attributes[a.Code]
		if old == nil {
			continue
		}
		var having []string
		for code, f := range families {
			if slices.ContainsFunc(f.Attributes, func(m pim.FamilyAttribute) bool { return m.Code == a.Code }) {
				having = append(having, code)
			}
		}
		if len(having) == 0 {
			continue
		}
		for _, l := range lost(old, a) {
			used, err := l.used(ctx, q, sqlOptionProducts, "product", a, current, pgx.NamedArgs{"families": having})
			if err != nil {
				return err
			}
			problems = append(problems, underAttribute(i, used)...)
		}
	}
	if len(problems) > 0 {
		return &pim.Invalid{Problems: problems}
	}
	return nil
}

// recordOptionsInUse is optionsInUse of a reference entity's attributes.
func recordOptionsInUse(ctx context.Context, q querier, current *pim.Schema, old, now *pim.ReferenceEntity) error {
	var problems []pim.Problem
	for i := range now.Attributes {
		a := &now.Attributes[i]
		k := slices.IndexFunc(old.Attributes, func(o pim.Attribute) bool { return o.Code == a.Code })
		if k < 0 {
			continue
		}
		for _, l := range lost(&old.Attributes[k], a) {
			used, err := l.used(ctx, q, sqlOptionRecords, "record", a, current, pgx.NamedArgs{"entity": now.Code})
			if err != nil {
				return err
			}
			problems = append(problems, underAttribute(i, used)...)
		}
	}
	if len(problems) > 0 {
		return &pim.Invalid{Problems: problems}
	}
	return nil
}

func underAttribute(i int, problems []pim.Problem) []pim.Problem {
	for k := range problems {
		problems[k].Pointer = fmt.Sprintf("/attributes/%d%s", i, problems[k].Pointer)
	}
	return problems
}

// used names a few who have values with what goes.
func (l *lostOptions) used(ctx context.Context, q querier, sql, what string, a *pim.Attribute, schema *pim.Schema, args pgx.NamedArgs) (problems []pim.Problem, err error) {
	args["paths"], args["gone"] = l.paths(a, schema.Channels), mustJSON(map[string]any{"gone": l.codes})
	rows, err := q.Query(ctx, sql, args)
	if err != nil {
		return nil, err
	}
	var code, option string
	_, err = pgx.ForEachRow(rows, []any{&code, &option}, func() error {
		problems = append(problems, pim.Problem{Pointer: l.at, Code: "option.used", Detail: fmt.Sprintf("%s %s has option %s", what, code, option)})
		return nil
	})
	return problems, err
}
