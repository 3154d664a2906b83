package ingest

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/record"
)

// Format is one kind of file or folder: how it is told from the others, looked into and opened.
type Format struct {
	Name string
	// Doc says what is read of it: versions, variants, what is left out. It is a phrase of the reference page.
	Doc string
	// Extensions are the usual endings of its files, each with its dot; a folder has none.
	Extensions []string
	// Library names what decodes it; empty: code of this module.
	Library string
	// Tested names the public files that it is tested with; empty: files that the tests make.
	Tested string
	// Options makes the options of its reader with their defaults: a pointer to a struct with the tags of
	// internal/option. Formats of one package may share one. Nil: it has none besides the limits.
	Options func() any
	// Detect judges the first bytes; it never reads further than what a Head offers.
	Detect func(h *Head) Confidence
	// Open starts a stream. What is wrong with a single item is reported by Read, as an *ItemError; what makes the
	// whole input unreadable by Open.
	Open func(ctx context.Context, path string, o Options) (Source, error)
	// Inspect says what the input holds.
	Inspect func(ctx context.Context, path string, o Options) (Detail, error)
}

// Confidence is how sure a format is that an input is its own.
type Confidence int

// The grades of confidence, rising. The surest format opens the input; among equals the first of the list.
const (
	No     Confidence = iota
	Guess             // nothing contradicts it
	Likely            // the content fits, though others could produce it
	Sure              // a signature
)

// HeadBytes is how much of an input is looked at to tell its format.
const HeadBytes = 64 << 10

// Head is what a format is recognised by.
type Head struct {
	// Path is for formats that keep parts side by side; Ext its extension, lower case, without a final ".gz" when Gzip.
	Path, Ext string
	Gzip      bool
	// Size is the number of bytes, unpacked; for gzip what its trailer says (modulo 4 GiB), a hint only.
	Size int64
	// Bytes are the first bytes, unpacked; empty for a folder.
	Bytes []byte
	// Names are the base names in a folder, sorted, and nil for a file.
	Names []string
}

// IsDir says whether the input is a folder.
func (h *Head) IsDir() bool { return h.Names != nil }

// maxNames bounds how many names of a folder are held.
const maxNames = 1 << 20

// ReadHead reads what is needed to recognise the input at path.
func ReadHead(path string) (*Head, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	h := &Head{Path: path, Size: info.Size(), Ext: strings.ToLower(filepath.Ext(path))}
	if info.IsDir() {
		entries, err := os.ReadDir(path)
		if err != nil {
			return nil, err
		}
		if len(entries) > maxNames {
			return nil, fmt.Errorf("%s: found %d files, limit %d", path, len(entries), maxNames)
		}
		h.Names = make([]string, 0, len(entries))
		for _, e := range entries {
			h.Names = append(h.Names, e.Name())
		}
		return h, nil
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: found %s, want a regular file or a folder", path, info.Mode().Type())
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // opened for reading
	h.Bytes, err = io.ReadAll(io.LimitReader(f, HeadBytes))
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(h.Bytes, gzipMagic) {
		return h, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(h.Bytes))
	if err != nil {
		return nil, fmt.Errorf("%s: gzip header: %w", path, err)
	}
	packed := h.Size
	// An error here is the end of the piece of the file that was read: what came out before it is the head.
	h.Bytes, _ = io.ReadAll(io.LimitReader(z, HeadBytes))
	h.Gzip, h.Ext = true, strings.ToLower(filepath.Ext(strings.TrimSuffix(strings.ToLower(path), ".gz")))
	var trailer [4]byte
	if _, err := f.ReadAt(trailer[:], packed-4); err == nil {
		h.Size = int64(binary.LittleEndian.Uint32(trailer[:]))
	}
	return h, nil
}

// gzipMagic is ID1, ID2 and CM = deflate of RFC 1952.
var gzipMagic = []byte{0x1f, 0x8b, 8}

// ReadFile reads the whole file at path, unpacked if it is gzip, and refuses more than o.MaxBytes.
func ReadFile(path string, o Options) ([]byte, error) { return readFile(path, o, nil) }

// readFile uses the memory of buf where it is large enough.
func readFile(path string, o Options, buf []byte) ([]byte, error) {
	limit := int64(o.WithDefaults().MaxBytes)
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // opened for reading
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: found %s, want a regular file", path, info.Mode().Type())
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%s: found %d bytes, limit %d", path, info.Size(), limit)
	}
	data := buf
	if int64(cap(buf)) < info.Size() {
		data = make([]byte, info.Size())
	}
	data = data[:info.Size()]
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if !bytes.HasPrefix(data, gzipMagic) {
		return data, nil
	}
	data, err = Gunzip(data, limit)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return data, nil
}

