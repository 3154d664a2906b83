package perception

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/record"
)

// Detector finds objects by the configured steps. Detect may be called concurrently, and so may Follow for scenes of
// different streams.
type Detector struct{ scan, frame []prepared }

// prepared is a step that is ready to run.
type prepared struct {
	Step
	run func(ctx context.Context, s *Scene) error
}

// New returns a detector. The error reports all problems with the options.
func New(o Options) (*Detector, error) {
	if errs := option.Validate(&o); len(errs) > 0 {
		return nil, fmt.Errorf("perception: %w", errors.Join(errs...))
	}
	made := map[string]prepared{} // a tracker that scans and frames share numbers their tracks together
	prepare := func(names []string) (out []prepared, err error) {
		for _, name := range names {
			p, ok := made[name]
			if !ok {
				if p.Step, err = stepOf(StepName(name)); err != nil {
					return nil, fmt.Errorf("perception: %w", err)
				}
				if p.run, err = p.New(o); err != nil {
					return nil, fmt.Errorf("perception: step %s: %w", name, err)
				}
				made[name] = p
			}
			out = append(out, p)
		}
		return out, nil
	}
	scan, err := prepare(o.Scan)
	if err != nil {
		return nil, err
	}
	frame, err := prepare(o.Frame)
	return &Detector{scan, frame}, err
}

// Detect finds the objects of a sample: a point cloud, or a depth frame, whose camera must be known. It runs all steps
// but the trackers, so the result depends only on the sample. Errors are of type *ingest.ItemError and permanent,
// unless ctx is cancelled.
func (d *Detector) Detect(ctx context.Context, sample ingest.Sample) (*Scene, error) {
	s, err := newScene(sample)
	if err != nil {
		return nil, &ingest.ItemError{ID: sample.ID, Err: fmt.Errorf("perception: %w", err)}
	}
	for _, step := range d.steps(s) {
		if step.Makes == Tracks {
			break
		}
		if err := step.run(ctx, s); err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, &ingest.ItemError{ID: sample.ID, Err: fmt.Errorf("perception: %s: %w", step.Name, err)}
		}
		if step.Makes == Clusters {
			s.number()
		}
	}
	return s, nil
}

// Follow runs the trackers on a scene that Detect returned. The caller passes the scenes of a stream in their order,
// one at a time. Calls for different streams may overlap.
func (d *Detector) Follow(ctx context.Context, s *Scene) error {
	for _, step := range d.steps(s) {
		if step.Makes != Tracks {
			continue
		}
		if err := step.run(ctx, s); err != nil {
			return &ingest.ItemError{ID: s.ID, Err: fmt.Errorf("perception: %s: %w", step.Name, err)}
		}
	}
	return nil
}

func (d *Detector) steps(s *Scene) []prepared {
	if s.Frame != nil {
		return d.frame
	}
	return d.scan
}

// The errors of samples in which objects cannot be looked for.
var (
	errNoData = errors.New("found no points, want a scan or a depth frame")
	errGrid   = errors.New("found a voxel grid, want a scan or a depth frame: use predict or reprocess to classify grids")
)

// newScene returns the scene of a sample.
func newScene(sample ingest.Sample) (*Scene, error) {
	s := &Scene{ID: sample.ID, Time: sample.Time}
	switch d := sample.Data.(type) {
	case *ingest.PointCloud:
		if d == nil {
			return nil, errNoData
		}
		s.Cloud, s.Pose = d, d.Pose
	case *ingest.Frame:
		if d == nil {
			return nil, errNoData
		}
		if err := s.ofFrame(d); err != nil {
			return nil, err
		}
	case *ingest.Grid:
		return nil, errGrid
	default:
		return nil, errNoData
	}
	if s.Cloud.Len() > math.MaxInt32 {
		return nil, fmt.Errorf("found %d points, want at most %d", s.Cloud.Len(), math.MaxInt32)
	}
	s.keepFinite()
	s.Measured = s.Cloud.Len()
	return s, nil
}

// keepFinite removes the points with coordinates that are NaN or infinite.
func (s *Scene) keepFinite() {
	c := s.Cloud
	var keep []bool // nil as long as all are finite
	for i, x := range c.X {
		sum := x + c.Y[i] + c.Z[i]
		if sum-sum == 0 {
			continue
		}
		if keep == nil {
			keep = slices.Repeat([]bool{true}, c.Len())
		}
		keep[i] = false
	}
	if keep != nil {
		s.Keep(keep)
	}
}

// ofFrame fills in the points of a depth frame. They turn from the camera's optical axes (x right, y down, z forward)
// to the scene's.
func (s *Scene) ofFrame(f *ingest.Frame) error {
	still := *f
	still.Pose = nil // in the camera's axes
	c, err := still.Points()
	if err != nil {
		return err
	}
	right, down := c.X, c.Y
	c.X, c.Y, c.Z = c.Z, right, down
	for i := range c.Y {
		c.Y[i], c.Z[i] = -c.Y[i], -c.Z[i]
	}
	s.Cloud, s.Frame = c, f
	s.Pixel = f.Pixels()
	if len(s.Pixel) != c.Len() {
		return fmt.Errorf("found %d points of %d pixels", c.Len(), len(s.Pixel))
	}
	if f.Pose != nil {
		optical := ingest.Pose{R: [9]float64{0, -1, 0, 0, 0, -1, 1, 0, 0}} // from the scene's axes to the camera's
		pose := f.Pose.Mul(&optical)
		s.Pose = &pose
	}
	return nil
}

// number fills in the objects' distances and, if they have no boxes yet, boxes along the axes. It orders the objects by
// distance, then by their first point, so that their numbers do not depend on how a step found them.
func (s *Scene) number() {
	for i := range s.Objects {
		s.measure(&s.Objects[i])
	}
	slices.SortFunc(s.Objects, func(a, b Object) int {
		return cmp.Or(cmp.Compare(a.Distance.Nearest, b.Distance.Nearest), cmp.Compare(a.Points[0], b.Points[0]))
	})
	s.Cluster = make([]int32, s.Cloud.Len())
	for i := range s.Objects {
		for _, j := range s.Objects[i].Points {
			s.Cluster[j] = int32(i) + 1
		}
	}
}

// measure fills in the distances of an object, whose centre is the middle of the bounds of its points, and its box.
func (s *Scene) measure(o *Object) {
	c := s.Cloud
	ranges := make([]float64, len(o.Points))
	lo := [3]float64{math.Inf(1), math.Inf(1), math.Inf(1)}
	hi := [3]float64{math.Inf(-1), math.Inf(-1), math.Inf(-1)}
	for i, j := range o.Points {
		p := [3]float64{c.X[j], c.Y[j], c.Z[j]}
		ranges[i] = math.Sqrt(dot(p, p))
		for k, v := range p {
			lo[k], hi[k] = min(lo[k], v), max(hi[k], v)
		}
	}
	var box record.Box
	for k := range lo {
		box.Center[k], box.Size[k] = (lo[k]+hi[k])/2, float32(hi[k]-lo[k])
	}
	if o.Box.Size == [3]float32{} {
		o.Box = box
	}
	o.Distance = distanceOf(ranges, s.noise())
	o.Distance.Center = math.Sqrt(dot(box.Center, box.Center))
	o.Distance.Valid = s.valid(o)
}
