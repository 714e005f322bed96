package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sluicehub/sluice/jobs/exporting"
)

// exportsMost is how many exports run at once: each holds a connection, and a
// snapshot, for as long as its client takes.
const exportsMost = 2

// ExportParams are the parameters of an export.
type ExportParams struct {
	ProductFilterParams
	Format string `query:"format" enum:"csv,xlsx,jsonl" default:"csv"`
}

func (s *server) registerExport() {
	o := op("export-products", http.MethodGet, "/v1/products/export", tagProducts, "Get products as a file, which an import takes back",
		says("All products that the parameters leave, as they stand at one moment, in the order of their creation. The columns are those of the layout sluice; "+
			"imported again, the file changes nothing. CSV: cells that a spreadsheet would run as a formula begin with an apostrophe, which an import takes off. "+
			"A file that is cut off ends without its last chunk: the connection breaks. At most 2 exports run at once, others are answered with 503."), takesLong)
	content := map[string]*huma.MediaType{}
	for _, t := range []string{typeCSV, exporting.XLSX.MediaType(), typeNDJSON} {
		content[t] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
	}
	o.Responses = map[string]*huma.Response{"200": {Description: "OK", Content: content}}
	handle(s, o, func(ctx context.Context, in *ExportParams) (*huma.StreamResponse, error) {
		format, err := exporting.ParseFormat(in.Format)
		if err != nil {
			return nil, badParameter("query.format", "format", "the format is one of csv, xlsx, jsonl")
		}
		f, err := s.fitting(ctx, in.filter)
		if err != nil {
			return nil, err
		}
		return s.stream(ctx, "products."+string(format), format.MediaType(), func(w *fileStream) error {
			select {
			case s.exports <- struct{}{}:
				defer func() { <-s.exports }()
			default:
				return problem(http.StatusServiceUnavailable, "busy", "two exports run already").with("Retry-After", "10")
			}
			_, err := exporting.Write(ctx, s.Store, w, format, f)
			return err
		}), nil
	})
}
