package postgres

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// RenditionDefinition says under a name what shall be made of images.
type RenditionDefinition struct {
	Code       string
	Rev        int64
	UpdatedAt  time.Time
	Definition json.RawMessage // media.Definition
	Spec       []byte          // hash of the definition and the engine's version
	Focal      bool            // the asset's focal point counts
	Channels   []pim.ChannelCode
}

const definitionColumns = `
code, rev, updated_at, definition, spec, focal,
array(select c.code from channel c where c.deleted_at is null and d.code = any(c.renditions) order by 1)`

func scanDefinition(r pgx.CollectableRow) (d RenditionDefinition, err error) {
	return d, r.Scan(&d.Code, &d.Rev, &d.UpdatedAt, &d.Definition, &d.Spec, &d.Focal, &d.Channels)
}

const (
	sqlDefinitions = `select ` + definitionColumns + ` from rendition_definition d where code > @after order by code limit @limit`
	sqlDefinition  = `select ` + definitionColumns + ` from rendition_definition d where code = @code`
)

// RenditionDefinitions lists definitions by their codes.
func (s *Store) RenditionDefinitions(ctx context.Context, page Page) (list []RenditionDefinition, next string, err error) {
	rows, err := s.pool.Query(ctx, sqlDefinitions, pgx.NamedArgs{"after": storable(page.After), "limit": page.limit()})
	if err != nil {
		return nil, "", fmt.Errorf("list rendition definitions: %w", err)
	}
	list, err = pgx.CollectRows(rows, scanDefinition)
	if err == nil && len(list) == page.limit() {
		next = list[len(list)-1].Code
	}
	return list, next, err
}

// RenditionDefinition reads one definition; ErrNotFound.
func (s *Store) RenditionDefinition(ctx context.Context, code string) (RenditionDefinition, error) {
	d, err := one(ctx, s.pool, sqlDefinition, pgx.NamedArgs{"code": storable(code)}, scanDefinition)
	if err != nil {
		return d, fmt.Errorf("rendition definition %s: %w", code, err)
	}
	return d, nil
}

const (
	sqlPutDefinition = `
insert into rendition_definition as d (code, definition, spec, focal) values (@code, @definition, @spec, @focal)
on conflict (code) do update set definition = excluded.definition, spec = excluded.spec, focal = excluded.focal, rev = d.rev + 1, updated_at = now()
where (d.definition, d.spec) is distinct from (excluded.definition, excluded.spec)
returning exists (select from channel c where c.deleted_at is null and d.code = any(c.renditions))`
	sqlDefinitionRev    = `select rev from rendition_definition where code = @code for update`
	sqlDeleteDefinition = `
delete from rendition_definition d where code = @code and (@if_match = 0 or rev = @if_match) and not exists (select from channel c where c.deleted_at is null and d.code = any(c.renditions))`

	// sqlWantRenditions queues what is to be made of some images by the
	// definitions that channels use, one or all.
	sqlWantRenditions = `
with wanted as (
    insert into rendition (original, spec, focal)
    select distinct a.hash, d.spec, case when d.focal then a.focal else '' end
    from unnest(@assets::bigint[]) i (id) cross join lateral (select * from asset where id = i.id offset 0) a cross join rendition_definition d
    where a.hash is not null and a.error is null and a.width > 0 and (@code::text = '' or d.code = @code)
      and exists (select from channel c where c.deleted_at is null and d.code = any(c.renditions))
    order by 1, 2, 3 on conflict do nothing returning id, original
)
insert into task (kind, subject, lot, due_at)
select 'render', id, (get_byte(original, 0) & 3)::text, case when @urgent::boolean then now() - interval '1 hour' else now() end from wanted order by id
on conflict do nothing`

	// sqlTouchSettled has the products looked at that show assets of which all
	// that is to be made is made: some, or those of originals. What was cancelled
	// holds only those up who show it. It keeps to the unique indexes, also where
	// the tables have grown too fast for their statistics.
	sqlTouchSettled = `
with used as materialized (
    select d.spec, d.focal from rendition_definition d where exists (select from channel c where c.deleted_at is null and d.code = any(c.renditions))
),
a as (
    select ref, code from asset a
    where a.id in (select unnest(@assets::bigint[]) union select id from asset where hash = any(@originals::bytea[])) and not exists (
        select from used d
        cross join lateral (select id, hash, error from rendition where original = a.hash and spec = d.spec and focal = case when d.focal then a.focal else '' end offset 0) r
        cross join lateral (select state from task where kind = 'render' and subject = r.id offset 0) t
        where r.hash is null and r.error is null and t.state = 'waiting')
)
insert into derive as d (product_id, touch, due_at)
select distinct u.product_id, true, case when @urgent::boolean then now() - interval '1 hour' else now() end
from a cross join lateral (select product_id from product_asset where ref = a.ref union select product_id from product_asset where ref = a.code) u order by 1
on conflict (product_id) do update set touch = true, want = d.want + 1, due_at = least(d.due_at, excluded.due_at)`
)

