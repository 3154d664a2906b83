package layers

import (
	"fmt"
	"math"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// Config reads the Keras attributes of one layer. It keeps the first error; later reads return defaults.
type Config struct {
	class, name string
	attributes  map[string]any
	used        map[string]bool
	err         *error
	// under is the path of the attributes within the layer's, such as "kernel_initializer.".
	under string
}

// base reads the attributes that every layer has.
func (c Config) base() nn.LayerBase {
	return nn.LayerBase{Name: c.name, Frozen: !Get(c, "trainable", true), ActivityRegularizer: c.regularizer("activity_regularizer")}
}

// fail keeps the first error.
func (c Config) fail(key, want string) {
	if *c.err == nil {
		*c.err = fmt.Errorf("layer %q (%s): attribute %s%s is %v, want %s", c.name, c.class, c.under, key, c.attributes[key], want)
	}
}

// Get returns the attribute as a T, or the value otherwise if it is absent or null.
func Get[T any](c Config, key string, otherwise T) T {
	c.used[key] = true
	v, ok := c.attributes[key]
	if !ok || v == nil {
		return otherwise
	}
	t, ok := v.(T)
	if !ok {
		c.fail(key, fmt.Sprintf("a %T", otherwise))
		return otherwise
	}
	return t
}

// integer reads an integer of at least 1, the default.
func (c Config) integer(key string) int {
	v := Get(c, key, 1.)
	if v != math.Trunc(v) || v < 1 || v > math.MaxInt32 {
		c.fail(key, "an integer of at least 1")
		return 1
	}
	return int(v)
}

// triple reads one integer per spatial axis; a single number applies to all three.
func (c Config) triple(key string, otherwise [3]int) [3]int {
	switch v := c.attributes[key].(type) {
	case float64:
		n := c.integer(key)
		return [3]int{n, n, n}
	case []any:
		c.used[key] = true
		var t [3]int
		if len(v) == 3 {
			for i := range t {
				f, ok := v[i].(float64)
				if !ok || f != math.Trunc(f) || f < 1 || f > math.MaxInt32 {
					c.fail(key, "three integers of at least 1")
					return otherwise
				}
				t[i] = int(f)
			}
			return t
		}
	}
	c.used[key] = true
	if c.attributes[key] != nil {
		c.fail(key, "three integers of at least 1")
	}
	return otherwise
}

// integers reads a list of integers; a single number is a list of one.
func (c Config) integers(key string) []int {
	c.used[key] = true
	v := c.attributes[key]
	list, ok := v.([]any)
	if !ok && v != nil {
		list = []any{v}
	}
	var out []int
	for _, v := range list {
		f, ok := v.(float64)
		if !ok || f != math.Trunc(f) || math.Abs(f) > math.MaxInt32 {
			c.fail(key, "integers")
			return nil
		}
		out = append(out, int(f))
	}
	return out
}

// numbers reads a number or a list of numbers; the result has at least one.
func (c Config) numbers(key string, otherwise float64) []float64 {
	list, ok := c.attributes[key].([]any)
	if !ok {
		return []float64{Get(c, key, otherwise)}
	}
	c.used[key] = true
	var out []float64
	for _, v := range list {
		f, ok := v.(float64)
		if !ok {
			break
		}
		out = append(out, f)
	}
	if len(out) == 0 || len(out) < len(list) {
		c.fail(key, "a number or a list of numbers")
		return []float64{otherwise}
	}
	return out
}

// use marks attributes that have no effect here.
func (c Config) use(keys ...string) {
	for _, key := range keys {
		c.used[key] = true
	}
}

// object reads a name that Keras writes either as a string or as a serialized object, and the object's own
// attributes.
func (c Config) object(key, otherwise string) (string, map[string]any) {
	c.used[key] = true
	switch v := c.attributes[key].(type) {
	case nil:
		return otherwise, nil
	case string:
		return v, nil
	case map[string]any:
		name, _ := v["class_name"].(string)
		attributes, _ := v["config"].(map[string]any)
		if attributes == nil { // a registered function: {"class_name": "function", "config": "relu"}
			if function, ok := v["config"].(string); ok {
				name = function
			}
		}
		return name, attributes
	}
	c.fail(key, "a name")
	return otherwise, nil
}

func (c Config) activation() string {
	const key = "activation"
	name, _ := c.object(key, "linear")
	if long, ok := map[string]string{"swish": "silu", "hard_swish": "hard_silu"}[name]; ok {
		name = long
	}
	if !knownActivation(name) {
		c.fail(key, "a supported activation")
	}
	return name
}

// none accepts an attribute only if it is absent or null.
func (c Config) none(keys ...string) {
	for _, key := range keys {
		c.used[key] = true
		if c.attributes[key] != nil {
			c.fail(key, "null: the attribute is not supported")
		}
	}
}

// channelsLast rejects Keras's other data format.
func (c Config) channelsLast() {
	if format := Get(c, "data_format", "channels_last"); format != "channels_last" {
		c.fail("data_format", "channels_last")
	}
}

func (c Config) padding() string {
	padding := Get(c, "padding", "valid")
	if padding != "valid" && padding != "same" {
		c.fail("padding", "valid or same")
	}
	return padding
}

// axisPlan returns the output size and the padding before the start of one axis, as Keras (TensorFlow) computes
// them: 'valid' has no padding, 'same' makes ceil(in/stride) outputs and puts the odd cell of padding at the end.
func axisPlan(in, kernel, stride, dilation int, padding string) (out, before int) {
	span := (kernel-1)*dilation + 1
	if padding == "same" {
		out = (in + stride - 1) / stride
		return out, max((out-1)*stride+span-in, 0) / 2
	}
	if in < span {
		return 0, 0
	}
	return (in-span)/stride + 1, 0
}

// spatial checks that there is exactly one input, of shape [D,H,W,C].
func spatial(b *nn.LayerBase, class string, in []nn.Shape) (dims [3]int, channels int, err error) {
	if len(in) != 1 || len(in[0]) != 4 {
		return dims, 0, &nn.ShapeError{Layer: b.Name, Class: class, Got: in, Want: "one input with depth, height, width and channels"}
	}
	copy(dims[:], in[0][:3])
	return dims, in[0][3], nil
}

// single checks that there is exactly one input.
func single(b *nn.LayerBase, class string, in []nn.Shape) (nn.Shape, error) {
	if len(in) != 1 || len(in[0]) == 0 {
		return nil, &nn.ShapeError{Layer: b.Name, Class: class, Got: in, Want: "exactly one input with at least one axis"}
	}
	return in[0], nil
}

// defaultAlpha returns the parameter of an activation given by name only: .2 for leaky_relu, 1 for elu (the
// defaults of the Keras functions).
func defaultAlpha(name string) float64 {
	if name == "leaky_relu" {
		return .2
	}
	return 1
}

// lowerActivation emits an activation by name; linear emits nothing.
func lowerActivation(l *nn.Lowering, name string, alpha float64, shape nn.Shape) {
	switch name {
	case "linear", "":
	case "softmax":
		l.Emit(&op.Softmax{C: shape[len(shape)-1]}, shape)
	case "log_softmax":
		l.Emit(&op.LogSoftmax{C: shape[len(shape)-1]}, shape)
	default:
		a, _ := op.Activation(name, alpha)
		l.Emit(a, shape)
	}
}
