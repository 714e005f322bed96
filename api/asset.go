package api

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/media"
	"github.com/sluicehub/sluice/pim/postgres"
)

const tagMedia = "media"

// Asset is an original file, or the promise of one that is still to be fetched.
type Asset struct {
	Code       string                `json:"code"`
	State      string                `json:"state" enum:"stored,waiting,failed" doc:"waiting: it is still to be fetched; failed: error says why there is no file, or why nothing can be made of it"`
	Error      string                `json:"error,omitempty"`
	Source     string                `json:"source,omitempty" doc:"The URL that it is fetched from"`
	Filename   string                `json:"filename"`
	Format     string                `json:"format,omitempty" doc:"What the file is, by its first bytes: jpeg, png, gif, webp, pdf and others"`
	MediaType  string                `json:"media_type,omitempty"`
	Size       int64                 `json:"size" doc:"Bytes"`
	Width      int                   `json:"width" doc:"Pixels, as the image is looked at; 0: it is no image that can be read"`
	Height     int                   `json:"height"`
	Alpha      bool                  `json:"alpha" doc:"Pixels may be transparent"`
	Hash       string                `json:"hash,omitempty" doc:"SHA-256 of the file"`
	URL        string                `json:"url,omitempty" doc:"Where anybody who knows it can fetch the file, without a key and without an end: what channels are told"`
	Focal      *media.Point          `json:"focal,omitempty" doc:"What crops keep; absent is the middle"`
	Labels     map[pim.Locale]string `json:"labels" doc:"Alternative texts by locale"`
	Products   int64                 `json:"products" doc:"Products that name it"`
	Renditions []AssetRendition      `json:"renditions,omitempty" doc:"What is made of it for channels; not in lists"`
	Revision   int64                 `json:"revision" doc:"What the ETag names"`
	CreatedAt  time.Time             `json:"created_at"`
	UpdatedAt  time.Time             `json:"updated_at"`
	UnusedAt   *time.Time            `json:"unused_since,omitempty" doc:"Since when no product names it"`
}

// AssetRendition is what is made of an asset by one definition.
type AssetRendition struct {
	Definition string      `json:"definition"`
	State      string      `json:"state" enum:"made,waiting,failed"`
	Used       bool        `json:"used" doc:"A channel shows it"`
	Size       int64       `json:"size" doc:"Bytes"`
	Width      int         `json:"width" doc:"Pixels"`
	Height     int         `json:"height"`
	MediaType  string      `json:"media_type,omitempty"`
	URL        string      `json:"url,omitempty"`
	Error      string      `json:"error,omitempty" doc:"Why there is none"`
	Issues     []pim.Issue `json:"issues,omitempty" doc:"What the definition requires and the image does not meet; with an error among them no channel is shown it"`
	MadeAt     *time.Time  `json:"made_at,omitempty"`
}

// AssetEdit is what can be changed of an asset beside its file.
type AssetEdit struct {
	Filename string                `json:"filename,omitempty"`
	Focal    *media.Point          `json:"focal,omitempty" doc:"null is the middle"`
	Labels   map[pim.Locale]string `json:"labels,omitempty" doc:"Alternative texts by locale; null takes one away"`
}

// AssetURL is an asset that is to be fetched.
type AssetURL struct {
	URL  string `json:"url" format:"uri" doc:"http or https"`
	Code string `json:"code,omitempty" doc:"Left out: made of the URL, the same for the same URL"`
}

// StoredAsset is what became of a file that was sent, or of a URL.
type StoredAsset struct {
	Created bool  `json:"created"`
	Changed bool  `json:"changed" doc:"false: it stood so already"`
	Asset   Asset `json:"asset"`
}

type assetAnswer struct {
	ETag string `header:"ETag" doc:"The asset's revision"`
	Body Asset
}

type storedAnswer struct {
	Status   int
	ETag     string `header:"ETag" doc:"The asset's revision"`
	Location string `header:"Location"`
	Body     StoredAsset
}

type listAssets struct {
	Paging
	Sorting
	State string `query:"state" enum:"stored,waiting,failed,unused"`
	Q     string `query:"q" maxLength:"200" doc:"Part of the code, the URL or the file's name, in either case"`
	SKU   string `query:"sku" maxLength:"128" doc:"Only what this product names"`
}

type patchAsset struct {
	CodePath
	Preconditions
	RawInput
}

// AssetLink asks for an address of a file that ends.
type AssetLink struct {
	Hours     float64 `json:"hours" minimum:"0.01" doc:"How long it is valid, up to 8760"`
	Rendition string  `json:"rendition,omitempty" doc:"Code of a definition; left out: the original"`
}

