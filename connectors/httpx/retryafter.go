package httpx

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// MaxAfter bounds what a target may make us wait by a header. A clock that is
// years off, or a number in the wrong unit, must not silence a channel for ever.
const MaxAfter = 24 * time.Hour

// RetryAfter reads Retry-After (RFC 9110 section 10.2.3): seconds, also with a
// fraction as some shops send them, or an HTTP date. 0 means absent, unreadable
// or already past; the result never exceeds [MaxAfter]. Dates are measured
// against the answer's own Date, so that a wrong clock on either side does not
// matter, and against now where it has none.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	return wait(h.Get("Retry-After"), serverNow(h, now), false)
}

// RateReset reads RateLimit-Reset, X-RateLimit-Reset and X-Rate-Limit-Reset, the
// first that can be read. No standard settled their unit: numbers below 1e9 are
// seconds from now (the IETF drafts), from 1e9 seconds since 1970, from 1e12
// milliseconds since 1970; HTTP and RFC 3339 dates are understood too. The
// result is as [RetryAfter]'s.
func RateReset(h http.Header, now time.Time) time.Duration {
	now = serverNow(h, now)
	for _, name := range []string{"RateLimit-Reset", "X-RateLimit-Reset", "X-Rate-Limit-Reset"} {
		if d := wait(h.Get(name), now, true); d > 0 {
			return d
		}
	}
	return 0
}

func serverNow(h http.Header, now time.Time) time.Time {
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		return date
	}
	return now
}

// wait reads one value. Seconds since 1970 are looked for only where epoch says.
func wait(value string, now time.Time, epoch bool) time.Duration {
	value = strings.TrimSpace(value)
	if seconds, ok := parseSeconds(value); ok {
		if epoch && seconds >= 1e12 {
			seconds /= 1000
		}
		if epoch && seconds >= 1e9 {
			seconds -= float64(now.UnixMilli()) / 1000
		}
		return clamp(seconds)
	}
	at, err := http.ParseTime(value)
	if err != nil && epoch {
		at, err = time.Parse(time.RFC3339, value)
	}
	if err != nil {
		return 0
	}
	// In seconds, because a Duration would overflow for far dates.
	return clamp(float64(at.Unix()-now.Unix()) + float64(at.Nanosecond()-now.Nanosecond())/1e9)
}

// parseSeconds accepts digits with at most one point between them: ParseFloat
// alone would take signs, exponents, hexadecimals, "inf" and underscores too.
func parseSeconds(s string) (float64, bool) {
	whole, fraction, point := strings.Cut(s, ".")
	if !digits(whole) || point && !digits(fraction) {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && !math.IsInf(f, 1) {
		return 0, false
	}
	return f, true
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// clamp rounds up to the millisecond: coming back too early costs a refusal.
func clamp(seconds float64) time.Duration {
	switch {
	case seconds <= 0:
		return 0
	case seconds >= MaxAfter.Seconds():
		return MaxAfter
	}
	return time.Duration(math.Ceil(seconds*1000)) * time.Millisecond
}

// Budget reads how many more requests the target stands, and when it begins to
// count anew: RateLimit-Remaining, X-RateLimit-Remaining or X-Rate-Limit-Remaining
// beside a reset header as [RateReset] reads it, or the one RateLimit field of
// the later IETF drafts (r and t of its tightest policy). ok is false where the
// target says nothing of it.
func Budget(h http.Header, now time.Time) (left int, reset time.Duration, ok bool) {
	for _, name := range []string{"RateLimit-Remaining", "X-RateLimit-Remaining", "X-Rate-Limit-Remaining"} {
		if n, err := strconv.ParseFloat(strings.TrimSpace(h.Get(name)), 64); err == nil && n == n { // a number; some send 0.5
			return int(max(-1, min(n, math.MaxInt32))), RateReset(h, now), true
		}
	}
	for _, field := range h.Values("RateLimit") {
		for policy := range strings.SplitSeq(field, ",") {
			r, t := -1, 0
			for part := range strings.SplitSeq(policy, ";") {
				name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
				if n, err := strconv.Atoi(value); err == nil && n >= 0 {
					switch name {
					case "r":
						r = n
					case "t":
						t = n
					}
				}
			}
			if r >= 0 && (!ok || r < left) {
				left, reset, ok = r, clamp(float64(t)), true
			}
		}
	}
	return left, reset, ok
}
