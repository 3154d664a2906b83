package regular

import (
	"io/fs"
	"os"
	"path/filepath"
)

// System is where the files of inputs are: the file system or, in a process that cannot open files, what its parent
// opens for it.
type System interface {
	// Open opens a regular file.
	Open(path string) (*os.File, fs.FileInfo, error)
	// OpenShared is like Open, but the position of the file is shared: only ReadAt may be used.
	OpenShared(path string) (*os.File, fs.FileInfo, error)
	Stat(path string) (fs.FileInfo, error)
	// ReadDir lists a folder, by name.
	ReadDir(path string) ([]fs.DirEntry, error)
	// Resolve returns the absolute path without symbolic links.
	Resolve(path string) (string, error)
}

// system is nil for the file system.
var system System

// Use makes the functions of this package, except those for settings, use another system, for the whole process. It is
// called before any of them.
func Use(s System) { system = s }

// Remote reports whether files are opened by another process.
func Remote() bool { return system != nil }

// Open opens a regular file for reading. For anything else the error says what was found.
func Open(path string) (*os.File, fs.FileInfo, error) {
	if system != nil {
		return system.Open(path)
	}
	return openLocal(path)
}

// OpenShared is like Open for readers that only use ReadAt.
func OpenShared(path string) (*os.File, fs.FileInfo, error) {
	if system != nil {
		return system.OpenShared(path)
	}
	return openLocal(path)
}

// Stat is like [os.Stat].
func Stat(path string) (fs.FileInfo, error) {
	if system != nil {
		return system.Stat(path)
	}
	return os.Stat(path)
}

// ReadDir is like [os.ReadDir].
func ReadDir(path string) ([]fs.DirEntry, error) {
	if system != nil {
		return system.ReadDir(path)
	}
	return os.ReadDir(path)
}

// Resolve returns the absolute path of a file or folder, without symbolic links.
func Resolve(path string) (string, error) {
	if system != nil {
		return system.Resolve(path)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
}
