package nn_test

import (
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/layers"
	"github.com/voxelstream/voxelstream/nn/train"
	"github.com/voxelstream/voxelstream/nn/zoo"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestSummaryIsThatOfKeras(t *testing.T) {
	want, err := os.ReadFile("testdata/keras_summary.txt")
	if err != nil {
		t.Fatal(err)
	}
	tutorial := must(zoo.New("tutorial", nn.Shape{16, 16, 16, 3}, 10))
	tutorial.Name = "sequential"

	volume := nn.Input("volume", nn.Shape{8, 8, 8, 2})
	left, right := layers.NewConv3D(4, 3, ""), layers.NewConv3D(4, 1, "")
	left.Name, left.Padding, right.Name = "left", "same", "right"
	l, r := must(nn.Apply(left, volume)), must(nn.Apply(right, volume))
	joined := must(nn.Apply(layers.NewConcatenate(), l, must(nn.Apply(layers.NewAdd(), l, r))))
	pooled := must(nn.Apply(&layers.GlobalPooling3D{Average: true}, joined))
	first, second := layers.NewDense(3, ""), layers.NewDense(2, "")
	first.Name, second.Name = "first", "a_name_that_is_longer_than_its_column"
	outputs := []*nn.Node{must(nn.Apply(first, pooled)), must(nn.Apply(second, pooled))}
	graph := must(nn.Functional("", []*nn.Node{volume}, outputs))

	got := tutorial.Summary(nn.SummaryWidth) + "\n" + graph.Summary(nn.SummaryWidth)
	if strings.TrimSpace(got) != strings.TrimSpace(string(want)) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestShapeErrorsNameLayerGotAndWant(t *testing.T) {
	_, err := nn.Sequential("", nn.Shape{2, 2, 2, 1}, layers.NewConv3D(4, 3, "relu"))
	if err == nil {
		t.Fatal("a kernel larger than its input was accepted")
	}
	for _, part := range []string{`"conv3d"`, "Conv3D", "(None, 2, 2, 2, 1)", "at least 3"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not contain %q", err, part)
		}
	}
}

// everyReference is a network with most of the operations that no kernel replaces.
func everyReference() *nn.Model {
	grouped := layers.NewConv3D(4, 3, "gelu")
	grouped.Groups = 2
	return must(nn.Sequential("", nn.Shape{6, 6, 6, 2}, layers.NewRescaling(2, .1), layers.NewZeroPadding3D(1), grouped,
		layers.NewLayerNormalization(), layers.NewGaussianNoise(.1), layers.NewPReLU(),
		&layers.Dropout{Rate: .3, Spatial: true},
		&layers.Pooling3D{Size: [3]int{2, 2, 2}, Strides: [3]int{2, 2, 2}, Padding: "same", Average: true},
		layers.NewUpSampling3D(2),
		layers.NewCropping3D(1), layers.NewPermute(4, 1, 2, 3), layers.NewFlatten(), layers.NewDense(3, "softmax")))
}

// step fills the input, runs a training step over n samples and returns output and gradients, in the order of the
// parameters.
func step(t *testing.T, m *nn.Model, batch, n int, o nn.Options) [][]float32 {
	t.Helper()
	o.Training = true
	plan, err := m.Compile(batch, o)
	if err != nil {
		t.Fatal(err)
	}
	defer plan.Close()
	x := plan.Input(0)
	for i := range x {
		x[i] = float32(math.NaN()) // what lies beyond the n samples must not be read
	}
	for i := range x[:n*m.Inputs()[0].Shape.Size()] {
		x[i] = float32(i%17)/17 - .3
	}
	if err := plan.Forward(n, true, 3); err != nil {
		t.Fatal(err)
	}
	all := [][]float32{slices.Clone(plan.Output(0))}
	for i := range plan.OutputGrad(0) {
		plan.OutputGrad(0)[i] = float32(i%5) - 1.5
	}
	plan.Backward()
	for _, p := range m.Params() {
		if p.Trainable {
			all = append(all, slices.Clone(plan.Grad(p)))
		}
	}
	return all
}

func TestThreadsDoNotChangeTheResult(t *testing.T) {
	for _, m := range []*nn.Model{must(zoo.New("tutorial", nn.Shape{10, 10, 10, 3}, 10)), everyReference()} {
		m.Init(1)
		var first [][]float32
		for _, threads := range []int{1, 2, 3, 5} {
			got := step(t, m, 7, 5, nn.Options{Threads: threads})
			if first == nil {
				first = got
			}
			for i := range got {
				if !slices.Equal(got[i], first[i]) {
					t.Errorf("%s: %d threads: array %d differs from one thread's", m.Name, threads, i)
				}
			}
		}
	}
}

// TestIncompleteBatch wants of n samples in a larger plan what a plan for n samples gives.
func TestIncompleteBatch(t *testing.T) {
	for _, m := range []*nn.Model{must(zoo.New("tutorial", nn.Shape{10, 10, 10, 3}, 10)), everyReference()} {
		m.Init(1)
		for _, without := range [][]string{nil, {"all"}} {
			for n := 1; n <= 4; n += 3 {
				want, got := step(t, m, n, n, nn.Options{Without: without}), step(t, m, 9, n, nn.Options{Without: without})
				for i := range got {
					if !slices.Equal(got[i], want[i]) {
						t.Errorf("%s without %v: %d samples of 9: array %d differs from a plan of %d", m.Name, without, n, i, n)
					}
				}
			}
		}
	}
}

func TestStepsDoNotAllocate(t *testing.T) {
	for _, m := range []*nn.Model{must(zoo.New("tutorial", nn.Shape{10, 10, 10, 3}, 10)), everyReference()} {
		for _, without := range [][]string{nil, {"all"}} {
			for _, training := range []bool{true, false} {
				m.Init(1)
				plan := must(m.Compile(4, nn.Options{Training: training, Threads: 2, Without: without}))
				adam := train.NewAdam(m, 1e-3)
				run := func() {
					if err := plan.Forward(3, training, 1); err != nil {
						t.Fatal(err)
					}
					if training {
						plan.Backward()
						adam.Step(plan)
					}
				}
				run()
				if n := testing.AllocsPerRun(5, run); n != 0 {
					t.Errorf("%s without %v, training %v: %v allocations in a step", m.Name, without, training, n)
				}
				plan.Close()
			}
		}
	}
}

func TestNonFiniteNamesTheLayer(t *testing.T) {
	m := must(zoo.New("tutorial", nn.Shape{10, 10, 10, 3}, 10))
	m.Init(1)
	plan := must(m.Compile(2, nn.Options{Training: true}))
	defer plan.Close()
	if err := plan.Forward(2, true, 0); err != nil {
		t.Fatal(err)
	}
	if got := plan.NonFinite(); got != "" {
		t.Errorf("got layer %q, want none", got)
	}
	for _, p := range m.Params() {
		if p.Name == "dense_1/bias" {
			p.Value[7] = float32(math.Inf(1))
		}
	}
	if err := plan.Forward(2, true, 0); err != nil {
		t.Fatal(err)
	}
	if got := plan.NonFinite(); !strings.Contains(got, "dense_1") {
		t.Errorf("got layer %q, want dense_1", got)
	}
}

// TestInitializers checks limits and moments of what Init draws, and that it depends on seed and name alone.
func TestInitializers(t *testing.T) {
	// A kernel of 3x3x3, 8 channels to 64: fan in 216, fan out 1728.
	for name, c := range map[string]struct{ deviation, limit float64 }{
		"glorot_uniform": {math.Sqrt(2. / (216 + 1728)), math.Sqrt(6. / (216 + 1728))},
		"he_uniform":     {math.Sqrt(2. / 216), math.Sqrt(6. / 216)},
		"lecun_uniform":  {math.Sqrt(1. / 216), math.Sqrt(3. / 216)},
		"glorot_normal":  {math.Sqrt(2. / (216 + 1728)), 2 * math.Sqrt(2./(216+1728)) / .8796},
		"he_normal":      {math.Sqrt(2. / 216), 2 * math.Sqrt(2./216) / .8796},
		"lecun_normal":   {math.Sqrt(1. / 216), 2 * math.Sqrt(1./216) / .8796},
	} {
		conv := layers.NewConv3D(64, 3, "")
		conv.KernelWeight.Initializer, conv.BiasWeight.Initializer = layers.Initializer(name), layers.Initializer("ones")
		m := must(nn.Sequential("", nn.Shape{3, 3, 3, 8}, layers.NewActivation("tanh"), conv))
		m.Init(5)
		kernel := slices.Clone(m.Params()[0].Value)
		var sum, squares, most float64
		for _, v := range kernel {
			sum, squares, most = sum+float64(v), squares+float64(v)*float64(v), max(most, math.Abs(float64(v)))
		}
		n := float64(len(kernel))
		if deviation := math.Sqrt(squares / n); math.Abs(deviation/c.deviation-1) > .03 || math.Abs(sum/n) > .03*c.deviation {
			t.Errorf("%s: got mean %g and deviation %g, want 0 and %g", name, sum/n, deviation, c.deviation)
		}
		if most > c.limit || most < .9*c.limit {
			t.Errorf("%s: got a largest value of %g, want just below %g", name, most, c.limit)
		}
		if bias := m.Params()[1].Value; slices.Min(bias) != 1 || slices.Max(bias) != 1 {
			t.Errorf("ones: got %v", bias)
		}
		alone := layers.NewConv3D(64, 3, "")
		alone.KernelWeight.Initializer = layers.Initializer(name)
		m = must(nn.Sequential("", nn.Shape{3, 3, 3, 8}, alone))
		if m.Init(5); !slices.Equal(m.Params()[0].Value, kernel) {
			t.Errorf("%s: another layer in the model changes the start", name)
		}
		if m.Init(6); slices.Equal(m.Params()[0].Value, kernel) {
			t.Errorf("%s: another seed does not change the start", name)
		}
	}
}

func TestModelsAreRefused(t *testing.T) {
	a, b := nn.Input("a", nn.Shape{4}), nn.Input("b", nn.Shape{4})
	sum := must(nn.Apply(layers.NewAdd(), a, b))
	used := layers.NewDense(2, "")
	out := must(nn.Apply(used, sum))
	_, errTwice := nn.Apply(used, nn.Input("", nn.Shape{5}))
	_, errInput := nn.Functional("m", []*nn.Node{a}, []*nn.Node{out})
	_, errNone := nn.Functional("m", nil, []*nn.Node{out})
	twin := layers.NewDense(2, "")
	twin.Name = "a"
	_, errName := nn.Functional("m", []*nn.Node{a, b}, []*nn.Node{must(nn.Apply(twin, sum))})
	m := must(nn.Functional("m", []*nn.Node{a, b}, []*nn.Node{out}))
	_, errBatch := m.Compile(0, nn.Options{})
	_, errPalette := m.Compile(1, nn.Options{Palette: &nn.Palette{Channels: 4, Colours: make([]float32, 1024)}})
	_, errAdd := nn.Apply(layers.NewAdd(), a, nn.Input("", nn.Shape{5}))
	_, errOne := nn.Apply(layers.NewMultiply(), a)
	for want, err := range map[string]error{
		"first applied": errTwice, `input "b"`: errInput, "0 inputs": errNone, `two layers are named "a"`: errName,
		"batch size 0":       errBatch,
		"one input, found 2": errPalette, "(None, 4), (None, 5)": errAdd, "two or more": errOne,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want one with %q", err, want)
		}
	}
}
