package appendfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/voxelstream/voxelstream/internal/durable"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks/table"
)

// upgrade replaces a file that an earlier version has begun with fewer columns by one with all columns and the same
// rows. A crash leaves either of them.
func (f *File) upgrade(l Layout) error {
	if err := f.rewrite(func(path string) error { return f.copyTo(path, l) }); err != nil {
		return fmt.Errorf("cannot add the columns of this version: %w", cause(err))
	}
	f.c.Log.Info("added columns to the file", "file", f.path)
	return nil
}

// closeHoles replaces a file by one with the same rows and without the zeros between them. Those come from a program
// that has truncated the file while another one, such as an earlier version of this one, was writing to it.
func (f *File) closeHoles() error {
	n := int64(0)
	for _, h := range f.holes {
		n += h.to - h.from
	}
	first := f.holes[0].from
	if err := f.rewrite(f.copyRows); err != nil {
		return fmt.Errorf("found %d zeros between rows, the first at offset %d, and cannot remove them: %w", n, first,
			cause(err))
	}
	f.c.Log.Warn("removed zeros between rows, caused by a program that truncated the file; no row is lost",
		"file", f.path, "zeros", n, "offset", first)
	return nil
}

// rewrite replaces the file by one that write makes.
func (f *File) rewrite(write func(path string) error) (err error) {
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
	if err := write(temp); err != nil {
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
	return errors.Join(old.Close(), f.load())
}

// copyRows writes a file with the text of this one, without the holes.
func (f *File) copyRows(path string) (err error) {
	w, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if f.headless {
		if _, err := w.Write(f.layout.Header()); err != nil {
			return err
		}
	}
	at := int64(0)
	for _, h := range append(f.holes, hole{f.good, f.good}) {
		if _, err := io.Copy(w, io.NewSectionReader(f.file, at, h.from-at)); err != nil {
			return err
		}
		at = h.to
	}
	return nil
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
