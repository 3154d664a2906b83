package tsdf

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"image/color"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/depth"
	"github.com/voxelstream/voxelstream/ingest/lidar"
	"github.com/voxelstream/voxelstream/internal/testenv"
	"github.com/voxelstream/voxelstream/record"
)

// linked returns a folder with links to samples, under their names in the original datasets.
func linked(t testing.TB, names map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for as, sample := range names {
		if err := os.Symlink(testenv.Sample(t, "rgbd/"+sample), filepath.Join(dir, as)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func folders(t testing.TB) map[string]string {
	return map[string]string{
		"tsdf_fusion": linked(t, map[string]string{
			"frame-000150.depth.png": "tsdf_fusion/frame-000150.depth.png",
			"frame-000150.color.png": "tsdf_fusion/frame-000150.color.png",
			"frame-000150.pose.txt":  "tsdf_fusion/frame-000150.pose.txt",
			"camera-intrinsics.txt":  "tsdf_fusion/camera-intrinsics.txt",
		}),
		"redwood": linked(t, map[string]string{
			"depth_0.png": "redwood/depth_00000.png", "depth_1.png": "redwood/depth_00001.png",
			"depth_2.png":  "redwood/depth_00002.png",
			"odometry.log": "redwood/odometry.log", "camera.json": "redwood/camera_primesense.json",
		}),
	}
}

func fuse(t testing.TB, dir string, o Options) *Fused {
	t.Helper()
	open := func() (ingest.Source, error) { return depth.Frames.Open(t.Context(), dir, ingest.Options{}) }
	place := func(_, _ [3]float64) (Options, error) { return o, nil }
	f, err := Fuse(t.Context(), open, place, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestGolden compares with numpy (testdata/golden.py), and compares results for different numbers of threads.
func TestGolden(t *testing.T) {
	data, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden []struct {
		Name                  string
		Origin                [3]float64
		Edge                  float64
		Dims                  [3]int
		Observed, Negative    int
		Weight, Sum, Weighted float64
		Cells                 []float64
	}
	if err := json.Unmarshal(data, &golden); err != nil {
		t.Fatal(err)
	}
	dirs := folders(t)
	for _, g := range golden {
		var first *Volume
		for _, threads := range []int{1, 2, 7} {
			v := fuse(t, dirs[g.Name], Options{Origin: g.Origin, Edge: g.Edge, Dims: g.Dims, Threads: threads}).Volume
			if first == nil {
				first = v
			}
			if !slices.Equal(v.dist, first.dist) || !slices.Equal(v.weight, first.weight) ||
				!bytes.Equal(v.rgb, first.rgb) {
				t.Errorf("%s: %d threads gave another volume than 1 thread", g.Name, threads)
			}
		}
		sum, weighted, weight, observed, negative := 0.0, 0.0, 0.0, 0, 0
		for i, d := range first.dist {
			sum += float64(d)
			weighted += float64(d) * float64(i%1009)
			weight += float64(first.weight[i])
			if first.weight[i] > 0 {
				observed++
			}
			if d < 0 {
				negative++
			}
			// A point on the border of two pixels may fall into either, so a few cells may differ. The sums below
			// would reveal more than that.
			if i%997 == 0 && math.Abs(float64(d)-g.Cells[i/997]) > 1e-5 {
				t.Errorf("%s: cell %d: found %g, want %g", g.Name, i, d, g.Cells[i/997])
			}
		}
		near := func(a, b float64) bool { return math.Abs(a-b) <= 1e-5*math.Abs(b) }
		if observed != g.Observed || negative != g.Negative || weight != g.Weight || !near(sum, g.Sum) ||
			!near(weighted, g.Weighted) {
			t.Errorf("%s: found %d cells, %d below 0, weight %g, sums %g and %g, want %+v", g.Name, observed,
				negative, weight, sum, weighted, g)
		}
	}
}

// TestSphereFromAllSides fuses views of a sphere of radius 0.5 m along the six axes. The mesh must lie on the sphere.
func TestSphereFromAllSides(t *testing.T) {
	const radius, away, side, focal = 0.5, 2.0, 200, 260.0
	cam := ingest.Intrinsics{Fx: focal, Fy: focal, Cx: (side - 1) / 2.0, Cy: (side - 1) / 2.0}
	v, err := New(Options{Origin: [3]float64{-0.7, -0.7, -0.7}, Edge: 0.02, Dims: [3]int{70, 70, 70}})
	if err != nil {
		t.Fatal(err)
	}
	for axis := range 3 {
		for _, sign := range []float64{1, -1} {
			// The camera looks along its z axis. The rotation is an even permutation of the axes, with two of them
			// reversed if the sign is -1.
			var pose ingest.Pose
			for k := range 3 {
				s := 1.0
				if sign < 0 && k != 1 {
					s = -1
				}
				pose.R[3*((axis+1+k)%3)+k] = s
			}
			for k := range 3 {
				pose.T[k] = -away * pose.R[3*k+2]
			}
			f := &ingest.Frame{
				Width: side, Height: side, Cam: cam, Pose: &pose,
				Depth: make([]ingest.Metres, side*side), Color: make([]color.RGBA, side*side),
			}
			for i := range f.Depth {
				dx, dy := (float64(i%side)-cam.Cx)/focal, (float64(i/side)-cam.Cy)/focal
				// |(dx, dy, 1) z - (0, 0, away)| = radius
				a, b := dx*dx+dy*dy+1, away
				if disc := b*b - a*(away*away-radius*radius); disc > 0 {
					f.Depth[i] = ingest.Metres((b - math.Sqrt(disc)) / a)
				}
				f.Color[i] = color.RGBA{R: 200, G: 100, B: 50, A: 255}
			}
			if err := v.Integrate(f); err != nil {
				t.Fatal(err)
			}
		}
	}
	m, err := v.Mesh()
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Triangles) < 5000 {
		t.Fatalf("found %d triangles", len(m.Triangles))
	}
	sum := 0.0
	for i, p := range m.Vertices {
		r := math.Sqrt(float64(p[0]*p[0] + p[1]*p[1] + p[2]*p[2]))
		sum += math.Abs(r - radius)
		if math.Abs(r-radius) > 0.02 {
			t.Fatalf("vertex %v: found %g m from the centre, want %g within a cell", p, r, radius)
		}
		if c := m.RGB[i]; c != [3]uint8{200, 100, 50} {
			t.Fatalf("vertex %v: found colour %v", p, c)
		}
	}
	// The fused distance is measured along the viewing axis, so it is longer than the distance to the surface,
	// especially at the rim.
	if mean := sum / float64(len(m.Vertices)); mean > 0.003 {
		t.Errorf("found a mean distance of %.4f m from the sphere, want at most 0.003", mean)
	}
	if got, want := enclosed(m), 4.0/3*math.Pi*radius*radius*radius; math.Abs(got-want) > 0.02*want {
		t.Errorf("found a volume of %g m3 inside the mesh, want %g", got, want)
	}
	if near := v.Near(); near.Values[0] != 0 || slices.Max(near.Values) < 0.9 {
		t.Errorf("closeness: found %g at the corner and a maximum of %g", near.Values[0], slices.Max(near.Values))
	}
	if d := v.Distances().Values; slices.Min(d) < -0.1 || slices.Max(d) > 0.1 {
		t.Errorf("distances: found %g to %g m", slices.Min(d), slices.Max(d))
	}
}

// enclosed returns the volume inside a closed mesh, positive if its triangles face outward.
func enclosed(m *Mesh) float64 {
	sum := 0.0
	for _, t := range m.Triangles {
		a, b, c := m.Vertices[t[0]], m.Vertices[t[1]], m.Vertices[t[2]]
		sum += float64(a[0]*(b[1]*c[2]-b[2]*c[1]) + a[1]*(b[2]*c[0]-b[0]*c[2]) + a[2]*(b[0]*c[1]-b[1]*c[0]))
	}
	return sum / 6
}

// TestMeshIsClosed checks that the mesh of any field with a positive border has each edge twice, once in each
// direction.
func TestMeshIsClosed(t *testing.T) {
	const n = 12
	for seed := range uint64(20) {
		v, err := New(Options{Edge: 1, Dims: [3]int{n, n, n}})
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(seed, 1))
		inside := 0
		for i := range v.dist {
			v.weight[i], v.dist[i] = 1, 1
			x, y, z := i%n, i/n%n, i/n/n
			if x%(n-1) != 0 && y%(n-1) != 0 && z%(n-1) != 0 {
				v.dist[i] = 2*r.Float32() - 1
				inside++
			}
		}
		m, err := v.Mesh()
		if err != nil {
			t.Fatal(err)
		}
		seen := map[[2]uint32]int{}
		for _, tri := range m.Triangles {
			for k := range 3 {
				seen[[2]uint32{tri[k], tri[(k+1)%3]}]++
			}
		}
		for e, times := range seen {
			if times != seen[[2]uint32{e[1], e[0]}] {
				t.Fatalf("seed %d: edge %v: found %d times, %d in the other direction", seed, e, times,
					seen[[2]uint32{e[1], e[0]}])
			}
		}
		if vol := enclosed(m); len(m.Triangles) < 1000 || !(vol > 0) {
			t.Errorf("seed %d: found %d triangles around a volume of %g", seed, len(m.Triangles), vol)
		}
	}
}

// TestMeshOfSample checks that the visible part of the mesh agrees with the camera's depth, and that the PLY file can
// be read back.
func TestMeshOfSample(t *testing.T) {
	dir := folders(t)["tsdf_fusion"]
	const edge = 0.02
	v := fuse(t, dir, Options{Origin: [3]float64{-2, -1.5, 0.75}, Edge: edge, Dims: [3]int{150, 125, 175}}).Volume
	m, err := v.Mesh()
	if err != nil {
		t.Fatal(err)
	}
	src, err := depth.Frames.Open(t.Context(), dir, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := src.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f, ok := s.Data.(*ingest.Frame)
	if !ok {
		t.Fatalf("found %T", s.Data)
	}
	camera := f.Pose.Inverse()
	met := 0
	for _, p := range m.Vertices {
		x, y, z := camera.Apply(float64(p[0]), float64(p[1]), float64(p[2]))
		u, w := int(math.Round(f.Cam.Fx*x/z+f.Cam.Cx)), int(math.Round(f.Cam.Fy*y/z+f.Cam.Cy))
		if u >= 0 && w >= 0 && u < f.Width && w < f.Height && math.Abs(float64(f.Depth[w*f.Width+u])-z) < edge {
			met++
		}
	}
	// The rest bridges steps between near and far surfaces that are less than the truncation apart.
	if part := float64(met) / float64(len(m.Vertices)); part < 0.9 {
		t.Errorf("found %.3f of %d vertices within a cell of the depth, want at least 0.9", part, len(m.Vertices))
	}
	path := filepath.Join(t.TempDir(), "m.ply")
	var b bytes.Buffer
	if err := m.WritePLY(&b); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	back, err := lidar.PLY.Open(t.Context(), path, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err = back.Read(t.Context())
	if p, ok := s.Data.(*ingest.PointCloud); err != nil || !ok || p.Len() != len(m.Vertices) ||
		p.X[9] != float64(m.Vertices[9][0]) || p.G[9] != m.RGB[9][1] {
		t.Errorf("read back: found %+v, %v", s.Data, err)
	}
}

// frames is a source of given samples.
type frames struct {
	samples []ingest.Sample
	next    int
}

func (f *frames) Read(context.Context) (ingest.Sample, error) {
	if f.next == len(f.samples) {
		return ingest.Sample{}, io.EOF
	}
	f.next++
	return f.samples[f.next-1], nil
}

func (f *frames) Close() error { return nil }

func TestFuseRequiresPoses(t *testing.T) {
	frame := func(pose *ingest.Pose) ingest.Sample {
		return ingest.Sample{
			ID: record.ID{Stream: "s"},
			Data: &ingest.Frame{
				Width: 1, Height: 1, Depth: []ingest.Metres{1}, Cam: ingest.Intrinsics{Fx: 1, Fy: 1}, Pose: pose,
			},
		}
	}
	here := ingest.Identity()
	for name, c := range map[string]struct {
		samples        []ingest.Sample
		frames, failed int
		fails          bool
	}{
		"single frame without pose": {[]ingest.Sample{frame(nil)}, 1, 0, false},
		"two frames without pose":   {[]ingest.Sample{frame(nil), frame(nil)}, 0, 0, true},
		"one of three without pose": {[]ingest.Sample{frame(&here), frame(nil), frame(&here)}, 2, 1, false},
		"no frames":                 {nil, 0, 0, true},
		"points":                    {[]ingest.Sample{{Data: &ingest.PointCloud{}}}, 0, 0, true},
		"no camera": {
			[]ingest.Sample{{Data: &ingest.Frame{Width: 1, Height: 1, Depth: []ingest.Metres{1}}}}, 0, 0, true,
		},
	} {
		failed := 0
		f, err := Fuse(t.Context(), func() (ingest.Source, error) { return &frames{samples: c.samples}, nil },
			func(lo, hi [3]float64) (Options, error) {
				if lo != hi || lo[2] != 1 {
					t.Errorf("%s: found box %v %v", name, lo, hi)
				}
				return Options{Edge: 1, Dims: [3]int{2, 2, 2}}, nil
			},
			func(err error) {
				failed++
				if !errors.Is(err, ErrNoPose) {
					t.Errorf("%s: found error %v", name, err)
				}
			})
		if (err != nil) != c.fails || err == nil &&
			(f.Frames != c.frames || f.Failed != c.failed || failed != c.failed) {
			t.Errorf("%s: found %+v, %v", name, f, err)
		}
	}
}

func TestNewErrors(t *testing.T) {
	for name, o := range map[string]Options{
		"no cells":   {Edge: 1},
		"too many":   {Edge: 1, Dims: [3]int{1 << 20, 1 << 20, 1 << 30}},
		"no edge":    {Dims: [3]int{1, 1, 1}},
		"NaN":        {Dims: [3]int{1, 1, 1}, Edge: math.NaN()},
		"truncation": {Dims: [3]int{1, 1, 1}, Edge: 1, Truncation: -1},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: want an error", name)
		}
	}
}

func BenchmarkIntegrate(b *testing.B) {
	dir := folders(b)["tsdf_fusion"]
	src, err := depth.Frames.Open(b.Context(), dir, ingest.Options{})
	if err != nil {
		b.Fatal(err)
	}
	s, err := src.Read(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	f, ok := s.Data.(*ingest.Frame)
	if !ok {
		b.Fatalf("found %T", s.Data)
	}
	f.Color = nil
	v, err := New(Options{Origin: [3]float64{-2, -1.5, 0.75}, Edge: 0.0125, Dims: [3]int{256, 256, 256}, Threads: 1})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := v.Integrate(f); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(v.dist))*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mcells/s")
}
