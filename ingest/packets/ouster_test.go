package packets

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pierrec/lz4/v4"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/ingesttest"
	"github.com/voxelstream/voxelstream/internal/testenv"
)

// TestOusterDigests reads the ranges of whole sweeps and compares their MD5, as uint32 by row and column, with the
// digests that Ouster's own software made of the recordings.
func TestOusterDigests(t *testing.T) {
	for _, name := range []string{"OS-0-128-U1_v2.3.0_1024x10", "OS-1-32-G_v2.1.1_1024x10"} {
		path := testenv.Sample(t, "lidar/ouster/"+name+".pcap")
		digest, err := os.ReadFile(testenv.Sample(t, "lidar/ouster/"+name+"_digest.json"))
		if err != nil {
			t.Fatal(err)
		}
		var want struct {
			Scans []map[string]string `json:"scans"`
		}
		if err := json.Unmarshal(digest, &want); err != nil {
			t.Fatal(err)
		}
		rec, err := openCapture(t.Context(), path, ingest.Options{}.WithDefaults())
		if err != nil {
			t.Fatal(err)
		}
		d, ok := rec.tracks[0].dec.(*ousterDecoder)
		if !ok {
			t.Fatalf("found %T", rec.tracks[0].dec)
		}
		columns, rows := d.meta.Format.Columns, d.meta.Format.Pixels
		ranges := make([]byte, 4*columns*rows)
		for {
			p, ok, err := rec.next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			for k := range d.meta.Format.PerPacket {
				pixels, id, _ := d.columnAt(p.data, k)
				for i := range rows {
					e := d.profile.returns[0](pixels[i*d.profile.pixel:])
					binary.LittleEndian.PutUint32(ranges[4*(i*columns+id):], e.millimetres)
				}
			}
		}
		sum := md5.Sum(ranges)
		if got := hex.EncodeToString(sum[:]); got != want.Scans[0]["RANGE"] {
			t.Errorf("%s: found %s, want %s", name, got, want.Scans[0]["RANGE"])
		}
	}
}

const tinyOuster = `{"prod_line": "OS-T", "beam_altitude_angles": [0, 30], "beam_azimuth_angles": [0, 90], "lidar_origin_to_beam_origin_mm": 100,
	"lidar_mode": "4x10", "data_format": {"columns_per_frame": 4, "columns_per_packet": 2, "pixels_per_column": 2, "udp_profile_lidar": "PROFILE"}}`

// tinyPacket is a packet of two columns, 0 and 1 of a sweep, that measure 2 m and 4 m, and 3 m in the second return.
func tinyPacket(profile string, frame uint16) []byte {
	le := binary.LittleEndian
	var b []byte
	if profile != "LEGACY" {
		b = make([]byte, ousterPacketHeader)
		b[0] = ousterLidar
		if profile == ousterFuSa {
			le.PutUint32(b[4:], uint32(frame))
		} else {
			le.PutUint16(b[2:], frame)
		}
	}
	for id := range uint16(2) {
		column := make([]byte, ousterNewColumn)
		column[10] = 1
		if profile == "LEGACY" {
			column = make([]byte, ousterLegacyColumn)
			le.PutUint16(column[10:], frame)
		}
		le.PutUint16(column[8:], id)
		for _, mm := range []uint32{2000, 4000} {
			px := make([]byte, ousterProfiles[profile].pixel)
			switch two := len(ousterProfiles[profile].returns) == 2; {
			case strings.Contains(profile, "RNG15"):
				le.PutUint16(px, uint16(mm/8)|0x8000)
				px[2] = 9
				if two {
					le.PutUint16(px[4:], 3000/8)
				}
			case two:
				le.PutUint32(px, mm|9<<24)
				le.PutUint32(px[4:], 3000|8<<24)
			case profile == "RNG19_RFL8_SIG16_NIR16_RGB16":
				le.PutUint32(px, mm|9<<24)
			default:
				le.PutUint32(px, mm)
				px[4] = 9
			}
			column = append(column, px...)
		}
		if profile == "LEGACY" {
			column = append(column, 255, 255, 255, 255)
		}
		b = append(b, column...)
	}
	if profile != "LEGACY" {
		b = append(b, make([]byte, ousterPacketFooter)...)
	}
	return b
}

