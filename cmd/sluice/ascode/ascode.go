// Package ascode keeps the house's settings in files: what attributes, families,
// channels and so on there are, as YAML documents that are compared with the
// house, applied to it, and dumped from it. It speaks to the API alone, so that a
// file is checked by the rules that hold for everybody, and knows of each kind of
// resource no more than its address: which fields there are is taken from the
// API's own description.
package ascode

import (
	"encoding/json"
	"fmt"
)

// Kind is one kind of resource.
type Kind struct {
	Name   string // as documents name it: resource: attribute
	Plural string // the last part of its address, and the name of its file in a dump
	view   string // the member of what GET answers that PUT takes; "" is all of it
	above  string // the field that names another of the kind, which is made before it
}

// Kinds are in the order in which they are made: what others refer to comes first.
// Within one, documents are in the order of the files.
var Kinds = []Kind{
	{Name: "locale", Plural: "locales"},
	{Name: "currency", Plural: "currencies"},
	{Name: "price-list", Plural: "price-lists"},
	{Name: "location", Plural: "locations"},
	{Name: "attribute", Plural: "attributes"},
	{Name: "family", Plural: "families"},
	{Name: "category", Plural: "categories", above: "parent"},
	{Name: "rendition", Plural: "renditions", view: "definition"},
	{Name: "import-profile", Plural: "import-profiles"},
	{Name: "channel", Plural: "channels"},
	{Name: "provider", Plural: "providers"},
	{Name: "text-rule", Plural: "text-rules"},
	{Name: "notifier", Plural: "notifiers"},
}

func kindNamed(name string) (*Kind, bool) {
	for i := range Kinds {
		if Kinds[i].Name == name {
			return &Kinds[i], true
		}
	}
	return nil, false
}

// Document is one resource as a file wants it. A field that it leaves out stays as
// it is, or is the API's default where the resource is made; null takes it back to
// that.
type Document struct {
	Kind   *Kind
	Code   string
	Fields map[string]any // JSON values, numbers as json.Number; secrets as *Secret
	File   string
	Line   int
}

func (d *Document) String() string { return d.Kind.Name + " " + d.Code }

// at is the place of the document, for errors.
func (d *Document) at() string { return fmt.Sprintf("%s:%d", d.File, d.Line) }

// Secret is a value that no file has: it is read when it is sent.
type Secret struct {
	Env  string // the environment variable that has it
	File string // or the file; its last line break is not part of it
}

// MarshalJSON keeps a secret out of everything that is written down.
func (*Secret) MarshalJSON() ([]byte, error) { return json.Marshal("(secret)") }
