package models

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/record"
)

// VerifyResult is the result of model verify.
type VerifyResult struct {
	record.Model
	// Passes is the largest output difference between optimized and plain inference. Threads is that between one
	// thread and several.
	Passes  float64 `json:"max_difference_passes"`
	Threads float64 `json:"max_difference_threads"`
	Rows    int     `json:"rows"`
	Tier    string  `json:"tier"`
}

// verifyRows is the number of rows that Verify computes.
const verifyRows = 16

// PassTolerance is the maximum difference that optimization passes may make to an output. They change the order of
// float32 sums.
const PassTolerance = 1e-4

// Verify checks that a model's parameters are finite, that the optimized and the plain network agree, and that the
// result does not depend on the number of threads.
func Verify(ctx context.Context, a *app.Env, path string) (*VerifyResult, error) {
	m, err := Load(ctx, path, a.Config.Model.Opening())
	if err != nil {
		return nil, err
	}
	for _, p := range m.Params() {
		if i := slices.IndexFunc(p.Value, func(v float32) bool { return !finite(float64(v)) }); i >= 0 {
			return nil, fmt.Errorf("model %s: parameter %s: found %g at %d, want finite numbers", m.Name, p.Name,
				p.Value[i], i)
		}
	}
	feed, err := feedFor(ctx, a, m, verifyRows)
	if err != nil {
		return nil, err
	}
	exact := m.In(nn.Precision{}) // the passes are compared in float32
	plain, err := output(exact, nn.Options{Threads: 1, Without: []string{"all"}}, feed)
	if err != nil {
		return nil, err
	}
	fast, err := output(exact, nn.Options{Threads: 1}, feed)
	if err != nil {
		return nil, err
	}
	one, err := output(m.Model, nn.Options{Threads: 1}, feed)
	if err != nil {
		return nil, err
	}
	many, err := output(m.Model, nn.Options{Threads: max(2, a.Threads())}, feed)
	if err != nil {
		return nil, err
	}
	r := &VerifyResult{
		Model: m.Info, Passes: distance(plain, fast), Threads: distance(one, many), Rows: verifyRows,
		Tier: nn.Tier(),
	}
	if !(r.Passes <= PassTolerance) || r.Threads != 0 {
		return r, fmt.Errorf("model %s: outputs of optimized and plain inference differ by %g, and those of one and "+
			"several threads by %g", m.Name, r.Passes, r.Threads)
	}
	return r, nil
}

func finite(v float64) bool { return v-v == 0 }

func distance(a, b []float32) float64 {
	most := 0.0
	for i := range a {
		most = math.Max(most, math.Abs(float64(a[i])-float64(b[i]))) // math.Max returns NaN if an argument is NaN
	}
	return most
}

// output returns the model's first output for the input from feed.
func output(m *nn.Model, o nn.Options, feed *feed) ([]float32, error) {
	o.Palette = feed.palette
	plan, err := m.Compile(verifyRows, o)
	if err != nil {
		return nil, err
	}
	defer plan.Close()
	feed.load(plan)
	if err := plan.Forward(verifyRows, false, 0); err != nil {
		return nil, err
	}
	return slices.Clone(plan.Output(0)), nil
}
