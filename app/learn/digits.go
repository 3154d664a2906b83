package learn

import (
	"cmp"
	"fmt"
	"hash/crc64"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/dataset/mnist3d"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/train"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/voxelize"
)

// digits is images of digits as rows of 3D MNIST: row 2i is digit i upright, and row 2i+1 a rotated, noisy copy. In
// training each epoch has other copies, and every second time a copy in place of an upright digit.
type digits struct {
	digits    []mnist3d.Digit
	input     *classify.Input
	voxelizer *voxelize.Voxelizer
	seed      uint64
	// upright keeps the rows of upright digits, whose making takes longest. It is nil if they would need too much memory.
	upright  []atomic.Pointer[voxelize.Volume]
	samplers sync.Pool
}

// uprightShare is the probability that a row of an upright digit stays one in training.
const uprightShare = .5

// newDigits returns the rows of digits for a model with the given input.
func newDigits(d []mnist3d.Digit, in *classify.Input, o voxelize.Options, seed uint64, memory int64) (*digits, error) {
	o = in.Options(o)
	v, err := voxelize.New(o)
	if err != nil {
		return nil, err
	}
	if in.Dims[0] != in.Dims[1] || in.Dims[1] != in.Dims[2] {
		return nil, fmt.Errorf("found %v cells, want a cube for digits", in.Dims)
	}
	g := &digits{digits: d, input: in, voxelizer: v, seed: seed}
	g.samplers.New = func() any { return &sampler{grid: ingest.Grid{Dims: in.Dims, Channels: 1}} }
	if size, _ := in.Size(); int64(len(d)*(size+200)) <= memory {
		g.upright = make([]atomic.Pointer[voxelize.Volume], len(d))
	}
	return g, nil
}

// sampler is memory for a rotated digit.
type sampler struct {
	mnist3d.Sampler
	grid ingest.Grid
}

// Len returns the number of rows.
func (g *digits) Len() int { return 2 * len(g.digits) }

// Colours returns the palette of the input.
func (g *digits) Colours() *nn.Palette { return g.input.Colours() }

// Read fills b with rows for validation: they are the same whenever they are read.
func (g *digits) Read(lo int, b *train.Batch) error {
	n := len(b.Labels)
	for i := range n {
		one := train.Batch{
			X: share(b.X, i, n), Index: share(b.Index, i, n), Labels: b.Labels[i : i+1], Weights: b.Weights[i : i+1],
		}
		if err := g.row(0, lo+i, (lo+i)%2 == 0, &one); err != nil {
			return err
		}
	}
	return nil
}

// ReadEpoch fills b with a row for training. Whether it is upright depends on a bit of its random numbers that its
// rotation does not use.
func (g *digits) ReadEpoch(epoch, row, _ int, b *train.Batch) error {
	r := rand.New(rand.NewPCG(g.seed^uint64(epoch)<<32, uint64(row)))
	return g.row(epoch, row, row%2 == 0 && r.Float64() < uprightShare, b)
}

// row fills b with the digit of a row, upright or rotated.
func (g *digits) row(epoch, row int, upright bool, b *train.Batch) error {
	digit := &g.digits[row/2]
	b.Labels[0], b.Weights[0] = int32(digit.Label), 1
	v, err := g.volume(epoch, row, upright)
	if err != nil {
		return fmt.Errorf("digit %d: %w", row/2, err)
	}
	if b.Index != nil {
		copy(b.Index, v.Index)
		return nil
	}
	return g.input.Put(b.X, v)
}

func (g *digits) volume(epoch, row int, upright bool) (*voxelize.Volume, error) {
	image := &g.digits[row/2].Image
	if !upright {
		s := g.samplers.Get().(*sampler)
		defer g.samplers.Put(s)
		n := g.input.Dims[0]
		s.grid.Values = make([]float32, n*n*n)
		if err := s.Rotated(rand.NewPCG(g.seed+uint64(epoch)<<32, uint64(row)), image, n, s.grid.Values); err != nil {
			return nil, err
		}
		v, err := g.voxelizer.Volume(ingest.Sample{Data: &s.grid})
		return &v, err
	}
	if g.upright != nil {
		if v := g.upright[row/2].Load(); v != nil {
			return v, nil
		}
	}
	cloud, err := mnist3d.Upright(image)
	if err != nil {
		return nil, err
	}
	v, err := g.voxelizer.Volume(ingest.Sample{Data: cloud.Points})
	if err != nil {
		return nil, err
	}
	if g.upright != nil {
		g.upright[row/2].Store(&v)
	}
	return &v, nil
}

// Digest returns a digest of the images and their labels.
func (g *digits) Digest() (uint64, error) {
	h := crc64.New(crc64.MakeTable(crc64.ECMA))
	for i := range g.digits {
		_, _ = h.Write(g.digits[i].Image[:]) // a hash never fails
		_, _ = h.Write([]byte{g.digits[i].Label})
	}
	return h.Sum64(), nil
}

// digitData returns digits, those of an IDX file and drawn ones, as a dataset.
func digitData(a *app.Env, in *classify.Input, o TrainOptions) (*dataset, error) {
	var images []mnist3d.Digit
	for i := range o.Drawn { // first: the last digits are held out for validation
		images = append(images, mnist3d.Draw(a.Config.Seed, i))
	}
	if o.Digits != "" {
		labels, err := mnist3d.LabelsOf(o.Digits)
		if err != nil {
			return nil, app.Usage(fmt.Errorf("--digits: %w", err))
		}
		found, err := mnist3d.OpenIDX(o.Digits, labels, 0, 0)
		if err != nil {
			return nil, err
		}
		images = append(images, found...)
	}
	vo := a.Config.Voxelize
	vo.Method = cmp.Or(vo.Method, voxelize.MNIST3D.Name)
	g, err := newDigits(images, in, vo, a.Config.Seed, int64(a.Config.Train.MemoryLimit)/2)
	if err != nil {
		return nil, err
	}
	d := newDataset(a, in, nil)
	d.digits = g
	for i := range g.Len() {
		d.labels = append(d.labels, int32(images[i/2].Label))
		d.ids = append(d.ids, record.ID{Stream: "digits", Seq: uint64(i)})
	}
	return d, nil
}
