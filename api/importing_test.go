package api

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sluicehub/sluice/jobs/importing"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

const testFile = "sku,name\nA-1,Apple\nA-2,\"Pear\"\nA-1,Again\n,=1+1\n"

// form makes a multipart body of name, value pairs; the file comes where the
// name is "file".
func form(t *testing.T, pairs ...string) (body []byte, contentType string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i := 0; i < len(pairs); i += 2 {
		part, err := io.Writer(nil), error(nil)
		if pairs[i] == "file" {
			part, err = w.CreateFormFile("file", `C:\data\fruit.csv`)
		} else {
			part, err = w.CreateFormField(pairs[i])
		}
		if err == nil {
			_, err = io.WriteString(part, pairs[i+1])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), w.FormDataContentType()
}

func (k *kit) stored(id int64) string {
	k.t.Helper()
	b, err := io.ReadAll(k.store.ImportFile(k.t.Context(), id))
	if err != nil {
		k.t.Fatal(err)
	}
	return string(b)
}

// TestImportUpload sends a file in each form, runs it, and reads its report.
func TestImportUpload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	k := newKit(t, func(c *Config) { c.TempDir = dir }).seed()
	var raw, formed Import
	r := k.want(k.do(Integration, "POST", "/v1/imports?filename=fruit.csv&sku_column=sku&dry_run=false", testFile, "Content-Type", "text/csv"), 202, &raw)
	if raw.Filename != "fruit.csv" || raw.State != "running" || raw.Bytes != int64(len(testFile)) || raw.Options.SKUColumn != "sku" || raw.Actor != "integration key" {
		t.Fatalf("accepted as %s", r.body)
	}
	if got := k.stored(raw.ID); got != testFile {
		t.Errorf("stored %q", got)
	}
	// The options may come behind the file.
	body, kind := form(t, "file", testFile, "sku_column", "sku", "map", `{"name":"row.name"}`, "dry_run", "true")
	r = k.want(k.do(Editor, "POST", "/v1/imports", body, "Content-Type", kind), 202, &formed)
	if formed.Filename != "fruit.csv" || !formed.Options.DryRun || formed.Options.Map["name"] != "row.name" || k.stored(formed.ID) != testFile {
		t.Errorf("accepted as %s", r.body)
	}
	if r.Header.Get("Location") != importAddress(formed.ID) {
		t.Errorf("Location %s", r.Header.Get("Location"))
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte(testFile))
	_ = z.Close()
	k.want(k.do(Editor, "POST", "/v1/imports?filename=fruit.csv.gz", packed.Bytes(), "Content-Type", "application/gzip"), 202, nil)
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("%d temporary files are left (%v)", len(left), err)
	}
	k.mu.Lock()
	if len(k.woken) != 3 || k.woken[0] != (postgres.Consumer{Kind: postgres.Import, Channel: pim.ChannelID(raw.ID)}) {
		t.Errorf("woken: %v", k.woken)
	}
	k.mu.Unlock()

	run := importing.New(k.store, k.s.Log, nil)
	if err := run.Run(t.Context(), k.lease(postgres.Consumer{Kind: postgres.Import, Channel: pim.ChannelID(raw.ID)})); err != nil {
		t.Fatal(err)
	}
	k.want(k.do(Viewer, "GET", importAddress(raw.ID), nil), 200, &raw)
	if raw.State != "finished" || raw.Created != 2 || raw.Rejected != 2 {
		t.Errorf("finished as %+v", raw)
	}
	var report page[postgres.ImportFinding]
	k.want(k.do(Viewer, "GET", importAddress(raw.ID)+"/report?limit=1000", nil), 200, &report)
	if len(report.Items) < 2 {
		t.Fatalf("report: %+v", report)
	}
	r = k.want(k.do(Viewer, "GET", importAddress(raw.ID)+"/report", nil, "Accept", typeNDJSON), 200, nil)
	if n := bytes.Count(r.body, []byte("\n")); n != len(report.Items) || r.Header.Get("Content-Type") != typeNDJSON {
		t.Errorf("%d lines of %s", n, r.Header.Get("Content-Type"))
	}
	r = k.want(k.do(Viewer, "GET", importAddress(raw.ID)+"/report", nil, "Accept", "text/csv"), 200, nil)
	cells, err := csv.NewReader(bytes.NewReader(r.body)).ReadAll()
	if err != nil || len(cells) != len(report.Items)+1 || cells[0][0] != "row" {
		t.Errorf("as a table: %q (%v)", cells, err)
	}
	var list page[Import]
	k.want(k.do(Viewer, "GET", "/v1/imports?limit=2", nil), 200, &list)
	if len(list.Items) != 2 || list.Items[0].ID <= list.Items[1].ID || list.Next == "" {
		t.Errorf("imports: %+v", list)
	}
	for _, at := range []string{"/v1/imports/999", "/v1/imports/999/report"} {
		k.want(k.do(Viewer, "GET", at, nil), 404, nil)
	}
	k.refused(k.do(Viewer, "GET", importAddress(raw.ID)+"/report?cursor=x", nil), 422, "query.cursor", "cursor")
	k.want(k.do(Viewer, "GET", importAddress(raw.ID)+"/report?cursor=1.99999999999", nil), 200, nil)
	k.refused(k.do(Viewer, "GET", "/v1/imports/0", nil), 422, "path.id", "parameter")
}

