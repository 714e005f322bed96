package blob

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	testBucket = "assets"
	testRegion = "eu-test-1"
	testAccess = "AKTEST"
	testSecret = "not+a/real=secret"
)

// signedServer is a storage that believes nobody: it works out every request's
// signature by itself, from Amazon's description
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html),
// and compares the body with the hash that was signed.
type signedServer struct {
	*httptest.Server
	mu       sync.Mutex
	objects  map[string]signedObject
	requests []string // method, path, and the range where there is one
	refused  []string
	lag      time.Duration // how old new objects are
	// before may answer a request itself, and then returns true.
	before func(w http.ResponseWriter, r *http.Request) bool
}

type signedObject struct {
	content []byte
	at      time.Time
}

func newSignedServer(t *testing.T) *signedServer {
	t.Helper()
	s := &signedServer{objects: map[string]signedObject{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// open opens a store on the server; change may alter its options.
func (s *signedServer) open(t *testing.T, change func(*S3Options)) *S3 {
	t.Helper()
	return openS3(t, S3Options{
		Endpoint: s.URL, Region: testRegion, Bucket: testBucket, Prefix: "shop/media",
		AccessKey: testAccess, SecretKey: testSecret,
	}, change)
}

func openS3(t *testing.T, o S3Options, change func(*S3Options)) *S3 {
	t.Helper()
	o.Spool = t.TempDir()
	if change != nil {
		change(&o)
	}
	store, err := OpenS3(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

func (s *signedServer) set(before func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = before
}

func (s *signedServer) setLag(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lag = d
}

// take returns the requests since the last take.
func (s *signedServer) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := s.requests
	s.requests = nil
	return got
}

func (s *signedServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	before := s.before
	line := r.Method + " " + r.URL.Path
	if r.Header.Get("Range") != "" {
		line += " " + r.Header.Get("Range")
	}
	s.requests = append(s.requests, line)
	s.mu.Unlock()
	if before != nil && before(w, r) {
		return
	}
	if code := refusal(r, body); code != "" {
		s.mu.Lock()
		s.refused = append(s.refused, code)
		s.mu.Unlock()
		fail(w, http.StatusForbidden, code)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case bucket != testBucket:
		fail(w, http.StatusNotFound, "NoSuchBucket")
	case key == "" && r.Method == http.MethodGet:
		s.list(w, r.URL.Query())
	case key == "":
	case r.Method == http.MethodPut:
		s.objects[key] = signedObject{content: body, at: time.Now().Add(-s.lag)}
	case r.Method == http.MethodDelete:
		delete(s.objects, key)
		w.WriteHeader(http.StatusNoContent)
	default:
		o, ok := s.objects[key]
		if !ok {
			fail(w, http.StatusNotFound, "NoSuchKey")
			return
		}
		http.ServeContent(w, r, "", o.at, bytes.NewReader(o.content))
	}
}

func (s *signedServer) list(w http.ResponseWriter, q url.Values) {
	var keys []string
	for key := range s.objects {
		if strings.HasPrefix(key, q.Get("prefix")) && key > q.Get("continuation-token") {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	page := 1000
	if n, err := strconv.Atoi(q.Get("max-keys")); err == nil {
		page = n
	}
	var b strings.Builder
	more := len(keys) > page
	if more {
		keys = keys[:page]
		fmt.Fprintf(&b, "<NextContinuationToken>%s</NextContinuationToken>", keys[page-1])
	}
	for _, key := range keys {
		o := s.objects[key]
		fmt.Fprintf(&b, "<Contents><Key>%s</Key><Size>%d</Size><LastModified>%s</LastModified></Contents>",
			key, len(o.content), o.at.UTC().Format("2006-01-02T15:04:05.000Z"))
	}
	fmt.Fprintf(w, "%s<ListBucketResult><IsTruncated>%v</IsTruncated>%s</ListBucketResult>", xml.Header, more, b.String())
}

func fail(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	// A storage's message may quote anything.
	fmt.Fprintf(w, "%s<Error><Code>%s</Code><Message>you said %s</Message></Error>", xml.Header, code, testSecret)
}

// refusal returns the code of what is wrong with a request's signature.
func refusal(r *http.Request, body []byte) string {
	const algorithm = "AWS4-HMAC-SHA256"
	rest, ok := strings.CutPrefix(r.Header.Get("Authorization"), algorithm+" ")
	if !ok {
		return "AccessDenied"
	}
	fields := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		fields[name] = value
	}
	access, scope, _ := strings.Cut(fields["Credential"], "/")
	at := r.Header.Get("X-Amz-Date")
	when, err := time.Parse("20060102T150405Z", at)
	if err != nil || time.Since(when).Abs() > 15*time.Minute {
		return "RequestTimeTooSkewed"
	}
	if access != testAccess {
		return "InvalidAccessKeyId"
	}
	if scope != at[:8]+"/"+testRegion+"/s3/aws4_request" {
		return "AuthorizationHeaderMalformed"
	}
	sum := r.Header.Get("X-Amz-Content-Sha256")
	if sum != hexSum(body) {
		return "XAmzContentSHA256Mismatch"
	}
	names := strings.Split(fields["SignedHeaders"], ";")
	if !slices.IsSorted(names) || !slices.Contains(names, "host") || !slices.Contains(names, "x-amz-content-sha256") || !slices.Contains(names, "x-amz-date") {
		return "AccessDenied"
	}
	var headers strings.Builder
	for _, name := range names {
		value := strings.Join(r.Header.Values(name), ",")
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = strconv.FormatInt(r.ContentLength, 10)
		}
		headers.WriteString(name + ":" + strings.Join(strings.Fields(value), " ") + "\n")
	}
	var query []string
	for name, values := range r.URL.Query() {
		for _, value := range values {
			query = append(query, awsEscape(name)+"="+awsEscape(value))
		}
	}
	slices.Sort(query)
	path := make([]string, 0, 8)
	for part := range strings.SplitSeq(r.URL.Path, "/") {
		path = append(path, awsEscape(part))
	}
	canonical := strings.Join([]string{
		r.Method, strings.Join(path, "/"), strings.Join(query, "&"), headers.String(), fields["SignedHeaders"], sum,
	}, "\n")
	key := []byte("AWS4" + testSecret)
	for _, part := range []string{at[:8], testRegion, "s3", "aws4_request"} {
		key = mac(key, part)
	}
	want := mac(key, strings.Join([]string{algorithm, at, scope, hexSum([]byte(canonical))}, "\n"))
	if hex.EncodeToString(want) != fields["Signature"] {
		return "SignatureDoesNotMatch"
	}
	return ""
}

func mac(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// awsEscape leaves the unreserved characters of RFC 3986 alone.
func awsEscape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}
