package v1

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/voxelstream/voxelstream/internal/budget"
	"github.com/voxelstream/voxelstream/internal/durable"
)

// Limits of a request with several files.
const (
	maxFiles = 1000
	maxName  = 200 // bytes
)

// extensions are those of files without a name, by media type. Content decides in most cases.
var extensions = map[string]string{
	"application/x-hdf5": ".h5", "application/x-hdf": ".h5", "application/vnd.apache.parquet": ".parquet",
	"application/vnd.apache.arrow.file": ".feather", "application/dicom": ".dcm", "application/vnd.las": ".las",
	"application/vnd.laszip": ".laz", "application/vnd.tcpdump.pcap": ".pcap", "application/zip": ".zip",
	"application/gzip": ".gz", "application/zstd": ".zst", "image/png": ".png", "text/csv": ".csv",
	"text/tab-separated-values": ".tsv", "model/obj": ".obj", "model/stl": ".stl", "model/gltf-binary": ".glb",
}

// baseName returns the last element of the name of a file, or false if it cannot be used.
func baseName(name string) (string, bool) {
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	ok := name != "" && name != "." && name != ".." && len(name) <= maxName && strings.ToValidUTF8(name, "") == name &&
		!strings.ContainsFunc(
			name,
			func(r rune) bool { return unicode.IsControl(r) || strings.ContainsRune(`:*?"<>|`, r) },
		)
	return name, ok
}

// tooLarge is the error of a body above the limit.
func tooLarge(limit int64) error {
	return refused(http.StatusRequestEntityTooLarge, "the request is too large: found more than %d bytes", limit)
}

// bounded is a reader that returns an error beyond a number of bytes.
type bounded struct {
	from        io.Reader
	left, limit int64
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, tooLarge(b.limit)
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.from.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return n, tooLarge(b.limit)
	}
	return n, err
}

// decompressed returns the body of a request, which gives an error beyond limit bytes.
func decompressed(r *http.Request, limit int64) (io.Reader, error) {
	if r.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	var from io.Reader = &bounded{r.Body, limit, limit}
	switch e := r.Header.Get("Content-Encoding"); strings.ToLower(e) {
	case "", "identity":
		return from, nil
	case "gzip":
		z, err := gzip.NewReader(from)
		if err != nil {
			return nil, unread(err)
		}
		return &bounded{z, limit, limit}, nil
	default:
		return nil, refused(http.StatusUnsupportedMediaType, "Content-Encoding: found %.32q, want gzip", e)
	}
}

// unread is the error of a body that cannot be read. A limit keeps its status.
func unread(err error) error {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	if errors.Is(err, budget.ErrLimit) {
		return refused(http.StatusRequestEntityTooLarge, "the request is too large: %w", err)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return refused(http.StatusRequestTimeout, "the body did not arrive in time")
	}
	return refused(http.StatusBadRequest, "the body cannot be read: %w", err)
}

// files stores the files of a body in a new folder, classifies their samples, and removes the folder.
func (w *work) files(
	ctx context.Context, body io.Reader, kind string, parameters map[string]string, h http.Header,
) (err error) {
	dir, remove, err := durable.TempDir(w.api.o.Folder, "classify")
	if err != nil {
		return fmt.Errorf("storing the upload: %w", err)
	}
	defer func() { err = errors.Join(err, remove()) }()
	w.dir = dir
	var path string
	if kind == "multipart/form-data" {
		path, err = storeParts(dir, body, parameters["boundary"])
	} else {
		path, err = storeWhole(dir, body, w.query.name, kind, h.Get("Content-Disposition"))
	}
	if err != nil {
		return err
	}
	return w.path(ctx, path)
}

// storeWhole stores a body as a file and returns its path.
func storeWhole(dir string, body io.Reader, name, kind, disposition string) (string, error) {
	if name == "" && disposition != "" {
		if _, p, err := mime.ParseMediaType(disposition); err == nil {
			name = p["filename"]
		}
	}
	if name == "" {
		name = "upload" + extensions[kind]
	}
	base, ok := baseName(name)
	if !ok {
		return "", refused(
			http.StatusBadRequest,
			"found file name %.64q, want a name without control characters",
			name,
		)
	}
	path := filepath.Join(dir, base)
	return path, store(path, body)
}

// storeParts stores the files of a form. It returns the path of the only one, or else that of the folder: files that
// belong to one recording are then read as such.
func storeParts(dir string, body io.Reader, boundary string) (string, error) {
	if boundary == "" {
		return "", refused(http.StatusBadRequest, "Content-Type: missing boundary of multipart/form-data")
	}
	parts := multipart.NewReader(body, boundary)
	only, n := "", 0
	for {
		p, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", unread(err)
		}
		if p.FileName() == "" {
			return "", refused(http.StatusBadRequest, "part %.64q: want a file with a file name", p.FormName())
		}
		base, ok := baseName(p.FileName())
		if n++; !ok || n > maxFiles {
			return "", refused(http.StatusBadRequest, "part %.64q: want at most %d files, with names without control "+
				"characters", p.FileName(), maxFiles)
		}
		only = filepath.Join(dir, base)
		if err := store(only, p); err != nil {
			return "", err
		}
	}
	switch n {
	case 0:
		return "", refused(http.StatusBadRequest, "found no file in the form, want at least one")
	case 1:
		return only, nil
	}
	return dir, nil
}

// store writes a new file.
func store(path string, from io.Reader) (err error) {
	const mode = os.O_CREATE | os.O_EXCL | os.O_WRONLY
	f, err := os.OpenFile(path, mode, 0o600) //nolint:gosec // a clean name in a folder of ours
	if errors.Is(err, os.ErrExist) {
		return refused(http.StatusBadRequest, "found two files named %.64q", filepath.Base(path))
	}
	if err != nil {
		return fmt.Errorf("storing the upload: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	n, err := io.Copy(onlyWriter{f}, from)
	if _, full := errors.AsType[*os.PathError](err); full {
		return fmt.Errorf("storing the upload: %w", err)
	}
	if err != nil {
		return unread(err)
	}
	if n == 0 {
		return refused(http.StatusUnprocessableEntity, "%s: the file is empty", filepath.Base(path))
	}
	return nil
}

// onlyWriter hides the other methods of a file, so that io.Copy tells errors of reading from errors of writing.
type onlyWriter struct{ io.Writer }
