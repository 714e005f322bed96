//go:build unix

package localpg

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// elsewhere holds the databases whose own place the server's user cannot enter. Only root ever needs it, so it may be
// under /var/lib. A variable because the tests run it somewhere else.
var elsewhere = "/var/lib/sluice"

// account is the unprivileged user that the server runs as when this process is root. A nil account is this process's own.
type account struct {
	name     string
	uid, gid uint32
}

// attr is how a program is started as that user, without any of root's groups and in a process group of its own, so
// that the terminal's Ctrl-C reaches Sluice alone, which then stops its server in good order.
func (a *account) attr() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if a != nil {
		attr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
	return attr
}

// serverAccount picks the server's user: nil when this process is not root; else the owner of the database in dir,
// else postgres (_postgres on macOS), else nobody.
func serverAccount(dir string) (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	if dir != "" {
		if st, err := os.Stat(filepath.Join(dir, "data", "PG_VERSION")); err == nil {
			if uid, gid := owner(st); uid != 0 {
				return &account{name: "uid " + strconv.Itoa(int(uid)), uid: uid, gid: gid}, nil
			}
		}
	}
	for _, name := range []string{"postgres", "_postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil && uid != 0 {
			return &account{name: name, uid: uint32(uid), gid: uint32(gid)}, nil
		}
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is neither a user postgres nor nobody to run it as: " +
		"make a user postgres, or start Sluice as an ordinary user")
}

// place decides where the database of dir is kept: in dir, or in the stand-in that [Options.DataDir] describes.
func place(dir string, acc *account, log *slog.Logger) (string, error) {
	dir, err := realPath(dir)
	if err != nil {
		return "", err
	}
	if acc == nil {
		return dir, nil
	}
	sum := sha256.Sum256([]byte(dir))
	standIn := filepath.Join(elsewhere, hex.EncodeToString(sum[:8]))
	_, err = os.Stat(filepath.Join(standIn, "data", "PG_VERSION"))
	known := err == nil
	blocked, err := blockedFor(acc, filepath.Dir(dir))
	if err != nil {
		return "", err
	}
	switch {
	case known:
	case blocked == "":
		return dir, nil
	case exists(filepath.Join(dir, "data", "PG_VERSION")):
		return "", fmt.Errorf("the database is there, but user %s, who runs it, cannot enter %s: run `chmod o+x %s`, or move %s (with its owner) to a folder that everybody can enter",
			acc.name, blocked, blocked, dir)
	default:
		if err := checkHome(dir); err != nil {
			return "", err
		}
	}
	if err := os.MkdirAll(elsewhere, 0o755); err != nil {
		return "", fmt.Errorf("make a place for the database that user %s can enter: %w", acc.name, err)
	}
	if shut, err := blockedFor(acc, elsewhere); err != nil {
		return "", err
	} else if shut != "" {
		return "", fmt.Errorf("user %s, who runs the database, cannot enter %s, nor %s: choose another data folder", acc.name, blocked, shut)
	}
	if !known {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", fmt.Errorf("make the data folder: %w", err)
		}
		note := fmt.Sprintf("Sluice's database of this folder is in %s,\nbecause PostgreSQL runs as user %s, who could not enter %s.\n", standIn, acc.name, blocked)
		if err := os.WriteFile(filepath.Join(dir, "README.txt"), []byte(note), 0o644); err != nil {
			return "", fmt.Errorf("note where the database is: %w", err)
		}
	}
	log.Warn("the database is kept outside the data folder, which the server's user could not enter", "folder", dir, "database", standIn, "user", acc.name)
	return standIn, nil
}

// realPath makes dir absolute and resolves the symbolic links in the part of it that exists.
func realPath(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find the folder %s: %w", dir, err)
	}
	rest := ""
	for at := abs; ; at = filepath.Dir(at) {
		real, err := filepath.EvalSymlinks(at)
		if err == nil {
			return filepath.Join(real, rest), nil
		}
		if !os.IsNotExist(err) || at == filepath.Dir(at) {
			return "", fmt.Errorf("find the folder %s: %w", dir, err)
		}
		rest = filepath.Join(filepath.Base(at), rest)
	}
}

// blockedFor returns the first folder on the way to dir, itself included, that acc may not enter; "" when there is none.
// Folders that do not exist yet will be made enterable.
func blockedFor(acc *account, dir string) (string, error) {
	at := "/"
	for part := range strings.SplitSeq("."+dir, "/") {
		at = filepath.Join(at, part)
		st, err := os.Stat(at)
		if os.IsNotExist(err) {
			return "", nil
		}
		if err != nil {
			return "", fmt.Errorf("see who may enter %s: %w", at, err)
		}
		bit := os.FileMode(0o001)
		switch uid, gid := owner(st); {
		case uid == acc.uid:
			bit = 0o100
		case gid == acc.gid:
			bit = 0o010
		}
		if st.Mode().Perm()&bit == 0 {
			return at, nil
		}
	}
	return "", nil
}

// Enterable says whether the user that a new private server would run as can enter dir, or could if it were made.
func Enterable(dir string) (bool, error) {
	acc, err := serverAccount("")
	if err != nil || acc == nil {
		return err == nil, err
	}
	if dir, err = realPath(dir); err != nil {
		return false, err
	}
	blocked, err := blockedFor(acc, dir)
	return blocked == "" && err == nil, err
}

func owner(st os.FileInfo) (uid, gid uint32) {
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		return sys.Uid, sys.Gid
	}
	return 0, 0
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
