package nn

import (
	"fmt"
	"strings"

	"github.com/voxelstream/voxelstream/nn/internal/ir"
)

// Layer is one layer of a model. It is built once, for the shapes of its inputs. If it is applied again, to inputs
// of the same shapes, its parameters are shared.
type Layer interface {
	// Class returns the Keras class name, such as "Conv3D".
	Class() string
	// Base returns the base, which holds the name and, after Build, the parameters.
	Base() *LayerBase
	// Config returns the layer's Keras attributes without its name: the arguments of the class.
	Config() map[string]any
	// Build checks the input shapes, creates the parameters and returns the output shape. Errors state what was
	// found and what is required.
	Build(in []Shape) (Shape, error)
	// Lower emits the operations for one program.
	Lower(l *Lowering)
}

// LayerBase is the part that all layers have in common; layers embed it.
type LayerBase struct {
	// Name is unique within a model. If it is empty, the model derives it from the class as Keras does.
	Name string
	// Frozen layers do not change in training and normalize by their moving statistics: trainable=False in Keras.
	Frozen bool
	// ActivityRegularizer is a penalty on the layer's outputs, divided by the number of samples.
	ActivityRegularizer Regularizer

	In     []Shape
	Out    Shape
	Params []*Param
}

// Base returns b itself.
func (b *LayerBase) Base() *LayerBase { return b }

// AddParam adds a parameter. It is zero until Model.Init fills it as w specifies.
func (b *LayerBase) AddParam(name string, w Weight, trainable bool, shape ...int) *Param {
	p := &Param{Name: name, Shape: shape, Value: make([]float32, ir.Size(shape)), Trainable: trainable &&
		!b.Frozen, Weight: w}
	b.Params = append(b.Params, p)
	return p
}

// Lowering collects the operations of one layer.
type Lowering struct {
	Layer  *LayerBase
	Inputs []*ir.Value
	// Number is the layer's position in the model; it gives each layer its own random sequence.
	Number  int
	Output  *ir.Value
	program *ir.Program
}

// Emit appends an operation. The first one reads the layer's inputs, each later one the output of the one before
// it.
func (l *Lowering) Emit(op ir.Op, out Shape, params ...*Param) {
	in := l.Inputs
	if l.Output != nil {
		in = []*ir.Value{l.Output}
	}
	l.Output = &ir.Value{Shape: out}
	l.program.Nodes = append(l.program.Nodes, &ir.Node{Layer: l.Layer.Name, Op: op, In: in, Out: l.Output, Params: params})
}

// Prepare appends an operation on input i whose output replaces that input. Call it before Emit.
func (l *Lowering) Prepare(i int, op ir.Op, out Shape, params ...*Param) {
	v := &ir.Value{Shape: out}
	l.program.Nodes = append(l.program.Nodes, &ir.Node{
		Layer: l.Layer.Name, Op: op, In: []*ir.Value{l.Inputs[i]},
		Out: v, Params: params,
	})
	l.Inputs[i] = v
}

// ShapeError reports inputs of a shape that a layer does not support.
type ShapeError struct {
	Layer, Class, Want string
	Got                []Shape
}

func (e *ShapeError) Error() string {
	got := make([]string, len(e.Got))
	for i, s := range e.Got {
		got[i] = s.String()
	}
	return fmt.Sprintf("layer %q (%s): got input %s, want %s", e.Layer, e.Class, strings.Join(got, ", "), e.Want)
}
