package lidar

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
)

// decodeWith reads a file of one cloud with options.
func decodeWith(t *testing.T, f ingest.Format, name string, data []byte, o ingest.Options) *ingest.PointCloud {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	src, err := f.Open(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close() //nolint:errcheck // opened for reading
	s, err := src.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s.Data.(*ingest.PointCloud)
}

// TestFields asks for further fields, which are kept in clouds, and written and read again.
func TestFields(t *testing.T) {
	flight := las(4, 6)
	record := flight[lasMinHeader14:]
	record[14], record[15], record[16], record[18] = 0x32, 0x21, 6, 0xe8 // -24 * 0.006 degrees
	record[19] = 0xff
	old := las(2, 1)
	copy(old[lasMinHeader+14:], []byte{0x0a, 0xe5, 0xf0})
	spread := "x y z ring Time\n1 2 3 7 1.5\n4 5 6 8 2.5\n"
	for _, c := range []struct {
		format ingest.Format
		name   string
		data   []byte
		asked  string
		want   string
	}{
		{NuScenes, "a.pcd.bin", rawFloats(1, 2, 3, 7, 0, -4, 5, 6, 9, 1), "ring", "[{ring [0 1]}]"},
		{NuScenes, "b.pcd.bin", rawFloats(1, 2, 3, 7, 0, -4, 5, 6, 9, 1), "time", "[]"},
		{KITTI, "c.bin", rawFloats(1, 2, 3, 7, -4, 5, 6, 9), "intensity", "[]"},
		{XYZ, "d.xyz", []byte(spread), "RING,time", "[{ring [7 8]} {Time [1.5 2.5]}]"},
		{PCD, "e.pcd", []byte("FIELDS x y z ring\nSIZE 4 4 4 2\nTYPE F F F U\nCOUNT 1 1 1 1\nWIDTH 1\nHEIGHT 1\n" +
			"POINTS 1\nDATA ascii\n1 2 3 9\n"), "ring", "[{ring [9]}]"},
		{
			LAS, "f.las", flight, "classification,return_number,number_of_returns,scan_angle,scanner_channel",
			"[{return_number [2 0]} {number_of_returns [3 0]} {scanner_channel [2 0]} {classification [6 0]} " +
				"{scan_angle [-0.14400000000000002 0]}]",
		},
		{
			LAS, "g.las", old, "classification,return_number,number_of_returns,scan_angle_rank,gps_time",
			"[{return_number [2 0]} {number_of_returns [1 0]} {classification [5 0]} {scan_angle_rank [-16 0]} " +
				"{gps_time [0 0]}]",
		},
	} {
		o := ingest.Options{Fields: strings.Split(c.asked, ",")}
		p := decodeWith(t, c.format, c.name, c.data, o)
		if got := fmt.Sprint(p.Fields); got != c.want {
			t.Errorf("%s: found %s, want %s", c.name, got, c.want)
		}
		var pcd, ply bytes.Buffer
		if err := WritePCD(&pcd, p); err != nil {
			t.Fatal(err)
		}
		if err := WritePLY(&ply, p); err != nil {
			t.Fatal(err)
		}
		for name, again := range map[string]*ingest.PointCloud{
			"pcd": decodeWith(t, PCD, "a.pcd", pcd.Bytes(), o), "ply": decodeWith(t, PLY, "a.ply", ply.Bytes(), o),
		} {
			if got := fmt.Sprint(again.Fields); got != c.want || fmt.Sprint(again.X) != fmt.Sprint(p.X) {
				t.Errorf("%s written as %s: found %s, want %s", c.name, name, got, c.want)
			}
		}
	}
	plain := decodeWith(t, NuScenes, "h.pcd.bin", rawFloats(1, 2, 3, 7, 0, -4, 5, 6, 9, 1), ingest.Options{})
	if plain.Fields != nil {
		t.Errorf("fields that nobody asked for: found %v", plain.Fields)
	}
}

// TestLASFieldsInRecord reads every field of every point format from a record of the minimum length.
func TestLASFieldsInRecord(t *testing.T) {
	for format, f := range lasFormats {
		record := bytes.Repeat([]byte{0xff}, f.length)
		for name := range strings.FieldsSeq(f.fields) {
			if read := lasField(format, name); read != nil && math.Abs(read(record)) < 1e-9 {
				t.Errorf("format %d, %s: found 0 in a record of ones", format, name)
			}
		}
	}
}
