package polygons

import (
	"slices"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
)

func TestFan(t *testing.T) {
	l := New(5, ingest.Options{})
	for _, corners := range [][]int64{{0, 1, 2, 3, 4}, {1, 2}, {4, 3, 2}} {
		if err := l.Add(corners); err != nil {
			t.Fatal(err)
		}
	}
	want := [][3]int32{{0, 1, 2}, {0, 2, 3}, {0, 3, 4}, {4, 3, 2}}
	if got := l.Triangles(nil); !slices.Equal(got, want) {
		t.Errorf("found %v, want %v", got, want)
	}
	for _, corners := range [][]int64{{0, 1, 5}, {-1, 0, 1}} {
		err := l.Add(corners)
		if err == nil {
			t.Errorf("%v: want an error", corners)
		}
		if got := l.Triangles(err); got != nil {
			t.Errorf("found %v, want nothing after an error", got)
		}
	}
}
