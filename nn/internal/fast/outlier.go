package fast

import (
	"math"
	"slices"

	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
)

// Minimal filtering sums inputs of a whole tile before it multiplies, so that an error relative to the largest of
// them spreads to outputs that the direct sum would compute from other inputs alone; a NaN or an infinity spreads as
// such. Samples with an input that is outlier times as large as is usual among them are therefore convolved
// directly. With Gaussian inputs the largest of a million is 5 times the usual; the error of a tile whose largest
// input is 64 times the usual is 1e-5 of the output's root mean square.
const outlier = 64

// outliers finds samples of x [n,rows,C] that hold one.
type outliers struct {
	row, rows, per int // channels; rows of a sample; rows of a piece
	zeros          []float32
	scratch        [][]float32
	energy         []float64 // by sample and piece: the mean square
	some           []float64 // of one sample, sorted
	samples        []int     // found

	x    []float32
	scan func(worker, task int)
}

const (
	// energyLen is how many elements one piece has, and energyPieces how many pieces one task.
	energyLen, energyPieces = 1024, 64
	// usualPieces is how many pieces the usual size of the inputs is computed from, of which the largest eighth does
	// not count.
	usualPieces = 256
)

func newOutliers(p *ir.Program, row, rows, batch int) *outliers {
	o := &outliers{row: row, rows: rows, per: min(max(energyLen/row, 1), rows), zeros: make([]float32, row)}
	o.scratch = workers(p, row)
	o.energy = make([]float64, batch*o.pieces())
	o.some, o.samples = make([]float64, 0, usualPieces), make([]int, 0, batch)
	o.scan = func(worker, task int) {
		lo, hi := block(len(o.x)/(o.row*o.rows)*o.pieces(), energyPieces, task)
		for i := lo; i < hi; i++ {
			piece := o.piece(i)
			o.energy[i] = kernel.Energy(piece, o.zeros, o.scratch[worker]) / float64(len(piece))
		}
	}
	return o
}

// pieces is the number of pieces of a sample.
func (o *outliers) pieces() int { return blocks(o.rows, o.per) }

// piece returns piece i of all samples.
func (o *outliers) piece(i int) []float32 {
	lo, hi := block(o.rows, o.per, i%o.pieces())
	sample := o.x[i/o.pieces()*o.rows*o.row:]
	return sample[lo*o.row : hi*o.row]
}

// find returns the samples of x with an outlier. The list is valid until the next call.
func (o *outliers) find(e *ir.Env[float32]) []int {
	o.x, o.samples = e.X[0], o.samples[:0]
	e.Pool.Run(blocks(e.N*o.pieces(), energyPieces), o.scan)
	for n := range e.N {
		if o.has(n) {
			o.samples = append(o.samples, n)
		}
	}
	return o.samples
}

// has reports whether a sample has an outlier.
func (o *outliers) has(n int) bool {
	first, pieces := n*o.pieces(), o.pieces()
	most := outlier * outlier * o.usual(o.energy[first:first+pieces])
	for i := first; i < first+pieces; i++ {
		// A piece with an element as large has a mean square of at least its share of it.
		if piece := o.piece(i); !(o.energy[i]*float64(len(piece)) < most) && largest(piece) > most {
			return true
		}
	}
	return false
}

// usual is the mean of the lower seven eighths of energies, or where those are zero, of all; zeros and NaN do not
// count.
func (o *outliers) usual(energy []float64) float64 {
	some := o.some[:0]
	step := blocks(len(energy), usualPieces)
	for i := 0; i < len(energy); i += step {
		if v := energy[i]; v == v {
			some = append(some, v)
		}
	}
	slices.Sort(some)
	if lower := some[:len(some)*7/8]; len(lower) > 0 && lower[len(lower)-1] > 0 {
		some = lower
	}
	sum, n := 0., 0
	for _, v := range some {
		if sum += v; v > 0 {
			n++
		}
	}
	return sum / float64(max(n, 1))
}

// largest is the largest square of x, infinite where an element is not finite.
func largest(x []float32) float64 {
	most := 0.
	for _, v := range x {
		square := float64(v) * float64(v)
		if v-v != 0 {
			return math.Inf(1)
		}
		most = max(most, square)
	}
	return most
}
