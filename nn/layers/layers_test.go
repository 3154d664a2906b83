package layers_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/layers"
	"github.com/voxelstream/voxelstream/nn/nntest"
)

// TestWorkedConvolution is an example to work by head: 4x4x4 by 3x3x3. The kernel has four taps, 1, 10, 100 and
// 1000, each one away from the first along another axis, and the input's cells are digits, so that an output reads
// as the four digits that it is made of.
func TestWorkedConvolution(t *testing.T) {
	conv := layers.NewConv3D(1, 3, "")
	m, err := nn.Sequential("", nn.Shape{4, 4, 4, 1}, conv)
	if err != nil {
		t.Fatal(err)
	}
	kernel := conv.Params[0].Value
	kernel[0] = 1    // here
	kernel[1] = 10   // next in x
	kernel[3] = 100  // next in y
	kernel[9] = 1000 // next in z
	conv.Params[1].Value[0] = .5
	input := []float32{
		3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3,
		2, 3, 8, 4, 6, 2, 6, 4, 3, 3, 8, 3, 2, 7, 9, 5,
		0, 2, 8, 8, 4, 1, 9, 7, 1, 6, 9, 3, 9, 9, 3, 7,
		5, 1, 0, 5, 8, 2, 0, 9, 7, 4, 9, 4, 4, 5, 9, 2,
	}
	want := []float32{2513.5, 3941.5, 6595.5, 2329.5, 632.5, 2283.5, 4326.5, 1362.5}
	for _, without := range [][]string{nil, {"all"}} {
		plan, err := m.Compile(1, nn.Options{Without: without})
		if err != nil {
			t.Fatal(err)
		}
		copy(plan.Input(0), input)
		if err := plan.Forward(1, false, 0); err != nil {
			t.Fatal(err)
		}
		if got := plan.Output(0); !slices.Equal(got, want) {
			t.Errorf("without %v: got %v, want %v", without, got, want)
		}
		plan.Close()
	}
}

// TestOutputSizes is the table of strides and padding: 'valid' makes floor((in - span)/stride) + 1 outputs of a
// span of (kernel-1) dilation + 1, 'same' ceil(in/stride).
func TestOutputSizes(t *testing.T) {
	for _, c := range []struct{ in, kernel, stride, dilation, valid, same int }{
		{5, 1, 1, 1, 5, 5},
		{5, 3, 1, 1, 3, 5},
		{5, 5, 1, 1, 1, 5},
		{5, 3, 2, 1, 2, 3},
		{6, 3, 2, 1, 2, 3},
		{7, 3, 2, 1, 3, 4},
		{8, 2, 3, 1, 3, 3},
		{9, 4, 3, 1, 2, 3},
		{5, 1, 2, 1, 3, 3},
		{7, 3, 1, 2, 3, 7},
		{9, 2, 1, 5, 4, 9},
		{2, 3, 1, 1, 0, 2},
		{4, 3, 1, 2, 0, 4},
	} {
		for padding, want := range map[string]int{"valid": c.valid, "same": c.same} {
			conv := layers.NewConv3D(2, c.kernel, "")
			conv.Strides, conv.Dilation, conv.Padding = [3]int{1, c.stride, 1}, [3]int{1, c.dilation, 1}, padding
			conv.Kernel = [3]int{1, c.kernel, 1}
			n, err := nn.Apply(conv, nn.Input("", nn.Shape{2, c.in, 3, 1}))
			switch {
			case want == 0 && err == nil:
				t.Errorf("%+v %s: got %v, want an error", c, padding, n.Shape)
			case want > 0 && (err != nil || !slices.Equal(n.Shape, nn.Shape{2, want, 3, 2})):
				t.Errorf("%+v %s: got %v, %v, want %d outputs", c, padding, n, err, want)
			}
			if c.dilation > 1 {
				continue
			}
			pool := layers.NewMaxPooling3D(1)
			pool.Size, pool.Strides, pool.Padding = [3]int{1, c.kernel, 1}, [3]int{1, c.stride, 1}, padding
			n, err = nn.Apply(pool, nn.Input("", nn.Shape{2, c.in, 3, 4}))
			if (want == 0) != (err != nil) || err == nil && !slices.Equal(n.Shape, nn.Shape{2, want, 3, 4}) {
				t.Errorf("pooling %+v %s: got %v, %v, want %d outputs", c, padding, n, err, want)
			}
		}
	}
}

