package array

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/columns"
	"github.com/voxelstream/voxelstream/record"
)

// NPY is the format of a single array: grids, grids as flat rows, or points (a table of 3 to 7 float columns, or
// records with fields x, y and z).
var NPY = ingest.Format{
	Name:       "npy",
	Doc:        "versions 1 to 3; numbers of 1 to 8 bytes, float16, records; C or Fortran order",
	Extensions: []string{".npy"},
	Detect:     func(h *ingest.Head) ingest.Confidence { return magic(h, npyMagic) },
	Open:       open(openNPY),
	Inspect:    inspect(openNPY),
}

// NPZ is a zip archive of arrays. Arrays named like labels (y, y_train, train_labels, ...) hold the classes of the
// array with the corresponding data name (X, X_train, train_images). Each data array is a stream.
var NPZ = ingest.Format{
	Name:       "npz",
	Doc:        "as npy, with labels; MedMNIST3D",
	Extensions: []string{".npz"},
	Library:    "archive/zip",
	Tested:     "adrenalmnist3d.npz",
	Options:    newOptions,
	Detect: func(h *ingest.Head) ingest.Confidence {
		// The first entry's name is at byte 30, its length at byte 26.
		const local = "PK\x03\x04"
		if magic(h, local) == ingest.No || len(h.Bytes) < 30 {
			return ingest.No
		}
		n := int(h.Bytes[26]) | int(h.Bytes[27])<<8
		if name := h.Bytes[30:]; n <= len(name) && bytes.HasSuffix(name[:n], []byte(".npy")) {
			return ingest.Sure
		}
		return ingest.No
	},
	Open:    open(openNPZ),
	Inspect: inspect(openNPZ),
}

func magic(h *ingest.Head, m string) ingest.Confidence {
	if bytes.HasPrefix(h.Bytes, []byte(m)) {
		return ingest.Sure
	}
	return ingest.No
}

// maxArrays limits the entries of an archive, maxLabels the labels of one array.
const (
	maxArrays = 4096
	maxLabels = 1 << 26
)

// part is one array of a file, before its values are read.
type part struct {
	name   string // without .npy; empty for a single-array file
	header *header
	size   int64 // size of the file including the header
	open   func() (io.ReadCloser, error)
	labels []int32
}

type file struct {
	path  string
	parts []*part
	close func() error
}

func openNPY(path string, o ingest.Options) (*file, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	p := &part{size: info.Size(), open: func() (io.ReadCloser, error) { return os.Open(path) }}
	if h, err := ingest.ReadHead(path); err == nil && h.Gzip {
		data, err := ingest.ReadFile(path, o)
		if err != nil {
			return nil, err
		}
		p.size, p.open = int64(len(data)), func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
	}
	if err := p.readHeader(); err != nil {
		return nil, err
	}
	return &file{path: path, parts: []*part{p}, close: func() error { return nil }}, nil
}

func openNPZ(path string, o ingest.Options) (*file, error) {
	z, err := zip.OpenReader(path)
	if err != nil {
		return nil, err
	}
	f := &file{path: path, close: z.Close}
	err = f.list(z.File, o)
	if err != nil {
		return nil, errors.Join(err, z.Close())
	}
	return f, nil
}

// list reads the headers of all arrays and attaches labels to their data arrays.
func (f *file) list(entries []*zip.File, o ingest.Options) error {
	if len(entries) > maxArrays {
		return fmt.Errorf("found %d entries, limit %d", len(entries), maxArrays)
	}
	labels := map[string]*part{}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name, ".npy")
		if !ok {
			continue
		}
		if e.UncompressedSize64 > uint64(o.MaxBytes) {
			return fmt.Errorf("%s: found an unpacked size of %d bytes, limit %d", e.Name, e.UncompressedSize64, o.MaxBytes)
		}
		p := &part{name: name, size: int64(e.UncompressedSize64), open: e.Open}
		if err := p.readHeader(); err != nil {
			return fmt.Errorf("%s: %w", e.Name, err)
		}
		if _, ok := dataName(name); ok {
			labels[name] = p
			continue
		}
		f.parts = append(f.parts, p)
	}
	if len(f.parts) == 0 { // only labels: they are the data
		for _, p := range labels {
			f.parts = append(f.parts, p)
		}
		labels = nil
	}
	if err := f.only(ingest.ReaderOptions(o, Options{}).Part); err != nil {
		return err
	}
	for _, p := range f.parts {
		for name, l := range labels {
			if want, _ := dataName(name); strings.EqualFold(want, p.name) || strings.EqualFold(want, labelStem(p.name)) {
				got, err := l.readLabels()
				if err != nil {
					return fmt.Errorf("%s.npy: %w", name, err)
				}
				if len(p.header.shape) > 0 && len(got) != p.header.shape[0] {
					return fmt.Errorf("%s.npy: found %d labels, want %d, one per row of %s", name, len(got), p.header.shape[0], p.name)
				}
				p.labels = got
			}
		}
	}
	return nil
}

