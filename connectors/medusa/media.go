package medusa

import (
	"context"
	"encoding/json"
	"slices"
)

// album is a product's pictures on their way.
type album struct {
	product *product
	items   []int   // the product's own first, then its variants'
	images  []image // as they shall be; those without id are new
	changed bool
	thumb   *string // nil: not to be changed
}

// media pushes pictures. A product's own pictures are for all of its variants; a
// variant's that are not among them belong to the product, too, and are tied to
// the variant (Medusa 2.11.2).
func (p *push) media(ctx context.Context) error {
	documents := make([]*pictures, len(p.items))
	albums := map[string]*album{}
	var order []string
	for i, it := range p.items {
		if it.Action.Withdraws() {
			continue // the content's withdrawal takes the pictures along
		}
		d, issues, warnings := readPictures(it.Document)
		if len(issues) > 0 {
			p.fail(i, invalid(issues...))
			continue
		}
		for _, w := range warnings {
			p.warn(i, w.Code, w.Attribute, w.Text)
		}
		documents[i] = d
		top := string(it.SKU)
		if d.Parent != "" {
			top = string(d.Parent)
		}
		a := albums[top]
		if a == nil {
			a = &album{}
			albums[top] = a
			order = append(order, top)
		}
		if d.Parent == "" {
			a.items = slices.Insert(a.items, 0, i)
		} else {
			a.items = append(a.items, i)
		}
	}
	if len(order) == 0 {
		return nil
	}
	release, err := p.locks.Lock(ctx, order...)
	if err != nil {
		return err
	}
	defer release()
	found, err := p.products(ctx, "external_id[]", mediaFields, unique(slices.Clone(order)))
	if err != nil {
		return err
	}
	m := &mediaPush{push: p, documents: documents}
	for _, top := range order {
		a := albums[top]
		if a.product = found[top]; a.product == nil {
			for _, i := range a.items {
				p.fail(i, missing("Medusa has no product with the external_id "+top+" (any more)"))
			}
			continue
		}
		m.plan(a)
		m.albums = append(m.albums, a)
	}
	return m.send(ctx)
}

// mediaPush is a push of the media lane on its way.
type mediaPush struct {
	*push
	documents []*pictures
	albums    []*album
}

// plan makes an album's wanted images. Pictures that stay keep their ids, by
// which variants are tied to them.
func (m *mediaPush) plan(a *album) {
	have := a.product.Images
	at := func(list []image, url string) int {
		return slices.IndexFunc(list, func(i image) bool { return i.URL == url })
	}
	a.images = slices.Clone(have)
	for _, i := range a.items {
		d := m.documents[i]
		if d.Parent != "" {
			for _, url := range d.Images {
				if at(a.images, string(url)) < 0 {
					a.images = append(a.images, image{URL: string(url)})
				}
			}
			continue
		}
		var own []image
		for _, url := range d.Images {
			// One that is tied to variants is made anew, and is then everybody's.
			if n := at(have, string(url)); n >= 0 && len(have[n].Variants) == 0 {
				own = append(own, have[n])
			} else {
				own = append(own, image{URL: string(url)})
			}
		}
		for _, it := range have {
			if len(it.Variants) > 0 && at(own, it.URL) < 0 {
				own = append(own, it) // a variant's
			}
		}
		a.images = own
		thumb := string(d.Thumbnail)
		if thumb == "" && len(d.Images) > 0 {
			thumb = string(d.Images[0])
		}
		if thumb != a.product.Thumbnail {
			a.thumb = &thumb
		}
	}
	a.images = slices.DeleteFunc(a.images, func(it image) bool { return m.orphaned(a, it) })
	a.changed = !slices.EqualFunc(a.images, have, func(x, y image) bool { return x.ID == y.ID && x.URL == y.URL })
}

// orphaned reports whether a picture was only of variants in this push, none of
// which wants it any more. Untied but left, it would be everybody's.
func (m *mediaPush) orphaned(a *album, it image) bool {
	for _, owner := range it.Variants {
		left := false
		for _, i := range a.items {
			v := a.product.variant(string(m.items[i].SKU))
			left = left || v != nil && v.ID == owner.ID && m.documents[i].Parent != "" && !slices.Contains(m.documents[i].Images, text(it.URL))
		}
		if !left {
			return false
		}
	}
	return len(it.Variants) > 0
}