// cases are layers with options, each with the shapes of its inputs. What a user writes, as Keras's attributes.
var cases = []struct {
	class, options string
	in             []nn.Shape
}{
	{"Activation", `{"activation": "linear"}`, []nn.Shape{{5}}},
	{"Activation", `{"activation": "relu"}`, []nn.Shape{{5}}},
	{"Activation", `{"activation": "leaky_relu"}`, []nn.Shape{{5}}},
	{"Activation", `{"activation": "elu"}`, []nn.Shape{{5}}},
	{"Activation", `{"activation": "selu"}`, []nn.Shape{{5}}},
	{"Activation", `{"activation": "gelu"}`, []nn.Shape{{5}}},
	{"Activation", `{"activation": "silu"}`, []nn.Shape{{5}}},
	{"Activation", `{"activation": "softplus"}`, []nn.Shape{{5}}},
	{"Activation", `{"activation": "sigmoid"}`, []nn.Shape{{5}}},
	{"Activation", `{"activation": "tanh"}`, []nn.Shape{{5}}},
	{"Activation", `{"activation": "softmax"}`, []nn.Shape{{2, 5}}},
	{"Add", `{}`, []nn.Shape{{2, 3}, {2, 3}, {2, 3}}},
	{"AveragePooling3D", `{"pool_size": 2}`, []nn.Shape{{4, 5, 3, 2}}},
	{"AveragePooling3D", `{"pool_size": 3, "strides": [1, 2, 3], "padding": "same"}`, []nn.Shape{{3, 4, 5, 2}}},
	{"BatchNormalization", `{}`, []nn.Shape{{2, 1, 2, 3}}},
	{"BatchNormalization", `{"center": false, "momentum": 0.5, "epsilon": 0.1}`, []nn.Shape{{4}}},
	{"BatchNormalization", `{"scale": false, "axis": 1}`, []nn.Shape{{4}}},
	{"Concatenate", `{}`, []nn.Shape{{2, 3}, {2, 1}, {2, 2}}},
	{"Conv3D", `{"filters": 2, "kernel_size": 2}`, []nn.Shape{{3, 2, 4, 2}}},
	{"Conv3D", `{"filters": 2, "kernel_size": [1, 2, 3], "strides": [1, 2, 2], "padding": "same", "activation": "tanh"}`, []nn.Shape{{2, 3, 4, 2}}},
	{"Conv3D", `{"filters": 3, "kernel_size": 2, "dilation_rate": [1, 2, 1], "use_bias": false}`, []nn.Shape{{2, 4, 3, 1}}},
	{
		"Conv3D", `{"filters": 4, "kernel_size": 2, "groups": 2, "padding": "same", "activation": "elu"}`,
		[]nn.Shape{{2, 2, 3, 4}},
	},
	{"Cropping3D", `{"cropping": [[1, 0], [0, 2], [1, 1]]}`, []nn.Shape{{2, 3, 4, 2}}},
	{"CubeRotation", `{"rotation": 7}`, []nn.Shape{{3, 3, 3, 2}}},
	{"CubeRotation", `{"rotation": 23, "upright": 0.2}`, []nn.Shape{{2, 2, 2, 1}}},
	{"CubeRotation", `{"rotation": 5, "upright": 3}`, []nn.Shape{{2, 2, 2, 1}}},
	{"Dense", `{"units": 3}`, []nn.Shape{{4}}},
	{"Dense", `{"units": 3, "use_bias": false, "activation": "softmax"}`, []nn.Shape{{2, 4}}},
	{"Dropout", `{"rate": 0.4}`, []nn.Shape{{9}}},
	{"ELU", `{"alpha": 0.5}`, []nn.Shape{{5}}},
	{"Flatten", `{}`, []nn.Shape{{2, 2, 1, 2}}},
	{"GaussianNoise", `{"stddev": 0.4}`, []nn.Shape{{9}}},
	{"GlobalAveragePooling3D", `{}`, []nn.Shape{{2, 3, 1, 2}}},
	{"GlobalMaxPooling3D", `{"keepdims": true}`, []nn.Shape{{2, 3, 1, 2}}},
	{"LayerNormalization", `{}`, []nn.Shape{{2, 4}}},
	{"LayerNormalization", `{"scale": false, "epsilon": 0.1}`, []nn.Shape{{4}}},
	{"LayerNormalization", `{"center": false, "axis": [2]}`, []nn.Shape{{2, 4}}},
	{"LeakyReLU", `{"negative_slope": 0.1}`, []nn.Shape{{5}}},
	{"MaxPooling3D", `{}`, []nn.Shape{{4, 5, 3, 2}}},
	{"MaxPooling3D", `{"pool_size": [3, 2, 1], "strides": 1, "padding": "same"}`, []nn.Shape{{3, 4, 2, 2}}},
	{"BatchNormalization", `{"trainable": false}`, []nn.Shape{{2, 3}}},
	{"BatchNormalization", `{"axis": 2, "moving_mean_initializer": "ones", "beta_initializer": {"class_name": "Constant", "config": {"value": 2}}}`, []nn.Shape{{2, 3, 2}}},
	{"Dense", `{"units": 2, "kernel_initializer": "orthogonal", "activity_regularizer": {"class_name": "L1L2", "config": {"l1": 0.1, "l2": 0.2}}}`, []nn.Shape{{4}}},
	{"Dense", `{"units": 2, "kernel_initializer": {"class_name": "VarianceScaling", "config": {"scale": 2, "mode": "fan_out", "distribution": "untruncated_normal"}},
		"bias_initializer": {"class_name": "RandomUniform", "config": {"minval": -1, "maxval": 2, "seed": 4}}, "kernel_regularizer": "l1",
		"bias_regularizer": {"class_name": "L1L2", "config": {"l1": 0.1, "l2": 0.2}}, "bias_constraint": "non_neg",
		"kernel_constraint": {"class_name": "MinMaxNorm", "config": {"min_value": 0.5, "max_value": 2, "rate": 0.5, "axis": [0, 1]}}}`, []nn.Shape{{4}}},
	{
		"Conv3DTranspose", `{"filters": 2, "kernel_size": [2, 3, 1], "strides": [2, 1, 3], "activation": "tanh"}`,
		[]nn.Shape{{2, 3, 2, 3}},
	},
	{"Conv3DTranspose", `{"filters": 2, "kernel_size": 3, "strides": 2, "padding": "same", "output_padding": [1, 0, 1]}`, []nn.Shape{{2, 2, 1, 2}}},
	{
		"Conv3DTranspose", `{"filters": 2, "kernel_size": 2, "dilation_rate": [2, 1, 2], "use_bias": false}`,
		[]nn.Shape{{2, 3, 2, 2}},
	},
	{"Conv3DTranspose", `{"filters": 1, "kernel_size": 3, "dilation_rate": 2, "padding": "same"}`, []nn.Shape{{2, 3, 2, 2}}},
	{"ReLU", `{"negative_slope": 0.3, "max_value": 1, "threshold": 0.2}`, []nn.Shape{{9}}},
	{"Softmax", `{"axis": [1, 3]}`, []nn.Shape{{2, 3, 2}}},
	{"Concatenate", `{"axis": 1}`, []nn.Shape{{2, 3}, {1, 3}, {4, 3}}},
	{"Concatenate", `{"axis": -2}`, []nn.Shape{{2, 3, 2}, {2, 1, 2}}},
	{"Add", `{}`, []nn.Shape{{2, 1, 3}, {1, 2, 1}}},
	{"Multiply", `{}`, []nn.Shape{{2, 2, 3}, {1, 1, 3}}},
	{"Subtract", `{}`, []nn.Shape{{2, 2, 3}, {1, 1, 3}}},
	{"Average", `{}`, []nn.Shape{{2, 2}, {2, 2}, {2, 2}}},
	{"Maximum", `{}`, []nn.Shape{{2, 2}, {2, 2}, {2, 1}}},
	{"Minimum", `{}`, []nn.Shape{{2, 2}, {2, 2}, {2, 2}}},
	{"Identity", `{"activity_regularizer": "l1"}`, []nn.Shape{{2, 2}}},
	{"ActivityRegularization", `{"l1": 0.2, "l2": 0.1}`, []nn.Shape{{2, 2}}},
	{"Dropout", `{"rate": 0.4, "noise_shape": [null, 1, 3]}`, []nn.Shape{{4, 3}}},
	{"Activation", `{"activation": "relu6"}`, []nn.Shape{{7}}},
	{"Activation", `{"activation": "celu"}`, []nn.Shape{{7}}},
	{"Activation", `{"activation": "exponential"}`, []nn.Shape{{7}}},
	{"Activation", `{"activation": "log_sigmoid"}`, []nn.Shape{{7}}},
	{"Activation", `{"activation": "mish"}`, []nn.Shape{{7}}},
	{"Activation", `{"activation": "softsign"}`, []nn.Shape{{7}}},
	{"Activation", `{"activation": "squareplus"}`, []nn.Shape{{7}}},
	{"Activation", `{"activation": "tanh_shrink"}`, []nn.Shape{{7}}},
	{"Activation", `{"activation": "hard_sigmoid"}`, []nn.Shape{{7}}},
	{"Activation", `{"activation": "hard_silu"}`, []nn.Shape{{7}}},
	{"Activation", `{"activation": "hard_tanh"}`, []nn.Shape{{7}}},
	{"Activation", `{"activation": "sparse_sigmoid"}`, []nn.Shape{{7}}},
	{"Activation", `{"activation": "sparse_plus"}`, []nn.Shape{{7}}},
	{"Activation", `{"activation": "soft_shrink"}`, []nn.Shape{{7}}},
	{"Activation", `{"activation": "hard_shrink"}`, []nn.Shape{{7}}},
	{"Activation", `{"activation": "log_softmax"}`, []nn.Shape{{7}}},
	{"Dense", `{"units": 3, "activation": {"class_name": "LeakyReLU", "config": {"name": "leak", "negative_slope": 0.1}}}`, []nn.Shape{{4}}},
	{
		"Conv3D", `{"filters": 2, "kernel_size": 1, "activation": {"class_name": "Softmax", "config": {"axis": 1}}}`,
		[]nn.Shape{{2, 3, 2, 2}},
	},
	{"GroupNormalization", `{"groups": 2}`, []nn.Shape{{2, 2, 1, 4}}},
	{"GroupNormalization", `{"groups": 1, "axis": 1, "scale": false, "epsilon": 0.1}`, []nn.Shape{{2, 3, 2}}},
	{"GroupNormalization", `{"groups": -1, "center": false}`, []nn.Shape{{5, 3}}},
	{"LayerNormalization", `{"axis": [1, 3]}`, []nn.Shape{{2, 3, 2}}},
	{"LayerNormalization", `{"axis": -2, "gamma_regularizer": "l2"}`, []nn.Shape{{2, 3, 2}}},
	{"Multiply", `{}`, []nn.Shape{{2, 3}, {2, 3}, {2, 3}}},
	{"PReLU", `{}`, []nn.Shape{{2, 3}}},
	{"PReLU", `{"shared_axes": [2]}`, []nn.Shape{{2, 3, 2}}},
	{"Permute", `{"dims": [2, 3, 1]}`, []nn.Shape{{2, 3, 4}}},
	{"PrincipalPlane", `{"size": 6}`, []nn.Shape{{4, 3, 5, 1}}},
	{"PrincipalPlane", `{"size": 9, "scale": 2, "upright": 0.2, "pose": true, "view": 7, "turn": 0.1, "stretch": 0.2, "shift": 0.3,
		"mirror": 0.4}`, []nn.Shape{{4, 4, 4, 1}}},
	{
		"PrincipalPlane", `{"size": 9, "upright": 0.2, "pose": true, "view": 3, "angle": -0.3, "zoom": 1.25}`,
		[]nn.Shape{{4, 4, 4, 1}},
	},
	{"ReLU", `{}`, []nn.Shape{{5}}},
	{"ReLU", `{"negative_slope": 0.3}`, []nn.Shape{{5}}},
	{"Rescaling", `{"scale": 0.5, "offset": [1, 2]}`, []nn.Shape{{3, 2}}},
	{"Reshape", `{"target_shape": [3, -1]}`, []nn.Shape{{2, 3, 2}}},
	{"Softmax", `{}`, []nn.Shape{{2, 3}}},
	{"SpatialDropout3D", `{"rate": 0.4}`, []nn.Shape{{2, 1, 2, 5}}},
	{"UpSampling3D", `{"size": [1, 3, 2]}`, []nn.Shape{{2, 1, 2, 3}}},
	{"ZeroPadding3D", `{"padding": [[1, 0], [0, 2], [1, 1]]}`, []nn.Shape{{2, 1, 2, 3}}},
}

