package postgres

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// ProductFilter narrows Products; zero fields do not.
type ProductFilter struct {
	Family       string
	Parent       pim.SKU
	Category     string
	Enabled      *bool
	SKUPrefix    string
	Search       string // words in the SKU or in any value, case-insensitive
	UpdatedSince *time.Time
	Where        *pim.Filter
	Deleted      bool      // the deleted products, and no others
	Sort         []SortKey // nil: in the order of creation
	NoOffers     bool      // without prices and stock levels, which cost a look-up each

	channels map[pim.ChannelCode]channelPlace // see Store.conditions
	weighed  string                           // joins what the order looks at
}

// SortKey is one column that products are sorted by.
type SortKey struct {
	By   string // one of SortColumns, or completeness.CHANNEL
	Down bool
}

// SortColumns are what products can be sorted by. created_at is the order in
// which they were made, which no two share.
var SortColumns = []string{"sku", "family", "created_at", "updated_at"}

// ParseSort reads keys with commas between them, "-" before those that go down,
// such as "-updated_at,sku". The error is for people.
func ParseSort(text string) (keys []SortKey, err error) {
	if text == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		by, down := strings.CutPrefix(strings.TrimSpace(part), "-")
		if channel, is := strings.CutPrefix(by, byCompleteness); is && pim.ValidCode("channel", channel) == nil {
			if slices.ContainsFunc(keys, func(k SortKey) bool { return strings.HasPrefix(k.By, byCompleteness) }) {
				return nil, errors.New("products are sorted by their completeness on one channel")
			}
		} else if !slices.Contains(SortColumns, by) {
			return nil, fmt.Errorf("products cannot be sorted by %s, but by %s, %sCHANNEL", clipped(by), strings.Join(SortColumns, ", "), byCompleteness)
		}
		if slices.ContainsFunc(keys, func(k SortKey) bool { return k.By == by }) {
			return nil, fmt.Errorf("%s is named twice", by)
		}
		keys = append(keys, SortKey{by, down})
	}
	return keys, nil
}

// column is a sort key in SQL, with the type that its place in a cursor has.
func (k SortKey) column() (expr, as string) {
	switch k.By {
	case "created_at":
		return "p.id", "bigint"
	case "updated_at":
		return "p.updated_at", "timestamptz"
	case "sku", "family":
		return "p." + k.By + ` collate "C"`, "text"
	default:
		return "weighed.share", "smallint"
	}
}

// of is a product's place by the key, as a cursor has it.
func (k SortKey) of(p *FullProduct) string {
	switch k.By {
	case "sku":
		return string(p.SKU)
	case "family":
		return p.Family
	case "updated_at":
		return p.UpdatedAt.UTC().Format(time.RFC3339Nano)
	case "created_at":
		return strconv.FormatInt(int64(p.ID), 10)
	default:
		return strconv.Itoa(int(p.share))
	}
}

// sorting is a list's whole order: what was asked for, and behind it the order of
// creation, unless products cannot share a place before.
func (f *ProductFilter) sorting() []SortKey {
	keys := slices.Clone(f.Sort)
	for i, k := range keys {
		if k.By == "sku" || k.By == "created_at" {
			return keys[:i+1]
		}
	}
	down := len(keys) > 0 && keys[len(keys)-1].Down // an index is read in one direction
	return append(keys, SortKey{"created_at", down})
}

const (
	productsFrom = `
from product p left join product parent on parent.id = p.parent_id left join product root on root.id = parent.parent_id left join product_offer o on o.product_id = p.id`
	productsThere = `
where p.deleted_at is `
)

