//go:build unix && !linux

package localpg

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// signalTies says that the kernel ends the server with us: not here, a watchdog does.
var signalTies = false

func tie(*syscall.SysProcAttr) {}

// serves says whether the process is a PostgreSQL server of the database in data, by its command line.
func serves(pid int, data string) bool {
	out, err := exec.Command("/bin/ps", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return false
	}
	line := strings.TrimSpace(string(out))
	return strings.Contains(line, "postgres") && (strings.HasSuffix(line, data) || strings.Contains(line, data+" "))
}
