package medusa_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/medusa"
	"github.com/sluicehub/sluice/connectors/medusa/medusatest"
	"github.com/sluicehub/sluice/pim"
)

func uploader(t testing.TB, to connectors.Connector) connectors.Uploader {
	t.Helper()
	u, ok := to.(connectors.Uploader)
	if !ok {
		t.Fatal("the connector does not upload")
	}
	return u
}

func picture(name, content string) connectors.File {
	return connectors.File{Name: name, MediaType: "image/png", Content: []byte(content)}
}

func sum(content string) string {
	s := sha256.Sum256([]byte(content))
	return hex.EncodeToString(s[:])
}

// What is uploaded is a picture that customers can load, and products can show.
func TestUpload(t *testing.T) {
	fake, to := start(t, medusatest.Options{}, nil)
	remote, err := uploader(t, to).Upload(ctx(t), picture("kettle.png", "red"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(remote, fake.URL()+"/static/") || !strings.HasSuffix(remote, "-kettle-"+sum("red")[:12]+".png") {
		t.Errorf("the file is called %s", remote)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, remote, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || string(content) != "red" || resp.Header.Get("Content-Type") != "image/png" {
		t.Errorf("the customer gets %d %s %q, %v", resp.StatusCode, resp.Header.Get("Content-Type"), content, err)
	}
	fine(t, to, upsert(pim.Content, "A", `{"title":"A"}`), upsert(pim.Content, "B", `{"title":"B"}`))
	fine(t, to, upsert(pim.Media, "A", `{"images":["`+remote+`"]}`), upsert(pim.Media, "B", `{"images":["`+remote+`"]}`))
	if b, _ := fake.Product("B"); len(b.Images) != 1 || b.Images[0] != remote || b.Thumbnail != remote {
		t.Errorf("B shows %v, thumbnail %s", b.Images, b.Thumbnail)
	}
	if _, err := uploader(t, to).Upload(ctx(t), picture("kettle.png", "red")); err != nil {
		t.Fatal(err)
	}
	if got := fake.Uploads(); len(got) != 1 || got[sum("red")] != 2 {
		t.Errorf("uploads by content: %v", got)
	}
}

// Medusa's local provider calls files by the millisecond and their name: those
// that meet in both must not take each other's place.
func TestUploadsAtOnce(t *testing.T) {
	moment := time.Now()
	fake, to := start(t, medusatest.Options{Now: func() time.Time { return moment }}, nil)
	var wg sync.WaitGroup
	remotes, errs := make([]string, 8), make([]error, 8)
	content := func(i int) string { return fmt.Sprint("picture ", i) }
	for i := range remotes {
		wg.Go(func() { remotes[i], errs[i] = uploader(t, to).Upload(ctx(t), picture("front.png", content(i))) })
	}
	wg.Wait()
	for i, remote := range remotes {
		if err := errors.Join(errs[i], keeps(fake, remote, content(i))); err != nil {
			t.Error(err)
		}
	}
	if n := len(fake.Uploads()); n != len(remotes) {
		t.Errorf("%d distinct files", n)
	}
}

func keeps(fake *medusatest.Server, remote, content string) error {
	if b, ok := fake.File(remote); !ok || string(b) != content {
		return fmt.Errorf("%s is %q, want %q", remote, b, content)
	}
	return nil
}

// Whatever a file is called, its form is one that Medusa reads, and the URL is
// one that browsers read.
func TestUploadNames(t *testing.T) {
	fake, to := start(t, medusatest.Options{}, nil)
	for name, want := range map[string]string{
		"kettle.png":                         "-kettle-H.png",
		"Röd \"kettle\".png":                 "-R-d-kettle--H.png",
		"a\r\nX-Injected: 1.png":             "-a-X-Injected-1-H.png",
		"../../etc/passwd":                   "-etc-passwd-H",
		"":                                   "-H",
		".png":                               "-png-H",
		"%20.jpg":                            "-20-H.jpg",
		strings.Repeat("n", 300) + ".png":    "n-H.png",
		"kettle." + strings.Repeat("p", 300): "p-H",
		strings.Repeat("ü", 300) + "kettle.jpg.": "-kettle-H.jpg",
	} {
		f := picture(name, name)
		f.MediaType = "image/png\r\nX-Injected: 1"
		remote, err := uploader(t, to).Upload(ctx(t), f)
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if !strings.HasSuffix(remote, strings.ReplaceAll(want, "H", sum(name)[:12])) || len(remote) > 255 {
			t.Errorf("%q is called %s", name, remote)
		}
		if err := keeps(fake, remote, name); err != nil {
			t.Error(err)
		}
	}
}

func TestUploadBounds(t *testing.T) {
	fake, to := start(t, medusatest.Options{MaxUpload: 10_000, Echo: " " + key}, nil)
	before := fake.Counts().Calls
	_, err := uploader(t, to).Upload(ctx(t), connectors.File{Name: "a.png", MediaType: "image/png", Content: make([]byte, 64<<20+1)})
	tooLarge(t, "more than can be", err)
	if fake.Counts().Calls != before {
		t.Error("it was sent")
	}
	_, err = uploader(t, to).Upload(ctx(t), connectors.File{Name: "a.png", MediaType: "image/png", Content: make([]byte, 10_000)})
	tooLarge(t, "more than the proxy lets through", err)
	if len(fake.Uploads()) != 0 {
		t.Error("it is kept")
	}
}

func tooLarge(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil {
		t.Fatalf("%s is taken", what)
	}
	e := connectors.AsError(err)
	if e.Verdict != connectors.Permanent || e.Uncertain || len(e.Issues) != 1 || e.Issues[0].Code != "medusa.too_large" || e.Issues[0].Text == "" {
		t.Errorf("%s: %+v", what, e)
	}
	if text := fmt.Sprintf("%v %+v", e, e.Issues); strings.Contains(text, key) {
		t.Errorf("%s: the key is told: %s", what, text)
	}
}

// A provider without an address of its own makes URLs that are none.
func TestUploadWithoutAddress(t *testing.T) {
	_, to := start(t, medusatest.Options{Files: "undefined/"}, nil)
	remote, err := uploader(t, to).Upload(ctx(t), picture("a.png", "a"))
	if err == nil {
		t.Fatalf("the file is called %s", remote)
	}
	if e := connectors.AsError(err); e.Verdict != connectors.Permanent || e.Uncertain || len(e.Issues) != 1 || e.Issues[0].Code != "medusa.upload" {
		t.Errorf("%+v", e)
	}
}

func TestLinksInsteadOfUploads(t *testing.T) {
	fake, to := start(t, medusatest.Options{}, func(c *medusa.Config) { c.Pictures = "link" })
	remote, err := uploader(t, to).Upload(ctx(t), picture("a.png", "a"))
	if remote != "" || err != nil || fake.Counts().Calls != 0 || len(fake.Uploads()) != 0 {
		t.Errorf("%q, %v, %d calls", remote, err, fake.Counts().Calls)
	}
	_, err = medusa.Kind.New([]byte(`{"url":"https://shop.example","api_key":"sk_1","pictures":"both"}`), connectors.Env{})
	if bad, ok := errors.AsType[*pim.Invalid](err); !ok || len(bad.Problems) != 1 || bad.Problems[0].Pointer != "/pictures" {
		t.Errorf("another way: %v", err)
	}
}

// Uploads are judged by the one table: what Medusa 2.21.2 was seen to answer, and
// what stands before it may.
func TestUploadVerdicts(t *testing.T) {
	for _, c := range []struct {
		status    int
		body      string
		verdict   connectors.Verdict
		uncertain bool
		code      string // of the issue
	}{
		{400, `{"type":"invalid_data","message":"No files were uploaded"}`, connectors.Validation, false, "medusa.invalid_data"},
		{401, `{"message":"Unauthorized ` + key + `"}`, connectors.Auth, false, ""},
		{404, "<!DOCTYPE html><pre>Cannot POST /admin/uploads " + key + "</pre>", connectors.Unavailable, false, ""},
		{413, "<html><h1>413 Request Entity Too Large</h1>" + key + "</html>", connectors.Permanent, false, "medusa.too_large"},
		{429, "slow down " + key, connectors.Throttled, false, ""},
		{500, `{"code":"unknown_error","type":"unknown_error","message":"An unknown error occurred."}`, connectors.Unavailable, true, ""},
		{502, "<html>" + key + "</html>", connectors.Unavailable, true, ""},
		{200, `{"files":[`, connectors.Unavailable, true, ""},
		{200, `{}`, connectors.Unavailable, true, ""},
		{200, `{"files":[{"id":"a"}]}`, connectors.Unavailable, true, ""},
		{200, `{"files":[{"id":"a","url":"http://a.example/a"},{"id":"b","url":"http://a.example/b"}]}`, connectors.Unavailable, true, ""},
		{200, `{"files":[{"id":"a","url":"/static/a.png"}]}`, connectors.Permanent, false, "medusa.upload"},
		{200, `{"files":[{"id":"a","url":"http://a.example/` + strings.Repeat("a", 3000) + `"}]}`, connectors.Permanent, false, "medusa.upload"},
	} {
		t.Run(fmt.Sprint(c.status, " ", c.body[:min(len(c.body), 30)]), func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if b, err := io.ReadAll(r.Body); err != nil || int64(len(b)) != r.ContentLength || !bytes.Contains(b, []byte("\r\n\r\nred\r\n--")) {
					t.Errorf("%d bytes of %d came, %v: %q", len(b), r.ContentLength, err, b)
				}
				w.WriteHeader(c.status)
				if _, err := io.WriteString(w, c.body); err != nil {
					t.Error(err)
				}
			}))
			defer server.Close()
			to := connect(t, medusa.Config{URL: server.URL, APIKey: key}, 5)
			remote, err := uploader(t, to).Upload(ctx(t), picture("a.png", "red"))
			if err == nil {
				t.Fatalf("the file is called %s", remote)
			}
			e := connectors.AsError(err)
			if e.Verdict != c.verdict || e.Uncertain != c.uncertain || (c.code == "") != (len(e.Issues) == 0) || c.code != "" && e.Issues[0].Code != c.code {
				t.Errorf("got %s, uncertain %v: %v, %+v", e.Verdict, e.Uncertain, e, e.Issues)
			}
			if all := fmt.Sprintf("%v %+v", e, e.Issues); strings.Contains(all, key) {
				t.Errorf("the key is told: %s", all)
			}
		})
	}
}