// LinkAnswer is an address that ends.
type LinkAnswer struct {
	URL       string    `json:"url"`
	MediaType string    `json:"media_type"`
	ExpiresAt time.Time `json:"expires_at"`
}

type linkAsset struct {
	CodePath
	RawInput
}

// Bounds of what people say of an asset.
const (
	maxLabel    = 1000 // characters
	maxLabels   = 200
	maxAssetURL = 2000
	maxHours    = 8760
)

func (s *server) registerAssets() {
	s.registerAssetUploads()
	handle(s, op("list-assets", http.MethodGet, "/v1/assets", tagMedia, "List assets by code"), s.listAssets)
	handle(s, op("get-asset", http.MethodGet, "/v1/assets/{code}", tagMedia, "Get an asset, with what is made of it",
		says("The ETag names what people have said of it; renditions come and go without it, so there is no 304.")), s.getAsset)
	patch := schemaOf[AssetEdit](s)
	handle(s, op("patch-asset", http.MethodPatch, "/v1/assets/{code}", tagMedia, "Change an asset's labels, focal point or file name (JSON merge patch)",
		says("Another focal point has the renditions made anew that crop to it."),
		takes(maxEdit, map[string]*huma.Schema{typeMerge: patch, typeJSON: patch})), s.patchAsset)
	deletes(s, op("delete-asset", http.MethodDelete, "/v1/assets/{code}", tagMedia, "Delete an asset that no product names"),
		func(ctx context.Context, code string, rev int64) error {
			if _, err := s.media(); err != nil {
				return err
			}
			return s.Store.DeleteAsset(ctx, code, rev)
		})
	handle(s, op("fetch-asset", http.MethodPost, "/v1/assets/{code}/fetch", tagMedia, "Fetch an asset's URL again", status(http.StatusAccepted)), s.fetchAsset)
	handle(s, op("link-asset", http.MethodPost, "/v1/assets/{code}/link", tagMedia, "Make an address at which a file can be fetched without a key, for a while",
		takesJSON[AssetLink](s)), s.linkAsset)
}

// media is what keeps the files; a problem where there is none.
func (s *server) media() (*jobs.Media, error) {
	if s.Media == nil {
		return nil, problem(http.StatusServiceUnavailable, "no-media", "this process keeps no files: it was started without a place for them")
	}
	return s.Media, nil
}

// ViewAsset is an asset as the API shows it: uses is how many products name it,
// m makes the URLs (nil: there are none).
func ViewAsset(m *jobs.Media, a *postgres.Asset, uses int64, renditions []postgres.AssetRendition) Asset {
	v := Asset{
		Code: a.Code, State: "stored", Error: a.Error, Source: a.Source, Filename: a.Filename, Format: a.Format, MediaType: a.MediaType,
		Size: a.Size, Width: a.Width, Height: a.Height, Alpha: a.Alpha, Hash: hex.EncodeToString(a.Hash), Focal: jobs.FocalPoint(a.Focal),
		Labels: a.Labels, Products: uses, Revision: a.Rev, CreatedAt: a.CreatedAt, UpdatedAt: a.UpdatedAt, UnusedAt: a.UnusedAt,
	}
	switch {
	case a.Error != "":
		v.State = "failed"
	case a.Hash == nil:
		v.State = "waiting"
	}
	if a.Hash != nil && m != nil {
		v.URL = m.URL(a.Hash, fileOf(a), a.MediaType, time.Time{})
	}
	for i := range renditions {
		v.Renditions = append(v.Renditions, viewRendition(m, a, &renditions[i]))
	}
	return v
}

// fileOf is what an asset's files are called.
func fileOf(a *postgres.Asset) string {
	if a.Filename != "" {
		return a.Filename
	}
	return a.Code
}

func viewRendition(m *jobs.Media, a *postgres.Asset, r *postgres.AssetRendition) AssetRendition {
	v := AssetRendition{
		Definition: r.Definition, State: "waiting", Used: r.Used, Size: r.Size, Width: r.Width, Height: r.Height, MediaType: r.MediaType,
		Error: r.Error, Issues: r.Issues, MadeAt: r.MadeAt,
	}
	switch {
	case r.Error != "":
		v.State = "failed"
	case r.Hash != nil:
		v.State = "made"
		if m != nil {
			v.URL = m.URL(r.Hash, fileOf(a), r.MediaType, time.Time{})
		}
	}
	return v
}

