package api

import (
	"context"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
)

// Media types of bodies.
const (
	typeJSON   = "application/json"
	typeMerge  = "application/merge-patch+json"
	typeNDJSON = "application/x-ndjson"
	typeCSV    = "text/csv"
	typeAny    = "*/*"
)

// answer is an operation's output with nothing but a body.
type answer[T any] struct{ Body T }

// page is one page of a list.
type page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next_cursor,omitempty" doc:"Give it as cursor to read on; absent after the last page"`
	only  *selection
}

func pageOf[T any](items []T, next string) *answer[page[T]] {
	if items == nil {
		items = []T{}
	}
	return &answer[page[T]]{page[T]{Items: items, Next: next}}
}

// RawInput is the input of a body that is decoded by us. It is huma's buffer: what
// is kept of it beyond the operation must be a copy.
type RawInput struct{ RawBody []byte }

// op describes an operation. id is also its name in the table of roles and in
// metrics; it never changes.
func op(id, method, path, tag, summary string, more ...func(*huma.Operation)) huma.Operation {
	o := huma.Operation{OperationID: id, Method: method, Path: path, Tags: []string{tag}, Summary: summary, Responses: map[string]*huma.Response{}, Metadata: map[string]any{}}
	for _, f := range more {
		f(&o)
	}
	return o
}

// noKey makes an operation public.
func noKey(o *huma.Operation) { o.Security = []map[string][]string{} }

// says adds what the summary has no room for.
func says(text string) func(*huma.Operation) {
	return func(o *huma.Operation) { o.Description = text }
}

const (
	metaSlow, metaCreates, metaBodyless = "slow", "creates", "bodyless"
	// patience is how long an operation may wait for the database.
	patience = 30 * time.Second
)

// takesLong lets an operation, which bounds itself, run longer than patience.
func takesLong(o *huma.Operation) { o.Metadata[metaSlow] = true }

// creates says that the answer is 201 where there was nothing before.
func creates(o *huma.Operation) { o.Metadata[metaCreates] = true }

// status is the success status where it is not 200 or 204.
func status(code int) func(*huma.Operation) {
	return func(o *huma.Operation) { o.DefaultStatus = code }
}

// takes declares a body: its schema by media type, and its bound in bytes.
func takes(limit int64, schemas map[string]*huma.Schema) func(*huma.Operation) {
	return func(o *huma.Operation) {
		o.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{}}
		for t, s := range schemas {
			o.RequestBody.Content[t] = &huma.MediaType{Schema: s}
		}
		// huma refuses a body that reaches its limit.
		o.MaxBodyBytes = limit + 1
		o.SkipValidateBody = true // by us, in one pass with the decoding
	}
}

// takesJSON declares a JSON body shaped like T, without the members in
// optional being required.
func takesJSON[T any](s *server, optional ...string) func(*huma.Operation) {
	return takes(maxEdit, map[string]*huma.Schema{typeJSON: schemaOf[T](s, optional...)})
}

// mayTakeJSON is takesJSON of a body that may be left out.
func mayTakeJSON[T any](s *server, optional ...string) func(*huma.Operation) {
	return func(o *huma.Operation) {
		takesJSON[T](s, optional...)(o)
		o.Metadata[metaBodyless] = true
	}
}

func schemaOf[T any](s *server, optional ...string) *huma.Schema {
	registry := s.api.OpenAPI().Components.Schemas
	ref := registry.Schema(reflect.TypeFor[T](), true, "")
	if len(optional) == 0 {
		return ref
	}
	inline := *registry.SchemaFromRef(ref.Ref)
	inline.Required = slices.DeleteFunc(slices.Clone(inline.Required), func(name string) bool { return slices.Contains(optional, name) })
	return &inline
}

// handle registers an operation whose errors become problems.
func handle[I, O any](s *server, o huma.Operation, h func(context.Context, *I) (*O, error)) {
	body, slow := o.RequestBody, o.Metadata[metaSlow] != nil
	h = compared(s, o, h)
	keep(s, o, h)
	if _, bare := any((*I)(nil)).(*struct{}); bare && o.Method == http.MethodGet && isList[O]() {
		listing(s, o, h)
		return
	}
	h = walked(h)
	huma.Register(s.api, o, func(ctx context.Context, in *I) (*O, error) {
		if !slow {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, patience)
			defer cancel()
		}
		out, err := h(ctx, in)
		if err == nil {
			err = shorten(in, out)
		}
		if err != nil {
			return nil, s.problem(ctx, err)
		}
		return out, nil
	})
	if o.Metadata[metaCreates] != nil {
		there := *o.Responses["200"]
		there.Description = http.StatusText(http.StatusCreated)
		o.Responses["201"] = &there
	}
	if body != nil {
		delete(body.Content, "application/octet-stream") // huma's guess for a raw body
		body.Required = o.Metadata[metaBodyless] == nil  // as is that there is one
	}
}

// consumes refuses a body of a media type that the operation does not take.
func consumes(o *huma.Operation, header string) *Problem {
	if o.RequestBody == nil || header == "" || o.RequestBody.Content[header] != nil || o.RequestBody.Content[typeAny] != nil {
		return nil
	}
	t, _, err := mime.ParseMediaType(header)
	if err == nil && o.RequestBody.Content[t] != nil {
		return nil
	}
	var takes []string
	for t := range o.RequestBody.Content {
		takes = append(takes, t)
	}
	slices.Sort(takes)
	return problem(http.StatusUnsupportedMediaType, "media-type", "the body's Content-Type is to be "+strings.Join(takes, " or "))
}

// polish writes into the description what Go's types cannot say.
func polish(doc *huma.OpenAPI) {
	schemas := doc.Components.Schemas.Map()
	if a := schemas["Attribute"]; a != nil {
		a.Properties["type"].Enum = []any{
			pim.TypeText, pim.TypeRichText, pim.TypeNumber, pim.TypeBoolean, pim.TypeDate, pim.TypeOption,
			pim.TypeOptions, pim.TypeMedia, pim.TypeReference, pim.TypeEntity, pim.TypeEntities, pim.TypeTable,
		}
	}
	if c := schemas["ChannelSpec"]; c != nil {
		c.Properties["config"] = &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true, Description: "Shaped by the connector: see config_schema of GET /v1/connectors"}
	}
	for _, name := range []string{"Explanation", "LaneExplanation"} {
		if x := schemas[name]; x != nil {
			for _, reason := range jobs.Reasons {
				x.Properties["reason"].Enum = append(x.Properties["reason"].Enum, reason)
			}
		}
	}
	if l := schemas["LaneExplanation"]; l != nil {
		for _, state := range pim.ListingStates {
			l.Properties["state"].Enum = append(l.Properties["state"].Enum, state)
		}
		for _, lane := range pim.AllLanes {
			l.Properties["lane"].Enum = append(l.Properties["lane"].Enum, lane.String())
		}
	}
	if l := schemas["Listing"]; l != nil {
		for _, state := range pim.ListingStates {
			l.Properties["state"].Enum = append(l.Properties["state"].Enum, state)
		}
		for _, lane := range pim.AllLanes {
			l.Properties["lane"].Enum = append(l.Properties["lane"].Enum, lane.String())
		}
	}
}
