package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/blob"
	"github.com/sluicehub/sluice/pim/postgres"
)

// Problem is every error that the API answers: an RFC 9457 document.
type Problem struct {
	Type     string  `json:"type" format:"uri" doc:"urn:sluice:problem: and a stable code"`
	Title    string  `json:"title" doc:"The status in words"`
	Status   int     `json:"status"`
	Detail   string  `json:"detail,omitempty"`
	Instance string  `json:"instance,omitempty" format:"uri" doc:"Names the request in the log of the server"`
	Errors   []Fault `json:"errors,omitempty" doc:"Every fault of the request, at most 100"`
	// Of a 412.
	Revision int64             `json:"revision,omitempty" doc:"The revision there is, as ETag says it"`
	Changes  []pim.FieldChange `json:"changes,omitempty" doc:"Of a product or record: what others changed since the revision that If-Match names, where that is known"`
	Differs  []Difference      `json:"differs,omitempty" doc:"Of a PUT or PATCH of what has no history, such as a definition: where it would make another thing of what stands now, at most 100"`

	header http.Header
}

// Fault is one thing that is wrong with a request.
type Fault struct {
	Pointer   *string `json:"pointer,omitempty" doc:"JSON pointer (RFC 6901) into the request's body; empty is the body as a whole"`
	Parameter string  `json:"parameter,omitempty" doc:"Of a fault outside the body: path.sku, query.limit, header.If-Match"`
	Offset    *int    `json:"offset,omitempty" doc:"Of a fault within a filter: where it is, in bytes from the filter's start"`
	Code      string  `json:"code" doc:"Stable code, e.g. attribute.unknown"`
	Detail    string  `json:"detail"`
}

const (
	typePrefix  = "urn:sluice:problem:"
	typeProblem = "application/problem+json"
	// statusClientGone is nginx's status for a client that did not wait.
	statusClientGone = 499
)

func problem(status int, code, detail string, faults ...Fault) *Problem {
	title := http.StatusText(status)
	if title == "" {
		title = "Client Closed Request"
	}
	return &Problem{Type: typePrefix + code, Title: title, Status: status, Detail: detail, Errors: faults}
}

// inBody is a fault with a place in the body.
func inBody(pointer, code, detail string) Fault {
	return Fault{Pointer: &pointer, Code: code, Detail: detail}
}

// inParameter is a fault of a parameter, named like path.sku.
func inParameter(name, code, detail string) Fault {
	return Fault{Parameter: name, Code: code, Detail: detail}
}

// badParameter is the problem of one wrong parameter.
func badParameter(name, code, detail string) *Problem {
	return problem(http.StatusUnprocessableEntity, "invalid", "the request has a parameter that is not right", inParameter(name, code, detail))
}

// badFilter is the problem of a filter, with its place.
func badFilter(e *pim.FilterError) *Problem {
	f := inParameter("query.filter", e.Code, e.Detail)
	f.Offset = &e.At
	return problem(http.StatusUnprocessableEntity, "invalid", "the request has a parameter that is not right", f)
}

func (p *Problem) with(name, value string) *Problem {
	if p.header == nil {
		p.header = http.Header{}
	}
	p.header.Set(name, value)
	return p
}

// Error is the detail, or else the title.
func (p *Problem) Error() string {
	if p.Detail != "" {
		return p.Detail
	}
	return p.Title
}

// GetStatus is what huma answers with.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders are what huma adds to the answer.
func (p *Problem) GetHeaders() http.Header { return p.header }

// ContentType makes JSON a problem document.
func (p *Problem) ContentType(ct string) string {
	if ct == typeJSON {
		return typeProblem
	}
	return ct
}

// write answers with p outside huma.
func (p *Problem) write(w http.ResponseWriter) {
	h := w.Header()
	for name, values := range p.header {
		h[name] = values
	}
	h.Set("Content-Type", typeProblem)
	h.Del("Content-Length")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client may be gone
}

// unwritten are the codes of problems that huma finds.
var unwritten = map[int]string{
	http.StatusBadRequest: "bad-request", http.StatusNotAcceptable: "not-acceptable", http.StatusRequestTimeout: "timeout",
	http.StatusRequestEntityTooLarge: "too-large", http.StatusUnsupportedMediaType: "media-type", http.StatusUnprocessableEntity: "invalid",
}

// fromHuma makes a Problem of what huma found. Its texts of a status from 500
// up are of errors inside, and are dropped.
func fromHuma(status int, msg string, errs []error) *Problem {
	if status >= 500 {
		return problem(status, "internal", internalText)
	}
	code := unwritten[status]
	if code == "" {
		code = "bad-request"
	}
	// takes gives huma one byte more than a body may have.
	var limit int64
	if _, err := fmt.Sscanf(msg, "request body is too large limit=%d bytes", &limit); err == nil {
		msg = "the body has more than " + strconv.FormatInt(limit-1, 10) + " bytes"
	}
	p := problem(status, code, msg)
	for _, err := range errs {
		var d *huma.ErrorDetail
		if !errors.As(err, &d) {
			continue // its text may be of an error inside
		}
		if at, ok := strings.CutPrefix(d.Location, "body"); ok {
			p.Errors = append(p.Errors, inBody(strings.ReplaceAll(at, ".", "/"), "body", d.Message))
		} else {
			p.Errors = append(p.Errors, inParameter(d.Location, "parameter", d.Message))
		}
	}
	return p
}

