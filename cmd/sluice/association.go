//go:build unix

package main

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"

	"github.com/sluicehub/sluice/api"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

type linkTypeCmd struct {
	List   associationTypeListCmd   `cmd:"" help:"List the association types."`
	Put    associationTypePutCmd    `cmd:"" help:"Create or replace an association type."`
	Delete associationTypeDeleteCmd `cmd:"" help:"Delete an association type that no product has associations of."`
}

type associationTypeListCmd struct {
	JSON bool `name:"json" help:"Print a JSON array."`
}

// Run lists the types.
func (l associationTypeListCmd) Run(ctx context.Context, c console) error {
	return list(ctx, c, l.JSON, []string{"TYPE", "TWO-WAY", "QUANTIFIED", "LABEL"}, func(ctx context.Context, store *postgres.Store) ([]api.AssociationTypeView, error) {
		types, err := store.AssociationTypes(ctx)
		views := make([]api.AssociationTypeView, len(types))
		for i, t := range types {
			views[i] = api.ViewAssociationType(t)
		}
		return views, err
	}, func(t api.AssociationTypeView) []string {
		return []string{t.Code, strconv.FormatBool(t.TwoWay), strconv.FormatBool(t.Quantified), dash(labelOf(t.Labels, ""))}
	})
}

type associationTypePutCmd struct {
	Code       string                `arg:"" help:"The type's code."`
	TwoWay     bool                  `help:"Each product has the others that have it."`
	Quantified bool                  `help:"Associations say how many."`
	Label      map[pim.Locale]string `placeholder:"LOCALE=TEXT" mapsep:"none" help:"What it is called in a locale; all of its labels."`
}

// Run makes or replaces the type.
func (p associationTypePutCmd) Run(ctx context.Context, c console) error {
	store, err := openStore(ctx, few)
	if err != nil {
		return err
	}
	defer store.Close()
	t := pim.AssociationType{Code: p.Code, TwoWay: p.TwoWay, Quantified: p.Quantified, Labels: p.Label}
	if _, _, err := store.PutAssociationType(ctx, t, 0); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.out, "Association type %s is set.\n", p.Code)
	return err
}

type associationTypeDeleteCmd struct {
	Code string `arg:"" help:"The type's code."`
}

// Run deletes the type.
func (d associationTypeDeleteCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	return changing(ctx, log, func(store *postgres.Store) error {
		return deleted(c, store.DeleteAssociationType(ctx, d.Code, 0), "association type", d.Code, "products have associations of type "+d.Code)
	})
}
