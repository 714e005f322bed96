package jobs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/webhook"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/blob"
	"github.com/sluicehub/sluice/pim/media"
	"github.com/sluicehub/sluice/pim/postgres"
	"github.com/sluicehub/sluice/pim/seal"
)

// gallery is a target that keeps files of its own.
type gallery struct {
	mu      sync.Mutex
	held    map[pim.SKU]string // the media document
	pushes  map[pim.SKU]int    // of the media lane
	uploads []connectors.File
	refuse  error // what uploads are answered
}

func (g *gallery) Push(_ context.Context, items []connectors.Item) ([]connectors.Result, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	results := make([]connectors.Result, len(items))
	for i, it := range items {
		results[i].Status = connectors.Live
		if it.Lane == pim.Media {
			g.held[it.SKU] = string(it.Document)
			g.pushes[it.SKU]++
		}
	}
	return results, nil
}

func (g *gallery) Probe(context.Context) error { return nil }

func (g *gallery) Upload(_ context.Context, f connectors.File) (string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.refuse != nil {
		return "", g.refuse
	}
	g.uploads = append(g.uploads, f)
	return fmt.Sprintf("https://cdn.example/%d", len(g.uploads)), nil
}

func (g *gallery) shows(sku pim.SKU) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.held[sku]
}

func (g *gallery) counts(sku pim.SKU) (uploads, pushes int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.uploads), g.pushes[sku]
}

// counted counts the files that are stored.
type counted struct {
	blob.Store
	puts atomic.Int64
}

func (c *counted) Put(ctx context.Context, r io.Reader, limit int64) (blob.Stored, error) {
	c.puts.Add(1)
	return c.Store.Put(ctx, r, limit)
}

const public = "https://pim.example"

// withGallery gives the road media and a channel "gallery" on g that shows rendition small.
func (r *road) withGallery(g *gallery) *counted {
	r.Helper()
	files := r.withGalleries(map[string]*gallery{"": g}, 10)
	r.defines("small", media.Definition{Width: 8, Height: 8})
	r.hang("gallery", "", "small")
	return files
}

// withGalleries gives the road media and the connector "gallery", whose setting
// says which of the galleries it sends to, so many products at a time.
func (r *road) withGalleries(galleries map[string]*gallery, batch int) *counted {
	r.Helper()
	for _, g := range galleries {
		g.held, g.pushes = map[pim.SKU]string{}, map[pim.SKU]int{}
	}
	type config struct {
		Wall string `json:"wall,omitempty"`
	}
	kind := &connectors.Kind{
		Name: "gallery", Title: "Gallery", Lanes: []pim.Lane{pim.Content, pim.Media}, Config: &config{}, Limits: webhook.Kind.Limits, MaxBatch: batch,
		New: func(raw json.RawMessage, _ connectors.Env) (connectors.Connector, error) {
			var c config
			err := json.Unmarshal(raw, &c)
			return galleries[c.Wall], err
		},
	}
	keys, err := seal.OpenOrCreate(r.keyset)
	if err != nil {
		r.Fatal(err)
	}
	r.channels = jobs.NewChannels(r.store, connectors.NewRegistry(webhook.Kind, kind), keys, connectors.Env{AllowPrivate: true})
	folder, err := blob.OpenFolder(r.TempDir(), time.Millisecond)
	if err != nil {
		r.Fatal(err)
	}
	files := &counted{Store: folder}
	r.media, err = jobs.NewMedia(r.ctx, r.store, keys, jobs.MediaConfig{Blobs: files, Public: public, AllowPrivate: true})
	if err != nil {
		r.Fatal(err)
	}
	r.channels.Shows(r.media)
	return files
}

// hang creates a channel on a gallery that shows renditions; with none, it shows
// no pictures at all.
func (r *road) hang(code pim.ChannelCode, wall string, renditions ...string) {
	r.Helper()
	config, _ := json.Marshal(map[string]string{"wall": wall})
	mapping := &connectors.Mapping{Content: map[string]string{"sku": "sku"}, Media: map[string]string{"media": "media"}}
	if len(renditions) == 0 {
		mapping.Media["media"] = "'none'"
	}
	spec := jobs.ChannelSpec{Code: code, Connector: "gallery", Locale: "en-GB", Currency: "EUR", Config: config, Mapping: mapping, Renditions: renditions}
	if _, err := r.channels.Create(r.ctx, spec); err != nil {
		r.Fatal(err)
	}
}

func (r *road) defines(code string, d media.Definition) {
	r.Helper()
	if _, err := r.media.PutDefinition(r.ctx, code, d); err != nil {
		r.Fatal(err)
	}
}

