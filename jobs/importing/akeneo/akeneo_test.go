package akeneo_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicehub/sluice/jobs/importing"
	"github.com/sluicehub/sluice/jobs/importing/akeneo"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
	"github.com/sluicehub/sluice/pim/postgres/dbtest"
)

// small is a folder with one of everything.
func small() fstest.MapFS {
	files := fstest.MapFS{}
	for name, lines := range map[string][]string{
		"channels.csv": {"code;label-en_US;locales;currencies;tree", "print;Print;de_DE,en_US;EUR;master", "shop;Shop;en_US;EUR;master"},
		"attributes.csv": {
			"code;label-en_US;default_metric_unit;group;localizable;max_characters;scopable;type;wysiwyg_enabled",
			"sku;SKU;;erp;0;;0;pim_catalog_identifier;", "name;Name;;m;1;;0;pim_catalog_text;", "text;Text;;m;1;;1;pim_catalog_textarea;1",
			"note;Note;;m;0;;0;pim_catalog_textarea;0", "price;Price;;erp;0;;0;pim_catalog_price_collection;", "weight;Weight;KILOGRAM;t;0;;0;pim_catalog_metric;",
			"force;Force;NEWTON_SQUARED;t;0;;0;pim_catalog_metric;", "count;Count;;t;0;;0;pim_catalog_number;", "new;New;;t;0;;0;pim_catalog_boolean;",
			"since;Since;;t;0;;0;pim_catalog_date;", "color;Color;;t;0;;0;pim_catalog_simpleselect;", "size;Size;;t;0;;0;pim_catalog_simpleselect;",
			"uses;Uses;;t;0;;0;pim_catalog_multiselect;", "image;Image;;m;0;;0;pim_catalog_image;", "ean;EAN;;erp;0;;0;pim_catalog_text;",
		},
		"attribute_groups.csv":  {"code;sort_order;label-en_US", "erp;1;ERP", "m;2;Marketing", "unused;3;", "two words;4;"},
		"attribute_options.csv": {"code;label-en_US;attribute", "red;Red;color", "blue;Blue;color", "s;S;size", "m;M;size", "work;;uses", "sport;;uses"},
		"families.csv": {
			"code;label-en_US;attributes;requirements-print;requirements-shop",
			"shirts;Shirts;sku,name,text,price,weight,force,color,size,image,ean;name,text;name",
		},
		"family_variants.csv":   {"code;family;label-en_US;variant-axes_1;variant-axes_2;variant-attributes_1;variant-attributes_2", "by_color_size;shirts;By color;color;size;color,note;sku,size,ean"},
		"categories.csv":        {"code;parent;label-en_US", "tops;master;Tops", "master;;Master", "odd;nowhere;Odd"},
		"association_types.csv": {"code;label-en_US", "X_SELL;Cross sell"},
		"product_models.csv": {
			"code;family_variant;parent;categories;color;name-en_US;text-en_US-print;price-EUR;weight;weight-unit;image",
			"Shirt;by_color_size;;tops;;A shirt;<b>Soft</b>\\nand warm;20;200;GRAM;files/shirt.jpg",
			"shirt-red;by_color_size;Shirt;master;red;A red shirt;;;;;files/gone.jpg",
		},
		"products.csv": {
			"sku;categories;enabled;family;parent;groups;color;count;ean;force;force-unit;image;name-de_DE;name-en_US;new;note;price-EUR;since;size;uses;X_SELL-products;unheard",
			"red-s;tops;1;;SHIRT-RED;;red;;4006381333931;;;;Rotes Hemd;A red shirt;;;;;s;;;",
			"red-m;tops;0;;shirt-red;;;3;4006381333932;;;;;;1;;25.50;;M;;red-s;",
			"alone;;1;shirts;;promo;BLUE;1.5;;7;NEWTON_SQUARED;/files/shirt.jpg;;Alone;0;two\\nlines;;2026-03-01;;sport,Work;red-s,red-m;x",
			"orphan;;1;;;;;;;;;;;Orphan;;;;;;;;",
			"lost;;1;shirts;nobody;;;;;;;;;Lost;;;;;;;;",
		},
		"files/shirt.jpg": {"a picture"},
	} {
		files[name] = &fstest.MapFile{Data: []byte(strings.Join(lines, "\n") + "\n")}
	}
	return files
}

