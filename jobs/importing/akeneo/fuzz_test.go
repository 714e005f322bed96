package akeneo_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"testing/fstest"

	"github.com/sluicehub/sluice/jobs/importing/akeneo"
	"github.com/sluicehub/sluice/pim"
)

// Whatever stands in the files, they are taken or refused with their place, and
// what is written is JSON, an object on each line.
func FuzzFolder(f *testing.F) {
	seed := small()
	f.Add(seed["products.csv"].Data, seed["product_models.csv"].Data, seed["attributes.csv"].Data, seed["family_variants.csv"].Data)
	f.Add([]byte("sku;weight;weight-unit;name-de_DE;text-en_US-print;price-EUR\nA;1e9;GRAM;\";\n"), []byte("code;parent\na;A\nA;b\nb;a\n"), []byte("code;type\n"), []byte("code\n"))
	f.Add([]byte("sku\n"), []byte("code;parent;family_variant\na;b;x\nb;a;x\n"), seed["attributes.csv"].Data, []byte("code;family;variant-axes_1\nx;shirts;gone\n"))
	f.Fuzz(func(t *testing.T, products, models, attributes, variants []byte) {
		files := small()
		for name, data := range map[string][]byte{"products.csv": products, "product_models.csv": models, "attributes.csv": attributes, "family_variants.csv": variants} {
			files[name] = &fstest.MapFile{Data: data}
		}
		folder, err := akeneo.Open(files)
		if _, told := errors.AsType[*akeneo.Fault](err); err != nil && !told {
			t.Fatal(err)
		}
		if err != nil {
			return
		}
		folder.Change(&pim.Schema{})
		folder.Categories(nil)
		var b bytes.Buffer
		if err := folder.Write(&b); err != nil {
			if _, told := errors.AsType[*akeneo.Fault](err); !told {
				t.Fatal(err)
			}
			return
		}
		for line := range bytes.Lines(b.Bytes()) {
			if !json.Valid(line) || line[0] != '{' {
				t.Fatalf("no object: %s", line)
			}
		}
		for _, x := range folder.Report() {
			if x.Code == "" || x.Text == "" || x.Severity == "" {
				t.Fatalf("a finding says nothing: %+v", x)
			}
		}
	})
}
