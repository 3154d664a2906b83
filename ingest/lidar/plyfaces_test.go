package lidar

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
)

// TestPLYFaces reads the faces of a square and of a triangle as text and in both byte orders, beside other properties and
// elements, and leaves all of them out where one is damaged.
func TestPLYFaces(t *testing.T) {
	const elements = "comment x\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n" +
		"element other 1\nproperty uchar v\n" +
		"element face 2\nproperty uchar flag\nproperty list uchar int vertex_indices\nproperty uchar last\nend_header\n"
	const vertices = "0 0 0\n1 0 0\n\n1 1 0\n0 1 0\n7\n"
	encode := func(order binary.AppendByteOrder, last int32) string {
		b := make([]byte, 4*12)
		b = append(b, 7, 9, 4)
		for _, v := range []int32{0, 1, 2, 3} {
			b = order.AppendUint32(b, uint32(v))
		}
		b = append(b, 9, 9, 3)
		for _, v := range []int32{3, 2, last} {
			b = order.AppendUint32(b, uint32(v))
		}
		return string(append(b, 9))
	}
	text := "ply\nformat ascii 1.0\n" + elements + vertices
	little := "ply\nformat binary_little_endian 1.0\n" + elements
	big := "ply\nformat binary_big_endian 1.0\n" + elements
	want := [][3]int32{{0, 1, 2}, {0, 2, 3}, {3, 2, 1}}
	for name, c := range map[string]struct {
		data string
		want [][3]int32
	}{
		"text":              {text + "9 4 0 1 2 3 9\n9 3 3 2 1 9\n", want},
		"little":            {little + encode(binary.LittleEndian, 1), want},
		"big":               {big + encode(binary.BigEndian, 1), want},
		"text, corner":      {text + "9 4 0 1 2 3 9\n9 3 3 2 4 9\n", nil},
		"text, truncated":   {text + "9 4 0 1 2 3 9\n", nil},
		"text, long":        {text + "9 1e9 0 1 2 3 9\n9 3 3 2 1 9\n", nil},
		"little, corner":    {little + encode(binary.LittleEndian, -1), nil},
		"little, truncated": {little + encode(binary.LittleEndian, 1)[:72], nil},
	} {
		o := ingest.Options{}.WithDefaults()
		for _, faces := range []bool{false, true} {
			o.Faces = faces
			clouds, err := decodePLY(name, []byte(c.data), o)
			if err != nil {
				t.Fatal(name, err)
			}
			got := clouds.Clouds[0].Faces
			if !faces && got != nil || faces && !slices.Equal(got, c.want) {
				t.Errorf("%s, asked %v: found %v, want %v", name, faces, got, c.want)
			}
		}
	}
}
