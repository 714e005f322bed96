package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// harmless looks for what no error may hold.
func harmless(t *testing.T, err error) {
	t.Helper()
	for _, bad := range []string{testSecret, "Signature=", "X-Amz-", "list-type", "?", "you said"} {
		if strings.Contains(err.Error(), bad) {
			t.Errorf("error holds %q: %v", bad, err)
		}
	}
}

// every calls all methods that talk to the storage.
func every(ctx context.Context, s Store) map[string]error {
	h, _ := ParseHash(strings.Repeat("ab", 32))
	errs := map[string]error{}
	_, errs["put"] = s.Put(ctx, strings.NewReader("x"), 1)
	_, errs["open"] = s.Open(ctx, h)
	errs["delete"] = s.Delete(ctx, h)
	_, errs["expire"] = s.Expire(ctx, h)
	errs["walk"] = s.Walk(ctx, func(Info) error { return nil })
	errs["check"] = s.Check(ctx)
	return errs
}

func TestS3WrongCredentials(t *testing.T) {
	server := newSignedServer(t)
	for name, c := range map[string]struct {
		change func(*S3Options)
		want   string
	}{
		"secret": {func(o *S3Options) { o.SecretKey = "wr0ng-secret" }, "the secret key does not belong to the access key"},
		"access": {func(o *S3Options) { o.AccessKey = "AKOTHER" }, "the access key is unknown"},
		"region": {func(o *S3Options) { o.Region = "elsewhere" }, "the region is probably not the bucket's"},
	} {
		for method, err := range every(t.Context(), server.open(t, c.change)) {
			if !errors.Is(err, ErrDenied) {
				t.Fatalf("wrong %s: %s: %v", name, method, err)
			}
			// An answer to HEAD has no body to say why.
			want := c.want
			if method != "check" && method != "walk" && method != "delete" {
				want = "access key or secret key are wrong"
			}
			if !strings.Contains(err.Error(), want) {
				t.Errorf("wrong %s: %s: %v", name, method, err)
			}
			harmless(t, err)
			if strings.Contains(err.Error(), "wr0ng") {
				t.Errorf("wrong %s: %s: %v", name, method, err)
			}
		}
	}
	if len(server.objects) > 0 {
		t.Errorf("stored: %v", server.objects)
	}
}

