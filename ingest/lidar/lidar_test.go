package lidar

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/ingesttest"
	"github.com/voxelstream/voxelstream/internal/testenv"
)

// square is four points with colours and intensity; all of it can be told apart.
func square() *ingest.PointCloud {
	return &ingest.PointCloud{
		X: []float64{0, 1, 0, 1}, Y: []float64{0, 0, 1.5, 1.5}, Z: []float64{-1, -2, -3, math.NaN()},
		Intensity: []float32{0.25, 0.5, 0.75, 1},
		R:         []uint8{255, 0, 1, 90}, G: []uint8{2, 3, 4, 16}, B: []uint8{5, 6, 7, 141},
	}
}

func encoded(tb testing.TB, write func(w *bytes.Buffer) error) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func pcdBinary(tb testing.TB) []byte {
	return encoded(tb, func(w *bytes.Buffer) error { return WritePCD(w, square()) })
}

func plyBinary(tb testing.TB) []byte {
	return encoded(tb, func(w *bytes.Buffer) error { return WritePLY(w, square()) })
}

const pcdASCII = `# .PCD v.7 - Point Cloud Data file format
VERSION .7
FIELDS label x y z rgb normal
SIZE 4 4 4 4 4 4
TYPE U F F F F F
COUNT 1 1 1 1 1 3
WIDTH 2
HEIGHT 2
VIEWPOINT 0 0 0 1 0 0 0
POINTS 4
DATA ascii
7 0 0 -1 2.3422905e-38 1 2 3
7 1 0 -2 4.2108e+06 1 2 3
7 0 1.5 -3 4.2108e+06 1 2 3
7 nan nan nan 0 1 2 3
`

// pcdPacked is a compressed file of three literal runs, hand-made: x = 1 2, y = 3 4, z = 5 5 (the second 5 as a
// back reference).
func pcdPacked() []byte {
	f := func(v ...float32) (b []byte) {
		for _, x := range v {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
		}
		return b
	}
	packed := append([]byte{19}, f(1, 2, 3, 4, 5)...)
	packed = append(packed, 2<<5, 3) // four bytes from four bytes back
	head := "# .PCD v0.7\nVERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH 2\nHEIGHT " +
		"1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS 2\n" +
		"DATA binary_compressed\n"
	b := binary.LittleEndian.AppendUint32([]byte(head), uint32(len(packed)))
	return append(binary.LittleEndian.AppendUint32(b, 24), packed...)
}

const plyASCII = `ply
format ascii 1.0
comment faces first
element face 2
property list uchar int vertex_indices
element vertex 3
property double x
property double y
property double z
property float red
property float green
property float blue
end_header
3 0 1 2
3 2 1 0
0.1 0.2 0.3 1 0 0.5
1.25e1 -.5 +7 0 1 0
1e-3 2E2 -0.0 0 0 1
`

// plyBigEndian has lists before and within the vertices.
func plyBigEndian() []byte {
	b := []byte("ply\r\nformat binary_big_endian 1.0\r\nelement face 1\r\nproperty list uchar ushort i\r\nelement " +
		"vertex 2\r\nproperty short x\r\n" +
		"property list uint double extra\r\nproperty int y\r\nproperty double z\r\nend_header\r\n")
	b = append(b, 2, 0, 1, 0, 2)
	for _, v := range []struct {
		x     int16
		extra []float64
		y     int32
		z     float64
	}{{-3, []float64{9, 8}, 70000, 0.5}, {4, nil, -5, 6}} {
		b = binary.BigEndian.AppendUint16(b, uint16(v.x))
		b = binary.BigEndian.AppendUint32(b, uint32(len(v.extra)))
		for _, e := range v.extra {
			b = binary.BigEndian.AppendUint64(b, math.Float64bits(e))
		}
		b = binary.BigEndian.AppendUint32(b, uint32(v.y))
		b = binary.BigEndian.AppendUint64(b, math.Float64bits(v.z))
	}
	return b
}

