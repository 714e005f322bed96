//go:build real && unix

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/connectors/woocommerce/woocommercetest"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres/dbtest"
)

// hub is a served hub on an empty database, and all that stands around it.
type hub struct {
	t        *testing.T
	env      []string
	url, key string
	dsn      string
	db       *pgx.Conn
	pictures string // where the sample's pictures are served
	shop     *medusaShop
	erp      *erp
	sample   sample
}

// TestReal takes two catalogues that others wrote through the whole hub, into a
// WooCommerce fake, a real Medusa and a real Tryton, and reads back what stands
// there. docs/connectors/medusa.md tells how to run it.
func TestReal(t *testing.T) {
	env := needEnv(t, "docs/connectors/medusa.md", "MEDUSA_URL", "MEDUSA_KEY", "MEDUSA_PUBLISHABLE_KEY", "MEDUSA_STOP", "MEDUSA_START",
		"TRYTON_URL", "TRYTON_DATABASE", "TRYTON_USER", "TRYTON_PASSWORD", "TRYTON_HOOK_LISTEN", "TRYTON_HOOK_SECRET")
	file := sharedData(t, "vendure", "products.csv")
	h := &hub{t: t, sample: readSample(t, file), shop: openShop(t, env), erp: openERP(t, env)}
	products, variants := h.sample.products()
	h.shop.clear(products)
	h.erp.user()
	h.erp.forget(slices.Concat(products, variants))
	t.Cleanup(func() { h.shop.clear(products) })

	pictures := httptest.NewServer(http.FileServer(http.Dir(filepath.Join(filepath.Dir(file), "assets"))))
	t.Cleanup(pictures.Close)
	h.pictures = pictures.URL + "/"

	pg := dbtest.Server(t)
	h.dsn, h.db = pg.DSN(), connect(t, pg.DSN())
	dir := t.TempDir()
	h.env = []string{"DATABASE_URL=" + pg.DSN(), "SLUICE_KEYSET=" + filepath.Join(dir, "keyset.json")}
	serve := start(t, h.env, "serve", "--listen", env["TRYTON_HOOK_LISTEN"], "--allow-private-targets")
	h.url = "http://" + serve.hear(`msg=serving .*listen=(\S+)`)[1]
	h.key = strings.TrimSpace(h.run("key", "create", "real", "--role", "admin"))

	t.Run("two catalogues come in", h.imports)
	t.Run("the sample is in Medusa", func(t *testing.T) { h.inShop(t, h.sample) })
	t.Run("pictures are those of the sample", h.showsPictures)
	t.Run("what Medusa holds is read back", h.readsBack)
	t.Run("Medusa stops during 500 edits", func(t *testing.T) { h.outage(t, env["MEDUSA_STOP"], env["MEDUSA_START"]) })
	t.Run("a price of Tryton's is in Medusa", func(t *testing.T) { h.priced(t, env) })
}

// run runs a command of sluice, which must succeed.
func (h *hub) run(args ...string) string {
	h.t.Helper()
	stdout, stderr, status := output(h.t, h.env, args...)
	if status != 0 {
		h.t.Fatalf("sluice %s: status %d\n%s%s", strings.Join(args, " "), status, stdout, stderr)
	}
	return stdout
}

// channel creates one from the same JSON that the documentation shows.
func (h *hub) channel(t *testing.T, spec map[string]any) {
	t.Helper()
	h.call(t, request{"POST", "/v1/channels", text(t, spec)})
}