// PutRenditionDefinition makes or replaces a definition, and queues what is to
// be made by it: of so many assets at once, of the others by the consumer derive.
// The same again changes nothing. IfMatch, when not 0, is the revision that it
// must have: ErrStale. The caller has checked the definition.
func (s *Store) PutRenditionDefinition(ctx context.Context, d RenditionDefinition, ifMatch int64) (RenditionDefinition, error) {
	err := s.untangledTx(ctx, func(tx pgx.Tx) error {
		if ifMatch != 0 {
			var rev int64
			if err := tx.QueryRow(ctx, sqlDefinitionRev, pgx.NamedArgs{"code": d.Code}).Scan(&rev); errors.Is(err, pgx.ErrNoRows) || err == nil && rev != ifMatch {
				return ErrStale
			} else if err != nil {
				return err
			}
		}
		var shown bool
		err := tx.QueryRow(ctx, sqlPutDefinition, pgx.NamedArgs{"code": d.Code, "definition": d.Definition, "spec": d.Spec, "focal": d.Focal}).Scan(&shown)
		if errors.Is(err, pgx.ErrNoRows) || err == nil && !shown {
			return nil
		}
		if err != nil {
			return err
		}
		return spread(ctx, tx, d.Code, true)
	})
	if err != nil {
		return d, fmt.Errorf("store rendition definition %s: %w", d.Code, err)
	}
	_ = s.spreadNow(ctx) // else the consumer derive does it
	return s.RenditionDefinition(ctx, d.Code)
}

// NoFile is the error of a rendition whose original is not in the storage: the
// only one that goes by itself, when the file is stored again.
const NoFile = "its original is not in the file storage"

const sqlFileIsBack = `
with lost as (
    update rendition r set error = null where original = @hash and hash is null and error = @error
      and exists (select from rendition_definition d where d.spec = r.spec) returning id, original
)
insert into task as t (kind, subject, lot, due_at)
select 'render', id, (get_byte(original, 0) & 3)::text, now() - interval '1 hour' from lost order by id
on conflict (kind, subject) do update set want = t.want + 1, state = 'waiting', attempts = 0, error = null, due_at = least(t.due_at, excluded.due_at)`

// FileIsBack has made what could not be made of an original because its file was
// lost. To be called when it is stored again.
func (s *Store) FileIsBack(ctx context.Context, original []byte) error {
	if err := s.untangledTx(ctx, func(tx pgx.Tx) error { return fileIsBack(ctx, tx, original) }); err != nil {
		return fmt.Errorf("note that file %x is there again: %w", original, err)
	}
	return nil
}

func fileIsBack(ctx context.Context, tx pgx.Tx, original []byte) error {
	_, err := tx.Exec(ctx, sqlFileIsBack, pgx.NamedArgs{"hash": original, "error": NoFile})
	return err
}

