package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/voxelstream/voxelstream/internal/durable"
	"github.com/voxelstream/voxelstream/internal/regular"
)

// bucket has the operations of an object store. Its errors are fs.ErrNotExist, fs.ErrExist, a *failure or come from
// below HTTP. Keys are full names of objects.
type bucket interface {
	// put uploads a file. digest is stored with the object. If create is set, an existing object is an error.
	put(ctx context.Context, key, path, digest string, create bool) error
	// get downloads an object to what begin returns for its size in bytes, which is -1 if the server does not say it. An
	// error of begin is returned as it is. digest is empty if the object has none.
	get(ctx context.Context, key string, begin func(size int64) (io.Writer, error)) (digest string, err error)
	// list yields the objects whose keys have a prefix, in pages.
	list(ctx context.Context, prefix string) iter.Seq2[File, error]
	// remove removes an object. It is no error if there is none.
	remove(ctx context.Context, key string) error
	close()
}

// failure is the answer of a server.
type failure struct {
	code, message string
	status        int
	// advice says what to do about it. It is empty if that is not known.
	advice string
}

func (e *failure) Error() string {
	text := e.code
	if text == "" {
		text = fmt.Sprintf("HTTP status %d", e.status)
	}
	if e.message != "" {
		text += ": " + strings.TrimSuffix(e.message, ".")
	}
	if e.advice != "" {
		text += "; " + e.advice
	}
	return text
}

// Transient reports whether an operation of a store that has failed with err may succeed later without anybody's doing:
// the network or the server was at fault, not the credentials, the bucket or the file.
func Transient(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) {
		return false
	}
	if f, ok := errors.AsType[*failure](err); ok {
		return f.status >= 500 && f.status != 501 || f.status == 408 || f.status == 409 || f.status == 429
	}
	_, remote := errors.AsType[*remoteError](err)
	return remote
}

// remoteError is an error of a request. where is the place, or empty if the caller names it.
type remoteError struct {
	where string
	err   error
}

func (e *remoteError) Error() string { return strings.TrimPrefix(e.where+": "+e.err.Error(), ": ") }
func (e *remoteError) Unwrap() error { return e.err }

// remote is a store in a bucket.
type remote struct {
	place  Place
	bucket bucket
}

// maxFiles limits how many files List returns: 100 MB of names.
const maxFiles = 1 << 20

// attempts is how often a download is tried that ends too early or arrives damaged. Other requests are repeated by the
// clients.
const attempts = 3

func (r *remote) String() string { return r.place.String() }

func (r *remote) Close() error {
	r.bucket.close()
	return nil
}

// key returns the full name of an object. key("") is what all names begin with.
func (r *remote) key(name string) string {
	if r.place.Prefix == "" {
		return name
	}
	return r.place.Prefix + "/" + name
}

// fail names the place of an error of the bucket.
func (r *remote) fail(name string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	where := r.String()
	if name != "" {
		where += "/" + name
	}
	return &remoteError{where, err}
}

func (r *remote) Put(ctx context.Context, name string, write func(path string) error) error {
	return r.put(ctx, name, write, false)
}

func (r *remote) Create(ctx context.Context, name string, write func(path string) error) error {
	return r.put(ctx, name, write, true)
}

func (r *remote) put(ctx context.Context, name string, write func(path string) error, create bool) error {
	if err := errors.Join(check(name), ctx.Err()); err != nil {
		return err
	}
	return temporaryFile(name, func(path string) error {
		if err := write(path); err != nil {
			return err
		}
		digest, err := digestOf(path)
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		return r.fail(name, r.bucket.put(ctx, r.key(name), path, digest, create))
	})
}

func (r *remote) Get(ctx context.Context, name string, read func(path string) error) error {
	if err := errors.Join(check(name), ctx.Err()); err != nil {
		return err
	}
	return temporaryFile(name, func(path string) error {
		for n := 1; ; n++ {
			err := r.download(ctx, name, path)
			if err == nil {
				return read(path)
			}
			if n == attempts || ctx.Err() != nil || !Transient(err) {
				return err
			}
			select {
			case <-ctx.Done():
			case <-time.After(time.Duration(n) * 100 * time.Millisecond):
			}
		}
	})
}

func (r *remote) Load(ctx context.Context, name string, size int64) ([]byte, error) {
	if err := errors.Join(check(name), ctx.Err()); err != nil {
		return nil, err
	}
	b := &exactly{name: name, size: size}
	if _, err := r.bucket.get(ctx, r.key(name), b.begin); err != nil {
		if other, ok := errors.AsType[*SizeError](err); ok {
			return nil, other
		}
		return nil, r.fail(name, err)
	}
	if n := int64(len(b.content)); n != size {
		return nil, &SizeError{name, n, size}
	}
	return b.content, nil
}

// exactly holds the content of an object that must have a size.
type exactly struct {
	name    string
	size    int64
	content []byte
}

// begin takes the memory, once the size of the object is known to be right.
func (e *exactly) begin(found int64) (io.Writer, error) {
	if found >= 0 && found != e.size {
		return nil, &SizeError{e.name, found, e.size}
	}
	e.content = make([]byte, 0, max(found, 0))
	return e, nil
}

func (e *exactly) Write(p []byte) (int, error) {
	if n := int64(len(e.content)) + int64(len(p)); n > e.size {
		return 0, &SizeError{e.name, n, e.size}
	}
	e.content = append(e.content, p...)
	return len(p), nil
}

// download stores an object in a file and compares its digest.
func (r *remote) download(ctx context.Context, name, path string) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	want, err := r.bucket.get(ctx, r.key(name), func(int64) (io.Writer, error) { return f, nil })
	if err != nil {
		return r.fail(name, err)
	}
	found, err := digestOf(path)
	if err == nil && want != "" && found != want {
		err = r.fail(name, fmt.Errorf("found content with the SHA-256 %s, want %s", found, want))
	}
	return err
}

// temporaryFile calls use with the path of a file that may be created. It removes the file afterwards.
func temporaryFile(name string, use func(path string) error) (err error) {
	dir, remove, err := durable.TempDir("", "object")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	return use(filepath.Join(dir, filepath.Base(name)))
}

// digestOf returns the SHA-256 of a file in hexadecimal.
func digestOf(path string) (string, error) {
	f, _, err := regular.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // opened for reading
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func (r *remote) List(ctx context.Context, prefix string) ([]File, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var out []File
	for f, err := range r.bucket.list(ctx, r.key(prefix)) {
		if err != nil {
			return nil, r.fail(prefix, err)
		}
		if f.Name = strings.TrimPrefix(f.Name, r.key("")); check(f.Name) != nil {
			continue // an object that is not ours
		}
		if len(out) == maxFiles {
			return nil, r.fail(prefix, fmt.Errorf("found more than %d objects, the limit", maxFiles))
		}
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func (r *remote) Remove(ctx context.Context, name string) error {
	if err := errors.Join(check(name), ctx.Err()); err != nil {
		return err
	}
	return r.fail(name, r.bucket.remove(ctx, r.key(name)))
}
