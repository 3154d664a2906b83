// Package fast holds the operations that passes substitute for the reference ones: they divide the work of a batch
// into tasks for the pool and call package kernel for each.
//
// How work is divided depends on the batch alone, never on the number of threads, and partial sums of tasks are added
// in a fixed order. All memory and all closures are made when the program is planned, so that a step allocates
// nothing.
package fast

import (
	"github.com/voxelstream/voxelstream/nn/internal/ir"
)

// LastCache is how many bytes most last-level caches hold at most: arrays as large are not there any more when they
// are read. A quarter of them is kept for what several tasks in a row read. Tests lower it.
var LastCache = 32 << 20

// maxParts bounds the partial sums of a gradient over the samples of a batch.
const maxParts = 16

// parts is the number of partial sums for n samples.
func parts(n int) int { return min(n, maxParts) }

// workers allocates scratch memory of n elements for each thread.
func workers(p *ir.Program, n int) [][]float32 {
	out := make([][]float32, p.Pool.Threads())
	for i := range out {
		out[i] = make([]float32, n)
	}
	return out
}

// find returns the node that runs op.
func find(p *ir.Program, op ir.Op) *ir.Node {
	for _, n := range p.Nodes {
		if n.Op == op {
			return n
		}
	}
	panic("fast: operation is not in its program")
}

// alone reports whether no node but op's reads its first input, so that the gradient there is op's to set.
func alone(p *ir.Program, op ir.Op) bool {
	n := find(p, op)
	return p.Only(n.In[0]) == n
}

// rowsPerTask is how many rows of a matrix one task takes: enough to fill a tile of every tier several times.
const rowsPerTask = 56

// blocks returns how many blocks of at most size cover n.
func blocks(n, size int) int { return (n + size - 1) / size }

// block returns the half-open range of the i-th block of [0,n).
func block(n, size, i int) (lo, hi int) { return i * size, min(n, (i+1)*size) }
