package learn

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/augment"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/nn/train"
	"github.com/voxelstream/voxelstream/voxelize"
	"github.com/voxelstream/voxelstream/voxelize/colormap"
)

// augmentation augments the training rows of a dataset in each epoch: their points, which are then voxelized, or their
// volumes if a row has no points or the recipe needs grids. At least one of the two is possible.
type augmentation struct {
	recipe augment.Recipe
	seed   uint64
	// points and grids apply the recipe. One of them is nil if an augmentation cannot be applied to such data, for the
	// reason in notPoints or notGrids.
	points, grids       *augment.Augmenter
	notPoints, notGrids error
	// clouds has the points of all rows. It is nil if volumes are augmented.
	clouds    *clouds
	voxelizer *voxelize.Voxelizer
	scratch   sync.Pool // of *scratch
}

// scratch is memory for the rows that one goroutine augments.
type scratch struct{ row, partner cloudBuffer }

// newAugmentation returns the configured augmentation, or nil if there is none.
func newAugmentation(a *app.Env) (*augmentation, error) {
	recipe, problems := augment.Parse(string(a.Config.Train.Augment))
	if len(problems) > 0 {
		return nil, app.Usage(fmt.Errorf("train.augment: %w", errors.Join(problems...)))
	}
	if len(recipe) == 0 {
		return nil, nil
	}
	g := &augmentation{recipe: recipe, seed: a.Config.Seed, scratch: sync.Pool{New: func() any { return &scratch{} }}}
	g.points, g.notPoints = augment.New(recipe, augment.Points)
	g.grids, g.notGrids = augment.New(recipe, augment.Grids)
	if g.points != nil {
		g.clouds = &clouds{limit: int64(a.Config.Train.MemoryLimit) / 2}
	}
	return g, nil
}

// of returns the data that are augmented.
func (g *augmentation) of() augment.Data {
	if g.clouds != nil {
		return augment.Points
	}
	return augment.Grids
}

// String returns the recipe and what it is applied to, for the metadata of the model.
func (g *augmentation) String() string {
	if g == nil {
		return ""
	}
	return fmt.Sprintf("%s: %s", g.of(), g.recipe)
}

// add adds the next row of the dataset, which was made by v. The first row without points makes the volumes of all rows
// be augmented.
func (g *augmentation) add(s *ingest.Sample, v *voxelize.Voxelizer) error {
	if g.clouds != nil {
		p, err := pointsOf(s.Data, v)
		if err != nil {
			return err
		}
		if p != nil {
			g.voxelizer = v
			return g.clouds.add(p)
		}
	}
	return g.useGrids()
}

// useGrids makes the volumes of all rows be augmented.
func (g *augmentation) useGrids() error {
	if g.grids == nil {
		return app.Usage(fmt.Errorf("train.augment: %w", g.notGrids))
	}
	return g.close()
}

// close frees the points.
func (g *augmentation) close() error {
	if g == nil || g.clouds == nil {
		return nil
	}
	c := g.clouds
	g.clouds = nil
	return c.close()
}

// pointsOf returns the points from which a voxelizer makes a volume, or nil if it needs something else.
func pointsOf(d ingest.Data, v *voxelize.Voxelizer) (*ingest.PointCloud, error) {
	switch d := d.(type) {
	case *ingest.PointCloud:
		return d, nil
	case *ingest.Frame:
		if !v.Method().Needs.Frames {
			return d.Points()
		}
	}
	return nil, nil
}

// augmented is the rows of a dataset with an augmentation. Read gives the rows as they are.
type augmented struct {
	train.Rows
	d *dataset
}

// ReadEpoch implements [train.Varied].
func (r augmented) ReadEpoch(epoch, row, trained int, b *train.Batch) error {
	g := r.d.augmentation
	rng := augment.Rand(g.seed, epoch, row)
	b.Labels[0], b.Weights[0] = r.d.labels[row], 1
	if g.clouds != nil {
		return r.points(rng, row, trained, b)
	}
	return r.grid(rng, row, trained, b)
}

