package appendfile

import (
	"errors"
	"io/fs"
	"os"
)

// follow looks at what others, such as logrotate, have done to the file since the last write. A file that was renamed
// or removed is left, and a new one created. If the length has changed, the file is read again.
func (f *File) follow() error {
	info, err := f.file.Stat()
	if err != nil {
		return err
	}
	there, err := os.Stat(f.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err != nil || !os.SameFile(info, there) {
		f.c.Log.Warn("the file was renamed or removed by another program; writing to a new one", "file", f.path)
		return f.reopen()
	}
	if size := info.Size(); size < f.good || size > f.good && !f.torn {
		f.c.Log.Warn("the file was changed by another program; writing continues at its end", "file", f.path,
			"bytes", size, "bytes_before", f.good)
		return f.load()
	}
	return nil
}

// confirm checks after a write of n bytes that the file has them behind what was good. It returns errChanged if they
// may be lost.
func (f *File) confirm(n int64) error {
	info, err := f.file.Stat()
	if err != nil {
		return err
	}
	switch size := info.Size(); {
	case size == n && f.good > 0:
		// The file was truncated just before the write, and has no header.
		f.good = 0
		return errChanged
	case size != f.good+n:
		return errors.Join(errChanged, f.load())
	case removed(info):
		return errChanged // follow creates a new file
	}
	return nil
}
