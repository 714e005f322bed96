package postgres

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres/dbtest"
)

// statements are the SQL constants of this package by name: every constant
// whose name begins with sql, also those within functions, read from the
// source so that a new one cannot be forgotten.
func statements(t *testing.T) map[string]string {
	t.Helper()
	fset := token.NewFileSet()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var parsed []*ast.File
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, f)
	}
	// Constants are worked out whatever else cannot be: imports stay unknown.
	conf := types.Config{Importer: noImports{}, Error: func(error) {}}
	info := &types.Info{Defs: map[*ast.Ident]types.Object{}}
	_, _ = conf.Check("postgres", fset, parsed, info)
	out := map[string]string{}
	for id, obj := range info.Defs {
		c, ok := obj.(*types.Const)
		if !ok || !strings.HasPrefix(id.Name, "sql") {
			continue
		}
		if c.Val().Kind() != constant.String {
			t.Errorf("%s: %s is no string that can be read here", fset.Position(id.Pos()), id.Name)
			continue
		}
		out[id.Name] = constant.StringVal(c.Val())
	}
	return out
}

type noImports struct{}

// Import knows no package.
func (noImports) Import(path string) (*types.Package, error) { return nil, os.ErrNotExist }

var placeholder = regexp.MustCompile(`@[a-z_]+`)

