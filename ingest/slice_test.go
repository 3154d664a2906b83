package ingest

import (
	"context"
	"io"
	"slices"
	"testing"
)

// named is a source without samples that knows the names of classes.
type named struct{}

func (named) Read(context.Context) (Sample, error) { return Sample{}, io.EOF }
func (named) Close() error                         { return nil }
func (named) Classes(context.Context) []string     { return []string{"car"} }

// TestSliceClasses: some samples of a source have the names of its classes.
func TestSliceClasses(t *testing.T) {
	if got := ClassesOf(t.Context(), Slice(named{}, 1, 2)); !slices.Equal(got, []string{"car"}) {
		t.Errorf("found %q, want the name of the source", got)
	}
}
