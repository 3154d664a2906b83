// Package scenes makes datasets of labelled objects: what the steps of package perception cut out of scans and depth
// frames of simulated scenes, with the class that the simulation knows.
package scenes

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/simulate"
	"github.com/voxelstream/voxelstream/internal/h5"
	"github.com/voxelstream/voxelstream/perception"
	"github.com/voxelstream/voxelstream/record"
)

// Options describes a dataset.
type Options struct {
	// Scenes is the number of scenes. Three of four are streets, which one of the lidars of package simulate sees twice;
	// the others are rooms, which a depth camera sees.
	Scenes int
	// Seed decides about the scenes. Different seeds have no scene in common.
	Seed uint64
	// Workers is the number of goroutines; 0 means one per CPU. The objects do not depend on it.
	Workers int
	// Perception are the steps that find the objects.
	Perception perception.Options
}

// Object is a labelled object.
type Object struct {
	// Points are in the frame of the object's box (see [perception.Scene.Sample]).
	Points *ingest.PointCloud
	Class  string
	// Scene is the number of its scene, Distance that of its nearest point from the sensor in metres.
	Scene    int
	Distance float64
}

// Limits of what becomes a labelled object.
const (
	// purity is the least share of an object's points that must belong to its class.
	purity = 0.7
	// common is the largest number of objects of one class in one scan: there are far more pieces of walls and bushes
	// than of anything else. The nearest are kept.
	common = 12
	// least is the least number of points of an object: fewer hardly show what it is.
	least = 10
	// maxScenes limits the numbers of scenes, which seeds keep apart.
	maxScenes = 1 << 20
)

// names are the classes of the dataset by those of the simulation. Kinds that a cloud cannot tell apart are one class.
var names = map[simulate.Class]string{
	simulate.None: "clutter", simulate.Road: "clutter", simulate.Pavement: "clutter", simulate.Verge: "clutter",
	simulate.Floor: "clutter", simulate.Building: "structure", simulate.Fence: "structure", simulate.Wall: "structure",
	simulate.Sign: "pole",
}

func nameOf(c simulate.Class) string {
	if name, ok := names[c]; ok {
		return name
	}
	return c.String()
}

