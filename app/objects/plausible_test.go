package objects

import (
	"testing"

	"github.com/voxelstream/voxelstream/perception"
)

func TestPlausible(t *testing.T) {
	span := func(lo, hi float64) *perception.Span { return &perception.Span{Lo: lo, Hi: hi} }
	for _, k := range []struct {
		name   string
		class  string
		length float64
		above  *perception.Span
		want   bool
	}{
		{"a standing person", "pedestrian", 0.6, span(0.05, 1.8), true},
		{"a person behind a car", "pedestrian", 0.5, span(1.2, 1.75), true},
		{"the end of a branch", "pedestrian", 0.4, span(2.1, 2.9), false},
		{"a kerbstone", "pedestrian", 0.4, span(0, 0.4), false},
		{"a piece of a wall", "pedestrian", 3, span(0, 1.8), false},
		{"no ground near", "pedestrian", 0.5, nil, true},
		{"a long object, no ground near", "pedestrian", 3, nil, false},
		{"a car", "car", 4.2, span(0.1, 1.5), true},
		{"leaves of a tree", "car", 2, span(2.3, 3), false},
		{"a class without limits", "tree", 30, span(-4, 40), true},
	} {
		if got := plausible(k.class, k.length, k.above); got != k.want {
			t.Errorf("%s as %s: found %t, want %t", k.name, k.class, got, k.want)
		}
	}
}
