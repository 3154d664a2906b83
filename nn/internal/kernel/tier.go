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

// TierVariable is the environment variable that forces a tier, for tests and comparisons. A tier that this
// processor lacks is ignored.
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
	// The other optimizers; see the functions of their names.
	momentum func(p, velocity, g []float32, rate, momentum float32, nesterov bool)
	rmsprop  func(p, square, mean, velocity, g []float32, numbers RMSpropNumbers)
	amsgrad  func(p, m, v, most, g []float32, rate, f1, f2, epsilon float32)
	blend    func(dst, src []float32, a, b float32)
	// spans adds s times n elements of src to dst at each pair of places.
	spans func(s float32, src, dst []float32, at []span, n int)
	// collect adds the sum over i of s[i] times n elements of src at starts[i]+from to dst at to, for each pair of
	// places.
	collect func(dst, src []float32, starts []int32, s []float32, at []span, n int)
	// pool sets dst to the maximum over places of src, and arg, unless it is nil, to which held it first; see Conv.
	pool func(dst []float32, arg []uint8, src []float32, places []int, relu bool)
	// average sets dst to scale times the sum over places of src.
	average func(dst, src []float32, places []int, scale float32)
	// unpool sets the place of dst that arg names to grad and the other places to zero, and adds what was set to sum.
	unpool func(dst, sum, grad []float32, arg []uint8, places []int)
	// survive appends the survivors among some windows of len(sum) channels to s, those of the windows in reach,
	// and adds the gradients of all to sum. Windows are stride channels apart in grad and arg; starts
	// [windows,size] are places of patches. There are at most maxReach of them.
	survive func(s *Survivors, sum, grad []float32, arg []uint8, starts []int32, stride, size int, reach uint64)
	// collectCube is collect for patches of [3,3,patchRow] in rows and planes of src. What lies beyond a row of
	// taps is added too.
	collectCube func(dst, src []float32, starts []int32, s []float32, row, plane int)
	// list writes, for each voxel x of row that is not background, start+x*step to at and its colour to colour, and
	// returns their number. It may write listSlack elements more.
	list func(at, colour []int32, row []uint8, start, step int, background uint8) int
	// voxels adds, for each voxel i and each of rows rows r, n elements of table at colour[i]*colours+r*n to sums
	// at at[i]+corner-r*stride.
	voxels func(sums, table []float32, at, colour []int32, corner, rows, stride, colours, n int)
	// respond adds to plane at at[i]+corner-r*stride+(2-k)*n, for each voxel i, row r and k, the product of diff
	// [colour[i],3] and w [rows,3,3,n]. It is nil in the portable tier.
	respond func(plane, w, diff []float32, at, colour []int32, corner, rows, stride, n int)
	// outer adds to dw [rows,3,3,n], for each voxel i, row r and k, the products of diff [colour[i],3] and plane at
	// at[i]+corner-r*stride+(2-k)*n.
	outer func(dw, plane, diff []float32, at, colour []int32, corner, rows, stride, n int)

	// gather copies, for each start, n elements of src at start+from to dst at to, for each span; rows of dst are
	// patch long.
	gather func(dst, src []float32, starts []int32, at []span, n, patch int)

	// stream copies rows of n numbers to where they lie apart, past the caches, and fence what makes its writes
	// visible to other threads. Both are nil in the portable tier.
	stream func(dst, src []float32, n, apart int)
	fence  func()

	// depthwise sets some rows of n channels of dst, out apart, to those of from, begin apart, plus the products of
	// src, rows step apart, and w at each tap.
	depthwise func(dst []float32, out int, from []float32, begin int, src []float32, step int, w []float32,
		taps []span, rows, n int)
	// depthwiseWeights adds to dw at each tap the products of some rows of n channels of grad, apart from each
	// other, and src, rows step apart.
	depthwiseWeights func(dw, grad []float32, apart int, src []float32, step int, taps []span, rows, n int)

	winograd2, winograd4, winograd4of2, winograd2of5 transforms

	dropout func(dst, src []float32, bits []uint16, key, threshold uint64, scale float32)
	keep    func(dst, src []float32, bits []uint16, scale float32)
	rectify func(x []float32)
	// rectifyGrad is RectifyGrad in rows of n, a multiple of 32.
	rectifyGrad func(dst, grad, out []float32, n int)

	activations map[string]activation // nil in the portable tier
	prelu       func(y, x, slope []float32)
	preluGrad   func(dx, dslope, dy, x, slope []float32)

	// Over rows of c elements.
	softmax, logSoftmax         func(y, x []float32, c int)
	softmaxGrad, logSoftmaxGrad func(dx, dy, y []float32, c int)
	// layerNorm and its gradient take vectors [c]; numbers are 1/c and epsilon.
	layerNorm     func(y, x, gamma, beta []float32, numbers *[2]float32)
	layerNormGrad func(dx, dgamma, dbeta, x, dy, gamma []float32, numbers *[2]float32)

	// Over the rows of x, dy and dst [rows,C], with vectors [C].
	sums       func(sums, x []float32)                    // sums = sum of x
	maxima     func(most, x []float32)                    // most = maximum of x, NaN where there is one
	squares    func(sums, x, mean []float32)              // sums = sum of (x-mean)^2
	scaleShift func(dst, x, scale, shift []float32)       // dst = x*scale + shift
	gradSums   func(dbeta, dgamma, x, dy, mean []float32) // dbeta = sum of dy, dgamma = sum of dy*(x-mean)
	combine    func(dst, x, dy, a, b, d []float32)        // dst = a*dy + b*x + d

	lowPrecision
}