func open(t *testing.T, fsys fs.FS) *akeneo.Folder {
	t.Helper()
	f, err := akeneo.Open(fsys)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A folder becomes products with nothing lost, and the report says what people
// should know.
func TestWrite(t *testing.T) {
	t.Parallel()
	f := open(t, small())
	if got := f.Media(); !cmp.Equal(got, []string{"files/shirt.jpg"}) {
		t.Errorf("media: %v", got)
	}
	f.SetAsset("files/shirt.jpg", "sha-1")
	var b bytes.Buffer
	if err := f.Write(&b); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`{"sku":"Shirt","parent":null,"family":"shirts","family_variant":"by_color_size","enabled":null,"categories":["tops"],"image":"sha-1","name":{"en-US":"A shirt"},"text":{"print":{"en-US":"<b>Soft</b><br>and warm"}},"weight":{"amount":200,"unit":"g"}}`,
		`{"sku":"shirt-red","parent":"Shirt","family":"shirts","family_variant":"by_color_size","enabled":null,"categories":["master"],"color":"red","name":{"en-US":"A red shirt"}}`,
		`{"sku":"red-s","parent":"shirt-red","family":"shirts","family_variant":null,"enabled":true,"categories":["tops","master"],"prices":[{"amount":"20","currency":"EUR"}],"ean":"4006381333931","name":{"de-DE":"Rotes Hemd"},"size":"s"}`,
		`{"sku":"red-m","parent":"shirt-red","family":"shirts","family_variant":null,"enabled":false,"categories":["tops","master"],"associations":{"X_SELL":["red-s"]},"prices":[{"amount":"25.50","currency":"EUR"}],"count":3,"ean":"4006381333932","new":true,"size":"m"}`,
		`{"sku":"alone","parent":null,"family":"shirts","family_variant":null,"enabled":true,"categories":[],"associations":{"X_SELL":["red-s","red-m"]},"color":"blue","count":1.5,"force":"7 NEWTON_SQUARED","image":"sha-1","name":{"en-US":"Alone"},"new":false,"note":"two\nlines","since":"2026-03-01","uses":["sport","work"]}`,
		`{"sku":"orphan","parent":null,"family":"akeneo_other","family_variant":null,"enabled":true,"categories":[],"name":{"en-US":"Orphan"}}`,
		`{"sku":"lost","parent":null,"family":"shirts","family_variant":null,"enabled":true,"categories":[],"name":{"en-US":"Lost"}}`,
	}
	if diff := cmp.Diff(want, strings.Split(strings.TrimSpace(b.String()), "\n")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	var got []string
	for _, x := range f.Report() {
		got = append(got, strings.TrimSpace(x.Code+" "+x.SKU+" "+x.Column))
	}
	told := []string{
		"attribute_group.code  code", "unit.unknown  default_metric_unit", "media.missing shirt-red image", "family.missing orphan family",
		"parent.case red-s parent", "parent.unknown lost parent", "akeneo.channel  code", "akeneo.channel  code", "column.unknown  unheard", "akeneo.group alone groups", "akeneo.newline Shirt text-en_US-print",
	}
	if diff := cmp.Diff(told, got); diff != "" {
		t.Errorf("the report (-want +got)\n%s", diff)
	}
	if c := f.Counts; c.Products != 5 || c.ProductModels != 2 || c.Folded != 0 || c.Options != 6 || c.Media != 2 || c.MediaMissing != 1 || c.Categories != 3 || c.Locales != 2 {
		t.Errorf("%+v", c)
	}
}

// importInto imports a folder as the command does.
func importInto(t *testing.T, store *postgres.Store, fsys fs.FS) (*akeneo.Folder, postgres.ImportRun, []postgres.ImportFinding) {
	t.Helper()
	f := open(t, fsys)
	schema, err := store.RefreshSchema(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range f.AssociationTypes(schema) {
		if _, _, err := store.PutAssociationType(t.Context(), kind, 0); err != nil {
			t.Fatal(err)
		}
	}
	if change, lacks := f.Change(schema); lacks {
		if _, err := store.ChangeSchema(t.Context(), change); err != nil {
			t.Fatal(err)
		}
	}
	if edits := f.Categories(store.Schema().Tree); len(edits) > 0 {
		if _, err := store.PutCategories(t.Context(), edits); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range f.Channels() {
		_, err := store.CreateChannel(t.Context(), postgres.Channel{
			Code: c.Code, Connector: pim.NoConnector, Locale: c.Locale, Currency: c.Currency, PriceList: "default", CategoryRoot: c.CategoryRoot,
			Config: []byte(`{}`), Mapping: []byte(`{}`), Enabled: true,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range f.Media() {
		f.SetAsset(p, "asset-"+strings.NewReplacer("/", "_", " ", "_").Replace(p))
	}
	var b bytes.Buffer
	if err := f.Write(&b); err != nil {
		t.Fatal(err)
	}
	id, err := store.CreateImport(t.Context(), "folder", "test", json.RawMessage(`{}`), &b)
	if err != nil {
		t.Fatal(err)
	}
	l, err := store.Take(t.Context(), postgres.Consumer{Kind: postgres.Import, Channel: pim.ChannelID(id)}, 0, "test", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := importing.New(store, slog.New(slog.DiscardHandler), nil).Run(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	run, err := store.ImportRun(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	found, _, err := store.ImportReport(t.Context(), id, postgres.Page{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return f, run, found
}

func house(t *testing.T) *postgres.Store {
	t.Helper()
	store, err := postgres.Open(t.Context(), dbtest.New(t), postgres.Options{EditConns: 4, WorkConns: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	return store
}

// The same folder again changes nothing, the schema included.
func TestImportTwice(t *testing.T) {
	t.Parallel()
	store := house(t)
	_, run, found := importInto(t, store, small())
	if run.State != "finished" || run.Created != 7 || run.Rejected != 0 {
		t.Fatalf("%+v\n%+v", run, found)
	}
	p, err := store.Product(t.Context(), "red-m")
	if kind := store.Schema().Associations["X_SELL"]; kind == nil || kind.Labels["en-US"] != "Cross sell" || err != nil || !p.Associations.Has("X_SELL", "red-s") {
		t.Errorf("associations: %+v, %+v", kind, p)
	}
	if err != nil || p.Parent != "shirt-red" || p.Root != "Shirt" || p.Prices[0].Amount.String() != "25.50" || !strings.Contains(string(p.Inherited.Root), "Soft") {
		t.Errorf("%+v %v", p, err)
	}
	schema := store.Schema()
	if g := schema.Groups["m"]; len(schema.Groups) != 4 || g == nil || g.Position != 2 || g.Labels["en-US"] != "Marketing" || schema.Attributes["name"].Group != "m" {
		t.Errorf("attribute groups %+v", schema.Groups)
	}
	if c := schema.Tree.Category("tops"); schema.Tree.Len() != 3 || c == nil || c.Parent != "master" || c.Labels["en-US"] != "Tops" || schema.Tree.Category("odd").Parent != "" {
		t.Errorf("the tree: %+v", c)
	}
	f, run, found := importInto(t, store, small())
	if run.Unchanged != 7 || store.Schema().Version != schema.Version || len(f.Channels()) > 0 || f.Counts.Created != (akeneo.Created{}) {
		t.Errorf("again: %+v\n%+v\nversion %d, then %d, %v %+v", run, found, schema.Version, store.Schema().Version, f.Channels(), f.Counts.Created)
	}
	if slices.ContainsFunc(f.Report(), func(x akeneo.Finding) bool { return x.Code == "akeneo.channel" }) {
		t.Error("channels that are there are told as made")
	}
	// What somebody has changed meanwhile stays.
	fam := *schema.Families["shirts"]
	fam.Attributes = append(fam.Attributes[:0:0], fam.Attributes...)
	for i := range fam.Attributes {
		fam.Attributes[i].RequiredFor = nil
	}
	if _, err := store.ChangeSchema(t.Context(), postgres.SchemaChange{Families: []pim.Family{fam}}); err != nil {
		t.Fatal(err)
	}
	if change, lacks := open(t, small()).Change(store.Schema()); lacks {
		t.Errorf("it would undo what was set: %+v", change)
	}
}

// A store that has a family variant without levels, as earlier releases made them,
// keeps it: what stands between is folded into the variants.
func TestFoldedModels(t *testing.T) {
	t.Parallel()
	store := house(t)
	change, _ := open(t, small()).Change(store.Schema())
	for i := range change.Families {
		for j, v := range change.Families[i].Variants {
			change.Families[i].Variants[j] = pim.FamilyVariant{Code: v.Code, Axes: v.AllAxes()}
		}
	}
	if _, err := store.ChangeSchema(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	for round, want := range []int64{6, 0} {
		f, run, found := importInto(t, store, small())
		if run.Created != want || run.Rejected != 0 || f.Counts.Folded != 1 || !slices.ContainsFunc(f.Report(), func(x akeneo.Finding) bool { return x.Code == "akeneo.folded" && x.SKU == "shirt-red" }) {
			t.Errorf("round %d: %+v %+v\n%+v", round, f.Counts, run, found)
		}
	}
	p, err := store.Product(t.Context(), "red-m")
	if err != nil || p.Parent != "Shirt" || !strings.Contains(string(p.Values), `"color": "red"`) {
		t.Errorf("%+v %v", p, err)
	}
}

// What is no such folder is told with its place.
func TestFaults(t *testing.T) {
	t.Parallel()
	for want, spoil := range map[string]func(fstest.MapFS){
		"no attributes.csv":                    func(f fstest.MapFS) { delete(f, "attributes.csv") },
		"products.csv, line 2: column":         func(f fstest.MapFS) { f["products.csv"].Data = []byte("sku;family\nA;\xff\n") },
		"products.csv, line 3: the record has": func(f fstest.MapFS) { f["products.csv"].Data = []byte("sku;family\nA;shirts\nB\n") },
		"attributes.csv, behind line 2: a record is larger": func(f fstest.MapFS) {
			f["attributes.csv"].Data = []byte("code;type\nsku;pim_catalog_identifier\nname;\"never closed\n" + strings.Repeat("x;y\n", 5<<20))
		},
		"products.csv, line 1: the header is not in UTF-8": func(f fstest.MapFS) { f["products.csv"].Data = []byte("sku;f\xe9\n") },
		`products.csv has no column "sku"`:                 func(f fstest.MapFS) { f["products.csv"].Data = []byte("code;family\nA;shirts\n") },
		"two columns \"sku\"":                              func(f fstest.MapFS) { f["products.csv"].Data = []byte("sku;sku\n") },
	} {
		fsys := small()
		spoil(fsys)
		_, err := akeneo.Open(fsys)
		if _, ok := errors.AsType[*akeneo.Fault](err); !ok || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// A real export: Akeneo's own demo catalogue.
func TestIcecatDemo(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("SLUICE_SHARED")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "..", "shared")
	}
	dir = filepath.Join(dir, "data", "akeneo-icecat")
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("SLUICE_REQUIRE_SHARED") == "1" {
			t.Fatalf("the shared test data is required: %v", err)
		}
		t.Skipf("the shared test data is not there (SLUICE_SHARED): %v", err)
	}
	store := house(t)
	f, run, found := importInto(t, store, os.DirFS(dir))
	c := f.Counts
	if c.Products != 1239 || c.ProductModels != 81 || c.Folded != 0 || c.Families != 17 || c.Attributes != 77 || c.Options != 121 || c.Categories != 168 || c.Channels != 3 || c.MediaMissing != 15 {
		t.Errorf("%+v", c)
	}
	kinds := map[string]int{}
	for _, x := range f.Report() {
		kinds[x.Code]++
	}
	if kinds["parent.case"] != 18 || kinds["media.missing"] != 15 || kinds["akeneo.folded"] != 0 || kinds["family.missing"] != 1 {
		t.Errorf("the report: %v", kinds)
	}
	if tree := store.Schema().Tree; tree.Len() != 168 || len(tree.Children("")) != 4 {
		t.Errorf("%d categories below %d roots", tree.Len(), len(tree.Children("")))
	}
	if run.State != "finished" || run.Created != 1239+81 || run.Rejected != 0 {
		t.Errorf("%+v\n%+v", run, found)
	}
	schema := store.Schema()
	if a := schema.Attributes["description"]; a == nil || !a.Scopable || !a.Localizable || schema.Attributes["description_print"] != nil || len(schema.Channels) != 3 || kinds["akeneo.channel"] != 3 {
		t.Errorf("description: %+v, channels %v", a, schema.Channels)
	}
	var depth [3]int
	for page := (postgres.Page{Limit: 1000}); ; {
		list, next, err := store.Products(t.Context(), postgres.ProductFilter{}, page)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range list {
			switch {
			case p.Root != "":
				depth[2]++
			case p.FamilyVariant != "" && p.Parent != "":
				depth[1]++
			case p.FamilyVariant != "":
				depth[0]++
			}
		}
		if page.After = next; next == "" {
			break
		}
	}
	if depth != [3]int{50, 31, 101} {
		t.Errorf("root models, sub-models and variants of these: %v", depth)
	}
	gtins := 0
	for _, x := range found {
		if strings.HasPrefix(x.Code, "gtin.") {
			gtins++
		}
	}
	if gtins != 105 {
		t.Errorf("%d warnings about GTINs", gtins)
	}
	if f, run, found = importInto(t, store, os.DirFS(dir)); run.Unchanged != 1239+81 || f.Counts.Created != (akeneo.Created{}) || store.Schema().Version != schema.Version {
		t.Errorf("again: %+v %+v\n%+v", run, f.Counts.Created, found)
	}
}

// The SKU is in the column of the attribute that is the identifier, whatever it
// is called.
func TestIdentifier(t *testing.T) {
	t.Parallel()
	fsys := fstest.MapFS{}
	for name, content := range map[string]string{
		"attributes.csv": "code;type;localizable;scopable\nref;pim_catalog_identifier;0;0\nname;pim_catalog_text;0;0\n",
		"families.csv":   "code;attributes\ncups;ref,name\n",
		"products.csv":   "ref;family;enabled;name\nCUP;cups;1;Cup\n",
	} {
		fsys[name] = &fstest.MapFile{Data: []byte(content)}
	}
	store := house(t)
	_, run, found := importInto(t, store, fsys)
	if p, err := store.Product(t.Context(), "CUP"); err != nil || run.Created != 1 || strings.Contains(string(p.Values), "ref") {
		t.Errorf("%+v %v %+v\n%+v", p, err, run, found)
	}
}

// What stands in a file twice is taken once, and told.
func TestTwiceInAFile(t *testing.T) {
	t.Parallel()
	fsys := small()
	for _, name := range []string{"attributes.csv", "families.csv"} {
		lines := strings.SplitN(string(fsys[name].Data), "\n", 2)
		fsys[name].Data = []byte(lines[0] + "\n" + lines[1] + lines[1])
	}
	store := house(t)
	f, run, found := importInto(t, store, fsys)
	kinds := map[string]int{}
	for _, x := range f.Report() {
		kinds[x.Code]++
	}
	if run.State != "finished" || run.Rejected != 0 || kinds["attribute.twice"] != 15 || kinds["family.twice"] != 1 {
		t.Errorf("%+v %v\n%+v", run, kinds, found)
	}
}

// Models that are below each other in a circle end as one with others below it.
func TestCircleOfModels(t *testing.T) {
	t.Parallel()
	fsys := small()
	fsys["product_models.csv"].Data = []byte("code;family_variant;parent\na;by_color_size;b\nb;by_color_size;c\nc;by_color_size;a\n")
	fsys["products.csv"].Data = []byte("sku;family;parent\nX;;b\n")
	f := open(t, fsys)
	var b bytes.Buffer
	if err := f.Write(&b); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Split(strings.TrimSpace(b.String()), "\n"); len(lines) != 3 || !strings.HasPrefix(lines[0], `{"sku":"a","parent":null`) ||
		!strings.HasPrefix(lines[1], `{"sku":"c","parent":"a"`) || !strings.HasPrefix(lines[2], `{"sku":"X","parent":"c"`) || f.Counts.Folded != 1 {
		t.Errorf("%d folded\n%s", f.Counts.Folded, b.String())
	}
}
