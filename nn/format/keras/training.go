package keras

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/voxelstream/voxelstream/internal/h5"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format/internal/config"
	"github.com/voxelstream/voxelstream/nn/train"
)

// Training is the training state in a Keras file, from which training can resume: the optimizer with its state, and
// the loss and metrics that the model was compiled with.
type Training struct {
	Optimizer *train.Optimizer
	// Loss and Metrics are their Keras names, or whatever the JSON has instead.
	Loss, Metrics any
}

// compiled is the same in Keras's JSON: compile_config of a .keras archive, or training_config of an .h5 file.
type compiled struct {
	Optimizer *optimizerConfig `json:"optimizer,omitempty"`
	Legacy    *optimizerConfig `json:"optimizer_config,omitempty"`
	Loss      any              `json:"loss"`
	Metrics   any              `json:"metrics"`
	// Fields that we do not use, but that Keras requires.
	LossWeights     any `json:"loss_weights"`
	WeightedMetrics any `json:"weighted_metrics"`
}

type optimizerConfig struct {
	Module string         `json:"module,omitempty"`
	Class  string         `json:"class_name"`
	Config map[string]any `json:"config"`
	// Registered is always null; Keras 3 requires it.
	Registered *string `json:"registered_name"`
}

// ErrNotCompiled means that a file has a model but no training state.
var ErrNotCompiled = errors.New("the file holds no training state")

// marshalCompiled encodes the training state for a .keras archive or, with legacy, for an .h5 file.
func marshalCompiled(t *Training, legacy bool) ([]byte, error) {
	o := &optimizerConfig{Class: t.Optimizer.Rule.Class(), Config: withPoints(t.Optimizer.Config())}
	c := compiled{Loss: t.Loss, Metrics: t.Metrics}
	if legacy {
		c.Legacy = o
	} else {
		o.Module = "keras.optimizers"
		c.Optimizer = o
	}
	return json.Marshal(c)
}

// withPoints writes integers with a decimal point where Keras requires a float; counts stay integers.
func withPoints(config map[string]any) map[string]any {
	out := map[string]any{}
	for key, v := range config {
		out[key] = v
		f, ok := v.(float64)
		if ok && f == math.Trunc(f) && math.Abs(f) < 1e15 && key != "ema_overwrite_frequency" {
			out[key] = json.RawMessage(strconv.FormatFloat(f, 'f', 1, 64))
		}
		if nested, ok := v.(map[string]any); ok {
			out[key] = withPoints(nested)
		}
	}
	return out
}

// unmarshalCompiled creates the optimizer that the JSON describes, without its state.
func unmarshalCompiled(data []byte, m *nn.Model) (*Training, error) {
	var c compiled
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, fmt.Errorf("training: %w", err)
	}
	o := c.Optimizer
	if o == nil {
		o = c.Legacy
	}
	if o == nil {
		return nil, ErrNotCompiled
	}
	class := strings.TrimPrefix(o.Class, "Custom>") // Keras 2.11 prefixes its new optimizers
	optimizer, err := train.FromConfig(m, class, o.Config)
	if err != nil {
		return nil, err
	}
	return &Training{Optimizer: optimizer, Loss: c.Loss, Metrics: c.Metrics}, nil
}

// withCompiled adds the training state to the JSON of a model.
func withCompiled(architecture []byte, t *Training) ([]byte, error) {
	if t == nil {
		return architecture, nil
	}
	text, err := marshalCompiled(t, false)
	if err != nil {
		return nil, err
	}
	var o map[string]json.RawMessage
	if err := json.Unmarshal(architecture, &o); err != nil {
		return nil, err
	}
	o["compile_config"] = text
	return json.Marshal(o)
}

// writeState writes the optimizer's variables in Keras's order: the iteration count, the learning rate unless it is
// a schedule, the arrays. place returns the path of variable i, called name.
func writeState(w *h5.Writer, o *train.Optimizer, place func(i int, name string) string) error {
	if err := h5.WriteDataset(w, place(0, "iteration"), h5.Layout{}, []int64{o.Iterations}); err != nil {
		return err
	}
	next := 1
	if o.Schedule == nil {
		if err := h5.WriteDataset(w, place(next, "learning_rate"), h5.Layout{}, []float32{float32(o.Rate)}); err != nil {
			return err
		}
		next++
	}
	for i, slot := range o.State() {
		name := strings.ReplaceAll(slot.Param.Name, "/", "_") + "_" + slot.Name
		if err := h5.WriteDataset(w, place(next+i, name), h5.Layout{Dims: slot.Param.Shape}, slot.Value); err != nil {
			return err
		}
	}
	return nil
}

