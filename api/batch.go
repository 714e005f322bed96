package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// A collection whose things are put one by one by their code has a batch of the
// same: each row is what the operation on the one thing does, with its checks, its
// precondition and its transaction. It is made of the operations that are
// registered, so a new resource has its batch without a line of its own.

// batchSuffix is behind the name of the operation that rows are, in the name of a
// batch.
const batchSuffix = "-batch"

// single is an operation on one thing of a collection, for a batch or a patch to run.
type single struct {
	op   huma.Operation
	run  func(ctx context.Context, code, ifMatch string, body []byte) (any, error)
	body reflect.Type // of its answer; nil: it has none
	// patch registers the merge patch of a PUT whose answer it has, see patch.go.
	patch func(o huma.Operation, do func(ctx context.Context, in *putCode) (any, error))
}

// memberPath is the address of one thing by its code.
var memberPath = regexp.MustCompile(`^(/v1/[a-z-]+)/\{code\}$`)

// keep remembers an operation for batches and patches if rows can be it.
func keep[I, O any](s *server, o huma.Operation, h func(context.Context, *I) (*O, error)) {
	if o.RequestBody != nil && o.RequestBody.Content[typeJSON] == nil {
		return
	}
	if _, itself := any(new(I)).(huma.Resolver); itself { // it reads a request, which a row has none of
		return
	}
	key := o.Method + " " + o.Path
	if !memberPath.MatchString(o.Path) && o.Method != http.MethodPost {
		return
	}
	one := single{op: o, patch: func(o huma.Operation, do func(context.Context, *putCode) (any, error)) {
		handle(s, o, func(ctx context.Context, in *putCode) (*O, error) {
			out, err := do(ctx, in)
			if err != nil {
				return nil, err
			}
			return out.(*O), nil //nolint:forcetypeassert // it is what h gives
		})
	}}
	if f, has := reflect.TypeFor[O]().FieldByName("Body"); has {
		one.body = f.Type
	}
	one.run = func(ctx context.Context, code, ifMatch string, body []byte) (any, error) {
		in := new(I)
		v := reflect.ValueOf(in).Elem()
		for name, value := range map[string]any{"Code": code, "IfMatch": ifMatch, "RawBody": body} {
			if f := v.FieldByName(name); f.IsValid() && f.Type() == reflect.TypeOf(value) {
				f.Set(reflect.ValueOf(value))
			} else if name == "IfMatch" && ifMatch != "" {
				return nil, &pim.Invalid{Problems: []pim.Problem{{Pointer: "/if_match", Code: "field.unknown", Detail: "this cannot be asked of what has no revision"}}}
			}
		}
		return h(ctx, in)
	}
	s.singles[key] = one
}

// members are the members of the body that an operation takes, with their schemas.
func (s *server) members(o *huma.Operation) map[string]*huma.Schema {
	if o.RequestBody == nil {
		return nil
	}
	body := o.RequestBody.Content[typeJSON].Schema
	if body.Ref != "" {
		body = s.api.OpenAPI().Components.Schemas.SchemaFromRef(body.Ref)
	}
	return body.Properties
}

// ResourceBatchAnswer says what became of each row.
type ResourceBatchAnswer struct {
	Created  int              `json:"created"`
	Stored   int              `json:"stored" doc:"What was there already, and stands now as its row says"`
	Deleted  int              `json:"deleted"`
	Rejected int              `json:"rejected"`
	Results  []ResourceResult `json:"results" doc:"One per row, in the order of the rows; pointers begin with the row's number"`
}

// ResourceResult is what became of one row.
type ResourceResult struct {
	Code     string        `json:"code"`
	Status   string        `json:"status" enum:"created,stored,deleted,rejected"`
	Revision int64         `json:"revision,omitempty" doc:"What an ETag would name; of a stale row the one there is"`
	Problems []pim.Problem `json:"problems,omitempty"`
	Differs  []Difference  `json:"differs,omitempty" doc:"Of a row that was rejected as stale: where it differs from what stands now"`
}

type resourceBatch struct {
	ContentType string `header:"Content-Type" hidden:"true"`
	RawInput
}

const resourceBatchText = "The body is a JSON array, or NDJSON, of what PUT takes, each with its code; with delete: true, where these can be deleted, the row is a deletion, and if_match is the revision that it may start from. " +
	"Rows are worked off in their order, each in a transaction of its own: one that is not right is rejected for itself."

