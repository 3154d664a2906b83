package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/voxelstream/voxelstream/internal/durable"
)

// ClaimOutputs returns an error if a command would overwrite files and the user does not force it, if an output is one
// of the inputs or another output, or if another process writes to it. Until release is called, no other process of
// this program may write to the outputs. Commands call it before they begin to work.
//
// An empty path stands for no output. A file that is not regular, such as /dev/null, may be written to. Inputs that are
// not files are ignored. Outputs that are continued, such as those of sinks, are not checked here.
func (a *Env) ClaimOutputs(inputs []string, outputs ...string) (release func(), err error) {
	var all claims
	for i, path := range outputs {
		if path == "" {
			continue
		}
		err := checkOutput(path, a.Force)
		for _, in := range inputs {
			if same(in, path) {
				err = Usage(fmt.Errorf("%s: this is an input, want another name for the output", path))
			}
		}
		for _, other := range outputs[:i] {
			if other == path || same(other, path) {
				err = Usage(fmt.Errorf("%s: found the name of two outputs, want different ones", path))
			}
		}
		if err == nil {
			err = all.add(path)
		}
		if err != nil {
			all.errs = append(all.errs, err)
		}
	}
	if err := errors.Join(all.errs...); err != nil {
		all.release()
		return nil, err
	}
	return all.release, nil
}

// claims are those of [durable.Claim].
type claims struct {
	releases []func() error
	errs     []error
}

func (c *claims) add(path string) error {
	release, err := durable.Claim(path)
	if err == nil {
		c.releases = append(c.releases, release)
	}
	return err
}

func (c *claims) release() {
	for _, r := range c.releases {
		_ = r() // a lock that cannot be removed does no harm
	}
}

// checkOutput returns an error if a path is that of a folder, or of a file that must not be overwritten.
func checkOutput(path string, force bool) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if dir := filepath.Dir(path); missing(dir) {
			return Usage(fmt.Errorf("%s: the folder %s does not exist", path, dir))
		}
		return nil
	case err != nil:
		return err
	case info.IsDir():
		return Usage(fmt.Errorf("%s: found a folder, want the name of a file", path))
	case info.Mode().IsRegular() && !force:
		return Usage(fmt.Errorf("%s: the file exists; --force overwrites it", path))
	}
	return nil
}

// missing reports whether a folder does not exist.
func missing(dir string) bool {
	_, err := os.Stat(dir)
	return errors.Is(err, fs.ErrNotExist)
}

// same reports whether two paths are those of one existing regular file.
func same(a, b string) bool {
	x, errA := os.Stat(a)
	y, errB := os.Stat(b)
	return errA == nil && errB == nil && x.Mode().IsRegular() && os.SameFile(x, y)
}
