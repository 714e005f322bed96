package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/httpx"
)

// WebhookConfig are the settings of a webhook that is told.
type WebhookConfig struct {
	URL    string `json:"url" doc:"Where messages are posted" example:"https://ops.example/hooks/sluice"`
	Secret string `json:"secret" secret:"true" doc:"Signing secret by Standard Webhooks: whsec_ and base64 of 24 to 64 random bytes"`
}

var webhookKind = &Kind{
	Name: "webhook", Title: "Webhook (signed JSON over HTTP)", Config: &WebhookConfig{},
	New: func(config json.RawMessage, env Env) (Sender, error) {
		var (
			c     WebhookConfig
			check connectors.ConfigCheck
		)
		check.Decode(config, &c)
		w := &webhook{url: check.URL("url", c.URL)}
		key, err := strings.TrimPrefix(c.Secret, "whsec_"), error(nil)
		if c.Secret == "" {
			check.Need("secret", c.Secret)
		} else if w.sign, err = standardwebhooks.NewWebhook(key); key == "" || err != nil {
			check.Add("secret", "config.secret", "is not whsec_ followed by base64")
		}
		if err := check.Err(); err != nil {
			return nil, err
		}
		secrets := []string{c.Secret, key}
		if w.url.RawQuery != "" {
			secrets = append(secrets, w.url.RawQuery)
		}
		w.client = httpx.New(httpx.Options{Timeout: 15 * time.Second, MaxBody: 64 << 10, Version: env.Version, AllowPrivate: env.AllowPrivate, Secrets: secrets})
		return w, nil
	},
}

type webhook struct {
	url    *url.URL
	sign   *standardwebhooks.Webhook
	client *httpx.Client
}

// webhookBody is the JSON that is posted, in the shape that Standard Webhooks
// recommends.
type webhookBody struct {
	Type      string    `json:"type"` // alerts, or alerts.test
	Timestamp time.Time `json:"timestamp"`
	Data      struct {
		Message
		Subject string `json:"subject"`
		Text    string `json:"text"`
	} `json:"data"`
}

// Send implements Sender. The message's ID is the webhook's, which receivers
// tell repetitions by; any 2xx is its receipt.
func (w *webhook) Send(ctx context.Context, m *Message) error {
	b := webhookBody{Type: "alerts", Timestamp: m.At}
	if m.Test {
		b.Type = "alerts.test"
	}
	b.Data.Message, b.Data.Subject, b.Data.Text = *m, m.Subject(), m.Text()
	if b.Data.Notices == nil {
		b.Data.Notices = []Notice{}
	}
	body, err := json.Marshal(b)
	if err != nil {
		return fmt.Errorf("write a message: %w", err)
	}
	now := time.Now()
	signature, err := w.sign.Sign(m.ID, now, body)
	if err != nil {
		return errors.New("sign a message")
	}
	req := &http.Request{
		Method: http.MethodPost, URL: w.url, Host: w.url.Host, ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body)),
		Header: http.Header{
			"Content-Type": {"application/json"},
			http.CanonicalHeaderKey(standardwebhooks.HeaderWebhookID):        {m.ID},
			http.CanonicalHeaderKey(standardwebhooks.HeaderWebhookTimestamp): {strconv.FormatInt(now.Unix(), 10)},
			http.CanonicalHeaderKey(standardwebhooks.HeaderWebhookSignature): {signature},
		},
	}
	resp, err := w.client.Do(ctx, req)
	if err != nil {
		return err
	}
	return httpx.Check(resp)
}
