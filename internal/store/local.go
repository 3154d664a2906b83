package store

import (
	"cmp"
	"context"
	"crypto/rand"
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

	"github.com/voxelstream/voxelstream/internal/durable"
	"github.com/voxelstream/voxelstream/internal/regular"
)

// local is a folder.
type local struct{ dir string }

// Local returns the store in a folder, which it creates. It removes what killed processes were writing.
func Local(dir string) (Store, error) {
	if err := durable.MkdirAll(dir); err != nil {
		return nil, err
	}
	l := &local{dir}
	return l, l.clean()
}

// Files are written in folders named .tmp-HOST-PROCESS-RUN-RANDOM, so that what a killed process has left can be told
// from what a living one is writing.
const temporaryPrefix = ".tmp-"

// host and run identify this process among those that use the folder, now and before.
var host, run = func() (string, string) {
	name, err := os.Hostname()
	if err != nil {
		name = "unknown"
	}
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:4]), rand.Text()
}()

// temporary returns the pattern of the name of a temporary folder.
func temporary() string {
	return fmt.Sprintf("%s%s-%d-%s-*", temporaryPrefix, host, os.Getpid(), run)
}

// stale is the age at which the temporary folder of a process on another machine is taken for one of a dead process.
const stale = time.Hour

// left reports whether the process that made a temporary folder is dead.
func left(name string, modified time.Time) bool {
	part := strings.Split(strings.TrimPrefix(name, temporaryPrefix), "-")
	if len(part) != 4 || part[0] != host {
		return time.Since(modified) > stale
	}
	pid, err := strconv.Atoi(part[1])
	if err != nil {
		return true
	}
	if pid == os.Getpid() {
		return part[2] != run
	}
	return !alive(pid)
}

// clean removes temporary folders of dead processes.
func (l *local) clean() error {
	return filepath.WalkDir(l.dir, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) { // such as lost+found
			return nil
		}
		if err != nil || !e.IsDir() || !strings.HasPrefix(e.Name(), temporaryPrefix) {
			return err
		}
		modified, err := lastModified(path)
		if errors.Is(err, fs.ErrNotExist) {
			return filepath.SkipDir
		}
		if err == nil && left(e.Name(), modified) {
			err = os.RemoveAll(path) //nolint:gosec // removes links, does not follow them
		}
		return cmp.Or(err, filepath.SkipDir)
	})
}

// lastModified returns when a folder or a file in it was last written to.
func lastModified(dir string) (latest time.Time, err error) {
	err = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && info.ModTime().After(latest) {
			latest = info.ModTime()
		}
		return err
	})
	return latest, err
}

func (l *local) String() string { return l.dir }

func (l *local) Put(ctx context.Context, name string, write func(path string) error) error {
	return l.put(ctx, name, write, os.Rename)
}

// Create publishes the file by a hard link, which fails if the name exists.
func (l *local) Create(ctx context.Context, name string, write func(path string) error) error {
	return l.put(ctx, name, write, func(from, to string) error {
		err := os.Link(from, to)
		if err == nil || errors.Is(err, fs.ErrExist) {
			return err
		}
		// The file system has no links.
		if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(fs.ErrExist, err)
		}
		return os.Rename(from, to)
	})
}

// put writes a file and gives it its name by publish.
func (l *local) put(ctx context.Context, name string, write func(path string) error,
	publish func(from, to string) error,
) (err error) {
	if err := errors.Join(check(name), ctx.Err()); err != nil {
		return err
	}
	final := filepath.Join(l.dir, filepath.FromSlash(name))
	if err := durable.MkdirAll(filepath.Dir(final)); err != nil {
		return err
	}
	// The file is written in a folder of its own, because a format may need more files beside it.
	dir, err := os.MkdirTemp(filepath.Dir(final), temporary())
	if err != nil {
		return err
	}
	path := filepath.Join(dir, filepath.Base(final))
	defer func() {
		if err = errors.Join(err, os.RemoveAll(dir)); err != nil {
			err = &putError{err, dir, filepath.Dir(final)}
		}
	}()
	if err := write(path); err != nil {
		return err
	}
	if err := errors.Join(ctx.Err(), durable.Sync(path)); err != nil {
		return err
	}
	if err := publish(path, final); err != nil {
		return err
	}
	return durable.Sync(filepath.Dir(final))
}

// putError is an error of writing a file. It names the folder of the file, not the temporary one.
type putError struct {
	err              error
	temporary, final string
}

func (e *putError) Error() string { return strings.ReplaceAll(e.err.Error(), e.temporary, e.final) }
func (e *putError) Unwrap() error { return e.err }

func (l *local) Get(ctx context.Context, name string, read func(path string) error) error {
	if err := errors.Join(check(name), ctx.Err()); err != nil {
		return err
	}
	path := filepath.Join(l.dir, filepath.FromSlash(name))
	if _, err := os.Stat(path); err != nil {
		return err
	}
	return read(path)
}

func (l *local) Load(ctx context.Context, name string, size int64) ([]byte, error) {
	if err := errors.Join(check(name), ctx.Err()); err != nil {
		return nil, err
	}
	f, info, err := regular.Open(filepath.Join(l.dir, filepath.FromSlash(name)))
	if err != nil {
		if _, folder := os.Stat(l.dir); errors.Is(err, fs.ErrNotExist) && folder != nil {
			return nil, fmt.Errorf("the folder cannot be read: %v", folder) //nolint:errorlint // the file may exist
		}
		return nil, err
	}
	defer f.Close() //nolint:errcheck // opened for reading
	if info.Size() != size {
		return nil, &SizeError{name, info.Size(), size}
	}
	b := make([]byte, size)
	_, err = io.ReadFull(f, b)
	return b, err
}

func (l *local) List(ctx context.Context, prefix string) ([]File, error) {
	var out []File
	// Only the folder that the prefix names is walked.
	root := l.dir
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		if err := check(prefix[:i]); err != nil {
			return nil, err
		}
		root = filepath.Join(l.dir, filepath.FromSlash(prefix[:i]))
	}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // removed meanwhile, or never there
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case path == root:
			return nil
		case strings.HasPrefix(e.Name(), "."):
			if e.IsDir() {
				return filepath.SkipDir
			}
			return nil
		case e.IsDir():
			return nil
		}
		name, err := filepath.Rel(l.dir, path)
		if err != nil {
			return err
		}
		if name = filepath.ToSlash(name); !strings.HasPrefix(name, prefix) {
			return nil
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		out = append(out, File{Name: name, Size: info.Size()})
		return nil
	})
	slices.SortFunc(out, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	return out, err
}

func (l *local) Remove(ctx context.Context, name string) error {
	if err := errors.Join(check(name), ctx.Err()); err != nil {
		return err
	}
	err := os.Remove(filepath.Join(l.dir, filepath.FromSlash(name)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (l *local) Close() error { return nil }
