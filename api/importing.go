package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/sluicehub/sluice/jobs/importing"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

const (
	tagImports = "imports"
	typeTSV    = "text/tab-separated-values"
	typeXLSX   = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
)

// Import is one import: an uploaded file and how far it has come.
type Import struct {
	postgres.ImportRun
	Options importing.Options `json:"options"`
}

// createImport is an upload. The options are parameters, or fields of a
// multipart form; the file is the body, or the form's file.
type createImport struct {
	Filename  string `query:"filename" maxLength:"255" doc:"Of a body that is the file itself; its ending says what it is"`
	SKUColumn string `query:"sku_column" maxLength:"1000" doc:"Column with the SKU; without it one that is called so, else one that is called GTIN, EAN or barcode"`
	Map       string `query:"map" maxLength:"100000" doc:"JSON object: sku, or an attribute's code → CEL expression over row"`
	Family    string `query:"family" maxLength:"100" doc:"Family of the products; without it one is made from the file's name and columns"`
	DryRun    bool   `query:"dry_run" doc:"Check and report, store no product"`
	Locale    string `query:"locale" maxLength:"35" doc:"Locale of columns for localizable attributes that name none themselves"`
	Profile   string `query:"profile" maxLength:"100" doc:"Saved options, or a layout such as bmecat, that the others are put over"`

	LocaleColumn string `query:"locale_column" maxLength:"1000" doc:"Column with the locale of each row's texts; rows of the same SKU that follow each other are one product"`
	ParentColumn string `query:"parent_column" maxLength:"1000" doc:"Column with the SKU of a variant's parent; without it one that is called Parent or Parent SKU"`
	Axes         string `query:"axes" maxLength:"5000" doc:"Columns, separated by commas, in which the variants of a parent differ; without it those called colour, size and the like"`
	Currency     string `query:"currency" maxLength:"3" doc:"Currency of prices whose column names none; without it such a column is an attribute"`
	PriceList    string `query:"price_list" maxLength:"100" doc:"Price list that prices go to; without it default"`
	Location     string `query:"location" maxLength:"100" doc:"Location of stock whose column names none; without it default"`
	AssetBase    string `query:"asset_base" maxLength:"2000" doc:"Address that file names of pictures are put behind, e.g. https://img.example/"`
	Layout       string `query:"layout" maxLength:"40" doc:"Whose columns they are: sluice (an export of ours), woocommerce, shopify, vendure, medusa, bmecat, icecat; without it known by the header or root element. plain takes columns as they are."`
	Format       string `query:"format" maxLength:"40" doc:"What the file is: csv, tsv, json, jsonl, xlsx, xml; without it found out"`
	Delimiter    string `query:"delimiter" maxLength:"40" doc:"Of CSV: comma, semicolon, tab, pipe or another character; without it found out"`
	Quote        string `query:"quote" maxLength:"40" doc:"none: a quote in CSV is a character as others are"`
	Encoding     string `query:"encoding" maxLength:"40" doc:"Of texts, e.g. utf-8, utf-16le, windows-1252, iso-8859-7; without it found out among the first three"`
	Sheet        string `query:"sheet" maxLength:"1000" doc:"Of a workbook: name, or number from 1; without it the first"`

	w http.ResponseWriter
	r *http.Request
}

// fields are the options' texts by their names; a form's fields go over them.
func (in *createImport) fields() map[string]string {
	return map[string]string{
		"sku_column": in.SKUColumn, "map": in.Map, "family": in.Family, "locale": in.Locale, "dry_run": strconv.FormatBool(in.DryRun), "profile": in.Profile,
		"locale_column": in.LocaleColumn, "parent_column": in.ParentColumn, "axes": in.Axes, "currency": in.Currency, "price_list": in.PriceList,
		"location": in.Location, "asset_base": in.AssetBase, "layout": in.Layout, "format": in.Format, "delimiter": in.Delimiter, "quote": in.Quote,
		"encoding": in.Encoding, "sheet": in.Sheet,
	}
}

// Resolve takes the request itself from huma: a file is not read into memory.
func (in *createImport) Resolve(ctx huma.Context) []error {
	in.r, in.w = humago.Unwrap(ctx)
	return nil
}

