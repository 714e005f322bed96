//go:build unix

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/sluicehub/sluice/api"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

type categoryCmd struct {
	List   categoryListCmd   `cmd:"" help:"List the categories, by code or as trees."`
	Put    categoryPutCmd    `cmd:"" help:"Create or replace a category, or move it."`
	Delete categoryDeleteCmd `cmd:"" help:"Delete a category that has neither products nor categories below it, and is no channel's root."`
	Import categoryImportCmd `cmd:"" help:"Create and change categories by files: CSV, or Google's taxonomy in any number of languages."`
}

type categoryListCmd struct {
	Root   string     `help:"Only this category and those below it."`
	Parent string     `help:"Only those directly below this category."`
	Tree   bool       `help:"As trees, in their order."`
	Locale pim.Locale `help:"Locale of the labels; by default each category's first."`
	JSON   bool       `name:"json" help:"Print a JSON array."`
}

// Run lists the categories.
func (l categoryListCmd) Run(ctx context.Context, c console) error {
	if l.Tree {
		return l.tree(ctx, c.out)
	}
	read := func(ctx context.Context, store *postgres.Store) ([]api.Category, error) {
		return pages(0, func(page postgres.Page) ([]api.Category, string, error) {
			list, next, err := store.Categories(ctx, l.Root, l.Parent, page)
			views := make([]api.Category, len(list))
			for i, at := range list {
				views[i] = api.ViewCategory(at)
			}
			return views, next, err
		})
	}
	return list(ctx, c, l.JSON, []string{"CATEGORY", "PARENT", "POSITION", "LABEL", "PATH"}, read, func(v api.Category) []string {
		return []string{v.Code, dash(v.Parent), strconv.Itoa(v.Position), dash(labelOf(v.Labels, l.Locale)), strings.Join(v.Path, " > ")}
	})
}

func (l categoryListCmd) tree(ctx context.Context, w io.Writer) error {
	if l.JSON || l.Parent != "" {
		return errors.New("--tree goes with neither --json nor --parent")
	}
	store, err := openStore(ctx, few)
	if err != nil {
		return err
	}
	defer store.Close()
	tree := store.Schema().Tree
	roots := tree.Children("")
	if l.Root != "" {
		root := tree.Category(l.Root)
		if root == nil {
			return fmt.Errorf("there is no category %s", l.Root)
		}
		roots = []*pim.Category{root}
	}
	var show func(list []*pim.Category, indent string) error
	show = func(list []*pim.Category, indent string) error {
		for _, at := range list {
			line := indent + at.Code
			if label := labelOf(at.Labels, l.Locale); label != "" {
				line += "  " + label
			}
			if _, err := fmt.Fprintln(w, line); err != nil {
				return err
			}
			if err := show(tree.Children(at.Code), indent+"  "); err != nil {
				return err
			}
		}
		return nil
	}
	return show(roots, "")
}

// labelOf is the label in a locale, or without one that of the first there is.
func labelOf(labels map[pim.Locale]string, l pim.Locale) string {
	if l != "" {
		return labels[l]
	}
	for _, first := range slices.Sorted(maps.Keys(labels)) {
		return labels[first]
	}
	return ""
}

type categoryPutCmd struct {
	Code     string                `arg:"" help:"The category's code."`
	Parent   string                `help:"Code of the category above; by default it is a root."`
	Position *int                  `placeholder:"NUMBER" help:"Among its siblings, the lowest first; by default it stays, and a new one goes last."`
	Label    map[pim.Locale]string `placeholder:"LOCALE=TEXT" mapsep:"none" help:"What it is called in a locale; all of its labels."`
}

// Run makes or replaces the category.
func (p categoryPutCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	store, err := openStore(ctx, few)
	if err != nil {
		return err
	}
	defer store.Close()
	_, fresh, err := store.PutCategory(ctx, pim.CategoryEdit{Code: p.Code, Parent: p.Parent, Position: p.Position, Labels: p.Label}, 0)
	if err != nil {
		return err
	}
	wakeAll(ctx, log, store, fanout)
	what := "is as you say"
	if fresh {
		what = "is there now"
	}
	_, err = fmt.Fprintf(c.out, "Category %s %s.\n", p.Code, what)
	return err
}

type categoryDeleteCmd struct {
	Code string `arg:"" help:"The category's code."`
}

// Run deletes the category.
func (d categoryDeleteCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	return changing(ctx, log, func(store *postgres.Store) error {
		return deleted(c, store.DeleteCategory(ctx, d.Code, 0), "category", d.Code, "category "+d.Code+" has products, or categories below it")
	})
}

type categoryImportCmd struct {
	Files  []string   `arg:"" name:"file" type:"path" help:"CSV with the columns code, parent and label-LOCALE, or Google's taxonomy with ids, a file for each language. - is standard input."`
	Format string     `enum:",csv,google" default:"" help:"csv or google; by default the first line tells."`
	Locale pim.Locale `help:"google: of the labels; by default the file's name tells, as in taxonomy-with-ids.de-DE.txt."`
	Prefix string     `help:"Before each code of the files."`
	Root   string     `help:"Code of a root, made where there is none, that all roots of the files stand below."`
}

// Run takes the files, all or nothing.
func (i categoryImportCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	files := make([]jobs.CategoryFile, len(i.Files))
	for at, path := range i.Files {
		body := c.in
		if path != "-" {
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			body = f
		}
		files[at] = jobs.CategoryFile{Name: cmp.Or(path, "-"), Format: jobs.CategoryFormat(i.Format), Locale: i.Locale, Prefix: i.Prefix, Root: i.Root, Body: body}
	}
	edits, err := jobs.CategoryEdits(files...)
	if err != nil {
		return err
	}
	store, err := openStore(ctx, few)
	if err != nil {
		return err
	}
	defer store.Close()
	counts, err := store.PutCategories(ctx, edits)
	if invalid, ok := errors.AsType[*pim.Invalid](err); ok {
		return jobs.NamedCategories(invalid, edits)
	}
	if err != nil {
		return err
	}
	if counts.Created+counts.Changed > 0 {
		wakeAll(ctx, log, store, fanout)
	}
	_, err = fmt.Fprintf(c.out, "Categories: %d created, %d changed, %d unchanged.\n", counts.Created, counts.Changed, counts.Unchanged)
	return err
}
