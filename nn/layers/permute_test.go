package layers_test

import (
	"testing"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/layers"
)

// TestPermuteOfNoAxis refuses orders with axes that the input does not have, whatever their place.
func TestPermuteOfNoAxis(t *testing.T) {
	for _, dims := range [][]int{{35, 1}, {1, 35}, {0, 1}, {-1, 1}, {2, 2}, {1}, {1, 2, 3}, {}} {
		if _, err := layers.NewPermute(dims...).Build([]nn.Shape{{4, 5}}); err == nil {
			t.Errorf("%v: found no error", dims)
		}
	}
	if got, err := layers.NewPermute(2, 1).Build([]nn.Shape{{4, 5}}); err != nil || got[0] != 5 || got[1] != 4 {
		t.Errorf("found %v and error %v, want 5 x 4", got, err)
	}
}
