package jobs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/webhook"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres/dbtest"
	"github.com/sluicehub/sluice/pim/seal"
)

// till is a target in which people delete products: offers and media need the
// product, and go with it.
type till struct {
	tickets bool // content is answered by tickets, whose end says what was made anew

	mu   sync.Mutex
	held map[pim.SKU]map[pim.Lane]string
	sent map[pim.Lane]int
}

func (s *till) Push(_ context.Context, items []connectors.Item) ([]connectors.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	results := make([]connectors.Result, len(items))
	for i, it := range items {
		s.sent[it.Lane]++
		results[i].Status = connectors.Live
		if s.held[it.SKU] == nil && it.Lane != pim.Content {
			results[i].Err = &connectors.Error{Verdict: connectors.Conflict, Err: errors.New("there is no such product")}
			continue
		}
		if s.held[it.SKU] == nil {
			s.held[it.SKU] = map[pim.Lane]string{}
			results[i].Anew = true
		}
		s.held[it.SKU][it.Lane] = string(it.Document)
		if s.tickets && it.Lane == pim.Content {
			results[i] = connectors.Result{Status: connectors.Pending, After: time.Millisecond, Token: fmt.Sprint(results[i].Anew)}
		}
	}
	return results, nil
}

func (s *till) Poll(_ context.Context, tokens []string) ([]connectors.Result, error) {
	results := make([]connectors.Result, len(tokens))
	for i, token := range tokens {
		results[i] = connectors.Result{Status: connectors.Live, Anew: token == "true"}
	}
	return results, nil
}

func (s *till) Probe(context.Context) error { return nil }

// told are the items that came so far, by lane, and what a product holds.
func (s *till) told(sku pim.SKU) (sent, held string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprint(s.sent[pim.Content], s.sent[pim.Offer], s.sent[pim.Media]),
		s.held[sku][pim.Content] + s.held[sku][pim.Offer] + s.held[sku][pim.Media]
}

func (s *till) remove(sku pim.SKU) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.held, sku)
}

// A product that people delete at the target comes back whole with the next edit
// of its content: price, stock and pictures too, though nothing of these has
// changed. They are sent once, and not at all where nothing was made anew.
func TestWhatIsMadeAnewComesBackWhole(t *testing.T) {
	t.Parallel()
	for name, tickets := range map[string]bool{"at once": false, "by a ticket": true} {
		t.Run(name, func(t *testing.T) {
			r := roadAt(t, dbtest.New(t))
			s := &till{tickets: tickets, held: map[pim.SKU]map[pim.Lane]string{}, sent: map[pim.Lane]int{}}
			r.withTill(s)
			const sku = "A"
			said := func(when, sent, title string) {
				t.Helper()
				r.settled("till")
				want := fmt.Sprintf(`{"name":%q}{"price":"9.99","stock":5}{"pictures":["a.jpg"]}`, title)
				if got, held := s.told(sku); got != sent || held != want {
					t.Fatalf("%s: %s items of content, offer and media came, want %s; the target holds %s", when, got, sent, held)
				}
			}
			r.put([]pim.SKU{sku}, pim.Values{"name": map[string]any{"en-GB": "one"}, "picture": []any{"a.jpg"}})
			r.offer(sku, "9.99", 5)
			defer r.work()()
			said("made first", "1 1 1", "one")
			r.put([]pim.SKU{sku}, title("two"))
			said("edited", "2 1 1", "two")
			s.remove(sku)
			r.put([]pim.SKU{sku}, title("three"))
			said("made anew", "3 2 2", "three")
			r.put([]pim.SKU{sku}, title("four"))
			said("edited after that", "4 2 2", "four")
		})
	}
}

// withTill gives the road a channel "till" on s.
func (r *road) withTill(s *till) {
	r.Helper()
	kind := &connectors.Kind{
		Name: "till", Title: "Till", Lanes: []pim.Lane{pim.Content, pim.Offer, pim.Media}, Config: &struct{}{}, Limits: webhook.Kind.Limits, MaxBatch: 10,
		New: func(json.RawMessage, connectors.Env) (connectors.Connector, error) { return s, nil },
	}
	keys, err := seal.OpenOrCreate(r.keyset)
	if err != nil {
		r.Fatal(err)
	}
	r.channels = jobs.NewChannels(r.store, connectors.NewRegistry(kind), keys, connectors.Env{AllowPrivate: true})
	mapping := &connectors.Mapping{
		Content: map[string]string{"name": "values.name"},
		Offer:   map[string]string{"price": "price.amount", "stock": "stock.available"},
		Media:   map[string]string{"pictures": "media"},
	}
	spec := jobs.ChannelSpec{Code: "till", Connector: "till", Locale: "en-GB", Currency: "EUR", Mapping: mapping}
	if _, err := r.channels.Create(r.ctx, spec); err != nil {
		r.Fatal(err)
	}
}
