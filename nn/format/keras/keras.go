// Package keras reads and writes models as Keras does: the .keras archives of Keras 3, the legacy .h5 files of
// Keras 2, and files of weights only.
//
// A .keras file is a zip archive: config.json, the architecture; model.weights.h5, an HDF5 file with the arrays of
// each layer under layers/NAME/vars/N, where NAME is the class in snake case, counted in the order of the model;
// metadata.json. We add voxelstream.json, which Keras ignores, with the names of the classes and the palette.
//
// A legacy .h5 file has the architecture in the attribute model_config and the arrays under model_weights, in one
// group for each layer, listed by the attributes layer_names and weight_names; a file of weights alone has those
// groups at its root.
//
// Both need HDF5: without it everything fails with h5.ErrNoHDF5, and package safetensors is the alternative.
package keras

import (
	"context"
	"fmt"
	"slices"

	"github.com/voxelstream/voxelstream/internal/h5"
	"github.com/voxelstream/voxelstream/nn"
)

// array is the location of one parameter in a file.
type array struct {
	path  string
	param *nn.Param
}

// read fills the parameters after checking that all of them fit.
func read(ctx context.Context, f *h5.File, arrays []array) error {
	rows := make([]int, len(arrays))
	for i, a := range arrays {
		o, err := f.Object(ctx, a.path)
		if err != nil {
			return err
		}
		switch {
		case o.Kind != h5.Dataset || o.Class != h5.Float:
			return fmt.Errorf("%s: got a %s of %s, want the floats of %s", a.path, o.Kind, o.TypeName(), a.param.Name)
		case o.Refused != "":
			return fmt.Errorf("%s: %w: %s", a.path, h5.ErrRefused, o.Refused)
		case !slices.Equal(o.Dims, a.param.Shape):
			return fmt.Errorf("%s: got shape %v, want %v of %s", a.path, o.Dims, a.param.Shape, a.param.Name)
		}
		rows[i] = o.Rows()
	}
	for i, a := range arrays {
		if err := f.ReadFloat32(ctx, a.path, 0, rows[i], a.param.Value); err != nil {
			return err
		}
	}
	return nil
}

// count returns the total size of the arrays in a file, which limits the parameters that its architecture may
// request.
func count(ctx context.Context, f *h5.File, under string) (int, error) {
	objects, err := f.Objects(ctx)
	if err != nil {
		return 0, err
	}
	total := 0
	for _, o := range objects {
		if o.Kind != h5.Dataset || o.Class != h5.Float || o.Refused != "" || len(o.Path) < len(under) || o.Path[:len(under)] != under {
			continue
		}
		n := 1
		for _, d := range o.Dims {
			if d > 0 && n > maxNumbers/d {
				return 0, fmt.Errorf("%s: shape %v has more than %d elements", o.Path, o.Dims, maxNumbers)
			}
			n *= d
		}
		if total += n; total > maxNumbers {
			return 0, fmt.Errorf("%s: this and the arrays before it have more than %d elements", o.Path, maxNumbers)
		}
	}
	return total, nil
}

// maxNumbers limits the parameters of a model to 4 GiB.
const maxNumbers = 1 << 30

// write writes the arrays to a file.
func write(w *h5.Writer, arrays []array) error {
	for _, a := range arrays {
		if err := h5.WriteDataset(w, a.path, h5.Layout{Dims: a.param.Shape}, a.param.Value); err != nil {
			return err
		}
	}
	return nil
}

// base returns a weight's name without its layer, such as "kernel".
func base(p *nn.Param) string {
	for i := len(p.Name) - 1; i >= 0; i-- {
		if p.Name[i] == '/' {
			return p.Name[i+1:]
		}
	}
	return p.Name
}
