package nn

import (
	"fmt"
	"strings"

	"github.com/voxelstream/voxelstream/nn/internal/ir"
)

// Shape is an array's shape without the batch: depth, height, width, channels for a volume; the last index is fastest.
type Shape []int

// Size is the number of elements.
func (s Shape) Size() int { return ir.Size(s) }

// String writes the shape as Keras does, the batch as None: "(None, 16, 16, 16, 3)".
func (s Shape) String() string {
	var b strings.Builder
	b.WriteString("(None")
	for _, d := range s {
		fmt.Fprintf(&b, ", %d", d)
	}
	b.WriteString(")")
	return b.String()
}

// Param is an array that a layer owns: a weight or a statistic, in Keras's order and layout.
type Param = ir.Param

// Weight says how a parameter starts (Model.Init), and what training adds to the loss for it (Plan.Penalty) and
// holds it to (Model.Constrain).
type Weight = ir.Weight

// Initializer says what numbers a parameter starts with.
type Initializer = ir.Initializer

// Regularizer is a penalty on a parameter that the loss includes.
type Regularizer = ir.Regularizer

// Constraint is what a parameter is brought back to after each step of training.
type Constraint = ir.Constraint

// Palette makes a plan take one byte per voxel in place of floats: Colours holds 256 rows of Channels floats each,
// and Background is the index of empty space.
type Palette = ir.Palette

// Precision is the kind of numbers that the large layers of a model multiply in inference; see train.Calibrate.
type Precision = ir.Precision

// The kinds of Precision.
const (
	Int8     = ir.Int8
	BFloat16 = ir.BFloat16
)

// Precisions names the kinds of Precision.
func Precisions() []string { return []string{Int8, BFloat16} }
