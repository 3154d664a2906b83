package durable

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/voxelstream/voxelstream/internal/regular"
)

// An Output is a file that is being written. It appears under its name when it is complete, in place of an older one.
//
// Until then it is in a folder beside its name that nobody else can read, so that nothing that was put there can be in
// the way and the file gets the permissions that the umask leaves. A file that takes the place of another gets its
// permissions and, where that is possible, its owner. A symbolic link stays, and its target is replaced. If the name is
// that of a device or a pipe, the complete content is written to it.
type Output struct {
	path  string // of the file, without links
	dir   string
	temp  string
	claim func() error
	done  bool
}

// Create begins a file. The error wraps [ErrLocked] if another process is writing to it.
func Create(path string) (*Output, error) {
	release, err := Claim(path)
	if err != nil {
		return nil, err
	}
	o := &Output{path: path, claim: release}
	if special(path) {
		o.dir, err = tempDir(os.TempDir(), "voxelstream-output-")
	} else if o.path, err = resolve(path); err == nil {
		o.dir, err = tempDir(filepath.Dir(o.path), hidden(o.path))
	}
	if err != nil {
		return nil, errors.Join(err, release())
	}
	o.temp = filepath.Join(o.dir, filepath.Base(o.path))
	return o, nil
}

// Path is where to write the file. There is no file yet.
func (o *Output) Path() string { return o.temp }

// Open creates the file for reading and writing.
func (o *Output) Open() (*os.File, error) {
	return os.OpenFile(o.temp, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
}

// Commit makes the file durable and gives it its name. It must be complete and closed.
func (o *Output) Commit() (err error) {
	if o.done {
		return fmt.Errorf("%s: committed or closed before", o.path)
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	if special(o.path) {
		return o.copy()
	}
	if old, err := os.Lstat(o.path); err == nil && old.Mode().IsRegular() {
		if err := probe(o.path); err != nil { // somebody may have begun to append to it
			return fmt.Errorf("%s: %w", o.path, err)
		}
		takeOwner(o.temp, old)
		if err := os.Chmod(o.temp, old.Mode().Perm()); err != nil {
			return err
		}
	}
	if err := Sync(o.temp); err != nil {
		return err
	}
	if err := os.Rename(o.temp, o.path); err != nil {
		return err
	}
	return Sync(filepath.Dir(o.path))
}

// copy writes the file to a device or a pipe.
func (o *Output) copy() error {
	from, _, err := regular.Open(o.temp)
	if err != nil {
		return err
	}
	defer from.Close() //nolint:errcheck // opened for reading
	to, err := os.OpenFile(o.path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Close())
}

// Close discards the file unless it was committed. It may be called again.
func (o *Output) Close() error {
	if o.done {
		return nil
	}
	o.done = true
	return errors.Join(removeDir(o.dir), o.claim())
}

// special reports whether a path is that of a device, a pipe or a socket.
func special(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.Mode().IsRegular() && !info.IsDir()
}

// maxLinks is the maximum number of symbolic links to follow, that of Linux.
const maxLinks = 40

// resolve returns the absolute path of a file, which need not exist, without symbolic links.
func resolve(path string) (string, error) {
	name := path
	for range maxLinks {
		dir, err := filepath.EvalSymlinks(filepath.Dir(name))
		if err != nil {
			return "", err
		}
		name = filepath.Join(dir, filepath.Base(name))
		target, err := os.Readlink(name)
		if err != nil { // it is no link, or nothing is there
			return filepath.Abs(name)
		}
		if !filepath.IsAbs(target) {
			target = dir + string(filepath.Separator) + target
		}
		name = target
	}
	return "", fmt.Errorf("%s: found more than %d symbolic links", path, maxLinks)
}

const (
	// mark is in the names of all files and folders that only exist while a file is written.
	mark = ".voxelstream-"
	// lockName ends the name of the file that is locked while another one is written.
	lockName = mark + "lock"
	// maxName is the length to which a name is cut before mark and more are added. Systems allow 255 bytes.
	maxName = 180
)

// hidden returns the beginning of the names of the temporary folders for a file.
func hidden(path string) string {
	name := filepath.Base(path)
	if len(name) > maxName {
		sum := sha256.Sum256([]byte(name))
		name = strings.ToValidUTF8(name[:maxName], "") + "-" + hex.EncodeToString(sum[:8])
	}
	return "." + name + mark
}

// lockOf returns the path of the lock of a file.
func lockOf(path string) string {
	return filepath.Join(filepath.Dir(path), strings.TrimSuffix(hidden(path), mark)+lockName)
}

// process has what only exists while this process runs.
var process struct {
	sync.Mutex
	claims map[string]*claimed // by path
	dirs   map[string]*os.File // temporary folders, which are locked
	swept  map[string]bool     // folders without what killed processes have left
}

// claimed is the lock of a file that this process writes.
type claimed struct {
	lock  *os.File // nil if the file system has no locks
	users int
}

// Claim keeps other processes from writing to a file until release is called or this process ends. This process may
// claim it several times. The error wraps [ErrLocked] if another process has claimed the file, or has opened it by
// [OpenLocked] under any name. Claim removes what killed processes have left in the folder.
//
// The lock is a hidden file beside the file, which is removed at the end. What is not a file needs no lock.
func Claim(path string) (release func() error, err error) {
	if special(path) {
		return func() error { return nil }, nil
	}
	final, err := resolve(path)
	if err != nil {
		return nil, err
	}
	process.Lock()
	defer process.Unlock()
	if process.claims == nil {
		process.claims = map[string]*claimed{}
	}
	c := process.claims[final]
	if c == nil {
		c = &claimed{}
		_, left := os.Lstat(lockOf(final)) // by a process that was killed, unless it is alive
		if c.lock, err = claim(final); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		process.claims[final] = c
		if left == nil {
			delete(process.swept, filepath.Dir(final))
		}
		sweep(filepath.Dir(final))
	}
	c.users++
	return sync.OnceValue(func() error {
		process.Lock()
		defer process.Unlock()
		if c.users--; c.users > 0 || process.claims[final] != c {
			return nil
		}
		delete(process.claims, final)
		return unlock(c.lock)
	}), nil
}

// claim locks a file, and looks for others who write to it without Claim.
func claim(path string) (*os.File, error) {
	lock, err := OpenLocked(lockOf(path), NoFollow)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil, probe(path)
	}
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		return nil, fmt.Errorf("cannot create a file in %s: %w", filepath.Dir(path), failed.Err)
	}
	if err != nil {
		return nil, err
	}
	if info, err := lock.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(fmt.Errorf("%s: found something that is not a file, want to create it", lock.Name()),
			err,
			lock.Close())
	}
	if err := probe(path); err != nil {
		return nil, errors.Join(err, unlock(lock))
	}
	return lock, nil
}