// DeleteRenditionDefinition forgets a definition; ErrInUse while channels use
// it; ErrNotFound. What was made by it is collected later.
func (s *Store) DeleteRenditionDefinition(ctx context.Context, code string, ifMatch int64) error {
	tag, err := s.pool.Exec(ctx, sqlDeleteDefinition, pgx.NamedArgs{"code": storable(code), "if_match": ifMatch})
	if err == nil && tag.RowsAffected() == 0 {
		d, looked := s.RenditionDefinition(ctx, code)
		if err = leaves(looked, d.Rev, ifMatch); err == nil {
			err = ErrInUse
		}
	}
	if err != nil {
		return fmt.Errorf("delete rendition definition %s: %w", code, err)
	}
	return nil
}

// Rendition is what was made, or is to be made, of an original.
type Rendition struct {
	ID         int64
	Original   []byte
	Spec       []byte
	Focal      string
	Definition string          // the code of one that asks for it
	Wanted     json.RawMessage // its definition; nil: nobody asks for it any more
	Filename   string          // of an asset with this original
	Hash       []byte          // of the file; nil: none yet
	Size       int64
	Width      int
	Height     int
	MediaType  string
	Error      string
	Issues     []pim.Issue
	MadeAt     *time.Time
}

const sqlRenditions = `
select r.id, r.original, r.spec, r.focal, coalesce(d.code, ''), d.definition, coalesce(a.filename, ''), r.hash, r.size, r.width, r.height, r.media_type,
       coalesce(r.error, ''), r.issues, r.made_at
from rendition r
left join lateral (select code, definition from rendition_definition d where d.spec = r.spec order by code limit 1) d on true
left join lateral (select filename from asset a where a.hash = r.original order by id limit 1) a on true
where r.id = any(@id::bigint[]) or r.original = @original::bytea
order by r.original, r.id`

// Renditions reads renditions by their rows, or all of an original.
func (s *Store) Renditions(ctx context.Context, ids []int64, original []byte) ([]Rendition, error) {
	if ids == nil {
		ids = []int64{}
	}
	rows, err := s.work.Query(ctx, sqlRenditions, pgx.NamedArgs{"id": ids, "original": original})
	if err != nil {
		return nil, fmt.Errorf("read renditions: %w", err)
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (x Rendition, err error) {
		var issues []byte
		err = r.Scan(&x.ID, &x.Original, &x.Spec, &x.Focal, &x.Definition, &x.Wanted, &x.Filename, &x.Hash, &x.Size, &x.Width, &x.Height, &x.MediaType,
			&x.Error, &issues, &x.MadeAt)
		if err == nil && issues != nil {
			err = json.Unmarshal(issues, &x.Issues)
		}
		return x, err
	})
}

// settleDefinitions waits for those who are changing definitions, and has others
// wait: a rendition is not forgotten while a definition asks for it anew. LOCK
// cannot be prepared, as what is called sql… here is.
const settleDefinitions = `lock table rendition_definition in share mode`

// sqlUnwanted gives those that are wanted after all.
const sqlUnwanted = `
with gone as (
    delete from rendition r where id = any(@id::bigint[]) and hash is null and not exists (select from rendition_definition d where d.spec = r.spec)
)
select r.id from rendition r where id = any(@id::bigint[]) and hash is null and exists (select from rendition_definition d where d.spec = r.spec)`

// forgetUnwanted forgets renditions that nobody wants any more. It gives ends
// without those of what is wanted again by now: these tasks go on.
func forgetUnwanted(ctx context.Context, tx pgx.Tx, unwanted []int64, ends []TaskEnd) ([]TaskEnd, error) {
	if len(unwanted) == 0 {
		return ends, nil
	}
	if _, err := tx.Exec(ctx, settleDefinitions); err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, sqlUnwanted, pgx.NamedArgs{"id": unwanted})
	if err != nil {
		return nil, err
	}
	wanted, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	return slices.DeleteFunc(slices.Clone(ends), func(e TaskEnd) bool { return slices.Contains(wanted, e.Subject) }), err
}

