package woocommercetest

import (
	"bytes"
	"encoding/json"
	"html"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var variationsPath = regexp.MustCompile(`^products/([0-9]+)/variations/batch$`)

// route finds what a call is for. Callers hold mu.
func (f *Fake) route(r *http.Request, path string, body []byte) *reply {
	if r.Method == http.MethodPost && r.Header.Get("Content-Type") != "application/json" {
		f.violated("a body of type %q", r.Header.Get("Content-Type"))
	}
	variations := variationsPath.FindStringSubmatch(path)
	switch {
	case r.Method == http.MethodGet && path == "products":
		f.count.Reads++
		return f.list(r)
	case r.Method == http.MethodPost && path == "products/batch":
		return f.batch(body, nil)
	case r.Method == http.MethodPost && variations != nil:
		id, _ := strconv.ParseInt(variations[1], 10, 64) // of digits; one too large is nobody's
		return f.batch(body, &id)
	case r.Method == http.MethodGet && path == "products/categories":
		f.count.Reads++
		return f.listCategories(r)
	case r.Method == http.MethodPost && path == "products/categories":
		return f.makeCategory(body)
	}
	return refused(refuse(http.StatusNotFound, "rest_no_route", "No route was found matching the URL and request method."))
}

// paging reads page and per_page, and cuts all to the page.
func paging[T any](r *http.Request, all []T) ([]T, *reply) {
	number := func(name string, otherwise, most int) (int, bool) {
		text := r.URL.Query().Get(name)
		if text == "" {
			return otherwise, true
		}
		n, err := strconv.Atoi(text)
		return n, err == nil && n >= 1 && n <= most
	}
	per, ok := number("per_page", 10, 100)
	if !ok {
		const why = "per_page must be between 1 (inclusive) and 100 (inclusive)"
		return nil, refused(refuse(http.StatusBadRequest, "rest_invalid_param", "Invalid parameter(s): per_page", "params", map[string]string{"per_page": why}))
	}
	page, ok := number("page", 1, 1<<30)
	if !ok {
		return nil, refused(refuse(http.StatusBadRequest, "rest_invalid_param", "Invalid parameter(s): page", "params", map[string]string{"page": "page must be greater than or equal to 1"}))
	}
	from := min((page-1)*per, len(all))
	some := all[from:min(from+per, len(all))]
	return some, &reply{status: http.StatusOK, header: map[string]string{
		"X-WP-Total": strconv.Itoa(len(all)), "X-WP-TotalPages": strconv.Itoa((len(all) + per - 1) / per),
	}}
}

// list answers GET products, by SKU: a list of them, compared without regard to
// case, variations among them; drafts, too.
func (f *Fake) list(r *http.Request) *reply {
	var all []*Product
	if skus := sanitize(r.URL.Query().Get("sku")); skus != "" && skus != "0" {
		wanted := strings.Split(skus, ",")
		if len(wanted) > 1 {
			wanted = append(wanted, skus)
		}
		seen := map[int64]bool{}
		for _, sku := range wanted {
			if p := f.find(sku); p != nil && !seen[p.ID] {
				seen[p.ID] = true
				shown := p.clone()
				shown.Images = p.seen(f.products[p.ParentID])
				all = append(all, shown)
			}
		}
	} else {
		for _, p := range f.products {
			if p.Type != "variation" {
				all = append(all, p.clone())
			}
		}
	}
	slices.SortFunc(all, func(a, b *Product) int { return int(a.ID - b.ID) })
	some, a := paging(r, all)
	if bad, ok := a.body.(*refusal); ok {
		return refused(bad)
	}
	told := make([]any, len(some))
	for i, p := range some {
		told[i] = p
		if p.Type == "variation" { // as a variation's own path tells them
			told[i] = struct {
				*Product
				Attributes []Choice `json:"attributes"`
			}{p, p.choices}
		}
	}
	a.body = only(r, told)
	return a
}

// only keeps the fields that the call asks for by _fields.
func only[T any](r *http.Request, objects []T) any {
	names := r.URL.Query().Get("_fields")
	if names == "" {
		if objects == nil {
			return []T{}
		}
		return objects
	}
	keep := strings.Split(names, ",")
	out := make([]map[string]json.RawMessage, 0, len(objects))
	for _, o := range objects {
		b, _ := json.Marshal(o) // plain data always has a JSON form
		var m map[string]json.RawMessage
		_ = json.Unmarshal(b, &m)
		for name := range m {
			if !slices.Contains(keep, name) {
				delete(m, name)
			}
		}
		out = append(out, m)
	}
	return out
}

func (f *Fake) find(sku string) *Product { return f.products[f.bySKU[strings.ToLower(sku)]] }

func (f *Fake) listCategories(r *http.Request) *reply {
	all := make([]*Category, 0, len(f.categories))
	for _, c := range f.categories {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b *Category) int { return int(a.ID - b.ID) })
	some, a := paging(r, all)
	if bad, ok := a.body.(*refusal); ok {
		return refused(bad)
	}
	a.body = only(r, some)
	return a
}

func (f *Fake) makeCategory(body []byte) *reply {
	var in struct {
		Name   string `json:"name"`
		Parent int64  `json:"parent"`
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(&in); err != nil {
		return refused(refuse(http.StatusBadRequest, "rest_invalid_json", "Invalid JSON body passed."))
	}
	name := html.EscapeString(sanitize(in.Name))
	if name == "" {
		return refused(refuse(http.StatusBadRequest, "rest_missing_callback_param", "Missing parameter(s): name", "params", []string{"name"}))
	}
	if in.Parent != 0 && f.categories[in.Parent] == nil {
		return refused(refuse(http.StatusBadRequest, "missing_parent", "Parent term does not exist."))
	}
	for _, c := range f.categories {
		if c.Parent == in.Parent && strings.EqualFold(c.Name, name) {
			return refused(refuse(http.StatusBadRequest, "term_exists", "A term with the name provided already exists with this parent.", "resource_id", c.ID))
		}
	}
	c := &Category{ID: f.next(), Name: name, Slug: slug(name), Parent: in.Parent}
	f.categories[c.ID] = c
	f.ledger.Put(tableCategories, keyOf(c.ID), c)
	return &reply{status: http.StatusCreated, body: c}
}

func (f *Fake) next() int64 {
	f.lastID++
	f.ledger.Put(tableShop, "last", f.lastID)
	return f.lastID
}

var (
	tag    = regexp.MustCompile(`<[^>]*>?`)
	octet  = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)
	noWord = regexp.MustCompile(`[^\p{L}\p{N}]+`)
)

// sanitize is what WordPress does to texts of one line (sanitize_text_field).
func sanitize(s string) string {
	if strings.ContainsAny(s, "<%") {
		s = octet.ReplaceAllString(tag.ReplaceAllString(s, ""), "")
	}
	return strings.Join(strings.Fields(s), " ")
}

// slug is roughly sanitize_title.
func slug(s string) string {
	return strings.Trim(noWord.ReplaceAllString(strings.ToLower(html.UnescapeString(s)), "-"), "-")
}
