//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/sluicehub/sluice/api"
	"github.com/sluicehub/sluice/cmd/sluice/node"
	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/all"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/blob"
	"github.com/sluicehub/sluice/pim/media"
	"github.com/sluicehub/sluice/pim/postgres"
)

type assetCmd struct {
	Add  assetAddCmd  `cmd:"" help:"Store files, or have them fetched from URLs."`
	List assetListCmd `cmd:"" help:"List assets by code."`
	Show assetShowCmd `cmd:"" help:"Show an asset, with what is made of it."`
}

// files are the flags of commands that store files or make definitions: those
// of serve, so that a command's environment can be a server's.
type files struct {
	keyset
	Blobs       string `env:"SLUICE_BLOBS" placeholder:"URL" help:"Where files are kept, as for serve. By default the folder blobs beside the keyset file."`
	PublicURL   string `env:"SLUICE_PUBLIC_URL" placeholder:"URL" help:"Where targets reach the API: addresses of files begin with it."`
	ImageEngine string `default:"go" enum:"go,vips" env:"SLUICE_IMAGE_ENGINE" help:"What makes renditions, as for serve (${default})."`
}

// use lends what keeps files to do.
func (f files) use(ctx context.Context, do func(*postgres.Store, *jobs.Media) error) (err error) {
	keys, err := f.open()
	if err != nil {
		return err
	}
	store, err := openStore(ctx, few)
	if err != nil {
		return err
	}
	defer store.Close()
	address := f.Blobs
	if address == "" {
		address = "file:" + filepath.Join(filepath.Dir(f.Keyset), "blobs")
	}
	c, err := blob.Parse(address, os.Getenv)
	if err != nil {
		return fmt.Errorf("SLUICE_BLOBS: %w", err)
	}
	blobs, err := c.Open()
	if err != nil {
		return fmt.Errorf("open %s: %w", c, err)
	}
	defer func() { err = errors.Join(err, blobs.Close()) }()
	var engine media.Engine = media.Go{}
	if f.ImageEngine == "vips" {
		if engine, err = media.NewVips(ctx, media.DefaultLimits(), ""); err != nil {
			return err
		}
	}
	if err := sameEngine(ctx, store, engine); err != nil {
		return err
	}
	if err := jobs.NewChannels(store, all.Registry(), keys, connectors.Env{Version: versionText()}).BindKeyset(ctx); err != nil {
		return err
	}
	m, err := jobs.NewMedia(ctx, store, keys, jobs.MediaConfig{Blobs: blobs, Engine: engine, Public: f.PublicURL, Version: versionText()})
	if err != nil {
		return err
	}
	return do(store, m)
}

// sameEngine refuses an engine that is not the servers': all renditions would be
// made anew by it, and again when a server starts.
func sameEngine(ctx context.Context, store *postgres.Store, engine media.Engine) error {
	list, _, err := store.RenditionDefinitions(ctx, postgres.Page{Limit: 1})
	if err != nil || len(list) == 0 {
		return err
	}
	d, err := media.ParseDefinition(list[0].Definition)
	if err != nil {
		return fmt.Errorf("rendition definition %s is of another version of Sluice: %w", list[0].Code, err)
	}
	if media.Key("", d, nil, engine.Version()) != fmt.Sprintf("%x", list[0].Spec) {
		return errors.New("the renditions here are made by another image engine, or by another version of it: set SLUICE_IMAGE_ENGINE as the servers have it, " +
			"and start them with this version first")
	}
	return nil
}

// wakeAll has running workers look at once at what consumers have to do. Where
// that fails they find it within seconds.
func wakeAll(ctx context.Context, log *slog.Logger, store *postgres.Store, consumers ...postgres.Consumer) {
	r, err := jobs.New(jobs.Config{Store: store, Log: log, Holder: node.Holder()})
	if err == nil {
		err = r.WakeNow(ctx, consumers...)
	}
	if err != nil {
		log.WarnContext(ctx, "wake the workers; they look by themselves", "err", err)
	}
}

// mediaConsumers work on when an asset or a definition is another one.
func mediaConsumers() []postgres.Consumer {
	return append([]postgres.Consumer{{Kind: postgres.Derive}, {Kind: postgres.Fetch}}, api.ConsumersOf(postgres.Render)...)
}

