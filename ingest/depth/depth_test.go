package depth

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/ingesttest"
	"github.com/voxelstream/voxelstream/internal/testenv"
)

func encode(tb testing.TB, img image.Image) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// depthImage is 3 x 2 with the given raw values.
func depthImage(tb testing.TB, raw ...uint16) []byte {
	img := image.NewGray16(image.Rect(0, 0, 3, 2))
	for i, v := range raw {
		img.SetGray16(i%3, i/3, color.Gray16{Y: v})
	}
	return encode(tb, img)
}

func colorImage(tb testing.TB, w, h int) []byte {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		img.SetRGBA(i%w, i/w, color.RGBA{R: uint8(i), G: 2, B: 3, A: 255})
	}
	return encode(tb, img)
}

func put(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPNG(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, map[string]string{
		"d.png": string(depthImage(t, 0, 1000, 65535, 1, 0, 2500)),
		"c.png": string(colorImage(t, 3, 2)),
	})
	path := filepath.Join(dir, "d.png")
	for units, want := range map[float64]string{0: "[0 1 65.535 0.001 0 2.5]", 5000: "[0 0.2 13.107 0.0002 0 0.5]"} {
		src, err := PNG.Open(t.Context(), path, ingest.Options{Readers: []any{&Options{DepthUnits: units}}})
		if err != nil {
			t.Fatal(err)
		}
		s, err := src.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		f, ok := s.Data.(*ingest.Frame)
		if !ok || fmt.Sprint(f.Depth) != want {
			t.Errorf("units %g: found %v, want %s", units, f.Depth, want)
		}
		if f.Cam.Valid() {
			t.Error("found a camera for a size no camera has")
		}
	}
	if _, err := decodePNG(depthImage(t, 1), 1000, settingsOf(ingest.Options{MaxPixels: 5})); err == nil ||
		!strings.Contains(err.Error(), "limit 5") {
		t.Errorf("found error %v, want the limit", err)
	}
}

// TestNoDepth: images that hold no depth are recognized, and the error says what they are.
func TestNoDepth(t *testing.T) {
	rect := image.Rect(0, 0, 2, 2)
	for name, c := range map[string]struct {
		format ingest.Format
		data   []byte
		want   string
	}{
		"grey.png": {PNG, encode(t, image.NewGray(rect)), "found an 8-bit PNG, want 16-bit grey: its colour type is grey"},
		"palette.png": {
			PNG, encode(t, image.NewPaletted(rect, color.Palette{color.Black, color.White})),
			"found a 1-bit PNG, want 16-bit grey: its colour type is palette",
		},
		"rgb.png":   {PNG, encode(t, image.NewNRGBA(rect)), "found an 8-bit PNG, want 16-bit grey: its colour type is RGB"},
		"rgb16.png": {PNG, encode(t, image.NewNRGBA64(rect)), "found a 16-bit PNG, want 16-bit grey: its colour type is RGB"},
		"cut.png":   {PNG, []byte(pngHead), "unexpected EOF"},
		"grey.pgm":  {PGM, []byte("P5\n2 2\n255\n...."), "found an 8-bit PGM, want 16-bit"},
		"plain.pgm": {PGM, []byte("P2\n2 2\n255\n1 2 3 4"), "found an 8-bit PGM, want 16-bit"},
		"short.pgm": {PGM, []byte("P2\n2 2\n65535\n1 2 3"), "found 3 pixels, want 4"},
		"large.pgm": {PGM, []byte("P2\n2 2\n1000\n1 2 3 1001"), "pixel 3: found \"1001\", want 0 to 1000"},
	} {
		dir := t.TempDir()
		put(t, dir, map[string]string{name: string(c.data)})
		path := filepath.Join(dir, name)
		head, err := ingest.ReadHead(path)
		if err != nil || c.format.Detect(head) != ingest.Sure {
			t.Errorf("%s: not recognized, %v", name, err)
		}
		if _, err := c.format.Inspect(t.Context(), path, ingest.Options{}); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: found %v, want %q", name, err, c.want)
		}
	}
	f, err := decodePGM([]byte("P2 # plain\n2 2\n65535\n1000 2000\n3000 4000\n"), 1000, settingsOf(ingest.Options{}))
	if err != nil || fmt.Sprint(f.Depth) != "[1 2 3 4]" {
		t.Errorf("plain: found %v, %v", f, err)
	}
}

