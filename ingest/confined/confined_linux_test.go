package confined

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/formats"
	"github.com/voxelstream/voxelstream/ingest/simulate"
	"github.com/voxelstream/voxelstream/internal/budget"
	"github.com/voxelstream/voxelstream/internal/screen"
	"github.com/voxelstream/voxelstream/internal/testenv"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/voxelstream/voxelstream/internal/h5.work"))
}

// pool makes a pool for the length of a test.
func pool(t *testing.T) *Pool {
	t.Helper()
	p := NewPool(0, 2)
	t.Cleanup(p.Close)
	return p
}

// event is what reading an input gives: a sample, or an error.
type event struct {
	sample ingest.Sample
	id     string
	err    string
	end    bool
}

// maxEvents bounds what is read of each input.
const maxEvents = 12

// events reads an input, and its notes.
func events(ctx context.Context, path string, o ingest.Options) (out []event, notes []ingest.Note, classes []string) {
	o.Noted = func(_ string, n []ingest.Note) { notes = append(notes, n...) }
	src, err := formats.OpenSingle(ctx, path, o)
	if err != nil {
		return []event{{err: err.Error(), end: true}}, notes, nil
	}
	classes = ingest.ClassesOf(ctx, src)
	if s, ok := src.(ingest.Sized); ok {
		out = append(out, event{id: fmt.Sprint("rows ", s.Len())})
	}
	for len(out) < maxEvents {
		s, err := src.Read(ctx)
		item, one := errors.AsType[*ingest.ItemError](err)
		switch {
		case one:
			out = append(out, event{id: item.ID.String(), err: item.Err.Error()})
			continue
		case err != nil:
			out = append(out, event{err: err.Error(), end: true})
		default:
			out = append(out, event{sample: s})
			continue
		}
		break
	}
	if err := src.Close(); err != nil {
		out = append(out, event{err: "close: " + err.Error()})
	}
	return out, notes, classes
}

// same compares bit by bit: NaN is equal to itself.
func same(a, b event) bool {
	if a.err != b.err || a.id != b.id || a.end != b.end {
		return false
	}
	x, y := a.sample, b.sample
	if x.ID != y.ID || x.Label != y.Label || !x.Time.Equal(y.Time) || reflect.TypeOf(x.Data) != reflect.TypeOf(y.Data) {
		return false
	}
	if x.Data == nil {
		return true
	}
	h, c, errX := headOf(&x)
	k, d, errY := headOf(&y)
	return errX == nil && errY == nil && reflect.DeepEqual(h, k) && reflect.DeepEqual(c, d)
}

func compare(t *testing.T, p *Pool, path string, o ingest.Options) {
	t.Helper()
	want, wantNotes, wantClasses := events(t.Context(), path, o)
	o.Confined = p
	got, gotNotes, gotClasses := events(t.Context(), path, o)
	if len(got) != len(want) {
		t.Errorf("found %d results, want %d: last %+v, want %+v", len(got), len(want), got[len(got)-1].err,
			want[len(want)-1].err)
		return
	}
	for i := range got {
		if !same(got[i], want[i]) {
			t.Errorf("result %d: found %T %v %q %q, want %T %v %q %q", i, got[i].sample.Data, got[i].sample.ID,
				got[i].id,
				got[i].err, want[i].sample.Data, want[i].sample.ID, want[i].id, want[i].err)
		}
	}
	// Where a reader stops early, it may have decoded one sample more.
	if len(got) < maxEvents && !reflect.DeepEqual(gotNotes, wantNotes) {
		t.Errorf("notes: found %v, want %v", gotNotes, wantNotes)
	}
	if !reflect.DeepEqual(gotClasses, wantClasses) {
		t.Errorf("classes: found %v, want %v", gotClasses, wantClasses)
	}
}

// maxSample bounds the files that are compared, so that the test takes seconds; VOXELSTREAM_ALL_SAMPLES=1 takes all.
const maxSample = 2 << 20

