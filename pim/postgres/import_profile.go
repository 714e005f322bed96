package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// ImportProfile is a name for options of imports.
type ImportProfile struct {
	Code      string          `json:"code"`
	Rev       int64           `json:"-"` // the ETag
	CreatedAt time.Time       `json:"created_at"`
	UpdatedAt time.Time       `json:"updated_at"`
	Options   json.RawMessage `json:"options"`
}

const importProfileColumns = `code, rev, created_at, updated_at, options`

const sqlImportProfile = `select ` + importProfileColumns + ` from import_profile where code = @code`

// ImportProfile reads one profile; ErrNotFound.
func (s *Store) ImportProfile(ctx context.Context, code string) (ImportProfile, error) {
	return s.importProfile(ctx, sqlImportProfile, pgx.NamedArgs{"code": storable(code)})
}

func (s *Store) importProfile(ctx context.Context, sql string, args pgx.NamedArgs) (ImportProfile, error) {
	p, err := one(ctx, s.pool, sql, args, pgx.RowToStructByPos[ImportProfile])
	if err != nil {
		return p, fmt.Errorf("import profile %s: %w", args["code"], err)
	}
	return p, nil
}

const sqlImportProfiles = `select ` + importProfileColumns + ` from import_profile where code > @after order by code limit @limit`

// ImportProfiles lists profiles by their codes.
func (s *Store) ImportProfiles(ctx context.Context, page Page) (list []ImportProfile, next string, err error) {
	rows, err := s.pool.Query(ctx, sqlImportProfiles, pgx.NamedArgs{"after": storable(page.After), "limit": page.limit()})
	if err != nil {
		return nil, "", fmt.Errorf("list import profiles: %w", err)
	}
	list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[ImportProfile])
	if err == nil && len(list) == page.limit() {
		next = list[len(list)-1].Code
	}
	return list, next, err
}

const (
	sqlPutImportProfile = `
insert into import_profile as p (code, options) values (@code, @options)
on conflict (code) do update set options = excluded.options, updated_at = now(), rev = p.rev + (p.options is distinct from excluded.options)::int
returning ` + importProfileColumns
	sqlChangeImportProfile = `
update import_profile set options = @options, updated_at = now(), rev = rev + (options is distinct from @options)::int
where code = @code and rev = @rev returning ` + importProfileColumns
)

// PutImportProfile makes a profile, or puts other options in the place of those
// that it had. The caller has checked code and options. ifMatch, when not 0, is the
// revision that it must have (ErrStale).
func (s *Store) PutImportProfile(ctx context.Context, code string, options json.RawMessage, ifMatch int64) (ImportProfile, error) {
	args := pgx.NamedArgs{"code": code, "options": options, "rev": ifMatch}
	if ifMatch == 0 {
		return s.importProfile(ctx, sqlPutImportProfile, args)
	}
	p, err := s.importProfile(ctx, sqlChangeImportProfile, args)
	if errors.Is(err, ErrNotFound) {
		err = ErrStale
	}
	return p, err
}

const sqlDeleteImportProfile = `delete from import_profile where code = @code and (@if_match = 0 or rev = @if_match)`

// DeleteImportProfile removes a profile; ErrNotFound. Imports keep the options
// that they were begun with.
func (s *Store) DeleteImportProfile(ctx context.Context, code string, ifMatch int64) error {
	tag, err := s.pool.Exec(ctx, sqlDeleteImportProfile, pgx.NamedArgs{"code": storable(code), "if_match": ifMatch})
	if err == nil && tag.RowsAffected() == 0 {
		err = unmatched(ifMatch)
	}
	if err != nil {
		return fmt.Errorf("import profile %s: %w", code, err)
	}
	return nil
}
