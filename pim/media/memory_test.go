//go:build linux && !race

package media

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/pim/media/yardstick"
)

// TestPeakMemory: the five renditions of a photograph of 24 megapixels take less
// than 150 MB of a process's memory, file and program included, as the kernel
// counts it. The race detector takes more for itself.
func TestPeakMemory(t *testing.T) {
	const variable = "SLUICE_TEST_RENDER"
	if path := os.Getenv(variable); path != "" {
		photo, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var ds []Definition
		for _, s := range yardstick.Sizes {
			ds = append(ds, Definition{Width: s, Height: s})
		}
		if _, err = (Go{}).Render(t.Context(), photo, ds, nil); err != nil {
			t.Fatal(err)
		}
		fmt.Println(highWater(t))
		return
	}
	photo, err := yardstick.Photo(6000, 4000)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "photo.jpg")
	if err := os.WriteFile(path, photo, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPeakMemory$", "-test.v")
	cmd.Env = append(os.Environ(), variable+"="+path)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var peak int
	for line := range strings.Lines(string(out)) {
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &peak); err == nil {
			break
		}
	}
	t.Logf("%d MB at the peak", peak*1024/1_000_000)
	if peak < 40_000 || peak > 150_000_000/1024 {
		t.Errorf("the peak is %d kB", peak)
	}
}

// highWater is the kernel's line on the largest size that this process had.
func highWater(t *testing.T) string {
	t.Helper()
	f, err := os.Open("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if strings.HasPrefix(s.Text(), "VmHWM:") {
			return s.Text()
		}
	}
	t.Fatal("the kernel does not tell the peak")
	return ""
}
