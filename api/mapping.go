package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// TryMapping is the body of a preview by another mapping.
type TryMapping struct {
	Mapping *connectors.Mapping `json:"mapping,omitempty" doc:"Tried without being saved; left out: the channel's own"`
}

// TryRun is the body of a dry run.
type TryRun struct {
	Mapping *connectors.Mapping `json:"mapping,omitempty" doc:"Tried without being saved; left out: the channel's own"`
	Filter  RunFilter           `json:"filter,omitempty" doc:"Which products; left out: all"`
	Limit   int                 `json:"limit,omitempty" minimum:"1" maximum:"10000" default:"1000" doc:"How many products to look at"`
	Cursor  string              `json:"cursor,omitempty" maxLength:"100" doc:"next_cursor of the dry run before"`
}

// RunFilter says which products a dry run looks at; what is left out does not narrow.
type RunFilter struct {
	Where        string     `json:"where,omitempty" maxLength:"4096" doc:"A condition in the language that GET /v1/products has as filter"`
	Family       string     `json:"family,omitempty"`
	Category     string     `json:"category,omitempty"`
	Parent       string     `json:"parent,omitempty" doc:"Variants of this SKU"`
	SKUPrefix    string     `json:"sku_prefix,omitempty"`
	Search       string     `json:"search,omitempty" doc:"Text in the SKU or in any value, in either case"`
	Enabled      *bool      `json:"enabled,omitempty"`
	UpdatedSince *time.Time `json:"updated_since,omitempty" doc:"Content changed at or after this time"`
}

// Preview is one product as a channel would get it now.
type Preview struct {
	SKU     pim.SKU         `json:"sku"`
	Channel pim.ChannelCode `json:"channel"`
	Paused  bool            `json:"paused" doc:"Nothing is sent until the channel is resumed"`
	Lanes   []LanePreview   `json:"lanes"`
}

// LanePreview is one lane of a Preview.
type LanePreview struct {
	Lane         pim.Lane          `json:"lane" enum:"content,offer,media"`
	Outlook      jobs.Outlook      `json:"outlook" enum:"send,confirm,withdraw,same,withdrawn,empty,waits,pending,refused" doc:"What its drain would do with it now"`
	Reason       string            `json:"reason" doc:"The outlook in words"`
	Revision     int64             `json:"revision" doc:"With which it would be sent"`
	Document     document          `json:"document" doc:"null: there is none, or it cannot be made"`
	Issues       []pim.Issue       `json:"issues" doc:"Of the mapping and of the connector's check"`
	Acknowledged *LaneAcknowledged `json:"acknowledged,omitempty" doc:"What the target took last; absent where it never took anything"`
	Differences  []FieldDifference `json:"differences" nullable:"true" doc:"From what was acknowledged to what is now, field by field; null where either is not known"`
}

// LaneAcknowledged is what a target took last of a listing.
type LaneAcknowledged struct {
	Revision int64     `json:"revision"`
	At       time.Time `json:"at"`
	Status   string    `json:"status" doc:"What the target said of it: accepted, live or withdrawn"`
	Document document  `json:"document" doc:"Worked out from the history, and proved by its hash; null: see reason"`
	Reason   string    `json:"reason,omitempty" doc:"Why there is no document"`
}

// FieldDifference is a field that differs; absent is what was, or is, not there.
type FieldDifference struct {
	Field string   `json:"field"`
	Old   anything `json:"old,omitempty"`
	New   anything `json:"new,omitempty"`
}

// DryRun is what would become of some products' listings.
type DryRun struct {
	Products int       `json:"products" doc:"Looked at"`
	Lanes    []RunLane `json:"lanes" doc:"Of the mapping, with how many listings have which outlook"`
	Refused  []Refusal `json:"refused" doc:"The listings that would be refused, and why"`
	Next     string    `json:"next_cursor,omitempty" doc:"Give it as cursor to go on; absent when there are no more products"`
}

// RunLane counts the listings of one lane by what would become of them.
type RunLane struct {
	Lane     pim.Lane             `json:"lane" enum:"content,offer,media"`
	Outlooks map[jobs.Outlook]int `json:"outlooks" doc:"send, confirm, withdraw, same, withdrawn, empty, waits, pending, refused → how many; those without are left out"`
}

// Refusal is a listing that would be refused, and why.
type Refusal struct {
	SKU    pim.SKU     `json:"sku"`
	Lane   pim.Lane    `json:"lane" enum:"content,offer,media"`
	Reason string      `json:"reason"`
	Issues []pim.Issue `json:"issues"`
}

