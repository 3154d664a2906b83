package stream

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
)

// counting gives so many samples of a stream, then err.
type counting struct {
	stream string
	left   uint64
	err    error
	closed bool
}

func (s *counting) Read(ctx context.Context) (pipeline.Delivery[ingest.Sample], error) {
	if err := ctx.Err(); err != nil {
		return pipeline.Delivery[ingest.Sample]{}, err
	}
	if s.left == 0 {
		if s.err == nil { // a live source waits
			<-ctx.Done()
			return pipeline.Delivery[ingest.Sample]{}, ctx.Err()
		}
		return pipeline.Delivery[ingest.Sample]{}, s.err
	}
	s.left--
	return pipeline.NewDelivery(ingest.Sample{ID: record.ID{Stream: s.stream, Seq: 10 - s.left}}, nil, nil), nil
}

func (s *counting) Close(context.Context) error {
	s.closed = true
	return nil
}

func TestFanIn(t *testing.T) {
	a, b := &counting{stream: "a", left: 3, err: io.EOF}, &counting{stream: "b", left: 4, err: io.EOF}
	f := &fanIn{sources: []pipeline.Source[ingest.Sample]{a, b}}
	last := map[string]uint64{}
	for n := 0; ; n++ {
		d, err := f.Read(t.Context())
		if errors.Is(err, io.EOF) {
			if n != 7 {
				t.Errorf("found %d samples, want 7", n)
			}
			break
		}
		if err != nil || d.Value.Seq <= last[d.Value.Stream] {
			t.Fatalf("found %+v, %v behind %v", d.Value, err, last)
		}
		last[d.Value.Stream] = d.Value.Seq
	}
	if err := f.Close(t.Context()); err != nil || !a.closed || !b.closed {
		t.Errorf("closed %v and %v, %v", a.closed, b.closed, err)
	}

	broken := errors.New("broken")
	waiting := &counting{stream: "w"}
	f = &fanIn{sources: []pipeline.Source[ingest.Sample]{waiting, &counting{err: broken}}}
	if _, err := f.Read(t.Context()); !errors.Is(err, broken) {
		t.Errorf("found error %v, want that of the source", err)
	}
	if err := f.Close(t.Context()); err != nil || !waiting.closed {
		t.Errorf("the source that waits: closed %v, %v", waiting.closed, err)
	}
	f = &fanIn{sources: []pipeline.Source[ingest.Sample]{&counting{}}}
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer stop()
	if _, err := f.Read(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("found error %v, want the context's", err)
	}
	if err := f.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := (&fanIn{sources: []pipeline.Source[ingest.Sample]{&counting{}}}).Close(t.Context()); err != nil {
		t.Errorf("never read: %v", err)
	}
}
