package openai

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/translation"
)

type chatRequest struct {
	Model       string    `json:"model"`
	Messages    []message `json:"messages"`
	Temperature *float64  `json:"temperature,omitempty"`
	MaxTokens   int       `json:"max_completion_tokens,omitempty"`
	Format      *format   `json:"response_format,omitempty"`
}

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

type format struct {
	Type   string      `json:"type"`
	Schema *schemaForm `json:"json_schema,omitempty"`
}

type schemaForm struct {
	Name   string         `json:"name"`
	Strict bool           `json:"strict"`
	Schema map[string]any `json:"schema"`
}

type chatAnswer struct {
	Model   string `json:"model"`
	Choices []struct {
		Finish  string `json:"finish_reason"`
		Message struct {
			Content *string `json:"content"`
			Refusal *string `json:"refusal"`
		} `json:"message"`
	} `json:"choices"`
	Usage struct {
		Prompt     int `json:"prompt_tokens"`
		Completion int `json:"completion_tokens"`
		Total      int `json:"total_tokens"`
	} `json:"usage"`
}

// chat asks for n texts under the numbers from 1. Where the service refuses the
// request for its form (structured outputs, temperature), which it says before it
// works, the form is given up for good and the request sent once more.
func (p *Provider) chat(ctx context.Context, system string, user any, n int) (*translation.Answer, error) {
	content, err := json.Marshal(user)
	if err != nil {
		return nil, &connectors.Error{Verdict: connectors.Validation, Err: fmt.Errorf("write the prompt: %w", err)}
	}
	var said chatAnswer
	for range 3 { // there are two things to give up
		plain, warm := p.plain.Load(), p.warm.Load()
		asked := chatRequest{
			Model: p.config.Model, MaxTokens: p.config.MaxTokens,
			Messages: []message{{"system", system}, {"user", string(content)}},
		}
		if !warm {
			asked.Temperature = new(float64)
		}
		if !plain {
			asked.Format = &format{Type: "json_schema", Schema: &schemaForm{Name: "texts", Strict: true, Schema: schema(n)}}
		}
		err = p.session.PostJSON(ctx, "chat/completions", asked, &said)
		if err == nil || !p.giveUp(err, plain, warm) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	texts, err := p.read(said, n)
	if err != nil {
		return nil, err
	}
	a := &translation.Answer{Texts: texts, Model: said.Model, Tokens: said.Usage.Total, InputTokens: said.Usage.Prompt, OutputTokens: said.Usage.Completion}
	if a.Model == "" {
		a.Model = p.config.Model
	}
	if a.Tokens == 0 {
		a.Tokens = said.Usage.Prompt + said.Usage.Completion
	}
	if a.Cost, err = p.input.Of(said.Usage.Prompt).Plus(p.output.Of(said.Usage.Completion)); err != nil {
		return nil, translation.Unusable("its tokens cannot be priced: %v", err)
	}
	return a, nil
}

// giveUp reports whether a refusal names a part of the form that was sent and can
// be left out, which it is from now on.
func (p *Provider) giveUp(err error, plain, warm bool) bool {
	e := connectors.AsError(err)
	if e.Verdict != connectors.Validation {
		return false
	}
	said := strings.ToLower(err.Error())
	switch {
	case !plain && p.config.Format == "" && (strings.Contains(said, "response_format") || strings.Contains(said, "json_schema") || strings.Contains(said, "structured output")):
		p.plain.Store(true)
	case !warm && strings.Contains(said, "temperature"):
		p.warm.Store(true)
	default:
		return false
	}
	return true
}

// read is an answer's texts, all of them or none.
func (p *Provider) read(said chatAnswer, n int) ([]string, error) {
	if len(said.Choices) == 0 {
		return nil, translation.Unusable("there is no choice in it")
	}
	choice := said.Choices[0]
	switch {
	case choice.Message.Refusal != nil && *choice.Message.Refusal != "":
		return nil, refused("the model says: %s", p.session.Text(*choice.Message.Refusal))
	case choice.Finish == "content_filter":
		return nil, refused("a content filter ended the answer")
	case choice.Finish == "length":
		return nil, translation.TooLarge("the model's answer was cut off at its greatest length")
	case choice.Finish != "stop" && choice.Finish != "": // some servers leave it out
		return nil, translation.Unusable("the model ended by %q", p.session.Text(choice.Finish))
	case choice.Message.Content == nil:
		return nil, translation.Unusable("there is no content in it")
	}
	var texts map[string]*string
	d := json.NewDecoder(strings.NewReader(unfenced(*choice.Message.Content)))
	if err := d.Decode(&texts); err != nil || d.More() {
		return nil, translation.Unusable("the content is not one JSON object of texts")
	}
	if len(texts) != n {
		return nil, translation.Unusable("%d texts of %d", len(texts), n)
	}
	all := make([]string, n)
	for i := range n {
		text := texts[strconv.Itoa(i+1)]
		if text == nil || strings.TrimSpace(*text) == "" {
			return nil, translation.Unusable("text %d of %d is missing or empty", i+1, n)
		}
		all[i] = *text
	}
	return all, nil
}

func refused(format string, args ...any) *connectors.Error {
	return &connectors.Error{Verdict: connectors.Validation, Err: fmt.Errorf("%w: %s", translation.ErrRefused, fmt.Sprintf(format, args...))}
}

// unfenced takes away the one fence of Markdown that models put around JSON.
func unfenced(content string) string {
	content = strings.TrimSpace(content)
	inner, ok := strings.CutPrefix(content, "```")
	if !ok {
		return content
	}
	inner = strings.TrimPrefix(inner, "json")
	inner, ok = strings.CutSuffix(inner, "```")
	if !ok {
		return content
	}
	return inner
}
