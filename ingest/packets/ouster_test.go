package packets

import (
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/testenv"
)

// TestOusterDigests reads the ranges of whole turns and compares their MD5, as uint32 by row and column, with the digests that Ouster's own
// software made of the recordings.
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
		rec, dec, err := openCapture(path, ingest.Options{}.WithDefaults())
		if err != nil {
			t.Fatal(err)
		}
		d, ok := dec.(*ousterDecoder)
		if !ok {
			t.Fatalf("found %T", dec)
		}
		columns, rows := d.meta.Format.Columns, d.meta.Format.Pixels
		ranges := make([]byte, 4*columns*rows)
		for {
			p, ok, err := rec.next()
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

// tinyPacket is a packet of two columns, 0 and 1 of a turn, that measure 2 m and 4 m, and 3 m in the second return.
func tinyPacket(profile string, frame uint16) []byte {
	le := binary.LittleEndian
	var b []byte
	if profile != "LEGACY" {
		b = make([]byte, ousterPacketHeader)
		le.PutUint16(b[2:], frame)
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
			switch profile {
			case "RNG15_RFL8_NIR8":
				le.PutUint16(px, uint16(mm/8)|0x8000)
				px[2] = 9
			case "RNG19_RFL8_SIG16_NIR16_DUAL":
				le.PutUint32(px, mm|9<<24)
				le.PutUint32(px[4:], 3000|8<<24)
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
				t.Errorf("%s: found turn %v, %v", profile, done, err)
			}
		}
		c := d.rest().cloud
		want := 4
		if profile == "RNG19_RFL8_SIG16_NIR16_DUAL" {
			want = 8
		}
		if c.Len() != want || c.Intensity[0] != 9 {
			t.Fatalf("%s: found %d points %v", profile, c.Len(), c.Intensity)
		}
		// The first beam of column 0 looks along x; the second turns by -90 degrees and up by 30, 3.9 m beyond the origin's 0.1.
		i := want / 4
		for k, v := range []float64{c.X[0] - 2, c.Y[0], c.Z[0], c.X[i] - 0.1, c.Y[i] + 3.9*math.Cos(math.Pi/6), c.Z[i] - 3.9/2} {
			if math.Abs(v) > 1e-9 {
				t.Errorf("%s: coordinate %d is off by %g: %v %v %v", profile, k, v, c.X, c.Y, c.Z)
			}
		}
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
