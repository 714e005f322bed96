package ascode

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Bounds of what is read, so that a file by mistake does not take the memory.
const (
	maxFile   = 16 << 20 // bytes
	maxDepth  = 64
	maxValues = 200_000 // of one document, with what aliases repeat
)

// The members of a document that are not the resource's own.
const (
	memberResource = "resource"
	memberCode     = "code"
	memberCodes    = "codes" // several resources of nothing but their code
)

// fault is an error at a place of a file.
func fault(file string, n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("%s:%d:%d: %s", file, n.Line, n.Column, fmt.Sprintf(format, args...))
}

// Load reads the documents of a file, or of all files below a folder that end in
// .yaml or .yml, in the order of their names. It tells all that is wrong, each
// with file, line and column. path may be a symbolic link; one to a folder below it
// is a fault, as what it holds would be missed.
func Load(path string) (list []*Document, err error) {
	var faults []error
	seen := map[string]*Document{}
	files := 0
	root, err := filepath.EvalSymlinks(path) // the walk follows none
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	path = root
	walk := func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if file != path && strings.HasPrefix(entry.Name(), ".") {
				return fs.SkipDir
			}
			return nil
		}
		if entry.Type()&fs.ModeSymlink != 0 && !strings.HasPrefix(entry.Name(), ".") {
			to, err := os.Stat(file)
			if err != nil {
				return err
			}
			if to.IsDir() {
				faults = append(faults, fmt.Errorf("%s: is a symbolic link to a folder, which is not followed", file))
				return nil
			}
		}
		if file != path && !slices.Contains([]string{".yaml", ".yml"}, filepath.Ext(file)) {
			return nil
		}
		files++
		documents, errs := read(file)
		faults = append(faults, errs...)
		for _, d := range documents {
			if before := seen[d.String()]; before != nil {
				faults = append(faults, fmt.Errorf("%s: %s stands in %s, too", d.at(), d, before.at()))
			}
			seen[d.String()] = d
		}
		list = append(list, documents...)
		return nil
	}
	if err := filepath.WalkDir(path, walk); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if files == 0 {
		faults = append(faults, fmt.Errorf("%s: there is no file .yaml or .yml", path))
	}
	return list, errors.Join(faults...)
}

// read gives the documents of one file, and all that is wrong with it.
func read(file string) (list []*Document, faults []error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, []error{err}
	}
	defer func() { _ = f.Close() }() // it was only read
	raw, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, []error{err}
	}
	if len(raw) > maxFile {
		return nil, []error{fmt.Errorf("%s: is larger than %d MiB", file, maxFile>>20)}
	}
	return parse(file, raw)
}

func parse(file string, raw []byte) (list []*Document, faults []error) {
	d := yaml.NewDecoder(bytes.NewReader(raw))
	for {
		var node yaml.Node
		err := d.Decode(&node)
		if errors.Is(err, io.EOF) {
			return list, faults
		}
		if err != nil {
			return list, append(faults, fmt.Errorf("%s: %w", file, err))
		}
		documents, err := documentsOf(file, &node)
		if err != nil {
			faults = append(faults, err)
		}
		list = append(list, documents...)
	}
}

// documentsOf reads one YAML document: nothing, or a mapping.
func documentsOf(file string, node *yaml.Node) ([]*Document, error) {
	if node.Kind == yaml.DocumentNode && len(node.Content) == 1 {
		node = node.Content[0]
	}
	if node.Kind == yaml.ScalarNode && node.Tag == "!!null" || node.Kind == 0 {
		return nil, nil // between two separators, or a comment alone
	}
	if node.Kind != yaml.MappingNode {
		return nil, fault(file, node, "a document is a mapping that begins with resource: and code:")
	}
	left := maxValues
	v, err := convert(file, node, 0, &left)
	if err != nil {
		return nil, err
	}
	fields, _ := v.(map[string]any) // none: the document is a secret, which has no resource
	name, _ := fields[memberResource].(string)
	kind, ok := kindNamed(name)
	if !ok {
		names := make([]string, len(Kinds))
		for i, k := range Kinds {
			names[i] = k.Name
		}
		return nil, fault(file, node, "resource %q is none of %s", name, strings.Join(names, ", "))
	}
	delete(fields, memberResource)
	if codes, several := fields[memberCodes].([]any); several {
		if len(fields) > 1 {
			return nil, fault(file, node, "codes stands alone: what has other fields has a document of its own")
		}
		var list []*Document
		for _, c := range codes {
			code, ok := c.(string)
			if !ok || code == "" {
				return nil, fault(file, node, "a code is a text, and %v is none", c)
			}
			list = append(list, &Document{Kind: kind, Code: code, Fields: map[string]any{}, File: file, Line: node.Line})
		}
		return list, nil
	}
	code, ok := fields[memberCode].(string)
	if !ok || code == "" {
		return nil, fault(file, node, "%s has no code, or one that is no text (quote it)", kind.Name)
	}
	delete(fields, memberCode)
	return []*Document{{Kind: kind, Code: code, Fields: fields, File: file, Line: node.Line}}, nil
}