// TestSignedServer shows that the server does refuse what was changed on the way.
func TestSignedServer(t *testing.T) {
	server := newSignedServer(t)
	s := server.open(t, nil)
	h := put(t, s, "content").Hash
	var change func(*http.Request)
	proxy := bounded{roundTripper(func(r *http.Request) (*http.Response, error) {
		change(r)
		return s.transport.RoundTrip(r)
	})}
	for name, f := range map[string]func(*http.Request){
		"method": func(r *http.Request) { r.Method = http.MethodGet },
		"path":   func(r *http.Request) { r.URL.Path += "x" },
		"query":  func(r *http.Request) { r.URL.RawQuery = "versionId=1" },
		"body":   func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("y")), 1 },
		"date": func(r *http.Request) {
			r.Header.Set("X-Amz-Date", time.Now().Add(time.Minute).UTC().Format("20060102T150405Z"))
		},
		"nothing": func(*http.Request) {},
	} {
		req, err := http.NewRequest(http.MethodHead, server.URL+"/"+testBucket+"/"+s.key(h), nil)
		if err != nil {
			t.Fatal(err)
		}
		signed := capture(t, s, h)
		req.Header, req.Host = signed.Header.Clone(), signed.Host
		change = f
		resp, err := proxy.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if want := map[bool]int{true: 200, false: 403}[name == "nothing"]; resp.StatusCode != want {
			t.Errorf("changed %s: %d", name, resp.StatusCode)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// capture returns the signed HEAD request for an object.
func capture(t *testing.T, s *S3, h Hash) *http.Request {
	t.Helper()
	server, got := newSignedServer(t), (*http.Request)(nil)
	done := make(chan struct{})
	server.set(func(w http.ResponseWriter, r *http.Request) bool {
		got = r
		close(done)
		w.WriteHeader(http.StatusForbidden)
		return true
	})
	other := server.open(t, nil)
	if _, _, err := other.stat(t.Context(), h); !errors.Is(err, ErrDenied) {
		t.Fatal(err)
	}
	<-done
	// The host is part of what is signed.
	if s.prefix != other.prefix {
		t.Fatal("other keys")
	}
	return got
}

func TestS3NoBucket(t *testing.T) {
	for name, s := range map[string]*S3{
		"signed": newSignedServer(t).open(t, func(o *S3Options) { o.Bucket = "missing" }),
		"fake":   func() *S3 { s, _ := fakeS3(t); s.bucket = "missing"; return s }(),
	} {
		for method, err := range every(t.Context(), s) {
			if method == "expire" && err == nil {
				continue // nothing there to remove
			}
			if err == nil || !strings.Contains(err.Error(), "bucket does not exist") {
				t.Errorf("%s: %s: %v", name, method, err)
			}
		}
	}
}

// TestS3Windows reads parts and looks at what was fetched for them.
func TestS3Windows(t *testing.T) {
	server := newSignedServer(t)
	s := server.open(t, nil)
	content := strings.Repeat("0123456789abcdef", 6*minWindow/16)
	h := put(t, s, content).Hash
	server.take()
	path := " /" + testBucket + "/" + s.key(h)
	expect := func(what string, want ...string) {
		t.Helper()
		if got := server.take(); !slices.Equal(got, want) {
			t.Errorf("%s: requests %q, want %q", what, got, want)
		}
	}
	o, err := s.Open(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	expect("open", "HEAD"+path)
	for _, whence := range []int{io.SeekEnd, io.SeekStart} {
		if _, err := o.Seek(0, whence); err != nil {
			t.Fatal(err)
		}
	}
	expect("seek")
	at := int64(3*minWindow + 5)
	if _, err := o.Seek(at, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	if _, err := io.ReadFull(o, b); err != nil || string(b) != content[at:at+100] {
		t.Fatal(err, string(b))
	}
	expect("part", fmt.Sprintf("GET%s bytes=%d-%d", path, at, at+minWindow-1))
	if _, err := o.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, o); err != nil || n != o.Size {
		t.Fatal(n, err)
	}
	expect("all", fmt.Sprintf("GET%s bytes=0-%d", path, minWindow-1),
		fmt.Sprintf("GET%s bytes=%d-%d", path, minWindow, 5*minWindow-1),
		fmt.Sprintf("GET%s bytes=%d-%d", path, 5*minWindow, 6*minWindow-1))
	if again := put(t, s, content); again.New {
		t.Error("new again")
	}
	expect("put of what is there", "HEAD"+path)
}

// TestS3Broken has answers end in the middle, once and for ever.
func TestS3Broken(t *testing.T) {
	server := newSignedServer(t)
	s := server.open(t, nil)
	content := strings.Repeat("0123456789abcdef", minWindow/32)
	h := put(t, s, content).Hash
	var cuts atomic.Int64
	cut := func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || cuts.Add(-1) < 0 {
			return false
		}
		var from, to int
		if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &from, &to); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to, len(content)))
		w.Header().Set("Content-Length", fmt.Sprint(to-from+1))
		w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
		w.WriteHeader(http.StatusPartialContent)
		io.WriteString(w, content[from:from+(to-from)/2])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	server.set(cut)
	cuts.Store(5)
	if got := read(t, s, h); got != content {
		t.Error("other content after broken connections")
	}
	// Another range than was asked for would be somebody else's bytes.
	server.set(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet {
			return false
		}
		w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
		w.Header().Set("Content-Range", "bytes 7-9/10")
		w.WriteHeader(http.StatusPartialContent)
		io.WriteString(w, "789")
		return true
	})
	o, err := s.Open(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if n, err := o.Read(make([]byte, 10)); n > 0 || !errors.Is(err, errRange) {
		t.Errorf("read of another range: %d, %v", n, err)
	}
	// Removed while it is being read.
	server.set(nil)
	if err := s.Delete(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Read(make([]byte, 10)); !errors.Is(err, ErrNotFound) {
		t.Errorf("read of what was removed: %v", err)
	}
}

func TestS3Away(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	server := newSignedServer(t)
	redirect := func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Location", "http://127.0.0.1:1/elsewhere?token="+testSecret)
		w.WriteHeader(http.StatusTemporaryRedirect)
		return true
	}
	for name, c := range map[string]struct {
		change func(*S3Options)
		before func(http.ResponseWriter, *http.Request) bool
		want   string
		is     error
	}{
		"refused":  {change: func(o *S3Options) { o.Endpoint = "http://" + l.Addr().String() }, want: "connection refused"},
		"plain":    {change: func(o *S3Options) { o.Endpoint = strings.Replace(o.Endpoint, "http", "https", 1) }, want: "HTTP response to HTTPS client"},
		"redirect": {before: redirect, want: "307 Temporary Redirect", is: ErrDenied},
		"dropped": {
			before: func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) },
			want:   "ended the connection too early",
		},
		"broken": {before: func(w http.ResponseWriter, r *http.Request) bool {
			http.Error(w, "<html>"+testSecret, http.StatusBadGateway)
			return true
		}, want: "502 Bad Gateway"},
		"full": {before: func(w http.ResponseWriter, r *http.Request) bool {
			fail(w, http.StatusInsufficientStorage, "XMinioStorageFull")
			return true
		}, want: "the storage is full", is: ErrFull},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of it is waiting between repetitions
			server := server
			if c.before != nil {
				server = newSignedServer(t)
				server.set(c.before)
			}
			s := server.open(t, c.change)
			for method, err := range every(t.Context(), s) {
				if err == nil || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
					t.Errorf("%s: %v", method, err)
					continue
				}
				harmless(t, err)
			}
			if left, err := os.ReadDir(s.spool); err != nil || len(left) > 0 {
				t.Errorf("left in the spool: %v, %v", left, err)
			}
		})
	}
}

