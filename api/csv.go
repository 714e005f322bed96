package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/sluicehub/sluice/jobs"
)

// maxCSV bounds a file of texts or of the glossary, in bytes.
const maxCSV = 64 << 20

// FileAnswer says what became of a CSV file's rows.
type FileAnswer struct {
	Rows    int          `json:"rows" doc:"That said something"`
	Stored  int          `json:"stored"`
	Refused []RefusedRow `json:"refused" doc:"The others, in the order of the file"`
}

// RefusedRow is a row that was not taken.
type RefusedRow struct {
	Row    int    `json:"row" doc:"The first one behind the header is 1"`
	Line   int    `json:"line" doc:"Of the file, from 1, where the row begins"`
	ID     int64  `json:"id,omitempty" doc:"The text's"`
	Column string `json:"column,omitempty" doc:"Left out: the row as a whole"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

func (a *FileAnswer) add(r jobs.RowResult, id int64) {
	if r.Err == nil {
		a.Stored++
		return
	}
	column, code, detail := r.Column()
	a.Refused = append(a.Refused, RefusedRow{Row: r.Row, Line: r.Line, ID: id, Column: column, Code: code, Detail: detail})
}

type csvInput struct{ RawRequest }

// takesCSV registers an operation whose body is a CSV file, which may be slow
// but not silent.
func (s *server) takesCSV(o huma.Operation, do func(context.Context, *jobs.Texts, io.Reader) (FileAnswer, error)) {
	handle(s, o, func(ctx context.Context, in *csvInput) (*answer[FileAnswer], error) {
		t, err := s.texts()
		if err != nil {
			return nil, err
		}
		if in.r.ContentLength > maxCSV {
			return nil, &http.MaxBytesError{Limit: maxCSV}
		}
		rc := http.NewResponseController(in.w)
		// What follows the file may take longer than an answer usually may.
		_ = rc.SetWriteDeadline(time.Now().Add(uploadMost))
		body := &paced{rc: rc, from: http.MaxBytesReader(in.w, in.r.Body, maxCSV), end: time.Now().Add(uploadMost)}
		a, err := do(ctx, t, body)
		_ = rc.SetReadDeadline(time.Time{}) // nothing more is to come
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, problem(http.StatusBadRequest, "bad-request", "the file ended before its announced length")
		}
		if err != nil {
			return nil, err
		}
		_ = rc.SetWriteDeadline(time.Now().Add(stall))
		return &answer[FileAnswer]{a}, nil
	})
	// Told only now: huma would read the body itself, into memory.
	s.api.OpenAPI().Paths[o.Path].Post.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
		typeCSV: {Schema: &huma.Schema{Type: huma.TypeString}},
	}}
}

// answersCSV says that an operation's answer is CSV.
func answersCSV(o huma.Operation) huma.Operation {
	o.Responses = map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{typeCSV: {Schema: &huma.Schema{Type: huma.TypeString}}}}}
	return o
}

// fileStream is where a file is written to, for as long as the client takes it.
type fileStream struct {
	unhurried
	begun bool
}

// Write implements io.Writer.
func (c *fileStream) Write(b []byte) (int, error) {
	c.begun = true
	return c.unhurried.Write(b)
}

// streamCSV answers with the CSV file that write writes, as stream does.
func (s *server) streamCSV(ctx context.Context, name string, write func(*fileStream) error) *huma.StreamResponse {
	return s.stream(ctx, name, typeCSV+"; charset=utf-8", write)
}

// stream answers with what write writes. An error before its first bytes is
// a problem; later, the answer is cut off: it must not look whole.
func (s *server) stream(ctx context.Context, name, mediaType string, write func(*fileStream) error) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(c huma.Context) {
		_, w := humago.Unwrap(c)
		w.Header().Set("Content-Type", mediaType)
		w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
		out := &fileStream{unhurried: unhurried{w, http.NewResponseController(w), time.Now().Add(sendMost)}}
		err := write(out)
		switch {
		case err == nil:
		case !out.begun:
			w.Header().Del("Content-Disposition")
			s.problem(ctx, err).write(w)
		case ctx.Err() != nil: // the client is gone
			panic(http.ErrAbortHandler)
		default:
			s.logFailure(ctx, err)
			panic(http.ErrAbortHandler)
		}
	}}
}