// registerBatches makes a batch of each collection that has a PUT by code.
func (s *server) registerBatches() {
	for _, key := range slices.Sorted(maps.Keys(s.singles)) {
		put := s.singles[key]
		m := memberPath.FindStringSubmatch(put.op.Path)
		if m == nil || put.op.Method != http.MethodPut {
			continue
		}
		c := &collection{server: s, put: put, remove: s.singles[http.MethodDelete+" "+put.op.Path]}
		if put.op.Metadata[metaCreates] == nil {
			c.create = s.singles[http.MethodPost+" "+m[1]]
		}
		what := strings.ReplaceAll(strings.TrimPrefix(m[1], "/v1/"), "-", " ")
		handle(s, op(put.op.OperationID+batchSuffix, http.MethodPost, m[1]+":batch", put.op.Tags[0],
			"Put up to 1,000 "+what+", each row for itself", says(resourceBatchText), takesLong, c.takes), c.batch)
	}
}

// collection is what a batch works on.
type collection struct {
	*server
	put, create, remove single
}

// takes declares the body: rows of PUT's body with what a row has beside it.
func (c *collection) takes(o *huma.Operation) {
	row := &huma.Schema{Type: huma.TypeObject, AdditionalProperties: false, Properties: map[string]*huma.Schema{}, Required: []string{"code"}}
	maps.Copy(row.Properties, c.members(&c.put.op))
	row.Properties["code"] = &huma.Schema{Type: huma.TypeString}
	row.Properties["if_match"] = &huma.Schema{Type: huma.TypeInteger, Format: "int64", Description: "The revision that it must be at"}
	if c.remove.run != nil {
		row.Properties["delete"] = &huma.Schema{Type: huma.TypeBoolean, Description: "Delete it; the row has nothing else then"}
	}
	most := maxRows
	takes(maxBatch, map[string]*huma.Schema{
		typeJSON:   {Type: huma.TypeArray, Items: row, MaxItems: &most},
		typeNDJSON: {Type: huma.TypeString, Description: "One JSON object per line, shaped as an item of the JSON array"},
	})(o)
}

func (c *collection) batch(ctx context.Context, in *resourceBatch) (*answer[ResourceBatchAnswer], error) {
	rows, err := splitRows(in.RawBody, in.ContentType)
	if err != nil {
		return nil, err
	}
	a := ResourceBatchAnswer{Results: make([]ResourceResult, len(rows))}
	var broken *Problem // the house's own fault: the rest is not tried
	for i, row := range rows {
		r := &a.Results[i]
		p := broken
		if p == nil {
			if p = c.row(ctx, row, r); p != nil && p.Status >= http.StatusInternalServerError {
				broken = p
			}
		}
		if p != nil {
			r.Status, r.Revision, r.Differs, r.Problems = "rejected", p.Revision, p.Differs, rowProblems(i, p)
		}
		switch r.Status {
		case "created":
			a.Created++
		case "stored":
			a.Stored++
		case "deleted":
			a.Deleted++
		default:
			a.Rejected++
		}
	}
	return &answer[ResourceBatchAnswer]{a}, nil
}

// rowMembers are what a row has beside the body of PUT.
var rowMembers = []string{"code", "if_match", "delete"}

