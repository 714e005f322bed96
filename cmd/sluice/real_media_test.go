//go:build real && unix

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicehub/sluice/connectors/woocommerce/woocommercetest"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres/dbtest"
)

const (
	english, spanish, catalan = pim.Locale("en-GB"), pim.Locale("es-ES"), pim.Locale("ca-ES")

	// marked is a product of the test's own: what the sample's texts do not have
	// is markup and what no translator may touch.
	marked        = "KETTLE-17"
	markedTitle   = "Red kettle"
	markedPicture = "adam-birkett-239153-unsplash.jpg" // one of the sample's
	markedText    = `<p>The kettle holds <strong>1.7 l</strong> and boils water in 90 s.</p><ul><li>Weight: 1.25 kg</li><li>Ask for KETTLE-17, {name} or %s</li></ul>` +
		`<p>It is <em>red</em>.<br>The handle is black &amp; the lid is white.</p>`
	edited         = "834444" // a product without variants
	editedSentence = "The dog sleeps in the big house."
	personsTitle   = "La mesa del perro"
	shopSide       = 800
	thumbSide      = 150
)

// mediaHub is a hub with a shop for each of three languages.
type mediaHub struct {
	*hub
	fakes  map[pim.Locale]*woocommercetest.Server
	assets string // the folder of the sample's pictures
	mu     sync.Mutex
	asked  map[string]int // how often each picture was fetched
}

// TestRealMedia takes a catalogue with photographs that others made into three
// shops, in English and, by a real Apertium, in Spanish and Catalan, and loads
// from there each picture. docs/translation.md tells how to run it.
func TestRealMedia(t *testing.T) {
	env := needEnv(t, "docs/translation.md", "APERTIUM_URL")
	file := sharedData(t, "vendure", "products.csv")
	h := &mediaHub{hub: &hub{t: t, sample: readSample(t, file)}, fakes: map[pim.Locale]*woocommercetest.Server{}, asked: map[string]int{}}
	h.assets = filepath.Join(filepath.Dir(file), "assets")
	files := http.FileServer(http.Dir(h.assets))
	pictures := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		h.asked[strings.TrimPrefix(r.URL.Path, "/")]++
		h.mu.Unlock()
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(pictures.Close)
	h.pictures = pictures.URL + "/"

	h.dsn = dbtest.New(t)
	h.db = connect(t, h.dsn)
	h.env = []string{"DATABASE_URL=" + h.dsn, "SLUICE_KEYSET=" + filepath.Join(t.TempDir(), "keyset.json")}
	serve := start(t, h.env, "serve", "--listen", "127.0.0.1:0", "--allow-private-targets")
	h.url = "http://" + serve.hear(`msg=serving .*listen=(\S+)`)[1]
	h.key = strings.TrimSpace(h.run("key", "create", "real", "--role", "admin"))

	h.declare(t, env["APERTIUM_URL"])
	vendure := filepath.Join(t.TempDir(), "vendure.csv") // the family is called after the file
	if err := os.Symlink(file, vendure); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	o := h.take(t, vendure)
	if o.Created != 86 {
		t.Errorf("86 products are expected: %+v", o)
	}
	h.call(t, request{"PUT", "/v1/products/" + marked, text(t, map[string]any{"family": "vendure", "values": map[string]any{
		"name": map[pim.Locale]string{english: markedTitle}, "description": map[pim.Locale]string{english: markedText}, "images": h.pictures + markedPicture,
	}})})
	t.Logf("%d products in %.2f s; all pictures and texts made and in three shops %s after the import began", o.Created, o.Seconds, h.rest(t, began))

	t.Run("pictures", h.checkPictures)
	t.Run("texts", h.checkTexts)
	t.Run("the same file again makes nothing", func(t *testing.T) {
		before := h.work(t)
		o := h.take(t, vendure)
		h.rest(t, time.Now())
		if o.Created+o.Changed != 0 || o.Unchanged == 0 {
			t.Errorf("%+v", o)
		}
		t.Logf("%d rows: %d unchanged, %d rejected", o.Rows, o.Unchanged, o.Rejected)
		if diff := cmp.Diff(before, h.work(t)); diff != "" {
			t.Errorf("work was done (-before +after):\n%s", diff)
		}
	})
	t.Run("one sentence changes", h.changeSentence)
	t.Run("a person's title", h.keepPersons)
	for locale, fake := range h.fakes {
		for _, v := range fake.Violations() {
			t.Errorf("the fake shop's rules were violated in %s: %s", locale, v)
		}
	}
}

