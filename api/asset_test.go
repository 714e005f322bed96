package api

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// photo is a JPEG of the size, another one for another shade.
func photo(t testing.TB, w, h int, shade uint8) []byte {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, w, h))
	for x := range w {
		for y := range h {
			img.SetGray(x, y, color.Gray{uint8(x+y) ^ shade})
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// sends posts or puts a form of fields (name, value pairs) and a file behind them.
func (k *kit) sends(role Role, method, path, filename string, file []byte, fields ...string) reply {
	k.t.Helper()
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	for i := 0; i < len(fields); i += 2 {
		_ = form.WriteField(fields[i], fields[i+1])
	}
	if file != nil {
		w, err := form.CreateFormFile("file", filename)
		if err != nil {
			k.t.Fatal(err)
		}
		_, _ = w.Write(file)
	}
	_ = form.Close()
	return k.do(role, method, path, b.Bytes(), "Content-Type", form.FormDataContentType())
}

func (k *kit) kinds() (out []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.woken {
		if !slices.Contains(out, c.Kind) {
			out = append(out, c.Kind)
		}
	}
	k.woken = nil
	return out
}

// TestAssets walks through the life of a file that was sent.
func TestAssets(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	front := photo(t, 60, 40, 0)
	var made, again StoredAsset
	r := k.want(k.sends(Integration, "POST", "/v1/assets", `C:\pics\Front view.jpg`, front, "code", "front", "labels", `{"en-GB":"A shoe"}`, "focal", "0.25, 0.5"), 201, &made)
	a := made.Asset
	if !made.Created || !made.Changed || a.State != "stored" || a.Width != 60 || a.Height != 40 || a.Filename != "Front view.jpg" || a.Format != "jpeg" || a.Size != int64(len(front)) ||
		a.Focal == nil || a.Focal.X != 0.25 || a.Labels["en-GB"] != "A shoe" || a.UnusedAt == nil || len(a.Hash) != 64 {
		t.Fatalf("made %+v", made)
	}
	if r.Header.Get("Location") != "/v1/assets/front" || r.Header.Get("ETag") != etag(a.Revision) {
		t.Errorf("header %v", r.Header)
	}
	if woken := k.kinds(); !slices.Contains(woken, postgres.Render) || !slices.Contains(woken, postgres.Derive) {
		t.Errorf("woken: %v", woken)
	}
	// The same again, under another name of somebody's disk, changes nothing.
	k.want(k.sends(Editor, "POST", "/v1/assets", "copy.jpg", front, "code", "front"), 200, &again)
	if again.Created || again.Changed || again.Asset.Revision != a.Revision || again.Asset.Filename != a.Filename {
		t.Errorf("again %+v", again)
	}
	k.kinds()
	// Without a code it has one of its content, each time.
	k.want(k.sends(Editor, "POST", "/v1/assets", "front.jpg", front), 201, &made)
	if made.Asset.Code != "sha-"+a.Hash[:24] {
		t.Errorf("code %s of %s", made.Asset.Code, a.Hash)
	}
	k.want(k.sends(Editor, "POST", "/v1/assets", "front.jpg", front), 200, &again)
	// Another file needs PUT.
	side := photo(t, 30, 80, 7)
	k.want(k.sends(Editor, "POST", "/v1/assets", "side.jpg", side, "code", "front"), 409, nil)
	k.want(k.sends(Editor, "PUT", "/v1/assets/front", "side.jpg", side), 200, &again)
	if b := again.Asset; !again.Changed || b.Hash == a.Hash || b.Height != 80 || b.Labels["en-GB"] != "A shoe" || b.Focal == nil || b.Filename != "side.jpg" || b.Revision <= a.Revision {
		t.Errorf("replaced %+v", again)
	}
	k.want(k.sends(Editor, "PUT", "/v1/assets/new", "side.jpg", side), 201, nil)

	// What is no image is kept, and says so; a document is no fault.
	k.want(k.sends(Editor, "POST", "/v1/assets", "x.jpg", []byte("no image at all"), "code", "bad"), 201, &made)
	if made.Asset.State != "failed" || made.Asset.Error == "" || made.Asset.Hash == "" {
		t.Errorf("bad %+v", made.Asset)
	}
	k.want(k.sends(Editor, "POST", "/v1/assets", "x.jpg", front[:len(front)/4], "code", "cut"), 201, &made)
	k.want(k.sends(Editor, "POST", "/v1/assets", "manual.pdf", []byte("%PDF-1.7\n%âãÏÓ\n1 0 obj"), "code", "manual"), 201, &made)
	if made.Asset.State != "stored" || made.Asset.Width != 0 || made.Asset.MediaType != "application/pdf" {
		t.Errorf("manual %+v", made.Asset)
	}

	list := func(query string) (codes []string) {
		var p page[Asset]
		k.want(k.do(Viewer, "GET", "/v1/assets"+query, nil), 200, &p)
		for _, a := range p.Items {
			codes = append(codes, a.Code)
		}
		return codes
	}
	if got := list("?state=failed"); !slices.Contains(got, "bad") || slices.Contains(got, "manual") {
		t.Errorf("failed: %v", got)
	}
	if got := list("?q=SIDE"); !slices.Equal(got, []string{"front", "new"}) {
		t.Errorf("side: %v", got)
	}
	if got := list("?q=_"); got != nil {
		t.Errorf("an underscore: %v", got)
	}
	if got := list("?limit=2&cursor=bad"); !slices.Equal(got, []string{"cut", "front"}) {
		t.Errorf("a page: %v", got)
	}

	// In use, it stays.
	if _, err := k.store.Pool().Exec(t.Context(), `insert into product_asset (product_id, ref) values (9001, 'front'), (9002, 'front')`); err != nil {
		t.Fatal(err)
	}
	var one Asset
	k.want(k.do(Viewer, "GET", "/v1/assets/front", nil), 200, &one)
	if one.Products != 2 {
		t.Errorf("%d products", one.Products)
	}
	k.want(k.do(Editor, "DELETE", "/v1/assets/front", nil), 409, nil)
	k.want(k.do(Editor, "PUT", "/v1/products/S-1", `{"family":"shoe"}`), 201, nil)
	if _, err := k.store.Pool().Exec(t.Context(), `insert into product_asset (product_id, ref) select id, 'manual' from product`); err != nil {
		t.Fatal(err)
	}
	if got := list("?sku=S-1"); !slices.Equal(got, []string{"manual"}) {
		t.Errorf("of a product: %v", got)
	}
	k.want(k.do(Editor, "DELETE", "/v1/assets/new", nil), 204, nil)
	k.want(k.do(Editor, "DELETE", "/v1/assets/new", nil), 404, nil)
	k.want(k.do(Viewer, "GET", "/v1/assets/new", nil), 404, nil)
}

func TestAssetUploadsAreChecked(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	ok := photo(t, 8, 8, 0)
	for _, c := range []struct {
		file   []byte
		fields []string
		place  string
		code   string
	}{
		{ok, []string{"code", "a/b"}, "form.code", "code"},
		{ok, []string{"focal", "0.5"}, "form.focal", "focal"},
		{ok, []string{"focal", "0.5,1.5"}, "form.focal", "focal"},
		{ok, []string{"focal", "NaN,0"}, "form.focal", "focal"},
		{ok, []string{"labels", `{"en-GB":1}`}, "form.labels", "field.type"},
		{ok, []string{"labels", `{`}, "form.labels", "json.syntax"},
		{ok, []string{"labels", `{"xx-XX":"a"}`}, "form.labels", "locale.unknown"},
		{ok, []string{"labels", `{"en-GB":"` + strings.Repeat("x", 1001) + `"}`}, "form.labels", "label"},
		{ok, []string{"colour", "red"}, "form.colour", "field.unknown"},
		{nil, []string{"code", "a"}, "form.file", "field.missing"},
		{[]byte{}, nil, "form.file", "file.empty"},
	} {
		k.refused(k.sends(Editor, "POST", "/v1/assets", "a.jpg", c.file, c.fields...), 422, c.place, c.code)
	}
	k.refused(k.sends(Editor, "PUT", "/v1/assets/a", "a.jpg", ok, "code", "b"), 422, "form.code", "field.unknown")
	k.want(k.do(Editor, "PUT", "/v1/assets/a", "{}"), 415, nil)
	k.want(k.do(Editor, "PUT", "/v1/assets/a", ok, "Content-Type", ""), 415, nil)
	k.want(k.do(Editor, "POST", "/v1/assets", ok, "Content-Type", "image/jpeg"), 415, nil)
	k.want(k.do(Editor, "POST", "/v1/assets", "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nhalf", "Content-Type", "multipart/form-data; boundary=x"), 400, nil)
	k.want(k.do(Editor, "POST", "/v1/assets", "x", "Content-Type", "multipart/form-data"), 400, nil)
	for body, place := range map[string]string{
		`{"url":"ftp://a/b"}`: "/url", `{"url":"https://u:p@example.com/a.jpg"}`: "/url", `{"url":"https://example.com/a.jpg","code":"a b"}`: "/code",
		`{"code":"a"}`: "/url", `{"url":"https://example.com/a.jpg","x":1}`: "/x",
	} {
		r := k.want(k.do(Editor, "POST", "/v1/assets", body), 422, nil)
		if !strings.Contains(string(r.body), `"pointer":"`+place+`"`) {
			t.Errorf("%s: %s", body, r.body)
		}
	}
	k.want(k.do(Editor, "POST", "/v1/assets", ""), 400, nil)
	if k.count("asset")+k.count("task") > 0 {
		t.Error("something was stored")
	}
}

// A file that is too large is refused by its announced length, and while it comes.
func TestAssetsAreBounded(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	var head bytes.Buffer
	form := multipart.NewWriter(&head)
	if _, err := form.CreateFormFile("file", "big.jpg"); err != nil {
		t.Fatal(err)
	}
	tail := "\r\n--" + form.Boundary() + "--\r\n"
	for name, size := range map[string]int64{"just the file": jobs.MaxAsset + 1, "all of it": jobs.MaxAsset + 2*formSlack} {
		body := io.MultiReader(bytes.NewReader(head.Bytes()), io.LimitReader(zeros{}, size), strings.NewReader(tail))
		r := k.want(k.do(Editor, "POST", "/v1/assets", body, "Content-Type", form.FormDataContentType()), 413, nil)
		if !strings.Contains(string(r.body), strconv.Itoa(jobs.MaxAsset)) {
			t.Errorf("%s: %s", name, r.body)
		}
	}
	if k.count("asset") > 0 {
		t.Error("it was stored")
	}
}

// zeros has no end.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestAssetIsPatched(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	k.want(k.sends(Editor, "POST", "/v1/assets", "a.jpg", photo(t, 20, 20, 0), "code", "a", "labels", `{"en-GB":"one"}`), 201, nil)
	var a Asset
	first := k.want(k.do(Viewer, "GET", "/v1/assets/a", nil), 200, &a)
	tag := first.Header.Get("ETag")
	r := k.want(k.do(Editor, "PATCH", "/v1/assets/a", `{"labels":{"de-DE":"eins"},"focal":{"x":0.1,"y":0.9}}`, "If-Match", tag, "Content-Type", typeMerge), 200, &a)
	if len(a.Labels) != 2 || a.Focal == nil || a.Focal.Y != 0.9 || r.Header.Get("ETag") == tag {
		t.Errorf("patched %+v", a)
	}
	k.want(k.do(Editor, "PATCH", "/v1/assets/a", `{"filename":"b.jpg"}`, "If-Match", tag), 412, nil)
	k.want(k.do(Editor, "PATCH", "/v1/assets/a", `{"filename":"../b.jpg"}`, "If-Match", "*"), 200, &a)
	rev := a.Revision
	k.want(k.do(Editor, "PATCH", "/v1/assets/a", `{"filename":"b.jpg"}`), 200, &a)
	if a.Filename != "b.jpg" || a.Revision != rev {
		t.Errorf("patched %+v", a)
	}
	a = Asset{}
	k.want(k.do(Editor, "PATCH", "/v1/assets/a", `{"focal":null,"labels":{"en-GB":null}}`), 200, &a)
	if a.Focal != nil || len(a.Labels) != 1 {
		t.Errorf("patched %+v", a)
	}
	for body, want := range map[string][2]string{
		`[]`: {"", "field.type"}, `{"focal":{"x":0.5}}`: {"/focal/y", "field.missing"}, `{"focal":{"x":2,"y":0}}`: {"/focal", "focal"}, `{"size":1}`: {"/size", "field.unknown"},
		`{"labels":{"xx-XX":"a"}}`: {"/labels/xx-XX", "locale.unknown"}, `{"labels":{"de-DE":""}}`: {"/labels/de-DE", "label"},
		`{"labels":{"de-DE":"a\u0007b"}}`: {"/labels/de-DE", "label"},
	} {
		k.refused(k.do(Editor, "PATCH", "/v1/assets/a", body), 422, want[0], want[1])
	}
	k.want(k.do(Editor, "PATCH", "/v1/assets/none", `{}`), 404, nil)
}

// TestFiles fetches files as a target does: by a signed address, without a key.
func TestFiles(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	content := photo(t, 90, 90, 1)
	var made StoredAsset
	k.want(k.sends(Editor, "POST", "/v1/assets", "Grüße & Küsse.jpg", content, "code", "a"), 201, &made)
	address := made.Asset.URL
	r := k.want(k.do("", "GET", address, nil), 200, nil)
	h := r.Header
	if !bytes.Equal(r.body, content) || h.Get("Content-Type") != "image/jpeg" || h.Get("ETag") != `"`+made.Asset.Hash+`"` ||
		h.Get("Cache-Control") != "public, max-age=31536000, immutable" || h.Get("X-Content-Type-Options") != "nosniff" ||
		!strings.HasPrefix(h.Get("Content-Disposition"), "inline") || !strings.Contains(h.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("header %v", h)
	}
	if r = k.want(k.do("", "HEAD", address, nil), 200, nil); r.ContentLength != int64(len(content)) || len(r.body) > 0 {
		t.Errorf("HEAD: %d, %d", r.ContentLength, len(r.body))
	}
	if r = k.want(k.do("", "GET", address, nil, "Range", "bytes=2-5"), 206, nil); !bytes.Equal(r.body, content[2:6]) {
		t.Errorf("a range: %q", r.body)
	}
	if r = k.do("", "GET", address, nil, "Range", "bytes=9999999-"); r.StatusCode != 416 {
		t.Errorf("a range beyond: %d", r.StatusCode)
	}
	k.want(k.do("", "GET", address, nil, "If-None-Match", h.Get("ETag")), 304, nil)

	// Whatever differs in an address is not ours.
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	sum := u.Query().Get("s")
	other := "A" + sum[1:]
	if other == sum {
		other = "B" + sum[1:]
	}
	for _, wrong := range []string{
		u.Path, address + "&s=" + sum, strings.Replace(address, sum, other, 1), strings.Replace(address, ".jpg", ".svg", 1), address + "&e=99999999999",
		strings.Replace(address, made.Asset.Hash, strings.Repeat("0", 64), 1), "/media/x/y.jpg", strings.Replace(address, made.Asset.Hash, strings.ToUpper(made.Asset.Hash), 1),
	} {
		r := k.want(k.do("", "GET", wrong, nil), 403, nil)
		if strings.Contains(string(r.body), "signature") || strings.Contains(string(r.body), "detail") {
			t.Errorf("%s says %s", wrong, r.body)
		}
	}
	gone := k.media.URL(make([]byte, 32), "a.jpg", "image/jpeg", time.Time{})
	k.want(k.do("", "GET", gone, nil), 404, nil)
	late := k.media.URL(mustHex(t, made.Asset.Hash), "a.jpg", "image/jpeg", time.Now().Add(-time.Minute))
	k.want(k.do("", "GET", late, nil), 403, nil)

	// What could run is only saved.
	svg := []byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`)
	k.want(k.sends(Editor, "POST", "/v1/assets", "x.svg", svg, "code", "svg"), 201, &made)
	for _, path := range []string{made.Asset.URL, "/v1/assets/svg/file"} {
		r := k.want(k.do(Viewer, "GET", path, nil), 200, nil)
		if !strings.HasPrefix(r.Header.Get("Content-Disposition"), "attachment") || !strings.HasPrefix(r.Header.Get("Content-Security-Policy"), "sandbox") {
			t.Errorf("%s: %v", path, r.Header)
		}
	}
	r = k.want(k.do(Viewer, "GET", "/v1/assets/a/file", nil, "Range", "bytes=0-1"), 206, nil)
	if r.Header.Get("Cache-Control") != "private, no-cache" || r.Header.Get("ETag") != h.Get("ETag") || len(r.body) != 2 {
		t.Errorf("header %v", r.Header)
	}
	k.want(k.do("", "GET", "/v1/assets/a/file", nil), 401, nil)

	// An address that ends, and is kept by caches no longer.
	var link LinkAnswer
	k.want(k.do(ChannelManager, "POST", "/v1/assets/a/link", `{"hours":2}`), 200, &link)
	r = k.want(k.do("", "GET", link.URL, nil), 200, nil)
	age, ok := strings.CutPrefix(r.Header.Get("Cache-Control"), "public, max-age=")
	if n, err := strconv.Atoi(age); !ok || err != nil || n > 7200 {
		t.Errorf("cached for %q", r.Header.Get("Cache-Control"))
	}
	k.want(k.do("", "GET", strings.Replace(link.URL, "e=", "e=9", 1), nil), 403, nil)
	for body, place := range map[string]string{`{"hours":9000}`: "/hours", `{"hours":0}`: "/hours", `{}`: "/hours", `{"hours":1,"rendition":"none"}`: "/rendition"} {
		r := k.want(k.do(Editor, "POST", "/v1/assets/a/link", body), 422, nil)
		if !strings.Contains(string(r.body), place) {
			t.Errorf("%s: %s", body, r.body)
		}
	}
	// No more at once than a process has room for.
	for range maxSending {
		k.s.sending <- struct{}{}
	}
	if r := k.want(k.do("", "GET", address, nil), 503, nil); r.Header.Get("Retry-After") == "" {
		t.Error("nothing says when to come back")
	}
}

func mustHex(t *testing.T, s string) []byte {
	t.Helper()
	var b []byte
	if _, err := fmt.Sscanf(s, "%x", &b); err != nil {
		t.Fatal(err)
	}
	return b
}

// TestNoMedia: without a place for files, what needs one says so.
func TestNoMedia(t *testing.T) {
	t.Parallel()
	k := newKit(t, func(c *Config) { c.Media = nil })
	for _, path := range []string{"/v1/assets", "/v1/assets/a", "/v1/assets/a/file", "/v1/renditions", "/media/x/y"} {
		if r := k.want(k.do(Viewer, "GET", path, nil), 503, nil); !strings.Contains(string(r.body), "no-media") {
			t.Errorf("%s: %s", path, r.body)
		}
	}
	k.want(k.sends(Editor, "POST", "/v1/assets", "a.jpg", []byte("x")), 503, nil)
	k.want(k.do(Viewer, "GET", "/v1/tasks/summary", nil), 200, nil)
}

// works starts workers of what follows from files, which the API then wakes.
func (k *kit) works() {
	k.t.Helper()
	runner, err := jobs.New(jobs.Config{
		Store: k.store, Channels: k.s.Channels, Media: k.media, Log: slog.New(slog.DiscardHandler), Holder: "the test", Work: true,
		Only: []string{postgres.Fetch, postgres.Render, postgres.Derive},
	})
	if err != nil {
		k.t.Fatal(err)
	}
	if err := runner.Start(context.Background()); err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := runner.Stop(ctx); err != nil {
			k.t.Error(err)
		}
	})
	k.s.Wake = runner.Wake
}

// until asks for an asset until it is as wanted.
func (k *kit) until(code string, done func(Asset) bool) (a Asset) {
	k.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); <-tick.C {
		a = Asset{}
		k.want(k.do(Viewer, "GET", "/v1/assets/"+code, nil), 200, &a)
		if done(a) {
			return a
		}
	}
	k.t.Fatalf("%s: %+v", code, a)
	return a
}

// TestAssetsBecomeRenditions fetches a file from a URL, has renditions made of
// it for a channel, and fetches those by their addresses.
func TestAssetsBecomeRenditions(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	k.works()
	var mu sync.Mutex
	content, hits := photo(t, 300, 200, 3), 0
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		hits++
		if r.URL.Path != "/a.jpg" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(content)
	}))
	t.Cleanup(host.Close)

	var def Rendition
	k.want(k.do(ChannelManager, "PUT", "/v1/renditions/thumb", `{"width":100,"fit":"contain"}`), 201, &def)
	k.want(k.do(ChannelManager, "PUT", "/v1/renditions/bol", `{"preset":"bol","quality":80,"require":{"min_bytes":null}}`), 201, &def)
	if d := def.Definition; d.Width != 1200 || d.Quality != 80 || d.Require.MinBytes != 0 || d.Require.MinLongSide != 500 {
		t.Errorf("from a preset: %+v", d)
	}
	k.want(k.do(ChannelManager, "POST", "/v1/channels", map[string]any{
		"code": "shop", "connector": "webhook", "locale": "en-GB", "currency": "EUR", "enabled": false, "renditions": []string{"thumb", "bol"},
		"config": map[string]any{"url": "http://127.0.0.1:9", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
	}), 201, nil)
	k.want(k.do(Viewer, "GET", "/v1/renditions/thumb", nil), 200, &def)
	if !slices.Equal(def.Channels, []pim.ChannelCode{"shop"}) {
		t.Errorf("channels %v", def.Channels)
	}
	k.want(k.do(ChannelManager, "DELETE", "/v1/renditions/thumb", nil), 409, nil)

	var got StoredAsset
	k.want(k.do(Editor, "POST", "/v1/assets", map[string]any{"url": host.URL + "/a.jpg", "code": "a"}), 202, &got)
	if !got.Created || got.Asset.Code != "a" || got.Asset.Source != host.URL+"/a.jpg" {
		t.Errorf("promised %+v", got)
	}
	a := k.until("a", func(a Asset) bool {
		return len(a.Renditions) == 2 && a.Renditions[0].State != "waiting" && a.Renditions[1].State != "waiting"
	})
	bol, thumb := a.Renditions[0], a.Renditions[1]
	if thumb.State != "made" || thumb.Width != 100 || thumb.MediaType != "image/jpeg" || !thumb.Used || thumb.MadeAt == nil {
		t.Errorf("thumb %+v", thumb)
	}
	if len(bol.Issues) == 0 || bol.Issues[0].Severity != pim.SeverityError {
		t.Errorf("bol %+v", bol)
	}
	r := k.want(k.do("", "GET", thumb.URL, nil), 200, nil)
	if c, err := jpeg.DecodeConfig(bytes.NewReader(r.body)); err != nil || c.Width != 100 || int64(len(r.body)) != thumb.Size {
		t.Errorf("%+v, %v", c, err)
	}
	var link LinkAnswer
	k.want(k.do(Editor, "POST", "/v1/assets/a/link", `{"hours":1,"rendition":"thumb"}`), 200, &link)
	if r := k.want(k.do("", "GET", link.URL, nil), 200, nil); int64(len(r.body)) != thumb.Size {
		t.Errorf("%d bytes", len(r.body))
	}
	// The same URL again is not another asset; another URL is not this one.
	k.want(k.do(Editor, "POST", "/v1/assets", map[string]any{"url": host.URL + "/a.jpg", "code": "a"}), 202, &got)
	if got.Created {
		t.Error("made again")
	}
	k.want(k.do(Editor, "POST", "/v1/assets", map[string]any{"url": host.URL + "/b.jpg", "code": "a"}), 409, nil)
	// The same file, sent by hand, changes nothing of what is fetched.
	k.want(k.sends(Editor, "POST", "/v1/assets", "a.jpg", content, "code", "a"), 200, &got)
	if got.Changed || got.Asset.Source == "" {
		t.Errorf("sent %+v", got)
	}
	// Another file at the URL comes when it is asked for.
	mu.Lock()
	content = photo(t, 320, 200, 4)
	mu.Unlock()
	k.want(k.do(Integration, "POST", "/v1/assets/a/fetch", nil), 202, nil)
	k.until("a", func(a Asset) bool { return a.Width == 320 })
	k.want(k.sends(Editor, "POST", "/v1/assets", "b.jpg", photo(t, 5, 5, 0), "code", "b"), 201, nil)
	k.want(k.do(Editor, "POST", "/v1/assets/b/fetch", nil), 409, nil)

	// What is not there says so, and stands in the list of tasks.
	k.want(k.do(Editor, "POST", "/v1/assets", map[string]any{"url": host.URL + "/gone.jpg", "code": "gone"}), 202, nil)
	gone := k.until("gone", func(a Asset) bool { return a.State == "failed" })
	if gone.Error == "" || gone.Hash != "" {
		t.Errorf("gone %+v", gone)
	}
	k.want(k.do(Viewer, "GET", "/v1/assets/gone/file", nil), 404, nil)
	k.want(k.do(Editor, "POST", "/v1/assets/gone/link", `{"hours":1}`), 409, nil)
	var tasks page[postgres.TaskItem]
	k.want(k.do(Viewer, "GET", "/v1/tasks?kind=fetch&state=failed", nil), 200, &tasks)
	if len(tasks.Items) != 1 || tasks.Items[0].Asset != "gone" || tasks.Items[0].Reason == "" {
		t.Errorf("tasks %+v", tasks)
	}
	var sum TaskSummary
	k.want(k.do(Viewer, "GET", "/v1/tasks/summary", nil), 200, &sum)
	if f, r := sum.Kinds[0], sum.Kinds[1]; f.Failed != 1 || f.FailedSoFar != 1 || f.Done < 2 || r.Done < 2 {
		t.Errorf("summary %+v", sum)
	}
	mu.Lock()
	before := hits
	mu.Unlock()
	var changed TasksChanged
	k.want(k.do(Editor, "POST", "/v1/tasks/retry", map[string]any{"kind": "fetch", "ids": []int64{tasks.Items[0].ID}}), 200, &changed)
	if changed.Tasks != 1 {
		t.Errorf("%d tried again", changed.Tasks)
	}
	k.until("gone", func(Asset) bool {
		mu.Lock()
		defer mu.Unlock()
		return hits > before
	})
}
