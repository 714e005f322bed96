package medusa

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"

	"github.com/sluicehub/sluice/connectors"
)

// shop is what is set up in Medusa and does not change while a channel runs. It
// is read when it is first needed, and remembered once it was read.
type shop struct {
	mu         sync.Mutex
	sales      *sales
	location   string
	currencies map[string]bool // lower case
}

// sales is what a new product needs; "" is none.
type sales struct{ channel, profile string }

// store is Medusa's only store.
type store struct {
	Channel    string `json:"default_sales_channel_id"`
	Location   string `json:"default_location_id"`
	Currencies []struct {
		Code string `json:"currency_code"`
	} `json:"supported_currencies"`
}

// unset is the error of a shop that lacks something. It is no item's fault, so
// none is parked: the channel waits until it is there.
func unset(format string, args ...any) error {
	return &connectors.Error{Verdict: connectors.Unavailable, Err: fmt.Errorf(format, args...)}
}

// forSale reads the sales channel and the shipping profile of new products. An
// id that does not exist is found here: Medusa itself takes any.
func (p *push) forSale(ctx context.Context) (*sales, error) {
	s := &p.shop
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sales != nil {
		return s.sales, nil
	}
	found := &sales{channel: p.SalesChannelID, profile: p.ShippingProfileID}
	if found.channel == "" {
		it, err := p.store(ctx)
		if err != nil {
			return nil, err
		}
		found.channel = it.Channel
	} else if err := p.exists(ctx, "/admin/sales-channels", "sales_channels", "sales_channel_id", found.channel); err != nil {
		return nil, err
	}
	if found.profile != "" {
		if err := p.exists(ctx, "/admin/shipping-profiles", "shipping_profiles", "shipping_profile_id", found.profile); err != nil {
			return nil, err
		}
	} else {
		var answer struct {
			Profiles []struct {
				ID   string `json:"id"`
				Type string `json:"type"`
			} `json:"shipping_profiles"`
		}
		if err := p.get(ctx, "/admin/shipping-profiles", query("limit", "50", "fields", "id,type"), &answer); err != nil {
			return nil, err
		}
		for _, it := range answer.Profiles {
			if it.Type == "default" || len(answer.Profiles) == 1 {
				found.profile = it.ID
				break
			}
		}
	}
	s.sales = found
	return found, nil
}

// forStock reads where stock is kept, and the store's currencies.
func (p *push) forStock(ctx context.Context) (location string, currencies map[string]bool, err error) {
	s := &p.shop
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.location != "" {
		return s.location, s.currencies, nil
	}
	it, err := p.store(ctx)
	if err != nil {
		return "", nil, err
	}
	location = p.StockLocationID
	switch {
	case location != "":
		err = p.exists(ctx, "/admin/stock-locations", "stock_locations", "stock_location_id", location)
	case it.Location != "":
		location = it.Location
	default:
		location, err = p.onlyLocation(ctx)
	}
	if err != nil {
		return "", nil, err
	}
	currencies = map[string]bool{}
	for _, c := range it.Currencies {
		currencies[strings.ToLower(c.Code)] = true
	}
	s.location, s.currencies = location, currencies
	return location, currencies, nil
}

func (p *push) onlyLocation(ctx context.Context) (string, error) {
	var answer struct {
		Locations []struct {
			ID string `json:"id"`
		} `json:"stock_locations"`
	}
	if err := p.get(ctx, "/admin/stock-locations", query("limit", "2", "fields", "id"), &answer); err != nil {
		return "", err
	}
	switch len(answer.Locations) {
	case 1:
		return answer.Locations[0].ID, nil
	case 0:
		return "", unset("the shop has no stock location: create one in Medusa's settings")
	}
	return "", unset("the shop has several stock locations and none is the default: set stock_location_id")
}

func (p *push) store(ctx context.Context) (*store, error) {
	var answer struct {
		Stores []store `json:"stores"`
	}
	q := query("limit", "1", "fields", "id,default_sales_channel_id,default_location_id,supported_currencies.currency_code")
	if err := p.get(ctx, "/admin/stores", q, &answer); err != nil {
		return nil, err
	}
	if len(answer.Stores) == 0 {
		return nil, unset("the shop has no store")
	}
	return &answer.Stores[0], nil
}

// exists checks that Medusa has what a config names.
func (p *push) exists(ctx context.Context, path, list, field, id string) error {
	var answer map[string]any
	if err := p.get(ctx, path, query("id", id, "fields", "id", "limit", "1"), &answer); err != nil {
		return err
	}
	if found, _ := answer[list].([]any); len(found) == 0 {
		return unset("the shop has no such %s as the config says", strings.TrimSuffix(field, "_id"))
	}
	return nil
}

// categoryIDs finds the categories of codes, by handle, and creates those that
// are missing where the config lets us. The result has no entry for a code that
// has no category.
func (p *push) categoryIDs(ctx context.Context, codes []string) (map[string]string, error) {
	ids := map[string]string{}
	handles := map[string]string{} // handle → a code that has it
	for _, code := range unique(codes) {
		handle := categoryHandle(code)
		if id, ok := p.categories.Get(handle); ok {
			ids[code] = id
			continue
		}
		handles[handle] = code
	}
	if len(handles) == 0 {
		return ids, nil
	}
	found, err := p.findCategories(ctx, handles)
	if err != nil {
		return nil, err
	}
	for handle, code := range handles {
		if found[handle] == "" && p.createCategories {
			if found[handle], err = p.createCategory(ctx, handle, code); err != nil {
				return nil, err
			}
		}
		if id := found[handle]; id != "" {
			p.categories.Add(handle, id)
		}
	}
	for _, code := range codes {
		if id := found[categoryHandle(code)]; id != "" {
			ids[code] = id
		}
	}
	return ids, nil
}

func (p *push) findCategories(ctx context.Context, handles map[string]string) (map[string]string, error) {
	found := map[string]string{}
	names := make([]string, 0, len(handles))
	for handle := range handles {
		names = append(names, handle)
	}
	err := each("handle[]", unique(names), func(q url.Values) error {
		q.Set("fields", "id,handle")
		q.Set("limit", "100")
		var answer struct {
			Categories []struct {
				ID     string `json:"id"`
				Handle string `json:"handle"`
			} `json:"product_categories"`
		}
		if err := p.get(ctx, "/admin/product-categories", q, &answer); err != nil {
			return err
		}
		for _, it := range answer.Categories {
			found[it.Handle] = it.ID
		}
		return nil
	})
	return found, err
}

// createCategory makes a category that customers see; its name is the code, for
// people to change. Of two pushes that make the same, the slower finds it.
func (p *push) createCategory(ctx context.Context, handle, code string) (string, error) {
	var answer struct {
		Category struct {
			ID string `json:"id"`
		} `json:"product_category"`
	}
	err := p.post(ctx, "/admin/product-categories", query("fields", "id,handle"), map[string]any{"name": code, "handle": handle, "is_active": true}, &answer)
	if err == nil {
		return answer.Category.ID, nil
	}
	if connectors.AsError(err).Verdict != connectors.Validation {
		return "", err
	}
	found, again := p.findCategories(ctx, map[string]string{handle: code})
	if again != nil {
		return "", again
	}
	if found[handle] == "" {
		// No item's fault either: the shop does not take its categories.
		return "", &connectors.Error{Verdict: connectors.Unavailable, Err: errors.Join(fmt.Errorf("creating the category %s", handle), connectors.AsError(err).Err)}
	}
	return found[handle], nil
}
