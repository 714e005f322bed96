//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	rulesFile   = "../../deploy/prometheus/rules.yml"
	rulesTests  = "../../deploy/prometheus/rules_test.yml"
	runbookFile = "../../docs/runbook.md"
)

// needPrometheus skips the test where Debian's package prometheus, or another
// source of the program, is not installed; where that must be, the test fails.
func needPrometheus(t *testing.T, program string) {
	t.Helper()
	_, err := exec.LookPath(program)
	switch {
	case err == nil:
	case os.Getenv("SLUICE_REQUIRE_SHARED") == "1":
		t.Fatalf("%v; install the Debian package prometheus", err)
	default:
		t.Skipf("%v; the Debian package prometheus has it", err)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestAlertRules(t *testing.T) {
	t.Parallel()
	needPrometheus(t, "promtool")
	for _, args := range [][]string{{"check", "config", "prometheus.yml"}, {"check", "rules", "--lint=all", "--lint-fatal", "rules.yml"}, {"test", "rules", "rules_test.yml"}} {
		cmd := exec.CommandContext(t.Context(), "promtool", args...)
		cmd.Dir = filepath.Dir(rulesFile)
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, said)
		}
	}
}

// Each alert has a heading in the runbook and the other way round, and is
// tested in both directions.
func TestAlertsAreExplainedAndTested(t *testing.T) {
	t.Parallel()
	rules, tests, runbook := readFile(t, rulesFile), readFile(t, rulesTests), readFile(t, runbookFile)
	var alerts, headings, all []string
	for _, m := range regexp.MustCompile(`(?m)^ +- alert: (\w+)$`).FindAllStringSubmatch(rules, -1) {
		alerts = append(alerts, m[1])
	}
	for _, m := range regexp.MustCompile(`(?m)^## (.+)$`).FindAllStringSubmatch(runbook, -1) {
		if all = append(all, m[1]); strings.HasPrefix(m[1], "Sluice") { // the others are of no rule of Prometheus'
			headings = append(headings, m[1])
		}
	}
	if slices.Sort(alerts); len(alerts) == 0 {
		t.Fatal("there are no alerts")
	}
	if slices.Sort(headings); !slices.Equal(alerts, headings) {
		t.Errorf("alerts %q, headings of the runbook %q", alerts, headings)
	}
	for _, m := range regexp.MustCompile(`\]\(#([^)]*)\)`).FindAllStringSubmatch(runbook, -1) {
		if !slices.ContainsFunc(all, func(h string) bool { return strings.ReplaceAll(strings.ToLower(h), " ", "-") == m[1] }) {
			t.Errorf("the runbook refers to #%s, which is not there", m[1])
		}
	}
	cases := map[string][2]bool{} // quiet, firing
	for _, c := range strings.Split(tests, "- eval_time:")[1:] {
		name := regexp.MustCompile(`alertname: (\w+)`).FindStringSubmatch(c)
		if name == nil {
			t.Fatalf("a case of no alert: %s", c)
		}
		seen := cases[name[1]]
		firing := strings.Contains(c, "exp_alerts:")
		cases[name[1]] = [2]bool{seen[0] || !firing, seen[1] || firing}
	}
	for _, a := range alerts {
		if cases[a] != [2]bool{true, true} {
			t.Errorf("%s is not tested to keep quiet and to fire: %v", a, cases[a])
		}
	}
}

// dashboard is what we use of Grafana's format.
type dashboard struct {
	UID         string            `json:"uid"`
	ID          *int              `json:"id"` // null: Grafana gives one
	Title       string            `json:"title"`
	Description string            `json:"description"`
	Schema      int               `json:"schemaVersion"`
	Panels      []panel           `json:"panels"`
	Inputs      []json.RawMessage `json:"__inputs"` // of exports, which provisioning does not ask for
	Annotations struct {
		List []struct {
			Datasource source `json:"datasource"`
			Expr       string `json:"expr"`
		} `json:"list"`
	} `json:"annotations"`
	Templating struct {
		List []struct {
			Name  string `json:"name"`
			Type  string `json:"type"`
			Query any    `json:"query"`
		} `json:"list"`
	} `json:"templating"`

	text string // the file
}

type source struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

type panel struct {
	ID          int    `json:"id"`
	Type        string `json:"type"`
	Title       string `json:"title"`
	Description string `json:"description"`
	Datasource  source `json:"datasource"`
	Grid        struct {
		X, Y, W, H int
	} `json:"gridPos"`
	Targets []struct {
		RefID      string `json:"refId"`
		Expr       string `json:"expr"`
		Datasource source `json:"datasource"`
	} `json:"targets"`
	FieldConfig struct {
		Defaults struct {
			Unit string `json:"unit"`
		} `json:"defaults"`
	} `json:"fieldConfig"`
	Options map[string]any `json:"options"`
}

