//go:build unix

package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// promToken is a token of PromQL: a comment, a string, a duration or number, a
// name, or a sign.
var promToken = regexp.MustCompile("#[^\n]*|\"(?:[^\"\\\\]|\\\\.)*\"|'(?:[^'\\\\]|\\\\.)*'|`[^`]*`|" +
	`(?:0[xX][0-9a-fA-F]+|(?:[0-9]+(?:ms|[smhdwy]))+|[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)|[a-zA-Z_:][a-zA-Z0-9_:]*|\S`)

// promWords are names that are neither a metric nor a function. Those in
// promLists are followed by labels in parentheses.
var (
	promWords = []string{"and", "or", "unless", "atan2", "bool", "offset", "inf", "nan", "start", "end"}
	promLists = []string{"by", "without", "on", "ignoring", "group_left", "group_right"}
)

// selectors gives the vector selectors of a PromQL expression, without ranges
// and offsets. The expression must be one that Prometheus parses, and no metric be called as a
// word of the language is.
func selectors(expr string) (out []string) {
	tokens := slices.DeleteFunc(promToken.FindAllString(expr, -1), func(t string) bool { return t[0] == '#' })
	at := func(i int) string {
		if i < len(tokens) {
			return tokens[i]
		}
		return ""
	}
	until := func(i int, end string) int {
		for i < len(tokens) && tokens[i] != end {
			i++
		}
		return i
	}
	for i := 0; i < len(tokens); i++ {
		t := tokens[i]
		word := strings.ToLower(t)
		switch {
		case slices.Contains(promLists, word):
			if at(i+1) == "(" {
				i = until(i, ")")
			}
		case t == "[": // a range, or a subquery's step
			i = until(i, "]")
		case t == "{":
			end := until(i, "}")
			out = append(out, strings.Join(tokens[i:min(end+1, len(tokens))], ""))
			i = end
		case !regexp.MustCompile(`^[a-zA-Z_:]`).MatchString(t), slices.Contains(promWords, word), at(i+1) == "(":
		case slices.Contains(promLists, strings.ToLower(at(i+1))) && slices.Contains(promAggregations, word):
		case at(i+1) == "{":
			end := until(i, "}")
			out = append(out, strings.Join(tokens[i:min(end+1, len(tokens))], ""))
			i = end
		default:
			out = append(out, t)
		}
	}
	return out
}

// promAggregations may have their labels between the name and the parenthesis.
var promAggregations = []string{"sum", "min", "max", "avg", "group", "stddev", "stdvar", "count", "count_values", "bottomk", "topk", "quantile"}

func TestSelectors(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]string{
		`up`:                    `up`,
		`up{job="a"} == 0`:      `up{job="a"}`,
		`{__name__=~"up|down"}`: `{__name__=~"up|down"}`,
		`sum by (le, channel) (rate(a_bucket{x="}"}[5m])) / on (channel) group_left (z) b offset 5m`:             `a_bucket{x="}"} b`,
		`max(a) by (b) or vector(0) unless on() c:d:e > bool 1.5e3`:                                              `a c:d:e`,
		`deriv(lane:x:max[5m]) > 0.95 and min_over_time(y[1h:1m] @ end()) > Inf # z`:                             `lane:x:max y`,
		`histogram_quantile(0.9, sum without (instance) (rate(h_bucket[1m])))`:                                   `h_bucket`,
		"label_replace(sum(rate(q{a='b', c!~\"d\"}[1m])), 'x', \"$1\", `y`, '(.*)') * ignoring (state) r{s=`t`}": "q{a='b',c!~\"d\"} r{s=`t`}",
		`count_values("version", build)`:                                                                         `build`,
	} {
		if got := strings.Join(selectors(expr), " "); got != want {
			t.Errorf("%s: %s, want %s", expr, got, want)
		}
	}
}
