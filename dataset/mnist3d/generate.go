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

// Options say which data set to generate.
type Options struct {
	// Digits are the digits to use, in their order; nil draws Count of them, numbers First, First+1, ... of the
	// series that Seed names.
	Digits       []Digit
	First, Count int
	// Test is how many of the digits, the last ones, are for testing.
	Test int
	// Augment adds a rotated, noisy copy after each upright digit.
	Augment bool
	// Grid is the number of cells a side of the voxel grids; 0 makes clouds only. 16 and 8 are the sizes of the
	// authors' archives and are laid out as those are (see voxelize.MNIST3D).
	Grid int
	// Seed decides about drawings and augmentation. A digit's own are derived from it and from the digit's number,
	// so they do not depend on how many digits or workers there are.
	Seed uint64
	// Workers is the number of goroutines; 0 means one a processor. It does not change the result.
	Workers int
}

// Row is one cloud of the data set, with its voxel grid.
type Row struct {
	// Number is the row's position; with Augment even ones are upright, odd ones the rotated copy of the one before.
	Number  int
	Rotated bool
	// Test says that the row is for testing.
	Test  bool
	Label uint8
	// Image is the padded image, 30x30, row-major.
	Image *[Padded * Padded]uint8
	Cloud *Cloud
	// Values is the voxel grid, Grid^3 densities; nil without one.
	Values []float64
}

// count is the number of digits.
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
		errs = append(errs, fmt.Errorf("first %d and count %d with %d given digits: want them only for drawn ones", o.First, o.Count, len(o.Digits)))
	}
	if o.First < 0 || o.count() < 1 {
		errs = append(errs, fmt.Errorf("digits from %d, %d of them: want 0 or more, and 1 or more", o.First, o.count()))
	}
	if o.Test < 0 || o.Test > o.count() {
		errs = append(errs, fmt.Errorf("%d test digits of %d: want 0 to all", o.Test, o.count()))
	}
	if o.Grid != 0 && (o.Grid < 2 || o.Grid > 256) {
		errs = append(errs, fmt.Errorf("grid of %d cells a side: want 2 to 256, or 0 for none", o.Grid))
	}
	if o.Workers < 0 {
		errs = append(errs, fmt.Errorf("%d workers: want 0 (all processors) or more", o.Workers))
	}
	return errors.Join(errs...)
}

// Rows is how many rows Generate will make for training and for testing.
func (o *Options) Rows() (train, test int) {
	each := 1
	if o.Augment {
		each = 2
	}
	return each * (o.count() - o.Test), each * o.Test
}

// Generate makes the data set and calls emit for each row, in order, from one goroutine; an error of emit ends it.
// Workers run ahead of emit by a few digits only, so memory does not grow with the number of digits.
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

// rows makes the row or the two rows of digit i.
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
		// The second word keeps this stream apart from that of Draw.
		rng := rand.New(rand.NewPCG(o.Seed, ^uint64(o.First+i)))
		clouds = append(clouds, upright.Augment(rng))
	}
	rows := make([]Row, len(clouds))
	for k, c := range clouds {
		rows[k] = Row{
			Number: len(clouds)*i + k, Rotated: k == 1, Test: i >= o.count()-o.Test, Label: d.Label, Image: d.Image.Pad(), Cloud: c,
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
