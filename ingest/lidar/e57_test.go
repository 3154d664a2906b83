package lidar

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/ingesttest"
	"github.com/voxelstream/voxelstream/internal/testenv"
)

const e57TestPage = 256

// e57File makes a file of one scan: its prototype and what follows it in XML, and the packets' streams, one list of
// bytes a field and packet.
func e57File(count int, prototype, rest string, packets ...[][]byte) []byte {
	le := binary.LittleEndian
	physical := func(logical int) uint64 {
		return uint64(logical/(e57TestPage-e57CRC)*e57TestPage + logical%(e57TestPage-e57CRC))
	}
	b := make([]byte, e57Header)
	section := len(b)
	b = append(b, make([]byte, e57SectionHeader)...)
	data := len(b)
	for _, streams := range packets {
		at := len(b)
		b = append(b, e57DataPacket, 0, 0, 0)
		b = le.AppendUint16(b, uint16(len(streams)))
		for _, s := range streams {
			b = le.AppendUint16(b, uint16(len(s)))
		}
		for _, s := range streams {
			b = append(b, s...)
		}
		for len(b)%4 != 0 {
			b = append(b, 0)
		}
		le.PutUint16(b[at+2:], uint16(len(b)-at-1))
	}
	b[section] = e57SectionID
	le.PutUint64(b[section+8:], uint64(len(b)-section))
	le.PutUint64(b[section+16:], physical(data))
	text := fmt.Sprintf(`<?xml version="1.0"?><e57Root type="Structure"><data3D type="Vector"><vectorChild type="Structure">`+
		`<points type="CompressedVector" fileOffset="%d" recordCount="%d"><prototype type="Structure">%s</prototype></points>%s</vectorChild></data3D></e57Root>`,
		physical(section), count, prototype, rest)
	xmlAt := len(b)
	b = append(b, text...)
	copy(b, e57Magic)
	le.PutUint64(b[24:], physical(xmlAt))
	le.PutUint64(b[32:], uint64(len(text)))
	le.PutUint64(b[40:], e57TestPage)
	for len(b)%(e57TestPage-e57CRC) != 0 {
		b = append(b, 0)
	}
	var out []byte
	for ; len(b) > 0; b = b[e57TestPage-e57CRC:] {
		page := b[:e57TestPage-e57CRC]
		out = binary.BigEndian.AppendUint32(append(out, page...), crc32.Checksum(page, castagnoli))
	}
	return out
}

func float64s(v ...float64) (b []byte) {
	for _, x := range v {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
	}
	return b
}

// e57Cartesian is three points in two packets: x float, y in 4 bits from -3 in steps of 0.5, z in no bits, invalid
// state in 2 bits.
func e57Cartesian() []byte {
	return e57File(3, `<cartesianX type="Float"/><cartesianY type="ScaledInteger" minimum="-3" maximum="12" scale="0.5" offset="10"/>`+
		`<cartesianZ type="Integer" minimum="7" maximum="7"/><colorRed type="Integer" minimum="0" maximum="65535"/>`+
		`<colorGreen type="Integer" minimum="0" maximum="255"/><colorBlue type="Integer" minimum="0" maximum="255"/>`+
		`<cartesianInvalidState type="Integer" minimum="0" maximum="2"/>`,
		`<pose type="Structure"><rotation type="Structure"><w type="Float">0.7071067811865476</w><x type="Float"/><y type="Float"/>`+
			`<z type="Float">0.7071067811865476</z></rotation><translation type="Structure"><x type="Float">100</x></translation></pose>`+
			`<colorLimits type="Structure"><colorRedMinimum type="Integer">0</colorRedMinimum><colorRedMaximum type="Integer">65535</colorRedMaximum></colorLimits>`,
		[][]byte{float64s(1, 2), {0x51}, nil, {0xff, 0xff, 0, 0}, {1, 2}, {3, 4}, {0b100000}},
		[][]byte{float64s(3), {0x0f}, nil, {0, 0x80}, {5}, {6}, nil})
}

func e57Spherical() []byte {
	return e57File(2, `<sphericalRange type="Float" precision="single"/><sphericalAzimuth type="Float"/><sphericalElevation type="Float"/>`, "",
		[][]byte{rawFloats(2, 4), float64s(0, math.Pi/2), float64s(0, math.Pi/6)})
}