// declare says what texts there are, what is to be made of pictures, who
// translates what, and where all of it is shown.
func (h *mediaHub) declare(t *testing.T, apertium string) {
	for _, locale := range []pim.Locale{english, spanish, catalan} {
		h.call(t, request{"PUT", "/v1/locales/" + string(locale), ""})
	}
	h.call(t, request{"PUT", "/v1/attributes/name", `{"type":"text","localizable":true}`})
	h.call(t, request{"PUT", "/v1/attributes/description", `{"type":"rich_text","localizable":true}`})
	h.call(t, request{"PUT", "/v1/families/vendure", `{"attributes":[{"code":"name"},{"code":"description"}]}`})
	h.call(t, request{"PUT", "/v1/renditions/shop", fmt.Sprintf(`{"width":%d,"height":%[1]d,"fit":"pad","background":"#ffffff","format":"jpeg","upscale":true}`, shopSide)})
	h.call(t, request{"PUT", "/v1/renditions/thumb", fmt.Sprintf(`{"width":%d,"height":%[1]d,"fit":"crop","format":"jpeg"}`, thumbSide)})
	h.call(t, request{"POST", "/v1/providers", text(t, map[string]any{"code": "apertium", "kind": "apertium", "config": map[string]any{"url": apertium}})})
	for code, pair := range map[string][2]pim.Locale{"spanish": {english, spanish}, "catalan": {spanish, catalan}} {
		h.call(t, request{"PUT", "/v1/text-rules/" + code, text(t, map[string]any{
			"action": "translate", "attributes": []string{"name", "description"}, "from": pair[0], "to": pair[1:], "providers": []string{"apertium"},
		})})
	}
	for locale, shows := range h.shows() {
		fake, err := woocommercetest.NewServer("", woocommercetest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		h.t.Cleanup(func() { _ = fake.Close() }) // ends with the test
		h.fakes[locale] = fake
		h.channel(t, map[string]any{
			"code": channelOf(locale), "connector": "woocommerce", "locale": locale, "currency": "EUR", "renditions": shows,
			"config": map[string]any{"url": fake.URL(), "consumer_key": fake.Key(), "consumer_secret": fake.Secret()},
		})
	}
	// The Catalan shop's pictures are all that it shows, not the first alone; its
	// products are drafts until they have a title.
	h.call(t, request{"PATCH", "/v1/channels/" + channelOf(catalan), text(t, map[string]any{"mapping": map[string]any{
		"content": map[string]string{"status": "has(values.name) ? 'publish' : 'draft'"},
		"media":   map[string]string{"images": "renditions['shop'] + renditions['thumb']"},
	}})})
}

func channelOf(l pim.Locale) string { return "shop-" + string(l)[:2] }

// shows are the renditions of each shop's pictures, in order.
func (*mediaHub) shows() map[pim.Locale][]string {
	return map[pim.Locale][]string{english: {"shop"}, spanish: {"thumb"}, catalan: {"shop", "thumb"}}
}

func (h *mediaHub) take(t *testing.T, file string) (o outcome) {
	t.Helper()
	said := h.run("import", file, "--locale", string(english), "--currency", "EUR", "--asset-base", h.pictures, "--json", "--report", filepath.Join(t.TempDir(), "report.csv"))
	if err := json.Unmarshal([]byte(said), &o); err != nil {
		t.Fatal(err)
	}
	return o
}

// ask makes a call of the API and reads what it answers.
func (h *mediaHub) ask(t *testing.T, path string, into any) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, h.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+h.key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(into); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %d %v", path, resp.StatusCode, err)
	}
}

// sqlRest counts what is still to be done, in one look: what ends one kind of
// work begins the next in the same transaction.
const sqlRest = `select (select count(*) from outbox), (select count(*) from derive), (select count(*) from task where state = 'waiting'),
	(select count(*) from listing where dirty),
	(select count(*) from product p cross join channel c where p.deleted_at is null
		and not exists (select from listing l where l.channel_id = c.id and l.product_id = p.id))`

