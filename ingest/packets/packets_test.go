package packets

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/ingesttest"
	"github.com/voxelstream/voxelstream/ingest/lidar"
	"github.com/voxelstream/voxelstream/internal/mutants"
	"github.com/voxelstream/voxelstream/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// vlp16 is a packet of a VLP-16 at the given first azimuth, 0.4 degrees a block, one return of 500 (1 m) on laser 1
// (+1 degree).
func vlp16(azimuth int, micros uint32, mode byte) []byte {
	b := make([]byte, velodyneSize)
	for k := range velodyneBlocks {
		at := k * velodyneBlock
		binary.LittleEndian.PutUint16(b[at:], velodyneUpper)
		step := k
		if mode == velodyneDual {
			step = k / 2
		}
		binary.LittleEndian.PutUint16(b[at+2:], uint16((azimuth+40*step)%fullTurn))
		binary.LittleEndian.PutUint16(b[at+4+3:], 500)
		b[at+4+3+2] = 77
	}
	binary.LittleEndian.PutUint32(b[velodyneTime:], micros)
	b[velodyneMode], b[velodyneModel] = mode, 0x22
	return b
}

// ethernet wraps a payload in UDP, IPv4 and Ethernet; a fragment limit above 0 cuts the datagram.
func ethernet(port uint16, payload []byte, limit int) (frames [][]byte) {
	udp := binary.BigEndian.AppendUint16(nil, 9)
	udp = binary.BigEndian.AppendUint16(udp, port)
	udp = binary.BigEndian.AppendUint16(udp, uint16(8+len(payload)))
	udp = append(binary.BigEndian.AppendUint16(udp, 0), payload...)
	if limit == 0 {
		limit = len(udp)
	}
	for at := 0; at < len(udp); at += limit {
		part := udp[at:min(at+limit, len(udp))]
		f := make([]byte, 14+20)
		f[12], f[13] = 8, 0
		ip := f[14:]
		ip[0], ip[9], ip[5] = 0x45, protoUDP, 1
		binary.BigEndian.PutUint16(ip[2:], uint16(20+len(part)))
		flags := uint16(at / 8)
		if at+limit < len(udp) {
			flags |= 0x2000
		}
		binary.BigEndian.PutUint16(ip[6:], flags)
		frames = append(frames, append(f, part...))
	}
	return frames
}