// Gunzip unpacks data, refusing to produce more than limit bytes.
func Gunzip(data []byte, limit int64) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("gzip: %w", err)
	}
	// The trailer's size is a hint: deflate packs no better than 1032 to 1, so a lie costs no more than the real
	// data could.
	hint := int64(binary.LittleEndian.Uint32(data[len(data)-4:]))
	var out bytes.Buffer
	out.Grow(int(min(hint, limit, 64*int64(len(data)))) + bytes.MinRead)
	if _, err := io.Copy(&out, io.LimitReader(z, limit+1)); err != nil {
		return nil, fmt.Errorf("gzip after %d unpacked bytes: %w", out.Len(), err)
	}
	if int64(out.Len()) > limit {
		return nil, fmt.Errorf("gzip: found more than %d unpacked bytes, the limit", limit)
	}
	return out.Bytes(), nil
}

// Options bounds what is taken from one input, and holds the options of the readers. The zero value means the
// defaults. A copy shares the readers' options with the original; [Options.Clone] does not.
type Options struct {
	// MaxBytes bounds one file, unpacked; 0: 4 GiB.
	MaxBytes option.Bytes `yaml:"max_file" min:"1B" doc:"Maximum file size after decompression."`
	// MaxPoints bounds one cloud; 0: 200 million.
	MaxPoints int `yaml:"max_points" min:"1" doc:"Maximum number of points in a point cloud."`
	// MaxPixels bounds one image; 0: 64 Mi.
	MaxPixels int
	// MaxCells bounds the values of one grid; 0: 256 Mi.
	MaxCells int
	// GridShape is depth, height and width of the rows of flat arrays; zero: cubes.
	GridShape [3]int
	// Readers points to the options of the formats, one struct of a type each; see [ReaderOptions].
	Readers []any `yaml:",inline"`
}

// WithDefaults replaces zeros by the defaults.
func (o Options) WithDefaults() Options {
	set(&o.MaxBytes, 4<<30)
	set(&o.MaxPoints, 200_000_000)
	set(&o.MaxPixels, 64<<20)
	set(&o.MaxCells, 256<<20)
	return o
}

// Clone is a copy that shares nothing with o.
func (o Options) Clone() Options {
	o.Readers = option.Clone(o.Readers)
	return o
}

// ReaderOptions are the options of type T that o holds for the readers, or defaults where it holds none.
func ReaderOptions[T any](o Options, defaults T) T { return option.Of(o.Readers, defaults) }

func set[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// FileSource is a stream of the samples of one file, decoded by the first Read. A file that cannot be decoded is
// one bad item.
func FileSource(path string, decode func() ([]Sample, error)) (Source, error) {
	stream, err := StreamName(path)
	if err != nil {
		return nil, err
	}
	return &fileSource{stream: stream, decode: decode}, nil
}

type fileSource struct {
	stream  string
	decode  func() ([]Sample, error)
	samples []Sample
	seq     uint64
}

func (s *fileSource) Read(ctx context.Context) (Sample, error) {
	if err := ctx.Err(); err != nil {
		return Sample{}, err
	}
	if s.decode != nil {
		samples, err := s.decode()
		s.decode = nil
		if err != nil {
			return Sample{}, &ItemError{ID: record.ID{Stream: s.stream}, Err: err}
		}
		s.samples = samples
	}
	if len(s.samples) == 0 {
		return Sample{}, io.EOF
	}
	out := s.samples[0]
	s.samples[0] = Sample{} // the caller's now
	s.samples = s.samples[1:]
	out.Stream, out.Seq = s.stream, s.seq
	s.seq++
	return out, nil
}

func (s *fileSource) Close() error {
	s.decode, s.samples = nil, nil
	return nil
}

// Clouds is what a file of points holds: one or several clouds, and the names its fields have in the file.
type Clouds struct {
	Fields []string
	Clouds []*PointCloud
	// Time is when the first cloud was taken; zero when unknown.
	Time time.Time
}

// buffers keeps the memory of one file for the next: a folder of scans is read without new memory for each of them.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// CloudFormat completes f, which has everything but Open and Inspect, by a decoder of whole files of points. The
// decoder is given the file's bytes, unpacked, and must not keep them.
func CloudFormat(f Format, decode func(path string, data []byte, o Options) (*Clouds, error)) Format {
	read := func(path string, o Options) (*Clouds, error) {
		held := buffers.Get().(*[]byte)
		defer buffers.Put(held)
		data, err := readFile(path, o, *held)
		if err != nil {
			return nil, err
		}
		*held = data
		c, err := decode(path, data, o.WithDefaults())
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", path, f.Name, err)
		}
		return c, nil
	}
	f.Open = func(_ context.Context, path string, o Options) (Source, error) {
		return FileSource(path, func() ([]Sample, error) {
			c, err := read(path, o)
			if err != nil {
				return nil, err
			}
			samples := make([]Sample, len(c.Clouds))
			for i, cloud := range c.Clouds {
				samples[i] = Sample{Label: NoLabel, Data: cloud, Time: c.Time}
			}
			return samples, nil
		})
	}
	f.Inspect = func(_ context.Context, path string, o Options) (Detail, error) {
		c, err := read(path, o)
		if err != nil {
			return nil, err
		}
		return PointsOf(c), nil
	}
	return f
}

// ErrFormat says that no known format fits an input.
var ErrFormat = errors.New("no known format fits")
