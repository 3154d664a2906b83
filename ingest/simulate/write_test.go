package simulate

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/depth"
	"github.com/voxelstream/voxelstream/ingest/lidar"
)

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestWriteScans: a written scan is that of the sensor, with the labels of the truth.
func TestWriteScans(t *testing.T) {
	dir := t.TempDir()
	w, l := Street(5, StreetOptions{Moving: true, Speed: 10}), model(t, "vlp16")
	var truths []*Truth
	if err := WriteScans(t.Context(), dir, w, &l, 2, func(tr *Truth) { truths = append(truths, tr) }); err != nil {
		t.Fatal(err)
	}
	cloud, truth := l.Scan(w, lidarSweep)
	src, err := lidar.KITTI.Open(t.Context(), filepath.Join(dir, "velodyne/000001.bin"),
		ingest.Options{MaxPoints: 1 << 20, MaxBytes: 1 << 24})
	if err != nil {
		t.Fatal(err)
	}
	sample, err := src.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := sample.Data.(*ingest.PointCloud)
	labels := read(t, filepath.Join(dir, "labels/000001.label"))
	if got.Len() != cloud.Len() || len(labels) != 4*cloud.Len() {
		t.Fatalf("found %d points and %d bytes of labels, want %d points", got.Len(), len(labels), cloud.Len())
	}
	cars := map[uint32]int{}
	for i := range got.X {
		if float32(got.Y[i]) != float32(cloud.Y[i]) || got.Intensity[i] != cloud.Intensity[i] {
			t.Fatalf("point %d: found %g %g, want %g %g", i, got.Y[i], got.Intensity[i], cloud.Y[i], cloud.Intensity[i])
		}
		label := binary.LittleEndian.Uint32(labels[4*i:])
		if int32(label>>16) != truth.Object[i] {
			t.Fatalf("point %d: found object %d, want %d", i, label>>16, truth.Object[i])
		}
		if truth.Class[i] == Car {
			cars[label&0xffff]++
		}
	}
	if cars[10] == 0 || cars[252] == 0 || len(cars) != 2 {
		t.Errorf("found cars %v, want 10 and 252", cars)
	}
	lines := bytes.Split(bytes.TrimSpace(read(t, filepath.Join(dir, "truth.jsonl"))), []byte("\n"))
	var back Truth
	if err := json.Unmarshal(lines[1], &back); err != nil || len(lines) != 2 || len(truths) != 2 {
		t.Fatalf("found %d lines, %d truths, %v", len(lines), len(truths), err)
	}
	if len(back.Objects) != len(truth.Objects) || back.Objects[0] != truth.Objects[0] || back.Pose != truth.Pose {
		t.Errorf("found %+v, want %+v", back.Objects[0], truth.Objects[0])
	}
}

// TestWriteFrames: written frames are those of the camera in whole units of 1/5000 m, with its poses.
func TestWriteFrames(t *testing.T) {
	dir := t.TempDir()
	w, c := Room(2), KinectV1
	c.Width, c.Height, c.Cam = 160, 120, ingest.Intrinsics{Fx: 131, Fy: 131, Cx: 79.5, Cy: 59.5}
	if err := WriteFrames(t.Context(), dir, w, &c, 2, func(*Truth) {}); err != nil {
		t.Fatal(err)
	}
	src, err := depth.TUM.Open(t.Context(), dir, ingest.Options{MaxPoints: 1 << 20, MaxBytes: 1 << 24})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		want, _ := c.Frame(w, frameGap*time.Duration(i))
		s, err := src.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := s.Data.(*ingest.Frame)
		for k, z := range want.Depth {
			if math.Abs(float64(got.Depth[k]-z)) > 0.5/5000+1e-6 {
				t.Fatalf("frame %d, pixel %d: found %g, want %g", i, k, got.Depth[k], z)
			}
		}
		if got.Pose == nil {
			t.Fatalf("frame %d: found no pose", i)
		}
		for k, r := range want.Pose.R {
			if math.Abs(got.Pose.R[k]-r) > 1e-6 {
				t.Errorf("frame %d: found rotation %v, want %v", i, got.Pose.R, want.Pose.R)
				break
			}
		}
	}
	if _, err := src.Read(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("found %v, want the end", err)
	}
}

// TestQuaternion: a quaternion gives the rotation it is of, by each of the four ways to compute it.
func TestQuaternion(t *testing.T) {
	for _, q := range [][4]float64{
		{0.9, 0.1, -0.2, 0.3}, {0.1, 0.9, 0.3, -0.2}, {-0.2, 0.3, 0.9, 0.1}, {0.3, -0.2, 0.1, 0.9},
	} {
		want, err := ingest.PoseOfQuaternion(q[0], q[1], q[2], q[3], [3]float64{})
		if err != nil {
			t.Fatal(err)
		}
		p := quaternion(&want)
		got, err := ingest.PoseOfQuaternion(p[0], p[1], p[2], p[3], [3]float64{})
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range want.R {
			if math.Abs(got.R[i]-r) > 1e-12 {
				t.Errorf("%v: found %v, want %v", q, got.R, want.R)
				break
			}
		}
	}
}