// ImportPath is an import's number in an address.
type ImportPath struct {
	ID int64 `path:"id" minimum:"1"`
}

type importReport struct {
	ImportPath
	Paging
	Accept string `header:"Accept" hidden:"true"`
}

type importAnswer struct {
	Location string `header:"Location"`
	Body     Import
}

func (s *server) registerImports() {
	o := op("create-import", http.MethodPost, "/v1/imports", tagImports, "Import a file of products: CSV, JSON lines, a JSON array, gzipped or not, or a workbook",
		says("The answer comes when the file is stored; the import runs on by itself. Options are query parameters or, in a multipart form, fields beside the file."),
		status(http.StatusAccepted), takesLong)
	handle(s, o, s.createImport)
	file := &huma.Schema{Type: huma.TypeString, Format: "binary"}
	body := &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{}}
	for _, t := range []string{typeCSV, typeTSV, typeJSON, typeNDJSON, typeXLSX, "application/gzip", "application/octet-stream"} {
		body.Content[t] = &huma.MediaType{Schema: file}
	}
	text := &huma.Schema{Type: huma.TypeString}
	form := map[string]*huma.Schema{"file": file}
	for name := range new(createImport).fields() {
		form[name] = text
	}
	form["dry_run"] = &huma.Schema{Type: huma.TypeBoolean}
	body.Content["multipart/form-data"] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeObject, Required: []string{"file"}, Properties: form}}
	// Told only now: huma would read the body itself, into memory.
	s.api.OpenAPI().Paths[o.Path].Post.RequestBody = body

	handle(s, op("list-imports", http.MethodGet, "/v1/imports", tagImports, "List imports, newest first"), s.listImports)
	handle(s, op("get-import", http.MethodGet, "/v1/imports/{id}", tagImports, "Get an import and how far it has come"), s.getImport)
	report := op("get-import-report", http.MethodGet, "/v1/imports/{id}/report", tagImports, "Read what an import rejected or doubts, in the order of its rows",
		says("With `Accept: text/csv` or `application/x-ndjson` the whole report comes at once."), takesLong)
	item := schemaOf[page[postgres.ImportFinding]](s)
	report.Responses = map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{
		typeJSON: {Schema: item}, typeNDJSON: {Schema: text}, typeCSV: {Schema: text},
	}}}
	handle(s, report, s.importReport)
	s.registerImportProfiles()
}

func viewImport(r postgres.ImportRun) (Import, error) {
	v := Import{ImportRun: r}
	// What is stored was checked when it came; an unknown option of a newer
	// version is left out.
	return v, json.Unmarshal(r.Options, &v.Options)
}

func (s *server) createImport(ctx context.Context, in *createImport) (*importAnswer, error) {
	up, err := s.receive(in)
	if err != nil {
		return nil, err
	}
	defer up.discard()
	if up.options, err = up.options.WithProfile(ctx, s.Store); err != nil {
		return nil, up.placed(err)
	}
	options, err := json.Marshal(up.options)
	if err != nil {
		return nil, err
	}
	id, err := s.Store.CreateImport(ctx, up.filename, callOf(ctx).key.Name, options, up.file)
	if err != nil {
		return nil, err
	}
	s.Wake(postgres.Consumer{Kind: postgres.Import, Channel: pim.ChannelID(id)})
	got, err := s.getImport(ctx, &ImportPath{id})
	if err != nil {
		return nil, err
	}
	return &importAnswer{Location: importAddress(id), Body: got.Body}, nil
}

func (s *server) listImports(ctx context.Context, in *sortedPages) (*answer[page[Import]], error) {
	list, next, err := s.Store.ImportRuns(ctx, in.page())
	if err != nil {
		return nil, inCursor(err)
	}
	items := make([]Import, len(list))
	for i, r := range list {
		if items[i], err = viewImport(r); err != nil {
			return nil, err
		}
	}
	return pageOf(items, next), nil
}

func (s *server) getImport(ctx context.Context, in *ImportPath) (*answer[Import], error) {
	r, err := s.Store.ImportRun(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	v, err := viewImport(r)
	return &answer[Import]{v}, err
}
