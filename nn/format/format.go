// Package format reads and writes model files. The format is detected from the content when reading and chosen by
// the extension when writing:
//
//	.keras        Keras 3, package keras (needs HDF5)
//	.h5, .hdf5    Keras 2, package keras (needs HDF5)
//	.weights.h5   the weights alone, as Keras 3 writes them (needs HDF5)
//	.safetensors  architecture and weights, package safetensors (pure Go)
//	.onnx         ONNX, package onnx (pure Go)
package format

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/voxelstream/voxelstream/internal/durable"
	"github.com/voxelstream/voxelstream/internal/h5"
	"github.com/voxelstream/voxelstream/internal/regular"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format/internal/config"
	"github.com/voxelstream/voxelstream/nn/format/keras"
	"github.com/voxelstream/voxelstream/nn/format/onnx"
	"github.com/voxelstream/voxelstream/nn/format/safetensors"
)

// ErrUnknown means that the file's format is not recognized.
var ErrUnknown = errors.New("unknown model format, want .keras, .h5, .onnx or .safetensors")

// maxSafetensors limits the size of a .safetensors file, which is read as a whole.
const maxSafetensors = 4 << 30

// kind is a format.
type kind int

const (
	unknown kind = iota
	archive
	hdf5
	tensors
	graph
	architecture
)

// kindOf detects the format of a file from its first bytes.
func kindOf(head []byte) kind {
	switch {
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return archive
	case h5.IsHDF5(head):
		return hdf5
	case safetensors.Is(head):
		return tensors
	case onnx.Is(head):
		return graph
	case bytes.HasPrefix(head, []byte("{")):
		return architecture
	}
	return unknown
}

// Options give what a file may leave open.
type Options struct {
	// Weights is the file of the weights if the model's file is JSON, which holds an architecture only.
	Weights string
	// Untrained reads a JSON file without Weights as a model whose parameters are zeros, for nn.Model.Init to fill.
	Untrained bool
	// Input gives the sizes of input axes that have none in the file, in order, without the batch.
	Input nn.Shape
	// Exact sets nn.Model.Exact, which no file holds.
	Exact bool
}

// The errors of files that need Options.
var (
	ErrNoWeights  = keras.ErrNoWeights
	ErrInputShape = config.ErrInputShape
)

// Load reads the model at path. Errors for damaged, hostile or unsupported files name the file and, if applicable,
// the layer.
func Load(ctx context.Context, path string) (*nn.Model, error) { return LoadWith(ctx, path, Options{}) }

// LoadWith is like Load for files that leave something open.
func LoadWith(ctx context.Context, path string, o Options) (*nn.Model, error) {
	var m *nn.Model
	err := withFile(path, func(f *os.File, size int64, k kind) (err error) {
		switch k {
		case archive:
			m, err = keras.DecodeArchive(ctx, f, size, o.Input)
		case hdf5:
			m, err = keras.LoadH5(ctx, path, o.Input)
		case tensors:
			var data []byte
			if data, err = whole(f, size, maxSafetensors); err == nil {
				m, err = safetensors.Decode(data)
			}
		case graph:
			var data []byte
			if data, err = whole(f, size, onnx.MaxBytes); err == nil {
				m, err = onnx.DecodeWith(data, onnx.Options{Input: o.Input, Folder: filepath.Dir(path)})
			}
		case architecture:
			var data []byte
			if data, err = whole(f, size, config.MaxBytes); err == nil && !keras.IsArchitecture(data) {
				err = ErrUnknown
			}
			switch {
			case err != nil:
			case o.Untrained && o.Weights == "":
				m, err = keras.Untrained(data, o.Input)
			default:
				m, err = keras.LoadArchitecture(ctx, data, o.Weights, o.Input)
			}
		default:
			err = ErrUnknown
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	m.Exact = o.Exact
	return m, nil
}

// LoadWeights sets the weights of m from a file of any format, with or without an architecture. After an error the
// weights of m are undefined.
func LoadWeights(ctx context.Context, path string, m *nn.Model) error {
	return withFile(path, func(f *os.File, size int64, k kind) error {
		switch k {
		case archive:
			return keras.DecodeArchiveWeights(ctx, f, size, m)
		case hdf5:
			return keras.LoadH5Weights(ctx, path, m)
		case tensors:
			data, err := whole(f, size, maxSafetensors)
			if err != nil {
				return err
			}
			return safetensors.DecodeWeights(data, m)
		case graph:
			return errors.New("an ONNX file can only be loaded as a model, because its weights have names of their own")
		}
		return ErrUnknown
	})
}

// withFile opens a file and detects its format.
func withFile(path string, use func(f *os.File, size int64, k kind) error) error {
	f, info, err := regular.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	head := make([]byte, 4096) // the HDF5 signature may follow a user block
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return err
	}
	if n == 0 {
		return fmt.Errorf("%s: the file is empty", path)
	}
	if err = use(f, info.Size(), kindOf(head[:n])); err != nil && !strings.Contains(err.Error(), path) {
		return fmt.Errorf("%s: %w", path, err)
	}
	return err
}

func whole(f *os.File, size, most int64) ([]byte, error) {
	if size > most {
		return nil, fmt.Errorf("got %d bytes, want at most %d", size, most)
	}
	data := make([]byte, size)
	if _, err := f.ReadAt(data, 0); err != nil {
		return nil, err
	}
	return data, nil
}

// Decode decodes a model from data, the content of a file. HDF5 files are copied to a temporary file.
func Decode(ctx context.Context, data []byte) (m *nn.Model, err error) {
	switch kindOf(data) {
	case archive:
		return keras.DecodeArchive(ctx, bytes.NewReader(data), int64(len(data)), nil)
	case tensors:
		return safetensors.Decode(data)
	case graph:
		return onnx.Decode(data)
	case hdf5:
		dir, remove, err := durable.TempDir("", "model")
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, remove()) }()
		path := filepath.Join(dir, "model.h5")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			return nil, err
		}
		return keras.LoadH5(ctx, path, nil)
	}
	return nil, ErrUnknown
}

