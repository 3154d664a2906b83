package config

import (
	"encoding/json"
	"fmt"

	"github.com/voxelstream/voxelstream/nn"
)

// ExtraName is where our own JSON is kept: a file in a .keras archive, an attribute of an .h5 file, metadata of a .safetensors file. Keras and
// others ignore it.
const ExtraName = "voxelstream"

// extra is what our models know beyond Keras's.
type extra struct {
	Classes  []string `json:"classes,omitempty"`
	Colormap string   `json:"colormap,omitempty"`
}

// Extra returns our own JSON of the model.
func Extra(m *nn.Model) ([]byte, error) { return json.Marshal(extra{m.Classes, m.Colormap}) }

// SetExtra gives the model what Extra returned; empty data changes nothing.
func SetExtra(m *nn.Model, data []byte) error {
	if len(data) == 0 {
		return nil
	}
	var e extra
	if err := json.Unmarshal(data, &e); err != nil {
		return fmt.Errorf("%s metadata: %w", ExtraName, err)
	}
	if len(m.Outputs()) == 1 {
		if shape := m.Outputs()[0].Shape; len(e.Classes) > 0 && len(e.Classes) != shape[len(shape)-1] {
			return fmt.Errorf("%s metadata: got %d classes for an output of shape %v", ExtraName, len(e.Classes), shape)
		}
	}
	m.Classes, m.Colormap = e.Classes, e.Colormap
	return nil
}