const sqlRendered = `
update rendition r set hash = m.hash, size = m.size, width = m.width, height = m.height, media_type = m.media_type, error = nullif(m.error, ''),
    issues = m.issues, made_at = now()
from (select * from unnest(@id::bigint[], @hash::bytea[], @size::bigint[], @width::int[], @height::int[], @media_type::text[], @error::text[], @issues::jsonb[])
      m (id, hash, size, width, height, media_type, error, issues) order by id) m
where r.id = m.id`

// EndRenders stores what was made, forgets what nobody wants any more, ends the
// tasks, and has the products looked at whose pictures are complete, under l.
func (s *Store) EndRenders(ctx context.Context, l Lease, made []Rendition, unwanted []int64, ends []TaskEnd) error {
	n := len(made)
	id, size, width, height := make([]int64, n), make([]int64, n), make([]int32, n), make([]int32, n)
	hash, issues, types, failure := make([][]byte, n), make([][]byte, n), make([]string, n), make([]string, n)
	var originals [][]byte
	for i, m := range made {
		id[i], hash[i], size[i], width[i], height[i] = m.ID, m.Hash, m.Size, int32(m.Width), int32(m.Height)
		types[i], failure[i] = m.MediaType, storable(m.Error)
		if len(m.Issues) > 0 {
			issues[i] = mustJSON(m.Issues)
		}
		originals = append(originals, m.Original)
	}
	return s.endTasks(ctx, l, func(tx pgx.Tx) ([]TaskEnd, error) {
		left, err := forgetUnwanted(ctx, tx, unwanted, ends)
		if err != nil || n == 0 {
			return left, err
		}
		if _, err := tx.Exec(ctx, sqlRendered, pgx.NamedArgs{
			"id": id, "hash": hash, "size": size, "width": width, "height": height, "media_type": types, "error": failure, "issues": issues,
		}); err != nil {
			return nil, err
		}
		_, err = tx.Exec(ctx, sqlTouchSettled, pgx.NamedArgs{"assets": []int64{}, "originals": originals, "urgent": true})
		return left, err
	})
}

// Picture is an asset as a channel is shown it.
type Picture struct {
	Ref, Code  string
	Filename   string
	Format     string
	MediaType  string
	Hash       []byte
	Error      string
	Labels     map[pim.Locale]string
	Width      int
	Height     int
	Renditions map[string]PictureRendition // by definition
}

// PictureRendition is one of a picture's renditions. None of Hash and Error: it
// is still to be made.
type PictureRendition struct {
	Hash      string      `json:"hash"` // in hexadecimal
	MediaType string      `json:"media_type"`
	Error     string      `json:"error"`
	Issues    []pim.Issue `json:"issues"`
	Width     int         `json:"width"`
	Height    int         `json:"height"`
}

// Bytes is the hash itself; nil when there is none.
func (r PictureRendition) Bytes() []byte {
	b, err := hex.DecodeString(r.Hash)
	if err != nil || len(b) == 0 {
		return nil
	}
	return b
}

const sqlPictures = `
select a.ref, a.code, a.filename, a.format, a.media_type, a.hash, coalesce(a.error, ''), a.labels, a.width, a.height, (
    select coalesce(jsonb_object_agg(d.code, jsonb_build_object('hash', coalesce(encode(r.hash, 'hex'), ''), 'media_type', coalesce(r.media_type, ''),
               'error', coalesce(r.error, ''), 'issues', r.issues, 'width', r.width, 'height', r.height)), '{}')
    from rendition_definition d left join rendition r on r.original = a.hash and r.spec = d.spec and r.focal = case when d.focal then a.focal else '' end
    where d.code = any(@renditions::text[]))
from asset a where a.id in (
    select id from asset where ref = any(@ref::text[]) union select id from asset where code = any(@ref::text[]))`