func TestE57(t *testing.T) {
	p, err := decodeCase(t, E57, "a.e57", e57Cartesian())
	if err != nil {
		t.Fatal(err)
	}
	// y = ((-3 + 1) * 0.5 + 10, (-3 + 5) * 0.5 + 10, (-3 + 15) * 0.5 + 10) = 9, 11, 16; the pose turns x to y, y to
	// -x; the third is invalid.
	want := [][3]float64{{100 - 9, 1, 7}, {100 - 11, 2, 7}}
	for i, w := range want {
		if math.Abs(p.X[i]-w[0])+math.Abs(p.Y[i]-w[1])+math.Abs(p.Z[i]-w[2]) > 1e-12 {
			t.Errorf("point %d: found %g %g %g, want %v", i, p.X[i], p.Y[i], p.Z[i], w)
		}
	}
	if !math.IsNaN(p.X[2]) || fmt.Sprint(p.R, p.G, p.B) != "[255 0 128] [1 2 5] [3 4 6]" {
		t.Errorf("found %+v", p)
	}
	p, err = decodeCase(t, E57, "a.e57", e57Spherical())
	if err != nil || math.Abs(p.X[0]-2) > 1e-12 || math.Abs(p.Y[1]-4*math.Cos(math.Pi/6)) > 1e-12 ||
		math.Abs(p.Z[1]-2) > 1e-12 {
		t.Errorf("spherical: found %+v, %v", p, err)
	}
}

func TestE57Errors(t *testing.T) {
	bad := e57Cartesian()
	bad[e57TestPage+3] ^= 1
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"checksum": {bad, "page 1 at byte 256: found checksum"},
		"cut":      {e57Cartesian()[:e57TestPage+100], "found 100 bytes of page 1"},
		"count": {
			e57File(4, `<cartesianX type="Float"/>`, "", [][]byte{float64s(1, 2)}),
			"field cartesianX: truncated: found 128 bits, want 4 points of 64",
		},
		"no y":    {e57File(1, `<cartesianX type="Float"/>`, "", [][]byte{float64s(1)}), "want one named y"},
		"type":    {e57File(1, `<cartesianX type="String"/>`, "", [][]byte{nil}), `found type "String"`},
		"streams": {e57File(1, `<cartesianX type="Float"/>`, "", [][]byte{nil, nil}), "want 1 streams"},
		"limits": {
			e57File(1, `<cartesianX type="Integer" minimum="3" maximum="2"/>`, "", [][]byte{nil}),
			"maximum 2 below minimum 3",
		},
	} {
		if _, err := decodeCase(t, E57, "a.e57", c.data); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: found error %v, want %q", name, err, c.want)
		}
	}
}

func TestE57Suite(t *testing.T) {
	ingesttest.Format(t, E57, "a.e57", e57Cartesian())
	ingesttest.Format(t, E57, "b.e57", e57Spherical())
}

func FuzzE57(f *testing.F) { ingesttest.Fuzz(f, E57, "f.e57", e57Cartesian(), e57Spherical()) }

// FuzzE57Content lets the fuzzer change what the checksums guard.
func FuzzE57Content(f *testing.F) {
	f.Add(3, `<cartesianX type="Float"/><cartesianY type="Integer" minimum="0" maximum="9"/><cartesianZ type="Float" precision="single"/>`, "", float64s(1), []byte{1})
	f.Fuzz(func(_ *testing.T, n int, prototype, rest string, a, b []byte) {
		a, b = a[:min(len(a), 1000)], b[:min(len(b), 1000)]
		_, _ = decodeE57("", e57File(n, prototype, rest, [][]byte{a, b, a}), ingest.Options{MaxPoints: 1 << 20})
	})
}

// TestE57Bunny: the same scan as floats and as scaled integers of 21 bits.
func TestE57Bunny(t *testing.T) {
	var clouds [2]*ingest.PointCloud
	for i, name := range []string{"cryinc_bunnyFloat.e57", "cryinc_bunnyInt21.e57"} {
		src, err := E57.Open(t.Context(), testenv.Sample(t, "lidar/e57/"+name), ingest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		s, err := src.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		clouds[i], _ = s.Data.(*ingest.PointCloud)
	}
	for i := range clouds[0].X {
		if d := math.Abs(clouds[0].X[i]-clouds[1].X[i]) + math.Abs(clouds[0].Y[i]-clouds[1].Y[i]) + math.Abs(clouds[0].Z[i]-clouds[1].Z[i]); d > 3e-6 {
			t.Fatalf("point %d: floats and integers differ by %g m", i, d)
		}
	}
}
