package format_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/voxelstream/voxelstream/internal/testenv"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format"
)

// TestCases loads models that users reported as refused or read wrongly, and runs each on one sample.
func TestCases(t *testing.T) {
	cases, ok := testenv.Cases()
	if !ok {
		t.Skip("the cases are not here: put the folder cases beside the checkout or set VOXELSTREAM_CASES")
	}
	for file, c := range map[string]struct {
		learned string
		options format.Options
		outputs int
	}{
		"10-keras2-conv3dtranspose-groups/k2.h5": {"tf.keras writes groups although the layer has none.", format.Options{}, 1},
		"12-keras2-call-training-false/k2.h5":    {"training=False changes nothing in inference.", format.Options{}, 1},
		"13-keras2-hard-sigmoid/k2.h5":           {"Keras 2 has another hard_sigmoid than Keras 3.", format.Options{}, 1},
		"15-input-any-size/any.keras": {
			"Fully convolutional networks leave the size to the data.", format.Options{Input: nn.Shape{16, 16, 16}}, 1,
		},
		"16-channels-first-keras/cf.keras": {"data_format may be channels_first.", format.Options{}, 1},
		"17-nested-model/nested.keras":     {"A model may be a layer.", format.Options{}, 1},
		"18-two-outputs-predict/two.keras": {"A model may have several outputs.", format.Options{}, 2},
	} {
		t.Run(filepath.Dir(file), func(t *testing.T) {
			path := filepath.Join(cases, "models", file)
			if _, err := os.Stat(path); err != nil {
				t.Skipf("%s is not among the cases", file)
			}
			m, err := format.LoadWith(t.Context(), path, c.options)
			if err != nil {
				t.Fatalf("%v\nlearned: %s", err, c.learned)
			}
			plan, err := m.Compile(1, nn.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer plan.Close()
			for i := range plan.Input(0) {
				plan.Input(0)[i] = float32(i%7) / 7
			}
			if err := plan.Forward(1, false, 0); err != nil {
				t.Fatal(err)
			}
			if len(m.Outputs()) != c.outputs {
				t.Errorf("found %d outputs, want %d", len(m.Outputs()), c.outputs)
			}
			for i := range m.Outputs() {
				for _, v := range plan.Output(i) {
					if v-v != 0 {
						t.Fatalf("output %d: found %v", i, v)
					}
				}
			}
		})
	}
}
