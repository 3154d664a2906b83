package classify

import (
	"testing"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/layers"
	"github.com/voxelstream/voxelstream/voxelize"
)

// TestSettingsOfTheModel checks that a model's volumes are made with the settings of its training, and that settings
// of another version are refused.
func TestSettingsOfTheModel(t *testing.T) {
	o := voxelize.DefaultOptions()
	o.Method, o.Edge, o.Dims = voxelize.OccupancyGrid.Name, voxelize.Cubes(0.15), [3]int{8, 8, 8}
	trained, err := NewInput(o)
	if err != nil {
		t.Fatal(err)
	}
	m, err := nn.Sequential("m", nn.Shape{8, 8, 8, 3}, layers.NewFlatten(), layers.NewDense(2, "softmax"))
	if err != nil {
		t.Fatal(err)
	}
	m.Metadata = trained.Metadata(nil)
	in, err := InputOf(m, Preferences{})
	if err != nil {
		t.Fatal(err)
	}
	if got := in.Options(voxelize.DefaultOptions()); got.Method != o.Method || got.Edge != o.Edge || got.Dims != o.Dims {
		t.Errorf("found method %s, edge %g, size %v, want those of the training", got.Method, got.Edge, got.Dims)
	}
	m.Voxelize = map[string]string{"future": "1"}
	if _, err := InputOf(m, Preferences{}); err == nil {
		t.Error("a setting that this version does not know was accepted")
	}
}
