//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluicehub/sluice/pim/postgres/dbtest"
)

// A node with data, its metrics, and a Prometheus that reads them as the one of
// docker-compose.yml does: the table of metrics is complete, and every rule and
// panel has something to show.
func TestMonitoring(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(dbtest.Dir(t), "demo")
	p := start(t, nil, "demo", "--data-dir", dir, "--products", "40", "--listen", "127.0.0.1:0")
	p.hear(`Three things to try`)
	a := readAnnouncement(t, dir)
	t.Run("table", func(t *testing.T) { compareTable(t, a) })
	t.Run("prometheus", func(t *testing.T) {
		needPrometheus(t, "prometheus")
		prom := startPrometheus(t, strings.TrimPrefix(a.URL, "http://"))
		// Rates need two readings of a counter.
		prom.wait(`count_over_time(up{job="sluice"}[1m]) > 2 and up{job="sluice"} == 1`)
		t.Run("rules", prom.rules)
		t.Run("dashboards", prom.dashboards)
		prom.process.signal(syscall.SIGTERM)
		if status := prom.process.exit(); status != 0 {
			t.Errorf("prometheus ended with %d", status)
		}
	})
}

// family is a metric: its type, and its labels in their order.
type family struct{ kind, labels string }

// served reads /metrics. le and quantile belong to the types and are left out.
func served(t *testing.T, a announced) map[string]family {
	t.Helper()
	resp, err := http.Get(a.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status, err)
	}
	out, labels := map[string]family{}, map[string]bool{}
	name := ""
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 4 && f[1] == "TYPE" {
			name = f[2]
			out[name], labels = family{kind: f[3]}, map[string]bool{}
			continue
		}
		if strings.HasPrefix(line, "#") {
			continue
		}
		for _, m := range regexp.MustCompile(`[{,]([a-z_]+)="`).FindAllStringSubmatch(line, -1) {
			if m[1] != "le" {
				labels[m[1]] = true
			}
		}
		out[name] = family{out[name].kind, strings.Join(slices.Sorted(maps.Keys(labels)), " ")}
	}
	return out
}

// compareTable holds docs/metrics.md to what is served, both ways.
func compareTable(t *testing.T, a announced) {
	documented, late := map[string]family{}, map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (\\w+)[^|]* \\| [^|]+ \\|([^|]*)\\| ([^|]+) \\|$").FindAllStringSubmatch(readFile(t, "../../docs/metrics.md"), -1) {
		if _, twice := documented[m[1]]; twice {
			t.Errorf("%s is documented twice", m[1])
		}
		labels := strings.Fields(strings.ReplaceAll(m[3], "`", ""))
		slices.Sort(labels)
		documented[m[1]] = family{m[2], strings.Join(labels, " ")}
		late[m[1]] = strings.Contains(m[4], "served from the first") || runtime.GOOS != "linux" && strings.HasPrefix(m[1], "process_")
	}
	call(t, http.MethodGet, a.URL+"/healthz", "", "") // is counted when it is answered
	var got map[string]family
	if err := eventually(func() (bool, error) {
		got = served(t, a)
		_, counted := got["sluice_http_requests_total"]
		_, state := got["sluice_outbox_rows"] // the last that is read
		return counted && state, nil
	}); err != nil {
		t.Error(err)
	}
	for name, is := range got {
		if said, ok := documented[name]; !ok {
			t.Errorf("%s (%s) is served and not in docs/metrics.md", name, is.kind)
		} else if said != is {
			t.Errorf("%s is %+v, docs/metrics.md says %+v", name, is, said)
		}
	}
	for name := range documented {
		if _, ok := got[name]; !ok && !late[name] {
			t.Errorf("%s is in docs/metrics.md and not served", name)
		}
	}
}

// prometheus is a running one that reads a node.
type prometheus struct {
	t       *testing.T
	process *process
	url     string
}

// startPrometheus runs deploy/prometheus on a node, at a quicker pace.
func startPrometheus(t *testing.T, node string) *prometheus {
	t.Helper()
	rules, err := filepath.Abs(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	config := readFile(t, filepath.Join(filepath.Dir(rulesFile), "prometheus.yml"))
	for old, text := range map[string]string{
		"interval: 10s": "interval: 1s", "- rules.yml": "- " + rules, "[sluice:8080]": "[\"" + node + "\"]",
		"[localhost:9090]": `["127.0.0.1:1"]`, // itself, at an address that is not known yet
	} {
		if !strings.Contains(config, old) {
			t.Fatalf("prometheus.yml has no %q", old)
		}
		config = strings.ReplaceAll(config, old, text)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("prometheus", "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address=127.0.0.1:0")
	cmd.Dir = dir
	p := launch(t, cmd)
	address := p.hear(`msg="Listening on" address=(\S+)`)[1]
	p.hear(`Server is ready to receive web requests`)
	return &prometheus{t, p, "http://" + address}
}

// get asks the HTTP API.
func (p *prometheus) get(t *testing.T, path string, args url.Values, data any) error {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/api/v1/"+path+"?"+args.Encode(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", resp.Status, answer.Error)
	}
	return json.Unmarshal(answer.Data, data)
}

// series is how many series an expression has now.
func (p *prometheus) series(t *testing.T, expr string) (int, error) {
	t.Helper()
	var data struct {
		Result []json.RawMessage `json:"result"`
	}
	err := p.get(t, "query", url.Values{"query": {expr}}, &data)
	return len(data.Result), err
}

// eventually asks, until the answer is right or wrong for good. Prometheus has
// nothing to wait for but the next reading.
func eventually(ask func() (bool, error)) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); time.Now().Before(end); <-tick.C {
		if done, err := ask(); done || err != nil {
			return err
		}
	}
	return fmt.Errorf("not within %s", patience)
}

