//go:build unix

package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is what a run found.
type Report struct {
	Started  time.Time `json:"started"`
	Seconds  float64   `json:"seconds"` // the whole run
	Settings []Setting `json:"settings"`
	Measures []Measure `json:"measures"`
}

// Setting is one thing that the figures depend on.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Measure is one figure of Sluice beside its yardstick's.
type Measure struct {
	Name      string  `json:"name"`
	Unit      string  `json:"unit"` // "rows/s", "ms", …
	Value     float64 `json:"value"`
	Yardstick string  `json:"yardstick,omitempty"` // "" for a yardstick itself, or a figure to know
	Beside    float64 `json:"yardstick_value,omitempty"`
	Ratio     float64 `json:"ratio,omitempty"` // Value / Beside
	Aim       string  `json:"aim,omitempty"`   // of Ratio: "≥ 0.4", "≤ 4"; without a yardstick of Value, with its unit
	OK        *bool   `json:"ok,omitempty"`    // whether the aim is met
	Note      string  `json:"note,omitempty"`
}

// aim is a bound of a ratio.
type aim struct {
	bound  float64
	atMost bool
}

func atLeast(bound float64) *aim { return &aim{bound: bound} }
func atMost(bound float64) *aim  { return &aim{bound: bound, atMost: true} }

// add adds a figure without a yardstick.
func (r *Report) add(name string, value float64, unit, note string) {
	r.Measures = append(r.Measures, Measure{Name: name, Value: value, Unit: unit, Note: note})
}

// beside adds a figure with its yardstick; a nil aim: only to be known.
func (r *Report) beside(name string, value float64, unit, yardstick string, of float64, a *aim, note string) {
	m := Measure{Name: name, Value: value, Unit: unit, Yardstick: yardstick, Beside: of, Note: note}
	if of > 0 {
		m.Ratio = value / of
	}
	if a != nil {
		ok := m.Ratio >= a.bound
		sign := "≥"
		if a.atMost {
			ok, sign = m.Ratio <= a.bound, "≤"
		}
		m.Aim, m.OK = sign+" "+strconv.FormatFloat(a.bound, 'f', -1, 64), &ok
	}
	r.Measures = append(r.Measures, m)
}

// within adds a figure with a bound of its own.
func (r *Report) within(name string, value float64, unit string, a *aim, note string) {
	ok, sign := value <= a.bound, "≤"
	if !a.atMost {
		ok, sign = value >= a.bound, "≥"
	}
	r.Measures = append(r.Measures, Measure{
		Name: name, Value: value, Unit: unit, Aim: sign + " " + strconv.FormatFloat(a.bound, 'f', -1, 64) + " " + unit, OK: &ok, Note: note,
	})
}

func (r *Report) writeJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

func (r *Report) writeTables(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, s := range r.Settings {
		fmt.Fprintf(t, "%s\t%s\n", s.Name, s.Value)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "measure\tfigure\t\tyardstick\tfigure\tratio\taim\t\t")
	for _, m := range r.Measures {
		of, ratio, verdict := "", "", ""
		if m.Yardstick != "" {
			of, ratio = figure(m.Beside), figure(m.Ratio)
		}
		if m.OK != nil {
			verdict = map[bool]string{true: "ok", false: "below"}[*m.OK]
			if !*m.OK && strings.HasPrefix(m.Aim, "≤") {
				verdict = "above"
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", m.Name, figure(m.Value), m.Unit, m.Yardstick, of, ratio, m.Aim, verdict, m.Note)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%.0f s in all\n", r.Seconds)
	return err
}

// figure writes a number with three digits that count, or all of a large one.
func figure(v float64) string {
	switch a := math.Abs(v); {
	case a >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	default:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
}

// quantile is the smallest of sorted values that at least q of them do not
// exceed (nearest rank); 0 of none.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	i := int(math.Ceil(q*float64(len(sorted)))) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}

// latencies are the quantiles that people ask for.
type latencies struct {
	n             int
	p50, p95, p99 time.Duration
}

func summarise(all []time.Duration) latencies {
	slices.Sort(all)
	return latencies{len(all), quantile(all, 0.5), quantile(all, 0.95), quantile(all, 0.99)}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
