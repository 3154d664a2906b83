package pipeline_test

import (
	"context"
	"fmt"
	"io"

	"github.com/voxelstream/voxelstream/pipeline"
)

// numbers is a source. A real one commits a value's offset when the value settles.
type numbers struct{ next, end int }

func (s *numbers) Read(context.Context) (pipeline.Delivery[int], error) {
	if s.next == s.end {
		return pipeline.Delivery[int]{}, io.EOF
	}
	s.next++
	return pipeline.NewDelivery(s.next, nil, nil), nil
}

func (*numbers) Close(context.Context) error { return nil }

// lines is a sink.
type lines struct{}

func (lines) Write(_ context.Context, vs []string) error {
	for _, v := range vs {
		fmt.Println(v)
	}
	return nil
}

func (lines) Close(context.Context) error { return nil }

// Two workers square numbers and leave out the odd ones. Results arrive in the order in which the numbers were read.
func ExamplePipeline() {
	square := func(_ context.Context, n int) ([]string, error) {
		if n%2 == 1 {
			return nil, nil
		}
		return []string{fmt.Sprint(n, " squared is ", n*n)}, nil
	}
	p := pipeline.Pipeline[int, string, string]{
		Source:  &numbers{end: 6},
		Stage:   pipeline.StageFunc[int, string](square),
		Workers: 2,
		Work:    pipeline.Pass[string](),
		Outputs: []pipeline.Output[string]{{Name: "lines", Sink: lines{}}},
	}
	if err := p.Run(context.Background()); err != nil {
		panic(err)
	}
	// Output:
	// 2 squared is 4
	// 4 squared is 16
	// 6 squared is 36
}
