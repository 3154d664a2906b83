package config

import (
	"encoding/json"
	"fmt"

	"github.com/voxelstream/voxelstream/nn"
)

// ExtraName is the name under which our own JSON is stored: a file in a .keras archive, an attribute of an .h5
// file, metadata of a .safetensors file. Keras and other readers ignore it.
const ExtraName = "voxelstream"

// extra holds the properties of our models that Keras does not have.
type extra struct {
	Classes  []string `json:"classes,omitempty"`
	Values   string   `json:"values,omitempty"`
	Colormap string   `json:"colormap,omitempty"`
	// Voxelize is that of nn.Metadata.
	Voxelize map[string]string `json:"voxelize,omitempty"`
	// Augmentation is that of the last training.
	Augmentation string `json:"augmentation,omitempty"`
	// Temperature and Energy are those of nn.Trust.
	Temperature float64    `json:"temperature,omitempty"`
	Energy      *nn.Energy `json:"energy,omitempty"`
	// Precision is the inference precision; omitted for float32.
	Precision json.RawMessage `json:"precision,omitempty"`
}

// Values returns the values to write into a file: those of the model, or raw for a model from elsewhere that states
// nothing. A file of ours that states nothing is of an earlier version.
func Values(m *nn.Model) string {
	if m.Values == "" && m.Colormap == "" && !m.Older {
		return "raw"
	}
	return m.Values
}

// Extra returns our own JSON of the model.
func Extra(m *nn.Model) ([]byte, error) {
	e := extra{
		Classes: m.Classes, Values: Values(m), Colormap: m.Colormap, Temperature: m.Trust.Temperature,
		Energy: m.Trust.Energy, Voxelize: m.Voxelize, Augmentation: m.Augmentation,
	}
	if m.Precision.Kind != "" {
		var err error
		if e.Precision, err = json.Marshal(m.Precision); err != nil {
			return nil, err
		}
	}
	return json.Marshal(e)
}

// DecodePrecision decodes a precision from JSON.
func DecodePrecision(data []byte) (p nn.Precision, err error) {
	if err := json.Unmarshal(data, &p); err != nil {
		return p, err
	}
	return p, p.Check()
}

// SetExtra applies the JSON that Extra returned to the model; empty data changes nothing.
func SetExtra(m *nn.Model, data []byte) error {
	if len(data) == 0 {
		return nil
	}
	var e extra
	if err := json.Unmarshal(data, &e); err != nil {
		return fmt.Errorf("%s metadata: %w", ExtraName, err)
	}
	if n := len(e.Classes); len(m.Outputs()) == 1 && n > 0 && n != m.ClassCount() {
		return fmt.Errorf("%s metadata: found the names of %d classes for an output of shape %v", ExtraName, n,
			m.Outputs()[0].Shape)
	}
	if len(e.Precision) > 0 {
		p, err := DecodePrecision(e.Precision)
		if err != nil {
			return fmt.Errorf("%s metadata: %w", ExtraName, err)
		}
		m.Precision = p
	}
	trust := nn.Trust{Temperature: e.Temperature, Energy: e.Energy}
	if err := trust.Check(); err != nil {
		return fmt.Errorf("%s metadata: %w", ExtraName, err)
	}
	m.Metadata = nn.Metadata{
		Classes: e.Classes, Values: e.Values, Colormap: e.Colormap, Voxelize: e.Voxelize, Trust: trust,
		Augmentation: e.Augmentation,
		Older:        e.Values == "" && e.Colormap == "",
	}
	return nil
}
