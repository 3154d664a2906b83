//go:build cgo && !nohdf5

package h5

// #include "shim.h"
// #include <stdlib.h>
import "C"

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
	"unsafe"

	"gonum.org/v1/hdf5"

	"github.com/voxelstream/voxelstream/internal/durable"
)

// Writer writes a new HDF5 file. It and its datasets must be used by one goroutine. The complete file appears under
// its name when [Writer.Close] succeeds; until then it is in a hidden folder in the same
// directory.
type Writer struct {
	path     string
	out      *durable.Output
	file     *hdf5.File
	datasets []interface{ finish() error }
	err      error // the first error
}

// Create starts a file that will replace the one at path, if any, when it is closed.
//
//	w, err := h5.Create("digits.h5")
//	if err != nil { ... }
//	defer w.Abort() // does nothing after Close
//	...
//	return w.Close()
func Create(path string) (*Writer, error) {
	out, err := durable.Create(path)
	if err != nil {
		return nil, fmt.Errorf("h5: %w", err)
	}
	w := &Writer{path: path, out: out}
	err = onThread(func() (err error) {
		if w.file, err = hdf5.CreateFile(out.Path(), hdf5.F_ACC_TRUNC); err != nil {
			return libError()
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("h5: create %s: %w", path, err), out.Close())
	}
	return w, nil
}

// do runs f on the library's thread and keeps its error. A file with an error is never moved into place.
func (w *Writer) do(where string, f func() error) error {
	if w.file == nil {
		return fmt.Errorf("h5: %s: %s: the writer is closed", w.path, where)
	}
	err := onThread(f)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("h5: write %s: %s: %w", w.path, where, err)
	if w.err == nil {
		w.err = err
	}
	return err
}

func (w *Writer) id() C.hid_t { return C.hid_t(w.file.ID()) }

// Group creates the group at path and its parents, unless they exist.
func (w *Writer) Group(path string) error {
	return w.do(path, func() error {
		if err := checkPath(path); err != nil {
			return err
		}
		exists, err := w.exists(path)
		if err != nil || exists {
			return err
		}
		c, free := cString(path)
		defer free()
		if C.vs_make_groups(w.id(), c) < 0 {
			return libError()
		}
		return nil
	})
}

func (w *Writer) exists(path string) (bool, error) {
	for at := range ancestry(path) {
		c, free := cString(at)
		rc := C.vs_link(w.id(), c, nil, 0)
		free()
		if rc == -1 {
			return false, nil
		}
		if rc < 0 {
			return false, libError()
		}
	}
	return true, nil
}

// SetAttr sets an attribute of the object at path ("/" for the file). The value is a string (stored as UTF-8 of
// variable length, as h5py does), an int, int64, float32, float64 or bool (stored as uint8), or a slice: []string
// (fixed length, padded with zeros, as Keras does), []int64, []float32, []float64 or []uint8. All but a single
// string must be smaller than 64 KiB, a limit of the file format.
func (w *Writer) SetAttr(path, name string, value any) error {
	return w.do(path+"@"+name, func() error {
		if err := checkPath(path); err != nil {
			return err
		}
		c, free := cString(path)
		defer free()
		o := C.H5Oopen(w.id(), c, 0)
		if o < 0 {
			return libError()
		}
		defer C.H5Oclose(o)
		if name == "" || strings.ContainsRune(name, 0) || !utf8.ValidString(name) {
			return fmt.Errorf("attribute name %q is not UTF-8, or contains a zero byte", name)
		}
		n, free := cString(name)
		defer free()
		return setAttr(o, n, value)
	})
}

// maxAttrHeader is the maximum size that fits in an object header message: 64 KiB minus the attribute's own
// description.
const maxAttrHeader = 64<<10 - 1<<10

func setAttr(o C.hid_t, name *C.char, value any) error {
	switch v := value.(type) {
	case string:
		if strings.ContainsRune(v, 0) || !utf8.ValidString(v) {
			return errors.New("the string is not UTF-8, or contains a zero byte")
		}
		text, free := cString(v)
		defer free()
		return libResult(C.vs_write_attr_text(o, name, text, 1))
	case []string:
		return setStrings(o, name, v)
	case int:
		return setNumbers(o, name, 0, []int64{int64(v)})
	case int64:
		return setNumbers(o, name, 0, []int64{v})
	case float32:
		return setNumbers(o, name, 0, []float32{v})
	case float64:
		return setNumbers(o, name, 0, []float64{v})
	case bool:
		n := uint8(0)
		if v {
			n = 1
		}
		return setNumbers(o, name, 0, []uint8{n})
	case []int64:
		return setNumbers(o, name, 1, v)
	case []float32:
		return setNumbers(o, name, 1, v)
	case []float64:
		return setNumbers(o, name, 1, v)
	case []uint8:
		return setNumbers(o, name, 1, v)
	}
	return fmt.Errorf("attributes of type %T are not supported", value)
}

func setNumbers[T Number](o C.hid_t, name *C.char, rank int, v []T) error {
	if n := len(bytesOf(v)); n > maxAttrHeader {
		return fmt.Errorf("an attribute of %d bytes, limit %d", n, maxAttrHeader)
	}
	return libResult(C.vs_write_attr(o, name, memType[T](), C.int(rank), C.uint64_t(len(v)),
		unsafe.Pointer(unsafe.SliceData(v))))
}

func setStrings(o C.hid_t, name *C.char, v []string) error {
	size, wide := 1, C.int(0)
	for _, s := range v {
		if strings.ContainsRune(s, 0) || !utf8.ValidString(s) {
			return fmt.Errorf("string %q is not UTF-8, or contains a zero byte", s)
		}
		size = max(size, len(s))
		if strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) {
			wide = 1
		}
	}
	if len(v) > maxAttrHeader/size {
		return fmt.Errorf("an attribute of %d strings of %d bytes, limit %d bytes in total", len(v), size, maxAttrHeader)
	}
	buf := make([]byte, len(v)*size+1)
	for i, s := range v {
		copy(buf[i*size:], s)
	}
	return libResult(C.vs_write_attr_texts(o, name, C.uint64_t(len(v)), C.uint64_t(size), wide, unsafe.Pointer(&buf[0])))
}

