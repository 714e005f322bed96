package trytontest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// maxBody bounds a request, in bytes.
const maxBody = 32 << 20

// request is one call.
type request struct {
	ID     any    `json:"id"`
	Method string `json:"method"`
	Params []any  `json:"params"`
}

// ServeHTTP answers POST /<database>/ in Tryton's JSON-RPC, and the paths of AdminPath.
func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, AdminPath) {
		f.admin.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return // the caller went away
	}
	f.mu.Lock()
	f.count.Calls++
	// Answers are dated by the clock that dates records.
	w.Header().Set("Date", f.now().UTC().Format(http.TimeFormat))
	f.mu.Unlock()
	if r.Method != http.MethodPost {
		page(w, http.StatusMethodNotAllowed, "Method Not Allowed")
		return
	}
	var call request
	raw := map[string]json.RawMessage{}
	if json.Unmarshal(body, &raw) != nil || json.Unmarshal(body, &call) != nil || !strings.Contains(r.Header.Get("Content-Type"), "json") {
		f.note("a body that is no JSON-RPC")
		page(w, http.StatusInternalServerError, "Internal Server Error")
		return
	}
	// With other members, Tryton answers the bare result.
	if members := slices.Sorted(maps.Keys(raw)); !slices.Equal(members, []string{"id", "method", "params"}) {
		f.note("%s: the members of the call are %v", call.Method, members)
	}
	for i := range call.Params {
		call.Params[i] = unwire(call.Params[i])
	}
	f.answer(w, r, call)
}

func (f *Fake) note(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.violate(format, args...)
}

