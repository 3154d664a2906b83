package lidar

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/ingesttest"
	"github.com/voxelstream/voxelstream/internal/testenv"
)

// TestLASDigests compares every column of every point with laspy and lazrs: the samples, and files of all point
// formats, item versions and compressors that testdata/laz/golden.py made.
func TestLASDigests(t *testing.T) {
	list, err := os.ReadFile("testdata/laz/SHA256")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(list)) {
		want, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		t.Run(filepath.Base(name), func(t *testing.T) {
			path := name
			if !strings.HasPrefix(name, "testdata") {
				path = testenv.Sample(t, name)
			}
			f := LAS
			if strings.HasSuffix(name, ".laz") {
				f = LAZ
			}
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			p, err := decodeCase(t, f, "file", data)
			if err != nil {
				t.Fatal(err)
			}
			if got := cloudDigest(p); got != want {
				t.Errorf("found %d points of digest %s, want %s", p.Len(), got, want)
			}
		})
	}
}

func cloudDigest(p *ingest.PointCloud) string {
	var b []byte
	for _, c := range [][]float64{p.X, p.Y, p.Z} {
		for _, v := range c {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
		}
	}
	for _, v := range p.Intensity {
		b = binary.LittleEndian.AppendUint16(b, uint16(v))
	}
	for i := range p.R {
		b = append(b, p.R[i], p.G[i], p.B[i])
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func lazFile(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "laz", name))
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// TestLAZSuite: one stream, chunks, and layers with colours of several channels.
func TestLAZSuite(t *testing.T) {
	for _, name := range []string{"laszip_5_v1_1.laz", "laszip_3_v2_2.laz", "lazrs_8.laz"} {
		t.Run(name, func(t *testing.T) { ingesttest.Format(t, LAZ, name, lazFile(t, name)) })
	}
}

func FuzzLAZ(f *testing.F) {
	ingesttest.Fuzz(f, LAZ, "f.laz", lazFile(f, "laszip_5_v1_1.laz"), lazFile(f, "laszip_3_v2_2.laz"),
		lazFile(f, "lazrs_8.laz"), lazFile(f, "laszip_7_v4_3.laz"))
}

// TestLAZErrors: what is wrong, where, and what was wanted.
func TestLAZErrors(t *testing.T) {
	good := lazFile(t, "laszip_3_v2_2.laz")
	le := binary.LittleEndian
	start := int(le.Uint32(good[lasPointsAt:]))
	table := int(le.Uint64(good[start:]))
	record := bytes.Index(good, []byte("laszip encoded")) - 2 + lasVLRHeader
	for name, c := range map[string]struct {
		damage func(b []byte) []byte
		want   string
	}{
		"no record":            {func(b []byte) []byte { b[record-lasVLRHeader+2] = 'L'; return b }, "found no LASzip record"},
		"a strange compressor": {func(b []byte) []byte { b[record] = 9; return b }, "compressor: found 9, want 1 to 3"},
		"a strange item":       {func(b []byte) []byte { b[record+34] = 77; return b }, "item 0: found kind 77"},
		"a strange version": {
			func(b []byte) []byte { b[record+38] = 7; return b },
			"item 0: found version 7 of kind 6, want 1 or 2",
		},
		"cut":             {func(b []byte) []byte { return b[:len(b)/2+start/2] }, "table of chunks: found offset"},
		"too many points": {func(b []byte) []byte { le.PutUint64(b[lasCount64:], 1<<21); return b }, "truncated: found"},
		"one point more": {
			func(b []byte) []byte { le.PutUint64(b[lasCount64:], 49); return b },
			"found chunks for 48 points, want 49",
		},
		"a huge count": {func(b []byte) []byte { le.PutUint64(b[lasCount64:], 1<<40); return b }, "limit 4194304"},
		"many chunks": {
			func(b []byte) []byte { le.PutUint32(b[table+4:], 1<<30); return b },
			"found 1073741824 chunks",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decodeCase(t, LAZ, "file", c.damage(bytes.Clone(good)))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("found error %v, want %q in it", err, c.want)
			}
		})
	}
}
