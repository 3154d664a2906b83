package keras

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/voxelstream/voxelstream/internal/h5"
	"github.com/voxelstream/voxelstream/nn"
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
func groups(layers []nn.Layer) []string {
	seen := map[string]int{}
	names := make([]string, len(layers))
	for i, l := range layers {
		name := snake(l.Class())
		names[i] = name
		if n := seen[name]; n > 0 {
			names[i] = fmt.Sprintf("%s_%d", name, n)
		}
		seen[name]++
	}
	return names
}

// readWeights3 fills the layers, which are in the file's order, from a Keras 3 file of weights.
func readWeights3(ctx context.Context, f *h5.File, layers []nn.Layer) error {
	root := "/layers/"
	if _, err := f.Object(ctx, "/layers"); errors.Is(err, h5.ErrNotFound) {
		root = "/_layer_checkpoint_dependencies/" // TensorFlow 2.11 and 2.12
	}
	var arrays []array
	for i, name := range groups(layers) {
		params := layers[i].Base().Params
		if len(params) == 0 {
			continue
		}
		vars := root + name + "/vars"
		children, err := f.Children(ctx, vars)
		if err != nil {
			return fmt.Errorf("layer %q (%s): %w", layers[i].Base().Name, layers[i].Class(), err)
		}
		if len(children) != len(params) {
			return fmt.Errorf("layer %q (%s): %s has %d arrays, want %d", layers[i].Base().Name, layers[i].Class(), vars, len(children), len(params))
		}
		for j, p := range params {
			arrays = append(arrays, array{fmt.Sprintf("%s/%d", vars, j), p})
		}
	}
	return read(ctx, f, arrays)
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
	for i, name := range groups(layers) {
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
		if err := writeState(w, t.Optimizer, func(i int, _ string) string { return fmt.Sprintf("%s/%d", vars, i) }); err != nil {
			return err
		}
	}
	return w.Close()
}
