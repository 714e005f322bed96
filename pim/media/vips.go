package media

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/png"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// Vips is the engine that leaves reading to libvips: besides what the built-in
// one reads it takes AVIF, HEIC (where the machine's libheif does) and TIFF, CMYK
// and every colour profile, and it writes WebP and AVIF as well.
//
// libvips runs in processes of its own, with limits on memory and time, an empty
// environment and a folder for itself; whatever an image does to it, this process
// only sees that it ended. It turns an original into an upright sRGB PNG of at
// most twice the size that is needed; fits, budgets and requirements are the
// built-in engine's. What runs is `vips thumbnail`, the operation that the program
// vipsthumbnail of the same package is a front for: only it can be told to fail
// on a broken image instead of filling it with gray.
type Vips struct {
	limits              Limits
	vips, header, shell string // the programs
	temp                string // where jobs have their folders
	version             string
	writes              map[Format]bool
	memory              int64 // of a process's address space, in bytes
}

var _ Engine = (*Vips)(nil)

// Revision of how libvips is called; see goVersion.
const vipsVersion = "vips-1"

const (
	// vipsLibraries is what the libraries take of a process's address space before
	// an image is opened, with room; Limits.Memory comes on top.
	vipsLibraries = 512 << 20
	// vipsOutput bounds what is read of its messages.
	vipsOutput = 16 << 10
)

// NewVips looks for the programs of libvips-tools in PATH and tries what they
// write. temp is the folder where each call makes, and removes, one of its own for
// files that vips shall read; "" is the system's. The error wraps exec.ErrNotFound
// when the programs are not installed.
func NewVips(ctx context.Context, l Limits, temp string) (*Vips, error) {
	l = l.orDefaults()
	v := &Vips{limits: l, temp: temp, memory: vipsLibraries + l.Memory, writes: map[Format]bool{JPEG: true, PNG: true}}
	for name, to := range map[string]*string{"vips": &v.vips, "vipsheader": &v.header, "sh": &v.shell} {
		path, err := exec.LookPath(name)
		if err != nil {
			return nil, fmt.Errorf("look for libvips: %w", err)
		}
		if *to, err = filepath.Abs(path); err != nil {
			return nil, fmt.Errorf("look for libvips: %w", err)
		}
	}
	job, err := v.job()
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(job.dir)
	out, err := job.run(ctx, v.vips, "--version")
	if err != nil {
		return nil, fmt.Errorf("ask vips for its version: %w", err)
	}
	fields := strings.Fields(out)
	if len(fields) == 0 {
		return nil, errors.New("vips does not tell its version")
	}
	v.version = fields[0]
	for _, f := range []Format{WebP, AVIF} {
		const side = 16 // encoders have least sizes
		p := &picture{w: side, h: side, y: newPlane(side, side)}
		_, err := job.encode(ctx, p, f, defaultJPEG)
		v.writes[f] = err == nil
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// Version holds libvips's own, and the built-in engine's, which does the rest.
func (v *Vips) Version() string { return vipsVersion + " " + v.version + " " + goVersion }

// Writes tells what the installed libvips was seen to write.
func (v *Vips) Writes(f Format) bool { return v.writes[f] }

// Inspect asks vipsheader about what the built-in engine does not read.
func (v *Vips) Inspect(ctx context.Context, original []byte) (Info, error) {
	info, err := Inspect(ctx, original, v.limits)
	var f *Fault
	if !errors.As(err, &f) || !v.reads(info.Format) {
		return info, err
	}
	switch f.Code {
	case FaultMemory: // of the built-in decoders
		return info, nil
	case FaultUnsupported:
	default:
		return info, err
	}
	err = within(ctx, v.limits.Time, func(ctx context.Context) error {
		job, err := v.job()
		if err != nil {
			return err
		}
		defer os.RemoveAll(job.dir)
		info, err = job.inspect(ctx, original, info)
		return err
	})
	if err != nil {
		return info, err
	}
	return info, info.bound(v.limits)
}

// reads is what libvips is trusted with: no SVG or PDF, which fetch and embed,
// and nothing that goes through ImageMagick.
func (*Vips) reads(f Format) bool {
	switch f {
	case JPEG, PNG, GIF, WebP, AVIF, HEIC, TIFF:
		return true
	}
	return false
}

// Render lets libvips decode, turn and shrink once, and goes on as the built-in
// engine does.
func (v *Vips) Render(ctx context.Context, original []byte, definitions []Definition, focal *Point) (results []Result, err error) {
	info, err := v.Inspect(ctx, original)
	if err != nil {
		return nil, err
	}
	if info.Document {
		return nil, fault(FaultDocument, "%s is no image", info.MediaType)
	}
	seen := info
	info.CMYK, info.profile = false, nil // libvips takes care of them
	err = within(ctx, v.limits.Time, func(ctx context.Context) error {
		job, err := v.job()
		if err != nil {
			return err
		}
		defer os.RemoveAll(job.dir)
		r := renderer{ctx: ctx, info: info, focal: focal, writes: v.Writes, encode: job.encode, notes: info.notes()}
		return guardOwn(func() error {
			results, err = r.all(definitions, func(need, most float64) (*picture, error) { return job.decode(ctx, original, seen, need, most) })
			return err
		})
	})
	return results, err
}

// vipsJob is a folder in which one original is worked at.
type vipsJob struct {
	*Vips
	dir string
}

func (v *Vips) job() (*vipsJob, error) {
	dir, err := os.MkdirTemp(v.temp, "sluice-vips-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for vips: %w", err)
	}
	return &vipsJob{v, dir}, nil
}

// errVips is a vips program that refused or was ended; it says nothing of the
// image's content.
type errVips struct{ said string }

func (e *errVips) Error() string { return "vips: " + e.said }

// run runs a program of libvips under the limits and gives what it wrote.
func (j *vipsJob) run(ctx context.Context, program string, args ...string) (string, error) {
	seconds := int(j.limits.Time.Seconds()) + 1
	limit := fmt.Sprintf("ulimit -v %d", j.memory>>10)
	if runtime.GOOS != "linux" { // where not every shell can
		limit += " 2>/dev/null || :"
	}
	// The limits are the shell's own and pass to what it becomes.
	script := fmt.Sprintf("ulimit -c 0; ulimit -t %d; %s; exec \"$@\"", seconds, limit)
	cmd := exec.CommandContext(ctx, j.shell, append([]string{"-e", "-c", script, "sh", program}, args...)...)
	cmd.Dir = j.dir
	cmd.Env = []string{
		"HOME=" + j.dir, "TMPDIR=" + j.dir, "LC_ALL=C", "VIPS_BLOCK_UNTRUSTED=1", "VIPS_CONCURRENCY=1", "MALLOC_ARENA_MAX=1",
	}
	var out bounded
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case errors.As(err, &exit):
		return "", &errVips{strings.ReplaceAll(exit.String()+": "+out.String(), j.dir+string(filepath.Separator), "")}
	case err != nil:
		return "", fmt.Errorf("run %s: %w", filepath.Base(program), err)
	}
	return out.String(), nil
}

