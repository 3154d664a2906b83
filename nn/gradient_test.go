package nn_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/layers"
	"github.com/voxelstream/voxelstream/nn/zoo"
)

// filled puts the same random numbers into the inputs of plans and runs them.
func filled(t *testing.T, n int, plans ...*nn.Plan) {
	t.Helper()
	for _, p := range plans {
		r := rand.New(rand.NewPCG(3, 1))
		for i := range p.Input(0) {
			p.Input(0)[i] = r.Float32()
		}
		if err := p.Forward(n, false, 0); err != nil {
			t.Fatal(err)
		}
	}
}

func compile(t *testing.T, m *nn.Model, o nn.Options) *nn.Plan {
	t.Helper()
	p, err := m.Compile(2, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// differentiate computes the gradients of a class's logit.
func differentiate(p *nn.Plan, class, classes int) {
	clear(p.OutputGrad(0))
	_, grad := p.Logits()
	clear(grad)
	for i := class; i < len(grad); i += classes {
		grad[i] = 1
	}
	p.Backward()
}

// distance is the largest difference of two arrays, relative to the largest element.
func distance(t *testing.T, a, b []float32) float64 {
	t.Helper()
	if len(a) != len(b) || len(a) == 0 {
		t.Fatalf("found %d and %d elements", len(a), len(b))
	}
	var most, off float64
	for i := range a {
		most = max(most, math.Abs(float64(b[i])))
		off = max(off, math.Abs(float64(a[i]-b[i])))
	}
	if most == 0 {
		t.Fatal("all elements are 0")
	}
	return off / most
}

// lastVolume is the last node that is a volume.
func lastVolume(m *nn.Model) *nn.Node {
	for _, n := range slices.Backward(m.Nodes()) {
		if n.Layer != nil && n.Layer.Class() == "Conv3D" {
			return n
		}
	}
	return nil
}

// models are networks of every kind of the zoo, with random statistics.
func models(t *testing.T) (all []*nn.Model) {
	t.Helper()
	for name, side := range map[string]int{"tutorial": 12, "voxnet": 16, "resnet": 8, "medical": 8} {
		m, err := zoo.New(name, nn.Shape{side, side, side, 3}, 5)
		if err != nil {
			t.Fatal(err)
		}
		m.Init(7)
		r := rand.New(rand.NewPCG(4, 4))
		for _, p := range m.Params() {
			if strings.HasSuffix(p.Name, "/moving_variance") {
				for i := range p.Value {
					p.Value[i] = .5 + r.Float32()
				}
			}
		}
		all = append(all, m)
	}
	return all
}

// TestInputGradOfZoo checks the gradients of fast plans against those of the reference operations, which nntest
// compares with finite differences.
func TestInputGradOfZoo(t *testing.T) {
	for _, m := range models(t) {
		node := lastVolume(m)
		o := nn.Options{InputGrad: true, Logits: true, Keep: []*nn.Node{node}, Threads: 2}
		fast := compile(t, m, o)
		o.Without = []string{"all"}
		slow := compile(t, m, o)
		filled(t, 2, fast, slow)
		for class := range 2 { // the second time finds gradients of the first in the buffers
			differentiate(fast, class, 5)
			differentiate(slow, class, 5)
			if d := distance(t, fast.InputGrad(0), slow.InputGrad(0)); d > 1e-4 {
				t.Errorf("%s, class %d: input gradients differ by %g", m.Name, class, d)
			}
			x, grad := fast.Kept(0)
			y, want := slow.Kept(0)
			if d := distance(t, x, y); d > 1e-4 {
				t.Errorf("%s: outputs of %s differ by %g", m.Name, node.Name(), d)
			}
			if d := distance(t, grad, want); d > 1e-4 {
				t.Errorf("%s, class %d: gradients of %s differ by %g", m.Name, class, node.Name(), d)
			}
		}
		plain := compile(t, m, nn.Options{})
		filled(t, 2, plain)
		if d := distance(t, fast.Output(0), plain.Output(0)); d > 1e-4 {
			t.Errorf("%s: outputs differ by %g from those of a plan for inference", m.Name, d)
		}
	}
}

// TestInputGradIsSlope compares input gradients with finite differences along random directions.
func TestInputGradIsSlope(t *testing.T) {
	conv := layers.NewConv3D(4, 3, "tanh")
	conv.ActivityRegularizer = nn.Regularizer{L2: 10} // must not count
	m, err := nn.Sequential("smooth", nn.Shape{6, 6, 6, 2}, conv, layers.NewBatchNormalization(),
		layers.NewDropout(.5), layers.NewGlobalAveragePooling3D(), layers.NewDense(3, "softmax"))
	if err != nil {
		t.Fatal(err)
	}
	m.Init(2)
	p := compile(t, m, nn.Options{InputGrad: true, Logits: true})
	filled(t, 2, p)
	const class, h = 1, 1e-2
	differentiate(p, class, 3)
	grad := slices.Clone(p.InputGrad(0))
	x := p.Input(0)
	r := rand.New(rand.NewPCG(9, 9))
	logit := func() float64 {
		if err := p.Forward(2, false, 0); err != nil {
			t.Fatal(err)
		}
		y, _ := p.Logits()
		return float64(y[class]) + float64(y[3+class])
	}
	for range 5 {
		from, to := slices.Clone(x), slices.Clone(x)
		want := 0.
		for i, g := range grad {
			u := r.NormFloat64()
			want += u * float64(g)
			from[i] -= float32(h * u)
			to[i] += float32(h * u)
		}
		first := slices.Clone(x)
		copy(x, from)
		low := logit()
		copy(x, to)
		slope := (logit() - low) / (2 * h)
		copy(x, first)
		if math.Abs(slope-want) > 1e-2*math.Abs(want)+1e-3 {
			t.Errorf("found slope %g, want %g", slope, want)
		}
	}
}

// TestKeptGradOfTail compares the gradient of a kept node with the input gradient of the layers behind it, also where
// its rectified output is 0.
func TestKeptGradOfTail(t *testing.T) {
	head := layers.NewConv3D(4, 3, "relu")
	tail := []nn.Layer{layers.NewConv3D(3, 2, "relu"), layers.NewFlatten(), layers.NewDense(3, "softmax")}
	m, err := nn.Sequential("whole", nn.Shape{6, 6, 6, 2}, append([]nn.Layer{head}, tail...)...)
	if err != nil {
		t.Fatal(err)
	}
	m.Init(2)
	in := nn.Input("tail", head.Out)
	out := in
	for _, l := range tail {
		if out, err = nn.Apply(l, out); err != nil {
			t.Fatal(err)
		}
	}
	rest, err := nn.Functional("tail", []*nn.Node{in}, []*nn.Node{out})
	if err != nil {
		t.Fatal(err)
	}
	o := nn.Options{InputGrad: true, Logits: true}
	last := compile(t, rest, o)
	o.Keep = []*nn.Node{m.Nodes()[1], m.Nodes()[4]}
	p := compile(t, m, o)
	filled(t, 2, p)
	differentiate(p, 2, 3)
	x, grad := p.Kept(0)
	if zeros := len(x) - len(slices.DeleteFunc(slices.Clone(x), func(v float32) bool { return v == 0 })); zeros == 0 {
		t.Fatal("found no zeros behind the rectifier")
	}
	copy(last.Input(0), x)
	if err := last.Forward(2, false, 0); err != nil {
		t.Fatal(err)
	}
	differentiate(last, 2, 3)
	if d := distance(t, grad, last.InputGrad(0)); d > 1e-5 {
		t.Errorf("gradients differ by %g", d)
	}
	if y, _ := p.Kept(1); !slices.Equal(y, p.Output(0)) {
		t.Errorf("found %v, want the output %v", y, p.Output(0))
	}
}

func TestGradientOptions(t *testing.T) {
	m, err := nn.Sequential("m", nn.Shape{4, 4, 4, 3}, layers.NewFlatten(), layers.NewDense(3, "softmax"))
	if err != nil {
		t.Fatal(err)
	}
	other := nn.Input("other", nn.Shape{3})
	for want, o := range map[string]nn.Options{
		"takes palette indices has no gradient": {
			InputGrad: true,
			Palette:   &nn.Palette{Channels: 3, Colours: make([]float32, 3*256)},
		},
		`node "other" is not the output`: {Keep: []*nn.Node{other}},
		`node "input_layer" is not`:      {Keep: m.Inputs()},
	} {
		if _, err := m.Compile(1, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("found %v, want %q", err, want)
		}
	}
	p := compile(t, m, nn.Options{})
	if p.InputGrad(0) != nil {
		t.Error("found an input gradient of a plan for inference")
	}
	var names []string
	p.Time(func(layer string, d time.Duration) {
		if names = append(names, layer); d < 0 {
			t.Errorf("%s: found %v", layer, d)
		}
	})
	filled(t, 1, p)
	if got := strings.Join(names, ","); !strings.Contains(got, "dense") {
		t.Errorf("found times of %s", got)
	}
	p.Time(nil)
	n := len(names)
	filled(t, 1, p)
	if len(names) != n {
		t.Error("times are still reported")
	}
}

// TestField finds the cells of the input that change a cell inside a model, and compares them with its field.
func TestField(t *testing.T) {
	conv := func(filters, size, stride int, padding string) *layers.Conv3D {
		c := layers.NewConv3D(filters, size, "")
		c.Strides, c.Padding = [3]int{stride, stride, stride}, padding
		return c
	}
	dilated := conv(2, 2, 1, "valid")
	dilated.Dilation = [3]int{2, 2, 2}
	for _, c := range []struct {
		input nn.Shape
		stack []nn.Layer
	}{
		{nn.Shape{11, 11, 11, 2}, []nn.Layer{conv(2, 3, 1, "valid")}},
		{nn.Shape{11, 11, 11, 2}, []nn.Layer{conv(2, 3, 2, "same"), layers.NewBatchNormalization(), dilated}},
		{nn.Shape{12, 12, 12, 2}, []nn.Layer{conv(2, 3, 1, "same"), layers.NewMaxPooling3D(2), conv(2, 2, 1, "valid")}},
		{nn.Shape{2, 9, 9, 9}, []nn.Layer{layers.NewPermute(2, 3, 4, 1), conv(3, 2, 1, "valid"), layers.NewReLU()}},
	} {
		m, err := nn.Sequential("m", c.input, c.stack...)
		if err != nil {
			t.Fatal(err)
		}
		m.Init(1)
		node := m.Nodes()[len(m.Nodes())-1]
		f, ok := m.Field(node)
		if !ok {
			t.Fatalf("%v: found no field", c.stack)
		}
		p := compile(t, m, nn.Options{InputGrad: true})
		r := rand.New(rand.NewPCG(1, 2))
		touched := map[int]bool{} // positions along depth that a cell in the middle depends on
		j := node.Shape[0] / 2
		for range 60 { // a maximum depends on one of its cells only
			for i := range p.Input(0) {
				p.Input(0)[i] = float32(r.NormFloat64())
			}
			if err := p.Forward(1, false, 0); err != nil {
				t.Fatal(err)
			}
			clear(p.OutputGrad(0))
			middle := ((j*node.Shape[1]+j)*node.Shape[2] + j) * node.Shape[3]
			for k := range node.Shape[3] {
				p.OutputGrad(0)[middle+k] = r.Float32()
			}
			p.Backward()
			for i, g := range p.InputGrad(0) {
				if g == 0 {
					continue
				}
				if c.input[0] == 2 {
					i %= c.input[1] * c.input[2] * c.input[3]
					touched[i/(c.input[2]*c.input[3])] = true
				} else {
					touched[i/(c.input[1]*c.input[2]*c.input[3])] = true
				}
			}
		}
		lo, hi := 1<<30, -1
		for z := range touched {
			lo, hi = min(lo, z), max(hi, z)
		}
		if at := f.Offset[0] + f.Stride[0]*float64(j); at != float64(lo+hi)/2 || f.Size[0] != hi-lo+1 {
			t.Errorf("%v: cell %d: found field %+v around %g, want cells %d to %d", c.input, j, f, at, lo, hi)
		}
	}
	m, err := nn.Sequential("m", nn.Shape{4, 4, 4, 2}, layers.NewDense(3, ""), layers.NewZeroPadding3D(1))
	if err != nil {
		t.Fatal(err)
	}
	if f, ok := m.Field(m.Nodes()[2]); ok {
		t.Errorf("found field %+v behind a change of shape", f)
	}
}
