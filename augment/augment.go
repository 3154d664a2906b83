// Package augment changes samples at random, so that a network sees each training row differently in every epoch. The
// samples are point clouds, before they are voxelized, or voxel grids. What happens to a row depends on the seed, the
// epoch and the row alone (see [Rand]), not on other rows or on the number of workers.
//
// Each kind of augmentation has its options, and is listed in [Kinds]. A [Recipe] is a list of augmentations that are
// applied in order.
package augment

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/voxelstream/voxelstream/ingest"
)

// Kind is a kind of augmentation.
type Kind struct {
	// Name is the name in the text form of a [Recipe].
	Name string
	// Doc describes it in one or more sentences.
	Doc string
	// Options returns the options with their defaults: a pointer to a struct with the tags of internal/option.
	Options func() Augmentation
}

// Kinds lists all kinds.
func Kinds() []Kind {
	return []Kind{
		rotateKind,
		rotate3DKind,
		rotate90Kind,
		mirrorKind,
		scaleKind,
		shearKind,
		shiftKind,
		mnist3DKind,
		jitterKind,
		rangeNoiseKind,
		dropoutKind,
		occludeKind,
		cutoutKind,
		noiseKind,
		mixupKind,
	}
}

// Augmentation is a kind with its options. It implements some of mapper, pointer, gridder and mixer.
type Augmentation interface {
	// chance is the probability that a row is augmented.
	chance() float64
}

// mapper moves points, or the contents of the cells of a grid, by an affine map. Consecutive maps are applied at once.
type mapper interface {
	Augmentation
	affine(r *rand.Rand, e extent) affine
}

// pointer changes a point cloud in place. It leaves at least one point of a cloud that has any.
type pointer interface {
	Augmentation
	points(r *rand.Rand, p *ingest.PointCloud)
}

// gridder changes the values of a grid in place.
type gridder interface {
	Augmentation
	grid(r *rand.Rand, g *ingest.Grid)
}

// mixer mixes a row with another one.
type mixer interface {
	Augmentation
	// share returns the part of the first row, from 0 to 1.
	share(r *rand.Rand) float64
}

// Chance is the option that all augmentations have.
type Chance struct {
	Probability float64 `yaml:"probability" min:"0" max:"1" doc:"Probability that a row is augmented in this way."`
}

func (c Chance) chance() float64 { return c.Probability }

// always is the chance of augmentations that have random strengths.
var always = Chance{1}

// Data is the kind of data that is augmented.
type Data string

// The kinds of data.
const (
	Points Data = "points"
	Grids  Data = "voxel grids"
)

// Of returns the kinds of data to which an augmentation can be applied.
func Of(a Augmentation) []Data {
	var out []Data
	_, maps := a.(mapper)
	_, mixes := a.(mixer)
	if _, ok := a.(pointer); ok || maps || mixes {
		out = append(out, Points)
	}
	if _, ok := a.(gridder); ok || maps || mixes {
		out = append(out, Grids)
	}
	return out
}

// Augmenter applies a recipe to rows. It is safe for concurrent use.
type Augmenter struct {
	steps []Augmentation
	mix   mixer // nil if rows are not mixed
}

// New returns an augmenter of points or of grids. An augmentation that cannot be applied to them is an error.
func New(recipe Recipe, of Data) (*Augmenter, error) {
	a := &Augmenter{}
	for _, s := range recipe {
		if !slices.Contains(Of(s.Augmentation), of) {
			return nil, fmt.Errorf("%s: found %s, want %s", s.Kind, of, Of(s.Augmentation)[0])
		}
		if m, ok := s.Augmentation.(mixer); ok {
			a.mix = m
		} else {
			a.steps = append(a.steps, s.Augmentation)
		}
	}
	return a, nil
}

// Rand returns the random numbers of a row in an epoch. Those of different rows, epochs and seeds are independent: their
// beginning comes from a cipher. What follows is from PCG, which is three times as fast.
func Rand(seed uint64, epoch, row int) *rand.Rand {
	var key [32]byte
	copy(key[24:], "augment")
	for i, v := range []uint64{seed, uint64(epoch), uint64(row)} {
		binary.LittleEndian.PutUint64(key[8*i:], v)
	}
	begin := rand.NewChaCha8(key)
	return rand.New(rand.NewPCG(begin.Uint64(), begin.Uint64()))
}

// Points augments a cloud in place. Its columns must be its own.
func (a *Augmenter) Points(r *rand.Rand, p *ingest.PointCloud) {
	var e extent // before the pending maps
	known := false
	pending, moved := identity, false
	settle := func() {
		if moved {
			pending.points(p)
		}
		pending, moved, known = identity, false, false
	}
	for _, s := range a.steps {
		if r.Float64() >= s.chance() {
			continue
		}
		switch s := s.(type) {
		case mapper:
			if !known {
				e, known = extentOf(p), true
			}
			pending, moved = pending.then(s.affine(r, e.mapped(pending))), true
		case pointer:
			settle()
			s.points(r, p)
		}
	}
	settle()
}

// Grid augments the values of a grid in place. The axes x, y and z are those of its width, height and depth.
func (a *Augmenter) Grid(r *rand.Rand, g *ingest.Grid) {
	e := extentOfGrid(g)
	pending, moved := identity, false
	settle := func() {
		if moved {
			pending.grid(g)
		}
		pending, moved = identity, false
	}
	for _, s := range a.steps {
		if r.Float64() >= s.chance() {
			continue
		}
		switch s := s.(type) {
		case mapper:
			pending, moved = pending.then(s.affine(r, e)), true
		case gridder:
			settle()
			s.grid(r, g)
		}
	}
	settle()
}
