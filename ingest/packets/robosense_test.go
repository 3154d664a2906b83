package packets

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/ingesttest"
	"github.com/voxelstream/voxelstream/ingest/lidar"
	"github.com/voxelstream/voxelstream/internal/testenv"
)

// helios16P are the angles of the sensor that made the sample, as its device information has them.
const helios16P = "14.94,-4.05\n13.03,3.61\n10.92,-4.00\n8.90,3.58\n6.96,-3.97\n5.46,3.56\n3.98,-3.96\n2.67,3.55\n1.33,-3.95\n0,3.55\n" +
	"-1.33,-3.95\n-2.67,3.55\n-3.96,-3.96\n-5.23,3.56\n-6.63,-3.97\n-8.01,3.57\n"

func writeTable(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "table.csv")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestHeliosTruth finds the points of an independent decoder's sweep. The two round the azimuth of a return
// differently, which shows beyond 60 m.
func TestHeliosTruth(t *testing.T) {
	src, err := ROSBag2.Open(t.Context(), testenv.Sample(t, "lidar/robosense/nebula_helios16P_packets.db3"),
		ingest.Options{Readers: []any{&Options{Calibration: writeTable(t, helios16P)}}})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close() //nolint:errcheck // opened for reading
	found := newNeighbours(0.01)
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
			found.add(p.Y[i], -p.X[i], p.Z[i]) // ROS: x forward, y left
		}
	}
	truth, _ := sweepsOf(t, lidar.PCD, testenv.Sample(t,
		"lidar/robosense/nebula_helios16P_truth.pcd"))[0].Data.(*ingest.PointCloud)
	hits := 0
	for i := range truth.X {
		if found.near(truth.X[i], truth.Y[i], truth.Z[i]) {
			hits++
		}
	}
	if share := float64(hits) / float64(truth.Len()); share < 0.99 {
		t.Errorf("found %.4f of %d points within 1 cm, want 0.99", share, truth.Len())
	}
}

// heliosInfo is device information whose lasers point at 30 degrees up, and 90 to the right.
func heliosInfo() []byte {
	b := make([]byte, robosenseSize)
	copy(b, robosenseInfo)
	b[robosenseMode] = 4
	for i := range robosenseLasers {
		binary.BigEndian.PutUint16(b[robosenseAngles+3*i+1:], 3000)
		binary.BigEndian.PutUint16(b[robosenseAngles+3*(robosenseLasers+i)+1:], 9000)
	}
	return b
}

// helios is packet n of a sensor at azimuth 0 that does not turn; the first laser sees 2 m in each block.
func helios(n uint32) []byte {
	b := make([]byte, robosenseSize)
	copy(b, robosenseData)
	b[robosenseUnit] = 1
	binary.BigEndian.PutUint32(b[robosenseNumber:], n)
	binary.BigEndian.PutUint32(b[robosenseTime+2:], 1_700_000_000)
	for k := range robosenseBlocks {
		block := b[robosenseHeader+k*robosenseBlock:]
		block[0], block[1] = 0xff, 0xee
		binary.BigEndian.PutUint16(block[4:], 800)
		block[6] = 9
	}
	return b
}

func heliosBag(tb testing.TB, packets ...[]byte) []byte {
	tb.Helper()
	message := scanOf(1500, true, packets...)
	// A byte that says what kind of packet it is stands before each.
	c := newCDR(message)
	c.stamp()
	c.text()
	c.uint32()
	out := append([]byte(nil), message[:4+c.at]...)
	for _, p := range packets {
		for len(out)%4 != 0 {
			out = append(out, 0)
		}
		out = append(out, make([]byte, 9)...)
		out = append(append(out, p...), make([]byte, 1500-len(p)+3)...)
		out = binary.LittleEndian.AppendUint32(out, uint32(len(p)))
	}
	return bag2(tb, "robosense_msgs/msg/RobosenseScan", out)
}

func TestHelios(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db3")
	// The information comes behind the first data; number 8 and 9 are missing, and 10 is there twice.
	if err := os.WriteFile(path, heliosBag(t, helios(7), heliosInfo(), helios(10), helios(10)), 0o600); err != nil {
		t.Fatal(err)
	}
	sweeps := sweepsOf(t, ROSBag2, path)
	p, _ := sweeps[0].Data.(*ingest.PointCloud)
	if len(sweeps) != 1 || p.Len() != 24 || sweeps[0].Time.Unix() != 1_700_000_000 {
		t.Fatalf("found %d sweeps, the first of %d points at %v", len(sweeps), p.Len(), sweeps[0].Time)
	}
	if math.Abs(p.X[0]-2*math.Cos(math.Pi/6)) > 1e-9 || math.Abs(p.Y[0]-robosenseRadius) > 1e-9 ||
		math.Abs(p.Z[0]-1) > 1e-9 || p.Intensity[0] != 9 {
		t.Errorf("found %g %g %g %g", p.X[0], p.Y[0], p.Z[0], p.Intensity[0])
	}
	d, err := ROSBag2.Inspect(t.Context(), path, ingest.Options{})
	if got, ok := d.(*ingest.Packets); err != nil || !ok || got.Packets != 2 || got.Lost != 2 || got.Repeated != 1 {
		t.Errorf("found %+v, %v", d, err)
	}
	if _, err := ROSBag2.Open(t.Context(), path, ingest.Options{Readers: []any{&Options{Calibration: writeTable(t,
		"1,2,3\n")}}}); err == nil || !strings.Contains(err.Error(), "found 1 lasers") {
		t.Errorf("found error %v, want the number of lasers", err)
	}
}

func TestHeliosSuite(t *testing.T) {
	if testing.Short() {
		t.Skip("thousands of damaged databases")
	}
	ingesttest.Format(t, ROSBag2, "a.db3", heliosBag(t, heliosInfo(), helios(1)))
}

// FuzzDecoders gives any bytes to each decoder, as a live sensor's port does.
func FuzzDecoders(f *testing.F) {
	for _, b := range [][]byte{
		vlp16(0, 1, 0x37), vlp16(0, 1, velodyneDual), hesai(), helios(1), heliosInfo(),
		pandar40(), pandarXT(),
	} {
		f.Add(b, uint8(3))
	}
	alpha, err := os.ReadFile("testdata/vls128.bin")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(alpha[:velodyneSize], uint8(3))            // one return
	f.Add(alpha[len(alpha)-velodyneSize:], uint8(3)) // two
	f.Fuzz(func(t *testing.T, b []byte, at uint8) {
		hesai := newHesaiDecoder("")
		robosense, err := newRoboSenseDecoder("")
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []struct {
			decoder
			fits func(packet) bool
		}{{&velodyneDecoder{}, isVelodyne}, {hesai, isHesai}, {robosense, isRoboSense}} {
			p := packet{data: b}
			if !s.fits(p) {
				continue
			}
			for range 2 {
				_, _ = s.add(p) // any error is right that is no panic
				if len(b) > 0 {
					b[int(at)*7%len(b)] ^= 0x5a
				}
				if !s.fits(p) {
					break
				}
			}
			if rest := s.rest(); rest != nil && rest.cloud.Len() > 2*12*32*2 {
				t.Errorf("found %d points in two packets", rest.cloud.Len())
			}
		}
	})
}
