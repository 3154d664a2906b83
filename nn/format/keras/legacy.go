package keras

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/voxelstream/voxelstream/internal/h5"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format/internal/config"
)

// LoadH5 reads a whole model from a legacy .h5 file. input gives the sizes of input axes that have none in the file;
// nil if there are none.
func LoadH5(ctx context.Context, path string, input nn.Shape) (*nn.Model, error) {
	f, err := h5.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	architecture, err := text(ctx, f, "model_config")
	if errors.Is(err, h5.ErrNotFound) {
		return nil, fmt.Errorf("%s: the file has no attribute model_config, so it has no architecture (it may hold "+
			"weights only): %w", path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	budget, err := count(ctx, f, "/model_weights/")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	version, err := text(ctx, f, "keras_version")
	if err != nil && !errors.Is(err, h5.ErrNotFound) {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	m, layers, err := config.Unmarshal([]byte(architecture), config.Options{
		Budget: budget, Input: input, Keras2: before3(version),
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := readLegacy(ctx, f, "/model_weights", layers); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	extra, err := text(ctx, f, config.ExtraName)
	if err != nil && !errors.Is(err, h5.ErrNotFound) {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := config.SetExtra(m, []byte(extra)); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// before3 reports whether a version of Keras, such as 2.11.0, is before 3. Files of Keras 1 have none.
func before3(version string) bool {
	return version == "" || strings.HasPrefix(version, "1.") || strings.HasPrefix(version, "2.")
}

// LoadH5Weights sets the weights of m from an .h5 file: a legacy model, legacy weights, or the weights of Keras 3.
func LoadH5Weights(ctx context.Context, path string, m *nn.Model) error {
	return loadH5Weights(ctx, path, config.Flat(m))
}

func loadH5Weights(ctx context.Context, path string, layers []config.Stored) error {
	f, err := h5.Open(ctx, path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	members, err := f.Children(ctx, "/")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	group := "/"
	for _, o := range members {
		switch o.Path {
		case "/model_weights":
			group = o.Path
		case "/layers", "/_layer_checkpoint_dependencies":
			group = ""
		}
	}
	if group == "" {
		err = readWeights3(ctx, f, layers)
	} else {
		err = readLegacy(ctx, f, group, layers)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// text reads an attribute of the file that is one string.
func text(ctx context.Context, f *h5.File, name string) (string, error) {
	a, err := f.Attr(ctx, "/", name)
	if err != nil {
		return "", err
	}
	s, ok := a.Text()
	if !ok {
		return "", fmt.Errorf("attribute %s: got %s %v, want one string", name, a.Class, a.Dims)
	}
	return s, nil
}

// list reads an attribute that is a list of names. Keras splits lists above 64 KiB into name0, name1 and so on.
func list(ctx context.Context, f *h5.File, path, name string) ([]string, error) {
	a, err := f.Attr(ctx, path, name)
	if err == nil {
		return names(a)
	}
	if !errors.Is(err, h5.ErrNotFound) {
		return nil, err
	}
	var out []string
	for i := 0; ; i++ {
		a, partErr := f.Attr(ctx, path, fmt.Sprintf("%s%d", name, i))
		if errors.Is(partErr, h5.ErrNotFound) && i > 0 {
			return out, nil
		}
		if partErr != nil {
			return nil, errors.Join(err, partErr)
		}
		part, err := names(a)
		if err != nil {
			return nil, err
		}
		out = append(out, part...)
	}
}

func names(a h5.Attr) ([]string, error) {
	if a.Class != h5.String && (len(a.Ints) > 0 || len(a.Floats) > 0) { // an empty list is written as floats
		return nil, fmt.Errorf("attribute %s: got %s, want strings", a.Name, a.Class)
	}
	return a.Strings, nil
}

// stored is one layer of a legacy file.
type stored struct {
	name    string
	weights []string
}

// readLegacy sets the weights of the layers from the groups of a legacy file: by layer name if the file has all of
// them, otherwise in order, as Keras does.
func readLegacy(ctx context.Context, f *h5.File, group string, layers []config.Stored) error {
	names, err := list(ctx, f, group, "layer_names")
	if err != nil {
		return err
	}
	if len(names) > maxEntries*10 {
		return fmt.Errorf("attribute layer_names: got %d layers, want at most %d", len(names), maxEntries*10)
	}
	prefix := group + "/"
	if group == "/" {
		prefix = group
	}
	var full []stored
	byName := map[string]stored{}
	for _, name := range names {
		weights, err := list(ctx, f, prefix+name, "weight_names")
		if err != nil {
			return fmt.Errorf("layer %q: %w", name, err)
		}
		s := stored{name, weights}
		byName[name] = s
		if len(weights) > 0 {
			full = append(full, s)
		}
	}
	var weighted []config.Stored
	known := true
	for _, l := range layers {
		if len(leaves(l)) > 0 {
			weighted = append(weighted, l)
			known = known && len(byName[l.Name].weights) > 0
		}
	}
	if len(weighted) != len(full) {
		return fmt.Errorf("%s: the file has weights of %d layers, want %d", group, len(full), len(weighted))
	}
	var arrays []array
	for i, l := range weighted {
		s := full[i]
		if known {
			s = byName[l.Name]
		}
		params := paramsOf(l, s.weights)
		if len(s.weights) != len(params) {
			return fmt.Errorf("layer %q (%s): %s%s has %d arrays, want %d", l.Name, l.Class, prefix, s.name,
				len(s.weights), len(params))
		}
		for j, p := range params {
			arrays = append(arrays, array{prefix + s.name + "/" + s.weights[j], p})
		}
	}
	return read(ctx, f, arrays)
}

// leaves returns the layers with weights of a layer or of a model used as one.
func leaves(s config.Stored) []config.Stored {
	if s.Inner == nil {
		if len(s.Layer.Base().Params) == 0 {
			return nil
		}
		return []config.Stored{s}
	}
	var out []config.Stored
	for _, inner := range s.Inner {
		out = append(out, leaves(inner)...)
	}
	return out
}

// paramsOf returns the parameters of a layer in the order of its weights in the file. Keras lists those of a model
// used as a layer with all that can be trained first, unless it is frozen, so the names decide: "conv3d/kernel:0".
func paramsOf(s config.Stored, weights []string) []*nn.Param {
	layers := leaves(s)
	rest := map[string][]*nn.Param{}
	var first, moving []*nn.Param
	for _, l := range layers {
		rest[l.Name] = l.Layer.Base().Params
		for _, p := range l.Layer.Base().Params {
			if strings.HasPrefix(base(p), "moving_") {
				moving = append(moving, p)
			} else {
				first = append(first, p)
			}
		}
	}
	if s.Inner == nil {
		return s.Layer.Base().Params
	}
	var byName []*nn.Param
	for _, w := range weights {
		path := strings.Split(w, "/")
		if len(path) < 2 || len(rest[path[len(path)-2]]) == 0 {
			return append(first, moving...)
		}
		name := path[len(path)-2]
		byName, rest[name] = append(byName, rest[name][0]), rest[name][1:]
	}
	return byName
}

// SaveH5 writes the whole model as a legacy .h5 file, with its training state unless t is nil. The file appears
// under its name once it is complete.
func SaveH5(path string, m *nn.Model, t *Training) error {
	architecture, err := config.Marshal(m, true)
	if err != nil {
		return err
	}
	version, old := legacyVersion, []byte(`"`+config.Keras2HardSigmoid+`"`)
	if hard := []byte(`"hard_sigmoid"`); bytes.Contains(architecture, hard) {
		if version = hardSigmoidVersion; bytes.Contains(architecture, old) {
			return fmt.Errorf("%s: the model has the hard_sigmoid of Keras 2 and that of Keras 3, want .keras", path)
		}
	} else {
		architecture = bytes.ReplaceAll(architecture, old, hard)
	}
	extra, err := config.Extra(m)
	if err != nil {
		return err
	}
	w, err := h5.Create(path)
	if err != nil {
		return err
	}
	defer w.Abort()
	const group = "/model_weights"
	if err := w.Group(group); err != nil {
		return err
	}
	nodes := m.Nodes()
	var names []string
	for _, n := range nodes {
		if n.Layer == nil && m.IsSequential() || n.Call > 0 {
			continue
		}
		names = append(names, n.Name())
		if err := writeLegacyLayer(w, group+"/"+n.Name(), n); err != nil {
			return err
		}
	}
	for _, a := range []struct {
		path, name string
		value      any
	}{
		{"/", "keras_version", version},
		{"/", "backend", "tensorflow"},
		{"/", "model_config", string(architecture)},
		{"/", config.ExtraName, string(extra)},
		{group, "keras_version", version},
		{group, "backend", "tensorflow"},
		{group, "layer_names", names},
	} {
		if err := w.SetAttr(a.path, a.name, a.value); err != nil {
			return err
		}
	}
	if err := writeLegacyTraining(w, t, m); err != nil {
		return err
	}
	return w.Close()
}

// legacyVersion is the Keras version whose .h5 format we write. A file whose hard_sigmoid is that of Keras 3 names
// a version that has it.
const (
	legacyVersion      = "2.11.0"
	hardSigmoidVersion = "3.0.0"
)

func writeLegacyLayer(w *h5.Writer, group string, n *nn.Node) error {
	if err := w.Group(group); err != nil {
		return err
	}
	weights := []string{}
	var arrays []array
	if n.Layer != nil {
		for _, p := range n.Layer.Base().Params {
			name := n.Name() + "/" + base(p) + ":0" // as TensorFlow names variables
			weights = append(weights, name)
			arrays = append(arrays, array{group + "/" + name, p})
		}
	}
	if err := write(w, arrays); err != nil {
		return err
	}
	if len(weights) == 0 {
		return w.SetAttr(group, "weight_names", []float64{}) // as numpy writes an empty list
	}
	return w.SetAttr(group, "weight_names", weights)
}

// SaveWeights writes a .weights.h5 file as Keras 3 does. The file appears under its name once it is complete.
func SaveWeights(path string, m *nn.Model) error { return writeWeights3(path, m, nil) }
