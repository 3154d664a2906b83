package packets

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/ingesttest"
)

// TestMCAPFiles reads what the library of Python wrote; see testdata/make_mcap.py.
func TestMCAPFiles(t *testing.T) {
	for _, name := range []string{"plain", "lz4", "zstd"} {
		path := filepath.Join("testdata", name+".mcap")
		sweeps := sweepsOf(t, MCAP, path)
		if len(sweeps) != 3 {
			t.Fatalf("%s: found %d clouds, want 3", name, len(sweeps))
		}
		for k, sweep := range sweeps {
			cloud := sweep.Data.(*ingest.PointCloud)
			want := 5
			if k == 2 {
				want = 4
			}
			if cloud.Len() != want || sweep.Time.UnixMilli() != int64(100500+1000*k) {
				t.Fatalf("%s, cloud %d: found %d points of %v, want %d", name, k, cloud.Len(), sweep.Time, want)
			}
			for i := range cloud.Len() {
				if i == 0 && k == 2 {
					if x := cloud.X[0]; x == x {
						t.Errorf("%s: found x %g, want what is not a number", name, x)
					}
					continue
				}
				if cloud.X[i] != float64(i) || cloud.Y[i] != float64(k) || cloud.Z[i] != -float64(i)/2 ||
					cloud.Intensity[i] != float32(10*i) {
					t.Errorf("%s, cloud %d, point %d: found %g %g %g %g", name, k, i, cloud.X[i], cloud.Y[i],
						cloud.Z[i], cloud.Intensity[i])
				}
			}
		}
		d, err := MCAP.Inspect(t.Context(), path, ingest.Options{})
		if p, ok := d.(*ingest.Packets); err != nil || !ok || p.Sensor != "PointCloud2" || p.Frames != 3 || p.Returns != 14 {
			t.Errorf("%s: found %+v, %v, want 3 frames of 14 points", name, d, err)
		}
	}
}

// mcapOf makes a file without chunks of one channel.
func mcapOf(kind string, messages ...[]byte) []byte {
	le := binary.LittleEndian
	b := []byte(mcapMagic)
	record := func(op byte, content ...[]byte) {
		all := bytes.Join(content, nil)
		b = append(le.AppendUint64(append(b, op), uint64(len(all))), all...)
	}
	u16 := func(v uint16) []byte { return le.AppendUint16(nil, v) }
	text := func(s string) []byte { return append(le.AppendUint32(nil, uint32(len(s))), s...) }
	record(0x01, text("ros2"), text("test"))
	record(mcapSchema, u16(1), text(kind), text("ros2msg"), text(""))
	record(mcapChannel, u16(4), u16(1), text("/lidar"), text("cdr"), text(""))
	for _, m := range messages {
		record(mcapMessage, u16(4), make([]byte, 20), m)
	}
	record(mcapDataEnd, make([]byte, 4))
	return append(b, mcapMagic...)
}

func velodyneMCAP() []byte {
	return mcapOf("velodyne_msgs/msg/VelodyneScan", scanOf(velodyneSize, false, vlp16(35520, 1, 0x37), vlp16(0, 3, 0x37)),
		scanOf(velodyneSize, false, vlp16(480, 5, 0x37)))
}

func TestMCAPPackets(t *testing.T) {
	sweeps := readSweeps(t, MCAP, "a.mcap", velodyneMCAP())
	if len(sweeps) != 2 || sweeps[0].Data.(*ingest.PointCloud).Len() != 12 ||
		sweeps[1].Data.(*ingest.PointCloud).Len() != 24 {
		t.Errorf("found %d sweeps, want 2 of 12 and 24 points", len(sweeps))
	}
}

func TestMCAPErrors(t *testing.T) {
	whole := velodyneMCAP()
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"no topic":  {mcapOf("sensor_msgs/msg/Imu"), `found topics /lidar (sensor_msgs/msg/Imu, no message)`},
		"truncated": {whole[:60], "truncated"},
		"long chunk": {
			append([]byte(mcapMagic), mcapChunk, 255, 255, 255, 255, 255, 255, 255, 127),
			"cut off in the chunk at byte 8",
		},
	} {
		path := filepath.Join(t.TempDir(), "a.mcap")
		if err := os.WriteFile(path, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := MCAP.Open(t.Context(), path, ingest.Options{}); err == nil ||
			!strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: found %v, want the file and %q", name, err, c.want)
		}
	}
}

func TestMCAPSuite(t *testing.T) { ingesttest.Format(t, MCAP, "a.mcap", velodyneMCAP()) }

func FuzzMCAP(f *testing.F) {
	seeds := [][]byte{velodyneMCAP()}
	for _, name := range []string{"plain", "lz4", "zstd"} {
		b, err := os.ReadFile(filepath.Join("testdata", name+".mcap"))
		if err != nil {
			f.Fatal(err)
		}
		seeds = append(seeds, b)
	}
	ingesttest.Fuzz(f, MCAP, "a.mcap", seeds...)
}
