package models

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/voxelstream/voxelstream/ingest/array"
	"github.com/voxelstream/voxelstream/internal/regular"
	"github.com/voxelstream/voxelstream/nn"
)

// source is where a version comes from.
type source struct {
	name   string
	number string // of a version in the folder; empty for a file of its own, whose version is that of its content
	path   string
	single bool
	// signature changes when the files do: their names, sizes and times.
	signature string
}

// sources lists the versions to load, lowest first: files of their own, and of each model of the folder the versions
// with the highest numbers.
func (r *Repository) sources() ([]source, error) {
	var out []source
	for _, f := range r.o.Files {
		name, path, named := strings.Cut(f, "=")
		if !named {
			path = f
			name = strings.TrimSuffix(filepath.Base(f), filepath.Ext(f))
		}
		s := source{name: name, path: path, single: true}
		if path != "" {
			s.signature, _ = signature(path) // loading the file reports the error
		}
		if slices.ContainsFunc(out, func(o source) bool { return o.name == s.name }) {
			return nil, fmt.Errorf("found two models named %s; give one of them another name with NAME=FILE", s.name)
		}
		out = append(out, s)
	}
	if r.o.Folder == "" {
		return out, nil
	}
	folders, err := os.ReadDir(r.o.Folder)
	if err != nil {
		return nil, err
	}
	for _, f := range folders {
		if !isFolder(r.o.Folder, f) || strings.HasPrefix(f.Name(), ".") {
			continue
		}
		if slices.ContainsFunc(out, func(o source) bool { return o.name == f.Name() }) {
			return nil, fmt.Errorf("found two models named %s, one of them in %s", f.Name(), r.o.Folder)
		}
		versions, err := versionsIn(filepath.Join(r.o.Folder, f.Name()), f.Name())
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		out = append(out, versions[max(0, len(versions)-r.o.Versions):]...)
	}
	return out, nil
}

// isFolder reports whether an entry is a folder, or a link to one.
func isFolder(parent string, f fs.DirEntry) bool {
	info, err := os.Stat(filepath.Join(parent, f.Name()))
	return err == nil && info.IsDir()
}

// versionsIn lists the versions of a model: folders whose names are numbers.
func versionsIn(dir, name string) ([]source, error) {
	folders, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []source
	for _, f := range folders {
		if n, err := strconv.ParseUint(f.Name(), 10, 63); err != nil || n == 0 || !isFolder(dir, f) {
			continue
		}
		s := source{name: name, number: f.Name()}
		if s.path, err = modelIn(filepath.Join(dir, f.Name())); err != nil {
			continue // nothing has been copied yet
		}
		if s.signature, err = signatureOf(filepath.Join(dir, f.Name())); err != nil {
			continue
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b source) int { return compareNumbers(a.number, b.number) })
	return out, nil
}

// extensions are those of model files.
var extensions = []string{".keras", ".h5", ".hdf5", ".onnx", ".safetensors"}

// modelIn returns the model file of a folder: model.EXTENSION, or the only file with the extension of a model.
func modelIn(dir string) (string, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	var found []string
	for _, f := range files {
		ext := filepath.Ext(f.Name())
		if !slices.Contains(extensions, strings.ToLower(ext)) || strings.HasPrefix(f.Name(), ".") {
			continue
		}
		if strings.TrimSuffix(f.Name(), ext) == "model" {
			return filepath.Join(dir, f.Name()), nil
		}
		found = append(found, f.Name())
	}
	if len(found) != 1 {
		return "", fmt.Errorf("%s: found %d model files, want one, or one named model", dir, len(found))
	}
	return filepath.Join(dir, found[0]), nil
}

// signature returns the size, time and identity of a file as text.
func signature(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s %d %d %s", info.Name(), info.Size(), info.ModTime().UnixNano(), identity(info)), nil
}

// signatureOf returns the signatures of the files of a folder.
func signatureOf(dir string) (string, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	var all []string
	for _, f := range files {
		s, err := signature(filepath.Join(dir, f.Name()))
		if err != nil {
			return "", err
		}
		all = append(all, s)
	}
	return strings.Join(all, "\n"), nil
}

// again returns the present signature of a source.
func (s *source) again() (string, error) {
	switch {
	case s.path == "":
		return "", nil
	case s.single:
		return signature(s.path)
	}
	return signatureOf(filepath.Dir(s.path))
}

// load reads, verifies and warms up a version.
func (r *Repository) load(ctx context.Context, s source) (*version, error) {
	if err := CheckDigest(s.path); err != nil {
		return nil, err
	}
	m, info, err := r.o.Load(ctx, s.path)
	if err != nil {
		return nil, err
	}
	if now, err := s.again(); err != nil || now != s.signature {
		return nil, errors.Join(errors.New("the file changed while it was read"), err)
	}
	info.Name = s.name
	if s.number != "" {
		info.Version = s.number
	}
	v, err := newVersion(m, info, &r.o)
	if err != nil {
		return nil, err
	}
	if err := CheckVector(s.path, v.model, v.networks[0].plan); err != nil {
		v.close()
		return nil, err
	}
	return v, nil
}

