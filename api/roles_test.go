package api

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
)

// public are the operations that need no key; a hook is signed in its target's
// own way, and the address of a file in ours.
var public = []string{"healthz", "readyz", "metrics", "openapi", "docs", "hook", "get-media"}

// TestEveryOperationHasItsRoles walks the description and sends every operation
// as every role, without a key, and with a wrong one: 403 exactly where the
// table says so.
func TestEveryOperationHasItsRoles(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	seen := map[string]bool{}
	for _, o := range operations(k.s.api.OpenAPI()) {
		seen[o.OperationID] = true
		path := strings.NewReplacer("{sku}", "X", "{code}", "x", "{id}", "999", "{version}", "1", "{hash}", strings.Repeat("0", 64), "{name}", "a.jpg").Replace(o.Path)
		send := func(role Role, headers ...string) int {
			var body any
			if o.RequestBody != nil {
				body = "!" // no operation gets further than this
			}
			return k.do(role, o.Method, path, body, headers...).StatusCode
		}
		if open := o.Security != nil && len(o.Security) == 0; open != slices.Contains(public, o.OperationID) {
			t.Errorf("%s: needs no key: %v", o.OperationID, open)
		} else if open {
			want := 200
			if o.OperationID == "hook" {
				want = 404 // whose calls are signed in its target's way; there is no channel here
			}
			if o.OperationID == "get-media" {
				want = 403
			}
			if code := send(""); code != want {
				t.Errorf("%s: %d without a key", o.OperationID, code)
			}
			continue
		}
		for _, header := range []string{"", "Bearer", "Bearer x", "Basic " + k.keys[Admin], "Bearer " + k.keys[Admin][:46], "Bearer slk_" + strings.Repeat("A", 43)} {
			if code := send("", "Authorization", header); code != 401 {
				t.Errorf("%s: %d with %q", o.OperationID, code, header)
			}
		}
		roles := rolesOf(o.OperationID)
		if !slices.Contains(roles, Admin) {
			t.Errorf("%s: an admin may everything", o.OperationID)
		}
		if (slices.Contains(roles, Viewer) || slices.Contains(roles, Integration)) && o.Method != "GET" &&
			!slices.Contains([]string{"set-prices", "set-stock", "create-import", "put-import-profile", "delete-import-profile", "create-asset", "put-asset", "fetch-asset"}, likeSingle(o.OperationID)) {
			t.Errorf("%s: more than its role is for", o.OperationID)
		}
		if slices.Contains(roles, Viewer) && o.Method != "GET" {
			t.Errorf("%s: a viewer only reads", o.OperationID)
		}
		for _, role := range Roles {
			if code := send(role); (code == 403) == slices.Contains(roles, role) || code == 401 || code >= 500 {
				t.Errorf("%s as %s: %d, and the table allows %v", o.OperationID, role, code, roles)
			}
		}
	}
	for id := range allowed {
		if !seen[id] {
			t.Errorf("the table names %s, which there is not", id)
		}
	}
	// Three roles may upload a file, and any file may be tried.
	if k.count("product")+k.count("channel")+k.count("asset")+k.count("rendition_definition") > 0 || k.count("import") != 3 {
		t.Error("a probe was stored")
	}
}

// TestNewRefusesHoles: an operation outside the table, or a line of the table
// without operation, keeps the API from starting.
func TestNewRefusesHoles(t *testing.T) {
	t.Parallel()
	doc := func(o ...*huma.Operation) *huma.OpenAPI {
		d := &huma.OpenAPI{}
		for id := range allowed {
			d.AddOperation(&huma.Operation{OperationID: id, Method: "GET", Path: "/" + id})
		}
		for _, o := range o {
			d.AddOperation(o)
		}
		return d
	}
	if err := checkRoles(doc()); err != nil {
		t.Fatal(err)
	}
	if err := checkRoles(doc(&huma.Operation{OperationID: "hole", Method: "GET", Path: "/hole"})); err == nil {
		t.Error("an operation without roles passes")
	}
	if err := checkRoles(doc(&huma.Operation{OperationID: "hook", Method: "GET", Path: "/hook", Security: []map[string][]string{}})); err != nil {
		t.Error(err)
	}
	d := doc()
	delete(d.Paths, "/get-product")
	if err := checkRoles(d); err == nil {
		t.Error("a line without operation passes")
	}
	d.AddOperation(&huma.Operation{OperationID: "get-product", Method: "GET", Path: "/p", Security: []map[string][]string{}})
	if err := checkRoles(d); err == nil {
		t.Error("an operation in the table that needs no key passes")
	}
}

