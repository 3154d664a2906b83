// Package hdf5 stores classifications in an HDF5 file.
//
// The file has a dataset of one dimension for each column, with the name of the column, and two of the shape (rows, K)
// for the best classes: top_classes and top_scores. Texts are UTF-8 of a fixed length, padded with zeros. Missing
// values are an empty name, the label -1, the time NaT of NumPy (the least int64), and NaN for a box, an energy, a
// distance or a velocity. unfamiliar is 1, 0, or -1 without an energy. Rows with fewer than K best classes are padded
// with the class -1 and the score NaN.
package hdf5

import (
	"errors"
	"io"
	"iter"
	"math"
	"math/bits"

	"github.com/voxelstream/voxelstream/internal/h5"
	"github.com/voxelstream/voxelstream/sinks/table"
)

// Format is an HDF5 file.
var Format = table.Format{
	Name: "hdf5",
	Doc: "An HDF5 file with a chunked dataset for each column, and `top_classes` and `top_scores` of the shape " +
		"(rows, K). Texts are UTF-8 of a fixed length (in h5py, read them with `asstr()`), and times are nanoseconds " +
		"since 1970 in UTC. Missing values are stored as an empty name, the label -1, NumPy's time NaT, and NaN for " +
		"a box, an energy, a distance or a velocity. `unfamiliar` is 1, 0, or -1 without an energy. Rows with " +
		"fewer than K best classes are padded with the class -1 and the score NaN.",
	Extensions: []string{".h5", ".hdf5"},
	Options:    func() any { return &Options{Gzip: 1} },
	Create: func(path string, options any) (table.Writer, error) {
		return create(path, options.(*Options)) //nolint:forcetypeassert // from Options
	},
	Open: func(path string) (table.Reader, error) { return open(path) },
}

// Kind is a sink that writes such a file.
var Kind = table.Kind(&Format)

// Options are the options of the file.
type Options struct {
	Gzip int `yaml:"gzip" min:"0" max:"9" doc:"Compression level of the datasets. 0 means no compression, 9 the smallest files."`
}

// The datasets of the best classes, and the values that pad them.
const (
	topClasses = "top_classes"
	topScores  = "top_scores"
	noClass    = -1
)

// Missing values.
const (
	noLabel = -1            // and of truth values
	noTime  = math.MinInt64 // NaT of NumPy
)

var nan = math.NaN()

const (
	// rowsPerBatch is the number of rows that are written at once, and of a chunk.
	rowsPerBatch = 1 << 13
	// maxChunk is the limit for a chunk in bytes, before compression.
	maxChunk = 1 << 20
	// leastText is the least length of the texts of a dataset.
	leastText = 16
)

// widths are the lengths of the texts of each column, and the number of best classes.
type widths struct {
	texts []int
	top   int
}

// include makes room for the rows of a batch. Lengths are powers of two, so that they change seldom. It reports whether
// there was room.
func (w *widths) include(b *table.Batch) (fits bool) {
	fits = true
	for i := range b.Vectors {
		v := &b.Vectors[i]
		longest := 0
		for k := range len(v.Offsets) - 1 {
			longest = max(longest, int(v.Offsets[k+1]-v.Offsets[k]))
		}
		have := &w.texts[i]
		if v.Column.Type == table.JSON {
			have = &w.top
		}
		if longest > *have {
			*have, fits = 1<<bits.Len(uint(longest-1)), false
		}
	}
	return fits
}

// writer writes a file.
type writer struct {
	*table.BatchWriter
	path   string
	gzip   int
	widths widths
	file   *h5.Writer
	// datasets append the rows of the vectors.
	datasets []func(v *table.Vector) error
	// started is set when the file has rows.
	started bool
}

func create(path string, o *Options) (*writer, error) {
	w := &writer{path: path, gzip: o.Gzip, widths: widths{texts: make([]int, len(table.Columns())), top: 1}}
	for i := range w.widths.texts {
		w.widths.texts[i] = leastText
	}
	w.BatchWriter = table.NewBatchWriter(rowsPerBatch, 0, w.batch)
	if err := w.begin(); err != nil {
		return nil, err
	}
	return w, nil
}

// begin begins a file, which replaces that at the path when it is closed.
func (w *writer) begin() error {
	file, err := h5.Create(w.path)
	if err != nil {
		return err
	}
	w.file = file
	if err := w.define(); err != nil {
		file.Abort()
		return err
	}
	return nil
}

// define writes the attributes and creates the datasets.
func (w *writer) define() error {
	keys, values := table.Metadata()
	for i := range keys {
		if err := w.file.SetAttr("/", keys[i], values[i]); err != nil {
			return err
		}
	}
	w.datasets = w.datasets[:0]
	for i := range table.Columns() {
		d, err := w.dataset(&table.Columns()[i], w.widths.texts[i])
		if err != nil {
			return err
		}
		w.datasets = append(w.datasets, d)
	}
	return nil
}

// layout returns the layout of a dataset with elements of a size. Its rows have the other dimensions.
func (w *writer) layout(size int, row ...int) h5.Layout {
	for _, n := range row {
		size *= n
	}
	return h5.Layout{
		Dims: append([]int{0}, row...), Grow: true, Gzip: w.gzip, Chunks: append([]int{rowsOfChunk(size)}, row...),
	}
}

