//go:build real && unix

package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// erp is a real Tryton and its administrator.
type erp struct {
	t       *testing.T
	address string // of the database
	session string
	words   map[string]any
}

// What the channel logs in with.
const (
	erpLogin  = "sluice-hub"
	erpSecret = "Kp4!vnWq7#zLs-2"
)

func openERP(t *testing.T, env map[string]string) *erp {
	t.Helper()
	e := &erp{t: t, address: strings.TrimRight(env["TRYTON_URL"], "/") + "/" + env["TRYTON_DATABASE"] + "/"}
	var session []any
	e.call("common.db.login", &session, env["TRYTON_USER"], map[string]string{"password": env["TRYTON_PASSWORD"]}, "en")
	e.session = base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%s:%v:%v", env["TRYTON_USER"], session[0], session[1]))
	var preferences struct{ Company *int64 }
	e.call("model.res.user.get_preferences", &preferences, true, map[string]any{})
	if preferences.Company == nil {
		t.Fatal("Tryton's administrator has no company")
	}
	e.words = map[string]any{"company": *preferences.Company, "language": "en"}
	return e
}

// call makes one JSON-RPC call, which must succeed.
func (e *erp) call(method string, result any, params ...any) {
	e.t.Helper()
	body, err := json.Marshal(map[string]any{"id": 1, "method": method, "params": params})
	if err != nil {
		e.t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, e.address, bytes.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if e.session != "" {
		req.Header.Set("Authorization", "Session "+e.session)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		e.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		e.t.Fatal(err)
	}
	var answer struct{ Result, Error json.RawMessage }
	if err := json.Unmarshal(raw, &answer); err != nil || answer.Error != nil {
		e.t.Fatalf("%s: %d %.500s", method, resp.StatusCode, raw)
	}
	if result == nil {
		return
	}
	if err := json.Unmarshal(answer.Result, result); err != nil {
		e.t.Fatalf("%s: %v: %s", method, err, answer.Result)
	}
}

func (e *erp) model(method string, result any, params ...any) {
	e.t.Helper()
	e.call("model."+method, result, append(params, e.words)...)
}

// user makes the channel's user, with the rights that docs/connectors/tryton.md
// tells people to give it.
func (e *erp) user() {
	e.t.Helper()
	var ids, groups []int64
	e.model("res.user.search", &ids, []any{[]any{"login", "=", erpLogin}}, 0, 1, nil)
	if len(ids) > 0 {
		e.model("res.user.write", nil, ids, map[string]any{"password": erpSecret})
		return
	}
	e.model("res.group.search", &groups, []any{[]any{"name", "=", "Product Administration"}}, 0, 10, nil)
	e.model("res.user.create", nil, []any{map[string]any{
		"name": erpLogin, "login": erpLogin, "password": erpSecret, "company": e.words["company"],
		"companies": []any{[]any{"add", []any{e.words["company"]}}}, "groups": []any{[]any{"add", groups}},
	}})
}

type erpProduct struct {
	ID       int64  `json:"id"`
	Code     string `json:"code"`
	Active   bool   `json:"active"`
	Template struct {
		ID   int64  `json:"id"`
		Name string `json:"name"`
	} `json:"template."`
}

// products are those with these codes, inactive ones too.
func (e *erp) products(skus ...string) map[string]erpProduct {
	e.t.Helper()
	var found []erpProduct
	e.model("product.product.search_read", &found, []any{[]any{"code", "in", skus}, []any{"active", "in", []bool{true, false}}}, 0, len(skus), nil,
		[]string{"code", "active", "template.name"})
	out := map[string]erpProduct{}
	for _, p := range found {
		out[p.Code] = p
	}
	return out
}

// price changes a template's list price; "" takes it away.
func (e *erp) price(amount string, templates ...int64) {
	e.t.Helper()
	var value any
	if amount != "" {
		value = map[string]any{"__class__": "Decimal", "decimal": amount}
	}
	e.model("product.template.write", nil, templates, map[string]any{"list_price": value})
}

// forget takes the list prices of what an earlier run left.
func (e *erp) forget(skus []string) {
	e.t.Helper()
	var templates []int64
	for _, p := range e.products(skus...) {
		templates = append(templates, p.Template.ID)
	}
	slices.Sort(templates)
	templates = slices.Compact(templates) // which Tryton wants
	if len(templates) > 0 {
		e.price("", templates...)
	}
}