// build makes a model of one layer.
func build(t *testing.T, class string, options map[string]any, in []nn.Shape) *nn.Model {
	t.Helper()
	l, err := layers.FromConfig(class, options)
	if err != nil {
		t.Fatal(err)
	}
	var inputs []*nn.Node
	for i, s := range in {
		inputs = append(inputs, nn.Input(fmt.Sprintf("input%d", i), s))
	}
	out, err := nn.Apply(l, inputs...)
	if err != nil {
		t.Fatal(err)
	}
	m, err := nn.Functional("", inputs, []*nn.Node{out})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func decode(t *testing.T, text string) map[string]any {
	t.Helper()
	var options map[string]any
	if err := json.Unmarshal([]byte(text), &options); err != nil {
		t.Fatal(err)
	}
	return options
}

// otherGradients are the layers whose gradients are not those of their outputs, with the reason.
var otherGradients = map[string]string{
	"PrincipalPlane": "its gradient takes the pose as constant, which the tests of package op check",
}

// TestGradients checks every layer's derivatives in float64.
func TestGradients(t *testing.T) {
	tested := map[string]bool{}
	for _, c := range cases {
		tested[c.class] = true
		if otherGradients[c.class] != "" {
			continue
		}
		for _, train := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s%s/train=%v", c.class, c.options, train), func(t *testing.T) {
				nntest.CheckGradients(t, build(t, c.class, decode(t, c.options), c.in), train)
			})
		}
	}
	for class := range layers.Classes {
		if !tested[class] {
			t.Errorf("no case for layer %s", class)
		}
	}
}

