package models

import (
	"context"
	"math/rand/v2"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/dataset/mnist3d"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/voxelize"
)

// feed generates test input for a model: drawn digits if it takes volumes, random numbers otherwise.
type feed struct {
	palette *nn.Palette
	index   []uint8
	dense   [][]float32 // by input
	labels  []int32
}

func (f *feed) load(p *nn.Plan) {
	if f.palette != nil {
		copy(p.Index(), f.index)
		return
	}
	for i, x := range f.dense {
		copy(p.Input(i), x)
	}
}

func feedFor(ctx context.Context, a *app.Env, m *Loaded, rows int) (*feed, error) {
	in, err := classify.InputOf(m.Model, classify.PreferencesIn(a.Config.Voxelize))
	if err == nil && in.Palette != nil {
		return paletteFeed(ctx, a, m, rows)
	}
	return denseFeed(a, m, rows), nil
}

func denseFeed(a *app.Env, m *Loaded, rows int) *feed {
	r := rand.New(rand.NewPCG(a.Config.Seed, 1))
	f := &feed{}
	for _, in := range m.Inputs() {
		x := make([]float32, rows*in.Shape.Size())
		for i := range x {
			x[i] = r.Float32()
		}
		f.dense = append(f.dense, x)
	}
	f.randomLabels(m, rows, r)
	return f
}

func (f *feed) randomLabels(m *Loaded, rows int, r *rand.Rand) {
	for range rows {
		f.labels = append(f.labels, int32(r.IntN(m.Outputs()[0].Shape.Size())))
	}
}

// paletteFeed voxelizes drawn digits, upright and rotated, at the model's input size. These volumes are as dense as
// real ones.
func paletteFeed(ctx context.Context, a *app.Env, m *Loaded, rows int) (*feed, error) {
	in, err := classify.InputOf(m.Model, classify.Preferences{
		Values: voxelize.PaletteIndices, Colormap: string(a.Config.Voxelize.Colormap),
	})
	if err != nil {
		return nil, err
	}
	v, err := voxelize.New(in.Options(voxelize.Options{Method: voxelize.Regular.Name}))
	if err != nil {
		return nil, err
	}
	f := &feed{palette: in.Colours()}
	cells, _ := in.Size()
	o := mnist3d.Options{Count: min((rows+1)/2, 64), Augment: true, Seed: a.Config.Seed, Workers: a.Threads()}
	if err := mnist3d.Generate(ctx, o, func(r mnist3d.Row) error {
		vol, err := v.Volume(ingest.Sample{ID: record.ID{Stream: "feed", Seq: uint64(r.Number)}, Data: r.Cloud.Points})
		f.index = append(f.index, vol.Index...)
		return err
	}); err != nil {
		return nil, err
	}
	for have := len(f.index); len(f.index) < rows*cells; { // repeat the drawings if there are more rows
		f.index = append(f.index, f.index[len(f.index)-have:len(f.index)-have+cells]...)
	}
	f.index = f.index[:rows*cells]
	f.randomLabels(m, rows, rand.New(rand.NewPCG(a.Config.Seed, 1)))
	return f, nil
}