// lowPrecision is what works on words, see Precision.
type lowPrecision struct {
	int8, bf16 tileKernel
	// quantize sets four bytes of each word of dst to four elements of src, shorten both halves to two.
	quantize func(dst, src []float32, a Affine)
	shorten  func(dst, src []float32)
	// dequantize sets dst [rows,n], n a multiple of lowCols, to x*scale+shift; x holds integers and may be dst.
	dequantize func(dst, x, scale, shift []float32)
}

// span is a pair of places in two arrays.
type span struct{ from, to int }

var portable = inner{
	tile: tileKernel{rows: 64, cols: 64, rowCols: 64, add: portableTile},
	axpy: portableAxpy,
	add:  portableAdd,
	adam: portableAdam,

	momentum: portableMomentum,
	rmsprop:  portableRMSprop,
	amsgrad:  portableAMSGrad,
	blend:    portableBlend,

	spans:   portableSpans,
	collect: portableCollect,

	pool:    portablePool,
	average: portableAverage,
	unpool:  portableUnpool,

	survive:     portableSurvive,
	collectCube: portableCollectCube,

	list:   portableList,
	voxels: portableVoxels,
	outer:  portableOuter,

	gather: portableGather,

	depthwise:        portableDepthwise,
	depthwiseWeights: portableDepthwiseWeights,

	winograd2: transforms{weights: portableFilterWeights2, input: portableWinogradInput2, output: portableWinogradOutput2},
	winograd4: transforms{
		portableFilterWeights4, portableWinogradInput4, portableWinogradOutput4,
		portableWinogradSpread4, portableFoldWeights4,
	},
	winograd4of2: transforms{
		portableFilterWeights4of2, portableWinogradInput4of2, portableWinogradOutput4of2,
		portableWinogradSpread4of2, portableFoldWeights4of2,
	},
	winograd2of5: transforms{
		portableFilterWeights2of5, portableWinogradInput4, portableWinogradOutput2of5, portableWinogradSpread2of5,
		portableFoldWeights2of5,
	},

	dropout: portableDropout,
	keep:    portableKeep,
	rectify: rectify,

	rectifyGrad: portableRectifyGrad,

	prelu:     portablePReLU,
	preluGrad: portablePReLUGrad,

	softmax:        portableSoftmax,
	logSoftmax:     portableLogSoftmax,
	softmaxGrad:    portableSoftmaxGrad,
	logSoftmaxGrad: portableLogSoftmaxGrad,
	layerNorm:      portableLayerNorm,
	layerNormGrad:  portableLayerNormGrad,

	sums:       portableSums,
	maxima:     portableMaxima,
	squares:    portableSquares,
	scaleShift: portableScaleShift,
	gradSums:   portableGradSums,
	combine:    portableCombine,

	lowPrecision: lowPrecision{
		int8:       tileKernel{rows: 64, cols: 64, rowCols: 64, add: portableInt8Tile},
		bf16:       tileKernel{rows: 64, cols: 64, rowCols: 64, add: portableBFloat16Tile},
		quantize:   portableQuantize,
		shorten:    portableShorten,
		dequantize: portableDequantize,
	},
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
