package pim

import (
	"strconv"
	"strings"
)

// maxDigits is how many digits a number attribute's value may take when
// written out, on both sides of the point together.
const maxDigits = 30

// scanNumber gives the length of the JSON number (RFC 8259, section 6) at the
// start of s, 0 when there is none.
func scanNumber(s string) int {
	i := 0
	if i < len(s) && s[i] == '-' {
		i++
	}
	whole := digitRun(s[i:])
	if whole == 0 || whole > 1 && s[i] == '0' {
		return 0
	}
	i += whole
	if i < len(s) && s[i] == '.' {
		part := digitRun(s[i+1:])
		if part == 0 {
			return 0
		}
		i += 1 + part
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		i++
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		exp := digitRun(s[i:])
		if exp == 0 {
			return 0
		}
		i += exp
	}
	return i
}

func digitRun(s string) int {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return i
		}
	}
	return len(s)
}

// split takes a JSON number apart: whole "12", part "50", exponent 3 for
// -12.50e3. An exponent beyond ±1e9 stays there, which every limit refuses.
func split(s string) (neg bool, whole, part string, exp int) {
	if strings.HasPrefix(s, "-") {
		neg, s = true, s[1:]
	}
	if e := strings.IndexAny(s, "eE"); e >= 0 {
		n, err := strconv.ParseInt(s[e+1:], 10, 64)
		if err != nil { // only its range can be wrong; ParseInt then gives the nearest end
			n = max(min(n, 1e9), -1e9)
		}
		exp, s = int(max(min(n, 1e9), -1e9)), s[:e]
	}
	whole, part, _ = strings.Cut(s, ".")
	return neg, whole, part, exp
}

// plainDigits counts the digits before and after the point that s, a JSON
// number, takes when written out without exponent; zeros that say nothing in
// the whole part do not count.
func plainDigits(s string) (whole, part int) {
	_, w, p, exp := split(s)
	if exp == 0 {
		return len(strings.TrimLeft(w, "0")), len(p)
	}
	all := strings.TrimLeft(w+p, "0")
	if all == "" {
		return max(0, exp), max(0, len(p)-exp) // PostgreSQL refuses 0e2000000000 too
	}
	return max(0, len(all)-len(p)+exp), max(0, len(p)-exp)
}

// numberKey writes a JSON number so that equal values have equal texts, and
// different ones different texts: 1, 1.0 and 10e-1 are "1e0".
func numberKey(s string) string {
	neg, whole, part, exp := split(s)
	if exp >= 1e9 || exp <= -1e9 {
		return "x" + s // too large to tell what it equals, beside itself
	}
	digits := strings.TrimLeft(whole+part, "0")
	short := strings.TrimRight(digits, "0")
	if short == "" {
		return "0e0"
	}
	exp += len(digits) - len(short) - len(part)
	sign := ""
	if neg {
		sign = "-"
	}
	return sign + short + "e" + strconv.Itoa(exp)
}