// bounded keeps the beginning of what is written to it.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	b.Buffer.Write(p[:min(len(p), vipsOutput-b.Len())])
	return len(p), nil
}

// put writes a file into the job's folder, which nobody else can read.
func (j *vipsJob) put(name string, content []byte) error {
	if err := os.WriteFile(filepath.Join(j.dir, name), content, 0o600); err != nil {
		return fmt.Errorf("write for vips: %w", err)
	}
	return nil
}

// inspect reads the header by vipsheader.
func (j *vipsJob) inspect(ctx context.Context, original []byte, info Info) (Info, error) {
	if err := j.put("original", original); err != nil {
		return info, err
	}
	said, err := j.run(ctx, j.header, "-a", "original")
	if err != nil {
		return info, unreadable(err, info.Format)
	}
	fields := map[string]string{}
	for line := range strings.Lines(said) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && fields[name] == "" {
			fields[name] = value
		}
	}
	info.Width, _ = strconv.Atoi(fields["width"])
	info.Height, _ = strconv.Atoi(fields["height"])
	bands, _ := strconv.Atoi(fields["bands"])
	pages, _ := strconv.Atoi(fields["n-pages"])
	info.CMYK = fields["interpretation"] == "cmyk"
	if fields["icc-profile-data"] != "" {
		info.Profile = "unnamed"
	}
	info.Animated = pages > 1
	info.HasAlpha = bands == 2 || bands == 4 && !info.CMYK || bands == 5
	if o, err := strconv.Atoi(fields["orientation"]); err == nil && o >= 1 && o <= 8 {
		info.Orientation = o
	}
	if turns[info.Orientation].transpose {
		info.Width, info.Height = info.Height, info.Width
	}
	return info, nil
}

// unreadable makes a fault of what vips says of an original.
func unreadable(err error, f Format) error {
	var refused *errVips
	if !errors.As(err, &refused) {
		return err
	}
	said := strings.ToLower(refused.said)
	says := func(of ...string) bool {
		return slices.ContainsFunc(of, func(s string) bool { return strings.Contains(said, s) })
	}
	switch {
	case strings.HasPrefix(said, "signal: ") || says("out of memory", "failed to map segment", "error creating thread", "unable to allocate"):
		return fault(FaultMemory, "libvips ran into its limits with the image")
	case says("not a known file format", "not in a known format", "unsupported"):
		return fault(FaultUnsupported, "this %s image is not read by the installed libvips", f)
	case says("premature end", "truncated", "unexpected end"):
		return fault(FaultTruncated, "the file ends within the image")
	}
	return fault(FaultBroken, "libvips finds the %s image broken", f)
}

