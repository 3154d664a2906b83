package voxelize

import (
	"math"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
)

func TestGridIndexIsHalfOpen(t *testing.T) {
	// 2 cells along z, 3 along y and 4 along x, half a metre each, around the origin.
	g := Grid{Origin: [3]float64{-1, -0.5, 0}, Cell: Cubes(0.5), Dims: [3]int{2, 3, 4}}
	inf, nan := math.Inf(1), math.NaN()
	tests := []struct {
		name    string
		x, y, z float64
		want    int
		ok      bool
	}{
		{"minimum corner", -1, -0.5, 0, 0, true},
		{"just below the minimum", math.Nextafter(-1, -2), -0.5, 0, 0, false},
		{"negative, inside", -0.75, -0.5, 0, 0, true},
		{"on a face: belongs to the larger side", -0.5, -0.5, 0, 1, true},
		{"just below a face", math.Nextafter(-0.5, -1), -0.5, 0, 0, true},
		{"y steps by a row", -1, 0, 0, 4, true},
		{"z steps by a layer", -1, -0.5, 0.5, 12, true},
		{"last cell", 0.99, 0.99, 0.99, 23, true},
		{"maximum face of x", 1, 0, 0, 0, false},
		{"maximum face of y", 0, 1, 0, 0, false},
		{"maximum face of z", 0, 0, 1, 0, false},
		{"maximum corner", 1, 1, 1, 0, false},
		{"half a cell below: truncation would give 0", -1.25, -0.5, 0, 0, false},
		{"beyond the range of int", 1e300, 0, 0, 0, false},
		{"-Inf", -inf, 0, 0, 0, false},
		{"NaN x", nan, 0, 0, 0, false},
		{"NaN y", 0, nan, 0, 0, false},
		{"NaN z", 0, 0, nan, 0, false},
	}
	for _, tt := range tests {
		i, ok := g.Index(tt.x, tt.y, tt.z)
		if ok != tt.ok || (ok && i != tt.want) {
			t.Errorf("%s: Index(%v,%v,%v) = %d, %v; want %d, %v", tt.name, tt.x, tt.y, tt.z, i, ok, tt.want, tt.ok)
		}
	}
}

// TestWiden checks that a cloud that does not fit gets wider cells, and one that fits does not.
func TestWiden(t *testing.T) {
	o := DefaultOptions()
	o.Method, o.Edge, o.Widen = OccupancyGrid.Name, Cubes(0.5), true
	o.Dims = [3]int{8, 8, 8}
	v, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ size, edge float64 }{{3.9, 0.5}, {8, 1}, {80, 10}} {
		cloud := &ingest.PointCloud{X: []float64{0, test.size}, Y: []float64{0, 0}, Z: []float64{0, 1}}
		vol, err := v.Volume(ingest.Sample{Data: cloud})
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(float64(vol.Edge)-test.edge) > 1e-4*test.edge || vol.Points != 2 || vol.Outside != 0 {
			t.Errorf("size %g: found edge %v with %d points inside, want %g and 2", test.size, vol.Edge, vol.Points, test.edge)
		}
	}
}
