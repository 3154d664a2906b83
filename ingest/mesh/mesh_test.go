package mesh

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/ingesttest"
)

const (
	offText = "OFF\n# a comment\n3 1 0\n0 0 0\n1 0.5 -2\n\n0 1e1 3\n3 0 1 2\n"
	offGlue = "OFF2 0 0\n1 2 3\n4 5 6\n"
	offRGB  = "COFF\n2 0 0\n1 2 3 255 0 9 255\n4 5 6 1 2 3 255\n"
	objText = "# made by hand\nmtllib a.mtl\nv 1 2 3\nv 4 5 6\nvn 0 0 1\nf 1//1 2//1 1//1\n"
	objRGB  = "v 1 2 3 1 0 0.5\nv 4 5 6 0 1 0\n"
	// 2 x 3 x 4 cells (x, z, y): six empty ones, one full, the others empty.
	binvox = "#binvox 1\ndim 2 3 4\ntranslate 0 0 0\nscale 4\ndata\n\x00\x06\x01\x01\x00\x11"
)

var meshCases = []struct {
	format     ingest.Format
	name, data string
	want       string
}{
	{OFF, "a.off", offText, "[0 1 0] [0 0.5 10] [0 -2 3] []"},
	{OFF, "glued.off", offGlue, "[1 4] [2 5] [3 6] []"},
	{OFF, "colors.off", offRGB, "[1 4] [2 5] [3 6] [255 1]"},
	{OBJ, "a.obj", objText, "[1 4] [2 5] [3 6] []"},
	{OBJ, "colors.obj", objRGB, "[1 4] [2 5] [3 6] [255 0]"},
	// Cell 6 is x 0, z 1, y 2: of 2 x 4 x 3 cells at [z][y][x] that is (1*4+2)*2+0 = 12.
	{Binvox, "a.binvox", binvox, "[3 4 2] [0 0 0 0 0 0 0 0 0 0 0 0 1 0 0 0 0 0 0 0 0 0 0 0]"},
}

func TestSmallFiles(t *testing.T) {
	for _, c := range meshCases {
		path := filepath.Join(t.TempDir(), c.name)
		if err := os.WriteFile(path, []byte(c.data), 0o600); err != nil {
			t.Fatal(err)
		}
		src, err := c.format.Open(t.Context(), path, ingest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		s, err := src.Read(t.Context())
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var got string
		switch d := s.Data.(type) {
		case *ingest.PointCloud:
			got = fmt.Sprint(d.X, d.Y, d.Z, d.R)
		case *ingest.Grid:
			got = fmt.Sprint(d.Dims, d.Values)
		}
		if got != c.want {
			t.Errorf("%s: found %s, want %s", c.name, got, c.want)
		}
	}
}

func TestSuite(t *testing.T) {
	for _, c := range meshCases {
		t.Run(c.name, func(t *testing.T) { ingesttest.Format(t, c.format, c.name, []byte(c.data)) })
	}
}

func FuzzOFF(f *testing.F) {
	ingesttest.Fuzz(f, OFF, "f.off", []byte(offText), []byte(offGlue), []byte(offRGB))
}

func FuzzOBJ(f *testing.F) { ingesttest.Fuzz(f, OBJ, "f.obj", []byte(objText), []byte(objRGB)) }

func FuzzBinvox(f *testing.F) { ingesttest.Fuzz(f, Binvox, "f.binvox", []byte(binvox)) }
