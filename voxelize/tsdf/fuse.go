package tsdf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/record"
)

// ErrNoPose reports a frame that cannot be fused with others because its camera pose is unknown.
var ErrNoPose = errors.New("frame without a pose")

// Fused is the result of [Fuse].
type Fused struct {
	Volume *Volume
	// Sample gives the stream of the frames and the time of the first one. It has no data.
	Sample ingest.Sample
	// Frames is the number of frames fused, Failed the number that could not be.
	Frames, Failed int
}

// Fuse reads the frames of an input twice: first to find their extent, then to fuse them. place returns the volume's
// options for the corners lo and hi of the bounding box of all points, x, y, z in metres. Frames that cannot be read
// or have no pose are reported to bad. An input of a single frame needs no pose.
func Fuse(ctx context.Context, open func() (ingest.Source, error), place func(lo, hi [3]float64) (Options, error),
	bad func(error),
) (*Fused, error) {
	out := &Fused{}
	box := newBounds()
	posed := 0
	if err := eachFrame(ctx, open, func(s ingest.Sample, f *ingest.Frame) error {
		if out.Frames == 0 {
			out.Sample = ingest.Sample{ID: record.ID{Stream: s.Stream}, Time: s.Time, Label: ingest.NoLabel}
		}
		out.Frames++
		if f.Pose != nil {
			posed++
		} else if out.Frames > 1 {
			return nil // cannot be fused
		}
		return box.add(f)
	}, func(error) {}); err != nil {
		return nil, err
	}
	if out.Frames == 0 || posed == 0 && out.Frames > 1 {
		return nil, fmt.Errorf("tsdf: found %d frames, %d of them with a pose, want poses to fuse them: %w", out.Frames,
			posed, ErrNoPose)
	}
	if box.lo[0] > box.hi[0] {
		return nil, errors.New("tsdf: no pixel of any frame has a depth")
	}
	o, err := place(box.lo, box.hi)
	if err != nil {
		return nil, err
	}
	if out.Volume, err = New(o); err != nil {
		return nil, err
	}
	alone := out.Frames == 1
	out.Frames = 0
	err = eachFrame(ctx, open, func(s ingest.Sample, f *ingest.Frame) error {
		if f.Pose == nil && !alone {
			return &ingest.ItemError{ID: record.ID{Stream: s.Stream, Seq: s.Seq}, Err: ErrNoPose}
		}
		out.Frames++
		return out.Volume.Integrate(f)
	}, func(err error) {
		out.Failed++
		bad(err)
	})
	return out, err
}

// eachFrame calls use for each frame of an input, and bad for each item that cannot be read or used.
func eachFrame(ctx context.Context, open func() (ingest.Source, error), use func(ingest.Sample, *ingest.Frame) error,
	bad func(error),
) (err error) {
	src, err := open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	for {
		s, err := src.Read(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			f, ok := s.Data.(*ingest.Frame)
			if !ok {
				return fmt.Errorf("%s/%d: tsdf: found %s, want a depth frame", s.Stream, s.Seq, ingest.Noun(s.Data))
			}
			err = use(s, f)
		}
		if _, ok := errors.AsType[*ingest.ItemError](err); ok {
			bad(err)
		} else if err != nil {
			return err
		}
	}
}

// bounds is the bounding box of points.
type bounds struct {
	lo, hi [3]float64
	cloud  ingest.PointCloud // reused for each frame
}

func newBounds() *bounds {
	inf := math.Inf(1)
	return &bounds{lo: [3]float64{inf, inf, inf}, hi: [3]float64{-inf, -inf, -inf}}
}

func (b *bounds) add(f *ingest.Frame) error {
	plain := *f
	plain.Color = nil
	p := &b.cloud
	p.X, p.Y, p.Z = p.X[:0], p.Y[:0], p.Z[:0]
	if err := plain.AppendPoints(p); err != nil {
		return err
	}
	for i := range p.X {
		for k, c := range [3]float64{p.X[i], p.Y[i], p.Z[i]} {
			b.lo[k], b.hi[k] = min(b.lo[k], c), max(b.hi[k], c)
		}
	}
	return nil
}
