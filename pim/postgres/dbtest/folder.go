//go:build unix

package dbtest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sluicehub/sluice/pim/postgres/localpg"
)

// The temporary folder holds, for each user:
//
//	sluice-dbtest-<uid>.lock           taken while one of the others is made or removed
//	sluice-dbtest-<uid>-seed-<which>   a stopped server's folder, which each server is a copy of
//	sluice-dbtest-<uid>-run-<random>   one test binary's servers and folders; its file owner is locked while that lives

// home is this binary's folder. It is removed as soon as the binary has ended, or, when the machine did not live that
// long, by the next one that runs.
var home = sync.OnceValues(func() (string, error) {
	var dir string
	err := locked(func() error {
		sweep()
		var err error
		if dir, err = os.MkdirTemp(filepath.Split(prefix() + "run-")); err != nil {
			return err
		}
		if err = os.Chmod(dir, 0o711); err != nil {
			return err
		}
		if owner, err = os.OpenFile(filepath.Join(dir, "owner"), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
			return err
		}
		return syscall.Flock(int(owner.Fd()), syscall.LOCK_EX)
	})
	if err == nil {
		err = removeAfterwards(dir)
	}
	if err != nil {
		return "", fmt.Errorf("make the test binary's folder: %w", err)
	}
	return dir, nil
})

// owner stays open as long as this process lives.
var owner *os.File

// prefix begins the path of everything here. A temporary folder that root has for itself would not do for the server's user.
var prefix = sync.OnceValue(func() string {
	temp := os.TempDir()
	if ok, err := localpg.Enterable(temp); err != nil || !ok {
		temp = "/tmp"
	}
	return filepath.Join(temp, fmt.Sprintf("sluice-dbtest-%d-", os.Geteuid()))
})

// locked runs do while no other test binary of this user runs its own.
func locked(do func() error) error {
	path := strings.TrimSuffix(prefix(), "-") + ".lock"
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", path, err)
	}
	return do()
}

// sweep removes the folders of binaries that have ended, and seeds that are long out of use. What cannot be removed now
// is the next run's.
func sweep() {
	seeds, _ := filepath.Glob(prefix() + "seed-*") // the only error is a malformed pattern
	for _, dir := range seeds {
		if st, err := os.Lstat(dir); err == nil && ours(dir) && time.Since(st.ModTime()) > 2*period {
			_ = os.RemoveAll(dir)
		}
	}
	runs, _ := filepath.Glob(prefix() + "run-*")
	for _, dir := range runs {
		if !ours(dir) {
			continue
		}
		f, err := os.OpenFile(filepath.Join(dir, "owner"), os.O_RDWR, 0)
		if err == nil {
			err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
			f.Close()
		}
		// No owner file: its binary ended before it made one, or its folder is half removed.
		if err == nil || errors.Is(err, os.ErrNotExist) {
			_ = os.RemoveAll(dir)
		}
	}
}

// removeAfterwards starts a shell that waits for the end of this process, whose end of the pipe closes with it, and then
// removes the folder. The servers end at the same moment by themselves; the shell goes on until they write no more.
func removeAfterwards(dir string) error {
	cmd := exec.Command("/bin/sh", "-c", `read -r _; for i in 1 2 3 4 5 6 7 8 9 10; do rm -rf -- "$1" && exit 0; sleep 1; done`, "sh", dir)
	cmd.Dir, cmd.Env = "/", []string{"PATH=/usr/bin:/bin"}
	// A group of its own, so that Ctrl-C at go test does not end it too.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	broom = pipe
	return cmd.Process.Release()
}

// broom is our end of the shell's pipe. It must not be collected, which would close it.
//
//nolint:unused // being held is its use
var broom any

// ours says that nobody else made the folder, in a place where everybody may make some.
func ours(dir string) bool {
	st, err := os.Lstat(dir)
	if err != nil || !st.IsDir() {
		return false
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	return ok && int(sys.Uid) == os.Geteuid()
}

// openDir makes a new folder that everybody can enter.
func openDir(base string) (string, error) {
	dir, err := os.MkdirTemp(base, "")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o711)
}

// begin starts a new server of this binary.
func begin(ctx context.Context, durable bool) (*localpg.Server, error) {
	base, err := home()
	if err != nil {
		return nil, err
	}
	seed, err := seedDir(ctx, base)
	if err != nil {
		return nil, err
	}
	dir, err := openDir(base)
	if err != nil {
		return nil, fmt.Errorf("make the test server's folder: %w", err)
	}
	return localpg.Start(ctx, localpg.Options{DataDir: dir, Durable: durable, Seed: seed, ExtraConfig: map[string]string{
		"max_connections": "800", // many tests at once, each with pools of its own
	}})
}

// period is how long a seed is used. Systems clear files out of the temporary folder by age, after ten days and more, and
// half a seed would be worse than none.
const period = 72 * time.Hour

// seedDir returns the folder that the servers are copies of, and makes it, by way of base, where this user has none of
// this PostgreSQL and this period yet: initdb takes a second and more, a copy a tenth.
func seedDir(ctx context.Context, base string) (string, error) {
	programs, err := localpg.Find(ctx)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "1 %s %s", programs[0].Dir, programs[0].Version))
	seed := fmt.Sprintf("%sseed-%x-%d", prefix(), sum[:8], time.Now().Unix()/int64(period.Seconds()))
	err = locked(func() error {
		if ours(seed) { // it gets this name when it is whole
			return nil
		}
		dir, err := openDir(base)
		if err != nil {
			return err
		}
		pg, err := localpg.Start(ctx, localpg.Options{DataDir: dir})
		if err != nil {
			return err
		}
		if err := pg.Stop(ctx); err != nil {
			return err
		}
		return os.Rename(pg.Dir(), seed)
	})
	if err != nil {
		return "", fmt.Errorf("prepare the seed of the test servers: %w", err)
	}
	return seed, nil
}