// picture is a PNG that differs by shade.
func picture(shade int) []byte {
	m := image.NewNRGBA(image.Rect(0, 0, 16, 12))
	for i := range 16 * 12 {
		m.Set(i%16, i/16, color.NRGBA{uint8(shade), uint8(shade >> 8), uint8(i), 255})
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func (r *road) asset(code string, content []byte) (created, changed bool) {
	r.Helper()
	_, created, changed, err := r.media.Put(r.ctx, jobs.NewAsset{Code: code, Filename: code + ".png"}, bytes.NewReader(content))
	if err != nil {
		r.Fatal(err)
	}
	return created, changed
}

func (r *road) count(sql string, args ...any) (n int) {
	r.Helper()
	if err := r.store.Pool().QueryRow(r.ctx, sql, args...).Scan(&n); err != nil {
		r.Fatal(err)
	}
	return n
}

// rested waits until nothing is to be derived, made or sent.
func (r *road) rested(channels ...pim.ChannelCode) {
	r.Helper()
	r.until(func() bool {
		return r.count(`select (select count(*) from spread) + (select count(*) from derive) + (select count(*) from task where state = 'waiting')`) == 0 && r.busy(channels...) == 0 &&
			r.count(`select (select count(*) from spread) + (select count(*) from derive) + (select count(*) from outbox) + (select count(*) from task where state = 'waiting')`) == 0
	})
}

func showing(refs ...any) pim.Values { return pim.Values{"picture": refs} }

// Any number of products and edits that show one image cause one upload, and
// one push each; another file in its place causes one more.
func TestOneUploadOfOneImage(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	g := &gallery{}
	r.withGallery(g)
	list := skus(300)
	r.put(list, showing("logo")) // before the image is there
	r.asset("logo", picture(1))
	defer r.work()()
	r.rested("gallery")
	for i := range 5 {
		values := showing("logo")
		values["name"] = map[string]any{"en-GB": fmt.Sprint("edit ", i)}
		r.put(list, values)
	}
	r.rested("gallery")
	for _, sku := range list {
		if got := g.shows(sku); got != `{"media":["https://cdn.example/1"]}` {
			t.Fatalf("%s shows %s", sku, got)
		}
	}
	if uploads, pushes := g.counts(list[7]); uploads != 1 || pushes != 1 {
		t.Errorf("%d uploads, %d pushes of one product, want one each", uploads, pushes)
	}
	if f := g.uploads[0]; f.Name != "logo.jpg" || f.MediaType != "image/jpeg" || media.Sniff(f.Content) != media.JPEG {
		t.Errorf("uploaded %s, %s, %d bytes", f.Name, f.MediaType, len(f.Content))
	}
	tasks := r.count(`select sum(done) from lot where kind = 'render'`)
	if created, changed := r.asset("logo", picture(1)); created || changed {
		t.Error("the same file again changed something")
	}
	r.asset("copy", picture(1)) // under another name: nothing is made of it again
	r.rested("gallery")
	if again := r.count(`select sum(done) from lot where kind = 'render'`); again != tasks {
		t.Errorf("%d renditions made of what was there", again-tasks)
	}
	r.asset("logo", picture(2))
	r.rested("gallery")
	r.until(func() bool { return g.shows(list[299]) == `{"media":["https://cdn.example/2"]}` })
	if uploads, pushes := g.counts(list[7]); uploads != 2 || pushes != 2 {
		t.Errorf("%d uploads and %d pushes after the image was replaced, want two each", uploads, pushes)
	}
}

// Whatever process dies while renditions are made, each is in the store once in
// the end, and the channel shows all.
func TestRenditionsOutliveTheirMakers(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	r.lease, r.sweep = 500*time.Millisecond, 50*time.Millisecond
	g := &gallery{}
	r.withGallery(g)
	r.defines("tiny", media.Definition{Width: 4, Height: 4, Format: media.PNG})
	r.update("gallery", func(spec *jobs.ChannelSpec) { spec.Renditions = []string{"small", "tiny"} })
	list := skus(60)
	for i, sku := range list {
		r.asset(fmt.Sprint("image-", i), picture(i))
		r.put([]pim.SKU{sku}, showing(fmt.Sprint("image-", i)))
	}
	for _, made := range []int{5, 30, 70} {
		r.work()
		r.until(func() bool { return r.count(`select count(*) from rendition where hash is not null`) >= made })
		r.crash()
	}
	defer r.work()()
	r.rested("gallery")
	if n := r.count(`select count(*) from rendition where hash is not null and error is null`); n != 120 {
		t.Errorf("%d renditions, want 120", n)
	}
	if n := r.count(`select count(distinct hash) from rendition`); n != 120 {
		t.Errorf("%d different files, want 120", n)
	}
	for _, sku := range list {
		if g.shows(sku) == "" {
			t.Errorf("%s shows nothing", sku)
		}
	}
}

// A picture by URL is fetched, and the listing waits for it; one that cannot be
// had is left out, and the listing says so.
func TestPicturesByURL(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	g := &gallery{}
	r.withGallery(g)
	gate := make(chan struct{})
	var asked atomic.Int64
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		asked.Add(1)
		switch {
		case strings.HasSuffix(q.URL.Path, "/missing.png"):
			http.NotFound(w, q)
		case strings.HasSuffix(q.URL.Path, "/moved.png"):
			http.Redirect(w, q, "/b.png", http.StatusFound)
		default:
			<-gate
			w.Header().Set("Content-Type", "image/png")
			_, _ = w.Write(picture(len(q.URL.Path)))
		}
	}))
	defer host.Close()
	r.put([]pim.SKU{"A"}, showing(host.URL+"/a.png?token=secret", host.URL+"/missing.png", host.URL+"/moved.png"))
	defer r.work()()
	r.until(func() bool { return asked.Load() > 0 })
	r.until(func() bool {
		return strings.Contains(fmt.Sprint(r.listing("gallery", "A", pim.Media).Issues), "mapping.media.pending")
	})
	if _, pushes := g.counts("A"); pushes != 0 {
		t.Error("sent before its pictures were there")
	}
	close(gate)
	r.rested("gallery")
	r.until(func() bool { return g.shows("A") != "" })
	r.rested("gallery")
	if got := g.shows("A"); strings.Count(got, "cdn.example") != 2 {
		t.Errorf("shows %s, want two pictures", got)
	}
	issues := fmt.Sprint(r.listing("gallery", "A", pim.Media).Issues)
	if !strings.Contains(issues, "mapping.media.fetch") || !strings.Contains(issues, "missing.png") || strings.Contains(issues, "secret") {
		t.Errorf("issues %s", issues)
	}
	if n := r.count(`select count(*) from task where kind = 'fetch' and state = 'failed'`); n != 1 {
		t.Errorf("%d failed tasks, want 1", n)
	}
}

