// Package h5 reads and writes HDF5 files. It is the only package that uses libhdf5.
//
// Reading is done by a worker: this binary, started again for each open [File], with limits on its address space
// and time, and confined by package sandbox: it gets a descriptor of the file and cannot open another one. libhdf5
// crashes with a segmentation fault, or hangs, on about one in two hundred randomly damaged files, and a Go process
// can recover from neither. In a worker this is one error for that file. A program only has to import the package: in
// a worker its init function takes over.
//
// Values are converted by libhdf5 to the Go type asked for, whatever the file holds: float16, 32 and 64, integers of
// any size, any endianness, contiguous, compact or chunked data with gzip, shuffle and fletcher32. Before anything is
// allocated for an object, a policy checks what the file claims about it. Only links within the file are followed: a
// file cannot make the reader open another one. Chunks with filters that libhdf5 lacks (LZF, Blosc, LZ4, bitshuffle,
// Zstandard, bzip2) are unpacked by package filter.
//
// The intact part of a file that was cut off or not closed is read; see [File.Notes].
//
// Writing ([Create]) happens in this process, on one operating system thread, because the data is trusted.
//
// Without cgo, or with the tag nohdf5, the package compiles and everything fails with [ErrNoHDF5].
package h5

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/voxelstream/voxelstream/internal/regular"
)

// Errors of this package, for use with errors.Is.
var (
	// ErrNoHDF5 means that this binary was built without HDF5.
	ErrNoHDF5 = errors.New("this program was built without HDF5: install a release, or libhdf5, libdeflate and a C compiler, " +
		"and build it again with cgo and without the tag nohdf5")
	// ErrNotHDF5 means that a file does not have the HDF5 signature.
	ErrNotHDF5 = errors.New("not an HDF5 file")
	// ErrNotFound means that an object or attribute does not exist in the file.
	ErrNotFound = errors.New("not found")
	// ErrRefused means that the policy does not allow an object to be read; the error text gives the reason.
	ErrRefused = errors.New("refused")
	// ErrWorker means that the worker crashed, hung or exceeded one of its limits. The [File] can no longer be
	// used.
	ErrWorker = errors.New("HDF5 worker failed")
)

// Kind is the kind of an object.
type Kind string

// The kinds of objects.
const (
	Group   Kind = "group"
	Dataset Kind = "dataset"
	Other   Kind = "other" // a named datatype, or an object too damaged to identify
)

// Class is the class of the values of a dataset or attribute.
type Class string

// The classes of values.
const (
	Int    Class = "int"   // signed integers
	Uint   Class = "uint"  // unsigned integers
	Float  Class = "float" // of any precision
	Enum   Class = "enum"  // read as integers; h5py stores bool as an enumeration
	String Class = "string"
	// Compound values have several fields, see [Object.Fields] and [File.ReadField].
	Compound Class = "compound"
	Unknown  Class = "other" // reference, array, opaque, variable length, time
)

// Object describes an object in a file.
type Object struct {
	// Path is absolute: "/" or "/group/dataset".
	Path string `json:"path"`
	Kind Kind   `json:"kind"`
	// Attrs is the number of attributes.
	Attrs int `json:"attrs,omitempty"`
	// Class and Size, the size of an element in bytes, are set for datasets.
	Class Class `json:"class,omitempty"`
	Size  int   `json:"size,omitempty"`
	// Dims is nil for a scalar, which is read as one row of one value.
	Dims []int `json:"dims,omitempty"`
	// Chunks is nil for a dataset that is not chunked.
	Chunks []int `json:"chunks,omitempty"`
	// Filters are the names of the filters in the order they were applied: shuffle, gzip, fletcher32, ...
	Filters []string `json:"filters,omitempty"`
	// Fields are those of a compound dataset.
	Fields []Field `json:"fields,omitempty"`
	// Refused is the reason why the values, or a group's members, cannot be read; empty if they can.
	Refused string `json:"refused,omitempty"`
}

// Field is one member of a compound type.
type Field struct {
	Name string `json:"name"`
	// Count is the number of numbers in it: more than one for an array, 0 if its values are not numbers.
	Count int `json:"count,omitempty"`
}

// Rows returns the extent of the first dimension, or 1 for a scalar.
func (o *Object) Rows() int {
	if len(o.Dims) == 0 {
		return 1
	}
	return o.Dims[0]
}

// RowLen returns the number of elements in a row.
func (o *Object) RowLen() int {
	n := 1
	for i := 1; i < len(o.Dims); i++ {
		n *= o.Dims[i]
	}
	return n
}

// numeric reports whether the values are numbers.
func (o *Object) numeric() bool {
	return o.Class == Int || o.Class == Uint || o.Class == Float || o.Class == Enum
}

// TypeName returns the type of an element under its NumPy name, such as float32, int64 or uint8, or otherwise the
// class.
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
	// Refused is the reason why the values cannot be read; empty if they can.
	Refused string
}

// Text returns the value of a scalar string, or of an array with one string.
func (a *Attr) Text() (string, bool) {
	if len(a.Strings) != 1 {
		return "", false
	}
	return a.Strings[0], true
}

// Int returns the value of a scalar integer, or of an array with one integer.
func (a *Attr) Int() (int64, bool) {
	if len(a.Ints) != 1 {
		return 0, false
	}
	return a.Ints[0], true
}

// signature starts an HDF5 file, or follows a user block of 512, 1024, 2048, ... bytes (HDF5 File Format
// Specification, II.A).
const signature = "\x89HDF\r\n\x1a\n"

// IsHDF5 reports whether head, the first bytes of a file, has the HDF5 signature at offset 0 or after a user block.
func IsHDF5(head []byte) bool {
	for at := 0; at+len(signature) <= len(head); at = nextSignature(at) {
		if string(head[at:at+len(signature)]) == signature {
			return true
		}
	}
	return false
}

func nextSignature(at int) int { return max(512, 2*at) }

// checkSuperblock returns how the file was left by its writer: a note, or "".
func checkSuperblock(r io.ReaderAt, size int64) (string, error) {
	for at := int64(0); at+int64(len(signature)) <= size; at = int64(nextSignature(int(at))) {
		var b [12]byte
		if n, err := r.ReadAt(b[:], at); n < len(signature) {
			return "", err
		}
		if string(b[:len(signature)]) != signature {
			continue
		}
		// Byte 11 of a version 3 superblock is the file consistency flags: bit 0, open for writing; bit 2, by a
		// SWMR writer.
		if b[8] == 3 && b[11]&5 != 0 {
			return fmt.Sprintf("marked as open for writing (superblock flags %#02x): a program is still writing it, or was "+
				"killed; what it has written so far is read; if none is, `h5clear -s FILE` clears the flags", b[11]), nil
		}
		return "", nil
	}
	return "", ErrNotHDF5
}

// openChecked opens path, which must be a regular file, and checks its superblock.
func openChecked(path string) (f *os.File, note string, err error) {
	f, info, err := regular.Open(path)
	if err != nil {
		return nil, "", err
	}
	if note, err = checkSuperblock(f, info.Size()); err != nil {
		_ = f.Close()
		return nil, "", err
	}
	return f, note, nil
}

// nativeEndian is the byte order of the protocol: both ends of the pipe are this binary on this machine, so values
// are sent as they are in memory.
var nativeEndian = binary.NativeEndian