// Generate calls emit with the objects of all scenes, in the order of the scenes and, within one, nearest first.
func Generate(ctx context.Context, o Options, emit func(*Object) error) error {
	if o.Scenes < 1 || o.Scenes > maxScenes {
		return fmt.Errorf("scenes: found %d scenes, want 1 to %d", o.Scenes, maxScenes)
	}
	detector, err := perception.New(o.Perception)
	if err != nil {
		return err
	}
	workers := o.Workers
	if workers < 1 {
		workers = runtime.GOMAXPROCS(0)
	}
	group, ctx := errgroup.WithContext(ctx)
	order := make(chan chan []*Object, workers)
	group.Go(func() error {
		defer close(order)
		for i := range o.Scenes {
			next := make(chan []*Object, 1)
			select {
			case order <- next: // waits until a worker is free
			case <-ctx.Done():
				return ctx.Err()
			}
			group.Go(func() error {
				objects, err := scene(ctx, detector, o.Seed, i)
				next <- objects
				return err
			})
		}
		return nil
	})
	group.Go(func() error {
		for next := range order {
			for _, object := range <-next {
				if err := errors.Join(ctx.Err(), emit(object)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return group.Wait()
}

// scene returns the objects of one scene.
func scene(ctx context.Context, d *perception.Detector, seed uint64, number int) (out []*Object, err error) {
	world := seed*maxScenes + uint64(number)
	if number%4 == 3 {
		f, truth := simulate.KinectV1.Frame(simulate.Room(world), 0)
		return objects(ctx, d, number, f, truth)
	}
	dice := rand.New(rand.NewPCG(world, 1))
	street := simulate.Street(world, simulate.StreetOptions{
		Moving: dice.IntN(2) == 0, Slope: 0.1 * dice.Float64(), Density: 0.5 + 1.5*dice.Float64(),
		Height: 1.2 + dice.Float64(), Speed: 8,
	})
	lidar := simulate.Lidars[dice.IntN(len(simulate.Lidars))]
	for _, at := range []time.Duration{0, 6 * time.Second} {
		cloud, truth := lidar.Scan(street, at)
		some, err := objects(ctx, d, number, cloud, truth)
		if err != nil {
			return nil, err
		}
		out = append(out, some...)
	}
	return out, nil
}

// objects detects the objects in a scan or frame and labels them.
func objects(ctx context.Context, d *perception.Detector, number int, data ingest.Data, truth *simulate.Truth) ([]*Object,
	error,
) {
	s, err := d.Detect(ctx, ingest.Sample{ID: record.ID{Stream: "scene", Seq: uint64(number)}, Data: data})
	if err != nil {
		return nil, err
	}
	truthOf, err := origins(s, truth)
	if err != nil {
		return nil, err
	}
	var out []*Object
	counts := map[string]int{}
	for i := range s.Objects {
		if len(s.Objects[i].Points) < least {
			continue
		}
		votes := map[string]int{}
		for _, j := range s.Objects[i].Points {
			votes[nameOf(truth.Class[truthOf(j)])]++
		}
		for name, n := range votes {
			if float64(n) < purity*float64(len(s.Objects[i].Points)) || counts[name] >= common {
				continue
			}
			counts[name]++
			points, _ := s.Sample(i).Data.(*ingest.PointCloud)
			out = append(out, &Object{points, name, number, s.Objects[i].Distance.Nearest})
		}
	}
	return out, nil
}

// origins returns a function from the points of a scene to those of the truth: the pixels of a frame, or the points of a
// scan from which no step has removed any.
func origins(s *perception.Scene, truth *simulate.Truth) (func(point int32) int32, error) {
	switch {
	case s.Frame != nil:
		return func(point int32) int32 { return s.Pixel[point] }, nil
	case s.Cloud.Len() != len(truth.Class):
		return nil, fmt.Errorf("scenes: found %d of %d points after the steps, want steps that remove none",
			s.Cloud.Len(), len(truth.Class))
	}
	return func(point int32) int32 { return point }, nil
}

// Archive is an HDF5 file of objects being written, in the layout of the point clouds of 3D MNIST: a group "0", "1", ...
// for each object with the dataset points (N, 3) float32 in metres, and the attributes label (the name of the class),
// scene and distance (metres).
type Archive struct {
	file *h5.Writer
	// Rows counts the objects by class.
	Rows map[string]int
	n    int
}

// Create creates an archive. It appears under its name when Close succeeds.
func Create(path string, o Options) (*Archive, error) {
	file, err := h5.Create(path)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(file.SetAttr("/", "generator", "voxelstream scenes"),
		file.SetAttr("/", "seed", strconv.FormatUint(o.Seed, 10))); err != nil {
		file.Abort()
		return nil, err
	}
	return &Archive{file: file, Rows: map[string]int{}}, nil
}

// Write adds an object.
func (a *Archive) Write(o *Object) error {
	group := "/" + strconv.Itoa(a.n)
	a.n++
	a.Rows[o.Class]++
	p := o.Points
	rows := make([]float32, 0, 3*p.Len())
	for i := range p.X {
		rows = append(rows, float32(p.X[i]), float32(p.Y[i]), float32(p.Z[i]))
	}
	return errors.Join(a.file.Group(group), a.file.SetAttr(group, "label", o.Class),
		a.file.SetAttr(group, "scene", int64(o.Scene)), a.file.SetAttr(group, "distance", o.Distance),
		h5.WriteDataset(a.file, group+"/points", h5.Layout{Dims: []int{p.Len(), 3}, Gzip: 4}, rows))
}

// Close completes the file.
func (a *Archive) Close() error { return a.file.Close() }

// Abort removes the unfinished file. After Close it does nothing.
func (a *Archive) Abort() { a.file.Abort() }
