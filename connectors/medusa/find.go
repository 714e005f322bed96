package medusa

import (
	"cmp"
	"context"
	"net/url"
	"slices"
	"strconv"

	"github.com/sluicehub/sluice/connectors"
)

// product is what we need to know of a product in Medusa.
type product struct {
	ID         string    `json:"id"`
	ExternalID string    `json:"external_id"`
	Handle     string    `json:"handle"`
	Status     string    `json:"status"`
	Thumbnail  string    `json:"thumbnail"`
	Options    []option  `json:"options"`
	Variants   []variant `json:"variants"`
	Images     []image   `json:"images"`
}

type option struct {
	ID     string `json:"id"`
	Title  string `json:"title"`
	Values []struct {
		ID    string `json:"id"`
		Value string `json:"value"`
	} `json:"values"`
}

type variant struct {
	ID        string `json:"id"`
	SKU       string `json:"sku"`
	Title     string `json:"title"`
	EAN       string `json:"ean"`
	UPC       string `json:"upc"`
	Barcode   string `json:"barcode"`
	Thumbnail string `json:"thumbnail"`
	Options   []struct {
		Value    string `json:"value"`
		OptionID string `json:"option_id"`
	} `json:"options"`
}

type image struct {
	ID       string `json:"id"`
	URL      string `json:"url"`
	Variants []struct {
		ID string `json:"id"`
	} `json:"variants"`
}

// The fields that we ask for. Without them Medusa sends ten times as much.
const (
	contentFields = "id,external_id,handle,status,options.id,options.title,options.values.id,options.values.value," +
		"variants.id,variants.sku,variants.title,variants.ean,variants.upc,variants.barcode,variants.options.value,variants.options.option_id"
	mediaFields   = "id,external_id,status,thumbnail,images.id,images.url,images.rank,images.variants.id,variants.id,variants.sku,variants.thumbnail"
	variantFields = "id,sku,product_id,product.external_id,product.metadata"
)

// variant finds a product's variant by its SKU.
func (p *product) variant(sku string) *variant {
	for i := range p.Variants {
		if p.Variants[i].SKU == sku {
			return &p.Variants[i]
		}
	}
	return nil
}

// own reports whether v is the default variant of p: the one that has the
// product's own SKU.
func (p *product) own(v *variant) bool { return v.SKU != "" && v.SKU == p.ExternalID }

// place is where a variant was found.
type place struct {
	ID        string `json:"id"`
	SKU       string `json:"sku"`
	ProductID string `json:"product_id"`
	Product   struct {
		ExternalID string         `json:"external_id"`
		Metadata   map[string]any `json:"metadata"`
	} `json:"product"`
}

// ourMark is the key of a product's metadata that says whose it is: the SKU that
// it was made for, or adopted by. external_id does not, others use it as well.
const ourMark = "sluice_sku"

// ours reports whether a variant is of a product that we made or adopted.
func (p *place) ours() bool {
	sku, _ := p.Product.Metadata[ourMark].(string)
	return sku != "" && sku == p.Product.ExternalID
}

// foreign is the outcome of an item whose SKU is somebody else's in Medusa.
func foreign() *connectors.Error {
	return invalid(problem("medusa.sku_taken", "sku", "A product in Medusa that is not Sluice's has a variant with this SKU: delete the variant there, or change its SKU."))
}

// products finds products by external_id[], or by id[], as name says. Where
// several have one external_id, which Medusa allows, the oldest counts.
func (p *push) products(ctx context.Context, name, fields string, values []string) (map[string]*product, error) {
	found := map[string]*product{}
	err := each(name, values, func(q url.Values) error {
		q.Set("fields", fields)
		q.Set("limit", strconv.Itoa(4*lookUp))
		q.Set("order", "id") // ids begin with the time
		var answer struct {
			Products []*product `json:"products"`
		}
		if err := p.get(ctx, "/admin/products", q, &answer); err != nil {
			return err
		}
		for _, it := range answer.Products {
			if it == nil {
				continue
			}
			key := it.ID
			if name == "external_id[]" {
				key = it.ExternalID
			}
			if found[key] == nil {
				found[key] = it
			}
		}
		return nil
	})
	return found, err
}

// places finds variants by their SKUs.
func (p *push) places(ctx context.Context, skus []string) (map[string]place, error) {
	found := map[string]place{}
	err := each("sku[]", skus, func(q url.Values) error {
		q.Set("fields", variantFields)
		q.Set("limit", strconv.Itoa(2*lookUp))
		var answer struct {
			Variants []place `json:"variants"`
		}
		if err := p.get(ctx, "/admin/product-variants", q, &answer); err != nil {
			return err
		}
		for _, it := range answer.Variants {
			found[it.SKU] = it
		}
		return nil
	})
	return found, err
}

// stockItem is what Medusa counts the stock of. It outlives its variant where
// that one's stock was not managed.
type stockItem struct {
	ID     string       `json:"id"`
	SKU    string       `json:"sku"`
	Levels []stockLevel `json:"location_levels"`
}

type stockLevel struct {
	Location string `json:"location_id"`
}

// at reports whether the item is stocked at a location.
func (i *stockItem) at(location string) bool {
	return slices.ContainsFunc(i.Levels, func(l stockLevel) bool { return l.Location == location })
}

// stockItems finds inventory items by their SKUs.
func (p *push) stockItems(ctx context.Context, skus []string) (map[string]stockItem, error) {
	found := map[string]stockItem{}
	err := each("sku[]", skus, func(q url.Values) error {
		q.Set("fields", "id,sku,location_levels.location_id")
		q.Set("limit", strconv.Itoa(2*lookUp))
		var answer struct {
			Items []stockItem `json:"inventory_items"`
		}
		if err := p.get(ctx, "/admin/inventory-items", q, &answer); err != nil {
			return err
		}
		for _, it := range answer.Items {
			found[it.SKU] = it
		}
		return nil
	})
	return found, err
}

// unique sorts names and leaves each once, without "".
func unique(names []string) []string {
	slices.SortFunc(names, cmp.Compare[string])
	names = slices.Compact(names)
	if len(names) > 0 && names[0] == "" {
		names = names[1:]
	}
	return names
}
