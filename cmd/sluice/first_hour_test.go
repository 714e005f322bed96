//go:build unix

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/pim/postgres/dbtest"
)

// fenced finds a page's blocks of commands, each with what it must answer.
var fenced = regexp.MustCompile("(?s)```sh\n(.*?)```\n(?:```text\n(.*?)```\n)?")

// TestFirstHour pastes docs/first-hour.md into a shell beside a demo: each
// command is one block's, and each line below it is found in what the block
// says, in order.
func TestFirstHour(t *testing.T) {
	t.Parallel()
	needs(t, "bash", "curl", "sed", "grep")
	page, err := os.ReadFile("../../docs/first-hour.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := fenced.FindAllStringSubmatch(string(page), -1)
	if len(blocks) < 15 {
		t.Fatalf("the page has %d blocks", len(blocks))
	}
	home := dbtest.Dir(t)
	dir := filepath.Join(home, ".data", "demo")
	p := start(t, nil, "demo", "--data-dir", dir, "--products", fmt.Sprint(demoProducts), "--listen", "127.0.0.1:0")
	p.hear(`Three things to try`)

	const mark = "@@ end of block"
	script := "set -u\n"
	for _, b := range blocks {
		script += b[1] + "echo '" + mark + "'\n"
	}
	var said, complained bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
	cmd.Dir, cmd.Stdout, cmd.Stderr = home, &said, &complained
	if err := cmd.Run(); err != nil {
		t.Fatalf("the page's commands: %v, %s", err, complained.String())
	}
	answers := strings.Split(said.String(), mark+"\n")
	for i, b := range blocks {
		rest := answers[i]
		for line := range strings.Lines(b[2]) {
			for piece := range strings.SplitSeq(strings.TrimSpace(line), "…") {
				at := strings.Index(rest, piece)
				if at < 0 {
					t.Fatalf("after\n%sthere is no %q in\n%s%s", b[1], piece, answers[i], complained.String())
				}
				rest = rest[at+len(piece):]
			}
		}
	}
}