// probe returns [ErrLocked] if another process writes to a file under any of its names.
func probe(path string) error {
	f, _, err := regular.Open(path)
	if err != nil {
		return nil // there is none, or it cannot be read, but perhaps replaced
	}
	defer f.Close() //nolint:errcheck // opened for reading
	if err := share(f); errors.Is(err, ErrLocked) {
		return err
	}
	return nil
}

// unlock removes a lock.
func unlock(lock *os.File) error {
	if lock == nil {
		return nil
	}
	var err error
	if info, failed := lock.Stat(); failed == nil && info.Size() == 0 { // otherwise it belongs to somebody else
		err = os.Remove(lock.Name())
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	return errors.Join(err, lock.Close())
}

// TempDir creates a folder for the temporary files of this process, which nobody else can read. It is removed by remove
// or, if this process is killed, by the next one that calls TempDir or [Sweep]. parent is the folder for it; if it is
// empty, that of the system. purpose is a word for its name, which is hidden elsewhere.
func TempDir(parent, purpose string) (dir string, remove func() error, err error) {
	prefix := "." + purpose + mark
	if parent == "" {
		parent, prefix = os.TempDir(), "voxelstream-"+purpose+"-"
	}
	Sweep(parent)
	if dir, err = tempDir(parent, prefix); err != nil {
		if failed, ok := errors.AsType[*fs.PathError](err); ok {
			err = failed.Err
		}
		return "", nil, fmt.Errorf("cannot create temporary files in %s, want a folder to write to (TMPDIR): %w",
			parent, err)
	}
	return dir, func() error { return removeDir(dir) }, nil
}

// tempDir creates a locked folder with a random name.
func tempDir(parent, prefix string) (string, error) {
	const attempts = 10
	for range attempts {
		dir := filepath.Join(parent, prefix+rand.Text())
		if err := os.Mkdir(dir, 0o700); err != nil {
			return "", err
		}
		f, err := lockDir(dir)
		if errors.Is(err, ErrLocked) || errors.Is(err, fs.ErrNotExist) {
			continue // another process has removed it in the moment before it was locked
		}
		if err != nil {
			return "", errors.Join(err, os.Remove(dir))
		}
		process.Lock()
		if process.dirs == nil {
			process.dirs = map[string]*os.File{}
		}
		process.dirs[dir] = f
		process.Unlock()
		return dir, nil
	}
	return "", fmt.Errorf("%s: another program removes the folders that are created there", parent)
}

// lockDir locks a folder. It returns nil if the file system cannot do that.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(dir, os.O_RDONLY|NoFollow, 0)
	if err != nil {
		return nil, err
	}
	err = lock(f)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil, f.Close()
	}
	mine, failed := f.Stat()
	if err = errors.Join(err, failed); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if now, err := os.Lstat(dir); err != nil || !os.SameFile(mine, now) {
		return nil, errors.Join(fs.ErrNotExist, f.Close())
	}
	return f, nil
}