// only keeps the arrays that belong to a part: train_images and X_train belong to part train, X_valid to val.
func (f *file) only(want string) error {
	if want == "" {
		return nil
	}
	var names []string
	f.parts = slices.DeleteFunc(f.parts, func(p *part) bool {
		names = append(names, p.name)
		return !slices.ContainsFunc(strings.Split(strings.ToLower(p.name), "_"), func(word string) bool {
			return strings.HasPrefix(word, strings.ToLower(want))
		})
	})
	if len(f.parts) == 0 {
		return fmt.Errorf("part %q: found the arrays %q, want one with a word in its name that starts "+
			"with the part", want, names)
	}
	return nil
}

// dataName reports whether name is a name of labels, and returns the name of the data array that they belong to:
// x_train for y_train, or the stem ("train" for train_labels).
func dataName(name string) (data string, ok bool) {
	lower := strings.ToLower(name)
	switch {
	case lower == "y":
		return "x", true
	case strings.HasPrefix(lower, "y_"):
		return "x" + lower[1:], true
	case lower == "labels" || lower == "label":
		return "", true
	case strings.HasSuffix(lower, "_labels"):
		return strings.TrimSuffix(lower, "_labels"), true
	case strings.HasSuffix(lower, "_label"):
		return strings.TrimSuffix(lower, "_label"), true
	}
	return "", false
}

// labelStem returns a data array's name without the word for data.
func labelStem(name string) string {
	lower := strings.ToLower(name)
	for _, word := range []string{"images", "image", "grids", "grid", "volumes", "volume", "data", "x"} {
		if rest, ok := strings.CutSuffix(lower, word); ok {
			return strings.TrimSuffix(rest, "_")
		}
	}
	return lower
}

func (p *part) readHeader() error {
	r, err := p.open()
	if err != nil {
		return err
	}
	defer r.Close() //nolint:errcheck // opened for reading
	if p.header, err = readHeader(r); err != nil {
		return err
	}
	n, err := p.header.count()
	if err != nil {
		return err
	}
	have := p.size - int64(p.header.length)
	if want := int64(n) * int64(p.header.record); want > have {
		return fmt.Errorf("truncated: found %d bytes of values, want %d for shape %v", have, want, p.header.shape)
	}
	return nil
}

