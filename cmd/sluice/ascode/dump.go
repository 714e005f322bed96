package ascode

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sluicehub/sluice/pim"
)

// Dump writes what there is as documents, one file for each kind, into a folder,
// and gives the files' names. A file that is there is replaced, and removed where
// there is nothing of its kind. Secrets are not told by the API: their places name
// environment variables.
func (h *House) Dump(ctx context.Context, dir string) (files []string, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	used := map[string]bool{}
	for i := range Kinds {
		k := &Kinds[i]
		b, err := h.dump(ctx, k, used)
		if err != nil {
			return files, fmt.Errorf("dump %s: %w", k.Plural, err)
		}
		file := filepath.Join(dir, k.Plural+".yaml")
		if len(b) == 0 { // what an older dump has of it is there no more
			if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return files, err
			}
			continue
		}
		if err := os.WriteFile(file, b, 0o644); err != nil {
			return files, err
		}
		files = append(files, file)
	}
	return files, nil
}

// dump writes a kind's documents. used are the variables that are named already.
func (h *House) dump(ctx context.Context, k *Kind, used map[string]bool) ([]byte, error) {
	codes, err := h.codes(ctx, k)
	if err != nil {
		return nil, err
	}
	slices.Sort(codes)
	var documents [][]byte
	for _, code := range codes {
		r, err := h.find(ctx, k, code)
		if err != nil {
			return nil, err
		}
		if r == nil {
			continue // deleted meanwhile
		}
		fields := map[string]any{}
		for name, v := range r.fields {
			switch v.(type) {
			case bool, json.Number: // what is paused must not come to life, nor what is first go last
				fields[name] = v
			default:
				config, _ := v.(map[string]any)
				if !pim.EmptyJSON(v) || len(config) > 0 && slices.Contains(k.exact, name) {
					fields[name] = v
				}
			}
		}
		for _, name := range r.secrets {
			config, _ := fields["config"].(map[string]any)
			if config == nil {
				config = map[string]any{}
				fields["config"] = config
			}
			config[name] = &Secret{Env: variable(used, k.Name, code, name)}
		}
		b, err := write(k, code, fields)
		if err != nil {
			return nil, err
		}
		documents = append(documents, b)
	}
	return bytes.Join(documents, []byte("---\n")), nil
}

// variable names the environment variable of a secret, by a name that is not used
// yet.
func variable(used map[string]bool, parts ...string) string {
	base := "SLUICE_" + strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, strings.Join(parts, "_"))
	name := base
	for n := 2; used[name]; n++ {
		name = fmt.Sprintf("%s_%d", base, n)
	}
	used[name] = true
	return name
}