const internalText = "something went wrong inside; the server's log tells what, under the request's name"

// problem is the one place where errors become answers. What it does not know
// is a 500 that says nothing, and a line in the log that says everything.
func (s *server) problem(ctx context.Context, err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if invalid, ok := errors.AsType[*pim.Invalid](err); ok {
		return fromInvalid(invalid)
	}
	if e, ok := errors.AsType[*pim.FilterError](err); ok {
		return badFilter(e)
	}
	if e, ok := errors.AsType[*postgres.InUse](err); ok {
		p := problem(http.StatusConflict, "in-use", "others still refer to it")
		for _, by := range e.By {
			p.Errors = append(p.Errors, Fault{Code: by.Code, Detail: by.Detail})
		}
		return p
	}
	if e, ok := errors.AsType[*jobs.ClosedError](err); ok {
		return problem(http.StatusConflict, "channel-closed", "the channel cannot be opened: "+e.Err.Error())
	}
	if e, ok := errors.AsType[*connectors.Error](err); ok {
		return fromTarget(e)
	}
	if e, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return problem(http.StatusRequestEntityTooLarge, "too-large", "the body has more than "+strconv.FormatInt(e.Limit, 10)+" bytes")
	}
	switch {
	case errors.Is(err, jobs.ErrTooLarge):
		return problem(http.StatusRequestEntityTooLarge, "too-large", "the file has more than "+strconv.Itoa(jobs.MaxAsset)+" bytes")
	case errors.Is(err, blob.ErrFull), errors.Is(err, blob.ErrDenied):
		s.logFailure(ctx, err)
		return problem(http.StatusServiceUnavailable, "storage", "the place for files takes none at the moment").with("Retry-After", "60")
	case errors.Is(err, postgres.ErrNotFound):
		return problem(http.StatusNotFound, "not-found", "there is nothing of that name")
	case errors.Is(err, postgres.ErrStale):
		return problem(http.StatusPreconditionFailed, "stale", "it has changed since the revision that the request names")
	case errors.Is(err, postgres.ErrExists):
		return problem(http.StatusConflict, "exists", "that name is taken")
	case errors.Is(err, postgres.ErrNoConnector):
		return problem(http.StatusConflict, "no-connector",
			"the channel has no connector, so there is no target to send to or to ask: give it one, with PATCH /v1/channels/{code}, in connector and config")
	case errors.Is(err, postgres.ErrInUse):
		return problem(http.StatusConflict, "in-use", "others still refer to it")
	case errors.Is(err, postgres.ErrKeyReused):
		return problem(http.StatusUnprocessableEntity, "idempotency-key", "the Idempotency-Key was used for another request",
			inParameter("header.Idempotency-Key", "idempotency.reused", "the key was used for another request"))
	case errors.Is(err, os.ErrDeadlineExceeded):
		return problem(http.StatusRequestTimeout, "timeout", "the body came too slowly")
	case errors.Is(err, context.DeadlineExceeded):
		s.logFailure(ctx, err)
		return problem(http.StatusServiceUnavailable, "unavailable", "the database took too long").with("Retry-After", "5")
	case errors.Is(err, context.Canceled):
		return problem(statusClientGone, "gone", "the client did not wait for the answer")
	case postgres.Away(err):
		s.logFailure(ctx, err)
		return problem(http.StatusServiceUnavailable, "unavailable", "the database does not answer at the moment").with("Retry-After", "2")
	}
	s.logFailure(ctx, err)
	p := problem(http.StatusInternalServerError, "internal", internalText)
	p.Instance = instance(ctx)
	return p
}

func (s *server) logFailure(ctx context.Context, err error) {
	c := callOf(ctx)
	s.Log.LogAttrs(ctx, slog.LevelError, "request failed", slog.String("request", c.id()), slog.String("operation", c.op), slog.Any("error", err))
}

func instance(ctx context.Context) string { return "urn:sluice:request:" + callOf(ctx).id() }

// fromInvalid keeps the order of the problems and drops those told twice.
func fromInvalid(e *pim.Invalid) *Problem {
	p := problem(http.StatusUnprocessableEntity, "invalid", "the request is not right; nothing was stored")
	type place struct{ pointer, code string }
	seen := map[place]bool{}
	for _, f := range e.Problems {
		if at := (place{f.Pointer, f.Code}); !seen[at] {
			seen[at] = true
			p.Errors = append(p.Errors, inBody(f.Pointer, f.Code, f.Detail))
		}
	}
	return p
}

// fromTarget says what a channel's target answered; connectors keep secrets
// out of their errors.
func fromTarget(e *connectors.Error) *Problem {
	detail := "the channel's target does not take the call"
	fault := Fault{Code: "target." + string(e.Verdict), Detail: e.Error()}
	if e.Verdict == connectors.Throttled {
		p := problem(http.StatusServiceUnavailable, "target", detail, fault)
		if e.After > 0 {
			p.with("Retry-After", strconv.Itoa(int(e.After.Seconds())+1))
		}
		return p
	}
	return problem(http.StatusBadGateway, "target", detail, fault)
}