func rawFloats(v ...float32) (b []byte) {
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

const xyzNamed = "# made by hand\nX; Y; Z; Intensity\n1;2;3;0.5\n4;5;6;0.25\n\n7;8;9;0\n"

const ptsColors = "2\n636110.3 849345.05 512.1 -1613 52 70 64\n636102.8 849345.2 512 -1998 58 76 67\n"

// las is a file of version 1.minor with two points of the given format, scaled by 0.5 from 100, with two extra
// bytes a record.
func las(minor byte, format int) []byte {
	le := binary.LittleEndian
	size := lasMinHeader
	if minor == 4 {
		size = lasMinHeader14
	}
	b := make([]byte, size)
	copy(b, lasMagic)
	b[lasVersion], b[lasVersion+1], b[lasPointFormat] = 1, minor, byte(format)
	record := lasFormats[format].length + 2
	le.PutUint16(b[lasHeaderSize:], uint16(size))
	le.PutUint32(b[lasPointsAt:], uint32(size))
	le.PutUint16(b[lasRecordLength:], uint16(record))
	if minor == 4 {
		le.PutUint64(b[lasCount64:], 2)
	} else {
		le.PutUint32(b[lasLegacyCount:], 2)
	}
	for k := range 3 {
		le.PutUint64(b[lasScale+8*k:], math.Float64bits(0.5))
		le.PutUint64(b[lasOffset+8*k:], math.Float64bits(100))
	}
	for i := range int32(2) {
		r := make([]byte, record)
		for k := range int32(3) {
			le.PutUint32(r[4*k:], uint32(10*i-k))
		}
		le.PutUint16(r[lasIntensity:], 7)
		if at := lasFormats[format].rgb; at > 0 {
			le.PutUint16(r[at:], 0x1234)
		}
		b = append(b, r...)
	}
	return b
}

const ptx = "2\n1\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n0 1 0 0\n-1 0 0 0\n0 0 1 0\n10 20 30 1\n1 2 3 0.5\n0 0 0 0.5\n"

func TestLASFormats(t *testing.T) {
	for format := range lasFormats {
		for minor := range byte(5) {
			p, err := decodeCase(t, LAS, "a.las", las(minor, format))
			if err != nil {
				t.Fatalf("1.%d format %d: %v", minor, format, err)
			}
			if got := fmt.Sprint(p.X, p.Y, p.Z, p.Intensity); got != "[100 105] [99.5 104.5] [99 104] [7 7]" {
				t.Errorf("1.%d format %d: found %s", minor, format, got)
			}
			if has := lasFormats[format].rgb > 0; has != (p.R != nil) || has && p.R[1] != 0x12 {
				t.Errorf("1.%d format %d: found colours %v", minor, format, p.R)
			}
		}
	}
}

// cases are small good files of every format.
func cases(tb testing.TB) []struct {
	format ingest.Format
	name   string
	data   []byte
	want   string // x y z of all points
} {
	return []struct {
		format ingest.Format
		name   string
		data   []byte
		want   string
	}{
		{PCD, "binary.pcd", pcdBinary(tb), "[0 1 0 1] [0 0 1.5 1.5] [-1 -2 -3 NaN]"},
		{PCD, "ascii.pcd", []byte(pcdASCII), "[0 1 0 NaN] [0 0 1.5 NaN] [-1 -2 -3 NaN]"},
		{PCD, "packed.pcd", pcdPacked(), "[1 2] [3 4] [5 5]"},
		{PLY, "binary.ply", plyBinary(tb), "[0 1 0 1] [0 0 1.5 1.5] [-1 -2 -3 NaN]"},
		{PLY, "ascii.ply", []byte(plyASCII), "[0.1 12.5 0.001] [0.2 -0.5 200] [0.3 7 -0]"},
		{PLY, "big.ply", plyBigEndian(), "[-3 4] [70000 -5] [0.5 6]"},
		{KITTI, "scan.bin", rawFloats(1, 2, 3, .5, -4, 5, 6, 1), "[1 -4] [2 5] [3 6]"},
		{NuScenes, "scan.pcd.bin", rawFloats(1, 2, 3, 7, 0, -4, 5, 6, 9, 1), "[1 -4] [2 5] [3 6]"},
		{XYZ, "named.csv", []byte(xyzNamed), "[1 4 7] [2 5 8] [3 6 9]"},
		{LAS, "a.las", las(2, 3), "[100 105] [99.5 104.5] [99 104]"},
		{LAS, "b.las", las(4, 7), "[100 105] [99.5 104.5] [99 104]"},
		// The matrix turns x to y and y to -x, then shifts by 10 20 30.
		{PTX, "a.ptx", []byte(ptx), "[8 NaN] [21 NaN] [33 NaN]"},
		{PTS, "colors.pts", []byte(ptsColors), "[636110.3 636102.8] [849345.05 849345.2] [512.1 512]"},
	}
}

func decodeCase(t *testing.T, f ingest.Format, name string, data []byte) (*ingest.PointCloud, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	src, err := f.Open(t.Context(), path, ingesttest.Options)
	if err != nil {
		t.Fatal(err)
	}
	s, err := src.Read(t.Context())
	if err != nil {
		return nil, err
	}
	p, ok := s.Data.(*ingest.PointCloud)
	if !ok {
		t.Fatalf("found %T", s.Data)
	}
	return p, src.Close()
}

func TestSmallFiles(t *testing.T) {
	for _, c := range cases(t) {
		t.Run(c.name, func(t *testing.T) {
			p, err := decodeCase(t, c.format, c.name, c.data)
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(p.X, p.Y, p.Z); got != c.want {
				t.Errorf("found %s, want %s", got, c.want)
			}
		})
	}
}

func TestSuite(t *testing.T) {
	for _, c := range cases(t) {
		t.Run(c.name, func(t *testing.T) { ingesttest.Format(t, c.format, c.name, c.data) })
	}
}

func TestWritersKeepEverything(t *testing.T) {
	for name, data := range map[string][]byte{"a.pcd": pcdBinary(t), "a.ply": plyBinary(t)} {
		f := PCD
		if strings.HasSuffix(name, "ply") {
			f = PLY
		}
		p, err := decodeCase(t, f, name, data)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := fmt.Sprint(*p), fmt.Sprint(*square()); got != want {
			t.Errorf("%s: found %s, want %s", name, got, want)
		}
	}
	far := &ingest.PointCloud{X: []float64{512744.123}, Y: []float64{5403550.001}, Z: []float64{308.68}}
	data := encoded(t, func(w *bytes.Buffer) error { return WritePCD(w, far) })
	if p, err := decodeCase(t, PCD, "far.pcd", data); err != nil || p.X[0] != far.X[0] || p.Y[0] != far.Y[0] {
		t.Errorf("found %v, %v, want %v: map coordinates need float64", p, err, far)
	}
}

func TestColors(t *testing.T) {
	p, err := decodeCase(t, PLY, "fractions.ply", []byte(plyASCII))
	if err != nil || !slices.Equal(p.R, []uint8{255, 0, 0}) || !slices.Equal(p.B, []uint8{128, 0, 255}) {
		t.Errorf("fractions of one: found %+v, %v", p, err)
	}
	// 2.3422905e-38 is the float32 with the bits 0x00ff0805 (PCL's way to write rgb); a whole number is the bits
	// themselves.
	p, err = decodeCase(t, PCD, "packed.pcd", []byte(pcdASCII))
	if err != nil || p.R[0] != 0xff || p.R[1] != 4210800>>16 {
		t.Errorf("packed: found %+v, %v", p, err)
	}
	p, err = decodeCase(t, PTS, "c.pts", []byte(ptsColors))
	if err != nil || p.R[1] != 58 || p.Intensity[0] != -1613 {
		t.Errorf("pts: found %+v, %v", p, err)
	}
}

// TestErrors: what is wrong, where, and what was wanted.
func TestErrors(t *testing.T) {
	pcd := func(old, replacement string) []byte { return []byte(strings.Replace(pcdASCII, old, replacement, 1)) }
	for name, c := range map[string]struct {
		format ingest.Format
		data   []byte
		want   string
	}{
		"pcd without z":         {PCD, pcd("x y z", "x y w"), "want one named z"},
		"pcd with a huge count": {PCD, pcd("POINTS 4", "POINTS 4000000000000"), "limit 4194304"},
		"pcd of a strange type": {PCD, pcd("TYPE U F F F F", "TYPE U F Q F F"), `found "Q", want I, U or F`},
		"pcd of a strange size": {PCD, pcd("SIZE 4 4 4", "SIZE 4 3 4"), "found TYPE F of SIZE 3"},
		"pcd packed, cut":       {PCD, pcdPacked()[:len(pcdPacked())-3], "want 23"},
		"ply without vertices": {
			PLY, bytes.Replace([]byte(plyASCII), []byte("vertex 3"), []byte("vortex 3"), 1),
			"no element vertex",
		},
		"kitti, cut": {KITTI, rawFloats(1, 2, 3), "want a multiple of 16"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decodeCase(t, c.format, "file", c.data)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("found error %v, want %q in it", err, c.want)
			}
		})
	}
}

