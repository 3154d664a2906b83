package perception

import (
	"context"
	"errors"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
)

// tiles returns a scene of 1200 square planes at different depths.
func tiles(t *testing.T) *Scene {
	t.Helper()
	const width, height, side = 320, 240, 8
	f := &ingest.Frame{
		Width: width, Height: height, Depth: make([]ingest.Metres, width*height),
		Cam: ingest.Intrinsics{Fx: 300, Fy: 300, Cx: width / 2, Cy: height / 2},
	}
	for i := range f.Depth {
		x, y := i%width/side, i/width/side
		f.Depth[i] = ingest.Metres(1 + 0.5*float64((7*x+13*y)%97))
	}
	s, err := newScene(ingest.Sample{Data: f})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestManyPlanes checks that the number of planes is limited, and that the work on them ends with its context.
func TestManyPlanes(t *testing.T) {
	o := defaultPlaneOptions()
	o.Cell, o.Points, o.Tolerance = 4, 16, 0.0001
	run, err := Planes.New(Options{Steps: []any{&o}})
	if err != nil {
		t.Fatal(err)
	}
	s := tiles(t)
	f := newPlaneFinder(s, &o)
	f.grow()
	if n := len(f.regions); n < 2*mostPlanes {
		t.Fatalf("found %d regions, want at least %d for this test", n, 2*mostPlanes)
	}
	for i := range f.regions[:mostPlanes] {
		f.regions[i].normal = [3]float64{} // like no other
	}
	f.merge(t.Context())
	if n := len(f.regions); n != mostPlanes {
		t.Errorf("found %d planes, want %d", n, mostPlanes)
	}
	if err := run(t.Context(), s); err != nil || len(s.Planes) == 0 || len(s.Planes) > mostPlanes {
		t.Errorf("found %d planes (%v), want 1 to %d", len(s.Planes), err, mostPlanes)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if s := tiles(t); !errors.Is(run(ctx, s), context.Canceled) || s.Planes != nil {
		t.Errorf("found %d planes after a cancelled context", len(s.Planes))
	}
}

// TestBoundsAreShared checks that walls, which are candidates for all points, are not listed for each cell.
func TestBoundsAreShared(t *testing.T) {
	o := defaultPlaneOptions()
	o.Cell, o.Points = 4, 16
	f := newPlaneFinder(tiles(t), &o)
	f.grow()
	for i := range f.regions {
		f.regions[i].kind = Wall
	}
	f.regions[0].kind = Table
	most := 0
	for _, list := range f.candidates() {
		most = max(most, len(list))
	}
	if most != 1 {
		t.Errorf("found %d candidates beside the %d walls, want 1", most, len(f.regions)-1)
	}
}
