//go:build !cgo || nohdf5

package h5

const available = false

// LibraryVersion returns the version of libhdf5 in use, or "" without HDF5.
func LibraryVersion() string { return "" }

// Writer is not available without HDF5.
type Writer struct{}

// Create fails with ErrNoHDF5.
func Create(string) (*Writer, error) { return nil, ErrNoHDF5 }

// Group fails with ErrNoHDF5.
func (*Writer) Group(string) error { return ErrNoHDF5 }

// SetAttr fails with ErrNoHDF5.
func (*Writer) SetAttr(_, _ string, _ any) error { return ErrNoHDF5 }

// Close fails with ErrNoHDF5.
func (*Writer) Close() error { return ErrNoHDF5 }

// Abort does nothing.
func (*Writer) Abort() {}

// Output is not available without HDF5.
type Output[T Number] struct{}

// AddDataset fails with ErrNoHDF5.
func AddDataset[T Number](*Writer, string, Layout) (*Output[T], error) { return nil, ErrNoHDF5 }

// AddTexts fails with ErrNoHDF5.
func AddTexts(*Writer, string, Layout, int) (*Output[uint8], error) { return nil, ErrNoHDF5 }

// Append fails with ErrNoHDF5.
func (*Output[T]) Append([]T) error { return ErrNoHDF5 }

// Close fails with ErrNoHDF5.
func (*Output[T]) Close() error { return ErrNoHDF5 }

// WriteDataset fails with ErrNoHDF5.
func WriteDataset[T Number](*Writer, string, Layout, []T) error { return ErrNoHDF5 }