// MappingVersion is a channel's mapping as it was from a time on.
type MappingVersion struct {
	Version int64     `json:"version" doc:"Of the mapping alone; the newest is in force"`
	At      time.Time `json:"at" doc:"When it came into force"`
	Actor   string    `json:"actor" doc:"Name of the API key, or of the command"`
	Note    string    `json:"note,omitempty"`
	Mapping object    `json:"mapping"`
}

// document is a channel's document, or null.
type document json.RawMessage

// MarshalJSON gives the document itself.
func (d document) MarshalJSON() ([]byte, error) { return rawOrNull(d), nil }

// UnmarshalJSON keeps the text.
func (d *document) UnmarshalJSON(b []byte) error { *d = append((*d)[:0], b...); return nil }

// Schema says that it is any object, or null.
func (document) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true, Nullable: true}
}

// anything is any JSON value.
type anything json.RawMessage

// MarshalJSON gives the value itself.
func (a anything) MarshalJSON() ([]byte, error) { return rawOrNull(a), nil }

// UnmarshalJSON keeps the text.
func (a *anything) UnmarshalJSON(b []byte) error { *a = append((*a)[:0], b...); return nil }

// Schema says nothing.
func (anything) Schema(huma.Registry) *huma.Schema { return &huma.Schema{} }

func rawOrNull(raw []byte) []byte {
	if len(raw) == 0 {
		return []byte("null")
	}
	return raw
}

// PreviewPath names a product on a channel.
type PreviewPath struct {
	CodePath
	SKUPath
}

type tryMapping struct {
	PreviewPath
	RawInput
}

type dryRun struct {
	CodePath
	RawInput
}

type listMappings struct {
	CodePath
	Paging
}

type mappingPath struct {
	CodePath
	Version int64 `path:"version" minimum:"1"`
}

func (s *server) registerMappings() {
	handle(s, op("preview-product", http.MethodGet, "/v1/channels/{code}/preview/{sku}", tagChannels, "Show a product as the channel would get it now, beside what its target acknowledged last",
		says("Lane by lane: the document, its issues, whether it would be sent and why, and the difference to what was acknowledged. Also of a deleted product.")),
		func(ctx context.Context, in *PreviewPath) (*answer[Preview], error) { return s.preview(ctx, in, nil) })
	handle(s, op("try-mapping", http.MethodPost, "/v1/channels/{code}/preview/{sku}", tagChannels, "Preview a product by another mapping, without saving it",
		takesJSON[TryMapping](s)), func(ctx context.Context, in *tryMapping) (*answer[Preview], error) {
		body, err := decode[TryMapping](in.RawBody, nil)
		if err != nil {
			return nil, err
		}
		return s.preview(ctx, &in.PreviewPath, body.Mapping)
	})
	handle(s, op("dry-run-channel", http.MethodPost, "/v1/channels/{code}/dry-run", tagChannels, "Count what would become of many products on a channel, and list what would be refused",
		says("Nothing is sent or changed. It ends after limit products, after some seconds, or when it has enough to tell; next_cursor goes on from there."),
		takesJSON[TryRun](s)), s.dryRun)
	handle(s, op("list-channel-mappings", http.MethodGet, "/v1/channels/{code}/mappings", tagChannels, "List the versions of a channel's mapping, newest first",
		says("The newest 200 are kept.")), s.listMappings)
	handle(s, op("get-channel-mapping", http.MethodGet, "/v1/channels/{code}/mappings/{version}", tagChannels, "Get one version of a channel's mapping"), s.getMapping)
	handle(s, op("rollback-channel-mapping", http.MethodPost, "/v1/channels/{code}/mappings/{version}/rollback", tagChannels, "Make a version of a channel's mapping its newest again",
		says("It is checked as any change of the mapping. What differs afterwards is sent.")), s.rollBack)
}

func (s *server) preview(ctx context.Context, in *PreviewPath, m *connectors.Mapping) (*answer[Preview], error) {
	sku, err := in.sku()
	if err != nil {
		return nil, err
	}
	p, err := s.Channels.Preview(ctx, pim.ChannelCode(in.Code), sku, m)
	if err != nil {
		return nil, err
	}
	return &answer[Preview]{ViewPreview(p)}, nil
}