// body opens the array's values for reading.
func (p *part) body() (io.ReadCloser, error) {
	r, err := p.open()
	if err != nil {
		return nil, err
	}
	if _, err := readHeader(r); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// all reads all bytes of the values. Their size has been checked against the file's.
func (p *part) all(limit int64) ([]byte, error) {
	n, err := p.header.count()
	if err != nil {
		return nil, err
	}
	want := int64(n) * int64(p.header.record)
	if want > limit {
		return nil, fmt.Errorf("found %d bytes of values, limit %d", want, limit)
	}
	r, err := p.body()
	if err != nil {
		return nil, err
	}
	defer r.Close() //nolint:errcheck // opened for reading
	var buf bytes.Buffer
	got, err := io.Copy(&buf, io.LimitReader(r, want))
	if err == nil && got < want {
		err = fmt.Errorf("truncated: found %d bytes of values, want %d", got, want)
	}
	return buf.Bytes(), err
}

// readLabels reads class numbers of shape (N) or (N, 1), or one-hot (N, K).
func (p *part) readLabels() ([]int32, error) {
	h := p.header
	if !h.plain() || len(h.shape) < 1 || len(h.shape) > 2 || h.shape[0] > maxLabels {
		return nil, fmt.Errorf("labels: found %s %v, want numbers (N), (N, 1) or one-hot (N, K), N at most %d",
			h.typeName(), h.shape, maxLabels)
	}
	n, k := h.shape[0], 1
	if len(h.shape) == 2 {
		k = h.shape[1]
	}
	data, err := p.all(8 * maxLabels)
	if err != nil {
		return nil, err
	}
	at := func(i, j int) float64 {
		index := i*k + j
		if h.fortran {
			index = j*n + i
		}
		return h.fields[0].value(data[index*h.record:])
	}
	out := make([]int32, n)
	for i := range out {
		v := 0.0
		if k == 1 {
			v = at(i, 0)
		} else {
			best := math.Inf(-1)
			for j := range k {
				if x := at(i, j); x > best {
					best, v = x, float64(j)
				}
			}
		}
		if v != math.Trunc(v) || v < -1 || v > math.MaxInt32 {
			return nil, fmt.Errorf("labels: row %d: found %g, want an integer of at least -1", i, v)
		}
		out[i] = int32(v)
	}
	return out, nil
}

func open(list func(string, ingest.Options) (*file, error)) func(context.Context, string,
	ingest.Options) (ingest.Source, error) {
	return func(_ context.Context, path string, o ingest.Options) (ingest.Source, error) {
		o = o.WithDefaults()
		f, err := list(path, o)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		stream, err := ingest.StreamName(path)
		if err != nil {
			return nil, errors.Join(err, f.close())
		}
		return &source{file: f, stream: stream, o: o}, nil
	}
}

// source streams the rows of one array after another. A damaged array is one bad item of its stream.
type source struct {
	file   *file
	stream string
	o      ingest.Options

	part   int // index of the array being read
	view   view
	row    int
	body   io.ReadCloser // nil before the first row
	values *values
	whole  []float32 // all values if they are not stored row by row
}

func (s *source) name() string {
	if p := s.file.parts[s.part]; p.name != "" {
		return s.stream + ":" + p.name
	}
	return s.stream
}

func (s *source) Read(ctx context.Context) (ingest.Sample, error) {
	for {
		if err := ctx.Err(); err != nil {
			return ingest.Sample{}, err
		}
		if s.part == len(s.file.parts) {
			return ingest.Sample{}, io.EOF
		}
		if s.body != nil && s.row == s.view.rows {
			s.next()
			continue
		}
		out := ingest.Sample{ID: record.ID{Stream: s.name(), Seq: uint64(s.row)}, Label: ingest.NoLabel}
		if err := s.read(&out); err != nil {
			err = &ingest.ItemError{
				ID:  record.ID{Stream: out.Stream, Seq: out.Seq},
				Err: fmt.Errorf("%s: array %q row %d: %w", s.file.path, s.file.parts[s.part].name, s.row, err),
			}
			s.next()
			return ingest.Sample{}, err
		}
		if out.Data == nil { // an array without rows
			continue
		}
		s.row++
		return out, nil
	}
}

// next advances to the next array.
func (s *source) next() {
	if s.body != nil {
		s.body.Close() //nolint:errcheck // opened for reading
	}
	s.body, s.values, s.whole, s.row = nil, nil, nil, 0
	s.part++
}

// read reads the next row of the current array.
func (s *source) read(out *ingest.Sample) (err error) {
	p := s.file.parts[s.part]
	if s.body == nil {
		if err := s.begin(p); err != nil {
			return err
		}
	}
	if s.row >= s.view.rows {
		return nil
	}
	if s.view.points > 0 {
		out.Data, err = p.cloud(s.o)
		return err
	}
	if s.whole != nil {
		n := s.view.cells()
		out.Data = &ingest.Grid{
			Dims: s.view.dims, Channels: s.view.channels,
			Values: s.whole[s.row*n : (s.row+1)*n : (s.row+1)*n],
		}
	} else if out.Data, err = s.view.grid(s.values); err != nil {
		return err
	}
	if p.labels != nil {
		out.Label = p.labels[s.row]
	}
	return nil
}

func (s *source) begin(p *part) (err error) {
	if s.view, err = p.view(s.o); err != nil {
		return err
	}
	if s.view.points == 0 && p.header.fortran {
		if s.whole, err = p.rowMajor(s.o); err != nil {
			return err
		}
	}
	if s.body, err = p.body(); err != nil {
		return err
	}
	if p.header.plain() {
		s.values = newValues(s.body, p.header.fields[0])
	}
	return nil
}

func (s *source) Close() error {
	if s.part < len(s.file.parts) {
		s.next()
		s.part = len(s.file.parts)
	}
	return s.file.close()
}

func (p *part) view(o ingest.Options) (view, error) {
	if !p.header.plain() {
		if len(p.header.shape) != 1 {
			return view{}, fmt.Errorf("records: found shape %v, want one axis", p.header.shape)
		}
		return view{rows: 1, points: len(p.header.fields)}, nil
	}
	return viewOf(p.header, len(p.labels), o)
}

// rowMajor loads an array in Fortran order (first index fastest) and converts it to C order.
func (p *part) rowMajor(o ingest.Options) ([]float32, error) {
	data, err := p.all(4 * int64(o.MaxCells))
	if err != nil {
		return nil, err
	}
	n := len(data) / max(p.header.record, 1)
	out := make([]float32, n)
	index := make([]int, len(p.header.shape))
	for i := range out { // i is an index in C order
		at, step := 0, 1
		for k, d := range p.header.shape {
			at += index[k] * step
			step *= d
		}
		out[i] = float32(p.header.fields[0].value(data[at*p.header.record:]))
		for k := len(index) - 1; k >= 0; k-- {
			if index[k]++; index[k] < p.header.shape[k] {
				break
			}
			index[k] = 0
		}
	}
	return out, nil
}

// pointNames are the columns of a plain table of points, by their number.
var pointNames = map[int][]string{
	3: {"x", "y", "z"}, 4: {"x", "y", "z", "intensity"}, 5: {"x", "y", "z", "intensity", "ring"},
	6: {"x", "y", "z", "red", "green", "blue"}, 7: {"x", "y", "z", "intensity", "red", "green", "blue"},
}

func (p *part) pointFields() []string {
	if p.header.plain() {
		return pointNames[p.header.shape[1]]
	}
	names := make([]string, len(p.header.fields))
	for i, f := range p.header.fields {
		names[i] = f.name
	}
	return names
}

// cloud reads a whole array of points.
func (p *part) cloud(o ingest.Options) (*ingest.PointCloud, error) {
	h := p.header
	if h.shape[0] > o.MaxPoints {
		return nil, fmt.Errorf("found %d points, limit %d", h.shape[0], o.MaxPoints)
	}
	data, err := p.all(int64(o.MaxBytes))
	if err != nil {
		return nil, err
	}
	n := h.shape[0]
	names := p.pointFields()
	cols := make([]columns.Column, len(names))
	for i, name := range names {
		c := columns.Column{Name: name, Stride: h.record}
		f, offset := h.fields[0], i*h.fields[0].size()
		switch {
		case !h.plain():
			f, offset = h.fields[i], h.fields[i].offset
		case h.fortran:
			offset = i * n * h.record
		default:
			c.Stride = len(names) * h.record
		}
		c.Type, c.Big = f.t, f.big
		if n > 0 {
			c.Data = data[offset:]
		}
		if f.half {
			c.Values = make([]float64, n)
			for k := range c.Values {
				c.Values[k] = f.value(c.Data[k*c.Stride:])
			}
			c.Type = columns.Float32
		}
		cols[i] = c
	}
	return columns.Cloud(n, cols, o)
}

func inspect(list func(string, ingest.Options) (*file, error)) func(context.Context, string,
	ingest.Options) (ingest.Detail, error) {
	return func(ctx context.Context, path string, o ingest.Options) (ingest.Detail, error) {
		o = o.WithDefaults()
		f, err := list(path, o)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		defer f.close() //nolint:errcheck // opened for reading
		d, err := f.detail(ctx, o)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return d, nil
	}
}

// detail describes a file's clouds if it has any, otherwise its grids: the rows of all arrays with the shape of the
// first.
func (f *file) detail(ctx context.Context, o ingest.Options) (ingest.Detail, error) {
	g := &ingest.Grids{Labels: map[string]int{}, Shape: []int{}}
	var clouds ingest.Clouds
	var firstErr error
	for _, p := range f.parts {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		g.Arrays = append(g.Arrays, ingest.Array{
			Name: p.name, Type: p.header.typeName(),
			Shape: append([]int{}, p.header.shape...),
		})
		v, err := p.view(o)
		if err == nil && v.points > 0 {
			var c *ingest.PointCloud
			if c, err = p.cloud(o); err == nil {
				clouds.Clouds = append(clouds.Clouds, c)
				if clouds.Fields == nil {
					clouds.Fields = p.pointFields()
				}
			}
		}
		if err != nil {
			if firstErr == nil {
				firstErr = err
			}
			continue
		}
		if v.points > 0 {
			continue
		}
		if g.Rows == 0 {
			g.Shape = append([]int{}, v.shape()...)
		}
		g.Rows += v.rows
		for _, l := range p.labels {
			g.Labels[strconv.Itoa(int(l))]++
		}
	}
	switch {
	case len(clouds.Clouds) > 0:
		return ingest.PointsOf(&clouds), nil
	case g.Rows == 0 && firstErr != nil:
		return nil, firstErr
	}
	if len(f.parts) == 1 && f.parts[0].name == "" {
		g.Arrays = nil
	}
	return g, nil
}
