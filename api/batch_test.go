package api

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
	"github.com/sluicehub/sluice/pim/postgres/dbtest"
)

// resources sends a batch and gives what became of each row: its code, status and
// revision, and the place and code of its problems.
func (k *kit) resources(role Role, path, body string, headers ...string) (ResourceBatchAnswer, string) {
	k.t.Helper()
	var a ResourceBatchAnswer
	k.hide(k.want(k.do(role, "POST", path, body, headers...), 200, &a))
	var rows []string
	for _, r := range a.Results {
		row := fmt.Sprintf("%s:%s:%d", r.Code, r.Status, r.Revision)
		for _, p := range r.Problems {
			row += " " + p.Pointer + "=" + p.Code
		}
		rows = append(rows, row)
	}
	return a, strings.Join(rows, "\n")
}

// Each row of a batch is what the operation on the one thing is, for itself.
func TestBatchOfResources(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	check := func(role Role, path, body, want string, headers ...string) ResourceBatchAnswer {
		t.Helper()
		a, got := k.resources(role, path, body, headers...)
		if want = strings.ReplaceAll(strings.TrimSpace(want), "\t", ""); got != want {
			t.Errorf("%s:\n%s\nwanted:\n%s", path, got, want)
		}
		return a
	}
	a := check(Editor, "/v1/attributes:batch", `[{"code":"care","type":"text","labels":{"en-GB":"Care"}},{"code":"color","type":"text"},{"code":"care","type":"text","max_length":9},
		{"type":"text"},7,{"code":"x","type":"text","nope":1},{"code":"care","delete":true},{"code":"care","delete":true},{"code":"spare","if_match":1,"type":"text"},{"code":"spare","delete":"yes"}]`, `
		care:created:1
		color:rejected:0 /1=attribute.shape
		care:stored:2
		:rejected:0 /3/code=field.missing
		:rejected:0 /4=field.type
		x:rejected:0 /5/nope=field.unknown
		care:deleted:0
		care:rejected:0 /7=not-found
		spare:stored:1
		spare:rejected:0 /9/delete=field.type`)
	if a.Created != 1 || a.Stored != 2 || a.Deleted != 1 || a.Rejected != 6 {
		t.Errorf("%+v", a)
	}
	check(Editor, "/v1/locales:batch", "{\"code\":\"fr-FR\"}\n{\"code\":\"fr-FR\"}\n{\"code\":\"f\"}\n{\"code\":\"nl-BE\",\"labels\":{}}\n{\"code\":\"fr-FR\",\"delete\":true}", `
		fr-FR:created:1
		fr-FR:stored:1
		f:rejected:0 /2/code=locale
		nl-BE:rejected:0 /3/labels=field.unknown
		fr-FR:deleted:0`, "Content-Type", "application/x-ndjson")
	check(Editor, "/v1/categories:batch", `[{"code":"lamps","parent":"home"},{"code":"home"},{"code":"lamps","parent":"home"},{"code":"home","if_match":1,"labels":{"en-GB":"Home"}},{"code":"home","if_match":1},{"code":"home","delete":true},{"code":"lamps","delete":true,"if_match":1}]`, `
		lamps:rejected:0 /0/parent=category.parent
		home:created:1
		lamps:created:1
		home:stored:2
		home:rejected:2 /4=stale
		home:rejected:0 /5=in-use
		lamps:deleted:0`)
	check(Editor, "/v1/price-lists:batch", `[{"code":"trade","labels":{"en-GB":"Trade"}},{"code":"sale"}]`, `
		trade:created:1
		sale:stored:1`)
	check(Editor, "/v1/currencies:batch", `[{"code":"SEK","if_match":1}]`, `
		SEK:rejected:0 /0/if_match=field.unknown`)
	check(Editor, "/v1/families:batch", `[{"code":"hat","attributes":[{"code":"name","required":true},{"code":"none"}]},{"code":"hat","attributes":[{"code":"name"}]}]`, `
		hat:rejected:0 /0/attributes/1/code=attribute.unknown
		hat:created:1`)
	// What is not there is created where that is another operation.
	channel := `{"code":"%s","connector":"webhook","locale":"%s","currency":"EUR","config":{"url":"https://shop.example/x","secret":"` + testSecret + `"}}`
	check(ChannelManager, "/v1/channels:batch", "["+fmt.Sprintf(channel, "shop", "en-GB")+","+fmt.Sprintf(channel, "bad", "xx")+","+fmt.Sprintf(channel, "shop", "de-DE")+`,{"code":"shop","delete":true,"if_match":1},{"code":"shop","delete":true}]`, `
		shop:created:1
		bad:rejected:0 /1/locale=locale.unknown
		shop:stored:2
		shop:rejected:2 /3=stale
		shop:deleted:0`)
	// Roles are those of what the rows are.
	k.want(k.do(Viewer, "POST", "/v1/attributes:batch", `[]`), 403, nil)
	k.want(k.do(ChannelManager, "POST", "/v1/attributes:batch", `[]`), 403, nil)
	k.want(k.do(Editor, "POST", "/v1/channels:batch", `[]`), 403, nil)
	k.refused(k.do(Editor, "POST", "/v1/attributes:batch", `{}`), 422, "", "json.syntax")
	k.want(k.do(Editor, "POST", "/v1/attributes:batch", "["+strings.Repeat("1,", maxRows)+"1]"), 413, nil)
}

