package mnist3d

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/voxelize"
)

// Options describes the dataset to generate.
type Options struct {
	// Digits are the digits to use, in order; nil draws Count digits, numbers First, First+1, ... of the series
	// given by Seed.
	Digits       []Digit
	First, Count int
	// Test is the number of digits, at the end, that are for testing.
	Test int
	// Augment adds a rotated, noisy copy after each upright digit.
	Augment bool
	// Grid is the number of cells per side of the voxel grids; 0 generates clouds only. 16 and 8 are the sizes of
	// the authors' archives and have the same layout (see voxelize.MNIST3D).
	Grid int
	// Seed determines drawings and augmentation. Those of a digit depend only on the seed and the digit's number,
	// not on the number of digits or workers.
	Seed uint64
	// Workers is the number of goroutines; 0 means one per processor. The result does not depend on it.
	Workers int
}

// Row is one cloud of the dataset, with its voxel grid.
type Row struct {
	// Number is the row's position; with Augment even rows are upright, and odd rows are the rotated copy of the
	// row before.
	Number  int
	Rotated bool
	// Test means that the row is for testing.
	Test  bool
	Label uint8
	// Image is the padded image, 30x30, row-major.
	Image *[Padded * Padded]uint8
	Cloud *Cloud
	// Values is the voxel grid, Grid^3 densities; nil if there is none.
	Values []float64
}

// count returns the number of digits.
func (o *Options) count() int {
	if o.Digits != nil {
		return len(o.Digits)
	}
	return o.Count
}

// Validate reports everything that is wrong.
func (o *Options) Validate() error {
	var errs []error
	if o.Digits != nil && (o.First != 0 || (o.Count != 0 && o.Count != len(o.Digits))) {
		errs = append(errs, fmt.Errorf("found first %d and count %d with %d given digits, want them only for "+
			"drawn digits", o.First, o.Count, len(o.Digits)))
	}
	if o.First < 0 || o.count() < 1 {
		errs = append(errs, fmt.Errorf("found first digit %d and count %d, want at least 0 and at least 1", o.First,
			o.count()))
	}
	if o.Test < 0 || o.Test > o.count() {
		errs = append(errs, fmt.Errorf("found %d test digits, want 0 to %d", o.Test, o.count()))
	}
	if o.Grid != 0 && (o.Grid < 2 || o.Grid > 256) {
		errs = append(errs, fmt.Errorf("found a grid of %d cells per side, want 2 to 256, or 0 for none", o.Grid))
	}
	if o.Workers < 0 {
		errs = append(errs, fmt.Errorf("found %d workers, want at least 0 (0 means one per processor)", o.Workers))
	}
	return errors.Join(errs...)
}

// Rows returns the number of rows that Generate emits for training and for testing.
func (o *Options) Rows() (train, test int) {
	each := 1
	if o.Augment {
		each = 2
	}
	return each * (o.count() - o.Test), each * o.Test
}

// Generate generates the dataset and calls emit for each row, in order, from one goroutine. An error from emit
// ends it. Workers are at most a few digits ahead of emit, so that memory does not grow with the number of digits.
func Generate(ctx context.Context, o Options, emit func(Row) error) error {
	if err := o.Validate(); err != nil {
		return fmt.Errorf("mnist3d: %w", err)
	}
	var voxelizer *voxelize.Voxelizer
	if o.Grid > 0 {
		vo := voxelize.DefaultOptions()
		vo.Method, vo.Dims = voxelize.MNIST3D.Name, [3]int{o.Grid, o.Grid, o.Grid}
		var err error
		if voxelizer, err = voxelize.New(vo); err != nil {
			return fmt.Errorf("mnist3d: %w", err)
		}
	}
	workers := o.Workers
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	type result struct {
		rows []Row
		err  error
	}
	type job struct {
		number int
		done   chan result
	}
	ctx, cancel := context.WithCancel(ctx)
	var wait sync.WaitGroup
	defer wait.Wait()
	defer cancel()
	jobs, order := make(chan job), make(chan job, 2*workers)
	wait.Go(func() {
		defer close(jobs)
		defer close(order)
		for i := range o.count() {
			j := job{i, make(chan result, 1)}
			for _, to := range []chan job{order, jobs} {
				select {
				case to <- j:
				case <-ctx.Done():
					return
				}
			}
		}
	})
	for range workers {
		wait.Go(func() {
			for j := range jobs {
				rows, err := o.rows(j.number, voxelizer)
				j.done <- result{rows, err}
			}
		})
	}
	for j := range order {
		select {
		case r := <-j.done:
			if r.err != nil {
				return fmt.Errorf("mnist3d: digit %d: %w", j.number, r.err)
			}
			for _, row := range r.rows {
				if err := emit(row); err != nil {
					return err
				}
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return ctx.Err()
}

// rows returns the row or the two rows of digit i.
func (o *Options) rows(i int, v *voxelize.Voxelizer) ([]Row, error) {
	var d Digit
	if o.Digits != nil {
		d = o.Digits[i]
	} else {
		d = Draw(o.Seed, o.First+i)
	}
	upright, err := Upright(&d.Image)
	if err != nil {
		return nil, err
	}
	clouds := []*Cloud{upright}
	if o.Augment {
		// The second word makes this stream different from that of Draw.
		rng := rand.New(rand.NewPCG(o.Seed, ^uint64(o.First+i)))
		clouds = append(clouds, upright.Augment(rng))
	}
	rows := make([]Row, len(clouds))
	for k, c := range clouds {
		rows[k] = Row{
			Number: len(clouds)*i + k, Rotated: k == 1, Test: i >= o.count()-o.Test, Label: d.Label,
			Image: d.Image.Pad(), Cloud: c,
		}
		if v == nil {
			continue
		}
		f, err := v.Field(ingest.Sample{Data: c.Points})
		if err != nil {
			return nil, err
		}
		rows[k].Values = f.Values
	}
	return rows, nil
}
