package columns

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
)

// TestFastPathsAgree compares every loop for a common type with At, the reference, for every type, order and offset.
func TestFastPathsAgree(t *testing.T) {
	data := make([]byte, 4096)
	for i := range data {
		data[i] = byte(i*i*7 + i*3 + i>>5)
	}
	for kind := Int8; kind <= Float64; kind++ {
		for _, big := range []bool{false, true} {
			for _, stride := range []int{kind.Size(), kind.Size() + 3, 24} {
				c := Column{Type: kind, Big: big, Stride: stride, Data: data}
				n := len(data)/stride - 1
				floats, narrow, bytes := make([]float64, n), make([]float32, n), make([]uint8, n)
				c.floats(floats, 1)
				c.Float32s(narrow, 1)
				c.bytes(bytes, 1, 1)
				for i := range n {
					want := c.At(i + 1)
					if math.Float64bits(floats[i]) != math.Float64bits(want) && !math.IsNaN(want) ||
						narrow[i] != float32(want) && !math.IsNaN(want) ||
						bytes[i] != clampByte(want) {
						t.Fatalf("type %d big %v stride %d row %d: found %v %v %v, want %v", kind, big, stride, i,
							floats[i], narrow[i], bytes[i], want)
					}
				}
			}
		}
	}
}