// Rows of a batch stand on those before them, as they were stored: on what is made a
// few rows above, never on what was refused or deleted there.
func TestBatchStandsOnItsRows(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	check := func(path, body, want string) {
		t.Helper()
		if _, got := k.resources(Editor, path, body); got != strings.ReplaceAll(strings.TrimSpace(want), "\t", "") {
			t.Errorf("%s:\n%s\nwanted:\n%s", path, got, want)
		}
	}
	check("/v1/categories:batch", `[{"code":"sales"},{"code":"shoes","parent":"sales"},{"code":"bad code","parent":"sales"},{"code":"boots","parent":"shoes"},{"code":"under-bad","parent":"bad code"},
		{"code":"shoes","if_match":1,"parent":"boots"},{"code":"gifts"},{"code":"shoes","if_match":1,"parent":"gifts"},{"code":"shoes","if_match":1,"parent":"sales"},{"code":"laces","parent":"boots"},
		{"code":"boots","delete":true},{"code":"laces","delete":true},{"code":"boots","delete":true,"if_match":1},{"code":"heels","parent":"boots"},{"code":"heels","parent":"gifts"}]`, `
		sales:created:1
		shoes:created:1
		bad code:rejected:0 /2/code=category.code
		boots:created:1
		under-bad:rejected:0 /4/parent=category.parent
		shoes:rejected:0 /5/parent=category.cycle
		gifts:created:1
		shoes:stored:2
		shoes:rejected:2 /8=stale
		laces:created:1
		boots:rejected:0 /10=in-use
		laces:deleted:0
		boots:deleted:0
		heels:rejected:0 /13/parent=category.parent
		heels:created:1`)
	var c Category
	k.want(k.do(Viewer, "GET", "/v1/categories/heels", nil), 200, &c)
	if strings.Join(c.Path, " ") != "gifts heels" || c.Position != 1 {
		t.Errorf("%+v", c)
	}
	check("/v1/attribute-groups:batch", `[{"code":"care"},{"code":"no no"}]`, `
		care:created:1
		no no:rejected:0 /1/code=attribute_group.code`)
	check("/v1/attributes:batch", `[{"code":"wash","type":"text","group":"care"},{"code":"iron","type":"nope"},{"code":"dry","type":"text","group":"no-no"},{"code":"wash","if_match":1,"type":"text","max_length":3},{"code":"steam","type":"text"}]`, `
		wash:created:1
		iron:rejected:0 /1/type=attribute.type
		dry:rejected:0 /2/group=attribute_group.unknown
		wash:stored:2
		steam:created:1`)
	check("/v1/families:batch", `[{"code":"towel","attributes":[{"code":"wash"},{"code":"steam"}]},{"code":"sheet","attributes":[{"code":"iron"}]},{"code":"sheet","attributes":[{"code":"wash"}]}]`, `
		towel:created:1
		sheet:rejected:0 /1/attributes/0/code=attribute.unknown
		sheet:created:1`)
	check("/v1/attributes:batch", `[{"code":"wash","type":"number"},{"code":"wash","delete":true},{"code":"wash","if_match":2,"type":"text"}]`, `
		wash:rejected:0 /0=attribute.shape
		wash:rejected:0 /1=in-use
		wash:stored:3`)
	check("/v1/families:batch", `[{"code":"towel","delete":true},{"code":"sheet","delete":true}]`, `
		towel:deleted:0
		sheet:deleted:0`)
	check("/v1/attributes:batch", `[{"code":"wash","type":"number"},{"code":"wash","delete":true},{"code":"wash","delete":true}]`, `
		wash:stored:4
		wash:deleted:0
		wash:rejected:0 /2=not-found`)
	check("/v1/locales:batch", `[{"code":"nl-BE","fallback":"nl-NL"},{"code":"it-IT"},{"code":"it-CH","fallback":"it-IT"},{"code":"it-IT","fallback":"it-CH"},{"code":"it-IT","delete":true},{"code":"it-CH","if_match":2,"fallback":"it-IT"}]`, `
		nl-BE:created:2
		it-IT:created:1
		it-CH:created:2
		it-IT:rejected:0 /3/fallback=locale.cycle
		it-IT:rejected:0 /4=used.locale
		it-CH:stored:2`)
}

