// Package openaitest is a chat service's rules in code of our own: keys, models,
// credit that is used up by tokens, and what its model takes. The model reads the
// JSON of the user's message and answers with its texts in capitals, or with texts
// made of its facts.
package openaitest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/sluicehub/sluice/connectors/translation/faulty"
)

// Model is the model that there is.
const Model = "fake-mini"

// Fake is a chat service with one account. It is safe for concurrent use.
type Fake struct {
	faulty.Script
	key string

	mu     sync.Mutex
	credit int // tokens
	served int // completions
	habits Habits
}

// Habits are in what services and models differ.
type Habits struct {
	NoSchema      bool   // response_format is refused
	NoTemperature bool   // temperature is refused
	Fence         bool   // JSON comes in a fence of Markdown
	Finish        string // the reason for which each answer ends; "stop" when empty
	Refusal       string // what the model says instead of an answer
	Content       string // what it answers, whatever it was asked
	Lie           string // is added to each text that it writes
}

// New is a fake that takes one key and has credit for so many tokens.
func New(key string, credit int) *Fake { return &Fake{key: key, credit: credit} }

// Behave sets the habits.
func (f *Fake) Behave(h Habits) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.habits = h
}

// Completions is how many answers were given.
func (f *Fake) Completions() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.served
}

type request struct {
	Model    string `json:"model"`
	Messages []struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	} `json:"messages"`
	Temperature *float64 `json:"temperature"`
	MaxTokens   *int     `json:"max_completion_tokens"`
	Format      *struct {
		Type   string `json:"type"`
		Schema struct {
			Strict bool `json:"strict"`
			Schema struct {
				Required   []string `json:"required"`
				Additional *bool    `json:"additionalProperties"`
			} `json:"schema"`
		} `json:"json_schema"`
	} `json:"response_format"`
}

// ServeHTTP answers as a service does.
func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var asked request
	if r.Method == http.MethodPost {
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&asked); err != nil {
			refusal(http.StatusBadRequest, "invalid_request_error", "", "We could not parse the JSON body of your request.").Write(w)
			return
		}
	}
	f.Serve(w, r, func(partial bool) faulty.Answer { return f.answer(r, asked, partial) }, func(fault faulty.Fault) faulty.Answer {
		echo := " " + r.Header.Get("Authorization")
		switch fault.Kind {
		case faulty.Throttle:
			return refusal(http.StatusTooManyRequests, "requests", "rate_limit_exceeded", "Rate limit reached."+echo)
		case faulty.Quota:
			return refusal(http.StatusTooManyRequests, "insufficient_quota", "insufficient_quota", "You exceeded your current quota."+echo)
		case faulty.Deny:
			return refusal(http.StatusUnauthorized, "invalid_request_error", "invalid_api_key", "Incorrect API key provided:"+echo)
		case faulty.Large:
			return refusal(http.StatusBadRequest, "invalid_request_error", "context_length_exceeded", "This model's maximum context length is 8192 tokens."+echo)
		}
		return refusal(max(fault.Status, http.StatusInternalServerError), "server_error", "", "The server had an error."+echo)
	})
}

func refusal(status int, kind, code, message string) faulty.Answer {
	e := map[string]any{"message": message, "type": kind, "param": nil, "code": nil}
	if code != "" {
		e["code"] = code
	}
	return answer(status, map[string]any{"error": e})
}

func answer(status int, v any) faulty.Answer {
	body, err := json.Marshal(v)
	if err != nil {
		return faulty.Answer{Status: http.StatusInternalServerError, Body: []byte(err.Error())}
	}
	return faulty.Answer{Status: status, Body: body}
}

func (f *Fake) answer(r *http.Request, asked request, partial bool) faulty.Answer {
	if f.key != "" && r.Header.Get("Authorization") != "Bearer "+f.key {
		return refusal(http.StatusUnauthorized, "invalid_request_error", "invalid_api_key", "Incorrect API key provided.")
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /models":
		return answer(http.StatusOK, map[string]any{"object": "list", "data": []map[string]any{{"id": Model, "object": "model", "created": 1700000000, "owned_by": "fake"}}})
	case "POST /chat/completions":
		return f.complete(asked, partial)
	}
	return refusal(http.StatusNotFound, "invalid_request_error", "", "Invalid URL")
}

