package api

import (
	"net/http"
	"strconv"
	"strings"
)

// etag is the entity tag of a revision.
func etag(revision int64) string { return `"` + strconv.FormatInt(revision, 10) + `"` }

// condition is what an If-Match header asks for. The zero value asks nothing.
type condition struct {
	given     bool
	any       bool    // "*": whatever there is, but something
	revisions []int64 // the strong tags that can be ours
}

// parseIfMatch reads If-Match (RFC 9110, 13.1.1). Tags that are weak, or not of
// our making, are right to send and never match.
func parseIfMatch(header string) (condition, *Problem) {
	rest := strings.TrimSpace(header)
	if rest == "" {
		return condition{}, nil
	}
	if rest == "*" {
		return condition{given: true, any: true}, nil
	}
	c := condition{given: true}
	for {
		weak := strings.HasPrefix(rest, "W/")
		rest = strings.TrimPrefix(rest, "W/")
		if !strings.HasPrefix(rest, `"`) {
			return c, badTag()
		}
		tag, after, ok := strings.Cut(rest[1:], `"`)
		if !ok {
			return c, badTag()
		}
		if n, err := strconv.ParseInt(tag, 10, 64); err == nil && n > 0 && !weak && tag == strconv.FormatInt(n, 10) {
			c.revisions = append(c.revisions, n)
		}
		rest = strings.TrimLeft(after, " \t")
		if rest == "" {
			return c, nil
		}
		if rest[0] != ',' {
			return c, badTag()
		}
		// Lists may have empty elements (RFC 9110, 5.6.1).
		if rest = strings.TrimLeft(rest, ", \t"); rest == "" {
			return c, nil
		}
	}
}

func badTag() *Problem {
	return badParameter("header.If-Match", "etag", `it is * or a list of entity tags in quotes, such as "7"`)
}

func stale(current int64) *Problem {
	p := problem(http.StatusPreconditionFailed, "stale", "it is at revision "+strconv.FormatInt(current, 10)+" now").with("ETag", etag(current))
	p.Revision = current
	return p
}