// TestImportBadInput refuses uploads, and keeps nothing of them.
func TestImportBadInput(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	k := newKit(t, func(c *Config) { c.TempDir, c.MaxUpload = dir, 64<<10 })
	for query, fault := range map[string][2]string{
		"map=" + "%7B%22name%22%3A%22nope(%22%7D": {"query.map", "map.syntax"},
		"map=7":                               {"query.map", "field.type"},
		"map=%7B%22a%22%3A1%2C%22a%22%3A2%7D": {"query.map", "json.duplicate_key"},
		"map=%7B":                             {"query.map", "json.syntax"},
		"family=-x":                           {"query.family", "family.code"},
		"family=nope":                         {"query.family", "family.unknown"},
		"locale=fr-FR":                        {"query.locale", "locale.unknown"},
		"currency=CHF":                        {"query.currency", "currency.unknown"},
		"price_list=nope":                     {"query.price_list", "price_list.unknown"},
		"location=nope":                       {"query.location", "location.unknown"},
		"profile=nope":                        {"query.profile", "profile.unknown"},
		"map=%7B%22price:CHF%22%3A%22row.a%22%7D":  {"query.map", "currency.unknown"},
		"map=%7B%22stock:nope%22%3A%22row.a%22%7D": {"query.map", "location.unknown"},
		"locale=xx_yy":  {"query.locale", "locale.tag"},
		"dry_run=maybe": {"query.dry_run", "parameter"},
		"colour=red":    {"query.colour", "parameter"},
	} {
		r := k.do(Editor, "POST", "/v1/imports?"+query, testFile, "Content-Type", "text/csv")
		if k.refused(r, 422, fault[0], fault[1]); strings.Contains(string(r.body), `"pointer"`) {
			t.Errorf("%s: the file is the body, and no pointer leads to a parameter: %s", query, r.body)
		}
	}
	r := k.do(Editor, "POST", "/v1/imports?map=%7B%22name%22%3A%22nope(%22%7D", testFile, "Content-Type", "text/csv")
	if !strings.Contains(string(r.body), `"detail":"/name: `) {
		t.Errorf("which field of the map is not told: %s", r.body)
	}
	for field, fault := range map[string][3]string{
		"family":  {"nope", "form.family", "family.unknown"},
		"map":     {`{"name":"nope("}`, "form.map", "map.syntax"},
		"dry_run": {"maybe", "form.dry_run", "field.type"},
	} {
		body, kind := form(t, "file", testFile, field, fault[0])
		k.refused(k.do(Editor, "POST", "/v1/imports?locale=en-GB", body, "Content-Type", kind), 422, fault[1], fault[2])
	}
	for _, pairs := range [][]string{
		{"sku_column", "sku"},
		{"file", testFile, "file", testFile},
		{"file", testFile, "colour", "red"},
		{"file", testFile, "dry_run", "maybe"},
		{"file", testFile, "family", "a\x00b"},
		{"file", testFile, "sku_column", "\xff"},
		{"file", testFile, "map", strings.Repeat(" ", 300<<10)},
	} {
		body, kind := form(t, pairs...)
		if r := k.do(Editor, "POST", "/v1/imports", body, "Content-Type", kind); r.StatusCode != 422 && r.StatusCode != 413 {
			t.Errorf("%q: %d %s", pairs, r.StatusCode, r.body)
		}
	}
	body, kind := form(t, "file", testFile)
	k.want(k.do(Editor, "POST", "/v1/imports", body[:len(body)-20], "Content-Type", kind), 400, nil)
	k.want(k.do(Editor, "POST", "/v1/imports", body, "Content-Type", "multipart/form-data"), 400, nil)
	big := strings.Repeat("x", 65<<10)
	k.want(k.do(Editor, "POST", "/v1/imports", big, "Content-Type", "text/csv"), 413, nil)
	k.want(k.do(Editor, "POST", "/v1/imports", io.MultiReader(strings.NewReader(big)), "Content-Type", "text/csv"), 413, nil) // of unknown length
	body, kind = form(t, "file", big)
	k.want(k.do(Editor, "POST", "/v1/imports", body, "Content-Type", kind), 413, nil)
	if n := k.count("import"); n != 0 {
		t.Errorf("%d imports are stored", n)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("%d temporary files are left (%v)", len(left), err)
	}
}

// TestImportCut: an upload whose connection ends early is not stored.
func TestImportCut(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	srv := httptest.NewServer(k.s.handler())
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.WriteString(conn, "POST /v1/imports HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+k.keys[Editor]+"\r\nContent-Type: text/csv\r\nContent-Length: 1000\r\n\r\nsku\nA")
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	srv.Close() // waits for the request to end
	if n := k.count("import"); n != 0 {
		t.Errorf("%d imports are stored", n)
	}
}

// pieces brings a file slowly: each piece after the last has been on its way
// for longer than the server lets other requests take.
type pieces struct {
	left  []string
	pause time.Duration
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.left) == 0 {
		return 0, io.EOF
	}
	<-time.After(p.pause)
	n := copy(b, p.left[0])
	if p.left[0] = p.left[0][n:]; p.left[0] == "" {
		p.left = p.left[1:]
	}
	return n, nil
}