func TestEveryStatementPrepares(t *testing.T) {
	t.Parallel()
	all := statements(t)
	if len(all) < 60 || all["sqlClaim"] == "" || all["sqlEdit"] == "" {
		t.Fatalf("only %d statements found", len(all))
	}
	pool := dbtest.Pool(t)
	for name, sql := range all {
		args := pgx.NamedArgs{}
		for _, p := range placeholder.FindAllString(sql, -1) {
			args[p[1:]] = nil
		}
		rewritten, _, err := args.RewriteQuery(t.Context(), nil, sql, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := pool.Exec(t.Context(), "prepare this as "+rewritten); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := pool.Exec(t.Context(), "deallocate this"); err != nil {
			t.Fatal(err)
		}
	}
}

var (
	touchesListing = regexp.MustCompile(`(update|delete from) listing\b`)
	locksInOrder   = regexp.MustCompile(`order by (product_id, channel_id, lane|l\.product_id, l\.channel_id, l\.lane)( limit \d+)? for update`)
	marksListing   = regexp.MustCompile(`insert into listing\b`)
	marksInOrder   = regexp.MustCompile(`order by [tp]\.(product_)?id, c\.id, lane\.lane\s+on conflict`)
	lockedBefore   = map[string]bool{"sqlReceipt": true, "sqlReborn": true, "sqlOrphans": true, "sqlCompared": true} // in their transaction, by sqlLockListings and sqlLockCompared
)

// Whatever writes many listings locks them in the order product,
// channel, lane; a statement that forgets it would deadlock, on some day.
func TestListingLocksAreOrdered(t *testing.T) {
	t.Parallel()
	seen := 0
	for name, sql := range statements(t) {
		if touchesListing.MatchString(sql) {
			if seen++; !locksInOrder.MatchString(sql) && !lockedBefore[name] {
				t.Errorf("%s writes listings that it did not lock in order", name)
			}
		}
		if marksListing.MatchString(sql) {
			if seen++; !marksInOrder.MatchString(sql) {
				t.Errorf("%s writes listings in no order", name)
			}
		}
	}
	for _, name := range []string{"sqlLockListings", "sqlLockCompared"} {
		if !locksInOrder.MatchString(statements(t)[name]) {
			t.Errorf("%s does not lock in order", name)
		}
	}
	if seen < 7 {
		t.Errorf("only %d statements write listings: does this still look at the right ones?", seen)
	}
}

// node is a node of EXPLAIN's plan.
type node struct {
	Type     string `json:"Node Type"`
	Relation string `json:"Relation Name"`
	Index    string `json:"Index Name"`
	Cond     string `json:"Index Cond"`
	Plans    []node
}

func (n node) each(visit func(node)) {
	visit(n)
	for _, p := range n.Plans {
		p.each(visit)
	}
}

// plan is how the database would run sql, whatever the arguments are: the
// generic plan, which prepared statements end with.
func (h *house) plan(sql string, args pgx.NamedArgs) node {
	h.Helper()
	rewritten, list, err := args.RewriteQuery(h.ctx, nil, sql, nil)
	if err != nil {
		h.Fatal(err)
	}
	conn, err := h.pool.Acquire(h.ctx)
	if err != nil {
		h.Fatal(err)
	}
	defer conn.Release()
	if _, err := conn.Exec(h.ctx, "prepare this as "+rewritten); err != nil {
		h.Fatal(err)
	}
	call := "this"
	if len(list) > 0 {
		call += "(" + strings.TrimSuffix(strings.Repeat("null, ", len(list)), ", ") + ")"
	}
	var out []struct{ Plan node }
	var raw []byte
	for _, set := range []string{"set plan_cache_mode = force_generic_plan", "set jit = off"} {
		if _, err := conn.Exec(h.ctx, set); err != nil {
			h.Fatal(err)
		}
	}
	if err := conn.QueryRow(h.ctx, "explain (format json) execute "+call, pgx.QueryExecModeSimpleProtocol).Scan(&raw); err != nil {
		h.Fatal(err)
	}
	if _, err := conn.Exec(h.ctx, "deallocate this; reset all", pgx.QueryExecModeSimpleProtocol); err != nil {
		h.Fatal(err)
	}
	if err := json.Unmarshal(raw, &out); err != nil || len(out) != 1 {
		h.Fatalf("read the plan: %v", err)
	}
	return out[0].Plan
}

// The road's statements run many times a second beside millions of rows: one
// that reads a whole table is a bug even where it is right.
func TestRoadUsesItsIndexes(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.channel("shop")
	h.checkPlans("an empty database") // a fresh installation's connections keep these plans while it fills
	// So are plans that were made beside a small catalogue: the next import may be a large one.
	for _, n := range []int{100, 1_000, 20_000} {
		h.fill(c.ID, n)
		h.checkPlans(fmt.Sprintf("%d products", n))
	}
}

// A question for what there is mostly little of reads no other listings: for what is
// rejected, is pending, or has issues.
func TestRareListingsAreLookedUp(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	shop := h.channel("shop").ID
	h.fill(shop, 5_000)
	h.exec(`update listing set dirty = false`)
	h.exec(`update listing set error = 'x' where product_id % 1000 = 0`)
	h.exec(`update listing set dirty = true, token = 't' where product_id % 1000 = 1`)
	h.exec(`update listing set issues = '[{"code":"title.missing"}]' where product_id % 1000 = 2`)
	h.exec(`vacuum analyze listing`)
	looks := func(what, index, sql string, args pgx.NamedArgs) {
		t.Helper()
		sql, list, err := args.RewriteQuery(h.ctx, nil, sql, nil)
		if err != nil {
			t.Fatal(err)
		}
		var out []struct{ Plan node }
		var raw []byte
		err = h.pool.QueryRow(h.ctx, "explain (format json) "+sql, append([]any{pgx.QueryExecModeDescribeExec}, list...)...).Scan(&raw)
		if err != nil || json.Unmarshal(raw, &out) != nil {
			t.Fatal(what, err)
		}
		used := false
		out[0].Plan.each(func(n node) { used = used || n.Index == index })
		if !used {
			t.Errorf("%s reads others: %s", what, raw)
		}
	}
	for _, c := range []struct {
		state  pim.ListingState
		issues bool
		index  string
	}{{pim.StateRejected, false, "listing_rejected"}, {pim.StatePending, false, "listing_due"}, {"", true, "listing_issues"}} {
		for _, channel := range []pim.ChannelID{0, shop} {
			looks(fmt.Sprintf("%+v on %d", c, channel), c.index, sqlListings, pgx.NamedArgs{
				"after_product": 0, "after_channel": 0, "after_lane": 0, "channel": channel, "sku": "", "lane": 0, "state": c.state, "issues": c.issues, "limit": 101,
			})
		}
	}
	for text, index := range map[string]string{
		`issue = title.missing`: "listing_issues", `listing.shop.issue starts with title`: "listing_issues", `issue is not empty`: "listing_issues", `listing.shop.state = pending`: "listing_due",
	} {
		filter, err := pim.ParseFilter(text)
		if err != nil {
			t.Fatal(err)
		}
		f, args := ProductFilter{Where: filter}, pgx.NamedArgs{"limit": 101}
		where, err := h.conditions(h.ctx, &f, args)
		if err != nil {
			t.Fatal(err)
		}
		sql, err := f.query(where, Page{}, args)
		if err != nil {
			t.Fatal(err)
		}
		looks(text, index, sql, args)
	}
}

// fill adds products until there are n, each with a listing on every lane of a channel.
func (h *house) fill(channel pim.ChannelID, n int) {
	h.Helper()
	h.exec(`insert into product (sku, family) select 'P-' || n, 'thing' from generate_series((select count(*) + 1 from product), $1::int) n`, n)
	h.exec(`insert into product_offer (product_id, price_rev) select id, 1 from product on conflict do nothing`)
	h.exec(`insert into price (product_id, amount, currency, price_list) select id, 1, 'EUR', 'default' from product on conflict do nothing`)
	h.exec(`insert into stock (product_id, on_hand, location) select id, 1, 'default' from product on conflict do nothing`)
	h.exec(`insert into event (product_id, rev, lanes, type, actor, data) select id, 1, 1, 'product.created', 'x', '{}' from product`)
	h.exec(`insert into outbox (product_id, lanes) select id, 1 from product`)
	h.exec(`insert into reference_entity (code, definition) values ('brand', '{"code": "brand"}') on conflict do nothing`)
	h.exec(`insert into record (ref, entity, code, rev) select 'brand/' || n, 'brand', n, 1 from generate_series((select count(*) + 1 from record), $1::int) n`, n)
	h.exec(`update record set records = array['brand/' || length(code)] where records = '{}' and code like '%7'`)
	h.exec(`insert into association_type (code, definition) values ('UP', '{"code": "UP"}') on conflict do nothing`)
	h.exec(`insert into association (product_id, type, target, position) select id, 'UP', 'P-' || id + 1, 0 from product on conflict do nothing`)
	h.exec(`update product set parent_id = id - 1 where id % 4 = 0 and parent_id is null`)
	h.exec(`update product set records = array['brand/' || id % 50] where id % 3 = 0 and records = '{}'`)
	h.exec(`insert into listing (channel_id, lane, product_id, dirty) select $1, lane, id, id % 10 = 0 from product, (values (1), (2), (4)) l (lane) on conflict do nothing`, channel)
	h.exec(`vacuum analyze`)
}

// large are the indexes, of tables that grow with the catalogue, of which no part is small.
var large = regexp.MustCompile(`^(product|product_offer|listing|price|stock|event|association|record)_(pkey|sku_key|parent|product|target)$`)

func (h *house) checkPlans(of string) {
	h.Helper()
	for name, want := range map[string]struct {
		sql   string
		index string // those that must be used
		free  string // tables that may be read whole
	}{
		"claim":     {sqlClaim, "listing_due", "channel catalogue consumer"},
		"next due":  {sqlNextDue, "listing_due", ""},
		"due":       {sqlDue, "", "channel catalogue consumer outbox import pull"}, // exists: one row is enough
		"fan-out":   {sqlFanout, "outbox_order", "channel consumer catalogue location"},
		"mark":      {sqlMarkChannel, "product_pkey", "channel consumer"},
		"poison":    {sqlPoison, "outbox_order", "consumer"},
		"receipt":   {sqlReceipt, "", "consumer location"},
		"reborn":    {sqlReborn, "", "consumer location"},
		"orphans":   {sqlOrphans, "", "consumer"},
		"edit":      {sqlEdit, "product_pkey", "catalogue"},
		"current":   {sqlCurrent, "product_sku_key", ""},
		"lock":      {sqlLockProducts, "product_sku_key product_pkey", ""},
		"prices":    {sqlPrices, "product_sku_key", "catalogue price_guard"},
		"ruled":     {sqlRuledPrices, "price_pkey", ""},
		"priced":    {sqlPricedProducts, "product_pkey", "category"},
		"offers of": {sqlLockOffersOf, "product_offer_pkey", ""},
		"stock":     {sqlStock, "product_sku_key", "channel location"},
		"first":     {sqlFirstOffers, "product_sku_key", ""},
		"none":      {sqlNoOffers, "product_sku_key", ""},
		"offers":    {sqlLockOffers, "product_offer_pkey", ""},
		"preview":   {sqlSurveyOne, "product_sku_key listing_pkey", "channel consumer location"},
		"product":   {sqlProduct, "product_sku_key association_target", "association_type location"},
		"records":   {sqlRecordChanges, "", "record_change channel"},
		"spread":    {sqlSpreadChange, "record_records", "record_change"},
		"named":     {sqlRecordsInUse, "product_records record_records", ""},
		"keys":      {sqlRecordKeys, "record_pkey", ""},
		"comes":     {sqlAssociationChanges, "association_target", "association_change association_type channel"},
		"links":     {sqlAssociations, "product_sku_key association_target", "association_type"},
		"waiting":   {sqlWaitingAssociations, "association_target", ""},
		"shown":     {sqlShownAssociations, "product_sku_key association_target", "association_type"},
		"windows":   {sqlPriceWindows, "price_opens", "catalogue"},
		"published": {sqlPublicationWindows, "publication_opens", "catalogue"},
		"publish":   {sqlPublications, "product_sku_key", ""},
		"events":    {sqlEvents, "", "event_default"},
		"forget":    {sqlForget, "", "idempotency"},
		"tickets":   {sqlTicketsNow, "listing_due", ""},
		"one":       {sqlCurrentOne, "product_sku_key", ""},
		"siblings":  {sqlSiblings, "product_axes", ""},
		"parents":   {sqlParents, "product_pkey", ""},
		"locked":    {sqlLockListings, "listing_pkey", "consumer"},
		"drop":      {sqlDropListings, "product_pkey", "channel"},
		"resync":    {sqlResyncNext, "product_pkey", "channel"},
		"listed":    {sqlResyncListed, "product_sku_key", "channel"},
		"exchanges": {sqlOldExchanges, "", ""},
		"age":       {sqlDropExchanges, "", ""},
		"watched":   {sqlWatched, "listing_rejected", "channel product alert"},
		"retry":     {sqlRetryParked, "listing_rejected", "channel location"},
		"walk":      {sqlPriceWalkPage, "product_offer_pkey product_pkey", ""},
	} {
		args := pgx.NamedArgs{}
		for _, p := range placeholder.FindAllString(want.sql, -1) {
			args[p[1:]] = nil
		}
		plan := h.plan(want.sql, args)
		indexes := []string{}
		plan.each(func(n node) {
			if n.Index != "" {
				indexes = append(indexes, n.Index)
			}
			if n.Type == "Seq Scan" && !strings.Contains(" "+want.free+" ", " "+n.Relation+" ") {
				h.Errorf("%s: %s reads all of %s", of, name, n.Relation)
			}
			if n.Cond == "" && large.MatchString(n.Index) {
				h.Errorf("%s: %s reads all of %s", of, name, n.Index)
			}
		})
		for index := range strings.FieldsSeq(want.index) {
			if !slices.Contains(indexes, index) {
				h.Errorf("%s: %s uses %v, not %s", of, name, indexes, index)
			}
		}
	}
}
