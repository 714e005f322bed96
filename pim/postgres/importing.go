package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// ImportRun is one import: an uploaded file and how far it has come.
type ImportRun struct {
	ID         int64           `json:"id"`
	State      string          `json:"state" enum:"uploading,running,finished,failed"`
	Filename   string          `json:"filename"`
	Actor      string          `json:"actor"`
	Options    json.RawMessage `json:"options"`
	Bytes      int64           `json:"bytes"`
	RowsDone   int64           `json:"rows_done"`
	RowsTotal  *int64          `json:"rows_total,omitempty" doc:"Known once the file was read to its end"`
	Created    int64           `json:"created"`
	Changed    int64           `json:"changed"`
	Unchanged  int64           `json:"unchanged"`
	Rejected   int64           `json:"rejected"`
	Warnings   int64           `json:"warnings"`
	Error      string          `json:"error,omitempty"`
	CreatedAt  time.Time       `json:"created_at"`
	FinishedAt *time.Time      `json:"finished_at,omitempty"`
}

// ImportFinding is one line of an import's report.
type ImportFinding struct {
	Row      int64        `json:"row" doc:"Record of the file, the first is 1"`
	Severity pim.Severity `json:"severity" enum:"error,warning"`
	SKU      string       `json:"sku,omitempty"`
	Column   string       `json:"column,omitempty"`
	Value    string       `json:"value,omitempty" doc:"At most 200 characters of it"`
	Code     string       `json:"code"`
	Problem  string       `json:"problem"`
}

const importColumns = `
id, state, filename, actor, options, bytes, rows_done, rows_total, created, changed, unchanged, rejected, warnings,
coalesce(error, ''), created_at, finished_at`

const (
	sqlBeginImport  = `insert into import (state, filename, actor, options) values ('uploading', @filename, @actor, @options) returning id`
	sqlImportChunk  = `insert into import_chunk (import_id, seq, data) values (@id, @seq, @data)`
	sqlStartImport  = `update import set state = 'running', bytes = @bytes where id = @id`
	sqlImportDrain  = `insert into consumer (kind, channel_id) values ('import', @id)`
	importChunkSize = 256 << 10
)

// CreateImport stores the file that r yields, whole or not at all, in pieces
// of bounded size, and makes its consumer. It reads r to its end, so the
// caller bounds it.
func (s *Store) CreateImport(ctx context.Context, filename, actor string, options json.RawMessage, r io.Reader) (id int64, err error) {
	err = inTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, sqlBeginImport, pgx.NamedArgs{"filename": storable(filename), "actor": actor, "options": options}).Scan(&id); err != nil {
			return err
		}
		var total int64
		buf := make([]byte, importChunkSize)
		for seq := 0; ; seq++ {
			n, err := io.ReadFull(r, buf)
			if n > 0 {
				total += int64(n)
				if _, err := tx.Exec(ctx, sqlImportChunk, pgx.NamedArgs{"id": id, "seq": seq, "data": buf[:n]}); err != nil {
					return err
				}
			}
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				break
			}
			if err != nil {
				return fmt.Errorf("read %s: %w", filename, err)
			}
		}
		if _, err := tx.Exec(ctx, sqlStartImport, pgx.NamedArgs{"id": id, "bytes": total}); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, sqlImportDrain, pgx.NamedArgs{"id": id})
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("store the import of %s: %w", filename, err)
	}
	return id, nil
}

const sqlImport = `select ` + importColumns + ` from import where id = @id`

// ImportRun reads one import; ErrNotFound.
func (s *Store) ImportRun(ctx context.Context, id int64) (ImportRun, error) {
	run, err := one(ctx, s.pool, sqlImport, pgx.NamedArgs{"id": id}, pgx.RowToStructByPos[ImportRun])
	if err != nil {
		return run, fmt.Errorf("import %d: %w", id, err)
	}
	return run, nil
}

const sqlImports = `select ` + importColumns + ` from import where @before::bigint = 0 or id < @before order by id desc limit @limit`

// ImportRuns lists imports, newest first.
func (s *Store) ImportRuns(ctx context.Context, page Page) (list []ImportRun, next string, err error) {
	before, err := cursor(page.After)
	if err != nil {
		return nil, "", err
	}
	rows, err := s.pool.Query(ctx, sqlImports, pgx.NamedArgs{"before": before, "limit": page.limit()})
	if err != nil {
		return nil, "", fmt.Errorf("list imports: %w", err)
	}
	list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[ImportRun])
	if err == nil && len(list) == page.limit() {
		next = fmt.Sprint(list[len(list)-1].ID)
	}
	return list, next, err
}

const sqlReadChunk = `select data from import_chunk where import_id = @id and seq = @seq`

// ImportFile reads an import's file from its start, a piece at a time.
func (s *Store) ImportFile(ctx context.Context, id int64) io.Reader {
	return &chunkReader{ctx: ctx, store: s, id: id}
}

type chunkReader struct {
	ctx   context.Context
	store *Store
	id    int64
	seq   int
	buf   []byte
}

