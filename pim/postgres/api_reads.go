package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

const sqlProductRevision = `select rev from product where sku = @sku and deleted_at is null`

// ProductRevision reads a product's content revision; ErrNotFound.
func (s *Store) ProductRevision(ctx context.Context, sku pim.SKU) (rev int64, err error) {
	err = s.pool.QueryRow(ctx, sqlProductRevision, pgx.NamedArgs{"sku": sku}).Scan(&rev)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, fmt.Errorf("product %s: %w", sku, ErrNotFound)
	}
	if err != nil {
		return 0, fmt.Errorf("read the revision of product %s: %w", sku, err)
	}
	return rev, nil
}
