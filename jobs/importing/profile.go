package importing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// WithProfile puts the options over those of the profile that they name, if
// any, and checks what comes of it, also against the store: what they name has
// to be there. A layout's name is a profile that every house has, unless one is
// saved under it. The error is a *pim.Invalid as Check's; a profile that is not
// there is one at /profile.
func (o Options) WithProfile(ctx context.Context, store *postgres.Store) (Options, error) {
	o, err := o.overProfile(ctx, store)
	if err != nil {
		return o, err
	}
	schema, err := store.RefreshSchema(ctx)
	if err != nil {
		return o, err
	}
	if ps := o.against(schema); len(ps) > 0 {
		return o, &pim.Invalid{Problems: ps}
	}
	return o, nil
}

func (o Options) overProfile(ctx context.Context, store *postgres.Store) (Options, error) {
	if o.Profile == "" {
		return o, o.Check()
	}
	p, err := store.ImportProfile(ctx, o.Profile)
	if errors.Is(err, postgres.ErrNotFound) && slices.Contains(layoutNames(), o.Profile) {
		// one that nobody had to save: whose file it is
		out := o.Over(Options{Layout: o.Profile})
		return out, out.Check()
	}
	if errors.Is(err, postgres.ErrNotFound) {
		return o, invalid("/profile", "profile.unknown", fmt.Sprintf("there is no import profile %q", clip(o.Profile, 100)))
	}
	if err != nil {
		return o, err
	}
	var base Options
	if err := json.Unmarshal(p.Options, &base); err != nil {
		return o, fmt.Errorf("read import profile %s: %w", o.Profile, err)
	}
	out := o.Over(base)
	return out, out.Check()
}

// SaveProfile checks a profile's code and options, and keeps them. What is of
// one import only is left out: the name of another profile, and a dry run.
func SaveProfile(ctx context.Context, store *postgres.Store, code string, o Options, ifMatch int64) (postgres.ImportProfile, error) {
	if err := pim.ValidCode("profile", code); err != nil {
		return postgres.ImportProfile{}, invalid("/code", "code", err.Error())
	}
	o.Profile, o.DryRun = "", false
	if err := o.Check(); err != nil {
		return postgres.ImportProfile{}, pim.Under("/options", err)
	}
	raw, err := json.Marshal(o)
	if err != nil {
		return postgres.ImportProfile{}, err
	}
	return store.PutImportProfile(ctx, code, raw, ifMatch)
}
