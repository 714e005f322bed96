package woocommercetest

import (
	"strings"
	"time"
)

// Product is a product or a variation as the shop holds it and answers it (docs:
// product properties, product variation properties).
type Product struct {
	ID                int64       `json:"id"`
	Name              string      `json:"name"`
	Slug              string      `json:"slug"`
	Permalink         string      `json:"permalink"`
	DateCreated       string      `json:"date_created"`
	DateCreatedGMT    string      `json:"date_created_gmt"`
	DateModified      string      `json:"date_modified"`
	DateModifiedGMT   string      `json:"date_modified_gmt"`
	Type              string      `json:"type"`
	Status            string      `json:"status"`
	Featured          bool        `json:"featured"`
	CatalogVisibility string      `json:"catalog_visibility"`
	Description       string      `json:"description"`
	ShortDescription  string      `json:"short_description"`
	SKU               string      `json:"sku"`
	GlobalUniqueID    string      `json:"global_unique_id"`
	Price             string      `json:"price"`
	RegularPrice      string      `json:"regular_price"`
	SalePrice         string      `json:"sale_price"`
	SaleFrom          *string     `json:"date_on_sale_from"`
	SaleFromGMT       *string     `json:"date_on_sale_from_gmt"`
	SaleTo            *string     `json:"date_on_sale_to"`
	SaleToGMT         *string     `json:"date_on_sale_to_gmt"`
	OnSale            bool        `json:"on_sale"`
	Purchasable       bool        `json:"purchasable"`
	TotalSales        int         `json:"total_sales"`
	Virtual           bool        `json:"virtual"`
	Downloadable      bool        `json:"downloadable"`
	TaxStatus         string      `json:"tax_status"`
	TaxClass          string      `json:"tax_class"`
	ManageStock       bool        `json:"manage_stock"`
	StockQuantity     *int64      `json:"stock_quantity"`
	Backorders        string      `json:"backorders"`
	BackordersAllowed bool        `json:"backorders_allowed"`
	Backordered       bool        `json:"backordered"`
	LowStockAmount    *int64      `json:"low_stock_amount"`
	SoldIndividually  bool        `json:"sold_individually"`
	Weight            string      `json:"weight"`
	Dimensions        Dimensions  `json:"dimensions"`
	ShippingClass     string      `json:"shipping_class"`
	ReviewsAllowed    bool        `json:"reviews_allowed"`
	ParentID          int64       `json:"parent_id"`
	PurchaseNote      string      `json:"purchase_note"`
	Categories        []Category  `json:"categories"`
	Images            []Image     `json:"images"`
	Attributes        []Attribute `json:"attributes"`
	Variations        []int64     `json:"variations"`
	MenuOrder         int64       `json:"menu_order"`
	MetaData          []MetaData  `json:"meta_data"`
	StockStatus       string      `json:"stock_status"`

	choices []Choice // of a variation
	offered bool     // price or stock was ever written
	shown   bool     // pictures were ever written
}

// Dimensions are a product's sizes in the shop's unit.
type Dimensions struct {
	Length string `json:"length"`
	Width  string `json:"width"`
	Height string `json:"height"`
}

// Category is a product category; of a product's own only id, name and slug are told.
type Category struct {
	ID     int64  `json:"id"`
	Name   string `json:"name"`
	Slug   string `json:"slug"`
	Parent int64  `json:"parent,omitempty"`
}

// Image is a picture in the shop's library.
type Image struct {
	ID   int64  `json:"id"`
	Src  string `json:"src"` // the shop's own copy
	Name string `json:"name"`
	Alt  string `json:"alt"`

	// Origin is where it was loaded from; the shop does not tell it.
	Origin string `json:"-"`
}

// Attribute is a product's attribute with its options.
type Attribute struct {
	ID        int64    `json:"id"`
	Name      string   `json:"name"`
	Slug      string   `json:"slug"`
	Position  int      `json:"position"`
	Visible   bool     `json:"visible"`
	Variation bool     `json:"variation"`
	Options   []string `json:"options"`
}

// Choice is a variation's option of one of its parent's attributes.
type Choice struct {
	ID     int64  `json:"id"`
	Name   string `json:"name"`
	Slug   string `json:"slug"`
	Option string `json:"option"`
}

// MetaData is a custom field.
type MetaData struct {
	ID    int64  `json:"id"`
	Key   string `json:"key"`
	Value any    `json:"value"`
}

// Choices are a variation's options.
func (p Product) Choices() []Choice { return p.choices }

