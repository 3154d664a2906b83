package models

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/nn/format"
	"github.com/voxelstream/voxelstream/record"
)

// maxChoices is the maximum number of models to choose from.
const maxChoices = 1000

// Choices are the models that a running pipeline can switch to: that of the command line, its alternatives, the files
// in the model folder, and the built-in model. They are safe for concurrent use.
type Choices struct {
	app *app.Env

	mu sync.Mutex
	// known are the files that were identified, by path. A file that changes is identified again.
	known   map[string]known
	builtin record.Model // empty until it is needed, or if there is none
}

type known struct {
	fs.FileInfo
	info record.Model
}

// Choice is a model that can be chosen.
type Choice struct {
	record.Model
	// Bytes is the size of the file; 0 for the built-in model.
	Bytes int64
	// Err says why the file cannot be read.
	Err  error
	path string // empty for the built-in model
}

// ErrUnknown is wrapped by the error for a model that is not among the choices. ErrChanging is wrapped by the error for
// a file that changes while it is read.
var (
	ErrUnknown  = errors.New("it is not among the models that can be chosen")
	ErrChanging = errors.New("the file is changing; try again when it is complete")
)

// NewChoices returns the choices of the configuration.
func NewChoices(a *app.Env) *Choices { return &Choices{app: a, known: map[string]known{}} }

// Check returns an error if an alternative or the folder does not exist.
func (c *Choices) Check() error {
	for _, path := range c.app.Config.Model.Alternatives {
		if _, err := os.Stat(path); err != nil {
			return app.Usage(fmt.Errorf("model.alternatives: %w", err))
		}
	}
	if folder := c.app.Config.Model.Folder; folder != "" {
		if _, err := os.ReadDir(folder); err != nil {
			return app.Usage(fmt.Errorf("model.folder: %w", err))
		}
	}
	return nil
}

// paths lists the files, each once.
func (c *Choices) paths() ([]string, error) {
	m := &c.app.Config.Model
	var out []string
	for _, path := range append([]string{m.Path}, m.Alternatives...) {
		if path != "" {
			out = append(out, filepath.Clean(path))
		}
	}
	if m.Folder != "" {
		entries, err := os.ReadDir(m.Folder)
		if err != nil {
			return nil, fmt.Errorf("model.folder: %w", err)
		}
		for _, e := range entries {
			if slices.Contains(extensions, strings.ToLower(filepath.Ext(e.Name()))) && !e.IsDir() {
				out = append(out, filepath.Join(m.Folder, e.Name()))
			}
		}
	}
	slices.Sort(out)
	out = slices.Compact(out)
	return out[:min(len(out), maxChoices)], nil
}

// List returns the choices by name and version. Of files with the same name and content, it returns one.
func (c *Choices) List(ctx context.Context) ([]Choice, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	paths, err := c.paths()
	if err != nil {
		return nil, err
	}
	var out []Choice
	if c.builtin == (record.Model{}) {
		if m, err := loadBuiltin(ctx, builtinFor(c.app)); err == nil {
			c.builtin = m.Info
		}
	}
	if c.builtin != (record.Model{}) {
		out = append(out, Choice{Model: c.builtin})
	}
	known := map[string]known{}
	for _, path := range paths {
		choice := Choice{path: path}
		choice.Name = strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
		k, err := c.identify(path)
		if choice.Err = err; err == nil {
			known[path] = k
			choice.Model, choice.Bytes = k.info, k.Size()
		}
		out = append(out, choice)
	}
	c.known = known
	slices.SortStableFunc(out, func(a, b Choice) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Version, b.Version))
	})
	return slices.CompactFunc(out, func(a, b Choice) bool {
		return a.Name == b.Name && a.Version == b.Version && a.Err == nil && b.Err == nil
	}), nil
}

// identify identifies a file.
func (c *Choices) identify(path string) (k known, err error) {
	if k.FileInfo, err = os.Stat(path); err != nil {
		return k, err
	}
	if old, ok := c.known[path]; ok && os.SameFile(old, k) && old.Size() == k.Size() &&
		old.ModTime().Equal(k.ModTime()) {
		return old, nil
	}
	k.info, err = identify(path, c.opening(path))
	return k, err
}

// opening returns what is said about a file on the command line. Only the model named there has its weights in another
// file.
func (c *Choices) opening(path string) format.Options {
	o := c.app.Config.Model.Opening()
	if path != filepath.Clean(c.app.Config.Model.Path) {
		o.Weights = ""
	}
	return o
}

// Load loads the model with a name and version. An empty version means the only one.
func (c *Choices) Load(ctx context.Context, name, version string) (*Loaded, error) {
	all, err := c.List(ctx)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(m Choice) bool {
		return m.Name != name || version != "" && m.Version != version
	})
	if len(all) != 1 {
		err := ErrUnknown
		if len(all) > 1 {
			err = fmt.Errorf("found %d versions, want the version of one", len(all))
		}
		return nil, fmt.Errorf("model %.128q: %w", name, err)
	}
	choice := all[0]
	switch {
	case choice.Err != nil:
		return nil, choice.Err
	case choice.path == "":
		return Load(ctx, choice.Name, c.opening(""))
	}
	m, err := loadChecked(ctx, choice.path, c.opening(choice.path))
	if err == nil && m.Info != choice.Model {
		err = fmt.Errorf("%s: %w", choice.path, ErrChanging)
	}
	return m, err
}
