package array

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"unsafe"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/arrays"
	"github.com/voxelstream/voxelstream/ingest/internal/columns"
	"github.com/voxelstream/voxelstream/internal/unpack"
	"github.com/voxelstream/voxelstream/internal/vector"
	"github.com/voxelstream/voxelstream/record"
)

// NPY is the format of a single array: grids, grids as flat rows, points (a table of 3 to 7 columns, or records with
// fields x, y and z), or clouds of one size. Package arrays says how shapes are read.
var NPY = ingest.Format{
	Name: "npy",
	Doc:  "versions 1 to 3; numbers of 1 to 8 bytes, float16, bool, records; C or Fortran order; any byte order",
	Assumes: "(D, H, W) is one grid, (N, D, H, W[, C]) are N, with up to 4 channels last or, with `--channels-first`, " +
		"first; (N, 3..7) is a cloud, (B, N, 3..7) are clouds; (N, K) are flat grids only with `--grid`, labels, or a name " +
		"such as X_train",
	Refuses:    "text, Python objects, complex numbers, dates; shapes that may be images or flat grids",
	Extensions: []string{".npy"},
	Options:    arrays.NewOptions,
	Detect:     func(h *ingest.Head) ingest.Confidence { return magic(h, npyMagic) },
	Open:       open(openNPY),
	Inspect:    inspect(openNPY),
}

// NPZ is a zip archive of arrays. Arrays named like labels (y, y_train, train_labels, ...) hold the classes of the
// array with the corresponding data name (X, X_train, train_images). Each data array is a stream.
var NPZ = ingest.Format{
	Name: "npz",
	Doc:  "as npy, with labels as integers, one-hot rows or names; checksums; MedMNIST3D",
	Assumes: "data and labels by their names (`--data`, `--labels`); other arrays are left out; labels that are names are " +
		"numbered in alphabetical order, or in that of class_names",
	Refuses:    "several arrays that could equally be the data, without `--data`",
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

// maxArrays limits the entries of an archive.
const maxArrays = 4096

// part is one array of a file, before its values are read.
type part struct {
	name        string // without .npy; empty for a single-array file
	header      *header
	size        int64 // size of the file including the header
	open        func() (io.ReadCloser, error)
	why         string // the reason why it is not data; empty if it may be
	labels      *arrays.Labels
	view        arrays.View
	arrays.Span // rows to be read
}

// file is an open file. Its parts are those that are read; all are those of an archive.
type file struct {
	path  string
	parts []*part
	all   []*part
	close func() error
	o     ingest.Options
	// named reports labels that are names.
	named bool
}

func openNPY(path string, o ingest.Options) (*file, error) {
	h, err := ingest.ReadHead(path)
	if err != nil {
		return nil, err
	}
	p := &part{size: h.Size, open: func() (io.ReadCloser, error) {
		f, _, err := ingest.OpenRegular(path)
		if err != nil {
			return nil, err
		}
		return f, nil
	}}
	if h.Gzip {
		data, err := ingest.ReadFile(path, o)
		if err != nil {
			return nil, err
		}
		p.size, p.open = int64(len(data)), func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
	}
	if err := p.readHeader(); err != nil {
		return nil, err
	}
	return &file{path: path, parts: []*part{p}, close: func() error { return nil }, o: o}, nil
}

// stem is the name of a file without its extensions.
func stem(path string) string {
	name, _, _ := strings.Cut(filepath.Base(path), ".")
	return name
}

func openNPZ(path string, o ingest.Options) (*file, error) {
	archive, info, err := ingest.OpenRegular(path)
	if err != nil {
		return nil, err
	}
	f := &file{path: path, close: archive.Close, o: o}
	z, err := unpack.OpenZip(archive, info.Size(), maxArrays)
	if err == nil {
		err = f.list(z.File, o)
	}
	if err != nil {
		return nil, errors.Join(err, archive.Close())
	}
	return f, nil
}

// list reads the headers of all arrays.
func (f *file) list(entries []*zip.File, o ingest.Options) error {
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name, ".npy")
		if !ok {
			continue
		}
		if e.UncompressedSize64 > uint64(o.MaxBytes) {
			return fmt.Errorf("%s: found an unpacked size of %d bytes, limit %d", e.Name, e.UncompressedSize64,
				o.MaxBytes)
		}
		p := &part{name: name, size: int64(e.UncompressedSize64), open: e.Open}
		switch err := p.readHeader(); {
		case errors.Is(err, errNotNumbers):
			p.why, _, _ = strings.Cut(strings.TrimPrefix(err.Error(), "npy header: found "), ", want")
		case err != nil:
			return fmt.Errorf("%s: %w", e.Name, err)
		}
		f.all = append(f.all, p)
	}
	if len(f.all) == 0 {
		return fmt.Errorf("found %d entries, none of which is an array (.npy)", len(entries))
	}
	return nil
}

