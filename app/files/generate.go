package files

import (
	"context"
	"errors"
	"time"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/dataset/mnist3d"
)

// GenerateOptions describes the archive to generate.
type GenerateOptions struct {
	// Digits and Labels are IDX files of MNIST. If both are empty, digits are drawn.
	Digits, Labels string
	// First and Count select digits, in file order. A Count of 0 selects the whole file, and is invalid for drawn
	// digits.
	First, Count int
	// Test is the number of digits, taken from the end, for the test part.
	Test    int
	Augment bool
	Grid    int
	Layout  string
	Out     string
}

// GenerateSummary is the result of generate.
type GenerateSummary struct {
	File    string  `json:"file"`
	Layout  string  `json:"layout"`
	Train   int     `json:"train"`
	Test    int     `json:"test"`
	Grid    int     `json:"grid"`
	Seed    uint64  `json:"seed"`
	Seconds float64 `json:"seconds"`
}

// Generate writes an archive of labelled 3D digits.
func Generate(ctx context.Context, a *app.Env, g GenerateOptions) (_ *GenerateSummary, err error) {
	o := mnist3d.Options{Test: g.Test, Augment: g.Augment, Grid: g.Grid, Seed: a.Config.Seed, Workers: a.Threads()}
	switch {
	case g.Out == "":
		return nil, app.Usage(errors.New("missing --out FILE, the file to write"))
	case (g.Digits == "") != (g.Labels == ""):
		return nil, app.Usage(errors.New("--digits and --labels must be given together"))
	case g.Digits != "":
		if o.Digits, err = mnist3d.OpenIDX(g.Digits, g.Labels, g.First, g.Count); err != nil {
			return nil, err
		}
	default:
		o.First, o.Count = g.First, g.Count
	}
	if mnist3d.Layout(g.Layout) == mnist3d.Clouds {
		o.Grid = 0
	}
	if err := o.Validate(); err != nil {
		return nil, app.Usage(err)
	}
	if err := a.CheckOutputs(g.Out); err != nil {
		return nil, err
	}
	start := time.Now()
	archive, err := mnist3d.CreateArchive(g.Out, mnist3d.Layout(g.Layout), o)
	if err != nil {
		return nil, err
	}
	train, test := o.Rows()
	bar := a.Bar("rows")
	defer bar.Done()
	done := int64(0)
	if err := mnist3d.Generate(ctx, o, func(r mnist3d.Row) error {
		done++
		bar.Set(done, int64(train+test), "")
		return archive.Write(r)
	}); err != nil {
		archive.Abort()
		return nil, err
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	return &GenerateSummary{
		File: g.Out, Layout: g.Layout, Train: train, Test: test, Grid: o.Grid, Seed: a.Config.Seed,
		Seconds: time.Since(start).Seconds(),
	}, nil
}
