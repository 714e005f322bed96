package localpg

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// watch returns a function that waits for the process's end. It must be called while the process lives.
func watch(t *testing.T, pid int) (gone func()) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return func() {
		t.Helper()
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		for end := time.Now().Add(20 * time.Second); ; {
			n, err := unix.Poll(fds, int(time.Until(end).Milliseconds()))
			if err == unix.EINTR {
				continue
			}
			if err != nil || n != 1 {
				t.Fatalf("process %d still lives (%v)", pid, err)
			}
			return
		}
	}
}