// choose selects the arrays of an archive that are data, reads their labels, and interprets their shapes.
func (f *file) choose(o ingest.Options) error {
	if f.all == nil { // a single array
		p := f.parts[0]
		return p.interpret(stem(f.path), nil, o)
	}
	settings := arrays.Of(o)
	names := make([]string, len(f.all))
	for i, p := range f.all {
		names[i] = p.name
	}
	choice, err := arrays.Choose(names, func(i int) bool { return f.all[i].usable() },
		func(i int) string { return f.all[i].describe() },
		settings)
	if err != nil {
		return err
	}
	if err := only(&choice, names, ingest.ReaderOptions(o, Options{}).Part); err != nil {
		return err
	}
	if len(choice.Pairs) == 0 {
		list := make([]string, len(f.all))
		for i, p := range f.all {
			list[i] = p.name + " " + p.describe()
		}
		return fmt.Errorf("found no array of grids or points among %s; name one with --data", arrays.List(list))
	}
	if text := choice.Note(names, func(i int) string { return f.all[i].why }); text != "" {
		o.Note("%s", text)
	}
	for _, c := range choice.Pairs {
		p := f.all[c.Data]
		if p.why != "" {
			return fmt.Errorf("%s.npy: %s", p.name, p.why)
		}
		var labels *part
		if c.Labels >= 0 {
			labels = f.all[c.Labels]
		}
		if err := f.label(p, labels, settings, o); err != nil {
			return err
		}
		f.parts = append(f.parts, p)
	}
	return nil
}

// label reads the labels of p, and interprets its shape.
func (f *file) label(p, labels *part, settings arrays.Options, o ingest.Options) error {
	var found *arrays.Labels
	if labels != nil {
		rows := 1
		if len(p.header.shape) > 0 {
			rows = p.header.shape[0]
		}
		var err error
		found, err = f.readLabels(labels, rows)
		switch explicit := settings.Labels != ""; {
		case err != nil && !explicit && (labels.why != "" || errors.Is(err, arrays.ErrShape) &&
			!errors.Is(err, arrays.ErrCount)):
			o.Note("the labels %s are not read: %v", labels.name, err)
		case err != nil:
			return fmt.Errorf("%s.npy: %w", labels.name, err)
		}
	}
	if err := p.interpret(p.name, found, o); err != nil {
		return fmt.Errorf("array %q: %w", p.name, err)
	}
	var err error
	if p.labels, err = found.For(p.view); err != nil {
		return fmt.Errorf("%s.npy: %w of %s", labels.name, err, p.name)
	}
	if p.labels != nil && found.Assumed != "" {
		o.Note("%s", found.Assumed)
	}
	return nil
}

// interpret finds out what the rows of an array are. The name of a single array is that of its file.
func (p *part) interpret(name string, labels *arrays.Labels, o ingest.Options) (err error) {
	if p.view, err = p.viewAs(name, labels.Len(), o); err != nil {
		return err
	}
	p.End = p.view.Rows
	if p.view.Assumed != "" {
		o.Note("%s", strings.TrimPrefix(p.name+": "+p.view.Assumed, ": "))
	}
	return nil
}

func (p *part) viewAs(name string, labels int, o ingest.Options) (arrays.View, error) {
	h := p.header
	switch {
	case h.numbers():
		return arrays.ViewOf(arrays.Array{
			Name: name, Shape: h.shape, Type: h.typeName(), Float: h.typeName()[0] == 'f', Labels: labels,
			Named: p.name != "" && arrays.Of(o).Data != "",
		}, o)
	case h.plain():
		return arrays.View{}, fmt.Errorf("found text of shape %s, %w", arrays.Tuple(h.shape), errNotNumbers)
	}
	v := arrays.View{Rows: 1, Columns: len(h.fields)}
	switch len(h.shape) {
	case 1:
		v.Points = h.shape[0]
	case 2:
		v.Rows, v.Points = h.shape[0], h.shape[1]
	default:
		return v, fmt.Errorf("records: found shape %s, want (N,) or (B, N)", arrays.Tuple(h.shape))
	}
	if v.Points > o.MaxPoints {
		return v, fmt.Errorf("found %d points, limit %d", v.Points, o.MaxPoints)
	}
	return v, nil
}

