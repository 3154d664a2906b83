package kernel

import (
	"fmt"
	"os"
)

// Tier names an instruction set that the inner loops are written for.
type Tier string

// The tiers, from the slowest. Portable exists everywhere.
const (
	Portable Tier = "portable"
	AVX2     Tier = "avx2"
	AVX512   Tier = "avx512"
)

// TierVariable is the environment variable that forces a tier, for tests and comparisons. A tier that this processor lacks is ignored.
const TierVariable = "VOXELSTREAM_TIER"

// inner is one tier's set of inner loops. Lengths are checked by the caller.
type inner struct {
	tile tileKernel
	// axpy adds s*src to dst; both have the same length.
	axpy func(s float32, src, dst []float32)
	// add adds src to dst; both have the same length.
	add func(src, dst []float32)
	// adam is Adam with f1 = 1-beta1 and f2 = 1-beta2.
	adam func(p, g, m, v []float32, rate, f1, f2, epsilon float32)
	// spans adds s times n elements of src to dst at each pair of places.
	spans func(s float32, src, dst []float32, at []span, n int)
	// pool sets dst to the maximum over places of src, and arg, unless it is nil, to which held it first; see Conv.
	pool func(dst []float32, arg []uint8, src []float32, places []int, relu bool)
	// unpool sets the place of dst that arg names to grad and the other places to zero, and adds what was set to sum.
	unpool func(dst, sum, grad []float32, arg []uint8, places []int)
	// voxels adds, for each voxel i in [first[r], first[r+1]) of each row r but the last of first, n elements of table at
	// colour[i]*colours+r*taps to sums at x[i]*xs.
	voxels func(sums, table []float32, first, x, colour []int32, xs, colours, taps, n int)
	// outer adds to dw [3,3,n] the products of diff [colours,3] of each voxel of the rows of input and dense that the pairs name, and dense at outputs
	// x+2-k for k in [0,3). It is nil where a tier has none.
	outer func(dw, dense, diff []float32, first, x, colour []int32, pairs []span, n int)
}

// span is a pair of places in two arrays.
type span struct{ from, to int }

var portable = inner{
	tile: tileKernel{rows: 64, cols: 64, rowCols: 64, add: portableTile},
	axpy: portableAxpy,
	add:  portableAdd,
	adam: portableAdam,

	spans:  portableSpans,
	pool:   portablePool,
	unpool: portableUnpool,
	voxels: portableVoxels,
}

var (
	inUse Tier
	loops inner
)

func init() {
	tiers := Tiers()
	best := tiers[len(tiers)-1]
	if want := Tier(os.Getenv(TierVariable)); want == "" || Use(want) != nil {
		if err := Use(best); err != nil {
			panic(err)
		}
	}
}

// InUse returns the tier that kernels run on.
func InUse() Tier { return inUse }

// Tiers lists those that this processor and build have, the fastest last.
func Tiers() []Tier { return append([]Tier{Portable}, fastTiers()...) }

// Use selects a tier. It is for tests: no kernel may be running.
func Use(t Tier) error {
	set := portable
	if t != Portable {
		var ok bool
		if set, ok = fastInner(t); !ok {
			return fmt.Errorf("tier %q is not available, found %v", t, Tiers())
		}
	}
	inUse, loops = t, set
	return nil
}
