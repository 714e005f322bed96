//go:build unix

package bench

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
)

// keepAlive is a plain client with up to conns connections that stay open.
func keepAlive(conns int) *http.Client {
	return &http.Client{
		Timeout:   time.Minute,
		Transport: &http.Transport{MaxIdleConns: 0, MaxIdleConnsPerHost: conns, MaxConnsPerHost: conns, DisableCompression: true},
	}
}

// send makes one call and reads its answer to the end.
func send(client *http.Client, req *http.Request, into any) error {
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s answered %s: %.300s", req.Method, req.URL.Path, resp.Status, body)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(body, into)
}

// edit changes a product's name and gives the revision that this makes.
func (e *editor) edit(ctx context.Context, product int, name string) (int64, error) {
	body := fmt.Appendf(nil, `{"values":{"name":{%q:%q}}}`, locale, name)
	req, err := http.NewRequestWithContext(ctx, http.MethodPatch, e.url+"/products/"+string(sku(product)), bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+e.key)
	req.Header.Set("Content-Type", "application/merge-patch+json")
	var answer struct {
		Revision int64 `json:"revision"`
		Changed  bool  `json:"changed"`
	}
	if err := send(e.client, req, &answer); err != nil {
		return 0, err
	}
	if !answer.Changed {
		return 0, fmt.Errorf("the edit of %s changed nothing", sku(product))
	}
	return answer.Revision, nil
}

// poster sends ready-made documents to the target in the connector's format,
// with as little around it as can be: the yardsticks' client.
type poster struct {
	client   *http.Client
	targets  []string
	sign     *standardwebhooks.Webhook
	document []byte
}

func newPoster(target *sink, c *catalogue, conns int) (*poster, error) {
	sign, err := standardwebhooks.NewWebhook(target.Secret)
	if err != nil {
		return nil, fmt.Errorf("read the target's secret: %w", err)
	}
	document, err := project(c)
	if err != nil {
		return nil, fmt.Errorf("render a document for the yardsticks: %w", err)
	}
	return &poster{client: keepAlive(conns), targets: target.Targets, sign: sign, document: document}, nil
}

// project is a document as the channels of the bench send it.
func project(c *catalogue) ([]byte, error) {
	program, err := connectors.Compile(connectors.DefaultMapping())
	if err != nil {
		return nil, err
	}
	values, err := pim.DecodeStored(c.values[0])
	if err != nil {
		return nil, err
	}
	schema := &pim.Schema{
		Version: 1, Attributes: map[string]*pim.Attribute{}, Families: map[string]*pim.Family{},
		Locales: map[pim.Locale]bool{locale: true}, Channels: map[pim.ChannelCode]bool{"bench-0": true},
	}
	for i := range attributes {
		schema.Attributes[attributes[i].Code] = &attributes[i]
	}
	f := schemaChange().Families[0]
	schema.Families[family] = &f
	subject := &connectors.Subject{SKU: sku(0), Family: family, Enabled: true, Categories: []string{}, Values: values}
	document, err := program.Render(context.Background(), pim.Content, subject, schema, connectors.Scope{Channel: "bench-0", Locale: locale, Currency: "EUR", Now: time.Now()})
	if err == nil && len(document) < len(c.values[0])/2 {
		err = errors.New("it is much smaller than the product")
	}
	return document, err
}

// post sends one item.
func (p *poster) post(ctx context.Context, channel, product int, revision int64) error {
	body := make([]byte, 0, len(p.document)+160)
	body = fmt.Appendf(body, `{"items":[{"sku":%q,"lane":"content","revision":%d,"action":"upsert","document":`, sku(product), revision)
	body = append(append(body, p.document...), "}]}"...)
	id, now := "msg_"+rand.Text(), time.Now()
	signature, err := p.sign.Sign(id, now, body)
	if err != nil {
		return fmt.Errorf("sign a call: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.targets[channel], bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(standardwebhooks.HeaderWebhookID, id)
	req.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	req.Header.Set(standardwebhooks.HeaderWebhookSignature, signature)
	return send(p.client, req, nil)
}