// usable reports whether the array may hold data. One that is no array of numbers may: the error then says why.
func (p *part) usable() bool {
	switch {
	case p.why != "":
		return false
	case p.header.numbers():
		return len(p.header.shape) >= 2
	case p.header.plain():
		return false
	}
	return len(p.header.shape) > 0 && len(p.header.shape) <= 2 && columns.Missing(p.header.names()) == nil
}

func (p *part) describe() string {
	if p.why != "" {
		return "(" + p.why + ")"
	}
	return p.header.typeName() + " " + arrays.Tuple(p.header.shape)
}

// only keeps the arrays that belong to a part: train_images and X_train belong to part train, X_valid to val.
func only(c *arrays.Choice, names []string, want string) error {
	if want == "" {
		return nil
	}
	var found []string
	c.Pairs = slices.DeleteFunc(c.Pairs, func(p arrays.Pair) bool {
		found = append(found, names[p.Data])
		return !arrays.InPart(names[p.Data], want)
	})
	if len(c.Pairs) == 0 {
		return fmt.Errorf("part %q: found the arrays %q, want one with a word in its name that starts "+
			"with the part: %w", want, found, ingest.ErrNoPart)
	}
	return nil
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

// readAll reads all bytes of the values. Their size has been checked against the file's.
func (p *part) readAll(limit int64, o ingest.Options) ([]byte, error) {
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
	data, err := ingest.Make[byte](o, int(want))
	if err != nil {
		return nil, err
	}
	got, err := unpack.Read(r, data)
	switch {
	case err == nil && int64(got) < want:
		err = fmt.Errorf("truncated: found %d bytes of values, want %d", got, want)
	case err == nil && p.name != "":
		err = intact(r)
	}
	return data[:got], damage(err)
}

// intact reads what is behind the values of an array, at the end of which an archive compares its checksum.
func intact(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

// damage explains an error of an array.
func damage(err error) error {
	if errors.Is(err, zip.ErrChecksum) {
		return errors.New("the values of the array do not match its checksum, so any of its rows may be wrong")
	}
	return err
}

// readLabels reads the labels of some rows, or one label of an array that may be a single row.
func (f *file) readLabels(p *part, rows int) (*arrays.Labels, error) {
	if p.why != "" {
		return nil, errors.New(p.why)
	}
	h := p.header
	if !h.plain() {
		return nil, fmt.Errorf("found %s %s, want class numbers or names", h.typeName(), arrays.Tuple(h.shape))
	}
	width, err := arrays.LabelShape(h.shape, rows)
	if err != nil {
		if one, oneErr := arrays.LabelShape(h.shape, 1); oneErr == nil && one == 1 {
			rows, width, err = 1, 1, nil
		}
	}
	if err != nil {
		return nil, err
	}
	if !h.numbers() {
		texts, err := p.texts(f.o)
		if err != nil {
			return nil, err
		}
		names, err := f.classNames()
		if err != nil {
			return nil, err
		}
		if len(texts) != rows {
			return nil, fmt.Errorf("found %d names, want one for each of the %d rows", len(texts), rows)
		}
		f.named = true
		return arrays.Texts(texts, names)
	}
	if err := f.o.Take(rows, arrays.LabelBytes); err != nil {
		return nil, err
	}
	data, err := p.readAll(8*arrays.MaxLabels, f.o)
	if err != nil {
		return nil, err
	}
	return arrays.Numbers(rows, width, func(first, n int, dst []float64) error {
		for i := range dst {
			row, k := first+i/width, i%width
			index := row*width + k
			if h.fortran {
				index = k*rows + row
			}
			dst[i] = h.fields[0].value(data[index*h.record:])
		}
		return nil
	})
}

// texts reads all texts of an array.
func (p *part) texts(o ingest.Options) ([]string, error) {
	data, err := p.readAll(8*arrays.MaxLabels, o)
	if err != nil {
		return nil, err
	}
	f := p.header.fields[0]
	n, err := p.header.count()
	if err != nil || n > arrays.MaxLabels {
		return nil, errors.Join(err, fmt.Errorf("found %d texts, limit %d", n, arrays.MaxLabels))
	}
	// A text is a copy, of up to 4 bytes per character.
	if err := errors.Join(o.Take(n, int(unsafe.Sizeof(""))), o.Take(len(data), 1)); err != nil {
		return nil, err
	}
	out := make([]string, n)
	for i := range out {
		out[i] = f.string(data[i*f.bytes : (i+1)*f.bytes])
	}
	return out, nil
}

// classNames returns the names of classes in the texts of all labels of the archive.
func (f *file) classNames() ([]string, error) {
	var order []string
	var all [][]string
	for _, p := range f.all {
		role, _ := arrays.RoleOf(p.name)
		if p.why != "" || !p.header.plain() || p.header.numbers() || role != arrays.Label && role != arrays.Meta {
			continue
		}
		texts, err := p.texts(f.o)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s.npy: %w", p.name, err)
		case role == arrays.Label:
			all = append(all, texts)
		default:
			order = texts
		}
	}
	return arrays.ClassNames(order, all...), nil
}

// Classes implements [ingest.Classed].
func (s *source) Classes(context.Context) []string {
	f := s.file
	if f.named {
		names, _ := f.classNames() // they were read before
		return names
	}
	for _, p := range f.all {
		if p.why == "" && p.header.plain() && !p.header.numbers() && arrays.IsClassList(p.name) {
			names, _ := p.texts(f.o) // what cannot be read names nothing
			return arrays.Distinct(names)
		}
	}
	return nil
}

func open(list func(string, ingest.Options) (*file, error)) func(context.Context, string,
	ingest.Options) (ingest.Source, error) {
	return func(_ context.Context, path string, o ingest.Options) (ingest.Source, error) {
		o = o.WithDefaults()
		f, err := opened(list, path, o)
		if err != nil {
			return nil, err
		}
		stream, err := ingest.StreamName(path)
		if err != nil {
			return nil, errors.Join(err, f.close())
		}
		s := &source{file: f, stream: stream, o: o, row: o}
		s.o.Account, s.row.Account = o.Account.Part(), o.Account.Part()
		return s, nil
	}
}

// opened opens a file and chooses its arrays.
func opened(list func(string, ingest.Options) (*file, error), path string, o ingest.Options) (*file, error) {
	f, err := list(path, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := f.choose(o); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.close())
	}
	return f, nil
}

