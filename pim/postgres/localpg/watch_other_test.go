//go:build unix && !linux

package localpg

import (
	"syscall"
	"testing"
	"time"
)

// watch returns a function that waits for the process's end.
func watch(t *testing.T, pid int) (gone func()) {
	return func() {
		t.Helper()
		for ctx := within(t); syscall.Kill(pid, 0) == nil; {
			if err := pause(ctx, 10*time.Millisecond); err != nil {
				t.Fatalf("process %d still lives", pid)
			}
		}
	}
}
