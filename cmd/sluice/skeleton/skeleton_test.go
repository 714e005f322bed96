package skeleton

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The skeleton compiles and passes the conformance suite as it is
// written: it is laid over the project, without touching it.
func TestSkeletonConforms(t *testing.T) {
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	files, err := Files("zzsample")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for path, content := range files {
		file := filepath.Join(dir, strings.ReplaceAll(path, "/", "_"))
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		overlay.Replace[filepath.Join(root, path)] = file
	}
	raw, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	laid := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(laid, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "zzsample.test")
	for _, c := range []*exec.Cmd{
		exec.CommandContext(t.Context(), "go", "test", "-vet=off", "-overlay", laid, "-c", "-o", program, "./connectors/zzsample"),
		exec.CommandContext(t.Context(), program, "-test.v"),
	} {
		if c.Path != program {
			c.Dir = root
		} else {
			c.Dir = dir
		}
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", c.Args, err, out)
		}
		if c.Path == program && strings.Count(string(out), "--- PASS: TestConformance/") < 20 {
			t.Errorf("the suite did not run whole:\n%s", out)
		}
	}
}

// It is written into a checkout, once, and nowhere else.
func TestWrite(t *testing.T) {
	root := t.TempDir()
	if _, err := Write(root, "sample"); err == nil || !strings.Contains(err.Error(), "no checkout") {
		t.Errorf("outside a checkout: %v", err)
	}
	if err := os.MkdirAll(filepath.Join(root, "connectors"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "connectors", "connector.go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "A", "a", "../x", "a-b", "9lives", strings.Repeat("a", 31)} {
		if _, err := Write(root, bad); !errors.Is(err, ErrName) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	paths, err := Write(root, "sample")
	if err != nil || len(paths) != len(files) {
		t.Fatal(paths, err)
	}
	for _, p := range paths {
		if info, err := os.Stat(filepath.Join(root, p)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", p, err)
		}
	}
	if _, err := Write(root, "sample"); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("a second time: %v", err)
	}
}