// A target that refuses a file parks the listings that show it, and no others.
func TestRefusedUpload(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	g := &gallery{refuse: &connectors.Error{Verdict: connectors.Validation, Err: errors.New("no pictures of cats")}}
	r.withGallery(g)
	r.asset("cat", picture(3))
	r.put([]pim.SKU{"CAT"}, showing("cat"))
	r.put([]pim.SKU{"PLAIN"}, title("Plain"))
	defer r.work()()
	r.until(func() bool { return strings.Contains(r.listing("gallery", "CAT", pim.Media).Error, "cats") })
	g.mu.Lock()
	g.refuse = &connectors.Error{Verdict: connectors.Unavailable, Err: errors.New("the file storage is away")}
	g.mu.Unlock()
	r.asset("cat", picture(5))
	r.until(func() bool { return r.listing("gallery", "CAT", pim.Media).Attempts >= 4 })
	if ch, err := r.store.Channel(r.ctx, "gallery"); err != nil || ch.Fails > 0 {
		t.Errorf("%d failures of the channel, %v: its prices would wait for pictures", ch.Fails, err)
	}
	r.put([]pim.SKU{"PLAIN"}, title("Plain still goes"))
	r.until(func() bool { return r.listing("gallery", "PLAIN", pim.Content).State == pim.StateLive })
	g.mu.Lock()
	g.refuse = nil
	g.mu.Unlock()
	r.asset("cat", picture(4))
	r.until(func() bool { return g.shows("CAT") != "" })
}

// Another definition makes other renditions, and the channel follows.
func TestDefinitionChanges(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	g := &gallery{}
	r.withGallery(g)
	r.asset("one", picture(9))
	r.put([]pim.SKU{"A"}, showing("one"))
	defer r.work()()
	r.until(func() bool { return g.shows("A") != "" })
	r.rested("gallery")
	first, _ := g.counts("A")
	r.defines("small", media.Definition{Width: 6, Height: 6})
	r.rested("gallery")
	r.until(func() bool { n, _ := g.counts("A"); return n == first+1 })
	r.defines("small", media.Definition{Width: 8, Height: 8}) // made before: the file is known, and was uploaded
	r.until(func() bool { return g.shows("A") == `{"media":["https://cdn.example/1"]}` })
	r.rested("gallery")
	if n, _ := g.counts("A"); n != first+1 {
		t.Errorf("%d uploads, want none for what was there", n)
	}
	// What the definition requires and the image does not meet leaves it out.
	r.defines("small", media.Definition{Width: 8, Height: 8, Require: media.Requirement{MinWidth: 500}})
	r.until(func() bool { return g.shows("A") == `{"media":[]}` })
	r.until(func() bool {
		return strings.Contains(fmt.Sprint(r.listing("gallery", "A", pim.Media).Issues), "mapping.rendition.too_small")
	})
}