// answer meets faults, does the call and answers it.
func (f *Fake) answer(w http.ResponseWriter, r *http.Request, call request) {
	fault := f.meet(call.Method)
	if fault != nil && !f.before(w, r, fault, call) {
		return
	}
	if r.URL.Path != "/"+f.opts.Database+"/" {
		page(w, http.StatusNotFound, "Not Found")
		return
	}
	if call.Method == "common.db.login" {
		f.login(w, call)
		return
	}
	if !f.session(r.Header.Get("Authorization")) {
		w.Header().Set("WWW-Authenticate", `Basic realm="Tryton"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	result, err := f.do(call)
	if forbidden, ok := errors.AsType[*forbidden](err); ok {
		page(w, http.StatusForbidden, forbidden.Error())
		return
	}
	f.after(w, fault, envelope(call.ID, result, err, f.opts.Echo))
}

// envelope is an answer in Tryton's JSON-RPC.
func envelope(id, result any, err error, echo string) []byte {
	answer := map[string]any{"id": id}
	said := func(s string) string { return strings.TrimSpace(s + " " + echo) }
	if e, ok := errors.AsType[*userError](err); ok {
		answer["error"] = []any{"UserError", []any{said(e.text), "", nil}}
	} else if err != nil {
		answer["error"] = []any{said(err.Error()), ""}
	} else {
		answer["result"] = result
	}
	raw, failed := json.Marshal(answer)
	if failed != nil {
		return []byte(`{"id":1,"error":["the answer has no JSON",""]}`)
	}
	return raw
}

// page answers as werkzeug does.
func page(w http.ResponseWriter, status int, what string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<!doctype html>\n<html lang=en>\n<title>%d %s</title>\n<h1>%s</h1>\n", status, what, what)
}

func sendJSON(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}

func (f *Fake) login(w http.ResponseWriter, call request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	user, _ := param(call, 0).(string)
	parameters, _ := param(call, 1).(map[string]any)
	if _, ok := parameters["password"]; !ok {
		body, _ := json.Marshal(map[string]any{"id": call.ID, "error": []any{"LoginException", []any{"password", "Password for " + user, "password"}}})
		sendJSON(w, body)
		return
	}
	if user != f.opts.User || parameters["password"] != f.opts.Password {
		f.count.Refused++
		page(w, http.StatusUnauthorized, "Unauthorized")
		return
	}
	f.count.Logins++
	k := key()
	f.sessions[k], f.granted = f.now().Add(f.opts.Session), append(f.granted, k)
	sendJSON(w, envelope(call.ID, []any{userID, k}, nil, ""))
}

// session checks an Authorization header: Session base64(user:id:key).
func (f *Fake) session(header string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	scheme, token, _ := strings.Cut(header, " ")
	raw, err := base64.StdEncoding.DecodeString(token)
	parts := strings.Split(string(raw), ":")
	if !strings.EqualFold(scheme, "Session") || err != nil || len(parts) != 3 {
		f.violate("a call without a session header")
		return false
	}
	if parts[0] != f.opts.User || parts[1] != strconv.Itoa(userID) {
		f.violate("a session of user %q, id %q", parts[0], parts[1])
		return false
	}
	end, ok := f.sessions[parts[2]]
	if !ok || !f.now().Before(end) {
		delete(f.sessions, parts[2])
		f.count.Expired++
		return false
	}
	return true
}

// forbidden is a method that Tryton does not offer.
type forbidden struct{ method string }

func (e *forbidden) Error() string { return "Forbidden" }

func param(call request, i int) any {
	if i < len(call.Params) {
		return call.Params[i]
	}
	return nil
}

// do does a call of a model's method.
func (f *Fake) do(call request) (any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	name, ok := strings.CutPrefix(call.Method, "model.")
	cut := strings.LastIndexByte(name, '.')
	if !ok || cut < 0 {
		return nil, &forbidden{call.Method}
	}
	model, method := name[:cut], name[cut+1:]
	if len(call.Params) == 0 {
		f.violate("%s: no context", call.Method)
		return nil, &exception{"Missing context argument"}
	}
	last, ok := call.Params[len(call.Params)-1].(map[string]any)
	if !ok {
		f.violate("%s: the last parameter is no context", call.Method)
		return nil, &exception{"Missing context argument"}
	}
	call.Params = call.Params[:len(call.Params)-1]
	w := words(last)
	switch name {
	case "res.user.get_preferences":
		f.count.Reads++
		preferences := map[string]any{"language": "en", "language_direction": "ltr", "groups": []int{1, 4}}
		if !f.opts.NoCompany {
			preferences["company"], preferences["company.rec_name"] = companyID, "Demo Company"
		}
		return preferences, nil
	case "ir.model.access.get_access":
		f.count.Reads++
		return f.access(param(call, 0)), nil
	}
	if slices.Contains(hidden, model) {
		return nil, &forbidden{call.Method}
	}
	if schema[model] == nil || f.opts.NoSale && (model == "product.price_list" || model == "product.sale.context") {
		return nil, &exception{fmt.Sprintf("'%s'", model)}
	}
	if strings.HasPrefix(model, "product.") && model != "product.uom" && w.id("company") != companyID {
		f.violate("%s: a context without the company", call.Method)
	}
	switch method {
	case "create", "write":
		return f.write(model, method, call, w)
	case "fields_get":
		f.count.Reads++
		return f.fieldsGet(model, param(call, 0)), nil
	case "read", "search", "search_read", "search_count":
		f.count.Reads++
		return f.look(model, method, call, w)
	}
	return nil, &forbidden{call.Method}
}

func (f *Fake) access(models any) any {
	rights := map[string]any{}
	list, _ := models.([]any)
	for _, m := range list {
		model, _ := m.(string)
		change := 1
		if f.opts.NoAccess {
			change = 0
		}
		rights[model] = map[string]any{"read": 1, "write": change, "create": change, "delete": change}
	}
	return rights
}

func (f *Fake) fieldsGet(model string, names any) any {
	fields := map[string]any{}
	list, _ := names.([]any)
	for _, n := range list {
		name, _ := n.(string)
		if _, ok := schema[model][name]; ok && !(f.opts.NoSale && (name == "salable" || name == "sale_uom")) {
			fields[name] = map[string]any{"name": name, "string": schema[model][name].label}
		}
	}
	return fields
}

// look does the reading methods.
func (f *Fake) look(model, method string, call request, w words) (any, error) {
	names := func(i int) []string {
		list, _ := param(call, i).([]any)
		var out []string
		for _, n := range list {
			name, _ := n.(string)
			out = append(out, name)
		}
		return out
	}
	out := []any{}
	if method == "read" {
		list, _ := param(call, 0).([]any)
		for _, n := range list {
			r := f.table(model)[int64(number(n))]
			if r == nil {
				return nil, &userError{fmt.Sprintf("You are trying to read records \"%v\" of %q that don't exist anymore.", n, title(model))}
			}
			read, err := f.read(model, r, names(1), w)
			if err != nil {
				return nil, err
			}
			out = append(out, read)
		}
		return out, nil
	}
	domain, _ := param(call, 0).([]any)
	found, err := f.search(model, domain, param(call, 3), int(number(param(call, 1))), int(number(param(call, 2))), w)
	if err != nil {
		return nil, err
	}
	if method == "search_count" {
		return len(found), nil
	}
	for _, r := range found {
		if method == "search" {
			out = append(out, r["id"])
			continue
		}
		read, err := f.read(model, r, names(4), w)
		if err != nil {
			return nil, err
		}
		out = append(out, read)
	}
	return out, nil
}

// write does create and write, each in one transaction.
func (f *Fake) write(model, method string, call request, w words) (any, error) {
	if f.opts.NoAccess {
		return nil, &userError{fmt.Sprintf("You are not allowed to access %q.", title(model))}
	}
	tx := f.begin(w)
	var (
		ids []int64
		err error
	)
	if method == "create" {
		list, _ := param(call, 0).([]any)
		for _, item := range list {
			values, _ := item.(map[string]any)
			if _, owned := values["list_price"]; owned {
				f.violate("a list price is written: it is the ERP's")
			}
			var id int64
			if id, err = tx.create(model, values); err != nil {
				break
			}
			ids = append(ids, id)
		}
	} else {
		for i := 0; i+1 < len(call.Params) && err == nil; i += 2 {
			list, _ := call.Params[i].([]any)
			values, _ := call.Params[i+1].(map[string]any)
			for _, n := range list {
				if err = tx.write(model, int64(number(n)), values); err != nil {
					break
				}
			}
		}
	}
	if err != nil {
		tx.rollback()
		return nil, err
	}
	if err := tx.commit(); err != nil {
		return nil, err
	}
	f.tell(model, method, call, tx.products())
	f.arrive(tx.products())
	f.bump()
	if method == "write" {
		return nil, nil
	}
	return ids, nil
}

// Wait returns when done holds, which is asked at each change and may call the fake.
func (f *Fake) Wait(ctx context.Context, done func() bool) error {
	for {
		f.mu.Lock()
		changed := f.waiters
		f.mu.Unlock()
		if done() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the fake Tryton: %w", ctx.Err())
		}
	}
}
