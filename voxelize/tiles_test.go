package voxelize

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
)

func scene(n int) *ingest.PointCloud {
	rng := rand.New(rand.NewPCG(9, 9))
	p := &ingest.PointCloud{}
	for range n {
		p.X, p.Y, p.Z = append(p.X, 100*rng.NormFloat64()), append(p.Y, 30*rng.NormFloat64()), append(p.Z, rng.NormFloat64())
	}
	p.X, p.Y, p.Z = append(p.X, math.NaN(), 1e9), append(p.Y, 0, -1e9), append(p.Z, 0, 1e9)
	return p
}

// TestTiles compares the tiles of a scene with dense grids at the same places.
func TestTiles(t *testing.T) {
	p := scene(3000)
	p.Intensity = make([]float32, p.Len())
	for i := range p.Intensity {
		p.Intensity[i] = float32(i % 9)
	}
	o := options(MaxGrid, 1)
	o.Dims, o.Edge = [3]int{4, 8, 16}, Edges{1, 2, 2}
	o = with(t, o, "attributes=intensity")
	tiles, err := mustNew(t, o).Tiles(sampleOf(p))
	if err != nil {
		t.Fatal(err)
	}
	points, n, before := uint32(0), uint32(0), [3]float64{math.Inf(-1), math.Inf(-1), math.Inf(-1)}
	for tile := range tiles {
		n++
		f, err := tile.Voxelizer.Field(tile.Sample)
		if err != nil {
			t.Fatal(err)
		}
		dense := o.Clone()
		dense.Origin = At(f.Grid.Origin[0], f.Grid.Origin[1], f.Grid.Origin[2])
		want, err := mustNew(t, dense).Field(sampleOf(p))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(f.Values, want.Values) || f.Outside != 0 || f.Points != want.Points || tile.Sample.Object != n {
			t.Fatalf("tile %d at %v: found %d points, %d outside, want %d and 0", tile.Sample.Object, f.Grid.Origin,
				f.Points, f.Outside, want.Points)
		}
		at := [3]float64{f.Grid.Origin[2], f.Grid.Origin[1], f.Grid.Origin[0]}
		if slices.Compare(at[:], before[:]) <= 0 {
			t.Fatalf("tile at %v after %v, want the order of z, y, x", at, before)
		}
		before = at
		points += f.Points
	}
	if points != 3001 {
		t.Errorf("found %d points in tiles, want 3001", points)
	}
	for _, o := range []Options{options(MNIST3D, 4), options(CountGrid, 4)} {
		if _, err := mustNew(t, o).Tiles(sampleOf(p)); err == nil {
			t.Errorf("tiles of %s without an edge: want an error", o.Method)
		}
	}
	nothing := with(t, options(CountGrid, 4), "edge=1")
	if _, err := mustNew(t, nothing).Tiles(sampleOf(cloudOf(math.NaN(), 0, 0))); !errors.Is(err, ErrEmpty) {
		t.Errorf("tiles without points: found error %v, want ErrEmpty", err)
	}
}

// TestTooManyTiles: a scene of tiles far smaller than it is an error.
func TestTooManyTiles(t *testing.T) {
	p := &ingest.PointCloud{}
	for i := range maxTiles + 1 {
		p.X, p.Y, p.Z = append(p.X, float64(i)), append(p.Y, 0), append(p.Z, 0)
	}
	v := mustNew(t, with(t, options(CountGrid, 1), "edge=1"))
	const want = "found points in more than 65536 tiles of 1 x 1 x 1 m"
	if _, err := v.Tiles(sampleOf(p)); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%d tiles: found error %v, want %q", p.Len(), err, want)
	}
	p.X, p.Y, p.Z = p.X[1:], p.Y[1:], p.Z[1:]
	if _, err := v.Tiles(sampleOf(p)); err != nil {
		t.Error(err)
	}
}
