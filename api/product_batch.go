package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// ProductBatchAnswer says what became of each row.
type ProductBatchAnswer struct {
	Created   int             `json:"created"`
	Changed   int             `json:"changed"`
	Unchanged int             `json:"unchanged"`
	Deleted   int             `json:"deleted"`
	Rejected  int             `json:"rejected"`
	Results   []ProductResult `json:"results" doc:"One per row, in the order of the rows; pointers begin with the row's number"`
}

// ProductResult is what became of one product's row.
type ProductResult struct {
	SKU      pim.SKU       `json:"sku"`
	Status   string        `json:"status" enum:"created,changed,unchanged,deleted,rejected"`
	Revision int64         `json:"revision,omitempty" doc:"The content revision now; of a stale row the one there is"`
	Warnings []pim.Problem `json:"warnings,omitempty"`
	Problems []pim.Problem `json:"problems,omitempty"`
	// Of a row with if_match.
	Unseen  []pim.FieldChange `json:"unseen,omitempty" doc:"What others changed since the revision that if_match names, and the row does not touch"`
	Changes []pim.FieldChange `json:"changes,omitempty" doc:"Of a row that was rejected as stale: what others changed since that revision"`
}

type productBatch struct {
	ContentType string `header:"Content-Type" hidden:"true"`
	Mode        string `query:"mode" enum:"patch,put" default:"patch" doc:"patch: each row is a JSON merge patch, which also creates; put: products become equal to their rows"`
	RawInput
}

func (s *server) registerProductBatch() {
	takesRow := func(o *huma.Operation) {
		row := *s.api.OpenAPI().Components.Schemas.SchemaFromRef(schemaOf[ProductEdit](s).Ref)
		row.Properties = map[string]*huma.Schema{
			"if_match": {Type: huma.TypeInteger, Format: "int64", Description: "The content revision that the product must be at"},
			"delete":   {Type: huma.TypeBoolean, Description: "Delete the product; the row has nothing else then"},
		}
		for name, p := range s.api.OpenAPI().Components.Schemas.SchemaFromRef(schemaOf[ProductEdit](s).Ref).Properties {
			row.Properties[name] = p
		}
		row.Required = []string{"sku"}
		most := maxRows
		takes(maxBatch, map[string]*huma.Schema{
			typeJSON:   {Type: huma.TypeArray, Items: &row, MaxItems: &most},
			typeNDJSON: {Type: huma.TypeString, Description: "One JSON object per line, shaped as an item of the JSON array"},
		})(o)
	}
	handle(s, op("put-product-batch", http.MethodPost, "/v1/products:batch", tagProducts, "Change, create or delete up to 1,000 products, each row for itself",
		says("The body is a JSON array, or NDJSON. A row that is not right is rejected for itself; the others are stored when the answer comes. A parent may stand in the same batch as its variants."),
		takesLong, takesRow), s.batchProducts)
}