// CheckDigest compares a file with FILE.sha256, as sha256sum writes it, if there is one. An empty path has none.
func CheckDigest(path string) error {
	if path == "" {
		return nil
	}
	f, _, err := regular.Open(path + ".sha256")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // opened for reading
	line, err := bufio.NewReader(io.LimitReader(f, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	want, _, _ := strings.Cut(strings.TrimSpace(line), " ")
	model, _, err := regular.Open(path)
	if err != nil {
		return err
	}
	defer model.Close() //nolint:errcheck // opened for reading
	h := sha256.New()
	if _, err := io.Copy(h, model); err != nil {
		return err
	}
	if found := hex.EncodeToString(h.Sum(nil)); !strings.EqualFold(found, want) {
		return fmt.Errorf("%s: found SHA-256 %s, want %.64s as in %s", path, found, want, filepath.Base(path)+".sha256")
	}
	return nil
}

// vectorTolerance is the maximum difference between an output and its test vector, relative to 1 or to the expected
// value if that is larger. Frameworks round float32 sums differently.
const vectorTolerance = 1e-3

// CheckVector compares the outputs of a plan of m with the test vector of the model file at path, if it has one:
// model.test_input.npy and model.test_output.npy beside model.keras. The plan must take dense inputs.
func CheckVector(path string, m *nn.Model, plan *nn.Plan) error {
	stem := strings.TrimSuffix(path, filepath.Ext(path))
	in, out := stem+".test_input.npy", stem+".test_output.npy"
	if _, err := os.Stat(in); path == "" || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if len(m.Inputs()) != 1 || len(m.Outputs()) != 1 {
		return fmt.Errorf("%s: found a model of %d inputs and %d outputs, want one of each for a test vector", in,
			len(m.Inputs()), len(m.Outputs()))
	}
	rows, x, err := array.ReadRows(in, m.Inputs()[0].Shape)
	if err != nil {
		return err
	}
	found, want, err := array.ReadRows(out, m.Outputs()[0].Shape)
	if err != nil {
		return err
	}
	if found != rows {
		return fmt.Errorf("%s: found %d rows, want %d as in %s", out, found, rows, filepath.Base(in))
	}
	size := len(x) / max(1, rows)
	for row := range rows {
		copy(plan.Input(0), x[row*size:(row+1)*size])
		if err := plan.Forward(1, false, 0); err != nil {
			return err
		}
		y := plan.Output(0)
		for i, got := range y {
			w := want[row*len(y)+i]
			if d := got - w; !(max(d, -d) <= vectorTolerance*max(1, w, -w)) {
				return fmt.Errorf("%s: row %d, element %d: found %g, want %g", out, row, i, got, w)
			}
		}
	}
	return nil
}

// Watch checks the files and folders for changes until ctx ends. A change is taken when the files have stayed the same
// for an interval.
func (r *Repository) Watch(ctx context.Context) {
	if r.o.Watch <= 0 {
		return
	}
	t := time.NewTicker(r.o.Watch)
	defer t.Stop()
	seen := map[string]string{} // signatures of the last check, by path
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			seen = r.check(ctx, seen)
		}
	}
}

// check loads what has changed and is the same as in the last check, and unloads what is gone. It returns the
// signatures.
func (r *Repository) check(ctx context.Context, before map[string]string) map[string]string {
	sources, err := r.sources()
	if err != nil {
		r.changed("", "", "not checked for changes", err)
		return before
	}
	now := map[string]string{}
	for _, s := range sources {
		now[s.path] = s.signature
		if s.signature != "" && r.due(s) && before[s.path] == s.signature {
			_ = r.loadSource(ctx, s) // reported and recorded
		}
	}
	r.forget(sources)
	return now
}

// due reports whether a source is to be loaded: it differs from what is loaded, or an earlier attempt failed some time
// ago.
func (r *Repository) due(s source) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	e := r.models[s.name]
	if e == nil {
		return true
	}
	if e.unloaded {
		return false
	}
	for _, v := range e.versions {
		if v.source == s {
			return false
		}
	}
	st := e.states[s.number]
	return st == nil || st.source != s || time.Now().After(st.retry)
}

// forget unloads the versions of the folder that are gone.
func (r *Repository) forget(sources []source) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, e := range r.models {
		for n, st := range e.states {
			gone := !slices.ContainsFunc(sources, func(s source) bool { return s.name == name && s.number == n })
			if st.source.single || !gone {
				continue
			}
			if _, err := os.Stat(filepath.Dir(st.source.path)); err == nil {
				continue // an older version, or one whose file is being replaced
			}
			r.drop(name, e, n)
		}
	}
}

// drop removes a version whose files are gone.
func (r *Repository) drop(name string, e *entry, number string) {
	if v := e.versions[number]; v == nil {
		delete(e.states, number)
	} else {
		r.retire(e, number)
		if e.current == v {
			e.current = nil
			for _, other := range e.versions {
				if e.current == nil || compareNumbers(other.number, e.current.number) > 0 {
					e.current = other
				}
			}
		}
	}
	if len(e.states) == 0 {
		delete(r.models, name)
	}
	r.changed(name, number, "removed", nil)
}
