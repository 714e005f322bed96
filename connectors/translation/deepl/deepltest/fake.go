// Package deepltest is DeepL's rules in code of our own: keys, characters that
// are counted and used up, languages that are only sources or only targets, sizes,
// and texts that must be XML. Its translations are the texts in capitals.
package deepltest

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/sluicehub/sluice/connectors/translation/faulty"
)

// Fake is DeepL with one account. It is safe for concurrent use.
type Fake struct {
	faulty.Script
	key string

	mu     sync.Mutex
	used   int64
	limit  int64
	served int // texts
	gone   string
}

// New is a fake that takes one key and translates limit characters.
func New(key string, limit int64) *Fake { return &Fake{key: key, limit: limit} }

// Drop ends the support of a target language, such as "DE".
func (f *Fake) Drop(target string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gone = strings.ToLower(target)
}

// Texts is how many texts were translated.
func (f *Fake) Texts() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.served
}

// Sources and targets, as DeepL lists them (some of them).
var (
	sources = []string{"ca", "de", "en", "es", "fr", "nb", "nl", "pt", "zh"}
	targets = []string{"ca", "de", "en-GB", "en-US", "es", "es-419", "fr", "nb", "nl", "pt-BR", "pt-PT", "zh-Hans", "zh-Hant"}
)

const maxBody = 128 << 10

// ServeHTTP answers as DeepL does.
func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if big := (*http.MaxBytesError)(nil); errors.As(err, &big) {
		refusal(http.StatusRequestEntityTooLarge, "Request size exceeds the limit.").Write(w)
		return
	}
	if err != nil {
		return // the caller left
	}
	f.Serve(w, r, func(partial bool) faulty.Answer { return f.answer(r, body, partial) }, func(fault faulty.Fault) faulty.Answer {
		echo := " You sent " + r.Header.Get("Authorization")
		switch fault.Kind {
		case faulty.Throttle:
			return refusal(http.StatusTooManyRequests, "Too many requests."+echo)
		case faulty.Quota:
			return refusal(456, "Quota Exceeded"+echo)
		case faulty.Deny:
			return refusal(http.StatusForbidden, "Forbidden."+echo)
		case faulty.Large:
			return refusal(http.StatusRequestEntityTooLarge, "Too large."+echo)
		}
		return refusal(max(fault.Status, http.StatusInternalServerError), "Something broke."+echo)
	})
}

func refusal(status int, message string) faulty.Answer {
	return answer(status, map[string]string{"message": message})
}

func answer(status int, v any) faulty.Answer {
	body, err := json.Marshal(v)
	if err != nil {
		return faulty.Answer{Status: http.StatusInternalServerError, Body: []byte(err.Error())}
	}
	return faulty.Answer{Status: status, Body: body}
}