// conditions writes what f asks for, but not its order.
func (f *ProductFilter) conditions(schema *pim.Schema, args pgx.NamedArgs) (string, error) {
	var b strings.Builder
	add := func(given bool, sql, name string, v any) {
		if given {
			b.WriteString(" and " + sql)
			args[name] = v
		}
	}
	if f.Deleted {
		b.WriteString("not ")
	}
	b.WriteString("null")
	if err := f.weigh(args); err != nil {
		return "", err
	}
	add(f.Family != "", "p.family = @family::text", "family", f.Family)
	add(f.Parent != "", "p.parent_id = any(array(with s as (select id from product where sku = @parent::text) select id from s union all select m.id from product m join s on m.parent_id = s.id))", "parent", string(f.Parent))
	add(f.Category != "", inCategory, "category", f.Category)
	if f.Enabled != nil {
		add(true, "p.enabled = @enabled::boolean", "enabled", *f.Enabled)
	}
	add(f.SKUPrefix != "", "starts_with(p.sku, @prefix::text)", "prefix", f.SKUPrefix)
	add(f.Search != "", "(p.sku ilike @search::text or p.values::text ilike @search::text)", "search", "%"+likeEscaper.Replace(f.Search)+"%")
	if f.UpdatedSince != nil {
		add(true, "p.updated_at >= @since::timestamptz", "since", *f.UpdatedSince)
	}
	if f.Where != nil {
		where, err := compileFilter(f.Where, schema, f.channels, args)
		if err != nil {
			return "", err
		}
		b.WriteString(" and " + where)
	}
	return b.String(), nil
}

// query is the statement of one page of what fits where. It is made of constant
// texts: docs/decisions/023.
func (f *ProductFilter) query(where string, page Page, args pgx.NamedArgs) (string, error) {
	keys := f.sorting()
	after, err := afterOf(keys, page.After, args)
	if err != nil {
		return "", err
	}
	offers := pricesOf + ", " + stockOf
	if f.NoOffers {
		offers = "null::jsonb, null::jsonb"
	}
	return "select " + productColumns + ", " + offers + f.share() + productsFrom + f.weighed + productsThere + where + after + "\norder by " + orderOf(keys) + " limit @limit", nil
}

// orderOf is an order in SQL.
func orderOf(keys []SortKey) string {
	order := make([]string, len(keys))
	for i, k := range keys {
		order[i], _ = k.column()
		if k.Down {
			order[i] += " desc"
		}
	}
	return strings.Join(order, ", ")
}

// afterOf is the condition of what lies behind a cursor: greater by the first
// key, or equal by it and greater by the next, and so on.
func afterOf(keys []SortKey, cursor string, args pgx.NamedArgs) (string, error) {
	if cursor == "" {
		return "", nil
	}
	place, err := readPlace(keys, cursor)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	equal := ""
	for i, k := range keys {
		column, as := k.column()
		name := "after_" + strconv.Itoa(i)
		args[name] = place[i]
		than := " > "
		if k.Down {
			than = " < "
		}
		here := "@" + name + "::" + as
		switch i {
		case 0: // for the index, and then for the rest
			b.WriteString(" and " + column + strings.TrimSpace(than) + "= " + here + " and (" + column + than + here)
		default:
			b.WriteString(" or " + equal + column + than + here)
		}
		equal += column + " = " + here + " and "
	}
	b.WriteString(")")
	return b.String(), nil
}

// A cursor in the order of creation is a product's number. Others are a list's
// order and the place in it, in JSON, in base64.
func placeOf(keys []SortKey, p *FullProduct) string {
	if byCreation(keys) {
		return strconv.FormatInt(int64(p.ID), 10)
	}
	place := []string{sortText(keys)}
	for _, k := range keys {
		place = append(place, k.of(p))
	}
	return base64.RawURLEncoding.EncodeToString(mustJSON(place))
}

func byCreation(keys []SortKey) bool { return len(keys) == 1 && keys[0] == SortKey{By: "created_at"} }

func sortText(keys []SortKey) string {
	parts := make([]string, len(keys))
	for i, k := range keys {
		parts[i] = k.By
		if k.Down {
			parts[i] = "-" + k.By
		}
	}
	return strings.Join(parts, ",")
}

