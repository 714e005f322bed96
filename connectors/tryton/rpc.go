package tryton

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/httpx"
)

// server makes the calls to one Tryton database. Sessions expire, and end when
// the user's password changes: a call that is answered 401 was not executed, so
// the session is renewed, once, and the call repeated. Renewals are single-flight.
type server struct {
	root           *url.URL
	user, password string
	client         *httpx.Client

	renewing chan struct{} // holds one token: who has it may log in
	current  atomic.Pointer[session]
}

// session is a login that Tryton granted.
type session struct {
	header string
	client *httpx.Client // keeps the session's key out of errors
}

// words is a call's context, Tryton's last parameter.
type words map[string]any

// with is a copy with one more entry.
func (w words) with(key string, value any) words {
	more := make(words, len(w)+1)
	for k, v := range w {
		more[k] = v
	}
	more[key] = value
	return more
}

func newServer(s *settings, client *httpx.Client) *server {
	r := &server{root: s.root, user: s.User, password: s.Password, client: client, renewing: make(chan struct{}, 1)}
	r.renewing <- struct{}{}
	return r
}

// read calls a method that changes nothing, and decodes its result into result.
// The returned time is the server's clock at the answer, zero where it told none.
// Its error is never uncertain.
func (r *server) read(ctx context.Context, method string, result any, params ...any) (time.Time, error) {
	at, err := r.call(ctx, method, reads, result, params)
	return at, ofRead(err)
}

// write calls a method that changes something, in one transaction.
func (r *server) write(ctx context.Context, method string, result any, params ...any) error {
	_, err := r.call(ctx, method, writes, result, params)
	return err
}

func (r *server) call(ctx context.Context, method string, kind calls, result any, params []any) (time.Time, error) {
	var expired *session
	for {
		s, err := r.session(ctx, expired)
		if err != nil {
			return time.Time{}, err
		}
		resp, err := r.post(ctx, s.client, s.header, method, params)
		if err != nil {
			return time.Time{}, err
		}
		if resp.Status == http.StatusUnauthorized && expired == nil {
			expired = s
			continue
		}
		if err := checkStatus(resp); err != nil {
			return time.Time{}, err
		}
		at, _ := http.ParseTime(resp.Header.Get("Date")) // zero where there is none
		return at, decode(s.client, method, kind, resp.Body, result)
	}
}

// session is the current one, or a new one where that is the expired one.
func (r *server) session(ctx context.Context, expired *session) (*session, error) {
	if s := r.current.Load(); s != nil && s != expired {
		return s, nil
	}
	select {
	case <-r.renewing:
		defer func() { r.renewing <- struct{}{} }()
	case <-ctx.Done():
		return nil, &connectors.Error{Verdict: connectors.Unavailable, Err: fmt.Errorf("waiting for a Tryton session: %w", ctx.Err())}
	}
	if s := r.current.Load(); s != nil && s != expired {
		return s, nil // another call renewed it meanwhile
	}
	r.current.Store(nil)
	s, err := r.login(ctx)
	if err != nil {
		return nil, ofRead(err) // nothing but a session can have come of it
	}
	r.current.Store(s)
	return s, nil
}

// login asks for a session by user and password.
func (r *server) login(ctx context.Context) (*session, error) {
	const method = "common.db.login"
	resp, err := r.post(connectors.Confide(ctx), r.client, "", method, []any{r.user, map[string]string{"password": r.password}, "en"})
	if err != nil {
		return nil, err
	}
	if err := checkStatus(resp); err != nil {
		return nil, err
	}
	var answer []json.RawMessage
	if err := decode(r.client, method, reads, resp.Body, &answer); err != nil {
		return nil, err
	}
	var (
		id  int64
		key string
	)
	if len(answer) < 2 || json.Unmarshal(answer[0], &id) != nil || json.Unmarshal(answer[1], &key) != nil || key == "" {
		return nil, &connectors.Error{Verdict: connectors.Unavailable, Err: errors.New(method + ": the answer is no session")}
	}
	token := base64.StdEncoding.EncodeToString([]byte(r.user + ":" + strconv.FormatInt(id, 10) + ":" + key))
	return &session{header: "Session " + token, client: r.client.With(key, token)}, nil
}

// post sends one call and gives the answer, whatever its status.
func (r *server) post(ctx context.Context, client *httpx.Client, authorization, method string, params []any) (*httpx.Response, error) {
	// The members are these three and no others: an answer in JSON-RPC's form
	// comes only where they are (trytond/protocols/jsonrpc.py).
	body, err := json.Marshal(struct {
		ID     int    `json:"id"`
		Method string `json:"method"`
		Params []any  `json:"params"`
	}{1, method, params})
	if err != nil {
		return nil, &connectors.Error{Verdict: connectors.Permanent, Err: fmt.Errorf("writing %s: %w", method, err)}
	}
	header := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}}
	if authorization != "" {
		header["Authorization"] = []string{authorization}
	}
	req := &http.Request{Method: http.MethodPost, URL: r.root, Host: r.root.Host, Header: header, ContentLength: int64(len(body)), Body: unrepeated{bytes.NewReader(body)}}
	resp, err := client.Do(ctx, req)
	if e, ok := errors.AsType[*connectors.Error](err); ok && e.Verdict == connectors.Permanent && !e.Uncertain {
		// An address that cannot be called says nothing of the items.
		return nil, &connectors.Error{Verdict: connectors.Unavailable, Err: e.Err}
	}
	return resp, err
}

// unrepeated is a body without GetBody, so that nobody sends it twice.
type unrepeated struct{ *bytes.Reader }

func (unrepeated) Close() error { return nil }

// decode reads an answer's result, or its error.
func decode(client *httpx.Client, method string, kind calls, body []byte, result any) error {
	var answer struct {
		Result json.RawMessage `json:"result"`
		Error  json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Result == nil && answer.Error == nil {
		return unreadable(method + ": the answer is no whole JSON-RPC")
	}
	if answer.Error != nil && string(answer.Error) != "null" {
		return errorOf(client, method, readRefusal(answer.Error), kind)
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(answer.Result, result); err != nil {
		// The decoder's words may quote what was answered.
		return unreadable(method + ": the result has another form than Tryton 6.0's")
	}
	return nil
}

// unreadable is the error of an answer that leaves the outcome open.
func unreadable(text string) *connectors.Error {
	return &connectors.Error{Verdict: connectors.Unavailable, Uncertain: true, Err: errors.New(text)}
}