// send writes the products' images, then ties them to variants.
func (m *mediaPush) send(ctx context.Context) error {
	var ops []op
	by := map[int]*album{}
	for _, a := range m.albums {
		if !a.changed && a.thumb == nil {
			continue
		}
		body := map[string]any{"id": a.product.ID}
		if a.changed {
			images := []map[string]string{}
			for _, it := range a.images {
				element := map[string]string{"url": it.URL}
				if it.ID != "" {
					element["id"] = it.ID
				}
				images = append(images, element)
			}
			body["images"] = images
		}
		if a.thumb != nil {
			body["thumbnail"] = orNull(text(*a.thumb))
		}
		raw, err := encode(body)
		if err != nil {
			m.failAll(a, err)
			continue
		}
		by[a.items[0]] = a
		ops = append(ops, op{item: a.items[0], body: raw, names: []string{a.product.ID}})
	}
	err := m.atomically(ctx, ops, func(ctx context.Context, ops []op) error {
		update := make([]json.RawMessage, len(ops))
		for i := range ops {
			update[i] = ops[i].body
		}
		var answer struct {
			Updated []*product `json:"updated"`
		}
		if err := m.post(ctx, "/admin/products/batch", query("fields", mediaFields), map[string]any{"update": update}, &answer); err != nil {
			return err
		}
		for _, o := range ops {
			a := by[o.item]
			n := slices.IndexFunc(answer.Updated, func(it *product) bool { return it != nil && it.ID == a.product.ID })
			if n < 0 {
				m.failAll(a, unnamed())
				continue
			}
			m.touch(a.items...)
			a.product = answer.Updated[n]
		}
		return nil
	}, func(o op, err error) error {
		m.failAll(by[o.item], err)
		return nil
	})
	if err != nil {
		return err
	}
	var thumbs []op
	owners := map[int]string{}
	for _, a := range m.albums {
		for _, i := range a.items {
			if m.documents[i].Parent == "" || m.failed(i) {
				continue
			}
			o, err := m.tie(ctx, a, i)
			if err != nil {
				return err
			}
			if o != nil {
				thumbs = append(thumbs, *o)
				owners[i] = a.product.ID
			}
		}
	}
	return m.atomically(ctx, thumbs, func(ctx context.Context, ops []op) error {
		_, err := m.batch(ctx, owners[ops[0].item], "update", ops)
		return err
	}, func(o op, err error) error {
		m.fail(o.item, err)
		return nil
	})
}

func (m *mediaPush) failAll(a *album, err error) {
	for _, i := range a.items {
		m.fail(i, err)
	}
}

// tie makes a variant show its pictures and no other variant's, and gives the
// change of its thumbnail, nil where there is none.
func (m *mediaPush) tie(ctx context.Context, a *album, i int) (*op, error) {
	d, sku := m.documents[i], string(m.items[i].SKU)
	v := a.product.variant(sku)
	if v == nil {
		m.fail(i, missing("Medusa has no variant with this SKU (any more)"))
		return nil, nil
	}
	var add, remove []string
	for _, it := range a.product.Images {
		mine := false
		for _, owner := range it.Variants {
			mine = mine || owner.ID == v.ID
		}
		wanted := slices.Contains(d.Images, text(it.URL))
		// A picture that is nobody's in particular is everybody's. One that has just
		// been added for this variant is nobody's yet.
		general := len(it.Variants) == 0 && !m.added(a, it.URL)
		switch {
		case wanted && !mine && !general:
			add = append(add, it.ID)
		case mine && !wanted:
			remove = append(remove, it.ID)
		}
	}
	if len(add)+len(remove) > 0 {
		body := map[string]any{"add": none(add), "remove": none(remove)}
		err := m.post(ctx, "/admin/products/"+a.product.ID+"/variants/"+v.ID+"/images/batch", nil, body, nil)
		if err != nil && !m.ofItems(ctx, err) {
			return nil, err
		}
		if err != nil {
			m.fail(i, err)
			return nil, nil
		}
		m.touch(i)
	}
	thumb := string(d.Thumbnail)
	if thumb == "" && len(d.Images) > 0 {
		thumb = string(d.Images[0])
	}
	if thumb == v.Thumbnail {
		return nil, nil
	}
	raw, err := encode(map[string]any{"id": v.ID, "thumbnail": orNull(text(thumb))})
	if err != nil {
		m.fail(i, err)
		return nil, nil
	}
	return &op{item: i, body: raw, names: []string{v.ID}}, nil
}

// added reports whether this push added a picture for a variant, and not for
// the product itself.
func (m *mediaPush) added(a *album, url string) bool {
	for _, it := range a.images {
		if it.URL != url || it.ID != "" {
			continue
		}
		first := m.documents[a.items[0]]
		return first.Parent != "" || !slices.Contains(first.Images, text(url))
	}
	return false
}

// none is an empty list rather than null.
func none(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
