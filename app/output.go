package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// CheckOutputs returns an error if a command would overwrite files and the user does not force it. An empty path stands
// for no output. A file that is not regular, such as /dev/null, may be written to. Commands call it before they begin to
// work. Outputs that are continued, such as those of sinks, are not checked.
func (a *Env) CheckOutputs(paths ...string) error {
	var errs []error
	for _, path := range paths {
		if path == "" {
			continue
		}
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			errs = append(errs, err)
		case info.IsDir():
			errs = append(errs, Usage(fmt.Errorf("%s: found a folder, want the name of a file", path)))
		case info.Mode().IsRegular() && !a.Force:
			errs = append(errs, Usage(fmt.Errorf("%s: the file exists; --force overwrites it", path)))
		}
	}
	return errors.Join(errs...)
}