// Training is the training state that a .keras or .h5 file can hold besides the model: the optimizer and its state.
type Training = keras.Training

// ErrNotCompiled means that a file holds no training state.
var ErrNotCompiled = keras.ErrNotCompiled

// LoadTraining reads the training state of m from the .keras or .h5 file that m was loaded from.
func LoadTraining(ctx context.Context, path string, m *nn.Model) (t *Training, err error) {
	err = withFile(path, func(f *os.File, size int64, k kind) error {
		switch k {
		case archive:
			t, err = keras.DecodeArchiveTraining(ctx, f, size, m)
		case hdf5:
			t, err = keras.LoadH5Training(ctx, path, m)
		default:
			err = ErrNotCompiled
		}
		return err
	})
	return t, err
}

// Save writes the model in the format given by path's extension. It replaces the file atomically, once it is
// complete.
func Save(path string, m *nn.Model) error { return SaveTraining(path, m, nil) }

// CanSave returns an error if the format given by path's extension cannot hold the architecture of m.
func CanSave(path string, m *nn.Model) error {
	var err error
	if strings.HasSuffix(strings.ToLower(path), ".onnx") {
		err = onnx.Check(m)
	} else {
		_, err = config.Marshal(m, false)
	}
	if err != nil {
		return fmt.Errorf("model %q cannot be saved to %s: %w", m.Name, path, err)
	}
	return nil
}

// SaveTraining is like Save but includes the training state, which only .keras and .h5 files can hold.
func SaveTraining(path string, m *nn.Model, t *Training) error {
	name := strings.ToLower(filepath.Base(path))
	var err error
	switch {
	case t != nil && (strings.HasSuffix(name, ".safetensors") || strings.HasSuffix(name, ".onnx") ||
		strings.HasSuffix(name, ".weights.h5")):
		err = errors.New("the format cannot hold the training state, want .keras or .h5")
	case strings.HasSuffix(name, ".keras"):
		err = replace(path, func(w io.Writer) error {
			return keras.EncodeArchive(w, filepath.Dir(path), m, t)
		})
	case strings.HasSuffix(name, ".safetensors"):
		err = replace(path, func(w io.Writer) error { return safetensors.Encode(w, m) })
	case strings.HasSuffix(name, ".onnx"):
		err = replace(path, func(w io.Writer) error { return onnx.Encode(w, m) })
	case strings.HasSuffix(name, ".weights.h5"):
		err = keras.SaveWeights(path, m)
	case strings.HasSuffix(name, ".h5"), strings.HasSuffix(name, ".hdf5"):
		err = keras.SaveH5(path, m, t)
	default:
		err = ErrUnknown
	}
	if err != nil {
		return fmt.Errorf("save model %q to %s: %w", m.Name, path, err)
	}
	return nil
}

// Rewrite writes the model file at path to out with the metadata and the precision of m, which was loaded from path.
// Everything else is unchanged, but an .h5 file is written anew, with its training state. out may be path; its
// extension must stand for the format of path.
func Rewrite(ctx context.Context, path, out string, m *nn.Model) error {
	return withFile(path, func(f *os.File, size int64, k kind) error {
		if k == architecture {
			return errors.New("a JSON file has no room for metadata: write the model to another format with model convert")
		}
		if found := kindNamed(out); found != k || k == unknown {
			return fmt.Errorf("%s: found another extension than that of %s, want the same format: use model convert "+
				"for another one", out, path)
		}
		switch k {
		case archive:
			return replace(out, func(w io.Writer) error { return keras.RewriteArchive(w, f, size, m) })
		case hdf5:
			t, err := keras.LoadH5Training(ctx, path, m)
			if err != nil && !errors.Is(err, ErrNotCompiled) {
				return fmt.Errorf("the training state cannot be kept: %w", err)
			}
			return keras.SaveH5(out, m, t)
		}
		data, err := whole(f, size, maxSafetensors)
		if err != nil {
			return err
		}
		if k == tensors {
			return replace(out, func(w io.Writer) error { return safetensors.Rewrite(w, data, m) })
		}
		return replace(out, func(w io.Writer) error { return onnx.Rewrite(w, data, m) })
	})
}

// kindNamed returns the format that a file's extension stands for, or unknown.
func kindNamed(path string) kind {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".keras":
		return archive
	case ".h5", ".hdf5":
		return hdf5
	case ".safetensors":
		return tensors
	case ".onnx":
		return graph
	}
	return unknown
}

// replace writes a file that appears at path once it is complete and on disk.
func replace(path string, write func(io.Writer) error) (err error) {
	out, err := durable.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	f, err := out.Open()
	if err != nil {
		return err
	}
	if err = errors.Join(write(f), f.Close()); err != nil {
		return err
	}
	return out.Commit()
}
