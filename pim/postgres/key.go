package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// APIKey is a client's key without its secret.
type APIKey struct {
	ID        int64
	Name      string
	Role      string
	CreatedAt time.Time
	RevokedAt *time.Time
}

const sqlCreateKey = `insert into api_key (name, role, hash) values (@name, @role, @hash) returning id, name, role, created_at, revoked_at`

// CreateKey stores a key by the SHA-256 of its secret, which nobody can ask back.
func (s *Store) CreateKey(ctx context.Context, name, role string, hash []byte) (APIKey, error) {
	k, err := s.key(ctx, sqlCreateKey, pgx.NamedArgs{"name": name, "role": role, "hash": hash})
	if err != nil {
		return k, fmt.Errorf("create key %s: %w", name, err)
	}
	return k, nil
}

const sqlKeyByHash = `select id, name, role, created_at, revoked_at from api_key where hash = @hash and revoked_at is null`

// KeyByHash finds a key that is not revoked; ErrNotFound.
func (s *Store) KeyByHash(ctx context.Context, hash []byte) (APIKey, error) {
	return s.key(ctx, sqlKeyByHash, pgx.NamedArgs{"hash": hash})
}

const sqlRevokeKey = `update api_key set revoked_at = coalesce(revoked_at, now()) where id = @id returning id, name, role, created_at, revoked_at`

// RevokeKey ends a key; processes notice within seconds.
func (s *Store) RevokeKey(ctx context.Context, id int64) (APIKey, error) {
	return s.key(ctx, sqlRevokeKey, pgx.NamedArgs{"id": id})
}

func (s *Store) key(ctx context.Context, sql string, args pgx.NamedArgs) (APIKey, error) {
	return one(ctx, s.pool, sql, args, pgx.RowToStructByPos[APIKey])
}

const sqlKeys = `select id, name, role, created_at, revoked_at from api_key order by id`

// Keys lists all keys, revoked ones included.
func (s *Store) Keys(ctx context.Context) ([]APIKey, error) {
	rows, err := s.pool.Query(ctx, sqlKeys)
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[APIKey])
}

const (
	sqlKeysetCheck    = `select keyset_check from catalogue`
	sqlSetKeysetCheck = `update catalogue set keyset_check = @mine where keyset_check is null`
)

// KeysetCheck reads what the first process with a keyset sealed for this
// database; nil: none did yet.
func (s *Store) KeysetCheck(ctx context.Context) (check []byte, err error) {
	if err := s.pool.QueryRow(ctx, sqlKeysetCheck).Scan(&check); err != nil {
		return nil, fmt.Errorf("read what tells the keyset: %w", err)
	}
	return check, nil
}

// SetKeysetCheck keeps mine for KeysetCheck, unless there is something already.
func (s *Store) SetKeysetCheck(ctx context.Context, mine []byte) error {
	if _, err := s.pool.Exec(ctx, sqlSetKeysetCheck, pgx.NamedArgs{"mine": mine}); err != nil {
		return fmt.Errorf("keep what tells the keyset: %w", err)
	}
	return nil
}
