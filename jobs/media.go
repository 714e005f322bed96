package jobs

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/httpx"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/blob"
	"github.com/sluicehub/sluice/pim/media"
	"github.com/sluicehub/sluice/pim/postgres"
	"github.com/sluicehub/sluice/pim/seal"
)

// MediaConfig is what Media is made of.
type MediaConfig struct {
	Blobs  blob.Store
	Engine media.Engine // media.Go by default
	// Public is the address, without a path's last slash, under which targets
	// reach this API: URLs of files begin with it. It is kept for all processes,
	// else they would send each other's documents anew. "": what is kept, or
	// Otherwise where nothing is.
	Public, Otherwise string

	AllowPrivate bool // assets may be fetched from loopback and private addresses
	Version      string
}

// Media keeps assets and their renditions: the files in blobs, what they are in
// the store. It is safe for concurrent use.
type Media struct {
	store  *postgres.Store
	blobs  blob.Store
	engine media.Engine
	signer *blob.Signer
	public string
	client *httpx.Client
}

const (
	// MaxAsset is how long an asset's file may be.
	MaxAsset = 64 << 20
	// fetchTimeout bounds the fetching of one asset.
	fetchTimeout = 30 * time.Second
	keyContext   = "media key"
)

// NewMedia makes Media. The key that signs URLs is made once and sealed in the
// store, so that all processes sign alike; definitions whose renditions another
// engine made are made anew.
func NewMedia(ctx context.Context, store *postgres.Store, keys *seal.Keyset, c MediaConfig) (*Media, error) {
	m := &Media{store: store, blobs: c.Blobs, engine: c.Engine}
	var err error
	if m.public, err = store.PublicURL(ctx, strings.TrimRight(c.Public, "/"), strings.TrimRight(c.Otherwise, "/")); err != nil {
		return nil, err
	}
	if m.engine == nil {
		m.engine = media.Go{}
	}
	var fresh [32]byte
	if _, err := rand.Read(fresh[:]); err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	sealed, err := keys.Seal(fresh[:], keyContext)
	if err != nil {
		return nil, fmt.Errorf("seal the media key: %w", err)
	}
	if sealed, err = store.MediaKey(ctx, sealed); err != nil {
		return nil, err
	}
	plain, err := keys.Open(sealed, keyContext)
	if err != nil || len(plain) != len(fresh) {
		return nil, errors.New("the key that signs media URLs does not open: is SLUICE_KEYSET the file that this house was made with?")
	}
	if m.signer, err = blob.NewSigner([32]byte(plain)); err != nil {
		return nil, err
	}
	m.client = httpx.New(httpx.Options{Timeout: fetchTimeout, MaxBody: MaxAsset, Version: c.Version, AllowPrivate: c.AllowPrivate})
	return m, m.renewDefinitions(ctx)
}