func (f *Fake) answer(r *http.Request, body []byte, partial bool) faulty.Answer {
	if r.Header.Get("Authorization") != "DeepL-Auth-Key "+f.key {
		return refusal(http.StatusForbidden, "Authorization failed. Please supply a valid DeepL-Auth-Key.")
	}
	switch r.Method + " " + r.URL.Path {
	case "POST /v2/translate":
		return f.translate(body, partial)
	case "GET /v2/usage":
		f.mu.Lock()
		defer f.mu.Unlock()
		return answer(http.StatusOK, map[string]int64{"character_count": f.used, "character_limit": f.limit})
	case "GET /v3/languages":
		if r.URL.Query().Get("resource") != "translate_text" {
			return refusal(http.StatusBadRequest, "Value for 'resource' not supported.")
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		return answer(http.StatusOK, slices.DeleteFunc(list(), func(l map[string]any) bool { return l["lang"] == f.gone }))
	}
	return refusal(http.StatusNotFound, "Not found")
}

func list() []map[string]any {
	all := slices.Concat(sources, targets)
	slices.Sort(all)
	var l []map[string]any
	for _, lang := range slices.Compact(all) {
		l = append(l, map[string]any{
			"lang": lang, "name": "Language " + lang, "status": "stable", "features": map[string]any{"tag_handling": map[string]string{"status": "stable"}},
			"usable_as_source": slices.Contains(sources, lang), "usable_as_target": slices.Contains(targets, lang),
		})
	}
	return l
}

func isOneOf(codes []string, code string) bool {
	return slices.ContainsFunc(codes, func(c string) bool { return strings.EqualFold(c, code) })
}

func (f *Fake) translate(body []byte, partial bool) faulty.Answer {
	var asked struct {
		Text   []string `json:"text"`
		Source string   `json:"source_lang"`
		Target string   `json:"target_lang"`
		Tags   string   `json:"tag_handling"`
		Billed bool     `json:"show_billed_characters"`
		Model  string   `json:"model_type"`
		Custom []string `json:"custom_instructions"`
	}
	if err := json.Unmarshal(body, &asked); err != nil {
		return refusal(http.StatusBadRequest, "Bad request. Reason: body is not JSON.")
	}
	switch {
	case len(asked.Text) == 0 || len(asked.Text) > 50:
		return refusal(http.StatusBadRequest, "Bad request. Reason: between 1 and 50 texts.")
	case len(asked.Custom) > 10 || len(asked.Custom) > 0 && !slices.Contains([]string{"DE", "EN", "ES", "FR", "IT", "JA", "KO", "ZH"}, asked.Target[:min(2, len(asked.Target))]):
		return refusal(http.StatusBadRequest, "Value for 'custom_instructions' not supported.")
	case asked.Source != "" && !isOneOf(sources, asked.Source):
		return refusal(http.StatusBadRequest, "Value for 'source_lang' not supported.")
	case !isOneOf(targets, asked.Target):
		return refusal(http.StatusBadRequest, "Value for 'target_lang' not supported.")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if strings.EqualFold(asked.Target, f.gone) {
		return refusal(http.StatusBadRequest, "Value for 'target_lang' not supported.")
	}
	counts := make([]int64, len(asked.Text))
	total := int64(0)
	for i, text := range asked.Text {
		n, ok := count(text, asked.Tags == "xml")
		if !ok {
			return refusal(http.StatusBadRequest, "Tag handling parsing failed, please check input.")
		}
		counts[i] = n
		total += n
	}
	if f.used+total > f.limit {
		return refusal(456, "Quota Exceeded")
	}
	f.used += total
	f.served += len(asked.Text)
	type made struct {
		Source string `json:"detected_source_language"`
		Text   string `json:"text"`
		Billed int64  `json:"billed_characters,omitempty"`
		Model  string `json:"model_type_used,omitempty"`
	}
	translations := []made{}
	for i, text := range asked.Text {
		m := made{Source: asked.Source, Text: upper(text)}
		if asked.Billed {
			m.Billed = counts[i]
		}
		if asked.Model != "" {
			m.Model = "quality_optimized"
		}
		translations = append(translations, m)
	}
	if partial {
		translations = translations[:len(translations)-1]
	}
	return answer(http.StatusOK, map[string]any{"translations": translations})
}

// count is how many characters of a text are billed: all but its tags.
func count(text string, tags bool) (int64, bool) {
	if !tags {
		return int64(utf8.RuneCountInString(text)), true
	}
	d := xml.NewDecoder(strings.NewReader("<r>" + text + "</r>"))
	n := int64(0)
	for {
		token, err := d.Token()
		switch {
		case errors.Is(err, io.EOF):
			return n, true
		case err != nil:
			return 0, false
		}
		if data, ok := token.(xml.CharData); ok {
			n += int64(utf8.RuneCount(data))
		}
	}
}

// upper puts the letters outside of tags and entities into capitals.
func upper(text string) string {
	var b strings.Builder
	for text != "" {
		at := strings.IndexAny(text, "<&")
		if at < 0 {
			at = len(text)
		}
		b.WriteString(strings.ToUpper(text[:at]))
		text = text[at:]
		if text == "" {
			break
		}
		until := ">"
		if text[0] == '&' {
			until = ";"
		}
		end := strings.Index(text, until) + 1
		fmt.Fprint(&b, text[:end])
		text = text[end:]
	}
	return b.String()
}