// rest waits until nothing is to be done any more, and gives how long that took
// since began.
func (h *mediaHub) rest(t *testing.T, began time.Time) time.Duration {
	t.Helper()
	var left [5]int
	for time.Since(began) < 15*time.Minute {
		if err := h.db.QueryRow(t.Context(), sqlRest).Scan(&left[0], &left[1], &left[2], &left[3], &left[4]); err != nil {
			t.Fatal(err)
		}
		if left == [5]int{} {
			for locale := range h.fakes {
				h.complain(t, channelOf(locale))
			}
			return time.Since(began).Round(10 * time.Millisecond)
		}
		if _, err := h.db.Exec(t.Context(), "select pg_sleep(0.05)"); err != nil {
			t.Fatal(err)
		}
	}
	for locale := range h.fakes {
		h.tell(t, channelOf(locale))
	}
	t.Fatalf("outbox, derive, tasks, listings, products without a listing: %v are never done", left)
	return 0
}

// work is what was done so far, by all who count.
func (h *mediaHub) work(t *testing.T) map[string]int64 {
	t.Helper()
	all := map[string]int64{}
	for name, sql := range map[string]string{
		"events": "select count(*) from event", "assets": "select count(*) from asset", "renditions": "select count(*) from rendition",
		"tasks done": "select coalesce(sum(done), 0)::bigint from lot", "tasks failed": "select coalesce(sum(failed), 0)::bigint from lot",
		"tasks left": "select count(*) from task", "calls": "select calls from provider", "segments": "select segments from provider",
		"refused": "select refused from provider", "characters": "select characters from provider",
	} {
		var n int64
		if err := h.db.QueryRow(t.Context(), sql).Scan(&n); err != nil {
			t.Fatal(err)
		}
		all[name] = n
	}
	for locale, fake := range h.fakes {
		c := fake.Counts()
		all["rows "+string(locale)], all["pictures "+string(locale)] = int64(c.Rows), int64(c.Loaded)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, n := range h.asked {
		all["fetches"] += int64(n)
	}
	return all
}

// products are the SKUs with texts and a picture, with the picture's file.
func (h *mediaHub) products() map[string]string {
	out := map[string]string{marked: markedPicture}
	for sku, th := range h.sample {
		if th.parent == "" {
			out[sku] = th.picture
		}
	}
	return out
}

func (h *mediaHub) checkPictures(t *testing.T) {
	side := map[string]int{"shop": shopSide, "thumb": thumbSide}
	originals := map[string]image.Image{}
	loaded := map[string]bool{}
	for sku, file := range h.products() {
		if originals[file] == nil {
			raw, err := os.ReadFile(filepath.Join(h.assets, file))
			if err != nil {
				t.Fatal(err)
			}
			if len(metadata(raw)) == 0 {
				t.Errorf("%s has no metadata that could go", file)
			}
			if originals[file], err = jpeg.Decode(bytes.NewReader(raw)); err != nil {
				t.Fatal(err)
			}
		}
		for locale, shows := range h.shows() {
			p, held := h.fakes[locale].Held(pim.SKU(sku))
			if !held || len(p.Images) != len(shows) {
				t.Errorf("%s in %s: held %t, %d pictures, want %d", sku, locale, held, len(p.Images), len(shows))
				continue
			}
			for i, show := range shows {
				at := p.Images[i].Origin
				if loaded[at] {
					continue
				}
				loaded[at] = true
				if err := h.checkPicture(at, side[show], show == "shop", originals[file]); err != nil {
					t.Errorf("%s in %s, %s: %s: %v", sku, locale, show, at, err)
				}
			}
		}
	}
	if want := 2 * len(originals); len(loaded) != want {
		t.Errorf("%d addresses of pictures, want %d", len(loaded), want)
	}
	expect(t, h.db, "select count(*) from asset where hash is not null and error is null", len(originals))
	expect(t, h.db, "select count(distinct hash) from asset", len(originals))
	expect(t, h.db, "select count(*) from rendition", 2*len(originals))
	expect(t, h.db, "select count(*) from rendition where hash is not null and error is null and media_type = 'image/jpeg'", 2*len(originals))
	expect(t, h.db, "select count(*) from task", 0) // neither waiting nor given up
	for file, n := range h.asked {
		if n != 1 {
			t.Errorf("%s was fetched %d times", file, n)
		}
	}
	var in, out int64
	if err := h.db.QueryRow(t.Context(), "select (select sum(size) from asset), (select sum(size) from rendition)").Scan(&in, &out); err != nil {
		t.Fatal(err)
	}
	for locale, fake := range h.fakes {
		c := fake.Counts()
		// Whatever shows them, variations without pictures of their own included.
		if want := len(h.shows()[locale]) * len(originals); c.Loaded != want {
			t.Errorf("the shop in %s loaded %d pictures, want each of %d once", locale, c.Loaded, want)
		}
		t.Logf("the shop in %s: %d products, %d rows in %d batches, %d pictures loaded", locale, c.Products, c.Rows, c.Batches, c.Loaded)
	}
	t.Logf("%d originals of %d KB, %d renditions of %d KB; %d pictures of shops loaded and decoded", len(originals), in>>10, 2*len(originals), out>>10, len(loaded))
}

// checkPicture loads a picture as a shop does, and compares it with its original.
func (h *mediaHub) checkPicture(at string, side int, pad bool, original image.Image) error {
	path, _, signed := strings.Cut(at, "?")
	if !strings.HasPrefix(at, h.url+"/media/") || !signed {
		return errors.New("is no signed address of ours")
	}
	raw, is, err := load(at)
	if err != nil {
		return err
	}
	if is != "200 image/jpeg" {
		return fmt.Errorf("is answered with %s", is)
	}
	if _, is, err := load(path); err != nil {
		return err
	} else if !strings.HasPrefix(is, "403 ") {
		return fmt.Errorf("is answered with %s without its signature", is)
	}
	img, err := jpeg.Decode(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	if size := img.Bounds().Size(); size != image.Pt(side, side) {
		return fmt.Errorf("is %s", size)
	}
	if segments := metadata(raw); len(segments) > 0 {
		return fmt.Errorf("has metadata: %q", segments)
	}
	// What of the rendition is the picture, and what of the original that shows.
	from, to := original.Bounds(), img.Bounds()
	w, hgt := from.Dx(), from.Dy()
	if pad {
		long := max(w, hgt)
		to = centred(to, side*w/long, side*hgt/long)
		for _, p := range []image.Point{{}, {side - 1, side - 1}} {
			if r, g, b, _ := img.At(p.X, p.Y).RGBA(); !p.In(to) && min(r, g, b)>>8 < 250 {
				return fmt.Errorf("is not white at %s", p)
			}
		}
	} else {
		from = centred(from, min(w, hgt), min(w, hgt))
	}
	if d := difference(original, from, img, to); d > 6 {
		return fmt.Errorf("is %.1f of 255 from its original", d)
	}
	return nil
}

// load gives what stands at an address, and the answer's status and type.
func load(at string) (raw []byte, is string, err error) {
	resp, err := http.Get(at)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	raw, err = io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	return raw, fmt.Sprint(resp.StatusCode, " ", resp.Header.Get("Content-Type")), err
}

func centred(in image.Rectangle, w, h int) image.Rectangle {
	at := in.Min.Add(image.Pt((in.Dx()-w)/2, (in.Dy()-h)/2))
	return image.Rectangle{at, at.Add(image.Pt(w, h))}
}

// metadata names the segments of a JPEG that tell more than how to decode it
// (ITU-T T.81, annex B): all application segments but JFIF's, and comments.
func metadata(raw []byte) (found []string) {
	for at := 2; at+4 <= len(raw) && raw[at] == 0xff && raw[at+1] != 0xda; {
		marker, n := raw[at+1], int(raw[at+2])<<8|int(raw[at+3])
		if marker > 0xe0 && marker <= 0xef || marker == 0xfe {
			found = append(found, fmt.Sprintf("%x", marker))
		}
		at += 2 + n
	}
	return found
}

// difference is how far the mean colours of 8 × 8 fields are apart, on average.
func difference(a image.Image, ra image.Rectangle, b image.Image, rb image.Rectangle) float64 {
	sum := 0.0
	for i := range 64 {
		x, y := mean(a, field(ra, i)), mean(b, field(rb, i))
		for c := range x {
			sum += max(x[c]-y[c], y[c]-x[c])
		}
	}
	return sum / 64 / 3
}

func field(r image.Rectangle, i int) image.Rectangle {
	x, y := i%8, i/8
	return image.Rect(r.Min.X+x*r.Dx()/8, r.Min.Y+y*r.Dy()/8, r.Min.X+(x+1)*r.Dx()/8, r.Min.Y+(y+1)*r.Dy()/8)
}

func mean(m image.Image, r image.Rectangle) (sum [3]float64) {
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			r, g, b, _ := m.At(x, y).RGBA()
			for c, v := range [3]uint32{r, g, b} {
				sum[c] += float64(v >> 8)
			}
		}
	}
	for c := range sum {
		sum[c] /= float64(r.Dx() * r.Dy())
	}
	return sum
}
