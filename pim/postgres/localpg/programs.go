//go:build unix

package localpg

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// oldest is the first PostgreSQL major version that Sluice's SQL is written for.
const oldest = 15

// Programs is one installation of PostgreSQL's server programs.
type Programs struct {
	Dir     string // the folder that holds postgres and initdb, symbolic links resolved
	Major   int    // 15
	Version string // as the program says it, such as "15.18 (Debian 15.18-0+deb12u1)"
}

// programDirs are the places where packages put server programs when they do not put them on PATH, newest version
// chosen: Debian, PGDG's RPMs, Alpine, Homebrew (Apple silicon, Intel, Linux), Postgres.app. deploy/ensure-postgres.sh
// looks at the same places.
var programDirs = []string{
	"/usr/lib/postgresql/*/bin",
	"/usr/lib/postgresql*/bin",
	"/usr/pgsql-*/bin",
	"/usr/libexec/postgresql*",
	"/opt/homebrew/opt/postgresql@*/bin",
	"/usr/local/opt/postgresql@*/bin",
	"/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
	"/Applications/Postgres.app/Contents/Versions/*/bin",
}

// Find returns the installations of PostgreSQL 15 or newer that the server's user can run, the preferred first: those
// on PATH in its order, then the others, newest first. None found is [ErrNoPrograms].
func Find(ctx context.Context) ([]Programs, error) {
	acc, err := serverAccount("")
	if err != nil {
		return nil, err
	}
	return find(ctx, acc)
}

func find(ctx context.Context, acc *account) ([]Programs, error) {
	onPath := inspect(ctx, acc, filepath.SplitList(os.Getenv("PATH")), nil)
	var dirs []string
	for _, pattern := range programDirs {
		matches, err := filepath.Glob(pattern)
		if err != nil {
			return nil, fmt.Errorf("look for PostgreSQL in %s: %w", pattern, err)
		}
		dirs = append(dirs, matches...)
	}
	others := inspect(ctx, acc, dirs, onPath)
	slices.SortStableFunc(others, func(a, b Programs) int { return cmp.Compare(b.Major, a.Major) })
	found := append(onPath, others...)
	if len(found) == 0 {
		return nil, fmt.Errorf("%w on PATH, in /usr/lib/postgresql, Homebrew's folders or Postgres.app: "+
			"run `sh deploy/ensure-postgres.sh`, install the package postgresql, or set DATABASE_URL to a server of yours", ErrNoPrograms)
	}
	return found, nil
}

// inspect returns what the folders hold, leaving out what is in known. A folder with one program alone (pg_ctl of some
// other build, a lone symbolic link) is no installation.
func inspect(ctx context.Context, acc *account, dirs []string, known []Programs) []Programs {
	var found []Programs
	for _, dir := range dirs {
		if !filepath.IsAbs(dir) {
			continue // a relative PATH entry would run whatever lies in the current folder
		}
		real, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres"))
		if err != nil {
			continue
		}
		if _, err := os.Stat(filepath.Join(filepath.Dir(real), "initdb")); err == nil {
			dir = filepath.Dir(real)
		} else if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
			continue
		}
		same := func(p Programs) bool { return p.Dir == dir }
		if slices.ContainsFunc(known, same) || slices.ContainsFunc(found, same) {
			continue
		}
		if p, ok := ask(ctx, acc, dir); ok && p.Major >= oldest {
			found = append(found, p)
		}
	}
	return found
}

var versionLine = regexp.MustCompile(`^postgres \(PostgreSQL\) ((\d+).*)`)

// ask runs postgres --version as the server's user, so that programs which that user cannot run do not count.
func ask(ctx context.Context, acc *account, dir string) (Programs, bool) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version")
	cmd.Env, cmd.Dir, cmd.SysProcAttr = serverEnv(), "/", acc.attr()
	out, err := cmd.Output()
	if err != nil {
		return Programs{}, false
	}
	return parseVersion(dir, string(out))
}

func parseVersion(dir, out string) (Programs, bool) {
	m := versionLine.FindStringSubmatch(strings.TrimSpace(out))
	if m == nil {
		return Programs{}, false
	}
	major, err := strconv.Atoi(m[2])
	if err != nil {
		return Programs{}, false
	}
	return Programs{Dir: dir, Major: major, Version: m[1]}, true
}

// choosePrograms takes the installation that made the existing database, or the preferred one for a new database.
func (s *Server) choosePrograms(ctx context.Context) (Programs, error) {
	found, err := find(ctx, s.account)
	if err != nil {
		return Programs{}, err
	}
	return choose(found, s.path("data"))
}

func choose(found []Programs, data string) (Programs, error) {
	major, err := dataVersion(data)
	if err != nil {
		return Programs{}, err
	}
	if major == 0 {
		return found[0], nil
	}
	var have []string
	for _, p := range found {
		if p.Major == major {
			return p, nil
		}
		have = append(have, fmt.Sprintf("%d in %s", p.Major, p.Dir))
	}
	return Programs{}, fmt.Errorf("%w: %s was made by PostgreSQL %d, installed is %s. "+
		"Install PostgreSQL %d beside it and start again; or bring the database to the installed version with pg_upgrade "+
		"(or pg_dump and psql) yourself. Nothing was changed",
		ErrVersion, data, major, strings.Join(have, ", "), major)
}

// dataVersion is the major version that made the database in data, 0 when there is none.
func dataVersion(data string) (int, error) {
	text, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if os.IsNotExist(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the version of the database in %s: %w", data, err)
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("read the version of the database in %s: %w", data, err)
	}
	return major, nil
}
