// Package skeleton writes the beginning of a new connector: a connector to a
// simple REST target, a stateful fake of that target, the conformance suite
// against it, and a page of documentation. It compiles, and passes the suite,
// as it is written; whoever starts from it replaces the target's words by
// their vendor's, one function at a time, with the suite green.
package skeleton

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"go/format"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"
)

//go:embed *.tmpl
var templates embed.FS

// files are the skeleton's, by template.
var files = map[string]string{
	"connector.go.tmpl":   "connectors/{{.}}/{{.}}.go",
	"verdict.go.tmpl":     "connectors/{{.}}/verdict.go",
	"conformance.go.tmpl": "connectors/{{.}}/conformance_test.go",
	"fake.go.tmpl":        "connectors/{{.}}/{{.}}test/fake.go",
	"page.md.tmpl":        "docs/connectors/{{.}}.md",
}

var name = regexp.MustCompile(`^[a-z][a-z0-9]{1,29}$`)

// ErrName says that a connector cannot have this name.
var ErrName = errors.New("a connector's name is a lower-case letter and 1 to 29 lower-case letters or digits, as it names a Go package")

// Files gives the skeleton's files by their paths below the project's root.
func Files(connector string) (map[string][]byte, error) {
	if !name.MatchString(connector) {
		return nil, ErrName
	}
	all := template.Must(template.New("").Funcs(template.FuncMap{"title": func(s string) string { return strings.ToUpper(s[:1]) + s[1:] }}).ParseFS(templates, "*.tmpl"))
	out := make(map[string][]byte, len(files))
	for from, to := range files {
		var path, text bytes.Buffer
		if err := template.Must(template.New("").Parse(to)).Execute(&path, connector); err != nil {
			return nil, fmt.Errorf("name the file of %s: %w", from, err)
		}
		if err := all.ExecuteTemplate(&text, from, connector); err != nil {
			return nil, fmt.Errorf("write %s: %w", path.String(), err)
		}
		content := text.Bytes()
		if strings.HasSuffix(path.String(), ".go") {
			var err error
			if content, err = format.Source(content); err != nil {
				return nil, fmt.Errorf("format %s: %w", path.String(), err)
			}
		}
		out[path.String()] = content
	}
	return out, nil
}

// Write writes the skeleton below root, a checkout of the project, and gives
// the paths. It overwrites nothing.
func Write(root, connector string) ([]string, error) {
	if _, err := os.Stat(filepath.Join(root, "connectors", "connector.go")); err != nil {
		return nil, fmt.Errorf("%s is no checkout of Sluice: a connector is part of the program", root)
	}
	content, err := Files(connector)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(root, "connectors", connector)); err == nil {
		return nil, fmt.Errorf("there is a connector %s already", connector)
	}
	var paths []string
	for path, text := range content {
		full := filepath.Join(root, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			return paths, err
		}
		f, err := os.OpenFile(full, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return paths, err
		}
		_, err = f.Write(text)
		if err = errors.Join(err, f.Close()); err != nil {
			return paths, err
		}
		paths = append(paths, path)
	}
	return paths, nil
}
