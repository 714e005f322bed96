package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// CategorySpec is what people say of a category.
type CategorySpec struct {
	Code     string                `json:"code,omitempty" doc:"As in the address, if given at all"`
	Parent   string                `json:"parent,omitempty" doc:"Code of the category above; left out: it is a root"`
	Position *int                  `json:"position,omitempty" minimum:"0" doc:"Among its siblings, the lowest first. Left out: as it is; what is new, or moves below another, goes last"`
	Labels   map[pim.Locale]string `json:"labels,omitempty" doc:"What it is called, by locale"`
}

// Category is a category as the API shows it.
type Category struct {
	Code      string                `json:"code"`
	Parent    string                `json:"parent,omitempty" doc:"Left out: it is a root"`
	Position  int                   `json:"position"`
	Labels    map[pim.Locale]string `json:"labels"`
	Path      []string              `json:"path" doc:"Codes from the root to the category itself"`
	Revision  int64                 `json:"revision" doc:"What the ETag names; a move of a category above leaves it"`
	UpdatedAt time.Time             `json:"updated_at"`
}

// CategoryNode is a category with those below it, each in their order.
type CategoryNode struct {
	Code     string                `json:"code"`
	Labels   map[pim.Locale]string `json:"labels"`
	Children []*CategoryNode       `json:"children"`
}

// ImportedCategories says what became of a file of categories.
type ImportedCategories struct {
	Created   int `json:"created"`
	Changed   int `json:"changed"`
	Unchanged int `json:"unchanged"`
}

type categoryAnswer struct {
	Status int
	ETag   string `header:"ETag" doc:"The category's revision"`
	Body   Category
}

type listCategories struct {
	Paging
	Sorting
	Root   string `query:"root" maxLength:"100" doc:"Only this category and those below it"`
	Parent string `query:"parent" maxLength:"100" doc:"Only those directly below this category"`
}

type categoryTree struct {
	Root string `query:"root" maxLength:"100" doc:"Only this category, with those below it"`
}

type importCategories struct {
	Format string `query:"format" enum:"csv,google" doc:"Left out: by the first line"`
	Locale string `query:"locale" maxLength:"35" doc:"google: of the file's labels"`
	Prefix string `query:"prefix" maxLength:"50" doc:"Before each code"`
	Root   string `query:"root" maxLength:"100" doc:"Code of a root, made where there is none, that all roots of the file stand below"`
	RawInput
}

const maxCategoryFile = 32 << 20

func (s *server) registerCategories() {
	handle(s, op("list-categories", http.MethodGet, "/v1/categories", tagSchema, "List categories by code"), s.listCategories)
	handle(s, op("get-category-tree", http.MethodGet, "/v1/category-tree", tagSchema, "Get the trees of categories, in their order"), s.getCategoryTree)
	handle(s, op("get-category", http.MethodGet, "/v1/categories/{code}", tagSchema, "Get a category"), s.getCategory)
	handle(s, op("put-category", http.MethodPut, "/v1/categories/{code}", tagSchema, "Create, replace or move a category", creates,
		says("What stands below it moves along. Listings whose mapping shows it are looked at again. The same again changes nothing."),
		keeps("position"), takesJSON[CategorySpec](s)), s.putCategory)
	deletes(s, op("delete-category", http.MethodDelete, "/v1/categories/{code}", tagSchema, "Delete a category that has neither products nor categories below it"),
		s.Store.DeleteCategory)
	text := map[string]*huma.Schema{typeCSV: {Type: huma.TypeString}, "text/plain": {Type: huma.TypeString}}
	handle(s, op("import-categories", http.MethodPost, "/v1/categories/import", tagSchema, "Create and change categories by a file, all or nothing",
		says("CSV with the columns code, parent and label-LOCALE, or Google's taxonomy with ids (a line \"537 - A > B\" each). Labels of locales that the file does not name stay, and no category is deleted."),
		takesLong, takes(maxCategoryFile, text)), s.importCategories)
}

// ViewCategory is a category as the API shows it.
func ViewCategory(c *pim.Category) Category {
	v := Category{Code: c.Code, Parent: c.Parent, Position: c.Position, Labels: c.Labels, Path: c.Path, Revision: c.Rev, UpdatedAt: c.UpdatedAt}
	if v.Labels == nil {
		v.Labels = map[pim.Locale]string{}
	}
	return v
}

func (s *server) listCategories(ctx context.Context, in *listCategories) (*answer[page[Category]], error) {
	list, next, err := s.Store.Categories(ctx, in.Root, in.Parent, in.page())
	if err != nil {
		return nil, err
	}
	items := make([]Category, len(list))
	for i, c := range list {
		items[i] = ViewCategory(c)
	}
	return pageOf(items, next), nil
}