// A batch and somebody else's changes from another process go beside each other:
// each row starts from what there is then, and nothing of either is lost.
func TestBatchBesideOthers(t *testing.T) {
	t.Parallel()
	dsn := dbtest.New(t)
	k := newKitOn(t, dsn).seed()
	other, err := postgres.Open(t.Context(), dsn, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Close)
	const rows = 60
	var attributes, categories strings.Builder
	for i := range rows {
		fmt.Fprintf(&attributes, "{\"code\":\"a%d\",\"type\":\"text\"}\n", i)
		fmt.Fprintf(&categories, "{\"code\":\"c%d\",\"parent\":%q}\n", i, map[bool]string{true: "", false: fmt.Sprint("c", i/8*8)}[i%8 == 0])
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range rows {
			if _, err := other.ChangeSchema(t.Context(), postgres.SchemaChange{Attributes: []pim.Attribute{{Code: fmt.Sprint("o", i), Type: pim.TypeText}}}); err != nil {
				t.Error(err)
			}
			if _, _, err := other.PutCategory(t.Context(), pim.CategoryEdit{Code: fmt.Sprint("o", i)}, 0); err != nil {
				t.Error(err)
			}
		}
	})
	for path, body := range map[string]string{"/v1/attributes:batch": attributes.String(), "/v1/categories:batch": categories.String()} {
		if a, got := k.resources(Editor, path, body, "Content-Type", "application/x-ndjson"); a.Created != rows {
			t.Errorf("%s: %s", path, got)
		}
	}
	wg.Wait()
	for who, s := range map[string]*postgres.Store{"the API": k.store, "the other": other} {
		now, err := s.RefreshSchema(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i := range rows {
			if now.Attributes[fmt.Sprint("a", i)] == nil || now.Attributes[fmt.Sprint("o", i)] == nil || now.Tree.Category(fmt.Sprint("c", i)) == nil || now.Tree.Category(fmt.Sprint("o", i)) == nil {
				t.Errorf("%s does not know what was made of %d", who, i)
			}
		}
	}
}

