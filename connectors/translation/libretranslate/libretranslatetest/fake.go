// Package libretranslatetest is a LibreTranslate server's rules in code of our
// own: keys, bounds of texts and characters, languages with their targets, and the
// ways of its HTML mode, which works on the pieces between tags, drops white space
// and decodes entities twice. Its translations are the texts in capitals.
package libretranslatetest

import (
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	xhtml "golang.org/x/net/html"

	"github.com/sluicehub/sluice/connectors/translation/faulty"
)

// Fake is a LibreTranslate server. It is safe for concurrent use.
type Fake struct {
	faulty.Script
	key               string
	texts, characters int
	pairs             map[string][]string

	mu     sync.Mutex
	served int
}

// New is a fake that wants key, unless that is "", and takes so many texts and
// characters in a request, 0 being any number.
func New(key string, texts, characters int) *Fake {
	all := []string{"de", "en", "es", "nb", "pt", "pt-BR", "zh-Hans", "zt"}
	pairs := map[string][]string{"ca": {"en"}}
	for _, code := range all {
		pairs[code] = all
	}
	return &Fake{key: key, texts: texts, characters: characters, pairs: pairs}
}

// Texts is how many texts were translated.
func (f *Fake) Texts() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.served
}

// request is what a call may hold.
type request struct {
	Text   json.RawMessage `json:"q"`
	Source string          `json:"source"`
	Target string          `json:"target"`
	Format string          `json:"format"`
	Key    string          `json:"api_key"`
}

// ServeHTTP answers as a server does.
func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var asked request
	if r.Method == http.MethodPost {
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&asked); err != nil {
			refusal(http.StatusBadRequest, "Invalid JSON format").Write(w)
			return
		}
	}
	f.Serve(w, r, func(partial bool) faulty.Answer { return f.answer(r, asked, partial) }, func(fault faulty.Fault) faulty.Answer {
		echo := " for key " + asked.Key
		switch fault.Kind {
		case faulty.Throttle:
			return refusal(http.StatusTooManyRequests, "Slowdown: 80 per 1 minute"+echo)
		case faulty.Deny:
			return refusal(http.StatusForbidden, "Invalid API key"+echo)
		case faulty.Large:
			return refusal(http.StatusBadRequest, "Invalid request: request (9999) exceeds text limit (2000)"+echo)
		}
		return refusal(max(fault.Status, http.StatusInternalServerError), "Cannot translate text: out of memory"+echo)
	})
}

func refusal(status int, message string) faulty.Answer {
	return answer(status, map[string]string{"error": message})
}

func answer(status int, v any) faulty.Answer {
	body, err := json.Marshal(v)
	if err != nil {
		return faulty.Answer{Status: http.StatusInternalServerError, Body: []byte(err.Error())}
	}
	return faulty.Answer{Status: status, Body: body}
}

func (f *Fake) answer(r *http.Request, asked request, partial bool) faulty.Answer {
	endpoint := r.Method + " " + r.URL.Path
	if endpoint == "GET /languages" {
		type lang struct {
			Code    string   `json:"code"`
			Name    string   `json:"name"`
			Targets []string `json:"targets"`
		}
		list := []lang{}
		for code, targets := range f.pairs {
			list = append(list, lang{code, "Language " + code, targets})
		}
		return answer(http.StatusOK, list)
	}
	switch {
	case f.key != "" && asked.Key == "":
		return refusal(http.StatusBadRequest, "Please contact the server operator to get an API key")
	case f.key != "" && asked.Key != f.key:
		return refusal(http.StatusForbidden, "Invalid API key")
	case endpoint == "POST /detect":
		return answer(http.StatusOK, []map[string]any{{"confidence": 90.0, "language": "en"}})
	case endpoint != "POST /translate":
		return faulty.Answer{Status: http.StatusNotFound, Header: http.Header{"Content-Type": {"text/html"}}, Body: []byte("<h1>Not Found</h1>")}
	}
	var texts []string
	if err := json.Unmarshal(asked.Text, &texts); err != nil || len(texts) == 0 {
		return refusal(http.StatusBadRequest, "Invalid request: missing q parameter")
	}
	return f.translate(texts, asked, partial)
}

func (f *Fake) translate(texts []string, asked request, partial bool) faulty.Answer {
	characters := 0
	for _, text := range texts {
		characters += utf8.RuneCountInString(text)
	}
	targets, has := f.pairs[asked.Source]
	switch {
	case f.texts > 0 && len(texts) > f.texts:
		return refusal(http.StatusBadRequest, fmt.Sprintf("Invalid request: request (%d) exceeds text limit (%d)", len(texts), f.texts))
	case f.characters > 0 && characters > f.characters:
		return refusal(http.StatusBadRequest, fmt.Sprintf("Invalid request: request (%d) exceeds text limit (%d)", characters, f.characters))
	case !has:
		return refusal(http.StatusBadRequest, asked.Source+" is not supported")
	case f.pairs[asked.Target] == nil:
		return refusal(http.StatusBadRequest, asked.Target+" is not supported")
	case !slices.Contains(targets, asked.Target):
		return refusal(http.StatusInternalServerError, fmt.Sprintf("Cannot translate text: 400 Bad Request: X (%s) is not available as a target language from Y (%s)", asked.Target, asked.Source))
	case asked.Format != "html":
		return refusal(http.StatusBadRequest, asked.Format+" format is not supported")
	}
	f.mu.Lock()
	f.served += len(texts)
	f.mu.Unlock()
	made := []string{}
	for _, text := range texts {
		made = append(made, html.UnescapeString(upper(strings.Join(strings.Fields(text), " "))))
	}
	if partial {
		made = made[:len(made)-1]
	}
	return answer(http.StatusOK, map[string]any{"translatedText": made})
}

// upper puts the text between tags into capitals, each piece without the white
// space at its ends.
func upper(text string) string {
	var b strings.Builder
	z := xhtml.NewTokenizer(strings.NewReader(text))
	for {
		switch kind := z.Next(); kind {
		case xhtml.ErrorToken:
			return b.String()
		case xhtml.TextToken:
			b.WriteString(html.EscapeString(strings.ToUpper(strings.TrimSpace(z.Token().Data))))
		default:
			b.Write(z.Raw())
		}
	}
}
