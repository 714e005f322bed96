package postgres

import (
	"context"
	"errors"
	"testing"

	"github.com/sluicehub/sluice/pim"
)

// Questions that may read a whole catalogue wait for one another, and nothing
// else waits for them.
func TestFindersWaitForOneAnother(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.do(thing("A", Put, `{}`))
	where, err := pim.ParseFilter(`sku = A`)
	if err != nil {
		t.Fatal(err)
	}
	if n := cap(h.finding); n < 1 || n >= int(h.Pool().Config().MaxConns) {
		t.Fatalf("%d finders may have all connections", n)
	}
	for range cap(h.finding) {
		h.finding <- struct{}{}
	}
	ctx, cancel := context.WithCancel(h.ctx)
	cancel()
	for name, ask := range map[string]func() error{
		"filter": func() error { _, _, err := h.Products(ctx, ProductFilter{Where: where}, Page{}); return err },
		"search": func() error { _, _, err := h.Search(ctx, Search{Text: "a"}, ProductFilter{}, Page{}); return err },
		"facets": func() error {
			_, err := h.Facets(ctx, nil, ProductFilter{Where: where}, []string{"family"})
			return err
		},
	} {
		if err := ask(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	h.do(thing("B", Put, `{}`))
	if list, _, err := h.Products(h.ctx, ProductFilter{}, Page{}); err != nil || len(list) != 2 {
		t.Error(len(list), err)
	}
	<-h.finding
	if list, _, err := h.Products(h.ctx, ProductFilter{Where: where}, Page{}); err != nil || len(list) != 1 || len(h.finding) != cap(h.finding)-1 {
		t.Error(len(list), err)
	}
}
