//go:build unix

package main

import (
	"strings"
	"testing"
)

// A short run of the chaos program. What it finds is in its words; nothing hangs on
// how fast this machine is.
func TestChaos(t *testing.T) {
	t.Parallel()
	out, progress, status := output(t, nil, "chaos", "--quick", "--seed", "1")
	if status != 0 {
		t.Fatalf("status %d\n%s\n%s", status, out, progress)
	}
	for _, line := range []string{"edits acknowledged", "acknowledged edits lost", "invariants broken"} {
		if !strings.Contains(out, line) {
			t.Errorf("the figures have no %q:\n%s", line, out)
		}
	}
	t.Log(out)
}