// source streams the rows of one array after another. A damaged array is one bad item of its stream.
type source struct {
	file   *file
	stream string
	// The accounts are those of the array that is being read, and of the row.
	o, row ingest.Options

	part   int           // index of the array being read
	body   io.ReadCloser // nil before the first row
	values *values
	whole  []float32 // all values of grids that are not stored row by row
	table  []float64 // all values of clouds that are not stored row by row
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
		p := s.file.parts[s.part]
		if p.Len() == 0 {
			s.next()
			continue
		}
		row := p.Next
		s.row.Account.Close()
		out := ingest.Sample{ID: record.ID{Stream: s.name(), Seq: uint64(row)}, Label: ingest.NoLabel}
		err := s.read(&out, p)
		var label *labelError
		if err != nil {
			err = &ingest.ItemError{
				ID:  record.ID{Stream: out.Stream, Seq: out.Seq},
				Err: fmt.Errorf("%s: array %q row %d: %w", s.file.path, p.name, row, err),
			}
		}
		switch {
		case err == nil:
			p.Next++
			return out, nil
		case errors.As(err, &label):
			p.Next++
		default:
			s.next() // what follows cannot be found
		}
		return ingest.Sample{}, err
	}
}

// Len returns the number of rows not yet read.
func (s *source) Len() int {
	n := 0
	for _, p := range s.file.parts[s.part:] {
		n += p.Len()
	}
	return n
}

// Slice implements [ingest.Slicer].
func (s *source) Slice(first, count int) {
	spans := make([]*arrays.Span, len(s.file.parts))
	for i, p := range s.file.parts {
		spans[i] = &p.Span
	}
	arrays.Confine(spans, first, count)
}

