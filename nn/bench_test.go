package nn_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/train"
	"github.com/voxelstream/voxelstream/nn/zoo"
)

// benchPalette is made up; what matters is how many colours and how much background an input has.
func benchPalette() *nn.Palette {
	p := &nn.Palette{Channels: 3, Colours: make([]float32, 256*3)}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range p.Colours {
		p.Colours[i] = r.Float32()
	}
	return p
}

// benchFill draws a stroke of some 700 voxels in each sample, which lie beside each other as those of the archive
// of 3D MNIST do, or floats without order.
func benchFill(plan *nn.Plan) {
	r := rand.New(rand.NewPCG(3, 4))
	index := plan.Index()
	for sample := range len(index) / 4096 {
		slope, at := 2*r.Float64()-1, 6+4*r.Float64()
		for i := range 4096 {
			z, y, x := i/256, i/16%16, float64(i%16)
			if z >= 2 && z < 14 && math.Abs(at+slope*(x-8)-float64(y)) < 2 {
				index[sample*4096+i] = uint8(1 + r.IntN(255))
			}
		}
	}
	for i := range plan.Input(0) {
		plan.Input(0)[i] = r.Float32()
	}
}

func inputs() map[string]*nn.Palette {
	return map[string]*nn.Palette{"palette": benchPalette(), "float": nil}
}

func BenchmarkTrain(b *testing.B) {
	const batch = 128
	for name, palette := range inputs() {
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s/threads=%d", name, threads), func(b *testing.B) {
				m, err := zoo.New("tutorial", nn.Shape{16, 16, 16, 3}, 10)
				if err != nil {
					b.Fatal(err)
				}
				m.Init(1)
				plan, err := m.Compile(batch, nn.Options{Training: true, Threads: threads, Palette: palette})
				if err != nil {
					b.Fatal(err)
				}
				defer plan.Close()
				benchFill(plan)
				adam := train.NewAdam(m, 1e-3)
				b.ReportAllocs()
				for step := uint64(0); b.Loop(); step++ {
					if err := plan.Forward(batch, true, step); err != nil {
						b.Fatal(err)
					}
					grad := plan.OutputGrad(0)
					for i := range grad {
						grad[i] = 0
						if i%10 == 3 {
							grad[i] = -1. / batch / max(plan.Output(0)[i], 1e-7)
						}
					}
					plan.Backward()
					adam.Step(plan)
				}
				b.ReportMetric(batch*float64(b.N)/b.Elapsed().Seconds(), "samples/s")
			})
		}
	}
}

func BenchmarkInfer(b *testing.B) {
	for name, palette := range inputs() {
		for _, batch := range []int{1, 128} {
			for _, threads := range []int{1, 2} {
				b.Run(fmt.Sprintf("%s/batch=%d/threads=%d", name, batch, threads), func(b *testing.B) {
					m, err := zoo.New("tutorial", nn.Shape{16, 16, 16, 3}, 10)
					if err != nil {
						b.Fatal(err)
					}
					m.Init(1)
					plan, err := m.Compile(batch, nn.Options{Threads: threads, Palette: palette})
					if err != nil {
						b.Fatal(err)
					}
					defer plan.Close()
					benchFill(plan)
					b.ReportAllocs()
					for b.Loop() {
						if err := plan.Forward(batch, false, 0); err != nil {
							b.Fatal(err)
						}
					}
					b.ReportMetric(float64(batch)*float64(b.N)/b.Elapsed().Seconds(), "samples/s")
				})
			}
		}
	}
}
