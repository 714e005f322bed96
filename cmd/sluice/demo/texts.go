//go:build unix

package demo

import (
	"context"
	"errors"
	"fmt"

	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

const (
	french     = pim.Locale("fr-FR")
	translator = "pseudo" // the provider's code, and its kind
	textRule   = "french"
)

// interpret has the demo's texts translated into a language that nobody wrote,
// by the translator that is there for tests: a look tells what goes through
// translation, and no channel but the test one is shown it.
func (d *demo) interpret(ctx context.Context) error {
	if _, err := d.node.Store.Provider(ctx, translator); errors.Is(err, postgres.ErrNotFound) {
		if _, err := d.node.Texts.CreateProvider(ctx, jobs.ProviderSpec{Code: translator, Kind: translator}); err != nil {
			return fmt.Errorf("make the translator: %w", err)
		}
	} else if err != nil {
		return err
	}
	if _, err := d.node.Store.TextRule(ctx, textRule); err == nil || !errors.Is(err, postgres.ErrNotFound) {
		return err // it may have been changed since
	}
	rule := postgres.TextRule{
		Code: textRule, Action: "translate", Attributes: []string{"name", "description"}, From: "en-GB", To: []pim.Locale{french}, Providers: []string{translator},
	}
	if _, _, err := d.node.Texts.PutRule(ctx, rule, 0); err != nil {
		return fmt.Errorf("make the rule of translation: %w", err)
	}
	return nil
}
