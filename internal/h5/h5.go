// Package h5 reads and writes HDF5 files, and is the only package that touches libhdf5.
//
// Reading is done by a worker: this binary, started once more for each open [File], with limits on its address
// space and time. libhdf5 dies of a segmentation fault, or hangs, on about one in two hundred randomly damaged
// files, and neither can be recovered inside a Go process; in a worker it is one error on that file. Importing the
// package is all that a program has to do: its init function takes over in a worker.
//
// Values are converted by libhdf5 to the Go type asked for, whatever the file holds: float16, 32 and 64, integers
// of any size, any endianness, contiguous, compact or chunked data with gzip, shuffle and fletcher32. Before
// anything is allocated for an object a policy judges what the file claims about it. Only hard links are followed:
// a file cannot make the reader open another one.
//
// Writing ([Create]) happens in this process, on one operating system thread: what we write is ours.
//
// Without cgo, or with the tag nohdf5, the package compiles and everything fails with [ErrNoHDF5].
package h5

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// What an error of this package can be, for errors.Is.
var (
	// ErrNoHDF5 says that this binary was built without HDF5.
	ErrNoHDF5 = errors.New("built without HDF5 (needs cgo and libhdf5, and no build tag nohdf5)")
	// ErrNotHDF5 says that a file does not carry the HDF5 signature.
	ErrNotHDF5 = errors.New("not an HDF5 file")
	// ErrNotFound says that an object or attribute does not exist in the file.
	ErrNotFound = errors.New("not found")
	// ErrRefused says that the policy does not allow an object to be read; the text says why.
	ErrRefused = errors.New("refused")
	// ErrWorker says that the worker crashed, hung or met one of its limits. The [File] is of no further use.
	ErrWorker = errors.New("HDF5 worker failed")
)

// Kind is the kind of an object.
type Kind string

// The kinds of objects.
const (
	Group   Kind = "group"
	Dataset Kind = "dataset"
	Other   Kind = "other" // a named datatype, or an object too damaged to tell
)

// Class is what the values of a dataset or attribute are.
type Class string

// The classes of values.
const (
	Int     Class = "int"   // signed integers
	Uint    Class = "uint"  // unsigned integers
	Float   Class = "float" // of any precision
	Enum    Class = "enum"  // read as its integers; h5py stores bool so
	String  Class = "string"
	Unknown Class = "other" // compound, reference, array, opaque, variable length, time
)

// Object is what a file says about one of its objects.
type Object struct {
	// Path is absolute: "/" or "/group/dataset".
	Path string `json:"path"`
	Kind Kind   `json:"kind"`
	// Attrs is the number of attributes.
	Attrs int `json:"attrs,omitempty"`
	// Class and Size, the bytes of an element in the file, are those of a dataset.
	Class Class `json:"class,omitempty"`
	Size  int   `json:"size,omitempty"`
	// Dims is nil for a scalar, which is read as one row of one value.
	Dims []int `json:"dims,omitempty"`
	// Chunks is nil for a dataset that is not chunked.
	Chunks []int `json:"chunks,omitempty"`
	// Filters are the names of the filters in the order they were applied: shuffle, gzip, fletcher32, ...
	Filters []string `json:"filters,omitempty"`
	// Refused says why the values, or a group's members, cannot be read; empty if they can.
	Refused string `json:"refused,omitempty"`
}

// Rows is the extent of the first dimension; 1 for a scalar.
func (o *Object) Rows() int {
	if len(o.Dims) == 0 {
		return 1
	}
	return o.Dims[0]
}

// RowLen is the number of elements in a row.
func (o *Object) RowLen() int {
	n := 1
	for i := 1; i < len(o.Dims); i++ {
		n *= o.Dims[i]
	}
	return n
}

// TypeName is the type of an element as numpy writes it: float32, int64, uint8; else the class.
func (o *Object) TypeName() string {
	switch o.Class {
	case Int, Uint, Float:
		return fmt.Sprintf("%s%d", o.Class, 8*o.Size)
	}
	return string(o.Class)
}

// Attr is one attribute. One of the three slices holds its values, in row-major order, according to Class: Ints for
// integers and enumerations, Floats, or Strings.
type Attr struct {
	Name  string
	Class Class
	// Dims is nil for a scalar.
	Dims    []int
	Ints    []int64
	Floats  []float64
	Strings []string
	// Refused says why the values cannot be read; empty if they can.
	Refused string
}

// Text is the value of a scalar string, or of an array of one.
func (a *Attr) Text() (string, bool) {
	if len(a.Strings) != 1 {
		return "", false
	}
	return a.Strings[0], true
}

// Int is the value of a scalar integer, or of an array of one.
func (a *Attr) Int() (int64, bool) {
	if len(a.Ints) != 1 {
		return 0, false
	}
	return a.Ints[0], true
}

// signature starts an HDF5 file, or follows a user block of 512, 1024, 2048, ... bytes (HDF5 File Format
// Specification, II.A).
const signature = "\x89HDF\r\n\x1a\n"

// IsHDF5 says whether head, the first bytes of a file, carries the HDF5 signature at offset 0 or behind a user block.
func IsHDF5(head []byte) bool {
	for at := 0; at+len(signature) <= len(head); at = nextSignature(at) {
		if string(head[at:at+len(signature)]) == signature {
			return true
		}
	}
	return false
}

func nextSignature(at int) int { return max(512, 2*at) }

// checkSuperblock says what is wrong with a file before libhdf5 sees it, where libhdf5 itself says little.
func checkSuperblock(r io.ReaderAt, size int64) error {
	for at := int64(0); at+int64(len(signature)) <= size; at = int64(nextSignature(int(at))) {
		var b [12]byte
		if n, err := r.ReadAt(b[:], at); n < len(signature) {
			return err
		}
		if string(b[:len(signature)]) != signature {
			continue
		}
		// Byte 11 of a version 3 superblock is the file consistency flags: bit 0, open for writing; bit 2, by a
		// SWMR writer.
		if b[8] == 3 && b[11]&5 != 0 {
			return fmt.Errorf("marked as open for writing (superblock flags %#02x): a program still writes it or was killed; if none does, "+
				"`h5clear -s FILE` clears the mark", b[11])
		}
		return nil
	}
	return ErrNotHDF5
}

// checkFile opens path as a regular file and looks at its superblock.
func checkFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // opened for reading
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("found %s, want a regular file", info.Mode().Type())
	}
	return checkSuperblock(f, info.Size())
}

// nativeEndian guards the wire: both ends of a pipe are this binary on this machine, so values cross it as they lie
// in memory.
var nativeEndian = binary.NativeEndian