// row does what one row says.
func (c *collection) row(ctx context.Context, row json.RawMessage, r *ResourceResult) *Problem {
	v, err := pim.DecodeJSON(row, 0)
	if err != nil {
		return c.problem(ctx, err)
	}
	m, ok := v.(map[string]any)
	if !ok {
		return fromInvalid(&pim.Invalid{Problems: []pim.Problem{{Code: "field.type", Detail: "an object is expected, not " + kindOf(v)}}})
	}
	var b binder
	r.Code = b.rowText(m, "code")
	switch {
	case r.Code == "" && len(b.problems) == 0:
		b.fault("/code", "field.missing", `"code" is missing`)
	case utf8.RuneCountInString(r.Code) > 100:
		b.fault("/code", "code", "is longer than 100 characters")
		r.Code = clip(r.Code)
	}
	ifMatch := ""
	if rev := b.rowInt(m, "if_match", 1<<62, false); m["if_match"] != nil {
		ifMatch = etag(rev)
	}
	is, _ := m["delete"].(bool)
	if _, given := m["delete"].(bool); m["delete"] != nil && !given {
		b.wrong("/delete", "true or false", m["delete"])
	}
	todo := c.put
	if is {
		todo = c.remove
		b.finish(m, rowMembers...)
		if todo.run == nil {
			b.fault("/delete", "field.unknown", "these are not deleted")
		}
	}
	if len(b.problems) > 0 {
		return fromInvalid(&pim.Invalid{Problems: b.problems})
	}
	if !may(callOf(ctx).key.Role, todo.op.OperationID) {
		return problem(http.StatusForbidden, "forbidden", "the key's role may not do this")
	}
	body, err := c.body(todo, m)
	if err != nil {
		return c.problem(ctx, err)
	}
	out, err := todo.run(ctx, r.Code, ifMatch, body)
	if c.create.run != nil && ifMatch == "" && !is && errors.Is(err, postgres.ErrNotFound) {
		if out, err = c.create.run(ctx, r.Code, "", withCode(m)); err == nil {
			r.Status, r.Revision = "created", revisionOf(out)
			return nil
		}
	}
	if err != nil {
		return c.problem(ctx, err)
	}
	r.Status, r.Revision = "stored", revisionOf(out)
	switch {
	case is:
		r.Status = "deleted"
	case statusOf(out) == http.StatusCreated:
		r.Status = "created"
	}
	return nil
}

// body is what the operation on the one thing is given of a row.
func (c *collection) body(todo single, m map[string]any) ([]byte, error) {
	members := 0
	for name := range m {
		if !slices.Contains(rowMembers, name) {
			members++
		}
	}
	o := todo.op
	if o.Method == http.MethodDelete || o.RequestBody == nil || members == 0 && o.Metadata[metaBodyless] != nil {
		if o.RequestBody == nil && members > 0 {
			var b binder
			b.finish(m, rowMembers...)
			return nil, &pim.Invalid{Problems: b.problems}
		}
		return nil, nil
	}
	if c.members(&o)["code"] == nil { // the address tells it alone
		m = maps.Clone(m)
		delete(m, "code")
	}
	return withCode(m), nil
}

// withCode is a row as the body that it stands for.
func withCode(m map[string]any) []byte {
	body := map[string]any{}
	for name, v := range m {
		if name == "code" || !slices.Contains(rowMembers, name) {
			body[name] = v
		}
	}
	return written(body)
}

// written is a body that was decoded from JSON as JSON again.
func written(body map[string]any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(body)
	return b.Bytes()
}

func statusOf(out any) int {
	if v := reflect.Indirect(reflect.ValueOf(out)); v.IsValid() && v.Kind() == reflect.Struct {
		if f := v.FieldByName("Status"); f.IsValid() && f.Kind() == reflect.Int {
			return int(f.Int())
		}
	}
	return 0
}

func revisionOf(out any) int64 {
	v := reflect.Indirect(reflect.ValueOf(out))
	if !v.IsValid() || v.Kind() != reflect.Struct {
		return 0
	}
	f := v.FieldByName("ETag")
	if !f.IsValid() || f.Kind() != reflect.String {
		return 0
	}
	n, err := strconv.ParseInt(strings.Trim(f.String(), `"`), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// rowProblems are a problem's faults with pointers into the batch.
func rowProblems(i int, p *Problem) (list []pim.Problem) {
	at := "/" + strconv.Itoa(i)
	for _, f := range p.Errors {
		pointer := at
		switch {
		case f.Pointer != nil:
			pointer += *f.Pointer
		case f.Parameter == "path.code" || f.Parameter == "path.sku":
			pointer += "/" + strings.TrimPrefix(f.Parameter, "path.")
		case f.Parameter == "header.If-Match":
			pointer += "/if_match"
		}
		list = append(list, pim.Problem{Pointer: pointer, Code: f.Code, Detail: f.Detail})
	}
	if list == nil {
		list = []pim.Problem{{Pointer: at, Code: strings.TrimPrefix(p.Type, typePrefix), Detail: p.Error()}}
	}
	return list
}

// likeSingle is the operation whose roles a batch has, or a patch that is made of it.
func likeSingle(operation string) string {
	one, _ := strings.CutSuffix(operation, batchSuffix)
	if what, is := strings.CutPrefix(one, patchPrefix); is && allowed[one] == nil {
		return putPrefix + what
	}
	return one
}
