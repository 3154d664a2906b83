package formats

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/array"
	"github.com/voxelstream/voxelstream/internal/testenv"
)

// TestConvertThereAndBack writes a cloud in every format that can be written, and reads it again, exactly.
func TestConvertThereAndBack(t *testing.T) {
	want := &ingest.PointCloud{
		X: []float64{0.1, 500000.125, -3}, Y: []float64{1, 2, 3}, Z: []float64{4, 5, 6},
		Intensity: []float32{0.5, 1, 2}, R: []uint8{2, 200, 3}, G: []uint8{4, 5, 6}, B: []uint8{7, 8, 9},
	}
	for _, ext := range []string{".pcd", ".ply", ".npy", ".npz"} {
		path := filepath.Join(t.TempDir(), "out"+ext)
		w, err := Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(ingest.Sample{Label: ingest.NoLabel, Data: want}); err != nil {
			t.Fatal(err)
		}
		if err := w.Commit(); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if got := cloudOf(t, path)[0]; fmt.Sprint(*got) != fmt.Sprint(*want) {
			t.Errorf("%s: found %v, want %v", ext, *got, *want)
		}
	}
	if _, err := Create("a.jpg"); err == nil {
		t.Error("found no error for a format that is not written")
	}
}

// TestPacketFacts are the recordings of the sample files.
func TestPacketFacts(t *testing.T) {
	for name, want := range map[string]ingest.Packets{
		"lidar/velodyne/einride_vlp16_packet.bin": {Sensor: "Velodyne VLP-16", Packets: 1, Frames: 1, Returns: 262},
		"lidar/velodyne/mrpt_sample_velodyne_vlp16_gps.pcap": {
			Sensor: "Velodyne VLP-16", Packets: 293, Frames: 5,
			Returns: 73486,
		},
		"lidar/velodyne/nebula_vlp32_packets.db3": {
			Sensor: "Velodyne VLP-32C", Packets: 379, Frames: 6,
			Returns: 131305,
		},
		"lidar/robosense/nebula_helios16P_packets.db3": {
			Sensor: "RoboSense Helios", Packets: 750, Frames: 6,
			Returns: 145563,
		},
		"lidar/ouster/OS-0-128-U1_v2.3.0_1024x10.pcap": {
			Sensor: "Ouster OS-0-128", Packets: 64, Frames: 1,
			Returns: 97299,
		},
		"lidar/ouster/OS-1-32-G_v2.1.1_1024x10.pcap": {
			Sensor: "Ouster OS-1-32-G", Packets: 64, Frames: 1,
			Returns: 27310,
		},
		"rosbag/ouster_512x10_raw.bag": {
			Sensor: "Ouster OS-0-128", Packets: 32, Frames: 1,
			Returns: 28751,
		},
	} {
		d := inspected[*ingest.Packets](t, testenv.Sample(t, name))
		if d.Time, d.Sources = nil, nil; !reflect.DeepEqual(*d, want) {
			t.Errorf("%s: found %+v, want %+v", name, *d, want)
		}
	}
}

// TestSliceWithNotes seeks in a source that reports notes.
func TestSliceWithNotes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "X.npy")
	err := ingest.WriteFile(path, func(w io.Writer) error {
		return array.WriteFloat32(w, []int{4, 1, 2, 2, 1}, make([]float32, 16))
	})
	if err != nil {
		t.Fatal(err)
	}
	src, err := Open(t.Context(), path, ingest.Options{Noted: func(string, []ingest.Note) {}})
	if err != nil {
		t.Fatal(err)
	}
	s, ok := ingest.Slice(src, 2, 5).(ingest.Slicer)
	if !ok || s.Len() != 2 {
		t.Fatalf("found %T, want a source of 2 rows", src)
	}
	if got, err := s.Read(t.Context()); err != nil || got.Seq != 2 {
		t.Errorf("found row %d, %v, want row 2", got.Seq, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestWithoutEffect: flags for options that the format of an input does not have are noted.
func TestWithoutEffect(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.xyz")
	if err := os.WriteFile(path, []byte("1 2 3\n4 5 6\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := NewOptions()
	o.Given = map[string]string{"data": "data", "columns": "columns", "fields": "fields"}
	info, err := Inspect(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(info.Notes), "[--data has no effect on format xyz]"; got != want {
		t.Errorf("found notes %s, want %s", got, want)
	}
}