// readState sets the optimizer's state from the variables at paths, in Keras's order: the iteration count, the
// learning rate if there is one, the arrays. An optimizer that has made no step may have no arrays.
func readState(ctx context.Context, f *h5.File, paths []string, rate bool, o *train.Optimizer) error {
	rest := paths
	if len(rest) > 0 {
		var steps [1]int64
		if err := f.ReadInt64(ctx, rest[0], 0, 1, steps[:]); err != nil {
			return err
		}
		o.Iterations, rest = steps[0], rest[1:]
	}
	if rate && len(rest) > 0 {
		var v [1]float32
		if err := f.ReadFloat32(ctx, rest[0], 0, 1, v[:]); err != nil {
			return err
		}
		o.Rate, rest = float64(v[0]), rest[1:]
	}
	slots := o.State()
	if len(rest) == 0 && o.Iterations == 0 {
		return nil
	}
	if len(rest) != len(slots) {
		return fmt.Errorf("found %d optimizer arrays, want %d for %s", len(rest), len(slots), o.Rule.Class())
	}
	var arrays []array
	for i, slot := range slots {
		arrays = append(arrays, array{rest[i], &nn.Param{
			Name:  slot.Param.Name + "/" + slot.Name,
			Shape: slot.Param.Shape, Value: slot.Value,
		}})
	}
	return read(ctx, f, arrays)
}

// DecodeArchiveTraining reads the training state of m, the model that DecodeArchive returned, from a .keras
// archive. If there is none, the error is ErrNotCompiled.
func DecodeArchiveTraining(ctx context.Context, r io.ReaderAt, size int64, m *nn.Model) (*Training, error) {
	a, err := openArchive(r, size)
	if err != nil {
		return nil, err
	}
	text, err := a.bytes(configName, config.MaxBytes)
	if err != nil {
		return nil, err
	}
	var o struct {
		Compiled json.RawMessage `json:"compile_config"`
	}
	if err := json.Unmarshal(text, &o); err != nil {
		return nil, fmt.Errorf("keras archive: %s: %w", configName, err)
	}
	if len(o.Compiled) == 0 || string(o.Compiled) == "null" {
		return nil, ErrNotCompiled
	}
	t, err := unmarshalCompiled(o.Compiled, m)
	if err != nil {
		return nil, err
	}
	err = a.weights(ctx, func(f *h5.File) error {
		const vars = "/optimizer/vars"
		children, err := f.Children(ctx, vars)
		if errors.Is(err, h5.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		var paths []string
		for i := range children {
			paths = append(paths, fmt.Sprintf("%s/%d", vars, i))
		}
		return readState(ctx, f, paths, t.Optimizer.Schedule == nil, t.Optimizer)
	})
	if err != nil {
		return nil, fmt.Errorf("keras archive: %w", err)
	}
	return t, nil
}

// optimizerGroup is the group of an .h5 file that holds the optimizer's arrays.
const optimizerGroup = "/optimizer_weights"

// LoadH5Training reads what an .h5 file holds of the training of m, which is the model that LoadH5 made of it. A
// file without it gives ErrNotCompiled.
func LoadH5Training(ctx context.Context, path string, m *nn.Model) (*Training, error) {
	f, err := h5.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	t, err := readLegacyTraining(ctx, f, m)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

func readLegacyTraining(ctx context.Context, f *h5.File, m *nn.Model) (*Training, error) {
	text, err := text(ctx, f, "training_config")
	if errors.Is(err, h5.ErrNotFound) {
		return nil, ErrNotCompiled
	}
	if err != nil {
		return nil, err
	}
	t, err := unmarshalCompiled([]byte(text), m)
	if err != nil {
		return nil, err
	}
	names, err := list(ctx, f, optimizerGroup, "weight_names")
	if errors.Is(err, h5.ErrNotFound) {
		return t, nil
	}
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(names, func(n string) bool { return strings.HasSuffix(n, "/iter:0") }) {
		return nil, errors.New("the state of the optimizer is that of Keras before 2.11, which orders it in another " +
			"way; it is not supported")
	}
	var paths []string
	for _, name := range names {
		paths = append(paths, optimizerGroup+"/"+name)
	}
	rate := len(names) > 1 && strings.Contains(names[1], "learning_rate")
	return t, readState(ctx, f, paths, rate, t.Optimizer)
}

// writeLegacyTraining writes the training into an .h5 file.
func writeLegacyTraining(w *h5.Writer, t *Training, m *nn.Model) error {
	if t == nil {
		return nil
	}
	text, err := marshalCompiled(t, true)
	if err != nil {
		return err
	}
	if err := w.Group(optimizerGroup); err != nil {
		return err
	}
	optimizer := strings.ToLower(t.Optimizer.Rule.Class())
	var names []string
	err = writeState(w, t.Optimizer, func(i int, name string) string {
		if i > 1 || name != "iteration" && name != "learning_rate" {
			name = m.Name + "_" + name
		}
		names = append(names, optimizer+"/"+name)
		return optimizerGroup + "/" + names[len(names)-1]
	})
	if err != nil {
		return err
	}
	if err := w.SetAttr(optimizerGroup, "weight_names", names); err != nil {
		return err
	}
	return w.SetAttr("/", "training_config", string(text))
}
