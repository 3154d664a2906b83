package nn_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
	"github.com/voxelstream/voxelstream/nn/layers"
	"github.com/voxelstream/voxelstream/nn/zoo"
)

// peak is how many products and sums a second the bare microkernel makes on some threads, all of its operands in
// the first-level cache.
func peak(threads int) float64 {
	const m, n, k, calls = 14, 32, 256, 64
	var all sync.WaitGroup
	sums := make([]float64, threads)
	for i := range threads {
		all.Go(func() {
			x, y, z := make([]float32, m*k), make([]float32, k*n), make([]float32, m*n)
			start, done := time.Now(), 0
			for time.Since(start) < 50*time.Millisecond {
				for range calls {
					kernel.Gemm(m, n, k, x, k, 1, y, n, z, n, true)
				}
				done += calls
			}
			sums[i] = 2 * m * n * k * float64(done) / time.Since(start).Seconds()
		})
	}
	all.Wait()
	total := 0.
	for _, s := range sums {
		total += s
	}
	return total
}

// convLayer is a convolution alone, with padding 'same'.
type convLayer struct {
	side, in, out, kernel, stride, groups, dilation int
	transpose                                       bool
}

func (c convLayer) String() string {
	s := fmt.Sprintf("%d^3 %d-%d k%d s%d", c.side, c.in, c.out, c.kernel, c.stride)
	if c.groups > 1 {
		s += fmt.Sprintf(" g%d", c.groups)
	}
	if c.dilation > 1 {
		s += fmt.Sprintf(" d%d", c.dilation)
	}
	if c.transpose {
		s += " transposed"
	}
	return s
}

// layer returns the convolution, and twice its products for one sample, padding included.
func (c convLayer) layer() (nn.Layer, float64) {
	cube := func(n int) [3]int { return [3]int{n, n, n} }
	volume := func(n int) float64 { return float64(n * n * n) }
	if c.transpose {
		l := layers.NewConv3DTranspose(c.out, c.kernel, c.stride, "")
		l.Padding = "same"
		return l, 2 * volume(c.side) * volume(c.kernel) * float64(c.in*c.out)
	}
	l := layers.NewConv3D(c.out, c.kernel, "")
	l.Strides, l.Padding, l.Groups, l.Dilation = cube(c.stride), "same", max(1, c.groups), cube(max(1, c.dilation))
	return l, 2 * volume((c.side+c.stride-1)/c.stride) * volume(c.kernel) * float64(c.in*c.out/l.Groups)
}

func convLayers() []convLayer {
	var out []convLayer
	for _, s := range [][3]int{{14, 32, 64}, {16, 64, 64}, {32, 64, 64}} {
		for _, k := range []int{1, 3, 5} {
			for _, stride := range []int{1, 2} {
				out = append(out, convLayer{side: s[0], in: s[1], out: s[2], kernel: k, stride: stride})
			}
		}
	}
	return append(out,
		convLayer{side: 16, in: 64, out: 64, kernel: 3, stride: 1, groups: 4},
		convLayer{side: 16, in: 64, out: 64, kernel: 3, stride: 1, groups: 64},
		convLayer{side: 16, in: 64, out: 64, kernel: 3, stride: 1, dilation: 2},
		convLayer{side: 16, in: 30, out: 50, kernel: 3, stride: 2},
		convLayer{side: 16, in: 64, out: 32, kernel: 2, stride: 2, transpose: true},
		convLayer{side: 16, in: 64, out: 32, kernel: 3, stride: 2, transpose: true},
	)
}

// BenchmarkLayer measures convolutions alone: samples a second, products and sums a second as if all were made, and
// what part that is of what the bare microkernel shows around the run; minimal filtering goes beyond all of it.
// "train" has no gradient of the input, as the first layer of a model has none; "middle" has it, and a batch
// normalization before, whose gradient it is. "direct" is "infer" and "steps" is "train" without minimal filtering.
func BenchmarkLayer(b *testing.B) {
	const threads = 2
	for _, c := range convLayers() {
		batch := 128
		if c.side > 16 {
			batch = 16
		}
		for _, mode := range []string{"train", "middle", "infer", "one", "direct", "steps"} {
			b.Run(c.String()+"/"+mode, func(b *testing.B) {
				l, flops := c.layer()
				stack := []nn.Layer{l}
				n := batch
				o := nn.Options{Threads: threads, Training: mode == "train" || mode == "steps" || mode == "middle"}
				if mode == "direct" || mode == "steps" {
					o.Without = []string{"winograd", "winograd4"}
				}
				switch mode {
				case "train", "steps":
					flops *= 2
				case "middle":
					flops *= 3
					stack = []nn.Layer{layers.NewBatchNormalization(), l}
				case "one":
					n = 1
				}
				m, err := nn.Sequential("layer", nn.Shape{c.side, c.side, c.side, c.in}, stack...)
				if err != nil {
					b.Fatal(err)
				}
				benchModel(b, m, n, o, flops)
			})
		}
	}
}

// BenchmarkZoo measures the other built-in models.
func BenchmarkZoo(b *testing.B) {
	for _, c := range []struct {
		name          string
		side, classes int
	}{{"voxnet", 32, 40}, {"resnet", 32, 10}, {"medical", 64, 2}} {
		for _, mode := range []string{"train", "infer", "one"} {
			b.Run(c.name+"/"+mode, func(b *testing.B) {
				m, err := zoo.New(c.name, nn.Shape{c.side, c.side, c.side, 1}, c.classes)
				if err != nil {
					b.Fatal(err)
				}
				n := 32
				if mode == "one" {
					n = 1
				}
				benchModel(b, m, n, nn.Options{Threads: 2, Training: mode == "train"}, 0)
			})
		}
	}
}

// benchModel runs batches of n samples, forward or a step of training without its optimizer.
func benchModel(b *testing.B, m *nn.Model, n int, o nn.Options, flops float64) {
	m.Init(1)
	plan, err := m.Compile(n, o)
	if err != nil {
		b.Fatal(err)
	}
	defer plan.Close()
	benchFill(plan)
	step := func() {
		if err := plan.Forward(n, o.Training, 0); err != nil {
			b.Fatal(err)
		}
		if o.Training {
			plan.Backward()
		}
	}
	step()
	if o.Training {
		for i := range plan.OutputGrad(0) {
			plan.OutputGrad(0)[i] = float32(i%7) - 3
		}
	}
	before := peak(o.Threads)
	b.ReportAllocs()
	for b.Loop() {
		step()
	}
	samples := float64(n) * float64(b.N) / b.Elapsed().Seconds()
	b.ReportMetric(samples, "samples/s")
	if flops > 0 {
		b.ReportMetric(samples*flops/1e9, "GFLOP/s")
		b.ReportMetric(200*samples*flops/(before+peak(o.Threads)), "%peak")
	}
}
