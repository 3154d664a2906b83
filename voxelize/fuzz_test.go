package voxelize

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
)

// FuzzField passes points with arbitrary bits to every method and checks what properties does.
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
	seed(1e9, -1e9, 1e9, -1e9, 1e9, 0.1, 0.1, 0.2, 0.3)
	list := append(everything(f), options(MNIST3D, 8))
	f.Fuzz(func(t *testing.T, b []byte) {
		p := &ingest.PointCloud{}
		for ; len(b) >= 24; b = b[24:] {
			at := func(i int) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:])) }
			p.X, p.Y, p.Z = append(p.X, at(0)), append(p.Y, at(1)), append(p.Z, at(2))
			p.Intensity = append(p.Intensity, float32(at(2)))
		}
		properties(t, p, list)
	})
}