func pcapFile(o binary.AppendByteOrder, nano bool, frames ...[]byte) []byte {
	magic, scale := uint32(pcapMicro), uint32(1)
	if nano {
		magic, scale = pcapNano, 1000
	}
	b := o.AppendUint32(nil, magic)
	b = append(b, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	b = o.AppendUint32(o.AppendUint32(b, maxFrame), linkEthernet)
	for i, f := range frames {
		for _, v := range []uint32{3600, uint32(i+1) * 1000 * scale, uint32(len(f)), uint32(len(f))} {
			b = o.AppendUint32(b, v)
		}
		b = append(b, f...)
	}
	return b
}

func pcapngFile(o binary.AppendByteOrder, frames ...[]byte) []byte {
	block := func(kind uint32, body []byte) []byte {
		for len(body)%4 != 0 {
			body = append(body, 0)
		}
		b := o.AppendUint32(o.AppendUint32(nil, kind), uint32(12+len(body)))
		return o.AppendUint32(append(b, body...), uint32(12+len(body)))
	}
	section := o.AppendUint32(nil, ngByteOrder)
	b := block(ngSection, append(section, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255))
	iface := o.AppendUint32(o.AppendUint16(o.AppendUint16(nil, linkEthernet), 0), maxFrame)
	b = append(b, block(ngInterfaceID, append(iface, append(o.AppendUint16(o.AppendUint16(nil, 9), 1), 9, 0, 0, 0)...))...)
	for i, f := range frames {
		ticks := uint64(3600e9) + uint64(i+1)*1e6
		body := o.AppendUint32(nil, 0)
		body = o.AppendUint32(o.AppendUint32(body, uint32(ticks>>32)), uint32(ticks))
		body = o.AppendUint32(o.AppendUint32(body, uint32(len(f))), uint32(len(f)))
		b = append(b, block(ngEnhanced, append(body, f...))...)
	}
	return b
}

// recordingFrames is four packets over the azimuths 358.4 to 17.6 degrees, and one of another kind.
func recordingFrames(limit int) [][]byte {
	var out [][]byte
	for i := range 4 {
		out = append(out, ethernet(velodynePort, vlp16((35840+480*i)%fullTurn, uint32(1000*(i+1)), 0x37), limit)...)
	}
	return append(out, ethernet(8308, make([]byte, 512), 0)...)
}

func readSweeps(t *testing.T, f ingest.Format, name string, data []byte) []ingest.Sample {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return sweepsOf(t, f, path)
}

func sweepsOf(t *testing.T, f ingest.Format, path string) (out []ingest.Sample) {
	t.Helper()
	src, err := f.Open(t.Context(), path, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close() //nolint:errcheck // opened for reading
	for {
		s, err := src.Read(t.Context())
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
}

func TestCaptures(t *testing.T) {
	for name, data := range map[string][]byte{
		"little":      pcapFile(binary.LittleEndian, false, recordingFrames(0)...),
		"big, nano":   pcapFile(binary.BigEndian, true, recordingFrames(0)...),
		"fragments":   pcapFile(binary.LittleEndian, false, recordingFrames(512)...),
		"pcapng":      pcapngFile(binary.LittleEndian, recordingFrames(0)...),
		"pcapng, big": pcapngFile(binary.BigEndian, recordingFrames(600)...),
	} {
		sweeps := readSweeps(t, PCAP, "a.pcap", data)
		// Blocks 0 to 3 of the first packet lie before 360 degrees.
		if len(sweeps) != 2 {
			t.Errorf("%s: found %d sweeps, want 2", name, len(sweeps))
			continue
		}
		a, _ := sweeps[0].Data.(*ingest.PointCloud)
		b, _ := sweeps[1].Data.(*ingest.PointCloud)
		if a.Len() != 4 || b.Len() != 44 || a.Intensity[0] != 77 {
			t.Errorf("%s: found %d and %d points", name, a.Len(), b.Len())
		}
		if want := time.Unix(3600, 1000_000).UTC(); sweeps[0].Time != want {
			t.Errorf("%s: found time %v, want %v", name, sweeps[0].Time, want)
		}
	}
}

// TestVLP16Point works one return out by hand: block at 90 degrees, laser 1 fires 2.304 us later, on the way of 0.4
// degrees that takes two firings of 55.296 us.
func TestVLP16Point(t *testing.T) {
	sweeps := readSweeps(t, VelodyneRaw, "a.bin", vlp16(9000, 0, 0x37))
	p, _ := sweeps[0].Data.(*ingest.PointCloud)
	azimuth := math.Round(9000+40*2.304/110.592) / 100 * math.Pi / 180
	w := math.Pi / 180
	want := [3]float64{math.Cos(w) * math.Sin(azimuth), math.Cos(w) * math.Cos(azimuth), math.Sin(w)}
	for k, got := range []float64{p.X[0], p.Y[0], p.Z[0]} {
		if math.Abs(got-want[k]) > 1e-12 {
			t.Errorf("axis %d: found %g, want %g", k, got, want[k])
		}
	}
}

func TestDualReturnsCountOnce(t *testing.T) {
	b := vlp16(9000, 0, velodyneDual)
	sweeps := readSweeps(t, VelodyneRaw, "a.bin", b)
	if p, _ := sweeps[0].Data.(*ingest.PointCloud); p.Len() != 6 {
		t.Errorf("found %d points, want 6: equal returns are one", p.Len())
	}
	binary.LittleEndian.PutUint16(b[velodyneBlock+7:], 600) // the strongest of the first pair is farther
	sweeps = readSweeps(t, VelodyneRaw, "a.bin", b)
	if p, _ := sweeps[0].Data.(*ingest.PointCloud); p.Len() != 7 {
		t.Errorf("found %d points, want 7", p.Len())
	}
}

// TestLost leaves two packets out of four sweeps of the azimuths 0 to 180.
func TestLost(t *testing.T) {
	d := &velodyneDecoder{}
	micros := uint32(3599_990_000) // passes the hour
	for sweep := range 4 {
		for azimuth := 0; azimuth < fullTurn; azimuth += 480 {
			if azimuth < fullTurn/2 && (sweep != 2 || azimuth != 4800 && azimuth != 5280) {
				if _, err := d.add(packet{data: vlp16(azimuth, micros%3600e6, 0x37)}); err != nil {
					t.Fatal(err)
				}
			}
			micros += 1327
		}
	}
	if c := d.counts(); c.Lost != 2 || c.Packets != 4*38-2 {
		t.Errorf("found %+v, want 2 lost: the other half of the sweep is not sent", c)
	}
}

func TestSensorTime(t *testing.T) {
	for _, c := range []struct {
		recorded string
		micros   uint32
		want     string
	}{
		{"2026-01-02T03:00:01Z", 3599_900_000, "2026-01-02T02:59:59.9Z"},
		{"2026-01-02T02:59:59Z", 100_000, "2026-01-02T03:00:00.1Z"},
		{"2026-01-02T03:30:00Z", 1800_000_001, "2026-01-02T03:30:00.000001Z"},
		{"2026-01-02T03:30:00Z", 4_000_000_000, "2026-01-02T03:30:00Z"},
	} {
		at, err := time.Parse(time.RFC3339, c.recorded)
		if err != nil {
			t.Fatal(err)
		}
		if got := sensorTime(at, c.micros).Format(time.RFC3339Nano); got != c.want {
			t.Errorf("found %s, want %s", got, c.want)
		}
	}
}

func TestSuite(t *testing.T) {
	ingesttest.Format(t, PCAP, "a.pcap", pcapFile(binary.LittleEndian, false, recordingFrames(512)...))
	ingesttest.Format(t, PCAP, "a.pcapng", pcapngFile(binary.BigEndian, recordingFrames(0)...))
	ingesttest.Format(t, VelodyneRaw, "a.bin", append(vlp16(0, 0, 0x37), vlp16(480, 9, velodyneDual)...))
}

func FuzzPCAP(f *testing.F) {
	ingesttest.Fuzz(f, PCAP, "a.pcap", pcapFile(binary.LittleEndian, false, recordingFrames(512)...),
		pcapngFile(binary.BigEndian, recordingFrames(0)...))
}

func FuzzCDR(f *testing.F) {
	m := mutants.New(f, "cdr")
	m.Add([]byte("\x00\x01\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x04\x00\x00\x00abc\x00\x00\x00\x00\x00"))
	m.Fuzz(func(t *testing.T, data []byte) {
		ps, _ := scanMessages["velodyne_msgs/VelodyneScan"].packets(newCDR(data), time.Time{})
		for _, p := range ps {
			if len(p.data) != velodyneSize {
				t.Errorf("found a packet of %d bytes", len(p.data))
			}
		}
	})
}

// TestVLP16Recording: velodyne-decoder 3 finds as many returns in the 293 packets.
func TestVLP16Recording(t *testing.T) {
	d, err := PCAP.Inspect(t.Context(), testenv.Sample(t, "lidar/velodyne/mrpt_sample_velodyne_vlp16_gps.pcap"),
		ingest.Options{})
	p, ok := d.(*ingest.Packets)
	if err != nil || !ok || p.Sensor != "Velodyne VLP-16" || p.Packets != 293 || p.Returns != 73486 || p.Frames != 5 {
		t.Errorf("found %+v, %v", d, err)
	}
}

// TestVLP32Truth finds every point of an independent decoder's sweep, Nebula's. It cuts sweeps elsewhere, so all of
// ours are searched. It takes the last firing of each packet, behind which the packet states no azimuth, to stand
// still, where we take the speed of the firing before: up to .27 degrees between the two, 1 cm at a few metres.
func TestVLP32Truth(t *testing.T) {
	path := testenv.Sample(t, "lidar/velodyne/nebula_vlp32_packets.db3")
	truth, _ := sweepsOf(t, lidar.PCD, testenv.Sample(t,
		"lidar/velodyne/nebula_vlp32_truth.pcd"))[0].Data.(*ingest.PointCloud)
	const millimetre, last = 0.001, velodyneBlocks - 1
	ours, still := newNeighbours(millimetre), newNeighbours(millimetre)
	put := func(n *neighbours, p *ingest.PointCloud) {
		for i := range p.X {
			n.add(p.Y[i], -p.X[i], p.Z[i]) // ROS: x forward, y left
		}
	}
	for _, s := range sweepsOf(t, ROSBag2, path) {
		p, ok := s.Data.(*ingest.PointCloud)
		if !ok {
			t.Fatalf("found %T", s.Data)
		}
		put(ours, p)
	}
	records, err := Records(t.Context(), path, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for r, err := range records {
		if err != nil {
			t.Fatal(err)
		}
		d, err := newVelodyneDecoder("")
		if err := errors.Join(err, d.setModel(r.Data[velodyneModel])); err != nil {
			t.Fatal(err)
		}
		d.begin(r.Time)
		block := r.Data[last*velodyneBlock:][:velodyneBlock]
		d.block(block, nil, int(binary.LittleEndian.Uint16(block[2:])), 0)
		put(still, d.rest().cloud)
	}
	other := 0
	for i := range truth.X {
		x, y, z := truth.X[i], truth.Y[i], truth.Z[i]
		if ours.near(x, y, z) {
			continue
		}
		other++
		if !still.near(x, y, z) {
			t.Fatalf("point %d, (%g, %g, %g): found none within 1 mm", i, x, y, z)
		}
	}
	if share := float64(other) / float64(truth.Len()); share > 1./velodyneBlocks {
		t.Errorf("%.4f of %d points are only found where a packet's last firing stands still, want a %dth at most",
			share, truth.Len(), velodyneBlocks)
	}
}

func BenchmarkVelodyne(b *testing.B) {
	path := testenv.Sample(b, "lidar/velodyne/mrpt_sample_velodyne_vlp16_gps.pcap")
	returns := 0
	for b.Loop() {
		src, err := PCAP.Open(context.Background(), path, ingest.Options{})
		if err != nil {
			b.Fatal(err)
		}
		for {
			s, err := src.Read(context.Background())
			if err != nil {
				break
			}
			p, _ := s.Data.(*ingest.PointCloud)
			returns += p.Len()
		}
	}
	b.ReportMetric(float64(returns)/b.Elapsed().Seconds()/1e6, "Mpoints/s")
}