func (s *server) listAssets(ctx context.Context, in *listAssets) (*answer[page[Asset]], error) {
	m, err := s.media()
	if err != nil {
		return nil, err
	}
	list, next, err := s.Store.Assets(ctx, postgres.AssetFilter{State: in.State, Query: in.Q, SKU: pim.SKU(in.SKU)}, in.page())
	if err != nil {
		return nil, inCursor(err)
	}
	ids := make([]int64, len(list))
	for i := range list {
		ids[i] = list[i].ID
	}
	uses, err := s.Store.AssetUses(ctx, ids)
	if err != nil {
		return nil, err
	}
	items := make([]Asset, len(list))
	for i := range list {
		items[i] = ViewAsset(m, &list[i], uses[list[i].ID], nil)
	}
	return pageOf(items, next), nil
}

// showAsset reads an asset with all that there is to say of it.
func (s *server) showAsset(ctx context.Context, m *jobs.Media, code string) (Asset, error) {
	return ShowAsset(ctx, s.Store, m, code)
}

// ShowAsset reads an asset with all that there is to say of it; m makes the URLs
// (nil: there are none). postgres.ErrNotFound.
func ShowAsset(ctx context.Context, store *postgres.Store, m *jobs.Media, code string) (Asset, error) {
	a, err := store.Asset(ctx, code)
	if err != nil {
		return Asset{}, err
	}
	uses, err := store.AssetUses(ctx, []int64{a.ID})
	if err != nil {
		return Asset{}, err
	}
	renditions, err := store.AssetRenditions(ctx, a.ID)
	if err != nil {
		return Asset{}, err
	}
	return ViewAsset(m, &a, uses[a.ID], renditions), nil
}

func (s *server) getAsset(ctx context.Context, in *CodePath) (*assetAnswer, error) {
	m, err := s.media()
	if err != nil {
		return nil, err
	}
	v, err := s.showAsset(ctx, m, in.Code)
	if err != nil {
		return nil, err
	}
	return &assetAnswer{ETag: etag(v.Revision), Body: v}, nil
}

func (s *server) patchAsset(ctx context.Context, in *patchAsset) (*assetAnswer, error) {
	m, err := s.media()
	if err != nil {
		return nil, err
	}
	patch, err := pim.DecodeJSON(in.RawBody, 0)
	if err != nil {
		return nil, err
	}
	want, p := parseIfMatch(in.IfMatch)
	if p != nil {
		return nil, p
	}
	for race := 0; ; race++ {
		a, err := s.Store.Asset(ctx, in.Code)
		if err != nil {
			return nil, err
		}
		if want.given && !want.any && !slices.Contains(want.revisions, a.Rev) {
			return nil, stale(a.Rev)
		}
		known := a.Labels
		if err := mergeAsset(&a, patch); err != nil {
			return nil, err
		}
		if err := s.checkLabels(ctx, a.Labels, known); err != nil {
			return nil, err
		}
		_, changed, err := s.Store.PutAsset(ctx, a, a.Rev)
		if errors.Is(err, postgres.ErrStale) && race < maxRaces {
			continue
		}
		if err != nil {
			return nil, err
		}
		if changed {
			s.wakeMedia()
		}
		v, err := s.showAsset(ctx, m, in.Code)
		if err != nil {
			return nil, err
		}
		return &assetAnswer{ETag: etag(v.Revision), Body: v}, nil
	}
}

// mergeAsset applies a patch to an asset. What is wrong has its place in the patch.
func mergeAsset(a *postgres.Asset, patch any) error {
	raw, err := json.Marshal(AssetEdit{Filename: a.Filename, Focal: jobs.FocalPoint(a.Focal), Labels: a.Labels})
	if err != nil {
		return err
	}
	now, err := pim.DecodeJSON(raw, 0)
	if err != nil {
		return err
	}
	e, err := bind[AssetEdit](pim.MergePatch(now, patch), nil)
	if err != nil {
		return err
	}
	if e.Focal != nil {
		if err := checkFocal(*e.Focal); err != nil {
			return &pim.Invalid{Problems: []pim.Problem{{Pointer: "/focal", Code: "focal", Detail: err.Error()}}}
		}
	}
	if e.Filename != "" {
		e.Filename = fileName(e.Filename, "")
	}
	a.Filename, a.Focal, a.Labels = e.Filename, focalText(e.Focal), e.Labels
	return nil
}

// focalText is a focal point as it is stored, and as jobs.FocalPoint reads it.
func focalText(p *media.Point) string {
	if p == nil {
		return ""
	}
	return strconv.FormatFloat(p.X, 'f', 3, 64) + "," + strconv.FormatFloat(p.Y, 'f', 3, 64)
}

// checkFocal says what is wrong with a focal point.
func checkFocal(p media.Point) error {
	if !(p.X >= 0 && p.X <= 1 && p.Y >= 0 && p.Y <= 1) { // NaN too
		return errors.New("a focal point is two numbers from 0 to 1, counted from the upper left corner")
	}
	return nil
}

