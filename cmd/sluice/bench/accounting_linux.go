package bench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ticks are how often a second the kernel counts in /proc: USER_HZ, which is
// 100 on every architecture that Go runs on (proc(5)).
const ticks = 100

// spent is the processor time of this process, of the target process, and of
// the private server with all its backends; 0 for what is not ours to see.
func (b *bench) spent() (self, target, server time.Duration) {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) == nil {
		self = time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	_, target = processTime(b.sink.cmd.Process.Pid, false)
	if b.db.server == nil {
		return self, target, 0
	}
	parent := b.db.server.PID()
	_, server = processTime(parent, true) // with backends that have ended
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		pid, err := strconv.Atoi(strings.Split(path, "/")[2])
		if err != nil {
			continue
		}
		if ppid, t := processTime(pid, false); ppid == parent {
			server += t
		}
	}
	return self, target, server
}

// processTime reads /proc/PID/stat: whose child the process is, and its time,
// with that of its children that have ended if they shall count.
func processTime(pid int, children bool) (ppid int, t time.Duration) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0
	}
	// The name, in brackets, may hold spaces: what follows is counted from it.
	f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(f) < 15 {
		return 0, 0
	}
	ppid, _ = strconv.Atoi(f[1])
	upTo := 13 // utime, stime
	if children {
		upTo = 15 // cutime, cstime
	}
	for _, s := range f[11:upTo] {
		n, _ := strconv.ParseInt(s, 10, 64)
		t += time.Duration(n) * time.Second / ticks
	}
	return ppid, t
}
