package photogrammetry

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/ingesttest"
)

// colmap is two points with tracks of 2 and 1 images and errors of 0.5 and 3 pixels.
func colmap(tb testing.TB) []byte {
	le := binary.LittleEndian
	b := le.AppendUint64(nil, 2)
	for i, v := range []struct {
		xyz   [3]float64
		rgb   [3]uint8
		err   float64
		track []uint32
	}{
		{[3]float64{1, 2, 3}, [3]uint8{4, 5, 6}, 0.5, []uint32{1, 2, 3, 4}},
		{[3]float64{-1, -2, -3}, [3]uint8{7, 8, 9}, 3, []uint32{1, 2}},
	} {
		b = le.AppendUint64(b, uint64(i+1))
		for _, part := range []any{v.xyz, v.rgb, v.err, uint64(len(v.track) / 2), v.track} {
			var err error
			if b, err = binary.Append(b, le, part); err != nil {
				tb.Fatal(err)
			}
		}
	}
	return b
}

const (
	colmapText = "# 3D point list with one line of data per point:\n#   POINT3D_ID, X, Y, Z, R, G, B, ERROR, TRACK[]\n" +
		"1 1 2 3 4 5 6 0.5 1 2 3 4\n2 -1 -2 -3 7 8 9 3 1 2\n"
	nvm = "NVM_V3 \n\n1\nimages/a.JPG 2975.9 1 0 0 0 0 0 0 0.17 0 \n\n2\n1 2 3 4 5 6 2 0 1 0.5 0.5 1 2 3 4\n-1 -2 -3 " +
		"7 8 9 1 0 1 2 3\n\n0\n"
)

func sparseCases(tb testing.TB) map[string]struct {
	format ingest.Format
	data   []byte
} {
	return map[string]struct {
		format ingest.Format
		data   []byte
	}{"points3D.bin": {COLMAP, colmap(tb)}, "points3D.txt": {COLMAPText, []byte(colmapText)}, "a.nvm": {NVM, []byte(nvm)}}
}

func TestSmallFiles(t *testing.T) {
	for name, c := range sparseCases(t) {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, o := range []Options{{}, {MinTrack: 2}} {
			src, err := c.format.Open(t.Context(), path, ingest.Options{Readers: []any{&o}})
			if err != nil {
				t.Fatal(err)
			}
			s, err := src.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			want := "[1 -1] [2 -2] [3 -3] [4 7] [5 8] [6 9]"
			if o.MinTrack > 0 {
				want = "[1] [2] [3] [4] [5] [6]"
			}
			p, ok := s.Data.(*ingest.PointCloud)
			if !ok || fmt.Sprint(p.X, p.Y, p.Z, p.R, p.G, p.B) != want {
				t.Errorf("%s, %d: found %+v, want %s", name, o.MinTrack, p, want)
			}
		}
	}
	c, _, err := decodeCOLMAP(colmap(t), ingest.Options{MaxPoints: 9, Readers: []any{&Options{MaxReprojection: 1}}})
	if err != nil || c.Clouds[0].Len() != 1 || c.Clouds[0].X[0] != 1 {
		t.Errorf("filter by error: found %+v, %v", c, err)
	}
}

func TestSuite(t *testing.T) {
	for name, c := range sparseCases(t) {
		t.Run(name, func(t *testing.T) { ingesttest.Format(t, c.format, name, c.data) })
	}
}

func FuzzCOLMAP(f *testing.F) { ingesttest.Fuzz(f, COLMAP, "points3D.bin", colmap(f)) }

func FuzzCOLMAPText(f *testing.F) { ingesttest.Fuzz(f, COLMAPText, "points3D.txt", []byte(colmapText)) }

func FuzzNVM(f *testing.F) { ingesttest.Fuzz(f, NVM, "a.nvm", []byte(nvm)) }