// checkLabels tells what is wrong with labels that were not there before.
func (s *server) checkLabels(ctx context.Context, labels, known map[pim.Locale]string) error {
	var problems []pim.Problem
	if len(labels) > maxLabels {
		problems = append(problems, pim.Problem{Pointer: "/labels", Code: "labels.many", Detail: fmt.Sprintf("an asset has at most %d labels", maxLabels)})
	}
	var schema *pim.Schema
	for _, locale := range slices.Sorted(maps.Keys(labels)) {
		text := labels[locale]
		if known[locale] == text && text != "" {
			continue
		}
		if schema == nil {
			var err error
			if schema, err = s.Store.RefreshSchema(ctx); err != nil {
				return err
			}
		}
		at := pim.JoinPointer("/labels", string(locale))
		if !schema.Locales[locale] {
			problems = append(problems, pim.Problem{Pointer: at, Code: "locale.unknown", Detail: fmt.Sprintf("locale %q is not known", clip(string(locale)))})
		}
		if n := utf8.RuneCountInString(text); n == 0 || n > maxLabel || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' }) {
			problems = append(problems, pim.Problem{Pointer: at, Code: "label", Detail: fmt.Sprintf("a label has 1 to %d characters, none of them a control character", maxLabel)})
		}
		if len(problems) >= maxFaults {
			break
		}
	}
	if len(problems) > 0 {
		return &pim.Invalid{Problems: problems}
	}
	return nil
}

func (s *server) fetchAsset(ctx context.Context, in *CodePath) (*assetAnswer, error) {
	m, err := s.media()
	if err != nil {
		return nil, err
	}
	a, err := s.Store.Asset(ctx, in.Code)
	if err != nil {
		return nil, err
	}
	if a.Source == "" {
		return nil, problem(http.StatusConflict, "no-source", "the asset's file was sent, not fetched: there is no URL to fetch")
	}
	if _, err := s.Store.AddURLAsset(ctx, a.Code, a.Source); err != nil {
		return nil, err
	}
	s.Wake(postgres.Consumer{Kind: postgres.Fetch})
	v, err := s.showAsset(ctx, m, in.Code)
	if err != nil {
		return nil, err
	}
	return &assetAnswer{ETag: etag(v.Revision), Body: v}, nil
}

func (s *server) linkAsset(ctx context.Context, in *linkAsset) (*answer[LinkAnswer], error) {
	m, err := s.media()
	if err != nil {
		return nil, err
	}
	want, err := decode[AssetLink](in.RawBody, nil)
	if err != nil {
		return nil, err
	}
	if want.Hours > maxHours {
		return nil, &pim.Invalid{Problems: []pim.Problem{{Pointer: "/hours", Code: "limit", Detail: fmt.Sprintf("is at most %d", maxHours)}}}
	}
	a, err := s.Store.Asset(ctx, in.Code)
	if err != nil {
		return nil, err
	}
	hash, mediaType := a.Hash, a.MediaType
	if want.Rendition != "" {
		list, err := s.Store.AssetRenditions(ctx, a.ID)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(list, func(r postgres.AssetRendition) bool { return r.Definition == want.Rendition })
		if i < 0 {
			return nil, &pim.Invalid{Problems: []pim.Problem{{Pointer: "/rendition", Code: "rendition.unknown", Detail: fmt.Sprintf("nothing is made of the asset by %q", clip(want.Rendition))}}}
		}
		hash, mediaType = list[i].Hash, list[i].MediaType
	}
	if hash == nil {
		return nil, problem(http.StatusConflict, "no-file", "there is no file yet, or there will be none: the asset says why")
	}
	ends := time.Now().Add(time.Duration(want.Hours * float64(time.Hour))).UTC().Truncate(time.Second)
	return &answer[LinkAnswer]{LinkAnswer{URL: m.URL(hash, fileOf(&a), mediaType, ends), MediaType: mediaType, ExpiresAt: ends}}, nil
}

// wakeMedia wakes what works on when an asset or a definition is another one.
func (s *server) wakeMedia() {
	s.Wake(postgres.Consumer{Kind: postgres.Derive})
	s.Wake(ConsumersOf(postgres.Render)...)
}

// ConsumersOf are the consumers that work off a kind of tasks: who has made
// some wakes them.
func ConsumersOf(kind string) (out []postgres.Consumer) {
	shards := 1
	if kind == postgres.Render {
		shards = renderShards
	}
	for i := range shards {
		out = append(out, postgres.Consumer{Kind: kind, Lane: pim.Lane(i)})
	}
	return out
}

// renderShards are the consumers that making renditions is spread over.
const renderShards = 4