// TestConfig makes each layer again from what it says of itself: the new one must say the same and have the same
// shapes.
func TestConfig(t *testing.T) {
	for _, c := range cases {
		m := build(t, c.class, decode(t, c.options), c.in)
		l := m.Layers()[0]
		if l.Class() != c.class {
			t.Errorf("%s: the layer says it is %s", c.class, l.Class())
		}
		text, err := json.Marshal(layers.ToConfig(l))
		if err != nil {
			t.Fatal(err)
		}
		again := build(t, c.class, decode(t, string(text)), c.in)
		if got := layers.ToConfig(again.Layers()[0]); !reflect.DeepEqual(got, layers.ToConfig(l)) {
			t.Errorf("%s %s: got %v after a round trip, want %v", c.class, c.options, got, layers.ToConfig(l))
		}
		if got, want := again.Outputs()[0].Shape, m.Outputs()[0].Shape; !slices.Equal(got, want) {
			t.Errorf("%s %s: got shape %v after a round trip, want %v", c.class, c.options, got, want)
		}
	}
}

// TestBlocksGradients checks layers one after the other and side by side: what several read gets the sum of their
// gradients.
func TestBlocksGradients(t *testing.T) {
	must := func(n *nn.Node, err error) *nn.Node {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	same := layers.NewConv3D(2, 3, "relu")
	same.Padding = "same"
	input := nn.Input("", nn.Shape{4, 4, 4, 2})
	a := must(nn.Apply(same, input))
	b := must(nn.Apply(layers.NewBatchNormalization(), must(nn.Apply(layers.NewConv3D(2, 1, ""), a))))
	sum := must(nn.Apply(layers.NewAdd(), must(nn.Apply(layers.NewMultiply(), a, b)), input, a))
	pooled := must(nn.Apply(layers.NewMaxPooling3D(2), sum))
	out := must(nn.Apply(layers.NewDense(3, "softmax"), must(nn.Apply(layers.NewFlatten(), pooled))))
	m, err := nn.Functional("", []*nn.Node{input}, []*nn.Node{out, pooled})
	if err != nil {
		t.Fatal(err)
	}
	nntest.CheckGradients(t, m, true)
}

// TestSharedGradients checks layers that are applied twice: their parameters get the gradients of both uses.
func TestSharedGradients(t *testing.T) {
	must := func(n *nn.Node, err error) *nn.Node {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	a, b := nn.Input("a", nn.Shape{3, 3, 3, 2}), nn.Input("b", nn.Shape{3, 3, 3, 2})
	conv, norm, dense := layers.NewConv3D(2, 2, "tanh"), layers.NewBatchNormalization(), layers.NewDense(2, "")
	left := must(nn.Apply(norm, must(nn.Apply(conv, a))))
	right := must(nn.Apply(dense, must(nn.Apply(dense, must(nn.Apply(norm, must(nn.Apply(conv, b))))))))
	m, err := nn.Functional("", []*nn.Node{a, b}, []*nn.Node{must(nn.Apply(layers.NewMultiply(), left, right)), left})
	if err != nil {
		t.Fatal(err)
	}
	if total, _ := m.Count(); len(m.Layers()) != 4 || total != 8*4+2+8+6 {
		t.Errorf("got %d layers with %d parameters, want 4 with 48", len(m.Layers()), total)
	}
	nntest.CheckGradients(t, m, true)
	if _, err := nn.Apply(dense, nn.Input("", nn.Shape{5})); err == nil || !strings.Contains(err.Error(), "first applied") {
		t.Errorf("a layer was applied again to another shape: got %v", err)
	}
	if _, err := nn.Sequential("", nn.Shape{2, 2}, dense, dense); err == nil {
		t.Error("a chain took a layer twice")
	}
}

// TestRefused has options that a layer must not accept.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		class, options string
		in             nn.Shape
	}{
		{"Conv3D", `{"filters": 0, "kernel_size": 3}`, nn.Shape{4, 4, 4, 1}},
		{"Conv3D", `{"filters": 1, "kernel_size": [3, 3]}`, nn.Shape{4, 4, 4, 1}},
		{"Conv3D", `{"filters": 3, "kernel_size": 3, "groups": 2}`, nn.Shape{4, 4, 4, 2}},
		{"Conv3D", `{"filters": 3, "kernel_size": 3, "kernel_regularizer": "l3"}`, nn.Shape{4, 4, 4, 2}},
		{"Conv3D", `{"filters": 1000000, "kernel_size": 1000}`, nn.Shape{2000, 2000, 2000, 2}},
		{"Conv3D", `{"filters": 3, "kernel_size": 3}`, nn.Shape{4, 4, 2}},
		{"Cropping3D", `{"cropping": 2}`, nn.Shape{4, 9, 9, 1}},
		{"Cropping3D", `{"cropping": [1, 2]}`, nn.Shape{4, 9, 9, 1}},
		{"Cropping3D", `{"cropping": -1}`, nn.Shape{4, 9, 9, 1}},
		{"CubeRotation", `{"rotation": 24}`, nn.Shape{4, 4, 4, 1}},
		{"CubeRotation", `{"rotation": -1}`, nn.Shape{4, 4, 4, 1}},
		{"CubeRotation", `{"rotation": 1.5}`, nn.Shape{4, 4, 4, 1}},
		{"CubeRotation", `{"rotation": 1, "upright": -1}`, nn.Shape{4, 4, 4, 1}},
		{"CubeRotation", `{"rotation": 1}`, nn.Shape{4, 4, 5, 1}},
		{"CubeRotation", `{"rotation": 1}`, nn.Shape{4, 4, 4}},
		{"PrincipalPlane", `{"size": 0}`, nn.Shape{4, 4, 4, 1}},
		{"PrincipalPlane", `{"size": 600}`, nn.Shape{4, 4, 4, 1}},
		{"PrincipalPlane", `{"size": 5, "pose": true}`, nn.Shape{4, 4, 4, 1}},
		{"PrincipalPlane", `{"size": 8, "view": 8}`, nn.Shape{4, 4, 4, 1}},
		{"PrincipalPlane", `{"size": 8, "view": -1}`, nn.Shape{4, 4, 4, 1}},
		{"PrincipalPlane", `{"size": 8, "view": 0.5}`, nn.Shape{4, 4, 4, 1}},
		{"PrincipalPlane", `{"size": 8, "scale": -1}`, nn.Shape{4, 4, 4, 1}},
		{"PrincipalPlane", `{"size": 8, "turn": 1e9}`, nn.Shape{4, 4, 4, 1}},
		{"PrincipalPlane", `{"size": 8, "angle": 6.3}`, nn.Shape{4, 4, 4, 1}},
		{"PrincipalPlane", `{"size": 8, "angle": -6.3}`, nn.Shape{4, 4, 4, 1}},
		{"PrincipalPlane", `{"size": 8, "zoom": 0}`, nn.Shape{4, 4, 4, 1}},
		{"PrincipalPlane", `{"size": 8, "zoom": -1}`, nn.Shape{4, 4, 4, 1}},
		{"PrincipalPlane", `{"size": 8, "zoom": 16.5}`, nn.Shape{4, 4, 4, 1}},
		{"PrincipalPlane", `{"size": 8}`, nn.Shape{4, 4, 4, 2}},
		{"PrincipalPlane", `{"size": 8}`, nn.Shape{4, 4, 4}},
		{"ZeroPadding3D", `{"padding": 1e9}`, nn.Shape{4, 9, 9, 1}},
		{"ZeroPadding3D", `{"padding": 2000}`, nn.Shape{4, 9, 9, 1}},
		{"UpSampling3D", `{"size": 10000}`, nn.Shape{4, 9, 9, 1}},
		{"UpSampling3D", `{"size": 0}`, nn.Shape{4, 9, 9, 1}},
		{"Permute", `{"dims": [1, 1]}`, nn.Shape{4, 9}},
		{"Permute", `{"dims": [2, 1, 3]}`, nn.Shape{4, 9}},
		{"Permute", `{}`, nn.Shape{4, 9}},
		{"PReLU", `{"shared_axes": [3]}`, nn.Shape{4, 9}},
		{"PReLU", `{"shared_axes": [1.5]}`, nn.Shape{4, 9}},
		{"Rescaling", `{"scale": [1, 2, 3]}`, nn.Shape{4, 9}},
		{"Rescaling", `{"scale": []}`, nn.Shape{4, 9}},
		{"Reshape", `{"target_shape": [-1, -1]}`, nn.Shape{4}},
		{"Reshape", `{"target_shape": [3]}`, nn.Shape{4}},
		{"LayerNormalization", `{"axis": [2, 1]}`, nn.Shape{4, 3}},
		{"LayerNormalization", `{"axis": 3}`, nn.Shape{4, 3}},
		{"LayerNormalization", `{"axis": 0}`, nn.Shape{4, 3}},
		{"BatchNormalization", `{"axis": [1, 2]}`, nn.Shape{4, 3}},
		{"GroupNormalization", `{"groups": 2}`, nn.Shape{4, 3}},
		{"GroupNormalization", `{"groups": 0}`, nn.Shape{4, 3}},
		{"Dense", `{"units": 2, "kernel_initializer": "orthonormal"}`, nn.Shape{4}},
		{"Dense", `{"units": 2, "kernel_initializer": {"class_name": "VarianceScaling", "config": {"mode": "fan"}}}`, nn.Shape{4}},
		{"Dense", `{"units": 2, "kernel_initializer": {"class_name": "HeNormal", "config": {"colour": 1}}}`, nn.Shape{4}},
		{"Dense", `{"units": 2, "kernel_regularizer": {"class_name": "OrthogonalRegularizer", "config": {}}}`, nn.Shape{4}},
		{"Dense", `{"units": 2, "kernel_regularizer": {"class_name": "L2", "config": {"l2": "much"}}}`, nn.Shape{4}},
		{"Dense", `{"units": 2, "kernel_constraint": "tidy"}`, nn.Shape{4}},
		{"GaussianNoise", `{"stddev": -1}`, nn.Shape{4, 3}},
		{"Dropout", `{"rate": 1}`, nn.Shape{4, 3}},
		{"Multiply", `{}`, nn.Shape{4, 3}},
		{"Subtract", `{}`, nn.Shape{4, 3}},
		{"Dropout", `{"rate": 0.1, "noise_shape": [4, 1, 3]}`, nn.Shape{4, 3}},
		{"Dropout", `{"rate": 0.1, "noise_shape": [null, 2, 3]}`, nn.Shape{4, 3}},
		{"ReLU", `{"max_value": -1}`, nn.Shape{4, 3}},
		{"Softmax", `{"axis": 3}`, nn.Shape{4, 3}},
		{"Conv3DTranspose", `{"filters": 2, "kernel_size": 2, "strides": 2, "dilation_rate": 2}`, nn.Shape{4, 4, 4, 1}},
		{"Conv3DTranspose", `{"filters": 2, "kernel_size": 2, "strides": 2, "output_padding": 2}`, nn.Shape{4, 4, 4, 1}},
		{"Conv3DTranspose", `{"filters": 2, "kernel_size": 2, "padding": "same", "output_padding": 0}`, nn.Shape{4, 4, 4, 1}},
		{"Conv3DTranspose", `{"filters": 2, "kernel_size": 2, "strides": 1e9}`, nn.Shape{4, 4, 4, 1}},
		{"TimeDistributed", `{}`, nn.Shape{4, 3}},
		{"Dense", `{"units": 3, "activation": {"class_name": "PReLU", "config": {}}}`, nn.Shape{4}},
		{"Dense", `{"units": 3, "activation": {"class_name": "ReLU", "config": {"max_value": -2}}}`, nn.Shape{4}},
		{"Activation", `{"activation": "glu"}`, nn.Shape{4, 3}},
		{"Concatenate", `{}`, nn.Shape{4, 3}},
		{"Add", `{}`, nn.Shape{4, 3}},
	} {
		l, err := layers.FromConfig(c.class, decode(t, c.options))
		if err == nil {
			_, err = nn.Apply(l, nn.Input("", c.in))
		}
		if err == nil {
			t.Errorf("%s %s on %v was accepted", c.class, c.options, c.in)
		}
	}
}
