package api

import (
	"context"
	"fmt"
)

// Lists that the database gives in pages take the language of those that are held
// as a whole. What does not fit a filter is left out of what is read, page by page,
// and an order other than the list's own is made of all that fits: a request is
// bounded by how much it reads.

const (
	// maxWalked is how many items a request with a filter reads before it answers with
	// what it has found, and with the place from which the next one goes on.
	maxWalked = 20_000
	// maxSorted is how many items that fit are put in another order, and
	// maxSortedRead how many are read for it.
	maxSorted, maxSortedRead = 20_000, 100_000
)

// Paging are the parameters of a list. It is exported, as all parts of inputs, for huma to see it.
type Paging struct {
	Cursor string `query:"cursor" maxLength:"1000" doc:"next_cursor of the page before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Filter string `query:"filter" maxLength:"4096" doc:"A condition on members in the language of docs/finding.md. A page may have fewer items than limit, or none, while next_cursor is there"`
	Fields string `query:"fields" maxLength:"2000" doc:"Only these members, with commas between them"`
}

// Sorting is the parameter of a list in pages that may have another order than its own.
type Sorting struct {
	Sort string `query:"sort" maxLength:"200" doc:"Members with commas between them, - before those that go down. By default the list's own order. Of more than 20,000 items that fit, a 422: narrow them"`
}

// sortedPages are the parameters of a list that has no others.
type sortedPages struct {
	Paging
	Sorting
}

func (p Paging) fields() string { return p.Fields }

func (p *Paging) paging() *Paging { return p }

func (s Sorting) order() string { return s.Sort }

// walked is h, a list that the database gives in pages, with the filter and the
// order of its input.
func walked[I, O any](h func(context.Context, *I) (*O, error)) func(context.Context, *I) (*O, error) {
	if _, ok := any(new(I)).(interface{ paging() *Paging }); !ok || !isList[O]() {
		return h
	}
	return func(ctx context.Context, in *I) (*O, error) {
		p := any(in).(interface{ paging() *Paging }).paging() //nolint:forcetypeassert // looked at above
		asked := *p
		list := func(out *O) arranger { return any(out).(arranged).body().(arranger) } //nolint:forcetypeassert // isList
		fits, err := list(new(O)).fitting(p.Filter)
		if err != nil {
			return nil, err
		}
		read := func(cursor string, limit int) (*O, arranger, error) {
			p.Cursor, p.Limit = cursor, limit
			out, err := h(ctx, in)
			if err != nil {
				return nil, nil, err
			}
			return out, list(out), nil
		}
		if s, ok := any(in).(interface{ order() string }); ok && s.order() != "" {
			all, err := (&sieve[O]{read: read, fits: fits}).all()
			if err == nil {
				err = list(all).arrange(Arranging{Cursor: asked.Cursor, Limit: asked.Limit, Sort: s.order()})
			}
			return all, err
		}
		if p.Filter == "" {
			return h(ctx, in)
		}
		return (&sieve[O]{read: read, fits: fits}).walk(asked)
	}
}

// sieve is what fits a condition of a list that is read page by page.
type sieve[O any] struct {
	read func(cursor string, limit int) (*O, arranger, error) // the page behind a cursor
	fits func(arranger) ([]int, error)                        // which items of a page

	found      *O       // the first page, with what fits of the others
	sum        arranger // its list
	seen, kept int      // items that were read, and those that fit
}

// page reads the page behind a cursor, of at most size items of which at most room
// fit: cursors stand behind whole pages, so one with more is read again as long as it
// is to be. next is where the list goes on; "": it does not.
func (s *sieve[O]) page(cursor string, size, room int) (next string, err error) {
	for {
		out, list, err := s.read(cursor, size)
		if err != nil {
			return "", err
		}
		at, err := s.fits(list)
		if err != nil {
			return "", err
		}
		if len(at) > room {
			size = at[room-1] + 1
			continue
		}
		n, next := list.extent()
		list.keep(at)
		if s.found == nil {
			s.found, s.sum = out, list
		} else {
			s.sum.add(list)
		}
		s.seen, s.kept = s.seen+n, s.kept+len(at)
		if n == 0 { // the log's end has a cursor, too
			next = ""
		}
		return next, nil
	}
}

// walk reads pages until as many items were found as are asked for.
func (s *sieve[O]) walk(asked Paging) (*O, error) {
	for cursor, size := asked.Cursor, asked.Limit; ; {
		next, err := s.page(cursor, size, asked.Limit-s.kept)
		if err != nil {
			return nil, err
		}
		if s.kept == asked.Limit || next == "" || s.seen >= maxWalked {
			return s.found, nil
		}
		cursor, size = next, min(1000, max(asked.Limit-s.kept, 4*size), maxWalked-s.seen)
	}
}

// all reads all items that fit, for them to be put in order.
func (s *sieve[O]) all() (*O, error) {
	for cursor := ""; ; {
		next, err := s.page(cursor, 1000, 1000)
		switch {
		case err != nil:
			return nil, err
		case s.kept > maxSorted, s.seen >= maxSortedRead && next != "":
			return nil, badParameter("query.sort", "sort.many", fmt.Sprintf("at most %d items that fit, of %d that are read, are put in another order; narrow the list", maxSorted, maxSortedRead))
		case next == "":
			s.sum.ends()
			return s.found, nil
		}
		cursor = next
	}
}

// fitting gives which items of a page fit a condition.
func (p *page[T]) fitting(filter string) (func(arranger) ([]int, error), error) {
	where, err := memberFilter(filter, members[T]())
	if err != nil {
		return nil, err
	}
	return func(a arranger) (at []int, err error) {
		q, _ := a.(*page[T])
		for i, item := range q.Items {
			fits := where == nil
			if !fits {
				object, err := asMembers(item)
				if err != nil {
					return nil, fmt.Errorf("read the members of a list: %w", err)
				}
				fits = where.Match(object)
			}
			if fits {
				at = append(at, i)
			}
		}
		return at, nil
	}, nil
}

// extent is how many items there are, and where the next page begins.
func (p *page[T]) extent() (n int, next string) { return len(p.Items), p.Next }

// keep leaves the items at these places.
func (p *page[T]) keep(at []int) {
	items := make([]T, len(at))
	for i, j := range at {
		items[i] = p.Items[j]
	}
	p.Items = items
}

// add puts the items of the page behind this one to it.
func (p *page[T]) add(a arranger) {
	q, _ := a.(*page[T])
	p.Items, p.Next = append(p.Items, q.Items...), q.Next
}

func (p *page[T]) ends() { p.Next = "" }
