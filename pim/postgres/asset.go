package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// Asset is an original file, or the promise of one that is still to be fetched.
type Asset struct {
	ID        int64
	Rev       int64
	Code      string
	Ref       string // as values name it: the code, or the URL
	Source    string // the URL that it came from; "" when it was sent to us
	ETag      string // of the source
	Filename  string
	Format    string // media.Format's name; "" while there is no file
	MediaType string
	Size      int64
	Width     int // as shown
	Height    int
	Alpha     bool
	Focal     string // "x,y" in 0..1; "" is the middle
	Hash      []byte // SHA-256; nil: there is no file yet
	Error     string // why there is none, or why nothing can be made of it
	Labels    map[pim.Locale]string
	CreatedAt time.Time
	UpdatedAt time.Time
	UnusedAt  *time.Time // since when no product names it
}

// IsURL reports whether a media value names its asset by its address.
func IsURL(ref string) bool {
	return strings.HasPrefix(ref, "http://") || strings.HasPrefix(ref, "https://")
}

// AssetCode is the code of the asset that a media value names: the value
// itself, or one made of the URL, the same for the same URL.
func AssetCode(ref string) string {
	if !IsURL(ref) {
		return ref
	}
	sum := sha256.Sum256([]byte(ref))
	return "url-" + hex.EncodeToString(sum[:12])
}

const assetColumns = `
id, rev, code, ref, coalesce(source, ''), coalesce(etag, ''), filename, format, media_type, size, width, height, alpha, focal, hash, coalesce(error, ''),
labels, created_at, updated_at, unused_at`

func scanAsset(r pgx.CollectableRow) (a Asset, err error) {
	var labels []byte
	err = r.Scan(&a.ID, &a.Rev, &a.Code, &a.Ref, &a.Source, &a.ETag, &a.Filename, &a.Format, &a.MediaType, &a.Size, &a.Width, &a.Height, &a.Alpha,
		&a.Focal, &a.Hash, &a.Error, &labels, &a.CreatedAt, &a.UpdatedAt, &a.UnusedAt)
	if err == nil {
		err = json.Unmarshal(labels, &a.Labels)
	}
	return a, err
}

const (
	sqlAsset     = `select ` + assetColumns + ` from asset where code = @code`
	sqlAssetByID = `select ` + assetColumns + ` from asset where id = any(@id::bigint[]) order by id`
)

// Asset reads one asset by its code; ErrNotFound.
func (s *Store) Asset(ctx context.Context, code string) (Asset, error) {
	a, err := one(ctx, s.pool, sqlAsset, pgx.NamedArgs{"code": storable(code)}, scanAsset)
	if err != nil {
		return a, fmt.Errorf("asset %s: %w", code, err)
	}
	return a, nil
}

// AssetsByID reads assets by their rows; those that are gone are left out.
func (s *Store) AssetsByID(ctx context.Context, ids []int64) ([]Asset, error) {
	rows, err := s.work.Query(ctx, sqlAssetByID, pgx.NamedArgs{"id": ids})
	if err != nil {
		return nil, fmt.Errorf("read assets: %w", err)
	}
	return pgx.CollectRows(rows, scanAsset)
}

// AssetFilter narrows a list of assets; the zero value narrows nothing.
type AssetFilter struct {
	State string // stored, waiting, failed, unused
	Query string // part of the code, the URL or the file's name
	SKU   pim.SKU
}

const (
	assetFilter = `
where code > @after
  and (@state = '' or case @state when 'stored' then hash is not null and error is null when 'waiting' then hash is null and error is null
       when 'failed' then error is not null else unused_at is not null end)
  and (@query = '' or code ilike @query or ref ilike @query or filename ilike @query)
`
	sqlAssets = `select ` + assetColumns + ` from asset a` + assetFilter + `order by code limit @limit`

	// sqlAssetsOf begins at the product: it reads what that names, and no more.
	sqlAssetsOf = `select ` + assetColumns + ` from asset a` + assetFilter + `
  and id = any(array(select x.id from product p join product_asset u on u.product_id = p.id
      cross join lateral (select id from asset where ref = u.ref union select id from asset where code = u.ref) x where p.sku = @sku))
order by code limit @limit`
)

// Assets lists assets by their codes.
func (s *Store) Assets(ctx context.Context, f AssetFilter, page Page) (list []Asset, next string, err error) {
	query := ""
	if f.Query != "" {
		query = "%" + strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(storable(f.Query)) + "%"
	}
	args := pgx.NamedArgs{"after": storable(page.After), "limit": page.limit(), "state": f.State, "query": query}
	sql := sqlAssets
	if f.SKU != "" {
		sql, args["sku"] = sqlAssetsOf, storable(string(f.SKU))
	}
	rows, err := s.pool.Query(ctx, sql, args)
	if err != nil {
		return nil, "", fmt.Errorf("list assets: %w", err)
	}
	list, err = pgx.CollectRows(rows, scanAsset)
	if err == nil && len(list) == page.limit() {
		next = list[len(list)-1].Code
	}
	return list, next, err
}

