package ingest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/voxelstream/voxelstream/internal/budget"
	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/internal/regular"
	"github.com/voxelstream/voxelstream/internal/unpack"
	"github.com/voxelstream/voxelstream/record"
)

// Format is a kind of file or folder, with functions to detect, inspect and open it.
type Format struct {
	Name string
	// Doc lists what is supported: versions, variants, what is ignored. Assumes lists what is assumed where the data
	// leave a choice, and the flags that decide otherwise; Refuses lists what is recognized but not read, with the
	// reason or the way out. They are phrases of the reference page, without a final full stop.
	Doc, Assumes, Refuses string
	// Extensions are the usual ends of file names in lower case, such as ".pcd"; a folder has none. A file that no
	// format recognizes is taken for one of the format with its extension, the last in the list if there are several.
	Extensions []string
	// Parts is for folders: the names of the formats of files that belong to the recording. Files of other formats
	// in the folder are inputs of their own. It is nil for formats of files.
	Parts []string
	// InspectOnly is why inputs of this format can be inspected but hold nothing to read; empty for all others.
	InspectOnly string
	// Contained says that its reader decodes in a process of its own, which has no rights.
	Contained bool
	// Library is the library that decodes it; empty if this module does.
	Library string
	// Tested names the public files used for testing; empty if tests create the files.
	Tested string
	// Options returns the reader's options with their defaults: a pointer to a struct with the tags of
	// internal/option. Formats of one package may share a type. Nil if there are no options besides the limits.
	Options func() any
	// Detect judges an input by its Head and reads nothing else.
	Detect func(h *Head) Confidence
	// Open opens the input as a stream. Open returns errors that make the whole input unreadable; Read returns
	// errors of single items, as an *ItemError.
	Open func(ctx context.Context, path string, o Options) (Source, error)
	// Inspect describes the content of the input.
	Inspect func(ctx context.Context, path string, o Options) (Detail, error)
}

// Confidence is a format's confidence that an input is of that format.
type Confidence int

// The levels of confidence, in ascending order. The format with the highest confidence opens the input; among
// equals, the first in the list.
const (
	No     Confidence = iota
	Guess             // nothing contradicts it
	Likely            // the content fits, but could be of another format
	Sure              // a signature
)

// HeadBytes is the number of bytes inspected to detect the format of an input.
const HeadBytes = 64 << 10

// Head is the information by which a format is recognized.
type Head struct {
	// Path is for formats with several files. Ext is its extension in lower case, without a final ".gz", ".zst" or
	// ".zstd" if the file is compressed so.
	Path, Ext string
	Gzip      bool
	// Size is the uncompressed size in bytes. For gzip it is the size in the trailer (modulo 4 GiB), for zstd that in
	// the header, which is only a hint; for zstd it may be missing, and Size is that of the compressed file.
	Size int64
	// Bytes are the first bytes, uncompressed; empty for a folder.
	Bytes []byte
	// Names are the sorted base names of the files in a folder; nil for a file.
	Names []string
}

// IsDir reports whether the input is a folder.
func (h *Head) IsDir() bool { return h.Names != nil }

// maxNames limits the number of names read from a folder.
const maxNames = 1 << 20