func TestPNGSuite(t *testing.T) {
	ingesttest.Format(t, PNG, "d.png", depthImage(t, 0, 1, 2, 3, 4, 65535))
}

func FuzzPNG(f *testing.F) { ingesttest.Fuzz(f, PNG, "d.png", depthImage(f, 0, 1, 2, 3, 4, 65535)) }

func TestPairNearest(t *testing.T) {
	at := func(ms ...int) (out []listed) {
		for _, m := range ms {
			out = append(out, listed{time.UnixMilli(int64(m)), fmt.Sprint(m)})
		}
		return out
	}
	for name, c := range map[string]struct {
		depth, color []listed
		want         string
	}{
		"nearest":       {at(0, 33, 66), at(2, 30, 70), "2 30 70"},
		"tolerance":     {at(0, 100), at(21, 120), "- 120"},
		"each once":     {at(0, 10), at(8), "- 8"},
		"tie":           {at(10), at(0, 20), "0"},
		"no colour":     {at(1, 2), nil, "- -"},
		"colour before": {at(100), at(90), "90"},
	} {
		var got []string
		for _, p := range pairNearest(c.depth, c.color, 20*time.Millisecond) {
			if p.color.path == "" {
				p.color.path = "-"
			}
			got = append(got, p.color.path)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: found %s, want %s", name, s, c.want)
		}
	}
}

