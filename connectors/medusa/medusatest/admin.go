package medusatest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
)

const (
	batchLimit = 2 << 20   // bytes of a batch
	plainLimit = 100 << 10 // bytes of any other body
)

// ServeHTTP answers as Medusa does.
func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	limit := f.limitOf(r)
	body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	if err != nil {
		return // the sender went away
	}
	f.mu.Lock()
	f.count.Calls++
	if r.Method != http.MethodGet {
		f.count.Writes++
	}
	fault := f.meet(r, body)
	f.bump()
	f.mu.Unlock()
	finish := func(w http.ResponseWriter) { f.answer(w, r, body, limit) }
	if fault != nil {
		f.misbehave(w, r, fault, finish)
		return
	}
	finish(w)
}

// answer does what a request asks for.
func (f *Fake) answer(w http.ResponseWriter, r *http.Request, body []byte, limit int64) {
	if f.static(w, r) {
		return
	}
	f.mu.Lock()
	out, err := f.handle(r, body, limit)
	f.mu.Unlock()
	var no *refused
	var bad *misshapen
	switch {
	case errors.As(err, &bad):
		f.refuse(w, bad.refused)
	case errors.As(err, &no):
		f.refuse(w, no)
	case err != nil:
		f.refuse(w, unknown())
	case out == nil:
		page(w, http.StatusNotFound, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Error</title>\n</head>\n<body>\n<pre>Cannot "+r.Method+" "+r.URL.Path+"</pre>\n</body>\n</html>\n")
	default:
		b, err := json.Marshal(out)
		if err != nil {
			f.refuse(w, unknown())
			return
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_, _ = w.Write(b) // the sender may have left
	}
}

// refuse answers an error in Medusa's shape.
func (f *Fake) refuse(w http.ResponseWriter, no *refused) {
	if no.page {
		page(w, no.status, no.message+f.opts.Echo)
		return
	}
	body := map[string]string{"message": no.message + f.opts.Echo}
	if no.kind != "" {
		body["type"] = no.kind
	}
	if no.code != "" {
		body["code"] = no.code
	}
	b, err := json.Marshal(body)
	if err != nil {
		b = []byte("{}") // texts only: it cannot be
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(no.status)
	_, _ = w.Write(b) // the sender may have left
}

// handle routes a request; nil, nil is an unknown path. Callers hold mu.
func (f *Fake) handle(r *http.Request, body []byte, limit int64) (any, error) {
	user, password, ok := r.BasicAuth()
	if !ok || user != f.opts.Key || password != "" {
		return nil, &refused{status: http.StatusUnauthorized, message: "Unauthorized"}
	}
	if r.Method == http.MethodPost && r.URL.Path == uploadPath {
		return f.upload(r, body, limit)
	}
	if int64(len(body)) > limit {
		f.violate("%s %s: a body of more than %d bytes", r.Method, r.URL.Path, limit)
		return nil, &refused{status: http.StatusRequestEntityTooLarge, kind: "unknown_error", message: "request entity too large"}
	}
	path := strings.Split(strings.TrimPrefix(r.URL.Path, "/admin/"), "/")
	if r.Method == http.MethodGet {
		if out := f.read(path, r.URL.Query()); out != nil {
			return out, nil
		}
		f.violate("%s %s: there is no such path here", r.Method, r.URL.Path)
		return nil, nil
	}
	var b map[string]any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&b); err != nil {
		f.violate("%s %s: the body is no JSON object", r.Method, r.URL.Path)
		return nil, &refused{status: http.StatusBadRequest, kind: "invalid_data", message: "Unexpected end of JSON input"}
	}
	t := &tx{state: f.state}
	out, err := f.write(t, r, path, b)
	if err != nil {
		t.rollback()
	}
	var bad *misshapen
	switch {
	case errors.As(err, &bad):
		f.violate("%s %s: %v", r.Method, r.URL.Path, err)
	case out == nil && err == nil:
		f.violate("%s %s: there is no such path here", r.Method, r.URL.Path)
	}
	return out, err
}

// write routes what changes something.
func (f *Fake) write(t *tx, r *http.Request, path []string, b map[string]any) (any, error) {
	if r.Method != http.MethodPost {
		return nil, nil
	}
	fields := fieldsOf(r.URL.Query().Get("fields"))
	switch p := path; {
	case slices.Equal(p, []string{"products", "batch"}):
		return f.productBatch(t, b, fields)
	case slices.Equal(p, []string{"product-categories"}):
		return t.createCategory(b, fields)
	case slices.Equal(p, []string{"inventory-items", "location-levels", "batch"}):
		return t.levels(b)
	case len(p) == 4 && p[0] == "products" && p[2] == "variants" && p[3] == "batch":
		return f.variantBatch(t, p[1], b, fields)
	case len(p) == 4 && p[0] == "products" && p[2] == "options" && p[3] == "batch":
		if err := optionBatch.check(b, nil); err != nil {
			return nil, err
		}
		it := t.products[p[1]]
		if it == nil {
			return nil, notFound("Product with id: %s was not found", p[1])
		}
		if err := t.changeOptions(it, b); err != nil {
			return nil, err
		}
		return map[string]any{"product": fields.pick(t.showProduct(it))}, nil
	case len(p) == 5 && p[0] == "products" && p[2] == "variants" && p[4] == "inventory-items":
		return t.tie(p[3], b, fields)
	case len(p) == 6 && p[0] == "products" && p[2] == "variants" && p[4] == "images" && p[5] == "batch":
		return t.tieImages(p[1], p[3], b)
	}
	return nil, nil
}

// rejects says the message of a SKU that is to be refused.
func (f *Fake) rejects(sku string) error {
	if message, ok := f.reject[sku]; ok {
		return invalid("%s", message)
	}
	return nil
}

func (f *Fake) productBatch(t *tx, b map[string]any, fields fields) (any, error) {
	if err := productBatch.check(b, nil); err != nil {
		return nil, err
	}
	created, updated := []any{}, []any{}
	var made []*product
	for _, body := range objects(b["create"]) {
		if err := f.rejects(str(body["external_id"])); err != nil {
			return nil, err
		}
		for _, v := range objects(body["variants"]) {
			if err := f.rejects(str(v["sku"])); err != nil {
				return nil, err
			}
		}
		p, err := t.createProduct(body)
		if err != nil {
			return nil, err
		}
		made = append(made, p)
	}
	for _, body := range objects(b["update"]) {
		p, err := t.updateProduct(body)
		if err == nil && body["title"] != nil {
			err = f.rejects(p.externalID)
		}
		if err != nil {
			return nil, err
		}
		updated = append(updated, fields.pick(t.showProduct(p)))
	}
	for _, id := range texts(b["delete"]) {
		t.deleteProduct(id)
	}
	// Not in the order that they came in, as Medusa.
	for _, p := range slices.Backward(made) {
		created = append(created, fields.pick(t.showProduct(p)))
	}
	return map[string]any{"created": created, "updated": updated, "deleted": deleted("product", b)}, nil
}

func deleted(object string, b map[string]any) map[string]any {
	ids := texts(b["delete"])
	if ids == nil {
		ids = []string{}
	}
	return map[string]any{"ids": ids, "object": object, "deleted": true}
}

func (f *Fake) variantBatch(t *tx, product string, b map[string]any, fields fields) (any, error) {
	if err := variantBatch.check(b, nil); err != nil {
		return nil, err
	}
	created, updated := []any{}, []any{}
	bodies := objects(b["create"])
	for _, body := range bodies {
		if err := f.rejects(str(body["sku"])); err != nil {
			return nil, err
		}
	}
	if err := t.createVariants(t.products[product], bodies); err != nil {
		return nil, err
	}
	for _, body := range slices.Backward(bodies) {
		created = append(created, fields.pick(t.showVariant(t.bySKU(str(body["sku"])))))
	}
	for _, body := range objects(b["update"]) {
		v, err := t.updateVariant(body)
		if err == nil && body["title"] != nil {
			err = f.rejects(v.sku)
		}
		if err != nil {
			return nil, err
		}
		updated = append(updated, fields.pick(t.showVariant(v)))
	}
	for _, id := range texts(b["delete"]) {
		t.deleteVariant(id)
	}
	return map[string]any{"created": created, "updated": updated, "deleted": deleted("variant", b)}, nil
}

func (t *tx) createCategory(b map[string]any, fields fields) (any, error) {
	if err := catShape.check(b, nil); err != nil {
		return nil, err
	}
	c := &category{id: t.id("pcat"), name: str(b["name"]), handle: str(b["handle"])}
	if c.handle == "" {
		c.handle = handleOf(c.name)
	}
	if err := t.claim(ofCategory, c.handle, c.id); err != nil {
		return nil, err
	}
	put(t, t.categories, c.id, c)
	return map[string]any{"product_category": fields.pick(showCategory(c))}, nil
}

func (t *tx) levels(b map[string]any) (any, error) {
	if err := levelBatch.check(b, nil); err != nil {
		return nil, err
	}
	out := map[string]any{"deleted": []string{}}
	for _, kind := range []string{"create", "update"} {
		list := []any{}
		for _, body := range objects(b[kind]) {
			if err := t.level(body, kind == "create"); err != nil {
				return nil, err
			}
			it := t.items[str(body["inventory_item_id"])]
			list = append(list, showLevel(it, str(body["location_id"])))
		}
		out[kind+"d"] = list
	}
	return out, nil
}

func (t *tx) tie(id string, b map[string]any, fields fields) (any, error) {
	if err := tieShape.check(b, nil); err != nil {
		return nil, err
	}
	v, it := t.variants[id], str(b["inventory_item_id"])
	if v == nil || t.items[it] == nil {
		return nil, notFound("Inventory item with id: %s was not found", it)
	}
	keep(t, v)
	if !slices.Contains(v.items, it) {
		v.items = append(slices.Clone(v.items), it)
	}
	return map[string]any{"variant": fields.pick(t.showVariant(v))}, nil
}

func (t *tx) tieImages(product, id string, b map[string]any) (any, error) {
	if err := imageBatch.check(b, nil); err != nil {
		return nil, err
	}
	p, v := t.products[product], t.variants[id]
	if p == nil || v == nil {
		return nil, notFound("Product variant with id: %s was not found", id)
	}
	keep(t, p)
	p.images = slices.Clone(p.images)
	add, remove := texts(b["add"]), texts(b["remove"])
	for i := range p.images {
		it := &p.images[i]
		tied := slices.DeleteFunc(slices.Clone(it.variants), func(o string) bool { return o == id })
		if slices.Contains(add, it.id) || slices.Contains(it.variants, id) && !slices.Contains(remove, it.id) {
			tied = append(tied, id)
		}
		it.variants = tied
	}
	return map[string]any{"added": b["add"], "removed": b["remove"]}, nil
}
