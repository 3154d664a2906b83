package photogrammetry

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/testenv"
)

// pointsOf reads the first cloud of an input.
func pointsOf(t *testing.T, f ingest.Format, path string, o Options) (*ingest.PointCloud, error) {
	t.Helper()
	src, err := f.Open(t.Context(), path, ingest.Options{Readers: []any{&o}})
	if err != nil {
		return nil, err
	}
	s, err := src.Read(t.Context())
	if err != nil {
		return nil, err
	}
	p, ok := s.Data.(*ingest.PointCloud)
	if !ok {
		t.Fatalf("found %T", s.Data)
	}
	return p, src.Close()
}

// TestTurnToZ checks the rotation: up becomes z, lengths stay, and right-handed axes stay so.
func TestTurnToZ(t *testing.T) {
	for _, up := range [][3]float64{
		{0, 0, 1}, {0, 0, -1}, {1, 0, 0}, {-1, 0, 0}, {0, 1, 0}, {0, -1, 0}, {.6, 0, .8}, {.48, -.6, -.64},
	} {
		p := ingest.Pose{R: turnToZ(up)}
		if x, y, z := p.Apply(up[0], up[1], up[2]); math.Abs(x)+math.Abs(y)+math.Abs(z-1) > 1e-12 {
			t.Errorf("%v becomes %g %g %g, want z", up, x, y, z)
		}
		if _, err := ingest.PoseOfMatrix(append(append(append(append([]float64{}, p.R[:3]...), 0), append(p.R[3:6:6], 0)...),
			append(p.R[6:9:9], 0)...)); err != nil {
			t.Errorf("%v: %v", up, err)
		}
	}
}

// TestUp reads two points and, from an .nvm file, a camera whose y axis points down in the file's y.
func TestUp(t *testing.T) {
	for name, c := range sparseCases(t) {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		// The first point is 1 2 3. A point's height is its coordinate along up.
		for up, want := range map[string]float64{"z": 3, "": 3, "y": 2, "x": 1, "-x": -1, "-y": -2, "-z": -3} {
			p, err := pointsOf(t, c.format, path, Options{Up: up, MetresPerUnit: 2})
			if err != nil {
				t.Fatal(err)
			}
			length := math.Sqrt(p.X[0]*p.X[0] + p.Y[0]*p.Y[0] + p.Z[0]*p.Z[0])
			if math.Abs(p.Z[0]-2*want) > 1e-12 || math.Abs(length-2*math.Sqrt(14)) > 1e-12 || p.R[0] != 4 {
				t.Errorf("%s, %q: found %g %g %g, want height %g", name, up, p.X[0], p.Y[0], p.Z[0], 2*want)
			}
		}
		p, err := pointsOf(t, c.format, path, Options{Up: upOfCameras})
		if name == "a.nvm" {
			if err != nil || math.Abs(p.Z[0]+2) > 1e-12 { // its camera is not turned: the top is -y
				t.Errorf("%s: found %v, %v", name, p, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), "found no photographs") {
			t.Errorf("%s: found %v, want an error about the photographs", name, err)
		}
	}
	if _, err := upOf([]Image{{Rotation: [9]float64{4: 1}}, {Rotation: [9]float64{4: -1}}}); err == nil ||
		!strings.Contains(err.Error(), "in all directions") {
		t.Errorf("found %v, want an error about the directions", err)
	}
}

// TestUpOfFolder checks that points and photographs of a folder are turned together: a sample was photographed by hand,
// so the tops of its photographs point up on average.
func TestUpOfFolder(t *testing.T) {
	dir := t.TempDir()
	for _, part := range []string{"points3D", "cameras", "images"} {
		sample := testenv.Sample(t, "sfm/sbcv_colmap_bin_"+part+".bin")
		if err := os.Symlink(sample, filepath.Join(dir, part+".bin")); err != nil {
			t.Fatal(err)
		}
	}
	o := Options{Up: upOfCameras, MetresPerUnit: 3}
	notes := &ingest.Notes{}
	d, err := COLMAPModel.Inspect(t.Context(), dir, ingest.Options{Readers: []any{&o}, Notes: notes})
	if err != nil {
		t.Fatal(err)
	}
	m, ok := d.(*Model)
	if !ok {
		t.Fatalf("found %T", d)
	}
	if m.Track == nil || m.Track.Min != 2 || m.Error == nil || !(m.Error.Mean > 0 && m.Error.Mean < 2) {
		t.Errorf("found tracks %+v, errors %+v", m.Track, m.Error)
	}
	up, err := upOf(m.Images)
	if err != nil || math.Abs(up[2]-1) > 1e-9 || !strings.Contains(fmt.Sprint(notes.Take()), "becomes z") {
		t.Errorf("found up %v, %v, want z", up, err)
	}
	p, err := pointsOf(t, COLMAPModel, dir, o)
	if err != nil {
		t.Fatal(err)
	}
	if first := *m.First; first != [3]float64{p.X[0], p.Y[0], p.Z[0]} {
		t.Errorf("inspect says %v, the first point is %g %g %g", first, p.X[0], p.Y[0], p.Z[0])
	}
	// Points that a photograph saw still lie in it, at three times the distance.
	raw, err := pointsOf(t, COLMAPModel, dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	stored := modelOf(t, COLMAPModel, dir)
	pose, was := ingest.Pose{R: m.Images[0].Rotation, T: m.Images[0].Position},
		ingest.Pose{R: stored.Images[0].Rotation, T: stored.Images[0].Position}
	now, before := pose.Inverse(), was.Inverse()
	for i := range p.X {
		x, y, z := now.Apply(p.X[i], p.Y[i], p.Z[i])
		u, v, w := before.Apply(raw.X[i], raw.Y[i], raw.Z[i])
		if math.Abs(x-3*u)+math.Abs(y-3*v)+math.Abs(z-3*w) > 1e-9*(1+math.Abs(w)) {
			t.Fatalf("point %d: found %g %g %g before the camera, want three times %g %g %g", i, x, y, z, u, v, w)
		}
	}
}

// TestFilterNote checks that inspect says how many points the filters leave out, and describes the others.
func TestFilterNote(t *testing.T) {
	path := filepath.Join(t.TempDir(), "points3D.bin")
	if err := os.WriteFile(path, colmap(t), 0o600); err != nil {
		t.Fatal(err)
	}
	notes := &ingest.Notes{}
	d, err := COLMAP.Inspect(t.Context(), path, ingest.Options{Readers: []any{&Options{MinTrack: 2}}, Notes: notes})
	m, ok := d.(*Model)
	if err != nil || !ok || m.Count != 1 || *m.Track != (Range{2, 2, 2}) || *m.Error != (Range{.5, .5, .5}) ||
		!strings.Contains(m.Text(), "tracks  2 .. 2 images, mean 2.00\nerrors  0.50 .. 0.50 px, mean 0.50") {
		t.Errorf("found %+v, %v", d, err)
	}
	if got := fmt.Sprint(notes.Take()); got != "[1 of 2 points did not pass the filters of error and track]" {
		t.Errorf("found notes %s", got)
	}
}