// sqlPutAsset asks for what was there within the insert, and so before it: a row
// that the statement itself has changed is not seen any more.
const sqlPutAsset = `
with was as (select id, code, hash, focal from asset where code = @code for update),
put as (
    insert into asset as a (code, ref, source, etag, filename, format, media_type, size, width, height, alpha, focal, hash, error, labels, checked_at, unused_at)
    values (coalesce((select code from was), @code), @ref, nullif(@source, ''), nullif(@etag, ''), @filename, @format, @media_type, @size, @width, @height, @alpha, @focal, @hash,
            nullif(@error, ''), @labels, case when @hash::bytea is not null then now() end,
            case when not exists (select from product_asset where ref in (@ref, @code)) then now() end)
    on conflict (code) do update set
        rev = a.rev + 1, updated_at = now(), source = excluded.source, etag = excluded.etag, filename = excluded.filename,
        format = excluded.format, media_type = excluded.media_type, size = excluded.size, width = excluded.width, height = excluded.height,
        alpha = excluded.alpha, focal = excluded.focal, hash = excluded.hash, error = excluded.error, labels = excluded.labels, checked_at = excluded.checked_at
    where (a.source, a.etag, a.filename, a.hash, a.focal, a.error, a.labels, a.format) is distinct from
          (excluded.source, excluded.etag, excluded.filename, excluded.hash, excluded.focal, excluded.error, excluded.labels, excluded.format)
    returning a.id
)
select coalesce((select id from put), (select id from was)), not exists (select from was), exists (select from put),
       not exists (select from was where hash is not distinct from @hash::bytea and focal = @focal)`

// PutAsset stores an asset's file and description under its code, whatever was
// there. created, changed: what became of it; the same again changes nothing.
// Where the file or its focal point is another one, what is to be made of it is
// queued, and the products that show it follow when that is made. IfMatch, when
// not 0, is the revision that it must have: ErrStale.
func (s *Store) PutAsset(ctx context.Context, a Asset, ifMatch int64) (created, changed bool, err error) {
	err = s.untangledTx(ctx, func(tx pgx.Tx) error {
		if ifMatch != 0 {
			var rev int64
			if err := tx.QueryRow(ctx, sqlAssetRev, pgx.NamedArgs{"code": a.Code}).Scan(&rev); errors.Is(err, pgx.ErrNoRows) || err == nil && rev != ifMatch {
				return ErrStale
			} else if err != nil {
				return err
			}
		}
		created, changed, err = putAsset(ctx, tx, a)
		return err
	})
	if err != nil {
		return false, false, fmt.Errorf("store asset %s: %w", a.Code, err)
	}
	return created, changed, nil
}

const sqlAssetRev = `select rev from asset where code = @code for update`

func putAsset(ctx context.Context, tx pgx.Tx, a Asset) (created, changed bool, err error) {
	if a.Labels == nil {
		a.Labels = map[pim.Locale]string{}
	}
	if err := derives(ctx, tx, pim.Media); err != nil {
		return false, false, err
	}
	var id int64
	var other bool
	err = tx.QueryRow(ctx, sqlPutAsset, pgx.NamedArgs{
		"code": a.Code, "ref": a.Ref, "source": a.Source, "etag": storable(a.ETag), "filename": storable(a.Filename), "format": a.Format,
		"media_type": a.MediaType, "size": a.Size, "width": a.Width, "height": a.Height, "alpha": a.Alpha, "focal": a.Focal, "hash": a.Hash,
		"error": storable(a.Error), "labels": mustJSON(a.Labels),
	}).Scan(&id, &created, &changed, &other)
	if err == nil && a.Hash != nil && !other {
		err = fileIsBack(ctx, tx, a.Hash)
	}
	if err != nil || !changed {
		return false, false, err
	}
	if other {
		if _, err := tx.Exec(ctx, sqlWantRenditions, pgx.NamedArgs{"assets": []int64{id}, "code": "", "urgent": true}); err != nil {
			return false, false, err
		}
	}
	_, err = tx.Exec(ctx, sqlTouchSettled, pgx.NamedArgs{"assets": []int64{id}, "originals": [][]byte{}, "urgent": true})
	return created, changed, err
}

