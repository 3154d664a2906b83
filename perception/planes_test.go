package perception_test

import (
	"math"
	"slices"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/simulate"
	"github.com/voxelstream/voxelstream/perception"
	"github.com/voxelstream/voxelstream/perception/perceptiontest"
	"github.com/voxelstream/voxelstream/perception/steptest"
)

func TestPlaneSteps(t *testing.T) {
	for _, s := range []perception.Step{perception.Planes, perception.FrameObjects} {
		t.Run(string(s.Name), func(t *testing.T) { steptest.Step(t, s) })
	}
}

// studio is a room as a camera sees it that looks down by an angle in degrees, without noise: a floor 1.2 m below the
// camera, a wall 4 m ahead, a table with a box on it, and a box on the floor. what has the index in names of what each
// pixel shows.
func studio(pitch float64) (f *ingest.Frame, what []string) {
	type cuboid struct {
		name   string
		lo, hi [3]float64
	}
	things := []cuboid{
		{"floor", [3]float64{-9, -9, -1.3}, [3]float64{9, 9, -1.2}},
		{"wall", [3]float64{4, -9, -9}, [3]float64{4.1, 9, 9}},
		{"table", [3]float64{1.8, -0.2, -0.55}, [3]float64{2.6, 1, -0.5}},
		{"table", [3]float64{1.8, 0.9, -1.2}, [3]float64{1.9, 1, -0.5}},
		{"cup", [3]float64{2.1, 0.3, -0.5}, [3]float64{2.3, 0.5, -0.3}},
		{"crate", [3]float64{2, -0.9, -1.2}, [3]float64{2.4, -0.5, -0.8}},
	}
	f = &ingest.Frame{Width: 320, Height: 240, Cam: ingest.Intrinsics{Fx: 260, Fy: 260, Cx: 159.5, Cy: 119.5}}
	f.Depth = make([]ingest.Metres, 320*240)
	what = make([]string, len(f.Depth))
	sin, cos := math.Sincos(pitch * math.Pi / 180)
	for i := range f.Depth {
		right, down := (float64(i%320)-f.Cam.Cx)/f.Cam.Fx, (float64(i/320)-f.Cam.Cy)/f.Cam.Fy
		ray := [3]float64{cos - down*sin, -right, -sin - down*cos}
		nearest := math.Inf(1)
		for _, c := range things {
			in, out := 0.0, math.Inf(1)
			for k, r := range ray {
				a, b := c.lo[k]/r, c.hi[k]/r
				in, out = max(in, min(a, b)), min(out, max(a, b))
			}
			if in <= out && in < nearest {
				nearest, what[i] = in, c.name
			}
		}
		if !math.IsInf(nearest, 1) {
			f.Depth[i] = ingest.Metres(nearest)
		}
	}
	return f, what
}

// TestStudio: floor, wall and table top are told apart whatever the pitch of the camera, and the box on the table is
// an object of its own unless that is switched off.
func TestStudio(t *testing.T) {
	for _, pitch := range []float64{0, 15, 35} {
		for _, tables := range []bool{true, false} {
			frame, what := studio(pitch)
			o := perception.DefaultOptions()
			for _, step := range o.Steps {
				switch step := step.(type) {
				case *perception.FrameObjectOptions:
					step.Points, step.Tables = 100, tables
				case *perception.PlaneOptions:
					step.Points = 1000
				}
			}
			s := detect(t, o, frame)
			kinds := map[perception.PlaneKind]string{
				perception.Floor: "floor", perception.Wall: "wall", perception.Table: "table",
			}
			found := map[perception.PlaneKind]int{}
			for _, p := range s.Planes {
				name, ok := kinds[p.Kind]
				if !ok {
					continue
				}
				found[p.Kind]++
				wrong := 0 // near the edges of other things
				for _, j := range p.Points {
					if what[s.Pixel[j]] != name {
						wrong++
					}
				}
				if wrong > len(p.Points)/30 && p.Kind != perception.Table {
					t.Errorf("pitch %v: %d of %d pixels of the %s show something else", pitch, wrong, len(p.Points), p.Kind)
				}
				if want := map[perception.PlaneKind]float64{
					perception.Floor: -1.2, perception.Wall: -4, perception.Table: -0.5,
				}[p.Kind]; math.Abs(p.D-want) > 0.01 && p.Kind != perception.Table {
					t.Errorf("pitch %v: found %s at %v, want %v", pitch, p.Kind, p.D, want)
				}
			}
			if found[perception.Floor] != 1 || found[perception.Wall] != 1 || found[perception.Table] < 1 {
				t.Errorf("pitch %v: found %v, want a floor, a wall and a table", pitch, found)
			}
			var names []string
			for i := range s.Objects {
				names = append(names, what[s.Pixel[s.Objects[i].Points[len(s.Objects[i].Points)/2]]])
			}
			slices.Sort(names)
			want := []string{"crate", "cup", "table"}
			if !tables {
				want = []string{"crate", "table"}
			}
			if !slices.Equal(names, want) {
				t.Errorf("pitch %v, tables %v: found %v, want %v", pitch, tables, names, want)
			}
		}
	}
}

// detect runs the steps for depth frames.
func detect(t testing.TB, o perception.Options, f *ingest.Frame) *perception.Scene {
	t.Helper()
	d, err := perception.New(o)
	if err != nil {
		t.Fatal(err)
	}
	s, err := d.Detect(t.Context(), ingest.Sample{Data: f})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestRoom: the floor and most objects of a simulated room are found.
func TestRoom(t *testing.T) {
	frame, truth := simulate.KinectV1.Frame(simulate.Room(5), 0)
	s := detect(t, perception.DefaultOptions(), frame)
	floor := make([]bool, len(frame.Depth))
	cluster := make([]int32, len(frame.Depth))
	for i, p := range s.Pixel {
		floor[p], cluster[p] = s.Ground[i], s.Cluster[i]
	}
	for i, z := range frame.Depth {
		if z == 0 {
			truth.Class[i], truth.Object[i] = simulate.None, 0
		}
	}
	confusion := perceptiontest.Ground(floor, truth)
	if iou := confusion.IoU(); iou < 0.95 {
		t.Errorf("found a floor with an IoU of %.3f", iou)
	}
	counts := perceptiontest.Segments(cluster, truth, 500).Counts()
	if counts.Recall() < 0.8 {
		t.Errorf("found %d of %d objects", counts.TruePositive, counts.TruePositive+counts.FalseNegative)
	}
}

func BenchmarkFrame(b *testing.B) {
	frame, _ := simulate.KinectV1.Frame(simulate.Room(1), 0)
	d, err := perception.New(perception.DefaultOptions())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := d.Detect(b.Context(), ingest.Sample{Data: frame}); err != nil {
			b.Fatal(err)
		}
	}
}
