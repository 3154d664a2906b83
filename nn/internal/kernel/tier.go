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
}

var portable = inner{
	tile: tileKernel{rows: 64, cols: 64, rowCols: 64, add: portableTile},
	axpy: portableAxpy,
	add:  portableAdd,
	adam: portableAdam,
}

var (
	inUse   Tier
	tile    tileKernel
	axpy    func(s float32, src, dst []float32)
	addInto func(src, dst []float32)
	adam    func(p, g, m, v []float32, rate, f1, f2, epsilon float32)
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
	inUse, tile, axpy, addInto, adam = t, set.tile, set.axpy, set.add, set.adam
	return nil
}