func (s *server) batchProducts(ctx context.Context, in *productBatch) (*answer[ProductBatchAnswer], error) {
	rows, err := splitRows(in.RawBody, in.ContentType)
	if err != nil {
		return nil, err
	}
	mode := postgres.Merge
	if in.Mode == "put" {
		mode = postgres.Put
	}
	results := make([]ProductResult, len(rows))
	edits := make([]postgres.Edit, len(rows))
	first := map[pim.SKU]int{}
	for i, row := range rows {
		e, err := productRow(row, mode)
		results[i].SKU = e.SKU
		if err == nil {
			if before, twice := first[e.SKU]; twice {
				err = &pim.Invalid{Problems: []pim.Problem{{Pointer: "/sku", Code: "sku.twice", Detail: fmt.Sprintf("row %d is of this SKU already", before)}}}
			}
		}
		if err != nil {
			results[i].Status, results[i].Problems = "rejected", rowProblems(i, s.problem(ctx, err))
			continue
		}
		edits[i], first[e.SKU] = e, i
	}
	for _, round := range rounds(edits, first, results) {
		part := make([]postgres.Edit, len(round))
		for k, i := range round {
			part[k] = edits[i]
		}
		done, err := s.Store.Edit(ctx, callOf(ctx).key.Name, part)
		for k, i := range round {
			r := &results[i]
			switch {
			case err != nil: // the house's fault: what stands in other rounds is told all the same
				r.Status, r.Problems = "rejected", rowProblems(i, s.problem(ctx, err))
			case errors.Is(done[k].Err, postgres.ErrStale):
				// As a PATCH from an older revision: it may mean the same at the newest.
				now, unseen, err := s.apply(ctx, part[k], etag(part[k].IfMatch))
				if err != nil {
					p := s.problem(ctx, err)
					r.Status, r.Revision, r.Changes, r.Problems = "rejected", p.Revision, p.Changes, rowProblems(i, p)
					continue
				}
				r.Status, r.Revision, r.Warnings, r.Unseen = productStatus(part[k], now), now.Rev, now.Warnings, unseen
			case done[k].Err != nil:
				p := s.problem(ctx, s.refused(ctx, part[k], part[k].IfMatch, done[k].Err))
				r.Status, r.Revision, r.Problems = "rejected", p.Revision, rowProblems(i, p)
			default:
				r.Status, r.Revision, r.Warnings = productStatus(part[k], done[k]), done[k].Rev, done[k].Warnings
			}
		}
	}
	a := ProductBatchAnswer{Results: results}
	for _, r := range results {
		switch r.Status {
		case "created":
			a.Created++
		case "changed":
			a.Changed++
		case "unchanged":
			a.Unchanged++
		case "deleted":
			a.Deleted++
		default:
			a.Rejected++
		}
	}
	return &answer[ProductBatchAnswer]{a}, nil
}

func productStatus(e postgres.Edit, r postgres.EditResult) string {
	switch {
	case e.Mode == postgres.Delete:
		return "deleted"
	case r.Created:
		return "created"
	case r.Changed:
		return "changed"
	}
	return "unchanged"
}

// productRow reads one row; its faults have pointers into the row.
func productRow(row json.RawMessage, mode postgres.EditMode) (postgres.Edit, error) {
	v, err := pim.DecodeJSON(row, pim.MaxDepth+1)
	if err != nil {
		return postgres.Edit{}, err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return postgres.Edit{}, &pim.Invalid{Problems: []pim.Problem{{Code: "json.not_object", Detail: "a product is an object, not " + kindOf(v)}}}
	}
	var b binder
	sku := b.rowSKU(m)
	match := b.rowInt(m, "if_match", 1<<62, false)
	if m["if_match"] != nil && match < 1 {
		b.fault("/if_match", "limit", "is at least 1")
	}
	gone, given := m["delete"].(bool)
	if m["delete"] != nil && !given {
		b.wrong("/delete", "true or false", m["delete"])
	}
	if gone {
		b.finish(m, "sku", "if_match", "delete")
	}
	said := pim.SKU(clipSKU(string(sku)))
	if len(b.problems) > 0 {
		return postgres.Edit{SKU: said}, &pim.Invalid{Problems: b.problems}
	}
	if gone {
		return postgres.Edit{SKU: sku, Mode: postgres.Delete, IfMatch: match}, nil
	}
	delete(m, "if_match")
	delete(m, "delete")
	e, err := editOf(m, sku, mode)
	e.IfMatch = match
	return e, err
}

// rounds part rows so that parents are stored before their variants.
func rounds(edits []postgres.Edit, first map[pim.SKU]int, results []ProductResult) [][]int {
	const levels = 4
	level := make([]int, len(edits))
	for range levels - 1 {
		for i, e := range edits {
			if e.Parent == nil {
				continue
			}
			if at, there := first[*e.Parent]; there && at != i {
				level[i] = min(level[at]+1, levels-1)
			}
		}
	}
	out := make([][]int, levels)
	for i := range edits {
		if results[i].Status == "" {
			out[level[i]] = append(out[level[i]], i)
		}
	}
	return slices.DeleteFunc(out, func(r []int) bool { return len(r) == 0 })
}
