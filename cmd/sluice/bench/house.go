//go:build unix

package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sluicehub/sluice/api"
	"github.com/sluicehub/sluice/cmd/sluice/node"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/migrations"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
	"github.com/sluicehub/sluice/pim/seal"
)

// pushConcurrency is how many calls a channel of the bench has in flight at
// most; the bare River has riverWorkers.
const pushConcurrency = 64

// house is Sluice itself: one node as `sluice serve` runs it, with API and
// workers, and its channels on the target process.
type house struct {
	node    *node.Node
	pool    *pgxpool.Pool // the bench's own look at the database
	url     string        // of the API, with /v1
	key     string
	dsn     string
	dir     string              // of the keyset
	list    []*postgres.Channel // by number
	secrets []json.RawMessage   // their configs
}

// openHouse makes one of an empty database, without channels. work: the node
// works; else it only serves the API.
func openHouse(ctx context.Context, db *database, dsn string, work bool, log *slog.Logger) (_ *house, err error) {
	h := &house{dsn: dsn}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.close())
		}
	}()
	if err := migrations.Up(ctx, dsn, log); err != nil {
		return nil, err
	}
	if h.dir, err = os.MkdirTemp("", "sluice-bench-keys-"); err != nil {
		return nil, err
	}
	keys, err := seal.OpenOrCreate(filepath.Join(h.dir, "keyset.json"))
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the API: %w", err)
	}
	h.url = "http://" + listener.Addr().String() + "/v1"
	h.node, err = node.Start(ctx, node.Options{
		DSN: dsn, Keys: keys, Log: log, Listener: listener, Work: work, AllowPrivate: true, Version: "bench",
	})
	if err != nil {
		return nil, err
	}
	if h.pool, err = db.pool(ctx, dsn, 4, false); err != nil {
		return nil, err
	}
	var hash []byte
	h.key, hash = api.NewKey()
	if _, err := h.node.Store.CreateKey(ctx, "bench", "editor", hash); err != nil {
		return nil, err
	}
	if _, err := h.node.Store.ChangeSchema(ctx, schemaChange()); err != nil {
		return nil, err
	}
	return h, nil
}

// channel creates the channel numbered i, paused: the first one sends one item
// per call, the others 100.
func (h *house) channel(ctx context.Context, i int, target *sink) error {
	config, err := json.Marshal(map[string]string{"url": target.Targets[i], "secret": target.Secret})
	if err != nil {
		return err
	}
	paused := false
	ch, err := h.node.Channels.Create(ctx, jobs.ChannelSpec{
		Code: pim.ChannelCode(fmt.Sprintf("bench-%d", i)), Connector: "webhook", Locale: locale, Currency: "EUR", Config: config,
		Batch: batchOf(i), Concurrency: pushConcurrency, Enabled: &paused,
	})
	if err != nil {
		return err
	}
	h.list = append(h.list, ch)
	h.secrets = append(h.secrets, config)
	return nil
}

// shop creates a channel to the fake WooCommerce shop, paused, and gives its number.
func (h *house) shop(ctx context.Context, target *sink) (int, error) {
	config, err := json.Marshal(target.Shop)
	if err != nil {
		return 0, err
	}
	paused := false
	ch, err := h.node.Channels.Create(ctx, jobs.ChannelSpec{
		Code: "bench-shop", Connector: "woocommerce", Locale: locale, Currency: "EUR", Config: config, Concurrency: pushConcurrency, Enabled: &paused,
	})
	if err != nil {
		return 0, err
	}
	h.list = append(h.list, ch)
	h.node.Runner.WakeChannel(ch.ID)
	return len(h.list) - 1, nil
}

func batchOf(i int) int {
	if i == 0 {
		return 1
	}
	return 100
}

// rebatch gives the first channel the batch of the others.
func (h *house) rebatch(ctx context.Context) error {
	enabled := true
	ch, err := h.node.Channels.Update(ctx, h.list[0].Code, jobs.ChannelSpec{
		Locale: locale, Currency: "EUR", Config: h.secrets[0], Batch: batchOf(1), Concurrency: pushConcurrency, Enabled: &enabled,
	}, 0)
	if err != nil {
		return err
	}
	h.list[0] = ch
	h.node.Runner.WakeChannel(ch.ID)
	return nil
}

// resume lets channels send.
func (h *house) resume(ctx context.Context, numbers ...int) error {
	for _, i := range numbers {
		if err := h.node.Store.ResumeChannel(ctx, h.list[i].Code); err != nil {
			return err
		}
		h.node.Runner.WakeChannel(h.list[i].ID)
	}
	return nil
}

// remove deletes channels for good.
func (h *house) remove(ctx context.Context, numbers ...int) error {
	for _, i := range numbers {
		if err := h.node.Store.DeleteChannel(ctx, h.list[i].Code, 0); err != nil {
			return err
		}
	}
	return nil
}

const (
	sqlOutboxEmpty = `select not exists (select from outbox) and not exists (select from channel where mark_after is not null and deleted_at is null)`
	// In the order of the index: of an exists, PostgreSQL reads all listings.
	sqlClean = `select not coalesce((select dirty from listing where channel_id = $1 and lane = 1 and dirty order by channel_id, lane limit 1), false)`
)

// marked waits until fan-out has nothing left to do.
func (h *house) marked(ctx context.Context) error { return until(ctx, h.pool, sqlOutboxEmpty) }

// clean waits until everything is acknowledged on a channel.
func (h *house) clean(ctx context.Context, number int) error {
	return until(ctx, h.pool, sqlClean, int64(h.list[number].ID))
}

// look is how often the bench asks whether something is over: the database has
// no way to call it. It adds to a time that is measured, and is small beside it.
const look = 5 * time.Millisecond

// until asks sql, a boolean, until it is true.
func until(ctx context.Context, pool *pgxpool.Pool, sql string, args ...any) error {
	return untilEvery(ctx, look, pool, sql, args...)
}

// untilEvery is until for a question that costs something.
func untilEvery(ctx context.Context, every time.Duration, pool *pgxpool.Pool, sql string, args ...any) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		var done bool
		if err := pool.QueryRow(ctx, sql, args...).Scan(&done); err != nil {
			return fmt.Errorf("ask whether it is over: %w", err)
		}
		if done {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// vacuum does at once what autovacuum would within the minute.
func vacuum(ctx context.Context, pool *pgxpool.Pool) error {
	if _, err := pool.Exec(ctx, `vacuum (analyze)`); err != nil {
		return fmt.Errorf("vacuum: %w", err)
	}
	return nil
}

func (h *house) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closing)
	defer cancel()
	var err error
	if h.node != nil {
		err = h.node.Stop(ctx)
	}
	if h.pool != nil {
		h.pool.Close()
	}
	if h.dir != "" {
		err = errors.Join(err, os.RemoveAll(h.dir))
	}
	return err
}

// editor edits products over HTTP, as clients do.
type editor struct {
	client *http.Client
	url    string
	key    string
}

func (h *house) editor(conns int) *editor {
	return &editor{client: keepAlive(conns), url: h.url, key: h.key}
}