// rowsOfChunk returns the number of rows in a chunk, if each has a number of bytes.
func rowsOfChunk(size int) int { return max(1, min(rowsPerBatch, maxChunk/size)) }

// dataset creates the dataset of a column, or two for the best classes, and returns what appends the rows of a vector.
func (w *writer) dataset(c *table.Column, length int) (func(*table.Vector) error, error) {
	switch c.Type {
	case table.Text:
		return w.texts(c, length)
	case table.Int32, table.Bool:
		return numbers(w, c, 4, noLabel, func(v *table.Vector) []int32 { return v.Int32s })
	case table.Int64, table.Time:
		return numbers(w, c, 8, noTime, func(v *table.Vector) []int64 { return v.Int64s })
	case table.Float32:
		return numbers(w, c, 4, float32(nan), func(v *table.Vector) []float32 { return v.Float32s })
	case table.Float64:
		return numbers(w, c, 8, nan, func(v *table.Vector) []float64 { return v.Float64s })
	}
	return w.lists(c)
}

// describe sets the description of a dataset.
func (w *writer) describe(c *table.Column, name string) error {
	return w.file.SetAttr("/"+name, "description", c.Doc)
}

// numbers creates a dataset of numbers, in which missing stands for a missing value.
func numbers[T h5.Number](w *writer, c *table.Column, size int, missing T, of func(*table.Vector) []T,
) (func(*table.Vector) error, error) {
	d, err := h5.AddDataset[T](w.file, "/"+c.Name, w.layout(size))
	if err != nil {
		return nil, err
	}
	return func(v *table.Vector) error {
		values := of(v)
		for i, ok := range v.Valid {
			if !ok {
				values[i] = missing // the batch is not used again
			}
		}
		return d.Append(values)
	}, w.describe(c, c.Name)
}

// texts creates a dataset of texts of a length.
func (w *writer) texts(c *table.Column, length int) (func(*table.Vector) error, error) {
	d, err := h5.AddTexts(w.file, "/"+c.Name, w.layout(length), length)
	if err != nil {
		return nil, err
	}
	var padded []byte
	return func(v *table.Vector) error {
		// One long text makes all of them long, so only the rows of a chunk are padded at once.
		for offsets := range chunks(v.Offsets, rowsOfChunk(length)) {
			padded = pad(padded, v.Bytes, offsets, length, 0)
			if err := d.Append(padded); err != nil {
				return err
			}
		}
		return nil
	}, w.describe(c, c.Name)
}

// chunks yields the offsets of the rows of a vector for a number of rows at a time.
func chunks(offsets []int32, rows int) iter.Seq[[]int32] {
	return func(yield func([]int32) bool) {
		for len(offsets) > 1 {
			n := min(rows, len(offsets)-1)
			if !yield(offsets[:n+1]) {
				return
			}
			offsets = offsets[n:]
		}
	}
}

// pad returns rows of a length, each with its values and then with fill. It uses the memory of to.
func pad[T any](to, values []T, offsets []int32, length int, fill T) []T {
	to = to[:0]
	for i := range len(offsets) - 1 {
		to = append(to, values[offsets[i]:offsets[i+1]]...)
		for len(to) < (i+1)*length {
			to = append(to, fill)
		}
	}
	return to
}

// lists creates the datasets of the best classes.
func (w *writer) lists(c *table.Column) (func(*table.Vector) error, error) {
	top := w.widths.top
	classes, err := h5.AddDataset[int32](w.file, "/"+topClasses, w.layout(4, top))
	if err != nil {
		return nil, err
	}
	scores, err := h5.AddDataset[float32](w.file, "/"+topScores, w.layout(4, top))
	if err != nil {
		return nil, err
	}
	var k []int32
	var s []float32
	return func(v *table.Vector) error {
		for offsets := range chunks(v.Offsets, rowsOfChunk(4*top)) {
			k = pad(k, v.Int32s, offsets, top, noClass)
			s = pad(s, v.Float32s, offsets, top, float32(nan))
			if err := errors.Join(classes.Append(k), scores.Append(s)); err != nil {
				return err
			}
		}
		return nil
	}, errors.Join(w.describe(c, topClasses), w.describe(c, topScores))
}

// batch writes rows. If they do not fit, the file is written again with longer texts or more classes.
func (w *writer) batch(b *table.Batch) error {
	if !w.widths.include(b) {
		if err := w.widen(); err != nil {
			return err
		}
	}
	return w.append(b)
}

func (w *writer) append(b *table.Batch) error {
	w.started = true
	for i := range b.Vectors {
		if err := w.datasets[i](&b.Vectors[i]); err != nil {
			return err
		}
	}
	return nil
}

// widen begins the file again and copies the rows that it has.
func (w *writer) widen() error {
	if !w.started {
		w.file.Abort()
		return w.begin()
	}
	if err := w.file.Close(); err != nil {
		return err
	}
	old, err := open(w.path)
	if err != nil {
		return err
	}
	defer old.Close() //nolint:errcheck // opened for reading
	if err := w.begin(); err != nil {
		return err
	}
	for {
		b, err := old.read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = w.append(b)
		}
		if err != nil {
			return err
		}
	}
}

// Close writes the last batch and completes the file.
func (w *writer) Close() error {
	if err := w.Flush(); err != nil {
		w.file.Abort()
		return err
	}
	return w.file.Close()
}
