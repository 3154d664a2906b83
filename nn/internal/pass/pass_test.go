package pass_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/fast"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
	"github.com/voxelstream/voxelstream/nn/internal/pass"
	"github.com/voxelstream/voxelstream/nn/layers"
	"github.com/voxelstream/voxelstream/nn/zoo"
)

func TestMain(m *testing.M) {
	pass.SetStrided(1, 1000)
	fast.LastCache = 1 << 12 // what is done for large arrays is done for those of the tests
	goleak.VerifyTestMain(m)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// models are networks in which the passes' patterns occur, and some in which they nearly occur.
func models() []*nn.Model {
	conv := func(filters, size int, activation string, change func(c *layers.Conv3D)) *layers.Conv3D {
		c := layers.NewConv3D(filters, size, activation)
		if change != nil {
			change(c)
		}
		return c
	}
	same := func(c *layers.Conv3D) { c.Padding = "same" }
	grouped := func(groups int) func(c *layers.Conv3D) {
		return func(c *layers.Conv3D) { c.Padding, c.Groups = "same", groups }
	}
	transposed := func(filters, size, stride int, padding string) *layers.Conv3DTranspose {
		c := layers.NewConv3DTranspose(filters, size, stride, "tanh")
		c.Padding = padding
		return c
	}
	halved := func(c *layers.Conv3D) { c.Padding, c.Strides = "same", [3]int{2, 2, 2} }
	frozen := func(b *layers.BatchNormalization) *layers.BatchNormalization {
		b.Frozen = true
		return b
	}
	strided := func(c *layers.Conv3D) { c.Strides = [3]int{2, 1, 2} }
	overlap := layers.NewMaxPooling3D(3)
	overlap.Strides = [3]int{2, 2, 2}
	paddedPool := layers.NewMaxPooling3D(2)
	paddedPool.Padding = "same"
	input := nn.Input("input", nn.Shape{7, 6, 8, 3})
	a := must(nn.Apply(conv(6, 3, "relu", same), input))
	b := must(nn.Apply(conv(6, 3, "", same), a))
	b = must(nn.Apply(layers.NewBatchNormalization(), b))
	sum := must(nn.Apply(layers.NewAdd(), a, b))
	pooled := must(nn.Apply(layers.NewMaxPooling3D(2), must(nn.Apply(layers.NewReLU(), sum))))
	out := must(nn.Apply(layers.NewDense(4, "softmax"), must(nn.Apply(layers.NewFlatten(), pooled))))
	few := must(nn.Apply(conv(5, 2, "relu", same), nn.Input("small", nn.Shape{4, 3, 5, 3})))
	enlarged := must(nn.Apply(transposed(6, 3, 1, "same"), few))
	joined := must(nn.Apply(layers.NewConcatenate(), few, enlarged))
	skipped := must(nn.Apply(layers.NewFlatten(), must(nn.Apply(transposed(4, 2, 2, "valid"), joined))))
	return []*nn.Model{
		must(zoo.New("tutorial", nn.Shape{16, 16, 16, 3}, 10)),
		must(zoo.New("tutorial", nn.Shape{12, 11, 13, 3}, 10)),
		must(nn.Sequential("plain", nn.Shape{6, 5, 7, 3}, conv(8, 3, "relu", nil), layers.NewFlatten(),
			layers.NewDense(5, "softmax"))),
		must(nn.Sequential("same and strided", nn.Shape{9, 8, 10, 3}, conv(5, 3, "relu", same), layers.NewMaxPooling3D(2),
			conv(7, 2, "relu", strided), layers.NewFlatten(), layers.NewDense(9, "relu"), layers.NewDense(3, "softmax"))),
		must(nn.Sequential("remainder without dropout", nn.Shape{12, 12, 12, 3}, conv(8, 3, "relu", nil),
			layers.NewMaxPooling3D(2),
			layers.NewBatchNormalization(), layers.NewReLU(), conv(9, 2, "", nil), layers.NewMaxPooling3D(3), layers.NewReLU(),
			layers.NewFlatten(), layers.NewDense(3, "softmax"))),
		must(nn.Sequential("normalized before the rectifier", nn.Shape{8, 8, 8, 3}, conv(16, 3, "", nil),
			layers.NewBatchNormalization(),
			layers.NewReLU(), overlap, layers.NewDropout(.3), paddedPool, layers.NewFlatten(), layers.NewDense(3, "softmax"))),
		must(nn.Sequential("reshaped", nn.Shape{7, 6, 5, 3}, conv(4, 3, "relu", nil),
			&layers.Reshape{Target: []int{6, 5, 4, -1}}, layers.NewReLU(),
			layers.NewMaxPooling3D(2), layers.NewReLU(), &layers.Reshape{Target: []int{3, 2, 2, 2}},
			conv(3, 2, "tanh", nil), layers.NewMaxPooling3D(1),
			&layers.Reshape{Target: []int{1, 2, 1, 3}}, layers.NewActivation("elu"), layers.NewFlatten())),
		must(nn.Sequential("minimal filtering", nn.Shape{8, 9, 7, 3}, conv(16, 3, "tanh", same),
			conv(17, 3, "relu", same), layers.NewFlatten())),
		must(nn.Sequential("minimal filtering of 5", nn.Shape{7, 6, 8, 3}, conv(17, 1, "tanh", nil),
			conv(18, 5, "relu", same), layers.NewFlatten())),
		must(nn.Sequential("minimal filtering of 3 with a stride", nn.Shape{8, 15, 14, 3},
			conv(16, 2, "tanh", same), conv(17, 3, "relu", halved), layers.NewFlatten())),
		must(nn.Sequential("minimal filtering of 5 with a stride", nn.Shape{16, 7, 14, 3}, conv(17, 1, "tanh", nil),
			conv(16, 5, "relu", halved), layers.NewFlatten())),
		must(nn.Sequential("minimal filtering of 2", nn.Shape{8, 5, 7, 3}, conv(16, 1, "tanh", nil),
			conv(17, 2, "", same), layers.NewFlatten())),
		must(nn.Sequential("transposed", nn.Shape{4, 3, 5, 3}, conv(5, 2, "relu", same),
			transposed(6, 3, 2, "same"), transposed(7, 2, 3, "valid"),
			transposed(4, 3, 1, "same"), layers.NewFlatten())),
		must(nn.Sequential("grouped", nn.Shape{5, 6, 7, 3}, conv(4, 1, "", nil), conv(6, 3, "relu", grouped(2)),
			conv(12, 2, "tanh", func(c *layers.Conv3D) { strided(c); c.Groups = 3 }),
			conv(12, 3, "", grouped(12)), layers.NewFlatten())),
		must(nn.Sequential("depthwise", nn.Shape{6, 9, 7, 3}, conv(32, 1, "tanh", nil), conv(32, 3, "tanh", grouped(32)),
			conv(32, 3, "relu", func(c *layers.Conv3D) { strided(c); c.Groups = 32 }),
			conv(32, 1, "", func(c *layers.Conv3D) { strided(c); c.Groups = 32 }), layers.NewFlatten())),
		must(nn.Sequential("other normalizations", nn.Shape{7, 6, 5, 3}, conv(12, 3, "gelu", nil),
			layers.NewGroupNormalization(3), conv(16, 2, "silu", same),
			layers.NewLayerNormalization(), &layers.PReLU{SharedAxes: []int{1, 2, 3}},
			&layers.Rescaling{Scale: []float64{2}, Offset: []float64{-1}}, conv(5, 2, "mish", nil),
			frozen(layers.NewBatchNormalization()), layers.NewFlatten(), layers.NewDense(3, "log_softmax"))),
		must(nn.Functional("residual", []*nn.Node{input}, []*nn.Node{out})),
		must(nn.Functional("transposed beside its input", few.Inputs, []*nn.Node{skipped})),
		must(nn.Sequential("every third", nn.Shape{9, 8, 10, 3}, conv(5, 3, "relu", same),
			&layers.Pooling3D{Size: [3]int{1, 1, 1}, Strides: [3]int{3, 3, 2}, Padding: "valid"},
			conv(4, 2, "", nil), layers.NewFlatten())),
		must(zoo.New("voxnet", nn.Shape{16, 15, 17, 3}, 4)),
	}
}

// step is what one training step and one inference give.
type step struct {
	output, inference []float32
	params            []string
	grads             map[string][]float32
	moved             map[string][]float32
}

const batch = 5

func run(t *testing.T, m *nn.Model, palette *nn.Palette, n int, threads int, without ...string) step {
	t.Helper()
	before := map[string][]float32{}
	for _, p := range m.Params() {
		before[p.Name] = slices.Clone(p.Value)
	}
	defer func() {
		for _, p := range m.Params() {
			copy(p.Value, before[p.Name])
		}
	}()
	s := step{grads: map[string][]float32{}, moved: map[string][]float32{}}
	for _, training := range []bool{true, false} {
		plan, err := m.Compile(batch, nn.Options{
			Training: training, Threads: threads, Palette: palette,
			Without: without, Seed: 3,
		})
		if err != nil {
			t.Fatal(err)
		}
		fill(plan, palette)
		// The first pass leaves traces in all memory that is used again.
		for range 2 {
			if err := plan.Forward(n, false, 0); err != nil {
				t.Fatal(err)
			}
		}
		if !training {
			s.inference = slices.Clone(plan.Output(0))
			plan.Close()
			continue
		}
		for i := range 2 {
			if err := plan.Forward(n, true, uint64(i)); err != nil {
				t.Fatal(err)
			}
			r := rand.New(rand.NewPCG(8, 9))
			for j := range plan.OutputGrad(0) {
				plan.OutputGrad(0)[j] = float32(r.NormFloat64())
			}
			plan.Backward()
		}
		s.output = slices.Clone(plan.Output(0))
		for _, p := range m.Params() {
			s.params = append(s.params, p.Name)
			s.moved[p.Name] = slices.Clone(p.Value)
			if g := plan.Grad(p); g != nil {
				s.grads[p.Name] = slices.Clone(g)
			}
		}
		plan.Close()
	}
	return s
}

func fill(plan *nn.Plan, palette *nn.Palette) {
	r := rand.New(rand.NewPCG(4, 5))
	if palette == nil {
		for i := range plan.Input(0) {
			plan.Input(0)[i] = float32(r.NormFloat64())
		}
		return
	}
	for i := range plan.Index() {
		plan.Index()[i] = palette.Background
		if r.IntN(4) == 0 {
			plan.Index()[i] = uint8(r.IntN(256))
		}
	}
}

func largest(x []float32) float64 {
	most := 1e-2
	for _, v := range x {
		most = max(most, math.Abs(float64(v)))
	}
	return most
}

func near(t *testing.T, what string, got, want []float32, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: length %d, want %d", what, len(got), len(want))
	}
	scale := largest(want)
	for i := range got {
		if d := math.Abs(float64(got[i]) - float64(want[i])); !(d <= tol*scale) {
			t.Errorf("%s: element %d is %v, want %v (largest %v)", what, i, got[i], want[i], scale)
			return
		}
	}
}