// update changes a channel's settings.
func (r *road) update(code pim.ChannelCode, change func(*jobs.ChannelSpec)) {
	r.Helper()
	ch, err := r.store.Channel(r.ctx, code)
	if err != nil {
		r.Fatal(err)
	}
	var m connectors.Mapping
	if err := json.Unmarshal(ch.Mapping, &m); err != nil {
		r.Fatal(err)
	}
	spec := jobs.ChannelSpec{Code: code, Connector: ch.Connector, Locale: ch.Locale, Currency: ch.Currency, Config: ch.Config, Mapping: &m, Renditions: ch.Renditions}
	change(&spec)
	if _, err := r.channels.Update(r.ctx, code, spec, 0); err != nil {
		r.Fatal(err)
	}
}

// Files go when nobody refers to them, after their time, and not before.
func TestCollect(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	g := &gallery{}
	files := r.withGallery(g)
	r.asset("used", picture(1))
	r.asset("unused", picture(2))
	r.put([]pim.SKU{"A"}, showing("used"))
	stop := r.work()
	r.rested("gallery")
	r.until(func() bool { return g.shows("A") != "" })
	r.rested("gallery")
	stop()
	left := func() (n int) {
		t.Helper()
		if err := files.Walk(r.ctx, func(blob.Info) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := left(); n != 4 {
		t.Fatalf("%d files, want two originals and two renditions", n)
	}
	if err := r.media.Collect(r.ctx, time.Hour); err != nil {
		t.Fatal(err)
	}
	if n := left(); n != 4 {
		t.Errorf("%d files left before their time, want 4", n)
	}
	if err := r.media.Collect(r.ctx, 0); err != nil {
		t.Fatal(err)
	}
	r.until(func() bool { // the storage's grace is a moment here
		if err := r.media.Collect(r.ctx, 0); err != nil {
			t.Fatal(err)
		}
		return left() == 2
	})
	if _, err := r.store.Asset(r.ctx, "used"); err != nil {
		t.Error(err)
	}
}

// A file that the storage lost is heard of; stored or fetched again, what could
// not be made of it is made.
func TestLostFilesComeBack(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	g := &gallery{}
	files := r.withGallery(g)
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("ETag", `"1"`)
		if q.Header.Get("If-None-Match") == `"1"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = w.Write(picture(8))
	}))
	defer host.Close()
	r.asset("sent", picture(7))
	fetched, err := r.store.AddURLAsset(r.ctx, "", host.URL+"/a.png")
	if err != nil {
		t.Fatal(err)
	}
	r.put([]pim.SKU{"A"}, showing("sent"))
	r.put([]pim.SKU{"B"}, showing(fetched))
	defer r.work()()
	r.until(func() bool { return g.shows("A") != "" && g.shows("B") != "" })
	r.rested("gallery")
	for _, code := range []string{"sent", fetched} {
		a, err := r.store.Asset(r.ctx, code)
		if err != nil {
			t.Fatal(err)
		}
		if err := files.Delete(r.ctx, blob.Hash(a.Hash)); err != nil {
			t.Fatal(err)
		}
	}
	r.defines("small", media.Definition{Width: 5, Height: 5})
	r.rested("gallery")
	if n := r.count(`select count(*) from rendition where error = $1`, postgres.NoFile); n != 2 {
		t.Fatalf("%d renditions say that their file is lost, want 2", n)
	}
	if created, changed := r.asset("sent", picture(7)); created || changed {
		t.Error("the same file is another one")
	}
	if _, err := r.store.AddURLAsset(r.ctx, "", host.URL+"/a.png"); err != nil {
		t.Fatal(err)
	}
	r.rested("gallery")
	if n := r.count(`select count(*) from rendition where error is not null or hash is null`); n != 0 {
		t.Errorf("%d renditions are not made", n)
	}
	for _, sku := range []pim.SKU{"A", "B"} {
		r.until(func() bool {
			return strings.Contains(g.shows(sku), "cdn.example/3") || strings.Contains(g.shows(sku), "cdn.example/4")
		})
	}
}
