// Package all lists the connectors that Sluice is built with. A new connector
// is one folder and one line here.
package all

import (
	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/bol"
	"github.com/sluicehub/sluice/connectors/feed"
	"github.com/sluicehub/sluice/connectors/medusa"
	"github.com/sluicehub/sluice/connectors/none"
	"github.com/sluicehub/sluice/connectors/tryton"
	"github.com/sluicehub/sluice/connectors/webhook"
	"github.com/sluicehub/sluice/connectors/woocommerce"
)

// Registry is every connector there is.
func Registry() *connectors.Registry {
	return connectors.NewRegistry(
		bol.Kind,
		feed.Kind,
		medusa.Kind,
		none.Kind,
		tryton.Kind,
		webhook.Kind,
		woocommerce.Kind,
	)
}