// convert gives a node's JSON value. What YAML has and JSON has not is an error, but
// a date, which is its text.
func convert(file string, n *yaml.Node, depth int, left *int) (any, error) {
	if *left--; *left < 0 || depth > maxDepth {
		return nil, fault(file, n, "the document has too many values, or too many levels")
	}
	switch n.Kind {
	case yaml.AliasNode:
		return convert(file, n.Alias, depth+1, left)
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, at := range n.Content {
			v, err := convert(file, at, depth+1, left)
			if err != nil {
				return nil, err
			}
			list[i] = v
		}
		return list, nil
	case yaml.MappingNode:
		return mapping(file, n, depth, left)
	}
	switch n.Tag {
	case "!!null":
		return nil, nil
	case "!!bool":
		var b bool
		if err := n.Decode(&b); err != nil {
			return nil, fault(file, n, "%q is neither true nor false", n.Value)
		}
		return b, nil
	case "!!int", "!!float":
		if !json.Valid([]byte(n.Value)) {
			return nil, fault(file, n, "%s is a number of a form that JSON has not; quote it if it is a text", n.Value)
		}
		return json.Number(n.Value), nil
	case "!!str", "!!timestamp":
		return n.Value, nil
	}
	return nil, fault(file, n, "%s is nothing that JSON has", n.Tag)
}

func mapping(file string, n *yaml.Node, depth int, left *int) (any, error) {
	fields := make(map[string]any, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		switch {
		case key.Tag == "!!merge":
			return nil, fault(file, key, "<< is not supported: write the fields out")
		case key.Kind != yaml.ScalarNode:
			return nil, fault(file, key, "a name is a text")
		}
		if _, twice := fields[key.Value]; twice {
			return nil, fault(file, key, "%s stands more than once", key.Value)
		}
		v, err := convert(file, n.Content[i+1], depth+1, left)
		if err != nil {
			return nil, err
		}
		fields[key.Value] = v
	}
	if len(fields) == 1 {
		if name, ok := fields["from_env"].(string); ok {
			return &Secret{Env: name}, nil
		}
		if name, ok := fields["from_file"].(string); ok {
			if !filepath.IsAbs(name) {
				name = filepath.Join(filepath.Dir(file), name)
			}
			return &Secret{File: name}, nil
		}
	}
	return fields, nil
}

// write makes a YAML document of a resource's fields, those of names first.
func write(kind *Kind, code string, fields map[string]any) ([]byte, error) {
	doc := &yaml.Node{Kind: yaml.MappingNode}
	add := func(name string, v any) error {
		var value yaml.Node
		if err := encode(&value, v); err != nil {
			return err
		}
		doc.Content = append(doc.Content, text(name), &value)
		return nil
	}
	if err := add(memberResource, kind.Name); err != nil {
		return nil, err
	}
	if err := add(memberCode, code); err != nil {
		return nil, err
	}
	for _, name := range sorted(fields) {
		if err := add(name, fields[name]); err != nil {
			return nil, err
		}
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(doc); err != nil {
		return nil, err
	}
	err := e.Close()
	return b.Bytes(), err
}

func text(s string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(s) // quoted where it would be read as something else
	return n
}

// encode makes a node of a JSON value; a number keeps its digits.
func encode(n *yaml.Node, v any) error {
	switch v := v.(type) {
	case json.Number:
		*n = yaml.Node{Kind: yaml.ScalarNode, Value: v.String(), Tag: "!!float"}
		if !strings.ContainsAny(v.String(), ".eE") {
			n.Tag = "!!int"
		}
	case string:
		*n = *text(v)
	case *Secret:
		*n = yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{text("from_env"), text(v.Env)}}
	case []any:
		*n = yaml.Node{Kind: yaml.SequenceNode}
		for _, at := range v {
			var item yaml.Node
			if err := encode(&item, at); err != nil {
				return err
			}
			n.Content = append(n.Content, &item)
		}
		if len(v) == 0 {
			n.Style = yaml.FlowStyle
		}
	case map[string]any:
		*n = yaml.Node{Kind: yaml.MappingNode}
		for _, name := range sorted(v) {
			var value yaml.Node
			if err := encode(&value, v[name]); err != nil {
				return err
			}
			n.Content = append(n.Content, text(name), &value)
		}
		if len(v) == 0 {
			n.Style = yaml.FlowStyle
		}
	default:
		return n.Encode(v)
	}
	return nil
}
