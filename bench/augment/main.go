// Command augment augments a point cloud of 25,000 points or a grid again and again, for run.py.
//
//	augment points|points16|grid16|grid64 RECIPE COUNT
//
// points16 voxelizes the augmented points to 16x16x16 cells, as train does.
package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"

	"github.com/voxelstream/voxelstream/augment"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/voxelize"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("found %d arguments, want 3", len(args))
	}
	recipe, problems := augment.Parse(args[1])
	if len(problems) > 0 {
		return problems[0]
	}
	count, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	switch args[0] {
	case "points":
		return points(recipe, count, func(*ingest.PointCloud) error { return nil })
	case "points16":
		v, err := voxelize.New(voxelize.DefaultOptions())
		if err != nil {
			return err
		}
		return points(recipe, count, func(p *ingest.PointCloud) error {
			_, err := v.Volume(ingest.Sample{Data: p})
			return err
		})
	case "grid16":
		return grid(recipe, count, 16)
	case "grid64":
		return grid(recipe, count, 64)
	}
	return fmt.Errorf("found %q, want points, points16, grid16 or grid64", args[0])
}

// points augments copies of a cloud.
func points(recipe augment.Recipe, count int, use func(*ingest.PointCloud) error) error {
	a, err := augment.New(recipe, augment.Points)
	if err != nil {
		return err
	}
	r := rand.New(rand.NewPCG(1, 2))
	var columns [3][]float64
	for k := range columns {
		for range 25_000 {
			columns[k] = append(columns[k], 2*r.Float64()-1)
		}
	}
	var p ingest.PointCloud
	for i := range count {
		p.X, p.Y, p.Z = append(p.X[:0], columns[0]...), append(p.Y[:0], columns[1]...), append(p.Z[:0], columns[2]...)
		a.Points(augment.Rand(1, 1, i), &p)
		if err := use(&p); err != nil {
			return err
		}
	}
	return nil
}

// grid augments copies of a grid of n cells along each axis.
func grid(recipe augment.Recipe, count, n int) error {
	a, err := augment.New(recipe, augment.Grids)
	if err != nil {
		return err
	}
	r := rand.New(rand.NewPCG(1, 2))
	source := &ingest.Grid{Dims: [3]int{n, n, n}, Channels: 1}
	for range n * n * n {
		source.Values = append(source.Values, r.Float32())
	}
	for i := range count {
		g := *source
		g.Values = slices.Clone(source.Values)
		a.Grid(augment.Rand(1, 1, i), &g)
	}
	return nil
}
