// Package all lists the translation and text providers that Sluice is built
// with. A new provider is one folder and one line here.
package all

import (
	"github.com/sluicehub/sluice/connectors/translation"
	"github.com/sluicehub/sluice/connectors/translation/apertium"
	"github.com/sluicehub/sluice/connectors/translation/deepl"
	"github.com/sluicehub/sluice/connectors/translation/libretranslate"
	"github.com/sluicehub/sluice/connectors/translation/openai"
	"github.com/sluicehub/sluice/connectors/translation/pseudo"
)

// Registry is every provider there is.
func Registry() *translation.Registry {
	return translation.NewRegistry(
		apertium.Kind,
		deepl.Kind,
		libretranslate.Kind,
		openai.Kind,
		pseudo.Kind,
	)
}