// renewDefinitions has everything made anew that another engine made.
func (m *Media) renewDefinitions(ctx context.Context) error {
	for page := (postgres.Page{Limit: 1000}); ; {
		list, next, err := m.store.RenditionDefinitions(ctx, page)
		if err != nil {
			return err
		}
		for _, d := range list {
			parsed, err := media.ParseDefinition(d.Definition)
			if err != nil {
				continue // made by a newer version of us
			}
			if _, err := m.PutDefinition(ctx, d.Code, parsed); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		page.After = next
	}
}

// Engine is what makes renditions here.
func (m *Media) Engine() media.Engine { return m.engine }

// PutDefinition makes or replaces a rendition definition; the same again
// changes nothing. The error is a *pim.Invalid of what is wrong with it.
func (m *Media) PutDefinition(ctx context.Context, code string, d media.Definition) (postgres.RenditionDefinition, error) {
	return m.ReplaceDefinition(ctx, code, d, 0)
}

// ReplaceDefinition is PutDefinition of what must have a revision, when that is
// not 0: postgres.ErrStale.
func (m *Media) ReplaceDefinition(ctx context.Context, code string, d media.Definition, revision int64) (postgres.RenditionDefinition, error) {
	var problems []pim.Problem
	if err := pim.ValidCode("rendition", code); err != nil {
		problems = append(problems, pim.Problem{Pointer: "/code", Code: "code", Detail: err.Error()})
	}
	if invalid, ok := errors.AsType[*pim.Invalid](d.Check()); ok {
		problems = append(problems, invalid.Problems...)
	}
	if f := d.Format; f != "" && !m.engine.Writes(f) {
		problems = append(problems, pim.Problem{Pointer: "/format", Code: "format.engine", Detail: fmt.Sprintf("the image engine here does not write %s", f)})
	}
	if len(problems) > 0 {
		return postgres.RenditionDefinition{}, &pim.Invalid{Problems: problems}
	}
	raw, err := json.Marshal(d)
	if err != nil {
		return postgres.RenditionDefinition{}, err
	}
	spec, err := hex.DecodeString(media.Key("", d, nil, m.engine.Version()))
	if err != nil {
		return postgres.RenditionDefinition{}, err
	}
	return m.store.PutRenditionDefinition(ctx, postgres.RenditionDefinition{Code: code, Definition: raw, Spec: spec, Focal: d.Fit == media.Crop}, revision)
}

// NewAsset is an asset to be stored.
type NewAsset struct {
	Code     string // "": of its content
	Filename string
	Focal    *media.Point
	Labels   map[pim.Locale]string
	IfMatch  int64 // not 0: the revision that it must have
}

// ErrTooLarge is the error of a file that is longer than MaxAsset.
var ErrTooLarge = blob.ErrTooLarge

// Put stores a file as an asset. created, changed: what became of it; the same
// again changes nothing. What cannot be shown as an image is stored as well,
// and says so.
func (m *Media) Put(ctx context.Context, a NewAsset, r io.Reader) (asset postgres.Asset, created, changed bool, err error) {
	stored, err := m.blobs.Put(ctx, r, MaxAsset)
	if err != nil {
		return asset, false, false, err
	}
	content, err := m.read(ctx, stored.Hash)
	if err != nil {
		return asset, false, false, err
	}
	if a.Code == "" {
		a.Code = "sha-" + stored.Hash.String()[:24]
	}
	asset = m.describe(ctx, content)
	asset.Code, asset.Ref, asset.Filename, asset.Labels, asset.Hash = a.Code, a.Code, a.Filename, a.Labels, stored.Hash[:]
	if a.Focal != nil {
		asset.Focal = focalText(*a.Focal)
	}
	created, changed, err = m.store.PutAsset(ctx, asset, a.IfMatch)
	if err != nil {
		return asset, false, false, err
	}
	asset, err = m.store.Asset(ctx, a.Code)
	return asset, created, changed, err
}

// describe looks at a file.
func (m *Media) describe(ctx context.Context, content []byte) (a postgres.Asset) {
	a.Size = int64(len(content))
	info, err := m.engine.Inspect(ctx, content)
	a.Format, a.MediaType, a.Width, a.Height, a.Alpha = string(info.Format), info.MediaType, info.Width, info.Height, info.HasAlpha
	if a.MediaType == "" {
		a.MediaType = "application/octet-stream"
	}
	if fault, ok := errors.AsType[*media.Fault](err); ok {
		a.Error = fault.Error()
	} else if info.Document {
		a.Width, a.Height = 0, 0
	}
	return a
}

// read reads a whole file, which is MaxAsset long at most.
func (m *Media) read(ctx context.Context, h blob.Hash) ([]byte, error) {
	o, err := m.blobs.Open(ctx, h)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	b := bytes.NewBuffer(make([]byte, 0, o.Size+1))
	if _, err := io.Copy(b, io.LimitReader(o, MaxAsset+1)); err != nil {
		return nil, fmt.Errorf("read file %s: %w", h, err)
	}
	return b.Bytes(), nil
}

// lost reports that a file that should be there is not.
func (m *Media) lost(ctx context.Context, hash []byte) bool {
	o, err := m.blobs.Open(ctx, blob.Hash(hash))
	if err == nil {
		o.Close()
	}
	return errors.Is(err, blob.ErrNotFound)
}

// Blobs is where the files are.
func (m *Media) Blobs() blob.Store { return m.blobs }

// Signer makes and checks the URLs of files.
func (m *Media) Signer() *blob.Signer { return m.signer }

var unfriendly = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// URL is where a file can be fetched without a key; ends, when not zero, is
// until when. Without an end the same file under the same name has the same URL
// for ever: it stands in documents whose equality decides whether anything is sent.
func (m *Media) URL(hash []byte, name, mediaType string, ends time.Time) string {
	stem := strings.TrimSuffix(path.Base(name), path.Ext(name))
	if stem = strings.Trim(unfriendly.ReplaceAllString(stem, "-"), "-."); stem == "" {
		stem = "file"
	}
	p := "/media/" + hex.EncodeToString(hash) + "/" + stem[:min(len(stem), 80)] + extensionOf(mediaType)
	return m.public + m.signer.Sign(p, ends)
}

// extensions are those of the media types that an engine knows.
var extensions = map[string]string{
	"image/jpeg": ".jpg", "image/png": ".png", "image/gif": ".gif", "image/webp": ".webp", "image/avif": ".avif", "image/svg+xml": ".svg",
	"application/pdf": ".pdf", "image/tiff": ".tif", "image/bmp": ".bmp", "video/mp4": ".mp4", "video/webm": ".webm", "model/gltf-binary": ".glb",
}

func extensionOf(mediaType string) string { return extensions[mediaType] }

// MediaTypeOf is the media type that a URL made by URL stands for.
func MediaTypeOf(name string) string {
	ext := path.Ext(name)
	for t, e := range extensions {
		if e == ext {
			return t
		}
	}
	return "application/octet-stream"
}

func focalText(p media.Point) string {
	return strconv.FormatFloat(p.X, 'f', 3, 64) + "," + strconv.FormatFloat(p.Y, 'f', 3, 64)
}

// FocalPoint reads what a stored asset says of its focal point; nil: the middle.
func FocalPoint(s string) *media.Point {
	x, y, ok := strings.Cut(s, ",")
	px, err1 := strconv.ParseFloat(x, 64)
	py, err2 := strconv.ParseFloat(y, 64)
	if !ok || err1 != nil || err2 != nil {
		return nil
	}
	return &media.Point{X: px, Y: py}
}

// picture is what a channel that shows renditions is shown of an asset.
func (m *Media) picture(p *postgres.Picture, ref string, renditions []string, locale pim.Locale) *connectors.Picture {
	out := &connectors.Picture{Renditions: map[string]string{}}
	if p != nil {
		out.Alt = p.Labels[locale]
	}
	tell := func(code, text string) { // their prefix says that they are ours, and not the target's
		out.Issues = append(out.Issues, pim.Issue{Code: "mapping." + code, Severity: pim.SeverityWarning, Attribute: "media", Text: shortRef(ref) + ": " + text})
	}
	switch {
	case p == nil && !postgres.IsURL(ref):
		tell("media.unknown", "there is no such asset; it is left out")
		return out
	case p == nil || p.Hash == nil && p.Error == "":
		out.Pending = true
		tell("media.pending", "the file is still to be fetched")
		return out
	case p.Hash == nil:
		tell("media.fetch", "left out: "+p.Error)
		return out
	}
	out.Document = p.Width == 0 && p.Error == ""
	if len(renditions) == 0 || out.Document {
		out.URL = m.URL(p.Hash, nameOf(p), p.MediaType, time.Time{})
		return out
	}
	if p.Error != "" {
		tell("media.image", "left out: "+p.Error)
		return out
	}
	for i, code := range renditions {
		r, defined := p.Renditions[code]
		file := r.Bytes()
		switch {
		case !defined:
			tell("media.rendition", fmt.Sprintf("there is no rendition %q", code))
		case r.Error != "":
			tell("media.rendition", fmt.Sprintf("left out of %s: %s", code, r.Error))
		case file == nil:
			out.Pending = true
			tell("media.pending", fmt.Sprintf("rendition %s is still to be made", code))
		default:
			refused := false
			for _, issue := range r.Issues {
				refused = refused || issue.Severity == pim.SeverityError
				tell(issue.Code, code+": "+issue.Text)
			}
			if refused { // the target would refuse it, and perhaps the product with it
				continue
			}
			out.Renditions[code] = m.URL(file, nameOf(p), r.MediaType, time.Time{})
			if i == 0 {
				out.URL = out.Renditions[code]
			}
		}
	}
	return out
}

func nameOf(p *postgres.Picture) string {
	if p.Filename != "" {
		return p.Filename
	}
	return p.Code
}

// shortRef names an asset to people: of a URL what is behind its last slash,
// for the rest may hold a token.
func shortRef(ref string) string {
	if !postgres.IsURL(ref) {
		return ref
	}
	if u, err := url.Parse(ref); err == nil {
		if name := path.Base(u.Path); name != "." && name != "/" {
			return name
		}
		return u.Host
	}
	return "a URL"
}

// illustrate says of each subject's media values what the target is shown.
func (c *Channels) illustrate(ctx context.Context, t *Target, subjects []*connectors.Subject, schema *pim.Schema) error {
	if c.media == nil {
		return nil
	}
	var refs []string
	of := make([][]string, len(subjects))
	for i, s := range subjects {
		if s == nil {
			continue
		}
		of[i] = slices.Concat(mediaRefs(s.Values, schema), recordMedia(s, schema))
		for _, ref := range of[i] {
			if len(t.Renditions) > 0 || !postgres.IsURL(ref) {
				refs = append(refs, ref)
			}
		}
	}
	if len(refs) == 0 {
		return nil
	}
	known, err := c.store.Pictures(ctx, refs, t.Renditions)
	if err != nil {
		return err
	}
	shown := map[string]*connectors.Picture{}
	for i, s := range subjects {
		if s == nil {
			continue
		}
		s.Pictures = make(map[string]*connectors.Picture, len(of[i]))
		for _, ref := range of[i] {
			if len(t.Renditions) == 0 && postgres.IsURL(ref) {
				continue
			}
			p, ok := shown[ref]
			if !ok {
				p = c.media.picture(known[ref], ref, t.Renditions, t.Locale)
				shown[ref] = p
			}
			s.Pictures[ref] = p
		}
	}
	return nil
}

// mediaRefs are what the values of media attributes name, in all their scopes.
func mediaRefs(values pim.Values, schema *pim.Schema) (refs []string) {
	for code, v := range values {
		if a := schema.Attributes[code]; a != nil && a.Type == pim.TypeMedia {
			refs = append(refs, mediaIn(v)...)
		}
	}
	return refs
}

// mediaIn are the texts in a media attribute's value, whatever its scopes are.
func mediaIn(v any) (refs []string) {
	switch v := v.(type) {
	case string:
		refs = append(refs, v)
	case []any:
		for _, el := range v {
			refs = append(refs, mediaIn(el)...)
		}
	case map[string]any:
		for _, el := range v {
			refs = append(refs, mediaIn(el)...)
		}
	}
	return refs
}