// ViewPreview is a preview as the API shows it.
func ViewPreview(p *jobs.Preview) Preview {
	out := Preview{SKU: p.SKU, Channel: p.Channel, Paused: p.Paused, Lanes: make([]LanePreview, len(p.Lanes))}
	for i, l := range p.Lanes {
		v := LanePreview{
			Lane: l.Lane, Outlook: l.Outlook, Reason: l.Reason, Revision: l.Revision, Document: document(l.Document), Issues: none(l.Issues),
		}
		if a := l.Acknowledged; a != nil {
			v.Acknowledged = &LaneAcknowledged{Revision: a.Revision, At: a.At, Status: a.Status, Document: document(a.Document), Reason: a.Reason}
		}
		if l.Differences != nil {
			v.Differences = make([]FieldDifference, len(l.Differences))
		}
		for j, d := range l.Differences {
			v.Differences[j] = FieldDifference{Field: d.Field, Old: anything(d.Old), New: anything(d.New)}
		}
		out.Lanes[i] = v
	}
	return out
}

func (s *server) dryRun(ctx context.Context, in *dryRun) (*answer[DryRun], error) {
	body, err := decode[TryRun](in.RawBody, nil)
	if err != nil {
		return nil, err
	}
	if body.Limit > jobs.MaxDryRun {
		return nil, &pim.Invalid{Problems: []pim.Problem{{Pointer: "/limit", Code: "limit", Detail: "is at most " + strconv.Itoa(jobs.MaxDryRun)}}}
	}
	f := body.Filter
	var where *pim.Filter
	if f.Where != "" {
		if where, err = pim.ParseFilter(f.Where); err != nil {
			return nil, inFilter("/filter/where", err)
		}
	}
	run, err := s.Channels.DryRun(ctx, pim.ChannelCode(in.Code), jobs.DryRun{
		Mapping: body.Mapping, Limit: body.Limit, Cursor: body.Cursor,
		Filter: postgres.ProductFilter{
			Family: f.Family, Category: f.Category, Parent: pim.SKU(f.Parent), SKUPrefix: f.SKUPrefix, Search: f.Search, Enabled: f.Enabled, UpdatedSince: f.UpdatedSince,
			Where: where,
		},
	})
	if err != nil {
		return nil, inFilter("/filter/where", err)
	}
	out := DryRun{Products: run.Products, Next: run.Next, Lanes: []RunLane{}, Refused: make([]Refusal, len(run.Refused))}
	for _, lane := range pim.AllLanes {
		if counts, ok := run.Lanes[lane]; ok {
			out.Lanes = append(out.Lanes, RunLane{lane, counts})
		}
	}
	for i, r := range run.Refused {
		out.Refused[i] = Refusal{SKU: r.SKU, Lane: r.Lane, Reason: r.Reason, Issues: none(r.Issues)}
	}
	return &answer[DryRun]{out}, nil
}

// inFilter makes a fault of a filter one of the body, with its place in both.
func inFilter(pointer string, err error) error {
	e, ok := errors.AsType[*pim.FilterError](err)
	if !ok {
		return err
	}
	f := inBody(pointer, e.Code, e.Detail)
	f.Offset = &e.At
	return problem(http.StatusUnprocessableEntity, "invalid", "the request is not right", f)
}

func viewMapping(v *postgres.MappingVersion) MappingVersion {
	return MappingVersion{Version: v.Version, At: v.At, Actor: v.Actor, Note: v.Note, Mapping: object(v.Mapping)}
}

func (s *server) listMappings(ctx context.Context, in *listMappings) (*answer[page[MappingVersion]], error) {
	c, err := s.Store.Channel(ctx, pim.ChannelCode(in.Code))
	if err != nil {
		return nil, err
	}
	list, next, err := s.Store.Mappings(ctx, c.ID, in.page())
	if err != nil {
		return nil, inCursor(err)
	}
	items := make([]MappingVersion, len(list))
	for i := range list {
		items[i] = viewMapping(&list[i])
	}
	return pageOf(items, next), nil
}

func (s *server) getMapping(ctx context.Context, in *mappingPath) (*answer[MappingVersion], error) {
	c, err := s.Store.Channel(ctx, pim.ChannelCode(in.Code))
	if err != nil {
		return nil, err
	}
	v, err := s.Store.Mapping(ctx, c.ID, in.Version)
	if err != nil {
		return nil, err
	}
	return &answer[MappingVersion]{viewMapping(v)}, nil
}

func (s *server) rollBack(ctx context.Context, in *mappingPath) (*channelAnswer, error) {
	c, err := s.Channels.RollBack(ctx, pim.ChannelCode(in.Code), in.Version, callOf(ctx).key.Name)
	if err != nil {
		return nil, err
	}
	s.wakeChannel(c.ID)
	return s.answerChannel(c), nil
}

// ReadMapping binds a JSON text to a mapping, strictly. The error is a
// *pim.Invalid with pointers into it.
func ReadMapping(text []byte) (connectors.Mapping, error) {
	return decode[connectors.Mapping](text, nil)
}