// Pictures reads what media values name, with the named renditions: those that
// are there, by what names them, codes and URLs.
func (s *Store) Pictures(ctx context.Context, refs, renditions []string) (map[string]*Picture, error) {
	if renditions == nil {
		renditions = []string{}
	}
	rows, err := s.work.Query(ctx, sqlPictures, pgx.NamedArgs{"ref": refs, "renditions": renditions})
	if err != nil {
		return nil, fmt.Errorf("read pictures: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (*Picture, error) {
		p := &Picture{}
		return p, r.Scan(&p.Ref, &p.Code, &p.Filename, &p.Format, &p.MediaType, &p.Hash, &p.Error, &p.Labels, &p.Width, &p.Height, &p.Renditions)
	})
	if err != nil {
		return nil, fmt.Errorf("read pictures: %w", err)
	}
	out := make(map[string]*Picture, len(list))
	for _, p := range list {
		out[p.Ref] = p
		if _, taken := out[p.Code]; !taken {
			out[p.Code] = p
		}
	}
	return out, nil
}

const sqlMediaKey = `
with put as (update catalogue set media_key = @key where media_key is null returning media_key)
select coalesce((select media_key from put), (select media_key from catalogue))`

// MediaKey is the sealed key that signs the URLs of files: fresh, if there was
// none.
func (s *Store) MediaKey(ctx context.Context, fresh []byte) (key []byte, err error) {
	for range 2 { // who was slower sees no key in its own snapshot
		if err = s.pool.QueryRow(ctx, sqlMediaKey, pgx.NamedArgs{"key": fresh}).Scan(&key); err != nil {
			return nil, fmt.Errorf("read the media key: %w", err)
		}
		if key != nil {
			return key, nil
		}
	}
	return nil, errors.New("there is no media key")
}

const sqlFirstToUse = `select count(*) = 0 from channel where deleted_at is null and renditions <> '{}' and id <> @id`

// usesRenditions has what a channel's renditions need queued (spreadNow), and has all products
// looked at when it is the first that has some. Another target was given no files.
func usesRenditions(ctx context.Context, tx pgx.Tx, c *Channel, anew bool) error {
	if anew {
		if _, err := tx.Exec(ctx, sqlForgetUploads, pgx.NamedArgs{"channel": int64(c.ID)}); err != nil {
			return err
		}
	}
	if len(c.Renditions) == 0 {
		return nil
	}
	var first bool
	if err := tx.QueryRow(ctx, sqlFirstToUse, pgx.NamedArgs{"id": int64(c.ID)}).Scan(&first); err != nil {
		return err
	}
	if err := derives(ctx, tx, pim.Media); err != nil {
		return err
	}
	if first {
		if err := backfill(ctx, tx, nil); err != nil {
			return err
		}
	}
	return spread(ctx, tx, "", false)
}

const sqlPublicURL = `
with put as (
    update catalogue set public_url = coalesce(nullif(@given, ''), nullif(@otherwise, ''))
    where @given <> '' and public_url is distinct from @given or public_url is null and @otherwise <> '' returning public_url
)
select coalesce((select public_url from put), (select public_url from catalogue), '')`

// PublicURL is where targets reach this house, the same in all processes: given
// where it is not empty, which is kept; else what was kept; else otherwise, which
// is kept then. "" while nobody knows.
func (s *Store) PublicURL(ctx context.Context, given, otherwise string) (address string, err error) {
	if err = s.pool.QueryRow(ctx, sqlPublicURL, pgx.NamedArgs{"given": given, "otherwise": otherwise}).Scan(&address); err != nil {
		return "", fmt.Errorf("read the public address: %w", err)
	}
	return address, nil
}