// TestAdjacentCoordinates: coordinates that lie side by side are taken at once, others one by one, with the same
// result.
func TestAdjacentCoordinates(t *testing.T) {
	const n = 2*block + 5 // more than two blocks
	data := make([]byte, 24*n)
	for i := range data {
		data[i] = byte(i*i*7 + i*3 + i>>5)
	}
	for _, c := range []struct {
		offsets [3]int // of x, y, z
		stride  int
		kind    Type
		big     bool
		at      bool // at once
		cut     bool // each column ends with its last value
	}{
		{offsets: [3]int{0, 4, 8}, stride: 12, kind: Float32, at: true},
		{offsets: [3]int{3, 7, 11}, stride: 17, kind: Float32, at: true},
		{offsets: [3]int{0, 4, 8}, stride: 12, kind: Float32, cut: true},
		{offsets: [3]int{8, 4, 0}, stride: 12, kind: Float32},
		{offsets: [3]int{0, 4, 12}, stride: 16, kind: Float32},
		{offsets: [3]int{0, 4, 8}, stride: 12, kind: Float32, big: true},
		{offsets: [3]int{0, 4, 8}, stride: 12, kind: Int32},
		{offsets: [3]int{0, 8, 16}, stride: 24, kind: Float64},
	} {
		var cols []Column
		for i, name := range []string{"x", "y", "z"} {
			end := len(data)
			if c.cut {
				end = c.offsets[i] + (n-1)*c.stride + c.kind.Size()
			}
			part := data[c.offsets[i]:end]
			cols = append(cols, Column{Name: name, Type: c.kind, Big: c.big, Stride: c.stride, Data: part})
		}
		if got, _ := adjacent(cols[0], cols[1], cols[2]); (got != nil) != c.at {
			t.Errorf("%+v: taken at once: %v", c, got != nil)
		}
		p, err := Cloud(n, cols, ingest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for axis, found := range [][]float64{p.X, p.Y, p.Z} {
			for i, v := range found {
				if want := cols[axis].At(i); math.Float64bits(v) != math.Float64bits(want) && !math.IsNaN(want) {
					t.Fatalf("%+v: axis %d row %d: found %v, want %v", c, axis, i, v, want)
				}
			}
		}
	}
	if p, err := Cloud(0, []Column{
		{Name: "x", Type: Float32},
		{Name: "y", Type: Float32},
		{Name: "z", Type: Float32},
	}, ingest.Options{}); err != nil || p.Len() != 0 {
		t.Errorf("no rows: found %v, %v", p, err)
	}
}

func TestAtByHand(t *testing.T) {
	for _, c := range []struct {
		kind Type
		data []byte
		want float64 // little endian; big endian of the bytes reversed
	}{
		{Int8, []byte{0xff}, -1},
		{Uint8, []byte{0xff}, 255},
		{Int16, []byte{0xfe, 0xff}, -2},
		{Uint16, []byte{1, 2}, 513},
		{Int32, []byte{0xfd, 0xff, 0xff, 0xff}, -3},
		{Uint32, []byte{0, 0, 0, 0x80}, 1 << 31},
		{Int64, []byte{0, 0, 0, 0, 0, 0, 0, 0x80}, -(1 << 63)},
		{Uint64, []byte{0, 0, 0, 0, 0, 0, 0, 0x80}, 1 << 63},
		{Float32, []byte{0, 0, 0xc0, 0x3f}, 1.5},
		{Float64, []byte{0, 0, 0, 0, 0, 0, 4, 0xc0}, -2.5},
	} {
		little := Column{Type: c.kind, Data: c.data}
		turned := slices.Clone(c.data)
		slices.Reverse(turned)
		big := Column{Type: c.kind, Big: true, Data: turned}
		if little.At(0) != c.want || big.At(0) != c.want {
			t.Errorf("type %d: found %v and %v, want %v", c.kind, little.At(0), big.At(0), c.want)
		}
	}
}

func text(name string, kind Type, v ...float64) Column {
	return Column{Name: name, Type: kind, Values: v}
}

func TestRolesAndColors(t *testing.T) {
	xyz := []Column{text("Y", Float64, 3, 4), text("x", Float64, 1, 2), text("z", Float64, 5, 6)}
	cloud := func(more ...Column) string {
		p, err := Cloud(2, append(slices.Clone(xyz), more...), ingest.Options{})
		if err != nil {
			return err.Error()
		}
		return fmt.Sprint(p.X, p.Y, p.Z, p.Intensity, p.R, p.G, p.B)
	}
	word := func(v uint32) float64 { return float64(math.Float32frombits(v)) }
	packed := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 0x00010203), 0xff0a0b0c)
	for name, c := range map[string]struct{ got, want string }{
		"plain":     {cloud(), "[1 2] [3 4] [5 6] [] [] [] []"},
		"intensity": {cloud(text("Reflectance", Float64, 7, 8)), "[1 2] [3 4] [5 6] [7 8] [] [] []"},
		"fractions": {
			cloud(text("r", Float64, 1, 0), text("g", Float64, 0, .5), text("b", Float64, 0, 0)),
			"[1 2] [3 4] [5 6] [] [255 0] [0 128] [0 0]",
		},
		"float bytes": {
			cloud(text("r", Float64, 1, 255.4), text("g", Float64, 0, .4), text("b", Float64, -1, 9)),
			"[1 2] [3 4] [5 6] [] [1 255] [0 0] [0 9]",
		},
		"dark bytes": {
			cloud(text("r", Uint8, 1, 0), text("g", Uint8, 0, 1), text("b", Uint8, 0, 0)),
			"[1 2] [3 4] [5 6] [] [1 0] [0 1] [0 0]",
		},
		"16 bits": {
			cloud(text("r", Uint16, 65535, 0), text("g", Uint16, 257, 0), text("b", Uint16, 0, 0)),
			"[1 2] [3 4] [5 6] [] [255 0] [1 0] [0 0]",
		},
		"8 bits in 16": {
			cloud(text("r", Uint16, 255, 0), text("g", Uint16, 128, 0), text("b", Uint16, 1, 0)),
			"[1 2] [3 4] [5 6] [] [255 0] [128 0] [1 0]",
		},
		"16 bits as numbers": {
			cloud(text("r", Float64, 65535, 0), text("g", Float64, 32896, 256), text("b", Float64, 0, 0)),
			"[1 2] [3 4] [5 6] [] [255 0] [128 1] [0 0]",
		},
		"16 bits in 32": {
			cloud(text("r", Int32, 65535, 0), text("g", Int32, 257, 0), text("b", Int32, 0, 0)),
			"[1 2] [3 4] [5 6] [] [255 0] [1 0] [0 0]",
		},
		"colours of one kind": {
			cloud(text("red", Uint8, 9, 9), text("r", Uint8, 1, 0), text("g", Uint8, 0, 1), text("b", Uint8, 0, 0)),
			"[1 2] [3 4] [5 6] [] [1 0] [0 1] [0 0]",
		},
		"two of three": {cloud(text("r", Uint8, 1, 0), text("g", Uint8, 0, 1)), "[1 2] [3 4] [5 6] [] [] [] []"},
		"packed text": {
			cloud(text("rgb", Float64, 0x010203, word(0x00ff0805))),
			"[1 2] [3 4] [5 6] [] [1 255] [2 8] [3 5]",
		},
		"packed bits": {
			cloud(Column{Name: "rgba", Type: Uint32, Big: true, Stride: 4, Data: packed}),
			"[1 2] [3 4] [5 6] [] [1 10] [2 11] [3 12]",
		},
	} {
		if c.got != c.want {
			t.Errorf("%s: found %s, want %s", name, c.got, c.want)
		}
	}
	if _, err := Cloud(2, xyz[:2], ingest.Options{}); err == nil || !strings.Contains(err.Error(), "want one named z") {
		t.Errorf("found error %v", err)
	}
}

