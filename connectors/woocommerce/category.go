package woocommerce

import (
	"context"
	"errors"
	"html"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sluicehub/sluice/connectors"
)

const (
	categoryPages = 100 // of 100 categories each
	maxDepth      = 10
	maxCategory   = 200 // characters; WordPress stores that many
	// categoriesFor is how long the shop's tree is believed to be what it was.
	categoriesFor = 5 * time.Minute
)

// path names a category from the root down.
type path []string

// parsePath reads "Clothing > Shirts".
func parsePath(s string) (path, bool) {
	var p path
	for name := range strings.SplitSeq(s, ">") {
		name = strings.Join(strings.Fields(strings.ReplaceAll(name, "<", "‹")), " ")
		if name == "" || len([]rune(name)) > maxCategory {
			return nil, false
		}
		p = append(p, name)
	}
	return p, len(p) <= maxDepth
}

// place is a category's name below its parent, in a form that two spellings
// share which WordPress holds for one term.
type place struct {
	parent int64
	name   string
}

func placeOf(parent int64, name string) place {
	return place{parent, strings.ToLower(html.UnescapeString(strings.TrimSpace(name)))}
}

// categories remember the shop's tree.
type categories struct {
	turn   chan struct{} // holds one while nobody reads or writes the tree
	ids    map[place]int64
	readAt time.Time
}

func (cs *categories) init() {
	cs.turn = make(chan struct{}, 1)
	cs.turn <- struct{}{}
}

// take waits for the turn to read or write the tree; release gives it back.
func (cs *categories) take(ctx context.Context) (release func(), err error) {
	select {
	case <-cs.turn:
		return func() { cs.turn <- struct{}{} }, nil
	case <-ctx.Done():
		return nil, &connectors.Error{Verdict: connectors.Unavailable, Err: context.Cause(ctx)}
	}
}

// freshCategories reads the tree where it is not known, or not any more.
func (c *Connector) freshCategories(ctx context.Context) error {
	if c.categories.ids == nil || time.Since(c.categories.readAt) > categoriesFor {
		return c.readCategories(ctx)
	}
	return nil
}

// categoryIDs finds the categories of all paths, making those that are missing:
// one goroutine at a time, or two would make the same one.
func (c *Connector) categoryIDs(ctx context.Context, paths []path) (map[string]int64, error) {
	release, err := c.categories.take(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := c.freshCategories(ctx); err != nil {
		return nil, err
	}
	ids := map[string]int64{}
	for _, p := range paths {
		parent := int64(0)
		for _, name := range p {
			id, ok := c.categories.ids[placeOf(parent, name)]
			if !ok {
				var err error
				if id, err = c.makeCategory(ctx, parent, name); err != nil {
					return nil, err
				}
				c.categories.ids[placeOf(parent, name)] = id
			}
			parent = id
		}
		ids[strings.Join(p, ">")] = parent
	}
	return ids, nil
}

// readCategories reads the whole tree.
func (c *Connector) readCategories(ctx context.Context) error {
	ids := map[place]int64{}
	for page := 1; page <= categoryPages; page++ {
		var some []struct {
			ID     int64  `json:"id"`
			Name   string `json:"name"`
			Parent int64  `json:"parent"`
		}
		query := url.Values{"per_page": {"100"}, "page": {strconv.Itoa(page)}, "orderby": {"id"}, "order": {"asc"}, "_fields": {"id,name,parent"}}
		header, err := c.get(ctx, "products/categories", query, &some)
		if err != nil {
			return err
		}
		for _, s := range some {
			// Of two that cannot be told apart, the older one counts, every time.
			if at := placeOf(s.Parent, s.Name); ids[at] == 0 {
				ids[at] = s.ID
			}
		}
		if pages := pagesOf(header); pages > 0 && page >= pages || len(some) == 0 {
			break
		}
	}
	c.categories.ids, c.categories.readAt = ids, time.Now()
	return nil
}

// termExists is the refusal of a category that is there already; it is no
// failure, so that the verdict table does not have it.
const termExists = "term_exists"

// makeCategory makes one. Where somebody else was faster the shop tells its id.
func (c *Connector) makeCategory(ctx context.Context, parent int64, name string) (int64, error) {
	body := map[string]any{"name": name}
	if parent != 0 {
		body["parent"] = parent
	}
	var made struct {
		ID int64 `json:"id"`
	}
	err := c.post(ctx, "products/categories", body, &made)
	if exists, ok := errors.AsType[*existing](err); ok {
		return exists.id, nil
	}
	if err != nil {
		return 0, err
	}
	if made.ID == 0 {
		return 0, &connectors.Error{Verdict: connectors.Unavailable, Uncertain: true, Err: errors.New("the answer to a new category names no id")}
	}
	return made.ID, nil
}

// existing says that what was to be made is there.
type existing struct {
	error
	id int64
}

// Unwrap gives the refusal.
func (e *existing) Unwrap() error { return e.error }
