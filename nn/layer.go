package nn

import (
	"fmt"
	"strings"

	"github.com/voxelstream/voxelstream/nn/internal/ir"
)

// Layer is one layer of a model. It is built once, for the shapes of its inputs; where it is applied again, to
// inputs of the same shapes, its parameters are shared.
type Layer interface {
	// Class is Keras's class name: "Conv3D".
	Class() string
	// Base holds the name and, after Build, the parameters.
	Base() *LayerBase
	// Config returns Keras's attributes of the layer, without its name: the arguments of the class.
	Config() map[string]any
	// Build checks the shapes of the inputs and makes the parameters; it returns the shape of the output. Errors
	// say what was found and wanted.
	Build(in []Shape) (Shape, error)
	// Lower emits the operations for one program.
	Lower(l *Lowering)
}

// LayerBase is what every layer has; layers embed it.
type LayerBase struct {
	// Name is unique within a model. Empty: the model names the layer as Keras does, from its class.
	Name string
	// Frozen layers keep their parameters in training, and normalise by their moving statistics: Keras's
	// trainable=False.
	Frozen bool
	// ActivityRegularizer is a penalty on the layer's outputs, divided by the number of samples.
	ActivityRegularizer Regularizer

	In     []Shape
	Out    Shape
	Params []*Param
}

// Base returns b itself.
func (b *LayerBase) Base() *LayerBase { return b }

// AddParam makes a parameter, zero until Model.Init fills it as w says.
func (b *LayerBase) AddParam(name string, w Weight, trainable bool, shape ...int) *Param {
	p := &Param{Name: name, Shape: shape, Value: make([]float32, ir.Size(shape)), Trainable: trainable && !b.Frozen, Weight: w}
	b.Params = append(b.Params, p)
	return p
}

// Lowering takes the operations of one layer.
type Lowering struct {
	Layer  *LayerBase
	Inputs []*ir.Value
	// Number is the layer's position in the model: what tells the random numbers of two layers apart.
	Number  int
	Output  *ir.Value
	program *ir.Program
}

// Emit appends an operation on the layer's inputs, or, after the first, on the output of the one before it.
func (l *Lowering) Emit(op ir.Op, out Shape, params ...*Param) {
	in := l.Inputs
	if l.Output != nil {
		in = []*ir.Value{l.Output}
	}
	l.Output = &ir.Value{Shape: out}
	l.program.Nodes = append(l.program.Nodes, &ir.Node{Layer: l.Layer.Name, Op: op, In: in, Out: l.Output, Params: params})
}

// Prepare appends an operation on input i alone, whose output takes that input's place. It comes before Emit.
func (l *Lowering) Prepare(i int, op ir.Op, out Shape, params ...*Param) {
	v := &ir.Value{Shape: out}
	l.program.Nodes = append(l.program.Nodes, &ir.Node{Layer: l.Layer.Name, Op: op, In: []*ir.Value{l.Inputs[i]}, Out: v, Params: params})
	l.Inputs[i] = v
}

// ShapeError says that a layer cannot take an input.
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
