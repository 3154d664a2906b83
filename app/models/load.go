// Package models loads models, including the built-in one, and describes, converts, runs, verifies and benchmarks
// them.
package models

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/formats"
	"github.com/voxelstream/voxelstream/ingest/h5"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format"
	"github.com/voxelstream/voxelstream/record"
)

// builtin contains the built-in models. Its README documents the commands that created them.
//
//go:embed builtin
var builtin embed.FS

// The names of the built-in models, in classifications and in place of a path. Builtin classifies digits, Objects what
// package perception finds.
const (
	Builtin = "digits"
	Objects = "objects"
)

// maxModel is the maximum size of a model file in bytes.
const maxModel = 4 << 30

// Loaded is a model with its identification in classifications.
type Loaded struct {
	*nn.Model
	Info record.Model
}

// Load reads a model file, or a built-in model if path is its name; an empty path stands for the digits. o gives what the
// file leaves open.
func Load(ctx context.Context, path string, o format.Options) (*Loaded, error) {
	if path == "" {
		path = Builtin
	}
	if path == Builtin || path == Objects {
		m, err := loadBuiltin(ctx, path)
		if err == nil {
			m.Exact = o.Exact
		}
		return m, err
	}
	info, err := identify(path, o)
	if err != nil {
		return nil, err
	}
	m, err := format.LoadWith(ctx, path, o)
	if err != nil {
		return nil, noModel(ctx, path, err)
	}
	return &Loaded{m, info}, nil
}

// ErrNoModel is wrapped by the error for a file that is recognized, but not a model.
var ErrNoModel = errors.New("not a model")

// noModel returns the error for a file that cannot be read as a model: what the file is, if it is recognized, but not a model,
// or else the reason, err.
func noModel(ctx context.Context, path string, err error) error {
	o := formats.NewOptions()
	what, advice := "", ""
	switch name, sure, _, known := formats.Recognize(ctx, path, o); {
	case errors.Is(known, ingest.ErrModel), known == nil && sure < ingest.Likely:
		return err
	case known != nil:
		what = formats.What(path, known)
	default:
		what, advice = "data of format "+name, "; pass data as an argument, for example to predict"
		if name == h5.HDF5.Name {
			what = archive(ctx, path, o)
		}
	}
	if what == "" {
		return err
	}
	return fmt.Errorf("%s: found %s, %w: want one of %s%s", path, what, ErrNoModel, strings.Join(extensions, ", "), advice)
}

// CheckData returns an error if one of the files that are given as data is a model.
func CheckData(ctx context.Context, a *app.Env, paths []string) error {
	for _, path := range paths {
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			continue // reported when it is read
		}
		if _, err := formats.Detect(ctx, path, a.Config.Ingest); errors.Is(err, ingest.ErrModel) {
			return app.Usage(err)
		}
	}
	return nil
}

// Called returns how a text calls the model at a path (see [Load]).
func Called(path string) string {
	switch path {
	case "", Builtin:
		return "model " + Builtin + " (built in)"
	case Objects:
		return "model " + Objects + " (built in)"
	}
	return "model " + path
}

// archive says what an HDF5 file is if it holds data; it is empty otherwise.
func archive(ctx context.Context, path string, o ingest.Options) string {
	info, err := formats.Inspect(ctx, path, o)
	if err != nil {
		return ""
	}
	if g, ok := info.Detail.(*ingest.Grids); ok {
		return "an HDF5 archive with " + app.Count(g.Rows, "row")
	}
	return "an HDF5 archive of " + info.Detail.Kind()
}

// identify returns the identification of a model file.
func identify(path string, o format.Options) (record.Model, error) {
	digest, err := fileDigest(path)
	if err == nil && o.Weights != "" {
		var weights string
		weights, err = fileDigest(o.Weights)
		sum := sha256.Sum256([]byte(digest + weights))
		digest = hex.EncodeToString(sum[:])
	}
	if err != nil {
		return record.Model{}, err
	}
	return modelInfo(strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)), digest), nil
}

func loadBuiltin(ctx context.Context, name string) (*Loaded, error) {
	data, err := builtin.ReadFile("builtin/" + name + ".safetensors")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("this binary has no built-in model %s; set --model or model.path", name)
	}
	if err != nil {
		return nil, err
	}
	m, err := format.Decode(ctx, data)
	if err != nil {
		return nil, fmt.Errorf("built-in model: %w", err)
	}
	sum := sha256.Sum256(data)
	return &Loaded{m, modelInfo(name, hex.EncodeToString(sum[:]))}, nil
}

// modelInfo returns the name and version of a model. The version is a prefix of the file's digest, so it changes
// whenever the file does.
func modelInfo(name, digest string) record.Model {
	return record.Model{Name: name, Version: digest[:8], Digest: digest}
}

// extensions are those of the formats that can be read and written.
var extensions = []string{".keras", ".h5", ".hdf5", ".onnx", ".safetensors"}

// Savable returns an error if the extension of path is not that of a model format that can be written.
func Savable(path string) error {
	ext := strings.ToLower(filepath.Ext(path))
	if !slices.Contains(extensions, ext) {
		return fmt.Errorf("%s: found extension %q, want one of %s", path, ext, strings.Join(extensions, ", "))
	}
	return nil
}

func fileDigest(path string) (string, error) {
	f, _, err := ingest.OpenRegular(path)
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return "", fmt.Errorf("%s: %w", path, e.Err)
	}
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // opened for reading
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(f, maxModel+1))
	if err != nil {
		return "", err
	}
	if n > maxModel {
		return "", fmt.Errorf("%s: found more than %d bytes, the maximum size of a model", path, int64(maxModel))
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Conversion is the result of model convert.
type Conversion struct {
	Model      string `json:"model"`
	Parameters int    `json:"parameters"`
}

// Convert writes a model in the format given by out's extension.
func Convert(ctx context.Context, a *app.Env, in, out string) (*Conversion, error) {
	if err := Savable(out); err != nil {
		return nil, app.Usage(err)
	}
	release, err := a.ClaimOutputs([]string{in}, out)
	if err != nil {
		return nil, err
	}
	defer release()
	m, err := Load(ctx, in, a.Config.Model.Opening())
	if err != nil {
		return nil, err
	}
	if err := format.Save(out, m.Model); err != nil {
		return nil, err
	}
	total, _ := m.Count()
	return &Conversion{Model: out, Parameters: total}, nil
}