// ReadHead reads the head of the input at path.
func ReadHead(path string) (*Head, error) {
	info, err := regular.Stat(path)
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return nil, fmt.Errorf("%s: %w", path, e.Err)
	}
	if err != nil {
		return nil, err
	}
	h := &Head{Path: path, Size: info.Size(), Ext: strings.ToLower(filepath.Ext(path))}
	if info.IsDir() {
		entries, err := regular.ReadDir(path)
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
	f, _, err := regular.OpenShared(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // opened for reading
	h.Size = info.Size()
	h.Bytes, err = io.ReadAll(io.NewSectionReader(f, 0, HeadBytes))
	if err != nil {
		return nil, err
	}
	if unpack.IsZstd(h.Bytes) {
		return h, h.unzstd()
	}
	if !bytes.HasPrefix(h.Bytes, gzipMagic) {
		return h, nil
	}
	z, err := newGunzip(bufio.NewReader(bytes.NewReader(h.Bytes)))
	if err != nil {
		return nil, fmt.Errorf("%s: gzip header: %w", path, err)
	}
	// An error here is due to the end of the part of the file that was read; the output before it is the head.
	packed := h.Size
	var cut error
	h.Bytes, cut = io.ReadAll(io.LimitReader(z, HeadBytes))
	h.Gzip, h.Ext = true, strings.ToLower(filepath.Ext(strings.TrimSuffix(strings.ToLower(path), ".gz")))
	if cut == nil && packed <= HeadBytes && len(h.Bytes) < HeadBytes {
		h.Size = int64(len(h.Bytes))
		return h, nil
	}
	var trailer [4]byte
	if _, err := f.ReadAt(trailer[:], packed-4); err == nil {
		h.Size = int64(binary.LittleEndian.Uint32(trailer[:]))
	}
	if h.Size < int64(len(h.Bytes)) {
		h.Size, err = gunzippedSize(f, packed)
	}
	return h, err
}

// OpenRegular opens a regular file. It does not open anything else: opening a FIFO blocks until a writer connects, and
// opening a device may have effects.
func OpenRegular(path string) (*os.File, fs.FileInfo, error) { return regular.Open(path) }

// ReadFile reads the whole file at path, decompressed if it is gzip or zstd. More than o.MaxBytes is an error. It takes
// the size of the result from o.Account, and while it decompresses that of the file.
func ReadFile(path string, o Options) ([]byte, error) { return readFile(path, o, nil) }

// readFile is ReadFile, but uses the memory of buf if it is large enough.
func readFile(path string, o Options, buf []byte) ([]byte, error) {
	f, info, err := OpenRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // opened for reading
	data, err := readAll(f, info.Size(), o, buf)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return data, nil
}

func readAll(f io.Reader, size int64, o Options, buf []byte) ([]byte, error) {
	l := unpack.Limits{Bytes: int64(o.WithDefaults().MaxBytes), Account: o.Account}
	if size > l.Bytes {
		return nil, fmt.Errorf("found %d bytes, limit %d", size, l.Bytes)
	}
	if err := o.Account.Take(size); err != nil {
		return nil, err
	}
	data := buf
	if int64(cap(buf)) < size {
		data = make([]byte, size)
	}
	data = data[:size]
	if _, err := io.ReadFull(stopped{f, o}, data); err != nil {
		return nil, err
	}
	switch {
	case unpack.IsZstd(data):
		defer o.Account.Give(size)
		out, err := unpack.Zstd(data, l)
		if err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
		return out, nil
	case bytes.HasPrefix(data, gzipMagic):
		defer o.Account.Give(size)
		out, garbage, err := decompress(data, l, o)
		if garbage {
			o.Note("ignored what follows the gzip data")
		}
		return out, err
	}
	return data, nil
}

// stopped is a reader that ends when reading is to end.
type stopped struct {
	io.Reader
	o Options
}

// atOnce is how many bytes are read at a time.
const atOnce = 16 << 20

func (s stopped) Read(p []byte) (int, error) {
	if err := s.o.Err(); err != nil {
		return 0, err
	}
	return s.Reader.Read(p[:min(len(p), atOnce)])
}

// Options holds the limits for one input and the options of the readers. The zero value means the defaults. A copy
// shares the readers' options with the original; [Options.Clone] does not.
type Options struct {
	// Memory is the size of Budget.
	Memory budget.Size `yaml:"memory" doc:"Memory for decoding, shared by all inputs. One input may use three quarters of it. Inputs wait until they fit."`
	// MaxBytes limits the uncompressed size of a file; 0 means 4 GiB.
	MaxBytes option.Bytes `yaml:"max_file" min:"1B" doc:"Maximum file size after decompression."`
	// MaxPoints limits the points of a cloud; 0 means 200 million.
	MaxPoints int `yaml:"max_points" min:"1" doc:"Maximum number of points in a point cloud."`
	// Fields names further columns of points to keep in PointCloud.Fields; see [Options.Keeps].
	Fields []string `yaml:"fields" flag:"fields" doc:"Point fields to keep besides coordinates, intensity and colours, by their names in the file, such as ring or classification. Voxelization methods and perception steps can use them."`
	// FormatFlag is the flag of the command that names a format, for advice in errors; empty means format.
	FormatFlag string
	// Given has the flags of the command line for options of formats, by key. A note says which have no effect.
	Given map[string]string
	// Faces asks for the faces of meshes, as PointCloud.Faces; without it, readers of meshes read the vertices only.
	Faces bool
	// MaxPixels limits the pixels of an image; 0 means 64 Mi.
	MaxPixels int
	// MaxCells limits the values of a grid; 0 means 256 Mi.
	MaxCells int
	// Budget bounds the memory for decoding all inputs that are opened with copies of these options; nil means no bound.
	// The functions of package formats open an account of it for each input.
	Budget *budget.Budget
	// Account is that of the input that is being read. Decoders draw on it before they allocate memory whose size comes
	// from the input, and return what they no longer use. Samples belong to the reader of the source. Nil has no limits.
	Account *budget.Account
	ctx     context.Context // see Within
	// Sandbox says which inputs are read in processes without rights, and SandboxStrict that nothing is read where those
	// keep some.
	Sandbox       Sandbox `yaml:"sandbox" flag:"sandbox" doc:"Files to decode in confined processes. auto: those that arrive by watch, push, Kafka or upload. HDF5 files are always confined."`
	SandboxStrict bool    `yaml:"sandbox_strict" doc:"Refuse to decode files if the system cannot confine a process completely; see doctor."`
	// Confined opens files in processes without rights; nil opens them in this process.
	Confined Confined
	// Notes collects the readers' remarks about one input; nil discards them.
	Notes *Notes
	// Noted receives the notes about each file that was read, when its source ends or is closed. Skipped receives the
	// files of a folder that were left out for the same reason, when the folder's source ends or is closed. Both may
	// be nil.
	Noted   func(file string, notes []Note)
	Skipped func(folder, reason string, files []string)
	// Readers holds pointers to the options of the formats, one struct per type; see [ReaderOptions].
	Readers []any `yaml:",inline"`
}

// WithDefaults returns o with zeros replaced by the defaults.
func (o Options) WithDefaults() Options {
	set(&o.Memory, budget.Share(60))
	set(&o.Sandbox, SandboxAuto)
	set(&o.MaxBytes, 4<<30)
	set(&o.MaxPoints, 200_000_000)
	set(&o.MaxPixels, 64<<20)
	set(&o.MaxCells, 256<<20)
	return o
}

// Keeps reports whether Fields names a column, in any case.
func (o Options) Keeps(name string) bool {
	return slices.ContainsFunc(o.Fields, func(f string) bool { return strings.EqualFold(f, name) })
}

// Within returns a copy with which reading ends when ctx ends.
func (o Options) Within(ctx context.Context) Options {
	o.ctx = ctx
	return o
}

// Err returns why reading is to end: the error of the context of [Options.Within]. Decoders ask every few milliseconds,
// and return it.
func (o Options) Err() error {
	if o.ctx == nil {
		return nil
	}
	return o.ctx.Err()
}

// Clone returns a copy that shares nothing with o.
func (o Options) Clone() Options {
	o.Readers = option.Clone(o.Readers)
	return o
}

// ReaderOptions returns the readers' options of type T in o, or defaults if there are none.
func ReaderOptions[T any](o Options, defaults T) T { return option.Of(o.Readers, defaults) }

func set[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// FileSource returns a stream of the samples of one file, which is decoded by the first Read. A file that cannot be
// decoded is one bad item. What decode takes from the account of its options is held until the last sample is read.
func FileSource(path string, o Options, decode func(Options) ([]Sample, error)) (Source, error) {
	stream, err := StreamName(path)
	if err != nil {
		return nil, err
	}
	o.Account = o.Account.Part()
	return &fileSource{stream: stream, o: o, decode: decode}, nil
}

type fileSource struct {
	stream  string
	o       Options
	decode  func(Options) ([]Sample, error)
	samples []Sample
	seq     uint64
}

func (s *fileSource) Read(ctx context.Context) (Sample, error) {
	if err := ctx.Err(); err != nil {
		return Sample{}, err
	}
	if s.decode != nil {
		samples, err := s.decode(s.o.Within(ctx))
		if ctx.Err() != nil {
			return Sample{}, ctx.Err()
		}
		s.decode = nil
		if err != nil {
			s.o.Account.Close()
			return Sample{}, &ItemError{ID: record.ID{Stream: s.stream}, Err: err}
		}
		s.samples = samples
	}
	if len(s.samples) == 0 {
		s.o.Account.Close()
		return Sample{}, io.EOF
	}
	out := s.samples[0]
	s.samples[0] = Sample{} // now owned by the caller
	if s.samples = s.samples[1:]; len(s.samples) == 0 {
		s.o.Account.Close()
	}
	out.Stream, out.Seq = s.stream, s.seq
	s.seq++
	return out, nil
}

func (s *fileSource) Close() error {
	s.decode, s.samples = nil, nil
	s.o.Account.Close()
	return nil
}

// Clouds is the content of a file of points: one or several clouds, and the field names in the file.
type Clouds struct {
	Fields []string
	Clouds []*PointCloud
	// Time is the time of the first cloud; zero if unknown.
	Time time.Time
}

// buffers reuses the memory of one file for the next, so that reading a folder of scans does not allocate for each
// of them.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// CloudDecoder decodes a whole file of points. It receives the uncompressed bytes of the file and must not retain them.
type CloudDecoder func(path string, data []byte, o Options) (*Clouds, error)

// Read reads a file of the format with the given name.
func (decode CloudDecoder) Read(path, format string, o Options) (*Clouds, error) {
	held := buffers.Get().(*[]byte)
	defer buffers.Put(held)
	data, err := readFile(path, o, *held)
	if err != nil {
		return nil, err
	}
	*held = data
	c, err := decode(path, data, o.WithDefaults())
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", path, format, err)
	}
	return c, nil
}

// CloudFormat adds Open and Inspect to f, using a decoder of its files.
func CloudFormat(f Format, decode CloudDecoder) Format {
	f.Open = func(_ context.Context, path string, o Options) (Source, error) {
		return FileSource(path, o, func(o Options) ([]Sample, error) {
			c, err := decode.Read(path, f.Name, o)
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
	f.Inspect = func(ctx context.Context, path string, o Options) (Detail, error) {
		c, err := decode.Read(path, f.Name, o.Within(ctx))
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		return PointsOf(c), nil
	}
	return f
}

// Sandbox says which inputs are read in processes without rights.
type Sandbox string

// The choices.
const (
	SandboxAuto Sandbox = "auto"
	SandboxAll  Sandbox = "all"
	SandboxOff  Sandbox = "off"
)

// Choices returns all.
func (Sandbox) Choices() []string {
	return []string{string(SandboxAuto), string(SandboxAll), string(SandboxOff)}
}

// Confined opens inputs in processes without rights; see package confined. An input of a format that is Contained is an
// [ErrContained].
type Confined interface {
	// Open opens an input as the functions of package formats do. It takes memory from o.Account and adds to o.Notes.
	Open(ctx context.Context, path string, o Options) (Source, error)
	// Detect recognizes the format of a file. The note is a remark about that.
	Detect(ctx context.Context, path string, o Options) (name string, sure Confidence, note string, err error)
	// Inspect describes an input.
	Inspect(ctx context.Context, path string, o Options) (Info, error)
}

// ErrContained means that an input is of a format that is Contained.
var ErrContained = errors.New("the reader has a process of its own")

// ErrFormat means that an input is not of any known format.
var ErrFormat = errors.New("not a known format")

// ErrNoInput means that a file is recognized, but not an input, such as a picture or the results of a run. In a folder, it is
// skipped. ErrModel means that it is a model, which is no input either. Their errors are ErrFormat too.
var (
	ErrNoInput = errors.New("not an input")
	ErrModel   = errors.New("a model")
)

// ErrNoPart means that an archive has not the part that was asked for.
var ErrNoPart = errors.New("no such part")
