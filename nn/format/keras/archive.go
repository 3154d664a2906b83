package keras

import (
	"archive/zip"
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
	"github.com/voxelstream/voxelstream/internal/unpack"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format/internal/config"
)

// The files in a .keras archive.
const (
	metadataName = "metadata.json"
	configName   = "config.json"
	weightsName  = "model.weights.h5"
	extraName    = config.ExtraName + ".json"
)

const (
	maxEntries = 1000
	// maxWeights limits the size of model.weights.h5. Above minRoom it may be at most maxPacking times the size of
	// the archive.
	maxWeights = 8 << 30
	minRoom    = 64 << 20
	maxPacking = 100
	maxExtra   = 1 << 20
)

// DecodeArchive decodes the model in a .keras archive of size bytes. The weights are copied to a temporary file. input
// gives the sizes of input axes that have none in the file; nil if there are none.
func DecodeArchive(ctx context.Context, r io.ReaderAt, size int64, input nn.Shape) (*nn.Model, error) {
	a, err := openArchive(r, size)
	if err != nil {
		return nil, err
	}
	architecture, err := a.bytes(configName, config.MaxBytes)
	if err != nil {
		return nil, err
	}
	if architecture == nil {
		return nil, fmt.Errorf("keras archive: %s is missing", configName)
	}
	extra, err := a.bytes(extraName, maxExtra)
	if err != nil {
		return nil, err
	}
	metadata, err := a.bytes(metadataName, maxExtra)
	if err != nil {
		return nil, err
	}
	var m *nn.Model
	err = a.weights(ctx, func(f *h5.File) error {
		budget, err := count(ctx, f, "/")
		if err != nil {
			return err
		}
		var layers []config.Stored
		m, layers, err = config.Unmarshal(architecture, config.Options{
			Budget: budget, Input: input, Keras2: strings.HasPrefix(config.KerasVersion(metadata), "2."),
		})
		if err != nil {
			return fmt.Errorf("%s: %w", configName, err)
		}
		return readWeights3(ctx, f, layers)
	})
	if err != nil {
		return nil, fmt.Errorf("keras archive: %w", err)
	}
	return m, config.SetExtra(m, extra)
}

// DecodeArchiveWeights sets the weights of m from a .keras archive.
func DecodeArchiveWeights(ctx context.Context, r io.ReaderAt, size int64, m *nn.Model) error {
	return decodeArchiveWeights(ctx, r, size, config.Flat(m))
}

func decodeArchiveWeights(ctx context.Context, r io.ReaderAt, size int64, layers []config.Stored) error {
	a, err := openArchive(r, size)
	if err != nil {
		return err
	}
	err = a.weights(ctx, func(f *h5.File) error { return readWeights3(ctx, f, layers) })
	if err != nil {
		return fmt.Errorf("keras archive: %w", err)
	}
	return nil
}

// archive is an open .keras file.
type archive struct {
	list  []*zip.File
	files map[string]*zip.File
	size  int64
}

func openArchive(r io.ReaderAt, size int64) (*archive, error) {
	z, err := unpack.OpenZip(r, size, maxEntries)
	if err != nil {
		return nil, fmt.Errorf("keras archive: %w", err)
	}
	a := &archive{list: z.File, files: map[string]*zip.File{}, size: size}
	for _, f := range z.File {
		if a.files[f.Name] != nil {
			return nil, fmt.Errorf("keras archive: %s occurs twice", f.Name)
		}
		a.files[f.Name] = f
	}
	return a, nil
}

// open returns a reader of a file that yields at most limit bytes, or nil if there is no such file.
func (a *archive) open(name string, limit int64) (io.ReadCloser, error) {
	f := a.files[name]
	if f == nil {
		return nil, nil
	}
	if f.UncompressedSize64 > uint64(limit) {
		return nil, fmt.Errorf("keras archive: %s takes %d bytes, want at most %d", name, f.UncompressedSize64, limit)
	}
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("keras archive: %s: %w", name, err)
	}
	return r, nil
}

// bytes reads a small file, or returns nil if there is none. The zip reader yields no more than the size that open
// has checked.
func (a *archive) bytes(name string, limit int64) ([]byte, error) {
	r, err := a.open(name, limit)
	if r == nil || err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("keras archive: %s: %w", name, err)
	}
	return data, nil
}

// weights extracts model.weights.h5 to a temporary file, because libhdf5 can only read files, and opens it for use.
func (a *archive) weights(ctx context.Context, use func(*h5.File) error) (err error) {
	r, err := a.open(weightsName, min(maxWeights, max(minRoom, maxPacking*a.size)))
	if err != nil {
		return err
	}
	if r == nil {
		return fmt.Errorf("%s is missing", weightsName)
	}
	defer func() { _ = r.Close() }()
	dir, remove, err := durable.TempDir("", "weights")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	path := filepath.Join(dir, weightsName)
	t, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(t, r)
	if err = errors.Join(err, t.Close()); err != nil {
		return fmt.Errorf("%s: %w", weightsName, err)
	}
	f, err := h5.Open(ctx, path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return use(f)
}

// EncodeArchive writes the model as a .keras archive, with its training state unless t is nil. The output is
// deterministic: the archive contains no dates.
//
// dir is the folder for a temporary file, or empty for that of the system.
func EncodeArchive(w io.Writer, dir string, m *nn.Model, t *Training) (err error) {
	architecture, err := config.Marshal(m, false)
	if err == nil {
		architecture, err = withCompiled(architecture, t)
	}
	if err != nil {
		return err
	}
	extra, err := config.Extra(m)
	if err != nil {
		return err
	}
	dir, remove, err := durable.TempDir(dir, "weights")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	path := filepath.Join(dir, weightsName)
	if err := writeWeights3(path, m, t); err != nil {
		return err
	}
	weights, _, err := regular.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = weights.Close() }()
	z := zip.NewWriter(w)
	for _, f := range []struct {
		name string
		data io.Reader
	}{
		{metadataName, bytes.NewReader([]byte(`{"keras_version": "` + version + `"}`))},
		{configName, bytes.NewReader(architecture)},
		{extraName, bytes.NewReader(extra)},
		{weightsName, weights},
	} {
		out, err := z.CreateHeader(&zip.FileHeader{Name: f.name, Method: zip.Store}) // as Keras does
		if err != nil {
			return err
		}
		if _, err := io.Copy(out, f.data); err != nil {
			return err
		}
	}
	return z.Close()
}

// RewriteArchive writes the .keras archive of size bytes in r with the metadata of m and everything else unchanged.
func RewriteArchive(w io.Writer, r io.ReaderAt, size int64, m *nn.Model) error {
	a, err := openArchive(r, size)
	if err != nil {
		return err
	}
	extra, err := config.Extra(m)
	if err != nil {
		return err
	}
	z := zip.NewWriter(w)
	for _, f := range a.list {
		if f.Name == extraName {
			continue
		}
		if err := z.Copy(f); err != nil {
			return fmt.Errorf("keras archive: %s: %w", f.Name, err)
		}
	}
	out, err := z.CreateHeader(&zip.FileHeader{Name: extraName, Method: zip.Store})
	if err != nil {
		return err
	}
	if _, err := out.Write(extra); err != nil {
		return err
	}
	return z.Close()
}

// version is the Keras version whose format we write.
const version = "3.0.0"
