package keras

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/voxelstream/voxelstream/internal/h5"
	"github.com/voxelstream/voxelstream/internal/regular"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format/internal/config"
)

// IsArchitecture reports whether data is a model's JSON, as to_json writes it.
func IsArchitecture(data []byte) bool {
	return len(data) > 0 && data[0] == '{' && config.IsArchitecture(data)
}

// ErrNoWeights means that a file holds an architecture only.
var ErrNoWeights = errors.New("the file holds an architecture without weights: give their file with --weights")

// LoadArchitecture builds the model that JSON describes, as to_json writes it, with the weights of another file: as
// save_weights writes them, or of a whole model. input gives the sizes of input axes that have none in the file; nil
// if there are none.
func LoadArchitecture(ctx context.Context, architecture []byte, weights string, input nn.Shape) (*nn.Model, error) {
	if weights == "" {
		return nil, ErrNoWeights
	}
	f, info, err := regular.Open(weights)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	head := make([]byte, 4096) // the HDF5 signature may follow a user block
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("%s: %w", weights, err)
	}
	budget := int(min(info.Size(), maxNumbers)) // each parameter takes a byte at least
	m, layers, err := unmarshalArchitecture(architecture, input, budget)
	if err != nil {
		return nil, err
	}
	if h5.IsHDF5(head[:n]) {
		return m, loadH5Weights(ctx, weights, layers)
	}
	if err := decodeArchiveWeights(ctx, f, info.Size(), layers); err != nil {
		return nil, fmt.Errorf("%s: %w", weights, err)
	}
	return m, nil
}

// maxUntrained is the maximum number of parameters of a model without weights, which no file's size bounds.
const maxUntrained = 1 << 28

// Untrained builds the model that JSON describes, as to_json writes it, with parameters of zeros. input is that of
// LoadArchitecture.
func Untrained(architecture []byte, input nn.Shape) (*nn.Model, error) {
	m, _, err := unmarshalArchitecture(architecture, input, maxUntrained)
	return m, err
}

func unmarshalArchitecture(data []byte, input nn.Shape, budget int) (*nn.Model, []config.Stored, error) {
	return config.Unmarshal(data, config.Options{
		Budget: budget, Input: input, Keras2: before3(config.KerasVersion(data)),
	})
}
