package localpg

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// signalTies says that the kernel ends the server with us. A variable because the tests also go the other systems' road.
var signalTies = true

func tie(attr *syscall.SysProcAttr) {
	if signalTies {
		attr.Pdeathsig = syscall.SIGQUIT
	}
}

// serves says whether the process is a PostgreSQL server of the database in data (a real path): it was started with that
// folder, or, however it was started, works in it. The second cannot be seen by a root without CAP_SYS_PTRACE, as in
// most containers.
func serves(pid int, data string) bool {
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	if line, err := os.ReadFile(filepath.Join(proc, "cmdline")); err == nil {
		args := strings.Split(string(line), "\x00")
		if filepath.Base(args[0]) == "postgres" {
			for _, arg := range args[1:] {
				if real, err := filepath.EvalSymlinks(arg); err == nil && real == data {
					return true
				}
			}
		}
	}
	cwd, err := os.Readlink(filepath.Join(proc, "cwd"))
	if err != nil {
		return false // gone, a zombie, or not ours to look at
	}
	exe, err := os.Readlink(filepath.Join(proc, "exe"))
	return err == nil && cwd == data && strings.HasPrefix(filepath.Base(exe), "postgres") // "postgres (deleted)" after an upgrade
}
