package packets

import (
	"database/sql"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/ingesttest"
	"github.com/voxelstream/voxelstream/ingest/lidar"
	"github.com/voxelstream/voxelstream/internal/mutants"
	"github.com/voxelstream/voxelstream/internal/testenv"
)

// scanOf is a ROS 2 message of packets.
func scanOf(size int, counted bool, packets ...[]byte) []byte {
	le := binary.LittleEndian
	b := []byte{0, 1, 0, 0}
	u32 := func(v uint32) {
		for len(b)%4 != 0 {
			b = append(b, 0)
		}
		b = le.AppendUint32(b, v)
	}
	u32(7)
	u32(8)
	u32(5)
	b = append(b, "lidar"...)
	u32(uint32(len(packets)))
	for i, p := range packets {
		u32(uint32(10 + i))
		u32(0)
		b = append(b, append(p, make([]byte, size-len(p))...)...)
		if counted {
			u32(uint32(len(p)))
		}
	}
	return b
}

// bag2 makes a recording of one topic.
func bag2(tb testing.TB, kind string, messages ...[]byte) []byte {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "made.db3")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		tb.Fatal(err)
	}
	exec := func(q string, args ...any) {
		if _, err := db.Exec(q, args...); err != nil {
			tb.Fatal(err)
		}
	}
	exec("PRAGMA page_size = 1024")
	exec("CREATE TABLE topics (id INTEGER PRIMARY KEY, name TEXT, type TEXT, serialization_format TEXT)")
	exec("CREATE TABLE messages (id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER, data BLOB)")
	exec("INSERT INTO topics VALUES (1, '/other', 'std_msgs/msg/String', 'cdr'), (2, '/packets', ?, 'cdr')", kind)
	for i, m := range messages {
		exec("INSERT INTO messages VALUES (?, 2, ?, ?)", i+1, 1000-i, m) // the later ones first
	}
	if err := db.Close(); err != nil {
		tb.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func velodyneBag(tb testing.TB) []byte {
	return bag2(tb, "velodyne_msgs/msg/VelodyneScan", scanOf(velodyneSize, false, vlp16(480, 5, 0x37)),
		scanOf(velodyneSize, false, vlp16(35520, 1, 0x37), vlp16(0, 3, 0x37)))
}

func TestROSBag2(t *testing.T) {
	sweeps := readSweeps(t, ROSBag2, "a.db3", velodyneBag(t))
	if len(sweeps) != 2 || sweeps[0].Time.Unix() != 0 {
		t.Fatalf("found %d sweeps: %+v", len(sweeps), sweeps)
	}
	a, _ := sweeps[0].Data.(*ingest.PointCloud)
	b, _ := sweeps[1].Data.(*ingest.PointCloud)
	if a.Len() != 12 || b.Len() != 24 {
		t.Errorf("found %d and %d points, want 12 and 24: messages go by time", a.Len(), b.Len())
	}
	path := filepath.Join(t.TempDir(), "other.db3")
	if err := os.WriteFile(path, bag2(t, "sensor_msgs/msg/Imu"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ROSBag2.Open(t.Context(), path, ingest.Options{}); err == nil ||
		!strings.Contains(err.Error(), "sensor_msgs/msg/Imu") {
		t.Errorf("found error %v, want the topics that are there", err)
	}
}

func TestROSBag2Suite(t *testing.T) {
	if testing.Short() {
		t.Skip("thousands of damaged databases")
	}
	ingesttest.Format(t, ROSBag2, "a.db3", velodyneBag(t))
}

func FuzzROSBag2(f *testing.F) { ingesttest.Fuzz(f, ROSBag2, "a.db3", velodyneBag(f)) }

func hesaiTable(t *testing.T, lasers int) string {
	var b strings.Builder
	b.WriteString("Laser id,Elevation,Azimuth\n")
	for i := range lasers {
		b.WriteString(strings.Join([]string{string(rune('0'+(i+1)/10)) + string(rune('0'+(i+1)%10)), "30", "90"}, ",") + "\n")
	}
	path := filepath.Join(t.TempDir(), "table.csv")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// hesai is a packet of two pairs of blocks at 0 and 1 degree; laser 1 measures 2 m, and 3 m in the second return of
// the first pair.
func hesai() []byte {
	b := make([]byte, 1072)
	copy(b, []byte{0xee, 0xff, 3, 1, 0, 0, 64, 4, 1, 4, 2, 1})
	for k := range 4 {
		block := b[hesaiHeader+k*(2+4*64):]
		binary.LittleEndian.PutUint16(block, uint16(k/2*100))
		distance := uint16(500)
		if k == 1 {
			distance = 750
		}
		binary.LittleEndian.PutUint16(block[2:], distance)
		block[4] = 5
	}
	return b
}

func TestHesai(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db3")
	if err := os.WriteFile(path, bag2(t, "pandar_msgs/msg/PandarScan", scanOf(1500, true, hesai())), 0o600); err != nil {
		t.Fatal(err)
	}
	for table, want := range map[string]string{
		"":                "calibration: found none",
		hesaiTable(t, 63): "found 63 lasers, want 64",
	} {
		if _, err := ROSBag2.Open(t.Context(), path,
			ingest.Options{Readers: []any{&Options{Calibration: table}}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("found error %v, want %q", err, want)
		}
	}
	src, err := ROSBag2.Open(t.Context(), path, ingest.Options{Readers: []any{&Options{Calibration: hesaiTable(t, 64)}}})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close() //nolint:errcheck // opened for reading
	s, err := src.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p, ok := s.Data.(*ingest.PointCloud)
	if !ok || p.Len() != 3 { // the equal returns of the second pair are one
		t.Fatalf("found %+v", s.Data)
	}
	if math.Abs(p.X[0]-2*math.Cos(math.Pi/6)) > 1e-9 || math.Abs(p.Y[0]) > 1e-9 || math.Abs(p.Z[1]-1.5) > 1e-9 ||
		p.Intensity[0] != 5 {
		t.Errorf("found %v %v %v %v", p.X, p.Y, p.Z, p.Intensity)
	}
}

// TestHesaiTruth finds every point of an independent decoder's sweep within 0.1 mm.
func TestHesaiTruth(t *testing.T) {
	src, err := ROSBag2.Open(t.Context(), testenv.Sample(t, "lidar/hesai/nebula_qt64_packets.db3"),
		ingest.Options{Readers: []any{&Options{Calibration: testenv.Sample(t, "lidar/calibration/PandarQT64.csv")}}})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close() //nolint:errcheck // opened for reading
	const near = 1e-4
	found := newNeighbours(near)
	for {
		s, err := src.Read(t.Context())
		if err != nil {
			break
		}
		p, ok := s.Data.(*ingest.PointCloud)
		if !ok {
			t.Fatalf("found %T", s.Data)
		}
		for i := range p.X {
			found.add(p.X[i], p.Y[i], p.Z[i])
		}
	}
	truth, _ := sweepsOf(t, lidar.PCD, testenv.Sample(t, "lidar/hesai/nebula_qt64_truth.pcd"))[0].Data.(*ingest.PointCloud)
	for i := range truth.X {
		if !found.near(truth.X[i], truth.Y[i], truth.Z[i]) {
			t.Fatalf("point %d: found none near %g %g %g", i, truth.X[i], truth.Y[i], truth.Z[i])
		}
	}
}

// neighbours finds points within a distance along each axis.
type neighbours struct {
	within float64
	cells  map[[3]int][][3]float64
}

func newNeighbours(within float64) *neighbours {
	return &neighbours{within, map[[3]int][][3]float64{}}
}

func (n *neighbours) cell(x, y, z float64) [3]int {
	edge := 2 * n.within
	return [3]int{int(math.Floor(x / edge)), int(math.Floor(y / edge)), int(math.Floor(z / edge))}
}

func (n *neighbours) add(x, y, z float64) {
	c := n.cell(x, y, z)
	n.cells[c] = append(n.cells[c], [3]float64{x, y, z})
}

func (n *neighbours) near(x, y, z float64) bool {
	for _, dx := range []float64{-1, 1} {
		for _, dy := range []float64{-1, 1} {
			for _, dz := range []float64{-1, 1} {
				for _, v := range n.cells[n.cell(x+dx*n.within, y+dy*n.within, z+dz*n.within)] {
					if math.Abs(v[0]-x) < n.within && math.Abs(v[1]-y) < n.within && math.Abs(v[2]-z) < n.within {
						return true
					}
				}
			}
		}
	}
	return false
}

// TestPointCloud2 reads the same kind of message as ROS 1 and as ROS 2 write it; see testdata/make_bag.py and
// make_mcap.py.
func TestPointCloud2(t *testing.T) {
	sweeps := sweepsOf(t, ROSBag1, "testdata/cloud.bag")
	if len(sweeps) != 1 || sweeps[0].Time.UnixMilli() != 1000_250 {
		t.Fatalf("found %+v, want one cloud", sweeps)
	}
	cloud := sweeps[0].Data.(*ingest.PointCloud)
	if cloud.Len() != 3 || cloud.X[2] != 7 || cloud.Y[1] != 5 || cloud.Z[0] != 3 || cloud.Intensity[2] != 30 {
		t.Errorf("found %+v", cloud)
	}
	sweeps = readSweeps(t, ROSBag2, "a.db3", bag2(t, pointCloud2, cloudMessage(t)))
	if len(sweeps) != 1 || sweeps[0].Data.(*ingest.PointCloud).Len() != 5 {
		t.Errorf("found %+v, want one cloud of 5 points", sweeps)
	}
}

// cloudMessage is the first cloud of plain.mcap.
func cloudMessage(tb testing.TB) []byte {
	tb.Helper()
	rec, err := openMCAP(tb.Context(), "testdata/plain.mcap", ingest.Options{}.WithDefaults())
	if err != nil {
		tb.Fatal(err)
	}
	p, ok, err := rec.next(tb.Context())
	if err != nil || !ok {
		tb.Fatal(ok, err)
	}
	return p.data
}

func FuzzPointCloud2(f *testing.F) {
	m := mutants.New(f, "PointCloud2")
	m.Add(cloudMessage(f))
	m.Fuzz(func(t *testing.T, data []byte) {
		d := &cloudDecoder{limits: ingest.Options{MaxPoints: 1000}.WithDefaults()}
		if sweep, err := d.add(packet{data: data}); err == nil && sweep.cloud.Len() > 1000 {
			t.Errorf("found %d points, limit 1000", sweep.cloud.Len())
		}
	})
}

// TestPointCloud2Hostile breaks one number of a message after another.
func TestPointCloud2Hostile(t *testing.T) {
	message := cloudMessage(t)
	for at := 4; at+4 <= len(message); at += 4 {
		for _, v := range []uint32{0, 0xffffffff, 0x80000000, 1 << 16} {
			broken := append([]byte{}, message...)
			binary.LittleEndian.PutUint32(broken[at:], v)
			d := &cloudDecoder{limits: ingest.Options{}.WithDefaults()}
			if sweep, err := d.add(packet{data: broken}); err == nil && sweep.cloud.Len() > 5 {
				t.Errorf("%d at %d: found %d points", v, at, sweep.cloud.Len())
			}
		}
	}
}