// Products of a batch are stored, or refused, each for itself, parents before
// their variants.
func TestBatchOfProducts(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	check := func(query, body, want string) ProductBatchAnswer {
		t.Helper()
		var a ProductBatchAnswer
		k.want(k.do(Editor, "POST", "/v1/products:batch"+query, body), 200, &a)
		var rows []string
		for _, r := range a.Results {
			row := fmt.Sprintf("%s:%s:%d:%d", r.SKU, r.Status, r.Revision, len(r.Warnings))
			for _, p := range r.Problems {
				row += " " + p.Pointer + "=" + p.Code
			}
			rows = append(rows, row)
		}
		if got, want := strings.Join(rows, "\n"), strings.ReplaceAll(strings.TrimSpace(want), "\t", ""); got != want {
			t.Errorf("got:\n%s\nwanted:\n%s", got, want)
		}
		return a
	}
	a := check("", `[{"sku":"V","family":"shoe","parent":"P","values":{"color":"red"}},{"sku":"P","family":"shoe","family_variant":"by_color","values":{"name":{"en-GB":"Parent"}}},
		{"sku":"A","family":"shoe","values":{"gtin":"4006381333932"}},{"sku":"B","values":{}},{"sku":"A","values":{}},{"values":{}},{"sku":"C","family":"shoe","values":{"count":"x"}},
		{"sku":"D","family":"shoe","delete":"no"},{"sku":"E","family":"shoe","price":1},"x"]`, `
		V:created:1:0
		P:created:1:0
		A:created:1:1
		B:rejected:0:0 /3/family=family.missing
		A:rejected:0:0 /4/sku=sku.twice
		:rejected:0:0 /5/sku=field.missing
		C:rejected:0:0 /6/values/count=value.type
		D:rejected:0:0 /7/delete=field.type
		E:rejected:0:0 /8/price=field.unknown
		:rejected:0:0 /9=json.not_object`)
	if a.Created != 3 || a.Rejected != 7 {
		t.Errorf("%+v", a)
	}
	check("", `[{"sku":"A","values":{"count":2}},{"sku":"P","values":{"name":{"en-GB":"Parent"}}},{"sku":"V","if_match":7,"values":{"name":{"en-GB":"Mine"}}},{"sku":"P2","delete":true}]`, `
		A:changed:2:1
		P:unchanged:1:0
		V:rejected:1:0 /2=stale
		P2:rejected:0:0 /3=not-found`)
	check("?mode=put", `[{"sku":"A","family":"shoe","if_match":2,"values":{"count":2}},{"sku":"V","delete":true,"if_match":1},{"sku":"P","delete":true,"values":{}}]`, `
		A:changed:3:0
		V:deleted:3:0
		P:rejected:0:0 /2/values=field.unknown`)
	if p := k.product("A"); len(p.Values) == 0 || strings.Contains(string(p.Values), "gtin") {
		t.Errorf("put leaves %s", p.Values)
	}
	if _, err := k.store.Product(t.Context(), "V"); err == nil || k.count("event") == 0 {
		t.Error(err)
	}
	// A row from an older revision goes through where it names nothing that has changed since, and is else told what has.
	k.want(k.do(Editor, "PUT", "/v1/products/S", `{"family":"shoe","values":{"count":1}}`), 201, nil)
	k.want(k.do(Editor, "PATCH", "/v1/products/S", `{"values":{"count":2}}`), 200, nil)
	a = check("", `[{"sku":"S","if_match":1,"values":{"name":{"en-GB":"Shoe"}}}]`, `
		S:changed:3:0`)
	if u := a.Results[0].Unseen; len(u) != 1 || u[0].Field != "values.count" {
		t.Errorf("unseen %+v", u)
	}
	a = check("", `[{"sku":"S","if_match":1,"values":{"count":5}}]`, `
		S:rejected:3:0 /0=stale`)
	if c := a.Results[0].Changes; len(c) != 2 || c[0].Field != "values.count" || c[1].Field != "values.name.en-GB" {
		t.Errorf("changes %+v", c)
	}
	check("?mode=put", `[{"sku":"S","if_match":1,"family":"shoe","values":{}}]`, `
		S:rejected:3:0 /0=stale`)
	k.want(k.do(Integration, "POST", "/v1/products:batch", `[]`), 403, nil)
}

// Each batch that there is can work its rows off.
func TestBatchesTakeTheirRows(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	for _, o := range operations(k.s.api.OpenAPI()) {
		if !strings.HasSuffix(o.OperationID, batchSuffix) {
			continue
		}
		for _, row := range []string{`{"code":"x1"}`, `{"code":"x1","if_match":1}`, `{"code":"x1","delete":true}`} {
			if a, got := k.resources(Admin, o.Path, "["+row+"]"); strings.Contains(got, "internal") {
				t.Errorf("%s of %s: %+v", o.OperationID, row, a)
			}
		}
	}
}
