package mesh

import (
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
)

// TestFaces reads the faces of a square and of a triangle in each format, and leaves all of them out where one is
// damaged.
func TestFaces(t *testing.T) {
	want := [][3]int32{{0, 1, 2}, {0, 2, 3}, {3, 2, 1}}
	off := "OFF\n4 2 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n"
	obj := "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"
	for name, c := range map[string]struct {
		text   string
		decode func(string, []byte, ingest.Options) (*ingest.Clouds, error)
		want   [][3]int32
	}{
		"off":           {off + "4 0 1 2 3 0.5 0.5 0.5\n# colour\n3 3 2 1\n", decodeOFF, want},
		"off, corner":   {off + "4 0 1 2 3\n3 3 2 4\n", decodeOFF, nil},
		"off, cut off":  {off + "4 0 1 2 3\n3 3 2", decodeOFF, nil},
		"off, many":     {off + "99999999999 0 1 2 3\n", decodeOFF, nil},
		"off, fraction": {off + "3 0 1 1.5\n", decodeOFF, nil},
		"obj": {
			obj + "f 1 2/7 3//8 4/1/2\nf -1 -2 3\\\n -3\n", decodeOBJ,
			[][3]int32{{0, 1, 2}, {0, 2, 3}, {3, 2, 2}, {3, 2, 1}},
		},
		"obj, corner":     {obj + "f 1 2 5\n", decodeOBJ, nil},
		"obj, zero":       {obj + "f 0 1 2\n", decodeOBJ, nil},
		"obj, far back":   {obj + "f -9 1 2\n", decodeOBJ, nil},
		"obj, word":       {obj + "f 1 2 x 4\nf 1 2 3\n", decodeOBJ, nil},
		"obj, fraction":   {obj + "f 1 2 3.5\n", decodeOBJ, nil},
		"obj, sign":       {obj + "f 1 2 -\n", decodeOBJ, nil},
		"obj, comment":    {obj + "f 1 2 3 # of 4\nf 1 3 4", decodeOBJ, want[:2]},
		"obj, no corners": {obj + "f \n", decodeOBJ, nil},
	} {
		notes := &ingest.Notes{}
		o := ingest.Options{Notes: notes}.WithDefaults()
		for _, faces := range []bool{false, true} {
			o.Faces = faces
			clouds, err := c.decode(name, []byte(c.text), o)
			if err != nil {
				t.Fatal(name, err)
			}
			got := clouds.Clouds[0].Faces
			if !faces && got != nil || faces && !slices.Equal(got, c.want) {
				t.Errorf("%s, asked %v: found %v, want %v", name, faces, got, c.want)
			}
		}
		found := notes.Take()
		if damaged := c.want == nil && !strings.Contains(name, "no corners"); damaged != (len(found) > 0) {
			t.Errorf("%s: found notes %v", name, found)
		}
	}
}