func libResult(rc C.int) error {
	if rc < 0 {
		return libError()
	}
	return nil
}

// Output is a dataset being written, in order of its rows.
type Output[T Number] struct {
	w      *Writer
	path   string
	ds     *hdf5.Dataset
	layout Layout
	dims   []C.uint64_t
	row    int
	// mem is the shim's constant for the values. text is the length of each text in bytes, or 1 for numbers.
	mem  C.int
	text int
}

// AddDataset creates a dataset of T and its parent groups.
func AddDataset[T Number](w *Writer, path string, l Layout) (*Output[T], error) {
	var zero T
	return addDataset(&Output[T]{w: w, path: path, mem: memType[T](), text: 1}, l, int(unsafe.Sizeof(zero)))
}

// AddTexts creates a dataset of UTF-8 texts with a fixed length in bytes, and its parent groups. Shorter texts are padded
// with zeros.
func AddTexts(w *Writer, path string, l Layout, length int) (*Output[uint8], error) {
	return addDataset(&Output[uint8]{w: w, path: path, mem: C.VS_TEXT, text: length}, l, length)
}

// addDataset creates a dataset of elements of a size.
func addDataset[T Number](o *Output[T], l Layout, size int) (*Output[T], error) {
	w, path := o.w, o.path
	err := w.do(path, func() (err error) {
		if err := checkPath(path); err != nil || path == "/" {
			return errors.Join(err, errIf(path == "/", "the root is a group"))
		}
		if size < 1 {
			return fmt.Errorf("found elements of %d bytes, want 1 or more", size)
		}
		if o.layout, err = l.resolve(size); err != nil {
			return err
		}
		rank := len(o.layout.Dims)
		o.dims = make([]C.uint64_t, maxRank)
		limit, chunk := make([]C.uint64_t, maxRank), make([]C.uint64_t, maxRank)
		for i, d := range o.layout.Dims {
			o.dims[i], limit[i] = C.uint64_t(d), C.uint64_t(d)
		}
		if o.layout.Grow {
			limit[0] = math.MaxUint64
		}
		var chunks *C.uint64_t
		if o.layout.Chunks != nil {
			for i, c := range o.layout.Chunks {
				chunk[i] = C.uint64_t(c)
			}
			chunks = &chunk[0]
		}
		shuffle := C.int(0)
		if o.layout.Gzip > 0 && size > 1 && o.mem != C.VS_TEXT {
			shuffle = 1
		}
		c, free := cString(path)
		defer free()
		id := C.vs_create_dataset(w.id(), c, o.mem, C.uint64_t(o.text), C.int(rank), &o.dims[0], &limit[0], chunks,
			C.int(o.layout.Gzip), shuffle)
		if id < 0 {
			return libError()
		}
		C.H5Dclose(id)
		o.ds, err = openCached(w.file, path, o.layout.facts(size))
		return err
	})
	if err != nil {
		return nil, err
	}
	w.datasets = append(w.datasets, o)
	return o, nil
}