// points fills b with the volume of augmented points. A row of which nothing is left stays as it is.
func (r augmented) points(rng *rand.Rand, row, trained int, b *train.Batch) error {
	g := r.d.augmentation
	s := g.scratch.Get().(*scratch)
	defer g.scratch.Put(s)
	p, err := g.clouds.read(row, &s.row)
	if err != nil {
		return err
	}
	g.points.Points(rng, p)
	if other, share, ok := g.points.Partner(rng, trained); ok {
		q, err := g.clouds.read(other, &s.partner)
		if err != nil {
			return err
		}
		g.points.Points(rng, q)
		augment.MixPoints(rng, p, q, share)
		b.Mixed[0] = train.Mixed{Label: r.d.labels[other], Share: float32(1 - share)}
	}
	v, err := g.voxelizer.Volume(ingest.Sample{ID: r.d.ids[row], Data: p})
	if errors.Is(err, voxelize.ErrEmpty) {
		b.Mixed[0] = train.Mixed{}
		return r.Read(row, b)
	}
	if err == nil {
		err = r.d.input.Check(&v)
	}
	if err != nil {
		return fmt.Errorf("augmented row %d: %w", row, err)
	}
	if b.Index != nil {
		copy(b.Index, v.Index)
		return nil
	}
	return r.d.input.Put(b.X, &v)
}

// grid fills b with an augmented volume.
func (r augmented) grid(rng *rand.Rand, row, trained int, b *train.Batch) error {
	g := r.d.augmentation
	volume, err := r.augment(rng, row)
	if err != nil {
		return err
	}
	if other, share, ok := g.grids.Partner(rng, trained); ok {
		partner, err := r.augment(rng, other)
		if err != nil {
			return err
		}
		augment.MixGrids(volume, partner, share)
		b.Mixed[0] = train.Mixed{Label: r.d.labels[other], Share: float32(1 - share)}
	}
	if b.Index == nil {
		v := r.d.input.Volume(volume.Values, nil)
		v.Values, v.Content.Values = volume.Values, r.d.input.Values // they are scaled already
		return r.d.input.Put(b.X, &v)
	}
	if r.d.input.Values == voxelize.PaletteIndices || r.d.input.Values == voxelize.FullPalette {
		colormap.Index(b.Index, volume.Values)
		return nil
	}
	for i, x := range volume.Values {
		b.Index[i] = colormap.Entry(x)
	}
	return nil
}

// augment returns an augmented copy of a volume. Palette indices become values from 0 to 1.
func (r augmented) augment(rng *rand.Rand, row int) (*ingest.Grid, error) {
	v, err := r.d.volume(row)
	if err != nil {
		return nil, err
	}
	grid := &ingest.Grid{Dims: v.Dims, Channels: v.Content.Channels, Values: v.Values}
	if v.Index != nil {
		grid.Values = make([]float32, len(v.Index))
		for i, x := range v.Index {
			grid.Values[i] = float32(x) / (colormap.Size - 1)
		}
	}
	r.d.augmentation.grids.Grid(rng, grid)
	return grid, nil
}

// Digest adds the points to the digest of the volumes.
func (r augmented) Digest() (uint64, error) {
	digest, err := r.Rows.Digest()
	if c := r.d.augmentation.clouds; c != nil {
		digest ^= uint64(c.sum)
	}
	return digest, err
}

// inEpoch is the rows that are trained on, as they are in the first epoch.
type inEpoch struct {
	train.Varied
	trained int
}

func (r inEpoch) Len() int { return r.trained }

func (r inEpoch) Read(lo int, b *train.Batch) error {
	n := len(b.Labels)
	for i := range n {
		one := train.Batch{
			X: share(b.X, i, n), Index: share(b.Index, i, n), Labels: b.Labels[i : i+1], Weights: b.Weights[i : i+1],
			Mixed: make([]train.Mixed, 1),
		}
		if err := r.ReadEpoch(1, lo+i, r.trained, &one); err != nil {
			return err
		}
	}
	return nil
}
