package api

import (
	"fmt"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// Role is what an API key may do.
type Role string

// The roles.
const (
	Viewer         Role = "viewer"          // reads
	Editor         Role = "editor"          // reads, and edits the catalogue
	ChannelManager Role = "channel-manager" // reads, and runs the channels
	Integration    Role = "integration"     // reads, and brings prices, stock, imports and files
	Admin          Role = "admin"           // everything, keys included
)

// Roles in the order in which people read them.
var Roles = []Role{Viewer, Editor, ChannelManager, Integration, Admin}

// ParseRole reads a role's name; the error lists the names there are.
func ParseRole(s string) (Role, error) {
	if slices.Contains(Roles, Role(s)) {
		return Role(s), nil
	}
	names := make([]string, len(Roles))
	for i, r := range Roles {
		names[i] = string(r)
	}
	return "", fmt.Errorf("role %q is not one of %s", s, strings.Join(names, ", "))
}

var (
	everyone  = Roles
	catalogue = []Role{Editor, Admin}
	offers    = []Role{Editor, Integration, Admin}
	managers  = []Role{ChannelManager, Admin}
	staff     = []Role{Editor, ChannelManager, Admin}
	admins    = []Role{Admin}
)

// allowed is the one table of who may do what: operation × role. An operation
// that needs no key declares that in the API's description instead; New
// refuses an API whose operations and this table differ.
var allowed = map[string][]Role{
	"list-attribute-groups":  everyone,
	"get-attribute-group":    everyone,
	"put-attribute-group":    catalogue,
	"delete-attribute-group": catalogue,

	"list-association-types":  everyone,
	"get-association-type":    everyone,
	"put-association-type":    catalogue,
	"delete-association-type": catalogue,
	"list-reference-entities": everyone,
	"get-reference-entity":    everyone,
	"put-reference-entity":    catalogue,
	"delete-reference-entity": catalogue,
	"list-records":            everyone,
	"get-record":              everyone,
	"put-record":              catalogue,
	"patch-record":            catalogue,
	"delete-record":           catalogue,
	"edit-records":            catalogue,
	"import-records":          catalogue,
	"get-record-history":      everyone,
	"restore-record":          catalogue,

	"list-attributes":           everyone,
	"list-measurement-families": everyone,
	"get-attribute":             everyone,
	"put-attribute":             catalogue,
	"delete-attribute":          catalogue,
	"list-families":             everyone,
	"get-family":                everyone,
	"put-family":                catalogue,
	"delete-family":             catalogue,
	"get-locale":                everyone,
	"list-locales":              everyone,
	"put-locale":                catalogue,
	"delete-locale":             catalogue,
	"list-currencies":           everyone,
	"get-currency":              everyone,
	"put-currency":              catalogue,
	"delete-currency":           catalogue,
	"list-price-lists":          everyone,
	"get-price-list":            everyone,
	"put-price-list":            catalogue,
	"delete-price-list":         catalogue,
	"list-locations":            everyone,
	"get-location":              everyone,
	"put-location":              catalogue,
	"delete-location":           catalogue,
	"get-stock":                 everyone,

	"list-categories":   everyone,
	"get-category-tree": everyone,
	"get-category":      everyone,
	"put-category":      catalogue,
	"delete-category":   catalogue,
	"import-categories": catalogue,

	"list-products":         everyone,
	"list-product-facets":   everyone,
	"export-products":       everyone,
	"get-product":           everyone,
	"put-product":           catalogue,
	"patch-product":         catalogue,
	"delete-product":        catalogue,
	"get-product-history":   everyone,
	"list-product-listings": everyone,

	"get-product-completeness": everyone,
	"get-family-completeness":  everyone,
	"get-product-revision":     everyone,
	"diff-product":             everyone,
	"restore-product-revision": catalogue,
	"restore-product":          catalogue,
	"get-history-retention":    everyone,
	"put-history-retention":    admins,
	"list-price-rules":         everyone,
	"get-price-rule":           everyone,
	"put-price-rule":           catalogue,
	"delete-price-rule":        catalogue,
	"list-price-holds":         everyone,
	"get-price-hold":           everyone,
	"approve-price-hold":       catalogue,
	"reject-price-hold":        catalogue,
	"approve-price-holds":      catalogue,
	"reject-price-holds":       catalogue,

	"list-prices":      everyone,
	"list-stock":       everyone,
	"list-publication": everyone,

	"set-prices": offers,
	"set-stock":  offers,

	"set-publication":         catalogue,
	"get-product-publication": everyone,

	"list-connectors":  everyone,
	"forecast-channel": everyone,
	"list-channels":    everyone,
	"get-channel":      everyone,
	"create-channel":   managers,
	"put-channel":      managers,
	"patch-channel":    managers,
	"delete-channel":   managers,
	"test-channel":     managers,
	"pause-channel":    managers,
	"resume-channel":   managers,
	"resync-channel":   managers,
	"retry-channel":    managers,

	"start-reconcile":  managers,
	"get-reconcile":    everyone,
	"cancel-reconcile": managers,
	"list-drift":       everyone,

	"preview-product":          everyone,
	"try-mapping":              managers, // it changes nothing, but a viewer may only GET
	"dry-run-channel":          managers,
	"list-channel-mappings":    everyone,
	"get-channel-mapping":      everyone,
	"rollback-channel-mapping": managers,

	"list-listings": everyone,
	"list-events":   everyone,

	"list-exchanges": everyone,
	"get-exchange":   everyone,

	"explain-listing": everyone,

	"create-import":     offers,
	"list-imports":      everyone,
	"get-import":        everyone,
	"get-import-report": everyone,

	"list-import-profiles":  everyone,
	"get-import-profile":    everyone,
	"put-import-profile":    offers,
	"delete-import-profile": offers,

	"list-assets":    everyone,
	"get-asset":      everyone,
	"get-asset-file": everyone,
	"create-asset":   offers,
	"put-asset":      offers,
	"fetch-asset":    offers,
	"patch-asset":    catalogue,
	"delete-asset":   catalogue,
	"link-asset":     staff,

	"list-renditions":        everyone,
	"get-rendition":          everyone,
	"list-rendition-presets": everyone,
	"put-rendition":          managers,
	"delete-rendition":       managers,

	"list-tasks":      everyone,
	"summarise-tasks": everyone,
	"retry-tasks":     staff,
	"cancel-tasks":    staff,

	"list-provider-kinds": everyone,
	"list-providers":      everyone,
	"list-alerts":         everyone,
	"list-notifier-kinds": everyone,
	"list-notifiers":      everyone,
	"get-notifier":        everyone,
	"create-notifier":     managers,
	"put-notifier":        managers,
	"delete-notifier":     managers,
	"test-notifier":       managers,
	"get-provider":        everyone,
	"get-provider-pairs":  everyone,
	"get-provider-usage":  everyone,
	"create-provider":     managers,
	"put-provider":        managers,
	"delete-provider":     managers,
	"test-provider":       managers,
	"resume-provider":     managers,

	"list-text-rules":  everyone,
	"get-text-rule":    everyone,
	"put-text-rule":    staff,
	"delete-text-rule": staff,

	"list-glossary":         everyone,
	"export-glossary":       everyone,
	"put-glossary-entry":    staff,
	"delete-glossary-entry": staff,
	"import-glossary":       staff,

	"list-texts":      everyone,
	"summarise-texts": everyone,
	"export-texts":    everyone,
	"review-texts":    catalogue,
	"import-texts":    catalogue,

	"list-keys":  admins,
	"create-key": admins,
	"revoke-key": admins,
}

// may reports whether a key of role may run operation.
func may(role, operation string) bool { return slices.Contains(rolesOf(operation), Role(role)) }

// rolesOf are the roles of an operation; a batch has those of what its rows are.
func rolesOf(operation string) []Role { return allowed[likeSingle(operation)] }

// checkRoles holds the table against the description.
func checkRoles(doc *huma.OpenAPI) error {
	there := map[string]bool{}
	for _, o := range operations(doc) {
		there[o.OperationID] = true
		public := o.Security != nil && len(o.Security) == 0
		if listed := rolesOf(o.OperationID) != nil; listed == public {
			return fmt.Errorf("operation %s must either be in the table of roles or need no key", o.OperationID)
		}
	}
	for id := range allowed {
		if !there[id] {
			return fmt.Errorf("the table of roles names operation %s, which there is not", id)
		}
	}
	return nil
}

func operations(doc *huma.OpenAPI) (list []*huma.Operation) {
	for _, p := range doc.Paths {
		for _, o := range []*huma.Operation{p.Get, p.Put, p.Post, p.Patch, p.Delete, p.Head, p.Options, p.Trace} {
			if o != nil {
				list = append(list, o)
			}
		}
	}
	return list
}