func TestDetectionIgnoresNames(t *testing.T) {
	formats := []ingest.Format{PCD, PLY, LAS, LAZ, PTX, NuScenes, KITTI, PTS, XYZ}
	for _, c := range cases(t) {
		path := filepath.Join(t.TempDir(), "file.dat")
		if err := os.WriteFile(path, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		head, err := ingest.ReadHead(path)
		if err != nil {
			t.Fatal(err)
		}
		best, sure := "", ingest.No
		for _, f := range formats {
			if k := f.Detect(head); k > sure {
				best, sure = f.Name, k
			}
		}
		if best != c.format.Name {
			t.Errorf("%s: found format %q, want %s", c.name, best, c.format.Name)
		}
	}
}

func FuzzPCD(f *testing.F) {
	ingesttest.Fuzz(f, PCD, "f.pcd", pcdBinary(f), []byte(pcdASCII), pcdPacked())
}

func FuzzPLY(f *testing.F) {
	ingesttest.Fuzz(f, PLY, "f.ply", plyBinary(f), []byte(plyASCII), plyBigEndian())
}

func FuzzXYZ(f *testing.F) {
	ingesttest.Fuzz(f, XYZ, "f.xyz", []byte(xyzNamed), []byte(ptsColors),
		[]byte("//X Y Z Rf Gf Bf\n2\n1 2 3 .5 .5 .5\n4 5 6 1 1 1\n"))
}

func FuzzLAS(f *testing.F) { ingesttest.Fuzz(f, LAS, "f.las", las(2, 3), las(4, 10)) }

func FuzzPTX(f *testing.F) { ingesttest.Fuzz(f, PTX, "f.ptx", []byte(ptx+ptx)) }

func FuzzRaw(f *testing.F) {
	ingesttest.Fuzz(f, NuScenes, "f.bin", rawFloats(1, 2, 3, 7, 0, -4, 5, 6, 9, 1))
}

func FuzzKITTI(f *testing.F) {
	ingesttest.Fuzz(f, KITTI, "f.bin", rawFloats(1, 2, 3, .5, -4, 5, 6, 1))
}

func FuzzPTS(f *testing.F) { ingesttest.Fuzz(f, PTS, "f.pts", []byte(ptsColors), []byte("1\n1 2 3\n")) }

// benchmarks read the largest sample of each kind; points per second is the figure to compare.
func BenchmarkRead(b *testing.B) {
	for _, c := range []struct {
		format ingest.Format
		sample string
	}{
		{PCD, "rgbd/kinect_pcd/mOSD_learn0.pcd"},
		{PCD, "lidar/hesai/nebula_qt64_truth.pcd"},
		{PCD, "lidar/pcd/pcl_ism_test_cat.pcd"},
		{PLY, "ply/tinyply_sofa.ply"},
		{PLY, "rgbd/tango/20171122163055_zenfone_ar.ply"},
		{KITTI, "lidar/kitti/kitti_odometry_00_000000.bin.gz"},
		{KITTI, "lidar/kitti/mmdet3d_tests_000000.bin"},
		{LAS, "lidar/las/laspy_simple1_4.las"},
		{XYZ, "sfm/sbcv_Example.asc"},
	} {
		b.Run(filepath.Base(c.sample), func(b *testing.B) {
			path := testenv.Sample(b, c.sample)
			points := 0
			for b.Loop() {
				src, err := c.format.Open(b.Context(), path, ingest.Options{})
				if err != nil {
					b.Fatal(err)
				}
				s, err := src.Read(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				points += s.Data.(*ingest.PointCloud).Len()
			}
			b.ReportMetric(float64(points)/b.Elapsed().Seconds()/1e6, "Mpoints/s")
		})
	}
}

// million is a cloud of a million points with intensity and colours, as files of several formats.
func million(tb testing.TB) map[string]string {
	tb.Helper()
	const n = 1_000_000
	r := rand.New(rand.NewPCG(5, 6))
	p := &ingest.PointCloud{}
	for i := range n {
		p.X = append(p.X, float64(float32(r.Float64()*200-100)))
		p.Y = append(p.Y, float64(float32(r.Float64()*200-100)))
		p.Z = append(p.Z, float64(float32(r.Float64()*20)))
		p.Intensity = append(p.Intensity, float32(i%256)/256)
		p.R, p.G, p.B = append(p.R, uint8(i)), append(p.G, uint8(i>>8)), append(p.B, uint8(i>>16))
	}
	files := map[string][]byte{
		"a.pcd": encoded(tb, func(w *bytes.Buffer) error { return WritePCD(w, p) }),
		"a.ply": encoded(tb, func(w *bytes.Buffer) error { return WritePLY(w, p) }),
	}
	text := bytes.NewBufferString(fmt.Sprintf("ply\nformat ascii 1.0\nelement vertex %d\nproperty float x\nproperty "+
		"float y\nproperty float z\nend_header\n", n))
	scan := make([]byte, 0, 16*n)
	head := las(4, 7)
	record := len(las(4, 7)) - lasMinHeader14
	airborne := append([]byte{}, head[:lasMinHeader14]...)
	binary.LittleEndian.PutUint64(airborne[lasCount64:], n)
	one := head[lasMinHeader14 : lasMinHeader14+record/2]
	for i := range n {
		fmt.Fprintf(text, "%.6f %.6f %.6f\n", p.X[i], p.Y[i], p.Z[i])
		scan = append(scan, rawFloats(float32(p.X[i]), float32(p.Y[i]), float32(p.Z[i]), p.Intensity[i])...)
		airborne = append(airborne, one...)
		for k, v := range []float64{p.X[i], p.Y[i], p.Z[i]} {
			binary.LittleEndian.PutUint32(airborne[len(airborne)-len(one)+4*k:], uint32(int32(v*1000)))
		}
	}
	files["text.ply"], files["a.bin"], files["a.las"] = text.Bytes(), scan, airborne
	files["a.xyz"] = text.Bytes()[bytes.Index(text.Bytes(), []byte("end_header\n"))+len("end_header\n"):]
	dir := os.Getenv("VOXELSTREAM_BENCH_FILES") // kept there, for other programs to read
	if dir == "" {
		dir = tb.TempDir()
	}
	paths := map[string]string{}
	for name, data := range files {
		paths[name] = filepath.Join(dir, name)
		if err := os.WriteFile(paths[name], data, 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	return paths
}

func BenchmarkReadMillion(b *testing.B) {
	paths := million(b)
	for name, f := range map[string]ingest.Format{
		"a.pcd": PCD, "a.ply": PLY, "text.ply": PLY, "a.bin": KITTI,
		"a.las": LAS, "a.xyz": XYZ,
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				src, err := f.Open(b.Context(), paths[name], ingest.Options{})
				if err != nil {
					b.Fatal(err)
				}
				if s, err := src.Read(b.Context()); err != nil || s.Data.(*ingest.PointCloud).Len() != 1_000_000 {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "Mpoints/s")
		})
	}
}
