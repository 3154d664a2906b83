package voxelize

import (
	"math"
	"testing"
)

func TestGridIndexIsHalfOpen(t *testing.T) {
	// 2 cells along z, 3 along y and 4 along x, half a metre each, around the origin.
	g := Grid{Origin: [3]float64{-1, -0.5, 0}, Edge: 0.5, Dims: [3]int{2, 3, 4}}
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
