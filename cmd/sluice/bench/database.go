//go:build unix

package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sluicehub/sluice/pim/postgres/localpg"
)

// database is the server of a run with the run's two databases: Sluice's and
// the bare River's.
type database struct {
	server *localpg.Server // nil: DATABASE_URL's
	dir    string          // of the private server
	base   string          // the server's address
	admin  *pgx.Conn
	dsn    string   // of Sluice's database
	river  string   // of the bare River's
	made   []string // names of databases to drop
}

// closing bounds what is done at the end, also of a run that was interrupted.
const closing = 30 * time.Second

func openDatabase(ctx context.Context, dsn string, statements bool) (_ *database, err error) {
	d := &database{}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	if dsn == "" {
		if d.dir, err = publicTemp(); err != nil {
			return nil, fmt.Errorf("make a folder for the private server: %w", err)
		}
		extra := map[string]string{}
		if statements {
			extra["shared_preload_libraries"] = "pg_stat_statements"
			extra["pg_stat_statements.track_planning"] = "on"
		}
		d.server, err = localpg.Start(ctx, localpg.Options{DataDir: filepath.Join(d.dir, "pg"), Durable: true, ExtraConfig: extra})
		if err != nil {
			return nil, err
		}
		dsn = d.server.DSN()
	}
	if d.admin, err = pgx.Connect(ctx, dsn); err != nil {
		return nil, errors.New("cannot connect to the database that DATABASE_URL names")
	}
	d.base = dsn
	if d.dsn, err = d.fresh(ctx, ""); err != nil {
		return nil, err
	}
	d.river, err = d.fresh(ctx, "river_")
	return d, err
}

// fresh makes another database of the run and gives its DSN.
func (d *database) fresh(ctx context.Context, what string) (string, error) {
	name := "sluice_bench_" + what + strings.ToLower(rand.Text()[:8])
	if _, err := d.admin.Exec(ctx, "create database "+name); err != nil {
		return "", fmt.Errorf("make a database for the run: %w", err)
	}
	d.made = append(d.made, name)
	return inDatabase(d.base, name)
}

// drop drops the newest of the run's databases, before the others.
func (d *database) drop(ctx context.Context) error {
	name := d.made[len(d.made)-1]
	if _, err := d.admin.Exec(ctx, "drop database if exists "+name+" with (force)"); err != nil {
		return fmt.Errorf("drop database %s: %w", name, err)
	}
	d.made = d.made[:len(d.made)-1]
	return nil
}

// publicTemp makes a folder that the private server's user can enter, also
// when this process is root's.
func publicTemp() (string, error) {
	temp := os.TempDir()
	if ok, err := localpg.Enterable(temp); err != nil || !ok {
		temp = "/tmp"
	}
	dir, err := os.MkdirTemp(temp, "sluice-bench-")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o711)
}

// inDatabase is a DSN with another database's name in it.
func inDatabase(dsn, name string) (string, error) {
	if !strings.HasPrefix(dsn, "postgres://") && !strings.HasPrefix(dsn, "postgresql://") {
		return dsn + " dbname=" + name, nil // keywords and values: the last one counts
	}
	u, err := url.Parse(dsn)
	if err != nil {
		return "", errors.New("the database address (DATABASE_URL) cannot be read")
	}
	u.Path = "/" + name
	return u.String(), nil
}

// close drops the run's databases, and ends and removes a private server.
func (d *database) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closing)
	defer cancel()
	var err error
	if d.admin != nil {
		for _, name := range d.made {
			if _, e := d.admin.Exec(ctx, "drop database if exists "+name+" with (force)"); e != nil {
				err = errors.Join(err, fmt.Errorf("drop database %s: %w", name, e))
			}
		}
		err = errors.Join(err, d.admin.Close(ctx))
	}
	if d.server != nil {
		err = errors.Join(err, d.server.Stop(ctx), os.RemoveAll(d.server.Dir()))
	}
	if d.dir != "" {
		err = errors.Join(err, os.RemoveAll(d.dir))
	}
	return err
}

// pool opens a pool on one of the run's databases, of the same size as the
// node's. async: commits as the node's consumers do, without waiting for the
// disk.
func (d *database) pool(ctx context.Context, dsn string, conns int32, async bool) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, errors.New("the database address (DATABASE_URL) cannot be read")
	}
	cfg.MaxConns, cfg.MinIdleConns = conns, 1
	cfg.ConnConfig.RuntimeParams["application_name"] = "sluice-bench"
	if async {
		cfg.ConnConfig.RuntimeParams["synchronous_commit"] = "off"
	}
	return pgxpool.NewWithConfig(ctx, cfg)
}

// serverSettings are what a server's speed hangs on.
var serverSettings = []string{
	"fsync", "synchronous_commit", "full_page_writes", "wal_sync_method", "shared_buffers", "max_wal_size", "autovacuum", "jit",
}

func (b *bench) settings(ctx context.Context) ([]Setting, error) {
	var version string
	if err := b.db.admin.QueryRow(ctx, `show server_version`).Scan(&version); err != nil {
		return nil, fmt.Errorf("read the server's version: %w", err)
	}
	where := "private, production's durability"
	if b.db.server == nil {
		where = "DATABASE_URL's"
	}
	server := []string{where}
	for _, name := range serverSettings {
		var v string
		if err := b.db.admin.QueryRow(ctx, `select current_setting($1)`, name).Scan(&v); err != nil {
			return nil, fmt.Errorf("read the server's setting %s: %w", name, err)
		}
		server = append(server, name+" "+v)
	}
	s := append(machine(), []Setting{
		{"postgresql", version + ": " + strings.Join(server, ", ")},
		{"pools", "the same for Sluice (edits; workers, with synchronous_commit off) and for the bare River (inserts, workers)"},
		{"bare river", fmt.Sprintf("FetchCooldown %v, %d workers, own database on the same server, one job per delivery, plain HTTP client, documents ready-made", riverCooldown, riverWorkers)},
		{"catalogue", fmt.Sprintf("%d products of %d attributes, %d bytes of JSON on average; listings: %d channels, content lane", b.Products, len(attributes), b.catalog.size, channels)},
		{"target", fmt.Sprintf("another process, %d fakes of a signed webhook target that answer 204", channels)},
	}...)
	if l := loadAverage(); l != "" {
		s = append(s, Setting{"load average", l + " before the run"})
	}
	return s, nil
}

// machine is what every figure depends on.
func machine() []Setting {
	return []Setting{
		{"go", fmt.Sprintf("%s, %s/%s, %d CPUs, GOMAXPROCS %d", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.GOMAXPROCS(0))},
	}
}

// loadAverage is the system's, where it can be told cheaply; "" elsewhere.
func loadAverage() string {
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		if f := strings.Fields(string(b)); len(f) >= 3 {
			return strings.Join(f[:3], " ")
		}
	}
	if b, err := exec.Command("uptime").Output(); err == nil {
		if _, load, ok := strings.Cut(string(b), "load average"); ok {
			return strings.Trim(load, "s: \n")
		}
	}
	return ""
}
