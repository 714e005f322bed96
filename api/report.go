package api

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim/postgres"
)

func importAddress(id int64) string { return "/v1/imports/" + strconv.FormatInt(id, 10) }

// reportPage is one page of an import's report.
func (s *server) reportPage(ctx context.Context, in *importReport) (*answer[page[postgres.ImportFinding]], error) {
	list, next, err := s.Store.ImportReport(ctx, in.ID, in.page())
	if err != nil {
		return nil, inCursor(err)
	}
	return pageOf(list, next), nil
}

// importReport answers one page, or the whole report as a stream.
func (s *server) importReport(ctx context.Context, in *importReport) (*huma.StreamResponse, error) {
	if _, err := s.Store.ImportRun(ctx, in.ID); err != nil {
		return nil, err
	}
	if !strings.Contains(in.Accept, typeCSV) && !strings.Contains(in.Accept, typeNDJSON) {
		a, err := walked(s.reportPage)(ctx, in)
		if err == nil {
			err = shorten(in, a)
		}
		if err != nil {
			return nil, err
		}
		return &huma.StreamResponse{Body: func(c huma.Context) {
			_, w := humago.Unwrap(c)
			w.Header().Set("Content-Type", typeJSON)
			_ = json.NewEncoder(w).Encode(a.Body) // the client may be gone
		}}, nil
	}
	for name, value := range map[string]string{"filter": in.Filter, "fields": in.Fields} {
		if value != "" {
			return nil, badParameter("query."+name, name, "a report that is no JSON comes whole")
		}
	}
	first := postgres.Page{After: in.Cursor, Limit: 1000}
	list, next, err := s.Store.ImportReport(ctx, in.ID, first)
	if err != nil {
		return nil, inCursor(err)
	}
	return &huma.StreamResponse{Body: func(c huma.Context) {
		_, w := humago.Unwrap(c)
		var out findingWriter = &lineFindings{json.NewEncoder(w)}
		w.Header().Set("Content-Type", typeNDJSON)
		if strings.Contains(in.Accept, typeCSV) {
			w.Header().Set("Content-Type", typeCSV+"; charset=utf-8")
			out = newTableFindings(w)
		}
		for {
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(stall))
			if err := out.write(list); err != nil {
				return // the client is gone
			}
			if next == "" {
				return
			}
			if list, next, err = s.Store.ImportReport(ctx, in.ID, postgres.Page{After: next, Limit: first.Limit}); err != nil {
				s.logFailure(ctx, err)
				panic(http.ErrAbortHandler) // a cut report must not look whole
			}
		}
	}}, nil
}

type findingWriter interface {
	write([]postgres.ImportFinding) error
}

type lineFindings struct{ *json.Encoder }

func (l *lineFindings) write(list []postgres.ImportFinding) error {
	for i := range list {
		if err := l.Encode(&list[i]); err != nil {
			return err
		}
	}
	return nil
}

type tableFindings struct{ *csv.Writer }

func newTableFindings(w io.Writer) *tableFindings {
	t := &tableFindings{csv.NewWriter(w)}
	_ = t.Write([]string{"row", "severity", "sku", "column", "value", "code", "problem"}) // told by the flush
	return t
}

func (t *tableFindings) write(list []postgres.ImportFinding) error {
	for _, f := range list {
		cells := []string{strconv.FormatInt(f.Row, 10), string(f.Severity), f.SKU, f.Column, f.Value, f.Code, f.Problem}
		for i := range cells {
			cells[i] = jobs.HarmlessCell(cells[i])
		}
		if err := t.Write(cells); err != nil {
			return err
		}
	}
	t.Flush()
	return t.Error()
}