// variation is how products/{id}/variations answers a variation.
type variation struct {
	ID              int64      `json:"id"`
	Type            string     `json:"type"`
	DateCreated     string     `json:"date_created"`
	DateCreatedGMT  string     `json:"date_created_gmt"`
	DateModified    string     `json:"date_modified"`
	DateModifiedGMT string     `json:"date_modified_gmt"`
	Description     string     `json:"description"`
	Permalink       string     `json:"permalink"`
	SKU             string     `json:"sku"`
	GlobalUniqueID  string     `json:"global_unique_id"`
	Price           string     `json:"price"`
	RegularPrice    string     `json:"regular_price"`
	SalePrice       string     `json:"sale_price"`
	SaleFromGMT     *string    `json:"date_on_sale_from_gmt"`
	SaleToGMT       *string    `json:"date_on_sale_to_gmt"`
	OnSale          bool       `json:"on_sale"`
	Status          string     `json:"status"`
	Purchasable     bool       `json:"purchasable"`
	Virtual         bool       `json:"virtual"`
	TaxStatus       string     `json:"tax_status"`
	TaxClass        string     `json:"tax_class"`
	ManageStock     bool       `json:"manage_stock"`
	StockQuantity   *int64     `json:"stock_quantity"`
	StockStatus     string     `json:"stock_status"`
	Backorders      string     `json:"backorders"`
	Weight          string     `json:"weight"`
	Dimensions      Dimensions `json:"dimensions"`
	ShippingClass   string     `json:"shipping_class"`
	Image           *Image     `json:"image,omitempty"`
	Attributes      []Choice   `json:"attributes"`
	MenuOrder       int64      `json:"menu_order"`
	MetaData        []MetaData `json:"meta_data"`
	Name            string     `json:"name"`
	ParentID        int64      `json:"parent_id"`
}

func (p *Product) asVariation(parent *Product) *variation {
	v := &variation{
		ID: p.ID, Type: p.Type, DateCreated: p.DateCreated, DateCreatedGMT: p.DateCreatedGMT, DateModified: p.DateModified, DateModifiedGMT: p.DateModifiedGMT,
		Description: p.Description, Permalink: p.Permalink, SKU: p.SKU, GlobalUniqueID: p.GlobalUniqueID, Price: p.Price, RegularPrice: p.RegularPrice,
		SalePrice: p.SalePrice, SaleFromGMT: p.SaleFromGMT, SaleToGMT: p.SaleToGMT, OnSale: p.OnSale, Status: p.Status, Purchasable: p.Purchasable,
		Virtual: p.Virtual, TaxStatus: p.TaxStatus, TaxClass: p.TaxClass, ManageStock: p.ManageStock, StockQuantity: p.StockQuantity, StockStatus: p.StockStatus,
		Backorders: p.Backorders, Weight: p.Weight, Dimensions: p.Dimensions, ShippingClass: p.ShippingClass, Attributes: p.choices, MenuOrder: p.MenuOrder,
		MetaData: p.MetaData, Name: p.Name, ParentID: p.ParentID,
	}
	if shown := p.seen(parent); len(shown) > 0 {
		v.Image = &shown[0]
	}
	return v
}

// seen are the pictures that answers show of a product: those of a variation
// without its own are its parent's main one (WC_Product_Variation::get_image_id).
func (p *Product) seen(parent *Product) []Image {
	if p.Type == "variation" && len(p.Images) == 0 && parent != nil && len(parent.Images) > 0 {
		return parent.Images[:1]
	}
	return p.Images
}

// clone is deep enough for what rows change.
func (p *Product) clone() *Product {
	c := *p
	return &c
}

// wpTime is how WordPress writes times; the shop's timezone is UTC.
const wpTime = "2006-01-02T15:04:05"

func stamp() string { return time.Now().UTC().Format(wpTime) }

// settle computes what WooCommerce computes when it saves.
func (p *Product) settle() {
	if strings.HasPrefix(p.Type, "variable") {
		p.RegularPrice, p.SalePrice, p.Price = "", "", ""
		p.SaleFrom, p.SaleFromGMT, p.SaleTo, p.SaleToGMT = nil, nil, nil, nil
	}
	if p.ManageStock {
		q := int64(0)
		if p.StockQuantity != nil {
			q = *p.StockQuantity
		}
		p.StockQuantity = &q
		switch {
		case q > 0:
			p.StockStatus = "instock"
		case p.Backorders != "no":
			p.StockStatus = "onbackorder"
		default:
			p.StockStatus = "outofstock"
		}
	} else {
		p.StockQuantity, p.LowStockAmount, p.Backorders = nil, nil, "no"
	}
	p.BackordersAllowed = p.Backorders != "no"
	p.Backordered = p.StockStatus == "onbackorder"
	p.OnSale, p.Price = false, p.RegularPrice
	now := stamp()
	if p.SalePrice != "" && less(p.SalePrice, p.RegularPrice) && (p.SaleFromGMT == nil || *p.SaleFromGMT <= now) && (p.SaleToGMT == nil || *p.SaleToGMT >= now) {
		p.OnSale, p.Price = true, p.SalePrice
	}
	p.SaleFrom, p.SaleTo = p.SaleFromGMT, p.SaleToGMT
	p.Purchasable = p.Price != "" && p.Status == "publish"
	p.DateModified = now
	p.DateModifiedGMT = now
}

// less compares two amounts without losing digits.
func less(a, b string) bool {
	aw, af, _ := strings.Cut(a, ".")
	bw, bf, _ := strings.Cut(b, ".")
	aw, bw = strings.TrimLeft(aw, "0"), strings.TrimLeft(bw, "0")
	if len(aw) != len(bw) {
		return len(aw) < len(bw)
	}
	if aw != bw {
		return aw < bw
	}
	return strings.TrimRight(af, "0") < strings.TrimRight(bf, "0")
}
