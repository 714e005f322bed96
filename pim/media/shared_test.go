package media

import (
	"errors"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
)

// TestEveryFile: each of the odd and broken files ends in right renditions or in
// a fault that says why, within the memory limit.
func TestEveryFile(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(700 << 20))
	for _, folder := range []string{"images-bad", "images-formats", "exif-orientation"} {
		everyFile(t, Go{}, shared(t, folder))
	}
}

// everyFile renders each file of a folder as an engine does.
func everyFile(t *testing.T, e Engine, dir string) {
	t.Helper()
	tally := map[string]int{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, ".md") || strings.HasSuffix(path, ".tsv") {
			return err
		}
		file, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		verdict := renderFile(t, e, name, file)
		tally[verdict]++
		t.Logf("%-60s %s", name, verdict)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(tally)
}

func renderFile(t *testing.T, e Engine, name string, file []byte) string {
	t.Helper()
	ds := []Definition{{Width: 120, Height: 120}, {Width: 50, Height: 50, Fit: Crop}, {Width: 90, Height: 60, Fit: Pad, Format: PNG}}
	info, inspectErr := e.Inspect(t.Context(), file)
	rs, err := e.Render(t.Context(), file, ds, nil)
	var f *Fault
	switch {
	case errors.As(err, &f):
		if f.Text == "" || strings.Contains(f.Text, "decoder panicked") {
			t.Errorf("%s: %v", name, f)
		}
		return f.Code
	case err != nil:
		t.Errorf("%s: %v is no fault", name, err)
		return "error"
	case inspectErr != nil:
		t.Errorf("%s: renditions are made of what inspection refuses: %v", name, inspectErr)
	}
	for i, r := range rs {
		clean(t, r)
		img := decoded(t, r)
		if i == 0 && (r.Width > 120 || r.Height > 120 || (info.Width > info.Height) != (r.Width > r.Height) && r.Width != r.Height) {
			t.Errorf("%s: %v of %d × %d", name, img.Bounds(), info.Width, info.Height)
		}
	}
	return "rendered"
}

// TestSharedOrientation: the same scene in every orientation looks the same.
func TestSharedOrientation(t *testing.T) {
	dir := shared(t, "exif-orientation")
	orientations(t, Go{}, dir)
}

func orientations(t *testing.T, e Engine, dir string) {
	t.Helper()
	for _, scene := range []string{"Portrait", "Landscape"} {
		var first image.Image
		for o := 1; o <= 8; o++ {
			name := fmt.Sprintf("%s_%d.jpg", scene, o)
			file, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			r := one(t, e, file, Definition{Width: 60, Height: 60, Quality: 95}, nil)
			clean(t, r)
			img := decoded(t, r)
			if first == nil {
				first = img
			}
			// Each file has its orientation's number painted on it, so they differ a little.
			if db := psnr(t, first, img); db < 16 {
				t.Errorf("%s looks unlike the upright one: %.1f dB", name, db)
			}
			if (r.Width > r.Height) != (scene == "Landscape") {
				t.Errorf("%s is %d × %d", name, r.Width, r.Height)
			}
		}
	}
}