// labelError is an error of a label, which does not concern the rows after it.
type labelError struct{ error }

// next advances to the next array.
func (s *source) next() {
	if s.body != nil {
		s.body.Close() //nolint:errcheck // opened for reading
	}
	s.body, s.values, s.whole, s.table = nil, nil, nil, nil
	s.o.Account.Close()
	s.part++
}

// read reads the next row of p, the current array.
func (s *source) read(out *ingest.Sample, p *part) (err error) {
	if s.body == nil {
		if err := s.begin(p); err != nil {
			return err
		}
	}
	if p.view.Columns > 0 {
		out.Data, err = s.cloud(p)
	} else {
		out.Data, err = s.grid(p)
	}
	if err == nil && s.values != nil && p.name != "" && p.Next == p.view.Rows-1 {
		err = intact(s.values.r)
	}
	err = damage(err)
	if err == nil && p.labels != nil {
		if out.Label, err = p.labels.At(p.Next); err != nil {
			err = &labelError{err}
		}
	}
	return err
}

func (s *source) grid(p *part) (ingest.Data, error) {
	n := p.view.Cells()
	var values []float32
	if s.whole != nil {
		values = s.whole[p.Next*n : (p.Next+1)*n : (p.Next+1)*n]
	} else {
		var err error
		if values, err = ingest.Make[float32](s.row, n); err != nil {
			return nil, err
		}
		if err := s.values.fill(values); err != nil {
			return nil, err
		}
	}
	if !vector.Finite(values) {
		s.o.Note("%s", strings.TrimPrefix(p.name+": rows with values that are NaN or infinite", ": "))
	}
	return p.view.Grid(values), nil
}

func (s *source) begin(p *part) (err error) {
	if s.body, err = p.body(); err != nil {
		return err
	}
	h := p.header
	switch {
	case h.plain() && h.fortran && p.view.Columns == 0:
		s.whole, err = reversed(p, int64(s.o.MaxCells), s.o, func(v float64) float32 { return float32(v) })
		return err
	case h.plain() && h.fortran && len(h.shape) > 2:
		s.table, err = reversed(p, int64(s.o.MaxPoints)*arrays.MaxColumns, s.o, func(v float64) float64 { return v })
		return err
	}
	n, err := h.count()
	if err != nil {
		return err
	}
	if err := skip(s.body, int64(n/p.view.Rows)*int64(h.record)*int64(p.Next)); err != nil {
		return err
	}
	var f field
	if h.plain() {
		f = h.fields[0]
	}
	s.values = newValues(s.body, f)
	return nil
}

// skip leaves out n bytes of r.
func skip(r io.Reader, n int64) error {
	if s, ok := r.(io.Seeker); ok {
		_, err := s.Seek(n, io.SeekCurrent)
		return err
	}
	_, err := io.CopyN(io.Discard, r, n)
	return noEOF(err)
}

func (s *source) Close() error {
	if s.part < len(s.file.parts) {
		s.next()
		s.part = len(s.file.parts)
	}
	return s.file.close()
}

// reversed loads an array in Fortran order (first index fastest) of at most limit values and converts it to C order.
func reversed[T float32 | float64](p *part, limit int64, o ingest.Options, convert func(float64) T) ([]T, error) {
	data, err := p.readAll(limit*int64(max(p.header.record, 1)), o)
	if err != nil {
		return nil, err
	}
	stored, err := ingest.Make[T](o, len(data)/max(p.header.record, 1))
	if err != nil {
		return nil, err
	}
	for i := range stored {
		stored[i] = convert(p.header.fields[0].value(data[i*p.header.record:]))
	}
	out, err := ingest.Make[T](o, len(stored))
	if err != nil {
		return nil, err
	}
	arrays.Reverse(out, stored, p.header.shape)
	return out, nil
}

// names are those of the fields of records that hold one number; others have an empty one. A field of three numbers
// that is named like coordinates stands for x, y and z.
func (h *header) names() []string {
	var out []string
	for _, c := range h.columns() {
		out = append(out, c.name)
	}
	return out
}

// vectors are the names of fields that hold x, y and z.
var vectors = []string{"xyz", "pos", "position", "positions", "points", "point", "coords", "coordinates", "location"}

