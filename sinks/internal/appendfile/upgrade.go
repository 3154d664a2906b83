package appendfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/voxelstream/voxelstream/internal/durable"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks/table"
)

// upgrade replaces a file that an earlier version has begun with fewer columns by one with all columns and the same
// rows. A crash leaves either of them.
func (f *File) upgrade(l Layout) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot add the columns of this version: %w", cause(err))
		}
	}()
	path, err := filepath.EvalSymlinks(f.path)
	if err != nil {
		return err
	}
	dir, remove, err := durable.TempDir(filepath.Dir(path), "upgrade")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	temp := filepath.Join(dir, filepath.Base(path)) // with its suffix
	if err := f.copyTo(temp, l); err != nil {
		return err
	}
	if info, err := f.file.Stat(); err != nil {
		return err
	} else if err := os.Chmod(temp, info.Mode().Perm()); err != nil {
		return err
	}
	if err := durable.Sync(temp); err != nil {
		return err
	}
	file, err := durable.OpenLocked(temp, os.O_APPEND)
	if err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return errors.Join(err, file.Close())
	}
	old := f.file
	f.file = file
	f.c.Log.Info("added columns to the file", "file", f.path)
	return errors.Join(old.Close(), f.load())
}

// copyTo writes a file with the rows of this one.
func (f *File) copyTo(path string, l Layout) (err error) {
	old, err := Open(f.path, f.c.Layout())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, old.Close()) }()
	w, err := Create(path, l)
	if err != nil {
		return err
	}
	rows, err := table.Each(old, func(cs []record.Classification) error {
		err := w.Write(cs)
		if partial, ok := errors.AsType[*pipeline.PartialError](err); ok {
			return fmt.Errorf("found rows that this version does not write: %w", partial)
		}
		return err
	})
	if err == nil && rows != f.rows {
		err = fmt.Errorf("found %d rows, want %d: another program has changed the file", rows, f.rows)
	}
	return errors.Join(err, w.Close())
}
