package importing

import (
	"testing"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// numbersAndDates is a house with the families of Akeneo's own import tests.
func numbersAndDates(t *testing.T) *postgres.Store {
	t.Helper()
	store := openStore(t)
	_, err := store.ChangeSchema(t.Context(), postgres.SchemaChange{
		Attributes: []pim.Attribute{{Code: "rate_sale", Type: pim.TypeNumber}, {Code: "number_in_stock", Type: pim.TypeNumber}, {Code: "destocking_date", Type: pim.TypeDate}},
		Families: []pim.Family{
			{Code: "number_family", Attributes: []pim.FamilyAttribute{{Code: "rate_sale"}, {Code: "number_in_stock"}}},
			{Code: "date_family", Attributes: []pim.FamilyAttribute{{Code: "destocking_date"}}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// Numbers and dates of workbooks are taken however they were typed in, and what
// is none is refused with its row and column. The empty sheets beside are nothing.
func TestEdgeWorkbooks(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct {
		family, code     string
		first, second    string // of rangers001 and rangers002; "": refused
		created, refused int64
	}{
		"products_with_floats.xlsx":                  {"number_family", "rate_sale", "0.87", "1.49", 2, 0},
		"products_with_integers.xlsx":                {"number_family", "number_in_stock", "27", "84", 2, 0},
		"products_with_numeric_strings.xlsx":         {"number_family", "rate_sale", "0.87", "1.49", 2, 0},
		"products_with_invalid_numeric_strings.xlsx": {"number_family", "rate_sale", "0.87", "", 1, 1}, // a point in the one: a comma in the other is no decimal's
		"products_with_string_dates.xlsx":            {"date_family", "destocking_date", "2016-06-24", "2016-07-01", 2, 0},
		"products_with_invalid_string_dates.xlsx":    {"date_family", "destocking_date", "", "2016-07-01", 1, 1},
		"products_with_timestamp_dates.xlsx":         {"date_family", "destocking_date", "2016-06-24", "2016-07-01", 2, 0},
	} {
		store := numbersAndDates(t)
		run, found := twice(t, store, name, Options{Family: want.family}, string(shared(t, "akeneo-import-edge-cases", name)))
		if run.State != "finished" || run.Created != want.created || run.Rejected != want.refused {
			t.Errorf("%s: %+v\n%+v", name, run, found)
			continue
		}
		for sku, value := range map[string]string{"rangers001": want.first, "rangers002": want.second} {
			if value != "" {
				if got := textOf(stored(t, store, sku)[want.code]); got != value {
					t.Errorf("%s: %s has %s, want %s", name, sku, got, value)
				}
			}
		}
		if want.refused > 0 && !has(found, "value.type", want.code, "") && !has(found, "value.date", want.code, "") {
			t.Errorf("%s: %+v", name, found)
		}
	}
	store := openStore(t)
	if run, found := twice(t, store, "cr.xlsx", Options{}, string(shared(t, "akeneo-import-edge-cases", "product_with_carriage_return.xlsx"))); run.Created != 1 {
		t.Errorf("%+v %+v", run, found)
	}
	if v := stored(t, store, "SKU-001"); v["description-en_US-tablet"] == nil && v["description_en_us_tablet"] == nil {
		t.Errorf("%v", v)
	}
}

// A file that is not in one encoding is taken but for the rows that cannot be
// read, which are named with their line.
func TestEdgeEncoding(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	file := string(shared(t, "akeneo-import-edge-cases", "product_export_with_non_utf8_characters.csv"))
	run, found := twice(t, store, "export.csv", Options{}, file)
	if run.State != "finished" || run.Rejected+run.Created != *run.RowsTotal || run.Rejected == 0 && !has(found, "file.encoding", "", "windows-1252") || run.Rejected > 0 && !has(found, "text.utf8", "", "") {
		t.Errorf("%+v %v", run, codes(found))
	}
	for _, name := range []string{"invalid_import_header.csv", "with_media.csv"} {
		store := openStore(t)
		if run, found := twice(t, store, name, Options{}, string(shared(t, "akeneo-import-edge-cases", name))); run.State != "finished" || run.Created == 0 || run.Rejected != 0 {
			t.Errorf("%s: %+v %+v", name, run, found)
		}
	}
}

// A row whose kind nobody knows is the shop's to refuse, and a product here; what
// both files have in common is the same.
func TestBagistoOddities(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"products-with-errors.csv", "products-image-urls.csv", "products-directory-images.csv"} {
		store := openStore(t)
		if run, found := twice(t, store, name, Options{Currency: "EUR"}, string(shared(t, "bagisto", name))); run.State != "finished" || run.Created != *run.RowsTotal || run.Rejected != 0 {
			t.Errorf("%s: %+v %+v", name, run, found)
		}
	}
}

// Of a workbook with several sheets the one with the products is read, whatever
// its place, and a GTIN is its digits however the workbook shows it.
func TestEdgeSheets(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct {
		sheet, sku string
		created    int64
	}{
		"testPriceIsNumberAndTaxIsString.xlsx":                    {"Mapping-Master is read", "4260438930102", 12},
		"testCreateBMEcatFromExcelFullDataGTINAlsZahl.xlsx":       {"Artikel is read", "12345678901234", 1},
		"testCreateBMEcatTwoPossibleSheets.xlsx":                  {"Artikel is read", "12345678901234", 1},
		"testCreateBMEcatNoPossibleSheet.xlsx":                    {"TestArtikel is read", "12345678901234", 1},
		"testConvertExcelToXmlWrongSeparatorsInDeliveryTime.xlsx": {"Artikel is read", "12345678901234", 1},
	} {
		store := openStore(t)
		run, found := twice(t, store, name, Options{}, string(shared(t, "bmecat", "kstools-and-edge", name)))
		if run.State != "finished" || run.Created != want.created || !has(found, "file.sheet", "", want.sheet) {
			t.Errorf("%s: %+v\n%+v", name, run, found)
			continue
		}
		var first string
		if err := store.Pool().QueryRow(t.Context(), `select min(sku) from product`).Scan(&first); err != nil || first != want.sku {
			t.Errorf("%s: %q %v, want %s", name, first, err, want.sku)
		}
	}
}