func readAll(t *testing.T, dir string) (frames []ingest.Sample, failed []*ingest.ItemError) {
	t.Helper()
	src, err := TUM.Open(t.Context(), dir, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for {
		s, err := src.Read(t.Context())
		var item *ingest.ItemError
		switch {
		case errors.Is(err, io.EOF):
			return frames, failed
		case errors.As(err, &item):
			failed = append(failed, item)
		case err != nil:
			t.Fatal(err)
		default:
			frames = append(frames, s)
		}
	}
}

func TestTUMLists(t *testing.T) {
	d, c := string(depthImage(t, 5000, 0, 1, 2, 3, 4)), string(colorImage(t, 3, 2))
	dir := t.TempDir()
	put(t, dir, map[string]string{
		"depth.txt": "# timestamp filename\n10.000000 depth/a.png\n11.5 depth/b.png\n12.25 depth/gone.png\n13 " +
			"depth/d.png\n",
		"rgb.txt":       "10.01 rgb/a.png\n11.4 rgb/far.png\n13.000 rgb/big.png\n",
		"depth/a.png":   d,
		"rgb/a.png":     c,
		"depth/b.png":   d,
		"depth/d.png":   d,
		"rgb/big.png":   string(colorImage(t, 4, 2)),
		"unrelated.txt": "x",
	})
	frames, failed := readAll(t, dir)
	if len(frames) != 2 || len(failed) != 2 {
		t.Fatalf("found %d frames and %v", len(frames), failed)
	}
	a, _ := frames[0].Data.(*ingest.Frame)
	b, _ := frames[1].Data.(*ingest.Frame)
	if a.Depth[0] != 1 || len(a.Color) != 6 || a.Color[4].R != 4 || b.Color != nil {
		t.Errorf("found %+v and %+v", a, b)
	}
	if frames[1].Seq != 1 || frames[1].Time != time.Unix(11, 500_000_000).UTC() {
		t.Errorf("found seq %d time %v", frames[1].Seq, frames[1].Time)
	}
	if failed[0].Seq != 2 || !strings.Contains(failed[0].Error(), "gone.png") ||
		!strings.Contains(failed[1].Error(), "4 x 2 pixels, want 3 x 2") {
		t.Errorf("found %v", failed)
	}
}

func TestTUMAssociationsInEitherOrder(t *testing.T) {
	d, c := string(depthImage(t, 5000)), string(colorImage(t, 3, 2))
	for name, line := range map[string]string{
		"depth first":   "1.5 depth/a.png 1.6 rgb/a.png",
		"colour first":  "1.6 rgb/a.png 1.5 depth/a.png",
		"names say not": "1.5 d/a.png 1.6 c/a.png",
		"neither order": "1.6 c/a.png 1.5 d/a.png",
		"commas":        "1.6,rgb/a.png,1.5,depth/a.png",
		"decimal comma": "1,6 rgb/a.png 1,5 depth/a.png",
		"backslashes":   `1.6 rgb\a.png 1.5 depth\a.png`,
		"absolute":      "1.6 /data/set/rgb/a.png 1.5 C:/data/set/depth/a.png",
		"scientific":    "1.6e+00 rgb/a.png 1.500000000e+00 depth/a.png",
		"names":         "time_rgb rgb time_depth depth\r\n\r\n1.6 rgb/a.png 1.5 depth/a.png\r\n",
		"carriage":      "\ufeff# pairs\r1.6 rgb/a.png 1.5 depth/a.png\r",
	} {
		dir := t.TempDir()
		put(t, dir, map[string]string{
			"associations.txt": line, "depth/a.png": d, "rgb/a.png": c, "d/a.png": d, "c/a.png": c,
		})
		frames, failed := readAll(t, dir)
		if len(frames) != 1 || frames[0].Time != time.Unix(1, 500_000_000).UTC() {
			t.Errorf("%s: found %v %v", name, frames, failed)
		}
	}
}

func TestTUMRefuses(t *testing.T) {
	for name, c := range map[string]struct{ list, want string }{
		"escape": {"1 ../../etc/passwd", "inside the folder"},
		"time":   {"yesterday a.png", "line 1: found time"},
		"words":  {"# fine\n1.0", "line 2: found 1 words, want 2"},
	} {
		dir := t.TempDir()
		put(t, dir, map[string]string{"depth.txt": c.list})
		if _, err := TUM.Open(t.Context(), dir, ingest.Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: found error %v, want %q", name, err, c.want)
		}
	}
}

// TestTUMKeepsWhatIsWhole: a bad row costs one row, and a note says so.
func TestTUMKeepsWhatIsWhole(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, map[string]string{
		"depth.txt": "1.5 a.png\n1.6\n1.7 a.png\n", "a.png": string(depthImage(t, 5000)),
		"groundtruth.txt": "1.5 1 2 3 0 0 0 1\n1.7 1 2 3 0 0 0 0\n9 1 2\n",
	})
	o := ingest.Options{Notes: new(ingest.Notes)}
	d, err := TUM.Inspect(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	if d, ok := d.(*ingest.Depth); !ok || d.Frames != 2 || d.Poses != 1 {
		t.Errorf("found %+v", d)
	}
	got := fmt.Sprint(o.Notes.Take())
	for _, want := range []string{
		"left out 1 of 3 rows of depth.txt; the first is line 2", "left out 1 of 3 rows of groundtruth.txt",
		"left out 1 poses of groundtruth.txt at which tracking was lost",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("found notes %s, want %q", got, want)
		}
	}
	put(t, dir, map[string]string{"groundtruth.txt": "5001.5 1 2 3 0 0 0 1\n"})
	if _, err := TUM.Inspect(t.Context(), dir, o); err != nil ||
		!strings.Contains(fmt.Sprint(o.Notes.Take()), "none of the 1 poses") {
		t.Errorf("found no note, %v", err)
	}
}

