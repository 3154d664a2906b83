package formats

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
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

// TestFolderOfFiles: every file that can be read is a stream, in the order of names; a broken one costs one bad item.
func TestFolderOfFiles(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string]string{
		"b.xyz": "1 2 3\n4 5 6\n", "a.xyz": "7 8 9\n1 1 1\n", "broken.pcd": "# .PCD\nFIELDS x\n", "notes.md": "# Notes\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	src, err := Open(t.Context(), dir, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var first []float64
	bad := 0
	for {
		s, err := src.Read(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if _, ok := errors.AsType[*ingest.ItemError](err); ok {
			bad++
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		p, _ := s.Data.(*ingest.PointCloud)
		first = append(first, p.X[0])
	}
	if err := src.Close(); err != nil || bad != 1 || fmt.Sprint(first) != "[7 1]" {
		t.Errorf("found %v, %d bad, %v", first, bad, err)
	}
	if _, err := Open(t.Context(), t.TempDir(), ingest.Options{}); !errors.Is(err, ingest.ErrFormat) {
		t.Errorf("empty folder: found error %v, want ErrFormat", err)
	}
}

func TestUnknownInputs(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string]string{"empty.bin": "", "words.txt": "hello world\n", "zeros.bin": string(make([]byte, 160)), "table.csv": "a,b\n1,2\n"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		if f, err := Detect(path); !errors.Is(err, ingest.ErrFormat) {
			t.Errorf("%s: found format %q, error %v, want ErrFormat", name, f.Name, err)
		}
	}
	if _, err := Open(t.Context(), filepath.Join(dir, "none"), ingest.Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("found error %v, want that the file is not there", err)
	}
}

// TestPacketFacts are the recordings of the sample files.
func TestPacketFacts(t *testing.T) {
	for name, want := range map[string]ingest.Packets{
		"lidar/velodyne/einride_vlp16_packet.bin":            {Sensor: "Velodyne VLP-16", Packets: 1, Frames: 1, Returns: 262},
		"lidar/velodyne/mrpt_sample_velodyne_vlp16_gps.pcap": {Sensor: "Velodyne VLP-16", Packets: 293, Frames: 5, Returns: 73486},
		"lidar/velodyne/nebula_vlp32_packets.db3":            {Sensor: "Velodyne VLP-32C", Packets: 379, Frames: 6, Returns: 131305},
		"lidar/robosense/nebula_helios16P_packets.db3":       {Sensor: "RoboSense Helios", Packets: 750, Frames: 6, Returns: 145563},
		"lidar/ouster/OS-0-128-U1_v2.3.0_1024x10.pcap":       {Sensor: "Ouster OS-0-128", Packets: 64, Frames: 1, Returns: 97299},
		"lidar/ouster/OS-1-32-G_v2.1.1_1024x10.pcap":         {Sensor: "Ouster OS-1-32-G", Packets: 64, Frames: 1, Returns: 27310},
		"rosbag/ouster_512x10_raw.bag":                       {Sensor: "Ouster OS-0-128", Packets: 32, Frames: 1, Returns: 28751},
	} {
		d := inspected[*ingest.Packets](t, testenv.Sample(t, name))
		d.Time = nil
		if *d != want {
			t.Errorf("%s: found %+v, want %+v", name, *d, want)
		}
	}
}