// TestSamples reads every sample file and every recording with and without workers.
func TestSamples(t *testing.T) {
	dir := filepath.Dir(testenv.Sample(t, "MANIFEST.tsv"))
	p := pool(t)
	read := 0
	for f := range formats.Files(t.Context(), dir, ingest.Options{}) {
		info, err := os.Stat(f.Path)
		if err != nil || f.Skipped != "" || info.Size() > maxSample && os.Getenv("VOXELSTREAM_ALL_SAMPLES") == "" {
			continue
		}
		rel, err := filepath.Rel(dir, f.Path)
		if err != nil {
			t.Fatal(err)
		}
		read++
		t.Run(rel, func(t *testing.T) { compare(t, p, f.Path, formats.NewOptions()) })
	}
	if read < 50 {
		t.Errorf("found %d samples", read)
	}
	started, failed := Workers()
	t.Logf("%d inputs, %d workers, %d of them failed", read, started, failed)
}

// write writes a file of a test.
func write(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestErrors: errors have the text and the identity that they have without a worker.
func TestErrors(t *testing.T) {
	dir := t.TempDir()
	p := pool(t)
	for name, content := range map[string]string{
		"empty.pcd": "", "words.txt": "hello world\n", "x": "what is this", "a.pcd": "VERSION .7\nFIELDS x y z\n",
		"b.las": "LASF", "c.nii": "\x00\x01", "archive.zip": "PK\x03\x04", "d.h5": "no", "e.npz": "PK\x03\x04....",
	} {
		path := write(t, filepath.Join(dir, name), content)
		compare(t, p, path, formats.NewOptions())
		_, want := formats.Open(t.Context(), path, ingest.Options{})
		src, got := formats.Open(t.Context(), path, ingest.Options{Confined: p})
		if got == nil {
			_ = src.Close()
		}
		if errors.Is(got, ingest.ErrFormat) != errors.Is(want, ingest.ErrFormat) ||
			fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: found %v, want %v", name, got, want)
		}
	}
	_, err := formats.Open(t.Context(), filepath.Join(dir, "none"), ingest.Options{Confined: p})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("found %v, want that the file does not exist", err)
	}
	if info, err := formats.Inspect(t.Context(), write(t, filepath.Join(dir, "p.xyz"), "1 2 3\n4 5 6\n"),
		ingest.Options{Confined: p}); err != nil || !strings.Contains(info.String(), "points  2, 2 finite") {
		t.Errorf("found %v, %v", info, err)
	}
}

// TestOutside: a worker gets files beside its input and those that options name, and no others.
func TestOutside(t *testing.T) {
	dir := t.TempDir()
	input := write(t, filepath.Join(dir, "in", "a.xyz"), "1 2 3\n")
	write(t, filepath.Join(dir, "in", "beside.json"), "{}")
	secret := write(t, filepath.Join(dir, "secret"), "s3cret")
	if err := os.Symlink(secret, filepath.Join(dir, "in", "link")); err != nil {
		t.Fatal(err)
	}
	j := &job{pool: pool(t), path: input, dir: filepath.Dir(input), o: formats.NewOptions()}
	for path, want := range map[string]bool{
		input: true, filepath.Join(dir, "in", "beside.json"): true, secret: false, filepath.Join(dir, "in",
			"link"): false,
		filepath.Join(dir, "in", "..", "secret"): false, dir + "/in/../secret": false, "/etc/passwd": false, "": false,
		"/dev/zero": false, "/proc/self/environ": false, filepath.Join(dir, "in"): false, "a.xyz": false,
	} {
		f, _, err := j.open(path)
		if (err == nil) != want {
			t.Errorf("open %s: found %v", path, err)
		}
		if err == nil {
			_ = f.Close()
		}
		if _, err := j.stat(path); err == nil && !want && path != filepath.Join(dir, "in") {
			t.Errorf("stat %s: found no error", path)
		}
	}
	for path, want := range map[string]bool{dir: false, filepath.Dir(input): true, "/": false, "": false} {
		if _, err := j.list(path); (err == nil) != want {
			t.Errorf("list %s: found %v", path, err)
		}
	}
	if j.root != nil {
		_ = j.root.Close()
	}
}