const sqlDeleteAsset = `delete from asset where code = @code and (@if_match = 0 or rev = @if_match) and not exists (select from product_asset u where u.ref in (asset.ref, asset.code))`

// DeleteAsset forgets an asset. ErrInUse while products name it; ErrStale where ifMatch
// is neither 0 nor its revision; ErrNotFound. Its files are collected later, unless
// another asset has the same.
func (s *Store) DeleteAsset(ctx context.Context, code string, ifMatch int64) error {
	tag, err := s.pool.Exec(ctx, sqlDeleteAsset, pgx.NamedArgs{"code": storable(code), "if_match": ifMatch})
	if err == nil && tag.RowsAffected() == 0 {
		a, looked := s.Asset(ctx, code)
		if err = leaves(looked, a.Rev, ifMatch); err == nil {
			err = ErrInUse
		}
	}
	if err != nil {
		return fmt.Errorf("delete asset %s: %w", code, err)
	}
	return nil
}

const sqlFetchAgain = `
with a as (select id, ref from asset where code = @code and source is not null),
lot as (insert into lot (kind, lot) select 'fetch', @lot from a on conflict do nothing)
insert into task as t (kind, subject, lot, due_at) select 'fetch', id, @lot, now() - interval '1 hour' from a
on conflict (kind, subject) do update set want = t.want + 1, state = 'waiting', attempts = 0, error = null, due_at = least(t.due_at, excluded.due_at)`

// AddURLAsset makes sure that there is an asset for a URL, and has it fetched,
// again if it was fetched before. It gives the asset's code.
func (s *Store) AddURLAsset(ctx context.Context, code, url string) (string, error) {
	ref := url
	if code == "" {
		code = AssetCode(url)
	} else {
		ref = code
	}
	err := inTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := derives(ctx, tx, pim.Media); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, sqlPromiseAsset, pgx.NamedArgs{"code": code, "ref": ref, "source": url}); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, sqlFetchAgain, pgx.NamedArgs{"code": code, "lot": HostOf(url)})
		return err
	})
	if err != nil {
		return "", fmt.Errorf("add asset %s: %w", code, err)
	}
	return code, nil
}

const sqlPromiseAsset = `
insert into asset (code, ref, source, unused_at)
values (@code, @ref, @source, case when not exists (select from product_asset where ref in (@ref, @code)) then now() end)
on conflict (code) do update set source = excluded.source where asset.source is distinct from excluded.source`

// sqlFetchFailed says of an asset without a file why it has none; once, for who shows it is told each time.
const sqlFetchFailed = `
update asset set error = @error, checked_at = now(), updated_at = now(), rev = rev + 1 where id = @id and hash is null and error is null`

// Fetched is a fetch that ended: with a file, or for good without one.
type Fetched struct {
	Asset // ID and what was found; Hash nil: Error says why there is no file
}

// sqlFetchedInto is what an asset is by now. What was said of it, or done to it,
// while its file was fetched is newer than the fetch.
const sqlFetchedInto = `select coalesce(source, ''), focal, labels from asset where id = @id for update`

// fetchedInto brings a fetched asset up to date with its row. false: it is gone,
// or its file comes from elsewhere by now.
func fetchedInto(ctx context.Context, tx pgx.Tx, a *Asset) (bool, error) {
	var source, focal string
	var labels []byte
	err := tx.QueryRow(ctx, sqlFetchedInto, pgx.NamedArgs{"id": a.ID}).Scan(&source, &focal, &labels)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && source != a.Source {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	a.Focal, a.Labels = focal, nil
	return true, json.Unmarshal(labels, &a.Labels)
}

// EndFetches stores what fetches brought, and ends their tasks, under l. What
// was deleted or replaced meanwhile stays as it is.
func (s *Store) EndFetches(ctx context.Context, l Lease, fetched []Fetched, ends []TaskEnd) error {
	return s.EndTasks(ctx, l, ends, func(tx pgx.Tx) error {
		for _, f := range fetched {
			if f.Hash == nil {
				tag, err := tx.Exec(ctx, sqlFetchFailed, pgx.NamedArgs{"id": f.ID, "error": storable(f.Error)})
				if err != nil {
					return err
				}
				if tag.RowsAffected() == 0 {
					continue // known, or what was fetched before is shown still
				}
				if _, err := tx.Exec(ctx, sqlTouchSettled, pgx.NamedArgs{"assets": []int64{f.ID}, "originals": [][]byte{}, "urgent": true}); err != nil {
					return err
				}
				continue
			}
			wanted, err := fetchedInto(ctx, tx, &f.Asset)
			if err == nil && wanted {
				_, _, err = putAsset(ctx, tx, f.Asset)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}