type assetAddCmd struct {
	files
	From    []string          `arg:"" name:"from" placeholder:"FILE|URL" help:"Files, and http or https URLs that the workers fetch."`
	Code    string            `help:"The asset's code, of one file or URL. By default one made of the content, or of the URL."`
	Replace bool              `help:"Replace the file of an asset that is there already; with --code."`
	Focal   string            `placeholder:"X,Y" help:"What crops keep, from 0 to 1 from the upper left, such as 0.5,0.3."`
	Label   map[string]string `mapsep:"none" placeholder:"LOCALE=TEXT" help:"An alternative text; can be repeated."`
	JSON    bool              `name:"json" help:"Print a JSON array."`
}

// Help is the command's longer text.
func (assetAddCmd) Help() string {
	return `The same file again changes nothing. A file that is no image that can be read is stored as well, and the list says why nothing can be made of it. ` +
		`A product shows an asset when the value of a media attribute is its code, or the URL itself.`
}

// addedView is what became of one file or URL.
type addedView struct {
	From    string `json:"from"`
	Code    string `json:"code"`
	Outcome string `json:"outcome"` // created, changed, unchanged; to be fetched
	Error   string `json:"error,omitempty"`
}

// Run adds them one after the other; it ends at the first that cannot be stored.
func (a assetAddCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	if len(a.From) > 1 && (a.Code != "" || a.Focal != "" || len(a.Label) > 0) {
		return errors.New("--code, --focal and --label are of one file")
	}
	if a.Replace && a.Code == "" {
		return errors.New("--replace needs --code")
	}
	if a.Code != "" {
		if err := pim.ValidCode("asset", a.Code); err != nil {
			return err
		}
	}
	var views []addedView
	err := a.use(ctx, func(store *postgres.Store, m *jobs.Media) error {
		defer wakeAll(ctx, log, store, mediaConsumers()...)
		for _, from := range a.From {
			v, err := a.add(ctx, store, m, from)
			if err != nil {
				return fmt.Errorf("add %s: %w", from, err)
			}
			if views = append(views, v); a.JSON {
				continue
			}
			line := fmt.Sprintf("%s: %s as %s", v.From, v.Outcome, v.Code)
			if v.Error != "" {
				line += "; nothing can be made of it: " + v.Error
			}
			if _, err := fmt.Fprintln(c.out, line); err != nil {
				return err
			}
		}
		return nil
	})
	if a.JSON && err == nil {
		return printJSON(c.out, views)
	}
	return err
}

