// Package ir is the intermediate form between a model and a plan: a list of nodes over values, which passes rewrite
// and a plan runs.
//
// A layer lowers itself to nodes whose Op is one of package op: a readable reference implementation that also
// describes what is computed. A pass (package pass) finds a pattern of such nodes and puts a faster op in its
// place. A value is one array per sample, dense and row-major with channels last; its buffer holds the batch.
package ir

import (
	"slices"

	"github.com/voxelstream/voxelstream/nn/internal/pool"
)

// Float is an element type: float32 in plans, float64 where gradients are checked.
type Float interface{ float32 | float64 }

// Param is an array that a layer owns: a weight, which training changes, or a statistic.
type Param struct {
	// Name is the layer's name, a slash, and Keras's name of the weight: "conv3d/kernel".
	Name      string
	Shape     []int
	Value     []float32
	Trainable bool
	Weight
}

// Value is an array per sample that one node writes and others read.
type Value struct {
	// Shape is without the batch.
	Shape []int
	// Data holds the batch, Grad the derivative of the loss by it; planned by Program.Allocate. Grad is nil where
	// no gradient is wanted.
	Data, Grad []float32
	// NoGrad says that nothing before this value can be trained.
	NoGrad bool
	// GradSet says that its one reader's Backward sets Grad instead of adding to it.
	GradSet bool
	// Index holds palette indices in place of Data: only for the input of a program with a palette.
	Index []uint8
}

// Size is the number of elements per sample.
func (v *Value) Size() int { return Size(v.Shape) }

// Size is the product of a shape.
func Size(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// Palette is the table behind palette input: 256 colours of Channels floats each.
type Palette struct {
	Channels int
	Colours  []float32
	// Background is the index of empty space: the most frequent one, known to be so.
	Background uint8
}

// Env is what an op sees of one call: slices for the N current samples.
type Env[T Float] struct {
	N     int
	Train bool
	// Seed and Step determine every random number of a step, with the sample's number in the batch.
	Seed, Step uint64
	// X are the inputs, Y the output; DX and DY their gradients. Backward adds to DX and DP. A nil slice in DX or
	// DP is not wanted.
	X, DX [][]T
	Y, DY []T
	// P are the op's parameters, DP their gradients.
	P, DP [][]T
	// Index is X[0] as palette indices, where the op reads the program's palette input.
	Index []uint8
	// Pool runs parallel work; the result may not depend on its number of threads.
	Pool *pool.Pool
}

// Op computes. An op belongs to one program: it may keep memory of its own from forward to backward.
type Op interface {
	Forward(e *Env[float32])
	// Backward follows a Forward of the same Env. It adds to the gradients.
	Backward(e *Env[float32])
}

// Planner is an op that wants to know the program's bounds once, to make its memory.
type Planner interface {
	Plan(p *Program)
}

// Setter is an op whose Backward may set the gradient of its first input instead of adding to it, as is right where
// no other node reads that input. It is asked after Plan.
type Setter interface {
	SetsGrad() bool
}

// Node is one op with what it reads and writes.
type Node struct {
	// Layer is the name of the layer (or, after fusion, the layers) that it came from.
	Layer  string
	Op     Op
	In     []*Value
	Out    *Value
	Params []*Param

	// Env is filled by Program.Bind.
	Env Env[float32]
}

// Program is a model lowered for one batch size.
type Program struct {
	Batch    int
	Training bool
	Threads  int
	Pool     *pool.Pool
	Palette  *Palette
	// Reuse lets values share memory.
	Reuse bool
	// Precision is that of inference.
	Precision Precision
	Nodes     []*Node
	Inputs    []*Value
	Outputs   []*Value
}

// Readers returns the nodes that read v.
func (p *Program) Readers(v *Value) []*Node {
	var readers []*Node
	for _, n := range p.Nodes {
		if slices.Contains(n.In, v) {
			readers = append(readers, n)
		}
	}
	return readers
}

// Only returns the one node that reads v, and nil when v is an output or has other readers too.
func (p *Program) Only(v *Value) *Node {
	if slices.Contains(p.Outputs, v) {
		return nil
	}
	if readers := p.Readers(v); len(readers) == 1 {
		return readers[0]
	}
	return nil
}

// Replace puts one node in the place of a chain of nodes, each of which reads the one before it.
func (p *Program) Replace(chain []*Node, with *Node) {
	var nodes []*Node
	for _, n := range p.Nodes {
		switch {
		case n == chain[len(chain)-1]:
			nodes = append(nodes, with)
		case slices.Contains(chain, n):
		default:
			nodes = append(nodes, n)
		}
	}
	p.Nodes = nodes
}