func FuzzTUMList(f *testing.F) {
	f.Add("# t f\n1.5 depth/a.png\n", "1.6 rgb/a.png\n")
	f.Add("-1.5 a\n\n9999999999999 b", "0 c")
	f.Fuzz(func(t *testing.T, depths, colors string) {
		dir := t.TempDir()
		put(t, dir, map[string]string{"depth.txt": depths, "rgb.txt": colors})
		o := settingsOf(ingest.Options{})
		folder, err := readTUM(dir, o)
		if err != nil {
			return
		}
		for _, p := range folder.pairs {
			if !filepath.IsLocal(p.depth.path) || p.color.path != "" && !filepath.IsLocal(p.color.path) {
				t.Errorf("found a path outside: %+v", p)
			}
		}
	})
}

func TestPoints(t *testing.T) {
	f := &ingest.Frame{
		Width: 3, Height: 2, Depth: []ingest.Metres{2, 0, 1, 0, 4, 0}, Cam: ingest.Intrinsics{Fx: 2, Fy: 4, Cx: 1, Cy: 0.5},
		Color: []color.RGBA{{R: 1}, {R: 2}, {R: 3}, {R: 4}, {R: 5}, {R: 6}},
	}
	p, err := f.Points()
	if err != nil {
		t.Fatal(err)
	}
	// (0,0) z=2: x=(0-1)/2*2, y=(0-.5)/4*2; (2,0) z=1; (1,1) z=4.
	if got := fmt.Sprint(p.X, p.Y, p.Z, p.R); got != "[-1 0.5 0] [-0.25 -0.125 0.5] [2 1 4] [1 3 5]" {
		t.Errorf("found %s", got)
	}
	before := &p.X[0]
	p.X, p.Y, p.Z, p.R, p.G, p.B = p.X[:0], p.Y[:0], p.Z[:0], p.R[:0], p.G[:0], p.B[:0]
	if err := f.AppendPoints(p); err != nil || &p.X[0] != before || p.Len() != 3 {
		t.Errorf("memory not used again: %v", err)
	}
	if err := f.AppendPoints(p); err != nil || p.Len() != 6 || p.X[3] != -1 || p.R[5] != 5 {
		t.Errorf("appended: found %+v, %v", p, err)
	}
	f.Cam = ingest.Intrinsics{}
	if _, err := f.Points(); err == nil {
		t.Error("found no error without a camera")
	}
}

