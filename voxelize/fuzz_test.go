package voxelize

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
)

// FuzzField passes points with arbitrary bits to every method. Methods must not panic and must count each finite
// point once.
func FuzzField(f *testing.F) {
	seed := func(v ...float64) {
		var b []byte
		for _, x := range v {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
		}
		f.Add(b)
	}
	seed(0, 0, 0, 1, 1, 1)
	seed(math.NaN(), 0, 0, math.Inf(1), 0, 0)
	seed(1e308, -1e308, 5e-324, 1, 2, 3)
	seed(5.3e6, 5.3e6, 5.3e6, math.Nextafter(5.3e6, 6e6), 5.3e6, 5.3e6)
	f.Fuzz(func(t *testing.T, b []byte) {
		p := &ingest.PointCloud{}
		var want uint32
		for ; len(b) >= 24; b = b[24:] {
			at := func(i int) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:])) }
			p.X, p.Y, p.Z = append(p.X, at(0)), append(p.Y, at(1)), append(p.Z, at(2))
			if !math.IsInf(at(0), 0) && !math.IsInf(at(1), 0) && !math.IsInf(at(2), 0) &&
				!math.IsNaN(at(0)+at(1)+at(2)) {
				want++
			}
		}
		fixed := options(Regular, 4)
		fixed.Origin, fixed.Edge = &[3]float64{-1, 0, 1}, 0.25
		for _, o := range []Options{
			options(MNIST3D, 4), options(MNIST3D, 8), options(Pyntcloud, 3), options(Regular, 4), fixed,
		} {
			field, err := mustNew(t, o).Field(sampleOf(p))
			if err != nil {
				continue
			}
			if field.Points+field.Outside != want {
				t.Errorf("%s: %d inside and %d outside, want %d", o.Method, field.Points, field.Outside, want)
			}
			for i, v := range field.Values {
				if !(v >= 0 && v <= 1) {
					t.Errorf("%s: value %d is %v", o.Method, i, v)
				}
			}
		}
	})
}
