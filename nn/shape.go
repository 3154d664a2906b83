package nn

import (
	"fmt"
	"strings"

	"github.com/voxelstream/voxelstream/nn/internal/ir"
)

// Shape is an array's shape without the batch: depth, height, width and channels for a volume. The last index
// varies fastest.
type Shape []int

// Size is the number of elements.
func (s Shape) Size() int { return ir.Size(s) }

// String formats the shape as Keras does, with None for the batch: "(None, 16, 16, 16, 3)".
func (s Shape) String() string {
	var b strings.Builder
	b.WriteString("(None")
	for _, d := range s {
		fmt.Fprintf(&b, ", %d", d)
	}
	b.WriteString(")")
	return b.String()
}

// Param is an array owned by a layer: a weight or a statistic, in Keras's order and layout.
type Param = ir.Param

// Weight holds a parameter's initializer (Model.Init), regularizer (Plan.Penalty) and constraint (Model.Constrain).
type Weight = ir.Weight

// Initializer determines the initial values of a parameter.
type Initializer = ir.Initializer

// Regularizer is a penalty on a parameter that is added to the loss.
type Regularizer = ir.Regularizer

// Constraint is a condition that is enforced on a parameter after each training step.
type Constraint = ir.Constraint

// Palette makes a plan take one byte per voxel instead of floats: Colours holds 256 rows of Channels floats each,
// and Background is the index of empty space.
type Palette = ir.Palette

// Precision is the number format in which the large layers of a model multiply in inference; see train.Calibrate.
type Precision = ir.Precision

// The kinds of Precision.
const (
	Int8     = ir.Int8
	BFloat16 = ir.BFloat16
)

// Precisions names the kinds of Precision.
func Precisions() []string { return []string{Int8, BFloat16} }