// TestPlainNamesWin: a synonym before the plain name does not take its place, and what is not taken is noted.
func TestPlainNamesWin(t *testing.T) {
	for _, c := range []struct {
		names []string
		want  [4]int // of x, y, z and the intensity
		note  string
	}{
		{[]string{"x", "y", "z", "confidence", "intensity"}, [4]int{0, 1, 2, 4}, "not kept: confidence"},
		{[]string{"x", "y", "z", "i", "reflectance"}, [4]int{0, 1, 2, 4}, "field reflectance; not kept: i"},
		{[]string{"x", "y", "z", "c"}, [4]int{0, 1, 2, 3}, "intensity comes from field c"},
		{[]string{"x", "y", "z", "scalar_Intensity", "Intensity"}, [4]int{0, 1, 2, 4}, "not kept: scalar_Intensity"},
		{[]string{"X", "x", "y", "z"}, [4]int{1, 2, 3, -1}, "x comes from field x; not kept: X"},
		{[]string{"x", "y", "z", "x"}, [4]int{0, 1, 2, -1}, "x comes from field x; not kept: x"},
		{[]string{"height", "x", "y", "z", "East"}, [4]int{1, 2, 3, -1}, ""},
		{[]string{"Northing", "Easting", "Elevation"}, [4]int{1, 0, 2, -1}, "y comes from field Northing"},
		{[]string{"Points_m_XYZ:0", "Points_m_XYZ:1", "Points_m_XYZ:2"}, [4]int{0, 1, 2, -1}, "Points_m_XYZ:0"},
	} {
		var cols []Column
		for i, name := range c.names {
			cols = append(cols, text(name, Float64, float64(i)))
		}
		o := ingest.Options{Notes: new(ingest.Notes)}
		p, err := Cloud(1, cols, o)
		if err != nil {
			t.Errorf("%v: %v", c.names, err)
			continue
		}
		got := [4]int{int(p.X[0]), int(p.Y[0]), int(p.Z[0]), -1}
		if p.Intensity != nil {
			got[3] = int(p.Intensity[0])
		}
		if notes := fmt.Sprint(o.Notes.Take()); got != c.want || !strings.Contains(notes, c.note) {
			t.Errorf("%v: found columns %v and notes %s, want %v and %q", c.names, got, notes, c.want, c.note)
		}
	}
	if _, err := Cloud(1, []Column{text("lat", Float64, 1), text("lon", Float64, 2), text("alt", Float64, 3)},
		ingest.Options{}); err == nil || !strings.Contains(err.Error(), "longitude and latitude are not read") {
		t.Errorf("longitude and latitude: found error %v", err)
	}
}