// TestS3Hang has the storage say nothing until the caller gives up.
func TestS3Hang(t *testing.T) {
	server := newSignedServer(t)
	release := make(chan struct{})
	defer close(release)
	asked := make(chan struct{}, 10)
	server.set(func(w http.ResponseWriter, r *http.Request) bool {
		asked <- struct{}{}
		<-release
		return true
	})
	s := server.open(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	_, err := s.Put(ctx, strings.NewReader("x"), 1)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "cancelled") {
		t.Errorf("put: %v", err)
	}
	if _, err := s.locks.lock(t.Context(), Hash{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	if err := s.Delete(ctx, Hash{}); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting for another's turn: %v", err)
	}
}

// TestS3Crash looks at what killed processes leave, which is a check's object.
func TestS3Crash(t *testing.T) {
	server := newSignedServer(t)
	s := server.open(t, nil)
	now := time.Now()
	for key, age := range map[string]time.Duration{
		"shop/media/tmp/put-OLD": tempAge + time.Hour, "shop/media/tmp/put-YOUNG": 0, "shop/media/tmp/readme": tempAge + time.Hour,
		"shop/media/ab/cd/short": 0, "shop/mediaelse": 0,
	} {
		server.objects[key] = signedObject{at: now.Add(-age)}
	}
	h := put(t, s, "x").Hash
	if got := walk(t, s); len(got) != 1 || got[h] != 1 {
		t.Errorf("walk: %v", got)
	}
	if _, there := server.objects["shop/media/tmp/put-OLD"]; there || len(server.objects) != 5 {
		t.Errorf("left: %v", server.objects)
	}
}