// readPlace gives the values of keys in a cursor. One of another order is refused:
// it says nothing about this one.
func readPlace(keys []SortKey, text string) ([]any, error) {
	_, bad := cursor("-")
	if byCreation(keys) {
		id, err := cursor(text)
		return []any{id}, err
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	var parts []string
	if err != nil || json.Unmarshal(raw, &parts) != nil || len(parts) != len(keys)+1 || parts[0] != sortText(keys) {
		return nil, bad
	}
	place := make([]any, len(keys))
	for i, k := range keys {
		s := parts[i+1]
		switch _, as := k.column(); as {
		case "bigint":
			place[i], err = cursor(s)
		case "timestamptz":
			place[i], err = time.Parse(time.RFC3339Nano, s)
		case "smallint":
			place[i], err = strconv.ParseInt(s, 10, 16)
		default:
			place[i] = s
			if strings.IndexByte(s, 0) >= 0 {
				err = bad
			}
		}
		if err != nil {
			return nil, bad
		}
	}
	return place, nil
}

// conditions is f's, by the newest schema when it asks for what this process
// does not know: another may have made it.
func (s *Store) conditions(ctx context.Context, f *ProductFilter, args pgx.NamedArgs) (string, error) {
	schema, given := s.Schema(), maps.Clone(args)
	var err error
	if f.channels, err = channelPlaces(ctx, s.pool, f); err != nil {
		return "", err
	}
	where, err := f.conditions(schema, args)
	if _, wrong := errors.AsType[*pim.FilterError](err); !wrong {
		return where, err
	}
	newest, e := s.RefreshSchema(ctx)
	if e != nil || newest.Version == schema.Version {
		return "", errors.Join(e, err)
	}
	clear(args)
	maps.Copy(args, given)
	return f.conditions(newest, args)
}

// compiled is a filter's condition on p and parent, by the newest schema where
// it has to be; its arguments are put into args.
func (s *Store) compiled(ctx context.Context, where *pim.Filter, args pgx.NamedArgs) (string, error) {
	sql, err := s.conditions(ctx, &ProductFilter{Where: where}, args)
	_, condition, _ := strings.Cut(sql, " and ") // behind "deleted_at is null"
	return condition, err
}

// find waits until few enough others look through the catalogue. done is to be
// called after the answer is read. The error is that ctx ended before.
func (s *Store) find(ctx context.Context) (done func(), err error) {
	select {
	case s.finding <- struct{}{}:
		return func() { <-s.finding }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for others that look through the catalogue: %w", ctx.Err())
	}
}

// CheckFilter reports whether f asks for what there is: a *pim.FilterError where
// it does not.
func (s *Store) CheckFilter(ctx context.Context, f ProductFilter) error {
	_, err := s.conditions(ctx, &f, pgx.NamedArgs{})
	return err
}

// Products reads one page, by default in the order of creation, and the cursor of
// the next; "" after the last. The error is a *pim.FilterError where f.Where
// asks for what there is not.
func (s *Store) Products(ctx context.Context, f ProductFilter, page Page) (list []*FullProduct, next string, err error) {
	args := pgx.NamedArgs{"limit": page.limit() + 1}
	where, err := s.conditions(ctx, &f, args)
	if err != nil {
		return nil, "", err
	}
	sql, err := f.query(where, page, args)
	if err != nil {
		return nil, "", err
	}
	if f.Where != nil || f.Search != "" {
		done, err := s.find(ctx)
		if err != nil {
			return nil, "", err
		}
		defer done()
	}
	// Each combination is a statement of its own: none is kept, and each is planned for its values.
	rows, err := s.pool.Query(ctx, sql, pgx.QueryExecModeDescribeExec, args)
	if err != nil {
		return nil, "", fmt.Errorf("list products: %w", err)
	}
	list, err = pgx.CollectRows(rows, scanWeighed)
	if err != nil {
		return nil, "", fmt.Errorf("list products: %w", err)
	}
	if len(list) > page.limit() {
		list = list[:page.limit()]
		next = placeOf(f.sorting(), list[len(list)-1])
	}
	return list, next, nil
}
