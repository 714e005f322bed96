// Package apertiumtest is an Apertium server's rules in code of our own: installed
// pairs, white space that it takes away, marks at words that it does not know,
// and a silent end after some 45,000 bytes. Its translations are the texts in
// capitals.
package apertiumtest

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/sluicehub/sluice/connectors/translation/faulty"
)

// Fake is an Apertium server. It is safe for concurrent use.
type Fake struct {
	faulty.Script

	mu    sync.Mutex
	pairs map[string]bool // spa-cat
	uses  map[string]int
}

// New is a fake with pairs such as "spa-cat" or "eng-cat_valencia".
func New(pairs ...string) *Fake {
	f := &Fake{pairs: map[string]bool{}, uses: map[string]int{}}
	for _, p := range pairs {
		f.pairs[p] = true
	}
	return f
}

// Remove uninstalls a pair.
func (f *Fake) Remove(pair string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.pairs, pair)
}

// Uses is how many texts a pair has translated.
func (f *Fake) Uses(pair string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.uses[pair]
}

// maxText is where a pipeline's text ends without a word, in bytes.
const maxText = 45_000

// ServeHTTP answers as APY does.
func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
	if err := r.ParseForm(); err != nil {
		refusal(http.StatusBadRequest, "Malformed body").Write(w)
		return
	}
	f.Serve(w, r, func(partial bool) faulty.Answer { return f.answer(r, partial) }, func(fault faulty.Fault) faulty.Answer {
		// APY has no keys and no throttle itself; a proxy before it may.
		status := map[faulty.Kind]int{
			faulty.Throttle: http.StatusTooManyRequests, faulty.Deny: http.StatusUnauthorized, faulty.Large: http.StatusRequestEntityTooLarge,
			faulty.Fail: max(fault.Status, http.StatusInternalServerError),
		}[fault.Kind]
		return refusal(status, "internal error, key="+r.Form.Get("key"))
	})
}

func refusal(status int, explanation string) faulty.Answer {
	return answer(status, map[string]any{"status": "error", "code": status, "message": http.StatusText(status), "explanation": explanation})
}

func answer(status int, v any) faulty.Answer {
	body, err := json.Marshal(v)
	if err != nil {
		return faulty.Answer{Status: http.StatusInternalServerError, Body: []byte(err.Error())}
	}
	return faulty.Answer{Status: status, Body: body}
}

func said(data any) faulty.Answer {
	return answer(http.StatusOK, map[string]any{"responseData": data, "responseDetails": nil, "responseStatus": http.StatusOK})
}

func (f *Fake) answer(r *http.Request, partial bool) faulty.Answer {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch r.URL.Path {
	case "/listPairs":
		list := []map[string]string{}
		for p := range f.pairs {
			from, to, _ := strings.Cut(p, "-")
			list = append(list, map[string]string{"sourceLanguage": from, "targetLanguage": to})
		}
		return said(list)
	case "/translate":
	default:
		return refusal(http.StatusNotFound, "")
	}
	if !r.Form.Has("q") || !r.Form.Has("langpair") {
		return refusal(http.StatusBadRequest, "Missing argument q")
	}
	from, to, ok := strings.Cut(r.Form.Get("langpair"), "|")
	switch pair := from + "-" + to; {
	case !ok:
		return refusal(http.StatusBadRequest, "That pair is invalid, use e.g. eng|spa")
	case !f.pairs[pair]:
		return refusal(http.StatusBadRequest, "That pair is not installed")
	default:
		f.uses[pair]++
	}
	if partial {
		return said(map[string]string{})
	}
	return said(map[string]string{"translatedText": translate(r.Form.Get("q"), r.Form.Get("markUnknown") == "no")})
}

func translate(text string, unmarked bool) string {
	text = strings.TrimFunc(text, unicode.IsSpace)
	if len(text) > maxText {
		text = text[:maxText]
		for !utf8.ValidString(text) {
			text = text[:len(text)-1]
		}
	}
	var (
		b   strings.Builder
		tag rune // what ends it; 0 outside
	)
	runes := []rune(text)
	for i, r := range runes {
		switch {
		case tag != 0:
			b.WriteRune(r)
			if r == tag {
				tag = 0
			}
		case r == '<':
			tag = '>'
			b.WriteRune(r)
		case r == '&':
			tag = ';'
			b.WriteRune(r)
		case r == '*' && unmarked && i+1 < len(runes) && !unicode.IsSpace(runes[i+1]):
			// taken for a mark
		default:
			b.WriteRune(unicode.ToUpper(r))
		}
	}
	return b.String()
}
