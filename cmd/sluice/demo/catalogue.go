//go:build unix

package demo

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/govalues/decimal"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// article is one generated product with its offer.
type article struct {
	edit   postgres.Edit
	prices []pim.PriceRow
	stock  []pim.StockRow
}

// The catalogue comes in blocks of 20 numbers: four pieces of furniture, four
// for the kitchen, four of electronics, and one piece of clothing with seven
// variants. Product n is the same whatever the size of the catalogue.
const (
	block    = 20
	parentAt = 12 // the clothing's place in its block; its variants follow
)

// seed makes the catalogue what it is; another one makes another.
const seed = 0x5101CE

// sku is the SKU of product n, the first being 1.
func sku(n int) pim.SKU { return pim.SKU(fmt.Sprintf("DEMO-%04d", n)) }

// generate makes product n, the first being 1.
func generate(n int) article {
	at := (n - 1) % block
	if at >= parentAt {
		return clothing(n, at-parentAt)
	}
	g := newGenerator(n, ranges[at/4])
	v := g.lasting()
	v["name"] = g.name(&g.colour, "")
	v["color"] = g.colour.code
	v["gtin"] = gtin(n)
	v["images"] = g.images(g.first, 1+g.IntN(3))
	switch g.of.family {
	case "furniture":
		v["width"], v["height"] = amount(40+g.IntN(180), "cm"), amount(35+g.IntN(170), "cm")
		v["assembly"] = g.IntN(3) > 0
		v["manual"] = manual
	case "kitchen":
		v["capacity"] = amount(5+g.IntN(80), "dl")
		v["pieces"] = number(1 + g.IntN(6))
		v["dishwasher"] = g.IntN(4) > 0
	case "electronics":
		v["power"] = amount(3+g.IntN(2200), "W")
		v["width"], v["height"] = amount(8+g.IntN(40), "cm"), amount(8+g.IntN(60), "cm")
		v["manual"] = manual
	}
	a := article{edit: g.edit(n, v)}
	a.offer(n, g.price, g.Rand)
	return a
}

// clothing makes product n, the i-th after its parent; 0 is the parent, which
// nobody can buy and which therefore has no offer. It has a GTIN all the same:
// the marketplace knows products by nothing else.
func clothing(n, i int) article {
	g := newGenerator(n-i, &apparel)
	if i == 0 {
		v := g.lasting()
		v["name"] = g.name(nil, "")
		v["gtin"] = gtin(n)
		v["images"] = g.images(g.first, 1)
		v["care"] = []any{cares[0].code, cares[1+g.IntN(len(cares)-1)].code}
		a := article{edit: g.edit(n, v)}
		variant := sizeColour
		a.edit.FamilyVariant = &variant
		return a
	}
	shade := (g.first + (i-1)/4) % len(colours)
	colour := colours[shade]
	size := sizes[1+(i-1)%4]
	a := article{edit: g.edit(n, pim.Values{
		"name": g.name(&colour, size), "size": size, "color": colour.code, "gtin": gtin(n), "images": g.images(shade, 1),
	})}
	parent := sku(n - i)
	a.edit.Parent = &parent
	a.offer(n, g.price, rand.New(rand.NewPCG(seed, uint64(n))))
	return a
}

// generator draws what makes one article from its own source of chance; a
// variant's draws the traits of its parent.
type generator struct {
	*rand.Rand
	of       *assortment
	thing    *thing
	series   string
	brand    string
	material coloured
	first    int // of a parent's colours
	colour   coloured
	price    int // whole euros
}

func newGenerator(n int, of *assortment) *generator {
	r := rand.New(rand.NewPCG(seed, uint64(n)))
	g := &generator{Rand: r, of: of, thing: &of.things[r.IntN(len(of.things))]}
	for _, part := range syllables {
		g.series += pick(r, part)
	}
	g.brand = pick(r, brands)
	g.material = materials[pick(r, of.materials)]
	g.first = r.IntN(len(colours))
	g.colour = colours[g.first]
	g.price = g.thing.low + r.IntN(g.thing.high-g.thing.low)
	return g
}

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

func brandCode(name string) string { return strings.ToLower(name) }

