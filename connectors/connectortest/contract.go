package connectortest

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

// Spec reads a vendor's contract, such as "bol/retailer-v10.json", from the
// folder SLUICE_SPECS, by default specs in SLUICE_SHARED or in ../shared beside
// the project. Contracts are their vendors' and not part of the project: where
// one is missing the test is skipped, or fails with SLUICE_REQUIRE_SHARED=1.
func Spec(t testing.TB, name string) []byte {
	t.Helper()
	dir, shared := env("SLUICE_SPECS"), env("SLUICE_SHARED")
	if dir == "" && shared != "" {
		dir = filepath.Join(shared, "specs")
	}
	if dir == "" {
		dir = filepath.Join(projectRoot(t), "..", "shared", "specs")
	}
	raw, err := os.ReadFile(filepath.Join(dir, name))
	switch {
	case err == nil:
		return raw
	case env("SLUICE_REQUIRE_SHARED") == "1":
		t.Fatalf("the vendor's contract is needed: %v", err)
	default:
		t.Skipf("the vendor's contract is not there (SLUICE_SPECS): %v", err)
	}
	return nil
}

// env reads what tests, not the program, are told.
func env(name string) string { return os.Getenv(name) } //nolint:forbidigo // no configuration of the program's

// projectRoot is the folder of go.mod above the test's own.
func projectRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	for err == nil && dir != filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		dir = filepath.Dir(dir)
	}
	t.Fatalf("no go.mod above the test: %v", err)
	return ""
}

// Exchange is one request and the answer it got.
type Exchange struct {
	Request *http.Request // its body is in Sent
	Sent    []byte
	Status  int
	Header  http.Header // the answer's
	Answer  []byte
}

// maxRecorded bounds one request, in bytes.
const maxRecorded = 64 << 20

// Recorder keeps the exchanges that go through it. It is safe for concurrent use.
type Recorder struct {
	http.Handler // the fake

	mu        sync.Mutex
	exchanges []Exchange
}

// ServeHTTP lets the fake answer, and keeps what was said.
func (r *Recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	sent, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxRecorded))
	if err != nil {
		return // the client went away
	}
	req.Body = io.NopCloser(bytes.NewReader(sent))
	tee := &tee{ResponseWriter: w, status: http.StatusOK}
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.exchanges = append(r.exchanges, Exchange{Request: req.Clone(req.Context()), Sent: sent, Status: tee.status, Header: tee.Header().Clone(), Answer: tee.body.Bytes()})
	}()
	r.Handler.ServeHTTP(tee, req)
}

// Exchanges are those so far.
func (r *Recorder) Exchanges() []Exchange {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.exchanges)
}

// tee writes an answer twice.
type tee struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (t *tee) WriteHeader(status int) {
	t.status = status
	t.ResponseWriter.WriteHeader(status)
}

func (t *tee) Write(b []byte) (int, error) {
	t.body.Write(b)
	return t.ResponseWriter.Write(b)
}

// Unwrap gives http.ResponseController the writer below.
func (t *tee) Unwrap() http.ResponseWriter { return t.ResponseWriter }