// Read gives the next bytes of the file.
func (r *chunkReader) Read(p []byte) (int, error) {
	for len(r.buf) == 0 {
		err := r.store.work.QueryRow(r.ctx, sqlReadChunk, pgx.NamedArgs{"id": r.id, "seq": r.seq}).Scan(&r.buf)
		if errors.Is(err, pgx.ErrNoRows) {
			return 0, io.EOF
		}
		if err != nil {
			return 0, fmt.Errorf("read import %d: %w", r.id, err)
		}
		r.seq++
	}
	n := copy(p, r.buf)
	r.buf = r.buf[n:]
	return n, nil
}

const (
	sqlImportFence = `
select from consumer where kind = 'import' and channel_id = @channel and lane = @lane and epoch = @epoch and not released for key share`
	sqlImportProgress = `
update import set rows_done = @rows_done, rows_total = coalesce(@rows_total, rows_total), created = created + @created, changed = changed + @changed,
    unchanged = unchanged + @unchanged, rejected = rejected + @rejected, warnings = warnings + @warnings
where id = @channel and state = 'running'`
	sqlImportReport = `
insert into import_report (import_id, row, seq, severity, sku, column_, value, code, problem)
select @id, row, row_number() over (partition by row order by n), severity, nullif(sku, ''), nullif(col, ''), nullif(value, ''), code, problem
from unnest(@row::bigint[], @severity::text[], @sku::text[], @column::text[], @value::text[], @code::text[], @problem::text[])
    with ordinality as r (row, severity, sku, col, value, code, problem, n)`
)

// ImportProgress is what a committed chunk adds to an import.
type ImportProgress struct {
	RowsDone                                        int64 // rows whose outcome is committed, from the file's start
	RowsTotal                                       *int64
	Created, Changed, Unchanged, Rejected, Warnings int64
	Findings                                        []ImportFinding
}

// storable is text that PostgreSQL takes, of a file that may hold anything.
func storable(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "\uFFFD")
}

func report(ctx context.Context, tx pgx.Tx, id int64, fs []ImportFinding) error {
	if len(fs) == 0 {
		return nil
	}
	n := len(fs)
	row := make([]int64, n)
	severity, sku, column, value, code, problem := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	for i, f := range fs {
		row[i], severity[i], code[i] = f.Row, string(f.Severity), f.Code
		sku[i], column[i], value[i], problem[i] = storable(f.SKU), storable(f.Column), storable(f.Value), storable(f.Problem)
	}
	_, err := tx.Exec(ctx, sqlImportReport, pgx.NamedArgs{
		"id": id, "row": row, "severity": severity, "sku": sku, "column": column, "value": value, "code": code, "problem": problem,
	})
	return err
}

const (
	sqlFinishImport = `
update import set state = @state, error = nullif(@error, ''), finished_at = now()
where id = @channel and state = 'running' and exists (
    select from consumer where kind = 'import' and channel_id = @channel and lane = @lane and epoch = @epoch and not released for key share)`
	sqlDropChunks = `delete from import_chunk where import_id = @channel`
)

// FinishImport ends an import, failed when cause is not "", and drops its file.
func (s *Store) FinishImport(ctx context.Context, l Lease, cause string) error {
	args := l.args()
	args["state"], args["error"] = "finished", cause
	if cause != "" {
		args["state"] = "failed"
	}
	return inTx(ctx, s.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, sqlFinishImport, args)
		if err != nil {
			return fmt.Errorf("finish import %d: %w", l.Channel, err)
		}
		if tag.RowsAffected() == 0 {
			return ErrFenced
		}
		_, err = tx.Exec(ctx, sqlDropChunks, l.args())
		return err
	})
}

const sqlReport = `
select row, severity, coalesce(sku, ''), coalesce(column_, ''), coalesce(value, ''), code, problem
from import_report where import_id = @id and (row, seq) > (@row, @seq::bigint) order by row, seq limit @limit`

// ImportReport reads the report of an import behind the finding numbered
// after, in the order of rows.
func (s *Store) ImportReport(ctx context.Context, id int64, page Page) (list []ImportFinding, next string, err error) {
	row, seq := int64(0), int64(0)
	if page.After != "" {
		r, q, _ := strings.Cut(page.After, ".")
		if row, err = cursor(r); err == nil {
			seq, err = cursor(q)
		}
		if err != nil {
			return nil, "", err
		}
	}
	rows, err := s.pool.Query(ctx, sqlReport, pgx.NamedArgs{"id": id, "row": row, "seq": seq, "limit": page.limit()})
	if err != nil {
		return nil, "", fmt.Errorf("read the report of import %d: %w", id, err)
	}
	list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[ImportFinding])
	if err != nil {
		return nil, "", err
	}
	if n := len(list); n == page.limit() {
		// The sequence within a row starts at 1; count this row's on the page.
		last := list[n-1].Row
		k := int64(0)
		for i := n - 1; i >= 0 && list[i].Row == last; i-- {
			k++
		}
		if last == row {
			k += seq
		}
		next = fmt.Sprintf("%d.%d", last, k)
	}
	return list, next, nil
}