// TestSlowUpload: the server's limit on the time of a request is not for
// files, and is for everything else.
func TestSlowUpload(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	srv := httptest.NewUnstartedServer(nil)
	srv.Config = Server("", k.s.handler())
	srv.Config.ReadTimeout, srv.Config.WriteTimeout = 200*time.Millisecond, 200*time.Millisecond
	srv.Start()
	defer srv.Close()
	k.url = srv.URL
	slow := func() io.Reader { return &pieces{strings.SplitAfter(testFile, "\n"), 150 * time.Millisecond} }
	var i Import
	k.want(k.do(Editor, "POST", "/v1/imports?filename=a.csv", slow(), "Content-Type", "text/csv"), 202, &i)
	if got := k.stored(i.ID); got != testFile {
		t.Errorf("stored %q", got)
	}
	req, err := http.NewRequest("PATCH", srv.URL+"/v1/products/P", slow())
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+k.keys[Editor])
	if resp, err := http.DefaultClient.Do(req); err == nil {
		resp.Body.Close()
		if resp.StatusCode != http.StatusRequestTimeout {
			t.Errorf("a slow edit: %d", resp.StatusCode)
		}
	}
}

func TestFileName(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]string{
		{"a.csv", "", "a.csv"},
		{`C:\x\ü.csv`, "", "ü.csv"},
		{"../../etc/passwd", "", "passwd"},
		{"", "text/csv; charset=utf-8", "upload.csv"},
		{"..", typeJSON, "upload.json"},
		{"a\x00\x07b\xff.csv", "", "ab.csv"},
		{"/", typeNDJSON, "upload.jsonl"},
		{".", "", "upload"},
	} {
		if got := fileName(c[0], c[1]); got != c[2] {
			t.Errorf("fileName(%q, %q) = %q, want %q", c[0], c[1], got, c[2])
		}
	}
	if got := fileName(strings.Repeat("ü", 1000)+".csv", ""); len(got) > maxFileName || !strings.HasSuffix(got, ".csv") {
		t.Errorf("a long name became %q", got)
	}
}

// A profile keeps what a supplier's files are; an import that names it says
// only what is different.
func TestImportProfiles(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	const path = "/v1/import-profiles/acme"
	k.want(k.do(Integration, "PUT", path, `{"options":{"delimiter":"semicolon","sku_column":"Art","map":{"name":"row.Bez"},"dry_run":true}}`), 201, nil)
	k.want(k.do(Integration, "PUT", path, `{"options":{"delimiter":"semicolon","sku_column":"Art","map":{"name":"row.Bez"}}}`), 200, nil)
	bad := "/v1/import-profiles/bad"
	k.refused(k.do(Integration, "PUT", bad, `{"options":{"delimiter":"xx"}}`), 422, "/options/delimiter", "options")
	k.refused(k.do(Integration, "PUT", bad, `{"options":{"layout":"shopware"}}`), 422, "/options/layout", "options")
	k.refused(k.do(Integration, "PUT", bad, `{"options":{"map":{"price:EURO":"1"}}}`), 422, "/options/map/price:EURO", "options")
	k.refused(k.do(Integration, "PUT", bad, `{"options":{"nope":1}}`), 422, "/options/nope", "field.unknown")
	var imported Import
	k.want(k.do(Integration, "POST", "/v1/imports?profile=acme&sku_column=EAN&filename=x.csv&axes=a,b", "Art;EAN;Bez\n1;2;drei\n", "Content-Type", "text/csv"), 202, &imported)
	if o := imported.Options; o.SKUColumn != "EAN" || o.Delimiter != "semicolon" || o.Map["name"] != "row.Bez" || o.Profile != "acme" || o.DryRun || len(o.Axes) != 2 {
		t.Errorf("%+v", o)
	}
	k.refused(k.do(Integration, "POST", "/v1/imports?profile=other", "sku\n1\n", "Content-Type", "text/csv"), 422, "query.profile", "profile.unknown")
	var list struct{ Items []ImportProfile }
	k.want(k.do(Viewer, "GET", "/v1/import-profiles", nil), 200, &list)
	if len(list.Items) != 1 || list.Items[0].Code != "acme" || list.Items[0].Options.SKUColumn != "Art" {
		t.Errorf("%+v", list)
	}
	k.want(k.do(Integration, "DELETE", path, nil), 204, nil)
	k.want(k.do(Integration, "GET", path, nil), 404, nil)
}

// TestImportParametersAreDescribed: whoever looks at /docs is told what each option does.
func TestImportParametersAreDescribed(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	list := k.s.api.OpenAPI().Paths["/v1/imports"].Post.Parameters
	if len(list) < len(new(createImport).fields()) {
		t.Errorf("%d parameters", len(list))
	}
	for _, p := range list {
		if p.Description == "" {
			t.Errorf("%s has no description", p.Name)
		}
	}
}