// returns checks that expr parses and has series, or soon will.
func (p *prometheus) returns(t *testing.T, expr string) error {
	t.Helper()
	return eventually(func() (bool, error) {
		n, err := p.series(t, expr)
		return n > 0, err
	})
}

func (p *prometheus) wait(expr string) {
	p.t.Helper()
	if err := p.returns(p.t, expr); err != nil {
		p.t.Fatalf("%s: %v", expr, err)
	}
}

// rule is one as Prometheus has understood it.
type rule struct {
	Name, Type, Query, Health, LastError string
	Labels, Annotations                  map[string]string
}

func (p *prometheus) loaded(t *testing.T) (out []rule, err error) {
	t.Helper()
	var data struct {
		Groups []struct{ Rules []rule }
	}
	err = p.get(t, "rules", nil, &data)
	for _, g := range data.Groups {
		out = append(out, g.Rules...)
	}
	return out, err
}

// comparison is a threshold of an alert.
var comparison = regexp.MustCompile(`(==|!=|>=|<=|>|<) ([0-9.]+)`)

// rules checks each rule. An alert has no series in a house that is well, so it
// is looked at in parts: all that it reads is there; and without its thresholds
// it has series, for which its labels must fit each other.
func (p *prometheus) rules(t *testing.T) {
	var all []rule
	err := eventually(func() (done bool, err error) {
		all, err = p.loaded(t)
		return len(all) > 0 && !slices.ContainsFunc(all, func(r rule) bool { return r.Health == "unknown" }), err
	})
	if err != nil {
		t.Fatal("rules that were never evaluated:", err)
	}
	for _, r := range all {
		if r.Health != "ok" {
			t.Errorf("%s: %s: %s", r.Name, r.Health, r.LastError)
			continue
		}
		exprs := selectors(r.Query)
		if len(exprs) == 0 {
			t.Errorf("%s reads nothing: %s", r.Name, r.Query)
		}
		if r.Type == "recording" {
			exprs = append(exprs, r.Query)
		} else {
			// What comes after unless only takes away, and with its threshold takes nothing away.
			measured, but, _ := strings.Cut(r.Query, " unless ")
			if !comparison.MatchString(measured) {
				t.Errorf("%s has no threshold: %s", r.Name, r.Query)
			}
			if measured = comparison.ReplaceAllString(measured, "$1 bool $2"); but != "" {
				measured += " unless " + but
			}
			exprs = append(exprs, measured)
			p.words(t, r)
		}
		for _, expr := range exprs {
			if err := p.returns(t, expr); err != nil {
				t.Errorf("%s: %s: %v", r.Name, expr, err)
			}
		}
	}
}

// words checks what an alert says to people.
func (p *prometheus) words(t *testing.T, r rule) {
	t.Helper()
	if s := r.Labels["severity"]; s != "critical" && s != "warning" {
		t.Errorf("%s: severity %q", r.Name, s)
	}
	if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
		t.Errorf("%s has no summary or description", r.Name)
	}
	if want := "docs/runbook.md#" + strings.ToLower(r.Name); r.Annotations["runbook"] != want {
		t.Errorf("%s: runbook %q, want %q", r.Name, r.Annotations["runbook"], want)
	}
}

// dashboards asks what Grafana would ask.
func (p *prometheus) dashboards(t *testing.T) {
	for _, d := range dashboards(t) {
		replace := []string{"$__rate_interval", "1m"}
		for _, v := range d.Templating.List {
			if v.Type != "query" {
				continue
			}
			busy := p.busiest(t)
			if values := p.variable(t, v.Query); v.Name != "channel" || !slices.Contains(values, busy) {
				t.Errorf("%s: variable %s has the values %q, want channels, with %s", d.Title, v.Name, values, busy)
			}
			replace = append(replace, "$"+v.Name, busy)
		}
		fill := func(expr string) string {
			filled := strings.NewReplacer(replace...).Replace(expr)
			if strings.Contains(filled, "$") {
				t.Errorf("%s: a variable that is not there: %s", d.Title, expr)
			}
			return filled
		}
		for _, pan := range d.Panels {
			for _, q := range pan.Targets {
				if err := p.returns(t, fill(q.Expr)); err != nil {
					t.Errorf("%s, %q: %s: %v", d.Title, pan.Title, q.Expr, err)
				}
			}
		}
		for _, a := range d.Annotations.List { // firing alerts: none, as a rule
			if _, err := p.series(t, fill(a.Expr)); err != nil {
				t.Errorf("%s: annotation %s: %v", d.Title, a.Expr, err)
			}
		}
	}
}

// busiest is the channel with most deliveries.
func (p *prometheus) busiest(t *testing.T) string {
	t.Helper()
	var data struct {
		Result []struct{ Metric map[string]string }
	}
	if err := p.get(t, "query", url.Values{"query": {"topk(1, sum by (channel) (sluice_deliveries_total))"}}, &data); err != nil || len(data.Result) != 1 {
		t.Fatal("no channel has deliveries:", err)
	}
	return data.Result[0].Metric["channel"]
}

// variable gives the values of a template variable.
func (p *prometheus) variable(t *testing.T, query any) (values []string) {
	t.Helper()
	text, err := json.Marshal(query)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`label_values\((\w+), (\w+)\)`).FindStringSubmatch(string(text))
	if m == nil {
		t.Fatalf("not a query for a label's values: %s", text)
	}
	if err := p.get(t, "label/"+m[2]+"/values", url.Values{"match[]": {m[1]}}, &values); err != nil || len(values) == 0 {
		t.Fatal(m[0], values, err)
	}
	return values
}