// columns are the fields of records, with those of coordinates taken apart.
func (h *header) columns() []field {
	var out []field
	for _, f := range h.fields {
		switch {
		case f.text == 0 && f.count == 1:
			out = append(out, f)
		case f.text == 0 && f.count == 3 && slices.Contains(vectors, strings.ToLower(f.name)):
			for axis := range 3 {
				one := f
				one.name, one.count, one.offset = string(rune('x'+axis)), 1, f.offset+axis*f.t.Size()
				out = append(out, one)
			}
		}
	}
	return out
}

// cloud reads the next cloud.
func (s *source) cloud(p *part) (ingest.Data, error) {
	h, n, k := p.header, p.view.Points, p.view.Columns
	if s.table != nil {
		cloud, assumed, err := arrays.Cloud(s.table[p.Next*n*k:(p.Next+1)*n*k], k, s.row)
		p.note(s.o, assumed)
		return cloud, err
	}
	size := n * h.record
	if h.plain() {
		size *= k
	}
	if int64(size) > int64(s.o.MaxBytes) {
		return nil, fmt.Errorf("found %d bytes of values, limit %d", size, s.o.MaxBytes)
	}
	data, err := ingest.Make[byte](s.row, size) // readHeader has checked the size against the file's
	if err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(s.values.r, data); err != nil {
		return nil, noEOF(err)
	}
	fields := h.columns()
	if h.plain() {
		f := h.fields[0]
		at := func(i, c int) int { return (i*k + c) * f.t.Size() }
		if h.fortran {
			at = func(i, c int) int { return (c*n + i) * f.t.Size() }
		}
		names, assumed := arrays.PointNames(n, k, func(i, c int) float64 { return f.value(data[at(i, c):]) })
		p.note(s.o, assumed)
		fields = nil
		for c, name := range names {
			one := f
			one.name, one.offset = name, at(0, c)
			fields = append(fields, one)
		}
	}
	stride := h.record
	if h.plain() && !h.fortran {
		stride *= k
	}
	cols := make([]columns.Column, len(fields))
	for i, f := range fields {
		c := columns.Column{Name: f.name, Type: f.t, Big: f.big, Stride: stride}
		if n > 0 {
			c.Data = data[f.offset:]
		}
		if f.half {
			if c.Values, err = ingest.Make[float64](s.row, n); err != nil {
				return nil, err
			}
			for k := range c.Values {
				c.Values[k] = f.value(c.Data[k*stride:])
			}
			c.Type = columns.Float32
		}
		cols[i] = c
	}
	return columns.Cloud(n, cols, s.row)
}

func (p *part) note(o ingest.Options, text string) {
	if text != "" {
		o.Note("%s", strings.TrimPrefix(p.name+": "+text, ": "))
	}
}

func inspect(list func(string, ingest.Options) (*file, error)) func(context.Context, string,
	ingest.Options) (ingest.Detail, error) {
	return func(ctx context.Context, path string, o ingest.Options) (ingest.Detail, error) {
		o = o.WithDefaults()
		f, err := opened(list, path, o)
		if err != nil {
			return nil, err
		}
		s := &source{file: f, o: o, row: o}
		s.o.Account, s.row.Account = o.Account.Part(), o.Account.Part()
		defer s.Close() //nolint:errcheck // opened for reading
		d, err := s.detail(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return d, nil
	}
}

// detail describes a file's clouds if it has any, otherwise its grids: the rows of all arrays with the shape of the
// first.
func (s *source) detail(ctx context.Context) (ingest.Detail, error) {
	f := s.file
	g := &ingest.Grids{Labels: map[string]int{}, Shape: []int{}}
	stored := f.all
	if stored == nil {
		stored = f.parts // the only array of a file, without a name
	}
	for _, p := range stored {
		if p.why == "" {
			g.Arrays = append(g.Arrays, ingest.Array{
				Name: p.name, Type: p.header.typeName(), Shape: append([]int{}, p.header.shape...),
			})
		}
	}
	if f.parts[0].view.Columns > 0 {
		return arrays.InspectClouds(ctx, s, s.o)
	}
	for _, p := range f.parts {
		if p.view.Columns > 0 {
			continue
		}
		if g.Rows == 0 {
			g.Shape = append([]int{}, p.view.Shape()...)
		}
		g.Rows += p.view.Rows
		p.labels.Count(g.Labels)
	}
	return g, nil
}
