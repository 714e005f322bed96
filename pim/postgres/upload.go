package postgres

import (
	"context"
	"encoding/hex"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

const (
	sqlUploads = `select encode(hash, 'hex'), remote from upload where channel_id = @channel and hash = any(@hash::bytea[])`
	sqlUpload  = `
insert into upload (channel_id, hash, remote) values (@channel, @hash, @remote)
on conflict (channel_id, hash) do update set remote = excluded.remote, at = now()`
	sqlForgetUploaded = `delete from upload where channel_id = (select id from channel where code = @code and deleted_at is null)`
	sqlForgetUploads  = `delete from upload where channel_id = @channel`
)

// Uploads reads how a channel's target calls files that it was given, by their
// hashes in hexadecimal; what it was not given is left out.
func (s *Store) Uploads(ctx context.Context, channel pim.ChannelID, hashes [][]byte) (map[string]string, error) {
	rows, err := s.work.Query(ctx, sqlUploads, pgx.NamedArgs{"channel": int64(channel), "hash": hashes})
	if err != nil {
		return nil, fmt.Errorf("read uploads of channel %d: %w", channel, err)
	}
	out := map[string]string{}
	var hash, remote string
	_, err = pgx.ForEachRow(rows, []any{&hash, &remote}, func() error {
		out[hash] = remote
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read uploads of channel %d: %w", channel, err)
	}
	return out, nil
}

// Uploaded notes durably how a channel's target calls a file that it was given.
func (s *Store) Uploaded(ctx context.Context, channel pim.ChannelID, hash []byte, remote string) error {
	_, err := s.pool.Exec(ctx, sqlUpload, pgx.NamedArgs{"channel": int64(channel), "hash": hash, "remote": storable(remote)})
	if err != nil {
		return fmt.Errorf("note the upload of %s to channel %d: %w", hex.EncodeToString(hash), channel, err)
	}
	return nil
}
