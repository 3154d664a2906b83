package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/record"
)

// heights is a source of one point per scan. The scan at -1 is bad.
type heights []float64

func (h *heights) Read(context.Context) (ingest.Sample, error) {
	if len(*h) == 0 {
		return ingest.Sample{}, io.EOF
	}
	z := (*h)[0]
	*h = (*h)[1:]
	id := record.ID{Stream: "tower", Seq: uint64(2 - len(*h))}
	if z < 0 {
		return ingest.Sample{}, &ingest.ItemError{ID: id, Err: errors.New("below the ground")}
	}
	return ingest.Sample{ID: id, Data: &ingest.PointCloud{X: []float64{0}, Y: []float64{0}, Z: []float64{z}}}, nil
}

func (*heights) Close() error { return nil }

// Sources other than files have the same contract: a bad item is an ItemError, and the next ones can still be read.
func ExampleEach() {
	src := &heights{10, -1, 30}
	failed, err := ingest.Each(context.Background(), src, func(s ingest.Sample) error {
		fmt.Println(s.ID, s.Data.(*ingest.PointCloud).Z[0])
		return nil
	}, func(err error) { fmt.Println(err) })
	if err != nil {
		panic(err)
	}
	fmt.Println(failed, "failed")
	// Output:
	// tower/0 10
	// tower/1: below the ground
	// tower/2 30
	// 1 failed
}