// lasting are the values that a parent gives to its variants, and every other
// product has itself.
func (g *generator) lasting() pim.Values {
	opening, middle, closing := pick(g.Rand, g.of.opening), pick(g.Rand, g.of.middle), pick(g.Rand, g.of.closing)
	description, teaser := map[string]any{}, map[string]any{}
	for i, l := range locales {
		first := strings.NewReplacer("{The}", g.thing.article[i], "{thing}", g.thing.name[i], "{series}", g.series).Replace(opening[i])
		description[l] = "<p>" + first + " " + middle[i] + "</p><p>" + closing[i] + "</p>"
	}
	v := pim.Values{
		"description": description,
		"brand":       brandCode(g.brand),
		"materials":   []any{g.material.code},
		"weight":      map[string]any{"amount": json.Number(fmt.Sprintf("%d.%d", g.IntN(30), 1+g.IntN(9))), "unit": "kg"},
		"released":    time.Date(2023, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, g.IntN(900)).Format(time.DateOnly),
	}
	if g.IntN(5) == 0 {
		teaser["shop-en"] = map[string]any{"en-GB": "New from " + g.brand}
		teaser["shop-de"] = map[string]any{"de-DE": "Neu von " + g.brand}
		v["teaser"] = teaser
	}
	return v
}

// name puts the thing's name together for each locale: "Varnaholt dining
// table, oak, grey". colour and size are left out when there is none.
func (g *generator) name(colour *coloured, size string) map[string]any {
	out := map[string]any{}
	for i, l := range locales {
		name := g.series + " " + g.thing.name[i]
		if l != "en-GB" {
			name = capital(g.thing.name[i]) + " " + g.series
		}
		name += ", " + g.material.name[i]
		if colour != nil {
			name += ", " + colour.name[i]
		}
		if size != "" {
			name += ", " + size
		}
		out[l] = name
	}
	return out
}

func capital(s string) string {
	r, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(r)) + s[size:]
}

// edit creates the product, and leaves one that is there as it is.
func (g *generator) edit(n int, v pim.Values) postgres.Edit {
	categories := []string{g.of.family, g.thing.category}
	if n > block {
		v["goes_with"] = []any{string(sku(n - 1 - (n-1)%block)), string(sku(1 + (n*7)%block))}
	}
	return postgres.Edit{SKU: sku(n), Mode: postgres.Put, IfNoneMatch: true, Family: &g.of.family, Categories: &categories, Values: v}
}

// offer gives the article its prices, the pound's a little lower than the
// euro's, some with a price for ten, and its stock.
func (a *article) offer(n, euros int, r *rand.Rand) {
	add := func(currency pim.Currency, quantity int, cents int64) {
		d, err := decimal.New(cents, 2)
		if err != nil {
			panic(err) // cents of at most four digits of euros
		}
		a.prices = append(a.prices, pim.PriceRow{SKU: sku(n), Price: pim.Price{PriceList: "default", Currency: currency, MinQuantity: quantity, Amount: d}})
	}
	e := int64(euros)
	add("EUR", 1, e*100-5)
	add("GBP", 1, e*87-e*87%100+99)
	if n%4 == 0 {
		add("EUR", 10, e*90)
	}
	for _, l := range []struct {
		code string
		most int
	}{{north, 200}, {south, 60}} {
		have := int64(1 + r.IntN(l.most))
		a.stock = append(a.stock, pim.StockRow{SKU: sku(n), Stock: pim.Stock{Location: l.code, OnHand: have, Reserved: have / 20}})
	}
}

// gtin is a GTIN-13 of the numbers that GS1 leaves to everybody's internal use
// (prefix 20 to 29; General Specifications, section 2.1.11), with its check digit.
func gtin(n int) string {
	digits := fmt.Sprintf("20%010d", n)
	sum := 0
	for i, d := range digits {
		weight := 1
		if i%2 == 1 {
			weight = 3
		}
		sum += weight * int(d-'0')
	}
	return digits + strconv.Itoa((10-sum%10)%10)
}

// images names pictures of the article in one colour, and after it in the next
// ones: many products share a picture, as they do in real catalogues.
func (g *generator) images(colour, count int) []any {
	list := make([]any, count)
	for i := range list {
		list[i] = pictureCode(g.of.family, colours[(colour+i)%len(colours)].code)
	}
	return list
}

func amount(n int, unit string) map[string]any {
	return map[string]any{"amount": number(n), "unit": unit}
}

func number(n int) json.Number { return json.Number(strconv.Itoa(n)) }