// dashboards reads deploy/grafana/dashboards.
func dashboards(t *testing.T) (out []dashboard) {
	t.Helper()
	files, err := filepath.Glob("../../deploy/grafana/dashboards/*.json")
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		d := dashboard{text: readFile(t, f)}
		if err := json.Unmarshal([]byte(d.text), &d); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		out = append(out, d)
	}
	return out
}

var (
	// corePanels come with Grafana.
	corePanels = []string{"row", "stat", "timeseries", "table", "state-timeline"}
	// panelUnits are ids of Grafana's units that we use; "count:" takes any word.
	panelUnits = []string{
		"short", "s", "bytes", "reqps", "percentunit", "count:listings/s", "count:calls/s", "count:rows/s", "count:tasks/s", "count:files/s",
		"count:segments/s", "count:characters/s", "count:tokens/s",
	}
)

func TestDashboards(t *testing.T) {
	t.Parallel()
	all := dashboards(t)
	uids := map[string]bool{}
	for _, d := range all {
		if d.UID == "" || len(d.UID) > 40 || uids[d.UID] || d.ID != nil || d.Title == "" || d.Description == "" || d.Schema < 36 || len(d.Inputs) > 0 {
			t.Errorf("%s: uid %q, id %v, schema %d", d.Title, d.UID, d.ID, d.Schema)
		}
		uids[d.UID] = true
		if len(d.Templating.List) == 0 || d.Templating.List[0].Name != "datasource" || d.Templating.List[0].Type != "datasource" {
			t.Errorf("%s: its data source cannot be chosen", d.Title)
		}
		checkPanels(t, d)
	}
	for _, d := range all {
		links := regexp.MustCompile(`"/d/([\w-]+)/`).FindAllStringSubmatch(d.text, -1)
		if len(links) == 0 {
			t.Errorf("%s leads nowhere", d.Title)
		}
		for _, m := range links {
			if !uids[m[1]] {
				t.Errorf("%s leads to %s, which is not there", d.Title, m[1])
			}
		}
	}
}

// What docs/metrics.md has about media and texts is on a dashboard.
func TestDashboardsShowMediaAndTexts(t *testing.T) {
	t.Parallel()
	_, section, _ := strings.Cut(readFile(t, "../../docs/metrics.md"), "\n## Media and texts\n")
	section, _, _ = strings.Cut(section, "\n## ")
	metrics := regexp.MustCompile("(?m)^\\| `(sluice_\\w+)`").FindAllStringSubmatch(section, -1)
	if len(metrics) < 10 {
		t.Fatalf("%d metrics about media and texts", len(metrics))
	}
	var shown strings.Builder
	for _, d := range dashboards(t) {
		for _, p := range d.Panels {
			for _, q := range p.Targets {
				shown.WriteString(q.Expr + "\n")
			}
		}
	}
	for _, m := range metrics {
		if !regexp.MustCompile(`\b` + m[1] + `(_bucket|_count|_sum)?\b`).MatchString(shown.String()) {
			t.Errorf("%s is on no dashboard", m[1])
		}
	}
}

func checkPanels(t *testing.T, d dashboard) {
	t.Helper()
	chosen := source{"prometheus", "${datasource}"}
	ids, titles, grid := map[int]bool{}, map[string]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		where := fmt.Sprintf("%s, %q", d.Title, p.Title)
		if p.ID <= 0 || ids[p.ID] || p.Title == "" || titles[p.Type+p.Title] {
			t.Errorf("%s: id %d or title is there twice, or missing", where, p.ID)
		}
		ids[p.ID], titles[p.Type+p.Title] = true, true
		if !slices.Contains(corePanels, p.Type) {
			t.Errorf("%s: %s may need a plugin", where, p.Type)
		}
		if g := p.Grid; g.X < 0 || g.Y < 0 || g.W < 1 || g.H < 1 || g.X+g.W > 24 {
			t.Errorf("%s: lies outside of the grid: %+v", where, g)
		}
		for x := p.Grid.X; x < p.Grid.X+p.Grid.W; x++ {
			for y := p.Grid.Y; y < p.Grid.Y+p.Grid.H; y++ {
				if other := grid[[2]int{x, y}]; other != "" {
					t.Fatalf("%s lies on %q", where, other)
				}
				grid[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Description == "" || p.Datasource != chosen || len(p.Targets) == 0 || len(p.Options) == 0 {
			t.Errorf("%s: no description, data source, query or options", where)
		}
		if u := p.FieldConfig.Defaults.Unit; !slices.Contains(panelUnits, u) {
			t.Errorf("%s: unit %q", where, u)
		}
		refs := map[string]bool{}
		for _, q := range p.Targets {
			if q.RefID == "" || refs[q.RefID] || q.Datasource != chosen {
				t.Errorf("%s: query %q is there twice or has another source", where, q.RefID)
			}
			refs[q.RefID] = true
			if d.UID == "sluice-channel" && !strings.Contains(q.Expr, `channel="$channel"`) {
				t.Errorf("%s: %s is of every channel", where, q.Expr)
			}
		}
	}
}