func (f *Fake) complete(asked request, partial bool) faulty.Answer {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.habits
	switch {
	case asked.Model != Model:
		return refusal(http.StatusNotFound, "invalid_request_error", "model_not_found", "The model `"+asked.Model+"` does not exist or you do not have access to it.")
	case len(asked.Messages) == 0:
		return refusal(http.StatusBadRequest, "invalid_request_error", "", "[] is too short - 'messages'")
	case h.NoSchema && asked.Format != nil:
		return refusal(http.StatusBadRequest, "invalid_request_error", "", "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.")
	case h.NoTemperature && asked.Temperature != nil:
		return refusal(http.StatusBadRequest, "invalid_request_error", "unsupported_value", "Unsupported value: 'temperature' does not support 0 with this model.")
	}
	if asked.Format != nil {
		if s := asked.Format.Schema; s.Strict && (s.Schema.Additional == nil || *s.Schema.Additional) {
			return refusal(http.StatusBadRequest, "invalid_request_error", "", "Invalid schema for 'texts': 'additionalProperties' is required to be supplied and to be false.")
		}
	}
	texts, ok := f.think(asked.Messages[len(asked.Messages)-1].Content)
	if asked.Format != nil {
		names := slices.Sorted(maps.Keys(texts))
		required := slices.Sorted(slices.Values(asked.Format.Schema.Schema.Required))
		if ok && !slices.Equal(names, required) {
			return refusal(http.StatusBadRequest, "invalid_request_error", "invalid_json_schema", fmt.Sprintf("Invalid schema: %v of %v", required, names))
		}
	}
	if partial {
		delete(texts, "1")
	}
	raw, err := json.Marshal(texts)
	if err != nil {
		return refusal(http.StatusInternalServerError, "server_error", "", err.Error())
	}
	content := string(raw)
	switch {
	case h.Content != "":
		content = h.Content
	case !ok:
		content = "I can only read JSON."
	case h.Fence:
		content = "```json\n" + content + "\n```\n"
	}
	said := map[string]any{"role": "assistant", "content": content, "refusal": nil}
	if h.Refusal != "" {
		said["content"], said["refusal"] = nil, h.Refusal
	}
	prompt, completion := 0, len(content)/4+1
	for _, m := range asked.Messages {
		prompt += len(m.Content)/4 + 1
	}
	if f.credit < prompt+completion {
		return refusal(http.StatusTooManyRequests, "insufficient_quota", "insufficient_quota", "You exceeded your current quota, please check your plan and billing details.")
	}
	f.credit -= prompt + completion
	f.served++
	finish := h.Finish
	if finish == "" {
		finish = "stop"
	}
	return answer(http.StatusOK, map[string]any{
		"id": fmt.Sprintf("chatcmpl-%d", f.served), "object": "chat.completion", "created": 1700000000, "model": Model + "-2026-01-01",
		"choices": []map[string]any{{"index": 0, "message": said, "finish_reason": finish, "logprobs": nil}},
		"usage":   map[string]any{"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion},
	})
}

// think is the model: texts by their numbers; false for what is no JSON of the
// form it was taught.
func (f *Fake) think(content string) (map[string]string, bool) {
	var asked struct {
		Texts  map[string]string             `json:"texts"`
		Facts  map[string]any                `json:"facts"`
		Wanted map[string]struct{ Most int } `json:"wanted"`
	}
	made := map[string]string{}
	if err := json.Unmarshal([]byte(content), &asked); err != nil || len(asked.Texts)+len(asked.Wanted) == 0 {
		return made, false
	}
	for name, text := range asked.Texts {
		made[name] = upper(text)
	}
	var facts []string
	for _, name := range slices.Sorted(maps.Keys(asked.Facts)) {
		facts = append(facts, fmt.Sprint(asked.Facts[name]))
	}
	for name, w := range asked.Wanted {
		text := []rune(strings.Join(facts, ", "))
		if w.Most > 0 {
			text = text[:min(len(text), w.Most)]
		}
		made[name] = string(text) + f.habits.Lie
	}
	return made, true
}

// upper puts the letters outside of tags and entities into capitals.
func upper(text string) string {
	var b strings.Builder
	end := rune(0)
	for _, r := range text {
		switch {
		case end != 0:
			b.WriteRune(r)
			if r == end {
				end = 0
			}
			continue
		case r == '<':
			end = '>'
		case r == '&':
			end = ';'
		}
		b.WriteString(strings.ToUpper(string(r)))
	}
	return b.String()
}
