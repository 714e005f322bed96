//go:build unix

package localpg

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// adminRole is the superuser that initdb makes.
const adminRole = "postgres"

// workPrefix begins the name of a folder in which a database is being made. It becomes data by being renamed, so what
// still has this name is unfinished and held nobody's data.
const workPrefix = "unfinished-"

// secrets are the passwords of the two roles, kept in passwords.json.
type secrets struct {
	Admin  string `json:"admin"`
	Sluice string `json:"sluice"`
}

func (s *Server) path(name string) string { return filepath.Join(s.home, name) }

// checkHome refuses a folder that is neither empty nor made by localpg. It changes nothing.
func checkHome(home string) error {
	entries, err := os.ReadDir(home)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look into the database's folder: %w", err)
	}
	for _, e := range entries {
		switch name := e.Name(); name {
		case "data", "log", "lock", "passwords.json", "port", "README.txt":
		default:
			if !strings.HasPrefix(name, workPrefix) {
				return fmt.Errorf("%w: %s has %s in it; choose an empty folder", ErrForeign, home, name)
			}
		}
	}
	data := filepath.Join(home, "data")
	inside, err := os.ReadDir(data)
	if os.IsNotExist(err) || err == nil && len(inside) == 0 {
		return nil
	}
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("open the database: %w; it belongs to the user that it was first started by, so start it as that user or as root", err)
	}
	if err != nil {
		return fmt.Errorf("look into the database's folder: %w", err)
	}
	if !exists(filepath.Join(data, "PG_VERSION")) {
		return fmt.Errorf("%w: %s is not empty and no database; choose another folder", ErrForeign, data)
	}
	if !exists(filepath.Join(home, "passwords.json")) {
		return fmt.Errorf("%w: %s is a database, but its passwords are not beside it in %s; put that file back, or choose another folder",
			ErrForeign, data, filepath.Join(home, "passwords.json"))
	}
	return nil
}

// makeHome makes the folder and those above it that are missing. For another user's server they can be entered, not listed.
func makeHome(home string, acc *account) error {
	mode := fs.FileMode(0o700)
	if acc != nil {
		mode = 0o711
	}
	var missing []string
	for at := home; !exists(at); at = filepath.Dir(at) {
		missing = append(missing, at)
	}
	for i := len(missing) - 1; i >= 0; i-- {
		if err := os.Mkdir(missing[i], mode); err != nil && !os.IsExist(err) {
			return fmt.Errorf("make the database's folder: %w", err)
		}
		if err := os.Chmod(missing[i], mode); err != nil { // whatever the umask took away
			return fmt.Errorf("make the database's folder: %w", err)
		}
	}
	if len(missing) == 0 && acc != nil {
		if err := os.Chmod(home, mode); err != nil {
			return fmt.Errorf("let user %s enter the database's folder: %w", acc.name, err)
		}
	}
	return nil
}

// takeLock locks the file for the life of this process, which the kernel ends also after kill -9.
func takeLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		holder, err := io.ReadAll(io.LimitReader(f, 32))
		if err != nil || len(holder) == 0 {
			holder = []byte("unknown")
		}
		return nil, fmt.Errorf("%w by the process with pid %s: stop that one, or choose another data folder", ErrInUse, strings.TrimSpace(string(holder)))
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = fmt.Fprintln(f, os.Getpid())
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("write the lock %s: %w", path, err)
	}
	return f, nil
}

// readSecrets returns the folder's passwords, and makes them when the folder is new.
func readSecrets(path string, sync bool) (secrets, error) {
	var s secrets
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &s)
		if err == nil && (s.Admin == "" || s.Sluice == "") {
			err = errors.New("a password is missing")
		}
	} else if os.IsNotExist(err) {
		s = secrets{Admin: rand.Text(), Sluice: rand.Text()}
		text, err = json.Marshal(s)
		if err == nil {
			err = writeFile(path, text, sync)
		}
	}
	if err != nil {
		return secrets{}, fmt.Errorf("read the database's passwords in %s: %w", path, err)
	}
	return s, nil
}

// writeFile writes a file that only this user may read, whole or not at all. With sync it outlives a power loss.
func writeFile(path string, content []byte, sync bool) error {
	f, err := os.CreateTemp(filepath.Dir(path), workPrefix) // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil && sync {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), path)
}