func (a assetAddCmd) add(ctx context.Context, store *postgres.Store, m *jobs.Media, from string) (v addedView, err error) {
	v.From = from
	if postgres.IsURL(from) {
		if a.Focal != "" || len(a.Label) > 0 {
			return v, errors.New("--focal and --label are of a file that is sent")
		}
		if err := (api.AssetURL{URL: from, Code: a.Code}).Check(); err != nil {
			return v, err
		}
		v.Outcome = "to be fetched"
		v.Code, err = store.AddURLAsset(ctx, a.Code, from)
		return v, err
	}
	sent := jobs.Sent{Code: a.Code, Filename: filepath.Base(from), Replace: a.Replace}
	if a.Focal != "" {
		if sent.Focal, err = api.ReadFocal(a.Focal); err != nil {
			return v, err
		}
	}
	if len(a.Label) > 0 {
		schema, err := store.RefreshSchema(ctx)
		if err != nil {
			return v, err
		}
		sent.Labels = map[pim.Locale]string{}
		for locale, text := range a.Label {
			if !schema.Locales[pim.Locale(locale)] {
				return v, fmt.Errorf("there is no locale %q", locale)
			}
			sent.Labels[pim.Locale(locale)] = text
		}
	}
	f, err := os.Open(from)
	if err != nil {
		return v, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() || st.Size() == 0 {
		return v, errors.Join(err, errors.New("it is no file with something in it"))
	}
	asset, created, changed, err := m.Keep(ctx, sent, f)
	switch {
	case errors.Is(err, postgres.ErrExists):
		return v, fmt.Errorf("asset %s has another file; --replace replaces it", a.Code)
	case errors.Is(err, jobs.ErrTooLarge):
		return v, fmt.Errorf("it has more than %d bytes", jobs.MaxAsset)
	case err != nil:
		return v, err
	}
	v.Code, v.Error, v.Outcome = asset.Code, asset.Error, "unchanged"
	if created {
		v.Outcome = "created"
	} else if changed {
		v.Outcome = "changed"
	}
	return v, nil
}

type assetListCmd struct {
	State string  `enum:",stored,waiting,failed,unused" default:"" help:"Only those that are stored, waiting to be fetched, failed, or unused."`
	Query string  `short:"q" help:"Only those with this text in the code, the URL or the file's name."`
	SKU   pim.SKU `name:"sku" help:"Only what this product names."`
	Limit int     `default:"1000" help:"List so many at most; 0 is all (${default})."`
	JSON  bool    `name:"json" help:"Print a JSON array."`
}

// Run lists the assets.
func (l assetListCmd) Run(ctx context.Context, c console) error {
	header := []string{"ASSET", "STATE", "FORMAT", "PIXELS", "BYTES", "PRODUCTS", "FILE", "PROBLEM"}
	return list(ctx, c, l.JSON, header, l.views, func(a api.Asset) []string {
		pixels := "-"
		if a.Width > 0 {
			pixels = fmt.Sprintf("%dx%d", a.Width, a.Height)
		}
		return []string{
			a.Code, a.State, dash(a.Format), pixels, strconv.FormatInt(a.Size, 10), strconv.FormatInt(a.Products, 10), dash(oneLine(a.Filename)), dash(oneLine(a.Error)),
		}
	})
}

func (l assetListCmd) views(ctx context.Context, store *postgres.Store) ([]api.Asset, error) {
	return pages(l.Limit, func(page postgres.Page) ([]api.Asset, string, error) {
		list, next, err := store.Assets(ctx, postgres.AssetFilter{State: l.State, Query: l.Query, SKU: l.SKU}, page)
		if err != nil {
			return nil, "", err
		}
		ids := make([]int64, len(list))
		for i := range list {
			ids[i] = list[i].ID
		}
		uses, err := store.AssetUses(ctx, ids)
		if err != nil {
			return nil, "", err
		}
		views := make([]api.Asset, len(list))
		for i := range list {
			views[i] = api.ViewAsset(nil, &list[i], uses[list[i].ID], nil)
		}
		return views, next, nil
	})
}

// pages reads a list page by page, to its end or to limit (0: none).
func pages[V any](limit int, read func(postgres.Page) ([]V, string, error)) ([]V, error) {
	all := []V{}
	for page := (postgres.Page{Limit: 1000}); ; {
		if limit > 0 {
			page.Limit = min(page.Limit, limit-len(all))
		}
		part, next, err := read(page)
		if err != nil {
			return nil, err
		}
		if all = append(all, part...); next == "" || limit > 0 && len(all) >= limit {
			return all, nil
		}
		page.After = next
	}
}

// dash stands for what there is not, so that columns stay columns.
func dash(s string) string {
	if strings.TrimSpace(s) == "" {
		return "-"
	}
	return s
}

type assetShowCmd struct {
	Code string `arg:"" help:"The asset's code."`
	files
}

// Run prints the asset as JSON. Addresses of files are told where the keyset and
// the public URL are known.
func (s assetShowCmd) Run(ctx context.Context, c console) error {
	if s.Keyset != "" && s.PublicURL != "" {
		return s.use(ctx, func(store *postgres.Store, m *jobs.Media) error { return s.show(ctx, c, store, m) })
	}
	store, err := openStore(ctx, few)
	if err != nil {
		return err
	}
	defer store.Close()
	return s.show(ctx, c, store, nil)
}

func (s assetShowCmd) show(ctx context.Context, c console, store *postgres.Store, m *jobs.Media) error {
	a, err := api.ShowAsset(ctx, store, m, s.Code)
	if errors.Is(err, postgres.ErrNotFound) {
		return fmt.Errorf("there is no asset %s", s.Code)
	}
	if err != nil {
		return err
	}
	return printJSON(c.out, a)
}
