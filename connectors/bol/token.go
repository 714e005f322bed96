package bol

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/httpx"
)

// access is one access token, with a client that keeps it out of texts.
type access struct {
	value  string
	until  time.Time // when it is replaced, somewhat before it expires
	client *httpx.Client
}

// session keeps the connector's access token: one for all calls, fetched by one
// of them while the others wait. bol's tokens live for minutes and logging in
// has a limit of its own.
type session struct {
	*settings
	client *httpx.Client
	now    func() time.Time
	turn   chan struct{} // holds a value while somebody logs in

	mu      sync.Mutex
	current *access
	failed  error // of the last login
	logins  int   // tries so far
}

func newSession(s *settings, client *httpx.Client) *session {
	return &session{settings: s, client: client, now: time.Now, turn: make(chan struct{}, 1)}
}

// held is the token at hand; nil when there is none that is good, or when it is
// the one that was just refused.
func (s *session) held(refused *access) (a *access, tries int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil && s.current != refused && s.now().Before(s.current.until) {
		return s.current, s.logins
	}
	return nil, s.logins
}

// access gives a token, by logging in where it must. Refused is one that bol
// just answered 401 to, nil for none. Its error is certain: no product's request
// has been sent.
func (s *session) access(ctx context.Context, refused *access) (*access, error) {
	a, tries := s.held(refused)
	if a != nil {
		return a, nil
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, &connectors.Error{Verdict: connectors.Unavailable, Err: context.Cause(ctx)}
	}
	a, after := s.held(refused)
	if a != nil {
		return a, nil
	}
	s.mu.Lock()
	failed := s.failed
	s.mu.Unlock()
	if after != tries && failed != nil {
		return nil, failed // whoever went before us asked the same
	}
	a, err := s.login(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = nil
	if err != nil {
		// The end of one caller's patience is not the others' answer.
		if ctx.Err() == nil {
			s.logins, s.failed = s.logins+1, err
		}
		return nil, err
	}
	s.logins++
	s.current = a
	return a, nil
}

// login asks for a token by OAuth 2 client credentials (RFC 6749 section 4.4).
func (s *session) login(ctx context.Context) (*access, error) {
	const form = "grant_type=client_credentials"
	req := &http.Request{
		Method: http.MethodPost, URL: s.settings.login, Host: s.settings.login.Host,
		Header:        http.Header{"Accept": {"application/json"}, "Content-Type": {"application/x-www-form-urlencoded"}},
		ContentLength: int64(len(form)), Body: body{strings.NewReader(form)},
	}
	req.SetBasicAuth(s.id, s.secret)
	resp, err := s.client.Do(connectors.Confide(ctx), req)
	if err == nil {
		err = check(opLogin, resp)
	}
	if err != nil {
		return nil, harmless(err)
	}
	var answer struct {
		Token   string  `json:"access_token"`
		Expires float64 `json:"expires_in"` // seconds
	}
	if json.Unmarshal(resp.Body, &answer) != nil || !headerSafe.MatchString(answer.Token) {
		return nil, &connectors.Error{Verdict: connectors.Unavailable, Err: errors.New("bol's login answered without an access token")}
	}
	life := time.Duration(min(max(answer.Expires, 0), 24*3600) * float64(time.Second))
	// Early enough that a call which begins now ends before the token does.
	early := min(life/5, 30*time.Second)
	a := &access{value: answer.Token, until: s.now().Add(life - early)}
	secrets := []string{a.value}
	s.mu.Lock()
	if s.current != nil {
		secrets = append(secrets, s.current.value) // calls with it may still be answered
	}
	s.mu.Unlock()
	a.client = s.client.With(secrets...)
	return a, nil
}

// body is a request body that nobody can send twice: it has no GetBody.
type body struct{ *strings.Reader }

func (body) Close() error { return nil }
