package classify

import (
	"testing"
)

// BenchmarkFeatures measures what the energy of a volume costs, for a compact object in a tenth of the cells, for the
// same number of cells scattered, and for a full volume.
func BenchmarkFeatures(b *testing.B) {
	in := &Input{Dims: [3]int{16, 16, 16}, Channels: 3}
	object, scattered, full := make([]uint8, 16*16*16), make([]uint8, 16*16*16), make([]uint8, 16*16*16)
	for i := range full {
		v := uint8(1 + i%255)
		full[i] = v
		if i%10 == 0 {
			scattered[i] = v
		}
		if z, y, x := i/256, i/16%16, i%16; z > 1 && z < 14 && y > 5 && y < 10 && x > 3 && x < 12 {
			object[i] = v
		}
	}
	var dst []float64
	for _, volume := range []struct {
		name  string
		index []uint8
	}{{"object", object}, {"scattered", scattered}, {"full", full}} {
		r := Row{Index: volume.index, Logits: make([]float32, 10)}
		b.Run(volume.name, func(b *testing.B) {
			for b.Loop() {
				dst = in.AppendFeatures(dst[:0], r)
			}
		})
	}
}