func (s step) compare(t *testing.T, want step) {
	t.Helper()
	near(t, "inference", s.inference, want.inference, 1e-5)
	near(t, "output", s.output, want.output, 1e-5)
	most := 0.
	for _, name := range s.params {
		most = max(most, largest(want.grads[name]))
	}
	for _, name := range s.params {
		near(t, name+" moved", s.moved[name], want.moved[name], 1e-5)
		// A normalization takes the bias before it away again, so its gradient is nothing but rounding; hence the
		// scale of all gradients.
		near(t, name+" gradient", s.grads[name], want.grads[name], 3e-5*most/largest(want.grads[name]))
	}
}

func palette() *nn.Palette {
	p := &nn.Palette{Channels: 3, Colours: make([]float32, 256*3), Background: 2}
	r := rand.New(rand.NewPCG(6, 7))
	for i := range p.Colours {
		p.Colours[i] = r.Float32()
	}
	return p
}

// TestPassesKeepTheResult compares the plan with all passes, and with all but one, with the reference plan, on
// every tier.
func TestPassesKeepTheResult(t *testing.T) {
	before := kernel.InUse()
	t.Cleanup(func() {
		if err := kernel.Use(before); err != nil {
			t.Error(err)
		}
	})
	for _, m := range models() {
		m.Init(1)
		r := rand.New(rand.NewPCG(1, 2))
		for _, p := range m.Params() {
			for i := range p.Value {
				p.Value[i] += .1 * r.Float32() // biases and statistics that are not all alike
			}
		}
		for name, colours := range map[string]*nn.Palette{"floats": nil, "palette": palette()} {
			want := run(t, m, colours, batch-1, 1, "all")
			for _, tier := range kernel.Tiers() {
				if err := kernel.Use(tier); err != nil {
					t.Fatal(err)
				}
				t.Run(m.Name+"/"+name+"/"+string(tier), func(t *testing.T) {
					run(t, m, colours, batch-1, 2).compare(t, want)
				})
			}
			for _, p := range pass.All {
				t.Run(m.Name+"/"+name+"/without "+p.Name, func(t *testing.T) {
					run(t, m, colours, batch-1, 2, p.Name).compare(t, want)
				})
			}
		}
	}
}

// TestThreadsDoNotChangeTraining wants the same bits from any number of threads.
func TestThreadsDoNotChangeTraining(t *testing.T) {
	for _, m := range models() {
		m.Init(1)
		for _, colours := range []*nn.Palette{nil, palette()} {
			want := run(t, m, colours, batch, 1)
			for _, threads := range []int{2, 3} {
				got := run(t, m, colours, batch, threads)
				for name, g := range want.grads {
					if !slices.Equal(got.grads[name], g) {
						t.Errorf("%s: %d threads: gradient of %s differs", m.Name, threads, name)
					}
				}
				if !slices.Equal(got.output, want.output) || !slices.Equal(got.inference, want.inference) {
					t.Errorf("%s: %d threads: output differs", m.Name, threads)
				}
			}
		}
	}
}

func TestUnknownPassIsRefused(t *testing.T) {
	m := models()[2]
	if _, err := m.Compile(1, nn.Options{Without: []string{"crop-dead", "no-such-pass"}}); err == nil {
		t.Error("a pass that does not exist was accepted")
	}
}