// decode makes the picture to start from.
func (j *vipsJob) decode(ctx context.Context, original []byte, info Info, need, most float64) (*picture, error) {
	if err := j.put("original", original); err != nil {
		return nil, err
	}
	// Its PNG is decoded by this process, into at most 8 bytes a pixel and a copy of 4.
	reckoned := info
	reckoned.planes, reckoned.memory = false, 0
	limits := j.limits
	limits.Memory /= 3
	most, err := reckoned.enough(limits, need, most)
	if err != nil {
		return nil, err
	}
	w, h := int(math.Ceil(float64(info.Width)*most)), int(math.Ceil(float64(info.Height)*most))
	args := []string{"thumbnail", "original", "picture.png[compression=1,strip]", strconv.Itoa(w), "--height", strconv.Itoa(h), "--size", "down"}
	// A JPEG's corrupt data is a warning to libvips; in other formats warnings are
	// about what harms nobody, such as tags that it does not know.
	failOn := "error"
	if info.Format == JPEG {
		failOn = "warning"
	}
	args = append(args, "--fail-on", failOn)
	// What has no profile is sRGB as it is, and libvips 8.14 would shift its colours.
	if info.CMYK || info.Profile != "" {
		args = append(args, "--export-profile", "srgb")
	}
	if _, err = j.run(ctx, j.vips, args...); err != nil {
		return nil, unreadable(err, info.Format)
	}
	most4 := int64(w)*int64(h)*9 + 1<<20 // 16 bits a channel and the rows' filters
	b, err := readBounded(filepath.Join(j.dir, "picture.png"), most4)
	if err != nil {
		return nil, err
	}
	inner, err := Inspect(ctx, b, Limits{Bytes: most4, Memory: math.MaxInt64, Pixels: j.limits.Pixels, Side: j.limits.Side})
	if err != nil {
		return nil, fmt.Errorf("read what vips made: %w", err)
	}
	if (inner.Width > inner.Height) != (info.Width > info.Height) && apartSides(inner, info) {
		return nil, fault(FaultBroken, "the image is %d × %d pixels, its header says %d × %d", inner.Width, inner.Height, info.Width, info.Height)
	}
	inner.Orientation = 1
	return decode(ctx, b, inner, 1)
}

// apartSides reports whether two shapes differ by more than rounding.
func apartSides(a, b Info) bool {
	x, y := float64(a.Width)/float64(b.Width), float64(a.Height)/float64(b.Height)
	return math.Abs(x-y) > 2/float64(min(a.Width, a.Height))
}

func readBounded(path string, most int64) ([]byte, error) {
	s, err := os.Stat(path)
	if err == nil && s.Size() > most {
		err = fmt.Errorf("%d bytes, more than %d", s.Size(), most)
	}
	var b []byte
	if err == nil {
		b, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read what vips made: %w", err)
	}
	return b, nil
}

// encode writes WebP and AVIF by libvips, the others as the built-in engine does.
func (j *vipsJob) encode(ctx context.Context, p *picture, f Format, quality int) ([]byte, error) {
	if f == JPEG || f == PNG {
		return encodeGo(ctx, p, f, quality)
	}
	var in bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&in, p.forPNG()); err != nil {
		return nil, fmt.Errorf("encode for vips: %w", err)
	}
	if err := j.put("ready.png", in.Bytes()); err != nil {
		return nil, err
	}
	name := filepath.Join(j.dir, "out."+string(f))
	_, err := j.run(ctx, j.vips, "copy", "ready.png", fmt.Sprintf("out.%s[Q=%d,strip]", f, quality))
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", f, err)
	}
	out, err := readBounded(name, int64(p.w)*int64(p.h)*8+1<<20)
	if err == nil && f == WebP {
		out = stripWebP(out)
	}
	return out, err
}

// stripWebP leaves out all that is no pixels: libvips 8.14 writes an EXIF block
// of its own even when told to strip.
func stripWebP(b []byte) []byte {
	form := []byte("WEBP")
	for id, body := range riffChunks(b[min(12, len(b)):]) {
		switch id {
		case "VP8X":
			body = slices.Clone(body)
			if len(body) > 0 {
				body[0] &= 0x10 // alpha; no profile, EXIF or XMP
			}
		case "VP8 ", "VP8L", "ALPH":
		default:
			continue
		}
		form = appendChunk(form, id, body)
	}
	return appendChunk(nil, "RIFF", form)
}