func BenchmarkPoints(b *testing.B) {
	f, err := readPNG(testenv.Sample(b, "rgbd/redwood/depth_00000.png"), settingsOf(ingest.Options{}))
	if err != nil {
		b.Fatal(err)
	}
	var p ingest.PointCloud
	for b.Loop() {
		p.X, p.Y, p.Z = p.X[:0], p.Y[:0], p.Z[:0]
		if err := f.AppendPoints(&p); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
}

// BenchmarkPointsThroughLens is BenchmarkPoints for a camera whose lens bends rays.
func BenchmarkPointsThroughLens(b *testing.B) {
	f, err := readPNG(testenv.Sample(b, "rgbd/redwood/depth_00000.png"), settingsOf(ingest.Options{}))
	if err != nil {
		b.Fatal(err)
	}
	f.Cam = KinectV1
	var p ingest.PointCloud
	for b.Loop() {
		p.X, p.Y, p.Z = p.X[:0], p.Y[:0], p.Z[:0]
		if err := f.AppendPoints(&p); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
}

func BenchmarkDecodePNG(b *testing.B) {
	path := testenv.Sample(b, "rgbd/redwood/depth_00000.png")
	for b.Loop() {
		if _, err := readPNG(path, settingsOf(ingest.Options{})); err != nil {
			b.Fatal(err)
		}
	}
}

// pgm is 3 x 2 pixels of a ramp near 1 m, with the low byte last, or first.
func pgm(swapped bool) []byte {
	b := []byte("P5\n# by hand\n3 2\n65535\n")
	for _, v := range []uint16{1000, 1010, 1020, 0, 1015, 1030} {
		if swapped {
			b = append(b, byte(v), byte(v>>8))
		} else {
			b = append(b, byte(v>>8), byte(v))
		}
	}
	return b
}

func TestPGMByteOrder(t *testing.T) {
	for _, swapped := range []bool{false, true} {
		o := ingest.Options{Notes: new(ingest.Notes)}
		f, err := decodePGM(pgm(swapped), 1000, settingsOf(o))
		found := len(o.Notes.Take()) == 1
		if err != nil || found != swapped || fmt.Sprint(f.Depth) != "[1 1.01 1.02 0 1.015 1.03]" {
			t.Errorf("swapped %v: found %v, %v, %v", swapped, f, found, err)
		}
	}
	if _, err := decodePGM(pgm(false), 1000, settingsOf(ingest.Options{MaxPixels: 5})); err == nil ||
		!strings.Contains(err.Error(), "limit 5") {
		t.Errorf("found error %v", err)
	}
	if _, _, err := parsePGM([]byte("P5 3 2 255\n......")); err == nil {
		t.Error("an image of 8 bits was taken for depth")
	}
}

func TestPGMSuite(t *testing.T) { ingesttest.Format(t, PGM, "d.pgm", pgm(false)) }

func FuzzPGM(f *testing.F) { ingesttest.Fuzz(f, PGM, "d.pgm", pgm(false), pgm(true)) }

func TestFramesFolder(t *testing.T) {
	d, c := string(depthImage(t, 0, 1000)), string(colorImage(t, 3, 2))
	for name, files := range map[string]map[string]string{
		"open3d": {
			"depth/2.png": d, "depth/10.png": d, "color/2.png": c,
			"camera_primesense.json": `{"width": 3, "intrinsic_matrix": [11, 0, 0, 0, 12, 0, 13, 14, 1]}`,
		},
		"tsdf-fusion": {
			"frame-000002.depth.png": d, "frame-000010.depth.png": d, "frame-000002.color.png": c,
			"frame-000002.pose.txt": "1 0 0 7\n0 1 0 8\n0 0 1 9\n0 0 0 1\n",
			"camera-intrinsics.txt": "11 0 13\n0 12 14\n0 0 1\n",
		},
		"pgm": {
			"depth/2.png": d, "depth/10.pgm": string(pgm(false)), "rgb/2.png": c,
			"camera.json": `{"intrinsic_matrix": [11, 0, 0, 0, 12, 0, 13, 14, 1]}`,
		},
	} {
		dir := t.TempDir()
		put(t, dir, files)
		head, err := ingest.ReadHead(dir)
		if err != nil || Frames.Detect(head) == ingest.No {
			t.Errorf("%s: not recognized: %v", name, err)
		}
		src, err := Frames.Open(t.Context(), dir, ingest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 2 {
			s, err := src.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			want := float32(1)
			if name == "pgm" && i == 1 {
				want = 1.01
			}
			f, ok := s.Data.(*ingest.Frame)
			if !ok || f.Depth[1] != want || f.Cam != (ingest.Intrinsics{Fx: 11, Fy: 12, Cx: 13, Cy: 14}) {
				t.Errorf("%s frame %d: found %+v", name, i, s.Data)
			}
			if has := f.Color != nil; has != (i == 0) { // frame 2 comes before frame 10
				t.Errorf("%s frame %d: colour %v", name, i, has)
			}
		}
		info, err := Frames.Inspect(t.Context(), dir, ingest.Options{})
		if depth, ok := info.(*ingest.Depth); err != nil || !ok || depth.Frames != 2 || depth.Missing != 0 ||
			depth.Unit != "mm" {
			t.Errorf("%s: found %+v, %v", name, info, err)
		}
	}
}
