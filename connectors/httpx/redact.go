package httpx

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const redacted = "[redacted]"

// maxScan bounds how much of a body is looked at for its excerpt, in bytes.
const maxScan = 64 << 10

// Redact writes u with scheme, host and path only. Query, fragment and userinfo
// are dropped, because that is where credentials travel; "" for nil.
func Redact(u *url.URL) string {
	if u == nil {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}

// Scrub returns err with a text that is fit for logs and people: URLs inside
// *[url.Error] are redacted, the client's secrets replaced, control characters
// removed, at most 600 bytes. [errors.Is] still finds what it found in err;
// [errors.As] does not reach the original, whose text was not fit. It is for
// what connectors make themselves, such as requests from a configured URL; what
// [Client.Do] and [Check] return is fit already.
func (c *Client) Scrub(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	if ue, ok := errors.AsType[*url.Error](err); ok {
		u, bad := url.Parse(ue.URL)
		if bad != nil {
			// The parser's complaint quotes the part that it choked on, which in
			// a mistyped URL may be a password.
			text = "the URL cannot be read"
		} else {
			text = ue.Op + " " + Redact(u) + ": " + ue.Err.Error()
		}
	}
	return &quiet{text: c.scrub.text(text, maxWhere+maxExcerpt), causes: []error{err}}
}

// Text is what a target said, fit for logs and people as Scrub's texts are.
func (c *Client) Text(said string) string {
	return strings.TrimSpace(c.scrub.text(said, maxWhere+maxExcerpt))
}

// quiet is an error whose causes can be recognised and not read.
type quiet struct {
	text   string
	causes []error
}

func (e *quiet) Error() string { return e.text }

// Is looks through the causes without handing them out.
func (e *quiet) Is(target error) bool {
	return slices.ContainsFunc(e.causes, func(c error) bool { return c != nil && errors.Is(c, target) })
}

// scrubber keeps secrets out of texts. The nil scrubber knows none.
type scrubber struct {
	secrets  []string
	replacer *strings.Replacer
	longest  int
}

func newScrubber(secrets []string) *scrubber {
	s := &scrubber{}
	var forms []string
	for _, secret := range secrets {
		if secret == "" || slices.Contains(s.secrets, secret) {
			continue
		}
		s.secrets = append(s.secrets, secret)
		forms = append(forms, secret, url.QueryEscape(secret), url.PathEscape(secret),
			base64.StdEncoding.EncodeToString([]byte(secret)))
		if quoted, err := json.Marshal(secret); err == nil {
			forms = append(forms, string(quoted[1:len(quoted)-1]))
		}
	}
	// The longest first: where one secret begins another, nothing may remain.
	slices.SortFunc(forms, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b))
	})
	forms = slices.Compact(forms)
	pairs := make([]string, 0, 2*len(forms))
	for _, form := range forms {
		pairs = append(pairs, form, redacted)
		s.longest = max(s.longest, len(form))
	}
	s.replacer = strings.NewReplacer(pairs...)
	return s
}

func (s *scrubber) plain() []string {
	if s == nil {
		return nil
	}
	return s.secrets
}

func (s *scrubber) replace(text string) string {
	if s == nil {
		return text
	}
	return s.replacer.Replace(text)
}

// wrap says what was being done when err came.
func (s *scrubber) wrap(where string, err error) error {
	return &quiet{text: where + ": " + s.text(err.Error(), maxExcerpt), causes: []error{err}}
}

// text makes a text fit: no secrets, no control characters, valid UTF-8, one
// line, at most limit bytes. It cuts last, so that no cut leaves a part of a
// secret that is then not recognised.
func (s *scrubber) text(text string, limit int) string {
	scanned := len(text) > maxScan
	if scanned {
		text = text[:maxScan]
	}
	// Twice: a secret may hold what cleaning changes, and cleaning may join one.
	text = s.replace(clean(s.replace(text)))
	if scanned && s != nil {
		text = text[:max(0, len(text)-s.longest)]
	}
	if len(text) <= limit && !scanned {
		return text
	}
	const ellipsis = "…"
	text = text[:min(len(text), max(0, limit-len(ellipsis)))]
	// A cut inside a character, here or at the scan's end.
	for len(text) > 0 {
		if r, size := utf8.DecodeLastRuneInString(text); r != utf8.RuneError || size != 1 {
			break
		}
		text = text[:len(text)-1]
	}
	return text + ellipsis
}

// clean drops control and invisible formatting characters (which can reorder a
// terminal's line) and broken UTF-8, and makes each run of white space one space.
func clean(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case r == utf8.RuneError, unicode.Is(unicode.C, r):
			return -1
		}
		return r
	}, text)
	return strings.Join(strings.Fields(text), " ")
}