// TestKeys creates a key, uses it, revokes it; its secret shows once.
func TestKeys(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	var made NewKeyAnswer
	k.want(k.do(Admin, "POST", "/v1/keys", `{"name":"ERP","role":"integration"}`), 201, &made)
	if len(made.Secret) != 47 || made.Role != Integration || made.Name != "ERP" {
		t.Fatalf("made %+v", made)
	}
	k.keys["new"] = made.Secret
	k.want(k.do("new", "GET", "/v1/products", nil), 200, nil)
	k.want(k.do("new", "GET", "/v1/products", nil, "Authorization", "bearer  "+made.Secret), 200, nil)
	k.want(k.do("new", "GET", "/v1/keys", nil), 403, nil)
	list := k.want(k.do(Admin, "GET", "/v1/keys", nil), 200, nil)
	if strings.Contains(string(list.body), made.Secret[4:]) || !strings.Contains(string(list.body), `"ERP"`) {
		t.Errorf("the list of keys: %s", list.body)
	}
	for body, place := range map[string]string{
		`{"name":"","role":"viewer"}`: "/name", `{"name":"a\u0007","role":"viewer"}`: "/name", `{"name":" a","role":"viewer"}`: "/name",
		`{"name":"a","role":"boss"}`: "/role", `{"role":"viewer"}`: "/name", `{"name":"a","role":"viewer","x":1}`: "/x",
	} {
		r := k.do(Admin, "POST", "/v1/keys", body)
		k.want(r, 422, nil)
		if !strings.Contains(string(r.body), `"pointer":"`+place+`"`) {
			t.Errorf("%s: %s", body, r.body)
		}
	}
	k.want(k.do(Admin, "DELETE", "/v1/keys/"+strconv.FormatInt(made.ID, 10), nil), 204, nil)
	r := k.want(k.do("new", "GET", "/v1/products", nil), 401, nil)
	if !strings.Contains(r.Header.Get("WWW-Authenticate"), "Bearer") {
		t.Error("a 401 without WWW-Authenticate")
	}
	k.want(k.do(Admin, "DELETE", "/v1/keys/99999", nil), 404, nil)
	if strings.Contains(k.log.String(), made.Secret[4:]) {
		t.Error("a secret is in the log")
	}
}

// TestKeysAreRemembered: a request costs no query for its key, and guesses do
// not fill the memory.
func TestKeysAreRemembered(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	ctx := t.Context()
	if _, err := k.s.keys.find(ctx, k.keys[Viewer]); err != nil {
		t.Fatal(err)
	}
	for range maxKeys + 10 {
		secret, hash := NewKey()
		k.s.keys.remember([32]byte(hash), seenKey{})
		_ = secret
	}
	if n := len(k.s.keys.seen); n > maxKeys {
		t.Errorf("%d keys remembered", n)
	}
	if _, err := k.s.keys.find(ctx, k.keys[Viewer]); err != nil {
		t.Fatal(err)
	}
	k.store.Close() // from here on a query fails
	if key, err := k.s.keys.find(ctx, k.keys[Viewer]); err != nil || key.Role != "viewer" {
		t.Errorf("the key was asked for again: %v", err)
	}
	if secret, _ := NewKey(); true {
		if _, err := k.s.keys.find(ctx, secret); err == nil {
			t.Error("a key that nobody knows was found")
		}
	}
}
