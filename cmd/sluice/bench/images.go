//go:build unix

package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/sluicehub/sluice/pim/media"
	"github.com/sluicehub/sluice/pim/media/yardstick"
)

// The ways to make five renditions of a photograph.
const (
	imageOurs    = "ours"
	imageNaive   = "naive"
	imageCascade = "cascade"
	imageVips    = "vipsthumbnail"
	imagePhoto   = "photo" // none: it makes the photograph
)

// imagePeak is the aim for a process that renders one photograph, in MB.
const imagePeak = 150

// imageCost is what one photograph cost.
type imageCost struct {
	CPU  float64 `json:"cpu"`  // seconds of processor time, user and system
	Peak float64 `json:"peak"` // MB that the process had at most, program and file included
}

// images measures five renditions of synthetic photographs. Each way runs in
// processes of its own, one after the other: only so has each its own peak, and
// the processor time counts no garbage of another.
func (b *bench) images(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "sluice-bench-images-")
	if err != nil {
		return fmt.Errorf("make a folder for photographs: %w", err)
	}
	defer os.RemoveAll(dir)
	for _, mp := range b.Images {
		w, h := photoSize(mp)
		b.say("images: five renditions of %d megapixels", mp)
		path := filepath.Join(dir, fmt.Sprintf("photo-%dx%d.jpg", w, h))
		// Made in a child, too: a process begins with the peak of the one that started it.
		if _, err := renderInChild(ctx, imagePhoto, path); err != nil {
			return fmt.Errorf("make a photograph: %w", err)
		}
		photo, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("make a photograph: %w", err)
		}
		costs := map[string]imageCost{}
		for _, way := range []string{imageOurs, imageNaive, imageCascade, imageVips} {
			if costs[way], err = renderApart(ctx, way, path); errors.Is(err, exec.ErrNotFound) {
				b.say("images: %s is not installed", way)
				continue
			} else if err != nil {
				return fmt.Errorf("%s: %w", way, err)
			}
		}
		name := fmt.Sprintf("%d MP, five renditions", mp)
		note := fmt.Sprintf("%d × %d, %.1f MB", w, h, float64(photo.Size())/1e6)
		ours := costs[imageOurs]
		b.report.beside(name, ours.CPU, "CPU s", "five Lanczos resizes of the whole", costs[imageNaive].CPU, atMost(0.3), note)
		b.report.beside(name, ours.CPU, "CPU s", "plain Lanczos cascade", costs[imageCascade].CPU, atMost(0.65), "")
		if vips, ok := costs[imageVips]; ok && vips.CPU > 0 {
			b.report.beside(name, ours.CPU, "CPU s", "vipsthumbnail, five times", vips.CPU, nil, fmt.Sprintf("it peaks at %.0f MB", vips.Peak))
		}
		peaks := fmt.Sprintf("naive %.0f MB, cascade %.0f MB", costs[imageNaive].Peak, costs[imageCascade].Peak)
		b.report.beside(name, ours.Peak, "MB peak", fmt.Sprintf("the limit for %d MP", mp), imagePeak, atMost(1), peaks)
	}
	return nil
}

// photoSize is 4:3 up to 16 megapixels and 3:2 above, as cameras have it.
func photoSize(megapixels int) (w, h int) {
	switch megapixels {
	case 12:
		return 4000, 3000
	case 24:
		return 6000, 4000
	}
	return 1000 * megapixels, 1000
}

// imageRuns is how often each way is measured; the least counts, since all that
// else goes on can only add.
const imageRuns = 3

// renderApart measures one way in processes of its own.
func renderApart(ctx context.Context, way, path string) (best imageCost, err error) {
	for range imageRuns {
		var cost imageCost
		if way == imageVips {
			cost, err = thumbnails(ctx, path)
		} else {
			cost, err = renderInChild(ctx, way, path)
		}
		if err != nil {
			return imageCost{}, err
		}
		if best.CPU == 0 || cost.CPU < best.CPU {
			best.CPU = cost.CPU
		}
		best.Peak = max(best.Peak, cost.Peak)
	}
	return best, nil
}

func renderInChild(ctx context.Context, way, path string) (cost imageCost, err error) {
	self, err := os.Executable()
	if err != nil {
		return cost, fmt.Errorf("find this program: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, sinkArgs[0], "--render="+way, "--photo="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return cost, fmt.Errorf("run a process for it: %w", err)
	}
	if err := json.Unmarshal(out, &cost); err != nil {
		return cost, fmt.Errorf("read what its process says: %w", err)
	}
	cost.Peak = peakOf(cmd.ProcessState)
	return cost, nil
}

// render is the child's part: the processor time of the work alone, without that
// of starting the program.
func (c *Command) render(ctx context.Context) error {
	if c.Render == imagePhoto {
		return c.makePhoto()
	}
	photo, err := os.ReadFile(c.Photo)
	if err != nil {
		return fmt.Errorf("read the photograph: %w", err)
	}
	before := processorTime()
	switch c.Render {
	case imageNaive:
		_, err = yardstick.Naive(photo)
	case imageCascade:
		_, err = yardstick.Cascade(photo)
	default:
		var all []media.Definition
		for _, side := range yardstick.Sizes {
			all = append(all, media.Definition{Width: side, Height: side, Quality: yardstick.Quality})
		}
		_, err = media.Go{}.Render(ctx, photo, all, nil)
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(imageCost{CPU: (processorTime() - before).Seconds()})
}

// makePhoto makes the photograph that its name tells the size of.
func (c *Command) makePhoto() error {
	var w, h int
	if _, err := fmt.Sscanf(filepath.Base(c.Photo), "photo-%dx%d.jpg", &w, &h); err != nil {
		return fmt.Errorf("read the photograph's size: %w", err)
	}
	photo, err := yardstick.Photo(w, h)
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.Photo, photo, 0o600); err != nil {
		return fmt.Errorf("write a photograph: %w", err)
	}
	return json.NewEncoder(os.Stdout).Encode(imageCost{})
}

func processorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// thumbnails makes the renditions by vipsthumbnail, a process for each; starting
// them counts, since that is how it is used.
func thumbnails(ctx context.Context, path string) (cost imageCost, err error) {
	for _, side := range yardstick.Sizes {
		out := fmt.Sprintf("%s-%d.jpg[Q=%d,strip]", path, side, yardstick.Quality)
		cmd := exec.CommandContext(ctx, "vipsthumbnail", path, "--size", strconv.Itoa(side), "-o", out)
		if said, err := cmd.CombinedOutput(); err != nil {
			return cost, fmt.Errorf("run vipsthumbnail: %w %.200s", err, said)
		}
		cost.CPU += (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
		cost.Peak = max(cost.Peak, peakOf(cmd.ProcessState))
	}
	return cost, nil
}

// peakOf is a process's peak in MB; the kernels count in different units.
func peakOf(s *os.ProcessState) float64 {
	u, ok := s.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	unit := 1024.0
	if runtime.GOOS == "darwin" {
		unit = 1
	}
	return float64(u.Maxrss) * unit / 1e6
}