func TestOusterProfiles(t *testing.T) {
	for profile := range ousterProfiles {
		meta, err := parseOusterMeta([]byte(strings.Replace(tinyOuster, "PROFILE", profile, 1)))
		if err != nil {
			t.Fatal(err)
		}
		d := newOusterDecoder(meta)
		for frame := range uint16(2) {
			p := packet{data: tinyPacket(profile, frame)}
			if !d.fits(p) {
				t.Fatalf("%s: found a packet of %d bytes, want %d", profile, len(p.data), d.size)
			}
			done, err := d.add(p)
			if err != nil || (done != nil) != (frame == 1) {
				t.Errorf("%s: found sweep %v, %v", profile, done, err)
			}
		}
		c := d.rest().cloud
		want := 4 * len(d.profile.returns)
		if c.Len() != want || c.Intensity[0] != 9 {
			t.Fatalf("%s: found %d points %v", profile, c.Len(), c.Intensity)
		}
		// The first beam of column 0 looks along x; the second turns by -90 degrees and up by 30, 3.9 m beyond the
		// origin's 0.1.
		i := want / 4
		for k, v := range []float64{
			c.X[0] - 2, c.Y[0], c.Z[0], c.X[i] - 0.1, c.Y[i] + 3.9*math.Cos(math.Pi/6),
			c.Z[i] - 3.9/2,
		} {
			if math.Abs(v) > 1e-9 {
				t.Errorf("%s: coordinate %d is off by %g: %v %v %v", profile, k, v, c.X, c.Y, c.Z)
			}
		}
	}
}

// bagOf makes a recording of two sweeps with the metadata behind them, in a chunk compressed as said.
func bagOf(tb testing.TB, compression string) []byte {
	le := binary.LittleEndian
	field := func(name, value string) string {
		return string(le.AppendUint32(nil, uint32(len(name)+1+len(value)))) + name + "=" + value
	}
	record := func(header, data string) string {
		return string(le.AppendUint32(nil, uint32(len(header)))) + header + string(le.AppendUint32(nil,
			uint32(len(data)))) + data
	}
	u32 := func(v uint32) string { return string(le.AppendUint32(nil, v)) }
	var chunk string
	for conn, kind := range []string{"ouster_ros/PacketMsg", "std_msgs/String"} {
		chunk += record(field("op", "\x07")+field("conn", u32(uint32(conn)))+field("topic", "/t"),
			field("topic", "/t")+field("type", kind))
	}
	message := func(conn uint32, data string) {
		chunk += record(field("op", "\x02")+field("conn", u32(conn))+field("time", u32(7)+u32(8)), u32(uint32(len(data)))+data)
	}
	message(0, string(tinyPacket("LEGACY", 1)))
	message(0, string(tinyPacket("LEGACY", 2)))
	message(1, strings.Replace(tinyOuster, "PROFILE", "LEGACY", 1))
	packed := []byte(chunk)
	if compression == "lz4" {
		var b bytes.Buffer
		w := lz4.NewWriter(&b)
		if _, err := w.Write(packed); err != nil {
			tb.Fatal(err)
		}
		if err := w.Close(); err != nil {
			tb.Fatal(err)
		}
		packed = b.Bytes()
	}
	header := record(field("op", "\x03")+field("index_pos", "01234567"), "   ")
	return []byte(bagMagic + header + record(field("op", "\x05")+field("compression", compression)+field("size",
		u32(uint32(len(chunk)))), string(packed)))
}

func TestROSBag1(t *testing.T) {
	for _, compression := range []string{"none", "lz4"} {
		sweeps := readSweeps(t, ROSBag1, "a.bag", bagOf(t, compression))
		if len(sweeps) != 2 || sweeps[0].Time != time.Unix(7, 8).UTC() {
			t.Errorf("%s: found %+v", compression, sweeps)
			continue
		}
		if p, ok := sweeps[1].Data.(*ingest.PointCloud); !ok || p.Len() != 4 {
			t.Errorf("%s: found %+v", compression, sweeps[1].Data)
		}
	}
}

func TestROSBag1Suite(t *testing.T) {
	ingesttest.Format(t, ROSBag1, "a.bag", bagOf(t, "none"))
}

func FuzzROSBag1(f *testing.F) {
	ingesttest.Fuzz(f, ROSBag1, "a.bag", bagOf(f, "none"), bagOf(f, "lz4"))
}

// TestOusterBag: 32 packets of 16 columns are a sweep of 512.
func TestOusterBag(t *testing.T) {
	d, err := ROSBag1.Inspect(t.Context(), testenv.Sample(t, "rosbag/ouster_512x10_raw.bag"), ingest.Options{})
	p, ok := d.(*ingest.Packets)
	if err != nil || !ok || p.Packets != 32 || p.Returns == 0 || p.Frames > 2 {
		t.Errorf("found %+v, %v", d, err)
	}
}

func FuzzOusterMeta(f *testing.F) {
	f.Add([]byte(strings.Replace(tinyOuster, "PROFILE", "LEGACY", 1)), tinyPacket("LEGACY", 1))
	f.Fuzz(func(_ *testing.T, meta, data []byte) {
		m, err := parseOusterMeta(meta)
		if err != nil {
			return
		}
		if d := newOusterDecoder(m); d.fits(packet{data: data}) {
			_, _ = d.add(packet{data: data})
		}
	})
}