// removeDir removes a temporary folder of this process.
func removeDir(dir string) error {
	process.Lock()
	f := process.dirs[dir]
	delete(process.dirs, dir)
	process.Unlock()
	err := os.RemoveAll(dir)
	if f != nil {
		err = errors.Join(err, f.Close())
	}
	return err
}

// Abandon removes the files and folders that this process would remove before it ends, and its locks. It is called when
// the process must end in the midst of its work.
func Abandon() {
	process.Lock()
	defer process.Unlock()
	for dir := range process.dirs {
		_ = os.RemoveAll(dir)
	}
	for _, c := range process.claims {
		_ = unlock(c.lock)
	}
	clear(process.dirs)
	clear(process.claims)
}

// Sweep removes from a folder what processes have left there that were killed while they wrote files. A folder is
// only read once, unless a file in it turns out to be left by a killed process.
func Sweep(dir string) {
	process.Lock()
	defer process.Unlock()
	sweep(dir)
}

// sweep is Sweep for those who have locked process. Failures do no harm.
func sweep(dir string) {
	if process.swept[dir] {
		return
	}
	if process.swept == nil {
		process.swept = map[string]bool{}
	}
	process.swept[dir] = true
	f, err := os.OpenFile(dir, os.O_RDONLY, 0)
	if err != nil {
		return
	}
	defer f.Close() //nolint:errcheck // opened for reading
	const some = 1000
	for {
		names, err := f.Readdirnames(some)
		for _, name := range names {
			path := filepath.Join(dir, name)
			switch {
			case isTemporary(name):
				sweepDir(path)
			case strings.HasPrefix(name, ".") && strings.HasSuffix(name, lockName):
				sweepLock(path)
			}
		}
		if err != nil {
			return
		}
	}
}

// isTemporary reports whether a name is one that tempDir makes.
func isTemporary(name string) bool {
	i := strings.LastIndexByte(name, '-')
	if i < 0 || len(name)-i-1 != len(rand.Text()) ||
		strings.Trim(name[i+1:], "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "" {
		return false
	}
	return strings.HasPrefix(name, "voxelstream-") || strings.HasPrefix(name, ".") &&
		strings.HasSuffix(name[:i+1], mark)
}

// folder matches the temporary folder of a file in a path.
var folder = regexp.MustCompile(`\.[^/\n]*` + regexp.QuoteMeta(mark) + `[A-Z2-7]{26}/`)

// Named returns a text, such as that of an error, with the names that files being written will have in place of the
// temporary ones.
func Named(text string) string { return folder.ReplaceAllString(text, "") }

// sweepDir removes a temporary folder of a process of this user that was killed.
func sweepDir(dir string) {
	info, err := os.Lstat(dir)
	if err != nil || !info.IsDir() || !mine(info) {
		return
	}
	f, err := lockDir(dir)
	if err != nil || f == nil {
		return // the process lives, or there is no telling
	}
	_ = os.RemoveAll(dir)
	_ = f.Close()
}

// sweepLock removes the lock of a process of this user that was killed.
func sweepLock(path string) {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() != 0 || !mine(info) {
		return
	}
	for p := range process.claims {
		if lockOf(p) == path {
			return
		}
	}
	if f, err := OpenLocked(path, NoFollow); err == nil {
		_ = unlock(f)
	}
}