// TestLies: what a worker that was taken over may say is an error.
func TestLies(t *testing.T) {
	o := ingest.Options{}.WithDefaults()
	valid := func() *sampleHead { return &sampleHead{ID: &id{Stream: "a"}, Kind: "cloud", Dims: []int{3}} }
	if _, err := valid().check(o); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*sampleHead){
		"no ID":                func(h *sampleHead) { h.ID = nil },
		"long stream":          func(h *sampleHead) { h.ID.Stream = strings.Repeat("a", maxStream+1) },
		"escape in stream":     func(h *sampleHead) { h.ID.Stream = "\x1b[2J" },
		"kind":                 func(h *sampleHead) { h.Kind = "model" },
		"negative":             func(h *sampleHead) { h.Dims[0] = -1 },
		"too many points":      func(h *sampleHead) { h.Dims[0] = 1 << 40 },
		"no dimension":         func(h *sampleHead) { h.Dims = nil },
		"two dimensions":       func(h *sampleHead) { h.Dims = []int{3, 3} },
		"numbers":              func(h *sampleHead) { h.Numbers = []uint64{1} },
		"time":                 func(h *sampleHead) { h.Timed, h.Nsec = true, -1 },
		"lens":                 func(h *sampleHead) { h.Model = "fish" },
		"frame overflows":      func(h *sampleHead) { h.Kind, h.Dims = "frame", []int{1 << 33, 1 << 33} },
		"frame without camera": func(h *sampleHead) { h.Kind, h.Dims = "frame", []int{2, 2} },
		"grid overflows": func(h *sampleHead) {
			h.Kind, h.Dims, h.Numbers = "grid", []int{1 << 16, 1 << 16, 1 << 16, 1 << 16}, make([]uint64, 5)
		},
		"grid of negative": func(h *sampleHead) {
			h.Kind, h.Dims, h.Numbers = "grid", []int{-1, -1, 4, 1}, make([]uint64, 5)
		},
	} {
		h := valid()
		if change(h); h != nil {
			if _, err := h.check(o); err == nil {
				t.Errorf("%s: found no error", name)
			}
		}
	}
	lie := &fault{Text: strings.Repeat("\xff", 1<<20), Is: []string{"missing", "limit", "none"}, Cause: 7}
	if err := lie.received(nil); len(err.Error()) > 4*maxText || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("found an error of %d bytes: %.80v", len(err.Error()), err)
	}
}