func (s *server) getCategoryTree(ctx context.Context, in *categoryTree) (*answer[page[*CategoryNode]], error) {
	schema, err := s.Store.RefreshSchema(ctx)
	if err != nil {
		return nil, err
	}
	if in.Root == "" {
		return pageOf(nodesOf(schema.Tree, schema.Tree.Children("")), ""), nil
	}
	c := schema.Tree.Category(in.Root)
	if c == nil {
		return nil, postgres.ErrNotFound
	}
	return pageOf(nodesOf(schema.Tree, []*pim.Category{c}), ""), nil
}

func nodesOf(t *pim.Tree, list []*pim.Category) []*CategoryNode {
	nodes := make([]*CategoryNode, len(list))
	for i, c := range list {
		nodes[i] = &CategoryNode{Code: c.Code, Labels: ViewCategory(c).Labels, Children: nodesOf(t, t.Children(c.Code))}
	}
	return nodes
}

func (s *server) category(ctx context.Context, code string) (*pim.Category, error) {
	schema, err := s.Store.RefreshSchema(ctx)
	if err != nil {
		return nil, err
	}
	c := schema.Tree.Category(code)
	if c == nil {
		return nil, postgres.ErrNotFound
	}
	return c, nil
}

func (s *server) categoryRevision(ctx context.Context, code string) (int64, error) {
	c, err := s.category(ctx, code)
	if err != nil {
		return 0, err
	}
	return c.Rev, nil
}

func (s *server) getCategory(ctx context.Context, in *CodePath) (*categoryAnswer, error) {
	c, err := s.category(ctx, in.Code)
	if err != nil {
		return nil, err
	}
	return &categoryAnswer{http.StatusOK, etag(c.Rev), ViewCategory(c)}, nil
}

func (s *server) putCategory(ctx context.Context, in *putCode) (*categoryAnswer, error) {
	spec, err := decode[CategorySpec](in.RawBody, map[string]string{"code": in.Code})
	if err != nil {
		return nil, err
	}
	e := pim.CategoryEdit{Code: spec.Code, Parent: spec.Parent, Position: spec.Position, Labels: spec.Labels}
	var a *categoryAnswer
	err = s.atRevision(in.IfMatch, func() (int64, error) { return s.categoryRevision(ctx, in.Code) }, func(rev int64) error {
		c, fresh, err := s.Store.PutCategory(ctx, e, rev)
		if err != nil {
			return fromFirst("/0", err)
		}
		a = &categoryAnswer{created(!fresh), etag(c.Rev), ViewCategory(c)}
		return nil
	})
	return a, err
}

// atRevision does what is asked for under an If-Match: at the revision that
// current gives where the header takes that one, at any (0) without a header.
func (s *server) atRevision(ifMatch string, current func() (int64, error), do func(rev int64) error) error {
	want, p := parseIfMatch(ifMatch)
	if p != nil {
		return p
	}
	for race := 0; ; race++ {
		var rev int64
		if want.given {
			var err error
			switch rev, err = current(); {
			case errors.Is(err, postgres.ErrNotFound):
				return problem(http.StatusPreconditionFailed, "stale", "there is nothing of that name")
			case err != nil:
				return err
			case !want.any && !slices.Contains(want.revisions, rev):
				return stale(rev)
			}
		}
		err := do(rev)
		if !errors.Is(err, postgres.ErrStale) || race >= maxRaces {
			return err
		}
	}
}

func (s *server) importCategories(ctx context.Context, in *importCategories) (*answer[ImportedCategories], error) {
	name := "the body"
	if in.Locale != "" {
		if err := pim.ValidLocale(pim.Locale(in.Locale)); err != nil {
			return nil, badParameter("query.locale", "locale", err.Error())
		}
	}
	edits, err := jobs.CategoryEdits(jobs.CategoryFile{
		Name: name, Format: jobs.CategoryFormat(in.Format), Locale: pim.Locale(in.Locale), Prefix: in.Prefix, Root: in.Root, Body: bytes.NewReader(in.RawBody),
	})
	if err != nil {
		return nil, err
	}
	counts, err := s.Store.PutCategories(ctx, edits)
	if invalid, ok := errors.AsType[*pim.Invalid](err); ok {
		return nil, jobs.NamedCategories(invalid, edits)
	}
	if err != nil {
		return nil, fmt.Errorf("import categories: %w", err)
	}
	return &answer[ImportedCategories]{ImportedCategories(counts)}, nil
}
