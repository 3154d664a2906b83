package models

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/train"
)

// BenchResult is the result of model bench.
type BenchResult struct {
	Batch     int           `json:"batch"`
	Mode      string        `json:"mode"`
	PerSecond float64       `json:"samples_per_second"`
	LatencyMS app.Quantiles `json:"latency_ms"`
	Tier      string        `json:"tier"`
	Threads   int           `json:"threads"`
	Input     string        `json:"input"`
	Steps     int           `json:"steps"`
}

// BenchOptions are the options of model bench.
type BenchOptions struct {
	Batch   int
	Mode    string // infer or train
	Input   string // palette or dense
	Lasting time.Duration
	// Without lists the optimization passes to disable, or "all".
	Without []string
}

// maxBenchBatch is the largest batch that is measured.
const maxBenchBatch = 1 << 16

// check validates the options.
func (o BenchOptions) check() error {
	switch {
	case o.Batch < 1 || o.Batch > maxBenchBatch:
		return app.Usage(fmt.Errorf("--batch: found %d, want 1 to %d", o.Batch, maxBenchBatch))
	case o.Mode != "infer" && o.Mode != "train":
		return app.Usage(fmt.Errorf("--mode: found %q, want infer or train", o.Mode))
	case o.Input != "palette" && o.Input != "dense":
		return app.Usage(fmt.Errorf("--input: found %q, want palette or dense", o.Input))
	}
	if err := nn.CheckPasses(o.Without); err != nil {
		return app.Usage(fmt.Errorf("--without: %w", err))
	}
	return nil
}

// Bench measures the inference or training speed of a model on batches of one size.
func Bench(ctx context.Context, a *app.Env, path string, o BenchOptions) (*BenchResult, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	batch, mode, input := o.Batch, o.Mode, o.Input
	m, err := Load(ctx, path, a.Config.Model.Opening())
	if err != nil {
		return nil, err
	}
	var f *feed
	if input == "dense" {
		f = denseFeed(a, m, batch)
	} else if f, err = paletteFeed(ctx, a, m, batch); err != nil {
		return nil, err
	}
	debug.FreeOSMemory() // releases the drawings, so that only the network's memory is measured
	plan, err := m.Compile(batch, nn.Options{
		Training: mode == "train", Threads: a.Threads(), Palette: f.palette,
		Without: o.Without, Seed: a.Config.Seed,
	})
	if err != nil {
		return nil, err
	}
	defer plan.Close()
	// The input is where the plan reads it.
	f.load(plan)
	step := func(n uint64) error { return plan.Forward(batch, false, n) }
	if mode == "train" {
		adam := train.NewAdam(m.Model, a.Config.Train.LearningRate)
		step = func(n uint64) error {
			if err := plan.Forward(batch, true, n); err != nil {
				return err
			}
			gradient(plan, f.labels, len(m.Outputs()[0].Shape) == 1, a.Threads())
			plan.Backward()
			adam.Step(plan)
			return nil
		}
	}
	var times []float64
	begin := time.Now()
	for n := uint64(0); ; n++ {
		start := time.Now()
		if err := step(n); err != nil {
			return nil, err
		}
		const warmUp = 3
		if n < warmUp {
			begin = time.Now()
			continue
		}
		times = append(times, time.Since(start).Seconds()*1e3)
		if ctx.Err() != nil || time.Since(begin) >= o.Lasting {
			break
		}
	}
	total := time.Since(begin).Seconds()
	slices.Sort(times)
	at := func(q float64) float64 { return times[min(len(times)-1, int(q*float64(len(times))))] }
	return &BenchResult{
		Batch: batch, Mode: mode, PerSecond: float64(batch*len(times)) / total,
		LatencyMS: app.Quantiles{P50: at(0.5), P99: at(0.99)}, Tier: nn.Tier(), Threads: a.Threads(),
		Input: input, Steps: len(times),
	}, nil
}

// gradient computes the derivative of categorical cross-entropy, -1/(p n) at each row's label. If the output is not a
// vector of classes, it computes the derivative of the mean square of all elements, in parallel because there may be
// many.
func gradient(p *nn.Plan, labels []int32, classes bool, threads int) {
	out, grad := p.Output(0), p.OutputGrad(0)
	if !classes {
		scale := 2 / float32(len(out))
		var all sync.WaitGroup
		for i := range threads {
			lo, hi := len(out)*i/threads, len(out)*(i+1)/threads
			all.Go(func() {
				to := grad[lo:hi]
				for j, v := range out[lo:hi] {
					to[j] = scale * v
				}
			})
		}
		all.Wait()
		return
	}
	row := len(out) / len(labels)
	clear(grad)
	for i, l := range labels {
		at := i*row + int(l)
		grad[at] = -1 / (max(out[at], 1e-7) * float32(len(labels)))
	}
}