func text(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// call makes one call of the API, which must do all that it asks.
func (h *hub) call(t *testing.T, r request) {
	t.Helper()
	req, err := http.NewRequest(r.method, h.url+r.path, strings.NewReader(strings.ReplaceAll(r.body, picturesAt, h.pictures)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+h.key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil || resp.StatusCode/100 != 2 || strings.Contains(string(said), `"status":"rejected"`) {
		t.Fatalf("%s %s %s: %d %v %s", r.method, r.path, r.body, resp.StatusCode, err, said)
	}
}

// sqlUnsettled counts what a channel is still to be sent.
const sqlUnsettled = `select (select count(*) from outbox) + (select count(*) from listing l join channel c on c.id = l.channel_id where c.code = $1 and l.dirty)
	+ (select count(*) from product p where deleted_at is null and not exists
		(select from listing l join channel c on c.id = l.channel_id where c.code = $1 and l.product_id = p.id))`

// sqlAcked tells when a channel's listings were acknowledged, in seconds.
const sqlAcked = `select percentile_cont(0.5) within group (order by s), percentile_cont(0.9) within group (order by s), max(s)
	from (select extract(epoch from acked_at - $2)::float8 s from listing l join channel c on c.id = l.channel_id where c.code = $1 and acked_at > $2) a`

// settled waits until a channel has all, and gives how long that took since
// began.
func (h *hub) settled(t *testing.T, channel string, began time.Time) time.Duration {
	t.Helper()
	left, told := -1, false
	for time.Since(began) < 15*time.Minute {
		if err := h.db.QueryRow(t.Context(), sqlUnsettled, channel).Scan(&left); err != nil {
			t.Fatal(err)
		}
		if left == 0 {
			h.complain(t, channel)
			return time.Since(began).Round(10 * time.Millisecond)
		}
		if !told && time.Since(began) > 20*time.Second {
			told = true
			h.tell(t, channel)
		}
		if _, err := h.db.Exec(t.Context(), "select pg_sleep(0.05)"); err != nil {
			t.Fatal(err)
		}
	}
	h.complain(t, channel)
	t.Fatalf("channel %s: %d listings, or events, are never done", channel, left)
	return 0
}

// waiting is how many listings of a channel are to be sent, once fan-out has
// come to all edits.
func (h *hub) waiting(t *testing.T, channel string) (n int) {
	t.Helper()
	waitFor(t, announced{DSN: h.dsn}, "select not exists (select from outbox)")
	if err := h.db.QueryRow(t.Context(), "select count(*) from listing l join channel c on c.id = l.channel_id where c.code = $1 and l.dirty", channel).Scan(&n); err != nil {
		t.Fatal(err)
	}
	if n < 50 {
		t.Errorf("%d listings wait: the target is not away", n)
	}
	return n
}

// tell logs what a channel waits for.
func (h *hub) tell(t *testing.T, channel string) {
	t.Helper()
	rows, err := h.db.Query(t.Context(), `select format('%s lane %s: %s, %s attempts, %s, due at %s, settles at %s, it is %s', p.sku, l.lane, l.status, l.attempts, l.error,
			l.due_at, l.settle_at, now()) from listing l join channel c on c.id = l.channel_id join product p on p.id = l.product_id
		where c.code = $1 and l.dirty order by l.due_at limit 10`, channel)
	if err != nil {
		t.Fatal(err)
	}
	waiting, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range waiting {
		t.Log("waits:", line)
	}
}

// complain tells what a channel refused.
func (h *hub) complain(t *testing.T, channel string) {
	t.Helper()
	rows, err := h.db.Query(t.Context(), `select p.sku || ' lane ' || l.lane || ': ' || l.error || ' ' || coalesce(l.issues::text, '')
		from listing l join channel c on c.id = l.channel_id join product p on p.id = l.product_id where c.code = $1 and l.error is not null order by p.sku limit 20`, channel)
	if err != nil {
		t.Fatal(err)
	}
	refused, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range refused {
		t.Errorf("channel %s refused %s", channel, line)
	}
}

// sampleOnly lets an expression count for the sample alone: what has no content
// on a channel has neither price nor pictures there.
func sampleOnly(fields map[string]string) map[string]string {
	out := map[string]string{}
	for name, expression := range fields {
		out[name] = "family == 'vendure' ? dyn(" + expression + ") : dyn(null)"
	}
	return out
}

func (h *hub) imports(t *testing.T) {
	fake, err := woocommercetest.NewServer("", woocommercetest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = fake.Close() }) // ends with the test
	h.channel(t, map[string]any{
		"code": "woo", "connector": "woocommerce", "locale": "en-GB", "currency": "EUR",
		"config": map[string]any{"url": fake.URL(), "consumer_key": fake.Key(), "consumer_secret": fake.Secret()},
	})
	h.channel(t, map[string]any{
		"code": "shop", "connector": "medusa", "locale": "en-GB", "currency": "EUR",
		"config": map[string]any{"url": h.shop.url, "api_key": h.shop.key},
		"mapping": map[string]any{
			"content": sampleOnly(map[string]string{
				"parent": "firstOf([parent])", "title": "firstOf([values.name, sku])", "options": "firstOf([axes])", "categories": "categories",
				"description": "parent == '' ? firstOf([values.description]) : dyn(null)", "handle": "parent == '' ? firstOf([values.slug]) : dyn(null)",
			}),
			"offer": map[string]string{
				"parent": "firstOf([parent])", "stock": "stock.available", "manage_inventory": "stock != null",
				"prices": "prices.map(p, {'amount': p.amount, 'currency': p.currency, 'min_quantity': p.min_quantity})",
			},
			"media": map[string]string{"parent": "firstOf([parent])", "images": "firstOf([media])"},
		},
	})
	dir := t.TempDir() // the family is called after the file
	for name, file := range map[string]string{"vendure.csv": sharedData(t, "vendure", "products.csv"), "food.csv.gz": sharedData(t, "food-gtin-10k", "products.csv.gz")} {
		if err := os.Symlink(file, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	take := func(args ...string) (o outcome) {
		t.Helper()
		if err := json.Unmarshal([]byte(h.run(append(args, "--json", "--report", filepath.Join(dir, "report.csv"))...)), &o); err != nil {
			t.Fatal(err)
		}
		return o
	}
	began := time.Now()
	o := take("import", filepath.Join(dir, "vendure.csv"), "--currency", "EUR", "--asset-base", h.pictures, "--map", "price:USD='%.2f'.format([double(row.price.trim()) * 1.1])")
	t.Logf("the sample: %d rows, %d created, %d rejected, %d warnings in %.2f s", o.Rows, o.Created, o.Rejected, o.Warnings, o.Seconds)
	if o.Rows != 88 || o.Created != 86 || o.Rejected != 2 {
		t.Errorf("88 rows and two of them with a SKU that was there are expected: %+v", o)
	}
	t.Logf("all of the sample in Medusa: %s after the import began", h.settled(t, "shop", began))
	began = time.Now()
	o = take("import", filepath.Join(dir, "food.csv.gz"))
	t.Logf("food: %d rows, %d created, %d rejected, %d warnings in %.2f s", o.Rows, o.Created, o.Rejected, o.Warnings, o.Seconds)
	if o.Rows != 10_000 || o.Created != 9998 || o.Rejected != 2 {
		t.Errorf("10,000 rows and two duplicates are expected: %+v", o)
	}
	t.Logf("all in the fake shop: %s after the second import began", h.settled(t, "woo", began))

	want := 9998 + len(h.sample)
	expect(t, h.db, "select count(*) from product where deleted_at is null", want)
	expect(t, h.db, fmt.Sprintf("select count(*) from listing l join channel c on c.id = l.channel_id where c.code = 'woo' and l.lane = %d"+
		" and l.acked_rev is not null and l.status in ('accepted', 'live')", pim.Content), want)
	counts := fake.Counts()
	t.Logf("the fake shop holds %d products; %d calls, %d batches, %d rows, %d pictures loaded", counts.Products, counts.Calls, counts.Batches, counts.Rows, counts.Loaded)
	if counts.Products != want {
		t.Errorf("the fake shop holds %d products, want %d", counts.Products, want)
	}
	for _, v := range fake.Violations() {
		t.Errorf("the fake shop's rules were violated: %s", v)
	}
	rows, err := h.db.Query(t.Context(), "select sku from product where deleted_at is null")
	if err != nil {
		t.Fatal(err)
	}
	skus, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, sku := range skus {
		if _, held := fake.Held(pim.SKU(sku)); !held {
			t.Errorf("the fake shop does not hold %s", sku)
		}
	}
}

// inShop compares the whole shop with what the sample means.
func (h *hub) inShop(t *testing.T, s sample) {
	t.Helper()
	want := s.projection(h.pictures)
	if diff := cmp.Diff(want, h.shop.shows()); diff != "" {
		t.Errorf("the Store API (-want +got):\n%s", diff)
	}
	t.Logf("%d SKUs compared with the Store API", len(want))
}

// showsPictures loads each picture that the shop shows.
func (h *hub) showsPictures(t *testing.T) {
	seen := map[string]bool{}
	for sku, sold := range h.shop.shows() {
		if seen[sold.Pictures] {
			continue
		}
		seen[sold.Pictures] = true
		resp, err := http.Get(sold.Pictures)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "image/jpeg" || n < 1000 {
			t.Errorf("%s: %s: %d %s, %d bytes, %v", sku, sold.Pictures, resp.StatusCode, resp.Header.Get("Content-Type"), n, err)
		}
	}
	t.Logf("%d pictures load", len(seen))
}

// outage makes the same 500 edits twice, with everything as it was in between:
// once while Medusa is there, once while it is stopped. Both must end the same.
func (h *hub) outage(t *testing.T, stop, begin string) {
	before := h.shop.content()
	edited := h.sample.clone()
	calls := edited.edit(500, rand.New(rand.NewPCG(3, 500)).IntN)

	began := time.Now()
	for _, c := range calls {
		h.call(t, c)
	}
	took := time.Since(began).Round(10 * time.Millisecond)
	t.Logf("500 edits with Medusa there: made in %s, all in Medusa %s after the first", took, h.settled(t, "shop", began))
	h.inShop(t, edited)
	want := h.shop.content()

	began = time.Now()
	for _, c := range h.sample.restore() {
		h.call(t, c)
	}
	t.Logf("all as before: %s", h.settled(t, "shop", began))
	h.inShop(t, h.sample)
	if diff := cmp.Diff(before, h.shop.content()); diff != "" {
		t.Errorf("the Admin API after all was made as before (-want +got):\n%s", diff)
	}

	started := make(chan error, 1)
	var asked time.Time
	for i, c := range calls {
		switch i {
		case 60:
			if _, err := command(stop); err != nil {
				t.Fatal(err)
			}
			h.shop.gone(t)
		case 480:
			t.Logf("420 edits later, %d listings wait", h.waiting(t, "shop"))
			asked = time.Now()
			go func() {
				took, err := command(begin)
				t.Logf("Medusa took %s to start", took)
				started <- err
			}()
		}
		h.call(t, c)
	}
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Logf("500 edits with Medusa stopped from the 61st on: all in Medusa %s after its start was asked for", h.settled(t, "shop", asked))
	var half, most, last float64
	if err := h.db.QueryRow(t.Context(), sqlAcked, "shop", asked).Scan(&half, &most, &last); err != nil {
		t.Fatal(err)
	}
	t.Logf("of its listings half were there after %.1f s, nine of ten after %.1f s, the last after %.1f s", half, most, last)
	h.inShop(t, edited)
	if diff := cmp.Diff(want, h.shop.content()); diff != "" {
		t.Errorf("the Admin API, without the stop and with it (-want +got):\n%s", diff)
	}
	t.Logf("%d products are the same without the stop and with it", len(want))
	for _, c := range h.sample.restore() {
		h.call(t, c)
	}
	h.settled(t, "shop", time.Now())
	h.inShop(t, h.sample)
}

// priced changes list prices in Tryton and waits for them at the shop's counter.
func (h *hub) priced(t *testing.T, env map[string]string) {
	config := map[string]any{"url": env["TRYTON_URL"], "database": env["TRYTON_DATABASE"], "user": erpLogin, "password": erpSecret, "price_list": "default"}
	began := time.Now()
	h.channel(t, map[string]any{
		"code": "erp", "connector": "tryton", "locale": "en-GB", "currency": "EUR", "config": config,
		"mapping": map[string]any{"content": sampleOnly(map[string]string{
			"language": "locale", "name": "firstOf([values.name, sku])", "description": "has(values.description) ? stripTags(values.description) : ''", "parent": "firstOf([parent])",
		})},
	})
	t.Logf("the sample in Tryton: %s", h.settled(t, "erp", began))
	const simple, variant, family = "834444", "L2201516", "laptop"
	held := h.erp.products(simple, variant, family)
	if len(held) != 3 || held[variant].Template.ID != held[family].Template.ID {
		t.Fatalf("Tryton holds %+v", held)
	}
	dice := rand.New(rand.NewPCG(3, 5))
	measure := func(how string, n, from int, apart time.Duration) {
		t.Helper()
		var took []time.Duration
		for i := range n {
			product, sku := simple, simple
			if i%2 == 1 {
				product, sku = family, variant
			}
			amount := fmt.Sprintf("%d.25", from+i)
			<-time.After(time.Duration(dice.Int64N(int64(apart)))) // else each change would wait for just one whole interval
			began := time.Now()
			h.erp.price(amount, held[sku].Template.ID)
			for h.shop.priceOf(product, sku, "eur") != amount {
				if time.Since(began) > patience {
					t.Fatalf("%s: %s of Tryton's for %s never comes to the Store API", how, amount, sku)
				}
				<-time.After(10 * time.Millisecond)
			}
			took = append(took, time.Since(began).Round(time.Millisecond))
		}
		slices.Sort(took)
		t.Logf("a price from Tryton to Medusa's Store API, %s, %d changes: p50 %s, max %s", how, n, took[n/2], took[n-1])
	}
	measure("read every 5 s", 12, 100, 5*time.Second)
	config["hook_secret"] = env["TRYTON_HOOK_SECRET"]
	h.call(t, request{"PATCH", "/v1/channels/erp", text(t, map[string]any{"config": config})})
	measure("called by Tryton", 20, 300, 100*time.Millisecond)
	if got, want := h.shop.priceOf(simple, simple, "usd"), h.shop.priceOf(simple, simple, "eur"); got == want || got == "" {
		t.Errorf("the price in usd, which Tryton does not have, is %q", got)
	}
	h.settled(t, "shop", time.Now())
}
