package kernel_test

import (
	"math/rand/v2"
	"testing"

	"github.com/voxelstream/voxelstream/nn/internal/kernel"
)

func TestChannels(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		const cells, first = 7, 2
		r := rand.New(rand.NewPCG(1, 2))
		for _, c := range []kernel.Channels{{All: 5, Some: 3}, {All: 40, Some: 17}, {All: 19, Some: 16}} {
			ar := arena{t: t}
			source, other := random(r, cells*c.All), random(r, cells*c.Some)
			taken, put, added := ar.alloc(cells*c.Some), ar.from(source), ar.from(source)
			c.Take(taken, source, first, 3, cells)
			c.Take(taken, source, first, 0, 3)
			c.Put(put, other, first, 1, cells)
			c.Add(added, other, first, 1, cells)
			wantTaken, wantPut, wantAdded := make([]float32, len(taken)), append([]float32{}, source...), append([]float32{}, source...)
			for i := range cells {
				for j := range c.Some {
					all, some := i*c.All+first+j, i*c.Some+j
					wantTaken[some] = source[all]
					if i >= 1 {
						wantPut[all] = other[some]
						wantAdded[all] += other[some]
					}
				}
			}
			near(t, "taken", taken, wantTaken, 0)
			near(t, "put", put, wantPut, 0)
			near(t, "added", added, wantAdded, 0)
			ar.check()
		}
	})
}
