package depth

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/testenv"
)

// link puts samples into a folder under the names that their dataset gave them.
func link(t *testing.T, names map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for as, sample := range names {
		path := filepath.Join(dir, as)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(testenv.Sample(t, sample), path); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// framesOf reads all frames of a folder.
func framesOf(t *testing.T, format ingest.Format, dir string, o ingest.Options) []*ingest.Frame {
	t.Helper()
	head, err := ingest.ReadHead(dir)
	if err != nil || format.Detect(head) == ingest.No {
		t.Fatalf("%s: not recognized: %v", format.Name, err)
	}
	src, err := format.Open(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	var out []*ingest.Frame
	for {
		s, err := src.Read(t.Context())
		if err != nil {
			return out
		}
		f, ok := s.Data.(*ingest.Frame)
		if !ok {
			t.Fatalf("found %T", s.Data)
		}
		out = append(out, f)
	}
}

func TestPosesOfSamples(t *testing.T) {
	for name, c := range map[string]struct {
		files  map[string]string
		at     [][3]float64 // where the frames' cameras stood, as the pose files say
		corner float64      // R[0] of the first
	}{
		"tsdf-fusion": {
			map[string]string{
				"frame-000150.depth.png": "rgbd/tsdf_fusion/frame-000150.depth.png",
				"frame-000150.pose.txt":  "rgbd/tsdf_fusion/frame-000150.pose.txt",
				"frame-000150.color.png": "rgbd/tsdf_fusion/frame-000150.color.png",
				"camera-intrinsics.txt":  "rgbd/tsdf_fusion/camera-intrinsics.txt",
			},
			[][3]float64{{-0.91287065, -0.34388667, 0.75986093}},
			0.70352107,
		},
		"slambook": {
			map[string]string{
				"depth/1.pgm": "rgbd/slambook/ch5_depth_1.pgm",
				"color/1.png": "rgbd/slambook/ch5_color_1.png", "pose.txt": "rgbd/slambook/ch5_pose.txt",
			},
			[][3]float64{{-0.228993, 0.00645704, 0.0287837}},
			1 - 2*(0.113131*0.113131+0.0326832*0.0326832),
		},
		"redwood": {
			map[string]string{
				"depth/00000.png": "rgbd/redwood/depth_00000.png",
				"depth/00001.png": "rgbd/redwood/depth_00001.png", "odometry.log": "rgbd/redwood/odometry.log",
				"camera_primesense.json": "rgbd/redwood/camera_primesense.json",
			},
			[][3]float64{{2, 2, -0.3}, {1.99962, 1.97704, -0.300486}},
			1,
		},
	} {
		frames := framesOf(t, Frames, link(t, c.files), ingest.Options{})
		if len(frames) != len(c.at) {
			t.Fatalf("%s: found %d frames, want %d", name, len(frames), len(c.at))
		}
		for i, f := range frames {
			if f.Pose == nil || f.Pose.T != c.at[i] {
				t.Errorf("%s frame %d: found pose %v, want at %v", name, i, f.Pose, c.at[i])
			}
		}
		if r := frames[0].Pose.R[0]; math.Abs(r-c.corner) > 1e-5 {
			t.Errorf("%s: found rotation %g, want %g", name, r, c.corner)
		}
	}
}

// TestRedwoodFramesMeet: two frames, a thirtieth of a second apart, see the same surfaces, so with their poses the
// second lies on the first: the pixel of the first that a point of the second falls on has its depth.
func TestRedwoodFramesMeet(t *testing.T) {
	frames := framesOf(t, Frames, link(t, map[string]string{
		"depth/0.png": "rgbd/redwood/depth_00000.png", "depth/1.png": "rgbd/redwood/depth_00001.png",
		"depth/2.png":  "rgbd/redwood/depth_00002.png",
		"odometry.log": "rgbd/redwood/odometry.log",
	}), ingest.Options{})
	apart := func(pose bool) float64 {
		a, b := *frames[0], *frames[2]
		if !pose {
			b.Pose = a.Pose
		}
		p, err := b.Points()
		if err != nil {
			t.Fatal(err)
		}
		inv := a.Pose.Inverse()
		sum, n := 0.0, 0
		for i := range p.X {
			x, y, z := inv.Apply(p.X[i], p.Y[i], p.Z[i])
			u, v := int(math.Round(a.Cam.Fx*x/z+a.Cam.Cx)), int(math.Round(a.Cam.Fy*y/z+a.Cam.Cy))
			if u < 0 || v < 0 || u >= a.Width || v >= a.Height {
				continue
			}
			if d := float64(a.Depth[v*a.Width+u]); d > 0 && math.Abs(d-z) < 0.1 {
				sum += math.Abs(d - z)
				n++
			}
		}
		return sum / float64(n)
	}
	with, without := apart(true), apart(false)
	if with > 0.01 || with > without/2 {
		t.Errorf("found the frames %.4f m apart, and %.4f m without poses", with, without)
	}
}

func TestGroundTruthOfTUM(t *testing.T) {
	d := string(depthImage(t, 5000))
	dir := t.TempDir()
	put(t, dir, map[string]string{
		"depth.txt": "10.0 depth/a.png\n11.0 depth/a.png\n12.0 depth/a.png",
		"groundtruth.txt": "# timestamp tx ty tz qx qy qz qw\n10.004 1 2 3 0 0 0 1\n9.990 7 7 7 0 0 0 1\n11.1 4 5 6 " +
			"0 0 0 1\n12.0 1 1 1 nan 0 0 0\n",
		"depth/a.png": d,
	})
	frames := framesOf(t, TUM, dir, ingest.Options{})
	if len(frames) != 3 || frames[0].Pose == nil || frames[0].Pose.T != [3]float64{1, 2, 3} ||
		frames[1].Pose != nil || frames[2].Pose != nil {
		t.Errorf("found %+v", frames)
	}
	info, err := TUM.Inspect(t.Context(), dir, ingest.Options{})
	if depth, ok := info.(*ingest.Depth); err != nil || !ok || depth.Poses != 1 {
		t.Errorf("inspect: found %+v, %v", info, err)
	}
}

func TestLostTrackerAndTopValue(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, map[string]string{
		"frame-0.depth.png": string(depthImage(t, 1000, 65535)), "frame-0.pose.txt": strings.Repeat("-inf ", 16),
		"frame-1.depth.png": string(depthImage(t, 1000)), "frame-1.pose.txt": "1 0 0 4 0 1 0 5 0 0 1 6 0 0 0 1",
	})
	frames := framesOf(t, Frames, dir, ingest.Options{})
	if len(frames) != 2 || frames[0].Pose != nil || frames[0].Depth[1] != 0 || frames[1].Pose == nil ||
		frames[1].Pose.T != [3]float64{4, 5, 6} {
		t.Errorf("found %+v", frames)
	}
}

func TestPosesRefused(t *testing.T) {
	for name, c := range map[string]struct{ file, text, want string }{
		"log cut short": {"trajectory.log", "0 0 1 1 0 0", "multiple of 19"},
		"log of words":  {"odometry.log", strings.Repeat("x ", 19), `"x"`},
		"list":          {"pose.txt", "1 2 3 0 0 0 one", `"one"`},
		"list cut":      {"pose.txt", "1 2 3", "multiple of 7"},
	} {
		dir := t.TempDir()
		put(t, dir, map[string]string{"depth/0.png": string(depthImage(t, 1000)), c.file: c.text})
		if _, err := Frames.Open(t.Context(), dir, ingest.Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: found error %v, want %q", name, err, c.want)
		}
	}
}

func FuzzPoses(f *testing.F) {
	f.Add("0 0 1 1 0 0 2 0 1 0 2 0 0 1 -0.3 0 0 0 1", "1 2 3 0 0 0 1")
	f.Add("", "nan nan nan 0 0 0 0")
	f.Fuzz(func(t *testing.T, log, list string) {
		for _, words := range [][]string{strings.Fields(log), strings.Fields(list)} {
			for _, parse := range []func([]string) ([]*ingest.Pose, error){parseLog, parsePoses} {
				poses, err := parse(words)
				for _, p := range poses {
					if err == nil && p != nil && !(math.Abs(p.R[0]) <= 1.1) {
						t.Errorf("found rotation %v", p.R)
					}
				}
			}
		}
	})
}