// makeDatabase sees to it that data holds a database: made by initdb, or copied from the seed, in a folder beside it
// that is then renamed, so that an end in the middle leaves nothing half done.
func (s *Server) makeDatabase(ctx context.Context) error {
	unfinished, err := filepath.Glob(s.path(workPrefix + "*"))
	if err != nil {
		return fmt.Errorf("look for unfinished databases: %w", err)
	}
	for _, dir := range unfinished {
		if err := os.RemoveAll(dir); err != nil {
			s.log.Warn("an unfinished database stays", "dir", dir, "error", err)
		}
	}
	data := s.path("data")
	seeded := s.opts.Seed != "" && !exists(filepath.Join(data, "PG_VERSION"))
	if seeded {
		text, err := os.ReadFile(filepath.Join(s.opts.Seed, "passwords.json"))
		if err != nil {
			return fmt.Errorf("read the seed's passwords: %w", err)
		}
		if err := writeFile(s.path("passwords.json"), text, s.opts.Durable); err != nil {
			return fmt.Errorf("copy the seed's passwords: %w", err)
		}
	}
	if s.secrets, err = readSecrets(s.path("passwords.json"), s.opts.Durable); err != nil {
		return err
	}
	if exists(filepath.Join(data, "PG_VERSION")) {
		return nil
	}
	work, err := os.MkdirTemp(s.home, workPrefix)
	if err != nil {
		return fmt.Errorf("make the database: %w", err)
	}
	defer os.RemoveAll(work)
	if err := s.give(work); err != nil {
		return fmt.Errorf("make the database: %w", err)
	}
	made := filepath.Join(work, "data")
	if seeded {
		err = s.copyTree(filepath.Join(s.opts.Seed, "data"), made)
	} else {
		err = s.initdb(ctx, work, made)
	}
	if err != nil {
		return fmt.Errorf("make the database in %s: %w", work, err)
	}
	// rename replaces an empty folder and no other.
	if err := os.Rename(made, data); err != nil {
		return fmt.Errorf("put the new database in its place: %w", err)
	}
	if !s.opts.Durable {
		return nil
	}
	return syncDir(s.home)
}

// give makes the server's user the owner of a file or folder.
func (s *Server) give(path string) error {
	if s.account == nil {
		return nil
	}
	return os.Lchown(path, int(s.account.uid), int(s.account.gid))
}

// characters are the locales tried, in order, for what is a letter and what its upper case is. Sorting is always by code
// point: it is the same on every machine, and an upgraded system library cannot break an index. Not every system has every locale.
var characters = []string{"C.UTF-8", "en_US.UTF-8", "C"}

func (s *Server) initdb(ctx context.Context, work, made string) error {
	pwfile := filepath.Join(work, "password")
	if err := os.WriteFile(pwfile, []byte(s.secrets.Admin+"\n"), 0o600); err != nil {
		return fmt.Errorf("hand over the password: %w", err)
	}
	if err := s.give(pwfile); err != nil {
		return fmt.Errorf("hand over the password: %w", err)
	}
	var err error
	for _, letters := range characters {
		args := []string{
			"-D", made, "-U", adminRole, "--pwfile=" + pwfile, "-A", "scram-sha-256", "-E", "UTF8",
			"--locale-provider=libc", "--locale=C", "--lc-ctype=" + letters, "--no-instructions",
		}
		if !s.opts.Durable {
			args = append(args, "--no-sync", "--wal-segsize=1") // a folder that is quick to copy
		}
		if err = s.run(ctx, "initdb", args...); err == nil {
			s.log.Info("made a new database", "version", s.bin.Version, "letters", letters)
			return nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return err
}

// run runs one of the programs to its end, as the server's user and tied to this process as the server is. Its output is
// in the error.
func (s *Server) run(ctx context.Context, program string, args ...string) error {
	start := size(s.logFile)
	cmd := exec.Command(filepath.Join(s.bin.Dir, program), args...)
	p, err := s.spawn(cmd, nil)
	if err != nil {
		return fmt.Errorf("run %s: %w", program, err)
	}
	select {
	case <-p.ended:
	case <-ctx.Done():
		p.signal(syscall.SIGQUIT)
		<-p.ended
		return fmt.Errorf("run %s: %w", program, ctx.Err())
	}
	if p.err != nil {
		return fmt.Errorf("run %s: %w%s", program, p.err, logTail(s.logFile.Name(), start))
	}
	return nil
}

// copyTree copies folders and regular files, for the server's user.
func (s *Server) copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case d.IsDir():
			if err := os.Mkdir(target, 0o700); err != nil {
				return err
			}
		case d.Type().IsRegular():
			if err := copyFile(path, target); err != nil {
				return err
			}
		default:
			return fmt.Errorf("copy %s: a %s cannot be part of a seed", path, d.Type())
		}
		return s.give(target)
	})
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}
