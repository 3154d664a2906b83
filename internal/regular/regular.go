// Package regular opens files that must be regular files. Opening a FIFO blocks until a writer connects, opening a
// device may have effects, and reading one may never end. The functions of this package open neither, even if the
// name is given to another file at the wrong moment.
package regular

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// openLocal opens a regular file of the file system.
func openLocal(path string) (*os.File, fs.FileInfo, error) {
	f, err := open(path)
	if err != nil {
		return nil, nil, err
	}
	return checked(path, f)
}

// OpenIn is like Open for a name below a folder.
func OpenIn(root *os.Root, name string) (*os.File, fs.FileInfo, error) {
	info, err := root.Stat(name)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, errKind(name, info)
	}
	f, err := root.OpenFile(name, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil, nil, err
	}
	return checked(name, f)
}

// Read returns the content of a regular file of at most limit bytes.
func Read(path string, limit int64) ([]byte, error) {
	f, info, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // opened for reading
	if info.Size() > limit {
		return nil, errLimit(path, limit)
	}
	return readAll(path, f, limit)
}

// ReadSetting is like Read for files of settings and secrets. They may also be pipes that this process has open:
// /dev/stdin, or /dev/fd/63 as shells name the output of a command in <(command).
func ReadSetting(path string, limit int64) ([]byte, error) {
	if !isOpenPipe(path) {
		return Read(path, limit)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // opened for reading
	return readAll(path, f, limit)
}

// isOpenPipe reports whether a path names a pipe that this process has open.
func isOpenPipe(path string) bool {
	if path != "/dev/stdin" && !strings.HasPrefix(path, "/dev/fd/") && !strings.HasPrefix(path, "/proc/self/fd/") {
		return false
	}
	info, err := os.Stat(path)
	return err == nil && info.Mode()&fs.ModeNamedPipe != 0
}

func readAll(path string, f *os.File, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = errLimit(path, limit)
	}
	return data, err
}

func errLimit(path string, limit int64) error {
	return fmt.Errorf("%s: found more than %d bytes, the limit", path, limit)
}

// checked closes a file that is not regular.
func checked(path string, f *os.File) (*os.File, fs.FileInfo, error) {
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errKind(path, info)
	}
	if err != nil {
		_ = f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

func errKind(path string, info fs.FileInfo) error {
	return fmt.Errorf("%s: found %s, want a regular file", path, Kind(info.Mode()))
}

// Kind says what a file is, by its mode: "a folder", "a FIFO".
func Kind(m fs.FileMode) string {
	switch {
	case m.IsRegular():
		return "a regular file"
	case m.IsDir():
		return "a folder"
	case m&fs.ModeNamedPipe != 0:
		return "a FIFO"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	case m&fs.ModeSymlink != 0:
		return "a link"
	}
	return "a special file"
}
