package keras

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/voxelstream/voxelstream/internal/h5"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format/internal/config"
)

var (
	beforeWord  = regexp.MustCompile(`(.)([A-Z][a-z]+)`)
	beforeUpper = regexp.MustCompile(`([a-z])([A-Z])`)
)

// snake is Keras's to_snake_case (keras/src/utils/naming.py).
func snake(class string) string {
	class = beforeWord.ReplaceAllString(class, "${1}_$2")
	return strings.ToLower(beforeUpper.ReplaceAllString(class, "${1}_$2"))
}

// groups gives each layer its group in a Keras 3 file: its class, counted in the order of the model.
func groups(layers []config.Stored) []string {
	seen := map[string]int{}
	names := make([]string, len(layers))
	for i, l := range layers {
		name := snake(l.Class)
		names[i] = name
		if n := seen[name]; n > 0 {
			names[i] = fmt.Sprintf("%s_%d", name, n)
		}
		seen[name]++
	}
	return names
}

// readWeights3 fills the layers, which are in the file's order, from a Keras 3 file of weights.
func readWeights3(ctx context.Context, f *h5.File, layers []config.Stored) error {
	root := "/layers/"
	if _, err := f.Object(ctx, "/layers"); errors.Is(err, h5.ErrNotFound) {
		root = "/_layer_checkpoint_dependencies/" // TensorFlow 2.11 and 2.12
	}
	arrays, err := arrays3(ctx, f, root, layers)
	if err != nil {
		return err
	}
	return read(ctx, f, arrays)
}

// arrays3 locates the weights of layers below root. Those of a model within the model are below its own group.
func arrays3(ctx context.Context, f *h5.File, root string, layers []config.Stored) ([]array, error) {
	var out []array
	for i, name := range groups(layers) {
		l := layers[i]
		if l.Inner != nil {
			inner, err := arrays3(ctx, f, root+name+"/layers/", l.Inner)
			if err != nil {
				return nil, err
			}
			out = append(out, inner...)
			continue
		}
		params := l.Layer.Base().Params
		if len(params) == 0 {
			continue
		}
		vars := root + name + "/vars"
		children, err := f.Children(ctx, vars)
		if err != nil {
			return nil, fmt.Errorf("layer %q (%s): %w", l.Name, l.Class, err)
		}
		if len(children) != len(params) {
			return nil, fmt.Errorf("layer %q (%s): %s has %d arrays, want %d", l.Name, l.Class, vars, len(children), len(params))
		}
		for j, p := range params {
			out = append(out, array{fmt.Sprintf("%s/%d", vars, j), p})
		}
	}
	return out, nil
}

// writeWeights3 writes a Keras 3 file of weights, and the optimizer's state unless t is nil.
func writeWeights3(path string, m *nn.Model, t *Training) error {
	w, err := h5.Create(path)
	if err != nil {
		return err
	}
	defer w.Abort()
	group := func(path, name string) error {
		if err := w.Group(path); err != nil {
			return err
		}
		return w.SetAttr(path, "name", name)
	}
	if err := group("/vars", m.Name); err != nil {
		return err
	}
	layers := m.Layers()
	for i, name := range groups(config.Flat(m)) {
		vars := "/layers/" + name + "/vars"
		if err := group(vars, layers[i].Base().Name); err != nil {
			return err
		}
		var arrays []array
		for j, p := range layers[i].Base().Params {
			arrays = append(arrays, array{fmt.Sprintf("%s/%d", vars, j), p})
		}
		if err := write(w, arrays); err != nil {
			return err
		}
	}
	if t != nil {
		const vars = "/optimizer/vars"
		if err := group(vars, strings.ToLower(t.Optimizer.Rule.Class())); err != nil {
			return err
		}
		if err := writeState(w, t.Optimizer, func(i int,
			_ string,
		) string {
			return fmt.Sprintf("%s/%d", vars, i)
		}); err != nil {
			return err
		}
	}
	return w.Close()
}