func errIf(bad bool, text string) error {
	if bad {
		return errors.New(text)
	}
	return nil
}

// Append writes the next rows, row-major. The number of values must be a multiple of the row length. Texts are given as
// their bytes, each with its padding.
func (o *Output[T]) Append(rows []T) error {
	return o.w.do(o.path, func() error {
		if o.ds == nil {
			return errors.New("the dataset is closed")
		}
		if len(rows) == 0 {
			return nil
		}
		n := rowLen(o.layout.Dims) * o.text
		if n == 0 || len(rows)%n != 0 {
			return fmt.Errorf("found %d values, want a multiple of %d, the values of a row", len(rows), n)
		}
		k := len(rows) / n
		extend := C.int(0)
		if o.layout.Grow {
			extend = 1
		} else if have := o.rows(); k > have-o.row {
			return fmt.Errorf("found %d more rows, want at most %d", k, have-o.row)
		}
		rc := C.vs_write(C.hid_t(o.ds.ID()), o.mem, C.int(len(o.layout.Dims)), &o.dims[0], C.uint64_t(o.row),
			C.uint64_t(k), extend,
			unsafe.Pointer(&rows[0]))
		if rc < 0 {
			return libError()
		}
		o.row += k
		return nil
	})
}

// rows returns the number of rows that the dataset was created for.
func (o *Output[T]) rows() int {
	if len(o.layout.Dims) == 0 {
		return 1
	}
	return o.layout.Dims[0]
}

// Close closes the dataset; it is an error if rows are missing. With many datasets, close each when it is complete;
// those still open are closed with the file.
func (o *Output[T]) Close() error {
	return o.w.do(o.path, o.finish)
}

func (o *Output[T]) finish() error {
	if o.ds == nil {
		return nil
	}
	err := o.ds.Close()
	o.ds = nil
	o.w.datasets = slices.DeleteFunc(o.w.datasets, func(d interface{ finish() error }) bool { return d == o })
	if err != nil {
		return libError()
	}
	if !o.layout.Grow && !slices.Contains(o.layout.Dims, 0) && o.row != o.rows() {
		return fmt.Errorf("dataset %s: found %d rows, want %d", o.path, o.row, o.rows())
	}
	return nil
}

// WriteDataset writes a whole dataset. With nil Dims it is a scalar.
func WriteDataset[T Number](w *Writer, path string, l Layout, values []T) error {
	o, err := AddDataset[T](w, path, l)
	if err != nil {
		return err
	}
	if err := o.Append(values); err != nil {
		return err
	}
	return o.Close()
}

// Close completes the file and moves it into place. If anything failed before, or fails now, the file is removed
// and the first error returned.
func (w *Writer) Close() error {
	if w.file == nil {
		return w.err
	}
	err := errors.Join(w.err, w.release())
	if err == nil {
		err = w.out.Commit()
	}
	if err != nil {
		_ = w.out.Close()
		w.err = err
		return fmt.Errorf("h5: write %s: %w", w.path, err)
	}
	return nil
}

// Abort removes the unfinished file. After Close it does nothing.
func (w *Writer) Abort() {
	if w.file == nil {
		return
	}
	_ = w.release()
	_ = w.out.Close()
	w.err = errors.New("aborted")
}

// release closes all open handles of the library.
func (w *Writer) release() error {
	err := onThread(func() error {
		var errs []error
		for len(w.datasets) > 0 {
			errs = append(errs, w.datasets[0].finish())
		}
		if err := w.file.Close(); err != nil {
			errs = append(errs, libError())
		}
		return errors.Join(errs...)
	})
	w.file = nil
	return err
}