// TestCrash ends workers while they read: the error names the file, and the next input is read.
func TestCrash(t *testing.T) {
	dir := t.TempDir()
	p := pool(t)
	good := write(t, filepath.Join(dir, "good.xyz"), "1 2 3\n")
	o := formats.NewOptions()
	o.Confined = p
	for range 3 {
		src, err := formats.Open(t.Context(), good, o)
		if err != nil {
			t.Fatal(err)
		}
		_ = src.Close()
		p.mu.Lock()
		for _, w := range p.idle {
			w.Kill() // as a system without memory would
		}
		p.mu.Unlock()
	}
	j, m, err := p.begin(t.Context(), "open", good, o)
	if err != nil || m.Is != "opened" {
		t.Fatalf("found %+v, %v", m, err)
	}
	s := &source{job: j, asked: true}
	j.second = true
	j.w.Kill()
	if _, err := s.Read(t.Context()); !errors.Is(err, ErrWorker) || !strings.Contains(err.Error(), good) {
		t.Errorf("found %v, want ErrWorker with the name", err)
	}
	if _, err := s.Read(t.Context()); !errors.Is(err, ErrWorker) {
		t.Errorf("the next read: found %v, want the same", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	compare(t, p, good, formats.NewOptions())
}

// TestAllKilled: inputs are read although all workers are killed just when they begin.
func TestAllKilled(t *testing.T) {
	good := write(t, filepath.Join(t.TempDir(), "good.xyz"), "1 2 3\n")
	p := NewPool(0, 8)
	t.Cleanup(p.Close)
	o := formats.NewOptions()
	o.Confined = p
	for range 20 {
		var idle []*worker
		for range 4 {
			w, err := p.get(t.Context(), true)
			if err != nil {
				t.Fatal(err)
			}
			idle = append(idle, w)
		}
		for _, w := range idle {
			p.put(w, true)
		}
		for _, w := range idle {
			_ = syscall.Kill(w.Pid(), syscall.SIGKILL) // it is gone if there were enough idle ones
		}
		src, err := p.Open(t.Context(), good, o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := src.Read(t.Context()); err != nil {
			t.Error(err)
		}
		if err := src.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestLarge: a worker that has used much memory is not used again, because it would keep that while it is idle.
func TestLarge(t *testing.T) {
	var member bytes.Buffer
	g, err := gzip.NewWriterLevel(&member, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Write(make([]byte, 64<<20)); err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	path := write(t, filepath.Join(t.TempDir(), "a.xyz.gz"), strings.Repeat(member.String(), 1+maxTaken/(64<<20)))
	p := pool(t)
	b := budget.New(4 << 30)
	if err := b.Run(t.Context(), func(a *budget.Account) error {
		o := formats.NewOptions()
		o.Confined, o.Account = p, a
		src, err := formats.Open(t.Context(), path, o)
		if err == nil {
			return src.Close()
		}
		return nil // it has no points
	}); err != nil {
		t.Fatal(err)
	}
	p.starts.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.idle {
		if w.inputs > 0 {
			t.Errorf("found a worker that is used again after it took %d bytes", w.most)
		}
	}
}

// capture returns a recording of a lidar in the format of libpcap.
// https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-04.html
func capture(t *testing.T) string {
	scene, err := simulate.NamedScene("room", 0)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Unix(1_700_000_000, 0)
	b := []byte{0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0}
	for p, err := range simulate.Take(simulate.VLP16(scene, start), 350*time.Millisecond) {
		if err != nil {
			t.Fatal(err)
		}
		n, at := uint32(42+len(p.Data)), start.Add(p.After)
		b = binary.LittleEndian.AppendUint32(b, uint32(at.Unix()))
		b = binary.LittleEndian.AppendUint32(b, uint32(at.Nanosecond()/1000))
		b = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(b, n), n)
		b = append(b, "aaaaaabbbbbb\x08\x00\x45\x00"...)                                     // Ethernet and IPv4
		b = binary.BigEndian.AppendUint16(b, uint16(n-14))                                   // length
		b = append(b, "\x00\x00\x00\x00\x40\x11\x00\x00\x7f\x00\x00\x01\x7f\x00\x00\x01"...) // UDP, from and to this host
		b = append(b, 9, 64, 9, 64)                                                          // ports 2368
		b = binary.BigEndian.AppendUint16(b, uint16(n-34))
		b = append(append(b, 0, 0), p.Data...)
	}
	return string(b)
}

// TestKilled: a worker that is killed from outside has one successor, which continues where it was. The notes and the
// memory are those of one worker.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	lidar := write(t, filepath.Join(dir, "a.pcap"), capture(t))
	grid := filepath.Join(dir, "a.npy")
	header := "{'descr': '<f4', 'fortran_order': False, 'shape': (5, 2, 2, 2), }"
	var data []byte
	for i := range 40 {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(i)))
	}
	write(t, grid, "\x93NUMPY\x01\x00\x76\x00"+header+strings.Repeat(" ", 117-len(header))+"\n"+string(data))
	for _, path := range []string{lidar, grid} {
		for killed := range 5 { // before this sample
			p := pool(t)
			b := budget.New(64 << 20)
			account := b.Open(t.Context())
			read := func(kill func(src ingest.Source)) (out []ingest.Sample, notes []ingest.Note, err error) {
				o := formats.NewOptions()
				o.Confined, o.Account, o.Notes = p, account, new(ingest.Notes)
				src, err := p.Open(t.Context(), path, o)
				if err != nil {
					return nil, nil, err
				}
				defer src.Close() //nolint:errcheck // nothing is lost
				if s, ok := src.(ingest.Slicer); ok {
					s.Slice(1, 3)
				}
				for {
					if len(out) == killed {
						kill(src)
					}
					sample, err := src.Read(t.Context())
					if errors.Is(err, io.EOF) {
						return out, o.Notes.Take(), nil
					} else if err != nil {
						return out, nil, err
					}
					out = append(out, sample)
				}
			}
			signal := func(j *job) {
				if err := syscall.Kill(j.w.Pid(), syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
				<-j.w.Exited()
			}
			jobOf := func(src ingest.Source) *job {
				if s, ok := src.(*slicer); ok {
					return s.job
				}
				return src.(*source).job
			}
			want, wantNotes, err := read(func(ingest.Source) {})
			if err != nil {
				t.Fatal(err)
			}
			once := b.InUse()
			if killed == 0 && len(want) < 3 {
				t.Errorf("%s: found %d samples, want several", path, len(want))
			}
			if killed >= len(want) {
				continue
			}
			got, notes, err := read(func(src ingest.Source) { signal(jobOf(src)) })
			if err != nil || !reflect.DeepEqual(got, want) || !reflect.DeepEqual(notes, wantNotes) {
				t.Errorf("%s, killed before sample %d: found %d samples, %v, %v, want %d, %v", path, killed, len(got),
					notes,
					err, len(want), wantNotes)
			}
			if used := b.InUse(); used != 2*once {
				t.Errorf("%s: found %d bytes in use, want %d", path, used, 2*once)
			}
			if _, _, err := read(func(src ingest.Source) {
				j := jobOf(src)
				j.second = true // as after a first kill
				signal(j)
			}); !errors.Is(err, ErrWorker) {
				t.Errorf("%s: killed twice: found %v, want ErrWorker", path, err)
			}
			account.Close()
		}
	}
}

// TestCancel: an input that takes long ends with its context.
func TestCancel(t *testing.T) {
	p := pool(t)
	path := write(t, filepath.Join(t.TempDir(), "big.xyz"), strings.Repeat("1 2 3\n", 1<<20))
	ctx, cancel := context.WithCancel(t.Context())
	o := formats.NewOptions()
	o.Confined = p
	src, err := formats.Open(ctx, path, o)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := src.Read(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("found %v, want the context's error", err)
	}
	if err := src.Close(); err != nil {
		t.Error(err)
	}
	compare(t, p, path, formats.NewOptions()) // of several blocks
}

// TestFields: further columns of points that are asked for come from a worker too.
func TestFields(t *testing.T) {
	p := pool(t)
	path := write(t, filepath.Join(t.TempDir(), "a.xyz"), "x y z ring time\n1 2 3 4 0.5\n")
	for _, fields := range [][]string{nil, {"ring"}, {"time", "ring", "none"}} {
		o := formats.NewOptions()
		o.Fields = fields
		compare(t, p, path, o)
	}
	o := formats.NewOptions()
	o.Confined, o.Fields = p, []string{"ring"}
	got, _, _ := events(t.Context(), path, o)
	for _, e := range got {
		if c, ok := e.sample.Data.(*ingest.PointCloud); ok && len(c.Fields) != 1 {
			t.Errorf("found fields %v, want ring", c.Fields)
		}
	}
}

// TestPoses: the poses of frames and clouds pass the wire.
func TestPoses(t *testing.T) {
	pose := &ingest.Pose{R: [9]float64{0, -1, 0, 1, 0, 0, 0, 0, 1}, T: [3]float64{4, 5, 6}}
	for _, want := range []ingest.Sample{
		{Data: &ingest.PointCloud{X: []float64{1}, Y: []float64{2}, Z: []float64{3}, Pose: pose}},
		{Data: &ingest.PointCloud{X: []float64{1}, Y: []float64{2}, Z: []float64{3}}},
		{Data: &ingest.Frame{Width: 1, Height: 1, Depth: []float32{1}, Pose: pose}},
	} {
		h, sent, err := headOf(&want)
		if err != nil {
			t.Fatal(err)
		}
		c, err := h.check(formats.NewOptions())
		if err != nil {
			t.Fatal(err)
		}
		for i, column := range c.allocate() {
			copy(column, sent[i])
		}
		if !reflect.DeepEqual(c.sample.Data, want.Data) {
			t.Errorf("found %+v, want %+v", c.sample.Data, want.Data)
		}
		h.Numbers = h.Numbers[:len(h.Numbers)/2]
		if _, err := h.check(formats.NewOptions()); err == nil && len(h.Has) > 0 {
			t.Error("found no error for a pose of too few numbers")
		}
	}
}

// TestReplaced: a worker reads a limited number of inputs.
func TestReplaced(t *testing.T) {
	p := pool(t)
	o := formats.NewOptions()
	o.Confined = p
	path := write(t, filepath.Join(t.TempDir(), "a.xyz"), "1 2 3\n")
	before, _ := Workers()
	for range 2*maxInputs + 1 {
		src, err := formats.Open(t.Context(), path, o)
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = src.Read(t.Context())
		}
		if !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if err := src.Close(); err != nil {
			t.Fatal(err)
		}
	}
	p.starts.Wait()
	if after, failed := Workers(); after-before < 2 || after-before > 6 {
		t.Errorf("found %d workers for %d inputs, %d failed", after-before, 2*maxInputs+1, failed)
	}
}

// TestWait: the time in which an input waits for memory that others hold is not that of its worker.
func TestWait(t *testing.T) {
	t.Parallel()
	p := pool(t)
	path := write(t, filepath.Join(t.TempDir(), "a.xyz"), strings.Repeat("1 2 3\n", 1<<18)) // decoded, 6 MiB
	b := budget.New(64 << 20)
	one, other := b.Open(t.Context()), b.Open(t.Context())
	for a, n := range map[*budget.Account]int64{one: 17 << 20, other: 12 << 20} { // leaves 4 MiB, which is granted
		if err := a.Take(n); err != nil {
			t.Fatal(err)
		}
	}
	o := formats.NewOptions()
	o.Account = b.Open(t.Context())
	defer o.Account.Close()
	j, m, err := p.begin(t.Context(), "open", path, o)
	if err != nil || m.Is != "opened" {
		t.Fatalf("found %+v, %v", m, err)
	}
	j.limit = time.Second
	timer := time.AfterFunc(3*j.limit, func() {
		one.Close()
		other.Close()
	})
	defer timer.Stop()
	s := &source{job: j, asked: true}
	if _, err := s.Read(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestMemory: a worker takes the memory of an input from the budget of its parent, whatever it does with it.
func TestMemory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.ply.gz")
	const points = 4 << 20 // of 12 bytes
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	fmt.Fprintf(z, "ply\nformat binary_little_endian 1.0\nelement vertex %d\n"+
		"property float x\nproperty float y\nproperty float z\nend_header\n", points)
	if _, err := z.Write(make([]byte, 12*points)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, packed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int64{16 << 20, 2 << 30} {
		b := budget.New(size)
		o := formats.NewOptions()
		o.Confined, o.Budget = pool(t), b
		_, inspected := formats.Inspect(t.Context(), path, o)
		src, opened := formats.OpenSingle(t.Context(), path, o)
		if opened == nil {
			_, opened = src.Read(t.Context())
			if err := src.Close(); err != nil {
				t.Error(err)
			}
		}
		for how, err := range map[string]error{"inspect": inspected, "open": opened} {
			if small := size < 1<<30; errors.Is(err, budget.ErrLimit) != small || (err != nil) != small {
				t.Errorf("%s with a budget of %d bytes: found error %v, want one of memory: %t", how, size, err, small)
			}
		}
		if n := b.InUse(); n != 0 {
			t.Errorf("budget of %d bytes: found %d bytes in use at the end, want none", size, n)
		}
	}
}

// TestNames: a name in an input begins no line in its description.
func TestNames(t *testing.T) {
	var npz bytes.Buffer
	z := zip.NewWriter(&npz)
	header := "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 4, 4, 4), }\n"
	for _, name := range []string{"points\nforged.npy", "other\nforged.npy"} {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(w, "\x93NUMPY\x01\x00%c\x00%s%s", len(header), header,
			make([]byte, 2*4*4*4*8)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	path := write(t, filepath.Join(t.TempDir(), "a.npz"), npz.String())
	info, err := formats.Inspect(t.Context(), path, ingest.Options{Confined: pool(t)})
	if err != nil {
		t.Fatal(err)
	}
	if text := screen.Printable(info).String(); !strings.Contains(text, `array   points\u000aforged float64`) {
		t.Errorf("found %q, want the line end as an escape", text)
	}
}
