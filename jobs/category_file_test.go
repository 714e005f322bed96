package jobs

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
	"github.com/sluicehub/sluice/pim/postgres/dbtest"
)

func categoryFile(name, body string) CategoryFile {
	return CategoryFile{Name: name, Body: strings.NewReader(body)}
}

// Files of several languages come to one category for each id.
func TestCategoryEdits(t *testing.T) {
	t.Parallel()
	csv, err := CategoryEdits(categoryFile("c.csv", "\uFEFFcode;parent;label-en_US;label-de_DE\nshoes;master;Shoes;\nmaster;;Master;Alles\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []pim.CategoryEdit{
		{Code: "shoes", Parent: "master", Labels: map[pim.Locale]string{"en-US": "Shoes"}, Merge: true},
		{Code: "master", Labels: map[pim.Locale]string{"en-US": "Master", "de-DE": "Alles"}, Merge: true},
	}
	if diff := cmp.Diff(want, csv); diff != "" {
		t.Error(diff)
	}
	en := categoryFile("taxonomy.en-US.txt", "# Google_Product_Taxonomy_Version: 2015-02-19\n1 - Animals\n3 - Animals > Bird & Co - Supplies\n")
	de := categoryFile("x", "1 - Tiere\n\n3 - Tiere > Vogel\n9 - Tiere > Neu\n")
	en.Root, de.Root, de.Locale = "google", "google", "de-DE"
	en.Prefix, de.Prefix = "g", "g"
	google, err := CategoryEdits(en, de)
	if err != nil {
		t.Fatal(err)
	}
	want = []pim.CategoryEdit{
		{Code: "google", Merge: true},
		{Code: "g1", Parent: "google", Labels: map[pim.Locale]string{"en-US": "Animals", "de-DE": "Tiere"}, Merge: true},
		{Code: "g3", Parent: "g1", Labels: map[pim.Locale]string{"en-US": "Bird & Co - Supplies", "de-DE": "Vogel"}, Merge: true},
		{Code: "g9", Parent: "g1", Labels: map[pim.Locale]string{"de-DE": "Neu"}, Merge: true},
	}
	if diff := cmp.Diff(want, google); diff != "" {
		t.Error(diff)
	}
}

func TestCategoryEditsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, body, place, code string }{
		{"c.csv", "", "", "csv"},
		{"c.csv", "parent;label-en_US\nx;y\n", "", "csv.column"},
		{"c.csv", "code;label-nowhere_land\nx;y\n", "", "csv.column"},
		{"c.csv", "code;parent\nx;\ny;x\nx;\n", "/line/4", "category.twice"},
		{"c.csv", "code;label-en_US\nx;\xff\n", "/line/2", "csv.encoding"},
		{"c.txt", "1 - A\n", "", "locale"},
		{"c.de-DE.txt", "1 - A\n2 - B > C\n", "/line/2", "category.parent"},
		{"c.de-DE.txt", "1 - A\n2 - A >  > B\n", "/line/2", "category.line"},
		{"c.de-DE.txt", "1 - A\nB\n", "/line/2", "category.line"},
	} {
		_, err := CategoryEdits(categoryFile(c.name, c.body))
		invalid, ok := errors.AsType[*pim.Invalid](err)
		if !ok || invalid.Problems[0].Pointer != c.place || invalid.Problems[0].Code != c.code {
			t.Errorf("%q: %v", c.body, err)
		}
	}
}

// Google's taxonomy in four languages is one tree, and the same again changes
// nothing.
func TestGoogleTaxonomy(t *testing.T) {
	t.Parallel()
	shared := os.Getenv("SLUICE_SHARED")
	if shared == "" {
		shared = filepath.Join("..", "..", "shared")
	}
	paths, err := filepath.Glob(filepath.Join(shared, "data", "google-taxonomy", "taxonomy-with-ids.*.txt"))
	if err != nil || len(paths) == 0 {
		if os.Getenv("SLUICE_REQUIRE_SHARED") != "" {
			t.Fatal("there is no shared data")
		}
		t.Skip("there is no shared data")
	}
	store, err := postgres.Open(t.Context(), dbtest.New(t), postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	read := func() []pim.CategoryEdit {
		var files []CategoryFile
		for _, p := range paths {
			body, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, CategoryFile{Name: p, Root: "google", Prefix: "google_", Body: strings.NewReader(string(body))})
		}
		edits, err := CategoryEdits(files...)
		if err != nil {
			t.Fatal(err)
		}
		return edits
	}
	first, err := store.PutCategories(t.Context(), read())
	if err != nil {
		t.Fatal(err)
	}
	tree := store.Schema().Tree
	bird := tree.Category("google_3")
	if len(tree.Children("")) != 1 || first.Created != tree.Len() || bird == nil || bird.Labels["en-US"] != "Bird Supplies" || len(bird.Labels) != len(paths) {
		t.Errorf("%+v, %d roots, %+v", first, len(tree.Children("")), bird)
	}
	version := store.Schema().Version
	again, err := store.PutCategories(t.Context(), read())
	if err != nil || again.Created+again.Changed != 0 || store.Schema().Version != version {
		t.Errorf("again: %+v, %v", again, err)
	}
}
